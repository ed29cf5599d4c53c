#include "bee/result_json.h"

#include "bee/cell_text.h"
#include "core/alloc.h"
#include "core/json.h"

static enum apiary_code add_row(duckdb_data_chunk chunk, duckdb_logical_type *types, idx_t columns,
    idx_t row, struct ap_bytes *text, struct ap_bytes *out, struct bee_failure *why)
{
    for (idx_t c = 0; c < columns; c++) {
        bool null = false;
        ap_bytes_clear(text);
        AP_TRY(
            bee_cell_text(duckdb_data_chunk_get_vector(chunk, c), types[c], row, text, &null, why));
        AP_TRY(ap_bytes_add_text(out, c ? "," : "[", &why->err));
        if (null)
            AP_TRY(ap_bytes_add_text(out, "null", &why->err));
        else
            AP_TRY(ap_json_quote(out, ap_bytes_view(text), &why->err));
    }
    return ap_bytes_add_text(out, columns ? "]" : "[]", &why->err);
}

static enum apiary_code add_rows(duckdb_result *result, duckdb_logical_type *types, idx_t columns,
    struct ap_bytes *out, struct bee_failure *why)
{
    AP_AUTO(ap_bytes) text = { 0 };
    bool first = true;
    size_t start = out->size;
    for (;;) {
        duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);
        if (chunk == NULL) break;
        enum apiary_code code = APIARY_OK;
        idx_t rows = duckdb_data_chunk_get_size(chunk);
        for (idx_t row = 0; row < rows && code == APIARY_OK; row++) {
            if (!first) code = ap_bytes_add_text(out, ",", &why->err);
            first = false;
            if (code == APIARY_OK) code = add_row(chunk, types, columns, row, &text, out, why);
            if (code == APIARY_OK && out->size - start > BEE_JSON_BYTES_MAX)
                code = bee_fail(why, "limit", APIARY_LIMIT,
                    "the result is larger than %d MiB of text", BEE_JSON_BYTES_MAX >> 20);
        }
        duckdb_destroy_data_chunk(&chunk);
        AP_TRY(code);
    }
    const char *said = duckdb_result_error(result);
    return said && *said ? bee_fail_engine(why, said) : APIARY_OK;
}

enum apiary_code bee_result_json(
    duckdb_result *result, struct ap_bytes *out, struct bee_failure *why)
{
    idx_t columns = duckdb_column_count(result);
    AP_TRY(ap_bytes_add_text(out, "\"columns\":[", &why->err));
    for (idx_t c = 0; c < columns; c++) {
        if (c) AP_TRY(ap_bytes_add_text(out, ",", &why->err));
        AP_TRY(ap_json_quote(out, ap_str_from(duckdb_column_name(result, c)), &why->err));
    }
    AP_TRY(ap_bytes_add_text(out, "],\"rows\":[", &why->err));
    duckdb_logical_type *types = ap_calloc(columns ? columns : 1, sizeof *types);
    if (types == NULL) return ap_fail_memory(&why->err, "the result's types");
    for (idx_t c = 0; c < columns; c++) types[c] = duckdb_column_logical_type(result, c);
    enum apiary_code code = add_rows(result, types, columns, out, why);
    for (idx_t c = 0; c < columns; c++) duckdb_destroy_logical_type(&types[c]);
    ap_free(types);
    AP_TRY(code);
    return ap_bytes_add_text(out, "]", &why->err);
}
