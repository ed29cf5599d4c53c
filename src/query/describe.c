/* DESCRIBE of a name: a frame's columns from its ledger, a view's from the engine, what a box or a
 * hive holds from the catalogue. */
#include "query/ddl.h"
#include "query/read.h"
#include "query/resolve.h"
#include "query/types.h"
#include "query/temporary.h"

#include "core/alloc.h"
#include "core/time.h"
#include "ledger/ledger.h"

#include <stdio.h>

static enum apiary_code add_text(struct ap_rows *rows, const char *text, struct apiary_error *err)
{
    return ap_rows_text(rows, ap_str_from(text), err);
}

/* ---- AT ---- */

static enum apiary_code at_by_engine(struct ap_request *request, bool is_version,
    struct ap_str expression, struct ap_at *out, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_TRY(ap_source_open(request->session, (struct ap_str) { 0 }, request->query, &source, err));
    enum apiary_code code =
        ap_at_by_engine(source, is_version, expression, request->query, out, err);
    ap_source_close(source);
    return code;
}

enum apiary_code ap_statement_at(
    struct ap_request *request, struct ap_at *out, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    int64_t number = 0;
    *out = (struct ap_at) { .kind = AP_AT_NEWEST };
    if (statement->at_version.size > 0) {
        if (!ap_str_to_i64(statement->at_version, &number) || number < 0) /* the usual case needs no engine */
            return at_by_engine(request, true, statement->at_version, out, err);
        *out = (struct ap_at) { .kind = AP_AT_VERSION, .version = (uint64_t)number };
    } else if (statement->at_time.size > 0)
        return at_by_engine(request, false, statement->at_time, out, err);
    return APIARY_OK;
}

/* ---- frames ---- */

static enum apiary_code snapshot_of(struct ap_request *request, const struct ap_entry *entry,
    struct ap_snapshot **out, struct apiary_error *err)
{
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    struct ap_at at;
    AP_TRY(ap_statement_at(request, &at, err));
    AP_TRY(ap_frames_ledger(request->session->world->frames, entry, &ledger, &store, &prefix, err));
    return ap_ledger_snapshot(ledger, &at, out, err);
}

static enum apiary_code find_entry(
    struct ap_request *request, struct ap_entry *entry, struct apiary_error *err)
{
    struct ap_name3 name = { 0 };
    AP_TRY(ap_names_find(request->session, &request->statement->name, &name, err));
    return ap_session_find(request->session, &name, entry, err);
}

enum apiary_code ap_statement_snapshot(struct ap_request *request, struct ap_entry *entry,
    struct ap_snapshot **out, struct apiary_error *err)
{
    AP_TRY(find_entry(request, entry, err));
    if (entry->kind == AP_ENTRY_VIEW) {
        ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view, not a frame", entry->name.hive,
            entry->name.box, entry->name.frame);
        return ap_hint(err, "DESCRIBE %s.%s.%s tells its columns", entry->name.hive,
            entry->name.box, entry->name.frame);
    }
    return snapshot_of(request, entry, out, err);
}

static enum apiary_code start_columns(struct ap_rows *rows, struct apiary_error *err)
{
    static const char *const names[] = { "column_name", "column_type", "null", "partition",
        "comment" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        AP_TRY(ap_rows_column(rows, names[i], AP_ROWS_TEXT, err));
    return APIARY_OK;
}

static bool is_partition(const struct ap_metadata *metadata, struct ap_str name)
{
    for (size_t i = 0; i < metadata->partition_count; i++)
        if (ap_str_equal_nocase(metadata->partition_by[i], name)) return true;
    return false;
}

/* The comment stands in the field's metadata, where Delta has it. */
static enum apiary_code add_comment(
    struct ap_rows *rows, const struct ap_field *field, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str comment = { 0 };
    bool read = field->metadata.size > 2 &&
                ap_json_parse(field->metadata, "a column's metadata", &doc, NULL) == APIARY_OK;
    if (!read || !ap_json_str(yyjson_doc_get_root(doc), "comment", &comment))
        return ap_rows_null(rows, err);
    return ap_rows_text(rows, comment, err);
}

enum apiary_code ap_rows_of_columns(struct ap_rows *rows, const struct ap_snapshot *snapshot,
    const char *pattern, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &snapshot->metadata;
    AP_TRY(start_columns(rows, err));
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        AP_AUTO(ap_bytes) type = { 0 };
        AP_AUTO_FREE char *name = ap_str_dup(field->name);
        if (name == NULL) return ap_fail_memory(err, "rows");
        if (!ap_name_like(name, pattern)) continue;
        if (ap_type_to_engine(&field->type, &type, NULL) != APIARY_OK) {
            ap_bytes_clear(&type);
            AP_TRY(ap_type_text(
                &field->type, &type, err)); /* what cannot be read yet still has a name */
        }
        AP_TRY(ap_rows_text(rows, field->name, err));
        AP_TRY(ap_rows_text(rows, ap_bytes_view(&type), err));
        AP_TRY(add_text(rows, field->nullable ? "YES" : "NO", err));
        AP_TRY(add_text(rows, is_partition(metadata, field->name) ? "YES" : "NO", err));
        AP_TRY(add_comment(rows, field, err));
    }
    return APIARY_OK;
}

