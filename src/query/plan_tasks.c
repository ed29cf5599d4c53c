/* Dealing out: neighbouring items (cells, or bins of them) to tasks of about equal size. */
#include "query/spread.h"

#include "core/alloc.h"

uint64_t ap_plan_task_bytes(const struct ap_session *session)
{
    struct ap_spread_nodes nodes = ap_spread_nodes_of(session);
    uint64_t setting = ap_config_size(&session->config, AP_CONFIG_target_cell_size, 0);
    uint64_t most = ap_leafcut(nodes.memory_per_bee_min, 0).target_bytes;
    uint64_t wanted = ap_leafcut(nodes.memory_per_bee_min, setting).target_bytes;
    return wanted < most ? wanted : most;
}

/* As many as the size asks for, and enough for every bee; never more than there are items. */
static size_t task_count(const struct ap_plan_deal *deal, uint64_t bytes, const struct ap_spread_nodes *nodes)
{
    uint64_t size = ap_plan_task_bytes(deal->session);
    uint64_t count = bytes / (size > 0 ? size : 1) + 1;
    if (count < (uint64_t)nodes->bees) count = (uint64_t)nodes->bees;
    if (deal->wanted > 0) count = deal->wanted;
    if (count > deal->count) count = deal->count;
    if (count > AP_PLAN_TASKS_MAX) count = AP_PLAN_TASKS_MAX;
    return count > 0 ? (size_t)count : 1;
}

/* Neighbours from `at` on: about the share of one of `left` tasks, and no more than the smallest bee
 * (memory) holds, but for an item that is larger by itself. */
static void fill_task(const struct ap_plan_deal *deal, uint64_t memory, size_t at, uint64_t bytes_left, size_t left,
    struct ap_plan_task *task)
{
    uint64_t share = bytes_left / left;
    size_t most = deal->count - at;
    if (most > 0 && deal->wanted == 0) most = ap_leafcut_task(deal->sizes, deal->count, at, memory);
    *task = (struct ap_plan_task) { .first = at };
    while (task->count < most) {
        uint64_t bytes = deal->sizes[at + task->count];
        bool must = task->count == 0 || left == 1;
        if (!must && (deal->count - at - task->count < left || task->bytes + bytes / 2 > share)) break;
        task->bytes += bytes;
        task->count++;
    }
}

enum apiary_code ap_plan_deal(const struct ap_plan_deal *deal, struct ap_arena *arena,
    struct ap_plan_task **out, size_t *out_count, struct apiary_error *err)
{
    struct ap_spread_nodes nodes = ap_spread_nodes_of(deal->session);
    uint64_t bytes = 0;
    for (size_t i = 0; i < deal->count; i++) bytes += deal->sizes[i];
    size_t wanted = task_count(deal, bytes, &nodes), room = deal->count + 1, at = 0, count = 0;
    if (room > AP_PLAN_TASKS_MAX) room = AP_PLAN_TASKS_MAX;
    struct ap_plan_task *tasks = ap_arena_alloc(arena, room * sizeof *tasks);
    if (tasks == NULL) return ap_fail_memory(err, "a plan");
    do {
        struct ap_plan_task *task = &tasks[count];
        fill_task(deal, nodes.memory_per_bee_min, at, bytes, wanted > count ? wanted - count : 1, task);
        if (++count == room && at + task->count < deal->count) /* no more tasks: it takes the rest */
            for (; at + task->count < deal->count; task->count++)
                task->bytes += deal->sizes[at + task->count];
        bytes -= task->bytes;
        at += task->count;
    } while (at < deal->count);
    *out = tasks;
    *out_count = count;
    return APIARY_OK;
}
