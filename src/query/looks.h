/* Looks at what a statement is likely to need, sent together: the hives and frames that it names. */
#ifndef AP_QUERY_LOOKS_H
#define AP_QUERY_LOOKS_H

#include "query/query.h"

struct ap_looked_frame {
    struct ap_ledger_look look;
    struct ap_store *store; /* the root's, or that of a frame with a LOCATION elsewhere */
};
/* What was looked at after since_us (monotonic) is not asked for again. Errors are not told here: who needs what was asked for asks again (ap_catalog_refresh_since,
 * ap_ledger_snapshot_since), which costs nothing where the answer came. */
struct ap_looks {
    struct ap_world *world;
    int64_t since_us;
    struct ap_catalog_look *hives;
    size_t hive_count, hive_capacity;
    struct ap_looked_frame *frames;
    size_t frame_count, frame_capacity;
};
void ap_looks_begin(struct ap_looks *looks, struct ap_world *world, int64_t since_us);
/* The name's hive and, where it is known as a frame, the frame. */
void ap_looks_add(struct ap_looks *looks, const struct ap_name3 *name);
/* Sends what was added, all at once (each store but the root's in a thread of its own), and takes the answers in. */
void ap_looks_end(struct ap_looks *looks);
void ap_looks_done(struct ap_looks *looks);

#endif
