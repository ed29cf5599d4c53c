/* Whether the columns of a query's result are certain to have different names. */
#include "sql/tree_private.h"

enum { COLUMNS_MAX = 128 }; /* every two are compared */

/* The name of one column: as written, or (shown) what the engine makes of its expression, of which no
 * more is known than the function it begins with. */
struct column {
    struct ap_str name;
    bool shown;
};

static bool is_word(struct ap_str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) return false;
    }
    return name.size > 0;
}

/* An expression with a star in it is many columns. Queries within it are looked through too. */
static bool holds_star(yyjson_val *value, int depth)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value)) return false;
    if (depth > AP_TREE_DEPTH_MAX || ap_node_is(value, "class", "STAR")) return true;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) if (holds_star(item, depth + 1)) return true;
        return false;
    }
    yyjson_obj_foreach(value, index, count, key, item) if (holds_star(item, depth + 1)) return true;
    return false;
}

/* false: it may be several columns, or a name that cannot be told. */
static bool read_column(yyjson_val *expression, struct column *out)
{
    static const char *const shown[] = { "FUNCTION", "OPERATOR", "CAST", "CASE", "COMPARISON",
        "CONJUNCTION", "BETWEEN", "WINDOW", "SUBQUERY" };
    yyjson_val *last = yyjson_arr_get_last(yyjson_obj_get(expression, "column_names"));
    bool function = ap_node_is(expression, "class", "FUNCTION"), operator = false;
    ap_json_bool(expression, "is_operator", &operator);
    *out = (struct column) { .name = ap_node_str(expression, "alias") };
    /* unnest of a struct is a column for each of its fields, whatever its alias. */
    struct ap_str called = ap_node_str(expression, "function_name");
    if (function && (ap_str_equal_nocase(called, AP_STR("unnest")) || ap_str_equal_nocase(called, AP_STR("unlist"))))
        return false;
    if (holds_star(expression, 0)) return false;
    if (out->name.size) return true;
    if (ap_node_is(expression, "class", "COLUMN_REF") && yyjson_is_str(last)) {
        out->name = (struct ap_str) { yyjson_get_str(last), yyjson_get_len(last) };
        return true;
    }
    out->shown = true;
    if (function && !operator) out->name = called;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++)
        if (ap_node_is(expression, "class", shown[i])) return true;
    return false;
}

/* What the engine shows of an expression is no word, and a function's begins with its name. */
static bool differ(const struct column *a, const struct column *b)
{
    if (a->shown && b->shown)
        return a->name.size && b->name.size && !ap_str_equal_nocase(a->name, b->name);
    if (a->shown != b->shown) return is_word(a->shown ? b->name : a->name);
    return !ap_str_equal_nocase(a->name, b->name);
}

/* All columns of one table: the engine lets none have two of one name. */
static bool is_one_table(yyjson_val *star, yyjson_val *from)
{
    bool chosen = true; /* COLUMNS(…) */
    ap_json_bool(star, "columns", &chosen);
    return ap_node_is(star, "class", "STAR") && !chosen && !ap_node_list(star, "rename_list") &&
           (ap_node_is(from, "type", "BASE_TABLE") || ap_node_is(from, "type", "SUBQUERY"));
}

bool ap_tree_columns_differ(yyjson_val *node)
{
    struct column columns[COLUMNS_MAX];
    while (ap_node_is(node, "type", "SET_OPERATION_NODE") &&
           !ap_node_is(node, "setop_type", "UNION_BY_NAME"))
        node = yyjson_obj_get(node, "left");
    yyjson_val *list = ap_node_list(node, "select_list"), *item;
    size_t index, count;
    if (!ap_node_is(node, "type", "SELECT_NODE") || yyjson_arr_size(list) > COLUMNS_MAX) return false;
    if (yyjson_arr_size(list) == 1 &&
        is_one_table(yyjson_arr_get_first(list), yyjson_obj_get(node, "from_table")))
        return true;
    yyjson_arr_foreach(list, index, count, item)
    {
        if (!read_column(item, &columns[index])) return false;
        for (size_t i = 0; i < index; i++)
            if (!differ(&columns[i], &columns[index])) return false;
    }
    return count > 0;
}
