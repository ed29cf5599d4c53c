#include "swarm/worker_private.h"

#include "core/alloc.h"
#include "core/json.h"

enum { FLUSH_BYTES = 256 * 1024, FLUSH_AGE = 40 /* hundredths of a heartbeat */, RETRY_AGE = 40, FAILURES_KEPT_MAX = 1000 };

/* ---- queries ---- */

void ap_worker_query_free(struct work_query *query)
{
    for (size_t i = 0; query->tasks != NULL && i < query->manifest.task_count; i++) {
        if (query->tasks[i].trouble != NULL) ap_bytes_done(&query->tasks[i].trouble->history);
        ap_free(query->tasks[i].trouble);
    }
    ap_manifest_done(&query->manifest);
    ap_cancel_done(&query->cancel);
    ap_free(query->tasks);
    ap_result_entries_free(query->outbox, query->outbox_count);
    ap_free(query->failures);
    ap_free(query);
}

void ap_worker_drop_gone(struct ap_worker *worker)
{
    size_t kept = 0;
    ap_lock(worker->swarm.env, worker->shared.lock);
    for (size_t i = 0; i < worker->shared.count; i++) {
        struct work_query *query = worker->shared.queries[i];
        if (query->gone && query->running == 0 && query->publishing == 0 && !query->finishing) ap_worker_query_free(query);
        else worker->shared.queries[kept++] = query;
    }
    worker->shared.count = kept;
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

/* ---- what a runner may do next ---- */

enum job_kind { JOB_NONE, JOB_RUN, JOB_PUBLISH, JOB_REPORT, JOB_FINISH };
struct job {
    enum job_kind kind;
    struct work_query *query;
    size_t task;
    int attempt;
    bool alone;
};

static bool flush_due(const struct ap_worker *worker, const struct work_query *query, int64_t now_us)
{
    if (query->outbox_count == 0 || query->publishing > 0 || now_us < query->outbox_retry_us) return false;
    if (query->ready + query->running == 0 || query->outbox_bytes >= FLUSH_BYTES || query->outbox_count >= AP_QUERY_BATCH_MAX) return true;
    return now_us - query->outbox_since_us >= ap_worker_times(worker, FLUSH_AGE) || worker->shared.stopping;
}

static bool pick_upkeep_locked(struct ap_worker *worker, int64_t now_us, struct job *job)
{
    for (size_t i = 0; i < worker->shared.count; i++) {
        struct work_query *query = worker->shared.queries[i];
        if (query->gone) continue;
        if (!query->ended && flush_due(worker, query, now_us)) {
            query->publishing++;
            *job = (struct job) { .kind = JOB_PUBLISH, .query = query };
            return true;
        }
        if (!query->ended && query->failure_count > 0 && query->publishing == 0 && now_us >= query->outbox_retry_us) {
            query->publishing++;
            *job = (struct job) { .kind = JOB_REPORT, .query = query };
            return true;
        }
        if (query->finish && !query->finishing && now_us >= query->finish_retry_us && !worker->shared.stopping) {
            query->finishing = true;
            *job = (struct job) { .kind = JOB_FINISH, .query = query };
            return true;
        }
    }
    return false;
}

static bool pick_task_locked(struct ap_worker *worker, struct job *job)
{
    if (worker->shared.stopping || worker->shared.alone || !ap_node_may_work(worker->node)) return false;
    for (size_t i = 0; i < worker->shared.count; i++) {
        struct work_query *query = worker->shared.queries[i];
        if (query->gone || query->ended || query->ready == 0) continue;
        for (size_t t = 0; t < query->manifest.task_count; t++) {
            struct work_task *task = &query->tasks[t];
            if (task->stage != STAGE_READY || (task->alone && worker->shared.running > 0)) continue;
            task->stage = STAGE_RUNNING;
            query->ready--;
            query->running++;
            worker->shared.running++;
            worker->shared.alone = task->alone;
            *job = (struct job) { JOB_RUN, query, t, task->attempt, task->alone };
            return true;
        }
    }
    return false;
}

/* ---- doing it ---- */

static bool final_code(enum apiary_code code)
{
    switch (code) {
        case APIARY_SQL:
        case APIARY_SCHEMA:
        case APIARY_UNSUPPORTED:
        case APIARY_NOT_FOUND:
        case APIARY_INVALID:
        case APIARY_EXISTS: return true;
        default: return false;
    }
}

static enum apiary_code outbox_add_locked(
    struct ap_worker *worker, struct work_query *query, struct ap_result_entry *entry, struct apiary_error *err)
{
    AP_TRY(AP_GROW(query->outbox, query->outbox_capacity, query->outbox_count + 1, err));
    if (query->outbox_count == 0) query->outbox_since_us = ap_mono_us(worker->swarm.env);
    query->outbox_bytes += entry->bytes.size;
    query->outbox[query->outbox_count++] = AP_TAKE(*entry);
    return APIARY_OK;
}

static enum apiary_code entry_of_error(size_t task, const struct apiary_error *why, struct ap_result_entry *out)
{
    *out = (struct ap_result_entry) {
        .task = task, .code = (enum apiary_code)why->code, .message = ap_strdup(why->message), .hint = ap_strdup(why->hint)
    };
    return out->message != NULL && out->hint != NULL ? APIARY_OK : APIARY_MEMORY;
}

enum apiary_code ap_worker_publish_error_locked(
    struct ap_worker *worker, struct work_query *query, size_t task, const struct apiary_error *why)
{
    struct ap_result_entry entry = { 0 };
    enum apiary_code code = entry_of_error(task, why, &entry);
    if (code == APIARY_OK) code = outbox_add_locked(worker, query, &entry, NULL);
    ap_result_entry_done(&entry);
    return code;
}

static void run_task(struct ap_worker *worker, const struct job *job)
{
    struct ap_swarm *swarm = &worker->swarm;
    struct work_query *query = job->query;
    struct work_task *task = &query->tasks[job->task];
    struct ap_result_entry entry = { .task = job->task };
    struct apiary_error why = { 0 };
    ap_lock(swarm->env, worker->shared.lock);
    if (query->cancel.event_fd == 0 && ap_cancel_init(&query->cancel, NULL) != APIARY_OK)
        query->cancel.event_fd = -1; /* without a descriptor a cancel is seen at the next look */
    ap_unlock(swarm->env, worker->shared.lock);
    int64_t begun_us = ap_mono_us(swarm->env);
    enum apiary_code code = swarm->port.run(swarm->port.context, &query->manifest, job->task, job->alone, &query->cancel, &entry.bytes, &why);
    why.code = (int32_t)code;
    entry.run_us = ap_mono_us(swarm->env) - begun_us;
    ap_lock(swarm->env, worker->shared.lock);
    query->running--;
    worker->shared.running--;
    if (job->alone) worker->shared.alone = false;
    task->stage = STAGE_OUTBOX;
    if (query->ended || query->gone) task->stage = STAGE_NONE;
    else if (code == APIARY_OK) code = outbox_add_locked(worker, query, &entry, &why);
    else if (final_code(code)) code = ap_worker_publish_error_locked(worker, query, job->task, &why);
    if (code == APIARY_OK) worker->shared.figures.done++;
    if (code != APIARY_OK && task->stage == STAGE_OUTBOX) {
        task->stage = STAGE_FAILED;
        worker->shared.figures.failed++;
        if (AP_GROW(query->failures, query->failure_capacity, query->failure_count + 1, NULL) == APIARY_OK)
            query->failures[query->failure_count++] = (struct work_failure) { job->task, job->attempt, why };
    }
    ap_wake_all(swarm->env, worker->shared.lock);
    ap_unlock(swarm->env, worker->shared.lock);
    ap_result_entry_done(&entry);
}

/* The swarm as this query's objects are written. */
static struct ap_swarm swarm_for(const struct ap_worker *worker, const struct work_query *query)
{
    struct ap_swarm swarm = worker->swarm;
    swarm.fleeting = query->manifest.fleeting;
    return swarm;
}

/* Sends the outbox as one object; a decided query wants nothing any more. */
static void publish(struct ap_worker *worker, struct work_query *query)
{
    struct ap_swarm as = swarm_for(worker, query), *swarm = &as;
    struct apiary_error error = { 0 };
    bool ended = false, mine = false;
    ap_lock(swarm->env, worker->shared.lock);
    size_t count = query->outbox_count < AP_QUERY_BATCH_MAX ? query->outbox_count : AP_QUERY_BATCH_MAX;
    struct ap_result_entry batch[AP_QUERY_BATCH_MAX];
    memcpy(batch, query->outbox, count * sizeof *batch);
    ap_unlock(swarm->env, worker->shared.lock);

    /* The same order whenever it is sent: the name tells the tasks. */
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j > 0 && batch[j - 1].task > batch[j].task; j--) {
            struct ap_result_entry swap = batch[j];
            batch[j] = batch[j - 1];
            batch[j - 1] = swap;
        }
    enum apiary_code code = ap_finish_ended(swarm, query->manifest.id.text, &ended, &error);
    if (code == APIARY_OK && !ended) code = ap_results_put(swarm, query->manifest.id.text, batch, count, &mine, &error);

    ap_lock(swarm->env, worker->shared.lock);
    query->publishing--;
    if (code == APIARY_OK) {
        for (size_t i = 0; i < count; i++) {
            query->outbox_bytes -= query->outbox[i].bytes.size;
            ap_result_entry_done(&query->outbox[i]);
        }
        memmove(query->outbox, query->outbox + count, (query->outbox_count - count) * sizeof *query->outbox);
        query->outbox_count -= count;
        query->outbox_since_us = ap_mono_us(swarm->env);
    } else {
        query->outbox_retry_us = ap_mono_us(swarm->env) + ap_worker_times(worker, RETRY_AGE);
        ap_log_event(swarm->log, AP_LOG_WARNING, "swarm", "publish_failed", "query=%s code=%s", query->manifest.id.text, ap_code_name(code));
    }
    if (ended) {
        query->ended = true;
        query->next_look_us = 0;
    }
    ap_wake_all(swarm->env, worker->shared.lock);
    ap_unlock(swarm->env, worker->shared.lock);
}

