/* SELECT and EXPLAIN. */
#include "query/read.h"
#include "query/running.h"
#include "query/spread.h"
#include "query/tries.h"
#include "query/types.h"

#include "core/alloc.h"
#include "core/time.h"

enum { LEDGER_ASKS_MAX = 64, EXPLAIN_CELLS_MAX = 20 };

static enum apiary_code add_scan_stats(
    const struct ap_source *source, struct ap_result *result, struct apiary_error *err)
{
    size_t cells = 0, kept = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < source->scan_count; i++) {
        cells += source->scans[i].snapshot->cell_count;
        kept += source->scans[i].kept;
        bytes += source->scans[i].kept_bytes;
    }
    return ap_bytes_printf(&result->stats, err,
        "\"frames\":%zu,\"cells\":%zu,\"cells_read\":%zu,\"cell_bytes\":%llu", source->scan_count,
        cells, kept, (unsigned long long)bytes);
}

/* ---- answers from the ledger alone ---- */

static enum apiary_code add_figure(const struct ap_scan *scan, const struct ap_ledger_ask *ask,
    struct ap_bytes *sql, bool *exact, struct apiary_error *err)
{
    int64_t rows = 0;
    *exact = false;
    if (ask->figure == AP_FIGURE_COUNT) {
        if (ask->column.size > 0 || !ap_snapshot_row_count(scan->snapshot, &rows)) return APIARY_OK;
        *exact = true;
        AP_TRY(ap_bytes_printf(sql, err, "CAST(%lld AS BIGINT)", (long long)rows));
    } else {
        AP_AUTO(ap_bytes) text = { 0 };
        bool is_null = false;
        size_t column = ap_schema_find(&scan->snapshot->metadata.schema, ask->column);
        if (column == SIZE_MAX) return APIARY_OK;
        if (!ap_snapshot_extreme(
                scan->snapshot, column, ask->figure == AP_FIGURE_MAX, &text, &is_null))
            return APIARY_OK;
        *exact = true;
        AP_TRY(ap_bytes_add_text(sql, "CAST(", err));
        AP_TRY(is_null ? ap_bytes_add_text(sql, "NULL", err)
                       : ap_sql_string(sql, ap_bytes_view(&text), err));
        AP_TRY(ap_bytes_add_text(sql, " AS ", err));
        AP_TRY(ap_type_to_engine(&scan->snapshot->metadata.schema.fields[column].type, sql, err));
        AP_TRY(ap_bytes_add_text(sql, ")", err));
    }
    AP_TRY(ap_bytes_add_text(sql, " AS ", err));
    return ap_sql_name(sql, ask->alias, err);
}

/* The query with constants in place of its aggregates; empty when the cells must be read. */
static enum apiary_code ledger_answer(
    struct ap_source *source, struct ap_bytes *sql, struct apiary_error *err)
{
    struct ap_ledger_ask asks[LEDGER_ASKS_MAX];
    if (source->tree == NULL || !source->names.ledger_only || source->scan_count != 1)
        return APIARY_OK;
    if (!source->plain_frame || source->input_count > 0) return APIARY_OK;
    size_t count = ap_tree_ledger_asks(&source->names, source->tree, asks, LEDGER_ASKS_MAX);
    for (size_t i = 0; i < count; i++) {
        bool exact = false;
        AP_TRY(ap_bytes_add_text(sql, i == 0 ? "SELECT " : ", ", err));
        AP_TRY(add_figure(&source->scans[0], &asks[i], sql, &exact, err));
        if (exact) continue;
        ap_bytes_clear(sql);
        return APIARY_OK;
    }
    return APIARY_OK;
}

/* Figures for the result, and the constants that answer it without a cell, if the ledger can. */
static enum apiary_code prepare(struct ap_source *source, struct ap_result *result,
    struct ap_bytes *constant, struct apiary_error *err)
{
    AP_TRY(ledger_answer(source, constant, err));
    AP_TRY(ap_bytes_printf(
        &result->stats, err, "\"from_ledger\":%s,", constant->size > 0 ? "true" : "false"));
    return add_scan_stats(source, result, err);
}

/* One try. A constant needs one bee and none of the frames' views. */
static enum apiary_code try_select(struct ap_request *request, const struct ap_tries *tries,
    struct ap_str constant, struct ap_result *result, struct apiary_error *err)
{
    struct ap_source *source = tries->source;
    AP_TRY(ap_source_take(source, tries->width, err));
    if (constant.size == 0) AP_TRY(ap_source_prepare(source, err));
    struct ap_str sql = constant.size > 0 ? constant : ap_bytes_view(&source->sql);
    return ap_running_start(
        source, sql, tries->timeout_us, request->query, &result->running, err);
}

/* Divides the query, if it may be and should be. *done: it was, and the result has its rows. The
 * source stays the caller's. */
