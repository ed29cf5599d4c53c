#include "ledger/commit_body.h"

#include "core/codec.h"
#include "ledger/action.h"
#include "ledger/column_mapping.h"
#include "ledger/protocol.h"

#include <inttypes.h>

/* What a path keeps as it is; everything else is percent-encoded (delta.md 5.2). */
#define PATH_KEEPS "-._/=~"

bool ap_commit_is_blind(const struct ap_commit *commit)
{
    return commit->base && commit->remove_count == 0 && commit->scope == AP_READ_NOTHING &&
           !commit->spec;
}

static enum apiary_code add_info(const struct ap_commit *commit, const struct ap_snapshot *base,
    const struct ap_commit_stamp *stamp, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"commitInfo\":{", err));
    if (stamp->in_commit_ms >= 0)
        AP_TRY(
            ap_bytes_printf(out, err, "\"inCommitTimestamp\":%" PRId64 ",", stamp->in_commit_ms));
    AP_TRY(ap_bytes_printf(out, err, "\"timestamp\":%" PRId64 ",\"operation\":", stamp->now_ms));
    AP_TRY(ap_json_quote(out, ap_str_from(commit->operation ? commit->operation : "WRITE"), err));
    AP_TRY(ap_bytes_printf(out, err, ",\"operationParameters\":%s",
        commit->operation_parameters ? commit->operation_parameters : "{}"));
    if (base) AP_TRY(ap_bytes_printf(out, err, ",\"readVersion\":%" PRIu64, base->version));
    bool blind = base ? ap_commit_is_blind(commit) : commit->scope == AP_READ_NOTHING;
    AP_TRY(ap_bytes_printf(out, err, ",\"isolationLevel\":\"%s\",\"isBlindAppend\":%s",
        base && !commit->data_change && !commit->spec ? "SnapshotIsolation" : "Serializable",
        blind ? "true" : "false"));
    AP_TRY(ap_bytes_printf(out, err, ",\"operationMetrics\":%s",
        commit->operation_metrics ? commit->operation_metrics : "{}"));
    return ap_bytes_printf(
        out, err, ",\"engineInfo\":\"Apiary/" AP_VERSION "\",\"txnId\":\"%s\"}}\n", stamp->txn_id);
}

/* ---- protocol and metadata ---- */

/* A property that would switch on a feature which the commit does not bring along. */
static enum apiary_code check_property(
    const struct ap_property *property, const struct ap_snapshot *base, struct apiary_error *err)
{
    static const char *const refused[] = { "delta.enableDeletionVectors",
        "delta.enableChangeDataFeed", "delta.enableRowTracking",
        "delta.enableInCommitTimestamps", "delta.checkpointPolicy", "delta.enableTypeWidening",
        "delta.enableIcebergCompatV1", "delta.enableIcebergCompatV2" };
    for (size_t i = 0; base && i < base->metadata.configuration_count; i++) {
        const struct ap_property *before = &base->metadata.configuration[i];
        if (ap_str_equal(before->key, property->key) &&
            ap_str_equal(before->value, property->value))
            return APIARY_OK;
    }
    bool bad = ap_str_starts_with(property->key, AP_STR("delta.feature.")) ||
               ap_str_starts_with(property->key, AP_STR("delta.constraints."));
    for (size_t i = 0; i < sizeof refused / sizeof *refused && !bad; i++)
        bad = ap_str_is(property->key, refused[i]) &&
              !ap_str_equal_nocase(property->value, AP_STR("false")) &&
              !ap_str_equal_nocase(property->value, AP_STR("none")) &&
              !ap_str_equal_nocase(property->value, AP_STR("classic"));
    if (!bad) return APIARY_OK;
    return ap_fail(err, APIARY_UNSUPPORTED,
        "table property " AP_FMT " = " AP_FMT " is not supported", AP_ARG(property->key),
        AP_ARG(property->value));
}

enum { FEATURES_MAX = AP_FEATURES_MAX + 16 };

static void list_feature(struct ap_str *list, size_t *count, struct ap_str feature)
{
    for (size_t i = 0; i < *count; i++)
        if (ap_str_equal(list[i], feature)) return;
    list[(*count)++] = feature;
}

/* A protocol by version numbers, spelled as lists of features, with timestampNtz added. */
static enum apiary_code add_upgrade(
    const struct ap_protocol *old, struct ap_bytes *out, struct apiary_error *err)
{
    static const struct {
        int writer;
        struct ap_str feature;
        bool reads;
    } implied[] = {
        { 2, { "appendOnly", 10 }, false },
        { 2, { "invariants", 10 }, false },
        { 3, { "checkConstraints", 16 }, false },
        { 4, { "changeDataFeed", 14 }, false },
        { 4, { "generatedColumns", 16 }, false },
        { 5, { "columnMapping", 13 }, true },
        { 6, { "identityColumns", 15 }, false },
    };
    struct ap_str readers[FEATURES_MAX], writers[FEATURES_MAX];
    size_t reader_count = 0, writer_count = 0;
    for (size_t i = 0; i < sizeof implied / sizeof *implied && old->min_writer < 7; i++) {
        if (old->min_writer >= implied[i].writer)
            list_feature(writers, &writer_count, implied[i].feature);
        if (implied[i].reads && old->min_reader == 2)
            list_feature(readers, &reader_count, implied[i].feature);
    }
    for (size_t i = 0; i < old->writer_feature_count; i++)
        list_feature(writers, &writer_count, old->writer_features[i]);
    for (size_t i = 0; i < old->reader_feature_count; i++)
        list_feature(readers, &reader_count, old->reader_features[i]);
    list_feature(readers, &reader_count, AP_STR("timestampNtz"));
    list_feature(writers, &writer_count, AP_STR("timestampNtz"));
    struct ap_protocol next = { 3, 7, readers, reader_count, writers, writer_count };
    return ap_action_write_protocol(out, &next, err);
}

