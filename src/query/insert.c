/* INSERT INTO and INSERT OVERWRITE: by this node, or by all that are there. */
#include "query/body.h"
#include "query/callers.h"
#include "query/commit.h"
#include "query/create.h"
#include "query/replace.h"
#include "query/temporary.h"

#include "core/alloc.h"

/* By position nothing of the query needs to be asked beforehand: as many columns as the statement
 * names, or all. A query with another number of columns fails at the UNION with a row of NULLs that
 * is never there (ap_source_explain_failure puts it into words). */
static enum apiary_code columns_by_position(const struct ap_target *target,
    const struct ap_texts *names, struct ap_described_list *out, struct apiary_error *err)
{
    const struct ap_schema *schema = &target->metadata.schema;
    size_t count = names->count > 0 ? names->count : schema->field_count;
    while (out->count < count) AP_TRY(ap_described_add(out, "?", "VARCHAR", err));
    return APIARY_OK;
}

static enum apiary_code guard_width(
    struct ap_source *source, size_t count, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) guarded = { 0 };
    AP_TRY(ap_bytes_add_text(&guarded, "(SELECT ", err));
    for (size_t i = 0; i < count; i++)
        AP_TRY(ap_bytes_add_text(&guarded, i > 0 ? ", NULL" : "NULL", err));
    AP_TRY(ap_bytes_printf(&guarded, err, " WHERE false) UNION ALL (" AP_FMT "\n)",
        AP_ARG(ap_bytes_view(&source->sql))));
    ap_bytes_done(&source->sql);
    source->sql = AP_TAKE(guarded);
    return APIARY_OK;
}

static enum apiary_code source_columns(struct ap_request *request, const struct ap_target *target,
    struct ap_source *source, const struct ap_texts *names, struct ap_described_list *out,
    struct apiary_error *err)
{
    if (request->statement->flags.by_name)
        return ap_source_describe(source, ap_bytes_view(&source->sql), request->query, out, err);
    AP_TRY(columns_by_position(target, names, out, err));
    return guard_width(source, out->count, err);
}

/* A base that was assumed does where the statement can be run again. Large tables of the caller cannot be
 * read twice, a frame that is read is read at its newest version, and nodes are not asked twice. Under
 * a LIMIT a table may have no end: it is not pulled before the engine asks. */
static enum apiary_code settle_base(struct ap_request *request, struct ap_target *target,
    struct ap_source *source, bool spread, struct ap_callers *callers, struct apiary_error *err)
{
    bool moved = false, again = !spread && !ap_reads_frame(source, target);
    if (!target->assumed) return APIARY_OK;
    if (again && source->input_count > 0) {
        again = !source->limited && !ap_source_says_limit(request->statement->body);
        enum apiary_code code = again ? ap_callers_keep(callers, source, &again, err) : APIARY_OK;
        target->assumed = code == APIARY_OK; /* else nothing is there to run again with */
        AP_TRY(code);
    }
    if (again) return APIARY_OK;
    ap_source_rest(source); /* the ledger may need the chamber */
    return ap_target_renew(request->session, target, &moved, err);
}

static enum apiary_code insert_message(const struct ap_request *request, int64_t rows,
    int64_t version, const struct ap_target *target, struct ap_result *result,
    struct apiary_error *err)
{
    bool partly = request->statement->condition.size > 0;
    const char *verb = partly                                 ? "Replaced:"
                       : request->statement->flags.overwrite ? "Overwrote:"
                                                              : "Inserted";
    char text[32] = "";
    if (version >= 0) snprintf(text, sizeof text, " (version %lld)", (long long)version);
    result->rows_changed = rows;
    return ap_result_message(result, err, "%s %lld row%s into %s%s.", verb, (long long)rows,
        rows == 1 ? "" : "s", target->name, text);
}

/* By the nodes that are there. *done false: the columns do not fit, and the way alone says how. */
static enum apiary_code insert_spread(struct ap_request *request, struct ap_target *target,
    struct ap_source *source, struct ap_plan *plan, const struct ap_texts *names, bool *done,
    struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_described_list) columns = { 0 };
    __attribute__((cleanup(ap_fitted_done))) struct ap_fitted fitted = { 0 };
    AP_TRY(ap_plan_columns(plan, &columns, err));
    size_t wanted = names->count > 0 ? names->count : target->metadata.schema.field_count;
    *done = statement->flags.by_name || columns.count == wanted;
    if (!*done) return APIARY_OK;
    struct ap_fit fit = { .columns = &columns,
        .names = names->count > 0 ? names : NULL,
        .by_name = statement->flags.by_name };
    AP_TRY(ap_fitted_make(request->session, target, &fit, &fitted, err));
    bool reads = false;
    AP_TRY(ap_reads_base(source, target, &reads, err));
    struct ap_write_commit how = { .operation = "WRITE",
        .replace_all = statement->flags.overwrite,
        .reads_target = reads };
    struct ap_write_spread spread = { .target = target,
        .how = &how,
        .head = ap_bytes_view(&fitted.head),
        .tail = ap_bytes_view(&fitted.tail) };
    struct ap_plan_wrote wrote = { 0 };
    AP_TRY(ap_write_spread_run(request->session, plan, &spread, &wrote, err));
    return insert_message(request, wrote.rows, wrote.version, target, result, err);
}

