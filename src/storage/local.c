/* The local backend: a directory tree, a file an object.
 *
 *   {root}/{key}               an object, complete from the moment it has its name
 *   {root}/.tmp/{kind}-{id}    a file on its way (local_stage.c); removed after an hour
 *
 * The store's clock is that of the file times. Works between processes of one machine and, with
 * link(), on NFSv4. Folders that lose their last object are removed; whoever is about to write
 * into one finds it gone and makes it again. */
#include "storage/local_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { READ_STEP_MAX = 1 << 30 };

/* ---- writes ---- */

static int write_all(int fd, struct ap_str body)
{
    while (body.size > 0) {
        ssize_t put = write(fd, body.data, body.size < READ_STEP_MAX ? body.size : READ_STEP_MAX);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return errno;
        body.data += put;
        body.size -= (size_t)put;
    }
    return 0;
}

static enum apiary_code write_object(struct ap_local *local, const char *key, struct ap_str body,
    enum ap_local_place how, bool lasting, struct apiary_error *err)
{
    AP_AUTO(ap_local_temp) temp = AP_LOCAL_TEMP_NONE;
    AP_AUTO_FD root = -1;
    AP_TRY(ap_local_root(local, true, &root, err));
    if (how == AP_PLACE_NEW) AP_TRY(ap_local_check_absent(local, root, key, lasting, err));
    AP_TRY(ap_local_temp_make(local, root, "put", &temp, err));
    int error = write_all(temp.fd, body);
    if (!error) error = ap_local_sync(local, temp.fd, lasting);
    if (error) return ap_fail_errno(err, error, "cannot write %s/%s", local->root, key);
    return ap_local_place(local, root, &temp, key, how, lasting, err);
}

static enum apiary_code local_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return write_object(ap_local_of(store), key, body, AP_PLACE_REPLACE, true, err);
}

static enum apiary_code local_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return write_object(ap_local_of(store), key, body, AP_PLACE_NEW, true, err);
}

static enum apiary_code local_put_fleeting(
    struct ap_store *store, const char *key, struct ap_str body, bool if_absent, struct apiary_error *err)
{
    return write_object(ap_local_of(store), key, body, if_absent ? AP_PLACE_NEW : AP_PLACE_REPLACE, false, err);
}

/* ---- reads ---- */

static enum apiary_code fail_read(
    struct ap_local *local, const char *key, int error, struct apiary_error *err)
{
    switch (error) {
        case ENOENT:
        case ENOTDIR:
        case EISDIR:
        case ENXIO:
        case ENAMETOOLONG:
            return ap_fail(err, APIARY_NOT_FOUND, "there is no object %s/%s", local->root, key);
        case ELOOP:
            return ap_fail(
                err, APIARY_DENIED, "object %s/%s lies behind a symbolic link", local->root, key);
        default: return ap_fail_errno(err, error, "cannot read %s/%s", local->root, key);
    }
}

/* O_NONBLOCK: a pipe that somebody put there must not hold us. */
static enum apiary_code open_object(struct ap_local *local, int root, const char *key, int *fd,
    struct stat *info, struct apiary_error *err)
{
    int opened = -1;
    int error = ap_local_open_beneath(local, root, key, O_RDONLY | O_NONBLOCK | O_NOCTTY, &opened);
    if (!error && fstat(opened, info) != 0) error = errno;
    if (!error && !S_ISREG(info->st_mode)) error = ENOENT; /* a folder is no object */
    if (error) {
        if (opened >= 0) close(opened);
        return fail_read(local, key, error, err);
    }
    *fd = opened;
    return APIARY_OK;
}

static enum apiary_code get_one(struct ap_local *local, int root, struct ap_get *get)
{
    struct apiary_error *err = &get->error;
    AP_AUTO_FD fd = -1;
    struct stat info;
    uint64_t offset, length;
    AP_TRY(open_object(local, root, get->key, &fd, &info, err));
    ap_local_describe(&info, &get->object);
    if (get->if_etag && strcmp(get->if_etag, get->object.etag) != 0)
        return ap_fail(
            err, APIARY_CONFLICT, "object %s/%s is another one by now", local->root, get->key);
    ap_range_resolve(get->range, get->object.size, &offset, &length);
    if (get->size_max && length > get->size_max)
        return ap_fail(err, APIARY_LIMIT,
            "object %s/%s: %llu bytes are more than the limit of %llu", local->root, get->key,
            (unsigned long long)length, (unsigned long long)get->size_max);
    AP_TRY(ap_bytes_reserve(&get->body, length, err));
    while (get->body.size < length) {
        size_t left = length - get->body.size;
        ssize_t got = pread(fd, get->body.data + get->body.size,
            left < READ_STEP_MAX ? left : READ_STEP_MAX, (off_t)(offset + get->body.size));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_read(local, get->key, errno, err);
        if (got == 0) break; /* cut meanwhile: the caller compares sizes */
        get->body.size += (size_t)got;
    }
    if (get->body.data) get->body.data[get->body.size] = 0;
    return APIARY_OK;
}

