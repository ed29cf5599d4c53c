/* Several writers settle consecutive slots of one log while everything goes wrong.
 *
 * Checked after each run: no holes; each transaction at most once; what was acknowledged is there,
 * at its version; what was reported as not written is not there. Then the checker is checked: three
 * ways in which people get this wrong must be found. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "sim/sim.h"
#include "storage/slot.h"

#include <inttypes.h>

enum {
    WRITERS = 4,
    COMMITS = 4,
    TRANSACTIONS_MAX = WRITERS * COMMITS * 8,
    SEEDS = 5000,
    CATCH_SEEDS = 500
};

enum fate { UNKNOWN, ACKNOWLEDGED, NOT_WRITTEN };

struct transaction {
    char id[32];
    enum fate fate;
    uint64_t version;
};

/* How a writer puts into a slot: production code, or a planted mistake. */
typedef enum apiary_code settle_function(struct sim_node *node, const char *key, struct ap_str body,
    bool *mine, struct apiary_error *err);

struct world {
    settle_function *settle;
    struct transaction transactions[TRANSACTIONS_MAX];
    size_t count;
};

struct writer {
    struct world *world;
    int done;  /* commits that have ended, over all boots */
    int tries; /* ids are never used twice */
};

/* ---- ways to settle ---- */

static enum apiary_code settle_right(struct sim_node *node, const char *key, struct ap_str body,
    bool *mine, struct apiary_error *err)
{
    enum ap_slot_outcome outcome;
    AP_AUTO(ap_bytes) theirs = { 0 };
    int64_t patience_us = INT64_C(120) * 1000000;
    struct ap_slot_options options = {
        .deadline_mono_us =
            sim_pick(sim_of(node), 4) ? INT64_MAX : ap_mono_us(sim_env(node)) + patience_us,
        .body_max = 1000,
    };
    AP_TRY(ap_slot_settle(sim_store(node), key, body, &options, &outcome, &theirs, err));
    *mine = outcome == AP_SLOT_MINE;
    if (!*mine && theirs.size == 0) sim_fail(sim_of(node), "%s is THEIRS without a body", key);
    return APIARY_OK;
}

/* Repeats until something definite is said, and believes that. */
static enum apiary_code settle_blindly(struct sim_node *node, const char *key, struct ap_str body,
    bool *mine, struct apiary_error *err)
{
    for (int i = 0; i < 60 && !sim_crashed(node); i++) {
        enum apiary_code code = ap_store_put_if_absent(sim_store(node), key, body, err);
        *mine = code == APIARY_OK;
        if (code == APIARY_OK || code == APIARY_CONFLICT) return APIARY_OK;
        ap_backoff(sim_env(node), i, 20000, 1000000);
    }
    return ap_fail(err, APIARY_UNCERTAIN, "tired");
}

/* Any error means that nothing was written. */
static enum apiary_code settle_hoping(struct sim_node *node, const char *key, struct ap_str body,
    bool *mine, struct apiary_error *err)
{
    enum apiary_code code = ap_store_put_if_absent(sim_store(node), key, body, err);
    *mine = code == APIARY_OK;
    if (code == APIARY_OK || code == APIARY_CONFLICT) return APIARY_OK;
    return ap_fail(err, APIARY_IO, "it failed");
}

/* Looks after an error, and takes "not there" for "never will be". */
static enum apiary_code settle_looking_once(struct sim_node *node, const char *key,
    struct ap_str body, bool *mine, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) seen = { 0 };
    enum apiary_code code = ap_store_put_if_absent(sim_store(node), key, body, err);
    *mine = true;
    if (code == APIARY_OK) return code;
    for (int i = 0; i < 60 && !sim_crashed(node); i++) {
        code = ap_store_get(sim_store(node), key, AP_RANGE_ALL, &seen, NULL, err);
        *mine = ap_str_equal(ap_bytes_view(&seen), body);
        if (code == APIARY_OK) return code;
        if (code == APIARY_NOT_FOUND) return ap_fail(err, APIARY_IO, "nothing was written");
    }
    return ap_fail(err, APIARY_UNCERTAIN, "tired");
}

/* ---- a writer ---- */

