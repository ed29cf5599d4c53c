#include "bee/arrow_type.h"

#include "core/alloc.h"

#include <errno.h>

struct typing {
    const char *timezone;
    struct bee_failure *why;
};

static enum apiary_code set_type(
    struct ArrowSchema *schema, duckdb_logical_type type, int depth, const struct typing *typing);

static enum apiary_code done(int code, const struct typing *typing)
{
    return code == NANOARROW_OK ? APIARY_OK
                                : bee_fail_arrow(typing->why, code, NULL, "the type of a column");
}

#define TRY_ARROW(call) AP_TRY(done((call), typing))

/* Remembers the engine's type where the Arrow type does not say it. */
static enum apiary_code note(
    struct ArrowSchema *schema, const char *name, const struct typing *typing)
{
    struct ArrowBuffer metadata;
    TRY_ARROW(ArrowMetadataBuilderInit(&metadata, NULL));
    int code =
        ArrowMetadataBuilderAppend(&metadata, ArrowCharView("apiary.type"), ArrowCharView(name));
    if (code == NANOARROW_OK) code = ArrowSchemaSetMetadata(schema, (const char *)metadata.data);
    ArrowBufferReset(&metadata);
    return done(code, typing);
}

/* A child field: type first, name second. */
static enum apiary_code set_child(struct ArrowSchema *child, const char *name,
    duckdb_logical_type type, int depth, const struct typing *typing)
{
    AP_TRY(set_type(child, type, depth + 1, typing));
    TRY_ARROW(ArrowSchemaSetName(child, name));
    return APIARY_OK;
}

static enum apiary_code set_list(struct ArrowSchema *schema, duckdb_logical_type type, bool array,
    int depth, const struct typing *typing)
{
    duckdb_logical_type item =
        array ? duckdb_array_type_child_type(type) : duckdb_list_type_child_type(type);
    int code = array ? ArrowSchemaSetTypeFixedSize(schema, NANOARROW_TYPE_FIXED_SIZE_LIST,
                           (int32_t)duckdb_array_type_array_size(type))
                     : ArrowSchemaSetType(schema, NANOARROW_TYPE_LIST);
    enum apiary_code result = done(code, typing);
    if (result == APIARY_OK) result = set_child(schema->children[0], "item", item, depth, typing);
    duckdb_destroy_logical_type(&item);
    return result;
}

static enum apiary_code set_struct(
    struct ArrowSchema *schema, duckdb_logical_type type, int depth, const struct typing *typing)
{
    idx_t count = duckdb_struct_type_child_count(type);
    TRY_ARROW(ArrowSchemaSetTypeStruct(schema, (int64_t)count));
    for (idx_t i = 0; i < count; i++) {
        char *name = duckdb_struct_type_child_name(type, i);
        duckdb_logical_type child = duckdb_struct_type_child_type(type, i);
        enum apiary_code code =
            set_child(schema->children[i], name ? name : "", child, depth, typing);
        duckdb_destroy_logical_type(&child);
        if (name) duckdb_free(name);
        AP_TRY(code);
    }
    return APIARY_OK;
}

static enum apiary_code set_map(
    struct ArrowSchema *schema, duckdb_logical_type type, int depth, const struct typing *typing)
{
    TRY_ARROW(ArrowSchemaSetType(schema, NANOARROW_TYPE_MAP));
    struct ArrowSchema *entries = schema->children[0];
    duckdb_logical_type key = duckdb_map_type_key_type(type),
                        value = duckdb_map_type_value_type(type);
    enum apiary_code code = set_child(entries->children[0], "key", key, depth, typing);
    if (code == APIARY_OK) code = set_child(entries->children[1], "value", value, depth, typing);
    duckdb_destroy_logical_type(&key);
    duckdb_destroy_logical_type(&value);
    entries->flags &= ~ARROW_FLAG_NULLABLE;
    entries->children[0]->flags &= ~ARROW_FLAG_NULLABLE;
    return code;
}

