/* Files through a real chamber: cells and user files by descriptor, output by COPY,
 * Arrow rows in, and what the seal refuses. */
#include "driver.h"

#include <fcntl.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <unistd.h>

static struct driver shared;

static void add_file(struct driver *driver, const char *name, const char *path)
{
    assert_true(driver->file_count < DRIVER_FILES_MAX);
    int i = driver->file_count++;
    snprintf(driver->files[i].name, sizeof driver->files[i].name, "%s", name);
    snprintf(driver->files[i].path, sizeof driver->files[i].path, "%s", path);
}

static void add_text(struct driver *driver, const char *name, const char *text)
{
    char path[AP_TEST_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/given-%d", driver->out, driver->file_count);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    add_file(driver, name, path);
}

/* Writes rows as Parquet into the out folder and gives it as a cell. */
static void add_cell(struct driver *driver, const char *name, const char *sql)
{
    char copy[1024], path[AP_TEST_PATH_MAX + 32];
    snprintf(copy, sizeof copy,
        "COPY (%s) TO '/out/9/cell-%d.parquet' (FORMAT parquet, ROW_GROUP_SIZE 10000)", sql,
        driver->file_count);
    driver_sql(driver, copy);
    snprintf(path, sizeof path, "%s/9~cell-%d.parquet", driver->out, driver->file_count);
    add_file(driver, name, path);
}

static int start(void **state)
{
    driver_start(&shared, NULL);
    add_cell(&shared, "/cells/1/a.parquet", "SELECT i, 'name ' || i AS s FROM range(50000) t(i)");
    add_cell(&shared, "/cells/2/p=x%20y/b.parquet",
        "SELECT i, 'name ' || i AS s FROM range(50000, 60000) t(i)");
    add_text(&shared, "/files/1/one.csv", "a,b\n1,x\n2,y\n");
    add_text(&shared, "/files/1/two.csv", "a,b\n3,z\n");
    add_text(&shared, "/files/2/rows.json", "{\"a\":1}\n{\"a\":2}\n");
    *state = &shared;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    driver_stop(&shared);
    return 0;
}

static void expect(struct driver *driver, const char *sql, const char *cell)
{
    struct outcome out;
    driver_json(driver, &out, sql);
    assert_string_in(sql, outcome_cell(&out, 0, 0), cell);
    outcome_done(&out);
}

static void refused(struct driver *driver, const char *sql, const char *type, const char *words)
{
    struct outcome out;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) quoted = { 0 };
    assert_ok(ap_json_quote(&quoted, ap_str_from(sql), &err));
    driver_run(driver, NULL, &out, "{\"sql\":%s,\"threads\":2,\"result\":\"json\"}",
        ap_bytes_text(&quoted));
    assert_failed(sql, &out, *type ? type : out.type, words);
    outcome_done(&out);
}

static void reads_cells(void **state)
{
    struct driver *driver = *state;
    expect(driver, "SELECT sum(i) FROM read_parquet('/cells/1/a.parquet')", "1249975000");
    expect(driver, "SELECT count(*) FROM '/cells/1/a.parquet'", "50000");
    expect(
        driver, "SELECT s FROM read_parquet('/cells/1/a.parquet') WHERE i = 41234", "name 41234");
    expect(driver,
        "SELECT sum(i) FROM read_parquet(['/cells/1/a.parquet','/cells/2/p=x%20y/b.parquet'])",
        "1799970000");
    expect(driver, "SELECT count(*) FROM read_parquet(['/cells/1/a.parquet','/cells/1/a.parquet'])",
        "100000");
    expect(driver,
        "SELECT DISTINCT p FROM read_parquet(['/cells/2/p=x%20y/b.parquet'], hive_partitioning = "
        "true, hive_types = {'p': VARCHAR})",
        "x y");
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"setup\":[\"ATTACH ':memory:' AS hive\",\"CREATE SCHEMA hive.box\",\"CREATE VIEW "
        "hive.box.frame AS SELECT * FROM read_parquet(['/cells/1/a.parquet'])\",\"USE hive.box\"],"
        "\"sql\":\"SELECT max(i) FROM frame\",\"threads\":2,\"result\":\"json\"}");
    assert_done("a view", &out);
    assert_string_equal(outcome_cell(&out, 0, 0), "49999");
    outcome_done(&out);
    refused(driver, "SELECT * FROM read_parquet('/cells/7/none.parquet')", "io",
        "/cells/7/none.parquet");
}

