/* Whose work is counted: the store's own counts, and the scope of a thread. */
#include "apiary_test.h"

#include "core/env.h"
#include "storage/store.h"

#include <pthread.h>

static struct ap_store *open_memory(void)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    assert_ok(ap_store_open(ap_env_system(), "memory://counts", NULL, &store, &err));
    return store;
}

static void each_kind(struct ap_store *store)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request all = { .prefix = "" };
    struct ap_range part = { 1, 2, false };
    assert_ok(ap_store_put(store, "a", AP_STR("12345"), &err));
    assert_code(ap_store_put_if_absent(store, "a", AP_STR("123"), &err), APIARY_CONFLICT);
    assert_ok(ap_store_get(store, "a", AP_RANGE_ALL, &body, NULL, &err));
    assert_ok(ap_store_get(store, "a", part, &body, NULL, &err));
    assert_ok(ap_store_list(store, &all, &list, &err));
    assert_ok(ap_store_delete(store, "a", &err));
}

static void assert_each_kind(const struct ap_store_counts *counts, uint64_t times)
{
    assert_int_equal(counts->puts, times);
    assert_int_equal(counts->puts_if_absent, times);
    assert_int_equal(counts->gets, times);
    assert_int_equal(counts->ranges, times);
    assert_int_equal(counts->lists, times);
    assert_int_equal(counts->deletes, times);
    assert_int_equal(counts->bytes_out, 8 * times);
    assert_int_equal(counts->bytes_in, 7 * times);
    assert_int_equal(counts->retries, 0);
}

static void scopes_nest(void **state)
{
    (void)state;
    struct ap_env *env = ap_env_system();
    struct ap_store *one = open_memory(), *two = open_memory();
    struct ap_store_counts outer = { 0 }, inner = { 0 }, sum = { 0 };
    each_kind(one);
    assert_null(ap_store_scope(env, &outer));
    each_kind(one);
    assert_ptr_equal(ap_store_scope(env, &inner), &outer);
    each_kind(two);
    assert_ptr_equal(ap_store_scope(env, &outer), &inner);
    each_kind(two);
    assert_ptr_equal(ap_store_scope(env, NULL), &outer);
    each_kind(two);
    assert_each_kind(&outer, 2);
    assert_each_kind(&inner, 1);
    assert_each_kind(&one->counts, 2);
    assert_each_kind(&two->counts, 3);
    ap_store_counts_add(&sum, &outer);
    ap_store_counts_add(&sum, &inner);
    assert_each_kind(&sum, 3);
    ap_store_close(one);
    ap_store_close(two);
}

static void *work_of_nobody(void *store)
{
    each_kind(store);
    return NULL;
}

static void *work_of_one(void *scope)
{
    struct ap_store *store = open_memory();
    assert_null(ap_store_scope(ap_env_system(), scope));
    each_kind(store);
    ap_store_scope(ap_env_system(), NULL);
    ap_store_close(store);
    return NULL;
}

static void a_scope_is_its_threads(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS], other;
    struct ap_store *store = open_memory();
    struct ap_store_counts scope = { 0 };
    ap_store_scope(ap_env_system(), &scope);
    assert_int_equal(pthread_create(&other, NULL, work_of_nobody, store), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_of_one, &scope), 0);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    ap_store_scope(ap_env_system(), NULL);
    assert_each_kind(&scope, THREADS);
    assert_each_kind(&store->counts, 1);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(a_scope_is_its_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
