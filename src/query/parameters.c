/* The values of parameters as constants that pruning understands. */
#include "query/resolve.h"

#include "core/alloc.h"
#include "core/time.h"

#include <math.h>

enum { NUMBER_TEXT_MAX = 64, DECIMAL_TEXT_MAX = 48 };

/* Digits with an optional sign and point, as pruning reads numbers. */
static bool is_plain_number(struct ap_str text)
{
    bool digit = false, point = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c >= '0' && c <= '9')
            digit = true;
        else if (c == '.' && digit && !point)
            point = true;
        else if (c != '-' || i > 0)
            return false;
    }
    return digit && text.data[text.size - 1] != '.' && text.size <= DECIMAL_TEXT_MAX;
}

/* False: nothing that a predicate can hold. */
static bool literal_of(
    const struct apiary_value *value, char text[NUMBER_TEXT_MAX], struct ap_literal *out)
{
    text[0] = '\0';
    out->text = (struct ap_str) { value->text, value->length };
    switch (value->type) {
        case APIARY_VALUE_NULL:
            *out = (struct ap_literal) { AP_LITERAL_NULL, AP_STR("") };
            return true;
        case APIARY_VALUE_TEXT: out->type = AP_LITERAL_STRING; return true;
        case APIARY_VALUE_DECIMAL:
            out->type = AP_LITERAL_NUMBER;
            return is_plain_number(out->text);
        case APIARY_VALUE_BOOL:
            out->type = AP_LITERAL_BOOL;
            snprintf(text, NUMBER_TEXT_MAX, "%s", value->integer ? "true" : "false");
            break;
        case APIARY_VALUE_INT64:
            out->type = AP_LITERAL_NUMBER;
            snprintf(text, NUMBER_TEXT_MAX, "%lld", (long long)value->integer);
            break;
        case APIARY_VALUE_UINT64:
            out->type = AP_LITERAL_NUMBER;
            snprintf(text, NUMBER_TEXT_MAX, "%llu", (unsigned long long)value->integer);
            break;
        case APIARY_VALUE_DOUBLE:
            if (!isfinite(value->real)) return false;
            out->type = AP_LITERAL_DOUBLE;
            snprintf(text, NUMBER_TEXT_MAX, "%.17g", value->real);
            break;
        case APIARY_VALUE_DATE:
            if (value->integer < INT32_MIN || value->integer > INT32_MAX) return false;
            out->type = AP_LITERAL_DATE;
            ap_date_format((int32_t)value->integer, text);
            break;
        case APIARY_VALUE_TIMESTAMP:
        case APIARY_VALUE_TIMESTAMP_TZ:
            out->type = value->type == APIARY_VALUE_TIMESTAMP ? AP_LITERAL_TIMESTAMP
                                                              : AP_LITERAL_TIMESTAMP_TZ;
            ap_timestamp_format(value->integer, ' ', 6, false, text);
            break;
        default: return false;
    }
    out->text = ap_str_from(text);
    return true;
}

enum apiary_code ap_parameters(struct ap_arena *arena, const struct apiary_query *query,
    struct ap_tree_names *names, struct apiary_error *err)
{
    size_t count = query != NULL ? query->value_count : 0;
    if (count == 0) return APIARY_OK;
    struct ap_parameter *parameters = ap_arena_alloc(arena, count * sizeof *parameters);
    if (parameters == NULL) return ap_fail_memory(err, "parameters");
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct apiary_value *value = &query->values[i];
        char text[NUMBER_TEXT_MAX], number[24];
        struct ap_parameter parameter = { 0 };
        if (!literal_of(value, text, &parameter.literal)) continue;
        bool ok = true;
        snprintf(number, sizeof number, "%zu", i + 1);
        parameter.name =
            ap_arena_str(arena, ap_str_from(value->name != NULL ? value->name : number), &ok);
        if (ok) parameter.literal.text = ap_arena_str(arena, parameter.literal.text, &ok);
        if (!ok) return ap_fail_memory(err, "parameters");
        parameters[used++] = parameter;
    }
    names->parameters = parameters;
    names->parameter_count = used;
    return APIARY_OK;
}
