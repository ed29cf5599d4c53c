/* PIN, UNPIN, SHOW PINS, RESTORE. */
#include "query/ddl.h"
#include "query/optimize.h"
#include "query/target.h"
#include "query/temporary.h"

#include "ledger/vacuum.h"

/* The frame's ledger; no snapshot is read, so that nothing but its log must be in order. */
static enum apiary_code open_ledger(struct ap_request *request, struct ap_entry *entry,
    struct ap_ledger **ledger, struct apiary_error *err)
{
    struct ap_world *world = request->session->world;
    struct ap_name3 name = { 0 };
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    AP_TRY(ap_names_find(request->session, &request->statement->name, &name, err));
    AP_TRY(ap_session_find(request->session, &name, entry, err));
    if (entry->kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: frames have versions",
            name.hive, name.box, name.frame);
    return ap_frames_ledger(world->frames, entry, ledger, &store, &prefix, err);
}

enum apiary_code ap_run_pin(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    const char *pin = statement->new_column;
    struct ap_ledger *ledger = NULL;
    struct ap_snapshot *snapshot = NULL;
    struct ap_at at = { 0 };
    AP_AUTO(ap_entry) entry = { 0 };
    AP_TRY(open_ledger(request, &entry, &ledger, err));
    if (statement->kind == AP_STATEMENT_UNPIN) {
        AP_TRY(ap_ledger_unpin(ledger, pin, err));
        return ap_result_message(result, err, "Took pin %s away.", pin);
    }
    AP_TRY(ap_statement_at(request, &at, err));
    AP_TRY(ap_ledger_snapshot(ledger, &at, &snapshot, err));
    uint64_t version = snapshot->version;
    ap_snapshot_unref(snapshot);
    AP_TRY(ap_ledger_pin(ledger, pin, version, err));
    return ap_result_message(result, err, "Pinned version %llu of %s.%s.%s as %s.",
        (unsigned long long)version, entry.name.hive, entry.name.box, entry.name.frame, pin);
}

enum apiary_code ap_rows_of_pins(
    struct ap_request *request, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_ledger *ledger = NULL;
    AP_AUTO(ap_entry) entry = { 0 };
    AP_AUTO(ap_pins) pins = { 0 };
    AP_TRY(open_ledger(request, &entry, &ledger, err));
    AP_TRY(ap_ledger_pins(ledger, &pins, err));
    AP_TRY(ap_rows_column(rows, "pin", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "version", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "created", AP_ROWS_TIMESTAMP_TZ, err));
    for (size_t i = 0; i < pins.count; i++) {
        AP_TRY(ap_rows_text(rows, ap_str_from(pins.items[i].name), err));
        AP_TRY(ap_rows_int(rows, (int64_t)pins.items[i].version, err));
        AP_TRY(ap_rows_int(rows, pins.items[i].modified_us, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_run_restore(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    struct ap_name3 name = { 0 };
    struct ap_at at = { 0 };
    struct ap_restored done = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_TRY(ap_names_find(session, &request->statement->name, &name, err));
    AP_TRY(ap_target_open(session, &name, &target, err));
    AP_TRY(ap_statement_at(request, &at, err));
    AP_TRY(ap_ledger_restore(target.ledger, &at, &session->cancel, &done, err));
    if (done.version == target.base->version)
        return ap_result_message(result, err, "Nothing to do: %s is as it was at version %llu.",
            target.name, (unsigned long long)done.from);
    return ap_result_message(result, err,
        "Restored %s to version %llu: %zu cell%s back, %zu gone (version %llu).", target.name,
        (unsigned long long)done.from, done.cells_back, done.cells_back == 1 ? "" : "s",
        done.cells_gone, (unsigned long long)done.version);
}
