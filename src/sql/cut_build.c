/* Copies of trees with nodes put in place of others, and new nodes in the engine's form. */
#include "sql/cut_private.h"

enum { PRUNE_ROUNDS_MAX = 64 };

void ap_cut_put(
    struct ap_cut_copy *copy, yyjson_mut_val *object, const char *key, yyjson_mut_val *value)
{
    if (object == NULL || value == NULL ||
        !yyjson_mut_obj_put(object, yyjson_mut_strcpy(copy->doc, key), value))
        copy->failed = true;
}

void ap_cut_put_text(
    struct ap_cut_copy *copy, yyjson_mut_val *object, const char *key, struct ap_str text)
{
    ap_cut_put(copy, object, key, yyjson_mut_strncpy(copy->doc, text.data, text.size));
}

void ap_cut_append(
    struct ap_cut_copy *copy, yyjson_mut_val *object, const char *list, yyjson_mut_val *value)
{
    if (value == NULL || !yyjson_mut_arr_append(yyjson_mut_obj_get(object, list), value))
        copy->failed = true;
}

static yyjson_mut_val *object_of(struct ap_cut_copy *copy, const char *class, const char *type)
{
    yyjson_mut_val *node = yyjson_mut_obj(copy->doc);
    if (class != NULL) ap_cut_put_text(copy, node, "class", ap_str_from(class));
    ap_cut_put_text(copy, node, "type", ap_str_from(type));
    ap_cut_put_text(copy, node, "alias", AP_STR(""));
    ap_cut_put(copy, node, "query_location", yyjson_mut_uint(copy->doc, UINT64_MAX));
    return node;
}

static void put_list(struct ap_cut_copy *copy, yyjson_mut_val *node, const char *key)
{
    ap_cut_put(copy, node, key, yyjson_mut_arr(copy->doc));
}

static void put_null(struct ap_cut_copy *copy, yyjson_mut_val *node, const char *key)
{
    ap_cut_put(copy, node, key, yyjson_mut_null(copy->doc));
}

static void put_bool(struct ap_cut_copy *copy, yyjson_mut_val *node, const char *key, bool value)
{
    ap_cut_put(copy, node, key, yyjson_mut_bool(copy->doc, value));
}

yyjson_mut_val *ap_cut_column(struct ap_cut_copy *copy, const char *name)
{
    yyjson_mut_val *node = object_of(copy, "COLUMN_REF", "COLUMN_REF");
    put_list(copy, node, "column_names");
    ap_cut_append(copy, node, "column_names", yyjson_mut_strcpy(copy->doc, name));
    return node;
}

yyjson_mut_val *ap_cut_number(struct ap_cut_copy *copy, int64_t number)
{
    yyjson_mut_val *node = object_of(copy, "CONSTANT", "VALUE_CONSTANT"),
                   *value = yyjson_mut_obj(copy->doc), *type = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, type, "id", number > INT32_MAX ? AP_STR("BIGINT") : AP_STR("INTEGER"));
    put_null(copy, type, "type_info");
    ap_cut_put(copy, value, "type", type);
    put_bool(copy, value, "is_null", false);
    ap_cut_put(copy, value, "value", yyjson_mut_int(copy->doc, number));
    ap_cut_put(copy, node, "value", value);
    return node;
}

yyjson_mut_val *ap_cut_node(struct ap_cut_copy *copy, const char *class, const char *type,
    yyjson_mut_val *first, yyjson_mut_val *second)
{
    yyjson_mut_val *node = object_of(copy, class, type);
    put_list(copy, node, "children");
    if (first != NULL) ap_cut_append(copy, node, "children", first);
    if (second != NULL) ap_cut_append(copy, node, "children", second);
    return node;
}

