/* The service thread: the one thread that lives as long as the pool.
 *
 * It spawns every chamber (a chamber's parent-death signal follows the thread that spawned
 * it), answers the chambers' questions through the handler of the running job, keeps the end
 * of what they write to stderr, samples their memory, reaps them and frees them. It never
 * waits for one chamber alone. An event names a chamber by its number, so one that was freed
 * a moment ago is simply not found. */
#include "core/alloc.h"
#include "runtime/pool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

enum source { SOURCE_WAKE, SOURCE_ASK, SOURCE_WORDS, SOURCE_EXIT, SOURCE_BITS = 2 };
enum { EVENTS_MAX = 64, CLOSE_MS = 10 * 1000, WORDS_READS_MAX = 128 };
/* What a chamber may hold above its budget before it is ended: the kernel's fence is on
 * private memory and this watch is the second line; without the fence it is the only one. */
enum { MARGIN_FENCED = 4, MARGIN_ALONE = 2 }; /* budget ÷ this */

static struct ap_chamber *find_locked(struct ap_pool *pool, uint64_t number)
{
    struct ap_chamber *chamber = pool->chambers;
    while (chamber && chamber->number != number) chamber = chamber->next;
    return chamber;
}

/* ---- start ---- */

static bool watch(struct ap_pool *pool, struct ap_chamber *chamber, int fd, enum source source)
{
    struct epoll_event event = { .events = EPOLLIN,
        .data.u64 = chamber->number << SOURCE_BITS | (uint64_t)source };
    return fd >= 0 && epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void unwatch(struct ap_pool *pool, bool *watched, int fd)
{
    if (*watched) epoll_ctl(pool->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    *watched = false;
}

static enum apiary_code spawn(
    struct ap_pool *pool, struct ap_chamber *chamber, struct apiary_error *err)
{
    if (!pool->scratch) AP_TRY(ap_scratch_open(pool->env, pool->scratch_dir, &pool->scratch, err));
    if (!pool->program_found) AP_TRY(ap_spawn_find(pool->program, &pool->program_found, err));
    AP_TRY(ap_scratch_folder(pool->scratch, chamber->number, &chamber->scratch, err));
    struct ap_spawned spawned;
    AP_TRY(ap_spawn(pool->program_found, chamber->bees_fd, &spawned, err));
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/statm", (int)spawned.pid);
    chamber->statm_fd = open(path, O_RDONLY | O_CLOEXEC);
    chamber->pid_fd = spawned.pid_fd;
    chamber->job_fd = spawned.job_fd;
    chamber->ask_fd = spawned.ask_fd;
    chamber->words_fd = spawned.words_fd;
    chamber->pid = spawned.pid;
    return APIARY_OK;
}

static void spawn_wanted(struct ap_pool *pool)
{
    for (;;) {
        ap_lock(pool->env, pool->lock);
        struct ap_chamber *chamber = pool->chambers;
        while (chamber && !chamber->spawn_wanted) chamber = chamber->next;
        if (chamber) chamber->spawn_wanted = false;
        ap_unlock(pool->env, pool->lock);
        if (!chamber) return;

        struct apiary_error err = { 0 };
        if (spawn(pool, chamber, &err) == APIARY_OK) err.code = APIARY_OK;

        ap_lock(pool->env, pool->lock);
        chamber->spawn_error = err;
        chamber->spawned = true;
        if (err.code != APIARY_OK) {
            chamber->exited = true; /* there is nothing to reap */
        } else {
            chamber->ask_watched = watch(pool, chamber, chamber->ask_fd, SOURCE_ASK);
            chamber->words_watched = watch(pool, chamber, chamber->words_fd, SOURCE_WORDS);
            chamber->pid_watched = watch(pool, chamber, chamber->pid_fd, SOURCE_EXIT);
        }
        ap_wake_all(pool->env, pool->lock);
        ap_unlock(pool->env, pool->lock);
    }
}

/* ---- questions ---- */

/* A path that we pass on: bounded, without NUL, absolute. */
static bool path_fine(struct ap_str path)
{
    return path.size > 0 && path.size < AP_WIRE_PATH_MAX && path.data[0] == '/' &&
           !memchr(path.data, 0, path.size);
}

static int answer_list(
    const struct ap_handler *handler, const char *path, struct ap_wire_message *reply)
{
    struct ap_texts names = { 0 };
    int error = handler->list(handler->context, path, &names);
    for (size_t i = 0; !error && i < names.count; i++) {
        if (reply->body.size + strlen(names.items[i]) + 1 > AP_ASK_NAMES_MAX) error = E2BIG;
        if (!error && (ap_bytes_add_text(&reply->body, names.items[i], NULL) != APIARY_OK ||
                          ap_bytes_add(&reply->body, "\n", 1, NULL) != APIARY_OK))
            error = ENOMEM;
    }
    if (error) ap_bytes_clear(&reply->body);
    ap_texts_done(&names);
    return error;
}

/* The answer's errno. Called with the chamber's ask_lock held. */
static int answer(const struct ap_chamber *chamber, const struct ap_wire_message *question,
    struct ap_wire_message *reply)
{
    const struct ap_handler *handler = chamber->handler;
    struct ap_str body = ap_bytes_view(&question->body), to = { 0 };
    if (question->kind == AP_WIRE_RENAME) {
        const char *end = memchr(body.data, 0, body.size);
        if (!end) return EINVAL;
        to = (struct ap_str) { end + 1, body.size - (size_t)(end + 1 - body.data) };
        if (to.size && to.data[to.size - 1] == 0) to.size--;
        body.size = (size_t)(end - body.data);
        if (!path_fine(to)) return EINVAL;
    }
    if (question->kind == AP_WIRE_MAP)
        return handler && handler->map ? handler->map(handler->context, &reply->fd) : ENOSYS;
    if (question->kind == AP_WIRE_TAKE) {
        const struct ap_page_wait wait = { .who = chamber->slots, .slot = (uint32_t)question->values[0] };
        if (!handler || !handler->take || question->values[0] >= AP_PAGE_SLOTS) return EINVAL;
        return handler->take(handler->context, wait, &reply->body);
    }
    if (!path_fine(body)) return EINVAL;
    if (!handler) return ENOENT;
    /* Views of a body are ended by its NUL, or by the one between the two paths. */
    const char *path = body.data;
    switch (question->kind) {
        case AP_WIRE_OPEN: {
            int fd = -1;
            uint64_t size = 0, paging[2] = { 0 };
            if (!handler->open) return ENOENT;
            int error = handler->open(
                handler->context, path, (int)question->values[0], &fd, &size, paging);
            if (error) return error;
            reply->fd = fd;
            reply->values[1] = size;
            reply->values[2] = paging[0];
            reply->values[3] = paging[1];
            return fd >= 0 ? 0 : ENOENT;
        }
        case AP_WIRE_STAT: {
            uint64_t size = 0;
            bool directory = false;
            if (!handler->stat) return ENOENT;
            int error = handler->stat(handler->context, path, &size, &directory);
            reply->values[1] = size;
            reply->values[2] = directory ? 2 : 1;
            reply->values[3] = 1; /* constant: files do not change while a statement reads them */
            return error;
        }
        case AP_WIRE_LIST: return handler->list ? answer_list(handler, path, reply) : ENOENT;
        case AP_WIRE_RENAME:
            return handler->rename ? handler->rename(handler->context, path, to.data) : EROFS;
        case AP_WIRE_UNLINK:
            return handler->unlink ? handler->unlink(handler->context, path) : EROFS;
        default: return ENOSYS;
    }
}

/* A read that waits has no reply; its slot tells. Called with the ask_lock held. */
static void range(struct ap_chamber *chamber, const struct ap_wire_message *question)
{
    const struct ap_handler *handler = chamber->handler;
    struct ap_page_wait wait = ap_page_slots_wait(chamber->slots, question->values[0]);
    if (handler && handler->range)
        handler->range(handler->context, question->values[1], question->values[2],
            question->values[3], wait);
    else
        ap_page_wait_end(wait, AP_PAGE_ERROR + ENOENT);
}

static void ask_event(struct ap_pool *pool, struct ap_chamber *chamber)
{
    struct ap_wire_message question, reply;
    struct apiary_error err = { 0 };
    ap_wire_message_init(&question);
    ap_wire_message_init(&reply);
    enum apiary_code code = ap_wire_receive(chamber->ask_fd, &question, 0, NULL, &err);
    if (code == APIARY_OK && question.kind == AP_WIRE_RANGE) {
        ap_lock(pool->env, chamber->ask_lock);
        range(chamber, &question);
        ap_unlock(pool->env, chamber->ask_lock);
    } else if (code == APIARY_OK) {
        reply.kind = AP_WIRE_ANSWER;
        reply.job = question.job;
        ap_lock(pool->env, chamber->ask_lock);
        int error = answer(chamber, &question, &reply);
        ap_unlock(pool->env, chamber->ask_lock);
        reply.values[0] = (uint64_t)(error < 0 ? EIO : error);
        if (error && reply.fd >= 0) {
            close(reply.fd);
            reply.fd = -1;
        }
        code = ap_wire_send(chamber->ask_fd, &reply, &err);
    }
    ap_lock(pool->env, pool->lock);
    chamber->asked++;
    if (code != APIARY_OK && code != APIARY_TIMEOUT) {
        unwatch(pool, &chamber->ask_watched, chamber->ask_fd);
        if (code != APIARY_CHAMBER) ap_chamber_kill_locked(chamber, AP_END_PROTOCOL);
    }
    ap_unlock(pool->env, pool->lock);
    ap_wire_message_done(&question);
    ap_wire_message_done(&reply);
}

/* ---- last words ---- */

/* Reads once; false when there is no more for now. */
static bool words_read_locked(struct ap_pool *pool, struct ap_chamber *chamber)
{
    char part[AP_CHAMBER_WORDS_MAX];
    ssize_t size = read(chamber->words_fd, part, sizeof part);
    if (size <= 0) {
        if (size == 0 || (errno != EAGAIN && errno != EINTR))
            unwatch(pool, &chamber->words_watched, chamber->words_fd);
        return false;
    }
    size_t keep = AP_CHAMBER_WORDS_MAX - (size_t)size;
    if (chamber->words_size > keep) {
        memmove(chamber->words, chamber->words + (chamber->words_size - keep), keep);
        chamber->words_size = keep;
    }
    memcpy(chamber->words + chamber->words_size, part, (size_t)size);
    chamber->words_size += (size_t)size;
    return true;
}

static void words_event(struct ap_pool *pool, struct ap_chamber *chamber)
{
    ap_lock(pool->env, pool->lock);
    words_read_locked(pool, chamber);
    ap_unlock(pool->env, pool->lock);
}

/* ---- exits ---- */

static void reap_locked(struct ap_pool *pool, struct ap_chamber *chamber)
{
    if (chamber->exited || !chamber->spawned) return;
    siginfo_t info = { 0 };
    if (waitid(P_PID, (id_t)chamber->pid, &info, WEXITED | WNOHANG) == 0) {
        if (info.si_pid == 0) return; /* lives */
        chamber->status_known = true;
        /* The two forms of wait status, as waitpid would give them. */
        chamber->wait_status =
            info.si_code == CLD_EXITED ? (info.si_status & 0xff) << 8 : info.si_status & 0x7f;
    } else if (errno != ECHILD) {
        return;
    }
    /* What it said last is still in the pipe. */
    for (int i = 0; i < WORDS_READS_MAX && words_read_locked(pool, chamber); i++) continue;
    chamber->exited = true;
    unwatch(pool, &chamber->pid_watched, chamber->pid_fd);
    ap_wake_all(pool->env, pool->lock);
}

/* Frees what is DEAD and gone, and gives its bees back. */
static void bury(struct ap_pool *pool)
{
    for (;;) {
        ap_lock(pool->env, pool->lock);
        struct ap_chamber **link = &pool->chambers;
        while (*link && !((*link)->state == AP_CHAMBER_DEAD && (*link)->exited))
            link = &(*link)->next;
        struct ap_chamber *chamber = *link;
        if (chamber) {
            *link = chamber->next;
            unwatch(pool, &chamber->ask_watched, chamber->ask_fd);
            unwatch(pool, &chamber->words_watched, chamber->words_fd);
            pool->bees_free += chamber->bees_held;
            if (chamber->guest) pool->guest_taken = false;
            ap_slots_give(pool->slots, chamber->bees_fd);
            ap_wake_all(pool->env, pool->lock);
        }
        ap_unlock(pool->env, pool->lock);
        if (!chamber) return;
        ap_log_event(pool->log, AP_LOG_DEBUG, "runtime", "chamber_gone",
            "chamber=%" PRIu64 " pid=%d jobs=%u end=%d", chamber->number, (int)chamber->pid,
            chamber->job, (int)chamber->end);
        if (chamber->scratch) ap_scratch_remove(chamber->scratch);
        ap_chamber_free(chamber);
    }
}

/* ---- memory and idle time ---- */

static void sample_locked(struct ap_pool *pool, struct ap_chamber *chamber)
{
    uint64_t resident, data;
    if (!ap_chamber_memory(chamber, &data, &resident)) return;
    chamber->memory_bytes = resident;
    if (data > chamber->data_bytes_peak) chamber->data_bytes_peak = data;
    if (resident > chamber->memory_bytes_peak) chamber->memory_bytes_peak = resident;
    if (chamber->state != AP_CHAMBER_BUSY) return;
    uint64_t margin =
        chamber->budget_bytes / (uint64_t)(pool->kernel_limit ? MARGIN_FENCED : MARGIN_ALONE);
    if (resident > chamber->budget_bytes + margin) ap_chamber_kill_locked(chamber, AP_END_BUDGET);
}

static bool idle_enough_locked(
    const struct ap_pool *pool, const struct ap_chamber *chamber, int64_t now)
{
    int64_t idle = now - chamber->idle_since_us;
    if (idle > (pool->memory_bytes < AP_SMALL_MACHINE ? AP_IDLE_SMALL_US : AP_IDLE_LARGE_US))
        return true;
    return chamber->memory_bytes > AP_IDLE_FAT_BYTES && idle > AP_IDLE_FAT_US;
}

/* Looks at every chamber; says how long the thread may sleep (ms, -1: for ever). */
static int look_around(struct ap_pool *pool)
{
    int sleep_ms = -1;
    ap_lock(pool->env, pool->lock);
    int64_t now = ap_mono_us(pool->env);
    for (struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next) {
        if (chamber->state == AP_CHAMBER_IDLE) {
            if (sleep_ms < 0) sleep_ms = (int)(AP_IDLE_FAT_US / 1000);
            sample_locked(pool, chamber);
            if (pool->closing || chamber->exited || idle_enough_locked(pool, chamber, now)) {
                chamber->state = AP_CHAMBER_DEAD;
                ap_chamber_kill_locked(chamber, AP_END_IDLE);
            }
        }
        if (chamber->state == AP_CHAMBER_DEAD || (chamber->spawned && !chamber->pid_watched))
            reap_locked(pool, chamber);
        if (chamber->state == AP_CHAMBER_BUSY) sample_locked(pool, chamber);
        if (chamber->state == AP_CHAMBER_BUSY && now > chamber->unread_deadline_us)
            ap_chamber_kill_locked(chamber, AP_END_UNREAD);
        if (chamber->state != AP_CHAMBER_IDLE) sleep_ms = AP_POOL_TICK_MS;
    }
    struct ap_pool_load load;
    ap_pool_feel_locked(pool, &load);
    if (pool->closing) sleep_ms = AP_POOL_TICK_MS;
    ap_unlock(pool->env, pool->lock);
    return sleep_ms;
}

/* ---- the loop ---- */

static void event(struct ap_pool *pool, uint64_t data)
{
    enum source source = (enum source)(data & ((1u << SOURCE_BITS) - 1));
    ap_lock(pool->env, pool->lock);
    struct ap_chamber *chamber = find_locked(pool, data >> SOURCE_BITS);
    if (chamber && source == SOURCE_EXIT) reap_locked(pool, chamber);
    ap_unlock(pool->env, pool->lock);
    if (source == SOURCE_WAKE) {
        uint64_t count;
        ssize_t ignored = read(pool->wake_fd, &count, sizeof count);
        (void)ignored;
    }
    /* Only this thread frees chambers, so the pointer stays good without the lock. */
    if (chamber && source == SOURCE_ASK && chamber->ask_watched) ask_event(pool, chamber);
    if (chamber && source == SOURCE_WORDS && chamber->words_watched) words_event(pool, chamber);
}

static bool finished(struct ap_pool *pool, int64_t *deadline)
{
    ap_lock(pool->env, pool->lock);
    bool done = pool->closing && !pool->chambers;
    if (pool->closing && *deadline == INT64_MAX) {
        *deadline = ap_pool_deadline(pool, CLOSE_MS);
        for (struct ap_chamber *chamber = pool->chambers; chamber; chamber = chamber->next)
            ap_chamber_kill_locked(chamber, AP_END_IDLE);
    }
    ap_unlock(pool->env, pool->lock);
    return done || ap_mono_us(pool->env) > *deadline;
}

/* At the end, what callers still hold (they should not) is closed all the same. */
static void abandon(struct ap_pool *pool)
{
    for (struct ap_chamber *chamber = pool->chambers, *next; chamber; chamber = next) {
        next = chamber->next;
        ap_chamber_free(chamber);
    }
    pool->chambers = NULL;
}

void ap_service_run(void *argument)
{
    struct ap_pool *pool = argument;
    struct epoll_event events[EVENTS_MAX];
    int64_t deadline = INT64_MAX;
    for (;;) {
        int sleep_ms = look_around(pool);
        bury(pool);
        if (finished(pool, &deadline)) break;
        int count = epoll_wait(pool->epoll_fd, events, EVENTS_MAX, sleep_ms);
        for (int i = 0; i < count; i++) event(pool, events[i].data.u64);
        spawn_wanted(pool);
    }
    abandon(pool);
    ap_scratch_close(pool->scratch);
    pool->scratch = NULL;
}
