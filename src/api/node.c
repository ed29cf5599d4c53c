/* Joining and leaving the swarm, and what the swarm's status says. */
#include "api/care.h"
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "core/json.h"
#include "storage/prove.h"
#include "swarm/view.h"

#include <inttypes.h>

enum { NAME_BYTES_MAX = 256 };

static struct ap_pool *pool_of(struct apiary *handle)
{
    ap_lock(handle->env, handle->world.lock);
    struct ap_pool *pool = handle->world.pool;
    ap_unlock(handle->env, handle->world.lock);
    return pool;
}

static void load_of(struct apiary *handle, struct ap_pool_load *load)
{
    *load = (struct ap_pool_load) { .bees = handle->pool_options.bees, .memory_bytes = handle->pool_options.memory_bytes };
    struct ap_pool *pool = pool_of(handle); /* made at the first need, closed with the handle */
    if (pool != NULL) ap_pool_load(pool, load);
}

static void figures(void *context, struct ap_node_figures *out)
{
    struct ap_pool_load load;
    load_of(context, &load);
    *out = (struct ap_node_figures) {
        .bees = load.bees,
        .bees_idle = load.bees - load.bees_busy,
        .memory_bytes = load.memory_bytes,
        .memory_bytes_used = load.memory_bytes_used,
        .temperature = load.temperature,
    };
}

static enum apiary_code tasks(void *context, struct ap_bytes *out, struct apiary_error *err)
{
    return ap_worker_tasks(context, out, err);
}

/* A node without work is none: both start, or neither. */
static enum apiary_code start_node(struct apiary *handle, struct ap_node_options *options, struct apiary_error *err)
{
    struct ap_worker_options work = {
        .swarm = ap_swarm_of(handle, &handle->boot),
        .slots = handle->pool_options.bees,
        .memory_per_bee_mb = options->caps.memory_per_bee_mb,
    };
    struct ap_worker *worker = NULL;
    struct ap_node *node = NULL;
    snprintf(handle->node_name, sizeof handle->node_name, "%s", options->name); /* before any task can tell it */
    AP_TRY(ap_worker_new(&work, &worker, err));
    options->port = (struct ap_node_port) { .context = handle, .figures = figures, .tasks = tasks, .tasks_context = worker };
    enum apiary_code code = ap_node_start(handle->env, options, &node, err);
    if (code == APIARY_OK) code = ap_worker_start(worker, node, err);
    if (code != APIARY_OK) {
        enum apiary_code left = ap_node_stop(node, NULL); /* else its beat ages out */
        (void)left;
        ap_worker_free(worker);
        return code;
    }
    handle->node = node;
    handle->worker = worker;
    return APIARY_OK;
}

/* Drains and leaves. */
enum apiary_code ap_leave_swarm(struct apiary *handle, struct apiary_error *err)
{
    ap_lock(handle->env, handle->node_lock);
    struct ap_node *node = AP_TAKE(handle->node);
    struct ap_worker *worker = AP_TAKE(handle->worker);
    struct ap_care *care = AP_TAKE(handle->care);
    handle->spread_seen_us = 0;
    ap_unlock(handle->env, handle->node_lock);
    ap_care_stop(care);
    if (worker != NULL) ap_worker_stop(worker);
    enum apiary_code code = ap_node_stop(node, err);
    ap_worker_free(worker);
    ap_lock(handle->env, handle->node_lock);
    ap_id_random(handle->env, handle->boot.text); /* a restart is a new node */
    ap_unlock(handle->env, handle->node_lock);
    return code;
}