yyjson_mut_val *ap_cut_call(
    struct ap_cut_copy *copy, const char *name, yyjson_mut_val *first, yyjson_mut_val *second)
{
    yyjson_mut_val *node = ap_cut_node(copy, "FUNCTION", "FUNCTION", first, second),
                   *orders = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, node, "function_name", ap_str_from(name));
    ap_cut_put_text(copy, node, "schema", AP_STR(""));
    ap_cut_put_text(copy, node, "catalog", AP_STR(""));
    put_null(copy, node, "filter");
    ap_cut_put_text(copy, orders, "type", AP_STR("ORDER_MODIFIER"));
    put_list(copy, orders, "orders");
    ap_cut_put(copy, node, "order_bys", orders);
    put_bool(copy, node, "distinct", false);
    put_bool(copy, node, "is_operator", name[0] == '*');
    put_bool(copy, node, "export_state", false);
    return node;
}

yyjson_mut_val *ap_cut_star(struct ap_cut_copy *copy)
{
    static const char *const lists[] = { "exclude_list", "replace_list", "qualified_exclude_list",
        "rename_list" };
    yyjson_mut_val *node = object_of(copy, "STAR", "STAR");
    ap_cut_put_text(copy, node, "relation_name", AP_STR(""));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) put_list(copy, node, lists[i]);
    put_bool(copy, node, "columns", false);
    put_null(copy, node, "expr");
    return node;
}

yyjson_mut_val *ap_cut_table_ref(
    struct ap_cut_copy *copy, const char *table, struct ap_str alias)
{
    yyjson_mut_val *node = object_of(copy, NULL, "BASE_TABLE");
    ap_cut_put_text(copy, node, "alias", alias);
    put_null(copy, node, "sample");
    ap_cut_put_text(copy, node, "schema_name", AP_STR(""));
    ap_cut_put_text(copy, node, "table_name", ap_str_from(table));
    put_list(copy, node, "column_name_alias");
    ap_cut_put_text(copy, node, "catalog_name", AP_STR(""));
    put_null(copy, node, "at_clause");
    return node;
}

yyjson_mut_val *ap_cut_select(struct ap_cut_copy *copy)
{
    yyjson_mut_val *node = yyjson_mut_obj(copy->doc), *map = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, node, "type", AP_STR("SELECT_NODE"));
    put_list(copy, node, "modifiers");
    put_list(copy, map, "map");
    ap_cut_put(copy, node, "cte_map", map);
    put_list(copy, node, "select_list");
    put_null(copy, node, "from_table");
    put_null(copy, node, "where_clause");
    put_list(copy, node, "group_expressions");
    put_list(copy, node, "group_sets");
    ap_cut_put_text(copy, node, "aggregate_handling", AP_STR("STANDARD_HANDLING"));
    put_null(copy, node, "having");
    put_null(copy, node, "sample");
    put_null(copy, node, "qualify");
    return node;
}

/* ---- copies ---- */

static yyjson_mut_val *select_all(struct ap_cut_copy *copy, const char *table)
{
    yyjson_mut_val *select = ap_cut_select(copy);
    ap_cut_append(copy, select, "select_list", ap_cut_star(copy));
    ap_cut_put(copy, select, "from_table", ap_cut_table_ref(copy, table, AP_STR("")));
    return select;
}

yyjson_mut_val *ap_cut_copy_members(struct ap_cut_copy *copy, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *key, *item;
    yyjson_mut_val *out = yyjson_mut_obj(copy->doc);
    yyjson_obj_foreach(value, index, count, key, item)
    {
        yyjson_mut_val *name =
            yyjson_mut_strncpy(copy->doc, yyjson_get_str(key), yyjson_get_len(key));
        if (!yyjson_mut_obj_add(out, name, ap_cut_copy_value(copy, item))) copy->failed = true;
    }
    return out;
}

yyjson_mut_val *ap_cut_all_of(struct ap_cut_copy *copy, yyjson_mut_val *query)
{
    yyjson_mut_val *select = ap_cut_select(copy), *node = object_of(copy, NULL, "SUBQUERY"),
                   *holder = yyjson_mut_obj(copy->doc);
    put_null(copy, node, "sample");
    ap_cut_put(copy, holder, "node", query);
    put_list(copy, holder, "named_param_map");
    ap_cut_put(copy, node, "subquery", holder);
    put_list(copy, node, "column_name_alias");
    ap_cut_append(copy, select, "select_list", ap_cut_star(copy));
    ap_cut_put(copy, select, "from_table", node);
    return select;
}

