/* Manifests: what is written is read back; what is broken, of another query or too large is refused. */
#include "apiary_test.h"

#include "swarm/envelope.h"
#include "swarm/manifest.h"

#define ID "01a0c450f929-653ce7eb12b4aef7a288"
#define BOOT "0123456789abcdef0123456789abcdef"
#define NO_SECRET ((struct ap_str) { 0 })

static struct ap_manifest_task two_tasks[] = {
    { .node = { BOOT }, .memory_mb = 512, .bytes = 1000, .body = { "{\"cells\":[1]}", 13 } },
    { .body = { "two", 3 } },
};

static struct ap_manifest sample(void)
{
    return (struct ap_manifest) { .id = { ID }, .writes = true, .submitter = { BOOT }, .created_us = 1000, .deadline_us = 2000, .task_timeout_us = 5,
        .tries = 3, .needs = { AP_STR("arrow") }, .need_count = 1, .plan = AP_STR("SELECT \"x\"\n"), .tasks = two_tasks, .task_count = 2 };
}

static void reads_what_it_writes(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_manifest) back = { 0 };
    struct ap_manifest manifest = sample();
    assert_ok(ap_manifest_write(&manifest, NO_SECRET, &text, &err));
    assert_ok(ap_manifest_read(ID, NO_SECRET, ap_bytes_view(&text), &back, &err));
    assert_string_equal(back.id.text, ID);
    assert_true(back.writes);
    assert_string_equal(back.submitter.text, BOOT);
    assert_int_equal(back.created_us, 1000);
    assert_int_equal(back.deadline_us, 2000);
    assert_int_equal(back.tries, 3);
    assert_true(back.need_count == 1 && ap_str_is(back.needs[0], "arrow"));
    assert_true(ap_str_is(back.plan, "SELECT \"x\"\n"));
    assert_int_equal(back.task_count, 2);
    assert_string_equal(back.tasks[0].node.text, BOOT);
    assert_string_equal(back.tasks[1].node.text, "");
    assert_int_equal(back.tasks[0].memory_mb, 512);
    assert_true(ap_str_is(back.tasks[0].body, "{\"cells\":[1]}"));
}

/* Only what reads can be fleeting, and who does not say so is not. */
static void what_need_not_last(void **state)
{
    (void)state;
    struct apiary_error err;
    for (int i = 0; i < 4; i++) {
        AP_AUTO(ap_bytes) text = { 0 };
        AP_AUTO(ap_manifest) back = { 0 };
        struct ap_manifest manifest = sample();
        manifest.writes = i & 1;
        manifest.fleeting = i & 2;
        assert_ok(ap_manifest_write(&manifest, NO_SECRET, &text, &err));
        assert_ok(ap_manifest_read(ID, NO_SECRET, ap_bytes_view(&text), &back, &err));
        assert_int_equal(back.fleeting, i == 2);
    }
}

/* Every byte counts: one that changed is found, wherever it is. */
static void a_changed_byte_is_found(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_manifest manifest = sample();
    assert_ok(ap_manifest_write(&manifest, NO_SECRET, &text, &err));
    for (size_t i = 0; i < text.size; i++) {
        struct ap_manifest back = { 0 };
        text.data[i] ^= 1;
        assert_int_not_equal(ap_manifest_read(ID, NO_SECRET, ap_bytes_view(&text), &back, &err), APIARY_OK);
        text.data[i] ^= 1;
    }
    for (size_t size = 0; size < text.size; size++) {
        struct ap_manifest back = { 0 };
        assert_int_not_equal(ap_manifest_read(ID, NO_SECRET, (struct ap_str) { text.data, size }, &back, &err), APIARY_OK);
    }
}

static void another_query_s_is_refused(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_manifest manifest = sample(), back = { 0 };
    assert_ok(ap_manifest_write(&manifest, NO_SECRET, &text, &err));
    assert_code(ap_manifest_read("01a0c450f929-00000000000000000000", NO_SECRET, ap_bytes_view(&text), &back, &err), APIARY_CORRUPT);
}

