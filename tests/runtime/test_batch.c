/* Schema and batch messages with every byte broken in turn: refused, or arrays in order. The
 * fuzzer (fuzz/fuzz_ipc_batch.c) reads the arrays through; here sanitizers watch the decoder. */
#include "apiary_test.h"
#include "ipc_bytes.h"

#include "core/alloc.h"
#include "runtime/batch.h"
#include "runtime/ipc_check.h"

enum { ROWS = 20 };

static void release(void *context, const void *data, size_t size)
{
    (void)size;
    ++*(int *)context;
    ap_free((void *)(uintptr_t)data);
}

static enum apiary_code decode(struct ap_batch_decoder *decoder, const struct ArrowBuffer *batch,
    struct ArrowArray *out, struct apiary_error *err)
{
    int released = 0;
    void *copy = ap_realloc(NULL, (size_t)batch->size_bytes);
    memcpy(copy, batch->data, (size_t)batch->size_bytes);
    struct ap_batch_memory memory = { copy, (size_t)batch->size_bytes, release, &released };
    enum apiary_code code = ap_batch_decode(decoder, &memory, out, err);
    if (code == APIARY_OK) {
        assert_int_equal(released, 0);
        out->release(out);
    }
    return code;
}

static void broken_batches(void **state)
{
    (void)state;
    static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    struct ArrowBuffer schema, batch;
    struct ap_batch_decoder *decoder = NULL;
    struct apiary_error err = { 0 };
    int64_t header, offsets, refused = 0;
    ipc_schema_message(&schema);
    ipc_batch_message(0, ROWS, &batch, &header, &offsets);
    assert_ok(ap_batch_decoder_new(
        (struct ap_str) { (const char *)schema.data, (size_t)schema.size_bytes }, &decoder, &err));
    for (int64_t at = 0; at < batch.size_bytes; at++) {
        for (size_t v = 0; v < AP_COUNT(values); v++) {
            struct ArrowArray array = { 0 };
            uint8_t before = batch.data[at];
            batch.data[at] = values[v];
            enum apiary_code code = decode(decoder, &batch, &array, &err);
            batch.data[at] = before;
            assert_true(code == APIARY_OK || code == APIARY_CORRUPT);
            refused += code != APIARY_OK;
        }
    }
    assert_true(refused > header); /* most bytes of a header matter */
    for (int64_t size = 8; size < batch.size_bytes; size += 4) {
        struct ArrowArray array = { 0 };
        struct ArrowBuffer cut = batch;
        cut.size_bytes = size;
        if (size < offsets + ROWS * 4)
            assert_code(decode(decoder, &cut, &array, &err), APIARY_CORRUPT);
    }
    struct ArrowArray array = { 0 };
    assert_ok(decode(decoder, &batch, &array, &err)); /* the decoder is as good as new */
    ap_batch_decoder_free(decoder);
    ArrowBufferReset(&schema);
    ArrowBufferReset(&batch);
}

/* Every byte, and every pair of bytes to zero: a reference that is not there any more. */
static void broken_schemas(void **state)
{
    (void)state;
    struct ArrowBuffer schema;
    int opened = 0, refused = 0;
    ipc_schema_message(&schema);
    for (int64_t at = 0; at < schema.size_bytes; at++) {
        for (int value = -1; value < 256; value += 17) {
            uint8_t *copy = ap_realloc(NULL, (size_t)schema.size_bytes);
            struct ap_batch_decoder *decoder = NULL;
            struct apiary_error err = { 0 };
            memcpy(copy, schema.data, (size_t)schema.size_bytes);
            copy[at] = (uint8_t)(value < 0 ? 0 : value);
            if (value < 0 && at + 1 < schema.size_bytes) copy[at + 1] = 0;
            if (ap_batch_decoder_new(
                    (struct ap_str) { (const char *)copy, (size_t)schema.size_bytes }, &decoder,
                    &err) == APIARY_OK)
                opened++;
            else
                refused++, assert_true(err.message[0]);
            ap_batch_decoder_free(decoder);
            ap_free(copy);
        }
    }
    assert_true(opened > 0 && refused > 0);
    ArrowBufferReset(&schema);
}

/* ---- a schema that is no tree ---- */

struct writer {
    uint8_t bytes[8192];
    size_t size;
};

static size_t put(struct writer *w, uint32_t value, size_t width)
{
    size_t at = w->size;
    memcpy(w->bytes + at, &value, width);
    w->size += width;
    return at;
}

static void refer(struct writer *w, size_t from, size_t to)
{
    uint32_t distance = (uint32_t)(to - from);
    memcpy(w->bytes + from, &distance, sizeof distance);
}

/* A vtable of `count` entries and the table behind it; entry i is at[i] (0: not there). */
static size_t table(struct writer *w, int count, const uint16_t *at, uint16_t size)
{
    while (w->size % 8) put(w, 0, 1);
    size_t vtable = put(w, 4 + 2 * (uint32_t)count, 2);
    put(w, size, 2);
    for (int i = 0; i < count; i++) put(w, at[i], 2);
    while (w->size % 8) put(w, 0, 1);
    size_t begin = w->size;
    put(w, (uint32_t)(begin - vtable), 4);
    while (w->size < begin + size) put(w, 0, 1);
    return begin;
}

/* `depth` struct fields, each with the next one as its first and its second child. */
static size_t bomb(struct writer *w, int depth)
{
    memset(w, 0, sizeof *w);
    put(w, UINT32_MAX, 4);
    put(w, 0, 4);
    size_t root = put(w, 0, 4);
    size_t message =
        table(w, 3, (const uint16_t[]) { 4, 6, 8 }, 12); /* version, header type, header */
    refer(w, root, message);
    w->bytes[message + 4] = 4;
    w->bytes[message + 6] = 1;
    size_t schema = table(w, 2, (const uint16_t[]) { 0, 4 }, 8);
    refer(w, message + 8, schema);
    size_t list = schema + 4;
    for (int i = 0; i < depth; i++) {
        size_t fields = put(w, 2, 4);
        refer(w, list, fields);
        put(w, 0, 4);
        put(w, 0, 4);
        size_t field = table(
            w, 6, (const uint16_t[]) { 0, 0, 12, 4, 0, 8 }, 16); /* type kind, type, children */
        refer(w, fields + 4, field);
        refer(w, fields + 8, field);
        w->bytes[field + 12] = 13; /* Struct_ */
        size_t type = table(w, 0, NULL, 4);
        refer(w, field + 4, type);
        list = field + 8;
    }
    size_t none = put(w, 0, 4);
    refer(w, list, none);
    while (w->size % 8) put(w, 0, 1);
    uint32_t size = (uint32_t)w->size - 8;
    memcpy(w->bytes + 4, &size, sizeof size);
    return w->size;
}

static void no_tree(void **state)
{
    (void)state;
    static struct writer w;
    struct apiary_error err = { 0 };
    struct ap_batch_decoder *decoder = NULL;
    size_t size = bomb(&w, 3);
    assert_ok(ap_ipc_check_schema((struct ap_str) { (const char *)w.bytes, size },
        &err)); /* 14 fields: what is built is valid */
    size = bomb(&w, 50);
    assert_code(
        ap_batch_decoder_new((struct ap_str) { (const char *)w.bytes, size }, &decoder, &err),
        APIARY_LIMIT);
    assert_non_null(strstr(err.message, "more than 100000 columns"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(broken_batches),
        cmocka_unit_test(broken_schemas), cmocka_unit_test(no_tree) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
