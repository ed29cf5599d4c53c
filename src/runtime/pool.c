/* The pool: bees, the queue for them, and the chambers that wait warm.
 *
 * Invariants, under the lock:
 *   (1) bees_free + bees_held of all chambers = bees; at most one chamber is the guest.
 *   (2) Only the head of the queue may take bees: a wide request waits for those before it
 *       and is not overtaken by narrow ones for ever.
 *   (3) A chamber is freed by the service thread only, and only when its process is reaped.
 * Any warm chamber serves any width: the engine is opened anew for each statement, and the
 * kernel's soft limit is moved (chamber.c). */
#include "runtime/pool.h"

#include "core/alloc.h"
#include "runtime/pool_private.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { USE_SMOOTHING = 8 };
enum { CANCEL_LOOK_MS = 50 };                /* a waiting caller looks at its cancel so often */
#define SCRATCH_UNKNOWN (UINT64_C(16) << 30) /* where the disk does not tell its free space */

enum apiary_code ap_pool_check_owner(const struct ap_pool *pool, struct apiary_error *err)
{
    if (pool->owner == getpid()) return APIARY_OK;
    return ap_fail(err, APIARY_INVALID,
        "this handle was opened before fork() and belongs to the parent process; open another one");
}

uint64_t ap_pool_budget_of(const struct ap_pool *pool, int width)
{
    uint64_t all = pool->memory_bytes - pool->guest_bytes;
    uint64_t budget = width >= pool->bees ? all : all / (uint64_t)pool->bees * (uint64_t)width;
    return budget < AP_CHAMBER_BUDGET_LEAST ? AP_CHAMBER_BUDGET_LEAST : budget;
}

int ap_pool_cold_threads(uint64_t memory_bytes, int width)
{
    enum { THREAD_BYTES = 64 << 20 };
    uint64_t threads = memory_bytes / THREAD_BYTES;
    if (threads > AP_POOL_COLD_THREADS) threads = AP_POOL_COLD_THREADS;
    return (int)threads > width ? (int)threads : width;
}

static uint64_t guest_bytes(uint64_t memory_bytes)
{
    if (memory_bytes < AP_CHAMBER_BUDGET_LEAST + AP_GUEST_BYTES_MIN) return 0;
    uint64_t part = memory_bytes / AP_GUEST_PART;
    if (part < AP_GUEST_BYTES_MIN) return AP_GUEST_BYTES_MIN;
    return part < AP_GUEST_BYTES_MAX ? part : AP_GUEST_BYTES_MAX;
}

void ap_pool_wake(struct ap_pool *pool)
{
    uint64_t one = 1;
    ssize_t ignored = write(pool->wake_fd, &one, sizeof one); /* full means: it is awake anyway */
    (void)ignored;
}

int64_t ap_pool_deadline(struct ap_pool *pool, int64_t ms)
{
    return ap_mono_us(pool->env) + ms * 1000;
}

/* ---- open and close ---- */

static char *default_scratch(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/apiary-%u", (unsigned)geteuid());
    return ap_strdup(path);
}

static uint64_t half_of_free_disk(const char *dir)
{
    /* The folder may not exist yet: its nearest parent lies on the same disk. */
    AP_AUTO_FREE char *path = ap_strdup(dir);
    while (path && *path) {
        struct statvfs disk;
        if (statvfs(path, &disk) == 0) return (uint64_t)disk.f_bavail * disk.f_frsize / 2;
        char *slash = strrchr(path, '/');
        if (!slash || slash == path) break;
        *slash = 0;
    }
    return SCRATCH_UNKNOWN;
}

static void pool_free(struct ap_pool *pool)
{
    if (pool->epoll_fd >= 0) close(pool->epoll_fd);
    if (pool->wake_fd >= 0) close(pool->wake_fd);
    ap_lock_free(pool->env, pool->lock);
    ap_slots_close(pool->slots);
    ap_free(pool->scratch_dir);
    ap_free(pool->program);
    ap_free(pool->program_found);
    ap_free(pool->machine_root);
    ap_free(pool);
}

