/* What is asked of stores themselves: who we are to them, whether they work, copies, counts. */
#include "api/handle.h"

#include "core/json.h"
#include "core/time.h"
#include "storage/copy.h"
#include "storage/doctor.h"
#include "storage/price.h"

#include <stdio.h>

/* ---- whoami ---- */

enum apiary_code ap_whoami_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_store_identity identity = { { 0 } };
    char ends[AP_TIME_TEXT_MAX];
    AP_TRY(ap_store_identity(handle->world.store, &identity, err));
    AP_TRY(ap_bytes_add_text(out, "{\"storage\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(handle->world.store->uri), err));
    AP_TRY(ap_bytes_add_text(out, ",\"source\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(identity.source), err));
    AP_TRY(ap_bytes_add_text(out, ",\"who\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(identity.who), err));
    if (identity.expires_us == 0) return ap_bytes_add_text(out, ",\"expires\":\"never\"}", err);
    ap_timestamp_format(identity.expires_us, 'T', 0, true, ends);
    return ap_bytes_printf(out, err, ",\"expires\":\"%s\"}", ends);
}

/* ---- counts ---- */

enum apiary_code ap_storage_members(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_prices prices;
    AP_TRY(ap_prices_choose(&prices, handle->world.store->uri, ap_config_text(&handle->config, AP_CONFIG_storage_prices), err));
    return ap_store_counts_json(&handle->world.store->counts, &prices, out, err);
}

enum apiary_code ap_storage_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "{", err));
    AP_TRY(ap_storage_members(handle, out, err));
    return ap_bytes_add_text(out, "}", err);
}

/* ---- doctor ---- */

struct reporting {
    apiary_finding report;
    void *context;
};

static void report(void *context, const struct ap_finding *finding)
{
    static const char *const words[] = { "good", "warning", "bad", "skipped" };
    const struct reporting *reporting = context;
    reporting->report(reporting->context, finding->check, words[finding->health], finding->detail, finding->next);
}

int apiary_doctor(struct apiary *handle, int racers, apiary_finding finding, void *context, int *bad, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || finding == NULL || bad == NULL)
        return ap_fail(err, APIARY_INVALID, "apiary_doctor: an argument is NULL");
    if (racers != 0 && (racers < 2 || racers > 64))
        return ap_fail(err, APIARY_INVALID, "apiary_doctor: 2 to 64 writers can race, not %d", racers);
    AP_TRY(ap_world_check(&handle->world, err));
    struct reporting reporting = { finding, context };
    struct ap_doctor_options options = { .racers = racers, .report = report, .context = &reporting };
    return ap_doctor(handle->env, handle->world.store->uri, &options, bad, err);
}

/* ---- copies ---- */

struct copying {
    apiary_copy_progress progress;
    void *context;
};

static void tell_progress(void *context, const struct ap_copy_figures *figures)
{
    const struct copying *copying = context;
    if (copying->progress == NULL) return;
    copying->progress(copying->context, figures->objects_there + figures->objects_done, figures->objects, figures->bytes_done, figures->bytes);
}

int apiary_copy(struct apiary *handle, const char *to, apiary_copy_progress progress, void *context, char **json, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || to == NULL || json == NULL) return ap_fail(err, APIARY_INVALID, "apiary_copy: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_store *target = NULL;
    struct ap_store_options options = { .fsync = true };
    struct copying copying = { progress, context };
    struct ap_copy_options how = { .progress = tell_progress, .context = &copying };
    struct ap_copy_figures figures = { 0 };
    int64_t start = ap_mono_us(handle->env);
    AP_TRY(ap_store_open(handle->env, to, &options, &target, err));
    enum apiary_code code = ap_store_copy(handle->world.store, target, &how, &figures, err);
    ap_store_close(target);
    AP_TRY(code);
    AP_TRY(ap_bytes_printf(&text, err, "{\"objects\":%llu,\"objects_copied\":%llu,\"objects_there\":%llu,\"bytes_copied\":%llu,\"duration_ms\":%lld}",
        (unsigned long long)figures.objects, (unsigned long long)figures.objects_done, (unsigned long long)figures.objects_there,
        (unsigned long long)figures.bytes_done, (long long)(ap_mono_us(handle->env) - start) / 1000));
    return ap_bytes_take_text(&text, json, err);
}
