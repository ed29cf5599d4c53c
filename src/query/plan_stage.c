/* One stage of a plan: the cut, its SQL, its tasks; what must run before it becomes stages of its own. */
#include "query/planner.h"

#include "core/alloc.h"

enum { LEVEL_MAX = 3, BOUND_MAX = 32, REFERENCES_MAX = 8 };

/* ---- tasks ---- */

/* Sizes of the cells that are read of a scan or a list, put behind those that are there. */
static void add_sizes(const struct ap_planner *planner, size_t frame, uint64_t *sizes, size_t *count)
{
    size_t scans = planner->source->scan_count;
    if (frame >= scans) {
        const struct ap_plan_frame *list = &planner->lists[frame - scans];
        for (size_t i = 0; i < list->cell_count; i++) sizes[(*count)++] = list->files->sizes[i];
        return;
    }
    const struct ap_scan *scan = &planner->source->scans[frame];
    for (size_t i = 0; i < scan->snapshot->cell_count; i++) /* in commit order */
        if (scan->reasons[i] == AP_KEPT) sizes[(*count)++] = (uint64_t)scan->snapshot->cells[i].size_bytes;
}

static enum apiary_code make_tasks(
    struct ap_planner *planner, struct ap_plan_stage *stage, struct apiary_error *err)
{
    size_t scans = planner->source->scan_count, all = 0, count = 0;
    for (size_t i = 0; i < stage->shard_count; i++)
        all += stage->shards[i] < scans ? planner->source->scans[stage->shards[i]].kept
                                        : planner->lists[stage->shards[i] - scans].cell_count;
    AP_AUTO_FREE uint64_t *sizes = ap_calloc(all + 1, sizeof *sizes);
    if (sizes == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < stage->shard_count; i++) add_sizes(planner, stage->shards[i], sizes, &count);
    ap_assert(count == all);
    struct ap_plan_deal deal = { .session = planner->source->session,
        .sizes = sizes, .count = all, .wanted = planner->wish->tasks };
    return ap_plan_deal(&deal, &planner->plan->arena, &stage->tasks, &stage->task_count, err);
}

/* ---- one stage ---- */

static bool exact_column(void *context, struct ap_str name)
{
    const struct ap_planner *planner = context;
    bool exact = true, found = ap_planner_list_column(planner, name, &exact);
    if (!exact) return false;
    for (size_t i = 0; i < planner->source->scan_count; i++) {
        const struct ap_schema *schema = &planner->source->scans[i].snapshot->metadata.schema;
        size_t column = ap_schema_find(schema, name);
        if (column == SIZE_MAX) continue;
        found = true;
        switch (schema->fields[column].type.kind) {
            case AP_TYPE_BYTE:
            case AP_TYPE_SHORT:
            case AP_TYPE_INTEGER:
            case AP_TYPE_LONG:
            case AP_TYPE_DECIMAL: break;
            default: return false;
        }
    }
    return found;
}

/* A statement of ours as one of the engine's: tables that are neither frames nor stages keep it whole.
 */
static enum apiary_code tables_of(struct ap_planner *planner, const struct ap_tree_names *names,
    struct ap_cut_table **out, struct apiary_error *err)
{
    *out = ap_arena_alloc(&planner->plan->arena, (names->table_count + 1) * sizeof **out);
    if (*out == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < names->table_count; i++) {
        size_t scan = SIZE_MAX;
        if (ap_planner_stage_of(&names->tables[i]) != SIZE_MAX) continue;
        AP_TRY(ap_planner_scan(planner, &names->tables[i], &scan, err));
        if (scan == SIZE_MAX)
            AP_TRY(ap_planner_give_up(planner, "it reads a table that is no frame", err));
        else
            (*out)[i] = (struct ap_cut_table) {
                .is_frame = true, .bytes = ap_planner_frame_bytes(planner, scan)
            };
    }
    return APIARY_OK;
}

struct staging {
    struct ap_planner *planner;
    struct ap_plan_stage *stage;
    yyjson_doc *tree;
    struct ap_tree_names names;
    struct ap_cut_options options;
    yyjson_val *bound[BOUND_MAX];
    struct ap_cut cut;
    const char **first_tables;
    struct ap_described_list original;
    bool last;
    int level;
};

static void staging_done(struct staging *staging)
{
    ap_described_list_done(&staging->original);
    ap_texts_done(&staging->names.functions);
    yyjson_doc_free(staging->tree);
}

/* Runs what must be first; false in *again when a query turned out to need the rows around it: then
 * it is noted and the cut is found anew. */
