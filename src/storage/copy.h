/* A whole root from one store to another, for `apiary cp` and `apiary push`.
 *
 * The copy is a root of its own with every version that the source had when the copy began. Writers
 * may go on meanwhile. Nothing at the target is a version before all that it names is there:
 *
 *   1. the source is listed twice; versions (of ledgers and of the registry) that the first list
 * does not have are not copied, so all that the others name is in the second
 *   2. cells and everything else; then checkpoints; then ledger versions, in their order; then the
 *      registry, the hives last; hints at the very end
 *   3. the target is listed, and every size compared
 *
 * What is at the target already is left: a copy that was cut short goes on where it was. Small
 * objects are compared byte by byte, others by size (a cell's name is never used twice). A version
 * that is there with other bytes, or that only the target has, is another history: refused before
 * anything is written. The swarm's own objects (_swarm, _queries) stay behind. */
#ifndef AP_STORAGE_COPY_H
#define AP_STORAGE_COPY_H

#include "storage/store.h"

struct ap_copy_figures {
    uint64_t objects, objects_done, objects_there; /* there: found at the target */
    uint64_t bytes, bytes_done;                    /* to be moved, moved */
};
struct ap_copy_options {
    int parallel; /* 0: a usual number */
    void (*progress)(
        void *context, const struct ap_copy_figures *); /* NULL: none; one thread at a time */
    void *context;
    const struct ap_cancel *cancel;
};

/* codes: CONFLICT (another history at the target; nothing was written), INVALID (the same root),
 * what the stores say: the copy can be run again and goes on */
AP_CHECKED enum apiary_code ap_store_copy(struct ap_store *from, struct ap_store *to,
    const struct ap_copy_options *options, struct ap_copy_figures *figures,
    struct apiary_error *err);

#endif
