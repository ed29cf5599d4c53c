/* How a snapshot holds its memory (fold.h explains the sharing). */
#ifndef AP_LEDGER_SNAPSHOT_PRIVATE_H
#define AP_LEDGER_SNAPSHOT_PRIVATE_H

#include "ledger/snapshot.h"

/* Text of a table's state. */
struct ap_text {
    _Atomic int references;
    struct ap_arena arena;
};

/* An array that is shared. */
struct ap_block {
    _Atomic int references;
    _Alignas(16) char data[];
};

struct ap_memory {
    struct ap_text *text;
    struct ap_block *blocks[4]; /* cells, tombstones, txns, domains */
};

void ap_text_unref(struct ap_text *text);    /* NULL fine */
void ap_block_unref(struct ap_block *block); /* NULL fine */

#endif
