/* Objects: writing, reading, ranges, keys, deletion, descriptors, staging. */
#include "contract/contract.h"

#include <errno.h>
#include <fcntl.h>

void contract_put(struct ap_store *store, const char *key, const char *text)
{
    struct apiary_error err;
    assert_code_in(key, ap_store_put(store, key, ap_str_from(text), &err), APIARY_OK);
}

void contract_expect(struct ap_store *store, const char *key, const char *text)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    assert_code_in(key, ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &err), APIARY_OK);
    assert_string_in(key, ap_bytes_text(&body), text);
    assert_int_in(key, body.size, strlen(text));
}

static void bodies_come_back(struct contract *contract)
{
    static const size_t sizes[] = { 0, 1, 4096, 1 << 20 };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(sizes); i++) {
        AP_AUTO(ap_bytes) sent = { 0 }, got = { 0 };
        struct ap_object object;
        char key[40];
        snprintf(key, sizeof key, "bodies/of/%zu", sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) {
            char c = (char)(at * 31 + (at >> 8));
            assert_ok(ap_bytes_add(&sent, &c, 1, &err));
        }
        assert_ok(ap_store_put(contract->store, key, ap_bytes_view(&sent), &err));
        assert_ok(ap_store_get(contract->store, key, AP_RANGE_ALL, &got, &object, &err));
        assert_true_in(key, ap_str_equal(ap_bytes_view(&sent), ap_bytes_view(&got)));
        assert_int_in(key, object.size, sizes[i]);
        assert_true_in(key, object.etag[0] != 0);
    }
}

static void put_overwrites(struct contract *contract)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object first, second;
    contract_put(contract->store, "a/b", "one");
    assert_ok(ap_store_get(contract->store, "a/b", AP_RANGE_ALL, &body, &first, &err));
    contract_put(contract->store, "a/b", "another");
    contract_expect(contract->store, "a/b", "another");
    assert_ok(ap_store_get(contract->store, "a/b", AP_RANGE_ALL, &body, &second, &err));
    assert_string_not_equal(first.etag, second.etag);
    assert_int_equal(second.size, 7);
}

static void the_first_stays(struct contract *contract)
{
    struct apiary_error err;
    struct ap_store *other = contract->backend->again(contract);
    assert_ok(ap_store_put_if_absent(contract->store, "log/1", AP_STR("mine"), &err));
    assert_code(
        ap_store_put_if_absent(contract->store, "log/1", AP_STR("again"), &err), APIARY_CONFLICT);
    assert_code(ap_store_put_if_absent(other, "log/1", AP_STR("theirs"), &err), APIARY_CONFLICT);
    contract_expect(other, "log/1", "mine");
    assert_ok(ap_store_put_if_absent(other, "log/2", AP_STR(""), &err));
    assert_code(
        ap_store_put_if_absent(contract->store, "log/2", AP_STR("x"), &err), APIARY_CONFLICT);
    contract_expect(contract->store, "log/2", "");
    /* What was deleted can be made again. */
    assert_ok(ap_store_delete(contract->store, "log/1", &err));
    assert_ok(ap_store_put_if_absent(other, "log/1", AP_STR("theirs"), &err));
    contract_expect(contract->store, "log/1", "theirs");
    contract->backend->close(contract, other);
}

static void missing_is_not_found(struct contract *contract)
{
    static const char *const keys[] = { "x", "x/y", "a", "a/b", "a/b/c/d", "a/b/c " };
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < AP_COUNT(keys); i++) {
            int fd = -1;
            assert_code_in(keys[i],
                ap_store_get(contract->store, keys[i], AP_RANGE_ALL, &body, NULL, &err),
                APIARY_NOT_FOUND);
            assert_code_in(keys[i], ap_store_open_read(contract->store, keys[i], &fd, NULL, &err),
                contract->store->is_local ? APIARY_NOT_FOUND : APIARY_UNSUPPORTED);
            assert_int_in(keys[i], fd, -1);
        }
        contract_put(
            contract->store, "a/b/c", "now there is something"); /* a folder is no object */
    }
}

