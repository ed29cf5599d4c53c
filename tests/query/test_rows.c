/* Rows in memory, completing names, patterns of SHOW. */
#include "query/ddl.h"

#include "apiary_test.h"

#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>

static void fill(struct ap_rows *rows)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_rows_column(rows, "name", AP_ROWS_TEXT, &err));
    assert_ok(ap_rows_column(rows, "count", AP_ROWS_INT64, &err));
    assert_ok(ap_rows_column(rows, "current", AP_ROWS_BOOL, &err));
    assert_ok(ap_rows_column(rows, "at", AP_ROWS_TIMESTAMP_TZ, &err));
    assert_ok(ap_rows_column(rows, "part", AP_ROWS_DOUBLE, &err));
    assert_ok(ap_rows_text(rows, AP_STR("one"), &err));
    assert_ok(ap_rows_int(rows, 1, &err));
    assert_ok(ap_rows_int(rows, 1, &err));
    assert_ok(ap_rows_int(rows, 1000000, &err));
    assert_ok(ap_rows_double(rows, 0.5, &err));
    assert_ok(ap_rows_text(rows, (struct ap_str) { NULL, 0 }, &err));
    for (int i = 0; i < 4; i++) assert_ok(ap_rows_null(rows, &err));
}

static void test_rows(void **state)
{
    static const char *const formats[] = { "u", "l", "b", "tsu:UTC", "g" };
    struct apiary_error err = { 0 };
    struct ap_rows *rows = NULL;
    struct ap_result result = { 0 };
    assert_ok(ap_rows_new(&rows, &err));
    fill(rows);
    assert_ok(ap_rows_finish(rows, &result, &err));
    ap_rows_free(rows);
    assert_true(result.has_rows);
    struct ArrowSchema schema;
    struct ArrowArray batch;
    struct ArrowArrayView view;
    assert_int_equal(result.memory.get_schema(&result.memory, &schema), 0);
    assert_int_equal(schema.n_children, 5);
    for (int i = 0; i < 5; i++) assert_string_equal(schema.children[i]->format, formats[i]);
    assert_string_equal(schema.children[3]->name, "at");
    assert_int_equal(result.memory.get_next(&result.memory, &batch), 0);
    assert_int_equal(batch.length, 2);
    assert_int_equal(ArrowArrayViewInitFromSchema(&view, &schema, NULL), 0);
    assert_int_equal(ArrowArrayViewSetArray(&view, &batch, NULL), 0);
    assert_int_equal(ArrowArrayViewValidate(&view, NANOARROW_VALIDATION_LEVEL_FULL, NULL), 0);
    struct ArrowStringView text = ArrowArrayViewGetStringUnsafe(view.children[0], 0);
    assert_memory_equal(text.data, "one", 3);
    assert_int_equal(ArrowArrayViewGetIntUnsafe(view.children[3], 0), 1000000);
    for (int i = 0; i < 5; i++) assert_true(ArrowArrayViewIsNull(view.children[i], 1));
    ArrowArrayViewReset(&view);
    ArrowArrayRelease(&batch);
    assert_int_equal(result.memory.get_next(&result.memory, &batch), 0);
    assert_null(batch.release);
    ArrowSchemaRelease(&schema);
    result.memory.release(&result.memory);
}

static void test_no_rows(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_rows *rows = NULL;
    struct ap_result result = { 0 };
    struct ArrowArray batch;
    assert_ok(ap_rows_new(&rows, &err));
    assert_ok(ap_rows_column(rows, "name", AP_ROWS_TEXT, &err));
    assert_ok(ap_rows_finish(rows, &result, &err));
    ap_rows_free(rows);
    assert_int_equal(result.memory.get_next(&result.memory, &batch), 0);
    if (batch.release != NULL) {
        assert_int_equal(batch.length, 0);
        ArrowArrayRelease(&batch);
    }
    result.memory.release(&result.memory);
}

static const struct {
    const char *label;
    enum ap_name_kind kind;
    const char *parts[3];
    size_t count;
    enum apiary_code code;
    const char *hive, *box, *frame;
} names[] = {
    { "one part", AP_NAME_FRAME, { "t" }, 1, APIARY_OK, "sales", "eu", "t" },
    { "two parts are box.frame", AP_NAME_FRAME, { "us", "t" }, 2, APIARY_OK, "sales", "us", "t" },
    { "three parts", AP_NAME_FRAME, { "h", "b", "t" }, 3, APIARY_OK, "h", "b", "t" },
    { "a box", AP_NAME_BOX, { "us" }, 1, APIARY_OK, "sales", "us", "" },
    { "a box of a hive", AP_NAME_BOX, { "h", "us" }, 2, APIARY_OK, "h", "us", "" },
    { "a hive", AP_NAME_HIVE, { "h" }, 1, APIARY_OK, "h", "", "" },
    { "a hive in two parts", AP_NAME_HIVE, { "h", "x" }, 2, APIARY_SQL, "", "", "" },
    { "a box in three parts", AP_NAME_BOX, { "h", "x", "y" }, 3, APIARY_SQL, "", "", "" },
};

static void test_names(void **state)
{
    struct ap_session session = { .hive = "sales", .box = "eu" };
    for (size_t i = 0; i < AP_COUNT(names); i++) {
        struct apiary_error err = { 0 };
        struct ap_name3 out = { 0 };
        struct ap_object_name name = { .count = names[i].count };
        for (size_t p = 0; p < names[i].count; p++)
            name.parts[p] = (char *)(uintptr_t)names[i].parts[p];
        assert_code_in(names[i].label,
            ap_names_complete(&session, &name, names[i].kind, &out, &err), names[i].code);
        assert_string_in(names[i].label, out.hive, names[i].hive);
        assert_string_in(names[i].label, out.box, names[i].box);
        assert_string_in(names[i].label, out.frame, names[i].frame);
    }
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[299] = 0;
    struct apiary_error err = { 0 };
    struct ap_name3 out = { 0 };
    struct ap_object_name name = { .count = 1, .parts = { longest } };
    assert_code(ap_names_complete(&session, &name, AP_NAME_FRAME, &out, &err), APIARY_NOT_FOUND);
}

static const struct {
    const char *name, *pattern;
    bool fits;
} patterns[] = {
    { "flights", NULL, true },
    { "flights", "flights", true },
    { "flights", "FLI%", true },
    { "flights", "%ts", true },
    { "flights", "%ig%", true },
    { "flights", "f_ights", true },
    { "flights", "f_", false },
    { "flights", "", false },
    { "", "%", true },
    { "", "", true },
    { "aab", "%ab", true },
    { "abab", "a%b", true },
    { "abc", "%b", false },
    { "\xC3\xA9t", "_t", true },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "%a%a%a%a%a%a%a%c", false },
};

static void test_patterns(void **state)
{
    for (size_t i = 0; i < AP_COUNT(patterns); i++)
        assert_int_in(patterns[i].pattern ? patterns[i].pattern : "none",
            ap_name_like(patterns[i].name, patterns[i].pattern), patterns[i].fits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_no_rows),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
