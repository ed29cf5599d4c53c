#include "cells/cache_private.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- the map's memory: bits in pieces of a power of two words ---- */

enum { CLASS_FIRST = 3 /* 8 words: a cache line */ };

struct free_bits {
    struct free_bits *next; /* lies in the map itself while the piece is free */
};

static unsigned class_of(size_t words)
{
    unsigned class = CLASS_FIRST;
    while (((size_t)1 << class) < words) class ++;
    return class;
}

enum apiary_code ap_cache_bits_new_locked(
    struct ap_cache *cache, uint64_t pages, size_t *at, size_t *words, struct apiary_error *err)
{
    if (pages / AP_PAGE_WORD_BITS > AP_CACHE_MAP_BYTES / sizeof(ap_page_word))
        return ap_fail(err, APIARY_LIMIT, "an object of %llu pages is too large to be paged",
            (unsigned long long)pages);
    unsigned class = class_of((size_t)(pages / AP_PAGE_WORD_BITS) + 1);
    size_t bytes = ((size_t)1 << class) * sizeof(ap_page_word);
    struct free_bits *piece = cache->free_bits[class];
    if (piece) {
        cache->free_bits[class] = piece->next;
        *at = (size_t)((char *)piece - cache->map);
        memset(piece, 0, bytes);
    } else {
        if (bytes > AP_CACHE_MAP_BYTES - cache->map_used)
            return ap_fail(err, APIARY_LIMIT, "too many remote objects are open at one time");
        *at = cache->map_used;
        cache->map_used += bytes;
    }
    *words = (size_t)1 << class;
    return APIARY_OK;
}

void ap_cache_bits_free_locked(struct ap_cache *cache, size_t at, size_t words)
{
    if (words == 0) return;
    struct free_bits *piece = (struct free_bits *)(void *)(cache->map + at);
    unsigned class = class_of(words);
    piece->next = cache->free_bits[class];
    cache->free_bits[class] = piece;
}

enum apiary_code ap_cache_bits_take(
    struct ap_cache *cache, uint64_t pages, size_t *at, size_t *words, struct apiary_error *err)
{
    ap_lock(cache->env, cache->lock);
    enum apiary_code code = ap_cache_bits_new_locked(cache, pages, at, words, err);
    ap_unlock(cache->env, cache->lock);
    return code;
}

void ap_cache_bits_mark(struct ap_cache *cache, size_t at, uint64_t first, uint64_t last)
{
    ap_pages_mark((ap_page_word *)(void *)(cache->map + at), first, last);
}

void ap_cache_bits_give(struct ap_cache *cache, size_t at, size_t words)
{
    ap_lock(cache->env, cache->lock);
    ap_cache_bits_free_locked(cache, at, words);
    ap_unlock(cache->env, cache->lock);
}

/* ---- life ---- */

enum apiary_code ap_cache_open(struct ap_env *env, const struct ap_cache_options *options,
    struct ap_cache **out, struct apiary_error *err)
{
    struct ap_cache *cache = ap_calloc(1, sizeof *cache);
    if (!cache) return ap_fail_memory(err, "the cell cache");
    AP_AUTO(ap_bytes) dir = { 0 };
    void *memory = NULL;
    cache->env = env;
    cache->log = options->log;
    cache->limit_wanted = options->limit_bytes;
    cache->demand_end = &cache->demand;
    cache->ahead_end = &cache->ahead;
    cache->map_fd = -1;
    cache->lock = ap_lock_new(env);
    cache->objects_by_id = ap_calloc(1, sizeof *cache->objects_by_id);
    enum apiary_code code = cache->lock && cache->objects_by_id
                                ? ap_bytes_printf(&dir, err, "%s/cells", options->dir)
                                : ap_fail_memory(err, "the cell cache");
    if (code == APIARY_OK && dir.size > AP_CACHE_PATH_MAX - 64)
        code = ap_fail(err, APIARY_CONFIG, "the path of the cache is too long: %s", options->dir);
    if (code == APIARY_OK) code = ap_bytes_take_text(&dir, &cache->dir, err);
    if (code == APIARY_OK)
        code = ap_pages_share((size_t)AP_CACHE_MAP_BYTES, &cache->map_fd, &memory, err);
    cache->map = memory;
    if (code != APIARY_OK) {
        ap_cache_close(cache);
        return code;
    }
    *out = cache;
    return APIARY_OK;
}

