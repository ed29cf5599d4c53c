/* Reading the portable form of roaring bitmaps of 64-bit numbers (RoaringFormatSpec; delta.md 6.3).
 */
#ifndef AP_LEDGER_ROARING_H
#define AP_LEDGER_ROARING_H

#include "core/str.h"

/* Numbers of the bitmap in ascending order, with ap_realloc. limit: more is LIMIT, before memory is
 * taken. CORRUPT for anything out of form, bytes left over included. */
AP_CHECKED enum apiary_code ap_roaring_read(struct ap_str bytes, uint64_t limit, uint64_t **numbers,
    size_t *count, struct apiary_error *err);

#endif
