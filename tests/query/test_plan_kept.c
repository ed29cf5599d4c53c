/* Which parts of plans run in an instance that they share: those that leave nothing behind, whoever wrote them. */
#include "query_world.h"

#include "api/handle.h"
#include "query/plan_private.h"

struct world {
    struct apiary *handle;
    struct apiary_session *session;
    struct ap_plan *plan;
};

static const char sql[] = "SELECT p, sum(x) AS s FROM t JOIN u USING (p) GROUP BY p ORDER BY p";

static int setup(void **state)
{
    static struct world world;
    static char folder[AP_TEST_PATH_MAX];
    struct apiary_error err = { 0 };
    ap_test_folder(folder);
    setenv("APIARY_TEST_CUT", "tasks=2", 1);
    query_open(folder, "8GB", &world.handle, &world.session);
    query_run(world.session, "CREATE FRAME u AS SELECT range AS p FROM range(3)");
    query_run(world.session, "CREATE FRAME t AS SELECT range % 3 AS p, range AS x FROM range(1000)");
    query_run(world.session, "INSERT INTO t SELECT range % 3 AS p, range AS x FROM range(1000)");
    assert_ok(ap_plan_statement(world.session->session, ap_str_from(sql), &world.plan, &err));
    assert_true(world.plan != NULL && world.plan->stage_count == 1 && world.plan->stages[0].task_count == 2);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    ap_plan_free(world->plan);
    apiary_session_close(world->session);
    apiary_close(world->handle);
    return 0;
}

/* Opens task 0 and tells whether it would share. inlined: its shard is a query of the text's WITH. */
static bool shares_so(struct world *world, const char *text, bool inlined)
{
    struct apiary_error err = { 0 };
    struct ap_plan_run run = { .session = world->session->session, .plan = world->plan };
    struct ap_plan_part part = ap_plan_part_task(&run, 0);
    struct ap_source *source = NULL;
    int64_t wait_us = 0;
    AP_AUTO(ap_bytes) with = { 0 };
    if (inlined) part.with = &with;
    enum apiary_code code = ap_plan_part_open(&part, text, &source, &wait_us, &err);
    if (code != APIARY_OK) fail_msg("%s: %s", text, err.message);
    bool kept = source->kept && source->part;
    assert_int_equal(source->kept, source->part);
    ap_source_close(source);
    return kept;
}

static bool shares(struct world *world, const char *text)
{
    bool kept = shares_so(world, text, false);
    if (shares_so(world, text, true) != kept) fail_msg("%s: it is not %d where shards are queries of its WITH", text, kept);
    return kept;
}

static void a_part_is_a_query_over_what_is_ours(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *sql;
        bool shares;
    } rows[] = {
        { "SELECT 1", true },
        { "WITH q AS (SELECT range AS i FROM range(3)) SELECT sum(i) FROM q, apiary_shard, unnest([1, 2])", true },
        { "SELECT * FROM \"memory\".\"main\".\"u\"", true },
        { "SELECT * FROM enable_logging()", false },
        { "SELECT (SELECT count(*) FROM duckdb_logs) AS n", false },
        { "SELECT message FROM duckdb_logs", false },
        { "FROM system.main.duckdb_views", false },
        { "FROM pg_catalog.pg_class", false },
        { "SELECT * FROM memory.information_schema.tables", false },
        { "SELECT * FROM query('SELECT 1')", false },
        { "SELECT * FROM read_csv('/cells/0/x.csv')", false },
        { "SELECT * FROM '/cells/0/x.parquet'", false },
        { "SELECT write_log('x')", false },
        { "SELECT txid_current()", false },
        { "FROM checkpoint()", false },
        { "CREATE TABLE memory.main.left_behind AS SELECT 1", false },
        { "SET threads = 1", false },
        { "COMMIT", false },
        { "SELECT 1; SELECT 2", false },
        { "SELECT 'unfinished", false },
        { "nonsense", false },
    };
    assert_true(shares(world, world->plan->stages[0].fragment_sql));
    for (size_t i = 0; i < AP_COUNT(rows); i++)
        if (shares(world, rows[i].sql) != rows[i].shares) fail_msg("%s: it is not %d", rows[i].sql, rows[i].shares);
}

