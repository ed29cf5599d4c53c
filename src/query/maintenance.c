#include "query/maintenance.h"
#include "query/compact.h"

#include "core/alloc.h"
#include "ledger/protocol.h"

#include <inttypes.h>

/* A frame that is not to be tended says so: ALTER FRAME … SET PROPERTIES ('apiary.autoOptimize' = 'false'). */
#define OPT_OUT "apiary.autoOptimize"

struct ap_maintenance {
    struct ap_env *env;
    struct ap_maintenance_options options;
    struct ap_session *session; /* of the thread alone, but for its cancel */
    struct ap_thread *thread;
    struct ap_lock *lock;
    struct { /* under lock */
        bool stop;
        struct ap_maintenance_counts counts;
    } shared;
};

static void count(struct ap_maintenance *maintenance, uint64_t *counter)
{
    ap_lock(maintenance->env, maintenance->lock);
    (*counter)++;
    ap_unlock(maintenance->env, maintenance->lock);
}

static bool stopping(struct ap_maintenance *maintenance)
{
    ap_lock(maintenance->env, maintenance->lock);
    bool stop = maintenance->shared.stop;
    ap_unlock(maintenance->env, maintenance->lock);
    return stop;
}

static bool may_go_on(void *context)
{
    struct ap_maintenance *maintenance = context;
    const struct ap_maintenance_port *port = &maintenance->options.port;
    return !stopping(maintenance) && port->quiet(port->context);
}

/* ---- one frame ---- */

static enum apiary_code put_together(struct ap_maintenance *maintenance,
    struct ap_target *target, struct apiary_error *err)
{
    AP_AUTO(ap_compact_plan) plan = { 0 };
    struct ap_compacted done = { 0 };
    struct ap_compact_options options = { .cells_min = maintenance->options.cells_min,
        .width = 1,
        .yields = true,
        .may_go_on = may_go_on,
        .context = maintenance };
    AP_TRY(ap_compact_look(maintenance->session, target, &options, &plan, err));
    if (plan.bin_count == 0) return APIARY_OK;
    AP_TRY(ap_compact(maintenance->session, target, &options, &done, err));
    if (done.commits == 0) return APIARY_OK;
    count(maintenance, &maintenance->shared.counts.compactions);
    ap_log_event(maintenance->options.world->log, AP_LOG_INFO, "query", "compacted",
        "frame=%s cells=%zu to=%zu version=%" PRIu64, target->name, done.cells_before,
        done.cells_after, done.version);
    return APIARY_OK;
}

static enum apiary_code shorten_ledger(struct ap_maintenance *maintenance,
    struct ap_target *target, struct apiary_error *err)
{
    struct ap_snapshot *head = NULL;
    AP_TRY(ap_ledger_snapshot(target->ledger, NULL, &head, err));
    uint64_t tail = 0, most = maintenance->options.checkpoint_versions;
    enum apiary_code code = APIARY_OK;
    if (head->version >= most) code = ap_ledger_tail(target->ledger, head, &tail, err);
    if (code == APIARY_OK && tail >= most) {
        code = ap_ledger_checkpoint(target->ledger, head, err);
        if (code == APIARY_OK) count(maintenance, &maintenance->shared.counts.checkpoints);
    }
    ap_snapshot_unref(head);
    return code;
}

static enum apiary_code tend(
    struct ap_maintenance *maintenance, const struct ap_entry *entry, struct apiary_error *err)
{
    AP_AUTO(ap_target) target = { 0 };
    ap_session_begin(maintenance->session); /* takes an old cancel back */
    if (stopping(maintenance)) return APIARY_OK;
    AP_TRY(ap_target_open(maintenance->session, &entry->name, &target, err));
    if (ap_metadata_property_is(&target.metadata, OPT_OUT, "false")) return APIARY_OK;
    count(maintenance, &maintenance->shared.counts.frames);
    AP_TRY(put_together(maintenance, &target, err));
    return may_go_on(maintenance) ? shorten_ledger(maintenance, &target, err) : APIARY_OK;
}

/* ---- all of them ---- */

/* What cannot be tended is left: it is told in the log, and never stands in the way of the others. */
static void tend_and_tell(struct ap_maintenance *maintenance, const struct ap_entry *entry)
{
    struct apiary_error why = { 0 };
    enum apiary_code code = tend(maintenance, entry, &why);
    if (code == APIARY_OK) return;
    if (code == APIARY_CANCELLED) {
        count(maintenance, &maintenance->shared.counts.given_up);
        return;
    }
    ap_log_event(maintenance->options.world->log, AP_LOG_INFO, "query", "maintenance",
        "frame=%s.%s.%s code=%s message=%s", entry->name.hive, entry->name.box, entry->name.frame,
        ap_code_name(code), why.message);
}

