/* The world, injectable: every wait of the program goes through here, so that
 * the simulator can run the same code as coroutines in virtual time (design D8).
 *
 * In production (ap_env_system) the functions are system calls and pthreads.
 * The store is part of the world too but is passed as `struct ap_store *`. */
#ifndef AP_CORE_ENV_H
#define AP_CORE_ENV_H

#include "core/error.h"

#include <stdint.h>

struct ap_lock;   /* mutual exclusion with one condition; from env->lock_new */
struct ap_thread; /* from env->thread_start */

struct ap_env_ops {
    int64_t (*now_us)(void *world);  /* wall clock, microseconds since the epoch */
    int64_t (*mono_us)(void *world); /* monotonic, includes suspend (CLOCK_BOOTTIME) */
    void (*sleep_us)(void *world, int64_t us);
    void (*random)(void *world, void *out, size_t size);
    struct ap_lock *(*lock_new)(void *world); /* NULL without memory */
    void (*lock_free)(void *world, struct ap_lock *lock);
    void (*lock)(void *world, struct ap_lock *lock);
    void (*unlock)(void *world, struct ap_lock *lock);
    /* Releases, waits for a wake or until the monotonic time (INT64_MAX: for ever),
     * takes again; false at the time-out. May wake for no reason. */
    bool (*wait_until)(void *world, struct ap_lock *lock, int64_t mono_us);
    void (*wake_all)(void *world, struct ap_lock *lock);
    /* All signals blocked in the thread, but those of its own faults (SIGSEGV and the
     * like), which the host may want to report. NULL when it cannot be had. */
    struct ap_thread *(*thread_start)(void *world, void (*run)(void *arg), void *arg);
    void (*thread_join)(void *world, struct ap_thread *thread); /* frees it */
    /* One pointer of the thread (or coroutine) that runs, NULL at its start. storage keeps there whose
     * work is counted. NULL: the thread's. */
    void **(*local)(void *world);
};

struct ap_env {
    const struct ap_env_ops *ops;
    void *world;
};

/* The real world. Static storage, stateless, thread-safe. */
struct ap_env *ap_env_system(void);

static inline int64_t ap_now_us(struct ap_env *env) { return env->ops->now_us(env->world); }
static inline int64_t ap_mono_us(struct ap_env *env) { return env->ops->mono_us(env->world); }
static inline void ap_sleep_us(struct ap_env *env, int64_t us) { env->ops->sleep_us(env->world, us); }
static inline void ap_random(struct ap_env *env, void *out, size_t size) { env->ops->random(env->world, out, size); }
uint64_t ap_random_u64(struct ap_env *env);
static inline struct ap_lock *ap_lock_new(struct ap_env *env) { return env->ops->lock_new(env->world); }
void ap_lock_free(struct ap_env *env, struct ap_lock *lock); /* NULL does nothing */
static inline void ap_lock(struct ap_env *env, struct ap_lock *lock) { env->ops->lock(env->world, lock); }
static inline void ap_unlock(struct ap_env *env, struct ap_lock *lock) { env->ops->unlock(env->world, lock); }
static inline bool ap_wait_until(struct ap_env *env, struct ap_lock *lock, int64_t mono_us) { return env->ops->wait_until(env->world, lock, mono_us); }
static inline void ap_wake_all(struct ap_env *env, struct ap_lock *lock) { env->ops->wake_all(env->world, lock); }

void **ap_env_local(struct ap_env *env); /* never NULL */

/* Exponential back-off with full jitter: sleeps random(0, min(cap, base << attempt)). */
void ap_backoff(struct ap_env *env, int attempt, int64_t base_us, int64_t cap_us);

/* A wish to stop, shared by a statement and whoever cancels it. Async-signal-safe set. */
struct ap_cancel {
    _Atomic int requested;
    int event_fd; /* -1 or 0: none; written on request so that poll() wakes */
    /* Called a few times a second by waits that know no progress, in the thread that waits and without
     * a lock of ours: the host may look for signals. NULL: nothing to call. */
    void (*look)(void *context);
    void *look_context;
};
AP_CHECKED enum apiary_code ap_cancel_init(struct ap_cancel *cancel, struct apiary_error *err);
void ap_cancel_done(struct ap_cancel *cancel);
void ap_cancel_request(struct ap_cancel *cancel);
bool ap_cancel_requested(const struct ap_cancel *cancel); /* NULL: false */
void ap_cancel_reset(struct ap_cancel *cancel);

#endif
