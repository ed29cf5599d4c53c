#include "ledger/prune_value.h"

#include "core/time.h"

#include <math.h>

enum { DIGITS_MAX = 38, EXPONENT_MAX = 60, ULPS_CONVERSION = 8, ULPS_TEXT = 2, DOUBLE_DIGITS = 15 };
/* No place on earth was ever further from UTC than this. */
#define ZONE_SLACK_US (INT64_C(26) * 3600 * 1000 * 1000)
#define MS_US 1000
#define INFINITE __builtin_inf()
/* Half a float's precision, twice over. */
#define FLOAT_SLACK (1.0 / (1 << 22))
#define FLOAT_TINY 1e-44
#define EXACT_INTEGERS_MAX 9007199254740992.0

/* ---- decimals ---- */

static bool scale_up(__int128 *digits, int places)
{
    for (int i = 0; i < places; i++)
        if (__builtin_mul_overflow(*digits, (__int128)10, digits)) return false;
    return true;
}

bool ap_decimal_parse(struct ap_str text, __int128 *digits, int *scale)
{
    size_t i = 0;
    bool negative = false, point = false, any = false;
    __int128 value = 0;
    int places = 0, count = 0;
    if (i < text.size && (text.data[i] == '-' || text.data[i] == '+'))
        negative = text.data[i++] == '-';
    for (; i < text.size; i++) {
        char c = text.data[i];
        if (c == '.' && !point) {
            point = true;
            continue;
        }
        if (c < '0' || c > '9') break;
        any = true;
        if (value != 0 || c != '0') count++;
        if (count > DIGITS_MAX) return false;
        value = value * 10 + (c - '0');
        if (point) places++;
        if (places > EXPONENT_MAX) return false;
    }
    if (!any) return false;
    if (i < text.size && (text.data[i] == 'e' || text.data[i] == 'E')) {
        int64_t exponent;
        struct ap_str rest = { text.data + i + 1, text.size - i - 1 };
        if (rest.size && rest.data[0] == '+')
            rest = (struct ap_str) { rest.data + 1, rest.size - 1 };
        if (!ap_str_to_i64(rest, &exponent) || exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX)
            return false;
        places -= (int)exponent;
        i = text.size;
    }
    if (i != text.size) return false;
    if (places < 0 && !scale_up(&value, -places)) return false;
    *digits = negative ? -value : value;
    *scale = places < 0 ? 0 : places;
    return true;
}

static int compare_exact(const struct ap_value *a, const struct ap_value *b, bool *known)
{
    __int128 x = a->digits, y = b->digits;
    int to = a->scale > b->scale ? a->scale : b->scale;
    if (!scale_up(&x, to - a->scale) || !scale_up(&y, to - b->scale)) {
        *known = false;
        return 0;
    }
    return x < y ? -1 : x > y;
}

int ap_value_compare(const struct ap_value *a, const struct ap_value *b, bool *known)
{
    *known = a->domain == b->domain;
    if (!*known) return 0;
    switch (a->domain) {
        case AP_DOMAIN_EXACT: return compare_exact(a, b, known);
        case AP_DOMAIN_DOUBLE: return a->number < b->number ? -1 : a->number > b->number;
        case AP_DOMAIN_TEXT: return ap_str_compare(a->text, b->text);
    }
    return 0;
}

/* ---- making intervals ---- */

static struct ap_value exact_value(__int128 digits, int scale)
{
    return (struct ap_value) { .domain = AP_DOMAIN_EXACT, .digits = digits, .scale = scale };
}

static struct ap_value double_value(double number)
{
    return (struct ap_value) { .domain = AP_DOMAIN_DOUBLE, .number = number };
}

static bool set_exact(struct ap_interval *out, __int128 digits, int scale)
{
    *out =
        (struct ap_interval) { true, true, exact_value(digits, scale), exact_value(digits, scale) };
    return true;
}

static bool set_us(struct ap_interval *out, int64_t us, int64_t slack_us)
{
    *out = (struct ap_interval) { true, true, exact_value((__int128)us - slack_us, 0),
        exact_value((__int128)us + slack_us, 0) };
    return true;
}

static bool set_text(struct ap_interval *out, struct ap_str text)
{
    struct ap_value value = { .domain = AP_DOMAIN_TEXT, .text = text };
    *out = (struct ap_interval) { true, true, value, value };
    return true;
}

static double step(double number, double towards, int ulps)
{
    for (int i = 0; i < ulps; i++) number = nextafter(number, towards);
    return number;
}

static bool set_double(struct ap_interval *out, double number, int ulps)
{
    if (isnan(number)) return false;
    *out = (struct ap_interval) { true, true, double_value(step(number, -INFINITE, ulps)),
        double_value(step(number, INFINITE, ulps)) };
    return true;
}

