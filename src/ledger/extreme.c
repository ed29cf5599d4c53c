/* min() and max() of a whole column from the ledger alone, where that is exact (design, section 3).
 */
#include "core/time.h"
#include "ledger/prune_private.h"
#include "ledger/prune_value.h"

/* Decimals of more digits may have come through somebody's double. */
enum { DECIMAL_PRECISION_TRUSTED = 15 };

static bool trusted(const struct ap_type *type)
{
    switch (type->kind) {
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
        case AP_TYPE_DATE: return true;
        case AP_TYPE_DECIMAL: return type->precision <= DECIMAL_PRECISION_TRUSTED;
        default: return false;
    }
}

/* The figure of one cell. false: it does not have it. *none: it has no values. */
static bool cell_extreme(const struct ap_cell *cell, const struct ap_column_path *column,
    bool maximum, struct ap_stats_reader *stats, struct ap_str *text, bool *none)
{
    *none = cell->row_count == 0;
    if (*none) return true;
    if (cell->row_count < 0 || cell->deletion_vector.storage.size) return false;
    if (column->partition != SIZE_MAX) {
        *text = cell->partition_values[column->partition];
        *none = text->data == NULL;
        return true;
    }
    ap_stats_reader_open(stats, cell->stats);
    if (stats->wide) return false;
    int64_t nulls = ap_stats_nulls(stats, column);
    *none = nulls >= 0 && nulls == cell->row_count;
    return *none || ap_stats_text(maximum ? stats->max : stats->min, column, text);
}

static bool parse_value(const struct ap_type *type, struct ap_str text, struct ap_value *out)
{
    *out = (struct ap_value) { .domain = AP_DOMAIN_EXACT };
    int32_t days;
    if (type->kind != AP_TYPE_DATE) return ap_decimal_parse(text, &out->digits, &out->scale);
    if (!ap_date_parse(text, &days)) return false;
    out->digits = days;
    return true;
}

/* Exactly `scale` places; false when digits would be lost. */
static bool rescale(__int128 *digits, int from, int scale)
{
    for (; from < scale; from++)
        if (__builtin_mul_overflow(*digits, (__int128)10, digits)) return false;
    for (; from > scale; from--) {
        if (*digits % 10 != 0) return false;
        *digits /= 10;
    }
    return true;
}

static bool write_value(
    const struct ap_type *type, const struct ap_value *value, struct ap_bytes *out)
{
    char text[AP_TIME_TEXT_MAX];
    if (type->kind == AP_TYPE_DATE) {
        ap_date_format((int32_t)value->digits, text);
        return ap_bytes_add_text(out, text, NULL) == APIARY_OK;
    }
    __int128 digits = value->digits;
    if (!rescale(&digits, value->scale, type->scale)) return false;
    bool negative = digits < 0;
    if (negative) digits = -digits;
    if (digits > INT64_MAX) return false;
    int64_t unit = 1;
    for (int i = 0; i < type->scale; i++) unit *= 10;
    long long whole = (long long)(digits / unit), part = (long long)(digits % unit);
    const char *sign = negative ? "-" : "";
    return (type->scale
                   ? ap_bytes_printf(out, NULL, "%s%lld.%0*lld", sign, whole, type->scale, part)
                   : ap_bytes_printf(out, NULL, "%s%lld", sign, whole)) == APIARY_OK;
}

static bool find_extreme(const struct ap_snapshot *snapshot, const struct ap_column_path *column,
    bool maximum, struct ap_stats_reader *stats, struct ap_value *best, bool *any)
{
    *any = false;
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        struct ap_str text = AP_STR("");
        struct ap_value value;
        bool none, known;
        if (!cell_extreme(&snapshot->cells[i], column, maximum, stats, &text, &none)) return false;
        if (none) continue;
        if (!parse_value(column->type, text, &value)) return false;
        int order = *any ? ap_value_compare(&value, best, &known) : 0;
        if (*any && !known) return false;
        if (!*any || (maximum ? order > 0 : order < 0)) *best = value;
        *any = true;
    }
    return true;
}

bool ap_snapshot_extreme(const struct ap_snapshot *snapshot, size_t column, bool maximum,
    struct ap_bytes *text, bool *is_null)
{
    if (column >= snapshot->metadata.schema.field_count) return false;
    struct ap_column_path path;
    ap_column_resolve(snapshot, &snapshot->metadata.schema.fields[column].name, 1, &path);
    if (!path.type || !trusted(path.type)) return false;
    struct ap_stats_reader stats = { .row_count = -1 };
    struct ap_value best;
    bool any, found = find_extreme(snapshot, &path, maximum, &stats, &best, &any);
    ap_stats_reader_done(&stats);
    if (!found || (any && !write_value(path.type, &best, text))) return false;
    *is_null = !any;
    return true;
}
