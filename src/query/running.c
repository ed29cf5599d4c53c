#include "query/running.h"

#include "core/alloc.h"

#include <errno.h>
#include <nanoarrow/nanoarrow.h>

enum { AHEAD_BATCHES = 4 };

struct ap_running {
    int references; /* the result and the stream; one thread at a time */
    struct ap_source *source;
    struct ap_job_stream *stream; /* NULL once it ended or was stopped */
    struct ArrowSchema schema;
    struct ap_job_stats stats;
    struct ap_cache_figures paging; /* once the source is closed */
    struct apiary_error error;
    struct ArrowArray ahead[AHEAD_BATCHES]; /* fetched at the start; handed out first */
    size_t ahead_count, ahead_next;
    bool ended; /* the chamber gave its last row */
    bool handed_out; /* the statement has begun: a failure now is its end */
};

static void finish(struct ap_running *running);
static enum apiary_code fetch(struct ap_running *running, struct ArrowArray *out);
static void stop_stream(struct ap_running *running);

/* The first batches are taken at once: a small answer frees its chamber before anybody reads it,
 * stays readable whatever the session does next, and fails here rather than in mid-read. */
static enum apiary_code look_ahead(struct ap_running *running, struct apiary_error *err)
{
    while (!running->ended && running->ahead_count < AHEAD_BATCHES) {
        enum apiary_code code = fetch(running, &running->ahead[running->ahead_count]);
        if (code != APIARY_OK) return ap_running_error(running, err);
        if (!running->ended) running->ahead_count++;
    }
    return APIARY_OK;
}

static enum apiary_code start_job(struct ap_running *running, struct ap_str sql, int64_t timeout_us,
    const struct apiary_query *query, struct apiary_error *err)
{
    struct ap_source *source = running->source;
    struct ap_session *session = source->session;
    AP_AUTO(ap_bytes) document = { 0 };
    AP_TRY(ap_source_job(source, sql, "arrow", query, &document, err));
    struct ap_job job = {
        .document = ap_bytes_text(&document),
        .document_size = document.size,
        .task = session->task,
        .handler = &source->handler,
        .inputs = source->inputs,
        .input_count = source->input_count,
        .cancel = source->cancel,
        .progress = source->aside ? NULL : session->progress,
        .progress_context = session->progress_context,
        .timeout_us = timeout_us,
        .result_timeout_us = ap_config_us(&session->config, AP_CONFIG_result_timeout),
    };
    struct apiary_error local = { 0 };
    struct apiary_error *failure = err != NULL ? err : &local;
    job.threads = ap_source_threads(source);
    enum apiary_code code = ap_job_start(source->chamber, &job, &running->stream, failure);
    if (code == APIARY_OK) code = ap_job_schema(running->stream, &running->schema, failure);
    if (code != APIARY_OK) return ap_source_explain_failure(source, code, failure);
    AP_TRY(look_ahead(running, err));
    /* More than that: read on meanwhile, so that the bees do not wait for the reader. */
    if (running->stream != NULL && ap_job_drain(running->stream)) source->chamber = NULL;
    return APIARY_OK;
}

enum apiary_code ap_running_start(struct ap_source *source, struct ap_str sql, int64_t timeout_us,
    const struct apiary_query *query, struct ap_running **out, struct apiary_error *err)
{
    struct ap_running *running = ap_calloc(1, sizeof *running);
    if (running == NULL) return ap_fail_memory(err, "a running query");
    running->references = 1;
    running->source = source;
    enum apiary_code code = start_job(running, sql, timeout_us, query, err);
    if (code != APIARY_OK) {
        running->source = NULL;
        ap_running_unref(running);
        return code;
    }
    running->handed_out = true;
    *out = running;
    return APIARY_OK;
}

static void stop_stream(struct ap_running *running)
{
    if (running->stream == NULL) return;
    ap_job_stats(running->stream, &running->stats);
    ap_job_close(running->stream);
    running->stream = NULL;
}

/* Gives the chamber back; what was fetched stays valid. */
static void finish(struct ap_running *running)
{
    stop_stream(running);
    if (running->source != NULL) running->paging = ap_cell_set_figures(running->source->cells);
    ap_source_close(running->source);
    running->source = NULL;
}

