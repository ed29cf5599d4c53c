/* From a resolved SELECT to a plan.
 *
 * The engine is asked over views without rows: no cell is opened. It turns trees into SQL and says
 * what columns come out; the cut (sql/cut.h) says how. At the end the engine binds the statement above
 * the merged relation: only if its columns are those of the original, name by name and type by type,
 * is the plan taken. Views of the catalogue are put into the tree first, so that what they read can be
 * divided too. */
#include "query/planner.h"
#include "query/temporary.h"
#include "sql/replay.h"

#include "core/alloc.h"

static enum apiary_code take_frames(struct ap_planner *planner, struct apiary_error *err)
{
    struct ap_plan *plan = planner->plan;
    struct ap_source *source = planner->source;
    plan->frame_count = ap_planner_frame_count(planner);
    plan->frames = ap_arena_alloc(&plan->arena, (plan->frame_count + 1) * sizeof *plan->frames);
    if (plan->frames == NULL) return ap_fail_memory(err, "a plan");
    memset(plan->frames, 0, (plan->frame_count + 1) * sizeof *plan->frames);
    for (size_t i = 0; i < planner->list_count; i++) plan->frames[source->scan_count + i] = planner->lists[i];
    for (size_t i = 0; i < source->scan_count; i++) {
        const struct ap_scan *scan = &source->scans[i];
        struct ap_plan_frame *frame = &plan->frames[i];
        frame->name = scan->entry.name;
        frame->id = scan->entry.id;
        frame->version = scan->snapshot->version;
        frame->bytes = scan->kept_bytes;
        AP_TRY(ap_planner_keep_text(planner, ap_str_from(scan->view), &frame->view, err));
        frame->cells = ap_arena_alloc(&plan->arena, (scan->kept + 1) * sizeof *frame->cells);
        if (frame->cells == NULL) return ap_fail_memory(err, "a plan");
        for (size_t j = 0; j < scan->snapshot->cell_count; j++)
            if (scan->reasons[j] == AP_KEPT)
                AP_TRY(ap_planner_keep_text(planner, scan->snapshot->cells[j].path,
                    &frame->cells[frame->cell_count++], err));
    }
    return APIARY_OK;
}

static enum apiary_code take_setup(struct ap_planner *planner, struct apiary_error *err)
{
    struct ap_plan *plan = planner->plan;
    AP_AUTO(ap_texts) setup = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_source_schemas(planner->source, &setup, err));
    plan->setup = ap_arena_alloc(&plan->arena, (setup.count + 1) * sizeof *plan->setup);
    if (plan->setup == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < setup.count; i++)
        AP_TRY(ap_planner_keep_text(
            planner, ap_str_from(setup.items[i]), &plan->setup[plan->setup_count++], err));
    AP_TRY(ap_source_use(planner->source, &text, err));
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&text), &plan->use, err));
    ap_bytes_clear(&text);
    AP_TRY(ap_source_settings(planner->source, &text, err));
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&text), &plan->settings, err));
    plan->values = "[]";
    return APIARY_OK;
}

/* What keeps a statement from being looked at at all. */
static const char *whole_reason(const struct ap_source *source)
{
    const struct ap_session *session = source->session;
    if (source->tree == NULL) return "the engine has no syntax tree of it";
    if (source->input_count > 0) return "it reads a table of the caller";
    if (source->scan_count + source->names.file_count == 0) return "it reads no frame and no file";
    if (source->scan_count > AP_PLAN_FRAMES_MAX) return "it names too many frames";
    for (size_t i = 0; i < source->scan_count; i++)
        if (ap_name_temporary(&source->scans[i].entry.name)) return "it reads a temporary frame";
    for (size_t i = 0; i < session->replay_count; i++)
        if (session->replays[i].kind == AP_OBJECT_MACRO)
            for (size_t j = 0; j < source->names.functions.count; j++)
                if (strcasecmp(session->replays[i].name, source->names.functions.items[j]) == 0)
                    return "it calls a macro of the session";
    return NULL;
}

static enum apiary_code make_plan(struct ap_planner *planner, struct apiary_error *err)
{
    struct ap_source *source = planner->source;
    AP_AUTO_JSON *tree = NULL;
    AP_AUTO(ap_bytes) text = { 0 };
    size_t last = 0;
    AP_TRY(take_setup(planner, err));
    AP_TRY(ap_planner_make_empty(planner, err));
    AP_TRY(ap_source_tree(source, ap_bytes_view(&source->sql), &tree, err));
    if (tree == NULL) return ap_planner_give_up(planner, "the engine has no syntax tree of it", err);
    AP_TRY(ap_planner_expand_views(planner, &tree, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    AP_TRY(ap_planner_take_files(planner, &tree, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    if (ap_planner_frame_count(planner) > AP_PLAN_FRAMES_MAX)
        return ap_planner_give_up(planner, "it names too many frames and lists of files", err);
    AP_TRY(ap_planner_fix_constants(planner, &tree, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    AP_TRY(ap_json_write_val(yyjson_doc_get_root(tree), &text, err));
    AP_AUTO(ap_bytes) expanded = { 0 };
    AP_TRY(ap_planner_sql(planner, &text, &expanded, err));
    AP_TRY(ap_planner_make_stage(planner, &text, ap_bytes_view(&expanded), true, 0, &last, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    planner->plan->stages = ap_arena_alloc(
        &planner->plan->arena, planner->plan->stage_count * sizeof *planner->plan->stages);
    if (planner->plan->stages == NULL) return ap_fail_memory(err, "a plan");
    memcpy(planner->plan->stages, planner->stages,
        planner->plan->stage_count * sizeof *planner->stages);
    const char *doubt = ap_replay_doubt(tree);
    planner->plan->replayable = doubt == NULL;
    planner->plan->doubt = doubt;
    planner->plan->plain = planner->plain;
    AP_TRY(take_frames(planner, err));
    return ap_planner_even(planner, err);
}

void ap_plan_made_done(struct ap_plan_made *made)
{
    ap_plan_free(made->plan);
    ap_bytes_done(&made->why);
    made->plan = NULL;
}

enum apiary_code ap_plan_make(struct ap_source *source, const struct ap_plan_wish *wish,
    struct ap_plan_made *out, struct apiary_error *err)
{
    const char *why = whole_reason(source);
    if (why != NULL) return ap_bytes_add_text(&out->why, why, err);
    struct ap_plan *plan = ap_calloc(1, sizeof *plan);
    if (plan == NULL) return ap_fail_memory(err, "a plan");
    struct ap_planner planner = { .source = source, .wish = wish, .plan = plan, .made = out };
    enum apiary_code code = ap_source_take(source, 1, err);
    if (code == APIARY_OK) code = make_plan(&planner, err);
    ap_source_rest(source);
    ap_texts_done(&planner.empty);
    ap_texts_done(&planner.firsts);
    if (code == APIARY_OK && !ap_planner_gave_up(&planner))
        out->plan = plan;
    else
        ap_plan_free(plan);
    return code;
}
