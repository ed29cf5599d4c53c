#include "runtime/ipc_file.h"

#include "core/alloc.h"
#include "core/wire.h"
#include "runtime/batch.h"

#include <nanoarrow/nanoarrow_ipc.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PREFIX_SIZE = 8, METADATA_MAX = 64 << 20 };

/* ---- writing ---- */

struct ap_ipc_writer {
    int fd;
    uint64_t at;
    struct ArrowSchema schema;
    struct ArrowArrayView view;
    struct ArrowIpcEncoder encoder;
    bool view_ready, encoder_ready;
};

static enum apiary_code fail_encode(
    struct apiary_error *err, int failed, const struct ArrowError *error)
{
    if (failed == ENOMEM) return ap_fail_memory(err, "an Arrow file");
    return ap_fail(err, APIARY_INTERNAL, "an Arrow file cannot be written: %s", error->message);
}

static enum apiary_code put(
    struct ap_ipc_writer *writer, const void *data, int64_t size, struct apiary_error *err)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t done = pwrite(writer->fd, bytes, (size_t)size, (off_t)writer->at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return ap_fail_errno(err, done < 0 ? errno : ENOSPC, "writing an Arrow file");
        bytes += done;
        size -= done;
        writer->at += (uint64_t)done;
    }
    return APIARY_OK;
}

/* The encoder's message: its head, then the body. */
static enum apiary_code put_message(
    struct ap_ipc_writer *writer, struct ArrowBuffer *body, struct apiary_error *err)
{
    struct ArrowBuffer head;
    ArrowBufferInit(&head);
    struct ArrowError error = { { 0 } };
    int failed = ArrowIpcEncoderFinalizeBuffer(&writer->encoder, 1, &head);
    enum apiary_code code = failed ? fail_encode(err, failed, &error)
                                   : put(writer, head.data, head.size_bytes, err);
    if (code == APIARY_OK) code = put(writer, body->data, body->size_bytes, err);
    ArrowBufferReset(&head);
    return code;
}

static enum apiary_code begin(
    struct ap_ipc_writer *writer, const struct ArrowSchema *schema, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    int failed = ArrowSchemaDeepCopy(schema, &writer->schema);
    if (failed) return ap_fail_memory(err, "an Arrow file");
    failed = ArrowArrayViewInitFromSchema(&writer->view, &writer->schema, &error);
    if (failed) return fail_encode(err, failed, &error);
    writer->view_ready = true;
    if (ArrowIpcEncoderInit(&writer->encoder) != NANOARROW_OK)
        return ap_fail_memory(err, "an Arrow file");
    writer->encoder_ready = true;
    failed = ArrowIpcEncoderEncodeSchema(&writer->encoder, &writer->schema, &error);
    if (failed) return fail_encode(err, failed, &error);
    struct ArrowBuffer none;
    ArrowBufferInit(&none);
    return put_message(writer, &none, err);
}

enum apiary_code ap_ipc_writer_new(int fd, const struct ArrowSchema *schema,
    struct ap_ipc_writer **out, struct apiary_error *err)
{
    struct ap_ipc_writer *writer = ap_calloc(1, sizeof *writer);
    if (writer == NULL) return ap_fail_memory(err, "an Arrow file");
    writer->fd = fd;
    enum apiary_code code = begin(writer, schema, err);
    if (code != APIARY_OK) {
        ap_ipc_writer_free(writer);
        return code;
    }
    *out = writer;
    return APIARY_OK;
}

enum apiary_code ap_ipc_writer_add(
    struct ap_ipc_writer *writer, const struct ArrowArray *batch, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    struct ArrowBuffer body;
    if (batch->length == 0) return APIARY_OK;
    ArrowBufferInit(&body);
    int failed = ArrowArrayViewSetArray(&writer->view, batch, &error);
    if (!failed)
        failed = ArrowIpcEncoderEncodeSimpleRecordBatch(
            &writer->encoder, &writer->view, &body, &error);
    enum apiary_code code =
        failed ? fail_encode(err, failed, &error) : put_message(writer, &body, err);
    ArrowBufferReset(&body);
    return code;
}

