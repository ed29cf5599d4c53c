#include "swarm/view.h"

#include "core/alloc.h"
#include "core/json.h"
#include "core/time.h"
#include "swarm/place.h"
#include "swarm/query_key.h"

#include <inttypes.h>

enum { SUSPECT_INTERVALS = 3, DEAD_INTERVALS = 6, UNSEEN_INTERVALS = 3, TOLERANCE_US = 2000000, BODY_BYTES_MAX = 256 * 1024, TASKS_MAX = 4096 };

const char *ap_node_state_text(enum ap_node_state state)
{
    static const char *const texts[] = { "alive", "suspect", "dead" };
    return texts[state];
}

void ap_view_done(struct ap_view *view)
{
    for (size_t i = 0; i < view->count; i++) {
        ap_free(view->nodes[i].object);
        ap_free(view->nodes[i].name);
        ap_texts_done(&view->nodes[i].tasks);
    }
    ap_free(view->nodes);
    ap_map_done(&view->places);
    ap_texts_done(&view->queries);
    ap_texts_done(&view->strays);
    memset(view, 0, sizeof *view);
}

const struct ap_view_node *ap_view_find(const struct ap_view *view, const char *boot)
{
    uint64_t place = 0;
    return ap_map_get(&view->places, ap_str_from(boot), &place) ? &view->nodes[place] : NULL;
}

bool ap_view_dead(const struct ap_view *view, const char *boot)
{
    const struct ap_view_node *node = ap_view_find(view, boot);
    return node == NULL || node->state == AP_NODE_DEAD;
}

int64_t ap_view_clock(const struct ap_view *view, struct ap_env *env)
{
    return view->now_us + (ap_mono_us(env) - view->mono_us);
}

static enum ap_node_state state_of(int64_t age_us, int64_t interval_ms)
{
    int64_t interval_us = interval_ms * 1000;
    if (age_us > DEAD_INTERVALS * interval_us + TOLERANCE_US) return AP_NODE_DEAD;
    return age_us > SUSPECT_INTERVALS * interval_us + TOLERANCE_US ? AP_NODE_SUSPECT : AP_NODE_ALIVE;
}

/* A second object of the boot that was added last: its caps have changed. The newest object counts,
 * and the state that gives it more time. */
static enum apiary_code add_again(struct ap_view *view, struct ap_view_node *node, const struct ap_node_key *key,
    const struct ap_object *object, int64_t age_us, struct apiary_error *err)
{
    enum ap_node_state state = state_of(age_us, key->caps.interval_ms);
    if (state < node->state) node->state = state;
    bool newer = age_us < node->age_us;
    AP_TRY(ap_texts_add(&view->strays, ap_str_from(newer ? node->object : object->key), err));
    if (!newer) return APIARY_OK;
    char *copy = ap_strdup(object->key);
    if (copy == NULL) return ap_fail_memory(err, "the world view");
    ap_free(node->object);
    node->object = copy;
    node->key = *key;
    node->age_us = age_us;
    node->modified_us = object->modified_us;
    return APIARY_OK;
}

static enum apiary_code add(struct ap_view *view, const struct ap_node_key *key, const struct ap_object *object, int64_t age_us,
    struct apiary_error *err)
{
    /* Keys of one boot are neighbours in a LIST: they begin with label and boot. */
    struct ap_view_node *last = view->count > 0 ? &view->nodes[view->count - 1] : NULL;
    if (last != NULL && strcmp(last->key.boot.text, key->boot.text) == 0) return add_again(view, last, key, object, age_us, err);
    AP_TRY(AP_GROW(view->nodes, view->capacity, view->count + 1, err));
    char *copy = ap_strdup(object->key);
    if (copy == NULL) return ap_fail_memory(err, "the world view");
    view->nodes[view->count++] = (struct ap_view_node) { .key = *key,
        .object = copy,
        .age_us = age_us,
        .modified_us = object->modified_us,
        .state = state_of(age_us, key->caps.interval_ms) };
    return APIARY_OK;
}

static enum apiary_code list_swarm(struct ap_store *store, const char *prefix, struct ap_list *out, struct apiary_error *err)
{
    struct ap_list_request request = { .prefix = prefix, .limit = AP_VIEW_OBJECTS_MAX };
    AP_TRY(ap_store_list(store, &request, out, err));
    if (out->more) return ap_fail(err, APIARY_LIMIT, "more than %d heartbeats and announcements lie in this store", AP_VIEW_OBJECTS_MAX);
    return APIARY_OK;
}

