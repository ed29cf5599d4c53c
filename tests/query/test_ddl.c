/* Statements of the catalogue through the public interface: what they answer, and what they refuse.
 */
#include "query_world.h"

#include "core/str.h"

#include <nanoarrow/nanoarrow.h>

struct world {
    char folder[AP_TEST_PATH_MAX];
    struct apiary *handle;
    struct apiary_session *session;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    ap_test_folder(world->folder);
    query_open(world->folder, NULL, &world->handle, &world->session);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    apiary_session_close(world->session);
    apiary_close(world->handle);
    ap_test_folder_remove(world->folder);
    free(world);
    return 0;
}

static void add_value(const struct ArrowArrayView *column, int64_t row, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    if (ArrowArrayViewIsNull(column, row))
        assert_ok(ap_bytes_add_text(out, "NULL", &err));
    else if (column->storage_type == NANOARROW_TYPE_STRING) {
        struct ArrowStringView text = ArrowArrayViewGetStringUnsafe(column, row);
        assert_ok(ap_bytes_add(out, text.data, (size_t)text.size_bytes, &err));
    } else
        assert_ok(
            ap_bytes_printf(out, &err, "%lld", (long long)ArrowArrayViewGetIntUnsafe(column, row)));
}

/* "a|b;c|d" */
static void rows_text(struct apiary_result *result, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;
    struct ArrowArray batch;
    assert_ok(apiary_result_stream(result, &stream, &err));
    assert_int_equal(stream.get_schema(&stream, &schema), 0);
    for (;;) {
        struct ArrowArrayView view;
        assert_int_equal(stream.get_next(&stream, &batch), 0);
        if (batch.release == NULL) break;
        assert_int_equal(ArrowArrayViewInitFromSchema(&view, &schema, NULL), 0);
        assert_int_equal(ArrowArrayViewSetArray(&view, &batch, NULL), 0);
        for (int64_t row = 0; row < batch.length; row++) {
            if (out->size) assert_ok(ap_bytes_add_text(out, ";", &err));
            for (int64_t column = 0; column < view.n_children; column++) {
                if (column) assert_ok(ap_bytes_add_text(out, "|", &err));
                add_value(view.children[column], row, out);
            }
        }
        ArrowArrayViewReset(&view);
        ArrowArrayRelease(&batch);
    }
    ArrowSchemaRelease(&schema);
    ArrowArrayStreamRelease(&stream);
}

struct step {
    const char *sql;
    enum apiary_code code;
    const char
        *says; /* rows, or the message, or the notices; of an error the message, then the hint */
};

static void run_steps(struct world *world, const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct apiary_error err = { 0 };
        struct apiary_result *result = NULL;
        AP_AUTO(ap_bytes) said = { 0 };
        const struct apiary_query query = { .sql = steps[i].sql, .length = strlen(steps[i].sql) };
        int code = apiary_sql(world->session, &query, &result, &err);
        assert_code_in(steps[i].sql, code, steps[i].code);
        if (code != APIARY_OK) {
            assert_ok(ap_bytes_add_text(&said, err.message, NULL));
            if (err.hint[0]) assert_ok(ap_bytes_printf(&said, NULL, " (%s)", err.hint));
        } else if (apiary_result_has_rows(result)) {
            rows_text(result, &said);
        } else {
            assert_ok(ap_bytes_printf(
                &said, NULL, "%s%s", apiary_result_message(result), apiary_result_notices(result)));
        }
        apiary_result_close(result);
        if (steps[i].says) assert_string_in(steps[i].sql, ap_bytes_text(&said), steps[i].says);
    }
}

