/* The submitter's side: announcing a query, waiting for it, fetching its answer, cancelling it. None
 * of it needs a heartbeat; all of it can be done by another process later, by the query's id. */
#ifndef AP_SWARM_SUBMIT_H
#define AP_SWARM_SUBMIT_H

#include "swarm/finish.h"
#include "swarm/view.h"

/* Assigns each task that names no node: by rendezvous hashing of its body, so that the same cells go to the same node while it
 * lives, the largest tasks first, to nobody much more than its bees' share of the bytes. codes: MEMORY */
AP_CHECKED enum apiary_code ap_submit_assign(const struct ap_view *view, struct ap_manifest *manifest, struct apiary_error *err);

/* Writes the manifest, then the announcement, then rings. After OK the query goes on whatever becomes
 * of this process. codes: LIMIT, IO, UNCERTAIN, DENIED, FULL, MEMORY */
AP_CHECKED enum apiary_code ap_submit(const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct apiary_error *err);

/* Waits for the end, merging and deciding when all tasks are done. `end` is what stands, and for one
 * that writes *outcome too. cancel: the wish to stop cancels the query; what stands then may still be
 * done or commit. codes: NOT_FOUND (collected), TIMEOUT (past deadline and grace), IO */
AP_CHECKED enum apiary_code ap_submit_wait(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel,
    struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err);

/* The same for one who only looks on: a wish to stop ends the wait (CANCELLED) and not the query. */
AP_CHECKED enum apiary_code ap_submit_attach(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel,
    struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err);

/* The answer of an ended query that reads: kept content, or merged again from the results. The error
 * of one that failed comes out as it is. INVALID: not ended, or one that writes. */
AP_CHECKED enum apiary_code ap_submit_answer(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end,
    const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err);

/* Decides "cancelled" unless it is decided: *winner stands. */
AP_CHECKED enum apiary_code ap_submit_cancel(const struct ap_swarm *swarm, const char *id, struct ap_end *winner, struct apiary_error *err);

#endif
