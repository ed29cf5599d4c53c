/* The cache of remote objects: what is fetched, what is believed, what happens when things fail. */
#include "cells/cache.h"

#include "apiary_test.h"

#include "cells/paced_store.h"
#include "core/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { OBJECT_SIZE = 1000000, PAGES = (OBJECT_SIZE + AP_PAGE_SIZE - 1) / AP_PAGE_SIZE };

struct world {
    char folder[AP_TEST_PATH_MAX];
    struct ap_store *inner;
    struct paced_store paced;
    struct ap_cache *cache;
    struct ap_account *account;
};

static char byte_at(const char *key, uint64_t at)
{
    uint64_t value = (at / 8 + 1) * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)key[0] * 77;
    return (char)(value >> (at % 8 * 8));
}

static void put_object(struct world *world, const char *key, size_t size, const char *like)
{
    struct apiary_error err = { 0 };
    char *body = malloc(size ? size : 1);
    for (size_t i = 0; i < size; i++) body[i] = byte_at(like, i);
    assert_ok(ap_store_put(world->inner, key, (struct ap_str) { body, size }, &err));
    free(body);
}

static void open_cache(struct world *world, uint64_t limit)
{
    struct apiary_error err = { 0 };
    const struct ap_cache_options options = { .dir = world->folder, .limit_bytes = limit };
    assert_ok(ap_cache_open(ap_env_system(), &options, &world->cache, &err));
    assert_ok(ap_account_new(world->cache, &world->account, &err));
    atomic_store(&world->paced.requests, 0);
    atomic_store(&world->paced.bytes, 0);
}

static void close_cache(struct world *world)
{
    ap_account_close(world->account);
    ap_cache_close(world->cache);
    world->account = NULL;
    world->cache = NULL;
}

static int setup(void **state)
{
    struct apiary_error err = { 0 };
    struct world *world = calloc(1, sizeof *world);
    ap_test_folder(world->folder);
    assert_ok(ap_store_open(ap_env_system(), "memory://x", NULL, &world->inner, &err));
    paced_store_init(&world->paced, world->inner);
    put_object(world, "a", OBJECT_SIZE, "a");
    open_cache(world, UINT64_C(1) << 30);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    if (world->cache) close_cache(world);
    ap_store_close(world->inner);
    ap_test_folder_remove(world->folder);
    free(world);
    return 0;
}

static struct ap_paged *paged(struct world *world, const char *key, uint64_t size)
{
    struct apiary_error err = { 0 };
    struct ap_paged *out = NULL;
    assert_ok(ap_paged_get(world->cache, &world->paced.store, key, size, NULL, &out, &err));
    return out;
}

/* ---- a reader as a chamber is one: it knows the file and the bits ---- */

struct reader {
    struct world *world;
    struct ap_paged *paged;
    const char *like;
    int fd;
    const ap_page_word *bits;
    void *map;
    size_t map_size;
};

static struct reader reader_open(struct world *world, const char *key, uint64_t size)
{
    struct apiary_error err = { 0 };
    struct reader reader = { .world = world, .paged = paged(world, key, size), .like = key };
    uint64_t at = 0;
    int map_fd = -1;
    assert_ok(ap_paged_open(reader.paged, &reader.fd, &at, &err));
    assert_int_equal(ap_cache_map(world->cache, &map_fd), 0);
    assert_ok(ap_pages_map(map_fd, SIZE_MAX, false, &reader.map, &reader.map_size, &err));
    close(map_fd);
    reader.bits = (const ap_page_word *)(const void *)((char *)reader.map + at);
    return reader;
}

static void reader_close(struct reader *reader)
{
    close(reader->fd);
    munmap(reader->map, reader->map_size);
    ap_paged_unref(reader->paged);
}

static void ended(void *who, uint32_t slot, uint32_t state)
{
    (void)slot;
    ap_page_slot_tell(who, state);
}

/* What a slot says in the end. */
static uint32_t want(struct reader *reader, uint64_t offset, uint64_t length, struct ap_page_slot *slot)
{
    atomic_store(&slot->state, AP_PAGE_WAITING);
    ap_paged_want(reader->paged, reader->world->account, offset, length, false,
        (struct ap_page_wait) { .done = ended, .who = slot });
    return ap_page_slot_wait(slot);
}

