/* A query whose rows are still coming from a chamber. Held by the result and by the Arrow
 * stream that was taken out of it, whichever lives longer: a result may be closed while its
 * stream is still read only as far as it was fetched. Used from one thread at a time. */
#ifndef AP_QUERY_RUNNING_H
#define AP_QUERY_RUNNING_H

#include "query/read.h"

struct ap_running;

/* Starts the job over `source` and fetches its first rows. On OK the source belongs to the running
 * query; on failure nothing was handed out, and it is the caller's still, with its chamber. */
AP_CHECKED enum apiary_code ap_running_start(struct ap_source *source, struct ap_str sql,
    int64_t timeout_us, const struct apiary_query *query, struct ap_running **out, struct apiary_error *err);
/* Ends the work and gives the chamber back; the stream ends with an error. NULL does nothing. */
void ap_running_stop(struct ap_running *running);
void ap_running_unref(struct ap_running *running); /* NULL does nothing */
AP_CHECKED enum apiary_code ap_running_stream(
    struct ap_running *running, struct ArrowArrayStream *out, struct apiary_error *err);
void ap_running_stats(
    const struct ap_running *running, struct ap_job_stats *out); /* NULL: leaves out alone */
/* What its cells cost so far; zeros for NULL. */
struct ap_cache_figures ap_running_paging(const struct ap_running *running);
/* The failure of the stream, OK when there is none. */
enum apiary_code ap_running_error(const struct ap_running *running, struct apiary_error *err);

#endif
