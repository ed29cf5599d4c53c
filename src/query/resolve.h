/* From names in a statement to frames at versions: private to this room. */
#ifndef AP_QUERY_RESOLVE_H
#define AP_QUERY_RESOLVE_H

#include "query/read.h"

/* A source without any text: chamber, cell set. */
AP_CHECKED enum apiary_code ap_source_new(
    struct ap_session *session, struct ap_source **out, struct apiary_error *err);
/* What a statement needs of the engine beside its frames: schemas, views. Made by
 * ap_source_resolve, used by ap_source_prepare. */
struct ap_needs;
void ap_needs_free(struct ap_needs *needs); /* NULL does nothing */
/* The query of a view that the statement uses, by the engine's quoted name of it ("memory"."b"."v", or
 * "v" for one of the session); NULL: it uses none of that name. */
const char *ap_needs_view(const struct ap_needs *needs, struct ap_str name);
/* Did a reference lead to the view of that name? Others are there to be listed. */
bool ap_needs_read_view(const struct ap_needs *needs, struct ap_str name);
/* ATTACH and CREATE SCHEMA for all that the statement names. */
AP_CHECKED enum apiary_code ap_source_schemas(
    struct ap_source *source, struct ap_texts *out, struct apiary_error *err);
/* Does the text touch the engine's own books, or is it not to be told? What writes into them, or reads in them, would be seen by the
 * next statement, or see the one before. */
bool ap_names_alone(const struct ap_tree_names *names);
/* What takes such a statement back, appended; "" where nothing needs to be. codes: INVALID for any other statement */
AP_CHECKED enum apiary_code ap_schema_undo(struct ap_str made, struct ap_texts *out, struct apiary_error *err);
/* The same of each of them, in the same order. */
AP_CHECKED enum apiary_code ap_source_schema_undos(struct ap_source *source, struct ap_texts *out, struct apiary_error *err);
/* CREATE VIEW for every view that the statement uses. */
AP_CHECKED enum apiary_code ap_source_views(
    struct ap_source *source, struct ap_texts *out, struct apiary_error *err);
/* USE of the session's hive and box. */
AP_CHECKED enum apiary_code ap_source_use(
    struct ap_source *source, struct ap_bytes *out, struct apiary_error *err);
/* Runs a pure text function of the engine on one argument ($1). */
AP_CHECKED enum apiary_code ap_source_text_function(struct ap_source *source, const char *sql,
    struct ap_str argument, struct ap_bytes *out, struct apiary_error *err);
/* The syntax tree (with its error document, if the text is wrong); *tree stays NULL for statements
 * that the serialiser cannot hold. */
AP_CHECKED enum apiary_code ap_source_tree(
    struct ap_source *source, struct ap_str sql, yyjson_doc **tree, struct apiary_error *err);

/* Fills in names->parameters from the caller's values; they live in the arena. */
AP_CHECKED enum apiary_code ap_parameters(struct ap_arena *arena, const struct apiary_query *query,
    struct ap_tree_names *names, struct apiary_error *err);

/* The engine's catalog for a hive: the hive's name, but "memory" for main (the engine reserves
 * the name main). */
const char *ap_engine_catalog(const char *hive);
/* "catalog"."box"."frame", quoted. */
AP_CHECKED enum apiary_code ap_engine_name(
    const struct ap_name3 *name, struct ap_bytes *out, struct apiary_error *err);

/* The expression of an AT clause as version or time. */
AP_CHECKED enum apiary_code ap_at_of(struct ap_source *source, const struct ap_table_ref *ref,
    const struct apiary_query *query, struct ap_at *out, struct apiary_error *err);

/* The expression of an AT clause, by the engine: a version, or a time. codes: SQL */
AP_CHECKED enum apiary_code ap_at_by_engine(struct ap_source *source, bool is_version,
    struct ap_str expression, const struct apiary_query *query, struct ap_at *out,
    struct apiary_error *err);

#endif
