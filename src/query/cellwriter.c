/* COPY in a chamber → staged files → cells with statistics.
 *
 * Unpartitioned rows are cut by FILE_SIZE_BYTES, which is looked at behind every row group.
 * Partitioned ones go through PARTITION_BY, which knows no size bound. What came out above the
 * leafcutter's ceiling, either way, is cut again. Rows that have to be sorted and do not fit are sorted
 * in pieces (cellwriter_pieces.c). */
#include "query/cellwriter_private.h"
#include "query/cluster.h"
#include "query/mapping.h"
#include "query/shape.h"
#include "query/tries.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/map.h"
#include "core/time.h"
#include "ledger/column_mapping.h"
#include "ledger/protocol.h"

enum { PARTITION_BYTES_MAX = 8192 }; /* of one value; the engine sees it percent-encoded, in a path */
enum { LITTLE_BYTES = 128 << 20 };   /* of a chamber: what has to be sorted may not fit */

void ap_written_done(struct ap_written *written)
{
    ap_free(written->cells);
    ap_texts_done(&written->keys);
    ap_arena_done(&written->arena);
    memset(written, 0, sizeof *written);
}

int64_t ap_written_expires_us(const struct ap_written *written)
{
    return written->begun_mono_us == 0 ? 0 : written->begun_mono_us + AP_US_PER_DAY / 2;
}

void ap_written_discard(struct ap_written *written)
{
    if (written->keys.count == 0) return;
    struct apiary_error ignored = { 0 }; /* what cannot be deleted is found by vacuum */
    if (ap_store_delete_many(written->store, (const char *const *)written->keys.items,
            written->keys.count, &ignored) != APIARY_OK)
        return;
}

/* Before another try: as if nothing had been written. */
static void take_back(struct ap_written *written)
{
    ap_written_discard(written);
    ap_texts_done(&written->keys);
    written->count = 0;
    written->rows = written->bytes = 0;
}

/* ---- files ---- */

/* Index of the staged file that the chamber calls `name` ("/out/0/w/…"). */
static size_t output_index(const struct ap_cell_set *set, size_t output, const char *name)
{
    char prefix[32];
    int length = snprintf(prefix, sizeof prefix, "/out/%zu/", output);
    if (strncmp(name, prefix, (size_t)length) != 0) return SIZE_MAX;
    for (size_t i = 0; i < ap_output_count(set, output); i++)
        if (strcmp(ap_output_name(set, output, i), name + length) == 0) return i;
    return SIZE_MAX;
}

int64_t ap_partitions_max(const struct ap_session *session)
{
    return ap_config_count(&session->config, AP_CONFIG_max_partitions, 10000);
}

enum apiary_code ap_cell_add_folder(const struct ap_metadata *metadata, size_t index,
    struct ap_str value, struct ap_bytes *folders, struct apiary_error *err)
{
    AP_TRY(ap_partition_folder(folders, ap_column_physical(&metadata->schema, metadata->partition_by[index]), value, err));
    return ap_bytes_add_text(folders, "/", err);
}

/* "frame/" of the keys of a target's cells. */
static enum apiary_code add_prefix(
    const struct ap_target *target, struct ap_bytes *out, struct apiary_error *err)
{
    if (target->prefix[0] == '\0') return APIARY_OK;
    return ap_bytes_printf(out, err, "%s/", target->prefix);
}

/* The folders of the key by the name of a file that is being written ("w/month=3/data_0.parquet"), as
 * ap_read_partition will tell them by the engine's figures when it is whole. */
