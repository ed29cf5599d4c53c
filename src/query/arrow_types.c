/* Arrow's formats to what a frame can hold. */
#include "query/types.h"

#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>

enum { DEPTH_MAX = AP_SCHEMA_DEPTH_MAX };

/* Formats of one type each (Arrow C data interface), and the notice where something changes. */
static const struct {
    const char *format;
    enum ap_type_kind kind;
    int precision;
    const char *notice;
} formats[] = {
    { "b", AP_TYPE_BOOLEAN, 0, NULL },
    { "c", AP_TYPE_BYTE, 0, NULL },
    { "s", AP_TYPE_SHORT, 0, NULL },
    { "i", AP_TYPE_INTEGER, 0, NULL },
    { "l", AP_TYPE_LONG, 0, NULL },
    { "C", AP_TYPE_SHORT, 0, "unsigned 8-bit integers are stored as 16-bit integers" },
    { "S", AP_TYPE_INTEGER, 0, "unsigned 16-bit integers are stored as 32-bit integers" },
    { "I", AP_TYPE_LONG, 0, "unsigned 32-bit integers are stored as 64-bit integers" },
    { "L", AP_TYPE_DECIMAL, 20, "unsigned 64-bit integers are stored as decimal(20,0)" },
    { "e", AP_TYPE_FLOAT, 0, "half-precision floats are stored as 32-bit floats" },
    { "f", AP_TYPE_FLOAT, 0, NULL },
    { "g", AP_TYPE_DOUBLE, 0, NULL },
    { "u", AP_TYPE_STRING, 0, NULL },
    { "U", AP_TYPE_STRING, 0, NULL },
    { "vu", AP_TYPE_STRING, 0, NULL },
    { "z", AP_TYPE_BINARY, 0, NULL },
    { "Z", AP_TYPE_BINARY, 0, NULL },
    { "vz", AP_TYPE_BINARY, 0, NULL },
    { "tdD", AP_TYPE_DATE, 0, NULL },
    { "tdm", AP_TYPE_DATE, 0, "64-bit dates are stored as dates" },
    { "tts", AP_TYPE_STRING, 0, "TIME values are stored as strings" },
    { "ttm", AP_TYPE_STRING, 0, "TIME values are stored as strings" },
    { "ttu", AP_TYPE_STRING, 0, "TIME values are stored as strings" },
    { "ttn", AP_TYPE_STRING, 0, "TIME values are stored as strings" },
    { "n", AP_TYPE_STRING, 0, "a column of only NULL is stored as strings" },
};

static enum apiary_code refuse(
    struct ap_str column, const char *what, const char *hint, struct apiary_error *err)
{
    ap_fail(err, APIARY_SCHEMA,
        "column \"" AP_FMT "\" has Arrow type %s, which a frame cannot hold", AP_ARG(column), what);
    return ap_hint(err, "%s", hint);
}

static enum apiary_code type_of(struct ap_arena *arena, struct ap_str column,
    const struct ArrowSchema *arrow, int depth, struct ap_type *out, const char **notice,
    struct apiary_error *err);

static enum apiary_code children_of(struct ap_arena *arena, struct ap_str column,
    const struct ArrowSchema *arrow, int depth, const char *const *names, struct ap_field **out,
    const char **notice, struct apiary_error *err)
{
    size_t count = (size_t)arrow->n_children;
    if (arrow->n_children < 0 || arrow->n_children > AP_SCHEMA_FIELDS_MAX)
        return ap_fail(
            err, APIARY_LIMIT, "column \"" AP_FMT "\" has too many fields", AP_ARG(column));
    struct ap_field *fields = ap_arena_alloc(arena, (count == 0 ? 1 : count) * sizeof *fields);
    if (fields == NULL) return ap_fail_memory(err, "a schema");
    for (size_t i = 0; i < count; i++) {
        bool ok = true;
        const char *name = names != NULL ? names[i] : arrow->children[i]->name;
        fields[i] =
            (struct ap_field) { .nullable = (arrow->children[i]->flags & ARROW_FLAG_NULLABLE) != 0,
                .metadata = AP_STR("{}"),
                .field_id = -1 };
        fields[i].name = ap_arena_str(arena, ap_str_from(name), &ok);
        if (!ok) return ap_fail_memory(err, "a schema");
        AP_TRY(type_of(arena, column.size > 0 ? column : fields[i].name, arrow->children[i],
            depth + 1, &fields[i].type, notice, err));
    }
    *out = fields;
    return APIARY_OK;
}

static enum apiary_code decimal_of(struct ap_str column, const struct ArrowSchema *arrow,
    struct ap_type *out, struct apiary_error *err)
{
    struct ArrowSchemaView view;
    struct ArrowError error;
    bool read = ArrowSchemaViewInit(&view, arrow, &error) == NANOARROW_OK;
    if (!read || view.decimal_precision < 1 || view.decimal_precision > 38 ||
        view.decimal_scale < 0 || view.decimal_scale > view.decimal_precision)
        return refuse(column, arrow->format,
            "use a decimal of at most 38 digits with a scale of 0 or more", err);
    *out = (struct ap_type) {
        .kind = AP_TYPE_DECIMAL, .precision = view.decimal_precision, .scale = view.decimal_scale
    };
    return APIARY_OK;
}

