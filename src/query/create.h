/* New frames: schema from column definitions, from a query's columns, from Arrow. */
#ifndef AP_QUERY_CREATE_H
#define AP_QUERY_CREATE_H

#include "query/target.h"

/* Metadata of a frame to be; everything in the arena. out: holds its properties already. Columns are
 * mapped where these say so, or with keep_names where a name asks for it. */
AP_CHECKED enum apiary_code ap_metadata_of_columns(struct ap_session *session,
    struct ap_arena *arena, const struct ap_described_list *columns,
    const struct ap_texts *partition_by, bool keep_names, struct ap_metadata *out,
    struct apiary_error *err);
/* Fills in partition_by with the schema's spelling, and checks the whole (SCHEMA errors name the
 * column). */
AP_CHECKED enum apiary_code ap_metadata_partition(struct ap_arena *arena,
    const struct ap_texts *partition_by, struct ap_metadata *metadata, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_run_create_frame(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_run_insert(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);

/* The columns that only the data has, added to the target's schema (in the arena). *changed: there
 * were some. codes: SCHEMA (no type of a frame) */
AP_CHECKED enum apiary_code ap_merge_columns(struct ap_session *session, struct ap_arena *arena,
    const struct ap_described_list *columns, struct ap_target *target, bool *changed,
    struct apiary_error *err);

#endif
