#include "apiary_test.h"

#include <locale.h>
#include <math.h>

#include "core/alloc.h"
#include "core/arena.h"
#include "core/map.h"
#include "core/str.h"

static void test_views(void **state)
{
    (void)state;
    struct ap_str none = ap_str_from(NULL);
    assert_int_equal(none.size, 0);
    assert_non_null(none.data);
    assert_true(ap_str_equal(none, (struct ap_str) { NULL, 0 }));
    assert_true(ap_str_equal(AP_STR("a\0b"), (struct ap_str) { "a\0b", 3 }));
    assert_false(ap_str_equal(AP_STR("a\0b"), AP_STR("a\0c")));
    assert_true(ap_str_equal_nocase(AP_STR("aZ_9"), AP_STR("Az_9")));
    assert_false(ap_str_equal_nocase(AP_STR("a["), AP_STR("a{"))); /* only letters fold */
    assert_false(ap_str_equal_nocase(AP_STR("\xC3\x84"), AP_STR("\xC3\xA4")));
    assert_true(ap_str_is(AP_STR("x"), "x"));
    assert_false(ap_str_is(AP_STR("x\0"), "x"));
    assert_true(ap_str_starts_with(AP_STR("abc"), AP_STR("ab")));
    assert_true(ap_str_starts_with(AP_STR("abc"), none));
    assert_false(ap_str_starts_with(AP_STR("ab"), AP_STR("abc")));
    assert_true(ap_str_ends_with(AP_STR("abc"), AP_STR("bc")));
    assert_true(ap_str_ends_with(none, none));
    assert_false(ap_str_ends_with(AP_STR("bc"), AP_STR("abc")));
    assert_true(ap_str_is(ap_str_trim(AP_STR(" \t\r\n a b \v\f")), "a b"));
    assert_int_equal(ap_str_trim(AP_STR("   ")).size, 0);
    assert_int_equal(ap_str_find(AP_STR("abcabc"), AP_STR("ca")), 2);
    assert_int_equal(ap_str_find(AP_STR("abc"), none), 0);
    assert_true(ap_str_has_nocase(AP_STR("abCABc"), AP_STR("cab")));
    assert_false(ap_str_has_nocase(AP_STR("ca"), AP_STR("cab")));
    assert_true(ap_str_find(AP_STR("abc"), AP_STR("abcd")) == SIZE_MAX);
    assert_true(ap_str_find(AP_STR("abc"), AP_STR("x")) == SIZE_MAX);
}

static void test_compare(void **state)
{
    (void)state;
    static const struct ap_str sorted[] = { { "", 0 }, { "\0", 1 }, { "A", 1 }, { "a", 1 },
        { "a\0", 2 }, { "aa", 2 }, { "b", 1 }, { "\x7f", 1 }, { "\x80", 1 }, { "\xff", 1 } };
    for (int i = 0; i < (int)AP_COUNT(sorted); i++)
        for (int j = 0; j < (int)AP_COUNT(sorted); j++)
            assert_int_equal(ap_str_compare(sorted[i], sorted[j]), (i > j) - (i < j));
}

static void test_integers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool u64, i64;
        uint64_t unsigned_value;
        int64_t signed_value;
    } rows[] = {
        { "0", true, true, 0, 0 }, { "007", true, true, 7, 7 },
        { "9223372036854775807", true, true, INT64_MAX, INT64_MAX },
        { "9223372036854775808", true, false, (uint64_t)INT64_MAX + 1, 0 },
        { "18446744073709551615", true, false, UINT64_MAX, 0 },
        { "18446744073709551616", false, false, 0, 0 },
        { "99999999999999999999999", false, false, 0, 0 }, { "-1", false, true, 0, -1 },
        { "-0", false, true, 0, 0 }, { "-9223372036854775808", false, true, 0, INT64_MIN },
        { "-9223372036854775809", false, false, 0, 0 }, { "", false, false, 0, 0 },
        { "-", false, false, 0, 0 }, { "--1", false, false, 0, 0 }, { "+1", false, false, 0, 0 },
        { " 1", false, false, 0, 0 }, { "1 ", false, false, 0, 0 }, { "1.0", false, false, 0, 0 },
        { "0x10", false, false, 0, 0 }, { "1e3", false, false, 0, 0 },
        { "\xD9\xA1", false, false, 0, 0 }, /* a digit, but not of ours */
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        uint64_t u = 77;
        int64_t s = 77;
        assert_int_in(rows[i].text, ap_str_to_u64(ap_str_from(rows[i].text), &u), rows[i].u64);
        assert_true_in(rows[i].text, u == (rows[i].u64 ? rows[i].unsigned_value : 77));
        assert_int_in(rows[i].text, ap_str_to_i64(ap_str_from(rows[i].text), &s), rows[i].i64);
        assert_true_in(rows[i].text, s == (rows[i].i64 ? rows[i].signed_value : 77));
    }
    int64_t s = 77;
    assert_false(ap_str_to_i64(AP_STR("1\0"), &s));
}

