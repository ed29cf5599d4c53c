/* OPTIMIZE frame [WHERE …] [CLUSTER BY (…)] [DRY RUN]. */
#include "query/optimize.h"
#include "query/compact.h"

#include "core/time.h"

/* "p=1/q=x", or "" without partitions. */
static enum apiary_code partition_text(const struct ap_metadata *metadata,
    const struct ap_cell *cell, struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < metadata->partition_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, "/", err));
        AP_TRY(ap_partition_folder(out, metadata->partition_by[i],
            cell->partition_values[i].size > 0 ? cell->partition_values[i] : (struct ap_str) { 0 },
            err));
    }
    return APIARY_OK;
}

static enum apiary_code add_bins(const struct ap_target *target,
    const struct ap_compact_plan *plan, struct ap_rows *rows, struct apiary_error *err)
{
    AP_TRY(ap_rows_column(rows, "partition", AP_ROWS_TEXT, err));
    AP_TRY(ap_rows_column(rows, "cells", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "bytes", AP_ROWS_INT64, err));
    AP_TRY(ap_rows_column(rows, "deleted_rows", AP_ROWS_INT64, err));
    for (size_t i = 0; i < plan->bin_count; i++) {
        AP_AUTO(ap_bytes) partition = { 0 };
        const struct ap_bin *bin = &plan->bins[i];
        const struct ap_cell *first = &target->base->cells[plan->order[bin->first]];
        AP_TRY(partition_text(&target->metadata, first, &partition, err));
        AP_TRY(ap_rows_text(rows,
            (struct ap_str) { ap_bytes_text(&partition), partition.size }, err));
        AP_TRY(ap_rows_int(rows, (int64_t)bin->count, err));
        AP_TRY(ap_rows_int(rows, (int64_t)bin->bytes, err));
        AP_TRY(ap_rows_int(rows, bin->deleted_rows, err));
    }
    return APIARY_OK;
}

static enum apiary_code show_plan(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO(ap_compact_plan) plan = { 0 };
    struct ap_rows *rows = NULL;
    AP_TRY(ap_compact_look(session, target, options, &plan, err));
    if (plan.bin_count > 0) AP_TRY(ap_compact_tell(session, target, options, &plan, err));
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = add_bins(target, &plan, rows, err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    return code;
}

static enum apiary_code tell(const struct ap_target *target, const struct ap_compacted *done,
    struct ap_result *result, struct apiary_error *err)
{
    char before[32], after[32];
    if (done->commits == 0)
        return ap_result_message(result, err, "Nothing to do: %s is in shape (version %llu).",
            target->name, (unsigned long long)done->version);
    ap_size_format((uint64_t)done->bytes_before, before);
    ap_size_format((uint64_t)done->bytes_after, after);
    char shared[64] = "";
    if (done->shared_tasks > 0)
        snprintf(shared, sizeof shared, ", by the swarm in %zu tasks", done->shared_tasks);
    return ap_result_message(result, err,
        "Optimized %s: %zu cell%s of %s became %zu of %s (version %llu)%s.", target->name,
        done->cells_before, done->cells_before == 1 ? "" : "s", before, done->cells_after, after,
        (unsigned long long)done->version, shared);
}

enum apiary_code ap_run_optimize(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    struct ap_compacted done = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_TRY(ap_names_find(session, &statement->name, &name, err));
    AP_TRY(ap_target_open(session, &name, &target, err));
    struct ap_compact_options options = { .condition = statement->condition,
        .shared = true,
        .cluster_by = statement->cluster_by.count > 0 ? &statement->cluster_by : NULL };
    if (statement->flags.dry_run) return show_plan(session, &target, &options, result, err);
    AP_TRY(ap_compact(session, &target, &options, &done, err));
    return tell(&target, &done, result, err);
}
