/* The catalogue over a store in memory: what is created, found, dropped, brought back, renamed. */
#include "fake.h"

#include "apiary_test.h"

struct world {
    struct fake fake;
    struct ap_catalog *catalog;
};

static struct ap_catalog *catalog_new(struct fake *fake)
{
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = NULL;
    assert_ok(ap_catalog_open(&fake->env, &fake->store, NULL, &catalog, &err));
    return catalog;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    fake_open(&world->fake);
    world->catalog = catalog_new(&world->fake);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    ap_catalog_close(world->catalog);
    fake_close(&world->fake);
    free(world);
    return 0;
}

static struct ap_name3 name3(const char *hive, const char *box, const char *frame)
{
    struct ap_name3 name;
    memset(&name, 0, sizeof name);
    snprintf(name.hive, sizeof name.hive, "%s", hive);
    snprintf(name.box, sizeof name.box, "%s", box);
    snprintf(name.frame, sizeof name.frame, "%s", frame);
    return name;
}

static enum apiary_code frame_new(struct ap_catalog *catalog, const char *hive, const char *box,
    const char *frame, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) place = { 0 };
    const struct ap_name3 name = name3(hive, box, frame);
    AP_TRY(ap_catalog_place(catalog, &name, false, &place, err));
    const struct ap_new_entry entry = {
        .kind = AP_ENTRY_FRAME, .name = &name, .location = ap_bytes_text(&place)
    };
    return ap_catalog_register(catalog, &entry, err);
}

static enum apiary_code view_new(struct ap_catalog *catalog, const char *frame, const char *sql,
    bool replace, struct apiary_error *err)
{
    const struct ap_name3 name = name3("main", "main", frame);
    const struct ap_new_entry entry = { .kind = AP_ENTRY_VIEW,
        .name = &name,
        .view_sql = sql,
        .view_columns = "",
        .replace = replace };
    return ap_catalog_register(catalog, &entry, err);
}

static enum apiary_code find(struct ap_catalog *catalog, const char *hive, const char *box,
    const char *frame, struct apiary_error *err)
{
    AP_AUTO(ap_entry) entry = { 0 };
    const struct ap_name3 name = name3(hive, box, frame);
    return ap_catalog_find(catalog, &name, &entry, err);
}

/* A fresh look, as another process would have it. */
static enum apiary_code find_elsewhere(
    struct fake *fake, const char *hive, const char *box, const char *frame)
{
    struct apiary_error err = { 0 };
    struct ap_catalog *other = catalog_new(fake);
    assert_ok(ap_catalog_refresh(other, hive, &err));
    enum apiary_code code = find(other, hive, box, frame, &err);
    ap_catalog_close(other);
    return code;
}

static void test_new_store(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    assert_ok(ap_catalog_refresh(world->catalog, "main", &err));
    assert_true(ap_catalog_has_hive(world->catalog, "MAIN"));
    assert_true(ap_catalog_has_box(world->catalog, "main", "Main"));
    assert_ok(ap_catalog_hives(world->catalog, &names, &err));
    assert_int_equal(names.count, 1);
    assert_int_equal(fake_count(&world->fake, ""), 0); /* looking writes nothing */
    assert_ok(frame_new(world->catalog, "main", "main", "t", &err));
    assert_int_equal(fake_count(&world->fake, "_registry/hives/"), 1);
    assert_int_equal(fake_count(&world->fake, "_registry/"), 2);
    assert_int_equal(find_elsewhere(&world->fake, "main", "main", "T"), APIARY_OK);
}

