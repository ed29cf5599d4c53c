/* What the engine is asked while a plan is made: over views without rows, so that no cell is opened. */
#include "query/planner.h"

#include "core/alloc.h"

enum apiary_code ap_planner_give_up(struct ap_planner *planner, const char *why, struct apiary_error *err)
{
    if (planner->made->why.size > 0) return APIARY_OK; /* the first reason stands */
    return ap_bytes_add_text(&planner->made->why, why, err);
}

bool ap_planner_gave_up(const struct ap_planner *planner)
{
    return planner->made->why.size > 0;
}

static const char *keep(struct ap_planner *planner, struct ap_str text)
{
    return ap_arena_dup(&planner->plan->arena, text);
}

enum apiary_code ap_planner_keep_text(
    struct ap_planner *planner, struct ap_str text, const char **out, struct apiary_error *err)
{
    *out = keep(planner, text);
    return *out != NULL ? APIARY_OK : ap_fail_memory(err, "a plan");
}

enum apiary_code ap_planner_sql(
    struct ap_planner *planner, const struct ap_bytes *tree, struct ap_bytes *out, struct apiary_error *err)
{
    ap_bytes_clear(out);
    AP_TRY(ap_source_text_function(planner->source,
        "SELECT json_deserialize_sql($1::VARCHAR::JSON)", ap_bytes_view(tree), out, err));
    while (out->size > 0 && (out->data[out->size - 1] == ';' || out->data[out->size - 1] == ' '))
        out->data[--out->size] = '\0';
    return APIARY_OK;
}

/* Questions are asked one after the other: they share an engine instance, which keeps the schemas meanwhile. */
static enum apiary_code share(struct ap_source *source, struct apiary_error *err)
{
    ap_assert(source->undo.count == 0);
    ap_source_share(source);
    source->lasting = source->kept; /* over empty views of types that are in the question */
    return source->kept ? ap_source_schema_undos(source, &source->undo, err) : APIARY_OK;
}

static void unshare(struct ap_source *source)
{
    source->kept = source->lasting = false;
    ap_texts_done(&source->undo);
    memset(&source->undo, 0, sizeof source->undo);
}

/* The empty views and `extra` are what the next question is asked over, until `leave`. */
static enum apiary_code enter(struct ap_planner *planner, const struct ap_texts *extra, struct apiary_error *err)
{
    struct ap_texts *setup = &planner->source->setup;
    ap_assert(setup->count == 0);
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < planner->empty.count; i++)
        code = ap_texts_add(setup, ap_str_from(planner->empty.items[i]), err);
    for (size_t i = 0; code == APIARY_OK && i < planner->firsts.count; i++)
        if (planner->firsts.items[i][0] != '\0')
            code = ap_texts_add(setup, ap_str_from(planner->firsts.items[i]), err);
    for (size_t i = 0; code == APIARY_OK && extra != NULL && i < extra->count; i++)
        code = ap_texts_add(setup, ap_str_from(extra->items[i]), err);
    return code == APIARY_OK ? share(planner->source, err) : code;
}

static void leave(struct ap_planner *planner)
{
    unshare(planner->source);
    ap_texts_done(&planner->source->setup);
    memset(&planner->source->setup, 0, sizeof planner->source->setup);
}

enum apiary_code ap_planner_describe(struct ap_planner *planner, struct ap_str sql,
    const struct ap_texts *extra, const struct apiary_query *query, struct ap_described_list *out,
    struct apiary_error *err)
{
    enum apiary_code code = enter(planner, extra, err);
    if (code == APIARY_OK) code = ap_source_describe(planner->source, sql, query, out, err);
    leave(planner);
    return code;
}

