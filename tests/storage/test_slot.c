/* Settling a slot, call by call. The same under simulation: tests/sim/test_slot.c. */
#include "apiary_test.h"

#include "fault_store.h"
#include "storage/slot.h"

static const struct {
    const char *label;
    const char *script; /* letters of fault_store.h, for put_if_absent and get */
    const char *before; /* what the slot holds; NULL: it is free */
    enum apiary_code code;
    enum ap_slot_outcome outcome;
    const char *after; /* what it holds then; NULL: nothing */
} cases[] = {
    { "free", "", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "taken", "", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "taken by us, long ago", "", "mine", APIARY_OK, AP_SLOT_MINE, "mine" },
    { "refused once", "r", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "refused often", "rrrrrrrr", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "reply lost, applied", "l", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "reply lost, not applied", "L", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "reply lost, theirs", "l", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "delivered twice", "x", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "taken, read refused", ".r", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "taken, read cut", ".c.c.r", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "lost, then read cut", "l.c", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "taken, but gone when read", ".n", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "denied", "d", NULL, APIARY_DENIED, AP_SLOT_MINE, NULL },
    { "full", "f", NULL, APIARY_FULL, AP_SLOT_MINE, NULL },
    { "refused, then full", "rf", NULL, APIARY_FULL, AP_SLOT_MINE, NULL },
    { "lost but applied, then denied", "ld", NULL, APIARY_OK, AP_SLOT_MINE, "mine" },
    { "lost to theirs, then denied", "ld", "theirs", APIARY_OK, AP_SLOT_THEIRS, "theirs" },
    { "lost, then denied, not there", "Ld", NULL, APIARY_UNCERTAIN, AP_SLOT_MINE, NULL },
    { "lost, then denied, cannot look", "Ldd", NULL, APIARY_UNCERTAIN, AP_SLOT_MINE, NULL },
    { "taken, reading denied", ".d", "theirs", APIARY_UNCERTAIN, AP_SLOT_MINE, "theirs" },
};

static void settles(void **state)
{
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const char *label = cases[i].label;
        struct apiary_error err;
        struct fault_env env;
        struct fault_store fault;
        struct ap_store *inner = NULL;
        AP_AUTO(ap_bytes) theirs = { 0 }, now = { 0 };
        enum ap_slot_outcome outcome = AP_SLOT_MINE;
        struct ap_slot_options options = { .deadline_mono_us = INT64_MAX, .body_max = 100 };
        fault_env_init(&env);
        assert_ok(ap_store_open(&env.env, "memory://", NULL, &inner, &err));
        if (cases[i].before)
            assert_ok(ap_store_put(inner, "s", ap_str_from(cases[i].before), &err));
        fault_store_init(&fault, inner);
        fault.script = cases[i].script;
        assert_code_in(label,
            ap_slot_settle(&fault.store, "s", AP_STR("mine"), &options, &outcome, &theirs, &err),
            cases[i].code);
        if (cases[i].code == APIARY_OK) {
            assert_int_in(label, outcome, cases[i].outcome);
            assert_string_in(
                label, ap_bytes_text(&theirs), outcome == AP_SLOT_THEIRS ? cases[i].after : "");
        } else {
            assert_true_in(label, strstr(err.message, "s was") || strstr(err.message, "whether s"));
        }
        enum apiary_code got = ap_store_get(inner, "s", AP_RANGE_ALL, &now, NULL, &err);
        assert_int_in(label, got, cases[i].after ? APIARY_OK : APIARY_NOT_FOUND);
        if (got == APIARY_OK) assert_string_in(label, ap_bytes_text(&now), cases[i].after);
        ap_store_close(inner);
    }
}

/* A store that answers in one way for ever: the end must be the honest one. */
static void ends(void **state)
{
    static const struct {
        const char *label;
        char letter;
        bool deadline, cancelled;
        enum apiary_code code;
    } rows[] = {
        { "refused for ever", 'r', false, false, APIARY_IO },
        { "refused until too late", 'r', true, false, APIARY_IO },
        { "lost for ever", 'L', false, false, APIARY_UNCERTAIN },
        { "lost until too late", 'L', true, false, APIARY_UNCERTAIN },
        { "cancelled at once", 'L', false, true, APIARY_CANCELLED },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char script[200];
        struct apiary_error err;
        struct fault_env env;
        struct fault_store fault;
        struct ap_cancel cancel;
        struct ap_store *inner = NULL;
        enum ap_slot_outcome outcome;
        fault_env_init(&env);
        assert_ok(ap_cancel_init(&cancel, &err));
        if (rows[i].cancelled) ap_cancel_request(&cancel);
        assert_ok(ap_store_open(&env.env, "memory://", NULL, &inner, &err));
        fault_store_init(&fault, inner);
        memset(script, rows[i].letter, sizeof script - 1);
        script[sizeof script - 1] = 0;
        fault.script = script;
        int64_t deadline = rows[i].deadline ? ap_mono_us(&env.env) + 3000000 : INT64_MAX;
        struct ap_slot_options options = { .deadline_mono_us = deadline, .cancel = &cancel };
        assert_code_in(rows[i].label,
            ap_slot_settle(&fault.store, "s", AP_STR("mine"), &options, &outcome, NULL, &err),
            rows[i].code);
        assert_true_in(rows[i].label, fault.calls <= 100);
        if (rows[i].deadline) assert_true_in(rows[i].label, env.slept_us < 3000000 + 2100000);
        /* Without an error to fill in it must not fall over either. */
        if (!rows[i].cancelled)
            assert_int_in(rows[i].label,
                ap_slot_settle(&fault.store, "s", AP_STR("mine"), &options, &outcome, NULL, NULL),
                rows[i].code);
        ap_cancel_done(&cancel);
        ap_store_close(inner);
    }
}

/* What is too large to be ours is theirs, but cannot be handed over. */
static void a_giant_is_refused(void **state)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    enum ap_slot_outcome outcome;
    struct ap_slot_options options = { .deadline_mono_us = INT64_MAX, .body_max = 10 };
    (void)state;
    assert_ok(ap_store_open(ap_env_system(), "memory://", NULL, &store, &err));
    assert_ok(ap_store_put(store, "s", AP_STR("far more than ten bytes"), &err));
    assert_code(
        ap_slot_settle(store, "s", AP_STR("mine"), &options, &outcome, NULL, &err), APIARY_LIMIT);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settles),
        cmocka_unit_test(ends),
        cmocka_unit_test(a_giant_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
