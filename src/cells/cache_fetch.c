/* What is asked for, by whom, and the workers that fetch it. */
#include "cells/cache_private.h"

#include "core/alloc.h"

#include <errno.h>
#include <unistd.h>

enum {
    GETS_MAX = 16, /* requests of one fetch at one time */
    FOOTER_ASK_MIN = 16 << 10, /* size ÷ 500 between these, twice what the engine asks for first: */
    FOOTER_ASK_MAX = 512 << 10, /* footers of cells, with their statistics, are about so long */
    FOOTER_PART = 500,
    WHOLE_STEP = 256 << 20, /* of a whole object, at one time: so much is in memory at most when the disk fills up */
    WHOLE_TRIES_MAX = 3,
    CANCEL_LOOK_US = 50000,
};

/* ---- who waits ---- */

static uint32_t error_state(enum apiary_code code)
{
    switch (code) {
        case APIARY_NOT_FOUND: return AP_PAGE_ERROR + ENOENT;
        case APIARY_DENIED: return AP_PAGE_ERROR + EACCES;
        case APIARY_MEMORY: return AP_PAGE_ERROR + ENOMEM;
        default: return AP_PAGE_ERROR + EIO;
    }
}

static void waiting_free(struct ap_waiting *waiting)
{
    ap_free(waiting->loose);
    ap_free(waiting->loose_there);
    ap_free(waiting);
}

/* Is every page of it in the file or among its loose ones? */
static bool complete_locked(const struct ap_waiting *waiting, bool *loose)
{
    *loose = false;
    for (uint64_t page = waiting->first; page <= waiting->last; page++) {
        page = ap_pages_find(waiting->paged->bits, page, waiting->last, false);
        if (page > waiting->last) return true;
        if (!waiting->loose_there || !waiting->loose_there[page - waiting->first]) return false;
        *loose = true;
    }
    return true;
}

/* Ends the waits of an object that have all they wait for, and, if a fetch of pages first … last
 * failed, those that it leaves without. */
static void end_waits_locked(struct ap_paged *paged, enum apiary_code failed, uint64_t first,
    uint64_t last, const struct apiary_error *err)
{
    for (struct ap_waiting **link = &paged->waits, *waiting; (waiting = *link);) {
        bool loose = false, complete = complete_locked(waiting, &loose);
        bool hit = failed != APIARY_OK && waiting->first <= last && waiting->last >= first;
        if (!complete && !hit) {
            link = &waiting->next;
            continue;
        }
        *link = waiting->next;
        struct ap_page_wait wait = waiting->wait;
        uint32_t state = AP_PAGE_THERE;
        if (!complete) {
            state = error_state(failed);
            ap_account_fail_locked(waiting->account, err);
        } else if (loose)
            state = AP_PAGE_TAKE;
        if (loose && complete) {
            waiting->next = waiting->account->loose;
            waiting->account->loose = waiting;
        } else
            waiting_free(waiting);
        ap_page_wait_end(wait, state);
    }
    ap_wake_all(paged->cache->env, paged->cache->lock);
}

/* Pages that found no room go to those who wait for them. */
static void give_loose_locked(struct ap_paged *paged, uint64_t first, struct ap_str body)
{
    uint64_t last = first + (body.size - 1) / AP_PAGE_SIZE;
    for (struct ap_waiting *waiting = paged->waits; waiting; waiting = waiting->next) {
        uint64_t count = waiting->last - waiting->first + 1;
        if (waiting->first > last || waiting->last < first) continue;
        if (!waiting->loose) {
            waiting->loose = ap_calloc((size_t)count, AP_PAGE_SIZE);
            waiting->loose_there = ap_calloc((size_t)count, sizeof *waiting->loose_there);
        }
        if (!waiting->loose || !waiting->loose_there) continue; /* it ends without them */
        uint64_t from = waiting->first > first ? waiting->first : first;
        uint64_t until = waiting->last < last ? waiting->last : last;
        size_t at = (size_t)(from - first) * AP_PAGE_SIZE;
        size_t size = (size_t)(until - from + 1) * AP_PAGE_SIZE;
        if (size > body.size - at) size = body.size - at;
        memcpy(waiting->loose + (from - waiting->first) * AP_PAGE_SIZE, body.data + at, size);
        for (uint64_t page = from; page <= until; page++)
            waiting->loose_there[page - waiting->first] = true;
    }
}

