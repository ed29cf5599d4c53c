/* COPY … TO and COPY … FROM with files of the machine. */
#include "query/commit.h"
#include "query/import.h"

#include "core/alloc.h"

static enum apiary_code check_local(
    const struct ap_session *session, const char *path, struct apiary_error *err)
{
    if (!ap_config_bool(&session->config, AP_CONFIG_local_files))
        return ap_fail(
            err, APIARY_DENIED, "COPY uses files of the machine, which local_files = off forbids");
    if (strstr(path, "://") != NULL && strncmp(path, "file://", 7) != 0)
        return ap_fail(
            err, APIARY_UNSUPPORTED, "COPY works on files of the machine, not yet on %s", path);
    return APIARY_OK;
}

/* ---- TO ---- */

/* " (FORMAT csv, HEADER true)" as it was written. */
static enum apiary_code add_options(
    const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < statement->option_count; i++)
        AP_TRY(ap_bytes_printf(out, err, "%s%s " AP_FMT, i == 0 ? " (" : ", ",
            statement->options[i].name, AP_ARG(statement->options[i].value)));
    return statement->option_count > 0 ? ap_bytes_add_text(out, ")", err) : APIARY_OK;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

static enum apiary_code copy_out(struct ap_request *request, struct ap_source *source,
    struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    const char *path =
        strncmp(statement->path, "file://", 7) == 0 ? statement->path + 7 : statement->path;
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) name = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    size_t output = 0;
    struct ap_job_stats stats = { .rows_changed = -1 };
    AP_TRY(ap_cell_set_add_output(source->cells, NULL, path, &output, err));
    AP_TRY(ap_bytes_printf(&name, err, "/out/%zu/%s", output, base_name(path)));
    AP_TRY(
        ap_bytes_printf(&sql, err, "COPY (" AP_FMT "\n) TO ", AP_ARG(ap_bytes_view(&source->sql))));
    AP_TRY(ap_sql_string(&sql, ap_bytes_view(&name), err));
    AP_TRY(add_options(statement, &sql, err));
    AP_TRY(ap_source_run(source, ap_bytes_view(&sql), "none", request->query, &done, &stats, err));
    AP_TRY(ap_output_publish(source->cells, output, true, err));
    result->rows_changed = stats.rows_changed;
    return ap_result_message(result, err, "Wrote %lld row%s to %s.", (long long)stats.rows_changed,
        stats.rows_changed == 1 ? "" : "s", statement->path);
}

static enum apiary_code run_copy_to(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_TRY(check_local(request->session, statement->path, err));
    AP_AUTO(ap_bytes) select = { 0 };
    struct ap_str query = statement->body;
    if (query.size == 0) { /* COPY frame [(columns)] TO */
        AP_TRY(ap_bytes_add_text(&select, "SELECT ", err));
        for (size_t i = 0; i < statement->column_count; i++) {
            if (i > 0) AP_TRY(ap_bytes_add_text(&select, ", ", err));
            AP_TRY(ap_sql_name(&select, ap_str_from(statement->columns[i].name), err));
        }
        AP_TRY(
            ap_bytes_add_text(&select, statement->column_count == 0 ? "* FROM " : " FROM ", err));
        for (size_t i = 0; i < statement->name.count; i++) {
            if (i > 0) AP_TRY(ap_bytes_add_text(&select, ".", err));
            AP_TRY(ap_sql_name(&select, ap_str_from(statement->name.parts[i]), err));
        }
        query = ap_bytes_view(&select);
    }
    struct ap_source *source = NULL;
    AP_TRY(ap_source_open(request->session, query, request->query, &source, err));
    enum apiary_code code = copy_out(request, source, result, err);
    ap_source_close(source);
    return code;
}

/* ---- FROM ---- */

