/* Frames without SQL: Arrow streams in, schemas from Arrow, a frame's description. */
#include "query/commit.h"
#include "query/create.h"
#include "query/reread.h"
#include "query/types.h"
#include "query/write.h"
#include "query/temporary.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/time.h"

#define INPUT_NAME "apiary_input"
#define KNOWN_US (INT64_C(600) * AP_US_PER_SECOND) /* as ledger.h takes a head for one to build on */
enum { SCHEMA_ID_SIZE = 32 };

/* ---- apiary_create_frame ---- */

static enum apiary_code check_same(struct ap_session *session, const struct ap_name3 *name,
    const struct ap_metadata *wanted, struct apiary_error *err)
{
    AP_AUTO(ap_target) there = { 0 };
    AP_AUTO(ap_bytes) why = { 0 };
    AP_TRY(ap_target_open(session, name, &there, err));
    if (!ap_schema_same(&there.metadata.schema, &wanted->schema, &why))
        return ap_fail(err, APIARY_EXISTS, "frame %s exists with another schema: %s", there.name,
            ap_bytes_text(&why));
    bool same = there.metadata.partition_count == wanted->partition_count;
    for (size_t i = 0; same && i < wanted->partition_count; i++)
        same = ap_str_equal_nocase(there.metadata.partition_by[i], wanted->partition_by[i]);
    return same ? APIARY_OK
                : ap_fail(
                      err, APIARY_EXISTS, "frame %s exists with another partitioning", there.name);
}

enum apiary_code ap_create_frame_arrow(struct ap_session *session, const char *frame,
    const struct ArrowSchema *schema, const char *const *partition_by, size_t partition_count,
    bool or_same, struct apiary_error *err)
{
    AP_TRY(ap_world_check(session->world, err));
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_texts) partitions = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    struct ap_name3 name = { 0 };
    struct ap_metadata metadata = { 0 };
    AP_TRY(ap_target_name(session, frame, &name, err));
    AP_TRY(ap_schema_from_arrow(&arena, schema, &metadata.schema, &session->notices, err));
    for (size_t i = 0; i < partition_count; i++)
        AP_TRY(ap_texts_add(&partitions, ap_str_from(partition_by[i]), err));
    AP_TRY(ap_metadata_partition(&arena, &partitions, &metadata, err));
    enum apiary_code code = ap_target_new(session, &name, NULL, &metadata, &target, err);
    if (code == APIARY_OK) code = ap_target_create(session, &target, NULL, 0, "CREATE TABLE", NULL, err);
    if (code == APIARY_EXISTS && or_same) {
        ap_error_clear(err);
        return check_same(session, &name, &metadata, err);
    }
    return code;
}

/* ---- schemas in words ---- */

static enum apiary_code add_columns(
    const struct ap_metadata *metadata, struct ap_bytes *json, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(json, "\"schema\":[", err));
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        AP_AUTO(ap_bytes) type = { 0 };
        AP_TRY(ap_type_text(&field->type, &type, err));
        AP_TRY(ap_bytes_add_text(json, i > 0 ? ",{\"name\":" : "{\"name\":", err));
        AP_TRY(ap_json_quote(json, field->name, err));
        AP_TRY(ap_bytes_add_text(json, ",\"type\":", err));
        AP_TRY(ap_json_quote(json, ap_bytes_view(&type), err));
        AP_TRY(ap_bytes_printf(json, err, ",\"nullable\":%s}", field->nullable ? "true" : "false"));
    }
    AP_TRY(ap_bytes_add_text(json, "],\"partition_by\":[", err));
    for (size_t i = 0; i < metadata->partition_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(json, ",", err));
        AP_TRY(ap_json_quote(json, metadata->partition_by[i], err));
    }
    return ap_bytes_add_text(json, "],", err);
}

/* What rows are made for: names, types and which columns may be NULL. */
static enum apiary_code schema_id(
    const struct ap_metadata *metadata, char out[SCHEMA_ID_SIZE + 1], struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    uint8_t hash[AP_SHA256_SIZE];
    AP_TRY(add_columns(metadata, &text, err));
    ap_sha256(text.data, text.size, hash);
    ap_hex(hash, SCHEMA_ID_SIZE / 2, out);
    return APIARY_OK;
}

/* ---- apiary_write ---- */

/* The engine tells a column of Arrow's null type as one of integers: it fits any. */
static enum apiary_code mark_nulls(struct ArrowArrayStream *data, struct ap_described_list *columns,
    struct apiary_error *err)
{
    struct ArrowSchema schema = { 0 };
    enum apiary_code code = APIARY_OK;
    if (data->get_schema(data, &schema) != 0) return APIARY_OK; /* told when it is read */
    size_t count = (size_t)schema.n_children;
    for (size_t i = 0; code == APIARY_OK && i < columns->count && i < count; i++) {
        const char *format = schema.children[i]->format;
        if (format == NULL || strcmp(format, "n") != 0) continue;
        char *none = ap_str_dup(AP_STR("NULL"));
        if (none == NULL) {
            code = ap_fail_memory(err, "a column's type");
            continue;
        }
        ap_free(columns->items[i].type);
        columns->items[i].type = none;
    }
    schema.release(&schema);
    return code;
}

