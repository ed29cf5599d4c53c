/* Results whose reader is slow, stops, or never comes: the bees do not wait for it, nothing of the
 * rows changes on the way through the disk. Over the fake chamber: batches of 100 rows, a = 0, 1, 2 … */
#include "pool_fixture.h"

#include "runtime/spool.h"

#include <fcntl.h>
#include <nanoarrow/nanoarrow.h>
#include <pthread.h>
#include <sys/stat.h>

enum { BATCHES = 600, ROWS = BATCHES * 100 };

static void open_pool(struct fixture *f, int bees, uint64_t scratch_bytes)
{
    fixture_open(f, "runtime/fake_bee", bees, 256 * MIB);
    ap_pool_close(f->pool);
    struct ap_pool_options options = { .bees = bees,
        .memory_bytes = 256 * MIB * (uint64_t)bees,
        .scratch_dir = f->folder,
        .scratch_bytes_max = scratch_bytes,
        .program = f->program,
        .machine_root = f->machine };
    struct apiary_error err = { 0 };
    assert_ok(ap_pool_open(ap_env_system(), &options, &f->pool, &err));
}

static struct ap_job_stream *start(
    struct fixture *f, const char *sql, int64_t result_timeout_us, const struct ap_cancel *cancel)
{
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    struct ap_job_stream *stream = NULL;
    char *text = document(sql, "arrow");
    struct ap_job job = job_of(text);
    job.result_timeout_us = result_timeout_us;
    job.cancel = cancel;
    job.result_window_bytes = 1; /* all goes through the disk */
    assert_ok(ap_chamber_take(f->pool, 1, NULL, &chamber, &err));
    assert_ok(ap_job_start(chamber, &job, &stream, &err));
    assert_true(ap_job_drain(stream));
    assert_false(ap_job_drain(stream));
    ap_free(text);
    return stream;
}

/* Reads to the end; rows must rise by one from 0. */
static enum apiary_code read_all(
    struct ap_job_stream *stream, int64_t pause_us, int64_t *rows, struct apiary_error *err)
{
    *rows = 0;
    for (;;) {
        struct ArrowArray batch = { 0 };
        enum apiary_code code = ap_job_next(stream, &batch, err);
        if (code != APIARY_OK || !batch.release) return code;
        const int32_t *a = batch.children[0]->buffers[1];
        for (int64_t i = 0; i < batch.length; i++) assert_int_equal(a[i], *rows + i);
        *rows += batch.length;
        batch.release(&batch);
        if (pause_us) usleep((useconds_t)pause_us);
    }
}

static void wait_over(struct ap_job_stream *stream)
{
    while (!ap_job_settle(stream, 0)) usleep(2000);
}

/* Nobody reads, and the one bee is free all the same; then every row is there. */
static void bees_do_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_chamber *chamber = NULL;
    struct ap_bytes done = { 0 };
    open_pool(&f, 1, 64 * MIB);
    struct ap_job_stream *stream = start(&f, "rows 600", 0, NULL);
    wait_over(stream);
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    assert_ok(run_json(chamber, "json", &done, &err));
    ap_chamber_give(chamber);
    int64_t rows = 0;
    assert_ok(read_all(stream, 0, &rows, &err));
    assert_int_equal(rows, ROWS);
    struct ap_job_stats stats;
    ap_job_stats(stream, &stats);
    assert_int_equal(stats.rows_out, ROWS);
    ap_job_close(stream);
    ap_bytes_done(&done);
    fixture_close(&f);
}

/* The disk holds a tenth of it: the chamber waits, a slow reader gets every row. */
static void slow_reader(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    open_pool(&f, 1, 256 << 10);
    struct ap_job_stream *stream = start(&f, "rows 600", 5000000, NULL);
    usleep(300000);
    assert_false(ap_job_settle(stream, 0)); /* it waits for room */
    int64_t rows = 0;
    assert_ok(read_all(stream, 200, &rows, &err));
    assert_int_equal(rows, ROWS);
    ap_job_close(stream);
    fixture_close(&f);
}

/* A reader that keeps all it has read is not told that there is no room. */
static void hoarding_reader(void **state)
{
    (void)state;
    static struct ArrowArray all[BATCHES];
    struct fixture f;
    struct apiary_error err = { 0 };
    open_pool(&f, 1, 64 << 10);
    struct ap_job_stream *stream = start(&f, "rows 600", 20000000, NULL);
    int count = 0;
    do assert_ok(ap_job_next(stream, &all[count], &err));
    while (all[count].release && ++count < BATCHES);
    assert_int_equal(count, BATCHES);
    ap_job_close(stream);
    fixture_close(&f); /* what was read outlives the stream and the pool */
    for (int i = 0; i < BATCHES; i++) {
        const int32_t *a = all[i].children[0]->buffers[1];
        assert_int_equal(a[99], i * 100 + 99);
        all[i].release(&all[i]);
    }
}