static enum apiary_code assemble(
    const struct ap_waiting *waiting, int fd, struct ap_bytes *out, struct apiary_error *err)
{
    for (uint64_t page = waiting->first; page <= waiting->last; page++) {
        if (waiting->loose_there[page - waiting->first]) continue;
        char *to = waiting->loose + (page - waiting->first) * AP_PAGE_SIZE;
        if (pread(fd, to, AP_PAGE_SIZE, (off_t)(page * AP_PAGE_SIZE)) < 0)
            return ap_fail_errno(err, errno, "cannot read the cell cache");
    }
    const char *data = waiting->loose + (waiting->offset - waiting->first * AP_PAGE_SIZE);
    return ap_bytes_add(out, data, (size_t)waiting->length, err);
}

int ap_account_take(struct ap_account *account, struct ap_page_wait wait, struct ap_bytes *out)
{
    struct ap_cache *cache = account->cache;
    ap_lock(cache->env, cache->lock);
    struct ap_waiting **link = &account->loose;
    while (*link && ((*link)->wait.who != wait.who || (*link)->wait.slot != wait.slot))
        link = &(*link)->next;
    struct ap_waiting *waiting = *link;
    int error = EAGAIN;
    if (waiting) {
        *link = waiting->next;
        error = ap_paged_ready_locked(waiting->paged, NULL) == APIARY_OK &&
                        assemble(waiting, waiting->paged->fd, out, NULL) == APIARY_OK
                    ? 0
                    : EIO;
        waiting_free(waiting);
    }
    ap_unlock(cache->env, cache->lock);
    return error;
}

/* ---- the queue ---- */

static void queue_push_locked(struct ap_cache *cache, struct ap_fetch *fetch)
{
    struct ap_fetch ***end = fetch->ahead ? &cache->ahead_end : &cache->demand_end;
    fetch->queue_next = NULL;
    **end = fetch;
    *end = &fetch->queue_next;
    cache->queued++;
}

static void queue_remove_locked(struct ap_cache *cache, struct ap_fetch *fetch)
{
    struct ap_fetch **link = fetch->ahead ? &cache->ahead : &cache->demand;
    struct ap_fetch ***end = fetch->ahead ? &cache->ahead_end : &cache->demand_end;
    while (*link && *link != fetch) link = &(*link)->queue_next;
    ap_assert(*link == fetch);
    *link = fetch->queue_next;
    if (*end == &fetch->queue_next) *end = link;
    cache->queued--;
}

/* Takes it out of its object and frees it. */
static void fetch_free_locked(struct ap_fetch *fetch)
{
    struct ap_paged *paged = fetch->paged;
    struct ap_fetch **link = &paged->fetches;
    while (*link != fetch) link = &(*link)->next;
    *link = fetch->next;
    ap_account_unref_locked(fetch->account);
    ap_free(fetch);
    if (!paged->references && !paged->fetches) ap_paged_idle_locked(paged);
}

static void worker_wanted_locked(struct ap_cache *cache)
{
    ap_wake_all(cache->env, cache->lock);
    bool enough = cache->queued <= cache->worker_idle;
    if (enough || cache->worker_count == AP_CACHE_WORKERS_MAX || cache->closing) return;
    struct ap_thread *thread =
        cache->env->ops->thread_start(cache->env->world, ap_cache_worker, cache);
    if (thread) cache->workers[cache->worker_count++] = thread;
}

static uint64_t bytes_of(const struct ap_fetch *fetch)
{
    return (fetch->last - fetch->first + 1) * AP_PAGE_SIZE;
}

/* The fetch that covers a page; NULL: none. */
static struct ap_fetch *covering(const struct ap_paged *paged, uint64_t page)
{
    struct ap_fetch *fetch = paged->fetches;
    while (fetch && (page < fetch->first || page > fetch->last)) fetch = fetch->next;
    return fetch;
}

