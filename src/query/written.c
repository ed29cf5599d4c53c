/* Cells that were written, as text: what one node tells whoever commits them.
 *
 *   {"rows":3,"bytes":812,"cells":[{"key":"p=1/cell_….parquet","size":812,"modified_ms":…,"values":["1"],"stats":"{…}"}]} */
#include "query/cellwriter_private.h"
#include "query/shape.h"

#include "core/alloc.h"
#include "core/id.h"
#include "core/json.h"

#include <inttypes.h>

enum { STATS_BYTES_MAX = 16 << 20, VALUE_BYTES_MAX = 16384, CELLS_MAX = 1000000 };

enum apiary_code ap_cell_tags(
    const struct ap_metadata *metadata, struct ap_str extra_tag, struct ap_arena *arena, struct ap_str *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tags = { 0 };
    AP_TRY(ap_shape_tags(metadata, &tags, err));
    if (extra_tag.size > 0) {
        tags.size--; /* the closing brace */
        AP_TRY(ap_bytes_printf(&tags, err, "," AP_FMT "}", AP_ARG(extra_tag)));
    }
    return ap_writing_text(arena, ap_bytes_view(&tags), out) ? APIARY_OK : ap_fail_memory(err, "cells");
}

/* ---- writing ---- */

static enum apiary_code write_cell(const struct ap_new_cell *cell, size_t value_count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"key\":", err));
    AP_TRY(ap_json_quote(out, cell->key, err));
    AP_TRY(ap_bytes_printf(out, err, ",\"size\":%" PRId64 ",\"modified_ms\":%" PRId64 ",\"values\":[", cell->size_bytes, cell->modified_ms));
    for (size_t i = 0; i < value_count; i++) {
        struct ap_str value = cell->partition_values[i];
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ",", err));
        AP_TRY(value.data == NULL ? ap_bytes_add_text(out, "null", err) : ap_json_quote(out, value, err));
    }
    AP_TRY(ap_bytes_add_text(out, "],\"stats\":", err));
    AP_TRY(ap_json_quote(out, cell->stats, err));
    return ap_bytes_add_text(out, "}", err);
}

enum apiary_code ap_written_write(
    const struct ap_written *written, const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "{\"rows\":%" PRId64 ",\"bytes\":%" PRId64 ",\"cells\":[", written->rows, written->bytes));
    for (size_t i = 0; i < written->count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ",", err));
        AP_TRY(write_cell(&written->cells[i], metadata->partition_count, out, err));
    }
    return ap_bytes_add_text(out, "]}\n", err);
}

/* ---- reading ---- */

static enum apiary_code wrong(const struct ap_target *target, const char *what, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "cells written for frame %s: %s", target->name, what);
}

static enum apiary_code read_values(yyjson_val *list, const struct ap_target *target, struct ap_arena *arena, struct ap_new_cell *cell,
    struct apiary_error *err)
{
    size_t i, count, wanted = target->metadata.partition_count;
    yyjson_val *item;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) != wanted) return wrong(target, "they have other partition columns", err);
    struct ap_str *values = ap_arena_alloc(arena, (wanted == 0 ? 1 : wanted) * sizeof *values);
    if (values == NULL) return ap_fail_memory(err, "partition values");
    yyjson_arr_foreach(list, i, count, item)
    {
        struct ap_str value = { yyjson_get_str(item), yyjson_get_len(item) };
        values[i] = (struct ap_str) { 0 };
        if (yyjson_is_null(item)) continue;
        if (value.data == NULL || value.size == 0 || value.size > VALUE_BYTES_MAX) return wrong(target, "a partition value is out of form", err);
        if (!ap_writing_text(arena, value, &values[i])) return ap_fail_memory(err, "partition values");
    }
    cell->partition_values = values;
    return APIARY_OK;
}

/* A key must be one that the writer would have chosen: the partition's folders and a name of its own. */
static enum apiary_code check_key(const struct ap_target *target, const struct ap_new_cell *cell, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) folders = { 0 };
    for (size_t i = 0; i < target->metadata.partition_count; i++)
        AP_TRY(ap_cell_add_folder(&target->metadata, i, cell->partition_values[i], &folders, err));
    if (ap_cell_is_key(cell->key, ap_bytes_view(&folders))) return APIARY_OK;
    return wrong(target, "a key is not one of its cells'", err);
}

static enum apiary_code read_cell(yyjson_val *item, const struct ap_target *target, struct ap_written *out, struct apiary_error *err)
{
    struct ap_new_cell cell = { 0 };
    struct ap_str key, stats;
    AP_AUTO_JSON *doc = NULL;
    if (!ap_json_str(item, "key", &key) || !ap_json_i64(item, "size", &cell.size_bytes) || cell.size_bytes <= 0
        || !ap_json_i64(item, "modified_ms", &cell.modified_ms) || cell.modified_ms < 0 || !ap_json_str(item, "stats", &stats)
        || stats.size > STATS_BYTES_MAX)
        return wrong(target, "one is described incompletely", err);
    AP_TRY(ap_json_parse(stats, "a cell's statistics", &doc, err));
    if (!yyjson_is_obj(yyjson_doc_get_root(doc))) return wrong(target, "its statistics are out of form", err);
    if (!ap_writing_text(&out->arena, key, &cell.key) || !ap_writing_text(&out->arena, stats, &cell.stats)) return ap_fail_memory(err, "cells");
    AP_TRY(read_values(ap_json_member(item, "values"), target, &out->arena, &cell, err));
    AP_TRY(check_key(target, &cell, err));
    AP_TRY(AP_GROW(out->cells, out->capacity, out->count + 1, err));
    out->cells[out->count++] = cell;
    return APIARY_OK;
}

enum apiary_code ap_written_read(struct ap_str line, const struct ap_target *target, struct ap_str extra_tag, struct ap_written *out,
    struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str tags;
    size_t i, count, first = out->count;
    int64_t rows = 0, bytes = 0;
    yyjson_val *item;
    AP_TRY(ap_json_parse(line, "cells that were written", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc), *list = ap_json_member(root, "cells");
    if (!ap_json_i64(root, "rows", &rows) || rows < 0 || rows > INT64_MAX - out->rows || !ap_json_i64(root, "bytes", &bytes) || bytes < 0
        || bytes > INT64_MAX - out->bytes || !yyjson_is_arr(list))
        return wrong(target, "they are not told in full", err);
    if (out->count + yyjson_arr_size(list) > CELLS_MAX)
        return ap_fail(err, APIARY_LIMIT, "more than %d cells would be written to frame %s at once", CELLS_MAX, target->name);
    yyjson_arr_foreach(list, i, count, item) AP_TRY(read_cell(item, target, out, err));
    AP_TRY(ap_cell_tags(&target->metadata, extra_tag, &out->arena, &tags, err));
    for (i = first; i < out->count; i++) out->cells[i].tags = tags;
    out->rows += rows;
    out->bytes += bytes;
    return APIARY_OK;
}
