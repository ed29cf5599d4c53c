#include "apiary_test.h"

#include "core/alloc.h"
#include "core/json.h"

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *label, *text;
        const char *wrong; /* part of the message, NULL: fine */
    } rows[] = {
        { "object", "{\"a\":[1,2.5,null,true,\"x\"]}", NULL },
        { "scalar", " 7 ", NULL },
        { "brackets in strings", "\"[[[[{{{{\\\"[[[[\"", NULL },
        { "empty", "", "slot 3: empty" },
        { "cut", "{\"a\":", "slot 3: no valid JSON at byte 5" },
        { "behind", "{} {}", "slot 3: no valid JSON at byte 3" },
        { "comma", "[1,]", "no valid JSON at byte" },
        { "comment", "[1] // x", "no valid JSON" },
        { "NaN", "[NaN]", "no valid JSON" },
        { "bad UTF-8", "\"\xFF\"", "no valid JSON" },
        { "control", "\"\n\"", "no valid JSON" },
    };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO_JSON *doc = NULL;
        assert_code_in(rows[i].label,
            ap_json_parse(ap_str_from(rows[i].text), "slot 3", &doc, &err),
            rows[i].wrong ? APIARY_CORRUPT : APIARY_OK);
        assert_int_in(rows[i].label, doc == NULL, rows[i].wrong != NULL);
        if (rows[i].wrong && !strstr(err.message, rows[i].wrong))
            fail_msg("%s: %s", rows[i].label, err.message);
    }
    /* The text need not end in NUL. */
    AP_AUTO_JSON *doc = NULL;
    assert_ok(ap_json_parse((struct ap_str) { "[12]34", 4 }, "x", &doc, &err));
    yyjson_doc *none = NULL;
    ap_json_doc_free(&none);
}

static void test_depth(void **state)
{
    (void)state;
    struct apiary_error err;
    for (size_t depth = AP_JSON_DEPTH_MAX - 1; depth <= AP_JSON_DEPTH_MAX + 1; depth++) {
        for (int kind = 0; kind < 2; kind++) {
            AP_AUTO(ap_bytes) text = { 0 };
            AP_AUTO_JSON *doc = NULL;
            for (size_t i = 0; i < depth; i++)
                assert_ok(ap_bytes_add_text(&text, kind ? "{\"\\\"[\":" : "[", &err));
            assert_ok(ap_bytes_add_text(&text, "1", &err));
            for (size_t i = 0; i < depth; i++)
                assert_ok(ap_bytes_add_text(&text, kind ? "}" : "]", &err));
            assert_code(ap_json_parse(ap_bytes_view(&text), "x", &doc, &err),
                depth > AP_JSON_DEPTH_MAX ? APIARY_CORRUPT : APIARY_OK);
            if (depth > AP_JSON_DEPTH_MAX)
                assert_non_null(strstr(err.message, "nested deeper than 128"));
        }
    }
    /* Many brackets side by side are no depth. */
    AP_AUTO(ap_bytes) wide = { 0 };
    AP_AUTO_JSON *doc = NULL;
    assert_ok(ap_bytes_add_text(&wide, "[", &err));
    for (int i = 0; i < 1000; i++) assert_ok(ap_bytes_add_text(&wide, "[],{},", &err));
    assert_ok(ap_bytes_add_text(&wide, "1]", &err));
    assert_ok(ap_json_parse(ap_bytes_view(&wide), "x", &doc, &err));
}

