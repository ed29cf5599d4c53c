/* Committing: one put-if-not-exists of the next version, and everything that can go wrong with it
 * (swarm.md, section 1; delta.md 5).
 *
 * Invariants
 *  (1) A slot is left only after it was seen to hold another writer's bytes, so the log has no
 * holes and no transaction stands in it twice. (2) Every winner between what the transaction read
 * and the slot it gets was judged (conflict.c). (3) While the outcome of a put is unknown, nothing
 * else is tried and nothing is called failed. (4) After the commit point nothing turns success into
 * failure: a state that cannot be read back or a checkpoint that cannot be written is logged. (5) A
 * slot that was filled by a writer that had slept may lie in a part of the log that was cleaned
 * away meanwhile: such a ghost is found by listing, and removed. */
#include "core/alloc.h"
#include "ledger/commit_body.h"
#include "ledger/conflict.h"
#include "ledger/ledger_private.h"
#include "ledger/protocol.h"
#include "storage/slot.h"

#include <inttypes.h>

enum {
    ATTEMPTS_MAX = 10000,
    BACKOFF_BASE_US = 4000,
    BACKOFF_CAP_US = 1000 * 1000,
    BACKOFF_STEPS = 8
};
#define SETTLE_US (INT64_C(120) * 1000 * 1000)
#define SLOT_BODY_MAX (UINT64_C(2) << 30)
/* Successive commits of a live log are not written in the wrong order by more than this. */
#define GHOST_SLACK_US (INT64_C(60) * 1000 * 1000)

struct transaction {
    struct ap_ledger *ledger;
    const struct ap_commit *commit;
    struct ap_commit_stamp stamp;
    struct ap_bytes body;
    struct ap_snapshot *current; /* the newest state known; NULL while a table is created */
    int64_t confirmed_us;        /* when current was proved to be the head */
    uint64_t judged;             /* winners up to this version do not conflict */
};

static void transaction_done(struct transaction *transaction)
{
    ap_bytes_done(&transaction->body);
    ap_snapshot_unref(transaction->current);
}

static void set_current(struct transaction *transaction, struct ap_snapshot *snapshot)
{
    ap_snapshot_unref(transaction->current);
    transaction->current = snapshot;
}

/* ---- what may be written at all ---- */

static bool property_on(const struct ap_snapshot *snapshot, const char *key)
{
    return ap_metadata_property_is(&snapshot->metadata, key, "true");
}

static enum apiary_code check_allowed(
    const struct ap_commit *commit, const struct ap_snapshot *state, struct apiary_error *err)
{
    AP_TRY(ap_snapshot_check_writable(state, err));
    if (commit->remove_count && commit->data_change && property_on(state, "delta.appendOnly"))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table is append-only (delta.appendOnly = true): rows cannot be removed");
    if (commit->remove_count && commit->data_change &&
        property_on(state, "delta.enableChangeDataFeed"))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table keeps a change feed (delta.enableChangeDataFeed = true); removing or "
            "changing its rows is not supported");
    if (!commit->txn_app_id) return APIARY_OK;
    for (size_t i = 0; i < state->txn_count; i++)
        if (ap_str_is(state->txns[i].app_id, commit->txn_app_id))
            return ap_fail(err, APIARY_EXISTS,
                "transaction \"%s\" was committed already (by version %" PRIu64 ")",
                commit->txn_app_id, state->version);
    return APIARY_OK;
}

/* ---- winners ---- */

static enum apiary_code judge_one(void *context, uint64_t version, struct ap_str body,
    const char *key, const struct ap_object *object, struct apiary_error *err)
{
    return ap_conflict_check(context, version, body, err);
}

/* A blind append minds nothing but the protocol, the metadata and its own txn: states tell. */
static bool blind_and_clear(const struct ap_commit *commit, const struct ap_snapshot *current)
{
    return ap_commit_is_blind(commit) &&
           ap_commit_still_fits(commit, &current->metadata);
}

enum { JUDGE_BATCH = 64 };

