/* How the registry's slots are read and settled: freshness, requests, lost replies, races, removal.
 */
#include "fake.h"

#include "apiary_test.h"

#include "core/alloc.h"

#define HOUR_US INT64_C(3600000000)

static struct ap_catalog *catalog_new(struct fake *fake)
{
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = NULL;
    assert_ok(ap_catalog_open(&fake->env, &fake->store, NULL, &catalog, &err));
    return catalog;
}

static enum apiary_code box_new(
    struct ap_catalog *catalog, const char *name, struct apiary_error *err)
{
    bool created = false;
    return ap_catalog_create_box(catalog, "main", name, false, &created, err);
}

static uint64_t requests(const struct fake *fake)
{
    const struct ap_store_counts *counts = &fake->store.counts;
    return counts->puts + counts->puts_if_absent + counts->gets + counts->lists + counts->deletes;
}

/* Two catalogues on one store. */
struct pair {
    struct fake fake;
    struct ap_catalog *mine, *other;
};

static int setup(void **state)
{
    struct pair *pair = calloc(1, sizeof *pair);
    fake_open(&pair->fake);
    pair->mine = catalog_new(&pair->fake);
    pair->other = catalog_new(&pair->fake);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    struct pair *pair = *state;
    ap_catalog_close(pair->mine);
    ap_catalog_close(pair->other);
    fake_close(&pair->fake);
    free(pair);
    return 0;
}

static void test_freshness(void **state)
{
    struct pair *pair = *state;
    struct fake *fake = &pair->fake;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "a", &err));
    uint64_t before = requests(fake), lists = fake->store.counts.lists;
    assert_ok(ap_catalog_refresh(pair->mine, "main", &err));
    assert_int_equal(requests(fake) - before, 1); /* a GET for the hive; it vouches for its name */
    int64_t since = fake->mono_us;
    fake->mono_us += 10;
    assert_ok(ap_catalog_refresh_since(pair->mine, "main", since, &err));
    before = requests(fake);
    assert_ok(ap_catalog_refresh_since(pair->mine, "main", since, &err));
    assert_int_equal(requests(fake), before);
    assert_int_equal(fake->store.counts.lists, lists);
    fake->mono_us += HOUR_US + 1;
    assert_ok(ap_catalog_refresh(pair->mine, "main", &err));
    assert_int_equal(fake->store.counts.lists, lists + 2);
    lists = fake->store.counts.lists;
    for (int i = 0; i < 40; i++) { /* far ahead: caught up with by LIST, not by 40 GETs */
        char name[16];
        snprintf(name, sizeof name, "b%d", i);
        assert_ok(box_new(pair->other, name, &err));
    }
    uint64_t gets = fake->store.counts.gets;
    assert_ok(ap_catalog_refresh(pair->mine, "main", &err));
    assert_true(fake->store.counts.gets - gets < 15);
    assert_true(ap_catalog_has_box(pair->mine, "main", "b39"));
}

static void test_reads_are_patient(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->other, "a", &err));
    pair->fake.refuse_reads = 3;
    assert_ok(ap_catalog_refresh(pair->mine, "main", &err));
    assert_true(ap_catalog_has_box(pair->mine, "main", "a"));
    pair->fake.refuse_reads = 1000;
    assert_code(ap_catalog_refresh(pair->mine, "main", &err), APIARY_IO);
    pair->fake.refuse_reads = 0;
    assert_ok(ap_catalog_refresh(pair->mine, "main", &err));
}

static void test_lost_reply(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "first", &err));
    pair->fake.lose_puts = 1;
    assert_ok(box_new(pair->mine, "a", &err));
    pair->fake.vanish_puts = 2;
    assert_ok(box_new(pair->mine, "b", &err));
    pair->fake.refuse_puts = 2;
    assert_ok(box_new(pair->mine, "c", &err));
    assert_int_equal(fake_count(&pair->fake, "_registry/0000"), 4); /* each once */
    assert_ok(ap_catalog_refresh(pair->other, "main", &err));
    assert_true(ap_catalog_has_box(pair->other, "main", "a") &&
                ap_catalog_has_box(pair->other, "main", "b") &&
                ap_catalog_has_box(pair->other, "main", "c"));
}

