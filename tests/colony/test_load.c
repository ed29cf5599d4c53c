/* A handle under load: chambers killed at random give no wrong answer and leave nothing behind; the
 * temperature rises and falls. AP_KILL_SECONDS (10), AP_SEED. */
#include "apiary_test.h"

#include "core/env.h"
#include "core/json.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

/* The temperature follows with a delay of 3 s: after four times that it has risen all the way. */
enum { BEES = 2, THREADS = 4, LOAD_THREADS = 8, LOAD_SECONDS = 12, FALL_SECONDS = 60 };
#define FALL 0.15

static const struct question {
    const char *sql;
    int64_t count, sum;
} questions[] = {
    { "SELECT count(*), sum(i)::BIGINT FROM t", 200000, INT64_C(19999900000) },
    { "SELECT count(DISTINCT h), max(i)::BIGINT FROM t", 200000, 199999 },
    { "SELECT count(*), sum(a.i)::BIGINT FROM t a JOIN t b USING (i) WHERE a.i < 1000", 1000, 499500 },
};

struct load {
    char folder[AP_TEST_PATH_MAX];
    struct apiary *handle;
    _Atomic bool over;
    _Atomic int right, failed, wrong, killed;
};

static void run(struct apiary_session *session, const char *sql)
{
    struct apiary_error err = { 0 };
    struct apiary_result *result = NULL;
    struct apiary_query query = { .sql = sql, .length = strlen(sql) };
    assert_ok(apiary_sql(session, &query, &result, &err));
    apiary_result_close(result);
}

static void open_load(struct load *load)
{
    struct apiary_error err = { 0 };
    struct apiary_session *session = NULL;
    char store[AP_TEST_PATH_MAX + 16], scratch[AP_TEST_PATH_MAX + 16];
    char program[AP_TEST_PATH_MAX + 16];
    memset(load, 0, sizeof *load);
    ap_test_folder(load->folder);
    const char *build = getenv("APIARY_BUILD_DIR"); /* this program lies beside the chamber's folder, not in it */
    snprintf(program, sizeof program, "%s/apiary-bee", build != NULL ? build : "build");
    setenv("APIARY_BEE", program, 1);
    snprintf(store, sizeof store, "%s/store", load->folder);
    snprintf(scratch, sizeof scratch, "%s/scratch", load->folder);
    const struct apiary_setting settings[] = { { "bees", "2" }, { "memory_limit", "600MB" },
        { "scratch_dir", scratch }, { "task_tries", "3" } };
    assert_ok(apiary_open(store, settings, AP_COUNT(settings), &load->handle, &err));
    assert_ok(apiary_session_open(load->handle, &session, &err));
    run(session, "CREATE FRAME t AS SELECT range AS i, hash(range)::VARCHAR AS h FROM range(200000)");
    apiary_session_close(session);
}

/* Asks once; the code, and whether the answer was the right one. */
static enum apiary_code ask(
    struct apiary_session *session, const struct question *question, bool *right)
{
    struct apiary_error err = { 0 };
    struct apiary_result *result = NULL;
    struct ArrowArrayStream stream = { 0 };
    struct ArrowArray batch = { 0 };
    struct apiary_query query = { .sql = question->sql, .length = strlen(question->sql) };
    enum apiary_code code = (enum apiary_code)apiary_sql(session, &query, &result, &err);
    if (code != APIARY_OK) return code;
    code = (enum apiary_code)apiary_result_stream(result, &stream, &err);
    if (code == APIARY_OK && stream.get_next(&stream, &batch) != 0)
        code = (enum apiary_code)apiary_result_error(result, &err);
    if (code == APIARY_OK) {
        const int64_t *count = batch.release ? batch.children[0]->buffers[1] : NULL;
        const int64_t *sum = batch.release ? batch.children[1]->buffers[1] : NULL;
        *right = count && batch.length == 1 && *count == question->count && *sum == question->sum;
    }
    if (batch.release) batch.release(&batch);
    if (stream.release) stream.release(&stream);
    apiary_result_close(result);
    return code;
}

static void *work(void *argument)
{
    struct load *load = argument;
    struct apiary_error err = { 0 };
    struct apiary_session *session = NULL;
    if (apiary_session_open(load->handle, &session, &err) != APIARY_OK) return NULL;
    for (size_t i = 0; !load->over; i++) {
        bool right = false;
        enum apiary_code code = ask(session, &questions[i % AP_COUNT(questions)], &right);
        if (code == APIARY_OK)
            (*(right ? &load->right : &load->wrong))++;
        else if (code == APIARY_CHAMBER || code == APIARY_ABANDONED || code == APIARY_BUSY)
            load->failed++;
        else
            load->wrong++;
    }
    apiary_session_close(session);
    return NULL;
}

