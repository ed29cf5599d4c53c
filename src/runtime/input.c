/* The caller's Arrow streams on their way into a chamber.
 *
 * One INPUT is one shared memory with a record batch (the first with the schema before it) of
 * at most INPUT_ROWS_MAX rows and about AP_WIRE_BATCH_MAX bytes: small batches of a producer
 * are gathered, large ones cut. A single row may be larger, up to the wire's limit.
 *
 * Rows of a large batch whose columns lie as they have to (numbers, strings …) are copied once,
 * from the producer's buffers into the shared memory. Small batches, and columns that change
 * (dictionaries, views, nested ones), are put together first. */
#include "core/alloc.h"
#include "runtime/job_private.h"
#include "runtime/plain.h"

#include <nanoarrow/nanoarrow_ipc.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INPUT_ROWS_MAX = 64 * 1024, STEP_ROWS_MAX = 8192, LENT_ROWS_MIN = STEP_ROWS_MAX };

/* Before the body there is room for the messages' heads; the last of them is padded up to it. */
enum { HEAD_ROOM = 16 * 1024, HEAD_ROOM_PER_COLUMN = 256, PREFIX_BYTES = 8 };

struct ap_input {
    struct ArrowSchema source, plain;
    struct ArrowArrayView view; /* of the source's schema; shows `held` */
    struct ArrowIpcEncoder encoder;
    bool view_ready, encoder_ready;
    struct ArrowArray held; /* being cut: rows from held_at on are to be sent */
    int64_t held_at;
    bool schema_sent, ended, lends;
};

void ap_input_free(struct ap_input *input)
{
    if (!input) return;
    if (input->held.release) input->held.release(&input->held);
    if (input->view_ready) ArrowArrayViewReset(&input->view);
    if (input->encoder_ready) ArrowIpcEncoderReset(&input->encoder);
    if (input->source.release) input->source.release(&input->source);
    if (input->plain.release) ArrowSchemaRelease(&input->plain);
    ap_free(input);
}

/* ---- the producer ---- */

static enum apiary_code producer_failed(
    struct ArrowArrayStream *stream, int error_number, const char *name, struct apiary_error *err)
{
    const char *said = stream->get_last_error ? stream->get_last_error(stream) : NULL;
    if (!said || !*said) said = strerror(error_number);
    return ap_fail(err, error_number == ENOMEM ? APIARY_MEMORY : APIARY_IO,
        "%s could not be read: %s", name, said);
}

static enum apiary_code input_open(struct ap_input *input, struct ArrowArrayStream *stream,
    const char *name, struct apiary_error *err)
{
    if (!stream || !stream->release)
        return ap_fail(err, APIARY_INVALID, "%s is a stream that was released", name);
    int failed = stream->get_schema(stream, &input->source);
    if (failed) {
        input->source.release = NULL;
        return producer_failed(stream, failed, name, err);
    }
    enum apiary_code code = ap_plain_schema(&input->source, &input->plain, err);
    if (code != APIARY_OK) return ap_context(err, code, "%s", name);
    struct ArrowError error = { { 0 } };
    if (ArrowArrayViewInitFromSchema(&input->view, &input->source, &error) != NANOARROW_OK)
        return ap_fail(
            err, APIARY_INVALID, "%s: its schema is not in order: %s", name, error.message);
    input->view_ready = true;
    input->lends = input->view.n_children > 0;
    for (int64_t i = 0; i < input->view.n_children; i++)
        input->lends = input->lends && ap_plain_lendable(input->view.children[i]);
    if (ArrowIpcEncoderInit(&input->encoder) != NANOARROW_OK)
        return ap_fail_memory(err, "an Arrow writer");
    input->encoder_ready = true;
    return APIARY_OK;
}

/* A count that is not known, where there is no bitmap, is none; nanoarrow wants it said. */
static void settle_null_counts(struct ArrowArray *array)
{
    if (array->null_count < 0 && array->n_buffers > 0 && !array->buffers[0]) array->null_count = 0;
    for (int64_t i = 0; i < array->n_children; i++) settle_null_counts(array->children[i]);
    if (array->dictionary) settle_null_counts(array->dictionary);
}

