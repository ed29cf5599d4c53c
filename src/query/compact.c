#include "query/compact.h"

#include "query/cluster.h"
#include "query/replace.h"
#include "query/types.h"

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

static int compare_text(struct ap_str a, struct ap_str b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* "" means null to every reader: both are one partition. */
static int compare_partition(
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
    int order = compare_partition(snapshot, &snapshot->cells[a], &snapshot->cells[b]);
    return order != 0 ? order : (a > b) - (a < b); /* commit order: neighbours in time */
}

static bool has_deleted_rows(const struct ap_cell *cell)
{
    return cell->deletion_vector.storage.size > 0;
}

static bool is_sorted(const struct ap_cell *cell, const struct ap_compact_rules *rules)
{
    return ap_str_find(cell->tags, rules->sorted_tag) != SIZE_MAX;
}

static bool is_worth_it(const struct ap_cell *cell, const struct ap_compact_rules *rules)
{
    if (rules->all || has_deleted_rows(cell)) return true;
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
        if (has_deleted_rows(cell) || (rules->sorted_tag.size > 0 && !is_sorted(cell, rules)))
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
        if (bin.count > 0 && (full || compare_partition(snapshot,
                                          &snapshot->cells[plan->order[i - 1]], cell) != 0))
            AP_TRY(end_bin(snapshot, plan, &bin, rules, err));
        bin.count++;
        bin.bytes += (uint64_t)cell->size_bytes;
        if (has_deleted_rows(cell)) bin.deleted_rows += cell->deletion_vector.cardinality;
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

/* ---- one bin ---- */

struct compaction {
    struct ap_session *session;
    struct ap_target *target;
    const struct ap_compact_options *options;
    struct ap_texts cluster_by;
    struct ap_bytes tag; /* of cells that are sorted; empty: no order is asked for */
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
    size_t remove_count, remove_capacity;
    int64_t bytes_before, deleted_rows;
};

static void batch_done(struct batch *batch)
{
    ap_written_done(&batch->written);
    ap_free(batch->removes);
    memset(batch, 0, sizeof *batch);
}

static enum apiary_code rewrite(struct compaction *compaction, const bool *keep,
    const struct ap_str *values, struct ap_written *written, struct apiary_error *err)
{
    struct ap_target *target = compaction->target;
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) rows = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_TRY(ap_source_resolve(compaction->session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code = ap_source_take(source, compaction->options->width, err);
    if (code == APIARY_OK && compaction->options->yields)
        ap_chamber_yields(source->chamber, &compaction->session->cancel);
    if (code == APIARY_OK) code = ap_source_add_target(source, target, keep, &rows, err);
    if (code == APIARY_OK) code = ap_bytes_add_text(&select, "SELECT ", err);
    if (code == APIARY_OK) code = ap_cell_columns(&target->metadata, &select, err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(
            &select, err, " FROM (" AP_FMT ") AS apiary_rows", AP_ARG(ap_bytes_view(&rows)));
    if (code == APIARY_OK) code = ap_cluster_order(&compaction->cluster_by, &select, err);
    if (code == APIARY_OK)
        code = ap_write_partition(source, target, ap_bytes_view(&select), NULL, values,
            ap_bytes_view(&compaction->tag), written, err);
    ap_source_close(source);
    return code;
}

static enum apiary_code check_rows(const struct ap_target *target, int64_t expected, int64_t rows,
    struct apiary_error *err)
{
    if (expected < 0 || rows == expected) return APIARY_OK;
    ap_fail(err, APIARY_CORRUPT,
        "cells of frame %s hold %lld rows where its ledger says %lld; nothing was changed",
        target->name, (long long)rows, (long long)expected);
    return ap_hint(err, "apiary fsck says which cell it is");
}

static enum apiary_code compact_bin(struct compaction *compaction,
    const struct ap_compact_plan *plan, const struct ap_bin *bin, struct batch *batch,
    struct apiary_error *err)
{
    const struct ap_snapshot *base = compaction->target->base;
    const struct ap_cell *first = &base->cells[plan->order[bin->first]];
    size_t columns = base->metadata.partition_count;
    AP_AUTO_FREE bool *keep = ap_calloc(base->cell_count, sizeof *keep);
    struct ap_str *values =
        ap_arena_alloc(&batch->written.arena, (columns == 0 ? 1 : columns) * sizeof *values);
    if (keep == NULL || values == NULL) return ap_fail_memory(err, "a bin of cells");
    for (size_t i = 0; i < columns; i++)
        values[i] = first->partition_values[i].size > 0 ? first->partition_values[i]
                                                        : (struct ap_str) { NULL, 0 };
    AP_TRY(AP_GROW(
        batch->removes, batch->remove_capacity, batch->remove_count + bin->count, err));
    int64_t expected = 0, before = batch->written.rows;
    for (size_t i = bin->first; i < bin->first + bin->count; i++) {
        const struct ap_cell *cell = &base->cells[plan->order[i]];
        keep[plan->order[i]] = true;
        if (cell->row_count < 0) expected = INT64_MIN;
        if (expected >= 0)
            expected += cell->row_count -
                        (has_deleted_rows(cell) ? cell->deletion_vector.cardinality : 0);
    }
    AP_TRY(rewrite(compaction, keep, values, &batch->written, err));
    AP_TRY(check_rows(compaction->target, expected, batch->written.rows - before, err));
    for (size_t i = bin->first; i < bin->first + bin->count; i++)
        batch->removes[batch->remove_count++] = &base->cells[plan->order[i]];
    batch->bytes_before += (int64_t)bin->bytes;
    batch->deleted_rows += bin->deleted_rows;
    return APIARY_OK;
}

/* ---- commits ---- */

static enum apiary_code add_parameters(
    const struct compaction *compaction, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) columns = { 0 };
    AP_TRY(ap_bytes_add_text(&columns, "[", err));
    for (size_t i = 0; i < compaction->cluster_by.count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(&columns, ",", err));
        AP_TRY(ap_json_quote(&columns, ap_str_from(compaction->cluster_by.items[i]), err));
    }
    AP_TRY(ap_bytes_add_text(&columns, "]", err));
    AP_TRY(ap_bytes_add_text(out, "{\"predicate\":", err));
    AP_TRY(ap_json_quote(out, compaction->options->condition, err));
    AP_TRY(ap_bytes_add_text(out, ",\"clusterBy\":", err));
    AP_TRY(ap_json_quote(out, ap_bytes_view(&columns), err));
    return ap_bytes_add_text(out, "}", err);
}

static enum apiary_code commit_batch(
    struct compaction *compaction, struct batch *batch, struct apiary_error *err)
{
    struct ap_compacted *done = compaction->done;
    const struct ap_written *written = &batch->written;
    AP_AUTO(ap_bytes) parameters = { 0 };
    AP_AUTO(ap_bytes) metrics = { 0 };
    if (batch->remove_count == 0) return APIARY_OK;
    AP_TRY(add_parameters(compaction, &parameters, err));
    AP_TRY(ap_bytes_printf(&metrics, err,
        "{\"numRemovedFiles\":\"%zu\",\"numAddedFiles\":\"%zu\",\"numRemovedBytes\":\"%lld\","
        "\"numAddedBytes\":\"%lld\",\"numDeletedRows\":\"%lld\"}",
        batch->remove_count, written->count, (long long)batch->bytes_before,
        (long long)written->bytes, (long long)batch->deleted_rows));
    struct ap_commit commit = {
        .base = compaction->target->base,
        .adds = written->cells,
        .add_count = written->count,
        .removes = batch->removes,
        .remove_count = batch->remove_count,
        .data_change = false,
        .scope = AP_READ_NOTHING, /* no more than the cells that it removes */
        .operation = "OPTIMIZE",
        .expires_mono_us = ap_written_expires_us(written),
        .operation_parameters = ap_bytes_text(&parameters),
        .operation_metrics = ap_bytes_text(&metrics),
        .cancel = &compaction->session->cancel,
    };
    AP_TRY(ap_ledger_commit(compaction->target->ledger, &commit, &done->version, NULL, err));
    done->commits++;
    done->cells_before += batch->remove_count;
    done->cells_after += written->count;
    done->bytes_before += batch->bytes_before;
    done->bytes_after += written->bytes;
    done->deleted_rows += batch->deleted_rows;
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
    struct ap_target *target = compaction->target;
    const struct ap_compact_options *options = compaction->options;
    AP_AUTO_FREE const struct ap_cell **meant = NULL;
    AP_AUTO_FREE bool *chosen = NULL;
    size_t meant_count = 0;
    struct ap_compact_rules rules = { .cells_min = options->cells_min > 0 ? options->cells_min : 2,
        .all = options->cluster_by != NULL };
    AP_TRY(ap_target_cut(compaction->session, &target->metadata, &rules.cut, err));
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
    rules.sorted_tag = ap_bytes_view(&compaction->tag);
    if (options->condition.size > 0) {
        AP_TRY(ap_replaced_cells(compaction->session, target, options->condition,
            "OPTIMIZE … WHERE", "leave WHERE out: the whole frame is meant", &meant, &meant_count,
            err));
        chosen = ap_calloc(target->base->cell_count + 1, sizeof *chosen);
        if (chosen == NULL) return ap_fail_memory(err, "a plan of compaction");
        for (size_t i = 0; i < meant_count; i++) chosen[meant[i] - target->base->cells] = true;
    }
    return ap_compact_plan(target->base, chosen, &rules, plan, err);
}

enum apiary_code ap_compact_look(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compact_plan *out,
    struct apiary_error *err)
{
    struct compaction compaction = { .session = session, .target = target, .options = options };
    enum apiary_code code = prepare(&compaction, out, err);
    compaction_done(&compaction);
    return code;
}

/* One plan from the target's base to its last commit. */
static enum apiary_code compact_once(struct compaction *compaction, struct apiary_error *err)
{
    AP_AUTO(ap_compact_plan) plan = { 0 };
    struct batch batch = { 0 };
    AP_TRY(prepare(compaction, &plan, err));
    enum apiary_code code = run_plan(compaction, &plan, &batch, err);
    if (code != APIARY_OK && code != APIARY_UNCERTAIN) ap_written_discard(&batch.written);
    batch_done(&batch);
    return code;
}

enum apiary_code ap_compact(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compacted *out, struct apiary_error *err)
{
    struct ap_compacted done = { .version = target->base->version };
    struct compaction compaction = {
        .session = session, .target = target, .options = options, .done = &done
    };
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
