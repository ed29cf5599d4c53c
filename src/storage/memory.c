/* The memory backend: objects of one process, gone when the store is closed.
 *
 * A sorted array of objects under one lock. A body is heap bytes, or a memfd once a descriptor of
 * it was asked for or a stage was committed, so that cells are read in place here as well and are
 * held once. Nothing waits while the lock is held. */
#include "storage/store_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct object {
    char *key;
    char *body; /* NULL: the body is in `fd` */
    int fd;     /* -1: the body is in `body` */
    uint64_t size;
    int64_t modified_us;
    uint64_t etag;
};

struct memory {
    struct ap_store store;
    struct ap_lock *lock;
    struct object *objects; /* byte order of keys; guarded by lock, as what follows */
    size_t count;
    size_t capacity;
    uint64_t etag_last;
};

static struct memory *of(struct ap_store *store)
{
    return (struct memory *)(void *)store;
}

static void object_done(struct object *object)
{
    ap_free(object->key);
    ap_free(object->body);
    if (object->fd >= 0) close(object->fd);
}

/* ---- finding (lock held) ---- */

/* Index of the first key that is not less than `key`. */
static size_t lower_bound(const struct memory *memory, const char *key)
{
    size_t low = 0, high = memory->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(memory->objects[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct object *find(const struct memory *memory, const char *key)
{
    size_t at = lower_bound(memory, key);
    if (at == memory->count || strcmp(memory->objects[at].key, key) != 0) return NULL;
    return &memory->objects[at];
}

static void describe(const struct object *object, struct ap_object *out)
{
    memset(out, 0, sizeof *out);
    out->size = object->size;
    out->modified_us = object->modified_us;
    snprintf(out->etag, sizeof out->etag, "m-%llx", (unsigned long long)object->etag);
}

/* No key may be a path prefix of another one: a directory could not hold both. */
static enum apiary_code check_neighbours(
    const struct memory *memory, const char *key, struct apiary_error *err)
{
    char other[AP_KEY_MAX + 2];
    size_t size = strlen(key);
    memcpy(other, key, size);
    memcpy(other + size, "/", 2);
    size_t at = lower_bound(memory, other);
    if (at < memory->count && strncmp(memory->objects[at].key, other, size + 1) == 0)
        return ap_fail(err, APIARY_INVALID, "object key '%s': there are objects below it, as '%s'",
            key, memory->objects[at].key);
    for (size_t i = 1; i < size; i++) {
        if (key[i] != '/') continue;
        other[i] = 0;
        if (find(memory, other))
            return ap_fail(err, APIARY_INVALID, "object key '%s': '%s' is an object", key, other);
        other[i] = '/';
    }
    return APIARY_OK;
}

/* Puts `fresh` (key unset) in its place and takes its body over. */
static enum apiary_code insert_locked(struct memory *memory, const char *key, struct object *fresh,
    bool replace, struct object *replaced, struct apiary_error *err)
{
    struct object *old = find(memory, key);
    if (old && !replace) return ap_fail(err, APIARY_CONFLICT, "object '%s' exists", key);
    if (!old) {
        AP_TRY(check_neighbours(memory, key, err));
        AP_TRY(AP_GROW(memory->objects, memory->capacity, memory->count + 1, err));
    }
    fresh->etag = ++memory->etag_last;
    fresh->modified_us = ap_now_us(memory->store.env);
    if (old) {
        *replaced = *old;
        *old = *fresh;
    } else {
        size_t at = lower_bound(memory, key);
        memmove(&memory->objects[at + 1], &memory->objects[at],
            (memory->count - at) * sizeof *memory->objects);
        memory->objects[at] = *fresh;
        memory->count++;
    }
    return APIARY_OK;
}

/* ---- writes ---- */

static enum apiary_code insert(struct memory *memory, const char *key, struct object *fresh,
    bool replace, struct ap_object *object, struct apiary_error *err)
{
    struct object replaced = { .fd = -1 };
    fresh->key = ap_strdup(key);
    if (!fresh->key) return ap_fail_memory(err, "an object");
    ap_lock(memory->store.env, memory->lock);
    enum apiary_code code = insert_locked(memory, key, fresh, replace, &replaced, err);
    if (code == APIARY_OK && object) describe(fresh, object);
    ap_unlock(memory->store.env, memory->lock);
    object_done(&replaced);
    return code;
}

static enum apiary_code write_object(struct ap_store *store, const char *key, struct ap_str body,
    bool replace, struct apiary_error *err)
{
    struct object fresh = { .fd = -1, .size = body.size };
    fresh.body = ap_realloc(NULL, body.size ? body.size : 1);
    if (!fresh.body) return ap_fail_memory(err, "an object");
    if (body.size) memcpy(fresh.body, body.data, body.size);
    enum apiary_code code = insert(of(store), key, &fresh, replace, NULL, err);
    if (code != APIARY_OK) object_done(&fresh);
    return code;
}

static enum apiary_code memory_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return write_object(store, key, body, true, err);
}

static enum apiary_code memory_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return write_object(store, key, body, false, err);
}

static enum apiary_code memory_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    struct memory *memory = of(store);
    for (size_t i = 0; i < count; i++) {
        struct object gone = { .fd = -1 };
        ap_lock(store->env, memory->lock);
        struct object *object = find(memory, keys[i]);
        if (object) {
            gone = *object;
            size_t at = (size_t)(object - memory->objects);
            memory->count--;
            memmove(object, object + 1, (memory->count - at) * sizeof *object);
        }
        ap_unlock(store->env, memory->lock);
        object_done(&gone);
    }
    return APIARY_OK;
}

