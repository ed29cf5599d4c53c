#include "ledger/action.h"

#include "core/alloc.h"

static const struct {
    const char *name;
    enum ap_action_kind kind;
} kinds[] = {
    { "add", AP_ACTION_ADD },
    { "remove", AP_ACTION_REMOVE },
    { "commitInfo", AP_ACTION_COMMIT_INFO },
    { "protocol", AP_ACTION_PROTOCOL },
    { "metaData", AP_ACTION_METADATA },
    { "txn", AP_ACTION_TXN },
    { "domainMetadata", AP_ACTION_DOMAIN },
    { "cdc", AP_ACTION_CDC },
    { "sidecar", AP_ACTION_SIDECAR },
    { "checkpointMetadata", AP_ACTION_CHECKPOINT_METADATA },
};

static enum ap_action_kind kind_of(struct ap_str name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (ap_str_is(name, kinds[i].name)) return kinds[i].kind;
    return AP_ACTION_UNKNOWN;
}

void ap_action_reader_done(struct ap_action_reader *reader)
{
    yyjson_doc_free(reader->doc);
    ap_free(reader->partition);
    ap_bytes_done(&reader->tags);
    *reader = (struct ap_action_reader) { 0 };
}

bool ap_commit_next_line(struct ap_str *rest, struct ap_str *line)
{
    while (rest->size) {
        const char *end = memchr(rest->data, '\n', rest->size);
        size_t size = end ? (size_t)(end - rest->data) : rest->size;
        struct ap_str found = ap_str_trim((struct ap_str) { rest->data, size });
        size_t step = end ? size + 1 : size;
        rest->data += step;
        rest->size -= step;
        if (found.size == 0) continue;
        *line = found;
        return true;
    }
    return false;
}

enum ap_action_kind ap_action_peek(struct ap_str line)
{
    size_t i = 0;
    while (i < line.size && line.data[i] != '"') {
        if (line.data[i] != '{' && line.data[i] != ' ' && line.data[i] != '\t')
            return AP_ACTION_UNKNOWN;
        i++;
    }
    struct ap_str rest =
        i < line.size ? (struct ap_str) { line.data + i + 1, line.size - i - 1 } : AP_STR("");
    const char *end = rest.size ? memchr(rest.data, '"', rest.size) : NULL;
    return end ? kind_of((struct ap_str) { rest.data, (size_t)(end - rest.data) })
               : AP_ACTION_UNKNOWN;
}

static struct ap_str text_or_empty(yyjson_val *object, const char *key)
{
    struct ap_str text;
    return ap_json_str(object, key, &text) ? text : AP_STR("");
}

static int64_t number_or(yyjson_val *object, const char *key, int64_t fallback)
{
    int64_t number;
    return ap_json_i64(object, key, &number) ? number : fallback;
}

static bool bool_or(yyjson_val *object, const char *key, bool fallback)
{
    bool value;
    return ap_json_bool(object, key, &value) ? value : fallback;
}

static enum apiary_code missing(struct apiary_error *err, const char *action, const char *field)
{
    return ap_fail(err, APIARY_CORRUPT, "action %s has no %s", action, field);
}

static enum apiary_code parse_partition(struct ap_action_reader *reader, yyjson_val *values,
    struct ap_file_action *out, struct apiary_error *err)
{
    if (!yyjson_is_obj(values)) return APIARY_OK;
    out->has_partition = true;
    size_t count = yyjson_obj_size(values);
    if (count == 0) return APIARY_OK;
    if (count > AP_ACTION_PARTITIONS_MAX)
        return ap_fail(err, APIARY_LIMIT, "%zu partition values are more than %d", count,
            AP_ACTION_PARTITIONS_MAX);
    AP_TRY(AP_GROW(reader->partition, reader->partition_capacity, count, err));
    size_t i, total;
    yyjson_val *key, *value;
    yyjson_obj_foreach(values, i, total, key, value)
    {
        struct ap_property *to = &reader->partition[i];
        to->key = (struct ap_str) { yyjson_get_str(key), yyjson_get_len(key) };
        to->value = (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) };
        if (!yyjson_is_str(value) && !yyjson_is_null(value))
            return ap_fail(err, APIARY_CORRUPT, "partition value of \"" AP_FMT "\" is not text",
                AP_ARG(to->key));
        if (yyjson_is_null(value)) to->value = (struct ap_str) { NULL, 0 };
    }
    out->partition = reader->partition;
    out->partition_count = count;
    return APIARY_OK;
}

