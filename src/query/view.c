/* CREATE VIEW. A view of the catalogue is the text of its query with all names completed, so that
 * it means the same from everywhere; one of the session is replayed into the engine when it is
 * named.
 *
 * What others cannot follow is refused for a view of the catalogue: files of this machine,
 * temporary views, macros of the session, tables of the caller. */
#include "query/ddl.h"
#include "query/read.h"
#include "query/resolve.h"
#include "query/temporary.h"

#include "core/alloc.h"

#include <stdio.h>

static enum apiary_code check_parameters(struct ap_str text, struct apiary_error *err)
{
    AP_AUTO(ap_tokens) tokens = { 0 };
    AP_TRY(ap_lex(text, &tokens, err));
    for (size_t i = 0; i < tokens.count; i++)
        if (tokens.items[i].kind == AP_TOKEN_PARAMETER)
            return ap_fail(err, APIARY_SQL, "a view cannot have parameters (" AP_FMT ")",
                AP_ARG(tokens.items[i].text));
    return APIARY_OK;
}

static bool is_temporary_frame(const struct ap_session *session, struct ap_str name)
{
    char frame[AP_NAME_MAX + 1];
    if (name.size > AP_NAME_MAX) return false;
    snprintf(frame, sizeof frame, AP_FMT, AP_ARG(name));
    return ap_temporary_has(session, frame);
}

/* Can everyone who sees the catalogue run it? */
static enum apiary_code check_shareable(
    struct ap_source *source, const char *view, struct apiary_error *err)
{
    const struct ap_tree_names *names = &source->names;
    const struct ap_session *session = source->session;
    if (names->file_count > 0) {
        ap_fail(err, APIARY_DENIED, "view %s would read files of this machine", view);
        return ap_hint(err, "import them into a frame, or make a temporary view: CREATE TEMP VIEW");
    }
    if (source->input_count > 0)
        return ap_fail(err, APIARY_DENIED, "view %s would read the table %s of this call", view,
            source->input_names[0]);
    for (size_t i = 0; i < names->table_count; i++) {
        const struct ap_table_ref *ref = &names->tables[i];
        bool temporary = ap_str_equal_nocase(ref->parts[0], AP_STR("temp"));
        if (ref->parts[0].size + ref->parts[1].size > 0 && !temporary) continue;
        if (temporary || is_temporary_frame(session, ref->parts[2]))
            return ap_fail(err, APIARY_DENIED, "view %s would read the temporary frame " AP_FMT,
                view, AP_ARG(ref->parts[2]));
        if (ap_session_replayed(session, AP_OBJECT_VIEW, ref->parts[2]) == NULL) continue;
        return ap_fail(err, APIARY_DENIED, "view %s would use the temporary view " AP_FMT, view,
            AP_ARG(ref->parts[2]));
    }
    for (size_t i = 0; i < names->functions.count; i++)
        if (ap_session_replayed(session, AP_OBJECT_MACRO, ap_str_from(names->functions.items[i])) !=
            NULL)
            return ap_fail(err, APIARY_DENIED, "view %s would use the session's macro %s", view,
                names->functions.items[i]);
    return APIARY_OK;
}

/* A replaced view must not come to stand on itself. */
static enum apiary_code check_cycle(const struct ap_source *source, struct ap_str engine_name,
    const char *view, struct apiary_error *err)
{
    if (!ap_needs_read_view(source->needs, engine_name)) return APIARY_OK;
    return ap_fail(err, APIARY_SQL, "view %s would read itself", view);
}

/* The query with the columns' names of CREATE VIEW v(a, b). */
static enum apiary_code with_columns(const struct ap_statement *statement, struct ap_str query,
    struct ap_bytes *out, struct apiary_error *err)
{
    if (statement->column_count == 0) return ap_bytes_add_str(out, query, err);
    AP_TRY(
        ap_bytes_printf(out, err, "SELECT * FROM (" AP_FMT "\n) AS apiary_view(", AP_ARG(query)));
    for (size_t i = 0; i < statement->column_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_name(out, ap_str_from(statement->columns[i].name), err));
    }
    return ap_bytes_add_text(out, ")", err);
}

/* Has the engine bind it: *columns is the JSON list of the column names. */
static enum apiary_code bind(struct ap_source *source, const struct ap_statement *statement,
    struct ap_bytes *columns, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_described_list) described = { 0 };
    AP_TRY(with_columns(statement, ap_bytes_view(&source->sql), &sql, err));
    ap_source_share(source);
    AP_TRY(ap_source_describe(source, ap_bytes_view(&sql), NULL, &described, err));
    AP_TRY(ap_bytes_add_text(columns, "[", err));
    for (size_t i = 0; i < described.count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(columns, ",", err));
        AP_TRY(ap_json_quote(columns, ap_str_from(described.items[i].name), err));
    }
    return ap_bytes_add_text(columns, "]", err);
}

