/* The cache inside: what its files share.
 *
 *   cache.c         objects, accounts, the map's memory
 *   cache_fetch.c   what is asked for, the queue, the workers, who waits
 *   cache_file.c    one object on the disk: its sparse file, its checksums
 *   cache_room.c    the limit, what goes when it is reached; looking and clearing
 *
 * A page: MISSING --want--> in flight (a fetch covers it) --> there (its bit is set)
 *                                                        \-> MISSING again (failed: waits end so)
 *
 * Invariants
 *  (1) A bit is set after the page was written whole to the file that every holder has open.
 *  (2) Whoever reads a file holds a shared lock on it (flock, of the description, so a chamber's
 *      too): only a file without one is removed to make room, and removing is unlinking, never
 *      punching. So the file that a chamber has open is the one that its name means.
 *  (2b) Bits are about the file that is open. When it is opened again they begin anew: what the
 *      file holds is believed by its checksums.
 *  (3) No page is in two fetches. */
#ifndef AP_CELLS_CACHE_PRIVATE_H
#define AP_CELLS_CACHE_PRIVATE_H

#include "cells/cache.h"

#include <sys/types.h>

enum {
    AP_CACHE_ID_SIZE = 32, /* hex digits */
    AP_CACHE_WORKERS_MAX = 32,
    AP_CACHE_GAP_PAGES = 4,        /* pages between two that are fetched with them */
    AP_CACHE_FETCH_PAGES = 2048,   /* 8 MiB: more is several requests */
    AP_CACHE_OPEN_MAX = 200,       /* sparse files that stay open while nothing is asked of them */
    AP_CACHE_IDLE_MAX = 4096,      /* objects that nobody holds and that are remembered */
    AP_CACHE_IDLE_US = 30000000,   /* so long files stay open that nobody holds */
    AP_CACHE_HEADER_SIZE = 4096,
    AP_CACHE_PATH_MAX = 4096,
};
#define AP_CACHE_FLIGHT_BYTES_MAX (UINT64_C(64) << 20) /* asked of stores at one time */
#define AP_CACHE_MAP_BYTES (UINT64_C(128) << 20)       /* of address space: bits of 4 TB */

/* Pages that are asked for, or will be. */
struct ap_fetch {
    struct ap_fetch *queue_next; /* in the queue of its kind */
    struct ap_fetch *next;       /* of its object */
    struct ap_paged *paged;
    struct ap_account *account; /* counted */
    uint64_t first, last;
    bool ahead, running;
};

/* A read that waits. */
struct ap_waiting {
    struct ap_waiting *next;
    struct ap_account *account; /* borrowed: it is closed after its waits have ended */
    struct ap_paged *paged;
    struct ap_page_wait wait;
    uint64_t offset, length;
    uint64_t first, last;
    char *loose;      /* pages first … last that found no room on the disk; NULL: none */
    bool *loose_there;
};

struct ap_account {
    struct ap_cache *cache;
    int references; /* the statement's and one of each fetch; under the cache's lock, as all below */
    bool closed;
    struct ap_cache_figures figures;
    struct apiary_error trouble;
    struct ap_waiting *loose; /* ended with TAKE */
};

enum ap_footer_state { AP_FOOTER_NONE, AP_FOOTER_ASKED, AP_FOOTER_READ, AP_FOOTER_FAILED };

struct ap_paged {
    struct ap_cache *cache;
    struct ap_store *store;
    char *key;
    uint64_t size, pages;
    char id[AP_CACHE_ID_SIZE + 1];

    /* Under the cache's lock. */
    int references;
    int64_t idle_since_us;
    char etag[AP_ETAG_MAX]; /* "": no answer yet */
    int fd;                 /* the sparse file; -1: not open now */
    bool locked;            /* nobody may remove it: somebody holds the object */
    bool named;             /* it has a name in the cache's folder */
    bool handed_out;        /* a chamber may have the file open */
    dev_t device;
    ino_t inode;            /* of the file that was opened last; 0: none yet */
    size_t map_at, map_words;
    ap_page_word *bits;     /* NULL: it was never opened */
    struct ap_fetch *fetches;
    struct ap_waiting *waits;
    int busy;     /* somebody reads the file */
    bool changed; /* the store has another object under the name by now: */
    struct apiary_error change; /* what is told to who asks for more of it */
    enum ap_footer_state footer_state;
    uint64_t footer_at; /* its first byte that is asked for */
    struct ap_footer footer;
};

