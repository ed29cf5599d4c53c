/* SHOW: lists as rows. */
#include "query/ddl.h"
#include "query/optimize.h"
#include "query/temporary.h"

#include "core/json.h"
#include "ledger/ledger.h"

#include <stdio.h>

enum { HISTORY_MAX = 10000 };

static bool same(const char *a, const char *b)
{
    return ap_str_equal_nocase(ap_str_from(a), ap_str_from(b));
}

static enum apiary_code add_text(struct ap_rows *rows, const char *text, struct apiary_error *err)
{
    return ap_rows_text(rows, ap_str_from(text), err);
}

/* ---- hives, boxes ---- */

static enum apiary_code show_hives(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    AP_AUTO(ap_texts) hives = { 0 };
    AP_TRY(ap_rows_column(rows, "hive", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "current", AP_ROWS_BOOL, err));
    AP_TRY(ap_catalog_refresh(session->world->catalog, NULL, err));
    AP_TRY(ap_catalog_hives(session->world->catalog, &hives, err));
    for (size_t i = 0; i < hives.count; i++) {
        if (!ap_name_like(hives.items[i], request->statement->pattern)) continue;
        AP_TRY(add_text(rows, hives.items[i], err));
        AP_TRY(ap_rows_int(rows, same(hives.items[i], session->hive), err));
    }
    return APIARY_OK;
}

static enum apiary_code show_boxes(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_catalog *catalog = session->world->catalog;
    AP_AUTO(ap_texts) boxes = { 0 };
    struct ap_name3 spelled;
    const char *hive = statement->name.count > 0 ? statement->name.parts[0] : session->hive;
    AP_TRY(ap_rows_column(rows, "hive", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "box", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "current", AP_ROWS_BOOL, err));
    AP_TRY(ap_catalog_refresh(catalog, hive, err));
    AP_TRY(ap_catalog_spell(catalog, hive, NULL, &spelled, err));
    AP_TRY(ap_catalog_boxes(catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count; i++) {
        if (!ap_name_like(boxes.items[i], statement->pattern)) continue;
        AP_TRY(add_text(rows, spelled.hive, err));
        AP_TRY(add_text(rows, boxes.items[i], err));
        AP_TRY(ap_rows_int(
            rows, same(spelled.hive, session->hive) && same(boxes.items[i], session->box), err));
    }
    return APIARY_OK;
}

/* ---- frames, views ---- */

static enum apiary_code add_entries(struct ap_request *request, const struct ap_entries *entries,
    struct ap_rows *rows, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    for (size_t i = 0; i < entries->count; i++) {
        const struct ap_entry *entry = &entries->items[i];
        bool view = entry->kind == AP_ENTRY_VIEW;
        if (statement->object == AP_OBJECT_VIEW && !view) continue;
        if (!ap_name_like(entry->name.frame, statement->pattern)) continue;
        AP_TRY(add_text(rows, entry->name.hive, err));
        AP_TRY(add_text(rows, entry->name.box, err));
        AP_TRY(add_text(rows, entry->name.frame, err));
        AP_TRY(add_text(rows, view ? "view" : "frame", err));
        AP_TRY(ap_rows_int(rows, entry->created_us, err));
    }
    return APIARY_OK;
}

static enum apiary_code add_box(struct ap_request *request, const char *hive, const char *box,
    struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_entries) entries = { 0 };
    AP_TRY(ap_catalog_entries(request->session->world->catalog, hive, box, false, &entries, err));
    return add_entries(request, &entries, rows, err);
}

static enum apiary_code add_hive(
    struct ap_request *request, const char *hive, struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_catalog_boxes(request->session->world->catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count; i++)
        AP_TRY(add_box(request, hive, boxes.items[i], rows, err));
    return APIARY_OK;
}

static enum apiary_code add_all(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_catalog *catalog = request->session->world->catalog;
    AP_AUTO(ap_texts) hives = { 0 };
    AP_TRY(ap_catalog_refresh(catalog, NULL, err));
    AP_TRY(ap_catalog_hives(catalog, &hives, err));
    for (size_t i = 0; i < hives.count; i++) {
        AP_TRY(ap_catalog_refresh(catalog, hives.items[i], err));
        /* Dropped meanwhile: it is not in the list any more. */
        if (ap_catalog_has_hive(catalog, hives.items[i]))
            AP_TRY(add_hive(request, hives.items[i], rows, err));
    }
    return APIARY_OK;
}

static enum apiary_code show_entries(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 scope = { 0 };
    AP_TRY(ap_rows_column(rows, "hive", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "box", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(
        rows, statement->object == AP_OBJECT_VIEW ? "view" : "frame", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "kind", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "created", AP_ROWS_TIMESTAMP_TZ, err));
    if (statement->name.count == 0) AP_TRY(add_entries(request, &session->temporary, rows, err));
    if (statement->flags.all) return add_all(request, rows, err);
    if (statement->name.count > 0) {
        AP_TRY(ap_names_scope(session, &statement->name, &scope, err));
        return scope.box[0] ? add_box(request, scope.hive, scope.box, rows, err)
                            : add_hive(request, scope.hive, rows, err);
    }
    AP_TRY(ap_catalog_refresh(session->world->catalog, session->hive, err));
    return add_box(request, session->hive, session->box, rows, err);
}

/* ---- columns, settings, history ---- */

static enum apiary_code show_columns(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_entry) entry = { 0 };
    struct ap_snapshot *snapshot = NULL;
    AP_TRY(ap_statement_snapshot(request, &entry, &snapshot, err));
    enum apiary_code code = ap_rows_of_columns(rows, snapshot, request->statement->pattern, err);
    ap_snapshot_unref(snapshot);
    return code;
}

