/* Statements through a real chamber: values in, rows out, errors, streaming, cancel. */
#include "driver.h"

#include <unistd.h>

static struct driver shared;

static int start(void **state)
{
    driver_start(&shared, NULL);
    *state = &shared;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    driver_stop(&shared);
    return 0;
}

static void says_what_it_is(void **state)
{
    struct driver *driver = *state;
    assert_non_null(strstr(driver->ready, "\"engine\":\"v1.5"));
    assert_non_null(strstr(driver->ready, "\"seal\":\"full\""));
}

static void select_one(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .keep = true }, &out,
        "{\"sql\":\"SELECT 1 AS x, 'hé' AS x, NULL::INT AS z\",\"threads\":2}");
    assert_done("select 1", &out);
    assert_int_equal(out.rows, 1);
    assert_string_equal(out.schema.children[0]->name, "x");
    assert_string_equal(out.schema.children[1]->name, "x");
    const struct ArrowArrayView *view = outcome_view(&out, 0);
    assert_int_equal(ArrowArrayViewGetIntUnsafe(view->children[0], 0), 1);
    struct ArrowStringView text = ArrowArrayViewGetStringUnsafe(view->children[1], 0);
    assert_int_equal(text.size_bytes, 3);
    assert_memory_equal(text.data, "hé", 3);
    assert_true(ArrowArrayViewIsNull(view->children[2], 0));
    outcome_done(&out);
}

static void nothing_is_inherited(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"setup\":[\"CREATE TABLE t AS SELECT 7 AS a\",\"SET VARIABLE v = 3\"],\"sql\":\"SELECT "
        "a FROM t\",\"result\":\"json\"}");
    assert_done("setup", &out);
    assert_string_equal(outcome_cell(&out, 0, 0), "7");
    outcome_done(&out);
    driver_run(driver, NULL, &out, "{\"sql\":\"SELECT a FROM t\",\"result\":\"json\"}");
    assert_failed("table of the statement before", &out, "catalog", "t does not exist");
    outcome_done(&out);
    driver_json(driver, &out, "SELECT getvariable('v')");
    assert_string_equal(outcome_cell(&out, 0, 0), "NULL");
    outcome_done(&out);
}

static void empty_results_have_a_schema(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out, "{\"sql\":\"SELECT 1 AS a, [2] AS b WHERE false\"}");
    assert_done("no rows", &out);
    assert_int_equal(out.rows, 0);
    assert_int_equal(out.batch_count, 0);
    assert_non_null(out.schema.release);
    assert_int_equal(out.schema.n_children, 2);
    assert_string_equal(out.schema.children[1]->format, "+l");
    outcome_done(&out);
}