/* Makes `held` the next batch with rows in it, or notes the end. */
static enum apiary_code pull(struct ap_input *input, struct ArrowArrayStream *stream,
    const char *name, struct apiary_error *err)
{
    while (!input->ended && input->held_at >= input->held.length) {
        if (input->held.release) input->held.release(&input->held);
        input->held = (struct ArrowArray) { 0 };
        input->held_at = 0;
        int failed = stream->get_next(stream, &input->held);
        if (failed) {
            input->held = (struct ArrowArray) { 0 };
            return producer_failed(stream, failed, name, err);
        }
        if (!input->held.release) {
            input->held = (struct ArrowArray) { 0 };
            input->ended = true;
            break;
        }
        settle_null_counts(&input->held);
        struct ArrowError error = { { 0 } };
        if (ArrowArrayViewSetArray(&input->view, &input->held, &error) != NANOARROW_OK ||
            ArrowArrayViewValidate(&input->view, NANOARROW_VALIDATION_LEVEL_FULL, &error) !=
                NANOARROW_OK)
            return ap_fail(
                err, APIARY_INVALID, "%s: a batch is not in order: %s", name, error.message);
        if (ArrowArrayViewComputeNullCount(&input->view) != 0)
            return ap_fail(
                err, APIARY_INVALID, "%s: a batch has rows that are null as a whole", name);
    }
    return APIARY_OK;
}

/* ---- gathering and cutting ---- */

/* Rows for the next step: they double, but keep to what the rows so far let expect. */
static int64_t step_rows(const struct ap_input *input, int64_t rows, uint64_t bytes, int64_t last)
{
    int64_t step = last ? last * 2 : 1;
    if (step > STEP_ROWS_MAX) step = STEP_ROWS_MAX;
    uint64_t each = rows ? bytes / (uint64_t)rows + 1 : 1;
    uint64_t fit = bytes < AP_WIRE_BATCH_MAX ? (AP_WIRE_BATCH_MAX - bytes) / each + 1 : 1;
    if ((uint64_t)step > fit) step = (int64_t)fit;
    if (step > INPUT_ROWS_MAX - rows) step = INPUT_ROWS_MAX - rows;
    int64_t left = input->held.length - input->held_at;
    return step < left ? step : left;
}

static enum apiary_code gather(struct ap_input *input, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, const char *name, struct ArrowArray *out,
    struct apiary_error *err)
{
    uint64_t bytes = 0;
    int64_t step = 0;
    while (out->length < INPUT_ROWS_MAX && bytes < AP_WIRE_BATCH_MAX) {
        /* An input without rows would say that it ended: a cut one must fail instead. */
        if (ap_cancel_requested(cancel)) return ap_fail(err, APIARY_CANCELLED, "cancelled");
        AP_TRY(pull(input, stream, name, err));
        if (input->ended) break;
        step = step_rows(input, out->length, bytes, step);
        AP_TRY(ap_plain_append(out, &input->view, input->held_at, step, err));
        input->held_at += step;
        bytes = ap_plain_bytes(out);
    }
    return APIARY_OK;
}

/* ---- writing ---- */

static enum apiary_code write_fully(
    int fd, const uint8_t *data, int64_t size, struct apiary_error *err)
{
    while (size > 0) {
        ssize_t done = write(fd, data, (size_t)size);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return ap_fail_errno(
                err, done < 0 ? errno : ENOSPC, "filling shared memory for an input");
        data += done;
        size -= done;
    }
    return APIARY_OK;
}

static enum apiary_code too_large(int64_t bytes, struct apiary_error *err)
{
    return ap_fail(err, APIARY_LIMIT,
        "a row of an input has %" PRId64 " bytes, at most %" PRIu64 " are possible", bytes,
        AP_WIRE_BODY_MAX);
}

static enum apiary_code seal(int fd, struct apiary_error *err)
{
    int error = ap_memfd_seal(fd);
    return error == 0 ? APIARY_OK : ap_fail_errno(err, error, "sealing shared memory for an input");
}

