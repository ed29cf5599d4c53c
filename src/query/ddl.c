/* USE, CREATE, DROP, UNDROP and RENAME of what the catalogue holds. Frames are made in create.c,
 * views in view.c. */
#include "query/ddl.h"
#include "query/temporary.h"

#include <stdio.h>

static struct ap_catalog *catalog_of(const struct ap_request *request)
{
    return request->session->world->catalog;
}

static bool same(const char *a, const char *b)
{
    return ap_str_equal_nocase(ap_str_from(a), ap_str_from(b));
}

/* "hive.box.frame" as far as it goes. */
static void whole_name(const struct ap_name3 *name, char out[3 * AP_NAME_MAX + 4])
{
    snprintf(out, 3 * AP_NAME_MAX + 4, "%s%s%s%s%s", name->hive, name->box[0] ? "." : "", name->box,
        name->frame[0] ? "." : "", name->frame);
}

static const char *object_word(enum ap_object_kind object)
{
    switch (object) {
        case AP_OBJECT_HIVE: return "hive";
        case AP_OBJECT_BOX: return "box";
        case AP_OBJECT_VIEW: return "view";
        default: return "frame";
    }
}

static enum ap_name_kind name_kind(enum ap_object_kind object)
{
    return object == AP_OBJECT_HIVE  ? AP_NAME_HIVE
           : object == AP_OBJECT_BOX ? AP_NAME_BOX
                                     : AP_NAME_FRAME;
}

/* A name that is there already: frames may be temporary. */
static enum apiary_code name_there(struct ap_session *session,
    const struct ap_statement *statement, struct ap_name3 *out, struct apiary_error *err)
{
    if (statement->object == AP_OBJECT_FRAME)
        return ap_names_find(session, &statement->name, out, err);
    return ap_names_complete(session, &statement->name, name_kind(statement->object), out, err);
}

/* ---- USE ---- */

static void stand_in(struct ap_session *session, const struct ap_name3 *name)
{
    snprintf(session->hive, sizeof session->hive, "%s", name->hive);
    snprintf(session->box, sizeof session->box, "%s", name->box);
}

/* The box in which a session stands that only named the hive: main, or the only one. */
static enum apiary_code default_box(
    struct ap_session *session, struct ap_name3 *name, struct apiary_error *err)
{
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_catalog_boxes(session->world->catalog, name->hive, &boxes, err));
    bool only = boxes.count == 1;
    snprintf(name->box, sizeof name->box, "%s", only ? boxes.items[0] : "main");
    if (!only && !ap_catalog_has_box(session->world->catalog, name->hive, "main"))
        ap_session_notice(session, "hive %s has no box main: name the box, or USE %s.box",
            name->hive, name->hive);
    return APIARY_OK;
}

enum apiary_code ap_names_scope(struct ap_session *session, const struct ap_object_name *name,
    struct ap_name3 *out, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    if (name->count > 1) {
        AP_TRY(ap_catalog_refresh(catalog, name->parts[0], err));
        return ap_catalog_spell(catalog, name->parts[0], name->parts[1], out, err);
    }
    AP_TRY(ap_catalog_refresh(catalog, session->hive, err));
    if (ap_catalog_has_box(catalog, session->hive, name->parts[0]))
        return ap_catalog_spell(catalog, session->hive, name->parts[0], out, err);
    AP_TRY(ap_catalog_refresh(catalog, name->parts[0], err));
    if (ap_catalog_has_hive(catalog, name->parts[0]))
        return ap_catalog_spell(catalog, name->parts[0], NULL, out, err);
    /* Neither: the nearest box is the better hint, since one name usually means that. */
    struct apiary_error hive_error = { 0 };
    if (ap_catalog_spell(catalog, name->parts[0], NULL, out, &hive_error) == APIARY_OK)
        return APIARY_OK;
    enum apiary_code code = ap_catalog_spell(catalog, session->hive, name->parts[0], out, err);
    if (code != APIARY_NOT_FOUND || err == NULL) return code;
    char hint[sizeof err->hint];
    snprintf(hint, sizeof hint, "%s", err->hint[0] ? err->hint : hive_error.hint);
    ap_fail(err, APIARY_NOT_FOUND, "there is neither a box %s in hive %s nor a hive %s",
        name->parts[0], session->hive, name->parts[0]);
    if (hint[0]) ap_hint(err, "%s", hint);
    return APIARY_NOT_FOUND;
}

enum apiary_code ap_run_use(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 }, spelled = { 0 };
    if (statement->object == AP_OBJECT_NONE) {
        AP_TRY(ap_names_scope(session, &statement->name, &spelled, err));
    } else {
        AP_TRY(
            ap_names_complete(session, &statement->name, name_kind(statement->object), &name, err));
        AP_TRY(ap_catalog_refresh(catalog_of(request), name.hive, err));
        AP_TRY(ap_catalog_spell(catalog_of(request), name.hive,
            statement->object == AP_OBJECT_BOX ? name.box : NULL, &spelled, err));
    }
    if (!spelled.box[0]) AP_TRY(default_box(session, &spelled, err));
    stand_in(session, &spelled);
    return ap_result_message(result, err, "Using %s.%s.", spelled.hive, spelled.box);
}

