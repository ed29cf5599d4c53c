/* Several writers and readers on one frame while everything goes wrong: the production ledger.
 *
 * Writers append, overwrite a partition, and rewrite cells without changing rows. Checked after
 * each run, by a fold of our own over the log as it lies in the store:
 *
 *   the log has no holes; each transaction stands in it at most once; what was acknowledged is
 * there, at its version; what was reported as not written is not every remove hits a cell that was
 * live; an overwrite missed nothing that was added to its partition every snapshot that anyone saw
 * is the fold of a prefix of the log
 *
 * Then the checker is checked: a writer that retries blindly, one that fails to look what won. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "core/json.h"
#include "ledger/ledger.h"
#include "sim/sim_frame.h"

#include <inttypes.h>

enum {
    WRITERS = 3,
    READERS = 1,
    COMMITS = 5,
    LOOKS = 8,
    PARTITIONS = 3,
    ATTEMPTS_MAX = WRITERS * COMMITS * 8,
    SIGHTS_MAX = 4096,
    CELLS_MAX = 512,
    VERSIONS_MAX = 512,
    SEEDS = 5000,
    CATCH_SEEDS = 500,
    PATIENCE = 60
};

enum fate { UNKNOWN, ACKNOWLEDGED, NOT_WRITTEN };

/* One try to commit; its cell's key is its identity. */
struct attempt {
    char key[32];
    enum fate fate;
    uint64_t version;
};

/* What somebody saw of the frame. */
struct sight {
    uint64_t version;
    uint64_t hash;
};

struct world {
    bool blind_retry, careless; /* planted mistakes */
    struct attempt attempts[ATTEMPTS_MAX];
    size_t attempt_count;
    struct sight sights[SIGHTS_MAX];
    size_t sight_count;
};

struct person {
    struct world *world;
    int done;
};

/* ---- seeing ---- */

static uint64_t hash_cell(struct ap_str path)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < path.size; i++)
        hash = (hash ^ (unsigned char)path.data[i]) * UINT64_C(1099511628211);
    return hash;
}

static void note_sight(
    struct sim_node *node, struct world *world, const struct ap_snapshot *snapshot)
{
    uint64_t hash = snapshot->cell_count;
    for (size_t i = 0; i < snapshot->cell_count; i++) hash += hash_cell(snapshot->cells[i].path);
    if (sim_crashed(node) || world->sight_count == SIGHTS_MAX) return;
    world->sights[world->sight_count++] = (struct sight) { snapshot->version, hash };
}

static struct ap_snapshot *see(
    struct sim_node *node, struct world *world, struct ap_ledger *ledger, const struct ap_at *at)
{
    struct apiary_error err;
    struct ap_snapshot *snapshot = NULL;
    for (int i = 0; i < PATIENCE && !sim_crashed(node) && !snapshot; i++)
        if (ap_ledger_snapshot(ledger, at, &snapshot, &err) != APIARY_OK)
            ap_backoff(sim_env(node), i, 20000, 2000000);
    if (snapshot) note_sight(node, world, snapshot);
    return snapshot;
}

static struct ap_ledger *open_frame(struct sim_node *node)
{
    struct apiary_error err;
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = {
        .env = sim_env(node), .store = sim_store(node), .prefix = "t", .name = "t"
    };
    ap_assert(ap_ledger_open(&options, &ledger, &err) == APIARY_OK);
    return ledger;
}

/* ---- writing ---- */

enum work { APPEND, OVERWRITE, REWRITE };