static void check_bytes(const char *like, const char *data, uint64_t offset, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (data[i] != byte_at(like, offset + i))
            fail_msg("byte %llu of %s is wrong", (unsigned long long)(offset + i), like);
}

/* Reads as the chamber does, and compares every byte. */
static uint32_t read_range(struct reader *reader, uint64_t offset, uint64_t length)
{
    struct ap_page_slot slot;
    AP_AUTO(ap_bytes) taken = { 0 };
    uint64_t first = offset / AP_PAGE_SIZE, last = (offset + length - 1) / AP_PAGE_SIZE;
    uint32_t state = AP_PAGE_THERE;
    if (!ap_pages_there(reader->bits, first, last)) state = want(reader, offset, length, &slot);
    if (state == AP_PAGE_TAKE) {
        const struct ap_page_wait wait = { .who = &slot };
        assert_int_equal(ap_account_take(reader->world->account, wait, &taken), 0);
        assert_int_equal(taken.size, length);
        check_bytes(reader->like, taken.data, offset, length);
    } else if (state == AP_PAGE_THERE) {
        char *data = malloc(length);
        assert_int_equal(pread(reader->fd, data, length, (off_t)offset), length);
        check_bytes(reader->like, data, offset, length);
        free(data);
    }
    return state;
}

static void assert_cost(struct world *world, long requests, long bytes)
{
    assert_int_equal(atomic_load(&world->paced.requests), requests);
    assert_int_equal(atomic_load(&world->paced.bytes), bytes);
}

/* ---- what is fetched ---- */

static void exactly(void **state)
{
    struct world *world = *state;
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    assert_int_equal(read_range(&reader, 5000, 1000), AP_PAGE_THERE);
    assert_cost(world, 1, AP_PAGE_SIZE);
    assert_int_equal(read_range(&reader, 4096, 4096), AP_PAGE_THERE); /* the same page */
    assert_cost(world, 1, AP_PAGE_SIZE);
    assert_int_equal(read_range(&reader, 0, 5 * 4096), AP_PAGE_THERE); /* one is there: a gap */
    assert_cost(world, 2, 6 * AP_PAGE_SIZE);
    assert_int_equal(read_range(&reader, OBJECT_SIZE - 10, 10), AP_PAGE_THERE); /* the end */
    assert_cost(world, 3, 6 * AP_PAGE_SIZE + OBJECT_SIZE % AP_PAGE_SIZE);
    struct ap_cache_figures figures = ap_account_figures(world->account);
    assert_int_equal(ap_store_counts_requests(&figures.asked), 3);
    assert_int_equal(figures.asked.bytes_in, atomic_load(&world->paced.bytes));
    reader_close(&reader);
}

/* What is there between missing pages is fetched again only where that saves a request. */
static void gaps(void **state)
{
    struct world *world = *state;
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    read_range(&reader, 10 * AP_PAGE_SIZE, 20 * AP_PAGE_SIZE);
    assert_cost(world, 1, 20 * AP_PAGE_SIZE);
    read_range(&reader, 0, 40 * AP_PAGE_SIZE);
    assert_cost(world, 3, 40 * AP_PAGE_SIZE);
    reader_close(&reader);
}

struct one_of_many {
    struct reader *reader;
    uint64_t offset, length;
    uint32_t state;
};

static void *read_one(void *context)
{
    struct one_of_many *one = context;
    one->state = read_range(one->reader, one->offset, one->length);
    return NULL;
}

static void once_for_many(void **state)
{
    struct world *world = *state;
    enum { READERS = 8 };
    pthread_t threads[READERS];
    struct one_of_many ones[READERS];
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    world->paced.latency_us = 50000;
    for (int i = 0; i < READERS; i++) {
        ones[i] = (struct one_of_many) { &reader, 100000, 200000, 0 };
        pthread_create(&threads[i], NULL, read_one, &ones[i]);
    }
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(ones[i].state, AP_PAGE_THERE);
    }
    uint64_t pages = (100000 + 200000 - 1) / AP_PAGE_SIZE - 100000 / AP_PAGE_SIZE + 1;
    assert_cost(world, 1, (long)(pages * AP_PAGE_SIZE));
    reader_close(&reader);
}

