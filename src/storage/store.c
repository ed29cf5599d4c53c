/* The store's front: checks keys, counts requests, checks answers, and calls the backend.
 *
 * Invariants
 *  (1) A backend never sees a key that ap_store_key_check refuses, nor a write to a name that
 *      begins with a dot (those are the backends' own: temporary files).
 *  (2) A body that is shorter than the object says is CORRUPT here, whatever the backend is. */
#include "storage/store.h"

#include "core/alloc.h"
#include "storage/store_private.h"

#include <unistd.h>

/* ---- keys ---- */

/* Why a segment cannot stand in a key; NULL when it can. */
static const char *segment_fault(struct ap_str segment)
{
    if (segment.size == 0) return "an empty part";
    if (ap_str_is(segment, ".") || ap_str_is(segment, "..")) return "a part '.' or '..'";
    if (memchr(segment.data, '\\', segment.size)) return "a backslash";
    return NULL;
}

static struct ap_str segment_at(const char *at)
{
    return (struct ap_str) { at, strcspn(at, "/") };
}

enum apiary_code ap_store_key_check(const char *key, struct apiary_error *err)
{
    if (!key || !*key) return ap_fail(err, APIARY_INVALID, "the object key is empty");
    size_t size = strlen(key);
    if (size > AP_KEY_MAX)
        return ap_fail(err, APIARY_INVALID, "object key '%.60s...' has %zu bytes; %d is the limit",
            key, size, AP_KEY_MAX);
    for (const char *at = key;;) {
        struct ap_str segment = segment_at(at);
        const char *fault = segment_fault(segment);
        if (fault) return ap_fail(err, APIARY_INVALID, "object key '%s' has %s", key, fault);
        at += segment.size;
        if (!*at) return APIARY_OK;
        at++;
    }
}

static enum apiary_code write_check(const char *key, struct apiary_error *err)
{
    AP_TRY(ap_store_key_check(key, err));
    if (key[0] == '.' || strstr(key, "/."))
        return ap_fail(err, APIARY_INVALID,
            "object key '%s': names that begin with '.' are kept for temporary files", key);
    return APIARY_OK;
}

/* A prefix is the beginning of a key: whole parts are checked, the last may be cut anywhere. */
static enum apiary_code prefix_check(const char *prefix, struct apiary_error *err)
{
    size_t size = strlen(prefix);
    if (size > AP_KEY_MAX)
        return ap_fail(
            err, APIARY_INVALID, "list prefix has %zu bytes; %d is the limit", size, AP_KEY_MAX);
    for (const char *at = prefix; *at;) {
        struct ap_str segment = segment_at(at);
        at += segment.size;
        const char *fault = segment_fault(segment);
        if (*at && fault)
            return ap_fail(err, APIARY_INVALID, "list prefix '%s' has %s", prefix, fault);
        if (*at) at++;
    }
    return APIARY_OK;
}

/* ---- opening ---- */

enum apiary_code ap_store_open(struct ap_env *env, const char *uri,
    const struct ap_store_options *options, struct ap_store **out, struct apiary_error *err)
{
    AP_AUTO(ap_root) root = { 0 };
    struct ap_store *store = NULL;
    AP_TRY(ap_root_parse(&root, uri, err));
    char *name = ap_str_dup(ap_bytes_view(&root.uri));
    if (!name) return ap_fail_memory(err, "a store");
    enum apiary_code code = APIARY_INTERNAL;
    switch (root.kind) {
        case AP_ROOT_LOCAL:
            code = ap_local_open(
                env, ap_bytes_view(&root.path), !options || options->fsync, &store, err);
            break;
        case AP_ROOT_MEMORY: code = ap_memory_open(env, &store, err); break;
        case AP_ROOT_S3: code = ap_s3_open(env, uri, &store, err); break;
        case AP_ROOT_GCS: code = ap_gcs_open(env, uri, &store, err); break;
        case AP_ROOT_AZURE: code = ap_azure_open(env, uri, &store, err); break;
    }
    if (code != APIARY_OK) {
        ap_free(name);
        return code;
    }
    store->uri = name;
    *out = store;
    return APIARY_OK;
}

void ap_store_close(struct ap_store *store)
{
    if (!store) return;
    char *uri = store->uri;
    store->ops->close(store);
    ap_free(uri);
}

enum apiary_code ap_store_identity(
    struct ap_store *store, struct ap_store_identity *out, struct apiary_error *err)
{
    struct ap_store_identity found = { .source = "none needed" };
    if (store->ops->identity) AP_TRY(store->ops->identity(store, &found, err));
    *out = found;
    return APIARY_OK;
}

/* ---- counting ---- */