static void open_slots(struct ap_pool *pool, const struct ap_pool_options *options)
{
    int slots = options->slots > pool->bees ? options->slots : pool->bees;
    if (slots > AP_POOL_BEES_MAX) slots = AP_POOL_BEES_MAX;
    enum { DIRS = sizeof options->slots_dirs / sizeof *options->slots_dirs };
    struct apiary_error why = { 0 };
    for (int i = 0; i < DIRS && !pool->slots; i++)
        if (options->slots_dirs[i] &&
            ap_slots_open(options->slots_dirs[i], slots, &pool->slots, &why) != APIARY_OK)
            pool->slots = NULL;
    if (!pool->slots && why.code != APIARY_OK)
        ap_log_event(pool->log, AP_LOG_WARNING, "runtime", "bees_not_shared", "reason=%s", why.message);
}

static enum apiary_code pool_fill(
    struct ap_pool *pool, const struct ap_pool_options *options, struct apiary_error *err)
{
    pool->scratch_dir = options->scratch_dir && *options->scratch_dir
                            ? ap_strdup(options->scratch_dir)
                            : default_scratch();
    if (options->program) pool->program = ap_strdup(options->program);
    if (options->machine_root) pool->machine_root = ap_strdup(options->machine_root);
    pool->lock = ap_lock_new(pool->env);
    if (!pool->scratch_dir || !pool->lock || (options->program && !pool->program) ||
        (options->machine_root && !pool->machine_root))
        return ap_fail_memory(err, "a bee pool");
    pool->scratch_bytes_max = options->scratch_bytes_max ? options->scratch_bytes_max
                                                         : half_of_free_disk(pool->scratch_dir);

    pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0 };
    if (pool->wake_fd < 0 || pool->epoll_fd < 0 ||
        epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, pool->wake_fd, &event) != 0)
        return ap_fail_errno(err, errno, "cannot open a bee pool");
    open_slots(pool, options);
    ap_scratch_sweep(pool->scratch_dir);
    pool->thread = pool->env->ops->thread_start(pool->env->world, ap_service_run, pool);
    if (!pool->thread) return ap_fail(err, APIARY_MEMORY, "cannot start the bee pool's thread");
    return APIARY_OK;
}

enum apiary_code ap_pool_open(struct ap_env *env, const struct ap_pool_options *options,
    struct ap_pool **out, struct apiary_error *err)
{
    if (options->bees < 1 || options->bees > AP_POOL_BEES_MAX)
        return ap_fail(
            err, APIARY_CONFIG, "bees is %d, it must be 1 to %d", options->bees, AP_POOL_BEES_MAX);
    if (options->memory_bytes == 0) return ap_fail(err, APIARY_CONFIG, "memory_limit is 0");
    struct ap_pool *pool = ap_calloc(1, sizeof *pool);
    if (!pool) return ap_fail_memory(err, "a bee pool");
    pool->env = env;
    pool->owner = getpid();
    pool->bees = pool->bees_free = options->bees;
    pool->memory_bytes = options->memory_bytes;
    pool->require_seal = options->require_seal;
    pool->kernel_limit = options->kernel_limit;
    pool->heat_delay_us =
        (options->heat_delay_ms ? options->heat_delay_ms : AP_POOL_HEAT_MS) * INT64_C(1000);
    pool->admit_wait_ms = options->admit_wait_ms ? options->admit_wait_ms : AP_ADMIT_WAIT_MS;
    pool->log = options->log;
    pool->wake_fd = pool->epoll_fd = -1;
    pool->guest_bytes = guest_bytes(pool->memory_bytes);
    uint64_t share = (pool->memory_bytes - pool->guest_bytes) / (uint64_t)pool->bees;
    uint64_t span = share ? (AP_CHAMBER_BUDGET_MIN + share - 1) / share : (uint64_t)pool->bees;
    pool->span_min = span > (uint64_t)pool->bees ? pool->bees : (int)span;

    enum apiary_code code = pool_fill(pool, options, err);
    if (code != APIARY_OK) {
        pool_free(pool);
        return code;
    }
    *out = pool;
    return APIARY_OK;
}

