/* Vacuum among writers, readers, pins and restores, while everything goes wrong, over weeks of virtual
 * time and with clocks that are off by days: the production ledger.
 *
 * Checked
 *   a reader that is done within the wait of vacuum finds every cell of the version it read
 *   (newest; older ones and any version within the retention when nobody overrides it)
 *   a version that was pinned can be read until it is unpinned
 *   at the end every cell of the newest version is there
 *   vacuums do delete something
 *
 * Then the checker is checked: a vacuum that does not wait, and one that believes its node's clock. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "ledger/vacuum.h"
#include "sim/sim_frame.h"

#include <inttypes.h>

enum { WRITERS = 2, READERS = 2, KEEPERS = 2, ROUNDS = 12, PARTITIONS = 2, CELLS_MAX = 256, PATIENCE = 40 };
enum { SEEDS = 250, CATCH_SEEDS = 400 };
#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define WAIT (2 * HOUR)
#define RETENTION (7 * DAY)

struct plan {
    bool override;         /* RETAIN 0 HOURS */
    bool no_wait, own_clock; /* planted mistakes */
    uint64_t deleted, vacuums, reads, pins, restores;
    char blame[512];
};
struct person {
    struct plan *plan;
    int rounds;
    uint64_t written; /* cells that this node named: names are never used twice */
};

/* ---- the store that a vacuum sees when it trusts its node's clock ---- */

struct clocked {
    struct ap_store store;
    struct ap_store *real;
    struct ap_store_ops ops;
};

static enum apiary_code list_by_own_clock(struct ap_store *store,
    const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    struct clocked *clocked = (struct clocked *)store;
    enum apiary_code code = clocked->real->ops->list(clocked->real, request, out, err);
    out->now_us = ap_now_us(store->env);
    return code;
}
static enum apiary_code put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct ap_store *real = ((struct clocked *)store)->real;
    return real->ops->put(real, key, body, err);
}
static enum apiary_code put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct ap_store *real = ((struct clocked *)store)->real;
    return real->ops->put_if_absent(real, key, body, err);
}
static void get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct ap_store *real = ((struct clocked *)store)->real;
    real->ops->get_many(real, gets, count);
}
static enum apiary_code delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    struct ap_store *real = ((struct clocked *)store)->real;
    return real->ops->delete_many(real, keys, count, err);
}

static void clocked_init(struct clocked *clocked, struct ap_store *real)
{
    *clocked = (struct clocked) { .store = *real, .real = real };
    clocked->ops = (struct ap_store_ops) { .put = put,
        .put_if_absent = put_if_absent,
        .get_many = get_many,
        .list = list_by_own_clock,
        .delete_many = delete_many };
    clocked->store.ops = &clocked->ops;
}

/* ---- people ---- */

static struct ap_ledger *open_frame(struct sim_node *node, struct ap_store *store)
{
    struct apiary_error err;
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = {
        .env = sim_env(node), .store = store, .prefix = "t", .name = "t"
    };
    ap_assert(ap_ledger_open(&options, &ledger, &err) == APIARY_OK);
    return ledger;
}

static struct ap_snapshot *see(
    struct sim_node *node, struct ap_ledger *ledger, const struct ap_at *at)
{
    struct apiary_error err;
    struct ap_snapshot *snapshot = NULL;
    for (int i = 0; i < PATIENCE && !sim_crashed(node) && snapshot == NULL; i++)
        if (ap_ledger_snapshot(ledger, at, &snapshot, &err) != APIARY_OK)
            ap_backoff(sim_env(node), i, 20000, 2000000);
    return snapshot;
}

static void sleep_up_to(struct sim_node *node, int64_t most_us)
{
    ap_sleep_us(sim_env(node), (int64_t)sim_pick(sim_of(node), (uint64_t)most_us));
}

