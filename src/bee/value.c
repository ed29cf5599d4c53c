#include "bee/value.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/time.h"

#include <stdio.h>

enum { LIST_DEPTH_MAX = 16, LIST_ITEMS_MAX = 1000000, DECIMAL_DIGITS_MAX = 38 };

static enum apiary_code out_of_form(struct bee_failure *why, const char *type, struct ap_str text)
{
    if (text.size > 100) text.size = 100;
    return bee_fail(why, "invalid_input", APIARY_INVALID,
        "parameter of type %s has the value '" AP_FMT "'", type, AP_ARG(text));
}

/* ---- texts to engine values; NULL: out of form ---- */

static duckdb_value from_bool(struct ap_str text)
{
    bool yes = ap_str_is(text, "true"), no = ap_str_is(text, "false");
    return yes || no ? duckdb_create_bool(yes) : NULL;
}

static duckdb_value from_int64(struct ap_str text)
{
    int64_t number;
    return ap_str_to_i64(text, &number) ? duckdb_create_int64(number) : NULL;
}

static duckdb_value from_uint64(struct ap_str text)
{
    uint64_t number;
    return ap_str_to_u64(text, &number) ? duckdb_create_uint64(number) : NULL;
}

static duckdb_value from_double(struct ap_str text)
{
    double number;
    return ap_str_to_double(text, &number) ? duckdb_create_double(number) : NULL;
}

static duckdb_value from_text(struct ap_str text)
{
    return ap_utf8_valid(text) ? duckdb_create_varchar_length(text.data, text.size) : NULL;
}

static duckdb_value from_blob(struct ap_str text)
{
    AP_AUTO(ap_bytes) bytes = { 0 };
    if (ap_base64_decode(&bytes, text, NULL) != APIARY_OK) return NULL;
    return duckdb_create_blob((const uint8_t *)ap_bytes_text(&bytes), bytes.size);
}

static duckdb_value from_date(struct ap_str text)
{
    int32_t days;
    return ap_date_parse(text, &days) ? duckdb_create_date((duckdb_date) { days }) : NULL;
}

static duckdb_value from_timestamp(struct ap_str text)
{
    int64_t us;
    bool had_zone, inexact;
    bool ok = ap_timestamp_parse(text, &us, &had_zone, &inexact) && !had_zone;
    return ok ? duckdb_create_timestamp((duckdb_timestamp) { us }) : NULL;
}

static duckdb_value from_timestamptz(struct ap_str text)
{
    int64_t us;
    bool had_zone, inexact;
    bool ok = ap_timestamp_parse(text, &us, &had_zone, &inexact);
    return ok ? duckdb_create_timestamp_tz((duckdb_timestamp) { us }) : NULL;
}

/* HH:mm[:ss[.ffffff]], read as the time of the first day there is. */
static duckdb_value from_time(struct ap_str text)
{
    char whole[AP_TIME_TEXT_MAX];
    int64_t us;
    bool had_zone, inexact;
    if (text.size > 20) return NULL;
    int size = snprintf(whole, sizeof whole, "1970-01-01 " AP_FMT, AP_ARG(text));
    bool ok =
        ap_timestamp_parse((struct ap_str) { whole, (size_t)size }, &us, &had_zone, &inexact) &&
        !had_zone;
    return ok ? duckdb_create_time((duckdb_time) { us }) : NULL;
}

/* [-]digits[.digits]: width and scale are those written, as for a literal. */
static duckdb_value from_decimal(struct ap_str text)
{
    unsigned __int128 number = 0;
    int digits = 0, scale = -1;
    size_t i = text.size && (text.data[0] == '-' || text.data[0] == '+');
    bool negative = i && text.data[0] == '-';
    for (; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.' && scale < 0) {
            scale = 0;
            continue;
        }
        if (c < '0' || c > '9' || digits == DECIMAL_DIGITS_MAX) return NULL;
        if (digits || c != '0' || scale >= 0) digits++;
        if (scale >= 0) scale++;
        number = number * 10 + (unsigned)(c - '0');
    }
    if (text.size == 0 || (digits == 0 && !ap_str_ends_with(text, AP_STR("0")))) return NULL;
    __int128 value = negative ? -(__int128)number : (__int128)number;
    if (scale >= digits && scale < DECIMAL_DIGITS_MAX)
        digits = scale + 1; /* 0.05 is decimal(3,2), as in the engine */
    duckdb_decimal decimal = {
        .width = (uint8_t)(digits ? digits : 1),
        .scale = (uint8_t)(scale < 0 ? 0 : scale),
        .value = { .lower = (uint64_t)value, .upper = (int64_t)(value >> 64) },
    };
    return duckdb_create_decimal(decimal);
}

static const struct {
    const char *type;
    duckdb_value (*from)(struct ap_str text);
} scalars[] = {
    { "bool", from_bool },
    { "int64", from_int64 },
    { "uint64", from_uint64 },
    { "double", from_double },
    { "text", from_text },
    { "blob", from_blob },
    { "date", from_date },
    { "timestamp", from_timestamp },
    { "timestamptz", from_timestamptz },
    { "time", from_time },
    { "decimal", from_decimal },
};

/* ---- the document ---- */

static enum apiary_code make(
    yyjson_val *value, int depth, duckdb_value *out, struct bee_failure *why);

/* The type of a list is that of its first item that is not null; the engine casts
 * the others to it and says so when it cannot. */
