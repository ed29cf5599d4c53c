/* Several nodes create, drop, bring back and rename the same few names in one registry, and whole
 * hives with them, while everything goes wrong.
 *
 * Each registration has a location of its own, by which it is known in every slot afterwards.
 * Checked after each run: chains of slots without holes, each building on the one before; what was
 * acknowledged is there and never vanishes; what was refused is nowhere; each acknowledged change
 * made one slot and no more; nothing enters a hive that is closed. */
#include "apiary_test.h"

#include "catalog/registry.h"
#include "core/alloc.h"
#include "sim/sim.h"

#include <inttypes.h>

enum {
    NODES = 4,
    OPERATIONS = 6,
    ATTEMPTS_MAX = NODES * OPERATIONS * 8,
    SEEDS = 5000,
    CATCH_SEEDS = 500
};

enum kind {
    REGISTER,
    DROP,
    UNDROP,
    RENAME,
    CREATE_HIVE,
    DROP_HIVE,
    REGISTER_IN_HIVE,
    CREATE_BOX_IN_HIVE,
    KINDS
};
enum fate { UNKNOWN, DONE, REFUSED };

struct attempt {
    enum kind kind;
    enum fate fate;
    char location[32]; /* of registrations */
    int found;         /* by the checker: chains in which it is */
};

struct world {
    struct attempt attempts[ATTEMPTS_MAX];
    size_t count;
    bool trusting; /* planted: a lost reply is taken for success */
};

struct node_plan {
    struct world *world;
    int done; /* operations that have ended, over all boots */
};

/* ---- a node ---- */

static const char *const names[] = { "a", "B", "c" };

static struct ap_name3 name_of(const char *hive, const char *box, const char *frame)
{
    struct ap_name3 name;
    memset(&name, 0, sizeof name);
    snprintf(name.hive, sizeof name.hive, "%s", hive);
    snprintf(name.box, sizeof name.box, "%s", box);
    snprintf(name.frame, sizeof name.frame, "%s", frame);
    return name;
}

static enum apiary_code enter(struct ap_catalog *catalog, struct attempt *attempt,
    const struct ap_name3 *name, struct apiary_error *err)
{
    const struct ap_new_entry entry = {
        .kind = AP_ENTRY_FRAME, .name = name, .location = attempt->location, .external = true
    };
    return ap_catalog_register(catalog, &entry, err);
}

static enum apiary_code act(
    struct ap_catalog *catalog, struct sim *sim, struct attempt *attempt, struct apiary_error *err)
{
    const char *one = names[sim_pick(sim, AP_COUNT(names))],
               *two = names[sim_pick(sim, AP_COUNT(names))];
    const struct ap_name3 name = name_of("main", "main", one), other = name_of("main", "main", two);
    const struct ap_name3 inside = name_of("h", "b", one);
    bool created = false;
    switch (attempt->kind) {
        case REGISTER: return enter(catalog, attempt, &name, err);
        case DROP: return ap_catalog_drop_entry(catalog, &name, AP_ENTRY_FRAME, err);
        case UNDROP: return ap_catalog_undrop(catalog, &name, err);
        case RENAME:
            if (one == two) return ap_fail(err, APIARY_INVALID, "the same name");
            return ap_catalog_rename_entry(catalog, &name, &other, err);
        case CREATE_HIVE: return ap_catalog_create_hive(catalog, "h", false, &created, err);
        case DROP_HIVE: return ap_catalog_drop_hive(catalog, "H", true, err);
        case REGISTER_IN_HIVE: return enter(catalog, attempt, &inside, err);
        case CREATE_BOX_IN_HIVE:
            return ap_catalog_create_box(catalog, "h", "b", false, &created, err);
        case KINDS: break;
    }
    return APIARY_INTERNAL;
}

/* What a node may be told; anything else is a mistake of the catalogue. */
static enum fate fate_of(struct sim *sim, enum apiary_code code, const struct apiary_error *err)
{
    switch (code) {
        case APIARY_OK: return DONE;
        case APIARY_UNCERTAIN: return UNKNOWN;
        case APIARY_EXISTS:
        case APIARY_NOT_FOUND:
        case APIARY_INVALID:
        case APIARY_IO: return REFUSED;
        case APIARY_CORRUPT:
            /* A get that stayed broken through all tries; a slot that cannot be read is named so.
             */
            if (!strstr(err->message, "registry slot")) return REFUSED;
            break;
        default: break;
    }
    sim_fail(sim, "told %s: %s", ap_code_name((int)code), err->message);
    return UNKNOWN;
}

