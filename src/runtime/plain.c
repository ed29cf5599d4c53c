/* Copying arrays of any layout into plain ones.
 *
 * One recursion over (target, source, range). Every leaf adds the source's own offset, so a
 * slice of a slice of a struct needs nothing special. The source is a view that nanoarrow has
 * validated in full (ArrowArrayViewValidate): offsets and indices are in range. */
#include "runtime/plain.h"

#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>

#include <inttypes.h>
#include <stdio.h>

#define OFFSET32_MAX INT64_C(0x7fffffff)

static enum apiary_code no_memory(struct apiary_error *err)
{
    return ap_fail_memory(err, "an Arrow input");
}

/* nanoarrow's appends fail for want of memory only. */
#define TRY_ARROW(call)                                                                            \
    do {                                                                                           \
        if ((call) != NANOARROW_OK) return no_memory(err);                                         \
    } while (0)

/* ---- schema ---- */

static enum apiary_code plain_schema(
    const struct ArrowSchema *source, struct ArrowSchema *out, int depth, struct apiary_error *err);

static enum apiary_code plain_children(
    const struct ArrowSchema *source, struct ArrowSchema *out, int depth, struct apiary_error *err)
{
    if (!source->n_children) return APIARY_OK;
    TRY_ARROW(ArrowSchemaAllocateChildren(out, source->n_children));
    for (int64_t i = 0; i < source->n_children; i++)
        AP_TRY(plain_schema(source->children[i], out->children[i], depth + 1, err));
    return APIARY_OK;
}

enum { DECIMAL_DIGITS_MAX = 38 }; /* of the engine */

/* `room` holds a format that has to be made. NULL: the engine has no such type. */
static const char *plain_format(
    const struct ArrowSchemaView *view, const char *format, char room[24])
{
    switch (view->storage_type) {
        case NANOARROW_TYPE_HALF_FLOAT: return "f";
        case NANOARROW_TYPE_DECIMAL256:
            if (view->decimal_precision > DECIMAL_DIGITS_MAX) return NULL;
            snprintf(room, 24, "d:%d,%d", (int)view->decimal_precision, (int)view->decimal_scale);
            return room;
        case NANOARROW_TYPE_STRING_VIEW: return "u";
        case NANOARROW_TYPE_BINARY_VIEW: return "z";
        case NANOARROW_TYPE_LIST_VIEW: return "+l";
        case NANOARROW_TYPE_LARGE_LIST_VIEW: return "+L";
        default: return format;
    }
}

/* On failure *out is released by the outermost caller. */
static enum apiary_code plain_schema(
    const struct ArrowSchema *source, struct ArrowSchema *out, int depth, struct apiary_error *err)
{
    const char *name = source->name ? source->name : "";
    ArrowSchemaInit(out);
    if (depth > AP_PLAIN_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT, "column %s is nested deeper than %d levels", name,
            AP_PLAIN_DEPTH_MAX);
    /* A dictionary's column is its values under the column's own name. */
    const struct ArrowSchema *values = source->dictionary ? source->dictionary : source;
    if (values->dictionary)
        return ap_fail(err, APIARY_UNSUPPORTED, "column %s is a dictionary of dictionaries", name);
    struct ArrowSchemaView view;
    struct ArrowError error = { { 0 } };
    if (ArrowSchemaViewInit(&view, values, &error) != NANOARROW_OK)
        return ap_fail(err, APIARY_INVALID, "column %s: %s", name, error.message);
    if (view.storage_type == NANOARROW_TYPE_RUN_END_ENCODED)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "column %s is run-end encoded, which is not supported; decode it first", name);
    if (view.storage_type == NANOARROW_TYPE_DENSE_UNION)
        return ap_fail(
            err, APIARY_UNSUPPORTED, "column %s is a dense union, which is not supported", name);
    char room[24];
    const char *format = plain_format(&view, values->format, room);
    if (!format)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "column %s is a decimal of %d digits; at most %d are supported", name,
            (int)view.decimal_precision, DECIMAL_DIGITS_MAX);
    TRY_ARROW(ArrowSchemaSetFormat(out, format));
    TRY_ARROW(ArrowSchemaSetName(out, name));
    const char *metadata = source->metadata ? source->metadata : values->metadata;
    if (metadata) TRY_ARROW(ArrowSchemaSetMetadata(out, metadata));
    out->flags = (source->flags | values->flags) & ~(int64_t)ARROW_FLAG_DICTIONARY_ORDERED;
    return plain_children(values, out, depth, err);
}

