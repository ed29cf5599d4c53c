/* Names, views and constants in the tree of a query that is to be divided. */
#include "query/planner.h"

#include "core/alloc.h"

#include <stdlib.h>

enum { VIEW_ROUNDS_MAX = 32 };

/* ---- names of a tree ---- */

/* The engine's whole name of a reference. */
static enum apiary_code engine_name(const struct ap_planner *planner, const struct ap_table_ref *ref,
    struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_session *session = planner->source->session;
    struct ap_str parts[3] = { ref->parts[0], ref->parts[1], ref->parts[2] };
    if (parts[0].size == 0) parts[0] = ap_str_from(ap_engine_catalog(session->hive));
    if (parts[1].size == 0) parts[1] = ap_str_from(session->box);
    for (int i = 0; i < 3; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ".", err));
        AP_TRY(ap_sql_name(out, parts[i], err));
    }
    return APIARY_OK;
}

/* Index of the scan or list that the reference means, SIZE_MAX: of none. */
enum apiary_code ap_planner_scan(const struct ap_planner *planner, const struct ap_table_ref *ref,
    size_t *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    AP_TRY(engine_name(planner, ref, &name, err));
    *out = SIZE_MAX;
    for (size_t i = 0; i < planner->source->scan_count; i++)
        if (ap_str_equal_nocase(
                ap_bytes_view(&name), ap_str_from(planner->source->scans[i].view)))
            *out = i;
    size_t list = ap_planner_list(planner, ref);
    if (list != SIZE_MAX) *out = planner->source->scan_count + list;
    return APIARY_OK;
}

static bool is_short(const struct ap_table_ref *ref)
{
    return ref->parts[0].size + ref->parts[1].size == 0;
}

size_t ap_planner_stage_of(const struct ap_table_ref *ref)
{
    struct ap_str prefix = AP_STR(AP_CUT_PREFIX "first_");
    uint64_t number = 0;
    if (!is_short(ref) || !ap_str_starts_with(ref->parts[2], prefix)) return SIZE_MAX;
    struct ap_str rest = { ref->parts[2].data + prefix.size, ref->parts[2].size - prefix.size };
    return ap_str_to_u64(rest, &number) ? (size_t)number : SIZE_MAX;
}

/* Which frames and which earlier stages a query reads, as rising lists. */
enum apiary_code ap_planner_reads(struct ap_planner *planner, const struct ap_bytes *tree_text,
    struct ap_plan_list *frames, struct ap_plan_list *stages, struct apiary_error *err)
{
    AP_AUTO_JSON *tree = NULL;
    AP_TRY(ap_tree_parse(ap_bytes_view(tree_text), &tree, err));
    struct ap_arena *arena = &planner->plan->arena;
    struct ap_tree_names names = { 0 };
    AP_TRY(ap_tree_names(arena, tree, &names, err));
    size_t scan_count = ap_planner_frame_count(planner);
    bool *read = ap_arena_alloc(arena, scan_count + AP_PLAN_STAGES_MAX + 1);
    frames->items = ap_arena_alloc(arena, (scan_count + 1) * sizeof *frames->items);
    stages->items = ap_arena_alloc(arena, AP_PLAN_STAGES_MAX * sizeof *stages->items);
    enum apiary_code code = read == NULL || frames->items == NULL || stages->items == NULL
                                ? ap_fail_memory(err, "a plan")
                                : APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < names.table_count; i++) {
        size_t stage = ap_planner_stage_of(&names.tables[i]), scan = SIZE_MAX;
        code = ap_planner_scan(planner, &names.tables[i], &scan, err);
        if (stage < AP_PLAN_STAGES_MAX)
            read[scan_count + stage] = true;
        else if (scan != SIZE_MAX)
            read[scan] = true;
    }
    ap_texts_done(&names.functions);
    if (code != APIARY_OK) return code;
    for (size_t i = 0; i < scan_count; i++)
        if (read[i]) frames->items[frames->count++] = i;
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++)
        if (read[scan_count + i]) stages->items[stages->count++] = i;
    return APIARY_OK;
}

/* ---- views ---- */