static bool set_float(struct ap_interval *out, double number)
{
    if (isnan(number)) return false;
    double slack = isinf(number) ? 0 : fabs(number) * FLOAT_SLACK + FLOAT_TINY;
    *out = (struct ap_interval) { true, true, double_value(number - slack),
        double_value(number + slack) };
    return true;
}

/* ---- text to values ---- */

static bool parse_bool(struct ap_str text, bool *out)
{
    *out = ap_str_equal_nocase(text, AP_STR("true"));
    return *out || ap_str_equal_nocase(text, AP_STR("false"));
}

static bool parse_double(struct ap_str text, double *out)
{
    return ap_str_to_double(text, out);
}

/* A date or a time; *zone: the text said which. */
static bool parse_time(struct ap_str text, int64_t *us, bool *zone)
{
    int32_t days;
    *zone = false;
    if (ap_date_parse(text, &days))
        return !__builtin_mul_overflow((int64_t)days, AP_US_PER_DAY, us);
    bool inexact = false;
    return ap_timestamp_parse(text, us, zone, &inexact) && !inexact;
}

static bool is_exact_number(enum ap_type_kind kind)
{
    return kind == AP_TYPE_BYTE || kind == AP_TYPE_SHORT || kind == AP_TYPE_INTEGER ||
           kind == AP_TYPE_LONG || kind == AP_TYPE_DECIMAL;
}

/* ---- constants ---- */

static bool number_literal(
    const struct ap_type *type, const struct ap_literal *literal, struct ap_interval *out)
{
    __int128 digits;
    int scale;
    double number;
    bool is_double = literal->type == AP_LITERAL_DOUBLE;
    if (is_exact_number(type->kind) && !is_double)
        return ap_decimal_parse(literal->text, &digits, &scale) && set_exact(out, digits, scale);
    if (!parse_double(literal->text, &number)) return false;
    if (type->kind == AP_TYPE_FLOAT) return set_float(out, number);
    if (type->kind == AP_TYPE_DOUBLE) {
        bool whole = number == trunc(number) && fabs(number) < EXACT_INTEGERS_MAX;
        return set_double(out, number, is_double || whole ? 0 : ULPS_CONVERSION);
    }
    /* The engine turns the column into doubles; the bounds are widened instead. */
    return is_exact_number(type->kind) && set_double(out, number, 0);
}

/* An untyped string is cast to the column's type; what the cast would round is not guessed. */
static bool string_literal(const struct ap_type *type, struct ap_str text, struct ap_interval *out)
{
    __int128 digits;
    int scale;
    double number;
    bool truth;
    int32_t days;
    int64_t us;
    bool zone;
    switch (type->kind) {
        case AP_TYPE_STRING: return set_text(out, text);
        case AP_TYPE_BOOLEAN: return parse_bool(text, &truth) && set_exact(out, truth, 0);
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
            return ap_decimal_parse(text, &digits, &scale) && scale == 0 &&
                   set_exact(out, digits, 0);
        case AP_TYPE_DECIMAL:
            return ap_decimal_parse(text, &digits, &scale) && scale <= type->scale &&
                   set_exact(out, digits, scale);
        case AP_TYPE_FLOAT: return parse_double(text, &number) && set_float(out, number);
        case AP_TYPE_DOUBLE:
            return parse_double(text, &number) && set_double(out, number, ULPS_TEXT);
        case AP_TYPE_DATE:
            return ap_date_parse(text, &days) &&
                   !__builtin_mul_overflow((int64_t)days, AP_US_PER_DAY, &us) && set_us(out, us, 0);
        case AP_TYPE_TIMESTAMP:
            return parse_time(text, &us, &zone) && set_us(out, us, zone ? 0 : ZONE_SLACK_US);
        case AP_TYPE_TIMESTAMP_NTZ:
            return parse_time(text, &us, &zone) && set_us(out, us, zone ? ZONE_SLACK_US : 0);
        default: return false;
    }
}

static bool time_literal(
    const struct ap_type *type, const struct ap_literal *literal, struct ap_interval *out)
{
    int64_t us;
    bool zone;
    if (!parse_time(literal->text, &us, &zone)) return false;
    bool instant = literal->type == AP_LITERAL_TIMESTAMP_TZ;
    switch (type->kind) {
        case AP_TYPE_DATE:
        case AP_TYPE_TIMESTAMP_NTZ: return set_us(out, us, instant ? ZONE_SLACK_US : 0);
        case AP_TYPE_TIMESTAMP: return set_us(out, us, instant ? 0 : ZONE_SLACK_US);
        default: return false;
    }
}

