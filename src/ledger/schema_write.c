#include "ledger/schema.h"

static const char *primitive_name(enum ap_type_kind kind)
{
    switch (kind) {
        case AP_TYPE_BOOLEAN: return "boolean";
        case AP_TYPE_BYTE: return "byte";
        case AP_TYPE_SHORT: return "short";
        case AP_TYPE_INTEGER: return "integer";
        case AP_TYPE_LONG: return "long";
        case AP_TYPE_FLOAT: return "float";
        case AP_TYPE_DOUBLE: return "double";
        case AP_TYPE_STRING: return "string";
        case AP_TYPE_BINARY: return "binary";
        case AP_TYPE_DATE: return "date";
        case AP_TYPE_TIMESTAMP: return "timestamp";
        case AP_TYPE_TIMESTAMP_NTZ: return "timestamp_ntz";
        case AP_TYPE_VOID: return "void";
        case AP_TYPE_VARIANT: return "variant";
        case AP_TYPE_DECIMAL:
        case AP_TYPE_ARRAY:
        case AP_TYPE_MAP:
        case AP_TYPE_STRUCT: return NULL;
    }
    return NULL;
}

/* The name of a field: quoted where it is no plain word. */
static enum apiary_code add_name(struct ap_bytes *out, struct ap_str name, struct apiary_error *err)
{
    bool plain = name.size > 0 && !(name.data[0] >= '0' && name.data[0] <= '9');
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        plain = plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_');
    }
    if (plain) return ap_bytes_add_str(out, name, err);
    AP_TRY(ap_bytes_add_text(out, "\"", err));
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"') AP_TRY(ap_bytes_add_text(out, "\"", err));
        AP_TRY(ap_bytes_add(out, name.data + i, 1, err));
    }
    return ap_bytes_add_text(out, "\"", err);
}

enum apiary_code ap_type_text(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err)
{
    const char *name = primitive_name(type->kind);
    if (name) return ap_bytes_add_text(out, name, err);
    if (type->kind == AP_TYPE_DECIMAL)
        return ap_bytes_printf(out, err, "decimal(%d,%d)", type->precision, type->scale);
    AP_TRY(ap_bytes_add_text(out,
        type->kind == AP_TYPE_ARRAY ? "array<"
        : type->kind == AP_TYPE_MAP ? "map<"
                                    : "struct<",
        err));
    for (size_t i = 0; i < type->child_count; i++) {
        if (i) AP_TRY(ap_bytes_add_text(out, ",", err));
        if (type->kind == AP_TYPE_STRUCT) {
            AP_TRY(add_name(out, type->children[i].name, err));
            AP_TRY(ap_bytes_add_text(out, ":", err));
        }
        AP_TRY(ap_type_text(&type->children[i].type, out, err));
    }
    return ap_bytes_add_text(out, ">", err);
}

static enum apiary_code write_type(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err);

static enum apiary_code write_fields(
    const struct ap_field *fields, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"type\":\"struct\",\"fields\":[", err));
    for (size_t i = 0; i < count; i++) {
        const struct ap_field *field = &fields[i];
        AP_TRY(ap_bytes_add_text(out, i ? ",{\"name\":" : "{\"name\":", err));
        AP_TRY(ap_json_quote(out, field->name, err));
        AP_TRY(ap_bytes_add_text(out, ",\"type\":", err));
        AP_TRY(write_type(&field->type, out, err));
        AP_TRY(ap_bytes_printf(
            out, err, ",\"nullable\":%s,\"metadata\":", field->nullable ? "true" : "false"));
        AP_TRY(ap_bytes_add_str(out, field->metadata.size ? field->metadata : AP_STR("{}"), err));
        AP_TRY(ap_bytes_add_text(out, "}", err));
    }
    return ap_bytes_add_text(out, "]}", err);
}

static enum apiary_code write_type(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_field *children = type->children;
    switch (type->kind) {
        case AP_TYPE_STRUCT: return write_fields(children, type->child_count, out, err);
        case AP_TYPE_ARRAY:
            AP_TRY(ap_bytes_add_text(out, "{\"type\":\"array\",\"elementType\":", err));
            AP_TRY(write_type(&children[0].type, out, err));
            return ap_bytes_printf(
                out, err, ",\"containsNull\":%s}", children[0].nullable ? "true" : "false");
        case AP_TYPE_MAP:
            AP_TRY(ap_bytes_add_text(out, "{\"type\":\"map\",\"keyType\":", err));
            AP_TRY(write_type(&children[0].type, out, err));
            AP_TRY(ap_bytes_add_text(out, ",\"valueType\":", err));
            AP_TRY(write_type(&children[1].type, out, err));
            return ap_bytes_printf(
                out, err, ",\"valueContainsNull\":%s}", children[1].nullable ? "true" : "false");
        default:
            AP_TRY(ap_bytes_add_text(out, "\"", err));
            AP_TRY(ap_type_text(type, out, err));
            return ap_bytes_add_text(out, "\"", err);
    }
}

enum apiary_code ap_schema_write(
    const struct ap_schema *schema, struct ap_bytes *out, struct apiary_error *err)
{
    return write_fields(schema->fields, schema->field_count, out, err);
}
