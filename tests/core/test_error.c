#include "apiary_test.h"

#include <errno.h>

#include "core/alloc.h"
#include "core/error.h"
#include "core/str.h"

static void test_codes(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *name;
    } codes[] = {
        { 0, "OK" },
        { 1, "INVALID" },
        { 2, "CONFLICT" },
        { 3, "UNCERTAIN" },
        { 4, "IO" },
        { 5, "NOT_FOUND" },
        { 6, "EXISTS" },
        { 7, "CORRUPT" },
        { 8, "UNSUPPORTED" },
        { 9, "SQL" },
        { 10, "SCHEMA" },
        { 11, "MEMORY" },
        { 12, "CANCELLED" },
        { 13, "TIMEOUT" },
        { 14, "DENIED" },
        { 15, "CONFIG" },
        { 16, "FULL" },
        { 17, "CHAMBER" },
        { 18, "BUSY" },
        { 19, "LIMIT" },
        { 20, "INTERNAL" },
        { 21, "ABANDONED" },
        { 22, "UNKNOWN" },
        { -1, "UNKNOWN" },
    };
    for (size_t i = 0; i < AP_COUNT(codes); i++) {
        assert_string_equal(ap_code_name(codes[i].code), codes[i].name);
        assert_true(*ap_code_text(codes[i].code));
    }
    assert_string_equal(ap_code_text(APIARY_CONFLICT), "another writer got there first");
}

