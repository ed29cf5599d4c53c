/* A small stream of the caller is read twice, any other once and to its last row. Who owns what is the
 * sanitizer's to find out, and counted here: each array and each stream is released once. */
#include "query_world.h"

#include "core/alloc.h"
#include "query/reread.h"

#include <nanoarrow/nanoarrow.h>

#include <errno.h>

/* A stream of `arrays` arrays of `rows` numbers (0, 1, 2 …) beside a text of `width` bytes. */
struct producer {
    int arrays, fails_at; /* fails_at: which get_next fails, from 1; 0: none */
    int64_t rows;
    int width;
    bool no_schema;
    int given, late; /* calls of get_next that were answered; behind the end or the failure */
    int alive, released; /* arrays; streams */
    int64_t next;
};

struct tracked { /* in place of an array's own release */
    struct producer *producer;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

static void release_array(struct ArrowArray *array)
{
    struct tracked *tracked = array->private_data;
    array->release = tracked->release;
    array->private_data = tracked->private_data;
    tracked->producer->alive--;
    test_free(tracked);
    array->release(array);
}

static int make_schema(struct ArrowSchema *schema)
{
    ArrowSchemaInit(schema);
    return ArrowSchemaSetTypeStruct(schema, 2) || ArrowSchemaSetType(schema->children[0], NANOARROW_TYPE_INT64) ||
           ArrowSchemaSetName(schema->children[0], "i") || ArrowSchemaSetType(schema->children[1], NANOARROW_TYPE_STRING) ||
           ArrowSchemaSetName(schema->children[1], "t");
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct producer *producer = stream->private_data;
    return producer->no_schema ? EINVAL : make_schema(out);
}

static int make_array(struct producer *producer, struct ArrowArray *out)
{
    char text[4096] = "";
    struct ArrowSchema schema;
    memset(text, 'x', sizeof text);
    int failed = make_schema(&schema) || ArrowArrayInitFromSchema(out, &schema, NULL) || ArrowArrayStartAppending(out);
    for (int64_t i = 0; i < producer->rows && !failed; i++)
        failed = ArrowArrayAppendInt(out->children[0], producer->next++) ||
                 ArrowArrayAppendString(out->children[1], (struct ArrowStringView) { text, producer->width }) ||
                 ArrowArrayFinishElement(out);
    ArrowSchemaRelease(&schema);
    return failed || ArrowArrayFinishBuildingDefault(out, NULL);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct producer *producer = stream->private_data;
    bool ends = producer->given == producer->arrays, fails = producer->given + 1 == producer->fails_at;
    memset(out, 0, sizeof *out);
    producer->late += producer->given > producer->arrays;
    if (fails) producer->arrays = producer->given;
    producer->given++;
    if (fails) return EIO;
    if (ends) return 0;
    if (make_array(producer, out) != 0) return ENOMEM;
    struct tracked *tracked = test_malloc(sizeof *tracked);
    *tracked = (struct tracked) { producer, out->release, out->private_data };
    out->release = release_array;
    out->private_data = tracked;
    producer->alive++;
    return 0;
}

static const char *last_error(struct ArrowArrayStream *stream)
{
    (void)stream;
    return "the disk is gone";
}

static void release(struct ArrowArrayStream *stream)
{
    struct producer *producer = stream->private_data;
    producer->released++;
    stream->release = NULL;
}

static struct ArrowArrayStream stream_of(struct producer *producer)
{
    return (struct ArrowArrayStream) { get_schema, get_next, last_error, release, producer };
}

/* Reads to the end or the failure, which is returned; *rows: of them all, which count from 0. */
static int read_all(struct ap_reread *reread, int64_t *rows)
{
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray array = { 0 };
    int failed = 0;
    *rows = 0;
    ap_reread_open(reread, &stream);
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    assert_string_equal(schema.children[1]->name, "t");
    ArrowSchemaRelease(&schema);
    while ((failed = stream.get_next(&stream, &array)) == 0 && array.release != NULL) {
        const int64_t *numbers = array.children[0]->buffers[1];
        for (int64_t i = 0; i < array.length; i++) assert_int_equal(numbers[i], (*rows)++);
        array.release(&array);
        assert_null(array.release);
    }
    if (failed != 0) assert_string_equal(stream.get_last_error(&stream), "the disk is gone");
    stream.release(&stream);
    assert_null(stream.release);
    return failed;
}

static const struct {
    const char *label;
    struct producer producer;
    bool whole;
    int given; /* calls of get_next until it is known whether it is a small one */
} cases[] = {
    { "no array", { .arrays = 0 }, true, 1 },
    { "arrays without rows", { .arrays = 3 }, true, 4 },
    { "a few arrays", { .arrays = 3, .rows = 100, .width = 5 }, true, 4 },
    { "nearly a megabyte", { .arrays = 10, .rows = 25, .width = 4000 }, true, 11 },
    { "more than a megabyte", { .arrays = 12, .rows = 25, .width = 4000 }, false, 11 },
    { "one large array", { .arrays = 1, .rows = 300, .width = 4000 }, false, 1 },
    { "many arrays", { .arrays = AP_REREAD_ARRAYS_MAX - 1, .rows = 1 }, true, AP_REREAD_ARRAYS_MAX },
    { "too many arrays", { .arrays = AP_REREAD_ARRAYS_MAX, .rows = 1 }, false, AP_REREAD_ARRAYS_MAX },
    { "fails at once", { .arrays = 3, .rows = 10, .fails_at = 1 }, true, 1 },
    { "fails midway", { .arrays = 3, .rows = 10, .fails_at = 3 }, true, 3 },
    { "fails late", { .arrays = 20, .rows = 25, .width = 4000, .fails_at = 15 }, false, 11 },
};

static void small_ones_are_read_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const char *label = cases[i].label;
        struct producer producer = cases[i].producer;
        int arrays = producer.fails_at > 0 ? producer.fails_at - 1 : producer.arrays;
        struct ArrowArrayStream stream = stream_of(&producer);
        struct ap_reread reread = { 0 };
        struct apiary_error err = { 0 };
        int64_t rows = 0;
        assert_ok(ap_reread_take(&reread, &stream, NULL, &err));
        assert_null(stream.release);
        assert_true_in(label, reread.whole == cases[i].whole);
        assert_true_in(label, producer.given == cases[i].given);
        for (int times = reread.whole ? 3 : 1; times > 0; times--) {
            int failed = read_all(&reread, &rows);
            assert_true_in(label, failed == (producer.fails_at > 0 ? EIO : 0));
            assert_true_in(label, rows == arrays * producer.rows);
            assert_true_in(label, producer.alive == (reread.whole ? arrays : 0));
        }
        ap_reread_done(&reread);
        assert_true_in(label, producer.given == arrays + 1); /* each array once, whoever asked */
        assert_true_in(label, producer.late == 0 && producer.alive == 0 && producer.released == 1);
    }
}