/* One round: every reference to a view becomes the view's query. *changed: there was one. */
static enum apiary_code expand_once(struct ap_planner *planner, yyjson_doc **tree, bool *changed,
    struct apiary_error *err)
{
    struct ap_arena *arena = &planner->plan->arena;
    struct ap_tree_names names = { 0 };
    AP_TRY(ap_tree_names(arena, *tree, &names, err));
    struct ap_cut_swap *views =
        ap_arena_alloc(arena, (names.table_count + 1) * sizeof *views);
    yyjson_doc **docs = ap_calloc(names.table_count + 1, sizeof *docs);
    size_t count = 0;
    enum apiary_code code =
        views == NULL || docs == NULL ? ap_fail_memory(err, "a plan") : APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < names.table_count; i++) {
        AP_AUTO(ap_bytes) name = { 0 };
        const char *body = NULL;
        if (is_short(&names.tables[i])) { /* a view of the session goes before one of the catalogue */
            code = ap_sql_name(&name, names.tables[i].parts[2], err);
            if (code == APIARY_OK)
                body = ap_needs_view(planner->source->needs, ap_bytes_view(&name));
        }
        ap_bytes_clear(&name);
        if (code == APIARY_OK && body == NULL) {
            code = engine_name(planner, &names.tables[i], &name, err);
            if (code == APIARY_OK)
                body = ap_needs_view(planner->source->needs, ap_bytes_view(&name));
        }
        if (code != APIARY_OK || body == NULL) continue;
        code = ap_source_tree(planner->source, ap_str_from(body), &docs[count], err);
        if (code == APIARY_OK && docs[count] == NULL) /* what has no tree stays a view: no plan */
            code = ap_planner_give_up(planner, "it uses a view whose query has no syntax tree", err);
        if (code == APIARY_OK && docs[count] != NULL)
            views[count] =
                (struct ap_cut_swap) { .node = names.tables[i].node, .tree = docs[count] };
        count += code == APIARY_OK && docs[count] != NULL;
    }
    AP_AUTO(ap_bytes) text = { 0 };
    *changed = code == APIARY_OK && count > 0 && !ap_planner_gave_up(planner);
    if (*changed) code = ap_cut_swap_nodes(*tree, views, count, &text, err);
    for (size_t i = 0; docs != NULL && i < names.table_count; i++) yyjson_doc_free(docs[i]);
    ap_free(docs);
    ap_texts_done(&names.functions);
    if (code != APIARY_OK || !*changed) return code;
    yyjson_doc *expanded = NULL;
    AP_TRY(ap_tree_parse(ap_bytes_view(&text), &expanded, err));
    yyjson_doc_free(*tree);
    *tree = expanded;
    return APIARY_OK;
}

enum apiary_code ap_planner_expand_views(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err)
{
    bool changed = true;
    for (int round = 0; changed && round < VIEW_ROUNDS_MAX && !ap_planner_gave_up(planner); round++)
        AP_TRY(expand_once(planner, tree, &changed, err));
    return changed ? ap_planner_give_up(planner, "its views are nested too deeply", err) : APIARY_OK;
}

/* ---- constants ---- */

static bool is_column(void *context, struct ap_str name)
{
    const struct ap_planner *planner = context;
    for (size_t i = 0; i < planner->source->scan_count; i++)
        if (ap_schema_find(&planner->source->scans[i].snapshot->metadata.schema, name) != SIZE_MAX)
            return true;
    bool exact = false;
    return ap_planner_list_column(planner, name, &exact);
}

/* The values: text and type of each in turn, as a row of the engine's. *row stays NULL when the engine
 * does not give one: a "constant" that has rows' columns in it. */
