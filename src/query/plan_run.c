/* Running one part of a plan: its frames are found again and pinned at the plan's versions, the cells
 * that it may read are granted, its query runs in one chamber. */
#include "query/file_list.h"
#include "query/plan_private.h"
#include "query/resolve.h"
#include "query/running.h"

#include "core/alloc.h"
#include "core/map.h"
#include "runtime/ipc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <nanoarrow/nanoarrow.h>

/* ---- frames ---- */

enum apiary_code ap_plan_find_entry(struct ap_session *session, const struct ap_name3 *name,
    const struct ap_frame_id *id, struct ap_entry *out, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    AP_TRY(ap_catalog_refresh_since(catalog, name->hive, session->begun_us, err));
    AP_TRY(ap_catalog_find(catalog, name, out, err));
    if (out->kind == AP_ENTRY_FRAME && strcmp(out->id.text, id->text) == 0) return APIARY_OK;
    ap_entry_done(out);
    memset(out, 0, sizeof *out);
    return ap_fail(err, APIARY_NOT_FOUND,
        "%s.%s.%s is not the frame any more that the query began with", name->hive, name->box,
        name->frame);
}

/* Keeps the cells [first, first + count) of the frame's list; each must be one of the version. */
static enum apiary_code keep_cells(struct ap_scan *scan, const struct ap_plan_frame *frame,
    size_t first, size_t count, struct apiary_error *err)
{
    struct ap_map places = { .borrow_keys = true };
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && i < scan->snapshot->cell_count; i++)
        code = ap_map_put(&places, scan->snapshot->cells[i].path, i, err);
    for (size_t i = first; code == APIARY_OK && i < first + count; i++) {
        uint64_t place = 0;
        if (!ap_map_get(&places, ap_str_from(frame->cells[i]), &place))
            code = ap_fail(err, APIARY_CORRUPT, "version %llu of frame %s.%s.%s has no cell %s",
                (unsigned long long)frame->version, frame->name.hive, frame->name.box,
                frame->name.frame, frame->cells[i]);
        else if (scan->reasons[place] != AP_KEPT) {
            scan->reasons[place] = AP_KEPT;
            scan->kept++;
            scan->kept_bytes += (uint64_t)scan->snapshot->cells[place].size_bytes;
        }
    }
    ap_map_done(&places);
    return code;
}

static enum apiary_code fill_scan(struct ap_source *source, const struct ap_plan_frame *frame,
    struct ap_scan *scan, struct apiary_error *err)
{
    scan->at = (struct ap_at) { .kind = AP_AT_VERSION, .version = frame->version };
    AP_TRY(ap_plan_find_entry(source->session, &frame->name, &frame->id, &scan->entry, err));
    AP_TRY(ap_frames_ledger(source->session->world->frames, &scan->entry, &scan->ledger,
        &scan->store, &scan->prefix, err));
    AP_TRY(ap_ledger_snapshot(scan->ledger, &scan->at, &scan->snapshot, err));
    size_t count = scan->snapshot->cell_count;
    scan->reasons = ap_calloc(count == 0 ? 1 : count, sizeof *scan->reasons);
    if (scan->reasons == NULL) return ap_fail_memory(err, "a frame's cells");
    for (size_t i = 0; i < count; i++) scan->reasons[i] = AP_DROPPED_STATISTICS;
    return APIARY_OK;
}

static enum apiary_code add_frame(struct ap_source *source, const struct ap_plan_frame *frame,
    const char *view, size_t first, size_t count, struct apiary_error *err)
{
    AP_TRY(AP_GROW(source->scans, source->scan_capacity, source->scan_count + 1, err));
    struct ap_scan *scan = &source->scans[source->scan_count++];
    memset(scan, 0, sizeof *scan); /* the source frees what there is of it */
    AP_TRY(fill_scan(source, frame, scan, err));
    scan->view = ap_strdup(view);
    if (scan->view == NULL) return ap_fail_memory(err, "a frame's view");
    return keep_cells(scan, frame, first, count, err);
}

/* ---- the source of a part ---- */

static enum apiary_code add_input(struct ap_source *source, const char *name, const int *fds,
    size_t count, struct apiary_error *err)
{
    struct ArrowArrayStream stream = { 0 };
    AP_TRY(ap_ipc_files_open(fds, count, &stream, err));
    enum apiary_code code = ap_source_add_input(source, name, &stream, err);
    if (stream.release != NULL) stream.release(&stream);
    return code;
}

