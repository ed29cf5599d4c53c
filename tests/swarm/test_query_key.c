/* Names of a query's objects: what is written is read back, what is not ours is passed over; who gets
 * what by hash. */
#include "apiary_test.h"

#include "swarm/place.h"
#include "swarm/query_key.h"
#include "swarm/submit.h"

#include <stdlib.h>

#define ID "01a0c450f929-653ce7eb12b4aef7a288"

static struct ap_query_name parse(const char *key)
{
    struct ap_query_name name;
    ap_query_name_parse(ap_str_from(key + strlen(ap_query_key(ID, NULL).text)), &name);
    return name;
}

static void names_are_read_back(void **state)
{
    (void)state;
    size_t tasks[] = { 3, 17, 99999 };
    assert_string_equal(ap_query_key(ID, "0end").text, "_queries/" ID "/0end");
    assert_int_equal(parse(ap_query_key(ID, "0end").text).part, AP_PART_END);
    assert_int_equal(parse(ap_query_key(ID, "0out").text).part, AP_PART_OUT);
    assert_int_equal(parse(ap_query_key(ID, "1manifest").text).part, AP_PART_MANIFEST);
    struct ap_query_name name = parse(ap_query_key_of(ID, 'c', 7, 16).text);
    assert_true(name.part == AP_PART_CLAIM && name.count == 1 && name.tasks[0] == 7 && name.number == 16);
    name = parse(ap_query_key_of(ID, 'f', 7, 0).text);
    assert_true(name.part == AP_PART_FAILURE && name.number == 0);
    name = parse(ap_query_key_results(ID, tasks, 3).text);
    assert_true(name.part == AP_PART_RESULT && name.count == 3 && name.tasks[1] == 17 && name.tasks[2] == 99999);
    assert_int_equal(parse("_queries/" ID "/p/abc").part, AP_PART_PAYLOAD);
}

static void others_are_passed_over(void **state)
{
    static const char *const others[] = { "", "0", "0ends", "c/", "c/00001", "c/00001.", "c/00001.0", "c/00001.17", "c/1.1", "c/00001.1x", "f/00001.-1",
        "f/00001.+1", "r/", "r/0001", "r/00001_", "r/00001-00002", "r/000010", "x/00001.1" };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(others); i++) {
        struct ap_query_name name;
        ap_query_name_parse(ap_str_from(others[i]), &name);
        if (name.part != AP_PART_OTHER) fail_msg("taken for one of ours: %s", others[i]);
    }
}

static void ids_carry_their_time(void **state)
{
    struct ap_query_id id;
    (void)state;
    ap_query_id_new(ap_env_system(), INT64_C(1790000000123456), &id);
    assert_true(ap_query_id_valid(ap_str_from(id.text)));
    assert_true(ap_query_id_time(id.text) == INT64_C(1790000000123000));
    assert_false(ap_query_id_valid(AP_STR("01a0c450f929-653ce7eb12b4aef7a28")));
    assert_false(ap_query_id_valid(AP_STR("01a0c450f929x653ce7eb12b4aef7a288")));
    assert_false(ap_query_id_valid(AP_STR("01A0c450f929-653ce7eb12b4aef7a288")));
}

/* Shares follow the bees; when a node goes, only its keys move. */
static void places_are_shared_by_bees(void **state)
{
    struct ap_view_node nodes[3] = { 0 };
    struct ap_view view = { .nodes = nodes, .count = 3 };
    size_t got[3] = { 0 }, moved = 0;
    struct apiary_error err;
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(nodes[i].key.boot.text, sizeof nodes[i].key.boot.text, "%032zx", i + 1);
        nodes[i].key.caps = (struct ap_caps) { i == 2 ? 2 : 1, 512, 5000, 1 };
        assert_ok(ap_map_put(&view.places, ap_str_from(nodes[i].key.boot.text), i, &err));
    }
    for (int k = 0; k < 4000; k++) {
        char key[32];
        snprintf(key, sizeof key, "cell %d", k);
        nodes[0].state = AP_NODE_ALIVE;
        size_t at = ap_place(&view, ap_str_from(key), 0);
        got[at]++;
        assert_int_equal(ap_place_rank(&view, ap_str_from(key), nodes[at].key.boot.text, NULL, 0), 0);
        nodes[0].state = AP_NODE_DEAD;
        moved += at != 0 && ap_place(&view, ap_str_from(key), 0) != at;
    }
    assert_int_equal(moved, 0);
    assert_true(got[0] > 800 && got[0] < 1200 && got[1] > 800 && got[1] < 1200 && got[2] > 1800 && got[2] < 2200);
    nodes[1].key.caps.memory_per_bee_mb = 4096;
    assert_int_equal(ap_place(&view, AP_STR("large"), 1024), 1); /* the one that can hold it */
    assert_int_equal(ap_place(&view, AP_STR("larger than any bee"), 5000), 1); /* nobody holds it: the one with most */
    nodes[2].key.caps = (struct ap_caps) { 16, 512, 5000, 1 };
    assert_int_equal(ap_place(&view, AP_STR("larger than any bee"), 5000), 2); /* with all its bees */
    assert_true(ap_place_holds(&view, nodes[2].key.caps, 5000) && !ap_place_holds(&view, nodes[1].key.caps, 5000));
    assert_true(ap_place_holds(&view, nodes[1].key.caps, 4096) && ap_place_holds(&view, nodes[2].key.caps, 1 << 20));
    nodes[2].key.caps = (struct ap_caps) { 2, 512, 5000, 1 };
    const char *late[] = { nodes[1].key.boot.text };
    assert_int_equal(ap_place_rank(&view, AP_STR("x"), nodes[1].key.boot.text, late, 1), 1); /* behind the other */
    ap_map_done(&view.places);
}

