/* Comparing schemas, and the rules for those that we write. */
#include "core/map.h"
#include "ledger/schema.h"

#include <ctype.h>

bool ap_type_same(const struct ap_type *a, const struct ap_type *b)
{
    if (a->kind != b->kind || a->child_count != b->child_count) return false;
    if (a->kind == AP_TYPE_DECIMAL && (a->precision != b->precision || a->scale != b->scale))
        return false;
    for (size_t i = 0; i < a->child_count; i++) {
        const struct ap_field *x = &a->children[i], *y = &b->children[i];
        if (x->nullable != y->nullable || !ap_type_same(&x->type, &y->type)) return false;
        if (a->kind == AP_TYPE_STRUCT && !ap_str_equal_nocase(x->name, y->name)) return false;
    }
    return true;
}

/* Explaining is a courtesy: without memory for it the answer is still right. */
static void explain(struct ap_bytes *why, const char *format, ...) AP_PRINTF(2, 3);
static void explain(struct ap_bytes *why, const char *format, ...)
{
    if (!why) return;
    char line[512];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (ap_bytes_add_text(why, line, NULL) != APIARY_OK) return;
}

static void explain_types(struct ap_bytes *why, const struct ap_field *a, const struct ap_field *b)
{
    if (!why) return;
    AP_AUTO(ap_bytes) first = { 0 };
    AP_AUTO(ap_bytes) second = { 0 };
    if (ap_type_text(&a->type, &first, NULL) != APIARY_OK ||
        ap_type_text(&b->type, &second, NULL) != APIARY_OK)
        return;
    explain(why, "column \"%.*s\" is %s here and %s there", AP_ARG(a->name), ap_bytes_text(&first),
        ap_bytes_text(&second));
}

bool ap_schema_same(const struct ap_schema *a, const struct ap_schema *b, struct ap_bytes *why)
{
    for (size_t i = 0; i < a->field_count && i < b->field_count; i++) {
        const struct ap_field *x = &a->fields[i], *y = &b->fields[i];
        if (!ap_str_equal_nocase(x->name, y->name)) {
            explain(why, "column %zu is \"%.*s\" here and \"%.*s\" there", i + 1, AP_ARG(x->name),
                AP_ARG(y->name));
            return false;
        }
        if (!ap_type_same(&x->type, &y->type)) {
            explain_types(why, x, y);
            return false;
        }
        if (x->nullable != y->nullable) {
            explain(why, "column \"%.*s\" %s here", AP_ARG(x->name),
                x->nullable ? "may be null" : "is NOT NULL");
            return false;
        }
    }
    if (a->field_count != b->field_count) {
        explain(why, "%zu columns here and %zu there", a->field_count, b->field_count);
        return false;
    }
    return true;
}

enum { FOLDED_MAX = 1024 };

/* ASCII lower case, since names match ignoring case. */
static struct ap_str fold(struct ap_str name, char out[FOLDED_MAX])
{
    size_t size = name.size < FOLDED_MAX ? name.size : FOLDED_MAX;
    for (size_t i = 0; i < size; i++) out[i] = (char)tolower((unsigned char)name.data[i]);
    return (struct ap_str) { out, size };
}

char ap_name_forbidden(struct ap_str name)
{
    for (size_t i = 0; i < name.size; i++)
        if (memchr(" ,;{}()\n\t=", name.data[i], 10)) return name.data[i];
    return 0;
}

static enum apiary_code check_type(const struct ap_type *type, struct ap_str column, int depth,
    size_t *count, struct apiary_error *err);

static enum apiary_code check_name(const struct ap_field *field, struct apiary_error *err)
{
    struct ap_str name = field->name;
    if (name.size == 0) return ap_fail(err, APIARY_SCHEMA, "a column has an empty name");
    if (name.size >= FOLDED_MAX)
        return ap_fail(err, APIARY_SCHEMA, "column name of %zu bytes is too long", name.size);
    if (!ap_utf8_valid(name) || memchr(name.data, 0, name.size))
        return ap_fail(
            err, APIARY_SCHEMA, "column name \"" AP_FMT "\" is not valid UTF-8", AP_ARG(name));
    char bad = field->physical_name.size > 0 ? 0 : ap_name_forbidden(name);
    if (bad == 0) return APIARY_OK;
    if (bad == '\n' || bad == '\t')
        ap_fail(err, APIARY_SCHEMA, "column name \"" AP_FMT "\" holds a %s", AP_ARG(name),
            bad == '\t' ? "tab" : "line break");
    else
        ap_fail(err, APIARY_SCHEMA,
            "column name \"" AP_FMT "\" holds '%c', which Delta tables do not allow", AP_ARG(name),
            bad);
    return ap_hint(err, "rename it, or map the columns: WITH ('delta.columnMapping.mode' = 'name')");
}

