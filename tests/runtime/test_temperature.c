/* The colony's temperature: the formula, the bands, the kernel's pressure, who may do maintenance. */
#include "pool_fixture.h"

#include "core/machine.h"

#include <pthread.h>
#include <sys/stat.h>

static const struct heat {
    const char *label;
    struct ap_heat_sources sources;
    double temperature;
    const char *band;
} heats[] = {
    { "nothing runs", { 0 }, 0, "cold" },
    { "all bees busy", { .bees_busy = 1 }, 0.4, "ideal" },
    { "half of the bees, a quarter of the memory", { .bees_busy = 0.5, .memory_used = 0.25 }, 0.3,
        "ideal" },
    { "others use the CPUs", { .bees_busy = 0.2, .cpu_pressure = 0.6 }, 0.24, "cold" },
    { "busy and one waits a bee", { .bees_busy = 1, .memory_used = 0.5, .queue = 1 }, 0.8, "warm" },
    { "a long queue counts as one a bee", { .bees_busy = 1, .memory_used = 0.7, .queue = 9 }, 0.88,
        "hot" },
    { "memory that is waited for", { .bees_busy = 1, .memory_pressure = 0.3, .queue = 1 }, 1,
        "critical" },
    { "nonsense is bounded", { .bees_busy = -3, .memory_used = 77, .queue = -1 }, 0.4, "ideal" },
};

static void formula(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(heats); i++) {
        double got = ap_temperature_of(&heats[i].sources);
        if (got < heats[i].temperature - 1e-9 || got > heats[i].temperature + 1e-9)
            fail_msg("%s: %g", heats[i].label, got);
        assert_string_in(
            heats[i].label, ap_band_text(ap_temperature_band(heats[i].temperature)), heats[i].band);
    }
    static const struct {
        double at;
        enum ap_band band;
    } edges[] = { { 0.2999, AP_BAND_COLD }, { 0.3, AP_BAND_IDEAL }, { 0.7, AP_BAND_IDEAL },
        { 0.7001, AP_BAND_WARM }, { 0.85, AP_BAND_WARM }, { 0.8501, AP_BAND_HOT },
        { 0.95, AP_BAND_HOT }, { 0.9501, AP_BAND_CRITICAL }, { 1, AP_BAND_CRITICAL } };
    for (size_t i = 0; i < AP_COUNT(edges); i++)
        assert_int_equal(ap_temperature_band(edges[i].at), edges[i].band);
}

static void smoothing(void **state)
{
    (void)state;
    enum { DELAY = 3000000 };
    struct ap_smoothed smoothed = { 0 };
    assert_true(ap_smoothed_add(&smoothed, 0.25, 1000, DELAY) == 0.25); /* the first as it is */
    double before = 0.25;
    for (int64_t us = 1000000; us <= 9000000; us += 1000000) {
        double now = ap_smoothed_add(&smoothed, 1, us, DELAY);
        assert_true(now > before && now < 1);
        before = now;
    }
    assert_true(before > 0.95); /* 9 s are three times the delay */
    assert_true(ap_smoothed_add(&smoothed, 0, 9000000, DELAY) == before); /* no time, no step */
}

/* ---- the kernel's figures ---- */

