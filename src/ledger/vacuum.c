/* The way of a vacuum: list → head → plan → wait → head and pins again → delete → done (vacuum.h). */
#include "ledger/vacuum_private.h"

#include "core/alloc.h"
#include "core/id.h"
#include "core/time.h"

#include <inttypes.h>

enum {
    DELETE_BATCH = 1000,
    DELETE_TRIES = 8,
    SLICE_US = 200 * 1000,
    BACKOFF_US = 100 * 1000,
    BACKOFF_CAP_US = 5000 * 1000
};
/* A writer that has not committed 12 h after it began gives up (commit.c); a put may be late by the
 * life of its signature. */
#define UNKNOWN_MIN_US AP_VACUUM_FORGET_US
/* Two at once are right and only do the work twice: what was begun just now is left to end. */
#define POLITE_US (INT64_C(10) * 60 * 1000 * 1000)

void ap_vacuumed_done(struct ap_vacuumed *vacuumed)
{
    ap_texts_done(&vacuumed->keys);
    memset(vacuumed, 0, sizeof *vacuumed);
}

struct vacuum {
    struct ap_ledger *ledger;
    const struct ap_vacuum_options *options;
    int64_t retain_us;
    bool deleting;          /* a request to delete was sent: it may still take effect */
    size_t prefix_size; /* of the frame's folder with its '/' */
    struct ap_list list;
    struct ap_map nested;   /* folders below that have a log of their own: other tables */
    struct ap_held held;    /* must stay */
    struct ap_held removed; /* entries removed it longer ago than the retention */
    struct ap_vacuumed *out;
};

static void vacuum_done(struct vacuum *vacuum)
{
    ap_list_done(&vacuum->list);
    ap_map_done(&vacuum->nested);
    ap_held_done(&vacuum->held);
    ap_held_done(&vacuum->removed);
}

/* ---- retention ---- */

enum apiary_code ap_retention_us(
    const struct ap_snapshot *snapshot, int64_t *us, struct apiary_error *err)
{
    struct ap_str text = ap_snapshot_property(snapshot, "delta.deletedFileRetentionDuration");
    *us = AP_RETENTION_DEFAULT_US;
    if (text.size == 0 || ap_interval_parse(text, us)) return APIARY_OK;
    ap_fail(err, APIARY_UNSUPPORTED,
        "delta.deletedFileRetentionDuration = '" AP_FMT "' is no length of time", AP_ARG(text));
    return ap_hint(err, "write it in days: 'interval 30 days'");
}

static enum apiary_code decide_retention(
    struct vacuum *vacuum, const struct ap_snapshot *head, struct apiary_error *err)
{
    const struct ap_vacuum_options *options = vacuum->options;
    int64_t table_us = 0;
    AP_TRY(ap_retention_us(head, &table_us, err));
    vacuum->retain_us = options->retain_us < 0 ? table_us : options->retain_us;
    if (vacuum->retain_us >= table_us || options->below_retention) return APIARY_OK;
    ap_fail(err, APIARY_INVALID,
        "the frame keeps what was removed for %.1f hours, and %.1f are asked for",
        (double)table_us / 3.6e9, (double)vacuum->retain_us / 3.6e9);
    return ap_hint(err,
        "readers of older versions would fail; if none is left: SET vacuum_retention_check = off");
}

/* ---- what stays ---- */

static enum apiary_code hold_pins(struct vacuum *vacuum, struct apiary_error *err)
{
    AP_AUTO(ap_pins) pins = { 0 };
    AP_TRY(ap_ledger_pins(vacuum->ledger, &pins, err));
    for (size_t i = 0; i < pins.count; i++) {
        struct ap_snapshot *snapshot = NULL;
        struct ap_at at = { .kind = AP_AT_VERSION, .version = pins.items[i].version };
        enum apiary_code code = ap_ledger_snapshot(vacuum->ledger, &at, &snapshot, err);
        if (code == APIARY_OK)
            code = ap_held_add_snapshot(&vacuum->held, vacuum->ledger, snapshot, err);
        ap_snapshot_unref(snapshot);
        if (code != APIARY_OK) return ap_context(err, code, "pin '%s'", pins.items[i].name);
    }
    return APIARY_OK;
}

/* The last version that was written before `cutoff_us`, all before it too; AP_VERSION_NONE: none.
 * *whole: the log goes back that far. */
