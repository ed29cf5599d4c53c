/* Queries of a swarm while everything goes wrong: production heartbeats, views, manifests, claims,
 * results, decisions, commits (to the production ledger) and garbage collection on the simulated
 * world. Only the work itself is a fake: a task sleeps and says its name.
 *
 * Checked at each write and after each run:
 *
 *   a query that was announced ends, with the right answer or one error that its tasks or the
 *   faults account for; once the faults have stopped none runs into its deadline
 *   what the submitter was told is what stands
 *   a query that writes is in the log once and whole, or not at all, and its outcome says which
 *   a query that was cancelled, failed or given up is not in the log
 *   nothing of a query is collected before it was decided, nor before the outcome of its commit
 *   the store's request counts stay within the budgets of docs/swarm.md
 *
 * Then the checker is checked with planted mistakes. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "core/json.h"
#include "ledger/ledger.h"
#include "sim/sim.h"
#include "swarm/submit.h"
#include "swarm/worker.h"

#include <inttypes.h>
#include <stdlib.h>

enum { NODES = 3, SUBMITTERS = 2, EACH = 2, QUERIES_MAX = SUBMITTERS * EACH * 5, TASKS_MAX = 6, SEEDS = 2500, CATCH_SEEDS = 400, PATIENCE = 40 };
#define SECOND INT64_C(1000000)
#define MINUTE (60 * SECOND)

enum mistake { NO_MISTAKE, COMMIT_WITHOUT_TXN, CLAIM_WITHOUT_NUMBER, OWN_CLOCK, COLLECT_EARLY, BLIND_DECISION };

struct query {
    struct ap_query_id id;
    char tasks[TASKS_MAX + 1]; /* a letter each: o fine, f fails at times, s wrong SQL, p kills, l long */
    bool writes, overwrites, announced, cancelled; /* announced: ap_submit said OK */
    bool told; /* the submitter lived to hear the end */
    enum ap_decision decision;
    enum apiary_code code;
    bool committed;
    char answer[TASKS_MAX * 64];
    /* from the witness */
    bool decided, out, manifest_gone;
    int commits;
    char decision_seen[16];
};

struct world {
    struct sim *sim;
    enum mistake mistake;
    struct query queries[QUERIES_MAX];
    size_t count;
    int64_t end_us, deadline_us;
    bool only_clocks;
};

/* ---- a store that makes a mistake ---- */

struct bent_store {
    struct ap_store store;
    struct ap_store *inner;
    struct sim_node *node;
    enum mistake mistake;
};

static struct bent_store *bent(struct ap_store *store)
{
    return (struct bent_store *)(void *)store;
}

static enum apiary_code bent_put(struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return bent(store)->inner->ops->put(bent(store)->inner, key, body, err);
}

static enum apiary_code bent_put_if_absent(struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct bent_store *self = bent(store);
    char other[AP_KEY_MAX];
    const char *claim = strstr(key, "/c/");
    if (self->mistake == CLAIM_WITHOUT_NUMBER && claim != NULL) {
        snprintf(other, sizeof other, "%.*s.1", (int)(strrchr(key, '.') - key), key);
        return self->inner->ops->put_if_absent(self->inner, other, body, err);
    }
    if (self->mistake == BLIND_DECISION && strstr(key, "/0end") != NULL) {
        /* Whatever stands there is taken for one's own. */
        enum apiary_code code = self->inner->ops->put_if_absent(self->inner, key, body, err);
        return code == APIARY_CONFLICT ? APIARY_OK : code;
    }
    return self->inner->ops->put_if_absent(self->inner, key, body, err);
}

static void bent_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    bent(store)->inner->ops->get_many(bent(store)->inner, gets, count);
}