/* A column that an assumed base lacks may have come since. So the newest base says whether it is
 * dropped, added or an error: none of these is guessed. */
static enum apiary_code settle_extra(struct ap_source *source, struct ap_target *target,
    const struct ap_described_list *columns, struct apiary_error *err)
{
    bool extra = false, moved = false;
    for (size_t i = 0; i < columns->count; i++)
        extra |= ap_schema_find(&target->metadata.schema, ap_str_from(columns->items[i].name)) == SIZE_MAX;
    if (!extra || !target->assumed) return APIARY_OK;
    ap_source_rest(source); /* the ledger may need the chamber */
    return ap_target_renew(source->session, target, &moved, err);
}

/* Rows that were made for another schema than the frame has are made anew by who gave them. */
static enum apiary_code check_schema(
    const struct ap_target *target, const char *made_for, struct apiary_error *err)
{
    char id[SCHEMA_ID_SIZE + 1];
    if (made_for == NULL) return APIARY_OK;
    AP_TRY(schema_id(&target->metadata, id, err));
    if (strcmp(id, made_for) == 0) return APIARY_OK;
    enum apiary_code code = ap_fail(err, APIARY_CONFLICT, "frame %s has another schema than the rows were made for", target->name);
    ap_hint(err, "%s", APIARY_HINT_OTHER_SCHEMA);
    return code;
}

static enum apiary_code select_input(struct ap_source *source, struct ap_target *target,
    const struct apiary_write_options *options, struct ap_arena *arena, bool *merged,
    struct ap_bytes *select, struct apiary_error *err)
{
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_TRY(ap_source_describe(source, AP_STR("SELECT * FROM " INPUT_NAME), NULL, &columns, err));
    AP_TRY(mark_nulls(source->inputs[0], &columns, err));
    AP_TRY(settle_extra(source, target, &columns, err));
    AP_TRY(check_schema(target, options->schema_id, err));
    if (options->merge_schema)
        AP_TRY(ap_merge_columns(source->session, arena, &columns, target, merged, err));
    struct ap_fit fit = {
        .columns = &columns,
        .by_name = true,
        .strict = true,
        .drop_extra = options->drop_extra_columns != 0,
        .refuse_null_partition = options->refuse_null_partition != 0,
    };
    AP_TRY(ap_bytes_add_text(select, "SELECT ", err));
    AP_TRY(ap_fit_columns(source->session, target, &fit, select, err));
    AP_TRY(ap_bytes_add_text(select, " FROM " INPUT_NAME " AS apiary_rows", err));
    return ap_fit_aliases(target, &fit, select, err);
}

static enum apiary_code write_rows(struct ap_session *session, struct ap_target *target,
    struct ap_reread *rows, const struct apiary_write_options *options, struct ap_source *source,
    struct ap_written *written, uint64_t *version, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO(ap_arena) arena = { 0 }; /* the merged schema's */
    struct ArrowArrayStream data;
    bool merged = false;
    ap_reread_open(rows, &data);
    AP_TRY(ap_source_add_input(source, INPUT_NAME, &data, err));
    ap_source_keep(source);
    AP_TRY(select_input(source, target, options, &arena, &merged, &select, err));
    AP_TRY(ap_write_cells(source, target, ap_bytes_view(&select), NULL, true, written, err));
    const struct ap_metadata *metadata = &target->metadata;
    struct ap_table_spec spec = { .schema = metadata->schema,
        .partition_by = metadata->partition_by,
        .partition_count = metadata->partition_count,
        .configuration = metadata->configuration,
        .configuration_count = metadata->configuration_count,
        .name = metadata->name,
        .description = metadata->description };
    struct ap_write_commit how = { .operation = "WRITE",
        .replace_all = options->mode == APIARY_OVERWRITE,
        .spec = merged ? &spec : NULL };
    *version = target->base->version;
    if (written->count == 0 && !how.replace_all && !merged) return APIARY_OK;
    return ap_commit_written(session, target, written, &how, version, err);
}

