/* The rows of COPY … (RETURN_STATS): filename, count, file_size_bytes,
 * footer_size_bytes, column_statistics map(varchar, map(varchar, varchar)),
 * partition_keys map(varchar, varchar). The maps are read from their vectors: the
 * C API's texts of maps cannot be told apart from their content. */
#include "bee/cell_text.h"
#include "bee/result_json.h"
#include "core/json.h"

enum { PATH_DEPTH_MAX = 64, COLUMNS_WANTED = 6 };

/* One level of a map column: where its entries of one row lie. */
struct entries {
    duckdb_vector keys, values;
    duckdb_list_entry range;
};

static bool is_null(duckdb_vector vector, idx_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    return validity && !duckdb_validity_row_is_valid(validity, row);
}

static struct entries entries_at(duckdb_vector map, idx_t row)
{
    duckdb_vector pairs = duckdb_list_vector_get_child(map);
    struct entries entries = { duckdb_struct_vector_get_child(pairs, 0),
        duckdb_struct_vector_get_child(pairs, 1), { 0, 0 } };
    if (!is_null(map, row)) entries.range = ((duckdb_list_entry *)duckdb_vector_get_data(map))[row];
    return entries;
}

/* Text at a row of a VARCHAR vector; false: NULL. */
static bool text_at(duckdb_vector vector, idx_t row, struct ap_str *out)
{
    if (is_null(vector, row)) return false;
    duckdb_string_t *strings = duckdb_vector_get_data(vector);
    *out = (struct ap_str) { duckdb_string_t_data(&strings[row]),
        duckdb_string_t_length(strings[row]) };
    return true;
}

static bool find(const struct entries *entries, const char *key, struct ap_str *out)
{
    for (idx_t i = 0; i < entries->range.length; i++) {
        struct ap_str name;
        idx_t at = entries->range.offset + i;
        if (text_at(entries->keys, at, &name) && ap_str_is(name, key))
            return text_at(entries->values, at, out);
    }
    return false;
}

/* Takes the next part of "a"."b" or a.b off `rest`, quotes removed, "" made ". */
static enum apiary_code next_part(
    struct ap_str *rest, struct ap_bytes *part, struct bee_failure *why)
{
    ap_bytes_clear(part);
    size_t i = 0;
    if (rest->size && rest->data[0] == '"') {
        for (i = 1; i < rest->size; i++) {
            if (rest->data[i] == '"') {
                if (i + 1 == rest->size || rest->data[i + 1] != '"') break;
                i++;
            }
            AP_TRY(ap_bytes_add(part, rest->data + i, 1, &why->err));
        }
        if (i >= rest->size)
            return bee_fail(why, "internal", APIARY_INTERNAL, "a column path with an open quote");
        i++;
    } else {
        while (i < rest->size && rest->data[i] != '.') i++;
        AP_TRY(ap_bytes_add(part, rest->data, i, &why->err));
    }
    if (i < rest->size) {
        if (rest->data[i] != '.')
            return bee_fail(why, "internal", APIARY_INTERNAL, "a column path out of form");
        i++;
    }
    *rest = (struct ap_str) { rest->data + i, rest->size - i };
    return APIARY_OK;
}

static enum apiary_code add_path(struct ap_str path, struct ap_bytes *out, struct bee_failure *why)
{
    AP_AUTO(ap_bytes) part = { 0 };
    AP_TRY(ap_bytes_add_text(out, "\"path\":[", &why->err));
    int depth = 0;
    do {
        if (++depth > PATH_DEPTH_MAX)
            return bee_fail(why, "limit", APIARY_LIMIT, "a column nested too deep");
        AP_TRY(next_part(&path, &part, why));
        if (depth > 1) AP_TRY(ap_bytes_add_text(out, ",", &why->err));
        AP_TRY(ap_json_quote(out, ap_bytes_view(&part), &why->err));
    } while (path.size);
    return ap_bytes_add_text(out, "]", &why->err);
}

static enum apiary_code add_text(const struct entries *statistics, const char *key,
    struct ap_bytes *out, struct bee_failure *why)
{
    struct ap_str text;
    AP_TRY(ap_bytes_printf(out, &why->err, ",\"%s\":", key));
    if (!find(statistics, key, &text)) return ap_bytes_add_text(out, "null", &why->err);
    return ap_json_quote(out, text, &why->err);
}

/* Numbers and bools, given unquoted after a look at their form. */
static enum apiary_code add_plain(const struct entries *statistics, const char *key,
    struct ap_bytes *out, struct bee_failure *why)
{
    struct ap_str text;
    uint64_t number;
    bool plain =
        find(statistics, key, &text) &&
        (ap_str_to_u64(text, &number) || ap_str_is(text, "true") || ap_str_is(text, "false"));
    return ap_bytes_printf(
        out, &why->err, ",\"%s\":" AP_FMT, key, AP_ARG(plain ? text : AP_STR("null")));
}

static enum apiary_code add_column(struct ap_str path, const struct entries *statistics,
    struct ap_bytes *out, struct bee_failure *why)
{
    AP_TRY(ap_bytes_add_text(out, "{", &why->err));
    AP_TRY(add_path(path, out, why));
    AP_TRY(add_text(statistics, "min", out, why));
    AP_TRY(add_text(statistics, "max", out, why));
    AP_TRY(add_plain(statistics, "null_count", out, why));
    AP_TRY(add_plain(statistics, "num_values", out, why));
    AP_TRY(add_plain(statistics, "has_nan", out, why));
    return ap_bytes_add_text(out, "}", &why->err);
}