static void ranges_are_clipped(struct contract *contract)
{
    static const struct {
        const char *label;
        struct ap_range range;
        const char *wanted;
    } cases[] = {
        { "all", { 0, UINT64_MAX, false }, "0123456789" },
        { "the middle", { 3, 4, false }, "3456" },
        { "to the end", { 7, UINT64_MAX, false }, "789" },
        { "over the end", { 8, 100, false }, "89" },
        { "at the end", { 10, 5, false }, "" },
        { "behind the end", { 11, UINT64_MAX, false }, "" },
        { "far behind", { UINT64_MAX, UINT64_MAX, false }, "" },
        { "nothing", { 4, 0, false }, "" },
        { "suffix", { 0, 3, true }, "789" },
        { "suffix ignores offset", { 5, 2, true }, "89" },
        { "suffix larger than all", { 0, 99, true }, "0123456789" },
        { "suffix of nothing", { 0, 0, true }, "" },
    };
    struct apiary_error err;
    contract_put(contract->store, "r", "0123456789");
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        AP_AUTO(ap_bytes) body = { 0 };
        struct ap_object object;
        assert_code_in(cases[i].label,
            ap_store_get(contract->store, "r", cases[i].range, &body, &object, &err), APIARY_OK);
        assert_string_in(cases[i].label, ap_bytes_text(&body), cases[i].wanted);
        assert_int_in(cases[i].label, object.size, 10);
    }
}

static void many_have_answers_of_their_own(struct contract *contract)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object object;
    contract_put(contract->store, "m/a", "alpha");
    contract_put(contract->store, "m/b", "beta");
    assert_ok(ap_store_get(contract->store, "m/a", AP_RANGE_ALL, &body, &object, &err));
    struct ap_get gets[] = {
        { .key = "m/a", .range = AP_RANGE_ALL, .if_etag = object.etag },
        { .key = "m/none", .range = AP_RANGE_ALL },
        { .key = "m//b", .range = AP_RANGE_ALL },
        { .key = "m/b", .range = { 1, 2, false } },
        { .key = "m/b", .range = AP_RANGE_ALL, .if_etag = object.etag },
        { .key = "m/b", .range = AP_RANGE_ALL, .size_max = 3 },
        { .key = "m/b", .range = AP_RANGE_ALL, .size_max = 4 },
    };
    static const enum apiary_code codes[] = { APIARY_OK, APIARY_NOT_FOUND, APIARY_INVALID,
        APIARY_OK, APIARY_CONFLICT, APIARY_LIMIT, APIARY_OK };
    static const char *const texts[] = { "alpha", "", "", "et", "", "", "beta" };
    for (int round = 0; round < 2; round++) { /* the second time frees the first answers */
        ap_store_get_many(contract->store, gets, AP_COUNT(gets));
        for (size_t i = 0; i < AP_COUNT(gets); i++) {
            assert_int_in(gets[i].key, gets[i].code, codes[i]);
            assert_string_in(gets[i].key, ap_bytes_text(&gets[i].body), texts[i]);
            if (codes[i] != APIARY_OK) assert_true_in(gets[i].key, gets[i].error.message[0] != 0);
        }
    }
    for (size_t i = 0; i < AP_COUNT(gets); i++) ap_get_done(&gets[i]);
}

static void deleting_nothing_is_success(struct contract *contract)
{
    static const char *const keys[] = { "d/1", "d/none", "d/x/2" };
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    assert_ok(ap_store_delete(contract->store, "d/1", &err));
    contract_put(contract->store, "d/1", "1");
    contract_put(contract->store, "d/x/2", "2");
    contract_put(contract->store, "d/3", "3");
    assert_ok(ap_store_delete(contract->store, "d/x", &err)); /* a folder is no object */
    contract_expect(contract->store, "d/x/2", "2");
    assert_ok(ap_store_delete_many(contract->store, keys, AP_COUNT(keys), &err));
    assert_ok(ap_store_delete_many(contract->store, NULL, 0, &err));
    assert_ok(ap_store_list(contract->store, &request, &list, &err));
    assert_int_equal(list.count, 1);
    assert_string_equal(list.objects[0].key, "d/3");
}