/* A queued fetch that these pages can join: close by, and not too long then. */
static bool join_locked(struct ap_paged *paged, uint64_t first, uint64_t last, bool ahead)
{
    for (struct ap_fetch *fetch = paged->fetches; fetch; fetch = fetch->next) {
        if (fetch->running || fetch->ahead != ahead) continue;
        uint64_t from = fetch->first < first ? fetch->first : first;
        uint64_t until = fetch->last > last ? fetch->last : last;
        uint64_t together = fetch->last - fetch->first + 1 + (last - first + 1);
        if (until - from + 1 > together + AP_CACHE_GAP_PAGES) continue;
        if (until - from + 1 > AP_CACHE_FETCH_PAGES) continue;
        bool alone = true; /* what lies between must not be another's */
        for (uint64_t page = from; alone && page <= until; page++) {
            const struct ap_fetch *other = covering(paged, page);
            alone = !other || other == fetch;
        }
        if (!alone) continue;
        fetch->first = from;
        fetch->last = until;
        return true;
    }
    return false;
}

static enum apiary_code fetch_new_locked(struct ap_paged *paged, struct ap_account *account,
    uint64_t first, uint64_t last, bool ahead, struct apiary_error *err)
{
    if (join_locked(paged, first, last, ahead)) return APIARY_OK;
    struct ap_fetch *fetch = ap_calloc(1, sizeof *fetch);
    if (!fetch) return ap_fail_memory(err, "a request for pages");
    *fetch = (struct ap_fetch) { .next = paged->fetches,
        .paged = paged,
        .account = account,
        .first = first,
        .last = last,
        .ahead = ahead };
    account->references++;
    paged->fetches = fetch;
    queue_push_locked(paged->cache, fetch);
    worker_wanted_locked(paged->cache);
    return APIARY_OK;
}

/* Asks for those of pages first … last that are neither there nor asked for already. */
static enum apiary_code fetch_missing_locked(struct ap_paged *paged, struct ap_account *account,
    uint64_t first, uint64_t last, bool ahead, struct apiary_error *err)
{
    uint64_t page = first;
    while ((page = ap_pages_find(paged->bits, page, last, false)) <= last) {
        struct ap_fetch *other = covering(paged, page);
        if (other) {
            if (!ahead && other->ahead && !other->running) { /* somebody waits for it now */
                queue_remove_locked(paged->cache, other);
                other->ahead = false;
                queue_push_locked(paged->cache, other);
            }
            page = other->last + 1;
            if (page > last) break;
            continue;
        }
        uint64_t until = page;
        while (until < last && until - page + 1 < AP_CACHE_FETCH_PAGES) {
            uint64_t next = ap_pages_find(paged->bits, until + 1, last, false);
            if (next > last || next - until - 1 > AP_CACHE_GAP_PAGES || covering(paged, next)) break;
            bool free = true;
            for (uint64_t between = until + 1; free && between < next; between++)
                free = !covering(paged, between);
            if (!free) break;
            until = next;
        }
        AP_TRY(fetch_new_locked(paged, account, page, until, ahead, err));
        page = until + 1;
        if (page > last) break;
    }
    return APIARY_OK;
}

static enum apiary_code want_locked(struct ap_paged *paged, struct ap_account *account,
    uint64_t offset, uint64_t length, bool ahead, struct ap_page_wait wait,
    struct apiary_error *err)
{
    uint64_t first = offset / AP_PAGE_SIZE, last = (offset + length - 1) / AP_PAGE_SIZE;
    AP_TRY(ap_paged_ready_locked(paged, err));
    AP_TRY(fetch_missing_locked(paged, account, first, last, ahead, err));
    if (!wait.done) return APIARY_OK;
    if (ap_pages_there(paged->bits, first, last)) {
        ap_page_wait_end(wait, AP_PAGE_THERE);
        return APIARY_OK;
    }
    struct ap_waiting *waiting = ap_calloc(1, sizeof *waiting);
    if (!waiting) return ap_fail_memory(err, "a request for pages");
    *waiting = (struct ap_waiting) { .next = paged->waits,
        .account = account,
        .paged = paged,
        .wait = wait,
        .offset = offset,
        .length = length,
        .first = first,
        .last = last };
    paged->waits = waiting;
    return APIARY_OK;
}