static void test_members(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO_JSON *doc = NULL;
    assert_ok(ap_json_parse(
        AP_STR(
            "{\"s\":\"a\\u0000b\",\"i\":-5,\"max\":9223372036854775807,\"min\":-"
            "9223372036854775808,"
            "\"u\":9223372036854775808,\"big\":123456789012345678901234567890,\"f\":1.0,\"t\":true,"
            "\"n\":null}"),
        "x", &doc, &err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct ap_str text = { 0 };
    int64_t number = 77;
    bool flag = false;
    assert_true(ap_json_str(root, "s", &text) && ap_str_equal(text, AP_STR("a\0b")));
    assert_true(ap_json_i64(root, "i", &number) && number == -5);
    assert_true(ap_json_i64(root, "max", &number) && number == INT64_MAX);
    assert_true(ap_json_i64(root, "min", &number) && number == INT64_MIN);
    number = 77;
    static const char *const no_i64[] = { "u", "big", "f", "t", "n", "s", "absent" };
    for (size_t i = 0; i < AP_COUNT(no_i64); i++)
        assert_false(ap_json_i64(root, no_i64[i], &number));
    assert_int_equal(number, 77);
    assert_true(yyjson_is_raw(ap_json_member(root, "big")));
    assert_true(ap_json_bool(root, "t", &flag) && flag);
    assert_false(ap_json_bool(root, "i", &flag));
    assert_false(ap_json_str(root, "i", &text));
    assert_non_null(ap_json_member(root, "f"));
    assert_null(ap_json_member(root, "n"));
    assert_null(ap_json_member(root, "absent"));
    /* Asking a scalar for members is no mistake. */
    yyjson_val *scalar = ap_json_member(root, "i");
    assert_null(ap_json_member(scalar, "x"));
    assert_false(ap_json_str(scalar, "x", &text) || ap_json_i64(NULL, "x", &number));
}

static void test_quote(void **state)
{
    (void)state;
    static const struct {
        const char *label, *wanted;
        struct ap_str text;
    } rows[] = {
        { "empty", "\"\"", { "", 0 } },
        { "plain", "\"abc\"", { "abc", 3 } },
        { "named escapes", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"", { "\"\\/\b\f\n\r\t", 8 } },
        { "other controls", "\"\\u0000\\u001f\x7f\"", { "\0\x1f\x7f", 3 } },
        { "UTF-8", "\"\xF0\x9F\x90\x9D\"", { "\xF0\x9F\x90\x9D", 4 } },
        { "no UTF-8",
            "\"a\xEF\xBF\xBD"
            "b\"",
            { "a\xFF"
              "b",
                3 } },
        { "surrogate", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"", { "\xED\xA0\x80", 3 } },
    };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_bytes out = { 0 };
        assert_memory_failures(
            ap_json_quote(&out, rows[i].text, &err), out.size == 0, ap_bytes_done(&out));
        assert_string_in(rows[i].label, ap_bytes_text(&out), rows[i].wanted);
        AP_AUTO_JSON *doc = NULL;
        assert_ok(ap_json_parse(ap_bytes_view(&out), rows[i].label, &doc, &err));
        ap_bytes_done(&out);
    }
    /* Growth in the middle, and an allocation that fails there. */
    char controls[400];
    memset(controls, 1, sizeof controls);
    struct ap_bytes out = { 0 };
    assert_memory_failures(ap_json_quote(&out, (struct ap_str) { controls, sizeof controls }, &err),
        out.size == 0, ap_bytes_done(&out));
    assert_int_equal(out.size, 2 + 6 * sizeof controls);
    ap_bytes_done(&out);
}

static enum apiary_code round_trip(struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(
        AP_STR(" {\"a\" : [1, 2.5 , 123456789012345678901234567890, {} ]} "), "x", &doc, err));
    AP_TRY(ap_json_write_val(yyjson_doc_get_root(doc), out, err));
    AP_AUTO_JSON_MUT *copy = yyjson_doc_mut_copy(doc, ap_json_alc());
    if (!copy) return ap_fail_memory(err, "a copy");
    AP_TRY(ap_bytes_add_text(out, "|", err));
    return ap_json_write(copy, out, err);
}

static void test_write(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_bytes out = { 0 };
    assert_memory_failures(round_trip(&out, &err), true, ap_bytes_done(&out));
    assert_string_equal(ap_bytes_text(&out), "{\"a\":[1,2.5,123456789012345678901234567890,{}]}|{"
                                             "\"a\":[1,2.5,123456789012345678901234567890,{}]}");
    ap_bytes_done(&out);

    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    yyjson_mut_doc_set_root(doc, yyjson_mut_real(doc, 0.0 / 0.0));
    assert_code(ap_json_write(doc, &out, &err), APIARY_INVALID);
    assert_null(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_members), cmocka_unit_test(test_quote),
        cmocka_unit_test(test_write) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