static void reads_files_of_the_user(void **state)
{
    struct driver *driver = *state;
    expect(driver, "SELECT sum(a) FROM read_csv('/files/1/one.csv')", "3");
    expect(driver, "SELECT sum(a) FROM read_csv('/files/1/*.csv')", "6");
    expect(driver, "SELECT sum(a) FROM read_json('/files/2/rows.json')", "3");
    refused(driver, "SELECT * FROM read_csv('/files/3/none.csv')", "io", "/files/3/none.csv");
}

/* A hole is never read as zeros, through pread (Parquet) or through read (CSV). */
static void pages_in_what_is_missing(void **state)
{
    struct driver *driver = *state;
    static const struct {
        const char *of, *name, *sql, *text;
    } rows[] = {
        { "/cells/1/a.parquet", "/cells/11/a.parquet",
            "SELECT sum(i) || max(s) FROM read_parquet('/cells/11/a.parquet')",
            "1249975000name 9999" },
        { "/files/1/one.csv", "/files/11/one.csv",
            "SELECT sum(a) FROM read_csv('/files/11/one.csv')", "3" },
        { "/cells/1/a.parquet", "/cells/12/a.parquet", /* there is no room for it */
            "SELECT sum(i) || max(s) FROM read_parquet('/cells/12/a.parquet')",
            "1249975000name 9999" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        driver->no_room = i == 2;
        char sparse[AP_TEST_PATH_MAX + 32];
        struct stat info;
        int of = 0;
        while (strcmp(driver->files[of].name, rows[i].of) != 0) of++;
        snprintf(sparse, sizeof sparse, "%s/sparse-%zu", driver->out, i);
        int fd = open(sparse, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_int_equal(stat(driver->files[of].path, &info), 0);
        assert_int_equal(ftruncate(fd, info.st_size), 0);
        close(fd);
        add_file(driver, rows[i].name, sparse);
        memcpy(driver->files[driver->file_count - 1].source, driver->files[of].path,
            sizeof driver->files[of].path);
        int before = driver->ranges;
        expect(driver, rows[i].sql, rows[i].text);
        assert_true_in(rows[i].name, driver->ranges > before);
    }
    driver->no_room = false;
}

static void copies_with_statistics(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"sql\":\"COPY (SELECT i AS id, CASE WHEN i %% 2 = 0 THEN NULL ELSE 'v' || i END AS "
        "\\\"odd \\\"\\\"name.x\\\", {'a': i} AS st, i / 2.0 AS d FROM range(1000) t(i))"
        " TO '/out/1/cell.parquet' (FORMAT parquet, COMPRESSION lz4_raw, "
        "RETURN_STATS)\",\"threads\":2,\"result\":\"files\"}");
    assert_done("copy", &out);
    yyjson_val *file = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(out.doc), "files"), 0);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(file, "filename")), "/out/1/cell.parquet");
    assert_int_equal(yyjson_get_int(yyjson_obj_get(file, "count")), 1000);
    char path[AP_TEST_PATH_MAX + 32];
    struct stat info;
    snprintf(path, sizeof path, "%s/1~cell.parquet", driver->out);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(yyjson_get_int(yyjson_obj_get(file, "file_size_bytes")), info.st_size);
    assert_true(yyjson_get_int(yyjson_obj_get(file, "footer_size_bytes")) > 0);
    yyjson_val *columns = yyjson_obj_get(file, "columns");
    int seen = 0;
    size_t index, count;
    yyjson_val *column;
    yyjson_arr_foreach(columns, index, count, column)
    {
        yyjson_val *names = yyjson_obj_get(column, "path");
        const char *name = yyjson_get_str(yyjson_arr_get(names, 0));
        if (strcmp(name, "id") == 0) {
            seen |= 1;
            assert_string_equal(yyjson_get_str(yyjson_obj_get(column, "min")), "0");
            assert_string_equal(yyjson_get_str(yyjson_obj_get(column, "max")), "999");
            assert_int_equal(yyjson_get_int(yyjson_obj_get(column, "null_count")), 0);
        } else if (strcmp(name, "odd \"name.x") == 0) {
            seen |= 2;
            assert_int_equal(yyjson_arr_size(names), 1);
            assert_int_equal(yyjson_get_int(yyjson_obj_get(column, "null_count")), 500);
            assert_string_equal(yyjson_get_str(yyjson_obj_get(column, "min")), "v1");
        } else if (strcmp(name, "st") == 0) {
            seen |= 4;
            assert_string_equal(yyjson_get_str(yyjson_arr_get(names, 1)), "a");
        }
    }
    if (seen != 7) fail_msg("columns missing: %s", out.body);
    outcome_done(&out);
    add_file(driver, "/cells/5/cell.parquet", path);
    expect(driver, "SELECT count(*) || ' ' || sum(id) FROM read_parquet('/cells/5/cell.parquet')",
        "1000 499500");
}

