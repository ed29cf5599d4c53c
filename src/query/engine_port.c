/* Chambers as the ledger's reader and writer of Parquet: checkpoints. */
#include "query/query.h"

#include "core/alloc.h"
#include "core/json.h"

#include <errno.h>
#include <nanoarrow/nanoarrow.h>

/* A job of the port and all that it holds; the Arrow stream owns it. */
struct port_job {
    struct ap_chamber *chamber;
    struct ap_cell_set *cells;
    struct ap_job_stream *stream;
    struct ArrowSchema schema;
    struct ap_handler handler;
    struct apiary_error error;
};

static void port_job_free(struct port_job *job)
{
    if (job == NULL) return;
    ap_job_close(job->stream);
    if (job->schema.release != NULL) job->schema.release(&job->schema);
    if (job->chamber != NULL) ap_chamber_give(job->chamber);
    ap_cell_set_free(job->cells);
    ap_free(job);
}

static enum apiary_code port_job_new(
    struct ap_world *world, struct port_job **out, struct apiary_error *err)
{
    struct ap_pool *pool = NULL;
    AP_TRY(ap_world_pool(world, &pool, err));
    struct port_job *job = ap_calloc(1, sizeof *job);
    if (job == NULL) return ap_fail_memory(err, "a checkpoint job");
    enum apiary_code code = ap_cell_set_new(world->env, &job->cells, err);
    if (code == APIARY_OK) code = ap_chamber_take(pool, 1, NULL, &job->chamber, err);
    if (code != APIARY_OK) {
        port_job_free(job);
        return code;
    }
    job->handler = (struct ap_handler) { job->cells, ap_cell_set_open, ap_cell_set_stat,
        ap_cell_set_list, ap_cell_set_rename, ap_cell_set_unlink };
    *out = job;
    return APIARY_OK;
}

static enum apiary_code document(
    const char *sql, const char *result, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"sql\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(sql), err));
    return ap_bytes_printf(
        out, err, ",\"settings\":{\"TimeZone\":\"UTC\"},\"result\":\"%s\"}", result);
}

/* ---- the stream ---- */

static int port_get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct port_job *job = stream->private_data;
    return ArrowSchemaDeepCopy(&job->schema, out);
}

static int port_get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct port_job *job = stream->private_data;
    memset(out, 0, sizeof *out);
    return ap_job_next(job->stream, out, &job->error) == APIARY_OK ? 0 : EIO;
}

static const char *port_last_error(struct ArrowArrayStream *stream)
{
    struct port_job *job = stream->private_data;
    return job->error.message;
}

static void port_release(struct ArrowArrayStream *stream)
{
    port_job_free(stream->private_data);
    stream->release = NULL;
}

static enum apiary_code start(struct port_job *job, struct ap_store *store, const char *const *keys,
    size_t key_count, const char *sql, struct apiary_error *err)
{
    for (size_t i = 0; i < key_count; i++) {
        size_t number = 0;
        struct ap_str key = ap_str_from(keys[i]);
        const char *tail = ap_str_ends_with(key, AP_STR(".json")) ? "o.json" : "o.parquet";
        AP_TRY(ap_cell_set_add(job->cells, store, keys[i], UINT64_MAX, -1, tail, &number, err));
        ap_assert(number == i);
    }
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(document(sql, "arrow", &text, err));
    struct ap_job what = {
        .document = ap_bytes_text(&text), .document_size = text.size, .handler = &job->handler
    };
    AP_TRY(ap_job_start(job->chamber, &what, &job->stream, err));
    return ap_job_schema(job->stream, &job->schema, err);
}

static enum apiary_code port_query(void *context, struct ap_store *store, const char *const *keys,
    size_t key_count, const char *sql, struct ArrowArrayStream *out, struct apiary_error *err)
{
    struct port_job *job = NULL;
    AP_TRY(port_job_new(context, &job, err));
    enum apiary_code code = start(job, store, keys, key_count, sql, err);
    if (code != APIARY_OK) {
        struct apiary_error trouble = { 0 };
        if (ap_cell_set_trouble(job->cells, &trouble) != APIARY_OK) {
            code = (enum apiary_code)trouble.code;
            if (err != NULL) *err = trouble;
        }
        port_job_free(job);
        return code;
    }
    *out = (struct ArrowArrayStream) { port_get_schema, port_get_next, port_last_error,
        port_release, job };
    return APIARY_OK;
}

static enum apiary_code write_one(struct port_job *job, struct ap_store *store, struct ap_str input,
    const char *sql, const char *key, struct ap_object *object, struct apiary_error *err)
{
    size_t file = 0, output = 0;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    struct ap_job_stats stats = { 0 };
    AP_TRY(ap_cell_set_add_bytes(job->cells, input, "input.json", &file, err));
    AP_TRY(ap_cell_set_add_output(job->cells, store, NULL, &output, err));
    ap_assert(file == 0 && output == 0);
    AP_TRY(document(sql, "none", &text, err));
    struct ap_job what = {
        .document = ap_bytes_text(&text), .document_size = text.size, .handler = &job->handler
    };
    AP_TRY(ap_job_run(job->chamber, &what, &done, &stats, err));
    if (ap_output_count(job->cells, output) != 1)
        return ap_fail(err, APIARY_INTERNAL, "the chamber wrote no %s", key);
    return ap_output_commit(job->cells, output, 0, key, object, err);
}

static enum apiary_code port_write_parquet(void *context, struct ap_store *store,
    struct ap_str input, const char *sql, const char *key, struct ap_object *object,
    struct apiary_error *err)
{
    struct port_job *job = NULL;
    AP_TRY(port_job_new(context, &job, err));
    enum apiary_code code = write_one(job, store, input, sql, key, object, err);
    port_job_free(job);
    return code;
}

struct ap_engine_port ap_engine_port_of(struct ap_world *world)
{
    return (struct ap_engine_port) {
        .context = world, .query = port_query, .write_parquet = port_write_parquet
    };
}
