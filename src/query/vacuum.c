/* VACUUM [frame] [RETAIN n HOURS] [DRY RUN]. */
#include "query/optimize.h"
#include "query/purge.h"
#include "query/target.h"
#include "query/temporary.h"

#include "core/time.h"
#include "ledger/vacuum.h"

#define HOUR_US (INT64_C(3600) * AP_US_PER_SECOND)
/* What is dropped stays as long as what is deleted, by Delta's default. */
#define DROPPED_US (7 * AP_US_PER_DAY)
enum { HOURS_MAX = 24 * 36500 };

static enum apiary_code options_of(
    struct ap_request *request, struct ap_vacuum_options *out, struct apiary_error *err)
{
    const struct ap_config *config = &request->session->config;
    double hours = request->statement->retain_hours;
    if (hours > HOURS_MAX)
        return ap_fail(err, APIARY_SQL, "RETAIN takes at most %d hours", HOURS_MAX);
    *out = (struct ap_vacuum_options) {
        .retain_us = hours < 0 ? -1 : (int64_t)(hours * (double)HOUR_US),
        .below_retention = !ap_config_bool(config, AP_CONFIG_vacuum_retention_check),
        .wait_us = ap_config_us(config, AP_CONFIG_vacuum_wait),
        .dry_run = request->statement->flags.dry_run,
        .cancel = &request->session->cancel,
    };
    return APIARY_OK;
}

static enum apiary_code vacuum_entry(struct ap_request *request, const struct ap_entry *entry,
    const struct ap_vacuum_options *options, struct ap_vacuumed *done, struct apiary_error *err)
{
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    AP_TRY(ap_frames_ledger(request->session->world->frames, entry, &ledger, &store, &prefix, err));
    return ap_ledger_vacuum(ledger, options, done, err);
}

/* ---- one frame ---- */

static enum apiary_code show_keys(
    const struct ap_vacuumed *done, struct ap_result *result, struct apiary_error *err)
{
    struct ap_rows *rows = NULL;
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = ap_rows_column(rows, "object", AP_ROWS_TEXT, err);
    for (size_t i = 0; code == APIARY_OK && i < done->keys.count; i++)
        code = ap_rows_text(rows, ap_str_from(done->keys.items[i]), err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    return code;
}

static enum apiary_code vacuum_one(struct ap_request *request,
    const struct ap_vacuum_options *options, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    struct ap_name3 name = { 0 };
    char size[32];
    AP_AUTO(ap_entry) entry = { 0 };
    AP_AUTO(ap_vacuumed) done = { 0 };
    AP_TRY(ap_names_find(session, &request->statement->name, &name, err));
    AP_TRY(ap_session_find(session, &name, &entry, err));
    if (entry.kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: it has no objects", name.hive,
            name.box, name.frame);
    AP_TRY(vacuum_entry(request, &entry, options, &done, err));
    if (options->dry_run) return show_keys(&done, result, err);
    ap_size_format((uint64_t)done.bytes, size);
    return ap_result_message(result, err, "Vacuumed %s.%s.%s: %zu object%s of %s deleted.",
        entry.name.hive, entry.name.box, entry.name.frame, done.keys.count,
        done.keys.count == 1 ? "" : "s", size);
}

/* ---- the whole store ---- */

static enum apiary_code vacuum_box(struct ap_request *request, const char *hive, const char *box,
    const struct ap_vacuum_options *options, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    AP_AUTO(ap_entries) entries = { 0 };
    AP_TRY(ap_catalog_entries(session->world->catalog, hive, box, false, &entries, err));
    for (size_t i = 0; i < entries.count; i++) {
        const struct ap_entry *entry = &entries.items[i];
        struct apiary_error why = { 0 };
        AP_AUTO(ap_vacuumed) done = { 0 };
        char name[3 * AP_NAME_MAX + 4];
        if (entry->kind == AP_ENTRY_VIEW) continue;
        snprintf(name, sizeof name, "%s.%s.%s", hive, box, entry->name.frame);
        enum apiary_code code = vacuum_entry(request, entry, options, &done, &why);
        if (code == APIARY_CANCELLED) {
            if (err != NULL) *err = why;
            return code;
        }
        if (code != APIARY_OK) { /* one that cannot be done keeps none of the others */
            ap_session_notice(session, "%s was left alone: %s", name, why.message);
            continue;
        }
        AP_TRY(ap_rows_text(rows, ap_str_from(name), err));
        AP_TRY(ap_rows_int(rows, (int64_t)done.keys.count, err));
        AP_TRY(ap_rows_int(rows, done.bytes, err));
    }
    return APIARY_OK;
}

static enum apiary_code vacuum_hives(struct ap_request *request,
    const struct ap_vacuum_options *options, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    struct ap_catalog *catalog = session->world->catalog;
    AP_AUTO(ap_texts) hives = { 0 };
    AP_TRY(ap_rows_column(rows, "frame", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "objects", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "bytes", AP_ROWS_INT64, err));
    AP_TRY(ap_catalog_refresh(catalog, NULL, err));
    AP_TRY(ap_catalog_hives(catalog, &hives, err));
    int64_t dropped_us =
        options->retain_us > DROPPED_US || (options->below_retention && options->retain_us >= 0)
            ? options->retain_us
            : DROPPED_US;
    for (size_t i = 0; i < hives.count; i++) {
        AP_AUTO(ap_texts) boxes = { 0 };
        AP_TRY(ap_catalog_refresh(catalog, hives.items[i], err));
        AP_TRY(ap_catalog_boxes(catalog, hives.items[i], &boxes, err));
        for (size_t j = 0; j < boxes.count; j++)
            AP_TRY(
                vacuum_box(request, hives.items[i], boxes.items[j], options, rows, err));
        AP_TRY(ap_purge_hive(session, hives.items[i], dropped_us, options->dry_run, rows, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_run_vacuum(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_vacuum_options options = { 0 };
    struct ap_rows *rows = NULL;
    AP_TRY(options_of(request, &options, err));
    if (request->statement->name.count > 0) return vacuum_one(request, &options, result, err);
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = vacuum_hives(request, &options, rows, err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    return code;
}