enum apiary_code ap_deletion_vector_check(
    const struct ap_deletion_vector *vector, struct apiary_error *err)
{
    struct ap_str storage = vector->storage;
    if (storage.size != 1 || !memchr("uip", storage.data[0], 3))
        return ap_fail(err, APIARY_CORRUPT, "deletion vector of unknown storage \"" AP_FMT "\"",
            AP_ARG(storage));
    if (vector->path_or_inline.size == 0 || vector->size_bytes < 0 || vector->cardinality < 0 ||
        vector->offset < 0)
        return ap_fail(err, APIARY_CORRUPT, "deletion vector without place, size or cardinality");
    return APIARY_OK;
}

static enum apiary_code parse_deletion_vector(
    yyjson_val *json, struct ap_deletion_vector *out, struct apiary_error *err)
{
    if (!yyjson_is_obj(json)) return APIARY_OK;
    out->storage = text_or_empty(json, "storageType");
    out->path_or_inline = text_or_empty(json, "pathOrInlineDv");
    out->has_offset = ap_json_i64(json, "offset", &out->offset);
    out->size_bytes = number_or(json, "sizeInBytes", -1);
    out->cardinality = number_or(json, "cardinality", -1);
    return ap_deletion_vector_check(out, err);
}

static enum apiary_code parse_file(struct ap_action_reader *reader, const char *name,
    yyjson_val *json, struct ap_file_action *out, struct apiary_error *err)
{
    *out = (struct ap_file_action) { .stats = AP_STR(""), .tags = AP_STR("") };
    if (!ap_json_str(json, "path", &out->path) || out->path.size == 0)
        return missing(err, name, "path");
    AP_TRY(parse_partition(reader, yyjson_obj_get(json, "partitionValues"), out, err));
    out->size_bytes = number_or(json, "size", -1);
    out->modified_ms = number_or(json, "modificationTime", 0);
    out->deleted_ms = number_or(json, "deletionTimestamp", 0);
    out->data_change = bool_or(json, "dataChange", true);
    out->stats = text_or_empty(json, "stats");
    yyjson_val *tags = ap_json_member(json, "tags");
    if (yyjson_is_obj(tags) && yyjson_obj_size(tags)) {
        ap_bytes_clear(&reader->tags);
        AP_TRY(ap_json_write_val(tags, &reader->tags, err));
        out->tags = ap_bytes_view(&reader->tags);
    }
    out->base_row_id = number_or(json, "baseRowId", -1);
    out->default_row_commit_version = number_or(json, "defaultRowCommitVersion", -1);
    return parse_deletion_vector(
        ap_json_member(json, "deletionVector"), &out->deletion_vector, err);
}

static bool is_list_of_text(yyjson_val *list, size_t max)
{
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > max) return false;
    size_t i, total;
    yyjson_val *item;
    yyjson_arr_foreach(list, i, total, item) if (!yyjson_is_str(item)) return false;
    return true;
}

static enum apiary_code parse_protocol(
    yyjson_val *json, struct ap_protocol_action *out, struct apiary_error *err)
{
    int64_t reader, writer;
    if (!ap_json_i64(json, "minReaderVersion", &reader))
        return missing(err, "protocol", "minReaderVersion");
    if (!ap_json_i64(json, "minWriterVersion", &writer))
        return missing(err, "protocol", "minWriterVersion");
    if (reader < 0 || reader > INT32_MAX || writer < 0 || writer > INT32_MAX)
        return ap_fail(err, APIARY_CORRUPT, "protocol versions %lld, %lld are out of range",
            (long long)reader, (long long)writer);
    *out = (struct ap_protocol_action) { (int)reader, (int)writer,
        ap_json_member(json, "readerFeatures"), ap_json_member(json, "writerFeatures") };
    yyjson_val *lists[] = { out->reader_features, out->writer_features };
    for (int i = 0; i < 2; i++)
        if (lists[i] && !is_list_of_text(lists[i], AP_FEATURES_MAX))
            return ap_fail(err, APIARY_CORRUPT, "protocol: %s is not a list of names",
                i ? "writerFeatures" : "readerFeatures");
    return APIARY_OK;
}

static enum apiary_code parse_metadata(
    yyjson_val *json, struct ap_metadata_action *out, struct apiary_error *err)
{
    *out = (struct ap_metadata_action) { .id = text_or_empty(json, "id"),
        .name = text_or_empty(json, "name"),
        .description = text_or_empty(json, "description"),
        .created_ms = number_or(json, "createdTime", -1) };
    /* Tables that were set up in steps begin without a schema. */
    out->schema_json = text_or_empty(json, "schemaString");
    if (out->schema_json.size == 0 && out->id.size == 0)
        return missing(err, "metaData", "schemaString");
    struct ap_str provider = text_or_empty(ap_json_member(json, "format"), "provider");
    if (provider.size && !ap_str_equal_nocase(provider, AP_STR("parquet")))
        return ap_fail(err, APIARY_UNSUPPORTED, "cells of format \"" AP_FMT "\" are not supported",
            AP_ARG(provider));
    out->partition_columns = ap_json_member(json, "partitionColumns");
    if (out->partition_columns &&
        !is_list_of_text(out->partition_columns, AP_ACTION_PARTITIONS_MAX))
        return ap_fail(err, APIARY_CORRUPT, "metaData: partitionColumns is not a list of names");
    out->configuration = ap_json_member(json, "configuration");
    if (out->configuration && (!yyjson_is_obj(out->configuration) ||
                                  yyjson_obj_size(out->configuration) > AP_PROPERTIES_MAX))
        return ap_fail(err, APIARY_CORRUPT, "metaData: configuration is not a map");
    return APIARY_OK;
}

