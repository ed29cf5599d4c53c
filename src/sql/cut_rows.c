/* B gives rows, by its own select list (output) or by what it reads (rows).
 *
 *   output     fragment   the node's select list, and behind it what ORDER BY names beside it;
 *                         DISTINCT stays, ORDER BY … LIMIT n OFFSET m becomes LIMIT n + m
 *              above      SELECT apiary_c0 AS "name", … FROM merged, DISTINCT, ORDER BY, LIMIT
 *              A UNION ALL is its own fragment, ordered and limited like a select list
 *   rows       fragment   the columns of the FROM that the node uses, WHERE
 *              above      the node over them: its FROM is merged, its WHERE is gone */
#include "sql/cut_private.h"

enum { NAME_SIZE = 32 };

static bool single_name(yyjson_val *column, struct ap_str *out)
{
    yyjson_val *names = yyjson_obj_get(column, "column_names"), *first = yyjson_arr_get_first(names);
    if (!ap_node_is(column, "class", "COLUMN_REF") || yyjson_arr_size(names) != 1) return false;
    *out = (struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) };
    return out->data != NULL;
}

static size_t position_of_alias(yyjson_val *node, struct ap_str name)
{
    size_t index, count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(node, "select_list"), index, count,
        item) if (ap_str_equal_nocase(ap_node_str(item, "alias"), name)) return index + 1;
    return 0;
}

static size_t position_of_item(yyjson_val *node, yyjson_val *expression)
{
    size_t index, count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(node, "select_list"), index, count,
        item) if (ap_cut_same(item, expression)) return index + 1;
    return 0;
}

static yyjson_val *modifier_of(yyjson_val *node, const char *type)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count,
        modifier) if (ap_node_is(modifier, "type", type)) return modifier;
    return NULL;
}

static bool constant_number(yyjson_val *expression, int64_t *out)
{
    return ap_node_is(expression, "class", "CONSTANT") &&
           ap_json_i64(yyjson_obj_get(expression, "value"), "value", out) && *out >= 0;
}

/* Rows of each fragment that can matter; -1: all. */
static int64_t rows_wanted(yyjson_val *node)
{
    int64_t limit = 0, offset = 0;
    yyjson_val *modifier = modifier_of(node, "LIMIT_MODIFIER");
    if (modifier == NULL || !constant_number(yyjson_obj_get(modifier, "limit"), &limit)) return -1;
    yyjson_val *skip = ap_json_member(modifier, "offset");
    if (skip != NULL && !constant_number(skip, &offset)) return -1;
    return limit <= INT64_MAX - offset ? limit + offset : -1;
}

/* ---- output ---- */

struct output {
    struct ap_cut *cut;
    struct ap_cut_copy *copy;
    yyjson_val *node;
    bool distinct;
    bool star;
    bool all; /* UNION ALL */
    size_t base; /* the node's own columns */
    size_t extra_count;
    yyjson_mut_val *select, *above_orders, *fragment_orders;
    const char *why;
};

static yyjson_mut_val *order_like(
    struct ap_cut_copy *copy, yyjson_val *order, yyjson_mut_val *expression)
{
    yyjson_mut_val *made = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, made, "type", ap_node_str(order, "type"));
    ap_cut_put_text(copy, made, "null_order", ap_node_str(order, "null_order"));
    ap_cut_put(copy, made, "expression", expression);
    return made;
}

/* UNION ALL is ordered by the names of its columns; 0: by something else, or by one that has a twin. */
static int64_t position_of_column(const struct ap_cut_inputs *inputs, yyjson_val *expression)
{
    int64_t position = 0;
    struct ap_str name = { 0 };
    if (!single_name(expression, &name)) return 0;
    for (size_t i = 0; i < inputs->node_count; i++) {
        if (!ap_str_equal_nocase(ap_str_from(inputs->node_names[i]), name)) continue;
        if (position > 0) return 0;
        position = (int64_t)i + 1;
    }
    return position;
}

