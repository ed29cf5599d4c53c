/* Statements that a frame's log can answer: SELECT count(*), min(c), max(c) FROM one table. */
#include "sql/keywords.h"
#include "sql/lexer.h"
#include "sql/tree_private.h"

/* Name of the column and its table, when the argument is a plain column of the table. */
static bool read_column(yyjson_val *argument, yyjson_val *table, struct ap_str *column)
{
    yyjson_val *names = yyjson_obj_get(argument, "column_names"),
               *last = yyjson_arr_get_last(names);
    struct ap_str known = ap_node_str(table, "alias");
    if (!known.size) known = ap_node_str(table, "table_name");
    if (!ap_node_is(argument, "class", "COLUMN_REF") || !yyjson_is_str(last) ||
        yyjson_arr_size(names) > 2)
        return false;
    *column = (struct ap_str) { yyjson_get_str(last), yyjson_get_len(last) };
    if (yyjson_arr_size(names) == 1) return true;
    yyjson_val *first = yyjson_arr_get_first(names);
    return ap_str_equal_nocase(
        known, (struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) });
}

static bool read_ask(yyjson_val *function, yyjson_val *table, struct ap_ledger_ask *out)
{
    yyjson_val *children = ap_node_list(function, "children"),
               *orders = yyjson_obj_get(function, "order_bys");
    struct ap_str schema = ap_node_str(function, "schema");
    bool distinct = false;
    *out = (struct ap_ledger_ask) { .column = AP_STR("") };
    out->alias = ap_node_str(function, "alias");
    if (!ap_node_is(function, "class", "FUNCTION") || ap_json_member(function, "filter"))
        return false;
    if ((ap_json_bool(function, "distinct", &distinct) && distinct) ||
        ap_node_list(orders, "orders"))
        return false;
    if (schema.size && !ap_str_is(schema, "main")) return false;
    if (ap_node_is(function, "function_name", "count_star")) return children == NULL;
    out->figure = ap_node_is(function, "function_name", "min") ? AP_FIGURE_MIN : AP_FIGURE_MAX;
    if (out->figure == AP_FIGURE_MAX && !ap_node_is(function, "function_name", "max")) return false;
    return yyjson_arr_size(children) == 1 &&
           read_column(yyjson_arr_get_first(children), table, &out->column);
}

static bool reads_one_table_whole(yyjson_val *node)
{
    static const char *const lists[] = { "modifiers", "group_expressions", "group_sets" };
    static const char *const members[] = { "where_clause", "having", "sample", "qualify" };
    yyjson_val *table = yyjson_obj_get(node, "from_table");
    if (!ap_node_is(node, "type", "SELECT_NODE") ||
        !ap_node_is(node, "aggregate_handling", "STANDARD_HANDLING"))
        return false;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (ap_node_list(node, lists[i])) return false;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (ap_json_member(node, members[i])) return false;
    if (ap_node_list(yyjson_obj_get(node, "cte_map"), "map")) return false;
    if (!ap_node_is(table, "type", "BASE_TABLE")) return false;
    return !ap_json_member(table, "sample") && !ap_node_list(table, "column_name_alias");
}

/* The engine writes a name as it is, or in quotes when it is a keyword or no plain word. */
static enum apiary_code add_engine_name(
    struct ap_bytes *out, struct ap_str name, struct apiary_error *err)
{
    bool plain = name.size > 0 && !ap_word_is_keyword(name);
    for (size_t i = 0; i < name.size && plain; i++) {
        char c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        plain = letter || (i > 0 && c >= '0' && c <= '9');
    }
    return plain ? ap_bytes_add_str(out, name, err) : ap_sql_name(out, name, err);
}

/* count_star(), min(c), max(t."year") */
static enum apiary_code name_ask(struct ap_arena *arena, yyjson_val *function,
    struct ap_ledger_ask *ask, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    yyjson_val *part, *column = yyjson_arr_get_first(yyjson_obj_get(function, "children"));
    size_t index, count;
    bool ok = true;
    AP_TRY(ap_bytes_add_str(&name, ap_node_str(function, "function_name"), err));
    AP_TRY(ap_bytes_add_text(&name, "(", err));
    yyjson_arr_foreach(yyjson_obj_get(column, "column_names"), index, count, part)
    {
        if (index) AP_TRY(ap_bytes_add_text(&name, ".", err));
        AP_TRY(add_engine_name(
            &name, (struct ap_str) { yyjson_get_str(part), yyjson_get_len(part) }, err));
    }
    AP_TRY(ap_bytes_add_text(&name, ")", err));
    ask->alias = ap_arena_str(arena, ap_bytes_view(&name), &ok);
    return ok ? APIARY_OK : ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
}

enum apiary_code ap_tree_find_asks(
    struct ap_arena *arena, yyjson_val *node, struct ap_tree_names *names, struct apiary_error *err)
{
    yyjson_val *function, *list = ap_node_list(node, "select_list"),
                          *table = yyjson_obj_get(node, "from_table");
    size_t index, count;
    if (!list || !reads_one_table_whole(node)) return APIARY_OK;
    struct ap_ledger_ask *asks = ap_arena_alloc(arena, yyjson_arr_size(list) * sizeof *asks);
    if (!asks) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
    yyjson_arr_foreach(list, index, count, function)
    {
        if (!read_ask(function, table, &asks[index])) return APIARY_OK;
        if (!asks[index].alias.size) AP_TRY(name_ask(arena, function, &asks[index], err));
    }
    names->asks = asks;
    names->ask_count = yyjson_arr_size(list);
    names->ledger_only = true;
    return APIARY_OK;
}

size_t ap_tree_ledger_asks(
    const struct ap_tree_names *names, yyjson_doc *tree, struct ap_ledger_ask *out, size_t max)
{
    if (!names->ledger_only || names->ask_count > max) return 0;
    memcpy(out, names->asks, names->ask_count * sizeof *out);
    return names->ask_count;
}