/* Judges the winners that the current state holds and that were not judged yet. */
static enum apiary_code judge_winners(struct transaction *transaction, struct apiary_error *err)
{
    const struct ap_commit *commit = transaction->commit;
    uint64_t to = transaction->current->version;
    if (to > commit->base->version) AP_TRY(check_allowed(commit, transaction->current, err));
    if (transaction->judged >= to) return APIARY_OK;
    if (blind_and_clear(commit, transaction->current)) transaction->judged = to;
    while (transaction->judged < to) {
        struct ap_log_commit commits[JUDGE_BATCH];
        size_t count = 0;
        while (count < JUDGE_BATCH && transaction->judged + count < to) {
            commits[count] = (struct ap_log_commit) { .version = transaction->judged + 1 + count };
            count++;
        }
        struct ap_log_visit visit = { judge_one, (void *)(uintptr_t)commit };
        enum apiary_code code =
            ap_log_get_commits(&transaction->ledger->place, commits, count, visit, err);
        if (code == APIARY_NOT_FOUND) {
            code = ap_fail(err, APIARY_CONFLICT,
                "the log was cleaned since version %" PRIu64
                ", which this statement read; nothing was written",
                commit->base->version);
            ap_hint(err, "run the statement again");
        }
        AP_TRY(code);
        transaction->judged += count;
    }
    return APIARY_OK;
}

/* The newest state, looked up when what is known is too old to build on. */
static enum apiary_code look(struct transaction *transaction, bool anew, struct apiary_error *err)
{
    struct ap_ledger *ledger = transaction->ledger;
    struct ap_snapshot *newest = ap_ledger_peek(ledger, &transaction->confirmed_us);
    bool old = !newest || newest->version < transaction->commit->base->version ||
               ap_mono_us(ledger->env) - transaction->confirmed_us > AP_HEAD_CONFIRM_US;
    if (old || anew) {
        ap_snapshot_unref(newest);
        newest = NULL;
        AP_TRY(ap_ledger_refresh(ledger, &newest, err));
        ap_snapshot_unref(newest);
        newest = ap_ledger_peek(ledger, &transaction->confirmed_us);
        if (!newest) return ap_fail(err, APIARY_IO, "the log changed while it was read");
    }
    set_current(transaction, newest);
    if (newest->version < transaction->commit->base->version)
        return ap_fail(err, APIARY_CORRUPT,
            "the log ends at version %" PRIu64 ", and version %" PRIu64 " was read before",
            newest->version, transaction->commit->base->version);
    return APIARY_OK;
}

/* ---- the body ---- */

static enum apiary_code build(struct transaction *transaction, struct apiary_error *err)
{
    const struct ap_snapshot *current = transaction->current;
    bool in_commit = current && property_on(current, "delta.enableInCommitTimestamps");
    if (transaction->body.size && !in_commit) return APIARY_OK; /* the same at every slot */
    struct ap_commit_stamp *stamp = &transaction->stamp;
    stamp->now_ms = ap_now_us(transaction->ledger->env) / 1000;
    stamp->in_commit_ms = -1;
    if (in_commit)
        stamp->in_commit_ms =
            stamp->now_ms > current->timestamp_ms ? stamp->now_ms : current->timestamp_ms + 1;
    ap_bytes_clear(&transaction->body);
    return ap_commit_body(transaction->commit, transaction->commit->base, stamp,
        transaction->ledger->env, &transaction->body, err);
}

static enum apiary_code settle(struct transaction *transaction, uint64_t version,
    enum ap_slot_outcome *outcome, struct ap_bytes *theirs, struct apiary_error *err)
{
    struct ap_ledger *ledger = transaction->ledger;
    AP_AUTO(ap_bytes) key = { 0 };
    AP_TRY(ap_log_commit_key(&key, ledger->prefix, version, err));
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(ledger->env) + SETTLE_US,
        .cancel = transaction->commit->cancel,
        .body_max = SLOT_BODY_MAX };
    enum apiary_code code = ap_slot_settle(ledger->store, ap_bytes_text(&key),
        ap_bytes_view(&transaction->body), &options, outcome, theirs, err);
    if (code == APIARY_UNCERTAIN) {
        ap_fail(err, code, "outcome unknown, transaction %s: version %" PRIu64 " may hold it",
            transaction->stamp.txn_id, version);
        ap_hint(err, "look at the frame's history for this transaction before writing again");
    }
    return code;
}

