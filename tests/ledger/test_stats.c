#include "ledger_help.h"

static struct ap_str view(const char *text)
{
    return text ? ap_str_from(text) : (struct ap_str) { NULL, 0 };
}

#define X10 "xxxxxxxxxx"
#define TOP "\xF4\x8F\xBF\xBF"

static void bounds(void **state)
{
    static const struct {
        const char *label, *type, *min, *max;
        int has_nan;
        const char *min_json, *max_json; /* NULL: none */
    } rows[] = {
        { "long", "long", "-5", "7", -1, "-5", "7" },
        { "decimal keeps its digits", "decimal(38,2)", "12345678901234567890.10",
            "99999999999999999999.99", -1, "12345678901234567890.10", "99999999999999999999.99" },
        { "double", "double", "-1.5", "1e+30", 0, "-1.5", "1e+30" },
        { "double that may hold NaN", "double", "-1.5", "1e+30", -1, NULL, NULL },
        { "double with NaN", "double", "-1.5", "1e+30", 1, NULL, NULL },
        { "double infinite", "double", "-inf", "1", 0, NULL, NULL },
        { "string", "string", "a\"b", "c", -1, "\"a\\\"b\"", "\"c\"" },
        { "string of 32", "string", X10 X10 X10 "ab", X10 X10 X10 "ab", -1, "\"" X10 X10 X10 "ab\"",
            "\"" X10 X10 X10 "ab\"" },
        { "string of 33", "string", X10 X10 X10 "abc", X10 X10 X10 "abc", -1,
            "\"" X10 X10 X10 "ab\"", "\"" X10 X10 X10 "ab\x7f\"" },
        { "string cut before a wide point", "string", "a", X10 X10 X10 "ab\xC3\xA9", -1, "\"a\"",
            "\"" X10 X10 X10 "ab" TOP "\"" },
        { "string cut before the largest", "string", "a", X10 X10 X10 "ab" TOP "c", -1, "\"a\"",
            "\"" X10 X10 X10 "ab" TOP "\x7f\"" },
        { "string of largest points only", "string", "a",
            TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP
                TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP
                    TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP TOP
                        TOP TOP TOP TOP,
            -1, NULL, NULL },
        { "date", "date", "2024-02-29", "2024-03-01", -1, "\"2024-02-29\"", "\"2024-03-01\"" },
        { "date far away", "date", "2024-02-29", "10000-01-01", -1, NULL, NULL },
        { "date infinite", "date", "2024-02-29", "infinity", -1, NULL, NULL },
        { "timestamp", "timestamp", "2024-01-01 00:00:00.0005+00", "2024-01-01 00:00:00.0005+00",
            -1, "\"2024-01-01T00:00:00.000Z\"", "\"2024-01-01T00:00:00.001Z\"" },
        { "timestamp_ntz at midnight", "timestamp_ntz", "2024-01-01", "2024-01-02", -1,
            "\"2024-01-01T00:00:00.000\"", "\"2024-01-02T00:00:00.000\"" },
        { "timestamp_ntz before 1970", "timestamp_ntz", "1969-12-31 23:59:59.9999",
            "1969-12-31 23:59:59.9999", -1, "\"1969-12-31T23:59:59.999\"",
            "\"1970-01-01T00:00:00.000\"" },
        { "boolean", "boolean", "0", "1", -1, NULL, NULL },
        { "binary", "binary", "00", "FF", -1, NULL, NULL },
        { "one side only", "long", "1", NULL, -1, NULL, NULL },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) out = { 0 };
        AP_AUTO(ap_bytes) wanted = { 0 };
        char columns[64];
        snprintf(columns, sizeof columns, "c %s", rows[i].type);
        struct ap_schema schema = help_schema(&arena, columns);
        struct ap_str path = AP_STR("c");
        struct ap_column_figures figures = { .path = &path,
            .depth = 1,
            .min = view(rows[i].min),
            .max = view(rows[i].max),
            .null_count = 2,
            .has_nan = rows[i].has_nan };
        assert_code_in(
            rows[i].label, ap_stats_write(&schema, 10, &figures, 1, &out, &err), APIARY_OK);
        const char *min = rows[i].min_json, *max = rows[i].max_json;
        assert_ok(ap_bytes_printf(&wanted, &err,
            "{\"numRecords\":10,\"minValues\":{%s%s},\"maxValues\":{%s%s},\"nullCount\":{\"c\":2}}",
            min ? "\"c\":" : "", min ? min : "", max ? "\"c\":" : "", max ? max : ""));
        assert_string_in(rows[i].label, ap_bytes_text(&out), ap_bytes_text(&wanted));
    }
}

static void nested_and_many(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) out = { 0 };
    struct ap_schema schema;
    assert_ok(ap_schema_parse(&arena,
        AP_STR(
            "{\"type\":\"struct\",\"fields\":[{\"name\":\"s\",\"type\":{\"type\":\"struct\","
            "\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}},"
            "{\"name\":\"b\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]},\"nullable\":"
            "true,\"metadata\":{}},{\"name\":\"l\",\"type\":{\"type\":\"array\",\"elementType\":"
            "\"long\",\"containsNull\":true},\"nullable\":true,\"metadata\":{}}]}"),
        &schema, &err));
    struct ap_str a[2] = { AP_STR("s"), AP_STR("a") },
                  element[2] = { AP_STR("l"), AP_STR("element") };
    struct ap_column_figures figures[2] = {
        { .path = a, .depth = 2, .min = AP_STR("1"), .max = AP_STR("2"), .null_count = 0 },
        { .path = element, .depth = 2, .min = AP_STR("1"), .max = AP_STR("2"), .null_count = 0 }
    };
    assert_ok(ap_stats_write(&schema, 3, figures, 2, &out, &err));
    assert_string_equal(ap_bytes_text(&out),
        "{\"numRecords\":3,\"minValues\":{\"s\":{\"a\":1}},\"maxValues\":{"
        "\"s\":{\"a\":2}},\"nullCount\":{\"s\":{\"a\":0}}}");

    char columns[2048] = "";
    struct ap_str names[40];
    char name_text[40][8];
    struct ap_column_figures many[40];
    for (int i = 0; i < 40; i++) {
        snprintf(name_text[i], sizeof name_text[i], "c%d", i);
        snprintf(columns + strlen(columns), sizeof columns - strlen(columns), "%sc%d long",
            i ? "; " : "", i);
        names[i] = ap_str_from(name_text[i]);
        many[i] = (struct ap_column_figures) {
            .path = &names[i], .depth = 1, .min = AP_STR("1"), .max = AP_STR("1"), .null_count = 0
        };
    }
    schema = help_schema(&arena, columns);
    ap_bytes_clear(&out);
    assert_ok(ap_stats_write(&schema, 3, many, 40, &out, &err));
    assert_non_null(strstr(ap_bytes_text(&out), "\"c31\":"));
    assert_null(strstr(ap_bytes_text(&out), "\"c32\":"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds),
        cmocka_unit_test(nested_and_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
