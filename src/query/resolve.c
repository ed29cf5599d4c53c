/* Names to frames: every reference of a query (and of the views that it uses) is looked up,
 * its snapshot pinned, its cells pruned; then the engine's setup is written.
 *
 * Invariants
 *  (1) A frame that is named several times at one version is one scan; its cells are the union
 *      of what the references need.
 *  (2) The user's text runs unchanged but for references that the engine would see differently
 *      (hive main, AT, ambiguous two-part names, files).
 *  (3) Text from the bucket (views) is one query and may not name files of the machine. */
#include "query/resolve_private.h"
#include "query/files.h"

#include "core/alloc.h"

enum { VIEW_DEPTH_MAX = 32 };

/* What the whole statement needs of the engine, gathered over all texts. */
struct ap_needs {
    struct ap_texts schemas; /* "catalog"."box", quoted */
    struct ap_texts hives;
    struct ap_texts views; /* CREATE VIEW …, in order of dependency */
    struct ap_texts view_names;
    size_t views_read; /* of these: the ones that a reference led to, the first */
    struct ap_texts listed; /* hives whose frames and views are to be there without being read */
    struct ap_texts view_bodies; /* of the same views: their queries as the engine runs them */
};

const char *ap_engine_catalog(const char *hive)
{
    if (strcasecmp(hive, "temp") == 0) return "apiary.temp"; /* no hive's name holds a dot */
    return strcasecmp(hive, "main") == 0 ? "memory" : hive;
}

enum apiary_code ap_engine_name(
    const struct ap_name3 *name, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_sql_name(out, ap_str_from(ap_engine_catalog(name->hive)), err));
    AP_TRY(ap_bytes_add_text(out, ".", err));
    AP_TRY(ap_sql_name(out, ap_str_from(name->box), err));
    AP_TRY(ap_bytes_add_text(out, ".", err));
    return ap_sql_name(out, ap_str_from(name->frame), err);
}

/* ---- needs of the engine ---- */

static void needs_done(struct ap_needs *needs)
{
    ap_texts_done(&needs->schemas);
    ap_texts_done(&needs->hives);
    ap_texts_done(&needs->views);
    ap_texts_done(&needs->view_names);
    ap_texts_done(&needs->listed);
    ap_texts_done(&needs->view_bodies);
}

/* The one that every instance has from the start, and begins in. */
static bool is_first_schema(const char *hive, const char *box)
{
    return strcasecmp(hive, "main") == 0 && strcasecmp(box, "main") == 0;
}

static enum apiary_code need_schema(
    struct ap_needs *needs, const char *hive, const char *box, struct apiary_error *err)
{
    const char *catalog = ap_engine_catalog(hive);
    AP_AUTO(ap_bytes) name = { 0 };
    if (is_first_schema(hive, box)) return APIARY_OK;
    AP_TRY(ap_sql_name(&name, ap_str_from(catalog), err));
    if (strcmp(catalog, "memory") != 0 &&
        ap_texts_find(&needs->hives, ap_bytes_view(&name)) == SIZE_MAX)
        AP_TRY(ap_texts_add(&needs->hives, ap_bytes_view(&name), err));
    AP_TRY(ap_bytes_add_text(&name, ".", err));
    AP_TRY(ap_sql_name(&name, ap_str_from(box), err));
    if (ap_texts_find(&needs->schemas, ap_bytes_view(&name)) == SIZE_MAX)
        AP_TRY(ap_texts_add(&needs->schemas, ap_bytes_view(&name), err));
    return APIARY_OK;
}

static enum apiary_code analyse(struct ap_analysis *analysis, struct ap_needs *needs,
    struct ap_bytes *sql, struct apiary_error *err);

static void analysis_done(struct ap_analysis *analysis)
{
    for (size_t i = 0; analysis->targets != NULL && i < analysis->names.table_count; i++)
        ap_entry_done(&analysis->targets[i].entry);
    ap_free(analysis->targets);
    ap_tokens_done(&analysis->tokens);
    ap_splice_done(&analysis->splice);
    ap_splice_done(&analysis->qualified);
    ap_bytes_done(&analysis->plain);
    ap_texts_done(&analysis->names.functions);
    yyjson_doc_free(analysis->tree);
}

