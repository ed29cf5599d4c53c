#include "value.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { US_PER_SECOND = 1000000, DECIMAL_TEXT_MAX = 80 };

bool column_init(struct column *column, const struct ArrowSchema *schema)
{
    memset(column, 0, sizeof *column);
    column->schema = schema;
    struct ArrowError error;
    if (ArrowSchemaViewInit(&column->view, schema, &error) != NANOARROW_OK) return false;
    column->children = calloc((size_t)schema->n_children + 1, sizeof *column->children);
    if (column->children == NULL) return false;
    column->child_count = schema->n_children;
    for (int64_t i = 0; i < schema->n_children; i++)
        if (!column_init(&column->children[i], schema->children[i])) return false;
    return true;
}

void column_done(struct column *column)
{
    for (int64_t i = 0; column->children != NULL && i < column->child_count; i++) column_done(&column->children[i]);
    free(column->children);
    memset(column, 0, sizeof *column);
}

bool column_is_number(const struct column *column)
{
    switch (column->view.type) {
    case NANOARROW_TYPE_INT8:
    case NANOARROW_TYPE_INT16:
    case NANOARROW_TYPE_INT32:
    case NANOARROW_TYPE_INT64:
    case NANOARROW_TYPE_UINT8:
    case NANOARROW_TYPE_UINT16:
    case NANOARROW_TYPE_UINT32:
    case NANOARROW_TYPE_UINT64:
    case NANOARROW_TYPE_HALF_FLOAT:
    case NANOARROW_TYPE_FLOAT:
    case NANOARROW_TYPE_DOUBLE:
    case NANOARROW_TYPE_DECIMAL128: return true;
    default: return false;
    }
}

bool value_is_null(const struct ArrowArrayView *array, int64_t i)
{
    return array->storage_type == NANOARROW_TYPE_NA || ArrowArrayViewIsNull(array, i);
}

/* ---- numbers ---- */

/* The shortest text that reads back as the same number. */
static void print_double(double value, bool single, enum value_style style, struct text *out)
{
    char number[40];
    if (isnan(value) || isinf(value)) {
        const char *word = isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
        if (style == VALUE_JSON) json_quote(out, word, strlen(word));
        else text_puts(out, word);
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        if (single ? strtof(number, NULL) == (float)value : strtod(number, NULL) == value) break;
    }
    text_puts(out, number);
    if (strpbrk(number, ".e") == NULL) text_puts(out, ".0");
}

static void print_decimal(const struct column *column, const struct ArrowArrayView *array, int64_t i, struct text *out)
{
    struct ArrowDecimal decimal;
    ArrowDecimalInit(&decimal, column->view.decimal_bitwidth, column->view.decimal_precision, column->view.decimal_scale);
    ArrowArrayViewGetDecimalUnsafe(array, i, &decimal);
    struct ArrowBuffer digits;
    ArrowBufferInit(&digits);
    if (ArrowDecimalAppendDigitsToBuffer(&decimal, &digits) != NANOARROW_OK) {
        out->failed = true;
        return;
    }
    const char *text = (const char *)digits.data;
    int64_t length = digits.size_bytes;
    int scale = column->view.decimal_scale;
    if (length > 0 && text[0] == '-') {
        text_add(out, "-", 1);
        text++;
        length--;
    }
    if (scale <= 0) {
        text_add(out, text, (size_t)length);
        for (int z = scale; z < 0; z++) text_add(out, "0", 1);
    } else if (length <= scale) {
        text_puts(out, "0.");
        for (int64_t z = length; z < scale; z++) text_add(out, "0", 1);
        text_add(out, text, (size_t)length);
    } else {
        text_add(out, text, (size_t)(length - scale));
        text_add(out, ".", 1);
        text_add(out, text + length - scale, (size_t)scale);
    }
    ArrowBufferReset(&digits);
}

/* ---- time ---- */

