/* A frame's schema: Delta's schema JSON as a tree (delta.md 5.6). */
#ifndef AP_LEDGER_SCHEMA_H
#define AP_LEDGER_SCHEMA_H

#include "core/arena.h"
#include "core/json.h"

enum ap_type_kind {
    AP_TYPE_BOOLEAN,
    AP_TYPE_BYTE,
    AP_TYPE_SHORT,
    AP_TYPE_INTEGER,
    AP_TYPE_LONG,
    AP_TYPE_FLOAT,
    AP_TYPE_DOUBLE,
    AP_TYPE_DECIMAL,
    AP_TYPE_STRING,
    AP_TYPE_BINARY,
    AP_TYPE_DATE,
    AP_TYPE_TIMESTAMP,     /* with zone: an instant */
    AP_TYPE_TIMESTAMP_NTZ, /* without zone */
    AP_TYPE_VOID,
    AP_TYPE_ARRAY,  /* children[0] = element */
    AP_TYPE_MAP,    /* children[0] = key, [1] = value */
    AP_TYPE_STRUCT, /* children = fields */
    AP_TYPE_VARIANT
};

struct ap_field;
struct ap_type {
    enum ap_type_kind kind;
    int precision, scale; /* DECIMAL */
    const struct ap_field *children;
    size_t child_count;
};
struct ap_field {
    struct ap_str name; /* "element", "key", "value" below arrays and maps */
    struct ap_type type;
    bool nullable;
    struct ap_str metadata; /* JSON object text, "{}" when empty */
    /* column mapping; empty / -1 where the table has none */
    struct ap_str physical_name;
    int64_t field_id;
};
/* Lives in an arena together with all it points to. */
struct ap_schema {
    const struct ap_field *fields;
    size_t field_count;
};

enum { AP_SCHEMA_DEPTH_MAX = 32, AP_SCHEMA_FIELDS_MAX = 20000 };

/* Columns whose names differ in case only: the engine, which matches names without regard to it, would read
 * one of them twice. codes: UNSUPPORTED, MEMORY */
AP_CHECKED enum apiary_code ap_schema_check_twins(
    const struct ap_schema *schema, struct apiary_error *err);

/* codes: CORRUPT; UNSUPPORTED (names the type) */
AP_CHECKED enum apiary_code ap_schema_parse(
    struct ap_arena *arena, struct ap_str json, struct ap_schema *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_schema_write(
    const struct ap_schema *schema, struct ap_bytes *out, struct apiary_error *err);
/* By name: exact first, then ignoring case. SIZE_MAX when there is none. */
size_t ap_schema_find(const struct ap_schema *schema, struct ap_str name);
/* Same names (ignoring case), types, nullability and order? `why` (may be NULL) gets one line. */
bool ap_schema_same(const struct ap_schema *a, const struct ap_schema *b, struct ap_bytes *why);
bool ap_type_same(const struct ap_type *a, const struct ap_type *b);
/* The first character that Delta forbids in names of columns that are not mapped, or 0. */
char ap_name_forbidden(struct ap_str name);
/* Rules for a schema of ours: unique names, no forbidden characters where there is no physical name
 * (SCHEMA error names the column). */
AP_CHECKED enum apiary_code ap_schema_check(
    const struct ap_schema *schema, const struct ap_texts *partition_by, struct apiary_error *err);
/* Delta's word for a type: "long", "decimal(10,2)", "array<string>", "struct<a:long>". */
AP_CHECKED enum apiary_code ap_type_text(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err);
bool ap_schema_has_kind(const struct ap_schema *schema, enum ap_type_kind kind); /* at any depth */

#endif
