/* A hash map from byte strings to uint64_t, open addressing, keys copied or
 * borrowed as chosen at init. Not thread-safe. Hash is seeded per map (env
 * random is not needed: keys come from trusted order or are bounded). */
#ifndef AP_CORE_MAP_H
#define AP_CORE_MAP_H

#include "core/str.h"

struct ap_map_slot {
    struct ap_str key;
    uint64_t hash;
    uint64_t value;
    uint8_t used; /* 0 free, 1 used, 2 deleted */
};
struct ap_map {
    struct ap_map_slot *slots;
    size_t slot_count; /* 0 or a power of two */
    size_t used;       /* live keys */
    size_t filled;     /* live and deleted */
    bool borrow_keys;  /* keys stay the caller's and must outlive the map */
};

void ap_map_done(struct ap_map *map);
AP_CHECKED enum apiary_code ap_map_put(struct ap_map *map, struct ap_str key, uint64_t value, struct apiary_error *err);
bool ap_map_get(const struct ap_map *map, struct ap_str key, uint64_t *value);
bool ap_map_has(const struct ap_map *map, struct ap_str key);
bool ap_map_remove(struct ap_map *map, struct ap_str key);
uint64_t ap_hash_bytes(const void *data, size_t size, uint64_t seed);

#endif