/* A cell is stored, then some hours may pass, then it is committed; or its writer forgets it. */
static void write_once(struct sim_node *node, struct person *person, struct ap_ledger *ledger)
{
    struct sim *sim = sim_of(node);
    struct apiary_error err;
    char value[8], key[64], whole[80];
    snprintf(value, sizeof value, "%" PRIu64, sim_pick(sim, PARTITIONS));
    snprintf(key, sizeof key, "d=%s/c%d-%" PRIu64, value, sim_index(node), person->written++);
    snprintf(whole, sizeof whole, "t/%s", key);
    int64_t begun_us = ap_mono_us(sim_env(node));
    if (ap_store_put(sim_store(node), whole, AP_STR("cell"), &err) != APIARY_OK) return;
    if (sim_pick(sim, 3) == 0) sleep_up_to(node, 13 * HOUR);
    if (sim_pick(sim, 8) == 0) return;
    struct ap_snapshot *base = see(node, ledger, NULL);
    if (base == NULL) return;
    const struct ap_cell *removes[CELLS_MAX];
    size_t remove_count = 0;
    bool overwrite = sim_pick(sim, 3) == 0;
    for (size_t i = 0; overwrite && i < base->cell_count && remove_count < CELLS_MAX; i++)
        if (ap_str_is(base->cells[i].partition_values[0], value))
            removes[remove_count++] = &base->cells[i];
    struct ap_str values[1] = { ap_str_from(value) };
    struct ap_new_cell cell = { .key = ap_str_from(key),
        .partition_values = values,
        .size_bytes = 4,
        .stats = AP_STR(""),
        .tags = AP_STR("") };
    struct ap_commit commit = { .base = base,
        .adds = &cell,
        .add_count = 1,
        .removes = removes,
        .remove_count = remove_count,
        .data_change = true,
        .scope = overwrite ? AP_READ_ALL : AP_READ_NOTHING,
        .operation = "WRITE",
        .expires_mono_us = begun_us + 12 * HOUR };
    uint64_t version = 0;
    enum apiary_code code = ap_ledger_commit(ledger, &commit, &version, NULL, &err);
    if (code != APIARY_OK) ap_backoff(sim_env(node), 3, 20000, 2000000);
    ap_snapshot_unref(base);
}

static void write_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct ap_ledger *ledger = open_frame(node, sim_store(node));
    for (; person->rounds < ROUNDS && !sim_crashed(node); person->rounds++) {
        write_once(node, person, ledger);
        sleep_up_to(node, 2 * DAY);
    }
    ap_ledger_close(ledger);
}

/* Is the cell there? Errors that are no answer are asked again. */
static bool is_gone(struct sim_node *node, const struct ap_cell *cell)
{
    struct apiary_error err;
    char key[128];
    snprintf(key, sizeof key, "t/" AP_FMT, AP_ARG(cell->path));
    for (int i = 0; i < PATIENCE && !sim_crashed(node); i++) {
        AP_AUTO(ap_bytes) body = { 0 };
        enum apiary_code code =
            ap_store_get(sim_store(node), key, AP_RANGE_ALL, &body, NULL, &err);
        if (code == APIARY_OK) return false;
        if (code == APIARY_NOT_FOUND) return true;
    }
    return false;
}

/* Whether the version was still the newest within the retention (as the store tells times). */
static bool within_retention(struct sim *sim, uint64_t version)
{
    struct apiary_error err;
    char key[80];
    struct ap_object object = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    snprintf(key, sizeof key, "t/_delta_log/%020" PRIu64 ".json", version + 1);
    if (ap_store_get(sim_bare(sim), key, AP_RANGE_ALL, &body, &object, &err) != APIARY_OK)
        return true;
    return ap_now_us(sim_bare_env(sim)) - object.modified_us < RETENTION - 2 * WAIT;
}

