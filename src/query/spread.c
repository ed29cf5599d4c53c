/* Running a plan: stage after stage, the tasks of one side by side in narrow chambers, the merge in a
 * wide one. On one node that happens here; with others the port takes the tasks. */
#include "query/spread.h"
#include "query/file_list.h"
#include "query/running.h"

#include "core/alloc.h"

#include <stdlib.h>
#include <unistd.h>

enum { LOOK_US = 100000, WORKERS_MAX = 256, LOCAL_SECONDS = 2 };
#define LOCAL_BYTES (UINT64_C(64) << 20)
#define BYTES_PER_BEE_SECOND (UINT64_C(100) << 20) /* what a bee gets through of ordinary cells */

/* ---- whether ---- */

struct ap_spread_nodes ap_spread_nodes_of(const struct ap_session *session)
{
    const struct ap_pool_options *options = session->world->pool_options;
    int bees = options->bees > 0 ? options->bees : 1;
    struct ap_spread_nodes nodes = {
        .nodes = 1, .bees = bees, .memory_per_bee_min = options->memory_bytes / (uint64_t)bees
    };
    const struct ap_spread_port *port = session->world->spread;
    if (port != NULL) port->nodes(port->context, &nodes);
    if (nodes.bees < 1) nodes.bees = 1;
    return nodes;
}

bool ap_spread_worth(const struct ap_session *session, uint64_t bytes, const char **why)
{
    const char *mode = ap_config_text(&session->config, AP_CONFIG_distributed);
    *why = NULL;
    if (strcmp(mode, "force") == 0) return true;
    if (strcmp(mode, "off") == 0)
        *why = "distributed = off";
    else if (bytes < LOCAL_BYTES)
        *why = "it reads less than 64 MiB";
    else if (bytes / BYTES_PER_BEE_SECOND <
             LOCAL_SECONDS * (uint64_t)session->world->pool_options->bees)
        *why = "one node is done with it within 2 seconds";
    else if (ap_spread_nodes_of(session).nodes < 2) /* last: it asks the store */
        *why = "no other node is there";
    return *why == NULL;
}

uint64_t ap_spread_bytes(const struct ap_source *source)
{
    uint64_t bytes = ap_files_bytes(source);
    for (size_t i = 0; i < source->scan_count; i++) bytes += source->scans[i].kept_bytes;
    return bytes;
}

bool ap_spread_wanted(struct ap_source *source, const char **why)
{
    return ap_spread_worth(source->session, ap_spread_bytes(source), why);
}

/* "tasks=3,first=1,mistakes=4" */
struct ap_plan_wish ap_plan_wish_of_tests(void)
{
    struct ap_plan_wish wish = { 0 };
    const char *text = getenv("APIARY_TEST_CUT");
    while (text != NULL && *text != '\0') {
        struct ap_str item = { text, strcspn(text, ",") };
        size_t equals = ap_str_find(item, AP_STR("="));
        uint64_t value = 0;
        if (equals != SIZE_MAX &&
            ap_str_to_u64(
                (struct ap_str) { item.data + equals + 1, item.size - equals - 1 }, &value)) {
            item.size = equals;
            if (ap_str_is(item, "tasks")) wish.tasks = (size_t)value;
            if (ap_str_is(item, "first")) wish.first_bytes = value;
            if (ap_str_is(item, "mistakes")) wish.mistakes = (unsigned)value;
        }
        text += strcspn(text, ",");
        text += *text == ',';
    }
    return wish;
}

enum apiary_code ap_plan_statement(
    struct ap_session *session, struct ap_str sql, struct ap_plan **out, struct apiary_error *err)
{
    AP_AUTO(ap_plan_made) made = { 0 };
    struct ap_plan_wish wish = ap_plan_wish_of_tests();
    struct apiary_query query = { .sql = sql.data, .length = sql.size };
    struct ap_source *source = NULL;
    AP_TRY(ap_source_resolve(session, sql, &query, &source, err));
    enum apiary_code code = ap_plan_make(source, &wish, &made, err);
    ap_source_close(source);
    AP_TRY(code);
    *out = AP_TAKE(made.plan);
    return APIARY_OK;
}

/* ---- tasks here ---- */

