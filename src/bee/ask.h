/* The ask channel: what the chamber wants to know of the node (open, stat, list,
 * rename, unlink, range). One question in flight; any engine thread may ask. */
#ifndef AP_BEE_ASK_H
#define AP_BEE_ASK_H

#include "core/wire.h"

struct bee_answer {
    int fd; /* owned by the caller; -1: none */
    uint64_t values[AP_WIRE_VALUES];
    struct ap_bytes body;
};
void bee_answer_done(struct bee_answer *answer); /* closes fd */

/* Sends one question and waits for its answer.
 *
 * body   a path, or old NUL new for RENAME
 * return 0 and *out filled; otherwise the errno to report (EIO when the channel
 *        is broken), *out untouched
 * Thread-safe: questions queue on a mutex. */
int bee_ask(enum ap_wire_kind kind, struct ap_str body, const uint64_t values[AP_WIRE_VALUES],
    struct bee_answer *out);

#endif
