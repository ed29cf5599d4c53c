/* Tasks that this handle runs for the swarm, and stages of its own that it hands out. */
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "core/json.h"
#include "query/plan.h"
#include "query/running.h"
#include "runtime/ipc_file.h"
#include "swarm/claim.h"
#include "swarm/place.h"
#include "swarm/result.h"

#include <inttypes.h>
#include <unistd.h>

#define FRESH_BEATS 1

/* ---- files of earlier stages ---- */

struct stage_files {
    int fds[AP_PLAN_STAGES_MAX];
};

static void stage_files_done(struct stage_files *files)
{
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++)
        if (files->fds[i] >= 0) close(files->fds[i]);
}

static enum apiary_code fetch_results(const struct ap_swarm *swarm, struct ap_session *session, const struct ap_manifest *manifest,
    const struct ap_order *order, struct stage_files *files, struct apiary_error *err)
{
    yyjson_val *list = ap_json_member(yyjson_doc_get_root(order->doc), "results"), *item;
    size_t i, count;
    if (!yyjson_is_arr(list)) return APIARY_OK;
    yyjson_arr_foreach(list, i, count, item)
    {
        AP_AUTO(ap_bytes) bytes = { 0 };
        struct ap_str payload, sha;
        int64_t stage = 0, size = 0;
        if (!ap_json_i64(item, "stage", &stage) || stage < 0 || stage >= AP_PLAN_STAGES_MAX || !ap_json_i64(item, "size", &size) || size < 0
            || !ap_json_str(item, "payload", &payload) || !ap_json_str(item, "sha256", &sha) || files->fds[stage] >= 0)
            return ap_fail(err, APIARY_CORRUPT, "manifest of query %s: a stage's result is out of form", manifest->id.text);
        AP_TRY(ap_payload_get(swarm, manifest->id.text, payload, (uint64_t)size, sha, &bytes, err));
        AP_TRY(ap_bytes_file(session, ap_bytes_view(&bytes), &files->fds[stage], err));
    }
    return APIARY_OK;
}

/* ---- one task: figures in a line, then the rows ---- */

static enum apiary_code write_figures(const struct apiary *handle, const struct ap_plan_figures *figures, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"node\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(handle->node_name[0] != '\0' ? handle->node_name : handle->machine.host), err));
    return ap_bytes_printf(out, err,
        ",\"wait_us\":%" PRId64 ",\"compute_us\":%" PRId64 ",\"cpu_us\":%" PRId64 ",\"write_us\":%" PRId64 ",\"rows\":%" PRId64
        ",\"bytes\":%" PRIu64 ",\"memory\":%" PRIu64 ",\"bees\":%d,\"requests\":%" PRIu64 ",\"store_bytes\":%" PRIu64 ",\"cache_bytes\":%" PRIu64
        ",\"page_waits\":%" PRIu64 "}\n",
        figures->wait_us, figures->compute_us, figures->cpu_us, figures->write_us, figures->rows, figures->bytes, figures->memory_bytes_peak,
        figures->bees, figures->requests, figures->store_bytes, figures->cache_bytes, figures->page_waits);
}

static int64_t figure(yyjson_val *root, const char *name)
{
    int64_t value = 0;
    return ap_json_i64(root, name, &value) && value >= 0 ? value : 0;
}