static enum apiary_code make_firsts(
    struct staging *staging, bool *again, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    struct ap_arena *arena = &planner->plan->arena;
    size_t count = staging->cut.first_count;
    struct ap_bytes *trees = ap_calloc(count + 1, sizeof *trees);
    struct ap_bytes *texts = ap_calloc(count + 1, sizeof *texts);
    enum apiary_code code =
        trees == NULL || texts == NULL ? ap_fail_memory(err, "a plan") : APIARY_OK;
    *again = false;
    for (size_t i = 0; code == APIARY_OK && !*again && i < count; i++) {
        AP_AUTO(ap_described_list) columns = { 0 };
        bool bound = false;
        code = ap_cut_first_tree(&staging->cut, i, &trees[i], err);
        if (code == APIARY_OK) code = ap_planner_sql(planner, &trees[i], &texts[i], err);
        if (code == APIARY_OK)
            code = ap_planner_try_describe(planner, ap_bytes_view(&texts[i]), NULL, &columns, &bound, err);
        if (code != APIARY_OK || bound) continue;
        *again = true;
        if (staging->options.bound_count == BOUND_MAX)
            code = ap_planner_give_up(planner, "too many queries in it depend on the rows around them", err);
        else
            staging->bound[staging->options.bound_count++] = staging->cut.firsts[i].node;
    }
    staging->first_tables = ap_arena_alloc(arena, (count + 1) * sizeof *staging->first_tables);
    if (code == APIARY_OK && staging->first_tables == NULL) code = ap_fail_memory(err, "a plan");
    for (size_t i = 0; code == APIARY_OK && !*again && !ap_planner_gave_up(planner) && i < count; i++) {
        size_t stage = 0;
        AP_AUTO(ap_bytes) name = { 0 };
        code = ap_planner_make_stage(
            planner, &trees[i], ap_bytes_view(&texts[i]), false, staging->level + 1, &stage, err);
        if (code == APIARY_OK)
            code = ap_bytes_printf(&name, err, AP_CUT_PREFIX "first_%zu", stage);
        if (code == APIARY_OK)
            code = ap_planner_keep_text(planner, ap_bytes_view(&name), &staging->first_tables[i], err);
    }
    for (size_t i = 0; i < count; i++) {
        if (trees != NULL) ap_bytes_done(&trees[i]);
        if (texts != NULL) ap_bytes_done(&texts[i]);
    }
    ap_free(trees);
    ap_free(texts);
    return code;
}

static enum apiary_code find_cut(struct staging *staging, struct apiary_error *err)
{
    bool again = true;
    while (again && !ap_planner_gave_up(staging->planner)) {
        AP_TRY(ap_cut_find(&staging->planner->plan->arena, staging->tree, &staging->names,
            &staging->options, &staging->cut, err));
        again = false;
        if (staging->cut.kind == AP_CUT_WHOLE) break;
        if (staging->cut.first_count > 0 && staging->level >= LEVEL_MAX)
            return ap_cut_whole(&staging->cut, "its queries are nested too deeply");
        AP_TRY(make_firsts(staging, &again, err));
    }
    return APIARY_OK;
}

/* Columns of one of the cut's own statements; *bound false: the engine does not take it. */
static enum apiary_code ask(struct staging *staging,
    enum apiary_code (*tree_of)(const struct ap_cut *, struct ap_bytes *, struct apiary_error *),
    struct ap_described_list *out, bool *bound, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tree = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    enum apiary_code code = tree_of(&staging->cut, &tree, err);
    *bound = false;
    if (code == APIARY_UNSUPPORTED) {
        ap_error_clear(err);
        return APIARY_OK;
    }
    if (code != APIARY_OK) return code;
    AP_TRY(ap_planner_sql(staging->planner, &tree, &sql, err));
    return ap_planner_try_describe(staging->planner, ap_bytes_view(&sql), NULL, out, bound, err);
}

/* The cut's references as the stage's shards, and a view without rows of each. */
static enum apiary_code take_shards(struct staging *staging, struct ap_texts *views, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    struct ap_plan_stage *stage = staging->stage;
    const struct ap_cut *cut = &staging->cut;
    stage->shards = ap_arena_alloc(&planner->plan->arena, cut->reference_count * sizeof *stage->shards);
    if (stage->shards == NULL) return ap_fail_memory(err, "a plan");
    stage->shard_count = cut->reference_count;
    for (size_t i = 0; i < cut->reference_count; i++) {
        AP_AUTO(ap_bytes) select = { 0 };
        char name[AP_CUT_SHARD_SIZE];
        ap_cut_shard_name(i, name);
        AP_TRY(ap_planner_scan(planner, &staging->names.tables[cut->references[i]], &stage->shards[i], err));
        AP_TRY(ap_planner_frame_nothing(planner, stage->shards[i], &select, err));
        AP_TRY(ap_texts_printf(views, err, "CREATE TEMP VIEW %s AS %s", name, ap_bytes_text(&select)));
    }
    return APIARY_OK;
}

