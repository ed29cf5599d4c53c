#include "ledger/roaring.h"

#include "core/alloc.h"

enum {
    COOKIE_PLAIN = 12346,
    COOKIE_RUNS = 12347,
    ARRAY_MAX = 4096, /* larger containers are bitmaps */
    BITMAP_BYTES = 8192,
    OFFSETS_FROM = 4, /* with runs, offsets stand there from so many containers on */
    CONTAINERS_MAX = 65536
};

struct reader {
    struct ap_str rest;
    uint64_t limit;
    uint64_t *numbers;
    size_t count, capacity;
    struct apiary_error *err;
};

static enum apiary_code fail(struct reader *reader, const char *what)
{
    return ap_fail(reader->err, APIARY_CORRUPT, "roaring bitmap: %s", what);
}

static enum apiary_code take(struct reader *reader, size_t size, const unsigned char **out)
{
    if (reader->rest.size < size) return fail(reader, "it is cut off");
    *out = (const unsigned char *)reader->rest.data;
    reader->rest = (struct ap_str) { reader->rest.data + size, reader->rest.size - size };
    return APIARY_OK;
}

static uint32_t u16(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t u32(const unsigned char *at)
{
    return u16(at) | u16(at + 2) << 16;
}

static uint64_t u64(const unsigned char *at)
{
    return (uint64_t)u32(at) | (uint64_t)u32(at + 4) << 32;
}

/* Appends a number, which must be greater than all before it. */
static enum apiary_code add(struct reader *reader, uint64_t number)
{
    if (reader->count && reader->numbers[reader->count - 1] >= number)
        return fail(reader, "it is not in order");
    if (reader->count >= reader->limit)
        return ap_fail(
            reader->err, APIARY_LIMIT, "roaring bitmap: it has more numbers than it should");
    AP_TRY(AP_GROW(reader->numbers, reader->capacity, reader->count + 1, reader->err));
    reader->numbers[reader->count++] = number;
    return APIARY_OK;
}

static enum apiary_code read_array(struct reader *reader, uint64_t base, uint32_t cardinality)
{
    const unsigned char *at = NULL;
    AP_TRY(take(reader, (size_t)cardinality * 2, &at));
    for (uint32_t i = 0; i < cardinality; i++) AP_TRY(add(reader, base + u16(at + (size_t)i * 2)));
    return APIARY_OK;
}

static enum apiary_code read_bitmap(struct reader *reader, uint64_t base, uint32_t cardinality)
{
    const unsigned char *at = NULL;
    AP_TRY(take(reader, BITMAP_BYTES, &at));
    size_t before = reader->count;
    for (uint32_t word = 0; word < BITMAP_BYTES / 8; word++)
        for (uint64_t bits = u64(at + (size_t)word * 8); bits; bits &= bits - 1)
            AP_TRY(add(reader, base + word * 64 + (uint32_t)__builtin_ctzll(bits)));
    return reader->count - before == cardinality ? APIARY_OK
                                                 : fail(reader, "a container's size is wrong");
}

static enum apiary_code read_runs(struct reader *reader, uint64_t base)
{
    const unsigned char *at = NULL;
    AP_TRY(take(reader, 2, &at));
    uint32_t runs = u16(at);
    AP_TRY(take(reader, (size_t)runs * 4, &at));
    for (uint32_t i = 0; i < runs; i++) {
        uint32_t first = u16(at + (size_t)i * 4), more = u16(at + (size_t)i * 4 + 2);
        if (first + more > UINT16_MAX) return fail(reader, "a run leaves its container");
        for (uint32_t j = 0; j <= more; j++) AP_TRY(add(reader, base + first + j));
    }
    return APIARY_OK;
}

/* One 32-bit bitmap; its numbers are those above `high`. */
static enum apiary_code read_bucket(struct reader *reader, uint64_t high)
{
    const unsigned char *at = NULL, *run_flags = NULL, *keys = NULL;
    AP_TRY(take(reader, 4, &at));
    uint32_t cookie = u32(at), containers;
    if ((cookie & 0xffff) == COOKIE_RUNS) {
        containers = (cookie >> 16) + 1;
        AP_TRY(take(reader, (containers + 7) / 8, &run_flags));
    } else if (cookie == COOKIE_PLAIN) {
        AP_TRY(take(reader, 4, &at));
        containers = u32(at);
        if (containers > CONTAINERS_MAX) return fail(reader, "it has too many containers");
    } else {
        return fail(reader, "its cookie is unknown");
    }
    AP_TRY(take(reader, (size_t)containers * 4, &keys));
    /* Containers follow in order; the offsets say the same again. */
    if (!run_flags || containers >= OFFSETS_FROM) AP_TRY(take(reader, (size_t)containers * 4, &at));
    for (uint32_t i = 0; i < containers; i++) {
        uint64_t base = high + ((uint64_t)u16(keys + (size_t)i * 4) << 16);
        uint32_t cardinality = u16(keys + (size_t)i * 4 + 2) + 1;
        if (run_flags && run_flags[i / 8] >> (i % 8) & 1)
            AP_TRY(read_runs(reader, base));
        else if (cardinality <= ARRAY_MAX)
            AP_TRY(read_array(reader, base, cardinality));
        else
            AP_TRY(read_bitmap(reader, base, cardinality));
    }
    return APIARY_OK;
}

static enum apiary_code read_all(struct reader *reader)
{
    const unsigned char *at = NULL;
    AP_TRY(take(reader, 8, &at));
    uint64_t buckets = u64(at);
    if (buckets > reader->rest.size / 8) return fail(reader, "it has too many buckets");
    for (uint64_t i = 0; i < buckets; i++) {
        AP_TRY(take(reader, 4, &at));
        AP_TRY(read_bucket(reader, (uint64_t)u32(at) << 32));
    }
    return reader->rest.size == 0 ? APIARY_OK : fail(reader, "bytes are left over");
}

enum apiary_code ap_roaring_read(struct ap_str bytes, uint64_t limit, uint64_t **numbers,
    size_t *count, struct apiary_error *err)
{
    struct reader reader = { .rest = bytes, .limit = limit, .err = err };
    enum apiary_code code = read_all(&reader);
    if (code != APIARY_OK) {
        ap_free(reader.numbers);
        return code;
    }
    *numbers = reader.numbers;
    *count = reader.count;
    return APIARY_OK;
}
