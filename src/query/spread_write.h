/* Statements that write rows of a query, worked on by all nodes that are there: private to this room.
 *
 *   plan     of the query, when it should and can be divided
 *   run      earlier stages as for any query; then the last one becomes a query of its own that ends in
 *            a commit, whoever lives to do it (docs/swarm.md) */
#ifndef AP_QUERY_SPREAD_WRITE_H
#define AP_QUERY_SPREAD_WRITE_H

#include "query/commit.h"
#include "query/spread.h"

/* source: resolved, not prepared. *out NULL: the statement is for this node alone. */
AP_CHECKED enum apiary_code ap_write_plan(struct ap_source *source, const struct apiary_query *query,
    struct ap_plan **out, struct apiary_error *err);

struct ap_write_spread {
    const struct ap_target *target;
    const struct ap_write_commit *how;
    struct ap_str head, tail; /* around the query: its rows in the target's schema */
};
/* Fills in plan->write and runs it. *version: -1 when it is not known. */
AP_CHECKED enum apiary_code ap_write_spread_run(struct ap_session *session, struct ap_plan *plan,
    const struct ap_write_spread *spread, int64_t *rows, int64_t *version, struct apiary_error *err);

#endif
