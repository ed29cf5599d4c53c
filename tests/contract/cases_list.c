/* Lists: order, prefix, start, levels, limits, times; and a comparison with a naive list. */
#include "contract/contract.h"

static const char *const sample[] = { "a-b", "a.json", "a/1", "a/10", "a/2", "a/b/x", "a/b/y", "a0",
    "b", "c/_log/0", "c/_log/1", "c/d=1/x", "c/d=2/x" };

static void put_sample(struct ap_store *store)
{
    for (size_t i = 0; i < AP_COUNT(sample); i++)
        contract_put(store, sample[AP_COUNT(sample) - 1 - i], "x");
}

/* Objects, then "| prefixes", then "+" when there is more. */
static void render(const struct ap_list *list, struct ap_bytes *out)
{
    struct apiary_error err;
    ap_bytes_clear(out);
    assert_ok(ap_bytes_add_text(out, "", &err));
    for (size_t i = 0; i < list->count; i++)
        assert_ok(ap_bytes_printf(out, &err, "%s%s", i ? " " : "", list->objects[i].key));
    if (list->prefixes.count) assert_ok(ap_bytes_add_text(out, " |", &err));
    for (size_t i = 0; i < list->prefixes.count; i++)
        assert_ok(ap_bytes_printf(out, &err, " %s", list->prefixes.items[i]));
    if (list->more) assert_ok(ap_bytes_add_text(out, " +", &err));
}

static void the_table(struct contract *contract)
{
    static const struct {
        const char *label;
        struct ap_list_request request;
        const char *wanted;
    } cases[] = {
        { "all", { "" },
            "a-b a.json a/1 a/10 a/2 a/b/x a/b/y a0 b c/_log/0 c/_log/1 c/d=1/x c/d=2/x" },
        { "folder", { "a/" }, "a/1 a/10 a/2 a/b/x a/b/y" },
        { "cut name", { "a/1" }, "a/1 a/10" },
        { "cut above", { "a" }, "a-b a.json a/1 a/10 a/2 a/b/x a/b/y a0" },
        { "nothing", { "zz" }, "" },
        { "nothing below", { "a/b/x/" }, "" },
        { "nowhere", { "x/y/z" }, "" },
        { "a whole key", { "b" }, "b" },
        { "after a key", { "", "a/2" }, "a/b/x a/b/y a0 b c/_log/0 c/_log/1 c/d=1/x c/d=2/x" },
        { "after no key", { "", "a/1x" },
            "a/2 a/b/x a/b/y a0 b c/_log/0 c/_log/1 c/d=1/x c/d=2/x" },
        { "after a folder", { "", "a/" },
            "a/1 a/10 a/2 a/b/x a/b/y a0 b c/_log/0 c/_log/1 c/d=1/x c/d=2/x" },
        { "after in prefix", { "c/_log/", "c/_log/0" }, "c/_log/1" },
        { "after behind prefix", { "a/", "b" }, "" },
        { "after before prefix", { "c/d", "a" }, "c/d=1/x c/d=2/x" },
        { "after the last", { "", "c/d=2/x" }, "" },
        { "limit", { "", NULL, false, 3 }, "a-b a.json a/1 +" },
        { "limit that fits", { "a/", NULL, false, 5 }, "a/1 a/10 a/2 a/b/x a/b/y" },
        { "limit after", { "a/", "a/10", false, 2 }, "a/2 a/b/x +" },
        { "level", { "", NULL, true }, "a-b a.json a0 b | a/ c/" },
        { "level in folder", { "a/", NULL, true }, "a/1 a/10 a/2 | a/b/" },
        { "level in partitions", { "c/", NULL, true }, " | c/_log/ c/d=1/ c/d=2/" },
        { "level, cut name", { "c/d", NULL, true }, " | c/d=1/ c/d=2/" },
        { "level, without slash", { "a", NULL, true }, "a-b a.json a0 | a/" },
        { "level after", { "", "a.json", true }, "a0 b | a/ c/" },
        { "level after a prefix", { "", "a/", true }, "a0 b | c/" },
        { "level after what it holds", { "", "a/b/x", true }, "a0 b | c/" },
        { "level limit", { "", NULL, true, 3 }, "a-b a.json | a/ +" },
        { "level limit 2", { "c/", NULL, true, 2 }, " | c/_log/ c/d=1/ +" },
    };
    struct apiary_error err;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    assert_ok(ap_store_list(contract->store, &cases[0].request, &list, &err));
    assert_int_equal(list.count, 0); /* before anything was written */
    put_sample(contract->store);
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        assert_code_in(cases[i].label,
            ap_store_list(contract->store, &cases[i].request, &list, &err), APIARY_OK);
        render(&list, &text);
        assert_string_in(cases[i].label, ap_bytes_text(&text), cases[i].wanted);
    }
}

static void bad_prefixes_are_refused(struct contract *contract)
{
    static const char *const prefixes[] = { "/", "/a", "../", "a/../b", "a//b", "./a", "a\\b/" };
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    for (size_t i = 0; i < AP_COUNT(prefixes); i++) {
        struct ap_list_request request = { .prefix = prefixes[i] };
        assert_code_in(
            prefixes[i], ap_store_list(contract->store, &request, &list, &err), APIARY_INVALID);
    }
}

