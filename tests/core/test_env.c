#include "apiary_test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "core/alloc.h"
#include "core/env.h"

static void test_clocks(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    assert_true(ap_now_us(env) > INT64_C(1600000000000000));
    int64_t before = ap_mono_us(env);
    ap_sleep_us(env, 2000);
    ap_sleep_us(env, 0);
    ap_sleep_us(env, -5);
    assert_true(ap_mono_us(env) - before >= 2000);
}

static void test_random(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    unsigned char big[5000] = { 0 };
    ap_random(env, big, sizeof big);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof big; i++) zeros += big[i] == 0;
    assert_true(zeros < 200);
    assert_true(ap_random_u64(env) != ap_random_u64(env));
    ap_random(env, NULL, 0);
}

/* ---- threads and locks ---- */

enum { WORKERS = 4, ROUNDS = 2000 };

struct shared {
    struct ap_env *env;
    struct ap_lock *lock;
    long count;
    bool go;
    bool signals_blocked;
};

static void work(void *arg)
{
    struct shared *shared = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    bool blocked = sigismember(&mask, SIGINT) && sigismember(&mask, SIGPIPE) &&
                   sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGCHLD) &&
                   !sigismember(&mask, SIGSEGV);
    ap_lock(shared->env, shared->lock);
    if (!blocked) shared->signals_blocked = false;
    while (!shared->go) assert_true(ap_wait_until(shared->env, shared->lock, INT64_MAX));
    for (int i = 0; i < ROUNDS; i++) {
        shared->count++;
        ap_unlock(shared->env, shared->lock);
        ap_lock(shared->env, shared->lock);
    }
    ap_unlock(shared->env, shared->lock);
}

static void test_threads(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    struct shared shared = { .env = env, .lock = ap_lock_new(env), .signals_blocked = true };
    struct ap_thread *threads[WORKERS];
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    for (int i = 0; i < WORKERS; i++) {
        threads[i] = env->ops->thread_start(env->world, work, &shared);
        assert_non_null(threads[i]);
    }
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&before, SIGINT), sigismember(&after, SIGINT));
    ap_lock(env, shared.lock);
    shared.go = true;
    ap_wake_all(env, shared.lock);
    ap_unlock(env, shared.lock);
    for (int i = 0; i < WORKERS; i++) env->ops->thread_join(env->world, threads[i]);
    assert_int_equal(shared.count, WORKERS * ROUNDS);
    assert_true(shared.signals_blocked);
    ap_lock_free(env, shared.lock);
    ap_lock_free(env, NULL);
}

static void test_wait_times_out(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    struct ap_lock *lock = ap_lock_new(env);
    ap_lock(env, lock);
    assert_false(ap_wait_until(env, lock, ap_mono_us(env) - 1));
    int64_t until = ap_mono_us(env) + 3000;
    while (ap_wait_until(env, lock, until)) {} /* may wake for no reason */
    assert_true(ap_mono_us(env) >= until - 1000);
    ap_unlock(env, lock);
    ap_lock_free(env, lock);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    ap_alloc_fail_after(1);
    assert_null(ap_lock_new(env));
    ap_alloc_fail_after(1);
    assert_null(env->ops->thread_start(env->world, work, NULL));
    ap_alloc_fail_after(0);
}

/* ---- back-off ---- */

struct fake {
    int64_t slept_us;
    uint64_t random;
};

static void fake_sleep(void *world, int64_t us)
{
    ((struct fake *)world)->slept_us = us;
}

static void fake_random(void *world, void *out, size_t size)
{
    memcpy(out, &((struct fake *)world)->random, size);
}

static void test_backoff(void **state)
{
    (void)state;
    static const struct ap_env_ops ops = { .sleep_us = fake_sleep, .random = fake_random };
    struct fake fake = { 0 };
    struct ap_env env = { &ops, &fake };
    static const struct {
        int attempt;
        int64_t most;
    } rows[] = { { 0, 100 }, { 1, 200 }, { 5, 3200 }, { 9, 51200 }, { 10, 100000 }, { 61, 100000 },
        { 62, 100000 }, { 1000, 100000 } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        fake.random = (uint64_t)rows[i].most;
        ap_backoff(&env, rows[i].attempt, 100, 100000);
        assert_int_equal(fake.slept_us, rows[i].most);
        fake.random = (uint64_t)rows[i].most + 1;
        ap_backoff(&env, rows[i].attempt, 100, 100000);
        assert_int_equal(fake.slept_us, 0);
    }
    fake.random = INT64_MAX;
    ap_backoff(&env, 62, INT64_MAX, INT64_MAX);
    assert_true(fake.slept_us == INT64_MAX);
    ap_backoff(&env, 3, INT64_MAX / 2, INT64_MAX);
    assert_true(fake.slept_us == INT64_MAX);
}

/* ---- cancellation ---- */

static bool wakes(const struct ap_cancel *cancel)
{
    struct pollfd ready = { .fd = cancel->event_fd, .events = POLLIN };
    return poll(&ready, 1, 0) == 1;
}

static void test_cancel(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_cancel cancel = { 0 };
    ap_cancel_done(&cancel); /* zeroed: nothing to close, and not descriptor 0 */
    assert_false(ap_cancel_requested(NULL));
    assert_ok(ap_cancel_init(&cancel, &err));
    assert_true(fcntl(cancel.event_fd, F_GETFD) & FD_CLOEXEC);
    assert_false(ap_cancel_requested(&cancel) || wakes(&cancel));
    for (int i = 0; i < 3; i++) ap_cancel_request(&cancel);
    assert_true(ap_cancel_requested(&cancel) && wakes(&cancel));
    ap_cancel_reset(&cancel);
    assert_false(ap_cancel_requested(&cancel) || wakes(&cancel));
    ap_cancel_request(&cancel);
    assert_true(wakes(&cancel));
    ap_cancel_done(&cancel);
    ap_cancel_done(&cancel);
    ap_cancel_request(&cancel); /* a late request to what has ended touches no descriptor */
}

static struct ap_cancel *from_handler;

static void handler(int signal)
{
    (void)signal;
    ap_cancel_request(from_handler);
}

static void test_cancel_in_handler(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_cancel cancel = { 0 };
    assert_ok(ap_cancel_init(&cancel, &err));
    from_handler = &cancel;
    struct sigaction action = { .sa_handler = handler }, before;
    sigaction(SIGUSR1, &action, &before);
    raise(SIGUSR1);
    sigaction(SIGUSR1, &before, NULL);
    assert_true(ap_cancel_requested(&cancel) && wakes(&cancel));
    ap_cancel_done(&cancel);
}

/* Without stdin the eventfd would be descriptor 0, which means "none" in a zeroed struct. */
static void test_cancel_without_stdin(void **state)
{
    (void)state;
    struct apiary_error err;
    int saved = dup(0);
    close(0);
    struct ap_cancel cancel = { 0 };
    enum apiary_code code = ap_cancel_init(&cancel, &err);
    int zero = fcntl(0, F_GETFD);
    if (saved >= 0) {
        dup2(saved, 0);
        close(saved);
    }
    assert_ok(code);
    assert_true(cancel.event_fd > 2);
    assert_int_equal(zero, -1);
    ap_cancel_done(&cancel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_wait_times_out),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_in_handler),
        cmocka_unit_test(test_cancel_without_stdin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
