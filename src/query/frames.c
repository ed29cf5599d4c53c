/* Open ledgers by location, for the life of the handle: a frame's log is read once and then
 * only followed. */
#include "query/temporary.h"

#include "core/alloc.h"
#include "core/map.h"
#include "storage/web.h"

struct open_frame {
    struct ap_ledger *ledger;
    struct ap_store *store; /* own store of an external frame; NULL: the world's */
    char *prefix, *location;
};

struct ap_frames {
    struct ap_world *world;
    struct ap_lock *lock;
    struct {
        struct ap_map by_location; /* → index into items */
        struct open_frame **items;
        size_t count, capacity;
        struct ap_store **stores; /* that statements named files of */
        size_t store_count, store_capacity;
    } shared; /* guarded by lock */
};

enum apiary_code ap_frames_new(
    struct ap_world *world, struct ap_frames **out, struct apiary_error *err)
{
    struct ap_frames *frames = ap_calloc(1, sizeof *frames);
    if (frames == NULL) return ap_fail_memory(err, "the open frames");
    frames->world = world;
    frames->lock = ap_lock_new(world->env);
    if (frames->lock == NULL) {
        ap_free(frames);
        return ap_fail_memory(err, "the open frames");
    }
    *out = frames;
    return APIARY_OK;
}

static void open_frame_free(struct open_frame *frame)
{
    if (frame == NULL) return;
    ap_ledger_close(frame->ledger);
    ap_store_close(frame->store);
    ap_free(frame->prefix);
    ap_free(frame->location);
    ap_free(frame);
}

void ap_frames_free(struct ap_frames *frames)
{
    if (frames == NULL) return;
    for (size_t i = 0; i < frames->shared.count; i++) open_frame_free(frames->shared.items[i]);
    ap_free(frames->shared.items);
    for (size_t i = 0; i < frames->shared.store_count; i++)
        ap_store_close(frames->shared.stores[i]);
    ap_free(frames->shared.stores);
    ap_map_done(&frames->shared.by_location);
    ap_lock_free(frames->world->env, frames->lock);
    ap_free(frames);
}

/* Builds the store (external frames), prefix and ledger of an entry. No I/O on the log. */
static enum apiary_code open_frame_new(struct ap_world *world, const struct ap_entry *entry,
    const char *name, struct open_frame **out, struct apiary_error *err)
{
    struct open_frame *frame = ap_calloc(1, sizeof *frame);
    if (frame == NULL) return ap_fail_memory(err, "an open frame");
    enum apiary_code code = APIARY_OK;
    if (entry->external) {
        bool lasts = !ap_name_temporary(&entry->name);
        struct ap_store_options options = {
            .fsync = lasts && ap_config_bool(world->config, AP_CONFIG_fsync)
        };
        code = ap_store_open(world->env, entry->location, &options, &frame->store, err);
    }
    if (code == APIARY_OK) {
        frame->prefix = ap_strdup(entry->external ? "" : entry->location);
        frame->location = ap_strdup(entry->location);
        if (frame->prefix == NULL || frame->location == NULL)
            code = ap_fail_memory(err, "an open frame");
    }
    if (code == APIARY_OK) {
        struct ap_ledger_options options = {
            .env = world->env,
            .store = frame->store != NULL ? frame->store : world->store,
            .prefix = frame->prefix,
            .name = name,
            .engine = &world->engine,
            .log = world->log,
            .checkpoint_interval =
                (uint64_t)ap_config_count(world->config, AP_CONFIG_checkpoint_interval, 100),
        };
        code = ap_ledger_open(&options, &frame->ledger, err);
    }
    if (code != APIARY_OK) {
        open_frame_free(frame);
        return code;
    }
    *out = frame;
    return APIARY_OK;
}

