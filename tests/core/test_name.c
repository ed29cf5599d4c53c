#include "apiary_test.h"

#include "core/name.h"

/* The rule, said a second time. */
static bool may_stand(int byte, bool first)
{
    if (byte >= 'a' && byte <= 'z') return true;
    if (byte >= 'A' && byte <= 'Z') return true;
    if (byte >= '0' && byte <= '9') return true;
    return byte == '_' || (byte == '-' && !first);
}

static void test_every_byte(void **state)
{
    (void)state;
    struct apiary_error err;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < 3; at++) {
            char name[] = "xyz";
            name[at] = (char)byte;
            for (int kind = AP_NAME_HIVE; kind <= AP_NAME_FRAME; kind++) {
                enum apiary_code code =
                    ap_name_check((enum ap_name_kind)kind, (struct ap_str) { name, 3 }, &err);
                if (code != (may_stand(byte, at == 0) ? APIARY_OK : APIARY_INVALID))
                    fail_msg("byte %d at %zu gives %d", byte, at, (int)code);
            }
        }
    }
}

static void test_messages(void **state)
{
    (void)state;
    char longest[AP_NAME_MAX + 2];
    memset(longest, 'n', sizeof longest);
    longest[AP_NAME_MAX + 1] = 0;
    struct apiary_error err;
    assert_ok(ap_name_check(AP_NAME_FRAME, (struct ap_str) { longest, AP_NAME_MAX }, &err));
    assert_code(ap_name_check(AP_NAME_FRAME, ap_str_from(longest), &err), APIARY_INVALID);
    assert_non_null(strstr(err.message, "129 characters, more than 128"));
    assert_true(*err.hint);

    static const struct {
        enum ap_name_kind kind;
        const char *name, *wanted; /* NULL: a good name */
    } rows[] = {
        { AP_NAME_FRAME, "flights", NULL },
        { AP_NAME_FRAME, "2024-01", NULL },
        { AP_NAME_FRAME, "_", NULL },
        { AP_NAME_FRAME, "", "the frame name is empty" },
        { AP_NAME_FRAME, "a.b", "frame name 'a.b' has '.' at position 2" },
        { AP_NAME_FRAME, "..", "frame name '..' has '.' at position 1" },
        { AP_NAME_FRAME, "a/b", "frame name 'a/b' has '/' at position 2" },
        { AP_NAME_FRAME, "-a", "frame name '-a' has '-' at position 1" },
        { AP_NAME_BOX, "my box", "box name 'my box' has a space at position 3" },
        { AP_NAME_BOX, "a\nb", "box name 'a b' has byte 0x0A at position 2" },
        { AP_NAME_HIVE, "Z\xC3\xBCrich", "hive name 'Z\xC3\xBCrich' has byte 0xC3 at position 2" },
        { AP_NAME_HIVE, "temp", "hive name 'temp' is reserved" },
        { AP_NAME_HIVE, "System", "hive name 'System' is reserved" },
        { AP_NAME_HIVE, "memory", "hive name 'memory' is reserved" },
        { AP_NAME_HIVE, "APIARY", "hive name 'APIARY' is reserved" },
        { AP_NAME_HIVE, "temps", NULL },
        { AP_NAME_HIVE, "information_schema", NULL },
        { AP_NAME_BOX, "information_schema", "box name 'information_schema' is reserved" },
        { AP_NAME_BOX, "PG_catalog", "box name 'PG_catalog' is reserved" },
        { AP_NAME_BOX, "temp", NULL },
        { AP_NAME_FRAME, "temp", NULL },
        { AP_NAME_FRAME, "pg_catalog", NULL },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        enum apiary_code wanted = rows[i].wanted ? APIARY_INVALID : APIARY_OK;
        assert_code_in(
            rows[i].name, ap_name_check(rows[i].kind, ap_str_from(rows[i].name), &err), wanted);
        if (rows[i].wanted) assert_string_in(rows[i].name, err.message, rows[i].wanted);
    }
    assert_int_equal(ap_name_check(AP_NAME_BOX, AP_STR("a\0b"), NULL), APIARY_INVALID);
}

static void test_fold(void **state)
{
    (void)state;
    char out[AP_NAME_MAX + 1];
    ap_name_fold(AP_STR("Flights-2024_ABCxyz"), out);
    assert_string_equal(out, "flights-2024_abcxyz");
    assert_string_equal(ap_name_kind_text(AP_NAME_HIVE), "hive");
    assert_string_equal(ap_name_kind_text(AP_NAME_BOX), "box");
    assert_string_equal(ap_name_kind_text(AP_NAME_FRAME), "frame");
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = { "memory_limit", "storage", "bees", "log", "log_format",
        "fsync", "history" };
    static const struct {
        const char *word, *wanted;
    } rows[] = {
        { "memory_limit", "memory_limit" },
        { "memory_limt", "memory_limit" },
        { "memroy_limit", "memory_limit" },
        { "MEMORY-LIMIT", "memory_limit" },
        { "bee", "bees" },
        { "beees", "bees" },
        { "ebes", "bees" },
        { "lgo", "log" },
        { "lug", "log" },
        { "logformat", "log_format" },
        { "fsnyc", "fsync" },
        { "storge", "storage" },
        { "l", NULL },
        { "", NULL },
        { "threads", NULL },
        { "memory", NULL },
        { "xyz", NULL },
        { "histroy", "history" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        const char *near = ap_nearest(ap_str_from(rows[i].word), names, AP_COUNT(names));
        assert_string_in(
            rows[i].word, near ? near : "(none)", rows[i].wanted ? rows[i].wanted : "(none)");
    }
    assert_null(ap_nearest(AP_STR("bees"), names, 0));
    char word[200];
    memset(word, 'a', sizeof word);
    const char *const same[] = { "aaa" };
    assert_null(ap_nearest((struct ap_str) { word, sizeof word }, same, 1));
    word[199] = 0;
    const char *const longer[] = { word };
    assert_null(ap_nearest(AP_STR("aaa"), longer, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_fold),
        cmocka_unit_test(test_nearest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
