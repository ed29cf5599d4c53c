#include "bee/result_arrow.h"

#include "bee/arrow_build.h"
#include "bee/arrow_type.h"
#include "core/time.h"
#include "core/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* A batch goes out when the next chunk would take it over one of these. The first
 * ones are small, so that the first rows are there at once. It is held twice, as it is built and
 * encoded, both in buffers that grow by doubling: little memory has room for small ones only. */
enum { BATCH_ROWS_MAX = 122880, BATCH_ROWS_FIRST = 2048, BATCH_PART = 16 };
enum { BATCH_BYTES_MIN = 1 << 20, BATCH_BYTES_MAX = 8 << 20 };

struct stream {
    struct bee_control *control;
    uint32_t job;
    struct bee_builder builder;
    struct ArrowIpcEncoder encoder;
    struct ArrowArrayView view;
    struct ArrowBuffer header, body; /* reused from batch to batch */
    int64_t rows_max;                /* of the batch being built */
    uint64_t bytes_max;
    uint64_t rows;
    struct bee_failure *why;
};

static enum apiary_code encoded(struct stream *stream, int rc, const struct ArrowError *error)
{
    return rc == NANOARROW_OK ? APIARY_OK
                              : bee_fail_arrow(stream->why, rc, error, "an Arrow message");
}

static enum apiary_code send_schema(struct stream *stream, const struct ArrowSchema *schema)
{
    struct ArrowError error = { .message = "" };
    AP_TRY(encoded(stream, ArrowIpcEncoderEncodeSchema(&stream->encoder, schema, &error), &error));
    stream->header.size_bytes = 0;
    AP_TRY(
        encoded(stream, ArrowIpcEncoderFinalizeBuffer(&stream->encoder, 1, &stream->header), NULL));
    struct ap_str body = { (const char *)stream->header.data, (size_t)stream->header.size_bytes };
    return bee_send(AP_WIRE_SCHEMA, stream->job, body, -1, NULL, &stream->why->err);
}

/* Writes header and body to a fresh memory file and seals it for ever. */
static enum apiary_code fill_memfd(const struct ArrowBuffer *header, const struct ArrowBuffer *body,
    int *out, struct apiary_error *err)
{
    int fd = memfd_create("apiary-batch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return ap_fail_errno(err, errno, "shared memory for a result batch");
    struct iovec parts[2] = { { header->data, (size_t)header->size_bytes },
        { body->data, (size_t)body->size_bytes } };
    enum apiary_code code = APIARY_OK;
    for (int part = 0; part < 2 && code == APIARY_OK;) {
        if (parts[part].iov_len == 0) {
            part++;
            continue;
        }
        ssize_t done = writev(fd, parts + part, 2 - part);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) code = ap_fail_errno(err, errno, "shared memory for a result batch");
        for (int p = part; done > 0 && p < 2; p++) {
            size_t step = (size_t)done < parts[p].iov_len ? (size_t)done : parts[p].iov_len;
            parts[p].iov_base = (char *)parts[p].iov_base + step;
            parts[p].iov_len -= step;
            done -= (ssize_t)step;
        }
    }
    int error = code == APIARY_OK ? ap_memfd_seal(fd) : 0;
    if (error != 0) code = ap_fail_errno(err, error, "seal of a result batch");
    if (code != APIARY_OK) {
        close(fd);
        return code;
    }
    *out = fd;
    return APIARY_OK;
}

static enum apiary_code encode_batch(struct stream *stream)
{
    struct ArrowError error = { .message = "" };
    AP_TRY(bee_builder_finish(&stream->builder, stream->why));
    AP_TRY(encoded(
        stream, ArrowArrayViewSetArray(&stream->view, &stream->builder.array, &error), &error));
    stream->body.size_bytes = stream->header.size_bytes = 0;
    int rc = ArrowIpcEncoderEncodeSimpleRecordBatch(
        &stream->encoder, &stream->view, &stream->body, &error);
    AP_TRY(encoded(stream, rc, &error));
    return encoded(
        stream, ArrowIpcEncoderFinalizeBuffer(&stream->encoder, 1, &stream->header), NULL);
}