/* A body that is well wrapped and means nothing that may be run. */
static void nonsense_is_refused(void **state)
{
#define HEAD "{\"query\":\"" ID "\",\"writes\":false,\"submitter\":\"" BOOT "\",\"created_us\":1,\"deadline_us\":2,\"task_timeout_us\":3,"
    static const char *const bodies[] = {
        "[]",
        "{}",
        HEAD "\"tries\":3,\"needs\":[],\"plan\":\"\",\"tasks\":[]}",
        HEAD "\"tries\":0,\"needs\":[],\"plan\":\"\",\"tasks\":[{\"node\":\"\",\"memory_mb\":0,\"bytes\":0,\"body\":\"\"}]}",
        HEAD "\"tries\":3,\"needs\":[1],\"plan\":\"\",\"tasks\":[{\"node\":\"\",\"memory_mb\":0,\"bytes\":0,\"body\":\"\"}]}",
        HEAD "\"tries\":3,\"needs\":[],\"plan\":\"\",\"tasks\":[{\"node\":\"..\",\"memory_mb\":0,\"bytes\":0,\"body\":\"\"}]}",
        HEAD "\"tries\":3,\"needs\":[],\"plan\":\"\",\"tasks\":[{\"node\":\"\",\"memory_mb\":-1,\"bytes\":0,\"body\":\"\"}]}",
        HEAD "\"tries\":3,\"needs\":[],\"plan\":7,\"tasks\":[{\"node\":\"\",\"memory_mb\":0,\"bytes\":0,\"body\":\"\"}]}",
    };
    (void)state;
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(bodies); i++) {
        AP_AUTO(ap_bytes) text = { 0 };
        struct ap_manifest back = { 0 };
        assert_ok(ap_envelope_write(NO_SECRET, "manifest", "_queries/" ID "/1manifest", ap_str_from(bodies[i]), &text, &err));
        assert_code(ap_manifest_read(ID, NO_SECRET, ap_bytes_view(&text), &back, &err), APIARY_CORRUPT);
    }
    AP_AUTO(ap_bytes) good = { 0 };
    AP_AUTO(ap_manifest) back = { 0 };
    assert_ok(ap_envelope_write(NO_SECRET, "manifest", "_queries/" ID "/1manifest",
        AP_STR(HEAD "\"tries\":3,\"needs\":[],\"plan\":\"\",\"tasks\":[{\"node\":\"\",\"memory_mb\":0,\"bytes\":0,\"body\":\"\"}]}"), &good, &err));
    assert_ok(ap_manifest_read(ID, NO_SECRET, ap_bytes_view(&good), &back, &err));
    assert_false(back.fleeting); /* as earlier versions wrote it */
}

/* With a secret what is not signed by it is refused; without one, what is signed. */
static void signed_by_a_secret(void **state)
{
    (void)state;
    static const char key[] = "_queries/" ID "/0end";
    struct ap_str ours = AP_STR("sixteen bytes, or more"), theirs = AP_STR("another secret of them"), body = AP_STR("{}"), back;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) plain = { 0 };
    AP_AUTO(ap_bytes) sealed = { 0 };
    AP_AUTO(ap_bytes) foreign = { 0 };
    assert_ok(ap_envelope_write(NO_SECRET, "end", key, body, &plain, &err));
    assert_ok(ap_envelope_write(ours, "end", key, body, &sealed, &err));
    assert_ok(ap_envelope_write(theirs, "end", key, body, &foreign, &err));
    assert_ok(ap_envelope_read(NO_SECRET, "end", key, ap_bytes_view(&plain), &back, &err));
    assert_ok(ap_envelope_read(ours, "end", key, ap_bytes_view(&sealed), &back, &err));
    assert_true(ap_str_equal(back, body));
    assert_code(ap_envelope_read(ours, "end", key, ap_bytes_view(&plain), &back, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, "is not signed"));
    assert_code(ap_envelope_read(ours, "end", key, ap_bytes_view(&foreign), &back, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, "another secret"));
    assert_code(ap_envelope_read(NO_SECRET, "end", key, ap_bytes_view(&sealed), &back, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.hint, "swarm_secret_file"));
    /* A signature of other bytes: the hash fits, the body is another. */
    AP_AUTO(ap_bytes) other = { 0 };
    assert_ok(ap_envelope_write(ours, "end", key, AP_STR("[]"), &other, &err));
    char *mac = strstr(ap_bytes_text(&sealed), "\"hmac\":\""), *place = strstr(other.data, "\"hmac\":\"");
    memcpy(place, mac, 8 + 64);
    assert_code(ap_envelope_read(ours, "end", key, ap_bytes_view(&other), &back, &err), APIARY_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signed_by_a_secret),
        cmocka_unit_test(reads_what_it_writes),
        cmocka_unit_test(what_need_not_last),
        cmocka_unit_test(a_changed_byte_is_found),
        cmocka_unit_test(another_query_s_is_refused),
        cmocka_unit_test(nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