enum apiary_code ap_ipc_writer_end(
    struct ap_ipc_writer *writer, uint64_t *bytes, struct apiary_error *err)
{
    static const uint8_t end[PREFIX_SIZE] = { 0xff, 0xff, 0xff, 0xff };
    AP_TRY(put(writer, end, sizeof end, err));
    if (ftruncate(writer->fd, (off_t)writer->at) != 0)
        return ap_fail_errno(err, errno, "writing an Arrow file");
    *bytes = writer->at;
    return APIARY_OK;
}

void ap_ipc_writer_free(struct ap_ipc_writer *writer)
{
    if (writer == NULL) return;
    if (writer->view_ready) ArrowArrayViewReset(&writer->view);
    if (writer->encoder_ready) ArrowIpcEncoderReset(&writer->encoder);
    if (writer->schema.release != NULL) ArrowSchemaRelease(&writer->schema);
    ap_free(writer);
}

/* ---- reading ---- */

struct files {
    int *fds;
    size_t count, current;
    uint64_t at; /* in the current file */
    struct ap_batch_decoder *decoder;
    struct ArrowSchema schema; /* of the first file */
    struct apiary_error error;
};

static enum apiary_code read_fully(
    const struct files *files, uint64_t at, void *out, size_t size, struct apiary_error *err)
{
    uint8_t *bytes = out;
    while (size > 0) {
        ssize_t done = pread(files->fds[files->current], bytes, size, (off_t)at);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return ap_fail_errno(err, errno, "reading an Arrow file");
        if (done == 0)
            return ap_fail(err, APIARY_CORRUPT, "an Arrow file ends in the middle of a message");
        bytes += done;
        size -= (size_t)done;
        at += (uint64_t)done;
    }
    return APIARY_OK;
}

static uint32_t number_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

/* How many bytes of body follow the head: from the head's own table, checked by the verifier. */
static enum apiary_code body_size(
    const uint8_t *head, size_t size, uint64_t *out, struct apiary_error *err)
{
    struct ArrowIpcDecoder decoder;
    struct ArrowError error = { { 0 } };
    struct ArrowBufferView view = { .data.as_uint8 = head, .size_bytes = (int64_t)size };
    if (ArrowIpcDecoderInit(&decoder) != NANOARROW_OK) return ap_fail_memory(err, "an Arrow file");
    int failed = ArrowIpcDecoderVerifyHeader(&decoder, view, &error);
    int64_t bytes = decoder.body_size_bytes;
    ArrowIpcDecoderReset(&decoder);
    if (failed)
        return ap_fail(err, APIARY_CORRUPT, "an Arrow file is not in order: %s", error.message);
    if (bytes < 0 || (uint64_t)bytes > AP_WIRE_BODY_MAX)
        return ap_fail(
            err, APIARY_CORRUPT, "an Arrow file is not in order: a message of %lld bytes", (long long)bytes);
    *out = (uint64_t)bytes;
    return APIARY_OK;
}

static void free_memory(void *context, const void *data, size_t size)
{
    (void)context, (void)size;
    ap_free((void *)(uintptr_t)data);
}

/* The next message, whole; data NULL at the end marker. The memory is ap_free's. */
static enum apiary_code next_message(
    struct files *files, struct ap_batch_memory *out, struct apiary_error *err)
{
    uint8_t prefix[PREFIX_SIZE];
    AP_TRY(read_fully(files, files->at, prefix, sizeof prefix, err));
    uint32_t metadata = number_at(prefix + 4);
    if (number_at(prefix) != UINT32_MAX || metadata > METADATA_MAX)
        return ap_fail(err, APIARY_CORRUPT, "an Arrow file is not in order: no message begins here");
    *out = (struct ap_batch_memory) { .release = free_memory };
    if (metadata == 0) return APIARY_OK;
    size_t head = PREFIX_SIZE + (size_t)metadata;
    AP_AUTO_FREE uint8_t *data = ap_realloc(NULL, head);
    if (data == NULL) return ap_fail_memory(err, "an Arrow file");
    AP_TRY(read_fully(files, files->at, data, head, err));
    uint64_t body = 0;
    AP_TRY(body_size(data, head, &body, err));
    uint8_t *grown = ap_realloc(data, head + (size_t)body);
    if (grown == NULL) return ap_fail_memory(err, "an Arrow file");
    data = grown;
    AP_TRY(read_fully(files, files->at + head, data + head, (size_t)body, err));
    files->at += head + body;
    out->data = data;
    out->size = head + (size_t)body;
    data = NULL;
    return APIARY_OK;
}