/* ---- CREATE ---- */

static enum apiary_code create_space(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    bool hive = statement->kind == AP_STATEMENT_CREATE_HIVE,
         or_there = statement->flags.if_not_exists, created = false;
    struct ap_name3 name = { 0 };
    char whole[3 * AP_NAME_MAX + 4];
    AP_TRY(ap_names_complete(
        session, &statement->name, hive ? AP_NAME_HIVE : AP_NAME_BOX, &name, err));
    whole_name(&name, whole);
    if (hive)
        AP_TRY(ap_catalog_create_hive(catalog_of(request), name.hive, or_there, &created, err));
    else
        AP_TRY(ap_catalog_create_box(
            catalog_of(request), name.hive, name.box, or_there, &created, err));
    const char *word = hive ? "hive" : "box";
    if (statement->comment != NULL)
        ap_session_notice(session, "the comment is not kept: a %s has none", word);
    if (!created) {
        ap_session_notice(session, "%s %s is there already; nothing was done", word, whole);
        return APIARY_OK;
    }
    return ap_result_message(result, err, "Created %s %s.", word, whole);
}

/* ---- DROP ---- */

static enum apiary_code drop_temporary(
    struct ap_request *request, bool *dropped, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    const char *name = statement->name.parts[statement->name.count - 1];
    *dropped = statement->name.count == 1 &&
               ap_session_forget(request->session, (int)statement->object, ap_str_from(name));
    if (*dropped || statement->object == AP_OBJECT_VIEW) return APIARY_OK;
    return ap_fail(err, APIARY_NOT_FOUND, "no macro %s", name);
}

static enum apiary_code drop_named(
    struct ap_request *request, const struct ap_name3 *name, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    bool cascade = statement->flags.cascade;
    if (name_kind(statement->object) == AP_NAME_FRAME && ap_name_temporary(name))
        return ap_temporary_drop(request->session, name, err);
    switch (statement->object) {
        case AP_OBJECT_HIVE:
            return ap_catalog_drop_hive(catalog_of(request), name->hive, cascade, err);
        case AP_OBJECT_BOX:
            return ap_catalog_drop_box(catalog_of(request), name->hive, name->box, cascade, err);
        case AP_OBJECT_VIEW:
            return ap_catalog_drop_entry(catalog_of(request), name, AP_ENTRY_VIEW, err);
        default: return ap_catalog_drop_entry(catalog_of(request), name, AP_ENTRY_FRAME, err);
    }
}

/* A session does not go on standing in what is gone. */
static void leave_dropped(
    struct ap_session *session, const struct ap_statement *statement, const struct ap_name3 *name)
{
    bool hive = statement->object == AP_OBJECT_HIVE && same(session->hive, name->hive);
    bool box = statement->object == AP_OBJECT_BOX && same(session->hive, name->hive) &&
               same(session->box, name->box);
    if (hive) snprintf(session->hive, sizeof session->hive, "main");
    if (hive || box) snprintf(session->box, sizeof session->box, "main");
}

static enum apiary_code drop(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    struct apiary_error why = { 0 };
    char whole[3 * AP_NAME_MAX + 4];
    bool dropped = false;
    enum apiary_code code = APIARY_OK;
    if (statement->object == AP_OBJECT_VIEW || statement->object == AP_OBJECT_MACRO)
        code = drop_temporary(request, &dropped, &why);
    if (dropped)
        return ap_result_message(result, err, "Dropped %s %s.",
            statement->object == AP_OBJECT_VIEW ? "view" : "macro", statement->name.parts[0]);
    if (code == APIARY_OK) {
        AP_TRY(name_there(session, statement, &name, err));
        code = drop_named(request, &name, &why);
    }
    if (code == APIARY_NOT_FOUND && statement->flags.if_exists) {
        ap_session_notice(session, "%s; nothing was done", why.message);
        return APIARY_OK;
    }
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    leave_dropped(session, statement, &name);
    whole_name(&name, whole);
    const char *word = object_word(statement->object);
    if (ap_name_temporary(&name))
        return ap_result_message(result, err, "Dropped temporary frame %s.", name.frame);
    return ap_result_message(result, err, "Dropped %s %s; UNDROP brings it back.", word, whole);
}