static void civil(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    unsigned doe = (unsigned)(days - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = (int64_t)yoe + era * 400 + (*month <= 2);
}

static void print_date(int64_t days, struct text *out)
{
    int64_t year;
    unsigned month, day;
    if (days == INT32_MAX || days == -INT32_MAX) {
        text_puts(out, days > 0 ? "infinity" : "-infinity");
        return;
    }
    civil(days, &year, &month, &day);
    if (year > 0) text_printf(out, "%04" PRId64 "-%02u-%02u", year, month, day);
    else text_printf(out, "%04" PRId64 "-%02u-%02u (BC)", 1 - year, month, day);
}

/* Units of a second: 1, 1000, … by unit. */
static int64_t unit_of(enum ArrowTimeUnit unit)
{
    static const int64_t units[] = { 1, 1000, 1000000, 1000000000 };
    return units[unit <= NANOARROW_TIME_UNIT_NANO ? unit : 0];
}

static void print_fraction(int64_t fraction, int64_t unit, struct text *out)
{
    char digits[24];
    if (fraction == 0) return;
    int width = unit == 1000 ? 3 : unit == 1000000 ? 6 : 9;
    snprintf(digits, sizeof digits, "%0*" PRId64, width, fraction);
    size_t length = strlen(digits);
    while (length > 0 && digits[length - 1] == '0') length--;
    text_add(out, ".", 1);
    text_add(out, digits, length);
}

static void print_clock(int64_t value, int64_t unit, struct text *out)
{
    int64_t seconds = value / unit;
    text_printf(out, "%02" PRId64 ":%02" PRId64 ":%02" PRId64, seconds / 3600, seconds / 60 % 60, seconds % 60);
    print_fraction(value % unit, unit, out);
}

static void print_timestamp(const struct column *column, int64_t value, struct text *out)
{
    int64_t unit = unit_of(column->view.time_unit), day = unit * 86400;
    const char *zone = column->view.timezone;
    if (value == INT64_MAX || value == -INT64_MAX) {
        text_puts(out, value > 0 ? "infinity" : "-infinity");
        return;
    }
    int64_t days = value / day - (value % day < 0), rest = value - days * day;
    print_date(days, out);
    text_add(out, " ", 1);
    print_clock(rest, unit, out);
    if (zone != NULL && zone[0] != '\0') text_puts(out, "+00"); /* instants are shown in UTC */
}

static void print_interval(const struct ArrowArrayView *array, int64_t i, struct text *out)
{
    struct ArrowInterval interval;
    ArrowIntervalInit(&interval, NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO);
    ArrowArrayViewGetIntervalUnsafe(array, i, &interval);
    size_t before = out->size;
    if (interval.months / 12 != 0) text_printf(out, "%d year%s ", interval.months / 12, abs(interval.months / 12) == 1 ? "" : "s");
    if (interval.months % 12 != 0) text_printf(out, "%d month%s ", interval.months % 12, abs(interval.months % 12) == 1 ? "" : "s");
    if (interval.days != 0) text_printf(out, "%d day%s ", interval.days, abs(interval.days) == 1 ? "" : "s");
    if (interval.ns != 0 || out->size == before) {
        if (interval.ns < 0) text_add(out, "-", 1);
        print_clock(interval.ns < 0 ? -interval.ns : interval.ns, 1000000000, out);
    } else if (out->size > before)
        out->data[--out->size] = '\0';
}

/* ---- nested values ---- */

static void print_item(const struct column *column, const struct ArrowArrayView *array, int64_t i, enum value_style style, struct text *out)
{
    if (value_is_null(array, i)) text_puts(out, style == VALUE_JSON ? "null" : "NULL");
    else value_print(column, array, i, style, out);
}

static void print_list(const struct column *column, const struct ArrowArrayView *array, int64_t from, int64_t until, enum value_style style,
    struct text *out)
{
    text_add(out, "[", 1);
    for (int64_t i = from; i < until; i++) {
        if (i > from) text_puts(out, style == VALUE_JSON ? "," : ", ");
        print_item(&column->children[0], array->children[0], i, style, out);
    }
    text_add(out, "]", 1);
}

static void print_struct(const struct column *column, const struct ArrowArrayView *array, int64_t i, enum value_style style, struct text *out)
{
    text_add(out, "{", 1);
    for (int64_t c = 0; c < column->child_count; c++) {
        const char *name = column->schema->children[c]->name;
        if (c > 0) text_puts(out, style == VALUE_JSON ? "," : ", ");
        if (style == VALUE_JSON) {
            json_quote(out, name, strlen(name));
            text_add(out, ":", 1);
        } else
            text_printf(out, "'%s': ", name);
        print_item(&column->children[c], array->children[c], array->offset + i, style, out);
    }
    text_add(out, "}", 1);
}

/* Keys of a JSON object are texts whatever their type. */
static void print_json_key(const struct column *key, const struct ArrowArrayView *array, int64_t i, struct text *out)
{
    struct text plain = { 0 };
    value_print(key, array, i, VALUE_PLAIN, &plain);
    json_quote(out, plain.data != NULL ? plain.data : "", plain.size);
    text_done(&plain);
}

static void print_map(const struct column *column, const struct ArrowArrayView *array, int64_t from, int64_t until, enum value_style style,
    struct text *out)
{
    const struct column *entry = &column->children[0];
    const struct ArrowArrayView *entries = array->children[0];
    text_add(out, "{", 1);
    for (int64_t i = from; i < until; i++) {
        if (i > from) text_puts(out, style == VALUE_JSON ? "," : ", ");
        if (style == VALUE_JSON) print_json_key(&entry->children[0], entries->children[0], entries->offset + i, out);
        else print_item(&entry->children[0], entries->children[0], entries->offset + i, style, out);
        text_puts(out, style == VALUE_JSON ? ":" : "=");
        print_item(&entry->children[1], entries->children[1], entries->offset + i, style, out);
    }
    text_add(out, "}", 1);
}

static void print_string(struct ArrowStringView text, enum value_style style, struct text *out)
{
    if (style == VALUE_JSON) json_quote(out, text.data, (size_t)text.size_bytes);
    else text_add(out, text.data, (size_t)text.size_bytes);
}

static void print_binary(struct ArrowBufferView bytes, struct text *out)
{
    for (int64_t i = 0; i < bytes.size_bytes; i++) {
        unsigned char c = bytes.data.as_uint8[i];
        if (c >= 0x20 && c < 0x7f && c != '\\' && c != '"') text_printf(out, "%c", c);
        else text_printf(out, "\\x%02X", c);
    }
}

/* Values that JSON writes in quotes and the rest without. */
static void print_quotable(const struct column *column, const struct ArrowArrayView *array, int64_t i, struct text *out)
{
    switch (column->view.type) {
    case NANOARROW_TYPE_DATE32: print_date(ArrowArrayViewGetIntUnsafe(array, i), out); break;
    case NANOARROW_TYPE_DATE64: print_date(ArrowArrayViewGetIntUnsafe(array, i) / 86400000, out); break;
    case NANOARROW_TYPE_TIMESTAMP: print_timestamp(column, ArrowArrayViewGetIntUnsafe(array, i), out); break;
    case NANOARROW_TYPE_TIME32:
    case NANOARROW_TYPE_TIME64: print_clock(ArrowArrayViewGetIntUnsafe(array, i), unit_of(column->view.time_unit), out); break;
    case NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO: print_interval(array, i, out); break;
    case NANOARROW_TYPE_BINARY:
    case NANOARROW_TYPE_LARGE_BINARY:
    case NANOARROW_TYPE_FIXED_SIZE_BINARY:
    case NANOARROW_TYPE_BINARY_VIEW: print_binary(ArrowArrayViewGetBytesUnsafe(array, i), out); break;
    default: text_printf(out, "<%s>", column->schema->format); break;
    }
}

void value_print(const struct column *column, const struct ArrowArrayView *array, int64_t i, enum value_style style, struct text *out)
{
    switch (column->view.type) {
    case NANOARROW_TYPE_NA: text_puts(out, style == VALUE_JSON ? "null" : "NULL"); return;
    case NANOARROW_TYPE_BOOL: text_puts(out, ArrowArrayViewGetIntUnsafe(array, i) ? "true" : "false"); return;
    case NANOARROW_TYPE_INT8:
    case NANOARROW_TYPE_INT16:
    case NANOARROW_TYPE_INT32:
    case NANOARROW_TYPE_INT64: text_printf(out, "%" PRId64, ArrowArrayViewGetIntUnsafe(array, i)); return;
    case NANOARROW_TYPE_UINT8:
    case NANOARROW_TYPE_UINT16:
    case NANOARROW_TYPE_UINT32:
    case NANOARROW_TYPE_UINT64: text_printf(out, "%" PRIu64, ArrowArrayViewGetUIntUnsafe(array, i)); return;
    case NANOARROW_TYPE_HALF_FLOAT:
    case NANOARROW_TYPE_FLOAT: print_double(ArrowArrayViewGetDoubleUnsafe(array, i), true, style, out); return;
    case NANOARROW_TYPE_DOUBLE: print_double(ArrowArrayViewGetDoubleUnsafe(array, i), false, style, out); return;
    case NANOARROW_TYPE_DECIMAL128: print_decimal(column, array, i, out); return;
    case NANOARROW_TYPE_STRING:
    case NANOARROW_TYPE_LARGE_STRING:
    case NANOARROW_TYPE_STRING_VIEW: print_string(ArrowArrayViewGetStringUnsafe(array, i), style, out); return;
    case NANOARROW_TYPE_STRUCT: print_struct(column, array, i, style, out); return;
    case NANOARROW_TYPE_LIST:
    case NANOARROW_TYPE_LARGE_LIST:
    case NANOARROW_TYPE_MAP: {
        int64_t from = ArrowArrayViewListChildOffset(array, array->offset + i), until = ArrowArrayViewListChildOffset(array, array->offset + i + 1);
        if (column->view.type == NANOARROW_TYPE_MAP) print_map(column, array, from, until, style, out);
        else print_list(column, array, from, until, style, out);
        return;
    }
    case NANOARROW_TYPE_FIXED_SIZE_LIST: {
        int64_t size = column->view.fixed_size, from = (array->offset + i) * size;
        print_list(column, array, from, from + size, style, out);
        return;
    }
    default: break;
    }
    if (style == VALUE_PLAIN) {
        print_quotable(column, array, i, out);
        return;
    }
    struct text plain = { 0 };
    print_quotable(column, array, i, &plain);
    json_quote(out, plain.data != NULL ? plain.data : "", plain.size);
    text_done(&plain);
}
