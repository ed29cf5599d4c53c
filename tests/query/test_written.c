/* Cells that were written, told as text by a stranger. */
#include "apiary_test.h"

#include "query/cellwriter_private.h"

static const struct ap_str none; /* no tag beside */

#define UUID "01a22859-2cf7-7d37-b375-ac43104c1880"

static const struct ap_field fields[] = {
    { .name = { "p", 1 }, .nullable = true, .type = { .kind = AP_TYPE_STRING } },
    { .name = { "x", 1 }, .nullable = true, .type = { .kind = AP_TYPE_LONG } },
};
static const struct ap_str columns[] = { { "p", 1 } };

static struct ap_target target(void)
{
    return (struct ap_target) { .name = "main.main.f",
        .metadata = { .schema = { fields, 2 }, .partition_by = columns, .partition_count = 1 } };
}

static void told_and_read(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_target frame = target();
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_str values[] = { { "a/b", 3 }, { NULL, 0 } };
    struct ap_new_cell cells[] = {
        { .key = ap_str_from("p=a%2Fb/cell_" UUID ".parquet"), .partition_values = &values[0], .size_bytes = 10, .modified_ms = 7, .stats = AP_STR("{}") },
        { .key = ap_str_from("p=__HIVE_DEFAULT_PARTITION__/cell_" UUID ".parquet"), .partition_values = &values[1], .size_bytes = 11, .stats = AP_STR("{}") },
    };
    (void)state;
    struct ap_written two = { .cells = cells, .count = 2, .rows = 3, .bytes = 21 };
    assert_ok(ap_written_write(&two, &frame.metadata, &text, &err));
    assert_ok(ap_written_read(ap_bytes_view(&text), &frame, none, &written, &err));
    assert_ok(ap_written_read(ap_bytes_view(&text), &frame, none, &written, &err));
    assert_int_equal(written.count, 4);
    assert_int_equal(written.rows, 6);
    assert_int_equal(written.bytes, 42);
    assert_true(ap_str_equal(written.cells[2].key, cells[0].key));
    assert_true(ap_str_equal(written.cells[0].partition_values[0], values[0]));
    assert_null(written.cells[1].partition_values[0].data);
    assert_true(ap_str_find(written.cells[3].tags, AP_STR("apiary.shape")) != SIZE_MAX);
    assert_ok(ap_written_read(ap_bytes_view(&text), &frame, AP_STR("\"t\":\"1\""), &written, &err));
    assert_true(ap_str_find(written.cells[3].tags, AP_STR("\"t\"")) == SIZE_MAX);
    assert_true(ap_str_find(written.cells[4].tags, AP_STR(",\"t\":\"1\"}")) != SIZE_MAX);
}

static void refused(void **state)
{
    static const struct {
        const char *label, *text;
    } cases[] = {
        { "no JSON", "{" },
        { "no rows", "{\"bytes\":1,\"cells\":[]}" },
        { "fewer than no rows", "{\"rows\":-1,\"bytes\":1,\"cells\":[]}" },
        { "a log's key", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"_delta_log/00000000000000000000.json\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"{}\"}]}" },
        { "out of the frame", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"../g/cell_" UUID ".parquet\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"{}\"}]}" },
        { "of another partition", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=b/cell_" UUID ".parquet\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"{}\"}]}" },
        { "a name of its own", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=a/cell_01a22859-2cf7-7d37-b375-../../../../88.parquet\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"{}\"}]}" },
        { "no size", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=a/cell_" UUID ".parquet\",\"size\":0,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"{}\"}]}" },
        { "too many values", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=a/cell_" UUID ".parquet\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\",\"b\"],\"stats\":\"{}\"}]}" },
        { "a number for a value", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=a/cell_" UUID ".parquet\",\"size\":1,\"modified_ms\":1,\"values\":[1],\"stats\":\"{}\"}]}" },
        { "statistics that are none", "{\"rows\":1,\"bytes\":1,\"cells\":[{\"key\":\"p=a/cell_" UUID ".parquet\",\"size\":1,\"modified_ms\":1,\"values\":[\"a\"],\"stats\":\"[]\"}]}" },
    };
    (void)state;
    struct ap_target frame = target();
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_written) written = { 0 };
        assert_code_in(cases[i].label, ap_written_read(ap_str_from(cases[i].text), &frame, none, &written, &err), APIARY_CORRUPT);
    }
}

/* What a chamber tells of files that it wrote. */
static void figures(void **state)
{
    static const struct {
        const char *label, *text;
        enum apiary_code code, added; /* to 10 rows and 10 bytes */
    } cases[] = {
        { "rows", "{\"filename\":\"/out/0/w\",\"count\":3,\"file_size_bytes\":7}", APIARY_OK, APIARY_OK },
        { "no rows", "{\"filename\":\"/out/0/w\",\"count\":0,\"file_size_bytes\":0}", APIARY_OK, APIARY_OK },
        { "rows in no bytes", "{\"filename\":\"/out/0/w\",\"count\":3,\"file_size_bytes\":0}", APIARY_CORRUPT, APIARY_OK },
        { "fewer than no rows", "{\"filename\":\"/out/0/w\",\"count\":-3,\"file_size_bytes\":7}", APIARY_CORRUPT, APIARY_OK },
        { "fewer than no bytes", "{\"filename\":\"/out/0/w\",\"count\":3,\"file_size_bytes\":-7}", APIARY_CORRUPT, APIARY_OK },
        { "no name", "{\"count\":3,\"file_size_bytes\":7}", APIARY_CORRUPT, APIARY_OK },
        { "no number", "{\"filename\":\"/out/0/w\",\"count\":\"3\",\"file_size_bytes\":7}", APIARY_CORRUPT, APIARY_OK },
        { "as many rows as can be", "{\"filename\":\"/out/0/w\",\"count\":9223372036854775797,\"file_size_bytes\":7}", APIARY_OK, APIARY_OK },
        { "a row more", "{\"filename\":\"/out/0/w\",\"count\":9223372036854775798,\"file_size_bytes\":7}", APIARY_OK, APIARY_CORRUPT },
        { "too many bytes", "{\"filename\":\"/out/0/w\",\"count\":3,\"file_size_bytes\":9223372036854775807}", APIARY_OK, APIARY_CORRUPT },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        struct ap_figures file = { 0 }, sum = { .rows = 10, .bytes = 10 };
        AP_AUTO_JSON *doc = NULL;
        assert_ok(ap_json_parse(ap_str_from(cases[i].text), "figures", &doc, &err));
        assert_code_in(cases[i].label, ap_read_figures(yyjson_doc_get_root(doc), &file, &err), cases[i].code);
        assert_code_in(cases[i].label, ap_add_figures(&sum, &file, &err), cases[i].added);
        if (cases[i].added != APIARY_OK) assert_int_equal(sum.rows + sum.bytes, 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(told_and_read), cmocka_unit_test(refused), cmocka_unit_test(figures) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