static void copies_by_partition(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"sql\":\"COPY (SELECT i, i %% 3 AS p FROM range(999) t(i)) TO '/out/2' (FORMAT parquet, "
        "PARTITION_BY (p), WRITE_PARTITION_COLUMNS false,"
        " FILENAME_PATTERN 'cell_{uuidv7}', RETURN_STATS)\",\"threads\":2,\"result\":\"files\"}");
    assert_done("partitions", &out);
    yyjson_val *files = yyjson_obj_get(yyjson_doc_get_root(out.doc), "files");
    assert_int_equal(yyjson_arr_size(files), 3);
    for (size_t i = 0; i < 3; i++) {
        yyjson_val *file = yyjson_arr_get(files, i);
        const char *name = yyjson_get_str(yyjson_obj_get(file, "filename"));
        const char *partition =
            yyjson_get_str(yyjson_obj_get(yyjson_obj_get(file, "partition"), "p"));
        if (partition == NULL) fail_msg("no partition value in %s", out.body);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "/out/2/p=%s/cell_", partition ? partition : "");
        assert_memory_equal(name, wanted, strlen(wanted));
        assert_int_equal(yyjson_get_int(yyjson_obj_get(file, "count")), 333);
    }
    outcome_done(&out);
    driver_run(driver, NULL, &out, "{\"sql\":\"SELECT 1\",\"result\":\"files\"}");
    assert_failed("no copy", &out, "invalid_input", "RETURN_STATS");
    outcome_done(&out);
    driver_sql(driver, "COPY (SELECT 1 AS a) TO '/out/3/rows.csv' (FORMAT csv)");
    driver_sql(driver, "COPY (SELECT 1 AS a) TO '/out/3/rows.json' (FORMAT json)");
    char path[AP_TEST_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/3~rows.csv", driver->out);
    assert_int_equal(access(path, F_OK), 0);
}

/* ---- rows in ---- */

static void append_message(
    struct ArrowBuffer *out, struct ArrowIpcEncoder *encoder, const struct ArrowBuffer *body)
{
    assert_int_equal(ArrowIpcEncoderFinalizeBuffer(encoder, 1, out), NANOARROW_OK);
    if (body) assert_int_equal(ArrowBufferAppend(out, body->data, body->size_bytes), NANOARROW_OK);
}

/* Memory files with the columns a (int64, from, from + 1, …) s (text), l (list), st
 * (struct): schema and first batch in the first, one batch in each other. */
