/* Names of heartbeats: what is written is read back, what is not ours is passed over. */
#include "apiary_test.h"

#include "swarm/beat.h"

#define BOOT "0123456789abcdef0123456789abcdef"

static void reads_what_it_writes(void **state)
{
    (void)state;
    struct ap_node_key key = { .label = "hive-1", .boot = { BOOT }, .caps = { 4, 2048, 5000, 1 } }, back;
    char text[AP_NODE_KEY_MAX];
    ap_node_key_format(&key, text);
    assert_string_equal(text, "_swarm/nodes/hive-1." BOOT ".b4m2048h5000v1.json");
    assert_true(ap_node_key_parse(ap_str_from(text), &back));
    assert_string_equal(back.label, key.label);
    assert_string_equal(back.boot.text, key.boot.text);
    char again[AP_NODE_KEY_MAX]; /* the figures: a struct's padding may differ */
    ap_node_key_format(&back, again);
    assert_string_equal(again, text);
}

static void passes_over_what_is_not_ours(void **state)
{
    static const char *const others[] = {
        "",
        "_swarm/nodes/",
        "_swarm/format",
        "_swarm/nodes/a.json",
        "_swarm/nodes/a." BOOT ".json",
        "_swarm/nodes/." BOOT ".b4m2048h5000v1.json",
        "_swarm/nodes/a.0123.b4m2048h5000v1.json",
        "_swarm/nodes/a.0123456789ABCDEF0123456789ABCDEF.b4m2048h5000v1.json",
        "_swarm/nodes/a." BOOT ".b4m2048h5000v1",
        "_swarm/nodes/a." BOOT ".b4m2048h5000v1.txt",
        "_swarm/nodes/a." BOOT ".b4m2048h5000v1x.json",
        "_swarm/nodes/a." BOOT ".b4m2048h0v1.json",
        "_swarm/nodes/a." BOOT ".bm2048h5000v1.json",
        "_swarm/nodes/a." BOOT ".b99999999999999999999m1h5000v1.json",
        "_swarm/nodes/a." BOOT ".b4m2048h99999999999v1.json",
        "_swarm/nodes/a b." BOOT ".b4m2048h5000v1.json",
        "other/nodes/a." BOOT ".b4m2048h5000v1.json",
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(others); i++) {
        struct ap_node_key key;
        if (ap_node_key_parse(ap_str_from(others[i]), &key)) fail_msg("taken for a heartbeat: %s", others[i]);
    }
}

static void a_later_protocol_may_say_more(void **state)
{
    (void)state;
    struct ap_node_key key;
    assert_true(ap_node_key_parse(AP_STR("_swarm/nodes/a." BOOT ".b4m2048h5000v2z9.json"), &key));
    assert_int_equal(key.caps.protocol, 2);
}

static void labels_are_safe(void **state)
{
    static const struct {
        const char *name, *label;
    } cases[] = { { "node", "node" }, { "", "-" }, { "my node/1", "my-node-1" }, { "a.b", "a-b" }, { "\xc3\xa4", "--" } };
    char label[AP_NODE_LABEL_MAX + 1], longest[200];
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        ap_node_label(cases[i].name, label);
        assert_string_equal(label, cases[i].label);
    }
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ap_node_label(longest, label);
    assert_int_equal(strlen(label), AP_NODE_LABEL_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(passes_over_what_is_not_ours),
        cmocka_unit_test(a_later_protocol_may_say_more),
        cmocka_unit_test(labels_are_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
