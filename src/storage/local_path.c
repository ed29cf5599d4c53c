/* Names to descriptors on a local root, never leaving it.
 *
 * The kernel keeps the promise (openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS); where it has
 * no openat2, or a container forbids it, paths are walked part by part with O_NOFOLLOW, which
 * gives the same because a key holds no "..". */
#include "storage/local_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OPEN_TRIES_MAX = 16 };

void ap_fd_close(const int *fd)
{
    if (*fd >= 0) close(*fd);
}

int ap_local_sync(struct ap_local *local, int fd, bool lasting)
{
    if (!lasting || !local->fsync || fsync(fd) == 0) return 0;
    /* Some network and user-space file systems cannot sync directories; they say so. */
    return errno == EINVAL || errno == ENOTSUP ? 0 : errno;
}

void ap_local_describe(const struct stat *info, struct ap_object *out)
{
    memset(out, 0, sizeof *out);
    out->size = (uint64_t)info->st_size;
    out->modified_us = (int64_t)info->st_mtim.tv_sec * 1000000 + info->st_mtim.tv_nsec / 1000;
    snprintf(out->etag, sizeof out->etag, "%llx-%llx%09lx-%llx", (unsigned long long)info->st_ino,
        (unsigned long long)info->st_mtim.tv_sec, (unsigned long)info->st_mtim.tv_nsec,
        (unsigned long long)info->st_size);
}

/* ---- opening beneath ---- */

/* ELOOP when `name` is a symbolic link, else the error that was. */
static int blame_link(int dir, const char *name, int error)
{
    struct stat info;
    if ((error == ENOTDIR || error == ELOOP) &&
        fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(info.st_mode))
        return ELOOP;
    return error;
}

static int open_walking(int root_fd, const char *path, int flags, int *fd)
{
    int dir = root_fd;
    for (const char *at = path;;) {
        char name[NAME_MAX + 1];
        size_t size = strcspn(at, "/");
        if (size > NAME_MAX) {
            if (dir != root_fd) close(dir);
            return ENAMETOOLONG;
        }
        memcpy(name, at, size);
        name[size] = 0;
        at += size;
        bool last = !*at;
        int next = openat(dir, name,
            last ? flags | O_NOFOLLOW | O_CLOEXEC : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int error = next < 0 ? blame_link(dir, name, errno) : 0;
        if (dir != root_fd) close(dir);
        if (error) return error;
        if (last) {
            *fd = next;
            return 0;
        }
        dir = next;
        at++;
    }
}

int ap_local_open_beneath(struct ap_local *local, int root_fd, const char *path, int flags, int *fd)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC | O_NOFOLLOW),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    for (int i = 0; i < OPEN_TRIES_MAX && !local->no_openat2; i++) {
        long got = syscall(SYS_openat2, root_fd, path, &how, sizeof how);
        if (got >= 0) {
            *fd = (int)got;
            return 0;
        }
        if (errno == EAGAIN || errno == EINTR) continue; /* a rename somewhere on the way */
        if (errno == EXDEV) return ELOOP;
        if (errno == ENOTDIR) break; /* walking tells a link from a file */
        if (errno != ENOSYS && errno != EPERM) return errno;
        local->no_openat2 = true; /* old containers answer EPERM to calls that they do not know */
    }
    return open_walking(root_fd, path, flags, fd);
}

/* ---- the root ---- */

/* Makes a directory and those above it, and makes them durable. */
static enum apiary_code make_root(struct ap_local *local, struct apiary_error *err)
{
    char path[PATH_MAX];
    size_t size = strlen(local->root);
    if (size >= sizeof path)
        return ap_fail(err, APIARY_INVALID, "storage path is longer than %d bytes", PATH_MAX);
    memcpy(path, local->root, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != 0) continue;
        char kept = path[i];
        path[i] = 0;
        if (mkdir(path, 0777) == 0) {
            char *slash = strrchr(path, '/');
            *slash = 0;
            AP_AUTO_FD above = open(slash == path ? "/" : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            *slash = '/';
            int error = above < 0 ? errno : ap_local_sync(local, above, true);
            if (error) return ap_fail_errno(err, error, "cannot make the storage folder %s", path);
        } else if (errno != EEXIST && errno != EISDIR) {
            struct stat info;
            int error = errno;
            /* A read-only or closed parent is fine as long as the folder is there. */
            if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
                return ap_fail_errno(err, error, "cannot make the storage folder %s", path);
        }
        path[i] = kept;
    }
    return APIARY_OK;
}

