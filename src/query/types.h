/* Types between the three worlds: the engine's text, Delta's schema, Arrow's formats
 * (design, section 3 "Types"; delta.md 5.6). */
#ifndef AP_QUERY_TYPES_H
#define AP_QUERY_TYPES_H

#include "core/arena.h"
#include "ledger/schema.h"

/* The engine's type for a frame's type: BIGINT, "DECIMAL(10,2)", STRUCT("a" INTEGER), VARCHAR[]. */
AP_CHECKED enum apiary_code ap_type_to_engine(
    const struct ap_type *type, struct ap_bytes *out, struct apiary_error *err);

/* What a frame can hold of an engine type given as the engine writes it (DESCRIBE).
 * *notice (may stay NULL; in the arena) says what was mapped ("UUID is stored as string").
 * codes: SCHEMA with the cast to use, naming `column` (INTERVAL, BIT, TIMETZ, UNION …) */
AP_CHECKED enum apiary_code ap_type_from_engine(struct ap_arena *arena, struct ap_str column,
    struct ap_str text, struct ap_type *out, const char **notice, struct apiary_error *err);

/* The same from an Arrow schema (a struct of columns). */
AP_CHECKED enum apiary_code ap_schema_from_arrow(struct ap_arena *arena,
    const struct ArrowSchema *arrow, struct ap_schema *out, struct ap_bytes *notices,
    struct apiary_error *err);

/* May a value of engine type `from` be written to a column of type `to` without loss (safe
 * widening: delta.md 5.6, design 3)? */
bool ap_type_widens(struct ap_str from, const struct ap_type *to);

#endif
