/* Queries that outlive who asked: submitted, looked at again by their id, cancelled. */
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "query/plan.h"
#include "runtime/ipc_file.h"

#include <unistd.h>

enum { DAY_S = 86400, DEADLINE_MAX_S = 7 * DAY_S - 3600, WRITE_S = AP_ORDER_DEADLINE_US / 1000000 };

/* Planned here, as far as it can be cut; nothing is done here. */
static enum apiary_code submit_writing(struct apiary_session *session, struct ap_str sql, int64_t deadline_us, char **query, struct apiary_error *err)
{
    struct ap_handover handover = { .deadline_us = deadline_us };
    struct apiary_query text = { .sql = sql.data, .length = sql.size };
    struct ap_result *result = NULL;
    struct apiary_error why = { 0 };
    session->session->handover = &handover;
    enum apiary_code code = ap_session_run(session->session, &text, &result, &why);
    session->session->handover = NULL;
    if (result != NULL) ap_result_close(result);
    if (handover.query != NULL) {
        *query = handover.query;
        return APIARY_OK;
    }
    if (code != APIARY_OK && !handover.whole) {
        if (err != NULL) *err = why;
        return code;
    }
    ap_assert(code != APIARY_OK); /* done and not announced: it would be done twice */
    if (session->session->replay_count > 0 || session->session->settings.count > 0) {
        ap_fail(err, APIARY_UNSUPPORTED, "the statement would be run as text elsewhere, without the settings, macros, variables and views of this session");
        return ap_hint(err, "submit it from a session that has none");
    }
    struct ap_order_spec spec = { .sql = sql, .writes = true, .detached = true, .deadline_us = deadline_us };
    return ap_order_hand_over(session->handle, session->session, &spec, query, err);
}

static enum apiary_code submit_reading(struct apiary_session *session, struct ap_str sql, int64_t deadline_us, char **query, struct apiary_error *err)
{
    struct ap_plan *plan = NULL;
    AP_TRY(ap_plan_statement(session->session, sql, &plan, err));
    bool parts = ap_plan_in_parts(plan);
    struct ap_plan_run run = { .session = session->session, .plan = plan };
    struct ap_order_spec spec = { .run = parts ? &run : NULL, .sql = sql, .detached = true, .deadline_us = deadline_us };
    enum apiary_code code = ap_order_hand_over(session->handle, session->session, &spec, query, err);
    ap_plan_free(plan);
    return code;
}

int apiary_submit(struct apiary_session *session, const char *sql, size_t length, int64_t deadline_s, char **query, struct apiary_error *err)
{
    struct ap_order_kind kind = { 0 };
    struct ap_str statement = { sql, length };
    ap_error_clear(err);
    if (session == NULL || sql == NULL || query == NULL) return ap_fail(err, APIARY_INVALID, "apiary_submit: an argument is NULL");
    if (deadline_s < 0 || deadline_s > DEADLINE_MAX_S)
        return ap_fail(err, APIARY_INVALID, "a query may take at most %d hours", DEADLINE_MAX_S / 3600);
    AP_TRY(ap_world_check(&session->handle->world, err));
    AP_TRY(ap_order_check(&statement, &kind, err));
    if (kind.writes && deadline_s > WRITE_S) {
        ap_fail(err, APIARY_INVALID, "a query that writes may take at most %d hours", WRITE_S / 3600);
        return ap_hint(err, "what it stored and nobody committed is taken by vacuum after a day");
    }
    ap_session_begin(session->session);
    int64_t deadline_us = (deadline_s > 0 ? deadline_s : kind.writes ? WRITE_S : DAY_S) * INT64_C(1000000);
    return kind.writes ? submit_writing(session, statement, deadline_us, query, err) : submit_reading(session, statement, deadline_us, query, err);
}

static enum apiary_code check_id(const char *query, struct apiary_error *err)
{
    if (ap_query_id_valid(ap_str_from(query))) return APIARY_OK;
    return ap_fail(err, APIARY_INVALID, "'%.64s' is no query's id", query);
}

static enum apiary_code no_such(const char *query, enum apiary_code code, struct apiary_error *err)
{
    if (code != APIARY_NOT_FOUND) return code;
    ap_fail(err, APIARY_NOT_FOUND, "there is no query %s", query);
    ap_hint(err, "what a query left is cleared away a while after it ended");
    return APIARY_NOT_FOUND;
}

/* Rows that came as an Arrow IPC stream. */
static enum apiary_code result_of(struct apiary_session *session, const struct ap_bytes *rows, struct apiary_result **out, struct apiary_error *err)
{
    struct apiary_result *result = ap_calloc(1, sizeof *result);
    int fd = -1;
    if (result == NULL) return ap_fail_memory(err, "a result");
    enum apiary_code code = ap_result_new(session->session, &result->result, err);
    if (code == APIARY_OK) code = ap_bytes_file(session->session, ap_bytes_view(rows), &fd, err);
    if (code == APIARY_OK) code = ap_ipc_files_open(&fd, 1, &result->result->memory, err);
    if (fd >= 0) close(fd);
    if (code != APIARY_OK) {
        if (result->result != NULL) ap_result_close(result->result);
        ap_free(result);
        return code;
    }
    result->result->has_rows = true;
    *out = result;
    return APIARY_OK;
}

