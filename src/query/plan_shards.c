/* Which cells of which shard are a task's. Shards of a stage are dealt out as if they were one frame, one
 * behind the other: a task may end in the midst of one and hold the beginning of the next. */
#include "query/plan.h"

static const struct ap_plan_frame *frame_of(
    const struct ap_plan *plan, const struct ap_plan_stage *stage, size_t shard)
{
    ap_assert(shard < stage->shard_count && stage->shards[shard] < plan->frame_count);
    return &plan->frames[stage->shards[shard]];
}

size_t ap_plan_shard_cells(const struct ap_plan *plan, const struct ap_plan_stage *stage)
{
    size_t cells = 0;
    for (size_t i = 0; i < stage->shard_count; i++) cells += frame_of(plan, stage, i)->cell_count;
    return cells;
}

struct ap_plan_share ap_plan_share_of(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    const struct ap_plan_task *task, size_t shard)
{
    struct ap_plan_share share = { .frame = frame_of(plan, stage, shard) };
    size_t before = 0, end = task->first + task->count;
    for (size_t i = 0; i < shard; i++) before += frame_of(plan, stage, i)->cell_count;
    size_t behind = before + share.frame->cell_count;
    size_t from = task->first > before ? task->first : before, to = end < behind ? end : behind;
    if (from < to) {
        share.first = from - before;
        share.count = to - from;
    }
    return share;
}

const char *ap_plan_first_cell(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    const struct ap_plan_task *task)
{
    for (size_t i = 0; i < stage->shard_count; i++) {
        struct ap_plan_share share = ap_plan_share_of(plan, stage, task, i);
        if (share.count > 0) return share.frame->cells[share.first];
    }
    return NULL;
}

bool ap_plan_list_has(const struct ap_plan_list *list, size_t item)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i] == item) return true;
    return false;
}

bool ap_plan_has_union(const struct ap_plan *plan)
{
    for (size_t i = 0; i < plan->stage_count; i++)
        if (plan->stages[i].shard_count > 1) return true;
    return false;
}
