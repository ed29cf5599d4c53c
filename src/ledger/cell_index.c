#include "core/alloc.h"
#include "core/map.h"
#include "ledger/fold.h"

enum { SLOTS_FIRST = 64, DECODED_MAX = 2048 };
#define PLACE_DELETED UINT32_MAX

void ap_cell_index_done(struct ap_cell_index *index)
{
    ap_free(index->slots);
    *index = (struct ap_cell_index) { 0 };
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* The next byte of a path read through its percent-encoding, or -1 at its end. */
static int next_byte(struct ap_str *path)
{
    if (path->size == 0) return -1;
    int byte = (unsigned char)path->data[0];
    size_t step = 1;
    if (byte == '%' && path->size >= 3) {
        int high = hex_digit(path->data[1]), low = hex_digit(path->data[2]);
        if (high >= 0 && low >= 0) {
            byte = high * 16 + low;
            step = 3;
        }
    }
    path->data += step;
    path->size -= step;
    return byte;
}

static uint64_t hash_path(struct ap_str path)
{
    if (path.size == 0 || !memchr(path.data, '%', path.size))
        return ap_hash_bytes(path.data, path.size, 0);
    char decoded[DECODED_MAX];
    size_t size = 0;
    for (int byte; size < sizeof decoded && (byte = next_byte(&path)) >= 0;)
        decoded[size++] = (char)byte;
    return ap_hash_bytes(decoded, size, 0); /* of a longer path the beginning will do */
}

static bool same_path(struct ap_str a, struct ap_str b)
{
    if (ap_str_equal(a, b)) return true;
    if (!memchr(a.data, '%', a.size) && !memchr(b.data, '%', b.size)) return false;
    for (;;) {
        int x = next_byte(&a), y = next_byte(&b);
        if (x != y) return false;
        if (x < 0) return true;
    }
}

uint32_t ap_cell_hash(struct ap_str path, const struct ap_deletion_vector *vector)
{
    /* An undecoded path longer than DECODED_MAX must hash as its decoded twin does. */
    struct ap_str cut = path;
    if (cut.size > DECODED_MAX && !memchr(cut.data, '%', cut.size)) cut.size = DECODED_MAX;
    uint64_t hash = hash_path(cut);
    if (vector && vector->storage.size) {
        hash = ap_hash_bytes(vector->path_or_inline.data, vector->path_or_inline.size, hash);
        if (vector->has_offset) hash ^= (uint64_t)vector->offset * UINT64_C(0x9e3779b97f4a7c15);
    }
    return (uint32_t)(hash ^ (hash >> 32));
}

static bool same_vector(const struct ap_deletion_vector *a, const struct ap_deletion_vector *b)
{
    size_t b_size = b ? b->storage.size : 0;
    if (a->storage.size == 0 || b_size == 0) return a->storage.size == b_size;
    return ap_str_equal(a->storage, b->storage) &&
           ap_str_equal(a->path_or_inline, b->path_or_inline) && a->has_offset == b->has_offset &&
           (!a->has_offset || a->offset == b->offset);
}

bool ap_cell_same(
    const struct ap_cell *cell, struct ap_str path, const struct ap_deletion_vector *vector)
{
    return same_path(cell->path, path) && same_vector(&cell->deletion_vector, vector);
}

size_t ap_cell_index_find(const struct ap_cell_index *index, const struct ap_cell *cells,
    struct ap_str path, const struct ap_deletion_vector *vector)
{
    if (index->used == 0) return SIZE_MAX;
    uint32_t hash = ap_cell_hash(path, vector);
    for (size_t at = hash & (index->slot_count - 1); index->slots[at];
         at = (at + 1) & (index->slot_count - 1)) {
        uint32_t place = (uint32_t)index->slots[at];
        if (index->slots[at] >> 32 != hash || place == PLACE_DELETED) continue;
        if (ap_cell_same(&cells[place - 1], path, vector)) return place - 1;
    }
    return SIZE_MAX;
}

static void put_slot(uint64_t *slots, size_t slot_count, uint64_t entry)
{
    size_t at = (entry >> 32) & (slot_count - 1);
    while (slots[at]) at = (at + 1) & (slot_count - 1);
    slots[at] = entry;
}

static enum apiary_code make_room(struct ap_cell_index *index, struct apiary_error *err)
{
    if ((index->filled + 1) * 4 <= index->slot_count * 3) return APIARY_OK;
    size_t slot_count = SLOTS_FIRST;
    while (slot_count < (index->used + 1) * 2) slot_count *= 2;
    uint64_t *slots = ap_calloc(slot_count, sizeof *slots);
    if (!slots) return ap_fail_memory(err, "a frame's cells");
    for (size_t i = 0; i < index->slot_count; i++)
        if (index->slots[i] && (uint32_t)index->slots[i] != PLACE_DELETED)
            put_slot(slots, slot_count, index->slots[i]);
    ap_free(index->slots);
    *index = (struct ap_cell_index) { slots, slot_count, index->used, index->used };
    return APIARY_OK;
}

enum apiary_code ap_cell_index_put(
    struct ap_cell_index *index, uint32_t hash, size_t place, struct apiary_error *err)
{
    if (place >= AP_CELLS_MAX)
        return ap_fail(err, APIARY_LIMIT, "frame has more than %u cells", (unsigned)AP_CELLS_MAX);
    AP_TRY(make_room(index, err));
    put_slot(index->slots, index->slot_count, (uint64_t)hash << 32 | (uint64_t)(place + 1));
    index->used++;
    index->filled++;
    return APIARY_OK;
}

void ap_cell_index_remove(struct ap_cell_index *index, uint32_t hash, size_t place)
{
    uint64_t entry = (uint64_t)hash << 32 | (uint64_t)(place + 1);
    for (size_t at = hash & (index->slot_count - 1); index->slots[at];
         at = (at + 1) & (index->slot_count - 1)) {
        if (index->slots[at] != entry) continue;
        index->slots[at] = (uint64_t)hash << 32 | PLACE_DELETED;
        index->used--;
        return;
    }
}