static void what_sets_it_up_makes_schemas_and_views(void **state)
{
    struct world *world = *state;
    struct ap_plan *plan = world->plan;
    const char **texts = plan->setup, *use = plan->use, *fragment = plan->stages[0].fragment_sql;
    size_t count = plan->setup_count;
    static const struct {
        const char *text;
        bool shares;
    } rows[] = {
        { "CREATE SCHEMA IF NOT EXISTS memory.main", true },
        { "CREATE SCHEMA IF NOT EXISTS \"memory\".\"a;b\"", true },
        { "ATTACH ':memory:' AS \"AS\"", true },
        { "ATTACH ':memory:' AS h (TYPE duckdb)", false },
        { "ATTACH '/out/0/x.db' AS h", false },
        { "CREATE SCHEMA IF NOT EXISTS memory", false },
        { "CREATE SCHEMA IF NOT EXISTS a.b.c", false },
        { "CREATE SCHEMA a.b", false },
        { "CREATE SCHEMA IF NOT EXISTS memory.a; CREATE TABLE t(i INT)", false },
        { "CREATE MACRO memory.main.abs(x) AS 7", false },
        { "CREATE VIEW memory.main.v AS SELECT 1", false },
        { "", false },
    };
    static const struct {
        const char *text;
        bool shares;
    } uses[] = {
        { "USE \"memory\".\"main\"", true },
        { "USE memory.main; COMMIT", false },
        { "ROLLBACK", false },
        { "CREATE TEMP VIEW v AS SELECT 1", true },
        { "CREATE TEMP VIEW v(\"AS\") AS SELECT * FROM apiary_partials", true },
        { "CREATE TEMP VIEW v AS FROM enable_logging()", false },
        { "CREATE TEMP VIEW v", false },
        { "CREATE OR REPLACE VIEW v AS SELECT 1", false },
        { "CREATE TEMP TABLE v AS SELECT 1", false },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        const char *one[] = { rows[i].text };
        plan->setup = one;
        plan->setup_count = 1;
        if (shares(world, fragment) != rows[i].shares) fail_msg("%s: it is not %d", rows[i].text, rows[i].shares);
    }
    const char *two[] = { "ATTACH ':memory:' AS a", "ATTACH ':memory:' AS b" };
    plan->setup = two;
    plan->setup_count = 2;
    assert_false(shares(world, fragment));
    plan->setup = texts;
    plan->setup_count = count;
    for (size_t i = 0; i < AP_COUNT(uses); i++) {
        plan->use = uses[i].text;
        if (shares(world, fragment) != uses[i].shares) fail_msg("%s: it is not %d", uses[i].text, uses[i].shares);
    }
    plan->use = use;
    assert_true(shares(world, fragment));
}

/* Where the rows of a frame are is the plan's word too. */
static void views_of_frames_are_names(void **state)
{
    struct world *world = *state;
    struct ap_plan *plan = world->plan;
    struct ap_plan_frame *frame = NULL;
    for (size_t i = 0; i < plan->frame_count; i++)
        if (strcmp(plan->frames[i].name.frame, "u") == 0) frame = &plan->frames[i];
    assert_non_null(frame);
    const char *view = frame->view;
    static const char *const rows[] = {
        "memory.main.u AS SELECT 1 AS p FROM enable_logging() --",
        "memory.main.u AS SELECT 1 AS p FROM enable_logging() /*",
        "memory.main.u(p) AS SELECT 1 UNION ALL",
        "memory.main.u AS WITH u AS (FROM enable_logging())",
        "",
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        frame->view = rows[i];
        if (shares(world, plan->stages[0].fragment_sql)) fail_msg("%s: it shares", rows[i]);
    }
    frame->view = view;
    assert_true(shares(world, plan->stages[0].fragment_sql));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_is_a_query_over_what_is_ours),
        cmocka_unit_test(what_sets_it_up_makes_schemas_and_views),
        cmocka_unit_test(views_of_frames_are_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