static uint64_t version_before(const struct vacuum *vacuum, int64_t cutoff_us, bool *whole)
{
    uint64_t before = AP_VERSION_NONE, first = AP_VERSION_NONE;
    *whole = true;
    for (size_t i = 0; i < vacuum->list.count; i++) {
        const struct ap_object *object = &vacuum->list.objects[i];
        const char *name = object->key + vacuum->prefix_size;
        if (strncmp(name, "_delta_log/", 11) != 0) continue;
        struct ap_log_name parsed = ap_log_name_parse(ap_str_from(name + 11));
        if (parsed.kind != AP_LOG_COMMIT) continue;
        if (first == AP_VERSION_NONE) first = parsed.version;
        if (object->modified_us > cutoff_us) break; /* ascending: the rest came later */
        before = parsed.version;
    }
    if (before == AP_VERSION_NONE && first != 0 && first != AP_VERSION_NONE) {
        *whole = false; /* cleaned: what was removed before is known from tombstones only */
        return first - 1;
    }
    return before;
}

/* ---- candidates ---- */

/* Folders whose names begin with '_' or '.' are not ours to tidy, but for change data and our own
 * staging; partition folders are, whatever their columns are called. */
static bool may_be_vacuumed(const char *name)
{
    const char *at = name;
    if (strncmp(name, "_change_data/", 13) == 0)
        at = name + 13;
    else if (strncmp(name, "_apiary_staging/", 16) == 0)
        at = name + 16;
    while (*at != '\0') {
        size_t length = strcspn(at, "/");
        bool folder = at[length] == '/';
        bool hidden = *at == '_' || *at == '.';
        if (hidden && !(folder && memchr(at, '=', length) != NULL)) return false;
        at += length + folder;
    }
    return true;
}

static enum apiary_code find_nested(struct vacuum *vacuum, struct apiary_error *err)
{
    for (size_t i = 0; i < vacuum->list.count; i++) {
        const char *name = vacuum->list.objects[i].key + vacuum->prefix_size;
        const char *log = strstr(name, "/_delta_log/");
        if (log != NULL)
            AP_TRY(ap_map_put(
                &vacuum->nested, (struct ap_str) { name, (size_t)(log - name) }, 1, err));
    }
    return APIARY_OK;
}

/* Does another table lie in a folder on the way to it? */
static bool is_nested(const struct vacuum *vacuum, const char *name)
{
    if (vacuum->nested.used == 0) return false;
    for (const char *end = strchr(name, '/'); end != NULL; end = strchr(end + 1, '/'))
        if (ap_map_has(&vacuum->nested, (struct ap_str) { name, (size_t)(end - name) })) return true;
    return false;
}

static bool is_candidate(const struct vacuum *vacuum, const struct ap_object *object)
{
    const char *name = object->key + vacuum->prefix_size;
    struct ap_str key = ap_str_from(object->key);
    if (!may_be_vacuumed(name) || is_nested(vacuum, name) || ap_held_has(&vacuum->held, key))
        return false;
    bool staging = strncmp(name, "_apiary_staging/", 16) == 0;
    int64_t least = staging                                   ? AP_VACUUM_FORGET_US
                    : ap_held_has(&vacuum->removed, key)      ? vacuum->retain_us
                    : vacuum->retain_us < UNKNOWN_MIN_US ? UNKNOWN_MIN_US
                                                         : vacuum->retain_us;
    return object->modified_us <= vacuum->list.now_us - least;
}

static enum apiary_code look(struct vacuum *vacuum, struct apiary_error *err)
{
    struct ap_ledger *ledger = vacuum->ledger;
    struct ap_snapshot *head = NULL;
    AP_AUTO(ap_bytes) prefix = { 0 };
    bool whole = true;
    if (*ledger->prefix) AP_TRY(ap_bytes_printf(&prefix, err, "%s/", ledger->prefix));
    vacuum->prefix_size = prefix.size;
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(ledger->store, &request, &vacuum->list, err)); /* invariant 1 */
    AP_TRY(find_nested(vacuum, err));
    AP_TRY(ap_ledger_snapshot(ledger, NULL, &head, err));
    vacuum->out->version = head->version;
    enum apiary_code code = ap_snapshot_check_writable(head, err);
    if (code == APIARY_OK) code = decide_retention(vacuum, head, err);
    if (code == APIARY_OK) code = ap_held_add_snapshot(&vacuum->held, ledger, head, err);
    if (code == APIARY_OK) {
        uint64_t before =
            version_before(vacuum, vacuum->list.now_us - vacuum->retain_us, &whole);
        code = ap_held_add_commits(&vacuum->held, ledger, before, head->version, err);
        if (code == APIARY_NOT_FOUND)
            code = ap_fail(err, APIARY_BUSY, "the log is being cleaned; nothing was deleted");
    }
    if (code == APIARY_OK)
        code = ap_held_add_tombstones(whole ? &vacuum->removed : &vacuum->held, ledger, head, err);
    ap_snapshot_unref(head);
    if (code == APIARY_OK) code = hold_pins(vacuum, err);
    return code;
}

