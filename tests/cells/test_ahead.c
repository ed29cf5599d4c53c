/* Read-ahead: what lies how far apart in a row group is one request. */
#include "cells/ahead.h"

#include "apiary_test.h"

#include "cells/paced_store.h"

enum { KIB = 1 << 10, MIB = 1 << 20, CHUNK = 64 * KIB, FOOTER_MAX = 1024, BODY_MAX = 12 * MIB };

/* The file's columns, and what lies before each: other columns, as far as read-ahead can tell. */
static const struct {
    const char *name;
    uint64_t before;
} columns[] = {
    { "a", 4 * KIB },
    { "b", 200 * KIB },
    { "c", 8 * KIB },
    { "far", 9 * MIB },
};

/* ---- a Parquet file of one row group, as far as its footer is looked at (Thrift, compact) ---- */

struct file {
    char *body;
    size_t size;
    uint64_t at[AP_COUNT(columns)];
};

static void put_byte(struct file *file, unsigned byte)
{
    file->body[file->size++] = (char)byte;
}

static void put_number(struct file *file, uint64_t value)
{
    for (value *= 2; value >= 0x80; value >>= 7) put_byte(file, (unsigned)(value & 0x7F) | 0x80);
    put_byte(file, (unsigned)value);
}

static void put_column(struct file *file, size_t column)
{
    size_t length = strlen(columns[column].name);
    put_byte(file, 0x3C); /* field 3: a struct */
    put_byte(file, 0x39); /* field 3: a list */
    put_byte(file, 0x18); /* of one text */
    put_byte(file, (unsigned)length);
    memcpy(file->body + file->size, columns[column].name, length);
    file->size += length;
    put_byte(file, 0x46); /* field 7: bytes */
    put_number(file, CHUNK);
    put_byte(file, 0x26); /* field 9: where */
    put_number(file, file->at[column]);
    put_byte(file, 0);
    put_byte(file, 0);
}

static void make_file(struct file *file)
{
    file->body = calloc(1, BODY_MAX);
    for (size_t i = 0; i < AP_COUNT(columns); i++) {
        file->at[i] = file->size + columns[i].before;
        file->size = (size_t)file->at[i] + CHUNK;
    }
    file->size += MIB; /* so that the footer is fetched apart from them */
    size_t begin = file->size;
    put_byte(file, 0x49); /* field 4: a list */
    put_byte(file, 0x1C); /* of one struct */
    put_byte(file, 0x19);
    put_byte(file, AP_COUNT(columns) << 4 | 0x0C);
    for (size_t i = 0; i < AP_COUNT(columns); i++) put_column(file, i);
    put_byte(file, 0);
    put_byte(file, 0);
    size_t length = file->size - begin;
    assert_true(length < FOOTER_MAX);
    for (int i = 0; i < 4; i++) put_byte(file, (unsigned)(length >> 8 * i) & 0xFF);
    memcpy(file->body + file->size, "PAR1", 4);
    file->size += 4;
}

/* ---- reading it ---- */

static void ended(void *who, uint32_t slot, uint32_t state)
{
    (void)slot;
    ap_page_slot_tell(who, state);
}

static void wait_for(struct ap_paged *paged, struct ap_account *account, uint64_t at, uint64_t length)
{
    struct ap_page_slot slot;
    atomic_store(&slot.state, AP_PAGE_WAITING);
    ap_paged_want(paged, account, at, length, false, (struct ap_page_wait) { .done = ended, .who = &slot });
    assert_int_equal(ap_page_slot_wait(&slot), AP_PAGE_THERE);
}

/* What the columns of the row group cost, of which the first is waited for. */
static void read_cold(const struct file *file, struct paced_store *paced, uint64_t gap)
{
    struct apiary_error err = { 0 };
    char folder[AP_TEST_PATH_MAX];
    struct ap_cache *cache = NULL;
    struct ap_account *account = NULL;
    struct ap_paged *paged = NULL;
    struct ap_ahead *ahead = NULL;
    struct ap_texts words = { 0 };
    size_t index = 0;
    ap_test_folder(folder);
    assert_ok(ap_cache_open(ap_env_system(), &(struct ap_cache_options) { .dir = folder, .limit_bytes = UINT64_C(1) << 30 }, &cache, &err));
    assert_ok(ap_account_new(cache, &account, &err));
    for (size_t i = 0; i < AP_COUNT(columns); i++) assert_ok(ap_texts_add(&words, ap_str_from(columns[i].name), &err));
    assert_ok(ap_paged_get(cache, &paced->store, "cell", file->size, NULL, &paged, &err));
    assert_ok(ap_ahead_new(&words, gap, &ahead, &err));
    assert_ok(ap_ahead_add(ahead, paged, &index, &err));
    ap_paged_warm(paged, account);
    while (!ap_paged_footer(paged)) ap_sleep_us(ap_env_system(), 1000);
    atomic_store(&paced->requests, 0);
    atomic_store(&paced->bytes, 0);
    ap_ahead_need(ahead, account, index, file->at[0], CHUNK, 1);
    for (size_t i = 0; i < AP_COUNT(columns); i++) wait_for(paged, account, file->at[i], CHUNK);
    ap_ahead_free(ahead);
    ap_paged_unref(paged);
    ap_account_close(account);
    ap_cache_close(cache);
    ap_texts_done(&words);
    ap_test_folder_remove(folder);
}

static void test_gap(void **state)
{
    (void)state;
    static const struct {
        uint64_t gap;
        long requests, gaps; /* bytes between the chunks that are moved */
    } cases[] = {
        { 16 * KIB, 3, 8 * KIB },
        { 200 * KIB - 1, 3, 8 * KIB },
        { 200 * KIB, 2, 208 * KIB },
        { MIB, 2, 208 * KIB },
        { UINT64_C(1) << 40, 2, 208 * KIB }, /* to cross 9 MiB would save none */
    };
    struct apiary_error err = { 0 };
    struct file file = { 0 };
    struct ap_store *inner = NULL;
    struct paced_store paced;
    make_file(&file);
    assert_ok(ap_store_open(ap_env_system(), "memory://x", NULL, &inner, &err));
    assert_ok(ap_store_put(inner, "cell", (struct ap_str) { file.body, file.size }, &err));
    paced_store_init(&paced, inner);
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        read_cold(&file, &paced, cases[i].gap);
        char name[32];
        snprintf(name, sizeof name, "gap %llu", (unsigned long long)cases[i].gap);
        assert_int_in(name, atomic_load(&paced.requests), cases[i].requests);
        assert_int_in(name, atomic_load(&paced.bytes), (long)AP_COUNT(columns) * CHUNK + cases[i].gaps);
    }
    ap_store_close(inner);
    free(file.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gap) };
    return cmocka_run_group_tests_name("ahead", tests, NULL, NULL);
}
