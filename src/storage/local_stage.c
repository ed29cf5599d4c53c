/* Temporary files of a local root, and the moment in which one becomes an object.
 *
 * An object gets its name only when its bytes are on the disk, and by one system call:
 *   link()      new objects: fails when the name is taken; so exactly one of any number of racing
 *               writers wins, and no reader ever sees a part
 *   renameat2(RENAME_NOREPLACE)   the same where the file system has no hard links
 *   rename()    overwriting
 * Then the directory is made durable. Bare O_EXCL was tried and rejected: losers read halves.
 *
 * Invariants
 *  (1) An fsync that failed is the end of that file: it is dropped, never synced again.
 *  (2) After the link nothing may say "not written": what fails then is UNCERTAIN.
 *  (3) On NFS the answer to a link can be lost and the repeated request then says EEXIST:
 *      two names of the temporary file prove that the link is ours.
 *  (4) CONFLICT is said only after the winner's name was made durable as well. */
#include "storage/local_private.h"

#include "core/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum {
    NAME_TRIES_MAX = 8,
    SWEEP_MAX = 1000,
    STALE_SECONDS = 3600,
    STALE_STAGE_SECONDS = 24 * 3600, /* a long export may have closed some of its files meanwhile */
};

/* ---- temporary files ---- */

void ap_local_temp_done(struct ap_local_temp *temp)
{
    if (temp->name[0]) unlinkat(temp->dir_fd, temp->name, 0);
    if (temp->fd >= 0) close(temp->fd);
    if (temp->dir_fd >= 0) close(temp->dir_fd);
    *temp = AP_LOCAL_TEMP_NONE;
}

/* A stage may be old and still be written: it is locked as long as anybody has it open. */
static bool in_use(int dir_fd, const char *name)
{
    AP_AUTO_FD fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0;
}