enum apiary_code ap_plain_schema(
    const struct ArrowSchema *source, struct ArrowSchema *out, struct apiary_error *err)
{
    if (!source->format || strcmp(source->format, "+s") != 0)
        return ap_fail(err, APIARY_INVALID,
            "the input is no table: its Arrow type is '%s', not a struct of columns",
            source->format ? source->format : "");
    struct ArrowSchema made = { 0 };
    enum apiary_code code = plain_schema(source, &made, 0, err);
    if (code != APIARY_OK) {
        if (made.release) ArrowSchemaRelease(&made);
        return code;
    }
    *out = made;
    return APIARY_OK;
}

/* ---- bits ---- */

/* Appends `count` bits of `source` from bit `start` to a bitmap that holds `before` bits. */
static enum apiary_code append_bits(struct ArrowBuffer *target, int64_t before,
    const uint8_t *source, int64_t start, int64_t count, struct apiary_error *err)
{
    int64_t size = (before + count + 7) / 8;
    if (size > target->size_bytes)
        TRY_ARROW(ArrowBufferAppendFill(target, 0, size - target->size_bytes));
    int64_t done = 0;
    if (before % 8 == 0 && start % 8 == 0) {
        memcpy(target->data + before / 8, source + start / 8, (size_t)(count / 8));
        done = count - count % 8;
    }
    for (; done < count; done++)
        ArrowBitSetTo(target->data, before + done, (uint8_t)ArrowBitGet(source, start + done));
    return APIARY_OK;
}

static enum apiary_code append_same_bits(struct ArrowBuffer *target, int64_t before, uint8_t value,
    int64_t count, struct apiary_error *err)
{
    int64_t size = (before + count + 7) / 8;
    if (size > target->size_bytes)
        TRY_ARROW(ArrowBufferAppendFill(target, 0, size - target->size_bytes));
    ArrowBitsSetTo(target->data, before, count, value);
    return APIARY_OK;
}

/* The bitmap that says which items are valid is made when the first null comes. */
static enum apiary_code need_bitmap(struct ArrowArray *target, struct apiary_error *err)
{
    struct ArrowBitmap *bitmap = ArrowArrayValidityBitmap(target);
    if (bitmap->buffer.size_bytes || target->length == 0) return APIARY_OK;
    AP_TRY(append_same_bits(&bitmap->buffer, 0, 1, target->length, err));
    bitmap->size_bits = target->length;
    return APIARY_OK;
}

static enum apiary_code append_validity(struct ArrowArray *target, const uint8_t *source,
    int64_t start, int64_t count, struct apiary_error *err)
{
    struct ArrowBitmap *bitmap = ArrowArrayValidityBitmap(target);
    int64_t nulls = source ? count - ArrowBitCountSet(source, start, count) : 0;
    if (nulls == 0 && !bitmap->buffer.size_bytes) return APIARY_OK;
    AP_TRY(need_bitmap(target, err));
    if (source)
        AP_TRY(append_bits(&bitmap->buffer, target->length, source, start, count, err));
    else
        AP_TRY(append_same_bits(&bitmap->buffer, target->length, 1, count, err));
    bitmap->size_bits = target->length + count;
    target->null_count += nulls;
    return APIARY_OK;
}

/* ---- empty items, null or not ---- */

static const struct ArrowArrayPrivateData *inside(const struct ArrowArray *target)
{
    return target->private_data;
}

static enum apiary_code repeat_offset(
    struct ArrowArray *target, int64_t width, int64_t count, struct apiary_error *err)
{
    struct ArrowBuffer *offsets = ArrowArrayBuffer(target, 1);
    TRY_ARROW(ArrowBufferReserve(offsets, width * count));
    for (int64_t i = 0; i < count; i++)
        ArrowBufferAppendUnsafe(offsets, offsets->data + offsets->size_bytes - width, width);
    return APIARY_OK;
}

