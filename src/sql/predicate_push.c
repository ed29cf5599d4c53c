/* Which expressions the rows of a table must satisfy: from WHERE and from what the queries around
 * demand, down through the joins, and through the ONs on the way.
 *
 * By the kind of a join, what stands above it and its own ON reach
 *
 *              left side            right side
 *   INNER      above, ON            above, ON
 *   LEFT       above                ON; a row taken from the right turns a match into a row of
 *                                   NULLs: where what is above is never true of such a row, none
 *                                   survives and the join is as good as INNER
 *   RIGHT      the mirror image
 *   FULL       neither; as good as RIGHT, LEFT or INNER where NULLs on a side do not survive
 *   SEMI       above, ON            ON
 *   ANTI       above                ON (who does not match takes no part)
 *   ASOF       above                nothing: another row would become the nearest
 *   others     nothing              nothing
 *
 * What a query demands of a query in its FROM is said in output columns, and goes on where such a
 * column is plainly one of that query's own tables; not below LIMIT, DISTINCT ON, windows, samples
 * and set operations (whose branches are cast to common types), below GROUP BY only for its keys.
 * A WITH name is pushed the OR of what all its uses demand, after all of them were visited. */
#include "sql/predicate_private.h"

enum { STEPS_MAX = 2000000, VISIT_DEPTH_MAX = 200 };

/* What rows must satisfy: an expression in its scope, or a predicate over output columns. */
struct wish {
    yyjson_val *expression;
    struct ap_scope scope;
    const struct ap_predicate *demand;
    yyjson_val *renamed;
    const struct wish *next;
};

bool ap_predicates_step(struct ap_predicates *run)
{
    return ++run->steps < STEPS_MAX && !run->failed;
}

void *ap_predicates_alloc(struct ap_predicates *run, size_t size)
{
    void *memory = ap_arena_alloc(run->arena, size);
    if (!memory) run->failed = true;
    return memory;
}

static void visit(struct ap_predicates *run, struct ap_query *query,
    const struct ap_predicate *demand, yyjson_val *renamed, int depth);

/* ---- demands through a query's select list ---- */

/* Is the column one of the keys that the query groups by? */
static bool is_key(
    struct ap_predicates *run, const struct ap_scope *scope, const struct ap_named_column *column)
{
    yyjson_val *node = scope->query->node, *keys = yyjson_obj_get(node, "group_expressions"), *key;
    size_t index, count;
    if (ap_node_is(node, "aggregate_handling", "FORCE_AGGREGATES")) return true; /* GROUP BY ALL */
    yyjson_arr_foreach(keys, index, count, key)
    {
        struct ap_named_column found;
        int64_t position;
        if (ap_node_is(key, "class", "CONSTANT") &&
            ap_json_i64(yyjson_obj_get(key, "value"), "value", &position) && position > 0)
            key = yyjson_arr_get(yyjson_obj_get(node, "select_list"), (size_t)position - 1);
        if (ap_named_column_of(run, scope, key, &found) && ap_named_column_same(&found, column))
            return true;
    }
    return false;
}

static bool is_grouped(yyjson_val *node)
{
    return ap_node_list(node, "group_expressions") || ap_node_list(node, "group_sets") ||
           !ap_node_is(node, "aggregate_handling", "STANDARD_HANDLING");
}

static const struct ap_predicate *translate_column(struct ap_predicates *run,
    const struct ap_predicate *demand, const struct ap_scope *scope, yyjson_val *renamed,
    const struct ap_leaf *leaf)
{
    struct ap_named_column column;
    if (ap_query_output(run, scope->query, renamed, demand->column[0], &column) !=
            AP_OUTPUT_COLUMN ||
        column.leaf != leaf)
        return NULL;
    if (is_grouped(scope->query->node) && !is_key(run, scope, &column)) return NULL;
    size_t depth = column.depth + demand->column_depth - 1;
    struct ap_str *path = ap_predicates_alloc(run, depth * sizeof *path);
    struct ap_predicate *made = ap_predicates_alloc(run, sizeof *made);
    if (!path || !made) return NULL;
    memcpy(path, column.path, column.depth * sizeof *path);
    memcpy(path + column.depth, demand->column + 1, (demand->column_depth - 1) * sizeof *path);
    *made = *demand;
    made->column = path;
    made->column_depth = depth;
    return made;
}

