/* Listing a local root: a walk in byte order of keys that opens only what can match.
 *
 * A directory counts as its name with '/' behind it, which is how its keys sort; so the walk meets
 * keys in order, and a limit ends it early. Subtrees that the prefix or start_after excludes are
 * not opened: listing a ledger never looks at the cells beside it. What vanishes between readdir
 * and stat was deleted meanwhile and is skipped. */
#include "storage/local_private.h"

#include "core/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { LIST_DEPTH_MAX = 64 };

struct walk {
    struct ap_local *local;
    const struct ap_list_request *request;
    size_t prefix_size;
    struct ap_list *out; /* NULL: the question is only whether there is a key */
    bool found;          /* a key was met (for that question) */
    bool full;           /* the limit is reached and there is more */
};

/* Names of one directory; those of directories end in '/'. */
struct names {
    char **items;
    size_t count;
    size_t capacity;
};

static void names_done(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) ap_free(names->items[i]);
    ap_free(names->items);
}

static int names_compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* May a key that begins with path, a directory's (so it ends in '/'), be wanted? */
static bool subtree_matches(const struct walk *walk, const char *path, size_t size)
{
    const char *after = walk->request->start_after;
    size_t common = size < walk->prefix_size ? size : walk->prefix_size;
    if (memcmp(path, walk->request->prefix, common) != 0) return false;
    /* All its keys are smaller than start_after, unless that one lies in the subtree itself. */
    return !after || strcmp(path, after) > 0 || strncmp(after, path, size) == 0;
}

static bool key_matches(const struct walk *walk, const char *key, size_t size)
{
    if (size < walk->prefix_size || memcmp(key, walk->request->prefix, walk->prefix_size) != 0)
        return false;
    return !walk->request->start_after || strcmp(key, walk->request->start_after) > 0;
}

/* Is the entry a directory or a file? Else it is no object (a link, a socket, gone). */
static bool entry_kind(int dir, const struct dirent *entry, bool *directory)
{
    struct stat info;
    *directory = entry->d_type == DT_DIR;
    if (entry->d_type == DT_DIR || entry->d_type == DT_REG) return true;
    if (entry->d_type != DT_UNKNOWN || fstatat(dir, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    *directory = S_ISDIR(info.st_mode);
    return *directory || S_ISREG(info.st_mode);
}

/* Reads the names that can matter, sorted. `path` ends in '/' or is empty. */
static enum apiary_code read_names(const struct walk *walk, DIR *dir, const char *path,
    size_t path_size, struct names *names, struct apiary_error *err)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno)
            return ap_fail_errno(err, errno, "cannot list %s/%s", walk->local->root, path);
        if (!entry) break;
        char key[AP_KEY_MAX + 2];
        bool directory;
        size_t size = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || strchr(entry->d_name, '\\')) continue;
        if (path_size + size > AP_KEY_MAX || !entry_kind(dirfd(dir), entry, &directory)) continue;
        memcpy(key, path, path_size);
        memcpy(key + path_size, entry->d_name, size);
        if (directory) key[path_size + size++] = '/';
        key[path_size + size] = 0;
        if (!(directory ? subtree_matches : key_matches)(walk, key, path_size + size)) continue;
        AP_TRY(AP_GROW(names->items, names->capacity, names->count + 1, err));
        char *name = ap_strdup(key + path_size);
        if (!name) return ap_fail_memory(err, "a list of objects");
        names->items[names->count++] = name;
    }
    if (names->count > 1) qsort(names->items, names->count, sizeof *names->items, names_compare);
    return APIARY_OK;
}

static enum apiary_code walk_directory(
    struct walk *walk, int fd, char *path, size_t path_size, int depth, struct apiary_error *err);

/* True when a further key or prefix has no room. */
static bool at_limit(struct walk *walk)
{
    const struct ap_list *out = walk->out;
    if (walk->request->limit && out->count + out->prefixes.count == walk->request->limit)
        walk->full = true;
    return walk->full;
}

static enum apiary_code visit_file(
    struct walk *walk, int dir, const char *path, const char *name, struct apiary_error *err)
{
    struct stat info;
    struct ap_object object;
    if (fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        if (errno == ENOENT) return APIARY_OK;
        return ap_fail_errno(err, errno, "cannot list %s/%s", walk->local->root, path);
    }
    if (!S_ISREG(info.st_mode)) return APIARY_OK;
    walk->found = true;
    if (!walk->out || at_limit(walk)) return APIARY_OK;
    ap_local_describe(&info, &object);
    return ap_list_add(walk->out, path, &object, err);
}

/* Opens the sub-directory that `path` ends with and walks it. */
static enum apiary_code descend(struct walk *walk, int dir, char *path, size_t path_size,
    const char *name, int depth, struct apiary_error *err)
{
    char plain[NAME_MAX + 1];
    if (depth == LIST_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT, "%s/%s is more than %d folders deep", walk->local->root,
            path, LIST_DEPTH_MAX);
    snprintf(plain, sizeof plain, "%.*s", (int)strlen(name) - 1, name);
    int fd = openat(dir, plain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return APIARY_OK;
        return ap_fail_errno(err, errno, "cannot list %s/%s", walk->local->root, path);
    }
    return walk_directory(walk, fd, path, path_size, depth + 1, err);
}

