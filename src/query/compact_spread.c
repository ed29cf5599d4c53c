/* Compaction by all nodes: its bins as the tasks of a plan that writes. What is announced, taken over and
 * committed once for good is the same as for INSERT … SELECT (query/spread_write.h). */
#include "query/compact.h"
#include "query/spread_write.h"
#include "query/temporary.h"

#include "core/alloc.h"

/* The frame, with the cells of all bins, one bin behind the other. */
static enum apiary_code add_frame(const struct ap_compact_order *order, struct ap_plan *plan, struct apiary_error *err)
{
    const struct ap_target *target = order->work->target;
    const struct ap_compact_plan *bins = order->plan;
    struct ap_plan_frame *frame = ap_arena_alloc(&plan->arena, sizeof *frame);
    if (frame == NULL) return ap_fail_memory(err, "a plan");
    *frame = (struct ap_plan_frame) { .name = target->entry.name, .id = target->entry.id, .version = target->base->version, .view = "",
        .bytes = bins->all.bytes };
    frame->cells = ap_arena_alloc(&plan->arena, (bins->all.count + 1) * sizeof *frame->cells);
    if (frame->cells == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < bins->bin_count; i++) {
        const struct ap_bin *bin = &bins->bins[i];
        for (size_t j = bin->first; j < bin->first + bin->count; j++)
            AP_TRY(ap_plan_keep(plan, target->base->cells[bins->order[j]].path, &frame->cells[frame->cell_count++], err));
    }
    plan->frames = frame;
    plan->frame_count = 1;
    return APIARY_OK;
}

/* Bins dealt out; in the plan a task is neighbouring cells. */
static enum apiary_code add_stage(const struct ap_compact_order *order, struct ap_plan *plan, struct apiary_error *err)
{
    const struct ap_compact_plan *bins = order->plan;
    struct ap_plan_stage *stage = ap_arena_alloc(&plan->arena, sizeof *stage);
    AP_AUTO_FREE uint64_t *sizes = ap_calloc(bins->bin_count + 1, sizeof *sizes);
    size_t *shard = ap_arena_alloc(&plan->arena, sizeof *shard);
    if (stage == NULL || sizes == NULL || shard == NULL) return ap_fail_memory(err, "a plan");
    *shard = 0;
    *stage = (struct ap_plan_stage) { .kind = AP_CUT_GATHER, .fragment_sql = "", .merged_view = "", .merge_sql = "",
        .shards = shard, .shard_count = 1 };
    for (size_t i = 0; i < bins->bin_count; i++) sizes[i] = bins->bins[i].bytes;
    struct ap_plan_deal deal = { .session = order->work->session, .sizes = sizes, .count = bins->bin_count,
        .wanted = ap_plan_wish_of_tests().tasks };
    AP_TRY(ap_plan_deal(&deal, &plan->arena, &stage->tasks, &stage->task_count, err));
    size_t at = 0, bin = 0;
    for (size_t i = 0; i < stage->task_count; i++) {
        struct ap_plan_task *task = &stage->tasks[i];
        size_t cells = 0;
        for (size_t j = 0; j < task->count; j++) cells += bins->bins[bin++].count;
        task->first = at;
        task->count = cells;
        at += cells;
    }
    plan->stages = stage;
    plan->stage_count = 1;
    return APIARY_OK;
}

static enum apiary_code add_compaction(
    const struct ap_compact_order *order, struct ap_plan *plan, struct ap_plan_compaction **out, struct apiary_error *err)
{
    const struct ap_texts *cluster_by = order->work->cluster_by;
    struct ap_plan_compaction *compaction = ap_arena_alloc(&plan->arena, sizeof *compaction);
    if (compaction == NULL) return ap_fail_memory(err, "a plan");
    *compaction = (struct ap_plan_compaction) { .bin_count = order->plan->bin_count };
    compaction->bins = ap_arena_alloc(&plan->arena, (compaction->bin_count + 1) * sizeof *compaction->bins);
    compaction->cluster_by = ap_arena_alloc(&plan->arena, (cluster_by->count + 1) * sizeof *compaction->cluster_by);
    if (compaction->bins == NULL || compaction->cluster_by == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < compaction->bin_count; i++) compaction->bins[i] = order->plan->bins[i].count;
    for (size_t i = 0; i < cluster_by->count; i++)
        AP_TRY(ap_plan_keep(plan, ap_str_from(cluster_by->items[i]), &compaction->cluster_by[compaction->cluster_count++], err));
    AP_TRY(ap_plan_keep(plan, order->condition, &compaction->condition, err));
    *out = compaction;
    return APIARY_OK;
}