/* Removes what crashed writers left behind. Best effort. */
static void sweep(int dir_fd)
{
    struct timespec now;
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (!dir) {
        if (copy >= 0) close(copy);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    struct dirent *entry;
    for (int i = 0; i < SWEEP_MAX && (entry = readdir(dir));) {
        struct stat info;
        if (entry->d_name[0] == '.') continue;
        i++;
        if (fstatat(dir_fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(info.st_mode))
            continue;
        bool stage = strncmp(entry->d_name, "stage-", 6) == 0;
        int64_t age = now.tv_sec - info.st_mtim.tv_sec;
        if (age < (stage ? STALE_STAGE_SECONDS : STALE_SECONDS) || in_use(dir_fd, entry->d_name))
            continue;
        unlinkat(dir_fd, entry->d_name, 0);
    }
    closedir(dir);
}

static int open_temp_dir(struct ap_local *local, int root_fd, int *fd)
{
    for (int i = 0; i < NAME_TRIES_MAX; i++) {
        int error =
            ap_local_open_beneath(local, root_fd, AP_LOCAL_TEMP_DIR, O_RDONLY | O_DIRECTORY, fd);
        if (error != ENOENT) return error;
        if (mkdirat(root_fd, AP_LOCAL_TEMP_DIR, 0777) != 0 && errno != EEXIST) return errno;
    }
    return ENOENT;
}

enum apiary_code ap_local_temp_make(struct ap_local *local, int root_fd, const char *kind,
    struct ap_local_temp *temp, struct apiary_error *err)
{
    struct ap_local_temp made = AP_LOCAL_TEMP_NONE;
    int error = open_temp_dir(local, root_fd, &made.dir_fd);
    if (error) return ap_fail_errno(err, error, "cannot write to storage %s", local->root);
    if (!local->swept) {
        local->swept = true;
        sweep(made.dir_fd);
    }
    for (int i = 0; i < NAME_TRIES_MAX && made.fd < 0; i++) {
        snprintf(made.name, sizeof made.name, "%s-%016llx%08x", kind,
            (unsigned long long)ap_random_u64(local->store.env), (unsigned)getpid());
        made.fd = openat(
            made.dir_fd, made.name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        error = made.fd < 0 ? errno : 0;
        if (error && error != EEXIST) break;
    }
    if (error) {
        made.name[0] = 0;
        ap_local_temp_done(&made);
        return ap_fail_errno(err, error, "cannot write to storage %s", local->root);
    }
    (void)flock(made.fd, LOCK_SH | LOCK_NB);
    *temp = made;
    return APIARY_OK;
}

/* ---- naming ---- */

/* Gives the temporary file the name `leaf` in dir unless it is taken. 0, EEXIST or another errno;
 * EOPNOTSUPP when the file system can do neither. */
static int name_new(struct ap_local *local, struct ap_local_temp *temp, int dir, const char *leaf)
{
    if (!local->no_links) {
        struct stat info;
        if (linkat(temp->dir_fd, temp->name, dir, leaf, 0) == 0) return 0;
        int error = errno;
        if (error == ENOENT || error == ENOTDIR)
            return error; /* the folder is gone: nothing was linked */
        if (fstat(temp->fd, &info) == 0 && info.st_nlink == 2) return 0;
        if (error != EPERM && error != EOPNOTSUPP && error != EMLINK && error != ENOSYS)
            return error;
    }
    if (renameat2(temp->dir_fd, temp->name, dir, leaf, RENAME_NOREPLACE) == 0) {
        temp->name[0] = 0;
        return 0;
    }
    return errno == EINVAL || errno == ENOSYS ? EOPNOTSUPP : errno;
}

static int name_over(struct ap_local_temp *temp, int dir, const char *leaf)
{
    if (renameat(temp->dir_fd, temp->name, dir, leaf) != 0) return errno;
    temp->name[0] = 0;
    return 0;
}

static bool is_directory(int dir, const char *leaf)
{
    struct stat info;
    return fstatat(dir, leaf, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(info.st_mode);
}

/* Errors after which the request may have been carried out all the same. */
static bool answer_lost(int error)
{
    return error == EIO || error == ETIMEDOUT || error == ESTALE || error == EREMOTEIO ||
           error == EINTR;
}

static enum apiary_code fail_taken(
    struct ap_local *local, int dir, const char *key, bool lasting, struct apiary_error *err)
{
    int error = ap_local_sync(local, dir, lasting);
    if (error)
        return ap_fail(err, APIARY_UNCERTAIN,
            "object %s/%s exists but its folder cannot be synced: %s", local->root, key,
            strerror(error));
    return ap_fail(err, APIARY_CONFLICT, "object %s/%s exists", local->root, key);
}

static enum apiary_code fail_place(struct ap_local *local, const char *key, enum ap_local_place how,
    int error, struct apiary_error *err)
{
    switch (error) {
        case EOPNOTSUPP:
            __atomic_store_n(&local->store.shared_writing, false, __ATOMIC_RELAXED);
            ap_fail(err, APIARY_UNSUPPORTED,
                "the file system of %s has neither hard links nor exclusive rename: shared writing "
                "is refused",
                local->root);
            return ap_hint(err, "put the storage on ext4, xfs, btrfs, tmpfs or NFSv4");
        case EISDIR:
        case ENOTEMPTY:
            return ap_fail(err, APIARY_INVALID, "object key '%s': there are objects below it", key);
        case ENAMETOOLONG:
            return ap_fail(err, APIARY_INVALID, "object key '%s': its last part is too long", key);
        case EXDEV:
            return ap_fail(err, APIARY_INVALID,
                "the folder of %s/%s is on another file system than %s", local->root, key,
                local->root);
        case ENOENT:
            return ap_fail(
                err, APIARY_IO, "cannot write %s/%s: its folder vanishes", local->root, key);
        default: break;
    }
    if (how == AP_PLACE_NEW && answer_lost(error))
        return ap_fail(err, APIARY_UNCERTAIN, "the answer to writing %s/%s was lost: %s",
            local->root, key, strerror(error));
    return ap_fail_errno(err, error, "cannot write %s/%s", local->root, key);
}

/* One try in an open folder. ENOENT and EAGAIN: open the folder again and repeat. */
static int place_once(struct ap_local *local, struct ap_local_temp *temp, int dir, const char *leaf,
    enum ap_local_place how)
{
    int error = how == AP_PLACE_NEW ? name_new(local, temp, dir, leaf) : name_over(temp, dir, leaf);
    if ((error != EEXIST && error != EISDIR && error != ENOTEMPTY) || !is_directory(dir, leaf))
        return error;
    /* A folder is no object. An empty one is a left-over and makes room. */
    return unlinkat(dir, leaf, AT_REMOVEDIR) == 0 || errno == ENOENT ? EAGAIN : EISDIR;
}

static bool is_removed(const struct ap_local_temp *temp)
{
    struct stat info;
    return fstat(temp->fd, &info) == 0 && info.st_nlink == 0;
}

enum apiary_code ap_local_place(struct ap_local *local, int root_fd, struct ap_local_temp *temp,
    const char *key, enum ap_local_place how, bool lasting, struct apiary_error *err)
{
    int error = ENOENT;
    for (int i = 0; i < AP_LOCAL_TRIES_MAX && (error == ENOENT || error == EAGAIN); i++) {
        AP_AUTO_FD dir = -1;
        const char *leaf = NULL;
        AP_TRY(ap_local_parent(local, root_fd, key, lasting, &dir, &leaf, err));
        error = place_once(local, temp, dir, leaf, how);
        if (error == EEXIST) return fail_taken(local, dir, key, lasting, err);
        if (error == ENOENT && is_removed(temp))
            return ap_fail(err, APIARY_IO, "cannot write %s/%s: its temporary file was removed", local->root, key);
        if (error) continue;
        if (temp->name[0]) unlinkat(temp->dir_fd, temp->name, 0);
        temp->name[0] = 0;
        error = ap_local_sync(local, dir, lasting);
        if (error == 0) return APIARY_OK;
        return ap_fail(err, how == AP_PLACE_NEW ? APIARY_UNCERTAIN : APIARY_IO,
            "%s/%s is written but its folder cannot be synced: %s", local->root, key,
            strerror(error));
    }
    return fail_place(local, key, how, error, err);
}

enum apiary_code ap_local_check_absent(
    struct ap_local *local, int root_fd, const char *key, bool lasting, struct apiary_error *err)
{
    struct stat info;
    AP_AUTO_FD dir = -1;
    const char *leaf = NULL;
    AP_TRY(ap_local_parent(local, root_fd, key, lasting, &dir, &leaf, err));
    if (fstatat(dir, leaf, &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode))
        return APIARY_OK;
    return fail_taken(local, dir, key, lasting, err);
}

/* ---- stages ---- */

enum apiary_code ap_local_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    AP_AUTO(ap_local_temp) temp = AP_LOCAL_TEMP_NONE;
    AP_AUTO_FD root = -1;
    AP_TRY(ap_local_root(local, true, &root, err));
    size_t size = strlen(local->root) + sizeof AP_LOCAL_TEMP_DIR + sizeof temp.name + 2;
    struct ap_stage *stage = ap_calloc(1, sizeof *stage);
    char *path = stage ? ap_calloc(1, size) : NULL;
    enum apiary_code code = path ? ap_local_temp_make(local, root, "stage", &temp, err)
                                 : ap_fail_memory(err, "a stage");
    if (code != APIARY_OK) {
        ap_free(path);
        ap_free(stage);
        return code;
    }
    snprintf(path, size, "%s/%s/%s", strcmp(local->root, "/") == 0 ? "" : local->root,
        AP_LOCAL_TEMP_DIR, temp.name);
    *stage = (struct ap_stage) { .store = store, .fd = temp.fd, .path = path };
    temp.fd = -1;
    temp.name[0] = 0;
    *out = stage;
    return APIARY_OK;
}

enum apiary_code ap_local_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    struct stat info;
    struct ap_local_temp temp = AP_LOCAL_TEMP_NONE;
    AP_AUTO_FD root = -1, temp_dir = -1;
    if (!stage->path)
        return ap_fail(
            err, APIARY_INVALID, "the staged file of '%s' was committed already or is lost", key);
    AP_TRY(ap_local_root(local, true, &root, err));
    AP_TRY(ap_local_check_absent(local, root, key, true, err));
    int error = open_temp_dir(local, root, &temp_dir);
    if (!error) error = ap_local_sync(local, stage->fd, true);
    if (!error && fstat(stage->fd, &info) != 0) error = errno;
    if (error) {
        unlink(stage->path); /* invariant 1 */
        ap_free(stage->path);
        stage->path = NULL;
        return ap_fail_errno(err, error, "cannot write %s/%s", local->root, key);
    }
    temp.dir_fd = temp_dir;
    temp.fd = stage->fd;
    snprintf(temp.name, sizeof temp.name, "%s", strrchr(stage->path, '/') + 1);
    enum apiary_code code = ap_local_place(local, root, &temp, key, AP_PLACE_NEW, true, err);
    if (temp.name[0] == 0) { /* it has its name, whatever the folder's sync said */
        ap_free(stage->path);
        stage->path = NULL;
    }
    if (code == APIARY_OK) ap_local_describe(&info, object);
    return code;
}