static enum apiary_code write_once(struct ap_session *session, struct ap_target *target,
    struct ap_reread *rows, const struct apiary_write_options *options, struct ap_written *written,
    uint64_t *version, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_TRY(ap_source_open(session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code =
        write_rows(session, target, rows, options, source, written, version, err);
    ap_source_close(source);
    return code;
}

/* Rows that can be read twice go on what was the head some minutes ago. A stream without rows may
 * write nothing, and then nobody would tell whether it still is. */
static bool may_assume(const struct ap_reread *rows)
{
    return rows->whole && rows->row_count > 0;
}

enum apiary_code ap_write_stream(struct ap_session *session, const char *frame,
    struct ArrowArrayStream *data, const struct apiary_write_options *options,
    struct ap_bytes *json, struct apiary_error *err)
{
    int64_t started_us = ap_mono_us(session->world->env);
    struct ap_name3 name = { 0 };
    struct apiary_error why = { 0 };
    AP_AUTO(ap_reread) rows = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    uint64_t version = 0;
    AP_TRY(ap_world_check(session->world, err));
    ap_session_begin(session);
    AP_TRY(ap_session_admit_write(session, options->backpressure, err));
    AP_TRY(ap_target_name(session, frame, &name, err));
    /* What is replaced is what was there before the first row was asked for: rows may come of it, and take long. */
    bool appends = options->mode == APIARY_APPEND;
    if (!appends) {
        AP_TRY(ap_target_open(session, &name, &target, err));
        AP_TRY(check_schema(&target, options->schema_id, err));
    }
    AP_TRY(ap_reread_take(&rows, data, &session->cancel, err));
    if (appends)
        AP_TRY(may_assume(&rows) ? ap_target_open_append(session, &name, &target, err) : ap_target_open(session, &name, &target, err));
    enum apiary_code code =
        write_once(session, &target, &rows, options, &written, &version, &why);
    if (ap_target_again(session, &target, code)) {
        ap_written_done(&written);
        why = (struct apiary_error) { 0 };
        code = write_once(session, &target, &rows, options, &written, &version, &why);
    }
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    return ap_write_json(session, &written, version, started_us, false, json, err);
}

/* ---- apiary_frame_info ---- */

static enum apiary_code look_at_frame(struct ap_session *session, const char *frame, int64_t since_us,
    struct ap_entry *entry, struct ap_snapshot **snapshot, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    struct ap_name3 name = { 0 };
    AP_TRY(ap_target_name(session, frame, &name, err));
    AP_TRY(ap_session_find_since(session, &name, since_us, entry, err));
    if (entry->kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s is a view, not a frame", frame);
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    AP_TRY(ap_frames_ledger(world->frames, entry, &ledger, &store, &prefix, err));
    return ap_ledger_snapshot_since(ledger, NULL, since_us, snapshot, err);
}

enum apiary_code ap_frame_info(struct ap_session *session, const char *frame, bool known_is_fine,
    struct ap_bytes *json, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    struct ap_snapshot *snapshot = NULL;
    AP_AUTO(ap_entry) entry = { 0 };
    AP_TRY(ap_world_check(world, err));
    enum apiary_code code = APIARY_NOT_FOUND;
    if (known_is_fine)
        code = look_at_frame(session, frame, ap_mono_us(world->env) - KNOWN_US, &entry, &snapshot, NULL);
    if (code != APIARY_OK) { /* what was known lacks the frame, or has what it was before: others may have made it since */
        ap_entry_done(&entry);
        AP_TRY(look_at_frame(session, frame, ap_mono_us(world->env), &entry, &snapshot, err));
    }

    int64_t rows = 0;
    bool known = ap_snapshot_row_count(snapshot, &rows);
    code = ap_bytes_add_text(json, "{\"name\":", err);
    char whole[3 * AP_NAME_MAX + 4];
    snprintf(whole, sizeof whole, "%s.%s.%s", entry.name.hive, entry.name.box, entry.name.frame);
    if (code == APIARY_OK) code = ap_json_quote(json, ap_str_from(whole), err);
    if (code == APIARY_OK) code = ap_bytes_add_text(json, ",", err);
    if (code == APIARY_OK) code = add_columns(&snapshot->metadata, json, err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(json, err,
            "\"max_partitions\":%lld,\"created_at\":%.6f,\"cell_count\":%zu,",
            (long long)ap_partitions_max(session),
            (double)entry.created_us / 1e6, snapshot->cell_count);
    if (code == APIARY_OK)
        code = known ? ap_bytes_printf(json, err, "\"row_count\":%lld,", (long long)rows)
                     : ap_bytes_add_text(json, "\"row_count\":null,", err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(json, err, "\"total_bytes\":%llu,\"version\":%llu,\"location\":",
            (unsigned long long)ap_snapshot_bytes(snapshot), (unsigned long long)snapshot->version);
    if (code == APIARY_OK) code = ap_json_quote(json, ap_str_from(entry.location), err);
    if (code == APIARY_OK) code = ap_bytes_add_text(json, ",\"properties\":{", err);
    for (size_t i = 0; code == APIARY_OK && i < snapshot->metadata.configuration_count; i++) {
        if (i > 0) code = ap_bytes_add_text(json, ",", err);
        if (code == APIARY_OK)
            code = ap_json_quote(json, snapshot->metadata.configuration[i].key, err);
        if (code == APIARY_OK) code = ap_bytes_add_text(json, ":", err);
        if (code == APIARY_OK)
            code = ap_json_quote(json, snapshot->metadata.configuration[i].value, err);
    }
    char id[SCHEMA_ID_SIZE + 1];
    if (code == APIARY_OK) code = schema_id(&snapshot->metadata, id, err);
    if (code == APIARY_OK) code = ap_bytes_printf(json, err, "},\"schema_id\":\"%s\"}", id);
    ap_snapshot_unref(snapshot);
    return code;
}
