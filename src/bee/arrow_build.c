/* A column mirrors an Arrow array and knows how to append a range of an engine
 * vector to it. Validity masks have the same layout on both sides (bit set: valid,
 * least significant first), fixed-width values are copied as they are.
 *
 * The validity buffer of a column does not exist until its first NULL: Arrow takes
 * a missing one for "all valid". */
#include "bee/arrow_build.h"

#include "bee/arrow_type.h"
#include "bee/cell_text.h"
#include "core/alloc.h"

#include <inttypes.h>
#include <stdio.h>

enum { UUID_TEXT = 36 };
#define VARIABLE_BYTES_MAX INT64_C(0x7fffffff) /* offsets are 32 bits wide */

struct bee_column;
typedef enum apiary_code append_fn(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why);

struct bee_column {
    append_fn *append;
    struct ArrowArray *array; /* in the builder's tree */
    duckdb_logical_type type; /* owned */
    duckdb_type id;
    size_t width; /* bytes of a value on the engine's side; 0: not fixed */
    uint64_t array_size;
    struct ap_texts words; /* of an ENUM */
    struct bee_column *children;
    size_t child_count;
};

static enum apiary_code arrow_ok(int code, struct bee_failure *why)
{
    return code == NANOARROW_OK ? APIARY_OK : bee_fail_arrow(why, code, NULL, "a result batch");
}

/* ---- validity ---- */

static bool row_is_null(const uint64_t *validity, idx_t row)
{
    return validity && !(validity[row / 64] >> (row % 64) & 1);
}

static idx_t count_nulls(const uint64_t *validity, idx_t start, idx_t count)
{
    idx_t nulls = 0;
    if (validity == NULL) return 0;
    for (idx_t i = start; i < start + count; i++) nulls += row_is_null(validity, i);
    return nulls;
}

/* Appends the validity of a range and moves length and null_count on. */
static enum apiary_code append_validity(struct bee_column *column, const uint64_t *validity,
    idx_t start, idx_t count, struct bee_failure *why)
{
    struct ArrowBitmap *bits = ArrowArrayValidityBitmap(column->array);
    idx_t nulls = count_nulls(validity, start, count);
    if (nulls && bits->size_bits == 0)
        AP_TRY(arrow_ok(
            ArrowBitmapAppend(bits, 1, column->array->length), why)); /* all before were valid */
    if (nulls == 0 && column->array->null_count) {
        AP_TRY(arrow_ok(ArrowBitmapAppend(bits, 1, (int64_t)count), why));
    } else if (nulls) {
        AP_TRY(arrow_ok(ArrowBitmapReserve(bits, (int64_t)count), why));
        for (idx_t i = start; i < start + count; i++)
            ArrowBitmapAppendUnsafe(bits, !row_is_null(validity, i), 1);
    }
    column->array->length += (int64_t)count;
    column->array->null_count += (int64_t)nulls;
    return APIARY_OK;
}

/* ---- fixed width ---- */

