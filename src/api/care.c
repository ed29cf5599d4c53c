/* When and for which frames a node does maintenance: while its colony is cold, for those frames whose
 * hash falls to it among the nodes that live. */
#include "api/care.h"

#include "core/alloc.h"
#include "core/map.h"
#include "query/maintenance.h"
#include "swarm/view.h"

#define VIEW_US (INT64_C(30) * 1000 * 1000)
enum { CELLS_MIN = 16, CHECKPOINT_TIMES = 2 };

struct ap_care {
    struct apiary *handle;
    struct ap_node_id boot;
    bool always; /* warm or cold */
    struct ap_view view; /* of the maintenance thread alone */
    int64_t looked_us;   /* 0: never */
    struct ap_maintenance *maintenance;
};

static bool quiet(void *context)
{
    struct ap_care *care = context;
    struct ap_pool *pool = NULL;
    struct apiary_error ignored;
    if (care->always) return true; /* a statement that waits still ends the work */
    return ap_world_pool(&care->handle->world, &pool, &ignored) == APIARY_OK &&
           ap_pool_quiet(pool, NULL);
}

/* Who lives; an old view is better than none. */
static void look(struct ap_care *care)
{
    AP_AUTO(ap_view) view = { 0 };
    struct apiary_error ignored;
    int64_t now_us = ap_mono_us(care->handle->env);
    if (care->looked_us != 0 && now_us - care->looked_us < VIEW_US) return;
    if (ap_view_look(care->handle->world.store, &view, &ignored) != APIARY_OK) return;
    ap_view_done(&care->view);
    care->view = AP_TAKE(view);
    care->looked_us = now_us;
}

static uint64_t weight(const char *frame_id, const struct ap_node_id *boot)
{
    return ap_hash_bytes(boot->text, strlen(boot->text), ap_hash_bytes(frame_id, strlen(frame_id), 0));
}

static bool mine(void *context, const char *frame_id)
{
    struct ap_care *care = context;
    look(care);
    uint64_t own = weight(frame_id, &care->boot);
    for (size_t i = 0; i < care->view.count; i++)
        if (care->view.nodes[i].state == AP_NODE_ALIVE &&
            weight(frame_id, &care->view.nodes[i].key.boot) > own)
            return false;
    return true;
}

enum apiary_code ap_care_start(
    struct apiary *handle, struct ap_care **out, struct apiary_error *err)
{
    const char *when = ap_config_text(&handle->config, AP_CONFIG_maintenance);
    if (strcmp(when, "off") == 0) return APIARY_OK;
    struct ap_care *care = ap_calloc(1, sizeof *care);
    if (care == NULL) return ap_fail_memory(err, "maintenance");
    care->handle = handle;
    care->boot = handle->boot;
    care->always = strcmp(when, "always") == 0;
    struct ap_maintenance_options options = {
        .world = &handle->world,
        .interval_us = ap_config_us(&handle->config, AP_CONFIG_maintenance_interval),
        .cells_min = CELLS_MIN,
        .checkpoint_versions = CHECKPOINT_TIMES *
            (uint64_t)ap_config_count(&handle->config, AP_CONFIG_checkpoint_interval, 100),
        .port = { .context = care, .quiet = quiet, .mine = mine },
    };
    enum apiary_code code = ap_maintenance_start(&options, &care->maintenance, err);
    if (code != APIARY_OK) {
        ap_free(care);
        return code;
    }
    *out = care;
    return APIARY_OK;
}

void ap_care_stop(struct ap_care *care)
{
    if (care == NULL) return;
    ap_maintenance_stop(care->maintenance);
    ap_view_done(&care->view);
    ap_free(care);
}