/* A view of the catalogue or of the session, once. */
static enum apiary_code need_view(struct ap_analysis *user, const char *sql,
    const struct ap_name3 *name, bool temporary, struct ap_needs *needs, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    if (temporary)
        AP_TRY(ap_sql_name(&key, ap_str_from(name->frame), err));
    else
        AP_TRY(ap_engine_name(name, &key, err));
    if (ap_texts_find(&needs->view_names, ap_bytes_view(&key)) != SIZE_MAX) return APIARY_OK;
    if (user->depth >= VIEW_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT,
            "view \"%s\" is nested more than %d deep, or names itself", name->frame,
            VIEW_DEPTH_MAX);

    __attribute__((cleanup(analysis_done))) struct ap_analysis analysis = {
        .source = user->source,
        .text = ap_str_from(sql),
        .home = name,
        .from_catalogue = !temporary,
        .depth = user->depth + 1,
    };
    struct ap_name3 home = { 0 };
    if (temporary) { /* its text was completed when it was made: only other temporary views are
                        short */
        snprintf(home.hive, sizeof home.hive, "%s", user->source->session->hive);
        snprintf(home.box, sizeof home.box, "%s", user->source->session->box);
        analysis.home = &home;
    }
    AP_AUTO(ap_bytes) body = { 0 };
    enum apiary_code code = analyse(&analysis, needs, &body, err);
    if (code == APIARY_LIMIT && user->depth > 0) return code; /* all that led there would be no clear line */
    if (code != APIARY_OK) return ap_context(err, code, "view %s", name->frame);
    const struct ap_tree_names *names = &analysis.names;
    user->source->limited |= analysis.tree != NULL ? names->limit_at_top || names->limit_below : ap_source_says_limit(analysis.text);
    if (!temporary) AP_TRY(need_schema(needs, name->hive, name->box, err));
    AP_TRY(ap_texts_printf(&needs->views, err, "CREATE %sVIEW %s AS %s", temporary ? "TEMP " : "",
        ap_bytes_text(&key), ap_bytes_text(&body)));
    AP_TRY(ap_texts_add(&needs->view_bodies, ap_bytes_view(&body), err));
    return ap_texts_add(&needs->view_names, ap_bytes_view(&key), err);
}

const char *ap_needs_view(const struct ap_needs *needs, struct ap_str name)
{
    for (size_t i = 0; i < needs->view_names.count; i++)
        if (ap_str_equal_nocase(ap_str_from(needs->view_names.items[i]), name))
            return needs->view_bodies.items[i];
    return NULL;
}

bool ap_needs_read_view(const struct ap_needs *needs, struct ap_str name)
{
    for (size_t i = 0; i < needs->views_read; i++)
        if (ap_str_equal_nocase(ap_str_from(needs->view_names.items[i]), name)) return true;
    return false;
}

/* information_schema and its kin see every frame and view of the current hive, without their rows. */
static enum apiary_code need_listing(
    const struct ap_analysis *analysis, struct ap_needs *needs, struct apiary_error *err)
{
    struct ap_str hive = ap_str_from(analysis->home->hive);
    if (ap_texts_find(&needs->listed, hive) != SIZE_MAX) return APIARY_OK;
    return ap_texts_add(&needs->listed, hive, err);
}

static enum apiary_code list_hive(struct ap_analysis *analysis, const char *hive,
    struct ap_needs *needs, struct apiary_error *err)
{
    struct ap_catalog *catalog = analysis->source->session->world->catalog;
    int64_t since_us = analysis->source->session->begun_us;
    AP_TRY(ap_catalog_refresh_since(catalog, hive, since_us, err));
    if (!ap_catalog_has_hive(catalog, hive)) return APIARY_OK;
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_catalog_boxes(catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count; i++) {
        AP_AUTO(ap_entries) entries = { 0 };
        AP_TRY(need_schema(needs, hive, boxes.items[i], err));
        AP_TRY(ap_catalog_entries(catalog, hive, boxes.items[i], false, &entries, err));
        for (size_t j = 0; j < entries.count; j++) {
            struct ap_entry *entry = &entries.items[j];
            size_t scan = 0;
            if (entry->kind == AP_ENTRY_VIEW)
                AP_TRY(need_view(analysis, entry->view_sql, &entry->name, false, needs, err));
            else
                AP_TRY(ap_resolve_scan(
                    analysis->source, entry, &(struct ap_at) { .kind = AP_AT_NEWEST }, &scan, err));
        }
    }
    return APIARY_OK;
}