static enum apiary_code register_view(struct ap_request *request, const struct ap_name3 *name,
    struct ap_str sql, const char *columns, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    AP_AUTO_FREE char *text = ap_str_dup(sql);
    if (text == NULL) return ap_fail_memory(err, "a view");
    const struct ap_new_entry entry = { .kind = AP_ENTRY_VIEW,
        .name = name,
        .view_sql = text,
        .view_columns = columns,
        .replace = statement->flags.or_replace };
    enum apiary_code code = ap_catalog_register(request->session->world->catalog, &entry, err);
    if (code == APIARY_EXISTS && statement->flags.if_not_exists) {
        ap_error_clear(err);
        ap_session_notice(request->session, "view %s.%s.%s is there already; nothing was done",
            name->hive, name->box, name->frame);
        return APIARY_OK;
    }
    if (code == APIARY_EXISTS && err != NULL && err->hint[0] == '\0')
        ap_hint(err, "CREATE OR REPLACE VIEW replaces a view");
    if (code != APIARY_OK) return code;
    return ap_result_message(
        result, err, "Created view %s.%s.%s.", name->hive, name->box, name->frame);
}

static enum apiary_code create_shared(struct ap_request *request, struct ap_source *source,
    const struct ap_name3 *name, struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) engine_name = { 0 };
    AP_AUTO(ap_bytes) columns = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(check_shareable(source, name->frame, err));
    AP_TRY(ap_engine_name(name, &engine_name, err));
    AP_TRY(check_cycle(source, ap_bytes_view(&engine_name), name->frame, err));
    AP_TRY(bind(source, request->statement, &columns, err));
    ap_source_rest(source);
    AP_TRY(with_columns(request->statement, ap_bytes_view(&source->qualified), &sql, err));
    return register_view(request, name, ap_bytes_view(&sql), ap_bytes_text(&columns), result, err);
}

static enum apiary_code create_temporary(struct ap_request *request, struct ap_source *source,
    struct ap_result *result, struct apiary_error *err)
{
    const char *name = request->statement->name.parts[0];
    AP_AUTO(ap_bytes) quoted = { 0 };
    AP_AUTO(ap_bytes) columns = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    if (source->input_count > 0)
        return ap_fail(err, APIARY_DENIED,
            "view %s would read the table %s, which is there for this call only", name,
            source->input_names[0]);
    AP_TRY(ap_sql_name(&quoted, ap_str_from(name), err));
    AP_TRY(check_cycle(source, ap_bytes_view(&quoted), name, err));
    AP_TRY(bind(source, request->statement, &columns, err));
    AP_TRY(with_columns(request->statement, ap_bytes_view(&source->qualified), &sql, err));
    AP_TRY(ap_session_replay(
        request->session, AP_OBJECT_VIEW, ap_str_from(name), ap_bytes_view(&sql), err));
    return ap_result_message(result, err, "Created temporary view %s.", name);
}

/* Is there nothing more to do? */
static enum apiary_code check_there(
    struct ap_request *request, const struct ap_name3 *name, bool *done, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    struct ap_session *session = request->session;
    AP_AUTO(ap_entry) there = { 0 };
    *done = false;
    if (statement->flags.temporary) {
        bool taken = ap_session_replayed(session, AP_OBJECT_VIEW, ap_str_from(name->frame)) != NULL;
        if (ap_temporary_has(session, name->frame))
            return ap_fail(err, APIARY_EXISTS, "temporary frame %s exists", name->frame);
        *done = taken && statement->flags.if_not_exists;
        if (!taken || *done || statement->flags.or_replace) return APIARY_OK;
        return ap_fail(err, APIARY_EXISTS, "temporary view %s exists", name->frame);
    }
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(name->frame), err));
    AP_TRY(ap_catalog_refresh(session->world->catalog, name->hive, err));
    struct ap_name3 spelled;
    AP_TRY(ap_catalog_spell(session->world->catalog, name->hive, name->box, &spelled, err));
    if (ap_catalog_find(session->world->catalog, name, &there, NULL) != APIARY_OK) return APIARY_OK;
    *done = statement->flags.if_not_exists;
    if (*done)
        ap_session_notice(session, "view %s.%s.%s is there already; nothing was done", name->hive,
            name->box, name->frame);
    bool replaces = statement->flags.or_replace && there.kind == AP_ENTRY_VIEW;
    if (*done || replaces) return APIARY_OK;
    return ap_fail(err, APIARY_EXISTS, "%s %s.%s.%s exists",
        there.kind == AP_ENTRY_VIEW ? "view" : "frame", there.name.hive, there.name.box,
        there.name.frame);
}

enum apiary_code ap_run_create_view(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    struct ap_source *source = NULL;
    bool done = false;
    if (statement->flags.temporary && statement->name.count > 1)
        return ap_fail(err, APIARY_SQL, "a temporary view lies in no box: its name has one part");
    AP_TRY(ap_names_complete(session, &statement->name, AP_NAME_FRAME, &name, err));
    AP_TRY(check_parameters(statement->body, err));
    AP_TRY(check_there(request, &name, &done, err));
    if (done) return APIARY_OK;
    if (statement->comment != NULL)
        ap_session_notice(session, "the comment is not kept: a view has none");
    AP_TRY(ap_source_open(session, statement->body, request->query, &source, err));
    enum apiary_code code = statement->flags.temporary
                                ? create_temporary(request, source, result, err)
                                : create_shared(request, source, &name, result, err);
    ap_source_close(source);
    return code;
}
