/* The watcher: the world, the bell, announcements, the node's pace, and whose turn it is to clear up. */
#include "swarm/garbage.h"
#include "swarm/place.h"
#include "swarm/worker_private.h"

#include "core/alloc.h"

enum {
    BELL_BUSY = 20,     /* hundredths of a heartbeat between looks at the bell */
    BELL_IDLE = 40,
    BELL_LEAST = 2,     /* where the store answers at once */
    BELL_LOOKS = 50,    /* as many times what a look takes */
    BELL_SOME = 10,     /* after IDLE_SOME, where the store answers at once */
    IDLE_SOME = 1200,   /* idle for so long: a beat every 3 intervals */
    IDLE_LONG = 12000,  /* a beat every 12 */
    PACE_SOME = 3,
    PACE_LONG = 12,
    GARBAGE = 12000,
    SWEEP = 12000,
    FRESH = 300,        /* an announcement younger than this needs no look at its board first */
    ENDED_KEPT_MAX = 4096,
    BELL_BYTES_MAX = 1024
};

/* ---- announcements ---- */

static bool known_locked(const struct ap_worker *worker, const char *id)
{
    for (size_t i = 0; i < worker->shared.count; i++)
        if (strcmp(worker->shared.queries[i]->manifest.id.text, id) == 0) return true;
    return false;
}

static struct work_query *query_new(struct ap_worker *worker, const char *id)
{
    struct work_query *query = ap_calloc(1, sizeof *query);
    struct apiary_error error = { 0 };
    char why[256];
    if (query == NULL) return NULL;
    enum apiary_code code = ap_manifest_get(worker->swarm.store, worker->swarm.secret, id, &query->manifest, &error);
    if (code == APIARY_OK) {
        query->tasks = ap_calloc(query->manifest.task_count, sizeof *query->tasks);
        if (query->tasks != NULL) {
            for (size_t i = 0; i < query->manifest.task_count; i++) query->tasks[i].holder = query->manifest.tasks[i].node;
            query->can = worker->swarm.port.can == NULL || worker->swarm.port.can(worker->swarm.port.context, &query->manifest);
            return query;
        }
    } else if (code == APIARY_CORRUPT || code == APIARY_UNSUPPORTED || code == APIARY_LIMIT) {
        /* It was read several times; it will not get better, and it is not asked for again. */
        enum apiary_code kept = ap_map_put(&worker->ended, ap_str_from(id), 1, NULL);
        (void)kept;
        ap_log_event(worker->swarm.log, AP_LOG_WARNING, "swarm", "manifest_refused", "query=%s error=%s", id,
            ap_log_text(why, sizeof why, ap_str_from(error.message)));
    }
    ap_worker_query_free(query);
    return NULL;
}

/* What is this node's from the start is ready at once. */
static void adopt(struct ap_worker *worker, struct work_query *query)
{
    struct ap_env *env = worker->swarm.env;
    bool fresh = ap_view_clock(&worker->view, env) - ap_query_id_time(query->manifest.id.text) < ap_worker_times(worker, FRESH);
    ap_lock(env, worker->shared.lock);
    bool kept = worker->shared.count < AP_WORKER_QUERIES_MAX && AP_GROW(worker->shared.queries, worker->shared.capacity, worker->shared.count + 1, NULL) == APIARY_OK;
    if (kept) {
        worker->shared.queries[worker->shared.count++] = query;
        query->next_look_us = fresh ? ap_mono_us(env) + ap_worker_times(worker, 100) : 0;
        for (size_t i = 0; fresh && query->can && i < query->manifest.task_count; i++) {
            if (strcmp(query->tasks[i].holder.text, worker->swarm.boot.text) != 0) continue;
            query->tasks[i].stage = STAGE_READY;
            query->tasks[i].alone = query->manifest.tasks[i].memory_mb > worker->memory_per_bee_mb; /* with all its bees */
            query->ready++;
        }
        ap_wake_all(env, worker->shared.lock);
    }
    ap_unlock(env, worker->shared.lock);
    if (!kept) ap_worker_query_free(query);
}

