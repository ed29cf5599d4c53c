/* The stable keeps one engine instance opened ahead and closes used ones, in a
 * thread of its own: opening takes some 10 ms and closing up to 20, and no
 * statement should wait for either. */
#ifndef AP_BEE_STABLE_H
#define AP_BEE_STABLE_H

#include "bee/instance.h"

struct bee_stable;

/* Starts with one spare opened (so that READY means ready).
 * scratch: borrowed for the life of the process. */
AP_CHECKED enum apiary_code bee_stable_start(struct bee_stable **out, const char *scratch,
    uint64_t spill_bytes, const struct bee_measures *first, struct apiary_error *err);
/* An instance of the given measures, not locked; the spare when there is one. */
AP_CHECKED enum apiary_code bee_stable_take(struct bee_stable *stable,
    const struct bee_measures *work, struct bee_instance **out, struct apiary_error *err);
/* Has the next spare opened in the background, with the measures of the last take.
 * Called when the processor is free: at the end of a statement, not at its start. */
void bee_stable_refill(struct bee_stable *stable);
/* Has it closed in the background. NULL does nothing. */
void bee_stable_retire(struct bee_stable *stable, struct bee_instance *instance);

#endif