static void slot_key(uint64_t version, char out[64])
{
    snprintf(out, 64, "log/%020" PRIu64 ".json", version);
}

/* The version behind the newest; UINT64_MAX when the store does not say. */
static uint64_t read_head(struct sim_node *node)
{
    struct apiary_error err;
    struct ap_list_request request = { .prefix = "log/" };
    for (int i = 0; i < 50; i++) {
        AP_AUTO(ap_list) list = { 0 };
        if (ap_store_list(sim_store(node), &request, &list, &err) != APIARY_OK) continue;
        return list.count ? strtoull(list.objects[list.count - 1].key + 4, NULL, 10) + 1 : 0;
    }
    return UINT64_MAX;
}

static void commit(struct sim_node *node, struct writer *writer, uint64_t *next)
{
    struct world *world = writer->world;
    ap_assert(world->count < TRANSACTIONS_MAX);
    struct transaction *transaction = &world->transactions[world->count++];
    int size = snprintf(transaction->id, sizeof transaction->id, "node %d txn %d", sim_index(node),
        writer->tries++);
    struct ap_str body = { transaction->id, (size_t)size };
    for (;;) {
        struct apiary_error err;
        char key[64];
        bool mine = false;
        uint64_t version = *next;
        slot_key(version, key);
        enum apiary_code code = world->settle(node, key, body, &mine, &err);
        if (sim_crashed(node)) return;
        if (code == APIARY_OK) *next = version + 1;
        if (code == APIARY_OK && !mine) continue;
        transaction->fate = code == APIARY_OK          ? ACKNOWLEDGED
                            : code == APIARY_UNCERTAIN ? UNKNOWN
                                                       : NOT_WRITTEN;
        transaction->version = version;
        writer->done++;
        return;
    }
}

static void write_some(struct sim_node *node, void *arg)
{
    struct writer *writer = arg;
    uint64_t next = read_head(node);
    while (writer->done < COMMITS && next != UINT64_MAX && !sim_crashed(node))
        commit(node, writer, &next);
}

/* ---- the checker ---- */

static void check(struct sim *sim, const struct world *world)
{
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    bool seen[TRANSACTIONS_MAX] = { false };
    ap_assert(ap_store_list(sim_bare(sim), &request, &list, &err) == APIARY_OK);
    for (size_t v = 0; v < list.count; v++) {
        AP_AUTO(ap_bytes) body = { 0 };
        char key[64];
        slot_key(v, key);
        if (strcmp(key, list.objects[v].key) != 0) {
            sim_fail(sim, "a hole: %s instead of %s", list.objects[v].key, key);
            return;
        }
        ap_assert(ap_store_get(sim_bare(sim), key, AP_RANGE_ALL, &body, NULL, &err) == APIARY_OK);
        size_t t = 0;
        while (t < world->count && strcmp(world->transactions[t].id, ap_bytes_text(&body)) != 0)
            t++;
        if (t == world->count) {
            sim_fail(sim, "version %zu: nobody wrote '%s'", v, ap_bytes_text(&body));
            return;
        }
        const struct transaction *transaction = &world->transactions[t];
        if (seen[t]) sim_fail(sim, "'%s' is there twice, again at %zu", transaction->id, v);
        if (transaction->fate == NOT_WRITTEN)
            sim_fail(sim, "'%s' is at %zu and was reported as not written", transaction->id, v);
        if (transaction->fate == ACKNOWLEDGED && transaction->version != v)
            sim_fail(sim, "'%s' is at %zu and was promised at %" PRIu64, transaction->id, v,
                transaction->version);
        seen[t] = true;
    }
    for (size_t t = 0; t < world->count; t++)
        if (world->transactions[t].fate == ACKNOWLEDGED && !seen[t])
            sim_fail(sim, "'%s' was acknowledged and is lost", world->transactions[t].id);
}

struct totals {
    settle_function *settle;
    struct sim_faults faults;
    struct sim_tally tally;
    uint64_t acknowledged;
};