static void check_doubles(void)
{
    static const struct {
        const char *text;
        bool ok;
        double value;
    } rows[] = {
        { "0", true, 0 },
        { "1.5", true, 1.5 },
        { "-1.5e3", true, -1500 },
        { "+2", true, 2 },
        { ".5", true, .5 },
        { "5.", true, 5 },
        { "1E+2", true, 100 },
        { "1e-2", true, 0.01 },
        { "0.1", true, 0.1 },
        { "1.7976931348623157e308", true, 1.7976931348623157e308 },
        { "4.9e-324", true, 4.9e-324 },
        { "1e-400", true, 0 },
        { "1e309", false, 0 },
        { "-1e309", false, 0 },
        { "", false, 0 },
        { ".", false, 0 },
        { "1,5", false, 0 },
        { "e5", false, 0 },
        { "1e", false, 0 },
        { "1e+", false, 0 },
        { "0x1p3", false, 0 },
        { " 1", false, 0 },
        { "1 ", false, 0 },
        { "1.2.3", false, 0 },
        { "inf", true, (double)INFINITY },
        { "-Infinity", true, -(double)INFINITY },
        { "infin", false, 0 },
        { "nan(1)", false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        double value = 77;
        assert_int_in(
            rows[i].text, ap_str_to_double(ap_str_from(rows[i].text), &value), rows[i].ok);
        assert_true_in(rows[i].text, value == (rows[i].ok ? rows[i].value : 77));
    }
    double value = 0;
    assert_true(ap_str_to_double(AP_STR("NaN"), &value) && isnan(value));
}

static void test_doubles(void **state)
{
    (void)state;
    check_doubles();
    /* Where the machine has a locale whose point is a comma, nothing changes. */
    locale_t comma = newlocale(LC_ALL_MASK, "de_DE.UTF-8", (locale_t)0);
    if (comma) {
        locale_t before = uselocale(comma);
        check_doubles();
        uselocale(before);
        freelocale(comma);
    }
    double value;
    char digits[1300];
    memset(digits, '1', sizeof digits);
    assert_false(ap_str_to_double((struct ap_str) { digits, sizeof digits }, &value));
    digits[1] = '.';
    assert_true(ap_str_to_double((struct ap_str) { digits, 1200 }, &value));
    assert_true(value == 1.1111111111111112);
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *label, *text;
        bool valid;
    } rows[] = {
        { "empty", "", true },
        { "ASCII", "abc\x7f", true },
        { "two bytes", "\xC2\x80\xDF\xBF", true },
        { "three bytes", "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", true },
        { "four bytes", "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", true },
        { "lone tail", "\x80", false },
        { "overlong slash", "\xC0\xAF", false },
        { "overlong in three", "\xE0\x9F\xBF", false },
        { "overlong in four", "\xF0\x8F\xBF\xBF", false },
        { "surrogate", "\xED\xA0\x80", false },
        { "beyond the last", "\xF4\x90\x80\x80", false },
        { "five bytes", "\xF8\x88\x80\x80\x80", false },
        { "cut", "\xE2\x82", false },
        { "head, then ASCII", "\xC3(", false },
        { "FE", "\xFE", false },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++)
        assert_int_in(rows[i].label, ap_utf8_valid(ap_str_from(rows[i].text)), rows[i].valid);
}

static enum apiary_code build_bytes(struct ap_bytes *out, struct apiary_error *err)
{
    ap_bytes_clear(out);
    AP_TRY(ap_bytes_add_text(out, "abc", err));
    AP_TRY(ap_bytes_add(out, "\0x", 2, err));
    AP_TRY(ap_bytes_printf(out, err, "%d-%s", 42,
        "a long enough text to make the buffer grow over its first size of 64"));
    return ap_bytes_add_str(out, AP_STR("end"), err);
}

