/* What is known of the engine's functions. tests/prop/functions.py compares the lists with those of the
 * engine that is pinned. */
#include "sql/cut_private.h"

static const struct ap_cut_aggregate_kind aggregates[] = {
    { "count_star", AP_MERGE_COUNT, 0, true, false, false },
    { "count", AP_MERGE_COUNT, 1, true, false, true },
    { "count_if", AP_MERGE_SUM, 1, true, false, false }, /* of no rows it is NULL, as a sum is */
    { "countif", AP_MERGE_SUM, 1, true, false, false },
    { "sum", AP_MERGE_SUM, 1, false, true, true },
    { "sum_no_overflow", AP_MERGE_SUM, 1, false, true, false },
    { "avg", AP_MERGE_AVERAGE, 1, false, true, true },
    { "mean", AP_MERGE_AVERAGE, 1, false, true, true },
    { "min", AP_MERGE_SAME, 1, true, false, true },
    { "max", AP_MERGE_SAME, 1, true, false, true },
    { "bool_and", AP_MERGE_SAME, 1, true, false, false },
    { "bool_or", AP_MERGE_SAME, 1, true, false, false },
    { "bit_and", AP_MERGE_SAME, 1, true, false, false },
    { "bit_or", AP_MERGE_SAME, 1, true, false, false },
    { "bit_xor", AP_MERGE_SAME, 1, true, false, false },
    { "product", AP_MERGE_SAME, 1, false, false, false },
    { "any_value", AP_MERGE_SAME, 1, false, false, false },
    { "var_samp", AP_MERGE_SPREAD, 1, false, false, false },
    { "variance", AP_MERGE_SPREAD, 1, false, false, false },
    { "var_pop", AP_MERGE_SPREAD, 1, false, false, false },
    { "stddev", AP_MERGE_SPREAD, 1, false, false, false },
    { "stddev_samp", AP_MERGE_SPREAD, 1, false, false, false },
    { "stddev_pop", AP_MERGE_SPREAD, 1, false, false, false },
    { "arg_min", AP_MERGE_BEST, 2, false, false, false },
    { "argmin", AP_MERGE_BEST, 2, false, false, false },
    { "min_by", AP_MERGE_BEST, 2, false, false, false },
    { "arg_max", AP_MERGE_BEST, 2, false, false, false },
    { "argmax", AP_MERGE_BEST, 2, false, false, false },
    { "max_by", AP_MERGE_BEST, 2, false, false, false },
};

/* Aggregates whose rows are gathered; windows' own functions are only ever calls of class WINDOW. */
static const char *const others[] = { "approx_count_distinct", "approx_quantile", "approx_top_k",
    "arbitrary", "arg_max_null", "arg_max_nulls_last", "arg_min_null", "arg_min_nulls_last",
    "array_agg", "bitstring_agg", "corr", "covar_pop", "covar_samp", "cume_dist", "dense_rank",
    "entropy", "favg", "fill", "first", "first_value", "fsum", "group_concat", "histogram",
    "histogram_exact", "kahan_sum", "kurtosis", "kurtosis_pop", "lag", "last", "last_value", "lead",
    "list", "listagg", "mad", "median", "mode", "nth_value", "ntile", "percent_rank", "quantile",
    "quantile_cont", "quantile_disc", "rank", "rank_dense", "regr_avgx", "regr_avgy", "regr_count",
    "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy",
    "reservoir_quantile", "row_number", "sem", "skewness", "string_agg", "sumkahan" };

static const struct ap_cut_aggregate_kind gathered = { "", AP_MERGE_NONE, -1, false, false, false };

static bool is_one_of(struct ap_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(list[i]))) return true;
    return false;
}
#define IS_ONE_OF(name, list) is_one_of(name, list, sizeof(list) / sizeof *(list))

const struct ap_cut_aggregate_kind *ap_cut_aggregate(struct ap_str name)
{
    for (size_t i = 0; i < sizeof aggregates / sizeof *aggregates; i++)
        if (ap_str_equal_nocase(name, ap_str_from(aggregates[i].name))) return &aggregates[i];
    return IS_ONE_OF(name, others) ? &gathered : NULL;
}

bool ap_cut_is_opaque(struct ap_str name)
{
    static const char *const names[] = { "geomean", "geometric_mean", "wavg", "weighted_avg",
        "json_group_array", "json_group_object", "json_group_structure" };
    return IS_ONE_OF(name, names);
}

