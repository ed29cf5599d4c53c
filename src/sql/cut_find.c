/* Which reference is sharded, and where its linear part ends. */
#include "sql/cut_private.h"

#include <stdlib.h>

const char *ap_cut_kind_text(enum ap_cut_kind kind)
{
    static const char *const texts[] = { [AP_CUT_WHOLE] = "whole",
        [AP_CUT_AGGREGATE] = "aggregate",
        [AP_CUT_DISTINCT] = "distinct",
        [AP_CUT_TOP] = "top",
        [AP_CUT_GATHER] = "gather" };
    return texts[kind];
}

/* ---- what keeps a statement whole ---- */

static bool is_pseudo_column(yyjson_val *node)
{
    static const char *const names[] = { "filename", "file_row_number", "file_index", "rowid" };
    yyjson_val *list = yyjson_obj_get(node, "column_names");
    struct ap_str name = { yyjson_get_str(yyjson_arr_get_last(list)),
        yyjson_get_len(yyjson_arr_get_last(list)) };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ap_str_equal_nocase(name, ap_str_from(names[i]))) return true;
    return false;
}

static bool is_moment_column(yyjson_val *node)
{
    yyjson_val *list = yyjson_obj_get(node, "column_names"), *first = yyjson_arr_get_first(list);
    return yyjson_arr_size(list) == 1 &&
           ap_cut_is_moment((struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) });
}

static const char *refuse_node(yyjson_val *node)
{
    if (ap_node_is(node, "type", "SHOW_REF")) return "it looks at the catalogue";
    if (ap_node_is(node, "class", "PARAMETER")) return "it has parameters";
    if (yyjson_get_bool(yyjson_obj_get(node, "export_state")))
        return "it exports the state of an aggregate";
    if (ap_node_is(node, "class", "COLUMN_REF")) {
        if (is_pseudo_column(node)) return "it asks where in the files its rows lie";
        if (is_moment_column(node)) return "it depends on the moment at which it runs";
    }
    if (ap_node_is(node, "class", "FUNCTION")) {
        struct ap_str name = ap_node_str(node, "function_name");
        if (ap_cut_is_opaque(name)) return "it calls a macro that holds an aggregate";
        if (ap_cut_is_odd(name)) return "it calls a function of the engine's inside";
        if (ap_cut_is_moment(name)) return "it depends on the moment at which it runs";
        if (ap_str_is(name, "age") && yyjson_arr_size(yyjson_obj_get(node, "children")) == 1)
            return "it depends on the moment at which it runs";
    }
    return NULL;
}

static bool is_ours(yyjson_val *value)
{
    struct ap_str text = { yyjson_get_str(value), yyjson_get_len(value) },
                  prefix = AP_STR(AP_CUT_PREFIX);
    return text.size >= prefix.size &&
           ap_str_equal_nocase((struct ap_str) { text.data, prefix.size }, prefix);
}

static const char *refuse_value(yyjson_val *value, yyjson_val *key)
{
    size_t index, count;
    yyjson_val *item, *name;
    if (yyjson_is_str(value))
        return is_ours(value) && !yyjson_equals_str(key, "value")
                   ? "it uses a name that begins with " AP_CUT_PREFIX
                   : NULL;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item)
        {
            const char *why = refuse_value(item, key);
            if (why != NULL) return why;
        }
        return NULL;
    }
    if (!yyjson_is_obj(value)) return NULL;
    const char *why = refuse_node(value);
    if (why != NULL) return why;
    yyjson_obj_foreach(value, index, count, name, item)
    {
        why = refuse_value(item, name);
        if (why != NULL) return why;
    }
    return NULL;
}

const char *ap_cut_refusal(
    yyjson_doc *tree, const struct ap_tree_names *names, const struct ap_cut_options *options)
{
    if (names->is_volatile) return "it calls a function that gives another value each time";
    if (names->file_count > 0) return "it reads files of this machine";
    bool any = false;
    for (size_t i = 0; i < names->table_count; i++) any |= options->tables[i].is_frame;
    if (!any) return "it reads no frame";
    return refuse_value(yyjson_doc_get_root(tree), NULL);
}