static enum apiary_code go_through_box(struct ap_maintenance *maintenance, const char *hive,
    const char *box, struct apiary_error *err)
{
    const struct ap_maintenance_port *port = &maintenance->options.port;
    AP_AUTO(ap_entries) entries = { 0 };
    AP_TRY(ap_catalog_entries(
        maintenance->options.world->catalog, hive, box, false, &entries, err));
    for (size_t i = 0; i < entries.count && may_go_on(maintenance); i++) {
        const struct ap_entry *entry = &entries.items[i];
        /* A table that lies elsewhere is somebody's: it is tended when its owner says so. */
        bool ours = entry->kind == AP_ENTRY_FRAME && !entry->external;
        if (ours && port->mine(port->context, entry->id.text)) tend_and_tell(maintenance, entry);
    }
    return APIARY_OK;
}

/* The cache of remote cells is not for the store but for this machine: every node trims its own. */
static enum apiary_code trim_cache(struct ap_maintenance *maintenance, struct apiary_error *err)
{
    uint64_t gone = 0;
    if (maintenance->options.world->cache == NULL || !may_go_on(maintenance)) return APIARY_OK;
    AP_TRY(ap_cache_trim(maintenance->options.world->cache, &gone, err));
    if (gone > 0) count(maintenance, &maintenance->shared.counts.trims);
    return APIARY_OK;
}

static enum apiary_code go_through(struct ap_maintenance *maintenance, struct apiary_error *err)
{
    AP_TRY(trim_cache(maintenance, err));
    struct ap_catalog *catalog = maintenance->options.world->catalog;
    AP_AUTO(ap_texts) hives = { 0 };
    AP_TRY(ap_catalog_refresh(catalog, NULL, err));
    AP_TRY(ap_catalog_hives(catalog, &hives, err));
    for (size_t i = 0; i < hives.count && may_go_on(maintenance); i++) {
        AP_AUTO(ap_texts) boxes = { 0 };
        AP_TRY(ap_catalog_refresh(catalog, hives.items[i], err));
        AP_TRY(ap_catalog_boxes(catalog, hives.items[i], &boxes, err));
        for (size_t j = 0; j < boxes.count && may_go_on(maintenance); j++)
            AP_TRY(go_through_box(maintenance, hives.items[i], boxes.items[j], err));
    }
    return APIARY_OK;
}

static void run(void *context)
{
    struct ap_maintenance *maintenance = context;
    struct ap_env *env = maintenance->env;
    ap_lock(env, maintenance->lock);
    while (!maintenance->shared.stop) {
        int64_t next_us = ap_mono_us(env) + maintenance->options.interval_us;
        while (!maintenance->shared.stop && ap_wait_until(env, maintenance->lock, next_us)) {}
        if (maintenance->shared.stop) break;
        maintenance->shared.counts.rounds++;
        ap_unlock(env, maintenance->lock);
        struct apiary_error why = { 0 };
        enum apiary_code code = may_go_on(maintenance) ? go_through(maintenance, &why) : APIARY_OK;
        if (code != APIARY_OK)
            ap_log_event(maintenance->options.world->log, AP_LOG_INFO, "query", "maintenance",
                "code=%s message=%s", ap_code_name(code), why.message);
        ap_lock(env, maintenance->lock);
    }
    ap_unlock(env, maintenance->lock);
}

/* ---- life ---- */

enum apiary_code ap_maintenance_start(const struct ap_maintenance_options *options,
    struct ap_maintenance **out, struct apiary_error *err)
{
    struct ap_maintenance *maintenance = ap_calloc(1, sizeof *maintenance);
    if (maintenance == NULL) return ap_fail_memory(err, "maintenance");
    maintenance->env = options->world->env;
    maintenance->options = *options;
    maintenance->lock = ap_lock_new(maintenance->env);
    enum apiary_code code = maintenance->lock != NULL
                                ? ap_session_open(options->world, &maintenance->session, err)
                                : ap_fail_memory(err, "maintenance");
    if (code == APIARY_OK) {
        maintenance->thread =
            maintenance->env->ops->thread_start(maintenance->env->world, run, maintenance);
        if (maintenance->thread == NULL)
            code = ap_fail(err, APIARY_MEMORY, "a thread for maintenance cannot be had");
    }
    if (code != APIARY_OK) {
        ap_maintenance_stop(maintenance);
        return code;
    }
    *out = maintenance;
    return APIARY_OK;
}

void ap_maintenance_stop(struct ap_maintenance *maintenance)
{
    if (maintenance == NULL) return;
    struct ap_env *env = maintenance->env;
    if (maintenance->thread != NULL) {
        ap_lock(env, maintenance->lock);
        maintenance->shared.stop = true;
        ap_wake_all(env, maintenance->lock);
        ap_unlock(env, maintenance->lock);
        ap_cancel_request(&maintenance->session->cancel);
        env->ops->thread_join(env->world, maintenance->thread);
    }
    if (maintenance->session != NULL) ap_session_close(maintenance->session);
    if (maintenance->lock != NULL) ap_lock_free(env, maintenance->lock);
    ap_free(maintenance);
}

struct ap_maintenance_counts ap_maintenance_counts(struct ap_maintenance *maintenance)
{
    ap_lock(maintenance->env, maintenance->lock);
    struct ap_maintenance_counts counts = maintenance->shared.counts;
    ap_unlock(maintenance->env, maintenance->lock);
    return counts;
}
