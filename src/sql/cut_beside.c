/* What stands beside the linear part: queries that every task reads whole.
 *
 * All tasks must see the same rows in them. Scans, filters, projections, joins and exact aggregates
 * give the same rows wherever they run; the order of rows, and so LIMIT, windows, sums of floats,
 * any_value and the like, may differ. What is not sure is run first, once, and read as a table. */
#include "sql/cut_private.h"

enum { DEPTH_MAX = 1000 };

struct beside {
    struct ap_cut *cut;
    struct ap_cut_state *state;
    const char *why;
    size_t capacity;
    bool failed;
    int depth;
};

/* ---- exactness ---- */

static bool exact_type(struct ap_str id)
{
    static const char *const ids[] = { "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
        "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "DECIMAL", "BOOLEAN" };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (ap_str_is(id, ids[i])) return true;
    return false;
}

/* Is some expression of the statement known by this name? Then it may hide a column. */
static bool is_alias(yyjson_val *value, struct ap_str name)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) if (is_alias(item, name)) return true;
        return false;
    }
    if (!yyjson_is_obj(value)) return false;
    if (yyjson_obj_get(value, "class") && ap_str_equal_nocase(ap_node_str(value, "alias"), name))
        return true;
    yyjson_val *renamed = yyjson_obj_get(value, "column_name_alias");
    if (renamed == NULL) renamed = yyjson_obj_get(value, "aliases");
    yyjson_arr_foreach(renamed, index, count, item)
    {
        struct ap_str text = { yyjson_get_str(item), yyjson_get_len(item) };
        if (text.data != NULL && ap_str_equal_nocase(text, name)) return true;
    }
    yyjson_obj_foreach(value, index, count, key, item) if (is_alias(item, name)) return true;
    return false;
}

static bool is_exact(const struct beside *beside, yyjson_val *node, int depth)
{
    static const char *const operators[] = { "+", "-", "*" };
    if (depth > DEPTH_MAX) return false;
    if (ap_node_is(node, "class", "CONSTANT"))
        return exact_type(ap_node_str(yyjson_obj_get(yyjson_obj_get(node, "value"), "type"), "id"));
    if (ap_node_is(node, "class", "CAST"))
        return exact_type(ap_node_str(yyjson_obj_get(node, "cast_type"), "id"));
    if (ap_node_is(node, "class", "COLUMN_REF")) {
        const struct ap_cut_options *options = beside->state->options;
        yyjson_val *last = yyjson_arr_get_last(yyjson_obj_get(node, "column_names"));
        struct ap_str name = { yyjson_get_str(last), yyjson_get_len(last) };
        return name.data != NULL && options->exact_column != NULL &&
               options->exact_column(options->context, name) &&
               !is_alias(yyjson_doc_get_root(beside->state->tree), name);
    }
    if (!ap_node_is(node, "class", "FUNCTION")) return false;
    struct ap_str name = ap_node_str(node, "function_name");
    bool known = false;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        known |= ap_str_is(name, operators[i]);
    if (!known) return false;
    size_t index, count;
    yyjson_val *child;
    yyjson_arr_foreach(yyjson_obj_get(node, "children"), index, count,
        child) if (!is_exact(beside, child, depth + 1)) return false;
    return true;
}

static bool exact_call(const struct beside *beside, yyjson_val *node)
{
    const struct ap_cut_aggregate_kind *kind =
        ap_cut_aggregate(ap_node_str(node, "function_name"));
    yyjson_val *children = yyjson_obj_get(node, "children");
    if (kind->arguments >= 0 && (size_t)kind->arguments != yyjson_arr_size(children)) return false;
    if (kind->exact) return true;
    return kind->if_exact && is_exact(beside, yyjson_arr_get_first(children), 0);
}

/* ---- sure to be the same ---- */

static bool is_sure(struct beside *beside, yyjson_val *value);