/* The position of an ORDER BY expression among the fragment's columns. */
static int64_t order_position(struct output *output, yyjson_val *expression)
{
    int64_t position = 0;
    struct ap_str name = { 0 };
    if (constant_number(expression, &position)) return position;
    if (output->all) {
        position = position_of_column(output->copy->inputs, expression);
        if (position == 0) output->why = "it orders UNION ALL by what is no column of it";
        return position > 0 ? position : 1;
    }
    if (!output->star && single_name(expression, &name)) {
        position = (int64_t)position_of_alias(output->node, name);
        if (position > 0) return position;
    }
    if (!output->star) position = (int64_t)position_of_item(output->node, expression);
    if (position > 0) return position;
    if (output->distinct) {
        output->why = "it orders distinct rows by what is not in them";
        return 1;
    }
    ap_cut_append(output->copy, output->select, "select_list",
        ap_cut_copy_value(output->copy, expression));
    return (int64_t)(output->base + ++output->extra_count);
}

static void take_orders(struct output *output)
{
    struct ap_cut_copy *copy = output->copy;
    size_t index, count;
    yyjson_val *order;
    yyjson_val *modifier = modifier_of(output->node, "ORDER_MODIFIER");
    output->above_orders = yyjson_mut_arr(copy->doc);
    output->fragment_orders = yyjson_mut_arr(copy->doc);
    yyjson_arr_foreach(yyjson_obj_get(modifier, "orders"), index, count, order)
    {
        yyjson_val *expression = yyjson_obj_get(order, "expression");
        if (ap_node_is(expression, "class", "STAR")) { /* ORDER BY ALL */
            yyjson_mut_arr_append(output->above_orders, ap_cut_copy_value(copy, order));
            yyjson_mut_arr_append(output->fragment_orders, ap_cut_copy_value(copy, order));
            continue;
        }
        int64_t position = order_position(output, expression);
        char name[NAME_SIZE];
        snprintf(name, sizeof name, AP_CUT_PREFIX "c%lld", (long long)position - 1);
        yyjson_mut_arr_append(
            output->above_orders, order_like(copy, order, ap_cut_column(copy, name)));
        yyjson_mut_arr_append(
            output->fragment_orders, order_like(copy, order, ap_cut_number(copy, position)));
    }
}

static yyjson_mut_val *modifier_with(
    struct ap_cut_copy *copy, const char *type, const char *list, yyjson_mut_val *items)
{
    yyjson_mut_val *made = yyjson_mut_obj(copy->doc);
    ap_cut_put_text(copy, made, "type", ap_str_from(type));
    ap_cut_put(copy, made, list, items);
    return made;
}

static yyjson_mut_val *limit_of(struct ap_cut_copy *copy, int64_t rows)
{
    yyjson_mut_val *made =
        modifier_with(copy, "LIMIT_MODIFIER", "limit", ap_cut_number(copy, rows));
    ap_cut_put(copy, made, "offset", yyjson_mut_null(copy->doc));
    return made;
}

static void finish_fragment(struct output *output)
{
    struct ap_cut_copy *copy = output->copy;
    yyjson_mut_val *select = output->select;
    int64_t rows = rows_wanted(output->node);
    if (output->distinct) {
        ap_cut_append(copy, select, "modifiers",
            modifier_with(
                copy, "DISTINCT_MODIFIER", "distinct_on_targets", yyjson_mut_arr(copy->doc)));
        return;
    }
    if (rows < 0) return;
    if (yyjson_mut_arr_size(output->fragment_orders) > 0)
        ap_cut_append(copy, select, "modifiers",
            modifier_with(copy, "ORDER_MODIFIER", "orders", output->fragment_orders));
    ap_cut_append(copy, select, "modifiers", limit_of(copy, rows));
}

