/* Status documents of this handle; those of the swarm are in node.c. */
#include "api/handle.h"

#include "core/alloc.h"
#include "core/json.h"

enum { BEES_SHOWN_MAX = 1024 };

static double megabytes(uint64_t bytes)
{
    return (double)bytes / (1024 * 1024);
}

static uint64_t memory_per_bee(const struct apiary *handle)
{
    return handle->pool_options.memory_bytes / (uint64_t)handle->pool_options.bees;
}

static enum apiary_code status_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_leafcutter cut = ap_leafcut(memory_per_bee(handle), ap_config_size(&handle->config, AP_CONFIG_target_cell_size, 0));
    AP_TRY(ap_bytes_add_text(out, "{\"name\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(handle->machine.host), err));
    AP_TRY(ap_bytes_printf(out, err, ",\"node_id\":\"%s\",\"cores\":%d,\"memory_gb\":%.3f,\"bees\":%d,\"storage\":",
        handle->boot.text, handle->machine.cores, megabytes(handle->machine.memory_bytes) / 1024, handle->pool_options.bees));
    AP_TRY(ap_json_quote(out, ap_str_from(handle->world.store->uri), err));
    AP_TRY(ap_bytes_add_text(out, ",", err));
    AP_TRY(ap_storage_members(handle, out, err));
    return ap_bytes_printf(out, err,
        ",\"memory_limit_mb\":%.1f,\"memory_per_bee_mb\":%.1f,\"target_cell_size_mb\":%.1f,\"state\":\"%s\",\"version\":\"%s\"}",
        megabytes(handle->pool_options.memory_bytes), megabytes(memory_per_bee(handle)), megabytes(cut.target_bytes), handle->node != NULL ? "running" : "ready",
        AP_VERSION);
}

static enum apiary_code bees_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    size_t count = (size_t)handle->pool_options.bees;
    AP_AUTO_FREE struct ap_bee_status *bees = ap_calloc(count + 1, sizeof *bees); /* and a guest */
    if (bees == NULL) return ap_fail_memory(err, "the bees' status");
    for (size_t i = 0; i < count; i++)
        bees[i] = (struct ap_bee_status) { .index = (int)i, .state = "idle", .budget_bytes = memory_per_bee(handle) };
    ap_lock(handle->env, handle->world.lock);
    struct ap_pool *pool = handle->world.pool;
    ap_unlock(handle->env, handle->world.lock);
    if (pool != NULL) count = ap_pool_status(pool, bees, count + 1);
    AP_TRY(ap_bytes_add_text(out, "[", err));
    for (size_t i = 0; i < count; i++) {
        char name[32] = "guest";
        if (!bees[i].guest) snprintf(name, sizeof name, "bee-%zu", i);
        AP_TRY(ap_bytes_printf(out, err,
            "%s{\"bee_id\":\"%s\",\"state\":\"%s\",\"memory_used\":%llu,\"memory_peak\":%llu,\"memory_budget\":%llu,\"pid\":%d,\"seal\":\"%s\",\"task\":",
            i > 0 ? "," : "", name, bees[i].state, (unsigned long long)bees[i].memory_bytes,
            (unsigned long long)bees[i].memory_bytes_peak, (unsigned long long)bees[i].budget_bytes, bees[i].chamber_pid,
            bees[i].seal));
        AP_TRY(ap_json_quote(out, ap_str_from(bees[i].task), err));
        AP_TRY(ap_bytes_add_text(out, "}", err));
    }
    return ap_bytes_add_text(out, "]", err);
}

int apiary_status(struct apiary *handle, const char *what, char **json, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || what == NULL || json == NULL) return ap_fail(err, APIARY_INVALID, "apiary_status: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    AP_AUTO(ap_bytes) text = { 0 };
    if (strcmp(what, "status") == 0)
        AP_TRY(status_json(handle, &text, err));
    else if (strcmp(what, "bees") == 0)
        AP_TRY(bees_json(handle, &text, err));
    else if (strcmp(what, "swarm") == 0)
        AP_TRY(ap_swarm_json(handle, &text, err));
    else if (strcmp(what, "colony") == 0)
        AP_TRY(ap_colony_json(handle, &text, err));
    else if (strcmp(what, "cache") == 0)
        AP_TRY(ap_cache_json(handle, &text, err));
    else if (strcmp(what, "whoami") == 0)
        AP_TRY(ap_whoami_json(handle, &text, err));
    else if (strcmp(what, "storage") == 0)
        AP_TRY(ap_storage_json(handle, &text, err));
    else if (strcmp(what, "config") == 0)
        AP_TRY(ap_config_json(&handle->config, &text, err));
    else
        return ap_fail(err, APIARY_INVALID, "apiary_status: there is no status called '%s'", what);
    return ap_bytes_take_text(&text, json, err);
}