static enum apiary_code look_up(struct ap_planner *planner, const struct ap_cut_constants *constants,
    yyjson_doc **answer, yyjson_val **row, struct apiary_error *err)
{
    struct ap_source *source = planner->source;
    struct ap_session *session = source->session;
    AP_AUTO(ap_bytes) tree = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_TRY(ap_cut_constants_tree(constants, &tree, err));
    AP_TRY(ap_planner_sql(planner, &tree, &sql, err));
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < planner->plan->setup_count; i++)
        code = ap_texts_add(&source->setup, ap_str_from(planner->plan->setup[i]), err);
    for (size_t i = 0; code == APIARY_OK && i < session->replay_count; i++)
        if (session->replays[i].kind == AP_OBJECT_VARIABLE)
            code = ap_texts_add(&source->setup, ap_str_from(session->replays[i].sql), err);
    if (code == APIARY_OK)
        code = ap_texts_add(&source->setup, ap_str_from(planner->plan->use), err);
    if (code == APIARY_OK)
        code = ap_source_ask(source, ap_bytes_view(&sql), planner->wish->query, &done, err);
    ap_texts_done(&source->setup);
    memset(&source->setup, 0, sizeof source->setup);
    if (code == APIARY_SQL) {
        ap_error_clear(err);
        return APIARY_OK;
    }
    if (code != APIARY_OK) return code;
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's answer", answer, err));
    *row = yyjson_arr_get_first(ap_json_member(yyjson_doc_get_root(*answer), "rows"));
    if (yyjson_arr_size(*row) != constants->count * 2)
        return ap_fail(err, APIARY_CORRUPT, "a chamber gave other constants than it was asked for");
    return APIARY_OK;
}

/* SELECT CAST('text' AS type) as a tree. */
static enum apiary_code literal_tree(struct ap_planner *planner, yyjson_val *text, yyjson_val *type,
    yyjson_doc **out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    if (!yyjson_is_str(type))
        return ap_fail(err, APIARY_CORRUPT, "a chamber gave a constant without a type");
    AP_TRY(ap_bytes_add_text(&sql, "SELECT CAST(", err));
    if (yyjson_is_str(text))
        AP_TRY(ap_sql_string(
            &sql, (struct ap_str) { yyjson_get_str(text), yyjson_get_len(text) }, err));
    else
        AP_TRY(ap_bytes_add_text(&sql, "NULL", err));
    AP_TRY(ap_bytes_printf(&sql, err, " AS %s)", yyjson_get_str(type)));
    return ap_source_tree(planner->source, ap_bytes_view(&sql), out, err);
}

static enum apiary_code swap_constants(struct ap_planner *planner,
    const struct ap_cut_constants *constants, yyjson_val *row, yyjson_doc **tree,
    struct apiary_error *err)
{
    struct ap_cut_swap *swaps = ap_calloc(constants->count, sizeof *swaps);
    AP_AUTO(ap_bytes) text = { 0 };
    yyjson_doc *swapped = NULL;
    if (swaps == NULL) return ap_fail_memory(err, "a plan");
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < constants->count; i++) {
        swaps[i].node = constants->nodes[i];
        code = literal_tree(planner, yyjson_arr_get(row, i * 2), yyjson_arr_get(row, i * 2 + 1),
            &swaps[i].tree, err);
        if (code == APIARY_OK && swaps[i].tree == NULL)
            code = ap_planner_give_up(planner, "a constant in it cannot be written down", err);
    }
    if (code == APIARY_OK && !ap_planner_gave_up(planner))
        code = ap_cut_swap_nodes(*tree, swaps, constants->count, &text, err);
    for (size_t i = 0; i < constants->count; i++) yyjson_doc_free(swaps[i].tree);
    ap_free(swaps);
    if (code != APIARY_OK || ap_planner_gave_up(planner)) return code;
    AP_TRY(ap_tree_parse(ap_bytes_view(&text), &swapped, err));
    yyjson_doc_free(*tree);
    *tree = swapped;
    return APIARY_OK;
}

/* Parameters and constants of the moment are looked up once: every part sees the same. */
enum apiary_code ap_planner_fix_constants(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err)
{
    struct ap_cut_options options = { .is_column = is_column, .context = planner };
    struct ap_cut_constants constants = { 0 };
    AP_AUTO_JSON *answer = NULL;
    yyjson_val *row = NULL;
    AP_TRY(ap_cut_find_constants(&planner->plan->arena, *tree, &options, &constants, err));
    if (constants.too_many) return ap_planner_give_up(planner, "it has too many constants of the moment", err);
    if (constants.count == 0) return APIARY_OK;
    AP_TRY(look_up(planner, &constants, &answer, &row, err));
    if (row == NULL) return ap_planner_give_up(planner, "it depends on the moment at which it runs", err);
    return swap_constants(planner, &constants, row, tree, err);
}
