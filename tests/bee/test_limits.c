/* Memory and disk bombs end in clean errors, and the next statement answers. */
#include "driver.h"

/* What may end a bomb: our own out-of-memory error, or a cancel because it only takes
 * for ever. The chamber may give itself up after that answer, never before it. */
static void bombs_end_cleanly(void **state)
{
    static const struct {
        const char *label, *sql;
    } bombs[] = {
        { "list", "SELECT list(i) FROM range(200000000) t(i)" },
        { "string_agg", "SELECT length(string_agg(repeat('x', 1000), ',')) FROM range(1000000)" },
        { "repeat", "SELECT length(repeat('x', 3000000000))" },
        { "strings in a list", "SELECT len(list('some string ' || i)) FROM range(50000000) t(i)" },
        { "range", "SELECT len(range(100000000))" },
        { "histogram", "SELECT cardinality(histogram(i)) FROM range(50000000) t(i)" },
        { "doubling", "WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r WHERE "
                      "length(s) < 4000000000) SELECT max(length(s)) FROM r" },
    };
    (void)state;
    struct driver driver;
    struct driver_options options = { .memory_bytes = UINT64_C(320) << 20 };
    driver_start(&driver, &options);
    for (size_t i = 0; i < AP_COUNT(bombs); i++) {
        struct outcome out;
        driver_run(&driver, &(struct driving) { .cancel_after_ms = 4000 }, &out,
            "{\"sql\":\"%s\",\"threads\":2}", bombs[i].sql);
        if (out.done) fail_msg("%s: was no bomb", bombs[i].label);
        if (strcmp(out.type, "memory") != 0 && strcmp(out.type, "cancelled") != 0 &&
            strcmp(out.type, "out_of_range") != 0)
            fail_msg("%s: ended with %s: %s", bombs[i].label, out.type, out.message);
        if (strstr(out.message, "SET ") != NULL)
            fail_msg("%s: advises what is locked: %s", bombs[i].label, out.message);
        bool memory = strcmp(out.type, "memory") == 0;
        outcome_done(&out);
        if (memory) driver_replace(&driver, &options); /* as the pool does */
        driver_json(&driver, &out, "SELECT sum(i) FROM range(1000) t(i)");
        assert_string_in(bombs[i].label, outcome_cell(&out, 0, 0), "499500");
        outcome_done(&out);
    }
    driver_stop(&driver);
}

static void files_have_a_limit(void **state)
{
    (void)state;
    struct driver driver;
    struct outcome out;
    driver_start(&driver,
        &(struct driver_options) { .memory_bytes = UINT64_C(320) << 20, .fsize_bytes = 8 << 20 });
    driver_run(&driver, NULL, &out,
        "{\"sql\":\"COPY (SELECT i, hash(i) AS h FROM range(5000000) t(i)) TO "
        "'/out/1/large.parquet' (FORMAT parquet)\",\"threads\":1,\"result\":\"none\"}");
    assert_failed("file above the limit", &out, "io", "");
    outcome_done(&out);
    driver_run(&driver, NULL, &out, "{\"sql\":\"SELECT repeat('x', 30000000)\",\"threads\":1}");
    if (out.done) fail_msg("a result of 30 MB passed a limit of 8 MB");
    outcome_done(&out);
    driver_json(&driver, &out, "SELECT 1");
    assert_string_equal(outcome_cell(&out, 0, 0), "1");
    outcome_done(&out);
    driver_stop(&driver);
}

/* What the engine has ready for a reader who is slow is not in its own books: 16 bytes a text. */
static void small_budgets_stream_long_rows(void **state)
{
    (void)state;
    struct driver driver;
    struct outcome out;
    driver_start(&driver, &(struct driver_options) { .memory_bytes = 128000000 });
    for (int i = 0; i < 6; i++) {
        driver_run(&driver, &(struct driving) { .slow = true, .credits_first = 1 }, &out,
            "{\"sql\":\"SELECT i, repeat('x', 2000) AS t FROM range(60000) r(i)\",\"threads\":%d,\"kept\":%s}", 1 + i % 2,
            i < 3 ? "true" : "false");
        assert_done("rows of 2,000 bytes", &out);
        assert_int_equal(out.rows, 60000);
        assert_true(out.batch_bytes_max <= 4 << 20);
        outcome_done(&out);
    }
    driver_stop(&driver);
}

static void threads_come_and_go(void **state)
{
    (void)state;
    struct driver driver;
    struct outcome out;
    driver_start(&driver, NULL);
    for (int threads = 1; threads <= 16; threads *= 2) {
        driver_run(&driver, NULL, &out,
            "{\"sql\":\"SELECT current_setting('threads'), sum(i) FROM range(1000000) "
            "t(i)\",\"threads\":%d,\"result\":\"json\"}",
            threads);
        assert_done("threads", &out);
        assert_int_equal(strtoll(outcome_cell(&out, 0, 0), NULL, 10), threads);
        outcome_done(&out);
    }
    driver_run(&driver, NULL, &out, "{\"sql\":\"SELECT 1\",\"threads\":0}");
    assert_failed("no threads", &out, "invalid_input", "threads");
    outcome_done(&out);
    driver_stop(&driver);
}

int main(void)
{
    if (getenv("AP_SANITIZED")) return 77; /* the fence is off there */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bombs_end_cleanly),
        cmocka_unit_test(files_have_a_limit),
        cmocka_unit_test(small_budgets_stream_long_rows),
        cmocka_unit_test(threads_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