/* The node over the merged rows. */
static yyjson_mut_val *above_output(struct output *output, const struct ap_cut_inputs *inputs)
{
    struct ap_cut_copy *copy = output->copy;
    yyjson_mut_val *select = ap_cut_select(copy);
    size_t index, count;
    yyjson_val *modifier;
    for (size_t i = 0; i < inputs->node_count; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, AP_CUT_PREFIX "c%zu", i);
        yyjson_mut_val *column = ap_cut_column(copy, name);
        ap_cut_put_text(copy, column, "alias", ap_str_from(inputs->node_names[i]));
        ap_cut_append(copy, select, "select_list", column);
    }
    ap_cut_put(copy, select, "from_table", ap_cut_table_ref(copy, AP_CUT_MERGED, AP_STR("")));
    yyjson_arr_foreach(yyjson_obj_get(output->node, "modifiers"), index, count, modifier)
    {
        bool orders = ap_node_is(modifier, "type", "ORDER_MODIFIER");
        ap_cut_append(copy, select, "modifiers",
            orders ? modifier_with(copy, "ORDER_MODIFIER", "orders", output->above_orders)
                   : ap_cut_copy_value(copy, modifier));
    }
    if (output->cut->state->branch_of_union)
        ap_cut_append(copy, select, "modifiers",
            modifier_with(
                copy, "DISTINCT_MODIFIER", "distinct_on_targets", yyjson_mut_arr(copy->doc)));
    return select;
}

/* UNION ALL without what orders and limits it; names of its WITH go where the fragment has its own. */
static yyjson_mut_val *bare_union(struct ap_cut_copy *copy, yyjson_val *node)
{
    yyjson_mut_val *made = ap_cut_copy_members(copy, node), *none = yyjson_mut_obj(copy->doc);
    ap_cut_put(copy, none, "map", yyjson_mut_arr(copy->doc));
    ap_cut_put(copy, made, "modifiers", yyjson_mut_arr(copy->doc));
    ap_cut_put(copy, made, "cte_map", none);
    return made;
}

static yyjson_mut_val *fragment_union(struct output *output)
{
    struct ap_cut_copy *copy = output->copy;
    yyjson_mut_val *made = bare_union(copy, output->node);
    output->select = output->distinct ? ap_cut_all_of(copy, made) : made;
    take_orders(output);
    finish_fragment(output);
    return output->select;
}

static yyjson_mut_val *fragment_output(struct output *output)
{
    struct ap_cut_copy *copy = output->copy;
    if (output->all) return fragment_union(output);
    yyjson_mut_val *select = ap_cut_select(copy);
    output->select = select;
    ap_cut_put(copy, select, "select_list",
        ap_cut_copy_value(copy, yyjson_obj_get(output->node, "select_list")));
    ap_cut_put(copy, select, "from_table",
        ap_cut_copy_value(copy, yyjson_obj_get(output->node, "from_table")));
    ap_cut_put(copy, select, "where_clause",
        ap_cut_copy_value(copy, yyjson_obj_get(output->node, "where_clause")));
    take_orders(output);
    finish_fragment(output);
    return select;
}

enum apiary_code ap_cut_build_output(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    struct ap_cut_parts *out, struct apiary_error *err)
{
    struct ap_cut_state *state = cut->state;
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    AP_AUTO_JSON_MUT *above_doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL || above_doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_copy copy = {
        .doc = doc, .state = state, .cut = cut, .inputs = inputs, .fragment = true
    };
    struct output output = { .cut = cut,
        .copy = &copy,
        .node = state->b->node,
        .distinct = cut->kind == AP_CUT_DISTINCT,
        .all = ap_cut_is_union_all(state->b->node),
        .star = ap_cut_has_star(yyjson_obj_get(state->b->node, "select_list")),
        .base = inputs->node_count };
    yyjson_mut_val *select = fragment_output(&output);
    if (output.why != NULL) return ap_cut_whole(cut, output.why);
    if (!ap_cut_with_map(&copy, state->b, select))
        return ap_cut_whole(cut, "two names of WITH are the same");
    AP_TRY(ap_cut_write(&copy, select, &out->fragment, err));
    AP_TRY(ap_bytes_add_str(&out->probe, ap_bytes_view(&out->fragment), err));
    out->partial_count = state->partial_count = output.base + output.extra_count;
    state->extra_count = output.extra_count;

