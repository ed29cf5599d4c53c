/* A compaction that is shared out: a task makes its bins, one after the other; the commit removes the cells of
 * all of them and adds what the tasks made. */
#include "query/plan_private.h"

#include "query/cluster.h"
#include "query/compact.h"

#include "core/alloc.h"
#include "core/map.h"

static const struct ap_plan_frame *frame_of(const struct ap_plan *plan)
{
    return &plan->frames[plan->stages[plan->stage_count - 1].shards[0]];
}

/* Cells of the plan's frame as indexes into the base. A plan is a stranger's word: each must be there, once. */
static enum apiary_code find_cells(const struct ap_plan *plan, const struct ap_snapshot *base, size_t **out, struct apiary_error *err)
{
    const struct ap_plan_frame *frame = frame_of(plan);
    struct ap_map places = { .borrow_keys = true };
    AP_AUTO_FREE bool *seen = ap_calloc(base->cell_count + 1, sizeof *seen);
    AP_AUTO_FREE size_t *cells = ap_calloc(frame->cell_count + 1, sizeof *cells);
    if (seen == NULL || cells == NULL) return ap_fail_memory(err, "a bin of cells");
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < base->cell_count; i++) code = ap_map_put(&places, base->cells[i].path, i, err);
    for (size_t i = 0; code == APIARY_OK && i < frame->cell_count; i++) {
        uint64_t place = 0;
        if (!ap_map_get(&places, ap_str_from(frame->cells[i]), &place) || seen[place])
            code = ap_fail(err, APIARY_CORRUPT, "version %llu of frame %s.%s.%s has no cell %s, or the plan has it twice",
                (unsigned long long)frame->version, frame->name.hive, frame->name.box, frame->name.frame, frame->cells[i]);
        else {
            seen[place] = true;
            cells[i] = (size_t)place;
        }
    }
    ap_map_done(&places);
    if (code == APIARY_OK) *out = AP_TAKE(cells);
    return code;
}

/* The order of new cells, and the tag that tells of it. */
static enum apiary_code read_order(const struct ap_plan_compaction *compaction, struct ap_texts *cluster_by, struct ap_bytes *tag, struct apiary_error *err)
{
    for (size_t i = 0; i < compaction->cluster_count; i++) AP_TRY(ap_texts_add(cluster_by, ap_str_from(compaction->cluster_by[i]), err));
    return cluster_by->count > 0 ? ap_cluster_tag(cluster_by, tag, err) : APIARY_OK;
}

enum apiary_code ap_plan_compact_tag(const struct ap_plan_write *write, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_texts) cluster_by = { 0 };
    return write->compaction != NULL ? read_order(write->compaction, &cluster_by, out, err) : APIARY_OK;
}

static enum apiary_code check_bin(const struct ap_target *target, const size_t *cells, size_t count, struct apiary_error *err)
{
    const struct ap_snapshot *base = target->base;
    for (size_t i = 1; i < count; i++)
        if (ap_compact_compare_partition(base, &base->cells[cells[0]], &base->cells[cells[i]]) != 0)
            return ap_fail(err, APIARY_CORRUPT, "a plan would put partitions of frame %s together", target->name);
    return APIARY_OK;
}

/* The bins of one task. */
static enum apiary_code make_bins(const struct ap_plan_run *run, const struct ap_plan_task *task, struct ap_compact_work *work,
    struct ap_written *written, struct apiary_error *err)
{
    const struct ap_plan_compaction *compaction = run->plan->write->compaction;
    AP_AUTO_FREE size_t *cells = NULL;
    AP_TRY(find_cells(run->plan, work->target->base, &cells, err));
    for (size_t i = 0, at = 0; i < compaction->bin_count && at < task->first + task->count; at += compaction->bins[i++]) {
        if (at < task->first) continue;
        AP_TRY(check_bin(work->target, &cells[at], compaction->bins[i], err));
        AP_TRY(ap_compact_bin(work, &cells[at], compaction->bins[i], written, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_plan_compact_task(const struct ap_plan_run *run, const struct ap_plan_task *task, struct ap_target *target,
    struct ap_bytes *out, struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct ap_env *env = run->session->world->env;
    int64_t begun_us = ap_mono_us(env);
    AP_AUTO(ap_texts) cluster_by = { 0 };
    AP_AUTO(ap_bytes) tag = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_TRY(read_order(run->plan->write->compaction, &cluster_by, &tag, err));
    struct ap_compact_work work = { .session = run->session, .target = target, .cluster_by = &cluster_by, .tag = ap_bytes_view(&tag),
        .width = run->width, .cancel = run->cancel };
    enum apiary_code code = make_bins(run, task, &work, &written, err);
    if (code == APIARY_OK) code = ap_written_write(&written, &target->metadata, out, err);
    if (code != APIARY_OK) {
        ap_written_discard(&written);
        return code;
    }
    if (figures != NULL)
        *figures = (struct ap_plan_figures) { .write_us = written.store_us, .compute_us = ap_mono_us(env) - begun_us - written.store_us,
            .cpu_us = written.job.cpu_us, .rows = written.rows, .bytes = (uint64_t)written.bytes, .memory_bytes_peak = written.job.memory_bytes_peak };
    return APIARY_OK;
}

enum apiary_code ap_plan_compact_check(
    const struct ap_plan *plan, const struct ap_target *target, const struct ap_written *written, size_t **cells, struct apiary_error *err)
{
    AP_AUTO_FREE size_t *found = NULL;
    AP_TRY(find_cells(plan, target->base, &found, err));
    AP_TRY(ap_compact_check_rows(target, ap_compact_rows(target->base, found, frame_of(plan)->cell_count), written->rows, err));
    *cells = AP_TAKE(found);
    return APIARY_OK;
}

enum apiary_code ap_plan_compact_commit(const struct ap_plan_run *run, struct ap_target *target, const size_t *cells,
    const struct ap_written *written, const char *txn, int64_t expires_mono_us, uint64_t *version, struct apiary_error *err)
{
    const struct ap_plan_compaction *compaction = run->plan->write->compaction;
    size_t count = frame_of(run->plan)->cell_count;
    AP_AUTO(ap_texts) cluster_by = { 0 };
    AP_AUTO(ap_bytes) tag = { 0 };
    AP_AUTO_FREE const struct ap_cell **removes = ap_calloc(count + 1, sizeof *removes);
    if (removes == NULL) return ap_fail_memory(err, "a commit");
    AP_TRY(read_order(compaction, &cluster_by, &tag, err));
    for (size_t i = 0; i < count; i++) removes[i] = &target->base->cells[cells[i]];
    struct ap_compact_work work = { .session = run->session, .target = target, .cluster_by = &cluster_by };
    struct ap_compact_commit how = { .removes = removes, .remove_count = count, .condition = ap_str_from(compaction->condition),
        .txn = txn, .expires_mono_us = expires_mono_us };
    return ap_compact_commit(&work, &how, written, version, err);
}
