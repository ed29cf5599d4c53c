/* Whether a store's put-if-not-exists holds. Some stores answer 200 to it and overwrite; on such a
 * one two writers would both believe that a commit is theirs. So before a root is shared for the
 * first time a short race is run, and its verdict is kept in the root: "_registry/proof.json". */
#ifndef AP_STORAGE_PROVE_H
#define AP_STORAGE_PROVE_H

#include "storage/store.h"

/* What a race showed. */
struct ap_proof {
    int racers, winners; /* exactly one winner is right */
    bool body_is_winners;
};

/* `racers` (2 to 64) put the same new key at once, each with bytes of its own, and one of them puts
 * it again when it is there; the object is removed. Writes below "_registry/proof/". codes: OK
 * (look at *out), what a put says */
AP_CHECKED enum apiary_code ap_store_race(
    struct ap_store *store, int racers, struct ap_proof *out, struct apiary_error *err);

/* OK when the root may be shared by writers: known by the verdict, or proved now. Stores of this
 * machine need no proof. Asks a store only once while it is open.
 * codes: UNSUPPORTED (it does not hold; nothing was changed but the verdict), IO, DENIED, UNCERTAIN
 */
AP_CHECKED enum apiary_code ap_store_prove(struct ap_store *store, struct apiary_error *err);

#endif
