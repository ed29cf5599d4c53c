/* Arrow messages of a chamber: any bytes are refused, or give arrays that can be read to the
 * last byte. Input: 4 bytes little-endian size of the schema message, the schema message, the
 * batch message. */
#include "core/alloc.h"
#include "runtime/batch.h"

#include <nanoarrow/nanoarrow.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_READ_MAX = 5000 };
static volatile uint64_t sink; /* reads are not to be optimised away */

static void touch(const uint8_t *data, int64_t from, int64_t to)
{
    uint64_t sum = 0;
    for (int64_t i = from; i < to; i++) sum += data[i];
    sink += sum;
}

/* Reads items [from, from + count) as a reader would who believes the array. */
static void read_items(
    const struct ArrowSchema *schema, const struct ArrowArray *array, int64_t from, int64_t count)
{
    struct ArrowSchemaView view;
    ap_assert(ArrowSchemaViewInit(&view, schema, NULL) == NANOARROW_OK);
    ap_assert(from >= 0 && count >= 0 && from + count <= array->length && array->offset == 0);
    if (count > ROWS_READ_MAX) count = ROWS_READ_MAX;
    if (!count) return;
    if (view.layout.buffer_type[0] == NANOARROW_BUFFER_TYPE_VALIDITY) {
        if (array->null_count != 0) ap_assert(array->buffers[0]);
        if (array->buffers[0]) touch(array->buffers[0], from / 8, (from + count + 7) / 8);
    }
    int64_t width = view.layout.element_size_bits[1] / 8;
    switch (view.storage_type) {
        case NANOARROW_TYPE_NA: return;
        case NANOARROW_TYPE_SPARSE_UNION: {
            const int8_t *ids = array->buffers[0];
            for (int64_t i = from; i < from + count; i++) {
                ap_assert(ids[i] >= 0);
                sink += (uint64_t)ids[i];
            }
        }
            __attribute__((fallthrough));
        case NANOARROW_TYPE_STRUCT:
            for (int64_t i = 0; i < array->n_children; i++)
                read_items(schema->children[i], array->children[i], from, count);
            return;
        case NANOARROW_TYPE_FIXED_SIZE_LIST:
            read_items(schema->children[0], array->children[0], from * view.fixed_size,
                count * view.fixed_size);
            return;
        case NANOARROW_TYPE_BOOL:
            touch(array->buffers[1], from / 8, (from + count + 7) / 8);
            return;
        default: break;
    }
    if (view.layout.buffer_type[1] != NANOARROW_BUFFER_TYPE_DATA_OFFSET) {
        touch(array->buffers[1], from * width, (from + count) * width);
        return;
    }
    for (int64_t i = from; i < from + count; i++) {
        int64_t a = width == 4 ? ((const int32_t *)array->buffers[1])[i]
                               : ((const int64_t *)array->buffers[1])[i];
        int64_t b = width == 4 ? ((const int32_t *)array->buffers[1])[i + 1]
                               : ((const int64_t *)array->buffers[1])[i + 1];
        if (array->n_children)
            read_items(schema->children[0], array->children[0], a, b - a);
        else
            touch(array->buffers[2], a, b);
    }
}

static void release(void *context, const void *data, size_t size)
{
    (void)size;
    ++*(int *)context;
    ap_free((void *)(uintptr_t)data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t schema_size;
    struct apiary_error err = { 0 };
    struct ap_batch_decoder *decoder = NULL;
    if (size < sizeof schema_size) return 0;
    memcpy(&schema_size, data, sizeof schema_size);
    data += sizeof schema_size;
    size -= sizeof schema_size;
    if (schema_size > size) return 0;
    if (ap_batch_decoder_new((struct ap_str) { (const char *)data, schema_size }, &decoder, &err) !=
        APIARY_OK) {
        ap_assert(err.message[0]);
        return 0;
    }
    for (int round = 0; round < 2; round++) { /* a decoder lives on after a bad batch */
        int released = 0;
        size_t batch_size = size - schema_size;
        void *copy = ap_realloc(NULL, batch_size ? batch_size : 1);
        ap_assert(copy);
        memcpy(copy, data + schema_size, batch_size);
        struct ap_batch_memory memory = { copy, batch_size, release, &released };
        struct ArrowArray array = { 0 };
        if (ap_batch_decode(decoder, &memory, &array, &err) == APIARY_OK) {
            ap_assert(array.release);
            read_items(ap_batch_decoder_schema(decoder), &array, 0, array.length);
            array.release(&array);
        } else {
            ap_assert(!array.release && err.message[0]);
        }
        ap_assert(released <= 1);
        if (round == 1) ap_batch_decoder_free(decoder);
        ap_assert(released == 1);
    }
    return 0;
}