static void test_names_keep_their_spelling(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    AP_AUTO(ap_entry) entry = { 0 };
    AP_AUTO(ap_texts) boxes = { 0 };
    struct ap_name3 spelled;
    bool created = false;
    assert_ok(ap_catalog_create_hive(catalog, "Sales", false, &created, &err));
    assert_true(created);
    assert_ok(ap_catalog_create_hive(catalog, "SALES", true, &created, &err));
    assert_false(created);
    assert_code(ap_catalog_create_hive(catalog, "sales", false, &created, &err), APIARY_EXISTS);
    assert_string_equal(err.message, "hive Sales exists");
    assert_ok(ap_catalog_create_box(catalog, "sales", "EU", false, &created, &err));
    assert_ok(frame_new(catalog, "SALES", "eu", "Orders", &err));
    const struct ap_name3 name = name3("sales", "eu", "ORDERS");
    assert_ok(ap_catalog_find(catalog, &name, &entry, &err));
    assert_string_equal(entry.name.hive, "Sales");
    assert_string_equal(entry.name.box, "EU");
    assert_string_equal(entry.name.frame, "Orders");
    assert_string_equal(entry.location, "sales/eu/orders");
    assert_ok(ap_catalog_spell(catalog, "SALES", "eu", &spelled, &err));
    assert_string_equal(spelled.box, "EU");
    assert_ok(ap_catalog_boxes(catalog, "sales", &boxes, &err));
    assert_int_equal(boxes.count, 1); /* only hive main is born with a box */
}

static void test_missing(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    assert_ok(frame_new(catalog, "main", "main", "flights", &err));
    assert_code(find(catalog, "main", "main", "fligths", &err), APIARY_NOT_FOUND);
    assert_string_equal(err.message, "no frame main.main.fligths");
    assert_string_equal(err.hint, "did you mean main.main.flights?");
    assert_code(find(catalog, "mian", "main", "flights", &err), APIARY_NOT_FOUND);
    assert_string_equal(err.message, "no hive mian");
    assert_string_equal(err.hint, "did you mean main?");
    assert_code(find(catalog, "main", "nain", "flights", &err), APIARY_NOT_FOUND);
    assert_string_equal(err.message, "no box main.nain");
    assert_code(frame_new(catalog, "other", "main", "t", &err), APIARY_NOT_FOUND);
    assert_code(frame_new(catalog, "main", "other", "t", &err), APIARY_NOT_FOUND);
    assert_code(ap_catalog_drop_box(catalog, "main", "other", true, &err), APIARY_NOT_FOUND);
    assert_code(ap_catalog_drop_hive(catalog, "other", true, &err), APIARY_NOT_FOUND);
}

static void test_bad_names(void **state)
{
    static const char *const names[] = { "", "a.b", "a/b", "..", "a b", "-a", "\xC3\xA9" };
    struct world *world = *state;
    struct apiary_error err = { 0 };
    bool created;
    for (size_t i = 0; i < AP_COUNT(names); i++) {
        assert_code_in(names[i],
            ap_catalog_create_hive(world->catalog, names[i], false, &created, &err),
            APIARY_INVALID);
        assert_code_in(names[i],
            ap_catalog_create_box(world->catalog, "main", names[i], false, &created, &err),
            APIARY_INVALID);
        assert_code_in(
            names[i], frame_new(world->catalog, "main", "main", names[i], &err), APIARY_INVALID);
        assert_code_in(names[i], ap_catalog_rename_hive(world->catalog, "main", names[i], &err),
            APIARY_INVALID);
        assert_code_in(
            names[i], find(world->catalog, "main", "main", names[i], &err), APIARY_NOT_FOUND);
    }
    static const char *const reserved[] = { "temp", "System", "memory", "APIARY", "_registry",
        "_swarm", "_queries" };
    for (size_t i = 0; i < AP_COUNT(reserved); i++)
        assert_code_in(reserved[i],
            ap_catalog_create_hive(world->catalog, reserved[i], true, &created, &err),
            APIARY_INVALID);
    assert_code(ap_catalog_create_box(world->catalog, "main", "pg_catalog", true, &created, &err),
        APIARY_INVALID);
    assert_int_equal(fake_count(&world->fake, ""), 0);
}

