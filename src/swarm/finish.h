/* Bringing a query to its end, by whoever does it: the submitter, or a node when that one is gone. */
#ifndef AP_SWARM_FINISH_H
#define AP_SWARM_FINISH_H

#include "swarm/decide.h"

/* All tasks are done on the board: merges, or takes the first error, and decides. *winner stands.
 * codes: NOT_FOUND (collected), IO, UNCERTAIN, TIMEOUT, BUSY, CANCELLED (try again or leave it) */
AP_CHECKED enum apiary_code ap_finish_done(const struct ap_swarm *swarm, const struct ap_manifest *manifest,
    const struct ap_board *board, const struct ap_cancel *cancel, struct ap_end *winner, struct apiary_error *err);
/* The deadline has passed: decides that. */
AP_CHECKED enum apiary_code ap_finish_late(
    const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct ap_end *winner, struct apiary_error *err);
/* Is there a decision? Asks with one small GET. codes: those of ap_store_get but NOT_FOUND */
AP_CHECKED enum apiary_code ap_finish_ended(const struct ap_swarm *swarm, const char *id, bool *ended, struct apiary_error *err);
/* Takes the announcement away. What fails is done again by somebody. */
AP_CHECKED enum apiary_code ap_finish_unannounce(const struct ap_swarm *swarm, const char *id, struct apiary_error *err);

#endif