/* The lock guards what stands behind it. */
struct workers {
    struct ap_env *env;
    const struct ap_plan_run *run;
    struct ap_cancel cancel;
    int *partials;
    struct ap_plan_figures *figures;
    size_t task_count;
    struct ap_lock *lock;
    size_t next, running;
    enum apiary_code code;
    struct apiary_error error;
};

static bool next_task(struct workers *workers, size_t *task)
{
    ap_lock(workers->env, workers->lock);
    bool any = workers->code == APIARY_OK && workers->next < workers->task_count;
    if (any) *task = workers->next++;
    ap_unlock(workers->env, workers->lock);
    return any;
}

static void note_failure(
    struct workers *workers, enum apiary_code code, const struct apiary_error *error)
{
    ap_lock(workers->env, workers->lock);
    if (workers->code == APIARY_OK) {
        workers->code = code;
        workers->error = *error;
    }
    ap_unlock(workers->env, workers->lock);
    ap_cancel_request(&workers->cancel); /* the others need not go on */
}

static void work(void *context)
{
    struct workers *workers = context;
    size_t task = 0;
    while (next_task(workers, &task)) {
        struct apiary_error error = { 0 };
        enum apiary_code code =
            ap_plan_file(workers->run->session, &workers->partials[task], &error);
        if (code == APIARY_OK)
            code = ap_plan_task(workers->run, task, workers->partials[task],
                &workers->figures[task], &error);
        workers->figures[task].tries = 1;
        if (code != APIARY_OK) note_failure(workers, code, &error);
    }
    ap_lock(workers->env, workers->lock);
    workers->running--;
    ap_wake_all(workers->env, workers->lock);
    ap_unlock(workers->env, workers->lock);
}

/* Waits for the workers; a wish of the caller's to stop is handed on. */
static void wait_for(struct workers *workers, const struct ap_cancel *cancel)
{
    ap_lock(workers->env, workers->lock);
    while (workers->running > 0) {
        (void)ap_wait_until(workers->env, workers->lock, ap_mono_us(workers->env) + LOOK_US);
        ap_unlock(workers->env, workers->lock);
        if (cancel->look != NULL) cancel->look(cancel->look_context);
        if (ap_cancel_requested(cancel)) ap_cancel_request(&workers->cancel);
        ap_lock(workers->env, workers->lock);
    }
    ap_unlock(workers->env, workers->lock);
}

static enum apiary_code run_workers(struct workers *workers, size_t count, struct apiary_error *err)
{
    struct ap_thread *threads[WORKERS_MAX];
    size_t started = 0;
    workers->running = count;
    while (started < count) {
        threads[started] = workers->env->ops->thread_start(workers->env->world, work, workers);
        if (threads[started] == NULL) break;
        started++;
    }
    if (started < count) {
        ap_lock(workers->env, workers->lock);
        workers->running -= count - started;
        if (started == 0) workers->code = ap_fail(&workers->error, APIARY_MEMORY, "no thread can be started");
        ap_unlock(workers->env, workers->lock);
    }
    wait_for(workers, &workers->run->session->cancel);
    for (size_t i = 0; i < started; i++)
        workers->env->ops->thread_join(workers->env->world, threads[i]);
    if (workers->code == APIARY_OK) return APIARY_OK;
    if (err != NULL) *err = workers->error;
    return workers->code;
}

static enum apiary_code run_here(const struct ap_plan_run *run, int *partials,
    struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct ap_env *env = run->session->world->env;
    size_t bees = (size_t)run->session->world->pool_options->bees;
    struct workers workers = { .env = env,
        .partials = partials,
        .figures = figures,
        .task_count = run->plan->stages[run->stage].task_count };
    size_t count = bees < workers.task_count ? bees : workers.task_count;
    if (count > WORKERS_MAX) count = WORKERS_MAX;
    if (count < 1) count = 1;
    AP_TRY(ap_cancel_init(&workers.cancel, err));
    struct ap_plan_run aside = *run;
    aside.cancel = &workers.cancel;
    aside.width = 1;
    workers.run = &aside;
    workers.lock = ap_lock_new(env);
    enum apiary_code code = workers.lock == NULL ? ap_fail_memory(err, "the tasks of a query")
                                                 : run_workers(&workers, count, err);
    ap_lock_free(env, workers.lock);
    ap_cancel_done(&workers.cancel);
    return code;
}

/* ---- stages ---- */