/* Many requests are in flight at once: ranges apart take one latency, not ten. */
static void in_flight(void **state)
{
    struct world *world = *state;
    enum { READERS = 10 };
    pthread_t threads[READERS];
    struct one_of_many ones[READERS];
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    world->paced.latency_us = 200000;
    int64_t begin = ap_mono_us(ap_env_system());
    for (int i = 0; i < READERS; i++) {
        ones[i] = (struct one_of_many) { &reader, (uint64_t)i * 90000, 100, 0 };
        pthread_create(&threads[i], NULL, read_one, &ones[i]);
    }
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&world->paced.requests), READERS);
    assert_true(ap_mono_us(ap_env_system()) - begin < READERS * world->paced.latency_us);
    reader_close(&reader);
}

static void ahead_is_not_waited_for(void **state)
{
    struct world *world = *state;
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    ap_paged_want(reader.paged, world->account, 0, 8 * AP_PAGE_SIZE, true, (struct ap_page_wait) { 0 });
    assert_int_equal(read_range(&reader, 0, 8 * AP_PAGE_SIZE), AP_PAGE_THERE);
    assert_cost(world, 1, 8 * AP_PAGE_SIZE);
    reader_close(&reader);
}

static void whole(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    assert_ok(ap_paged_fetch_all(reader.paged, world->account, NULL, &err));
    assert_cost(world, 1, OBJECT_SIZE);
    assert_true(ap_pages_there(reader.bits, 0, PAGES - 1));
    read_range(&reader, 0, OBJECT_SIZE);
    reader_close(&reader);
}

/* Its bytes would only have to be thrown away. */
static void whole_without_room(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    close_cache(world);
    open_cache(world, OBJECT_SIZE - 1);
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    ap_paged_fetch_begin(reader.paged, world->account);
    assert_code(ap_paged_fetch_all(reader.paged, world->account, NULL, &err), APIARY_FULL);
    assert_cost(world, 0, 0);
    reader_close(&reader);
}

/* What was asked for goes on without who gave up, and does no harm. */
static void whole_is_given_up(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_cancel cancel;
    assert_ok(ap_cancel_init(&cancel, &err));
    world->paced.latency_us = 300000;
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    ap_cancel_request(&cancel);
    int64_t begin = ap_mono_us(ap_env_system());
    assert_code(
        ap_paged_fetch_all(reader.paged, world->account, &cancel, &err), APIARY_CANCELLED);
    assert_true(ap_mono_us(ap_env_system()) - begin < world->paced.latency_us);
    ap_cancel_reset(&cancel);
    assert_ok(ap_paged_fetch_all(reader.paged, world->account, &cancel, &err));
    read_range(&reader, 0, OBJECT_SIZE);
    reader_close(&reader);
    ap_cancel_done(&cancel);
}

/* ---- what is believed after a restart ---- */

/* Damages {id}ENDING at an offset, or cuts it there. */
static void damage(struct world *world, const char *ending, off_t at, bool cut)
{
    char path[AP_TEST_PATH_MAX + 300], byte;
    snprintf(path, sizeof path, "%s/cells", world->folder);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ending)) continue;
        snprintf(path, sizeof path, "%s/cells/%s", world->folder, entry->d_name);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        if (cut) {
            assert_int_equal(ftruncate(fd, at), 0);
        } else {
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte = (char)(byte ^ 0x40);
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        }
        close(fd);
    }
    closedir(dir);
}