static enum apiary_code memory_of(const struct ArrowBuffer *head, const struct ArrowBuffer *body,
    int *out, struct apiary_error *err)
{
    if ((uint64_t)head->size_bytes + (uint64_t)body->size_bytes > AP_WIRE_BODY_MAX)
        return too_large(body->size_bytes, err);
    int fd = memfd_create("apiary-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return ap_fail_errno(err, errno, "making shared memory for an input");
    enum apiary_code code = write_fully(fd, head->data, head->size_bytes, err);
    if (code == APIARY_OK) code = write_fully(fd, body->data, body->size_bytes, err);
    if (code == APIARY_OK) code = seal(fd, err);
    if (code != APIARY_OK) {
        close(fd);
        return code;
    }
    *out = fd;
    return APIARY_OK;
}

static enum apiary_code fail_encode(
    struct apiary_error *err, int failed, const struct ArrowError *error)
{
    if (failed == ENOMEM) return ap_fail_memory(err, "an Arrow input");
    return ap_fail(err, APIARY_INTERNAL, "an Arrow input cannot be written: %s", error->message);
}

/* Schema (the first time) and batch (unless it has no rows) into buffers. */
static enum apiary_code encode(struct ap_input *input, struct ArrowArray *batch,
    struct ArrowBuffer *head, struct ArrowBuffer *body, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    int failed = 0;
    if (!input->schema_sent) {
        failed = ArrowIpcEncoderEncodeSchema(&input->encoder, &input->plain, &error);
        if (!failed) failed = ArrowIpcEncoderFinalizeBuffer(&input->encoder, 1, head);
    }
    if (failed || batch->length == 0) return failed ? fail_encode(err, failed, &error) : APIARY_OK;
    failed = ArrowArrayFinishBuildingDefault(batch, &error);
    if (failed) return fail_encode(err, failed, &error);
    struct ArrowArrayView view;
    failed = ArrowArrayViewInitFromSchema(&view, &input->plain, &error);
    if (!failed) {
        failed = ArrowArrayViewSetArray(&view, batch, &error);
        if (!failed)
            failed = ArrowIpcEncoderEncodeSimpleRecordBatch(&input->encoder, &view, body, &error);
        if (!failed) failed = ArrowIpcEncoderFinalizeBuffer(&input->encoder, 1, head);
    }
    ArrowArrayViewReset(&view);
    return failed ? fail_encode(err, failed, &error) : APIARY_OK;
}

/* ---- lending: the body is the shared memory itself ---- */

/* A writable mapping of a memory file: [0, room) for heads, the body behind it. */
struct shared_body {
    int fd;
    int64_t room, size; /* of the file and its mapping */
    uint8_t *map;
    int failed; /* errno */
};

static uint8_t *body_reallocate(
    struct ArrowBufferAllocator *allocator, uint8_t *ptr, int64_t old_size, int64_t new_size)
{
    struct shared_body *body = allocator->private_data;
    (void)ptr;
    (void)old_size;
    int64_t size = body->room + new_size;
    if (size <= body->size) return body->map + body->room;
    /* The pages are there before they are written: no room is an error, not a signal. */
    do {
        body->failed = posix_fallocate(body->fd, 0, size);
    } while (body->failed == EINTR);
    if (body->failed) return NULL;
    void *map = body->map == NULL
                    ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                          body->fd, 0)
                    : mremap(body->map, (size_t)body->size, (size_t)size, MREMAP_MAYMOVE);
    if (map == MAP_FAILED) {
        body->failed = errno;
        return NULL;
    }
    body->map = map;
    body->size = size;
    return body->map + body->room;
}

static void body_free(struct ArrowBufferAllocator *allocator, uint8_t *ptr, int64_t size)
{
    struct shared_body *body = allocator->private_data;
    (void)ptr;
    (void)size;
    if (body->map) munmap(body->map, (size_t)body->size);
    body->map = NULL;
}

