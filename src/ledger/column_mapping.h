/* Column mapping (delta.md, section 6): columns lie in cells, statistics and partition values under
 * physical names, so that the frame's own names may hold any character. Written in the mode "name". */
#ifndef AP_LEDGER_COLUMN_MAPPING_H
#define AP_LEDGER_COLUMN_MAPPING_H

#include "ledger/snapshot.h"

#define AP_MAPPING_MODE "delta.columnMapping.mode"
#define AP_MAPPING_LAST_ID "delta.columnMapping.maxColumnId"

/* Is the mode "name" or "id"? */
bool ap_mapping_on(const struct ap_metadata *metadata);
/* Does a column, or a field at any depth, have a name that only a mapped frame can hold? */
bool ap_mapping_asked(const struct ap_schema *schema);
/* What the column is called in cells and statistics. */
struct ap_str ap_field_physical(const struct ap_field *field);
/* The same by its name. */
struct ap_str ap_column_physical(const struct ap_schema *schema, struct ap_str name);

/* Gives every field that has none, at any depth, an id and a physical name that nobody else has, and
 * sets the properties that say so. What is new is in the arena; the metadata's arrays are replaced, never
 * written to. codes: MEMORY, CORRUPT (there are no ids left) */
AP_CHECKED enum apiary_code ap_mapping_assign(struct ap_env *env, struct ap_arena *arena,
    struct ap_metadata *metadata, struct apiary_error *err);
/* A frame whose metadata is made anew stays mapped, and gives no id twice: the properties of `next`
 * (which has no columns yet) that say so. */
AP_CHECKED enum apiary_code ap_mapping_keep(struct ap_arena *arena, const struct ap_metadata *base,
    struct ap_metadata *next, struct apiary_error *err);
/* What writing to the table asks of its schema. UNSUPPORTED: a field without id or physical name. */
AP_CHECKED enum apiary_code ap_mapping_check(
    const struct ap_metadata *metadata, struct apiary_error *err);
/* What a commit of `next` on top of `base` must keep to; the last id is never lower than it was.
 * base: NULL for a new table. codes: UNSUPPORTED (mapping switched on or off, another mode, and what
 * ap_mapping_check finds) */
AP_CHECKED enum apiary_code ap_mapping_settle(struct ap_arena *arena,
    const struct ap_metadata *base, struct ap_metadata *next, struct apiary_error *err);
/* Adds `"key":…` to the JSON object of a field's metadata. */
AP_CHECKED enum apiary_code ap_field_add_metadata(struct ap_arena *arena, struct ap_field *field,
    struct ap_str member, struct apiary_error *err);

#endif
