/* The pool against the real chamber program. */
#include "pool_fixture.h"

#include <nanoarrow/nanoarrow.h>

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

enum { LATENCY_RUNS = 50 };

static void select_one(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL, 2, 1024 * MIB);
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    struct ap_bytes done = { 0 };
    assert_ok(run_json(chamber, "SELECT 42 AS a, 'x' AS b", &done, &err));
    assert_non_null(strstr(done.data, "[[\"42\",\"x\"]]"));

    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < LATENCY_RUNS; i++) assert_ok(run_json(chamber, "SELECT 1", &done, &err));
    clock_gettime(CLOCK_MONOTONIC, &end);
    print_message("# warm SELECT 1: %.3f ms, seal %s\n",
        ((double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6) /
            LATENCY_RUNS,
        ap_chamber_seal(chamber));
    ap_bytes_done(&done);
    ap_chamber_give(chamber);
    fixture_close(&f);
}

/* ---- errors in the user's words ---- */

static const struct wrong {
    const char *sql;
    enum apiary_code code;
    const char *says, *hint;
} wrongs[] = {
    { "SELECT nam FROM (SELECT 1 AS name)", APIARY_SQL, "\"nam\" not found", "name" },
    { "SELEC 1", APIARY_SQL, "syntax error", "" },
    { "SELECT CAST('x' AS INTEGER)", APIARY_SQL, "Could not convert string 'x'", "" },
    { "SELECT * FROM read_parquet('/cells/9/none.parquet')", APIARY_NOT_FOUND, "none.parquet", "" },
    { "SELECT list(i) FROM range(400000000) t(i)", APIARY_MEMORY, "budget of", "memory_limit" },
    { "SELECT error('stop: ' || 7)", APIARY_SQL, "stop: 7", "" },
};

static void told_clearly(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL, 1, 256 * MIB);
    for (size_t i = 0; i < AP_COUNT(wrongs); i++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
        assert_code_in(
            wrongs[i].sql, run_json(chamber, wrongs[i].sql, &done, &err), wrongs[i].code);
        if (!strstr(err.message, wrongs[i].says) || !strstr(err.hint, wrongs[i].hint) ||
            strchr(err.message, '\n'))
            fail_msg("%s: \"%s\", hint \"%s\"", wrongs[i].sql, err.message, err.hint);
        ap_chamber_give(chamber);
        assert_ok(
            ap_chamber_take(f.pool, 1, NULL, &chamber, &err)); /* the next statement answers */
        assert_ok(run_json(chamber, "SELECT 1", &done, &err));
        ap_chamber_give(chamber);
        ap_bytes_done(&done);
    }
    fixture_close(&f);
}

/* ---- rows ---- */

static void streams(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        int64_t rows;
        int64_t sum;
    } cases[] = {
        { "SELECT i, 'text ' || i AS t FROM range(1000000) t(i)", 1000000, INT64_C(499999500000) },
        { "SELECT i, repeat('x', 300000) AS t FROM range(200) t(i)", 200, 19900 },
        { "SELECT 5::BIGINT AS i, repeat('x', 30000000) AS t", 1, 5 },
        { "SELECT i, NULL::VARCHAR AS t FROM range(0) t(i)", 0, 0 },
    };
    struct fixture f;
    fixture_open(&f, NULL, 2, 1024 * MIB);
    for (size_t c = 0; c < AP_COUNT(cases); c++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_job_stream *stream = NULL;
        char *text = document(cases[c].sql, "arrow");
        struct ap_job job = job_of(text);
        assert_ok(ap_chamber_take(f.pool, 0, NULL, &chamber, &err));
        assert_ok(ap_job_start(chamber, &job, &stream, &err));
        int64_t rows = 0, sum = 0;
        for (;;) {
            struct ArrowArray batch = { 0 };
            assert_ok(ap_job_next(stream, &batch, &err));
            if (!batch.release) break;
            const int64_t *i = batch.children[0]->buffers[1];
            for (int64_t r = 0; r < batch.length; r++) sum += i[r];
            rows += batch.length;
            batch.release(&batch);
        }
        assert_int_in(cases[c].sql, rows, cases[c].rows);
        assert_int_in(cases[c].sql, sum, cases[c].sum);
        ap_job_close(stream);
        ap_chamber_give(chamber);
        ap_free(text);
    }
    fixture_close(&f);
}

/* ---- limits and ending early ---- */

