/* EXPLAIN of a query that is divided: why (or why not), the tasks, the SQL of each part, and, with
 * ANALYZE, what each part took. */
#include "query/spread.h"

#include "core/alloc.h"
#include "core/time.h"

#include <stdio.h>
#include <unistd.h>

enum { TASKS_TOLD_MAX = 100 };

/* "  fragment: SELECT …", however long. */
static enum apiary_code say_sql(
    struct ap_rows *rows, const char *what, const char *sql, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) line = { 0 };
    AP_TRY(ap_bytes_printf(&line, err, "  %s: %s", what, sql));
    return ap_rows_text(rows, ap_bytes_view(&line), err);
}

static double ms(int64_t us)
{
    return (double)us / 1000;
}

static enum apiary_code say_figures(struct ap_rows *rows, const char *what,
    const struct ap_plan_figures *figures, struct apiary_error *err)
{
    char bytes[32], memory[32], store[32], cache[32];
    ap_size_format(figures->bytes, bytes);
    ap_size_format(figures->memory_bytes_peak, memory);
    ap_size_format(figures->store_bytes, store);
    ap_size_format(figures->cache_bytes, cache);
    AP_TRY(ap_rows_say(rows, err,
        "    %s on %s, %d bee%s: waited %.1f ms, computed %.1f ms (CPU %.1f ms), wrote %.1f ms; %lld rows, %s; peak %s; "
        "tries %d",
        what, figures->where[0] != '\0' ? figures->where : "this node", figures->bees,
        figures->bees == 1 ? "" : "s", ms(figures->wait_us), ms(figures->compute_us),
        ms(figures->cpu_us), ms(figures->write_us), (long long)figures->rows, bytes, memory,
        figures->tries > 0 ? figures->tries : 1));
    if (figures->requests + figures->store_bytes + figures->cache_bytes > 0)
        AP_TRY(ap_rows_say(rows, err, "      cells: %llu request%s, %s from the store, %s from the cache; %llu read%s waited",
            (unsigned long long)figures->requests, figures->requests == 1 ? "" : "s", store, cache,
            (unsigned long long)figures->page_waits, figures->page_waits == 1 ? "" : "s"));
    return figures->taken == NULL ? APIARY_OK : ap_rows_say(rows, err, "      taken over: %s", figures->taken);
}

/* Why it goes there. The same cells go to the same node: what it read before it has cached. */
static enum apiary_code say_place(struct ap_rows *rows, const struct ap_plan_figures *figures, uint64_t memory, struct apiary_error *err)
{
    char need[48] = "", size[32];
    ap_size_format(memory, size);
    if (memory > 0) snprintf(need, sizeof need, "; needs %s", size);
    if (figures == NULL || figures->placed[0] == '\0') return ap_rows_say(rows, err, "    for this node%s", need);
    return ap_rows_say(rows, err, "    for %s: %s%s", figures->placed,
        figures->balanced ? "balance, its first cell is another node's by hash, which has its share"
                          : "its first cell is that node's by hash, and cached there once it was read", need);
}

/* "frame a.b.c", "7 files" */
static enum apiary_code add_frame(const struct ap_plan_frame *frame, struct ap_bytes *out, struct apiary_error *err)
{
    if (frame->files != NULL) return ap_bytes_printf(out, err, "%zu files", frame->cell_count);
    return ap_bytes_printf(out, err, "frame %s.%s.%s", frame->name.hive, frame->name.box, frame->name.frame);
}

/* "frame a.b.c and 7 files": what is sharded. */
static enum apiary_code add_shards(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < stage->shard_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, i + 1 < stage->shard_count ? ", " : " and ", err));
        AP_TRY(add_frame(&plan->frames[stage->shards[i]], out, err));
    }
    return APIARY_OK;
}