static enum apiary_code folders_of_name(const struct ap_writing *writing, const char *name,
    struct ap_bytes *folders, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &writing->target->metadata;
    struct ap_str rest = ap_str_from(name), value = { 0 };
    for (size_t i = 0; i < metadata->partition_count; i++) {
        AP_AUTO(ap_bytes) text = { 0 };
        AP_AUTO(ap_bytes) delta = { 0 };
        if (writing->parent != NULL) {
            AP_TRY(ap_cell_add_folder(metadata, i, writing->parent->partition_values[i], folders, err));
            continue;
        }
        size_t start = ap_str_find(rest, AP_STR("/"));
        if (start == SIZE_MAX) return ap_fail(err, APIARY_CORRUPT, "a file without its folders");
        rest = (struct ap_str) { rest.data + start + 1, rest.size - start - 1 };
        size_t equals = ap_str_find(rest, AP_STR("=")), end = ap_str_find(rest, AP_STR("/"));
        if (equals == SIZE_MAX || end == SIZE_MAX || equals > end)
            return ap_fail(err, APIARY_CORRUPT, "a folder without a value");
        value = (struct ap_str) { rest.data + equals + 1, end - equals - 1 };
        bool null = value.size == 0 || ap_str_is(value, "__HIVE_DEFAULT_PARTITION__");
        size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[i]);
        if (!null) {
            AP_TRY(ap_percent_decode(&text, value, err));
            AP_TRY(ap_partition_text(
                &metadata->schema.fields[column].type, ap_bytes_view(&text), &delta, err));
        }
        AP_TRY(ap_cell_add_folder(
            metadata, i, null ? (struct ap_str) { 0 } : ap_bytes_view(&delta), folders, err));
    }
    return APIARY_OK;
}

/* struct ap_output_keys: the whole key of a cell that is being written. */
static enum apiary_code key_of_name(
    void *context, const char *name, struct ap_bytes *key, struct apiary_error *err)
{
    const struct ap_writing *writing = context;
    AP_AUTO(ap_bytes) folders = { 0 };
    AP_TRY(folders_of_name(writing, name, &folders, err));
    AP_TRY(add_prefix(writing->target, key, err));
    return ap_cell_new_key(
        writing->source->session->world->env, key, ap_bytes_view(&folders), err);
}

/* The key of a file that was written: the one under which it has begun to go to the store, if that lies
 * in the right folders, else a new one. *whole: in the store; key: below the target's folder. */
static enum apiary_code choose_key(const struct ap_writing *writing, size_t output, size_t index,
    struct ap_str folders, struct ap_bytes *whole, struct ap_str *key, struct apiary_error *err)
{
    const char *begun = ap_output_key(writing->source->cells, output, index);
    AP_TRY(add_prefix(writing->target, whole, err));
    size_t skip = whole->size;
    AP_AUTO(ap_bytes) place = { 0 };
    AP_TRY(ap_bytes_printf(&place, err, AP_FMT AP_FMT, AP_ARG(ap_bytes_view(whole)), AP_ARG(folders)));
    if (begun != NULL && ap_cell_is_key(ap_str_from(begun), ap_bytes_view(&place))) {
        ap_bytes_clear(whole);
        AP_TRY(ap_bytes_add_text(whole, begun, err));
    } else
        AP_TRY(ap_cell_new_key(writing->source->session->world->env, whole, folders, err));
    *key = (struct ap_str) { whole->data + skip, whole->size - skip };
    return APIARY_OK;
}

static enum apiary_code keep_cell(struct ap_writing *writing, size_t output, yyjson_val *row,
    const struct ap_new_cell *parent, struct apiary_error *err)
{
    struct ap_written *written = writing->written;
    const struct ap_metadata *metadata = &writing->target->metadata;
    struct ap_new_cell cell = { .tags = writing->tags };
    AP_AUTO(ap_bytes) folders = { 0 };
    AP_AUTO(ap_bytes) whole = { 0 };
    struct ap_str key = { 0 };
    int64_t rows = 0;
    const char *name = yyjson_get_str(ap_json_member(row, "filename"));
    size_t index = name != NULL ? output_index(writing->source->cells, output, name) : SIZE_MAX;
    if (index == SIZE_MAX || !ap_json_i64(row, "count", &rows) || rows < 0 || rows > INT64_MAX - written->rows)
        return ap_fail(err, APIARY_CORRUPT, "a chamber told of a cell that it did not write");
    if (parent != NULL) { /* a piece of a larger file: the same partition */
        cell.partition_values = parent->partition_values;
        for (size_t i = 0; i < metadata->partition_count; i++)
            AP_TRY(ap_cell_add_folder(metadata, i, cell.partition_values[i], &folders, err));
    } else
        AP_TRY(ap_read_partition(metadata, row, written, &cell, &folders, err));
    AP_TRY(ap_read_stats(&metadata->schema, row, rows, written, &cell, err));
    AP_TRY(choose_key(writing, output, index, ap_bytes_view(&folders), &whole, &key, err));

    AP_TRY(AP_GROW(written->cells, written->capacity, written->count + 1, err));
    AP_TRY(ap_texts_add(&written->keys, ap_bytes_view(&whole), err));
    if (!ap_writing_text(&written->arena, key, &cell.key))
        return ap_fail_memory(err, "a cell");
    struct ap_object object = { 0 };
    struct ap_env *env = writing->source->session->world->env;
    int64_t before_us = ap_mono_us(env);
    if (written->begun_mono_us == 0) written->begun_mono_us = before_us;
    AP_TRY(ap_output_commit(
        writing->source->cells, output, index, ap_bytes_text(&whole), &object, err));
    written->store_us += ap_mono_us(env) - before_us;
    cell.size_bytes = (int64_t)object.size;
    cell.modified_ms = object.modified_us / 1000;
    written->cells[written->count++] = cell;
    written->rows += rows;
    written->bytes += cell.size_bytes;
    return APIARY_OK;
}

