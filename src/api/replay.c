/* A query once more, over the same versions: does it give the same rows? */
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "query/plan.h"
#include "swarm/decide.h"

#include <inttypes.h>
#include <unistd.h>

static enum apiary_code refuse(const char *query, const char *why, struct apiary_error *err)
{
    ap_fail(err, APIARY_UNSUPPORTED, "query %s cannot be replayed: %s", query, why);
    return ap_hint(err, "its rows may differ from run to run and both be right");
}

/* All tasks, one after the other, and the merge. */
static enum apiary_code run_again(const struct ap_plan_run *run, size_t tasks, int *partials, int out, struct apiary_error *err)
{
    for (size_t i = 0; i < tasks; i++) {
        AP_TRY(ap_plan_file(run->session, &partials[i], err));
        AP_TRY(ap_plan_task(run, i, partials[i], NULL, err));
    }
    return ap_plan_merge(run, partials, out, NULL, err);
}

static enum apiary_code digest_again(struct ap_session *session, const struct ap_order *order, struct ap_bytes *digest, int64_t *rows,
    struct apiary_error *err)
{
    struct ap_plan_run run = { .session = session, .plan = order->plan, .stage = order->stage };
    size_t tasks = order->plan->stages[order->stage].task_count;
    AP_AUTO_FREE int *partials = ap_calloc(tasks, sizeof *partials);
    int out = -1;
    if (partials == NULL) return ap_fail_memory(err, "a query's partials");
    for (size_t i = 0; i < tasks; i++) partials[i] = -1;
    enum apiary_code code = ap_plan_file(session, &out, err);
    if (code == APIARY_OK) code = run_again(&run, tasks, partials, out, err);
    if (code == APIARY_OK) code = ap_rows_digest(session, out, digest, rows, err);
    for (size_t i = 0; i < tasks; i++)
        if (partials[i] >= 0) close(partials[i]);
    if (out >= 0) close(out);
    return code;
}

static enum apiary_code digest_kept(struct ap_session *session, const struct ap_bytes *kept, struct ap_bytes *digest, int64_t *rows,
    struct apiary_error *err)
{
    int fd = -1;
    AP_TRY(ap_bytes_file(session, ap_bytes_view(kept), &fd, err));
    enum apiary_code code = ap_rows_digest(session, fd, digest, rows, err);
    close(fd);
    return code;
}

static enum apiary_code find_kept(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const char *query, struct ap_bytes *kept,
    struct apiary_error *err)
{
    AP_AUTO(ap_end) end = { 0 };
    enum apiary_code code = ap_end_get(swarm, query, &end, err);
    if (code == APIARY_NOT_FOUND) return ap_fail(err, APIARY_BUSY, "query %s has not ended yet", query);
    AP_TRY(code);
    AP_TRY(ap_submit_answer(swarm, manifest, &end, NULL, kept, err));
    return kept->size > 0 ? APIARY_OK : refuse(query, "it was a part of a statement that somebody waited for", err);
}

static enum apiary_code replay(struct apiary_session *session, const char *query, struct ap_bytes *json, struct apiary_error *err)
{
    struct ap_node_id boot;
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_order) order = { 0 };
    AP_AUTO(ap_bytes) kept = { 0 };
    AP_AUTO(ap_bytes) before = { 0 };
    AP_AUTO(ap_bytes) now = { 0 };
    int64_t rows_before = 0, rows_now = 0;
    ap_id_random(session->handle->env, boot.text);
    struct ap_swarm swarm = ap_swarm_of(session->handle, &boot);
    enum apiary_code code = ap_manifest_get(swarm.store, swarm.secret, query, &manifest, err);
    if (code == APIARY_NOT_FOUND) {
        ap_fail(err, APIARY_NOT_FOUND, "there is no query %s", query);
        return ap_hint(err, "what a query left is cleared away a while after it ended");
    }
    AP_TRY(code);
    AP_TRY(ap_order_read(&manifest, &order, err));
    if (manifest.writes) return refuse(query, "it writes", err);
    if (order.whole) return refuse(query, "it was run as it was typed, over whatever versions were the newest", err);
    if (!order.plan->replayable) return refuse(query, order.plan->doubt != NULL ? order.plan->doubt : "its rows depend on their order", err);
    AP_TRY(find_kept(&swarm, &manifest, query, &kept, err));
    AP_TRY(digest_kept(session->session, &kept, &before, &rows_before, err));
    AP_TRY(digest_again(session->session, &order, &now, &rows_now, err));
    return ap_bytes_printf(json, err, "{\"query\":\"%s\",\"rows\":%" PRId64 ",\"rows_now\":%" PRId64 ",\"digest\":\"%s\",\"digest_now\":\"%s\",\"same\":%s}",
        query, rows_before, rows_now, ap_bytes_text(&before), ap_bytes_text(&now),
        ap_str_equal(ap_bytes_view(&before), ap_bytes_view(&now)) ? "true" : "false");
}

int apiary_replay(struct apiary_session *session, const char *query, char **json, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    ap_error_clear(err);
    if (session == NULL || query == NULL || json == NULL) return ap_fail(err, APIARY_INVALID, "apiary_replay: an argument is NULL");
    AP_TRY(ap_world_check(&session->handle->world, err));
    if (!ap_query_id_valid(ap_str_from(query))) return ap_fail(err, APIARY_INVALID, "'%.64s' is no query's id", query);
    ap_session_begin(session->session);
    AP_TRY(replay(session, query, &text, err));
    return ap_bytes_take_text(&text, json, err);
}
