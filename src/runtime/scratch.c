/* Scratch folders, and who may remove them.
 *
 *   DIR/pool-ID.lock   OFD-locked by its owner for as long as the owner lives
 *   DIR/pool-ID/N/     what chamber N spills
 *
 * The lock file comes first and goes last, so a folder without a held lock has no owner.
 * A sweeper that wins the lock of a file just being made removes it; the maker then sees
 * that its file has no name any more and takes another ID. */
#include "core/alloc.h"
#include "core/id.h"
#include "runtime/pool_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 32, TRIES_MAX = 16, SWEEP_MAX = 1000 };

struct ap_scratch {
    char *folder;
    char *lock_path;
    int lock_fd;
};

static bool lock_file(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static void remove_below(int parent, const char *name, int depth)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || depth >= DEPTH_MAX) {
        if (fd >= 0) close(fd);
        unlinkat(parent, name, 0);
        return;
    }
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            remove_below(dirfd(dir), entry->d_name, depth + 1);
    }
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

void ap_scratch_remove(const char *path)
{
    remove_below(AT_FDCWD, path, 0);
}

static char *join(const char *dir, const char *name, const char *end)
{
    size_t size = strlen(dir) + strlen(name) + strlen(end) + 2;
    char *path = ap_realloc(NULL, size);
    if (path) snprintf(path, size, "%s/%s%s", dir, name, end);
    return path;
}

/* mkdir -p; folders that are made are the user's alone. */
static enum apiary_code make_folders(const char *path, struct apiary_error *err)
{
    AP_AUTO_FREE char *copy = ap_strdup(path);
    if (!copy) return ap_fail_memory(err, "a scratch path");
    for (char *at = copy + 1;; at++) {
        char here = *at;
        if (here != '/' && here != 0) continue;
        *at = 0;
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return ap_fail_errno(err, errno, "cannot make the scratch folder %s", copy);
        *at = here;
        if (here == 0) return APIARY_OK;
    }
}

/* A folder at a name that others can foresee may have been made by them: who owns it could
 * put another in the place of ours. */
static enum apiary_code check_owner(const char *dir, struct apiary_error *err)
{
    struct stat info;
    if (stat(dir, &info) != 0)
        return ap_fail_errno(err, errno, "cannot look at the scratch folder %s", dir);
    if (!S_ISDIR(info.st_mode))
        return ap_fail(err, APIARY_DENIED, "the scratch folder %s is no folder", dir);
    bool open_to_others = (info.st_mode & (S_IWGRP | S_IWOTH)) && !(info.st_mode & S_ISVTX);
    if ((info.st_uid != geteuid() && info.st_uid != 0) || open_to_others) {
        ap_fail(err, APIARY_DENIED,
            "the folder %s belongs to another user, or others may write into it", dir);
        ap_hint(err, "set scratch_dir to a folder of your own");
        return APIARY_DENIED;
    }
    return APIARY_OK;
}

enum apiary_code ap_scratch_own_folder(const char *dir, struct apiary_error *err)
{
    AP_TRY(make_folders(dir, err));
    return check_owner(dir, err);
}