static void report(struct ap_worker *worker, struct work_query *query)
{
    struct ap_swarm *swarm = &worker->swarm;
    ap_lock(swarm->env, worker->shared.lock);
    struct work_failure failure = query->failures[0];
    ap_unlock(swarm->env, worker->shared.lock);
    enum apiary_code code = ap_failure_put(swarm, query->manifest.id.text, failure.task, failure.attempt, &failure.why, NULL);
    ap_lock(swarm->env, worker->shared.lock);
    query->publishing--;
    if (code == APIARY_OK) {
        query->failure_count--;
        memmove(query->failures, query->failures + 1, query->failure_count * sizeof *query->failures);
        query->next_look_us = 0;
    } else
        query->outbox_retry_us = ap_mono_us(swarm->env) + ap_worker_times(worker, RETRY_AGE);
    ap_wake_all(swarm->env, worker->shared.lock);
    ap_unlock(swarm->env, worker->shared.lock);
}

/* Merges, or rolls a commit forward. */
static enum apiary_code finish(struct ap_worker *worker, struct work_query *query, bool *over, struct apiary_error *err)
{
    struct ap_swarm as = swarm_for(worker, query), *swarm = &as;
    AP_AUTO(ap_board) board = { 0 };
    AP_AUTO(ap_end) end = { 0 };
    AP_AUTO(ap_outcome) outcome = { 0 };
    const char *id = query->manifest.id.text;
    AP_TRY(ap_board_look(swarm->store, id, query->manifest.task_count, &board, err));
    if (!board.manifest || ap_query_over(&query->manifest, board.now_us)) {
        *over = true;
        return APIARY_OK;
    }
    if (board.ended) AP_TRY(ap_end_get(swarm, id, &end, err));
    else if (board.done_count == board.task_count) {
        AP_TRY(ap_finish_done(swarm, &query->manifest, &board, &query->cancel, &end, err));
        ap_lock(swarm->env, worker->shared.lock);
        worker->shared.figures.merged++;
        ap_unlock(swarm->env, worker->shared.lock);
    } else
        return APIARY_OK;
    if (end.decision == AP_END_COMMIT && !board.out) AP_TRY(ap_roll_forward(swarm, &query->manifest, &end, board.now_us, &outcome, err));
    AP_TRY(ap_finish_unannounce(swarm, id, err));
    *over = true;
    return APIARY_OK;
}

