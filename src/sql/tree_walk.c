#include "sql/tree_private.h"

bool ap_node_is(yyjson_val *node, const char *key, const char *text)
{
    return yyjson_equals_str(yyjson_obj_get(node, key), text);
}

struct ap_str ap_node_str(yyjson_val *node, const char *key)
{
    struct ap_str out = AP_STR("");
    (void)ap_json_str(node, key, &out);
    return out;
}

bool ap_node_is_query(yyjson_val *value)
{
    if (!yyjson_is_obj(value) || !yyjson_obj_get(value, "cte_map")) return false;
    return ap_str_ends_with(ap_node_str(value, "type"), AP_STR("_NODE"));
}

size_t ap_node_location(yyjson_val *node)
{
    yyjson_val *value = yyjson_obj_get(node, "query_location");
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > SIZE_MAX - 1) return SIZE_MAX;
    return (size_t)yyjson_get_uint(value);
}

yyjson_val *ap_node_list(yyjson_val *node, const char *key)
{
    yyjson_val *value = yyjson_obj_get(node, key);
    return yyjson_is_arr(value) && yyjson_arr_size(value) > 0 ? value : NULL;
}

enum apiary_code ap_tree_parse(struct ap_str text, yyjson_doc **out, struct apiary_error *err)
{
    if (text.size > AP_TREE_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT,
            "the statement is too large: its syntax tree has %zu bytes", text.size);
    return ap_json_parse_deep(text, "the statement's syntax tree", AP_TREE_DEPTH_MAX, out, err);
}

enum apiary_code ap_tree_root(yyjson_doc *tree, yyjson_val **out, struct apiary_error *err)
{
    yyjson_val *root = yyjson_doc_get_root(tree);
    bool failed = true;
    if (!ap_json_bool(root, "error", &failed))
        return ap_fail(err, APIARY_CORRUPT, "a syntax tree without \"error\"");
    if (failed) {
        struct ap_str message = ap_node_str(root, "error_message");
        return ap_fail(err, APIARY_SQL, AP_FMT, AP_ARG(message));
    }
    yyjson_val *statements = ap_node_list(root, "statements");
    if (yyjson_arr_size(statements) != 1)
        return ap_fail(err, APIARY_CORRUPT, "a syntax tree of not exactly one statement");
    yyjson_val *node = yyjson_obj_get(yyjson_arr_get_first(statements), "node");
    if (!ap_node_is_query(node))
        return ap_fail(err, APIARY_CORRUPT, "a syntax tree without a query");
    *out = node;
    return APIARY_OK;
}

const struct ap_cte *ap_cte_find(const struct ap_cte *scope, struct ap_str name)
{
    for (; scope; scope = scope->outer)
        if (ap_str_equal_nocase(scope->name, name)) return scope;
    return NULL;
}

const struct ap_cte *ap_cte_of(const struct ap_cte *scope, yyjson_val *base_table)
{
    struct ap_str schema = ap_node_str(base_table, "schema_name");
    if (ap_node_str(base_table, "catalog_name").size) return NULL;
    if (schema.size && !ap_str_equal_nocase(schema, AP_STR("recurring"))) return NULL;
    return ap_cte_find(scope, ap_node_str(base_table, "table_name"));
}

bool ap_is_file_name(struct ap_str name)
{
    for (size_t i = 0; i < name.size; i++)
        if (strchr("./*?\\", name.data[i])) return true;
    return false;
}

bool ap_is_file_function(struct ap_str name)
{
    static const char *const readers[] = { "read_csv", "read_csv_auto", "sniff_csv", "read_parquet",
        "parquet_scan", "parquet_metadata", "parquet_schema", "parquet_file_metadata",
        "parquet_kv_metadata", "parquet_bloom_probe", "parquet_full_metadata", "read_json",
        "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson",
        "read_ndjson_auto", "read_ndjson_objects", "read_text", "read_blob", "glob", "read_xlsx",
        "read_avro", "delta_scan", "iceberg_scan", "sqlite_scan", "read_duckdb" };
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (ap_str_equal_nocase(name, ap_str_from(readers[i]))) return true;
    return false;
}