static enum apiary_code check_fields(const struct ap_field *fields, size_t field_count, int depth,
    size_t *count, struct apiary_error *err)
{
    AP_AUTO(ap_map) seen = { 0 };
    *count += field_count;
    if (*count > AP_SCHEMA_FIELDS_MAX)
        return ap_fail(err, APIARY_LIMIT, "schema has more than %d fields", AP_SCHEMA_FIELDS_MAX);
    for (size_t i = 0; i < field_count; i++) {
        char folded[FOLDED_MAX];
        AP_TRY(check_name(&fields[i], err));
        struct ap_str key = fold(fields[i].name, folded);
        if (ap_map_has(&seen, key))
            return ap_fail(err, APIARY_SCHEMA,
                "column \"" AP_FMT "\" is there twice (names match ignoring case)",
                AP_ARG(fields[i].name));
        AP_TRY(ap_map_put(&seen, key, i, err));
        AP_TRY(check_type(&fields[i].type, fields[i].name, depth, count, err));
    }
    return APIARY_OK;
}

static enum apiary_code check_type(const struct ap_type *type, struct ap_str column, int depth,
    size_t *count, struct apiary_error *err)
{
    if (depth >= AP_SCHEMA_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT, "column \"" AP_FMT "\" is nested deeper than %d levels",
            AP_ARG(column), AP_SCHEMA_DEPTH_MAX);
    switch (type->kind) {
        case AP_TYPE_STRUCT:
            if (type->child_count == 0)
                return ap_fail(err, APIARY_SCHEMA, "column \"" AP_FMT "\": a struct needs a field",
                    AP_ARG(column));
            return check_fields(type->children, type->child_count, depth + 1, count, err);
        case AP_TYPE_ARRAY:
        case AP_TYPE_MAP:
            for (size_t i = 0; i < type->child_count; i++)
                AP_TRY(check_type(&type->children[i].type, column, depth + 1, count, err));
            return APIARY_OK;
        case AP_TYPE_DECIMAL:
            if (type->precision < 1 || type->precision > 38 || type->scale < 0 ||
                type->scale > type->precision)
                return ap_fail(err, APIARY_SCHEMA,
                    "column \"" AP_FMT "\": decimal(%d,%d) does not exist", AP_ARG(column),
                    type->precision, type->scale);
            return APIARY_OK;
        case AP_TYPE_VOID:
        case AP_TYPE_VARIANT:
            return ap_fail(err, APIARY_SCHEMA, "column \"" AP_FMT "\": type %s cannot be written",
                AP_ARG(column), type->kind == AP_TYPE_VOID ? "void" : "variant");
        default: return APIARY_OK;
    }
}

/* Values of these types have no faithful text, and other engines do not agree on one. */
static bool partitionable(enum ap_type_kind kind)
{
    switch (kind) {
        case AP_TYPE_BOOLEAN:
        case AP_TYPE_BYTE:
        case AP_TYPE_SHORT:
        case AP_TYPE_INTEGER:
        case AP_TYPE_LONG:
        case AP_TYPE_DECIMAL:
        case AP_TYPE_STRING:
        case AP_TYPE_DATE:
        case AP_TYPE_TIMESTAMP:
        case AP_TYPE_TIMESTAMP_NTZ: return true;
        default: return false;
    }
}

enum apiary_code ap_schema_check(
    const struct ap_schema *schema, const struct ap_texts *partition_by, struct apiary_error *err)
{
    if (schema->field_count == 0)
        return ap_fail(err, APIARY_SCHEMA, "a frame needs at least one column");
    size_t count = 0;
    AP_TRY(check_fields(schema->fields, schema->field_count, 0, &count, err));
    size_t partition_count = partition_by ? partition_by->count : 0;
    for (size_t i = 0; i < partition_count; i++) {
        struct ap_str name = ap_str_from(partition_by->items[i]);
        size_t at = ap_schema_find(schema, name);
        if (at == SIZE_MAX)
            return ap_fail(err, APIARY_SCHEMA,
                "partition column \"" AP_FMT "\" is not a column of the frame", AP_ARG(name));
        for (size_t j = 0; j < i; j++)
            if (ap_str_equal_nocase(name, ap_str_from(partition_by->items[j])))
                return ap_fail(err, APIARY_SCHEMA, "partition column \"" AP_FMT "\" is named twice",
                    AP_ARG(name));
        if (partitionable(schema->fields[at].type.kind)) continue;
        AP_AUTO(ap_bytes) type = { 0 };
        AP_TRY(ap_type_text(&schema->fields[at].type, &type, err));
        return ap_fail(err, APIARY_SCHEMA,
            "column \"" AP_FMT "\" of type %s cannot be a partition column", AP_ARG(name),
            ap_bytes_text(&type));
    }
    if (partition_count && partition_count == schema->field_count)
        return ap_fail(err, APIARY_SCHEMA, "a frame needs a column that is no partition column");
    return APIARY_OK;
}
