/* The objects of a frame that something still names, by their keys. For this folder. */
#ifndef AP_LEDGER_HELD_H
#define AP_LEDGER_HELD_H

#include "core/map.h"
#include "ledger/ledger_private.h"

struct ap_held {
    struct ap_map keys;  /* whole keys of the store */
    struct ap_map names; /* last parts of absolute paths: whatever is called so stays */
};
void ap_held_done(struct ap_held *held);
bool ap_held_has(const struct ap_held *held, struct ap_str key);

/* Cells and deletion vectors of a snapshot. */
AP_CHECKED enum apiary_code ap_held_add_snapshot(struct ap_held *held,
    const struct ap_ledger *ledger, const struct ap_snapshot *snapshot, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_held_add_tombstones(struct ap_held *held,
    const struct ap_ledger *ledger, const struct ap_snapshot *snapshot, struct apiary_error *err);
/* All that the entries of versions (after, to] add or remove. AP_VERSION_NONE: from 0.
 * NOT_FOUND: one of them is not there any more. */
AP_CHECKED enum apiary_code ap_held_add_commits(struct ap_held *held, struct ap_ledger *ledger,
    uint64_t after, uint64_t to, struct apiary_error *err);

#endif
