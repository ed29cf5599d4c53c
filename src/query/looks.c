#include "query/looks.h"

#include "core/alloc.h"

void ap_looks_begin(struct ap_looks *looks, struct ap_world *world, int64_t since_us)
{
    *looks = (struct ap_looks) { .world = world, .since_us = since_us };
}

void ap_looks_done(struct ap_looks *looks)
{
    ap_free(looks->hives);
    ap_free(looks->frames);
    memset(looks, 0, sizeof *looks);
}

static void add_hive(struct ap_looks *looks, const char *hive)
{
    struct ap_catalog_look look = { 0 };
    if (AP_GROW(looks->hives, looks->hive_capacity, looks->hive_count + 1, NULL) != APIARY_OK) return;
    if (!ap_catalog_look_begin(looks->world->catalog, hive, looks->since_us, &look)) return;
    for (size_t i = 0; i < looks->hive_count; i++)
        if (looks->hives[i].chain == look.chain) return;
    looks->hives[looks->hive_count++] = look;
}

static void add_frame(struct ap_looks *looks, const struct ap_name3 *name)
{
    struct ap_world *world = looks->world;
    AP_AUTO(ap_entry) entry = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    if (!ap_catalog_known(world->catalog, name, &entry) || entry.kind != AP_ENTRY_FRAME) return;
    if (ap_frames_ledger(world->frames, &entry, &ledger, &store, &prefix, NULL) != APIARY_OK) return;
    if (store != world->store) return; /* another store is asked for itself */
    for (size_t i = 0; i < looks->frame_count; i++)
        if (looks->frames[i].ledger == ledger) return;
    if (AP_GROW(looks->frames, looks->frame_capacity, looks->frame_count + 1, NULL) != APIARY_OK)
        return;
    struct ap_ledger_look *look = &looks->frames[looks->frame_count];
    if (ap_ledger_look_begin(ledger, looks->since_us, look)) looks->frame_count++;
}

void ap_looks_add(struct ap_looks *looks, const struct ap_name3 *name)
{
    add_hive(looks, name->hive);
    add_frame(looks, name);
}

void ap_looks_end(struct ap_looks *looks)
{
    size_t hives = looks->hive_count, all = hives + looks->frame_count;
    AP_AUTO_FREE struct ap_get *gets = all ? ap_calloc(all, sizeof *gets) : NULL;
    if (gets != NULL) {
        for (size_t i = 0; i < hives; i++) {
            gets[i] = looks->hives[i].get;
            gets[i].key = looks->hives[i].key;
        }
        for (size_t i = hives; i < all; i++) gets[i] = looks->frames[i - hives].get;
        ap_store_get_many(looks->world->store, gets, all);
        for (size_t i = 0; i < hives; i++) looks->hives[i].get = gets[i];
        for (size_t i = hives; i < all; i++) looks->frames[i - hives].get = gets[i];
    }
    for (size_t i = 0; i < hives; i++) ap_catalog_look_end(&looks->hives[i]);
    for (size_t i = 0; i < looks->frame_count; i++) ap_ledger_look_end(&looks->frames[i]);
}