/* Each type: what it says in Arrow and what it says as text. */
static void types_out(void **state)
{
    static const struct {
        const char *sql, *format, *note, *text;
    } rows[] = {
        { "true", "b", NULL, "true" },
        { "(-5)::TINYINT", "c", NULL, "-5" },
        { "300::SMALLINT", "s", NULL, "300" },
        { "70000", "i", NULL, "70000" },
        { "5000000000", "l", NULL, "5000000000" },
        { "200::UTINYINT", "C", NULL, "200" },
        { "60000::USMALLINT", "S", NULL, "60000" },
        { "4000000000::UINTEGER", "I", NULL, "4000000000" },
        { "18446744073709551615::UBIGINT", "L", NULL, "18446744073709551615" },
        { "1.5::FLOAT", "f", NULL, "1.5" },
        { "0.1::DOUBLE", "g", NULL, "0.1" },
        { "1.25::DECIMAL(4,2)", "d:4,2", NULL, "1.25" },
        { "-12345.678::DECIMAL(9,3)", "d:9,3", NULL, "-12345.678" },
        { "1234567890.12::DECIMAL(18,2)", "d:18,2", NULL, "1234567890.12" },
        { "12345678901234567890.12::DECIMAL(38,2)", "d:38,2", NULL, "12345678901234567890.12" },
        { "(-170141183460469231731)::HUGEINT", "d:38,0", "HUGEINT", "-170141183460469231731" },
        { "170141183460469231731::UHUGEINT", "d:38,0", "UHUGEINT", "170141183460469231731" },
        { "'text'", "u", NULL, "text" },
        { "'{\"a\":1}'::JSON", "u", "JSON", "{\"a\":1}" },
        { "'\\x00\\xFFa'::BLOB", "z", NULL, "\\x00\\xFFa" },
        { "'0101'::BIT", "u", "BIT", "0101" },
        { "'b'::ENUM('a','b')", "u", "ENUM", "b" },
        { "'12345678-9abc-def0-1234-56789abcdef0'::UUID", "u", "UUID",
            "12345678-9abc-def0-1234-56789abcdef0" },
        { "DATE '2020-02-29'", "tdD", NULL, "2020-02-29" },
        { "TIME '12:34:56.789'", "ttu", NULL, "12:34:56.789" },
        { "'12:34:56+02:00'::TIMETZ", "u", "TIMETZ", "12:34:56+02" },
        { "TIMESTAMP '2020-01-01 00:00:00.5'", "tsu:", NULL, "2020-01-01 00:00:00.5" },
        { "TIMESTAMP_S '2020-01-01 00:00:01'", "tss:", NULL, "2020-01-01 00:00:01" },
        { "TIMESTAMP_MS '2020-01-01 00:00:00.123'", "tsm:", NULL, "2020-01-01 00:00:00.123" },
        { "TIMESTAMP_NS '2020-01-01 00:00:00.123456789'", "tsn:", NULL,
            "2020-01-01 00:00:00.123456789" },
        { "TIMESTAMPTZ '2020-01-01 00:00:00+02'", "tsu:UTC", NULL, "2019-12-31 22:00:00+00" },
        { "INTERVAL '2 months 3 days 4 hours'", "tin", NULL, "2 months 3 days 04:00:00" },
        { "[1, NULL, 3]", "+l", NULL, "[1, NULL, 3]" },
        { "[1, 2]::INTEGER[2]", "+w:2", NULL, "[1, 2]" },
        { "{'a': 1, 'b c': 'x'}", "+s", NULL, "{'a': 1, 'b c': x}" },
        { "MAP {'k': [1], 'm': NULL}", "+m", NULL, "{k=[1], m=NULL}" },
        { "union_value(num := 3)::UNION(str VARCHAR, num INTEGER)", "+us:0,1", NULL, "3" },
        { "'-123456789012345678901234567890123456789012345'::BIGNUM", "u", "BIGNUM",
            "-123456789012345678901234567890123456789012345" },
        { "256::BIGNUM", "u", "BIGNUM", "256" },
        { "NULL", "i", NULL, "NULL" },
    };
    struct driver *driver = *state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) sql = { 0 };
        AP_AUTO(ap_bytes) quoted = { 0 };
        struct outcome out;
        assert_ok(ap_bytes_printf(&sql, &err, "SELECT %s AS v", rows[i].sql));
        assert_ok(ap_json_quote(&quoted, ap_bytes_view(&sql), &err));
        driver_run(driver, &(struct driving) { .keep = true }, &out, "{\"sql\":%s,\"threads\":2}",
            ap_bytes_text(&quoted));
        assert_done(rows[i].sql, &out);
        assert_int_in(rows[i].sql, out.rows, 1);
        assert_string_in(rows[i].sql, out.schema.children[0]->format, rows[i].format);
        struct ArrowStringView note = ArrowCharView(NULL);
        if (out.schema.children[0]->metadata)
            ArrowMetadataGetValue(
                out.schema.children[0]->metadata, ArrowCharView("apiary.type"), &note);
        assert_int_in(rows[i].sql, note.size_bytes, rows[i].note ? strlen(rows[i].note) : 0);
        if (rows[i].format[0] == 'u') {
            const struct ArrowArrayView *view = outcome_view(&out, 0);
            struct ArrowStringView text = ArrowArrayViewGetStringUnsafe(view->children[0], 0);
            assert_int_in(rows[i].sql, text.size_bytes, strlen(rows[i].text));
            assert_memory_equal(text.data, rows[i].text, strlen(rows[i].text));
        }
        outcome_done(&out);
        driver_json(driver, &out, ap_bytes_text(&sql));
        assert_string_in(rows[i].sql, outcome_cell(&out, 0, 0), rows[i].text);
        outcome_done(&out);
    }
}

static void huge_numbers_are_refused(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT 340282366920938463463374607431768211455::UHUGEINT\"}");
    assert_failed("largest uhugeint", &out, "out_of_range", "38 digits");
    outcome_done(&out);
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT 170141183460469231731687303715884105727::HUGEINT\"}");
    assert_failed("largest hugeint", &out, "out_of_range", "38 digits");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .keep = true }, &out,
        "{\"sql\":\"SELECT -99999999999999999999999999999999999999::HUGEINT\"}");
    assert_done("38 digits", &out);
    outcome_done(&out);
}

/* Rows of many shapes, compared with the engine's own sums over the same rows. */
static void nested_values_survive_batches(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .keep = true }, &out,
        "{\"sql\":\"SELECT CASE WHEN i %% 7 = 0 THEN NULL ELSE i END AS a, CASE WHEN i %% 5 = 0 "
        "THEN NULL ELSE 'row ' || i END AS s,"
        " CASE WHEN i %% 3 = 0 THEN NULL ELSE range(i %% 4) END AS l, {'x': i, 'y': i %% 2 = 0} AS "
        "st, i %% 2 = 1 AS b"
        " FROM range(300000) t(i)\",\"threads\":2}");
    assert_done("nested", &out);
    assert_int_equal(out.rows, 300000);
    int64_t row = 0, item = 0;
    for (size_t b = 0; b < out.batch_count; b++) {
        const struct ArrowArrayView *view = outcome_view(&out, b);
        item = 0;
        for (int64_t i = 0; i < view->length; i++, row++) {
            char wanted[32];
            int size = snprintf(wanted, sizeof wanted, "row %lld", (long long)row);
            assert_int_equal(ArrowArrayViewIsNull(view->children[0], i), row % 7 == 0);
            if (row % 7) assert_int_equal(ArrowArrayViewGetIntUnsafe(view->children[0], i), row);
            assert_int_equal(ArrowArrayViewIsNull(view->children[1], i), row % 5 == 0);
            struct ArrowStringView text = ArrowArrayViewGetStringUnsafe(view->children[1], i);
            if (row % 5) assert_int_equal(text.size_bytes, size);
            if (row % 5) assert_memory_equal(text.data, wanted, (size_t)size);
            int64_t from = ArrowArrayViewListChildOffset(view->children[2], i),
                    to = ArrowArrayViewListChildOffset(view->children[2], i + 1);
            assert_int_equal(ArrowArrayViewIsNull(view->children[2], i), row % 3 == 0);
            assert_int_equal(to - from, row % 3 ? row % 4 : 0);
            assert_int_equal(from, item);
            for (; item < to; item++)
                assert_int_equal(
                    ArrowArrayViewGetIntUnsafe(view->children[2]->children[0], item), item - from);
            assert_int_equal(ArrowArrayViewGetIntUnsafe(view->children[3]->children[0], i), row);
            assert_int_equal(
                ArrowArrayViewGetIntUnsafe(view->children[3]->children[1], i), row % 2 == 0);
            assert_int_equal(ArrowArrayViewGetIntUnsafe(view->children[4], i), row % 2 == 1);
        }
    }
    assert_int_equal(row, 300000);
    outcome_done(&out);
}

