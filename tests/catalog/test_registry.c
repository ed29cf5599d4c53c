/* Slots of the registry: what is read, what is refused, and that what is written reads back. */
#include "catalog/registry.h"
#include "core/alloc.h"

#include "apiary_test.h"

#define HEAD                                                                                       \
    "{\"format\":1,\"kind\":\"hive\",\"txnId\":\"0123456789abcdef0123456789abcdef\",\"base\":\"\""
#define BOX "{\"id\":\"b0000000000000000000000000000000\",\"name\":\"main\",\"createdUs\":1}"
#define BOXES ",\"boxes\":[" BOX "]"
#define FRAME(more)                                                                                \
    "{\"kind\":\"frame\",\"box\":\"b0000000000000000000000000000000\",\"id\":"                     \
    "\"f0000000000000000000000000000000\","                                                        \
    "\"createdUs\":1," more "}"
#define SLOT(entries) HEAD BOXES ",\"entries\":[" entries "]}"

static const struct {
    const char *label, *body;
    enum apiary_code code;
    const char *says; /* part of the message */
} slots[] = {
    { "one frame", SLOT(FRAME("\"name\":\"t\",\"location\":\"main/main/t\"")), APIARY_OK, "" },
    { "unknown members are passed over",
        SLOT(FRAME("\"name\":\"t\",\"x\":[1],\"location\":\"main/main/t\"")), APIARY_OK, "" },
    { "external", SLOT(FRAME("\"name\":\"t\",\"external\":true,\"location\":\"s3://b/t\"")),
        APIARY_OK, "" },
    { "empty", "", APIARY_CORRUPT, "k.json" },
    { "cut", HEAD, APIARY_CORRUPT, "k.json" },
    { "no object", "[]", APIARY_CORRUPT, "format" },
    { "another format", "{\"format\":2,\"kind\":\"hive\"}", APIARY_UNSUPPORTED,
        "k.json has format 2" },
    { "format as text", "{\"format\":\"1\"}", APIARY_CORRUPT, "format" },
    { "another kind", "{\"format\":1,\"kind\":\"hives\"}", APIARY_CORRUPT, "kind" },
    { "no transaction", "{\"format\":1,\"kind\":\"hive\",\"txnId\":\"x\"}", APIARY_CORRUPT,
        "transaction" },
    { "no lists", HEAD "}", APIARY_CORRUPT, "boxes" },
    { "two boxes of a name",
        HEAD ",\"boxes\":[" BOX ",{\"id\":\"c0000000000000000000000000000000\",\"name\":\"MAIN\","
                                "\"createdUs\":1}],\"entries\":[]}",
        APIARY_CORRUPT, "MAIN" },
    { "an id twice",
        HEAD ",\"boxes\":[" BOX ",{\"id\":\"b0000000000000000000000000000000\",\"name\":\"x\","
                                "\"createdUs\":1}],\"entries\":[]}",
        APIARY_CORRUPT, "id" },
    { "name with dots", SLOT(FRAME("\"name\":\"..\",\"location\":\"main/main/t\"")), APIARY_CORRUPT,
        "k.json" },
    { "name with a slash", SLOT(FRAME("\"name\":\"a/b\",\"location\":\"main/main/t\"")),
        APIARY_CORRUPT, "a/b" },
    { "name with NUL", SLOT(FRAME("\"name\":\"a\\u0000\",\"location\":\"main/main/t\"")),
        APIARY_CORRUPT, "name" },
    { "no location", SLOT(FRAME("\"name\":\"t\"")), APIARY_CORRUPT, "location" },
    { "location upwards", SLOT(FRAME("\"name\":\"t\",\"location\":\"main/../../etc\"")),
        APIARY_CORRUPT, "'..'" },
    { "location in our folders", SLOT(FRAME("\"name\":\"t\",\"location\":\"_registry/hives\"")),
        APIARY_CORRUPT, "_registry" },
    { "location with a password",
        SLOT(FRAME("\"name\":\"t\",\"external\":true,\"location\":\"s3://k:secret@b/t\"")),
        APIARY_CORRUPT, "password" },
    { "box that is not there",
        HEAD
        ",\"boxes\":[],\"entries\":[" FRAME("\"name\":\"t\",\"location\":\"main/main/t\"") "]}",
        APIARY_CORRUPT, "box" },
    { "unknown kind",
        SLOT("{\"kind\":\"index\",\"id\":\"f0000000000000000000000000000000\",\"name\":\"i\","
             "\"createdUs\":1}"),
        APIARY_CORRUPT, "kind" },
    { "view without a query",
        SLOT("{\"kind\":\"view\",\"box\":\"b0000000000000000000000000000000\",\"id\":"
             "\"f0000000000000000000000000000000\","
             "\"createdUs\":1,\"name\":\"v\"}"),
        APIARY_CORRUPT, "view" },
    { "negative time", SLOT(FRAME("\"name\":\"t\",\"location\":\"a/b\",\"droppedUs\":-5")),
        APIARY_CORRUPT, "time" },
};

static void test_parse(void **state)
{
    for (size_t i = 0; i < AP_COUNT(slots); i++) {
        struct apiary_error err = { 0 };
        struct ap_registry *registry = NULL;
        enum apiary_code code = ap_registry_parse(
            ap_str_from(slots[i].body), "k.json", AP_REGISTRY_HIVE, 3, &registry, &err);
        assert_code_in(slots[i].label, code, slots[i].code);
        assert_true_in(slots[i].label, code == APIARY_OK || err.code == (int)code);
        assert_true_in(slots[i].label, (code == APIARY_OK) == (registry != NULL));
        if (!strstr(err.message, slots[i].says))
            fail_msg("%s: '%s' does not say '%s'", slots[i].label, err.message, slots[i].says);
        if (strstr(err.message, "secret"))
            fail_msg("%s: the message repeats a secret", slots[i].label);
        ap_registry_drop(registry);
    }
}