void ap_spread_files_done(struct ap_spread_files *files)
{
    for (size_t i = 0; files->partials != NULL && i < files->partial_count; i++)
        if (files->partials[i] >= 0) close(files->partials[i]);
    ap_free(files->partials);
    files->partials = NULL;
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++) {
        if (files->results[i] > 0) close(files->results[i]);
        files->results[i] = -1;
    }
}

void ap_spread_told_done(struct ap_spread_told *told)
{
    ap_free(told->tasks);
    told->tasks = NULL;
}

static void close_partials(struct ap_spread_files *files)
{
    for (size_t i = 0; files->partials != NULL && i < files->partial_count; i++)
        if (files->partials[i] >= 0) close(files->partials[i]);
    ap_free(files->partials);
    files->partials = NULL;
    files->partial_count = 0;
}

static enum apiary_code run_tasks(struct ap_plan_run *run, struct ap_spread_files *files,
    struct ap_spread_told *told, struct apiary_error *err)
{
    const struct ap_plan_stage *stage = &run->plan->stages[run->stage];
    const struct ap_spread_port *port = run->session->world->spread;
    close_partials(files);
    if (stage->kind == AP_CUT_WHOLE) return APIARY_OK;
    files->partials = ap_calloc(stage->task_count, sizeof *files->partials);
    if (files->partials == NULL) return ap_fail_memory(err, "the tasks of a query");
    files->partial_count = stage->task_count;
    for (size_t i = 0; i < stage->task_count; i++) files->partials[i] = -1;
    struct ap_spread_nodes nodes = ap_spread_nodes_of(run->session);
    struct ap_plan_figures *figures = told->tasks + told->task_count;
    told->task_count += stage->task_count;
    if (port == NULL || nodes.nodes < 2) return run_here(run, files->partials, figures, err);
    return port->run_stage(port->context, run, files->partials, figures, err);
}

static enum apiary_code run_stages(struct ap_session *session, const struct ap_plan *plan,
    size_t count, struct ap_spread_files *files, struct ap_spread_told *told,
    struct apiary_error *err)
{
    struct ap_env *env = session->world->env;
    struct ap_plan_run run = {
        .session = session, .plan = plan, .results = files->results, .told = told->in_full
    };
    for (run.stage = 0; run.stage < count; run.stage++) {
        int64_t before = ap_mono_us(env);
        AP_TRY(run_tasks(&run, files, told, err));
        if (run.stage + 1 < plan->stage_count) {
            AP_TRY(ap_plan_file(session, &files->results[run.stage], err));
            AP_TRY(ap_plan_merge(
                &run, files->partials, files->results[run.stage], &told->merges[run.stage], err));
        }
        told->elapsed_us[run.stage] = ap_mono_us(env) - before;
    }
    return APIARY_OK;
}

static enum apiary_code begin(const struct ap_plan *plan, struct ap_spread_files *files,
    struct ap_spread_told *told, struct apiary_error *err)
{
    size_t tasks = 0;
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++) files->results[i] = -1;
    for (size_t i = 0; i < plan->stage_count; i++) tasks += plan->stages[i].task_count;
    told->tasks = ap_calloc(tasks + 1, sizeof *told->tasks);
    return told->tasks != NULL ? APIARY_OK : ap_fail_memory(err, "the tasks of a query");
}

enum apiary_code ap_spread_stages(struct ap_session *session, const struct ap_plan *plan,
    struct ap_spread_files *files, struct ap_spread_told *told, struct apiary_error *err)
{
    AP_TRY(begin(plan, files, told, err));
    return run_stages(session, plan, plan->stage_count, files, told, err);
}

enum apiary_code ap_spread_firsts(struct ap_session *session, const struct ap_plan *plan,
    struct ap_spread_files *files, struct ap_spread_told *told, struct apiary_error *err)
{
    AP_TRY(begin(plan, files, told, err));
    return run_stages(session, plan, plan->stage_count - 1, files, told, err);
}

enum apiary_code ap_spread_run(struct ap_session *session, const struct ap_plan *plan,
    struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO(ap_spread_files) files = { 0 };
    AP_AUTO(ap_spread_told) told = { 0 };
    AP_TRY(ap_spread_stages(session, plan, &files, &told, err));
    struct ap_plan_run run = { .session = session,
        .plan = plan,
        .stage = plan->stage_count - 1,
        .results = files.results };
    return ap_plan_merge_rows(&run, files.partials, result, err);
}
