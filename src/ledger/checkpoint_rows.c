/* The engine's rows, folded (checkpoint_private.h). */
#include "core/alloc.h"
#include "ledger/checkpoint_private.h"

#include <nanoarrow/nanoarrow.h>

/* A stream of batches of a known number of columns. */
struct rows {
    struct ArrowArrayStream *stream;
    struct ArrowArrayView view;
    struct ArrowArray batch;
};

static void rows_done(struct rows *rows)
{
    if (rows->batch.release) rows->batch.release(&rows->batch);
    ArrowArrayViewReset(&rows->view);
    if (rows->stream->release) rows->stream->release(rows->stream);
}

static enum apiary_code fail_stream(struct rows *rows, struct apiary_error *err)
{
    const char *why =
        rows->stream->get_last_error ? rows->stream->get_last_error(rows->stream) : NULL;
    return ap_fail(err, APIARY_CHAMBER, "reading the rows failed: %s", why ? why : "unknown");
}

enum column_kind { BOOLEAN, NUMBER, TEXT };

static bool kind_fits(enum ArrowType type, enum column_kind kind)
{
    switch (kind) {
        case BOOLEAN: return type == NANOARROW_TYPE_BOOL;
        case NUMBER: return type == NANOARROW_TYPE_INT64;
        case TEXT:
            return type == NANOARROW_TYPE_STRING || type == NANOARROW_TYPE_LARGE_STRING ||
                   type == NANOARROW_TYPE_STRING_VIEW;
    }
    return false;
}

/* Takes the stream over; kinds has one letter a column: b, n or t. */
static enum apiary_code rows_open(
    struct rows *rows, struct ArrowArrayStream *stream, const char *kinds, struct apiary_error *err)
{
    *rows = (struct rows) { .stream = stream };
    struct ArrowSchema schema = { 0 };
    struct ArrowError problem = { "" };
    if (stream->get_schema(stream, &schema) != 0) return fail_stream(rows, err);
    int code = ArrowArrayViewInitFromSchema(&rows->view, &schema, &problem);
    schema.release(&schema);
    if (code == ENOMEM) return ap_fail_memory(err, "checkpoint rows");
    bool fits = code == NANOARROW_OK && rows->view.n_children == (int64_t)strlen(kinds);
    for (int64_t i = 0; fits && i < rows->view.n_children; i++)
        fits = kind_fits(rows->view.children[i]->storage_type, kinds[i] == 'b'   ? BOOLEAN
                                                               : kinds[i] == 'n' ? NUMBER
                                                                                 : TEXT);
    return fits ? APIARY_OK
                : ap_fail(err, APIARY_INTERNAL,
                      "the engine answered with other columns than were asked for");
}

/* The next batch; *count 0 at the end. */
static enum apiary_code rows_next(struct rows *rows, int64_t *count, struct apiary_error *err)
{
    struct ArrowError problem = { "" };
    *count = 0;
    while (*count == 0) {
        if (rows->batch.release) rows->batch.release(&rows->batch);
        if (rows->stream->get_next(rows->stream, &rows->batch) != 0) return fail_stream(rows, err);
        if (!rows->batch.release) return APIARY_OK;
        if (ArrowArrayViewSetArray(&rows->view, &rows->batch, &problem) != NANOARROW_OK)
            return ap_fail(err, APIARY_INTERNAL, "the engine answered with a broken batch: %s",
                problem.message);
        *count = rows->batch.length;
    }
    return APIARY_OK;
}

/* A column that was not asked for (-1) is null. */
static bool is_null(const struct rows *rows, int column, int64_t row)
{
    if (column < 0) return true;
    return ArrowArrayViewIsNull(rows->view.children[column], rows->view.offset + row);
}

static struct ap_str text_at(const struct rows *rows, int column, int64_t row)
{
    if (is_null(rows, column, row)) return (struct ap_str) { NULL, 0 };
    struct ArrowStringView text =
        ArrowArrayViewGetStringUnsafe(rows->view.children[column], rows->view.offset + row);
    return (struct ap_str) { text.data ? text.data : "", (size_t)text.size_bytes };
}

static struct ap_str text_or_empty(const struct rows *rows, int column, int64_t row)
{
    struct ap_str text = text_at(rows, column, row);
    return text.data ? text : AP_STR("");
}

