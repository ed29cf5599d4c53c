/* What does not fit when all of it is sorted: rows go into pieces as they come, each piece is sorted and
 * split by partition for itself, and the parts of a partition make its cells.
 *
 * Whatever is sorted or written at once is at most as large as a piece (the last one and an eighth). So small partitions share a COPY,
 * and a large one of a frame with CLUSTER BY becomes several cells, each in order for itself. */
#include "query/cellwriter_private.h"
#include "query/cluster.h"

#include "core/alloc.h"
#include "core/map.h"
#include "ledger/column_mapping.h"

/* Each file that is read costs the engine some memory until the statement ends. */
enum { PIECE_ROW_GROUPS = 32, PARTS_AT_ONCE = 512, REST_PART = 8 };

/* A file with rows of one partition. */
struct part {
    char *name; /* "/out/n/w/p=1/…" */
    size_t partition, index;
    int64_t rows, bytes;
};

struct partition {
    struct ap_new_cell parent;
    int64_t rows, bytes;
};

struct splitting {
    struct ap_writing *writing;
    const struct ap_texts *cluster_by;
    int64_t rows_max, bytes_max; /* of a piece */
    int width;                   /* that fresh chambers are asked for */
    struct ap_figures all;       /* of all parts: no sum of some is larger */
    struct ap_map seen;          /* a partition's values → index in partitions */
    struct partition *partitions;
    struct part *parts;
    size_t partition_count, partition_capacity, part_count, part_capacity;
};

static void splitting_done(struct splitting *splitting)
{
    for (size_t i = 0; i < splitting->part_count; i++) ap_free(splitting->parts[i].name);
    ap_free(splitting->parts);
    ap_free(splitting->partitions);
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

static enum apiary_code write_pieces(const struct splitting *splitting, struct ap_str select,
    uint64_t row_group_rows, const struct apiary_query *query, yyjson_doc **answer, struct apiary_error *err)
{
    const struct ap_writing *writing = splitting->writing;
    AP_AUTO(ap_bytes) sql = { 0 };
    size_t output = 0;
    AP_TRY(ap_cell_set_add_output(
        writing->source->cells, writing->target->store, NULL, &output, err));
    AP_TRY(ap_bytes_printf(&sql, err,
        "COPY (" AP_FMT ") TO '/out/%zu/w' (FORMAT parquet, COMPRESSION lz4_raw, ROW_GROUP_SIZE %llu, "
        "ROW_GROUPS_PER_FILE %d, FILE_SIZE_BYTES %lld, RETURN_STATS)",
        AP_ARG(select), output, (unsigned long long)row_group_rows, PIECE_ROW_GROUPS,
        (long long)splitting->bytes_max));
    return ap_writing_files(writing, ap_bytes_view(&sql), query, output, answer, err);
}

/* A chamber that has written thousands of files has less room to sort than at its start. */
static enum apiary_code fresh_chamber(const struct splitting *splitting, struct apiary_error *err)
{
    struct ap_source *source = splitting->writing->source;
    ap_chamber_retire(source->chamber);
    ap_source_rest(source);
    return ap_source_take(source, splitting->width, err);
}

/* ---- from pieces to parts ---- */

/* Notes a file of a piece under its partition. */
static enum apiary_code add_part(
    struct splitting *splitting, yyjson_val *row, struct apiary_error *err)
{
    struct ap_writing *writing = splitting->writing;
    const struct ap_metadata *metadata = &writing->target->metadata;
    AP_AUTO(ap_bytes) folders = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    struct ap_new_cell parent = { 0 };
    struct ap_figures file = { 0 };
    uint64_t at = 0;
    AP_TRY(ap_read_figures(row, &file, err));
    if (file.rows == 0) return APIARY_OK;
    AP_TRY(ap_add_figures(&splitting->all, &file, err));
    AP_TRY(ap_read_partition(metadata, row, writing->written, &parent, &folders, err));
    AP_TRY(ap_partition_key(parent.partition_values, metadata->partition_count, &key, err));
    if (!ap_map_get(&splitting->seen, ap_bytes_view(&key), &at)) {
        at = splitting->partition_count;
        AP_TRY(AP_GROW(splitting->partitions, splitting->partition_capacity, at + 1, err));
        AP_TRY(ap_map_put(&splitting->seen, ap_bytes_view(&key), at, err));
        splitting->partitions[splitting->partition_count++] = (struct partition) { .parent = parent };
    }
    AP_TRY(AP_GROW(splitting->parts, splitting->part_capacity, splitting->part_count + 1, err));
    char *copy = ap_strdup(file.name);
    if (copy == NULL) return ap_fail_memory(err, "a part of a cell");
    splitting->parts[splitting->part_count] = (struct part) {
        .name = copy, .partition = at, .index = splitting->part_count, .rows = file.rows, .bytes = file.bytes
    };
    splitting->part_count++;
    splitting->partitions[at].rows += file.rows;
    splitting->partitions[at].bytes += file.bytes;
    return APIARY_OK;
}

/* One piece, or two when the last is small, sorted. Its files are cells where they are not parts of them. */
static enum apiary_code split_piece(struct splitting *splitting, const struct ap_texts *names,
    bool parts, struct apiary_error *err)
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
    AP_TRY(ap_writing_select((const char *const *)names->items, names->count, &rows, err));
    AP_TRY(ap_sorted_select(
        metadata, partitioned, splitting->cluster_by, ap_bytes_view(&rows), &sorted, err));
    struct ap_str select = ap_bytes_view(&sorted);
    AP_TRY(ap_physical_select(metadata, true, &select, &mapped, err));
    writing->aside = parts;
    AP_TRY(ap_writing_copy(writing, select, NULL, partitioned, &output, &answer, err));
    yyjson_val *files = ap_json_member(yyjson_doc_get_root(answer), "files");
    if (!parts) return ap_writing_keep(writing, output, files, NULL, err);
    yyjson_arr_foreach(files, index, count, row) AP_TRY(add_part(splitting, row, err));
    return APIARY_OK;
}

