/* DELETE and UPDATE as copy-on-write: cells that hold a row which is meant are written again.
 *
 *   1. "SELECT (value), … FROM frame WHERE (condition)" is resolved like any query: names, snapshots,
 *      pruning. What became of the condition and of the values is cut out of it again, between marks.
 *   2. Cells that pruning keeps are taken in bins of one partition. A bin without such a row is left.
 *   3. The others are written anew, and one commit takes the old cells for the new ones. It read its
 *      condition: an append that may hold such rows, or a change of a cell, is a conflict.
 *
 * Rows are counted: an update gives as many as there were, a delete no more. */
#include "query/dml_private.h"

#include "core/alloc.h"

#include <stdio.h>

enum { TOGETHER_MAX = 64 };

static void rewriting_done(struct ap_rewriting *rewriting)
{
    ap_source_close(rewriting->source);
    ap_free(rewriting->values);
    ap_free(rewriting->columns);
    ap_free(rewriting->removes);
    ap_bytes_done(&rewriting->alias);
    ap_compact_plan_done(&rewriting->plan);
    ap_written_done(&rewriting->written);
    ap_target_done(&rewriting->target);
}

/* ---- names, snapshot, what is assigned ---- */

static enum apiary_code find_columns(struct ap_rewriting *rewriting, struct apiary_error *err)
{
    const struct ap_statement *statement = rewriting->request->statement;
    const struct ap_metadata *metadata = &rewriting->target.metadata;
    size_t count = statement->option_count;
    rewriting->values = ap_calloc(count + 1, sizeof *rewriting->values);
    rewriting->columns = ap_calloc(count + 1, sizeof *rewriting->columns);
    if (rewriting->values == NULL || rewriting->columns == NULL)
        return ap_fail_memory(err, "an update");
    rewriting->count = count;
    if (count > 0 && ap_schema_find(&metadata->schema, AP_STR(AP_DML_MEANT)) != SIZE_MAX)
        return ap_fail(err, APIARY_UNSUPPORTED, "frame %s has a column \"" AP_DML_MEANT "\", which UPDATE needs for itself",
            rewriting->target.name);
    for (size_t i = 0; i < count; i++) {
        const char *name = statement->options[i].name;
        size_t column = ap_schema_find(&metadata->schema, ap_str_from(name));
        if (column == SIZE_MAX)
            return ap_fail(err, APIARY_SCHEMA, "frame %s has no column \"%s\"",
                rewriting->target.name, name);
        for (size_t j = 0; j < i; j++)
            if (rewriting->columns[j] == column)
                return ap_fail(err, APIARY_SQL, "column \"%s\" is set twice", name);
        for (size_t j = 0; j < metadata->partition_count; j++)
            if (ap_str_equal_nocase(metadata->partition_by[j], ap_str_from(name))) {
                ap_fail(err, APIARY_UNSUPPORTED,
                    "column \"%s\" is a partition column: its rows would move", name);
                return ap_hint(err, "INSERT the changed rows and DELETE the old ones");
            }
        rewriting->columns[i] = column;
    }
    return APIARY_OK;
}

static enum apiary_code find_target(struct ap_rewriting *rewriting, struct apiary_error *err)
{
    struct ap_source *source = rewriting->source;
    struct ap_target *target = &rewriting->target;
    struct ap_scan *scan = NULL;
    for (size_t i = 0; i < source->scan_count; i++)
        if (strcmp(source->scans[i].entry.id.text, target->entry.id.text) == 0 &&
            source->scans[i].at.kind == AP_AT_NEWEST)
            scan = &source->scans[i];
    if (scan == NULL)
        return ap_fail(err, APIARY_INTERNAL, "the frame is not among those that are read");
    ap_snapshot_unref(target->base); /* the statement's own snapshot is what it reads */
    target->base = scan->snapshot;
    ap_snapshot_ref(target->base);
    target->metadata = target->base->metadata;
    AP_TRY(ap_snapshot_check_writable(target->base, err));