/* Splits what a task left; *rows points into it. figures may be NULL. */
static enum apiary_code split(struct ap_str bytes, struct ap_str *rows, struct ap_plan_figures *figures, struct apiary_error *err)
{
    enum { LINE_MAX_BYTES = 4096 };
    AP_AUTO_JSON *doc = NULL;
    struct ap_str where;
    const char *end = bytes.size > 0 ? memchr(bytes.data, '\n', bytes.size < LINE_MAX_BYTES ? bytes.size : LINE_MAX_BYTES) : NULL;
    if (end == NULL) return ap_fail(err, APIARY_CORRUPT, "a partial result begins without its figures");
    struct ap_str line = { bytes.data, (size_t)(end - bytes.data) };
    *rows = (struct ap_str) { end + 1, bytes.size - line.size - 1 };
    if (figures == NULL) return APIARY_OK;
    AP_TRY(ap_json_parse(line, "the figures of a partial result", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    *figures = (struct ap_plan_figures) { .tries = 1, .wait_us = figure(root, "wait_us"), .compute_us = figure(root, "compute_us"),
        .cpu_us = figure(root, "cpu_us"), .write_us = figure(root, "write_us"), .rows = figure(root, "rows"),
        .bytes = (uint64_t)figure(root, "bytes"), .memory_bytes_peak = (uint64_t)figure(root, "memory"),
        .requests = (uint64_t)figure(root, "requests"), .store_bytes = (uint64_t)figure(root, "store_bytes"),
        .cache_bytes = (uint64_t)figure(root, "cache_bytes"), .page_waits = (uint64_t)figure(root, "page_waits") };
    int64_t bees = figure(root, "bees");
    figures->bees = bees < INT16_MAX ? (int)bees : 0;
    if (ap_json_str(root, "node", &where)) snprintf(figures->where, sizeof figures->where, AP_FMT, (int)(where.size < 60 ? where.size : 60), where.data);
    return APIARY_OK;
}

/* A task that stores its rows leaves the names of its cells. */
static enum apiary_code write_part(struct apiary *handle, const struct ap_plan_run *run, size_t task, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_plan_figures figures = { 0 };
    AP_AUTO(ap_bytes) cells = { 0 };
    AP_TRY(ap_plan_write_task(run, task, &cells, &figures, err));
    AP_TRY(write_figures(handle, &figures, out, err));
    return ap_bytes_add_str(out, ap_bytes_view(&cells), err);
}

static enum apiary_code run_part(struct apiary *handle, struct ap_session *session, const struct ap_manifest *manifest, const struct ap_order *order,
    size_t task, bool alone, const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_swarm swarm = ap_swarm_of(handle, &(struct ap_node_id) { "" }); /* only to fetch */
    struct ap_plan_figures figures = { 0 };
    struct stage_files files;
    int fd = -1;
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++) files.fds[i] = -1;
    struct ap_plan_run run = { .session = session, .plan = order->plan, .stage = order->stage, .results = files.fds, .width = alone ? 0 : 1, .cancel = cancel };
    snprintf(session->task, sizeof session->task, "task %zu of query %s", task, manifest->id.text);
    enum apiary_code code = fetch_results(&swarm, session, manifest, order, &files, err);
    if (code == APIARY_OK && manifest->writes && order->plan->write->in_tasks) code = write_part(handle, &run, task, out, err);
    else if (code == APIARY_OK) {
        code = ap_plan_file(session, &fd, err);
        if (code == APIARY_OK) code = ap_plan_task(&run, task, fd, &figures, err);
        if (code == APIARY_OK) code = write_figures(handle, &figures, out, err);
        if (code == APIARY_OK) code = ap_file_bytes(fd, out, err);
        if (fd >= 0) close(fd);
    }
    stage_files_done(&files);
    return code;
}

/* Rows of a statement as an Arrow IPC stream. */
static enum apiary_code rows_to_bytes(struct ap_session *session, struct ap_result *result, struct ap_bytes *out, struct apiary_error *err)
{
    struct ArrowArrayStream stream = { 0 };
    struct ArrowSchema schema = { 0 };
    struct ap_ipc_writer *writer = NULL;
    int fd = -1;
    AP_TRY(ap_result_stream(result, &stream, err));
    enum apiary_code code = ap_plan_file(session, &fd, err);
    if (code == APIARY_OK && stream.get_schema(&stream, &schema) != 0) code = ap_fail(err, APIARY_MEMORY, "out of memory for a result");
    if (code == APIARY_OK) {
        code = ap_ipc_writer_new(fd, &schema, &writer, err);
        schema.release(&schema);
    }
    while (code == APIARY_OK) {
        struct ArrowArray batch = { 0 };
        if (stream.get_next(&stream, &batch) != 0) {
            code = ap_running_error(result->running, err);
            if (code == APIARY_OK) code = ap_fail(err, APIARY_MEMORY, "out of memory for a result");
            break;
        }
        if (batch.release == NULL) break;
        code = ap_ipc_writer_add(writer, &batch, err);
        batch.release(&batch);
    }
    uint64_t bytes = 0;
    if (code == APIARY_OK) code = ap_ipc_writer_end(writer, &bytes, err);
    ap_ipc_writer_free(writer);
    stream.release(&stream);
    if (code == APIARY_OK) code = ap_file_bytes(fd, out, err);
    if (fd >= 0) close(fd);
    return code;
}

/* A statement as text, in a session of its own that may read frames and nothing else. One that writes stores its
 * rows and leaves the commit to whoever decides. */
static enum apiary_code run_whole(struct apiary *handle, struct ap_session *session, const struct ap_order *order, bool writes,
    struct ap_bytes *out, struct apiary_error *err)
{
    yyjson_val *root = yyjson_doc_get_root(order->doc);
    struct ap_plan_figures figures = { 0 };
    struct ap_held held = { 0 };
    struct ap_str hive, box, zone;
    struct ap_str sql = ap_str_from(order->sql);
    struct ap_order_kind kind = { 0 };
    AP_TRY(ap_order_check(&sql, &kind, err));
    if (kind.planned) return ap_fail(err, APIARY_UNSUPPORTED, "a manifest has a statement as text that would not leave its commit to others");
    if (kind.writes != writes) return ap_fail(err, APIARY_CORRUPT, "a manifest does not say that its statement writes");
    if (ap_json_str(root, "hive", &hive) && ap_json_str(root, "box", &box) && hive.size <= AP_NAME_MAX && box.size <= AP_NAME_MAX) {
        snprintf(session->hive, sizeof session->hive, AP_FMT, AP_ARG(hive));
        snprintf(session->box, sizeof session->box, AP_FMT, AP_ARG(box));
    }
    if (ap_json_str(root, "timezone", &zone)) AP_TRY(ap_config_set(&session->config, AP_STR("timezone"), zone, "work of the swarm", err));
    AP_TRY(ap_config_set(&session->config, AP_STR("local_files"), AP_STR("off"), "work of the swarm", err));
    AP_TRY(ap_config_set(&session->config, AP_STR("distributed"), AP_STR("off"), "work of the swarm", err));
    struct apiary_query query = { .sql = sql.data, .length = sql.size };
    struct ap_result *result = NULL;
    if (writes) session->held = &held;
    enum apiary_code code = ap_session_run(session, &query, &result, err);
    session->held = NULL;
    if (code == APIARY_OK) code = write_figures(handle, &figures, out, err);
    if (code == APIARY_OK) code = writes ? ap_bytes_add_str(out, ap_bytes_view(&held.text), err) : rows_to_bytes(session, result, out, err);
    ap_bytes_done(&held.text);
    if (result != NULL) ap_result_close(result);
    return code;
}

static bool can(void *context, const struct ap_manifest *manifest)
{
    static const char *const had[] = { AP_NEED_PLAN, AP_NEED_WRITE, AP_NEED_COMPACT, AP_NEED_HOLD, AP_NEED_FILES, AP_NEED_TEXT, AP_NEED_UNION };
    for (size_t i = 0; i < manifest->need_count; i++) {
        size_t at = 0;
        while (at < sizeof had / sizeof *had && !ap_str_is(manifest->needs[i], had[at])) at++;
        if (at == sizeof had / sizeof *had) return false;
    }
    return true;
}

static enum apiary_code run(void *context, const struct ap_manifest *manifest, size_t task, bool alone, const struct ap_cancel *cancel,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct apiary *handle = context;
    AP_AUTO(ap_order) order = { 0 };
    struct ap_session *session = NULL;
    AP_TRY(ap_order_read(manifest, &order, err));
    AP_TRY(ap_session_open(&handle->world, &session, err));
    enum apiary_code code = order.whole ? run_whole(handle, session, &order, manifest->writes, out, err)
                                        : run_part(handle, session, manifest, &order, task, alone, cancel, out, err);
    ap_session_close(session);
    return code;
}

/* ---- merging ---- */

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fds[i] >= 0) close(fds[i]);
}

