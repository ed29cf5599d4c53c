#include "ledger/fsck.h"

#include "core/alloc.h"
#include "ledger/action.h"
#include "ledger/vacuum_private.h"

#include <inttypes.h>

#define COMMIT_BYTES_MAX (UINT64_C(2) << 30)

struct fsck {
    struct ap_ledger *ledger;
    const struct ap_fsck_report *report;
    struct ap_list list;
    struct ap_map sizes; /* key → size */
    size_t prefix_size;
};

static void fsck_done(struct fsck *fsck)
{
    ap_list_done(&fsck->list);
    ap_map_done(&fsck->sizes);
}

static enum apiary_code find(
    struct fsck *fsck, const char *key, const char *problem, struct apiary_error *err)
{
    return fsck->report->finding(fsck->report->context, key, problem, err);
}

/* What only this object's own content can be blamed for. */
static bool is_damage(enum apiary_code code)
{
    return code == APIARY_CORRUPT || code == APIARY_LIMIT || code == APIARY_UNSUPPORTED ||
           code == APIARY_NOT_FOUND || code == APIARY_SCHEMA;
}

/* What came after the listing is not in it: before something is called missing, it is asked for. */
static enum apiary_code is_there(
    struct fsck *fsck, const char *key, bool *there, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_store_get(
        fsck->ledger->store, key, (struct ap_range) { 0, 1, false }, &body, NULL, &why);
    *there = code == APIARY_OK;
    if (code == APIARY_OK || code == APIARY_NOT_FOUND) return APIARY_OK;
    if (err != NULL) *err = why;
    return code;
}

/* ---- the log ---- */

static enum apiary_code check_commit(struct fsck *fsck, const char *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_store_get(fsck->ledger->store, key,
        (struct ap_range) { 0, COMMIT_BYTES_MAX, false }, &body, NULL, &why);
    struct ap_action_reader reader = { 0 };
    struct ap_str rest = ap_bytes_view(&body), line;
    size_t number = 0;
    while (code == APIARY_OK && ap_commit_next_line(&rest, &line)) {
        struct ap_action action;
        number++;
        code = ap_action_parse(&reader, line, &action, &why);
    }
    ap_action_reader_done(&reader);
    if (code == APIARY_OK && number > 0) return APIARY_OK;
    if (code == APIARY_OK) return find(fsck, key, "it is empty", err);
    if (!is_damage(code)) {
        if (err != NULL) *err = why;
        return code;
    }
    char problem[sizeof why.message + 32];
    snprintf(problem, sizeof problem, "line %zu: %s", number, why.message);
    return find(fsck, key, number > 0 ? problem : why.message, err);
}

static enum apiary_code check_hole(
    struct fsck *fsck, uint64_t wanted, uint64_t found, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    for (; wanted < found; wanted++) {
        bool there = false;
        ap_bytes_clear(&key);
        AP_TRY(ap_log_commit_key(&key, fsck->ledger->prefix, wanted, err));
        AP_TRY(is_there(fsck, ap_bytes_text(&key), &there, err));
        AP_TRY(there ? check_commit(fsck, ap_bytes_text(&key), err)
                     : find(fsck, ap_bytes_text(&key), "it is missing: later versions are there", err));
    }
    return APIARY_OK;
}

static enum apiary_code check_log(
    struct fsck *fsck, struct ap_texts *parquet, uint64_t hint, struct apiary_error *err)
{
    uint64_t next = AP_VERSION_NONE, newest_checkpoint = 0;
    bool has_hint = false;
    for (size_t i = 0; i < fsck->list.count; i++) {
        const char *key = fsck->list.objects[i].key, *name = key + fsck->prefix_size;
        if (strncmp(name, "_delta_log/", 11) != 0) continue;
        struct ap_log_name parsed = ap_log_name_parse(ap_str_from(name + 11));
        if (strcmp(name + 11, "_last_checkpoint") == 0) has_hint = true;
        if (parsed.kind == AP_LOG_COMMIT) {
            if (next != AP_VERSION_NONE) AP_TRY(check_hole(fsck, next, parsed.version, err));
            next = parsed.version + 1;
            AP_TRY(check_commit(fsck, key, err));
        } else if (parsed.kind != AP_LOG_OTHER) {
            newest_checkpoint = parsed.version;
            if (ap_str_ends_with(ap_str_from(key), AP_STR(".parquet")))
                AP_TRY(ap_texts_add(parquet, ap_str_from(key), err));
        }
    }
    if (!has_hint) return APIARY_OK;
    AP_AUTO(ap_bytes) key = { 0 };
    AP_TRY(ap_log_key(&key, fsck->ledger->prefix, "_last_checkpoint", err));
    if (hint == 0) { /* it may have come meanwhile, like its checkpoint */
        AP_TRY(ap_log_hint_read(&fsck->ledger->place, &hint, err));
        return hint > 0 ? APIARY_OK : find(fsck, ap_bytes_text(&key), "it names no checkpoint", err);
    }
    return hint <= newest_checkpoint
               ? APIARY_OK
               : find(fsck, ap_bytes_text(&key), "the checkpoint that it names is missing", err);
}

/* ---- cells ---- */

