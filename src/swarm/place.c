#include "swarm/place.h"

#include "core/map.h"

#include <math.h>

static double weight_of(const struct ap_view_node *node)
{
    return node->key.caps.bees > 0 ? (double)node->key.caps.bees : 1;
}

/* Weighted rendezvous: -weight / ln(u), u in (0, 1) by hash of node and key. */
static double score(const struct ap_view_node *node, uint64_t seed)
{
    uint64_t hash = ap_hash_bytes(node->key.boot.text, sizeof node->key.boot.text - 1, seed);
    double u = ((double)(hash >> 11) + 0.5) / 9007199254740992.0;
    return -weight_of(node) / log(u);
}

static uint64_t seed_of(struct ap_str key)
{
    return ap_hash_bytes(key.data, key.size, UINT64_C(0xB1AC));
}

static uint64_t memory_of(const struct ap_caps *caps)
{
    return (caps->bees > 0 ? caps->bees : 1) * caps->memory_per_bee_mb;
}

static uint64_t most_memory(const struct ap_view *view)
{
    uint64_t most = 0;
    for (size_t i = 0; i < view->count; i++)
        if (view->nodes[i].state == AP_NODE_ALIVE && memory_of(&view->nodes[i].key.caps) > most) most = memory_of(&view->nodes[i].key.caps);
    return most;
}

/* Memory that a node must have with all its bees: as much as is wished, or as the largest has. */
static uint64_t enough(const struct ap_view *view, uint64_t memory_mb)
{
    uint64_t most = most_memory(view);
    return most < memory_mb ? most : memory_mb;
}

bool ap_place_holds(const struct ap_view *view, struct ap_caps caps, uint64_t memory_mb)
{
    return memory_of(&caps) >= enough(view, memory_mb);
}

double ap_place_bees(const struct ap_view *view, uint64_t memory_mb)
{
    double bees = 0;
    for (size_t i = 0; i < view->count; i++)
        if (view->nodes[i].state == AP_NODE_ALIVE && ap_place_holds(view, view->nodes[i].key.caps, memory_mb)) bees += weight_of(&view->nodes[i]);
    return bees;
}

/* How full a node would be for each bee, as far as that counts against it: not while it has nothing, nor within the bound. */
static double too_full(const struct ap_view_node *node, uint64_t taken, double bee_most, uint64_t load)
{
    double filled = (double)(taken + load) / weight_of(node);
    return taken > 0 && filled > bee_most ? filled : 0;
}

size_t ap_place_bounded(const struct ap_view *view, struct ap_str key, uint64_t memory_mb, const struct ap_place_loads *loads, uint64_t load)
{
    size_t best = SIZE_MAX;
    double highest = 0, emptiest = 0;
    uint64_t seed = seed_of(key), least = 0;
    for (int by_node = 0; by_node < 2 && best == SIZE_MAX; by_node++) {
        if (by_node) least = enough(view, memory_mb);
        for (size_t i = 0; i < view->count; i++) {
            const struct ap_view_node *node = &view->nodes[i];
            const struct ap_caps *caps = &node->key.caps;
            bool fits = by_node ? memory_of(caps) >= least : caps->memory_per_bee_mb >= memory_mb;
            if (node->state != AP_NODE_ALIVE || !fits) continue;
            double value = score(node, seed), full = loads != NULL ? too_full(node, loads->taken[i], loads->bee_most, load) : 0;
            if (best == SIZE_MAX || full < emptiest || (full <= emptiest && value > highest)) best = i, highest = value, emptiest = full;
        }
    }
    if (best != SIZE_MAX && loads != NULL) loads->taken[best] += load;
    return best;
}

size_t ap_place(const struct ap_view *view, struct ap_str key, uint64_t memory_mb)
{
    return ap_place_bounded(view, key, memory_mb, NULL, 0);
}

static bool among(const char *boot, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], boot) == 0) return true;
    return false;
}

size_t ap_place_rank(const struct ap_view *view, struct ap_str key, const char *boot, const char *const *last, size_t last_count)
{
    uint64_t seed = seed_of(key);
    const struct ap_view_node *self = ap_view_find(view, boot);
    bool late = among(boot, last, last_count);
    size_t rank = 0;
    for (size_t i = 0; i < view->count; i++) {
        const struct ap_view_node *node = &view->nodes[i];
        if (node == self || node->state != AP_NODE_ALIVE) continue;
        bool its_late = among(node->key.boot.text, last, last_count);
        if (self == NULL || (late && !its_late)) rank++;
        else if (its_late == late) rank += score(node, seed) > score(self, seed);
    }
    return rank;
}
