/* Delta's schema JSON to a tree (delta.md 5.6). Writing is schema_write.c, rules schema_check.c. */
#include "ledger/schema.h"

#include "core/alloc.h"
#include "core/map.h"

#include <stdio.h>

enum { DECIMAL_PRECISION_MAX = 38, TYPE_TEXT_MAX = 120 };

struct parser {
    struct ap_arena *arena;
    size_t field_count;
    struct ap_bytes text; /* scratch */
    struct apiary_error *err;
};

static const struct {
    const char *name;
    enum ap_type_kind kind;
} primitives[] = {
    { "boolean", AP_TYPE_BOOLEAN },
    { "byte", AP_TYPE_BYTE },
    { "short", AP_TYPE_SHORT },
    { "integer", AP_TYPE_INTEGER },
    { "long", AP_TYPE_LONG },
    { "float", AP_TYPE_FLOAT },
    { "double", AP_TYPE_DOUBLE },
    { "string", AP_TYPE_STRING },
    { "binary", AP_TYPE_BINARY },
    { "date", AP_TYPE_DATE },
    { "timestamp", AP_TYPE_TIMESTAMP },
    { "timestamp_ntz", AP_TYPE_TIMESTAMP_NTZ },
    { "void", AP_TYPE_VOID },
    { "variant", AP_TYPE_VARIANT },
};

/* "10,2" of "decimal(10,2)"; Delta also writes a bare "decimal", which is (10,0). */
static bool parse_decimal(struct ap_str text, struct ap_type *out)
{
    if (ap_str_is(text, "decimal")) {
        *out = (struct ap_type) { .kind = AP_TYPE_DECIMAL, .precision = 10 };
        return true;
    }
    if (!ap_str_starts_with(text, AP_STR("decimal(")) || !ap_str_ends_with(text, AP_STR(")")))
        return false;
    struct ap_str inner = { text.data + 8, text.size - 9 };
    size_t comma = ap_str_find(inner, AP_STR(","));
    if (comma == SIZE_MAX) return false;
    int64_t precision, scale;
    if (!ap_str_to_i64(ap_str_trim((struct ap_str) { inner.data, comma }), &precision))
        return false;
    if (!ap_str_to_i64(
            ap_str_trim((struct ap_str) { inner.data + comma + 1, inner.size - comma - 1 }),
            &scale))
        return false;
    if (precision < 1 || precision > DECIMAL_PRECISION_MAX || scale < 0 || scale > precision)
        return false;
    *out = (struct ap_type) {
        .kind = AP_TYPE_DECIMAL, .precision = (int)precision, .scale = (int)scale
    };
    return true;
}

static enum apiary_code parse_primitive(
    struct parser *parser, struct ap_str text, struct ap_type *out)
{
    for (size_t i = 0; i < sizeof primitives / sizeof *primitives; i++) {
        if (!ap_str_is(text, primitives[i].name)) continue;
        *out = (struct ap_type) { .kind = primitives[i].kind };
        return APIARY_OK;
    }
    if (parse_decimal(text, out)) return APIARY_OK;
    if (text.size > TYPE_TEXT_MAX) text.size = TYPE_TEXT_MAX;
    return ap_fail(
        parser->err, APIARY_UNSUPPORTED, "type \"" AP_FMT "\" is not supported", AP_ARG(text));
}

static enum apiary_code parse_type(
    struct parser *parser, yyjson_val *json, int depth, struct ap_type *out);

static enum apiary_code keep(struct parser *parser, struct ap_str text, struct ap_str *out)
{
    bool ok = true;
    *out = ap_arena_str(parser->arena, text, &ok);
    return ok ? APIARY_OK : ap_fail_memory(parser->err, "a schema");
}

