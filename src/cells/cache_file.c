/* One object on the disk.
 *
 *   {id}.cell   sparse, of the object's size
 *   {id}.map    struct ap_map_header, then 8 bytes for each page: its checksum, 0 when it is not held
 *
 * A checksum is over the page's bytes and seeded with the object's identity, its ETag and the
 * page's number: a page that was never written, was written in part, or is another object's does
 * not have it. So the two files need no order between them and no fsync. */
#include "cells/cache_private.h"

#include "core/alloc.h"
#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_TRIES_MAX = 20, SUMS_AT_ONCE = 1024 };

static const char magic[8] = "APCELL1";

/* ---- the sparse file ---- */

/* A file of this name under a shared lock. Between opening and locking it may have been removed. */
static int open_named(const char *path)
{
    for (int i = 0; i < OPEN_TRIES_MAX; i++) {
        struct stat info;
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) return -1;
        if (flock(fd, LOCK_SH) == 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
            info.st_nlink == 1)
            return fd;
        close(fd);
    }
    errno = EBUSY;
    return -1;
}

/* Without a cache on the disk nothing is kept: every byte goes to who asked for it. */
static int open_nameless(void)
{
    return memfd_create("apiary-paged", MFD_CLOEXEC);
}

static enum apiary_code open_file(
    struct ap_paged *paged, int *fd, bool *named, struct apiary_error *err)
{
    char path[AP_CACHE_PATH_MAX];
    struct ap_cache *cache = paged->cache;
    struct apiary_error why = { 0 };
    int opened = -1;
    *named = ap_cache_dir_make(cache, &why) == APIARY_OK;
    if (*named) {
        ap_cache_path(cache, paged->id, ".cell", path);
        opened = open_named(path);
        if (opened < 0 && (errno == EMFILE || errno == ENFILE))
            return ap_fail_errno(err, errno, "cannot open %s", path);
        *named = opened >= 0;
    }
    if (!*named) opened = open_nameless();
    struct stat info;
    if (opened < 0 || fstat(opened, &info) != 0)
        return ap_fail_errno(err, errno, "cannot make a place for %s", paged->key);
    if ((uint64_t)info.st_size != paged->size && ftruncate(opened, (off_t)paged->size) != 0) {
        enum apiary_code code =
            ap_fail_errno(err, errno, "cannot make a sparse file for %s", paged->key);
        close(opened);
        return code;
    }
    if (*named) (void)futimens(opened, NULL); /* it was used now: the last to go */
    *fd = opened;
    return APIARY_OK;
}

/* Closes files that nothing is asked of when many are open. Who has them open besides keeps its
 * own lock on them. */
static void close_some_locked(struct ap_cache *cache, const struct ap_paged *but)
{
    for (size_t i = 0; i < cache->object_count && cache->open_count > AP_CACHE_OPEN_MAX; i++) {
        struct ap_paged *paged = cache->objects[i];
        if (paged != but && paged->fd >= 0 && paged->named && !paged->fetches && !paged->waits &&
            !paged->busy)
            ap_paged_rest_locked(paged);
    }
}

/* A file that stayed open while nobody held the object: still the one that its name means? */
static void lock_again_locked(struct ap_paged *paged)
{
    struct stat info;
    paged->locked = !paged->named || (flock(paged->fd, LOCK_SH | LOCK_NB) == 0 &&
                                         fstat(paged->fd, &info) == 0 && info.st_nlink == 1);
    if (!paged->locked) ap_paged_rest_locked(paged);
}

