/* Time, nodes and their env. One heap of events: a task to wake, a late write to apply, a node to
 * start. Everything between two events happens at one instant. */
#include "sim/sim_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t EPOCH_US = INT64_C(1790000000) * 1000000;
static const int64_t SECOND_US = 1000000;

struct ap_lock {
    struct sim_node *node; /* NULL: of the bare env, which has no tasks */
    struct ap_thread *owner;
    int waiting; /* for the lock or for its condition */
};

static void *must(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "sim: out of memory\n");
    abort();
}

/* ---- choices ---- */

uint64_t sim_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t sim_pick(struct sim *sim, uint64_t below)
{
    return below ? sim_random(&sim->random) % below : 0;
}

bool sim_quiet(const struct sim *sim)
{
    return sim->ending || (sim->faults.quiet_after_us && sim->now_us >= sim->faults.quiet_after_us);
}

bool sim_percent(struct sim *sim, int percent)
{
    return percent > 0 && !sim_quiet(sim) && sim_pick(sim, 100) < (uint64_t)percent;
}

bool sim_per_mille(struct sim *sim, int per_mille)
{
    return per_mille > 0 && !sim_quiet(sim) && sim_pick(sim, 1000) < (uint64_t)per_mille;
}

int64_t sim_span(struct sim *sim, int64_t max_us)
{
    int64_t most = max_us >> sim_pick(sim, 16);
    return (int64_t)sim_pick(sim, (uint64_t)most + 1);
}

/* ---- events ---- */

static bool before(const struct event *a, const struct event *b)
{
    if (a->at_us != b->at_us) return a->at_us < b->at_us;
    if (a->order != b->order) return a->order < b->order;
    return a->serial < b->serial;
}

static void push(struct sim *sim, struct event event)
{
    if (sim->event_count == sim->event_capacity) {
        sim->event_capacity = sim->event_capacity ? sim->event_capacity * 2 : 64;
        sim->events = must(realloc(sim->events, sim->event_capacity * sizeof *sim->events));
    }
    event.order = sim_random(&sim->random);
    event.serial = sim->serial++;
    size_t at = sim->event_count++;
    for (; at > 0 && before(&event, &sim->events[(at - 1) / 2]); at = (at - 1) / 2)
        sim->events[at] = sim->events[(at - 1) / 2];
    sim->events[at] = event;
}

static struct event pop(struct sim *sim)
{
    struct event top = sim->events[0], last = sim->events[--sim->event_count];
    size_t at = 0, child;
    while ((child = at * 2 + 1) < sim->event_count) {
        if (child + 1 < sim->event_count && before(&sim->events[child + 1], &sim->events[child]))
            child++;
        if (!before(&sim->events[child], &last)) break;
        sim->events[at] = sim->events[child];
        at = child;
    }
    sim->events[at] = last;
    return top;
}

static int64_t later(int64_t now_us, int64_t us)
{
    return us > INT64_MAX - now_us ? INT64_MAX : now_us + us;
}

static void wake_at(struct sim *sim, struct ap_thread *task, int64_t at_us)
{
    push(sim, (struct event) { .at_us = at_us, .task = task, .ticket = ++task->ticket });
}

void sim_schedule_write(struct sim *sim, struct sim_write *write, int64_t after_us)
{
    push(sim, (struct event) { .at_us = later(sim->now_us, after_us), .write = write });
}

/* ---- tasks ---- */

static void task_run(void *self)
{
    struct ap_thread *task = self;
    if (task->run)
        task->run(task->arg);
    else
        task->node->run(task->node, task->node->arg);
    task->state = TASK_DONE;
    fiber_finish();
}

static struct ap_thread *task_new(struct sim_node *node, void (*run)(void *arg), void *arg)
{
    struct sim *sim = node->sim;
    struct ap_thread *task = must(calloc(1, sizeof *task));
    *task = (struct ap_thread) {
        .next = sim->tasks, .sibling = node->threads, .node = node, .run = run, .arg = arg
    };
    task->fiber = fiber_new(task_run, task);
    sim->tasks = node->threads = task;
    node->tasks++;
    wake_at(sim, task, sim->now_us);
    return task;
}