static enum apiary_code append_empty(
    struct ArrowArray *target, int64_t count, bool null, struct apiary_error *err)
{
    const struct ArrowLayout *layout = &inside(target)->layout;
    enum ArrowType type = inside(target)->storage_type;
    if (type == NANOARROW_TYPE_NA) {
        target->length += count;
        target->null_count += count;
        return APIARY_OK;
    }
    if (type == NANOARROW_TYPE_SPARSE_UNION) {
        /* A union has no nulls of its own: its first child's stand for them. */
        TRY_ARROW(ArrowBufferAppendFill(ArrowArrayBuffer(target, 0), 0, count));
        for (int64_t i = 0; i < target->n_children; i++)
            AP_TRY(append_empty(target->children[i], count, null && i == 0, err));
        target->length += count;
        return APIARY_OK;
    }
    struct ArrowBitmap *bitmap = ArrowArrayValidityBitmap(target);
    if (null) AP_TRY(need_bitmap(target, err));
    if (null || bitmap->buffer.size_bytes) {
        AP_TRY(append_same_bits(&bitmap->buffer, target->length, !null, count, err));
        bitmap->size_bits = target->length + count;
    }
    int64_t bits = layout->element_size_bits[1];
    if (layout->buffer_type[1] == NANOARROW_BUFFER_TYPE_DATA_OFFSET)
        AP_TRY(repeat_offset(target, bits / 8, count, err));
    else if (layout->buffer_type[1] == NANOARROW_BUFFER_TYPE_DATA && bits == 1)
        AP_TRY(append_same_bits(ArrowArrayBuffer(target, 1), target->length, 0, count, err));
    else if (layout->buffer_type[1] == NANOARROW_BUFFER_TYPE_DATA)
        TRY_ARROW(ArrowBufferAppendFill(ArrowArrayBuffer(target, 1), 0, bits / 8 * count));
    if (type == NANOARROW_TYPE_STRUCT)
        for (int64_t i = 0; i < target->n_children; i++)
            AP_TRY(append_empty(target->children[i], count, false, err));
    if (type == NANOARROW_TYPE_FIXED_SIZE_LIST)
        AP_TRY(append_empty(target->children[0], count * layout->child_size_elements, false, err));
    target->length += count;
    if (null) target->null_count += count;
    return APIARY_OK;
}

/* ---- items ---- */

/* Appends offsets that continue the target's: rise[i] = source offset i + 1 − source offset 0. */
static enum apiary_code append_offsets(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t at, int64_t count, int64_t *first, int64_t *total,
    struct apiary_error *err)
{
    struct ArrowBuffer *offsets = ArrowArrayBuffer(target, 1);
    if (source->layout.element_size_bits[1] == 32) {
        const int32_t *from = source->buffer_views[1].data.as_int32 + at;
        int32_t last;
        memcpy(&last, offsets->data + offsets->size_bytes - (int64_t)sizeof last, sizeof last);
        *first = from[0];
        *total = (int64_t)from[count] - from[0];
        if (*total > OFFSET32_MAX - last)
            return ap_fail(
                err, APIARY_LIMIT, "an input's batch holds more than 2 GiB of one column");
        TRY_ARROW(ArrowBufferReserve(offsets, count * (int64_t)sizeof last));
        for (int64_t i = 1; i <= count; i++) {
            int32_t next = last + (from[i] - from[0]);
            ArrowBufferAppendUnsafe(offsets, &next, sizeof next);
        }
    } else {
        const int64_t *from = source->buffer_views[1].data.as_int64 + at;
        int64_t last;
        memcpy(&last, offsets->data + offsets->size_bytes - (int64_t)sizeof last, sizeof last);
        *first = from[0];
        *total = from[count] - from[0];
        TRY_ARROW(ArrowBufferReserve(offsets, count * (int64_t)sizeof last));
        for (int64_t i = 1; i <= count; i++) {
            int64_t next = last + (from[i] - from[0]);
            ArrowBufferAppendUnsafe(offsets, &next, sizeof next);
        }
    }
    return APIARY_OK;
}

