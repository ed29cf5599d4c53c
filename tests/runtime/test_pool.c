/* Who gets bees, when, and with what budget. Over the fake chamber. */
#include "pool_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>

static const struct share {
    const char *label;
    int bees;
    uint64_t memory;
    int asked;
    int width;       /* given on an idle pool */
    uint64_t budget; /* as the chamber sees it (RLIMIT_DATA) */
} shares[] = {
    /* An eighth is the guest's, 128 to 256 MB. */
    { "one of four", 4, 2048 * MIB, 1, 1, 448 * MIB },
    { "three of four", 4, 2048 * MIB, 3, 3, 1352 * MIB },
    { "all idle ones", 4, 2048 * MIB, 0, 4, 1803 * MIB },
    { "more than there are", 4, 2048 * MIB, 9, 4, 1803 * MIB },
    { "a share too small spans three", 4, 512 * MIB, 1, 3, 288 * MIB },
    { "shares too small span all", 8, 300 * MIB, 1, 8, 172 * MIB },
    { "two bees of a small board", 2, 256 * MIB, 1, 2, 128 * MIB },
    { "less than a chamber needs", 2, 100 * MIB, 1, 2, 122 * MIB },
};

static void widths(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(shares); i++) {
        struct fixture f;
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        fixture_open(&f, "runtime/fake_bee", shares[i].bees, shares[i].memory);
        assert_ok(ap_chamber_take(f.pool, shares[i].asked, NULL, &chamber, &err));
        assert_int_in(shares[i].label, ap_chamber_width(chamber), shares[i].width);
        if (!getenv("AP_SANITIZED")) {
            struct ap_bytes done = { 0 };
            long long limit = 0;
            assert_ok(run_json(chamber, "limit", &done, &err));
            const char *at = strstr(done.data, "[[\"");
            assert_non_null(at);
            limit = strtoll(at + 3, NULL, 10);
            /* Shares are divided with a rest. */
            assert_true_in(
                shares[i].label, limit <= (long long)shares[i].budget + (long long)MIB * 8 &&
                                     limit >= (long long)shares[i].budget - (long long)MIB);
            ap_bytes_done(&done);
        }
        ap_chamber_give(chamber);
        fixture_close(&f);
    }
}

/* The same process serves narrow and wide; its limit follows. */
static void warm_serves_any_width(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    int pid = 0;
    fixture_open(&f, "runtime/fake_bee", 4, 2048 * MIB);
    static const int order[] = { 1, 4, 2, 0, 1 };
    for (size_t i = 0; i < AP_COUNT(order); i++) {
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        struct ap_bee_status bees[4];
        assert_ok(ap_chamber_take(f.pool, order[i], NULL, &chamber, &err));
        assert_int_equal(ap_pool_status(f.pool, bees, 4), 4);
        assert_true(pid == 0 || pid == bees[0].chamber_pid);
        pid = bees[0].chamber_pid;
        int width = order[i] ? order[i] : 4;
        for (int b = 0; b < 4; b++) assert_string_equal(bees[b].state, b < width ? "busy" : "none");
        assert_ok(run_json(chamber, "limit", &done, &err));
        char wanted[32];
        snprintf(wanted, sizeof wanted, "\"%lld\"", (long long)((2048 * MIB - 256000000) / 4) * width);
        if (!getenv("AP_SANITIZED")) assert_non_null(strstr(done.data, wanted));
        ap_bytes_done(&done);
        ap_chamber_give(chamber);
    }
    fixture_close(&f);
}

/* ---- the queue ---- */

struct caller {
    struct ap_pool *pool;
    int width;
    int *turn;  /* how many were served before */
    int served; /* the place in the order */
    const struct ap_cancel *cancel;
    struct ap_chamber **keep; /* not given back but left here */
    enum apiary_code code;
    pthread_t thread;
};

static void *call(void *argument)
{
    struct caller *caller = argument;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    caller->code = ap_chamber_take(caller->pool, caller->width, caller->cancel, &chamber, &err);
    if (caller->code != APIARY_OK) return NULL;
    caller->served = __atomic_fetch_add(caller->turn, 1, __ATOMIC_SEQ_CST);
    if (caller->keep)
        *caller->keep = chamber;
    else
        ap_chamber_give(chamber);
    return NULL;
}

