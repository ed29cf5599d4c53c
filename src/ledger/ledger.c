/* An open frame: opening, the newest snapshot and how it is brought up to date.
 *
 * The freshness rule (swarm.md, section 1): a 404 on version v+1 proves v to be the head only while
 * v was confirmed as head within the last hour, since another engine may clean old versions away;
 * after a longer sleep the log is listed. */
#include "ledger/ledger.h"

#include "core/alloc.h"
#include "ledger/ledger_private.h"

#include <inttypes.h>

enum { COLD_TRIES_MAX = 3, CHECKPOINT_INTERVAL = 100, AHEAD_FIRST = 1, AHEAD_MAX = 64 };

static char *dup_prefix(const char *prefix)
{
    struct ap_str text = ap_str_from(prefix);
    while (text.size && text.data[text.size - 1] == '/') text.size--;
    return ap_str_dup(text);
}

enum apiary_code ap_ledger_open(
    const struct ap_ledger_options *options, struct ap_ledger **out, struct apiary_error *err)
{
    struct ap_ledger *ledger = ap_calloc(1, sizeof *ledger);
    if (!ledger) return ap_fail_memory(err, "a ledger");
    ledger->env = options->env;
    ledger->store = options->store;
    ledger->log = options->log;
    ledger->checkpoint_interval =
        options->checkpoint_interval ? options->checkpoint_interval : CHECKPOINT_INTERVAL;
    ledger->has_engine = options->engine != NULL;
    if (options->engine) ledger->engine = *options->engine;
    ledger->prefix = dup_prefix(options->prefix ? options->prefix : "");
    ledger->name = ap_strdup(options->name ? options->name : "");
    ledger->committing = ap_lock_new(ledger->env);
    ledger->working = ap_lock_new(ledger->env);
    ledger->glance = ap_lock_new(ledger->env);
    if (!ledger->prefix || !ledger->name || !ledger->committing || !ledger->working ||
        !ledger->glance) {
        ap_ledger_close(ledger);
        return ap_fail_memory(err, "a ledger");
    }
    ledger->place = (struct ap_log_place) { ledger->store, ledger->prefix };
    *out = ledger;
    return APIARY_OK;
}

void ap_ledger_close(struct ap_ledger *ledger)
{
    if (!ledger) return;
    ap_snapshot_unref(ledger->seen.newest);
    if (ledger->work.folded) ap_fold_done(&ledger->work.fold);
    ap_lock_free(ledger->env, ledger->committing);
    ap_lock_free(ledger->env, ledger->working);
    ap_lock_free(ledger->env, ledger->glance);
    ap_free(ledger->prefix);
    ap_free(ledger->name);
    ap_free(ledger);
}

struct ap_snapshot *ap_ledger_peek(struct ap_ledger *ledger, int64_t *confirmed_us)
{
    ap_lock(ledger->env, ledger->glance);
    struct ap_snapshot *newest = ledger->seen.newest;
    if (newest) ap_snapshot_ref(newest);
    *confirmed_us = ledger->seen.confirmed_us;
    ap_unlock(ledger->env, ledger->glance);
    return newest;
}

struct ap_snapshot *ap_ledger_cached(struct ap_ledger *ledger)
{
    int64_t confirmed_us;
    return ap_ledger_peek(ledger, &confirmed_us);
}

/* Puts `snapshot` (NULL: nothing is known) in the place of the newest; takes the reference.
 * confirmed_us -1: the time of the last proof stays. */
static void see(struct ap_ledger *ledger, struct ap_snapshot *snapshot, int64_t confirmed_us)
{
    ap_lock(ledger->env, ledger->glance);
    struct ap_snapshot *before = ledger->seen.newest;
    ledger->seen.newest = snapshot;
    if (confirmed_us >= 0) ledger->seen.confirmed_us = confirmed_us;
    ap_unlock(ledger->env, ledger->glance);
    ap_snapshot_unref(before);
}

static void forget_locked(struct ap_ledger *ledger)
{
    if (ledger->work.folded) ap_fold_done(&ledger->work.fold);
    ledger->work.folded = false;
    see(ledger, NULL, 0);
}

void ap_ledger_forget(struct ap_ledger *ledger)
{
    ap_lock(ledger->env, ledger->working);
    forget_locked(ledger);
    ap_unlock(ledger->env, ledger->working);
}

/* ---- the whole log ---- */

/* A fold that is fed from the store. What the store fails at leaves it whole; a commit that cannot
 * be applied spoils it. */
struct feeding {
    struct ap_fold *fold;
    bool spoiled;
};

static enum apiary_code fold_one(void *context, uint64_t version, struct ap_str body,
    const char *key, const struct ap_object *object, struct apiary_error *err)
{
    struct feeding *feeding = context;
    feeding->spoiled = true;
    AP_TRY(ap_fold_commit(feeding->fold, version, body, key, object->modified_us / 1000, err));
    feeding->spoiled = false;
    return APIARY_OK;
}

