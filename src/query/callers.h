/* Tables of the caller that a statement reads, kept so that it can run again. */
#ifndef AP_QUERY_CALLERS_H
#define AP_QUERY_CALLERS_H

#include "query/read.h"
#include "query/reread.h"

struct ap_callers {
    struct ap_reread rows[AP_SOURCE_INPUTS_MAX];
    struct ArrowArrayStream streams[AP_SOURCE_INPUTS_MAX]; /* of the statement's next run */
    struct apiary_table tables[AP_SOURCE_INPUTS_MAX];
    struct apiary_query query;
    struct ap_texts names;
    size_t count;
};
void ap_callers_done(struct ap_callers *callers);

/* Pulls what the source reads of the caller, before its first job: it reads the kept rows then, and is closed before they
 * are. *again: all of it was little, with some rows, and can be read once more. codes: those of ap_reread_take */
AP_CHECKED enum apiary_code ap_callers_keep(struct ap_callers *callers, struct ap_source *source,
    bool *again, struct apiary_error *err);
/* The query for the next run, borrowed: as `query`, which may be NULL, with the kept tables, if there are any. */
const struct apiary_query *ap_callers_query(struct ap_callers *callers, const struct apiary_query *query);

#endif
