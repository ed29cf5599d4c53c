/* Arrow arrays of any layout, copied into plain ones that the IPC writer can write: no
 * dictionaries, no views, no offsets. Dictionaries become their values, string and binary
 * views become strings and binaries, list views become lists; large types stay large.
 * Refused by name: run ends, dense unions. Not thread-safe. */
#ifndef AP_RUNTIME_PLAIN_H
#define AP_RUNTIME_PLAIN_H

#include "core/str.h"

struct ArrowArrayView;

enum { AP_PLAIN_DEPTH_MAX = 64 };

/* The schema of the plain arrays. UNSUPPORTED or INVALID with the column's name. */
AP_CHECKED enum apiary_code ap_plain_schema(
    const struct ArrowSchema *source, struct ArrowSchema *out, struct apiary_error *err);
/* Appends the items [start, start + count) of `source` to `target`, which nanoarrow made for
 * the plain schema (ArrowArrayInitFromSchema, ArrowArrayStartAppending). A failure leaves
 * the target to be thrown away. */
AP_CHECKED enum apiary_code ap_plain_append(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct apiary_error *err);
/* Whether the items of a column may be lent: they lie as the plain array has them (numbers, dates,
 * decimals, strings, binaries; no dictionary, no view, nothing nested). */
bool ap_plain_lendable(const struct ArrowArrayView *source);
/* Bytes of the items [start, start + count) of a column that is lendable. */
uint64_t ap_plain_lent_bytes(const struct ArrowArrayView *source, int64_t start, int64_t count);
/* Shows items of a lendable column in `view` (of the plain schema) without copying their bulk:
 * `view` points into the source and into `room`, an empty plain array that takes the bits that say
 * which are valid, and offsets that do not begin at 0. Both have to outlive the view. */
AP_CHECKED enum apiary_code ap_plain_lend(struct ArrowArray *room,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct ArrowArrayView *view,
    struct apiary_error *err);
/* Bytes in the target's buffers. */
uint64_t ap_plain_bytes(struct ArrowArray *target);

#endif