static enum apiary_code fold_segment(struct ap_ledger *ledger, const struct ap_log_segment *segment,
    struct ap_fold *fold, struct apiary_error *err)
{
    if (segment->kind != AP_CHECKPOINT_NONE) {
        AP_TRY(ap_checkpoint_read(ledger, segment, fold, err));
        fold->version = fold->checkpoint_version = segment->checkpoint_version;
        fold->timestamp_ms = segment->checkpoint_us / 1000;
        fold->empty = false;
    }
    struct feeding feeding = { .fold = fold };
    struct ap_log_visit visit = { fold_one, &feeding };
    return ap_log_get_commits(&ledger->place, segment->commits, segment->commit_count, visit, err);
}

/* Reads a version (AP_VERSION_NONE: the newest) from nothing. */
static enum apiary_code read_cold(struct ap_ledger *ledger, uint64_t wanted, struct ap_fold *fold,
    struct ap_snapshot **out, struct apiary_error *err)
{
    uint64_t hint = 0;
    AP_TRY(ap_log_hint_read(&ledger->place, &hint, err));
    if (wanted != AP_VERSION_NONE && hint > wanted) hint = 0;
    enum apiary_code code = APIARY_OK;
    for (int attempt = 0; attempt < COLD_TRIES_MAX; attempt++) {
        struct ap_log_segment segment = { .checkpoint_version = AP_VERSION_NONE };
        AP_TRY(ap_log_find(&ledger->place, hint, wanted, ledger->has_engine, &segment, err));
        code = ap_fold_init(fold, err);
        if (code == APIARY_OK) code = fold_segment(ledger, &segment, fold, err);
        if (code == APIARY_OK) code = ap_fold_publish(fold, out, err);
        ap_log_segment_done(&segment);
        if (code == APIARY_OK) return APIARY_OK;
        ap_fold_done(fold);
        /* Something that was listed is gone: the log was cleaned meanwhile. */
        if (code != APIARY_NOT_FOUND) return code;
        hint = 0;
    }
    return ap_context(
        err, APIARY_IO, "the log changed while it was read, %d times", COLD_TRIES_MAX);
}

enum apiary_code ap_ledger_read_version(
    struct ap_ledger *ledger, uint64_t version, struct ap_snapshot **out, struct apiary_error *err)
{
    struct ap_fold fold = { 0 };
    AP_TRY(read_cold(ledger, version, &fold, out, err));
    ap_fold_done(&fold);
    return APIARY_OK;
}

static enum apiary_code read_newest_locked(struct ap_ledger *ledger, struct apiary_error *err)
{
    int64_t began_us = ap_mono_us(ledger->env);
    struct ap_fold fold = { 0 };
    struct ap_snapshot *snapshot = NULL;
    forget_locked(ledger);
    AP_TRY(read_cold(ledger, AP_VERSION_NONE, &fold, &snapshot, err));
    ledger->work.fold = fold;
    ledger->work.folded = true;
    see(ledger, snapshot, began_us);
    return APIARY_OK;
}

/* ---- what came since ---- */

/* Publishes what was folded since version `before`. A fold that was spoiled, or cannot be
 * published, is thrown away with everything; else `code` says how the feeding ended. */
static enum apiary_code publish_locked(struct ap_ledger *ledger, uint64_t before, bool spoiled,
    int64_t confirmed_us, enum apiary_code code, struct apiary_error *err)
{
    struct ap_snapshot *snapshot = NULL;
    if (spoiled) {
        forget_locked(ledger);
        return code;
    }
    if (ledger->work.fold.version == before) {
        see(ledger, ap_ledger_cached(ledger), confirmed_us);
        return code;
    }
    enum apiary_code published = ap_fold_publish(&ledger->work.fold, &snapshot, err);
    if (published != APIARY_OK) {
        forget_locked(ledger);
        return published;
    }
    see(ledger, snapshot, confirmed_us);
    return code;
}

/* Gets version after version until there is none: that is the proof that the one before is the
 * head. */
static enum apiary_code follow_locked(struct ap_ledger *ledger, struct apiary_error *err)
{
    struct feeding feeding = { .fold = &ledger->work.fold };
    uint64_t before = feeding.fold->version;
    int64_t began_us = 0;
    enum apiary_code code = APIARY_OK;
    for (size_t ahead = AHEAD_FIRST; code == APIARY_OK;
         ahead = ahead * 4 < AHEAD_MAX ? ahead * 4 : AHEAD_MAX) {
        struct ap_log_commit commits[AHEAD_MAX];
        for (size_t i = 0; i < ahead; i++)
            commits[i] = (struct ap_log_commit) { .version = feeding.fold->version + 1 + i };
        struct ap_log_visit visit = { fold_one, &feeding };
        began_us = ap_mono_us(ledger->env);
        code = ap_log_get_commits(&ledger->place, commits, ahead, visit, err);
    }
    if (feeding.spoiled) return publish_locked(ledger, before, true, -1, code, err);
    if (code == APIARY_NOT_FOUND)
        return publish_locked(ledger, before, false, began_us, APIARY_OK, err);
    return publish_locked(ledger, before, false, -1, code, err);
}