static void limits_follow(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL, 2, 1024 * MIB);
    for (int width = 2; width >= 1; width--) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        struct ap_bee_status bees[2];
        assert_ok(ap_chamber_take(f.pool, width, NULL, &chamber, &err));
        assert_ok(run_json(chamber, "SELECT current_setting('threads')", &done, &err));
        assert_non_null(strstr(done.data, width == 2 ? "[[\"2\"]]" : "[[\"1\"]]"));
        assert_int_equal(ap_pool_status(f.pool, bees, 2), 2);
        assert_true(bees[0].memory_bytes < bees[0].budget_bytes);
        if (!getenv("AP_SANITIZED")) {
            char path[64], line[256] = "";
            long long soft = 0;
            snprintf(path, sizeof path, "/proc/%d/limits", bees[0].chamber_pid);
            FILE *file = fopen(path, "r");
            assert_non_null(file);
            while (fgets(line, sizeof line, file))
                if (sscanf(line, "Max data size %lld", &soft) == 1) break;
            fclose(file);
            assert_int_equal(soft, (long long)(448 * MIB) * width); /* 128 are the guest's */
        }
        ap_bytes_done(&done);
        ap_chamber_give(chamber);
    }
    fixture_close(&f);
}

static void *cancel_soon(void *cancel)
{
    usleep(150000);
    ap_cancel_request(cancel);
    return NULL;
}

struct seen {
    int calls;
};
static void progress(void *context, double fraction, int64_t rows, int64_t bytes)
{
    (void)rows, (void)bytes;
    ((struct seen *)context)->calls += fraction >= -1 && fraction <= 1;
}

static void cancelled(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_cancel cancel;
    struct ap_chamber *chamber = NULL;
    struct ap_bytes done = { 0 };
    struct ap_bee_status before[1], after[1];
    struct seen seen = { 0 };
    pthread_t thread;
    fixture_open(&f, NULL, 1, 1024 * MIB);
    assert_ok(ap_cancel_init(&cancel, &err));
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    ap_pool_status(f.pool, before, 1);
    char *text = document(
        "SELECT count(*) FROM range(1000000000) a(i), range(1000) b(j) WHERE hash(i + j) = 7",
        "json");
    struct ap_job job = job_of(text);
    job.cancel = &cancel;
    job.progress = progress;
    job.progress_context = &seen;
    pthread_create(&thread, NULL, cancel_soon, &cancel);
    assert_code(ap_job_run(chamber, &job, &done, NULL, &err), APIARY_CANCELLED);
    pthread_join(thread, NULL);
    assert_true(seen.calls > 0);
    assert_ok(run_json(chamber, "SELECT 1", &done, &err)); /* the late cancel hits nobody */
    ap_pool_status(f.pool, after, 1);
    assert_int_equal(before[0].chamber_pid, after[0].chamber_pid);
    ap_chamber_give(chamber);
    ap_free(text);
    ap_bytes_done(&done);
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

/* ---- kernels that cannot seal in full ---- */

static void seals_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *program, *seal;
    } rows[] = { { "bee/bee_without_landlock", "partial" }, { "bee/bee_without_seccomp", "partial" },
        { "bee/bee_without_both", "engine-only" }, { NULL, "full" } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        const char *label = rows[i].program ? rows[i].program : "apiary-bee";
        struct fixture f;
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        struct ap_bee_status bees[1];
        fixture_open(&f, rows[i].program, 1, 1024 * MIB);
        ap_pool_status(f.pool, bees, 1);
        assert_string_in(label, bees[0].seal, "");
        assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
        if (!rows[i].program && strcmp(ap_chamber_seal(chamber), "full") != 0) {
            print_message("# this system gives the seal '%s'\n", ap_chamber_seal(chamber));
            ap_chamber_give(chamber);
            fixture_close(&f);
            continue;
        }
        assert_string_in(label, ap_chamber_seal(chamber), rows[i].seal);
        ap_pool_status(f.pool, bees, 1);
        assert_string_in(label, bees[0].seal, rows[i].seal);
        assert_ok(run_json(chamber, "SELECT 42", &done, &err));
        assert_non_null(strstr(done.data, "[[\"42\"]]"));
        /* The engine's own lock holds without the kernel's help. */
        assert_code_in(label, run_json(chamber, "SELECT * FROM read_text('/etc/passwd')", &done, &err), APIARY_DENIED);
        ap_chamber_give(chamber);
        ap_bytes_done(&done);

        struct ap_pool_options strict = { .bees = 1, .memory_bytes = 1024 * MIB, .scratch_dir = f.folder,
            .scratch_bytes_max = 1024 * MIB, .program = f.program, .machine_root = f.machine, .require_seal = true };
        struct ap_pool *pool = NULL;
        assert_ok(ap_pool_open(ap_env_system(), &strict, &pool, &err));
        chamber = NULL;
        enum apiary_code code = ap_chamber_take(pool, 1, NULL, &chamber, &err);
        assert_true_in(label, code == (rows[i].program ? APIARY_DENIED : APIARY_OK));
        if (code != APIARY_OK) {
            assert_non_null(strstr(err.message, "require_seal is on"));
            assert_non_null(strstr(err.message, rows[i].seal));
            assert_null(strchr(err.message, '\n'));
        }
        ap_chamber_give(chamber);
        ap_pool_close(pool);
        fixture_close(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select_one),
        cmocka_unit_test(told_clearly),
        cmocka_unit_test(streams),
        cmocka_unit_test(limits_follow),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(seals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