/* One more item of `size` at the end of a string, binary or list. */
static enum apiary_code append_offset(
    struct ArrowArray *target, int64_t size, struct apiary_error *err)
{
    struct ArrowBuffer *offsets = ArrowArrayBuffer(target, 1);
    if (inside(target)->layout.element_size_bits[1] == 32) {
        int32_t last;
        memcpy(&last, offsets->data + offsets->size_bytes - (int64_t)sizeof last, sizeof last);
        if (size > OFFSET32_MAX - last)
            return ap_fail(
                err, APIARY_LIMIT, "an input's batch holds more than 2 GiB of one column");
        TRY_ARROW(ArrowBufferAppendInt32(offsets, last + (int32_t)size));
    } else {
        int64_t last;
        memcpy(&last, offsets->data + offsets->size_bytes - (int64_t)sizeof last, sizeof last);
        TRY_ARROW(ArrowBufferAppendInt64(offsets, last + size));
    }
    return APIARY_OK;
}

static enum apiary_code append_views(struct ArrowArray *target, const struct ArrowArrayView *source,
    int64_t start, int64_t count, struct apiary_error *err)
{
    for (int64_t i = start; i < start + count; i++) {
        struct ArrowBufferView bytes = { 0 };
        if (!ArrowArrayViewIsNull(source, i)) bytes = ArrowArrayViewGetBytesUnsafe(source, i);
        AP_TRY(append_offset(target, bytes.size_bytes, err));
        if (bytes.size_bytes)
            TRY_ARROW(
                ArrowBufferAppend(ArrowArrayBuffer(target, 2), bytes.data.data, bytes.size_bytes));
    }
    return APIARY_OK;
}

static enum apiary_code append_list_views(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct apiary_error *err)
{
    for (int64_t i = start; i < start + count; i++) {
        int64_t at = source->offset + i, offset = 0, size = 0;
        if (ArrowArrayViewIsNull(source, i)) {
            size = 0;
        } else if (source->layout.element_size_bits[1] == 32) {
            offset = source->buffer_views[1].data.as_int32[at];
            size = source->buffer_views[2].data.as_int32[at];
        } else {
            offset = source->buffer_views[1].data.as_int64[at];
            size = source->buffer_views[2].data.as_int64[at];
        }
        AP_TRY(append_offset(target, size, err));
        if (size)
            AP_TRY(ap_plain_append(target->children[0], source->children[0], offset, size, err));
    }
    return APIARY_OK;
}

static enum apiary_code append_dictionary(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct apiary_error *err)
{
    const struct ArrowArrayView *values = source->dictionary;
    for (int64_t i = start; i < start + count; i++) {
        if (ArrowArrayViewIsNull(source, i)) {
            AP_TRY(append_empty(target, 1, true, err));
            continue;
        }
        int64_t index = ArrowArrayViewGetIntUnsafe(source, i);
        if (index < 0 || index >= values->length)
            return ap_fail(err, APIARY_INVALID,
                "an input's dictionary has %" PRId64 " values, a row asks for number %" PRId64,
                values->length, index);
        AP_TRY(ap_plain_append(target, values, index, 1, err));
    }
    return APIARY_OK;
}

static enum apiary_code append_fixed(struct ArrowArray *target, const struct ArrowArrayView *source,
    int64_t at, int64_t count, struct apiary_error *err)
{
    int64_t bits = source->layout.element_size_bits[1];
    const uint8_t *data = source->buffer_views[1].data.as_uint8;
    if (bits == 1)
        return append_bits(ArrowArrayBuffer(target, 1), target->length, data, at, count, err);
    int64_t width = bits / 8;
    if (width)
        TRY_ARROW(ArrowBufferAppend(ArrowArrayBuffer(target, 1), data + at * width, width * count));
    return APIARY_OK;
}

/* Half floats as floats: the engine has none. */
static enum apiary_code append_halves(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct apiary_error *err)
{
    struct ArrowBuffer *values = ArrowArrayBuffer(target, 1);
    TRY_ARROW(ArrowBufferReserve(values, count * (int64_t)sizeof(float)));
    for (int64_t i = start; i < start + count; i++) {
        float value = (float)ArrowArrayViewGetDoubleUnsafe(source, i);
        ArrowBufferAppendUnsafe(values, &value, sizeof value);
    }
    return APIARY_OK;
}

