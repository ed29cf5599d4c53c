/* Between the parts of the simulator: sim.c (time, nodes, env), sim_store.c (the store with its
 * faults), sim_seeds.c (running many seeds). */
#ifndef AP_TESTS_SIM_PRIVATE_H
#define AP_TESTS_SIM_PRIVATE_H

#include "sim/fiber.h"
#include "sim/sim.h"

enum { SIM_GHOST_CALLS_MAX = 1000000 };

enum task_state { TASK_READY, TASK_LOCK, TASK_CONDITION, TASK_JOIN, TASK_DONE };

/* A coroutine of a node; what its env calls a thread. */
struct ap_thread {
    struct ap_thread *next;    /* of all of the simulation */
    struct ap_thread *sibling; /* of its node; both newest first */
    struct sim_node *node;
    struct fiber *fiber;
    void (*run)(void *arg); /* NULL: the node's main task */
    void *arg;
    enum task_state state;
    struct ap_lock *lock;   /* LOCK, CONDITION: waited for */
    struct ap_thread *join; /* JOIN */
    uint64_t ticket;        /* of the event that may wake it; older ones are void */
    uint64_t queued;        /* order of waiting */
    void *local;            /* env's pointer of the task */
};

struct sim_store {
    struct ap_store store;
    struct sim_node *node;
};

struct sim_node {
    struct sim_node *next;
    struct sim *sim;
    int index;
    int boot;
    bool crashed;
    void (*run)(struct sim_node *node, void *arg);
    void *arg;
    int tasks; /* alive */
    struct ap_thread *threads; /* locks are a node's own: only these wait for them */
    struct ap_env env;
    struct sim_store store;
    uint64_t random;
    int64_t skew_us;
    int64_t ghost_us;
    int64_t paused_until_us; /* nothing of the node runs before */
    int64_t cut_off_until_us; /* each call is refused before */
    int64_t slow_us; /* extra time of each call */
    uint64_t ghost_calls;
};

struct sim_write; /* a write on its way, sim_store.c */

struct event {
    int64_t at_us;
    uint64_t order; /* random, so that what happens at one time happens in any order */
    uint64_t serial;
    struct ap_thread *task; /* to be woken, when the ticket is still its own; or */
    uint64_t ticket;
    struct sim_write *write; /* to be applied; or */
    struct sim_node *node;   /* to be started */
};

struct sim {
    uint64_t seed;
    uint64_t random;
    struct sim_faults faults;
    struct sim_tally tally;
    int64_t now_us;
    uint64_t steps;
    uint64_t serial;
    struct event *events; /* a heap */
    size_t event_count;
    size_t event_capacity;
    struct sim_node *nodes; /* newest first */
    int node_count;
    struct ap_thread *tasks;
    struct ap_thread *current; /* NULL: the main stack */
    struct ap_env bare_env;
    uint64_t bare_random;
    struct ap_store *bare;
    sim_witness *witness;
    void *witness_context;
    bool trace;
    bool ending;
    char blame[1024];
};

uint64_t sim_random(uint64_t *state);
bool sim_percent(struct sim *sim, int percent); /* never once the faults ended */
bool sim_per_mille(struct sim *sim, int per_mille);
/* 0 .. max, small ones as likely as large ones. */
int64_t sim_span(struct sim *sim, int64_t max_us);
bool sim_quiet(const struct sim *sim);
void sim_sleep(struct sim_node *node, int64_t us);
void sim_ghost_call(struct sim_node *node);
void sim_schedule_write(struct sim *sim, struct sim_write *write, int64_t after_us);
void sim_trace(struct sim_node *node, const char *what, const char *key, const char *outcome);

void sim_store_init(struct sim_node *node);
void sim_write_apply(struct sim *sim, struct sim_write *write); /* frees it */
void sim_write_drop(struct sim_write *write);

#endif
