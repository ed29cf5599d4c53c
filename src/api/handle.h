/* What is behind the opaque handles of apiary.h; private to this room. */
#ifndef AP_API_HANDLE_H
#define AP_API_HANDLE_H

#include "core/machine.h"
#include "query/query.h"
#include "query/plan.h"
#include "swarm/worker.h"

struct ap_care;
struct apiary {
    struct ap_env *env;
    struct ap_log log;
    struct ap_config config;
    struct ap_machine machine;
    struct ap_pool_options pool_options;
    char *scratch_dir;
    char *slots_dirs[2];
    char *cache_dir;
    struct ap_node_id boot; /* names this node; a new one for each time it joins */
    struct ap_bytes secret; /* of the swarm; empty: there is none */
    struct ap_lock *node_lock; /* guards what stands behind it */
    struct ap_node *node;      /* NULL: not in the swarm */
    struct ap_worker *worker;  /* the same */
    struct ap_care *care;      /* its maintenance; NULL: none */
    char node_name[64];        /* "" */
    struct ap_spread_nodes spread_nodes; /* who was there at spread_seen_us (monotonic; 0: never asked) */
    int64_t spread_seen_us;
    struct ap_spread_port spread;
    struct ap_world world;
};

struct apiary_session {
    struct apiary *handle;
    struct ap_session *session;
};

struct apiary_result {
    struct ap_result *result;
};

/* Reads the swarm's secret (secret.c). codes: CONFIG */
AP_CHECKED enum apiary_code ap_secret_open(struct apiary *handle, struct apiary_error *err);
void ap_secret_close(struct apiary *handle);

/* Drains, and leaves the swarm; fine when this handle is not in it. */
enum apiary_code ap_leave_swarm(struct apiary *handle, struct apiary_error *err);

/* Documents of apiary_status (node.c, cache.c). */
AP_CHECKED enum apiary_code ap_cache_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_swarm_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_colony_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);

/* Documents of apiary_status (store.c). */
AP_CHECKED enum apiary_code ap_whoami_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_storage_members(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_storage_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err);

#endif
