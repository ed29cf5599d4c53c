/* The pool against a chamber that misbehaves: each a clean error, and the pool lives on. */
#include "pool_fixture.h"

#include "core/time.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void mode(struct fixture *f, const char *text)
{
    char path[AP_TEST_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/mode", f->folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static struct ap_chamber *take(struct fixture *f, int width)
{
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    assert_ok(ap_chamber_take(f->pool, width, NULL, &chamber, &err));
    return chamber;
}

/* Runs to the end as a stream; rows, or the failure's code. */
static enum apiary_code run_stream(
    struct ap_chamber *chamber, const char *sql, int64_t *rows, struct apiary_error *err)
{
    char *text = document(sql, "arrow");
    struct ap_job job = job_of(text);
    struct ap_job_stream *stream = NULL;
    *rows = 0;
    enum apiary_code code = ap_job_start(chamber, &job, &stream, err);
    while (code == APIARY_OK) {
        struct ArrowArray batch = { 0 };
        code = ap_job_next(stream, &batch, err);
        if (code != APIARY_OK || !batch.release) break;
        *rows += batch.length;
        batch.release(&batch);
    }
    ap_job_close(stream);
    ap_free(text);
    return code;
}

/* ---- greeting ---- */

static const struct greeting {
    const char *mode;
    bool require_seal;
    enum apiary_code code;
    const char *says;
} greetings[] = {
    { "", false, APIARY_OK, "" },
    { "", true, APIARY_OK, "" },
    { "seal", false, APIARY_OK, "" },
    { "seal", true, APIARY_DENIED, "only the seal 'engine-only'" },
    { "seal_odd", false, APIARY_CORRUPT, "unknown seal 'wax'" },
    { "version", false, APIARY_CHAMBER,
        "wire version 77, this library is " AP_VERSION " with wire version 2" },
    { "build", false, APIARY_CHAMBER,
        "it is 0.0.0-other with wire version 2, this library is " AP_VERSION },
    { "die", false, APIARY_CHAMBER, "died while starting: exit status 5" },
    { "failed", false, APIARY_CHAMBER, "cannot start: no engine here" },
    { "noise", false, APIARY_CORRUPT, "broke the rules of the wire" },
    { "no_json", false, APIARY_CORRUPT, "broke the rules of the wire" },
    { "batch", false, APIARY_CORRUPT, "greeted with a message of kind" },
};

static void greeting(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(greetings); i++) {
        const struct greeting *row = &greetings[i];
        struct fixture f = { 0 };
        struct apiary_error err = { 0 };
        ap_test_folder(f.folder);
        snprintf(f.program, sizeof f.program, "%s/tests/runtime/fake_bee", build_folder());
        mode(&f, row->mode);
        struct ap_pool_options options = { .bees = 1,
            .memory_bytes = 512 * MIB,
            .scratch_dir = f.folder,
            .program = f.program,
            .require_seal = row->require_seal,
            .kernel_limit = getenv("AP_SANITIZED") == NULL };
        assert_ok(ap_pool_open(ap_env_system(), &options, &f.pool, &err));
        for (int round = 0; round < 2; round++) { /* a failed start gives its bee back */
            struct ap_chamber *chamber = NULL;
            assert_code_in(row->mode, ap_chamber_take(f.pool, 1, NULL, &chamber, &err), row->code);
            assert_true_in(
                row->mode, row->code == APIARY_OK || strstr(err.message, row->says) != NULL);
            ap_chamber_give(chamber);
        }
        fixture_close(&f);
    }
}

static void no_program(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    fixture_open(&f, "runtime/there_is_none", 1, 512 * MIB);
    assert_code(ap_chamber_take(f.pool, 1, NULL, &chamber, &err), APIARY_CONFIG);
    assert_non_null(strstr(err.message, "there_is_none"));
    fixture_close(&f);
}

/* ---- jobs ---- */

static const struct order {
    const char *sql;
    enum apiary_code code; /* OK: rows */
    int64_t rows;
    const char *says;
} streams[] = {
    { "rows 0", APIARY_OK, 0, "" },
    { "rows 1", APIARY_OK, 100, "" },
    { "rows 50", APIARY_OK, 5000, "" },
    { "batch fine", APIARY_OK, 100, "" },
    { "batch unsealed", APIARY_CORRUPT, 0, "not sealed" },
    { "batch truncated", APIARY_CORRUPT, 0, "not in order" },
    { "batch headless", APIARY_CORRUPT, 0, "not in order" },
    { "batch empty", APIARY_CORRUPT, 0, "not in order" },
    { "batch garbage", APIARY_CORRUPT, 0, "not in order" },
    { "batch header", APIARY_CORRUPT, 0, "not in order" },
    { "batch rowcount", APIARY_CORRUPT, 0, "said to have 101 rows and has 100" },
    { "batch offset_far", APIARY_CORRUPT, 0, "not in order" },
    { "batch offset_negative", APIARY_CORRUPT, 0, "not in order" },
    { "batch offset_falls", APIARY_CORRUPT, 0, "not in order" },
    { "batch is_schema", APIARY_CORRUPT, 0, "not in order" },
    { "no_schema", APIARY_CORRUPT, 0, "no schema before the end" },
    { "bad_schema", APIARY_CORRUPT, 0, "schema of a chamber" },
    { "two_schemas", APIARY_CORRUPT, 0, "second schema" },
    { "no_memory", APIARY_CORRUPT, 0, "without its memory" },
    { "other_job", APIARY_CORRUPT, 0, "spoke of job" },
    { "other_kind", APIARY_CORRUPT, 0, "message of kind 1" },
    { "need", APIARY_CORRUPT, 0, "input 7 of 0" },
    { "noise", APIARY_CORRUPT, 0, "broke the rules" },
    { "die", APIARY_CHAMBER, 0, "exit status 3; it said: the last words" },
    { "signal", APIARY_CHAMBER, 0, "SIGSEGV" },
    { "flood", APIARY_CHAMBER, 0, "xxx END" },
    { "fail {\"type\":\"binder\",\"message\":\"Binder Error: no column x\\nCandidate bindings: "
      "\\\"y\\\"\\n\\nLINE 1: select x\\n  ^\"}",
        APIARY_SQL, 0, "Binder Error: no column x" },
    { "fail {\"type\":\"out_of_memory\",\"message\":\"Out of Memory Error: failed to pin block\"}",
        APIARY_MEMORY, 0, "budget of" },
    { "fail {\"type\":\"Out of Memory\",\"message\":\"x max_temp_directory_size y\"}", APIARY_FULL,
        0, "scratch_limit" },
    { "fail {\"type\":\"io\",\"message\":\"IO Error: No files found\"}", APIARY_NOT_FOUND, 0,
        "No files found" },
    { "fail {\"type\":\"not implemented\",\"message\":\"Not implemented Error: x\"}",
        APIARY_UNSUPPORTED, 0, "x" },
    { "fail {\"type\":\"lost\",\"message\":\"the engine lost the reason\"}", APIARY_SQL, 0, "lost the reason" },
    { "fail {\"type\":\"interrupt\",\"message\":\"INTERRUPT Error\"}", APIARY_CANCELLED, 0, "" },
    { "fail {\"type\":\"internal\",\"message\":\"INTERNAL Error: assertion\"}", APIARY_INTERNAL, 0,
        "assertion" },
    { "fail {}", APIARY_INTERNAL, 0, "no reason" },
    { "fail {not json", APIARY_CORRUPT, 0, "" },
};

static void streaming(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    for (size_t i = 0; i < AP_COUNT(streams); i++) {
        const struct order *row = &streams[i];
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = take(&f, 1);
        int64_t rows;
        assert_code_in(row->sql, run_stream(chamber, row->sql, &rows, &err), row->code);
        if (row->code == APIARY_OK) {
            assert_int_in(row->sql, rows, row->rows);
        } else if (!strstr(err.message, row->says)) {
            fail_msg("%s: the message is \"%s\"", row->sql, err.message);
        }
        assert_true_in(row->sql, strlen(err.message) < 2000 && !strchr(err.message, '\n'));
        ap_chamber_give(chamber);
    }
    fixture_close(&f);
}

static void hints(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    int64_t rows;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    struct ap_chamber *chamber = take(&f, 1);
    assert_code(run_stream(chamber, streams[26].sql, &rows, &err), APIARY_SQL);
    assert_string_equal(err.message, "Binder Error: no column x");
    assert_string_equal(err.hint, "Candidate bindings: \"y\"");
    ap_chamber_give(chamber);
    fixture_close(&f);
}

/* Batches stay readable after everything else is closed. */
static void batches_outlive(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    struct ap_chamber *chamber = take(&f, 1);
    char *text = document("rows 3", "arrow");
    struct ap_job job = job_of(text);
    struct ap_job_stream *stream = NULL;
    struct ArrowArray batches[3] = { 0 };
    struct ArrowSchema schema;
    assert_ok(ap_job_start(chamber, &job, &stream, &err));
    assert_ok(ap_job_schema(stream, &schema, &err));
    for (int i = 0; i < 3; i++) assert_ok(ap_job_next(stream, &batches[i], &err));
    struct ArrowArray end = { .length = 9 };
    assert_ok(ap_job_next(stream, &end, &err));
    assert_null(end.release);
    assert_ok(ap_job_next(stream, &end, &err)); /* the end stays the end */
    struct ap_job_stats stats;
    ap_job_stats(stream, &stats);
    assert_int_equal(stats.rows_out, 300);
    assert_int_equal(stats.cpu_us, 5);
    ap_job_close(stream);
    ap_free(text);
    ap_chamber_give(chamber);
    fixture_close(&f);
    assert_string_equal(schema.children[1]->name, "b");
    schema.release(&schema);
    for (int i = 0; i < 3; i++) {
        const int32_t *a = batches[i].children[0]->buffers[1];
        const int32_t *offsets = batches[i].children[1]->buffers[1];
        const char *b = batches[i].children[1]->buffers[2];
        char wanted[16];
        snprintf(wanted, sizeof wanted, "row %d", i * 100 + 99);
        assert_int_equal(a[99], i * 100 + 99);
        assert_int_equal(offsets[100] - offsets[99], strlen(wanted));
        assert_memory_equal(b + offsets[99], wanted, strlen(wanted));
        batches[i].release(&batches[i]);
    }
}

/* A result that arrived holds no chamber, though nobody has read it. */
static void settled(void **state)
{
    (void)state;
    static const struct {
        const char *sql;
        bool over;
        int64_t rows;
        enum apiary_code code;
    } cases[] = {
        { "rows 0", true, 0, APIARY_OK },
        { "rows 4", true, 400, APIARY_OK },
        { "rows 9", false, 900, APIARY_OK },
        { "batch rowcount", true, 0, APIARY_CORRUPT },
    };
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = take(&f, 1);
        char *text = document(cases[i].sql, "arrow");
        struct ap_job job = job_of(text);
        struct ap_job_stream *stream = NULL;
        assert_ok(ap_job_start(chamber, &job, &stream, &err));
        int64_t rows = 0;
        if (cases[i].over) {
            while (!ap_job_settle(stream, 100000)) continue;
            ap_chamber_give(chamber);
            chamber = take(&f, 1); /* another statement runs before the rows are read */
            struct ap_bytes done = { 0 };
            assert_ok(run_json(chamber, "json", &done, &err));
            ap_bytes_done(&done);
        } else {
            assert_false(ap_job_settle(stream, 100000));
        }
        enum apiary_code code;
        struct ArrowArray batch = { 0 };
        while ((code = ap_job_next(stream, &batch, &err)) == APIARY_OK && batch.release) {
            rows += batch.length;
            batch.release(&batch);
        }
        assert_int_in(cases[i].sql, code, cases[i].code);
        assert_int_in(cases[i].sql, rows, cases[i].rows);
        assert_true_in(cases[i].sql, ap_job_settle(stream, 0));
        ap_job_close(stream);
        ap_chamber_give(chamber);
        ap_free(text);
    }
    fixture_close(&f);
}