/* ---- constants ---- */

/* What is looked up once, before the cut. `columns`: names that are columns, so no constants. */
static bool is_constant(yyjson_val *node, const struct ap_cut_options *options)
{
    yyjson_val *names = yyjson_obj_get(node, "column_names"), *first = yyjson_arr_get_first(names);
    struct ap_str name = { yyjson_get_str(first), yyjson_get_len(first) };
    if (ap_node_is(node, "class", "PARAMETER")) return true;
    if (ap_node_is(node, "class", "FUNCTION"))
        return ap_cut_is_moment(ap_node_str(node, "function_name"));
    return ap_node_is(node, "class", "COLUMN_REF") && is_moment_column(node) &&
           !(options->is_column != NULL && options->is_column(options->context, name));
}

static enum apiary_code find_constants(struct ap_arena *arena, yyjson_val *value,
    const struct ap_cut_options *options, struct ap_cut_constants *out, struct apiary_error *err)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item)
            AP_TRY(find_constants(arena, item, options, out, err));
        return APIARY_OK;
    }
    if (!yyjson_is_obj(value)) return APIARY_OK;
    if (!is_constant(value, options)) {
        yyjson_obj_foreach(value, index, count, key, item)
            AP_TRY(find_constants(arena, item, options, out, err));
        return APIARY_OK;
    }
    if (out->count == AP_CUT_CONSTANTS_MAX) {
        out->too_many = true;
        return APIARY_OK;
    }
    yyjson_val **grown = ap_arena_alloc(arena, (out->count + 1) * sizeof *grown);
    if (grown == NULL) return ap_fail_memory(err, "the constants of a statement");
    if (out->count > 0) memcpy(grown, out->nodes, out->count * sizeof *grown);
    grown[out->count++] = value;
    out->nodes = grown;
    return APIARY_OK;
}

enum apiary_code ap_cut_find_constants(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_cut_options *options, struct ap_cut_constants *out, struct apiary_error *err)
{
    *out = (struct ap_cut_constants) { 0 };
    return find_constants(arena, yyjson_doc_get_root(tree), options, out, err);
}

/* ---- nodes ---- */

static bool is_grouped(yyjson_val *node)
{
    return ap_node_list(node, "group_expressions") != NULL ||
           ap_node_list(node, "group_sets") != NULL ||
           !ap_node_is(node, "aggregate_handling", "STANDARD_HANDLING") ||
           ap_json_member(node, "having") != NULL ||
           ap_cut_has_aggregate(yyjson_obj_get(node, "select_list")) ||
           ap_cut_has_aggregate(yyjson_obj_get(node, "modifiers")) ||
           ap_cut_has_aggregate(yyjson_obj_get(node, "qualify"));
}

static bool has_windows(yyjson_val *node)
{
    return ap_json_member(node, "qualify") != NULL ||
           ap_cut_has_window(yyjson_obj_get(node, "select_list")) ||
           ap_cut_has_window(yyjson_obj_get(node, "modifiers"));
}

bool ap_cut_is_plain(yyjson_val *node)
{
    return ap_node_is(node, "type", "SELECT_NODE") && ap_node_list(node, "modifiers") == NULL &&
           ap_json_member(node, "sample") == NULL && !is_grouped(node) && !has_windows(node);
}

bool ap_cut_is_passed(yyjson_val *node)
{
    return ap_cut_is_plain(node) ||
           (ap_cut_is_union_all(node) && ap_node_list(node, "modifiers") == NULL);
}

/* ---- B ---- */

/* What of the state depends on r. */
struct end {
    struct ap_cut_query *b;
    bool whole_node; /* B is the node's plain output, whatever stands around it takes it as it is */
    bool branch_of_union;
    struct ap_cut_held *others; /* of other branches of UNION ALL */
    size_t other_count;
    const char *why; /* no B */
};

