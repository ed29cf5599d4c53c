/* URLs of files of web servers: their names, and what of them is shown. What servers do is in tests/cli/web.py. */
#include "apiary_test.h"

#include "storage/web.h"

static const struct {
    const char *url, *uri, *key, *shown;
} names[] = {
    { "https://h/a/b.csv", "https://h/a", "b.csv", "https://h/a/b.csv" },
    { "http://h:81/b.csv", "http://h:81", "b.csv", "http://h:81/b.csv" },
    { "HTTPS://h/b%20c.csv#x", "HTTPS://h", "b%20c.csv", "HTTPS://h/b%20c.csv" },
    { "https://u:p%40@h/a/b.csv?t=1/2", "https://h/a#", "b.csv", "https://h/a/b.csv" },
    { "https://u@x@h/b.csv", "https://h#", "b.csv", "https://h/b.csv" },
    { "https://h/a?b=/c.csv", "https://h#", "a", "https://h/a" },
};

static void test_names(void **state)
{
    (void)state;
    struct apiary_error err;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        AP_AUTO(ap_bytes) uri = { 0 }, key = { 0 }, shown = { 0 };
        struct ap_str url = ap_str_from(names[i].url);
        assert_true(ap_web_is(url));
        assert_ok(ap_web_name(url, &uri, &key, &err));
        assert_ok(ap_web_shown(url, &shown, &err));
        size_t size = strlen(names[i].uri);
        bool marked = names[i].uri[size - 1] == '#';
        if (marked) assert_int_equal(uri.size, size + 8);
        if (marked) uri.data[size] = 0;
        assert_string_equal(uri.data, names[i].uri);
        assert_string_equal(ap_bytes_text(&key), names[i].key);
        assert_string_equal(ap_bytes_text(&shown), names[i].shown);
    }
    assert_false(ap_web_is(AP_STR("s3://b/x")));
    assert_false(ap_web_is(AP_STR("/http/x")));
}

static void test_two_urls_are_two_stores(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) one = { 0 }, two = { 0 }, key = { 0 };
    assert_ok(ap_web_name(AP_STR("https://h/x.csv?t=1"), &one, &key, &err));
    ap_bytes_clear(&key);
    assert_ok(ap_web_name(AP_STR("https://h/x.csv?t=2"), &two, &key, &err));
    assert_string_not_equal(ap_bytes_text(&one), ap_bytes_text(&two));
}

static void test_bad_urls(void **state)
{
    static const char *const bad[] = { "https://", "https:///x.csv", "https://h", "https://h/",
        "https://h/a/", "https://h?x.csv", "https://h/a b.csv", "https://h/a\r\nX: y", "https://u:p@/x",
        "https://h/a/..", "https://h/a\\b", "https://u:p/q@h/x", "https://u:p?q@h/x", "https://u:p#q@h/x" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct apiary_error err;
        AP_AUTO(ap_bytes) uri = { 0 }, key = { 0 };
        assert_code_in(bad[i], ap_web_name(ap_str_from(bad[i]), &uri, &key, &err), APIARY_INVALID);
        assert_null(strstr(err.message, "u:p"));
    }
}

static void test_redact(void **state)
{
    static const struct {
        const char *text, *redacted;
    } cases[] = {
        { "nothing here", "nothing here" },
        { "FROM 'https://u:p@h/x.csv?t=1' WHERE a?b", "FROM 'https://h/x.csv' WHERE a?b" },
        { "cannot read https://h/a#0123abcd/x.csv: HTTP 403", "cannot read https://h/a/x.csv: HTTP 403" },
        { "https://h/x#top and HTTP://u@h", "https://h/x#top and HTTP://h" },
        { "s3://b/x?endpoint=http://u:p@h:1", "s3://b/x?endpoint=http://h:1" },
        { "https://a@b@c/?q", "https://c/" },
        { "http://", "http://" },
        { "ftp://u:p@h/x?y", "ftp://u:p@h/x?y" },
        { "https://u:p", "https://u:p" }, /* no '@': a host and its port */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[200];
        snprintf(text, sizeof text, "%s", cases[i].text);
        ap_web_redact(text);
        assert_string_equal(text, cases[i].redacted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_two_urls_are_two_stores),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_redact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