static void paged_free(struct ap_paged *paged)
{
    ap_paged_rest_locked(paged);
    ap_cache_bits_free_locked(paged->cache, paged->map_at, paged->map_words);
    ap_footer_done(&paged->footer);
    ap_free(paged->key);
    ap_free(paged);
}

void ap_cache_close(struct ap_cache *cache)
{
    if (!cache) return;
    if (cache->lock) {
        ap_lock(cache->env, cache->lock);
        cache->closing = true;
        ap_wake_all(cache->env, cache->lock);
        ap_unlock(cache->env, cache->lock);
    }
    for (size_t i = 0; i < cache->worker_count; i++)
        cache->env->ops->thread_join(cache->env->world, cache->workers[i]);
    for (size_t i = 0; i < cache->object_count; i++) paged_free(cache->objects[i]);
    ap_free(cache->objects);
    if (cache->objects_by_id) ap_map_done(cache->objects_by_id);
    ap_free(cache->objects_by_id);
    if (cache->map) munmap(cache->map, (size_t)AP_CACHE_MAP_BYTES);
    if (cache->map_fd >= 0) close(cache->map_fd);
    if (cache->lock) ap_lock_free(cache->env, cache->lock);
    ap_free(cache->dir);
    ap_free(cache);
}

int ap_cache_map(struct ap_cache *cache, int *fd)
{
    /* Opened again for reading: through this description it cannot be mapped for writing, and a
     * chamber can open no other. */
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", cache->map_fd);
    int opened = open(path, O_RDONLY | O_CLOEXEC);
    if (opened < 0) return errno;
    *fd = opened;
    return 0;
}

/* ---- accounts ---- */

enum apiary_code ap_account_new(
    struct ap_cache *cache, struct ap_account **out, struct apiary_error *err)
{
    struct ap_account *account = ap_calloc(1, sizeof *account);
    if (!account) return ap_fail_memory(err, "a statement's account");
    account->cache = cache;
    account->references = 1;
    *out = account;
    return APIARY_OK;
}

void ap_account_unref_locked(struct ap_account *account)
{
    if (--account->references == 0) ap_free(account);
}

void ap_account_fail_locked(struct ap_account *account, const struct apiary_error *err)
{
    if (account->trouble.code == APIARY_OK) account->trouble = *err;
}

struct ap_cache_figures ap_account_figures(struct ap_account *account)
{
    struct ap_cache *cache = account->cache;
    ap_lock(cache->env, cache->lock);
    struct ap_cache_figures figures = { .ahead_bytes = account->figures.ahead_bytes,
        .saved_bytes = account->figures.saved_bytes };
    ap_store_counts_add(&figures.asked, &account->figures.asked);
    ap_unlock(cache->env, cache->lock);
    return figures;
}

enum apiary_code ap_account_trouble(struct ap_account *account, struct apiary_error *err)
{
    struct ap_cache *cache = account->cache;
    ap_lock(cache->env, cache->lock);
    struct apiary_error trouble = account->trouble;
    ap_unlock(cache->env, cache->lock);
    if (trouble.code != APIARY_OK && err) *err = trouble;
    return (enum apiary_code)trouble.code;
}

/* ---- objects ---- */

/* What an object is to the cache: where it lies, its size, and of what may be replaced, which one
 * it is. */
static enum apiary_code identify(const struct ap_store *store, const char *key, uint64_t size,
    const char *etag, char id[AP_CACHE_ID_SIZE + 1], struct apiary_error *err)
{
    uint8_t sum[AP_SHA256_SIZE];
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_bytes_printf(&text, err, "%s\n%s\n%llu\n%s", store->uri, key,
        (unsigned long long)size, etag ? etag : ""));
    ap_sha256(text.data, text.size, sum);
    ap_hex(sum, AP_CACHE_ID_SIZE / 2, id);
    return APIARY_OK;
}

/* Takes it out of the table: who asks for the object from now on gets a new one. */
static void detach_locked(struct ap_paged *paged)
{
    struct ap_cache *cache = paged->cache;
    uint64_t found = 0;
    struct ap_str id = { paged->id, AP_CACHE_ID_SIZE };
    if (ap_map_get(cache->objects_by_id, id, &found) &&
        (struct ap_paged *)(uintptr_t)found == paged)
        ap_map_remove(cache->objects_by_id, id);
}

