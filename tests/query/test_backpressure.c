/* backpressure = block, error, ignore, as the setting and as an option of apiary_write, on a machine whose heat
 * is made: one bee that works, one statement that waits for it (0.4 + 0.2), and the kernel's memory figure. */
#include "query_world.h"

#include "api/handle.h"
#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WAIT_MS = 400, LOOKS_MAX = 1500, LOOK_US = 20000 };

struct world {
    char folder[AP_TEST_PATH_MAX], machine[AP_TEST_PATH_MAX];
    struct apiary *handle;
    struct apiary_session *session;
    struct ap_pool *pool;
    struct ap_chamber *held;
    pthread_t waiter;
};

static void press(struct world *world, double percent)
{
    char path[AP_TEST_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/proc", world->machine);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/proc/pressure", world->machine);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/proc/pressure/memory", world->machine);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "some avg10=%.2f avg60=0\n", percent);
    fclose(file);
}

static void world_open(struct world *world)
{
    struct apiary_error err = { 0 };
    memset(world, 0, sizeof *world);
    ap_test_folder(world->folder);
    ap_test_folder(world->machine);
    query_open(world->folder, "200MB", &world->handle, &world->session);
    world->handle->pool_options.machine_root = world->machine; /* the pool is made by the first statement */
    world->handle->pool_options.heat_delay_ms = 100;
    world->handle->pool_options.admit_wait_ms = WAIT_MS;
    query_run(world->session, "CREATE FRAME t (a BIGINT)");
    assert_ok(ap_world_pool(&world->handle->world, &world->pool, &err));
}

static void world_close(struct world *world)
{
    apiary_session_close(world->session);
    apiary_close(world->handle);
    ap_test_folder_remove(world->folder);
    ap_test_folder_remove(world->machine);
}

static void *wait_for_the_bee(void *argument)
{
    struct world *world = argument;
    struct ap_chamber *chamber = NULL;
    struct apiary_error err = { 0 };
    if (ap_chamber_take(world->pool, 1, NULL, &chamber, &err) == APIARY_OK) ap_chamber_give(chamber);
    return NULL;
}

static void heat(struct world *world, const char *label, double percent)
{
    struct apiary_error err = { 0 };
    struct ap_pool_load load;
    double wanted = 0.4 + 0.2 + 0.4 * 4 * percent / 100;
    press(world, percent);
    assert_ok(ap_chamber_take(world->pool, 1, NULL, &world->held, &err));
    pthread_create(&world->waiter, NULL, wait_for_the_bee, world);
    for (int look = 0;; look++) {
        ap_pool_load(world->pool, &load);
        if (load.waiting > 0 && load.temperature >= wanted - 0.005) return;
        if (look == LOOKS_MAX) fail_msg("%s: it is %.3f and not %.3f", label, load.temperature, wanted);
        usleep(LOOK_US);
    }
}

static void cool(struct world *world)
{
    press(world, 0);
    ap_chamber_give(world->held);
    pthread_join(world->waiter, NULL);
}

/* ---- the two ways to write ---- */

static int one_row(struct ArrowArrayStream *stream)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    ArrowSchemaInit(&schema);
    if (ArrowSchemaSetTypeStruct(&schema, 1) || ArrowSchemaSetType(schema.children[0], NANOARROW_TYPE_INT64) ||
        ArrowSchemaSetName(schema.children[0], "a") || ArrowArrayInitFromSchema(&array, &schema, NULL) ||
        ArrowArrayStartAppending(&array) || ArrowArrayAppendInt(array.children[0], 7) ||
        ArrowArrayFinishElement(&array) || ArrowArrayFinishBuildingDefault(&array, NULL) ||
        ArrowBasicArrayStreamInit(stream, &schema, 1))
        return 1;
    ArrowBasicArrayStreamSetArray(stream, 0, &array);
    return 0;
}

/* A write as another thread does it. */
struct writing {
    struct world *world;
    const char *mode;
    bool by_option;
    int code;
    struct apiary_error err;
};

