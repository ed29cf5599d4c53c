/* One catalogue used by several threads, beside another process's, over a store on disk. */
#include "catalog/catalog.h"

#include "apiary_test.h"

enum { THREADS = 4, FRAMES = 12 };

struct worker {
    struct ap_catalog *catalog;
    int index;
    int created, there;
    bool shared; /* all workers want the same names */
    struct apiary_error trouble;
};

static void work(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; i < FRAMES; i++) {
        struct apiary_error err = { 0 };
        struct ap_name3 name;
        AP_AUTO(ap_entry) entry = { 0 };
        memset(&name, 0, sizeof name);
        snprintf(name.hive, sizeof name.hive, "main");
        snprintf(name.box, sizeof name.box, "main");
        if (worker->shared)
            snprintf(name.frame, sizeof name.frame, "shared_%d", i);
        else
            snprintf(name.frame, sizeof name.frame, "own_%d_%d", worker->index, i);
        char location[64];
        snprintf(location, sizeof location, "main/main/%.40s~%d", name.frame, worker->index);
        const struct ap_new_entry new_entry = {
            .kind = AP_ENTRY_FRAME, .name = &name, .location = location
        };
        enum apiary_code code = ap_catalog_register(worker->catalog, &new_entry, &err);
        worker->created += code == APIARY_OK;
        worker->there += code == APIARY_EXISTS;
        if (code == APIARY_OK || code == APIARY_EXISTS)
            code = ap_catalog_refresh(worker->catalog, "main", &err);
        if (code == APIARY_OK) code = ap_catalog_find(worker->catalog, &name, &entry, &err);
        if (code != APIARY_OK) worker->trouble = err;
    }
}

static void race(bool shared)
{
    struct ap_env *env = ap_env_system();
    struct apiary_error err = { 0 };
    char folder[AP_TEST_PATH_MAX];
    struct ap_store *store = NULL;
    struct ap_catalog *catalogs[2] = { NULL, NULL };
    struct worker workers[THREADS];
    struct ap_thread *threads[THREADS];
    AP_AUTO(ap_entries) entries = { 0 };
    int created = 0, there = 0;
    ap_test_folder(folder);
    assert_ok(
        ap_store_open(env, folder, &(struct ap_store_options) { .fsync = false }, &store, &err));
    for (int i = 0; i < 2; i++) assert_ok(ap_catalog_open(env, store, NULL, &catalogs[i], &err));
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker) { .catalog = catalogs[i % 2], .index = i, .shared = shared };
        threads[i] = env->ops->thread_start(env->world, work, &workers[i]);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        env->ops->thread_join(env->world, threads[i]);
        if (workers[i].trouble.code) fail_msg("thread %d: %s", i, workers[i].trouble.message);
        created += workers[i].created;
        there += workers[i].there;
    }
    assert_int_equal(created, shared ? FRAMES : THREADS * FRAMES); /* one winner a name */
    assert_int_equal(created + there, THREADS * FRAMES);
    assert_ok(ap_catalog_refresh(catalogs[0], "main", &err));
    assert_ok(ap_catalog_entries(catalogs[0], "main", "main", true, &entries, &err));
    assert_int_equal(entries.count, created);
    for (int i = 0; i < 2; i++) ap_catalog_close(catalogs[i]);
    ap_store_close(store);
    ap_test_folder_remove(folder);
}

static void test_own_names(void **state)
{
    race(false);
}

static void test_same_names(void **state)
{
    race(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_names),
        cmocka_unit_test(test_same_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