static void operate(struct sim_node *node, struct ap_catalog *catalog, struct world *world)
{
    struct sim *sim = sim_of(node);
    struct apiary_error err = { 0 };
    ap_assert(world->count < ATTEMPTS_MAX);
    size_t index = world->count++;
    struct attempt *attempt = &world->attempts[index];
    attempt->kind = sim_pick(sim, 2) ? REGISTER : (enum kind)sim_pick(sim, KINDS);
    snprintf(attempt->location, sizeof attempt->location, "/t/%zu", index);
    enum apiary_code code = act(catalog, sim, attempt, &err);
    if (sim_crashed(node)) return;
    attempt->fate = fate_of(sim, code, &err);
}

/* The planted mistake sits in the store that the catalogue is given. */
struct liar {
    struct ap_store store;
    struct ap_store_ops ops;
    struct ap_store *inner;
};

static enum apiary_code trusting_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct liar *liar = (struct liar *)(void *)store;
    enum apiary_code code = liar->inner->ops->put_if_absent(liar->inner, key, body, err);
    return code == APIARY_UNCERTAIN ? APIARY_OK : code;
}

static enum apiary_code liar_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return ap_store_put(((struct liar *)(void *)store)->inner, key, body, err);
}

static void liar_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    ap_store_get_many(((struct liar *)(void *)store)->inner, gets, count);
}

static enum apiary_code liar_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    return ap_store_list(((struct liar *)(void *)store)->inner, request, out, err);
}

static enum apiary_code liar_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return ap_store_delete_many(((struct liar *)(void *)store)->inner, keys, count, err);
}

static void run_node(struct sim_node *node, void *arg)
{
    struct node_plan *plan = arg;
    struct apiary_error err = { 0 };
    struct ap_catalog *catalog = NULL;
    struct ap_store *store = sim_store(node);
    struct liar liar = { .store = *store,
        .inner = store,
        .ops = { .put = liar_put,
            .put_if_absent = trusting_put,
            .get_many = liar_get_many,
            .list = liar_list,
            .delete_many = liar_delete_many } };
    liar.store.ops = &liar.ops;
    if (plan->world->trusting) store = &liar.store;
    if (ap_catalog_open(sim_env(node), store, NULL, &catalog, &err) != APIARY_OK) {
        sim_fail(sim_of(node), "cannot open: %s", err.message);
        return;
    }
    while (plan->done < OPERATIONS && !sim_crashed(node)) {
        operate(node, catalog, plan->world);
        if (!sim_crashed(node)) plan->done++;
    }
    ap_catalog_close(catalog);
}

/* ---- the checker ---- */

struct chain_check {
    struct sim *sim;
    struct world *world;
    const char *prefix;
    enum ap_registry_kind kind;
    size_t slots;
    size_t closings;
    size_t hives; /* hives ever in the list, but the first */
};

static size_t entries_of(const struct ap_registry *state)
{
    size_t count = 0;
    for (size_t i = 0; i < state->count; i++) count += ap_thing_is_entry(&state->things[i]);
    return count;
}

/* What may change from one state to the next. */
static void check_step(
    struct chain_check *check, const struct ap_registry *before, const struct ap_registry *after)
{
    if (strcmp(after->base, before->txn) != 0)
        sim_fail(check->sim, "%s: version %" PRId64 " does not build on the one before",
            check->prefix, after->version);
    if (strcmp(after->txn, before->txn) == 0)
        sim_fail(
            check->sim, "%s: version %" PRId64 " is there twice", check->prefix, after->version);
    if (before->closed_us && entries_of(after) != entries_of(before))
        sim_fail(check->sim, "%s: version %" PRId64 " enters something into a closed hive",
            check->prefix, after->version);
    for (size_t i = 0; i < before->count; i++)
        if (!ap_registry_by_id(after, before->things[i].id))
            sim_fail(check->sim, "%s: '%s' vanished at version %" PRId64, check->prefix,
                before->things[i].name, after->version);
    check->closings += !before->closed_us && after->closed_us;
}

