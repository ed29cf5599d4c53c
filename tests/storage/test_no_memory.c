/* Each allocation of each call fails once: the right code, nothing leaked, outputs untouched, and
 * the store as it was or as it should be. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "storage/slot.h"

struct call {
    const char *label;
    enum apiary_code (*run)(struct ap_store *store, struct apiary_error *err);
};

static enum apiary_code run_put(struct ap_store *store, struct apiary_error *err)
{
    return ap_store_put(store, "a/new", AP_STR("new"), err);
}

static enum apiary_code run_put_if_absent(struct ap_store *store, struct apiary_error *err)
{
    return ap_store_put_if_absent(store, "a/other", AP_STR("new"), err);
}

static enum apiary_code run_get(struct ap_store *store, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    enum apiary_code code = ap_store_get(store, "a/old", AP_RANGE_ALL, &body, NULL, err);
    if (code != APIARY_OK) assert_null(body.data);
    return code;
}

static enum apiary_code run_list(struct ap_store *store, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "", .delimited = true };
    enum apiary_code code = ap_store_list(store, &request, &list, err);
    if (code != APIARY_OK) assert_true(list.count == 0 && list.prefixes.count == 0);
    return code;
}

static enum apiary_code run_delete(struct ap_store *store, struct apiary_error *err)
{
    return ap_store_delete(store, "a/none", err);
}

static enum apiary_code run_open_read(struct ap_store *store, struct apiary_error *err)
{
    int fd = -1;
    enum apiary_code code = ap_store_open_read(store, "a/old", &fd, NULL, err);
    if (code == APIARY_OK)
        close(fd);
    else
        assert_int_equal(fd, -1);
    return code;
}

static enum apiary_code run_stage(struct ap_store *store, struct apiary_error *err)
{
    struct ap_stage *stage = NULL;
    enum apiary_code code = ap_store_stage(store, &stage, err);
    if (code == APIARY_OK) code = ap_stage_commit(stage, "b/staged", NULL, err);
    ap_stage_close(stage);
    return code;
}

static enum apiary_code run_settle(struct ap_store *store, struct apiary_error *err)
{
    enum ap_slot_outcome outcome = AP_SLOT_MINE;
    struct ap_slot_options options = { .deadline_mono_us = INT64_MAX };
    AP_AUTO(ap_bytes) theirs = { 0 };
    enum apiary_code code =
        ap_slot_settle(store, "a/old", AP_STR("mine"), &options, &outcome, &theirs, err);
    if (code == APIARY_OK) assert_int_equal(outcome, AP_SLOT_THEIRS);
    /* The slot is taken, but by whom could not be read. */
    return code == APIARY_UNCERTAIN ? APIARY_MEMORY : code;
}

static enum apiary_code run_open(struct ap_store *store, struct apiary_error *err)
{
    struct ap_store *other = NULL;
    enum apiary_code code = ap_store_open(ap_env_system(), store->uri, NULL, &other, err);
    if (code != APIARY_OK) assert_null(other);
    ap_store_close(other);
    return code;
}

static const struct call calls[] = {
    { "put", run_put },
    { "put_if_absent", run_put_if_absent },
    { "get", run_get },
    { "list", run_list },
    { "delete", run_delete },
    { "open_read", run_open_read },
    { "stage", run_stage },
    { "settle", run_settle },
    { "open", run_open },
};

static void every_allocation_fails_once(const char *uri)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    assert_ok(ap_store_open(ap_env_system(), uri, NULL, &store, &err));
    assert_ok(ap_store_put(store, "a/old", AP_STR("old"), &err));
    for (size_t i = 0; i < AP_COUNT(calls); i++) {
        enum apiary_code code = APIARY_MEMORY;
        long n = 1;
        for (; code != APIARY_OK && n < 200; n++) {
            ap_alloc_fail_after(n);
            code = calls[i].run(store, &err);
            ap_alloc_fail_after(0);
            if (code != APIARY_OK) assert_code_in(calls[i].label, code, APIARY_MEMORY);
        }
        assert_code_in(calls[i].label, code, APIARY_OK);
    }
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_get(store, "a/old", AP_RANGE_ALL, &body, NULL, &err));
    assert_string_equal(ap_bytes_text(&body), "old");
    ap_store_close(store);
}

static void in_memory(void **state)
{
    (void)state;
    every_allocation_fails_once("memory://");
}

static void on_disk(void **state)
{
    char folder[AP_TEST_PATH_MAX];
    (void)state;
    ap_test_folder(folder);
    every_allocation_fails_once(folder);
    ap_test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(in_memory), cmocka_unit_test(on_disk) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