static void parameters(void **state)
{
    static const struct {
        const char *value, *type, *text;
    } rows[] = {
        { "{\"t\":\"bool\",\"v\":\"true\"}", "BOOLEAN", "true" },
        { "{\"t\":\"bool\",\"v\":false}", "BOOLEAN", "false" },
        { "{\"t\":\"int64\",\"v\":\"-9223372036854775808\"}", "BIGINT", "-9223372036854775808" },
        { "{\"t\":\"int64\",\"v\":12}", "BIGINT", "12" },
        { "{\"t\":\"uint64\",\"v\":\"18446744073709551615\"}", "UBIGINT", "18446744073709551615" },
        { "{\"t\":\"double\",\"v\":\"2.5\"}", "DOUBLE", "2.5" },
        { "{\"t\":\"text\",\"v\":\"it's\"}", "VARCHAR", "it's" },
        { "{\"t\":\"blob\",\"v\":\"AP8=\"}", "BLOB", "\\x00\\xFF" },
        { "{\"t\":\"date\",\"v\":\"2020-02-29\"}", "DATE", "2020-02-29" },
        { "{\"t\":\"timestamp\",\"v\":\"2020-02-29 12:00:00.25\"}", "TIMESTAMP",
            "2020-02-29 12:00:00.25" },
        { "{\"t\":\"timestamptz\",\"v\":\"2020-02-29T12:00:00+01:00\"}", "TIMESTAMP WITH TIME ZONE",
            "2020-02-29 11:00:00+00" },
        { "{\"t\":\"time\",\"v\":\"23:59:59.5\"}", "TIME", "23:59:59.5" },
        { "{\"t\":\"decimal\",\"v\":\"-12.50\"}", "DECIMAL(4,2)", "-12.50" },
        { "{\"t\":\"decimal\",\"v\":\"0.05\"}", "DECIMAL(3,2)", "0.05" },
        { "{\"t\":\"decimal\",\"v\":\"0\"}", "DECIMAL(1,0)", "0" },
        { "{\"t\":\"null\"}", "\"NULL\"", "NULL" },
        { "{\"t\":\"list\",\"v\":[{\"t\":\"int64\",\"v\":\"1\"},{\"t\":\"null\"}]}", "BIGINT[]",
            "[1, NULL]" },
        { "{\"t\":\"list\",\"v\":[]}", "VARCHAR[]", "[]" },
    };
    struct driver *driver = *state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct outcome out;
        driver_run(driver, NULL, &out,
            "{\"sql\":\"SELECT typeof(?), ?\",\"values\":[%s,%s],\"result\":\"json\"}",
            rows[i].value, rows[i].value);
        assert_done(rows[i].value, &out);
        assert_string_in(rows[i].value, outcome_cell(&out, 0, 0), rows[i].type);
        assert_string_in(rows[i].value, outcome_cell(&out, 0, 1), rows[i].text);
        outcome_done(&out);
    }
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT $b || "
        "$a\",\"values\":[{\"n\":\"a\",\"t\":\"text\",\"v\":\"1\"},{\"n\":\"b\",\"t\":\"text\","
        "\"v\":\"2\"}],\"result\":\"json\"}");
    assert_done("named", &out);
    assert_string_equal(outcome_cell(&out, 0, 0), "21");
    outcome_done(&out);
    static const char *const wrong[] = {
        "[]",
        "[{\"t\":\"int64\",\"v\":\"1x\"}]",
        "[{\"t\":\"date\",\"v\":\"2020-13-01\"}]",
        "[{\"t\":\"strange\",\"v\":\"1\"}]",
        "[{\"n\":\"nobody\",\"t\":\"text\",\"v\":\"1\"}]",
        "[{\"t\":\"blob\",\"v\":\"***\"}]",
        "[{\"t\":\"decimal\",\"v\":\"1.2.3\"}]",
        "[{\"t\":\"decimal\",\"v\":\"\"}]",
        "[{\"t\":\"list\",\"v\":3}]",
    };
    for (size_t i = 0; i < AP_COUNT(wrong); i++) {
        driver_run(driver, NULL, &out, "{\"sql\":\"SELECT $1\",\"values\":%s,\"result\":\"json\"}",
            wrong[i]);
        assert_failed(wrong[i], &out, "invalid_input", "");
        outcome_done(&out);
    }
}