static size_t shard_of(const struct ap_cut_state *state, const yyjson_val *node)
{
    for (size_t i = 0; i < state->shard_count; i++)
        if (state->shards[i]->node == node) return i;
    return SIZE_MAX;
}

void ap_cut_shard_name(size_t index, char out[AP_CUT_SHARD_SIZE])
{
    if (index == 0) snprintf(out, AP_CUT_SHARD_SIZE, "%s", AP_CUT_SHARD);
    else snprintf(out, AP_CUT_SHARD_SIZE, AP_CUT_SHARD "_%zu", index);
}

/* A sharded reference as its shard's view, known by the name that it had. */
static yyjson_mut_val *copy_shard(struct ap_cut_copy *copy, yyjson_val *node, size_t shard)
{
    char name[AP_CUT_SHARD_SIZE];
    ap_cut_shard_name(shard, name);
    struct ap_str alias = ap_node_str(node, "alias");
    if (alias.size == 0) alias = ap_node_str(node, "table_name");
    yyjson_mut_val *out = ap_cut_copy_members(copy, node);
    ap_cut_put_text(copy, out, "catalog_name", AP_STR(""));
    ap_cut_put_text(copy, out, "schema_name", AP_STR(""));
    ap_cut_put_text(copy, out, "table_name", ap_str_from(name));
    ap_cut_put_text(copy, out, "alias", alias);
    ap_cut_put(copy, out, "at_clause", yyjson_mut_null(copy->doc));
    return out;
}

static yyjson_mut_val *copy_object(struct ap_cut_copy *copy, yyjson_val *value)
{
    const struct ap_cut_state *state = copy->state;
    if (copy->inputs != NULL && copy->inputs->first_tables != NULL)
        for (size_t i = 0; i < copy->cut->first_count; i++)
            if (copy->cut->firsts[i].node == value)
                return select_all(copy, copy->inputs->first_tables[i]);
    size_t shard = copy->fragment ? shard_of(state, value) : SIZE_MAX;
    if (shard != SIZE_MAX) return copy_shard(copy, value, shard);
    if (copy->replace != NULL) {
        yyjson_mut_val *made = copy->replace(copy, value);
        if (made != NULL) return made;
    }
    return ap_cut_copy_members(copy, value);
}

yyjson_mut_val *ap_cut_copy_value(struct ap_cut_copy *copy, yyjson_val *value)
{
    size_t index, count;
    yyjson_val *item;
    yyjson_mut_val *out = NULL;
    if (value == NULL) return yyjson_mut_null(copy->doc);
    if (yyjson_is_obj(value))
        out = copy_object(copy, value);
    else if (yyjson_is_arr(value)) {
        out = yyjson_mut_arr(copy->doc);
        yyjson_arr_foreach(value, index, count, item)
        {
            yyjson_mut_val *made = ap_cut_copy_value(copy, item);
            if (made == NULL || !yyjson_mut_arr_append(out, made)) copy->failed = true;
        }
    } else
        out = yyjson_val_mut_copy(copy->doc, value);
    if (out == NULL) copy->failed = true;
    return out;
}

