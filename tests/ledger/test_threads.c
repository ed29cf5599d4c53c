/* One open frame in many threads: writers and readers that share a handle (run under the thread
 * sanitizer by tools/check). */
#include "ledger_help.h"

enum { WRITERS = 4, READERS = 3, APPENDS = 25 };

struct shared {
    struct ap_ledger *ledger;
    _Atomic int failures, writing;
};

static void append_some(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < APPENDS; i++) {
        struct apiary_error err = { 0 };
        struct ap_snapshot *base = NULL, *after = NULL;
        char key[64];
        snprintf(key, sizeof key, "%p-%d", (void *)&key, i);
        struct ap_new_cell cell = { .key = ap_str_from(key),
            .size_bytes = 1,
            .stats = AP_STR("{\"numRecords\":1}"),
            .tags = AP_STR("") };
        uint64_t version = 0;
        enum apiary_code code = ap_ledger_snapshot(shared->ledger, NULL, &base, &err);
        /* every fifth removes a cell, so that shared memory must be copied */
        const struct ap_cell *removes[1] = {
            base && base->cell_count ? &base->cells[base->cell_count / 2] : NULL
        };
        struct ap_commit commit = { .base = base,
            .adds = &cell,
            .add_count = 1,
            .data_change = true,
            .removes = removes,
            .remove_count = i % 5 == 4 && removes[0] };
        if (code == APIARY_OK)
            code = ap_ledger_commit(shared->ledger, &commit, &version, &after, &err);
        if (code != APIARY_OK && code != APIARY_CONFLICT) shared->failures++;
        if (code == APIARY_OK && after->version < version) shared->failures++;
        ap_snapshot_unref(after);
        ap_snapshot_unref(base);
    }
    shared->writing--;
}

static void read_some(void *arg)
{
    struct shared *shared = arg;
    uint64_t newest = 0;
    while (shared->writing > 0) {
        struct apiary_error err = { 0 };
        struct ap_snapshot *snapshot = NULL, *cached = ap_ledger_cached(shared->ledger);
        if (ap_ledger_snapshot(shared->ledger, NULL, &snapshot, &err) != APIARY_OK ||
            snapshot->version < newest)
            shared->failures++;
        int64_t rows = 0;
        if (snapshot &&
            (!ap_snapshot_row_count(snapshot, &rows) || (size_t)rows != snapshot->cell_count))
            shared->failures++;
        for (size_t i = 0; snapshot && i < snapshot->cell_count; i++)
            if (snapshot->cells[i].path.size == 0) shared->failures++;
        newest = snapshot ? snapshot->version : newest;
        ap_snapshot_unref(cached);
        ap_snapshot_unref(snapshot);
    }
}

static void many_threads(void **state)
{
    struct ap_store *store = help_store();
    struct shared shared = { .ledger = help_ledger(store), .writing = WRITERS };
    struct ap_thread *threads[WRITERS + READERS];
    help_create(shared.ledger, "a long", NULL, NULL);
    for (int i = 0; i < WRITERS + READERS; i++) {
        threads[i] = store->env->ops->thread_start(
            store->env->world, i < WRITERS ? append_some : read_some, &shared);
        assert_non_null(threads[i]);
    }
    for (int i = 0; i < WRITERS + READERS; i++)
        store->env->ops->thread_join(store->env->world, threads[i]);
    assert_int_equal(shared.failures, 0);
    struct ap_snapshot *cold = NULL, *warm = help_snapshot(shared.ledger);
    struct ap_ledger *other = help_ledger(store);
    cold = help_snapshot(other);
    assert_int_equal(cold->version, warm->version);
    assert_int_equal(cold->cell_count, warm->cell_count);
    for (size_t i = 0; i < cold->cell_count; i++)
        assert_true(ap_str_equal(cold->cells[i].path, warm->cells[i].path));
    ap_snapshot_unref(cold);
    ap_snapshot_unref(warm);
    ap_ledger_close(other);
    ap_ledger_close(shared.ledger);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(many_threads) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
