/* Engine type text ⇄ Delta types. */
#include "query/types.h"

#include "core/alloc.h"
#include "sql/lexer.h"

static const struct {
    enum ap_type_kind kind;
    const char *engine;
} plain_types[] = {
    { AP_TYPE_BOOLEAN, "BOOLEAN" }, { AP_TYPE_BYTE, "TINYINT" }, { AP_TYPE_SHORT, "SMALLINT" },
    { AP_TYPE_INTEGER, "INTEGER" }, { AP_TYPE_LONG, "BIGINT" }, { AP_TYPE_FLOAT, "FLOAT" },
    { AP_TYPE_DOUBLE, "DOUBLE" }, { AP_TYPE_STRING, "VARCHAR" }, { AP_TYPE_BINARY, "BLOB" },
    { AP_TYPE_DATE, "DATE" }, { AP_TYPE_TIMESTAMP, "TIMESTAMP WITH TIME ZONE" },
    { AP_TYPE_TIMESTAMP_NTZ, "TIMESTAMP" },
    { AP_TYPE_VOID, "INTEGER" }, /* only NULLs: any type will do */
};

enum apiary_code ap_type_to_engine(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err)
{
    switch (type->kind) {
        case AP_TYPE_DECIMAL:
            return ap_bytes_printf(out, err, "DECIMAL(%d,%d)", type->precision, type->scale);
        case AP_TYPE_ARRAY:
            AP_TRY(ap_type_to_engine(&type->children[0].type, out, err));
            return ap_bytes_add_text(out, "[]", err);
        case AP_TYPE_MAP:
            AP_TRY(ap_bytes_add_text(out, "MAP(", err));
            AP_TRY(ap_type_to_engine(&type->children[0].type, out, err));
            AP_TRY(ap_bytes_add_text(out, ", ", err));
            AP_TRY(ap_type_to_engine(&type->children[1].type, out, err));
            return ap_bytes_add_text(out, ")", err);
        case AP_TYPE_STRUCT:
            AP_TRY(ap_bytes_add_text(out, "STRUCT(", err));
            for (size_t i = 0; i < type->child_count; i++) {
                if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
                AP_TRY(ap_sql_name(out, type->children[i].name, err));
                AP_TRY(ap_bytes_add_text(out, " ", err));
                AP_TRY(ap_type_to_engine(&type->children[i].type, out, err));
            }
            return ap_bytes_add_text(out, ")", err);
        default: break;
    }
    for (size_t i = 0; i < sizeof plain_types / sizeof *plain_types; i++)
        if (plain_types[i].kind == type->kind)
            return ap_bytes_add_text(out, plain_types[i].engine, err);
    return ap_fail(err, APIARY_UNSUPPORTED, "columns of type variant cannot be read yet");
}