static enum apiary_code body_open(struct shared_body *body, int64_t columns,
    struct ArrowBuffer *out, struct apiary_error *err)
{
    *body = (struct shared_body) { .room = HEAD_ROOM + columns * HEAD_ROOM_PER_COLUMN };
    body->fd = memfd_create("apiary-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (body->fd < 0) return ap_fail_errno(err, errno, "making shared memory for an input");
    ArrowBufferInit(out);
    out->allocator = (struct ArrowBufferAllocator) {
        .reallocate = body_reallocate, .free = body_free, .private_data = body
    };
    return APIARY_OK;
}

/* Puts the heads before the body. `last` is where the batch's message begins in `head`: its length
 * is raised so that what it says is followed by nothing but padding up to the body. */
static enum apiary_code body_finish(struct shared_body *body, const struct ArrowBuffer *head,
    int64_t last, struct ArrowBuffer *buffer, int *out, struct apiary_error *err)
{
    int64_t size = body->room + buffer->size_bytes;
    uint32_t length = (uint32_t)(body->room - last - PREFIX_BYTES);
    memcpy(body->map, head->data, (size_t)head->size_bytes);
    memset(body->map + head->size_bytes, 0, (size_t)(body->room - head->size_bytes));
    length = htole32(length);
    memcpy(body->map + last + PREFIX_BYTES - (int64_t)sizeof length, &length, sizeof length);
    ArrowBufferReset(buffer); /* a file that is mapped for writing cannot be sealed */
    if (ftruncate(body->fd, size) != 0)
        return ap_fail_errno(err, errno, "filling shared memory for an input");
    AP_TRY(seal(body->fd, err));
    *out = body->fd;
    body->fd = -1;
    return APIARY_OK;
}

/* How many rows of `held` go into the next file, and what its body will have, at most; 0 rows: they
 * are gathered instead. */
static int64_t lent_rows(const struct ap_input *input, uint64_t *bytes)
{
    enum { BUFFERS = 3, PADDING = 8 };
    int64_t left = input->held.length - input->held_at;
    if (!input->lends || left < LENT_ROWS_MIN) return 0;
    int64_t rows = left < INPUT_ROWS_MAX ? left : INPUT_ROWS_MAX;
    for (;;) {
        *bytes = (uint64_t)input->view.n_children * BUFFERS * PADDING;
        for (int64_t i = 0; i < input->view.n_children; i++)
            *bytes += ap_plain_lent_bytes(
                input->view.children[i], input->view.offset + input->held_at, rows);
        if (*bytes <= AP_WIRE_BATCH_MAX) return rows;
        if (rows == 1) return 0;
        rows /= 2;
    }
}

static enum apiary_code lend(struct ap_input *input, struct ArrowArray *room, int64_t rows,
    struct ArrowArrayView *view, struct apiary_error *err)
{
    for (int64_t i = 0; i < view->n_children; i++)
        AP_TRY(ap_plain_lend(room->children[i], input->view.children[i],
            input->view.offset + input->held_at, rows, view->children[i], err));
    view->array = room;
    view->length = rows;
    view->null_count = 0;
    input->held_at += rows;
    return APIARY_OK;
}

static enum apiary_code encode_lent(struct ap_input *input, const struct ArrowArrayView *view,
    struct shared_body *body, struct ArrowBuffer *buffer, int *fd, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    struct ArrowBuffer head;
    int64_t last = 0;
    ArrowBufferInit(&head);
    int failed = 0;
    if (!input->schema_sent) {
        failed = ArrowIpcEncoderEncodeSchema(&input->encoder, &input->plain, &error);
        if (!failed) failed = ArrowIpcEncoderFinalizeBuffer(&input->encoder, 1, &head);
        last = head.size_bytes;
    }
    if (!failed)
        failed = ArrowIpcEncoderEncodeSimpleRecordBatch(&input->encoder, view, buffer, &error);
    if (!failed) failed = ArrowIpcEncoderFinalizeBuffer(&input->encoder, 1, &head);
    enum apiary_code code = APIARY_OK;
    if (body->failed)
        code = ap_fail_errno(err, body->failed, "filling shared memory for an input");
    else if (failed)
        code = fail_encode(err, failed, &error);
    else if (head.size_bytes > body->room) /* names or metadata of many kilobytes */
        code = memory_of(&head, buffer, fd, err);
    else
        code = body_finish(body, &head, last, buffer, fd, err);
    ArrowBufferReset(&head);
    return code;
}

/* A file of rows that lie where the producer has them. */
static enum apiary_code send_lent(struct ap_input *input, struct ArrowArray *room, int64_t rows,
    uint64_t bytes, struct ap_wire_message *out, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    struct ArrowArrayView view;
    struct ArrowBuffer buffer;
    struct shared_body body;
    AP_TRY(body_open(&body, input->view.n_children, &buffer, err));
    enum apiary_code code = APIARY_OK;
    if (ArrowBufferReserve(&buffer, (int64_t)bytes) != NANOARROW_OK)
        code = ap_fail_errno(err, body.failed, "filling shared memory for an input");
    if (ArrowArrayViewInitFromSchema(&view, &input->plain, &error) != NANOARROW_OK &&
        code == APIARY_OK)
        code = ap_fail_memory(err, "an Arrow input");
    if (code == APIARY_OK) code = lend(input, room, rows, &view, err);
    if (code == APIARY_OK) code = encode_lent(input, &view, &body, &buffer, &out->fd, err);
    if (code == APIARY_OK) input->schema_sent = true;
    ArrowArrayViewReset(&view);
    ArrowBufferReset(&buffer);
    if (body.fd >= 0) close(body.fd);
    return code;
}

static enum apiary_code send_batch(struct ap_input *input, struct ArrowArray *batch,
    struct ap_wire_message *out, struct apiary_error *err)
{
    /* Nothing more to say is said without a descriptor. */
    if (batch->length == 0 && input->schema_sent) return APIARY_OK;
    struct ArrowBuffer head, body;
    ArrowBufferInit(&head);
    ArrowBufferInit(&body);
    enum apiary_code code = encode(input, batch, &head, &body, err);
    if (code == APIARY_OK) code = memory_of(&head, &body, &out->fd, err);
    if (code == APIARY_OK) input->schema_sent = true;
    ArrowBufferReset(&head);
    ArrowBufferReset(&body);
    return code;
}

static enum apiary_code next(struct ap_input *input, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, const char *name, struct ap_wire_message *out,
    struct apiary_error *err)
{
    struct ArrowArray batch = { 0 };
    struct ArrowError error = { { 0 } };
    if (ArrowArrayInitFromSchema(&batch, &input->plain, &error) != NANOARROW_OK)
        return ap_fail_memory(err, "an Arrow input");
    enum apiary_code code = ArrowArrayStartAppending(&batch) == NANOARROW_OK
                                ? APIARY_OK
                                : ap_fail(err, APIARY_UNSUPPORTED,
                                      "%s has a union whose type ids are not 0, 1, 2 …", name);
    if (code == APIARY_OK && ap_cancel_requested(cancel))
        code = ap_fail(err, APIARY_CANCELLED, "cancelled");
    if (code == APIARY_OK) code = pull(input, stream, name, err);
    uint64_t bytes = 0;
    int64_t lent = code == APIARY_OK && !input->ended ? lent_rows(input, &bytes) : 0;
    if (lent > 0) {
        code = send_lent(input, &batch, lent, bytes, out, err);
    } else {
        if (code == APIARY_OK) code = gather(input, stream, cancel, name, &batch, err);
        if (code == APIARY_OK) code = send_batch(input, &batch, out, err);
    }
    if (batch.release) ArrowArrayRelease(&batch);
    return code;
}

enum apiary_code ap_input_next(struct ap_input **input, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, const char *name, struct ap_wire_message *out,
    struct apiary_error *err)
{
    if (!*input) {
        struct ap_input *made = ap_calloc(1, sizeof *made);
        if (!made) return ap_fail_memory(err, "an Arrow input");
        enum apiary_code code = input_open(made, stream, name, err);
        if (code != APIARY_OK) {
            ap_input_free(made);
            return code;
        }
        *input = made;
    }
    return next(*input, stream, cancel, name, out, err);
}