/* None of these needs the engine. */
static void test_spaces(void **state)
{
    static const struct step steps[] = {
        { "SHOW HIVES", APIARY_OK, "main|1" },
        { "SHOW BOXES", APIARY_OK, "main|main|1" },
        { "SHOW FRAMES", APIARY_OK, "" },
        { "CREATE HIVE Sales", APIARY_OK, "Created hive Sales." },
        { "CREATE DATABASE sales", APIARY_EXISTS, "hive Sales exists" },
        { "CREATE HIVE IF NOT EXISTS sales", APIARY_OK,
            "hive sales is there already; nothing was done" },
        { "CREATE SCHEMA sales.EU", APIARY_OK, "Created box sales.EU." },
        { "CREATE BOX here", APIARY_OK, "Created box main.here." },
        { "CREATE BOX nowhere.x", APIARY_NOT_FOUND, "no hive nowhere" },
        { "CREATE BOX slaes.x", APIARY_NOT_FOUND, "no hive slaes (did you mean Sales?)" },
        { "CREATE HIVE \"a.b\"", APIARY_INVALID, NULL },
        { "CREATE HIVE \"../x\"", APIARY_INVALID, NULL },
        { "CREATE HIVE temp", APIARY_INVALID, "hive name 'temp' is reserved" },
        { "SHOW HIVES", APIARY_OK, "Sales|0;main|1" },
        { "SHOW HIVES LIKE 's%'", APIARY_OK, "Sales|0" },
        { "SHOW BOXES IN sales", APIARY_OK, "Sales|EU|0" },
        { "USE sales", APIARY_OK, "Using Sales.EU." },
        { "SHOW BOXES", APIARY_OK, "Sales|EU|1" },
        { "USE main.here", APIARY_OK, "Using main.here." },
        { "USE BOX main", APIARY_OK, "Using main.main." },
        { "USE here", APIARY_OK, "Using main.here." },
        { "USE HIVE main", APIARY_OK, "Using main.main." },
        { "USE nowhere", APIARY_NOT_FOUND,
            "there is neither a box nowhere in hive main nor a hive nowhere" },
        { "USE Slaes", APIARY_NOT_FOUND,
            "there is neither a box Slaes in hive main nor a hive Slaes (did you mean Sales?)" },
        { "USE sales.us", APIARY_NOT_FOUND, "no box Sales.us" },
        { "DESCRIBE HIVE main", APIARY_OK, "main|here|0|0;main|main|0|0" },
        { "ALTER BOX here RENAME TO there", APIARY_OK, "Renamed box main.here to main.there." },
        { "ALTER HIVE sales RENAME TO Verkauf", APIARY_OK, "Renamed hive sales to Verkauf." },
        { "ALTER HIVE IF EXISTS sales RENAME TO x", APIARY_OK, "no hive sales; nothing was done" },
        { "DROP HIVE verkauf", APIARY_EXISTS,
            "hive Verkauf holds 1 box and 0 frames or views (DROP HIVE Verkauf CASCADE drops them "
            "with it)" },
        { "USE verkauf.eu; DROP HIVE verkauf CASCADE; SHOW BOXES", APIARY_OK,
            "main|main|1;main|there|0" },
        { "SHOW HIVES", APIARY_OK, "main|1" },
        { "DROP HIVE IF EXISTS verkauf", APIARY_OK, "no hive verkauf; nothing was done" },
        { "DROP HIVE verkauf", APIARY_NOT_FOUND,
            "no hive verkauf (it was dropped; UNDROP HIVE verkauf brings it back)" },
        { "UNDROP HIVE verkauf", APIARY_OK, "Brought hive verkauf back." },
        { "SHOW BOXES IN verkauf", APIARY_OK, "Verkauf|EU|0" },
        { "DROP BOX there", APIARY_OK, "Dropped box main.there; UNDROP brings it back." },
        { "SHOW SETTINGS LIKE 'bees'", APIARY_OK, NULL },
        { "SHOW FRAMES IN there", APIARY_NOT_FOUND, NULL },
        /* Where sessions begin has no special place: who stands there follows. */
        { "USE main.main; ALTER BOX main RENAME TO home", APIARY_OK,
            "Renamed box main.main to main.home." },
        { "SHOW BOXES", APIARY_OK, "main|home|1" },
        { "CREATE FRAME f (x INT)", APIARY_OK, "Created frame main.home.f." },
        { "DESCRIBE main.main.f", APIARY_NOT_FOUND,
            "no box main.main (sessions begin in main.main, which is gone: USE another one (SHOW "
            "BOXES IN main))" },
        { "ALTER BOX home RENAME TO HOME", APIARY_OK, "Renamed box main.home to main.HOME." },
        { "CREATE BOX main; ALTER BOX HOME RENAME TO main", APIARY_EXISTS, NULL },
        { "ALTER BOX home RENAME TO pg_catalog", APIARY_INVALID,
            "box name 'pg_catalog' is reserved" },
        { "ALTER BOX home RENAME TO verkauf.home", APIARY_UNSUPPORTED,
            "box main.home cannot move to hive verkauf" },
        { "ALTER HIVE main RENAME TO temp", APIARY_INVALID, "hive name 'temp' is reserved" },
        { "ALTER HIVE main RENAME TO verkauf", APIARY_EXISTS, NULL },
        { "ALTER HIVE main RENAME TO first", APIARY_OK, "Renamed hive main to first." },
        { "DESCRIBE f", APIARY_OK, "x|INTEGER|YES|NO|NULL" },
        { "DESCRIBE main.main.f", APIARY_NOT_FOUND,
            "no hive main (sessions begin in main.main, which is gone: USE another one (SHOW "
            "HIVES))" },
        { "CREATE HIVE main", APIARY_OK, "Created hive main." },
        { "SHOW BOXES IN main", APIARY_OK, NULL },
    };
    run_steps(*state, steps, AP_COUNT(steps));
}