/* After all references, so that no view waits for another one that is only to be listed; a view that is listed
 * may ask for the list of its own hive. */
static enum apiary_code list_hives(
    struct ap_analysis *analysis, struct ap_needs *needs, struct apiary_error *err)
{
    needs->views_read = needs->view_names.count;
    for (size_t i = 0; i < needs->listed.count; i++) {
        AP_AUTO_FREE char *hive = ap_strdup(needs->listed.items[i]); /* the list may move */
        if (hive == NULL) return ap_fail_memory(err, "the list of frames");
        AP_TRY(list_hive(analysis, hive, needs, err));
    }
    return APIARY_OK;
}

static enum apiary_code use_target(
    struct ap_analysis *analysis, size_t index, struct ap_needs *needs, struct apiary_error *err)
{
    const struct ap_table_ref *ref = &analysis->names.tables[index];
    struct ap_reference *target = &analysis->targets[index];
    AP_AUTO(ap_bytes) engine_name = { 0 };
    switch (target->kind) {
        case AP_REFERENCE_INPUT: return APIARY_OK;
        case AP_REFERENCE_ENGINE: return need_listing(analysis, needs, err);
        case AP_REFERENCE_TEMP_VIEW: {
            struct ap_name3 name = { 0 };
            snprintf(name.frame, sizeof name.frame, AP_FMT, AP_ARG(ref->parts[2]));
            return need_view(analysis,
                ap_session_replayed(analysis->source->session, AP_OBJECT_VIEW, ref->parts[2]),
                &name, true, needs, err);
        }
        case AP_REFERENCE_VIEW:
            AP_TRY(need_view(
                analysis, target->entry.view_sql, &target->entry.name, false, needs, err));
            AP_TRY(ap_engine_name(&target->entry.name, &engine_name, err));
            AP_TRY(ap_resolve_qualify(analysis, ref, &target->entry.name, err));
            return ap_resolve_splice(analysis, index, ap_bytes_view(&engine_name), err);
        case AP_REFERENCE_FRAME: break;
    }
    struct ap_scan *scan = &analysis->source->scans[target->scan];
    AP_TRY(need_schema(needs, scan->entry.name.hive, scan->entry.name.box, err));
    AP_TRY(ap_resolve_prune(scan, ref->predicate, err));
    AP_TRY(ap_resolve_qualify(analysis, ref, &scan->entry.name, err));
    return ap_resolve_splice(analysis, index, ap_str_from(scan->view), err);
}

bool ap_names_alone(const struct ap_tree_names *names)
{
    static const char *const bookkeepers[] = { "write_log", "txid_current", "current_query_id",
        "current_transaction_id", "current_connection_id" };
    if (names->file_count > 0 || names->other_sources) return true;
    for (size_t i = 0; i < sizeof bookkeepers / sizeof *bookkeepers; i++)
        if (ap_texts_find(&names->functions, ap_str_from(bookkeepers[i])) != SIZE_MAX) return true;
    return false;
}

static bool must_be_alone(const struct ap_analysis *analysis)
{
    const struct ap_tree_names *names = &analysis->names;
    if (analysis->tree == NULL || ap_names_alone(names)) return true;
    for (size_t i = 0; i < names->table_count; i++)
        if (analysis->targets[i].kind == AP_REFERENCE_ENGINE) return true;
    return false;
}

/* Tells the cells which words stand in the text: some of them name columns. */
static enum apiary_code tell_words(const struct ap_analysis *analysis, struct apiary_error *err)
{
    AP_AUTO(ap_texts) words = { 0 };
    for (size_t i = 0; i < analysis->tokens.count; i++) {
        const struct ap_token *token = &analysis->tokens.items[i];
        AP_AUTO(ap_bytes) value = { 0 };
        if (token->kind != AP_TOKEN_WORD && token->kind != AP_TOKEN_QUOTED) continue;
        AP_TRY(ap_token_value(token, &value, err));
        AP_TRY(ap_texts_add(&words, ap_bytes_view(&value), err));
    }
    return ap_cell_set_words(analysis->source->cells, &words, err);
}