    struct ap_cut_copy above = { .doc = above_doc, .state = state, .cut = cut, .inputs = inputs };
    struct output again = output;
    again.copy = &above;
    again.extra_count = 0;
    again.select = ap_cut_select(&above);
    take_orders(&again);
    return ap_cut_write_above(&above, above_output(&again, inputs), &out->above, err);
}

/* ---- rows ---- */

/* Names that a lambda gives to its parameters hide columns. */
struct lambda {
    yyjson_val *parameters;
    const struct lambda *outer;
};
struct rows {
    const struct ap_cut_inputs *inputs;
    yyjson_val *node;
    yyjson_val **columns; /* distinct column references */
    size_t count;
    const struct lambda *lambdas; /* around what is being copied */
    bool keep_names; /* SELECT *: the merged columns are called as in the FROM */
    bool failed;
    struct ap_arena *arena;
};

static bool in_from(const struct ap_cut_inputs *inputs, struct ap_str name)
{
    for (size_t i = 0; i < inputs->from_count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(inputs->from_names[i]))) return true;
    return false;
}

static bool exactly(yyjson_val *a, yyjson_val *b)
{
    return ap_cut_same(a, b) && yyjson_arr_size(yyjson_obj_get(a, "column_names")) ==
                                    yyjson_arr_size(yyjson_obj_get(b, "column_names"));
}

static size_t column_index(const struct rows *rows, yyjson_val *column)
{
    for (size_t i = 0; i < rows->count; i++)
        if (exactly(rows->columns[i], column)) return i;
    return SIZE_MAX;
}

static bool names_parameter(yyjson_val *parameters, struct ap_str name)
{
    size_t index, count;
    yyjson_val *key, *item;
    struct ap_str found = { 0 };
    if (single_name(parameters, &found)) return ap_str_equal_nocase(found, name);
    if (yyjson_is_arr(parameters)) {
        yyjson_arr_foreach(parameters, index, count,
            item) if (names_parameter(item, name)) return true;
    } else if (yyjson_is_obj(parameters))
        yyjson_obj_foreach(parameters, index, count, key,
            item) if (names_parameter(item, name)) return true;
    return false;
}

static bool is_parameter(const struct lambda *lambdas, yyjson_val *column)
{
    yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(column, "column_names"));
    struct ap_str name = { yyjson_get_str(first), yyjson_get_len(first) };
    for (; name.data != NULL && lambdas != NULL; lambdas = lambdas->outer)
        if (names_parameter(lambdas->parameters, name)) return true;
    return false;
}

/* A column of the FROM; else it is an alias of the select list, or a lambda's parameter. */
static bool is_column(const struct rows *rows, yyjson_val *column, const struct lambda *lambdas)
{
    struct ap_str name = { 0 };
    if (is_parameter(lambdas, column)) return false;
    return !single_name(column, &name) || in_from(rows->inputs, name);
}

static void collect(struct rows *rows, yyjson_val *value, const struct lambda *lambdas)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) collect(rows, item, lambdas);
        return;
    }
    if (!yyjson_is_obj(value)) return;
    if (ap_node_is(value, "class", "COLUMN_REF")) {
        if (!is_column(rows, value, lambdas) || column_index(rows, value) != SIZE_MAX) return;
        yyjson_val **grown = ap_arena_alloc(rows->arena, (rows->count + 1) * sizeof *grown);
        if (grown == NULL) {
            rows->failed = true;
            return;
        }
        if (rows->count > 0) memcpy(grown, rows->columns, rows->count * sizeof *grown);
        grown[rows->count++] = value;
        rows->columns = grown;
        return;
    }
    struct lambda inside = { yyjson_obj_get(value, "lhs"), lambdas };
    bool lambda = ap_node_is(value, "class", "LAMBDA");
    yyjson_obj_foreach(value, index, count, key, item)
        collect(rows, item, lambda ? &inside : lambdas);
}

