#include "sql/predicate_private.h"

#include "core/time.h"

#include <math.h>
#include <stdio.h>

static bool copy_text(struct ap_predicates *run, struct ap_str text, struct ap_literal *out,
    enum ap_literal_type type)
{
    char *copy = ap_predicates_alloc(run, text.size + 1);
    if (!copy) return false;
    memcpy(copy, text.data, text.size);
    *out = (struct ap_literal) { .type = type, .text = { copy, text.size } };
    return true;
}

/* An integer of up to 128 bits: a JSON number, or {"upper": high 64 bits, "lower": low ones}. */
static bool integer_text(yyjson_val *value, char out[64])
{
    if (yyjson_is_sint(value)) {
        snprintf(out, 64, "%lld", (long long)yyjson_get_sint(value));
    } else if (yyjson_is_uint(value)) {
        snprintf(out, 64, "%llu", (unsigned long long)yyjson_get_uint(value));
    } else if (yyjson_is_obj(value)) {
        yyjson_val *upper = yyjson_obj_get(value, "upper"), *lower = yyjson_obj_get(value, "lower");
        if (!yyjson_is_int(upper) || !yyjson_is_uint(lower)) return false;
        if (yyjson_is_uint(upper) && yyjson_get_uint(upper) > INT64_MAX)
            return false; /* UHUGEINT */
        unsigned __int128 bits =
            (unsigned __int128)(uint64_t)yyjson_get_sint(upper) << 64 | yyjson_get_uint(lower);
        __int128 number = (__int128)bits;
        bool negative = number < 0;
        unsigned __int128 rest = negative ? -(unsigned __int128)number : (unsigned __int128)number;
        char digits[64];
        size_t count = 0;
        do digits[count++] = (char)('0' + (int)(rest % 10));
        while ((rest /= 10) > 0);
        if (negative) *out++ = '-';
        while (count > 0) *out++ = digits[--count];
        *out = 0;
    } else {
        return false;
    }
    return true;
}

/* "-150" of scale 2 is -1.50. */
static bool decimal_text(yyjson_val *type_info, const char *digits, char out[128])
{
    int64_t scale;
    if (!ap_json_i64(type_info, "scale", &scale) || scale < 0 || scale > 38) return false;
    bool negative = *digits == '-';
    digits += negative;
    int length = (int)strlen(digits), whole = length - (int)scale;
    if (scale == 0)
        snprintf(out, 128, "%s%s", negative ? "-" : "", digits);
    else if (whole > 0)
        snprintf(out, 128, "%s%.*s.%s", negative ? "-" : "", whole, digits, digits + whole);
    else
        snprintf(out, 128, "%s0.%.*s%s", negative ? "-" : "", -whole,
            "00000000000000000000000000000000000000", digits);
    return true;
}