static bool same_columns(const struct ap_described_list *a, const struct ap_described_list *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].name, b->items[i].name) != 0 ||
            strcmp(a->items[i].type, b->items[i].type) != 0)
            return false;
    return true;
}

/* The statement above, bound over a merged relation without rows, must give what the original gives.
 */
static enum apiary_code check_above(struct staging *staging, struct ap_str above,
    const char *const *types, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    AP_AUTO(ap_texts) extra = { 0 };
    AP_AUTO(ap_bytes) partials = { 0 };
    AP_AUTO(ap_described_list) found = { 0 };
    bool bound = false;
    if (planner->wish->mistakes & AP_CUT_MISTAKE_COUNT_TYPE) return APIARY_OK;
    AP_TRY(ap_planner_nothing(types, NULL, ap_cut_partial_count(&staging->cut), &partials, err));
    AP_TRY(ap_texts_printf(&extra, err, "CREATE TEMP VIEW " AP_CUT_PARTIALS " AS %s",
        ap_bytes_text(&partials)));
    AP_TRY(ap_texts_add(&extra, ap_str_from(staging->stage->merged_view), err));
    AP_TRY(ap_planner_try_describe(planner, above, &extra, &found, &bound, err));
    if (!bound || !same_columns(&staging->original, &found))
        return ap_cut_whole(&staging->cut, "its parts would not give the same columns");
    return APIARY_OK;
}

static enum apiary_code pack(struct staging *staging, struct ap_str sql, struct ap_bytes *out,
    struct apiary_error *err)
{
    const char **types = NULL;
    bool travels = true;
    if (staging->last) return ap_bytes_add_str(out, sql, err);
    AP_TRY(ap_planner_columns(&staging->original, true, &staging->planner->plan->arena, &types, err));
    AP_TRY(ap_cut_pack_sql(sql, types, staging->original.count, out, &travels, err));
    return travels ? APIARY_OK
                   : ap_planner_give_up(staging->planner, "a query in it has a type that cannot be sent", err);
}

static enum apiary_code finish_parts(struct staging *staging, const struct ap_cut_parts *parts,
    struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    struct ap_plan_stage *stage = staging->stage;
    AP_AUTO(ap_bytes) probe = { 0 };
    AP_AUTO(ap_bytes) fragment = { 0 };
    AP_AUTO(ap_bytes) above = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) view = { 0 };
    AP_AUTO(ap_bytes) packed = { 0 };
    AP_AUTO(ap_texts) extra = { 0 };
    AP_AUTO(ap_described_list) columns = { 0 };
    const char **types = NULL;
    bool bound = false, nulls = false;
    AP_TRY(take_shards(staging, &extra, err));
    AP_TRY(ap_planner_sql(planner, &parts->probe, &probe, err));
    AP_TRY(ap_planner_try_describe(planner, ap_bytes_view(&probe), &extra, &columns, &bound, err));
    if (!bound) return ap_cut_whole(&staging->cut, "the engine does not take its parts");
    if (!staging->cut.plain) AP_TRY(ap_planner_has_null(planner, ap_bytes_view(&probe), &extra, &columns, &nulls, err));
    if (nulls) return ap_cut_whole(&staging->cut, "a column of its parts is NULL and has no type");
    AP_TRY(ap_planner_columns(&columns, true, &planner->plan->arena, &types, err));
    AP_TRY(ap_planner_sql(planner, &parts->fragment, &fragment, err));
    AP_TRY(ap_cut_fragment_sql(
        &staging->cut, ap_bytes_view(&fragment), types, columns.count, &text, err));
    if (staging->cut.kind == AP_CUT_WHOLE) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(&view, "CREATE TEMP VIEW " AP_CUT_MERGED " AS ", err));
    AP_TRY(ap_cut_merged_sql(&staging->cut, types, columns.count, &view, err));
    if (staging->cut.kind == AP_CUT_WHOLE) return APIARY_OK;
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&text), &stage->fragment_sql, err));
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&view), &stage->merged_view, err));
    AP_TRY(ap_planner_sql(planner, &parts->above, &above, err));
    AP_TRY(check_above(staging, ap_bytes_view(&above), types, err));
    if (staging->cut.kind == AP_CUT_WHOLE) return APIARY_OK;
    AP_TRY(pack(staging, ap_bytes_view(&above), &packed, err));
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&packed), &stage->merge_sql, err));
    AP_TRY(ap_planner_reads(planner, &parts->fragment, &stage->fragment_frames, &stage->fragment_stages, err));
    AP_TRY(ap_planner_reads(planner, &parts->above, &stage->merge_frames, &stage->merge_stages, err));
    stage->kind = staging->cut.kind;
    return make_tasks(planner, stage, err);
}

