/* From the text of a job's statement to the first task of its plan. */
#include "bee/job_private.h"

#include "bee/value.h"

/* One text may be several statements to the engine (PIVOT without IN makes a type first): all but
 * the last are run here, the last is prepared. */
static enum apiary_code prepare_parts(
    struct job *job, duckdb_extracted_statements parts, idx_t count)
{
    for (idx_t i = 0; i < count; i++) {
        duckdb_state state =
            duckdb_prepare_extracted_statement(job->connection, parts, i, &job->statement);
        if (state != DuckDBSuccess)
            return bee_fail_engine(&job->why, duckdb_prepare_error(job->statement));
        if (i + 1 == count) break;
        duckdb_result result;
        enum apiary_code code = APIARY_OK;
        if (duckdb_execute_prepared(job->statement, &result) != DuckDBSuccess)
            code = bee_fail_engine(&job->why, duckdb_result_error(&result));
        duckdb_destroy_result(&result);
        duckdb_destroy_prepare(&job->statement);
        if (code != APIARY_OK) return code;
    }
    return APIARY_OK;
}

/* Others' statements are to find the instance as it was, and only a query can do nothing to it. */
static enum apiary_code check_query(struct job *job, idx_t count)
{
    if (count == 1 && duckdb_prepared_statement_type(job->statement) == DUCKDB_STATEMENT_TYPE_SELECT) return APIARY_OK;
    return bee_fail(&job->why, "invalid_input", APIARY_INVALID, "a part of a plan is no query");
}

static enum apiary_code prepare_text(struct job *job, const char *sql)
{
    duckdb_extracted_statements parts = NULL;
    idx_t count = duckdb_extract_statements(job->connection, sql, &parts);
    enum apiary_code code = APIARY_OK;
    if (count == 0)
        code = bee_fail_engine(&job->why, duckdb_extract_statements_error(parts));
    else if (count > 1 && strchr(sql, ';'))
        code = bee_fail(&job->why, "invalid_input", APIARY_INVALID, "a job runs one statement, not multiple statements");
    else
        code = prepare_parts(job, parts, count);
    if (code == APIARY_OK && job->kept && job->of_plan) code = check_query(job, count);
    duckdb_destroy_extracted(&parts);
    return code;
}

/* Preparing is half of what a shared job costs; their texts are few. */
static bool take_question(struct job *job, struct ap_str sql)
{
    struct bee_hive *hive = job->hive;
    if (!job->shared || hive->question == NULL) return false;
    if (!ap_str_equal(ap_bytes_view(&hive->question_sql), sql)) return false;
    job->statement = hive->question;
    hive->question = NULL;
    return true;
}

void bee_job_keep_question(struct job *job)
{
    struct bee_hive *hive = job->hive;
    struct ap_str sql;
    if (!ap_json_str(job->document, "sql", &sql)) return;
    if (hive->question) duckdb_destroy_prepare(&hive->question);
    ap_bytes_clear(&hive->question_sql);
    if (ap_bytes_add_str(&hive->question_sql, sql, NULL) != APIARY_OK) return;
    if (duckdb_clear_bindings(job->statement) != DuckDBSuccess) return; /* the text it was asked about */
    hive->question = job->statement;
    job->statement = NULL;
}

/* The engine binds and plans a query that reads files where it is prepared and again where it is run,
 * since their list could have changed meanwhile. Here the first stops at once, at a parameter; its
 * value, at the second, is the query, in which a parameter would mean that value: a text with the marks of
 * one is left alone. false: it has to go the usual way, which gives the reason with its place in the
 * text; *said is the reason as it is seen here. */
static bool start_once(struct job *job, const char *sql, struct ap_bytes *said)
{
    bool once = false;
    if (!ap_json_bool(job->document, "once", &once) || !once || strpbrk(sql, "$?")) return false;
    if (duckdb_prepare(job->connection, "FROM system.main.query($1)", &job->statement) == DuckDBSuccess &&
        duckdb_bind_varchar(job->statement, 1, sql) == DuckDBSuccess &&
        duckdb_pending_prepared_streaming(job->statement, &job->pending) == DuckDBSuccess)
        return true;
    const char *text = job->pending ? duckdb_pending_error(job->pending) : NULL;
    if (text && ap_bytes_add_text(said, text, NULL) != APIARY_OK) ap_bytes_clear(said);
    duckdb_destroy_pending(&job->pending);
    duckdb_destroy_prepare(&job->statement);
    return false;
}

enum apiary_code bee_job_start(struct job *job)
{
    struct ap_str sql;
    AP_AUTO(ap_bytes) said = { 0 };
    if (!ap_json_str(job->document, "sql", &sql) || memchr(sql.data, '\0', sql.size))
        return bee_fail(&job->why, "invalid_input", APIARY_INVALID,
            "a job without a statement, or with a zero byte in it");
    if (start_once(job, sql.data, &said)) return APIARY_OK;
    if (!take_question(job, sql)) AP_TRY(prepare_text(job, sql.data));
    AP_TRY(bee_values_bind(job->statement, ap_json_member(job->document, "values"), &job->why));
    AP_TRY(bee_job_go_on(job));
    if (duckdb_pending_prepared_streaming(job->statement, &job->pending) == DuckDBSuccess)
        return APIARY_OK;
    /* A failure that passes (memory, a store) may have ended the transaction of the set-up: it is the reason. */
    return bee_fail_engine(&job->why, said.size ? ap_bytes_text(&said) : duckdb_pending_error(job->pending));
}