static void write_text(const char *folder, const char *path, const char *text)
{
    char full[AP_TEST_PATH_MAX + 128];
    snprintf(full, sizeof full, "%s/%s", folder, path);
    for (char *at = full + strlen(folder) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(full, 0700);
        *at = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void pressure(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX];
    struct ap_pressure got;
    ap_test_folder(folder);
    ap_machine_pressure(&got, folder);
    assert_true(got.cpu == 0 && got.memory == 0); /* a kernel without the files */
    write_text(folder, "proc/pressure/cpu", "some avg10=25.00 avg60=1.00 avg300=0.10 total=5\n");
    write_text(folder, "proc/pressure/memory",
        "some avg10=2.50 avg60=0.00 avg300=0.00 total=5\nfull avg10=1.00 avg60=0 avg300=0 total=1\n");
    ap_machine_pressure(&got, folder);
    assert_true(got.cpu == 0.25 && got.memory == 0.025);
    write_text(folder, "proc/self/cgroup", "0::/user.slice/a\n");
    write_text(folder, "sys/fs/cgroup/user.slice/a/cpu.pressure", "some avg10=75.00 avg60=0\n");
    ap_machine_pressure(&got, folder);
    assert_true(got.cpu == 0.75 && got.memory == 0.025); /* the group's own where there is one */
    write_text(folder, "sys/fs/cgroup/user.slice/a/cpu.pressure", "some avg10=nonsense\n");
    ap_machine_pressure(&got, folder);
    assert_true(got.cpu == 0.25);
    ap_test_folder_remove(folder);
}

/* ---- maintenance ---- */

struct waiting {
    struct ap_pool *pool;
    enum apiary_code code;
};

static void *wait_for_a_bee(void *argument)
{
    struct waiting *waiting = argument;
    struct ap_chamber *chamber = NULL;
    struct apiary_error err = { 0 };
    waiting->code = ap_chamber_take(waiting->pool, 1, NULL, &chamber, &err);
    ap_chamber_give(chamber);
    return NULL;
}

static void maintenance_yields(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *mine = NULL, *other = NULL;
    struct ap_cancel cancel;
    fixture_open(&f, "runtime/fake_bee", 2, 1024 * MIB);
    assert_ok(ap_cancel_init(&cancel, &err));
    assert_true(ap_pool_quiet(f.pool, NULL));
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &mine, &err));
    ap_chamber_yields(mine, &cancel);
    assert_true(ap_pool_quiet(f.pool, mine));
    assert_false(ap_pool_quiet(f.pool, NULL));

    assert_ok(ap_chamber_take(f.pool, 1, NULL, &other, &err)); /* somebody works, nobody waits */
    assert_false(ap_pool_quiet(f.pool, mine));
    assert_false(ap_cancel_requested(&cancel));

    struct waiting waiting = { .pool = f.pool };
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_a_bee, &waiting);
    while (!ap_cancel_requested(&cancel)) usleep(1000);
    ap_chamber_give(mine);
    pthread_join(thread, NULL);
    assert_int_equal(waiting.code, APIARY_OK);
    ap_chamber_give(other);
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

/* The pool's figure follows the kernel's; the bands come out in the load. */
static void pool_feels_pressure(void **state)
{
    (void)state;
    struct fixture f;
    struct ap_pool_load load;
    fixture_open(&f, "runtime/fake_bee", 2, 1024 * MIB);
    ap_pool_load(f.pool, &load);
    assert_true(load.temperature == 0 && load.band == AP_BAND_COLD);
    write_text(f.machine, "proc/pressure/cpu", "some avg10=100.00 avg60=0\n");
    write_text(f.machine, "proc/pressure/memory", "some avg10=20.00 avg60=0\n");
    for (int i = 0; i < 200 && load.band == AP_BAND_COLD; i++) {
        usleep(50000);
        ap_pool_load(f.pool, &load);
    }
    assert_int_equal(load.band, AP_BAND_IDEAL);
    assert_false(ap_pool_quiet(f.pool, NULL));
    fixture_close(&f);
}

/* ---- who may begin ---- */

static const struct admission {
    const char *label;
    int waiting;
    double memory; /* percent that something waits for memory */
    enum ap_admit kind;
    enum apiary_code code;
    bool waits;
} admissions[] = {
    { "query, warm", 1, 12, AP_ADMIT_QUERY, APIARY_OK, false },
    { "query, hot", 1, 18, AP_ADMIT_QUERY, APIARY_OK, true },
    { "query, critical", 1, 25, AP_ADMIT_QUERY, APIARY_BUSY, false },
    { "write that waits, warm", 1, 12, AP_ADMIT_WRITE_BLOCK, APIARY_OK, false },
    { "write that waits, hot", 1, 18, AP_ADMIT_WRITE_BLOCK, APIARY_BUSY, true },
    { "write that waits, critical", 1, 25, AP_ADMIT_WRITE_BLOCK, APIARY_BUSY, true },
    { "write that fails, hot", 1, 18, AP_ADMIT_WRITE_ERROR, APIARY_BUSY, false },
    { "write that does not care, hot", 1, 18, AP_ADMIT_WRITE_IGNORE, APIARY_OK, false },
    { "write that does not care, critical", 1, 25, AP_ADMIT_WRITE_IGNORE, APIARY_BUSY, false },
};