static void note_entries(struct chain_check *check, const struct ap_registry *last)
{
    for (size_t i = 0; i < last->count; i++) {
        const struct ap_thing *thing = &last->things[i];
        if (thing->kind == AP_THING_HIVE)
            check->hives += strcmp(thing->id, AP_REGISTRY_FIRST_ID) != 0;
        if (thing->kind != AP_THING_FRAME) continue;
        size_t index = strtoul(thing->location + 3, NULL, 10);
        if (index < check->world->count)
            check->world->attempts[index].found++;
        else
            sim_fail(check->sim, "%s: nobody registered %s", check->prefix, thing->location);
    }
}

static void check_chain(struct chain_check *check, const struct ap_list *list)
{
    struct apiary_error err = { 0 };
    AP_AUTO_REGISTRY *before = NULL;
    size_t size = strlen(check->prefix);
    for (size_t i = 0; i < list->count; i++) {
        const char *key = list->objects[i].key;
        char expected[128];
        AP_AUTO(ap_bytes) body = { 0 };
        AP_AUTO_REGISTRY *state = NULL;
        if (strncmp(key, check->prefix, size) != 0 || key[size] != '/' ||
            strcmp(key + size + 1, "latest") == 0)
            continue;
        snprintf(expected, sizeof expected, "%s/%020zu.json", check->prefix, check->slots);
        if (strcmp(key, expected) != 0)
            sim_fail(check->sim, "a hole: %s instead of %s", key, expected);
        ap_assert(
            ap_store_get(sim_bare(check->sim), key, AP_RANGE_ALL, &body, NULL, &err) == APIARY_OK);
        int64_t version = (int64_t)check->slots;
        if (ap_registry_parse(ap_bytes_view(&body), key, check->kind, version, &state, &err) !=
            APIARY_OK) {
            sim_fail(check->sim, "%s", err.message);
            return;
        }
        if (before)
            check_step(check, before, state);
        else
            check->closings += state->closed_us != 0; /* a hive that never held anything */
        ap_registry_drop(before);
        before = AP_TAKE(state);
        check->slots++;
    }
    if (before) note_entries(check, before);
}

/* done <= what is there <= done and unknown together */
static void check_count(
    struct sim *sim, const char *what, size_t there, size_t done, size_t unknown)
{
    if (there < done || there > done + unknown)
        sim_fail(sim, "%zu %s, but %zu were acknowledged and %zu are unknown", there, what, done,
            unknown);
}

static size_t count(const struct world *world, enum fate fate, unsigned kinds)
{
    size_t sum = 0;
    for (size_t i = 0; i < world->count; i++)
        sum += world->attempts[i].fate == fate && (kinds >> world->attempts[i].kind & 1);
    return sum;
}

static void check_attempts(struct sim *sim, const struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        const struct attempt *attempt = &world->attempts[i];
        if (attempt->kind != REGISTER && attempt->kind != REGISTER_IN_HIVE) continue;
        if (attempt->found > 1) sim_fail(sim, "%s is registered twice", attempt->location);
        if (attempt->fate == DONE && !attempt->found)
            sim_fail(sim, "%s was acknowledged and is lost", attempt->location);
        if (attempt->fate == REFUSED && attempt->found)
            sim_fail(sim, "%s was refused and is there", attempt->location);
    }
}

static void check(struct sim *sim, struct world *world)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    const struct ap_list_request request = { .prefix = "_registry/" };
    size_t closings = 0;
    ap_assert(ap_store_list(sim_bare(sim), &request, &list, &err) == APIARY_OK);
    struct chain_check hives = {
        .sim = sim, .world = world, .prefix = "_registry/hives", .kind = AP_REGISTRY_HIVES
    };
    check_chain(&hives, &list);
    for (size_t i = 0; i < list.count; i++) {
        const char *key = list.objects[i].key, *slash = strchr(key + 10, '/');
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%.*s", (int)(slash - key), key);
        bool first = i == 0 || strncmp(list.objects[i - 1].key, key, strlen(prefix) + 1) != 0;
        if (!first || strcmp(prefix, "_registry/hives") == 0) continue;
        struct chain_check one = {
            .sim = sim, .world = world, .prefix = prefix, .kind = AP_REGISTRY_HIVE
        };
        check_chain(&one, &list);
        closings += one.closings;
        if (strcmp(prefix, "_registry/" AP_REGISTRY_FIRST_ID) != 0) continue;
        const unsigned changes = 1u << REGISTER | 1u << DROP | 1u << UNDROP | 1u << RENAME;
        check_count(sim, "slots of hive main", one.slots, count(world, DONE, changes),
            count(world, UNKNOWN, changes));
    }
    check_attempts(sim, world);
    check_count(sim, "hives", hives.hives, count(world, DONE, 1u << CREATE_HIVE),
        count(world, UNKNOWN, 1u << CREATE_HIVE));
    check_count(sim, "hives closed", closings, count(world, DONE, 1u << DROP_HIVE),
        count(world, UNKNOWN, 1u << DROP_HIVE));
}