static enum apiary_code add_protocol(const struct ap_metadata *metadata,
    const struct ap_snapshot *base, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_protocol needed = ap_protocol_for(metadata);
    if (!base) return ap_action_write_protocol(out, &needed, err);
    if (needed.min_writer < 7 || ap_snapshot_has_feature(base, "timestampNtz")) return APIARY_OK;
    return add_upgrade(&base->protocol, out, err);
}

static enum apiary_code check_spec(const struct ap_table_spec *spec, struct apiary_error *err)
{
    AP_AUTO(ap_texts) names = { 0 };
    for (size_t i = 0; i < spec->partition_count; i++)
        AP_TRY(ap_texts_add(&names, spec->partition_by[i], err));
    return ap_schema_check(&spec->schema, &names, err);
}

static enum apiary_code add_metadata(const struct ap_table_spec *spec,
    const struct ap_snapshot *base, const struct ap_commit_stamp *stamp, struct ap_env *env,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) schema = { 0 };
    char id[AP_UUID_TEXT_SIZE];
    ap_uuid4(env, id);
    AP_TRY(check_spec(spec, err));
    for (size_t i = 0; i < spec->configuration_count; i++)
        AP_TRY(check_property(&spec->configuration[i], base, err));
    AP_TRY(ap_schema_write(&spec->schema, &schema, err));
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_metadata metadata = {
        .id = base ? base->metadata.id : ap_str_from(id),
        .name = spec->name,
        .description = spec->description,
        .schema_json = ap_bytes_view(&schema),
        .schema = spec->schema,
        .partition_by = spec->partition_by,
        .partition_count = spec->partition_count,
        .configuration = spec->configuration,
        .configuration_count = spec->configuration_count,
        .created_ms = base ? base->metadata.created_ms : stamp->now_ms,
    };
    AP_TRY(ap_mapping_settle(&arena, base ? &base->metadata : NULL, &metadata, err));
    AP_TRY(add_protocol(&metadata, base, out, err));
    return ap_action_write_metadata(out, &metadata, err);
}

/* ---- cells ---- */

static enum apiary_code add_cell(const struct ap_new_cell *cell, const struct ap_str *names,
    size_t name_count, bool data_change, struct ap_bytes *path, struct ap_bytes *out,
    struct apiary_error *err)
{
    struct ap_str values[AP_ACTION_PARTITIONS_MAX];
    ap_bytes_clear(path);
    AP_TRY(ap_percent_encode(path, cell->key, PATH_KEEPS, err));
    /* "" means null to every reader, so null is what is written. */
    for (size_t i = 0; i < name_count; i++)
        values[i] = cell->partition_values[i].size ? cell->partition_values[i]
                                                   : (struct ap_str) { NULL, 0 };
    struct ap_cell action = { .path = ap_bytes_view(path),
        .partition_values = values,
        .size_bytes = cell->size_bytes,
        .modified_ms = cell->modified_ms,
        .stats = cell->stats,
        .tags = cell->tags,
        .base_row_id = -1,
        .default_row_commit_version = -1 };
    return ap_action_write_add(out, &action, names, name_count, data_change, err);
}

static enum apiary_code add_files(const struct ap_commit *commit, const struct ap_snapshot *base,
    const struct ap_commit_stamp *stamp, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_table_spec *spec = commit->spec;
    struct ap_str physical[AP_ACTION_PARTITIONS_MAX];
    size_t name_count = spec ? spec->partition_count : base->metadata.partition_count;
    if (name_count > AP_ACTION_PARTITIONS_MAX)
        return ap_fail(err, APIARY_LIMIT, "%zu partition columns are more than %d", name_count,
            AP_ACTION_PARTITIONS_MAX);
    for (size_t i = 0; spec && i < name_count; i++) /* they are in the schema: check_spec */
        physical[i] = ap_column_physical(&spec->schema, spec->partition_by[i]);
    const struct ap_str *names = spec ? physical : base->partition_names;
    for (size_t i = 0; i < commit->remove_count; i++)
        AP_TRY(ap_action_write_remove(out, commit->removes[i], base->partition_names,
            base->metadata.partition_count, stamp->now_ms, commit->data_change, err));
    for (size_t i = 0; i < commit->restore_count; i++)
        AP_TRY(ap_action_write_add(
            out, commit->restores[i], names, name_count, commit->data_change, err));
    AP_AUTO(ap_bytes) path = { 0 };
    for (size_t i = 0; i < commit->add_count; i++)
        AP_TRY(add_cell(&commit->adds[i], names, name_count, commit->data_change, &path, out, err));
    return APIARY_OK;
}

enum apiary_code ap_commit_body(const struct ap_commit *commit, const struct ap_snapshot *base,
    const struct ap_commit_stamp *stamp, struct ap_env *env, struct ap_bytes *out,
    struct apiary_error *err)
{
    ap_assert(base || commit->spec);
    ap_assert(base || commit->remove_count == 0);
    AP_TRY(add_info(commit, base, stamp, out, err));
    if (commit->spec) AP_TRY(add_metadata(commit->spec, base, stamp, env, out, err));
    if (commit->txn_app_id) {
        struct ap_txn txn = { ap_str_from(commit->txn_app_id), commit->txn_version, stamp->now_ms };
        AP_TRY(ap_action_write_txn(out, &txn, err));
    }
    return add_files(commit, base, stamp, out, err);
}