/* delta.parquet.compression.codec, where the engine writes it; LZ4 else. */
static const char *codec_of(const struct ap_metadata *metadata)
{
    static const char *const codecs[] = { "zstd", "snappy", "gzip", "lz4_raw", "uncompressed" };
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (ap_metadata_property_is(metadata, "delta.parquet.compression.codec", codecs[i]))
            return codecs[i];
    return "lz4_raw";
}

/* "COPY (select) TO '/out/n/w' (…)" */
static enum apiary_code copy_statement(const struct ap_writing *writing, struct ap_str select,
    size_t output, bool partitioned, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &writing->target->metadata;
    AP_TRY(ap_bytes_printf(out, err,
        "COPY (" AP_FMT
        ") TO '/out/%zu/w' (FORMAT parquet, COMPRESSION %s, ROW_GROUP_SIZE %llu",
        AP_ARG(select), output, codec_of(metadata),
        (unsigned long long)writing->cut.row_group_rows));
    if (partitioned) {
        /* What lies aside is split by them again. */
        AP_TRY(ap_bytes_printf(out, err, ", WRITE_PARTITION_COLUMNS %s, PARTITION_BY (", writing->aside ? "true" : "false"));
        for (size_t i = 0; i < metadata->partition_count; i++) {
            if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
            AP_TRY(ap_sql_name(out, ap_column_physical(&metadata->schema, metadata->partition_by[i]), err));
        }
        AP_TRY(ap_bytes_add_text(out, ")", err));
    } else
        AP_TRY(ap_bytes_printf(
            out, err, ", FILE_SIZE_BYTES %llu", (unsigned long long)writing->cut.target_bytes));
    AP_TRY(ap_mapping_ids(metadata, out, err));
    return ap_bytes_add_text(out, ", RETURN_STATS)", err);
}

enum apiary_code ap_writing_files(const struct ap_writing *writing, struct ap_str sql,
    const struct apiary_query *query, size_t output, yyjson_doc **answer, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) done = { 0 };
    /* What grows beyond the ceiling is cut again. */
    struct ap_output_keys keys = { .key = key_of_name,
        .context = (void *)(uintptr_t)writing,
        .bytes_max = writing->cut.ceiling_bytes };
    struct ap_job_stats job = { 0 };
    if (!writing->aside) ap_output_send(writing->source->cells, output, keys);
    enum apiary_code code = ap_source_run(writing->source, sql, "files", query, &done, &job, err);
    ap_output_send_end(writing->source->cells);
    AP_TRY(code);
    if (job.cpu_us > writing->written->job.cpu_us) writing->written->job = job;
    return ap_json_parse(ap_bytes_view(&done), "a chamber's list of cells", answer, err);
}

enum apiary_code ap_writing_copy(const struct ap_writing *writing, struct ap_str select,
    const struct apiary_query *query, bool partitioned, size_t *output, yyjson_doc **answer,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(
        ap_cell_set_add_output(writing->source->cells, writing->target->store, NULL, output, err));
    AP_TRY(copy_statement(writing, select, *output, partitioned, &sql, err));
    return ap_writing_files(writing, ap_bytes_view(&sql), query, *output, answer, err);
}

/* A file that came out too large is written again in pieces: a partition, since PARTITION_BY knows no
 * size, or rows so wide that a row group of the usual number of them is too large. */
