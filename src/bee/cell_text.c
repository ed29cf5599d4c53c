#include "bee/cell_text.h"

#include "core/alloc.h"

enum { BIGNUM_HEADER = 3 };

static bool is_null(duckdb_vector vector, idx_t row)
{
    uint64_t *validity = duckdb_vector_get_validity(vector);
    return validity && !duckdb_validity_row_is_valid(validity, row);
}

static struct ap_str string_at(duckdb_vector vector, idx_t row)
{
    duckdb_string_t *strings = duckdb_vector_get_data(vector);
    return (struct ap_str) { duckdb_string_t_data(&strings[row]),
        duckdb_string_t_length(strings[row]) };
}

static void destroy_values(duckdb_value *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (values[i]) duckdb_destroy_value(&values[i]);
    ap_free(values);
}

/* Values of `count` rows of a child vector from `start`. *out: destroy_values. */
static enum apiary_code values_of(duckdb_vector vector, duckdb_logical_type type, idx_t start,
    idx_t count, duckdb_value **out, struct bee_failure *why)
{
    duckdb_value *values = ap_calloc(count ? count : 1, sizeof *values);
    if (values == NULL) return ap_fail_memory(&why->err, "a nested value");
    for (idx_t i = 0; i < count; i++) {
        enum apiary_code code = bee_cell_value(vector, type, start + i, &values[i], why);
        if (code != APIARY_OK) {
            destroy_values(values, count);
            return code;
        }
    }
    *out = values;
    return APIARY_OK;
}

static enum apiary_code list_value(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    bool array, duckdb_value *out, struct bee_failure *why)
{
    duckdb_vector child =
        array ? duckdb_array_vector_get_child(vector) : duckdb_list_vector_get_child(vector);
    duckdb_logical_type child_type =
        array ? duckdb_array_type_child_type(type) : duckdb_list_type_child_type(type);
    duckdb_list_entry entry = { 0 };
    if (array) {
        entry.length = duckdb_array_type_array_size(type);
        entry.offset = row * entry.length;
    } else {
        entry = ((duckdb_list_entry *)duckdb_vector_get_data(vector))[row];
    }
    duckdb_value *values = NULL;
    enum apiary_code code = values_of(child, child_type, entry.offset, entry.length, &values, why);
    if (code == APIARY_OK) {
        *out = array ? duckdb_create_array_value(child_type, values, entry.length)
                     : duckdb_create_list_value(child_type, values, entry.length);
        destroy_values(values, entry.length);
    }
    duckdb_destroy_logical_type(&child_type);
    return code;
}

static enum apiary_code map_value(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    duckdb_value *out, struct bee_failure *why)
{
    duckdb_vector entries = duckdb_list_vector_get_child(vector);
    duckdb_list_entry entry = ((duckdb_list_entry *)duckdb_vector_get_data(vector))[row];
    duckdb_logical_type key_type = duckdb_map_type_key_type(type),
                        value_type = duckdb_map_type_value_type(type);
    duckdb_value *keys = NULL, *values = NULL;
    enum apiary_code code = values_of(duckdb_struct_vector_get_child(entries, 0), key_type,
        entry.offset, entry.length, &keys, why);
    if (code == APIARY_OK)
        code = values_of(duckdb_struct_vector_get_child(entries, 1), value_type, entry.offset,
            entry.length, &values, why);
    if (code == APIARY_OK) *out = duckdb_create_map_value(type, keys, values, entry.length);
    if (values) destroy_values(values, entry.length);
    if (keys) destroy_values(keys, entry.length);
    duckdb_destroy_logical_type(&key_type);
    duckdb_destroy_logical_type(&value_type);
    return code;
}

static enum apiary_code struct_value(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    duckdb_value *out, struct bee_failure *why)
{
    idx_t count = duckdb_struct_type_child_count(type);
    duckdb_value *values = ap_calloc(count ? count : 1, sizeof *values);
    if (values == NULL) return ap_fail_memory(&why->err, "a struct value");
    enum apiary_code code = APIARY_OK;
    for (idx_t i = 0; i < count && code == APIARY_OK; i++) {
        duckdb_logical_type child_type = duckdb_struct_type_child_type(type, i);
        code = bee_cell_value(
            duckdb_struct_vector_get_child(vector, i), child_type, row, &values[i], why);
        duckdb_destroy_logical_type(&child_type);
    }
    if (code == APIARY_OK) *out = duckdb_create_struct_value(type, values);
    destroy_values(values, count);
    return code;
}

