/* Columns of a source fitted to a frame: order, names, casts, NULL checks. */
#include "query/cellwriter.h"
#include "query/types.h"

#include "core/alloc.h"

static bool is_partition(const struct ap_metadata *metadata, struct ap_str name)
{
    for (size_t i = 0; i < metadata->partition_count; i++)
        if (ap_str_equal_nocase(metadata->partition_by[i], name)) return true;
    return false;
}

/* Which source column goes into target column `at`: SIZE_MAX none. */
static size_t source_of(const struct ap_metadata *metadata, const struct ap_fit *fit, size_t at)
{
    struct ap_str name = metadata->schema.fields[at].name;
    if (fit->names != NULL) {
        for (size_t i = 0; i < fit->names->count; i++)
            if (ap_str_equal_nocase(ap_str_from(fit->names->items[i]), name)) return i;
        return SIZE_MAX;
    }
    if (!fit->by_name) return at < fit->columns->count ? at : SIZE_MAX;
    for (size_t i = 0; i < fit->columns->count; i++) /* the spelling counts first */
        if (ap_str_equal(ap_str_from(fit->columns->items[i].name), name)) return i;
    for (size_t i = 0; i < fit->columns->count; i++)
        if (ap_str_equal_nocase(ap_str_from(fit->columns->items[i].name), name)) return i;
    return SIZE_MAX;
}

/* A source column is called like the frame's column that it goes into, so that an engine's error
 * names what the user knows. */
static enum apiary_code add_alias(const struct ap_target *target, const struct ap_fit *fit,
    size_t from, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_schema *schema = &target->metadata.schema;
    for (size_t at = 0; at < schema->field_count; at++)
        if (source_of(&target->metadata, fit, at) == from)
            return ap_sql_name(out, schema->fields[at].name, err);
    return ap_bytes_printf(out, err, "apiary_c%zu", from);
}

enum apiary_code ap_fit_aliases(const struct ap_target *target, const struct ap_fit *fit,
    struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < fit->columns->count; i++) {
        AP_TRY(ap_bytes_add_text(out, i == 0 ? "(" : ", ", err));
        AP_TRY(add_alias(target, fit, i, out, err));
    }
    return ap_bytes_add_text(out, ")", err);
}

static enum apiary_code check_extra(struct ap_session *session, const struct ap_target *target,
    const struct ap_fit *fit, struct apiary_error *err)
{
    const struct ap_schema *schema = &target->metadata.schema;
    size_t given = fit->columns->count;
    if (fit->names != NULL) {
        for (size_t i = 0; i < fit->names->count; i++)
            if (ap_schema_find(schema, ap_str_from(fit->names->items[i])) == SIZE_MAX)
                return ap_fail(err, APIARY_SCHEMA, "frame %s has no column \"%s\"", target->name,
                    fit->names->items[i]);
        if (given != fit->names->count)
            return ap_fail(err, APIARY_SCHEMA,
                "%zu columns are named and %zu are given for frame %s", fit->names->count, given,
                target->name);
        return APIARY_OK;
    }
    if (!fit->by_name) {
        if (given != schema->field_count)
            return ap_fail(err, APIARY_SCHEMA, "frame %s has %zu columns, the rows have %zu",
                target->name, schema->field_count, given);
        return APIARY_OK;
    }
    for (size_t i = 0; i < given; i++) {
        const char *name = fit->columns->items[i].name;
        if (ap_schema_find(schema, ap_str_from(name)) != SIZE_MAX) continue;
        if (!fit->drop_extra) {
            ap_fail(err, APIARY_SCHEMA, "frame %s has no column \"%s\", which the data has",
                target->name, name);
            return ap_hint(
                err, "leave the column out; from Python, merge_schema=True adds it to the frame");
        }
        ap_session_notice(
            session, "column \"%s\" is not in frame %s and was dropped", name, target->name);
    }
    return APIARY_OK;
}

static enum apiary_code check_type(const struct ap_target *target, const struct ap_field *field,
    const struct ap_described *given, struct apiary_error *err)
{
    if (ap_type_widens(ap_str_from(given->type), &field->type)) return APIARY_OK;
    AP_AUTO(ap_bytes) wanted = { 0 };
    AP_TRY(ap_type_to_engine(&field->type, &wanted, err));
    ap_fail(err, APIARY_SCHEMA,
        "column \"" AP_FMT "\" of frame %s is %s; the data has %s, which does not fit without loss",
        AP_ARG(field->name), target->name, ap_bytes_text(&wanted), given->type);
    return ap_hint(err, "cast the column to %s first", ap_bytes_text(&wanted));
}

/* CASE WHEN value IS NULL THEN error('…') ELSE value END */
static enum apiary_code add_not_null(struct ap_bytes *out, struct ap_str value,
    const struct ap_target *target, struct ap_str column, const char *why, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) message = { 0 };
    AP_TRY(ap_bytes_printf(&message, err, AP_SCHEMA_MARK "column \"" AP_FMT "\" of frame %s %s",
        AP_ARG(column), target->name, why));
    AP_TRY(ap_bytes_printf(out, err, "CASE WHEN " AP_FMT " IS NULL THEN error(", AP_ARG(value)));
    AP_TRY(ap_sql_string(out, ap_bytes_view(&message), err));
    return ap_bytes_printf(out, err, ") ELSE " AP_FMT " END", AP_ARG(value));
}

static enum apiary_code add_column(const struct ap_target *target, const struct ap_fit *fit,
    size_t at, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_field *field = &target->metadata.schema.fields[at];
    size_t from = source_of(&target->metadata, fit, at);
    bool partition = is_partition(&target->metadata, field->name);
    AP_AUTO(ap_bytes) value = { 0 };
    if (from == SIZE_MAX && !field->nullable)
        return ap_fail(err, APIARY_SCHEMA,
            "column \"" AP_FMT "\" of frame %s cannot hold NULL and is missing from the data",
            AP_ARG(field->name), target->name);
    if (from != SIZE_MAX && fit->strict)
        AP_TRY(check_type(target, field, &fit->columns->items[from], err));
    AP_TRY(ap_bytes_add_text(&value, "CAST(", err));
    AP_TRY(from == SIZE_MAX ? ap_bytes_add_text(&value, "NULL", err)
                            : add_alias(target, fit, from, &value, err));
    AP_TRY(ap_bytes_add_text(&value, " AS ", err));
    AP_TRY(ap_type_to_engine(&field->type, &value, err));
    AP_TRY(ap_bytes_add_text(&value, ")", err));
    AP_TRY(ap_fit_within(&value, field, target->name, err));
    if (!field->nullable)
        AP_TRY(
            add_not_null(out, ap_bytes_view(&value), target, field->name, "cannot hold NULL", err));
    else if (partition && fit->refuse_null_partition)
        AP_TRY(add_not_null(out, ap_bytes_view(&value), target, field->name,
            "is a partition column and has a NULL in the data", err));
    else
        AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&value), err));
    AP_TRY(ap_bytes_add_text(out, " AS ", err));
    return ap_sql_name(out, field->name, err);
}

enum apiary_code ap_fit_columns(struct ap_session *session, const struct ap_target *target,
    const struct ap_fit *fit, struct ap_bytes *select_list, struct apiary_error *err)
{
    AP_TRY(check_extra(session, target, fit, err));
    for (size_t i = 0; i < target->metadata.schema.field_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(select_list, ", ", err));
        AP_TRY(add_column(target, fit, i, select_list, err));
    }
    return APIARY_OK;
}