static enum apiary_code parse_metadata(
    struct parser *parser, yyjson_val *json, struct ap_field *out)
{
    yyjson_val *metadata = ap_json_member(json, "metadata");
    out->field_id = -1;
    out->metadata = AP_STR("{}");
    out->physical_name = AP_STR("");
    if (!yyjson_is_obj(metadata) || yyjson_obj_size(metadata) == 0) return APIARY_OK;
    ap_bytes_clear(&parser->text);
    AP_TRY(ap_json_write_val(metadata, &parser->text, parser->err));
    AP_TRY(keep(parser, ap_bytes_view(&parser->text), &out->metadata));
    struct ap_str physical;
    if (ap_json_str(metadata, "delta.columnMapping.physicalName", &physical))
        AP_TRY(keep(parser, physical, &out->physical_name));
    int64_t id;
    if (ap_json_i64(metadata, "delta.columnMapping.id", &id) && id >= 0) out->field_id = id;
    return APIARY_OK;
}

static enum apiary_code parse_field(
    struct parser *parser, yyjson_val *json, int depth, struct ap_field *out)
{
    if (++parser->field_count > AP_SCHEMA_FIELDS_MAX)
        return ap_fail(
            parser->err, APIARY_LIMIT, "schema has more than %d fields", AP_SCHEMA_FIELDS_MAX);
    struct ap_str name;
    if (!ap_json_str(json, "name", &name))
        return ap_fail(parser->err, APIARY_CORRUPT, "schema: a field has no name");
    AP_TRY(keep(parser, name, &out->name));
    yyjson_val *type = ap_json_member(json, "type");
    if (!type)
        return ap_fail(
            parser->err, APIARY_CORRUPT, "schema: column \"" AP_FMT "\" has no type", AP_ARG(name));
    enum apiary_code code = parse_type(parser, type, depth, &out->type);
    if (code == APIARY_UNSUPPORTED)
        return ap_context(parser->err, code, "column \"" AP_FMT "\"", AP_ARG(name));
    AP_TRY(code);
    if (!ap_json_bool(json, "nullable", &out->nullable)) out->nullable = true;
    return parse_metadata(parser, json, out);
}

static enum apiary_code parse_struct(
    struct parser *parser, yyjson_val *json, int depth, struct ap_type *out)
{
    yyjson_val *fields = ap_json_member(json, "fields");
    if (!yyjson_is_arr(fields))
        return ap_fail(parser->err, APIARY_CORRUPT, "schema: a struct has no fields");
    size_t count = yyjson_arr_size(fields);
    if (count > AP_SCHEMA_FIELDS_MAX)
        return ap_fail(
            parser->err, APIARY_LIMIT, "schema has more than %d fields", AP_SCHEMA_FIELDS_MAX);
    struct ap_field *children = ap_arena_alloc(parser->arena, count * sizeof *children);
    if (!children) return ap_fail_memory(parser->err, "a schema");
    size_t i, total;
    yyjson_val *field;
    yyjson_arr_foreach(fields, i, total, field)
        AP_TRY(parse_field(parser, field, depth, &children[i]));
    *out = (struct ap_type) { .kind = AP_TYPE_STRUCT, .children = children, .child_count = count };
    return APIARY_OK;
}

/* One child of an array or a map: its type stands under `type_key`, nullability under `null_key`.
 */
static enum apiary_code parse_child(struct parser *parser, yyjson_val *json, int depth,
    struct ap_str name, const char *type_key, const char *null_key, struct ap_field *out)
{
    yyjson_val *type = ap_json_member(json, type_key);
    if (!type) return ap_fail(parser->err, APIARY_CORRUPT, "schema: %s is missing", type_key);
    *out = (struct ap_field) {
        .name = name, .metadata = AP_STR("{}"), .physical_name = AP_STR(""), .field_id = -1
    };
    if (null_key && !ap_json_bool(json, null_key, &out->nullable)) out->nullable = true;
    return parse_type(parser, type, depth, &out->type);
}

