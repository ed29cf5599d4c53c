#include "sql/predicate_private.h"

/* The newest WITH name in scope comes first; `body` is its struct ap_with. */
static struct ap_query *build_query(
    struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope);

static void add_child(struct ap_query *parent, struct ap_query *child)
{
    if (!child) return;
    child->sibling = parent->children;
    parent->children = child;
}

/* A reference to a WITH name where nothing is pushed: it demands nothing. */
static void note_use(const struct ap_cte *scope, yyjson_val *base_table)
{
    const struct ap_cte *cte = ap_cte_of(scope, base_table);
    if (cte) ((struct ap_with *)cte->body)->uses++;
}

/* Queries anywhere in an expression (or in whatever is not understood) become children. */
static void scan(struct ap_predicates *run, yyjson_val *value, const struct ap_cte *scope,
    struct ap_query *parent)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value) || run->failed) return;
    if (yyjson_is_obj(value)) {
        if (ap_node_is_query(value)) {
            add_child(parent, build_query(run, value, scope));
            return;
        }
        if (ap_node_is(value, "type", "BASE_TABLE")) note_use(scope, value);
        yyjson_obj_foreach(value, index, count, key, item) scan(run, item, scope, parent);
    } else {
        yyjson_arr_foreach(value, index, count, item) scan(run, item, scope, parent);
    }
}

static enum ap_join_kind join_kind(yyjson_val *node)
{
    static const struct {
        const char *type;
        enum ap_join_kind kind;
    } kinds[] = { { "INNER", AP_JOIN_INNER }, { "LEFT", AP_JOIN_LEFT }, { "RIGHT", AP_JOIN_RIGHT },
        { "FULL", AP_JOIN_FULL }, { "OUTER", AP_JOIN_FULL }, { "SEMI", AP_JOIN_SEMI },
        { "ANTI", AP_JOIN_ANTI } };
    struct ap_str ref = ap_node_str(node, "ref_type"), type = ap_node_str(node, "join_type");
    bool inner = ap_str_is(type, "INNER");
    if (ap_str_is(ref, "ASOF"))
        return inner || ap_str_is(type, "LEFT") ? AP_JOIN_ASOF : AP_JOIN_NONE;
    if (ap_str_is(ref, "CROSS")) return inner ? AP_JOIN_INNER : AP_JOIN_NONE;
    if (!ap_str_is(ref, "REGULAR") && !ap_str_is(ref, "NATURAL")) return AP_JOIN_NONE;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ap_str_is(type, kinds[i].type)) return kinds[i].kind;
    return AP_JOIN_NONE;
}

static bool is_join(yyjson_val *node)
{
    return ap_node_is(node, "type", "JOIN");
}

static size_t count_leaves(yyjson_val *node)
{
    size_t count = 1;
    for (; is_join(node); node = yyjson_obj_get(node, "left")) {
        if (count > LEAVES_MAX) return count;
        count += count_leaves(yyjson_obj_get(node, "right"));
    }
    return count;
}

static void fill_table(
    struct ap_predicates *run, struct ap_leaf *leaf, yyjson_val *node, const struct ap_cte *scope)
{
    const struct ap_cte *cte = ap_cte_of(scope, node);
    uint64_t index;
    if (cte) {
        leaf->with = cte->body;
        leaf->with->uses++;
        if (leaf->with->query) leaf->kind = AP_LEAF_WITH;
    } else if (ap_map_get(
                   &run->tables, (struct ap_str) { (const char *)&node, sizeof(node) }, &index)) {
        leaf->kind = AP_LEAF_TABLE;
        leaf->table = (size_t)index;
        leaf->box = ap_node_str(node, "schema_name");
        leaf->hive = ap_node_str(node, "catalog_name");
    }
}

static void build_leaf(struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope,
    struct ap_query *query, struct ap_leaf *leaf)
{
    yyjson_val *inner = yyjson_obj_get(yyjson_obj_get(node, "subquery"), "node");
    *leaf = (struct ap_leaf) { .kind = AP_LEAF_OPAQUE, .name = ap_node_str(node, "alias") };
    leaf->has_alias = leaf->name.size > 0;
    leaf->renamed = ap_node_list(node, "column_name_alias");
    leaf->sampled = ap_json_member(node, "sample") != NULL;
    if (ap_node_is(node, "type", "BASE_TABLE")) {
        if (!leaf->has_alias) leaf->name = ap_node_str(node, "table_name");
        fill_table(run, leaf, node, scope);
        scan(run, yyjson_obj_get(node, "at_clause"), scope, query);
    } else if (ap_node_is(node, "type", "SUBQUERY") && ap_node_is_query(inner)) {
        leaf->query = build_query(run, inner, scope);
        if (leaf->query) leaf->kind = AP_LEAF_QUERY;
    } else {
        scan(run, node, scope, query);
    }
}

