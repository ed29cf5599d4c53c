/* Between worker.c (life, runners), worker_watch.c (the world, announcements, pace) and worker_tend.c
 * (one query's board: claims, ends). */
#ifndef AP_SWARM_WORKER_PRIVATE_H
#define AP_SWARM_WORKER_PRIVATE_H

#include "core/map.h"
#include "swarm/claim.h"
#include "swarm/finish.h"
#include "swarm/result.h"
#include "swarm/view.h"
#include "swarm/worker.h"

enum task_stage { STAGE_NONE, STAGE_READY, STAGE_RUNNING, STAGE_OUTBOX, STAGE_FAILED };

enum { WORK_LATE_MAX = 4 };
/* What went wrong with a task. */
struct work_trouble {
    uint8_t late_count;
    struct ap_node_id late[WORK_LATE_MAX]; /* boots that failed it: they come last */
    struct ap_bytes history;               /* for people */
};

/* A task as this node knows it. The watcher's, but stage and attempt, which the lock guards. */
struct work_task {
    enum task_stage stage; /* here; STAGE_FAILED: at `attempt`, reported or being reported */
    uint8_t attempt;
    bool alone;
    /* from the board */
    bool done;
    uint8_t claims;          /* read so far */
    uint32_t failures;       /* read so far, as on the board */
    struct ap_node_id holder;
    uint8_t failed, deaths, killed; /* reports; holders found dead; reports of dead chambers */
    bool slow_claimed;
    int64_t open_since_us;   /* monotonic: since when it could be taken over; 0: it cannot */
    struct work_trouble *trouble; /* NULL: nothing went wrong, as with most of 100,000 tasks */
};

struct work_failure {
    size_t task;
    int attempt;
    struct apiary_error why;
};

/* A query under work. Freed when it is ended and nothing of it runs. */
struct work_query {
    struct ap_manifest manifest;
    struct ap_cancel cancel;
    struct work_task *tasks;
    size_t ready, running; /* of this node */
    struct ap_result_entry *outbox;
    size_t outbox_count, outbox_capacity, outbox_bytes;
    int64_t outbox_since_us, outbox_retry_us;
    struct work_failure *failures;
    size_t failure_count, failure_capacity;
    bool ended;      /* decided: nothing is started or published any more */
    bool finish;     /* a runner is to merge or to commit */
    int finish_try;
    int64_t finish_retry_us;
    bool finishing;  /* one does */
    bool gone;       /* over or collected: it is dropped */
    bool can;
    int publishing;
    /* the watcher's */
    int64_t next_look_us, all_done_since_us, ended_since_us, late_since_us;
    bool settled; /* ended, and for one that writes the outcome stands: only its announcement is left */
};

struct ap_worker {
    struct ap_swarm swarm;
    struct ap_node *node;
    int slots;
    uint64_t memory_per_bee_mb;
    struct ap_watch *watch;
    struct ap_view view;       /* the watcher's */
    bool alone;                /* the watcher's: nobody else is in the view */
    struct ap_map ended;       /* the watcher's: queries that need nothing more */
    int64_t next_view_us, next_bell_us, next_garbage_us, active_us, next_sweep_us;
    int64_t idle_since_us;     /* monotonic; 0: there is work here */
    int64_t interval_us;       /* pace in force */
    uint64_t bell;             /* hash of what hung there last */
    struct ap_thread *watcher, *runners[AP_WORKER_SLOTS_MAX];
    int runner_count;
    struct {
        struct ap_ear heard;
        int stop_fd; /* −1: none */
        struct ap_thread *thread;
    } ear;
    struct {
        struct ap_lock *lock;
        bool stopping, nudged, rung;
        struct work_query **queries;
        size_t count, capacity;
        int running;
        bool alone; /* a task runs that wants to be the only one */
        struct ap_worker_figures figures;
    } shared;
};

/* The task's error becomes its result, which ends the query. */
AP_CHECKED enum apiary_code ap_worker_publish_error_locked(
    struct ap_worker *worker, struct work_query *query, size_t task, const struct apiary_error *why);
void ap_worker_query_free(struct work_query *query);
/* Frees what is gone and of which nothing runs any more. Only the watcher does, which looks at queries
 * without the lock. */
void ap_worker_drop_gone(struct ap_worker *worker);
void ap_worker_watch(void *worker); /* the watcher's thread */
/* worker_ear.c: wakes the watcher when the bell is rung on this machine, where the store lets it be heard. */
void ap_worker_ear_open(struct ap_worker *worker);
void ap_worker_ear_close(struct ap_worker *worker);
/* Looks at one query's board and does what follows from it. */
void ap_worker_tend(struct ap_worker *worker, struct work_query *query);
/* A multiple of the busy heartbeat, in its hundredths: times(worker, 40) is 2 s at 5 s. */
static inline int64_t ap_worker_times(const struct ap_worker *worker, int hundredths)
{
    return worker->swarm.heartbeat_us / 100 * hundredths;
}

#endif