static void local_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct ap_local *local = ap_local_of(store);
    struct apiary_error error = { 0 };
    AP_AUTO_FD root = -1;
    enum apiary_code code = ap_local_root(local, false, &root, &error);
    for (size_t i = 0; i < count; i++) {
        if (code == APIARY_OK) {
            gets[i].code = get_one(local, root, &gets[i]);
        } else if (code == APIARY_NOT_FOUND) {
            gets[i].code = fail_read(local, gets[i].key, ENOENT, &gets[i].error);
        } else {
            gets[i].code = code;
            gets[i].error = error;
        }
    }
}

static enum apiary_code local_open_read(struct ap_store *store, const char *key, int *fd,
    struct ap_object *object, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    struct stat info;
    AP_AUTO_FD root = -1;
    int opened = -1;
    enum apiary_code code = ap_local_root(local, false, &root, err);
    if (code == APIARY_NOT_FOUND) return fail_read(local, key, ENOENT, err);
    if (code != APIARY_OK) return code;
    AP_TRY(open_object(local, root, key, &opened, &info, err));
    (void)fcntl(opened, F_SETFL, 0); /* without O_NONBLOCK: it is a plain file */
    ap_local_describe(&info, object);
    *fd = opened;
    return APIARY_OK;
}

/* ---- deletion ---- */

/* Removes the folders of `key` that became empty, from the deepest up; never the root. */
static void prune(struct ap_local *local, int root, const char *key)
{
    char path[AP_KEY_MAX + 1];
    memcpy(path, key, strlen(key) + 1);
    for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
        AP_AUTO_FD above = -1;
        *slash = 0;
        char *cut = strrchr(path, '/');
        if (cut) {
            *cut = 0;
            int error = ap_local_open_beneath(local, root, path, O_RDONLY | O_DIRECTORY, &above);
            *cut = '/';
            if (error) return;
        }
        if (unlinkat(cut ? above : root, cut ? cut + 1 : path, AT_REMOVEDIR) != 0) return;
    }
}

static enum apiary_code delete_one(
    struct ap_local *local, int root, const char *key, bool lasting, struct apiary_error *err)
{
    char path[AP_KEY_MAX + 1];
    struct stat info;
    AP_AUTO_FD dir = -1;
    const char *slash = strrchr(key, '/');
    const char *leaf = slash ? slash + 1 : key;
    int error = 0;
    if (slash) {
        memcpy(path, key, (size_t)(slash - key));
        path[slash - key] = 0;
        error = ap_local_open_beneath(local, root, path, O_RDONLY | O_DIRECTORY, &dir);
    }
    int in = slash ? dir : root;
    if (!error && fstatat(in, leaf, &info, AT_SYMLINK_NOFOLLOW) != 0) error = errno;
    if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG) return APIARY_OK;
    if (error == ELOOP) return fail_read(local, key, error, err);
    if (!error && !S_ISREG(info.st_mode)) return APIARY_OK; /* no object */
    if (!error && unlinkat(in, leaf, 0) != 0 && errno != ENOENT) error = errno;
    if (!error) error = ap_local_sync(local, in, lasting);
    if (error) return ap_fail_errno(err, error, "cannot delete %s/%s", local->root, key);
    prune(local, root, key);
    return APIARY_OK;
}

static enum apiary_code delete_all(
    struct ap_store *store, const char *const *keys, size_t count, bool lasting, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    struct apiary_error local_error;
    AP_AUTO_FD root = -1;
    if (!err) err = &local_error;
    enum apiary_code code = ap_local_root(local, false, &root, err);
    if (code == APIARY_NOT_FOUND) return APIARY_OK;
    if (code != APIARY_OK) return code;
    for (size_t i = 0; i < count; i++) AP_TRY(delete_one(local, root, keys[i], lasting, err));
    return APIARY_OK;
}

static enum apiary_code local_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return delete_all(store, keys, count, true, err);
}

static enum apiary_code local_delete_fleeting(struct ap_store *store, const char *key, struct apiary_error *err)
{
    return delete_all(store, &key, 1, false, err);
}

/* ---- life ---- */

static void local_close(struct ap_store *store)
{
    struct ap_local *local = ap_local_of(store);
    ap_local_listen_end(local);
    ap_free(local->root);
    ap_free(local);
}

static const struct ap_store_ops local_ops = {
    .put = local_put,
    .put_if_absent = local_put_if_absent,
    .get_many = local_get_many,
    .list = ap_local_list,
    .delete_many = local_delete_many,
    .put_fleeting = local_put_fleeting,
    .delete_fleeting = local_delete_fleeting,
    .listen = ap_local_listen,
    .unlisten = ap_local_unlisten,
    .open_read = local_open_read,
    .stage = ap_local_stage,
    .stage_commit = ap_local_stage_commit,
    .close = local_close,
};

enum apiary_code ap_local_open(struct ap_env *env, struct ap_str path, bool fsync_on,
    struct ap_store **out, struct apiary_error *err)
{
    struct ap_local *local = ap_calloc(1, sizeof *local);
    if (!local) return ap_fail_memory(err, "a store");
    local->store = (struct ap_store) {
        .ops = &local_ops, .env = env, .is_local = true, .shared_writing = true
    };
    local->fsync = fsync_on;
    for (int i = 0; i < AP_LOCAL_EARS_IDLE; i++) local->idle_ears[i] = -1;
    local->root = ap_str_dup(path);
    if (!local->root) {
        ap_free(local);
        return ap_fail_memory(err, "a store");
    }
    *out = &local->store;
    return APIARY_OK;
}