static bool passes_through(const struct ap_cut_state *state, const struct ap_cut_query *query,
    yyjson_val **target, struct ap_cut_query **next)
{
    unsigned mistakes = state->options->mistakes;
    if (query->place == AP_PLACE_FROM) {
        *target = query->holder;
        *next = query->owner;
        return true;
    }
    if (query->place == AP_PLACE_WITH && query->with->uses != NULL &&
        (query->with->use_count == 1 || (mistakes & AP_CUT_MISTAKE_WITH_TWICE))) {
        *target = query->with->uses->node;
        *next = query->with->uses->owner;
        return true;
    }
    return false;
}

/* Into UNION ALL from `branch`: does the other one have references of its own? They are noted then. */
static enum apiary_code pass_union(const struct ap_cut_state *state, const struct ap_cut_query *branch,
    struct end *end, bool *passes, struct apiary_error *err)
{
    yyjson_val *node = branch->owner->node, *left = yyjson_obj_get(node, "left");
    yyjson_val *other = left == branch->node ? yyjson_obj_get(node, "right") : left;
    struct ap_cut_query *query = ap_cut_query_of(&state->index, other);
    struct ap_cut_way way = { 0 };
    *passes = (state->options->mistakes & AP_CUT_MISTAKE_UNION_WHOLE) != 0;
    if (*passes || query == NULL) return APIARY_OK;
    AP_TRY(ap_cut_way_into(state, query, &way, err));
    if (way.count == 0 || 1 + end->other_count + way.count > AP_CUT_REFERENCES_MAX) return APIARY_OK;
    *passes = true;
    end->other_count += way.count;
    struct ap_cut_held **last = &way.held;
    while (*last != NULL) last = &(*last)->next;
    *last = end->others;
    end->others = way.held;
    return APIARY_OK;
}

/* B is the query below, as it is. */
static enum apiary_code end_below(struct ap_cut_query *below, bool branch_of_union, struct end *out)
{
    out->b = below;
    out->whole_node = true;
    out->branch_of_union = branch_of_union;
    return APIARY_OK;
}

/* alone: UNION ALL ends what is linear. */
static enum apiary_code find_end(const struct ap_cut_state *state, const struct ap_cut_use *r, bool alone,
    struct end *out, struct apiary_error *err)
{
    yyjson_val *target = r->node;
    struct ap_cut_query *query = r->owner, *below = NULL;
    for (;;) {
        enum ap_cut_position at = ap_node_is(query->node, "type", "SELECT_NODE")
                                      ? ap_cut_position_of(yyjson_obj_get(query->node, "from_table"), target)
                                      : AP_CUT_ABSENT;
        if (below != NULL && below->place == AP_PLACE_UNION_ALL && below->owner == query)
            at = AP_CUT_LINEAR;
        if (at != AP_CUT_LINEAR || ap_json_member(query->node, "sample") != NULL) {
            if (below != NULL) return end_below(below, false, out);
            out->why = at == AP_CUT_BROKEN ? "its join needs all rows of the frame at once"
                                           : "the frame stands where it cannot be divided";
            return APIARY_OK;
        }
        query->holds_r = true;
        if (!ap_cut_is_passed(query->node)) {
            out->b = query;
            return APIARY_OK;
        }
        below = query;
        if (passes_through(state, query, &target, &query)) continue;
        bool passes = false;
        if (query->place == AP_PLACE_UNION_ALL && !alone)
            AP_TRY(pass_union(state, query, out, &passes, err));
        if (!passes) return end_below(query, query->place == AP_PLACE_UNION, out);
        query = query->owner;
    }
}

/* ---- aggregates of B ---- */

struct collect {
    struct ap_cut_state *state;
    bool failed;       /* no memory */
    bool gather;       /* one of them cannot be merged */
};

static bool merges(yyjson_val *node, const struct ap_cut_aggregate_kind *kind, bool distinct)
{
    size_t arguments = yyjson_arr_size(yyjson_obj_get(node, "children"));
    if (kind->merge == AP_MERGE_NONE || (size_t)kind->arguments != arguments) return false;
    if (distinct && !kind->distinct) return false;
    return ap_node_list(yyjson_obj_get(node, "order_bys"), "orders") == NULL;
}

