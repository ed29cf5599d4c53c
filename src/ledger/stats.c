/* add.stats from the Parquet writer's figures (delta.md 5.5).
 *
 * What is not sure to bound every value is left out: floats that may hold NaN, infinities, times
 * outside of four-digit years, types that Delta keeps no bounds of. */
#include "core/time.h"
#include "ledger/column_mapping.h"
#include "ledger/ledger.h"
#include "ledger/prune_value.h"

#include <inttypes.h>
#include <math.h>

enum {
    INDEXED_LEAVES_MAX = 32,
    STRING_POINTS_MAX = 32,
    STRING_POINTS_EXTENDED_MAX = 64,
    YEAR_MAX = 9999
};

enum section { MIN, MAX, NULLS };

struct writer {
    const struct ap_column_figures *columns;
    size_t column_count;
    enum section section;
    size_t leaves; /* passed so far, in schema order */
    struct ap_str path[AP_SCHEMA_DEPTH_MAX];
    struct ap_bytes *out;
    struct apiary_error *err;
};

static const struct ap_column_figures *figures_of(const struct writer *writer, size_t depth)
{
    for (size_t i = 0; i < writer->column_count; i++) {
        const struct ap_column_figures *column = &writer->columns[i];
        if (column->depth != depth) continue;
        size_t same = 0;
        while (same < depth && ap_str_equal(column->path[same], writer->path[same])) same++;
        if (same == depth) return column;
    }
    return NULL;
}

/* ---- strings ---- */

/* Bytes of the first `points` code points. */
static size_t cut(struct ap_str text, size_t points)
{
    size_t at = 0;
    for (; points && at < text.size; points--) {
        size_t length = ap_utf8_length((struct ap_str) { text.data + at, text.size - at });
        at += length ? length : 1;
    }
    return at;
}

#define LARGEST_POINT "\xF4\x8F\xBF\xBF" /* U+10FFFF */

/* A string that is not less than `text`: the first points and one that is larger than what was cut.
 */
static enum apiary_code add_string_max(
    struct ap_str text, struct ap_bytes *value, bool *made, struct apiary_error *err)
{
    for (size_t points = STRING_POINTS_MAX; points <= STRING_POINTS_EXTENDED_MAX; points++) {
        size_t size = cut(text, points);
        if (size == text.size) return ap_bytes_add_str(value, text, err);
        struct ap_str rest = { text.data + size, text.size - size };
        if (ap_str_starts_with(rest, AP_STR(LARGEST_POINT))) continue; /* nothing is larger */
        bool ascii = (unsigned char)rest.data[0] < 0x7f;
        AP_TRY(ap_bytes_add_str(value, (struct ap_str) { text.data, size }, err));
        return ap_bytes_add_text(value, ascii ? "\x7f" : LARGEST_POINT, err);
    }
    *made = false;
    return APIARY_OK;
}

/* ---- one bound as JSON; *made false: there is none ---- */

static bool parse_us(struct ap_str text, int64_t *us)
{
    int32_t days;
    if (ap_date_parse(text, &days))
        return !__builtin_mul_overflow((int64_t)days, AP_US_PER_DAY, us);
    return ap_timestamp_parse(text, us, NULL, NULL);
}

static bool in_years(int64_t days)
{
    int64_t year;
    unsigned month, day;
    ap_civil_from_days(days, &year, &month, &day);
    return year >= 1 && year <= YEAR_MAX;
}

static int64_t floor_to(int64_t value, int64_t unit)
{
    int64_t rest = value % unit;
    return value - (rest < 0 ? rest + unit : rest);
}

/* Cut to milliseconds: down for a minimum, up for a maximum. */
static bool time_text(struct ap_str text, bool zone, bool upper, char out[AP_TIME_TEXT_MAX])
{
    int64_t us;
    if (!parse_us(text, &us)) return false;
    int64_t ms_us = floor_to(us, 1000);
    if (upper && ms_us != us) ms_us += 1000;
    if (!in_years(floor_to(ms_us, AP_US_PER_DAY) / AP_US_PER_DAY)) return false;
    ap_timestamp_format(ms_us, 'T', 3, zone, out);
    return true;
}

static size_t skip_digits(struct ap_str text, size_t at)
{
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') at++;
    return at;
}

/* -1, 0.5, 1e+30; not 01, .5, 5. or inf. */
static bool is_json_number(struct ap_str text)
{
    size_t at = text.size && text.data[0] == '-' ? 1 : 0, before = at;
    at = skip_digits(text, at);
    if (at == before || (at - before > 1 && text.data[before] == '0')) return false;
    if (at < text.size && text.data[at] == '.') {
        before = ++at;
        at = skip_digits(text, at);
        if (at == before) return false;
    }
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '+' || text.data[at] == '-')) at++;
        before = at;
        at = skip_digits(text, at);
        if (at == before) return false;
    }
    return at == text.size;
}