static enum apiary_code find_or_open_locked(struct ap_frames *frames, const struct ap_entry *entry,
    struct open_frame **out, struct apiary_error *err)
{
    struct ap_str location = ap_str_from(entry->location);
    uint64_t index = 0;
    if (ap_map_get(&frames->shared.by_location, location, &index)) {
        *out = frames->shared.items[index];
        return APIARY_OK;
    }
    char name[3 * AP_NAME_MAX + 4];
    snprintf(name, sizeof name, "%s.%s.%s", entry->name.hive, entry->name.box, entry->name.frame);
    struct open_frame *frame = NULL;
    AP_TRY(open_frame_new(frames->world, entry, name, &frame, err));
    enum apiary_code code =
        AP_GROW(frames->shared.items, frames->shared.capacity, frames->shared.count + 1, err);
    if (code == APIARY_OK)
        code = ap_map_put(&frames->shared.by_location, location, frames->shared.count, err);
    if (code != APIARY_OK) {
        open_frame_free(frame);
        return code;
    }
    frames->shared.items[frames->shared.count++] = frame;
    *out = frame;
    return APIARY_OK;
}

static void forget_locked(struct ap_frames *frames, struct ap_str location)
{
    uint64_t index = 0;
    if (!ap_map_get(&frames->shared.by_location, location, &index)) return;
    struct open_frame *last = frames->shared.items[--frames->shared.count];
    ap_map_remove(&frames->shared.by_location, location);
    open_frame_free(frames->shared.items[index]);
    if (index == frames->shared.count) return;
    frames->shared.items[index] = last;
    /* Its key is there, so no memory is needed. */
    enum apiary_code code =
        ap_map_put(&frames->shared.by_location, ap_str_from(last->location), index, NULL);
    ap_assert(code == APIARY_OK);
}

void ap_frames_forget(struct ap_frames *frames, const char *location)
{
    ap_lock(frames->world->env, frames->lock);
    forget_locked(frames, ap_str_from(location));
    ap_unlock(frames->world->env, frames->lock);
}

enum apiary_code ap_frames_ledger(struct ap_frames *frames, const struct ap_entry *entry,
    struct ap_ledger **ledger, struct ap_store **store, const char **prefix,
    struct apiary_error *err)
{
    struct open_frame *frame = NULL;
    ap_lock(frames->world->env, frames->lock);
    enum apiary_code code = find_or_open_locked(frames, entry, &frame, err);
    ap_unlock(frames->world->env, frames->lock);
    if (code != APIARY_OK) return code;
    *ledger = frame->ledger;
    *store = frame->store != NULL ? frame->store : frames->world->store;
    *prefix = frame->prefix;
    return APIARY_OK;
}

/* web: `uri` is the URL of a file of a web server. */
static enum apiary_code store_locked(struct ap_frames *frames, const char *uri,
    const struct ap_bytes *canonical, bool web, struct ap_store **store, struct apiary_error *err)
{
    enum { STORES_MAX = 1000 };
    for (size_t i = 0; i < frames->shared.store_count; i++)
        if (strcmp(frames->shared.stores[i]->uri, ap_bytes_text(canonical)) == 0) {
            *store = frames->shared.stores[i];
            return APIARY_OK;
        }
    if (frames->shared.store_count == STORES_MAX)
        return ap_fail(err, APIARY_LIMIT, "files of more than %d stores were read", STORES_MAX);
    AP_TRY(AP_GROW(
        frames->shared.stores, frames->shared.store_capacity, frames->shared.store_count + 1, err));
    AP_TRY(web ? ap_web_open(frames->world->env, ap_str_from(uri), store, err)
               : ap_store_open(frames->world->env, uri, NULL, store, err));
    frames->shared.stores[frames->shared.store_count++] = *store;
    return APIARY_OK;
}

enum apiary_code ap_frames_store(struct ap_frames *frames, const char *uri,
    struct ap_store **store, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) canonical = { 0 };
    AP_TRY(ap_store_canonical(uri, &canonical, err));
    ap_lock(frames->world->env, frames->lock);
    enum apiary_code code = store_locked(frames, uri, &canonical, false, store, err);
    ap_unlock(frames->world->env, frames->lock);
    return code;
}

enum apiary_code ap_frames_web(struct ap_frames *frames, struct ap_str url,
    struct ap_store **store, struct ap_bytes *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    AP_AUTO_FREE char *text = ap_str_dup(url);
    if (text == NULL) return ap_fail_memory(err, "a store");
    /* one of the scheme and host in whatever case is another store: that costs a fetch */
    AP_TRY(ap_web_name(url, &name, key, err));
    ap_lock(frames->world->env, frames->lock);
    enum apiary_code code = store_locked(frames, text, &name, true, store, err);
    ap_unlock(frames->world->env, frames->lock);
    return code;
}
