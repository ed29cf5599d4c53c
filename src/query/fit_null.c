/* NOT NULL within a column: fields of structs, elements of lists, values of maps (Delta protocol, schema: "nullable",
 * "containsNull", "valueContainsNull"). The engine's types know nothing of it, so what is written is looked at. */
#include "query/cellwriter.h"

#include "query/types.h"

#include <stdio.h>

enum { ITEM_SIZE = 16 };

static bool has_rule(const struct ap_type *type)
{
    bool inner = type->kind == AP_TYPE_STRUCT || type->kind == AP_TYPE_ARRAY || type->kind == AP_TYPE_MAP;
    for (size_t i = 0; inner && i < type->child_count; i++) {
        bool key = type->kind == AP_TYPE_MAP && i == 0; /* never NULL: the engine sees to that */
        if ((!type->children[i].nullable && !key) || has_rule(&type->children[i].type)) return true;
    }
    return false;
}

static enum apiary_code add_broken(struct ap_bytes *out, struct ap_str value, const struct ap_type *type, int depth, struct apiary_error *err);

/* Is an item of the list NULL that must not be, or broken itself? */
static enum apiary_code add_items(
    struct ap_bytes *out, struct ap_str list, const struct ap_field *field, int depth, struct apiary_error *err)
{
    char item[ITEM_SIZE];
    snprintf(item, sizeof item, "x%d", depth);
    AP_TRY(ap_bytes_printf(out, err, " OR len(list_filter(" AP_FMT ", lambda %s: %s", AP_ARG(list), item,
        field->nullable ? "false" : ""));
    if (!field->nullable) AP_TRY(ap_bytes_printf(out, err, "%s IS NULL", item));
    AP_TRY(add_broken(out, ap_str_from(item), &field->type, depth + 1, err));
    return ap_bytes_add_text(out, ")) > 0", err);
}

static enum apiary_code add_fields(
    struct ap_bytes *out, struct ap_str value, const struct ap_type *type, int depth, struct apiary_error *err)
{
    for (size_t i = 0; i < type->child_count; i++) {
        const struct ap_field *field = &type->children[i];
        AP_AUTO(ap_bytes) inner = { 0 };
        if (field->nullable && !has_rule(&field->type)) continue;
        AP_TRY(ap_bytes_printf(&inner, err, "struct_extract(" AP_FMT ", ", AP_ARG(value)));
        AP_TRY(ap_sql_string(&inner, field->name, err));
        AP_TRY(ap_bytes_add_text(&inner, ")", err));
        if (!field->nullable)
            AP_TRY(ap_bytes_printf(out, err, " OR (" AP_FMT " IS NOT NULL AND %s IS NULL)", AP_ARG(value), ap_bytes_text(&inner)));
        AP_TRY(add_broken(out, ap_bytes_view(&inner), &field->type, depth, err));
    }
    return APIARY_OK;
}

/* " OR …" for each rule that the value may break. */
static enum apiary_code add_broken(struct ap_bytes *out, struct ap_str value, const struct ap_type *type, int depth, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) list = { 0 };
    if (!has_rule(type)) return APIARY_OK;
    switch (type->kind) {
        case AP_TYPE_STRUCT: return add_fields(out, value, type, depth, err);
        case AP_TYPE_ARRAY: return add_items(out, value, &type->children[0], depth, err);
        default: break;
    }
    struct ap_field key = type->children[0];
    key.nullable = true;
    if (has_rule(&key.type)) {
        AP_TRY(ap_bytes_printf(&list, err, "map_keys(" AP_FMT ")", AP_ARG(value)));
        AP_TRY(add_items(out, ap_bytes_view(&list), &key, depth, err));
        ap_bytes_clear(&list);
    }
    AP_TRY(ap_bytes_printf(&list, err, "map_values(" AP_FMT ")", AP_ARG(value)));
    return add_items(out, ap_bytes_view(&list), &type->children[1], depth, err);
}

enum apiary_code ap_fit_within(struct ap_bytes *value, const struct ap_field *field, const char *frame, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) out = { 0 };
    AP_AUTO(ap_bytes) message = { 0 };
    if (!has_rule(&field->type)) return APIARY_OK;
    /* A lambda: the value is asked for once, whatever it hangs on. */
    AP_TRY(ap_bytes_printf(&out, err, "list_transform([%s], lambda x0: CASE WHEN false", ap_bytes_text(value)));
    AP_TRY(add_broken(&out, AP_STR("x0"), &field->type, 1, err));
    AP_TRY(ap_bytes_printf(&message, err, AP_SCHEMA_MARK "column \"" AP_FMT "\" of frame %s holds a NULL within, where it cannot",
        AP_ARG(field->name), frame));
    AP_TRY(ap_bytes_add_text(&out, " THEN error(", err));
    AP_TRY(ap_sql_string(&out, ap_bytes_view(&message), err));
    AP_TRY(ap_bytes_add_text(&out, ") ELSE x0 END)[1]", err));
    ap_bytes_done(value);
    *value = AP_TAKE(out);
    return APIARY_OK;
}
