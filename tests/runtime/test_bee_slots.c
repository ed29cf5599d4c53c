/* Bees that several processes share: never overbooked, in turn, freed by every kind of death. */
#include "pool_fixture.h"

#include "core/env.h"
#include "runtime/bee_slots.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

static int64_t now(void)
{
    return ap_mono_us(ap_env_system());
}

static struct ap_slots *open_slots(const char *folder, int total)
{
    struct ap_slots *slots = NULL;
    struct apiary_error err = { 0 };
    assert_ok(ap_slots_open(folder, total, &slots, &err));
    return slots;
}

static void counted(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX];
    ap_test_folder(folder);
    struct ap_slots *one = open_slots(folder, 4), *two = open_slots(folder, 4);
    int a = ap_slots_descriptor(one), b = ap_slots_descriptor(two), c = ap_slots_descriptor(two);
    assert_true(a >= 0 && b >= 0 && c >= 0);
    assert_int_equal(ap_slots_take(one, a, 1, 3, now()), 3);
    assert_int_equal(ap_slots_take(two, b, 1, 4, now()), 1);
    assert_int_equal(ap_slots_take(two, c, 1, 1, now()), 0);
    assert_true(ap_slots_others_wait(one)); /* two holds a place in the line */
    assert_false(ap_slots_others_wait(two));
    ap_slots_give(one, a);
    assert_int_equal(ap_slots_take(one, a, 1, 1, now()), 0); /* not before two */
    assert_int_equal(ap_slots_take(two, c, 2, 2, now()), 2);
    assert_int_equal(ap_slots_take(one, a, 2, 2, now()), 0); /* one is left */
    assert_int_equal(ap_slots_take(one, a, 1, 2, now()), 1);
    assert_true(ap_slots_take_guest(one, a));
    assert_false(ap_slots_take_guest(two, c));
    ap_slots_give(one, a);
    assert_true(ap_slots_take_guest(two, c));
    close(a), close(b), close(c);
    ap_slots_close(one);
    ap_slots_close(two);
    ap_test_folder_remove(folder);
}

/* Who is first but takes nothing (it is stopped) is passed over in the end. */
static void patient_but_not_for_ever(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX];
    ap_test_folder(folder);
    struct ap_slots *stopped = open_slots(folder, 1), *other = open_slots(folder, 1);
    int a = ap_slots_descriptor(stopped), b = ap_slots_descriptor(other);
    int64_t at = 1000000;
    assert_int_equal(ap_slots_take(other, b, 1, 1, at), 1);
    assert_int_equal(ap_slots_take(stopped, a, 1, 1, at), 0);
    ap_slots_give(other, b);
    assert_int_equal(ap_slots_take(other, b, 1, 1, at), 0);
    assert_int_equal(ap_slots_take(other, b, 1, 1, at + 5000000), 0);
    assert_int_equal(ap_slots_take(other, b, 1, 1, at + 11000000), 1);
    close(a), close(b);
    ap_slots_close(stopped);
    ap_slots_close(other);
    ap_test_folder_remove(folder);
}

static void folder_of_others(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX];
    struct ap_slots *slots = NULL;
    struct apiary_error err = { 0 };
    ap_test_folder(folder);
    assert_int_equal(chmod(folder, 0777), 0);
    assert_code(ap_slots_open(folder, 2, &slots, &err), APIARY_DENIED);
    assert_null(slots);
    ap_test_folder_remove(folder);
}

/* ---- processes ---- */

enum { PROCESSES = 6, ROUNDS = 15, BEES = 2 };

struct shared {
    _Atomic int at_work, most, done, failed;
};

static struct ap_pool *open_pool(const struct fixture *f, const char *scratch)
{
    struct ap_pool *pool = NULL;
    struct apiary_error err = { 0 };
    struct ap_pool_options options = { .bees = BEES,
        .memory_bytes = 200 * MIB, /* no guest */
        .scratch_dir = scratch,
        .scratch_bytes_max = 64 * MIB,
        .program = f->program,
        .slots_dirs = { f->machine } };
    assert_ok(ap_pool_open(ap_env_system(), &options, &pool, &err));
    return pool;
}

