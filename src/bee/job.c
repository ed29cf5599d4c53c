/* The life of a statement:
 *
 *   document → instance (the spare, adjusted) → settings → lock → inputs → set-up
 *   → prepare, bind, plan → execute → result → DONE
 *
 * One that fails while rows are read may have to run again to hear why (find_reason).
 *
 * The instance dies with the statement, so nothing of one is seen by the next. Two kinds of
 * job share one: "shared" is pure text work of the node; "kept" is a statement that leaves nothing
 * of its own behind (small appends, queries: opening and closing an instance would be most of
 * their cost). A kept one has a connection of its own, with which its temporary views, random
 * state and the like end (parts of plans share with each other alone: job_instance.c); what stands (standing.h) is made to be what it lists, and the rest of its set-up
 * is a transaction that is rolled back. A cancel is
 * looked for between the steps and interrupts within them. */
#include "bee/job_private.h"

#include "bee/paging.h"
#include "bee/result_arrow.h"
#include "bee/result_json.h"
#include "bee/value.h"
#include "bee/virtual.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum {
    SETUP_MAX = 100000,
    PAUSE_NS_FIRST = 20000, /* while the engine's threads have all tasks */
    PAUSE_NS_MOST = 500000,
    MEMORY_FLOOR = 32 << 20, /* below it the engine cannot even open a table */
    OVERHEAD_FIXED = 64 << 20,
    OVERHEAD_THREAD = 10 << 20
};

uint64_t bee_memory_limit(uint64_t budget_bytes, int64_t threads)
{
    uint64_t overhead = OVERHEAD_FIXED + (uint64_t)threads * OVERHEAD_THREAD;
    uint64_t left = budget_bytes > overhead ? (budget_bytes - overhead) / 2 : 0;
    return left > MEMORY_FLOOR ? left : MEMORY_FLOOR;
}

enum apiary_code bee_job_go_on(struct job *job)
{
    if (!bee_control_cancelled(job->hive->control)) return APIARY_OK;
    return ap_fail(&job->why.err, APIARY_CANCELLED, "cancelled");
}

/* ---- the document ---- */

static enum apiary_code read_mode(struct job *job)
{
    static const char *const words[] = {
        [MODE_ARROW] = "arrow", [MODE_JSON] = "json", [MODE_NONE] = "none", [MODE_FILES] = "files"
    };
    struct ap_str word = AP_STR("arrow");
    ap_json_str(job->document, "result", &word);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!ap_str_is(word, words[i])) continue;
        job->mode = (enum mode)i;
        return APIARY_OK;
    }
    return bee_fail(&job->why, "invalid_input", APIARY_INVALID,
        "unknown kind of result '" AP_FMT "'", AP_ARG(word));
}

static enum apiary_code read_measures(struct job *job)
{
    int64_t threads = 1, memory = 0;
    ap_json_i64(job->document, "threads", &threads);
    if (threads < 1 || threads > BEE_THREADS_MAX)
        return bee_fail(&job->why, "invalid_input", APIARY_INVALID,
            "%" PRId64 " threads: 1 to %d can be had", threads, BEE_THREADS_MAX);
    uint64_t budget = job->hive->memory_bytes;
    if (ap_json_i64(job->document, "memory_bytes", &memory) && memory > 0 &&
        (uint64_t)memory < budget)
        budget = (uint64_t)memory;
    job->measures.threads = threads;
    job->measures.memory_bytes = bee_memory_limit(budget, threads);

    struct ap_str zone = AP_STR("UTC");
    yyjson_val *settings = ap_json_member(job->document, "settings");
    if (settings) ap_json_str(settings, "TimeZone", &zone);
    if (zone.size >= sizeof job->measures.timezone)
        return bee_fail(&job->why, "invalid_input", APIARY_INVALID,
            "unknown time zone '" AP_FMT "'", AP_ARG(zone));
    memcpy(job->measures.timezone, zone.data, zone.size);
    return APIARY_OK;
}

/* ---- the set-up ---- */

