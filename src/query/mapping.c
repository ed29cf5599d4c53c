#include "query/mapping.h"

#include "ledger/column_mapping.h"
#include "query/cellwriter.h"
#include "query/types.h"
#include "sql/lexer.h"

enum direction { TO_NAMES /* as the frame has them */, TO_PHYSICAL };

static struct ap_str name_there(const struct ap_field *field, enum direction direction)
{
    return direction == TO_PHYSICAL ? field->name : ap_field_physical(field);
}

static struct ap_str name_here(const struct ap_field *field, enum direction direction)
{
    return direction == TO_PHYSICAL ? ap_field_physical(field) : field->name;
}

bool ap_mapping_needed(const struct ap_type *type)
{
    for (size_t i = 0; i < type->child_count; i++) {
        const struct ap_field *child = &type->children[i];
        if (type->kind == AP_TYPE_STRUCT && !ap_str_equal(ap_field_physical(child), child->name))
            return true;
        if (ap_mapping_needed(&child->type)) return true;
    }
    return false;
}

static const struct ap_field *find_child(const struct ap_type *type, struct ap_str name)
{
    for (size_t i = 0; i < type->child_count; i++)
        if (ap_str_equal_nocase(type->children[i].name, name)) return &type->children[i];
    return NULL;
}

struct renaming {
    struct ap_bytes *out;
    enum direction direction;
};

/* there: the type that the value has, with the names that it has. */
static enum apiary_code add(struct renaming to, struct ap_str value, const struct ap_type *type,
    const struct ap_type *there, int depth, struct apiary_error *err);

/* CASE WHEN v IS NULL THEN NULL ELSE struct_pack("a" := …, "b" := NULL) END */
static enum apiary_code add_struct(struct renaming to, struct ap_str value,
    const struct ap_type *type, const struct ap_type *there, int depth, struct apiary_error *err)
{
    struct ap_bytes *out = to.out;
    AP_TRY(ap_bytes_printf(
        out, err, "CASE WHEN " AP_FMT " IS NULL THEN NULL ELSE struct_pack(", AP_ARG(value)));
    for (size_t i = 0; i < type->child_count; i++) {
        const struct ap_field *child = &type->children[i],
                              *from = find_child(there, name_there(child, to.direction));
        AP_AUTO(ap_bytes) inner = { 0 };
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_name(out, name_here(child, to.direction), err));
        AP_TRY(ap_bytes_add_text(out, " := ", err));
        if (from == NULL) {
            AP_TRY(ap_bytes_add_text(out, "CAST(NULL AS ", err));
            AP_TRY(ap_type_to_engine(&child->type, out, err));
            AP_TRY(ap_bytes_add_text(out, ")", err));
            continue;
        }
        AP_TRY(ap_bytes_printf(&inner, err, "struct_extract(" AP_FMT ", ", AP_ARG(value)));
        AP_TRY(ap_sql_string(&inner, from->name, err));
        AP_TRY(ap_bytes_add_text(&inner, ")", err));
        AP_TRY(add(to, ap_bytes_view(&inner), &child->type, &from->type, depth + 1, err));
    }
    return ap_bytes_add_text(out, ") END", err);
}

static enum apiary_code add_list(struct renaming to, struct ap_str value,
    const struct ap_type *type, const struct ap_type *there, int depth, struct apiary_error *err)
{
    struct ap_bytes *out = to.out;
    char item[16];
    snprintf(item, sizeof item, "x%d", depth);
    AP_TRY(
        ap_bytes_printf(out, err, "list_transform(" AP_FMT ", lambda %s: ", AP_ARG(value), item));
    AP_TRY(add(
        to, ap_str_from(item), &type->children[0].type, &there->children[0].type, depth + 1, err));
    return ap_bytes_add_text(out, ")", err);
}

static enum apiary_code add_map(struct renaming to, struct ap_str value,
    const struct ap_type *type, const struct ap_type *there, int depth, struct apiary_error *err)
{
    struct ap_bytes *out = to.out;
    char key[24], item[24];
    snprintf(key, sizeof key, "x%d.key", depth);
    snprintf(item, sizeof item, "x%d.value", depth);
    AP_TRY(ap_bytes_printf(out, err,
        "map_from_entries(list_transform(map_entries(" AP_FMT "), lambda x%d: struct_pack(k := ",
        AP_ARG(value), depth));
    AP_TRY(add(
        to, ap_str_from(key), &type->children[0].type, &there->children[0].type, depth + 1, err));
    AP_TRY(ap_bytes_add_text(out, ", v := ", err));
    AP_TRY(add(
        to, ap_str_from(item), &type->children[1].type, &there->children[1].type, depth + 1, err));
    return ap_bytes_add_text(out, ")))", err);
}