struct ap_cache {
    struct ap_env *env;
    struct ap_log *log;
    char *dir; /* …/cells */

    char *map;
    int map_fd;

    struct ap_lock *lock; /* guards what follows */
    struct ap_map *objects_by_id;
    struct ap_paged **objects;
    size_t object_count, object_capacity;
    size_t open_count;
    size_t map_used;
    struct free_bits *free_bits[64]; /* by size class */
    struct ap_fetch *demand, **demand_end, *ahead, **ahead_end;
    struct ap_thread *workers[AP_CACHE_WORKERS_MAX];
    size_t worker_count, worker_idle;
    size_t queued; /* fetches in both queues */
    uint64_t flight_bytes;
    bool closing;
    bool keeper; /* a worker looks after idle files */
    bool dir_made;
    bool measured; /* used_bytes and limit_bytes are known */
    bool evicting;
    uint64_t limit_wanted, limit_bytes;
    uint64_t used_bytes;
};

/* ---- cache.c; the lock is held ---- */
void ap_account_unref_locked(struct ap_account *account);
void ap_account_fail_locked(struct ap_account *account, const struct apiary_error *err);
/* The store has another object under the name: whoever holds this one gets no more of it. */
void ap_paged_changed_locked(struct ap_paged *paged, const struct apiary_error *err);
/* Zeroed words of the map. */
AP_CHECKED enum apiary_code ap_cache_bits_new_locked(
    struct ap_cache *cache, uint64_t pages, size_t *at, size_t *words, struct apiary_error *err);
void ap_cache_bits_free_locked(struct ap_cache *cache, size_t at, size_t words);

/* ---- cache_file.c ---- */
/* Opens the sparse file (again) and gives the object bits; the lock is held. */
AP_CHECKED enum apiary_code ap_paged_ready_locked(struct ap_paged *paged, struct apiary_error *err);
void ap_paged_rest_locked(struct ap_paged *paged); /* closes it */
void ap_paged_idle_locked(struct ap_paged *paged); /* nobody holds it: it may be removed */
/* Marks pages of [first, last] that the disk holds from an earlier time. Returns their bytes. */
uint64_t ap_paged_recall(struct ap_paged *paged, uint64_t first, uint64_t last);
/* Keeps the ETag of a first answer. CORRUPT: the object is another one by now. */
AP_CHECKED enum apiary_code ap_paged_pin(
    struct ap_paged *paged, const char *etag, struct apiary_error *err);
/* Writes pages and their checksums and sets their bits. FULL: nothing was written that counts. */
AP_CHECKED enum apiary_code ap_paged_store(
    struct ap_paged *paged, uint64_t first, struct ap_str body, struct apiary_error *err);
void ap_paged_forget(struct ap_paged *paged); /* removes its files: they are of another object */

/* What {id}.map begins with. */
struct ap_map_header {
    char magic[8];
    uint64_t size;
    char etag[AP_ETAG_MAX];
    char store[2048];
    char key[AP_KEY_MAX + 8];
    uint64_t check; /* of all before */
};
bool ap_map_header_read(int fd, struct ap_map_header *out);

/* ---- cache_room.c ---- */
/* May `bytes` more be written? Removes what was not used for longest. Called without the lock. */
bool ap_cache_room(struct ap_cache *cache, uint64_t bytes);
/* Were there nothing else in it. */
bool ap_cache_could_hold(struct ap_cache *cache, uint64_t bytes);
void ap_cache_path(const struct ap_cache *cache, const char *id, const char *ending,
    char out[AP_CACHE_PATH_MAX]);
AP_CHECKED enum apiary_code ap_cache_dir_make(struct ap_cache *cache, struct apiary_error *err);

/* ---- cache_fetch.c ---- */
void ap_cache_worker(void *cache);

#endif