static enum apiary_code partials_to_files(struct ap_session *session, const struct ap_partial *partials, size_t count, int *fds,
    struct ap_plan_figures *figures, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) fds[i] = -1;
    for (size_t i = 0; i < count; i++) {
        struct ap_str rows;
        enum apiary_code code = split(partials[i].bytes, &rows, figures != NULL ? &figures[i] : NULL, err);
        if (code == APIARY_OK) code = ap_bytes_file(session, rows, &fds[i], err);
        if (code == APIARY_OK) continue;
        close_all(fds, count);
        return code;
    }
    return APIARY_OK;
}

/* What is to be committed of a statement as text: what its one task held back. */
static enum apiary_code merge_held(struct apiary *handle, struct ap_order *order, const struct ap_partial *partial, struct ap_bytes *out,
    struct apiary_error *err)
{
    struct ap_session *session = NULL;
    struct ap_str text, written;
    AP_TRY(split(partial->bytes, &text, NULL, err));
    AP_TRY(ap_bytes_add_str(out, text, err));
    AP_TRY(ap_order_held(order, text, &written, err));
    if (order->plan == NULL) return APIARY_OK;
    AP_TRY(ap_session_open(&handle->world, &session, err));
    struct ap_plan_run part = { .session = session, .plan = order->plan };
    enum apiary_code code = ap_plan_write_check(&part, written, err);
    ap_session_close(session);
    return code;
}