static void test_uncertain(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "first", &err));
    pair->fake.vanish_puts = 1000;
    assert_code(box_new(pair->mine, "a", &err), APIARY_UNCERTAIN);
    assert_non_null(strstr(err.message, "transaction "));
    pair->fake.vanish_puts = 0;
    pair->fake.refuse_puts = 1000;
    assert_code(box_new(pair->mine, "a", &err), APIARY_IO);
    pair->fake.refuse_puts = 0;
    assert_ok(box_new(pair->mine, "a", &err)); /* it had not landed */
}

static void other_makes(void *context)
{
    struct pair *pair = context;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->other, "raced", &err));
}

static void test_lost_race(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "first", &err));
    pair->fake.context = pair;
    pair->fake.before_put = other_makes;
    assert_ok(box_new(pair->mine, "mine", &err)); /* another name: both are there */
    assert_true(ap_catalog_has_box(pair->mine, "main", "raced"));
    assert_true(ap_catalog_has_box(pair->mine, "main", "mine"));
    assert_ok(ap_catalog_drop_box(pair->other, "main", "raced", false, &err));
    pair->fake.before_put = other_makes;
    assert_code(box_new(pair->mine, "RACED", &err), APIARY_EXISTS); /* the same: told so */
    assert_string_equal(err.message, "box main.raced exists");
}

static void other_drops_hive(void *context)
{
    struct pair *pair = context;
    struct apiary_error err = { 0 };
    assert_ok(ap_catalog_drop_hive(pair->other, "main", true, &err));
}

static void test_hive_dropped_meanwhile(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "first", &err));
    pair->fake.context = pair;
    pair->fake.before_put = other_drops_hive;
    assert_code(box_new(pair->mine, "late", &err), APIARY_NOT_FOUND);
    assert_non_null(strstr(err.message, "no hive main"));
}

/* A dropper that dies between closing the hive and telling the list. */
static void test_half_dropped_hive(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    bool created = false;
    assert_ok(ap_catalog_create_hive(pair->mine, "h", false, &created, &err));
    assert_ok(ap_catalog_create_box(pair->mine, "h", "b", false, &created, &err));
    AP_AUTO(ap_list) slots = { 0 };
    const struct ap_list_request hives = { .prefix = "_registry/hives/" };
    assert_ok(ap_store_list(pair->fake.inner, &hives, &slots, &err));
    const char *newest = slots.objects[slots.count - 1].key;
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_get(pair->fake.inner, newest, AP_RANGE_ALL, &body, NULL, &err));
    assert_ok(ap_catalog_drop_hive(pair->mine, "h", true, &err));
    /* the list as it was before: its newest slot goes */
    AP_AUTO(ap_list) after = { 0 };
    assert_ok(ap_store_list(pair->fake.inner, &hives, &after, &err));
    assert_int_equal(after.count, slots.count + 1);
    assert_ok(ap_store_delete(pair->fake.inner, after.objects[after.count - 1].key, &err));
    assert_ok(ap_catalog_refresh(pair->other, "h", &err));
    assert_false(ap_catalog_has_hive(pair->other, "h"));
    assert_code(
        ap_catalog_create_box(pair->other, "h", "c", false, &created, &err), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_create_hive(pair->other, "h", false, &created, &err));
    assert_true(created);
    assert_false(ap_catalog_has_box(pair->other, "h", "b"));
}

/* `mine` knows the list as it was; each change by the other must be seen at the next look, though the
 * list itself is not asked for. */
