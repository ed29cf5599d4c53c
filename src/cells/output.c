/* What a chamber writes: stages of a store, or files of the machine on their way (cells.h).
 *
 * Files of the machine are written into a hidden folder beside the path, so that the last step is a
 * rename on one file system: at `path` there is never half a file. A path that is a device or a
 * pipe is written as it is.
 *
 * Descriptors. A partitioned COPY makes thousands of files, and the host's process may have 1024
 * descriptors: beyond AP_OUT_OPEN_MAX those of files that were handed out before are closed
 * ("parked") and opened again by path when they are committed. */
#include "cells/cells_private.h"

#include "core/alloc.h"
#include "core/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOLDER_TRIES_MAX = 8, FTW_DESCRIPTORS = 16 };

/* ---- life ---- */

/* The number in a name of one of the process's own descriptors, or -1. What they lead to may be a
 * regular file (the shell's ">"): it is written at its position, not replaced. */
static int own_descriptor(const char *path)
{
    static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
    if (strcmp(path, "/dev/stdout") == 0) return STDOUT_FILENO;
    if (strcmp(path, "/dev/stderr") == 0) return STDERR_FILENO;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        uint64_t number;
        size_t size = strlen(folders[i]);
        if (strncmp(path, folders[i], size) != 0) continue;
        if (ap_str_to_u64(ap_str_from(path + size), &number) && number <= INT_MAX)
            return (int)number;
    }
    return -1;
}

enum apiary_code ap_cell_set_add_output(struct ap_cell_set *set, struct ap_store *store,
    const char *path, size_t *number, struct apiary_error *err)
{
    struct ap_output output = { .store = store };
    struct stat info;
    char real[PATH_MAX];
    bool is_link = false;
    if (!store && (!path || !*path))
        return ap_fail(err, APIARY_INVALID, "the path to write to is empty");
    if (!store) {
        bool own = own_descriptor(path) >= 0;
        /* A link is followed now: the file that it means is replaced, not the link. */
        is_link = !own && lstat(path, &info) == 0 && S_ISLNK(info.st_mode) && realpath(path, real);
        output.path = ap_strdup(is_link ? real : path);
        if (!output.path) return ap_fail_memory(err, "an output");
        output.direct = own || (stat(output.path, &info) == 0 && !S_ISREG(info.st_mode) &&
                                   !S_ISDIR(info.st_mode));
        size_t size = strlen(output.path);
        while (size > 1 && output.path[size - 1] == '/') output.path[--size] = 0;
    }
    ap_lock(set->env, set->lock);
    enum apiary_code code = AP_GROW(set->outputs, set->output_capacity, set->output_count + 1, err);
    if (code == APIARY_OK) {
        *number = set->output_count;
        set->outputs[set->output_count++] = output;
    }
    ap_unlock(set->env, set->lock);
    if (code != APIARY_OK) ap_free(output.path);
    return code;
}

/* Closes and removes what was not committed. */
static void file_done(struct ap_output *output, struct ap_out_file *file)
{
    if (file->fd >= 0 || (file->stage && file->stage->fd >= 0)) output->open--;
    ap_stage_close(file->stage);
    if (file->fd >= 0) close(file->fd);
    if (file->path && !output->direct) unlink(file->path);
    ap_free(file->path);
    ap_free(file->name);
    ap_free(file->key);
    memset(file, 0, sizeof *file);
    file->fd = -1;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    (void)remove(path);
    return 0;
}

