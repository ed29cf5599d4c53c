/* Reading a log as it may lie in a bucket: names, holes, hints, checkpoints, time, protocols,
 * paths. */
#include "ledger_help.h"

#include "ledger/log_names.h"

#define PROTOCOL "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
#define METADATA(configuration)                                                                    \
    "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"            \
    "\"schemaString\":"                                                                            \
    "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":"         \
    "\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","                                 \
    "\"partitionColumns\":[],\"configuration\":{" configuration "}}}\n"
#define ADD(path)                                                                                  \
    "{\"add\":{\"path\":\"" path                                                                   \
    "\",\"partitionValues\":{},\"size\":1,\"modificationTime\":1,\"dataChange\":true}}\n"
#define REMOVE(path)                                                                               \
    "{\"remove\":{\"path\":\"" path "\",\"dataChange\":true,\"deletionTimestamp\":1}}\n"

static void names(void **state)
{
    static const struct {
        const char *name;
        enum ap_log_kind kind;
        uint64_t version;
        uint32_t part, parts;
    } rows[] = {
        { "00000000000000000007.json", AP_LOG_COMMIT, 7, 0, 0 },
        { "00000000000000000007.checkpoint.parquet", AP_LOG_CHECKPOINT, 7, 0, 0 },
        { "00000000000000000007.checkpoint.0000000002.0000000003.parquet", AP_LOG_CHECKPOINT_PART,
            7, 2, 3 },
        { "00000000000000000007.checkpoint.0000000004.0000000003.parquet", AP_LOG_OTHER, 0, 0, 0 },
        { "00000000000000000007.checkpoint.0000000000.0000000003.parquet", AP_LOG_OTHER, 0, 0, 0 },
        { "00000000000000000007.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
            AP_LOG_CHECKPOINT_JSON, 7, 0, 0 },
        { "00000000000000000007.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.parquet",
            AP_LOG_CHECKPOINT_PARQUET, 7, 0, 0 },
        { "00000000000000000007.checkpoint.80a083e8.parquet", AP_LOG_OTHER, 0, 0, 0 },
        { "00000000000000000007.00000000000000000009.compacted.json", AP_LOG_OTHER, 0, 0, 0 },
        { "00000000000000000007.crc", AP_LOG_OTHER, 0, 0, 0 },
        { "00000000000000000007.json.tmp", AP_LOG_OTHER, 0, 0, 0 },
        { "0000000000000000007.json", AP_LOG_OTHER, 0, 0, 0 },
        { "7.json", AP_LOG_OTHER, 0, 0, 0 },
        { ".00000000000000000007.json", AP_LOG_OTHER, 0, 0, 0 },
        { "_last_checkpoint", AP_LOG_OTHER, 0, 0, 0 },
        { "99999999999999999999.json", AP_LOG_OTHER, 0, 0, 0 },
        { "", AP_LOG_OTHER, 0, 0, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_log_name name = ap_log_name_parse(ap_str_from(rows[i].name));
        assert_int_in(rows[i].name, name.kind, rows[i].kind);
        if (rows[i].kind == AP_LOG_OTHER) continue;
        assert_int_in(rows[i].name, name.version, rows[i].version);
        assert_int_in(rows[i].name, name.part, rows[i].part);
        assert_int_in(rows[i].name, name.parts, rows[i].parts);
    }
}

/* Objects of a log, and what opening it gives: the cells joined by ' ', or what the error says. */
struct object {
    const char *name, *text;
};
enum { OBJECTS_MAX = 8 };

static void open_and_compare(
    const char *label, const struct object *objects, enum apiary_code code, const char *wanted)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    for (size_t i = 0; i < OBJECTS_MAX && objects[i].name; i++) {
        char key[128];
        snprintf(key, sizeof key, "t/_delta_log/%s", objects[i].name);
        help_put(store, key, objects[i].text);
    }
    struct ap_ledger *ledger = help_ledger(store);
    struct ap_snapshot *snapshot = NULL;
    assert_code_in(label, ap_ledger_snapshot(ledger, NULL, &snapshot, &err), code);
    char cells[512] = "";
    for (size_t i = 0; snapshot && i < snapshot->cell_count; i++)
        snprintf(cells + strlen(cells), sizeof cells - strlen(cells), "%s%.*s", i ? " " : "",
            AP_ARG(snapshot->cells[i].path));
    if (snapshot)
        assert_string_in(label, cells, wanted);
    else if (!strstr(err.message, wanted))
        fail_msg("%s: \"%s\" does not say \"%s\"", label, err.message, wanted);
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

#define V0                                                                                         \
    {                                                                                              \
        "00000000000000000000.json", PROTOCOL METADATA("") ADD("a")                                \
    }
#define V1                                                                                         \
    {                                                                                              \
        "00000000000000000001.json", ADD("b")                                                      \
    }
#define V2                                                                                         \
    {                                                                                              \
        "00000000000000000002.json", ADD("c") REMOVE("a")                                          \
    }
#define JSON1                                                                                      \
    {                                                                                              \
        "00000000000000000001.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",               \
            PROTOCOL METADATA("") "{\"checkpointMetadata\":{\"version\":1}}\n" ADD("a") ADD("b")   \
    }

static void logs(void **state)
{
    static const struct {
        const char *label;
        struct object objects[OBJECTS_MAX];
        enum apiary_code code;
        const char *wanted;
    } rows[] = {
        { "nothing", { { NULL } }, APIARY_NOT_FOUND, "no table in folder t" },
        { "one commit", { V0 }, APIARY_OK, "a" },
        { "three", { V0, V1, V2 }, APIARY_OK, "b c" },
        { "files before protocol and metaData",
            { { "00000000000000000000.json", ADD("a") METADATA("") PROTOCOL } }, APIARY_OK, "a" },
        { "blank lines, unknown actions, null members",
            { { "00000000000000000000.json",
                "\n" PROTOCOL "{\"future\":{\"x\":1}}\r\n{\"remove\":null,\"add\":{\"path\":\"z\","
                "\"partitionValues\":null,\"size\":1,\"stats\":null,"
                "\"deletionVector\":null}}\n" METADATA("") } },
            APIARY_OK, "z" },
        { "a hole", { V0, V2 }, APIARY_CORRUPT, "version 1 is missing" },
        { "no start", { V1, V2 }, APIARY_CORRUPT, "begins at version 1 without a checkpoint" },
        { "an empty commit", { V0, { "00000000000000000001.json", "\n" } }, APIARY_CORRUPT,
            "00000000000000000001.json: the commit is empty" },
        { "half a line", { V0, { "00000000000000000001.json", "{\"add\":{\"path\":\"b" } },
            APIARY_CORRUPT, "00000000000000000001.json: action: no valid JSON" },
        { "no protocol", { { "00000000000000000000.json", METADATA("") } }, APIARY_CORRUPT,
            "no protocol" },
        { "no metaData", { { "00000000000000000000.json", PROTOCOL } }, APIARY_CORRUPT,
            "no metaData" },
        { "names that do not count",
            { V0, { "1.json", "x" }, { "00000000000000000001.crc", "x" },
                { "_staged_commits/00000000000000000001.json", "x" },
                { "00000000000000000000.00000000000000000001.compacted.json", "x" } },
            APIARY_OK, "a" },
        { "hint is garbage", { V0, V1, { "_last_checkpoint", "{" } }, APIARY_OK, "a b" },
        { "hint dangles", { V0, V1, { "_last_checkpoint", "{\"version\":1}" } }, APIARY_OK, "a b" },
        { "hint is ahead of everything", { V0, V1, { "_last_checkpoint", "{\"version\":100}" } },
            APIARY_OK, "a b" },
        { "JSON checkpoint, log cleaned", { JSON1, V2 }, APIARY_OK, "b c" },
        { "JSON checkpoint with its commit",
            { JSON1, V1, V2, { "_last_checkpoint", "{\"version\":1}" } }, APIARY_OK, "b c" },
        { "Parquet checkpoint without engine, log whole",
            { V0, V1, { "00000000000000000001.checkpoint.parquet", "x" } }, APIARY_OK, "a b" },
        { "Parquet checkpoint without engine, log cleaned",
            { V2, { "00000000000000000001.checkpoint.parquet", "x" } }, APIARY_UNSUPPORTED,
            "without an engine" },
        { "parts incomplete, log cleaned",
            { V2, { "00000000000000000001.checkpoint.0000000001.0000000002.parquet", "x" } },
            APIARY_CORRUPT, "without a checkpoint" },
        { "a path removed in another encoding",
            { V0, { "00000000000000000001.json", ADD("d=x y/e") },
                { "00000000000000000002.json", REMOVE("d=x%20y/e") REMOVE("%61") } },
            APIARY_OK, "" },
        { "an add repeated", { V0, { "00000000000000000001.json", ADD("b") ADD("a") } }, APIARY_OK,
            "b a" },
        { "reader version of the future",
            { { "00000000000000000000.json",
                "{\"protocol\":{\"minReaderVersion\":4,\"minWriterVersion\":7}}\n" METADATA("") } },
            APIARY_UNSUPPORTED, "reader version 4" },
        { "unknown reader feature",
            { { "00000000000000000000.json",
                "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":["
                "\"deletionVectors\",\"fancy\"],\"writerFeatures\":[]}}\n" METADATA("") } },
            APIARY_UNSUPPORTED, "reader feature \"fancy\"" },
        { "catalog-managed",
            { { "00000000000000000000.json",
                "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":["
                "\"catalogOwned-preview\"],\"writerFeatures\":[]}}\n" METADATA("") } },
            APIARY_UNSUPPORTED, "catalogOwned-preview" },
        { "other cells than Parquet",
            { { "00000000000000000000.json",
                PROTOCOL "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"orc\"},"
                         "\"schemaString\":\"{}\"}}\n" } },
            APIARY_UNSUPPORTED, "\"orc\"" },
        { "columns that differ in case only",
            { { "00000000000000000000.json",
                PROTOCOL "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\"},"
                         "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
                         "{\\\"name\\\":\\\"aB\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}},"
                         "{\\\"name\\\":\\\"Ab\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","
                         "\"partitionColumns\":[],\"configuration\":{}}}\n" } },
            APIARY_UNSUPPORTED, "columns \"aB\" and \"Ab\"" },
        { "unknown column mapping",
            { { "00000000000000000000.json",
                PROTOCOL METADATA("\"delta.columnMapping.mode\":\"magic\"") } },
            APIARY_UNSUPPORTED, "magic" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++)
        open_and_compare(rows[i].label, rows[i].objects, rows[i].code, rows[i].wanted);
}

static void versions_that_were_cleaned(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    const struct object objects[] = { JSON1, V1, V2 };
    for (size_t i = 0; i < AP_COUNT(objects); i++) {
        char key[128];
        snprintf(key, sizeof key, "t/_delta_log/%s", objects[i].name);
        help_put(store, key, objects[i].text);
    }
    help_put(store, "t/_delta_log/00000000000000000003.json", ADD("d"));
    help_put(store, "t/_delta_log/00000000000000000002.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
        PROTOCOL METADATA("") "{\"checkpointMetadata\":{\"version\":2}}\n" ADD("b") ADD("c"));
    assert_int_equal(
        ap_store_delete(store, "t/_delta_log/00000000000000000001.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json", &err), APIARY_OK);
    struct ap_ledger *ledger = help_ledger(store);
    for (uint64_t version = 0; version <= 3; version++) { /* 1 is listed, but nothing is below it */
        struct ap_snapshot *snapshot = NULL;
        struct ap_at at = { .kind = AP_AT_VERSION, .version = version };
        enum apiary_code code = ap_ledger_snapshot(ledger, &at, &snapshot, &err);
        assert_int_equal(code, version < 2 ? APIARY_NOT_FOUND : APIARY_OK);
        if (code != APIARY_OK) assert_non_null(strstr(err.message, "cannot be read any more"));
        ap_snapshot_unref(snapshot);
    }
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void what_may_be_written(void **state)
{
#define WRITER7(features)                                                                          \
    "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":[" features   \
    "]}}\n"
    static const struct {
        const char *label, *body;
        const char *says; /* NULL: may be written */
    } rows[] = {
        { "plain", PROTOCOL METADATA(""), NULL },
        { "all features of version 6, none in use",
            "{\"protocol\":{\"minReaderVersion\":2,\"minWriterVersion\":6}}\n" METADATA(""), NULL },
        { "known features",
            WRITER7("\"appendOnly\",\"invariants\",\"domainMetadata\",\"checkConstraints\"")
                METADATA(""),
            NULL },
        { "unknown feature", WRITER7("\"rowTracking\"") METADATA(""), "rowTracking" },
        { "writer version of the future",
            "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":8}}\n" METADATA(""),
            "writer version 8" },
        { "a constraint", PROTOCOL METADATA("\"delta.constraints.positive\":\"a > 0\""),
            "delta.constraints.positive" },
        { "column mapping without physical names",
            PROTOCOL METADATA("\"delta.columnMapping.mode\":\"name\""), "column mapping" },
        { "a short log", PROTOCOL METADATA("\"delta.logRetentionDuration\":\"interval 1 hours\""),
            "less than a day" },
        { "a log of a day", PROTOCOL METADATA("\"delta.logRetentionDuration\":\"interval 1 days\""),
            NULL },
        { "an invariant",
            PROTOCOL "{\"metaData\":{\"id\":\"i\",\"schemaString\":\"{\\\"type\\\":\\\"struct\\\","
                     "\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"long\\\","
                     "\\\"nullable\\\":true,\\\"metadata\\\":{\\\"delta.invariants\\\":\\\"x\\\"}}]"
                     "}\",\"partitionColumns\":[]}}\n",
            "\"a\" has an invariant" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        struct ap_store *store = help_store();
        help_put_version(store, 0, rows[i].body);
        struct ap_ledger *ledger = help_ledger(store);
        struct ap_snapshot *snapshot = help_snapshot(ledger);
        struct ap_new_cell cell = { .key = AP_STR("x"), .stats = AP_STR(""), .tags = AP_STR("") };
        struct ap_commit commit = {
            .base = snapshot, .adds = &cell, .add_count = 1, .data_change = true
        };
        assert_code_in(rows[i].label, ap_ledger_commit(ledger, &commit, NULL, NULL, &err),
            rows[i].says ? APIARY_UNSUPPORTED : APIARY_OK);
        if (rows[i].says && !strstr(err.message, rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].label, err.message, rows[i].says);
        ap_snapshot_unref(snapshot);
        ap_ledger_close(ledger);
        ap_store_close(store);
    }
}

static void append_only_tables_keep_their_rows(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    help_put_version(store, 0, PROTOCOL METADATA("\"delta.appendOnly\":\"true\"") ADD("a"));
    struct ap_ledger *ledger = help_ledger(store);
    struct ap_snapshot *snapshot = help_snapshot(ledger);
    const struct ap_cell *removes[1] = { &snapshot->cells[0] };
    struct ap_commit commit = { .base = snapshot,
        .removes = removes,
        .remove_count = 1,
        .data_change = true,
        .scope = AP_READ_ALL };
    assert_code(ap_ledger_commit(ledger, &commit, NULL, NULL, &err), APIARY_UNSUPPORTED);
    commit.data_change = false;
    assert_ok(ap_ledger_commit(ledger, &commit, NULL, NULL, &err));
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void paths(void **state)
{
    static const struct {
        const char *path, *key;
        bool absolute;
    } rows[] = {
        { "a/b.parquet", "a/b.parquet", false },
        { "x=%252521/y%20z", "x=%2521/y z", false },
        { "./a//b", NULL, false },
        { "./a/b", "a/b", false },
        { "a/../../b", NULL, false },
        { "%2e%2e/b", NULL, false },
        { "a%00b", NULL, false },
        { "a\\b", NULL, false },
        { "a/", NULL, false },
        { ".", NULL, false },
        { "100%", "100%", false },
        { "at=10:30/x", "at=10:30/x", false },
        { "/abs/x", "/abs/x", true },
        { "s3://bucket/x%20y", "s3://bucket/x y", true },
        { "file:/x", "file:/x", true },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) key = { 0 };
        bool absolute = false;
        struct ap_cell cell = { .path = ap_str_from(rows[i].path) };
        assert_code_in(rows[i].path, ap_cell_key(&cell, &key, &absolute, &err),
            rows[i].key ? APIARY_OK : APIARY_CORRUPT);
        if (rows[i].key) assert_string_equal(ap_bytes_text(&key), rows[i].key);
        assert_int_in(rows[i].path, absolute, rows[i].absolute);
    }
}

/* ---- time ---- */

static void time_travel(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
#define IN_COMMIT(ms) "{\"commitInfo\":{\"inCommitTimestamp\":" ms ",\"timestamp\":5}}\n"
    help_put_version(store, 0,
        IN_COMMIT("1000") PROTOCOL METADATA("\"delta.enableInCommitTimestamps\":\"true\"")
            ADD("a"));
    help_put_version(store, 1, IN_COMMIT("2000") ADD("b"));
    help_put_version(store, 2, IN_COMMIT("3000") ADD("c"));
    static const struct {
        int64_t ms;
        int version; /* -1: none so old */
    } rows[] = { { 999, -1 }, { 1000, 0 }, { 1999, 0 }, { 2000, 1 }, { 2999, 1 }, { 3000, 2 },
        { INT64_MAX / 2000, 2 } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_at at = { .kind = AP_AT_TIME, .time_ms = rows[i].ms };
        struct ap_snapshot *snapshot = NULL;
        assert_code(ap_ledger_snapshot(ledger, &at, &snapshot, &err),
            rows[i].version < 0 ? APIARY_NOT_FOUND : APIARY_OK);
        if (snapshot) assert_int_equal(snapshot->version, rows[i].version);
        if (snapshot) assert_int_equal(snapshot->timestamp_ms, 1000 * (rows[i].version + 1));
        ap_snapshot_unref(snapshot);
    }
    /* what is written then has a time of its own, later than the one before whatever the clock says
     */
    help_put_version(store, 3, IN_COMMIT("9000000000000000") ADD("d"));
    struct ap_snapshot *base = help_snapshot(ledger);
    help_append(ledger, base, "e", NULL, "");
    struct ap_snapshot *after = help_snapshot(ledger);
    assert_int_equal(after->version, 4);
    assert_int_equal(after->timestamp_ms, 9000000000000001);
    ap_snapshot_unref(after);
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void time_travel_by_object_times(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    int64_t before_ms = ap_now_us(store->env) / 1000;
    help_put_version(store, 0, PROTOCOL METADATA("") ADD("a"));
    help_put_version(store, 1, ADD("b"));
    struct ap_at at = { .kind = AP_AT_TIME, .time_ms = before_ms - 5000 };
    struct ap_snapshot *snapshot = NULL;
    assert_code(ap_ledger_snapshot(ledger, &at, &snapshot, &err), APIARY_NOT_FOUND);
    assert_non_null(strstr(err.message, "no version as old as"));
    at.time_ms = before_ms + 1000000;
    assert_ok(ap_ledger_snapshot(ledger, &at, &snapshot, &err));
    assert_int_equal(snapshot->version, 1);
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

/* ---- long sleeps ---- */

/* A world whose clocks can be put forward, and a store in which something happens before one put.
 */
struct shifted {
    struct ap_env env;
    struct ap_env_ops ops;
    struct ap_store store;
    struct ap_store *inner;
    void (*before_put)(struct shifted *shifted);
};
static int64_t shift_us; /* the ops have no world of their own */

static int64_t shifted_now(void *world)
{
    return ap_env_system()->ops->now_us(world) + shift_us;
}

static int64_t shifted_mono(void *world)
{
    return ap_env_system()->ops->mono_us(world) + shift_us;
}

static enum apiary_code shifted_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct shifted *shifted = (struct shifted *)((char *)store - offsetof(struct shifted, store));
    void (*before)(struct shifted *) = shifted->before_put;
    shifted->before_put = NULL;
    if (before) before(shifted);
    return ap_store_put_if_absent(shifted->inner, key, body, err);
}

static void shifted_get(struct ap_store *store, struct ap_get *gets, size_t count)
{
    ap_store_get_many(
        ((struct shifted *)((char *)store - offsetof(struct shifted, store)))->inner, gets, count);
}

static enum apiary_code shifted_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    return ap_store_list(
        ((struct shifted *)((char *)store - offsetof(struct shifted, store)))->inner, request, out,
        err);
}

static enum apiary_code shifted_delete(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return ap_store_delete_many(
        ((struct shifted *)((char *)store - offsetof(struct shifted, store)))->inner, keys, count,
        err);
}

static const struct ap_store_ops shifted_store_ops = { .put_if_absent = shifted_put,
    .get_many = shifted_get,
    .list = shifted_list,
    .delete_many = shifted_delete };

static void remove_version(struct ap_store *store, uint64_t version)
{
    struct apiary_error err = { 0 };
    char key[64];
    snprintf(key, sizeof key, "t/_delta_log/%020" PRIu64 ".json", version);
    assert_ok(ap_store_delete(store, key, &err));
}

/* Others go on to version 5, write a checkpoint and clean away what is before `kept`. */
static void world_moves_on(struct shifted *shifted, uint64_t kept)
{
    for (uint64_t version = 3; version <= 5; version++)
        help_put_version(shifted->inner, version,
            version == 3   ? ADD("v3")
            : version == 4 ? ADD("v4")
                           : ADD("v5"));
    help_put(shifted->inner,
        "t/_delta_log/00000000000000000005.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json",
        PROTOCOL METADATA("") ADD("v3") ADD("v4") ADD("v5"));
    for (uint64_t version = 0; version < kept; version++) remove_version(shifted->inner, version);
    shift_us += INT64_C(7200) * 1000000;
}

static void clean_all(struct shifted *shifted)
{
    world_moves_on(shifted, 5);
}

static void clean_up_to_ours(struct shifted *shifted)
{
    world_moves_on(shifted, 4);
}

static void only_time_passes(struct shifted *shifted)
{
    shift_us += INT64_C(7200) * 1000000;
}

static void ghosts_are_removed(void **state)
{
    static const struct {
        const char *label;
        void (*before_put)(struct shifted *);
        uint64_t version;
    } rows[] = {
        { "the log was cleaned past our slot", clean_all, 6 },
        { "the log was cleaned up to our slot", clean_up_to_ours, 6 },
        { "nothing happened but time", only_time_passes, 3 },
        { "no sleep", NULL, 3 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        struct shifted shifted = { .ops = *ap_env_system()->ops, .before_put = NULL };
        shift_us = 0;
        shifted.ops.now_us = shifted_now;
        shifted.ops.mono_us = shifted_mono;
        shifted.env = (struct ap_env) { &shifted.ops, ap_env_system()->world };
        struct ap_store_options options = { 0 };
        assert_ok(ap_store_open(&shifted.env, "memory://ghost", &options, &shifted.inner, &err));
        shifted.store = (struct ap_store) { .ops = &shifted_store_ops, .env = &shifted.env };
        help_put_version(shifted.inner, 0, PROTOCOL METADATA("") ADD("v0"));
        help_put_version(shifted.inner, 1, ADD("v1"));
        help_put_version(shifted.inner, 2, ADD("v2"));
        struct ap_ledger *ledger = help_ledger(&shifted.store);
        struct ap_snapshot *base = help_snapshot(ledger), *after = NULL;
        shifted.before_put = rows[i].before_put;
        struct ap_new_cell cell = {
            .key = AP_STR("mine"), .stats = AP_STR(""), .tags = AP_STR("")
        };
        struct ap_commit commit = {
            .base = base, .adds = &cell, .add_count = 1, .data_change = true
        };
        uint64_t version = 0;
        assert_code_in(
            rows[i].label, ap_ledger_commit(ledger, &commit, &version, &after, &err), APIARY_OK);
        assert_int_in(rows[i].label, version, rows[i].version);
        assert_int_in(rows[i].label, after->version, rows[i].version);
        assert_int_in(rows[i].label, after->cell_count, 4);
        AP_AUTO(ap_bytes) slot = { 0 };
        enum apiary_code code = ap_store_get(shifted.inner,
            "t/_delta_log/00000000000000000003.json", AP_RANGE_ALL, &slot, NULL, &err);
        if (rows[i].version != 3) assert_int_in(rows[i].label, code, APIARY_NOT_FOUND);
        ap_snapshot_unref(after);
        ap_snapshot_unref(base);
        ap_ledger_close(ledger);
        ap_store_close(shifted.inner);
    }
    shift_us = 0;
}

/* Each allocation of a cold read fails in turn. */
static void cold_reads_without_memory(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    help_put_version(store, 0, PROTOCOL METADATA("\"delta.appendOnly\":\"false\"") ADD("a"));
    help_put_version(store, 1,
        ADD("b") "{\"txn\":{\"appId\":\"x\",\"version\":1}}\n{\"domainMetadata\":{\"domain\":\"d\","
                 "\"configuration\":\"c\",\"removed\":false}}\n");
    help_put_version(store, 2, REMOVE("a") ADD("c"));
    bool done = false;
    for (long n = 1; n < 5000 && !done; n++) {
        struct ap_ledger *ledger = help_ledger(store);
        struct ap_snapshot *snapshot = NULL;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_ledger_snapshot(ledger, NULL, &snapshot, &err);
        ap_alloc_fail_after(0);
        if (code != APIARY_OK && code != APIARY_MEMORY)
            fail_msg("allocation %ld: code %d: %s", n, (int)code, err.message);
        if (code != APIARY_OK)
            assert_null(snapshot);
        else
            assert_int_equal(snapshot->cell_count, 2);
        done = code == APIARY_OK && n > 60;
        ap_snapshot_unref(snapshot);
        ap_ledger_close(ledger);
    }
    assert_true(done);
    ap_store_close(store);
}

/* A refresh is one GET while the head is fresh, and a LIST after a long sleep. */
static void requests_are_few(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "a long", NULL, NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    struct ap_store_counts before = store->counts;
    ap_snapshot_unref(help_snapshot(ledger));
    assert_int_equal(store->counts.gets + store->counts.ranges - before.gets - before.ranges, 1);
    assert_int_equal(store->counts.lists - before.lists, 0);
    before = store->counts;
    help_append(ledger, base, "x", NULL, "");
    assert_int_equal(store->counts.puts_if_absent - before.puts_if_absent, 1);
    assert_int_equal(store->counts.gets + store->counts.ranges + store->counts.lists - before.gets -
                         before.ranges - before.lists,
        0);
    ap_snapshot_unref(base);
    (void)err;
    ap_ledger_close(ledger);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(logs),
        cmocka_unit_test(versions_that_were_cleaned),
        cmocka_unit_test(what_may_be_written),
        cmocka_unit_test(append_only_tables_keep_their_rows),
        cmocka_unit_test(paths),
        cmocka_unit_test(time_travel),
        cmocka_unit_test(time_travel_by_object_times),
        cmocka_unit_test(ghosts_are_removed),
        cmocka_unit_test(cold_reads_without_memory),
        cmocka_unit_test(requests_are_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