static enum apiary_code parse_type(
    struct parser *parser, yyjson_val *json, int depth, struct ap_type *out)
{
    if (yyjson_is_str(json))
        return parse_primitive(
            parser, (struct ap_str) { yyjson_get_str(json), yyjson_get_len(json) }, out);
    struct ap_str kind;
    if (!ap_json_str(json, "type", &kind))
        return ap_fail(parser->err, APIARY_CORRUPT, "schema: a type has no name");
    if (depth >= AP_SCHEMA_DEPTH_MAX)
        return ap_fail(parser->err, APIARY_LIMIT, "schema is nested deeper than %d levels",
            AP_SCHEMA_DEPTH_MAX);
    if (ap_str_is(kind, "struct")) return parse_struct(parser, json, depth + 1, out);
    bool array = ap_str_is(kind, "array");
    if (!array && !ap_str_is(kind, "map")) return parse_primitive(parser, kind, out);

    size_t count = array ? 1 : 2;
    struct ap_field *children = ap_arena_alloc(parser->arena, count * sizeof *children);
    if (!children) return ap_fail_memory(parser->err, "a schema");
    if (array) {
        AP_TRY(parse_child(parser, json, depth + 1, AP_STR("element"), "elementType",
            "containsNull", &children[0]));
    } else {
        AP_TRY(parse_child(parser, json, depth + 1, AP_STR("key"), "keyType", NULL, &children[0]));
        AP_TRY(parse_child(parser, json, depth + 1, AP_STR("value"), "valueType",
            "valueContainsNull", &children[1]));
    }
    *out = (struct ap_type) {
        .kind = array ? AP_TYPE_ARRAY : AP_TYPE_MAP, .children = children, .child_count = count
    };
    return APIARY_OK;
}

enum apiary_code ap_schema_parse(
    struct ap_arena *arena, struct ap_str json, struct ap_schema *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(json, "schema", &doc, err));
    struct parser parser = { .arena = arena, .err = err };
    struct ap_type type;
    enum apiary_code code = parse_type(&parser, yyjson_doc_get_root(doc), 0, &type);
    ap_bytes_done(&parser.text);
    AP_TRY(code);
    if (type.kind != AP_TYPE_STRUCT)
        return ap_fail(err, APIARY_CORRUPT, "schema: the outermost type is not a struct");
    *out = (struct ap_schema) { type.children, type.child_count };
    return APIARY_OK;
}

enum apiary_code ap_schema_check_twins(const struct ap_schema *schema, struct apiary_error *err)
{
    const struct ap_field *fields = schema->fields;
    AP_AUTO(ap_map) seen = { 0 };
    AP_AUTO(ap_bytes) folded = { 0 };
    for (size_t i = 0; i < schema->field_count; i++) {
        uint64_t before = 0;
        ap_bytes_clear(&folded);
        AP_TRY(ap_bytes_add_str(&folded, fields[i].name, err));
        for (size_t j = 0; j < folded.size; j++)
            if (folded.data[j] >= 'A' && folded.data[j] <= 'Z') folded.data[j] += 'a' - 'A';
        if (ap_map_get(&seen, ap_bytes_view(&folded), &before))
            return ap_fail(err, APIARY_UNSUPPORTED,
                "columns \"" AP_FMT "\" and \"" AP_FMT
                "\" differ in upper and lower case at most, which is not supported",
                AP_ARG(fields[before].name), AP_ARG(fields[i].name));
        AP_TRY(ap_map_put(&seen, ap_bytes_view(&folded), i, err));
    }
    return APIARY_OK;
}

size_t ap_schema_find(const struct ap_schema *schema, struct ap_str name)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (ap_str_equal(schema->fields[i].name, name)) return i;
    for (size_t i = 0; i < schema->field_count; i++)
        if (ap_str_equal_nocase(schema->fields[i].name, name)) return i;
    return SIZE_MAX;
}

static bool type_has_kind(const struct ap_type *type, enum ap_type_kind kind)
{
    if (type->kind == kind) return true;
    for (size_t i = 0; i < type->child_count; i++)
        if (type_has_kind(&type->children[i].type, kind)) return true;
    return false;
}

bool ap_schema_has_kind(const struct ap_schema *schema, enum ap_type_kind kind)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (type_has_kind(&schema->fields[i].type, kind)) return true;
    return false;
}