static void see_announcements(struct ap_worker *worker)
{
    struct ap_env *env = worker->swarm.env;
    for (size_t i = 0; i < worker->view.queries.count; i++) {
        const char *id = worker->view.queries.items[i];
        ap_lock(env, worker->shared.lock);
        bool known = known_locked(worker, id);
        ap_unlock(env, worker->shared.lock);
        if (known || ap_map_has(&worker->ended, ap_str_from(id))) continue;
        struct work_query *query = query_new(worker, id);
        if (query != NULL) adopt(worker, query);
    }
}

/* ---- the world ---- */

static bool alone_in(const struct ap_view *view, const char *boot)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->nodes[i].state != AP_NODE_DEAD && strcmp(view->nodes[i].key.boot.text, boot) != 0) return false;
    return true;
}

static void look_at_world(struct ap_worker *worker)
{
    AP_AUTO(ap_view) view = { 0 };
    struct ap_env *env = worker->swarm.env;
    worker->next_view_us = ap_mono_us(env) + worker->interval_us;
    if (ap_watch_look(worker->watch, worker->interval_us, &view, NULL) != APIARY_OK) {
        worker->next_view_us = ap_mono_us(env) + worker->swarm.heartbeat_us / 2;
        return;
    }
    ap_view_done(&worker->view);
    worker->view = AP_TAKE(view);
    worker->alone = alone_in(&worker->view, worker->swarm.boot.text);
    for (size_t i = 0; i < worker->view.strays.count; i++) ap_node_disown(worker->node, worker->view.strays.items[i]);
    if (worker->view.queries.count > 0 || worker->shared.count > 0) worker->active_us = ap_mono_us(env);
    see_announcements(worker);
}

/* Has somebody rung since? What hangs there at the first look counts as rung. *answered: the store did. */
static bool bell_rang(struct ap_worker *worker, bool *answered)
{
    struct ap_get get = { .key = AP_SWARM_BELL_KEY, .range = AP_RANGE_ALL, .size_max = BELL_BYTES_MAX };
    ap_store_get_many(worker->swarm.store, &get, 1);
    uint64_t bell = get.code == APIARY_OK ? ap_hash_bytes(get.body.data, get.body.size, 1) : worker->bell;
    *answered = get.code == APIARY_OK || get.code == APIARY_NOT_FOUND;
    ap_get_done(&get);
    bool rang = bell != worker->bell;
    worker->bell = bell;
    return rang;
}

/* Until the next look at the bell, when the last took so long: sooner where that costs nothing, but not for one that has been idle. */
static int64_t bell_us(const struct ap_worker *worker, bool answered, int64_t look_us)
{
    bool idle = worker->interval_us > worker->swarm.heartbeat_us, long_idle = worker->interval_us > worker->swarm.heartbeat_us * PACE_SOME;
    int64_t most_us = ap_worker_times(worker, worker->alone || long_idle ? BELL_IDLE : BELL_BUSY);
    int64_t wait_us = ap_worker_times(worker, idle ? BELL_SOME : BELL_LEAST);
    if (wait_us < look_us * BELL_LOOKS) wait_us = look_us * BELL_LOOKS;
    return answered && !long_idle && wait_us < most_us ? wait_us : most_us;
}

/* Busy, or idle for a while: how often to beat and to look. */
static void set_pace(struct ap_worker *worker, int64_t now_us)
{
    int64_t idle_us = now_us - worker->active_us, times = 1;
    if (idle_us >= ap_worker_times(worker, IDLE_LONG)) times = PACE_LONG;
    else if (idle_us >= ap_worker_times(worker, IDLE_SOME)) times = PACE_SOME;
    int64_t interval_us = worker->swarm.heartbeat_us * times;
    if (interval_us == worker->interval_us) return;
    if (interval_us < worker->interval_us) worker->next_view_us = now_us;
    worker->interval_us = interval_us;
    ap_node_pace(worker->node, interval_us / 1000);
}