static enum apiary_code add_inputs(
    struct ap_source *source, const struct ap_plan_part *part, struct apiary_error *err)
{
    const struct ap_plan_run *run = part->run;
    for (size_t i = 0; i < part->stages->count; i++) {
        char name[64];
        size_t stage = part->stages->items[i];
        snprintf(name, sizeof name, AP_CUT_PREFIX "result_%zu", stage);
        if (run->results == NULL || run->results[stage] < 0)
            return ap_fail(err, APIARY_INVALID, "the result of stage %zu is missing", stage);
        AP_TRY(add_input(source, name, &run->results[stage], 1, err));
    }
    if (part->partials == NULL) return APIARY_OK;
    return add_input(source, AP_CUT_PARTIALS, part->partials,
        run->plan->stages[run->stage].task_count, err);
}

/* What the part reads of shards: one after the other, none of a merge. */
static size_t share_count(const struct ap_plan_part *part)
{
    return part->task == NULL ? 0 : part->run->plan->stages[part->run->stage].shard_count;
}

static struct ap_plan_share share_of(const struct ap_plan_part *part, size_t shard, char name[AP_CUT_SHARD_SIZE])
{
    const struct ap_plan *plan = part->run->plan;
    ap_cut_shard_name(shard, name);
    return ap_plan_share_of(plan, &plan->stages[part->run->stage], part->task, shard);
}

/* *own: scans behind it are of shards, under names of ours. */
static enum apiary_code add_frames(
    struct ap_source *source, const struct ap_plan_part *part, size_t *own, struct apiary_error *err)
{
    const struct ap_plan *plan = part->run->plan;
    for (size_t i = 0; i < part->frames->count; i++) {
        const struct ap_plan_frame *frame = &plan->frames[part->frames->items[i]];
        if (frame->files == NULL) AP_TRY(add_frame(source, frame, frame->view, 0, frame->cell_count, err));
    }
    *own = source->scan_count;
    for (size_t i = 0; i < share_count(part); i++) {
        char name[AP_CUT_SHARD_SIZE];
        struct ap_plan_share share = share_of(part, i, name);
        if (share.frame->files == NULL) AP_TRY(add_frame(source, share.frame, name, share.first, share.count, err));
    }
    return APIARY_OK;
}

static enum apiary_code add_list(struct ap_source *source, const struct ap_plan_frame *list,
    const char *view, size_t first, size_t count, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) select = { 0 };
    AP_TRY(ap_file_list_sql(source, list, first, count, &select, err));
    return ap_texts_printf(
        &source->setup, err, "CREATE TEMP VIEW %s AS %s", view, ap_bytes_text(&select));
}

static enum apiary_code add_lists(
    struct ap_source *source, const struct ap_plan_part *part, struct apiary_error *err)
{
    for (size_t i = 0; i < part->frames->count; i++) {
        const struct ap_plan_frame *frame = &part->run->plan->frames[part->frames->items[i]];
        if (frame->files != NULL) AP_TRY(add_list(source, frame, frame->view, 0, frame->cell_count, err));
    }
    for (size_t i = 0; i < share_count(part); i++) {
        char name[AP_CUT_SHARD_SIZE];
        struct ap_plan_share share = share_of(part, i, name);
        if (share.frame->files != NULL) AP_TRY(add_list(source, share.frame, name, share.first, share.count, err));
    }
    return APIARY_OK;
}

/* ---- texts ---- */

/* A query of the text's WITH: bound where it is used, and nowhere else. */
static enum apiary_code add_with(struct ap_bytes *with, const char *name, struct ap_str query, struct apiary_error *err)
{
    return ap_bytes_printf(with, err, "%s%s AS NOT MATERIALIZED (" AP_FMT "\n)", with->size == 0 ? "WITH " : ", ", name, AP_ARG(query));
}

/* The query of what is merged, where text and view are of the form that the cut gives them; else empty. */
static struct ap_str merged_query(const struct ap_plan_part *part, struct ap_str text)
{
    static const char make[] = "CREATE TEMP VIEW " AP_CUT_MERGED " AS ";
    struct ap_str view = ap_str_from(part->run->plan->stages[part->run->stage].merged_view);
    bool inlined = part->with != NULL && part->partials != NULL && ap_str_starts_with(view, ap_str_from(make)) && ap_str_starts_with(text, AP_STR("SELECT "));
    return inlined ? (struct ap_str) { view.data + sizeof make - 1, view.size - (sizeof make - 1) } : (struct ap_str) { 0 };
}

static enum apiary_code add_views(
    struct ap_source *source, const struct ap_plan_part *part, size_t own, struct ap_str text, struct apiary_error *err)
{
    bool inlined = part->with != NULL && ap_str_starts_with(text, AP_STR("SELECT "));
    for (size_t i = 0; i < source->scan_count; i++) {
        AP_AUTO(ap_bytes) select = { 0 };
        AP_TRY(ap_shape_sql(source, &source->scans[i], &select, err));
        if (i >= own && inlined) AP_TRY(add_with(part->with, source->scans[i].view, ap_bytes_view(&select), err));
        else
            AP_TRY(ap_texts_printf(
                &source->setup, err, "CREATE %sVIEW %s AS %s", i >= own ? "TEMP " : "", source->scans[i].view, ap_bytes_text(&select)));
    }
    return APIARY_OK;
}