enum apiary_code ap_paged_ready_locked(struct ap_paged *paged, struct apiary_error *err)
{
    struct ap_cache *cache = paged->cache;
    struct stat info;
    int fd = -1;
    bool named = false;
    if (paged->changed) {
        if (err) *err = paged->change;
        return APIARY_CORRUPT;
    }
    if (paged->fd >= 0 && !paged->locked) lock_again_locked(paged);
    if (paged->fd >= 0) return APIARY_OK;
    if (!paged->bits) {
        AP_TRY(ap_cache_bits_new_locked(
            cache, paged->pages, &paged->map_at, &paged->map_words, err));
        paged->bits = (ap_page_word *)(void *)(cache->map + paged->map_at);
    }
    close_some_locked(cache, paged);
    AP_TRY(open_file(paged, &fd, &named, err));
    if (fstat(fd, &info) != 0) {
        close(fd);
        return ap_fail_errno(err, errno, "cannot open the cache's file of %s", paged->key);
    }
    bool other = info.st_ino != paged->inode || info.st_dev != paged->device;
    if (paged->handed_out && other) { /* a process that saw the object change removed the file */
        struct apiary_error change = { 0 };
        close(fd);
        enum apiary_code code = ap_fail(&change, APIARY_CORRUPT,
            "cell %s/%s changed under its name", paged->store->uri, paged->key);
        ap_paged_changed_locked(paged, &change);
        if (err) *err = change;
        return code;
    }
    memset((void *)paged->bits, 0, paged->map_words * sizeof *paged->bits);
    paged->inode = info.st_ino;
    paged->device = info.st_dev;
    paged->fd = fd;
    paged->locked = true;
    paged->named = named;
    cache->open_count++;
    return APIARY_OK;
}

void ap_paged_rest_locked(struct ap_paged *paged)
{
    if (paged->fd < 0) return;
    close(paged->fd);
    paged->fd = -1;
    paged->locked = false;
    paged->cache->open_count--;
}

void ap_paged_idle_locked(struct ap_paged *paged)
{
    paged->handed_out = false;
    if (paged->fd < 0) return;
    paged->locked = false;
    if (paged->changed || (paged->named && flock(paged->fd, LOCK_UN) != 0))
        ap_paged_rest_locked(paged);
}

enum apiary_code ap_paged_open(
    struct ap_paged *paged, int *fd, uint64_t *map_at, struct apiary_error *err)
{
    struct ap_cache *cache = paged->cache;
    char path[40];
    int opened = -1;
    ap_lock(cache->env, cache->lock);
    enum apiary_code code = ap_paged_ready_locked(paged, err);
    if (code == APIARY_OK) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", paged->fd);
        opened = open(path, O_RDONLY | O_CLOEXEC);
        /* The lock is the description's: the file stays as long as its reader has it open. */
        if (opened < 0 || (paged->named && flock(opened, LOCK_SH | LOCK_NB) != 0))
            code = ap_fail_errno(err, errno, "cannot open the cache's file of %s", paged->key);
    }
    if (code == APIARY_OK) {
        paged->handed_out = true;
        *fd = opened;
        *map_at = paged->map_at;
    } else if (opened >= 0)
        close(opened);
    ap_unlock(cache->env, cache->lock);
    return code;
}

/* ---- checksums ---- */

static uint64_t sum_of(
    const struct ap_paged *paged, const char *etag, uint64_t page, const void *data, size_t size)
{
    uint64_t seed = ap_hash_bytes(etag, strlen(etag), ap_hash_bytes(paged->id, sizeof paged->id, page));
    uint64_t sum = ap_hash_bytes(data, size, seed);
    return sum ? sum : 1;
}

static uint64_t page_size(const struct ap_paged *paged, uint64_t page)
{
    uint64_t at = page * AP_PAGE_SIZE;
    return paged->size - at < AP_PAGE_SIZE ? paged->size - at : AP_PAGE_SIZE;
}

static uint64_t header_check(const struct ap_map_header *header)
{
    return ap_hash_bytes(header, offsetof(struct ap_map_header, check), 0);
}

bool ap_map_header_read(int fd, struct ap_map_header *out)
{
    if (pread(fd, out, sizeof *out, 0) != (ssize_t)sizeof *out) return false;
    return memcmp(out->magic, magic, sizeof magic) == 0 && out->check == header_check(out) &&
           !out->etag[sizeof out->etag - 1] && !out->store[sizeof out->store - 1] &&
           !out->key[sizeof out->key - 1];
}

static void fill_header(
    const struct ap_paged *paged, const char *etag, struct ap_map_header *header)
{
    memset(header, 0, sizeof *header);
    memcpy(header->magic, magic, sizeof magic);
    header->size = paged->size;
    snprintf(header->etag, sizeof header->etag, "%s", etag);
    snprintf(header->store, sizeof header->store, "%s", paged->store->uri);
    snprintf(header->key, sizeof header->key, "%s", paged->key);
    header->check = header_check(header);
}

