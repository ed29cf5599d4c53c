/* The two decisions of a query. 0end: how it ended, or for one that writes, that it is to be
 * committed and what; put-if-not-exists, so there is one. 0out: what became of the commit.
 *
 * Between them anybody who sees 0end = commit rolls it forward: the commit carries the query's
 * transaction id, so that it happens once whoever does it and however often. */
#ifndef AP_SWARM_DECIDE_H
#define AP_SWARM_DECIDE_H

#include "swarm/board.h"
#include "swarm/swarm.h"

enum ap_decision { AP_END_DONE, AP_END_COMMIT, AP_END_FAILED, AP_END_CANCELLED, AP_END_ABANDONED };
const char *ap_decision_text(enum ap_decision decision); /* "done" … */

struct ap_end {
    enum ap_decision decision;
    enum apiary_code code; /* FAILED, ABANDONED */
    char *message, *hint;  /* owned; may be NULL */
    bool again;            /* DONE: no answer is kept, merge r/... again */
    struct ap_bytes content; /* DONE: the answer; COMMIT: what to commit */
};
void ap_end_done(struct ap_end *end);
/* Fills in a failure from an error. */
AP_CHECKED enum apiary_code ap_end_failure(
    struct ap_end *end, enum ap_decision decision, const struct apiary_error *why, struct apiary_error *err);

/* Decides, unless it is decided already: *winner is what stands (mine or another's), whole.
 * NOT_FOUND: the query was collected meanwhile; nothing stands. */
AP_CHECKED enum apiary_code ap_end_put(const struct ap_swarm *swarm, const char *id, const struct ap_end *mine, struct ap_end *winner,
    struct apiary_error *err);
/* NOT_FOUND: not decided. */
AP_CHECKED enum apiary_code ap_end_get(const struct ap_swarm *swarm, const char *id, struct ap_end *out, struct apiary_error *err);

struct ap_outcome {
    bool committed;
    int64_t version; /* -1: not known */
    enum apiary_code code;
    char *message, *hint; /* owned */
};
void ap_outcome_done(struct ap_outcome *outcome);
/* Commits what 0end says and puts 0out; or learns what others did. `now_us`: the store's clock, as
 * known. codes: TIMEOUT (the query is over), NOT_FOUND (collected), UNCERTAIN and IO (try again) */
AP_CHECKED enum apiary_code ap_roll_forward(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end,
    int64_t now_us, struct ap_outcome *out, struct apiary_error *err);
/* OK: it was committed; else what became of it, as an error for people. */
AP_CHECKED enum apiary_code ap_outcome_answer(const struct ap_manifest *manifest, const struct ap_outcome *outcome, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_outcome_get(const struct ap_swarm *swarm, const char *id, struct ap_outcome *out, struct apiary_error *err);

#endif
