/* Statements of a text, one after the other, each by its family. */
#include "query/query.h"

#include "core/alloc.h"
#include "storage/web.h"

/* What the colony's temperature has to say. Statements of the catalogue pass at any. */
static enum apiary_code admit(const struct ap_request *request, struct apiary_error *err)
{
    switch (request->statement->kind) {
        case AP_STATEMENT_QUERY:
        case AP_STATEMENT_COPY_TO: return ap_session_admit_query(request->session, err);
        case AP_STATEMENT_CREATE_FRAME:
        case AP_STATEMENT_INSERT:
        case AP_STATEMENT_DELETE:
        case AP_STATEMENT_UPDATE:
        case AP_STATEMENT_MERGE:
        case AP_STATEMENT_COPY_FROM: return ap_session_admit_write(request->session, NULL, err);
        default: return APIARY_OK;
    }
}

static enum apiary_code dispatch(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    switch (request->statement->kind) {
        case AP_STATEMENT_EMPTY: return APIARY_OK;
        case AP_STATEMENT_QUERY:
        case AP_STATEMENT_EXPLAIN: return ap_run_query(request, result, err);
        case AP_STATEMENT_USE:
        case AP_STATEMENT_SHOW:
        case AP_STATEMENT_DESCRIBE:
        case AP_STATEMENT_CREATE_HIVE:
        case AP_STATEMENT_CREATE_BOX:
        case AP_STATEMENT_CREATE_VIEW:
        case AP_STATEMENT_DROP:
        case AP_STATEMENT_UNDROP:
        case AP_STATEMENT_RENAME: return ap_run_ddl(request, result, err);
        case AP_STATEMENT_CREATE_FRAME:
        case AP_STATEMENT_ALTER_FRAME:
        case AP_STATEMENT_INSERT:
        case AP_STATEMENT_DELETE:
        case AP_STATEMENT_UPDATE:
        case AP_STATEMENT_MERGE:
        case AP_STATEMENT_TRUNCATE:
        case AP_STATEMENT_OPTIMIZE:
        case AP_STATEMENT_VACUUM:
        case AP_STATEMENT_PIN:
        case AP_STATEMENT_UNPIN:
        case AP_STATEMENT_FSCK:
        case AP_STATEMENT_RESTORE: return ap_run_write(request, result, err);
        case AP_STATEMENT_COPY_TO:
        case AP_STATEMENT_COPY_FROM: return ap_run_copy(request, result, err);
        case AP_STATEMENT_SET:
        case AP_STATEMENT_CREATE_MACRO: return ap_run_set(request, result, err);
        case AP_STATEMENT_REFUSED: break;
    }
    ap_fail(err, APIARY_UNSUPPORTED, "%s", request->statement->message);
    if (request->statement->hint != NULL) ap_hint(err, "%s", request->statement->hint);
    return APIARY_UNSUPPORTED;
}

/* Runs one statement; *out is its result. */
static enum apiary_code run_one(struct ap_session *session, struct ap_str text,
    const struct apiary_query *query, struct ap_result **out, struct apiary_error *err)
{
    AP_AUTO(ap_statement) statement = { 0 };
    AP_TRY(ap_statement_parse(text, &statement, err));
    struct ap_result *result = NULL;
    AP_TRY(ap_result_new(session, &result, err));
    ap_session_begin_statement(session);
    ap_str_line(text, session->task, sizeof session->task);
    struct ap_request request = {
        .session = session, .statement = &statement, .text = text, .query = query
    };
    struct ap_env *env = session->world->env;
    struct ap_store_counts *before = ap_store_scope(env, &result->asked);
    enum apiary_code code = admit(&request, err);
    if (code == APIARY_OK) code = dispatch(&request, result, err);
    ap_store_scope(env, before);
    if (code == APIARY_OK && session->notices.size > 0) {
        result->notices = ap_str_dup(ap_bytes_view(&session->notices));
        if (result->notices == NULL) code = ap_fail_memory(err, "notices");
    }
    if (code != APIARY_OK) {
        ap_result_close(result);
        return code;
    }
    *out = result;
    return APIARY_OK;
}

/* "…; 2 statements before it were carried out" */
static enum apiary_code tell_progress(enum apiary_code code, size_t done, struct apiary_error *err)
{
    if (done == 0 || err == NULL) return code;
    struct apiary_error told = *err;
    ap_fail(&told, (enum apiary_code)err->code, "%s (statement %zu; %s before it %s carried out)",
        err->message, done + 1, done == 1 ? "the one" : "those", done == 1 ? "was" : "were");
    memcpy(err->message, told.message, sizeof err->message);
    return code;
}

static enum apiary_code run_all(struct ap_session *session, const struct apiary_query *query,
    struct ap_result **out, struct apiary_error *err)
{
    struct ap_str sql = { query->sql, query->length };
    size_t position = 0, start = 0, end = 0, done = 0;
    bool complete = false;
    struct ap_result *last = NULL;
    while (ap_next_statement(sql, &position, &start, &end, &complete)) {
        ap_result_close(last); /* rows that nobody asked for */
        last = NULL;
        enum apiary_code code =
            run_one(session, (struct ap_str) { sql.data + start, end - start }, query, &last, err);
        if (code != APIARY_OK) return tell_progress(code, done, err);
        done++;
    }
    if (last == NULL) AP_TRY(ap_result_new(session, &last, err));
    *out = last;
    return APIARY_OK;
}

enum apiary_code ap_session_run(struct ap_session *session, const struct apiary_query *query,
    struct ap_result **out, struct apiary_error *err)
{
    enum apiary_code code = ap_world_check(session->world, err);
    if (code == APIARY_OK && !ap_utf8_valid((struct ap_str) { query->sql, query->length }))
        code = ap_fail(err, APIARY_SQL, "the statement is not valid UTF-8");
    if (code == APIARY_OK) {
        ap_session_begin(session);
        code = run_all(session, query, out, err);
        if (code == APIARY_OK) session->open_result = *out;
        if (code != APIARY_OK && err != NULL) ap_web_redact(err->message); /* the engine quotes */
    }
    for (size_t i = 0; i < query->table_count; i++) { /* tables are moved in, named or not */
        struct ArrowArrayStream *stream = query->tables[i].stream;
        if (stream->release != NULL) stream->release(stream);
    }
    return code;
}