/* A reader that stays away for too long loses the rest, and the bees are free for others. */
static void unread(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    struct ap_chamber *chamber = take(&f, 1);
    char *text = document("rows 1000", "arrow");
    struct ap_job job = job_of(text);
    struct ap_job_stream *stream = NULL;
    job.result_timeout_us = 100000;
    job.task = "rows for nobody";
    struct ap_bee_status bees[1];
    ap_pool_status(f.pool, bees, 1);
    assert_string_equal(bees[0].task, "");
    assert_ok(ap_job_start(chamber, &job, &stream, &err));
    ap_pool_status(f.pool, bees, 1);
    assert_string_equal(bees[0].task, job.task);
    while (kill(bees[0].chamber_pid, 0) == 0) usleep(20000);
    enum apiary_code code;
    int batches = 0;
    struct ArrowArray batch = { 0 };
    while ((code = ap_job_next(stream, &batch, &err)) == APIARY_OK && batch.release) {
        batches++;
        batch.release(&batch);
    }
    assert_int_equal(code, APIARY_TIMEOUT);
    assert_non_null(strstr(err.message, "nobody read the result"));
    assert_true(batches <= 4);
    ap_job_close(stream);
    ap_free(text);
    ap_chamber_give(chamber);
    ap_chamber_give(take(&f, 1));
    fixture_close(&f);
}

