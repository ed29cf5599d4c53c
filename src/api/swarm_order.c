/* The text of a manifest's plan: which part of which plan, or a statement as it was typed.
 *
 *   {"format":1,"detached":false,"stage":1,"plan":"…","results":[{"stage":0,"payload":"…","size":1,"sha256":"…"}]}
 *   {"format":1,"detached":true,"sql":"…","writes":false,"timezone":"UTC","hive":"main","box":"main"} */
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "core/json.h"
#include "query/plan.h"
#include "swarm/envelope.h"
#include "swarm/result.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum { FORMAT = 1, READ_STEP = 1 << 20 };
#define TASK_TIMEOUT_US (INT64_C(600) * 1000000)
#define PARTIAL_BYTES_MAX (UINT64_C(1) << 30)

enum apiary_code ap_file_bytes(int fd, struct ap_bytes *out, struct apiary_error *err)
{
    off_t at = 0;
    for (;;) {
        AP_TRY(ap_bytes_reserve(out, READ_STEP, err));
        ssize_t got = pread(fd, out->data + out->size, READ_STEP, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ap_fail_errno(err, errno, "cannot read a partial result");
        if (got == 0) break;
        out->size += (size_t)got;
        at += got;
        if (out->size > PARTIAL_BYTES_MAX)
            return ap_fail(err, APIARY_LIMIT, "a partial result takes more than %d MiB", (int)(PARTIAL_BYTES_MAX >> 20));
    }
    out->data[out->size] = '\0';
    return APIARY_OK;
}

enum apiary_code ap_bytes_file(const struct ap_session *session, struct ap_str bytes, int *out, struct apiary_error *err)
{
    int fd = -1;
    AP_TRY(ap_plan_file(session, &fd, err));
    for (size_t at = 0; at < bytes.size;) {
        ssize_t put = write(fd, bytes.data + at, bytes.size - at);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            int error_number = errno;
            close(fd);
            return ap_fail_errno(err, error_number, "cannot write a partial result");
        }
        at += (size_t)put;
    }
    *out = fd;
    return APIARY_OK;
}

/* ---- which statements ---- */

static enum apiary_code one_statement(struct ap_str text, struct ap_str *out, struct apiary_error *err)
{
    size_t position = 0, start = 0, end = 0, other_start = 0, other_end = 0;
    bool ended = false;
    if (!ap_next_statement(text, &position, &start, &end, &ended)) return ap_fail(err, APIARY_SQL, "there is no statement to submit");
    *out = (struct ap_str) { text.data + start, end - start };
    if (ap_next_statement(text, &position, &other_start, &other_end, &ended))
        return ap_fail(err, APIARY_SQL, "submit takes one statement at a time");
    return APIARY_OK;
}

enum apiary_code ap_order_check(struct ap_str *sql, struct ap_order_kind *kind, struct apiary_error *err)
{
    AP_AUTO(ap_statement) statement = { 0 };
    AP_TRY(one_statement(*sql, sql, err));
    AP_TRY(ap_statement_parse(*sql, &statement, err));
    *kind = (struct ap_order_kind) { 0 };
    switch (statement.kind) {
        case AP_STATEMENT_QUERY:
        case AP_STATEMENT_EXPLAIN:
        case AP_STATEMENT_SHOW:
        case AP_STATEMENT_DESCRIBE: return APIARY_OK;
        case AP_STATEMENT_INSERT:
            kind->writes = statement.condition.size == 0;
            break;
        case AP_STATEMENT_CREATE_FRAME:
            kind->writes = statement.body.size > 0 && statement.location == NULL && !statement.flags.temporary && !statement.flags.if_not_exists;
            break;
        case AP_STATEMENT_OPTIMIZE:
            kind->writes = kind->planned = !statement.flags.dry_run;
            break;
        case AP_STATEMENT_COPY_FROM: kind->writes = kind->planned = true; break;
        default: break;
    }
    if (kind->writes) return APIARY_OK;
    ap_fail(err, APIARY_UNSUPPORTED, "this statement cannot be submitted");
    return ap_hint(err, "SELECT, INSERT and CREATE FRAME … AS SELECT can, without REPLACE WHERE, LOCATION, TEMP and IF NOT EXISTS; OPTIMIZE and COPY … FROM too");
}

/* ---- writing ---- */