static enum apiary_code bent_list(struct ap_store *store, const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    struct bent_store *self = bent(store);
    AP_TRY(self->inner->ops->list(self->inner, request, out, err));
    if (self->mistake == OWN_CLOCK) out->now_us = ap_now_us(sim_env(self->node));
    if (self->mistake != COLLECT_EARLY) return APIARY_OK;
    /* 0end is enough: as if every outcome stood. */
    for (size_t i = 0; i < out->count; i++) {
        const char *end = strstr(out->objects[i].key, "/0end");
        struct ap_object like = out->objects[i];
        char key[AP_KEY_MAX];
        if (end == NULL) continue;
        snprintf(key, sizeof key, "%.*s/0out", (int)(end - out->objects[i].key), out->objects[i].key);
        bool there = i + 1 < out->count && strcmp(out->objects[i + 1].key, key) == 0;
        return there ? APIARY_OK : ap_list_add(out, key, &like, err);
    }
    return APIARY_OK;
}

static enum apiary_code bent_delete_many(struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return bent(store)->inner->ops->delete_many(bent(store)->inner, keys, count, err);
}

static struct ap_store *bend(struct bent_store *self, struct sim_node *node, enum mistake mistake)
{
    static const struct ap_store_ops ops = {
        .put = bent_put, .put_if_absent = bent_put_if_absent, .get_many = bent_get_many, .list = bent_list, .delete_many = bent_delete_many
    };
    if (mistake == NO_MISTAKE || mistake == COMMIT_WITHOUT_TXN) return sim_store(node);
    *self = (struct bent_store) { .store = *sim_store(node), .inner = sim_store(node), .node = node, .mistake = mistake };
    self->store.ops = &ops;
    return &self->store;
}

/* ---- the work: a fake ---- */

struct person {
    struct world *world;
    struct sim_node *node;
    struct bent_store bent;
    int submitted;
};

static struct query *find(struct world *world, const char *id)
{
    for (size_t i = 0; i < world->count; i++)
        if (strcmp(world->queries[i].id.text, id) == 0) return &world->queries[i];
    return NULL;
}

static bool sleep_for(struct sim_node *node, int64_t us, const struct ap_cancel *cancel)
{
    for (; us > 0 && !ap_cancel_requested(cancel) && !sim_crashed(node); us -= 2 * SECOND) ap_sleep_us(sim_env(node), us < 2 * SECOND ? us : 2 * SECOND);
    return !ap_cancel_requested(cancel) && !sim_crashed(node);
}

static enum apiary_code fake_run(void *context, const struct ap_manifest *manifest, size_t task, bool alone, const struct ap_cancel *cancel,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct person *person = context;
    struct sim *sim = sim_of(person->node);
    char kind = manifest->tasks[task].body.data[0];
    int64_t us = 100000 + (int64_t)sim_pick(sim, (uint64_t)(kind == 'l' ? 60 : 4) * SECOND);
    if (!sleep_for(person->node, us, cancel)) return ap_fail(err, APIARY_CANCELLED, "cancelled");
    if (kind == 'f' && sim_pick(sim, 3) == 0) return ap_fail(err, APIARY_IO, "a cell could not be read");
    if (kind == 's') return ap_fail(err, APIARY_SQL, "there is no function called frobnicate");
    if (kind == 'p') {
        if (sim_pick(sim, 2) == 0 && !sim_crashed(person->node)) sim_kill(person->node);
        return ap_fail(err, APIARY_CHAMBER, "the chamber died");
    }
    if (!manifest->writes) return ap_bytes_printf(out, err, "%s:%zu;", manifest->id.text, task);
    return ap_bytes_printf(out, err, "%s.%zu.%08" PRIx64 "\n", manifest->id.text, task, sim_pick(sim, UINT32_MAX));
}

static enum apiary_code fake_merge(void *context, const struct ap_manifest *manifest, const struct ap_partial *partials, size_t count,
    const struct ap_cancel *cancel, bool *again, struct ap_bytes *out, struct apiary_error *err)
{
    struct person *person = context;
    if (!sleep_for(person->node, (int64_t)sim_pick(sim_of(person->node), 3 * SECOND), cancel)) return ap_fail(err, APIARY_CANCELLED, "cancelled");
    *again = !manifest->writes && manifest->plan.data[0] == 'a';
    if (*again && strncmp(manifest->submitter.text, "answer", 6) != 0) return APIARY_OK;
    for (size_t i = 0; i < count; i++) AP_TRY(ap_bytes_add_str(out, partials[i].bytes, err));
    return APIARY_OK;
}

