/* Read-ahead: what the engine read of one row group it will want of the next.
 *
 * A scan is a list of cells that the engine reads in order. For each column that was read, the
 * chunks of the row groups behind (in following cells too, as their footers are known) are asked
 * for before the engine comes to them. How many bytes may be asked for and not yet read grows with
 * what proved right; a column of which the engine leaves row groups out is not read ahead of any
 * more. Columns of one row group are asked for together, and what lies between them is moved along
 * where that is little: up to the setting read_gap, or a fortieth of all that is asked for. Not thread-safe: its owner's lock is held. */
#ifndef AP_CELLS_AHEAD_H
#define AP_CELLS_AHEAD_H

#include "cells/cache.h"

struct ap_ahead; /* of one scan */

/* words: borrowed, that may name columns. gap_bytes: chunks that lie so far apart at most are one request,
 * whatever was asked before; above 8 MiB, a request's most, it saves none. The first window grows with it. */
AP_CHECKED enum apiary_code ap_ahead_new(const struct ap_texts *words, uint64_t gap_bytes,
    struct ap_ahead **out, struct apiary_error *err);
void ap_ahead_free(struct ap_ahead *ahead); /* NULL is fine */
/* The next cell of the scan, borrowed, and its index in it. */
AP_CHECKED enum apiary_code ap_ahead_add(struct ap_ahead *ahead, struct ap_paged *paged,
    size_t *index, struct apiary_error *err);
/* The engine waits for bytes of cell `index`, which nobody has asked for yet. Asks for them together with
 * other columns of their row group: those that were read of others, and those whose names the
 * statement's text holds. The caller asks for the bytes all the same. */
void ap_ahead_need(struct ap_ahead *ahead, struct ap_account *account, size_t index,
    uint64_t offset, uint64_t length, int threads);
/* The engine reads bytes of cell `index`. threads: that read at one time. Asks for what comes
 * next. */
void ap_ahead_read(struct ap_ahead *ahead, struct ap_account *account, size_t index,
    uint64_t offset, uint64_t length, int threads);

#endif
