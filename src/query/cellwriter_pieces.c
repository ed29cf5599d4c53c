/* What does not fit when all of it is sorted: rows go into pieces as they come, each piece is sorted and
 * split by partition for itself, and the parts of a partition make its cells. */
#include "query/cellwriter_private.h"

#include "core/alloc.h"
#include "core/map.h"

enum { PIECE_ROW_GROUPS = 32 };

/* The files of one partition. */
struct parts {
    struct ap_new_cell parent;
    struct ap_texts names; /* "/out/n/w/p=1/…" */
    int64_t rows, bytes;
};

struct splitting {
    struct ap_writing *writing;
    const struct ap_texts *cluster_by;
    struct ap_map seen; /* a partition's values → index in parts */
    struct parts *parts;
    size_t count, capacity;
};

static void splitting_done(struct splitting *splitting)
{
    for (size_t i = 0; i < splitting->count; i++) ap_texts_done(&splitting->parts[i].names);
    ap_free(splitting->parts);
    ap_map_done(&splitting->seen);
}

enum apiary_code ap_writing_select(
    const char *const *names, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT * FROM read_parquet([", err));
    for (size_t i = 0; i < count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(names[i]), err));
    }
    return ap_bytes_add_text(out, "], hive_partitioning = false)", err);
}

static enum apiary_code write_pieces(const struct ap_writing *writing, struct ap_str select,
    const struct apiary_query *query, yyjson_doc **answer, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    size_t output = 0;
    struct ap_source *source = writing->source;
    struct ap_leafcutter piece = ap_leafcut(ap_pool_memory_per_bee(source->session->world->pool), 0);
    AP_TRY(ap_cell_set_add_output(source->cells, writing->target->store, NULL, &output, err));
    AP_TRY(ap_bytes_printf(&sql, err,
        "COPY (" AP_FMT ") TO '/out/%zu/w' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE %llu, "
        "ROW_GROUPS_PER_FILE %d, FILE_SIZE_BYTES %llu, RETURN_STATS)",
        AP_ARG(select), output, (unsigned long long)piece.row_group_rows, PIECE_ROW_GROUPS,
        (unsigned long long)piece.target_bytes));
    return ap_writing_files(writing, ap_bytes_view(&sql), query, output, answer, err);
}

/* Notes a file of a piece under its partition. */
static enum apiary_code add_part(
    struct splitting *splitting, yyjson_val *row, struct apiary_error *err)
{
    struct ap_writing *writing = splitting->writing;
    const struct ap_metadata *metadata = &writing->target->metadata;
    AP_AUTO(ap_bytes) folders = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    struct ap_new_cell parent = { 0 };
    int64_t rows = 0, size = 0;
    uint64_t at = 0;
    const char *name = yyjson_get_str(ap_json_member(row, "filename"));
    if (name == NULL || !ap_json_i64(row, "count", &rows) ||
        !ap_json_i64(row, "file_size_bytes", &size))
        return ap_fail(err, APIARY_CORRUPT, "a chamber's list of cells is incomplete");
    if (rows == 0) return APIARY_OK;
    AP_TRY(ap_read_partition(metadata, row, writing->written, &parent, &folders, err));
    AP_TRY(ap_partition_key(parent.partition_values, metadata->partition_count, &key, err));
    if (!ap_map_get(&splitting->seen, ap_bytes_view(&key), &at)) {
        at = splitting->count;
        AP_TRY(AP_GROW(splitting->parts, splitting->capacity, splitting->count + 1, err));
        splitting->parts[splitting->count++] = (struct parts) { .parent = parent };
        AP_TRY(ap_map_put(&splitting->seen, ap_bytes_view(&key), at, err));
    }
    struct parts *parts = &splitting->parts[at];
    parts->rows += rows;
    parts->bytes += size;
    return ap_texts_add(&parts->names, ap_str_from(name), err);
}

/* One piece, sorted. Where there is an order within partitions its files are cells; else parts of them. */
static enum apiary_code split_piece(
    struct splitting *splitting, const char *piece, struct apiary_error *err)
{
    struct ap_writing *writing = splitting->writing;
    const struct ap_metadata *metadata = &writing->target->metadata;
    bool partitioned = metadata->partition_count > 0;
    AP_AUTO(ap_bytes) rows = { 0 };
    AP_AUTO(ap_bytes) sorted = { 0 };
    AP_AUTO(ap_bytes) mapped = { 0 };
    AP_AUTO_JSON *answer = NULL;
    yyjson_val *row = NULL;
    size_t output = 0, index = 0, count = 0;
    AP_TRY(ap_writing_select(&piece, 1, &rows, err));
    AP_TRY(ap_sorted_select(
        metadata, partitioned, splitting->cluster_by, ap_bytes_view(&rows), &sorted, err));
    struct ap_str select = ap_bytes_view(&sorted);
    AP_TRY(ap_physical_select(metadata, true, &select, &mapped, err));
    writing->aside = splitting->cluster_by->count == 0;
    AP_TRY(ap_writing_copy(writing, select, NULL, partitioned, &output, &answer, err));
    yyjson_val *files = ap_json_member(yyjson_doc_get_root(answer), "files");
    if (!writing->aside) return ap_writing_keep(writing, output, files, NULL, err);
    yyjson_arr_foreach(files, index, count, row) AP_TRY(add_part(splitting, row, err));
    return APIARY_OK;
}

/* The parts of one partition as its cells. */
static enum apiary_code join_parts(
    const struct ap_writing *whole, const struct parts *parts, struct apiary_error *err)
{
    struct ap_writing writing = *whole;
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t output = 0;
    writing.aside = false;
    writing.parent = &parts->parent;
    writing.cut = ap_leafcut_rows(writing.cut, (uint64_t)parts->rows, (uint64_t)parts->bytes);
    AP_TRY(ap_writing_select((const char *const *)parts->names.items, parts->names.count, &select, err));
    AP_TRY(ap_writing_copy(&writing, ap_bytes_view(&select), NULL, false, &output, &answer, err));
    return ap_writing_keep(&writing, output, ap_json_member(yyjson_doc_get_root(answer), "files"),
        &parts->parent, err);
}

enum apiary_code ap_writing_in_pieces(struct ap_writing *writing, struct ap_str select,
    const struct ap_texts *cluster_by, const struct apiary_query *query, struct apiary_error *err)
{
    AP_AUTO(splitting) splitting = { .writing = writing, .cluster_by = cluster_by };
    AP_AUTO_JSON *pieces = NULL;
    yyjson_val *piece = NULL;
    size_t index = 0, count = 0;
    writing->source->kept = false; /* it reads files now */
    writing->aside = true;
    AP_TRY(write_pieces(writing, select, query, &pieces, err));
    yyjson_arr_foreach(ap_json_member(yyjson_doc_get_root(pieces), "files"), index, count, piece)
    {
        const char *name = yyjson_get_str(ap_json_member(piece, "filename"));
        int64_t rows = 0;
        if (name == NULL || !ap_json_i64(piece, "count", &rows))
            return ap_fail(err, APIARY_CORRUPT, "a chamber's list of cells is incomplete");
        if (rows > 0) AP_TRY(split_piece(&splitting, name, err));
    }
    for (size_t i = 0; i < splitting.count; i++)
        AP_TRY(join_parts(writing, &splitting.parts[i], err));
    return APIARY_OK;
}
