/* The query of a statement that writes: opened, and fitted to the frame it goes into. */
#ifndef AP_QUERY_BODY_H
#define AP_QUERY_BODY_H

#include "query/cellwriter.h"
#include "query/spread_write.h"

/* The body of the request's statement, resolved. *plan: when other nodes take part (and not `alone`),
 * what they do, to be freed; else NULL, and the source is ready to run. The source is the caller's. */
AP_CHECKED enum apiary_code ap_body_open(struct ap_request *request, bool alone,
    struct ap_source **source, struct ap_plan **plan, struct apiary_error *err);

/* The rows of a query in the target's schema: SELECT list FROM (body) AS apiary_rows(c0, …); what
 * stands before the body and behind it. */
struct ap_fitted {
    struct ap_bytes head, tail;
};
void ap_fitted_done(struct ap_fitted *fitted);
/* codes: SCHEMA (a column that does not fit), MEMORY */
AP_CHECKED enum apiary_code ap_fitted_make(struct ap_session *session,
    const struct ap_target *target, const struct ap_fit *fit, struct ap_fitted *out,
    struct apiary_error *err);
/* The whole statement over the source's text. */
AP_CHECKED enum apiary_code ap_fitted_select(const struct ap_source *source,
    const struct ap_fitted *fitted, struct ap_bytes *out, struct apiary_error *err);

/* The columns of a plan's answer. */
AP_CHECKED enum apiary_code ap_plan_columns(
    const struct ap_plan *plan, struct ap_described_list *out, struct apiary_error *err);
/* Does the query read the frame that it writes to? */
bool ap_reads_frame(const struct ap_source *source, const struct ap_target *target);
/* The same, where the base stands: what others commit is judged from there on, so nothing may lie between it and the newest version that
 * the query reads. codes: CONFLICT (the frame was changed, or made anew, after it was read) */
AP_CHECKED enum apiary_code ap_reads_base(
    const struct ap_source *source, const struct ap_target *target, bool *reads, struct apiary_error *err);

#endif
