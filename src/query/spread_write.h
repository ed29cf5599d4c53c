/* Statements that write rows of a query, worked on by all nodes that are there: private to this room.
 *
 *   plan     of the query, when it should and can be divided
 *   run      earlier stages as for any query; then the last one becomes a query of its own that ends in
 *            a commit, whoever lives to do it (docs/swarm.md) */
#ifndef AP_QUERY_SPREAD_WRITE_H
#define AP_QUERY_SPREAD_WRITE_H

#include "query/commit.h"
#include "query/spread.h"

/* Are nodes there to share a statement that writes with, and is one of so many bytes worth it? false with *why
 * (static text) when not. */
bool ap_write_shared(const struct ap_session *session, uint64_t bytes, const char **why);
/* Is the statement to be handed over and cannot be, as it would have to run here? Then it fails. */
AP_CHECKED enum apiary_code ap_handover_refuse(struct ap_session *session, struct apiary_error *err);
/* The same of a statement whose text nobody else can run either: it is not handed over, `why`. */
AP_CHECKED enum apiary_code ap_handover_fail(struct ap_session *session, const char *why, struct apiary_error *err);

/* source: resolved, not prepared. *out NULL: the statement is for this node alone. */
AP_CHECKED enum apiary_code ap_write_plan(struct ap_source *source, const struct apiary_query *query,
    struct ap_plan **out, struct apiary_error *err);

struct ap_write_spread {
    const struct ap_target *target;
    const struct ap_write_commit *how;
    struct ap_str head, tail; /* around the query: its rows in the target's schema */
    const struct ap_plan_compaction *compaction; /* in the plan's arena; NULL: a query's rows are written */
    uint64_t cell_bytes;                         /* what cells are cut to; 0: as the session has it */
};
/* A copy in the plan's arena. */
AP_CHECKED enum apiary_code ap_plan_keep(
    struct ap_plan *plan, struct ap_str text, const char **out, struct apiary_error *err);
/* Fills in plan->write and runs it. */
AP_CHECKED enum apiary_code ap_write_spread_run(struct ap_session *session, struct ap_plan *plan,
    const struct ap_write_spread *spread, struct ap_plan_wrote *wrote, struct apiary_error *err);

/* What a statement wrote, for whoever commits it (session->held): a line with a plan that has no parts and
 * says where the rows go, a line with the cells. */
AP_CHECKED enum apiary_code ap_write_hold(struct ap_session *session, const struct ap_target *target,
    const struct ap_written *written, const struct ap_write_commit *how, struct apiary_error *err);

#endif