static void test_names_without_the_list(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    bool created = false;
    assert_ok(ap_catalog_create_hive(pair->mine, "h", false, &created, &err));
    assert_ok(ap_catalog_create_box(pair->mine, "h", "old", false, &created, &err));
    assert_ok(ap_catalog_refresh(pair->mine, "h", &err));

    assert_ok(ap_catalog_rename_hive(pair->other, "h", "g", &err));
    assert_ok(ap_catalog_refresh(pair->mine, "h", &err));
    assert_false(ap_catalog_has_hive(pair->mine, "h"));
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_true(ap_catalog_has_box(pair->mine, "g", "old"));

    /* The name goes to another hive while this one is away. */
    assert_ok(ap_catalog_rename_hive(pair->other, "g", "f", &err));
    assert_ok(ap_catalog_create_hive(pair->other, "g", false, &created, &err));
    assert_ok(ap_catalog_create_box(pair->other, "g", "new", false, &created, &err));
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_true(ap_catalog_has_box(pair->mine, "g", "new"));
    assert_false(ap_catalog_has_box(pair->mine, "g", "old"));

    /* Dropped, made again, dropped, the first brought back under the name that it had. */
    assert_ok(ap_catalog_drop_hive(pair->other, "g", true, &err));
    assert_ok(ap_catalog_create_hive(pair->other, "g", false, &created, &err));
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_false(ap_catalog_has_box(pair->mine, "g", "new"));
    assert_ok(ap_catalog_rename_hive(pair->other, "g", "e", &err));
    assert_ok(ap_catalog_undrop_hive(pair->other, "g", &err));
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_true(ap_catalog_has_box(pair->mine, "g", "new"));

    /* Once the list is known again, one GET does. */
    uint64_t before = requests(&pair->fake);
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_int_equal(requests(&pair->fake) - before, 1);
}

/* A rename puts twice, the hive's state and then the list: what happens between the two. */
static void refuse_all(void *context)
{
    struct pair *pair = context;
    pair->fake.refuse_puts = 1000000;
}

static void make_hive(void *context)
{
    struct pair *pair = context;
    struct apiary_error err = { 0 };
    bool created = false;
    assert_ok(ap_catalog_create_hive(pair->mine, "between", false, &created, &err));
}

static void refuse_the_second(void *context)
{
    struct pair *pair = context;
    pair->fake.before_put = refuse_all;
}


static void test_rename_that_dies(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    bool created = false;
    assert_ok(ap_catalog_create_hive(pair->mine, "h", false, &created, &err));
    assert_ok(ap_catalog_create_box(pair->mine, "h", "b", false, &created, &err));
    assert_ok(ap_catalog_refresh(pair->other, "h", &err));
    pair->fake.before_put = refuse_the_second;
    pair->fake.context = pair;
    assert_true(ap_catalog_rename_hive(pair->other, "h", "g", &err) != APIARY_OK);
    pair->fake.refuse_puts = 0;
    assert_ok(ap_catalog_refresh(pair->mine, "h", &err));
    assert_true(ap_catalog_has_box(pair->mine, "h", "b"));
    /* The state has said it already, and the list goes on before it is changed: said again. */
    pair->fake.before_put = make_hive;
    assert_ok(ap_catalog_rename_hive(pair->other, "h", "g", &err));
    assert_true(ap_catalog_has_hive(pair->mine, "between"));
    assert_ok(ap_catalog_refresh(pair->mine, "h", &err));
    assert_false(ap_catalog_has_hive(pair->mine, "h"));
    assert_ok(ap_catalog_refresh(pair->mine, "g", &err));
    assert_true(ap_catalog_has_box(pair->mine, "g", "b"));
}

static void test_hint(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "b%d", i);
        assert_ok(box_new(pair->mine, name, &err));
    }
    const char *key = "_registry/00000000000000000000000000000000/latest";
    static const char *const hints[] = { "{\"version\":16}", "{\"version\":9000000000000000000}",
        "{\"version\":-3}", "junk", "{\"version\":25}" };
    for (size_t i = 0; i < AP_COUNT(hints); i++) {
        if (i > 0) assert_ok(ap_store_put(pair->fake.inner, key, ap_str_from(hints[i]), &err));
        struct ap_catalog *fresh = catalog_new(&pair->fake);
        assert_code_in(hints[i], ap_catalog_refresh(fresh, "main", &err), APIARY_OK);
        assert_true_in(hints[i], ap_catalog_has_box(fresh, "main", "b19"));
        ap_catalog_close(fresh);
    }
}