void ap_pool_close(struct ap_pool *pool)
{
    if (!pool) return;
    /* In a forked child neither the thread nor the chambers are ours; they are left alone. */
    if (pool->owner != getpid()) return;
    ap_lock(pool->env, pool->lock);
    pool->closing = true;
    ap_wake_all(pool->env, pool->lock);
    ap_pool_wake(pool);
    ap_unlock(pool->env, pool->lock);
    pool->env->ops->thread_join(pool->env->world, pool->thread);
    pool_free(pool);
}

/* ---- the queue ---- */

static void queue_remove_locked(struct ap_pool *pool, struct ap_waiter *waiter)
{
    struct ap_waiter **link = &pool->queue_head, *before = NULL;
    while (*link != waiter) {
        before = *link;
        link = &(*link)->next;
    }
    *link = waiter->next;
    if (pool->queue_tail == waiter) pool->queue_tail = before;
    pool->queue_size--;
    ap_wake_all(pool->env, pool->lock); /* there may be a new head */
}

static void ask_to_yield_locked(struct ap_pool *pool)
{
    for (struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next)
        if (chamber->yields) ap_cancel_request(chamber->yields);
}

/* The most recently used of the idle chambers. */
static struct ap_chamber *warm_locked(struct ap_pool *pool)
{
    struct ap_chamber *best = NULL;
    for (struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next)
        if (chamber->state == AP_CHAMBER_IDLE && !chamber->exited &&
            (!best || chamber->idle_since_us > best->idle_since_us))
            best = chamber;
    return best;
}

