#include "apiary_test.h"

#include "core/env.h"
#include "core/id.h"

/* A world with a set clock and bytes that are known. */
struct fake {
    int64_t now_us;
    uint8_t byte;
};

static int64_t fake_now(void *world)
{
    return ((struct fake *)world)->now_us;
}

static void fake_random(void *world, void *out, size_t size)
{
    memset(out, ((struct fake *)world)->byte, size);
}

static const struct ap_env_ops fake_ops = { .now_us = fake_now, .random = fake_random };

static void test_texts(void **state)
{
    (void)state;
    struct fake fake = { .now_us = INT64_C(0x017F22E279B0) * 1000, .byte = 0xFF };
    struct ap_env env = { &fake_ops, &fake };
    char text[AP_UUID_TEXT_SIZE];
    ap_id_random(&env, text);
    assert_string_equal(text, "ffffffffffffffffffffffffffffffff");
    ap_uuid4(&env, text);
    assert_string_equal(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    fake.byte = 0;
    ap_uuid4(&env, text);
    assert_string_equal(text, "00000000-0000-4000-8000-000000000000");
    ap_uuid7(&env, text); /* the time of RFC 9562's example */
    assert_string_equal(text, "017f22e2-79b0-7000-8000-000000000000");
    fake.now_us += 999;
    ap_uuid7(&env, text);
    assert_string_equal(text, "017f22e2-79b0-7ffb-8000-000000000000");
    fake.now_us = -1;
    ap_uuid7(&env, text);
    assert_string_equal(text, "00000000-0000-7000-8000-000000000000");
}

static void test_order(void **state)
{
    (void)state;
    struct fake fake = { .now_us = INT64_C(1700000000000000), .byte = 0xA5 };
    struct ap_env env = { &fake_ops, &fake };
    char last[AP_UUID_TEXT_SIZE] = "", text[AP_UUID_TEXT_SIZE];
    for (int i = 0; i < 5000; i++) {
        ap_uuid7(&env, text);
        assert_true(strcmp(last, text) < 0);
        memcpy(last, text, sizeof last);
        fake.now_us++;
    }
}

static void test_valid(void **state)
{
    (void)state;
    char a[AP_ID_TEXT_SIZE], b[AP_ID_TEXT_SIZE];
    ap_id_random(ap_env_system(), a);
    ap_id_random(ap_env_system(), b);
    assert_true(ap_id_valid(ap_str_from(a)));
    assert_string_not_equal(a, b);
    static const char *const wrong[] = { "", "0123456789abcdef0123456789abcde",
        "0123456789abcdef0123456789abcdef0", "0123456789ABCDEF0123456789abcdef",
        "0123456789abcdeg0123456789abcdef", "../..6789abcdef0123456789abcdef." };
    for (size_t i = 0; i < AP_COUNT(wrong); i++) assert_false(ap_id_valid(ap_str_from(wrong[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_texts), cmocka_unit_test(test_order),
        cmocka_unit_test(test_valid) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