static void task_free(struct sim *sim, struct ap_thread *task)
{
    struct ap_thread **link = &sim->tasks;
    while (*link != task) link = &(*link)->next;
    *link = task->next;
    for (link = &task->node->threads; *link != task;) link = &(*link)->sibling;
    *link = task->sibling;
    fiber_free(task->fiber);
    free(task);
}

/* Events name tasks; a freed task's must not wake the one that gets its memory. */
static void forget_events_of(struct sim *sim, const struct ap_thread *task)
{
    for (size_t i = 0; i < sim->event_count; i++)
        if (sim->events[i].task == task) sim->events[i].task = NULL;
}

/* Gives up the processor until an event with the task's ticket. */
static void suspend(struct ap_thread *task)
{
    task->node->sim->current = NULL;
    fiber_yield();
}

static void task_ended(struct sim *sim, struct ap_thread *task)
{
    struct sim_node *node = task->node;
    node->tasks--;
    for (struct ap_thread *other = node->threads; other; other = other->sibling)
        if (other->state == TASK_JOIN && other->join == task) wake_at(sim, other, sim->now_us);
    if (task->run) return; /* freed by its join */
    if (node->tasks > 0)
        sim_fail(sim, "node %d returned and left %d threads behind", node->index, node->tasks);
    forget_events_of(sim, task);
    task_free(sim, task);
    if (!node->crashed || sim->ending || node->boot >= sim->faults.restarts_max) return;
    push(sim,
        (struct event) {
            .at_us = later(sim->now_us, sim_span(sim, sim->faults.restart_us_max)), .node = node });
}

static void resume(struct sim *sim, struct ap_thread *task)
{
    sim->current = task;
    fiber_resume(task->fiber);
    sim->current = NULL;
    if (task->state == TASK_DONE) task_ended(sim, task);
}

/* ---- crashes ---- */

void sim_kill(struct sim_node *node)
{
    struct sim *sim = node->sim;
    if (node->crashed) return;
    node->crashed = true;
    node->paused_until_us = 0;
    sim->tally.crashes++;
    for (struct ap_thread *task = node->threads; task; task = task->sibling)
        if (task != sim->current && task->state != TASK_DONE &&
            task->state != TASK_LOCK && task->state != TASK_JOIN)
            wake_at(sim, task, sim->now_us);
}

void sim_pause(struct sim_node *node, int64_t us)
{
    int64_t until_us = later(node->sim->now_us, us);
    if (!node->crashed && until_us > node->paused_until_us) node->paused_until_us = until_us;
}

void sim_slow_down(struct sim_node *node, int64_t us_each_call)
{
    node->slow_us = us_each_call;
}

/* A ghost may repeat a failing call a few thousand times, but not for ever. */
void sim_ghost_call(struct sim_node *node)
{
    if (++node->ghost_calls < SIM_GHOST_CALLS_MAX) return;
    fprintf(stderr,
        "sim: seed %llu: node %d goes on for ever after it crashed: a loop without bound\n",
        (unsigned long long)node->sim->seed, node->index);
    abort();
}

/* ---- env of a node ---- */

/* The task that calls; NULL outside of a run, where nothing waits. */
static struct ap_thread *calling(void *world)
{
    return ((struct sim_node *)world)->sim->current;
}

static int64_t env_now(void *world)
{
    struct sim_node *node = world;
    return EPOCH_US + node->sim->now_us + node->skew_us + node->ghost_us;
}

static int64_t env_mono(void *world)
{
    struct sim_node *node = world;
    if (node->crashed) {
        node->ghost_us += 3600 * SECOND_US;
        sim_ghost_call(node);
    }
    return (node->index + 1) * 1000 * SECOND_US + node->sim->now_us + node->ghost_us;
}

void sim_sleep(struct sim_node *node, int64_t us)
{
    struct ap_thread *task = calling(node);
    if (!task) return;
    if (node->crashed) {
        sim_ghost_call(node);
        us = 1; /* not 0: among events of one instant chance decides, and one could wait for ever */
    }
    task->state = TASK_READY;
    wake_at(node->sim, task, later(node->sim->now_us, us > 0 ? us : 0));
    suspend(task);
}

