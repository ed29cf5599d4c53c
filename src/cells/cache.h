/* The node's cache of remote objects: each is a sparse file that holds the pages that were asked
 * for, at their true offsets.
 *
 * A page is fetched once however many ask for it, and exactly: a request of the store covers the
 * missing pages that were asked for, and what lies between them when that is little. An object is
 * pinned by its size and by the ETag of its first answer; every later range is asked for with
 * If-Match.
 *
 * On the disk (cache_dir/cells): {id}.cell, the sparse file; {id}.map, what it is and a checksum
 * of each page that it holds. A page of an earlier time, or of another process, is believed when
 * its checksum, which is also over the object's name, size and ETag, is right: so nothing depends
 * on what a crash left written and what not (docs/cells.md).
 *
 * Thread-safe. */
#ifndef AP_CELLS_CACHE_H
#define AP_CELLS_CACHE_H

#include "cells/footer.h"
#include "core/log.h"
#include "core/pages.h"
#include "storage/store.h"

struct ap_cache;

struct ap_cache_options {
    const char *dir;      /* made (0700) when it is needed */
    uint64_t limit_bytes; /* UINT64_MAX: 10 % of the free disk, at most 50 GiB */
    struct ap_log *log;
};
/* Touches no disk. */
AP_CHECKED enum apiary_code ap_cache_open(struct ap_env *env,
    const struct ap_cache_options *options, struct ap_cache **out, struct apiary_error *err);
/* Waits for requests that run. No object may be held, and the stores must still be open. */
void ap_cache_close(struct ap_cache *cache);
/* A descriptor, readable only, of the map of pages. An errno, or 0. */
int ap_cache_map(struct ap_cache *cache, int *fd);

/* Zeroed bits for a sparse file that is not one of the cache's, where they begin, their words; and
 * setting them; and back. */
AP_CHECKED enum apiary_code ap_cache_bits_take(
    struct ap_cache *cache, uint64_t pages, size_t *at, size_t *words, struct apiary_error *err);
void ap_cache_bits_mark(struct ap_cache *cache, size_t at, uint64_t first, uint64_t last);
void ap_cache_bits_give(struct ap_cache *cache, size_t at, size_t words);

/* What one statement's reads cost and how they failed. */
struct ap_cache_figures {
    struct ap_store_counts asked; /* of stores: the workers count in it as a statement's thread does */
    uint64_t ahead_bytes; /* of the bytes that came: before anybody asked for them */
    uint64_t saved_bytes; /* found on the disk instead, from an earlier time */
};
struct ap_account;
AP_CHECKED enum apiary_code ap_account_new(
    struct ap_cache *cache, struct ap_account **out, struct apiary_error *err);
/* Gives up what is still queued for it and what was not taken; runs on what is in flight. */
void ap_account_close(struct ap_account *account); /* NULL is fine */
struct ap_cache_figures ap_account_figures(struct ap_account *account);
enum apiary_code ap_account_trouble(
    struct ap_account *account, struct apiary_error *err); /* the first failure, or OK */

/* One remote object. */
struct ap_paged;
/* etag: of an object that may be replaced under its name, as a listing told it; NULL for one that
 * never is (cells). */
AP_CHECKED enum apiary_code ap_paged_get(struct ap_cache *cache, struct ap_store *store,
    const char *key, uint64_t size, const char *etag, struct ap_paged **out,
    struct apiary_error *err);
void ap_paged_unref(struct ap_paged *paged); /* NULL is fine */
uint64_t ap_paged_size(const struct ap_paged *paged);
/* A description of its own of the sparse file, for reading, and where its bits begin in the map. */
AP_CHECKED enum apiary_code ap_paged_open(
    struct ap_paged *paged, int *fd, uint64_t *map_at, struct apiary_error *err);
/* Fetches what is missing of a range and ends the wait. ahead: nobody waits for it yet; it yields
 * to what somebody waits for. Never waits itself. */
void ap_paged_want(struct ap_paged *paged, struct ap_account *account, uint64_t offset,
    uint64_t length, bool ahead, struct ap_page_wait wait);
/* The bytes of a wait that was ended with AP_PAGE_TAKE. An errno, or 0. */
int ap_account_take(struct ap_account *account, struct ap_page_wait wait, struct ap_bytes *out);
/* Fetches the whole object, waiting for it. FULL: it finds no room on the disk; of one that never could, nothing
 * is asked for. */
AP_CHECKED enum apiary_code ap_paged_fetch_all(struct ap_paged *paged, struct ap_account *account,
    const struct ap_cancel *cancel, struct apiary_error *err);
/* Begins with that, and does not wait. */
void ap_paged_fetch_begin(struct ap_paged *paged, struct ap_account *account);

/* Asks for the end of a Parquet file as the engine will, and reads its footer when it is there. */
void ap_paged_warm(struct ap_paged *paged, struct ap_account *account);
/* Does the disk hold the page at `offset` from an earlier time, as far as its map says? */
bool ap_paged_saved(struct ap_paged *paged, uint64_t offset);
/* NULL until it was read; lives as long as the object. */
const struct ap_footer *ap_paged_footer(struct ap_paged *paged);

/* Measures anew what is held and what may be (other processes fill the folder, the free disk gets
 * less), and removes the longest unused until it fits. *bytes: what is gone. For quiet times: reads of
 * this process make room for themselves. */
AP_CHECKED enum apiary_code ap_cache_trim(
    struct ap_cache *cache, uint64_t *bytes, struct apiary_error *err);

/* ---- for `apiary cache` ---- */

struct ap_cache_totals {
    uint64_t files, bytes, limit_bytes;
};
struct ap_cache_file {
    const char *store, *key;
    uint64_t size, held_bytes;
    int64_t used_us; /* by this machine's clock */
};
/* What the folder holds; each() for every object whose map can be read, may be NULL. */
AP_CHECKED enum apiary_code ap_cache_look(struct ap_cache *cache, struct ap_cache_totals *totals,
    enum apiary_code (*each)(void *context, const struct ap_cache_file *file, struct apiary_error *err),
    void *context, struct apiary_error *err);
/* Removes what nobody has open. *bytes: what is gone. */
AP_CHECKED enum apiary_code ap_cache_clear(
    struct ap_cache *cache, uint64_t *bytes, struct apiary_error *err);

#endif