static void test_drop_and_back(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    AP_AUTO(ap_entries) entries = { 0 };
    const struct ap_name3 t = name3("main", "main", "t");
    assert_ok(frame_new(catalog, "main", "main", "t", &err));
    assert_code(frame_new(catalog, "main", "main", "T", &err), APIARY_EXISTS);
    assert_string_equal(err.message, "frame main.main.t exists");
    assert_code(ap_catalog_drop_entry(catalog, &t, AP_ENTRY_VIEW, &err), APIARY_INVALID);
    assert_ok(ap_catalog_drop_entry(catalog, &t, AP_ENTRY_FRAME, &err));
    assert_code(find(catalog, "main", "main", "t", &err), APIARY_NOT_FOUND);
    assert_string_equal(err.hint, "it was dropped; UNDROP FRAME main.main.t brings it back");
    assert_code(ap_catalog_drop_entry(catalog, &t, AP_ENTRY_FRAME, &err), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_entries(catalog, "main", "main", false, &entries, &err));
    assert_int_equal(entries.count, 0);
    world->fake.now_us += 1000000;
    assert_ok(frame_new(catalog, "main", "main", "t", &err));
    assert_code(ap_catalog_undrop(catalog, &t, &err), APIARY_EXISTS);
    assert_ok(ap_catalog_drop_entry(catalog, &t, AP_ENTRY_FRAME, &err));
    assert_ok(ap_catalog_entries(catalog, "main", "main", true, &entries, &err));
    assert_int_equal(entries.count, 2);
    char newest[AP_ID_TEXT_SIZE];
    snprintf(newest, sizeof newest, "%s", entries.items[1].id.text);
    assert_ok(ap_catalog_undrop(catalog, &t, &err));
    AP_AUTO(ap_entry) entry = { 0 };
    assert_ok(ap_catalog_find(catalog, &t, &entry, &err));
    assert_string_equal(entry.id.text, newest);
    assert_code(ap_catalog_forget(catalog, "main", &entry.id, &err), APIARY_EXISTS);
    struct ap_frame_id older = entries.items[0].id;
    assert_ok(ap_catalog_forget(catalog, "main", &older, &err));
    assert_ok(ap_catalog_forget(catalog, "main", &older, &err));
    assert_ok(ap_catalog_entries(catalog, "main", "main", true, &entries, &err));
    assert_int_equal(entries.count, 1);
}

static void test_drop_box(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    bool created;
    const struct ap_name3 gone = name3("main", "b", "gone");
    assert_ok(ap_catalog_create_box(catalog, "main", "b", false, &created, &err));
    assert_ok(frame_new(catalog, "main", "b", "t", &err));
    assert_ok(frame_new(catalog, "main", "b", "gone", &err));
    assert_ok(ap_catalog_drop_entry(catalog, &gone, AP_ENTRY_FRAME, &err));
    world->fake.now_us += 1000000;
    assert_code(ap_catalog_drop_box(catalog, "main", "b", false, &err), APIARY_EXISTS);
    assert_string_equal(err.message, "box main.b holds 1 frame or view");
    assert_ok(ap_catalog_drop_box(catalog, "main", "b", true, &err));
    assert_false(ap_catalog_has_box(catalog, "main", "b"));
    assert_code(find(catalog, "main", "b", "t", &err), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_undrop_box(catalog, "main", "b", &err));
    assert_ok(find(catalog, "main", "b", "t", &err));
    assert_code(find(catalog, "main", "b", "gone", &err), APIARY_NOT_FOUND);
    assert_code(ap_catalog_undrop_box(catalog, "main", "b", &err), APIARY_EXISTS);
}

static void test_drop_hive(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    bool created;
    assert_ok(ap_catalog_create_hive(catalog, "h", false, &created, &err));
    assert_ok(ap_catalog_create_box(catalog, "h", "b", false, &created, &err));
    assert_ok(frame_new(catalog, "h", "b", "t", &err));
    assert_code(ap_catalog_drop_hive(catalog, "h", false, &err), APIARY_EXISTS);
    assert_ok(ap_catalog_drop_hive(catalog, "H", true, &err));
    assert_false(ap_catalog_has_hive(catalog, "h"));
    assert_code(frame_new(catalog, "h", "b", "u", &err), APIARY_NOT_FOUND);
    assert_int_equal(find_elsewhere(&world->fake, "h", "b", "t"), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_create_hive(catalog, "h", false, &created, &err)); /* another one */
    assert_code(find(catalog, "h", "b", "t", &err), APIARY_NOT_FOUND);
    assert_code(ap_catalog_undrop_hive(catalog, "h", &err), APIARY_EXISTS);
    assert_ok(ap_catalog_rename_hive(catalog, "h", "h2", &err));
    assert_ok(ap_catalog_undrop_hive(catalog, "h", &err));
    assert_ok(find(catalog, "h", "b", "t", &err));
    assert_int_equal(find_elsewhere(&world->fake, "h", "b", "t"), APIARY_OK);
}