int apiary_node_start(struct apiary *handle, const char *name, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || name == NULL) return ap_fail(err, APIARY_INVALID, "apiary_node_start: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    struct ap_str text = ap_str_from(name);
    if (text.size == 0 || text.size > NAME_BYTES_MAX || !ap_utf8_valid(text))
        return ap_fail(err, APIARY_INVALID, "the name of a node has 1 to %d bytes of UTF-8", NAME_BYTES_MAX);
    struct ap_node_options options = {
        .name = name,
        .boot = handle->boot,
        .caps = {
            .bees = (uint32_t)handle->pool_options.bees,
            .memory_per_bee_mb = handle->pool_options.memory_bytes / (uint64_t)handle->pool_options.bees / (1024 * 1024),
            .interval_ms = ap_config_us(&handle->config, AP_CONFIG_heartbeat) / 1000,
            .protocol = AP_SWARM_PROTOCOL,
        },
        .store = handle->world.store,
        .log = &handle->log,
    };
    if (options.caps.interval_ms < 100) return ap_fail(err, APIARY_CONFIG, "the heartbeat must be at least 100ms");
    AP_TRY(ap_store_prove(handle->world.store, err));
    ap_lock(handle->env, handle->node_lock);
    enum apiary_code code = handle->node != NULL
        ? ap_fail(err, APIARY_EXISTS, "this handle has joined the swarm already")
        : start_node(handle, &options, err);
    if (code == APIARY_OK) code = ap_care_start(handle, &handle->care, err);
    ap_unlock(handle->env, handle->node_lock);
    return code;
}

int apiary_node_stop(struct apiary *handle, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL) return ap_fail(err, APIARY_INVALID, "apiary_node_stop: handle is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    return ap_leave_swarm(handle, err);
}

/* ---- status ---- */

static double pressure_of(const struct ap_node_figures *now)
{
    if (now->memory_bytes == 0) return 0;
    double pressure = (double)now->memory_bytes_used / (double)now->memory_bytes;
    return pressure < 1 ? pressure : 1;
}

static enum apiary_code add_node(const struct ap_view_node *node, bool first, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "%s{\"node_id\":\"%s\",\"name\":", first ? "" : ",", node->key.boot.text));
    AP_TRY(ap_json_quote(out, ap_str_from(node->name != NULL ? node->name : node->key.label), err));
    return ap_bytes_printf(out, err,
        ",\"state\":\"%s\",\"bees\":%" PRIu32 ",\"idle_bees\":%d,\"memory_pressure\":%.4f,\"colony_temperature\":%.4f,"
        "\"last_beat_ms\":%" PRId64 "}",
        ap_node_state_text(node->state), node->key.caps.bees, node->figures.bees_idle, pressure_of(&node->figures),
        node->figures.temperature, node->age_us / 1000);
}

enum apiary_code ap_swarm_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_view) view = { 0 };
    AP_TRY(ap_view_look(handle->world.store, &view, err));
    ap_view_figures(handle->world.store, &view);
    size_t alive = 0;
    uint64_t bees = 0, idle = 0, memory_mb = 0;
    AP_TRY(ap_bytes_add_text(out, "{\"nodes\":[", err));
    for (size_t i = 0; i < view.count; i++) {
        const struct ap_view_node *node = &view.nodes[i];
        AP_TRY(add_node(node, i == 0, out, err));
        if (node->state != AP_NODE_ALIVE) continue;
        alive++;
        bees += node->key.caps.bees;
        idle += (uint64_t)node->figures.bees_idle;
        memory_mb += node->key.caps.bees * node->key.caps.memory_per_bee_mb;
    }
    AP_TRY(ap_bytes_add_text(out, "],\"queries\":[", err));
    for (size_t i = 0; i < view.queries.count; i++) AP_TRY(ap_bytes_printf(out, err, "%s\"%s\"", i > 0 ? "," : "", view.queries.items[i]));
    return ap_bytes_printf(out, err, "],\"alive\":%zu,\"total_bees\":%" PRIu64 ",\"total_idle_bees\":%" PRIu64 ",\"total_memory_gb\":%.3f}",
        alive, bees, idle, (double)memory_mb / 1024);
}

enum apiary_code ap_colony_json(struct apiary *handle, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_pool_load load;
    load_of(handle, &load);
    return ap_bytes_printf(out, err,
        "{\"temperature\":%.4f,\"regulation\":\"%s\",\"setpoint\":%.1f,\"abandoned_tasks\":%" PRIu64 ",\"bees\":%d,\"busy_bees\":%d,\"waiting\":%zu}",
        load.temperature, ap_band_text(load.band), AP_TEMPERATURE_SETPOINT, __atomic_load_n(&handle->world.abandoned, __ATOMIC_RELAXED), load.bees, load.bees_busy, load.waiting);
}