/* ---- reads ---- */

static enum apiary_code read_fd(
    int fd, uint64_t offset, uint64_t length, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_reserve(out, length, err));
    while (out->size < length) {
        ssize_t got =
            pread(fd, out->data + out->size, length - out->size, (off_t)(offset + out->size));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ap_fail_errno(err, errno, "cannot read an object in memory");
        if (got == 0) break; /* the caller compares sizes */
        out->size += (size_t)got;
    }
    out->data[out->size] = 0;
    return APIARY_OK;
}

static enum apiary_code get_locked(struct memory *memory, struct ap_get *get)
{
    uint64_t offset, length;
    struct apiary_error *err = &get->error;
    const struct object *object = find(memory, get->key);
    if (!object)
        return ap_fail(
            err, APIARY_NOT_FOUND, "there is no object %s/%s", memory->store.uri, get->key);
    describe(object, &get->object);
    if (get->if_etag && strcmp(get->if_etag, get->object.etag) != 0)
        return ap_fail(err, APIARY_CONFLICT, "object %s/%s is another one by now",
            memory->store.uri, get->key);
    ap_range_resolve(get->range, object->size, &offset, &length);
    if (get->size_max && length > get->size_max)
        return ap_fail(err, APIARY_LIMIT,
            "object %s/%s: %llu bytes are more than the limit of %llu", memory->store.uri, get->key,
            (unsigned long long)length, (unsigned long long)get->size_max);
    if (object->fd >= 0) return read_fd(object->fd, offset, length, &get->body, err);
    return ap_bytes_add(&get->body, object->body + offset, length, err);
}

static void memory_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct memory *memory = of(store);
    for (size_t i = 0; i < count; i++) {
        ap_lock(store->env, memory->lock);
        gets[i].code = get_locked(memory, &gets[i]);
        ap_unlock(store->env, memory->lock);
    }
}

static bool starts_with(const char *text, const char *prefix, size_t size)
{
    return strncmp(text, prefix, size) == 0;
}

/* Index of the first object behind all that begin with `prefix` (which ends in '/'). */
static size_t behind(const struct memory *memory, const char *prefix, size_t size)
{
    char next[AP_KEY_MAX + 1];
    memcpy(next, prefix, size);
    next[size - 1] = '/' + 1;
    next[size] = 0;
    return lower_bound(memory, next);
}

static enum apiary_code list_locked(struct memory *memory, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    size_t prefix_size = strlen(request->prefix);
    size_t at = lower_bound(memory, request->prefix);
    if (request->start_after) {
        size_t after = lower_bound(memory, request->start_after);
        if (after < memory->count && strcmp(memory->objects[after].key, request->start_after) == 0)
            after++;
        if (after > at) at = after;
    }
    while (
        at < memory->count && starts_with(memory->objects[at].key, request->prefix, prefix_size)) {
        const struct object *object = &memory->objects[at];
        const char *slash = request->delimited ? strchr(object->key + prefix_size, '/') : NULL;
        struct ap_str common = { object->key, slash ? (size_t)(slash - object->key) + 1 : 0 };
        bool passed = slash && request->start_after &&
                      ap_str_compare(common, ap_str_from(request->start_after)) <= 0;
        if (!passed && request->limit && out->count + out->prefixes.count == request->limit) {
            out->more = true;
            break;
        }
        if (slash) {
            if (!passed) AP_TRY(ap_texts_add(&out->prefixes, common, err));
            at = behind(memory, common.data, common.size);
            continue;
        }
        struct ap_object found;
        describe(object, &found);
        AP_TRY(ap_list_add(out, object->key, &found, err));
        at++;
    }
    return APIARY_OK;
}