/* All pieces, each for itself. A few rows for each of many partitions need more room than many: the engine
 * has blocks of its own for each partition that it meets in 2,048 rows. So a small rest goes with the last. */
static enum apiary_code split_pieces(
    struct splitting *splitting, yyjson_val *files, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &splitting->writing->target->metadata;
    AP_AUTO(ap_texts) names = { 0 };
    yyjson_val *piece = NULL;
    size_t index = 0, count = 0, split = 0;
    struct ap_figures file = { 0 }, left = { 0 }, gathered = { 0 }; /* left: with what is gathered in names */
    yyjson_arr_foreach(files, index, count, piece)
    {
        AP_TRY(ap_read_figures(piece, &file, err));
        AP_TRY(ap_add_figures(&left, &file, err));
    }
    yyjson_arr_foreach(files, index, count, piece)
    {
        AP_TRY(ap_read_figures(piece, &file, err));
        AP_TRY(ap_add_figures(&gathered, &file, err));
        if (file.rows > 0) AP_TRY(ap_texts_add(&names, ap_str_from(file.name), err));
        bool last = gathered.rows == left.rows;
        bool rest_fits = left.rows <= splitting->rows_max + splitting->rows_max / REST_PART &&
                         left.bytes <= splitting->bytes_max + splitting->bytes_max / REST_PART;
        if (names.count == 0 || (rest_fits && !last)) continue;
        if (split > 0 || !last) AP_TRY(fresh_chamber(splitting, err));
        AP_TRY(split_piece(splitting, &names, metadata->partition_count > 0 && (split > 0 || !last), err));
        ap_texts_done(&names);
        left.rows -= gathered.rows;
        left.bytes -= gathered.bytes;
        gathered = (struct ap_figures) { 0 };
        split++;
    }
    return APIARY_OK;
}

/* ---- from parts to cells ---- */

static int by_partition(const void *left, const void *right)
{
    const struct part *a = left, *b = right;
    size_t x = a->partition != b->partition ? a->partition : a->index;
    size_t y = a->partition != b->partition ? b->partition : b->index;
    return (x > y) - (x < y);
}

/* The rows of the parts [from, to) by their names in cells. alone: of one partition, without its columns. */
static enum apiary_code select_parts(const struct splitting *splitting, size_t from, size_t to,
    bool alone, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &splitting->writing->target->metadata;
    const struct ap_schema *schema = &metadata->schema;
    AP_AUTO(ap_bytes) rows = { 0 };
    AP_AUTO(ap_texts) order = { 0 };
    AP_AUTO_FREE const char **names = ap_calloc(to - from, sizeof *names);
    if (names == NULL) return ap_fail_memory(err, "the parts of a cell");
    for (size_t i = from; i < to; i++) names[i - from] = splitting->parts[i].name;
    AP_TRY(ap_writing_select(names, to - from, &rows, err));
    AP_TRY(ap_bytes_add_text(out, "SELECT *", err));
    for (size_t i = 0; i < metadata->partition_count; i++) {
        struct ap_str name = ap_column_physical(schema, metadata->partition_by[i]);
        if (alone) {
            AP_TRY(ap_bytes_add_text(out, i == 0 ? " EXCLUDE (" : ", ", err));
            AP_TRY(ap_sql_name(out, name, err));
        } else
            AP_TRY(ap_texts_add(&order, name, err));
    }
    AP_TRY(ap_bytes_printf(out, err, "%s FROM (" AP_FMT ")", alone ? ")" : "", AP_ARG(ap_bytes_view(&rows))));
    if (splitting->cluster_by->count == 0) return APIARY_OK; /* one thread: parts come in their order */
    for (size_t i = 0; i < splitting->cluster_by->count; i++)
        AP_TRY(ap_texts_add(
            &order, ap_column_physical(schema, ap_str_from(splitting->cluster_by->items[i])), err));
    return ap_cluster_order(&order, out, err);
}

