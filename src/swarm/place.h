/* Who does what: rendezvous hashing over the nodes that live. Each gives a key a score by hash and
 * weight; the highest gets it. When a node goes, only its keys move. */
#ifndef AP_SWARM_PLACE_H
#define AP_SWARM_PLACE_H

#include "swarm/view.h"

/* Index into the view of the live node to which `key` falls, weighted by bees; SIZE_MAX: none lives.
 * Nodes with less than `memory_mb` a bee are passed over where another has it; where none has, it goes to one that has
 * it in all its bees together, else to the one with most. */
size_t ap_place(const struct ap_view *view, struct ap_str key, uint64_t memory_mb);
/* What the nodes have got of work that is being shared out. */
struct ap_place_loads {
    uint64_t *taken;  /* by index into the view */
    double bee_most;  /* what a bee should get at most */
};
/* The same with a bound on what each node gets of one piece of work ("consistent hashing with bounded loads", Mirrokni and
 * others, 2016): who has something, and would have more than `bee_most` for each bee with `load` added, is passed over; where all
 * would, it goes to the one that would have least for each bee. Adds `load` to what the node that is found has taken. */
size_t ap_place_bounded(const struct ap_view *view, struct ap_str key, uint64_t memory_mb, const struct ap_place_loads *loads, uint64_t load);
/* May a node of so many bees with so much memory each take a task that needs `memory_mb`? It must have that in all of them
 * together, or no live node may have more than it. */
bool ap_place_holds(const struct ap_view *view, struct ap_caps caps, uint64_t memory_mb);
/* Bees of the live nodes that may take such a task. */
double ap_place_bees(const struct ap_view *view, uint64_t memory_mb);
/* How many live nodes come before `boot` for this key; those in `last` (boots) come behind all
 * others. A boot that does not live comes last of all. */
size_t ap_place_rank(const struct ap_view *view, struct ap_str key, const char *boot, const char *const *last, size_t last_count);

#endif