bool ap_cut_with_map(
    struct ap_cut_copy *copy, const struct ap_cut_query *query, yyjson_mut_val *select)
{
    yyjson_mut_val *list = yyjson_mut_arr(copy->doc);
    for (const struct ap_cte *cte = query->scope; cte != NULL; cte = cte->outer) {
        const struct ap_cut_with *with = cte->body;
        if (with->entry == NULL) return false; /* in a recursion */
        if (ap_cte_find(cte->outer, cte->name) != NULL) return false;
        yyjson_mut_val *entry = ap_cut_copy_value(copy, with->entry);
        if (entry == NULL || !yyjson_mut_arr_prepend(list, entry)) copy->failed = true;
    }
    size_t index, count;
    yyjson_val *own;
    yyjson_val *map = yyjson_obj_get(yyjson_obj_get(query->node, "cte_map"), "map");
    yyjson_arr_foreach(map, index, count, own)
    {
        if (ap_cte_find(query->scope, ap_node_str(own, "key")) != NULL) return false;
        yyjson_mut_val *entry = ap_cut_copy_value(copy, own);
        if (entry == NULL || !yyjson_mut_arr_append(list, entry)) copy->failed = true;
    }
    yyjson_mut_val *holder = yyjson_mut_obj(copy->doc);
    ap_cut_put(copy, holder, "map", list);
    ap_cut_put(copy, select, "cte_map", holder);
    return true;
}

/* ---- documents ---- */

static enum apiary_code document_of(struct ap_cut_copy *copy, yyjson_mut_val *node,
    struct ap_bytes *out, struct apiary_error *err)
{
    yyjson_mut_val *root = yyjson_mut_obj(copy->doc), *statement = yyjson_mut_obj(copy->doc);
    put_bool(copy, root, "error", false);
    put_list(copy, root, "statements");
    ap_cut_put(copy, statement, "node", node);
    put_list(copy, statement, "named_param_map");
    ap_cut_append(copy, root, "statements", statement);
    if (copy->failed) return ap_fail_memory(err, "the parts of a statement");
    yyjson_mut_doc_set_root(copy->doc, root);
    return ap_json_write(copy->doc, out, err);
}


static yyjson_mut_val *without_unused(struct ap_cut_copy *copy, yyjson_val *value)
{
    const struct ap_cut_index *index = copy->context;
    if (!yyjson_is_arr(yyjson_obj_get(value, "map")) || yyjson_obj_size(value) != 1) return NULL;
    yyjson_mut_val *out = yyjson_mut_obj(copy->doc), *list = yyjson_mut_arr(copy->doc);
    size_t at, count;
    yyjson_val *entry;
    yyjson_arr_foreach(yyjson_obj_get(value, "map"), at, count, entry)
    {
        bool used = true;
        for (struct ap_cut_with *with = index->withs; with != NULL; with = with->next)
            if (with->entry == entry) used = with->use_count > 0;
        if (!used) continue;
        yyjson_mut_val *made = ap_cut_copy_value(copy, entry);
        if (made == NULL || !yyjson_mut_arr_append(list, made)) copy->failed = true;
    }
    ap_cut_put(copy, out, "map", list);
    return out;
}

/* One round: names that nobody uses go. *changed tells whether there were any. */
static enum apiary_code prune(
    struct ap_arena *arena, struct ap_bytes *text, bool *changed, struct apiary_error *err)
{
    AP_AUTO_JSON *tree = NULL;
    AP_TRY(ap_tree_parse(ap_bytes_view(text), &tree, err));
    struct ap_cut_index index = { 0 };
    AP_TRY(ap_cut_index_build(arena, tree, NULL, &index, err));
    *changed = false;
    for (struct ap_cut_with *with = index.withs; with != NULL; with = with->next)
        *changed |= with->use_count == 0;
    if (!*changed) return APIARY_OK;
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_state none = { 0 };
    struct ap_cut nothing = { 0 };
    struct ap_cut_copy copy = {
        .doc = doc, .state = &none, .cut = &nothing, .replace = without_unused, .context = &index
    };
    yyjson_val *root = NULL;
    AP_TRY(ap_tree_root(tree, &root, err));
    yyjson_mut_val *node = ap_cut_copy_value(&copy, root);
    ap_bytes_clear(text);
    return document_of(&copy, node, text, err);
}

enum apiary_code ap_cut_write(struct ap_cut_copy *copy, yyjson_mut_val *node,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(document_of(copy, node, &text, err));
    bool changed = true;
    for (int round = 0; changed && round < PRUNE_ROUNDS_MAX; round++)
        AP_TRY(prune(copy->state->arena, &text, &changed, err));
    ap_bytes_done(out);
    *out = AP_TAKE(text);
    return APIARY_OK;
}