static struct ap_ledger *open_frame(struct ap_env *env, struct ap_store *store)
{
    struct apiary_error err;
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = { .env = env, .store = store, .prefix = "t", .name = "t" };
    ap_assert(ap_ledger_open(&options, &ledger, &err) == APIARY_OK);
    return ledger;
}

/* plan: "{letter}{base version}" */
static enum apiary_code commit_cells(struct person *person, struct ap_ledger *ledger, const struct ap_manifest *manifest, struct ap_str content,
    int64_t *version, struct apiary_error *err)
{
    struct ap_new_cell cells[TASKS_MAX];
    size_t count = 0;
    uint64_t base_version = 0, landed = 0;
    char app[64];
    struct ap_snapshot *base = NULL;
    const struct query *query = find(person->world, manifest->id.text);
    ap_assert(ap_str_to_u64((struct ap_str) { manifest->plan.data + 1, manifest->plan.size - 1 }, &base_version));
    for (const char *at = content.data; at < content.data + content.size && count < TASKS_MAX; at = strchr(at, '\n') + 1)
        cells[count++] = (struct ap_new_cell) { .key = { at, (size_t)(strchr(at, '\n') - at) }, .size_bytes = 1 };
    struct ap_at at = { .kind = AP_AT_VERSION, .version = base_version };
    AP_TRY(ap_ledger_snapshot(ledger, &at, &base, err));
    snprintf(app, sizeof app, "apiary:%s", manifest->id.text);
    struct ap_commit commit = { .base = base, .adds = cells, .add_count = count, .data_change = true, .operation = "WRITE",
        .scope = query->overwrites ? AP_READ_ALL : AP_READ_NOTHING,
        .txn_app_id = person->world->mistake == COMMIT_WITHOUT_TXN ? NULL : app, .txn_version = 1 };
    enum apiary_code code = ap_ledger_commit(ledger, &commit, &landed, NULL, err);
    ap_snapshot_unref(base);
    *version = code == APIARY_OK ? (int64_t)landed : -1;
    return code == APIARY_EXISTS ? APIARY_OK : code;
}

static enum apiary_code fake_commit(void *context, const struct ap_manifest *manifest, struct ap_str content, int64_t *version, struct apiary_error *err)
{
    struct person *person = context;
    struct ap_ledger *ledger = open_frame(sim_env(person->node), sim_store(person->node));
    enum apiary_code code = commit_cells(person, ledger, manifest, content, version, err);
    ap_ledger_close(ledger);
    return code;
}

static struct ap_swarm swarm_of(struct person *person, struct sim_node *node)
{
    struct ap_swarm swarm = { .env = sim_env(node), .store = bend(&person->bent, node, person->world->mistake), .heartbeat_us = SECOND,
        .port = { person, NULL, fake_run, fake_merge, fake_commit } };
    person->node = node;
    ap_id_random(swarm.env, swarm.boot.text);
    return swarm;
}

/* ---- a node ---- */

struct life {
    struct ap_worker *worker;
};

static void figures(void *context, struct ap_node_figures *out)
{
    *out = (struct ap_node_figures) { .bees = 2, .memory_bytes = 1 };
}

static enum apiary_code tasks(void *context, struct ap_bytes *out, struct apiary_error *err)
{
    return ap_worker_tasks(((struct life *)context)->worker, out, err);
}

