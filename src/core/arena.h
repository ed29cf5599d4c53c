/* An arena: what lives and dies together (a snapshot, a plan) comes from one.
 * Not thread-safe; memory is freed by ap_arena_done only. */
#ifndef AP_CORE_ARENA_H
#define AP_CORE_ARENA_H

#include "core/str.h"

struct ap_arena_block;
struct ap_arena {
    struct ap_arena_block *head;
    size_t bytes_total; /* handed out */
};

void ap_arena_done(struct ap_arena *arena);
/* Zeroed, aligned to 16. NULL without memory. */
void *ap_arena_alloc(struct ap_arena *arena, size_t size);
char *ap_arena_dup(struct ap_arena *arena, struct ap_str text); /* NUL-ended */
struct ap_str ap_arena_str(struct ap_arena *arena, struct ap_str text, bool *ok);

#endif