static enum apiary_code parse_info(yyjson_val *json, struct ap_commit_info *out)
{
    *out = (struct ap_commit_info) {
        .timestamp_ms = number_or(json, "timestamp", -1),
        .in_commit_timestamp_ms = number_or(json, "inCommitTimestamp", -1),
        .read_version = number_or(json, "readVersion", -1),
        .blind_append = bool_or(json, "isBlindAppend", false),
        .operation = text_or_empty(json, "operation"),
        .engine = text_or_empty(json, "engineInfo"),
        .txn_id = text_or_empty(json, "txnId"),
        .parameters = ap_json_member(json, "operationParameters"),
        .metrics = ap_json_member(json, "operationMetrics"),
    };
    return APIARY_OK;
}

static enum apiary_code parse_kind(struct ap_action_reader *reader, enum ap_action_kind kind,
    yyjson_val *json, struct ap_action *out, struct apiary_error *err)
{
    switch (kind) {
        case AP_ACTION_ADD: return parse_file(reader, "add", json, &out->file, err);
        case AP_ACTION_REMOVE: return parse_file(reader, "remove", json, &out->file, err);
        case AP_ACTION_CDC: return parse_file(reader, "cdc", json, &out->file, err);
        case AP_ACTION_PROTOCOL: return parse_protocol(json, &out->protocol, err);
        case AP_ACTION_METADATA: return parse_metadata(json, &out->metadata, err);
        case AP_ACTION_COMMIT_INFO: return parse_info(json, &out->info);
        case AP_ACTION_TXN:
            if (!ap_json_str(json, "appId", &out->txn.app_id)) return missing(err, "txn", "appId");
            if (!ap_json_i64(json, "version", &out->txn.version))
                return missing(err, "txn", "version");
            out->txn.updated_ms = number_or(json, "lastUpdated", -1);
            return APIARY_OK;
        case AP_ACTION_DOMAIN:
            if (!ap_json_str(json, "domain", &out->domain.domain.domain))
                return missing(err, "domainMetadata", "domain");
            out->domain.domain.configuration = text_or_empty(json, "configuration");
            out->domain.removed = bool_or(json, "removed", false);
            return APIARY_OK;
        case AP_ACTION_SIDECAR:
            if (!ap_json_str(json, "path", &out->sidecar.path))
                return missing(err, "sidecar", "path");
            out->sidecar.size_bytes = number_or(json, "sizeInBytes", -1);
            return APIARY_OK;
        case AP_ACTION_CHECKPOINT_METADATA:
        case AP_ACTION_UNKNOWN: return APIARY_OK;
    }
    return APIARY_OK;
}

enum apiary_code ap_action_from_json(struct ap_action_reader *reader, yyjson_val *json,
    struct ap_action *out, struct apiary_error *err)
{
    if (!yyjson_is_obj(json)) return ap_fail(err, APIARY_CORRUPT, "an action is not a JSON object");
    size_t i, total;
    yyjson_val *key, *value;
    /* One key an object; a converter may leave null members of the other kinds beside it. */
    yyjson_obj_foreach(json, i, total, key, value)
    {
        enum ap_action_kind kind =
            kind_of((struct ap_str) { yyjson_get_str(key), yyjson_get_len(key) });
        if (kind == AP_ACTION_UNKNOWN || yyjson_is_null(value)) continue;
        if (!yyjson_is_obj(value))
            return ap_fail(err, APIARY_CORRUPT, "action %s is not an object", yyjson_get_str(key));
        AP_TRY(parse_kind(reader, kind, value, out, err));
        out->kind = kind;
        return APIARY_OK;
    }
    out->kind = AP_ACTION_UNKNOWN;
    return APIARY_OK;
}

enum apiary_code ap_action_parse(struct ap_action_reader *reader, struct ap_str line,
    struct ap_action *out, struct apiary_error *err)
{
    yyjson_doc_free(reader->doc);
    reader->doc = NULL;
    AP_TRY(ap_json_parse(line, "action", &reader->doc, err));
    return ap_action_from_json(reader, yyjson_doc_get_root(reader->doc), out, err);
}