/* ---- runs ---- */

struct totals {
    struct sim_faults faults;
    bool trusting;
    uint64_t done, refused, unknown;
    struct sim_tally tally;
};

static const char *run_seed(uint64_t seed, void *arg)
{
    static char blame[1024];
    static struct world world;
    struct totals *totals = arg;
    struct node_plan plans[NODES];
    struct sim *sim = sim_new(seed, totals->faults);
    memset(&world, 0, sizeof world);
    world.trusting = totals->trusting;
    for (int i = 0; i < NODES; i++) {
        plans[i] = (struct node_plan) { .world = &world };
        sim_spawn(sim, run_node, &plans[i]);
    }
    sim_run(sim);
    check(sim, &world);
    struct sim_tally tally = sim_tally(sim);
    totals->tally.crashes += tally.crashes;
    totals->tally.late += tally.late;
    totals->tally.lost += tally.lost;
    totals->tally.twice += tally.twice;
    totals->done += count(&world, DONE, ~0u);
    totals->refused += count(&world, REFUSED, ~0u);
    totals->unknown += count(&world, UNKNOWN, ~0u);
    bool bad = sim_blame(sim) != NULL;
    snprintf(blame, sizeof blame, "%s", bad ? sim_blame(sim) : "");
    sim_free(sim);
    return bad ? blame : NULL;
}

static void the_registry_is_kept(void **state)
{
    (void)state;
    struct totals totals = { .faults = sim_faults_all() };
    assert_true(sim_each("catalog", SEEDS, run_seed, &totals));
    if (sim_seeds(SEEDS).count < SEEDS) return;
    print_message("# %" PRIu64 " changes made, %" PRIu64 " refused, %" PRIu64 " unknown; %" PRIu64
                  " crashes, %" PRIu64 " lost, %" PRIu64 " late, %" PRIu64 " twice\n",
        totals.done, totals.refused, totals.unknown, totals.tally.crashes, totals.tally.lost,
        totals.tally.late, totals.tally.twice);
    assert_true(totals.tally.crashes > SEEDS / 20 && totals.tally.late > SEEDS / 20);
    assert_true(totals.tally.lost > SEEDS / 20 && totals.tally.twice > SEEDS / 20);
    assert_true(totals.done > (uint64_t)SEEDS * NODES && totals.refused > SEEDS);
}

static void without_faults_nothing_is_unknown(void **state)
{
    (void)state;
    struct totals totals = { 0 };
    assert_true(sim_each("catalog without faults", 300, run_seed, &totals));
    assert_int_equal(totals.unknown, 0);
    assert_int_equal(totals.done + totals.refused, sim_seeds(300).count * NODES * OPERATIONS);
}

static void planted_mistakes_are_caught(void **state)
{
    (void)state;
    struct totals ignoring = { .faults = { .ignore_condition = true } };
    struct totals trusting = { .faults = sim_faults_all(), .trusting = true };
    uint64_t first = sim_catch(CATCH_SEEDS, run_seed, &ignoring);
    uint64_t second = sim_catch(CATCH_SEEDS, run_seed, &trusting);
    print_message("# a store that ignores the condition: caught by seed %" PRIu64
                  "; a lost reply taken for success: %" PRIu64 "\n",
        first, second);
    assert_true(first > 0);
    assert_true(second > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_registry_is_kept),
        cmocka_unit_test(without_faults_nothing_is_unknown),
        cmocka_unit_test(planted_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