/* Nobody comes and the disk is full: the time of the reader runs out. */
static void reader_stops(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    open_pool(&f, 1, 256 << 10);
    struct ap_job_stream *stream = start(&f, "rows 600", 300000, NULL);
    wait_over(stream);
    int64_t rows = 0;
    assert_code(read_all(stream, 0, &rows, &err), APIARY_TIMEOUT);
    assert_non_null(strstr(err.message, "nobody read the result"));
    assert_in_range(rows, 100, ROWS - 100);
    assert_code(read_all(stream, 0, &rows, &err), APIARY_TIMEOUT); /* and again */
    ap_job_close(stream);
    struct ap_chamber *chamber = NULL;
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    ap_chamber_give(chamber);
    fixture_close(&f);
}

static void ended_early(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_cancel cancel;
    int64_t rows = 0;
    assert_ok(ap_cancel_init(&cancel, &err));
    open_pool(&f, 1, 256 << 10);
    struct ap_job_stream *stream = start(&f, "rows 600", 0, &cancel);
    struct ArrowArray batch = { 0 };
    assert_ok(ap_job_next(stream, &batch, &err));
    batch.release(&batch);
    ap_cancel_request(&cancel);
    wait_over(stream);
    enum apiary_code code = APIARY_OK;
    while ((code = ap_job_next(stream, &batch, &err)) == APIARY_OK && batch.release) {
        rows += batch.length;
        batch.release(&batch);
    }
    assert_int_equal(code, APIARY_CANCELLED);
    assert_true(rows < ROWS);
    ap_job_close(stream);
    ap_cancel_reset(&cancel);

    stream = start(&f, "rows 600", 0, &cancel); /* dropped while rows wait in both places */
    assert_ok(ap_job_next(stream, &batch, &err));
    ap_job_close(stream);
    batch.release(&batch);
    struct ap_chamber *chamber = NULL;
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    ap_chamber_give(chamber);

    static const struct {
        const char *sql;
        enum apiary_code code;
    } broken[] = { { "batch rowcount", APIARY_CORRUPT }, { "batch truncated", APIARY_CORRUPT } };
    for (size_t i = 0; i < AP_COUNT(broken); i++) {
        stream = start(&f, broken[i].sql, 0, NULL);
        assert_code_in(broken[i].sql, read_all(stream, 0, &rows, &err), broken[i].code);
        ap_job_close(stream);
    }
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

/* ---- ten at once ---- */

struct reader {
    struct ap_job_stream *stream;
    int64_t rows;
    enum apiary_code code;
    pthread_t thread;
};

static void *read_slowly(void *argument)
{
    struct reader *reader = argument;
    struct apiary_error err = { 0 };
    reader->code = read_all(reader->stream, 300, &reader->rows, &err);
    return NULL;
}

static void ten_readers(void **state)
{
    (void)state;
    enum { READERS = 10 };
    struct fixture f;
    struct reader readers[READERS];
    open_pool(&f, 2, 64 * MIB);
    /* Two bees: the later ones begin when the earlier are on the disk. */
    for (int i = 0; i < READERS; i++)
        readers[i] = (struct reader) { .stream = start(&f, "rows 600", 0, NULL) };
    for (int i = 0; i < READERS; i++)
        pthread_create(&readers[i].thread, NULL, read_slowly, &readers[i]);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].code, APIARY_OK);
        assert_int_equal(readers[i].rows, ROWS);
        ap_job_close(readers[i].stream);
    }
    fixture_close(&f);
}

/* The space of what was read and released is given back. */
static void space_comes_back(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX], text[200000];
    struct apiary_error err = { 0 };
    struct ap_spool *spool = NULL;
    struct ap_batch_memory parts[8];
    ap_test_folder(folder);
    int fd = open(folder, O_TMPFILE | O_RDWR, 0600), own = dup(fd);
    assert_true(fd >= 0);
    assert_ok(ap_spool_new(fd, &spool, &err));
    for (int i = 0; i < 8; i++) {
        uint64_t offset = 0;
        memset(text, 'a' + i, sizeof text);
        assert_ok(ap_spool_write(spool, text, sizeof text, &offset, &err));
        assert_ok(ap_spool_map(spool, offset, sizeof text, &parts[i], &err));
    }
    assert_in_range(ap_spool_bytes(spool), 8 * sizeof text, 8 * sizeof text + 8 * 4096);
    for (int i = 0; i < 7; i++) {
        const char *bytes = parts[i].data;
        assert_true(bytes[0] == 'a' + i && bytes[sizeof text - 1] == 'a' + i);
        parts[i].release(parts[i].context, parts[i].data, parts[i].size);
    }
    assert_in_range(ap_spool_bytes(spool), 1, sizeof text + 4096);
    struct stat info;
    assert_int_equal(fstat(own, &info), 0);
    assert_true(info.st_blocks * 512 <= 2 * (long)sizeof text);
    ap_spool_close(spool);
    assert_int_equal(((const char *)parts[7].data)[5], 'h');
    parts[7].release(parts[7].context, parts[7].data, parts[7].size);
    close(own);
    ap_test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bees_do_not_wait),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(hoarding_reader),
        cmocka_unit_test(reader_stops),
        cmocka_unit_test(ended_early),
        cmocka_unit_test(ten_readers),
        cmocka_unit_test(space_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