static duckdb_value join(duckdb_value *items, size_t count)
{
    duckdb_logical_type type = NULL, made = NULL;
    for (size_t i = 0; i < count && !type; i++)
        if (!duckdb_is_null_value(items[i]))
            type = duckdb_get_value_type(items[i]); /* borrowed from the value */
    if (!type) type = made = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    duckdb_value list = duckdb_create_list_value(type, items, count);
    if (made) duckdb_destroy_logical_type(&made);
    return list;
}

static enum apiary_code make_list(
    yyjson_val *array, int depth, duckdb_value *out, struct bee_failure *why)
{
    size_t count = yyjson_arr_size(array), made = 0;
    if (!yyjson_is_arr(array) || count > LIST_ITEMS_MAX || depth == LIST_DEPTH_MAX)
        return bee_fail(why, "invalid_input", APIARY_INVALID,
            "a list parameter is no list, too deep or too long");
    duckdb_value *items = ap_calloc(count ? count : 1, sizeof *items);
    if (items == NULL) return ap_fail_memory(&why->err, "a list parameter");
    enum apiary_code code = APIARY_OK;
    yyjson_arr_iter iter = yyjson_arr_iter_with(array);
    for (yyjson_val *item = yyjson_arr_iter_next(&iter); item && code == APIARY_OK;
         item = yyjson_arr_iter_next(&iter)) {
        code = make(item, depth + 1, &items[made], why);
        if (code == APIARY_OK) made++;
    }
    duckdb_value list = code == APIARY_OK ? join(items, made) : NULL;
    for (size_t i = 0; i < made; i++) duckdb_destroy_value(&items[i]);
    ap_free(items);
    if (code != APIARY_OK) return code;
    if (list == NULL)
        return bee_fail(
            why, "invalid_input", APIARY_INVALID, "the items of a list parameter differ in type");
    *out = list;
    return APIARY_OK;
}

/* "v" as text: a number or a bool may also come as such. */
static bool text_of(yyjson_val *v, char scratch[64], struct ap_str *out)
{
    if (yyjson_is_str(v)) {
        *out = (struct ap_str) { yyjson_get_str(v), yyjson_get_len(v) };
        return true;
    }
    int size = 0;
    if (yyjson_is_bool(v))
        size = snprintf(scratch, 64, "%s", yyjson_get_bool(v) ? "true" : "false");
    else if (yyjson_is_uint(v))
        size = snprintf(scratch, 64, "%llu", (unsigned long long)yyjson_get_uint(v));
    else if (yyjson_is_sint(v))
        size = snprintf(scratch, 64, "%lld", (long long)yyjson_get_sint(v));
    else if (yyjson_is_real(v))
        size = snprintf(scratch, 64, "%.17g", yyjson_get_real(v));
    *out = (struct ap_str) { scratch, (size_t)size };
    return size > 0;
}

static enum apiary_code make(
    yyjson_val *value, int depth, duckdb_value *out, struct bee_failure *why)
{
    struct ap_str type, text;
    char scratch[64];
    if (!ap_json_str(value, "t", &type))
        return bee_fail(why, "invalid_input", APIARY_INVALID, "a parameter without a type");
    yyjson_val *v = ap_json_member(value, "v");
    if (ap_str_is(type, "null")) {
        *out = duckdb_create_null_value();
        return APIARY_OK;
    }
    if (ap_str_is(type, "list")) return make_list(v, depth, out, why);
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        if (!ap_str_is(type, scalars[i].type)) continue;
        if (v == NULL || !text_of(v, scratch, &text))
            return out_of_form(why, scalars[i].type, AP_STR(""));
        duckdb_value made = scalars[i].from(text);
        if (made == NULL) return out_of_form(why, scalars[i].type, text);
        *out = made;
        return APIARY_OK;
    }
    return bee_fail(why, "invalid_input", APIARY_INVALID,
        "a parameter of the unknown type '" AP_FMT "'", AP_ARG(type));
}

static enum apiary_code bind(
    duckdb_prepared_statement statement, yyjson_val *value, idx_t position, struct bee_failure *why)
{
    idx_t index = position;
    struct ap_str name;
    if (ap_json_str(value, "n", &name)) {
        AP_AUTO(ap_bytes) text = { 0 };
        AP_TRY(ap_bytes_add_str(&text, name, &why->err));
        if (duckdb_bind_parameter_index(statement, &index, ap_bytes_text(&text)) != DuckDBSuccess)
            return bee_fail(why, "invalid_input", APIARY_INVALID,
                "the statement has no parameter named '" AP_FMT "'", AP_ARG(name));
    }
    duckdb_value bound = NULL;
    AP_TRY(make(value, 0, &bound, why));
    bool ok = duckdb_bind_value(statement, index, bound) == DuckDBSuccess;
    duckdb_destroy_value(&bound);
    if (ok) return APIARY_OK;
    return bee_fail_engine(why, duckdb_prepare_error(statement));
}

enum apiary_code bee_values_bind(
    duckdb_prepared_statement statement, yyjson_val *values, struct bee_failure *why)
{
    size_t wanted = duckdb_nparams(statement), given = values ? yyjson_arr_size(values) : 0;
    if (given != wanted)
        return bee_fail(why, "invalid_input", APIARY_INVALID,
            "the statement has %zu parameter%s, %zu value%s given", wanted, wanted == 1 ? "" : "s",
            given, given == 1 ? " is" : "s are");
    if (given == 0) return APIARY_OK;
    idx_t position = 0;
    yyjson_arr_iter iter = yyjson_arr_iter_with(values);
    for (yyjson_val *value = yyjson_arr_iter_next(&iter); value;
         value = yyjson_arr_iter_next(&iter))
        AP_TRY(bind(statement, value, ++position, why));
    return APIARY_OK;
}