static const char *const above_members[] = { "select_list", "group_expressions", "having",
    "qualify", "modifiers" };

static yyjson_mut_val *merged_name(struct ap_cut_copy *copy, yyjson_val *value)
{
    struct rows *rows = copy->context;
    if (ap_node_is(value, "class", "LAMBDA")) {
        struct lambda inside = { yyjson_obj_get(value, "lhs"), rows->lambdas };
        rows->lambdas = &inside;
        yyjson_mut_val *made = ap_cut_copy_members(copy, value);
        rows->lambdas = inside.outer;
        return made;
    }
    if (!ap_node_is(value, "class", "COLUMN_REF") || !is_column(rows, value, rows->lambdas))
        return NULL;
    size_t index = column_index(rows, value);
    if (index == SIZE_MAX) return NULL;
    char name[NAME_SIZE];
    snprintf(name, sizeof name, AP_CUT_PREFIX "c%zu", index);
    yyjson_mut_val *column = ap_cut_column(copy, name);
    ap_cut_put_text(copy, column, "alias", ap_node_str(value, "alias"));
    return column;
}

/* ORDER BY x means an alias x before a column. */
static void keep_order_aliases(struct ap_cut_copy *copy, yyjson_val *node, yyjson_mut_val *modifiers)
{
    size_t index, count, at, order_count;
    yyjson_val *modifier, *order;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count, modifier)
    {
        yyjson_mut_val *orders =
            yyjson_mut_obj_get(yyjson_mut_arr_get(modifiers, index), "orders");
        yyjson_arr_foreach(yyjson_obj_get(modifier, "orders"), at, order_count, order)
        {
            struct ap_str name = { 0 };
            yyjson_val *expression = yyjson_obj_get(order, "expression");
            if (!single_name(expression, &name) || position_of_alias(node, name) == 0) continue;
            ap_cut_put(copy, yyjson_mut_arr_get(orders, at), "expression",
                ap_cut_copy_value(copy, expression));
        }
    }
}

static struct ap_str from_alias(yyjson_val *from)
{
    struct ap_str alias = ap_node_str(from, "alias");
    return alias.size > 0 ? alias : ap_node_str(from, "table_name");
}

/* The node as it was, but for its FROM and WHERE. */
static const char *above_rows(
    struct ap_cut_copy *copy, struct rows *rows, yyjson_mut_val **out)
{
    yyjson_val *node = rows->node;
    yyjson_mut_val *made = ap_cut_select(copy);
    copy->replace = rows->keep_names ? NULL : merged_name;
    copy->context = rows;
    for (size_t i = 0; i < sizeof above_members / sizeof *above_members; i++)
        ap_cut_put(copy, made, above_members[i],
            ap_cut_copy_value(copy, yyjson_obj_get(node, above_members[i])));
    copy->replace = NULL;
    keep_order_aliases(copy, node, yyjson_mut_obj_get(made, "modifiers"));
    ap_cut_put(copy, made, "group_sets", ap_cut_copy_value(copy, yyjson_obj_get(node, "group_sets")));
    ap_cut_put(copy, made, "aggregate_handling",
        ap_cut_copy_value(copy, yyjson_obj_get(node, "aggregate_handling")));
    ap_cut_put(copy, made, "cte_map", ap_cut_copy_value(copy, yyjson_obj_get(node, "cte_map")));
    yyjson_val *from = yyjson_obj_get(node, "from_table");
    ap_cut_put(copy, made, "from_table",
        ap_cut_table_ref(copy, AP_CUT_MERGED, rows->keep_names ? from_alias(from) : AP_STR("")));
    yyjson_mut_val *list = yyjson_mut_obj_get(made, "select_list"), *item;
    if (!rows->keep_names) {
        size_t index, count;
        if (yyjson_mut_arr_size(list) != rows->inputs->node_count)
            return "its columns cannot be told apart";
        yyjson_mut_arr_foreach(list, index, count, item)
            ap_cut_put_text(copy, item, "alias", ap_str_from(rows->inputs->node_names[index]));
    }
    *out = made;
    return NULL;
}