static bool sure_modifiers(yyjson_val *list)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(list, index, count, modifier)
    {
        if (ap_node_is(modifier, "type", "ORDER_MODIFIER")) continue;
        if (ap_node_is(modifier, "type", "DISTINCT_MODIFIER") &&
            !ap_node_list(modifier, "distinct_on_targets"))
            continue;
        return false;
    }
    return true;
}

static bool sure_function(yyjson_val *node)
{
    static const char *const tables[] = { "range", "generate_series", "unnest", "repeat" };
    if (!ap_node_is(node, "type", "TABLE_FUNCTION")) return true;
    struct ap_str name = ap_node_str(yyjson_obj_get(node, "function"), "function_name");
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (ap_str_equal_nocase(name, ap_str_from(tables[i]))) return true;
    return false;
}

static bool sure_node(struct beside *beside, yyjson_val *node)
{
    if (ap_node_is_query(node)) {
        bool known = ap_node_is(node, "type", "SELECT_NODE") ||
                     ap_node_is(node, "type", "SET_OPERATION_NODE");
        if (!known || !sure_modifiers(yyjson_obj_get(node, "modifiers"))) return false;
    }
    if (yyjson_obj_get(node, "sample") != NULL && ap_json_member(node, "sample") != NULL)
        return false;
    if (ap_node_is(node, "class", "WINDOW")) return false;
    if (ap_cut_is_aggregate_call(node) && !exact_call(beside, node)) return false;
    if (!sure_function(node)) return false;
    if (!ap_node_is(node, "type", "BASE_TABLE")) return true;
    struct ap_cut_use *use = ap_cut_use_of(&beside->state->index, node);
    if (use == NULL || use->with == NULL) return true;
    return use->with->body != NULL && is_sure(beside, use->with->body->node);
}

/* WITH names are judged where they are used. */
static bool is_sure(struct beside *beside, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value)) return true;
    if (beside->depth > DEPTH_MAX) return false;
    beside->depth++;
    bool sure = yyjson_is_arr(value) || sure_node(beside, value);
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) sure = sure && is_sure(beside, item);
    } else
        yyjson_obj_foreach(value, index, count, key, item) if (!yyjson_equals_str(key, "cte_map"))
            sure = sure && is_sure(beside, item);
    beside->depth--;
    return sure;
}

/* ---- how large ---- */

static uint64_t bytes_of(struct beside *beside, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    uint64_t bytes = 0;
    if (!yyjson_is_ctn(value) || beside->depth > DEPTH_MAX) return 0;
    beside->depth++;
    if (ap_node_is(value, "type", "BASE_TABLE")) {
        struct ap_cut_use *use = ap_cut_use_of(&beside->state->index, value);
        if (use != NULL && use->with != NULL && use->with->body != NULL)
            bytes = bytes_of(beside, use->with->body->node);
        else if (use != NULL && use->table != SIZE_MAX)
            bytes = beside->state->options->tables[use->table].bytes;
    } else if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) bytes += bytes_of(beside, item);
    } else
        yyjson_obj_foreach(value, index, count, key, item) if (!yyjson_equals_str(key, "cte_map"))
            bytes += bytes_of(beside, item);
    beside->depth--;
    return bytes;
}

/* Worth a query of its own: it gives less than it reads. */
static bool is_large(struct beside *beside, yyjson_val *node)
{
    uint64_t limit = beside->state->options->first_bytes;
    if (limit == 0 || !ap_node_is(node, "type", "SELECT_NODE")) return false;
    bool reduces = ap_node_list(node, "group_expressions") != NULL ||
                   ap_node_list(node, "modifiers") != NULL ||
                   !ap_node_is(node, "aggregate_handling", "STANDARD_HANDLING") ||
                   ap_cut_has_aggregate(yyjson_obj_get(node, "select_list"));
    return reduces && bytes_of(beside, node) >= limit;
}

/* ---- the walk over the fragment ---- */

static void visit(struct beside *beside, yyjson_val *value);