/* "2 of 5 cells"; of several shards with those that the task has cells of: " (1 of 3 of frame a.b.c, 1 of 2 files)" */
static enum apiary_code add_shares(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    const struct ap_plan_task *task, struct ap_bytes *out, struct apiary_error *err)
{
    bool files = false, cells = false;
    const char *between = " (";
    for (size_t i = 0; i < stage->shard_count; i++)
        *(plan->frames[stage->shards[i]].files != NULL ? &files : &cells) = true;
    AP_TRY(ap_bytes_printf(out, err, "%zu of %zu %s", task->count, ap_plan_shard_cells(plan, stage),
        files && cells ? "cells and files" : files ? "files" : "cells"));
    for (size_t i = 0; stage->shard_count > 1 && i < stage->shard_count; i++) {
        struct ap_plan_share share = ap_plan_share_of(plan, stage, task, i);
        if (share.count == 0) continue;
        if (share.frame->files != NULL)
            AP_TRY(ap_bytes_printf(out, err, "%s%zu of %zu files", between, share.count, share.frame->cell_count));
        else {
            AP_TRY(ap_bytes_printf(out, err, "%s%zu of %zu of ", between, share.count, share.frame->cell_count));
            AP_TRY(add_frame(share.frame, out, err));
        }
        between = ", ";
    }
    return between[0] == ',' ? ap_bytes_add_text(out, ")", err) : APIARY_OK;
}

static enum apiary_code say_tasks(struct ap_rows *rows, const struct ap_plan *plan,
    const struct ap_plan_stage *stage, const struct ap_plan_figures *figures, bool ran,
    struct apiary_error *err)
{
    for (size_t i = 0; i < stage->task_count && i < TASKS_TOLD_MAX; i++) {
        const struct ap_plan_task *task = &stage->tasks[i];
        char bytes[32];
        ap_size_format(task->bytes, bytes);
        AP_AUTO(ap_bytes) shares = { 0 };
        AP_TRY(add_shares(plan, stage, task, &shares, err));
        AP_TRY(ap_rows_say(rows, err, "  task %zu: %s, %s (balanced by size)", i,
            ap_bytes_text(&shares), bytes));
        AP_TRY(say_place(rows, figures != NULL ? &figures[i] : NULL, ap_leafcut_memory(task->bytes), err));
        if (ran) AP_TRY(say_figures(rows, "ran", &figures[i], err));
    }
    if (stage->task_count > TASKS_TOLD_MAX)
        return ap_rows_say(rows, err, "  … and %zu more tasks", stage->task_count - TASKS_TOLD_MAX);
    return APIARY_OK;
}

/* What of the stage's time was neither its longest task nor its merge. */
static enum apiary_code say_overhead(struct ap_rows *rows, const struct ap_plan_stage *stage, const struct ap_plan_figures *figures,
    const struct ap_plan_figures *merge, int64_t elapsed_us, struct apiary_error *err)
{
    int64_t longest_us = 0, merge_us = merge->wait_us + merge->compute_us + merge->write_us;
    uint64_t requests = merge->requests, bytes = 0;
    for (size_t i = 0; i < stage->task_count; i++) {
        int64_t task_us = figures[i].wait_us + figures[i].compute_us + figures[i].write_us;
        if (task_us > longest_us) longest_us = task_us;
        requests += figures[i].requests;
        bytes += figures[i].bytes;
    }
    char size[32];
    int64_t rest_us = elapsed_us - longest_us - merge_us;
    ap_size_format(bytes, size);
    return ap_rows_say(rows, err,
        "    stage took %.1f ms: longest task %.1f ms, merge %.1f ms, overhead %.1f ms; partials %s; cells cost %llu requests",
        ms(elapsed_us), ms(longest_us), ms(merge_us), ms(rest_us > 0 ? rest_us : 0), size, (unsigned long long)requests);
}

static enum apiary_code say_stage(struct ap_rows *rows, const struct ap_plan *plan, size_t index,
    const struct ap_spread_told *told, bool ran, const struct ap_plan_figures *figures,
    struct apiary_error *err)
{
    const struct ap_plan_stage *stage = &plan->stages[index];
    bool last = index + 1 == plan->stage_count;
    char first[64];
    snprintf(first, sizeof first, "run first, read as " AP_CUT_PREFIX "first_%zu", index);
    if (stage->kind == AP_CUT_WHOLE) {
        AP_TRY(ap_rows_say(rows, err, "stage %zu: one query, %s", index, first));
    } else {
        AP_AUTO(ap_bytes) over = { 0 };
        AP_TRY(add_shards(plan, stage, &over, err));
        AP_TRY(ap_rows_say(rows, err, "stage %zu: %s of %zu task%s over %s%s%s", index,
            ap_cut_kind_text(stage->kind), stage->task_count, stage->task_count == 1 ? "" : "s", ap_bytes_text(&over),
            last ? "" : ", ", last ? "" : first));
        AP_TRY(say_tasks(rows, plan, stage, figures, ran, err));
        AP_TRY(say_sql(rows, "fragment", stage->fragment_sql, err));
        AP_TRY(say_sql(rows, "merged", stage->merged_view, err));
    }
    AP_TRY(say_sql(rows, "merge", stage->merge_sql, err));
    if (!ran) return APIARY_OK;
    AP_TRY(say_figures(rows, "merge", &told->merges[index], err));
    return say_overhead(rows, stage, figures, &told->merges[index], told->elapsed_us[index], err);
}