static bool names_differ(const struct ap_cut_inputs *inputs)
{
    for (size_t i = 0; i < inputs->from_count; i++)
        for (size_t j = 0; j < i; j++)
            if (ap_str_equal_nocase(
                    ap_str_from(inputs->from_names[i]), ap_str_from(inputs->from_names[j])))
                return false;
    return true;
}

static yyjson_mut_val *fragment_rows(struct ap_cut_copy *copy, const struct rows *rows)
{
    yyjson_mut_val *select = ap_cut_select(copy);
    if (rows->keep_names) ap_cut_append(copy, select, "select_list", ap_cut_star(copy));
    for (size_t i = 0; !rows->keep_names && i < rows->count; i++)
        ap_cut_append(copy, select, "select_list", ap_cut_copy_value(copy, rows->columns[i]));
    if (!rows->keep_names && rows->count == 0)
        ap_cut_append(copy, select, "select_list", ap_cut_number(copy, 1));
    ap_cut_put(copy, select, "from_table",
        ap_cut_copy_value(copy, yyjson_obj_get(rows->node, "from_table")));
    ap_cut_put(copy, select, "where_clause",
        ap_cut_copy_value(copy, yyjson_obj_get(rows->node, "where_clause")));
    return select;
}

enum apiary_code ap_cut_build_rows(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    struct ap_cut_parts *out, struct apiary_error *err)
{
    struct ap_cut_state *state = cut->state;
    yyjson_val *node = state->b->node, *from = yyjson_obj_get(node, "from_table");
    struct rows rows = { .inputs = inputs, .node = node, .arena = state->arena };
    for (size_t i = 0; i < sizeof above_members / sizeof *above_members; i++)
        rows.keep_names |= ap_cut_has_star(yyjson_obj_get(node, above_members[i]));
    if (rows.keep_names && (ap_node_is(from, "type", "JOIN") || !names_differ(inputs)))
        return ap_cut_whole(cut, "it takes all columns of a join through what needs all rows at once");
    for (size_t i = 0; !rows.keep_names && i < sizeof above_members / sizeof *above_members; i++)
        collect(&rows, yyjson_obj_get(node, above_members[i]), NULL);
    if (rows.failed) return ap_fail_memory(err, "the parts of a statement");

    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    AP_AUTO_JSON_MUT *above_doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL || above_doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_copy copy = {
        .doc = doc, .state = state, .cut = cut, .inputs = inputs, .fragment = true
    };
    yyjson_mut_val *select = fragment_rows(&copy, &rows);
    if (!ap_cut_with_map(&copy, state->b, select))
        return ap_cut_whole(cut, "two names of WITH are the same");
    AP_TRY(ap_cut_write(&copy, select, &out->fragment, err));
    AP_TRY(ap_bytes_add_str(&out->probe, ap_bytes_view(&out->fragment), err));
    state->rename = rows.keep_names ? inputs->from_names : NULL;
    out->partial_count = state->partial_count =
        rows.keep_names ? inputs->from_count : (rows.count == 0 ? 1 : rows.count);

    struct ap_cut_copy above = { .doc = above_doc, .state = state, .cut = cut, .inputs = inputs };
    yyjson_mut_val *made = NULL;
    const char *why = above_rows(&above, &rows, &made);
    if (why != NULL) return ap_cut_whole(cut, why);
    return ap_cut_write_above(&above, made, &out->above, err);
}