static enum apiary_code write_result(
    const struct ap_swarm *swarm, const char *id, const struct ap_plan_run *run, size_t of, bool first, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) bytes = { 0 };
    struct ap_query_key key;
    AP_TRY(ap_file_bytes(run->results[of], &bytes, err));
    AP_TRY(ap_payload_put(swarm, id, ap_bytes_view(&bytes), &key, err));
    return ap_bytes_printf(out, err, "%s{\"stage\":%zu,\"payload\":\"%s\",\"size\":%zu,\"sha256\":\"%s\"}", first ? "" : ",", of, key.text, bytes.size,
        ap_hash_text(ap_bytes_view(&bytes)).text);
}

/* Of earlier stages: what the tasks read, and, where a node merges what is written, what the merge reads. */
static enum apiary_code write_results(const struct ap_swarm *swarm, const char *id, const struct ap_plan_run *run, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_plan *plan = run->plan;
    const struct ap_plan_stage *stage = &plan->stages[run->stage];
    bool merged_there = plan->write != NULL && !plan->write->in_tasks && run->stage + 1 == plan->stage_count, first = true;
    AP_TRY(ap_bytes_add_text(out, ",\"results\":[", err));
    for (size_t of = 0; of < run->stage; of++) {
        if (!ap_plan_list_has(&stage->fragment_stages, of) && !(merged_there && ap_plan_list_has(&stage->merge_stages, of))) continue;
        AP_TRY(write_result(swarm, id, run, of, first, out, err));
        first = false;
    }
    return ap_bytes_add_text(out, "]", err);
}

static enum apiary_code write_plan(const struct ap_swarm *swarm, struct ap_session *session, const char *id, const struct ap_order_spec *spec,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "{\"format\":%d,\"detached\":%s", FORMAT, spec->detached ? "true" : "false"));
    if (spec->run != NULL) {
        AP_AUTO(ap_bytes) plan = { 0 };
        AP_TRY(ap_plan_write(spec->run->plan, &plan, err));
        AP_TRY(ap_bytes_printf(out, err, ",\"stage\":%zu,\"plan\":", spec->run->stage));
        AP_TRY(ap_json_quote(out, ap_bytes_view(&plan), err));
        AP_TRY(write_results(swarm, id, spec->run, out, err));
    } else {
        AP_TRY(ap_bytes_add_text(out, ",\"sql\":", err));
        AP_TRY(ap_json_quote(out, spec->sql, err));
        AP_TRY(ap_bytes_printf(out, err, ",\"writes\":%s,\"timezone\":", spec->writes ? "true" : "false"));
        AP_TRY(ap_json_quote(out, ap_str_from(ap_config_text(&session->config, AP_CONFIG_timezone)), err));
        AP_TRY(ap_bytes_printf(out, err, ",\"hive\":\"%s\",\"box\":\"%s\"", session->hive, session->box));
    }
    return ap_bytes_add_text(out, "}", err);
}

/* A task is placed by the first cell that it reads, so that it goes where that lies cached. */
enum apiary_code ap_order_tasks(
    const struct ap_order_spec *spec, const struct ap_view *view, struct ap_manifest *out, struct apiary_error *err)
{
    const struct ap_plan_run *run = spec->run;
    const struct ap_plan_stage *stage = run != NULL ? &run->plan->stages[run->stage] : NULL;
    bool good = true;
    out->task_count = stage != NULL ? stage->task_count : 1;
    out->tasks = ap_arena_alloc(&out->arena, out->task_count * sizeof *out->tasks);
    if (out->tasks == NULL) return ap_fail_memory(err, "a manifest");
    for (size_t i = 0; i < out->task_count; i++) {
        const char *cell = stage != NULL ? ap_plan_first_cell(run->plan, stage, &stage->tasks[i]) : NULL;
        out->tasks[i].body = ap_arena_str(&out->arena, ap_str_from(cell != NULL ? cell : "statement"), &good);
        out->tasks[i].bytes = stage != NULL ? stage->tasks[i].bytes : 0;
        out->tasks[i].memory_mb = ap_leafcut_memory(out->tasks[i].bytes) >> 20;
    }
    if (!good) return ap_fail_memory(err, "a manifest");
    return ap_submit_assign(view, out, err);
}

