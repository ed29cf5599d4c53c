/* A job: its document, its messages, cancel and time-out.
 *
 * Everything here runs in the caller's thread, also the callbacks of the caller's Arrow
 * inputs and its progress function. The service thread answers the chamber's questions
 * meanwhile.
 *
 * Ending early: CANCEL goes out; the chamber answers FAILED "cancelled", or DONE when it was
 * over already; AP_CHAMBER_CANCEL_MS later it is killed. Jobs are numbered, so a late CANCEL
 * cannot hit the next one. */
#include "core/alloc.h"
#include "core/json.h"
#include "core/time.h"
#include "runtime/job_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* A chamber's CPU time counts as progress when it is more than its clockwork alone uses. */
enum { CPU_PART = 20, CPU_MIN_US = 20000 };
enum { PERMILLE = 1000 };

/* ---- begin ---- */

/* The caller's document with what belongs to the pool in front. */
static enum apiary_code compose(const struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_str text = ap_str_trim((struct ap_str) { job->document, job->document_size });
    if (text.size < 2 || text.data[0] != '{')
        return ap_fail(err, APIARY_INTERNAL, "a job's document is not a JSON object");
    AP_TRY(ap_bytes_printf(out, err, "{\"threads\":%d,\"memory_bytes\":%" PRIu64 "%s",
        job->threads > 0 ? job->threads : chamber->width, chamber->budget_bytes,
        ap_str_trim((struct ap_str) { text.data + 1, text.size - 2 }).size ? "," : ""));
    return ap_bytes_add(out, text.data + 1, text.size - 1, err);
}

static void rest(struct ap_job_run *run)
{
    run->mark_us = ap_mono_us(run->chamber->pool->env);
    run->mark_cpu_us = run->cpu_us;
    run->mark_rows = run->rows;
    run->mark_permille = run->permille;
}

void ap_job_reader(struct ap_job_run *run, bool here)
{
    struct ap_pool *pool = run->chamber->pool;
    if (here) rest(run);
    ap_lock(pool->env, pool->lock);
    run->chamber->unread_deadline_us =
        here || run->job.result_timeout_us <= 0
            ? INT64_MAX
            : ap_pool_deadline(pool, run->job.result_timeout_us / 1000);
    ap_unlock(pool->env, pool->lock);
}

enum apiary_code ap_job_begin(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_job_run *run, struct apiary_error *err)
{
    struct ap_pool *pool = chamber->pool;
    AP_TRY(ap_pool_check_owner(pool, err));
    if (chamber->in_job)
        return ap_fail(
            err, APIARY_INTERNAL, "a chamber was given a second job before the first was over");
    if (chamber->doubtful)
        return ap_fail(err, APIARY_CHAMBER, "the sealed chamber was ended by the job before");
    *run = (struct ap_job_run) { .chamber = chamber, .job = *job, .stats = { .rows_changed = -1 } };
    if (job->input_count) {
        run->inputs = ap_calloc(job->input_count, sizeof *run->inputs);
        if (!run->inputs) return ap_fail_memory(err, "a job's inputs");
    }
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_JOB;
    message.job = chamber->job + 1;
    enum apiary_code code = compose(chamber, job, &message.body, err);
    if (code == APIARY_OK) {
        chamber->job++;
        chamber->in_job = true;
        ap_chamber_handler_set(chamber, job->handler);
        ap_lock(pool->env, pool->lock);
        chamber->memory_bytes_peak = chamber->data_bytes_peak = 0;
        snprintf(chamber->task, sizeof chamber->task, "%s", job->task != NULL ? job->task : "");
        ap_unlock(pool->env, pool->lock);
        code = ap_wire_send(chamber->job_fd, &message, err);
        if (code != APIARY_OK) code = ap_chamber_died(chamber, "taking a statement", err);
    }
    ap_wire_message_done(&message);
    if (code != APIARY_OK) {
        run->over = true;
        ap_job_end(run);
        return code;
    }
    rest(run);
    return APIARY_OK;
}

/* ---- ending early ---- */