static void read_once(struct sim_node *node, struct person *person, struct ap_ledger *ledger)
{
    struct sim *sim = sim_of(node);
    int64_t begun_us = sim_now_us(sim);
    struct ap_snapshot *snapshot = see(node, ledger, NULL);
    if (snapshot != NULL && !person->plan->override && snapshot->version > 0 && sim_pick(sim, 2)) {
        struct ap_at at = { .kind = AP_AT_VERSION,
            .version = snapshot->version - 1 - sim_pick(sim, snapshot->version) };
        ap_snapshot_unref(snapshot);
        begun_us = sim_now_us(sim);
        bool kept = within_retention(sim, at.version);
        snapshot = kept ? see(node, ledger, &at) : NULL;
    }
    for (size_t i = 0; snapshot != NULL && i < snapshot->cell_count && !sim_crashed(node); i++) {
        sleep_up_to(node, WAIT / 4);
        bool gone = is_gone(node, &snapshot->cells[i]);
        bool in_time = sim_now_us(sim) - begun_us < WAIT;
        if (gone && in_time && !sim_crashed(node))
            sim_fail(sim, "version %" PRIu64 " was read and its cell " AP_FMT " is gone",
                snapshot->version, AP_ARG(snapshot->cells[i].path));
        person->plan->reads += !gone;
    }
    ap_snapshot_unref(snapshot);
}

static void read_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct ap_ledger *ledger = open_frame(node, sim_store(node));
    for (; person->rounds < ROUNDS && !sim_crashed(node); person->rounds++) {
        read_once(node, person, ledger);
        sleep_up_to(node, 2 * DAY);
    }
    ap_ledger_close(ledger);
}

static void vacuum_once(struct sim_node *node, struct plan *plan, struct ap_ledger *ledger)
{
    struct apiary_error err;
    AP_AUTO(ap_vacuumed) done = { 0 };
    struct ap_vacuum_options options = { .retain_us = plan->override ? 0 : -1,
        .below_retention = plan->override,
        .wait_us = plan->no_wait ? 0 : WAIT };
    if (ap_ledger_vacuum(ledger, &options, &done, &err) != APIARY_OK) return;
    plan->vacuums++;
    plan->deleted += done.keys.count;
}

/* Pins an old version, sleeps, and wants to read all of it; or goes back to it. */
static void keep_once(struct sim_node *node, struct plan *plan, struct ap_ledger *ledger)
{
    struct sim *sim = sim_of(node);
    struct apiary_error err;
    char name[32];
    struct ap_snapshot *head = see(node, ledger, NULL);
    if (head == NULL || head->version == 0) {
        ap_snapshot_unref(head);
        return;
    }
    struct ap_at at = { .kind = AP_AT_VERSION, .version = sim_pick(sim, head->version) };
    ap_snapshot_unref(head);
    if (sim_pick(sim, 2)) {
        struct ap_restored done = { 0 };
        plan->restores += ap_ledger_restore(ledger, &at, NULL, &done, &err) == APIARY_OK;
        return;
    }
    snprintf(name, sizeof name, "p%d-%" PRIu64, sim_index(node), sim_pick(sim, 1000000000));
    if (ap_ledger_pin(ledger, name, at.version, &err) != APIARY_OK) return;
    plan->pins++;
    sleep_up_to(node, 10 * DAY);
    struct ap_snapshot *pinned = see(node, ledger, &at);
    for (size_t i = 0; pinned != NULL && i < pinned->cell_count && !sim_crashed(node); i++)
        if (is_gone(node, &pinned->cells[i]) && !sim_crashed(node))
            sim_fail(sim, "version %" PRIu64 " is pinned and its cell " AP_FMT " is gone",
                at.version, AP_ARG(pinned->cells[i].path));
    ap_snapshot_unref(pinned);
    if (ap_ledger_unpin(ledger, name, &err) != APIARY_OK) return;
}