static void wait_queued(struct ap_pool *pool, size_t waiting)
{
    struct ap_pool_load load;
    do {
        usleep(1000);
        ap_pool_load(pool, &load);
    } while (load.waiting != waiting);
}

/* A wide caller is not overtaken by narrow ones that come later, though bees are free. */
static void fair(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *held = NULL, *guest = NULL;
    int turn = 0;
    fixture_open(&f, "runtime/fake_bee", 2, 1024 * MIB);
    assert_ok(ap_chamber_take(f.pool, 2, NULL, &held, &err));
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &guest, &err)); /* its place is taken, too */
    struct caller callers[4] = { { f.pool, 2, &turn }, { f.pool, 1, &turn }, { f.pool, 2, &turn },
        { f.pool, 1, &turn } };
    for (int i = 0; i < 4; i++) {
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
        wait_queued(f.pool, (size_t)i + 1);
    }
    assert_int_equal(turn, 0);
    ap_chamber_give(held);
    for (int i = 0; i < 4; i++) pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(callers[i].code, APIARY_OK);
        assert_int_equal(callers[i].served, i);
    }
    ap_chamber_give(guest);
    fixture_close(&f);
}

static void waiting_cancelled(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *held = NULL, *after = NULL;
    struct ap_cancel cancel;
    int turn = 0;
    fixture_open(&f, "runtime/fake_bee", 1, 200 * MIB); /* too small for a guest */
    assert_ok(ap_cancel_init(&cancel, &err));
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &held, &err));
    struct caller caller = { f.pool, 1, &turn, .cancel = &cancel };
    pthread_create(&caller.thread, NULL, call, &caller);
    wait_queued(f.pool, 1);
    ap_cancel_request(&cancel);
    pthread_join(caller.thread, NULL);
    assert_int_equal(caller.code, APIARY_CANCELLED);
    ap_chamber_give(held);
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &after, &err)); /* its place in the queue is gone */
    ap_chamber_give(after);
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

/* A small statement need not wait until a large one is through; a large one is no guest. */
static void guest(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *large = NULL, *small = NULL;
    fixture_open(&f, "runtime/fake_bee", 2, 1024 * MIB);
    assert_ok(ap_chamber_take(f.pool, AP_WIDTH_ALL, NULL, &large, &err));
    assert_int_equal(ap_chamber_width(large), 2);
    assert_int_equal(ap_chamber_budget(large), 896 * MIB);
    assert_ok(ap_chamber_take(f.pool, AP_WIDTH_SMALL, NULL, &small, &err));
    assert_int_equal(ap_chamber_width(small), 1);
    assert_int_equal(ap_chamber_budget(small), 128 * MIB);
    struct ap_bee_status bees[3];
    assert_int_equal(ap_pool_status(f.pool, bees, 3), 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(bees[i].index, i);
        assert_true(bees[i].guest == (i == 2));
        assert_string_equal(bees[i].state, "busy");
        assert_int_equal(bees[i].budget_bytes, i == 2 ? 128 * MIB : 448 * MIB);
    }
    assert_true(bees[2].chamber_pid > 0 && bees[2].chamber_pid != bees[0].chamber_pid);
    assert_int_equal(bees[1].chamber_pid, bees[0].chamber_pid);
    assert_int_equal(ap_pool_status(f.pool, bees, 2), 3); /* no more than there is room for */

    struct ap_cancel cancel;
    int turn = 0;
    assert_ok(ap_cancel_init(&cancel, &err));
    struct caller second = { f.pool, AP_WIDTH_SMALL, &turn, .cancel = &cancel };
    pthread_create(&second.thread, NULL, call, &second);
    wait_queued(f.pool, 1);
    assert_int_equal(turn, 0); /* there is one place */
    ap_chamber_give(small);
    pthread_join(second.thread, NULL);
    assert_int_equal(second.code, APIARY_OK);

    struct caller wide = { f.pool, AP_WIDTH_ALL, &turn, .cancel = &cancel };
    pthread_create(&wide.thread, NULL, call, &wide);
    usleep(200000);
    assert_int_equal(turn, 1);
    ap_chamber_give(large);
    pthread_join(wide.thread, NULL);
    assert_int_equal(wide.code, APIARY_OK);
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

/* Who could use all bees takes a part when others wait. */
static void shared_out(void **state)
{
    (void)state;
    enum { CALLERS = 4 };
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *all = NULL, *mine[CALLERS] = { NULL };
    int turn = 0;
    fixture_open(&f, "runtime/fake_bee", 4, 2048 * MIB);
    assert_ok(ap_chamber_take(f.pool, AP_WIDTH_ALL, NULL, &all, &err));
    struct caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller) { f.pool, AP_WIDTH_ALL, &turn, .keep = &mine[i] };
        pthread_create(&callers[i].thread, NULL, call, &callers[i]);
        wait_queued(f.pool, (size_t)i + 1);
    }
    ap_chamber_give(all);
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i].thread, NULL);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(callers[i].code, APIARY_OK);
        assert_int_equal(ap_chamber_width(mine[i]), 1);
        ap_chamber_give(mine[i]);
    }
    fixture_close(&f);
}

