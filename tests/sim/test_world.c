/* The simulator itself: time, locks, conditions, threads, crashes. What it says of them must hold,
 * or every simulation built on it proves nothing. */
#include "apiary_test.h"

#include "sim/sim.h"

static const int64_t SECOND_US = 1000000;

struct shared {
    struct ap_lock *lock;
    int inside, inside_most, total;
    int turn;
    bool timed_out;
};

/* ---- time ---- */

static void sleep_long(struct sim_node *node, void *arg)
{
    int64_t before = ap_mono_us(sim_env(node)), wall = ap_now_us(sim_env(node));
    ap_sleep_us(sim_env(node), 86400 * SECOND_US);
    *(bool *)arg = ap_mono_us(sim_env(node)) - before == 86400 * SECOND_US &&
                   ap_now_us(sim_env(node)) - wall == 86400 * SECOND_US;
}

static void a_day_takes_no_time(void **state)
{
    bool right[3] = { false };
    (void)state;
    struct sim *sim = sim_new(1, (struct sim_faults) { .clock_skew_us_max = 3600 * SECOND_US });
    struct sim_node *nodes[3];
    for (int i = 0; i < 3; i++) nodes[i] = sim_spawn(sim, sleep_long, &right[i]);
    assert_int_not_equal(ap_now_us(sim_env(nodes[0])), ap_now_us(sim_env(nodes[1]))); /* skewed */
    assert_true(sim_run(sim));
    assert_true(sim_now_us(sim) >= 86400 * SECOND_US && sim_now_us(sim) < 86401 * SECOND_US);
    for (int i = 0; i < 3; i++) assert_true(right[i]);
    sim_free(sim);
}

/* ---- locks and threads ---- */

struct worker {
    struct sim_node *node;
    struct shared *shared;
};

static void work(void *arg)
{
    struct worker *worker = arg;
    struct shared *shared = worker->shared;
    struct ap_env *env = sim_env(worker->node);
    for (int i = 0; i < 10; i++) {
        ap_lock(env, shared->lock);
        if (++shared->inside > shared->inside_most) shared->inside_most = shared->inside;
        ap_sleep_us(env, 1000);
        shared->total++;
        shared->inside--;
        ap_unlock(env, shared->lock);
        ap_sleep_us(env, (int64_t)sim_pick(sim_of(worker->node), 2000));
    }
}

static void run_workers(struct sim_node *node, void *arg)
{
    struct shared *shared = arg;
    struct ap_env *env = sim_env(node);
    struct ap_thread *threads[4];
    struct worker worker = { node, shared };
    shared->lock = ap_lock_new(env);
    for (int i = 0; i < 4; i++) threads[i] = env->ops->thread_start(env->world, work, &worker);
    for (int i = 0; i < 4; i++) env->ops->thread_join(env->world, threads[i]);
    ap_lock_free(env, shared->lock);
}

static void locks_exclude(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct shared shared = { 0 };
        struct sim *sim = sim_new(seed, (struct sim_faults) { 0 });
        sim_spawn(sim, run_workers, &shared);
        assert_true(sim_run(sim));
        assert_int_equal(shared.inside_most, 1);
        assert_int_equal(shared.total, 40);
        sim_free(sim);
    }
}

static void wait_for_turn(void *arg)
{
    struct worker *worker = arg;
    struct shared *shared = worker->shared;
    struct ap_env *env = sim_env(worker->node);
    ap_lock(env, shared->lock);
    while (shared->turn == 0) ap_wait_until(env, shared->lock, INT64_MAX);
    shared->total++;
    ap_unlock(env, shared->lock);
}

static void ring(struct sim_node *node, void *arg)
{
    struct shared *shared = arg;
    struct ap_env *env = sim_env(node);
    struct worker worker = { node, shared };
    struct ap_thread *threads[3];
    shared->lock = ap_lock_new(env);
    for (int i = 0; i < 3; i++)
        threads[i] = env->ops->thread_start(env->world, wait_for_turn, &worker);
    ap_lock(env, shared->lock);
    int64_t until = ap_mono_us(env) + 5 * SECOND_US;
    shared->timed_out = !ap_wait_until(env, shared->lock, until) && ap_mono_us(env) == until;
    shared->turn = 1;
    ap_wake_all(env, shared->lock);
    ap_unlock(env, shared->lock);
    for (int i = 0; i < 3; i++) env->ops->thread_join(env->world, threads[i]);
    ap_lock_free(env, shared->lock);
}

static void conditions_wake(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    struct sim *sim = sim_new(3, (struct sim_faults) { 0 });
    sim_spawn(sim, ring, &shared);
    assert_true(sim_run(sim));
    assert_true(shared.timed_out);
    assert_int_equal(shared.total, 3);
    sim_free(sim);
}