    size_t count = target->base->cell_count;
    AP_AUTO_FREE bool *chosen = ap_calloc(count + 1, sizeof *chosen);
    if (chosen == NULL) return ap_fail_memory(err, "a frame's cells");
    for (size_t i = 0; i < count; i++) chosen[i] = scan->reasons[i] == AP_KEPT;
    struct ap_compact_rules rules = { .cells_min = 1, .all = true };
    AP_TRY(ap_target_cut(source->session, &target->metadata, &rules.cut, err));
    AP_TRY(ap_compact_plan(target->base, chosen, &rules, &rewriting->plan, err));
    /* One reference: its predicate is the statement's. Others of the frame read more. */
    if (source->tree != NULL && source->names.table_count == 1)
        rewriting->predicate = source->names.tables[0].predicate;
    return APIARY_OK;
}

/* Does what is assigned hang on a row alone? */
static enum apiary_code check_values(const struct ap_rewriting *rewriting, const struct ap_source *source, struct apiary_error *err)
{
    const char *beyond = rewriting->count > 0 && source->tree != NULL ? ap_tree_beyond_a_row(source->tree) : NULL;
    if (beyond == NULL) return APIARY_OK;
    ap_fail(err, APIARY_SQL, "UPDATE takes no %s: rows are read a few cells at a time", beyond);
    return ap_hint(err, "UPDATE name SET column = (SELECT …): a query sees the whole frame");
}

static enum apiary_code check_joined(struct ap_rewriting *rewriting, struct apiary_error *err)
{
    struct ap_request *request = rewriting->request;
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_described_list) columns = { 0 };
    if (request->statement->using_clause.size == 0) return APIARY_OK;
    AP_TRY(ap_dml_joined(request->statement, &text, err));
    AP_TRY(ap_source_resolve(request->session, ap_bytes_view(&text), request->query, &source, err));
    enum apiary_code code = check_values(rewriting, source, err);
    if (code == APIARY_OK) code = ap_source_prepare(source, err);
    if (code == APIARY_OK) code = ap_source_describe(source, ap_bytes_view(&source->sql), request->query, &columns, err);
    ap_source_close(source);
    return code;
}

static enum apiary_code resolve(struct ap_rewriting *rewriting, struct apiary_error *err)
{
    struct ap_request *request = rewriting->request;
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_dml_text(statement, &text, err));
    AP_TRY(ap_source_resolve(
        request->session, ap_bytes_view(&text), request->query, &rewriting->source, err));
    AP_TRY(find_target(rewriting, err));
    AP_TRY(find_columns(rewriting, err));
    AP_TRY(check_values(rewriting, rewriting->source, err));
    AP_TRY(check_joined(rewriting, err));
    struct ap_str sql = ap_bytes_view(&rewriting->source->sql);
    if (statement->condition.size + statement->using_clause.size > 0) AP_TRY(ap_dml_part(sql, 0, &rewriting->condition, err));
    for (size_t i = 0; i < rewriting->count; i++)
        AP_TRY(ap_dml_part(sql, i + 1, &rewriting->values[i], err));
    if (statement->alias.size > 0)
        return ap_bytes_add_str(&rewriting->alias, statement->alias, err);
    return ap_sql_name(&rewriting->alias,
        ap_str_from(statement->name.parts[statement->name.count - 1]), err);
}

/* ---- one bin ---- */

static enum apiary_code read_number(yyjson_val *row, size_t at, int64_t *out, struct apiary_error *err)
{
    yyjson_val *value = yyjson_arr_get(row, at);
    if (!yyjson_is_str(value) ||
        !ap_str_to_i64((struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) }, out))
        return ap_fail(err, APIARY_CORRUPT, "a chamber's answer holds no number");
    return APIARY_OK;
}

/* A bin that is looked at: its rows as a SELECT, how many they are, and how many of them are meant. */
struct looked {
    const struct ap_bin *bin;
    struct ap_bytes rows;
    int64_t all, meant;
};

