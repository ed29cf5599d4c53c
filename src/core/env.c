#include "core/env.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"

/* ---- clocks ---- */

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    ap_assert(failed == 0);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct timespec timespec_of(int64_t us)
{
    return (struct timespec) { .tv_sec = (time_t)(us / 1000000),
        .tv_nsec = (long)(us % 1000000) * 1000 };
}

static int64_t add_us(int64_t a, int64_t b)
{
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

static int64_t system_now_us(void *world)
{
    (void)world;
    return clock_us(CLOCK_REALTIME);
}

static int64_t system_mono_us(void *world)
{
    (void)world;
    return clock_us(CLOCK_BOOTTIME);
}

static void system_sleep_us(void *world, int64_t us)
{
    (void)world;
    if (us <= 0) return;
    struct timespec until = timespec_of(add_us(clock_us(CLOCK_BOOTTIME), us));
    int failed;
    do {
        failed = clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &until, NULL);
    } while (failed == EINTR);
    ap_assert(failed == 0);
}

static void system_random(void *world, void *out, size_t size)
{
    (void)world;
    char *to = out;
    while (size) {
        ssize_t got = getrandom(to, size, 0);
        if (got < 0) {
            ap_assert(errno == EINTR);
            continue;
        }
        to += got;
        size -= (size_t)got;
    }
}

/* ---- locks ---- */

struct ap_lock {
    pthread_mutex_t mutex;
    pthread_cond_t condition; /* on CLOCK_MONOTONIC: it knows no CLOCK_BOOTTIME */
};

static bool condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t how;
    if (pthread_condattr_init(&how) != 0) return false;
    bool done = pthread_condattr_setclock(&how, CLOCK_MONOTONIC) == 0 &&
                pthread_cond_init(condition, &how) == 0;
    pthread_condattr_destroy(&how);
    return done;
}

static struct ap_lock *system_lock_new(void *world)
{
    (void)world;
    struct ap_lock *lock = ap_calloc(1, sizeof *lock);
    if (!lock) return NULL;
    if (pthread_mutex_init(&lock->mutex, NULL) != 0) {
        ap_free(lock);
        return NULL;
    }
    if (!condition_init(&lock->condition)) {
        pthread_mutex_destroy(&lock->mutex);
        ap_free(lock);
        return NULL;
    }
    return lock;
}

static void system_lock_free(void *world, struct ap_lock *lock)
{
    (void)world;
    int failed = pthread_cond_destroy(&lock->condition);
    ap_assert(failed == 0);
    failed = pthread_mutex_destroy(&lock->mutex);
    ap_assert(failed == 0);
    ap_free(lock);
}

static void system_lock(void *world, struct ap_lock *lock)
{
    (void)world;
    int failed = pthread_mutex_lock(&lock->mutex);
    ap_assert(failed == 0);
}

static void system_unlock(void *world, struct ap_lock *lock)
{
    (void)world;
    int failed = pthread_mutex_unlock(&lock->mutex);
    ap_assert(failed == 0);
}

static bool system_wait_until(void *world, struct ap_lock *lock, int64_t mono_us)
{
    (void)world;
    int failed;
    if (mono_us == INT64_MAX) {
        failed = pthread_cond_wait(&lock->condition, &lock->mutex);
    } else {
        int64_t left = mono_us - clock_us(CLOCK_BOOTTIME);
        if (left <= 0) return false;
        struct timespec until = timespec_of(add_us(clock_us(CLOCK_MONOTONIC), left));
        failed = pthread_cond_timedwait(&lock->condition, &lock->mutex, &until);
    }
    ap_assert(failed == 0 || failed == ETIMEDOUT);
    return failed == 0;
}

static void system_wake_all(void *world, struct ap_lock *lock)
{
    (void)world;
    int failed = pthread_cond_broadcast(&lock->condition);
    ap_assert(failed == 0);
}

/* ---- threads ---- */

struct ap_thread {
    pthread_t thread;
    void (*run)(void *arg);
    void *arg;
};

static void *thread_main(void *self)
{
    struct ap_thread *thread = self;
    thread->run(thread->arg);
    return NULL;
}