static enum apiary_code add(struct renaming to, struct ap_str value, const struct ap_type *type,
    const struct ap_type *there, int depth, struct apiary_error *err)
{
    if (type->kind != there->kind || !ap_mapping_needed(type))
        return ap_bytes_add_str(to.out, value, err);
    switch (type->kind) {
        case AP_TYPE_STRUCT: return add_struct(to, value, type, there, depth, err);
        case AP_TYPE_ARRAY: return add_list(to, value, type, there, depth, err);
        case AP_TYPE_MAP: return add_map(to, value, type, there, depth, err);
        default: return ap_bytes_add_str(to.out, value, err);
    }
}

enum apiary_code ap_mapping_sql(struct ap_bytes *out, struct ap_str value,
    const struct ap_type *type, struct ap_str file_type, struct apiary_error *err)
{
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_type file = { 0 };
    AP_TRY(ap_type_from_engine(&arena, value, file_type, &file, NULL, err));
    return add((struct renaming) { out, TO_NAMES }, value, type, &file, 0, err);
}

/* ---- writing ---- */

enum apiary_code ap_mapping_select(const struct ap_metadata *metadata, bool partition_columns,
    struct ap_str select, struct ap_bytes *out, struct apiary_error *err)
{
    bool any = false;
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        AP_AUTO(ap_bytes) name = { 0 };
        if (!partition_columns && !ap_lies_in_cells(metadata, field)) continue;
        if (any) AP_TRY(ap_bytes_add_text(out, ", ", err));
        any = true;
        AP_TRY(ap_sql_name(&name, field->name, err));
        AP_TRY(add((struct renaming) { out, TO_PHYSICAL }, ap_bytes_view(&name), &field->type,
            &field->type, 0, err));
        AP_TRY(ap_bytes_add_text(out, " AS ", err));
        AP_TRY(ap_sql_name(out, ap_field_physical(field), err));
    }
    return ap_bytes_printf(out, err, " FROM (" AP_FMT ") AS apiary_named", AP_ARG(select));
}

static bool has_ids(const struct ap_type *type)
{
    for (size_t i = 0; i < type->child_count; i++)
        if (type->children[i].field_id >= 0 || has_ids(&type->children[i].type)) return true;
    return false;
}

/* "name": 7, or "name": {__duckdb_field_id: 7, …} */
static enum apiary_code add_ids(
    struct ap_bytes *out, const struct ap_field *field, struct apiary_error *err)
{
    const struct ap_type *type = &field->type;
    AP_TRY(ap_sql_name(out, ap_field_physical(field), err));
    AP_TRY(ap_bytes_add_text(out, ": ", err));
    bool nested = has_ids(type), any = field->field_id >= 0;
    if (nested) AP_TRY(ap_bytes_add_text(out, "{", err));
    if (any)
        AP_TRY(ap_bytes_printf(
            out, err, "%s%lld", nested ? "__duckdb_field_id: " : "", (long long)field->field_id));
    for (size_t i = 0; i < type->child_count; i++) {
        const struct ap_field *child = &type->children[i];
        if (child->field_id < 0 && !has_ids(&child->type)) continue;
        if (any) AP_TRY(ap_bytes_add_text(out, ", ", err));
        any = true;
        AP_TRY(add_ids(out, child, err));
    }
    return nested ? ap_bytes_add_text(out, "}", err) : APIARY_OK;
}

enum apiary_code ap_mapping_ids(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    bool any = false;
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        if (!ap_lies_in_cells(metadata, field) || field->field_id < 0) continue;
        AP_TRY(ap_bytes_add_text(out, any ? ", " : ", FIELD_IDS {", err));
        any = true;
        AP_TRY(add_ids(out, field, err));
    }
    return any ? ap_bytes_add_text(out, "}", err) : APIARY_OK;
}