static void keep_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct clocked clocked;
    clocked_init(&clocked, sim_store(node));
    struct ap_store *store = person->plan->own_clock ? &clocked.store : sim_store(node);
    struct ap_ledger *ledger = open_frame(node, store);
    for (; person->rounds < ROUNDS && !sim_crashed(node); person->rounds++) {
        if (sim_pick(sim_of(node), 3) == 0)
            keep_once(node, person->plan, ledger);
        else
            vacuum_once(node, person->plan, ledger);
        sleep_up_to(node, 3 * DAY);
    }
    ap_ledger_close(ledger);
}

/* ---- runs ---- */

static void check_head(struct sim *sim)
{
    struct apiary_error err;
    struct ap_ledger *ledger = NULL;
    struct ap_snapshot *head = NULL;
    struct ap_ledger_options options = {
        .env = sim_bare_env(sim), .store = sim_bare(sim), .prefix = "t", .name = "t"
    };
    ap_assert(ap_ledger_open(&options, &ledger, &err) == APIARY_OK);
    ap_assert(ap_ledger_snapshot(ledger, NULL, &head, &err) == APIARY_OK);
    for (size_t i = 0; i < head->cell_count; i++) {
        char key[128];
        AP_AUTO(ap_bytes) body = { 0 };
        snprintf(key, sizeof key, "t/" AP_FMT, AP_ARG(head->cells[i].path));
        if (ap_store_get(sim_bare(sim), key, AP_RANGE_ALL, &body, NULL, &err) != APIARY_OK)
            sim_fail(sim, "cell %s is live and gone", key);
    }
    ap_snapshot_unref(head);
    ap_ledger_close(ledger);
}

static const char *run_seed(uint64_t seed, void *arg)
{
    struct plan *plan = arg;
    struct sim_faults faults = sim_faults_all();
    faults.clock_skew_us_max = 3 * DAY;
    struct sim *sim = sim_new(seed, faults);
    struct person people[WRITERS + READERS + KEEPERS] = { 0 };
    sim_create_frame(sim);
    for (int i = 0; i < WRITERS + READERS + KEEPERS; i++) {
        people[i].plan = plan;
        sim_spawn(sim,
            i < WRITERS             ? write_some
            : i < WRITERS + READERS ? read_some
                                    : keep_some,
            &people[i]);
    }
    if (sim_run(sim)) check_head(sim);
    const char *blame = sim_blame(sim);
    snprintf(plan->blame, sizeof plan->blame, "%s", blame ? blame : "");
    sim_free(sim);
    return plan->blame[0] ? plan->blame : NULL;
}

static void run(const char *name, struct plan *plan)
{
    assert_true(sim_each(name, SEEDS, run_seed, plan));
    bool many = sim_seeds(SEEDS).count > 20;
    assert_true(!many ||
                (plan->deleted && plan->vacuums && plan->reads && plan->pins && plan->restores));
    print_message("%" PRIu64 " vacuums deleted %" PRIu64 " objects, %" PRIu64 " reads, %" PRIu64
                  " pins, %" PRIu64 " restores\n",
        plan->vacuums, plan->deleted, plan->reads, plan->pins, plan->restores);
}

static void nothing_is_read_after_vacuum(void **state)
{
    run("vacuum", &(struct plan) { 0 });
}

static void nor_when_the_retention_is_overridden(void **state)
{
    run("vacuum", &(struct plan) { .override = true });
}

static void a_vacuum_that_does_not_wait_is_caught(void **state)
{
    struct plan plan = { .override = true, .no_wait = true };
    assert_true(sim_catch(CATCH_SEEDS, run_seed, &plan) > 0);
}

static void a_vacuum_that_trusts_its_clock_is_caught(void **state)
{
    struct plan plan = { .own_clock = true };
    assert_true(sim_catch(CATCH_SEEDS, run_seed, &plan) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_read_after_vacuum),
        cmocka_unit_test(nor_when_the_retention_is_overridden),
        cmocka_unit_test(a_vacuum_that_does_not_wait_is_caught),
        cmocka_unit_test(a_vacuum_that_trusts_its_clock_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