static struct ap_thread *system_thread_start(void *world, void (*run)(void *arg), void *arg)
{
    (void)world;
    struct ap_thread *thread = ap_calloc(1, sizeof *thread);
    if (!thread) return NULL;
    thread->run = run;
    thread->arg = arg;

    /* A thread inherits the mask of who starts it, so there is no moment in which a
     * signal of the host could be handled in ours. */
    sigset_t blocked, before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failed = pthread_create(&thread->thread, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        ap_free(thread);
        return NULL;
    }
    return thread;
}

static void system_thread_join(void *world, struct ap_thread *thread)
{
    (void)world;
    int failed = pthread_join(thread->thread, NULL);
    ap_assert(failed == 0);
    ap_free(thread);
}

struct ap_env *ap_env_system(void)
{
    static const struct ap_env_ops ops = {
        .now_us = system_now_us,
        .mono_us = system_mono_us,
        .sleep_us = system_sleep_us,
        .random = system_random,
        .lock_new = system_lock_new,
        .lock_free = system_lock_free,
        .lock = system_lock,
        .unlock = system_unlock,
        .wait_until = system_wait_until,
        .wake_all = system_wake_all,
        .thread_start = system_thread_start,
        .thread_join = system_thread_join,
    };
    static struct ap_env env = { &ops, NULL };
    return &env;
}

/* ---- over any world ---- */

uint64_t ap_random_u64(struct ap_env *env)
{
    uint64_t value;
    ap_random(env, &value, sizeof value);
    return value;
}

void **ap_env_local(struct ap_env *env)
{
    static _Thread_local void *of_thread;
    return env->ops->local ? env->ops->local(env->world) : &of_thread;
}

void ap_lock_free(struct ap_env *env, struct ap_lock *lock)
{
    if (lock) env->ops->lock_free(env->world, lock);
}

void ap_backoff(struct ap_env *env, int attempt, int64_t base_us, int64_t cap_us)
{
    ap_assert(attempt >= 0 && base_us > 0 && cap_us > 0);
    int64_t most = attempt < 62 && base_us <= cap_us >> attempt ? base_us << attempt : cap_us;
    ap_sleep_us(env, (int64_t)(ap_random_u64(env) % ((uint64_t)most + 1)));
}

/* ---- cancellation ---- */

enum { FD_FIRST = 3 }; /* 0 means "none" in a zeroed struct, and 0..2 are the host's */

enum apiary_code ap_cancel_init(struct ap_cancel *cancel, struct apiary_error *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd >= 0 && fd < FD_FIRST) {
        int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
        int error_number = errno;
        close(fd);
        errno = error_number;
        fd = moved;
    }
    if (fd < 0) return ap_fail_errno(err, errno, "making a descriptor for cancellation");
    cancel->look = NULL;
    cancel->look_context = NULL;
    atomic_store(&cancel->requested, 0);
    cancel->event_fd = fd;
    return APIARY_OK;
}

void ap_cancel_done(struct ap_cancel *cancel)
{
    if (cancel->event_fd > 0) close(cancel->event_fd);
    cancel->event_fd = -1;
}

void ap_cancel_request(struct ap_cancel *cancel)
{
    int error_number = errno; /* may run inside a signal handler */
    atomic_store(&cancel->requested, 1);
    if (cancel->event_fd > 0) {
        uint64_t one = 1;
        ssize_t written = write(cancel->event_fd, &one, sizeof one);
        (void)written; /* EAGAIN: the counter is full, so poll() wakes anyway */
    }
    errno = error_number;
}

bool ap_cancel_requested(const struct ap_cancel *cancel)
{
    return cancel && atomic_load(&((struct ap_cancel *)(uintptr_t)cancel)->requested);
}

void ap_cancel_reset(struct ap_cancel *cancel)
{
    atomic_store(&cancel->requested, 0);
    if (cancel->event_fd > 0) {
        uint64_t count;
        ssize_t got = read(cancel->event_fd, &count, sizeof count);
        (void)got; /* EAGAIN: nothing was requested */
    }
}