static int64_t number_at(const struct rows *rows, int column, int64_t row, int64_t fallback)
{
    if (is_null(rows, column, row)) return fallback;
    return ArrowArrayViewGetIntUnsafe(rows->view.children[column], rows->view.offset + row);
}

/* ---- the schema of files ---- */

void ap_parquet_leaves_done(struct ap_parquet_leaves *leaves)
{
    ap_free(leaves->items);
    ap_arena_done(&leaves->arena);
    *leaves = (struct ap_parquet_leaves) { 0 };
}

static enum apiary_code take_leaf(
    const struct rows *rows, int64_t row, struct ap_parquet_leaves *out, struct apiary_error *err)
{
    AP_TRY(AP_GROW(out->items, out->capacity, out->count + 1, err));
    struct ap_parquet_leaf *leaf = &out->items[out->count];
    leaf->file = ap_arena_dup(&out->arena, text_or_empty(rows, 0, row));
    leaf->path = ap_arena_dup(&out->arena, text_or_empty(rows, 1, row));
    leaf->all_null = number_at(rows, 2, row, 0) != 0;
    if (!leaf->file || !leaf->path) return ap_fail_memory(err, "a checkpoint's schema");
    out->count++;
    return APIARY_OK;
}

enum apiary_code ap_rows_schema(
    struct ArrowArrayStream *stream, struct ap_parquet_leaves *out, struct apiary_error *err)
{
    struct rows rows;
    int64_t count = 0;
    enum apiary_code code = rows_open(&rows, stream, "ttb", err);
    while (code == APIARY_OK) {
        code = rows_next(&rows, &count, err);
        if (count == 0) break;
        for (int64_t row = 0; code == APIARY_OK && row < count; row++)
            code = take_leaf(&rows, row, out, err);
    }
    rows_done(&rows);
    return code;
}

/* ---- the state ---- */

static enum apiary_code take_state(const struct rows *rows, int64_t row,
    struct ap_action_reader *reader, struct ap_fold *fold, struct ap_texts *sidecars,
    struct apiary_error *err)
{
    struct ap_action action;
    AP_TRY(ap_action_parse(reader, text_or_empty(rows, 0, row), &action, err));
    if (action.kind == AP_ACTION_SIDECAR && sidecars)
        return ap_texts_add(sidecars, action.sidecar.path, err);
    return ap_fold_action(fold, &action, err);
}

enum apiary_code ap_rows_state(struct ArrowArrayStream *stream, struct ap_fold *fold,
    struct ap_texts *sidecars, struct apiary_error *err)
{
    struct rows rows;
    struct ap_action_reader reader = { 0 };
    int64_t count = 0;
    enum apiary_code code = rows_open(&rows, stream, "t", err);
    while (code == APIARY_OK) {
        code = rows_next(&rows, &count, err);
        if (count == 0) break;
        for (int64_t row = 0; code == APIARY_OK && row < count; row++)
            code = take_state(&rows, row, &reader, fold, sidecars, err);
    }
    ap_action_reader_done(&reader);
    rows_done(&rows);
    return code;
}

/* ---- files ---- */

/* Typed statistics come through JSON text of the engine, which writes NaN and Infinity bare. What
 * is kept must be JSON, since checkpoints repeat it: then only the row count stays. */
static struct ap_str clean_stats(struct ap_str stats, char out[64])
{
    bool suspect = ap_str_find(stats, AP_STR("NaN")) != SIZE_MAX ||
                   ap_str_find(stats, AP_STR("Infinity")) != SIZE_MAX;
    if (!suspect) return stats;
    yyjson_doc *doc = NULL;
    bool valid = ap_json_parse(stats, "stats", &doc, NULL) == APIARY_OK;
    yyjson_doc_free(doc);
    if (valid) return stats;
    int64_t count = ap_stats_row_count(stats);
    if (count < 0) return AP_STR("");
    snprintf(out, 64, "{\"numRecords\":%lld}", (long long)count);
    return ap_str_from(out);
}

/* How the columns of a files' query are read. */
struct layout {
    int places[AP_FILE_COLUMNS];
    int partition_first;
    bool typed_stats;
    struct ap_property *partition; /* scratch */
};

