/* Tables of other projects: version, number of live cells, and refusals as their manifest says.
 *
 * They lie outside of the project, in AP_TESTDATA or ../shared/testdata beside it; without them the
 * test says so and passes. Only tables whose log needs no engine are looked at here. */
#include "ledger_help.h"

#include <sys/stat.h>

enum { MANIFEST_BYTES_MAX = 16 << 20 };

static bool find_data(char path[AP_TEST_PATH_MAX])
{
    const char *given = getenv("AP_TESTDATA"), *source = getenv("APIARY_SOURCE_DIR");
    struct stat info;
    if (given && *given)
        snprintf(path, AP_TEST_PATH_MAX, "%s/delta", given);
    else
        snprintf(path, AP_TEST_PATH_MAX, "%s/../shared/testdata/delta", source ? source : ".");
    return stat(path, &info) == 0;
}

static yyjson_doc *read_manifest(const char *folder)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = NULL;
    struct ap_store_options options = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    yyjson_doc *doc = NULL;
    assert_ok(ap_store_open(ap_env_system(), folder, &options, &store, &err));
    assert_ok(ap_store_get(store, "manifest.json", AP_RANGE_ALL, &text, NULL, &err));
    assert_ok(ap_json_parse(ap_bytes_view(&text), "manifest", &doc, &err));
    ap_store_close(store);
    return doc;
}

/* What a broken checkpoint makes of a table shows only to those who read it. */
static bool has_checkpoint(yyjson_val *table)
{
    size_t i, total;
    yyjson_val *feature;
    yyjson_arr_foreach(yyjson_obj_get(table, "features"), i, total, feature)
    {
        if (strncmp(yyjson_get_str(feature), "ckpt-", 5) == 0) return true;
    }
    return false;
}

/* Opens one table without an engine and compares; false when it needs one. */
static bool look_at(const char *folder, yyjson_val *table)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = NULL;
    struct ap_ledger *ledger = NULL;
    struct ap_snapshot *snapshot = NULL;
    struct ap_store_options options = { 0 };
    char path[AP_TEST_PATH_MAX * 2];
    const char *name = yyjson_get_str(yyjson_obj_get(table, "name"));
    bool refuse = yyjson_equals_str(yyjson_obj_get(table, "expect"), "refuse_read");
    if (refuse && has_checkpoint(table)) return false;
    snprintf(path, sizeof path, "%s/%s", folder, yyjson_get_str(yyjson_obj_get(table, "path")));
    assert_ok(ap_store_open(ap_env_system(), path, &options, &store, &err));
    struct ap_ledger_options ledger_options = {
        .env = store->env, .store = store, .prefix = "", .name = name
    };
    assert_ok(ap_ledger_open(&ledger_options, &ledger, &err));
    enum apiary_code code = ap_ledger_snapshot(ledger, NULL, &snapshot, &err);
    bool needs_engine = code == APIARY_UNSUPPORTED && strstr(err.message, "without an engine");
    if (!needs_engine && (code != APIARY_OK) != refuse)
        fail_msg("%s: code %d: %s", name, (int)code, err.message);
    if (!needs_engine && !refuse) {
        int64_t rows;
        assert_int_in(name, snapshot->version, yyjson_get_sint(yyjson_obj_get(table, "version")));
        assert_int_in(
            name, snapshot->cell_count, yyjson_get_sint(yyjson_obj_get(table, "active_files")));
        yyjson_val *wanted = yyjson_obj_get(table, "rows");
        if (wanted && ap_snapshot_row_count(snapshot, &rows))
            assert_int_in(name, rows, yyjson_get_sint(wanted));
        for (size_t i = 0; i < snapshot->cell_count; i++) {
            AP_AUTO(ap_bytes) key = { 0 };
            uint64_t *deleted = NULL;
            size_t count = 0;
            bool absolute;
            assert_code_in(
                name, ap_cell_key(&snapshot->cells[i], &key, &absolute, &err), APIARY_OK);
            assert_code_in(name,
                ap_deletion_vector_read(ledger, &snapshot->cells[i], &deleted, &count, &err),
                APIARY_OK);
            ap_free(deleted);
        }
    }
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    ap_store_close(store);
    return !needs_engine;
}

static void golden_tables(void **state)
{
    char folder[AP_TEST_PATH_MAX];
    if (!find_data(folder)) {
        print_message("skipped: there are no golden tables at %s (AP_TESTDATA)\n", folder);
        skip();
    }
    AP_AUTO_JSON *manifest = read_manifest(folder);
    yyjson_val *tables = yyjson_obj_get(yyjson_doc_get_root(manifest), "tables"), *table;
    size_t i, total, looked = 0;
    yyjson_arr_foreach(tables, i, total, table) looked += look_at(folder, table);
    print_message("%zu of %zu tables need no engine\n", looked, total);
    assert_true(looked > total / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(golden_tables) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