/* The values stand in it too, never evaluated, so that every parameter of the statement is used. */
static enum apiary_code add_count(const struct ap_rewriting *rewriting, size_t number, const struct looked *looked,
    struct ap_bytes *out, struct apiary_error *err)
{
    const struct apiary_query *query = rewriting->request->query;
    AP_TRY(ap_bytes_printf(out, err, "%sSELECT %zu, count(*), count(*) FILTER (WHERE " AP_FMT ")", number > 0 ? " UNION ALL " : "",
        number, AP_ARG(ap_dml_condition(rewriting))));
    for (size_t i = 0; query != NULL && query->value_count > 0 && i < rewriting->count; i++)
        AP_TRY(ap_bytes_printf(out, err, ", count(CASE WHEN false THEN " AP_FMT " END)",
            AP_ARG(rewriting->values[i])));
    return ap_dml_from(rewriting, ap_bytes_view(&looked->rows), out, err);
}

/* All in one question: an engine instance for each would take most of the time. */
static enum apiary_code count_rows(struct ap_rewriting *rewriting, struct looked *looked, size_t count, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_AUTO_JSON *answer = NULL;
    for (size_t i = 0; i < count; i++) AP_TRY(add_count(rewriting, i, &looked[i], &sql, err));
    AP_TRY(ap_source_ask(rewriting->source, ap_bytes_view(&sql), rewriting->request->query, &done, err));
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's answer", &answer, err));
    yyjson_val *rows = ap_json_member(yyjson_doc_get_root(answer), "rows"), *row;
    size_t at, row_count;
    if (yyjson_arr_size(rows) != count) return ap_fail(err, APIARY_CORRUPT, "a chamber's answer lacks rows");
    yyjson_arr_foreach(rows, at, row_count, row)
    {
        int64_t number = 0;
        AP_TRY(read_number(row, 0, &number, err));
        if (number < 0 || (size_t)number >= count) return ap_fail(err, APIARY_CORRUPT, "a chamber's answer holds another number");
        AP_TRY(read_number(row, 1, &looked[number].all, err));
        AP_TRY(read_number(row, 2, &looked[number].meant, err));
    }
    return APIARY_OK;
}

static enum apiary_code take_rows(struct ap_rewriting *rewriting, struct looked *looked, struct apiary_error *err)
{
    const struct ap_snapshot *base = rewriting->target.base;
    const struct ap_bin *bin = looked->bin;
    AP_AUTO_FREE bool *keep = ap_calloc(base->cell_count + 1, sizeof *keep);
    if (keep == NULL) return ap_fail_memory(err, "cells to be written again");
    for (size_t i = bin->first; i < bin->first + bin->count; i++) keep[rewriting->plan.order[i]] = true;
    return ap_source_add_target(rewriting->source, &rewriting->target, keep, &looked->rows, err);
}

static enum apiary_code rewrite_bin(
    struct ap_rewriting *rewriting, const struct looked *looked, struct apiary_error *err)
{
    struct ap_target *target = &rewriting->target;
    const struct ap_snapshot *base = target->base;
    const struct ap_compact_plan *plan = &rewriting->plan;
    const struct ap_bin *bin = looked->bin;
    bool update = rewriting->count > 0;
    size_t columns = base->metadata.partition_count;
    AP_AUTO(ap_bytes) select = { 0 };
    struct ap_str *values =
        ap_arena_alloc(&rewriting->written.arena, (columns + 1) * sizeof *values);
    if (values == NULL) return ap_fail_memory(err, "cells to be written again");
    const struct ap_cell *first = &base->cells[plan->order[bin->first]];
    for (size_t i = 0; i < columns; i++)
        values[i] = first->partition_values[i].size > 0 ? first->partition_values[i]
                                                        : (struct ap_str) { NULL, 0 };
    int64_t all = looked->all, before = rewriting->written.rows;
    AP_TRY(AP_GROW(rewriting->removes, rewriting->remove_capacity,
        rewriting->remove_count + bin->count, err));
    if (update || looked->meant < all) {
        AP_TRY(update ? ap_dml_updated(rewriting, ap_bytes_view(&looked->rows), &select, err)
                      : ap_dml_remaining(rewriting, ap_bytes_view(&looked->rows), &select, err));
        AP_TRY(ap_write_partition(rewriting->source, target, ap_bytes_view(&select),
            rewriting->request->query, values, (struct ap_str) { 0 }, &rewriting->written, err));
    }
    int64_t now = rewriting->written.rows - before;
    if (update ? now != all : now > all)
        return ap_fail(err, APIARY_CORRUPT,
            "cells of frame %s hold %lld rows and gave %lld; nothing was changed", target->name,
            (long long)all, (long long)now);
    rewriting->changed += update ? looked->meant : all - now;
    for (size_t i = bin->first; i < bin->first + bin->count; i++)
        rewriting->removes[rewriting->remove_count++] = &base->cells[plan->order[i]];
    return APIARY_OK;
}

