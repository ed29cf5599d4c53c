#include "ledger_help.h"

#include "core/codec.h"
#include "ledger/roaring.h"

/* ---- roaring bitmaps, built by hand after the format's description ---- */

static void u16(struct ap_bytes *out, unsigned value)
{
    unsigned char bytes[2] = { (unsigned char)value, (unsigned char)(value >> 8) };
    struct apiary_error err;
    assert_ok(ap_bytes_add(out, bytes, 2, &err));
}

static void u32(struct ap_bytes *out, uint32_t value)
{
    u16(out, value & 0xffff);
    u16(out, value >> 16);
}

static void u64(struct ap_bytes *out, uint64_t value)
{
    u32(out, (uint32_t)value);
    u32(out, (uint32_t)(value >> 32));
}

/* One bucket with an array {3, 5} at key 0, a bitmap of all even numbers at key 1. */
static void plain_bucket(struct ap_bytes *out, uint32_t key)
{
    u32(out, key);
    u32(out, 12346);
    u32(out, 2);
    u16(out, 0), u16(out, 1);
    u16(out, 1), u16(out, 32767);
    u32(out, 0), u32(out, 0); /* offsets: not looked at */
    u16(out, 3), u16(out, 5);
    for (int i = 0; i < 1024; i++) u64(out, UINT64_C(0x5555555555555555));
}

/* Runs {10..12, 20} and an array {7} behind it. */
static void run_bucket(struct ap_bytes *out, uint32_t key)
{
    struct apiary_error err;
    u32(out, key);
    u32(out, 12347 | 1 << 16);
    assert_ok(ap_bytes_add(out, "\x01", 1, &err)); /* the first is of runs */
    u16(out, 0), u16(out, 3);
    u16(out, 2), u16(out, 0);
    u16(out, 2);
    u16(out, 10), u16(out, 2);
    u16(out, 20), u16(out, 0);
    u16(out, 7);
}

static void roaring_bitmaps(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) bytes = { 0 };
    u64(&bytes, 2);
    plain_bucket(&bytes, 0);
    run_bucket(&bytes, 3);
    uint64_t *numbers = NULL;
    size_t count = 0;
    assert_ok(ap_roaring_read(ap_bytes_view(&bytes), 100000, &numbers, &count, &err));
    assert_int_equal(count, 2 + 32768 + 5);
    assert_int_equal(numbers[1], 5);
    assert_int_equal(numbers[2], 65536);
    assert_int_equal(numbers[3], 65538);
    assert_true(numbers[count - 5] == (UINT64_C(3) << 32) + 10);
    assert_true(numbers[count - 1] == (UINT64_C(3) << 32) + 2 * 65536 + 7);
    ap_free(numbers);
    assert_code(ap_roaring_read(ap_bytes_view(&bytes), 100, &numbers, &count, &err), APIARY_LIMIT);
    /* cut anywhere it is refused; so is what follows it */
    for (size_t size = 0; size < bytes.size;
         size += size < 40 || size + 60 > bytes.size ? 1 : 997) {
        struct ap_str cut = { bytes.data, size };
        assert_code(ap_roaring_read(cut, 100000, &numbers, &count, &err), APIARY_CORRUPT);
    }
    assert_ok(ap_bytes_add(&bytes, "x", 1, &err));
    assert_code(
        ap_roaring_read(ap_bytes_view(&bytes), 100000, &numbers, &count, &err), APIARY_CORRUPT);
}

static void bad_bitmaps(void **state)
{
    struct apiary_error err = { 0 };
    uint64_t *numbers = NULL;
    size_t count = 0;
    AP_AUTO(ap_bytes) disorder = { 0 };
    u64(&disorder, 1);
    u32(&disorder, 0), u32(&disorder, 12346), u32(&disorder, 1);
    u16(&disorder, 0), u16(&disorder, 1), u32(&disorder, 0), u16(&disorder, 5), u16(&disorder, 5);
    assert_code(
        ap_roaring_read(ap_bytes_view(&disorder), 100, &numbers, &count, &err), APIARY_CORRUPT);
    AP_AUTO(ap_bytes) cookie = { 0 };
    u64(&cookie, 1);
    u32(&cookie, 0), u32(&cookie, 1234), u32(&cookie, 1);
    assert_code(
        ap_roaring_read(ap_bytes_view(&cookie), 100, &numbers, &count, &err), APIARY_CORRUPT);
    AP_AUTO(ap_bytes) many = { 0 };
    u64(&many, UINT64_MAX);
    assert_code(ap_roaring_read(ap_bytes_view(&many), 100, &numbers, &count, &err), APIARY_CORRUPT);
}

/* ---- vectors ---- */

