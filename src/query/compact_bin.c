/* One bin of a compaction: its rows into new cells; and the commit of some bins. */
#include "query/compact.h"

#include "query/cluster.h"

#include "core/alloc.h"

bool ap_cell_has_deleted_rows(const struct ap_cell *cell)
{
    return cell->deletion_vector.storage.size > 0;
}

int64_t ap_cell_deleted_rows(const struct ap_cell *cell)
{
    return ap_cell_has_deleted_rows(cell) ? cell->deletion_vector.cardinality : 0;
}

/* ---- rows ---- */

static enum apiary_code rewrite(const struct ap_compact_work *work, const bool *keep,
    const struct ap_str *values, struct ap_written *written, struct apiary_error *err)
{
    struct ap_target *target = work->target;
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) rows = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_TRY(ap_source_resolve(work->session, (struct ap_str) { 0 }, NULL, &source, err));
    source->aside = work->cancel != NULL;
    if (work->cancel != NULL) source->cancel = work->cancel;
    enum apiary_code code = ap_source_take(source, work->width, err);
    if (code == APIARY_OK && work->yields)
        ap_chamber_yields(source->chamber, &work->session->cancel);
    if (code == APIARY_OK) code = ap_source_add_target(source, target, keep, &rows, err);
    if (code == APIARY_OK) code = ap_bytes_add_text(&select, "SELECT ", err);
    if (code == APIARY_OK) code = ap_cell_columns(&target->metadata, &select, err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(
            &select, err, " FROM (" AP_FMT ") AS apiary_rows", AP_ARG(ap_bytes_view(&rows)));
    if (code == APIARY_OK) code = ap_cluster_order(work->cluster_by, &select, err);
    if (code == APIARY_OK)
        code = ap_write_partition(
            source, target, ap_bytes_view(&select), NULL, values, work->tag, written, err);
    ap_source_close(source);
    return code;
}

/* -1: the ledger does not say. */
int64_t ap_compact_rows(const struct ap_snapshot *base, const size_t *cells, size_t count)
{
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++) {
        const struct ap_cell *cell = &base->cells[cells[i]];
        if (cell->row_count < 0) return -1;
        rows += cell->row_count - ap_cell_deleted_rows(cell);
    }
    return rows;
}

enum apiary_code ap_compact_check_rows(
    const struct ap_target *target, int64_t expected, int64_t rows, struct apiary_error *err)
{
    if (expected < 0 || rows == expected) return APIARY_OK;
    ap_fail(err, APIARY_CORRUPT,
        "cells of frame %s hold %lld rows where its ledger says %lld; nothing was changed",
        target->name, (long long)rows, (long long)expected);
    return ap_hint(err, "apiary fsck says which cell it is");
}

enum apiary_code ap_compact_bin(const struct ap_compact_work *work, const size_t *cells,
    size_t count, struct ap_written *out, struct apiary_error *err)
{
    const struct ap_snapshot *base = work->target->base;
    const struct ap_cell *first = &base->cells[cells[0]];
    size_t columns = base->metadata.partition_count;
    AP_AUTO_FREE bool *keep = ap_calloc(base->cell_count, sizeof *keep);
    struct ap_str *values =
        ap_arena_alloc(&out->arena, (columns == 0 ? 1 : columns) * sizeof *values);
    if (keep == NULL || values == NULL) return ap_fail_memory(err, "a bin of cells");
    for (size_t i = 0; i < columns; i++)
        values[i] = first->partition_values[i].size > 0 ? first->partition_values[i]
                                                        : (struct ap_str) { NULL, 0 };
    for (size_t i = 0; i < count; i++) keep[cells[i]] = true;
    int64_t before = out->rows;
    AP_TRY(rewrite(work, keep, values, out, err));
    return ap_compact_check_rows(
        work->target, ap_compact_rows(base, cells, count), out->rows - before, err);
}

/* ---- commit ---- */

static enum apiary_code add_parameters(const struct ap_compact_work *work, struct ap_str condition,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) columns = { 0 };
    AP_TRY(ap_bytes_add_text(&columns, "[", err));
    for (size_t i = 0; i < work->cluster_by->count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(&columns, ",", err));
        AP_TRY(ap_json_quote(&columns, ap_str_from(work->cluster_by->items[i]), err));
    }
    AP_TRY(ap_bytes_add_text(&columns, "]", err));
    AP_TRY(ap_bytes_add_text(out, "{\"predicate\":", err));
    AP_TRY(ap_json_quote(out, condition, err));
    AP_TRY(ap_bytes_add_text(out, ",\"clusterBy\":", err));
    AP_TRY(ap_json_quote(out, ap_bytes_view(&columns), err));
    return ap_bytes_add_text(out, "}", err);
}

static enum apiary_code add_metrics(const struct ap_compact_commit *how,
    const struct ap_written *written, struct ap_bytes *out, struct apiary_error *err)
{
    int64_t bytes = 0, deleted_rows = 0;
    for (size_t i = 0; i < how->remove_count; i++) {
        bytes += how->removes[i]->size_bytes;
        deleted_rows += ap_cell_deleted_rows(how->removes[i]);
    }
    return ap_bytes_printf(out, err,
        "{\"numRemovedFiles\":\"%zu\",\"numAddedFiles\":\"%zu\",\"numRemovedBytes\":\"%lld\","
        "\"numAddedBytes\":\"%lld\",\"numDeletedRows\":\"%lld\"}",
        how->remove_count, written->count, (long long)bytes, (long long)written->bytes,
        (long long)deleted_rows);
}

enum apiary_code ap_compact_commit(const struct ap_compact_work *work,
    const struct ap_compact_commit *how, const struct ap_written *written, uint64_t *version,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) parameters = { 0 };
    AP_AUTO(ap_bytes) metrics = { 0 };
    AP_TRY(add_parameters(work, how->condition, &parameters, err));
    AP_TRY(add_metrics(how, written, &metrics, err));
    struct ap_commit commit = {
        .base = work->target->base,
        .adds = written->cells,
        .add_count = written->count,
        .removes = how->removes,
        .remove_count = how->remove_count,
        .data_change = false,
        .scope = AP_READ_NOTHING, /* no more than the cells that it removes */
        .operation = "OPTIMIZE",
        .expires_mono_us =
            how->expires_mono_us != 0 ? how->expires_mono_us : ap_written_expires_us(written),
        .txn_app_id = how->txn,
        .txn_version = 1,
        .operation_parameters = ap_bytes_text(&parameters),
        .operation_metrics = ap_bytes_text(&metrics),
        .cancel = &work->session->cancel,
    };
    return ap_ledger_commit(work->target->ledger, &commit, version, NULL, err);
}