void ap_job_stop(struct ap_job_run *run, enum ap_job_stop why)
{
    if (run->over || run->stop) return;
    run->stop = why;
    run->stop_deadline_us = ap_pool_deadline(run->chamber->pool, AP_CHAMBER_CANCEL_MS);
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_CANCEL;
    message.job = run->chamber->job;
    /* A chamber that cannot be told is killed at the deadline like one that does not listen. */
    enum apiary_code code = ap_wire_send(run->chamber->job_fd, &message, NULL);
    (void)code;
    ap_wire_message_done(&message);
}

static enum apiary_code stopped(const struct ap_job_run *run, struct apiary_error *err)
{
    if (run->stop == AP_STOP_TIMEOUT)
        return ap_fail(err, APIARY_TIMEOUT,
            "the statement made no progress for %" PRId64 " s and was ended",
            run->job.timeout_us / AP_US_PER_SECOND);
    return ap_fail(err, APIARY_CANCELLED, "cancelled");
}

/* ---- duties by the clock ---- */

static bool progressed(struct ap_job_run *run, int64_t now)
{
    struct ap_pool *pool = run->chamber->pool;
    ap_lock(pool->env, pool->lock);
    uint64_t asked = run->chamber->asked;
    ap_unlock(pool->env, pool->lock);
    uint64_t cpu = run->cpu_us > run->mark_cpu_us ? run->cpu_us - run->mark_cpu_us : 0;
    bool yes = asked != run->mark_asked || run->rows != run->mark_rows ||
               run->permille != run->mark_permille ||
               (cpu >= CPU_MIN_US && cpu >= (uint64_t)(now - run->mark_us) / CPU_PART);
    run->mark_asked = asked;
    return yes;
}

/* Calls progress, notices silence. OK, or the kill that ends the job. */
static enum apiary_code tick(struct ap_job_run *run, struct apiary_error *err)
{
    struct ap_pool *pool = run->chamber->pool;
    int64_t now = ap_mono_us(pool->env);
    if (now < run->tick_us) return APIARY_OK;
    run->tick_us = now + AP_POOL_TICK_MS * 1000;
    if (run->stop) {
        if (now < run->stop_deadline_us) return APIARY_OK;
        ap_chamber_kill(run->chamber, AP_END_STOPPED);
        run->over = true;
        return stopped(run, err);
    }
    if (run->job.progress)
        run->job.progress(run->job.progress_context,
            run->permille <= PERMILLE ? (double)run->permille / PERMILLE : -1.0, (int64_t)run->rows,
            (int64_t)run->stats.bytes_out);
    if (progressed(run, now))
        rest(run);
    else if (run->job.timeout_us > 0 && now - run->mark_us > run->job.timeout_us)
        ap_job_stop(run, AP_STOP_TIMEOUT);
    return APIARY_OK;
}

/* ---- messages ---- */

/* The chamber wants the next of an input: the producer runs here, in its caller's thread. */
static enum apiary_code serve_input(
    struct ap_job_run *run, uint64_t index, struct apiary_error *err)
{
    if (index >= run->job.input_count) {
        ap_fail(err, APIARY_CORRUPT, "it asked for input %" PRIu64 " of %zu", index,
            run->job.input_count);
        return ap_chamber_broke(run->chamber, err);
    }
    char name[32];
    snprintf(name, sizeof name, "input %" PRIu64, index + 1);
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    enum apiary_code code = ap_input_next(&run->inputs[index], run->job.inputs[index],
        run->job.cancel, name, &message, &run->input_error);
    if (code != APIARY_OK) {
        run->input_error.code = code;
        ap_wire_message_done(&message);
        ap_wire_message_init(&message);
        code = ap_bytes_add_text(&message.body, run->input_error.message, err);
    }
    message.kind = AP_WIRE_INPUT;
    message.job = run->chamber->job;
    message.values[0] = index;
    if (code == APIARY_OK) code = ap_wire_send(run->chamber->job_fd, &message, err);
    ap_wire_message_done(&message);
    rest(run); /* the time was the producer's */
    return code == APIARY_CHAMBER ? ap_chamber_died(run->chamber, "reading an input", err) : code;
}