struct ap_store_counts *ap_store_scope(struct ap_env *env, struct ap_store_counts *counts)
{
    void **local = ap_env_local(env);
    struct ap_store_counts *before = *local;
    *local = counts;
    return before;
}

static void add_at(struct ap_store_counts *counts, size_t offset, uint64_t by)
{
    __atomic_fetch_add((uint64_t *)(void *)((char *)counts + offset), by, __ATOMIC_RELAXED);
}

void ap_store_tally_at(struct ap_store *store, size_t offset, uint64_t by)
{
    struct ap_store_counts *scope = *ap_env_local(store->env);
    add_at(&store->counts, offset, by);
    if (scope) add_at(scope, offset, by);
}

void ap_store_counts_add(struct ap_store_counts *sum, const struct ap_store_counts *more)
{
#define ADD(name)                                                                                  \
    add_at(sum, offsetof(struct ap_store_counts, name),                                            \
        __atomic_load_n(&more->name, __ATOMIC_RELAXED));
    AP_STORE_COUNTS(ADD)
#undef ADD
}

uint64_t ap_store_counts_requests(const struct ap_store_counts *counts)
{
    return counts->puts + counts->puts_if_absent + counts->gets + counts->ranges + counts->lists +
           counts->deletes;
}

enum apiary_code ap_store_listen(
    struct ap_store *store, const char *folder, struct ap_ear *ear, struct apiary_error *err)
{
    AP_TRY(ap_store_key_check(folder, err));
    if (store->ops->listen == NULL) return ap_fail(err, APIARY_UNSUPPORTED, "nobody can be heard in %s", store->uri);
    if (ear->count == AP_EAR_FOLDERS_MAX) return ap_fail(err, APIARY_LIMIT, "%d folders are listened to already", ear->count);
    return store->ops->listen(store, folder, ear, err);
}

void ap_store_unlisten(struct ap_store *store, struct ap_ear *ear)
{
    if (ear->fd >= 0) store->ops->unlisten(store, ear);
    *ear = AP_EAR_NONE;
}

/* ---- writes ---- */

static enum apiary_code put(struct ap_store *store, const char *key, struct ap_str body, bool if_absent,
    bool fleeting, struct apiary_error *err)
{
    AP_TRY(write_check(key, err));
    if (if_absent)
        ap_store_tally(store, puts_if_absent, 1);
    else
        ap_store_tally(store, puts, 1);
    ap_store_tally(store, bytes_out, body.size);
    if (fleeting && store->ops->put_fleeting != NULL)
        return store->ops->put_fleeting(store, key, body, if_absent, err);
    return if_absent ? store->ops->put_if_absent(store, key, body, err)
                     : store->ops->put(store, key, body, err);
}

enum apiary_code ap_store_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, false, false, err);
}

enum apiary_code ap_store_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, true, false, err);
}

enum apiary_code ap_store_put_fleeting(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, false, true, err);
}

enum apiary_code ap_store_put_fleeting_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return put(store, key, body, true, true, err);
}

enum apiary_code ap_store_delete_fleeting(
    struct ap_store *store, const char *key, struct apiary_error *err)
{
    if (store->ops->delete_fleeting == NULL) return ap_store_delete(store, key, err);
    AP_TRY(write_check(key, err));
    ap_store_tally(store, deletes, 1);
    return store->ops->delete_fleeting(store, key, err);
}

enum apiary_code ap_store_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) AP_TRY(write_check(keys[i], err));
    if (count == 0) return APIARY_OK;
    ap_store_tally(store, deletes, count);
    return store->ops->delete_many(store, keys, count, err);
}

enum apiary_code ap_store_delete(struct ap_store *store, const char *key, struct apiary_error *err)
{
    return ap_store_delete_many(store, &key, 1, err);
}

/* ---- reads ---- */

void ap_range_resolve(struct ap_range range, uint64_t size, uint64_t *offset, uint64_t *length)
{
    if (range.suffix) {
        *length = range.length < size ? range.length : size;
        *offset = size - *length;
        return;
    }
    *offset = range.offset < size ? range.offset : size;
    *length = range.length < size - *offset ? range.length : size - *offset;
}

void ap_get_done(struct ap_get *get)
{
    ap_bytes_done(&get->body);
}

static bool range_is_all(struct ap_range range)
{
    return !range.suffix && range.offset == 0 && range.length == UINT64_MAX;
}

static void check_answer(struct ap_store *store, struct ap_get *get)
{
    if (get->code != APIARY_OK) {
        ap_bytes_done(&get->body);
        return;
    }
    uint64_t offset, length;
    ap_range_resolve(get->range, get->object.size, &offset, &length);
    if (get->body.size == length) {
        ap_store_tally(store, bytes_in, length);
        return;
    }
    get->code = ap_fail(&get->error, APIARY_CORRUPT,
        "object %s/%s: expected %llu bytes at %llu, got %zu", store->uri, get->key,
        (unsigned long long)length, (unsigned long long)offset, get->body.size);
    ap_bytes_done(&get->body);
}