static enum apiary_code make_parts(struct staging *staging, struct apiary_error *err)
{
    struct ap_arena *arena = &staging->planner->plan->arena;
    AP_AUTO(ap_described_list) from = { 0 };
    AP_AUTO(ap_described_list) node = { 0 };
    AP_AUTO(ap_cut_parts) parts = { 0 };
    bool bound = true;
    const char **from_names = NULL, **node_names = NULL;
    if (staging->cut.wants_from) AP_TRY(ask(staging, ap_cut_from_tree, &from, &bound, err));
    if (bound && !staging->cut.at_root)
        AP_TRY(ask(staging, ap_cut_node_tree, &node, &bound, err));
    if (!bound)
        return ap_cut_whole(&staging->cut, "what would be divided depends on the rows around it");
    AP_TRY(ap_planner_columns(&from, false, arena, &from_names, err));
    const struct ap_described_list *own = staging->cut.at_root ? &staging->original : &node;
    AP_TRY(ap_planner_columns(own, false, arena, &node_names, err));
    struct ap_cut_inputs inputs = { .from_names = from_names,
        .from_count = from.count,
        .node_names = node_names,
        .node_count = own->count,
        .first_tables = staging->first_tables };
    AP_TRY(ap_cut_build(&staging->cut, &inputs, &parts, err));
    return staging->cut.kind == AP_CUT_WHOLE ? APIARY_OK : finish_parts(staging, &parts, err);
}

/* These references did not do: next time each by itself, then not at all. */
static void rule_out(const struct ap_cut *cut, bool *alone, bool *excluded)
{
    bool *flags = cut->reference_count > 1 ? alone : excluded;
    for (size_t i = 0; i < cut->reference_count; i++) flags[cut->references[i]] = true;
}

/* One reference after the other, until the engine takes the parts; what was planned for one that did not
 * do is forgotten. */
static enum apiary_code try_references(struct staging *staging, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    const char *why = NULL;
    size_t stages = planner->plan->stage_count;
    bool *excluded = ap_arena_alloc(&planner->plan->arena, staging->names.table_count + 1);
    bool *alone = ap_arena_alloc(&planner->plan->arena, staging->names.table_count + 1);
    if (excluded == NULL || alone == NULL) return ap_fail_memory(err, "a plan");
    staging->options.excluded = excluded;
    staging->options.alone = alone;
    for (int tries = 0; tries < REFERENCES_MAX; tries++) {
        AP_TRY(find_cut(staging, err));
        if (ap_planner_gave_up(planner) || staging->cut.kind == AP_CUT_WHOLE) break;
        struct ap_cut tried = staging->cut;
        AP_TRY(make_parts(staging, err));
        if (ap_planner_gave_up(planner) || staging->cut.kind != AP_CUT_WHOLE) return APIARY_OK;
        if (why == NULL) why = staging->cut.why;
        rule_out(&tried, alone, excluded);
        planner->plan->stage_count = stages;
        while (planner->firsts.count > stages)
            ap_free(planner->firsts.items[--planner->firsts.count]);
        *staging->stage = (struct ap_plan_stage) { 0 };
    }
    if (why != NULL) staging->cut.why = why;
    return APIARY_OK;
}

/* A stage that is its query alone. */
static enum apiary_code make_whole(struct staging *staging, const struct ap_bytes *tree_text,
    struct ap_str sql, struct apiary_error *err)
{
    struct ap_plan_stage *stage = staging->stage;
    AP_AUTO(ap_bytes) packed = { 0 };
    *stage = (struct ap_plan_stage) { .kind = AP_CUT_WHOLE };
    AP_TRY(pack(staging, sql, &packed, err));
    AP_TRY(ap_planner_keep_text(staging->planner, ap_bytes_view(&packed), &stage->merge_sql, err));
    return ap_planner_reads(
        staging->planner, tree_text, &stage->merge_frames, &stage->merge_stages, err);
}