static void live(struct sim_node *sim_node, void *arg)
{
    struct person *person = arg;
    struct life life = { 0 };
    struct ap_node *node = NULL;
    int slots = 1 + (int)sim_pick(sim_of(sim_node), 2);
    struct ap_swarm swarm = swarm_of(person, sim_node);
    uint64_t memory_mb = 512 + 512 * (uint64_t)sim_index(sim_node);
    struct ap_worker_options options = { .swarm = swarm, .slots = slots, .memory_per_bee_mb = memory_mb };
    if (sim_pick(sim_of(sim_node), 8) == 0) sim_slow_down(sim_node, 300000);
    if (ap_worker_new(&options, &life.worker, NULL) != APIARY_OK) return;
    struct ap_node_options beat = { .name = "n", .boot = swarm.boot, .caps = { (uint32_t)slots, memory_mb, SECOND / 1000, AP_SWARM_PROTOCOL },
        .store = swarm.store, .port = { &life, figures, tasks, &life } };
    enum apiary_code code = APIARY_IO;
    for (int i = 0; i < PATIENCE && code != APIARY_OK && !sim_crashed(sim_node); i++) {
        code = ap_node_start(swarm.env, &beat, &node, NULL);
        if (code != APIARY_OK) ap_sleep_us(swarm.env, 5 * SECOND);
    }
    if (code == APIARY_OK && ap_worker_start(life.worker, node, NULL) == APIARY_OK) {
        /* Some leave in good order and come back. */
        int64_t stay_us = sim_pick(sim_of(sim_node), 4) == 0 ? (int64_t)sim_pick(sim_of(sim_node), 3 * MINUTE) : person->world->end_us;
        int64_t until_us = sim_now_us(sim_of(sim_node)) + stay_us;
        if (until_us > person->world->end_us) until_us = person->world->end_us;
        while (!sim_crashed(sim_node) && sim_now_us(sim_of(sim_node)) < until_us) ap_sleep_us(swarm.env, 5 * SECOND);
        ap_worker_stop(life.worker);
    }
    if (node != NULL) {
        enum apiary_code left = ap_node_stop(node, NULL);
        (void)left;
    }
    ap_worker_free(life.worker);
}

static void live_on(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    while (!sim_crashed(node) && sim_now_us(sim_of(node)) < person->world->end_us) live(node, arg);
}

/* ---- a submitter ---- */

static char pick_kind(struct sim *sim)
{
    static const char kinds[] = "ooooooooooooffffllsp";
    return sim_pick(sim, 3) > 0 ? 'o' : kinds[sim_pick(sim, sizeof kinds - 1)];
}

/* The frame's head, for the base of a query that writes. */
static bool see_head(const struct ap_swarm *swarm, struct sim_node *node, uint64_t *version)
{
    struct ap_ledger *ledger = open_frame(swarm->env, sim_store(node));
    struct ap_snapshot *snapshot = NULL;
    for (int i = 0; i < PATIENCE && snapshot == NULL && !sim_crashed(node); i++)
        if (ap_ledger_snapshot(ledger, NULL, &snapshot, NULL) != APIARY_OK) ap_backoff(swarm->env, i, 20000, 2 * SECOND);
    bool seen = snapshot != NULL;
    if (seen) *version = snapshot->version;
    ap_snapshot_unref(snapshot);
    ap_ledger_close(ledger);
    return seen;
}

static void note_end(struct query *query, const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end, const struct ap_outcome *outcome)
{
    AP_AUTO(ap_bytes) answer = { 0 };
    struct apiary_error why = { 0 };
    struct ap_manifest asked = *manifest;
    query->told = true;
    query->decision = end->decision;
    query->code = end->code;
    query->committed = end->decision == AP_END_COMMIT && outcome->committed;
    if (end->decision != AP_END_DONE) return;
    memcpy(asked.submitter.text, "answer", 6); /* the fake merge gives the rows to who asks like this */
    if (ap_submit_answer(swarm, &asked, end, NULL, &answer, &why) == APIARY_OK)
        snprintf(query->answer, sizeof query->answer, "%s", ap_bytes_text(&answer));
}

