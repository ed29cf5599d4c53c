/* Checkpoints with an engine that answers from a script: what is asked, and what becomes of the
 * rows. */
#include "ledger_help.h"

#include <nanoarrow/nanoarrow.h>

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}"
#define METADATA                                                                                   \
    "{\"protocol\":null,\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\","          \
    "\"options\":{}},\"schemaString\":"                                                            \
    "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":"         \
    "\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}},{\\\"name\\\":\\\"p\\\","             \
    "\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                  \
    "\"partitionColumns\":[\"p\"],\"configuration\":{}}}"

enum { ROWS_MAX = 24, COLUMNS_MAX = 16, QUERIES_MAX = 6 };

/* One query: words that its SQL must hold, and the answer. Kinds: b, n, t; NULL text is null. */
struct answer {
    const char *sql[4];
    const char *kinds;
    const char *rows[ROWS_MAX][COLUMNS_MAX];
    int row_count;
};
struct script {
    const struct answer *answers;
    int asked, count;
    const char *keys[4]; /* of the first query, NULL: not checked */
    struct ap_bytes written_sql, written_input;
};

static void append(struct ArrowArray *array, char kind, const char *text)
{
    if (!text)
        assert_int_equal(ArrowArrayAppendNull(array, 1), 0);
    else if (kind == 't')
        assert_int_equal(ArrowArrayAppendString(array, ArrowCharView(text)), 0);
    else
        assert_int_equal(
            ArrowArrayAppendInt(array, kind == 'b' ? strcmp(text, "true") == 0 : atoll(text)), 0);
}

static void make_stream(const struct answer *answer, struct ArrowArrayStream *out)
{
    struct ArrowSchema schema;
    struct ArrowArray batch;
    int columns = (int)strlen(answer->kinds);
    ArrowSchemaInit(&schema);
    assert_int_equal(ArrowSchemaSetTypeStruct(&schema, columns), 0);
    for (int i = 0; i < columns; i++) {
        enum ArrowType type = answer->kinds[i] == 't'   ? NANOARROW_TYPE_STRING
                              : answer->kinds[i] == 'n' ? NANOARROW_TYPE_INT64
                                                        : NANOARROW_TYPE_BOOL;
        assert_int_equal(ArrowSchemaSetType(schema.children[i], type), 0);
        assert_int_equal(ArrowSchemaSetName(schema.children[i], "c"), 0);
    }
    assert_int_equal(ArrowArrayInitFromSchema(&batch, &schema, NULL), 0);
    assert_int_equal(ArrowArrayStartAppending(&batch), 0);
    for (int row = 0; row < answer->row_count; row++) {
        for (int i = 0; i < columns; i++)
            append(batch.children[i], answer->kinds[i], answer->rows[row][i]);
        assert_int_equal(ArrowArrayFinishElement(&batch), 0);
    }
    assert_int_equal(ArrowArrayFinishBuildingDefault(&batch, NULL), 0);
    assert_int_equal(ArrowBasicArrayStreamInit(out, &schema, 1), 0);
    ArrowBasicArrayStreamSetArray(out, 0, &batch);
}

static enum apiary_code answer_query(void *context, struct ap_store *store, const char *const *keys,
    size_t key_count, const char *sql, struct ArrowArrayStream *out, struct apiary_error *err)
{
    struct script *script = context;
    if (script->asked == 0)
        for (size_t i = 0; script->keys[0] && i < key_count; i++)
            assert_string_equal(keys[i], script->keys[i]);
    if (script->asked == script->count) fail_msg("one query too many: %s", sql);
    const struct answer *answer = &script->answers[script->asked++];
    for (int i = 0; i < 4 && answer->sql[i]; i++) {
        bool absent = answer->sql[i][0] == '!';
        if ((strstr(sql, answer->sql[i] + absent) != NULL) == absent)
            fail_msg("query %d: \"%s\" in %s", script->asked, answer->sql[i], sql);
    }
    make_stream(answer, out);
    return APIARY_OK;
}

static enum apiary_code keep_parquet(void *context, struct ap_store *store, struct ap_str input,
    const char *sql, const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct script *script = context;
    AP_TRY(ap_bytes_add_str(&script->written_input, input, err));
    AP_TRY(ap_bytes_add_text(&script->written_sql, sql, err));
    object->size = 4711;
    return ap_store_put(store, key, input, err);
}

static struct ap_ledger *open_with(
    struct ap_store *store, const struct ap_engine_port *port, uint64_t interval)
{
    struct apiary_error err = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = { .env = store->env,
        .store = store,
        .prefix = "t",
        .name = "t",
        .engine = port,
        .checkpoint_interval = interval };
    assert_ok(ap_ledger_open(&options, &ledger, &err));
    return ledger;
}

static const struct answer classic[] = {
    { { "parquet_metadata(['/cells/0/o.parquet'])" }, "ttb",
        { { "/cells/0/o.parquet", "protocol, minReaderVersion", "false" },
            { "/cells/0/o.parquet", "metaData, id", "false" },
            { "/cells/0/o.parquet", "txn, appId", "true" },
            { "/cells/0/o.parquet", "add, path", "false" },
            { "/cells/0/o.parquet", "add, size", "false" },
            { "/cells/0/o.parquet", "add, partitionValues, key_value, key", "false" },
            { "/cells/0/o.parquet", "add, stats", "false" },
            { "/cells/0/o.parquet", "add, tags, key_value, key", "true" },
            { "/cells/0/o.parquet", "add, deletionVector, storageType", "false" },
            { "/cells/0/o.parquet", "add, deletionVector, offset", "false" },
            { "/cells/0/o.parquet", "remove, path", "false" },
            { "/cells/0/o.parquet", "remove, deletionTimestamp", "false" } },
        12 },
    { { "metaData := ", "!txn", "\"protocol\" IS NOT NULL OR" }, "t",
        { { PROTOCOL }, { METADATA } }, 2 },
    { { "partitionValues['p']", "!tags", "UNION ALL" }, "btnntttnnnt",
        { { "true", "p=x/1", "10", "0", "{\"numRecords\":3}", NULL, NULL, NULL, NULL, NULL, "x" },
            { "true", "p=y/2", "20", "0", NULL, "i", "abc", "4", "40", "6", "y" },
            { "false", "p=x/0", NULL, "777", NULL, NULL, NULL, NULL, NULL, NULL, NULL } },
        3 },
};

static void classic_checkpoints(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct script script = { .answers = classic,
        .count = 3,
        .keys = { "t/_delta_log/00000000000000000004.checkpoint.parquet" } };
    struct ap_engine_port port = { &script, answer_query, keep_parquet };
    help_put(store, "t/_delta_log/00000000000000000004.checkpoint.parquet", "x");
    help_put(store, "t/_delta_log/_last_checkpoint", "{\"version\":4}");
    help_put_version(store, 4, "not looked at");
    help_put_version(store, 5,
        "{\"add\":{\"path\":\"p=z/"
        "3\",\"partitionValues\":{\"p\":\"z\"},\"size\":1,\"modificationTime\":1,\"dataChange\":"
        "true}}");
    struct ap_ledger *ledger = open_with(store, &port, 0);
    struct ap_snapshot *snapshot = NULL;
    assert_ok(ap_ledger_snapshot(ledger, NULL, &snapshot, &err));
    assert_int_equal(script.asked, 3);
    assert_int_equal(snapshot->version, 5);
    assert_int_equal(snapshot->checkpoint_version, 4);
    assert_int_equal(snapshot->cell_count, 3);
    assert_int_equal(snapshot->cells[0].row_count, 3);
    assert_true(ap_str_is(snapshot->cells[0].partition_values[0], "x"));
    const struct ap_deletion_vector *vector = &snapshot->cells[1].deletion_vector;
    assert_true(ap_str_is(vector->storage, "i"));
    assert_int_equal(vector->offset, 4);
    assert_int_equal(vector->cardinality, 6);
    assert_int_equal(snapshot->tombstone_count, 1);
    assert_int_equal(snapshot->tombstones[0].deleted_ms, 777);
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

/* Each allocation of the reading fails in turn. */
static void classic_checkpoints_without_memory(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    help_put(store, "t/_delta_log/00000000000000000004.checkpoint.parquet", "x");
    bool done = false;
    for (long n = 1; n < 5000 && !done; n++) {
        struct script script = { .answers = classic, .count = 3 };
        struct ap_engine_port port = { &script, answer_query, keep_parquet };
        struct ap_ledger *ledger = open_with(store, &port, 0);
        struct ap_snapshot *snapshot = NULL;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_ledger_snapshot(ledger, NULL, &snapshot, &err);
        ap_alloc_fail_after(0);
        if (code != APIARY_OK && code != APIARY_MEMORY)
            fail_msg("allocation %ld: code %d: %s", n, (int)code, err.message);
        if (code == APIARY_OK) assert_int_equal(snapshot->cell_count, 2);
        done = code == APIARY_OK && n > 60;
        ap_snapshot_unref(snapshot);
        ap_ledger_close(ledger);
    }
    assert_true(done);
    ap_store_close(store);
}

#define LEAF(n, path, all_null)                                                                    \
    {                                                                                              \
        "/cells/" n "/o.parquet", path, all_null                                                   \
    }

/* Two parts, of which one has typed statistics alone; a third object is of another checkpoint. */
static void checkpoints_in_parts(void **state)
{
    static const struct answer answers[] = {
        { { "['/cells/0/o.parquet', '/cells/1/o.parquet']" }, "ttb",
            { LEAF("0", "protocol, minReaderVersion", "false"), LEAF("0", "metaData, id", "false"),
                LEAF("0", "add, path", "true"), LEAF("1", "protocol, minReaderVersion", "true"),
                LEAF("1", "add, path", "false"),
                LEAF("1", "add, stats_parsed, numRecords", "false"),
                LEAF("1", "add, partitionValues_parsed, p", "false") },
            7 },
        { { "['/cells/0/o.parquet']" }, "t", { { PROTOCOL }, { METADATA } }, 2 },
        { { "['/cells/1/o.parquet']", "to_json(\"add\".stats_parsed)",
              "partitionValues_parsed.\"p\"", "!UNION" },
            "btntt",
            { { "true", "a", "1", "{\"numRecords\":5,\"minValues\":{\"a\":1}}", "x" },
                { "true", "b", "1", "{\"numRecords\":6,\"minValues\":{\"a\":NaN}}", NULL } },
            2 },
    };
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct script script = { .answers = answers,
        .count = 3,
        .keys = { "t/_delta_log/00000000000000000004.checkpoint.0000000001.0000000002.parquet",
            "t/_delta_log/00000000000000000004.checkpoint.0000000002.0000000002.parquet" } };
    struct ap_engine_port port = { &script, answer_query, keep_parquet };
    help_put(store, script.keys[0], "x");
    help_put(store, script.keys[1], "x");
    help_put(
        store, "t/_delta_log/00000000000000000004.checkpoint.0000000001.0000000003.parquet", "x");
    struct ap_ledger *ledger = open_with(store, &port, 0);
    struct ap_snapshot *snapshot = NULL;
    assert_ok(ap_ledger_snapshot(ledger, NULL, &snapshot, &err));
    assert_int_equal(snapshot->version, 4);
    assert_int_equal(snapshot->cell_count, 2);
    assert_true(ap_str_is(snapshot->cells[0].stats, "{\"numRecords\":5,\"minValues\":{\"a\":1}}"));
    assert_true(ap_str_is(
        snapshot->cells[1].stats, "{\"numRecords\":6}")); /* what is no JSON is not kept */
    assert_null(snapshot->cells[1].partition_values[0].data);
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void sidecars(void **state)
{
    static const struct answer answers[] = {
        { { "['/cells/0/o.parquet', '/cells/1/o.parquet']" }, "ttb",
            { LEAF("0", "add, path", "false"), LEAF("1", "add, path", "false") }, 2 },
        { { "['/cells/0/o.parquet', '/cells/1/o.parquet']", "!stats" }, "btnt",
            { { "true", "a", "1", "x" }, { "true", "b", "1", "y" } }, 2 },
    };
    static const struct {
        const char *name;
        enum apiary_code code;
    } rows[] = { { "s%20ide.parquet", APIARY_OK }, { "..%2Fx.parquet", APIARY_CORRUPT },
        { "s3://x/y", APIARY_CORRUPT }, { "", APIARY_CORRUPT } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        struct ap_store *store = help_store();
        struct script script = { .answers = answers,
            .count = 2,
            .keys = {
                "t/_delta_log/_sidecars/one.parquet", "t/_delta_log/_sidecars/s ide.parquet" } };
        struct ap_engine_port port = { &script, answer_query, keep_parquet };
        AP_AUTO(ap_bytes) body = { 0 };
        assert_ok(ap_bytes_printf(&body, &err,
            "{\"sidecar\":{\"path\":\"one.parquet\",\"sizeInBytes\":1}}\n{\"sidecar\":{\"path\":\"%"
            "s\",\"sizeInBytes\":1}}\n"
            "{\"checkpointMetadata\":{\"version\":2}}\n" PROTOCOL "\n" METADATA "\n",
            rows[i].name));
        help_put(store,
            "t/_delta_log/"
            "00000000000000000002.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            ap_bytes_text(&body));
        struct ap_ledger *ledger = open_with(store, &port, 0);
        struct ap_snapshot *snapshot = NULL;
        assert_code_in(
            rows[i].name, ap_ledger_snapshot(ledger, NULL, &snapshot, &err), rows[i].code);
        if (snapshot) assert_int_equal(snapshot->cell_count, 2);
        ap_snapshot_unref(snapshot);
        ap_ledger_close(ledger);
        ap_store_close(store);
    }
}

/* The protocol is looked at before the files are. */
static void unknown_features_stop_the_reading(void **state)
{
    static const struct answer answers[] = {
        { { "parquet_metadata" }, "ttb",
            { LEAF("0", "protocol, minReaderVersion", "false"), LEAF("0", "add, path", "false") },
            2 },
        { { "to_json" }, "t",
            { { "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":["
                "\"fancy\"],\"writerFeatures\":[\"fancy\"]}}" } },
            1 },
    };
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct script script = { .answers = answers, .count = 2 };
    struct ap_engine_port port = { &script, answer_query, keep_parquet };
    help_put(store, "t/_delta_log/00000000000000000004.checkpoint.parquet", "x");
    struct ap_ledger *ledger = open_with(store, &port, 0);
    struct ap_snapshot *snapshot = NULL;
    assert_code(ap_ledger_snapshot(ledger, NULL, &snapshot, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, "\"fancy\""));
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void wrong_answers_are_refused(void **state)
{
    static const struct answer tables[][3] = {
        { { { "" }, "ttt", { { "/cells/0/o.parquet", "add, path", "x" } }, 1 } },
        { { { "" }, "ttb", { { "/cells/7/o.parquet", "add, path", "false" } }, 1 } },
        { { { "" }, "ttb", { { "elsewhere", "add, path", "false" } }, 1 } },
        { { { "" }, "ttb", { LEAF("0", "metaData, id", "false") }, 1 },
            { { "" }, "tt", { { METADATA, "x" } }, 1 } },
    };
    for (size_t i = 0; i < AP_COUNT(tables); i++) {
        struct apiary_error err = { 0 };
        struct ap_store *store = help_store();
        struct script script = { .answers = tables[i], .count = 3 };
        struct ap_engine_port port = { &script, answer_query, keep_parquet };
        help_put(store, "t/_delta_log/00000000000000000004.checkpoint.parquet", "x");
        struct ap_ledger *ledger = open_with(store, &port, 0);
        struct ap_snapshot *snapshot = NULL;
        assert_code(ap_ledger_snapshot(ledger, NULL, &snapshot, &err), APIARY_INTERNAL);
        ap_ledger_close(ledger);
        ap_store_close(store);
    }
}

static void writing(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct script script = { 0 };
    struct ap_engine_port port = { &script, answer_query, keep_parquet };
    struct ap_ledger *ledger = open_with(store, &port, 4);
    help_create(ledger, "a long; p string", "p", NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    help_append(ledger, base, "p=x/1", "x", "{\"numRecords\":1}");
    help_append(ledger, base, "p=y/2", NULL, "");
    struct ap_snapshot *two = help_snapshot(ledger);
    const struct ap_cell *removes[1] = { &two->cells[0] };
    struct ap_commit commit = { .base = two,
        .removes = removes,
        .remove_count = 1,
        .data_change = true,
        .scope = AP_READ_ALL,
        .txn_app_id = "app",
        .txn_version = 7 };
    assert_ok(ap_ledger_commit(ledger, &commit, NULL, NULL, &err));
    assert_int_equal(script.written_input.size, 0);
    help_append(ledger, two, "p=x/3", "x", ""); /* version 4: the interval */
    const char *input = ap_bytes_text(&script.written_input);
    static const char *const holds[] = {
        "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n",
        "{\"txn\":{\"appId\":\"app\",\"version\":7", "{\"remove\":{\"path\":\"p=x/1\"",
        "{\"add\":{\"path\":\"p=y/2\",\"partitionValues\":{\"p\":null}", "\"dataChange\":false"
    };
    for (size_t i = 0; i < AP_COUNT(holds); i++)
        if (!strstr(input, holds[i])) fail_msg("\"%s\" is not in %s", holds[i], input);
    assert_null(strstr(input, "{\"add\":{\"path\":\"p=x/1\""));
    assert_null(strstr(input, "commitInfo"));
    assert_non_null(strstr(ap_bytes_text(&script.written_sql), "COMPRESSION zstd"));
    AP_AUTO(ap_bytes) hint = { 0 };
    assert_ok(
        ap_store_get(store, "t/_delta_log/_last_checkpoint", AP_RANGE_ALL, &hint, NULL, &err));
    assert_string_equal(ap_bytes_text(&hint),
        "{\"version\":4,\"size\":6,\"sizeInBytes\":4711,\"numOfAddFiles\":2}");
    ap_bytes_done(&script.written_input);
    ap_bytes_done(&script.written_sql);
    ap_snapshot_unref(two);
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static enum apiary_code fail_to_write(void *context, struct ap_store *store, struct ap_str input,
    const char *sql, const char *key, struct ap_object *object, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CHAMBER, "the chamber died");
}

static void failed_checkpoints_fail_no_commit(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_engine_port port = { NULL, NULL, fail_to_write };
    struct ap_ledger *ledger = open_with(store, &port, 1);
    help_create(ledger, "a long", NULL, NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    assert_int_equal(help_append(ledger, base, "x", NULL, ""), 1);
    assert_code(ap_ledger_checkpoint(ledger, base, &err), APIARY_CHAMBER);
    assert_code(ap_store_get(store, "t/_delta_log/_last_checkpoint", AP_RANGE_ALL,
                    &(struct ap_bytes) { 0 }, NULL, &err),
        APIARY_NOT_FOUND);
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classic_checkpoints),
        cmocka_unit_test(classic_checkpoints_without_memory),
        cmocka_unit_test(checkpoints_in_parts),
        cmocka_unit_test(sidecars),
        cmocka_unit_test(unknown_features_stop_the_reading),
        cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(writing),
        cmocka_unit_test(failed_checkpoints_fail_no_commit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