/* The planted mistakes: a commit as people write it in an afternoon. */
static enum apiary_code commit_naively(struct sim_node *node, const struct world *world,
    const struct ap_commit *commit, uint64_t *version, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    ap_assert(ap_bytes_printf(&body, err,
                  "{\"commitInfo\":{\"operation\":\"%s\",\"readVersion\":%" PRIu64 "}}\n",
                  commit->operation, commit->base->version) == APIARY_OK);
    for (size_t i = 0; i < commit->remove_count; i++)
        ap_assert(
            ap_bytes_printf(&body, err, "{\"remove\":{\"path\":\"%.*s\",\"dataChange\":true}}\n",
                AP_ARG(commit->removes[i]->path)) == APIARY_OK);
    ap_assert(
        ap_bytes_printf(&body, err,
            "{\"add\":{\"path\":\"%.*s\",\"partitionValues\":{\"d\":\"%.*s\"},\"size\":1,"
            "\"modificationTime\":1,\"dataChange\":true}}\n",
            AP_ARG(commit->adds[0].key), AP_ARG(commit->adds[0].partition_values[0])) == APIARY_OK);
    uint64_t next = commit->base->version + 1;
    for (int i = 0; i < PATIENCE && !sim_crashed(node); i++) {
        char key[64];
        snprintf(key, sizeof key, "t/_delta_log/%020" PRIu64 ".json", next);
        enum apiary_code code =
            ap_store_put_if_absent(sim_store(node), key, ap_bytes_view(&body), err);
        if (code == APIARY_OK) *version = next;
        if (code == APIARY_OK) return code;
        /* careless: looks whose it is, but not what it did */
        AP_AUTO(ap_bytes) there = { 0 };
        bool look = code == APIARY_CONFLICT || code == APIARY_UNCERTAIN;
        enum apiary_code seen = world->careless && look ? ap_store_get(sim_store(node), key,
                                                              AP_RANGE_ALL, &there, NULL, err)
                                                        : APIARY_IO;
        if (world->careless && seen == APIARY_OK &&
            ap_str_equal(ap_bytes_view(&there), ap_bytes_view(&body))) {
            *version = next;
            return APIARY_OK;
        }
        if (world->careless ? seen == APIARY_OK : code == APIARY_CONFLICT)
            next++;
        else
            ap_backoff(sim_env(node), i, 20000, 1000000);
    }
    return ap_fail(err, APIARY_UNCERTAIN, "tired");
}

static void write_once(struct sim_node *node, struct person *person, struct ap_ledger *ledger)
{
    struct sim *sim = sim_of(node);
    struct world *world = person->world;
    struct apiary_error err;
    struct ap_snapshot *base = ap_ledger_cached(ledger);
    if (!base || sim_pick(sim, 3) == 0) {
        ap_snapshot_unref(base);
        base = see(node, world, ledger, NULL);
    }
    if (!base || sim_crashed(node)) {
        ap_snapshot_unref(base);
        return;
    }
    ap_assert(world->attempt_count < ATTEMPTS_MAX);
    struct attempt *attempt = &world->attempts[world->attempt_count];
    uint64_t partition = sim_pick(sim, PARTITIONS), dice = sim_pick(sim, 10);
    enum work work = dice < 6 ? APPEND : dice < 8 ? OVERWRITE : REWRITE;
    char value[8];
    snprintf(value, sizeof value, "%" PRIu64, partition);
    snprintf(attempt->key, sizeof attempt->key, "d=%s/c%zu", value, world->attempt_count++);

    const struct ap_cell *removes[CELLS_MAX];
    size_t remove_count = 0;
    size_t remove_max = work == APPEND ? 0 : work == REWRITE ? 2 : CELLS_MAX;
    for (size_t i = 0; i < base->cell_count && remove_count < remove_max; i++)
        if (ap_str_is(base->cells[i].partition_values[0], value))
            removes[remove_count++] = &base->cells[i];
    struct ap_str values[1] = { ap_str_from(value) };
    struct ap_new_cell cell = { .key = ap_str_from(attempt->key),
        .partition_values = values,
        .size_bytes = 1,
        .stats = AP_STR(""),
        .tags = AP_STR("") };
    struct ap_str column = AP_STR("d");
    struct ap_literal literal = { AP_LITERAL_STRING, ap_str_from(value) };
    struct ap_predicate predicate = { .kind = AP_PREDICATE_COMPARE,
        .column = &column,
        .column_depth = 1,
        .compare = AP_EQ,
        .values = &literal,
        .value_count = 1 };
    struct ap_commit commit = { .base = base,
        .adds = &cell,
        .add_count = 1,
        .removes = removes,
        .remove_count = remove_count,
        .data_change = work != REWRITE,
        .scope = work == OVERWRITE ? AP_READ_PREDICATE : AP_READ_NOTHING,
        .read_predicate = &predicate,
        .operation = work == APPEND      ? "WRITE"
                     : work == OVERWRITE ? "OVERWRITE"
                                         : "OPTIMIZE" };
    uint64_t version = 0;
    struct ap_snapshot *after = NULL;
    bool naive = world->blind_retry || world->careless;
    enum apiary_code code = naive ? commit_naively(node, world, &commit, &version, &err)
                                  : ap_ledger_commit(ledger, &commit, &version, &after, &err);
    if (!sim_crashed(node)) {
        attempt->fate = code == APIARY_OK          ? ACKNOWLEDGED
                        : code == APIARY_UNCERTAIN ? UNKNOWN
                                                   : NOT_WRITTEN;
        attempt->version = version;
        person->done++;
        if (after) note_sight(node, world, after);
        if (after && after->version < version)
            sim_fail(sim, "commit %" PRIu64 " gave a snapshot of version %" PRIu64, version,
                after->version);
    }
    ap_snapshot_unref(after);
    ap_snapshot_unref(base);
}

