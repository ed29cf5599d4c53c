/* apiary_open and apiary_close: settings, store, catalogue and pool tied together. */
#include "api/care.h"
#include "api/swarm_work.h"

#include "core/alloc.h"
#include "core/id.h"
#include "query/answers.h"
#include "storage/price.h"

#include <stdlib.h>
#include <unistd.h>

const char *apiary_version(void)
{
    return AP_VERSION;
}

void apiary_free(char *text)
{
    ap_free(text);
}

static enum apiary_code open_log(struct apiary *handle, struct apiary_error *err)
{
    enum ap_log_level level = AP_LOG_WARNING;
    if (!ap_log_level_parse(ap_config_text(&handle->config, AP_CONFIG_log), &level))
        return ap_fail(err, APIARY_CONFIG, "unknown log level '%s'", ap_config_text(&handle->config, AP_CONFIG_log));
    handle->log = (struct ap_log) {
        .env = handle->env,
        .level = level,
        .json = strcmp(ap_config_text(&handle->config, AP_CONFIG_log_format), "json") == 0,
        .sink = ap_log_stderr,
    };
    return APIARY_OK;
}

/* "75%" of what is usable, or a size. */
static uint64_t memory_limit(const struct apiary *handle)
{
    const char *text = ap_config_text(&handle->config, AP_CONFIG_memory_limit);
    size_t length = strlen(text);
    double percent = 0;
    if (length > 1 && text[length - 1] == '%' && ap_str_to_double((struct ap_str) { text, length - 1 }, &percent))
        return (uint64_t)((double)handle->machine.memory_bytes * percent / 100);
    return ap_config_size(&handle->config, AP_CONFIG_memory_limit, handle->machine.memory_bytes / 4 * 3);
}

static enum apiary_code scratch_dir(struct apiary *handle, struct apiary_error *err)
{
    const char *set = ap_config_text(&handle->config, AP_CONFIG_scratch_dir);
    AP_AUTO(ap_bytes) path = { 0 };
    if (set[0] != '\0')
        AP_TRY(ap_bytes_add_text(&path, set, err));
    else {
        const char *temp = getenv("TMPDIR");
        AP_TRY(ap_bytes_printf(&path, err, "%s/apiary-%d", temp != NULL && temp[0] == '/' ? temp : "/tmp", (int)getuid()));
    }
    return ap_bytes_take_text(&path, &handle->scratch_dir, err);
}

/* Where the processes of this user meet: the runtime folder, or where it would be without one. */
static void find_slots(struct apiary *handle)
{
    static const char *const nothing[] = { NULL };
    handle->slots_dirs[0] = ap_user_folder("runtime", (const char *const *)environ);
    handle->slots_dirs[1] = ap_user_folder("runtime", nothing);
}

static enum apiary_code storage_uri(const struct apiary *handle, const char *storage, struct ap_bytes *out, struct apiary_error *err)
{
    if (storage != NULL && storage[0] != '\0') return ap_bytes_add_text(out, storage, err);
    const char *set = ap_config_text(&handle->config, AP_CONFIG_storage);
    if (set[0] != '\0') return ap_bytes_add_text(out, set, err);
    AP_AUTO_FREE char *folder = ap_user_folder("data", (const char *const *)environ);
    if (folder == NULL) return ap_fail(err, APIARY_CONFIG, "no storage is named and the user has no home directory");
    return ap_bytes_add_text(out, folder, err);
}

static enum apiary_code load_config(struct apiary *handle, const struct apiary_setting *settings, size_t setting_count,
    struct apiary_error *err)
{
    struct ap_config_sources sources = {
        .environment = (const char *const *)environ,
        .arguments = settings,
        .argument_count = setting_count,
    };
    return ap_config_load(&handle->config, &sources, err);
}

static enum apiary_code open_cache(struct apiary *handle, struct apiary_error *err)
{
    const char *set = ap_config_text(&handle->config, AP_CONFIG_cache_dir);
    handle->cache_dir =
        set[0] != '\0' ? ap_strdup(set) : ap_user_folder("cache", (const char *const *)environ);
    if (handle->cache_dir == NULL) return ap_fail_memory(err, "a handle");
    const struct ap_cache_options options = {
        .dir = handle->cache_dir,
        .limit_bytes = ap_config_size(&handle->config, AP_CONFIG_cache_limit, UINT64_MAX),
        .log = &handle->log,
    };
    return ap_cache_open(handle->env, &options, &handle->world.cache, err);
}