static void make_input(int *fds, size_t count, int64_t rows)
{
    struct apiary_error err = { 0 };
    struct ArrowError error = { .message = "" };
    struct ArrowSchema schema;
    ArrowSchemaInit(&schema);
    assert_int_equal(ArrowSchemaSetTypeStruct(&schema, 4), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetType(schema.children[2], NANOARROW_TYPE_LIST), NANOARROW_OK);
    assert_int_equal(
        ArrowSchemaSetType(schema.children[2]->children[0], NANOARROW_TYPE_INT64), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetTypeStruct(schema.children[3], 1), NANOARROW_OK);
    assert_int_equal(
        ArrowSchemaSetType(schema.children[3]->children[0], NANOARROW_TYPE_STRING), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(schema.children[3]->children[0], "x"), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(schema.children[2], "l"), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(schema.children[3], "st"), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetType(schema.children[0], NANOARROW_TYPE_INT64), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetType(schema.children[1], NANOARROW_TYPE_STRING), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(schema.children[0], "a"), NANOARROW_OK);
    assert_int_equal(ArrowSchemaSetName(schema.children[1], "s"), NANOARROW_OK);
    struct ArrowIpcEncoder encoder;
    assert_int_equal(ArrowIpcEncoderInit(&encoder), NANOARROW_OK);
    for (size_t f = 0; f < count; f++) {
        struct ArrowBuffer file, body;
        ArrowBufferInit(&file);
        ArrowBufferInit(&body);
        if (f == 0) {
            assert_int_equal(ArrowIpcEncoderEncodeSchema(&encoder, &schema, &error), NANOARROW_OK);
            append_message(&file, &encoder, NULL);
        }
        struct ArrowArray array;
        assert_int_equal(ArrowArrayInitFromSchema(&array, &schema, &error), NANOARROW_OK);
        assert_int_equal(ArrowArrayStartAppending(&array), NANOARROW_OK);
        for (int64_t i = 0; i < rows; i++) {
            int64_t value = (int64_t)f * rows + i;
            char text[32];
            snprintf(text, sizeof text, "s%lld", (long long)value);
            assert_int_equal(ArrowArrayAppendInt(array.children[0], value), NANOARROW_OK);
            int rc = i % 10 ? ArrowArrayAppendString(array.children[1], ArrowCharView(text))
                            : ArrowArrayAppendNull(array.children[1], 1);
            assert_int_equal(rc, NANOARROW_OK);
            for (int k = 0; k < (int)(i % 3); k++)
                assert_int_equal(
                    ArrowArrayAppendInt(array.children[2]->children[0], value + k), NANOARROW_OK);
            assert_int_equal(ArrowArrayFinishElement(array.children[2]), NANOARROW_OK);
            assert_int_equal(
                ArrowArrayAppendString(array.children[3]->children[0], ArrowCharView(text)),
                NANOARROW_OK);
            assert_int_equal(ArrowArrayFinishElement(array.children[3]), NANOARROW_OK);
            assert_int_equal(ArrowArrayFinishElement(&array), NANOARROW_OK);
        }
        assert_int_equal(ArrowArrayFinishBuildingDefault(&array, &error), NANOARROW_OK);
        struct ArrowArrayView view;
        assert_int_equal(ArrowArrayViewInitFromSchema(&view, &schema, &error), NANOARROW_OK);
        assert_int_equal(ArrowArrayViewSetArray(&view, &array, &error), NANOARROW_OK);
        assert_int_equal(
            ArrowIpcEncoderEncodeSimpleRecordBatch(&encoder, &view, &body, &error), NANOARROW_OK);
        append_message(&file, &encoder, &body);
        assert_ok(ap_memfd_sealed(file.data, (size_t)file.size_bytes, &fds[f], &err));
        ArrowArrayViewReset(&view);
        ArrowArrayRelease(&array);
        ArrowBufferReset(&file);
        ArrowBufferReset(&body);
    }
    ArrowIpcEncoderReset(&encoder);
    ArrowSchemaRelease(&schema);
}

enum { INPUTS = 20, INPUT_ROWS = 5000 };