static enum apiary_code tell_frame(struct ap_request *request, const struct ap_entry *entry,
    const struct ap_snapshot *snapshot, struct ap_result *result, struct apiary_error *err)
{
    char size[32], rows[40] = "";
    int64_t count = 0;
    ap_size_format(ap_snapshot_bytes(snapshot), size);
    if (ap_snapshot_row_count(snapshot, &count))
        snprintf(rows, sizeof rows, "%lld rows, ", (long long)count);
    return ap_result_message(result, err,
        "Frame %s.%s.%s: version %llu, %s%zu cells, %s, at %s%s%s.", entry->name.hive,
        entry->name.box, entry->name.frame, (unsigned long long)snapshot->version, rows,
        snapshot->cell_count, size, entry->external ? "" : request->session->world->store->uri,
        entry->external ? "" : "/", entry->location);
}

/* ---- what the engine knows ---- */

static enum apiary_code describe_query(
    struct ap_request *request, struct ap_str query, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_TRY(ap_source_open(request->session, query, request->query, &source, err));
    ap_source_share(source);
    enum apiary_code code =
        ap_source_describe(source, ap_bytes_view(&source->sql), request->query, &columns, err);
    ap_source_close(source);
    if (code != APIARY_OK) return code;
    AP_TRY(start_columns(rows, err));
    for (size_t i = 0; i < columns.count; i++) {
        AP_TRY(add_text(rows, columns.items[i].name, err));
        AP_TRY(add_text(rows, columns.items[i].type, err));
        AP_TRY(add_text(rows, "YES", err));
        AP_TRY(add_text(rows, "NO", err));
        AP_TRY(ap_rows_null(rows, err));
    }
    return APIARY_OK;
}

/* SELECT * FROM the name as the user gave it. */
static enum apiary_code describe_by_engine(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    const struct ap_object_name *name = &request->statement->name;
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_add_text(&sql, "SELECT * FROM ", err));
    for (size_t i = 0; i < name->count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(&sql, ".", err));
        AP_TRY(ap_sql_name(&sql, ap_str_from(name->parts[i]), err));
    }
    return describe_query(request, ap_bytes_view(&sql), rows, err);
}

/* Temporary views, tables of the caller, and the engine's own catalogue are not in ours. */
static bool is_engines(const struct ap_request *request)
{
    const struct ap_object_name *name = &request->statement->name;
    if (name->count > 1) {
        const char *box = name->parts[name->count - 2];
        return ap_str_equal_nocase(ap_str_from(box), AP_STR("information_schema")) ||
               ap_str_equal_nocase(ap_str_from(box), AP_STR("pg_catalog"));
    }
    struct ap_str only = ap_str_from(name->parts[0]);
    if (ap_session_replayed(request->session, AP_OBJECT_VIEW, only) != NULL) return true;
    for (size_t i = 0; request->query != NULL && i < request->query->table_count; i++)
        if (ap_str_equal_nocase(only, ap_str_from(request->query->tables[i].name))) return true;
    return false;
}

static enum apiary_code describe_frame(struct ap_request *request, struct ap_rows *rows,
    struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_entry) entry = { 0 };
    struct ap_snapshot *snapshot = NULL;
    if (is_engines(request)) return describe_by_engine(request, rows, err);
    AP_TRY(find_entry(request, &entry, err));
    if (entry.kind == AP_ENTRY_VIEW) {
        if (statement->at_version.size + statement->at_time.size > 0)
            return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: AT works on frames",
                entry.name.hive, entry.name.box, entry.name.frame);
        return describe_by_engine(request, rows, err);
    }
    AP_TRY(snapshot_of(request, &entry, &snapshot, err));
    enum apiary_code code = ap_rows_of_columns(rows, snapshot, NULL, err);
    if (code == APIARY_OK) code = tell_frame(request, &entry, snapshot, result, err);
    ap_snapshot_unref(snapshot);
    return code;
}

/* ---- boxes, hives ---- */

static enum apiary_code describe_space(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_catalog *catalog = session->world->catalog;
    bool only_box = statement->object == AP_OBJECT_BOX;
    struct ap_name3 name = { 0 }, spelled = { 0 };
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_names_complete(
        session, &statement->name, only_box ? AP_NAME_BOX : AP_NAME_HIVE, &name, err));
    AP_TRY(ap_catalog_refresh(catalog, name.hive, err));
    AP_TRY(ap_catalog_spell(catalog, name.hive, only_box ? name.box : NULL, &spelled, err));
    if (only_box)
        AP_TRY(ap_texts_add(&boxes, ap_str_from(spelled.box), err));
    else
        AP_TRY(ap_catalog_boxes(catalog, name.hive, &boxes, err));
    AP_TRY(ap_rows_column(rows, "hive", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "box", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "frames", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "views", AP_ROWS_INT64, err));
    for (size_t i = 0; i < boxes.count; i++) {
        AP_AUTO(ap_entries) entries = { 0 };
        int64_t views = 0;
        AP_TRY(ap_catalog_entries(catalog, name.hive, boxes.items[i], false, &entries, err));
        for (size_t j = 0; j < entries.count; j++) views += entries.items[j].kind == AP_ENTRY_VIEW;
        AP_TRY(add_text(rows, spelled.hive, err));
        AP_TRY(add_text(rows, boxes.items[i], err));
        AP_TRY(ap_rows_int(rows, (int64_t)entries.count - views, err));
        AP_TRY(ap_rows_int(rows, views, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_run_describe(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_rows *rows = NULL;
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = request->statement->object == AP_OBJECT_FRAME
                                ? describe_frame(request, rows, result, err)
                                : describe_space(request, rows, err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    return code;
}