enum apiary_code ap_view_look(struct ap_store *store, struct ap_view *out, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_view) view = { .mono_us = ap_mono_us(store->env) };
    AP_TRY(list_swarm(store, AP_SWARM_PREFIX, &list, err));
    view.now_us = list.now_us;
    for (size_t i = 0; i < list.count; i++) {
        struct ap_node_key key;
        struct ap_str name = ap_str_from(list.objects[i].key);
        if (ap_str_starts_with(name, AP_STR(AP_SWARM_QUERIES))) {
            struct ap_str query = { name.data + sizeof AP_SWARM_QUERIES - 1, name.size - (sizeof AP_SWARM_QUERIES - 1) };
            if (ap_query_id_valid(query)) AP_TRY(ap_texts_add(&view.queries, query, err));
            continue;
        }
        if (!ap_node_key_parse(name, &key)) continue;
        int64_t age_us = list.now_us - list.objects[i].modified_us;
        if (age_us < 0) age_us = 0;
        if (age_us > AP_NODE_FORGOTTEN_S * AP_US_PER_SECOND) continue;
        AP_TRY(add(&view, &key, &list.objects[i], age_us, err));
    }
    view.places.borrow_keys = true;
    for (size_t i = 0; i < view.count; i++) AP_TRY(ap_map_put(&view.places, ap_str_from(view.nodes[i].key.boot.text), i, err));
    *out = AP_TAKE(view);
    return APIARY_OK;
}

/* ---- the watch ---- */

struct ap_watch {
    struct ap_env *env;
    struct ap_store *store;
    struct ap_map changed;  /* boot → monotonic time when its object was seen to change */
    struct ap_map modified; /* boot → the store's time of that object */
};

enum apiary_code ap_watch_open(struct ap_env *env, struct ap_store *store, struct ap_watch **out, struct apiary_error *err)
{
    struct ap_watch *watch = ap_calloc(1, sizeof *watch);
    if (watch == NULL) return ap_fail_memory(err, "a watch");
    watch->env = env;
    watch->store = store;
    *out = watch;
    return APIARY_OK;
}

void ap_watch_close(struct ap_watch *watch)
{
    if (watch == NULL) return;
    ap_map_done(&watch->changed);
    ap_map_done(&watch->modified);
    ap_free(watch);
}

/* What this reader saw of the node: may it be dead by that? */
static enum apiary_code note(struct ap_watch *watch, struct ap_view_node *node, int64_t now_us, bool *unseen, struct apiary_error *err)
{
    struct ap_str boot = ap_str_from(node->key.boot.text);
    uint64_t modified = 0, changed = 0;
    bool known = ap_map_get(&watch->modified, boot, &modified) && ap_map_get(&watch->changed, boot, &changed);
    if (!known || modified != (uint64_t)node->modified_us) {
        AP_TRY(ap_map_put(&watch->modified, boot, (uint64_t)node->modified_us, err));
        AP_TRY(ap_map_put(&watch->changed, boot, (uint64_t)now_us, err));
        /* What was never seen before may have been old already: only the store's clock can tell. */
        *unseen = !known;
        return APIARY_OK;
    }
    *unseen = now_us - (int64_t)changed >= UNSEEN_INTERVALS * node->key.caps.interval_ms * 1000;
    return APIARY_OK;
}

/* Keeps what is known of the nodes in the view, once there is much of others. */
static enum apiary_code prune(struct ap_map *map, const struct ap_view *view, struct apiary_error *err)
{
    enum { SLACK = 256 };
    AP_AUTO(ap_map) kept = { 0 };
    if (map->used <= view->count + SLACK) return APIARY_OK;
    for (size_t i = 0; i < view->count; i++) {
        struct ap_str boot = ap_str_from(view->nodes[i].key.boot.text);
        uint64_t value = 0;
        if (ap_map_get(map, boot, &value)) AP_TRY(ap_map_put(&kept, boot, value, err));
    }
    ap_map_done(map);
    *map = AP_TAKE(kept);
    return APIARY_OK;
}

enum apiary_code ap_watch_look(struct ap_watch *watch, int64_t patience_us, struct ap_view *out, struct apiary_error *err)
{
    AP_AUTO(ap_view) view = { 0 };
    bool late = true;
    for (int look = 0; look < 2 && late; look++) {
        ap_view_done(&view);
        AP_TRY(ap_view_look(watch->store, &view, err));
        late = ap_mono_us(watch->env) - view.mono_us > patience_us;
    }
    for (size_t i = 0; i < view.count; i++) {
        struct ap_view_node *node = &view.nodes[i];
        bool unseen = false;
        AP_TRY(note(watch, node, view.mono_us, &unseen, err));
        if (node->state == AP_NODE_DEAD && (late || !unseen)) node->state = AP_NODE_SUSPECT;
    }
    AP_TRY(prune(&watch->changed, &view, err));
    AP_TRY(prune(&watch->modified, &view, err));
    *out = AP_TAKE(view);
    return APIARY_OK;
}