static enum apiary_code open_inputs(struct job *job)
{
    yyjson_val *array = ap_json_member(job->document, "inputs");
    if (job->shared || !bee_job_has_inputs(job)) return APIARY_OK;
    AP_AUTO(ap_texts) names = { 0 };
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *name = yyjson_arr_iter_next(&iter); name; name = yyjson_arr_iter_next(&iter)) {
        if (!yyjson_is_str(name))
            return bee_fail(
                &job->why, "invalid_input", APIARY_INVALID, "the name of an input is no text");
        AP_TRY(ap_texts_add(
            &names, (struct ap_str) { yyjson_get_str(name), yyjson_get_len(name) }, &job->why.err));
    }
    return bee_inputs_open(job->hive->control, job->number, job->connection, &names,
        &job->inputs, &job->why);
}

/* A transaction takes back all that is made in it: schemas, views. Attached databases it does not. */
static enum apiary_code begin(struct job *job)
{
    AP_AUTO(ap_bytes) text = { 0 };
    job->in_transaction = true;
    if (bee_instance_query(job->connection, "BEGIN TRANSACTION", &text)) return APIARY_OK;
    return bee_fail_engine(&job->why, ap_bytes_text(&text));
}

static enum apiary_code run_setup(struct job *job)
{
    yyjson_val *array = ap_json_member(job->document, "setup");
    if (job->shared) return APIARY_OK;
    if (array == NULL) return APIARY_OK;
    if (!yyjson_is_arr(array) || yyjson_arr_size(array) > SETUP_MAX)
        return bee_fail(
            &job->why, "invalid_input", APIARY_INVALID, "the set-up is no list or too long");
    if (job->kept && yyjson_arr_size(array) > 0) AP_TRY(begin(job));
    int64_t index = job->kept ? (int64_t)job->place->standing.make.count : 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *sql = yyjson_arr_iter_next(&iter); sql;
         sql = yyjson_arr_iter_next(&iter), index++) {
        AP_TRY(bee_job_go_on(job));
        AP_AUTO(ap_bytes) text = { 0 };
        if (!yyjson_is_str(sql))
            return bee_fail(
                &job->why, "invalid_input", APIARY_INVALID, "a set-up statement is no text");
        if (bee_instance_query(job->connection, yyjson_get_str(sql), &text)) continue;
        enum apiary_code code = bee_fail_engine(&job->why, ap_bytes_text(&text));
        job->why.setup = index;
        return code;
    }
    return APIARY_OK;
}

/* ---- the statement ---- */

/* Works on the statement's tasks with the engine's threads. What the engine itself does while they have
 * all of them is to look after its progress without a pause, which costs a small query a tenth of
 * its time. */
static enum apiary_code work(struct job *job)
{
    long pause_ns = PAUSE_NS_FIRST;
    for (;;) {
        duckdb_pending_state state = duckdb_pending_execute_task(job->pending);
        if (duckdb_pending_execution_is_finished(state)) return APIARY_OK;
        if (state != DUCKDB_PENDING_NO_TASKS_AVAILABLE) {
            pause_ns = PAUSE_NS_FIRST;
            continue;
        }
        AP_TRY(bee_job_go_on(job));
        nanosleep(&(struct timespec) { .tv_nsec = pause_ns }, NULL);
        if (pause_ns < PAUSE_NS_MOST) pause_ns *= 2;
    }
}

static enum apiary_code execute(struct job *job)
{
    AP_TRY(work(job));
    bool ok = duckdb_execute_pending(job->pending, &job->result) == DuckDBSuccess;
    job->has_result = true;
    return ok ? APIARY_OK : bee_fail_engine(&job->why, duckdb_result_error(&job->result));
}

