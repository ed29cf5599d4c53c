/* The walk that notes where every query, table and WITH name stands. The rules of names are those of
 * tree_names.c. */
#include "sql/cut_private.h"

struct place {
    struct ap_cut_query *owner;
    enum ap_cut_place place; /* of a query found here */
    yyjson_val *holder;
    struct ap_cut_with *with;
    const struct ap_cte *scope;
    bool in_from, in_expression;
};
struct walk {
    struct ap_arena *arena;
    struct ap_map tables; /* address of a node → index */
    struct ap_cut_query **query_end;
    struct ap_cut_with **with_end;
    struct ap_cut_use **use_end;
    struct apiary_error *err;
};

static enum apiary_code visit(struct walk *walk, yyjson_val *value, struct place at, int depth);

static void *make(struct walk *walk, size_t size)
{
    return ap_arena_alloc(walk->arena, size);
}

static enum apiary_code no_memory(struct walk *walk)
{
    return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the parts of a statement");
}

static struct ap_str address(yyjson_val *const *node)
{
    return (struct ap_str) { (const char *)node, sizeof *node };
}

static enum apiary_code note_table(struct walk *walk, yyjson_val *node, const struct place *at)
{
    struct ap_cut_use *use = make(walk, sizeof *use);
    if (use == NULL) return no_memory(walk);
    const struct ap_cte *cte = ap_cte_of(at->scope, node);
    uint64_t table = 0;
    bool known = ap_map_get(&walk->tables, address(&node), &table);
    *use = (struct ap_cut_use) { .node = node,
        .owner = at->owner,
        .with = cte != NULL ? cte->body : NULL,
        .table = known ? (size_t)table : SIZE_MAX };
    if (use->with != NULL) {
        use->next_of_with = use->with->uses;
        use->with->uses = use;
        use->with->use_count++;
    }
    *walk->use_end = use;
    walk->use_end = &use->next;
    return APIARY_OK;
}

static enum apiary_code visit_with(struct walk *walk, yyjson_val *entry, const struct place *at,
    const struct ap_cte **scope, int depth)
{
    struct ap_cut_with *with = make(walk, sizeof *with);
    struct ap_cte *cte = make(walk, sizeof *cte);
    if (with == NULL || cte == NULL) return no_memory(walk);
    *with = (struct ap_cut_with) {
        .entry = entry, .name = ap_node_str(entry, "key"), .owner = at->owner
    };
    struct place inside = { .owner = at->owner,
        .place = AP_PLACE_WITH,
        .with = with,
        .scope = *scope,
        .in_expression = at->in_expression };
    AP_TRY(visit(walk, yyjson_obj_get(entry, "value"), inside, depth));
    *walk->with_end = with;
    walk->with_end = &with->next;
    *cte = (struct ap_cte) { .name = with->name, .body = with, .outer = *scope };
    *scope = cte;
    return APIARY_OK;
}

static enum ap_cut_place place_of_member(yyjson_val *node, yyjson_val *key)
{
    if (!ap_node_is(node, "type", "SET_OPERATION_NODE")) return AP_PLACE_OTHER;
    if (!yyjson_equals_str(key, "left") && !yyjson_equals_str(key, "right")) return AP_PLACE_OTHER;
    if (ap_cut_is_union_all(node)) return AP_PLACE_UNION_ALL;
    bool all = yyjson_get_bool(yyjson_obj_get(node, "setop_all"));
    return ap_node_is(node, "setop_type", "UNION") && !all ? AP_PLACE_UNION : AP_PLACE_OTHER;
}

static enum apiary_code visit_query(
    struct walk *walk, yyjson_val *node, const struct place *at, int depth)
{
    struct ap_cut_query *query = make(walk, sizeof *query);
    if (query == NULL) return no_memory(walk);
    *query = (struct ap_cut_query) { .node = node,
        .owner = at->owner,
        .place = at->place,
        .in_expression = at->in_expression,
        .holder = at->place == AP_PLACE_FROM ? at->holder : NULL,
        .with = at->place == AP_PLACE_WITH ? at->with : NULL,
        .scope = at->scope };
    if (query->with != NULL && query->with->body == NULL) query->with->body = query;
    *walk->query_end = query;
    walk->query_end = &query->next;