static bool alive(const struct ap_chamber *chamber)
{
    struct pollfd channel = { .fd = chamber->job_fd, .events = POLLIN };
    return poll(&channel, 1, 0) >= 0 && !(channel.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* The chamber that the waiter would get. NULL: no description of the slots can be had now. */
static struct ap_chamber *candidate_locked(struct ap_pool *pool, struct ap_waiter *waiter)
{
    struct ap_chamber *chamber = warm_locked(pool);
    if (chamber) return chamber;
    chamber = waiter->fresh;
    if (pool->slots && chamber->bees_fd < 0) chamber->bees_fd = ap_slots_descriptor(pool->slots);
    return pool->slots && chamber->bees_fd < 0 ? NULL : chamber;
}

static void hand_over_locked(
    struct ap_pool *pool, struct ap_waiter *waiter, struct ap_chamber *chamber)
{
    if (chamber == waiter->fresh) {
        waiter->fresh = NULL;
        chamber->number = ++pool->chamber_number;
        chamber->state = AP_CHAMBER_STARTING;
        chamber->next = pool->chambers;
        pool->chambers = chamber;
    } else {
        chamber->state = AP_CHAMBER_BUSY;
    }
    chamber->taken_us = ap_mono_us(pool->env);
    waiter->served = chamber;
}

/* How many of the free bees a statement takes that could use all: others wait as well. */
static int fair_share_locked(struct ap_pool *pool, int need)
{
    int waiting = (int)pool->queue_size + ap_slots_others_wait(pool->slots);
    int share = pool->bees_free / (waiting > 1 ? waiting : 1);
    return share > need ? share : need;
}

static bool serve_locked(struct ap_pool *pool, struct ap_waiter *waiter)
{
    if (pool->bees_free < waiter->need) return false;
    struct ap_chamber *chamber = candidate_locked(pool, waiter);
    if (!chamber) return false;
    int want = waiter->width <= 0 ? fair_share_locked(pool, waiter->need) : waiter->need;
    int got = ap_slots_take(
        pool->slots, chamber->bees_fd, waiter->need, want, ap_mono_us(pool->env));
    if (!got) return false;
    pool->bees_free -= got;
    chamber->width = chamber->bees_held = got;
    chamber->budget_bytes = ap_pool_budget_of(pool, got);
    hand_over_locked(pool, waiter, chamber);
    return true;
}

static bool may_be_guest(const struct ap_pool *pool, const struct ap_waiter *waiter)
{
    bool small = waiter->width == 1 || waiter->width == AP_WIDTH_SMALL;
    return small && pool->guest_bytes > 0 && !pool->guest_taken;
}

static bool serve_guest_locked(struct ap_pool *pool, struct ap_waiter *waiter)
{
    if (!may_be_guest(pool, waiter)) return false;
    if (ap_mono_us(pool->env) - waiter->since_us < AP_POOL_GUEST_MS * 1000) return false;
    struct ap_chamber *chamber = candidate_locked(pool, waiter);
    if (!chamber || !ap_slots_take_guest(pool->slots, chamber->bees_fd)) return false;
    ap_slots_leave(pool->slots);
    pool->guest_taken = true;
    chamber->guest = true;
    chamber->width = 1;
    chamber->budget_bytes = pool->guest_bytes;
    hand_over_locked(pool, waiter, chamber);
    return true;
}

/* Waits until the waiter, which must be in the queue, is served. On OK it is the head still. */
static enum apiary_code queue_wait_locked(struct ap_pool *pool, struct ap_waiter *waiter,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    for (;;) {
        if (pool->closing) return ap_fail(err, APIARY_INVALID, "the handle is being closed");
        if (ap_cancel_requested(cancel))
            return ap_fail(err, APIARY_CANCELLED, "cancelled while waiting for a free bee");
        bool first = pool->queue_head == waiter;
        if (first && (serve_locked(pool, waiter) || serve_guest_locked(pool, waiter)))
            return APIARY_OK;
        ask_to_yield_locked(pool);
        /* Nobody tells us when another process gives a slot back. */
        int64_t until = cancel ? ap_pool_deadline(pool, CANCEL_LOOK_MS) : INT64_MAX;
        if (first && (may_be_guest(pool, waiter) || (pool->slots && pool->bees_free >= waiter->need)))
            until = ap_pool_deadline(pool, AP_POOL_SLOTS_MS);
        bool woken = ap_wait_until(pool->env, pool->lock, until);
        if (!woken && cancel && cancel->look) {
            ap_unlock(pool->env, pool->lock); /* the host may want a lock of its own */
            cancel->look(cancel->look_context);
            ap_lock(pool->env, pool->lock);
        }
    }
}

/* Takes bees and a chamber for them: a warm one in *out, BUSY, or a new one, STARTING. */
static enum apiary_code reserve(struct ap_pool *pool, int width, const struct ap_cancel *cancel,
    struct ap_chamber **out, struct apiary_error *err)
{
    struct ap_waiter waiter = { .width = width, .need = width < pool->span_min ? pool->span_min : width };
    if (waiter.need > pool->bees) waiter.need = pool->bees;
    waiter.fresh = ap_chamber_new(pool);
    if (!waiter.fresh) return ap_fail_memory(err, "a chamber");

    ap_lock(pool->env, pool->lock);
    if (pool->queue_size >= AP_POOL_QUEUE_MAX) {
        ap_unlock(pool->env, pool->lock);
        ap_chamber_free(waiter.fresh);
        return ap_fail(
            err, APIARY_BUSY, "%d statements wait for a free bee already", AP_POOL_QUEUE_MAX);
    }
    if (pool->queue_tail)
        pool->queue_tail->next = &waiter;
    else
        pool->queue_head = &waiter;
    pool->queue_tail = &waiter;
    pool->queue_size++;
    waiter.since_us = ap_mono_us(pool->env);
    enum apiary_code code = queue_wait_locked(pool, &waiter, cancel, err);
    if (code != APIARY_OK && pool->queue_head == &waiter) ap_slots_leave(pool->slots);
    queue_remove_locked(pool, &waiter);
    ap_unlock(pool->env, pool->lock);
    ap_chamber_free(waiter.fresh);
    if (code == APIARY_OK) *out = waiter.served;
    return code;
}

static void note_use_locked(struct ap_chamber *chamber)
{
    struct ap_pool *pool = chamber->pool;
    int64_t use = ap_mono_us(pool->env) - chamber->taken_us;
    pool->use_us += (use - pool->use_us) / USE_SMOOTHING;
}

/* Ends a BUSY chamber; its bees come back when its process is gone. */
static void discard(struct ap_chamber *chamber, enum ap_chamber_end end)
{
    struct ap_pool *pool = chamber->pool;
    ap_chamber_handler_set(chamber, NULL);
    ap_lock(pool->env, pool->lock);
    chamber->yields = NULL;
    note_use_locked(chamber);
    ap_chamber_kill_locked(chamber, end);
    chamber->state = AP_CHAMBER_DEAD;
    ap_pool_wake(pool);
    ap_unlock(pool->env, pool->lock);
}

enum apiary_code ap_chamber_take(struct ap_pool *pool, int width, const struct ap_cancel *cancel,
    struct ap_chamber **out, struct apiary_error *err)
{
    AP_TRY(ap_pool_check_owner(pool, err));
    if (width < AP_WIDTH_SMALL)
        return ap_fail(err, APIARY_INVALID, "a chamber cannot span %d bees", width);
    /* A warm chamber that died in its sleep, or holds too much for us, is replaced. */
    for (;;) {
        struct ap_chamber *chamber = NULL;
        AP_TRY(reserve(pool, width, cancel, &chamber, err));
        if (chamber->state == AP_CHAMBER_STARTING) {
            AP_TRY(ap_chamber_start(chamber, cancel, err));
        } else if (!alive(chamber) || !ap_chamber_fit(chamber, false)) {
            discard(chamber, AP_END_IDLE);
            continue;
        }
        *out = chamber;
        return APIARY_OK;
    }
}

void ap_chamber_retire(struct ap_chamber *chamber)
{
    chamber->doubtful = true; /* whoever holds it is the only one who looks at that */
}

void ap_chamber_give(struct ap_chamber *chamber)
{
    if (!chamber) return;
    struct ap_pool *pool = chamber->pool;
    if (pool->owner != getpid()) return;
    if (chamber->in_job || chamber->doubtful || chamber->job >= AP_CHAMBER_JOBS_MAX) {
        discard(chamber, AP_END_PROTOCOL);
        return;
    }
    ap_chamber_handler_set(chamber, NULL);
    ap_lock(pool->env, pool->lock);
    chamber->yields = NULL;
    note_use_locked(chamber);
    if (chamber->exited || pool->closing) {
        chamber->state = AP_CHAMBER_DEAD;
        ap_chamber_kill_locked(chamber, AP_END_IDLE);
    } else {
        chamber->state = AP_CHAMBER_IDLE;
        chamber->idle_since_us = ap_mono_us(pool->env);
        pool->bees_free += chamber->bees_held;
        if (chamber->guest) pool->guest_taken = false;
        chamber->guest = false;
        chamber->width = chamber->bees_held = 0;
        ap_slots_give(pool->slots, chamber->bees_fd);
        ap_wake_all(pool->env, pool->lock);
    }
    ap_pool_wake(pool);
    ap_unlock(pool->env, pool->lock);
}

/* ---- status ---- */

static struct ap_bee_status status_of(
    const struct ap_chamber *chamber, size_t index, uint64_t parts, uint64_t budget_bytes)
{
    static const char *const names[AP_CHAMBER_STATES] = { "starting", "busy", "idle", "none" };
    uint64_t used = chamber->memory_bytes, peak = chamber->memory_bytes_peak;
    if (peak < used) peak = used; /* a job that was not looked at yet */
    struct ap_bee_status status = {
        .index = (int)index,
        .state = names[chamber->state],
        .memory_bytes = used / parts,
        .memory_bytes_peak = peak / parts,
        .budget_bytes = budget_bytes,
        .chamber_pid = (int)chamber->pid,
        .guest = chamber->guest,
    };
    if (chamber->state == AP_CHAMBER_BUSY || chamber->state == AP_CHAMBER_IDLE)
        memcpy(status.seal, chamber->seal, sizeof status.seal);
    memcpy(status.task, chamber->task, sizeof status.task);
    return status;
}

size_t ap_pool_status(struct ap_pool *pool, struct ap_bee_status *out, size_t max)
{
    size_t guests = 0, bee = 0, bees = (size_t)pool->bees;
    if (pool->owner != getpid()) return bees;
    ap_lock(pool->env, pool->lock);
    /* First what works, then what waits warm, then the rest. */
    for (int round = 0; round < 2; round++) {
        for (const struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next) {
            bool idle = chamber->state == AP_CHAMBER_IDLE;
            if (idle != (round == 1)) continue;
            int width = idle ? 1 : chamber->bees_held;
            uint64_t parts = width > 0 ? (uint64_t)width : 1;
            uint64_t budget = idle ? ap_pool_memory_per_bee(pool) : chamber->budget_bytes / parts;
            for (int i = 0; i < width && bee < bees; i++, bee++)
                if (bee < max) out[bee] = status_of(chamber, bee, parts, budget);
            if (!chamber->guest || guests > 0) continue;
            if (bees < max) out[bees] = status_of(chamber, bees, 1, chamber->budget_bytes);
            guests++;
        }
    }
    ap_unlock(pool->env, pool->lock);
    for (; bee < bees; bee++)
        if (bee < max)
            out[bee] = (struct ap_bee_status) {
                .index = (int)bee, .state = "none", .budget_bytes = ap_pool_memory_per_bee(pool)
            };
    return bees + guests;
}

void ap_pool_feel_locked(struct ap_pool *pool, struct ap_pool_load *out)
{
    struct ap_pool_load load = { .bees = pool->bees,
        .bees_busy = pool->bees - pool->bees_free,
        .memory_bytes = pool->memory_bytes,
        .waiting = pool->queue_size };
    for (const struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next)
        load.memory_bytes_used += chamber->memory_bytes;
    int64_t now = ap_mono_us(pool->env);
    if (pool->pressure_us == 0 || now - pool->pressure_us > AP_POOL_PRESSURE_MS * 1000) {
        ap_machine_pressure(&pool->pressure, pool->machine_root ? pool->machine_root : "");
        pool->pressure_us = now;
    }
    load.sources = (struct ap_heat_sources) {
        .bees_busy = (double)load.bees_busy / load.bees,
        .cpu_pressure = pool->pressure.cpu,
        .memory_used = (double)load.memory_bytes_used / (double)load.memory_bytes,
        .memory_pressure = pool->pressure.memory,
        .queue = (double)load.waiting / load.bees,
    };
    load.temperature = ap_smoothed_add(
        &pool->heat, ap_temperature_of(&load.sources), now, pool->heat_delay_us);
    load.band = ap_temperature_band(load.temperature);
    load.wait_us = pool->use_us * (int64_t)(load.waiting + 1) / load.bees;
    *out = load;
}

void ap_pool_load(struct ap_pool *pool, struct ap_pool_load *out)
{
    if (pool->owner != getpid()) {
        *out = (struct ap_pool_load) { .bees = pool->bees, .memory_bytes = pool->memory_bytes };
        return;
    }
    ap_lock(pool->env, pool->lock);
    ap_pool_feel_locked(pool, out);
    ap_unlock(pool->env, pool->lock);
}

bool ap_pool_quiet(struct ap_pool *pool, const struct ap_chamber *mine)
{
    if (pool->owner != getpid()) return false;
    struct ap_pool_load load;
    ap_lock(pool->env, pool->lock);
    ap_pool_feel_locked(pool, &load);
    bool closing = pool->closing;
    ap_unlock(pool->env, pool->lock);
    /* What maintenance itself heats does not count against it. */
    bool cool = mine ? load.band <= AP_BAND_IDEAL : load.band == AP_BAND_COLD;
    return cool && !closing && load.waiting == 0 && load.bees_busy == (mine ? mine->bees_held : 0);
}

void ap_chamber_yields(struct ap_chamber *chamber, struct ap_cancel *cancel)
{
    struct ap_pool *pool = chamber->pool;
    ap_lock(pool->env, pool->lock);
    chamber->yields = cancel;
    if (pool->queue_size) ask_to_yield_locked(pool);
    ap_unlock(pool->env, pool->lock);
}

uint64_t ap_pool_memory_per_bee(const struct ap_pool *pool)
{
    return (pool->memory_bytes - pool->guest_bytes) / (uint64_t)pool->bees;
}

int ap_pool_bees(const struct ap_pool *pool)
{
    return pool->bees;
}
