#include "ledger/action.h"

#include <inttypes.h>

static enum apiary_code add_member(
    struct ap_bytes *out, const char *before, struct ap_str text, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, before, err));
    return ap_json_quote(out, text, err);
}

static enum apiary_code add_list(struct ap_bytes *out, const char *before,
    const struct ap_str *items, size_t count, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, before, err));
    AP_TRY(ap_bytes_add_text(out, "[", err));
    for (size_t i = 0; i < count; i++) AP_TRY(add_member(out, i ? "," : "", items[i], err));
    return ap_bytes_add_text(out, "]", err);
}

enum apiary_code ap_action_write_protocol(
    struct ap_bytes *out, const struct ap_protocol *protocol, struct apiary_error *err)
{
    AP_TRY(
        ap_bytes_printf(out, err, "{\"protocol\":{\"minReaderVersion\":%d,\"minWriterVersion\":%d",
            protocol->min_reader, protocol->min_writer));
    if (protocol->min_reader >= 3)
        AP_TRY(add_list(out, ",\"readerFeatures\":", protocol->reader_features,
            protocol->reader_feature_count, err));
    if (protocol->min_writer >= 7)
        AP_TRY(add_list(out, ",\"writerFeatures\":", protocol->writer_features,
            protocol->writer_feature_count, err));
    return ap_bytes_add_text(out, "}}\n", err);
}

enum apiary_code ap_action_write_metadata(
    struct ap_bytes *out, const struct ap_metadata *metadata, struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"metaData\":{\"id\":", metadata->id, err));
    if (metadata->name.size) AP_TRY(add_member(out, ",\"name\":", metadata->name, err));
    if (metadata->description.size)
        AP_TRY(add_member(out, ",\"description\":", metadata->description, err));
    AP_TRY(
        add_member(out, ",\"format\":{\"provider\":\"parquet\",\"options\":{}},\"schemaString\":",
            metadata->schema_json, err));
    AP_TRY(add_list(
        out, ",\"partitionColumns\":", metadata->partition_by, metadata->partition_count, err));
    AP_TRY(ap_bytes_add_text(out, ",\"configuration\":{", err));
    for (size_t i = 0; i < metadata->configuration_count; i++) {
        AP_TRY(add_member(out, i ? "," : "", metadata->configuration[i].key, err));
        AP_TRY(add_member(out, ":", metadata->configuration[i].value, err));
    }
    AP_TRY(ap_bytes_add_text(out, "}", err));
    if (metadata->created_ms >= 0)
        AP_TRY(ap_bytes_printf(out, err, ",\"createdTime\":%" PRId64, metadata->created_ms));
    return ap_bytes_add_text(out, "}}\n", err);
}

static enum apiary_code add_partition(struct ap_bytes *out, const struct ap_cell *cell,
    const struct ap_str *names, size_t count, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, ",\"partitionValues\":{", err));
    for (size_t i = 0; i < count; i++) {
        AP_TRY(add_member(out, i ? "," : "", names[i], err));
        if (cell->partition_values[i].data)
            AP_TRY(add_member(out, ":", cell->partition_values[i], err));
        else
            AP_TRY(ap_bytes_add_text(out, ":null", err));
    }
    return ap_bytes_add_text(out, "}", err);
}

static enum apiary_code add_deletion_vector(
    struct ap_bytes *out, const struct ap_deletion_vector *vector, struct apiary_error *err)
{
    if (vector->storage.size == 0) return APIARY_OK;
    AP_TRY(add_member(out, ",\"deletionVector\":{\"storageType\":", vector->storage, err));
    AP_TRY(add_member(out, ",\"pathOrInlineDv\":", vector->path_or_inline, err));
    if (vector->has_offset)
        AP_TRY(ap_bytes_printf(out, err, ",\"offset\":%" PRId64, vector->offset));
    return ap_bytes_printf(out, err, ",\"sizeInBytes\":%" PRId64 ",\"cardinality\":%" PRId64 "}",
        vector->size_bytes, vector->cardinality);
}

