#include "query/replace.h"

#include "query/types.h"

#include "core/alloc.h"
#include "core/time.h"

static enum apiary_code add_value(struct ap_bytes *out, const struct ap_target *target,
    const struct ap_cell *cell, size_t index, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &target->metadata;
    size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[index]);
    const struct ap_type *type = &metadata->schema.fields[column].type;
    struct ap_str value = cell->partition_values[index];
    char normal[AP_TIME_TEXT_MAX];
    int64_t us = 0;
    bool zone = false, inexact = false;
    /* Some writers leave the zone out: it is UTC, whatever the session's is. */
    if (type->kind == AP_TYPE_TIMESTAMP && ap_timestamp_parse(value, &us, &zone, &inexact)) {
        ap_timestamp_format(us, ' ', 6, true, normal);
        value = ap_str_from(normal);
    }
    AP_TRY(ap_bytes_add_text(out, ", CAST(", err));
    AP_TRY(value.data == NULL || value.size == 0 ? ap_bytes_add_text(out, "NULL", err)
                                                 : ap_sql_string(out, value, err));
    AP_TRY(ap_bytes_add_text(out, " AS ", err));
    AP_TRY(ap_type_to_engine(type, out, err));
    return ap_bytes_add_text(out, ")", err);
}

/* SELECT i FROM (VALUES (0, CAST('v' AS T)), …) AS t(i, "p") WHERE (condition) */
static enum apiary_code question(const struct ap_target *target, struct ap_str condition,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT apiary_i FROM (VALUES ", err));
    for (size_t i = 0; i < target->base->cell_count; i++) {
        AP_TRY(ap_bytes_printf(out, err, "%s(%zu", i > 0 ? ", " : "", i));
        for (size_t j = 0; j < target->metadata.partition_count; j++)
            AP_TRY(add_value(out, target, &target->base->cells[i], j, err));
        AP_TRY(ap_bytes_add_text(out, ")", err));
    }
    AP_TRY(ap_bytes_add_text(out, ") AS partitions(apiary_i", err));
    for (size_t j = 0; j < target->metadata.partition_count; j++) {
        AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_name(out, target->metadata.partition_by[j], err));
    }
    return ap_bytes_printf(out, err, ") WHERE (" AP_FMT "\n)", AP_ARG(condition));
}

static enum apiary_code ask(
    struct ap_session *session, struct ap_str sql, struct ap_bytes *done, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_TRY(ap_source_open(session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code = ap_source_ask(source, sql, NULL, done, err);
    ap_source_close(source);
    return code;
}

enum apiary_code ap_replaced_cells(struct ap_session *session, const struct ap_target *target,
    struct ap_str condition, const char *clause, const char *hint,
    const struct ap_cell ***removes, size_t *count, struct apiary_error *err)
{
    if (target->metadata.partition_count == 0) {
        ap_fail(err, APIARY_UNSUPPORTED, "%s works on partition columns, and frame %s has none",
            clause, target->name);
        return ap_hint(err, "%s", hint);
    }
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_AUTO_JSON *answer = NULL;
    size_t cells = target->base->cell_count, found = 0;
    const struct ap_cell **list = ap_calloc(cells == 0 ? 1 : cells, sizeof *list);
    if (list == NULL) return ap_fail_memory(err, "the replaced cells");
    enum apiary_code code = APIARY_OK;
    if (cells > 0) {
        code = question(target, condition, &sql, err);
        if (code == APIARY_OK) code = ask(session, ap_bytes_view(&sql), &done, err);
        if (code == APIARY_OK)
            code = ap_json_parse(ap_bytes_view(&done), "a chamber's answer", &answer, err);
    }
    yyjson_val *row = NULL;
    size_t index = 0, rows = 0;
    yyjson_arr_foreach(
        code == APIARY_OK && cells > 0 ? ap_json_member(yyjson_doc_get_root(answer), "rows") : NULL,
        index, rows, row)
    {
        yyjson_val *number = yyjson_arr_get_first(row);
        uint64_t cell = 0;
        if (!yyjson_is_str(number) ||
            !ap_str_to_u64(
                (struct ap_str) { yyjson_get_str(number), yyjson_get_len(number) }, &cell) ||
            cell >= cells || found == cells) {
            code = ap_fail(err, APIARY_CORRUPT, "a chamber's answer names no cell");
            break;
        }
        list[found++] = &target->base->cells[cell];
    }
    if (code != APIARY_OK) {
        ap_free(list);
        return code;
    }
    *removes = list;
    *count = found;
    return APIARY_OK;
}

enum apiary_code ap_replace_guard(const struct ap_target *target, struct ap_str condition,
    struct ap_bytes *select, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) message = { 0 };
    AP_AUTO(ap_bytes) guarded = { 0 };
    AP_TRY(ap_bytes_printf(&message, err,
        AP_SCHEMA_MARK "a row does not satisfy REPLACE WHERE " AP_FMT " of frame %s",
        AP_ARG(condition), target->name));
    AP_TRY(ap_bytes_printf(&guarded, err,
        "SELECT * FROM (" AP_FMT ") AS apiary_new WHERE CASE WHEN (" AP_FMT
        "\n) THEN true ELSE error(",
        AP_ARG(ap_bytes_view(select)), AP_ARG(condition)));
    AP_TRY(ap_sql_string(&guarded, ap_bytes_view(&message), err));
    AP_TRY(ap_bytes_add_text(&guarded, ") END", err));
    ap_bytes_done(select);
    *select = AP_TAKE(guarded);
    return APIARY_OK;
}