static enum apiary_code run_divided(struct ap_request *request, struct ap_source *source,
    struct ap_result *result, bool *done, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) constant = { 0 };
    AP_AUTO(ap_plan_made) made = { 0 };
    struct ap_plan_wish wish = ap_plan_wish_of_tests();
    wish.query = request->query;
    const char *why = NULL;
    *done = false;
    if (!ap_spread_wanted(source, &why)) return APIARY_OK;
    AP_TRY(ledger_answer(source, &constant, err));
    if (constant.size > 0) return APIARY_OK;
    AP_TRY(ap_plan_make(source, &wish, &made, err));
    AP_TRY(ap_bytes_printf(&result->stats, err, "\"distributed\":%s,\"why_whole\":",
        made.plan != NULL ? "true" : "false"));
    AP_TRY(ap_json_quote(&result->stats, ap_bytes_view(&made.why), err));
    AP_TRY(ap_bytes_add_text(&result->stats, ",", err));
    if (made.plan == NULL) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(&result->stats, "\"from_ledger\":false,", err));
    AP_TRY(add_scan_stats(source, result, err));
    *done = true;
    return ap_spread_run(request->session, made.plan, result, err);
}

static enum apiary_code run_select(struct ap_request *request, struct ap_source *source,
    struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) constant = { 0 };
    AP_AUTO(ap_tries) tries = { 0 };
    struct apiary_error failure = { 0 };
    bool divided = false;
    enum apiary_code code = run_divided(request, source, result, &divided, &failure);
    if (divided) {
        ap_source_close(source);
        if (code != APIARY_OK && err != NULL) *err = failure;
        return code;
    }
    if (code == APIARY_OK) code = prepare(source, result, &constant, &failure);
    ap_source_share(source);
    ap_tries_begin(&tries, source, constant.size > 0 ? 1 : ap_source_width(source));
    while (code == APIARY_OK) {
        code = try_select(request, &tries, ap_bytes_view(&constant), result, &failure);
        if (code == APIARY_OK) break;
        if (ap_tries_again(&tries, &code, &failure)) code = APIARY_OK;
    }
    if (code != APIARY_OK) {
        ap_source_close(source);
        if (err != NULL) *err = failure;
        return code;
    }
    result->has_rows = true;
    return APIARY_OK;
}

/* ---- EXPLAIN ---- */

static enum apiary_code explain_dropped(struct ap_rows *rows, const struct ap_scan *scan,
    enum ap_prune_reason reason, const char *why, struct apiary_error *err)
{
    size_t count = 0;
    uint64_t bytes = 0;
    char size[32];
    for (size_t i = 0; i < scan->snapshot->cell_count; i++)
        if (scan->reasons[i] == reason) {
            count++;
            bytes += (uint64_t)scan->snapshot->cells[i].size_bytes;
        }
    if (count == 0) return APIARY_OK;
    ap_size_format(bytes, size);
    AP_TRY(
        ap_rows_say(rows, err, "  dropped by %s: %zu cell%s, %s", why, count, count == 1 ? "" : "s", size));
    size_t told = 0;
    for (size_t i = 0; i < scan->snapshot->cell_count && told < EXPLAIN_CELLS_MAX; i++)
        if (scan->reasons[i] == reason) {
            told++;
            AP_TRY(ap_rows_say(rows, err, "    " AP_FMT, AP_ARG(scan->snapshot->cells[i].path)));
        }
    if (count > told) AP_TRY(ap_rows_say(rows, err, "    … and %zu more", count - told));
    return APIARY_OK;
}

static enum apiary_code explain_scan(
    struct ap_rows *rows, const struct ap_scan *scan, struct apiary_error *err)
{
    char kept[32], total[32];
    ap_size_format(scan->kept_bytes, kept);
    ap_size_format(ap_snapshot_bytes(scan->snapshot), total);
    AP_TRY(ap_rows_say(rows, err, "frame %s.%s.%s version %llu: reads %zu of %zu cells, %s of %s",
        scan->entry.name.hive, scan->entry.name.box, scan->entry.name.frame,
        (unsigned long long)scan->snapshot->version, scan->kept, scan->snapshot->cell_count, kept,
        total));
    AP_TRY(explain_dropped(rows, scan, AP_DROPPED_PARTITION, "partition", err));
    return explain_dropped(rows, scan, AP_DROPPED_STATISTICS, "statistics", err);
}

/* What the cells of a store cost: a part of what the "store:" line has in all. */
static enum apiary_code explain_cost(struct ap_source *source, const struct ap_job_stats *job,
    struct ap_rows *rows, struct apiary_error *err)
{
    char fetched[32], ahead[32], kept[32];
    struct ap_cache_figures cost = ap_cell_set_figures(source->cells);
    uint64_t requests = ap_store_counts_requests(&cost.asked), bytes = cost.asked.bytes_in;
    ap_size_format(bytes, fetched);
    ap_size_format(cost.ahead_bytes, ahead);
    ap_size_format(job->paged_bytes > bytes ? job->paged_bytes - bytes : 0, kept);
    AP_TRY(ap_rows_say(rows, err, "cells: %llu request%s, %s, of these %s ahead of need",
        (unsigned long long)requests, requests == 1 ? "" : "s", fetched, ahead));
    return ap_rows_say(rows, err, "cache: %s; %llu read%s waited for the store", kept,
        (unsigned long long)job->page_waits, job->page_waits == 1 ? "" : "s");
}