/* One that is given up, at any place, leaves nothing. */
static void what_is_not_read_is_released(void **state)
{
    (void)state;
    for (int64_t rows = 25; rows <= 300; rows += 275)
        for (int read = 0; read < 3; read++) {
            struct producer producer = { .arrays = 5, .rows = rows, .width = 4000 };
            struct ArrowArrayStream stream = stream_of(&producer), reader;
            struct ap_reread reread = { 0 };
            struct apiary_error err = { 0 };
            assert_ok(ap_reread_take(&reread, &stream, NULL, &err));
            ap_reread_open(&reread, &reader);
            for (int i = 0; i < read; i++) {
                struct ArrowArray array = { 0 };
                assert_int_equal(reader.get_next(&reader, &array), 0);
                array.release(&array);
            }
            reader.release(&reader);
            ap_reread_done(&reread);
            assert_int_equal(producer.alive, 0);
            assert_int_equal(producer.released, 1);
        }
}

static void what_is_wrong_is_told_by_the_reader(void **state)
{
    (void)state;
    struct producer producer = { .arrays = 1, .rows = 1, .no_schema = true };
    struct ArrowArrayStream stream = stream_of(&producer), reader;
    struct ArrowSchema schema = { 0 };
    struct ap_reread reread = { 0 };
    struct apiary_error err = { 0 };
    assert_ok(ap_reread_take(&reread, &stream, NULL, &err));
    assert_false(reread.whole);
    ap_reread_open(&reread, &reader);
    assert_int_equal(reader.get_schema(&reader, &schema), EINVAL);
    assert_string_equal(reader.get_last_error(&reader), "the disk is gone");
    reader.release(&reader);
    ap_reread_done(&reread);
    assert_int_equal(producer.released, 1);
    assert_int_equal(producer.given, 0);
    assert_code(ap_reread_take(&reread, &stream, NULL, &err), APIARY_INVALID);
}