static enum apiary_code undrop(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    char whole[3 * AP_NAME_MAX + 4];
    AP_TRY(ap_names_complete(
        request->session, &statement->name, name_kind(statement->object), &name, err));
    if (statement->object == AP_OBJECT_HIVE)
        AP_TRY(ap_catalog_undrop_hive(catalog_of(request), name.hive, err));
    else if (statement->object == AP_OBJECT_BOX)
        AP_TRY(ap_catalog_undrop_box(catalog_of(request), name.hive, name.box, err));
    else
        AP_TRY(ap_catalog_undrop(catalog_of(request), &name, err));
    whole_name(&name, whole);
    return ap_result_message(
        result, err, "Brought %s %s back.", object_word(statement->object), whole);
}

/* ---- RENAME ---- */

/* The new name: what it leaves out stays as it is. */
static enum apiary_code new_name(const struct ap_statement *statement, const struct ap_name3 *from,
    struct ap_name3 *to, struct apiary_error *err)
{
    const struct ap_object_name *given = &statement->new_name;
    size_t whole = statement->object == AP_OBJECT_HIVE  ? 1
                   : statement->object == AP_OBJECT_BOX ? 2
                                                        : 3;
    if (given->count > whole)
        return ap_fail(err, APIARY_SQL, "the new name of a %s has at most %zu part%s, this has %zu",
            object_word(statement->object), whole, whole > 1 ? "s" : "", given->count);
    *to = *from;
    char *parts[] = { to->hive, to->box, to->frame };
    for (size_t i = 0; i < given->count; i++) {
        if (strlen(given->parts[i]) > AP_NAME_MAX)
            return ap_fail(err, APIARY_INVALID, "name '%.40s...' has more than %d characters",
                given->parts[i], AP_NAME_MAX);
        snprintf(parts[whole - given->count + i], AP_NAME_MAX + 1, "%s", given->parts[i]);
    }
    return APIARY_OK;
}

static enum apiary_code rename_named(struct ap_request *request, const struct ap_name3 *from,
    const struct ap_name3 *to, struct apiary_error *err)
{
    struct ap_catalog *catalog = catalog_of(request);
    if (request->statement->object == AP_OBJECT_FRAME && ap_name_temporary(from))
        return ap_temporary_rename(request->session, from, to, err);
    switch (request->statement->object) {
        case AP_OBJECT_HIVE: return ap_catalog_rename_hive(catalog, from->hive, to->hive, err);
        case AP_OBJECT_BOX:
            if (!same(from->hive, to->hive))
                return ap_fail(err, APIARY_UNSUPPORTED, "box %s.%s cannot move to hive %s",
                    from->hive, from->box, to->hive);
            return ap_catalog_rename_box(catalog, from->hive, from->box, to->box, err);
        default: return ap_catalog_rename_entry(catalog, from, to, err);
    }
}

/* A session that stands in what was renamed stands there still. */
static void follow_rename(struct ap_session *session, const struct ap_statement *statement,
    const struct ap_name3 *from, const struct ap_name3 *to)
{
    if (!same(session->hive, from->hive)) return;
    if (statement->object == AP_OBJECT_HIVE)
        snprintf(session->hive, sizeof session->hive, "%s", to->hive);
    if (statement->object == AP_OBJECT_BOX && same(session->box, from->box))
        snprintf(session->box, sizeof session->box, "%s", to->box);
}

static enum apiary_code run_rename(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 from = { 0 }, to = { 0 };
    struct apiary_error why = { 0 };
    char before[3 * AP_NAME_MAX + 4], after[3 * AP_NAME_MAX + 4];
    AP_TRY(name_there(session, statement, &from, err));
    AP_TRY(new_name(statement, &from, &to, err));
    enum apiary_code code = rename_named(request, &from, &to, &why);
    if (code == APIARY_NOT_FOUND && statement->flags.if_exists) {
        ap_session_notice(session, "%s; nothing was done", why.message);
        return APIARY_OK;
    }
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    follow_rename(session, statement, &from, &to);
    whole_name(&from, before);
    whole_name(&to, after);
    return ap_result_message(
        result, err, "Renamed %s %s to %s.", object_word(statement->object), before, after);
}

enum apiary_code ap_run_ddl(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    switch (request->statement->kind) {
        case AP_STATEMENT_USE: return ap_run_use(request, result, err);
        case AP_STATEMENT_SHOW: return ap_run_show(request, result, err);
        case AP_STATEMENT_DESCRIBE: return ap_run_describe(request, result, err);
        case AP_STATEMENT_CREATE_HIVE:
        case AP_STATEMENT_CREATE_BOX: return create_space(request, result, err);
        case AP_STATEMENT_CREATE_VIEW: return ap_run_create_view(request, result, err);
        case AP_STATEMENT_DROP: return drop(request, result, err);
        case AP_STATEMENT_UNDROP: return undrop(request, result, err);
        case AP_STATEMENT_RENAME: return run_rename(request, result, err);
        default: return ap_fail(err, APIARY_INTERNAL, "no statement of the catalogue");
    }
}