struct above {
    yyjson_mut_val *made;
};

static yyjson_mut_val *in_place_of_b(struct ap_cut_copy *copy, yyjson_val *value)
{
    struct above *above = copy->context;
    return value == copy->state->b->node ? above->made : NULL;
}

enum apiary_code ap_cut_write_above(struct ap_cut_copy *copy, yyjson_mut_val *made,
    struct ap_bytes *out, struct apiary_error *err)
{
    yyjson_val *root = NULL;
    AP_TRY(ap_tree_root(copy->state->tree, &root, err));
    struct above above = { made };
    copy->replace = in_place_of_b;
    copy->context = &above;
    copy->fragment = false;
    return ap_cut_write(copy, ap_cut_copy_value(copy, root), out, err);
}

/* ---- trees that are asked about ---- */

static enum apiary_code statement_of(const struct ap_cut *cut, const struct ap_cut_query *query,
    bool all_of_from, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_copy copy = { .doc = doc, .state = cut->state, .cut = cut };
    yyjson_mut_val *select = NULL;
    if (all_of_from) {
        select = ap_cut_select(&copy);
        ap_cut_append(&copy, select, "select_list", ap_cut_star(&copy));
        ap_cut_put(&copy, select, "from_table",
            ap_cut_copy_value(&copy, yyjson_obj_get(query->node, "from_table")));
    } else
        select = ap_cut_copy_value(&copy, query->node);
    if (!ap_cut_with_map(&copy, query, select))
        return ap_fail(err, APIARY_UNSUPPORTED, "two names of WITH are the same");
    return ap_cut_write(&copy, select, out, err);
}

enum apiary_code ap_cut_from_tree(
    const struct ap_cut *cut, struct ap_bytes *out, struct apiary_error *err)
{
    return statement_of(cut, cut->state->b, true, out, err);
}

enum apiary_code ap_cut_node_tree(
    const struct ap_cut *cut, struct ap_bytes *out, struct apiary_error *err)
{
    return statement_of(cut, cut->state->b, false, out, err);
}

enum apiary_code ap_cut_first_tree(
    const struct ap_cut *cut, size_t index, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_cut_query *query = ap_cut_query_of(&cut->state->index, cut->firsts[index].node);
    if (query != NULL) return statement_of(cut, query, false, out, err);
    return ap_fail(err, APIARY_INTERNAL, "a part of a statement is lost");
}

void ap_cut_parts_done(struct ap_cut_parts *parts)
{
    ap_bytes_done(&parts->fragment);
    ap_bytes_done(&parts->probe);
    ap_bytes_done(&parts->above);
    parts->partial_count = 0;
}

enum apiary_code ap_cut_build(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    struct ap_cut_parts *out, struct apiary_error *err)
{
    ap_assert(cut->kind != AP_CUT_WHOLE);
    if (cut->kind == AP_CUT_AGGREGATE) return ap_cut_build_aggregate(cut, inputs, out, err);
    return cut->rows ? ap_cut_build_rows(cut, inputs, out, err)
                            : ap_cut_build_output(cut, inputs, out, err);
}

size_t ap_cut_partial_count(const struct ap_cut *cut)
{
    return cut->state->partial_count;
}

/* ---- other things in place of nodes ---- */

struct swapping {
    const struct ap_cut_swap *swaps;
    size_t count;
    struct apiary_error *err;
    enum apiary_code code;
};