static enum apiary_code cut_again(struct ap_writing *whole, const struct ap_new_cell *known,
    yyjson_val *row, const struct ap_figures *file, struct apiary_error *err)
{
    struct ap_writing narrower = *whole, *writing = &narrower;
    const struct ap_metadata *metadata = &writing->target->metadata;
    struct ap_new_cell parent = { 0 };
    AP_AUTO(ap_bytes) folders = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t output = 0;
    bool staged = writing->source->staged;
    if (known != NULL)
        parent = *known;
    else
        AP_TRY(ap_read_partition(metadata, row, writing->written, &parent, &folders, err));
    writing->cut = ap_leafcut_rows(writing->cut, (uint64_t)file->rows, (uint64_t)file->bytes);
    writing->source->kept = false; /* it reads a file now */
    writing->source->staged = true;
    writing->parent = &parent;
    AP_TRY(ap_writing_select(&file->name, 1, &select, err));
    enum apiary_code code = ap_writing_copy(writing, ap_bytes_view(&select), NULL, false, &output, &answer, err);
    writing->source->staged = staged;
    AP_TRY(code);
    yyjson_val *piece = NULL;
    size_t index = 0, count = 0;
    int64_t rows = 0;
    yyjson_arr_foreach(ap_json_member(yyjson_doc_get_root(answer), "files"), index, count, piece)
        if (!ap_json_i64(piece, "count", &rows) || rows > 0) /* the last piece may be empty */
            AP_TRY(keep_cell(writing, output, piece, &parent, err));
    return APIARY_OK;
}

/* How many cells of the base have the target's partitions: none, where a frame is replaced by one with others. */
static size_t cells_alike(const struct ap_target *target)
{
    if (target->base == NULL) return 0;
    const struct ap_metadata *was = &target->base->metadata, *is = &target->metadata;
    bool same = was->partition_count == is->partition_count;
    for (size_t i = 0; same && i < is->partition_count; i++)
        same = ap_str_equal_nocase(was->partition_by[i], is->partition_by[i]);
    return same ? target->base->cell_count : 0;
}

enum apiary_code ap_written_check_partitions(struct ap_session *session,
    const struct ap_target *target, const struct ap_written *written, struct apiary_error *err)
{
    size_t count = target->metadata.partition_count;
    int64_t most = ap_partitions_max(session);
    if (count == 0) return APIARY_OK;
    AP_AUTO(ap_map) seen = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    size_t old = cells_alike(target);
    for (size_t i = 0; i < old + written->count; i++) {
        const struct ap_str *values = i < old ? target->base->cells[i].partition_values
                                              : written->cells[i - old].partition_values;
        ap_bytes_clear(&key);
        AP_TRY(ap_partition_key(values, count, &key, err));
        AP_TRY(ap_map_put(&seen, ap_bytes_view(&key), 1, err));
    }
    if ((int64_t)seen.used <= most) return APIARY_OK;
    ap_fail(err, APIARY_LIMIT, "frame %s would have %zu partitions; max_partitions is %lld",
        target->name, seen.used, (long long)most);
    return ap_hint(err, "partition by something coarser, or raise max_partitions");
}

/* parent: the partition that they all belong to, NULL when each tells its own. */
enum apiary_code ap_writing_keep(struct ap_writing *writing, size_t output, yyjson_val *files,
    const struct ap_new_cell *parent, struct apiary_error *err)
{
    yyjson_val *row = NULL;
    size_t index = 0, count = 0;
    yyjson_arr_foreach(files, index, count, row)
    {
        struct ap_figures file = { 0 };
        AP_TRY(ap_read_figures(row, &file, err));
        if (file.rows == 0) continue; /* no rows: no cell */
        bool large = (uint64_t)file.bytes > writing->cut.ceiling_bytes;
        AP_TRY(large ? cut_again(writing, parent, row, &file, err)
                     : keep_cell(writing, output, row, parent, err));
    }
    return APIARY_OK;
}

