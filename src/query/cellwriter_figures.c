/* What the engine tells of a file that it wrote, as the ledger has it: partition values, statistics. */
#include "query/cellwriter_private.h"

#include "core/alloc.h"
#include "core/time.h"
#include "ledger/column_mapping.h"

enum { COLUMNS_MAX = 100000, PATH_DEPTH_MAX = 64 };

bool ap_writing_text(struct ap_arena *arena, struct ap_str text, struct ap_str *out)
{
    bool ok = true;
    *out = ap_arena_str(arena, text, &ok);
    return ok;
}

/* ---- rows and bytes ---- */

enum apiary_code ap_read_figures(yyjson_val *row, struct ap_figures *out, struct apiary_error *err)
{
    struct ap_figures figures = { .name = yyjson_get_str(ap_json_member(row, "filename")) };
    if (figures.name == NULL || !ap_json_i64(row, "count", &figures.rows) ||
        !ap_json_i64(row, "file_size_bytes", &figures.bytes))
        return ap_fail(err, APIARY_CORRUPT, "a chamber's list of cells is incomplete");
    if (figures.rows < 0 || figures.bytes < 0 || (figures.rows > 0 && figures.bytes == 0))
        return ap_fail(err, APIARY_CORRUPT, "a chamber tells of a file with %lld rows in %lld bytes",
            (long long)figures.rows, (long long)figures.bytes);
    *out = figures;
    return APIARY_OK;
}

enum apiary_code ap_add_figures(struct ap_figures *sum, const struct ap_figures *file, struct apiary_error *err)
{
    if (file->rows > INT64_MAX - sum->rows || file->bytes > INT64_MAX - sum->bytes)
        return ap_fail(err, APIARY_CORRUPT, "a chamber tells of more rows or bytes than there can be");
    sum->rows += file->rows;
    sum->bytes += file->bytes;
    return APIARY_OK;
}

/* ---- partition values ---- */

enum apiary_code ap_partition_text(
    const struct ap_type *type, struct ap_str text, struct ap_bytes *out, struct apiary_error *err)
{
    int64_t us = 0;
    bool zone = false, inexact = false;
    char formatted[AP_TIME_TEXT_MAX];
    if (type->kind != AP_TYPE_TIMESTAMP && type->kind != AP_TYPE_TIMESTAMP_NTZ)
        return ap_bytes_add_str(out, text, err);
    if (!ap_timestamp_parse(text, &us, &zone, &inexact))
        return ap_fail(
            err, APIARY_SCHEMA, "'" AP_FMT "' cannot be a partition value", AP_ARG(text));
    bool instant = type->kind == AP_TYPE_TIMESTAMP;
    ap_timestamp_format(us, instant ? 'T' : ' ', 6, instant, formatted);
    return ap_bytes_add_text(out, formatted, err);
}

enum apiary_code ap_read_partition(const struct ap_metadata *metadata, yyjson_val *row,
    struct ap_written *written, struct ap_new_cell *cell, struct ap_bytes *folders,
    struct apiary_error *err)
{
    yyjson_val *partition = ap_json_member(row, "partition");
    size_t count = metadata->partition_count;
    struct ap_str *values =
        ap_arena_alloc(&written->arena, (count == 0 ? 1 : count) * sizeof *values);
    if (values == NULL) return ap_fail_memory(err, "partition values");
    for (size_t i = 0; i < count; i++) {
        struct ap_str name = ap_column_physical(&metadata->schema, metadata->partition_by[i]), text = { 0 };
        yyjson_val *value = yyjson_obj_getn(partition, name.data, name.size);
        AP_AUTO(ap_bytes) delta = { 0 };
        bool null = !yyjson_is_str(value) ||
                    yyjson_get_len(value) == 0; /* Delta holds no empty text apart from NULL */
        if (!null) {
            size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[i]);
            text = (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) };
            AP_TRY(ap_partition_text(&metadata->schema.fields[column].type, text, &delta, err));
            if (!ap_writing_text(&written->arena, ap_bytes_view(&delta), &values[i]))
                return ap_fail_memory(err, "partition values");
        }
        AP_TRY(ap_partition_folder(folders, name, values[i], err));
        AP_TRY(ap_bytes_add_text(folders, "/", err));
    }
    cell->partition_values = values;
    return APIARY_OK;
}

/* ---- statistics ---- */

static enum apiary_code read_figures(yyjson_val *column, struct ap_arena *arena,
    struct ap_column_figures *out, struct apiary_error *err)
{
    yyjson_val *path = ap_json_member(column, "path"), *part = NULL;
    size_t depth = yyjson_arr_size(path), index = 0, count = 0;
    if (depth == 0 || depth > PATH_DEPTH_MAX)
        return ap_fail(err, APIARY_CORRUPT, "a chamber's statistics have no column path");
    struct ap_str *parts = ap_arena_alloc(arena, depth * sizeof *parts);
    if (parts == NULL) return ap_fail_memory(err, "statistics");
    yyjson_arr_foreach(path, index, count, part) parts[index] =
        (struct ap_str) { yyjson_get_str(part) != NULL ? yyjson_get_str(part) : "",
            yyjson_get_len(part) };
    *out = (struct ap_column_figures) {
        .path = parts, .depth = depth, .null_count = -1, .has_nan = -1
    };
    bool nan = false;
    if (!ap_json_str(column, "min", &out->min)) out->min = (struct ap_str) { 0 };
    if (!ap_json_str(column, "max", &out->max)) out->max = (struct ap_str) { 0 };
    if (!ap_json_i64(column, "null_count", &out->null_count)) out->null_count = -1;
    if (ap_json_bool(column, "has_nan", &nan)) out->has_nan = nan;
    return APIARY_OK;
}

enum apiary_code ap_read_stats(const struct ap_schema *schema, yyjson_val *row, int64_t rows,
    struct ap_written *written, struct ap_new_cell *cell, struct apiary_error *err)
{
    yyjson_val *columns = ap_json_member(row, "columns"), *column = NULL;
    size_t index = 0, count = yyjson_arr_size(columns);
    if (count > COLUMNS_MAX)
        return ap_fail(err, APIARY_CORRUPT, "a chamber's statistics have too many columns");
    AP_AUTO(ap_arena) scratch = { 0 };
    struct ap_column_figures *figures =
        ap_arena_alloc(&scratch, (count == 0 ? 1 : count) * sizeof *figures);
    if (figures == NULL) return ap_fail_memory(err, "statistics");
    yyjson_arr_foreach(columns, index, count, column)
        AP_TRY(read_figures(column, &scratch, &figures[index], err));
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_stats_write(schema, rows, figures, count, &text, err));
    return ap_writing_text(&written->arena, ap_bytes_view(&text), &cell->stats)
               ? APIARY_OK
               : ap_fail_memory(err, "statistics");
}

enum apiary_code ap_partition_key(
    const struct ap_str *values, size_t count, struct ap_bytes *key, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) /* a NULL differs from every text by its mark */
        AP_TRY(ap_bytes_printf(key, err, "%c%zu:" AP_FMT, values[i].data == NULL ? 'n' : 't',
            values[i].size, AP_ARG(values[i])));
    return APIARY_OK;
}