/* A level of folders collapses into prefixes; an empty folder is none. */
static enum apiary_code visit_prefix(struct walk *walk, int dir, char *path, size_t path_size,
    const char *name, int depth, struct apiary_error *err)
{
    const char *after = walk->request->start_after;
    if (after && strcmp(path, after) <= 0) return APIARY_OK;
    struct ap_list_request request = *walk->request;
    struct walk probe = {
        .local = walk->local, .request = &request, .prefix_size = walk->prefix_size
    };
    request.delimited = false;
    AP_TRY(descend(&probe, dir, path, path_size, name, depth, err));
    if (!probe.found || at_limit(walk)) return APIARY_OK;
    return ap_texts_add(&walk->out->prefixes, (struct ap_str) { path, path_size }, err);
}

/* Takes fd over. `path` ends in '/' or is empty; it is a buffer of AP_KEY_MAX + 2 that is
 * extended in place and restored. */
static enum apiary_code walk_directory(
    struct walk *walk, int fd, char *path, size_t path_size, int depth, struct apiary_error *err)
{
    AP_AUTO(names) names = { 0 };
    DIR *dir = fdopendir(fd);
    if (!dir) {
        int error = errno;
        close(fd);
        return ap_fail_errno(err, error, "cannot list %s/%s", walk->local->root, path);
    }
    enum apiary_code code = read_names(walk, dir, path, path_size, &names, err);
    for (size_t i = 0; i < names.count && code == APIARY_OK; i++) {
        const char *name = names.items[i];
        size_t size = path_size + strlen(name);
        memcpy(path + path_size, name, size - path_size + 1);
        bool directory = path[size - 1] == '/';
        if (!directory)
            code = visit_file(walk, fd, path, name, err);
        else if (walk->request->delimited && size > walk->prefix_size)
            code = visit_prefix(walk, fd, path, size, name, depth, err);
        else
            code = descend(walk, fd, path, size, name, depth, err);
        path[path_size] = 0;
        if (walk->full || (!walk->out && walk->found)) break;
    }
    closedir(dir);
    return code;
}

/* ---- the store's clock ---- */

/* File systems that take times from another machine or a daemon. */
bool ap_local_is_foreign(int fd)
{
    static const uint32_t own[] = {
        0xEF53 /* ext */,
        0x58465342 /* xfs */,
        0x9123683E /* btrfs */,
        0x01021994 /* tmpfs */,
        0xF2F52010 /* f2fs */,
        0x794C7630 /* overlay */,
        0x2FC12FC1 /* zfs */,
        0x858458F6 /* ramfs */,
    };
    struct statfs info;
    if (fstatfs(fd, &info) != 0) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if ((uint32_t)info.f_type == own[i]) return false;
    return true;
}

/* A time that compares with the modification times of the root: on the machine's own file systems
 * the kernel's clock, elsewhere that of a file just written there (where one can be). Not env's
 * clock: nobody's idea of the time but the store's counts. */
static int64_t store_clock_us(struct ap_local *local, int root)
{
    struct timespec now;
    if (ap_local_is_foreign(root)) {
        struct ap_local_temp temp = AP_LOCAL_TEMP_NONE;
        struct apiary_error ignored;
        struct stat info;
        bool got = ap_local_temp_make(local, root, "clock", &temp, &ignored) == APIARY_OK &&
                   fstat(temp.fd, &info) == 0;
        ap_local_temp_done(&temp);
        if (got) return (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

enum apiary_code ap_local_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    struct walk walk = {
        .local = local, .request = request, .prefix_size = strlen(request->prefix), .out = out
    };
    char path[AP_KEY_MAX + 2] = "";
    struct apiary_error local_error;
    AP_AUTO_FD root = -1;
    if (!err) err = &local_error;
    enum apiary_code code = ap_local_root(local, false, &root, err);
    if (code == APIARY_NOT_FOUND) { /* nothing was written yet */
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        out->now_us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
        return APIARY_OK;
    }
    if (code != APIARY_OK) return code;

    /* Straight to the last whole folder of the prefix. */
    const char *slash = strrchr(request->prefix, '/');
    size_t base = slash ? (size_t)(slash - request->prefix) : 0;
    int fd = -1;
    memcpy(path, request->prefix, base);
    path[base] = 0;
    int error = base ? ap_local_open_beneath(local, root, path, O_RDONLY | O_DIRECTORY, &fd)
                     : ap_local_open_beneath(local, root, ".", O_RDONLY | O_DIRECTORY, &fd);
    if (error == ELOOP)
        return ap_fail(
            err, APIARY_DENIED, "list prefix '%s' goes through a symbolic link", request->prefix);
    if (error && error != ENOENT && error != ENOTDIR && error != ENAMETOOLONG)
        return ap_fail_errno(err, error, "cannot list %s/%s", local->root, path);
    bool hidden = path[0] == '.' || strstr(path, "/.");
    if (!error && hidden) close(fd);
    if (!error && !hidden) {
        if (base) memcpy(path + base++, "/", 2);
        AP_TRY(walk_directory(&walk, fd, path, base, 0, err));
    }
    out->more = walk.full;
    out->now_us = store_clock_us(local, root);
    return APIARY_OK;
}