enum apiary_code ap_scratch_open(
    struct ap_env *env, const char *dir, struct ap_scratch **out, struct apiary_error *err)
{
    AP_TRY(ap_scratch_own_folder(dir, err));
    struct ap_scratch *scratch = ap_calloc(1, sizeof *scratch);
    if (!scratch) return ap_fail_memory(err, "a scratch folder");
    scratch->lock_fd = -1;
    enum apiary_code code = APIARY_IO;
    for (int try = 0; try < TRIES_MAX && code != APIARY_OK; try++) {
        char id[AP_ID_TEXT_SIZE], name[AP_ID_TEXT_SIZE + 8];
        ap_id_random(env, id);
        snprintf(name, sizeof name, "pool-%s", id);
        AP_AUTO_FREE char *lock_path = join(dir, name, ".lock");
        if (!lock_path) {
            code = ap_fail_memory(err, "a scratch path");
            break;
        }
        int fd = open(lock_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            code = ap_fail_errno(err, errno, "cannot write into the scratch folder %s", dir);
            break;
        }
        struct stat info;
        if (!lock_file(fd) || fstat(fd, &info) != 0 || info.st_nlink == 0) {
            close(fd); /* a sweeper was quicker */
            unlink(lock_path);
            continue;
        }
        scratch->lock_fd = fd;
        scratch->lock_path = AP_TAKE(lock_path);
        scratch->folder = join(dir, name, "");
        if (!scratch->folder)
            code = ap_fail_memory(err, "a scratch path");
        else if (mkdir(scratch->folder, 0700) != 0)
            code = ap_fail_errno(err, errno, "cannot make the scratch folder %s", scratch->folder);
        else
            code = APIARY_OK;
        break;
    }
    if (code != APIARY_OK) {
        if (scratch->lock_fd < 0 && code == APIARY_IO && err && err->code == 0)
            ap_fail(err, APIARY_IO, "cannot lock a scratch folder in %s", dir);
        ap_scratch_close(scratch);
        return code;
    }
    *out = scratch;
    return APIARY_OK;
}

void ap_scratch_close(struct ap_scratch *scratch)
{
    if (!scratch) return;
    if (scratch->folder) ap_scratch_remove(scratch->folder);
    if (scratch->lock_path) unlink(scratch->lock_path);
    if (scratch->lock_fd >= 0) close(scratch->lock_fd);
    ap_free(scratch->folder);
    ap_free(scratch->lock_path);
    ap_free(scratch);
}

enum apiary_code ap_pool_scratch(
    struct ap_pool *pool, struct ap_scratch **out, struct apiary_error *err)
{
    return ap_scratch_open(pool->env, pool->scratch_dir, out, err);
}

const char *ap_scratch_path(const struct ap_scratch *scratch)
{
    return scratch->folder;
}

enum apiary_code ap_scratch_folder(
    struct ap_scratch *scratch, uint64_t number, char **out, struct apiary_error *err)
{
    char name[32];
    snprintf(name, sizeof name, "%" PRIu64, number);
    AP_AUTO_FREE char *path = join(scratch->folder, name, "");
    if (!path) return ap_fail_memory(err, "a scratch path");
    if (mkdir(path, 0700) != 0)
        return ap_fail_errno(err, errno, "cannot make the scratch folder %s", path);
    *out = AP_TAKE(path);
    return APIARY_OK;
}

enum apiary_code ap_scratch_unnamed(
    const struct ap_scratch *scratch, int *fd, struct apiary_error *err)
{
    int made = open(scratch->folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (made < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
        /* A file system without unnamed files: named for a moment, in a folder that is ours alone. */
        AP_AUTO_FREE char *path = join(scratch->folder, "unnamed-XXXXXX", "");
        if (!path) return ap_fail_memory(err, "a scratch path");
        made = mkostemp(path, O_CLOEXEC);
        if (made >= 0) unlink(path);
    }
    if (made < 0)
        return ap_fail_errno(err, errno, "cannot make a file in the scratch folder %s", scratch->folder);
    *fd = made;
    return APIARY_OK;
}

static void sweep_one(const char *dir, const char *name)
{
    AP_AUTO_FREE char *lock_path = join(dir, name, "");
    AP_AUTO_FREE char *folder = join(dir, name, "");
    if (!lock_path || !folder) return;
    folder[strlen(folder) - strlen(".lock")] = 0;
    int fd = open(lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return;
    struct stat info;
    if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == geteuid() &&
        lock_file(fd)) {
        ap_scratch_remove(folder);
        unlink(lock_path);
    }
    close(fd);
}

void ap_scratch_sweep(const char *dir)
{
    DIR *list = opendir(dir);
    if (!list) return;
    struct dirent *entry;
    for (int n = 0; n < SWEEP_MAX && (entry = readdir(list)); n++) {
        struct ap_str name = ap_str_from(entry->d_name);
        if (ap_str_starts_with(name, AP_STR("pool-")) && ap_str_ends_with(name, AP_STR(".lock")))
            sweep_one(dir, entry->d_name);
    }
    closedir(list);
}