static void what_is_said_of_objects(struct contract *contract)
{
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object object;
    struct ap_list_request request = { .prefix = "w/" };
    contract_put(contract->store, "w/1", "12345");
    contract_put(contract->store, "w/2", "");
    assert_ok(ap_store_list(contract->store, &request, &list, &err));
    assert_int_equal(list.count, 2);
    assert_int_equal(list.objects[0].size, 5);
    assert_int_equal(list.objects[1].size, 0);
    assert_ok(ap_store_get(contract->store, "w/1", AP_RANGE_ALL, &body, &object, &err));
    assert_string_equal(list.objects[0].etag, object.etag);
    /* A list may be finer than the answer to a get, which is a header with seconds. */
    int64_t finer_us = list.objects[0].modified_us - object.modified_us;
    assert_true(contract->store->is_local ? finer_us == 0 : finer_us >= 0 && finer_us < 1000000);
    /* One clock for both, give or take the tick of file times. */
    int64_t age_us = list.now_us - object.modified_us;
    assert_true(age_us > -2000000 && age_us < 60 * (int64_t)1000000);
}

/* ---- against a naive list ---- */

enum { KEYS = 120, ROUNDS = 400 };

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void random_key(uint64_t *state, char out[32])
{
    static const char letters[] = "ab-.0=_";
    size_t size = 0;
    int parts = 1 + (int)(next(state) % 3);
    for (int part = 0; part < parts; part++) {
        if (part) out[size++] = '/';
        int length = 1 + (int)(next(state) % 3);
        for (int i = 0; i < length; i++) {
            char c = letters[next(state) % (sizeof letters - 1)];
            out[size++] = i == 0 && c == '.' ? 'x' : c;
        }
    }
    out[size] = 0;
}

static void naive(
    char (*keys)[32], size_t count, const struct ap_list_request *request, struct ap_list *out)
{
    struct apiary_error err;
    size_t prefix_size = strlen(request->prefix);
    for (size_t i = 0; i < count; i++) {
        const char *key = keys[i];
        if (strncmp(key, request->prefix, prefix_size) != 0) continue;
        if (request->start_after && strcmp(key, request->start_after) <= 0) continue;
        const char *slash = request->delimited ? strchr(key + prefix_size, '/') : NULL;
        struct ap_str common = { key, slash ? (size_t)(slash - key) + 1 : 0 };
        if (slash && ap_texts_find(&out->prefixes, common) != SIZE_MAX) continue;
        if (slash && request->start_after &&
            ap_str_compare(common, ap_str_from(request->start_after)) <= 0)
            continue;
        if (request->limit && out->count + out->prefixes.count == request->limit) {
            out->more = true;
            return;
        }
        struct ap_object object = { 0 };
        if (slash)
            assert_ok(ap_texts_add(&out->prefixes, common, &err));
        else
            assert_ok(ap_list_add(out, key, &object, &err));
    }
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Is the key a path of one of the others, or the other way round? */
static bool clashes(char (*keys)[32], size_t count, const char *key)
{
    size_t size = strlen(key);
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(keys[i]), least = size < other ? size : other;
        if (strncmp(keys[i], key, least) == 0 && (other > size ? keys[i][size] : key[other]) == '/') return true;
    }
    return false;
}

static void equals_a_naive_list(struct contract *contract)
{
    struct apiary_error err;
    static char keys[KEYS][32];
    size_t count = 0;
    uint64_t seed = ap_test_seed(7), state = seed;
    for (int i = 0; i < KEYS; i++) {
        random_key(&state, keys[count]);
        if (contract->backend->clashes_are_lost && clashes(keys, count, keys[count])) continue;
        enum apiary_code code =
            ap_store_put_if_absent(contract->store, keys[count], AP_STR("x"), &err);
        if (code == APIARY_OK)
            count++;
        else if (code != APIARY_CONFLICT)
            assert_code_in(keys[count], code, APIARY_INVALID);
    }
    qsort(keys, count, sizeof keys[0], compare_keys);
    for (int round = 0; round < ROUNDS; round++) {
        AP_AUTO(ap_list) got = { 0 }, wanted = { 0 };
        AP_AUTO(ap_bytes) got_text = { 0 }, wanted_text = { 0 };
        char prefix[32], after[32], label[160];
        strcpy(prefix, keys[next(&state) % count]);
        prefix[next(&state) % (strlen(prefix) + 1)] = 0;
        if (next(&state) % 3 == 0) prefix[0] = 0;
        strcpy(after, keys[next(&state) % count]);
        if (next(&state) % 2) after[1 + next(&state) % strlen(after)] = 0;
        struct ap_list_request request = { .prefix = prefix,
            .start_after = next(&state) % 2 ? after : NULL,
            .delimited = next(&state) % 2,
            .limit = next(&state) % 2 ? next(&state) % 12 : 0 };
        bool deep = request.start_after && strncmp(after, prefix, strlen(prefix)) == 0 &&
                    strchr(after + strlen(prefix), '/') != NULL;
        if (contract->backend->deep_starts_lose && deep) request.start_after = NULL;
        snprintf(label, sizeof label, "seed %llu: prefix '%s' after '%s' delimited %d limit %zu",
            (unsigned long long)seed, prefix, request.start_after ? after : "", request.delimited,
            request.limit);
        assert_code_in(label, ap_store_list(contract->store, &request, &got, &err), APIARY_OK);
        naive(keys, count, &request, &wanted);
        render(&got, &got_text);
        render(&wanted, &wanted_text);
        assert_string_in(label, ap_bytes_text(&got_text), ap_bytes_text(&wanted_text));
    }
}

const struct contract_case contract_list_cases[] = {
    { "lists", the_table },
    { "bad prefixes are refused", bad_prefixes_are_refused },
    { "what is said of objects", what_is_said_of_objects },
    { "equals a naive list", equals_a_naive_list },
    { NULL, NULL },
};
