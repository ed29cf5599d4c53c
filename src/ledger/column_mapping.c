#include "ledger/column_mapping.h"

#include "core/alloc.h"
#include "core/id.h"
#include "ledger/protocol.h"

#include <inttypes.h>

bool ap_mapping_on(const struct ap_metadata *metadata)
{
    struct ap_str mode = ap_metadata_property(metadata, AP_MAPPING_MODE);
    return ap_str_is(mode, "name") || ap_str_is(mode, "id");
}

static bool asked(const struct ap_field *fields, size_t count, bool named)
{
    for (size_t i = 0; i < count; i++) {
        const struct ap_type *type = &fields[i].type;
        if (named && ap_name_forbidden(fields[i].name)) return true;
        if (asked(type->children, type->child_count, type->kind == AP_TYPE_STRUCT)) return true;
    }
    return false;
}

bool ap_mapping_asked(const struct ap_schema *schema)
{
    return asked(schema->fields, schema->field_count, true);
}

struct ap_str ap_field_physical(const struct ap_field *field)
{
    return field->physical_name.size > 0 ? field->physical_name : field->name;
}

struct ap_str ap_column_physical(const struct ap_schema *schema, struct ap_str name)
{
    size_t column = ap_schema_find(schema, name);
    return column == SIZE_MAX ? name : ap_field_physical(&schema->fields[column]);
}

/* ---- ids ---- */

static void raise_to_ids(const struct ap_field *fields, size_t count, int64_t *last)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].field_id > *last) *last = fields[i].field_id;
        raise_to_ids(fields[i].type.children, fields[i].type.child_count, last);
    }
}

static int64_t last_id(const struct ap_metadata *metadata)
{
    int64_t last = 0;
    struct ap_str text = ap_metadata_property(metadata, AP_MAPPING_LAST_ID);
    if (text.size == 0 || !ap_str_to_i64(text, &last) || last < 0) last = 0;
    raise_to_ids(metadata->schema.fields, metadata->schema.field_count, &last);
    return last;
}

enum apiary_code ap_field_add_metadata(struct ap_arena *arena, struct ap_field *field,
    struct ap_str member, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    bool ok = true;
    struct ap_str before = field->metadata.size > 0 ? field->metadata : AP_STR("{}");
    before.size--; /* the closing brace */
    AP_TRY(ap_bytes_printf(&text, err, AP_FMT "%s" AP_FMT "}", AP_ARG(before),
        before.size > 1 ? "," : "", AP_ARG(member)));
    field->metadata = ap_arena_str(arena, ap_bytes_view(&text), &ok);
    return ok ? APIARY_OK : ap_fail_memory(err, "a frame's schema");
}

struct assigning {
    struct ap_env *env;
    struct ap_arena *arena;
    int64_t last;
    struct apiary_error *err;
};

static enum apiary_code assign_one(struct assigning *assigning, struct ap_field *field)
{
    char id[AP_UUID_TEXT_SIZE], name[AP_UUID_TEXT_SIZE + 8];
    bool ok = true;
    AP_AUTO(ap_bytes) member = { 0 };
    if (assigning->last >= INT32_MAX) /* an id is an INT32 in a cell */
        return ap_fail(assigning->err, APIARY_CORRUPT, "the frame's ids of columns are used up");
    ap_uuid4(assigning->env, id);
    snprintf(name, sizeof name, "col-%s", id);
    field->field_id = ++assigning->last;
    field->physical_name = ap_arena_str(assigning->arena, ap_str_from(name), &ok);
    if (!ok) return ap_fail_memory(assigning->err, "a frame's schema");
    AP_TRY(ap_bytes_printf(&member, assigning->err,
        "\"delta.columnMapping.id\":%" PRId64 ",\"delta.columnMapping.physicalName\":\"%s\"",
        field->field_id, name));
    return ap_field_add_metadata(
        assigning->arena, field, ap_bytes_view(&member), assigning->err);
}

/* named: they are columns or a struct's fields; what arrays and maps hold has no name. */
static enum apiary_code assign_all(
    struct assigning *assigning, const struct ap_field **fields, size_t count, bool named)
{
    if (count == 0) return APIARY_OK;
    struct ap_field *copy = ap_arena_alloc(assigning->arena, count * sizeof *copy);
    if (copy == NULL) return ap_fail_memory(assigning->err, "a frame's schema");
    memcpy(copy, *fields, count * sizeof *copy);
    for (size_t i = 0; i < count; i++) {
        struct ap_type *type = &copy[i].type;
        if (named && copy[i].physical_name.size == 0) AP_TRY(assign_one(assigning, &copy[i]));
        AP_TRY(assign_all(
            assigning, &type->children, type->child_count, type->kind == AP_TYPE_STRUCT));
    }
    *fields = copy;
    return APIARY_OK;
}

