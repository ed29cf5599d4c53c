/* Evening out: neighbouring cells make tasks of unequal size, the more so the fewer cells a task has, and the
 * largest task is what the query waits for. Where the order of rows means nothing (an aggregate), cells of the
 * largest task are exchanged for cells of the smallest. Most stay among their neighbours, whose values are alike
 * in a clustered frame. */
#include "query/planner.h"

#include "core/alloc.h"

enum { CELLS_MAX = 1024, TASKS_MAX = 256, ROUNDS_A_TASK = 4, WORTH = 50 /* a gain below 1/50 of the task is none */ };

struct evening {
    const uint64_t *sizes; /* by cell */
    size_t *order;         /* cells, task by task */
};

/* What the larger of two tasks is less by when `give` goes and `take` comes; 0: no gain. */
static uint64_t gain(uint64_t large, uint64_t small, uint64_t give, uint64_t take)
{
    if (give <= take) return 0;
    uint64_t moved = give - take, after = large - moved > small + moved ? large - moved : small + moved;
    return after < large ? large - after : 0;
}

/* Exchanges the pair that evens out most; false: none is worth it. */
static bool exchange(struct evening *even, struct ap_plan_task *large, struct ap_plan_task *small)
{
    uint64_t best = large->bytes / WORTH;
    size_t give = SIZE_MAX, take = SIZE_MAX;
    for (size_t i = large->first; i < large->first + large->count; i++)
        for (size_t j = small->first; j < small->first + small->count; j++) {
            uint64_t found = gain(large->bytes, small->bytes, even->sizes[even->order[i]], even->sizes[even->order[j]]);
            if (found <= best) continue;
            best = found;
            give = i;
            take = j;
        }
    if (give == SIZE_MAX) return false;
    uint64_t moved = even->sizes[even->order[give]] - even->sizes[even->order[take]];
    size_t cell = even->order[give];
    even->order[give] = even->order[take];
    even->order[take] = cell;
    large->bytes -= moved;
    small->bytes += moved;
    return true;
}

void ap_plan_even_out(const uint64_t *sizes, size_t *order, struct ap_plan_task *tasks, size_t count)
{
    struct evening even = { sizes, order };
    for (size_t round = 0; round < count * ROUNDS_A_TASK; round++) {
        struct ap_plan_task *large = tasks, *small = tasks;
        for (size_t i = 1; i < count; i++) {
            if (tasks[i].bytes > large->bytes) large = &tasks[i];
            if (tasks[i].bytes < small->bytes) small = &tasks[i];
        }
        if (!exchange(&even, large, small)) return;
    }
}

/* Is the frame read by this stage alone, and there as its only shard? */
static bool alone(const struct ap_plan *plan, const struct ap_plan_stage *stage)
{
    size_t frame = stage->shards[0];
    for (size_t i = 0; i < plan->stage_count; i++) {
        const struct ap_plan_stage *other = &plan->stages[i];
        if (ap_plan_list_has(&other->fragment_frames, frame) || ap_plan_list_has(&other->merge_frames, frame)) return false;
        for (size_t k = 0; k < other->shard_count; k++)
            if (other != stage && other->shards[k] == frame) return false;
    }
    return true;
}

/* The frame's cells as the tasks have them now. */
static void reorder(struct ap_plan_frame *frame, const size_t *order, const char **room)
{
    memcpy(room, frame->cells, frame->cell_count * sizeof *room);
    for (size_t i = 0; i < frame->cell_count; i++) frame->cells[i] = room[order[i]];
}

static enum apiary_code even_stage(struct ap_planner *planner, struct ap_plan_stage *stage, struct apiary_error *err)
{
    struct ap_plan_frame *frame = &planner->plan->frames[stage->shards[0]];
    const struct ap_scan *scan = &planner->source->scans[stage->shards[0]];
    size_t count = 0;
    AP_AUTO_FREE uint64_t *sizes = ap_calloc(frame->cell_count + 1, sizeof *sizes);
    AP_AUTO_FREE size_t *order = ap_calloc(frame->cell_count + 1, sizeof *order);
    AP_AUTO_FREE const char **room = ap_calloc(frame->cell_count + 1, sizeof *room);
    if (sizes == NULL || order == NULL || room == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < scan->snapshot->cell_count; i++)
        if (scan->reasons[i] == AP_KEPT && count < frame->cell_count) sizes[count++] = (uint64_t)scan->snapshot->cells[i].size_bytes;
    ap_assert(count == frame->cell_count);
    for (size_t i = 0; i < count; i++) order[i] = i;
    ap_plan_even_out(sizes, order, stage->tasks, stage->task_count);
    reorder(frame, order, room);
    return APIARY_OK;
}

enum apiary_code ap_planner_even(struct ap_planner *planner, struct apiary_error *err)
{
    for (size_t i = 0; i < planner->plan->stage_count; i++) {
        struct ap_plan_stage *stage = &planner->plan->stages[i];
        if (stage->kind != AP_CUT_AGGREGATE || stage->shard_count != 1 || stage->task_count < 2 || stage->task_count > TASKS_MAX) continue;
        if (stage->shards[0] >= planner->source->scan_count || planner->plan->frames[stage->shards[0]].cell_count > CELLS_MAX) continue;
        if (alone(planner->plan, stage)) AP_TRY(even_stage(planner, stage, err));
    }
    return APIARY_OK;
}
