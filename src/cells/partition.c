/* Where new cells go and how large they should be (cells.h). Pure but for the random names. */
#include "cells/cells.h"

#include "core/codec.h"
#include "core/id.h"

#include <stdio.h>

enum { VALUE_BYTES_MAX = 100, VALUE_BYTES_KEPT = 60, HASH_BYTES = 8 };

/* Percent-encoded; too long: the first 60 bytes, ~ (which the encoding never gives) and a hash. */
static enum apiary_code add_encoded(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) encoded = { 0 };
    AP_TRY(ap_percent_encode(&encoded, text, "._-", err));
    if (encoded.size <= VALUE_BYTES_MAX) return ap_bytes_add_str(out, ap_bytes_view(&encoded), err);
    size_t kept = VALUE_BYTES_KEPT;
    if (encoded.data[kept - 1] == '%')
        kept -= 1; /* no half escape */
    else if (encoded.data[kept - 2] == '%')
        kept -= 2;
    uint8_t digest[AP_SHA256_SIZE];
    char hex[2 * HASH_BYTES + 1];
    ap_sha256(text.data, text.size, digest);
    ap_hex(digest, HASH_BYTES, hex);
    AP_TRY(ap_bytes_add(out, encoded.data, kept, err));
    return ap_bytes_printf(out, err, "~%s", hex);
}

enum apiary_code ap_partition_folder(
    struct ap_bytes *out, struct ap_str column, struct ap_str value, struct apiary_error *err)
{
    AP_TRY(add_encoded(out, column, err));
    AP_TRY(ap_bytes_add_text(out, "=", err));
    if (!value.data) return ap_bytes_add_text(out, "__HIVE_DEFAULT_PARTITION__", err);
    return add_encoded(out, value, err);
}

#define NAME_BEGIN "cell_"
#define NAME_END ".parquet"

enum apiary_code ap_cell_new_key(
    struct ap_env *env, struct ap_bytes *out, struct ap_str folders, struct apiary_error *err)
{
    char uuid[AP_UUID_TEXT_SIZE];
    ap_assert(folders.size == 0 || folders.data[folders.size - 1] == '/');
    ap_uuid7(env, uuid);
    return ap_bytes_printf(out, err, AP_FMT NAME_BEGIN "%s" NAME_END, AP_ARG(folders), uuid);
}

bool ap_cell_is_key(struct ap_str key, struct ap_str folders)
{
    const struct ap_str begin = AP_STR(NAME_BEGIN), end = AP_STR(NAME_END);
    const size_t uuid = AP_UUID_TEXT_SIZE - 1;
    if (key.size != folders.size + begin.size + uuid + end.size || !ap_str_starts_with(key, folders)) return false;
    struct ap_str name = { key.data + folders.size, key.size - folders.size };
    if (!ap_str_starts_with(name, begin) || !ap_str_ends_with(name, end)) return false;
    for (size_t i = begin.size; i < begin.size + uuid; i++) {
        char c = name.data[i];
        if (c != '-' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return false;
    }
    return true;
}

#define MIB (UINT64_C(1) << 20)
#define TARGET_MIN (16 * MIB)
#define SETTING_MIN (64 * UINT64_C(1024))
/* The engine encodes whole row groups; a multiple of its 2,048 rows. A small bee gets smaller ones.
 */
enum { ROWS_FEW = 30720, ROWS_SOME = 61440, ROWS_USUAL = 122880, ROWS_STEP = 2048 };
enum { GROUPS_PER_CELL = 4 };

struct ap_leafcutter ap_leafcut(uint64_t memory_per_bee_bytes, uint64_t setting)
{
    uint64_t target = memory_per_bee_bytes / 4;
    if (target < TARGET_MIN) target = TARGET_MIN;
    if (setting) target = setting < SETTING_MIN ? SETTING_MIN : setting;
    if (target > UINT64_MAX / 2) target = UINT64_MAX / 2;
    uint64_t rows = memory_per_bee_bytes >= 512 * MIB   ? ROWS_USUAL
                    : memory_per_bee_bytes >= 256 * MIB ? ROWS_SOME
                                                        : ROWS_FEW;
    return (struct ap_leafcutter) {
        .target_bytes = target, .ceiling_bytes = 2 * target, .row_group_rows = rows
    };
}

struct ap_leafcutter ap_leafcut_rows(struct ap_leafcutter cut, uint64_t rows, uint64_t bytes)
{
    ap_assert(rows > 0 && bytes > 0);
    double row = (double)bytes / (double)rows;
    double most = (double)cut.target_bytes / row / GROUPS_PER_CELL;
    uint64_t fit = most < (double)cut.row_group_rows ? (uint64_t)most : cut.row_group_rows;
    fit -= fit % ROWS_STEP;
    cut.row_group_rows = fit > ROWS_STEP ? fit : ROWS_STEP; /* the engine's least */
    return cut;
}

uint64_t ap_leafcut_memory(uint64_t task_bytes)
{
    if (task_bytes <= 2 * TARGET_MIN) return 0;
    return task_bytes > UINT64_MAX / 2 ? UINT64_MAX : 2 * task_bytes;
}

size_t ap_leafcut_task(
    const uint64_t *cell_bytes, size_t count, size_t first, uint64_t memory_per_bee_bytes)
{
    ap_assert(first < count);
    uint64_t target = ap_leafcut(memory_per_bee_bytes, 0).target_bytes, taken = cell_bytes[first];
    size_t cells = 1;
    while (first + cells < count && taken < target &&
           cell_bytes[first + cells] <= target - taken)
        taken += cell_bytes[first + cells++];
    return cells;
}