static void finish_job(struct ap_worker *worker, struct work_query *query)
{
    struct ap_env *env = worker->swarm.env;
    struct apiary_error error = { 0 };
    bool over = false;
    char why[256];
    enum apiary_code code = finish(worker, query, &over, &error);
    if (code != APIARY_OK && code != APIARY_NOT_FOUND)
        ap_log_event(worker->swarm.log, AP_LOG_WARNING, "swarm", "finish_failed", "query=%s error=%s", query->manifest.id.text,
            ap_log_text(why, sizeof why, ap_str_from(error.message)));
    ap_lock(env, worker->shared.lock);
    query->finishing = false;
    query->finish = code != APIARY_OK && code != APIARY_NOT_FOUND;
    query->finish_retry_us = ap_mono_us(env) + ap_worker_times(worker, RETRY_AGE << (query->finish_try < 4 ? query->finish_try : 4));
    query->finish_try++;
    if (over || code == APIARY_NOT_FOUND) query->gone = query->ended = true;
    else query->next_look_us = 0;
    ap_wake_all(env, worker->shared.lock);
    ap_unlock(env, worker->shared.lock);
}

static bool all_published_locked(const struct ap_worker *worker)
{
    for (size_t i = 0; i < worker->shared.count; i++) {
        const struct work_query *query = worker->shared.queries[i];
        if (query->gone || query->ended) continue;
        if (query->running > 0 || query->publishing > 0 || query->outbox_count > 0) return false;
    }
    return true;
}