/* ---- ghosts (invariant 5) ---- */

static enum apiary_code is_ghost(
    struct transaction *transaction, uint64_t version, bool *ghost, struct apiary_error *err)
{
    struct ap_log_commit *commits = NULL;
    size_t count = 0;
    AP_TRY(ap_log_list_commits(&transaction->ledger->place, version - 1, &commits, &count, err));
    /* What was built on ours follows it without a gap and was not written before it. */
    *ghost = count == 0 || commits[0].version != version;
    if (!*ghost && count > 1)
        *ghost = commits[1].version != version + 1 ||
                 commits[1].modified_us + GHOST_SLACK_US < commits[0].modified_us;
    ap_free(commits);
    return APIARY_OK;
}

/* Did the put fill a live slot? A ghost is removed. */
static enum apiary_code lay_ghost(
    struct transaction *transaction, uint64_t version, bool *ghost, struct apiary_error *err)
{
    struct ap_ledger *ledger = transaction->ledger;
    *ghost = false;
    if (ap_mono_us(ledger->env) - transaction->confirmed_us <= AP_HEAD_TRUSTED_US) return APIARY_OK;
    AP_AUTO(ap_bytes) key = { 0 };
    enum apiary_code code = is_ghost(transaction, version, ghost, err);
    if (code == APIARY_OK && *ghost) code = ap_log_commit_key(&key, ledger->prefix, version, err);
    if (code == APIARY_OK && *ghost)
        code = ap_store_delete(ledger->store, ap_bytes_text(&key), err);
    if (code == APIARY_OK) return APIARY_OK;
    ap_fail(err, APIARY_UNCERTAIN,
        "outcome unknown, transaction %s: version %" PRIu64
        " was written after a long pause and the log cannot be checked",
        transaction->stamp.txn_id, version);
    return APIARY_UNCERTAIN;
}

/* ---- the loop ---- */

/* The state after our commit, if it can be had (invariant 4). */
static void take_over(
    struct transaction *transaction, uint64_t version, int64_t put_us, struct ap_snapshot **out)
{
    struct apiary_error problem = { 0 };
    struct ap_ledger *ledger = transaction->ledger;
    struct ap_snapshot *after = NULL;
    enum apiary_code code = ap_ledger_advance(
        ledger, version, ap_bytes_view(&transaction->body), put_us, &after, &problem);
    if (code == APIARY_OK) {
        *out = after;
        return;
    }
    ap_log_event(ledger->log, AP_LOG_WARNING, "ledger", "state_after_commit",
        "version=%" PRIu64 " code=%s", version, ap_code_name(code));
    *out = NULL;
}