/* Text of the bucket is anybody's: what stood behind a ';' would run as a statement of its own. */
static enum apiary_code check_one_query(struct ap_str text, struct apiary_error *err)
{
    AP_AUTO(ap_statement) statement = { 0 };
    size_t position = 0, start = 0, end = 0;
    bool complete = false;
    if (ap_next_statement(text, &position, &start, &end, &complete) &&
        ap_statement_parse((struct ap_str) { text.data + start, end - start }, &statement, NULL) == APIARY_OK &&
        statement.kind == AP_STATEMENT_QUERY && !ap_next_statement(text, &position, &start, &end, &complete))
        return APIARY_OK;
    return ap_fail(err, APIARY_DENIED, "a view of the catalogue is one query and nothing else");
}

/* Resolves all that one text names; *sql gets the text as the engine is to run it. */
static enum apiary_code analyse(struct ap_analysis *analysis, struct ap_needs *needs,
    struct ap_bytes *sql, struct apiary_error *err)
{
    struct ap_source *source = analysis->source;
    AP_TRY(ap_sql_plain_spaces(analysis->text, &analysis->plain, &analysis->text, err));
    if (analysis->from_catalogue) AP_TRY(check_one_query(analysis->text, err));
    AP_TRY(ap_lex(analysis->text, &analysis->tokens, err));
    ap_opaque_note(&source->opaque, &analysis->tokens);
    AP_TRY(tell_words(analysis, err));
    AP_TRY(ap_source_tree(source, analysis->text, &analysis->tree, err));
    if (analysis->tree != NULL)
        AP_TRY(ap_tree_names(&source->arena, analysis->tree, &analysis->names, err));
    else
        AP_TRY(ap_token_names(&source->arena, analysis->text, &analysis->names, err));
    if (analysis->names.file_count > 0)
        AP_TRY(ap_files_grant(source, &analysis->names, &analysis->tokens, analysis->from_catalogue,
            &analysis->splice, err));

    size_t count = analysis->names.table_count;
    analysis->targets = ap_calloc(count == 0 ? 1 : count, sizeof *analysis->targets);
    if (analysis->targets == NULL) return ap_fail_memory(err, "a statement's names");
    ap_resolve_look(analysis);
    for (size_t i = 0; i < count; i++)
        AP_TRY(ap_resolve_reference(analysis, &analysis->names.tables[i], &analysis->targets[i], err));
    source->alone |= must_be_alone(analysis);
    AP_TRY(ap_parameters(&source->arena, analysis->query, &analysis->names, err));
    if (analysis->tree != NULL)
        AP_TRY(ap_tree_predicates(
            &source->arena, analysis->tree, &analysis->names, ap_resolve_has_column, analysis, err));
    for (size_t i = 0; i < count; i++) AP_TRY(use_target(analysis, i, needs, err));
    return ap_splice_apply(&analysis->splice, analysis->text, sql, err);
}

/* ---- setup ---- */

#define ATTACH "ATTACH ':memory:' AS "
#define CREATE_SCHEMA "CREATE SCHEMA IF NOT EXISTS "

static enum apiary_code add_frame_views(struct ap_source *source, struct apiary_error *err)
{
    for (size_t i = 0; i < source->scan_count; i++) {
        AP_AUTO(ap_bytes) select = { 0 };
        AP_TRY(ap_shape_sql(source, &source->scans[i], &select, err));
        AP_TRY(ap_texts_printf(&source->setup, err, "CREATE VIEW %s AS %s", source->scans[i].view,
            ap_bytes_text(&select)));
        AP_TRY(ap_texts_printf(&source->undo, err, "DROP VIEW %s", source->scans[i].view));
    }
    return APIARY_OK;
}

enum apiary_code ap_source_schema_undos(struct ap_source *source, struct ap_texts *out, struct apiary_error *err)
{
    AP_AUTO(ap_texts) made = { 0 };
    AP_TRY(ap_source_schemas(source, &made, err));
    for (size_t i = 0; i < made.count; i++) AP_TRY(ap_schema_undo(ap_str_from(made.items[i]), out, err));
    return APIARY_OK;
}