static void submit_one(struct sim_node *node, struct person *person, const struct ap_swarm *swarm)
{
    struct sim *sim = sim_of(node);
    struct world *world = person->world;
    AP_AUTO(ap_view) view = { 0 };
    struct ap_manifest_task list[TASKS_MAX] = { 0 };
    uint64_t base = 0;
    char plan[32];
    if (world->count == QUERIES_MAX) return;
    struct query *query = &world->queries[world->count++]; /* the other submitter takes the next one */
    query->writes = sim_pick(sim, 2) == 0;
    query->overwrites = query->writes && sim_pick(sim, 3) == 0;
    for (int i = 0; i < PATIENCE && !sim_crashed(node); i++) {
        if (ap_view_look(swarm->store, &view, NULL) == APIARY_OK) break;
        ap_backoff(swarm->env, i, 50000, 2 * SECOND);
    }
    if (view.now_us == 0 || (query->writes && !see_head(swarm, node, &base)) || sim_crashed(node)) return;
    ap_query_id_new(swarm->env, view.now_us, &query->id);
    size_t count = 1 + (size_t)sim_pick(sim, TASKS_MAX);
    for (size_t i = 0; i < count; i++) {
        query->tasks[i] = world->only_clocks ? 'o' : pick_kind(sim);
        list[i].body = (struct ap_str) { &query->tasks[i], 1 };
    }
    snprintf(plan, sizeof plan, "%c%" PRIu64, sim_pick(sim, 2) ? 'a' : 'k', base);
    struct ap_manifest manifest = { .id = query->id, .writes = query->writes, .submitter = swarm->boot, .created_us = view.now_us,
        .deadline_us = view.now_us + world->deadline_us, .task_timeout_us = 90 * SECOND, .tries = 3, .plan = ap_str_from(plan), .tasks = list,
        .task_count = count };
    if (ap_submit_assign(&view, &manifest, NULL) != APIARY_OK) abort();
    enum apiary_code code = ap_submit(swarm, &manifest, NULL);
    if (sim_crashed(node)) return;
    query->announced = code == APIARY_OK;
    if (!query->announced || sim_pick(sim, 5) == 0) return; /* detached */
    AP_AUTO(ap_end) end = { 0 };
    AP_AUTO(ap_outcome) outcome = { 0 };
    struct ap_cancel cancel = { .event_fd = -1 };
    if (sim_pick(sim, 6) == 0 && !world->only_clocks) {
        ap_sleep_us(swarm->env, (int64_t)sim_pick(sim, 20 * SECOND));
        query->cancelled = true;
        ap_cancel_request(&cancel);
    }
    code = ap_submit_wait(swarm, &manifest, &cancel, &end, &outcome, NULL);
    if (!sim_crashed(node) && code == APIARY_OK) note_end(query, swarm, &manifest, &end, &outcome);
}

static void submit_some(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct ap_swarm swarm = swarm_of(person, node);
    while (person->submitted < EACH && !sim_crashed(node) && sim_now_us(sim_of(node)) < person->world->end_us / 3) {
        ap_sleep_us(swarm.env, (int64_t)sim_pick(sim_of(node), 60 * SECOND));
        person->submitted++;
        submit_one(node, person, &swarm);
    }
}

/* ---- the checker ---- */