static void a_cancelled_one_is_not_pulled(void **state)
{
    (void)state;
    struct producer producer = { .arrays = 3, .rows = 1 };
    struct ArrowArrayStream stream = stream_of(&producer);
    struct ap_reread reread = { 0 };
    struct ap_cancel cancel = { 0 };
    struct apiary_error err = { 0 };
    assert_ok(ap_cancel_init(&cancel, &err));
    ap_cancel_request(&cancel);
    assert_code(ap_reread_take(&reread, &stream, &cancel, &err), APIARY_CANCELLED);
    assert_int_equal(producer.given, 0);
    ap_reread_done(&reread);
    ap_cancel_done(&cancel);
    assert_int_equal(producer.released, 1);
}

static enum apiary_code take_and_drop(struct producer *producer, struct apiary_error *err)
{
    struct ArrowArrayStream stream = stream_of(producer);
    struct ap_reread reread = { 0 };
    enum apiary_code code = ap_reread_take(&reread, &stream, NULL, err);
    ap_reread_done(&reread);
    return code;
}

static void memory_fails(void **state)
{
    (void)state;
    struct producer fresh = { .arrays = 20, .rows = 2, .width = 3, .fails_at = 18 }, producer = fresh;
    struct apiary_error err = { 0 };
    assert_memory_failures(take_and_drop(&producer, &err), producer.alive == 0 && producer.released == 1, producer = fresh);
}

/* ---- appends to a frame that another handle changed since ---- */

static const struct {
    const char *label, *change; /* by the other handle; NULL: none */
    struct producer producer;
    int code;
} appends[] = {
    { "nothing changed", NULL, { .arrays = 3, .rows = 10, .width = 3 }, APIARY_OK },
    { "a version more", "INSERT INTO t VALUES (1, 'x')", { .arrays = 3, .rows = 10, .width = 3 }, APIARY_OK },
    { "another frame that fits", "CREATE OR REPLACE FRAME t AS SELECT 1::DECIMAL(38,0) AS i, 'x' AS t, 2 AS more",
        { .arrays = 3, .rows = 10, .width = 3 }, APIARY_OK },
    { "another frame that does not", "CREATE OR REPLACE FRAME t AS SELECT 1 AS i, true AS t",
        { .arrays = 3, .rows = 10, .width = 3 }, APIARY_SCHEMA },
    { "many rows", "CREATE OR REPLACE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t, 2 AS more",
        { .arrays = 20, .rows = 50, .width = 4000 }, APIARY_OK },
    { "no rows", "CREATE OR REPLACE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t", { .arrays = 3 }, APIARY_OK },
    { "a stream that fails", "CREATE OR REPLACE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t, 2 AS more",
        { .arrays = 3, .rows = 10, .fails_at = 3 }, APIARY_IO },
    { "one without a schema", "INSERT INTO t VALUES (1, 'x', 2)", { .arrays = 3, .no_schema = true }, APIARY_IO },
};

static void append_case(size_t index, struct apiary_session *session, struct apiary_session *other)
{
    const char *label = appends[index].label;
    struct producer producer = appends[index].producer;
    struct ArrowArrayStream stream = stream_of(&producer);
    struct apiary_error err = { 0 };
    char *json = NULL, wanted[64];
    if (appends[index].change != NULL) query_run(other, appends[index].change);
    assert_code_in(label, apiary_write(session, "t", &stream, NULL, &json, &err), appends[index].code);
    snprintf(wanted, sizeof wanted, "\"rows_written\":%d,", producer.arrays * (int)producer.rows);
    if (appends[index].code == APIARY_OK) assert_true_in(label, strstr(json, wanted) != NULL);
    apiary_free(json);
    assert_null(stream.release);
    assert_true_in(label, producer.late == 0 && producer.alive == 0 && producer.released == 1);
}

/* The same rows by INSERT, as a table that the statement reads: who owns what. */
static void insert_case(size_t index, struct apiary_session *session, struct apiary_session *other)
{
    struct producer producer = appends[index].producer;
    struct ArrowArrayStream stream = stream_of(&producer);
    struct apiary_error err = { 0 };
    struct apiary_result *result = NULL;
    const struct apiary_table table = { "given", &stream };
    const char *sql = "INSERT INTO t BY NAME SELECT * FROM given";
    const struct apiary_query query = { .sql = sql, .length = strlen(sql), .tables = &table, .table_count = 1 };
    if (appends[index].change != NULL) query_run(other, appends[index].change);
    int code = apiary_sql(session, &query, &result, &err);
    if (appends[index].change == NULL) assert_int_equal(code, APIARY_OK);
    if (code == APIARY_OK) assert_int_in(appends[index].label, apiary_result_rows_changed(result), producer.arrays * producer.rows);
    apiary_result_close(result);
    if (stream.release != NULL) stream.release(&stream);
    assert_true_in(appends[index].label, producer.late == 0 && producer.alive == 0 && producer.released == 1);
}