void ap_paged_want(struct ap_paged *paged, struct ap_account *account, uint64_t offset,
    uint64_t length, bool ahead, struct ap_page_wait wait)
{
    struct ap_cache *cache = paged->cache;
    struct apiary_error err = { 0 };
    if (offset >= paged->size || length == 0) {
        ap_page_wait_end(wait, AP_PAGE_THERE);
        return;
    }
    if (length > paged->size - offset) length = paged->size - offset;
    ap_lock(cache->env, cache->lock);
    enum apiary_code code = want_locked(paged, account, offset, length, ahead, wait, &err);
    if (code != APIARY_OK && wait.done) {
        ap_account_fail_locked(account, &err);
        ap_page_wait_end(wait, error_state(code));
    }
    ap_unlock(cache->env, cache->lock);
}

void ap_account_close(struct ap_account *account)
{
    if (!account) return;
    struct ap_cache *cache = account->cache;
    ap_lock(cache->env, cache->lock);
    account->closed = true;
    for (size_t i = 0; i < cache->object_count; i++) {
        struct ap_paged *paged = cache->objects[i];
        for (struct ap_waiting **link = &paged->waits, *waiting; (waiting = *link);) {
            if (waiting->account != account) {
                link = &waiting->next;
                continue;
            }
            *link = waiting->next;
            ap_page_wait_end(waiting->wait, AP_PAGE_ERROR + ECANCELED);
            waiting_free(waiting);
        }
        for (struct ap_fetch *fetch = paged->fetches, *next; fetch; fetch = next) {
            next = fetch->next;
            if (fetch->account != account || fetch->running || paged->waits) continue;
            queue_remove_locked(cache, fetch);
            fetch_free_locked(fetch);
        }
    }
    while (account->loose) {
        struct ap_waiting *waiting = account->loose;
        account->loose = waiting->next;
        waiting_free(waiting);
    }
    ap_account_unref_locked(account);
    ap_unlock(cache->env, cache->lock);
}

/* ---- fetching ---- */

/* Puts a failure of the store into the words of who reads a cell. */
static void explain(const struct ap_paged *paged, enum apiary_code code, struct apiary_error *err)
{
    if (code == APIARY_NOT_FOUND) {
        ap_fail(err, code, "cell %s/%s is gone", paged->store->uri, paged->key);
        ap_hint(err, "it may have been vacuumed since the statement began: run it again");
    } else if (code == APIARY_CONFLICT)
        ap_fail(err, APIARY_CORRUPT, "cell %s/%s changed under its name", paged->store->uri,
            paged->key);
    else
        ap_context(err, code, "cell %s/%s", paged->store->uri, paged->key);
}

/* What came, into the file, or to those who wait for it. */
static enum apiary_code keep(
    struct ap_fetch *fetch, uint64_t first, struct ap_get *get, struct apiary_error *err)
{
    struct ap_paged *paged = fetch->paged;
    struct ap_cache *cache = paged->cache;
    if (get->code != APIARY_OK) {
        *err = get->error;
        explain(paged, get->code, err);
        return get->code == APIARY_CONFLICT ? APIARY_CORRUPT : get->code;
    }
    if (get->object.size != paged->size)
        return ap_fail(err, APIARY_CORRUPT, "cell %s/%s has %llu bytes; the ledger says %llu",
            paged->store->uri, paged->key, (unsigned long long)get->object.size,
            (unsigned long long)paged->size);
    AP_TRY(ap_paged_pin(paged, get->object.etag, err));
    struct ap_str body = ap_bytes_view(&get->body);
    enum apiary_code code = ap_paged_store(paged, first, body, err);
    ap_lock(cache->env, cache->lock);
    if (fetch->ahead) fetch->account->figures.ahead_bytes += body.size;
    if (code == APIARY_FULL) give_loose_locked(paged, first, body);
    ap_unlock(cache->env, cache->lock);
    return code == APIARY_FULL ? APIARY_OK : code;
}

/* The next run of pages that are missing, with small gaps in it. False: there is none. */
static bool next_run(
    const struct ap_paged *paged, uint64_t from, uint64_t last, uint64_t *first, uint64_t *until)
{
    if (from > last) return false;
    *first = ap_pages_find(paged->bits, from, last, false);
    if (*first > last) return false;
    *until = *first;
    while (*until < last) {
        uint64_t next = ap_pages_find(paged->bits, *until + 1, last, false);
        if (next > last || next - *until - 1 > AP_CACHE_GAP_PAGES) break;
        *until = next;
    }
    return true;
}

