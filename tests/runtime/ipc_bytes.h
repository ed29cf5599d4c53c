/* Arrow IPC messages for the fake chamber and the decoder's tests: a table of an int32 `a`
 * and a string `b`, row i being (first + i, "row N") with every seventh b null. */
#ifndef AP_TEST_IPC_BYTES_H
#define AP_TEST_IPC_BYTES_H

#include <nanoarrow/nanoarrow_ipc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IPC_MUST(call)                                                                             \
    do {                                                                                           \
        if ((call) != NANOARROW_OK) abort();                                                       \
    } while (0)

static inline void ipc_schema(struct ArrowSchema *schema)
{
    ArrowSchemaInit(schema);
    IPC_MUST(ArrowSchemaSetTypeStruct(schema, 2));
    IPC_MUST(ArrowSchemaSetType(schema->children[0], NANOARROW_TYPE_INT32));
    IPC_MUST(ArrowSchemaSetName(schema->children[0], "a"));
    IPC_MUST(ArrowSchemaSetType(schema->children[1], NANOARROW_TYPE_STRING));
    IPC_MUST(ArrowSchemaSetName(schema->children[1], "b"));
}

static inline void ipc_array(
    const struct ArrowSchema *schema, int first, int rows, struct ArrowArray *array)
{
    IPC_MUST(ArrowArrayInitFromSchema(array, schema, NULL));
    IPC_MUST(ArrowArrayStartAppending(array));
    for (int i = 0; i < rows; i++) {
        char text[32];
        snprintf(text, sizeof text, "row %d", first + i);
        IPC_MUST(ArrowArrayAppendInt(array->children[0], first + i));
        if (i % 7 == 6)
            IPC_MUST(ArrowArrayAppendNull(array->children[1], 1));
        else
            IPC_MUST(ArrowArrayAppendString(array->children[1], ArrowCharView(text)));
        IPC_MUST(ArrowArrayFinishElement(array));
    }
    IPC_MUST(ArrowArrayFinishBuildingDefault(array, NULL));
}

static inline void ipc_schema_message(struct ArrowBuffer *out)
{
    struct ArrowSchema schema;
    struct ArrowIpcEncoder encoder;
    ipc_schema(&schema);
    ArrowBufferInit(out);
    IPC_MUST(ArrowIpcEncoderInit(&encoder));
    IPC_MUST(ArrowIpcEncoderEncodeSchema(&encoder, &schema, NULL));
    IPC_MUST(ArrowIpcEncoderFinalizeBuffer(&encoder, 1, out));
    ArrowIpcEncoderReset(&encoder);
    ArrowSchemaRelease(&schema);
}

/* header: bytes of the message before its body; b_offsets: where b's offsets begin. */
static inline void ipc_batch_message(
    int first, int rows, struct ArrowBuffer *out, int64_t *header, int64_t *b_offsets)
{
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowArrayView view;
    struct ArrowIpcEncoder encoder;
    struct ArrowBuffer body;
    ipc_schema(&schema);
    ipc_array(&schema, first, rows, &array);
    ArrowBufferInit(out);
    ArrowBufferInit(&body);
    IPC_MUST(ArrowArrayViewInitFromSchema(&view, &schema, NULL));
    IPC_MUST(ArrowArrayViewSetArray(&view, &array, NULL));
    IPC_MUST(ArrowIpcEncoderInit(&encoder));
    IPC_MUST(ArrowIpcEncoderEncodeSimpleRecordBatch(&encoder, &view, &body, NULL));
    IPC_MUST(ArrowIpcEncoderFinalizeBuffer(&encoder, 1, out));
    *header = out->size_bytes;
    /* Body: a's data, b's bitmap when there are nulls, b's offsets: each padded to 8. */
    int64_t at = (rows * 4 + 7) / 8 * 8;
    if (rows >= 7) at += ((rows + 7) / 8 + 7) / 8 * 8;
    *b_offsets = *header + at;
    IPC_MUST(ArrowBufferAppend(out, body.data, body.size_bytes));
    ArrowBufferReset(&body);
    ArrowIpcEncoderReset(&encoder);
    ArrowArrayViewReset(&view);
    ArrowArrayRelease(&array);
    ArrowSchemaRelease(&schema);
}

#endif