static bool is_integer_type(struct ap_str id)
{
    static const char *const types[] = { "INTEGER", "BIGINT", "SMALLINT", "TINYINT", "HUGEINT",
        "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (ap_str_is(id, types[i])) return true;
    return false;
}

static bool constant(struct ap_predicates *run, yyjson_val *expression, struct ap_literal *out)
{
    yyjson_val *holder = yyjson_obj_get(expression, "value"),
               *type = yyjson_obj_get(holder, "type");
    yyjson_val *value = yyjson_obj_get(holder, "value");
    struct ap_str id = ap_node_str(type, "id"), text;
    char digits[64], number[128];
    bool is_null = false;
    if (ap_json_bool(holder, "is_null", &is_null) && is_null) {
        *out = (struct ap_literal) { .type = AP_LITERAL_NULL, .text = AP_STR("") };
        return true;
    }
    if (ap_str_is(id, "BOOLEAN") && yyjson_is_bool(value))
        return copy_text(
            run, ap_str_from(yyjson_get_bool(value) ? "true" : "false"), out, AP_LITERAL_BOOL);
    if (ap_str_is(id, "VARCHAR") && ap_json_str(holder, "value", &text))
        return copy_text(run, text, out, AP_LITERAL_STRING);
    if (ap_str_is(id, "DOUBLE") && yyjson_is_num(value) && isfinite(yyjson_get_num(value))) {
        snprintf(number, sizeof number, "%.17g", yyjson_get_num(value));
        return copy_text(run, ap_str_from(number), out, AP_LITERAL_DOUBLE);
    }
    if (is_integer_type(id) && integer_text(value, digits))
        return copy_text(run, ap_str_from(digits), out, AP_LITERAL_NUMBER);
    if (ap_str_is(id, "DECIMAL") && integer_text(value, digits) &&
        decimal_text(yyjson_obj_get(type, "type_info"), digits, number))
        return copy_text(run, ap_str_from(number), out, AP_LITERAL_NUMBER);
    return false;
}

/* The texts that the parsers of core/time.h take are those on which the engine agrees with them:
 * no zone for TIMESTAMP, a zone for TIMESTAMPTZ (else the session's is meant), nothing cut off. */
static bool cast_time(
    struct ap_predicates *run, struct ap_str text, struct ap_str type, struct ap_literal *out)
{
    char formatted[AP_TIME_TEXT_MAX];
    bool with_zone = ap_str_is(type, "TIMESTAMP WITH TIME ZONE"), had_zone = false, inexact = false;
    int32_t days;
    int64_t us;
    if (ap_str_is(type, "DATE")) {
        if (!ap_date_parse(text, &days)) return false;
        ap_date_format(days, formatted);
        return copy_text(run, ap_str_from(formatted), out, AP_LITERAL_DATE);
    }
    if (!with_zone && ap_date_parse(text, &days)) {
        us = (int64_t)days * AP_US_PER_DAY;
    } else if (!ap_timestamp_parse(text, &us, &had_zone, &inexact) || had_zone != with_zone ||
               inexact) {
        return false;
    }
    ap_timestamp_format(us, ' ', 6, false, formatted);
    return copy_text(run, ap_str_from(formatted), out,
        with_zone ? AP_LITERAL_TIMESTAMP_TZ : AP_LITERAL_TIMESTAMP);
}

static bool cast_text(
    struct ap_predicates *run, struct ap_str text, struct ap_str type, struct ap_literal *out)
{
    if (ap_str_is(type, "VARCHAR")) return copy_text(run, text, out, AP_LITERAL_STRING);
    if (ap_str_is(type, "BOOLEAN")) { /* TRUE is written 't'::BOOLEAN */
        bool yes = ap_str_is(text, "t") || ap_str_is(text, "true"),
             no = ap_str_is(text, "f") || ap_str_is(text, "false");
        return (yes || no) &&
               copy_text(run, ap_str_from(yes ? "true" : "false"), out, AP_LITERAL_BOOL);
    }
    if (ap_str_is(type, "DATE") || ap_str_is(type, "TIMESTAMP") ||
        ap_str_is(type, "TIMESTAMP WITH TIME ZONE"))
        return cast_time(run, text, type, out);
    int64_t number;
    if (is_integer_type(type) && ap_str_to_i64(text, &number))
        return copy_text(run, text, out, AP_LITERAL_NUMBER);
    return false;
}

/* Casts that keep the number: an integer to a type that holds it, or to a decimal. */
static bool cast_number(struct ap_predicates *run, const struct ap_literal *from,
    struct ap_str type, struct ap_literal *out)
{
    enum { EXACT_DOUBLE_DIGITS = 15 };
    bool integer = memchr(from->text.data, '.', from->text.size) == NULL;
    if (from->type != AP_LITERAL_NUMBER || !integer) return false;
    *out = *from;
    if (is_integer_type(type) || ap_str_is(type, "DECIMAL")) return true;
    if (!ap_str_is(type, "DOUBLE") || from->text.size > EXACT_DOUBLE_DIGITS) return false;
    out->type = AP_LITERAL_DOUBLE;
    return true;
}

/* What stands without a cast: a constant, or a parameter that the caller gave a value. */
static bool plain(struct ap_predicates *run, yyjson_val *expression, struct ap_literal *out)
{
    if (ap_node_is(expression, "class", "CONSTANT")) return constant(run, expression, out);
    if (!ap_node_is(expression, "class", "PARAMETER")) return false;
    struct ap_str name = ap_node_str(expression, "identifier");
    for (size_t i = 0; i < run->names->parameter_count; i++) {
        if (!ap_str_equal_nocase(run->names->parameters[i].name, name)) continue;
        *out = run->names->parameters[i].literal;
        return true;
    }
    return false;
}

bool ap_literal_of(struct ap_predicates *run, yyjson_val *expression, struct ap_literal *out)
{
    if (plain(run, expression, out)) return true;
    bool try_cast = false;
    yyjson_val *child = yyjson_obj_get(expression, "child");
    struct ap_str type = ap_node_str(yyjson_obj_get(expression, "cast_type"), "id");
    struct ap_literal inner;
    if (!ap_node_is(expression, "class", "CAST")) return false;
    if ((ap_json_bool(expression, "try_cast", &try_cast) && try_cast) ||
        !plain(run, child, &inner))
        return false;
    if (inner.type == AP_LITERAL_NULL) {
        *out = inner;
        return true;
    }
    if (inner.type == AP_LITERAL_STRING) return cast_text(run, inner.text, type, out);
    return cast_number(run, &inner, type, out);
}