static void test_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *line;
    } rows[] = { { "", "" }, { " \n\t ", "" }, { "  a\n  b\x01\x7f c ", "a b c" }, { "0123456789", "0123456789" },
        { "0123456789a", "0123456789" }, { "012345678\xc3\xa4", "012345678" }, { "01234567\xc3\xa4x", "01234567\xc3\xa4" },
        { "012345678 9", "012345678" }, { "ab\xff" "cd", "ab" } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char line[11];
        ap_str_line(ap_str_from(rows[i].text), line, sizeof line);
        assert_string_equal(line, rows[i].line);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_bytes bytes = { 0 };
    assert_string_equal(ap_bytes_text(&bytes), "");
    assert_int_equal(ap_bytes_view(&bytes).size, 0);
    ap_bytes_clear(&bytes);
    assert_ok(ap_bytes_add(&bytes, NULL, 0, &err));
    assert_string_equal(bytes.data, "");
    ap_bytes_done(&bytes);
    assert_memory_failures(build_bytes(&bytes, &err),
        bytes.size == 0 || bytes.data[bytes.size] == 0, ap_bytes_done(&bytes));
    assert_int_equal(bytes.size, 3 + 2 + 3 + 68 + 3);
    assert_int_equal(bytes.data[bytes.size], 0);
    assert_memory_equal(bytes.data, "abc\0x42-a long", 14);
    assert_code(ap_bytes_reserve(&bytes, SIZE_MAX, &err), APIARY_MEMORY);
    assert_code(ap_bytes_reserve(&bytes, SIZE_MAX - bytes.size - 1, &err), APIARY_MEMORY);
    char *text = NULL;
    assert_ok(ap_bytes_take_text(&bytes, &text, &err));
    assert_string_equal(text, "abc");
    assert_null(bytes.data);
    ap_free(text);
    text = NULL;
    assert_ok(ap_bytes_take_text(&bytes, &text, &err));
    assert_string_equal(text, "");
    ap_free(text);
    for (int i = 0; i < 10000; i++) assert_ok(ap_bytes_add(&bytes, "0123456789", 10, &err));
    assert_int_equal(bytes.size, 100000);
    assert_true(bytes.capacity < 200000);
    ap_bytes_done(&bytes);
    ap_bytes_done(&bytes);
}

static enum apiary_code build_texts(struct ap_texts *out, struct apiary_error *err)
{
    for (int i = 0; i < 12; i++) AP_TRY(ap_texts_printf(out, err, "%d", 11 - i));
    return ap_texts_add(out, AP_STR("x"), err);
}

static void test_texts(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_texts texts = { 0 };
    assert_memory_failures(build_texts(&texts, &err), texts.count < 13, ap_texts_done(&texts));
    assert_int_equal(texts.count, 13);
    assert_int_equal(ap_texts_find(&texts, AP_STR("10")), 1);
    assert_true(ap_texts_find(&texts, AP_STR("")) == SIZE_MAX);
    ap_texts_sort(&texts);
    static const char *const sorted[] = { "0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8",
        "9", "x" };
    for (size_t i = 0; i < AP_COUNT(sorted); i++) assert_string_equal(texts.items[i], sorted[i]);
    ap_texts_done(&texts);
    ap_texts_sort(&texts);
    ap_texts_done(&texts);
}

static void test_arena(void **state)
{
    (void)state;
    struct ap_arena arena = { 0 };
    unsigned char *blocks[500];
    for (size_t i = 0; i < AP_COUNT(blocks); i++) {
        size_t size = i * 37 % 9000;
        blocks[i] = ap_arena_alloc(&arena, size);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        for (size_t j = 0; j < size; j++) assert_int_equal(blocks[i][j], 0);
        memset(blocks[i], (int)i, size);
    }
    for (size_t i = 0; i < AP_COUNT(blocks); i++)
        for (size_t j = 0; j < i * 37 % 9000; j++) assert_int_equal(blocks[i][j], (unsigned char)i);
    assert_non_null(ap_arena_alloc(&arena, 5 << 20));
    assert_true(arena.bytes_total > 5 << 20);
    assert_null(ap_arena_alloc(&arena, SIZE_MAX));
    assert_null(ap_arena_alloc(&arena, SIZE_MAX / 2));
    assert_string_equal(ap_arena_dup(&arena, AP_STR("abc")), "abc");
    assert_null(ap_arena_dup(&arena, (struct ap_str) { "", SIZE_MAX }));
    bool ok = true;
    assert_true(ap_str_is(ap_arena_str(&arena, AP_STR("xyz"), &ok), "xyz") && ok);
    assert_int_equal(ap_arena_str(&arena, (struct ap_str) { NULL, 0 }, &ok).size, 0);
    assert_true(ok);
    ap_arena_done(&arena);
    assert_null(arena.head);
    ap_alloc_fail_after(1);
    assert_int_equal(ap_arena_str(&arena, AP_STR("xyz"), &ok).size, 0);
    assert_false(ok);
    ap_arena_done(&arena);
}