static enum apiary_code take_columns(struct staging *staging, size_t index, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    struct ap_plan_stage *stage = staging->stage;
    const char **names = NULL, **types = NULL;
    AP_TRY(ap_planner_columns(&staging->original, false, &planner->plan->arena, &names, err));
    AP_TRY(ap_planner_columns(&staging->original, true, &planner->plan->arena, &types, err));
    stage->column_count = staging->original.count;
    stage->columns =
        ap_arena_alloc(&planner->plan->arena, (stage->column_count + 1) * sizeof *stage->columns);
    if (stage->columns == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < stage->column_count; i++)
        stage->columns[i] = (struct ap_plan_column) { names[i], types[i] };
    if (staging->last) return ap_texts_add(&planner->firsts, AP_STR(""), err);
    char input[64];
    snprintf(input, sizeof input, AP_CUT_PREFIX "result_%zu", index);
    AP_AUTO(ap_bytes) view = { 0 };
    AP_AUTO(ap_bytes) nothing = { 0 };
    AP_TRY(ap_bytes_printf(&view, err, "CREATE TEMP VIEW " AP_CUT_PREFIX "first_%zu AS ", index));
    AP_TRY(ap_bytes_add_str(&nothing, ap_bytes_view(&view), err));
    AP_TRY(ap_cut_unpack_sql(input, types, names, stage->column_count, &view, err));
    AP_TRY(ap_planner_nothing(types, names, stage->column_count, &nothing, err));
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&view), &stage->result_view, err));
    return ap_texts_add(&planner->firsts, ap_bytes_view(&nothing), err);
}

/* The statement's own columns are those of the text that the user typed, over views and all. */
static enum apiary_code describe_original(
    struct staging *staging, struct ap_str sql, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    AP_AUTO(ap_texts) views = { 0 };
    if (!staging->last) return ap_planner_describe(planner, sql, NULL, NULL, &staging->original, err);
    AP_TRY(ap_source_views(planner->source, &views, err));
    return ap_planner_describe(planner, ap_bytes_view(&planner->source->sql), &views, planner->wish->query,
        &staging->original, err);
}

static enum apiary_code fill_stage(struct staging *staging, const struct ap_bytes *tree_text,
    struct ap_str sql, struct apiary_error *err)
{
    struct ap_planner *planner = staging->planner;
    struct ap_cut_table *tables = NULL;
    AP_TRY(ap_tree_parse(ap_bytes_view(tree_text), &staging->tree, err));
    AP_TRY(ap_tree_names(&planner->plan->arena, staging->tree, &staging->names, err));
    AP_TRY(tables_of(planner, &staging->names, &tables, err));
    staging->options = (struct ap_cut_options) { .tables = tables,
        .exact_column = exact_column,
        .context = planner,
        .first_bytes =
            planner->wish->first_bytes > 0 ? planner->wish->first_bytes : ap_plan_task_bytes(planner->source->session),
        .bound = staging->bound,
        .mistakes = planner->wish->mistakes };
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    /* Before it is described: DESCRIBE and SUMMARIZE cannot be. */
    const char *why = staging->last ? ap_cut_refusal(staging->tree, &staging->names, &staging->options) : NULL;
    if (why != NULL) return ap_planner_give_up(planner, why, err);
    AP_TRY(describe_original(staging, sql, err));
    bool nulls = false;
    if (!staging->last) AP_TRY(ap_planner_has_null(planner, sql, NULL, &staging->original, &nulls, err));
    if (nulls) return ap_planner_give_up(planner, "a query in it has a column that is NULL and has no type", err);
    AP_TRY(try_references(staging, err));
    if (ap_planner_gave_up(planner) || staging->cut.kind != AP_CUT_WHOLE) return APIARY_OK;
    return staging->last ? ap_planner_give_up(planner, staging->cut.why, err)
                         : make_whole(staging, tree_text, sql, err);
}

enum apiary_code ap_planner_make_stage(struct ap_planner *planner, const struct ap_bytes *tree_text,
    struct ap_str sql, bool last, int level, size_t *out, struct apiary_error *err)
{
    struct ap_plan_stage stage = { 0 };
    __attribute__((cleanup(staging_done))) struct staging staging = {
        .planner = planner, .stage = &stage, .last = last, .level = level
    };
    AP_TRY(fill_stage(&staging, tree_text, sql, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    if (planner->plan->stage_count == AP_PLAN_STAGES_MAX)
        return ap_planner_give_up(planner, "it has too many queries that would be run first", err);
    size_t index = planner->plan->stage_count;
    if (last) planner->plain = staging.cut.plain;
    AP_TRY(take_columns(&staging, index, err));
    planner->stages[index] = stage;
    planner->plan->stage_count++;
    *out = index;
    return APIARY_OK;
}