/* Neighbouring bins, counted together: those without a row that is meant are left. */
static enum apiary_code rewrite_bins(struct ap_rewriting *rewriting, size_t first, size_t count, struct apiary_error *err)
{
    struct looked looked[TOGETHER_MAX] = { 0 };
    enum apiary_code code = APIARY_OK;
    ap_assert(count <= TOGETHER_MAX);
    for (size_t i = 0; i < count && code == APIARY_OK; i++) {
        looked[i].bin = &rewriting->plan.bins[first + i];
        code = take_rows(rewriting, &looked[i], err);
    }
    if (code == APIARY_OK) code = count_rows(rewriting, looked, count, err);
    for (size_t i = 0; i < count && code == APIARY_OK; i++)
        if (looked[i].meant > 0) code = rewrite_bin(rewriting, &looked[i], err);
    for (size_t i = 0; i < count; i++) ap_bytes_done(&looked[i].rows);
    return code;
}

/* ---- the statement ---- */

static enum apiary_code commit_change(struct ap_session *session, struct ap_target *target,
    const struct ap_written *written, const struct ap_cell *const *removes, size_t remove_count,
    const struct ap_predicate *predicate, const char *operation, struct ap_str condition,
    uint64_t *version, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) parameters = { 0 };
    AP_AUTO(ap_bytes) metrics = { 0 };
    AP_TRY(ap_bytes_add_text(&parameters, "{\"predicate\":", err));
    AP_TRY(ap_json_quote(
        &parameters, condition.size > 0 ? condition : AP_STR("true"), err));
    AP_TRY(ap_bytes_add_text(&parameters, "}", err));
    AP_TRY(ap_bytes_printf(&metrics, err,
        "{\"numRemovedFiles\":\"%zu\",\"numAddedFiles\":\"%zu\",\"numOutputRows\":\"%lld\"}",
        remove_count, written->count, (long long)written->rows));
    struct ap_commit commit = {
        .base = target->base,
        .adds = written->cells,
        .add_count = written->count,
        .removes = removes,
        .remove_count = remove_count,
        .data_change = true,
        .scope = predicate != NULL ? AP_READ_PREDICATE : AP_READ_ALL,
        .read_predicate = predicate,
        .operation = operation,
        .expires_mono_us = ap_written_expires_us(written),
        .operation_parameters = ap_bytes_text(&parameters),
        .operation_metrics = ap_bytes_text(&metrics),
        .cancel = &session->cancel,
    };
    return ap_ledger_commit(target->ledger, &commit, version, NULL, err);
}

static enum apiary_code tell(struct ap_result *result, const char *verb, int64_t rows,
    const struct ap_target *target, uint64_t version, struct apiary_error *err)
{
    result->rows_changed = rows;
    if (rows < 0)
        return ap_result_message(result, err, "%s every row of %s (version %llu).", verb,
            target->name, (unsigned long long)version);
    return ap_result_message(result, err, "%s %lld row%s of %s (version %llu).", verb,
        (long long)rows, rows == 1 ? "" : "s", target->name, (unsigned long long)version);
}

/* Each bin is read twice, and the caller's stream can be read once. */
static enum apiary_code check_inputs(const struct ap_rewriting *rewriting, struct apiary_error *err)
{
    const struct ap_source *source = rewriting->source;
    if (source->input_count == 0) return APIARY_OK;
    ap_fail(err, APIARY_UNSUPPORTED, "%s cannot read %s, a table of the caller",
        rewriting->count > 0 ? "UPDATE" : "DELETE", source->input_names[0]);
    return ap_hint(err, "write it to a frame first: CREATE TEMP FRAME name AS SELECT * FROM %s", source->input_names[0]);
}