static void work(const struct fixture *f, struct shared *shared, int number)
{
    char scratch[AP_TEST_PATH_MAX + 16];
    snprintf(scratch, sizeof scratch, "%s/p%d", f->folder, number);
    struct ap_pool *pool = open_pool(f, scratch);
    for (int i = 0; i < ROUNDS; i++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        if (ap_chamber_take(pool, AP_WIDTH_ALL, NULL, &chamber, &err) != APIARY_OK) _exit(2);
        int width = ap_chamber_width(chamber);
        int at_work = atomic_fetch_add(&shared->at_work, width) + width;
        for (int most = shared->most; at_work > most;)
            if (atomic_compare_exchange_weak(&shared->most, &most, at_work)) break;
        if (run_json(chamber, "json", &done, &err) != APIARY_OK) shared->failed++;
        usleep(500);
        atomic_fetch_sub(&shared->at_work, width);
        ap_bytes_done(&done);
        ap_chamber_give(chamber);
        shared->done++;
    }
    ap_pool_close(pool);
    _exit(0);
}

static void never_overbooked(void **state)
{
    (void)state;
    struct fixture f;
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t children[PROCESSES];
    fixture_prepare(&f, "runtime/fake_bee");
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        if (children[i] == 0) work(&f, shared, i);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status = -1;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared->done, PROCESSES * ROUNDS);
    assert_int_equal(shared->failed, 0);
    assert_in_range(shared->most, 1, BEES);
    munmap(shared, sizeof *shared);
    fixture_close(&f);
}

/* A process that holds all bees, or waits for one, is killed; the next gets them. */
static void freed_by_death(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    char scratch[AP_TEST_PATH_MAX + 16];
    int ready[2];
    fixture_prepare(&f, "runtime/fake_bee");
    for (int victim = 0; victim < 3; victim++) { /* holder, chamber of the holder, waiter */
        assert_int_equal(pipe(ready), 0);
        pid_t holder = fork();
        if (holder == 0) {
            snprintf(scratch, sizeof scratch, "%s/holder", f.folder);
            struct ap_pool *pool = open_pool(&f, scratch);
            if (ap_chamber_take(pool, AP_WIDTH_ALL, NULL, &chamber, &err) != APIARY_OK) {
                print_error("holder %d: %s\n", victim, err.message);
                _exit(2);
            }
            struct ap_bee_status bees[BEES];
            ap_pool_status(pool, bees, BEES);
            if (write(ready[1], &bees[0].chamber_pid, sizeof(int)) != sizeof(int)) _exit(3);
            struct ap_bytes done = { 0 };
            enum apiary_code code = run_json(chamber, "hang", &done, &err);
            ap_chamber_give(chamber);
            ap_pool_close(pool);
            _exit(code == APIARY_CHAMBER ? 0 : 4);
        }
        int bee = 0;
        close(ready[1]);
        assert_int_equal(read(ready[0], &bee, sizeof bee), sizeof bee);
        pid_t waiter = fork();
        if (waiter == 0) {
            snprintf(scratch, sizeof scratch, "%s/waiter", f.folder);
            struct ap_pool *pool = open_pool(&f, scratch);
            if (ap_chamber_take(pool, 1, NULL, &chamber, &err) == APIARY_OK) pause();
            _exit(5);
        }
        usleep(100000); /* until it stands in the line */
        if (victim == 2) kill(waiter, SIGKILL);
        kill(victim == 1 ? bee : holder, SIGKILL);
        if (victim != 2) kill(waiter, SIGKILL);
        snprintf(scratch, sizeof scratch, "%s/next", f.folder);
        struct ap_pool *pool = open_pool(&f, scratch);
        assert_ok(ap_chamber_take(pool, BEES, NULL, &chamber, &err)); /* all of them */
        ap_chamber_give(chamber);
        ap_pool_close(pool);
        int status = 0;
        assert_int_equal(waitpid(waiter, &status, 0), waiter);
        assert_int_equal(waitpid(holder, &status, 0), holder);
        if (victim == 1) assert_int_equal(status, 0); /* it was told that its chamber died */
        close(ready[0]);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted),
        cmocka_unit_test(patient_but_not_for_ever),
        cmocka_unit_test(folder_of_others),
        cmocka_unit_test(never_overbooked),
        cmocka_unit_test(freed_by_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
