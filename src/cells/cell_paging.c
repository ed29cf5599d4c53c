/* The paged side of a cell set: what is paged, what is read of it, and the canary. */
#include "cells/cells_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS_DEFAULT = 16, WORDS_MAX = 512 };

/* COPY (SELECT 42::INTEGER AS n) TO … (FORMAT parquet, COMPRESSION uncompressed). */
static const uint8_t canary_bytes[] = {
    0x50, 0x41, 0x52, 0x31, 0x15, 0x00, 0x15, 0x14, 0x15, 0x14, 0x2c, 0x15, 0x02, 0x15, 0x00, 0x15,
    0x06, 0x15, 0x06, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x01, 0x2a, 0x00, 0x00, 0x00, 0x15,
    0x02, 0x19, 0x2c, 0x35, 0x00, 0x18, 0x0d, 0x64, 0x75, 0x63, 0x6b, 0x64, 0x62, 0x5f, 0x73, 0x63,
    0x68, 0x65, 0x6d, 0x61, 0x15, 0x02, 0x00, 0x15, 0x02, 0x25, 0x02, 0x18, 0x01, 0x6e, 0x25, 0x22,
    0x00, 0x16, 0x02, 0x19, 0x1c, 0x19, 0x1c, 0x26, 0x00, 0x1c, 0x15, 0x02, 0x19, 0x15, 0x00, 0x19,
    0x18, 0x01, 0x6e, 0x15, 0x00, 0x16, 0x02, 0x16, 0x36, 0x16, 0x36, 0x26, 0x08, 0x3c, 0x18, 0x04,
    0x2a, 0x00, 0x00, 0x00, 0x18, 0x04, 0x2a, 0x00, 0x00, 0x00, 0x16, 0x00, 0x28, 0x04, 0x2a, 0x00,
    0x00, 0x00, 0x18, 0x04, 0x2a, 0x00, 0x00, 0x00, 0x11, 0x11, 0x00, 0x00, 0x00, 0x16, 0x36, 0x16,
    0x02, 0x26, 0x08, 0x16, 0x36, 0x00, 0x28, 0x28, 0x44, 0x75, 0x63, 0x6b, 0x44, 0x42, 0x20, 0x76,
    0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x20, 0x76, 0x31, 0x2e, 0x35, 0x2e, 0x35, 0x20, 0x28, 0x62,
    0x75, 0x69, 0x6c, 0x64, 0x20, 0x64, 0x38, 0x63, 0x64, 0x61, 0x61, 0x33, 0x33, 0x66, 0x64, 0x29,
    0x19, 0x1c, 0x1c, 0x00, 0x00, 0x00, 0x97, 0x00, 0x00, 0x00, 0x50, 0x41, 0x52, 0x31,
};

struct ap_canary {
    int fd; /* sparse, with nothing in it */
    size_t map_at, map_words;
};

/* ---- what is paged ---- */

enum apiary_code ap_cell_set_page(struct ap_cell_set *set, struct ap_cache *cache,
    const struct ap_paging *how, struct apiary_error *err)
{
    if (!cache) return APIARY_OK;
    struct ap_account *account = NULL;
    AP_TRY(ap_account_new(cache, &account, err));
    ap_lock(set->env, set->lock);
    set->cache = cache;
    set->account = account;
    set->paging = *how;
    if (how->threads <= 0) set->paging.threads = THREADS_DEFAULT;
    ap_unlock(set->env, set->lock);
    return APIARY_OK;
}

static enum apiary_code scan_new_locked(struct ap_cell_set *set, struct apiary_error *err)
{
    AP_TRY(AP_GROW(set->scans, set->scan_capacity, set->scan_count + 1, err));
    AP_TRY(ap_ahead_new(
        &set->words, set->paging.gap_bytes, &set->scans[set->scan_count], err));
    set->scan_count++;
    return APIARY_OK;
}

enum apiary_code ap_cell_set_scan(struct ap_cell_set *set, struct apiary_error *err)
{
    if (!set->cache) return APIARY_OK;
    ap_lock(set->env, set->lock);
    enum apiary_code code = scan_new_locked(set, err);
    ap_unlock(set->env, set->lock);
    return code;
}

enum apiary_code ap_cell_set_words(
    struct ap_cell_set *set, const struct ap_texts *words, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    ap_lock(set->env, set->lock);
    for (size_t i = 0; code == APIARY_OK && i < words->count; i++) {
        struct ap_str word = ap_str_from(words->items[i]);
        if (set->words.count == WORDS_MAX || ap_texts_find(&set->words, word) != SIZE_MAX) continue;
        code = ap_texts_add(&set->words, word, err);
    }
    ap_unlock(set->env, set->lock);
    return code;
}

bool ap_cell_pages(
    const struct ap_cell_set *set, const struct ap_store *store, uint64_t size, const char *name)
{
    return set->cache && !store->is_local && size != UINT64_MAX &&
           ap_str_ends_with(ap_str_from(name), AP_STR(".parquet"));
}

enum apiary_code ap_cell_page_locked(struct ap_cell_set *set, struct ap_store *store,
    const char *key, uint64_t size, const char *etag, struct ap_paged **paged, size_t *scan,
    size_t *index, struct apiary_error *err)
{
    if (set->scan_count == 0) AP_TRY(scan_new_locked(set, err));
    struct ap_ahead *ahead = set->scans[set->scan_count - 1];
    struct ap_paged *got = NULL;
    AP_TRY(ap_paged_get(set->cache, store, key, size, etag, &got, err));
    enum apiary_code code = ap_ahead_add(ahead, got, index, err);
    if (code != APIARY_OK) {
        ap_paged_unref(got);
        return code;
    }
    *scan = set->scan_count - 1;
    *paged = got;
    return APIARY_OK;
}