/* Is it about this object (whatever its ETag is)? */
static bool header_is_of(const struct ap_map_header *header, const struct ap_paged *paged)
{
    struct ap_map_header wanted;
    fill_header(paged, header->etag, &wanted);
    return memcmp(&wanted, header, sizeof wanted) == 0;
}

static int open_map(const struct ap_paged *paged, bool create)
{
    char path[AP_CACHE_PATH_MAX];
    ap_cache_path(paged->cache, paged->id, ".map", path);
    return open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
}

static void etag_of(struct ap_paged *paged, char out[AP_ETAG_MAX])
{
    ap_lock(paged->cache->env, paged->cache->lock);
    memcpy(out, paged->etag, AP_ETAG_MAX);
    ap_unlock(paged->cache->env, paged->cache->lock);
}

/* Settles in the map which ETag the file is of: that of the first who says one, in any process. */
static enum apiary_code settle(
    struct ap_paged *paged, char etag[AP_ETAG_MAX], struct apiary_error *err)
{
    struct ap_map_header header;
    int fd = open_map(paged, true);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        if (fd >= 0) close(fd);
        return APIARY_OK; /* nothing is kept then */
    }
    if (ap_map_header_read(fd, &header) && header_is_of(&header, paged)) {
        bool same = strcmp(header.etag, etag) == 0;
        close(fd);
        if (same) return APIARY_OK;
        return ap_fail(err, APIARY_CORRUPT, "cell %s/%s changed under its name", paged->store->uri,
            paged->key);
    }
    /* New, or not what we wrote: begun anew. */
    fill_header(paged, etag, &header);
    if (ftruncate(fd, 0) == 0 && pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
        (void)!ftruncate(fd, 0);
    close(fd);
    return APIARY_OK;
}

enum apiary_code ap_paged_pin(struct ap_paged *paged, const char *etag, struct apiary_error *err)
{
    char known[AP_ETAG_MAX];
    etag_of(paged, known);
    if (known[0] && strcmp(known, etag) != 0)
        return ap_fail(err, APIARY_CORRUPT, "cell %s/%s changed under its name", paged->store->uri,
            paged->key);
    snprintf(known, sizeof known, "%s", etag);
    if (paged->named) AP_TRY(settle(paged, known, err));
    ap_lock(paged->cache->env, paged->cache->lock);
    memcpy(paged->etag, known, sizeof known);
    ap_unlock(paged->cache->env, paged->cache->lock);
    return APIARY_OK;
}

/* ---- pages of an earlier time ---- */

static off_t sum_at(uint64_t page)
{
    return (off_t)(AP_CACHE_HEADER_SIZE + page * sizeof(uint64_t));
}

static bool recall_page(struct ap_paged *paged, const char *etag, uint64_t page, uint64_t sum)
{
    char data[AP_PAGE_SIZE];
    size_t size = (size_t)page_size(paged, page);
    if (pread(paged->fd, data, size, (off_t)(page * AP_PAGE_SIZE)) != (ssize_t)size) return false;
    if (sum_of(paged, etag, page, data, size) != sum) return false;
    ap_pages_mark(paged->bits, page, page);
    return true;
}