/* (SELECT …) AS the name by which the view, or the function, was known */
static yyjson_mut_val *as_subquery(
    struct ap_cut_copy *copy, yyjson_val *reference, yyjson_val *query)
{
    yyjson_mut_val *node = object_of(copy, NULL, "SUBQUERY"), *holder = yyjson_mut_obj(copy->doc);
    struct ap_str alias = ap_node_str(reference, "alias");
    if (alias.size == 0) alias = ap_node_str(reference, "table_name");
    if (alias.size == 0) alias = ap_node_str(yyjson_obj_get(reference, "function"), "function_name");
    ap_cut_put_text(copy, node, "alias", alias);
    ap_cut_put(copy, node, "sample",
        yyjson_val_mut_copy(copy->doc, yyjson_obj_get(reference, "sample")));
    ap_cut_put(copy, holder, "node", yyjson_val_mut_copy(copy->doc, query));
    put_list(copy, holder, "named_param_map");
    ap_cut_put(copy, node, "subquery", holder);
    ap_cut_put(copy, node, "column_name_alias",
        yyjson_val_mut_copy(copy->doc, yyjson_obj_get(reference, "column_name_alias")));
    return node;
}

static yyjson_mut_val *as_expression(
    struct ap_cut_copy *copy, yyjson_val *expression, yyjson_val *query)
{
    yyjson_mut_val *made = yyjson_val_mut_copy(
        copy->doc, yyjson_arr_get_first(yyjson_obj_get(query, "select_list")));
    ap_cut_put_text(copy, made, "alias", ap_node_str(expression, "alias"));
    return made;
}

static yyjson_mut_val *swapped(struct ap_cut_copy *copy, yyjson_val *value)
{
    struct swapping *swapping = copy->context;
    for (size_t i = 0; i < swapping->count; i++) {
        if (swapping->swaps[i].node != value || swapping->code != APIARY_OK) continue;
        yyjson_val *query = NULL;
        swapping->code = ap_tree_root(swapping->swaps[i].tree, &query, swapping->err);
        if (swapping->code != APIARY_OK) return NULL;
        bool expression = yyjson_obj_get(value, "class") != NULL;
        return expression ? as_expression(copy, value, query) : as_subquery(copy, value, query);
    }
    return NULL;
}

enum apiary_code ap_cut_swap_nodes(yyjson_doc *tree, const struct ap_cut_swap *swaps,
    size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "a statement");
    struct ap_cut_state none = { 0 };
    struct ap_cut nothing = { 0 };
    struct swapping swapping = { .swaps = swaps, .count = count, .err = err };
    struct ap_cut_copy copy = {
        .doc = doc, .state = &none, .cut = &nothing, .replace = swapped, .context = &swapping
    };
    yyjson_val *root = NULL;
    AP_TRY(ap_tree_root(tree, &root, err));
    yyjson_mut_val *node = ap_cut_copy_value(&copy, root);
    if (swapping.code != APIARY_OK) return swapping.code;
    return document_of(&copy, node, out, err);
}

/* CAST(expression AS VARCHAR) */
static yyjson_mut_val *text_of(struct ap_cut_copy *copy, yyjson_val *expression)
{
    yyjson_mut_val *node = object_of(copy, "CAST", "OPERATOR_CAST"),
                   *type = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, type, "id", AP_STR("VARCHAR"));
    put_null(copy, type, "type_info");
    ap_cut_put(copy, node, "child", yyjson_val_mut_copy(copy->doc, expression));
    ap_cut_put(copy, node, "cast_type", type);
    put_bool(copy, node, "try_cast", false);
    return node;
}

enum apiary_code ap_cut_constants_tree(
    const struct ap_cut_constants *constants, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "the constants of a statement");
    struct ap_cut_copy copy = { .doc = doc };
    yyjson_mut_val *select = ap_cut_select(&copy), *empty = object_of(&copy, NULL, "EMPTY");
    put_null(&copy, empty, "sample");
    ap_cut_put(&copy, select, "from_table", empty);
    for (size_t i = 0; i < constants->count; i++) {
        ap_cut_append(&copy, select, "select_list", text_of(&copy, constants->nodes[i]));
        ap_cut_append(&copy, select, "select_list",
            ap_cut_call(&copy, "typeof", yyjson_val_mut_copy(doc, constants->nodes[i]), NULL));
    }
    return document_of(&copy, select, out, err);
}