static bool same_types(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
    if (strcmp(a->format, b->format) != 0 || a->n_children != b->n_children) return false;
    for (int64_t i = 0; i < a->n_children; i++)
        if (!same_types(a->children[i], b->children[i])) return false;
    return true;
}

/* The schema of the current file; the first one's is that of the stream. */
static enum apiary_code open_file(struct files *files, struct apiary_error *err)
{
    struct ap_batch_memory message = { 0 };
    files->at = 0;
    ap_batch_decoder_free(files->decoder);
    files->decoder = NULL;
    AP_TRY(next_message(files, &message, err));
    if (message.data == NULL) return ap_fail(err, APIARY_CORRUPT, "an Arrow file has no schema");
    enum apiary_code code = ap_batch_decoder_new(
        (struct ap_str) { message.data, message.size }, &files->decoder, err);
    message.release(message.context, message.data, message.size);
    if (code != APIARY_OK) return code;
    const struct ArrowSchema *schema = ap_batch_decoder_schema(files->decoder);
    if (files->schema.release == NULL) {
        if (ArrowSchemaDeepCopy(schema, &files->schema) != NANOARROW_OK) {
            files->schema.release = NULL;
            return ap_fail_memory(err, "an Arrow file");
        }
    } else if (!same_types(&files->schema, schema))
        return ap_fail(err, APIARY_CORRUPT, "Arrow files that belong together have other columns");
    return APIARY_OK;
}

static enum apiary_code next_batch(
    struct files *files, struct ArrowArray *out, struct apiary_error *err)
{
    while (files->current < files->count) {
        struct ap_batch_memory message = { 0 };
        AP_TRY(next_message(files, &message, err));
        if (message.data != NULL) return ap_batch_decode(files->decoder, &message, out, err);
        if (++files->current == files->count) break;
        AP_TRY(open_file(files, err));
    }
    return APIARY_OK;
}

static int errno_of(enum apiary_code code)
{
    return code == APIARY_OK ? 0 : code == APIARY_MEMORY ? ENOMEM : EIO;
}

static int stream_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct files *files = stream->private_data;
    return ArrowSchemaDeepCopy(&files->schema, out);
}

static int stream_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct files *files = stream->private_data;
    memset(out, 0, sizeof *out);
    if (files->error.code != APIARY_OK) return errno_of((enum apiary_code)files->error.code);
    enum apiary_code code = next_batch(files, out, &files->error);
    if (code != APIARY_OK) files->error.code = code;
    return errno_of(code);
}

static const char *stream_error(struct ArrowArrayStream *stream)
{
    struct files *files = stream->private_data;
    return files->error.code == APIARY_OK ? NULL : files->error.message;
}

static void files_free(struct files *files)
{
    ap_batch_decoder_free(files->decoder);
    if (files->schema.release != NULL) ArrowSchemaRelease(&files->schema);
    for (size_t i = 0; i < files->count; i++) close(files->fds[i]);
    ap_free(files->fds);
    ap_free(files);
}

static void stream_release(struct ArrowArrayStream *stream)
{
    files_free(stream->private_data);
    stream->release = NULL;
    stream->private_data = NULL;
}

enum apiary_code ap_ipc_files_open(const int *fds, size_t count, struct ArrowArrayStream *out,
    struct apiary_error *err)
{
    ap_assert(count > 0);
    struct files *files = ap_calloc(1, sizeof *files);
    if (files != NULL) files->fds = ap_calloc(count, sizeof *files->fds);
    if (files == NULL || files->fds == NULL) {
        ap_free(files);
        return ap_fail_memory(err, "an Arrow file");
    }
    enum apiary_code code = APIARY_OK;
    while (code == APIARY_OK && files->count < count) {
        int fd = fcntl(fds[files->count], F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            code = ap_fail_errno(err, errno, "opening an Arrow file");
        else
            files->fds[files->count++] = fd;
    }
    if (code == APIARY_OK) code = open_file(files, err);
    if (code != APIARY_OK) {
        files_free(files);
        return code;
    }
    *out = (struct ArrowArrayStream) { .get_schema = stream_schema,
        .get_next = stream_next,
        .get_last_error = stream_error,
        .release = stream_release,
        .private_data = files };
    return APIARY_OK;
}