/* What is to be committed: the cells of all tasks, or those that the merge writes. */
static enum apiary_code merge_writing(struct apiary *handle, const struct ap_manifest *manifest, const struct ap_order *order,
    const struct ap_partial *partials, size_t count, const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_swarm swarm = ap_swarm_of(handle, &(struct ap_node_id) { "" }); /* only to fetch */
    struct ap_session *session = NULL;
    struct stage_files files;
    for (size_t i = 0; i < AP_PLAN_STAGES_MAX; i++) files.fds[i] = -1;
    AP_AUTO_FREE int *fds = ap_calloc(count, sizeof *fds);
    if (fds == NULL) return ap_fail_memory(err, "a query's partials");
    AP_TRY(ap_session_open(&handle->world, &session, err));
    struct ap_plan_run part = { .session = session, .plan = order->plan, .stage = order->stage, .results = files.fds, .cancel = cancel };
    snprintf(session->task, sizeof session->task, "merge of query %s", manifest->id.text);
    enum apiary_code code = APIARY_OK;
    if (order->plan->write->in_tasks)
        for (size_t i = 0; i < count && code == APIARY_OK; i++) {
            struct ap_str cells;
            code = split(partials[i].bytes, &cells, NULL, err);
            if (code == APIARY_OK) code = ap_bytes_add_str(out, cells, err);
        }
    else {
        code = fetch_results(&swarm, session, manifest, order, &files, err);
        if (code == APIARY_OK) code = partials_to_files(session, partials, count, fds, NULL, err);
        if (code == APIARY_OK) {
            code = ap_plan_write_merge(&part, fds, out, err);
            close_all(fds, count);
        }
    }
    if (code == APIARY_OK) code = ap_plan_write_check(&part, ap_bytes_view(out), err);
    stage_files_done(&files);
    ap_session_close(session);
    return code;
}

static enum apiary_code merge_detached(struct apiary *handle, const struct ap_order *order, const struct ap_partial *partials, size_t count,
    const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_session *session = NULL;
    struct ap_str rows;
    if (order->whole) {
        AP_TRY(split(partials[0].bytes, &rows, NULL, err));
        return ap_bytes_add_str(out, rows, err);
    }
    AP_AUTO_FREE int *fds = ap_calloc(count, sizeof *fds);
    if (fds == NULL) return ap_fail_memory(err, "a query's partials");
    AP_TRY(ap_session_open(&handle->world, &session, err));
    struct ap_plan_run part = { .session = session, .plan = order->plan, .stage = order->stage, .width = 0, .cancel = cancel };
    snprintf(session->task, sizeof session->task, "merge of a detached query");
    int fd = -1;
    enum apiary_code code = partials_to_files(session, partials, count, fds, NULL, err);
    if (code == APIARY_OK) {
        code = ap_plan_file(session, &fd, err);
        if (code == APIARY_OK) code = ap_plan_merge(&part, fds, fd, NULL, err);
        if (code == APIARY_OK) code = ap_file_bytes(fd, out, err);
        if (fd >= 0) close(fd);
        close_all(fds, count);
    }
    ap_session_close(session);
    return code;
}

static enum apiary_code merge(void *context, const struct ap_manifest *manifest, const struct ap_partial *partials, size_t count,
    const struct ap_cancel *cancel, bool *again, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_order) order = { 0 };
    AP_TRY(ap_order_read(manifest, &order, err));
    *again = false;
    if (manifest->writes && order.whole) return merge_held(context, &order, &partials[0], out, err);
    if (manifest->writes) return merge_writing(context, manifest, &order, partials, count, cancel, out, err);
    *again = !order.detached; /* whoever waited for it has gone: nobody wants the rows */
    return order.detached ? merge_detached(context, &order, partials, count, cancel, out, err) : APIARY_OK;
}