static void write_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct ap_ledger *ledger = open_frame(node);
    for (int i = 0; i < COMMITS * 2 && person->done < COMMITS && !sim_crashed(node); i++) {
        write_once(node, person, ledger);
        if (sim_pick(sim_of(node), 8) == 0)
            ap_sleep_us(sim_env(node), (int64_t)sim_pick(sim_of(node), 7200) * 1000000);
    }
    ap_ledger_close(ledger);
}

static void read_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct ap_ledger *ledger = open_frame(node);
    uint64_t newest = 0;
    for (int i = 0; i < LOOKS && !sim_crashed(node); i++) {
        struct ap_at at = { .kind = i % 4 == 3 ? AP_AT_VERSION : AP_AT_NEWEST,
            .version = newest / 2 };
        struct ap_snapshot *snapshot = see(node, person->world, ledger, &at);
        if (snapshot && at.kind == AP_AT_NEWEST) {
            if (snapshot->version < newest)
                sim_fail(sim_of(node), "a reader went back from version %" PRIu64 " to %" PRIu64,
                    newest, snapshot->version);
            newest = snapshot->version;
        }
        ap_snapshot_unref(snapshot);
        ap_sleep_us(sim_env(node), (int64_t)sim_pick(sim_of(node), 600) * 1000000);
    }
    ap_ledger_close(ledger);
}

/* ---- the checker: a fold of its own ---- */

struct model {
    struct sim *sim;
    struct world *world;
    char cells[CELLS_MAX][32];
    uint64_t born[CELLS_MAX]; /* version that added it */
    size_t count;
    uint64_t hashes[VERSIONS_MAX];
};

static struct attempt *attempt_of(struct world *world, const char *key)
{
    for (size_t i = 0; i < world->attempt_count; i++)
        if (strcmp(world->attempts[i].key, key) == 0) return &world->attempts[i];
    return NULL;
}

static void model_remove(struct model *model, uint64_t version, const char *path)
{
    size_t i = 0;
    while (i < model->count && strcmp(model->cells[i], path) != 0) i++;
    if (i == model->count) {
        sim_fail(model->sim, "version %" PRIu64 " removes %s, which is not there", version, path);
        return;
    }
    model->count--;
    memcpy(model->cells[i], model->cells[model->count], sizeof model->cells[i]);
    model->born[i] = model->born[model->count];
}