static struct ap_registry *sample(void)
{
    struct apiary_error err = { 0 };
    struct ap_registry *registry = NULL;
    assert_ok(ap_registry_initial(AP_REGISTRY_HIVE, AP_REGISTRY_FIRST_ID, &registry, &err));
    registry->txn = "00112233445566778899aabbccddeeff";
    registry->base = "ffeeddccbbaa99887766554433221100";
    const struct ap_thing things[] = {
        { .kind = AP_THING_FRAME,
            .id = "f0000000000000000000000000000001",
            .box = AP_REGISTRY_FIRST_ID,
            .name = "Trips",
            .location = "main/main/trips",
            .created_us = 7 },
        { .kind = AP_THING_VIEW,
            .id = "f0000000000000000000000000000002",
            .box = AP_REGISTRY_FIRST_ID,
            .name = "v",
            .sql = "SELECT \"a\\b\"\n\xC3\xA9",
            .columns = "[\"x\"]",
            .created_us = 8 },
        { .kind = AP_THING_FRAME,
            .id = "f0000000000000000000000000000003",
            .box = AP_REGISTRY_FIRST_ID,
            .name = "trips",
            .location = "/data/t",
            .external = true,
            .created_us = 9,
            .dropped_us = 10 },
    };
    for (size_t i = 0; i < AP_COUNT(things); i++)
        assert_ok(ap_registry_add(registry, &things[i], &err));
    return registry;
}

static void test_round_trip(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO_REGISTRY *made = sample(), *read = NULL, *copy = NULL;
    AP_AUTO(ap_bytes) first = { 0 };
    AP_AUTO(ap_bytes) second = { 0 };
    assert_ok(ap_registry_write(made, &first, &err));
    assert_ok(ap_registry_parse(ap_bytes_view(&first), "k", AP_REGISTRY_HIVE, 5, &read, &err));
    assert_int_equal(read->version, 5);
    const struct ap_thing *trips =
        ap_registry_find(read, AP_THING_FRAME, AP_REGISTRY_FIRST_ID, "TRIPS");
    assert_non_null(trips);
    assert_string_equal(trips->name, "Trips");
    const struct ap_thing *view = ap_registry_find(read, AP_THING_FRAME, AP_REGISTRY_FIRST_ID, "V");
    assert_non_null(view);
    assert_string_equal(view->sql, "SELECT \"a\\b\"\n\xC3\xA9");
    assert_ok(ap_registry_dup(read, &copy, &err));
    assert_ok(ap_registry_write(copy, &second, &err));
    assert_string_equal(ap_bytes_text(&first), ap_bytes_text(&second));
}

/* Each allocation fails in turn: MEMORY, nothing leaks (the sanitizer sees), nothing is told. */
static void test_no_memory(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO_REGISTRY *made = sample();
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_registry_write(made, &body, &err));
    for (long n = 1;; n++) {
        struct ap_registry *read = NULL;
        ap_alloc_fail_after(n);
        enum apiary_code code =
            ap_registry_parse(ap_bytes_view(&body), "k", AP_REGISTRY_HIVE, 5, &read, &err);
        ap_alloc_fail_after(0);
        if (code == APIARY_OK) {
            ap_registry_drop(read);
            assert_true(n > 3);
            return;
        }
        if (code != APIARY_MEMORY || read)
            fail_msg("allocation %ld: code %d %s", n, code, err.message);
    }
}

static const struct {
    const char *label, *location;
    bool external;
    enum apiary_code code;
    const char *normal;
} locations[] = {
    { "inside", "main/main/t", false, APIARY_OK, "main/main/t" },
    { "double and trailing slashes", "main//main/t/", false, APIARY_OK, "main/main/t" },
    { "nothing", "", false, APIARY_INVALID, "" },
    { "only slashes", "//", false, APIARY_INVALID, "" },
    { "dots inside", "a/./b", false, APIARY_INVALID, "" },
    { "dot file", "a/.tmp/b", false, APIARY_INVALID, "" },
    { "backslash", "a\\b", false, APIARY_INVALID, "" },
    { "control", "a\nb", false, APIARY_INVALID, "" },
    { "ours", "_swarm", false, APIARY_INVALID, "" },
    { "only begins like ours", "_swarm2/x", false, APIARY_OK, "_swarm2/x" },
    { "path", "/data//x/", true, APIARY_OK, "/data/x" },
    { "path upwards", "/data/../x", true, APIARY_INVALID, "" },
    { "relative", "data/x", true, APIARY_INVALID, "" },
    { "s3", "s3://bucket/a//b/", true, APIARY_OK, "s3://bucket/a/b" },
    { "file", "file:///data/x", true, APIARY_OK, "file:///data/x" },
    { "signed", "https://b/x?sig=abc", true, APIARY_INVALID, "" },
    { "container", "abfss://c@account/x", true, APIARY_OK, "abfss://c@account/x" },
    { "no scheme", "://x", true, APIARY_INVALID, "" },
    { "no UTF-8", "/data/\xFF", true, APIARY_INVALID, "" },
};

static void test_locations(void **state)
{
    for (size_t i = 0; i < AP_COUNT(locations); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) normal = { 0 };
        assert_code_in(locations[i].label,
            ap_location_normalise(
                ap_str_from(locations[i].location), locations[i].external, &normal, &err),
            locations[i].code);
        assert_string_in(locations[i].label, ap_bytes_text(&normal), locations[i].normal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_locations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
