#include "ledger/protocol.h"

#include "core/time.h"
#include "ledger/column_mapping.h"

enum { READER_MAX = 3, WRITER_MAX = 7 };

/* Features whose tables are read right. Variant columns are read as the schema says; who cannot
 * make a value of one refuses the column, not the table. */
static const char *const readable[] = { "columnMapping", "deletionVectors", "timestampNtz",
    "timestampWithoutTimezone", "v2Checkpoint", "vacuumProtocolCheck", "typeWidening",
    "typeWidening-preview", "variantType", "variantType-preview", "variantShredding",
    "variantShredding-preview" };

/* Features whose tables are written right, as long as what check_active refuses is not in use. */
static const char *const writable[] = { "appendOnly", "invariants", "checkConstraints",
    "generatedColumns", "allowColumnDefaults", "identityColumns", "changeDataFeed", "columnMapping",
    "deletionVectors", "timestampNtz", "timestampWithoutTimezone", "v2Checkpoint",
    "vacuumProtocolCheck", "domainMetadata", "inCommitTimestamp" };

static bool known(const char *const *names, size_t count, struct ap_str feature)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_is(feature, names[i])) return true;
    return false;
}

struct ap_str ap_metadata_property(const struct ap_metadata *metadata, const char *key)
{
    for (size_t i = 0; i < metadata->configuration_count; i++)
        if (ap_str_is(metadata->configuration[i].key, key)) return metadata->configuration[i].value;
    return (struct ap_str) { NULL, 0 };
}

bool ap_metadata_property_is(const struct ap_metadata *metadata, const char *key, const char *value)
{
    struct ap_str found = ap_metadata_property(metadata, key);
    return found.data && ap_str_equal_nocase(found, ap_str_from(value));
}

enum apiary_code ap_protocol_check_readable(
    const struct ap_protocol *protocol, struct apiary_error *err)
{
    if (protocol->min_reader > READER_MAX)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table asks for reader version %d; this program reads up to %d",
            protocol->min_reader, READER_MAX);
    if (protocol->min_reader < READER_MAX) return APIARY_OK;
    for (size_t i = 0; i < protocol->reader_feature_count; i++)
        if (!known(readable, sizeof readable / sizeof *readable, protocol->reader_features[i]))
            return ap_fail(err, APIARY_UNSUPPORTED,
                "the table uses the reader feature \"" AP_FMT "\", which is not supported",
                AP_ARG(protocol->reader_features[i]));
    return APIARY_OK;
}

static bool lists_feature(const struct ap_protocol *protocol, const char *feature)
{
    for (size_t i = 0; i < protocol->writer_feature_count; i++)
        if (ap_str_is(protocol->writer_features[i], feature)) return true;
    return false;
}

/* ---- type changes (feature typeWidening) ---- */

static int integer_rank(struct ap_str type)
{
    static const char *const ranks[] = { "byte", "short", "integer", "long" };
    for (int i = 0; i < 4; i++)
        if (ap_str_is(type, ranks[i])) return i;
    return -1;
}

static bool decimal_of(struct ap_str type, int64_t *precision, int64_t *scale)
{
    if (!ap_str_starts_with(type, AP_STR("decimal(")) || !ap_str_ends_with(type, AP_STR(")")))
        return false;
    struct ap_str inner = { type.data + 8, type.size - 9 };
    size_t comma = ap_str_find(inner, AP_STR(","));
    return comma != SIZE_MAX && ap_str_to_i64((struct ap_str) { inner.data, comma }, precision) &&
           ap_str_to_i64((struct ap_str) { inner.data + comma + 1, inner.size - comma - 1 }, scale);
}

/* The changes that the protocol names; older cells hold the narrower type. */
static bool widening(struct ap_str from, struct ap_str to)
{
    if (ap_str_equal(from, to)) return true;
    int small = integer_rank(from), large = integer_rank(to);
    if (small >= 0 && large >= 0) return small < large;
    if (small >= 0 && small <= 2 && ap_str_is(to, "double")) return true;
    if (ap_str_is(from, "float") && ap_str_is(to, "double")) return true;
    if (ap_str_is(from, "date") && ap_str_is(to, "timestamp_ntz")) return true;
    int64_t from_precision, from_scale, to_precision, to_scale;
    if (!decimal_of(to, &to_precision, &to_scale)) return false;
    if (small >= 0) return to_precision - to_scale >= (small == 3 ? 20 : 10);
    return decimal_of(from, &from_precision, &from_scale) && to_scale >= from_scale &&
           to_precision - to_scale >= from_precision - from_scale;
}

static enum apiary_code check_type_changes(const struct ap_field *field, struct apiary_error *err)
{
    if (ap_str_find(field->metadata, AP_STR("delta.typeChanges")) == SIZE_MAX) return APIARY_OK;
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(field->metadata, "column metadata", &doc, err));
    yyjson_val *changes = ap_json_member(yyjson_doc_get_root(doc), "delta.typeChanges");
    size_t i, total;
    yyjson_val *change;
    if (yyjson_is_arr(changes)) yyjson_arr_foreach(changes, i, total, change)
        {
            struct ap_str from = AP_STR("?"), to = AP_STR("?");
            if (ap_json_str(change, "fromType", &from) && ap_json_str(change, "toType", &to) &&
                widening(from, to))
                continue;
            return ap_fail(err, APIARY_UNSUPPORTED,
                "column \"" AP_FMT "\" was changed from " AP_FMT " to " AP_FMT
                ", which is not supported",
                AP_ARG(field->name), AP_ARG(from), AP_ARG(to));
        }
    return APIARY_OK;
}