/* Why it stays on this node; NULL: it is to be shared out. */
static const char *alone_reason(const struct ap_compact_order *order)
{
    const struct ap_compact_plan *bins = order->plan;
    const char *why = NULL;
    bool handed_over = order->work->session->handover != NULL; /* whoever is there then */
    if (ap_name_temporary(&order->work->target->entry.name)) return "it is a temporary frame";
    if (!handed_over && bins->bin_count < 2) return "one node has all of its cells to put together";
    if (bins->all.count > AP_PLAN_CELLS_MAX) return "it has too many cells for one plan";
    if (handed_over) return NULL;
    ap_write_shared(order->work->session, bins->all.bytes, &why); /* last: it asks the store */
    return why;
}

static enum apiary_code make(
    const struct ap_compact_order *order, struct ap_plan *plan, struct ap_plan_compaction **compaction, struct apiary_error *err)
{
    plan->use = "";
    plan->settings = "{}";
    plan->values = "[]";
    plan->plain = true;
    AP_TRY(add_frame(order, plan, err));
    AP_TRY(add_stage(order, plan, err));
    return add_compaction(order, plan, compaction, err);
}

enum apiary_code ap_compact_shared_plan(const struct ap_compact_order *order, struct ap_plan **out,
    struct ap_plan_compaction **compaction, const char **why, struct apiary_error *err)
{
    *out = NULL;
    *why = alone_reason(order);
    if (*why != NULL) return APIARY_OK;
    struct ap_plan *plan = ap_calloc(1, sizeof *plan);
    if (plan == NULL) return ap_fail_memory(err, "a plan");
    enum apiary_code code = make(order, plan, compaction, err);
    if (code == APIARY_OK) *out = plan;
    else ap_plan_free(plan);
    return code;
}

enum apiary_code ap_compact_tell(struct ap_session *session, struct ap_target *target, const struct ap_compact_options *options,
    const struct ap_compact_plan *bins, struct apiary_error *err)
{
    static const struct ap_texts none;
    struct ap_plan *plan = NULL;
    struct ap_plan_compaction *compaction = NULL;
    const char *why = NULL;
    struct ap_compact_work work = { .session = session, .target = target, .cluster_by = &none };
    struct ap_compact_order order = { .work = &work, .plan = bins, .condition = options->condition };
    if (!options->shared || ap_spread_nodes_of(session).nodes < 2) return APIARY_OK;
    AP_TRY(ap_compact_shared_plan(&order, &plan, &compaction, &why, err));
    if (plan != NULL) ap_session_notice(session, "distributed: %zu tasks", plan->stages[0].task_count);
    else ap_session_notice(session, "not distributed: %s", why);
    ap_plan_free(plan);
    return APIARY_OK;
}

enum apiary_code ap_compact_share(const struct ap_compact_order *order, size_t *tasks,
    struct ap_plan_wrote *wrote, struct apiary_error *err)
{
    struct ap_session *session = order->work->session;
    struct ap_plan *plan = NULL;
    struct ap_plan_compaction *compaction = NULL;
    const char *why = NULL;
    AP_TRY(ap_compact_shared_plan(order, &plan, &compaction, &why, err));
    if (plan == NULL) return ap_handover_fail(session, why, err);
    size_t count = plan->stages[0].task_count;
    struct ap_write_commit how = { .operation = "OPTIMIZE" };
    struct ap_write_spread spread = { .target = order->work->target, .how = &how, .compaction = compaction, .cell_bytes = order->cell_bytes };
    enum apiary_code code = ap_write_spread_run(session, plan, &spread, wrote, err);
    ap_plan_free(plan);
    if (code == APIARY_OK) *tasks = count;
    return code;
}