static void restarted(void **state)
{
    struct world *world = *state;
    static const struct {
        const char *label, *ending;
        off_t at;
        bool cut;
        long pages; /* that have to be fetched again */
    } cases[] = {
        { "nothing", ".none", 0, false, 0 },
        { "a byte of a page", ".cell", 3 * AP_PAGE_SIZE + 17, false, 1 },
        { "a byte of the last page", ".cell", OBJECT_SIZE - 1, false, 1 },
        { "a checksum", ".map", 4096 + 8 * 5, false, 1 },
        { "the map's header", ".map", 20, false, PAGES },
        { "a map cut off", ".map", 4096 + 8 * 10, true, PAGES - 10 },
        { "an empty map", ".map", 0, true, PAGES },
        { "a file cut off", ".cell", 100 * AP_PAGE_SIZE, true, PAGES - 100 },
        { "an empty file", ".cell", 0, true, PAGES },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct reader reader = reader_open(world, "a", OBJECT_SIZE);
        read_range(&reader, 0, OBJECT_SIZE);
        reader_close(&reader);
        close_cache(world);
        damage(world, cases[i].ending, cases[i].at, cases[i].cut);
        open_cache(world, UINT64_C(1) << 30);
        reader = reader_open(world, "a", OBJECT_SIZE);
        assert_int_in(cases[i].label, read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
        long bytes = atomic_load(&world->paced.bytes);
        long pages = (bytes + AP_PAGE_SIZE - 1) / AP_PAGE_SIZE;
        assert_int_in(cases[i].label, pages, cases[i].pages);
        reader_close(&reader);
    }
}

/* The object was not touched for a while and its file removed: what was there is not believed. */
static void removed_between(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    uint64_t gone = 0;
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    read_range(&reader, 0, OBJECT_SIZE);
    assert_ok(ap_cache_clear(world->cache, &gone, &err));
    assert_int_equal(gone, 0); /* it is in use */
    reader_close(&reader);
    assert_ok(ap_cache_clear(world->cache, &gone, &err));
    assert_true(gone >= OBJECT_SIZE);
    put_object(world, "b", OBJECT_SIZE, "b"); /* may get the same inode */
    for (const char *key = "b"; key; key = *key == 'b' ? "a" : NULL) {
        reader = reader_open(world, key, OBJECT_SIZE);
        assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
        reader_close(&reader);
    }
    assert_cost(world, 3, 3 * OBJECT_SIZE);
}

/* ---- an object that is not what it was ---- */

static enum apiary_code trouble_of(struct world *world, struct apiary_error *err)
{
    enum apiary_code code = ap_account_trouble(world->account, err);
    struct apiary_error again = { 0 };
    ap_account_close(world->account);
    world->account = NULL;
    assert_int_equal(ap_account_new(world->cache, &world->account, &again), APIARY_OK);
    return code;
}

static void changed(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    for (int restart = 0; restart < 2; restart++) {
        put_object(world, "a", OBJECT_SIZE, "a");
        struct reader reader = reader_open(world, "a", OBJECT_SIZE);
        assert_int_equal(read_range(&reader, 0, 100), AP_PAGE_THERE);
        if (restart) {
            reader_close(&reader);
            close_cache(world);
            open_cache(world, UINT64_C(1) << 30);
            reader = reader_open(world, "a", OBJECT_SIZE);
        }
        put_object(world, "a", OBJECT_SIZE, "z");
        assert_int_equal(read_range(&reader, 500000, 100), AP_PAGE_ERROR + EIO);
        assert_code(trouble_of(world, &err), APIARY_CORRUPT);
        assert_non_null(strstr(err.message, "changed under its name"));
        reader_close(&reader);
        /* The next statement reads what is there now, all of it. */
        reader = reader_open(world, "a", OBJECT_SIZE);
        reader.like = "z";
        assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
        reader_close(&reader);
        close_cache(world);
        ap_test_folder_remove(world->folder);
        ap_test_folder(world->folder);
        open_cache(world, UINT64_C(1) << 30);
    }
}

static void wrong_size(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct reader reader = reader_open(world, "a", OBJECT_SIZE - 5);
    assert_int_equal(read_range(&reader, 0, 100), AP_PAGE_ERROR + EIO);
    assert_code(trouble_of(world, &err), APIARY_CORRUPT);
    assert_non_null(strstr(err.message, "the ledger says 999995"));
    reader_close(&reader);
    reader = reader_open(world, "gone", 50);
    assert_int_equal(read_range(&reader, 0, 50), AP_PAGE_ERROR + ENOENT);
    assert_code(trouble_of(world, &err), APIARY_NOT_FOUND);
    reader_close(&reader);
}

static void failures(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    static const struct {
        enum apiary_code code;
        uint32_t state;
    } cases[] = {
        { APIARY_IO, AP_PAGE_ERROR + EIO },
        { APIARY_DENIED, AP_PAGE_ERROR + EACCES },
        { APIARY_CORRUPT, AP_PAGE_ERROR + EIO },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct reader reader = reader_open(world, "a", OBJECT_SIZE);
        world->paced.fail_code = cases[i].code;
        atomic_store(&world->paced.fail_at, atomic_load(&world->paced.requests) + 1);
        assert_int_equal(read_range(&reader, i * 50000, 100), cases[i].state);
        assert_code(trouble_of(world, &err), cases[i].code);
        assert_non_null(strstr(err.message, "as told"));
        reader_close(&reader);
        /* Nothing is left of it. */
        reader = reader_open(world, "a", OBJECT_SIZE);
        assert_int_equal(read_range(&reader, i * 50000, 100), AP_PAGE_THERE);
        reader_close(&reader);
    }
}

/* ---- room ---- */

static size_t files_in(const struct world *world)
{
    char path[AP_TEST_PATH_MAX + 8];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/cells", world->folder);
    DIR *dir = opendir(path);
    for (struct dirent *entry; dir && (entry = readdir(dir));) count += !!strstr(entry->d_name, ".cell");
    if (dir) closedir(dir);
    return count;
}

/* The objects a, b, c, whole, one after the other. */
static void read_three(struct world *world)
{
    for (const char *key = "a"; *key; key = *key == 'a' ? "b" : *key == 'b' ? "c" : "") {
        put_object(world, key, OBJECT_SIZE, key);
        struct reader reader = reader_open(world, key, OBJECT_SIZE);
        assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
        reader_close(&reader);
        usleep(20000); /* times of use that differ */
    }
}

static void longest_unused_goes(void **state)
{
    struct world *world = *state;
    close_cache(world);
    open_cache(world, 5 * OBJECT_SIZE / 2);
    read_three(world);
    assert_int_equal(files_in(world), 2);
    assert_cost(world, 3, 3 * OBJECT_SIZE);
    for (const char *key = "c"; *key; key = *key == 'c' ? "b" : "") {
        struct reader reader = reader_open(world, key, OBJECT_SIZE);
        assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
        reader_close(&reader);
    }
    assert_cost(world, 3, 3 * OBJECT_SIZE); /* both were there */
}

/* What is in use stays; who finds no room gets the bytes all the same. */
static void no_room(void **state)
{
    struct world *world = *state;
    static const uint64_t limits[] = { 0, OBJECT_SIZE / 2, 3 * OBJECT_SIZE / 2 };
    put_object(world, "b", OBJECT_SIZE, "b");
    for (size_t i = 0; i < AP_COUNT(limits); i++) {
        close_cache(world);
        open_cache(world, limits[i]);
        struct reader a = reader_open(world, "a", OBJECT_SIZE);
        struct reader b = reader_open(world, "b", OBJECT_SIZE);
        for (uint64_t at = 0; at < OBJECT_SIZE; at += 100000) {
            assert_true(read_range(&a, at, 100000) <= AP_PAGE_TAKE);
            assert_true(read_range(&b, at, 100000) <= AP_PAGE_TAKE);
        }
        assert_true(read_range(&a, 1000, OBJECT_SIZE - 2000) <= AP_PAGE_TAKE);
        reader_close(&a);
        reader_close(&b);
    }
}

/* The folder cannot be used at all: a file stands in its place, or others may write to it. */
static void no_folder(void **state)
{
    struct world *world = *state;
    char path[AP_TEST_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/cells", world->folder);
    for (int i = 0; i < 2; i++) {
        close_cache(world);
        if (i == 0) {
            close(open(path, O_CREAT | O_WRONLY, 0600));
        } else {
            assert_int_equal(unlink(path), 0);
            assert_int_equal(mkdir(path, 0700), 0);
            assert_int_equal(chmod(path, 0777), 0);
        }
        open_cache(world, UINT64_C(1) << 30);
        struct reader reader = reader_open(world, "a", OBJECT_SIZE);
        assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_TAKE);
        reader_close(&reader);
        assert_int_equal(files_in(world), 0);
    }
}

static enum apiary_code see(void *context, const struct ap_cache_file *file, struct apiary_error *err)
{
    (void)err;
    assert_string_equal(file->key, "a");
    assert_int_equal(file->size, OBJECT_SIZE);
    ++*(int *)context;
    return APIARY_OK;
}

static void looked_at(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_cache_totals totals;
    int seen = 0;
    assert_ok(ap_cache_look(world->cache, &totals, see, &seen, &err));
    assert_int_equal(totals.files, 0);
    struct reader reader = reader_open(world, "a", OBJECT_SIZE);
    read_range(&reader, 0, 100000);
    reader_close(&reader);
    assert_ok(ap_cache_look(world->cache, &totals, see, &seen, &err));
    assert_int_equal(totals.files, 1);
    assert_int_equal(seen, 1);
    assert_true(totals.bytes >= 100000 && totals.bytes < OBJECT_SIZE);
}

/* What another process put there is brought under this one's limit; what is read stays. */
static void trimmed(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_cache_totals totals;
    uint64_t gone = 99;
    read_three(world);
    assert_ok(ap_cache_trim(world->cache, &gone, &err));
    assert_int_equal(gone, 0); /* there is room */
    close_cache(world);
    open_cache(world, 5 * OBJECT_SIZE / 2);
    struct reader reader = reader_open(world, "a", OBJECT_SIZE); /* the longest unused, but in use */
    assert_ok(ap_cache_trim(world->cache, &gone, &err));
    assert_ok(ap_cache_look(world->cache, &totals, NULL, NULL, &err));
    assert_int_equal(files_in(world), 2);
    assert_true(gone >= OBJECT_SIZE && totals.bytes <= totals.limit_bytes);
    assert_int_equal(read_range(&reader, 0, OBJECT_SIZE), AP_PAGE_THERE);
    reader_close(&reader);
    assert_cost(world, 0, 0);
    assert_ok(ap_cache_trim(world->cache, &gone, &err));
    assert_int_equal(gone, 0);
}

/* ---- other processes, and ends in mid-work ---- */

static uint32_t dice(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Reads at random, for so many reads; every byte is compared. */
static void read_at_random(struct world *world, uint64_t seed, int reads)
{
    static const char *const keys[] = { "a", "b", "c" };
    for (int i = 0; i < reads; i++) {
        struct reader reader = reader_open(world, keys[dice(&seed) % 3], OBJECT_SIZE);
        for (int j = 0; j < 4; j++) {
            uint64_t offset = dice(&seed) % (OBJECT_SIZE - 1);
            uint64_t length = 1 + dice(&seed) % 200000;
            if (length > OBJECT_SIZE - offset) length = OBJECT_SIZE - offset;
            if (read_range(&reader, offset, length) > AP_PAGE_TAKE) fail_msg("a read failed");
        }
        reader_close(&reader);
    }
}

static pid_t fork_reader(struct world *world, uint64_t seed, uint64_t limit, int reads)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    open_cache(world, limit);
    read_at_random(world, seed, reads);
    close_cache(world);
    _exit(0);
}

/* Three processes over one folder, with so little room that each removes what the others left. */
static void shared_folder(void **state)
{
    struct world *world = *state;
    enum { PROCESSES = 3, READS = 150 };
    pid_t pids[PROCESSES];
    close_cache(world);
    put_object(world, "b", OBJECT_SIZE, "b");
    put_object(world, "c", OBJECT_SIZE, "c");
    for (int i = 0; i < PROCESSES; i++)
        pids[i] = fork_reader(world, (uint64_t)i + 1, 2 * OBJECT_SIZE, READS);
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    open_cache(world, 2 * OBJECT_SIZE);
    read_at_random(world, 99, 10);
}

/* Killed at any moment, the next process reads nothing wrong. */
static void killed(void **state)
{
    struct world *world = *state;
    enum { ROUNDS = 15 };
    close_cache(world);
    put_object(world, "b", OBJECT_SIZE, "b");
    put_object(world, "c", OBJECT_SIZE, "c");
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork_reader(world, (uint64_t)i + 100, UINT64_C(1) << 30, 100000);
        usleep((useconds_t)(3000 + i * 2500));
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        open_cache(world, UINT64_C(1) << 30);
        read_at_random(world, (uint64_t)i, 3);
        close_cache(world);
        if (i % 4 == 3) { /* and from nothing again */
            ap_test_folder_remove(world->folder);
            ap_test_folder(world->folder);
        }
    }
    open_cache(world, UINT64_C(1) << 30);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(exactly),
        TEST(gaps),
        TEST(once_for_many),
        TEST(in_flight),
        TEST(ahead_is_not_waited_for),
        TEST(whole),
        TEST(whole_without_room),
        TEST(whole_is_given_up),
        TEST(restarted),
        TEST(removed_between),
        TEST(changed),
        TEST(wrong_size),
        TEST(failures),
        TEST(longest_unused_goes),
        TEST(no_room),
        TEST(no_folder),
        TEST(looked_at),
        TEST(trimmed),
        TEST(shared_folder),
        TEST(killed),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
