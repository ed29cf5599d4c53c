/* The manifest of a query: what is to be done, cut into tasks, fixed for good before anybody hears of
 * it. Who runs a task takes everything from here: no clock, no setting, no version of its own.
 *
 * `plan` and the tasks' `body` are the query room's text (fragments, merge, versions of frames, cells,
 * settings, the moment and the seed); this room carries them. Untrusted when read: sizes, counts and
 * names are checked here, their meaning by whoever runs them, in a sealed chamber. */
#ifndef AP_SWARM_MANIFEST_H
#define AP_SWARM_MANIFEST_H

#include "core/arena.h"
#include "core/id.h"
#include "storage/store.h"
#include "swarm/query_key.h"

enum {
    AP_MANIFEST_BYTES_MAX = 64 << 20,
    AP_MANIFEST_TRIES_MAX = 10,
    AP_MANIFEST_NEEDS_MAX = 16
};
#define AP_MANIFEST_LIFE_US (INT64_C(7) * 86400 * 1000000)
/* Nothing is done for a query that is past its deadline by more than this. */
#define AP_QUERY_GRACE_US (INT64_C(600) * 1000000)

struct ap_manifest_task {
    struct ap_node_id node; /* attempt 0; text "" is nobody */
    uint64_t memory_mb;     /* what a bee needs to hold it; 0: any */
    uint64_t bytes;         /* of its cells, for balance */
    struct ap_str body;
};
struct ap_manifest {
    struct ap_query_id id;
    bool writes;
    bool fleeting; /* it reads, for one who waits: none of its objects need outlive the machine that the store lies on */
    struct ap_node_id submitter;
    int64_t created_us, deadline_us; /* the store's clock */
    int64_t task_timeout_us;         /* from assignment or claim; then others may take it over */
    int tries;                       /* failures and deaths of one task before it is given up */
    struct ap_str needs[AP_MANIFEST_NEEDS_MAX]; /* words; a node that lacks one takes no task */
    size_t need_count;
    struct ap_str plan;
    struct ap_manifest_task *tasks;
    size_t task_count;
    struct ap_arena arena; /* of a manifest that was read; the strings of one to be written are borrowed */
};
void ap_manifest_done(struct ap_manifest *manifest);

/* The object's text, envelope and all. codes: LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_manifest_write(const struct ap_manifest *manifest, struct ap_str secret, struct ap_bytes *out, struct apiary_error *err);
/* Of the object under `id`. codes: CORRUPT, UNSUPPORTED, LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_manifest_read(const char *id, struct ap_str secret, struct ap_str text, struct ap_manifest *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_manifest_get(struct ap_store *store, struct ap_str secret, const char *id, struct ap_manifest *out, struct apiary_error *err);

#endif