/* By partition (many would otherwise be written at once), then as CLUSTER BY asks. */
enum apiary_code ap_sorted_select(const struct ap_metadata *metadata, bool by_partition,
    const struct ap_texts *cluster_by, struct ap_str select, struct ap_bytes *out,
    struct apiary_error *err)
{
    AP_AUTO(ap_texts) columns = { 0 };
    for (size_t i = 0; by_partition && i < metadata->partition_count; i++)
        AP_TRY(ap_texts_add(&columns, metadata->partition_by[i], err));
    for (size_t i = 0; i < cluster_by->count; i++)
        AP_TRY(ap_texts_add(&columns, ap_str_from(cluster_by->items[i]), err));
    AP_TRY(ap_bytes_printf(out, err, "SELECT * FROM (" AP_FMT ")", AP_ARG(select)));
    return ap_cluster_order(&columns, out, err);
}

enum apiary_code ap_target_cut(struct ap_session *session, const struct ap_metadata *metadata,
    struct ap_leafcutter *out, struct apiary_error *err)
{
    struct ap_pool *pool = NULL;
    AP_TRY(ap_world_pool(session->world, &pool, err));
    uint64_t size = ap_config_size(&session->config, AP_CONFIG_target_cell_size, 0), property = 0;
    if (ap_size_parse(ap_metadata_property(metadata, "delta.targetFileSize"), &property) &&
        property > 0)
        size = property;
    *out = ap_leafcut(ap_pool_memory_per_bee(pool), size);
    return APIARY_OK;
}

static enum apiary_code writing_begin(struct ap_writing *writing, struct ap_source *source,
    const struct ap_target *target, struct ap_str extra_tag, struct ap_written *out,
    struct apiary_error *err)
{
    *writing = (struct ap_writing) { .source = source, .target = target, .written = out };
    AP_TRY(ap_target_cut(source->session, &target->metadata, &writing->cut, err));
    out->store = target->store;
    return ap_cell_tags(&target->metadata, extra_tag, &out->arena, &writing->tags, err);
}

bool ap_lies_in_cells(const struct ap_metadata *metadata, const struct ap_field *field)
{
    if (field->type.kind == AP_TYPE_VOID) return false;
    for (size_t i = 0; i < metadata->partition_count; i++)
        if (ap_str_equal_nocase(metadata->partition_by[i], field->name)) return false;
    return true;
}

enum apiary_code ap_cell_columns(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    bool any = false;
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        if (!ap_lies_in_cells(metadata, &metadata->schema.fields[i])) continue;
        if (any) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_name(out, metadata->schema.fields[i].name, err));
        any = true;
    }
    return APIARY_OK;
}

/* *select, where columns are mapped, with the names that they have in cells; kept in `mapped`. */
enum apiary_code ap_physical_select(const struct ap_metadata *metadata, bool partition_columns,
    struct ap_str *select, struct ap_bytes *mapped, struct apiary_error *err)
{
    if (!ap_mapping_on(metadata)) return APIARY_OK;
    AP_TRY(ap_mapping_select(metadata, partition_columns, *select, mapped, err));
    *select = ap_bytes_view(mapped);
    return APIARY_OK;
}

enum apiary_code ap_write_partition(struct ap_source *source, const struct ap_target *target,
    struct ap_str select, const struct apiary_query *query, const struct ap_str *values,
    struct ap_str extra_tag, struct ap_written *out, struct apiary_error *err)
{
    struct ap_writing writing = { 0 };
    struct ap_new_cell parent = { .partition_values = values };
    AP_AUTO(ap_bytes) mapped = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t output = 0;
    AP_TRY(writing_begin(&writing, source, target, extra_tag, out, err));
    writing.parent = &parent;
    AP_TRY(ap_physical_select(&target->metadata, false, &select, &mapped, err));
    AP_TRY(ap_writing_copy(&writing, select, query, false, &output, &answer, err));
    return ap_writing_keep(
        &writing, output, ap_json_member(yyjson_doc_get_root(answer), "files"), &parent, err);
}