/* Sends what was built, if anything; waits for a credit first, holding one batch. */
static enum apiary_code flush(struct stream *stream)
{
    if (stream->builder.rows == 0) return APIARY_OK;
    AP_TRY(encode_batch(stream));
    uint64_t rows = (uint64_t)stream->builder.rows;
    uint64_t values[AP_WIRE_VALUES] = {
        (uint64_t)(stream->header.size_bytes + stream->body.size_bytes), rows
    };
    if (values[0] > AP_WIRE_BODY_MAX) {
        char size[32], most[32];
        ap_size_format(values[0], size);
        ap_size_format(AP_WIRE_BODY_MAX, most);
        return bee_fail(stream->why, "limit", APIARY_LIMIT,
            "a row of the result has %s: more than %s cannot be handed over", size, most);
    }
    AP_TRY(bee_control_credit_take(stream->control, &stream->why->err));
    int fd = -1;
    AP_TRY(fill_memfd(&stream->header, &stream->body, &fd, &stream->why->err));
    enum apiary_code code =
        bee_send(AP_WIRE_BATCH, stream->job, AP_STR(""), fd, values, &stream->why->err);
    close(fd);
    AP_TRY(code);
    stream->rows += rows;
    bee_control_rows_out(stream->control, rows);
    stream->rows_max = BATCH_ROWS_MAX;
    return bee_builder_clear(&stream->builder, stream->why);
}

/* Appends a range of a chunk, cut in halves until a part fits a batch. A row that is
 * larger than a batch goes alone. */
static enum apiary_code append(
    struct stream *stream, duckdb_data_chunk chunk, idx_t start, idx_t count)
{
    uint64_t bytes = bee_builder_estimate(&stream->builder, chunk, start, count);
    if (bytes > stream->bytes_max && count > 1) {
        AP_TRY(append(stream, chunk, start, count / 2));
        return append(stream, chunk, start + count / 2, count - count / 2);
    }
    bool full = stream->builder.bytes + bytes > stream->bytes_max ||
                stream->builder.rows + (int64_t)count > stream->rows_max;
    if (full) AP_TRY(flush(stream));
    stream->builder.bytes += bytes;
    return bee_builder_append(&stream->builder, chunk, start, count, stream->why);
}

static enum apiary_code pump(struct stream *stream, duckdb_result *result)
{
    for (;;) {
        if (bee_control_cancelled(stream->control))
            return ap_fail(&stream->why->err, APIARY_CANCELLED, "cancelled");
        duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);
        if (chunk == NULL) break;
        enum apiary_code code = append(stream, chunk, 0, duckdb_data_chunk_get_size(chunk));
        duckdb_destroy_data_chunk(&chunk);
        AP_TRY(code);
    }
    /* The end and an error look the same to fetch. */
    const char *said = duckdb_result_error(result);
    if (said && *said) return bee_fail_engine(stream->why, said);
    return flush(stream);
}

static enum apiary_code run(
    struct stream *stream, duckdb_result *result, const struct ArrowSchema *schema)
{
    struct ArrowError error = { .message = "" };
    AP_TRY(encoded(stream, ArrowIpcEncoderInit(&stream->encoder), NULL));
    AP_TRY(encoded(stream, ArrowArrayViewInitFromSchema(&stream->view, schema, &error), &error));
    AP_TRY(bee_builder_init(&stream->builder, result, schema, stream->why));
    AP_TRY(send_schema(stream, schema));
    return pump(stream, result);
}

enum apiary_code bee_result_arrow(struct bee_control *control, uint32_t job, duckdb_result *result,
    const char *timezone, uint64_t memory_bytes, uint64_t *rows, struct bee_failure *why)
{
    uint64_t bytes_max = memory_bytes / BATCH_PART;
    if (bytes_max < BATCH_BYTES_MIN) bytes_max = BATCH_BYTES_MIN;
    if (bytes_max > BATCH_BYTES_MAX) bytes_max = BATCH_BYTES_MAX;
    struct stream stream = {
        .control = control,
        .job = job,
        .rows_max = BATCH_ROWS_FIRST,
        .bytes_max = bytes_max,
        .why = why,
    };
    struct ArrowSchema schema;
    AP_TRY(bee_arrow_schema(result, timezone, &schema, why));
    ArrowBufferInit(&stream.header);
    ArrowBufferInit(&stream.body);
    ArrowArrayViewInitFromType(&stream.view, NANOARROW_TYPE_UNINITIALIZED);

    enum apiary_code code = run(&stream, result, &schema);
    if (code == APIARY_OK) *rows = stream.rows;

    bee_builder_done(&stream.builder);
    ArrowArrayViewReset(&stream.view);
    if (stream.encoder.private_data) ArrowIpcEncoderReset(&stream.encoder);
    ArrowBufferReset(&stream.header);
    ArrowBufferReset(&stream.body);
    ArrowSchemaRelease(&schema);
    return code;
}
