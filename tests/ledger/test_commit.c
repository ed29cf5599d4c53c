#include "ledger_help.h"

#include "core/json.h"
#include "ledger/snapshot_private.h"

static void create_append_and_read(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long!; day string; note string", "day", NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    assert_int_equal(base->version, 0);
    assert_int_equal(base->cell_count, 0);
    assert_int_equal(base->protocol.min_reader, 1);
    assert_int_equal(base->protocol.min_writer, 2);
    assert_int_equal(help_append(ledger, base, "day=a b/x.parquet", "a b",
                         "{\"numRecords\":7,\"minValues\":{},\"maxValues\":{},\"nullCount\":{}}"),
        1);
    assert_int_equal(
        help_append(ledger, base, "day=__HIVE_DEFAULT_PARTITION__/y.parquet", NULL, ""), 2);

    /* another process sees the same */
    struct ap_ledger *other = help_ledger(store);
    struct ap_snapshot *snapshots[2] = { help_snapshot(ledger), help_snapshot(other) };
    for (int i = 0; i < 2; i++) {
        struct ap_snapshot *snapshot = snapshots[i];
        assert_int_equal(snapshot->version, 2);
        assert_int_equal(snapshot->cell_count, 2);
        assert_true(ap_str_is(snapshot->cells[0].path, "day=a%20b/x.parquet"));
        assert_true(ap_str_is(snapshot->cells[0].partition_values[0], "a b"));
        assert_int_equal(snapshot->cells[0].row_count, 7);
        assert_null(snapshot->cells[1].partition_values[0].data);
        assert_int_equal(snapshot->cells[1].row_count, -1);
        assert_int_equal(ap_snapshot_bytes(snapshot), 200);
        int64_t rows;
        assert_false(ap_snapshot_row_count(snapshot, &rows));
        AP_AUTO(ap_bytes) key = { 0 };
        bool absolute;
        assert_ok(ap_cell_key(&snapshot->cells[0], &key, &absolute, &err));
        assert_string_equal(ap_bytes_text(&key), "day=a b/x.parquet");
        assert_false(absolute);
    }
    /* the base did not change */
    assert_int_equal(base->cell_count, 0);
    ap_snapshot_unref(snapshots[0]);
    ap_snapshot_unref(snapshots[1]);
    ap_snapshot_unref(base);
    ap_ledger_close(other);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void creating_twice_is_refused(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long", NULL, NULL);
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_table_spec spec = { .schema = help_schema(&arena, "id long") };
    struct ap_commit commit = { .spec = &spec, .operation = "CREATE TABLE" };
    assert_code(ap_ledger_commit(ledger, &commit, NULL, NULL, &err), APIARY_EXISTS);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void timestamps_without_zone_ask_for_their_feature(void **state)
{
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long; at timestamp_ntz", NULL, NULL);
    struct ap_snapshot *snapshot = help_snapshot(ledger);
    assert_int_equal(snapshot->protocol.min_reader, 3);
    assert_int_equal(snapshot->protocol.min_writer, 7);
    assert_true(ap_snapshot_has_feature(snapshot, "timestampNtz"));
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

/* Two processes from the same base: what may follow the winner, and what not. */
static void races(void **state)
{
    static const struct {
        const char *label;
        enum ap_read_scope scope;
        bool remove;        /* the loser removes the first cell */
        bool rearrange;     /* … without changing rows */
        const char *winner; /* the winner's lines after commitInfo */
        enum apiary_code code;
    } rows[] = {
        { "append after append", AP_READ_NOTHING, false, false,
            "{\"add\":{\"path\":\"d=1/"
            "w\",\"partitionValues\":{\"d\":\"1\"},\"size\":1,\"modificationTime\":1,"
            "\"dataChange\":true}}",
            APIARY_OK },
        { "append after delete", AP_READ_NOTHING, false, false,
            "{\"remove\":{\"path\":\"d=1/a\",\"dataChange\":true}}", APIARY_OK },
        { "append after a new nullable column", AP_READ_NOTHING, false, false,
            "{\"metaData\":{\"id\":\"$ID\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
            "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":"
            "\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}},{"
            "\\\"name\\\":\\\"d\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"
            "\\\"metadata\\\":{}},{\\\"name\\\":\\\"more\\\",\\\"type\\\":\\\"string\\\","
            "\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\",\"partitionColumns\":[\"d\"],"
            "\"configuration\":{}}}",
            APIARY_OK },
        { "append after a changed type", AP_READ_NOTHING, false, false,
            "{\"metaData\":{\"id\":\"$ID\",\"format\":{\"provider\":\"parquet\",\"options\":{}},"
            "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":"
            "\\\"id\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}},{"
            "\\\"name\\\":\\\"d\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":true,"
            "\\\"metadata\\\":{}}]}\",\"partitionColumns\":[\"d\"],\"configuration\":{}}}",
            APIARY_CONFLICT },
        { "append after an unknown protocol", AP_READ_NOTHING, false, false,
            "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":7,\"writerFeatures\":["
            "\"fromTheFuture\"]}}",
            APIARY_UNSUPPORTED },
        { "overwrite after append", AP_READ_ALL, true, false,
            "{\"add\":{\"path\":\"d=1/"
            "w\",\"partitionValues\":{\"d\":\"1\"},\"size\":1,\"modificationTime\":1,"
            "\"dataChange\":true}}",
            APIARY_CONFLICT },
        { "overwrite of a partition after append to another", AP_READ_PREDICATE, true, false,
            "{\"add\":{\"path\":\"d=2/"
            "w\",\"partitionValues\":{\"d\":\"2\"},\"size\":1,\"modificationTime\":1,"
            "\"dataChange\":true}}",
            APIARY_OK },
        { "overwrite of a partition after append to it", AP_READ_PREDICATE, true, false,
            "{\"add\":{\"path\":\"d=1/"
            "w\",\"partitionValues\":{\"d\":\"1\"},\"size\":1,\"modificationTime\":1,"
            "\"dataChange\":true}}",
            APIARY_CONFLICT },
        { "overwrite after a delete of the same cell", AP_READ_PREDICATE, true, false,
            "{\"remove\":{\"path\":\"d=1/"
            "a\",\"dataChange\":true,\"partitionValues\":{\"d\":\"1\"}}}",
            APIARY_CONFLICT },
        { "overwrite of a partition after delete in another", AP_READ_PREDICATE, true, false,
            "{\"remove\":{\"path\":\"d=2/"
            "b\",\"dataChange\":true,\"partitionValues\":{\"d\":\"2\"}}}",
            APIARY_OK },
        { "overwrite after a delete that does not say where", AP_READ_PREDICATE, true, false,
            "{\"remove\":{\"path\":\"d=2/b\",\"dataChange\":true}}", APIARY_CONFLICT },
        { "rewrite after append", AP_READ_ALL, true, true,
            "{\"add\":{\"path\":\"d=1/"
            "w\",\"partitionValues\":{\"d\":\"1\"},\"size\":1,\"modificationTime\":1,"
            "\"dataChange\":true}}",
            APIARY_OK },
        { "rewrite after delete of what it rewrites", AP_READ_NOTHING, true, true,
            "{\"remove\":{\"path\":\"d=1%2Fa\",\"dataChange\":true}}", APIARY_CONFLICT },
        { "rewrite after delete of another cell", AP_READ_NOTHING, true, true,
            "{\"remove\":{\"path\":\"d=2/b\",\"dataChange\":true}}", APIARY_OK },
        { "rewrite after a foreign transaction", AP_READ_NOTHING, true, true,
            "{\"txn\":{\"appId\":\"other\",\"version\":1}}", APIARY_OK },
        { "append whose transaction is there", AP_READ_NOTHING, false, false,
            "{\"txn\":{\"appId\":\"mine\",\"version\":1}}", APIARY_EXISTS },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        struct ap_store *store = help_store();
        struct ap_ledger *ledger = help_ledger(store);
        help_create(ledger, "id long; d string", "d", NULL);
        struct ap_snapshot *empty = help_snapshot(ledger);
        help_append(ledger, empty, "d=1/a", "1", "");
        help_append(ledger, empty, "d=2/b", "2", "");
        struct ap_snapshot *base = help_snapshot(ledger);
        char lines[4096], body[8192];
        const char *id = strstr(rows[i].winner, "$ID");
        int before = id ? (int)(id - rows[i].winner) : 0;
        snprintf(lines, sizeof lines, "%.*s%s%s", before, rows[i].winner,
            id ? base->metadata.id.data : "", id ? id + 3 : rows[i].winner);
        snprintf(body, sizeof body,
            "{\"commitInfo\":{\"operation\":\"WINNING\",\"engineInfo\":\"Other/1\"}}\n%s\n", lines);
        help_put_version(store, 3, body);

        struct ap_str value[1] = { AP_STR("1") };
        struct ap_new_cell cell = { .key = AP_STR("d=1/new"),
            .partition_values = value,
            .size_bytes = 1,
            .stats = AP_STR(""),
            .tags = AP_STR("") };
        const struct ap_cell *removes[1] = { &base->cells[0] };
        struct ap_literal literal = { AP_LITERAL_STRING, AP_STR("1") };
        struct ap_str column = AP_STR("d");
        struct ap_predicate predicate = { .kind = AP_PREDICATE_COMPARE,
            .column = &column,
            .column_depth = 1,
            .compare = AP_EQ,
            .values = &literal,
            .value_count = 1 };
        struct ap_commit commit = { .base = base,
            .adds = &cell,
            .add_count = 1,
            .removes = removes,
            .remove_count = rows[i].remove,
            .data_change = !rows[i].rearrange,
            .scope = rows[i].scope,
            .read_predicate = &predicate,
            .operation = "WRITE",
            .txn_app_id = "mine" };
        uint64_t version = 0;
        struct ap_snapshot *after = NULL;
        assert_code_in(
            rows[i].label, ap_ledger_commit(ledger, &commit, &version, &after, &err), rows[i].code);
        if (rows[i].code == APIARY_OK) {
            assert_int_in(rows[i].label, version, 4);
            assert_int_in(rows[i].label, after->version, 4);
            ap_snapshot_unref(after);
        }
        if (rows[i].code == APIARY_CONFLICT) {
            assert_true_in(
                rows[i].label, strstr(err.message, "version 3 (WINNING by Other/1)") != NULL);
            assert_true_in(rows[i].label, strstr(err.message, "main.main.t") != NULL);
        }
        AP_AUTO(ap_bytes) slot = { 0 };
        enum apiary_code there = ap_store_get(
            store, "t/_delta_log/00000000000000000004.json", AP_RANGE_ALL, &slot, NULL, &err);
        assert_int_in(
            rows[i].label, there, rows[i].code == APIARY_OK ? APIARY_OK : APIARY_NOT_FOUND);
        ap_snapshot_unref(base);
        ap_snapshot_unref(empty);
        ap_ledger_close(ledger);
        ap_store_close(store);
    }
}

/* Snapshots share memory with their successors; none may see another's change. */
static void old_snapshots_stay_what_they_were(void **state)
{
    enum { ROUNDS = 200 };
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long; d string", "d", NULL);
    struct ap_snapshot *seen[ROUNDS + 1] = { help_snapshot(ledger) };
    size_t counts[ROUNDS + 1] = { 0 };
    for (int i = 1; i <= ROUNDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "d=%d/c%d", i % 3, i);
        struct ap_str value[1] = { ap_str_from(i % 3 == 0 ? "0" : i % 3 == 1 ? "1" : "2") };
        struct ap_new_cell cell = { .key = ap_str_from(key),
            .partition_values = value,
            .size_bytes = i,
            .stats = AP_STR(""),
            .tags = AP_STR("") };
        bool remove = i % 5 == 0;
        const struct ap_cell *removes[1] = { remove ? &seen[i - 1]->cells[counts[i - 1] / 2]
                                                    : NULL };
        struct ap_commit commit = { .base = seen[i - 1],
            .adds = &cell,
            .add_count = 1,
            .removes = removes,
            .remove_count = remove,
            .data_change = true,
            .scope = remove ? AP_READ_ALL : AP_READ_NOTHING,
            .operation = "WRITE" };
        assert_ok(ap_ledger_commit(ledger, &commit, NULL, &seen[i], &err));
        counts[i] = counts[i - 1] + 1 - remove;
    }
    for (int i = 0; i <= ROUNDS; i++) {
        assert_int_equal(seen[i]->version, i);
        assert_int_equal(seen[i]->cell_count, counts[i]);
        for (size_t j = 0; j < counts[i]; j++) {
            const struct ap_cell *cell = &seen[i]->cells[j];
            char key[32];
            snprintf(key, sizeof key, "d=%d/c%d", (int)cell->size_bytes % 3, (int)cell->size_bytes);
            assert_true(ap_str_is(cell->path, key));
            assert_true(cell->size_bytes <= i);
            if (j) assert_true(cell[-1].size_bytes < cell->size_bytes);
        }
    }
    /* a cold read gives the same as what was folded step by step, at every tenth version */
    struct ap_ledger *other = help_ledger(store);
    for (int i = 0; i <= ROUNDS; i += 10) {
        struct ap_at at = { .kind = AP_AT_VERSION, .version = (uint64_t)i };
        struct ap_snapshot *cold = NULL;
        assert_ok(ap_ledger_snapshot(other, &at, &cold, &err));
        assert_int_equal(cold->cell_count, counts[i]);
        assert_int_equal(cold->tombstone_count, seen[i]->tombstone_count);
        for (size_t j = 0; j < counts[i]; j++)
            assert_true(ap_str_equal(cold->cells[j].path, seen[i]->cells[j].path));
        ap_snapshot_unref(cold);
    }
    struct ap_at at = { .kind = AP_AT_VERSION, .version = ROUNDS + 1 };
    struct ap_snapshot *none = NULL;
    assert_code(ap_ledger_snapshot(other, &at, &none, &err), APIARY_NOT_FOUND);
    for (int i = 0; i <= ROUNDS; i++) ap_snapshot_unref(seen[i]);
    ap_ledger_close(other);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void history_tells_who_did_what(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long; d string", "d", NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    for (int i = 0; i < 5; i++) {
        char key[16];
        snprintf(key, sizeof key, "d=1/%d", i);
        help_append(ledger, base, key, "1", "");
    }
    struct ap_history history = { 0 };
    assert_ok(ap_ledger_history(ledger, 3, &history, &err));
    assert_int_equal(history.count, 3);
    assert_int_equal(history.entries[0].version, 5);
    assert_int_equal(history.entries[2].version, 3);
    assert_string_equal(history.entries[0].operation, "WRITE");
    assert_string_equal(history.entries[0].engine, "Apiary/" AP_VERSION);
    assert_true(history.entries[0].blind_append);
    assert_int_equal(strlen(history.entries[0].txn_id), 36);
    ap_history_done(&history);
    assert_ok(ap_ledger_history(ledger, 100, &history, &err));
    assert_int_equal(history.count, 6);
    assert_string_equal(history.entries[5].operation, "CREATE TABLE");
    assert_int_equal(history.entries[5].read_version, -1);
    ap_history_done(&history);
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

/* A cell that is replaced over and over leaves text behind; it goes, and old snapshots keep theirs.
 */
static void garbage_is_collected(void **state)
{
    enum { ROUNDS = 600, TEXT = 50000, KEPT = 100 };
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long", NULL, NULL);
    struct ap_snapshot *now = help_snapshot(ledger), *old = NULL;
    char *stats = malloc(TEXT + 1);
    memset(stats, 'x', TEXT);
    stats[TEXT] = 0;
    for (int i = 0; i < ROUNDS; i++) {
        char key[32];
        snprintf(key, sizeof key, "c%d", i);
        snprintf(stats, TEXT, "{\"numRecords\":%d,\"pad\":\"", i);
        stats[strlen(stats)] = 'x';
        memcpy(stats + TEXT - 2, "\"}", 2);
        struct ap_new_cell cell = {
            .key = ap_str_from(key), .stats = { stats, TEXT }, .tags = AP_STR("")
        };
        const struct ap_cell *removes[1] = { now->cell_count ? &now->cells[0] : NULL };
        struct ap_commit commit = { .base = now,
            .adds = &cell,
            .add_count = 1,
            .removes = removes,
            .remove_count = now->cell_count,
            .data_change = true,
            .scope = AP_READ_ALL };
        struct ap_snapshot *next = NULL;
        assert_ok(ap_ledger_commit(ledger, &commit, NULL, &next, &err));
        if (i == KEPT)
            old = now;
        else
            ap_snapshot_unref(now);
        now = next;
    }
    assert_int_equal(now->cell_count, 1);
    assert_int_equal(now->cells[0].row_count, ROUNDS - 1);
    assert_int_equal(now->tombstone_count, ROUNDS - 1);
    assert_true(ap_str_is(now->tombstones[7].path, "c7"));
    assert_true(now->memory->text->arena.bytes_total < (size_t)ROUNDS * TEXT / 2);
    assert_int_equal(old->cells[0].row_count, KEPT - 1);
    assert_int_equal(old->cells[0].stats.size, TEXT);
    ap_snapshot_unref(old);
    ap_snapshot_unref(now);
    free(stats);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

/* Each allocation of an append fails in turn: the code is MEMORY or the commit stands. */
static void without_memory(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    help_create(ledger, "id long; d string", "d", NULL);
    struct ap_snapshot *base = help_snapshot(ledger);
    uint64_t landed = 0;
    bool done = false;
    for (long n = 1; n < 2000 && !done; n++) {
        char key[32];
        snprintf(key, sizeof key, "d=1/%ld", n);
        struct ap_str value[1] = { AP_STR("1") };
        struct ap_new_cell cell = { .key = ap_str_from(key),
            .partition_values = value,
            .size_bytes = 1,
            .stats = AP_STR("{\"numRecords\":1}"),
            .tags = AP_STR("") };
        struct ap_commit commit = {
            .base = base, .adds = &cell, .add_count = 1, .data_change = true, .operation = "WRITE"
        };
        uint64_t version = 0;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_ledger_commit(ledger, &commit, &version, NULL, &err);
        done = code == APIARY_OK && n > 5 && version == landed + 1;
        ap_alloc_fail_after(0);
        if (code == APIARY_OK)
            landed = version;
        else if (code != APIARY_MEMORY)
            fail_msg("allocation %ld: code %d: %s", n, (int)code, err.message);
        struct ap_snapshot *now = help_snapshot(ledger);
        assert_int_equal(now->version, landed);
        assert_int_equal(now->cell_count, landed);
        ap_snapshot_unref(now);
        if (done && n < 40)
            done = false; /* the first to succeed may have met a failure it could do without */
    }
    assert_true(done);
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_append_and_read),
        cmocka_unit_test(creating_twice_is_refused),
        cmocka_unit_test(timestamps_without_zone_ask_for_their_feature),
        cmocka_unit_test(races),
        cmocka_unit_test(old_snapshots_stay_what_they_were),
        cmocka_unit_test(garbage_is_collected),
        cmocka_unit_test(history_tells_who_did_what),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