static void run_jobs(void *context)
{
    struct ap_worker *worker = context;
    struct ap_env *env = worker->swarm.env;
    int64_t drain_until_us = INT64_MAX;
    ap_lock(env, worker->shared.lock);
    for (;;) {
        struct job job = { 0 };
        int64_t now_us = ap_mono_us(env);
        if (worker->shared.stopping) {
            if (drain_until_us == INT64_MAX) drain_until_us = now_us + ap_worker_times(worker, 400);
            if (all_published_locked(worker) || now_us > drain_until_us) break;
        }
        if (!pick_upkeep_locked(worker, now_us, &job) && !pick_task_locked(worker, &job)) {
            ap_wait_until(env, worker->shared.lock, now_us + ap_worker_times(worker, worker->shared.count > 0 ? 10 : 100));
            continue;
        }
        ap_unlock(env, worker->shared.lock);
        switch (job.kind) {
            case JOB_RUN: run_task(worker, &job); break;
            case JOB_PUBLISH: publish(worker, job.query); break;
            case JOB_REPORT: report(worker, job.query); break;
            case JOB_FINISH: finish_job(worker, job.query); break;
            case JOB_NONE: break;
        }
        ap_lock(env, worker->shared.lock);
    }
    ap_unlock(env, worker->shared.lock);
}

/* ---- life ---- */

enum apiary_code ap_worker_new(const struct ap_worker_options *options, struct ap_worker **out, struct apiary_error *err)
{
    struct ap_worker *worker = ap_calloc(1, sizeof *worker);
    if (worker == NULL) return ap_fail_memory(err, "a worker");
    worker->swarm = options->swarm;
    worker->slots = options->slots < 1 ? 1 : options->slots > AP_WORKER_SLOTS_MAX ? AP_WORKER_SLOTS_MAX : options->slots;
    worker->memory_per_bee_mb = options->memory_per_bee_mb;
    worker->interval_us = options->swarm.heartbeat_us;
    worker->ear.heard = AP_EAR_NONE;
    worker->ear.stop_fd = -1;
    worker->shared.lock = ap_lock_new(worker->swarm.env);
    enum apiary_code code = worker->shared.lock == NULL ? ap_fail_memory(err, "a worker") : ap_watch_open(worker->swarm.env, worker->swarm.store, &worker->watch, err);
    if (code != APIARY_OK) {
        ap_worker_free(worker);
        return code;
    }
    *out = worker;
    return APIARY_OK;
}

