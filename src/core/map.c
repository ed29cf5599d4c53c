#include "core/map.h"

#include "core/alloc.h"

enum { SLOTS_FIRST = 16 };
enum { FREE, USED, DELETED };

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load(const unsigned char *from, size_t size)
{
    uint64_t word = 0;
    memcpy(&word, from, size);
    return word;
}

/* Eight bytes a step through a 64×64→128 multiplication, as wyhash does. */
uint64_t ap_hash_bytes(const void *data, size_t size, uint64_t seed)
{
    const uint64_t p0 = UINT64_C(0xa0761d6478bd642f), p1 = UINT64_C(0xe7037ed1a0b428db);
    const unsigned char *at = data;
    uint64_t hash = mix(seed ^ p0, (uint64_t)size ^ p1);
    for (; size >= 8; size -= 8, at += 8) hash = mix(hash ^ load(at, 8), p1);
    if (size) hash = mix(hash ^ load(at, size), p0);
    return mix(hash, p0);
}

void ap_map_done(struct ap_map *map)
{
    if (!map->borrow_keys)
        for (size_t i = 0; i < map->slot_count; i++)
            if (map->slots[i].used == USED) ap_free((void *)(uintptr_t)map->slots[i].key.data);
    ap_free(map->slots);
    *map = (struct ap_map) { .borrow_keys = map->borrow_keys };
}

/* The slot of the key, or NULL. */
static struct ap_map_slot *find(const struct ap_map *map, struct ap_str key, uint64_t hash)
{
    if (map->used == 0) return NULL;
    for (size_t at = hash & (map->slot_count - 1);; at = (at + 1) & (map->slot_count - 1)) {
        struct ap_map_slot *slot = &map->slots[at];
        if (slot->used == FREE) return NULL;
        if (slot->used == USED && slot->hash == hash && ap_str_equal(slot->key, key)) return slot;
    }
}

/* The first slot of the key's chain that holds nothing; there is one by the load limit. */
static struct ap_map_slot *find_free(struct ap_map_slot *slots, size_t slot_count, uint64_t hash)
{
    size_t at = hash & (slot_count - 1);
    while (slots[at].used == USED) at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

/* Keeps a quarter of the slots free, so that every search ends. */
static enum apiary_code make_room(struct ap_map *map, struct apiary_error *err)
{
    if ((map->filled + 1) * 4 <= map->slot_count * 3) return APIARY_OK;
    size_t slot_count = map->slot_count ? map->slot_count : SLOTS_FIRST;
    while ((map->used + 1) * 2 > slot_count)
        if (__builtin_mul_overflow(slot_count, (size_t)2, &slot_count))
            return ap_fail_memory(err, "a map");
    struct ap_map_slot *slots = ap_calloc(slot_count, sizeof *slots);
    if (!slots) return ap_fail_memory(err, "a map");
    for (size_t i = 0; i < map->slot_count; i++)
        if (map->slots[i].used == USED)
            *find_free(slots, slot_count, map->slots[i].hash) = map->slots[i];
    ap_free(map->slots);
    map->slots = slots;
    map->slot_count = slot_count;
    map->filled = map->used;
    return APIARY_OK;
}

enum apiary_code ap_map_put(
    struct ap_map *map, struct ap_str key, uint64_t value, struct apiary_error *err)
{
    uint64_t hash = ap_hash_bytes(key.data, key.size, 0);
    struct ap_map_slot *slot = find(map, key, hash);
    if (slot) {
        slot->value = value;
        return APIARY_OK;
    }
    AP_TRY(make_room(map, err));
    if (!map->borrow_keys) {
        char *copy = ap_str_dup(key);
        if (!copy) return ap_fail_memory(err, "a map key");
        key.data = copy;
    }
    slot = find_free(map->slots, map->slot_count, hash);
    if (slot->used == FREE) map->filled++;
    *slot = (struct ap_map_slot) { .key = key, .hash = hash, .value = value, .used = USED };
    map->used++;
    return APIARY_OK;
}

bool ap_map_get(const struct ap_map *map, struct ap_str key, uint64_t *value)
{
    const struct ap_map_slot *slot = find(map, key, ap_hash_bytes(key.data, key.size, 0));
    if (!slot) return false;
    *value = slot->value;
    return true;
}

bool ap_map_has(const struct ap_map *map, struct ap_str key)
{
    return find(map, key, ap_hash_bytes(key.data, key.size, 0)) != NULL;
}

bool ap_map_remove(struct ap_map *map, struct ap_str key)
{
    struct ap_map_slot *slot = find(map, key, ap_hash_bytes(key.data, key.size, 0));
    if (!slot) return false;
    if (!map->borrow_keys) ap_free((void *)(uintptr_t)slot->key.data);
    *slot = (struct ap_map_slot) { .used = DELETED };
    map->used--;
    return true;
}