/* After a long sleep: the log is listed, and read anew where versions are gone. */
static enum apiary_code catch_up_locked(struct ap_ledger *ledger, struct apiary_error *err)
{
    struct feeding feeding = { .fold = &ledger->work.fold };
    struct ap_log_commit *commits = NULL;
    size_t count = 0;
    uint64_t before = feeding.fold->version;
    int64_t began_us = ap_mono_us(ledger->env);
    AP_TRY(ap_log_list_commits(&ledger->place, before, &commits, &count, err));
    bool whole = true;
    for (size_t i = 0; i < count; i++) whole = whole && commits[i].version == before + 1 + i;
    enum apiary_code code = APIARY_OK;
    struct ap_log_visit visit = { fold_one, &feeding };
    if (whole) code = ap_log_get_commits(&ledger->place, commits, count, visit, err);
    ap_free(commits);
    if (!feeding.spoiled && (!whole || code == APIARY_NOT_FOUND))
        return read_newest_locked(ledger, err);
    return publish_locked(
        ledger, before, feeding.spoiled, code == APIARY_OK ? began_us : -1, code, err);
}

/* A look that began after since_us serves: another thread's, or one of the same statement. */
static enum apiary_code refresh_locked(
    struct ap_ledger *ledger, int64_t since_us, struct apiary_error *err)
{
    int64_t confirmed_us;
    struct ap_snapshot *newest = ap_ledger_peek(ledger, &confirmed_us);
    bool known = newest != NULL && ledger->work.folded;
    ap_snapshot_unref(newest);
    if (!known) return read_newest_locked(ledger, err);
    if (confirmed_us > since_us) return APIARY_OK;
    if (ap_mono_us(ledger->env) - confirmed_us > AP_HEAD_TRUSTED_US)
        return catch_up_locked(ledger, err);
    return follow_locked(ledger, err);
}

static enum apiary_code refresh_since(struct ap_ledger *ledger, int64_t since_us,
    struct ap_snapshot **out, struct apiary_error *err)
{
    ap_lock(ledger->env, ledger->working);
    enum apiary_code code = refresh_locked(ledger, since_us, err);
    struct ap_snapshot *newest = code == APIARY_OK ? ap_ledger_cached(ledger) : NULL;
    ap_unlock(ledger->env, ledger->working);
    if (code != APIARY_OK) return code;
    *out = newest;
    return APIARY_OK;
}

enum apiary_code ap_ledger_refresh(
    struct ap_ledger *ledger, struct ap_snapshot **out, struct apiary_error *err)
{
    return refresh_since(ledger, ap_mono_us(ledger->env), out, err);
}

struct ap_snapshot *ap_ledger_recent(struct ap_ledger *ledger)
{
    int64_t confirmed_us;
    struct ap_snapshot *newest = ap_ledger_peek(ledger, &confirmed_us);
    if (newest && ap_mono_us(ledger->env) - confirmed_us <= AP_HEAD_CONFIRM_US) return newest;
    ap_snapshot_unref(newest);
    return NULL;
}

/* ---- a look together with others ---- */

bool ap_ledger_look_begin(
    struct ap_ledger *ledger, int64_t since_us, struct ap_ledger_look *look)
{
    int64_t confirmed_us, now_us = ap_mono_us(ledger->env);
    struct ap_snapshot *newest = ap_ledger_peek(ledger, &confirmed_us);
    uint64_t next = newest ? newest->version + 1 : 0;
    bool one = newest && confirmed_us <= since_us && now_us - confirmed_us <= AP_HEAD_TRUSTED_US;
    ap_snapshot_unref(newest);
    if (!one) return false;
    *look = (struct ap_ledger_look) { .ledger = ledger, .version = next, .asked_us = now_us };
    if (ap_log_commit_key(&look->key, ledger->prefix, next, NULL) != APIARY_OK) {
        ap_bytes_done(&look->key);
        return false;
    }
    look->get = ap_log_commit_get(&look->key);
    look->get.code = APIARY_IO; /* until it was sent */
    return true;
}