enum apiary_code ap_worker_start(struct ap_worker *worker, struct ap_node *node, struct apiary_error *err)
{
    struct ap_env *env = worker->swarm.env;
    worker->node = node;
    worker->active_us = ap_mono_us(env);
    worker->watcher = env->ops->thread_start(env->world, ap_worker_watch, worker);
    bool good = worker->watcher != NULL;
    while (good && worker->runner_count < worker->slots) {
        worker->runners[worker->runner_count] = env->ops->thread_start(env->world, run_jobs, worker);
        good = worker->runners[worker->runner_count] != NULL;
        worker->runner_count += good;
    }
    if (good) ap_worker_ear_open(worker);
    if (good) return APIARY_OK;
    ap_worker_stop(worker);
    return ap_fail(err, APIARY_LIMIT, "no thread can be had for the node's work");
}

void ap_worker_stop(struct ap_worker *worker)
{
    struct ap_env *env = worker->swarm.env;
    ap_lock(env, worker->shared.lock);
    worker->shared.stopping = true;
    ap_wake_all(env, worker->shared.lock);
    ap_unlock(env, worker->shared.lock);
    ap_worker_ear_close(worker);
    if (worker->watcher != NULL) env->ops->thread_join(env->world, AP_TAKE(worker->watcher));
    while (worker->runner_count > 0) env->ops->thread_join(env->world, worker->runners[--worker->runner_count]);
}

void ap_worker_free(struct ap_worker *worker)
{
    if (worker == NULL) return;
    for (size_t i = 0; i < worker->shared.count; i++) ap_worker_query_free(worker->shared.queries[i]);
    ap_free(worker->shared.queries);
    ap_watch_close(worker->watch);
    ap_view_done(&worker->view);
    ap_map_done(&worker->ended);
    ap_lock_free(worker->swarm.env, worker->shared.lock);
    ap_free(worker);
}

void ap_worker_nudge(struct ap_worker *worker)
{
    ap_lock(worker->swarm.env, worker->shared.lock);
    worker->shared.nudged = true;
    ap_wake_all(worker->swarm.env, worker->shared.lock);
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

enum apiary_code ap_worker_tasks(struct ap_worker *worker, struct ap_bytes *out, struct apiary_error *err)
{
    enum { LISTED_MAX = 2048 };
    AP_TRY(ap_bytes_add_text(out, "[", err));
    if (worker == NULL) return ap_bytes_add_text(out, "]", err);
    enum apiary_code code = APIARY_OK;
    size_t listed = 0;
    ap_lock(worker->swarm.env, worker->shared.lock);
    for (size_t i = 0; i < worker->shared.count && code == APIARY_OK; i++) {
        const struct work_query *query = worker->shared.queries[i];
        if (query->gone || query->ended || query->running + query->outbox_count == 0) continue;
        for (size_t t = 0; t < query->manifest.task_count && code == APIARY_OK && listed < LISTED_MAX; t++)
            if (query->tasks[t].stage == STAGE_RUNNING || query->tasks[t].stage == STAGE_OUTBOX)
                code = ap_bytes_printf(out, err, "%s\"%s/%zu\"", listed++ > 0 ? "," : "", query->manifest.id.text, t);
    }
    ap_unlock(worker->swarm.env, worker->shared.lock);
    AP_TRY(code);
    return ap_bytes_add_text(out, "]", err);
}

void ap_worker_figures(struct ap_worker *worker, struct ap_worker_figures *out)
{
    ap_lock(worker->swarm.env, worker->shared.lock);
    *out = worker->shared.figures;
    out->queries = worker->shared.count;
    out->running = (size_t)worker->shared.running;
    out->waiting = 0;
    for (size_t i = 0; i < worker->shared.count; i++) out->waiting += worker->shared.queries[i]->ready;
    ap_unlock(worker->swarm.env, worker->shared.lock);
}