void ap_output_done(struct ap_output *output)
{
    for (size_t i = 0; i < output->count; i++) file_done(output, &output->files[i]);
    if (output->folder)
        nftw(output->folder, remove_one, FTW_DESCRIPTORS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    ap_free(output->files);
    ap_free(output->path);
    ap_free(output->folder);
    memset(output, 0, sizeof *output);
}

/* ---- finding ---- */

static struct ap_out_file *find(const struct ap_output *output, const char *name)
{
    for (size_t i = 0; i < output->count; i++)
        if (strcmp(output->files[i].name, name) == 0) return &output->files[i];
    return NULL;
}

static bool is_folder(const struct ap_output *output, const char *name)
{
    size_t size = strlen(name);
    if (size == 0) return true;
    for (size_t i = 0; i < output->count; i++) {
        const char *file = output->files[i].name;
        if (strncmp(file, name, size) == 0 && file[size] == '/') return true;
    }
    return false;
}

/* A file cannot lie below another file. */
static bool below_file(const struct ap_output *output, const char *name)
{
    char above[AP_VIRTUAL_PATH_MAX + 1];
    snprintf(above, sizeof above, "%s", name);
    for (char *slash = strrchr(above, '/'); slash; slash = strrchr(above, '/')) {
        *slash = 0;
        if (find(output, above)) return true;
    }
    return false;
}

/* ---- creating ---- */

static enum apiary_code folder_make(
    struct ap_cell_set *set, struct ap_output *output, struct apiary_error *err)
{
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    const char *slash = strrchr(output->path, '/');
    const char *base = slash ? slash + 1 : output->path;
    size_t above = slash ? (size_t)(slash + 1 - output->path) : 0,
           size = strlen(output->path) + sizeof hex + 16;
    if (output->folder) return APIARY_OK;
    for (int i = 0; i < FOLDER_TRIES_MAX; i++) {
        AP_AUTO_FREE char *folder = ap_calloc(1, size);
        if (!folder) return ap_fail_memory(err, "an output");
        ap_random(set->env, random, sizeof random);
        ap_hex(random, sizeof random, hex);
        /* 200 bytes of the name are enough to know it by; the whole might be too long with the
         * rest. */
        snprintf(folder, size, "%.*s.%.200s.%s.tmp", (int)above, output->path, base, hex);
        if (mkdir(folder, 0700) == 0) {
            output->folder = AP_TAKE(folder);
            return APIARY_OK;
        }
        if (errno != EEXIST) break;
    }
    return ap_fail_errno(err, errno, "cannot write %s", output->path);
}

static enum apiary_code file_make(struct ap_cell_set *set, struct ap_output *output,
    struct ap_out_file *file, struct apiary_error *err)
{
    if (output->store) return ap_store_stage(output->store, &file->stage, err);
    if (output->direct) {
        int own = own_descriptor(output->path);
        file->fd = own >= 0 ? fcntl(own, F_DUPFD_CLOEXEC, 0)
                            : open(output->path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        return file->fd >= 0 ? APIARY_OK
                             : ap_fail_errno(err, errno, "cannot write %s", output->path);
    }
    AP_TRY(folder_make(set, output, err));
    size_t size = strlen(output->folder) + 24;
    file->path = ap_calloc(1, size);
    if (!file->path) return ap_fail_memory(err, "an output");
    snprintf(file->path, size, "%s/%zu", output->folder, output->named++);
    file->fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file->fd >= 0) return APIARY_OK;
    enum apiary_code code = ap_fail_errno(err, errno, "cannot write %s", output->path);
    ap_free(file->path);
    file->path = NULL;
    return code;
}

static int *descriptor(struct ap_out_file *file)
{
    return file->stage ? &file->stage->fd : &file->fd;
}

static const char *path_of(const struct ap_out_file *file)
{
    return file->stage ? file->stage->path : file->path;
}

/* Opens what was parked. */
static enum apiary_code unpark(
    struct ap_output *output, struct ap_out_file *file, struct apiary_error *err)
{
    int *fd = descriptor(file);
    if (*fd >= 0) return APIARY_OK;
    if (!path_of(file))
        return ap_fail(err, APIARY_INVALID, "the output %s was written already", file->name);
    *fd = open(path_of(file), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (*fd < 0) return ap_fail_errno(err, errno, "the written file %s is lost", file->name);
    output->open++;
    return APIARY_OK;
}

static void park_others(struct ap_output *output, const struct ap_out_file *but)
{
    for (size_t i = 0; i < output->count && output->open > AP_OUT_OPEN_MAX; i++) {
        struct ap_out_file *file = &output->files[i];
        int *fd = descriptor(file);
        if (file == but || *fd < 0 || !path_of(file)) continue;
        close(*fd);
        *fd = -1;
        output->open--;
    }
}

static enum apiary_code create(struct ap_cell_set *set, struct ap_output *output, const char *name,
    struct ap_out_file **out, struct apiary_error *err)
{
    struct ap_out_file file = { .fd = -1 };
    if (output->count >= AP_OUT_FILES_MAX)
        return ap_fail(err, APIARY_LIMIT, "a statement writes at most %d files", AP_OUT_FILES_MAX);
    AP_TRY(AP_GROW(output->files, output->capacity, output->count + 1, err));
    file.name = ap_strdup(name);
    if (!file.name) return ap_fail_memory(err, "an output");
    enum apiary_code code = file_make(set, output, &file, err);
    if (code != APIARY_OK) {
        ap_free(file.name);
        return code;
    }
    output->files[output->count] = file;
    output->open++;
    *out = &output->files[output->count++];
    park_others(output, *out);
    return APIARY_OK;
}

/* ---- questions ---- */

int ap_output_open(struct ap_cell_set *set, struct ap_output *output, const char *name, int flags,
    int *fd, uint64_t *size)
{
    struct apiary_error err = { 0 };
    struct stat info;
    struct ap_out_file *file = find(output, name);
    if (!file && is_folder(output, name)) return EISDIR;
    if (!file && !(flags & O_CREAT)) return ENOENT;
    if (!file && below_file(output, name)) return ENOTDIR;
    if (file && (flags & O_CREAT) && (flags & O_EXCL)) return EEXIST;
    enum apiary_code code = APIARY_OK;
    if (!file) code = create(set, output, name, &file, &err);
    if (code == APIARY_OK) code = unpark(output, file, &err);
    if (code != APIARY_OK) return ap_cell_set_fail(set, code, &err);
    int own = *descriptor(file), opened = -1, error = 0;
    if ((flags & O_TRUNC) && !output->direct && ftruncate(own, 0) != 0) error = errno;
    if (output->direct) {
        opened = fcntl(own, F_DUPFD_CLOEXEC, 0);
        if (opened < 0) error = errno;
    } else if (!error) {
        /* What was sent ahead must stay as it is: every write goes to the end. */
        error = ap_fd_again(own, path_of(file), output->store ? flags | O_APPEND : flags, &opened);
    }
    if (error) {
        code = ap_fail_errno(&err, error, "cannot write %s", output->path ? output->path : name);
        return ap_cell_set_fail(set, code, &err);
    }
    *size = fstat(opened, &info) == 0 ? (uint64_t)info.st_size : 0;
    *fd = opened;
    return 0;
}

int ap_output_stat(
    const struct ap_output *output, const char *name, uint64_t *size, bool *directory)
{
    struct stat info;
    const struct ap_out_file *file = find(output, name);
    *size = 0;
    *directory = !file;
    if (!file) return is_folder(output, name) ? 0 : ENOENT;
    int own = file->stage ? file->stage->fd : file->fd;
    const char *path = path_of(file);
    if (own >= 0 ? fstat(own, &info) == 0 : path && stat(path, &info) == 0)
        *size = (uint64_t)info.st_size;
    return 0;
}

int ap_output_list(const struct ap_output *output, const char *name, struct ap_texts *names)
{
    char part[AP_VIRTUAL_PART_MAX + 2];
    size_t size = strlen(name);
    if (find(output, name)) return ENOTDIR;
    if (!is_folder(output, name)) return ENOENT;
    for (size_t i = 0; i < output->count; i++) {
        const char *file = output->files[i].name;
        if (size && (strncmp(file, name, size) != 0 || file[size] != '/')) continue;
        const char *rest = file + (size ? size + 1 : 0);
        size_t length = strcspn(rest, "/");
        int written =
            snprintf(part, sizeof part, "%.*s%s", (int)length, rest, rest[length] ? "/" : "");
        struct ap_str view = { part, (size_t)written };
        if (ap_texts_find(names, view) != SIZE_MAX) continue;
        if (ap_texts_add(names, view, NULL) != APIARY_OK) return ENOMEM;
    }
    return 0;
}

/* `name` is there. Waiting lets others in, so the file is looked for afterwards. */
static void forget(struct ap_cell_set *set, struct ap_output *output, const char *name)
{
    ap_sender_wait_locked(set, find(output, name)->stage);
    struct ap_out_file *file = find(output, name);
    if (!file) return;
    size_t at = (size_t)(file - output->files);
    file_done(output, file);
    memmove(file, file + 1, (output->count - at - 1) * sizeof *file);
    output->count--;
}

int ap_output_rename(
    struct ap_cell_set *set, struct ap_output *output, const char *from, const char *to)
{
    struct ap_out_file *file = find(output, from);
    if (!file) return is_folder(output, from) ? EACCES : ENOENT;
    if (strcmp(from, to) == 0) return 0;
    struct ap_out_file *there = find(output, to);
    if (!there && is_folder(output, to)) return EISDIR;
    if (!there && below_file(output, to)) return ENOTDIR;
    char *name = ap_strdup(to);
    if (!name) return ENOMEM;
    if (there) forget(set, output, to);
    file = find(output, from);
    if (file) {
        ap_free(file->name);
        file->name = name;
        return 0;
    }
    ap_free(name);
    return ENOENT;
}

int ap_output_unlink(struct ap_cell_set *set, struct ap_output *output, const char *name)
{
    struct ap_out_file *file = find(output, name);
    if (!file) return is_folder(output, name) ? EISDIR : ENOENT;
    forget(set, output, name);
    return 0;
}

/* ---- after the chamber ---- */

size_t ap_output_count(const struct ap_cell_set *set, size_t number)
{
    ap_assert(number < set->output_count);
    return set->outputs[number].count;
}

const char *ap_output_name(const struct ap_cell_set *set, size_t number, size_t index)
{
    ap_assert(number < set->output_count && index < set->outputs[number].count);
    return set->outputs[number].files[index].name;
}

const char *ap_output_key(const struct ap_cell_set *set, size_t number, size_t index)
{
    ap_assert(number < set->output_count && index < set->outputs[number].count);
    return set->outputs[number].files[index].key;
}

enum apiary_code ap_output_commit(struct ap_cell_set *set, size_t number, size_t index,
    const char *key, struct ap_object *object, struct apiary_error *err)
{
    ap_assert(number < set->output_count && index < set->outputs[number].count);
    struct ap_output *output = &set->outputs[number];
    struct ap_out_file *file = &output->files[index];
    ap_assert(output->store);
    if (!file->stage)
        return ap_fail(err, APIARY_INVALID, "the output %s was written already", file->name);
    AP_TRY(unpark(output, file, err));
    AP_TRY(ap_stage_commit(file->stage, key, object, err));
    ap_stage_close(file->stage);
    file->stage = NULL;
    output->open--;
    return APIARY_OK;
}

/* rename(2) that leaves what is there alone unless told otherwise. */
static int move(const char *from, const char *to, bool overwrite)
{
    if (overwrite) return rename(from, to) == 0 ? 0 : errno;
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    struct stat info;
    if (lstat(to, &info) == 0) return EEXIST;
    return rename(from, to) == 0 ? 0 : errno;
}

static enum apiary_code moved(int error, const char *path, struct apiary_error *err)
{
    switch (error) {
        case 0: return APIARY_OK;
        case EEXIST:
        case ENOTEMPTY: return ap_fail(err, APIARY_EXISTS, "%s exists", path);
        case EISDIR: return ap_fail(err, APIARY_EXISTS, "%s exists and is a folder", path);
        case ENOTDIR: return ap_fail(err, APIARY_EXISTS, "%s exists and is no folder", path);
        default: return ap_fail_errno(err, error, "cannot write %s", path);
    }
}

/* Makes the folders on the way to a file, below `root`. */
static int make_folders(char *path, size_t root)
{
    for (char *at = path + root; (at = strchr(at, '/')); at++) {
        *at = 0;
        int failed = mkdir(path, 0777) != 0 && errno != EEXIST ? errno : 0;
        *at = '/';
        if (failed) return failed;
    }
    return 0;
}

/* Bytes of the folder that all files lie in, with its slash; 0 when there is no such folder. */
static size_t common_folder(const struct ap_output *output)
{
    const char *first = output->files[0].name, *slash = strchr(first, '/');
    size_t size = slash ? (size_t)(slash - first) + 1 : 0;
    for (size_t i = 1; i < output->count && size; i++)
        if (strncmp(output->files[i].name, first, size) != 0) size = 0;
    return size;
}

/* The path becomes a folder that holds the files by their names. */
static enum apiary_code publish_folder(
    struct ap_output *output, bool overwrite, struct apiary_error *err)
{
    size_t skip = common_folder(output); /* stands for the path itself */
    AP_AUTO(ap_bytes) path = { 0 };
    AP_AUTO(ap_bytes) all = { 0 };
    AP_TRY(ap_bytes_printf(&all, err, "%s/all", output->folder));
    if (mkdir(ap_bytes_text(&all), 0777) != 0)
        return ap_fail_errno(err, errno, "cannot write %s", output->path);
    for (size_t i = 0; i < output->count; i++) {
        struct ap_out_file *file = &output->files[i];
        ap_bytes_clear(&path);
        AP_TRY(ap_bytes_printf(&path, err, "%s/%s", ap_bytes_text(&all), file->name + skip));
        int error = make_folders(path.data, all.size + 1);
        if (!error) error = move(file->path, path.data, false);
        if (error) return ap_fail_errno(err, error, "cannot write %s/%s", output->path, file->name);
        ap_free(file->path);
        file->path = NULL;
    }
    /* rename(2) puts a folder over an empty one, never over one that holds something. */
    return moved(move(ap_bytes_text(&all), output->path, overwrite), output->path, err);
}

enum apiary_code ap_output_publish(
    struct ap_cell_set *set, size_t number, bool overwrite, struct apiary_error *err)
{
    ap_assert(number < set->output_count);
    struct ap_output *output = &set->outputs[number];
    ap_assert(!output->store);
    if (output->direct || output->count == 0) return APIARY_OK;
    struct ap_out_file *first = &output->files[0];
    if (!first->path) return ap_fail(err, APIARY_INVALID, "%s was written already", output->path);
    if (output->count > 1 || strchr(first->name, '/'))
        return publish_folder(output, overwrite, err);
    AP_TRY(moved(move(first->path, output->path, overwrite), output->path, err));
    ap_free(first->path);
    first->path = NULL;
    return APIARY_OK;
}
