/* What a statement left: rows in memory, rows from a chamber, or a message. */
#include "query/query.h"
#include "query/running.h"

#include "core/alloc.h"

enum apiary_code ap_result_new(
    struct ap_session *session, struct ap_result **out, struct apiary_error *err)
{
    struct ap_result *result = ap_calloc(1, sizeof *result);
    if (result == NULL) return ap_fail_memory(err, "a result");
    struct ap_world *world = session->world;
    enum apiary_code code = ap_prices_choose(&result->prices, world->store->uri,
        ap_config_text(world->config, AP_CONFIG_storage_prices), err);
    if (code != APIARY_OK) {
        ap_free(result);
        return code;
    }
    result->session = session;
    result->rows_changed = -1;
    result->started_us = ap_mono_us(session->world->env);
    *out = result;
    return APIARY_OK;
}

void ap_result_detach(struct ap_result *result)
{
    ap_running_stop(result->running);
    if (result->session != NULL && result->session->open_result == result)
        result->session->open_result = NULL;
    result->session = NULL;
}

void ap_result_close(struct ap_result *result)
{
    if (result == NULL) return;
    ap_result_detach(result);
    ap_running_unref(result->running);
    if (result->memory.release != NULL) result->memory.release(&result->memory);
    ap_free(result->message);
    ap_free(result->notices);
    ap_bytes_done(&result->stats);
    ap_free(result);
}

enum apiary_code ap_result_message(
    struct ap_result *result, struct apiary_error *err, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *copy = ap_strdup(text);
    if (copy == NULL) return ap_fail_memory(err, "a message");
    ap_free(result->message);
    result->message = copy;
    return APIARY_OK;
}

enum apiary_code ap_result_stream(
    struct ap_result *result, struct ArrowArrayStream *out, struct apiary_error *err)
{
    if (!result->has_rows) return ap_fail(err, APIARY_INVALID, "this statement has no rows");
    if (result->taken)
        return ap_fail(err, APIARY_INVALID, "the rows of this result were taken already");
    if (result->running != NULL)
        AP_TRY(ap_running_stream(result->running, out, err));
    else {
        *out = result->memory;
        memset(&result->memory, 0, sizeof result->memory);
    }
    result->taken = true;
    return APIARY_OK;
}

enum apiary_code ap_result_stats(
    struct ap_result *result, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{\"store\":{", err));
    struct ap_cache_figures paging = ap_running_paging(result->running);
    struct ap_store_counts asked = { 0 };
    ap_store_counts_add(&asked, &result->asked);
    ap_store_counts_add(&asked, &paging.asked);
    AP_TRY(ap_store_counts_json(&asked, &result->prices, out, err));
    AP_TRY(ap_bytes_add_text(out, "},", err));
    if (result->stats.size > 0) {
        AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&result->stats), err));
        AP_TRY(ap_bytes_add_text(out, ",", err));
    }
    struct ap_job_stats job = { .rows_changed = -1 };
    ap_running_stats(result->running, &job);
    uint64_t requests = ap_store_counts_requests(&paging.asked), bytes = paging.asked.bytes_in;
    uint64_t from_cache = job.paged_bytes > bytes ? job.paged_bytes - bytes : 0;
    AP_TRY(ap_bytes_printf(out, err,
        "\"store_requests\":%llu,\"store_bytes\":%llu,\"ahead_bytes\":%llu,\"cache_bytes\":%llu,"
        "\"page_waits\":%llu,",
        (unsigned long long)requests, (unsigned long long)bytes,
        (unsigned long long)paging.ahead_bytes, (unsigned long long)from_cache,
        (unsigned long long)job.page_waits));
    return ap_bytes_printf(out, err,
        "\"rows_changed\":%lld,\"rows\":%lld,\"result_bytes\":%llu,\"cpu_us\":%lld,\"memory_bytes_"
        "peak\":%llu}",
        (long long)result->rows_changed, (long long)job.rows_out, (unsigned long long)job.bytes_out,
        (long long)job.cpu_us, (unsigned long long)job.memory_bytes_peak);
}