bool ap_cut_is_moment(struct ap_str name)
{
    static const char *const names[] = { "now", "today", "transaction_timestamp",
        "get_current_timestamp", "get_current_time", "current_date", "current_time",
        "current_timestamp", "current_localtime", "current_localtimestamp", "current_localdate",
        "localtime", "localtimestamp", "current_database", "current_schema", "current_schemas",
        "current_catalog", "current_setting", "getvariable", "in_search_path", "ago", "user",
        "current_user", "session_user", "current_role" };
    return IS_ONE_OF(name, names);
}

bool ap_cut_is_odd(struct ap_str name)
{
    static const char *const names[] = { "current_query", "txid_current", "pg_conf_load_time",
        "pg_postmaster_start_time", "current_connection_id", "current_transaction_id",
        "current_query_id", "stats", "error", "sleep_ms", "write_log" };
    return IS_ONE_OF(name, names);
}

/* ---- looking at expressions ---- */

bool ap_cut_is_aggregate_call(yyjson_val *node)
{
    if (!ap_node_is(node, "class", "FUNCTION")) return false;
    if (yyjson_get_bool(yyjson_obj_get(node, "is_operator"))) return false;
    return ap_cut_aggregate(ap_node_str(node, "function_name")) != NULL;
}

typedef bool (*test)(yyjson_val *node);

/* Queries in it are not entered; `ask` is asked about them. */
static bool any(yyjson_val *value, test ask)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) if (any(item, ask)) return true;
        return false;
    }
    if (!yyjson_is_obj(value)) return false;
    if (ask(value)) return true;
    if (ap_node_is_query(value)) return false;
    yyjson_obj_foreach(value, index, count, key, item) if (any(item, ask)) return true;
    return false;
}

static bool is_window(yyjson_val *node) { return ap_node_is(node, "class", "WINDOW"); }
static bool is_star(yyjson_val *node) { return ap_node_is(node, "class", "STAR"); }

bool ap_cut_has_aggregate(yyjson_val *value) { return any(value, ap_cut_is_aggregate_call); }
bool ap_cut_has_window(yyjson_val *value) { return any(value, is_window); }
bool ap_cut_has_query(yyjson_val *value) { return any(value, ap_node_is_query); }
bool ap_cut_has_star(yyjson_val *value) { return any(value, is_star); }

static bool is_unnest(yyjson_val *node)
{
    return ap_node_is(node, "class", "FUNCTION") && ap_str_equal_nocase(ap_node_str(node, "function_name"), AP_STR("unnest"));
}

const char *ap_tree_beyond_a_row(yyjson_doc *tree)
{
    yyjson_val *node = NULL, *list = NULL;
    if (ap_tree_root(tree, &node, NULL) == APIARY_OK) list = yyjson_obj_get(node, "select_list");
    if (ap_cut_has_window(list)) return "window functions";
    if (ap_cut_has_aggregate(list)) return "aggregates";
    return any(list, is_unnest) ? "unnest" : NULL;
}

static struct ap_str text_of(yyjson_val *value)
{
    return (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) };
}

/* One may be written shorter: "x" for "t.x". */
static bool same_column(yyjson_val *a, yyjson_val *b)
{
    yyjson_val *left = yyjson_obj_get(a, "column_names"), *right = yyjson_obj_get(b, "column_names");
    size_t left_count = yyjson_arr_size(left), right_count = yyjson_arr_size(right);
    size_t common = left_count < right_count ? left_count : right_count;
    if (common == 0) return false;
    for (size_t i = 1; i <= common; i++)
        if (!ap_str_equal_nocase(text_of(yyjson_arr_get(left, left_count - i)),
                text_of(yyjson_arr_get(right, right_count - i))))
            return false;
    return true;
}

static bool ignored(yyjson_val *key)
{
    return yyjson_equals_str(key, "query_location") || yyjson_equals_str(key, "alias");
}

bool ap_cut_same(yyjson_val *a, yyjson_val *b)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_get_type(a) != yyjson_get_type(b)) return false;
    if (yyjson_is_arr(a)) {
        if (yyjson_arr_size(a) != yyjson_arr_size(b)) return false;
        yyjson_arr_foreach(
            a, index, count, item) if (!ap_cut_same(item, yyjson_arr_get(b, index))) return false;
        return true;
    }
    if (!yyjson_is_obj(a)) return yyjson_equals(a, b);
    if (ap_node_is(a, "class", "COLUMN_REF") && ap_node_is(b, "class", "COLUMN_REF"))
        return same_column(a, b);
    if (yyjson_obj_size(a) != yyjson_obj_size(b)) return false;
    yyjson_obj_foreach(a, index, count, key, item)
    {
        if (ignored(key)) continue;
        yyjson_val *other = yyjson_obj_getn(b, yyjson_get_str(key), yyjson_get_len(key));
        if (other == NULL || !ap_cut_same(item, other)) return false;
    }
    return true;
}