static enum apiary_code append_fixed(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const char *data = duckdb_vector_get_data(vector);
    struct ArrowBuffer *values = ArrowArrayBuffer(column->array, 1);
    AP_TRY(arrow_ok(
        ArrowBufferAppend(values, data + start * column->width, (int64_t)(count * column->width)),
        why));
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

static enum apiary_code append_bool(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const uint8_t *data = duckdb_vector_get_data(vector);
    struct ArrowBuffer *values = ArrowArrayBuffer(column->array, 1);
    int64_t length = column->array->length;
    int64_t need = (length + (int64_t)count + 7) / 8 - values->size_bytes;
    if (need > 0) AP_TRY(arrow_ok(ArrowBufferAppendFill(values, 0, need), why));
    for (idx_t i = 0; i < count; i++)
        if (data[start + i]) ArrowBitSet(values->data, length + (int64_t)i);
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

/* Room for `count` 16-byte values; *out is where they go. */
static enum apiary_code room128(
    struct bee_column *column, idx_t count, __int128 **out, struct bee_failure *why)
{
    struct ArrowBuffer *values = ArrowArrayBuffer(column->array, 1);
    AP_TRY(arrow_ok(ArrowBufferReserve(values, (int64_t)(count * 16)), why));
    *out = (__int128 *)(void *)(values->data + values->size_bytes);
    values->size_bytes += (int64_t)(count * 16);
    return APIARY_OK;
}

static void store128(__int128 *slot, __int128 value)
{
    memcpy(slot, &value, sizeof value); /* Arrow's buffers promise 8 bytes of alignment, not 16 */
}

static enum apiary_code append_decimal(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const void *data = duckdb_vector_get_data(vector);
    __int128 *out = NULL;
    AP_TRY(room128(column, count, &out, why));
    for (idx_t i = 0; i < count; i++) {
        switch (column->width) {
            case 2: store128(out + i, ((const int16_t *)data)[start + i]); break;
            case 4: store128(out + i, ((const int32_t *)data)[start + i]); break;
            default: store128(out + i, ((const int64_t *)data)[start + i]); break;
        }
    }
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

/* HUGEINT and UHUGEINT: what needs more than 38 digits is an error, not a wrong number. */
static enum apiary_code append_huge(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const char *data = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    const unsigned __int128 ten19 = UINT64_C(10000000000000000000);
    const unsigned __int128 bound = ten19 * ten19; /* 10^38 */
    bool is_signed = column->id == DUCKDB_TYPE_HUGEINT;
    __int128 *out = NULL;
    AP_TRY(room128(column, count, &out, why));
    for (idx_t i = 0; i < count; i++) {
        __int128 value;
        memcpy(&value, data + (start + i) * 16, sizeof value);
        if (row_is_null(validity, start + i)) value = 0;
        unsigned __int128 size =
            is_signed && value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
        if (size >= bound)
            return bee_fail(why, "out_of_range", APIARY_SQL,
                "a value of type %s has more than 38 digits and cannot be returned as "
                "decimal(38,0): cast it to VARCHAR or DOUBLE",
                is_signed ? "HUGEINT" : "UHUGEINT");
        store128(out + i, value);
    }
    return append_validity(column, validity, start, count, why);
}

static enum apiary_code append_interval(struct bee_column *column, duckdb_vector vector,
    idx_t start, idx_t count, struct bee_failure *why)
{
    const duckdb_interval *data = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    struct ArrowBuffer *values = ArrowArrayBuffer(column->array, 1);
    AP_TRY(arrow_ok(ArrowBufferReserve(values, (int64_t)(count * 16)), why));
    for (idx_t i = start; i < start + count; i++) {
        struct {
            int32_t months, days;
            int64_t ns;
        } out = { 0 };
        if (!row_is_null(validity, i)) {
            out.months = data[i].months;
            out.days = data[i].days;
            if (__builtin_mul_overflow(data[i].micros, INT64_C(1000), &out.ns))
                return bee_fail(why, "out_of_range", APIARY_SQL,
                    "an INTERVAL of more than 292 years in hours cannot be returned: cast it to "
                    "VARCHAR");
        }
        ArrowBufferAppendUnsafe(values, &out, sizeof out);
    }
    return append_validity(column, validity, start, count, why);
}

static enum apiary_code append_null(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    column->array->length += (int64_t)count;
    column->array->null_count += (int64_t)count;
    return APIARY_OK;
}

/* ---- text and bytes ---- */

static enum apiary_code too_long(struct bee_failure *why)
{
    return bee_fail(why, "limit", APIARY_LIMIT, "a row holds more than 2 GiB in one column");
}

/* Appends the bytes of one value and the offset of its end. */
static enum apiary_code append_piece(
    struct bee_column *column, const void *data, size_t size, struct bee_failure *why)
{
    struct ArrowBuffer *offsets = ArrowArrayBuffer(column->array, 1),
                       *bytes = ArrowArrayBuffer(column->array, 2);
    if ((int64_t)size > VARIABLE_BYTES_MAX - bytes->size_bytes) return too_long(why);
    AP_TRY(arrow_ok(ArrowBufferAppend(bytes, data, (int64_t)size), why));
    return arrow_ok(ArrowBufferAppendInt32(offsets, (int32_t)bytes->size_bytes), why);
}

static enum apiary_code append_string(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    duckdb_string_t *data = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    struct ArrowBuffer *offsets = ArrowArrayBuffer(column->array, 1),
                       *bytes = ArrowArrayBuffer(column->array, 2);
    int64_t total = 0;
    for (idx_t i = start; i < start + count; i++)
        if (!row_is_null(validity, i)) total += data[i].value.inlined.length;
    if (total > VARIABLE_BYTES_MAX - bytes->size_bytes) return too_long(why);
    AP_TRY(arrow_ok(ArrowBufferReserve(bytes, total), why));
    AP_TRY(arrow_ok(ArrowBufferReserve(offsets, (int64_t)(count * sizeof(int32_t))), why));
    for (idx_t i = start; i < start + count; i++) {
        if (!row_is_null(validity, i)) {
            uint32_t length = data[i].value.inlined.length;
            ArrowBufferAppendUnsafe(bytes, duckdb_string_t_data(&data[i]), length);
        }
        int32_t end = (int32_t)bytes->size_bytes;
        ArrowBufferAppendUnsafe(offsets, &end, sizeof end);
    }
    return append_validity(column, validity, start, count, why);
}

static enum apiary_code append_enum(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const void *data = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    for (idx_t i = start; i < start + count; i++) {
        const char *word = "";
        if (!row_is_null(validity, i)) {
            size_t at = column->width == 1   ? ((const uint8_t *)data)[i]
                        : column->width == 2 ? ((const uint16_t *)data)[i]
                                             : ((const uint32_t *)data)[i];
            if (at >= column->words.count)
                return bee_fail(why, "internal", APIARY_INTERNAL, "an ENUM value outside its type");
            word = column->words.items[at];
        }
        AP_TRY(append_piece(column, word, strlen(word), why));
    }
    return append_validity(column, validity, start, count, why);
}

static enum apiary_code append_uuid(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const duckdb_hugeint *data = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    for (idx_t i = start; i < start + count; i++) {
        char text[UUID_TEXT + 1];
        uint64_t upper = (uint64_t)data[i].upper ^ (UINT64_C(1) << 63),
                 lower = data[i].lower; /* stored with the sign turned */
        snprintf(text, sizeof text,
            "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, upper >> 32,
            upper >> 16 & 0xffff, upper & 0xffff, lower >> 48, lower & UINT64_C(0xffffffffffff));
        AP_TRY(append_piece(column, text, row_is_null(validity, i) ? 0 : UUID_TEXT, why));
    }
    return append_validity(column, validity, start, count, why);
}

/* Types that Arrow has no place for, as the engine writes them. */
static enum apiary_code append_as_text(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    AP_AUTO(ap_bytes) text = { 0 };
    for (idx_t i = start; i < start + count; i++) {
        bool null = false;
        ap_bytes_clear(&text);
        AP_TRY(bee_cell_text(vector, column->type, i, &text, &null, why));
        AP_TRY(append_piece(column, ap_bytes_text(&text), text.size, why));
    }
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

/* ---- nested ---- */

/* Appends one row's entries, or those of a whole range when they lie side by side. */
static enum apiary_code append_list(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    const duckdb_list_entry *entries = duckdb_vector_get_data(vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    duckdb_vector child = duckdb_list_vector_get_child(vector);
    struct ArrowBuffer *offsets = ArrowArrayBuffer(column->array, 1);
    struct bee_column *item = column->children; /* of a MAP: a struct of key and value */
    idx_t from = 0, length = 0;                 /* the run of child rows not appended yet */
    int64_t end = item->array->length;
    for (idx_t i = start; i < start + count; i++) {
        if (!row_is_null(validity, i) && entries[i].length) {
            if (length && entries[i].offset != from + length) {
                AP_TRY(item->append(item, child, from, length, why));
                length = 0;
            }
            if (length == 0) from = entries[i].offset;
            length += entries[i].length;
            end += (int64_t)entries[i].length;
            if (end > VARIABLE_BYTES_MAX) return too_long(why);
        }
        AP_TRY(arrow_ok(ArrowBufferAppendInt32(offsets, (int32_t)end), why));
    }
    if (length) AP_TRY(item->append(item, child, from, length, why));
    return append_validity(column, validity, start, count, why);
}

static enum apiary_code append_array(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    struct bee_column *item = column->children;
    uint64_t size = column->array_size;
    AP_TRY(
        item->append(item, duckdb_array_vector_get_child(vector), start * size, count * size, why));
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

static enum apiary_code append_struct(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    for (size_t c = 0; c < column->child_count; c++) {
        struct bee_column *child = &column->children[c];
        AP_TRY(child->append(child, duckdb_struct_vector_get_child(vector, c), start, count, why));
    }
    return append_validity(column, duckdb_vector_get_validity(vector), start, count, why);
}

/* Sparse: every member has every row; the tags say which counts. A NULL union is
 * member 0 being NULL, for an Arrow union has no validity of its own. */
static enum apiary_code append_union(struct bee_column *column, duckdb_vector vector, idx_t start,
    idx_t count, struct bee_failure *why)
{
    duckdb_vector tag_vector = duckdb_struct_vector_get_child(vector, 0);
    const uint8_t *tags = duckdb_vector_get_data(tag_vector);
    const uint64_t *validity = duckdb_vector_get_validity(vector),
                   *tag_validity = duckdb_vector_get_validity(tag_vector);
    struct ArrowBuffer *types = ArrowArrayBuffer(column->array, 0);
    for (idx_t i = start; i < start + count; i++) {
        bool null = row_is_null(validity, i) || row_is_null(tag_validity, i);
        AP_TRY(arrow_ok(ArrowBufferAppendInt8(types, null ? 0 : (int8_t)tags[i]), why));
    }
    for (size_t c = 0; c < column->child_count; c++) {
        struct bee_column *child = &column->children[c];
        AP_TRY(
            child->append(child, duckdb_struct_vector_get_child(vector, c + 1), start, count, why));
    }
    column->array->length += (int64_t)count;
    return APIARY_OK;
}

/* ---- columns ---- */

static void column_done(struct bee_column *column)
{
    for (size_t c = 0; c < column->child_count; c++) column_done(&column->children[c]);
    ap_free(column->children);
    ap_texts_done(&column->words);
    if (column->type) duckdb_destroy_logical_type(&column->type);
}

static enum apiary_code column_init(struct bee_column *column, duckdb_logical_type type,
    struct ArrowArray *array, struct bee_failure *why);

static enum apiary_code children_new(
    struct bee_column *column, size_t count, struct bee_failure *why)
{
    column->children = ap_calloc(count ? count : 1, sizeof *column->children);
    if (column->children == NULL) return ap_fail_memory(&why->err, "the columns of a result");
    return APIARY_OK;
}

/* Adopts `type` for the next child; the child owns it. */
static enum apiary_code child_add(struct bee_column *column, duckdb_logical_type type,
    struct ArrowArray *array, struct bee_failure *why)
{
    return column_init(&column->children[column->child_count++], type, array, why);
}

static enum apiary_code init_nested(struct bee_column *column, struct bee_failure *why)
{
    duckdb_logical_type type = column->type;
    struct ArrowArray *array = column->array;
    switch (column->id) {
        case DUCKDB_TYPE_LIST:
            column->append = append_list;
            AP_TRY(children_new(column, 1, why));
            return child_add(column, duckdb_list_type_child_type(type), array->children[0], why);
        case DUCKDB_TYPE_ARRAY:
            column->append = append_array;
            column->array_size = duckdb_array_type_array_size(type);
            AP_TRY(children_new(column, 1, why));
            return child_add(column, duckdb_array_type_child_type(type), array->children[0], why);
        case DUCKDB_TYPE_MAP: {
            /* A list of structs, for which the engine has no logical type of its own here. */
            column->append = append_list;
            AP_TRY(children_new(column, 1, why));
            struct bee_column *entries = &column->children[column->child_count++];
            entries->append = append_struct;
            entries->array = array->children[0];
            entries->id = DUCKDB_TYPE_STRUCT;
            AP_TRY(children_new(entries, 2, why));
            AP_TRY(child_add(
                entries, duckdb_map_type_key_type(type), entries->array->children[0], why));
            return child_add(
                entries, duckdb_map_type_value_type(type), entries->array->children[1], why);
        }
        case DUCKDB_TYPE_STRUCT:
            column->append = append_struct;
            AP_TRY(children_new(column, duckdb_struct_type_child_count(type), why));
            for (idx_t i = 0; i < duckdb_struct_type_child_count(type); i++)
                AP_TRY(child_add(
                    column, duckdb_struct_type_child_type(type, i), array->children[i], why));
            return APIARY_OK;
        default: /* UNION */
            column->append = append_union;
            AP_TRY(children_new(column, duckdb_union_type_member_count(type), why));
            for (idx_t i = 0; i < duckdb_union_type_member_count(type); i++)
                AP_TRY(child_add(
                    column, duckdb_union_type_member_type(type, i), array->children[i], why));
            return APIARY_OK;
    }
}

static enum apiary_code init_enum(struct bee_column *column, struct bee_failure *why)
{
    duckdb_type stored = duckdb_enum_internal_type(column->type);
    column->append = append_enum;
    column->width = stored == DUCKDB_TYPE_UTINYINT ? 1 : stored == DUCKDB_TYPE_USMALLINT ? 2 : 4;
    uint32_t count = duckdb_enum_dictionary_size(column->type);
    for (uint32_t i = 0; i < count; i++) {
        char *word = duckdb_enum_dictionary_value(column->type, i);
        enum apiary_code code = ap_texts_add(&column->words, ap_str_from(word), &why->err);
        if (word) duckdb_free(word);
        AP_TRY(code);
    }
    return APIARY_OK;
}

static void init_decimal(struct bee_column *column)
{
    column->append = append_decimal;
    switch (duckdb_decimal_internal_type(column->type)) {
        case DUCKDB_TYPE_SMALLINT: column->width = 2; return;
        case DUCKDB_TYPE_INTEGER: column->width = 4; return;
        case DUCKDB_TYPE_BIGINT: column->width = 8; return;
        default:
            column->append = append_fixed;
            column->width = 16;
            return;
    }
}

static enum apiary_code column_init(struct bee_column *column, duckdb_logical_type type,
    struct ArrowArray *array, struct bee_failure *why)
{
    column->type = type;
    column->array = array;
    column->id = duckdb_get_type_id(type);
    column->append = append_fixed;
    switch (column->id) {
        case DUCKDB_TYPE_BOOLEAN:
            column->append = append_bool;
            column->width = 1;
            return APIARY_OK;
        case DUCKDB_TYPE_TINYINT:
        case DUCKDB_TYPE_UTINYINT: column->width = 1; return APIARY_OK;
        case DUCKDB_TYPE_SMALLINT:
        case DUCKDB_TYPE_USMALLINT: column->width = 2; return APIARY_OK;
        case DUCKDB_TYPE_INTEGER:
        case DUCKDB_TYPE_UINTEGER:
        case DUCKDB_TYPE_FLOAT:
        case DUCKDB_TYPE_DATE: column->width = 4; return APIARY_OK;
        case DUCKDB_TYPE_BIGINT:
        case DUCKDB_TYPE_UBIGINT:
        case DUCKDB_TYPE_DOUBLE:
        case DUCKDB_TYPE_TIME:
        case DUCKDB_TYPE_TIME_NS:
        case DUCKDB_TYPE_TIMESTAMP:
        case DUCKDB_TYPE_TIMESTAMP_S:
        case DUCKDB_TYPE_TIMESTAMP_MS:
        case DUCKDB_TYPE_TIMESTAMP_NS:
        case DUCKDB_TYPE_TIMESTAMP_TZ: column->width = 8; return APIARY_OK;
        case DUCKDB_TYPE_INTERVAL:
            column->append = append_interval;
            column->width = 16;
            return APIARY_OK;
        case DUCKDB_TYPE_HUGEINT:
        case DUCKDB_TYPE_UHUGEINT:
            column->append = append_huge;
            column->width = 16;
            return APIARY_OK;
        case DUCKDB_TYPE_DECIMAL: init_decimal(column); return APIARY_OK;
        case DUCKDB_TYPE_VARCHAR:
        case DUCKDB_TYPE_BLOB:
        case DUCKDB_TYPE_GEOMETRY: column->append = append_string; return APIARY_OK;
        case DUCKDB_TYPE_UUID:
            column->append = append_uuid;
            column->width = UUID_TEXT + 4;
            return APIARY_OK;
        case DUCKDB_TYPE_ENUM: return init_enum(column, why);
        case DUCKDB_TYPE_SQLNULL: column->append = append_null; return APIARY_OK;
        case DUCKDB_TYPE_BIT:
        case DUCKDB_TYPE_TIME_TZ:
        case DUCKDB_TYPE_BIGNUM: column->append = append_as_text; return APIARY_OK;
        default: return init_nested(column, why); /* bee_arrow_schema refused all others */
    }
}

/* ---- sizes ---- */

static uint64_t estimate(
    const struct bee_column *column, duckdb_vector vector, idx_t start, idx_t count)
{
    const uint64_t *validity = duckdb_vector_get_validity(vector);
    uint64_t bytes = 0;
    switch (column->id) {
        case DUCKDB_TYPE_VARCHAR:
        case DUCKDB_TYPE_BLOB:
        case DUCKDB_TYPE_GEOMETRY:
        case DUCKDB_TYPE_BIT:
        case DUCKDB_TYPE_BIGNUM: {
            const duckdb_string_t *data = duckdb_vector_get_data(vector);
            uint64_t factor = column->append == append_as_text ? 8 : 1;
            for (idx_t i = start; i < start + count; i++)
                bytes += sizeof(int32_t) +
                         (row_is_null(validity, i) ? 0 : factor * data[i].value.inlined.length);
            return bytes;
        }
        case DUCKDB_TYPE_LIST:
        case DUCKDB_TYPE_MAP: {
            const duckdb_list_entry *entries = duckdb_vector_get_data(vector);
            duckdb_vector child = duckdb_list_vector_get_child(vector);
            for (idx_t i = start; i < start + count; i++) {
                bytes += sizeof(int32_t);
                if (!row_is_null(validity, i))
                    bytes +=
                        estimate(column->children, child, entries[i].offset, entries[i].length);
            }
            return bytes;
        }
        case DUCKDB_TYPE_ARRAY:
            return estimate(column->children, duckdb_array_vector_get_child(vector),
                start * column->array_size, count * column->array_size);
        case DUCKDB_TYPE_STRUCT:
        case DUCKDB_TYPE_UNION: {
            bool is_union = column->id == DUCKDB_TYPE_UNION;
            for (size_t c = 0; c < column->child_count; c++)
                bytes += estimate(&column->children[c],
                    duckdb_struct_vector_get_child(vector, c + is_union), start, count);
            return bytes + count;
        }
        case DUCKDB_TYPE_DECIMAL: return 16 * count;
        case DUCKDB_TYPE_ENUM: return 16 * count;
        case DUCKDB_TYPE_TIME_TZ: return 24 * count;
        default: return column->width * count;
    }
}

/* ---- the builder ---- */

enum apiary_code bee_builder_init(struct bee_builder *builder, duckdb_result *result,
    const struct ArrowSchema *schema, struct bee_failure *why)
{
    memset(builder, 0, sizeof *builder);
    struct ArrowError error = { .message = "" };
    int rc = ArrowArrayInitFromSchema(&builder->array, schema, &error);
    if (rc != NANOARROW_OK) return bee_fail_arrow(why, rc, &error, "the columns of a result");
    size_t count = (size_t)schema->n_children;
    builder->columns = ap_calloc(count ? count : 1, sizeof *builder->columns);
    if (builder->columns == NULL) {
        bee_builder_done(builder);
        return ap_fail_memory(&why->err, "the columns of a result");
    }
    enum apiary_code code = arrow_ok(ArrowArrayStartAppending(&builder->array), why);
    for (size_t c = 0; c < count && code == APIARY_OK; c++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, c);
        builder->column_count++;
        code = column_init(&builder->columns[c], type, builder->array.children[c], why);
    }
    if (code != APIARY_OK) bee_builder_done(builder);
    return code;
}

void bee_builder_done(struct bee_builder *builder)
{
    for (size_t c = 0; c < builder->column_count; c++) column_done(&builder->columns[c]);
    ap_free(builder->columns);
    if (builder->array.release) ArrowArrayRelease(&builder->array);
    memset(builder, 0, sizeof *builder);
}

uint64_t bee_builder_estimate(
    const struct bee_builder *builder, duckdb_data_chunk chunk, idx_t start, idx_t count)
{
    uint64_t bytes = 0;
    for (size_t c = 0; c < builder->column_count; c++)
        bytes +=
            estimate(&builder->columns[c], duckdb_data_chunk_get_vector(chunk, c), start, count);
    return bytes;
}

enum apiary_code bee_builder_append(struct bee_builder *builder, duckdb_data_chunk chunk,
    idx_t start, idx_t count, struct bee_failure *why)
{
    for (size_t c = 0; c < builder->column_count; c++) {
        struct bee_column *column = &builder->columns[c];
        AP_TRY(column->append(column, duckdb_data_chunk_get_vector(chunk, c), start, count, why));
    }
    builder->rows += (int64_t)count;
    return APIARY_OK;
}

enum apiary_code bee_builder_finish(struct bee_builder *builder, struct bee_failure *why)
{
    struct ArrowError error = { .message = "" };
    builder->array.length = builder->rows;
    int rc = ArrowArrayFinishBuilding(&builder->array, NANOARROW_VALIDATION_LEVEL_NONE, &error);
    return rc == NANOARROW_OK ? APIARY_OK : bee_fail_arrow(why, rc, &error, "a result batch");
}

static enum apiary_code clear(struct bee_column *column, struct bee_failure *why)
{
    struct ArrowBitmap *bits = ArrowArrayValidityBitmap(column->array);
    bits->buffer.size_bytes = 0; /* also the type ids of a union, which lie there */
    bits->size_bits = 0;
    for (int64_t b = 1; b < column->array->n_buffers; b++)
        ArrowArrayBuffer(column->array, b)->size_bytes = 0;
    column->array->length = column->array->null_count = 0;
    for (size_t c = 0; c < column->child_count; c++) AP_TRY(clear(&column->children[c], why));
    bool has_offsets = column->append == append_list || column->array->n_buffers == 3;
    if (!has_offsets) return APIARY_OK;
    return arrow_ok(ArrowBufferAppendInt32(ArrowArrayBuffer(column->array, 1), 0), why);
}

enum apiary_code bee_builder_clear(struct bee_builder *builder, struct bee_failure *why)
{
    for (size_t c = 0; c < builder->column_count; c++) AP_TRY(clear(&builder->columns[c], why));
    builder->rows = 0;
    builder->bytes = 0;
    builder->array.length = 0;
    return APIARY_OK;
}