static enum apiary_code choose(struct vacuum *vacuum, struct apiary_error *err)
{
    struct ap_vacuumed *out = vacuum->out;
    for (size_t i = 0; i < vacuum->list.count && out->keys.count < AP_VACUUM_KEYS_MAX; i++) {
        const struct ap_object *object = &vacuum->list.objects[i];
        if (!is_candidate(vacuum, object)) continue;
        AP_TRY(ap_texts_add(&out->keys, ap_str_from(object->key + vacuum->prefix_size), err));
        out->bytes += (int64_t)object->size;
    }
    return APIARY_OK;
}

/* ---- plan, wait, deletion ---- */

static enum apiary_code plan_key(const struct vacuum *vacuum, uint64_t number, const char *what,
    struct ap_bytes *out, struct apiary_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "%020" PRIu64 ".%s.json", number, what);
    return ap_care_key(vacuum->ledger, AP_VACUUM_FOLDER, name, out, err);
}

static enum apiary_code put_plan(
    struct vacuum *vacuum, uint64_t *number, struct apiary_error *err)
{
    struct ap_ledger *ledger = vacuum->ledger;
    struct ap_vacuum_log *log = ap_calloc(1, sizeof *log);
    if (log == NULL) return ap_fail_memory(err, "the plans of vacuums");
    enum apiary_code code = ap_vacuum_plans(ledger, log, err);
    bool busy = code == APIARY_OK && log->open > 0 &&
                log->now_us - log->newest_us < vacuum->options->wait_us + POLITE_US;
    *number = log->next;
    if (busy) {
        code = ap_fail(err, APIARY_BUSY, "another vacuum is at work (%s); nothing was deleted",
            log->keys[0]);
        ap_hint(err, "if it was killed, the next one may begin %lld minutes after it did",
            (long long)((vacuum->options->wait_us + POLITE_US) / AP_US_PER_SECOND / 60));
    }
    ap_free(log);
    if (code != APIARY_OK) return code;

    char id[AP_ID_TEXT_SIZE];
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    ap_id_random(ledger->env, id);
    AP_TRY(ap_bytes_printf(&body, err, "{\"format\":1,\"txnId\":\"%s\",\"version\":%" PRIu64 ",\"keys\":[",
        id, vacuum->out->version));
    for (size_t i = 0; i < vacuum->out->keys.count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(&body, ",\n", err));
        AP_TRY(ap_json_quote(&body, ap_str_from(vacuum->out->keys.items[i]), err));
    }
    AP_TRY(ap_bytes_add_text(&body, "]}\n", err));
    AP_TRY(plan_key(vacuum, *number, "plan", &key, err));
    AP_TRY(ap_care_settle(ledger, ap_bytes_text(&key), ap_bytes_view(&body), &outcome, err));
    if (outcome == AP_SLOT_MINE) return APIARY_OK;
    return ap_fail(err, APIARY_BUSY, "another vacuum has just begun; nothing was deleted");
}

static enum apiary_code wait_for_readers(struct vacuum *vacuum, struct apiary_error *err)
{
    struct ap_env *env = vacuum->ledger->env;
    int64_t until_us = ap_mono_us(env) + vacuum->options->wait_us;
    for (int64_t now_us = ap_mono_us(env); now_us < until_us; now_us = ap_mono_us(env)) {
        if (ap_cancel_requested(vacuum->options->cancel))
            return ap_fail(err, APIARY_CANCELLED, "cancelled; nothing was deleted");
        int64_t left_us = until_us - now_us;
        bool idle = vacuum->options->cancel == NULL;
        ap_sleep_us(env, idle || left_us < SLICE_US ? left_us : SLICE_US);
    }
    return APIARY_OK;
}

/* What became referenced since the plan was made falls out of it. */
static enum apiary_code look_again(struct vacuum *vacuum, struct apiary_error *err)
{
    struct ap_ledger *ledger = vacuum->ledger;
    struct ap_snapshot *head = NULL;
    AP_TRY(ap_ledger_snapshot(ledger, NULL, &head, err));
    enum apiary_code code = ap_snapshot_check_writable(head, err);
    if (code == APIARY_OK) code = ap_held_add_snapshot(&vacuum->held, ledger, head, err);
    if (code == APIARY_OK)
        code = ap_held_add_commits(
            &vacuum->held, ledger, vacuum->out->version, head->version, err);
    ap_snapshot_unref(head);
    if (code == APIARY_OK) code = hold_pins(vacuum, err);
    return code;
}

