/* Decoding what a chamber sent.
 *
 * ipc_check.c goes over the messages' tables first; nanoarrow verifies the flatbuffer, builds
 * the arrays and validates them in full; what it takes on trust then (the bitmaps that null
 * counts promise) is checked last. Types whose checks we cannot vouch for are refused by the
 * schema: dictionaries, views, run ends, dense unions. */
#include "runtime/batch.h"

#include "core/alloc.h"
#include "runtime/ipc_check.h"

#include <nanoarrow/nanoarrow_ipc.h>

#include <errno.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the wire's Arrow messages are little-endian"
#endif

struct ap_batch_decoder {
    struct ArrowIpcDecoder decoder;
    bool decoder_ready;
    struct ArrowSchema schema;
};

static enum apiary_code fail_arrow(
    struct apiary_error *err, int error_number, const struct ArrowError *error, const char *what)
{
    if (error_number == ENOMEM) return ap_fail_memory(err, what);
    return ap_fail(
        err, APIARY_CORRUPT, "%s of a chamber is not in order: %s", what, error->message);
}

/* ---- schema ---- */

/* Depth and number of fields were bounded by ap_ipc_check_schema. */
static enum apiary_code check_type(const struct ArrowSchema *schema, struct apiary_error *err)
{
    const char *name = schema->name ? schema->name : "";
    struct ArrowSchemaView view;
    struct ArrowError error = { { 0 } };
    if (ArrowSchemaViewInit(&view, schema, &error) != NANOARROW_OK)
        return ap_fail(err, APIARY_CORRUPT,
            "the schema of a chamber is not in order: column %s: %s", name, error.message);
    switch (view.storage_type) {
        case NANOARROW_TYPE_DENSE_UNION:
        case NANOARROW_TYPE_RUN_END_ENCODED:
        case NANOARROW_TYPE_LIST_VIEW:
        case NANOARROW_TYPE_LARGE_LIST_VIEW:
        case NANOARROW_TYPE_STRING_VIEW:
        case NANOARROW_TYPE_BINARY_VIEW:
            return ap_fail(err, APIARY_UNSUPPORTED, "column %s has the Arrow type %s", name,
                ArrowTypeString(view.storage_type));
        case NANOARROW_TYPE_FIXED_SIZE_BINARY:
        case NANOARROW_TYPE_FIXED_SIZE_LIST:
            if (view.fixed_size < 0 || view.fixed_size > AP_IPC_FIXED_MAX)
                return ap_fail(err, APIARY_CORRUPT, "column %s has %d items in each row", name,
                    (int)view.fixed_size);
            break;
        default: break;
    }
    for (int64_t i = 0; i < schema->n_children; i++) AP_TRY(check_type(schema->children[i], err));
    return APIARY_OK;
}

static enum apiary_code open_schema(
    struct ap_batch_decoder *decoder, struct ap_str message, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    struct ArrowBufferView data = { .data.data = message.data,
        .size_bytes = (int64_t)message.size };
    AP_TRY(ap_ipc_check_schema(message, err));
    int failed = ArrowIpcDecoderInit(&decoder->decoder);
    if (failed) return ap_fail_memory(err, "an Arrow decoder");
    decoder->decoder_ready = true;
    failed = ArrowIpcDecoderVerifyHeader(&decoder->decoder, data, &error);
    if (!failed) failed = ArrowIpcDecoderDecodeHeader(&decoder->decoder, data, &error);
    if (failed) return fail_arrow(err, failed, &error, "the schema");
    if (decoder->decoder.message_type != NANOARROW_IPC_MESSAGE_TYPE_SCHEMA ||
        decoder->decoder.endianness != NANOARROW_IPC_ENDIANNESS_LITTLE)
        return ap_fail(err, APIARY_CORRUPT,
            "the schema of a chamber is not in order: it is of another kind or byte order");
    failed = ArrowIpcDecoderDecodeSchema(&decoder->decoder, &decoder->schema, &error);
    if (failed) return fail_arrow(err, failed, &error, "the schema");
    AP_TRY(check_type(&decoder->schema, err));
    failed = ArrowIpcDecoderSetSchema(&decoder->decoder, &decoder->schema, &error);
    if (!failed)
        failed = ArrowIpcDecoderSetEndianness(&decoder->decoder, NANOARROW_IPC_ENDIANNESS_LITTLE);
    return failed ? fail_arrow(err, failed, &error, "the schema") : APIARY_OK;
}

enum apiary_code ap_batch_decoder_new(
    struct ap_str message, struct ap_batch_decoder **out, struct apiary_error *err)
{
    struct ap_batch_decoder *decoder = ap_calloc(1, sizeof *decoder);
    /* The flatbuffer's reader wants 8-aligned bytes, a message's body promises nothing. */
    void *aligned = ap_realloc(NULL, message.size + 1);
    if (!decoder || !aligned) {
        ap_free(decoder);
        ap_free(aligned);
        return ap_fail_memory(err, "an Arrow decoder");
    }
    memcpy(aligned, message.data, message.size);
    enum apiary_code code = open_schema(decoder, (struct ap_str) { aligned, message.size }, err);
    ap_free(aligned);
    if (code != APIARY_OK) {
        ap_batch_decoder_free(decoder);
        return code;
    }
    *out = decoder;
    return APIARY_OK;
}

