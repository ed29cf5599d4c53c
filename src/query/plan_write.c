/* Parts of a plan that writes, and its commit: whoever runs them finds the frame again, or makes what it
 * is to be from the plan. */
#include "query/commit.h"
#include "query/plan_private.h"

#include "core/alloc.h"

enum { PLACE_TAIL = 9 }; /* "~" and 8 hex digits behind a place that was taken */
/* A commit that is begun is over by then, or is not tried again: long before vacuum takes cells that no
 * log names. */
#define COMMIT_US (INT64_C(6) * 3600 * 1000000)

/* ---- the frame ---- */

static enum apiary_code read_spec(const struct ap_plan_write *write, struct ap_arena *arena, struct ap_metadata *out, struct apiary_error *err)
{
    struct ap_str *columns = ap_arena_alloc(arena, (write->partition_count + 1) * sizeof *columns);
    size_t *places = ap_arena_alloc(arena, (write->partition_count + 1) * sizeof *places);
    struct ap_property *properties = ap_arena_alloc(arena, (write->property_count + 1) * sizeof *properties);
    if (columns == NULL || places == NULL || properties == NULL) return ap_fail_memory(err, "a frame to be");
    *out = (struct ap_metadata) { .description = ap_str_from(write->description), .partition_by = columns, .partition_columns = places,
        .partition_count = write->partition_count, .configuration = properties, .configuration_count = write->property_count };
    AP_TRY(ap_schema_parse(arena, ap_str_from(write->schema), &out->schema, err));
    for (size_t i = 0; i < write->partition_count; i++) {
        columns[i] = ap_str_from(write->partition_by[i]);
        places[i] = ap_schema_find(&out->schema, columns[i]);
        if (places[i] == SIZE_MAX) return ap_fail(err, APIARY_CORRUPT, "a plan is out of form: there is no column to partition by");
    }
    for (size_t i = 0; i < write->property_count; i++)
        properties[i] = (struct ap_property) { ap_str_from(write->properties[2 * i]), ap_str_from(write->properties[2 * i + 1]) };
    return APIARY_OK;
}

/* Only where the catalogue itself would put the frame: the plan's word is a stranger's. */
static enum apiary_code check_place(struct ap_session *session, const struct ap_plan_write *write, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) place = { 0 };
    struct ap_str given = ap_str_from(write->location);
    AP_TRY(ap_catalog_place(session->world->catalog, &write->name, false, &place, err));
    bool good = ap_str_starts_with(given, ap_bytes_view(&place));
    struct ap_str tail = { given.data + (good ? place.size : 0), good ? given.size - place.size : 0 };
    if (good && tail.size > 0) {
        good = tail.size == PLACE_TAIL && tail.data[0] == '~';
        for (size_t i = 1; good && i < PLACE_TAIL; i++)
            good = (tail.data[i] >= '0' && tail.data[i] <= '9') || (tail.data[i] >= 'a' && tail.data[i] <= 'f');
    }
    return good ? APIARY_OK : ap_fail(err, APIARY_CORRUPT, "a plan would make a frame where none is made");
}

static enum apiary_code open_target(const struct ap_plan_run *run, struct ap_arena *arena, struct ap_target *out, struct apiary_error *err)
{
    struct ap_session *session = run->session;
    const struct ap_plan_write *write = run->plan->write;
    AP_AUTO(ap_target) target = { 0 };
    const char *prefix = NULL;
    bool there = write->id.text[0] != '\0';
    if (there) AP_TRY(ap_plan_find_entry(session, &write->name, &write->id, &target.entry, err));
    else {
        AP_TRY(check_place(session, write, err));
        target.entry = (struct ap_entry) { .kind = AP_ENTRY_FRAME, .name = write->name, .location = ap_strdup(write->location) };
        if (target.entry.location == NULL) return ap_fail_memory(err, "a frame");
    }
    snprintf(target.name, sizeof target.name, "%s.%s.%s", write->name.hive, write->name.box, write->name.frame);
    AP_TRY(ap_frames_ledger(session->world->frames, &target.entry, &target.ledger, &target.store, &prefix, err));
    target.prefix = ap_strdup(prefix);
    if (target.prefix == NULL) return ap_fail_memory(err, "a frame");
    if (there) {
        struct ap_at at = { .kind = AP_AT_VERSION, .version = write->base };
        AP_TRY(ap_ledger_snapshot(target.ledger, &at, &target.base, err));
        AP_TRY(ap_snapshot_check_writable(target.base, err));
        target.metadata = target.base->metadata;
    }
    if (write->schema != NULL) AP_TRY(read_spec(write, arena, &target.metadata, err));
    *out = AP_TAKE(target);
    return APIARY_OK;
}