void ap_running_stop(struct ap_running *running)
{
    if (running == NULL) return;
    if (!running->ended && running->error.code == APIARY_OK)
        ap_fail(&running->error, APIARY_CANCELLED,
            "the result was closed before all its rows were read");
    finish(running);
}

void ap_running_unref(struct ap_running *running)
{
    if (running == NULL || --running->references > 0) return;
    finish(running);
    for (size_t i = running->ahead_next; i < running->ahead_count; i++)
        running->ahead[i].release(&running->ahead[i]);
    if (running->schema.release != NULL) running->schema.release(&running->schema);
    ap_free(running);
}

void ap_running_stats(const struct ap_running *running, struct ap_job_stats *out)
{
    if (running == NULL) return;
    if (running->stream != NULL)
        ap_job_stats(running->stream, out);
    else
        *out = running->stats;
}

struct ap_cache_figures ap_running_paging(const struct ap_running *running)
{
    if (running == NULL) return (struct ap_cache_figures) { 0 };
    return running->source != NULL ? ap_cell_set_figures(running->source->cells) : running->paging;
}

enum apiary_code ap_running_error(const struct ap_running *running, struct apiary_error *err)
{
    if (running == NULL || running->error.code == APIARY_OK) return APIARY_OK;
    if (err != NULL) *err = running->error;
    return (enum apiary_code)running->error.code;
}

/* ---- the Arrow stream ---- */

static int errno_of(int code)
{
    switch (code) {
        case APIARY_OK: return 0;
        case APIARY_MEMORY: return ENOMEM;
        case APIARY_CANCELLED: return ECANCELED;
        case APIARY_INVALID: return EINVAL;
        default: return EIO;
    }
}

static int stream_get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct ap_running *running = stream->private_data;
    return ArrowSchemaDeepCopy(&running->schema, out);
}

/* The next batch from the chamber; running->ended at the end. A failure stays in running->error. */
static enum apiary_code fetch(struct ap_running *running, struct ArrowArray *out)
{
    struct apiary_error error = { 0 };
    memset(out, 0, sizeof *out);
    enum apiary_code code = ap_job_next(running->stream, out, &error);
    if (code == APIARY_OK && out->release != NULL) {
        /* Nothing more will come: the bees need not wait for the reader. */
        if (ap_job_settle(running->stream, 0)) ap_source_rest(running->source);
        return APIARY_OK;
    }
    if (code != APIARY_OK) {
        code = ap_source_explain_failure(running->source, code, &error);
        running->error = error;
        running->error.code = code;
    } else
        running->ended = true;
    stop_stream(running);
    if (running->handed_out || code == APIARY_OK)
        finish(running); /* the chamber is free as soon as the last row is out */
    return code;
}

static int stream_get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct ap_running *running = stream->private_data;
    memset(out, 0, sizeof *out);
    if (running->ahead_next < running->ahead_count) {
        *out = AP_TAKE(running->ahead[running->ahead_next]);
        running->ahead_next++;
        return 0;
    }
    if (running->error.code != APIARY_OK) return errno_of(running->error.code);
    return running->ended ? 0 : errno_of(fetch(running, out));
}

static const char *stream_get_last_error(struct ArrowArrayStream *stream)
{
    struct ap_running *running = stream->private_data;
    return running->error.code == APIARY_OK ? NULL : running->error.message;
}

static void stream_release(struct ArrowArrayStream *stream)
{
    ap_running_unref(stream->private_data);
    stream->release = NULL;
    stream->private_data = NULL;
}

enum apiary_code ap_running_stream(
    struct ap_running *running, struct ArrowArrayStream *out, struct apiary_error *err)
{
    if (running->error.code != APIARY_OK) return ap_running_error(running, err);
    running->references++;
    *out = (struct ArrowArrayStream) {
        .get_schema = stream_get_schema,
        .get_next = stream_get_next,
        .get_last_error = stream_get_last_error,
        .release = stream_release,
        .private_data = running,
    };
    return APIARY_OK;
}