static enum apiary_code delete_all(
    struct vacuum *vacuum, int64_t begun_us, struct apiary_error *err)
{
    struct ap_ledger *ledger = vacuum->ledger;
    struct ap_texts *keys = &vacuum->out->keys;
    AP_AUTO(ap_texts) whole = { 0 };
    AP_AUTO(ap_texts) kept = { 0 };
    for (size_t i = 0; i < keys->count; i++) {
        AP_AUTO(ap_bytes) key = { 0 };
        AP_TRY(ap_bytes_printf(&key, err, "%s%s%s", ledger->prefix, *ledger->prefix ? "/" : "",
            keys->items[i]));
        if (ap_held_has(&vacuum->held, ap_bytes_view(&key))) continue;
        AP_TRY(ap_texts_add(&whole, ap_bytes_view(&key), err));
        AP_TRY(ap_texts_add(&kept, ap_str_from(keys->items[i]), err));
    }
    for (size_t i = 0; i < whole.count; i += DELETE_BATCH) {
        size_t count = whole.count - i < DELETE_BATCH ? whole.count - i : DELETE_BATCH;
        if (ap_mono_us(ledger->env) - begun_us > AP_VACUUM_WORK_US) /* invariant 6 */
            return ap_fail(err, APIARY_TIMEOUT, "the plan is too old to be carried out");
        if (ap_cancel_requested(vacuum->options->cancel))
            return ap_fail(err, APIARY_CANCELLED, "cancelled; %zu of %zu objects were deleted", i,
                whole.count);
        vacuum->deleting = true;
        enum apiary_code code = APIARY_IO;
        for (int attempt = 0; code == APIARY_IO && attempt < DELETE_TRIES; attempt++) {
            if (attempt > 0) ap_backoff(ledger->env, attempt, BACKOFF_US, BACKOFF_CAP_US);
            code = ap_store_delete_many(
                ledger->store, (const char *const *)whole.items + i, count, err);
        }
        if (code != APIARY_OK) return code;
    }
    ap_texts_done(keys);
    *keys = AP_TAKE(kept);
    return APIARY_OK;
}

/* Marks the plan as done and forgets older ones. What fails here only leaves small objects. */
static void tidy(struct vacuum *vacuum, uint64_t number)
{
    struct ap_ledger *ledger = vacuum->ledger;
    struct apiary_error problem = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    enum apiary_code code = plan_key(vacuum, number, "done", &key, &problem);
    if (code == APIARY_OK)
        code = ap_store_put(ledger->store, ap_bytes_text(&key), AP_STR("{\"format\":1}\n"), &problem);
    if (code == APIARY_OK) code = ap_care_key(ledger, AP_VACUUM_FOLDER, "", &prefix, &problem);
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    if (code == APIARY_OK) code = ap_store_list(ledger->store, &request, &list, &problem);
    for (size_t i = 0; code == APIARY_OK && i < list.count; i++) {
        const char *name = list.objects[i].key + prefix.size;
        bool older = strncmp(name, ap_bytes_text(&key) + prefix.size, 20) < 0;
        bool forgotten = list.now_us - list.objects[i].modified_us > 2 * AP_VACUUM_FORGET_US;
        if (older && forgotten) code = ap_store_delete(ledger->store, list.objects[i].key, &problem);
    }
    if (code != APIARY_OK)
        ap_log_event(ledger->log, AP_LOG_WARNING, "ledger", "vacuum_tidy", "plan=%" PRIu64 " code=%s",
            number, ap_code_name(code));
}

static enum apiary_code carry_out(struct vacuum *vacuum, struct apiary_error *err)
{
    uint64_t number = 0;
    int64_t begun_us = ap_mono_us(vacuum->ledger->env);
    AP_TRY(put_plan(vacuum, &number, err));
    enum apiary_code code = wait_for_readers(vacuum, err);
    if (code == APIARY_OK) code = look_again(vacuum, err);
    if (code == APIARY_OK) code = delete_all(vacuum, begun_us, err);
    /* A deletion that failed may happen later: its plan stays in force until it is forgotten. */
    if (code == APIARY_OK || !vacuum->deleting) tidy(vacuum, number);
    return code;
}

enum apiary_code ap_ledger_vacuum(struct ap_ledger *ledger, const struct ap_vacuum_options *options,
    struct ap_vacuumed *out, struct apiary_error *err)
{
    AP_AUTO(ap_vacuumed) done = { 0 };
    struct vacuum vacuum = { .ledger = ledger, .options = options, .out = &done };
    enum apiary_code code = look(&vacuum, err);
    if (code == APIARY_OK) code = choose(&vacuum, err);
    if (code == APIARY_OK && done.keys.count > 0 && !options->dry_run)
        code = carry_out(&vacuum, err);
    vacuum_done(&vacuum);
    if (code != APIARY_OK)
        return *ledger->name ? ap_context(err, code, "frame %s", ledger->name) : code;
    *out = AP_TAKE(done);
    return APIARY_OK;
}
