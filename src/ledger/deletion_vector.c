/* Rows that are deleted from a cell without rewriting it (delta.md 6.3).
 *
 *   storage u   file deletion_vector_{uuid}.bin below the table: [prefix +] 20 characters of Z85
 * give the uuid storage p   a file at an absolute path storage i   the bytes themselves in Z85
 *
 * A file begins with its version, 1; at `offset` stand u32 BE size, the data, u32 BE CRC-32.
 * The data are u32 LE magic and a roaring bitmap (roaring.h). */
#include "core/alloc.h"
#include "core/codec.h"
#include "ledger/action.h"
#include "ledger/ledger_private.h"
#include "ledger/roaring.h"

enum { UUID_Z85_SIZE = 20, UUID_BYTES = 16, FRAME_BYTES = 8 };
#define MAGIC UINT32_C(1681511377)
/* Bytes and rows of one vector. */
#define VECTOR_BYTES_MAX (INT64_C(1) << 30)
#define VECTOR_ROWS_MAX (INT64_C(1) << 31)

static uint32_t u32_be(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static uint32_t u32_le(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[3] << 24 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[1] << 8 | bytes[0];
}

/* The key of a vector that lies below the table. */
enum apiary_code ap_deletion_vector_key(const struct ap_ledger *ledger, struct ap_str place,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) uuid = { 0 };
    char hex[UUID_BYTES * 2 + 1];
    if (place.size < UUID_Z85_SIZE)
        return ap_fail(err, APIARY_CORRUPT, "its name \"" AP_FMT "\" is too short", AP_ARG(place));
    size_t prefix = place.size - UUID_Z85_SIZE;
    AP_TRY(ap_z85_decode(&uuid, (struct ap_str) { place.data + prefix, UUID_Z85_SIZE }, err));
    ap_hex(uuid.data, UUID_BYTES, hex);
    AP_TRY(ap_bytes_printf(out, err, "%s%s", ledger->prefix, *ledger->prefix ? "/" : ""));
    if (prefix) AP_TRY(ap_bytes_printf(out, err, "%.*s/", (int)prefix, place.data));
    return ap_bytes_printf(out, err, "deletion_vector_%.8s-%.4s-%.4s-%.4s-%.12s.bin", hex, hex + 8,
        hex + 12, hex + 16, hex + 20);
}

/* The data of a vector in a file, with size and checksum proven. */
static enum apiary_code read_file(struct ap_ledger *ledger, const char *key,
    const struct ap_deletion_vector *vector, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_range range = { .offset = vector->has_offset ? (uint64_t)vector->offset : 1,
        .length = (uint64_t)vector->size_bytes + FRAME_BYTES };
    AP_AUTO(ap_bytes) framed = { 0 };
    AP_TRY(ap_store_get(ledger->store, key, range, &framed, NULL, err));
    size_t size = (size_t)vector->size_bytes;
    if (framed.size != size + FRAME_BYTES)
        return ap_fail(err, APIARY_CORRUPT, "%s: it is cut off", key);
    if (u32_be(framed.data) != size)
        return ap_fail(err, APIARY_CORRUPT, "%s: it says %u bytes, the log says %zu", key,
            (unsigned)u32_be(framed.data), size);
    if (u32_be(framed.data + 4 + size) != ap_crc32(0, framed.data + 4, size))
        return ap_fail(err, APIARY_CORRUPT, "%s: wrong checksum", key);
    return ap_bytes_add(out, framed.data + 4, size, err);
}

static enum apiary_code read_data(struct ap_ledger *ledger, const struct ap_deletion_vector *vector,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    switch (vector->storage.data[0]) {
        case 'i':
            AP_TRY(ap_z85_decode(out, vector->path_or_inline, err));
            /* The encoding fills up to four bytes; the log knows the true size. */
            if (out->size < (size_t)vector->size_bytes ||
                out->size - (size_t)vector->size_bytes > 3)
                return ap_fail(err, APIARY_CORRUPT, "it has %zu bytes, the log says %lld",
                    out->size, (long long)vector->size_bytes);
            out->size = (size_t)vector->size_bytes;
            return APIARY_OK;
        case 'u':
            AP_TRY(ap_deletion_vector_key(ledger, vector->path_or_inline, &key, err));
            return read_file(ledger, ap_bytes_text(&key), vector, out, err);
        default:
            return ap_fail(err, APIARY_UNSUPPORTED,
                "it lies at the absolute path \"" AP_FMT "\", which is not supported",
                AP_ARG(vector->path_or_inline));
    }
}

static enum apiary_code read_rows(struct ap_ledger *ledger, const struct ap_cell *cell,
    uint64_t **rows, size_t *count, struct apiary_error *err)
{
    const struct ap_deletion_vector *vector = &cell->deletion_vector;
    AP_AUTO(ap_bytes) data = { 0 };
    AP_TRY(ap_deletion_vector_check(vector, err));
    if (vector->size_bytes > VECTOR_BYTES_MAX || vector->cardinality > VECTOR_ROWS_MAX)
        return ap_fail(err, APIARY_LIMIT, "it has %lld bytes for %lld rows",
            (long long)vector->size_bytes, (long long)vector->cardinality);
    AP_TRY(read_data(ledger, vector, &data, err));
    if (data.size < 4 || u32_le(data.data) != MAGIC)
        return ap_fail(err, APIARY_CORRUPT, "it does not begin as a deletion vector does");
    uint64_t *numbers = NULL;
    size_t found = 0;
    struct ap_str bitmap = { data.data + 4, data.size - 4 };
    AP_TRY(ap_roaring_read(bitmap, (uint64_t)vector->cardinality, &numbers, &found, err));
    bool fits = found == (uint64_t)vector->cardinality &&
                (cell->row_count < 0 || !found || numbers[found - 1] < (uint64_t)cell->row_count);
    if (!fits) {
        ap_free(numbers);
        return ap_fail(err, APIARY_CORRUPT, "it names %zu rows, the log says %lld of %lld", found,
            (long long)vector->cardinality, (long long)cell->row_count);
    }
    *rows = numbers;
    *count = found;
    return APIARY_OK;
}

enum apiary_code ap_deletion_vector_read(struct ap_ledger *ledger, const struct ap_cell *cell,
    uint64_t **rows, size_t *count, struct apiary_error *err)
{
    if (cell->deletion_vector.storage.size == 0) {
        *rows = NULL;
        *count = 0;
        return APIARY_OK;
    }
    enum apiary_code code = read_rows(ledger, cell, rows, count, err);
    return code == APIARY_OK ? APIARY_OK
                             : ap_context(err, code, "frame %s: deletion vector of cell " AP_FMT,
                                   ledger->name, AP_ARG(cell->path));
}
