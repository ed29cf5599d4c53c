/* Arrow IPC messages of a chamber, decoded without copying and without trust.
 *
 * A decoder is bound to one schema. Everything that a later reader of the arrays follows is
 * checked first: buffers lie inside the message, offsets rise and stay inside their data,
 * type ids exist, null counts have their bitmaps, lengths fit. Text is not checked to be
 * UTF-8 (an engine that breaks it gives wrong text, not wrong memory).
 *
 * Not thread-safe. The arrays are independent of the decoder, of each other, and of threads. */
#ifndef AP_RUNTIME_BATCH_H
#define AP_RUNTIME_BATCH_H

#include "core/str.h"

struct ap_batch_decoder;

/* From a SCHEMA message's body. CORRUPT, UNSUPPORTED (a type that engines do not send). */
AP_CHECKED enum apiary_code ap_batch_decoder_new(
    struct ap_str message, struct ap_batch_decoder **out, struct apiary_error *err);
void ap_batch_decoder_free(struct ap_batch_decoder *decoder);
const struct ArrowSchema *ap_batch_decoder_schema(const struct ap_batch_decoder *decoder);

/* Memory that holds one record batch message. */
struct ap_batch_memory {
    const void *data; /* at least 8-aligned, and constant: nobody else may write it */
    size_t size;
    /* Called once, from any thread, when no array needs the memory any more; also when
     * decoding fails. */
    void (*release)(void *context, const void *data, size_t size);
    void *context;
};
/* out is a struct array whose buffers point into the memory. CORRUPT or MEMORY. */
AP_CHECKED enum apiary_code ap_batch_decode(struct ap_batch_decoder *decoder,
    const struct ap_batch_memory *memory, struct ArrowArray *out, struct apiary_error *err);

#endif