/* "SELECT typeof(c0), … FROM (SELECT 1) LEFT JOIN (sql) AS q(c0, …) ON false": one row, and nothing is run. */
static enum apiary_code types_sql(struct ap_str sql, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) AP_TRY(ap_bytes_printf(out, err, "%stypeof(c%zu)", i > 0 ? ", " : "SELECT ", i));
    AP_TRY(ap_bytes_printf(out, err, " FROM (SELECT 1) AS one LEFT JOIN (" AP_FMT "\n) AS apiary_q(", AP_ARG(sql)));
    for (size_t i = 0; i < count; i++) AP_TRY(ap_bytes_printf(out, err, "%sc%zu", i > 0 ? ", " : "", i));
    return ap_bytes_add_text(out, ") ON false", err);
}

enum apiary_code ap_planner_has_null(struct ap_planner *planner, struct ap_str sql, const struct ap_texts *extra,
    const struct ap_described_list *columns, bool *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) ask = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    bool may = false;
    *out = false;
    for (size_t i = 0; i < columns->count; i++) may |= strstr(columns->items[i].type, "INTEGER") != NULL;
    if (!may) return APIARY_OK;
    AP_TRY(types_sql(sql, columns->count, &ask, err));
    enum apiary_code code = enter(planner, extra, err);
    if (code == APIARY_OK) code = ap_source_ask(planner->source, ap_bytes_view(&ask), NULL, &done, err);
    leave(planner);
    *out = code == APIARY_SQL || ap_str_find(ap_bytes_view(&done), AP_STR("\\\"NULL\\\"")) != SIZE_MAX;
    if (code != APIARY_SQL) return code;
    ap_error_clear(err);
    return APIARY_OK;
}

/* A question to which the engine may say no. */
enum apiary_code ap_planner_try_describe(struct ap_planner *planner, struct ap_str sql,
    const struct ap_texts *extra, struct ap_described_list *out, bool *bound,
    struct apiary_error *err)
{
    enum apiary_code code = ap_planner_describe(planner, sql, extra, NULL, out, err);
    *bound = code == APIARY_OK;
    if (code != APIARY_SQL) return code;
    ap_error_clear(err);
    return APIARY_OK;
}

enum apiary_code ap_planner_columns(const struct ap_described_list *list, bool types,
    struct ap_arena *arena, const char ***out, struct apiary_error *err)
{
    *out = ap_arena_alloc(arena, (list->count + 1) * sizeof **out);
    if (*out == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < list->count; i++) {
        (*out)[i] = ap_arena_dup(
            arena, ap_str_from(types ? list->items[i].type : list->items[i].name));
        if ((*out)[i] == NULL) return ap_fail_memory(err, "a plan");
    }
    return APIARY_OK;
}

/* ---- what the engine sees while we ask ---- */

/* "SELECT CAST(NULL AS t) AS n, … WHERE false" */
enum apiary_code ap_planner_nothing(const char *const *types, const char *const *names,
    size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) select = { 0 };
    for (size_t i = 0; i < count; i++) {
        char numbered[32];
        snprintf(numbered, sizeof numbered, "c%zu", i);
        AP_TRY(ap_nothing_column(&select, ap_str_from(types[i]), ap_str_from(names != NULL ? names[i] : numbered), err));
    }
    AP_TRY(ap_nothing_end(&select, err));
    return ap_bytes_add_str(out, ap_bytes_view(&select), err);
}

enum apiary_code ap_planner_make_empty(struct ap_planner *planner, struct apiary_error *err)
{
    struct ap_plan *plan = planner->plan;
    struct ap_source *source = planner->source;
    for (size_t i = 0; i < plan->setup_count; i++)
        AP_TRY(ap_texts_add(&planner->empty, ap_str_from(plan->setup[i]), err));
    for (size_t i = 0; i < source->scan_count; i++) {
        AP_AUTO(ap_bytes) select = { 0 };
        AP_TRY(ap_shape_nothing(&source->scans[i].snapshot->metadata, &select, err));
        AP_TRY(ap_texts_printf(&planner->empty, err, "CREATE VIEW %s AS %s", source->scans[i].view,
            ap_bytes_text(&select)));
    }
    return ap_texts_add(&planner->empty, ap_str_from(plan->use), err);
}