static enum apiary_code add_row_tracking(
    struct ap_bytes *out, const struct ap_cell *cell, struct apiary_error *err)
{
    if (cell->base_row_id >= 0)
        AP_TRY(ap_bytes_printf(out, err, ",\"baseRowId\":%" PRId64, cell->base_row_id));
    if (cell->default_row_commit_version >= 0)
        AP_TRY(ap_bytes_printf(
            out, err, ",\"defaultRowCommitVersion\":%" PRId64, cell->default_row_commit_version));
    return APIARY_OK;
}

enum apiary_code ap_action_write_add(struct ap_bytes *out, const struct ap_cell *cell,
    const struct ap_str *names, size_t name_count, bool data_change, struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"add\":{\"path\":", cell->path, err));
    AP_TRY(add_partition(out, cell, names, name_count, err));
    AP_TRY(ap_bytes_printf(out, err,
        ",\"size\":%" PRId64 ",\"modificationTime\":%" PRId64 ",\"dataChange\":%s",
        cell->size_bytes < 0 ? 0 : cell->size_bytes, cell->modified_ms,
        data_change ? "true" : "false"));
    if (cell->stats.size) AP_TRY(add_member(out, ",\"stats\":", cell->stats, err));
    if (cell->tags.size) {
        AP_TRY(ap_bytes_add_text(out, ",\"tags\":", err));
        AP_TRY(ap_bytes_add_str(out, cell->tags, err));
    }
    AP_TRY(add_deletion_vector(out, &cell->deletion_vector, err));
    AP_TRY(add_row_tracking(out, cell, err));
    return ap_bytes_add_text(out, "}}\n", err);
}

enum apiary_code ap_action_write_remove(struct ap_bytes *out, const struct ap_cell *cell,
    const struct ap_str *names, size_t name_count, int64_t deleted_ms, bool data_change,
    struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"remove\":{\"path\":", cell->path, err));
    AP_TRY(ap_bytes_printf(out, err,
        ",\"deletionTimestamp\":%" PRId64 ",\"dataChange\":%s,\"extendedFileMetadata\":true",
        deleted_ms, data_change ? "true" : "false"));
    AP_TRY(add_partition(out, cell, names, name_count, err));
    AP_TRY(ap_bytes_printf(
        out, err, ",\"size\":%" PRId64, cell->size_bytes < 0 ? 0 : cell->size_bytes));
    AP_TRY(add_deletion_vector(out, &cell->deletion_vector, err));
    AP_TRY(add_row_tracking(out, cell, err));
    return ap_bytes_add_text(out, "}}\n", err);
}

enum apiary_code ap_action_write_tombstone(
    struct ap_bytes *out, const struct ap_tombstone *tombstone, struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"remove\":{\"path\":", tombstone->path, err));
    AP_TRY(ap_bytes_printf(out, err, ",\"deletionTimestamp\":%" PRId64 ",\"dataChange\":false",
        tombstone->deleted_ms));
    if (tombstone->size_bytes >= 0)
        AP_TRY(ap_bytes_printf(out, err, ",\"size\":%" PRId64, tombstone->size_bytes));
    if (tombstone->deletion_vector)
        AP_TRY(add_deletion_vector(out, tombstone->deletion_vector, err));
    return ap_bytes_add_text(out, "}}\n", err);
}

enum apiary_code ap_action_write_txn(
    struct ap_bytes *out, const struct ap_txn *txn, struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"txn\":{\"appId\":", txn->app_id, err));
    AP_TRY(ap_bytes_printf(out, err, ",\"version\":%" PRId64, txn->version));
    if (txn->updated_ms >= 0)
        AP_TRY(ap_bytes_printf(out, err, ",\"lastUpdated\":%" PRId64, txn->updated_ms));
    return ap_bytes_add_text(out, "}}\n", err);
}

enum apiary_code ap_action_write_domain(
    struct ap_bytes *out, const struct ap_domain *domain, struct apiary_error *err)
{
    AP_TRY(add_member(out, "{\"domainMetadata\":{\"domain\":", domain->domain, err));
    AP_TRY(add_member(out, ",\"configuration\":", domain->configuration, err));
    return ap_bytes_add_text(out, ",\"removed\":false}}\n", err);
}