/* Forgets what nobody holds, the one that was not used for longest, when there are many. */
static void drop_idle_locked(struct ap_cache *cache)
{
    size_t idle = 0, oldest = SIZE_MAX;
    for (size_t i = 0; i < cache->object_count; i++) {
        const struct ap_paged *paged = cache->objects[i];
        if (paged->references || paged->fetches) continue;
        idle++;
        if (oldest == SIZE_MAX || paged->idle_since_us < cache->objects[oldest]->idle_since_us)
            oldest = i;
    }
    if (idle <= AP_CACHE_IDLE_MAX) return;
    struct ap_paged *paged = cache->objects[oldest];
    detach_locked(paged);
    cache->objects[oldest] = cache->objects[--cache->object_count];
    paged_free(paged);
}

static enum apiary_code make_locked(struct ap_cache *cache, struct ap_store *store,
    const char *key, uint64_t size, const char *etag, const char *id, struct ap_paged **out,
    struct apiary_error *err)
{
    if (cache->object_count >= AP_CACHE_IDLE_MAX) drop_idle_locked(cache);
    AP_TRY(AP_GROW(cache->objects, cache->object_capacity, cache->object_count + 1, err));
    struct ap_paged *paged = ap_calloc(1, sizeof *paged);
    if (paged) paged->key = ap_strdup(key);
    if (!paged || !paged->key) {
        ap_free(paged);
        return ap_fail_memory(err, "a remote object");
    }
    paged->cache = cache;
    paged->size = size;
    paged->pages = ap_page_count(size);
    paged->fd = -1;
    memcpy(paged->id, id, sizeof paged->id);
    if (etag) snprintf(paged->etag, sizeof paged->etag, "%s", etag);
    enum apiary_code code = ap_map_put(cache->objects_by_id,
        (struct ap_str) { paged->id, AP_CACHE_ID_SIZE }, (uint64_t)(uintptr_t)paged, err);
    if (code != APIARY_OK) {
        paged_free(paged);
        return code;
    }
    paged->store = store;
    cache->objects[cache->object_count++] = paged;
    *out = paged;
    return APIARY_OK;
}

enum apiary_code ap_paged_get(struct ap_cache *cache, struct ap_store *store, const char *key,
    uint64_t size, const char *etag, struct ap_paged **out, struct apiary_error *err)
{
    char id[AP_CACHE_ID_SIZE + 1];
    AP_TRY(identify(store, key, size, etag, id, err));
    ap_lock(cache->env, cache->lock);
    uint64_t found = 0;
    struct ap_paged *paged = NULL;
    enum apiary_code code = APIARY_OK;
    if (ap_map_get(cache->objects_by_id, (struct ap_str) { id, AP_CACHE_ID_SIZE }, &found))
        paged = (struct ap_paged *)(uintptr_t)found;
    else
        code = make_locked(cache, store, key, size, etag, id, &paged, err);
    if (code == APIARY_OK) {
        paged->references++;
        *out = paged;
    }
    ap_unlock(cache->env, cache->lock);
    return code;
}

void ap_paged_changed_locked(struct ap_paged *paged, const struct apiary_error *err)
{
    if (!paged->changed) paged->change = *err;
    paged->changed = true;
    detach_locked(paged);
}

void ap_paged_unref(struct ap_paged *paged)
{
    if (!paged) return;
    struct ap_cache *cache = paged->cache;
    ap_lock(cache->env, cache->lock);
    if (--paged->references == 0) {
        paged->idle_since_us = paged->changed ? 0 : ap_mono_us(cache->env);
        if (!paged->fetches) ap_paged_idle_locked(paged);
    }
    ap_unlock(cache->env, cache->lock);
}

uint64_t ap_paged_size(const struct ap_paged *paged)
{
    return paged->size;
}

const struct ap_footer *ap_paged_footer(struct ap_paged *paged)
{
    struct ap_cache *cache = paged->cache;
    ap_lock(cache->env, cache->lock);
    const struct ap_footer *footer =
        paged->footer_state == AP_FOOTER_READ ? &paged->footer : NULL;
    ap_unlock(cache->env, cache->lock);
    return footer;
}
