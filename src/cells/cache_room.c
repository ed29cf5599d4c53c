/* How much the cache may hold, and what goes. */
#include "cells/cache_private.h"

#include "core/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FREE_PART = 10 /* of the free disk */, KEEP_PERCENT = 90, FILES_MAX = 1000000, BLOCK = 512 };
#define LIMIT_MAX (UINT64_C(50) << 30)

void ap_cache_path(
    const struct ap_cache *cache, const char *id, const char *ending, char out[AP_CACHE_PATH_MAX])
{
    snprintf(out, AP_CACHE_PATH_MAX, "%s/%s%s", cache->dir, id, ending);
}

/* ---- the folder ---- */

static bool make_path(char *path)
{
    for (char *at = path + 1;; at++) {
        char was = *at;
        if (was && was != '/') continue;
        *at = 0;
        bool made = mkdir(path, 0700) == 0 || errno == EEXIST;
        *at = was;
        if (!made || !was) return made;
    }
}

enum apiary_code ap_cache_dir_make(struct ap_cache *cache, struct apiary_error *err)
{
    struct stat info;
    if (cache->dir_made) return APIARY_OK;
    if (!make_path(cache->dir) || stat(cache->dir, &info) != 0)
        return ap_fail_errno(err, errno, "cannot make the cache folder %s", cache->dir);
    if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022))
        return ap_fail(err, APIARY_DENIED,
            "the cache folder %s is not this user's alone: others may write into it", cache->dir);
    cache->dir_made = true;
    return APIARY_OK;
}

/* ---- what is there ---- */

struct file {
    char id[AP_CACHE_ID_SIZE + 1];
    uint64_t bytes; /* that it takes on the disk, its map too */
    int64_t used_us;
};
struct files {
    struct file *items;
    size_t count, capacity;
    uint64_t bytes;
};

static void files_done(struct files *files)
{
    ap_free(files->items);
}

/* {32 hex digits}.cell; whatever else lies in the folder is left alone. */
static bool is_ours(const char *name)
{
    return strspn(name, "0123456789abcdef") == AP_CACHE_ID_SIZE &&
           strcmp(name + AP_CACHE_ID_SIZE, ".cell") == 0;
}

static enum apiary_code look(
    const struct ap_cache *cache, struct files *files, struct apiary_error *err)
{
    char path[AP_CACHE_PATH_MAX];
    struct stat info;
    DIR *dir = opendir(cache->dir);
    if (!dir && errno == ENOENT) return APIARY_OK;
    if (!dir) return ap_fail_errno(err, errno, "cannot read the cache folder %s", cache->dir);
    enum apiary_code code = APIARY_OK;
    for (struct dirent *entry; code == APIARY_OK && (entry = readdir(dir));) {
        if (!is_ours(entry->d_name) || files->count >= FILES_MAX) continue;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
        code = AP_GROW(files->items, files->capacity, files->count + 1, err);
        if (code != APIARY_OK) break;
        struct file *file = &files->items[files->count++];
        *file = (struct file) { .bytes = (uint64_t)info.st_blocks * BLOCK,
            .used_us = (int64_t)info.st_mtim.tv_sec * 1000000 + info.st_mtim.tv_nsec / 1000 };
        memcpy(file->id, entry->d_name, AP_CACHE_ID_SIZE);
        ap_cache_path(cache, file->id, ".map", path);
        if (lstat(path, &info) == 0) file->bytes += (uint64_t)info.st_blocks * BLOCK;
        files->bytes += file->bytes;
    }
    closedir(dir);
    return code;
}

