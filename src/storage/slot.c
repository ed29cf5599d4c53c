/* Settling a slot (slot.h). The loop is swarm.md's, section 1.
 *
 * CONFLICT can be with our own put whose reply was lost, or whose request was delivered twice; so
 * it is settled by reading the slot back, whatever went before. Only what was read decides. */
#include "storage/slot.h"

#include "core/alloc.h"
#include "storage/prove.h"

enum { ATTEMPTS_MAX = 64, BACKOFF_BASE_US = 20000, BACKOFF_CAP_US = 2000000 };

struct settling {
    struct ap_store *store;
    const char *key;
    struct ap_str body;
    const struct ap_slot_options *options;
    bool unsettled; /* a put of ours may have landed, or may still land */
};

enum step { STEP_AGAIN, STEP_DONE, STEP_GIVE_UP };

/* Reads the occupied slot. DONE with *outcome; AGAIN when it did not answer or is gone. */
static enum step read_back(struct settling *settling, enum ap_slot_outcome *outcome,
    struct ap_bytes *theirs, enum apiary_code *code, struct apiary_error *err)
{
    struct ap_get get = {
        .key = settling->key, .range = AP_RANGE_ALL, .size_max = settling->options->body_max
    };
    ap_store_get_many(settling->store, &get, 1);
    *code = get.code;
    if (get.code == APIARY_OK) {
        /* Ours even where the winner is a twin with the same bytes: the body carries the id. */
        bool mine = ap_str_equal(ap_bytes_view(&get.body), settling->body);
        *outcome = mine ? AP_SLOT_MINE : AP_SLOT_THEIRS;
        if (!mine && theirs) {
            ap_bytes_done(theirs);
            *theirs = AP_TAKE(get.body);
        }
        ap_get_done(&get);
        return STEP_DONE;
    }
    if (err) *err = get.error;
    if (get.code == APIARY_LIMIT && settling->body.size <= settling->options->body_max) {
        settling->unsettled = false; /* whatever it is, it is too large to be ours */
        return STEP_GIVE_UP;
    }
    switch (get.code) {
        case APIARY_NOT_FOUND: /* deleted meanwhile, or a view that lags: the put decides again */
        case APIARY_IO:
        case APIARY_UNCERTAIN:
        case APIARY_CORRUPT: /* a short answer */
        case APIARY_TIMEOUT:
        case APIARY_CONFLICT: return STEP_AGAIN;
        default: return STEP_GIVE_UP;
    }
}

/* One put and, where that is not the answer, one look. */
static enum step attempt_once(struct settling *settling, enum ap_slot_outcome *outcome,
    struct ap_bytes *theirs, enum apiary_code *code, struct apiary_error *err)
{
    *code = settling->options->fleeting ? ap_store_put_fleeting_if_absent(settling->store, settling->key, settling->body, err)
                                        : ap_store_put_if_absent(settling->store, settling->key, settling->body, err);
    switch (*code) {
        case APIARY_OK: *outcome = AP_SLOT_MINE; return STEP_DONE;
        case APIARY_CONFLICT:
            settling->unsettled = true; /* until it was read */
            return read_back(settling, outcome, theirs, code, err);
        case APIARY_UNCERTAIN: settling->unsettled = true; return STEP_AGAIN;
        case APIARY_IO: return STEP_AGAIN;
        default: break;
    }
    /* No right, no space, no sense: trying on is pointless. But an earlier put may have landed. */
    if (!settling->unsettled) return STEP_GIVE_UP;
    struct apiary_error look;
    enum apiary_code looked;
    enum step step = read_back(settling, outcome, theirs, &looked, &look);
    return step == STEP_DONE ? STEP_DONE : STEP_GIVE_UP;
}

/* The end without an answer: the code says what may be true of the slot. */
static enum apiary_code give_up(const struct settling *settling, enum apiary_code code,
    const char *why, struct apiary_error *err)
{
    if (settling->unsettled) {
        struct apiary_error cause = { 0 };
        if (err) cause = *err;
        return ap_fail(err, APIARY_UNCERTAIN, "it is not known whether %s was written (%s): %s",
            settling->key, why, cause.message);
    }
    return ap_context(err, code, "%s was not written (%s)", settling->key, why);
}

enum apiary_code ap_slot_settle(struct ap_store *store, const char *key, struct ap_str body,
    const struct ap_slot_options *options, enum ap_slot_outcome *outcome, struct ap_bytes *theirs,
    struct apiary_error *err)
{
    struct settling settling = { .store = store, .key = key, .body = body, .options = options };
    struct apiary_error local_error = { 0 };
    enum apiary_code code = APIARY_OK;
    if (!err) err = &local_error; /* give_up quotes it */
    if (!store->one_writer) AP_TRY(ap_store_prove(store, err));
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (ap_cancel_requested(options->cancel)) {
            if (attempt == 0) ap_fail(err, APIARY_CANCELLED, "cancelled");
            return give_up(&settling, APIARY_CANCELLED, "cancelled", err);
        }
        if (attempt > 0) {
            if (ap_mono_us(store->env) >= options->deadline_mono_us)
                return give_up(&settling, code, "too late", err);
            ap_store_tally(store, retries, 1);
            ap_backoff(store->env, attempt - 1, BACKOFF_BASE_US, BACKOFF_CAP_US);
        }
        enum step step = attempt_once(&settling, outcome, theirs, &code, err);
        if (step == STEP_DONE) return APIARY_OK;
        if (step == STEP_GIVE_UP) return give_up(&settling, code, "giving up", err);
    }
    return give_up(&settling, APIARY_IO, "too many tries", err);
}
