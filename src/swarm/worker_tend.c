/* One query's board, and what follows from it for this node. */
#include "swarm/place.h"
#include "swarm/worker_private.h"

#include "core/alloc.h"

#include <stdio.h>

enum {
    STAGGER = 40,       /* hundredths of a heartbeat between the turns of two nodes */
    LOOK_BUSY = 100,    /* between looks while there is work here */
    LOOK_NEAR = 40,     /* when the end is near */
    LOOK_PAGES_MAX = 4, /* a board of so many pages of a LIST or more is looked at that much less often */
    BEGIN_WITHIN = 150, /* a holder's beat names a task that it runs by then */
    SLOW_TIMES = 3,
    DEATHS_ALONE = 2,   /* after so many a task runs alone, where there is most memory */
    MEMORY_TURNS = 5
};

/* ---- what the board says of the tasks ---- */

static void unready_locked(struct work_query *query, struct work_task *task)
{
    if (task->stage != STAGE_READY) return;
    task->stage = STAGE_NONE;
    query->ready--;
}

/* `late`: the node is one of those that failed the task, and comes last from now on. */
static enum apiary_code note_trouble(
    struct work_task *task, struct apiary_error *err, const char *boot, bool late, const char *what, const char *message)
{
    if (task->trouble == NULL) task->trouble = ap_calloc(1, sizeof *task->trouble);
    struct work_trouble *trouble = task->trouble;
    if (trouble == NULL) return ap_fail_memory(err, "a task's history");
    AP_TRY(ap_bytes_printf(&trouble->history, err, "%snode %.8s: %s%s%s", trouble->history.size > 0 ? "; " : "", boot, what,
        message[0] != '\0' ? " " : "", message));
    if (late && trouble->late_count < WORK_LATE_MAX)
        snprintf(trouble->late[trouble->late_count++].text, sizeof trouble->late[0].text, "%s", boot);
    return APIARY_OK;
}

/* Reads claims and reports that are new. */
static enum apiary_code read_claims(const struct ap_worker *worker, struct work_query *query, size_t index, const struct ap_board_task *seen, struct apiary_error *err)
{
    struct work_task *task = &query->tasks[index];
    const char *id = query->manifest.id.text;
    for (int k = 0; k <= AP_QUERY_CLAIMS_MAX; k++) {
        if (!(seen->failures >> k & 1) || (task->failures >> k & 1)) continue;
        struct ap_failure failure;
        AP_TRY(ap_failure_get(&worker->swarm, id, index, k, &failure, err));
        AP_TRY(note_trouble(task, err, failure.boot.text, true, ap_code_name((int)failure.code), failure.message));
        task->failures |= UINT32_C(1) << k;
        task->failed++;
        task->killed += failure.death;
    }
    while (task->claims < seen->claims) {
        struct ap_claim claim;
        AP_TRY(ap_claim_get(&worker->swarm, id, index, task->claims + 1, &claim, err));
        if (claim.reason == AP_CLAIM_DEAD) {
            AP_TRY(note_trouble(task, err, task->holder.text, true, "died", ""));
            task->deaths++;
        }
        if (claim.reason == AP_CLAIM_SLOW) task->slow_claimed = true;
        task->holder = claim.boot;
        task->claims++;
        task->open_since_us = 0;
    }
    return APIARY_OK;
}

/* ---- may a task be taken over, and why ---- */

struct tending {
    struct ap_worker *worker;
    struct work_query *query;
    const struct ap_board *board;
    int64_t now_us;     /* monotonic */
    int64_t slow_us;    /* a task is slow that is not done by then, by the store's clock; INT64_MAX: unknown */
    int room;           /* tasks that this node may still take on */
    int beats_read;
    bool idle;
};

/* When tasks of this query ended, counted from the manifest: the median, if half of them did. */
static int64_t slow_after(const struct ap_worker *worker, const struct ap_board *board)
{
    int64_t sum = 0;
    if (board->done_count * 2 < board->task_count || board->done_count == 0) return INT64_MAX;
    for (size_t i = 0; i < board->task_count; i++)
        if (board->tasks[i].done) sum += board->tasks[i].done_us - board->manifest_us;
    int64_t mean_us = sum / (int64_t)board->done_count;
    return (mean_us > 0 ? mean_us : 0) * SLOW_TIMES + ap_worker_times(worker, 200);
}