/* A stream that is dropped in the middle leaves a chamber that serves the next job. */
static void dropped_stream(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    struct ap_chamber *chamber = take(&f, 1);
    char *text = document("rows 1000", "arrow");
    struct ap_job job = job_of(text);
    struct ap_job_stream *stream = NULL;
    struct ArrowArray batch = { 0 };
    assert_ok(ap_job_start(chamber, &job, &stream, &err));
    assert_ok(ap_job_next(stream, &batch, &err));
    batch.release(&batch);
    ap_job_close(stream);
    ap_free(text);
    struct ap_bytes done = { 0 };
    assert_ok(run_json(chamber, "json", &done, &err));
    ap_bytes_done(&done);
    ap_chamber_give(chamber);
    struct ap_bee_status bees[1];
    assert_int_equal(ap_pool_status(f.pool, bees, 1), 1);
    assert_string_equal(bees[0].state, "idle");
    assert_true(bees[0].chamber_pid > 0);
    fixture_close(&f);
}

/* ---- ending early ---- */

static void *cancel_soon(void *cancel)
{
    usleep(50000);
    ap_cancel_request(cancel);
    return NULL;
}

static const struct stop {
    const char *sql;
    int64_t timeout_us;
    enum apiary_code code;
    bool killed;
} stops[] = {
    { "wait", 0, APIARY_CANCELLED, false },
    { "late", 0, APIARY_OK, false },
    { "hang", 0, APIARY_CANCELLED, true },
    { "wait", 150000, APIARY_TIMEOUT, false },
    { "hang", 150000, APIARY_TIMEOUT, true },
};