/* Many callers, chambers that die on the way: every bee comes back. */
static void *mill(void *argument)
{
    struct caller *caller = argument;
    static const char *const orders[] = { "json", "die", "json",
        "fail {\"type\":\"out_of_memory\",\"message\":\"x\"}", "json" };
    for (int i = 0; i < 10; i++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        caller->code = ap_chamber_take(caller->pool, (i + caller->width) % 4, NULL, &chamber, &err);
        if (caller->code != APIARY_OK) return NULL;
        enum apiary_code code = run_json(chamber, orders[(i + caller->width) % 5], &done, &err);
        if (code == APIARY_OK) __atomic_fetch_add(caller->turn, 1, __ATOMIC_SEQ_CST);
        ap_bytes_done(&done);
        ap_chamber_give(chamber);
    }
    return NULL;
}

static void many_at_once(void **state)
{
    (void)state;
    enum { CALLERS = 8 };
    struct fixture f;
    struct apiary_error err = { 0 };
    int good = 0;
    fixture_open(&f, "runtime/fake_bee", 3, 1024 * MIB);
    struct caller callers[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller) { f.pool, i, &good };
        pthread_create(&callers[i].thread, NULL, mill, &callers[i]);
    }
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].code, APIARY_OK);
    }
    assert_int_equal(good, CALLERS * 10 * 3 / 5);
    struct ap_chamber *all = NULL;
    assert_ok(
        ap_chamber_take(f.pool, 3, NULL, &all, &err)); /* would wait for ever if one were lost */
    ap_chamber_give(all);
    fixture_close(&f);
}

/* A chamber that died while it was idle is replaced without a word. */
static void died_idle(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    struct ap_bee_status bees[1];
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    ap_chamber_give(chamber);
    ap_pool_status(f.pool, bees, 1);
    kill(bees[0].chamber_pid, SIGKILL);
    struct ap_bytes done = { 0 };
    usleep(20000);
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    assert_ok(run_json(chamber, "json", &done, &err));
    ap_bytes_done(&done);
    ap_chamber_give(chamber);
    fixture_close(&f);
}

/* What the parent and the wire cost, without an engine. Printed, not asserted. */
static void round_trip(void **state)
{
    (void)state;
    enum { RUNS = 2000 };
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    struct ap_bytes done = { 0 };
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    int64_t begin = ap_mono_us(ap_env_system());
    for (int i = 0; i < RUNS; i++) {
        assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
        assert_ok(run_json(chamber, "json", &done, &err));
        ap_chamber_give(chamber);
    }
    print_message("# take, job and give without an engine: %.1f us\n",
        (double)(ap_mono_us(ap_env_system()) - begin) / RUNS);
    ap_bytes_done(&done);
    fixture_close(&f);
}

static void options_checked(void **state)
{
    (void)state;
    struct apiary_error err = { 0 };
    struct ap_pool *pool = NULL;
    struct ap_pool_options none = { .bees = 0, .memory_bytes = MIB };
    assert_code(ap_pool_open(ap_env_system(), &none, &pool, &err), APIARY_CONFIG);
    struct ap_pool_options empty = { .bees = 1 };
    assert_code(ap_pool_open(ap_env_system(), &empty, &pool, &err), APIARY_CONFIG);
    assert_null(pool);
    ap_pool_close(NULL);
    ap_chamber_give(NULL);
    ap_job_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(widths),
        cmocka_unit_test(warm_serves_any_width),
        cmocka_unit_test(fair),
        cmocka_unit_test(waiting_cancelled),
        cmocka_unit_test(guest),
        cmocka_unit_test(shared_out),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(died_idle),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(options_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