/* What the engine calls it, what a frame holds, and the notice or the refusal. */
static const struct mapping {
    const char *engine;
    enum ap_type_kind kind;
    int precision;       /* DECIMAL only */
    const char *notice;  /* said once a column, NULL: nothing changes */
    const char *refusal; /* the cast to use; NULL: it is taken */
} mappings[] = {
    { "BOOLEAN", AP_TYPE_BOOLEAN, 0, NULL, NULL },
    { "TINYINT", AP_TYPE_BYTE, 0, NULL, NULL },
    { "SMALLINT", AP_TYPE_SHORT, 0, NULL, NULL },
    { "INTEGER", AP_TYPE_INTEGER, 0, NULL, NULL },
    { "BIGINT", AP_TYPE_LONG, 0, NULL, NULL },
    { "FLOAT", AP_TYPE_FLOAT, 0, NULL, NULL },
    { "DOUBLE", AP_TYPE_DOUBLE, 0, NULL, NULL },
    { "VARCHAR", AP_TYPE_STRING, 0, NULL, NULL },
    { "BLOB", AP_TYPE_BINARY, 0, NULL, NULL },
    { "DATE", AP_TYPE_DATE, 0, NULL, NULL },
    { "TIMESTAMP", AP_TYPE_TIMESTAMP_NTZ, 0, NULL, NULL },
    { "TIMESTAMP WITH TIME ZONE", AP_TYPE_TIMESTAMP, 0, NULL, NULL },
    { "UTINYINT", AP_TYPE_SHORT, 0, "unsigned 8-bit integers are stored as 16-bit integers", NULL },
    { "USMALLINT", AP_TYPE_INTEGER, 0, "unsigned 16-bit integers are stored as 32-bit integers",
        NULL },
    { "UINTEGER", AP_TYPE_LONG, 0, "unsigned 32-bit integers are stored as 64-bit integers", NULL },
    { "UBIGINT", AP_TYPE_DECIMAL, 20, "unsigned 64-bit integers are stored as decimal(20,0)",
        NULL },
    { "HUGEINT", AP_TYPE_DECIMAL, 38, "128-bit integers are stored as decimal(38,0)", NULL },
    { "TIMESTAMP_S", AP_TYPE_TIMESTAMP_NTZ, 0, "timestamps are stored with microseconds", NULL },
    { "TIMESTAMP_MS", AP_TYPE_TIMESTAMP_NTZ, 0, "timestamps are stored with microseconds", NULL },
    { "TIMESTAMP_NS", AP_TYPE_TIMESTAMP_NTZ, 0,
        "timestamps are stored with microseconds: nanoseconds are cut", NULL },
    { "UUID", AP_TYPE_STRING, 0, "UUIDs are stored as strings", NULL },
    { "JSON", AP_TYPE_STRING, 0, "JSON is stored as strings", NULL },
    { "ENUM", AP_TYPE_STRING, 0, "ENUM values are stored as strings", NULL },
    { "TIME", AP_TYPE_STRING, 0, "TIME values are stored as strings", NULL },
    { "TIME_NS", AP_TYPE_STRING, 0, "TIME values are stored as strings", NULL },
    { "NULL", AP_TYPE_STRING, 0, "a column of only NULL is stored as strings", NULL },
    { "UHUGEINT", AP_TYPE_VOID, 0, NULL, "cast it to DECIMAL(38,0) or VARCHAR" },
    { "BIGNUM", AP_TYPE_VOID, 0, NULL, "cast it to DECIMAL(38,0) or VARCHAR" },
    { "INTERVAL", AP_TYPE_VOID, 0, NULL, "cast it to VARCHAR, or store seconds: epoch(column)" },
    { "BIT", AP_TYPE_VOID, 0, NULL, "cast it to VARCHAR" },
    { "TIME WITH TIME ZONE", AP_TYPE_VOID, 0, NULL, "cast it to TIME or VARCHAR" },
    { "UNION", AP_TYPE_VOID, 0, NULL, "cast it to VARCHAR, or use a STRUCT" },
    { "GEOMETRY", AP_TYPE_VOID, 0, NULL, "use ST_AsWKB(column)" },
    { "VARIANT", AP_TYPE_VOID, 0, NULL, "cast it to VARCHAR" },
};

struct reading {
    struct ap_arena *arena;
    struct ap_str column;
    const struct ap_token *at; /* the last one is END */
    const char *notice;
};

static enum apiary_code read_type(
    struct reading *reading, int depth, struct ap_type *out, struct apiary_error *err);

static enum apiary_code unreadable(const struct reading *reading, struct apiary_error *err)
{
    return ap_fail(err, APIARY_SCHEMA,
        "column \"" AP_FMT "\" has a type that cannot be read at '" AP_FMT "'",
        AP_ARG(reading->column), AP_ARG(reading->at->text));
}

static bool accept(struct reading *reading, const char *word)
{
    if (!ap_token_is(reading->at, word)) return false;
    reading->at++;
    return true;
}

static enum apiary_code new_children(
    struct reading *reading, size_t count, struct ap_field **out, struct apiary_error *err)
{
    *out = ap_arena_alloc(reading->arena, (count == 0 ? 1 : count) * sizeof **out);
    if (*out == NULL) return ap_fail_memory(err, "a type");
    for (size_t i = 0; i < count; i++)
        (*out)[i] =
            (struct ap_field) { .nullable = true, .metadata = AP_STR("{}"), .field_id = -1 };
    return APIARY_OK;
}

static enum apiary_code read_name(
    struct reading *reading, struct ap_str *out, struct apiary_error *err)
{
    if (reading->at->kind != AP_TOKEN_WORD && reading->at->kind != AP_TOKEN_QUOTED)
        return unreadable(reading, err);
    AP_AUTO(ap_bytes) name = { 0 };
    AP_TRY(ap_token_value(reading->at, &name, err));
    bool ok = true;
    *out = ap_arena_str(reading->arena, ap_bytes_view(&name), &ok);
    if (!ok) return ap_fail_memory(err, "a type");
    reading->at++;
    return APIARY_OK;
}