static struct ap_cell cell_with(
    const char *storage, const char *place, int64_t offset, int64_t size, int64_t cardinality)
{
    return (struct ap_cell) { .path = AP_STR("c"),
        .row_count = 100,
        .deletion_vector = { .storage = ap_str_from(storage),
            .path_or_inline = ap_str_from(place),
            .has_offset = offset >= 0,
            .offset = offset >= 0 ? offset : 0,
            .size_bytes = size,
            .cardinality = cardinality } };
}

/* Rows 3, 4, 7, 11, 18, 29 as an array container. */
#define INLINE "^Bg9^0rr910000000000iXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L"
static const uint64_t inline_rows[] = { 3, 4, 7, 11, 18, 29 };

static void inline_vectors(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    uint64_t *rows = NULL;
    size_t count = 99;
    struct ap_cell cell = cell_with("i", INLINE, -1, 44, 6);
    assert_ok(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err));
    assert_int_equal(count, 6);
    assert_memory_equal(rows, inline_rows, sizeof inline_rows);
    ap_free(rows);
    struct ap_cell none = { .path = AP_STR("c") };
    assert_ok(ap_deletion_vector_read(ledger, &none, &rows, &count, &err));
    assert_int_equal(count, 0);
    static const struct {
        const char *label, *place;
        int64_t size, cardinality;
        enum apiary_code code;
    } rows_bad[] = {
        { "cardinality too small", INLINE, 44, 5, APIARY_LIMIT },
        { "cardinality too large", INLINE, 44, 7, APIARY_CORRUPT },
        { "size wrong", INLINE, 40, 6, APIARY_CORRUPT },
        { "no Z85", "wi5b=0000\"", 8, 6, APIARY_CORRUPT },
        { "no magic", "000000000000000", 12, 0, APIARY_CORRUPT },
        { "huge", INLINE, INT64_C(1) << 40, 6, APIARY_LIMIT },
    };
    for (size_t i = 0; i < AP_COUNT(rows_bad); i++) {
        struct ap_cell bad =
            cell_with("i", rows_bad[i].place, -1, rows_bad[i].size, rows_bad[i].cardinality);
        assert_code_in(rows_bad[i].label,
            ap_deletion_vector_read(ledger, &bad, &rows, &count, &err), rows_bad[i].code);
        assert_non_null(strstr(err.message, "deletion vector of cell c"));
    }
    cell.row_count = 29; /* row 29 does not exist then */
    assert_code(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err), APIARY_CORRUPT);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

static void vectors_in_files(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = help_store();
    struct ap_ledger *ledger = help_ledger(store);
    AP_AUTO(ap_bytes) data = { 0 };
    AP_AUTO(ap_bytes) file = { 0 };
    assert_ok(ap_z85_decode(&data, AP_STR(INLINE), &err));
    assert_int_equal(data.size, 44);
    uint32_t crc = ap_crc32(0, data.data, data.size);
    unsigned char frame[8] = { 0, 0, 0, 44, (unsigned char)(crc >> 24), (unsigned char)(crc >> 16),
        (unsigned char)(crc >> 8), (unsigned char)crc };
    assert_ok(ap_bytes_add(&file, "\x01", 1, &err));
    assert_ok(ap_bytes_add(&file, "junk", 4, &err));
    assert_ok(ap_bytes_add(&file, frame, 4, &err));
    assert_ok(ap_bytes_add(&file, data.data, data.size, &err));
    assert_ok(ap_bytes_add(&file, frame + 4, 4, &err));
    /* the protocol's example of a name: d2c639aa-8816-431a-aaf6-d3fe2512ff61 with prefix ab */
    const char *key = "t/ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin";
    assert_ok(ap_store_put(store, key, ap_bytes_view(&file), &err));
    uint64_t *rows = NULL;
    size_t count = 0;
    struct ap_cell cell = cell_with("u", "ab^-aqEH.-t@S}K{vb[*k^", 5, 44, 6);
    assert_ok(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err));
    assert_int_equal(count, 6);
    assert_memory_equal(rows, inline_rows, sizeof inline_rows);
    ap_free(rows);
    file.data[20] ^= 1;
    assert_ok(ap_store_put(store, key, ap_bytes_view(&file), &err));
    assert_code(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err), APIARY_CORRUPT);
    assert_non_null(strstr(err.message, "wrong checksum"));
    file.size = 30;
    assert_ok(ap_store_put(store, key, ap_bytes_view(&file), &err));
    assert_code(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err), APIARY_CORRUPT);
    cell.deletion_vector.path_or_inline = AP_STR("zz^-aqEH.-t@S}K{vb[*k^");
    assert_code(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err), APIARY_NOT_FOUND);
    cell.deletion_vector.storage = AP_STR("p");
    assert_code(ap_deletion_vector_read(ledger, &cell, &rows, &count, &err), APIARY_UNSUPPORTED);
    ap_ledger_close(ledger);
    ap_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roaring_bitmaps),
        cmocka_unit_test(bad_bitmaps),
        cmocka_unit_test(inline_vectors),
        cmocka_unit_test(vectors_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
