/* A node's heartbeat: one object under _swarm/nodes/, overwritten at every interval.
 *
 *   _swarm/nodes/{node}.{boot}.{caps}.json
 *
 * node  the label that people gave it: [A-Za-z0-9_=-], at most 64 bytes, anything else is '-'
 * boot  32 hex digits, new at each start: a node is its boot, the label is for people
 * caps  "b4m2048h5000v1": bees, MiB per bee, declared interval in ms, protocol version
 *
 * The name carries what others need, so that one LIST shows the world; the body has the figures
 * for whoever asks. A beat that fails is logged and tried again at the next interval.
 *
 * A node that has nothing to do declares a longer interval, and a shorter one before it works
 * again: the name changes, the old object is removed once the new one is there. Whoever sees two
 * names of one boot believes the one that gives it more time. A node whose beats were not
 * acknowledged for FENCE_INTERVALS takes no work: others may hold it for dead by now. */
#ifndef AP_SWARM_BEAT_H
#define AP_SWARM_BEAT_H

#include "core/id.h"
#include "core/log.h"
#include "storage/store.h"

#define AP_SWARM_NODES "_swarm/nodes/"
enum { AP_SWARM_PROTOCOL = 1, AP_NODE_LABEL_MAX = 64, AP_NODE_KEY_MAX = 256 };

struct ap_caps {
    uint32_t bees;
    uint64_t memory_per_bee_mb;
    int64_t interval_ms;
    uint32_t protocol;
};

/* What a key says. */
struct ap_node_key {
    char label[AP_NODE_LABEL_MAX + 1];
    struct ap_node_id boot;
    struct ap_caps caps;
};
void ap_node_key_format(const struct ap_node_key *key, char out[AP_NODE_KEY_MAX]);
/* false: the name is not one of ours (it is passed over, another version may have written it). */
bool ap_node_key_parse(struct ap_str text, struct ap_node_key *out);
/* A label of whatever a user calls a node; never empty. */
void ap_node_label(const char *name, char out[AP_NODE_LABEL_MAX + 1]);

/* Figures of the moment, asked for at every beat from the beating thread. */
struct ap_node_figures {
    int bees, bees_idle;
    uint64_t memory_bytes, memory_bytes_used; /* of all bees together */
    double temperature;                       /* 0..1 */
};
struct ap_node_port {
    void *context;
    void (*figures)(void *context, struct ap_node_figures *out);
    /* Appends a JSON array of what the node runs or has done and not yet published,
     * "{query}/{task}" each. May be NULL. */
    enum apiary_code (*tasks)(void *tasks_context, struct ap_bytes *out, struct apiary_error *err);
    void *tasks_context;
};

struct ap_node_options {
    const char *name;      /* as the user gave it; copied */
    struct ap_node_id boot;
    struct ap_caps caps;   /* interval_ms is the heartbeat */
    struct ap_store *store; /* borrowed, outlives the node */
    struct ap_log *log;
    struct ap_node_port port;
};

/* Writes the first beat, then beats from a thread of its own. When it returns OK the object is
 * there. codes: those of ap_store_put, MEMORY */
struct ap_node;
AP_CHECKED enum apiary_code ap_node_start(
    struct ap_env *env, const struct ap_node_options *options, struct ap_node **out, struct apiary_error *err);
/* Declares another interval; the next beat, which is made at once when this one is shorter, says so. */
void ap_node_pace(struct ap_node *node, int64_t interval_ms);
/* True while work may be started or claimed: the beats are acknowledged, at the declared interval
 * or a shorter one than was asked for. */
bool ap_node_may_work(struct ap_node *node);
/* Removes an object of this boot that is not the current one (a late write brought it back). */
void ap_node_disown(struct ap_node *node, const char *object);
/* Ends the thread and removes the object. The node is gone whatever the code: an object that could
 * not be removed ages out. NULL is fine. */
enum apiary_code ap_node_stop(struct ap_node *node, struct apiary_error *err);

#endif