static enum apiary_code take_vector(const struct rows *rows, int64_t row, const int *at,
    struct ap_deletion_vector *out, struct apiary_error *err)
{
    out->storage = text_or_empty(rows, at[AP_FILE_VECTOR_STORAGE], row);
    out->path_or_inline = text_or_empty(rows, at[AP_FILE_VECTOR_PATH], row);
    if (out->storage.size == 0) return APIARY_OK;
    out->has_offset = !is_null(rows, at[AP_FILE_VECTOR_OFFSET], row);
    out->offset = number_at(rows, at[AP_FILE_VECTOR_OFFSET], row, 0);
    out->size_bytes = number_at(rows, at[AP_FILE_VECTOR_SIZE], row, -1);
    out->cardinality = number_at(rows, at[AP_FILE_VECTOR_CARDINALITY], row, -1);
    return ap_deletion_vector_check(out, err);
}

static enum apiary_code take_file(const struct rows *rows, int64_t row, const struct layout *layout,
    struct ap_fold *fold, struct apiary_error *err)
{
    const int *at = layout->places;
    char stats[64];
    struct ap_file_action file = {
        .path = text_or_empty(rows, at[AP_FILE_PATH], row),
        .partition = layout->partition,
        .partition_count = fold->metadata.partition_count,
        .has_partition = true,
        .size_bytes = number_at(rows, at[AP_FILE_SIZE], row, -1),
        .modified_ms = number_at(rows, at[AP_FILE_TIME], row, 0),
        .stats = text_or_empty(rows, at[AP_FILE_STATS], row),
        .tags = text_or_empty(rows, at[AP_FILE_TAGS], row),
        .base_row_id = number_at(rows, at[AP_FILE_ROW_ID], row, -1),
        .default_row_commit_version = number_at(rows, at[AP_FILE_ROW_VERSION], row, -1),
    };
    file.deleted_ms = file.modified_ms;
    if (file.path.size == 0) return ap_fail(err, APIARY_CORRUPT, "a file has no path");
    if (layout->typed_stats) file.stats = clean_stats(file.stats, stats);
    if (ap_str_is(file.tags, "{}")) file.tags = AP_STR("");
    AP_TRY(take_vector(rows, row, at, &file.deletion_vector, err));
    for (size_t i = 0; i < file.partition_count; i++)
        layout->partition[i] = (struct ap_property) { fold->partition_names[i],
            text_at(rows, layout->partition_first + (int)i, row) };
    return number_at(rows, at[AP_FILE_IS_ADD], row, 0) ? ap_fold_add(fold, &file, err)
                                                       : ap_fold_remove(fold, &file, err);
}

static enum apiary_code lay_out(uint32_t shape, const struct ap_fold *fold, struct layout *layout,
    struct ap_bytes *kinds, struct apiary_error *err)
{
    layout->partition_first = ap_checkpoint_file_columns(shape, layout->places);
    layout->typed_stats = shape & AP_HAS_ADD_STATS_PARSED;
    layout->partition = ap_calloc(fold->metadata.partition_count + 1, sizeof *layout->partition);
    if (!layout->partition) return ap_fail_memory(err, "checkpoint rows");
    for (int i = 0; i < AP_FILE_COLUMNS; i++)
        if (layout->places[i] >= 0)
            AP_TRY(ap_bytes_add(kinds, (char[]) { ap_checkpoint_file_kind(i) }, 1, err));
    for (size_t i = 0; i < fold->metadata.partition_count; i++)
        AP_TRY(ap_bytes_add_text(kinds, "t", err));
    return APIARY_OK;
}

enum apiary_code ap_rows_files(
    struct ArrowArrayStream *stream, uint32_t shape, struct ap_fold *fold, struct apiary_error *err)
{
    struct rows rows = { .stream = stream };
    struct layout layout = { 0 };
    AP_AUTO(ap_bytes) kinds = { 0 };
    int64_t count = 0;
    enum apiary_code code = lay_out(shape, fold, &layout, &kinds, err);
    if (code == APIARY_OK) code = rows_open(&rows, stream, ap_bytes_text(&kinds), err);
    while (code == APIARY_OK) {
        code = rows_next(&rows, &count, err);
        if (count == 0) break;
        for (int64_t row = 0; code == APIARY_OK && row < count; row++)
            code = take_file(&rows, row, &layout, fold, err);
    }
    rows_done(&rows);
    ap_free(layout.partition);
    return code;
}