void ap_store_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    size_t first = 0; /* of the run of good keys that is still to be asked for */
    for (size_t i = 0; i <= count; i++) {
        if (i < count) {
            struct ap_get *get = &gets[i];
            ap_bytes_done(&get->body);
            memset(&get->object, 0, sizeof get->object);
            ap_error_clear(&get->error);
            get->code = ap_store_key_check(get->key, &get->error);
            if (get->code == APIARY_OK) {
                if (range_is_all(get->range))
                    ap_store_tally(store, gets, 1);
                else
                    ap_store_tally(store, ranges, 1);
                continue;
            }
        }
        if (i > first) store->ops->get_many(store, gets + first, i - first);
        for (; first < i; first++) check_answer(store, &gets[first]);
        first = i + 1;
    }
}

enum apiary_code ap_store_get(struct ap_store *store, const char *key, struct ap_range range,
    struct ap_bytes *body, struct ap_object *object, struct apiary_error *err)
{
    struct ap_get get = { .key = key, .range = range };
    ap_store_get_many(store, &get, 1);
    if (get.code != APIARY_OK) {
        if (err) *err = get.error;
        ap_get_done(&get);
        return get.code;
    }
    ap_bytes_done(body);
    *body = AP_TAKE(get.body);
    if (object) *object = get.object;
    return APIARY_OK;
}

enum apiary_code ap_store_open_read(struct ap_store *store, const char *key, int *fd,
    struct ap_object *object, struct apiary_error *err)
{
    AP_TRY(ap_store_key_check(key, err));
    if (!store->ops->open_read)
        return ap_fail(
            err, APIARY_UNSUPPORTED, "objects of %s cannot be opened in place", store->uri);
    struct ap_object ignored;
    ap_store_tally(store, gets, 1);
    return store->ops->open_read(store, key, fd, object ? object : &ignored, err);
}

/* ---- lists ---- */

void ap_list_done(struct ap_list *list)
{
    for (size_t i = 0; i < list->count; i++) ap_free(list->objects[i].key);
    ap_free(list->objects);
    ap_texts_done(&list->prefixes);
    memset(list, 0, sizeof *list);
}

enum apiary_code ap_list_add(
    struct ap_list *list, const char *key, const struct ap_object *object, struct apiary_error *err)
{
    AP_TRY(AP_GROW(list->objects, list->capacity, list->count + 1, err));
    char *copy = ap_strdup(key);
    if (!copy) return ap_fail_memory(err, "a list of objects");
    list->objects[list->count] = *object;
    list->objects[list->count++].key = copy;
    return APIARY_OK;
}

enum apiary_code ap_store_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct ap_list_request checked = *request;
    AP_AUTO(ap_list) list = { 0 };
    if (!checked.prefix) checked.prefix = "";
    AP_TRY(prefix_check(checked.prefix, err));
    if (checked.start_after && strlen(checked.start_after) > AP_KEY_MAX)
        return ap_fail(err, APIARY_INVALID, "list start has more than %d bytes", AP_KEY_MAX);
    if (checked.start_after && !*checked.start_after) checked.start_after = NULL;
    ap_store_tally(store, lists, 1);
    AP_TRY(store->ops->list(store, &checked, &list, err));
    ap_list_done(out);
    *out = AP_TAKE(list);
    return APIARY_OK;
}

/* ---- staging ---- */

enum apiary_code ap_store_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    if (!store->ops->stage)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s cannot stage files", store->uri);
    return store->ops->stage(store, out, err);
}

enum apiary_code ap_stage_commit(
    struct ap_stage *stage, const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct ap_object ignored;
    AP_TRY(write_check(key, err));
    ap_store_tally(stage->store, puts_if_absent, 1);
    return stage->store->ops->stage_commit(
        stage->store, stage, key, object ? object : &ignored, err);
}

enum apiary_code ap_stage_advance(
    struct ap_stage *stage, const char *key, uint64_t written, struct apiary_error *err)
{
    struct ap_store *store = stage->store;
    AP_TRY(write_check(key, err));
    if (!store->ops->stage_advance) return APIARY_OK;
    return store->ops->stage_advance(store, stage, key, written, err);
}

void ap_stage_close(struct ap_stage *stage)
{
    if (!stage) return;
    if (stage->store->ops->stage_drop) stage->store->ops->stage_drop(stage->store, stage);
    if (stage->path) unlink(stage->path);
    if (stage->fd >= 0) close(stage->fd);
    ap_free(stage->path);
    ap_free(stage);
}