/* A pool of one bee that works, with one that waits: 0.4 + 0.2, and the kernel's memory figure. */
static void admitted(void **state)
{
    (void)state;
    enum { WAIT_MS = 300 };
    for (size_t i = 0; i < AP_COUNT(admissions); i++) {
        const struct admission *row = &admissions[i];
        struct fixture f;
        struct apiary_error err = { 0 };
        struct ap_chamber *held = NULL;
        fixture_open(&f, "runtime/fake_bee", 1, 200 * MIB);
        ap_pool_close(f.pool);
        char text[64];
        snprintf(text, sizeof text, "some avg10=%.2f avg60=0\n", row->memory);
        write_text(f.machine, "proc/pressure/memory", text);
        struct ap_pool_options options = { .bees = 1, .memory_bytes = 200 * MIB, .scratch_dir = f.folder,
            .program = f.program, .machine_root = f.machine, .heat_delay_ms = 100, .admit_wait_ms = WAIT_MS };
        assert_ok(ap_pool_open(ap_env_system(), &options, &f.pool, &err));
        assert_ok(ap_chamber_take(f.pool, 1, NULL, &held, &err));
        struct waiting waiting = { .pool = f.pool };
        pthread_t thread;
        pthread_create(&thread, NULL, wait_for_a_bee, &waiting);
        struct ap_pool_load load;
        double wanted = 0.4 + 0.2 + 0.4 * 4 * row->memory / 100;
        do {
            usleep(20000);
            ap_pool_load(f.pool, &load);
        } while (load.waiting == 0 || load.temperature < wanted - 0.005);

        int64_t begin = ap_mono_us(ap_env_system());
        assert_code_in(row->label, ap_pool_admit(f.pool, row->kind, NULL, &err), row->code);
        int64_t took_ms = (ap_mono_us(ap_env_system()) - begin) / 1000;
        if (row->waits) assert_true_in(row->label, took_ms >= WAIT_MS);
        if (row->code != APIARY_OK && (!strstr(err.message, "1 of 1 bees busy, 1 waiting") || !strstr(err.hint, "try again in about ")))
            fail_msg("%s: %s (%s)", row->label, err.message, err.hint);
        ap_chamber_give(held);
        pthread_join(thread, NULL);
        fixture_close(&f);
    }
}

/* What waits because it is hot begins when it has cooled down. */
static void cools_down(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    fixture_open(&f, "runtime/fake_bee", 1, 200 * MIB);
    ap_pool_close(f.pool);
    write_text(f.machine, "proc/pressure/memory", "some avg10=25.00 avg60=0\n");
    struct ap_pool_options options = { .bees = 1, .memory_bytes = 200 * MIB, .scratch_dir = f.folder,
        .program = f.program, .machine_root = f.machine, .heat_delay_ms = 1000 };
    assert_ok(ap_pool_open(ap_env_system(), &options, &f.pool, &err));
    struct ap_chamber *held = NULL;
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &held, &err));
    struct waiting waiting = { .pool = f.pool };
    pthread_t thread;
    pthread_create(&thread, NULL, wait_for_a_bee, &waiting);
    struct ap_pool_load load;
    do {
        usleep(20000);
        ap_pool_load(f.pool, &load);
    } while (load.band < AP_BAND_CRITICAL);
    assert_code(ap_pool_admit(f.pool, AP_ADMIT_QUERY, NULL, &err), APIARY_BUSY);
    ap_chamber_give(held);
    assert_ok(ap_pool_admit(f.pool, AP_ADMIT_WRITE_BLOCK, NULL, &err)); /* waits for it */
    ap_pool_load(f.pool, &load);
    assert_true(load.band < AP_BAND_HOT);
    pthread_join(thread, NULL);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formula),
        cmocka_unit_test(smoothing),
        cmocka_unit_test(pressure),
        cmocka_unit_test(maintenance_yields),
        cmocka_unit_test(pool_feels_pressure),
        cmocka_unit_test(admitted),
        cmocka_unit_test(cools_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