static void bad_keys_are_refused(struct contract *contract)
{
    static const char *const keys[] = { "", "/", "/a", "a/", "a//b", ".", "..", "a/./b", "a/../b",
        "../a", "a/..", "a\\b" };
    static const char *const kept[] = { ".a", "a/.b", ".tmp/x", "a/.b/c" };
    char long_key[AP_KEY_MAX + 2];
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_store *store = contract->store;
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = 0;
    for (size_t i = 0; i <= AP_COUNT(keys); i++) {
        const char *key = i < AP_COUNT(keys) ? keys[i] : long_key;
        int fd;
        assert_code_in(key, ap_store_put(store, key, AP_STR("x"), &err), APIARY_INVALID);
        assert_code_in(key, ap_store_put_if_absent(store, key, AP_STR("x"), &err), APIARY_INVALID);
        assert_code_in(
            key, ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &err), APIARY_INVALID);
        assert_code_in(key, ap_store_delete(store, key, &err), APIARY_INVALID);
        assert_code_in(key, ap_store_open_read(store, key, &fd, NULL, &err), APIARY_INVALID);
    }
    for (size_t i = 0; i < AP_COUNT(kept); i++) {
        assert_code_in(kept[i], ap_store_put(store, kept[i], AP_STR("x"), &err), APIARY_INVALID);
        assert_code_in(
            kept[i], ap_store_put_if_absent(store, kept[i], AP_STR("x"), &err), APIARY_INVALID);
        assert_code_in(kept[i], ap_store_delete(store, kept[i], &err), APIARY_INVALID);
        assert_code_in(kept[i], ap_store_get(store, kept[i], AP_RANGE_ALL, &body, NULL, &err),
            APIARY_NOT_FOUND);
    }
    long_key[200] = 0; /* what fits every file system's names */
    contract_put(store, long_key, "long");
    contract_expect(store, long_key, "long");
    contract_put(store, "odd names/ä ö=%20+*?.x", "odd");
    contract_expect(store, "odd names/ä ö=%20+*?.x", "odd");
}

static void no_key_is_a_path_of_another(struct contract *contract)
{
    struct apiary_error err;
    if (contract->backend->paths_may_clash) return;
    contract_put(contract->store, "p/a", "file");
    assert_code(ap_store_put(contract->store, "p/a/b", AP_STR("x"), &err), APIARY_INVALID);
    assert_code(
        ap_store_put_if_absent(contract->store, "p/a/b/c", AP_STR("x"), &err), APIARY_INVALID);
    contract_put(contract->store, "q/a/b", "file");
    assert_code(ap_store_put(contract->store, "q/a", AP_STR("x"), &err), APIARY_INVALID);
    assert_code(ap_store_put_if_absent(contract->store, "q", AP_STR("x"), &err), APIARY_INVALID);
    contract_put(contract->store, "q/a-b", "beside");
    contract_put(contract->store, "q/a.b", "beside");
    /* An empty folder that is left over stands in nobody's way. */
    assert_ok(ap_store_delete(contract->store, "q/a/b", &err));
    contract_put(contract->store, "q/a", "now a file");
    contract_expect(contract->store, "q/a", "now a file");
    assert_ok(ap_store_delete(contract->store, "p/a", &err));
    assert_ok(ap_store_put_if_absent(contract->store, "p/a/b", AP_STR("now a folder"), &err));
}

static void descriptors_read_in_place(struct contract *contract)
{
    struct apiary_error err;
    struct ap_object object;
    char text[16] = "";
    int fd = -1;
    contract_put(contract->store, "cells/c.parquet", "PAR1...PAR1");
    enum apiary_code code =
        ap_store_open_read(contract->store, "cells/c.parquet", &fd, &object, &err);
    if (!contract->store->is_local) {
        assert_code(code, APIARY_UNSUPPORTED);
        return;
    }
    assert_code(code, APIARY_OK);
    assert_int_equal(object.size, 11);
    assert_int_equal(read(fd, text, sizeof text), 11);
    assert_string_equal(text, "PAR1...PAR1");
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(write(fd, "x", 1), -1);
    /* What is open stays whole when the object is replaced or deleted. */
    contract_put(contract->store, "cells/c.parquet", "other");
    assert_ok(ap_store_delete(contract->store, "cells/c.parquet", &err));
    assert_int_equal(pread(fd, text, sizeof text, 4), 7);
    close(fd);
}