static enum apiary_code failed(struct ap_job_run *run, struct ap_str body, struct apiary_error *err)
{
    bool doubtful = false;
    enum apiary_code code = ap_failure(body, run->chamber->budget_bytes, &doubtful, err);
    if (doubtful) run->chamber->doubtful = true;
    if (run->input_error.code != 0) {
        if (err) *err = run->input_error;
        return (enum apiary_code)run->input_error.code;
    }
    if (run->stop && (code == APIARY_CANCELLED || run->stop == AP_STOP_CLOSED))
        return stopped(run, err);
    return code;
}

static void done_figures(struct ap_job_run *run, struct ap_str body)
{
    struct ap_pool *pool = run->chamber->pool;
    /* Rows may be many; the figures are read from a document that is parsed once more by
     * the caller. Only small ones are worth that here, the rest know from PROGRESS. */
    enum { LOOK_MAX = 64 * 1024 };
    run->stats.cpu_us = (int64_t)run->cpu_us;
    if (body.size <= LOOK_MAX) {
        yyjson_doc *doc = NULL;
        if (ap_json_parse(body, "the chamber's answer", &doc, NULL) == APIARY_OK) {
            int64_t changed = -1, paged = 0, waits = 0;
            ap_json_i64(yyjson_doc_get_root(doc), "cpu_us", &run->stats.cpu_us);
            if (ap_json_i64(yyjson_doc_get_root(doc), "rows_changed", &changed))
                run->stats.rows_changed = changed;
            if (ap_json_i64(yyjson_doc_get_root(doc), "paged_bytes", &paged) && paged > 0)
                run->stats.paged_bytes = (uint64_t)paged;
            if (ap_json_i64(yyjson_doc_get_root(doc), "waits", &waits) && waits > 0)
                run->stats.page_waits = (uint64_t)waits;
        }
        ap_json_doc_free(&doc);
    }
    uint64_t resident = 0;
    bool seen = ap_chamber_memory(run->chamber, NULL, &resident);
    ap_lock(pool->env, pool->lock);
    if (seen && resident > run->chamber->memory_bytes_peak)
        run->chamber->memory_bytes_peak = resident;
    run->stats.memory_bytes_peak = run->chamber->memory_bytes_peak;
    ap_unlock(pool->env, pool->lock);
}

static void note_progress(struct ap_job_run *run, const uint64_t *values)
{
    run->permille = values[0];
    run->rows = values[1];
    run->cpu_us = values[2];
}

/* What one message means for the job. *wanted: it is for the caller. */
static enum apiary_code handle(struct ap_job_run *run, const struct ap_wire_message *message,
    bool *wanted, struct apiary_error *err)
{
    *wanted = false;
    if (message->job < run->chamber->job) return APIARY_OK; /* a late word of the job before */
    if (message->job > run->chamber->job) {
        ap_fail(err, APIARY_CORRUPT, "it spoke of job %u while job %u runs", message->job,
            run->chamber->job);
        return ap_chamber_broke(run->chamber, err);
    }
    switch (message->kind) {
        case AP_WIRE_SCHEMA:
        case AP_WIRE_BATCH: *wanted = !run->stop; return APIARY_OK;
        case AP_WIRE_DONE:
            run->over = true;
            run->chamber->in_job = false;
            done_figures(run, ap_bytes_view(&message->body));
            *wanted = true;
            return APIARY_OK;
        case AP_WIRE_FAILED:
            run->over = true;
            run->chamber->in_job = false;
            done_figures(run, AP_STR(""));
            return failed(run, ap_bytes_view(&message->body), err);
        case AP_WIRE_NEED: return run->stop ? APIARY_OK : serve_input(run, message->values[0], err);
        case AP_WIRE_PROGRESS: note_progress(run, message->values); return APIARY_OK;
        default:
            ap_fail(err, APIARY_CORRUPT, "it sent a message of kind %d during a job",
                (int)message->kind);
            return ap_chamber_broke(run->chamber, err);
    }
}