static enum apiary_code insert_here(struct ap_request *request, struct ap_target *target,
    struct ap_source *source, const struct ap_texts *names, const struct ap_cell *const *replaced,
    size_t replaced_count, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    __attribute__((cleanup(ap_fitted_done))) struct ap_fitted fitted = { 0 };
    AP_TRY(source_columns(request, target, source, names, &columns, err));
    struct ap_fit fit = { .columns = &columns,
        .names = names->count > 0 ? names : NULL,
        .by_name = statement->flags.by_name };
    AP_TRY(ap_fitted_make(session, target, &fit, &fitted, err));
    AP_TRY(ap_fitted_select(source, &fitted, &select, err));
    bool partly = statement->condition.size > 0, sort = target->base->cell_count > 1, reads = false;
    AP_TRY(ap_reads_base(source, target, &reads, err));
    if (!partly) ap_source_keep(source); /* a condition is text that was not looked at */
    if (partly) AP_TRY(ap_replace_guard(target, statement->condition, &select, err));
    AP_TRY(ap_write_cells(
        source, target, ap_bytes_view(&select), request->query, sort, &written, err));
    struct ap_write_commit how = { .operation = "WRITE",
        .replace_all = statement->flags.overwrite && !partly,
        .removes = replaced,
        .remove_count = replaced_count,
        .reads_target = partly || reads,
        /* Of a base that was assumed: a column that came before the statement began is to be noticed. */
        .by_position = target->assumed && names->count == 0 && !statement->flags.by_name };
    uint64_t version = target->base->version;
    if (written.count > 0 || how.replace_all || how.remove_count > 0)
        AP_TRY(ap_commit_written(session, target, &written, &how, &version, err));
    return insert_message(request, written.rows, (int64_t)version, target, result, err);
}

static enum apiary_code insert_rows(struct ap_request *request, struct ap_target *target,
    const struct ap_cell *const *replaced, size_t replaced_count, struct ap_callers *callers,
    struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_texts) names = { 0 };
    struct ap_source *source = NULL;
    struct ap_plan *plan = NULL;
    bool done = false;
    for (size_t i = 0; i < statement->column_count; i++)
        AP_TRY(ap_texts_add(&names, ap_str_from(statement->columns[i].name), err));
    bool alone = statement->condition.size > 0 || ap_name_temporary(&target->entry.name);
    enum apiary_code code = ap_body_open(request, alone, &source, &plan, err);
    if (code != APIARY_OK) {
        target->assumed = false; /* the query would fail again, whatever the frame is by now */
        return code;
    }
    code = settle_base(request, target, source, plan != NULL, callers, err);
    if (code == APIARY_OK && plan != NULL) {
        code = insert_spread(request, target, source, plan, &names, &done, result, err);
        if (code == APIARY_OK && !done) code = ap_handover_refuse(request->session, err);
        if (code == APIARY_OK && !done) code = ap_source_prepare(source, err);
    }
    if (code == APIARY_OK && !done)
        code = insert_here(
            request, target, source, &names, replaced, replaced_count, result, err);
    ap_source_close(source);
    ap_plan_free(plan);
    return code;
}

static enum apiary_code insert(struct ap_request *request, struct ap_target *target,
    struct ap_callers *callers, struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO_FREE const struct ap_cell **replaced = NULL;
    size_t replaced_count = 0;
    if (request->statement->condition.size > 0)
        AP_TRY(ap_replaced_cells(request->session, target, request->statement->condition,
            "REPLACE WHERE", "INSERT OVERWRITE replaces the whole frame", &replaced,
            &replaced_count, err));
    return insert_rows(request, target, replaced, replaced_count, callers, result, err);
}

enum apiary_code ap_run_insert(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    /* What is handed over is committed by others, who do not run it again. */
    bool append = !statement->flags.overwrite && statement->condition.size == 0 && session->held == NULL;
    struct ap_name3 name = { 0 };
    struct apiary_error why = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_callers) callers = { 0 };
    AP_TRY(ap_names_find(session, &statement->name, &name, err));
    AP_TRY(append ? ap_target_open_append(session, &name, &target, err)
                  : ap_target_open(session, &name, &target, err));
    if (statement->flags.default_values)
        return ap_fail(
            err, APIARY_UNSUPPORTED, "INSERT … DEFAULT VALUES: frames have no default values");
    enum apiary_code code = insert(request, &target, &callers, result, &why);
    bool moved = false, idle = code == APIARY_OK && target.assumed && result->rows_changed == 0;
    if (idle) code = ap_target_renew(session, &target, &moved, &why); /* no commit has told */
    if (moved || ap_target_again(session, &target, code)) {
        struct ap_request again = *request;
        if (idle) ap_bytes_clear(&session->notices); /* as ap_target_again does */
        again.query = ap_callers_query(&callers, request->query);
        why = (struct apiary_error) { 0 };
        code = insert(&again, &target, &callers, result, &why);
    }
    if (code != APIARY_OK && err != NULL) *err = why;
    return code;
}