/* Member `tag` of a union; vector child 0 holds the tags. */
static enum apiary_code union_value(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    duckdb_value *out, struct bee_failure *why)
{
    uint8_t tag =
        ((uint8_t *)duckdb_vector_get_data(duckdb_struct_vector_get_child(vector, 0)))[row];
    duckdb_logical_type member = duckdb_union_type_member_type(type, tag);
    duckdb_value value = NULL;
    enum apiary_code code = bee_cell_value(
        duckdb_struct_vector_get_child(vector, (idx_t)tag + 1), member, row, &value, why);
    if (code == APIARY_OK) {
        *out = duckdb_create_union_value(type, tag, value);
        duckdb_destroy_value(&value);
    }
    duckdb_destroy_logical_type(&member);
    return code;
}

static duckdb_value enum_value(duckdb_vector vector, duckdb_logical_type type, idx_t row)
{
    void *data = duckdb_vector_get_data(vector);
    switch (duckdb_enum_internal_type(type)) {
        case DUCKDB_TYPE_UTINYINT: return duckdb_create_enum_value(type, ((uint8_t *)data)[row]);
        case DUCKDB_TYPE_USMALLINT: return duckdb_create_enum_value(type, ((uint16_t *)data)[row]);
        default: return duckdb_create_enum_value(type, ((uint32_t *)data)[row]);
    }
}

static duckdb_value decimal_value(duckdb_vector vector, duckdb_logical_type type, idx_t row)
{
    void *data = duckdb_vector_get_data(vector);
    int64_t small = 0;
    duckdb_decimal decimal = { .width = duckdb_decimal_width(type),
        .scale = duckdb_decimal_scale(type) };
    switch (duckdb_decimal_internal_type(type)) {
        case DUCKDB_TYPE_SMALLINT: small = ((int16_t *)data)[row]; break;
        case DUCKDB_TYPE_INTEGER: small = ((int32_t *)data)[row]; break;
        case DUCKDB_TYPE_BIGINT: small = ((int64_t *)data)[row]; break;
        default:
            decimal.value = ((duckdb_hugeint *)data)[row];
            return duckdb_create_decimal(decimal);
    }
    decimal.value = (duckdb_hugeint) { .lower = (uint64_t)small, .upper = small < 0 ? -1 : 0 };
    return duckdb_create_decimal(decimal);
}

/* The engine stores a UUID as a signed number with the first bit turned. */
static duckdb_value uuid_value(duckdb_vector vector, idx_t row)
{
    duckdb_hugeint stored = ((duckdb_hugeint *)duckdb_vector_get_data(vector))[row];
    return duckdb_create_uuid(
        (duckdb_uhugeint) { stored.lower, (uint64_t)stored.upper ^ (UINT64_C(1) << 63) });
}

/* Stored: three bytes of header (size and sign; the first bit set: positive), then
 * the absolute value, big-endian; all bytes are inverted when it is negative. */
static enum apiary_code bignum_value(
    duckdb_vector vector, idx_t row, duckdb_value *out, struct bee_failure *why)
{
    struct ap_str stored = string_at(vector, row);
    if (stored.size <= BIGNUM_HEADER)
        return bee_fail(why, "internal", APIARY_INTERNAL, "a BIGNUM out of form");
    bool negative = !((uint8_t)stored.data[0] & 0x80);
    AP_AUTO(ap_bytes) bytes = { 0 };
    AP_TRY(
        ap_bytes_add(&bytes, stored.data + BIGNUM_HEADER, stored.size - BIGNUM_HEADER, &why->err));
    for (size_t i = 0; negative && i < bytes.size; i++) bytes.data[i] = (char)~bytes.data[i];
    *out = duckdb_create_bignum((duckdb_bignum) { (uint8_t *)bytes.data, bytes.size, negative });
    return APIARY_OK;
}

#define AT(type) (((type *)duckdb_vector_get_data(vector))[row])