static void ending_early(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    for (size_t i = 0; i < AP_COUNT(stops); i++) {
        const struct stop *row = &stops[i];
        struct apiary_error err = { 0 };
        struct ap_cancel cancel;
        assert_ok(ap_cancel_init(&cancel, &err));
        struct ap_chamber *chamber = take(&f, 1);
        struct ap_bee_status before[1], after[1];
        ap_pool_status(f.pool, before, 1);
        char *text = document(row->sql, "json");
        struct ap_job job = job_of(text);
        struct ap_bytes done = { 0 };
        pthread_t thread;
        job.cancel = &cancel;
        job.timeout_us = row->timeout_us;
        if (!row->timeout_us) pthread_create(&thread, NULL, cancel_soon, &cancel);
        assert_code_in(row->sql, ap_job_run(chamber, &job, &done, NULL, &err), row->code);
        if (!row->timeout_us) pthread_join(thread, NULL);
        ap_chamber_give(chamber);
        chamber = take(&f, 1);
        ap_pool_status(f.pool, after, 1);
        assert_true_in(row->sql, (before[0].chamber_pid != after[0].chamber_pid) == row->killed);
        ap_chamber_give(chamber);
        ap_bytes_done(&done);
        ap_free(text);
        ap_cancel_done(&cancel);
    }
    fixture_close(&f);
}

static void over_budget(void **state)
{
    (void)state;
    if (getenv("AP_SANITIZED")) skip(); /* the sanitizer's own memory would be counted */
    struct apiary_error err = { 0 };
    for (int fenced = 0; fenced < 2; fenced++) {
        struct fixture f = { 0 };
        ap_test_folder(f.folder);
        snprintf(f.program, sizeof f.program, "%s/tests/runtime/fake_bee", build_folder());
        struct ap_pool_options options = { .bees = 1,
            .memory_bytes = 256 * MIB,
            .scratch_dir = f.folder,
            .program = f.program,
            .kernel_limit = fenced };
        assert_ok(ap_pool_open(ap_env_system(), &options, &f.pool, &err));
        struct ap_chamber *chamber = take(&f, 1);
        struct ap_bytes done = { 0 };
        /* Fenced, the kernel refuses; alone, the watch ends the chamber. */
        assert_code(run_json(chamber, "glut", &done, &err), APIARY_MEMORY);
        assert_non_null(
            strstr(err.message, fenced ? "more memory than its budget" : "its chamber's budget"));
        ap_chamber_give(chamber);
        chamber = take(&f, 1);
        assert_ok(run_json(chamber, "json", &done, &err));
        ap_chamber_give(chamber);
        ap_bytes_done(&done);
        fixture_close(&f);
    }
}