/* What the statement's session had set, of what counts here. */
static enum apiary_code take_settings(const struct ap_plan_run *run, struct apiary_error *err)
{
    const struct ap_plan_write *write = run->plan->write;
    struct ap_config *config = &run->session->config;
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)write->partitions_max);
    AP_TRY(ap_config_set(config, AP_STR("max_partitions"), ap_str_from(text), "a plan", err));
    if (write->cell_bytes == 0) return APIARY_OK;
    snprintf(text, sizeof text, "%llu", (unsigned long long)write->cell_bytes);
    return ap_config_set(config, AP_STR("target_cell_size"), ap_str_from(text), "a plan", err);
}

/* ---- cells ---- */

static enum apiary_code write_rows(const struct ap_plan_part *part, const char *text, struct ap_bytes *out, struct ap_plan_figures *figures,
    struct apiary_error *err)
{
    const struct ap_plan_run *run = part->run;
    const struct ap_plan_write *write = run->plan->write;
    struct ap_env *env = run->session->world->env;
    int64_t begun_us = ap_mono_us(env), wait_us = 0;
    struct ap_source *source = NULL;
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_TRY(take_settings(run, err));
    AP_TRY(open_target(run, &arena, &target, err)); /* before a chamber is held: a ledger may need one */
    AP_TRY(ap_bytes_printf(&select, err, "%s%s%s", write->head, run->plan->stages[run->stage].merge_sql, write->tail));
    AP_TRY(ap_plan_part_open(part, text, &source, &wait_us, err));
    source->kept = false; /* it runs no query, but a COPY */
    int bees = ap_chamber_width(source->chamber);
    enum apiary_code code = ap_write_cells(source, &target, ap_bytes_view(&select), NULL, write->sort, &written, err);
    struct ap_cache_figures cost = ap_cell_set_figures(source->cells);
    ap_source_close(source);
    if (code == APIARY_OK) code = ap_written_write(&written, &target.metadata, out, err);
    if (code != APIARY_OK) {
        ap_written_discard(&written);
        return code;
    }
    if (figures == NULL) return APIARY_OK;
    *figures = (struct ap_plan_figures) { .bees = bees, .wait_us = wait_us, .write_us = written.store_us,
        .compute_us = ap_mono_us(env) - begun_us - wait_us - written.store_us, .cpu_us = written.job.cpu_us, .rows = written.rows,
        .bytes = (uint64_t)written.bytes, .memory_bytes_peak = written.job.memory_bytes_peak };
    ap_plan_figures_paging(figures, &written.job, cost);
    return APIARY_OK;
}

enum apiary_code ap_plan_write_task(const struct ap_plan_run *run, size_t task, struct ap_bytes *out, struct ap_plan_figures *figures,
    struct apiary_error *err)
{
    const struct ap_plan_stage *stage = &run->plan->stages[run->stage];
    if (task >= stage->task_count) return ap_fail(err, APIARY_INVALID, "stage %zu has no task %zu", run->stage, task);
    if (run->plan->write->compaction != NULL) {
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_target) target = { 0 };
        AP_TRY(take_settings(run, err));
        AP_TRY(open_target(run, &arena, &target, err));
        return ap_plan_compact_task(run, &stage->tasks[task], &target, out, figures, err);
    }
    struct ap_plan_part part = ap_plan_part_task(run, task);
    part.through = true;
    return write_rows(&part, stage->fragment_sql, out, figures, err);
}

enum apiary_code ap_plan_write_merge(const struct ap_plan_run *run, const int *partials, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_plan_part part = ap_plan_part_merge(run, partials);
    return write_rows(&part, run->plan->stages[run->stage].merge_sql, out, NULL, err);
}

/* ---- all of them ---- */

enum apiary_code ap_plan_held(struct ap_str content, struct ap_plan **out, struct ap_str *cells, struct apiary_error *err)
{
    *out = NULL;
    *cells = (struct ap_str) { content.data, 0 };
    if (content.size == 0) return APIARY_OK;
    const char *end = memchr(content.data, '\n', content.size);
    if (end == NULL) return ap_fail(err, APIARY_CORRUPT, "what a statement wrote is told in part");
    struct ap_str line = { content.data, (size_t)(end - content.data) };
    AP_TRY(ap_plan_read(line, out, err));
    *cells = (struct ap_str) { end + 1, content.size - line.size - 1 };
    if ((*out)->write != NULL && !(*out)->write->in_tasks && (*out)->frame_count == 0) return APIARY_OK;
    ap_plan_free(*out);
    *out = NULL;
    return ap_fail(err, APIARY_CORRUPT, "what a statement wrote is out of form");
}

