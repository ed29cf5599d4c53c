/* What a node does for its frames while nobody wants anything: the cache of remote cells is brought
 * back under its limit, small cells are put together, long ledgers get a checkpoint.
 *
 * One thread wakes at an interval. While the colony is cold it goes through the frames of the store, of
 * those that are this node's to tend, and stops at once when a statement has to wait for a bee: the
 * bin at work is given up, which costs its work and nothing else. What two nodes do to one frame at
 * the same time is right too (compact.h); the port only saves the double work. */
#ifndef AP_QUERY_MAINTENANCE_H
#define AP_QUERY_MAINTENANCE_H

#include "query/query.h"

struct ap_maintenance_port {
    void *context;
    bool (*quiet)(void *context);                     /* may anything be done now? */
    bool (*mine)(void *context, const char *frame_id); /* does this node tend the frame? */
};
struct ap_maintenance_options {
    struct ap_world *world;
    int64_t interval_us;
    size_t cells_min;              /* of a partition, so that it is worth a commit */
    uint64_t checkpoint_versions;  /* a ledger with so many behind its checkpoint gets one */
    struct ap_maintenance_port port;
};
struct ap_maintenance_counts {
    uint64_t rounds, frames, compactions, checkpoints, trims, given_up;
};

struct ap_maintenance;
AP_CHECKED enum apiary_code ap_maintenance_start(const struct ap_maintenance_options *options,
    struct ap_maintenance **out, struct apiary_error *err);
/* Gives up what is being done and ends the thread. NULL is fine. */
void ap_maintenance_stop(struct ap_maintenance *maintenance);
struct ap_maintenance_counts ap_maintenance_counts(struct ap_maintenance *maintenance);

#endif