static void test_removal(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    char name[16];
    for (int i = 0; i < 120; i++) {
        snprintf(name, sizeof name, "b%d", i);
        assert_ok(box_new(pair->mine, name, &err));
    }
    const char *prefix = "_registry/00000000000000000000000000000000/";
    assert_int_equal(fake_count(&pair->fake, prefix), 121); /* and the hint */
    pair->fake.now_us += INT64_C(31) * 86400 * 1000000;
    pair->fake.mono_us += INT64_C(31) * 86400 * 1000000;
    for (int i = 120; i < 170; i++) {
        snprintf(name, sizeof name, "b%d", i);
        assert_ok(box_new(pair->mine, name, &err));
    }
    size_t left = fake_count(&pair->fake, prefix);
    assert_true(left > 101 && left < 140);
    assert_ok(ap_catalog_refresh(pair->other, "main", &err));
    assert_true(ap_catalog_has_box(pair->other, "main", "b0"));
    assert_true(ap_catalog_has_box(pair->other, "main", "b169"));
}

static void others_go_on(void *context)
{
    struct pair *pair = context;
    struct apiary_error err = { 0 };
    char name[16];
    for (int i = 0; i < 150; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_ok(box_new(pair->other, name, &err));
    }
    pair->fake.mono_us += INT64_C(40) * 86400 * 1000000;
    pair->fake.now_us += INT64_C(40) * 86400 * 1000000;
    for (int i = 150; i < 200; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_ok(box_new(pair->other, name, &err));
    }
}

/* A process that slept for weeks between looking and writing re-creates a slot that was removed. */
static void test_ghost(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    assert_ok(box_new(pair->mine, "first", &err));
    pair->fake.context = pair;
    pair->fake.before_put = others_go_on;
    assert_ok(box_new(pair->mine, "slept", &err));
    struct ap_catalog *fresh = catalog_new(&pair->fake);
    assert_ok(ap_catalog_refresh(fresh, "main", &err));
    assert_true(ap_catalog_has_box(fresh, "main", "slept"));
    assert_true(ap_catalog_has_box(fresh, "main", "x199"));
    ap_catalog_close(fresh);
}

static void test_damaged_slot(void **state)
{
    struct pair *pair = *state;
    struct apiary_error err = { 0 };
    const char *key = "_registry/hives/00000000000000000001.json";
    assert_ok(box_new(pair->mine, "first", &err));
    assert_ok(
        ap_store_put(pair->fake.inner, key, AP_STR("{\"format\":9,\"kind\":\"hives\"}"), &err));
    assert_code(ap_catalog_refresh(pair->mine, NULL, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, key));
    assert_ok(ap_store_put(pair->fake.inner, key, AP_STR("{\"form"), &err));
    assert_code(ap_catalog_refresh(pair->mine, NULL, &err), APIARY_CORRUPT);
    assert_non_null(strstr(err.message, key));
    bool created;
    assert_code(ap_catalog_create_hive(pair->mine, "x", false, &created, &err), APIARY_CORRUPT);
}

/* Each allocation fails in turn: the change is made, or it is not and MEMORY is said. */
static void test_no_memory(void **state)
{
    int failed = 0;
    for (long n = 1;; n++) {
        struct fake fake;
        struct apiary_error err = { 0 };
        struct ap_catalog *fresh = NULL;
        fake_open(&fake);
        struct ap_catalog *catalog = catalog_new(&fake);
        ap_alloc_fail_after(n);
        enum apiary_code code = box_new(catalog, "a", &err);
        ap_alloc_fail_after(0);
        if (code != APIARY_OK && code != APIARY_MEMORY)
            fail_msg("allocation %ld: %s: %s", n, ap_code_name((int)code), err.message);
        fresh = catalog_new(&fake);
        assert_ok(ap_catalog_refresh(fresh, "main", &err));
        if (ap_catalog_has_box(fresh, "main", "a") != (code == APIARY_OK))
            fail_msg("allocation %ld: told %s", n, ap_code_name((int)code));
        ap_catalog_close(fresh);
        ap_catalog_close(catalog);
        fake_close(&fake);
        failed += code == APIARY_MEMORY;
        if (n > 400) break; /* far more than one change makes */
    }
    assert_true(failed > 20 && failed < 400);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_freshness),
        TEST(test_names_without_the_list),
        TEST(test_rename_that_dies),
        TEST(test_reads_are_patient),
        TEST(test_lost_reply),
        TEST(test_uncertain),
        TEST(test_lost_race),
        TEST(test_hive_dropped_meanwhile),
        TEST(test_half_dropped_hive),
        TEST(test_hint),
        TEST(test_removal),
        TEST(test_ghost),
        TEST(test_damaged_slot),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