/* A database of the engine is born with a schema "main", which goes with it. */
enum apiary_code ap_schema_undo(struct ap_str made, struct ap_texts *out, struct apiary_error *err)
{
    struct ap_str attach = AP_STR(ATTACH), schema = AP_STR(CREATE_SCHEMA), born = AP_STR(".\"main\"");
    bool is_born = made.size > born.size && ap_str_equal_nocase((struct ap_str) { made.data + made.size - born.size, born.size }, born);
    if (ap_str_starts_with(made, attach)) return ap_texts_printf(out, err, "DETACH %s", made.data + attach.size);
    if (!ap_str_starts_with(made, schema)) return ap_fail(err, APIARY_INVALID, "'" AP_FMT "' makes no schema", AP_ARG(made));
    if (is_born) return ap_texts_add(out, AP_STR(""), err);
    return ap_texts_printf(out, err, "DROP SCHEMA %s", made.data + schema.size);
}

/* Macros take part in the conditions of those who call them. */
static enum apiary_code note_replays(struct ap_source *source, struct apiary_error *err)
{
    const struct ap_session *session = source->session;
    for (size_t i = 0; i < session->replay_count; i++) {
        AP_AUTO(ap_tokens) tokens = { 0 };
        if (session->replays[i].kind == AP_OBJECT_VIEW) continue;
        source->limited |= ap_source_says_limit(ap_str_from(session->replays[i].sql));
        AP_TRY(ap_lex(ap_str_from(session->replays[i].sql), &tokens, err));
        ap_opaque_note(&source->opaque, &tokens);
    }
    return APIARY_OK;
}

enum apiary_code ap_source_schemas(
    struct ap_source *source, struct ap_texts *out, struct apiary_error *err)
{
    const struct ap_needs *needs = source->needs;
    for (size_t i = 0; i < needs->hives.count; i++)
        AP_TRY(ap_texts_printf(out, err, ATTACH "%s", needs->hives.items[i]));
    for (size_t i = 0; i < needs->schemas.count; i++)
        AP_TRY(ap_texts_printf(out, err, CREATE_SCHEMA "%s", needs->schemas.items[i]));
    return APIARY_OK;
}

enum apiary_code ap_source_views(
    struct ap_source *source, struct ap_texts *out, struct apiary_error *err)
{
    for (size_t i = 0; i < source->needs->views.count; i++)
        AP_TRY(ap_texts_add(out, ap_str_from(source->needs->views.items[i]), err));
    return APIARY_OK;
}

enum apiary_code ap_source_use(
    struct ap_source *source, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "USE ", err));
    AP_TRY(ap_sql_name(out, ap_str_from(ap_engine_catalog(source->session->hive)), err));
    AP_TRY(ap_bytes_add_text(out, ".", err));
    return ap_sql_name(out, ap_str_from(source->session->box), err);
}

static enum apiary_code add_setup(
    struct ap_source *source, const struct ap_needs *needs, struct apiary_error *err)
{
    struct ap_session *session = source->session;
    AP_TRY(ap_source_schemas(source, &source->setup, err));
    AP_TRY(ap_source_schema_undos(source, &source->undo, err));
    AP_TRY(note_replays(source, err));
    AP_TRY(add_frame_views(source, err));
    ap_assert(source->undo.count == source->setup.count); /* each of these has its own */
    for (size_t i = 0; i < session->replay_count;
         i++) /* macros and variables; views come with their users */
        if (session->replays[i].kind != AP_OBJECT_VIEW)
            AP_TRY(ap_texts_add(&source->setup, ap_str_from(session->replays[i].sql), err));
    for (size_t i = 0; i < needs->views.count; i++)
        AP_TRY(ap_texts_add(&source->setup, ap_str_from(needs->views.items[i]), err));

    if (is_first_schema(session->hive, session->box)) return APIARY_OK;
    AP_AUTO(ap_bytes) use = { 0 };
    AP_TRY(ap_source_use(source, &use, err));
    return ap_texts_add(&source->setup, ap_bytes_view(&use), err);
}

enum apiary_code ap_source_add_input(struct ap_source *source, const char *name,
    struct ArrowArrayStream *stream, struct apiary_error *err)
{
    if (source->input_count == AP_SOURCE_INPUTS_MAX)
        return ap_fail(err, APIARY_LIMIT, "a statement may read at most %d tables of the caller",
            AP_SOURCE_INPUTS_MAX);
    char *copy = ap_arena_dup(&source->arena, ap_str_from(name));
    if (copy == NULL) return ap_fail_memory(err, "a table of the caller");
    size_t index = source->input_count++;
    source->input_names[index] = copy;
    source->input_streams[index] = *stream;
    source->inputs[index] = &source->input_streams[index];
    memset(stream, 0, sizeof *stream);
    return APIARY_OK;
}