/* ---- questions ---- */

static int open_hello(
    void *context, const char *path, int flags, int *fd, uint64_t *size, uint64_t paging[2])
{
    (void)flags;
    if (strcmp(path, "/cells/1/x.parquet") != 0) return ENOENT;
    *fd = open(context, O_RDONLY | O_CLOEXEC);
    *size = 5;
    return *fd < 0 ? errno : 0;
}

static int list_two(void *context, const char *path, struct ap_texts *names)
{
    (void)context, (void)path;
    return ap_texts_add(names, AP_STR("a"), NULL) == APIARY_OK &&
                   ap_texts_add(names, AP_STR("b/"), NULL) == APIARY_OK
               ? 0
               : ENOMEM;
}

static int rename_any(void *context, const char *from, const char *to)
{
    (void)context;
    return strcmp(from, "/out/a") == 0 && strcmp(to, "/out/b") == 0 ? 0 : EPERM;
}

static const struct question {
    const char *sql;
    bool handler;
    const char *row; /* errno, size, content, body size */
} questions[] = {
    { "open /cells/1/x.parquet", true, "\"0\",\"5\",\"hello\",\"0\"" },
    { "open /cells/2/x.parquet", true, "\"2\",\"0\",\"\",\"0\"" },
    { "open /cells/1/x.parquet", false, "\"2\",\"0\",\"\",\"0\"" },
    { "open cells", true, "\"22\",\"0\",\"\",\"0\"" },
    { "open_nul", true, "\"22\",\"0\",\"\",\"0\"" },
    { "list /files/", true, "\"0\",\"0\",\"\",\"5\"" },
    { "rename_one", true, "\"22\"" },
    { "rename_two", true, "\"0\"" },
    { "rename_two", false, "\"2\"" },
};

static void asking(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    char path[AP_TEST_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/hello", f.folder);
    FILE *file = fopen(path, "w");
    fputs("hello", file);
    fclose(file);
    struct ap_handler handler = {
        .context = path, .open = open_hello, .list = list_two, .rename = rename_any
    };
    struct ap_chamber *chamber = take(&f, 1);
    for (size_t i = 0; i < AP_COUNT(questions); i++) {
        struct apiary_error err = { 0 };
        struct ap_bytes done = { 0 };
        char *text = document(questions[i].sql, "json");
        struct ap_job job = job_of(text);
        if (questions[i].handler) job.handler = &handler;
        assert_code_in(questions[i].sql, ap_job_run(chamber, &job, &done, NULL, &err), APIARY_OK);
        if (!strstr(done.data, questions[i].row))
            fail_msg("%s: the answer is %s", questions[i].sql, done.data);
        ap_bytes_done(&done);
        ap_free(text);
    }
    ap_chamber_give(chamber);
    fixture_close(&f);
}

/* ---- process hygiene ---- */

static void left_alone(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_bytes done = { 0 };
    int leaky = open("/dev/null", O_RDONLY); /* as a host may: without close-on-exec */
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    struct ap_chamber *chamber = take(&f, 1);
    assert_ok(run_json(chamber, "look", &done, &err));
    assert_non_null(strstr(done.data, "\"0\",\"0\",\"1\""));
    ap_chamber_give(chamber);
    ap_bytes_done(&done);
    close(leaky);
    fixture_close(&f);
}

static void fork_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    ap_chamber_give(take(&f, 1));
    pid_t child = fork();
    if (child == 0) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        bool refused = ap_chamber_take(f.pool, 1, NULL, &chamber, &err) == APIARY_INVALID;
        ap_pool_close(f.pool);
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ap_chamber_give(take(&f, 1)); /* the parent's is unharmed */
    fixture_close(&f);
}