static enum apiary_code commit_onto(struct transaction *transaction, uint64_t *version,
    struct ap_snapshot **after, struct apiary_error *err)
{
    const struct ap_commit *commit = transaction->commit;
    struct ap_ledger *ledger = transaction->ledger;
    AP_TRY(check_allowed(commit, commit->base, err));
    transaction->judged = commit->base->version;
    AP_TRY(look(transaction, false, err));
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (ap_cancel_requested(commit->cancel))
            return ap_fail(err, APIARY_CANCELLED, "cancelled; nothing was written");
        if (commit->expires_mono_us != 0 && ap_mono_us(ledger->env) > commit->expires_mono_us) {
            ap_fail(err, APIARY_TIMEOUT,
                "its cells were written too long ago to be committed; nothing was written");
            return ap_hint(err, "run the statement again");
        }
        AP_TRY(judge_winners(transaction, err));
        AP_TRY(build(transaction, err));
        uint64_t next = transaction->current->version + 1;
        AP_AUTO(ap_bytes) theirs = { 0 };
        enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
        bool ghost = false;
        int64_t put_us = ap_mono_us(ledger->env);
        AP_TRY(settle(transaction, next, &outcome, &theirs, err));
        if (outcome == AP_SLOT_MINE) {
            AP_TRY(lay_ghost(transaction, next, &ghost, err));
            if (!ghost) {
                take_over(transaction, next, put_us, after);
                *version = next;
                return APIARY_OK;
            }
            ap_ledger_forget(ledger);
        } else {
            AP_TRY(ap_conflict_check(commit, next, ap_bytes_view(&theirs), err));
            struct ap_snapshot *newer = NULL;
            AP_TRY(ap_ledger_advance(ledger, next, ap_bytes_view(&theirs), -1, &newer, err));
            ap_snapshot_unref(newer);
            transaction->judged = next;
            ap_backoff(ledger->env, attempt < BACKOFF_STEPS ? attempt : BACKOFF_STEPS,
                BACKOFF_BASE_US, BACKOFF_CAP_US);
        }
        /* Who lost twice is behind others: it looks for the head instead of trying slot by slot. */
        AP_TRY(look(transaction, ghost || attempt > 0, err));
    }
    return ap_fail(
        err, APIARY_CONFLICT, "lost %d races in a row; nothing was written", ATTEMPTS_MAX);
}

static enum apiary_code create(
    struct transaction *transaction, struct ap_snapshot **after, struct apiary_error *err)
{
    struct ap_ledger *ledger = transaction->ledger;
    /* A table whose first versions were cleaned away leaves slot 0 free. */
    uint64_t hint = 0;
    struct ap_log_segment there = { .checkpoint_version = AP_VERSION_NONE };
    enum apiary_code code = ap_log_find(&ledger->place, hint, AP_VERSION_NONE, true, &there, err);
    ap_log_segment_done(&there);
    if (code == APIARY_OK || code == APIARY_CORRUPT)
        return ap_fail(err, APIARY_EXISTS, "there is a table already");
    if (code != APIARY_NOT_FOUND) return code;

    AP_TRY(build(transaction, err));
    AP_AUTO(ap_bytes) theirs = { 0 };
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    int64_t put_us = ap_mono_us(ledger->env);
    AP_TRY(settle(transaction, 0, &outcome, &theirs, err));
    if (outcome == AP_SLOT_THEIRS)
        return ap_fail(err, APIARY_EXISTS, "another writer has just created a table here");
    take_over(transaction, 0, put_us, after);
    return APIARY_OK;
}

enum apiary_code ap_ledger_commit(struct ap_ledger *ledger, const struct ap_commit *commit,
    uint64_t *version, struct ap_snapshot **snapshot, struct apiary_error *err)
{
    if (!commit->base && !commit->spec)
        return ap_fail(err, APIARY_INVALID, "a commit without a base needs the table's schema");
    if (commit->scope == AP_READ_PREDICATE && !commit->read_predicate)
        return ap_fail(err, APIARY_INVALID, "a commit that read by a predicate needs it");
    struct transaction transaction = { .ledger = ledger, .commit = commit };
    ap_uuid4(ledger->env, transaction.stamp.txn_id);
    uint64_t landed = 0;
    struct ap_snapshot *after = NULL;

    ap_lock(ledger->env, ledger->committing);
    enum apiary_code code = commit->base ? commit_onto(&transaction, &landed, &after, err)
                                         : create(&transaction, &after, err);
    ap_unlock(ledger->env, ledger->committing);
    transaction_done(&transaction);
    if (code != APIARY_OK)
        return *ledger->name ? ap_context(err, code, "frame %s", ledger->name) : code;

    if (after) ap_checkpoint_after_commit(ledger, after, landed);
    if (version) *version = landed;
    if (snapshot)
        *snapshot = after;
    else
        ap_snapshot_unref(after);
    return APIARY_OK;
}