static void add_call(struct collect *collect, yyjson_val *node)
{
    struct ap_cut_state *state = collect->state;
    for (size_t i = 0; i < state->call_count; i++)
        if (ap_cut_same(state->calls[i].node, node)) return;
    struct ap_cut_aggregate_call call = { .node = node,
        .kind = ap_cut_aggregate(ap_node_str(node, "function_name")),
        .distinct = yyjson_get_bool(yyjson_obj_get(node, "distinct")) };
    if (!merges(node, call.kind, call.distinct)) collect->gather = true;
    struct ap_cut_aggregate_call *grown =
        ap_arena_alloc(state->arena, (state->call_count + 1) * sizeof *grown);
    if (grown == NULL) {
        collect->failed = true;
        return;
    }
    if (state->call_count > 0) memcpy(grown, state->calls, state->call_count * sizeof *grown);
    grown[state->call_count++] = call;
    state->calls = grown;
}

static void add_grouping(struct collect *collect, yyjson_val *node)
{
    struct ap_cut_state *state = collect->state;
    for (size_t i = 0; i < state->grouping_count; i++)
        if (ap_cut_same(state->groupings[i], node)) return;
    yyjson_val **grown = ap_arena_alloc(state->arena, (state->grouping_count + 1) * sizeof *grown);
    if (grown == NULL) {
        collect->failed = true;
        return;
    }
    if (state->grouping_count > 0)
        memcpy(grown, state->groupings, state->grouping_count * sizeof *grown);
    grown[state->grouping_count++] = node;
    state->groupings = grown;
}

static void collect_calls(struct collect *collect, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) collect_calls(collect, item);
        return;
    }
    if (!yyjson_is_obj(value) || ap_node_is_query(value)) return;
    /* Its parameters hide columns, which putting keys in place of expressions does not know. */
    if (ap_node_is(value, "class", "LAMBDA")) collect->gather = true;
    if (ap_cut_is_aggregate_call(value)) {
        add_call(collect, value);
        return;
    }
    if (ap_node_is(value, "type", "GROUPING_FUNCTION")) {
        add_grouping(collect, value);
        return;
    }
    yyjson_obj_foreach(value, index, count, key, item) collect_calls(collect, item);
}

static bool distinct_on(yyjson_val *node)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count,
        modifier) if (ap_node_list(modifier, "distinct_on_targets")) return true;
    return false;
}

static bool has_modifier(yyjson_val *node, const char *type)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count,
        modifier) if (ap_node_is(modifier, "type", type)) return true;
    return false;
}

/* The parts of B that stand above its FROM and WHERE. */
static const char *const above_members[] = { "select_list", "group_expressions", "having",
    "qualify", "modifiers" };

static bool above_has(yyjson_val *node, bool (*ask)(yyjson_val *))
{
    for (size_t i = 0; i < sizeof above_members / sizeof *above_members; i++)
        if (ask(yyjson_obj_get(node, above_members[i]))) return true;
    return false;
}

/* GROUP BY x where the select list has an x: is it that, or a column? */
static bool groups_by_alias(yyjson_val *node)
{
    size_t index, count, at, item_count;
    yyjson_val *key, *item;
    yyjson_arr_foreach(yyjson_obj_get(node, "group_expressions"), index, count, key)
    {
        yyjson_val *names = yyjson_obj_get(key, "column_names");
        if (yyjson_arr_size(names) != 1) continue;
        struct ap_str name = { yyjson_get_str(yyjson_arr_get_first(names)),
            yyjson_get_len(yyjson_arr_get_first(names)) };
        yyjson_arr_foreach(yyjson_obj_get(node, "select_list"), at, item_count,
            item) if (ap_str_equal_nocase(ap_node_str(item, "alias"), name)) return true;
    }
    return false;
}