/* The fold may have gone on meanwhile, by another thread's look: then the answer is of no use. */
static void hear_locked(struct ap_ledger_look *look)
{
    struct ap_ledger *ledger = look->ledger;
    struct feeding feeding = { .fold = &ledger->work.fold };
    if (!ledger->work.folded || feeding.fold->version + 1 != look->version) return;
    uint64_t before = feeding.fold->version;
    enum apiary_code code = look->get.code;
    int64_t confirmed_us = code == APIARY_NOT_FOUND ? look->asked_us : -1, known_us;
    ap_snapshot_unref(ap_ledger_peek(ledger, &known_us));
    if (confirmed_us < known_us) confirmed_us = -1;
    if (code == APIARY_OK)
        code = fold_one(&feeding, look->version, ap_bytes_view(&look->get.body), look->get.key,
            &look->get.object, NULL);
    else if (code != APIARY_NOT_FOUND)
        return;
    /* What is spoiled is forgotten, and read anew by the snapshot that follows. */
    code = publish_locked(ledger, before, feeding.spoiled, confirmed_us, code, NULL);
    (void)code;
}

void ap_ledger_look_end(struct ap_ledger_look *look)
{
    struct ap_ledger *ledger = look->ledger;
    ap_lock(ledger->env, ledger->working);
    hear_locked(look);
    ap_unlock(ledger->env, ledger->working);
    ap_get_done(&look->get);
    ap_bytes_done(&look->key);
}

/* ---- after a commit ---- */

static enum apiary_code advance_locked(struct ap_ledger *ledger, uint64_t version,
    struct ap_str body, int64_t confirmed_us, struct apiary_error *err)
{
    struct ap_fold *fold = &ledger->work.fold;
    bool made = version == 0 && !ledger->work.folded; /* a table that has just been created */
    if (made) AP_TRY(ap_fold_init(fold, err));
    if (made) ledger->work.folded = true;
    bool known = ledger->work.folded && (made || fold->version + 1 >= version);
    if (!known) return refresh_locked(ledger, ap_mono_us(ledger->env), err);
    if (!made && fold->version >= version) return APIARY_OK;
    AP_AUTO(ap_bytes) key = { 0 };
    AP_TRY(ap_log_commit_key(&key, ledger->prefix, version, err));
    enum apiary_code code = ap_fold_commit(fold, version, body, ap_bytes_text(&key), -1, err);
    return publish_locked(ledger, AP_VERSION_NONE, code != APIARY_OK, confirmed_us, code, err);
}

enum apiary_code ap_ledger_advance(struct ap_ledger *ledger, uint64_t version, struct ap_str body,
    int64_t confirmed_us, struct ap_snapshot **out, struct apiary_error *err)
{
    ap_lock(ledger->env, ledger->working);
    enum apiary_code code = advance_locked(ledger, version, body, confirmed_us, err);
    struct ap_snapshot *newest = code == APIARY_OK ? ap_ledger_cached(ledger) : NULL;
    ap_unlock(ledger->env, ledger->working);
    if (code != APIARY_OK) return code;
    *out = newest;
    return APIARY_OK;
}

/* ---- snapshots ---- */

static enum apiary_code snapshot_at(struct ap_ledger *ledger, const struct ap_at *at,
    int64_t since_us, struct ap_snapshot **out, struct apiary_error *err)
{
    struct ap_snapshot *newest = NULL;
    AP_TRY(refresh_since(ledger, since_us, &newest, err));
    if (!at || at->kind == AP_AT_NEWEST) {
        *out = newest;
        return APIARY_OK;
    }
    uint64_t version = at->version;
    enum apiary_code code = APIARY_OK;
    if (at->kind == AP_AT_TIME)
        code = ap_ledger_version_at(ledger, newest, at->time_ms, &version, err);
    if (code == APIARY_OK && version > newest->version)
        code = ap_fail(err, APIARY_NOT_FOUND,
            "there is no version %" PRIu64 "; the newest is %" PRIu64, version, newest->version);
    if (code == APIARY_OK && version == newest->version) {
        *out = newest;
        return APIARY_OK;
    }
    ap_snapshot_unref(newest);
    if (code == APIARY_OK) code = ap_ledger_read_version(ledger, version, out, err);
    return code;
}

enum apiary_code ap_ledger_snapshot_since(struct ap_ledger *ledger, const struct ap_at *at,
    int64_t since_us, struct ap_snapshot **out, struct apiary_error *err)
{
    enum apiary_code code = snapshot_at(ledger, at, since_us, out, err);
    if (code != APIARY_OK && *ledger->name) return ap_context(err, code, "frame %s", ledger->name);
    return code;
}

enum apiary_code ap_ledger_snapshot(struct ap_ledger *ledger, const struct ap_at *at,
    struct ap_snapshot **out, struct apiary_error *err)
{
    return ap_ledger_snapshot_since(ledger, at, ap_mono_us(ledger->env), out, err);
}