/* Reads a result to its end; the first value of INSERT and the like is their count. */
static enum apiary_code drain(struct job *job)
{
    bool counts = duckdb_result_return_type(job->result) == DUCKDB_RESULT_TYPE_CHANGED_ROWS &&
                  duckdb_column_type(&job->result, 0) == DUCKDB_TYPE_BIGINT;
    for (bool first = true;; first = false) {
        AP_TRY(bee_job_go_on(job));
        duckdb_data_chunk chunk = duckdb_fetch_chunk(job->result);
        if (chunk == NULL) break;
        if (first && counts && duckdb_data_chunk_get_size(chunk)) {
            const int64_t *count = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
            job->rows_changed = (uint64_t)*count;
        }
        duckdb_destroy_data_chunk(&chunk);
    }
    const char *said = duckdb_result_error(&job->result);
    return said && *said ? bee_fail_engine(&job->why, said) : APIARY_OK;
}

static enum apiary_code deliver(struct job *job)
{
    uint64_t rows = 0;
    if (job->for_reason) return drain(job);
    switch (job->mode) {
        case MODE_ARROW:
            AP_TRY(bee_result_arrow(job->hive->control, job->number, &job->result,
                job->measures.timezone, job->measures.memory_bytes, &rows, &job->why));
            return ap_bytes_printf(&job->answer, &job->why.err, "\"row_count\":%" PRIu64 ",", rows);
        case MODE_JSON: AP_TRY(bee_result_json(&job->result, &job->answer, &job->why)); break;
        case MODE_FILES: AP_TRY(bee_result_files(&job->result, &job->answer, &job->why)); break;
        case MODE_NONE: return drain(job);
    }
    return ap_bytes_add_text(&job->answer, ",", &job->why.err);
}

/* A small sparse file whose bytes the node gives only when it is asked, read by the engine: were
 * it read past our pread, the holes of cells would come out as zeros. Once for this process. */
static enum apiary_code prove_canary(struct job *job)
{
    static bool proven;
    struct ap_str name;
    uint64_t bytes, waits;
    if (proven || job->shared || !ap_json_str(job->document, "canary", &name)) return APIARY_OK;
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_bytes_add_text(
        &sql, "SELECT CASE WHEN sum(n) = 42 THEN 1 ELSE error('wrong') END FROM read_parquet(",
        &job->why.err));
    AP_TRY(bee_sql_literal(&sql, name, &job->why.err));
    AP_TRY(ap_bytes_add_text(&sql, ")", &job->why.err));
    bool right = bee_instance_query(job->connection, ap_bytes_text(&sql), &text);
    bee_paging_figures(&bytes, &waits);
    if (!right || waits == 0)
        return bee_fail(&job->why, "internal", APIARY_CHAMBER,
            "this engine reads cells past its chamber (%s): cells of a remote store cannot be "
            "served",
            text.size ? ap_bytes_text(&text) : "no page was asked for");
    proven = true;
    return APIARY_OK;
}

static enum apiary_code run(struct job *job)
{
    AP_TRY(read_mode(job));
    ap_json_bool(job->document, "shared", &job->shared);
    ap_json_bool(job->document, "kept", &job->kept);
    ap_json_bool(job->document, "part", &job->of_plan);
    AP_TRY(read_measures(job));
    AP_TRY(bee_job_take_instance(job));
    AP_TRY(prove_canary(job));
    AP_TRY(bee_job_let_stand(job));
    AP_TRY(open_inputs(job));
    AP_TRY(run_setup(job));
    job->part = PART_QUESTION;
    AP_TRY(bee_job_start(job));
    job->part = PART_RUN;
    AP_TRY(execute(job));
    return deliver(job);
}

/* ---- the end ---- */

static void close_result(struct job *job)
{
    if (job->has_result) duckdb_destroy_result(&job->result);
    if (job->pending) duckdb_destroy_pending(&job->pending);
    job->has_result = false;
}

static void close_statement(struct job *job)
{
    close_result(job);
    if (job->statement) duckdb_destroy_prepare(&job->statement);
}

/* Ends the statement: its files are closed, and the connection is taken from the
 * reader thread. After this the job may be told as over. */