static void errors_are_clean(void **state)
{
    static const struct {
        const char *label, *document, *type, *words;
        int64_t position, setup;
    } rows[] = {
        { "syntax", "{\"sql\":\"SELECT 1 +\"}", "parser", "syntax error at end of input", 10, -1 },
        { "column", "{\"sql\":\"SELECT 1,\\n  nope FROM range(3)\"}", "binder",
            "\"nope\" not found", 12, -1 },
        { "table", "{\"sql\":\"SELECT * FROM nosuch\"}", "catalog", "nosuch does not exist", 14,
            -1 },
        { "cast", "{\"sql\":\"SELECT 'a'::INT FROM range(3)\"}", "conversion", "Could not convert",
            10, -1 },
        { "in mid-stream",
            "{\"sql\":\"SELECT CASE WHEN i = 900000 THEN error('boom') ELSE i END FROM "
            "range(1000000) t(i)\"}",
            "invalid_input", "boom", -1, -1 },
        { "set-up", "{\"setup\":[\"SELECT 1\",\"SELEC\"],\"sql\":\"SELECT 1\"}", "parser",
            "syntax error", 0, 1 },
        { "two statements", "{\"sql\":\"SELECT 1; SELECT 2\"}", "invalid_input",
            "multiple statements", -1, -1 },
        { "locked", "{\"sql\":\"SET threads = 4\"}", "invalid_input", "locked", -1, -1 },
        { "time zone", "{\"sql\":\"SELECT 1\",\"settings\":{\"TimeZone\":\"Nowhere/At All\"}}", "",
            "Nowhere", -2, -1 },
        { "setting", "{\"sql\":\"SELECT 1\",\"settings\":{\"no such\":\"1\"}}", "invalid_input",
            "no such", -1, -1 },
        { "not json", "{\"sql\":", "", "job document", -2, -1 },
        { "no sql", "{}", "invalid_input", "without a statement", -1, -1 },
        { "result", "{\"sql\":\"SELECT 1\",\"result\":\"odd\"}", "invalid_input", "odd", -1, -1 },
    };
    struct driver *driver = *state;
    for (size_t i = 0; i < 2 * AP_COUNT(rows); i++) { /* the second time: bound once where it can be */
        size_t row = i / 2;
        bool once = i % 2 && rows[row].document[1] == '"';
        struct outcome out;
        driver_run(driver, NULL, &out, "{%s%s", once ? "\"once\":true," : "", rows[row].document + 1);
        assert_failed(
            rows[row].label, &out, rows[row].type[0] ? rows[row].type : out.type, rows[row].words);
        if (rows[row].position != -2) assert_int_in(rows[row].label, out.position, rows[row].position);
        assert_int_in(rows[row].label, out.setup, rows[row].setup);
        outcome_done(&out);
    }
}

/* Seen by what the engine does with columns of one name when a query is bound that way. */
static void a_query_is_bound_once(void **state)
{
    static const struct {
        const char *label, *document, *words;
    } rows[] = {
        { "twice", "\"sql\":\"SELECT 1 AS a, 2 AS a\"", "[\"a\",\"a\"]" },
        { "once", "\"once\":true,\"sql\":\"SELECT 1 AS a, 2 AS a\"", "[\"a\",\"a_1\"]" },
        { "order", "\"once\":true,\"sql\":\"SELECT i FROM range(5) t(i) ORDER BY i DESC LIMIT 2 -- all\"",
            "\"rows\":[[\"4\"],[\"3\"]]" },
        { "a parameter", "\"once\":true,\"sql\":\"SELECT $1 AS a\"", "0 values are given" },
        { "another", "\"once\":true,\"sql\":\"SELECT 1 AS a WHERE 'x' = ?\"", "0 values are given" },
        { "not a query", "\"once\":true,\"sql\":\"CREATE TEMP TABLE t AS SELECT 1\"", "\"rows\":[[\"1\"]]" },
    };
    struct driver *driver = *state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct outcome out;
        driver_run(driver, NULL, &out, "{%s,\"result\":\"json\"}", rows[i].document);
        if (!strstr(out.body, rows[i].words)) fail_msg("%s: %s", rows[i].label, out.body);
        outcome_done(&out);
    }
}

static void settings_apply(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .keep = true }, &out,
        "{\"sql\":\"SELECT TIMESTAMPTZ '2020-06-01 00:00:00+00' AS t, TIMESTAMPTZ '2020-06-01 "
        "00:00:00+00'::VARCHAR AS s\","
        "\"settings\":{\"TimeZone\":\"Europe/Berlin\",\"default_null_order\":\"nulls_first\"}}");
    assert_done("zone", &out);
    assert_string_equal(out.schema.children[0]->format, "tsu:Europe/Berlin");
    struct ArrowStringView text =
        ArrowArrayViewGetStringUnsafe(outcome_view(&out, 0)->children[1], 0);
    assert_memory_equal(text.data, "2020-06-01 02:00:00+02", 22);
    outcome_done(&out);
    driver_json(driver, &out,
        "SELECT current_setting('TimeZone'), current_setting('default_null_order'), "
        "current_setting('threads')");
    assert_string_equal(outcome_cell(&out, 0, 0), "UTC");
    assert_string_equal(outcome_cell(&out, 0, 1), "NULLS_LAST");
    assert_string_equal(outcome_cell(&out, 0, 2), "2");
    outcome_done(&out);
}

static void streams_with_slow_credits(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .slow = true }, &out,
        "{\"sql\":\"SELECT i, 'some text ' || i AS s FROM range(1000000) t(i)\",\"threads\":2}");
    assert_done("1 M rows", &out);
    assert_int_equal(out.rows, 1000000);
    assert_true(out.batch_count >= 9);
    assert_true(out.batch_bytes_max <= AP_WIRE_BATCH_MAX);
    outcome_done(&out);
}