static enum apiary_code run_fetch(struct ap_fetch *fetch, struct apiary_error *err)
{
    struct ap_paged *paged = fetch->paged;
    struct ap_cache *cache = paged->cache;
    struct ap_get gets[GETS_MAX];
    uint64_t firsts[GETS_MAX], from = fetch->first;
    char etag[AP_ETAG_MAX];
    uint64_t saved = ap_paged_recall(paged, fetch->first, fetch->last);
    ap_lock(cache->env, cache->lock);
    memcpy(etag, paged->etag, sizeof etag);
    fetch->account->figures.saved_bytes += saved;
    ap_unlock(cache->env, cache->lock);
    enum apiary_code code = APIARY_OK;
    while (code == APIARY_OK) {
        size_t count = 0;
        uint64_t until = 0;
        memset(gets, 0, sizeof gets);
        for (; count < GETS_MAX && next_run(paged, from, fetch->last, &firsts[count], &until);
             count++) {
            uint64_t at = firsts[count] * AP_PAGE_SIZE, end = (until + 1) * AP_PAGE_SIZE;
            if (end > paged->size) end = paged->size;
            gets[count] = (struct ap_get) { .key = paged->key,
                .range = { at, end - at, false },
                .if_etag = etag[0] ? etag : NULL };
            from = until + 1;
        }
        if (count == 0) break;
        struct ap_store_counts *before =
            ap_store_scope(cache->env, &fetch->account->figures.asked);
        ap_store_get_many(paged->store, gets, count);
        ap_store_scope(cache->env, before);
        for (size_t i = 0; i < count; i++) {
            if (code == APIARY_OK) code = keep(fetch, firsts[i], &gets[i], err);
            ap_get_done(&gets[i]);
        }
    }
    return code;
}

/* ---- footers ---- */

static enum apiary_code read_at(
    int fd, uint64_t offset, size_t size, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_reserve(out, size, err));
    if (pread(fd, out->data, size, (off_t)offset) != (ssize_t)size)
        return ap_fail(err, APIARY_IO, "cannot read the cell cache");
    out->size = size;
    return APIARY_OK;
}

/* Reads it from the file; *footer_at is moved when it begins before what is there. */
static enum apiary_code parse_footer(
    struct ap_paged *paged, uint64_t *footer_at, struct ap_footer *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    uint64_t length = 0;
    AP_TRY(read_at(paged->fd, *footer_at, (size_t)(paged->size - *footer_at), &text, err));
    AP_TRY(ap_footer_length(ap_bytes_view(&text), paged->size, &length, err));
    if (length + AP_FOOTER_TAIL > text.size) {
        *footer_at = paged->size - AP_FOOTER_TAIL - length;
        *footer_at -= *footer_at % AP_PAGE_SIZE;
        return APIARY_OK;
    }
    struct ap_str metadata = { text.data + text.size - AP_FOOTER_TAIL - length, (size_t)length };
    return ap_footer_parse(metadata, paged->size, out, err);
}

/* With the pages of the footer there, reads it. The lock is held, and let go meanwhile; the object
 * is held by a fetch or a reference. */
static void footer_locked(struct ap_paged *paged, struct ap_account *account)
{
    struct ap_cache *cache = paged->cache;
    uint64_t at = paged->footer_at;
    if (paged->footer_state != AP_FOOTER_ASKED || paged->fd < 0 || paged->pages == 0) return;
    if (!ap_pages_there(paged->bits, at / AP_PAGE_SIZE, paged->pages - 1)) return;
    struct ap_footer footer = { 0 };
    paged->footer_state = AP_FOOTER_FAILED; /* nobody else reads it now */
    paged->busy++;
    ap_unlock(cache->env, cache->lock);
    /* A footer that is out of form is the engine's to complain of: there is no read-ahead then. */
    enum apiary_code code = parse_footer(paged, &at, &footer, NULL);
    ap_lock(cache->env, cache->lock);
    paged->busy--;
    if (code == APIARY_OK && at < paged->footer_at) {
        paged->footer_at = at;
        paged->footer_state = AP_FOOTER_ASKED;
        code = fetch_missing_locked(
            paged, account, at / AP_PAGE_SIZE, paged->pages - 1, false, NULL);
        if (code != APIARY_OK) paged->footer_state = AP_FOOTER_FAILED;
    } else if (code == APIARY_OK) {
        paged->footer = footer;
        paged->footer_state = AP_FOOTER_READ;
    }
}