/* ---- properties ---- */

static void set(struct ap_metadata *metadata, struct ap_property *properties, const char *key,
    struct ap_str value)
{
    size_t at = 0;
    while (at < metadata->configuration_count && !ap_str_is(properties[at].key, key)) at++;
    if (at == metadata->configuration_count) metadata->configuration_count++;
    properties[at] = (struct ap_property) { ap_str_from(key), value };
}

static enum apiary_code set_properties(struct ap_arena *arena, struct ap_metadata *metadata,
    struct ap_str mode, int64_t last, struct apiary_error *err)
{
    char text[32];
    bool ok = true;
    size_t count = metadata->configuration_count;
    struct ap_property *properties = ap_arena_alloc(arena, (count + 2) * sizeof *properties);
    if (properties == NULL) return ap_fail_memory(err, "a frame's properties");
    for (size_t i = 0; i < count; i++) properties[i] = metadata->configuration[i];
    snprintf(text, sizeof text, "%" PRId64, last);
    struct ap_str value = ap_arena_str(arena, ap_str_from(text), &ok);
    if (!ok) return ap_fail_memory(err, "a frame's properties");
    set(metadata, properties, AP_MAPPING_MODE, mode);
    set(metadata, properties, AP_MAPPING_LAST_ID, value);
    metadata->configuration = properties;
    return APIARY_OK;
}

enum apiary_code ap_mapping_assign(struct ap_env *env, struct ap_arena *arena,
    struct ap_metadata *metadata, struct apiary_error *err)
{
    struct assigning assigning = { env, arena, last_id(metadata), err };
    AP_TRY(assign_all(
        &assigning, &metadata->schema.fields, metadata->schema.field_count, true));
    struct ap_str mode =
        ap_mapping_on(metadata) ? ap_metadata_property(metadata, AP_MAPPING_MODE) : AP_STR("name");
    return set_properties(arena, metadata, mode, assigning.last, err);
}

static enum apiary_code check_fields(
    const struct ap_field *fields, size_t count, bool named, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct ap_type *type = &fields[i].type;
        if (named && (fields[i].physical_name.size == 0 || fields[i].field_id < 0))
            return ap_fail(err, APIARY_UNSUPPORTED,
                "column \"" AP_FMT "\" has no id or physical name, which column mapping needs",
                AP_ARG(fields[i].name));
        AP_TRY(check_fields(type->children, type->child_count, type->kind == AP_TYPE_STRUCT, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_mapping_check(const struct ap_metadata *metadata, struct apiary_error *err)
{
    if (!ap_mapping_on(metadata)) return APIARY_OK;
    return check_fields(metadata->schema.fields, metadata->schema.field_count, true, err);
}

enum apiary_code ap_mapping_keep(struct ap_arena *arena, const struct ap_metadata *base,
    struct ap_metadata *next, struct apiary_error *err)
{
    struct ap_str mode = ap_metadata_property(next, AP_MAPPING_MODE);
    if (!ap_mapping_on(base)) return APIARY_OK;
    if (mode.size == 0) mode = ap_metadata_property(base, AP_MAPPING_MODE);
    return set_properties(arena, next, mode, last_id(base), err);
}

static struct ap_str mode_of(const struct ap_metadata *metadata)
{
    struct ap_str mode = { 0 };
    if (metadata != NULL) mode = ap_metadata_property(metadata, AP_MAPPING_MODE);
    return mode.size > 0 ? mode : AP_STR("none");
}

enum apiary_code ap_mapping_settle(struct ap_arena *arena, const struct ap_metadata *base,
    struct ap_metadata *next, struct apiary_error *err)
{
    struct ap_str mode = mode_of(next), before = mode_of(base);
    if (!ap_str_equal(mode, before)) {
        if (base != NULL) {
            ap_fail(err, APIARY_UNSUPPORTED,
                "column mapping of a frame cannot be changed from " AP_FMT " to " AP_FMT,
                AP_ARG(before), AP_ARG(mode));
            return ap_hint(
                err, "make another: CREATE FRAME … WITH ('" AP_MAPPING_MODE "' = 'name') AS SELECT …");
        }
        if (!ap_str_is(mode, "name"))
            return ap_fail(err, APIARY_UNSUPPORTED,
                "table property " AP_MAPPING_MODE " = " AP_FMT " is not supported; 'name' is",
                AP_ARG(mode));
    }
    if (!ap_mapping_on(next)) return APIARY_OK;
    int64_t last = last_id(next), last_before = base != NULL ? last_id(base) : 0;
    AP_TRY(ap_mapping_check(next, err));
    return set_properties(arena, next, mode, last > last_before ? last : last_before, err);
}