static void rows_in(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    int fds[INPUTS];
    make_input(fds, INPUTS, INPUT_ROWS);
    static const struct {
        const char *sql, *text;
    } rows[] = {
        { "SELECT count(*) || ' ' || sum(a) || ' ' || count(s) || ' ' || max(s) FROM given",
            "100000 4999950000 90000 s99999" },
        { "SELECT count(*) FROM given", "100000" },
        { "SELECT count(*) FROM given WHERE st.x = 's' || a AND (s IS NULL OR s = st.x) AND len(l) "
          "= (a % 5000) % 3 AND (len(l) = 0 OR (l[1] = a AND l[-1] = a + len(l) - 1))",
            "100000" },
        { "SELECT count(s) FROM given", "90000" },
        { "SELECT s FROM given WHERE a = 77777", "s77777" },
        { "SELECT sum(a) FROM (SELECT * FROM given LIMIT 3)", "3" },
        { "SELECT count(*) FROM (SELECT s || a AS x FROM given WHERE s LIKE '%9' ORDER BY x DESC)",
            "10000" },
        { "SELECT count(*) FROM (SELECT sum(a) OVER (PARTITION BY a % 3) AS x FROM given) WHERE x > 0",
            "100000" },
    };
    for (size_t i = 0; i < 2 * AP_COUNT(rows); i++) {
        bool kept = i >= AP_COUNT(rows);
        driver_run(driver, &(struct driving) { .input_fds = fds, .input_count = INPUTS }, &out,
            "{\"sql\":\"%s\",\"inputs\":[\"given\"],\"threads\":2,\"result\":\"json\",\"kept\":%s}",
            rows[i % AP_COUNT(rows)].sql, kept ? "true" : "false");
        assert_done(rows[i % AP_COUNT(rows)].sql, &out);
        assert_string_in(rows[i % AP_COUNT(rows)].sql, outcome_cell(&out, 0, 0), rows[i % AP_COUNT(rows)].text);
        outcome_done(&out);
    }
    /* An instance that is closed behind a failure, while its inputs are. */
    int told = 0;
    for (int i = 0; i < 30; i++) {
        driver_run(driver, &(struct driving) { .input_fds = fds, .input_count = INPUTS }, &out,
            "{\"sql\":\"SELECT CASE WHEN a = 99999 THEN error('no such row') ELSE a END FROM given\",\"inputs\":[\"given\"],"
            "\"threads\":2,\"result\":\"none\",\"kept\":true}");
        bool lost = strcmp(out.type, "lost") == 0; /* the engine's threads told in the wrong order */
        assert_failed("a kept job with rows fails", &out, out.type, lost ? "the engine lost the reason" : "no such row");
        told += !lost;
        outcome_done(&out);
    }
    assert_true(told > 0);
    driver_run(driver, &(struct driving) { .input_fds = fds, .input_count = INPUTS }, &out,
        "{\"sql\":\"COPY (SELECT * FROM given) TO '/out/4/in.parquet' (FORMAT parquet, "
        "RETURN_STATS)\",\"inputs\":[\"given\"],\"threads\":2,\"result\":\"files\"}");
    assert_done("copy of an input", &out);
    assert_int_equal(
        yyjson_get_int(yyjson_obj_get(
            yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(out.doc), "files"), 0), "count")),
        100000);
    outcome_done(&out);

    driver_run(driver,
        &(struct driving) {
            .input_fds = fds, .input_count = 7, .input_error = "the rows ran out: disk on fire" },
        &out,
        "{\"sql\":\"SELECT sum(a) FROM "
        "given\",\"inputs\":[\"given\"],\"threads\":2,\"result\":\"json\"}");
    assert_failed("the producer failed", &out, "input", "disk on fire");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .input_fds = fds + 1, .input_count = 1 }, &out,
        "{\"sql\":\"SELECT sum(a) FROM "
        "given\",\"inputs\":[\"given\"],\"threads\":2,\"result\":\"json\"}");
    assert_failed("no schema first", &out, "input", "no valid Arrow stream");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .input_fds = fds, .input_count = INPUTS }, &out,
        "{\"sql\":\"SELECT (SELECT count(*) FROM given) + (SELECT sum(a) FROM "
        "given)\",\"inputs\":[\"given\"],\"threads\":1,\"result\":\"json\"}");
    assert_failed("read twice", &out, "input", "only once");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .input_fds = fds, .input_count = 0 }, &out,
        "{\"sql\":\"SELECT 1\",\"inputs\":[\"given\"],\"threads\":1,\"result\":\"json\"}");
    assert_failed("nothing at all", &out, "input", "does not begin with a schema");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .starve = true, .cancel_after_ms = 100 }, &out,
        "{\"sql\":\"SELECT 1\",\"inputs\":[\"given\"],\"threads\":1,\"result\":\"json\"}");
    assert_failed("cancelled while it waits for rows", &out, "cancelled", "cancelled");
    outcome_done(&out);
    int broken;
    struct apiary_error err = { 0 };
    assert_ok(ap_memfd_sealed(
        "\xff\xff\xff\xff\x10\x00\x00\x00garbage garbage garbage", 32, &broken, &err));
    driver_run(driver, &(struct driving) { .input_fds = &broken, .input_count = 1 }, &out,
        "{\"sql\":\"SELECT sum(a) FROM "
        "given\",\"inputs\":[\"given\"],\"threads\":1,\"result\":\"json\"}");
    assert_failed("garbage", &out, "input", "no valid Arrow stream");
    outcome_done(&out);
    close(broken);
    for (size_t i = 0; i < INPUTS; i++) close(fds[i]);
}