static void clear_up(struct ap_worker *worker, int64_t now_us)
{
    const char *boot = worker->swarm.boot.text;
    if (now_us >= worker->next_sweep_us) {
        worker->next_sweep_us = now_us + ap_worker_times(worker, SWEEP);
        ap_view_sweep(worker->swarm.store, &worker->view, boot, worker->swarm.log);
    }
    if (now_us < worker->next_garbage_us) return;
    worker->next_garbage_us = now_us + ap_worker_times(worker, GARBAGE);
    if (ap_place_rank(&worker->view, AP_STR("garbage"), boot, NULL, 0) == 0) ap_garbage_collect(&worker->swarm);
}

/* ---- queries ---- */

/* The next query to look at; NULL: none is due. Those that are gone are remembered. */
static struct work_query *due(struct ap_worker *worker, int64_t now_us)
{
    struct ap_env *env = worker->swarm.env;
    struct work_query *found = NULL;
    ap_lock(env, worker->shared.lock);
    for (size_t i = 0; i < worker->shared.count; i++) {
        struct work_query *query = worker->shared.queries[i];
        if (query->gone) {
            if (worker->ended.used >= ENDED_KEPT_MAX) ap_map_done(&worker->ended);
            enum apiary_code kept = ap_map_put(&worker->ended, ap_str_from(query->manifest.id.text), 1, NULL);
            (void)kept; /* else it is looked at once more */
        } else if (found == NULL && now_us >= query->next_look_us)
            found = query;
    }
    ap_unlock(env, worker->shared.lock);
    return found;
}

static void tend_due(struct ap_worker *worker)
{
    enum { QUERIES_A_ROUND = 64 };
    for (int i = 0; i < QUERIES_A_ROUND; i++) {
        struct work_query *query = due(worker, ap_mono_us(worker->swarm.env));
        if (query == NULL) break;
        ap_worker_tend(worker, query);
    }
    ap_worker_drop_gone(worker);
}

static void note_idle(struct ap_worker *worker, int64_t now_us)
{
    size_t busy = 0, queries = 0;
    ap_lock(worker->swarm.env, worker->shared.lock);
    queries = worker->shared.count;
    for (size_t i = 0; i < worker->shared.count; i++) busy += worker->shared.queries[i]->ready + worker->shared.queries[i]->running;
    ap_unlock(worker->swarm.env, worker->shared.lock);
    if (queries > 0) worker->active_us = now_us;
    if (busy > 0) worker->idle_since_us = 0;
    else if (worker->idle_since_us == 0) worker->idle_since_us = now_us;
}

void ap_worker_watch(void *context)
{
    struct ap_worker *worker = context;
    struct ap_env *env = worker->swarm.env;
    int64_t begun_us = ap_mono_us(env);
    worker->next_garbage_us = begun_us + ap_worker_times(worker, GARBAGE / 4);
    worker->next_sweep_us = begun_us;
    ap_lock(env, worker->shared.lock);
    while (!worker->shared.stopping) {
        bool nudged = worker->shared.nudged;
        if (worker->shared.rung) worker->next_bell_us = 0;
        worker->shared.nudged = worker->shared.rung = false;
        ap_unlock(env, worker->shared.lock);
        int64_t now_us = ap_mono_us(env);
        bool look = nudged || now_us >= worker->next_view_us;
        if (now_us >= worker->next_bell_us) {
            bool answered;
            if (bell_rang(worker, &answered)) look = true;
            int64_t heard_us = ap_mono_us(env);
            worker->next_bell_us = heard_us + bell_us(worker, answered, heard_us - now_us);
        }
        if (look) look_at_world(worker);
        note_idle(worker, ap_mono_us(env));
        tend_due(worker);
        now_us = ap_mono_us(env);
        set_pace(worker, now_us);
        clear_up(worker, now_us);
        int64_t next_us = worker->next_view_us;
        if (worker->next_bell_us < next_us) next_us = worker->next_bell_us;
        int64_t soon_us = now_us + ap_worker_times(worker, BELL_BUSY);
        ap_lock(env, worker->shared.lock);
        if (worker->shared.count > 0 && soon_us < next_us) next_us = soon_us;
        if (!worker->shared.stopping && !worker->shared.nudged && !worker->shared.rung) ap_wait_until(env, worker->shared.lock, next_us);
    }
    ap_unlock(env, worker->shared.lock);
}