/* Process numbers of the chambers, from the status that everybody sees. */
static int chambers(struct load *load, int pids[BEES])
{
    struct apiary_error err = { 0 };
    char *json = NULL;
    int count = 0;
    assert_ok(apiary_status(load->handle, "bees", &json, &err));
    for (const char *at = json; count < BEES && (at = strstr(at, "\"pid\":")); at++) {
        int pid = (int)strtol(at + 6, NULL, 10);
        if (pid > 0) pids[count++] = pid;
    }
    apiary_free(json);
    return count;
}

static int count_entries(const char *folder)
{
    int count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) count += entry->d_name[0] != '.';
    if (dir) closedir(dir);
    return count;
}

static void killed_at_random(void **state)
{
    (void)state;
    const char *seconds = getenv("AP_KILL_SECONDS"), *seed_text = getenv("AP_SEED");
    unsigned seed = seed_text ? (unsigned)strtoul(seed_text, NULL, 10) : (unsigned)getpid();
    int64_t run_us = (seconds ? strtoll(seconds, NULL, 10) : 10) * 1000000;
    struct load load;
    pthread_t threads[THREADS];
    print_message("# AP_SEED=%u\n", seed);
    int descriptors = count_entries("/proc/self/fd");
    open_load(&load);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, &load);
    int64_t end = ap_mono_us(ap_env_system()) + run_us;
    while (ap_mono_us(ap_env_system()) < end) {
        int pids[BEES], count = chambers(&load, pids);
        usleep((useconds_t)(rand_r(&seed) % 200000));
        if (count && kill(pids[rand_r(&seed) % (unsigned)count], SIGKILL) == 0) load.killed++;
    }
    load.over = true;
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    print_message("# %d chambers killed, %d right answers, %d statements given up\n", load.killed,
        load.right, load.failed);
    assert_int_equal(load.wrong, 0);
    assert_true(load.killed > 0 && load.right > 0);

    char scratch[AP_TEST_PATH_MAX + 16];
    snprintf(scratch, sizeof scratch, "%s/scratch", load.folder);
    apiary_close(load.handle);
    assert_int_equal(count_entries(scratch), 0);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    int status;
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1); /* no child, alive or not */
    ap_test_folder_remove(load.folder);
}

/* ---- temperature ---- */

struct reading {
    double temperature;
    int64_t busy, waiting;
    char regulation[16];
};

static struct reading look(struct load *load)
{
    struct apiary_error err = { 0 };
    struct reading reading = { 0 };
    struct ap_str text = { 0 };
    char *json = NULL;
    AP_AUTO_JSON *doc = NULL;
    assert_ok(apiary_status(load->handle, "colony", &json, &err));
    assert_ok(ap_json_parse(ap_str_from(json), "the colony", &doc, &err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    reading.temperature = yyjson_get_num(ap_json_member(root, "temperature"));
    ap_json_i64(root, "busy_bees", &reading.busy);
    ap_json_i64(root, "waiting", &reading.waiting);
    assert_true(ap_json_str(root, "regulation", &text));
    snprintf(reading.regulation, sizeof reading.regulation, AP_FMT, AP_ARG(text));
    apiary_free(json);
    return reading;
}

static struct reading show(struct load *load, int64_t begin)
{
    struct reading now = look(load);
    print_message("# %5.1f s  %.2f %-8s %lld busy %lld waiting\n",
        (double)(ap_mono_us(ap_env_system()) - begin) / 1e6, now.temperature, now.regulation,
        (long long)now.busy, (long long)now.waiting);
    return now;
}

static void rises_and_falls(void **state)
{
    (void)state;
    struct load load;
    pthread_t threads[LOAD_THREADS];
    open_load(&load);
    int64_t begin = ap_mono_us(ap_env_system());
    struct reading before = show(&load, begin), hottest = before, now;
    for (int i = 0; i < LOAD_THREADS; i++) pthread_create(&threads[i], NULL, work, &load);
    for (int i = 0; i < LOAD_SECONDS * 4; i++) {
        usleep(250000);
        now = show(&load, begin);
        if (now.temperature > hottest.temperature) hottest = now;
    }
    load.over = true;
    for (int i = 0; i < LOAD_THREADS; i++) pthread_join(threads[i], NULL);
    /* All bees busy and some statements waiting are 0.4 and 0.2; memory comes on top. */
    assert_true(hottest.temperature > 0.45);
    assert_int_equal(look(&load).busy, 0);
    /* Other work of the machine may keep the CPU's part up, which our load had at its top too; the
     * queue's 0.2 go in any case. */
    for (int i = 0; i < FALL_SECONDS * 4; i++) {
        usleep(250000);
        now = i % 4 ? look(&load) : show(&load, begin);
        if (now.temperature < hottest.temperature - FALL) break;
    }
    if (now.temperature >= hottest.temperature - FALL)
        fail_msg("from %.3f the temperature fell to %.3f in %d s", hottest.temperature, now.temperature,
            FALL_SECONDS);
    assert_int_equal(load.wrong, 0);
    apiary_close(load.handle);
    ap_test_folder_remove(load.folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_at_random),
        cmocka_unit_test(rises_and_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