/* What a dead owner left is swept; what a live one has is not. */
static void scratch_swept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    ap_chamber_give(take(&f, 1));
    char path[AP_TEST_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/pool-dead.lock", f.folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(path, sizeof path, "%s/pool-dead", f.folder);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/pool-dead/spill", f.folder);
    close(open(path, O_CREAT | O_WRONLY, 0600));

    struct apiary_error err = { 0 };
    struct ap_pool *second = NULL;
    struct ap_pool_options options = {
        .bees = 1, .memory_bytes = 512 * MIB, .scratch_dir = f.folder, .program = f.program
    };
    assert_ok(ap_pool_open(ap_env_system(), &options, &second, &err));
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/pool-dead.lock", f.folder);
    assert_int_equal(access(path, F_OK), -1);
    ap_pool_close(second);
    struct ap_bytes done = { 0 };
    struct ap_chamber *chamber = take(&f, 1);
    assert_ok(run_json(chamber, "json", &done, &err));
    ap_chamber_give(chamber);
    ap_bytes_done(&done);
    ap_pool_close(f.pool);
    /* Nothing of ours stays: the folder is empty but for what the test made. */
    snprintf(path, sizeof path, "ls -A %s | wc -l", f.folder);
    FILE *list = popen(path, "r");
    int count = -1;
    assert_int_equal(fscanf(list, "%d", &count), 1);
    pclose(list);
    assert_int_equal(count, 0);
    ap_test_folder_remove(f.folder);
}

/* A scratch folder that others can write into is refused before anything is put there. */
static void scratch_of_others(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    assert_int_equal(chmod(f.folder, 0777), 0);
    assert_code(ap_chamber_take(f.pool, 1, NULL, &chamber, &err), APIARY_DENIED);
    assert_non_null(strstr(err.message, f.folder));
    assert_int_equal(chmod(f.folder, 0700), 0);
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    ap_chamber_give(chamber);
    fixture_close(&f);
}

/* Every allocation of a caller's thread fails in turn: MEMORY or success, the pool stays whole. */
static void without_memory(void **state)
{
    (void)state;
    enum { ALLOCATIONS_MAX = 2000 };
    static const char *const orders[] = { "json", "rows 2" };
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 1, 512 * MIB);
    for (size_t o = 0; o < AP_COUNT(orders); o++) {
        long n = 1;
        char *text = document(orders[o], o == 0 ? "json" : "arrow");
        for (enum apiary_code code = APIARY_MEMORY; code != APIARY_OK; n++) {
            struct apiary_error err = { 0 };
            struct ap_chamber *chamber = NULL;
            struct ap_job job = job_of(text);
            struct ap_bytes done = { 0 };
            struct ap_job_stream *stream = NULL;
            struct ArrowArray batch = { 0 };
            assert_true_in(orders[o], n < ALLOCATIONS_MAX);
            ap_alloc_fail_after(n);
            code = ap_chamber_take(f.pool, 1, NULL, &chamber, &err);
            if (code == APIARY_OK && o == 0) code = ap_job_run(chamber, &job, &done, NULL, &err);
            if (code == APIARY_OK && o == 1) code = ap_job_start(chamber, &job, &stream, &err);
            while (code == APIARY_OK && stream) {
                code = ap_job_next(stream, &batch, &err);
                if (code != APIARY_OK || !batch.release) break;
                batch.release(&batch);
            }
            ap_alloc_fail_after(0);
            ap_job_close(stream);
            ap_bytes_done(&done);
            ap_chamber_give(chamber);
            assert_true_in(orders[o], code == APIARY_OK || code == APIARY_MEMORY);
        }
        assert_true_in(orders[o], n > 3);
        ap_free(text);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greeting),
        cmocka_unit_test(no_program),
        cmocka_unit_test(streaming),
        cmocka_unit_test(hints),
        cmocka_unit_test(batches_outlive),
        cmocka_unit_test(dropped_stream),
        cmocka_unit_test(settled),
        cmocka_unit_test(unread),
        cmocka_unit_test(ending_early),
        cmocka_unit_test(over_budget),
        cmocka_unit_test(asking),
        cmocka_unit_test(left_alone),
        cmocka_unit_test(fork_refused),
        cmocka_unit_test(scratch_swept),
        cmocka_unit_test(scratch_of_others),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