/* Whole partitions, together no larger than a piece. */
static enum apiary_code join_partitions(
    const struct splitting *splitting, size_t from, size_t to, struct apiary_error *err)
{
    struct ap_writing writing = *splitting->writing;
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t output = 0;
    if (from == to) return APIARY_OK;
    writing.aside = false;
    AP_TRY(fresh_chamber(splitting, err));
    AP_TRY(select_parts(splitting, from, to, false, &select, err));
    AP_TRY(ap_writing_copy(&writing, ap_bytes_view(&select), NULL, true, &output, &answer, err));
    return ap_writing_keep(
        &writing, output, ap_json_member(yyjson_doc_get_root(answer), "files"), NULL, err);
}

/* Parts of one partition. */
static enum apiary_code join_parts(
    const struct splitting *splitting, size_t from, size_t to, struct apiary_error *err)
{
    const struct partition *partition = &splitting->partitions[splitting->parts[from].partition];
    struct ap_writing writing = *splitting->writing;
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t output = 0;
    writing.aside = false;
    writing.parent = &partition->parent;
    writing.cut = ap_leafcut_rows(writing.cut, (uint64_t)partition->rows, (uint64_t)partition->bytes);
    AP_TRY(fresh_chamber(splitting, err));
    AP_TRY(select_parts(splitting, from, to, true, &select, err));
    AP_TRY(ap_writing_copy(&writing, ap_bytes_view(&select), NULL, false, &output, &answer, err));
    return ap_writing_keep(&writing, output, ap_json_member(yyjson_doc_get_root(answer), "files"),
        &partition->parent, err);
}

static bool as_a_piece(const struct splitting *splitting, int64_t rows, int64_t bytes)
{
    return rows <= splitting->rows_max && bytes <= splitting->bytes_max;
}

/* One partition that is larger than a piece: its rows need no order, or have it piece by piece. */
static enum apiary_code join_large(
    const struct splitting *splitting, size_t from, size_t to, struct apiary_error *err)
{
    int64_t rows = 0, bytes = 0;
    if (splitting->cluster_by->count == 0) return join_parts(splitting, from, to, err);
    for (size_t i = from; i < to; i++) {
        const struct part *part = &splitting->parts[i];
        if (i > from && !as_a_piece(splitting, rows + part->rows, bytes + part->bytes)) {
            AP_TRY(join_parts(splitting, from, i, err));
            from = i;
            rows = bytes = 0;
        }
        rows += part->rows;
        bytes += part->bytes;
    }
    return join_parts(splitting, from, to, err);
}

static enum apiary_code join(struct splitting *splitting, struct apiary_error *err)
{
    size_t from = 0, end = 0, count = splitting->part_count; /* partitions since `from` are waiting */
    int64_t rows = 0, bytes = 0;
    if (count == 0) return APIARY_OK;
    qsort(splitting->parts, count, sizeof *splitting->parts, by_partition);
    for (size_t at = 0; at < count; at = end) {
        size_t index = splitting->parts[at].partition;
        const struct partition *partition = &splitting->partitions[index];
        for (end = at; end < count && splitting->parts[end].partition == index;) end++;
        bool large = !as_a_piece(splitting, partition->rows, partition->bytes);
        if (large || end - from > PARTS_AT_ONCE ||
            !as_a_piece(splitting, rows + partition->rows, bytes + partition->bytes)) {
            AP_TRY(join_partitions(splitting, from, at, err));
            from = at;
            rows = bytes = 0;
        }
        rows += partition->rows;
        bytes += partition->bytes;
        if (large) {
            AP_TRY(join_large(splitting, at, end, err));
            from = end;
            rows = bytes = 0;
        }
    }
    return join_partitions(splitting, from, count, err);
}

enum apiary_code ap_writing_in_pieces(struct ap_writing *writing, struct ap_str select,
    const struct ap_texts *cluster_by, const struct apiary_query *query, struct apiary_error *err)
{
    struct ap_leafcutter cut =
        ap_leafcut(ap_pool_memory_per_bee(writing->source->session->world->pool), 0);
    AP_AUTO(splitting) splitting = { .writing = writing,
        .cluster_by = cluster_by,
        .rows_max = PIECE_ROW_GROUPS * (int64_t)cut.row_group_rows,
        .bytes_max = (int64_t)cut.target_bytes,
        .width = ap_chamber_width(writing->source->chamber) };
    /* Who asks for one bee may become the guest, whose place may be smaller than what pieces are cut for. */
    if (splitting.width == 1) splitting.width = AP_WIDTH_ALL;
    AP_AUTO_JSON *pieces = NULL;
    writing->source->kept = false; /* it reads files now */
    writing->aside = true;
    AP_TRY(write_pieces(&splitting, select, cut.row_group_rows, query, &pieces, err));
    writing->source->staged = true;
    AP_TRY(split_pieces(&splitting, ap_json_member(yyjson_doc_get_root(pieces), "files"), err));
    return join(&splitting, err);
}