static void end_statement(struct job *job, bool failed)
{
    bee_control_finish(job->hive->control);
    close_result(job);
    if (job->shared && !failed) bee_job_keep_question(job);
    close_statement(job);
}

/* Where a thread of the engine fails while no row is fetched, the next fetch says that it was interrupted, and why is
 * gone (SimpleBufferedData::ExecuteTaskInternal of engine 1.5.5 looks at the interrupt before the error). A query can be run again to hear it. */
static enum apiary_code find_reason(struct job *job)
{
    enum { TRIES = 3 };
    enum apiary_code code = APIARY_CANCELLED;
    bool can = !job->shared && !bee_job_has_inputs(job) && (job->mode == MODE_ARROW || job->mode == MODE_JSON);
    for (int i = 0; can && i < TRIES && code == APIARY_CANCELLED && !bee_control_cancelled(job->hive->control); i++) {
        bee_control_connection_set(job->hive->control, NULL);
        close_statement(job);
        bee_job_give_instance(job, true);
        ap_bytes_done(&job->settings);
        ap_bytes_done(&job->answer);
        *job = (struct job) { .hive = job->hive, .number = job->number, .document = job->document, .for_reason = true };
        bee_failure_init(&job->why);
        code = run(job);
    }
    if (code == APIARY_OK) /* it passed: memory, a store */
        return bee_fail(&job->why, "io", APIARY_IO, "the statement failed, and did not when it was run again to hear why");
    if (code == APIARY_CANCELLED && !bee_control_cancelled(job->hive->control))
        return bee_fail(&job->why, "lost", APIARY_SQL, "the statement failed, and the engine lost the reason: run it again to see it");
    return code;
}

static enum apiary_code send_done(struct job *job, uint64_t cpu_us, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(ap_bytes_add_text(&body, "{", err));
    AP_TRY(ap_bytes_add_str(&body, ap_bytes_view(&job->answer), err));
    uint64_t bytes, waits;
    bee_paging_figures(&bytes, &waits);
    AP_TRY(ap_bytes_printf(&body, err,
        "\"rows_changed\":%" PRIu64 ",\"cpu_us\":%" PRIu64 ",\"paged_bytes\":%" PRIu64
        ",\"waits\":%" PRIu64 "}",
        job->rows_changed, cpu_us, bytes, waits));
    return bee_send(AP_WIRE_DONE, job->number, ap_bytes_view(&body), -1, NULL, err);
}

static enum apiary_code send_failed(const struct job *job, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(bee_failure_json(&job->why, &body, err));
    return bee_send(AP_WIRE_FAILED, job->number, ap_bytes_view(&body), -1, NULL, err);
}

enum apiary_code bee_job_run(
    struct bee_hive *hive, const struct ap_wire_message *message, struct apiary_error *err)
{
    struct job job = { .hive = hive, .number = message->job };
    bee_failure_init(&job.why);
    uint64_t cpu_us = bee_cpu_us(), ignored;
    bee_paging_figures(&ignored, &ignored);
    AP_AUTO_JSON *doc = NULL;
    enum apiary_code code =
        ap_json_parse(ap_bytes_view(&message->body), "job document", &doc, &job.why.err);
    if (code == APIARY_OK) {
        job.document = yyjson_doc_get_root(doc);
        code = run(&job);
    }
    if (code != APIARY_OK) {
        bool known = bee_inputs_failure(job.inputs, &job.why);
        if (!known && code == APIARY_CANCELLED && !bee_control_cancelled(hive->control)) code = find_reason(&job);
        if (bee_control_cancelled(hive->control))
            (void)bee_fail(&job.why, "cancelled", APIARY_CANCELLED, "cancelled");
    }
    bool failed = code != APIARY_OK;
    end_statement(&job, failed);
    cpu_us = bee_cpu_us() - cpu_us;
    code = !failed ? send_done(&job, cpu_us, err) : send_failed(&job, err);
    bee_job_give_instance(&job, failed);
    bee_virtual_forget();
    ap_bytes_done(&job.settings);
    ap_bytes_done(&job.answer);
    return code;
}
