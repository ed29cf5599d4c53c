/* Names of folders and cells, and the sizes of cells. */
#include "cells/cells.h"

#include "apiary_test.h"

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *label, *column, *value, *folder;
} folders[] = {
    { "plain", "day", "2024-01-31", "day=2024-01-31" },
    { "null", "day", NULL, "day=__HIVE_DEFAULT_PARTITION__" },
    { "empty", "day", "", "day=" },
    { "slash and dots", "a b", "../x", "a%20b=..%2Fx" },
    { "equals, percent, tilde", "a", "b=c%~", "a=b%3Dc%25%7E" },
    { "not ASCII", "a", "\xC3\xA9", "a=%C3%A9" },
    { "100 bytes", "a", X50 X50, "a=" X50 X50 },
};

static void test_folders(void **state)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < AP_COUNT(folders); i++) {
        AP_AUTO(ap_bytes) out = { 0 };
        struct ap_str value = { folders[i].value, folders[i].value ? strlen(folders[i].value) : 0 };
        assert_code_in(folders[i].label,
            ap_partition_folder(&out, ap_str_from(folders[i].column), value, &err), APIARY_OK);
        assert_string_in(folders[i].label, ap_bytes_text(&out), folders[i].folder);
    }
}

static void test_long_values(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) one = { 0 };
    AP_AUTO(ap_bytes) two = { 0 };
    AP_AUTO(ap_bytes) escapes = { 0 };
    assert_ok(ap_partition_folder(&one, AP_STR("a"), AP_STR(X50 X50 "1"), &err));
    assert_ok(ap_partition_folder(&two, AP_STR("a"), AP_STR(X50 X50 "2"), &err));
    assert_int_equal(one.size, 2 + 60 + 1 + 16);
    assert_int_equal(one.data[62], '~');
    assert_string_not_equal(ap_bytes_text(&one), ap_bytes_text(&two));
    /* an escape is not cut in two, wherever it stands */
    for (size_t shift = 0; shift < 3; shift++) {
        char value[128];
        memset(value, 'x', sizeof value);
        memset(value + shift, '/', 60);
        ap_bytes_clear(&escapes);
        assert_ok(ap_partition_folder(
            &escapes, AP_STR("a"), (struct ap_str) { value, sizeof value }, &err));
        const char *tilde = strchr(ap_bytes_text(&escapes), '~');
        assert_non_null(tilde);
        assert_memory_equal(tilde - 3, "%2F", 3);
    }
}

static void test_new_key(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    assert_ok(ap_cell_new_key(ap_env_system(), &key, AP_STR("a=1/"), &err));
    assert_memory_equal(ap_bytes_text(&key), "a=1/cell_", 9);
    assert_int_equal(key.size, 4 + 5 + 36 + 8);
    assert_ok(ap_store_key_check(ap_bytes_text(&key), &err));
    assert_true(ap_cell_is_key(ap_bytes_view(&key), AP_STR("a=1/")));
}

static void test_keys_of_others(void **state)
{
    static const struct {
        const char *label, *folders, *key;
        bool is;
    } keys[] = {
        { "no folder", "", "cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", true },
        { "two folders", "a=1/b=2/", "a=1/b=2/cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", true },
        { "nothing", "", "", false },
        { "another folder", "a=1/", "a=2/cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", false },
        { "no folder where there is one", "a=1/", "cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", false },
        { "a folder where there is none", "", "a=1/cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", false },
        { "another beginning", "", "cale_01a22859-2cf7-7d37-b375-ac43104c1880.parquet", false },
        { "another end", "", "cell_01a22859-2cf7-7d37-b375-ac43104c1880.parquat", false },
        { "large letters", "", "cell_01A22859-2cf7-7d37-b375-ac43104c1880.parquet", false },
        { "a path in the name", "", "cell_01a22859-2cf7-7d37-b375-../../../../x.parquet", false },
        { "too short", "", "cell_01a22859-2cf7-7d37-b375-ac43104c188.parquet", false },
        { "too long", "", "cell_01a22859-2cf7-7d37-b375-ac43104c18800.parquet", false },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(keys); i++)
        assert_true_in(keys[i].label, ap_cell_is_key(ap_str_from(keys[i].key), ap_str_from(keys[i].folders)) == keys[i].is);
}

static void test_leafcutter(void **state)
{
    const uint64_t mib = 1 << 20;
    static const struct {
        const char *label;
        uint64_t memory_mib, setting_mib, target_mib;
    } cuts[] = {
        { "a quarter", 1024, 0, 256 },
        { "at least 16 MiB", 32, 0, 16 },
        { "nothing known", 0, 0, 16 },
        { "as asked", 1024, 1, 1 },
    };
    for (size_t i = 0; i < AP_COUNT(cuts); i++) {
        struct ap_leafcutter cut = ap_leafcut(cuts[i].memory_mib * mib, cuts[i].setting_mib * mib);
        assert_int_in(cuts[i].label, cut.target_bytes, cuts[i].target_mib * mib);
        assert_int_in(cuts[i].label, cut.ceiling_bytes, 2 * cuts[i].target_mib * mib);
        assert_int_in(cuts[i].label, cut.row_group_rows % 2048, 0);
        assert_true_in(cuts[i].label, cut.row_group_rows > 0);
    }
}

static void test_small_workers_get_small_tasks(void **state)
{
    const uint64_t mib = 1 << 20, cells[] = { 10 * mib, 10 * mib, 10 * mib, 40 * mib, 1 * mib };
    static const struct {
        const char *label;
        uint64_t memory_mib;
        size_t first, cells;
    } cuts[] = {
        { "16 MiB hold one", 64, 0, 1 },
        { "32 MiB hold three", 128, 0, 3 },
        { "a large one goes alone", 64, 3, 1 },
        { "all", 4096, 0, 5 },
        { "the rest", 4096, 4, 1 },
    };
    for (size_t i = 0; i < AP_COUNT(cuts); i++)
        assert_int_in(cuts[i].label,
            ap_leafcut_task(cells, AP_COUNT(cells), cuts[i].first, cuts[i].memory_mib * mib),
            cuts[i].cells);
}

/* Whoever has the memory that a task needs may take as much. */
static void test_what_a_task_needs(void **state)
{
    const uint64_t mib = UINT64_C(1) << 20;
    (void)state;
    assert_int_equal(ap_leafcut_memory(32 * mib), 0);
    assert_int_equal(ap_leafcut_memory(100 * mib), 200 * mib);
    assert_true(ap_leafcut(ap_leafcut_memory(100 * mib), 0).ceiling_bytes >= 100 * mib);
    assert_true(ap_leafcut_memory(UINT64_MAX) == UINT64_MAX);
}

static void test_wide_rows_get_narrow_row_groups(void **state)
{
    struct ap_leafcutter cut = ap_leafcut(1 << 30, 0);
    struct ap_leafcutter wide = ap_leafcut_rows(cut, 100000, UINT64_C(1) << 30);
    assert_true(wide.row_group_rows < cut.row_group_rows && wide.row_group_rows % 2048 == 0);
    assert_int_equal(ap_leafcut_rows(cut, 100, UINT64_C(1) << 40).row_group_rows, 2048);
    assert_int_equal(ap_leafcut_rows(cut, 1000000, 1000).row_group_rows, cut.row_group_rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_new_key),
        cmocka_unit_test(test_keys_of_others),
        cmocka_unit_test(test_leafcutter),
        cmocka_unit_test(test_what_a_task_needs),
        cmocka_unit_test(test_small_workers_get_small_tasks),
        cmocka_unit_test(test_wide_rows_get_narrow_row_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