static void add_first(struct beside *beside, yyjson_val *node, bool needed)
{
    struct ap_cut *cut = beside->cut;
    if (cut->first_count == beside->capacity) {
        size_t room = beside->capacity == 0 ? 4 : beside->capacity * 2;
        struct ap_cut_first *grown = ap_arena_alloc(beside->state->arena, room * sizeof *grown);
        if (grown == NULL) {
            beside->failed = true;
            return;
        }
        if (cut->first_count > 0)
            memcpy(grown, cut->firsts, cut->first_count * sizeof *grown);
        cut->firsts = grown;
        beside->capacity = room;
    }
    cut->firsts[cut->first_count++] = (struct ap_cut_first) { node, needed };
}

static void judge(struct beside *beside, struct ap_cut_query *query)
{
    const struct ap_cut_options *options = beside->state->options;
    bool bound = false;
    for (size_t i = 0; i < beside->cut->first_count; i++)
        if (beside->cut->firsts[i].node == query->node) return;
    for (size_t i = 0; i < options->bound_count; i++) bound |= options->bound[i] == query->node;
    bool sure = (options->mistakes & AP_CUT_MISTAKE_LIMIT) || is_sure(beside, query->node);
    if (!sure && bound)
        beside->why = "a query in it depends on the rows around it and may come out differently each time";
    else if (!sure)
        add_first(beside, query->node, true);
    else if (!bound && is_large(beside, query->node))
        add_first(beside, query->node, false);
}

static void visit_query(struct beside *beside, struct ap_cut_query *query)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!query->holds_r) {
        judge(beside, query);
        return;
    }
    yyjson_obj_foreach(query->node, index, count, key,
        item) if (!yyjson_equals_str(key, "cte_map")) visit(beside, item);
}

static void visit(struct beside *beside, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value) || beside->why != NULL) return;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) visit(beside, item);
        return;
    }
    if (ap_node_is_query(value)) {
        struct ap_cut_query *query = ap_cut_query_of(&beside->state->index, value);
        if (query != NULL) visit_query(beside, query);
        return;
    }
    if (ap_json_member(value, "sample") != NULL) {
        beside->why = "it takes a sample";
        return;
    }
    if (ap_node_is(value, "type", "BASE_TABLE")) {
        struct ap_cut_use *use = ap_cut_use_of(&beside->state->index, value);
        if (use != NULL && use->with != NULL) {
            if (use->with->body == NULL)
                beside->why = "it stands in a recursion";
            else
                visit_query(beside, use->with->body);
        }
        return;
    }
    if (!sure_function(value)) {
        beside->why = "it calls a table function that need not give the same rows everywhere";
        return;
    }
    yyjson_obj_foreach(value, index, count, key, item) visit(beside, item);
}

enum apiary_code ap_cut_beside(struct ap_cut *cut, const char **why, struct apiary_error *err)
{
    struct ap_cut_state *state = cut->state;
    struct beside beside = { .cut = cut, .state = state };
    yyjson_val *node = state->b->node;
    visit(&beside, yyjson_obj_get(node, "from_table"));
    visit(&beside, yyjson_obj_get(node, "where_clause"));
    if (cut->kind == AP_CUT_AGGREGATE)
        for (size_t i = 0; i < state->call_count; i++) visit(&beside, state->calls[i].node);
    if (cut->kind == AP_CUT_AGGREGATE) visit(&beside, yyjson_obj_get(node, "group_expressions"));
    if (cut->kind != AP_CUT_AGGREGATE && !cut->rows) {
        visit(&beside, yyjson_obj_get(node, "select_list"));
        visit(&beside, yyjson_obj_get(node, "modifiers"));
        visit(&beside, yyjson_obj_get(node, "left")); /* of UNION ALL */
        visit(&beside, yyjson_obj_get(node, "right"));
    }
    if (beside.failed) return ap_fail_memory(err, "the parts of a statement");
    *why = beside.why;
    return APIARY_OK;
}