enum apiary_code ap_local_root(
    struct ap_local *local, bool create, int *fd, struct apiary_error *err)
{
    int opened = open(local->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (opened < 0 && errno == ENOENT && create) {
        AP_TRY(make_root(local, err));
        opened = open(local->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (opened < 0 && errno == ENOTDIR)
        return ap_fail(err, APIARY_INVALID, "storage %s is not a directory", local->root);
    if (opened < 0) return ap_fail_errno(err, errno, "cannot open storage %s", local->root);
    *fd = opened;
    return APIARY_OK;
}

/* ---- parents ---- */

/* One step down. Made, or seen just after it was missing: either way its name is made durable. */
static int step_down(struct ap_local *local, int dir, const char *name, bool lasting, int *next)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (mkdirat(dir, name, 0777) != 0 && errno != EEXIST) return errno;
        int error = ap_local_sync(local, dir, lasting);
        if (error) return error;
        fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0) return blame_link(dir, name, errno);
    *next = fd;
    return 0;
}

static int make_parents(struct ap_local *local, int root_fd, const char *path, bool lasting, int *fd)
{
    int dir = root_fd;
    for (const char *at = path;;) {
        char name[NAME_MAX + 1];
        size_t size = strcspn(at, "/");
        int next = -1;
        int error = ENAMETOOLONG;
        if (size <= NAME_MAX) {
            memcpy(name, at, size);
            name[size] = 0;
            error = step_down(local, dir, name, lasting || dir == root_fd, &next); /* what lasts may follow into a folder of the root */
        }
        if (dir != root_fd) close(dir);
        if (error) return error;
        at += size;
        if (!*at) {
            *fd = next;
            return 0;
        }
        at++;
        dir = next;
    }
}

enum apiary_code ap_local_parent(struct ap_local *local, int root_fd, const char *key, bool lasting,
    int *dir_fd, const char **leaf, struct apiary_error *err)
{
    int error = 0, fd = -1;
    const char *slash = strrchr(key, '/');
    if (!slash) {
        fd = fcntl(root_fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) error = errno;
    } else {
        char path[AP_KEY_MAX + 1];
        memcpy(path, key, (size_t)(slash - key));
        path[slash - key] = 0;
        error = ap_local_open_beneath(local, root_fd, path, O_RDONLY | O_DIRECTORY, &fd);
        /* A folder that was empty may be taken away by whoever deleted its last object. */
        for (int i = 0; error == ENOENT && i < AP_LOCAL_TRIES_MAX; i++)
            error = make_parents(local, root_fd, path, lasting, &fd);
    }
    if (error == ENOTDIR)
        return ap_fail(
            err, APIARY_INVALID, "object key '%s': a part of its path is an object", key);
    if (error == ENAMETOOLONG)
        return ap_fail(
            err, APIARY_INVALID, "object key '%s': a part is longer than %d bytes", key, NAME_MAX);
    if (error == ELOOP)
        return ap_fail(err, APIARY_DENIED,
            "object key '%s': its path in %s goes through a symbolic link", key, local->root);
    if (error) {
        enum apiary_code code =
            ap_fail_errno(err, error, "cannot make the folder of %s/%s", local->root, key);
        return code == APIARY_NOT_FOUND
                   ? ap_fail(err, APIARY_IO, "cannot make the folder of %s/%s: it vanishes",
                         local->root, key)
                   : code;
    }
    *dir_fd = fd;
    *leaf = slash ? slash + 1 : key;
    return APIARY_OK;
}