/* A partition value that no folder of the engine's can hold is an error of its own. */
static enum apiary_code bounded_select(const struct ap_target *target, struct ap_str select,
    struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &target->metadata;
    bool any = false;
    for (size_t i = 0; i < metadata->partition_count; i++) {
        size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[i]);
        if (column == SIZE_MAX || metadata->schema.fields[column].type.kind != AP_TYPE_STRING)
            continue;
        AP_AUTO(ap_bytes) name = { 0 };
        AP_AUTO(ap_bytes) message = { 0 };
        AP_TRY(ap_sql_name(&name, metadata->partition_by[i], err));
        AP_TRY(ap_bytes_printf(&message, err,
            AP_SCHEMA_MARK "a value of the partition column %s of frame %s is longer than %d bytes",
            ap_bytes_text(&name), target->name, PARTITION_BYTES_MAX));
        AP_TRY(ap_bytes_printf(out, err, "%sCASE WHEN strlen(%s) > %d THEN error(",
            any ? ", " : "SELECT * REPLACE (", ap_bytes_text(&name), PARTITION_BYTES_MAX));
        AP_TRY(ap_sql_string(out, ap_bytes_view(&message), err));
        AP_TRY(ap_bytes_printf(
            out, err, ") ELSE %s END AS %s", ap_bytes_text(&name), ap_bytes_text(&name)));
        any = true;
    }
    return any ? ap_bytes_printf(out, err, ") FROM (" AP_FMT ")", AP_ARG(select))
               : ap_bytes_add_str(out, select, err);
}

/* Rows of the caller can be read only once. So where their chamber has little memory the first try is what
 * the second one of others would be (decision 48). */
static bool begins_frugally(const struct ap_source *source, bool sorts)
{
    return sorts && source->input_count > 0 && ap_chamber_budget(source->chamber) < LITTLE_BYTES;
}

enum apiary_code ap_write_cells(struct ap_source *source, const struct ap_target *target,
    struct ap_str select, const struct apiary_query *query, bool sort, struct ap_written *out,
    struct apiary_error *err)
{
    struct ap_writing writing = { 0 };
    AP_AUTO(ap_bytes) bounded = { 0 };
    AP_AUTO(ap_bytes) sorted = { 0 };
    AP_TRY(writing_begin(&writing, source, target, (struct ap_str) { 0 }, out, err));
    bool partitioned = target->metadata.partition_count > 0;
    AP_TRY(bounded_select(target, select, &bounded, err));
    struct ap_str unsorted = ap_bytes_view(&bounded);
    select = unsorted;
    AP_AUTO(ap_texts) cluster_by = { 0 };
    AP_TRY(ap_cluster_columns(&target->metadata, &cluster_by, err));
    bool sorts = partitioned || cluster_by.count > 0; /* when there is little memory */
    if ((partitioned && sort) || cluster_by.count > 0) {
        AP_TRY(ap_sorted_select(&target->metadata, partitioned, &cluster_by, select, &sorted, err));
        select = ap_bytes_view(&sorted);
    }
    AP_AUTO(ap_bytes) mapped = { 0 };
    AP_TRY(ap_physical_select(&target->metadata, true, &select, &mapped, err));
    size_t output = 0;
    AP_AUTO_JSON *answer = NULL;
    AP_AUTO(ap_tries) tries = { 0 };
    struct apiary_error failure = { 0 };
    enum apiary_code code;
    ap_tries_begin(&tries, source, AP_WIDTH_ALL);
    tries.frame = target->name;
    tries.in_pieces = sorts;
    if (source->aside) tries.max = 1; /* whoever handed it out sees to other tries */
    do { /* files of a try that failed go with the cell set: nobody names them */
        code = ap_source_take(source, tries.width, &failure);
        if (code == APIARY_OK && !source->frugal && begins_frugally(source, sorts))
            ap_tries_frugally(&tries, "rows of the caller and little memory");
        if (code == APIARY_OK)
            code = source->frugal && sorts
                       ? ap_writing_in_pieces(&writing, unsorted, &cluster_by, query, &failure)
                       : ap_writing_copy(&writing, select, query, partitioned, &output, &answer, &failure);
        if (code != APIARY_OK) take_back(out);
    } while (code != APIARY_OK && ap_tries_again(&tries, &code, &failure));
    if (code == APIARY_OK && !(source->frugal && sorts)) /* what is cut again is so as frugally as it was written */
        code = ap_writing_keep(&writing, output,
            ap_json_member(yyjson_doc_get_root(answer), "files"), NULL, &failure);
    source->frugal = false;
    if (code != APIARY_OK) {
        if (err != NULL) *err = failure;
        return code;
    }
    AP_TRY(ap_written_check_partitions(source->session, target, out, err));
    ap_source_rest(source);
    return APIARY_OK;
}