static void witness(void *context, const char *kind, const char *key, struct ap_str body)
{
    struct world *world = context;
    bool deleted = kind[0] == 'd';
    if (strncmp(key, "t/_delta_log/", 13) == 0 && !deleted) {
        for (size_t i = 0; i < world->count; i++)
            if (ap_str_find(body, ap_str_from(world->queries[i].id.text)) != SIZE_MAX) world->queries[i].commits++;
        return;
    }
    if (strncmp(key, "_queries/", 9) != 0) return;
    char id[AP_QUERY_ID_SIZE + 1];
    snprintf(id, sizeof id, "%.*s", AP_QUERY_ID_SIZE, key + 9);
    struct query *query = find(world, id);
    if (query == NULL) return;
    const char *name = key + 9 + AP_QUERY_ID_SIZE + 1;
    if (strcmp(name, "0end") == 0 && !deleted && !query->decided) {
        size_t at = ap_str_find(body, AP_STR("\"decision\":\""));
        query->decided = true;
        if (at != SIZE_MAX) snprintf(query->decision_seen, sizeof query->decision_seen, "%.*s", (int)strcspn(body.data + at + 12, "\""), body.data + at + 12);
    }
    if (strcmp(name, "0out") == 0 && !deleted) query->out = true;
    if (strcmp(name, "1manifest") == 0 && deleted) query->manifest_gone = true;
    if (!deleted || strcmp(name, "0end") == 0) return;
    if (!query->decided) sim_fail(world->sim, "%s was removed before the query was decided", key);
    if (strcmp(query->decision_seen, "commit") == 0 && !query->out)
        sim_fail(world->sim, "%s was removed before the outcome of the commit stood", key);
}

static void check_answer(struct sim *sim, const struct query *query)
{
    char expected[TASKS_MAX * 64];
    size_t used = 0;
    for (size_t i = 0; query->tasks[i] != '\0'; i++) used += (size_t)snprintf(expected + used, sizeof expected - used, "%s:%zu;", query->id.text, i);
    if (query->answer[0] != '\0' && strcmp(expected, query->answer) != 0) sim_fail(sim, "query %s: the answer is %s", query->id.text, query->answer);
    if (strpbrk(query->tasks, "sp") != NULL) sim_fail(sim, "query %s is done although a task of it cannot be", query->id.text);
}

static void check_log(struct world *world)
{
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "t/_delta_log/" };
    ap_assert(ap_store_list(sim_bare(world->sim), &request, &list, NULL) == APIARY_OK);
    for (size_t q = 0; q < world->count; q++) {
        const struct query *query = &world->queries[q];
        int versions = 0;
        for (size_t v = 0; v < list.count; v++) {
            AP_AUTO(ap_bytes) body = { 0 };
            ap_assert(ap_store_get(sim_bare(world->sim), list.objects[v].key, AP_RANGE_ALL, &body, NULL, NULL) == APIARY_OK);
            bool its = false;
            for (size_t t = 0; query->tasks[t] != '\0'; t++) {
                char cell[80];
                snprintf(cell, sizeof cell, "\"path\":\"%s.%zu.", query->id.text, t);
                const char *at = strstr(ap_bytes_text(&body), cell);
                if (at == NULL) {
                    if (its) sim_fail(world->sim, "query %s is in %s without task %zu", query->id.text, list.objects[v].key, t);
                    continue;
                }
                if (t > 0 && !its) sim_fail(world->sim, "query %s is in %s without its first tasks", query->id.text, list.objects[v].key);
                its = true;
                if (strstr(at + 1, cell) != NULL) sim_fail(world->sim, "task %zu of query %s is in %s twice", t, query->id.text, list.objects[v].key);
            }
            versions += its;
        }
        bool commit = strcmp(query->decision_seen, "commit") == 0;
        if (versions > 1) sim_fail(world->sim, "query %s was committed %d times", query->id.text, versions);
        if (versions > 0 && !commit) sim_fail(world->sim, "query %s is in the log and was decided as '%s'", query->id.text, query->decision_seen);
        if (query->told && query->committed && versions == 0) sim_fail(world->sim, "query %s was acknowledged and is not in the log", query->id.text);
        if (query->told && commit && !query->committed && versions > 0) sim_fail(world->sim, "query %s was reported as not committed and is in the log", query->id.text);
    }
}

struct sums {
    uint64_t queries, done, committed, conflicts, failed, cancelled, abandoned, late, collected, detached;
    struct sim_tally tally;
};