bool ap_literal_interval(
    const struct ap_type *type, const struct ap_literal *literal, struct ap_interval *out)
{
    bool truth;
    switch (literal->type) {
        case AP_LITERAL_NULL: return false;
        case AP_LITERAL_BOOL:
            return type->kind == AP_TYPE_BOOLEAN && parse_bool(literal->text, &truth) &&
                   set_exact(out, truth, 0);
        case AP_LITERAL_NUMBER:
        case AP_LITERAL_DOUBLE: return number_literal(type, literal, out);
        case AP_LITERAL_STRING: return string_literal(type, literal->text, out);
        case AP_LITERAL_DATE:
        case AP_LITERAL_TIMESTAMP:
        case AP_LITERAL_TIMESTAMP_TZ: return time_literal(type, literal, out);
    }
    return false;
}

/* ---- partition values ---- */

bool ap_partition_interval(const struct ap_type *type, enum ap_domain_kind domain,
    struct ap_str text, struct ap_interval *out)
{
    __int128 digits;
    int scale;
    double number;
    bool truth, zone;
    int64_t us;
    if (domain == AP_DOMAIN_DOUBLE) {
        if (!parse_double(text, &number)) return false;
        return type->kind == AP_TYPE_FLOAT ? set_float(out, number)
                                           : set_double(out, number, ULPS_CONVERSION);
    }
    switch (type->kind) {
        case AP_TYPE_STRING: return domain == AP_DOMAIN_TEXT && set_text(out, text);
        case AP_TYPE_BOOLEAN: return parse_bool(text, &truth) && set_exact(out, truth, 0);
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
        case AP_TYPE_DECIMAL:
            return ap_decimal_parse(text, &digits, &scale) && set_exact(out, digits, scale);
        case AP_TYPE_DATE: return parse_time(text, &us, &zone) && set_us(out, us, 0);
        case AP_TYPE_TIMESTAMP:
            return parse_time(text, &us, &zone) && set_us(out, us, zone ? 0 : ZONE_SLACK_US);
        case AP_TYPE_TIMESTAMP_NTZ:
            return parse_time(text, &us, &zone) && set_us(out, us, zone ? ZONE_SLACK_US : 0);
        default: return false;
    }
}

/* ---- bounds ---- */

/* Some writers pass decimals through a double; what that can lose is given back. */
static __int128 widen_decimal(__int128 digits, bool upper)
{
    __int128 slack = (digits < 0 ? -digits : digits) / ((__int128)1 << 50) + 1;
    return upper ? digits + slack : digits - slack;
}

static bool double_bound(
    const struct ap_type *type, struct ap_str text, bool upper, struct ap_value *out)
{
    struct ap_interval interval;
    double number;
    if (!parse_double(text, &number)) return false;
    bool made = type->kind == AP_TYPE_FLOAT
                    ? set_float(&interval, number)
                    : set_double(&interval, number,
                          type->kind == AP_TYPE_DOUBLE ? ULPS_TEXT : ULPS_CONVERSION);
    if (made) *out = upper ? interval.high : interval.low;
    return made;
}

bool ap_stats_bound(const struct ap_type *type, enum ap_domain_kind domain, struct ap_str text,
    bool upper, struct ap_value *out)
{
    __int128 digits;
    int scale;
    bool truth, zone;
    int64_t us;
    if (domain == AP_DOMAIN_DOUBLE) return double_bound(type, text, upper, out);
    switch (type->kind) {
        case AP_TYPE_STRING:
            *out = (struct ap_value) { .domain = AP_DOMAIN_TEXT, .text = text };
            return domain == AP_DOMAIN_TEXT;
        case AP_TYPE_BOOLEAN:
            if (!parse_bool(text, &truth)) return false;
            *out = exact_value(truth, 0);
            return true;
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
            if (!ap_decimal_parse(text, &digits, &scale)) return false;
            *out = exact_value(digits, scale);
            return true;
        case AP_TYPE_DECIMAL:
            if (!ap_decimal_parse(text, &digits, &scale)) return false;
            *out = exact_value(
                type->precision > DOUBLE_DIGITS ? widen_decimal(digits, upper) : digits, scale);
            return true;
        case AP_TYPE_DATE:
        case AP_TYPE_TIMESTAMP_NTZ:
        case AP_TYPE_TIMESTAMP: {
            /* Times are cut to the millisecond by their writers, in either direction before 1970.
             */
            if (!parse_time(text, &us, &zone)) return false;
            int64_t slack = type->kind == AP_TYPE_DATE ? 0 : MS_US;
            if (type->kind != AP_TYPE_DATE && zone != (type->kind == AP_TYPE_TIMESTAMP))
                slack += ZONE_SLACK_US;
            *out = exact_value(upper ? (__int128)us + slack : (__int128)us - slack, 0);
            return true;
        }
        default: return false;
    }
}