enum apiary_code bee_cell_value(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    duckdb_value *out, struct bee_failure *why)
{
    duckdb_value value = NULL;
    duckdb_type id = duckdb_get_type_id(type);
    enum apiary_code code = APIARY_OK;
    if (id == DUCKDB_TYPE_SQLNULL || is_null(vector, row)) {
        *out = duckdb_create_null_value();
        return APIARY_OK;
    }
    switch (id) {
        case DUCKDB_TYPE_BOOLEAN: value = duckdb_create_bool(AT(bool)); break;
        case DUCKDB_TYPE_TINYINT: value = duckdb_create_int8(AT(int8_t)); break;
        case DUCKDB_TYPE_SMALLINT: value = duckdb_create_int16(AT(int16_t)); break;
        case DUCKDB_TYPE_INTEGER: value = duckdb_create_int32(AT(int32_t)); break;
        case DUCKDB_TYPE_BIGINT: value = duckdb_create_int64(AT(int64_t)); break;
        case DUCKDB_TYPE_UTINYINT: value = duckdb_create_uint8(AT(uint8_t)); break;
        case DUCKDB_TYPE_USMALLINT: value = duckdb_create_uint16(AT(uint16_t)); break;
        case DUCKDB_TYPE_UINTEGER: value = duckdb_create_uint32(AT(uint32_t)); break;
        case DUCKDB_TYPE_UBIGINT: value = duckdb_create_uint64(AT(uint64_t)); break;
        case DUCKDB_TYPE_HUGEINT: value = duckdb_create_hugeint(AT(duckdb_hugeint)); break;
        case DUCKDB_TYPE_UHUGEINT: value = duckdb_create_uhugeint(AT(duckdb_uhugeint)); break;
        case DUCKDB_TYPE_FLOAT: value = duckdb_create_float(AT(float)); break;
        case DUCKDB_TYPE_DOUBLE: value = duckdb_create_double(AT(double)); break;
        case DUCKDB_TYPE_DATE: value = duckdb_create_date(AT(duckdb_date)); break;
        case DUCKDB_TYPE_TIME: value = duckdb_create_time(AT(duckdb_time)); break;
        case DUCKDB_TYPE_TIME_NS: value = duckdb_create_time_ns(AT(duckdb_time_ns)); break;
        case DUCKDB_TYPE_TIME_TZ: value = duckdb_create_time_tz_value(AT(duckdb_time_tz)); break;
        case DUCKDB_TYPE_TIMESTAMP: value = duckdb_create_timestamp(AT(duckdb_timestamp)); break;
        case DUCKDB_TYPE_TIMESTAMP_TZ:
            value = duckdb_create_timestamp_tz(AT(duckdb_timestamp));
            break;
        case DUCKDB_TYPE_TIMESTAMP_S:
            value = duckdb_create_timestamp_s(AT(duckdb_timestamp_s));
            break;
        case DUCKDB_TYPE_TIMESTAMP_MS:
            value = duckdb_create_timestamp_ms(AT(duckdb_timestamp_ms));
            break;
        case DUCKDB_TYPE_TIMESTAMP_NS:
            value = duckdb_create_timestamp_ns(AT(duckdb_timestamp_ns));
            break;
        case DUCKDB_TYPE_INTERVAL: value = duckdb_create_interval(AT(duckdb_interval)); break;
        case DUCKDB_TYPE_DECIMAL: value = decimal_value(vector, type, row); break;
        case DUCKDB_TYPE_ENUM: value = enum_value(vector, type, row); break;
        case DUCKDB_TYPE_UUID: value = uuid_value(vector, row); break;
        case DUCKDB_TYPE_VARCHAR: {
            struct ap_str text = string_at(vector, row);
            value = duckdb_create_varchar_length(text.data, text.size);
            break;
        }
        case DUCKDB_TYPE_BLOB: {
            struct ap_str bytes = string_at(vector, row);
            value = duckdb_create_blob((const uint8_t *)bytes.data, bytes.size);
            break;
        }
        case DUCKDB_TYPE_BIT: {
            struct ap_str bits = string_at(vector, row);
            value = duckdb_create_bit((duckdb_bit) { (uint8_t *)(uintptr_t)bits.data, bits.size });
            break;
        }
        case DUCKDB_TYPE_BIGNUM: code = bignum_value(vector, row, &value, why); break;
        case DUCKDB_TYPE_LIST: code = list_value(vector, type, row, false, &value, why); break;
        case DUCKDB_TYPE_ARRAY: code = list_value(vector, type, row, true, &value, why); break;
        case DUCKDB_TYPE_MAP: code = map_value(vector, type, row, &value, why); break;
        case DUCKDB_TYPE_STRUCT: code = struct_value(vector, type, row, &value, why); break;
        case DUCKDB_TYPE_UNION: code = union_value(vector, type, row, &value, why); break;
        default:
            return bee_fail(why, "not_implemented", APIARY_UNSUPPORTED,
                "a result column has a type (engine type %d) that cannot be returned: cast it to "
                "VARCHAR",
                (int)id);
    }
    if (code != APIARY_OK) return code;
    if (value == NULL)
        return bee_fail(
            why, "internal", APIARY_INTERNAL, "no engine value of engine type %d", (int)id);
    *out = value;
    return APIARY_OK;
}

enum apiary_code bee_cell_text(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    struct ap_bytes *out, bool *null, struct bee_failure *why)
{
    *null = is_null(vector, row) || duckdb_get_type_id(type) == DUCKDB_TYPE_SQLNULL;
    if (*null) return APIARY_OK;
    if (duckdb_get_type_id(type) == DUCKDB_TYPE_VARCHAR)
        return ap_bytes_add_str(out, string_at(vector, row), &why->err);
    duckdb_value value = NULL;
    AP_TRY(bee_cell_value(vector, type, row, &value, why));
    char *text = duckdb_get_varchar(value);
    duckdb_destroy_value(&value);
    if (text == NULL) return ap_fail_memory(&why->err, "the text of a value");
    enum apiary_code code = ap_bytes_add_text(out, text, &why->err);
    duckdb_free(text);
    return code;
}