void ap_paged_warm(struct ap_paged *paged, struct ap_account *account)
{
    struct ap_cache *cache = paged->cache;
    uint64_t ask = paged->size / FOOTER_PART;
    if (ask < FOOTER_ASK_MIN) ask = FOOTER_ASK_MIN;
    if (ask > FOOTER_ASK_MAX) ask = FOOTER_ASK_MAX;
    if (ask > paged->size) ask = paged->size;
    if (ask == 0) return;
    ap_lock(cache->env, cache->lock);
    if (paged->footer_state == AP_FOOTER_NONE) {
        paged->footer_at = (paged->size - ask) / AP_PAGE_SIZE * AP_PAGE_SIZE;
        paged->footer_state = AP_FOOTER_ASKED;
    }
    if (paged->footer_state == AP_FOOTER_ASKED &&
        want_locked(paged, account, paged->footer_at, paged->size - paged->footer_at, false,
            (struct ap_page_wait) { 0 }, NULL) == APIARY_OK)
        footer_locked(paged, account);
    ap_unlock(cache->env, cache->lock);
}

/* ---- whole objects ---- */

struct whole {
    bool ended; /* under the cache's lock */
    uint32_t state;
};

static void whole_ended(void *who, uint32_t slot, uint32_t state)
{
    struct whole *whole = who;
    whole->state = state;
    whole->ended = true;
}

void ap_paged_fetch_begin(struct ap_paged *paged, struct ap_account *account)
{
    if (ap_cache_could_hold(paged->cache, paged->size))
        ap_paged_want(paged, account, 0, WHOLE_STEP, false, (struct ap_page_wait) { 0 });
}

/* Until it has ended. False: nobody wants it any more, and it is forgotten. */
static bool whole_wait_locked(
    struct ap_paged *paged, const struct whole *whole, const struct ap_cancel *cancel)
{
    struct ap_env *env = paged->cache->env;
    while (!whole->ended && !ap_cancel_requested(cancel))
        ap_wait_until(env, paged->cache->lock, cancel ? ap_mono_us(env) + CANCEL_LOOK_US : INT64_MAX);
    if (whole->ended) return true;
    struct ap_waiting **link = &paged->waits;
    while ((*link)->wait.who != whole) link = &(*link)->next;
    struct ap_waiting *waiting = *link;
    *link = waiting->next;
    waiting_free(waiting);
    return false;
}

/* A step from `at` on, while the next is under way. */
static enum apiary_code fetch_step(struct ap_paged *paged, struct ap_account *account, uint64_t at,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    struct ap_cache *cache = paged->cache;
    struct whole whole = { 0 };
    const struct ap_page_wait wait = { .done = whole_ended, .who = &whole };
    uint64_t left = paged->size - at, length = left < WHOLE_STEP ? left : WHOLE_STEP;
    ap_lock(cache->env, cache->lock);
    enum apiary_code code = want_locked(paged, account, at, length, false, wait, err);
    ap_unlock(cache->env, cache->lock);
    if (code != APIARY_OK) return code;
    ap_paged_want(paged, account, at + length, WHOLE_STEP, false, (struct ap_page_wait) { 0 });
    ap_lock(cache->env, cache->lock);
    bool ended = whole_wait_locked(paged, &whole, cancel);
    ap_unlock(cache->env, cache->lock);
    if (!ended) return ap_fail(err, APIARY_CANCELLED, "cancelled");
    if (whole.state == AP_PAGE_THERE) return APIARY_OK;
    AP_AUTO(ap_bytes) loose = { 0 };
    if (whole.state == AP_PAGE_TAKE && ap_account_take(account, wait, &loose) == 0)
        return ap_fail(err, APIARY_FULL, "the cell cache has no room for %s", paged->key);
    code = ap_account_trouble(account, err);
    return code != APIARY_OK ? code : ap_fail(err, APIARY_IO, "cannot read %s", paged->key);
}