/* Sets the kind; a text why it cannot be. */
static const char *choose_kind(struct ap_cut *cut, const struct end *end, struct apiary_error *err,
    enum apiary_code *code)
{
    struct ap_cut_state *state = cut->state;
    yyjson_val *node = end->b->node;
    state->calls = NULL;
    state->groupings = NULL;
    state->call_count = state->grouping_count = 0;
    cut->rows = false;
    cut->wants_from = false;
    if (end->whole_node) {
        cut->kind = end->branch_of_union ? AP_CUT_DISTINCT : AP_CUT_GATHER;
        return NULL;
    }
    if (ap_cut_is_union_all(node)) { /* with ORDER BY or LIMIT */
        cut->kind = has_modifier(node, "LIMIT_MODIFIER") ? AP_CUT_TOP : AP_CUT_GATHER;
        return NULL;
    }
    bool grouped = is_grouped(node);
    if (grouped) {
        struct collect collect = { .state = state };
        collect_calls(&collect, yyjson_obj_get(node, "select_list"));
        collect_calls(&collect, yyjson_obj_get(node, "having"));
        collect_calls(&collect, yyjson_obj_get(node, "qualify"));
        collect_calls(&collect, yyjson_obj_get(node, "modifiers"));
        if (collect.failed) *code = ap_fail_memory(err, "the parts of a statement");
        bool star = ap_cut_has_star(yyjson_obj_get(node, "select_list"));
        cut->wants_from = groups_by_alias(node);
        if (!collect.gather && !star && !distinct_on(node)) {
            if (end->b->in_expression && above_has(node, ap_cut_has_query))
                return "a query stands in the HAVING of a query in an expression";
            cut->kind = AP_CUT_AGGREGATE;
            return NULL;
        }
    }
    if (grouped || has_windows(node) || distinct_on(node)) {
        if (above_has(node, ap_cut_has_query))
            return "a query stands beside what needs all rows at once";
        cut->kind = AP_CUT_GATHER;
        cut->wants_from = true;
        cut->rows = true;
        return NULL;
    }
    if (has_modifier(node, "DISTINCT_MODIFIER"))
        cut->kind = AP_CUT_DISTINCT;
    else
        cut->kind = has_modifier(node, "LIMIT_MODIFIER") ? AP_CUT_TOP : AP_CUT_GATHER;
    return NULL;
}

/* ---- r ---- */

/* The state's shards: r and the others, in the order of the walk. */
static enum apiary_code take_shards(
    struct ap_cut *cut, struct ap_cut_use *r, const struct end *end, struct apiary_error *err)
{
    struct ap_cut_state *state = cut->state;
    size_t room = end->other_count + 1, count = 0;
    size_t *references = ap_arena_alloc(state->arena, room * sizeof *references);
    state->shards = ap_arena_alloc(state->arena, room * sizeof(struct ap_cut_use *));
    if (references == NULL || state->shards == NULL) return ap_fail_memory(err, "the parts of a statement");
    for (struct ap_cut_use *use = state->index.uses; use != NULL; use = use->next) use->sharded = use == r;
    for (struct ap_cut_held *held = end->others; held != NULL; held = held->next) {
        if (held->use != NULL) held->use->sharded = true;
        if (held->query != NULL) held->query->holds_r = true;
    }
    for (struct ap_cut_use *use = state->index.uses; use != NULL; use = use->next) {
        if (!use->sharded) continue;
        ap_assert(count < room);
        references[count] = use->table;
        state->shards[count++] = use;
    }
    ap_assert(count == room);
    cut->references = references;
    cut->reference_count = state->shard_count = count;
    return APIARY_OK;
}