static enum apiary_code add_columns(
    duckdb_vector map, idx_t row, struct ap_bytes *out, struct bee_failure *why)
{
    struct entries columns = entries_at(map, row);
    bool first = true;
    AP_TRY(ap_bytes_add_text(out, ",\"columns\":[", &why->err));
    for (idx_t i = 0; i < columns.range.length; i++) {
        idx_t at = columns.range.offset + i;
        struct ap_str path;
        if (!text_at(columns.keys, at, &path)) continue;
        struct entries statistics = entries_at(columns.values, at);
        if (!first) AP_TRY(ap_bytes_add_text(out, ",", &why->err));
        first = false;
        AP_TRY(add_column(path, &statistics, out, why));
    }
    return ap_bytes_add_text(out, "]", &why->err);
}

static enum apiary_code add_partition(
    duckdb_vector map, idx_t row, struct ap_bytes *out, struct bee_failure *why)
{
    struct entries keys = entries_at(map, row);
    bool first = true;
    AP_TRY(ap_bytes_add_text(out, ",\"partition\":{", &why->err));
    for (idx_t i = 0; i < keys.range.length; i++) {
        struct ap_str name, value;
        idx_t at = keys.range.offset + i;
        if (!text_at(keys.keys, at, &name)) continue;
        if (!first) AP_TRY(ap_bytes_add_text(out, ",", &why->err));
        first = false;
        AP_TRY(ap_json_quote(out, name, &why->err));
        AP_TRY(ap_bytes_add_text(out, ":", &why->err));
        if (text_at(keys.values, at, &value))
            AP_TRY(ap_json_quote(out, value, &why->err));
        else
            AP_TRY(ap_bytes_add_text(out, "null", &why->err));
    }
    return ap_bytes_add_text(out, "}", &why->err);
}

/* Columns are found by name; a map is expected where one is named. */
static const struct {
    const char *name;
    duckdb_type type;
} wanted[COLUMNS_WANTED] = {
    { "filename", DUCKDB_TYPE_VARCHAR },
    { "count", DUCKDB_TYPE_UBIGINT },
    { "file_size_bytes", DUCKDB_TYPE_UBIGINT },
    { "footer_size_bytes", DUCKDB_TYPE_UBIGINT },
    { "column_statistics", DUCKDB_TYPE_MAP },
    { "partition_keys", DUCKDB_TYPE_MAP },
};

static enum apiary_code locate(
    duckdb_result *result, idx_t where[COLUMNS_WANTED], struct bee_failure *why)
{
    idx_t columns = duckdb_column_count(result);
    for (int w = 0; w < COLUMNS_WANTED; w++) {
        idx_t c = 0;
        while (
            c < columns && !ap_str_is(ap_str_from(duckdb_column_name(result, c)), wanted[w].name))
            c++;
        if (c == columns || duckdb_column_type(result, c) != wanted[w].type)
            return bee_fail(why, "invalid_input", APIARY_INVALID,
                "the statement returns no column '%s': no COPY with RETURN_STATS", wanted[w].name);
        where[w] = c;
    }
    return APIARY_OK;
}

static enum apiary_code add_file(duckdb_data_chunk chunk, const idx_t where[COLUMNS_WANTED],
    idx_t row, struct ap_bytes *out, struct bee_failure *why)
{
    struct ap_str filename = AP_STR("");
    AP_TRY(ap_bytes_add_text(out, "{\"filename\":", &why->err));
    text_at(duckdb_data_chunk_get_vector(chunk, where[0]), row, &filename);
    AP_TRY(ap_json_quote(out, filename, &why->err));
    for (int w = 1; w <= 3; w++) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, where[w]);
        uint64_t number =
            is_null(vector, row) ? 0 : ((uint64_t *)duckdb_vector_get_data(vector))[row];
        AP_TRY(ap_bytes_printf(
            out, &why->err, ",\"%s\":%llu", wanted[w].name, (unsigned long long)number));
    }
    AP_TRY(add_columns(duckdb_data_chunk_get_vector(chunk, where[4]), row, out, why));
    AP_TRY(add_partition(duckdb_data_chunk_get_vector(chunk, where[5]), row, out, why));
    return ap_bytes_add_text(out, "}", &why->err);
}

enum apiary_code bee_result_files(
    duckdb_result *result, struct ap_bytes *out, struct bee_failure *why)
{
    idx_t where[COLUMNS_WANTED];
    AP_TRY(locate(result, where, why));
    AP_TRY(ap_bytes_add_text(out, "\"files\":[", &why->err));
    bool first = true;
    for (;;) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);
        if (chunk == NULL) break;
        enum apiary_code code = APIARY_OK;
        idx_t rows = duckdb_data_chunk_get_size(chunk);
        for (idx_t row = 0; row < rows && code == APIARY_OK; row++) {
            if (!first) code = ap_bytes_add_text(out, ",", &why->err);
            first = false;
            if (code == APIARY_OK) code = add_file(chunk, where, row, out, why);
        }
        duckdb_destroy_data_chunk(&chunk);
        AP_TRY(code);
    }
    const char *said = duckdb_result_error(result);
    if (said && *said) return bee_fail_engine(why, said);
    return ap_bytes_add_text(out, "]", &why->err);
}
