/* Statements about hives, boxes, frames and views: private to this room. */
#ifndef AP_QUERY_DDL_H
#define AP_QUERY_DDL_H

#include "query/query.h"

AP_CHECKED enum apiary_code ap_run_use(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_run_create_view(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err); /* view.c */
AP_CHECKED enum apiary_code ap_run_show(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err); /* show.c */
AP_CHECKED enum apiary_code ap_run_describe(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* describe.c */

/* A name behind IN: a box of the current hive, else a hive; with two parts hive.box. Both states
 * are refreshed. *box is "" for a hive. codes: NOT_FOUND */
AP_CHECKED enum apiary_code ap_names_scope(struct ap_session *session,
    const struct ap_object_name *name, struct ap_name3 *out, struct apiary_error *err);

/* SQL's LIKE with % and _, ignoring case of ASCII, over a name. NULL matches everything. */
bool ap_name_like(const char *name, const char *pattern);

/* The columns of a frame as rows: column_name, column_type, null, partition, comment. pattern: of
 * their names; NULL for all. */
struct ap_snapshot;
AP_CHECKED enum apiary_code ap_rows_of_columns(struct ap_rows *rows,
    const struct ap_snapshot *snapshot, const char *pattern, struct apiary_error *err);
/* The snapshot of the frame that the statement names, at the version or time that it says.
 * codes: NOT_FOUND, UNSUPPORTED (a view) */
AP_CHECKED enum apiary_code ap_statement_snapshot(struct ap_request *request,
    struct ap_entry *entry, struct ap_snapshot **out, struct apiary_error *err);

/* The version or time that the statement says; the newest when it says none. */
AP_CHECKED enum apiary_code ap_statement_at(
    struct ap_request *request, struct ap_at *out, struct apiary_error *err);

#endif