static void model_add(struct model *model, uint64_t version, const char *path, bool *standing)
{
    struct attempt *attempt = attempt_of(model->world, path);
    size_t number = attempt ? (size_t)(attempt - model->world->attempts) : 0;
    if (!attempt)
        sim_fail(model->sim, "version %" PRIu64 " adds %s, which nobody wrote", version, path);
    else if (standing[number])
        sim_fail(model->sim, "%s stands in the log twice", path);
    else if (attempt->fate == NOT_WRITTEN)
        sim_fail(model->sim, "%s was reported as not written and is at %" PRIu64, path, version);
    else if (attempt->fate == ACKNOWLEDGED && attempt->version != version)
        sim_fail(model->sim, "%s was acknowledged at %" PRIu64 " and is at %" PRIu64, path,
            attempt->version, version);
    if (attempt) standing[number] = true;
    ap_assert(model->count < CELLS_MAX);
    snprintf(model->cells[model->count], sizeof model->cells[0], "%s", path);
    model->born[model->count++] = version;
}

/* An overwrite that read version r leaves nothing in its partition that came between r and itself.
 */
static void check_overwrite(
    struct model *model, uint64_t version, uint64_t read, const char *partition)
{
    for (size_t i = 0; i < model->count; i++)
        if (strncmp(model->cells[i], partition, 4) == 0 && model->born[i] > read &&
            model->born[i] < version)
            sim_fail(model->sim,
                "version %" PRIu64 " overwrote %.3s and did not see %s of version %" PRIu64,
                version, partition, model->cells[i], model->born[i]);
}

static void fold_body(struct model *model, uint64_t version, struct ap_str body, bool *standing)
{
    bool overwrite = false;
    int64_t read = 0;
    char added[32] = "";
    while (body.size) {
        const char *end = memchr(body.data, '\n', body.size);
        size_t size = end ? (size_t)(end - body.data) : body.size;
        yyjson_doc *doc = yyjson_read(body.data, size, 0);
        body =
            (struct ap_str) { body.data + size + (end ? 1 : 0), body.size - size - (end ? 1 : 0) };
        yyjson_val *root = yyjson_doc_get_root(doc), *add = yyjson_obj_get(root, "add"),
                   *remove = yyjson_obj_get(root, "remove");
        yyjson_val *info = yyjson_obj_get(root, "commitInfo");
        if (!root) sim_fail(model->sim, "version %" PRIu64 " is not JSON", version);
        if (info) overwrite = yyjson_equals_str(yyjson_obj_get(info, "operation"), "OVERWRITE");
        if (info) read = yyjson_get_sint(yyjson_obj_get(info, "readVersion"));
        if (remove) model_remove(model, version, yyjson_get_str(yyjson_obj_get(remove, "path")));
        if (add) snprintf(added, sizeof added, "%s", yyjson_get_str(yyjson_obj_get(add, "path")));
        yyjson_doc_free(doc);
    }
    if (overwrite) check_overwrite(model, version, (uint64_t)read, added);
    if (*added) model_add(model, version, added, standing);
    model->hashes[version] = model->count;
    for (size_t i = 0; i < model->count; i++)
        model->hashes[version] += hash_cell(ap_str_from(model->cells[i]));
}

static uint64_t fold_log(struct model *model, bool *standing)
{
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "t/_delta_log/" };
    ap_assert(ap_store_list(sim_bare(model->sim), &request, &list, &err) == APIARY_OK);
    for (uint64_t version = 0; version < list.count; version++) {
        AP_AUTO(ap_bytes) body = { 0 };
        char key[64];
        snprintf(key, sizeof key, "t/_delta_log/%020" PRIu64 ".json", version);
        if (strcmp(key, list.objects[version].key) != 0) {
            sim_fail(model->sim, "a hole: %s instead of %s", list.objects[version].key, key);
            return version;
        }
        ap_assert(version < VERSIONS_MAX);
        ap_assert(
            ap_store_get(sim_bare(model->sim), key, AP_RANGE_ALL, &body, NULL, &err) == APIARY_OK);
        fold_body(model, version, ap_bytes_view(&body), standing);
    }
    return list.count;
}