static void env_sleep(void *world, int64_t us)
{
    sim_sleep(world, us);
}

static void fill_random(uint64_t *state, void *out, size_t size)
{
    unsigned char *bytes = out;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = sim_random(state);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

static void env_random(void *world, void *out, size_t size)
{
    fill_random(&((struct sim_node *)world)->random, out, size);
}

static struct ap_lock *env_lock_new(void *world)
{
    struct ap_lock *lock = must(calloc(1, sizeof *lock));
    lock->node = world;
    return lock;
}

static void env_lock_free(void *world, struct ap_lock *lock)
{
    (void)world;
    ap_assert(!lock->owner && !lock->waiting);
    free(lock);
}

static void env_lock(void *world, struct ap_lock *lock)
{
    struct ap_thread *task = calling(world);
    if (!task) return;
    ap_assert(lock->owner != task);
    if (!lock->owner) {
        lock->owner = task;
        return;
    }
    lock->waiting++;
    task->state = TASK_LOCK;
    task->lock = lock;
    task->queued = task->node->sim->serial++;
    task->ticket++;
    suspend(task); /* whoever unlocks made it the owner */
    ap_assert(lock->owner == task);
}

/* Hands the lock to who waits longest. */
static void env_unlock(void *world, struct ap_lock *lock)
{
    struct sim_node *node = world;
    struct ap_thread *first = NULL;
    if (!calling(world)) return;
    ap_assert(lock->owner == calling(world));
    lock->owner = NULL;
    if (!lock->waiting) return;
    for (struct ap_thread *task = node->threads; task; task = task->sibling)
        if (task->state == TASK_LOCK && task->lock == lock &&
            (!first || task->queued < first->queued))
            first = task;
    if (!first) return;
    lock->waiting--;
    lock->owner = first;
    first->state = TASK_READY;
    wake_at(node->sim, first, node->sim->now_us);
}

static bool env_wait_until(void *world, struct ap_lock *lock, int64_t mono_us)
{
    struct sim_node *node = world;
    struct ap_thread *task = calling(world);
    if (!task) return false;
    if (node->crashed) {
        env_unlock(world, lock);
        sim_sleep(node, 0);
        env_lock(world, lock);
        return false;
    }
    env_unlock(world, lock);
    lock->waiting++;
    task->state = TASK_CONDITION;
    task->lock = lock;
    if (mono_us == INT64_MAX)
        task->ticket++;
    else {
        int64_t left = mono_us - env_mono(world);
        wake_at(node->sim, task, later(node->sim->now_us, left > 0 ? left : 0));
    }
    suspend(task);
    bool woken = task->state == TASK_READY; /* env_wake_all; else the time or a crash did it */
    task->state = TASK_READY;
    lock->waiting--;
    env_lock(world, lock);
    return woken;
}

static void env_wake_all(void *world, struct ap_lock *lock)
{
    struct sim_node *node = world;
    if (!lock->waiting) return;
    for (struct ap_thread *task = node->threads; task; task = task->sibling) {
        if (task->state != TASK_CONDITION || task->lock != lock) continue;
        task->state = TASK_READY;
        wake_at(node->sim, task, node->sim->now_us);
    }
}

static struct ap_thread *env_thread_start(void *world, void (*run)(void *arg), void *arg)
{
    return task_new(world, run, arg);
}

static void env_thread_join(void *world, struct ap_thread *thread)
{
    struct sim_node *node = world;
    struct ap_thread *task = calling(world);
    while (thread->state != TASK_DONE) {
        ap_assert(task);
        task->state = TASK_JOIN;
        task->join = thread;
        task->ticket++;
        suspend(task);
        task->state = TASK_READY;
    }
    forget_events_of(node->sim, thread);
    task_free(node->sim, thread);
}

static void **env_local(void *world)
{
    static void *of_main_stack;
    struct ap_thread *task = calling(world);
    return task ? &task->local : &of_main_stack;
}

static const struct ap_env_ops node_env_ops = {
    .now_us = env_now,
    .mono_us = env_mono,
    .sleep_us = env_sleep,
    .random = env_random,
    .lock_new = env_lock_new,
    .lock_free = env_lock_free,
    .lock = env_lock,
    .unlock = env_unlock,
    .wait_until = env_wait_until,
    .wake_all = env_wake_all,
    .thread_start = env_thread_start,
    .thread_join = env_thread_join,
    .local = env_local,
};

/* ---- the bare env: the store's clock, and no waits ---- */

static int64_t bare_now(void *world)
{
    return EPOCH_US + ((struct sim *)world)->now_us;
}

static int64_t bare_mono(void *world)
{
    return 1000 * SECOND_US + ((struct sim *)world)->now_us;
}

static void bare_sleep(void *world, int64_t us)
{
    (void)world, (void)us;
}

static void bare_random(void *world, void *out, size_t size)
{
    fill_random(&((struct sim *)world)->bare_random, out, size);
}

static struct ap_lock *bare_lock_new(void *world)
{
    (void)world;
    return must(calloc(1, sizeof(struct ap_lock)));
}

static void bare_lock_free(void *world, struct ap_lock *lock)
{
    (void)world;
    free(lock);
}

static void bare_lock(void *world, struct ap_lock *lock)
{
    (void)world, (void)lock;
}

static bool bare_wait(void *world, struct ap_lock *lock, int64_t mono_us)
{
    (void)world, (void)lock, (void)mono_us;
    return false;
}

static struct ap_thread *bare_thread_start(void *world, void (*run)(void *arg), void *arg)
{
    (void)world, (void)run, (void)arg;
    return NULL;
}

static void bare_thread_join(void *world, struct ap_thread *thread)
{
    (void)world, (void)thread;
}

static const struct ap_env_ops bare_env_ops = {
    .now_us = bare_now,
    .mono_us = bare_mono,
    .sleep_us = bare_sleep,
    .random = bare_random,
    .lock_new = bare_lock_new,
    .lock_free = bare_lock_free,
    .lock = bare_lock,
    .unlock = bare_lock,
    .wait_until = bare_wait,
    .wake_all = bare_lock,
    .thread_start = bare_thread_start,
    .thread_join = bare_thread_join,
};

/* ---- life ---- */

static void default_to(int64_t *value, int64_t seconds)
{
    if (*value == 0) *value = seconds * SECOND_US;
}

struct sim *sim_new(uint64_t seed, struct sim_faults faults)
{
    struct apiary_error err;
    struct sim *sim = must(calloc(1, sizeof *sim));
    const char *trace = getenv("AP_SEED");
    default_to(&faults.late_us_max, 15 * 60);
    default_to(&faults.slow_us_max, 30);
    default_to(&faults.pause_us_max, 10 * 60);
    default_to(&faults.outage_us_max, 3 * 60);
    default_to(&faults.restart_us_max, 60);
    if (faults.steps_max == 0) faults.steps_max = SIM_STEPS_MAX;
    sim->seed = sim->random = seed;
    sim->faults = faults;
    sim->trace = trace && *trace;
    sim->bare_random = seed ^ UINT64_C(0xBA5E);
    sim->bare_env = (struct ap_env) { .ops = &bare_env_ops, .world = sim };
    if (ap_store_open(&sim->bare_env, "memory://sim", NULL, &sim->bare, &err) != APIARY_OK) {
        fprintf(stderr, "sim: %s\n", err.message);
        abort();
    }
    return sim;
}

struct sim_node *sim_spawn(
    struct sim *sim, void (*run)(struct sim_node *node, void *arg), void *arg)
{
    struct sim_node *node = must(calloc(1, sizeof *node));
    uint64_t skew = (uint64_t)sim->faults.clock_skew_us_max;
    node->next = sim->nodes;
    node->sim = sim;
    node->index = sim->node_count++;
    node->run = run;
    node->arg = arg;
    node->env = (struct ap_env) { .ops = &node_env_ops, .world = node };
    node->random = sim_random(&sim->random);
    node->skew_us = skew ? (int64_t)sim_pick(sim, 2 * skew + 1) - (int64_t)skew : 0;
    sim_store_init(node);
    sim->nodes = node;
    push(sim, (struct event) {
                  .at_us = later(sim->now_us, (int64_t)sim_pick(sim, 200000)), .node = node });
    return node;
}

static void start(struct sim_node *node)
{
    if (node->crashed) {
        node->crashed = false;
        node->boot++;
        node->ghost_us = 0;
        node->cut_off_until_us = 0;
        node->ghost_calls = 0;
        node->random = sim_random(&node->sim->random);
    }
    task_new(node, NULL, NULL);
}

static void step(struct sim *sim)
{
    struct event event = pop(sim);
    sim->steps++;
    if (event.at_us > sim->now_us) sim->now_us = event.at_us;
    if (event.write)
        sim_write_apply(sim, event.write);
    else if (event.node) {
        if (!sim->ending) start(event.node);
    } else if (event.task && event.task->ticket == event.ticket) {
        if (event.task->node->paused_until_us > sim->now_us && !sim->ending) {
            event.at_us = event.task->node->paused_until_us;
            push(sim, event);
        } else
            resume(sim, event.task);
    }
}

bool sim_run(struct sim *sim)
{
    while (sim->event_count > 0) {
        step(sim);
        if (sim->steps < sim->faults.steps_max) continue;
        sim_fail(sim, "no end after %llu steps", (unsigned long long)sim->faults.steps_max);
        return false;
    }
    for (const struct ap_thread *task = sim->tasks; task; task = task->next)
        sim_fail(sim,
            task->state == TASK_DONE ? "a thread of node %d was not joined"
                                     : "node %d waits for ever",
            task->node->index);
    return !sim->tasks;
}

void sim_free(struct sim *sim)
{
    if (!sim) return;
    sim->ending = true;
    /* What has not ended is ended as ghosts, so that it frees what it holds. */
    for (struct sim_node *node = sim->nodes; node; node = node->next) sim_kill(node);
    for (uint64_t steps = 0; sim->event_count > 0 && steps < sim->faults.steps_max; steps++) step(sim);
    while (sim->tasks) task_free(sim, sim->tasks);
    while (sim->nodes) {
        struct sim_node *next = sim->nodes->next;
        free(sim->nodes);
        sim->nodes = next;
    }
    ap_store_close(sim->bare);
    free(sim->events);
    free(sim);
}

/* ---- questions ---- */

struct ap_env *sim_env(struct sim_node *node)
{
    return &node->env;
}

struct ap_store *sim_store(struct sim_node *node)
{
    return &node->store.store;
}

struct sim *sim_of(struct sim_node *node)
{
    return node->sim;
}

int sim_index(const struct sim_node *node)
{
    return node->index;
}

int sim_boot(const struct sim_node *node)
{
    return node->boot;
}

bool sim_crashed(const struct sim_node *node)
{
    return node->crashed;
}

struct ap_store *sim_bare(struct sim *sim)
{
    return sim->bare;
}

struct ap_env *sim_bare_env(struct sim *sim)
{
    return &sim->bare_env;
}

int64_t sim_now_us(const struct sim *sim)
{
    return sim->now_us;
}

uint64_t sim_seed(const struct sim *sim)
{
    return sim->seed;
}

struct sim_tally sim_tally(const struct sim *sim)
{
    return sim->tally;
}

void sim_watch_writes(struct sim *sim, sim_witness *witness, void *context)
{
    sim->witness = witness;
    sim->witness_context = context;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (sim->blame[0]) return;
    va_start(args, format);
    vsnprintf(sim->blame, sizeof sim->blame, format, args);
    va_end(args);
}

const char *sim_blame(const struct sim *sim)
{
    return sim->blame[0] ? sim->blame : NULL;
}

void sim_trace(struct sim_node *node, const char *what, const char *key, const char *outcome)
{
    if (!node->sim->trace) return;
    fprintf(stderr, "%14.6f node %d.%d %-13s %s -> %s\n", (double)node->sim->now_us / 1e6,
        node->index, node->boot, what, key, outcome);
}
