#include "swarm/beat.h"

#include "core/alloc.h"
#include "core/json.h"

#include <inttypes.h>

enum { FENCE_INTERVALS = 4 };

struct ap_node {
    struct ap_env *env;
    struct ap_store *store;
    struct ap_log *log;
    struct ap_node_port port;
    struct ap_node_key key; /* interval_ms: as in the object's name; the beating thread's */
    char *name;
    char object[AP_NODE_KEY_MAX];
    int64_t started_us;
    struct ap_thread *thread;
    struct {
        struct ap_lock *lock;
        bool stopping;
        int64_t asked_ms;    /* interval that the node wants */
        int64_t declared_ms; /* interval of the last acknowledged beat */
        int64_t acked_us;    /* monotonic, when that beat was begun */
    } shared;
};

static enum apiary_code body_of(const struct ap_node *node, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_node_figures now = { 0 };
    node->port.figures(node->port.context, &now);
    double pressure = now.memory_bytes == 0 ? 0 : (double)now.memory_bytes_used / (double)now.memory_bytes;
    AP_TRY(ap_bytes_add_text(out, "{\"format\":1,\"name\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(node->name), err));
    AP_TRY(ap_bytes_printf(out, err,
        ",\"node_id\":\"%s\",\"bees\":%d,\"idle_bees\":%d,\"memory_bytes\":%" PRIu64 ",\"memory_bytes_used\":%" PRIu64
        ",\"memory_pressure\":%.4f,\"temperature\":%.4f,\"started_us\":%" PRId64 ",\"version\":\"%s\"",
        node->key.boot.text, now.bees, now.bees_idle, now.memory_bytes, now.memory_bytes_used, pressure, now.temperature,
        node->started_us, AP_VERSION));
    if (node->port.tasks != NULL) {
        AP_TRY(ap_bytes_add_text(out, ",\"tasks\":", err));
        AP_TRY(node->port.tasks(node->port.tasks_context, out, err));
    }
    return ap_bytes_add_text(out, "}", err);
}

/* One beat at `interval_ms`, which names the object. */
static enum apiary_code beat(struct ap_node *node, int64_t interval_ms, struct apiary_error *err)
{
    struct ap_node_key key = node->key;
    char object[AP_NODE_KEY_MAX];
    AP_AUTO(ap_bytes) body = { 0 };
    key.caps.interval_ms = interval_ms;
    ap_node_key_format(&key, object);
    AP_TRY(body_of(node, &body, err));
    int64_t begun_us = ap_mono_us(node->env);
    AP_TRY(ap_store_put_fleeting(node->store, object, ap_bytes_view(&body), err));
    if (strcmp(object, node->object) != 0) {
        /* What cannot be removed now is a stray that the watch finds (ap_node_disown). */
        enum apiary_code removed = node->object[0] != '\0' ? ap_store_delete_fleeting(node->store, node->object, NULL) : APIARY_OK;
        (void)removed;
        node->key.caps.interval_ms = interval_ms;
        memcpy(node->object, object, sizeof object);
    }
    ap_lock(node->env, node->shared.lock);
    node->shared.declared_ms = interval_ms;
    node->shared.acked_us = begun_us;
    ap_unlock(node->env, node->shared.lock);
    return APIARY_OK;
}

static void beat_on(void *context)
{
    struct ap_node *node = context;
    struct ap_env *env = node->env;
    int64_t last_us = ap_mono_us(env);
    ap_lock(env, node->shared.lock);
    while (!node->shared.stopping) {
        int64_t interval_ms = node->shared.asked_ms, due_us = last_us + interval_ms * 1000;
        bool hurry = interval_ms < node->key.caps.interval_ms;
        if (!hurry && ap_mono_us(env) < due_us) {
            ap_wait_until(env, node->shared.lock, due_us);
            continue;
        }
        ap_unlock(env, node->shared.lock);
        struct apiary_error error = { 0 };
        char why[256];
        bool failed = beat(node, interval_ms, &error) != APIARY_OK;
        if (failed)
            ap_log_event(node->log, AP_LOG_WARNING, "swarm", "beat_failed", "object=%s error=%s", node->object,
                ap_log_text(why, sizeof why, ap_str_from(error.message)));
        last_us = ap_mono_us(env); /* a slow store is not asked twice in a row */
        ap_lock(env, node->shared.lock);
        if (failed && hurry && !node->shared.stopping) ap_wait_until(env, node->shared.lock, last_us + interval_ms * 1000);
    }
    ap_unlock(env, node->shared.lock);
}

void ap_node_pace(struct ap_node *node, int64_t interval_ms)
{
    ap_lock(node->env, node->shared.lock);
    if (node->shared.asked_ms != interval_ms) {
        node->shared.asked_ms = interval_ms;
        ap_wake_all(node->env, node->shared.lock);
    }
    ap_unlock(node->env, node->shared.lock);
}

bool ap_node_may_work(struct ap_node *node)
{
    ap_lock(node->env, node->shared.lock);
    bool fresh = ap_mono_us(node->env) - node->shared.acked_us <= FENCE_INTERVALS * node->shared.declared_ms * 1000;
    bool may = fresh && node->shared.declared_ms <= node->shared.asked_ms && !node->shared.stopping;
    ap_unlock(node->env, node->shared.lock);
    return may;
}

void ap_node_disown(struct ap_node *node, const char *object)
{
    /* A beat under way may change the name: what is asked for or declared is not a stray. */
    struct ap_node_key key;
    if (!ap_node_key_parse(ap_str_from(object), &key) || strcmp(key.boot.text, node->key.boot.text) != 0) return;
    ap_lock(node->env, node->shared.lock);
    bool stray = key.caps.interval_ms != node->shared.declared_ms && key.caps.interval_ms != node->shared.asked_ms;
    ap_unlock(node->env, node->shared.lock);
    if (!stray) return;
    enum apiary_code removed = ap_store_delete_fleeting(node->store, object, NULL); /* else the next look tries again */
    (void)removed;
}

static void node_free(struct ap_node *node)
{
    if (node->shared.lock != NULL) ap_lock_free(node->env, node->shared.lock);
    ap_free(node->name);
    ap_free(node);
}

enum apiary_code ap_node_start(
    struct ap_env *env, const struct ap_node_options *options, struct ap_node **out, struct apiary_error *err)
{
    struct ap_node *node = ap_calloc(1, sizeof *node);
    if (node == NULL) return ap_fail_memory(err, "a node");
    node->env = env;
    node->store = options->store;
    node->log = options->log;
    node->port = options->port;
    node->key = (struct ap_node_key) { .boot = options->boot, .caps = options->caps };
    ap_node_label(options->name, node->key.label);
    node->started_us = ap_now_us(env);
    node->name = ap_strdup(options->name);
    node->shared.lock = ap_lock_new(env);
    node->shared.asked_ms = options->caps.interval_ms;
    enum apiary_code code = node->name == NULL || node->shared.lock == NULL ? ap_fail_memory(err, "a node") : beat(node, options->caps.interval_ms, err);
    if (code != APIARY_OK) {
        node_free(node);
        return code;
    }
    node->thread = env->ops->thread_start(env->world, beat_on, node);
    if (node->thread == NULL) {
        ap_fail(err, APIARY_LIMIT, "no thread can be had for the heartbeat");
        enum apiary_code removed = ap_store_delete_fleeting(node->store, node->object, NULL); /* else it ages out */
        (void)removed;
        node_free(node);
        return APIARY_LIMIT;
    }
    *out = node;
    return APIARY_OK;
}

enum apiary_code ap_node_stop(struct ap_node *node, struct apiary_error *err)
{
    if (node == NULL) return APIARY_OK;
    ap_lock(node->env, node->shared.lock);
    node->shared.stopping = true;
    ap_wake_all(node->env, node->shared.lock);
    ap_unlock(node->env, node->shared.lock);
    node->env->ops->thread_join(node->env->world, node->thread);
    enum apiary_code code = ap_store_delete_fleeting(node->store, node->object, err);
    node_free(node);
    return code;
}