/* Threads of the engine run ahead of who reads: they fail while no row is fetched, and the reason is heard all the same. */
static void what_fails_between_fetches_says_why(void **state)
{
    struct driver *driver = *state;
    for (int i = 1; i <= 60; i++) {
        struct outcome out;
        driver_run(driver, &(struct driving) { .credits_first = 1, .slow = true }, &out,
            "{\"sql\":\"SELECT CASE WHEN i = %d THEN error('late') ELSE i END AS n, i AS m FROM range(6000000) t(i)\",\"threads\":2%s}",
            50000 * i, i % 2 ? "" : ",\"kept\":true,\"setup\":[\"CREATE TEMP VIEW v AS SELECT 1\"]");
        assert_failed("late", &out, "invalid_input", "late");
        outcome_done(&out);
    }
    driver_sql(driver, "SELECT 1");
}

static void large_values_are_cut_into_batches(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT repeat('x', 100000) AS s FROM range(1000)\",\"threads\":1}");
    assert_done("100 MB of text", &out);
    assert_int_equal(out.rows, 1000);
    assert_true(out.batch_bytes_max <= AP_WIRE_BATCH_MAX);
    outcome_done(&out);
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT repeat('x', 20000000) AS s FROM range(2)\",\"threads\":1}");
    assert_done("a row above a batch", &out);
    assert_int_equal(out.rows, 2);
    assert_int_equal(out.batch_count, 2);
    outcome_done(&out);
}

static void cancels(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .cancel_after_ms = 100 }, &out,
        "{\"sql\":\"SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE hash(i + "
        "j) = 5\",\"threads\":2}");
    assert_failed("cross join", &out, "cancelled", "cancelled");
    outcome_done(&out);
    driver_run(driver, &(struct driving) { .credits_first = 2, .cancel_at_batch = 2 }, &out,
        "{\"sql\":\"SELECT i FROM range(10000000) t(i)\",\"threads\":2}");
    assert_failed("paused stream", &out, "cancelled", "cancelled");
    outcome_done(&out);
    driver_json(driver, &out, "SELECT 42");
    assert_string_equal(outcome_cell(&out, 0, 0), "42");
    outcome_done(&out);
}

static void a_late_cancel_hits_nothing(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    for (int i = 0; i < 5; i++) {
        driver_run(
            driver, &(struct driving) { .cancel_at_batch = 1 }, &out, "{\"sql\":\"SELECT 1\"}");
        outcome_done(&out);
        driver_json(driver, &out, "SELECT sum(i) FROM range(100000) t(i)");
        assert_string_equal(outcome_cell(&out, 0, 0), "4999950000");
        outcome_done(&out);
    }
}

static void progress_is_told(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, &(struct driving) { .cancel_after_ms = 1200 }, &out,
        "{\"sql\":\"SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE hash(i + "
        "j) = 5\",\"threads\":1}");
    assert_true(out.progress_count >= 2);
    outcome_done(&out);
}

static void changes_are_counted(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    driver_run(driver, NULL, &out,
        "{\"setup\":[\"CREATE TABLE t(a INT)\"],\"sql\":\"INSERT INTO t SELECT * FROM "
        "range(17)\",\"result\":\"none\"}");
    assert_done("insert", &out);
    assert_non_null(strstr(out.body, "\"rows_changed\":17"));
    outcome_done(&out);
    driver_sql(driver, "CREATE VIEW v AS SELECT 1");
}

static void parses_in_the_shared_instance(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    for (int i = 0; i < 3; i++) { /* the statement stays prepared, its value does not */
        char table[32];
        snprintf(table, sizeof table, "\"table_name\":\"c%d\"", i);
        driver_run(driver, NULL, &out,
            "{\"sql\":\"SELECT json_serialize_sql($1::VARCHAR)\",\"values\":[{\"t\":\"text\",\"v\":\"SELECT a FROM b.c%d WHERE d > 5\"}],"
            "\"result\":\"json\",\"shared\":true}", i);
        assert_done("serialize", &out);
        assert_non_null(strstr(outcome_cell(&out, 0, 0), "\"error\":false"));
        assert_non_null(strstr(outcome_cell(&out, 0, 0), table));
        outcome_done(&out);
        driver_run(driver, NULL, &out,
            "{\"sql\":\"SELECT json_serialize_sql($1::VARCHAR)\",\"values\":[],\"result\":\"json\",\"shared\":true}");
        assert_failed("without its value", &out, "invalid_input", "1 parameter");
        outcome_done(&out);
    }
    driver_run(driver, NULL, &out,
        "{\"sql\":\"SELECT "
        "json_deserialize_sql(json_serialize_sql($1::VARCHAR))\",\"values\":[{\"t\":\"text\",\"v\":"
        "\"select  1\"}],"
        "\"result\":\"json\",\"shared\":true}");
    assert_done("deserialize", &out);
    assert_string_equal(outcome_cell(&out, 0, 0), "SELECT 1");
    outcome_done(&out);
}

/* A job of the kind that shares an instance; *cell gets its first value. */
static void kept_cell(struct driver *driver, const char *sql, const char *zone, char cell[128])
{
    struct outcome out;
    char document[512];
    snprintf(document, sizeof document,
        "{\"sql\":\"%s\",\"settings\":{\"TimeZone\":\"%s\"},\"result\":\"json\",\"kept\":true}", sql, zone);
    driver_run(driver, NULL, &out, "%s", document);
    assert_done(sql, &out);
    snprintf(cell, 128, "%s", outcome_cell(&out, 0, 0));
    outcome_done(&out);
}