/* COPY's options as arguments of the engine's reader; FORMAT apart. */
static enum apiary_code reader_options(const struct ap_statement *statement,
    struct ap_bytes *format, struct ap_bytes *out, struct apiary_error *err)
{
    static const struct {
        const char *copy, *reader;
    } names[] = { { "delimiter", "delim" }, { "sep", "delim" }, { "null", "nullstr" } };
    for (size_t i = 0; i < statement->option_count; i++) {
        const struct ap_option *option = &statement->options[i];
        struct ap_str value = ap_str_trim(option->value);
        const char *name = option->name;
        if (strcasecmp(name, "format") == 0) {
            AP_AUTO(ap_tokens) tokens = { 0 };
            AP_TRY(ap_lex(value, &tokens, err));
            AP_TRY(ap_token_value(&tokens.items[0], format, err));
            continue;
        }
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (strcasecmp(name, names[j].copy) == 0) name = names[j].reader;
        AP_TRY(ap_bytes_printf(
            out, err, ", %s = " AP_FMT, name, AP_ARG(value.size > 0 ? value : AP_STR("true"))));
    }
    return APIARY_OK;
}

static enum apiary_code copied(const struct ap_target *target, const struct ap_plan_wrote *wrote,
    size_t tasks, struct ap_result *result, struct apiary_error *err)
{
    char version[32] = "", by[64] = "";
    if (wrote->version >= 0) snprintf(version, sizeof version, " (version %lld)", (long long)wrote->version);
    if (tasks > 0) snprintf(by, sizeof by, " by the swarm in %zu task%s", tasks, tasks == 1 ? "" : "s");
    result->rows_changed = wrote->rows;
    return ap_result_message(result, err, "Copied %lld row%s into %s%s%s.", (long long)wrote->rows,
        wrote->rows == 1 ? "" : "s", target->name, version, by);
}

static enum apiary_code copy_in(struct ap_request *request, struct ap_target *target,
    struct ap_source *source, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_bytes) format = { 0 };
    AP_AUTO(ap_bytes) options = { 0 };
    AP_AUTO(ap_bytes) reader = { 0 };
    AP_AUTO(ap_bytes) ask = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_TRY(reader_options(statement, &format, &options, err));
    const char *path = statement->path;
    struct ap_import_source what = { .paths = &path,
        .path_count = 1,
        .format = format.size > 0 ? ap_bytes_text(&format) : NULL,
        .options = ap_bytes_text(&options) };
    AP_TRY(ap_import_reader(source, &what, &reader, err));
    AP_TRY(ap_bytes_printf(&ask, err, "SELECT * FROM %s)", ap_bytes_text(&reader)));
    AP_TRY(ap_source_describe(source, ap_bytes_view(&ask), NULL, &columns, err));
    for (size_t i = 0; i < statement->column_count; i++)
        AP_TRY(ap_texts_add(&names, ap_str_from(statement->columns[i].name), err));
    struct ap_fit fit = { .columns = &columns, .names = names.count > 0 ? &names : NULL };
    struct ap_write_commit how = { .operation = "WRITE" };
    struct ap_import_share share = {
        .source = source, .target = target, .fit = &fit, .how = &how, .reader = ap_bytes_view(&reader), .columns = &columns
    };
    struct ap_plan_wrote wrote = { 0 };
    size_t tasks = 0;
    AP_TRY(ap_import_spread(&share, &wrote, &tasks, err));
    if (tasks > 0) return copied(target, &wrote, tasks, result, err);
    AP_TRY(ap_bytes_add_text(&select, "SELECT ", err));
    AP_TRY(ap_fit_columns(request->session, target, &fit, &select, err));
    AP_TRY(ap_bytes_printf(&select, err, " FROM %s) AS apiary_rows", ap_bytes_text(&reader)));
    AP_TRY(ap_fit_aliases(target, &fit, &select, err));
    AP_TRY(ap_write_cells(source, target, ap_bytes_view(&select), NULL, true, &written, err));
    uint64_t version = target->base->version;
    if (written.count > 0)
        AP_TRY(ap_commit_written(request->session, target, &written, &how, &version, err));
    struct ap_plan_wrote here = { .rows = written.rows, .version = (int64_t)version };
    return copied(target, &here, 0, result, err);
}

static enum apiary_code run_copy_from(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_name3 name = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_TRY(ap_names_find(request->session, &request->statement->name, &name, err));
    AP_TRY(ap_target_open(request->session, &name, &target, err));
    struct ap_source *source = NULL;
    AP_TRY(ap_source_open(request->session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code = copy_in(request, &target, source, result, err);
    ap_source_close(source);
    return code;
}

enum apiary_code ap_run_copy(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    return request->statement->kind == AP_STATEMENT_COPY_TO ? run_copy_to(request, result, err)
                                                            : run_copy_from(request, result, err);
}