static void check(struct world *world, struct sums *sums)
{
    for (size_t i = 0; i < world->count; i++) {
        const struct query *query = &world->queries[i];
        if (!query->announced) continue;
        sums->queries++;
        sums->detached += !query->told;
        sums->collected += query->manifest_gone;
        if (!query->decided) {
            sim_fail(world->sim, "query %s (tasks %s) never ended", query->id.text, query->tasks);
            continue;
        }
        if (query->told && strcmp(ap_decision_text(query->decision), query->decision_seen) != 0)
            sim_fail(world->sim, "query %s was reported as %s and is %s", query->id.text, ap_decision_text(query->decision), query->decision_seen);
        bool bad = strpbrk(query->tasks, "sp") != NULL, shaky = strpbrk(query->tasks, "f") != NULL;
        if (query->told && query->decision == AP_END_DONE) check_answer(world->sim, query);
        if (query->told && query->decision == AP_END_FAILED && query->code == APIARY_TIMEOUT)
            sim_fail(world->sim, "query %s (tasks %s) ran into its deadline", query->id.text, query->tasks);
        if (query->told && query->decision == AP_END_FAILED && !bad && query->code != APIARY_TIMEOUT)
            sim_fail(world->sim, "query %s (tasks %s) failed: %s", query->id.text, query->tasks, ap_code_name((int)query->code));
        if (world->only_clocks && strcmp(query->decision_seen, "done") != 0 && strcmp(query->decision_seen, "commit") != 0)
            sim_fail(world->sim, "query %s is %s, and nothing was wrong but the clocks", query->id.text, query->decision_seen);
        if (query->decision == AP_END_CANCELLED && query->told && !query->cancelled) sim_fail(world->sim, "query %s: nobody cancelled it", query->id.text);
        bool commit = strcmp(query->decision_seen, "commit") == 0;
        if (commit && !query->out) sim_fail(world->sim, "query %s: nobody knows the outcome of its commit", query->id.text);
        sums->done += strcmp(query->decision_seen, "done") == 0;
        sums->committed += commit && query->commits > 0;
        sums->conflicts += commit && query->commits == 0;
        sums->failed += strcmp(query->decision_seen, "failed") == 0;
        sums->cancelled += strcmp(query->decision_seen, "cancelled") == 0;
        sums->abandoned += strcmp(query->decision_seen, "abandoned") == 0 && !bad && !shaky;
    }
    check_log(world);
}

/* ---- runs ---- */

static void create_frame(struct sim *sim)
{
    struct apiary_error err;
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_ledger *ledger = open_frame(sim_bare_env(sim), sim_bare(sim));
    struct ap_table_spec spec = { 0 };
    ap_assert(ap_schema_parse(&arena,
                  AP_STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"x\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"), &spec.schema, &err)
              == APIARY_OK);
    struct ap_commit commit = { .spec = &spec, .operation = "CREATE TABLE" };
    ap_assert(ap_ledger_commit(ledger, &commit, NULL, NULL, &err) == APIARY_OK);
    ap_ledger_close(ledger);
}

struct plan {
    enum mistake mistake;
    bool only_clocks, long_runs;
    struct sums sums;
    char blame[512];
};

