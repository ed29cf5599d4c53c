/* Settling a slot: the one way in which the program uses put-if-not-exists.
 *
 * A slot is a key that is written once. The body carries an id of the transaction
 * and is the same at every attempt, so that a lost reply is settled by reading the
 * slot back (swarm.md, section 1). An occupied slot never changes.
 *
 * Invariants
 *  (1) The caller is told MINE only if the slot holds exactly its bytes (or its id).
 *  (2) The caller is told THEIRS only after the other body was read whole.
 *  (3) While UNCERTAIN the same slot gets the same bytes; never the next slot.
 *  (4) A bucket is written to only when its put-if-not-exists was proved (prove.h). */
#ifndef AP_STORAGE_SLOT_H
#define AP_STORAGE_SLOT_H

#include "storage/store.h"

enum ap_slot_outcome { AP_SLOT_MINE, AP_SLOT_THEIRS };

struct ap_slot_options {
    int64_t deadline_mono_us; /* INT64_MAX: none; after it UNCERTAIN or IO is returned */
    const struct ap_cancel *cancel;
    uint64_t body_max; /* bound of a body that is read back */
    bool fleeting;     /* the slot need not outlive the machine (ap_store_put_fleeting) */
};

/* Puts `body` into the slot `key` and settles what happened.
 * OK: *outcome is MINE, or THEIRS with the winner's bytes in *theirs (may be NULL).
 * codes: UNSUPPORTED (the store keeps no conditions),
 *        UNCERTAIN (deadline or cancel while a put may have landed; message names the key),
 *        IO (nothing landed for sure), CANCELLED (nothing landed), DENIED, FULL, INVALID */
AP_CHECKED enum apiary_code ap_slot_settle(struct ap_store *store, const char *key,
    struct ap_str body, const struct ap_slot_options *options, enum ap_slot_outcome *outcome,
    struct ap_bytes *theirs, struct apiary_error *err);

#endif