static enum apiary_code try_way(struct ap_cut *cut, struct ap_cut_use *r, bool alone,
    const char **why, struct apiary_error *err)
{
    struct ap_cut_state *state = cut->state;
    struct end end = { 0 };
    for (struct ap_cut_query *query = state->index.queries; query != NULL; query = query->next)
        query->holds_r = false;
    cut->reference_count = 0;
    AP_TRY(find_end(state, r, alone, &end, err));
    *why = end.why;
    if (*why != NULL) return APIARY_OK;
    AP_TRY(take_shards(cut, r, &end, err));
    state->b = end.b;
    state->branch_of_union = end.branch_of_union;
    enum apiary_code code = APIARY_OK;
    *why = choose_kind(cut, &end, err, &code);
    if (code != APIARY_OK || *why != NULL) return code;
    cut->at_root = end.b->place == AP_PLACE_ROOT;
    cut->plain = cut->at_root && cut->kind == AP_CUT_GATHER && ap_cut_is_passed(end.b->node);
    cut->first_count = 0;
    return ap_cut_beside(cut, why, err);
}

/* Together with references of other branches of UNION ALL, else by itself. */
static enum apiary_code try_reference(struct ap_cut *cut, struct ap_cut_use *r, const char **why,
    struct apiary_error *err)
{
    const struct ap_cut_options *options = cut->state->options;
    bool alone = options->alone != NULL && options->alone[r->table];
    AP_TRY(try_way(cut, r, alone, why, err));
    return *why != NULL && cut->reference_count > 1 ? try_way(cut, r, true, why, err) : APIARY_OK;
}

struct candidate {
    struct ap_cut_use *use;
    uint64_t bytes;
    size_t order;
};

static int larger_first(const void *a, const void *b)
{
    const struct candidate *left = a, *right = b;
    if (left->bytes != right->bytes) return left->bytes > right->bytes ? -1 : 1;
    return left->order < right->order ? -1 : left->order > right->order;
}

static enum apiary_code candidates_of(struct ap_cut_state *state, struct candidate **out,
    size_t *out_count, struct apiary_error *err)
{
    size_t count = 0, all = 0;
    for (struct ap_cut_use *use = state->index.uses; use != NULL; use = use->next) all++;
    struct candidate *list = ap_arena_alloc(state->arena, (all + 1) * sizeof *list);
    if (list == NULL) return ap_fail_memory(err, "the parts of a statement");
    for (struct ap_cut_use *use = state->index.uses; use != NULL; use = use->next) {
        if (!ap_cut_may_shard(state, use)) continue;
        list[count] = (struct candidate) { use, state->options->tables[use->table].bytes, count };
        count++;
    }
    if (count > 1) qsort(list, count, sizeof *list, larger_first);
    *out = list;
    *out_count = count;
    return APIARY_OK;
}

enum apiary_code ap_cut_whole(struct ap_cut *cut, const char *why)
{
    cut->kind = AP_CUT_WHOLE;
    cut->why = why;
    return APIARY_OK;
}

enum apiary_code ap_cut_find(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_tree_names *names, const struct ap_cut_options *options, struct ap_cut *out,
    struct apiary_error *err)
{
    *out = (struct ap_cut) { .kind = AP_CUT_WHOLE };
    struct ap_cut_state *state = ap_arena_alloc(arena, sizeof *state);
    if (state == NULL) return ap_fail_memory(err, "the parts of a statement");
    *state = (struct ap_cut_state) {
        .arena = arena, .names = names, .options = options, .tree = tree
    };
    out->state = state;
    const char *why = ap_cut_refusal(tree, names, options);
    if (why != NULL) return ap_cut_whole(out, why);
    AP_TRY(ap_cut_index_build(arena, tree, names, &state->index, err));
    struct candidate *candidates = NULL;
    size_t count = 0;
    AP_TRY(candidates_of(state, &candidates, &count, err));
    const char *first_why = NULL;
    /* To gather the rows of a subquery in an expression comes last: another reference most often gives
     * less than it reads. */
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < count; i++) {
            AP_TRY(try_reference(out, candidates[i].use, &why, err));
            if (first_why == NULL) first_why = why; /* of the largest */
            if (why != NULL) continue;
            if (round > 0 || out->kind != AP_CUT_GATHER || !state->b->in_expression)
                return APIARY_OK;
        }
    return ap_cut_whole(out, first_why != NULL ? first_why : "no frame in it can be divided");
}