/* STRUCT(name type, …) */
static enum apiary_code read_struct(
    struct reading *reading, int depth, struct ap_type *out, struct apiary_error *err)
{
    if (!accept(reading, "(")) return unreadable(reading, err);
    struct ap_field *fields = NULL;
    size_t count = 0, capacity = 0;
    do {
        if (count == capacity) { /* arenas do not grow in place: double and copy */
            struct ap_field *more = NULL;
            size_t wider = capacity == 0 ? 8 : capacity * 2;
            if (wider > AP_SCHEMA_FIELDS_MAX)
                return ap_fail(err, APIARY_LIMIT, "a struct has too many fields");
            AP_TRY(new_children(reading, wider, &more, err));
            if (count > 0) memcpy(more, fields, count * sizeof *fields);
            fields = more;
            capacity = wider;
        }
        AP_TRY(read_name(reading, &fields[count].name, err));
        AP_TRY(read_type(reading, depth + 1, &fields[count].type, err));
        count++;
    } while (accept(reading, ","));
    if (!accept(reading, ")")) return unreadable(reading, err);
    *out = (struct ap_type) { .kind = AP_TYPE_STRUCT, .children = fields, .child_count = count };
    return APIARY_OK;
}

static enum apiary_code read_map(
    struct reading *reading, int depth, struct ap_type *out, struct apiary_error *err)
{
    struct ap_field *fields = NULL;
    AP_TRY(new_children(reading, 2, &fields, err));
    fields[0].name = AP_STR("key");
    fields[0].nullable = false;
    fields[1].name = AP_STR("value");
    if (!accept(reading, "(")) return unreadable(reading, err);
    AP_TRY(read_type(reading, depth + 1, &fields[0].type, err));
    if (!accept(reading, ",")) return unreadable(reading, err);
    AP_TRY(read_type(reading, depth + 1, &fields[1].type, err));
    if (!accept(reading, ")")) return unreadable(reading, err);
    *out = (struct ap_type) { .kind = AP_TYPE_MAP, .children = fields, .child_count = 2 };
    return APIARY_OK;
}

static enum apiary_code read_decimal(
    struct reading *reading, struct ap_type *out, struct apiary_error *err)
{
    int64_t precision = 18, scale = 3;
    if (accept(reading, "(")) {
        if (!ap_str_to_i64(reading->at->text, &precision)) return unreadable(reading, err);
        reading->at++;
        scale = 0;
        if (accept(reading, ",")) {
            if (!ap_str_to_i64(reading->at->text, &scale)) return unreadable(reading, err);
            reading->at++;
        }
        if (!accept(reading, ")")) return unreadable(reading, err);
    }
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision)
        return unreadable(reading, err);
    *out = (struct ap_type) {
        .kind = AP_TYPE_DECIMAL, .precision = (int)precision, .scale = (int)scale
    };
    return APIARY_OK;
}