static void check(struct sim *sim, struct world *world)
{
    static struct model model;
    bool standing[ATTEMPTS_MAX] = { false };
    memset(&model, 0, sizeof model);
    model.sim = sim;
    model.world = world;
    uint64_t versions = fold_log(&model, standing);
    for (size_t i = 0; i < world->attempt_count; i++)
        if (world->attempts[i].fate == ACKNOWLEDGED && !standing[i])
            sim_fail(sim, "%s was acknowledged and is not there", world->attempts[i].key);
    for (size_t i = 0; i < world->sight_count; i++) {
        const struct sight *sight = &world->sights[i];
        if (sight->version >= versions)
            sim_fail(sim, "version %" PRIu64 " was seen and is not there", sight->version);
        else if (model.hashes[sight->version] != sight->hash)
            sim_fail(sim, "what was seen of version %" PRIu64 " is not what the log says",
                sight->version);
    }
}

/* ---- runs ---- */

struct plan {
    bool blind_retry, careless;
    struct sim_tally tally; /* over all seeds */
    uint64_t acknowledged, refused, unknown;
    char blame[512];
};

static void count_fates(struct plan *plan, struct sim *sim, const struct world *world)
{
    struct sim_tally tally = sim_tally(sim);
    plan->tally.refused += tally.refused;
    plan->tally.lost += tally.lost;
    plan->tally.late += tally.late;
    plan->tally.twice += tally.twice;
    plan->tally.crashes += tally.crashes;
    for (size_t i = 0; i < world->attempt_count; i++) {
        plan->acknowledged += world->attempts[i].fate == ACKNOWLEDGED;
        plan->refused += world->attempts[i].fate == NOT_WRITTEN;
        plan->unknown += world->attempts[i].fate == UNKNOWN;
    }
}

static const char *run_seed(uint64_t seed, void *arg)
{
    struct plan *plan = arg;
    struct sim_faults faults = sim_faults_all();
    struct sim *sim = sim_new(seed, faults);
    struct world *world = ap_calloc(1, sizeof *world);
    struct person people[WRITERS + READERS] = { 0 };
    ap_assert(world);
    world->blind_retry = plan->blind_retry;
    world->careless = plan->careless;
    sim_create_frame(sim);
    for (int i = 0; i < WRITERS + READERS; i++) {
        people[i].world = world;
        sim_spawn(sim, i < WRITERS ? write_some : read_some, &people[i]);
    }
    if (sim_run(sim)) check(sim, world);
    const char *blame = sim_blame(sim);
    snprintf(plan->blame, sizeof plan->blame, "%s", blame ? blame : "");
    count_fates(plan, sim, world);
    ap_free(world);
    sim_free(sim);
    return plan->blame[0] ? plan->blame : NULL;
}

static void everything_goes_wrong(void **state)
{
    struct plan plan = { 0 };
    assert_true(sim_each("ledger", SEEDS, run_seed, &plan));
    bool many = sim_seeds(SEEDS).count > 20;
    assert_true(!many || (plan.tally.refused && plan.tally.lost && plan.tally.late &&
                             plan.tally.twice && plan.tally.crashes));
    assert_true(!many || (plan.acknowledged && plan.refused && plan.unknown));
    print_message("%" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64 " unknown\n",
        plan.acknowledged, plan.refused, plan.unknown);
}

static void blind_retry_is_caught(void **state)
{
    struct plan plan = { .blind_retry = true };
    assert_true(sim_catch(CATCH_SEEDS, run_seed, &plan) > 0);
}

static void committing_without_judging_is_caught(void **state)
{
    struct plan plan = { .careless = true };
    assert_true(sim_catch(CATCH_SEEDS, run_seed, &plan) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_goes_wrong),
        cmocka_unit_test(blind_retry_is_caught),
        cmocka_unit_test(committing_without_judging_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