static void *write_row(void *argument)
{
    struct writing *writing = argument;
    struct apiary_session *session = writing->world->session;
    if (writing->by_option) {
        struct ArrowArrayStream stream = { 0 };
        struct apiary_write_options options = { .backpressure = writing->mode };
        char *json = NULL;
        if (one_row(&stream)) abort();
        writing->code = apiary_write(session, "t", &stream, &options, &json, &writing->err);
        if (stream.release) stream.release(&stream);
        apiary_free(json);
        return NULL;
    }
    struct apiary_result *result = NULL;
    const struct apiary_query query = { .sql = "INSERT INTO t VALUES (7)", .length = 24 };
    writing->code = apiary_sql(session, &query, &result, &writing->err);
    apiary_result_close(result);
    return NULL;
}

/* ---- the cases ---- */

static const struct {
    const char *label, *mode;
    double percent; /* that something waits for memory */
    enum { STAYS_HOT, COOLS_DOWN, IS_REFUSED } course;
    enum apiary_code code;
} cases[] = {
    { "block, hot, it cools down", "block", 18, COOLS_DOWN, APIARY_OK },
    { "block, hot, it stays so", "block", 18, STAYS_HOT, APIARY_BUSY },
    { "error, hot", "error", 18, IS_REFUSED, APIARY_BUSY },
    { "error, critical", "error", 25, IS_REFUSED, APIARY_BUSY },
    { "ignore, hot", "ignore", 18, COOLS_DOWN, APIARY_OK },
    { "ignore, critical", "ignore", 25, IS_REFUSED, APIARY_BUSY },
};

static void run_case(struct world *world, size_t i, bool by_option)
{
    char sql[64];
    struct writing writing = { .world = world, .mode = cases[i].mode, .by_option = by_option };
    snprintf(sql, sizeof sql, "SET backpressure = '%s'", cases[i].mode);
    query_run(world->session, by_option ? "SET backpressure = 'error'" : sql); /* the option goes before */
    heat(world, cases[i].label, cases[i].percent);
    pthread_t thread;
    int64_t begin = ap_mono_us(ap_env_system());
    pthread_create(&thread, NULL, write_row, &writing);
    if (cases[i].course == COOLS_DOWN) {
        usleep(WAIT_MS * 1000 / 4); /* it begins, or waits, meanwhile */
        cool(world);
    }
    pthread_join(thread, NULL);
    int64_t took_ms = (ap_mono_us(ap_env_system()) - begin) / 1000;
    if (cases[i].course != COOLS_DOWN) cool(world);
    if (writing.code != (int)cases[i].code)
        fail_msg("%s, %s: code %d, not %d: %s", cases[i].label, by_option ? "option" : "setting",
            writing.code, cases[i].code, writing.err.message);
    if (cases[i].course == STAYS_HOT) assert_true_in(cases[i].label, took_ms >= WAIT_MS);
    if (writing.code != APIARY_OK && !strstr(writing.err.hint, "try again in about "))
        fail_msg("%s: %s (%s)", cases[i].label, writing.err.message, writing.err.hint);
}

static void modes(void **state)
{
    for (size_t i = 0; i < 2 * AP_COUNT(cases); i++) {
        struct world world;
        world_open(&world);
        run_case(&world, i / 2, i % 2 == 1);
        world_close(&world);
    }
}

static void other_words(void **state)
{
    struct world world;
    struct apiary_error err = { 0 };
    struct ArrowArrayStream stream = { 0 };
    struct apiary_write_options options = { .backpressure = "sometimes" };
    char *json = NULL;
    world_open(&world);
    assert_int_equal(one_row(&stream), 0);
    assert_code(apiary_write(world.session, "t", &stream, &options, &json, &err), APIARY_INVALID);
    assert_non_null(strstr(err.message, "block, error or ignore"));
    if (stream.release) stream.release(&stream);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(modes), cmocka_unit_test(other_words) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