/* The words of a plain type joined by one space, upper case: "TIMESTAMP WITH TIME ZONE". */
static void read_words(struct reading *reading, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    while (reading->at->kind == AP_TOKEN_WORD || reading->at->kind == AP_TOKEN_QUOTED) {
        struct ap_str word = reading->at->text;
        if (word.size >= 2 && word.data[0] == '"')
            word = (struct ap_str) { word.data + 1, word.size - 2 };
        if (used + word.size + 2 > size) break;
        if (used > 0) out[used++] = ' ';
        for (size_t i = 0; i < word.size; i++) {
            char c = word.data[i];
            out[used++] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        out[used] = '\0';
        reading->at++;
    }
}

/* Past a bracket and all that belongs to it: ENUM('a', 'b'), UNION(…). */
static void skip_brackets(struct reading *reading)
{
    if (!ap_token_is(reading->at, "(")) return;
    int depth = reading->at->depth;
    do reading->at++;
    while (reading->at->kind != AP_TOKEN_END &&
           !(ap_token_is(reading->at, ")") && reading->at->depth == depth));
    if (reading->at->kind != AP_TOKEN_END) reading->at++;
}

static enum apiary_code read_plain(
    struct reading *reading, struct ap_type *out, struct apiary_error *err)
{
    char words[64];
    read_words(reading, words, sizeof words);
    skip_brackets(reading);
    for (size_t i = 0; i < sizeof mappings / sizeof *mappings; i++) {
        const struct mapping *mapping = &mappings[i];
        if (strcmp(mapping->engine, words) != 0) continue;
        if (mapping->refusal != NULL) {
            ap_fail(err, APIARY_SCHEMA,
                "column \"" AP_FMT "\" has type %s, which a frame cannot hold",
                AP_ARG(reading->column), words);
            ap_hint(err, "%s", mapping->refusal);
            return APIARY_SCHEMA;
        }
        if (mapping->notice != NULL) reading->notice = mapping->notice;
        *out = (struct ap_type) { .kind = mapping->kind, .precision = mapping->precision };
        return APIARY_OK;
    }
    return ap_fail(err, APIARY_SCHEMA,
        "column \"" AP_FMT "\" has type %s, which a frame cannot hold", AP_ARG(reading->column),
        words);
}

static enum apiary_code read_type(
    struct reading *reading, int depth, struct ap_type *out, struct apiary_error *err)
{
    if (depth > AP_SCHEMA_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT, "column \"" AP_FMT "\" is nested more than %d deep",
            AP_ARG(reading->column), AP_SCHEMA_DEPTH_MAX);
    if (accept(reading, "STRUCT"))
        AP_TRY(read_struct(reading, depth, out, err));
    else if (accept(reading, "MAP"))
        AP_TRY(read_map(reading, depth, out, err));
    else if (accept(reading, "DECIMAL"))
        AP_TRY(read_decimal(reading, out, err));
    else
        AP_TRY(read_plain(reading, out, err));
    while (accept(reading, "[")) { /* lists, and arrays of a fixed length, which become lists */
        if (reading->at->kind == AP_TOKEN_NUMBER) {
            reading->at++;
            reading->notice = "arrays of a fixed length are stored as lists";
        }
        if (!accept(reading, "]")) return unreadable(reading, err);
        struct ap_field *element = NULL;
        AP_TRY(new_children(reading, 1, &element, err));
        element[0].name = AP_STR("element");
        element[0].type = *out;
        *out = (struct ap_type) { .kind = AP_TYPE_ARRAY, .children = element, .child_count = 1 };
        if (++depth > AP_SCHEMA_DEPTH_MAX) return unreadable(reading, err);
    }
    return APIARY_OK;
}

enum apiary_code ap_type_from_engine(struct ap_arena *arena, struct ap_str column,
    struct ap_str text, struct ap_type *out, const char **notice, struct apiary_error *err)
{
    AP_AUTO(ap_tokens) tokens = { 0 };
    AP_TRY(ap_lex(text, &tokens, err));
    struct reading reading = { .arena = arena, .column = column, .at = tokens.items };
    struct ap_type type = { 0 };
    AP_TRY(read_type(&reading, 0, &type, err));
    if (reading.at->kind != AP_TOKEN_END) return unreadable(&reading, err);
    *out = type;
    if (notice != NULL) *notice = reading.notice;
    return APIARY_OK;
}

/* ---- safe widening ---- */

static int integer_digits(enum ap_type_kind kind)
{
    switch (kind) {
        case AP_TYPE_BYTE: return 3;
        case AP_TYPE_SHORT: return 5;
        case AP_TYPE_INTEGER: return 10;
        case AP_TYPE_LONG: return 19;
        default: return 0;
    }
}

static bool type_widens(const struct ap_type *from, const struct ap_type *to)
{
    if (from->kind == AP_TYPE_VOID) return true;
    int digits = integer_digits(from->kind);
    if (digits > 0) {
        if (integer_digits(to->kind) >= digits) return true;
        if (to->kind == AP_TYPE_DOUBLE) return digits <= 10; /* exact up to 2^53 */
        if (to->kind == AP_TYPE_FLOAT) return digits <= 5;
        return to->kind == AP_TYPE_DECIMAL && to->precision - to->scale >= digits;
    }
    if (from->kind == AP_TYPE_DECIMAL && to->kind == AP_TYPE_DECIMAL)
        return to->scale >= from->scale &&
               to->precision - to->scale >= from->precision - from->scale;
    if (from->kind == AP_TYPE_FLOAT && to->kind == AP_TYPE_DOUBLE) return true;
    if (from->kind == AP_TYPE_DATE && to->kind == AP_TYPE_TIMESTAMP_NTZ) return true;
    if (from->kind != to->kind) return false;
    switch (from->kind) {
        case AP_TYPE_ARRAY: return type_widens(&from->children[0].type, &to->children[0].type);
        case AP_TYPE_MAP:
            return type_widens(&from->children[0].type, &to->children[0].type) &&
                   type_widens(&from->children[1].type, &to->children[1].type);
        case AP_TYPE_STRUCT: /* every field must find its place; missing ones become NULL */
            for (size_t i = 0; i < from->child_count; i++) {
                size_t at = 0;
                while (at < to->child_count &&
                       !ap_str_equal_nocase(from->children[i].name, to->children[at].name))
                    at++;
                if (at == to->child_count ||
                    !type_widens(&from->children[i].type, &to->children[at].type))
                    return false;
            }
            return true;
        default: return true;
    }
}

bool ap_type_widens(struct ap_str from, const struct ap_type *to)
{
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_type type = { 0 };
    if (ap_str_equal_nocase(from, AP_STR("\"NULL\"")) || ap_str_equal_nocase(from, AP_STR("NULL")))
        return true;
    if (ap_type_from_engine(&arena, AP_STR(""), from, &type, NULL, NULL) != APIARY_OK) return false;
    return type_widens(&type, to);
}
