/* A node's working life: it watches the world, takes the tasks that are its own, takes over those of
 * nodes that died, failed or lag, publishes results, and brings queries to their end when whoever
 * submitted them is gone.
 *
 * One thread watches; as many as there are bees work. The watcher asks the store and decides, and
 * never runs anything long; the others run tasks, publish, merge and commit.
 *
 *   announced ──watcher: manifest──► own tasks ready ──runner──► outbox ──runner──► r/…
 *                   │                      ▲
 *                   └─ board: whose holder is dead, failed, late, idle ── claim ─┘ */
#ifndef AP_SWARM_WORKER_H
#define AP_SWARM_WORKER_H

#include "swarm/beat.h"
#include "swarm/swarm.h"

enum { AP_WORKER_SLOTS_MAX = 256, AP_WORKER_QUERIES_MAX = 1024 };

struct ap_worker_options {
    struct ap_swarm swarm;    /* copied; its store and log are borrowed */
    struct ap_node *node;     /* beats, under swarm.boot; borrowed, stopped after the worker */
    int slots;                /* tasks at a time */
    uint64_t memory_per_bee_mb;
};

struct ap_worker;
AP_CHECKED enum apiary_code ap_worker_new(const struct ap_worker_options *options, struct ap_worker **out, struct apiary_error *err);
/* The beat's port (struct ap_node_port.tasks) of a worker that may still be NULL. */
enum apiary_code ap_worker_tasks(struct ap_worker *worker, struct ap_bytes *out, struct apiary_error *err);
/* Gives it the node and starts the threads. */
AP_CHECKED enum apiary_code ap_worker_start(struct ap_worker *worker, struct ap_node *node, struct apiary_error *err);
/* Drains: what runs is finished and published, what waits is left to others. Joins the threads. */
void ap_worker_stop(struct ap_worker *worker);
void ap_worker_free(struct ap_worker *worker);
/* Wakes the watcher: a query was just announced by this process. */
void ap_worker_nudge(struct ap_worker *worker);

struct ap_worker_figures {
    uint64_t done, failed, taken_over, abandoned, merged; /* since it started */
    size_t queries, waiting, running;
};
void ap_worker_figures(struct ap_worker *worker, struct ap_worker_figures *out);

#endif