static void nothing_is_inherited_on_a_kept_instance(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    char first[128], second[128];
    for (int i = 0; i < 2; i++) {
        kept_cell(driver, "SELECT setseed(0.42)", "UTC", first);
        kept_cell(driver, "SELECT random()", "UTC", i == 0 ? first : second);
    }
    assert_string_not_equal(first, second);
    kept_cell(driver, "SELECT current_setting('TimeZone')", "Asia/Tokyo", first);
    assert_string_equal(first, "Asia/Tokyo");
    kept_cell(driver, "SELECT current_setting('TimeZone')", "UTC", first);
    assert_string_equal(first, "UTC");

    static const char *const leaving[] = { "CREATE TEMP TABLE left_over AS SELECT 1 AS a",
        "CREATE TEMP VIEW seen AS SELECT 1 AS a", "SET VARIABLE v = 3" };
    for (size_t i = 0; i < sizeof leaving / sizeof *leaving; i++) {
        driver_run(driver, NULL, &out, "{\"sql\":\"%s\",\"result\":\"none\",\"kept\":true}", leaving[i]);
        assert_done(leaving[i], &out);
        outcome_done(&out);
    }
    kept_cell(driver, "SELECT getvariable('v')", "UTC", first);
    assert_string_equal(first, "NULL");
    driver_run(driver, NULL, &out, "{\"sql\":\"FROM left_over\",\"result\":\"json\",\"kept\":true}");
    assert_failed("a table of a kept one", &out, "catalog", "left_over does not exist");
    outcome_done(&out);
    driver_run(driver, NULL, &out, "{\"sql\":\"FROM seen\",\"result\":\"json\",\"kept\":true}");
    assert_failed("a view of a kept one", &out, "catalog", "seen does not exist");
    outcome_done(&out);
    driver_run(driver, NULL, &out, "{\"sql\":\"SET threads=1\",\"result\":\"none\",\"kept\":true}");
    assert_failed("it is locked", &out, "invalid_input", "locked");
    outcome_done(&out);
    kept_cell(driver, "SELECT 40 + 2", "UTC", first); /* a failure leaves the next one well */
    assert_string_equal(first, "42");
}

/* A connection's number tells instances apart: it begins anew in each. */
static int64_t connection_of_kept(struct driver *driver)
{
    char cell[128];
    kept_cell(driver, "SELECT current_connection_id()", "UTC", cell);
    return strtoll(cell, NULL, 10);
}

static void a_kept_set_up_is_taken_back(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    char cell[128];
    int64_t first = connection_of_kept(driver);
    static const char *const rows[][3] = {
        { "", "\"CREATE SCHEMA b\",\"CREATE VIEW b.f AS SELECT 41 AS a\",\"USE memory.b\"", "f" },
        { "[\"ATTACH ':memory:' AS h\",\"DETACH h\"]", "\"CREATE SCHEMA h.b\",\"CREATE VIEW h.b.f AS SELECT 41 AS a\",\"USE h.b\"", "h.b.f" },
        { "[\"ATTACH ':memory:' AS \\\"a \\\"\\\"b\\\"\\\".c\\\"\",\"DETACH \\\"a \\\"\\\"b\\\"\\\".c\\\"\"]",
            "\"CREATE VIEW memory.main.f AS SELECT 41 AS a\"", "f" },
    };
    for (size_t i = 0; i < 2 * sizeof rows / sizeof *rows; i++) {
        const char *const *row = rows[i % (sizeof rows / sizeof *rows)];
        driver_run(driver, NULL, &out,
            "{\"standing\":[%s],\"setup\":[%s],\"sql\":\"SELECT a + 1 FROM %s\",\"result\":\"json\",\"kept\":true}", row[0], row[1], row[2]);
        assert_done(row[1], &out);
        assert_string_equal(outcome_cell(&out, 0, 0), "42");
        outcome_done(&out);
        kept_cell(driver,
            "SELECT current_schema() || (SELECT count(*) FROM duckdb_databases() WHERE NOT internal)::VARCHAR || "
            "(SELECT count(*) FROM duckdb_schemas() WHERE schema_name = 'b')::VARCHAR || "
            "(SELECT count(*) FROM duckdb_views() WHERE NOT internal)::VARCHAR", "UTC", cell);
        assert_string_equal(cell, "main100");
    }
    /* What the engine does not understand leaves nothing either. */
    driver_run(driver, NULL, &out, "{\"setup\":[\"CREATE VIEW f AS SELECT 41 AS a\"],\"sql\":\"DESCRIBE SELECT nope FROM f\",\"result\":\"json\",\"kept\":true}");
    assert_failed("a question in vain", &out, "binder", "nope");
    outcome_done(&out);
    kept_cell(driver, "SELECT count(*)::VARCHAR FROM duckdb_views() WHERE NOT internal", "UTC", cell);
    assert_string_equal(cell, "0");
    /* All of it in one instance, unless the sanitizer's own memory made another of it. */
    if (!getenv("AP_SANITIZED")) assert_true(connection_of_kept(driver) > first + 6);
}