static enum apiary_code add_setting(struct ap_rows *rows, const char *name, const char *value,
    const char *origin, const char *meaning, struct apiary_error *err)
{
    AP_TRY(add_text(rows, name, err));
    AP_TRY(add_text(rows, value, err));
    AP_TRY(add_text(rows, origin, err));
    return add_text(rows, meaning, err);
}

static enum apiary_code show_settings(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const char *pattern = request->statement->pattern;
    AP_AUTO(ap_bytes) json = { 0 };
    AP_AUTO_JSON *doc = NULL;
    static const char *const names[] = { "setting", "value", "origin", "meaning" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        AP_TRY(ap_rows_column(rows, names[i], AP_ROWS_TEXT, err));
    AP_TRY(ap_config_json(&session->config, &json, err));
    AP_TRY(ap_json_parse(ap_bytes_view(&json), "the settings", &doc, err));
    yyjson_val *item = NULL;
    size_t index = 0, count = 0;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), index, count, item)
    {
        const char *texts[4] = { "", "", "", "" };
        static const char *const members[] = { "key", "value", "origin", "meaning" };
        for (size_t i = 0; i < 4; i++) {
            const char *text = yyjson_get_str(yyjson_obj_get(item, members[i]));
            if (text != NULL) texts[i] = text;
        }
        if (ap_name_like(texts[0], pattern))
            AP_TRY(add_setting(rows, texts[0], texts[1], texts[2], texts[3], err));
    }
    for (size_t i = 0; i + 1 < session->settings.count; i += 2)
        if (ap_name_like(session->settings.items[i], pattern))
            AP_TRY(add_setting(rows, session->settings.items[i], session->settings.items[i + 1],
                "SET", "a setting of the engine", err));
    return APIARY_OK;
}

static enum apiary_code history_columns(struct ap_rows *rows, struct apiary_error *err)
{
    AP_TRY(ap_rows_column(rows, "version", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "timestamp", AP_ROWS_TIMESTAMP_TZ, err));
    AP_TRY(ap_rows_column(rows, "operation", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "parameters", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "metrics", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "engine", AP_ROWS_TEXT, err));
    return ap_rows_column(rows, "read_version", AP_ROWS_INT64, err);
}

static enum apiary_code show_history(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    struct ap_name3 name = { 0 };
    AP_AUTO(ap_entry) entry = { 0 };
    AP_AUTO(ap_history) history = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    AP_TRY(ap_names_find(session, &request->statement->name, &name, err));
    AP_TRY(ap_session_find(session, &name, &entry, err));
    if (entry.kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: frames have a history",
            name.hive, name.box, name.frame);
    AP_TRY(ap_frames_ledger(session->world->frames, &entry, &ledger, &store, &prefix, err));
    AP_TRY(ap_ledger_history(ledger, HISTORY_MAX, &history, err));
    AP_TRY(history_columns(rows, err));
    for (size_t i = 0; i < history.count; i++) {
        const struct ap_history_entry *one = &history.entries[i];
        AP_TRY(ap_rows_int(rows, (int64_t)one->version, err));
        AP_TRY(ap_rows_int(rows, one->timestamp_ms * 1000, err));
        AP_TRY(add_text(rows, one->operation, err));
        AP_TRY(add_text(rows, one->parameters, err));
        AP_TRY(add_text(rows, one->metrics, err));
        AP_TRY(add_text(rows, one->engine, err));
        if (one->read_version < 0)
            AP_TRY(ap_rows_null(rows, err));
        else
            AP_TRY(ap_rows_int(rows, one->read_version, err));
    }
    if (history.count == HISTORY_MAX)
        ap_session_notice(session, "only the newest %d versions are shown", HISTORY_MAX);
    return APIARY_OK;
}

static enum apiary_code show(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    switch (request->statement->object) {
        case AP_OBJECT_HIVE: return show_hives(request, rows, err);
        case AP_OBJECT_BOX: return show_boxes(request, rows, err);
        case AP_OBJECT_FRAME:
        case AP_OBJECT_VIEW: return show_entries(request, rows, err);
        case AP_OBJECT_COLUMN: return show_columns(request, rows, err);
        case AP_OBJECT_SETTING: return show_settings(request, rows, err);
        case AP_OBJECT_HISTORY: return show_history(request, rows, err);
        case AP_OBJECT_PIN: return ap_rows_of_pins(request, rows, err);
        default: return ap_fail(err, APIARY_INTERNAL, "nothing that SHOW lists");
    }
}

enum apiary_code ap_run_show(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_rows *rows = NULL;
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = show(request, rows, err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    return code;
}