static enum apiary_code memory_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct memory *memory = of(store);
    ap_lock(store->env, memory->lock);
    enum apiary_code code = list_locked(memory, request, out, err);
    out->now_us = ap_now_us(store->env);
    ap_unlock(store->env, memory->lock);
    return code;
}

/* ---- descriptors ---- */

static int memfd_new(void)
{
    return memfd_create("apiary-object", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static void memfd_seal(int fd)
{
    /* Fails while somebody has it mapped for writing; the object is then as safe as its writer. */
    (void)fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW);
}

/* Moves a heap body into a memfd. */
static enum apiary_code move_to_memfd_locked(struct object *object, struct apiary_error *err)
{
    if (object->fd >= 0) return APIARY_OK;
    int fd = memfd_new();
    if (fd < 0) return ap_fail_errno(err, errno, "cannot open object '%s' in memory", object->key);
    for (uint64_t done = 0; done < object->size;) {
        ssize_t put = pwrite(fd, object->body + done, object->size - done, (off_t)done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            int error = errno;
            close(fd);
            return ap_fail_errno(err, error, "cannot open object '%s' in memory", object->key);
        }
        done += (uint64_t)put;
    }
    memfd_seal(fd);
    ap_free(object->body);
    object->body = NULL;
    object->fd = fd;
    return APIARY_OK;
}

static enum apiary_code open_locked(struct memory *memory, const char *key, int *fd,
    struct ap_object *out, struct apiary_error *err)
{
    char path[40];
    struct object *object = find(memory, key);
    if (!object)
        return ap_fail(err, APIARY_NOT_FOUND, "there is no object %s/%s", memory->store.uri, key);
    AP_TRY(move_to_memfd_locked(object, err));
    /* Opened again, not duplicated: a read position of its own, and no right to write. */
    snprintf(path, sizeof path, "/proc/self/fd/%d", object->fd);
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened < 0) return ap_fail_errno(err, errno, "cannot open object '%s' in memory", key);
    describe(object, out);
    *fd = opened;
    return APIARY_OK;
}

static enum apiary_code memory_open_read(struct ap_store *store, const char *key, int *fd,
    struct ap_object *object, struct apiary_error *err)
{
    struct memory *memory = of(store);
    ap_lock(store->env, memory->lock);
    enum apiary_code code = open_locked(memory, key, fd, object, err);
    ap_unlock(store->env, memory->lock);
    return code;
}

static enum apiary_code memory_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    struct ap_stage *stage = ap_calloc(1, sizeof *stage);
    if (!stage) return ap_fail_memory(err, "a stage");
    stage->store = store;
    stage->fd = memfd_new();
    if (stage->fd < 0) {
        ap_free(stage);
        return ap_fail_errno(err, errno, "cannot stage a file in memory");
    }
    *out = stage;
    return APIARY_OK;
}

static enum apiary_code memory_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct stat info;
    struct object fresh = { .fd = fcntl(stage->fd, F_DUPFD_CLOEXEC, 0) };
    if (fresh.fd < 0 || fstat(fresh.fd, &info) != 0) {
        enum apiary_code code = ap_fail_errno(err, errno, "cannot commit a staged file");
        object_done(&fresh);
        return code;
    }
    fresh.size = (uint64_t)info.st_size;
    memfd_seal(fresh.fd);
    enum apiary_code code = insert(of(store), key, &fresh, false, object, err);
    if (code != APIARY_OK) object_done(&fresh);
    return code;
}

/* ---- life ---- */

static void memory_close(struct ap_store *store)
{
    struct memory *memory = of(store);
    for (size_t i = 0; i < memory->count; i++) object_done(&memory->objects[i]);
    ap_free(memory->objects);
    ap_lock_free(store->env, memory->lock);
    ap_free(memory);
}

static const struct ap_store_ops memory_ops = {
    .put = memory_put,
    .put_if_absent = memory_put_if_absent,
    .get_many = memory_get_many,
    .list = memory_list,
    .delete_many = memory_delete_many,
    .open_read = memory_open_read,
    .stage = memory_stage,
    .stage_commit = memory_stage_commit,
    .close = memory_close,
};

enum apiary_code ap_memory_open(struct ap_env *env, struct ap_store **out, struct apiary_error *err)
{
    struct memory *memory = ap_calloc(1, sizeof *memory);
    if (!memory) return ap_fail_memory(err, "a store");
    memory->store = (struct ap_store) {
        .ops = &memory_ops, .env = env, .is_local = true, .shared_writing = true
    };
    memory->lock = ap_lock_new(env);
    if (!memory->lock) {
        ap_free(memory);
        return ap_fail_memory(err, "a store");
    }
    *out = &memory->store;
    return APIARY_OK;
}