/* Alike, and alive. */
static void view_of(struct ap_view_node *nodes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(nodes[i].key.boot.text, sizeof nodes[i].key.boot.text, "%032zx", i + 1);
        nodes[i].key.caps = (struct ap_caps) { 1, 512, 5000, 1 };
    }
}

/* Which node has the task, somebody who is there. */
static size_t holder(const struct ap_view *view, const struct ap_manifest_task *task)
{
    size_t at = 0;
    while (at < view->count && strcmp(view->nodes[at].key.boot.text, task->node.text) != 0) at++;
    assert_true(at < view->count);
    return at;
}

/* Nobody gets much more than its bees' share, however the hashes fall; what fits where the hash says stays there. */
static void shares_have_a_bound(void **state)
{
    enum { NODES = 4, ROUNDS = 200, TASKS = 40 };
    struct ap_view_node nodes[NODES] = { 0 };
    struct ap_view view = { .nodes = nodes, .count = NODES };
    size_t moved = 0, placed = 0;
    struct apiary_error err;
    (void)state;
    view_of(nodes, NODES);
    nodes[2].key.caps.bees = 2;
    nodes[3].state = AP_NODE_DEAD;
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t got[NODES] = { 0 };
        size_t count = round % 2 ? 4 : TASKS; /* as many as bees, or ten times that */
        struct ap_manifest_task tasks[TASKS] = { 0 };
        char names[TASKS][32];
        for (size_t i = 0; i < count; i++) {
            snprintf(names[i], sizeof names[i], "cell %d.%zu", round, i);
            tasks[i] = (struct ap_manifest_task) { .body = ap_str_from(names[i]), .bytes = count == 4 ? 100 << 20 : (uint64_t)(50 + i % 5) << 20 };
        }
        struct ap_manifest manifest = { .tasks = tasks, .task_count = count };
        assert_ok(ap_submit_assign(&view, &manifest, &err));
        for (size_t i = 0; i < count; i++) {
            size_t at = holder(&view, &tasks[i]);
            assert_true(at < 3); /* somebody who lives */
            got[at] += tasks[i].bytes >> 20;
            moved += at != ap_place(&view, tasks[i].body, 0);
            placed++;
        }
        if (count == 4) assert_true(got[0] == 100 && got[1] == 100 && got[2] == 200);
        else assert_true(got[0] <= 585 && got[1] <= 585 && got[2] <= 1170); /* an eighth above the share of 520 MiB a bee */
    }
    assert_true(moved < placed / 3);
}

