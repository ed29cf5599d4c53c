/* The cache of remote cells, shown and cleared. */
#include "api/handle.h"

#include "core/json.h"

struct shown {
    struct ap_bytes *out;
    bool any;
};

static enum apiary_code show(
    void *context, const struct ap_cache_file *file, struct apiary_error *err)
{
    struct shown *shown = context;
    AP_TRY(ap_bytes_add_text(shown->out, shown->any ? ",{\"store\":" : "{\"store\":", err));
    shown->any = true;
    AP_TRY(ap_json_quote(shown->out, ap_str_from(file->store), err));
    AP_TRY(ap_bytes_add_text(shown->out, ",\"key\":", err));
    AP_TRY(ap_json_quote(shown->out, ap_str_from(file->key), err));
    return ap_bytes_printf(shown->out, err, ",\"size\":%llu,\"held\":%llu,\"used_us\":%lld}",
        (unsigned long long)file->size, (unsigned long long)file->held_bytes,
        (long long)file->used_us);
}

enum apiary_code ap_cache_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) files = { 0 };
    struct shown shown = { .out = &files };
    struct ap_cache_totals totals = { 0 };
    AP_TRY(ap_cache_look(handle->world.cache, &totals, show, &shown, err));
    AP_TRY(ap_bytes_add_text(out, "{\"folder\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(handle->cache_dir), err));
    return ap_bytes_printf(out, err,
        ",\"cells\":%llu,\"bytes\":%llu,\"limit\":%llu,\"files\":[%s]}",
        (unsigned long long)totals.files, (unsigned long long)totals.bytes,
        (unsigned long long)totals.limit_bytes, ap_bytes_text(&files));
}

int apiary_cache_clear(struct apiary *handle, int64_t *bytes, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || bytes == NULL)
        return ap_fail(err, APIARY_INVALID, "apiary_cache_clear: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    uint64_t gone = 0;
    AP_TRY(ap_cache_clear(handle->world.cache, &gone, err));
    *bytes = (int64_t)gone;
    return APIARY_OK;
}