static enum apiary_code add_setup(
    struct ap_source *source, const struct ap_plan_part *part, size_t own, struct ap_str text, struct apiary_error *err)
{
    const struct ap_plan *plan = part->run->plan;
    const struct ap_plan_stage *stage = &plan->stages[part->run->stage];
    struct ap_str merged = merged_query(part, text);
    for (size_t i = 0; i < plan->setup_count; i++)
        AP_TRY(ap_texts_add(&source->setup, ap_str_from(plan->setup[i]), err));
    AP_TRY(add_views(source, part, own, text, err));
    size_t made = source->setup.count - plan->setup_count;
    AP_TRY(add_lists(source, part, err));
    AP_TRY(ap_texts_add(&source->setup, ap_str_from(plan->use), err));
    for (size_t i = 0; i < part->stages->count; i++)
        AP_TRY(ap_texts_add(&source->setup,
            ap_str_from(plan->stages[part->stages->items[i]].result_view), err));
    if (part->through)
        AP_TRY(ap_texts_printf(&source->setup, err, "CREATE TEMP VIEW " AP_CUT_PARTIALS " AS %s",
            stage->fragment_sql));
    if (merged.size > 0) AP_TRY(add_with(part->with, AP_CUT_MERGED, merged, err));
    else if (part->partials != NULL || part->through) AP_TRY(ap_texts_add(&source->setup, ap_str_from(stage->merged_view), err));
    return ap_plan_part_share(source, plan, text, merged, own, made, err);
}

/* Frames first: a ledger may need a chamber itself. */
static enum apiary_code fill_source(struct ap_source *source, const struct ap_plan_part *part,
    struct ap_str sql, struct apiary_error *err)
{
    const struct ap_plan_run *run = part->run;
    AP_AUTO(ap_tokens) tokens = { 0 };
    AP_TRY(ap_lex(sql, &tokens, err));
    ap_opaque_note(&source->opaque, &tokens);
    source->settings = run->plan->settings;
    source->values = run->plan->values;
    source->aside = run->cancel != NULL;
    source->fragment = part->task != NULL;
    if (run->cancel != NULL) source->cancel = run->cancel;
    size_t own = 0;
    AP_TRY(add_frames(source, part, &own, err));
    AP_TRY(add_inputs(source, part, err));
    AP_TRY(ap_source_take(source, run->width, err));
    return add_setup(source, part, own, sql, err);
}

enum apiary_code ap_plan_part_open(const struct ap_plan_part *part, const char *text,
    struct ap_source **out, int64_t *wait_us, struct apiary_error *err)
{
    struct ap_env *env = part->run->session->world->env;
    struct ap_source *source = NULL;
    AP_TRY(ap_source_new(part->run->session, &source, err));
    int64_t before = ap_mono_us(env);
    enum apiary_code code = fill_source(source, part, ap_str_from(text), err);
    *wait_us = ap_mono_us(env) - before;
    if (code != APIARY_OK) {
        ap_source_close(source);
        return code;
    }
    *out = source;
    return APIARY_OK;
}

static enum apiary_code start(const struct ap_plan_part *part, const char *sql,
    struct ap_running **out, struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_plan_part inlined = *part;
    inlined.with = &text;
    AP_TRY(ap_plan_part_open(&inlined, sql, &source, &figures->wait_us, err));
    figures->bees = ap_chamber_width(source->chamber);
    enum apiary_code code = ap_bytes_printf(&text, err, "%s%s", text.size > 0 ? " " : "", sql);
    if (code == APIARY_OK) code = ap_running_start(source, ap_bytes_view(&text),
        ap_config_us(&part->run->session->config, AP_CONFIG_query_timeout), NULL, out, err);
    if (code != APIARY_OK) ap_source_close(source);
    return code;
}

/* ---- rows into a file ---- */

static enum apiary_code write_rows(struct ap_env *env, struct ap_running *running,
    struct ArrowArrayStream *rows, int out, struct ap_plan_figures *figures,
    struct apiary_error *err)
{
    struct ArrowSchema schema = { 0 };
    struct ap_ipc_writer *writer = NULL;
    if (rows->get_schema(rows, &schema) != 0) return ap_fail_memory(err, "a partial result");
    enum apiary_code code = ap_ipc_writer_new(out, &schema, &writer, err);
    schema.release(&schema);
    while (code == APIARY_OK) {
        struct ArrowArray batch = { 0 };
        if (rows->get_next(rows, &batch) != 0) {
            code = ap_running_error(running, err);
            if (code == APIARY_OK) code = ap_fail_memory(err, "a partial result");
            break;
        }
        if (batch.release == NULL) break;
        int64_t before = ap_mono_us(env);
        figures->rows += batch.length;
        code = ap_ipc_writer_add(writer, &batch, err);
        batch.release(&batch);
        figures->write_us += ap_mono_us(env) - before;
    }
    if (code == APIARY_OK) code = ap_ipc_writer_end(writer, &figures->bytes, err);
    ap_ipc_writer_free(writer);
    return code;
}