/* Parts of plans have an instance of their own, which only they use, and in which only queries run. */
static void parts_share_with_parts(void **state)
{
#define PART(sql, setup) "{\"setup\":[" setup "],\"sql\":\"" sql "\",\"result\":\"json\",\"kept\":true,\"part\":true}"
    struct driver own, *driver = &own;
    struct outcome out;
    char cell[128];
    (void)state;
    driver_start(driver, &(struct driver_options) { .kept = 3 });
    static const char *const refused[] = { "CREATE TABLE t AS SELECT 1", "CREATE TEMP MACRO abs(x) AS 1", "COMMIT", "EXPLAIN SELECT 1",
        "COPY (SELECT 1) TO '/out/0/x.parquet'", "SELECT 1; SELECT 2" };
    int64_t numbers[3], first = connection_of_kept(driver);
    for (size_t i = 0; i < AP_COUNT(numbers); i++) {
        driver_run(driver, NULL, &out, PART("SELECT current_connection_id(), (SELECT count(*) FROM v)", "\"CREATE TEMP VIEW v AS SELECT 1\""));
        assert_done("a part", &out);
        numbers[i] = strtoll(outcome_cell(&out, 0, 0), NULL, 10);
        outcome_done(&out);
    }
    assert_int_equal(numbers[0], first); /* the first of an instance */
    assert_int_equal(connection_of_kept(driver), first + 1); /* the other one is still there */
    if (!getenv("AP_SANITIZED")) assert_true(numbers[1] == first + 1 && numbers[2] == first + 2);
    for (size_t i = 0; i < AP_COUNT(refused); i++) {
        driver_run(driver, NULL, &out, PART("%s", ""), refused[i]);
        assert_failed(refused[i], &out, "invalid_input", strchr(refused[i], ';') ? "one statement" : "no query");
        outcome_done(&out);
    }
    driver_run(driver, NULL, &out, PART("SELECT count(*)::VARCHAR || abs(-2) FROM duckdb_tables()", ""));
    assert_done("a part after them", &out);
    assert_string_equal(outcome_cell(&out, 0, 0), "02");
    outcome_done(&out);
    kept_cell(driver, "SELECT count(*)::VARCHAR FROM duckdb_tables()", "UTC", cell);
    assert_string_equal(cell, "0");
    driver_stop(driver);
#undef PART
}

/* Where memory is scarce one instance is kept, for whoever comes. */
static void one_is_kept_where_memory_is_scarce(void **state)
{
    struct driver own, *driver = &own;
    struct outcome out;
    (void)state;
    driver_start(driver, NULL);
    int64_t first = connection_of_kept(driver);
    driver_run(driver, NULL, &out, "{\"sql\":\"SELECT 1\",\"result\":\"json\",\"kept\":true,\"part\":true}");
    assert_done("a part", &out);
    outcome_done(&out);
    assert_int_equal(connection_of_kept(driver), first); /* of a new one */
    driver_stop(driver);
}

/* What others left and nobody can undo is not told to the next one, which gets another instance. */
static void what_cannot_be_undone_is_nobodys_fault(void **state)
{
    static const char *const left[] = { "[\"CREATE VIEW v AS SELECT 1\",\"DROP VIEW no_such\"]", "[\"CREATE SCHEMA IF NOT EXISTS memory.main\",\"DROP SCHEMA memory.main\"]",
        "[\"ATTACH ':memory:' AS x (TYPE duckdb)\",\"DETACH x (TYPE duckdb)\"]" };
    struct driver own, *driver = &own;
    struct outcome out;
    char cell[128];
    (void)state;
    driver_start(driver, NULL);
    int64_t first = connection_of_kept(driver);
    for (size_t i = 0; i < AP_COUNT(left); i++) {
        driver_run(driver, NULL, &out, "{\"standing\":[%s],\"sql\":\"SELECT 1\",\"result\":\"json\",\"kept\":true}", left[i]);
        assert_done(left[i], &out);
        outcome_done(&out);
        assert_int_equal(connection_of_kept(driver), first); /* of a new one */
        kept_cell(driver, "SELECT count(*)::VARCHAR || (SELECT count(*) FROM duckdb_databases() WHERE NOT internal)::VARCHAR FROM duckdb_views() WHERE NOT internal", "UTC", cell);
        assert_string_equal(cell, "01");
    }
    driver_run(driver, NULL, &out, "{\"standing\":[[\"CREATE VIEW v AS FROM nope\",\"\"]],\"sql\":\"SELECT 1\",\"result\":\"json\",\"kept\":true}");
    assert_failed("its own mistake", &out, "catalog", "nope");
    outcome_done(&out);
    driver_stop(driver);
}

/* What stands is what the job at hand wants to stand, whatever others wanted. */
static void what_stands_is_what_is_asked_for(void **state)
{
#define STANDS_H "[\"ATTACH ':memory:' AS h\",\"DETACH h\"],[\"CREATE SCHEMA h.b\",\"DROP SCHEMA h.b\"]"
#define STANDS_F "[\"CREATE VIEW h.b.f AS SELECT 41 AS a\",\"DROP VIEW h.b.f\"]"
#define STANDS_G "[\"CREATE VIEW g AS SELECT 1 AS a\",\"DROP VIEW g\"]"
    struct driver own, *driver = &own; /* an instance that others made large would be closed in between */
    struct outcome out;
    (void)state;
    driver_start(driver, NULL);
    int64_t first = connection_of_kept(driver);
    static const struct {
        const char *standing, *setup, *names;
    } rows[] = {
        { STANDS_H "," STANDS_F, "", "f" },
        { STANDS_H "," STANDS_F, "\"CREATE VIEW v AS FROM h.b.f\"", "f,v" },
        { STANDS_H "," STANDS_F "," STANDS_G, "", "f,g" },
        { STANDS_G, "", "g" },
        { STANDS_G "," STANDS_H, "\"USE h.b\"", "g" },
        { "", "", "" },
        { STANDS_G ",[\"ATTACH ':memory:' AS k\",\"DETACH k\"]", "\"CREATE VIEW k.w AS SELECT 1\"", "g,w" },
        { STANDS_G, "", "g" },
        { "[\"CREATE VIEW g AS SELECT 2 AS a\",\"DROP VIEW g\"]", "", "g" },
    };
    for (size_t i = 0; i < 2 * AP_COUNT(rows); i++) {
        size_t row = i % AP_COUNT(rows);
        driver_run(driver, NULL, &out,
            "{\"standing\":[%s],\"setup\":[%s],\"sql\":\"SELECT coalesce(string_agg(view_name, ',' ORDER BY view_name), '') "
            "FROM duckdb_views() WHERE NOT internal\",\"result\":\"json\",\"kept\":true}", rows[row].standing, rows[row].setup);
        assert_done(rows[row].names, &out);
        assert_string_equal(outcome_cell(&out, 0, 0), rows[row].names);
        outcome_done(&out);
    }
    if (!getenv("AP_SANITIZED")) assert_true(connection_of_kept(driver) > first + 6); /* in one instance */
    driver_run(driver, NULL, &out, "{\"standing\":[%s],\"sql\":\"SELECT 1\",\"kept\":true}",
        STANDS_G ",[\"CREATE VIEW x AS FROM nowhere\",\"DROP VIEW x\"]");
    assert_failed("a view that cannot be made", &out, "catalog", "nowhere");
    assert_int_equal(out.setup, 1);
    outcome_done(&out);
    driver_run(driver, NULL, &out, "{\"standing\":[1],\"sql\":\"SELECT 1\",\"kept\":true}");
    assert_failed("no pair", &out, "invalid_input", "no pair of texts");
    outcome_done(&out);
    driver_stop(driver);
}