static const char *run_seed(uint64_t seed, void *arg)
{
    static char blame[1024];
    static struct world world;
    struct totals *totals = arg;
    struct writer writers[WRITERS];
    struct sim *sim = sim_new(seed, totals->faults);
    memset(&world, 0, sizeof world);
    world.settle = totals->settle;
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer) { .world = &world };
        sim_spawn(sim, write_some, &writers[i]);
    }
    sim_run(sim);
    check(sim, &world);
    struct sim_tally tally = sim_tally(sim);
    uint64_t *sum = (uint64_t *)&totals->tally;
    for (size_t i = 0; i < sizeof tally / sizeof *sum; i++) sum[i] += ((uint64_t *)&tally)[i];
    for (size_t t = 0; t < world.count; t++)
        totals->acknowledged += world.transactions[t].fate == ACKNOWLEDGED;
    bool bad = sim_blame(sim) != NULL;
    snprintf(blame, sizeof blame, "%s", bad ? sim_blame(sim) : "");
    sim_free(sim);
    return bad ? blame : NULL;
}

/* ---- tests ---- */

static void slots_are_settled(void **state)
{
    (void)state;
    struct totals totals = { .settle = settle_right, .faults = sim_faults_all() };
    assert_true(sim_each("slots", SEEDS, run_seed, &totals));
    if (sim_seeds(SEEDS).count < SEEDS) return;
    const struct sim_tally *t = &totals.tally;
    print_message("# %" PRIu64 " calls: %" PRIu64 " refused, %" PRIu64 " lost, %" PRIu64
                  " late, %" PRIu64 " twice, %" PRIu64 " broken reads, %" PRIu64
                  " crashes; %" PRIu64 " commits acknowledged\n",
        t->calls, t->refused, t->lost, t->late, t->twice, t->broken_reads, t->crashes,
        totals.acknowledged);
    /* The faults did happen, and in spite of them most got through. */
    const uint64_t *kinds = (const uint64_t *)&totals.tally;
    /* Of what lies here nothing has a hash of its own, so nothing is garbled: the last kind. */
    for (size_t i = 0; i < offsetof(struct sim_tally, garbled) / sizeof *kinds; i++)
        assert_true(kinds[i] > SEEDS / 20);
    assert_true(totals.acknowledged > (uint64_t)SEEDS * WRITERS * COMMITS / 2);
}

static void without_faults_all_is_written(void **state)
{
    (void)state;
    struct totals totals = { .settle = settle_right };
    assert_true(sim_each("slots without faults", 200, run_seed, &totals));
    assert_int_equal(totals.acknowledged, sim_seeds(200).count * WRITERS * COMMITS);
}

static void a_planted_mistake_is_caught(void **state)
{
    static const struct {
        const char *name;
        settle_function *settle;
    } mistakes[] = { { "blind retry", settle_blindly }, { "any error is failure", settle_hoping },
        { "not there means never", settle_looking_once } };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(mistakes); i++) {
        struct totals totals = { .settle = mistakes[i].settle, .faults = sim_faults_all() };
        uint64_t seeds = sim_catch(CATCH_SEEDS, run_seed, &totals);
        assert_true_in(mistakes[i].name, seeds > 0);
        print_message("# %s: caught by seed %" PRIu64 "\n", mistakes[i].name, seeds);
    }
}

static void a_store_that_ignores_the_condition_is_caught(void **state)
{
    (void)state;
    struct totals totals = { .settle = settle_right, .faults = { .ignore_condition = true } };
    assert_true(sim_catch(CATCH_SEEDS, run_seed, &totals) > 0);
}

static void a_seed_replays_exactly(void **state)
{
    struct sim_tally first = { 0 };
    (void)state;
    for (int round = 0; round < 2; round++) {
        struct totals totals = { .settle = settle_right, .faults = sim_faults_all() };
        for (uint64_t seed = 1; seed <= 20; seed++) assert_null(run_seed(seed, &totals));
        if (round == 0) first = totals.tally;
        assert_memory_equal(&first, &totals.tally, sizeof first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_settled),
        cmocka_unit_test(without_faults_all_is_written),
        cmocka_unit_test(a_planted_mistake_is_caught),
        cmocka_unit_test(a_store_that_ignores_the_condition_is_caught),
        cmocka_unit_test(a_seed_replays_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