/* Decimals of 256 bits whose precision fits 128: the upper half only repeats the sign. */
static enum apiary_code append_halved(struct ArrowArray *target,
    const struct ArrowArrayView *source, int64_t start, int64_t count, struct apiary_error *err)
{
    enum { WIDE = 4 };
    struct ArrowBuffer *values = ArrowArrayBuffer(target, 1);
    TRY_ARROW(ArrowBufferReserve(values, count * 16));
    for (int64_t i = start; i < start + count; i++) {
        int64_t words[WIDE] = { 0 };
        if (!ArrowArrayViewIsNull(source, i))
            memcpy(words, source->buffer_views[1].data.as_uint8 + (source->offset + i) * 32,
                sizeof words);
        int64_t sign = words[1] < 0 ? -1 : 0;
        if (words[2] != sign || words[3] != sign)
            return ap_fail(
                err, APIARY_SCHEMA, "a decimal of an input has more digits than its type says");
        ArrowBufferAppendUnsafe(values, words, 16);
    }
    return APIARY_OK;
}

static enum apiary_code append_items(struct ArrowArray *target, const struct ArrowArrayView *source,
    int64_t start, int64_t count, struct apiary_error *err)
{
    int64_t at = source->offset + start, first = 0, total = 0;
    switch (source->storage_type) {
        case NANOARROW_TYPE_NA: return APIARY_OK;
        case NANOARROW_TYPE_STRING:
        case NANOARROW_TYPE_BINARY:
        case NANOARROW_TYPE_LARGE_STRING:
        case NANOARROW_TYPE_LARGE_BINARY:
            AP_TRY(append_offsets(target, source, at, count, &first, &total, err));
            if (total)
                TRY_ARROW(ArrowBufferAppend(ArrowArrayBuffer(target, 2),
                    source->buffer_views[2].data.as_uint8 + first, total));
            return APIARY_OK;
        case NANOARROW_TYPE_STRING_VIEW:
        case NANOARROW_TYPE_BINARY_VIEW: return append_views(target, source, start, count, err);
        case NANOARROW_TYPE_LIST:
        case NANOARROW_TYPE_LARGE_LIST:
        case NANOARROW_TYPE_MAP:
            AP_TRY(append_offsets(target, source, at, count, &first, &total, err));
            return total ? ap_plain_append(
                               target->children[0], source->children[0], first, total, err)
                         : APIARY_OK;
        case NANOARROW_TYPE_LIST_VIEW:
        case NANOARROW_TYPE_LARGE_LIST_VIEW:
            return append_list_views(target, source, start, count, err);
        case NANOARROW_TYPE_FIXED_SIZE_LIST: {
            int64_t items = source->layout.child_size_elements;
            return ap_plain_append(
                target->children[0], source->children[0], at * items, count * items, err);
        }
        case NANOARROW_TYPE_SPARSE_UNION:
            TRY_ARROW(ArrowBufferAppend(
                ArrowArrayBuffer(target, 0), source->buffer_views[0].data.as_int8 + at, count));
            __attribute__((fallthrough));
        case NANOARROW_TYPE_STRUCT:
            for (int64_t i = 0; i < source->n_children; i++)
                AP_TRY(ap_plain_append(target->children[i], source->children[i], at, count, err));
            return APIARY_OK;
        case NANOARROW_TYPE_HALF_FLOAT: return append_halves(target, source, start, count, err);
        case NANOARROW_TYPE_DECIMAL256: return append_halved(target, source, start, count, err);
        default: return append_fixed(target, source, at, count, err);
    }
}

enum apiary_code ap_plain_append(struct ArrowArray *target, const struct ArrowArrayView *source,
    int64_t start, int64_t count, struct apiary_error *err)
{
    if (count == 0) return APIARY_OK;
    if (source->dictionary) return append_dictionary(target, source, start, count, err);
    if (source->layout.buffer_type[0] == NANOARROW_BUFFER_TYPE_VALIDITY)
        AP_TRY(append_validity(
            target, source->buffer_views[0].data.as_uint8, source->offset + start, count, err));
    if (source->storage_type == NANOARROW_TYPE_NA) target->null_count += count;
    AP_TRY(append_items(target, source, start, count, err));
    target->length += count;
    return APIARY_OK;
}

/* ---- lending ---- */

static bool has_offsets(const struct ArrowArrayView *source)
{
    return source->layout.buffer_type[1] == NANOARROW_BUFFER_TYPE_DATA_OFFSET;
}