static enum apiary_code bound_json(const struct ap_type *type, struct ap_str text, bool upper,
    bool nan_free, struct ap_bytes *out, bool *made, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) value = { 0 };
    char time[AP_TIME_TEXT_MAX];
    __int128 digits;
    int scale;
    int32_t days;
    double number;
    *made = true;
    switch (type->kind) {
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
        case AP_TYPE_DECIMAL:
            if (!ap_decimal_parse(text, &digits, &scale) || !is_json_number(text)) break;
            return ap_bytes_add_str(out, text, err);
        case AP_TYPE_FLOAT:
        case AP_TYPE_DOUBLE:
            if (!nan_free || !ap_str_to_double(text, &number) || !isfinite(number) ||
                !is_json_number(text))
                break;
            return ap_bytes_add_str(out, text, err); /* printf would ask the locale */
        case AP_TYPE_STRING:
            if (!ap_utf8_valid(text)) break;
            if (upper)
                AP_TRY(add_string_max(text, &value, made, err));
            else
                AP_TRY(ap_bytes_add_str(
                    &value, (struct ap_str) { text.data, cut(text, STRING_POINTS_MAX) }, err));
            return *made ? ap_json_quote(out, ap_bytes_view(&value), err) : APIARY_OK;
        case AP_TYPE_DATE:
            if (!ap_date_parse(text, &days) || !in_years(days)) break;
            ap_date_format(days, time);
            return ap_bytes_printf(out, err, "\"%s\"", time);
        case AP_TYPE_TIMESTAMP:
        case AP_TYPE_TIMESTAMP_NTZ:
            if (!time_text(text, type->kind == AP_TYPE_TIMESTAMP, upper, time)) break;
            return ap_bytes_printf(out, err, "\"%s\"", time);
        default: break;
    }
    *made = false;
    return APIARY_OK;
}

/* ---- the tree ---- */

static enum apiary_code write_struct(
    struct writer *writer, const struct ap_field *fields, size_t count, size_t depth, bool *any);

static enum apiary_code write_leaf(
    struct writer *writer, const struct ap_field *field, size_t depth, bool *made)
{
    const struct ap_column_figures *figures = figures_of(writer, depth);
    if (++writer->leaves > INDEXED_LEAVES_MAX || !figures) return APIARY_OK;
    if (writer->section == NULLS) {
        *made = figures->null_count >= 0;
        return *made ? ap_bytes_printf(writer->out, writer->err, "%" PRId64, figures->null_count)
                     : APIARY_OK;
    }
    /* One side alone is of no use to readers that expect both. */
    if (!figures->min.data || !figures->max.data) return APIARY_OK;
    AP_AUTO(ap_bytes) other = { 0 };
    struct ap_str text = writer->section == MIN ? figures->min : figures->max;
    bool nan_free = figures->has_nan == 0, both;
    AP_TRY(bound_json(&field->type, writer->section == MIN ? figures->max : figures->min,
        writer->section != MAX, nan_free, &other, &both, writer->err));
    if (!both) return APIARY_OK;
    return bound_json(
        &field->type, text, writer->section == MAX, nan_free, writer->out, made, writer->err);
}

static enum apiary_code write_field(
    struct writer *writer, const struct ap_field *field, size_t depth, bool first, bool *made)
{
    size_t before = writer->out->size;
    writer->path[depth - 1] = ap_field_physical(field);
    *made = false;
    if (!first) AP_TRY(ap_bytes_add_text(writer->out, ",", writer->err));
    AP_TRY(ap_json_quote(
        writer->out, ap_field_physical(field), writer->err));
    AP_TRY(ap_bytes_add_text(writer->out, ":", writer->err));
    if (field->type.kind == AP_TYPE_STRUCT)
        AP_TRY(write_struct(writer, field->type.children, field->type.child_count, depth, made));
    else
        AP_TRY(write_leaf(writer, field, depth, made));
    if (!*made) {
        writer->out->size = before;
        writer->out->data[before] = 0;
    }
    return APIARY_OK;
}

static enum apiary_code write_struct(
    struct writer *writer, const struct ap_field *fields, size_t count, size_t depth, bool *any)
{
    *any = false;
    if (depth >= AP_SCHEMA_DEPTH_MAX) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(writer->out, "{", writer->err));
    for (size_t i = 0; i < count; i++) {
        bool made;
        AP_TRY(write_field(writer, &fields[i], depth + 1, !*any, &made));
        *any = *any || made;
    }
    return ap_bytes_add_text(writer->out, "}", writer->err);
}

enum apiary_code ap_stats_write(const struct ap_schema *schema, int64_t row_count,
    const struct ap_column_figures *columns, size_t column_count, struct ap_bytes *out,
    struct apiary_error *err)
{
    static const char *const names[] = { ",\"minValues\":", ",\"maxValues\":", ",\"nullCount\":" };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_bytes_printf(&text, err, "{\"numRecords\":%" PRId64, row_count));
    for (int section = MIN; section <= NULLS; section++) {
        struct writer writer = { .columns = columns,
            .column_count = column_count,
            .section = (enum section)section,
            .out = &text,
            .err = err };
        bool any;
        AP_TRY(ap_bytes_add_text(&text, names[section], err));
        AP_TRY(write_struct(&writer, schema->fields, schema->field_count, 0, &any));
    }
    AP_TRY(ap_bytes_add_text(&text, "}", err));
    return ap_bytes_add_str(out, ap_bytes_view(&text), err);
}