static void test_frames(void **state)
{
    static const struct step steps[] = {
        { "CREATE FRAME Trips (id BIGINT NOT NULL, day DATE, price DECIMAL(10,2)) PARTITIONED BY "
          "(day)",
            APIARY_OK, "Created frame main.main.Trips." },
        { "CREATE FRAME trips (x INT)", APIARY_EXISTS, NULL },
        { "DESCRIBE trips", APIARY_OK,
            "id|BIGINT|NO|NO|NULL;day|DATE|YES|YES|NULL;price|DECIMAL(10,2)|YES|NO|NULL" },
        { "SHOW COLUMNS IN main.trips", APIARY_OK,
            "id|BIGINT|NO|NO|NULL;day|DATE|YES|YES|NULL;price|DECIMAL(10,2)|YES|NO|NULL" },
        { "SHOW COLUMNS IN trips LIKE 'p%'", APIARY_OK, "price|DECIMAL(10,2)|YES|NO|NULL" },
        { "DESCRIBE trips AT (VERSION => 7)", APIARY_NOT_FOUND, NULL },
        { "DESCRIBE tripz", APIARY_NOT_FOUND,
            "no frame main.main.tripz (did you mean main.main.Trips?)" },
        { "ALTER FRAME trips RENAME TO journeys", APIARY_OK,
            "Renamed frame main.main.trips to main.main.journeys." },
        { "CREATE FRAME trips (x INT)", APIARY_OK,
            "Created frame main.main.trips." }, /* beside the old place */
        { "DESCRIBE trips", APIARY_OK, "x|INTEGER|YES|NO|NULL" },
        { "DESCRIBE journeys AT (VERSION => 0)", APIARY_OK,
            "id|BIGINT|NO|NO|NULL;day|DATE|YES|YES|NULL;price|DECIMAL(10,2)|YES|NO|NULL" },
        { "DROP VIEW trips", APIARY_INVALID, "main.main.trips is a frame (use DROP FRAME)" },
        { "DROP FRAME trips", APIARY_OK, "Dropped frame main.main.trips; UNDROP brings it back." },
        { "SELECT * FROM trips", APIARY_NOT_FOUND, NULL },
        { "UNDROP FRAME trips", APIARY_OK, "Brought frame main.main.trips back." },
        { "SELECT count(*) FROM trips", APIARY_OK, "0" },
    };
    run_steps(*state, steps, AP_COUNT(steps));
}