/* How long to wait for a message before looking at the clock again. */
static int wait_ms(const struct ap_job_run *run, int64_t until_us)
{
    if (until_us == INT64_MAX) return AP_POOL_TICK_MS;
    int64_t left = until_us - ap_mono_us(run->chamber->pool->env);
    if (left <= 0) return 0;
    return left > AP_POOL_TICK_MS * 1000 ? AP_POOL_TICK_MS : (int)((left + 999) / 1000);
}

enum apiary_code ap_job_receive(
    struct ap_job_run *run, int64_t until_us, struct ap_wire_message *out, struct apiary_error *err)
{
    for (;;) {
        enum apiary_code code = tick(run, err);
        if (code != APIARY_OK) return code;
        ap_wire_message_done(out);
        ap_wire_message_init(out);
        struct apiary_error failure = { 0 }; /* a time-out is none, and not to be seen */
        code = ap_wire_receive(run->chamber->job_fd, out, wait_ms(run, until_us),
            run->stop ? NULL : run->job.cancel, &failure);
        bool wanted = false;
        switch (code) {
            case APIARY_OK: code = handle(run, out, &wanted, err); break;
            case APIARY_TIMEOUT:
                if (until_us != INT64_MAX && ap_mono_us(run->chamber->pool->env) >= until_us)
                    return APIARY_OK;
                code = APIARY_OK;
                break;
            case APIARY_CANCELLED:
                ap_job_stop(run, AP_STOP_CANCEL);
                code = APIARY_OK;
                break;
            case APIARY_CHAMBER:
                run->over = true;
                code = ap_chamber_died(run->chamber, "running a statement", err);
                /* We asked it to end; that it did so by dying is no news. */
                if (run->stop && code == APIARY_CHAMBER) code = stopped(run, err);
                return code;
            case APIARY_CORRUPT:
                if (err) *err = failure;
                code = ap_chamber_broke(run->chamber, err);
                break;
            default:
                if (err) *err = failure;
                run->chamber->doubtful = true;
                break; /* no memory, no descriptors: ours, but it is out of step */
        }
        if (code != APIARY_OK) {
            run->over = true;
            return code;
        }
        if (wanted) return APIARY_OK;
    }
}

void ap_job_end(struct ap_job_run *run)
{
    struct ap_chamber *chamber = run->chamber;
    if (!run->over) {
        struct ap_wire_message message;
        ap_wire_message_init(&message);
        ap_job_stop(run, AP_STOP_CLOSED);
        run->job.progress = NULL;
        while (!run->over && ap_job_receive(run, INT64_MAX, &message, NULL) == APIARY_OK) continue;
        ap_wire_message_done(&message);
    }
    ap_job_reader(run, true);
    ap_lock(chamber->pool->env, chamber->pool->lock);
    chamber->task[0] = '\0';
    ap_unlock(chamber->pool->env, chamber->pool->lock);
    ap_chamber_handler_set(chamber, NULL);
    for (size_t i = 0; run->inputs && i < run->job.input_count; i++) ap_input_free(run->inputs[i]);
    ap_free(run->inputs);
    run->inputs = NULL;
}

enum apiary_code ap_job_run(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_bytes *done, struct ap_job_stats *stats, struct apiary_error *err)
{
    struct ap_job_run run;
    AP_TRY(ap_job_begin(chamber, job, &run, err));
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    enum apiary_code code = ap_job_receive(&run, INT64_MAX, &message, err);
    if (code == APIARY_OK && message.kind != AP_WIRE_DONE) {
        ap_fail(err, APIARY_CORRUPT, "it streamed rows that nobody asked for");
        code = ap_chamber_broke(chamber, err);
        run.over = true;
    }
    ap_job_end(&run);
    if (code == APIARY_OK) {
        if (done) {
            ap_bytes_done(done);
            *done = AP_TAKE(message.body);
        }
    }
    if (stats) *stats = run.stats;
    ap_wire_message_done(&message);
    return code;
}
