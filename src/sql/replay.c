#include "sql/replay.h"
#include "sql/cut_private.h"

static const char *doubt_of(yyjson_val *value);

/* The row numbers among equals: which comes first is the engine's choice. */
static const char *const by_order[] = { "any_value", "arbitrary", "first", "last", "arg_min", "arg_max", "arg_min_null", "arg_max_null", "min_by", "max_by",
    "argmin", "argmax", "mode", "approx_quantile", "approx_top_k", "reservoir_quantile" };
static const char *const lists[] = { "list", "array_agg", "string_agg", "group_concat", "listagg" };
static const char *const ranks[] = { "rank", "dense_rank", "percent_rank", "cume_dist" };

static bool among(struct ap_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(list[i]))) return true;
    return false;
}
#define AMONG(name, list) among(name, list, sizeof list / sizeof *list)

/* ---- aggregates ---- */

/* Ordered by just what is put together: equals are equal. */
static bool ordered_by_itself(yyjson_val *call)
{
    yyjson_val *orders = ap_node_list(yyjson_obj_get(call, "order_bys"), "orders");
    yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(call, "children"));
    return orders != NULL && yyjson_arr_size(orders) == 1
           && ap_cut_same(yyjson_obj_get(yyjson_arr_get_first(orders), "expression"), first);
}

static const char *doubt_of_function(yyjson_val *call)
{
    struct ap_str name = ap_node_str(call, "function_name");
    if (AMONG(name, by_order)) return "it has an aggregate that takes one of several rows";
    if (AMONG(name, lists) && !ordered_by_itself(call)) return "it has an aggregate that depends on the order of rows";
    return NULL;
}

/* ---- windows ---- */

static bool by_rows(yyjson_val *window, const char *end)
{
    struct ap_str bound = ap_node_str(window, end);
    return ap_str_ends_with(bound, AP_STR("_ROWS"));
}

/* Peers of the order count together in a frame by range, and so do they in a rank. */
static const char *doubt_of_window(yyjson_val *window)
{
    struct ap_str name = ap_node_str(window, "function_name");
    if (AMONG(name, ranks)) return NULL;
    bool aggregate = ap_node_is(window, "type", "WINDOW_AGGREGATE") && !AMONG(name, by_order) && !AMONG(name, lists);
    if (!aggregate || by_rows(window, "start") || by_rows(window, "end")) return "it has a window that depends on the order of equal rows";
    return NULL;
}

/* ---- LIMIT and DISTINCT ON ---- */

static bool orders_item(yyjson_val *order, yyjson_val *item, size_t position)
{
    int64_t number = 0;
    yyjson_val *expression = yyjson_obj_get(order, "expression");
    if (ap_node_is(expression, "class", "CONSTANT"))
        return ap_json_i64(yyjson_obj_get(expression, "value"), "value", &number) && number == (int64_t)position + 1;
    yyjson_val *names = yyjson_obj_get(expression, "column_names");
    struct ap_str alias = ap_node_str(item, "alias");
    if (alias.size > 0 && yyjson_arr_size(names) == 1) {
        yyjson_val *only = yyjson_arr_get_first(names);
        if (ap_str_equal_nocase(alias, (struct ap_str) { yyjson_get_str(only), yyjson_get_len(only) })) return true;
    }
    return ap_cut_same(expression, item);
}

/* Rows that the order does not tell apart are the same in every column. */
static bool orders_everything(yyjson_val *node)
{
    size_t i, j, item_count, order_count;
    yyjson_val *orders = NULL, *item, *order, *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), i, item_count, modifier)
        if (ap_node_is(modifier, "type", "ORDER_MODIFIER")) orders = yyjson_obj_get(modifier, "orders");
    yyjson_val *first = yyjson_obj_get(yyjson_arr_get_first(orders), "expression");
    if (ap_node_is(first, "class", "STAR") && yyjson_arr_size(orders) == 1) return true; /* ORDER BY ALL */
    yyjson_val *list = yyjson_obj_get(node, "select_list");
    if (orders == NULL || yyjson_arr_size(list) == 0 || ap_cut_has_star(list)) return false;
    yyjson_arr_foreach(list, i, item_count, item)
    {
        bool found = false;
        yyjson_arr_foreach(orders, j, order_count, order) found = found || orders_item(order, item, i);
        if (!found) return false;
    }
    return true;
}

static const char *doubt_of_query(yyjson_val *node)
{
    size_t i, count;
    yyjson_val *modifier;
    if (ap_json_member(node, "sample") != NULL) return "it takes a sample";
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), i, count, modifier)
    {
        if (ap_node_list(modifier, "distinct_on_targets") != NULL) return "DISTINCT ON takes one of several rows";
        bool limits = ap_node_is(modifier, "type", "LIMIT_MODIFIER") || ap_node_is(modifier, "type", "LIMIT_PERCENT_MODIFIER");
        if (limits && !orders_everything(node)) return "LIMIT cuts an order that does not tell all rows apart";
    }
    return NULL;
}

/* ---- the walk ---- */

static const char *doubt_of_object(yyjson_val *object)
{
    if (ap_node_is_query(object)) return doubt_of_query(object);
    if (ap_node_is(object, "class", "FUNCTION")) return doubt_of_function(object);
    if (ap_node_is(object, "class", "WINDOW")) return doubt_of_window(object);
    if (ap_node_is(object, "ref_type", "ASOF")) return "an ASOF JOIN takes one of several rows";
    if (ap_node_is(object, "ref_type", "POSITIONAL")) return "a POSITIONAL JOIN depends on the order of rows";
    return NULL;
}

/* list(x ORDER BY x) becomes list_sort(list(x)) in the engine: what comes of that has an order. */
static yyjson_val *sorted_list(yyjson_val *object)
{
    struct ap_str name = ap_node_str(object, "function_name");
    yyjson_val *inner = yyjson_arr_get_first(yyjson_obj_get(object, "children"));
    bool sorts = ap_node_is(object, "class", "FUNCTION") && (ap_str_is(name, "list_sort") || ap_str_is(name, "list_reverse_sort"));
    struct ap_str made = ap_node_str(inner, "function_name");
    return sorts && ap_node_is(inner, "class", "FUNCTION") && (ap_str_is(made, "list") || ap_str_is(made, "array_agg")) ? inner : NULL;
}

static const char *doubt_of(yyjson_val *value)
{
    size_t i, count;
    yyjson_val *key, *item;
    const char *why = NULL;
    yyjson_val *list = yyjson_is_obj(value) ? sorted_list(value) : NULL;
    if (list != NULL) return doubt_of(yyjson_obj_get(list, "children"));
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, i, count, item) if (why == NULL) why = doubt_of(item);
        return why;
    }
    if (!yyjson_is_obj(value)) return NULL;
    why = doubt_of_object(value);
    yyjson_obj_foreach(value, i, count, key, item) if (why == NULL) why = doubt_of(item);
    return why;
}

const char *ap_replay_doubt(yyjson_doc *tree)
{
    return doubt_of(yyjson_doc_get_root(tree)); /* trees are no deeper than ap_tree_parse lets them be */
}
