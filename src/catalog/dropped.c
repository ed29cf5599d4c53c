/* Frames whose drop is old enough to be final. */
#include "catalog/catalog_private.h"

#include "core/alloc.h"

#include <stdio.h>

/* The newest slot of the chain that was written `age_us` ago or earlier, by the store's clock. NULL: there
 * is none. */
static enum apiary_code state_before(struct ap_chain *chain, int64_t age_us,
    struct ap_registry **out, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    char prefix[AP_CHAIN_KEY_MAX];
    snprintf(prefix, sizeof prefix, "%s/", chain->prefix);
    struct ap_list_request request = { .prefix = prefix };
    AP_TRY(ap_store_list(chain->store, &request, &list, err));
    const char *key = NULL;
    uint64_t version = 0, number = 0;
    for (size_t i = 0; i < list.count; i++) {
        struct ap_str name = ap_str_from(list.objects[i].key + strlen(prefix));
        if (name.size != 25 || !ap_str_ends_with(name, AP_STR(".json")) ||
            !ap_str_to_u64((struct ap_str) { name.data, 20 }, &number))
            continue;
        if (list.objects[i].modified_us > list.now_us - age_us) break;
        key = list.objects[i].key;
        version = number;
    }
    if (key == NULL) return APIARY_OK;
    struct ap_range range = { 0, AP_REGISTRY_BYTES_MAX, false };
    AP_TRY(ap_store_get(chain->store, key, range, &body, NULL, err));
    return ap_registry_parse(ap_bytes_view(&body), key, chain->kind, (int64_t)version, out, err);
}

enum apiary_code ap_catalog_dropped_for(struct ap_catalog *catalog, const char *hive,
    int64_t age_us, struct ap_entries *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    AP_AUTO(ap_entries) entries = { 0 };
    AP_AUTO_REGISTRY *old = NULL;
    AP_TRY(ap_catalog_view(catalog, hive, &view, err));
    AP_TRY(state_before(view.chain, age_us, &old, err));
    for (size_t i = 0; old != NULL && i < view.state->count; i++) {
        const struct ap_thing *thing = &view.state->things[i];
        const struct ap_thing *then = ap_registry_by_id(old, thing->id);
        if (thing->kind != AP_THING_FRAME || !thing->dropped_us || then == NULL ||
            then->dropped_us != thing->dropped_us) /* brought back meanwhile, and dropped again */
            continue;
        const struct ap_thing *box = ap_registry_by_id(view.state, thing->box);
        if (box == NULL) continue;
        AP_TRY(AP_GROW(entries.items, entries.capacity, entries.count + 1, err));
        AP_TRY(ap_entry_make(view.hive, box, thing, &entries.items[entries.count], err));
        entries.count++;
    }
    ap_entries_done(out);
    *out = AP_TAKE(entries);
    return APIARY_OK;
}