    struct place inside = { .owner = query, .scope = at->scope, .in_expression = at->in_expression };
    size_t index, count;
    yyjson_val *key, *value;
    yyjson_val *map = yyjson_obj_get(yyjson_obj_get(node, "cte_map"), "map");
    yyjson_arr_foreach(map, index, count, value)
        AP_TRY(visit_with(walk, value, &inside, &inside.scope, depth));

    struct ap_cut_with *self = NULL; /* the name that a recursion defines, seen by its right side */
    struct ap_cte self_scope = { 0 };
    if (ap_node_is(node, "type", "RECURSIVE_CTE_NODE")) {
        self = make(walk, sizeof *self);
        if (self == NULL) return no_memory(walk);
        *self = (struct ap_cut_with) { .name = ap_node_str(node, "cte_name"), .owner = query };
        self_scope = (struct ap_cte) { .name = self->name, .body = self, .outer = inside.scope };
    }
    yyjson_obj_foreach(node, index, count, key, value)
    {
        if (yyjson_equals_str(key, "cte_map")) continue;
        struct place here = inside;
        here.in_from = yyjson_equals_str(key, "from_table");
        here.place = place_of_member(node, key);
        if (self != NULL && yyjson_equals_str(key, "right")) {
            struct ap_cte *cte = make(walk, sizeof *cte);
            if (cte == NULL) return no_memory(walk);
            *cte = self_scope;
            here.scope = cte;
        }
        if (!here.in_from && !ap_node_is_query(value)) here.in_expression = true;
        AP_TRY(visit(walk, value, here, depth));
    }
    return APIARY_OK;
}

static enum apiary_code visit(struct walk *walk, yyjson_val *value, struct place at, int depth)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value)) return APIARY_OK;
    if (depth > AP_TREE_DEPTH_MAX)
        return ap_fail(walk->err, APIARY_LIMIT, "the statement is nested too deeply");
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item)
            AP_TRY(visit(walk, item, at, depth + 1));
        return APIARY_OK;
    }
    if (ap_node_is_query(value)) return visit_query(walk, value, &at, depth + 1);
    if (ap_node_is(value, "type", "BASE_TABLE") && yyjson_obj_get(value, "table_name"))
        AP_TRY(note_table(walk, value, &at));
    if (at.in_from && yyjson_obj_get(value, "class")) {
        at.in_from = false; /* a condition, an argument */
        at.in_expression = true;
        at.place = AP_PLACE_OTHER;
    }
    if (at.in_from) {
        bool holds = ap_node_is(value, "type", "SUBQUERY");
        if (yyjson_obj_get(value, "type")) at.holder = holds ? value : NULL;
        at.place = at.holder != NULL ? AP_PLACE_FROM : AP_PLACE_OTHER;
    }
    yyjson_obj_foreach(value, index, count, key, item) AP_TRY(visit(walk, item, at, depth + 1));
    return APIARY_OK;
}

enum apiary_code ap_cut_index_build(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_tree_names *names, struct ap_cut_index *out, struct apiary_error *err)
{
    yyjson_val *node = NULL;
    AP_TRY(ap_tree_root(tree, &node, err));
    struct ap_cut_index index = { 0 };
    struct walk walk = { .arena = arena,
        .query_end = &index.queries,
        .with_end = &index.withs,
        .use_end = &index.uses,
        .err = err };
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; names != NULL && code == APIARY_OK && i < names->table_count; i++)
        code = ap_map_put(&walk.tables, address(&names->tables[i].node), i, err);
    if (code == APIARY_OK) code = visit(&walk, node, (struct place) { .place = AP_PLACE_ROOT }, 0);
    ap_map_done(&walk.tables);
    if (code == APIARY_OK) *out = index;
    return code;
}

struct ap_cut_query *ap_cut_query_of(const struct ap_cut_index *index, const yyjson_val *node)
{
    for (struct ap_cut_query *query = index->queries; query != NULL; query = query->next)
        if (query->node == node) return query;
    return NULL;
}

struct ap_cut_use *ap_cut_use_of(const struct ap_cut_index *index, const yyjson_val *node)
{
    for (struct ap_cut_use *use = index->uses; use != NULL; use = use->next)
        if (use->node == node) return use;
    return NULL;
}