uint64_t ap_paged_recall(struct ap_paged *paged, uint64_t first, uint64_t last)
{
    struct ap_map_header header;
    uint64_t sums[SUMS_AT_ONCE], found = 0, broken = 0;
    char etag[AP_ETAG_MAX];
    if (!paged->named) return 0;
    int fd = open_map(paged, false);
    if (fd < 0) return 0;
    etag_of(paged, etag);
    bool ours = ap_map_header_read(fd, &header) && header_is_of(&header, paged) &&
                (!etag[0] || strcmp(etag, header.etag) == 0);
    if (ours && !etag[0]) {
        /* What it holds is of this ETag, and so must be what is fetched besides. */
        ap_lock(paged->cache->env, paged->cache->lock);
        if (!paged->etag[0]) memcpy(paged->etag, header.etag, sizeof paged->etag);
        memcpy(etag, paged->etag, sizeof etag);
        ap_unlock(paged->cache->env, paged->cache->lock);
        ours = strcmp(etag, header.etag) == 0;
    }
    for (uint64_t page = first; ours && page <= last; page += SUMS_AT_ONCE) {
        size_t count = last - page + 1 < SUMS_AT_ONCE ? (size_t)(last - page + 1) : SUMS_AT_ONCE;
        ssize_t got = pread(fd, sums, count * sizeof *sums, sum_at(page));
        if (got <= 0) break;
        for (size_t i = 0; i < (size_t)got / sizeof *sums; i++) {
            if (!sums[i] || ap_pages_there(paged->bits, page + i, page + i)) continue;
            if (recall_page(paged, etag, page + i, sums[i]))
                found += page_size(paged, page + i);
            else
                broken++;
        }
    }
    close(fd);
    if (broken)
        ap_log_event(paged->cache->log, AP_LOG_WARNING, "cells", "cache_page_dropped",
            "key=%s pages=%llu", paged->key, (unsigned long long)broken);
    return found;
}

bool ap_paged_saved(struct ap_paged *paged, uint64_t offset)
{
    uint64_t sum = 0;
    ap_lock(paged->cache->env, paged->cache->lock);
    bool named = paged->named;
    ap_unlock(paged->cache->env, paged->cache->lock);
    int fd = named ? open_map(paged, false) : -1;
    if (fd < 0) return false;
    if (pread(fd, &sum, sizeof sum, sum_at(offset / AP_PAGE_SIZE)) != (ssize_t)sizeof sum) sum = 0;
    close(fd);
    return sum != 0;
}

/* ---- storing ---- */

static enum apiary_code write_at(
    int fd, const char *data, size_t size, uint64_t offset, const char *what, struct apiary_error *err)
{
    while (size) {
        ssize_t done = pwrite(fd, data, size, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0)
            return ap_fail(err, APIARY_FULL, "the cell cache cannot hold %s: %s", what,
                done < 0 ? strerror(errno) : "nothing was written");
        data += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return APIARY_OK;
}

/* What cannot be noted is fetched again after a restart. */
static void note_sums(struct ap_paged *paged, uint64_t first, struct ap_str body)
{
    uint64_t sums[SUMS_AT_ONCE];
    char etag[AP_ETAG_MAX];
    int fd = open_map(paged, false);
    if (fd < 0) return;
    etag_of(paged, etag);
    for (size_t at = 0; at < body.size;) {
        uint64_t page = first + at / AP_PAGE_SIZE;
        size_t count = 0;
        for (; count < SUMS_AT_ONCE && at < body.size; count++) {
            size_t size = body.size - at < AP_PAGE_SIZE ? body.size - at : AP_PAGE_SIZE;
            sums[count] = sum_of(paged, etag, page + count, body.data + at, size);
            at += size;
        }
        if (pwrite(fd, sums, count * sizeof *sums, sum_at(page)) < 0) break;
    }
    close(fd);
}

enum apiary_code ap_paged_store(
    struct ap_paged *paged, uint64_t first, struct ap_str body, struct apiary_error *err)
{
    struct ap_cache *cache = paged->cache;
    if (body.size == 0) return APIARY_OK;
    if (!paged->named || !ap_cache_room(cache, body.size))
        return ap_fail(err, APIARY_FULL, "the cell cache has no room");
    AP_TRY(write_at(paged->fd, body.data, body.size, first * AP_PAGE_SIZE, paged->key, err));
    ap_lock(cache->env, cache->lock);
    cache->used_bytes += body.size;
    ap_unlock(cache->env, cache->lock);
    ap_pages_mark(paged->bits, first, first + (body.size - 1) / AP_PAGE_SIZE);
    note_sums(paged, first, body);
    return APIARY_OK;
}

void ap_paged_forget(struct ap_paged *paged)
{
    char path[AP_CACHE_PATH_MAX];
    if (!paged->named) return;
    /* Whoever has the sparse file open keeps it; who comes now gets another. */
    ap_cache_path(paged->cache, paged->id, ".cell", path);
    (void)!unlink(path);
    ap_cache_path(paged->cache, paged->id, ".map", path);
    (void)!unlink(path);
}