/* A function that writes into the engine's own books would be seen by the next statement. */
static bool is_apart(const struct ap_analysis *analysis)
{
    if (analysis->source->alone) return false;
    for (size_t i = 0; i < analysis->names.table_count; i++)
        if (analysis->targets[i].kind != AP_REFERENCE_INPUT) return false;
    return true;
}

/* A transaction of the engine writes to one database: are all views and schemas in one? */
static bool in_one_database(const struct ap_source *source)
{
    const struct ap_needs *needs = source->needs;
    if (needs->hives.count != 1) return needs->hives.count == 0;
    AP_AUTO(ap_bytes) text = { 0 };
    if (ap_bytes_printf(&text, NULL, "%s.", needs->hives.items[0]) != APIARY_OK) return false;
    struct ap_str hive = ap_bytes_view(&text);
    for (size_t i = 0; i < needs->schemas.count; i++)
        if (!ap_str_starts_with(ap_str_from(needs->schemas.items[i]), hive)) return false;
    for (size_t i = 0; i < needs->view_names.count; i++)
        if (!ap_str_starts_with(ap_str_from(needs->view_names.items[i]), hive)) return false;
    for (size_t i = 0; i < source->scan_count; i++)
        if (!ap_str_starts_with(ap_str_from(source->scans[i].view), hive)) return false;
    return true;
}

void ap_source_share(struct ap_source *source)
{
    source->kept = !source->alone && source->session->replay_count == 0 && in_one_database(source);
}

static enum apiary_code resolve_text(struct ap_source *source, struct ap_str text,
    const struct apiary_query *query, struct apiary_error *err)
{
    struct ap_session *session = source->session;
    struct ap_name3 home = { 0 };
    snprintf(home.hive, sizeof home.hive, "%s", session->hive);
    snprintf(home.box, sizeof home.box, "%s", session->box);
    AP_TRY(need_schema(source->needs, session->hive, session->box, err));
    source->apart = text.size == 0;
    if (text.size == 0) return APIARY_OK;
    __attribute__((cleanup(analysis_done))) struct ap_analysis analysis = {
        .source = source, .text = text, .query = query, .home = &home
    };
    AP_TRY(analyse(&analysis, source->needs, &source->sql, err));
    AP_TRY(list_hives(&analysis, source->needs, err));
    AP_TRY(ap_splice_apply(&analysis.qualified, text, &source->qualified, err));
    source->tree = analysis.tree; /* the names point into it */
    source->names = analysis.names;
    source->limited |= analysis.tree != NULL ? analysis.names.limit_below : ap_source_says_limit(text);
    source->apart = is_apart(&analysis);
    source->plain_frame =
        analysis.names.table_count == 1 && analysis.targets[0].kind == AP_REFERENCE_FRAME;
    analysis.tree = NULL;
    analysis.names.functions = (struct ap_texts) { 0 };
    return APIARY_OK;
}

void ap_needs_free(struct ap_needs *needs)
{
    if (needs == NULL) return;
    needs_done(needs);
    ap_free(needs);
}

enum apiary_code ap_source_resolve(struct ap_session *session, struct ap_str text,
    const struct apiary_query *query, struct ap_source **out, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_TRY(ap_source_new(session, &source, err));
    source->needs = ap_calloc(1, sizeof *source->needs);
    enum apiary_code code = source->needs != NULL ? resolve_text(source, text, query, err)
                                                  : ap_fail_memory(err, "a statement");
    if (code != APIARY_OK) {
        ap_source_close(source);
        return code;
    }
    *out = source;
    return APIARY_OK;
}

enum apiary_code ap_source_prepare(struct ap_source *source, struct apiary_error *err)
{
    /* Every snapshot is pinned: now a chamber may be held. */
    AP_TRY(ap_source_take(source, ap_source_width(source), err));
    ap_texts_done(&source->setup); /* of a try before */
    ap_texts_done(&source->undo);
    return add_setup(source, source->needs, err);
}

enum apiary_code ap_source_open(struct ap_session *session, struct ap_str text,
    const struct apiary_query *query, struct ap_source **out, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_TRY(ap_source_resolve(session, text, query, &source, err));
    enum apiary_code code = ap_source_prepare(source, err);
    if (code != APIARY_OK) {
        ap_source_close(source);
        return code;
    }
    *out = source;
    return APIARY_OK;
}