enum apiary_code ap_paged_fetch_all(struct ap_paged *paged, struct ap_account *account,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    struct ap_cache *cache = paged->cache;
    if (paged->size == 0) return APIARY_OK;
    if (!ap_cache_could_hold(cache, paged->size))
        return ap_fail(err, APIARY_FULL, "the cell cache can never hold %s", paged->key);
    for (int i = 0; i < WHOLE_TRIES_MAX; i++) {
        for (uint64_t at = 0; at < paged->size; at += WHOLE_STEP)
            AP_TRY(fetch_step(paged, account, at, cancel, err));
        ap_lock(cache->env, cache->lock);
        bool there = ap_pages_there(paged->bits, 0, paged->pages - 1);
        ap_unlock(cache->env, cache->lock);
        if (there) return APIARY_OK; /* else the file was closed between two steps */
    }
    return ap_fail(err, APIARY_IO, "cannot keep all of %s", paged->key);
}

/* ---- the workers ---- */

/* Who began to wait after a fetch had given its bytes away (there was no room for them) is left
 * without: they are asked for again. */
static void ask_again_locked(struct ap_paged *paged, uint64_t first, uint64_t last)
{
    for (struct ap_waiting *waiting = paged->waits; waiting; waiting = waiting->next) {
        if (waiting->first > last || waiting->last < first) continue;
        struct apiary_error err = { 0 };
        enum apiary_code code = fetch_missing_locked(
            paged, waiting->account, waiting->first, waiting->last, false, &err);
        if (code == APIARY_OK) continue;
        end_waits_locked(paged, code, waiting->first, waiting->last, &err);
        return; /* the list is another one now; memory is out anyway */
    }
}


static struct ap_fetch *next_fetch_locked(struct ap_cache *cache)
{
    struct ap_fetch *fetch = cache->demand ? cache->demand : cache->ahead;
    if (!fetch) return NULL;
    if (cache->flight_bytes && cache->flight_bytes + bytes_of(fetch) > AP_CACHE_FLIGHT_BYTES_MAX)
        return NULL;
    queue_remove_locked(cache, fetch);
    fetch->running = true;
    cache->flight_bytes += bytes_of(fetch);
    return fetch;
}

static void close_idle_locked(struct ap_cache *cache)
{
    int64_t before = ap_mono_us(cache->env) - AP_CACHE_IDLE_US / 2;
    for (size_t i = 0; i < cache->object_count; i++) {
        struct ap_paged *paged = cache->objects[i];
        if (!paged->references && !paged->fetches && paged->idle_since_us < before)
            ap_paged_rest_locked(paged);
    }
}

void ap_cache_worker(void *context)
{
    struct ap_cache *cache = context;
    ap_lock(cache->env, cache->lock);
    for (;;) {
        struct ap_fetch *fetch = next_fetch_locked(cache);
        if (!fetch) {
            if (cache->closing) break;
            /* One of them looks after files that nobody needs. */
            bool keeper = cache->open_count && !cache->keeper;
            int64_t until = keeper ? ap_mono_us(cache->env) + AP_CACHE_IDLE_US : INT64_MAX;
            if (keeper) cache->keeper = true;
            cache->worker_idle++;
            bool woken = ap_wait_until(cache->env, cache->lock, until);
            cache->worker_idle--;
            if (keeper) cache->keeper = false;
            if (!woken) close_idle_locked(cache);
            continue;
        }
        struct apiary_error err = { 0 };
        struct ap_paged *paged = fetch->paged;
        ap_unlock(cache->env, cache->lock);
        enum apiary_code code = run_fetch(fetch, &err);
        if (code == APIARY_CORRUPT) ap_paged_forget(paged);
        ap_lock(cache->env, cache->lock);
        if (code == APIARY_OK)
            footer_locked(paged, fetch->account);
        else {
            err.code = code;
            if (code == APIARY_CORRUPT) ap_paged_changed_locked(paged, &err);
        }
        cache->flight_bytes -= bytes_of(fetch);
        uint64_t first = fetch->first, last = fetch->last;
        end_waits_locked(paged, code, first, last, &err);
        bool more = paged->waits != NULL && code == APIARY_OK;
        fetch_free_locked(fetch);
        if (more) ask_again_locked(paged, first, last);
    }
    ap_unlock(cache->env, cache->lock);
}