/* The engine's plan: the last column of its answer, line by line. */
static enum apiary_code explain_engine(struct ap_request *request, struct ap_source *source,
    struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_AUTO_JSON *answer = NULL;
    AP_TRY(ap_bytes_printf(&sql, err, "EXPLAIN %s" AP_FMT,
        request->statement->flags.analyze ? "ANALYZE " : "", AP_ARG(ap_bytes_view(&source->sql))));
    struct ap_job_stats job = { 0 };
    AP_TRY(ap_source_run(source, ap_bytes_view(&sql), "json", request->query, &done, &job, err));
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's plan", &answer, err));
    yyjson_val *row = NULL;
    size_t index = 0, count = 0;
    yyjson_arr_foreach(ap_json_member(yyjson_doc_get_root(answer), "rows"), index, count, row)
    {
        const char *text = yyjson_get_str(yyjson_arr_get_last(row));
        while (text != NULL && *text != '\0') {
            size_t length = strcspn(text, "\n");
            AP_TRY(ap_rows_text(rows, (struct ap_str) { text, length }, err));
            text += length + (text[length] == '\n');
        }
    }
    if (request->statement->flags.analyze && source->paged)
        return explain_cost(source, &job, rows, err);
    return APIARY_OK;
}

/* Where it ran, and how warm it was there. */
static enum apiary_code explain_colony(
    const struct ap_source *source, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_pool_load load;
    char budget[32], peak[32];
    ap_pool_load(source->session->world->pool, &load);
    ap_size_format(ap_chamber_budget(source->chamber), budget);
    ap_size_format(ap_chamber_peak(source->chamber), peak);
    AP_TRY(ap_rows_say(rows, err, "chamber of %d of %d bees, budget %s, peak %s, seal %s",
        ap_chamber_width(source->chamber), load.bees, budget, peak, ap_chamber_seal(source->chamber)));
    return ap_rows_say(rows, err, "colony %s, temperature %.2f", ap_band_text(load.band), load.temperature);
}

static enum apiary_code explain(struct ap_request *request, struct ap_source *source,
    const struct ap_result *result, struct ap_rows *rows, struct apiary_error *err)
{
    AP_TRY(ap_rows_column(rows, "explain", AP_ROWS_TEXT, err));
    for (size_t i = 0; i < source->scan_count; i++)
        AP_TRY(explain_scan(rows, &source->scans[i], err));
    AP_AUTO(ap_bytes) constant = { 0 };
    AP_TRY(ledger_answer(source, &constant, err));
    if (constant.size > 0)
        return ap_rows_say(rows, err, "answered from the ledger alone: no cell is opened");
    bool divided = false;
    AP_TRY(ap_explain_spread(source, request->query, request->statement->flags.analyze, rows, &divided, err));
    char line[AP_STORE_COUNTS_TEXT_MAX];
    if (divided) {
        if (!request->statement->flags.analyze) return APIARY_OK;
        ap_store_counts_text(&result->asked, &result->prices, line);
        return ap_rows_say(rows, err, "this node's %s", line);
    }
    AP_TRY(ap_source_prepare(source, err));
    ap_source_share(source);
    AP_TRY(explain_engine(request, source, rows, err));
    if (!request->statement->flags.analyze) return APIARY_OK;
    struct ap_store_counts asked = { 0 };
    struct ap_cache_figures paging = ap_cell_set_figures(source->cells);
    ap_store_counts_add(&asked, &result->asked);
    ap_store_counts_add(&asked, &paging.asked);
    ap_store_counts_text(&asked, &result->prices, line);
    AP_TRY(ap_rows_text(rows, ap_str_from(line), err));
    return explain_colony(source, rows, err);
}

static enum apiary_code run_explain(struct ap_request *request, struct ap_source *source,
    struct ap_result *result, struct apiary_error *err)
{
    struct ap_rows *rows = NULL;
    AP_TRY(ap_rows_new(&rows, err));
    enum apiary_code code = explain(request, source, result, rows, err);
    if (code == APIARY_OK) code = ap_rows_finish(rows, result, err);
    ap_rows_free(rows);
    ap_source_close(source);
    return code;
}

enum apiary_code ap_run_query(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    bool explains = request->statement->kind == AP_STATEMENT_EXPLAIN;
    struct ap_str text = explains ? request->statement->body : request->text;
    struct ap_source *source = NULL;
    AP_TRY(ap_source_resolve(request->session, text, request->query, &source, err));
    return explains ? run_explain(request, source, result, err)
                    : run_select(request, source, result, err);
}