void ap_batch_decoder_free(struct ap_batch_decoder *decoder)
{
    if (!decoder) return;
    if (decoder->decoder_ready) ArrowIpcDecoderReset(&decoder->decoder);
    if (decoder->schema.release) ArrowSchemaRelease(&decoder->schema);
    ap_free(decoder);
}

const struct ArrowSchema *ap_batch_decoder_schema(const struct ap_batch_decoder *decoder)
{
    return &decoder->schema;
}

/* ---- batch ---- */

/* Readers follow a null count to the bitmap without looking whether there is one. */
static enum apiary_code check_bitmaps(
    const struct ArrowSchema *schema, const struct ArrowArray *array, struct apiary_error *err)
{
    struct ArrowSchemaView view;
    if (ArrowSchemaViewInit(&view, schema, NULL) != NANOARROW_OK)
        return ap_fail(err, APIARY_INTERNAL, "a schema was in order and is not any more");
    bool bitmap = view.layout.buffer_type[0] == NANOARROW_BUFFER_TYPE_VALIDITY;
    if (bitmap && array->null_count != 0 && (array->n_buffers < 1 || !array->buffers[0]))
        return ap_fail(err, APIARY_CORRUPT,
            "a batch of a chamber is not in order: column %s has nulls and no bitmap",
            schema->name ? schema->name : "");
    for (int64_t i = 0; i < array->n_children; i++)
        AP_TRY(check_bitmaps(schema->children[i], array->children[i], err));
    return APIARY_OK;
}

/* ---- the memory's owner ---- */

static void release_mapping(struct ArrowBufferAllocator *allocator, uint8_t *data, int64_t size)
{
    (void)data, (void)size;
    struct ap_batch_memory *memory = allocator->private_data;
    memory->release(memory->context, memory->data, memory->size);
    ap_free(memory);
}

/* The memory as a counted buffer. On failure it is released. */
static enum apiary_code own(
    const struct ap_batch_memory *memory, struct ArrowBuffer *shared, struct apiary_error *err)
{
    struct ap_batch_memory *copy = ap_calloc(1, sizeof *copy);
    if (!copy) {
        memory->release(memory->context, memory->data, memory->size);
        return ap_fail_memory(err, "a batch");
    }
    *copy = *memory;
    struct ArrowBuffer plain;
    ArrowBufferInit(&plain);
    plain.data = (uint8_t *)(uintptr_t)memory->data;
    plain.size_bytes = plain.capacity_bytes = (int64_t)memory->size;
    plain.allocator = ArrowBufferDeallocator(release_mapping, copy);
    if (ArrowSharedBufferInit(shared, &plain) != NANOARROW_OK) {
        ArrowBufferReset(&plain);
        return ap_fail_memory(err, "a batch");
    }
    return APIARY_OK;
}

static enum apiary_code decode(struct ap_batch_decoder *decoder, struct ArrowBuffer *shared,
    struct ArrowArray *out, struct apiary_error *err)
{
    struct ArrowError error = { { 0 } };
    struct ArrowBufferView data = { .data.data = shared->data, .size_bytes = shared->size_bytes };
    size_t body_at = 0;
    AP_TRY(ap_ipc_check_batch(
        (struct ap_str) { (const char *)shared->data, (size_t)shared->size_bytes }, &body_at, err));
    int failed = ArrowIpcDecoderVerifyHeader(&decoder->decoder, data, &error);
    if (!failed) failed = ArrowIpcDecoderDecodeHeader(&decoder->decoder, data, &error);
    if (failed) return fail_arrow(err, failed, &error, "a batch");

    struct ArrowBuffer body;
    if (ArrowSharedBufferClone(shared, &body) != NANOARROW_OK)
        return ap_fail_memory(err, "a batch");
    body.data += body_at;
    body.size_bytes -= (int64_t)body_at;
    struct ArrowArray array = { 0 };
    failed = ArrowIpcDecoderDecodeArrayFromShared(
        &decoder->decoder, &body, -1, &array, NANOARROW_VALIDATION_LEVEL_FULL, &error);
    ArrowBufferReset(&body);
    if (failed || !array.release) return fail_arrow(err, failed, &error, "a batch");
    enum apiary_code code = check_bitmaps(&decoder->schema, &array, err);
    if (code != APIARY_OK) {
        ArrowArrayRelease(&array);
        return code;
    }
    *out = array;
    return APIARY_OK;
}

enum apiary_code ap_batch_decode(struct ap_batch_decoder *decoder,
    const struct ap_batch_memory *memory, struct ArrowArray *out, struct apiary_error *err)
{
    if (memory->size < 8 || (uintptr_t)memory->data % 8 != 0) {
        memory->release(memory->context, memory->data, memory->size);
        return ap_fail(err, APIARY_CORRUPT,
            "a batch of a chamber is not in order: it has %zu bytes", memory->size);
    }
    struct ArrowBuffer shared;
    AP_TRY(own(memory, &shared, err));
    enum apiary_code code = decode(decoder, &shared, out, err);
    ArrowBufferReset(&shared);
    /* What a failed decode left half-built in the decoder lets go of the memory too. */
    if (code != APIARY_OK) {
        struct ArrowError ignored;
        int failed = ArrowIpcDecoderSetSchema(&decoder->decoder, &decoder->schema, &ignored);
        (void)failed;
    }
    return code;
}
