#include "query/cluster.h"

#include "query/types.h"

#include "core/json.h"
#include "core/map.h"
#include "ledger/protocol.h"

static bool is_partition(const struct ap_metadata *metadata, struct ap_str name)
{
    for (size_t i = 0; i < metadata->partition_count; i++)
        if (ap_str_equal_nocase(metadata->partition_by[i], name)) return true;
    return false;
}

enum apiary_code ap_cluster_columns(
    const struct ap_metadata *metadata, struct ap_texts *out, struct apiary_error *err)
{
    struct ap_str text = ap_metadata_property(metadata, AP_CLUSTER_PROPERTY);
    if (text.size == 0) return APIARY_OK;
    AP_AUTO_JSON *doc = NULL;
    if (ap_json_parse(text, AP_CLUSTER_PROPERTY, &doc, NULL) != APIARY_OK) return APIARY_OK;
    yyjson_val *name = NULL;
    size_t index = 0, count = 0;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), index, count, name)
    {
        if (!yyjson_is_str(name) || out->count == AP_CLUSTER_COLUMNS_MAX) break;
        struct ap_str wanted = { yyjson_get_str(name), yyjson_get_len(name) };
        size_t column = ap_schema_find(&metadata->schema, wanted);
        if (column == SIZE_MAX || is_partition(metadata, wanted)) continue;
        AP_TRY(ap_texts_add(out, metadata->schema.fields[column].name, err));
    }
    return APIARY_OK;
}

static enum apiary_code check_column(
    const struct ap_metadata *metadata, struct ap_str name, size_t *at, struct apiary_error *err)
{
    *at = ap_schema_find(&metadata->schema, name);
    if (*at == SIZE_MAX)
        return ap_fail(
            err, APIARY_SCHEMA, "there is no column \"" AP_FMT "\" to cluster by", AP_ARG(name));
    if (is_partition(metadata, name)) {
        ap_fail(err, APIARY_SCHEMA, "column \"" AP_FMT "\" is a partition column already",
            AP_ARG(name));
        return ap_hint(err, "cells of a partition hold one value of it: leave it out of CLUSTER BY");
    }
    switch (metadata->schema.fields[*at].type.kind) {
        case AP_TYPE_STRUCT:
        case AP_TYPE_ARRAY:
        case AP_TYPE_MAP:
        case AP_TYPE_VARIANT:
        case AP_TYPE_BINARY:
        case AP_TYPE_VOID:
            return ap_fail(err, APIARY_SCHEMA,
                "column \"" AP_FMT "\" cannot be clustered by: its type has no statistics",
                AP_ARG(name));
        default: return APIARY_OK;
    }
}

enum apiary_code ap_cluster_value(const struct ap_metadata *metadata,
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err)
{
    if (columns->count > AP_CLUSTER_COLUMNS_MAX)
        return ap_fail(err, APIARY_LIMIT, "CLUSTER BY takes at most %d columns, these are %zu",
            AP_CLUSTER_COLUMNS_MAX, columns->count);
    AP_TRY(ap_bytes_add_text(out, "[", err));
    for (size_t i = 0; i < columns->count; i++) {
        size_t column = 0;
        AP_TRY(check_column(metadata, ap_str_from(columns->items[i]), &column, err));
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ",", err));
        AP_TRY(ap_json_quote(out, metadata->schema.fields[column].name, err));
    }
    return ap_bytes_add_text(out, "]", err);
}

enum apiary_code ap_cluster_order(
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < columns->count; i++) {
        AP_TRY(ap_bytes_add_text(out, i == 0 ? " ORDER BY " : ", ", err));
        AP_TRY(ap_sql_name(out, ap_str_from(columns->items[i]), err));
    }
    return APIARY_OK;
}

enum apiary_code ap_cluster_tag(
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) order = { 0 };
    AP_TRY(ap_cluster_order(columns, &order, err));
    return ap_bytes_printf(out, err, "\"apiary.sorted\":\"1-%016llx\"",
        (unsigned long long)ap_hash_bytes(ap_bytes_text(&order), order.size, 0));
}