static enum apiary_code check_object(struct fsck *fsck, const char *key, int64_t size_bytes,
    const char *who, struct apiary_error *err)
{
    uint64_t size = 0;
    char problem[160];
    if (!ap_map_get(&fsck->sizes, ap_str_from(key), &size)) {
        bool there = false;
        AP_TRY(is_there(fsck, key, &there, err));
        if (there) return APIARY_OK;
        snprintf(problem, sizeof problem, "it is missing: %s needs it", who);
        return find(fsck, key, problem, err);
    }
    if (size_bytes < 0 || size == (uint64_t)size_bytes) return APIARY_OK;
    snprintf(problem, sizeof problem, "it has %" PRIu64 " bytes, the log says %" PRId64, size,
        size_bytes);
    return find(fsck, key, problem, err);
}

static enum apiary_code check_vector(
    struct fsck *fsck, const struct ap_cell *cell, const char *cell_key, struct apiary_error *err)
{
    AP_AUTO_FREE uint64_t *rows = NULL;
    size_t count = 0;
    struct apiary_error why = { 0 };
    if (cell->deletion_vector.storage.size == 0) return APIARY_OK;
    enum apiary_code code = ap_deletion_vector_read(fsck->ledger, cell, &rows, &count, &why);
    if (code == APIARY_OK) return APIARY_OK;
    if (is_damage(code)) return find(fsck, cell_key, why.message, err);
    if (err != NULL) *err = why;
    return code;
}

static enum apiary_code check_snapshot(struct fsck *fsck, const struct ap_snapshot *snapshot,
    const char *who, struct apiary_error *err)
{
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        const struct ap_cell *cell = &snapshot->cells[i];
        AP_AUTO(ap_bytes) relative = { 0 };
        AP_AUTO(ap_bytes) key = { 0 };
        struct apiary_error why = { 0 };
        bool absolute = false;
        if (ap_cell_key(cell, &relative, &absolute, &why) != APIARY_OK) {
            AP_AUTO_FREE char *path = ap_str_dup(cell->path);
            AP_TRY(find(fsck, path != NULL ? path : "?", why.message, err));
            continue;
        }
        if (absolute) continue; /* not of this folder */
        AP_TRY(ap_bytes_printf(&key, err, "%s%s%s", fsck->ledger->prefix,
            *fsck->ledger->prefix ? "/" : "", ap_bytes_text(&relative)));
        AP_TRY(check_object(fsck, ap_bytes_text(&key), cell->size_bytes, who, err));
        AP_TRY(check_vector(fsck, cell, ap_bytes_text(&key), err));
    }
    return APIARY_OK;
}

static enum apiary_code check_version(struct fsck *fsck, const struct ap_at *at, const char *who,
    struct ap_snapshot **out, struct apiary_error *err)
{
    struct apiary_error why = { 0 };
    struct ap_snapshot *snapshot = NULL;
    AP_AUTO(ap_bytes) folder = { 0 };
    enum apiary_code code = ap_ledger_snapshot(fsck->ledger, at, &snapshot, &why);
    if (code != APIARY_OK && !is_damage(code)) {
        if (err != NULL) *err = why;
        return code;
    }
    if (code != APIARY_OK) {
        AP_TRY(ap_log_key(&folder, fsck->ledger->prefix, "", err));
        return find(fsck, ap_bytes_text(&folder), why.message, err);
    }
    code = check_snapshot(fsck, snapshot, who, err);
    if (code == APIARY_OK && out != NULL)
        *out = snapshot;
    else
        ap_snapshot_unref(snapshot);
    return code;
}

static enum apiary_code check_pins(struct fsck *fsck, struct apiary_error *err)
{
    AP_AUTO(ap_pins) pins = { 0 };
    AP_AUTO(ap_bytes) folder = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_ledger_pins(fsck->ledger, &pins, &why);
    AP_TRY(ap_care_key(fsck->ledger, AP_PINS_FOLDER, "", &folder, err));
    if (is_damage(code)) return find(fsck, ap_bytes_text(&folder), why.message, err);
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    for (size_t i = 0; i < pins.count; i++) {
        char who[160];
        struct ap_at at = { .kind = AP_AT_VERSION, .version = pins.items[i].version };
        snprintf(who, sizeof who, "pin %.100s", pins.items[i].name);
        AP_TRY(check_version(fsck, &at, who, NULL, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_ledger_fsck(struct ap_ledger *ledger, const struct ap_fsck_report *report,
    struct ap_snapshot **head, struct ap_texts *parquet, struct apiary_error *err)
{
    __attribute__((cleanup(fsck_done))) struct fsck fsck = { .ledger = ledger, .report = report };
    AP_AUTO(ap_bytes) prefix = { 0 };
    if (*ledger->prefix) AP_TRY(ap_bytes_printf(&prefix, err, "%s/", ledger->prefix));
    fsck.prefix_size = prefix.size;
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    uint64_t hint = 0; /* read first: what it names was there before it */
    AP_TRY(ap_log_hint_read(&ledger->place, &hint, err));
    AP_TRY(ap_store_list(ledger->store, &request, &fsck.list, err));
    for (size_t i = 0; i < fsck.list.count; i++)
        AP_TRY(ap_map_put(&fsck.sizes, ap_str_from(fsck.list.objects[i].key),
            fsck.list.objects[i].size, err));
    AP_TRY(check_log(&fsck, parquet, hint, err));
    struct ap_snapshot *newest = NULL;
    ap_ledger_forget(ledger); /* what was read before was good then */
    AP_TRY(check_version(
        &fsck, &(struct ap_at) { .kind = AP_AT_NEWEST }, "the newest version", &newest, err));
    enum apiary_code code = check_pins(&fsck, err);
    if (code == APIARY_OK)
        *head = newest;
    else
        ap_snapshot_unref(newest);
    return code;
}
