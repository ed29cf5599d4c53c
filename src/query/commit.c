#include "query/commit.h"
#include "query/spread_write.h"

#include "core/alloc.h"
#include "core/json.h"

static enum apiary_code commit_to_base(struct ap_session *session, struct ap_target *target,
    struct ap_written *written, const struct ap_write_commit *how, uint64_t *version,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) metrics = { 0 };
    AP_AUTO(ap_bytes) parameters = { 0 };
    size_t all = how->replace_all ? target->base->cell_count : 0;
    AP_AUTO_FREE const struct ap_cell **every = ap_calloc(all == 0 ? 1 : all, sizeof *every);
    if (every == NULL) return ap_fail_memory(err, "a commit");
    for (size_t i = 0; i < all; i++) every[i] = &target->base->cells[i];
    size_t removes = how->replace_all ? all : how->remove_count;
    AP_TRY(ap_bytes_printf(&metrics, err,
        "{\"numFiles\":\"%zu\",\"numOutputRows\":\"%lld\",\"numOutputBytes\":\"%lld\","
        "\"numRemovedFiles\":\"%zu\"}",
        written->count, (long long)written->rows, (long long)written->bytes, removes));
    AP_TRY(ap_bytes_printf(
        &parameters, err, "{\"mode\":\"%s\"}", how->replace_all ? "Overwrite" : "Append"));
    bool reads = how->replace_all || removes > 0 || how->reads_target;
    struct ap_commit commit = {
        .base = target->base,
        .spec = how->spec,
        .adds = written->cells,
        .add_count = written->count,
        .removes = how->replace_all ? every : how->removes,
        .remove_count = removes,
        .data_change = true,
        .scope = reads ? AP_READ_ALL : AP_READ_NOTHING,
        .by_position = how->by_position,
        .operation = how->operation,
        .expires_mono_us =
            how->expires_mono_us != 0 ? how->expires_mono_us : ap_written_expires_us(written),
        .txn_app_id = how->txn,
        .txn_version = 1,
        .operation_parameters = ap_bytes_text(&parameters),
        .operation_metrics = ap_bytes_text(&metrics),
        .cancel = &session->cancel,
    };
    return ap_ledger_commit(target->ledger, &commit, version, NULL, err);
}

enum apiary_code ap_commit_written(struct ap_session *session, struct ap_target *target,
    struct ap_written *written, const struct ap_write_commit *how, uint64_t *version,
    struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    *version = 0;
    if (session->held != NULL)
        code = ap_write_hold(session, target, written, how, err);
    else if (target->base == NULL)
        code = ap_target_create(
            session, target, written->cells, written->count, how->operation, how->txn, err);
    else
        code = commit_to_base(session, target, written, how, version, err);
    if (code != APIARY_OK && code != APIARY_UNCERTAIN) ap_written_discard(written);
    return code;
}

/* A JSON array of the lines. */
static enum apiary_code add_notices(
    struct ap_str lines, struct ap_bytes *json, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(json, "[", err));
    for (bool first = true; lines.size > 0; first = false) {
        size_t end = ap_str_find(lines, AP_STR("\n"));
        struct ap_str line = { lines.data, end == SIZE_MAX ? lines.size : end };
        if (!first) AP_TRY(ap_bytes_add_text(json, ",", err));
        AP_TRY(ap_json_quote(json, line, err));
        size_t taken = line.size + (end != SIZE_MAX);
        lines = (struct ap_str) { lines.data + taken, lines.size - taken };
    }
    return ap_bytes_add_text(json, "]", err);
}

enum apiary_code ap_write_json(struct ap_session *session, const struct ap_written *written,
    uint64_t version, int64_t started_us, bool created, struct ap_bytes *json,
    struct apiary_error *err)
{
    double ms = (double)(ap_mono_us(session->world->env) - started_us) / 1000;
    struct ap_pool_load load = { 0 };
    struct ap_pool *pool = NULL;
    if (ap_world_pool(session->world, &pool, NULL) == APIARY_OK) ap_pool_load(pool, &load);
    char number[32] = "null";
    if (version != AP_VERSION_UNKNOWN) snprintf(number, sizeof number, "%llu", (unsigned long long)version);
    AP_TRY(ap_bytes_printf(json, err,
        "{\"version\":%s,\"cells_written\":%zu,\"rows_written\":%lld,\"bytes_written\":%lld,"
        "\"duration_ms\":%.3f,"
        "\"temperature\":%.3f,\"created\":%s,\"notices\":",
        number, written->count, (long long)written->rows,
        (long long)written->bytes, ms, load.temperature, created ? "true" : "false"));
    AP_TRY(add_notices(ap_bytes_view(&session->notices), json, err));
    return ap_bytes_add_text(json, "}", err);
}
