/* Roots: what users type and what it means. */
#include "apiary_test.h"

#include "storage/store.h"

#include <limits.h>

static char folder[PATH_MAX];

static int set_up(void **state)
{
    char made[AP_TEST_PATH_MAX], path[PATH_MAX + 40];
    (void)state;
    ap_test_folder(made);
    assert_non_null(realpath(made, folder));
    snprintf(path, sizeof path, "%s/real", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/real/deep", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(path, sizeof path, "%s/link", folder);
    assert_int_equal(symlink("real/deep", path), 0);
    assert_int_equal(setenv("HOME", folder, 1), 0);
    return chdir(folder);
}

static int tear_down(void **state)
{
    (void)state;
    ap_test_folder_remove(folder);
    return 0;
}

/* Puts the folder where the text has '$'. */
static void expand(const char *text, char out[2 * PATH_MAX])
{
    size_t before = strcspn(text, "$");
    snprintf(out, 2 * PATH_MAX, "%.*s%s%s", (int)before, text, text[before] ? folder : "",
        text[before] ? text + before + 1 : "");
}

static void canonical(void **state)
{
    /* $ is the folder, which is also HOME and the current directory. */
    static const struct {
        const char *uri, *wanted;
    } cases[] = {
        { "$/real", "local://$/real" },
        { "$//real/./", "local://$/real" },
        { "$/new/and/more", "local://$/new/and/more" },
        { "$/new/../x", "local://$/x" },
        { "$/link", "local://$/real/deep" },
        { "$/link/..", "local://$/real" }, /* as the kernel goes, not as the text looks */
        { "$/link/new", "local://$/real/deep/new" },
        { "real", "local://$/real" },
        { "./real/", "local://$/real" },
        { "data", "local://$/data" },
        { "~", "local://$" },
        { "~/data", "local://$/data" },
        { "~x", "local://$/~x" },
        { "local://$/real", "local://$/real" },
        { "local://data", "local://$/data" },
        { "local://~/data", "local://$/data" },
        { "LOCAL://$", "local://$" },
        { "file://$/real", "local://$/real" },
        { "file://localhost$/real", "local://$/real" },
        { "file://$/a%20b", "local://$/a b" },
        { "$/a%20b", "local://$/a%20b" },
        { "/", "local:///" },
        { "/..", "local:///" },
        { "memory://", "memory://" },
        { "memory://x", "memory://x" },
        { "a:b", "local://$/a:b" },
    };
    struct apiary_error err;
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        AP_AUTO(ap_bytes) got = { 0 }, again = { 0 };
        char uri[2 * PATH_MAX], wanted[2 * PATH_MAX];
        expand(cases[i].uri, uri);
        expand(cases[i].wanted, wanted);
        assert_code_in(uri, ap_store_canonical(uri, &got, &err), APIARY_OK);
        assert_string_in(uri, ap_bytes_text(&got), wanted);
        assert_code_in(uri, ap_store_canonical(ap_bytes_text(&got), &again, &err), APIARY_OK);
        assert_string_in(uri, ap_bytes_text(&again), wanted);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *uri;
        enum apiary_code code;
        const char *says, *never_says;
    } cases[] = {
        { "", APIARY_INVALID, "empty", NULL },
        { "ftp://user:secret@host/x", APIARY_UNSUPPORTED, "ftp://", "secret" },
        { "file://host/x", APIARY_INVALID, "absolute path of this machine", NULL },
        { "file://relative", APIARY_INVALID, "absolute", NULL },
        { "file:///a%2", APIARY_INVALID, "escape", NULL },
        { "file:///a%zz", APIARY_INVALID, "escape", NULL },
        { "file:///a%00b", APIARY_INVALID, "escape", NULL },
        { "s3://key:secret@bucket/x", APIARY_INVALID, "credentials never stand", NULL },
        { "memory://a/b", APIARY_INVALID, "plain name", NULL },
        { "memory://a b", APIARY_INVALID, "plain name", NULL },
    };
    struct apiary_error err;
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        AP_AUTO(ap_bytes) got = { 0 };
        struct ap_store *store = NULL;
        assert_code_in(cases[i].uri, ap_store_canonical(cases[i].uri, &got, &err), cases[i].code);
        assert_code_in(cases[i].uri,
            ap_store_open(ap_env_system(), cases[i].uri, NULL, &store, &err), cases[i].code);
        assert_true_in(cases[i].uri, strstr(err.message, cases[i].says));
        if (cases[i].never_says)
            assert_true_in(cases[i].uri, !strstr(err.message, cases[i].never_says));
        assert_null(store);
        assert_null(got.data);
    }
}

static void opening_creates_nothing(void **state)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    (void)state;
    assert_ok(ap_store_open(ap_env_system(), "fresh/root", NULL, &store, &err));
    assert_ok(ap_store_list(store, &request, &list, &err));
    assert_int_equal(list.count, 0);
    assert_true(list.now_us > 0);
    assert_ok(ap_store_delete(store, "x", &err));
    assert_int_equal(access("fresh", F_OK), -1);
    assert_ok(ap_store_put(store, "x", AP_STR("x"), &err));
    assert_int_equal(access("fresh/root/x", F_OK), 0);
    ap_store_close(store);
    ap_store_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical),
        cmocka_unit_test(refused),
        cmocka_unit_test(opening_creates_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