static void wait_for_ever(struct sim_node *node, void *arg)
{
    struct shared *shared = arg;
    struct ap_env *env = sim_env(node);
    shared->lock = ap_lock_new(env);
    ap_lock(env, shared->lock);
    ap_wait_until(env, shared->lock, INT64_MAX);
    ap_unlock(env, shared->lock);
    ap_lock_free(env, shared->lock);
}

static void standstill_is_reported(void **state)
{
    (void)state;
    struct shared shared = { 0 };
    struct sim *sim = sim_new(4, (struct sim_faults) { 0 });
    sim_spawn(sim, wait_for_ever, &shared);
    assert_false(sim_run(sim));
    assert_non_null(strstr(sim_blame(sim), "waits for ever"));
    sim_free(sim); /* ends it, so that it leaks nothing */
}

/* ---- crashes ---- */

struct lives {
    int boots, highest, puts;
    bool ended_well;
};

static void live(struct sim_node *node, void *arg)
{
    struct lives *lives = arg;
    struct apiary_error err;
    lives->boots++;
    if (sim_boot(node) > lives->highest) lives->highest = sim_boot(node);
    int64_t deadline = ap_mono_us(sim_env(node)) + 600 * SECOND_US;
    for (int i = 0; i < 50 && ap_mono_us(sim_env(node)) < deadline; i++) {
        char key[40];
        snprintf(key, sizeof key, "node/%d/%d", sim_boot(node), i);
        enum apiary_code code = ap_store_put(sim_store(node), key, AP_STR("x"), &err);
        if (sim_crashed(node)) {
            assert_int_equal(code, APIARY_IO);
            return;
        }
        lives->puts += code == APIARY_OK;
    }
    lives->ended_well = true;
}

static void nodes_crash_and_return(void **state)
{
    int most = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct lives lives = { 0 };
        struct sim *sim =
            sim_new(seed, (struct sim_faults) { .crash_per_mille = 20, .restarts_max = 2 });
        sim_spawn(sim, live, &lives);
        assert_true(sim_run(sim));
        assert_int_equal(lives.boots, lives.highest + 1);
        assert_true(lives.boots <= 3);
        if (lives.boots > most) most = lives.boots;
        assert_int_equal(sim_tally(sim).crashes, (uint64_t)(lives.boots - lives.ended_well));
        sim_free(sim);
    }
    assert_int_equal(most, 3);
}

/* ---- the store ---- */

static void read_pages(struct sim_node *node, void *arg)
{
    struct apiary_error err;
    for (int i = 0; i < 5; i++) {
        AP_AUTO(ap_list) list = { 0 };
        struct ap_list_request request = {
            .prefix = "", .delimited = i % 2, .limit = i == 4 ? 4 : 0
        };
        assert_ok(ap_store_list(sim_store(node), &request, &list, &err));
        *(size_t *)arg += list.count + list.prefixes.count;
        for (size_t k = 1; k < list.count; k++)
            assert_true(strcmp(list.objects[k - 1].key, list.objects[k].key) < 0);
    }
}

static void split_lists_lose_nothing(void **state)
{
    static const char *const keys[] = { "a", "b/1", "b/2", "b/3", "c/1/x", "c/2", "d", "e-",
        "e/1" };
    struct apiary_error err;
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        size_t seen = 0;
        struct sim *sim = sim_new(seed, (struct sim_faults) { .split_list_percent = 100 });
        for (size_t i = 0; i < AP_COUNT(keys); i++)
            assert_ok(ap_store_put(sim_bare(sim), keys[i], AP_STR("x"), &err));
        sim_spawn(sim, read_pages, &seen);
        assert_true(sim_run(sim));
        assert_int_equal(seen, 9 + 6 + 9 + 6 + 4);
        assert_int_equal(sim_tally(sim).split_lists, 5);
        sim_free(sim);
    }
}

static void faults_end_when_told(void **state)
{
    (void)state;
    struct lives lives = { 0 };
    struct sim *sim =
        sim_new(9, (struct sim_faults) { .refuse_percent = 100, .quiet_after_us = 300000 });
    sim_spawn(sim, live, &lives);
    assert_true(sim_run(sim));
    assert_true(lives.ended_well);
    assert_true(lives.puts > 10 && lives.puts < 50);
    sim_free(sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_takes_no_time),
        cmocka_unit_test(locks_exclude),
        cmocka_unit_test(conditions_wake),
        cmocka_unit_test(standstill_is_reported),
        cmocka_unit_test(nodes_crash_and_return),
        cmocka_unit_test(split_lists_lose_nothing),
        cmocka_unit_test(faults_end_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
