/* Heartbeats: there before start returns, again at each interval, gone after stop; what the world
 * view makes of them. */
#include "apiary_test.h"

#include "fault_store.h"
#include "swarm/view.h"

#define BOOT "0123456789abcdef0123456789abcdef"
#define BOOT2 "fedcba9876543210fedcba9876543210"

static void figures(void *context, struct ap_node_figures *out)
{
    *out = (struct ap_node_figures) { 4, 3, 1000, 250, 0.25 };
    if (context != NULL) __atomic_add_fetch((int *)context, 1, __ATOMIC_RELAXED);
}

static struct ap_node_options options_of(struct ap_store *store, int *beats)
{
    return (struct ap_node_options) {
        .name = "my node",
        .boot = { BOOT },
        .caps = { 4, 512, 20, AP_SWARM_PROTOCOL },
        .store = store,
        .port = { beats, figures },
    };
}

static size_t objects(struct ap_store *store)
{
    AP_AUTO(ap_list) list = { 0 };
    struct apiary_error err;
    assert_ok(ap_store_list(store, &(struct ap_list_request) { .prefix = "_swarm/" }, &list, &err));
    return list.count;
}

static void beats_from_start_to_stop(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_env *env = ap_env_system();
    struct ap_store *store = NULL;
    struct ap_node *node = NULL;
    AP_AUTO(ap_view) view = { 0 };
    int beats = 0;
    assert_ok(ap_store_open(env, "memory://", NULL, &store, &err));
    struct ap_node_options options = options_of(store, &beats);
    assert_ok(ap_node_start(env, &options, &node, &err));
    assert_int_equal(objects(store), 1); /* before start returned */

    assert_ok(ap_view_look(store, &view, &err));
    ap_view_figures(store, &view);
    assert_int_equal(view.count, 1);
    assert_string_equal(view.nodes[0].key.label, "my-node");
    assert_string_equal(view.nodes[0].name, "my node");
    assert_int_equal(view.nodes[0].state, AP_NODE_ALIVE);
    assert_int_equal(view.nodes[0].figures.bees, 4);
    assert_int_equal(view.nodes[0].figures.bees_idle, 3);
    assert_true(view.nodes[0].figures.temperature > 0.24 && view.nodes[0].figures.temperature < 0.26);

    for (int waits = 0; __atomic_load_n(&beats, __ATOMIC_RELAXED) < 3; waits++) {
        assert_true(waits < 1000);
        ap_sleep_us(env, 10000);
    }
    assert_int_equal(objects(store), 1); /* the same object every time */
    assert_ok(ap_node_stop(node, &err));
    assert_int_equal(objects(store), 0);
    assert_ok(ap_node_stop(NULL, &err));
    ap_store_close(store);
}

static void start_fails_with_the_first_beat(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_store *inner = NULL;
    struct fault_store fault;
    struct ap_node *node = NULL;
    assert_ok(ap_store_open(ap_env_system(), "memory://", NULL, &inner, &err));
    fault_store_init(&fault, inner);
    fault.script = "d";
    struct ap_node_options options = options_of(&fault.store, NULL);
    assert_code(ap_node_start(ap_env_system(), &options, &node, &err), APIARY_DENIED);
    assert_null(node);
    ap_store_close(inner);
}

/* An object of some age: the store's clock cannot be set, so the interval is chosen for the age. */
static void states_by_age(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_store *store = NULL;
    AP_AUTO(ap_view) view = { 0 };
    assert_ok(ap_store_open(ap_env_system(), "memory://", NULL, &store, &err));
    assert_ok(ap_store_put(store, AP_SWARM_NODES "a." BOOT ".b4m512h5000v1.json", AP_STR("not json"), &err));
    assert_ok(ap_store_put(store, AP_SWARM_NODES "b." BOOT2 ".b2m512h5000v1.json", AP_STR("{\"bees\":-1,\"idle_bees\":9,\"temperature\":7}"), &err));
    assert_ok(ap_store_put(store, AP_SWARM_NODES "b." BOOT2 ".b3m512h5000v1.json", AP_STR("{\"bees\":3,\"idle_bees\":1}"), &err));
    assert_ok(ap_store_put(store, AP_SWARM_NODES "stray.json", AP_STR("?"), &err));
    assert_ok(ap_view_look(store, &view, &err));
    ap_view_figures(store, &view);
    assert_int_equal(view.count, 2); /* one entry a boot */
    assert_int_equal(view.nodes[0].figures.bees, 0);
    assert_true(view.nodes[1].figures.bees_idle <= 3);
    assert_true(view.nodes[1].figures.temperature <= 1);
    ap_view_sweep(store, &view, BOOT, NULL); /* nothing is old enough */
    assert_int_equal(objects(store), 4);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beats_from_start_to_stop),
        cmocka_unit_test(start_fails_with_the_first_beat),
        cmocka_unit_test(states_by_age),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