static enum apiary_code say_plan(struct ap_rows *rows, const struct ap_plan *plan,
    const struct ap_spread_told *told, bool ran, struct apiary_error *err)
{
    size_t at = 0;
    for (size_t i = 0; i < plan->stage_count; i++) {
        AP_TRY(say_stage(rows, plan, i, told, ran, told->tasks != NULL ? told->tasks + at : NULL, err));
        at += plan->stages[i].task_count;
    }
    return APIARY_OK;
}

/* Runs it all; the rows of the answer go to a file that nobody reads. */
static enum apiary_code analyse(struct ap_session *session, const struct ap_plan *plan,
    struct ap_spread_told *told, struct apiary_error *err)
{
    AP_AUTO(ap_spread_files) files = { 0 };
    int out = -1;
    size_t last = plan->stage_count - 1;
    int64_t before = ap_mono_us(session->world->env);
    AP_TRY(ap_spread_stages(session, plan, &files, told, err));
    AP_TRY(ap_plan_file(session, &out, err));
    struct ap_plan_run run = {
        .session = session, .plan = plan, .stage = last, .results = files.results
    };
    enum apiary_code code = ap_plan_merge(&run, files.partials, out, &told->merges[last], err);
    close(out);
    told->elapsed_us[last] = ap_mono_us(session->world->env) - before;
    for (size_t i = 0; i < last; i++) told->elapsed_us[last] -= told->elapsed_us[i];
    return code;
}

/* Without running it: where its tasks would go. */
static enum apiary_code would_place(struct ap_session *session, const struct ap_plan *plan, struct ap_spread_told *told, struct apiary_error *err)
{
    const struct ap_spread_port *port = session->world->spread;
    size_t count = 0;
    for (size_t i = 0; i < plan->stage_count; i++) count += plan->stages[i].task_count;
    told->tasks = ap_calloc(count + 1, sizeof *told->tasks);
    if (told->tasks == NULL) return ap_fail_memory(err, "the tasks of a query");
    if (port == NULL || ap_spread_nodes_of(session).nodes < 2) return APIARY_OK;
    for (size_t i = 0; i < plan->stage_count; i++) {
        struct ap_plan_run run = { .session = session, .plan = plan, .stage = i };
        if (plan->stages[i].task_count > 0) port->place(port->context, &run, told->tasks + told->task_count);
        told->task_count += plan->stages[i].task_count;
    }
    return APIARY_OK;
}

enum apiary_code ap_explain_spread(struct ap_source *source, const struct apiary_query *query,
    bool run, struct ap_rows *rows, bool *divided, struct apiary_error *err)
{
    AP_AUTO(ap_plan_made) made = { 0 };
    AP_AUTO(ap_spread_told) told = { 0 };
    struct ap_plan_wish wish = ap_plan_wish_of_tests();
    wish.query = query;
    const char *why = NULL;
    *divided = false;
    if (!ap_spread_wanted(source, &why)) return ap_rows_say(rows, err, "not distributed: %s", why);
    AP_TRY(ap_plan_make(source, &wish, &made, err));
    if (made.plan == NULL)
        return ap_rows_say(rows, err, "not distributed: %s", ap_bytes_text(&made.why));
    struct ap_spread_nodes nodes = ap_spread_nodes_of(source->session);
    *divided = true;
    AP_TRY(ap_rows_say(rows, err, "distributed: %zu stage%s; %zu node%s, %d bee%s", made.plan->stage_count,
        made.plan->stage_count == 1 ? "" : "s", nodes.nodes, nodes.nodes == 1 ? "" : "s",
        nodes.bees, nodes.bees == 1 ? "" : "s"));
    if (!made.plan->replayable) AP_TRY(ap_rows_say(rows, err, "not replayable: %s", made.plan->doubt));
    told.in_full = true;
    AP_TRY(run ? analyse(source->session, made.plan, &told, err) : would_place(source->session, made.plan, &told, err));
    return say_plan(rows, made.plan, &told, run, err);
}