/* Does the holder's beat, which is young enough to know, name the task? True when it cannot be told. */
static bool holder_has_it(struct tending *tending, struct ap_view_node *node, size_t index, int64_t since_us)
{
    enum { BEATS_READ_MAX = 4 };
    char name[64];
    if (node->modified_us < since_us + ap_worker_times(tending->worker, BEGIN_WITHIN)) return true;
    if (node->tasks.capacity == 0) {
        if (tending->beats_read >= BEATS_READ_MAX) return true;
        tending->beats_read++;
        if (!ap_view_body(tending->worker->swarm.store, node)) return true;
        if (node->tasks.capacity == 0 && ap_texts_add(&node->tasks, AP_STR("-"), NULL) != APIARY_OK) return true; /* it was read */
    }
    snprintf(name, sizeof name, "%s/%zu", tending->query->manifest.id.text, index);
    return ap_texts_find(&node->tasks, ap_str_from(name)) != SIZE_MAX;
}

static bool may_take(struct tending *tending, size_t index, enum ap_claim_reason *reason)
{
    struct work_task *task = &tending->query->tasks[index];
    const struct ap_board_task *seen = &tending->board->tasks[index];
    struct ap_view *view = &tending->worker->view;
    int64_t since_us = task->claims > 0 ? seen->claimed_us : tending->board->manifest_us;
    *reason = AP_CLAIM_FAILED;
    if (task->failures >> task->claims & 1) return true;
    *reason = AP_CLAIM_LATE;
    if (task->holder.text[0] == '\0') return true;
    if (tending->board->now_us - since_us > tending->query->manifest.task_timeout_us) return true;
    if (strcmp(task->holder.text, tending->worker->swarm.boot.text) == 0) return false;
    struct ap_view_node *node = (struct ap_view_node *)(uintptr_t)ap_view_find(view, task->holder.text);
    if (node == NULL) return view->now_us > since_us + ap_worker_times(tending->worker, 200); /* it left, if it was there */
    *reason = AP_CLAIM_DEAD;
    if (node->state == AP_NODE_DEAD) return true;
    if (!tending->idle || node->state != AP_NODE_ALIVE) return false;
    *reason = AP_CLAIM_STEAL;
    if (!holder_has_it(tending, node, index, since_us)) return true;
    *reason = AP_CLAIM_SLOW;
    return !task->slow_claimed && tending->slow_us != INT64_MAX && tending->board->now_us - since_us > tending->slow_us;
}

/* How many nodes have their turn before this one. */
static size_t turn(const struct tending *tending, size_t index)
{
    const struct work_task *task = &tending->query->tasks[index];
    const struct ap_worker *worker = tending->worker;
    const struct work_trouble *trouble = task->trouble;
    const char *late[WORK_LATE_MAX];
    size_t late_count = trouble != NULL ? trouble->late_count : 0;
    char key[64];
    for (size_t i = 0; i < late_count; i++) late[i] = trouble->late[i].text;
    snprintf(key, sizeof key, "%s/%zu", tending->query->manifest.id.text, index);
    size_t rank = ap_place_rank(&worker->view, ap_str_from(key), worker->swarm.boot.text, late, late_count);
    if (task->killed + task->deaths < DEATHS_ALONE) return rank;
    for (size_t i = 0; i < worker->view.count; i++)
        if (worker->view.nodes[i].state == AP_NODE_ALIVE && worker->view.nodes[i].key.caps.memory_per_bee_mb > worker->memory_per_bee_mb)
            rank += MEMORY_TURNS;
    return rank;
}

static bool its_turn(const struct tending *tending, size_t index)
{
    struct work_task *task = &tending->query->tasks[index];
    if (task->open_since_us == 0) task->open_since_us = tending->now_us;
    return tending->now_us - task->open_since_us >= (int64_t)turn(tending, index) * ap_worker_times(tending->worker, STAGGER);
}

/* ---- doing it ---- */

