/* Constants of a syntax tree as SQL again: what stands behind the name of a reader's option. */
#include "sql/lexer.h"
#include "sql/tree_private.h"

enum { DEPTH_MAX = 4 };

bool ap_node_bool(yyjson_val *expression, bool *out)
{
    yyjson_val *value = yyjson_obj_get(yyjson_obj_get(expression, "value"), "value");
    bool cast = ap_node_is(expression, "class", "CAST");
    if (cast && !ap_str_is(ap_node_str(yyjson_obj_get(expression, "cast_type"), "id"), "BOOLEAN")) return false;
    if (cast) expression = yyjson_obj_get(expression, "child");
    if (!ap_node_is(expression, "class", "CONSTANT")) return false;
    struct ap_str text = ap_node_str(yyjson_obj_get(expression, "value"), "value");
    *out = ap_str_is(text, "t") || ap_str_equal_nocase(text, AP_STR("true")) || (!cast && yyjson_get_bool(value));
    bool is_false = ap_str_is(text, "f") || ap_str_equal_nocase(text, AP_STR("false"));
    return *out || is_false || (!cast && yyjson_is_bool(value));
}

/* 'x' and whole numbers. A cast makes a boolean, or it is no constant. */
static enum apiary_code add_value(yyjson_val *expression, struct ap_bytes *out, bool *is, struct apiary_error *err)
{
    yyjson_val *constant = yyjson_obj_get(expression, "value"), *value = yyjson_obj_get(constant, "value");
    struct ap_str type = ap_node_str(yyjson_obj_get(constant, "type"), "id");
    bool flag = false, cast = ap_node_is(expression, "class", "CAST");
    *is = true;
    if ((cast || yyjson_is_bool(value)) && ap_node_bool(expression, &flag)) return ap_bytes_add_text(out, flag ? "true" : "false", err);
    *is = !cast && ap_node_is(expression, "class", "CONSTANT") && !yyjson_get_bool(yyjson_obj_get(constant, "is_null"));
    bool text = ap_str_is(type, "VARCHAR") && yyjson_is_str(value);
    bool number = (ap_str_is(type, "INTEGER") || ap_str_is(type, "BIGINT")) && yyjson_is_int(value);
    *is = *is && (text || number);
    if (!*is) return APIARY_OK;
    if (text) return ap_sql_string(out, (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) }, err);
    return ap_bytes_printf(out, err, "%lld", (long long)yyjson_get_sint(value));
}

static enum apiary_code add(yyjson_val *expression, int depth, struct ap_bytes *out, bool *is, struct apiary_error *err)
{
    bool list = ap_node_is(expression, "function_name", "list_value");
    bool fields = ap_node_is(expression, "function_name", "struct_pack");
    if (!list && !fields) return add_value(expression, out, is, err);
    yyjson_val *child;
    size_t index, count;
    *is = depth < DEPTH_MAX && ap_node_list(expression, "children") != NULL;
    if (!*is) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(out, list ? "[" : "{", err));
    yyjson_arr_foreach(yyjson_obj_get(expression, "children"), index, count, child)
    {
        struct ap_str name = ap_node_str(child, "alias");
        if (index > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        *is = list || name.size > 0;
        if (*is && fields) AP_TRY(ap_sql_string(out, name, err));
        if (*is && fields) AP_TRY(ap_bytes_add_text(out, ": ", err));
        if (*is) AP_TRY(add(child, depth + 1, out, is, err));
        if (!*is) return APIARY_OK;
    }
    return ap_bytes_add_text(out, list ? "]" : "}", err);
}

enum apiary_code ap_node_constant(yyjson_val *expression, struct ap_bytes *out, bool *is, struct apiary_error *err)
{
    return add(expression, 0, out, is, err);
}
