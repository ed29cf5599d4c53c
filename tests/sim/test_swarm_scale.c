/* What a swarm costs: requests counted by the store, in virtual time and without faults. Many nodes with
 * many tasks (AP_SCALE=10: ten times as many, 1,000 nodes with 100,000 tasks), one query's budget, a
 * node's idle hours. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "sim/sim.h"
#include "swarm/place.h"
#include "swarm/submit.h"
#include "swarm/worker.h"

#include <inttypes.h>
#include <stdlib.h>

#define SECOND INT64_C(1000000)
enum { NODES_MAX = 1100 };

/* Requests of one kind of key. */
struct requests {
    uint64_t put, list, get;
};

struct world {
    struct sim *sim;
    int nodes, slots;
    size_t tasks;
    int queries;
    int64_t begin_us, end_us, task_us;
    struct requests query, world; /* _queries/, announcement and bell; heartbeats and views */
    size_t right;
    bool done; /* the queries: nodes need not wait for the end of time */
    int64_t last_end_us;
};

struct counting_store {
    struct ap_store store;
    struct ap_store *inner;
    struct world *world;
};

static struct counting_store *counting(struct ap_store *store)
{
    return (struct counting_store *)(void *)store;
}

static struct requests *count(struct ap_store *store, const char *key)
{
    struct world *world = counting(store)->world;
    bool query = strncmp(key, "_queries/", 9) == 0 || strncmp(key, "_swarm/queries/", 15) == 0;
    return query ? &world->query : &world->world;
}

static enum apiary_code count_put(struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    if (strcmp(key, "_swarm/bell") == 0) counting(store)->world->query.put++;
    else count(store, key)->put++;
    return counting(store)->inner->ops->put(counting(store)->inner, key, body, err);
}

static enum apiary_code count_put_if_absent(struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    count(store, key)->put++;
    return counting(store)->inner->ops->put_if_absent(counting(store)->inner, key, body, err);
}

static void count_get_many(struct ap_store *store, struct ap_get *gets, size_t number)
{
    for (size_t i = 0; i < number; i++) count(store, gets[i].key)->get++;
    counting(store)->inner->ops->get_many(counting(store)->inner, gets, number);
}

static enum apiary_code count_list(struct ap_store *store, const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    enum apiary_code code = counting(store)->inner->ops->list(counting(store)->inner, request, out, err);
    count(store, request->prefix)->list += 1 + out->count / AP_LIST_PAGE;
    return code;
}

static enum apiary_code count_delete(struct ap_store *store, const char *const *keys, size_t number, struct apiary_error *err)
{
    return counting(store)->inner->ops->delete_many(counting(store)->inner, keys, number, err); /* free of charge */
}

struct person {
    struct world *world;
    struct sim_node *node;
    struct counting_store store;
    struct ap_worker *worker;
};

static enum apiary_code run(void *context, const struct ap_manifest *manifest, size_t task, bool alone, const struct ap_cancel *cancel,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct person *person = context;
    ap_sleep_us(sim_env(person->node), person->world->task_us / 2 + (int64_t)sim_pick(person->world->sim, (uint64_t)person->world->task_us));
    return ap_bytes_printf(out, err, "%zu;", task);
}

static enum apiary_code merge(void *context, const struct ap_manifest *manifest, const struct ap_partial *partials, size_t number,
    const struct ap_cancel *cancel, bool *again, struct ap_bytes *out, struct apiary_error *err)
{
    size_t right = 0;
    for (size_t i = 0; i < number; i++) {
        char expected[32];
        snprintf(expected, sizeof expected, "%zu;", i);
        right += ap_str_is(partials[i].bytes, expected);
    }
    if (right != number) return ap_fail(err, APIARY_INTERNAL, "%zu of %zu partials are right", right, number);
    return ap_bytes_add_text(out, "right", err);
}

