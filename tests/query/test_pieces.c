/* Rows of the caller that are written more than once: their stream is read to its end and left alone then. */
#include "query_world.h"

#include <nanoarrow/nanoarrow.h>

#include <errno.h>

enum { BATCHES = 4, ROWS = 20000, PARTITIONS = 20 };

/* The Arrow C stream interface says nothing of calls behind the end: this one fails them. */
struct producer {
    int batches, late; /* given out; calls behind the end */
    bool ended;
};

static int make_schema(struct ArrowSchema *schema)
{
    ArrowSchemaInit(schema);
    int failed = ArrowSchemaSetTypeStruct(schema, 2);
    for (int i = 0; i < 2 && !failed; i++)
        failed = ArrowSchemaSetType(schema->children[i], NANOARROW_TYPE_INT64) ||
                 ArrowSchemaSetName(schema->children[i], i == 0 ? "i" : "p");
    return failed;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct producer *producer = stream->private_data;
    producer->late += producer->ended;
    return producer->ended ? EIO : make_schema(out);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct producer *producer = stream->private_data;
    struct ArrowSchema schema;
    memset(out, 0, sizeof *out);
    producer->late += producer->ended;
    if (producer->ended) return EIO;
    producer->ended = producer->batches == BATCHES;
    if (producer->ended) return 0;
    int failed = make_schema(&schema) || ArrowArrayInitFromSchema(out, &schema, NULL) || ArrowArrayStartAppending(out);
    for (int64_t row = 0; row < ROWS && !failed; row++) {
        int64_t i = producer->batches * (int64_t)ROWS + row;
        failed = ArrowArrayAppendInt(out->children[0], i) || ArrowArrayAppendInt(out->children[1], i % PARTITIONS) ||
                 ArrowArrayFinishElement(out);
    }
    producer->batches++;
    ArrowSchemaRelease(&schema);
    return failed || ArrowArrayFinishBuildingDefault(out, NULL);
}

static const char *last_error(struct ArrowArrayStream *stream)
{
    (void)stream;
    return "read behind its end";
}

static void release(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

static const struct {
    const char *label, *memory_limit, *cell_size, *frame;
    int cells; /* not so few, if not 0 */
} cases[] = {
    { "in pieces", "256MB", "16MB", "CREATE FRAME t (i BIGINT, p BIGINT) PARTITIONED BY (p)" },
    { "in pieces, in order", "256MB", "16MB", "CREATE FRAME t (i BIGINT, p BIGINT) CLUSTER BY (p)" },
    { "a partition that is cut again", "1GB", "64KB", "CREATE FRAME t (i BIGINT, p BIGINT) PARTITIONED BY (p)",
        PARTITIONS / 4 },
};

static void write_case(size_t index)
{
    char folder[AP_TEST_PATH_MAX], set[64];
    struct apiary *handle = NULL;
    struct apiary_session *session = NULL;
    struct apiary_result *result = NULL;
    struct apiary_error err = { 0 };
    struct producer producer = { 0 };
    struct ArrowArrayStream stream = { .get_schema = get_schema, .get_next = get_next, .get_last_error = last_error,
        .release = release, .private_data = &producer };
    const struct apiary_table table = { "mine", &stream };
    const char *sql = "INSERT INTO t SELECT i, CASE WHEN i % 4 > 0 THEN 0 ELSE p END FROM mine";
    const struct apiary_query query = { .sql = sql, .length = strlen(sql), .tables = &table, .table_count = 1 };
    ap_test_folder(folder);
    query_open(folder, cases[index].memory_limit, &handle, &session);
    snprintf(set, sizeof set, "SET target_cell_size = '%s'", cases[index].cell_size);
    query_run(session, set);
    query_run(session, cases[index].frame);
    int code = apiary_sql(session, &query, &result, &err);
    if (code != APIARY_OK) fail_msg("%s: %s", cases[index].label, err.message);
    assert_int_equal(apiary_result_rows_changed(result), BATCHES * ROWS);
    apiary_result_close(result);
    if (cases[index].cells > 0) {
        char *info = NULL, wanted[32];
        assert_int_equal(apiary_frame_info(session, "t", &info, &err), APIARY_OK);
        snprintf(wanted, sizeof wanted, "\"cell_count\":%d,", cases[index].cells);
        if (strstr(info, wanted) != NULL) fail_msg("%s: nothing was cut again: %s", cases[index].label, info);
        apiary_free(info);
    }
    assert_true_in(cases[index].label, producer.ended);
    assert_int_equal(producer.late, 0);
    apiary_session_close(session);
    apiary_close(handle);
    ap_test_folder_remove(folder);
}

static void read_to_its_end_only(void **state)
{
    (void)state;
    bool sanitized = getenv("AP_SANITIZED") != NULL; /* a chamber needs more than 256 MB then */
    for (size_t i = 0; i < AP_COUNT(cases); i++)
        if (!sanitized || strcmp(cases[i].memory_limit, "256MB") != 0) write_case(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(read_to_its_end_only) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
