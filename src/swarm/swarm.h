/* What a process brings to the protocols of queries: its place in the world, and a port that does
 * the work. The port's functions may be called from several threads at once. */
#ifndef AP_SWARM_SWARM_H
#define AP_SWARM_SWARM_H

#include "core/log.h"
#include "swarm/manifest.h"

/* Whoever announces a query rings: puts something new there. */
#define AP_SWARM_BELL "bell"
#define AP_SWARM_BELL_KEY "_swarm/" AP_SWARM_BELL

/* What a task left: bytes of a partial (a query that reads: Arrow IPC; one that writes: the cells
 * that it made, as text). */
struct ap_partial {
    size_t task;
    struct ap_str bytes;
};

struct ap_task_port {
    void *context;
    /* Does this program have what the manifest names? */
    bool (*can)(void *context, const struct ap_manifest *manifest);
    /* Runs one task. alone: nothing else runs on this node meanwhile. Codes that another node would
     * not change (SQL, SCHEMA, UNSUPPORTED, NOT_FOUND, INVALID, EXISTS) end the query; all others are
     * tried elsewhere; MEMORY and CHAMBER count as deaths. */
    enum apiary_code (*run)(void *context, const struct ap_manifest *manifest, size_t task, bool alone,
        const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err);
    /* All tasks are done, one partial each, in order. A query that reads: its answer; *again: there is
     * none to keep, whoever wants it merges again. One that writes: what is to be committed. */
    enum apiary_code (*merge)(void *context, const struct ap_manifest *manifest, const struct ap_partial *partials, size_t count,
        const struct ap_cancel *cancel, bool *again, struct ap_bytes *out, struct apiary_error *err);
    /* Commits `content` of the query under its transaction id. OK: committed, by this call or before
     * (*version, or -1 where it is not known); IO, UNCERTAIN, TIMEOUT, BUSY: not known, try again; any
     * other code: it can never be committed, as the log stands. */
    enum apiary_code (*commit)(void *context, const struct ap_manifest *manifest, struct ap_str content, int64_t *version,
        struct apiary_error *err);
};

struct ap_swarm {
    struct ap_env *env;
    struct ap_store *store;
    struct ap_log *log;
    struct ap_str secret;      /* that the swarm shares, borrowed; empty: objects are not signed */
    struct ap_node_id boot;    /* names this process, also where it does not beat */
    struct ap_task_port port;
    int64_t heartbeat_us;      /* busy interval; all waits are multiples of it */
    bool listens;              /* who waits hears of results (ap_store_listen): worth it for a process that stays */
    bool fleeting;             /* what is written of a query need not outlive the machine: its manifest says so */
};

/* Nothing is done for a query that is over by the store's clock. */
static inline bool ap_query_over(const struct ap_manifest *manifest, int64_t store_now_us)
{
    return store_now_us > manifest->deadline_us + AP_QUERY_GRACE_US;
}

#endif
