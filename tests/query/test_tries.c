/* What is tried again, with what, how often, and what the last error tells. Over the fake chamber. */
#include "../runtime/pool_fixture.h"

#include "query/tries.h"

enum { TRIES_MAX = 4 };

static const struct tries_case {
    const char *label;
    enum apiary_code codes[TRIES_MAX]; /* how each try ends */
    int tries;                         /* that are made */
    enum apiary_code end;
    int width; /* of the first try, of two bees */
    int inputs;
    const char *setting; /* task_tries */
    int widths[TRIES_MAX], times[TRIES_MAX]; /* of the tries; times: of query_timeout */
    const char *hint;
    bool may_be_frugal, frugal; /* frugal: it is in the end */
} cases[] = {
    { "memory widens once", { APIARY_MEMORY, APIARY_MEMORY }, 2, APIARY_ABANDONED, 1, .widths = { 1, 2 },
        .times = { 1, 1 }, .hint = "memory_limit" },
    { "memory with all bees is the end", { APIARY_MEMORY }, 1, APIARY_MEMORY, 2, .widths = { 2 }, .times = { 1 } },
    { "frugally without a try of its own", { APIARY_MEMORY, APIARY_MEMORY }, 2, APIARY_MEMORY, 2, .setting = "1",
        .widths = { 2, 2 }, .times = { 1, 1 }, .may_be_frugal = true, .frugal = true },
    { "frugally only for want of memory", { APIARY_CHAMBER }, 1, APIARY_CHAMBER, 1, .setting = "1", .widths = { 1 },
        .times = { 1 }, .may_be_frugal = true },
    { "rows of the caller are not read frugally either", { APIARY_MEMORY }, 1, APIARY_MEMORY, 1, .inputs = 1,
        .widths = { 1 }, .times = { 1 }, .may_be_frugal = true },
    { "a time-out gives longer", { APIARY_TIMEOUT, APIARY_TIMEOUT, APIARY_TIMEOUT }, 3, APIARY_ABANDONED, 2,
        .widths = { 2, 2, 2 }, .times = { 1, 2, 4 }, .hint = "query_timeout" },
    { "corrupt never", { APIARY_CORRUPT }, 1, APIARY_CORRUPT, 1, .widths = { 1 }, .times = { 1 } },
    { "wrong SQL never", { APIARY_SQL }, 1, APIARY_SQL, 1, .widths = { 1 }, .times = { 1 } },
    { "denied never", { APIARY_DENIED }, 1, APIARY_DENIED, 1, .widths = { 1 }, .times = { 1 } },
    { "a chamber that dies", { APIARY_CHAMBER, APIARY_CHAMBER, APIARY_CHAMBER }, 3, APIARY_ABANDONED, 1,
        .widths = { 1, 1, 1 }, .times = { 1, 1, 1 }, .hint = "its chamber dies" },
    { "the store fails, then the cell is corrupt", { APIARY_IO, APIARY_CORRUPT }, 2, APIARY_ABANDONED, 1,
        .widths = { 1, 1 }, .times = { 1, 1 }, .hint = "" },
    { "one of each", { APIARY_TIMEOUT, APIARY_MEMORY, APIARY_IO }, 3, APIARY_ABANDONED, 1,
        .widths = { 1, 1, 2 }, .times = { 1, 2, 2 }, .hint = "storage" },
    { "as many as task_tries", { APIARY_CHAMBER, APIARY_CHAMBER }, 2, APIARY_ABANDONED, 1, .setting = "2",
        .widths = { 1, 1 }, .times = { 1, 1 }, .hint = "" },
    { "one try is none again", { APIARY_CHAMBER }, 1, APIARY_CHAMBER, 1, .setting = "1", .widths = { 1 }, .times = { 1 } },
    { "rows of the caller are read once", { APIARY_CHAMBER }, 1, APIARY_CHAMBER, 1, .inputs = 1, .widths = { 1 },
        .times = { 1 } },
    { "cancelled in the second", { APIARY_IO, APIARY_CANCELLED }, 2, APIARY_CANCELLED, 1, .widths = { 1, 1 },
        .times = { 1, 1 } },
};

static void contains(const char *label, const char *text, const char *words)
{
    if (strstr(text, words) == NULL) fail_msg("%s: '%s' is not in: %s", label, words, text);
}

/* Makes the tries of a row; *end is how it ends. */
static enum apiary_code make_tries(const struct tries_case *row, struct ap_source *source, struct apiary_error *end)
{
    struct apiary_error err = { 0 };
    int64_t timeout_us = ap_config_us(&source->session->config, AP_CONFIG_query_timeout);
    AP_AUTO(ap_tries) tries = { 0 };
    ap_tries_begin(&tries, source, row->width);
    tries.frame = row->may_be_frugal ? "main.main.f" : NULL;
    for (int i = 0;; i++) {
        enum apiary_code code = row->codes[i];
        assert_true_in(row->label, i < row->tries);
        assert_null(source->chamber);
        assert_true_in(row->label, tries.timeout_us == timeout_us * row->times[i]);
        assert_ok(ap_source_take(source, tries.width, &err));
        assert_true_in(row->label, ap_chamber_width(source->chamber) == row->widths[i]);
        (void)ap_fail(&err, code, "failure %d of all", i + 1);
        if (ap_tries_again(&tries, &code, &err)) {
            assert_int_equal(err.code, APIARY_OK);
            continue;
        }
        assert_true_in(row->label, i + 1 == row->tries);
        ap_source_rest(source);
        *end = err;
        return code;
    }
}

static void tries(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, "runtime/fake_bee", 2, 1024 * MIB);
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const struct tries_case *row = &cases[i];
        struct apiary_error err = { 0 };
        struct ap_world world = { .env = ap_env_system(), .pool = f.pool, .lock = ap_lock_new(ap_env_system()), .owner_pid = (int)getpid() };
        struct ap_session session = { .world = &world };
        struct ap_source source = { .session = &session, .cancel = &session.cancel, .input_count = (size_t)row->inputs };
        const struct apiary_setting setting = { "task_tries", row->setting };
        assert_ok(ap_config_load(&session.config,
            &(struct ap_config_sources) { .system_file = "", .user_file = "", .directory_file = "",
                .arguments = &setting, .argument_count = row->setting != NULL }, &err));
        assert_ok(ap_cancel_init(&session.cancel, &err));

        enum apiary_code code = make_tries(row, &source, &err);
        assert_true_in(row->label, code == row->end && source.frugal == row->frugal);
        bool whole = row->end == APIARY_ABANDONED;
        assert_int_equal(err.code, whole ? APIARY_ABANDONED : row->codes[row->tries - 1]);
        assert_int_equal(world.abandoned, whole ? 1 : 0);
        for (int j = 1; whole && j <= row->tries; j++) { /* the whole history, in order, with what each had */
            char words[64], with[64];
            snprintf(words, sizeof words, "failure %d of all", j);
            snprintf(with, sizeof with, "try %d with %d bee%s and", j, row->widths[j - 1], row->widths[j - 1] == 1 ? "" : "s");
            contains(row->label, err.message, words);
            contains(row->label, err.message, with);
        }
        if (whole) contains(row->label, err.hint, row->hint);
        ap_cancel_done(&session.cancel);
        ap_config_done(&session.config);
        ap_lock_free(world.env, world.lock);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(tries) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