static enum apiary_code commit(void *context, const struct ap_manifest *manifest, struct ap_str content, int64_t *version, struct apiary_error *err)
{
    struct apiary *handle = context;
    AP_AUTO(ap_order) order = { 0 };
    struct ap_session *session = NULL;
    struct ap_str cells;
    char txn[64];
    AP_TRY(ap_order_read(manifest, &order, err));
    if (!manifest->writes) return ap_fail(err, APIARY_CORRUPT, "query %s is to be committed and does not write", manifest->id.text);
    enum apiary_code code = ap_order_held(&order, content, &cells, err);
    if (code == APIARY_CORRUPT) return ap_fail(err, APIARY_INVALID, "query %s was decided with cells that are out of form", manifest->id.text);
    AP_TRY(code);
    *version = -1;
    if (order.plan == NULL) return APIARY_OK; /* no rows: nothing to commit */
    AP_TRY(ap_session_open(&handle->world, &session, err));
    snprintf(txn, sizeof txn, "apiary:%s", manifest->id.text);
    struct ap_plan_run run = { .session = session, .plan = order.plan, .stage = order.stage };
    code = ap_plan_commit(&run, txn, cells, version, err);
    ap_session_close(session);
    return code;
}

struct ap_swarm ap_swarm_of(struct apiary *handle, const struct ap_node_id *boot)
{
    return (struct ap_swarm) {
        .env = handle->env,
        .store = handle->world.store,
        .log = &handle->log,
        .secret = ap_bytes_view(&handle->secret),
        .boot = *boot,
        .port = { handle, can, run, merge, commit },
        .heartbeat_us = ap_config_us(&handle->config, AP_CONFIG_heartbeat),
    };
}

/* ---- stages of our own statements ---- */

static struct ap_node_id boot_of(struct apiary *handle)
{
    ap_lock(handle->env, handle->node_lock);
    struct ap_node_id boot = handle->boot;
    ap_unlock(handle->env, handle->node_lock);
    return boot;
}

/* As one who asks: a node stays, and listens. */
static struct ap_swarm swarm_of_asker(struct apiary *handle)
{
    struct ap_node_id boot = boot_of(handle);
    struct ap_swarm swarm = ap_swarm_of(handle, &boot);
    ap_lock(handle->env, handle->node_lock);
    swarm.listens = handle->node != NULL;
    ap_unlock(handle->env, handle->node_lock);
    return swarm;
}

struct gather {
    struct ap_session *session;
    int *partials;
    struct ap_plan_figures *figures;
    bool filled;
};

static enum apiary_code gather_partials(void *context, const struct ap_manifest *manifest, const struct ap_partial *partials, size_t count,
    const struct ap_cancel *cancel, bool *again, struct ap_bytes *out, struct apiary_error *err)
{
    struct gather *gather = context;
    *again = true;
    if (gather->filled) return APIARY_OK;
    AP_TRY(partials_to_files(gather->session, partials, count, gather->partials, gather->figures, err));
    gather->filled = true;
    return APIARY_OK;
}

static void note_places(const struct ap_view *view, const struct ap_manifest *manifest, struct ap_plan_figures *figures)
{
    for (size_t i = 0; i < manifest->task_count; i++) {
        const struct ap_view_node *node = ap_view_find(view, manifest->tasks[i].node.text);
        if (node == NULL) continue;
        snprintf(figures[i].placed, sizeof figures[i].placed, "%.60s", node->key.label);
        figures[i].balanced = &view->nodes[ap_place(view, manifest->tasks[i].body, manifest->tasks[i].memory_mb)] != node;
    }
}

/* How often tasks were taken over, and why the last time. What cannot be read is left out. */
static void note_claims(const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct ap_plan_figures *figures)
{
    static const char *const reasons[] = { [AP_CLAIM_DEAD] = "its node died", [AP_CLAIM_FAILED] = "it failed there", [AP_CLAIM_LATE] = "its time was over",
        [AP_CLAIM_STEAL] = "it waited there and another node was idle", [AP_CLAIM_SLOW] = "it was much slower than the others" };
    AP_AUTO(ap_board) board = { 0 };
    if (ap_board_look(swarm->store, manifest->id.text, manifest->task_count, &board, NULL) != APIARY_OK) return;
    for (size_t i = 0; i < manifest->task_count; i++) {
        struct ap_claim claim;
        figures[i].tries = board.tasks[i].claims + 1;
        if (board.tasks[i].claims > 0 && ap_claim_get(swarm, manifest->id.text, i, board.tasks[i].claims, &claim, NULL) == APIARY_OK)
            figures[i].taken = reasons[claim.reason];
    }
}