bool ap_plain_lendable(const struct ArrowArrayView *source)
{
    switch (source->storage_type) {
        case NANOARROW_TYPE_STRING_VIEW:
        case NANOARROW_TYPE_BINARY_VIEW:
        case NANOARROW_TYPE_HALF_FLOAT:
        case NANOARROW_TYPE_DECIMAL256: return false; /* they change */
        case NANOARROW_TYPE_STRING:
        case NANOARROW_TYPE_BINARY:
        case NANOARROW_TYPE_LARGE_STRING:
        case NANOARROW_TYPE_LARGE_BINARY: return source->dictionary == NULL;
        default:
            return source->dictionary == NULL && source->n_children == 0 &&
                   source->layout.buffer_type[0] == NANOARROW_BUFFER_TYPE_VALIDITY &&
                   source->layout.buffer_type[1] == NANOARROW_BUFFER_TYPE_DATA &&
                   source->layout.buffer_type[2] == NANOARROW_BUFFER_TYPE_NONE &&
                   source->layout.element_size_bits[1] > 0;
    }
}

/* Where the bytes of items begin among the column's, and how many they are. */
static void span_of(const struct ArrowArrayView *source, int64_t start, int64_t count,
    int64_t *first, int64_t *total)
{
    int64_t at = source->offset + start, bits = source->layout.element_size_bits[1];
    if (!has_offsets(source)) {
        *first = at * bits / 8;
        *total = (count * bits + 7) / 8;
    } else if (bits == 32) {
        const int32_t *offsets = source->buffer_views[1].data.as_int32 + at;
        *first = offsets[0];
        *total = (int64_t)offsets[count] - offsets[0];
    } else {
        const int64_t *offsets = source->buffer_views[1].data.as_int64 + at;
        *first = offsets[0];
        *total = offsets[count] - offsets[0];
    }
}

uint64_t ap_plain_lent_bytes(const struct ArrowArrayView *source, int64_t start, int64_t count)
{
    int64_t first, total;
    span_of(source, start, count, &first, &total);
    int64_t offsets =
        has_offsets(source) ? (count + 1) * source->layout.element_size_bits[1] / 8 : 0;
    return (uint64_t)(total + offsets + (count + 7) / 8);
}

enum apiary_code ap_plain_lend(struct ArrowArray *room, const struct ArrowArrayView *source,
    int64_t start, int64_t count, struct ArrowArrayView *view, struct apiary_error *err)
{
    int64_t at = source->offset + start, bits = source->layout.element_size_bits[1], first, total;
    int bulk = has_offsets(source) ? 2 : 1;
    span_of(source, start, count, &first, &total);
    AP_TRY(append_validity(room, source->buffer_views[0].data.as_uint8, at, count, err));
    bool bulk_moves = !has_offsets(source) && bits == 1 && at % 8 != 0;
    if (bulk_moves)
        AP_TRY(append_bits(ArrowArrayBuffer(room, 1), 0, source->buffer_views[1].data.as_uint8, at,
            count, err));
    bool rebased = has_offsets(source) && first != 0;
    if (rebased) AP_TRY(append_offsets(room, source, at, count, &first, &total, err));
    for (int i = 0; i < room->n_buffers; i++) {
        const struct ArrowBuffer *buffer = ArrowArrayBuffer(room, i);
        view->buffer_views[i] = (struct ArrowBufferView) { { buffer->data }, buffer->size_bytes };
    }
    if (has_offsets(source) && !rebased)
        view->buffer_views[1] = (struct ArrowBufferView) {
            { source->buffer_views[1].data.as_uint8 + at * bits / 8 }, (count + 1) * bits / 8
        };
    if (!bulk_moves)
        view->buffer_views[bulk] = (struct ArrowBufferView) {
            { total > 0 ? source->buffer_views[bulk].data.as_uint8 + first : NULL }, total
        };
    view->array = room;
    view->offset = 0;
    view->length = count;
    view->null_count = room->null_count;
    return APIARY_OK;
}

uint64_t ap_plain_bytes(struct ArrowArray *target)
{
    uint64_t bytes = 0;
    for (int64_t i = 0; i < target->n_buffers; i++)
        bytes += (uint64_t)ArrowArrayBuffer(target, i)->size_bytes;
    for (int64_t i = 0; i < target->n_children; i++) bytes += ap_plain_bytes(target->children[i]);
    return bytes;
}