static enum apiary_code nested_of(struct ap_arena *arena, struct ap_str column,
    const struct ArrowSchema *arrow, int depth, struct ap_type *out, const char **notice,
    struct apiary_error *err)
{
    static const char *const element[] = { "element" };
    static const char *const entry[] = { "key", "value" };
    const char *format = arrow->format;
    struct ap_field *fields = NULL;
    if (strcmp(format, "+s") == 0) {
        AP_TRY(children_of(arena, column, arrow, depth, NULL, &fields, notice, err));
        *out = (struct ap_type) {
            .kind = AP_TYPE_STRUCT, .children = fields, .child_count = (size_t)arrow->n_children
        };
        return APIARY_OK;
    }
    if (strcmp(format, "+m") == 0 && arrow->n_children == 1 &&
        arrow->children[0]->n_children == 2) {
        AP_TRY(children_of(arena, column, arrow->children[0], depth, entry, &fields, notice, err));
        fields[0].nullable = false;
        *out = (struct ap_type) { .kind = AP_TYPE_MAP, .children = fields, .child_count = 2 };
        return APIARY_OK;
    }
    bool list = strcmp(format, "+l") == 0 || strcmp(format, "+L") == 0 ||
                strncmp(format, "+w:", 3) == 0 || strcmp(format, "+vl") == 0 ||
                strcmp(format, "+vL") == 0;
    if (list && arrow->n_children == 1) {
        AP_TRY(children_of(arena, column, arrow, depth, element, &fields, notice, err));
        *out = (struct ap_type) { .kind = AP_TYPE_ARRAY, .children = fields, .child_count = 1 };
        return APIARY_OK;
    }
    return refuse(column, format, "cast it to a struct, a list, a map or a plain type first", err);
}

/* Arrow's extension type, which the engine takes for its own. */
static bool is_uuid(const struct ArrowSchema *arrow)
{
    struct ArrowStringView name = { 0 };
    if (arrow->metadata == NULL || strcmp(arrow->format, "w:16") != 0 ||
        ArrowMetadataGetValue(arrow->metadata, ArrowCharView("ARROW:extension:name"), &name) !=
            NANOARROW_OK)
        return false;
    return ap_str_equal(
        (struct ap_str) { name.data, (size_t)name.size_bytes }, AP_STR("arrow.uuid"));
}

static enum apiary_code type_of(struct ap_arena *arena, struct ap_str column,
    const struct ArrowSchema *arrow, int depth, struct ap_type *out, const char **notice,
    struct apiary_error *err)
{
    const char *format = arrow->format;
    if (format == NULL || depth > DEPTH_MAX)
        return refuse(column, "nested too deep", "flatten the column", err);
    if (arrow->dictionary != NULL)
        return type_of(arena, column, arrow->dictionary, depth + 1, out, notice, err);
    if (is_uuid(arrow)) {
        *notice = "UUIDs are stored as strings";
        *out = (struct ap_type) { .kind = AP_TYPE_STRING };
        return APIARY_OK;
    }
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].format, format) != 0) continue;
        if (formats[i].notice != NULL) *notice = formats[i].notice;
        *out = (struct ap_type) { .kind = formats[i].kind, .precision = formats[i].precision };
        return APIARY_OK;
    }
    if (strncmp(format, "d:", 2) == 0) return decimal_of(column, arrow, out, err);
    if (strncmp(format, "w:", 2) == 0) {
        *out = (struct ap_type) { .kind = AP_TYPE_BINARY };
        return APIARY_OK;
    }
    if (strncmp(format, "ts", 2) == 0 && strlen(format) >= 4 && format[3] == ':') {
        if (format[2] == 'n')
            *notice = "timestamps are stored with microseconds: nanoseconds are cut";
        *out = (struct ap_type) { .kind = format[4] == '\0' ? AP_TYPE_TIMESTAMP_NTZ
                                                            : AP_TYPE_TIMESTAMP };
        return APIARY_OK;
    }
    if (strncmp(format, "tD", 2) == 0 || strncmp(format, "ti", 2) == 0)
        return refuse(column, "duration or interval", "store it as a number of microseconds", err);
    return nested_of(arena, column, arrow, depth, out, notice, err);
}

enum apiary_code ap_schema_from_arrow(struct ap_arena *arena, const struct ArrowSchema *arrow,
    struct ap_schema *out, struct ap_bytes *notices, struct apiary_error *err)
{
    if (arrow->format == NULL || strcmp(arrow->format, "+s") != 0)
        return ap_fail(
            err, APIARY_SCHEMA, "the data is no table: its Arrow type is not a struct of columns");
    if (arrow->n_children <= 0) return ap_fail(err, APIARY_SCHEMA, "the data has no columns");
    size_t count = (size_t)arrow->n_children;
    if (count > AP_SCHEMA_FIELDS_MAX)
        return ap_fail(
            err, APIARY_LIMIT, "the data has more than %d columns", AP_SCHEMA_FIELDS_MAX);
    struct ap_field *fields = ap_arena_alloc(arena, count * sizeof *fields);
    if (fields == NULL) return ap_fail_memory(err, "a schema");
    for (size_t i = 0; i < count; i++) {
        const struct ArrowSchema *child = arrow->children[i];
        const char *notice = NULL;
        bool ok = true;
        fields[i] = (struct ap_field) { .nullable = (child->flags & ARROW_FLAG_NULLABLE) != 0,
            .metadata = AP_STR("{}"),
            .field_id = -1 };
        fields[i].name = ap_arena_str(arena, ap_str_from(child->name), &ok);
        if (!ok) return ap_fail_memory(err, "a schema");
        AP_TRY(type_of(arena, fields[i].name, child, 0, &fields[i].type, &notice, err));
        if (notice != NULL && notices != NULL)
            AP_TRY(ap_bytes_printf(notices, err, "%scolumn \"%s\": %s",
                notices->size > 0 ? "\n" : "", child->name, notice));
    }
    *out = (struct ap_schema) { fields, count };
    return APIARY_OK;
}