static void place(void *context, const struct ap_plan_run *part, struct ap_plan_figures *figures)
{
    struct apiary *handle = context;
    AP_AUTO(ap_view) view = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    struct ap_order_spec spec = { .run = part };
    if (ap_view_look(handle->world.store, &view, NULL) != APIARY_OK || ap_order_tasks(&spec, &view, &manifest, NULL) != APIARY_OK) return;
    note_places(&view, &manifest, figures);
}

static enum apiary_code announce(struct apiary *handle, const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct apiary_error *err)
{
    AP_TRY(ap_submit(swarm, manifest, err));
    ap_lock(handle->env, handle->node_lock);
    if (handle->worker != NULL) ap_worker_nudge(handle->worker);
    ap_unlock(handle->env, handle->node_lock);
    return APIARY_OK;
}

static enum apiary_code run_stage(void *context, const struct ap_plan_run *part, int *partials, struct ap_plan_figures *figures, struct apiary_error *err)
{
    struct apiary *handle = context;
    struct gather gather = { .session = part->session, .partials = partials, .figures = figures };
    struct ap_swarm swarm = swarm_of_asker(handle);
    AP_AUTO(ap_view) view = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_end) end = { 0 };
    AP_AUTO(ap_outcome) outcome = { 0 };
    AP_AUTO(ap_bytes) nothing = { 0 };
    swarm.port.context = &gather;
    swarm.port.merge = gather_partials;
    swarm.fleeting = true; /* nobody but us waits for it */
    AP_TRY(ap_view_look(handle->world.store, &view, err));
    struct ap_order_spec spec = { .run = part, .deadline_us = AP_ORDER_DEADLINE_US };
    AP_TRY(ap_order_write(&swarm, part->session, &spec, &view, &manifest, err));
    AP_TRY(announce(handle, &swarm, &manifest, err));
    AP_TRY(ap_submit_wait(&swarm, &manifest, &part->session->cancel, &end, &outcome, err));
    enum apiary_code code = end.decision == AP_END_DONE && gather.filled ? APIARY_OK : ap_submit_answer(&swarm, &manifest, &end, NULL, &nothing, err);
    if (code == APIARY_OK && part->told) {
        note_places(&view, &manifest, figures);
        note_claims(&swarm, &manifest, figures);
    }
    if (code != APIARY_OK && gather.filled) {
        close_all(partials, manifest.task_count);
        for (size_t i = 0; i < manifest.task_count; i++) partials[i] = -1;
    }
    return code;
}

/* What became of it may be another one's doing, or not be known. */
static enum apiary_code unknown(const struct ap_manifest *manifest, struct apiary_error *err)
{
    struct apiary_error why = { 0 };
    if (err != NULL) why = *err;
    ap_fail(err, APIARY_UNCERTAIN, "outcome unknown, transaction apiary:%s: %s", manifest->id.text, why.message);
    ap_hint(err, "apiary attach %s tells what became of it", manifest->id.text);
    return APIARY_UNCERTAIN;
}

/* When it could not be announced in full, somebody may yet have seen it. */
static enum apiary_code submit_write(struct apiary *handle, const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct apiary_error *err)
{
    AP_AUTO(ap_end) end = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = announce(handle, swarm, manifest, &why);
    if (code == APIARY_OK) return APIARY_OK;
    if (err != NULL) *err = why;
    enum apiary_code cancelled = ap_submit_cancel(swarm, manifest->id.text, &end, NULL);
    bool over = cancelled == APIARY_NOT_FOUND || (cancelled == APIARY_OK && end.decision != AP_END_COMMIT);
    return over ? code : unknown(manifest, err);
}