static enum apiary_code rewrite(
    struct ap_rewriting *rewriting, uint64_t *version, struct apiary_error *err)
{
    struct ap_target *target = &rewriting->target;
    const struct ap_statement *statement = rewriting->request->statement;
    AP_TRY(resolve(rewriting, err));
    AP_TRY(check_inputs(rewriting, err));
    *version = target->base->version;
    if (rewriting->plan.bin_count == 0) return APIARY_OK;
    AP_TRY(ap_source_prepare(rewriting->source, err));
    /* A query in the condition has its own memory in each. */
    size_t together = ap_dml_has_query(rewriting->condition) ? 1 : TOGETHER_MAX, all = rewriting->plan.bin_count;
    for (size_t i = 0; i < all; i += together)
        AP_TRY(rewrite_bins(rewriting, i, all - i < together ? all - i : together, err));
    ap_source_rest(rewriting->source); /* the ledger may need a chamber */
    if (rewriting->remove_count == 0) return APIARY_OK;
    return commit_change(rewriting->request->session, target, &rewriting->written,
        rewriting->removes, rewriting->remove_count, rewriting->predicate,
        rewriting->count > 0 ? "UPDATE" : "DELETE", statement->condition, version, err);
}

static enum apiary_code open_named(
    struct ap_request *request, struct ap_target *target, struct apiary_error *err)
{
    struct ap_name3 name = { 0 };
    AP_TRY(ap_names_find(request->session, &request->statement->name, &name, err));
    return ap_target_open(request->session, &name, target, err);
}

static enum apiary_code run_rewrite(struct ap_request *request, const char *verb,
    struct ap_result *result, struct apiary_error *err)
{
    struct ap_rewriting rewriting = { .request = request };
    uint64_t version = 0;
    enum apiary_code code = open_named(request, &rewriting.target, err);
    if (code == APIARY_OK) code = rewrite(&rewriting, &version, err);
    if (code == APIARY_OK)
        code = tell(result, verb, rewriting.changed, &rewriting.target, version, err);
    else if (code != APIARY_UNCERTAIN)
        ap_written_discard(&rewriting.written);
    rewriting_done(&rewriting);
    return code;
}

static enum apiary_code remove_all(struct ap_request *request, const char *operation,
    const char *verb, struct ap_result *result, struct apiary_error *err)
{
    AP_AUTO(ap_target) target = { 0 };
    struct ap_written nothing = { 0 };
    AP_TRY(open_named(request, &target, err));
    size_t count = target.base->cell_count;
    int64_t rows = -1;
    if (!ap_snapshot_row_count(target.base, &rows)) rows = -1;
    AP_AUTO_FREE const struct ap_cell **every = ap_calloc(count + 1, sizeof *every);
    if (every == NULL) return ap_fail_memory(err, "a commit");
    for (size_t i = 0; i < count; i++) every[i] = &target.base->cells[i];
    uint64_t version = target.base->version;
    if (count > 0)
        AP_TRY(commit_change(request->session, &target, &nothing, every, count, NULL, operation,
            (struct ap_str) { 0 }, &version, err));
    return tell(result, verb, rows, &target, version, err);
}

enum apiary_code ap_run_delete(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    if (statement->condition.size + statement->using_clause.size == 0)
        return remove_all(request, "DELETE", "Deleted", result, err);
    return run_rewrite(request, "Deleted", result, err);
}

enum apiary_code ap_run_update(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    enum apiary_code code = run_rewrite(request, "Updated", result, err);
    bool several = code == APIARY_SQL && request->statement->using_clause.size > 0 && err != NULL && strstr(err->message, "More than one row returned by a subquery") != NULL;
    if (!several) return code;
    ap_fail(err, APIARY_SQL, "rows of FROM that differ in what they set match the same row of the frame");
    return ap_hint(err, "say which one: UPDATE name SET column = (SELECT max(…) … WHERE …)");
}

enum apiary_code ap_run_truncate(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    return remove_all(request, "TRUNCATE", "Deleted", result, err);
}
