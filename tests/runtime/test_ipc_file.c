/* Arrow files: written, read back in order, refused when they end early or do not belong together. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "runtime/ipc_file.h"

#include <nanoarrow/nanoarrow.h>

#include <sys/mman.h>

static int file(void)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void make_schema(enum ArrowType type, struct ArrowSchema *out)
{
    ArrowSchemaInit(out);
    assert_int_equal(ArrowSchemaSetTypeStruct(out, 1), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetType(out->children[0], type), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(out->children[0], "c0"), NANOARROW_OK);
}

/* `count` numbers from `first` on; every third is NULL. */
static void make_batch(
    const struct ArrowSchema *schema, int64_t first, int64_t count, struct ArrowArray *out)
{
    assert_int_equal(ArrowArrayInitFromSchema(out, schema, NULL), NANOARROW_OK);
    assert_int_equal(ArrowArrayStartAppending(out), NANOARROW_OK);
    for (int64_t i = first; i < first + count; i++) {
        int failed = i % 3 == 0 ? ArrowArrayAppendNull(out->children[0], 1)
                                : ArrowArrayAppendInt(out->children[0], i);
        assert_int_equal(failed, NANOARROW_OK);
        assert_int_equal(ArrowArrayFinishElement(out), NANOARROW_OK);
    }
    assert_int_equal(ArrowArrayFinishBuildingDefault(out, NULL), NANOARROW_OK);
}

/* Batches of 5 rows with the numbers [first, first + 5 × batches). */
static uint64_t write_file(int fd, enum ArrowType type, int64_t first, int batches)
{
    struct apiary_error err = { 0 };
    struct ArrowSchema schema;
    struct ap_ipc_writer *writer = NULL;
    uint64_t bytes = 0;
    make_schema(type, &schema);
    assert_ok(ap_ipc_writer_new(fd, &schema, &writer, &err));
    for (int i = 0; i < batches; i++) {
        struct ArrowArray batch;
        make_batch(&schema, first + i * 5, 5, &batch);
        assert_ok(ap_ipc_writer_add(writer, &batch, &err));
        ArrowArrayRelease(&batch);
    }
    assert_ok(ap_ipc_writer_end(writer, &bytes, &err));
    ap_ipc_writer_free(writer);
    ArrowSchemaRelease(&schema);
    return bytes;
}

/* Reads to the end; the number of rows, -1 at a failure. The rows must be those from 0 on. */
static int64_t read_rows(struct ArrowArrayStream *rows)
{
    int64_t at = 0;
    for (;;) {
        struct ArrowArray batch = { 0 };
        if (rows->get_next(rows, &batch) != 0) {
            assert_non_null(rows->get_last_error(rows));
            return -1;
        }
        if (batch.release == NULL) return at;
        const int64_t *values = batch.children[0]->buffers[1];
        for (int64_t i = 0; i < batch.length; i++, at++)
            if (at % 3 != 0) assert_int_equal(values[i], at);
        batch.release(&batch);
    }
}

static void files_one_after_the_other(void **state)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream rows = { 0 };
    int fds[3] = { file(), file(), file() };
    (void)state;
    assert_true(write_file(fds[0], NANOARROW_TYPE_INT64, 0, 2) > 0);
    assert_true(write_file(fds[1], NANOARROW_TYPE_INT64, 10, 0) > 0);
    assert_true(write_file(fds[2], NANOARROW_TYPE_INT64, 10, 3) > 0);
    assert_ok(ap_ipc_files_open(fds, 3, &rows, &err));
    for (int i = 0; i < 3; i++) close(fds[i]); /* the stream has its own */
    assert_int_equal(read_rows(&rows), 25);
    rows.release(&rows);
}

static void writing_again_makes_it_shorter(void **state)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream rows = { 0 };
    int fd = file();
    (void)state;
    uint64_t large = write_file(fd, NANOARROW_TYPE_INT64, 0, 9);
    assert_true(write_file(fd, NANOARROW_TYPE_INT64, 0, 1) < large);
    assert_ok(ap_ipc_files_open(&fd, 1, &rows, &err));
    assert_int_equal(read_rows(&rows), 5);
    rows.release(&rows);
    close(fd);
}

static void cut_off_anywhere(void **state)
{
    struct apiary_error err = { 0 };
    int fd = file();
    (void)state;
    uint64_t bytes = write_file(fd, NANOARROW_TYPE_INT64, 0, 2);
    for (uint64_t size = bytes - 1; size < bytes; size--) {
        struct ArrowArrayStream rows = { 0 };
        assert_int_equal(ftruncate(fd, (off_t)size), 0);
        enum apiary_code code = ap_ipc_files_open(&fd, 1, &rows, &err);
        if (code != APIARY_OK) {
            assert_int_equal(code, APIARY_CORRUPT);
            assert_null(rows.release);
            continue;
        }
        assert_int_equal(read_rows(&rows), -1);
        assert_int_equal(read_rows(&rows), -1); /* and again */
        rows.release(&rows);
    }
    close(fd);
}

static void columns_must_agree(void **state)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream rows = { 0 };
    int fds[2] = { file(), file() };
    (void)state;
    assert_true(write_file(fds[0], NANOARROW_TYPE_INT64, 0, 1) > 0);
    assert_true(write_file(fds[1], NANOARROW_TYPE_INT32, 5, 1) > 0);
    assert_ok(ap_ipc_files_open(fds, 2, &rows, &err));
    assert_int_equal(read_rows(&rows), -1);
    assert_non_null(strstr(rows.get_last_error(&rows), "other columns"));
    rows.release(&rows);
    for (int i = 0; i < 2; i++) close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_one_after_the_other),
        cmocka_unit_test(writing_again_makes_it_shorter),
        cmocka_unit_test(cut_off_anywhere),
        cmocka_unit_test(columns_must_agree),
    };
    return cmocka_run_group_tests_name("ipc_file", tests, NULL, NULL);
}
