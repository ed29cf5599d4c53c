#include "query/answers.h"

#include "apiary_test.h"
#include "core/alloc.h"

static bool remembered(struct ap_answers *answers, const char *about, const char *wanted)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) out = { 0 };
    bool found = false;
    assert_ok(ap_answers_find(answers, "tree", ap_str_from(about), &found, &out, &err));
    if (found) assert_string_equal(ap_bytes_text(&out), wanted);
    return found;
}

static void the_last_ones_are_remembered(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_answers *answers = NULL;
    char about[32];
    bool found = true;
    AP_AUTO(ap_bytes) out = { 0 };
    assert_ok(ap_answers_new(ap_env_system(), &answers, &err));
    assert_false(remembered(answers, "1", "one"));
    ap_answers_keep(answers, "tree", AP_STR("1"), AP_STR("one"));
    assert_true(remembered(answers, "1", "one"));
    assert_ok(ap_answers_find(answers, "text", AP_STR("1"), &found, &out, &err)); /* another question */
    assert_false(found);
    for (int i = 2; i <= 64; i++) {
        snprintf(about, sizeof about, "%d", i);
        ap_answers_keep(answers, "tree", ap_str_from(about), ap_str_from(about));
    }
    assert_true(remembered(answers, "1", "one")); /* used last of all */
    ap_answers_keep(answers, "tree", AP_STR("65"), AP_STR("65"));
    assert_false(remembered(answers, "2", "2"));
    assert_true(remembered(answers, "1", "one"));
    assert_true(remembered(answers, "65", "65"));
    ap_answers_free(answers);
}

static void what_is_large_is_not_remembered(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_answers *answers = NULL;
    AP_AUTO(ap_bytes) large = { 0 };
    for (int i = 0; i < 1 << 13; i++) assert_ok(ap_bytes_add_text(&large, "12345678", &err));
    assert_ok(ap_answers_new(ap_env_system(), &answers, &err));
    ap_answers_keep(answers, "tree", AP_STR("1"), ap_bytes_view(&large));
    assert_false(remembered(answers, "1", ""));
    ap_answers_keep(answers, "tree", ap_bytes_view(&large), AP_STR("1"));
    assert_false(remembered(answers, ap_bytes_text(&large), "1"));
    ap_answers_keep(NULL, "tree", AP_STR("1"), AP_STR("1"));
    assert_false(remembered(NULL, "1", "1"));
    ap_answers_free(answers);
}

static void short_memory_is_no_failure(void **state)
{
    for (long n = 1; n < 4; n++) {
        struct apiary_error err = { 0 };
        struct ap_answers *answers = NULL;
        assert_ok(ap_answers_new(ap_env_system(), &answers, &err));
        ap_alloc_fail_after(n);
        ap_answers_keep(answers, "tree", AP_STR("1"), AP_STR("one"));
        ap_alloc_fail_after(0);
        assert_false(remembered(answers, "1", "one"));
        ap_answers_free(answers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_ones_are_remembered),
        cmocka_unit_test(what_is_large_is_not_remembered),
        cmocka_unit_test(short_memory_is_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