static void test_views(void **state)
{
    static const struct step steps[] = {
        { "CREATE BOX b; CREATE FRAME t AS SELECT 1 AS a, 'x' AS s UNION ALL SELECT 2, 'y'",
            APIARY_OK, NULL },
        { "CREATE VIEW v AS SELECT a, s FROM t WHERE a > 1", APIARY_OK,
            "Created view main.main.v." },
        { "USE b; SELECT * FROM main.v", APIARY_OK,
            "2|y" }, /* its names mean the same from everywhere */
        { "USE BOX main", APIARY_OK, NULL },
        { "CREATE VIEW v AS SELECT 1", APIARY_EXISTS, "view main.main.v exists" },
        { "CREATE VIEW t AS SELECT 1", APIARY_EXISTS, "frame main.main.t exists" },
        { "CREATE VIEW IF NOT EXISTS v AS SELECT 1", APIARY_OK,
            "view main.main.v is there already; nothing was done" },
        { "CREATE OR REPLACE VIEW v(one, two) AS SELECT s, a FROM t", APIARY_OK, NULL },
        { "SELECT one, two FROM v ORDER BY two", APIARY_OK, "x|1;y|2" },
        { "DESCRIBE v", APIARY_OK, "one|VARCHAR|YES|NO|NULL;two|INTEGER|YES|NO|NULL" },
        { "CREATE OR REPLACE VIEW v AS SELECT * FROM v", APIARY_SQL, "view v would read itself" },
        { "CREATE VIEW w AS SELECT * FROM v; CREATE OR REPLACE VIEW v AS SELECT * FROM w",
            APIARY_SQL, NULL },
        { "CREATE VIEW bad AS SELECT nothere FROM t", APIARY_SQL, NULL },
        { "CREATE VIEW bad AS SELECT * FROM nothere", APIARY_NOT_FOUND, NULL },
        { "CREATE VIEW bad AS SELECT $1 AS x", APIARY_SQL, "a view cannot have parameters ($1)" },
        { "CREATE VIEW bad AS SELECT * FROM '/etc/hostname.csv'", APIARY_NOT_FOUND, NULL },
        { "SHOW VIEWS IN main.b", APIARY_OK, "" },
        { "CREATE VIEW books AS SELECT table_name AS n FROM information_schema.tables; "
          "CREATE VIEW shelf AS SELECT table_name AS n FROM information_schema.tables",
            APIARY_OK, NULL }, /* each is one of the tables that the other lists */
        { "SELECT n FROM shelf WHERE n < 'u' ORDER BY n", APIARY_OK, "books;shelf;t" },
        { "SELECT count(*) FROM information_schema.tables", APIARY_OK, "5" },
        { "CREATE VIEW above AS SELECT * FROM shelf; CREATE VIEW zenith AS SELECT * FROM books",
            APIARY_OK, NULL }, /* and views over such, before and behind them in the alphabet */
        { "SELECT n FROM above WHERE n < 'u' ORDER BY n", APIARY_OK, "above;books;shelf;t" },
        { "SELECT count(*) FROM zenith", APIARY_OK, "7" },
        { "SELECT count(*) FROM shelf", APIARY_OK, "7" },
        { "CREATE OR REPLACE VIEW shelf AS SELECT table_name AS n FROM information_schema.tables", APIARY_OK, NULL },
        { "CREATE OR REPLACE VIEW shelf AS SELECT * FROM above", APIARY_SQL, "view shelf would read itself" },
        { "CREATE TEMP VIEW tv AS SELECT a + 10 AS c FROM t", APIARY_OK,
            "Created temporary view tv." },
        { "SELECT * FROM tv ORDER BY c", APIARY_OK, "11;12" },
        { "CREATE VIEW bad AS SELECT * FROM tv", APIARY_DENIED,
            "view bad would use the temporary view tv" },
        { "CREATE TEMP VIEW tv AS SELECT 1", APIARY_EXISTS, "temporary view tv exists" },
        { "DROP VIEW tv", APIARY_OK, "Dropped view tv." },
        { "SELECT * FROM tv", APIARY_NOT_FOUND, NULL },
        { "DROP FRAME v", APIARY_INVALID, "main.main.v is a view (use DROP VIEW)" },
        { "DROP VIEW v", APIARY_OK, "Dropped view main.main.v; UNDROP brings it back." },
        { "SELECT * FROM w", APIARY_NOT_FOUND, NULL },
    };
    run_steps(*state, steps, AP_COUNT(steps));
}

/* More of them than views may be nested deep. */
static void test_views_of_the_list(void **state)
{
    enum { COUNT = 40 };
    char sql[128];
    for (int i = 0; i < COUNT; i++) {
        struct step step = { sql, APIARY_OK, NULL };
        snprintf(sql, sizeof sql, "CREATE VIEW v%d AS SELECT count(*) AS n FROM information_schema.tables", i);
        run_steps(*state, &step, 1);
    }
    static const struct step last = { "SELECT n FROM v7", APIARY_OK, "40" };
    run_steps(*state, &last, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_spaces),
        TEST(test_frames),
        TEST(test_views),
        TEST(test_views_of_the_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