static void make_ready(struct tending *tending, size_t index)
{
    struct ap_worker *worker = tending->worker;
    struct work_task *task = &tending->query->tasks[index];
    ap_lock(worker->swarm.env, worker->shared.lock);
    if (!tending->query->ended && (task->stage == STAGE_NONE || task->stage == STAGE_FAILED)) {
        task->stage = STAGE_READY;
        task->attempt = task->claims;
        task->alone = task->killed + task->deaths >= DEATHS_ALONE || tending->query->manifest.tasks[index].memory_mb > worker->memory_per_bee_mb;
        tending->query->ready++;
        tending->room--;
        ap_wake_all(worker->swarm.env, worker->shared.lock);
    }
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

static void claim(struct tending *tending, size_t index, enum ap_claim_reason reason)
{
    struct ap_worker *worker = tending->worker;
    struct work_task *task = &tending->query->tasks[index];
    struct ap_claim standing;
    bool mine = false;
    if (ap_claim_put(&worker->swarm, tending->query->manifest.id.text, index, task->claims + 1, reason, &mine, &standing, NULL) != APIARY_OK) return;
    struct ap_board_task seen = { .claims = (uint8_t)(task->claims + 1), .failures = task->failures };
    if (read_claims(worker, tending->query, index, &seen, NULL) != APIARY_OK || !mine) return;
    make_ready(tending, index);
    ap_lock(worker->swarm.env, worker->shared.lock);
    worker->shared.figures.taken_over++;
    ap_unlock(worker->swarm.env, worker->shared.lock);
    ap_log_event(worker->swarm.log, AP_LOG_INFO, "swarm", "task_taken_over", "query=%s task=%zu claim=%d", tending->query->manifest.id.text, index,
        task->claims);
}

static void abandon(struct tending *tending, size_t index, bool died)
{
    struct ap_worker *worker = tending->worker;
    struct work_query *query = tending->query;
    struct work_task *task = &query->tasks[index];
    struct apiary_error why = { 0 };
    if (died && note_trouble(task, NULL, task->holder.text, false, "died", "") != APIARY_OK) return;
    ap_fail(&why, APIARY_ABANDONED, "task %zu of query %s was given up after %d tries: %s", index, query->manifest.id.text,
        task->failed + task->deaths + died, task->trouble != NULL ? ap_bytes_text(&task->trouble->history) : "it was claimed too often");
    ap_lock(worker->swarm.env, worker->shared.lock);
    if (!query->ended && (task->stage == STAGE_NONE || task->stage == STAGE_FAILED || task->stage == STAGE_READY)) {
        unready_locked(query, task);
        if (ap_worker_publish_error_locked(worker, query, index, &why) == APIARY_OK) {
            task->stage = STAGE_OUTBOX;
            worker->shared.figures.abandoned++;
            ap_wake_all(worker->swarm.env, worker->shared.lock);
        }
    }
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

static void tend_task(struct tending *tending, size_t index)
{
    struct ap_worker *worker = tending->worker;
    struct work_query *query = tending->query;
    struct work_task *task = &query->tasks[index];
    const struct ap_board_task *seen = &tending->board->tasks[index];
    enum ap_claim_reason reason;
    if (seen->done) {
        if (task->done) return;
        ap_lock(worker->swarm.env, worker->shared.lock);
        unready_locked(query, task);
        task->done = true;
        ap_unlock(worker->swarm.env, worker->shared.lock);
        return;
    }
    if (read_claims(worker, query, index, seen, NULL) != APIARY_OK) return; /* at the next look */
    bool mine = strcmp(task->holder.text, worker->swarm.boot.text) == 0;
    ap_lock(worker->swarm.env, worker->shared.lock);
    if (!mine) unready_locked(query, task); /* another one took it over before it began here */
    enum task_stage stage = task->stage;
    int attempt = task->attempt;
    ap_unlock(worker->swarm.env, worker->shared.lock);
    if (stage == STAGE_READY || stage == STAGE_RUNNING || stage == STAGE_OUTBOX || !query->can) return;
    if (!may_take(tending, index, &reason)) {
        task->open_since_us = 0;
        if (mine && (stage == STAGE_NONE || attempt < task->claims)) make_ready(tending, index);
        return;
    }
    if (task->failed + task->deaths + (reason == AP_CLAIM_DEAD) >= query->manifest.tries
        || task->claims >= AP_QUERY_CLAIMS_MAX) {
        if (its_turn(tending, index)) abandon(tending, index, reason == AP_CLAIM_DEAD);
        return;
    }
    if (query->manifest.tasks[index].memory_mb > worker->memory_per_bee_mb
        && !ap_place_holds(&worker->view, (struct ap_caps) { .bees = (uint32_t)worker->slots, .memory_per_bee_mb = worker->memory_per_bee_mb },
            query->manifest.tasks[index].memory_mb))
        return;
    if (its_turn(tending, index) && tending->room > 0 && ap_node_may_work(worker->node)) claim(tending, index, reason);
}

/* ---- the ends ---- */

static bool turn_to_finish(struct ap_worker *worker, const struct work_query *query, int64_t since_us, int64_t now_us)
{
    /* The submitter comes first. */
    size_t rank = 1 + ap_place_rank(&worker->view, ap_str_from(query->manifest.id.text), worker->swarm.boot.text, NULL, 0);
    return now_us - since_us >= (int64_t)rank * ap_worker_times(worker, STAGGER);
}

static void want_finish(struct ap_worker *worker, struct work_query *query)
{
    ap_lock(worker->swarm.env, worker->shared.lock);
    if (!query->finishing) query->finish = true;
    ap_wake_all(worker->swarm.env, worker->shared.lock);
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

static void mark(struct ap_worker *worker, struct work_query *query, bool gone)
{
    ap_lock(worker->swarm.env, worker->shared.lock);
    query->ended = true;
    query->gone = query->gone || gone;
    for (size_t i = 0; i < query->manifest.task_count; i++) unready_locked(query, &query->tasks[i]);
    ap_cancel_request(&query->cancel);
    ap_wake_all(worker->swarm.env, worker->shared.lock);
    ap_unlock(worker->swarm.env, worker->shared.lock);
}

/* Nothing is left but the announcement, which the submitter removes; else a node does. */
static void tend_settled(struct ap_worker *worker, struct work_query *query, int64_t now_us)
{
    const char *id = query->manifest.id.text;
    bool announced = ap_texts_find(&worker->view.queries, ap_str_from(id)) != SIZE_MAX;
    if (announced && turn_to_finish(worker, query, query->ended_since_us, now_us)) announced = ap_finish_unannounce(&worker->swarm, id, NULL) != APIARY_OK;
    if (!announced) mark(worker, query, true);
}

static void tend_ended(struct ap_worker *worker, struct work_query *query, const struct ap_board *board, int64_t now_us)
{
    if (query->ended_since_us == 0) query->ended_since_us = now_us;
    mark(worker, query, false);
    query->settled = !query->manifest.writes || board->out;
    if (!query->settled && turn_to_finish(worker, query, query->ended_since_us, now_us)) want_finish(worker, query);
}

static void tend_tasks(struct ap_worker *worker, struct work_query *query, const struct ap_board *board, int64_t now_us)
{
    struct tending tending = { .worker = worker, .query = query, .board = board, .now_us = now_us, .slow_us = slow_after(worker, board) };
    size_t busy = 0, count = board->task_count;
    ap_lock(worker->swarm.env, worker->shared.lock);
    for (size_t i = 0; i < worker->shared.count; i++) busy += worker->shared.queries[i]->ready + worker->shared.queries[i]->running;
    ap_unlock(worker->swarm.env, worker->shared.lock);
    tending.room = 2 * worker->slots - (int)(busy < INT16_MAX ? busy : INT16_MAX);
    tending.idle = busy == 0 && worker->idle_since_us != 0 && now_us - worker->idle_since_us >= ap_worker_times(worker, 100);
    /* Each node begins somewhere else, so that they do not all claim the same ones. */
    size_t first = (size_t)(ap_hash_bytes(worker->swarm.boot.text, AP_ID_TEXT_SIZE - 1, 1) % count);
    for (size_t i = 0; i < count; i++) tend_task(&tending, (first + i) % count);
}

void ap_worker_tend(struct ap_worker *worker, struct work_query *query)
{
    struct ap_env *env = worker->swarm.env;
    AP_AUTO(ap_board) board = { 0 };
    int look = LOOK_BUSY;
    if (query->settled) tend_settled(worker, query, ap_mono_us(env));
    else if (ap_board_look(worker->swarm.store, query->manifest.id.text, query->manifest.task_count, &board, NULL) == APIARY_OK) {
        int64_t now_us = ap_mono_us(env);
        if (!board.manifest || ap_query_over(&query->manifest, board.now_us)) mark(worker, query, true);
        else if (board.ended) {
            tend_ended(worker, query, &board, now_us);
            look = query->settled ? LOOK_BUSY : LOOK_NEAR;
        } else if (board.done_count == board.task_count) {
            if (query->all_done_since_us == 0) query->all_done_since_us = now_us;
            if (query->can && turn_to_finish(worker, query, query->all_done_since_us, now_us)) want_finish(worker, query);
        } else if (board.now_us > query->manifest.deadline_us) {
            AP_AUTO(ap_end) winner = { 0 };
            if (query->late_since_us == 0) query->late_since_us = now_us;
            if (turn_to_finish(worker, query, query->late_since_us, now_us) && ap_finish_late(&worker->swarm, &query->manifest, &winner, NULL) == APIARY_OK)
                mark(worker, query, false);
            look = LOOK_NEAR;
        } else
            tend_tasks(worker, query, &board, now_us);
        size_t pages = board.objects / AP_LIST_PAGE + 1;
        look *= pages < LOOK_PAGES_MAX ? (int)pages : LOOK_PAGES_MAX;
    }
    ap_lock(env, worker->shared.lock);
    query->next_look_us = ap_mono_us(env) + ap_worker_times(worker, look);
    ap_unlock(env, worker->shared.lock);
}