/* ---- the seal ---- */

static void the_engine_reaches_nothing_else(void **state)
{
    struct driver *driver = *state;
    refused(driver, "SELECT * FROM read_text('/etc/passwd')", "permission", "/etc/passwd");
    refused(driver, "SELECT * FROM read_text('/cells/../etc/passwd')", "", "passwd");
    refused(driver, "SELECT * FROM read_text('/proc/self/environ')", "permission", "environ");
    refused(driver, "COPY (SELECT 1) TO '/tmp/escape.csv'", "permission", "escape.csv");
    refused(driver, "COPY (SELECT 1) TO '/cells/1/escape.parquet' (FORMAT parquet)", "", "escape");
    refused(driver, "INSTALL httpfs", "", "");
    refused(driver, "LOAD '/tmp/x.duckdb_extension'", "", "");
    refused(driver, "ATTACH '/tmp/x.db'", "", "");
    refused(driver, "SELECT * FROM read_csv('https://example.com/x.csv')", "", "");
    refused(driver, "SET enable_external_access = true", "", "");
}

/* A view over cells that stands is not made, and so not bound, again; with other cells it is. In a chamber of its
 * own: an instance that has grown is closed, and nothing stands in the next one. */
static void a_kept_instance_keeps_views(void **state)
{
    struct driver driver;
    struct outcome out;
    int fewer = 0;
    (void)state;
    driver_start(&driver, NULL);
    add_cell(&driver, "/cells/7/c.parquet", "SELECT i FROM range(100) t(i)");
    add_cell(&driver, "/cells/8/c.parquet", "SELECT i + 1 AS i FROM range(100) t(i)");
    for (int i = 0; i < 8; i++) {
        int cell = i % 2, asked[2];
        for (int again = 0; again < 2; again++) {
            asked[again] = driver.questions;
            driver_run(&driver, NULL, &out,
                "{\"standing\":[[\"CREATE VIEW f AS FROM read_parquet(['/cells/%d/c.parquet'])\",\"DROP VIEW f\"]],"
                "\"sql\":\"SELECT sum(i) FROM f\",\"result\":\"json\",\"kept\":true}", 7 + cell);
            asked[again] = driver.questions - asked[again];
            assert_done("a kept query", &out);
            assert_string_equal(outcome_cell(&out, 0, 0), cell == 0 ? "4950" : "5050");
            outcome_done(&out);
        }
        fewer += asked[1] < asked[0];
    }
    if (!getenv("AP_SANITIZED")) assert_true(fewer > 0); /* the sanitizer's own memory has every instance closed */
    driver_stop(&driver);
}

/* In a chamber of its own: what earlier statements left mapped counts against the fence. */
static void spills_into_its_scratch(void **state)
{
    struct driver driver;
    struct outcome out;
    (void)state;
    driver_start(&driver, NULL);
    driver_run(&driver, NULL, &out, "{\"sql\":\"%s\",\"threads\":1,\"result\":\"json\"}",
        "SELECT count(*) FROM (SELECT i, hash(i) AS h, 'some padding for the row ' || i AS s FROM "
        "range(4000000) t(i) ORDER BY h, s LIMIT 3999999)");
    assert_string_in("spill", outcome_cell(&out, 0, 0), "3999999");
    outcome_done(&out);
    driver_stop(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_cells),
        cmocka_unit_test(reads_files_of_the_user),
        cmocka_unit_test(pages_in_what_is_missing),
        cmocka_unit_test(copies_with_statistics),
        cmocka_unit_test(copies_by_partition),
        cmocka_unit_test(rows_in),
        cmocka_unit_test(a_kept_instance_keeps_views),
        cmocka_unit_test(the_engine_reaches_nothing_else),
        cmocka_unit_test(spills_into_its_scratch),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