bool ap_cell_set_warm(struct ap_cell_set *set)
{
    bool any = false;
    if (!set->cache) return false;
    ap_lock(set->env, set->lock);
    for (size_t i = 0; i < set->cell_count; i++) {
        if (!set->cells[i].paged) continue;
        any = true;
        ap_paged_warm(set->cells[i].paged, set->account);
    }
    for (size_t i = 0; i < set->file_count; i++) {
        if (!set->files[i].paged || set->files[i].store || set->files[i].fd >= 0) continue;
        any = true;
        ap_paged_warm(set->files[i].paged, set->account);
    }
    ap_unlock(set->env, set->lock);
    return any;
}

struct ap_cache_figures ap_cell_set_figures(struct ap_cell_set *set)
{
    return set->account ? ap_account_figures(set->account) : (struct ap_cache_figures) { 0 };
}

void ap_cell_paging_done(struct ap_cell_set *set)
{
    ap_account_close(set->account);
    set->account = NULL;
    for (size_t i = 0; i < set->scan_count; i++) ap_ahead_free(set->scans[i]);
    ap_free(set->scans);
    if (set->canary) {
        ap_cache_bits_give(set->cache, set->canary->map_at, set->canary->map_words);
        close(set->canary->fd);
        ap_free(set->canary);
    }
}

/* ---- questions ---- */

uint64_t ap_cell_number(size_t index, bool file)
{
    return 1 + 2 * (uint64_t)index + (file ? 1 : 0);
}

static void canary_range(struct ap_cell_set *set, struct ap_page_wait wait)
{
    uint32_t state = AP_PAGE_ERROR + ENOENT;
    if (set->canary) {
        ssize_t done = pwrite(set->canary->fd, canary_bytes, sizeof canary_bytes, 0);
        state = done == (ssize_t)sizeof canary_bytes ? AP_PAGE_THERE : AP_PAGE_ERROR + EIO;
    }
    if (state == AP_PAGE_THERE) ap_cache_bits_mark(set->cache, set->canary->map_at, 0, 0);
    ap_page_wait_end(wait, state);
}

void ap_cell_set_range(
    void *context, uint64_t number, uint64_t offset, uint64_t length, struct ap_page_wait wait)
{
    struct ap_cell_set *set = context;
    size_t at = (size_t)((number - 1) / 2);
    bool file = number && (number - 1) % 2;
    struct ap_paged *paged = NULL;
    size_t scan = 0, index = 0;
    ap_lock(set->env, set->lock);
    if (number == AP_CANARY_NUMBER) {
        canary_range(set, wait);
        ap_unlock(set->env, set->lock);
        return;
    }
    if (number && file && at < set->file_count) {
        paged = set->files[at].paged;
        scan = set->files[at].scan;
        index = set->files[at].index;
    } else if (number && !file && at < set->cell_count) {
        paged = set->cells[at].paged;
        scan = set->cells[at].scan;
        index = set->cells[at].index;
    }
    if (paged) {
        if (wait.done) {
            ap_ahead_need(set->scans[scan], set->account, index, offset, length,
                set->paging.threads);
            ap_paged_want(paged, set->account, offset, length, false, wait);
        }
        ap_ahead_read(
            set->scans[scan], set->account, index, offset, length, set->paging.threads);
    } else
        ap_page_wait_end(wait, AP_PAGE_ERROR + ENOENT);
    ap_unlock(set->env, set->lock);
}

int ap_cell_set_map(void *context, int *fd)
{
    struct ap_cell_set *set = context;
    return set->cache ? ap_cache_map(set->cache, fd) : ENOSYS;
}

int ap_cell_set_take(void *context, struct ap_page_wait wait, struct ap_bytes *out)
{
    struct ap_cell_set *set = context;
    return set->account ? ap_account_take(set->account, wait, out) : EINVAL;
}

/* ---- the canary ---- */

static enum apiary_code canary_new(
    struct ap_cache *cache, struct ap_canary **out, struct apiary_error *err)
{
    struct ap_canary *canary = ap_calloc(1, sizeof *canary);
    if (!canary) return ap_fail_memory(err, "a canary");
    canary->fd = memfd_create("apiary-canary", MFD_CLOEXEC);
    enum apiary_code code = APIARY_OK;
    if (canary->fd < 0 || ftruncate(canary->fd, (off_t)sizeof canary_bytes) != 0)
        code = ap_fail_errno(err, errno, "cannot make a sparse file");
    if (code == APIARY_OK)
        code = ap_cache_bits_take(cache, 1, &canary->map_at, &canary->map_words, err);
    if (code != APIARY_OK) {
        if (canary->fd >= 0) close(canary->fd);
        ap_free(canary);
        return code;
    }
    *out = canary;
    return APIARY_OK;
}

int ap_canary_open(struct ap_cell_set *set, int *fd, uint64_t *size, uint64_t paging[2])
{
    struct apiary_error err = { 0 };
    if (!set->cache) return ENOENT;
    enum apiary_code code =
        set->canary ? APIARY_OK : canary_new(set->cache, &set->canary, &err);
    if (code != APIARY_OK) return ap_cell_set_fail(set, code, &err);
    int error = ap_fd_again(set->canary->fd, NULL, O_RDONLY, fd);
    if (error) return error;
    *size = sizeof canary_bytes;
    paging[0] = AP_CANARY_NUMBER;
    paging[1] = set->canary->map_at;
    return 0;
}