/* Removes a cached file unless somebody has it open. */
static bool drop(const struct ap_cache *cache, const char *id)
{
    char path[AP_CACHE_PATH_MAX];
    ap_cache_path(cache, id, ".cell", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return errno == ENOENT;
    bool gone = flock(fd, LOCK_EX | LOCK_NB) == 0 && unlink(path) == 0;
    if (gone) {
        ap_cache_path(cache, id, ".map", path);
        (void)!unlink(path);
    }
    close(fd);
    return gone;
}

static int by_use(const void *a, const void *b)
{
    const struct file *left = a, *right = b;
    return left->used_us < right->used_us ? -1 : left->used_us > right->used_us;
}

/* Removes the longest unused until at most `keep` bytes are held. Returns what is held then. */
static uint64_t evict(struct ap_cache *cache, uint64_t keep)
{
    __attribute__((cleanup(files_done))) struct files files = { 0 };
    if (look(cache, &files, NULL) != APIARY_OK) return UINT64_MAX;
    if (files.count) qsort(files.items, files.count, sizeof *files.items, by_use);
    uint64_t held = files.bytes, gone = 0;
    for (size_t i = 0; i < files.count && held > keep; i++) {
        if (!drop(cache, files.items[i].id)) continue;
        held -= files.items[i].bytes;
        gone++;
    }
    if (gone)
        ap_log_event(cache->log, AP_LOG_INFO, "cells", "cache_evicted", "files=%llu held=%llu",
            (unsigned long long)gone, (unsigned long long)held);
    return held;
}

/* ---- the limit ---- */

static uint64_t limit_of(const struct ap_cache *cache, uint64_t held)
{
    struct statvfs disk;
    if (cache->limit_wanted != UINT64_MAX) return cache->limit_wanted;
    if (statvfs(cache->dir, &disk) != 0) return 0;
    uint64_t free = (uint64_t)disk.f_bavail * disk.f_frsize + held;
    return free / FREE_PART < LIMIT_MAX ? free / FREE_PART : LIMIT_MAX;
}

static void measure_locked(struct ap_cache *cache)
{
    __attribute__((cleanup(files_done))) struct files files = { 0 };
    if (cache->measured) return;
    if (look(cache, &files, NULL) == APIARY_OK) cache->used_bytes = files.bytes;
    cache->limit_bytes = limit_of(cache, cache->used_bytes);
    cache->measured = true;
}

bool ap_cache_could_hold(struct ap_cache *cache, uint64_t bytes)
{
    ap_lock(cache->env, cache->lock);
    bool could = ap_cache_dir_make(cache, NULL) == APIARY_OK;
    if (could) measure_locked(cache);
    could = could && bytes <= cache->limit_bytes;
    ap_unlock(cache->env, cache->lock);
    return could;
}

bool ap_cache_room(struct ap_cache *cache, uint64_t bytes)
{
    ap_lock(cache->env, cache->lock);
    measure_locked(cache);
    uint64_t limit = cache->limit_bytes;
    bool fits = cache->used_bytes + bytes <= limit;
    bool may_evict = !fits && bytes <= limit && !cache->evicting;
    if (may_evict) cache->evicting = true;
    ap_unlock(cache->env, cache->lock);
    if (!may_evict) return fits;

    uint64_t target = limit / 100 * KEEP_PERCENT;
    uint64_t held = evict(cache, target > bytes ? target - bytes : 0);
    ap_lock(cache->env, cache->lock);
    cache->evicting = false;
    if (held != UINT64_MAX) cache->used_bytes = held;
    fits = cache->used_bytes + bytes <= limit;
    ap_unlock(cache->env, cache->lock);
    return fits;
}

/* ---- looking and clearing ---- */

enum apiary_code ap_cache_look(struct ap_cache *cache, struct ap_cache_totals *totals,
    enum apiary_code (*each)(void *context, const struct ap_cache_file *file, struct apiary_error *err),
    void *context, struct apiary_error *err)
{
    __attribute__((cleanup(files_done))) struct files files = { 0 };
    char path[AP_CACHE_PATH_MAX];
    struct ap_map_header header;
    AP_TRY(look(cache, &files, err));
    *totals = (struct ap_cache_totals) {
        .files = files.count, .bytes = files.bytes, .limit_bytes = limit_of(cache, files.bytes)
    };
    for (size_t i = 0; each && i < files.count; i++) {
        ap_cache_path(cache, files.items[i].id, ".map", path);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        bool known = fd >= 0 && ap_map_header_read(fd, &header);
        if (fd >= 0) close(fd);
        const struct ap_cache_file file = { .store = header.store,
            .key = header.key,
            .size = header.size,
            .held_bytes = files.items[i].bytes,
            .used_us = files.items[i].used_us };
        if (known) AP_TRY(each(context, &file, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_cache_trim(
    struct ap_cache *cache, uint64_t *bytes, struct apiary_error *err)
{
    __attribute__((cleanup(files_done))) struct files files = { 0 };
    AP_TRY(look(cache, &files, err));
    uint64_t limit = files.count > 0 ? limit_of(cache, files.bytes) : 0, held = files.bytes;
    if (held > limit) held = evict(cache, limit / 100 * KEEP_PERCENT);
    if (held == UINT64_MAX)
        return ap_fail(err, APIARY_IO, "cannot read the cache folder %s", cache->dir);
    ap_lock(cache->env, cache->lock);
    if (cache->measured) { /* else it is measured when it is first needed */
        cache->used_bytes = held;
        if (files.count > 0) cache->limit_bytes = limit;
    }
    ap_unlock(cache->env, cache->lock);
    *bytes = files.bytes > held ? files.bytes - held : 0;
    return APIARY_OK;
}

enum apiary_code ap_cache_clear(struct ap_cache *cache, uint64_t *bytes, struct apiary_error *err)
{
    __attribute__((cleanup(files_done))) struct files files = { 0 };
    AP_TRY(look(cache, &files, err));
    uint64_t held = evict(cache, 0);
    if (held == UINT64_MAX)
        return ap_fail(err, APIARY_IO, "cannot read the cache folder %s", cache->dir);
    ap_lock(cache->env, cache->lock);
    cache->used_bytes = held;
    ap_unlock(cache->env, cache->lock);
    *bytes = files.bytes > held ? files.bytes - held : 0;
    return APIARY_OK;
}