enum apiary_code ap_order_hand_over(
    struct apiary *handle, struct ap_session *session, const struct ap_order_spec *spec, char **query, struct apiary_error *err)
{
    struct ap_node_id boot;
    AP_AUTO(ap_view) view = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    ap_id_random(handle->env, boot.text); /* whoever submits and leaves is nobody */
    struct ap_swarm swarm = ap_swarm_of(handle, &boot);
    AP_TRY(ap_view_look(handle->world.store, &view, err));
    AP_TRY(ap_order_write(&swarm, session, spec, &view, &manifest, err));
    AP_AUTO_FREE char *id = ap_strdup(manifest.id.text);
    if (id == NULL) return ap_fail_memory(err, "a query's id");
    AP_TRY(manifest.writes ? submit_write(handle, &swarm, &manifest, err) : announce(handle, &swarm, &manifest, err));
    *query = AP_TAKE(id);
    return APIARY_OK;
}

static enum apiary_code run_write(void *context, const struct ap_plan_run *run, struct ap_plan_wrote *wrote, struct apiary_error *err)
{
    struct apiary *handle = context;
    struct ap_swarm swarm = swarm_of_asker(handle);
    AP_AUTO(ap_view) view = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_end) end = { 0 };
    AP_AUTO(ap_outcome) outcome = { 0 };
    AP_AUTO(ap_bytes) nothing = { 0 };
    struct ap_handover *handover = run->session->handover;
    struct ap_order_spec spec = { .run = run, .deadline_us = AP_ORDER_DEADLINE_US };
    if (handover != NULL) {
        spec.detached = true;
        spec.deadline_us = handover->deadline_us;
        return ap_order_hand_over(handle, run->session, &spec, &handover->query, err);
    }
    AP_TRY(ap_view_look(handle->world.store, &view, err));
    AP_TRY(ap_order_write(&swarm, run->session, &spec, &view, &manifest, err));
    AP_TRY(submit_write(handle, &swarm, &manifest, err));
    if (ap_submit_wait(&swarm, &manifest, &run->session->cancel, &end, &outcome, err) != APIARY_OK) return unknown(&manifest, err);
    if (end.decision != AP_END_COMMIT) return ap_submit_answer(&swarm, &manifest, &end, NULL, &nothing, err);
    AP_TRY(ap_outcome_answer(&manifest, &outcome, err));
    AP_TRY(ap_plan_write_told(ap_bytes_view(&end.content), wrote, err));
    wrote->version = outcome.version;
    return APIARY_OK;
}

/* Who is there, asked for at most once a heartbeat. Who may not ask (a reader, by `apiary policy`) is alone. */
static void nodes(void *context, struct ap_spread_nodes *out)
{
    struct apiary *handle = context;
    AP_AUTO(ap_view) view = { 0 };
    int64_t now_us = ap_mono_us(handle->env);
    ap_lock(handle->env, handle->node_lock);
    bool fresh = handle->spread_seen_us != 0 && now_us - handle->spread_seen_us < FRESH_BEATS * ap_config_us(&handle->config, AP_CONFIG_heartbeat);
    if (fresh) *out = handle->spread_nodes;
    ap_unlock(handle->env, handle->node_lock);
    if (fresh) return;
    enum apiary_code code = ap_view_look(handle->world.store, &view, NULL);
    if (code != APIARY_OK && code != APIARY_DENIED) return;
    struct ap_node_id boot = boot_of(handle);
    struct ap_spread_nodes seen = { .nodes = 1, .memory_per_bee_min = out->memory_per_bee_min };
    for (size_t i = 0; i < view.count; i++) {
        const struct ap_view_node *node = &view.nodes[i];
        if (node->state != AP_NODE_ALIVE) continue;
        bool is_self = strcmp(node->key.boot.text, boot.text) == 0;
        uint64_t memory = node->key.caps.memory_per_bee_mb << 20;
        seen.nodes += !is_self;
        seen.bees += (int)node->key.caps.bees;
        if (memory < seen.memory_per_bee_min) seen.memory_per_bee_min = memory;
    }
    if (seen.nodes == 1) seen = *out;
    ap_lock(handle->env, handle->node_lock);
    handle->spread_nodes = seen;
    handle->spread_seen_us = now_us;
    ap_unlock(handle->env, handle->node_lock);
    *out = seen;
}

void ap_spread_port_init(struct apiary *handle)
{
    handle->spread = (struct ap_spread_port) { .context = handle, .nodes = nodes, .place = place, .run_stage = run_stage, .run_write = run_write };
    handle->world.spread = &handle->spread;
}