static struct ap_from *build_from(struct ap_predicates *run, yyjson_val *node,
    const struct ap_cte *scope, struct ap_query *query, const struct ap_from *behind)
{
    struct ap_from *from = ap_predicates_alloc(run, sizeof *from);
    if (!from) return NULL;
    from->first = query->leaf_count;
    if (!is_join(node)) {
        build_leaf(run, node, scope, query, &query->leaves[query->leaf_count]);
        query->leaves[query->leaf_count++].behind = behind;
        from->end = query->leaf_count;
        return from;
    }
    from->kind = join_kind(node);
    from->on = ap_json_member(node, "condition");
    from->merged = ap_node_list(node, "using_columns");
    from->natural = ap_node_is(node, "ref_type", "NATURAL");
    bool hides = from->kind == AP_JOIN_SEMI || from->kind == AP_JOIN_ANTI;
    scan(run, from->on, scope, query);
    from->left = build_from(run, yyjson_obj_get(node, "left"), scope, query, behind);
    from->right =
        build_from(run, yyjson_obj_get(node, "right"), scope, query, hides ? from : behind);
    from->end = query->leaf_count;
    return from->left && from->right ? from : NULL;
}

static void build_select(
    struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope, struct ap_query *query)
{
    size_t index, count;
    yyjson_val *key, *value, *table = yyjson_obj_get(node, "from_table");
    size_t leaves = count_leaves(table);
    if (leaves <= LEAVES_MAX) {
        query->leaves = ap_predicates_alloc(run, leaves * sizeof *query->leaves);
        if (query->leaves) query->from = build_from(run, table, scope, query, NULL);
    } else {
        scan(run, table, scope, query);
    }
    yyjson_obj_foreach(node, index, count, key, value)
    {
        if (!yyjson_equals_str(key, "cte_map") && !yyjson_equals_str(key, "from_table"))
            scan(run, value, scope, query);
    }
}

static void build_other(
    struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope, struct ap_query *query)
{
    size_t index, count;
    yyjson_val *key, *value;
    struct ap_with *self =
        ap_predicates_alloc(run, sizeof *self); /* without a query: it is opaque */
    struct ap_cte with_self = {
        .name = ap_node_str(node, "cte_name"), .body = self, .outer = scope
    };
    bool recursive = ap_node_is(node, "type", "RECURSIVE_CTE_NODE");
    if (!self) return;
    yyjson_obj_foreach(node, index, count, key, value)
    {
        if (yyjson_equals_str(key, "cte_map")) continue;
        scan(run, value, recursive && yyjson_equals_str(key, "right") ? &with_self : scope, query);
    }
}

static const struct ap_cte *build_withs(
    struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope, struct ap_query *query)
{
    size_t index, count;
    yyjson_val *entry, *map = yyjson_obj_get(yyjson_obj_get(node, "cte_map"), "map");
    yyjson_arr_foreach(map, index, count, entry)
    {
        yyjson_val *value = yyjson_obj_get(entry, "value"),
                   *body = yyjson_obj_get(yyjson_obj_get(value, "query"), "node");
        struct ap_with *with = ap_predicates_alloc(run, sizeof *with);
        struct ap_cte *cte = ap_predicates_alloc(run, sizeof *cte);
        if (!with || !cte) return scope;
        with->name = ap_node_str(entry, "key");
        with->aliases = ap_node_list(value, "aliases");
        with->query = ap_node_is_query(body) ? build_query(run, body, scope) : NULL;
        with->older = query->withs;
        query->withs = with;
        scan(run, yyjson_obj_get(value, "key_targets"), scope, query);
        *cte = (struct ap_cte) { .name = with->name, .body = with, .outer = scope };
        scope = cte;
    }
    return scope;
}

static struct ap_query *build_query(
    struct ap_predicates *run, yyjson_val *node, const struct ap_cte *scope)
{
    struct ap_query *query = ap_predicates_alloc(run, sizeof *query);
    if (!query) return NULL;
    query->node = node;
    query->is_select = ap_node_is(node, "type", "SELECT_NODE");
    scope = build_withs(run, node, scope, query);
    if (query->is_select)
        build_select(run, node, scope, query);
    else
        build_other(run, node, scope, query);
    return query;
}

struct ap_query *ap_query_build(struct ap_predicates *run, yyjson_val *node)
{
    return build_query(run, node, NULL);
}