static void test_one_line(void **state)
{
    (void)state;
    static const struct {
        const char *label, *text, *wanted;
    } rows[] = {
        { "plain", "slot 41: 210 bytes", "slot 41: 210 bytes" },
        { "line ends and tabs", "a\nb\r\tc", "a b  c" },
        { "escape sequence", "\x1b[31mred\x7f", " [31mred " },
        { "C1 control",
            "a\xC2\x9B"
            "b",
            "a b" },
        { "UTF-8 stays", "Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x90\x9D",
            "Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x90\x9D" },
        { "no UTF-8", "a\xFF\xC3(",
            "a?"
            "?(" },
        { "cut UTF-8 at the end", "a\xE2\x82",
            "a?"
            "?" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err;
        memset(&err, 'x', sizeof err);
        assert_int_in(
            rows[i].label, ap_fail(&err, APIARY_CORRUPT, "%s", rows[i].text), APIARY_CORRUPT);
        assert_int_in(rows[i].label, err.code, APIARY_CORRUPT);
        assert_string_in(rows[i].label, err.message, rows[i].wanted);
        assert_string_in(rows[i].label, err.hint, "");
    }
}

/* Whatever length is cut off, the message ends in NUL and holds whole characters. */
static void test_cut(void **state)
{
    (void)state;
    static const char *const characters[] = { "x", "\xC3\xBC", "\xE2\x82\xAC", "\xF0\x9F\x90\x9D" };
    for (size_t c = 0; c < AP_COUNT(characters); c++) {
        for (size_t lead = 0; lead < 5; lead++) {
            struct apiary_error err;
            AP_AUTO(ap_bytes) text = { 0 };
            assert_ok(ap_bytes_add(&text, "aaaaa", lead, &err));
            while (text.size < 3000) assert_ok(ap_bytes_add_text(&text, characters[c], &err));
            ap_fail(&err, APIARY_IO, "%s", text.data);
            size_t length = strnlen(err.message, sizeof err.message);
            assert_true(length <= sizeof err.message - 1 && length > sizeof err.message - 6);
            assert_true(ap_utf8_valid(ap_str_from(err.message)));
            assert_memory_equal(err.message, text.data, length);
            ap_hint(&err, "%s", text.data);
            assert_true(strnlen(err.hint, sizeof err.hint) < sizeof err.hint);
            assert_true(ap_utf8_valid(ap_str_from(err.hint)));
        }
    }
}

static void test_hint_and_context(void **state)
{
    (void)state;
    struct apiary_error err;
    ap_fail(&err, APIARY_NOT_FOUND, "no frame %s", "f");
    assert_int_equal(ap_hint(&err, "did you mean %s?\n", "g"), APIARY_NOT_FOUND);
    assert_string_equal(err.hint, "did you mean g? ");
    assert_int_equal(ap_context(&err, APIARY_NOT_FOUND, "box %s", "b"), APIARY_NOT_FOUND);
    assert_string_equal(err.message, "box b: no frame f");
    assert_string_equal(err.hint, "did you mean g? ");
    assert_int_equal(err.code, APIARY_NOT_FOUND);

    /* A message may quote the one that stands there. */
    ap_fail(&err, APIARY_SQL, "line 1: %s", err.message);
    assert_string_equal(err.message, "line 1: box b: no frame f");
    assert_string_equal(err.hint, "");
    ap_error_clear(&err);
    assert_int_equal(err.code, APIARY_OK);
    assert_string_equal(err.message, "");

    assert_int_equal(ap_fail(NULL, APIARY_SQL, "%s", "x"), APIARY_SQL);
    assert_int_equal(ap_hint(NULL, "x"), APIARY_INTERNAL);
    assert_int_equal(ap_context(NULL, APIARY_SQL, "x"), APIARY_SQL);
    assert_int_equal(ap_fail_errno(NULL, ENOSPC, "x"), APIARY_FULL);
    ap_error_clear(NULL);
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int number;
        enum apiary_code code;
        const char *message;
    } rows[] = {
        { EIO, APIARY_IO, "writing x/1.json: Input/output error" },
        { EINVAL, APIARY_IO, "writing x/1.json: Invalid argument" },
        { ENOSPC, APIARY_FULL, "writing x/1.json: No space left on device" },
        { EDQUOT, APIARY_FULL, "writing x/1.json: Disk quota exceeded" },
        { EACCES, APIARY_DENIED, "writing x/1.json: Permission denied" },
        { EPERM, APIARY_DENIED, "writing x/1.json: Operation not permitted" },
        { EROFS, APIARY_DENIED, "writing x/1.json: Read-only file system" },
        { ENOENT, APIARY_NOT_FOUND, "writing x/1.json: No such file or directory" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err;
        assert_int_equal(
            ap_fail_errno(&err, rows[i].number, "writing %s/%d.json", "x", 1), rows[i].code);
        assert_string_equal(err.message, rows[i].message);
        assert_int_equal(err.code, rows[i].code);
    }
}

static enum apiary_code passes_up(enum apiary_code code, int *after)
{
    AP_TRY(code);
    *after = 1;
    return APIARY_OK;
}

static void test_macros(void **state)
{
    (void)state;
    int after = 0;
    assert_int_equal(passes_up(APIARY_BUSY, &after), APIARY_BUSY);
    assert_int_equal(after, 0);
    assert_int_equal(passes_up(APIARY_OK, &after), APIARY_OK);
    assert_int_equal(after, 1);
    struct ap_str view = AP_STR("abc");
    struct ap_str taken = AP_TAKE(view);
    assert_int_equal(taken.size, 3);
    assert_null(view.data);
    assert_int_equal(view.size, 0);
}

static void test_alloc(void **state)
{
    (void)state;
    struct apiary_error err;
    assert_null(ap_realloc(NULL, 0));
    char *text = ap_realloc(NULL, 4);
    assert_non_null(text);
    assert_null(ap_realloc(text, 0));
    assert_null(ap_calloc(SIZE_MAX / 2, 3));
    unsigned char *zeros = ap_calloc(7, 3);
    for (int i = 0; i < 21; i++) assert_int_equal(zeros[i], 0);
    ap_free(zeros);
    ap_free(NULL);
    text = ap_strndup("abcdef", 3);
    assert_string_equal(text, "abc");
    ap_free(text);
    assert_null(ap_strndup("x", SIZE_MAX));

    ap_alloc_fail_after(2);
    text = ap_strdup("first");
    assert_non_null(text);
    assert_int_equal(ap_alloc_fail_left(), 1);
    assert_null(ap_strdup("second"));
    assert_int_equal(ap_alloc_fail_left(), 0);
    ap_free(text);
    text = ap_strdup("third");
    assert_non_null(text);
    ap_free(text);

    int *items = NULL;
    size_t capacity = 0;
    for (size_t need = 0; need < 1000; need++) {
        assert_ok(AP_GROW(items, capacity, need + 1, &err));
        assert_true(capacity > need);
        items[need] = (int)need;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    size_t before = capacity;
    assert_code(AP_GROW(items, capacity, SIZE_MAX / 2, &err), APIARY_MEMORY);
    assert_code(AP_GROW(items, capacity, SIZE_MAX, &err), APIARY_MEMORY);
    ap_alloc_fail_after(1);
    assert_code(AP_GROW(items, capacity, capacity + 1, &err), APIARY_MEMORY);
    assert_int_equal(capacity, before);
    assert_int_equal(items[999], 999);
    ap_free(items);
    {
        AP_AUTO_FREE char *scoped = ap_strdup("freed at the brace");
        assert_non_null(scoped);
    }
    assert_code(ap_fail_memory(&err, "a plan"), APIARY_MEMORY);
    assert_string_equal(err.message, "out of memory for a plan");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes),
        cmocka_unit_test(test_one_line),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_hint_and_context),
        cmocka_unit_test(test_errno),
        cmocka_unit_test(test_macros),
        cmocka_unit_test(test_alloc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