static enum apiary_code each_field(const struct ap_field *fields, size_t count,
    enum apiary_code (*check)(const struct ap_field *, struct apiary_error *),
    struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        AP_TRY(check(&fields[i], err));
        AP_TRY(each_field(fields[i].type.children, fields[i].type.child_count, check, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_protocol_check_schema(const struct ap_protocol *protocol,
    const struct ap_metadata *metadata, struct apiary_error *err)
{
    struct ap_str mode = ap_metadata_property(metadata, AP_MAPPING_MODE);
    if (mode.size && !ap_str_is(mode, "none") && !ap_str_is(mode, "name") && !ap_str_is(mode, "id"))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table uses column mapping mode \"" AP_FMT "\", which is not supported",
            AP_ARG(mode));
    if (!lists_feature(protocol, "typeWidening") &&
        !lists_feature(protocol, "typeWidening-preview"))
        return APIARY_OK;
    return each_field(
        metadata->schema.fields, metadata->schema.field_count, check_type_changes, err);
}

/* ---- writing ---- */

/* What a column asks of its writers and we do not do. */
static enum apiary_code check_column_writable(
    const struct ap_field *field, struct apiary_error *err)
{
    static const struct {
        const char *key, *name;
    } asks[] = {
        { "\"delta.invariants\"", "an invariant" },
        { "\"delta.generationExpression\"", "a generation expression" },
        { "\"delta.identity.", "identity values" },
        { "\"CURRENT_DEFAULT\"", "a default value" },
    };
    for (size_t i = 0; i < sizeof asks / sizeof *asks; i++)
        if (ap_str_find(field->metadata, ap_str_from(asks[i].key)) != SIZE_MAX)
            return ap_fail(err, APIARY_UNSUPPORTED,
                "column \"" AP_FMT "\" has %s; writing to such a table is not supported",
                AP_ARG(field->name), asks[i].name);
    return APIARY_OK;
}

/* Properties that switch on what we do not do. */
static enum apiary_code check_properties_writable(
    const struct ap_metadata *metadata, struct apiary_error *err)
{
    if (ap_metadata_property_is(metadata, "delta.enableRowTracking", "true"))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table uses row tracking (rowTracking); writing to such a table is not supported");
    for (size_t i = 0; i < metadata->configuration_count; i++)
        if (ap_str_starts_with(metadata->configuration[i].key, AP_STR("delta.constraints.")))
            return ap_fail(err, APIARY_UNSUPPORTED,
                "the table has the CHECK constraint \"" AP_FMT
                "\" (checkConstraints); writing to such a table is not supported",
                AP_ARG(metadata->configuration[i].key));
    /* A writer that slept longer than the log is kept could fill a slot that was cleaned away. */
    struct ap_str retention = ap_metadata_property(metadata, "delta.logRetentionDuration");
    int64_t retention_us;
    if (retention.size && ap_interval_parse(retention, &retention_us) &&
        retention_us < AP_US_PER_DAY)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table keeps its log for less than a day (delta.logRetentionDuration = " AP_FMT
            "), which is not safe to write to",
            AP_ARG(retention));
    return APIARY_OK;
}

enum apiary_code ap_protocol_check_writable(const struct ap_protocol *protocol,
    const struct ap_metadata *metadata, struct apiary_error *err)
{
    AP_TRY(ap_protocol_check_readable(protocol, err));
    if (protocol->min_writer > WRITER_MAX)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table asks for writer version %d; this program writes up to %d",
            protocol->min_writer, WRITER_MAX);
    if (protocol->min_writer == WRITER_MAX)
        for (size_t i = 0; i < protocol->writer_feature_count; i++)
            if (!known(writable, sizeof writable / sizeof *writable, protocol->writer_features[i]))
                return ap_fail(err, APIARY_UNSUPPORTED,
                    "the table uses the writer feature \"" AP_FMT "\", which is not supported",
                    AP_ARG(protocol->writer_features[i]));
    AP_TRY(check_properties_writable(metadata, err));
    AP_TRY(ap_mapping_check(metadata, err));
    return each_field(
        metadata->schema.fields, metadata->schema.field_count, check_column_writable, err);
}

enum apiary_code ap_snapshot_check_writable(
    const struct ap_snapshot *snapshot, struct apiary_error *err)
{
    return ap_protocol_check_writable(&snapshot->protocol, &snapshot->metadata, err);
}

struct ap_protocol ap_protocol_for(const struct ap_metadata *metadata)
{
    static const struct ap_str lists[] = { { "timestampNtz", 12 }, { "columnMapping", 13 },
        { "appendOnly", 10 }, { "invariants", 10 } };
    static const struct ap_str ntz_writer[] = { { "timestampNtz", 12 }, { "appendOnly", 10 },
        { "invariants", 10 } };
    bool mapped = ap_mapping_on(metadata);
    if (!ap_schema_has_kind(&metadata->schema, AP_TYPE_TIMESTAMP_NTZ))
        return mapped ? (struct ap_protocol) { .min_reader = 2, .min_writer = 5 }
                      : (struct ap_protocol) { .min_reader = 1, .min_writer = 2 };
    return mapped ? (struct ap_protocol) { 3, 7, lists, 2, lists, 4 }
                  : (struct ap_protocol) { 3, 7, lists, 1, ntz_writer, 3 };
}