static enum apiary_code set_union(
    struct ArrowSchema *schema, duckdb_logical_type type, int depth, const struct typing *typing)
{
    idx_t count = duckdb_union_type_member_count(type);
    if (count > BEE_UNION_MEMBERS_MAX)
        return bee_fail(typing->why, "not_implemented", APIARY_UNSUPPORTED,
            "a UNION of more than %d members cannot be returned", BEE_UNION_MEMBERS_MAX);
    TRY_ARROW(ArrowSchemaSetTypeUnion(schema, NANOARROW_TYPE_SPARSE_UNION, (int64_t)count));
    for (idx_t i = 0; i < count; i++) {
        char *name = duckdb_union_type_member_name(type, i);
        duckdb_logical_type member = duckdb_union_type_member_type(type, i);
        enum apiary_code code =
            set_child(schema->children[i], name ? name : "", member, depth, typing);
        duckdb_destroy_logical_type(&member);
        if (name) duckdb_free(name);
        AP_TRY(code);
    }
    return APIARY_OK;
}

static enum apiary_code set_noted(
    struct ArrowSchema *schema, enum ArrowType arrow, const char *name, const struct typing *typing)
{
    TRY_ARROW(ArrowSchemaSetType(schema, arrow));
    return note(schema, name, typing);
}

static enum apiary_code set_decimal(
    struct ArrowSchema *schema, int width, int scale, const char *name, const struct typing *typing)
{
    TRY_ARROW(ArrowSchemaSetTypeDecimal(schema, NANOARROW_TYPE_DECIMAL128, width, scale));
    return name ? note(schema, name, typing) : APIARY_OK;
}

static enum apiary_code set_varchar(
    struct ArrowSchema *schema, duckdb_logical_type type, const struct typing *typing)
{
    TRY_ARROW(ArrowSchemaSetType(schema, NANOARROW_TYPE_STRING));
    char *alias = duckdb_logical_type_get_alias(type);
    if (alias == NULL) return APIARY_OK;
    enum apiary_code code = note(schema, alias, typing);
    duckdb_free(alias);
    return code;
}

static enum apiary_code set_time(struct ArrowSchema *schema, enum ArrowType arrow,
    enum ArrowTimeUnit unit, const char *zone, const struct typing *typing)
{
    return done(ArrowSchemaSetTypeDateTime(schema, arrow, unit, zone), typing);
}

