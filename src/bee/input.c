#include "bee/input_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <sys/mman.h>

enum { ASKED_AHEAD = 4 };
#define INPUT_BYTES_MAX (UINT64_C(2) << 30)

struct bee_inputs {
    struct bee_input *items;
    size_t count;
};

/* ---- files ---- */

static void unmap(struct ArrowBufferAllocator *allocator, uint8_t *data, int64_t size)
{
    (void)allocator;
    if (size) munmap(data, (size_t)size);
}

static enum apiary_code ask(struct bee_input *input)
{
    uint64_t values[AP_WIRE_VALUES] = { input->index };
    return bee_send(AP_WIRE_NEED, input->job, AP_STR(""), -1, values, &input->why.err);
}

/* Takes over a mapping as a shared buffer, which unmaps when its last user is done. */
static enum apiary_code adopt(struct bee_input *input, const void *data, size_t size)
{
    struct ArrowBuffer mapped;
    ArrowBufferInit(&mapped);
    mapped.data = (uint8_t *)(uintptr_t)data;
    mapped.size_bytes = mapped.capacity_bytes = (int64_t)size;
    mapped.allocator = ArrowBufferDeallocator(unmap, NULL);
    if (input->shared.data) ArrowBufferReset(&input->shared);
    int rc = ArrowSharedBufferInit(&input->shared, &mapped);
    if (rc != NANOARROW_OK) {
        ArrowBufferReset(&mapped);
        return bee_fail_arrow(&input->why, rc, NULL, "an input");
    }
    input->rest = (struct ap_str) { data, size };
    return APIARY_OK;
}

/* Waits for the next file of this input; input->ended at its end. */
static enum apiary_code next_file(struct bee_input *input)
{
    AP_AUTO(ap_wire_message) message;
    ap_wire_message_init(&message);
    AP_TRY(bee_control_input_take(input->control, input->index, &message, &input->why.err));
    if (message.fd < 0) {
        input->ended = true;
        if (message.body.size == 0) return APIARY_OK;
        return bee_fail(&input->why, "input", APIARY_IO, "%s", ap_bytes_text(&message.body));
    }
    const void *data = NULL;
    size_t size = 0;
    AP_TRY(ap_memfd_map(message.fd, INPUT_BYTES_MAX, &data, &size, &input->why.err));
    if (size == 0)
        return bee_fail(&input->why, "input", APIARY_CORRUPT, "an input file without a message");
    enum apiary_code code = adopt(input, data, size);
    if (code != APIARY_OK) {
        munmap((void *)(uintptr_t)data, size);
        return code;
    }
    return ask(input);
}

/* ---- messages ---- */

static enum apiary_code decoded(struct bee_input *input, int rc, const struct ArrowError *error)
{
    if (rc == NANOARROW_OK) return APIARY_OK;
    if (rc == ENOMEM) return bee_fail_arrow(&input->why, rc, error, "an input");
    return bee_fail(&input->why, "input", APIARY_CORRUPT, "input %zu is no valid Arrow stream: %s",
        input->index, error->message);
}

/* Decodes the header of the next message and cuts it off `rest`; *body is what
 * belongs to it. *found false: an end-of-stream mark or nothing is left. */
static enum apiary_code next_message(struct bee_input *input, bool *found, struct ap_str *body)
{
    struct ArrowError error = { .message = "" };
    struct ArrowBufferView view = { .data.data = input->rest.data,
        .size_bytes = (int64_t)input->rest.size };
    *found = false;
    if (input->rest.size == 0) return APIARY_OK;
    int rc = ArrowIpcDecoderVerifyHeader(&input->decoder, view, &error);
    if (rc == ENODATA) { /* the end-of-stream mark */
        input->rest = AP_STR("");
        return APIARY_OK;
    }
    AP_TRY(decoded(input, rc, &error));
    AP_TRY(decoded(input, ArrowIpcDecoderDecodeHeader(&input->decoder, view, &error), &error));
    int64_t header = input->decoder.header_size_bytes, size = input->decoder.body_size_bytes;
    if (header < 0 || size < 0 || header > view.size_bytes || size > view.size_bytes - header)
        return bee_fail(
            &input->why, "input", APIARY_CORRUPT, "input %zu: a message is cut off", input->index);
    *body = (struct ap_str) { input->rest.data + header, (size_t)size };
    input->rest =
        (struct ap_str) { body->data + body->size, input->rest.size - (size_t)(header + size) };
    *found = true;
    return APIARY_OK;
}

