#include "query/compact.h"

#include "query/cluster.h"
#include "query/replace.h"

#include "core/alloc.h"

#include <stdlib.h>

enum {
    CELLS_PER_BIN_MAX = 4096,
    TARGETS_PER_SORT = 32, /* a sorted bin is so many targets: it is cut into as many cells */
    TRIES_MAX = 3,
};
/* A commit is made when so much was written: what comes later can fail without losing it. */
#define COMMIT_BYTES (INT64_C(1) << 30)

void ap_compact_plan_done(struct ap_compact_plan *plan)
{
    ap_free(plan->order);
    ap_free(plan->bins);
    memset(plan, 0, sizeof *plan);
}

/* ---- the plan ---- */

static void add_bin(struct ap_bin *sum, const struct ap_bin *bin)
{
    sum->count += bin->count;
    sum->bytes += bin->bytes;
    sum->deleted_rows += bin->deleted_rows;
}

static int compare_text(struct ap_str a, struct ap_str b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

int ap_compact_compare_partition(
    const struct ap_snapshot *snapshot, const struct ap_cell *a, const struct ap_cell *b)
{
    for (size_t i = 0; i < snapshot->metadata.partition_count; i++) {
        int order = compare_text(a->partition_values[i], b->partition_values[i]);
        if (order != 0) return order;
    }
    return 0;
}

static int compare_cells(const void *left, const void *right, void *context)
{
    const struct ap_snapshot *snapshot = context;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    int order = ap_compact_compare_partition(snapshot, &snapshot->cells[a], &snapshot->cells[b]);
    return order != 0 ? order : (a > b) - (a < b); /* commit order: neighbours in time */
}

static bool is_sorted(const struct ap_cell *cell, const struct ap_compact_rules *rules)
{
    return ap_str_find(cell->tags, rules->sorted_tag) != SIZE_MAX;
}

static bool is_worth_it(const struct ap_cell *cell, const struct ap_compact_rules *rules)
{
    if (rules->all || ap_cell_has_deleted_rows(cell)) return true;
    if ((uint64_t)cell->size_bytes < rules->cut.target_bytes / 2) return true;
    return rules->sorted_tag.size > 0 && !is_sorted(cell, rules);
}

/* One cell alone is rewritten only for its own sake. */
static bool is_bin(const struct ap_snapshot *snapshot, const struct ap_compact_plan *plan,
    const struct ap_bin *bin, const struct ap_compact_rules *rules)
{
    if (bin->count >= rules->cells_min) return bin->count > 0;
    for (size_t i = bin->first; i < bin->first + bin->count; i++) {
        const struct ap_cell *cell = &snapshot->cells[plan->order[i]];
        if (ap_cell_has_deleted_rows(cell) || (rules->sorted_tag.size > 0 && !is_sorted(cell, rules)))
            return true;
    }
    return false;
}

static enum apiary_code end_bin(const struct ap_snapshot *snapshot, struct ap_compact_plan *plan,
    struct ap_bin *bin, const struct ap_compact_rules *rules, struct apiary_error *err)
{
    if (is_bin(snapshot, plan, bin, rules)) {
        AP_TRY(AP_GROW(plan->bins, plan->bin_capacity, plan->bin_count + 1, err));
        plan->bins[plan->bin_count++] = *bin;
        add_bin(&plan->all, bin);
    }
    *bin = (struct ap_bin) { .first = bin->first + bin->count };
    return APIARY_OK;
}

static enum apiary_code fill_bins(const struct ap_snapshot *snapshot,
    struct ap_compact_plan *plan, const struct ap_compact_rules *rules, struct apiary_error *err)
{
    uint64_t most = rules->cut.target_bytes;
    if (plan->sorts && most < UINT64_MAX / TARGETS_PER_SORT) most *= TARGETS_PER_SORT;
    struct ap_bin bin = { 0 };
    for (size_t i = 0; i < plan->count; i++) {
        const struct ap_cell *cell = &snapshot->cells[plan->order[i]];
        bool full = bin.count == CELLS_PER_BIN_MAX || bin.bytes + (uint64_t)cell->size_bytes > most;
        if (bin.count > 0 && (full || ap_compact_compare_partition(snapshot,
                                          &snapshot->cells[plan->order[i - 1]], cell) != 0))
            AP_TRY(end_bin(snapshot, plan, &bin, rules, err));
        bin.count++;
        bin.bytes += (uint64_t)cell->size_bytes;
        bin.deleted_rows += ap_cell_deleted_rows(cell);
    }
    return end_bin(snapshot, plan, &bin, rules, err);
}

enum apiary_code ap_compact_plan(const struct ap_snapshot *snapshot, const bool *chosen,
    const struct ap_compact_rules *rules, struct ap_compact_plan *out, struct apiary_error *err)
{
    AP_AUTO(ap_compact_plan) plan = { .sorts = rules->sorted_tag.size > 0 };
    size_t count = snapshot->cell_count;
    plan.order = ap_calloc(count == 0 ? 1 : count, sizeof *plan.order);
    if (plan.order == NULL) return ap_fail_memory(err, "a plan of compaction");
    for (size_t i = 0; i < count; i++)
        if ((chosen == NULL || chosen[i]) && is_worth_it(&snapshot->cells[i], rules))
            plan.order[plan.count++] = i;
    qsort_r(plan.order, plan.count, sizeof *plan.order, compare_cells, (void *)(uintptr_t)snapshot);
    AP_TRY(fill_bins(snapshot, &plan, rules, err));
    *out = AP_TAKE(plan);
    return APIARY_OK;
}

/* ---- this node's work ---- */

struct compaction {
    struct ap_compact_work work;
    const struct ap_compact_options *options;
    struct ap_texts cluster_by;
    struct ap_bytes tag;
    struct ap_leafcutter cut;
    struct ap_compacted *done;
};

static void compaction_done(struct compaction *compaction)
{
    ap_texts_done(&compaction->cluster_by);
    ap_bytes_done(&compaction->tag);
}

/* What is made until the next commit. */
struct batch {
    struct ap_written written;
    const struct ap_cell **removes;
    size_t remove_capacity;
    struct ap_bin removed; /* their number and sum */
};

static void batch_done(struct batch *batch)
{
    ap_written_done(&batch->written);
    ap_free(batch->removes);
    memset(batch, 0, sizeof *batch);
}

static enum apiary_code compact_bin(struct compaction *compaction,
    const struct ap_compact_plan *plan, const struct ap_bin *bin, struct batch *batch,
    struct apiary_error *err)
{
    const struct ap_cell *cells = compaction->work.target->base->cells;
    const size_t *order = &plan->order[bin->first];
    AP_TRY(AP_GROW(
        batch->removes, batch->remove_capacity, batch->removed.count + bin->count, err));
    AP_TRY(ap_compact_bin(&compaction->work, order, bin->count, &batch->written, err));
    for (size_t i = 0; i < bin->count; i++)
        batch->removes[batch->removed.count + i] = &cells[order[i]];
    add_bin(&batch->removed, bin);
    return APIARY_OK;
}

static void note_done(
    struct ap_compacted *done, const struct ap_bin *removed, size_t cells_after, int64_t bytes_after)
{
    done->commits++;
    done->cells_before += removed->count;
    done->bytes_before += (int64_t)removed->bytes;
    done->deleted_rows += removed->deleted_rows;
    done->cells_after += cells_after;
    done->bytes_after += bytes_after;
}

static enum apiary_code commit_batch(
    struct compaction *compaction, struct batch *batch, struct apiary_error *err)
{
    struct ap_compact_commit how = { .removes = batch->removes, .remove_count = batch->removed.count,
        .condition = compaction->options->condition };
    if (batch->removed.count == 0) return APIARY_OK;
    AP_TRY(ap_compact_commit(&compaction->work, &how, &batch->written, &compaction->done->version, err));
    note_done(compaction->done, &batch->removed, batch->written.count, batch->written.bytes);
    batch_done(batch);
    return APIARY_OK;
}

static bool may_go_on(const struct compaction *compaction)
{
    const struct ap_compact_options *options = compaction->options;
    return options->may_go_on == NULL || options->may_go_on(options->context);
}

static enum apiary_code run_plan(struct compaction *compaction,
    const struct ap_compact_plan *plan, struct batch *batch, struct apiary_error *err)
{
    for (size_t i = 0; i < plan->bin_count; i++) {
        if (!may_go_on(compaction)) {
            compaction->done->stopped = true;
            break;
        }
        AP_TRY(compact_bin(compaction, plan, &plan->bins[i], batch, err));
        if (batch->written.bytes >= COMMIT_BYTES) AP_TRY(commit_batch(compaction, batch, err));
    }
    return commit_batch(compaction, batch, err);
}

/* ---- what is asked for ---- */

static enum apiary_code prepare(
    struct compaction *compaction, struct ap_compact_plan *plan, struct apiary_error *err)
{
    struct ap_session *session = compaction->work.session;
    struct ap_target *target = compaction->work.target;
    const struct ap_compact_options *options = compaction->options;
    AP_AUTO_FREE const struct ap_cell **meant = NULL;
    AP_AUTO_FREE bool *chosen = NULL;
    size_t meant_count = 0;
    struct ap_compact_rules rules = { .cells_min = options->cells_min > 0 ? options->cells_min : 2,
        .all = options->cluster_by != NULL };
    AP_TRY(ap_target_cut(session, &target->metadata, &rules.cut, err));
    compaction->cut = rules.cut;
    ap_texts_done(&compaction->cluster_by);
    ap_bytes_clear(&compaction->tag);
    if (options->cluster_by != NULL) {
        AP_AUTO(ap_bytes) checked = { 0 };
        AP_TRY(ap_cluster_value(&target->metadata, options->cluster_by, &checked, err));
        for (size_t i = 0; i < options->cluster_by->count; i++)
            AP_TRY(ap_texts_add(
                &compaction->cluster_by, ap_str_from(options->cluster_by->items[i]), err));
    } else
        AP_TRY(ap_cluster_columns(&target->metadata, &compaction->cluster_by, err));
    if (compaction->cluster_by.count > 0)
        AP_TRY(ap_cluster_tag(&compaction->cluster_by, &compaction->tag, err));
    rules.sorted_tag = compaction->work.tag = ap_bytes_view(&compaction->tag);
    if (options->condition.size > 0) {
        AP_TRY(ap_replaced_cells(session, target, options->condition,
            "OPTIMIZE … WHERE", "leave WHERE out: the whole frame is meant", &meant, &meant_count,
            err));
        chosen = ap_calloc(target->base->cell_count + 1, sizeof *chosen);
        if (chosen == NULL) return ap_fail_memory(err, "a plan of compaction");
        for (size_t i = 0; i < meant_count; i++) chosen[meant[i] - target->base->cells] = true;
    }
    return ap_compact_plan(target->base, chosen, &rules, plan, err);
}

static void begin(struct compaction *compaction, struct ap_session *session, struct ap_target *target)
{
    const struct ap_compact_options *options = compaction->options;
    compaction->work = (struct ap_compact_work) { .session = session, .target = target,
        .cluster_by = &compaction->cluster_by, .width = options->width, .yields = options->yields };
}

enum apiary_code ap_compact_look(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compact_plan *out,
    struct apiary_error *err)
{
    struct compaction compaction = { .options = options };
    begin(&compaction, session, target);
    enum apiary_code code = prepare(&compaction, out, err);
    compaction_done(&compaction);
    return code;
}

/* By all nodes that are there. *shared false: nothing was done, this node does it. */
static enum apiary_code share(struct compaction *compaction, const struct ap_compact_plan *plan,
    bool *shared, struct apiary_error *err)
{
    const struct ap_compact_options *options = compaction->options;
    struct ap_compact_work *work = &compaction->work;
    struct ap_compacted *done = compaction->done;
    size_t tasks = 0;
    struct ap_plan_wrote wrote = { 0 };
    bool handed_over = work->session->handover != NULL; /* then also that there is nothing to do */
    if (!options->shared || (plan->bin_count == 0 && !handed_over)) return APIARY_OK;
    struct ap_compact_order order = { .work = work, .plan = plan,
        .condition = options->condition, .cell_bytes = compaction->cut.target_bytes };
    AP_TRY(ap_compact_share(&order, &tasks, &wrote, err));
    *shared = tasks > 0;
    if (!*shared) return APIARY_OK;
    done->shared_tasks = tasks;
    done->version = wrote.version >= 0 ? (uint64_t)wrote.version : work->target->base->version;
    note_done(done, &plan->all, wrote.cells, wrote.bytes);
    return APIARY_OK;
}

/* One plan from the target's base to its last commit. */
static enum apiary_code compact_once(struct compaction *compaction, struct apiary_error *err)
{
    AP_AUTO(ap_compact_plan) plan = { 0 };
    struct batch batch = { 0 };
    bool shared = false;
    AP_TRY(prepare(compaction, &plan, err));
    AP_TRY(share(compaction, &plan, &shared, err));
    if (shared) return APIARY_OK;
    enum apiary_code code = run_plan(compaction, &plan, &batch, err);
    if (code != APIARY_OK && code != APIARY_UNCERTAIN) ap_written_discard(&batch.written);
    batch_done(&batch);
    return code;
}

enum apiary_code ap_compact(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compacted *out, struct apiary_error *err)
{
    struct ap_compacted done = { .version = target->base->version };
    struct compaction compaction = { .options = options, .done = &done };
    begin(&compaction, session, target);
    struct apiary_error why = { 0 };
    enum apiary_code code = compact_once(&compaction, &why);
    for (int tries = 1; code == APIARY_CONFLICT && tries < TRIES_MAX; tries++) {
        AP_AUTO(ap_target) fresh = { 0 };
        struct ap_name3 name = target->entry.name;
        code = ap_target_open(session, &name, &fresh, &why);
        if (code != APIARY_OK) break;
        ap_target_done(target);
        *target = AP_TAKE(fresh);
        code = compact_once(&compaction, &why);
    }
    compaction_done(&compaction);
    *out = done;
    if (code != APIARY_OK && err != NULL) *err = why;
    return code;
}