/* What a query that wrote has to tell. */
static enum apiary_code committed(struct apiary_session *session, const struct ap_manifest *manifest, const struct ap_end *end,
    const struct ap_outcome *outcome, struct apiary_result **out, struct apiary_error *err)
{
    AP_AUTO(ap_order) order = { 0 };
    struct ap_plan_wrote wrote = { 0 };
    char version[32] = "";
    struct ap_str cells;
    if (!manifest->writes) return ap_fail(err, APIARY_CORRUPT, "query %s was committed and does not write", manifest->id.text);
    AP_TRY(ap_order_read(manifest, &order, err));
    AP_TRY(ap_order_held(&order, ap_bytes_view(&end->content), &cells, err));
    AP_TRY(ap_plan_write_told(cells, &wrote, err));
    bool moved = order.plan != NULL && order.plan->write->compaction != NULL;
    if (outcome->version >= 0) snprintf(version, sizeof version, " (version %lld)", (long long)outcome->version);
    struct apiary_result *result = ap_calloc(1, sizeof *result);
    if (result == NULL) return ap_fail_memory(err, "a result");
    enum apiary_code code = ap_result_new(session->session, &result->result, err);
    if (code == APIARY_OK)
        code = ap_result_message(result->result, err, "%s %lld row%s%s.", moved ? "Rearranged" : "Committed", (long long)wrote.rows, wrote.rows == 1 ? "" : "s", version);
    if (code != APIARY_OK) {
        if (result->result != NULL) ap_result_close(result->result);
        ap_free(result);
        return code;
    }
    result->result->rows_changed = wrote.rows;
    *out = result;
    return APIARY_OK;
}

int apiary_attach(struct apiary_session *session, const char *query, int wait, struct apiary_result **out, struct apiary_error *err)
{
    ap_error_clear(err);
    if (session == NULL || query == NULL || out == NULL) return ap_fail(err, APIARY_INVALID, "apiary_attach: an argument is NULL");
    AP_TRY(ap_world_check(&session->handle->world, err));
    AP_TRY(check_id(query, err));
    ap_session_begin(session->session);
    struct ap_node_id boot;
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_end) end = { 0 };
    AP_AUTO(ap_outcome) outcome = { 0 };
    AP_AUTO(ap_bytes) rows = { 0 };
    ap_id_random(session->handle->env, boot.text);
    struct ap_swarm swarm = ap_swarm_of(session->handle, &boot);
    AP_TRY(no_such(query, ap_manifest_get(swarm.store, swarm.secret, query, &manifest, err), err));
    if (wait) AP_TRY(no_such(query, ap_submit_attach(&swarm, &manifest, &session->session->cancel, &end, &outcome, err), err));
    else {
        enum apiary_code code = ap_end_get(&swarm, query, &end, err);
        if (code == APIARY_NOT_FOUND) {
            ap_fail(err, APIARY_BUSY, "query %s has not ended yet", query);
            return ap_hint(err, "apiary attach %s waits for it", query);
        }
        AP_TRY(code);
    }
    if (end.decision == AP_END_COMMIT) {
        enum apiary_code code = wait ? APIARY_OK : ap_outcome_get(&swarm, query, &outcome, err);
        if (code == APIARY_NOT_FOUND) return ap_fail(err, APIARY_BUSY, "query %s is being committed", query);
        AP_TRY(code);
        AP_TRY(ap_outcome_answer(&manifest, &outcome, err));
        return committed(session, &manifest, &end, &outcome, out, err);
    }
    AP_TRY(ap_submit_answer(&swarm, &manifest, &end, &session->session->cancel, &rows, err));
    if (rows.size == 0) {
        ap_fail(err, APIARY_NOT_FOUND, "query %s was a part of a statement that somebody waited for; it keeps no rows", query);
        return ap_hint(err, "apiary submit makes queries whose rows are kept");
    }
    return result_of(session, &rows, out, err);
}

int apiary_query_cancel(struct apiary_session *session, const char *query, char **ended, struct apiary_error *err)
{
    ap_error_clear(err);
    if (session == NULL || query == NULL || ended == NULL) return ap_fail(err, APIARY_INVALID, "apiary_query_cancel: an argument is NULL");
    AP_TRY(ap_world_check(&session->handle->world, err));
    AP_TRY(check_id(query, err));
    struct ap_node_id boot;
    AP_AUTO(ap_end) winner = { 0 };
    ap_id_random(session->handle->env, boot.text);
    struct ap_swarm swarm = ap_swarm_of(session->handle, &boot);
    AP_TRY(no_such(query, ap_submit_cancel(&swarm, query, &winner, err), err));
    enum apiary_code removed = ap_finish_unannounce(&swarm, query, NULL); /* else a node does it */
    (void)removed;
    *ended = ap_strdup(ap_decision_text(winner.decision));
    return *ended != NULL ? APIARY_OK : ap_fail_memory(err, "a word");
}