static enum apiary_code set_type(
    struct ArrowSchema *schema, duckdb_logical_type type, int depth, const struct typing *typing)
{
    if (depth > BEE_TYPE_DEPTH_MAX)
        return bee_fail(typing->why, "limit", APIARY_LIMIT,
            "a type nested deeper than %d cannot be returned", BEE_TYPE_DEPTH_MAX);
    duckdb_type id = duckdb_get_type_id(type);
    switch (id) {
        case DUCKDB_TYPE_BOOLEAN:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_BOOL), typing);
        case DUCKDB_TYPE_TINYINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_INT8), typing);
        case DUCKDB_TYPE_SMALLINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_INT16), typing);
        case DUCKDB_TYPE_INTEGER:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_INT32), typing);
        case DUCKDB_TYPE_BIGINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_INT64), typing);
        case DUCKDB_TYPE_UTINYINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_UINT8), typing);
        case DUCKDB_TYPE_USMALLINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_UINT16), typing);
        case DUCKDB_TYPE_UINTEGER:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_UINT32), typing);
        case DUCKDB_TYPE_UBIGINT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_UINT64), typing);
        case DUCKDB_TYPE_FLOAT:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_FLOAT), typing);
        case DUCKDB_TYPE_DOUBLE:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_DOUBLE), typing);
        case DUCKDB_TYPE_DATE:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_DATE32), typing);
        case DUCKDB_TYPE_INTERVAL:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO), typing);
        case DUCKDB_TYPE_BLOB:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_BINARY), typing);
        case DUCKDB_TYPE_SQLNULL:
            return done(ArrowSchemaSetType(schema, NANOARROW_TYPE_NA), typing);
        case DUCKDB_TYPE_TIME:
            return set_time(schema, NANOARROW_TYPE_TIME64, NANOARROW_TIME_UNIT_MICRO, NULL, typing);
        case DUCKDB_TYPE_TIME_NS:
            return set_time(schema, NANOARROW_TYPE_TIME64, NANOARROW_TIME_UNIT_NANO, NULL, typing);
        case DUCKDB_TYPE_TIMESTAMP:
            return set_time(
                schema, NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_MICRO, NULL, typing);
        case DUCKDB_TYPE_TIMESTAMP_S:
            return set_time(
                schema, NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_SECOND, NULL, typing);
        case DUCKDB_TYPE_TIMESTAMP_MS:
            return set_time(
                schema, NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_MILLI, NULL, typing);
        case DUCKDB_TYPE_TIMESTAMP_NS:
            return set_time(
                schema, NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_NANO, NULL, typing);
        case DUCKDB_TYPE_TIMESTAMP_TZ:
            return set_time(schema, NANOARROW_TYPE_TIMESTAMP, NANOARROW_TIME_UNIT_MICRO,
                typing->timezone, typing);
        case DUCKDB_TYPE_HUGEINT: return set_decimal(schema, 38, 0, "HUGEINT", typing);
        case DUCKDB_TYPE_UHUGEINT: return set_decimal(schema, 38, 0, "UHUGEINT", typing);
        case DUCKDB_TYPE_DECIMAL:
            return set_decimal(
                schema, duckdb_decimal_width(type), duckdb_decimal_scale(type), NULL, typing);
        case DUCKDB_TYPE_VARCHAR: return set_varchar(schema, type, typing);
        case DUCKDB_TYPE_UUID: return set_noted(schema, NANOARROW_TYPE_STRING, "UUID", typing);
        case DUCKDB_TYPE_ENUM: return set_noted(schema, NANOARROW_TYPE_STRING, "ENUM", typing);
        case DUCKDB_TYPE_BIT: return set_noted(schema, NANOARROW_TYPE_STRING, "BIT", typing);
        case DUCKDB_TYPE_TIME_TZ: return set_noted(schema, NANOARROW_TYPE_STRING, "TIMETZ", typing);
        case DUCKDB_TYPE_BIGNUM: return set_noted(schema, NANOARROW_TYPE_STRING, "BIGNUM", typing);
        case DUCKDB_TYPE_GEOMETRY:
            return set_noted(schema, NANOARROW_TYPE_BINARY, "GEOMETRY", typing);
        case DUCKDB_TYPE_LIST: return set_list(schema, type, false, depth, typing);
        case DUCKDB_TYPE_ARRAY: return set_list(schema, type, true, depth, typing);
        case DUCKDB_TYPE_STRUCT: return set_struct(schema, type, depth, typing);
        case DUCKDB_TYPE_MAP: return set_map(schema, type, depth, typing);
        case DUCKDB_TYPE_UNION: return set_union(schema, type, depth, typing);
        default:
            return bee_fail(typing->why, "not_implemented", APIARY_UNSUPPORTED,
                "a result column has a type (engine type %d) that cannot be returned: cast it to "
                "VARCHAR or JSON",
                (int)id);
    }
}

enum apiary_code bee_arrow_schema(
    duckdb_result *result, const char *timezone, struct ArrowSchema *out, struct bee_failure *why)
{
    struct typing names = { timezone, why }, *typing = &names;
    idx_t count = duckdb_column_count(result);
    struct ArrowSchema schema;
    ArrowSchemaInit(&schema);
    enum apiary_code code = done(ArrowSchemaSetTypeStruct(&schema, (int64_t)count), typing);
    for (idx_t i = 0; i < count && code == APIARY_OK; i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        code = set_child(schema.children[i], duckdb_column_name(result, i), type, 0, typing);
        duckdb_destroy_logical_type(&type);
    }
    if (code != APIARY_OK) {
        ArrowSchemaRelease(&schema);
        return code;
    }
    *out = schema;
    return APIARY_OK;
}