enum apiary_code ap_order_write(const struct ap_swarm *swarm, struct ap_session *session, const struct ap_order_spec *spec,
    struct ap_view *view, struct ap_manifest *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) plan = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    int64_t now_us = ap_view_clock(view, swarm->env), tries = ap_config_count(&session->config, AP_CONFIG_task_tries, 3);
    ap_query_id_new(swarm->env, now_us, &manifest.id);
    manifest.submitter = swarm->boot;
    manifest.created_us = now_us;
    manifest.deadline_us = now_us + spec->deadline_us;
    manifest.task_timeout_us = TASK_TIMEOUT_US;
    manifest.tries = tries < 1 ? 1 : tries > AP_MANIFEST_TRIES_MAX ? AP_MANIFEST_TRIES_MAX : (int)tries;
    manifest.writes = spec->run != NULL ? spec->run->plan->write != NULL && spec->run->stage + 1 == spec->run->plan->stage_count : spec->writes;
    manifest.fleeting = swarm->fleeting && !manifest.writes;
    manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_PLAN);
    if (manifest.writes) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_WRITE);
    if (manifest.writes && spec->run == NULL) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_HOLD);
    if (manifest.writes && spec->run != NULL && spec->run->plan->write->compaction != NULL) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_COMPACT);
    if (spec->run != NULL && ap_plan_reads_files(spec->run->plan)) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_FILES);
    if (spec->run != NULL && ap_plan_reads_text(spec->run->plan)) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_TEXT);
    if (spec->run != NULL && ap_plan_has_union(spec->run->plan)) manifest.needs[manifest.need_count++] = AP_STR(AP_NEED_UNION);
    AP_TRY(write_plan(swarm, session, manifest.id.text, spec, &plan, err));
    AP_TRY(ap_order_tasks(spec, view, &manifest, err));
    bool good = true;
    manifest.plan = ap_arena_str(&manifest.arena, ap_bytes_view(&plan), &good);
    if (!good) return ap_fail_memory(err, "a manifest");
    *out = AP_TAKE(manifest);
    return APIARY_OK;
}

/* ---- reading ---- */

void ap_order_done(struct ap_order *order)
{
    ap_plan_free(order->plan);
    ap_free(order->sql);
    ap_json_doc_free(&order->doc);
    memset(order, 0, sizeof *order);
}

static enum apiary_code wrong(const struct ap_manifest *manifest, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "manifest of query %s: its plan is out of form", manifest->id.text);
}

enum apiary_code ap_order_read(const struct ap_manifest *manifest, struct ap_order *out, struct apiary_error *err)
{
    AP_AUTO(ap_order) order = { 0 };
    struct ap_str text;
    int64_t format = 0, stage = 0;
    bool writes = false;
    AP_TRY(ap_json_parse(manifest->plan, "a manifest's plan", &order.doc, err));
    yyjson_val *root = yyjson_doc_get_root(order.doc);
    if (!ap_json_i64(root, "format", &format)) return wrong(manifest, err);
    if (format != FORMAT) return ap_fail(err, APIARY_UNSUPPORTED, "query %s has a plan of format %d", manifest->id.text, (int)format);
    if (!ap_json_bool(root, "detached", &order.detached)) return wrong(manifest, err);
    if (ap_json_str(root, "sql", &text)) {
        order.whole = true;
        order.sql = ap_str_dup(text);
        if (order.sql == NULL) return ap_fail_memory(err, "a statement");
        if (manifest->task_count != 1) return wrong(manifest, err);
        if (!ap_json_bool(root, "writes", &writes)) writes = false; /* of a version that had none */
    } else {
        if (!ap_json_str(root, "plan", &text) || !ap_json_i64(root, "stage", &stage)) return wrong(manifest, err);
        AP_TRY(ap_plan_read(text, &order.plan, err));
        if (stage < 0 || (uint64_t)stage >= order.plan->stage_count || order.plan->stages[stage].task_count != manifest->task_count)
            return wrong(manifest, err);
        order.stage = (size_t)stage;
        writes = order.plan->write != NULL && order.stage + 1 == order.plan->stage_count;
        if (writes && order.plan->stages[stage].kind == AP_CUT_WHOLE) return wrong(manifest, err);
    }
    if (manifest->writes != writes) return wrong(manifest, err);
    *out = AP_TAKE(order);
    return APIARY_OK;
}

enum apiary_code ap_order_held(struct ap_order *order, struct ap_str content, struct ap_str *cells, struct apiary_error *err)
{
    *cells = content;
    return order->whole ? ap_plan_held(content, &order->plan, cells, err) : APIARY_OK;
}
