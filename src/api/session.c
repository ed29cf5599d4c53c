/* Sessions, statements and results. */
#include "api/handle.h"

#include "core/alloc.h"
#include "query/running.h"

int apiary_session_open(struct apiary *handle, struct apiary_session **out, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || out == NULL) return ap_fail(err, APIARY_INVALID, "apiary_session_open: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    struct apiary_session *session = ap_calloc(1, sizeof *session);
    if (session == NULL) return ap_fail_memory(err, "a session");
    session->handle = handle;
    enum apiary_code code = ap_session_open(&handle->world, &session->session, err);
    if (code != APIARY_OK) {
        ap_free(session);
        return code;
    }
    *out = session;
    return APIARY_OK;
}

void apiary_session_close(struct apiary_session *session)
{
    if (session == NULL) return;
    ap_session_close(session->session);
    ap_free(session);
}

void apiary_cancel(struct apiary_session *session)
{
    if (session != NULL) ap_cancel_request(&session->session->cancel);
}

/* A wait without a job: the host's function is called all the same, so that it can look for signals. */
static void look(void *context)
{
    struct ap_session *session = context;
    if (session->progress != NULL) session->progress(session->progress_context, -1, 0, 0);
}

void apiary_session_progress(struct apiary_session *session, apiary_progress progress, void *context)
{
    if (session == NULL) return;
    session->session->cancel.look = look;
    session->session->cancel.look_context = session->session;
    session->session->progress = progress;
    session->session->progress_context = context;
}

int apiary_next_statement(const char *sql, size_t length, size_t *position, size_t *start, size_t *end, int *complete)
{
    if (sql == NULL || position == NULL || start == NULL || end == NULL || *position > length) return 0;
    bool ended = false;
    int found = ap_next_statement((struct ap_str) { sql, length }, position, start, end, &ended);
    if (complete != NULL) *complete = ended;
    return found;
}

static enum apiary_code check_query(const struct apiary_query *query, struct apiary_error *err)
{
    if (query->sql == NULL && query->length > 0) return ap_fail(err, APIARY_INVALID, "apiary_sql: sql is NULL");
    if (query->values == NULL && query->value_count > 0) return ap_fail(err, APIARY_INVALID, "apiary_sql: values is NULL");
    if (query->tables == NULL && query->table_count > 0) return ap_fail(err, APIARY_INVALID, "apiary_sql: tables is NULL");
    for (size_t i = 0; i < query->table_count; i++)
        if (query->tables[i].name == NULL || query->tables[i].stream == NULL)
            return ap_fail(err, APIARY_INVALID, "apiary_sql: table %zu has no name or no stream", i);
    return APIARY_OK;
}

int apiary_sql(struct apiary_session *session, const struct apiary_query *query, struct apiary_result **out,
    struct apiary_error *err)
{
    ap_error_clear(err);
    if (session == NULL || query == NULL || out == NULL) return ap_fail(err, APIARY_INVALID, "apiary_sql: an argument is NULL");
    AP_TRY(check_query(query, err));
    struct apiary_result *result = ap_calloc(1, sizeof *result);
    if (result == NULL) return ap_fail_memory(err, "a result");
    enum apiary_code code = ap_session_run(session->session, query, &result->result, err);
    if (code != APIARY_OK) {
        ap_free(result);
        return code;
    }
    *out = result;
    return APIARY_OK;
}

int apiary_result_has_rows(const struct apiary_result *result)
{
    return result != NULL && result->result->has_rows;
}

int64_t apiary_result_rows_changed(const struct apiary_result *result)
{
    return result == NULL ? -1 : result->result->rows_changed;
}

const char *apiary_result_message(const struct apiary_result *result)
{
    return result == NULL || result->result->message == NULL ? "" : result->result->message;
}

const char *apiary_result_notices(const struct apiary_result *result)
{
    return result == NULL || result->result->notices == NULL ? "" : result->result->notices;
}

int apiary_result_stream(struct apiary_result *result, struct ArrowArrayStream *out, struct apiary_error *err)
{
    ap_error_clear(err);
    if (result == NULL || out == NULL) return ap_fail(err, APIARY_INVALID, "apiary_result_stream: an argument is NULL");
    return ap_result_stream(result->result, out, err);
}

int apiary_result_stats(struct apiary_result *result, char **json, struct apiary_error *err)
{
    ap_error_clear(err);
    if (result == NULL || json == NULL) return ap_fail(err, APIARY_INVALID, "apiary_result_stats: an argument is NULL");
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_result_stats(result->result, &text, err));
    return ap_bytes_take_text(&text, json, err);
}

int apiary_result_error(struct apiary_result *result, struct apiary_error *err)
{
    ap_error_clear(err);
    if (result == NULL) return ap_fail(err, APIARY_INVALID, "apiary_result_error: result is NULL");
    return ap_running_error(result->result->running, err);
}

void apiary_result_close(struct apiary_result *result)
{
    if (result == NULL) return;
    ap_result_close(result->result);
    ap_free(result);
}
