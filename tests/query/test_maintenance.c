/* Maintenance in virtual time: hours pass at a word of the test, chambers work in real time. */
#include "query_world.h"

#include "api/handle.h"
#include "query/maintenance.h"

#include <sys/stat.h>
#include <unistd.h>

enum { CELLS = 6, PATIENCE = 6000, LOOK_US = 10000 };
#define HOUR_US (INT64_C(3600) * 1000000)

/* ---- a clock that is put forward ---- */

static _Atomic int64_t skew_us;
static struct ap_env_ops ops;
static struct ap_env virtual_env = { &ops, NULL };

static int64_t virtual_mono(void *world)
{
    return ap_mono_us(ap_env_system()) + skew_us;
}

/* Looks up often, since nobody wakes it when the clock is put forward. */
static bool virtual_wait(void *world, struct ap_lock *lock, int64_t mono_us)
{
    struct ap_env *real = ap_env_system();
    int64_t soon = ap_mono_us(real) + 2000, then = mono_us == INT64_MAX ? soon : mono_us - skew_us;
    ap_wait_until(real, lock, then < soon ? then : soon);
    return virtual_mono(world) < mono_us;
}

/* ---- a store, and maintenance over it ---- */

struct world {
    char folder[AP_TEST_PATH_MAX];
    struct apiary *handle;
    struct apiary_session *session;
    struct ap_world shadow; /* the handle's, but for the clock */
    struct ap_maintenance *maintenance;
    _Atomic bool quiet;
};

static bool is_quiet(void *context)
{
    return ((struct world *)context)->quiet;
}

static bool is_mine(void *context, const char *frame_id)
{
    return true;
}

static void insert(struct world *world, int times)
{
    for (int i = 0; i < times; i++) query_run(world->session, "INSERT INTO t VALUES (1)");
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct apiary_error err = { 0 };
    ap_test_folder(world->folder);
    query_open(world->folder, "200MB", &world->handle, &world->session);
    query_run(world->session, "CREATE FRAME t (a BIGINT)");
    struct ap_pool *pool = NULL;
    assert_ok(ap_world_pool(&world->handle->world, &pool, &err));
    ops = *ap_env_system()->ops;
    ops.mono_us = virtual_mono;
    ops.wait_until = virtual_wait;
    world->shadow = world->handle->world;
    world->shadow.env = &virtual_env;
    world->quiet = true;
    const struct ap_maintenance_options options = { .world = &world->shadow, .interval_us = HOUR_US,
        .cells_min = CELLS, .checkpoint_versions = CELLS, .port = { world, is_quiet, is_mine } };
    assert_ok(ap_maintenance_start(&options, &world->maintenance, &err));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    ap_maintenance_stop(world->maintenance);
    apiary_session_close(world->session);
    apiary_close(world->handle);
    ap_test_folder_remove(world->folder);
    free(world);
    return 0;
}

/* An hour passes; waits until the round that it brings has begun and, if asked, until `done` is there. */
static struct ap_maintenance_counts hour(struct world *world, size_t field, uint64_t wanted)
{
    struct ap_maintenance_counts before = ap_maintenance_counts(world->maintenance), now;
    skew_us += HOUR_US;
    for (int i = 0; i < PATIENCE; i++) {
        now = ap_maintenance_counts(world->maintenance);
        uint64_t value = *(const uint64_t *)((const char *)&now + field);
        if (now.rounds > before.rounds && value >= wanted) return now;
        usleep(LOOK_US);
    }
    fail_msg("it never came: %llu rounds, %llu compactions, %llu checkpoints, %llu given up",
        (unsigned long long)now.rounds, (unsigned long long)now.compactions,
        (unsigned long long)now.checkpoints, (unsigned long long)now.given_up);
    return now;
}

#define UNTIL(world, field, wanted) hour(world, offsetof(struct ap_maintenance_counts, field), wanted)

static bool has_checkpoint(const struct world *world)
{
    char path[AP_TEST_PATH_MAX + 64];
    struct stat info;
    snprintf(path, sizeof path, "%s/store/main/main/t/_delta_log/_last_checkpoint", world->folder);
    return stat(path, &info) == 0;
}

/* ---- the cases ---- */

static void cold_node_tends(void **state)
{
    struct world *world = *state;
    insert(world, CELLS);
    assert_int_equal(ap_maintenance_counts(world->maintenance).rounds, 0); /* it is not time yet */
    assert_false(has_checkpoint(world));
    struct ap_maintenance_counts counts = UNTIL(world, checkpoints, 1);
    assert_int_equal(counts.compactions, 1);
    assert_int_equal(counts.given_up, 0);
    assert_true(has_checkpoint(world));
    /* In shape: the next round changes nothing. */
    counts = UNTIL(world, frames, 2);
    assert_int_equal(counts.compactions, 1);
    /* A node that is not cold does nothing, however long; then it goes on. */
    insert(world, CELLS);
    world->quiet = false;
    counts = UNTIL(world, rounds, 3);
    counts = UNTIL(world, rounds, 4);
    assert_int_equal(counts.compactions, 1);
    assert_int_equal(counts.checkpoints, 1);
    world->quiet = true;
    counts = UNTIL(world, compactions, 2);
    assert_int_equal(counts.given_up, 0);
}

/* A statement that has to wait for the one bee ends a compaction in its midst; nothing is lost, and what was
 * given up is done when it is quiet again. */
static void yields_to_work(void **state)
{
    struct world *world = *state;
    struct ap_pool_load load;
    for (int i = 0; i < CELLS; i++) /* some seconds of work, in cells that are small enough */
        query_run(world->session, "INSERT INTO t SELECT range * 7919 FROM range(1000000)");
    skew_us += HOUR_US;
    for (int i = 0;; i++) {
        ap_pool_load(world->shadow.pool, &load);
        if (load.bees_busy > 0) break;
        if (i == PATIENCE) fail_msg("no compaction began");
        usleep(1000);
    }
    query_run(world->session, "SELECT count(*) FROM t WHERE a > 5"); /* it is answered in any case */
    struct ap_maintenance_counts counts = ap_maintenance_counts(world->maintenance);
    for (int i = 0; i < PATIENCE && counts.given_up + counts.compactions == 0; i++) {
        usleep(LOOK_US);
        counts = ap_maintenance_counts(world->maintenance);
    }
    assert_int_equal(counts.given_up, 1);
    assert_int_equal(counts.compactions, 0);
    counts = UNTIL(world, compactions, 1);
    query_run(world->session, "INSERT INTO t SELECT error('rows were lost') FROM (SELECT count(*) AS n FROM t) WHERE n <> 6000000");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = { TEST(cold_node_tends), TEST(yields_to_work) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
