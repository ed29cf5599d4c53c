/* Rows of the caller that may have to be read twice. An Arrow stream is read once; of a small one the
 * arrays are kept, by reference, so that a statement over it can run again. */
#ifndef AP_QUERY_REREAD_H
#define AP_QUERY_REREAD_H

#include "core/env.h"
#include "core/str.h"

enum { AP_REREAD_BYTES_MAX = 1 << 20, AP_REREAD_ARRAYS_MAX = 256 }; /* of a small stream */

struct ap_reread {
    struct ArrowArrayStream stream; /* the caller's */
    struct ArrowSchema schema;
    struct ArrowArray *arrays; /* the first of the stream, not released yet */
    size_t count, capacity;
    int64_t row_count; /* in them */
    bool whole;        /* there are no others */
    int failed;        /* errno: what get_next said behind them, in place of the end */
    struct ap_bytes why;
    size_t next; /* to be given out to the reader */
};
void ap_reread_done(struct ap_reread *reread);

/* Moves `stream` in, and pulls arrays until it ends (or fails, which is kept too: `whole`) or turns out
 * to be no small one. What is wrong with it is left to whoever reads it.
 * codes: INVALID (a stream that was released), MEMORY, CANCELLED */
AP_CHECKED enum apiary_code ap_reread_take(struct ap_reread *reread, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, struct apiary_error *err);

/* A stream of all rows, from the first: as often as wanted if `whole` (one after the other), else once.
 * It borrows `reread`, and so do the arrays that it gives out. */
void ap_reread_open(struct ap_reread *reread, struct ArrowArrayStream *out);

#endif