static enum apiary_code open_parts(struct apiary *handle, const char *storage, const struct apiary_setting *settings,
    size_t setting_count, struct apiary_error *err)
{
    AP_TRY(load_config(handle, settings, setting_count, err));
    AP_TRY(open_log(handle, err));
    AP_TRY(scratch_dir(handle, err));
    find_slots(handle);
    ap_machine_look(&handle->machine, "");
    ap_id_random(handle->env, handle->boot.text);

    int bees = (int)ap_config_count(&handle->config, AP_CONFIG_bees, handle->machine.cores);
#ifdef AP_SANITIZED
    bool kernel_limit = false;
#else
    bool kernel_limit = true;
#endif
    handle->pool_options = (struct ap_pool_options) {
        .bees = bees > 0 ? bees : 1,
        .memory_bytes = memory_limit(handle),
        .scratch_dir = handle->scratch_dir,
        .scratch_bytes_max = ap_config_size(&handle->config, AP_CONFIG_scratch_limit, 0),
        .require_seal = ap_config_bool(&handle->config, AP_CONFIG_require_seal),
        .slots_dirs = { handle->slots_dirs[0], handle->slots_dirs[1] },
        .slots = handle->machine.cores,
        .kernel_limit = kernel_limit,
        .log = &handle->log,
    };

    AP_AUTO(ap_bytes) uri = { 0 };
    AP_TRY(storage_uri(handle, storage, &uri, err));
    struct ap_store_options options = { .fsync = ap_config_bool(&handle->config, AP_CONFIG_fsync) };
    struct ap_world *world = &handle->world;
    world->env = handle->env;
    world->log = &handle->log;
    world->config = &handle->config;
    world->pool_options = &handle->pool_options;
    world->owner_pid = getpid();
    world->engine = ap_engine_port_of(world);
    world->lock = ap_lock_new(handle->env);
    handle->node_lock = ap_lock_new(handle->env);
    if (world->lock == NULL || handle->node_lock == NULL) return ap_fail_memory(err, "a handle");
    AP_TRY(ap_store_open(handle->env, ap_bytes_text(&uri), &options, &world->store, err));
    AP_TRY(open_cache(handle, err));
    AP_TRY(ap_cell_names_new(handle->env, &world->cell_names, err));
    AP_TRY(ap_answers_new(handle->env, &world->answers, err));
    AP_TRY(ap_answers_new(handle->env, &world->plan_answers, err));
    struct ap_prices prices; /* a setting that is wrong is told now */
    AP_TRY(ap_prices_choose(&prices, world->store->uri, ap_config_text(&handle->config, AP_CONFIG_storage_prices), err));
    AP_TRY(ap_secret_open(handle, err));
    AP_TRY(ap_catalog_open(handle->env, world->store, &handle->log, &world->catalog, err));
    ap_spread_port_init(handle);
    return ap_frames_new(world, &world->frames, err);
}

int apiary_open(const char *storage, const struct apiary_setting *settings, size_t setting_count, struct apiary **out,
    struct apiary_error *err)
{
    ap_error_clear(err);
    if (out == NULL) return ap_fail(err, APIARY_INVALID, "apiary_open: out is NULL");
    struct apiary *handle = ap_calloc(1, sizeof *handle);
    if (handle == NULL) return ap_fail_memory(err, "a handle");
    handle->env = ap_env_system();
    enum apiary_code code = open_parts(handle, storage, settings, setting_count, err);
    if (code != APIARY_OK) {
        apiary_close(handle);
        return code;
    }
    *out = handle;
    return APIARY_OK;
}

void apiary_close(struct apiary *handle)
{
    if (handle == NULL) return;
    struct ap_world *world = &handle->world;
    if (handle->node != NULL) {
        enum apiary_code left = ap_leave_swarm(handle, NULL); /* a beat that stays ages out */
        (void)left;
    }
    if (world->pool != NULL) ap_pool_close(world->pool);
    ap_cache_close(world->cache); /* its workers read from stores of frames */
    ap_cell_names_free(world->cell_names);
    ap_answers_free(world->answers);
    ap_answers_free(world->plan_answers);
    ap_frames_free(world->frames);
    if (world->catalog != NULL) ap_catalog_close(world->catalog);
    ap_store_close(world->store);
    if (world->lock != NULL) ap_lock_free(handle->env, world->lock);
    if (handle->node_lock != NULL) ap_lock_free(handle->env, handle->node_lock);
    ap_secret_close(handle);
    ap_config_done(&handle->config);
    ap_free(handle->scratch_dir);
    ap_free(handle->slots_dirs[0]);
    ap_free(handle->slots_dirs[1]);
    ap_free(handle->cache_dir);
    ap_free(handle);
}