static void settings_of_kept_jobs(void **state)
{
    struct driver *driver = *state;
    struct outcome out;
    static const char *const orders[] = { "ASC", "DESC", "DESC", "ASC" };
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        driver_run(driver, NULL, &out,
            "{\"sql\":\"SELECT range FROM range(3) ORDER BY range\",\"settings\":{\"default_order\":\"%s\"},"
            "\"result\":\"json\",\"kept\":true}", orders[i]);
        assert_done(orders[i], &out);
        assert_string_equal(outcome_cell(&out, 0, 0), orders[i][0] == 'A' ? "0" : "2");
        outcome_done(&out);
    }
    driver_run(driver, &(struct driving) { .cancel_after_ms = 1200 }, &out,
        "{\"sql\":\"SELECT count(*) FROM range(1000000) a(i), range(1000000) b(j) WHERE hash(i + "
        "j) = 5\",\"kept\":true}");
    assert_failed("a kept job is cancelled", &out, "cancelled", "");
    assert_true(out.progress_count >= 2);
    outcome_done(&out);
}

static int64_t resident_bytes(const struct driver *driver)
{
    char path[64], text[128] = "";
    long size = 0, resident = 0;
    snprintf(path, sizeof path, "/proc/%ld/statm", (long)driver->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_int_equal(sscanf(text, "%ld %ld", &size, &resident), 2);
    return resident * sysconf(_SC_PAGESIZE);
}

/* In a chamber of its own: what the others' statements took is not to be seen. */
static void a_kept_instance_gives_memory_back(void **state)
{
    struct driver driver;
    char cell[128];
    (void)state;
    if (getenv("AP_SANITIZED")) skip(); /* the sanitizer gives nothing back */
    driver_start(&driver, NULL);
    (void)connection_of_kept(&driver);
    int64_t before = resident_bytes(&driver), after = 0;
    for (int i = 0; i < 3; i++) {
        kept_cell(&driver,
            "SELECT max(len(l)) FROM (SELECT list('some padding ' || i) AS l FROM range(1500000) t(i) GROUP BY i % 3)",
            "UTC", cell);
        assert_string_equal(cell, "500000");
    }
    for (int i = 0; i < 100; i++) { /* what is closed is closed behind the answer */
        (void)connection_of_kept(&driver);
        after = resident_bytes(&driver);
        if (after < before + (80 << 20)) break;
        usleep(100000);
    }
    if (after >= before + (80 << 20))
        fail_msg("resident %lld MB, then %lld MB", (long long)before >> 20, (long long)after >> 20);
    driver_stop(&driver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(select_one),
        cmocka_unit_test(nothing_is_inherited),
        cmocka_unit_test(empty_results_have_a_schema),
        cmocka_unit_test(types_out),
        cmocka_unit_test(huge_numbers_are_refused),
        cmocka_unit_test(nested_values_survive_batches),
        cmocka_unit_test(parameters),
        cmocka_unit_test(errors_are_clean),
        cmocka_unit_test(a_query_is_bound_once),
        cmocka_unit_test(settings_apply),
        cmocka_unit_test(streams_with_slow_credits),
        cmocka_unit_test(what_fails_between_fetches_says_why),
        cmocka_unit_test(large_values_are_cut_into_batches),
        cmocka_unit_test(cancels),
        cmocka_unit_test(a_late_cancel_hits_nothing),
        cmocka_unit_test(progress_is_told),
        cmocka_unit_test(changes_are_counted),
        cmocka_unit_test(parses_in_the_shared_instance),
        cmocka_unit_test(nothing_is_inherited_on_a_kept_instance),
        cmocka_unit_test(a_kept_set_up_is_taken_back),
        cmocka_unit_test(parts_share_with_parts),
        cmocka_unit_test(one_is_kept_where_memory_is_scarce),
        cmocka_unit_test(what_cannot_be_undone_is_nobodys_fault),
        cmocka_unit_test(what_stands_is_what_is_asked_for),
        cmocka_unit_test(settings_of_kept_jobs),
        cmocka_unit_test(a_kept_instance_gives_memory_back),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