void ap_plan_figures_paging(struct ap_plan_figures *figures, const struct ap_job_stats *job, struct ap_cache_figures cost)
{
    uint64_t bytes = cost.asked.bytes_in;
    figures->requests = ap_store_counts_requests(&cost.asked);
    figures->store_bytes = bytes;
    figures->cache_bytes = job->paged_bytes > bytes ? job->paged_bytes - bytes : 0;
    figures->page_waits = job->page_waits;
}

static enum apiary_code run_to_file(const struct ap_plan_part *part, const char *sql, int out,
    struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct ap_env *env = part->run->session->world->env;
    struct ap_running *running = NULL;
    struct ap_plan_figures done = { 0 };
    int64_t before = ap_mono_us(env);
    AP_TRY(start(part, sql, &running, &done, err));
    struct ArrowArrayStream rows = { 0 };
    enum apiary_code code = ap_running_stream(running, &rows, err);
    if (code == APIARY_OK) {
        code = write_rows(env, running, &rows, out, &done, err);
        rows.release(&rows);
    }
    struct ap_job_stats stats = { 0 };
    ap_running_stop(running);
    ap_running_stats(running, &stats);
    ap_plan_figures_paging(&done, &stats, ap_running_paging(running));
    ap_running_unref(running);
    done.cpu_us = stats.cpu_us;
    done.memory_bytes_peak = stats.memory_bytes_peak;
    done.compute_us = ap_mono_us(env) - before - done.wait_us - done.write_us;
    if (code == APIARY_OK && figures != NULL) *figures = done;
    return code;
}

struct ap_plan_part ap_plan_part_task(const struct ap_plan_run *run, size_t task)
{
    const struct ap_plan_stage *stage = &run->plan->stages[run->stage];
    return (struct ap_plan_part) { .run = run,
        .frames = &stage->fragment_frames,
        .stages = &stage->fragment_stages,
        .task = &stage->tasks[task] };
}

enum apiary_code ap_plan_task(const struct ap_plan_run *run, size_t task, int out,
    struct ap_plan_figures *figures, struct apiary_error *err)
{
    const struct ap_plan_stage *stage = &run->plan->stages[run->stage];
    if (stage->kind == AP_CUT_WHOLE || task >= stage->task_count)
        return ap_fail(err, APIARY_INVALID, "stage %zu has no task %zu", run->stage, task);
    struct ap_plan_part part = ap_plan_part_task(run, task);
    return run_to_file(&part, stage->fragment_sql, out, figures, err);
}

struct ap_plan_part ap_plan_part_merge(const struct ap_plan_run *run, const int *partials)
{
    const struct ap_plan_stage *stage = &run->plan->stages[run->stage];
    return (struct ap_plan_part) { .run = run,
        .frames = &stage->merge_frames,
        .stages = &stage->merge_stages,
        .partials = stage->kind == AP_CUT_WHOLE ? NULL : partials };
}

enum apiary_code ap_plan_merge(const struct ap_plan_run *run, const int *partials, int out,
    struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct ap_plan_part part = ap_plan_part_merge(run, partials);
    return run_to_file(&part, run->plan->stages[run->stage].merge_sql, out, figures, err);
}

enum apiary_code ap_plan_merge_rows(const struct ap_plan_run *run, const int *partials,
    struct ap_result *result, struct apiary_error *err)
{
    struct ap_plan_part part = ap_plan_part_merge(run, partials);
    struct ap_plan_figures ignored = { 0 };
    AP_TRY(start(&part, run->plan->stages[run->stage].merge_sql, &result->running, &ignored, err));
    result->has_rows = true;
    return APIARY_OK;
}

/* ---- files ---- */

enum apiary_code ap_plan_file(
    const struct ap_session *session, int *out, struct apiary_error *err)
{
    const char *folder = session->world->pool_options->scratch_dir;
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) { /* a file system without: made and unlinked */
        AP_AUTO(ap_bytes) path = { 0 };
        AP_TRY(ap_bytes_printf(&path, err, "%s/partial-XXXXXX", folder));
        fd = mkostemp(path.data, O_CLOEXEC);
        if (fd < 0) return ap_fail_errno(err, errno, "cannot make a file in %s", folder);
        unlink(path.data);
    }
    *out = fd;
    return APIARY_OK;
}