/* Fewer tasks than nodes go where the hash says, as far as nobody gets two: not to the first in the list. */
static void few_tasks_are_spread_too(void **state)
{
    enum { NODES = 8, ROUNDS = 1000 };
    struct ap_view_node nodes[NODES] = { 0 };
    struct ap_view view = { .nodes = nodes, .count = NODES };
    struct apiary_error err;
    (void)state;
    view_of(nodes, NODES);
    for (size_t count = 1; count <= NODES + 2; count++) {
        size_t got[NODES] = { 0 }, moved = 0;
        for (int round = 0; round < ROUNDS; round++) {
            size_t here[NODES] = { 0 };
            struct ap_manifest_task tasks[NODES + 2] = { 0 };
            char names[NODES + 2][32];
            for (size_t i = 0; i < count; i++) {
                snprintf(names[i], sizeof names[i], "cell %d.%zu", round, i);
                tasks[i] = (struct ap_manifest_task) { .body = ap_str_from(names[i]), .bytes = 64 << 20 };
            }
            struct ap_manifest manifest = { .tasks = tasks, .task_count = count };
            assert_ok(ap_submit_assign(&view, &manifest, &err));
            for (size_t i = 0; i < count; i++) {
                size_t at = holder(&view, &tasks[i]);
                got[at]++;
                here[at]++;
                moved += at != ap_place(&view, tasks[i].body, 0);
            }
            for (size_t i = 0; i < NODES; i++) assert_true(here[i] <= (count + NODES - 1) / NODES);
        }
        for (size_t i = 0; i < NODES; i++) assert_true(got[i] * NODES > count * ROUNDS * 3 / 4 && got[i] * NODES < count * ROUNDS * 5 / 4);
        assert_true(count > 1 || moved == 0);
        assert_true(count > 2 || moved * 10 < ROUNDS * 2);
    }
}

/* Nodes that cannot hold the tasks do not count: those who can share them, mostly where the hash says. */
static void the_weak_do_not_count(void **state)
{
    enum { NODES = 10, STRONG = 3, TASKS = 40, ROUNDS = 100 };
    struct ap_view_node nodes[NODES] = { 0 };
    struct ap_view view = { .nodes = nodes, .count = NODES };
    struct apiary_error err;
    size_t moved = 0;
    (void)state;
    view_of(nodes, NODES);
    for (size_t i = 0; i < NODES; i++) nodes[i].key.caps.memory_per_bee_mb = i < STRONG ? 1024 : 128;
    for (int round = 0; round < ROUNDS; round++) {
        struct ap_manifest_task tasks[TASKS] = { 0 };
        char names[TASKS][32];
        size_t got[NODES] = { 0 };
        for (size_t i = 0; i < TASKS; i++) {
            snprintf(names[i], sizeof names[i], "cell %d.%zu", round, i);
            tasks[i] = (struct ap_manifest_task) { .body = ap_str_from(names[i]), .bytes = 64 << 20, .memory_mb = 512 };
        }
        struct ap_manifest manifest = { .tasks = tasks, .task_count = TASKS };
        assert_ok(ap_submit_assign(&view, &manifest, &err));
        for (size_t i = 0; i < TASKS; i++) {
            size_t at = holder(&view, &tasks[i]);
            got[at]++;
            moved += at != ap_place(&view, tasks[i].body, 512);
        }
        assert_int_equal(got[0] + got[1] + got[2], TASKS);
        for (size_t i = 0; i < STRONG; i++) assert_true(got[i] <= 15); /* an eighth above 13 1/3 */
    }
    assert_true(moved < TASKS * ROUNDS / 5);
}

/* Who cannot hold them gets none of the large ones, however little it has; one named already stays. */
static void bounds_come_after_memory(void **state)
{
    struct ap_view_node nodes[2] = { 0 };
    struct ap_view view = { .nodes = nodes, .count = 2 };
    struct ap_manifest_task tasks[6] = { 0 };
    struct apiary_error err;
    (void)state;
    view_of(nodes, 2);
    nodes[0].key.caps.memory_per_bee_mb = 128;
    nodes[1].key.caps.memory_per_bee_mb = 1024;
    for (size_t i = 0; i < 6; i++) tasks[i] = (struct ap_manifest_task) { .body = AP_STR("one cell"), .bytes = 64 << 20, .memory_mb = i < 4 ? 512 : 64 };
    tasks[5].node = nodes[1].key.boot;
    struct ap_manifest manifest = { .tasks = tasks, .task_count = 6 };
    assert_ok(ap_submit_assign(&view, &manifest, &err));
    for (size_t i = 0; i < 6; i++)
        if (i != 4) assert_string_equal(tasks[i].node.text, nodes[1].key.boot.text);
    assert_string_not_equal(tasks[4].node.text, "");
    nodes[0].state = nodes[1].state = AP_NODE_DEAD;
    for (size_t i = 0; i < 6; i++) tasks[i].node.text[0] = '\0';
    assert_ok(ap_submit_assign(&view, &manifest, &err));
    for (size_t i = 0; i < 6; i++) assert_string_equal(tasks[i].node.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_back),
        cmocka_unit_test(others_are_passed_over),
        cmocka_unit_test(ids_carry_their_time),
        cmocka_unit_test(places_are_shared_by_bees),
        cmocka_unit_test(shares_have_a_bound),
        cmocka_unit_test(few_tasks_are_spread_too),
        cmocka_unit_test(the_weak_do_not_count),
        cmocka_unit_test(bounds_come_after_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