static const char *run_seed(uint64_t seed, void *arg)
{
    struct plan *plan = arg;
    struct sim_faults faults = sim_faults_all();
    faults.late_us_max = 2 * MINUTE;
    faults.pause_us_max = 2 * MINUTE;
    faults.restarts_max = 100;
    faults.quiet_after_us = 5 * MINUTE;
    faults.crash_per_mille = 1;
    faults.pause_per_mille = 1;
    faults.refuse_percent = faults.lose_reply_percent = 3;
    faults.slow_us_max = 15 * SECOND;
    faults.slow_percent = 1;
    if (plan->only_clocks) faults = (struct sim_faults) { .clock_skew_us_max = 60 * MINUTE, .clock_step_per_mille = 5 };
    faults.steps_max = 6000000;
    struct sim *sim = sim_new(seed, faults);
    struct world *world = ap_calloc(1, sizeof *world);
    struct person people[NODES + SUBMITTERS] = { 0 };
    ap_assert(world);
    world->sim = sim;
    world->mistake = plan->mistake;
    world->only_clocks = plan->only_clocks;
    world->deadline_us = 14 * MINUTE;
    world->end_us = (plan->long_runs || seed % 8 == 0 ? 55 : 20) * MINUTE;
    create_frame(sim);
    sim_watch_writes(sim, witness, world);
    for (int i = 0; i < NODES + SUBMITTERS; i++) {
        people[i].world = world;
        sim_spawn(sim, i < NODES ? live_on : submit_some, &people[i]);
    }
    if (sim_run(sim)) check(world, &plan->sums);
    snprintf(plan->blame, sizeof plan->blame, "%s", sim_blame(sim) ? sim_blame(sim) : "");
    struct sim_tally tally = sim_tally(sim);
    uint64_t *sum = (uint64_t *)&plan->sums.tally;
    for (size_t i = 0; i < sizeof tally / sizeof *sum; i++) sum[i] += ((uint64_t *)&tally)[i];
    ap_free(world);
    sim_free(sim);
    return plan->blame[0] ? plan->blame : NULL;
}

static void everything_goes_wrong(void **state)
{
    struct plan plan = { 0 };
    const struct sums *s = &plan.sums;
    (void)state;
    assert_true(sim_each("swarm", SEEDS, run_seed, &plan));
    print_message("# %" PRIu64 " queries: %" PRIu64 " done, %" PRIu64 " committed, %" PRIu64 " conflicts, %" PRIu64 " failed, %" PRIu64
                  " cancelled, %" PRIu64 " given up by bad luck; %" PRIu64 " left alone by their submitter, %" PRIu64 " collected\n",
        s->queries, s->done, s->committed, s->conflicts, s->failed, s->cancelled, s->abandoned, s->detached, s->collected);
    print_message("# %" PRIu64 " store calls, %" PRIu64 " crashes, %" PRIu64 " pauses, %" PRIu64 " outages, %" PRIu64 " garbled, %" PRIu64 " late writes\n",
        s->tally.calls, s->tally.crashes, s->tally.pauses, s->tally.outages, s->tally.garbled, s->tally.late);
    if (sim_seeds(SEEDS).count < 100) return;
    assert_true(s->done > 0 && s->committed > 0 && s->conflicts > 0 && s->failed > 0 && s->cancelled > 0 && s->detached > 0 && s->collected > 0);
    assert_true(s->done + s->committed > s->queries / 2);
    assert_true(s->tally.crashes > 0 && s->tally.pauses > 0 && s->tally.outages > 0 && s->tally.garbled > 0 && s->tally.late > 0);
}

static void nobody_s_clock_matters(void **state)
{
    struct plan plan = { .only_clocks = true };
    (void)state;
    /* No fault but these: the seeds differ little, so a few are enough however many are asked for. */
    for (uint64_t seed = 1; seed <= 60; seed++) assert_null(run_seed(seed, &plan));
}

static void planted_mistakes_are_caught(void **state)
{
    static const struct {
        const char *name;
        struct plan plan;
    } mistakes[] = {
        { "commit without the transaction id", { .mistake = COMMIT_WITHOUT_TXN } },
        { "claim without a number", { .mistake = CLAIM_WITHOUT_NUMBER } },
        { "the node's own clock", { .mistake = OWN_CLOCK, .only_clocks = true } },
        { "collect before the outcome", { .mistake = COLLECT_EARLY, .long_runs = true } },
        { "a decision taken for one's own", { .mistake = BLIND_DECISION } },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(mistakes); i++) {
        struct plan plan = mistakes[i].plan;
        uint64_t seeds = sim_catch(CATCH_SEEDS, run_seed, &plan);
        assert_true_in(mistakes[i].name, seeds > 0);
        print_message("# %s: caught by seed %" PRIu64 ": %s\n", mistakes[i].name, seeds, plan.blame);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_goes_wrong),
        cmocka_unit_test(nobody_s_clock_matters),
        cmocka_unit_test(planted_mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