static enum apiary_code read_schema(struct bee_input *input)
{
    struct ArrowError error = { .message = "" };
    struct ap_str body;
    bool found = false;
    for (int i = 0; i < ASKED_AHEAD; i++) AP_TRY(ask(input));
    AP_TRY(next_file(input));
    if (!input->ended) AP_TRY(next_message(input, &found, &body));
    if (!found || input->decoder.message_type != NANOARROW_IPC_MESSAGE_TYPE_SCHEMA)
        return bee_fail(&input->why, "input", APIARY_CORRUPT,
            "input %zu does not begin with a schema", input->index);
    AP_TRY(decoded(
        input, ArrowIpcDecoderDecodeSchema(&input->decoder, &input->schema, &error), &error));
    input->has_schema = true;
    AP_TRY(decoded(
        input, ArrowIpcDecoderSetEndianness(&input->decoder, input->decoder.endianness), &error));
    return decoded(
        input, ArrowIpcDecoderSetSchema(&input->decoder, &input->schema, &error), &error);
}

static enum apiary_code read_batch(
    struct bee_input *input, struct ap_str body, struct ArrowArray *out)
{
    struct ArrowError error = { .message = "" };
    struct ArrowBuffer clone;
    ArrowBufferInit(&clone);
    AP_TRY(decoded(input, ArrowSharedBufferClone(&input->shared, &clone), &error));
    clone.data = (uint8_t *)(uintptr_t)body.data;
    clone.size_bytes = (int64_t)body.size;
    int rc = ArrowIpcDecoderDecodeArrayFromShared(
        &input->decoder, &clone, -1, out, NANOARROW_VALIDATION_LEVEL_FULL, &error);
    ArrowBufferReset(&clone);
    return decoded(input, rc, &error);
}

static enum apiary_code next_batch(struct bee_input *input, struct ArrowArray *out)
{
    while (!input->ended) {
        struct ap_str body;
        bool found = false;
        AP_TRY(next_message(input, &found, &body));
        if (found && input->decoder.message_type == NANOARROW_IPC_MESSAGE_TYPE_RECORD_BATCH)
            return read_batch(input, body, out);
        if (found)
            return bee_fail(&input->why, "input", APIARY_CORRUPT,
                "input %zu: an Arrow message of type %d is not supported", input->index,
                (int)input->decoder.message_type);
        AP_TRY(next_file(input));
    }
    return APIARY_OK;
}

enum apiary_code bee_input_next(struct bee_input *input, struct ArrowArray *out)
{
    pthread_mutex_lock(&input->mutex);
    out->release = NULL;
    enum apiary_code code = input->failed ? APIARY_IO : next_batch(input, out);
    if (code != APIARY_OK) input->failed = true;
    pthread_mutex_unlock(&input->mutex);
    return code;
}

static enum apiary_code input_open(struct bee_input *input, duckdb_connection connection,
    const char *name, struct bee_failure *why)
{
    enum apiary_code code = decoded(input, ArrowIpcDecoderInit(&input->decoder),
        &(struct ArrowError) { .message = "no decoder" });
    if (code == APIARY_OK) code = read_schema(input);
    if (code == APIARY_OK) code = bee_input_register(input, connection, name);
    if (code != APIARY_OK) *why = input->why;
    return code;
}

enum apiary_code bee_inputs_open(struct bee_control *control, uint32_t job,
    duckdb_connection connection, const struct ap_texts *names, struct bee_inputs **out,
    struct bee_failure *why)
{
    if (names->count > BEE_INPUTS_MAX)
        return bee_fail(
            why, "limit", APIARY_LIMIT, "%zu inputs, at most %d", names->count, BEE_INPUTS_MAX);
    struct bee_inputs *inputs = ap_calloc(1, sizeof *inputs);
    if (inputs) inputs->items = ap_calloc(names->count ? names->count : 1, sizeof *inputs->items);
    if (inputs == NULL || inputs->items == NULL) {
        ap_free(inputs);
        return ap_fail_memory(&why->err, "the inputs");
    }
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; i < names->count && code == APIARY_OK; i++) {
        struct bee_input *input = &inputs->items[i];
        *input = (struct bee_input) { .control = control, .job = job, .index = i };
        pthread_mutex_init(&input->mutex, NULL);
        bee_failure_init(&input->why);
        ArrowBufferInit(&input->shared);
        inputs->count++;
        code = input_open(input, connection, names->items[i], why);
    }
    if (code != APIARY_OK) {
        bee_inputs_close(inputs);
        return code;
    }
    *out = inputs;
    return APIARY_OK;
}

bool bee_inputs_failure(struct bee_inputs *inputs, struct bee_failure *why)
{
    for (size_t i = 0; inputs && i < inputs->count; i++) {
        if (!inputs->items[i].failed) continue;
        *why = inputs->items[i].why;
        return true;
    }
    return false;
}

void bee_inputs_close(struct bee_inputs *inputs)
{
    if (inputs == NULL) return;
    for (size_t i = 0; i < inputs->count; i++) {
        struct bee_input *input = &inputs->items[i];
        bee_input_unregister(input);
        if (input->has_schema) ArrowSchemaRelease(&input->schema);
        if (input->decoder.private_data) ArrowIpcDecoderReset(&input->decoder);
        if (input->shared.data) ArrowBufferReset(&input->shared);
        pthread_mutex_destroy(&input->mutex);
    }
    ap_free(inputs->items);
    ap_free(inputs);
}