static struct ap_swarm swarm_of(struct person *person, struct sim_node *node)
{
    static const struct ap_store_ops ops = {
        .put = count_put, .put_if_absent = count_put_if_absent, .get_many = count_get_many, .list = count_list, .delete_many = count_delete
    };
    person->node = node;
    person->store = (struct counting_store) { .store = *sim_store(node), .inner = sim_store(node), .world = person->world };
    person->store.store.ops = &ops;
    struct ap_swarm swarm = { .env = sim_env(node), .store = &person->store.store, .heartbeat_us = 5 * SECOND, .port = { person, NULL, run, merge, NULL } };
    ap_id_random(swarm.env, swarm.boot.text);
    return swarm;
}

static void figures(void *context, struct ap_node_figures *out)
{
    *out = (struct ap_node_figures) { .bees = 1, .memory_bytes = 1 };
}

static enum apiary_code tasks(void *context, struct ap_bytes *out, struct apiary_error *err)
{
    return ap_worker_tasks(context, out, err);
}

static void live(struct sim_node *sim_node, void *arg)
{
    struct person *person = arg;
    struct world *world = person->world;
    struct ap_node *node = NULL;
    struct ap_swarm swarm = swarm_of(person, sim_node);
    struct ap_worker_options options = { .swarm = swarm, .slots = world->slots, .memory_per_bee_mb = 512 };
    ap_assert(ap_worker_new(&options, &person->worker, NULL) == APIARY_OK);
    struct ap_node_options beat = { .name = "n", .boot = swarm.boot, .caps = { (uint32_t)world->slots, 512, 5000, AP_SWARM_PROTOCOL },
        .store = swarm.store, .port = { person, figures, tasks, person->worker } };
    ap_assert(ap_node_start(swarm.env, &beat, &node, NULL) == APIARY_OK);
    ap_assert(ap_worker_start(person->worker, node, NULL) == APIARY_OK);
    while (sim_now_us(world->sim) < world->end_us && !world->done) ap_sleep_us(swarm.env, 10 * SECOND);
    ap_worker_stop(person->worker);
    ap_assert(ap_node_stop(node, NULL) == APIARY_OK);
    ap_worker_free(person->worker);
}

static void submit_all(struct sim_node *node, void *arg)
{
    struct person *person = arg;
    struct world *world = person->world;
    struct ap_swarm swarm = swarm_of(person, node);
    struct ap_manifest_task *list = ap_calloc(world->tasks, sizeof *list);
    ap_assert(list != NULL);
    ap_sleep_us(swarm.env, world->begin_us);
    for (int q = 0; q < world->queries; q++) {
        AP_AUTO(ap_view) view = { 0 };
        AP_AUTO(ap_end) end = { 0 };
        AP_AUTO(ap_outcome) outcome = { 0 };
        struct ap_manifest manifest = { .submitter = swarm.boot, .tries = 3, .task_timeout_us = 3600 * SECOND, .plan = AP_STR("p"), .tasks = list,
            .task_count = world->tasks };
        ap_assert(ap_view_look(swarm.store, &view, NULL) == APIARY_OK && view.count > 0);
        for (size_t t = 0; t < world->tasks; t++) {
            char name[32];
            snprintf(name, sizeof name, "cell %zu", t);
            size_t at = ap_place(&view, ap_str_from(name), 0);
            /* An even share: this is about requests, not about chance. */
            if (world->queries == 1) at = t * view.count / world->tasks;
            list[t] = (struct ap_manifest_task) { .node = view.nodes[at].key.boot, .body = AP_STR("t") };
        }
        ap_query_id_new(swarm.env, view.now_us, &manifest.id);
        manifest.created_us = view.now_us;
        manifest.deadline_us = view.now_us + 7200 * SECOND;
        ap_assert(ap_submit(&swarm, &manifest, NULL) == APIARY_OK);
        ap_assert(ap_submit_wait(&swarm, &manifest, NULL, &end, &outcome, NULL) == APIARY_OK);
        world->right += end.decision == AP_END_DONE && ap_str_is(ap_bytes_view(&end.content), "right");
        world->last_end_us = sim_now_us(world->sim);
    }
    ap_free(list);
    world->done = true;
}