/* ---- bodies: untrusted text ---- */

static double share(yyjson_val *root, const char *name)
{
    double value = yyjson_get_num(ap_json_member(root, name));
    return value >= 0 && value <= 1 ? value : 0; /* NaN is neither */
}

static void read_body(struct ap_view_node *node, struct ap_str body)
{
    AP_AUTO_JSON *doc = NULL;
    int64_t bees = 0, idle = 0, memory = 0, used = 0;
    struct ap_str name = { 0 };
    if (ap_json_parse(body, node->object, &doc, NULL) != APIARY_OK) return;
    yyjson_val *root = yyjson_doc_get_root(doc), *tasks = ap_json_member(root, "tasks"), *task;
    if (ap_json_i64(root, "bees", &bees) && bees >= 0 && bees <= INT32_MAX) node->figures.bees = (int)bees;
    if (ap_json_i64(root, "idle_bees", &idle) && idle >= 0 && idle <= bees) node->figures.bees_idle = (int)idle;
    if (ap_json_i64(root, "memory_bytes", &memory) && memory >= 0) node->figures.memory_bytes = (uint64_t)memory;
    if (ap_json_i64(root, "memory_bytes_used", &used) && used >= 0) node->figures.memory_bytes_used = (uint64_t)used;
    node->figures.temperature = share(root, "temperature");
    if (ap_json_str(root, "name", &name)) {
        ap_free(node->name);
        node->name = ap_str_dup(name); /* without memory: the label stands for it */
    }
    size_t i, count;
    if (yyjson_is_arr(tasks) && yyjson_arr_size(tasks) <= TASKS_MAX)
        yyjson_arr_foreach(tasks, i, count, task)
            if (yyjson_is_str(task) && ap_texts_add(&node->tasks, (struct ap_str) { yyjson_get_str(task), yyjson_get_len(task) }, NULL) != APIARY_OK)
                return;
}

void ap_view_figures(struct ap_store *store, struct ap_view *view)
{
    AP_AUTO_FREE struct ap_get *gets = ap_calloc(view->count + 1, sizeof *gets);
    if (gets == NULL) return;
    for (size_t i = 0; i < view->count; i++)
        gets[i] = (struct ap_get) { .key = view->nodes[i].object, .range = AP_RANGE_ALL, .size_max = BODY_BYTES_MAX };
    ap_store_get_many(store, gets, view->count);
    for (size_t i = 0; i < view->count; i++) {
        if (gets[i].code == APIARY_OK) read_body(&view->nodes[i], ap_bytes_view(&gets[i].body));
        ap_get_done(&gets[i]);
    }
}

bool ap_view_body(struct ap_store *store, struct ap_view_node *node)
{
    struct ap_get get = { .key = node->object, .range = AP_RANGE_ALL, .size_max = BODY_BYTES_MAX };
    ap_store_get_many(store, &get, 1);
    bool good = get.code == APIARY_OK;
    if (good) {
        ap_texts_done(&node->tasks);
        read_body(node, ap_bytes_view(&get.body));
    }
    ap_get_done(&get);
    return good;
}

void ap_view_sweep(struct ap_store *store, const struct ap_view *view, const char *boot, struct ap_log *log)
{
    AP_AUTO(ap_list) list = { 0 };
    if (list_swarm(store, AP_SWARM_NODES, &list, NULL) != APIARY_OK) return;
    for (size_t i = 0; i < list.count; i++) {
        struct ap_node_key key;
        int64_t age_us = list.now_us - list.objects[i].modified_us;
        if (age_us <= AP_NODE_FORGOTTEN_S * AP_US_PER_SECOND || !ap_node_key_parse(ap_str_from(list.objects[i].key), &key)) continue;
        if (ap_place_rank(view, ap_str_from(key.boot.text), boot, NULL, 0) != 0) continue;
        if (ap_store_delete(store, list.objects[i].key, NULL) == APIARY_OK)
            ap_log_event(log, AP_LOG_INFO, "swarm", "node_forgotten", "object=%s age_s=%" PRId64, list.objects[i].key,
                age_us / AP_US_PER_SECOND);
    }
}