static const struct ap_predicate *translate(struct ap_predicates *run,
    const struct ap_predicate *demand, const struct ap_scope *scope, yyjson_val *renamed,
    const struct ap_leaf *leaf)
{
    if (!ap_predicates_step(run)) return NULL;
    switch (demand->kind) {
        case AP_PREDICATE_TRUE: return NULL;
        case AP_PREDICATE_FALSE: return demand;
        case AP_PREDICATE_AND:
        case AP_PREDICATE_OR: break;
        default: return translate_column(run, demand, scope, renamed, leaf);
    }
    const struct ap_predicate **list = ap_predicates_alloc(run, demand->child_count * sizeof *list);
    if (!list) return NULL;
    for (size_t i = 0; i < demand->child_count; i++)
        list[i] = translate(run, demand->children[i], scope, renamed, leaf);
    return ap_predicate_list(run, demand->kind, list, demand->child_count);
}

static bool has_window(yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value) || ap_node_is_query(value)) return false;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) if (has_window(item)) return true;
        return false;
    }
    if (ap_node_is(value, "class", "WINDOW")) return true;
    yyjson_obj_foreach(value, index, count, key, item) if (has_window(item)) return true;
    return false;
}

/* May rows be taken away below the select list because of what its outputs must satisfy? */
static bool lets_through(yyjson_val *node)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count, modifier)
    {
        bool distinct = ap_node_is(modifier, "type", "DISTINCT_MODIFIER") &&
                        !ap_node_list(modifier, "distinct_on_targets");
        if (!distinct && !ap_node_is(modifier, "type", "ORDER_MODIFIER")) return false;
        if (has_window(modifier)) return false;
    }
    if (yyjson_arr_size(yyjson_obj_get(node, "group_sets")) > 1 || ap_json_member(node, "qualify"))
        return false;
    return !has_window(yyjson_obj_get(node, "select_list"));
}

/* ---- joins ---- */

static const struct ap_predicate *wishes_of(
    struct ap_predicates *run, const struct wish *wishes, const struct ap_leaf *leaf)
{
    const struct ap_predicate *all = NULL;
    for (; wishes; wishes = wishes->next) {
        const struct ap_predicate *one =
            wishes->expression
                ? ap_expression_demand(run, wishes->expression, &wishes->scope, leaf, true, 0)
                : translate(run, wishes->demand, &wishes->scope, wishes->renamed, leaf);
        all = ap_predicate_both(run, all, one);
    }
    return all;
}

/* Does no row survive whose columns of that side are all NULL? */
static bool refuses_nulls(struct ap_predicates *run, const struct ap_query *query,
    const struct ap_from *side, const struct wish *wishes)
{
    if (!wishes) return false;
    for (size_t i = side->first; i < side->end; i++)
        if (!ap_predicate_takes_null(wishes_of(run, wishes, &query->leaves[i]))) return true;
    return false;
}

static void push_leaf(
    struct ap_predicates *run, struct ap_leaf *leaf, const struct wish *wishes, int depth)
{
    const struct ap_predicate *demand =
        leaf->sampled || leaf->kind == AP_LEAF_OPAQUE ? NULL : wishes_of(run, wishes, leaf);
    switch (leaf->kind) {
        case AP_LEAF_OPAQUE: break;
        case AP_LEAF_TABLE:
            run->names->tables[leaf->table].predicate = (struct ap_predicate *)(uintptr_t)demand;
            break;
        case AP_LEAF_QUERY: visit(run, leaf->query, demand, leaf->renamed, depth + 1); break;
        case AP_LEAF_WITH:
            leaf->with->demand = leaf->with->reached++
                                     ? ap_predicate_either(run, leaf->with->demand, demand)
                                     : demand;
            if (!demand || leaf->renamed) leaf->with->free = true;
            break;
    }
}