static void run_world(struct world *world)
{
    struct person *people = ap_calloc((size_t)world->nodes + 1, sizeof *people);
    ap_assert(people != NULL && world->nodes <= NODES_MAX);
    world->sim = sim_new(1, (struct sim_faults) { .steps_max = UINT64_C(1) << 40 });
    for (int i = 0; i <= world->nodes; i++) {
        people[i].world = world;
        if (i < world->nodes || world->queries > 0) sim_spawn(world->sim, i < world->nodes ? live : submit_all, &people[i]);
    }
    bool ended = sim_run(world->sim);
    if (!ended) fail_msg("%s", sim_blame(world->sim));
    sim_free(world->sim);
    ap_free(people);
}

/* 64 tasks on 8 nodes: at most 40 PUT and LIST, at most 30 GET. */
static void one_query_s_budget(void **state)
{
    struct world world = { .nodes = 8, .slots = 8, .tasks = 64, .queries = 1, .begin_us = 20 * SECOND, .end_us = 40 * SECOND, .task_us = 2 * SECOND };
    (void)state;
    run_world(&world);
    assert_int_equal(world.right, 1);
    print_message("# 64 tasks on 8 nodes: %" PRIu64 " PUT, %" PRIu64 " LIST, %" PRIu64 " GET\n", world.query.put, world.query.list, world.query.get);
    assert_true(world.query.put + world.query.list <= 40);
    assert_true(world.query.get <= 30);
}

/* An hour of ten nodes with nothing to do, after the first ten minutes: 60 PUT, 60 LIST, 1800 GET each. */
static void an_idle_hour_s_budget(void **state)
{
    struct world first = { .nodes = 10, .slots = 1, .end_us = 1200 * SECOND }, second = { .nodes = 10, .slots = 1, .end_us = 4800 * SECOND };
    (void)state;
    run_world(&first);
    run_world(&second);
    uint64_t put = (second.world.put - first.world.put) / 10, list = (second.world.list - first.world.list) / 10, get = (second.world.get - first.world.get) / 10;
    print_message("# an idle node-hour: %" PRIu64 " PUT, %" PRIu64 " LIST, %" PRIu64 " GET\n", put, list, get);
    assert_true(put <= 66 && list <= 78 && get <= 1850);
}

static void many_nodes_do_many_tasks(void **state)
{
    const char *text = getenv("AP_SCALE");
    int scale = text != NULL && *text != '\0' ? atoi(text) : 1;
    struct world world = { .nodes = 100 * scale, .slots = 2, .tasks = (size_t)(1000 * scale), .queries = scale == 1 ? 2 : 10, .begin_us = 30 * SECOND,
        .end_us = 3600 * SECOND, .task_us = 5 * SECOND };
    (void)state;
    run_world(&world);
    assert_int_equal(world.right, (size_t)world.queries);
    print_message("# %d nodes, %d queries of %zu tasks in %.1f virtual s: %" PRIu64 " PUT, %" PRIu64 " LIST, %" PRIu64
                  " GET of queries; %" PRIu64 " PUT, %" PRIu64 " LIST, %" PRIu64 " GET of the world\n",
        world.nodes, world.queries, world.tasks, (double)(world.last_end_us - world.begin_us) / 1e6, world.query.put, world.query.list, world.query.get,
        world.world.put, world.world.list, world.world.get);
    assert_true(world.query.put < (uint64_t)world.queries * (world.tasks + 16));
    /* A look before each result, and few who merge: each of those reads all results. */
    assert_true(world.query.get < 6 * world.query.put);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_query_s_budget),
        cmocka_unit_test(an_idle_hour_s_budget),
        cmocka_unit_test(many_nodes_do_many_tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