static struct ap_str number_key(char buffer[32], unsigned i)
{
    snprintf(buffer, 32, "key/%u", i);
    return ap_str_from(buffer);
}

static void test_map(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_map) map = { 0 };
    char key[32];
    uint64_t value = 5;
    assert_false(ap_map_get(&map, AP_STR("x"), &value));
    assert_false(ap_map_remove(&map, AP_STR("x")));
    for (unsigned i = 0; i < 5000; i++) assert_ok(ap_map_put(&map, number_key(key, i), i, &err));
    for (unsigned i = 0; i < 5000; i += 2) assert_true(ap_map_remove(&map, number_key(key, i)));
    for (unsigned i = 1; i < 5000; i += 4)
        assert_ok(ap_map_put(&map, number_key(key, i), i * 10, &err));
    for (unsigned i = 0; i < 5000; i++) {
        bool found = ap_map_get(&map, number_key(key, i), &value);
        assert_int_equal(found, i % 2);
        if (found) assert_int_equal(value, i % 4 == 1 ? i * 10 : i);
        assert_int_equal(ap_map_has(&map, number_key(key, i)), found);
    }
    assert_int_equal(map.used, 2500);
    /* The empty key is a key; NUL is a byte. */
    assert_ok(ap_map_put(&map, AP_STR(""), 1, &err));
    assert_ok(ap_map_put(&map, AP_STR("a\0b"), 2, &err));
    assert_false(ap_map_has(&map, AP_STR("a")));
    assert_true(ap_map_get(&map, AP_STR(""), &value) && value == 1);
    /* Adding and removing for ever does not grow the table. */
    for (unsigned i = 0; i < 200000; i++) {
        assert_ok(ap_map_put(&map, number_key(key, 10000 + i), i, &err));
        assert_true(ap_map_remove(&map, number_key(key, 10000 + i)));
    }
    assert_true(map.slot_count <= 16384);
}

static enum apiary_code build_map(struct ap_map *map, struct apiary_error *err)
{
    char key[32];
    for (unsigned i = 0; i < 30; i++) AP_TRY(ap_map_put(map, number_key(key, i), i, err));
    return APIARY_OK;
}

static void test_map_memory(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_map map = { 0 };
    assert_memory_failures(build_map(&map, &err), map.used < 30, ap_map_done(&map));
    assert_int_equal(map.used, 30);
    ap_map_done(&map);

    struct ap_map borrowing = { .borrow_keys = true };
    static const char *const keys[] = { "a", "b", "c" };
    for (unsigned i = 0; i < 3; i++)
        assert_ok(ap_map_put(&borrowing, ap_str_from(keys[i]), i, &err));
    assert_true(ap_map_remove(&borrowing, AP_STR("b")));
    assert_true(ap_map_has(&borrowing, AP_STR("c")));
    ap_map_done(&borrowing);
    assert_true(borrowing.borrow_keys);
}

static void test_hash(void **state)
{
    (void)state;
    /* Length, seed and every bit count. */
    assert_true(ap_hash_bytes("", 0, 0) != ap_hash_bytes("\0", 1, 0));
    assert_true(ap_hash_bytes("a", 1, 0) != ap_hash_bytes("a\0", 2, 0));
    assert_true(ap_hash_bytes("a", 1, 0) != ap_hash_bytes("a", 1, 1));
    unsigned char data[21] = { 0 };
    uint64_t zero = ap_hash_bytes(data, sizeof data, 0);
    for (size_t bit = 0; bit < sizeof data * 8; bit++) {
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
        assert_true(ap_hash_bytes(data, sizeof data, 0) != zero);
        data[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_doubles),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_map),
        cmocka_unit_test(test_map_memory),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