static void appended_to_what_another_changed(void **state)
{
    (void)state;
    char folder[AP_TEST_PATH_MAX];
    struct apiary *handles[2] = { NULL };
    struct apiary_session *sessions[2] = { NULL };
    ap_test_folder(folder);
    for (int i = 0; i < 2; i++) query_open(folder, NULL, &handles[i], &sessions[i]);
    query_run(sessions[0], "CREATE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t");
    for (size_t i = 0; i < AP_COUNT(appends); i++) append_case(i, sessions[0], sessions[1]);
    query_run(sessions[0], "CREATE OR REPLACE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t");
    for (size_t i = 0; i < AP_COUNT(appends); i++) insert_case(i, sessions[0], sessions[1]);
    for (int i = 0; i < 2; i++) {
        apiary_session_close(sessions[i]);
        apiary_close(handles[i]);
    }
    ap_test_folder_remove(folder);
}

/* ---- rows that were made for a schema ---- */

static void text_between(const char *json, const char *before, char *out, size_t size)
{
    const char *at = strstr(json, before);
    assert_non_null(at);
    at += strlen(before);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

static enum apiary_code append_made_for(struct apiary_session *session, const char *id)
{
    struct producer producer = { .arrays = 1, .rows = 2 };
    struct ArrowArrayStream stream = stream_of(&producer);
    struct apiary_error err = { 0 };
    char *json = NULL;
    enum apiary_code code = (enum apiary_code)apiary_write(session, "t", &stream, &(struct apiary_write_options) { .schema_id = id }, &json, &err);
    apiary_free(json);
    return code;
}

/* Whatever of it was known, asked for or found out by the commit. */
static void made_for_a_schema(void **state)
{
    (void)state;
    static const char *const changes[] = { "CREATE OR REPLACE FRAME t AS SELECT 1::DECIMAL(38,0) AS i, 'x' AS t",
        "DROP FRAME t; CREATE FRAME t (i BIGINT, t VARCHAR, more BIGINT)", "CREATE OR REPLACE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t" };
    char folder[AP_TEST_PATH_MAX], known[64] = "", asked[64];
    struct apiary *handles[2] = { NULL };
    struct apiary_session *sessions[2] = { NULL };
    struct apiary_error err = { 0 };
    char *json = NULL;
    ap_test_folder(folder);
    for (int i = 0; i < 2; i++) query_open(folder, NULL, &handles[i], &sessions[i]);
    query_run(sessions[0], "CREATE FRAME t AS SELECT 1::BIGINT AS i, 'x' AS t");
    for (size_t i = 0; i < AP_COUNT(changes); i++) {
        assert_ok((enum apiary_code)apiary_frame_known(sessions[0], "t", &json, &err));
        text_between(json, "\"schema_id\":\"", known, sizeof known);
        apiary_free(json);
        assert_ok(append_made_for(sessions[0], known));
        query_run(sessions[1], changes[i]);
        assert_code(append_made_for(sessions[0], known), APIARY_CONFLICT);
        assert_ok((enum apiary_code)apiary_frame_info(sessions[0], "t", &json, &err));
        text_between(json, "\"schema_id\":\"", asked, sizeof asked);
        assert_string_not_equal(asked, known);
        assert_non_null(strstr(json, i == 1 ? "\"row_count\":0," : "\"row_count\":1,")); /* nothing was written */
        apiary_free(json);
    }
    for (int i = 0; i < 2; i++) {
        apiary_session_close(sessions[i]);
        apiary_close(handles[i]);
    }
    ap_test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_ones_are_read_twice),
        cmocka_unit_test(what_is_not_read_is_released),
        cmocka_unit_test(what_is_wrong_is_told_by_the_reader),
        cmocka_unit_test(a_cancelled_one_is_not_pulled),
        cmocka_unit_test(memory_fails),
        cmocka_unit_test(appended_to_what_another_changed),
        cmocka_unit_test(made_for_a_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