static void stages_appear_at_once_and_whole(struct contract *contract)
{
    struct apiary_error err;
    struct ap_stage *stage = NULL, *second = NULL, *dropped = NULL;
    struct ap_object object;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    struct ap_store *store = contract->store;
    assert_ok(ap_store_stage(store, &stage, &err));
    assert_ok(ap_store_stage(store, &second, &err));
    assert_ok(ap_store_stage(store, &dropped, &err));
    assert_true(fcntl(stage->fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(stage->fd, "half ", 5), 5);
    assert_int_equal(write(second->fd, "second", 6), 6);
    assert_ok(ap_store_list(store, &request, &list, &err));
    assert_int_equal(list.count, 0);
    assert_int_equal(write(stage->fd, "whole", 5), 5);
    assert_ok(ap_stage_commit(stage, "f/p=1/cell", &object, &err));
    assert_int_equal(object.size, 10);
    contract_expect(store, "f/p=1/cell", "half whole");
    assert_code(ap_stage_commit(second, "f/p=1/cell", &object, &err), APIARY_CONFLICT);
    assert_code(ap_stage_commit(second, "f/.hidden", &object, &err), APIARY_INVALID);
    assert_ok(ap_stage_commit(second, "f/p=2/cell", &object, &err));
    ap_stage_close(stage);
    ap_stage_close(second);
    ap_stage_close(dropped);
    ap_stage_close(NULL);
    contract_expect(store, "f/p=1/cell", "half whole");
    contract_expect(store, "f/p=2/cell", "second");
    assert_ok(ap_store_list(store, &request, &list, &err));
    assert_int_equal(list.count, 2);
    int fd = -1;
    if (!store->is_local) return;
    assert_ok(ap_store_open_read(store, "f/p=2/cell", &fd, NULL, &err));
    assert_int_equal(write(fd, "x", 1), -1);
    close(fd);
}

static void requests_are_counted(struct contract *contract)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "n" };
    struct ap_store *store = contract->store;
    contract_put(store, "n/1", "12345");
    assert_ok(ap_store_put_if_absent(store, "n/2", AP_STR("123"), &err));
    assert_ok(ap_store_get(store, "n/1", AP_RANGE_ALL, &body, NULL, &err));
    assert_ok(ap_store_get(store, "n/1", (struct ap_range) { 1, 2, false }, &body, NULL, &err));
    assert_ok(ap_store_list(store, &request, &list, &err));
    assert_ok(ap_store_delete(store, "n/1", &err));
    assert_int_equal(store->counts.puts, 1);
    assert_int_equal(store->counts.puts_if_absent, 1);
    assert_int_equal(store->counts.gets, 1);
    assert_int_equal(store->counts.ranges, 1);
    assert_int_equal(store->counts.lists, 1);
    assert_int_equal(store->counts.deletes, 1);
    assert_int_equal(store->counts.bytes_out, 8);
    assert_int_equal(store->counts.bytes_in, 7);
}

const struct contract_case contract_object_cases[] = {
    { "bodies come back", bodies_come_back },
    { "put overwrites", put_overwrites },
    { "the first stays", the_first_stays },
    { "missing is not found", missing_is_not_found },
    { "ranges are clipped", ranges_are_clipped },
    { "many have answers of their own", many_have_answers_of_their_own },
    { "deleting nothing is success", deleting_nothing_is_success },
    { "bad keys are refused", bad_keys_are_refused },
    { "no key is a path of another", no_key_is_a_path_of_another },
    { "descriptors read in place", descriptors_read_in_place },
    { "stages appear at once and whole", stages_appear_at_once_and_whole },
    { "requests are counted", requests_are_counted },
    { NULL, NULL },
};
