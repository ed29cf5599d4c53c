/* Claims and failure reports: who holds a task, and what became of those who held it.
 *
 * Claim k says who took over from the holder of k - 1 and why; claim 0 is the assignment in the
 * manifest. They are hints that save work: what counts is the result. */
#ifndef AP_SWARM_CLAIM_H
#define AP_SWARM_CLAIM_H

#include "swarm/swarm.h"

enum ap_claim_reason {
    AP_CLAIM_DEAD,   /* the holder is dead; counts as a failure of the task */
    AP_CLAIM_FAILED, /* it reported a failure */
    AP_CLAIM_LATE,   /* the task's time is over */
    AP_CLAIM_STEAL,  /* the holder has not begun it */
    AP_CLAIM_SLOW    /* the holder is much slower than the rest; at most once for a task */
};

struct ap_claim {
    struct ap_node_id boot;
    enum ap_claim_reason reason;
};
/* *mine: false when another one has this number; *standing is who holds it in either case. */
AP_CHECKED enum apiary_code ap_claim_put(const struct ap_swarm *swarm, const char *id, size_t task, int number,
    enum ap_claim_reason reason, bool *mine, struct ap_claim *standing, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_claim_get(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, struct ap_claim *out, struct apiary_error *err);

struct ap_failure {
    struct ap_node_id boot;
    enum apiary_code code;
    bool death; /* of a chamber, or for want of memory */
    char message[256];
};
AP_CHECKED enum apiary_code ap_failure_put(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, const struct apiary_error *why, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_failure_get(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, struct ap_failure *out, struct apiary_error *err);

#endif