static void test_rename(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = world->catalog;
    bool created;
    AP_AUTO(ap_entry) entry = { 0 };
    const struct ap_name3 t = name3("main", "main", "t"), u = name3("main", "b", "U"),
                          v = name3("main", "b", "v");
    const struct ap_name3 away = name3("other", "b", "v");
    assert_ok(ap_catalog_create_box(catalog, "main", "b", false, &created, &err));
    assert_ok(frame_new(catalog, "main", "main", "t", &err));
    assert_ok(frame_new(catalog, "main", "b", "v", &err));
    assert_code(ap_catalog_rename_entry(catalog, &t, &v, &err), APIARY_EXISTS);
    assert_code(ap_catalog_rename_entry(catalog, &t, &away, &err), APIARY_UNSUPPORTED);
    assert_ok(ap_catalog_rename_entry(catalog, &t, &u, &err));
    assert_ok(ap_catalog_find(catalog, &u, &entry, &err));
    assert_string_equal(entry.name.frame, "U");
    assert_string_equal(entry.location, "main/main/t"); /* no object moves */
    assert_code(ap_catalog_rename_entry(catalog, &t, &u, &err), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_rename_box(catalog, "main", "b", "c", &err));
    assert_ok(find(catalog, "main", "c", "u", &err));
    assert_code(ap_catalog_rename_box(catalog, "main", "c", "MAIN", &err), APIARY_EXISTS);
    assert_ok(ap_catalog_rename_hive(catalog, "main", "prod", &err));
    assert_ok(find(catalog, "prod", "c", "u", &err));
    assert_code(find(catalog, "main", "c", "u", &err), APIARY_NOT_FOUND);
    assert_ok(ap_catalog_rename_hive(catalog, "prod", "Prod", &err)); /* only the spelling */
    assert_int_equal(find_elsewhere(&world->fake, "prod", "c", "u"), APIARY_OK);
}

static void test_views(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_entry) entry = { 0 };
    const struct ap_name3 v = name3("main", "main", "v");
    assert_ok(view_new(world->catalog, "v", "SELECT 1", false, &err));
    assert_code(view_new(world->catalog, "v", "SELECT 2", false, &err), APIARY_EXISTS);
    assert_string_equal(err.message, "view main.main.v exists");
    assert_ok(view_new(world->catalog, "v", "SELECT 2", true, &err));
    assert_ok(ap_catalog_find(world->catalog, &v, &entry, &err));
    assert_string_equal(entry.view_sql, "SELECT 2");
    assert_ok(frame_new(world->catalog, "main", "main", "t", &err));
    assert_code(view_new(world->catalog, "t", "SELECT 2", true, &err), APIARY_EXISTS);
    assert_code(view_new(world->catalog, "w", "", false, &err), APIARY_INVALID);
}

static void test_place(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) place = { 0 };
    const struct ap_name3 name = name3("Main", "B", "Trips");
    assert_ok(ap_catalog_place(world->catalog, &name, false, &place, &err));
    assert_string_equal(ap_bytes_text(&place), "main/b/trips");
    assert_ok(ap_catalog_place(world->catalog, &name, true, &place, &err));
    assert_memory_equal(ap_bytes_text(&place), "main/b/trips~", 13);
    assert_int_equal(place.size, 21);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_new_store),
        TEST(test_names_keep_their_spelling),
        TEST(test_missing),
        TEST(test_bad_names),
        TEST(test_drop_and_back),
        TEST(test_drop_box),
        TEST(test_drop_hive),
        TEST(test_rename),
        TEST(test_views),
        TEST(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