static enum apiary_code read_all(
    const struct ap_plan_write *write, struct ap_str content, const struct ap_target *target, struct ap_written *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tag = { 0 };
    AP_TRY(ap_plan_compact_tag(write, &tag, err));
    while (content.size > 0) {
        const char *end = memchr(content.data, '\n', content.size);
        if (end == NULL) return ap_fail(err, APIARY_CORRUPT, "cells written for frame %s: a line is cut off", target->name);
        struct ap_str line = { content.data, (size_t)(end - content.data) };
        AP_TRY(ap_written_read(line, target, ap_bytes_view(&tag), out, err));
        content = (struct ap_str) { end + 1, content.size - line.size - 1 };
    }
    return APIARY_OK;
}

enum apiary_code ap_plan_write_check(const struct ap_plan_run *run, struct ap_str content, struct apiary_error *err)
{
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO_FREE size_t *cells = NULL;
    AP_TRY(take_settings(run, err));
    AP_TRY(open_target(run, &arena, &target, err));
    AP_TRY(read_all(run->plan->write, content, &target, &written, err));
    if (run->plan->write->compaction != NULL) return ap_plan_compact_check(run->plan, &target, &written, &cells, err);
    return ap_written_check_partitions(run->session, &target, &written, err);
}

enum apiary_code ap_plan_commit(const struct ap_plan_run *run, const char *txn, struct ap_str content, int64_t *version, struct apiary_error *err)
{
    const struct ap_plan_write *write = run->plan->write;
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO_FREE size_t *cells = NULL; /* that a compaction removes */
    struct apiary_error why = { 0 };
    AP_TRY(open_target(run, &arena, &target, err));
    enum apiary_code code = read_all(write, content, &target, &written, &why);
    if (code == APIARY_OK && write->compaction != NULL) code = ap_plan_compact_check(run->plan, &target, &written, &cells, &why);
    if (code == APIARY_CORRUPT) return ap_fail(err, APIARY_INVALID, "%s", why.message); /* reading it again would not mend it */
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    bool removes = write->replace_all || (write->compaction != NULL && write->compaction->bin_count > 0);
    if (written.count == 0 && target.base != NULL && !removes) { /* no rows: nothing to commit */
        *version = (int64_t)write->base;
        return APIARY_OK;
    }
    struct ap_table_spec spec = { .schema = target.metadata.schema, .partition_by = target.metadata.partition_by,
        .partition_count = target.metadata.partition_count, .configuration = target.metadata.configuration,
        .configuration_count = target.metadata.configuration_count, .name = ap_str_from(target.entry.name.frame),
        .description = target.metadata.description };
    struct ap_write_commit how = { .operation = write->operation, .replace_all = write->replace_all, .reads_target = write->reads_target,
        .spec = target.base != NULL && write->schema != NULL ? &spec : NULL, .txn = txn,
        .expires_mono_us = ap_mono_us(run->session->world->env) + COMMIT_US };
    uint64_t landed = 0;
    code = write->compaction != NULL
               ? ap_plan_compact_commit(run, &target, cells, &written, txn, how.expires_mono_us, &landed, &why)
               : ap_commit_written(run->session, &target, &written, &how, &landed, &why);
    *version = code == APIARY_OK ? (int64_t)landed : -1;
    if (code == APIARY_EXISTS && target.base != NULL) return APIARY_OK; /* the log has this transaction */
    if (code != APIARY_OK && err != NULL) *err = why;
    return code;
}

enum apiary_code ap_plan_write_told(struct ap_str content, struct ap_plan_wrote *out, struct apiary_error *err)
{
    struct ap_plan_wrote sum = { .version = -1 };
    int64_t rows = 0, bytes = 0;
    while (content.size > 0) {
        AP_AUTO_JSON *doc = NULL;
        const char *end = memchr(content.data, '\n', content.size);
        if (end == NULL) return ap_fail(err, APIARY_CORRUPT, "what was committed is told in part");
        struct ap_str line = { content.data, (size_t)(end - content.data) };
        AP_TRY(ap_json_parse(line, "cells that were written", &doc, err));
        yyjson_val *root = yyjson_doc_get_root(doc);
        if (!ap_json_i64(root, "rows", &rows) || rows < 0 || rows > INT64_MAX - sum.rows || !ap_json_i64(root, "bytes", &bytes) || bytes < 0
            || bytes > INT64_MAX - sum.bytes)
            return ap_fail(err, APIARY_CORRUPT, "what was committed is told without its rows");
        sum.rows += rows;
        sum.bytes += bytes;
        sum.cells += yyjson_arr_size(ap_json_member(root, "cells"));
        content = (struct ap_str) { end + 1, content.size - line.size - 1 };
    }
    *out = sum;
    return APIARY_OK;
}