static void push(struct ap_predicates *run, struct ap_query *query, const struct ap_from *from,
    const struct wish *above, int depth)
{
    if (!from->left) {
        push_leaf(run, &query->leaves[from->first], above, depth);
        return;
    }
    struct wish own = {
        .expression = from->on, .scope = { .query = query, .at = from }, .next = NULL
    };
    struct wish also = own;
    also.next = above;
    const struct wish *on = from->on ? &own : NULL, *both = from->on ? &also : above, *left = NULL,
                      *right = NULL;
    enum ap_join_kind kind = from->kind;
    if (kind == AP_JOIN_FULL && refuses_nulls(run, query, from->right, above))
        kind = AP_JOIN_RIGHT;
    else if (kind == AP_JOIN_FULL && refuses_nulls(run, query, from->left, above))
        kind = AP_JOIN_LEFT;
    if (kind == AP_JOIN_LEFT && refuses_nulls(run, query, from->right, above)) kind = AP_JOIN_INNER;
    if (kind == AP_JOIN_RIGHT && refuses_nulls(run, query, from->left, above)) kind = AP_JOIN_INNER;
    switch (kind) {
        case AP_JOIN_INNER: left = right = both; break;
        case AP_JOIN_LEFT: left = above, right = on; break;
        case AP_JOIN_RIGHT: left = on, right = above; break;
        case AP_JOIN_SEMI: left = both, right = on; break;
        case AP_JOIN_ANTI: left = above, right = on; break;
        case AP_JOIN_ASOF: left = above; break;
        case AP_JOIN_FULL:
        case AP_JOIN_NONE: break;
    }
    push(run, query, from->left, left, depth);
    push(run, query, from->right, right, depth);
}

/* ---- queries ---- */

static void visit_select(struct ap_predicates *run, struct ap_query *query,
    const struct ap_predicate *demand, yyjson_val *renamed, int depth)
{
    struct ap_scope scope = { .query = query, .at = query->from, .above = true };
    struct wish outer = { .scope = scope, .demand = demand, .renamed = renamed };
    struct wish where = { .expression = ap_json_member(query->node, "where_clause"),
        .scope = scope };
    const struct wish *wishes = NULL;
    if (demand && lets_through(query->node)) wishes = &outer;
    if (where.expression) {
        where.next = wishes;
        wishes = &where;
    }
    /* USING SAMPLE takes its sample of the FROM, before WHERE. */
    if (ap_json_member(query->node, "sample")) wishes = NULL;
    if (query->from) push(run, query, query->from, wishes, depth);
}

static void visit(struct ap_predicates *run, struct ap_query *query,
    const struct ap_predicate *demand, yyjson_val *renamed, int depth)
{
    if (query->visited || depth > VISIT_DEPTH_MAX || run->failed) return;
    query->visited = true;
    if (query->is_select) visit_select(run, query, demand, renamed, depth);
    for (struct ap_query *child = query->children; child; child = child->sibling)
        visit(run, child, NULL, NULL, depth + 1);
    for (struct ap_with *with = query->withs; with; with = with->older) {
        bool known = with->uses > 0 && with->reached == with->uses && !with->free;
        if (with->query)
            visit(run, with->query, known ? with->demand : NULL, with->aliases, depth + 1);
    }
}

static enum apiary_code map_tables(struct ap_predicates *run, struct apiary_error *err)
{
    for (size_t i = 0; i < run->names->table_count; i++) {
        struct ap_table_ref *table = &run->names->tables[i];
        struct ap_str key = { (const char *)&table->node, sizeof table->node };
        AP_TRY(ap_map_put(&run->tables, key, i, err));
        table->predicate = NULL;
    }
    return APIARY_OK;
}

enum apiary_code ap_tree_predicates(struct ap_arena *arena, yyjson_doc *tree,
    struct ap_tree_names *names, ap_has_column has_column, void *context, struct apiary_error *err)
{
    yyjson_val *node;
    AP_TRY(ap_tree_root(tree, &node, err));
    struct ap_predicates run = {
        .arena = arena, .names = names, .has_column = has_column, .context = context
    };
    struct ap_predicate *nothing =
        ap_predicates_alloc(&run, sizeof *nothing); /* zeroed: AP_PREDICATE_TRUE */
    enum apiary_code code = map_tables(&run, err);
    if (code == APIARY_OK && !run.failed) {
        struct ap_query *query = ap_query_build(&run, node);
        if (query) visit(&run, query, NULL, NULL, 0);
    }
    ap_map_done(&run.tables);
    for (size_t i = 0; i < names->table_count; i++)
        if (run.failed || !names->tables[i].predicate) names->tables[i].predicate = nothing;
    if (code == APIARY_OK && run.failed)
        return ap_fail(err, APIARY_MEMORY, "out of memory for predicates");
    return code;
}
