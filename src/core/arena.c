#include "core/arena.h"

#include "core/alloc.h"

enum { ALIGNMENT = 16, BLOCK_FIRST = 4096, BLOCK_MAX = 1 << 20 };

struct ap_arena_block {
    struct ap_arena_block *next;
    size_t size; /* bytes of data */
    size_t used;
    _Alignas(ALIGNMENT) char data[];
};

void ap_arena_done(struct ap_arena *arena)
{
    for (struct ap_arena_block *block = arena->head; block;) {
        struct ap_arena_block *next = block->next;
        ap_free(block);
        block = next;
    }
    *arena = (struct ap_arena) { 0 };
}

/* Blocks double up to BLOCK_MAX; what is larger than a block gets one of its own. */
static struct ap_arena_block *add_block(struct ap_arena *arena, size_t need)
{
    size_t size = arena->head ? arena->head->size * 2 : BLOCK_FIRST;
    if (size > BLOCK_MAX) size = BLOCK_MAX;
    if (size < need) size = need;
    size_t bytes;
    if (__builtin_add_overflow(size, sizeof(struct ap_arena_block), &bytes)) return NULL;
    struct ap_arena_block *block = ap_calloc(1, bytes);
    if (!block) return NULL;
    block->size = size;
    block->next = arena->head;
    arena->head = block;
    return block;
}

void *ap_arena_alloc(struct ap_arena *arena, size_t size)
{
    if (size > SIZE_MAX / 2) return NULL;
    size_t need = size ? (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1) : ALIGNMENT;
    struct ap_arena_block *block = arena->head;
    if (!block || block->size - block->used < need) block = add_block(arena, need);
    if (!block) return NULL;
    void *out = block->data + block->used;
    block->used += need;
    arena->bytes_total += need;
    return out;
}

char *ap_arena_dup(struct ap_arena *arena, struct ap_str text)
{
    if (text.size == SIZE_MAX) return NULL;
    char *copy = ap_arena_alloc(arena, text.size + 1);
    if (!copy) return NULL;
    if (text.size) memcpy(copy, text.data, text.size);
    return copy;
}

struct ap_str ap_arena_str(struct ap_arena *arena, struct ap_str text, bool *ok)
{
    char *copy = ap_arena_dup(arena, text);
    if (!copy) {
        *ok = false;
        return (struct ap_str) { "", 0 };
    }
    return (struct ap_str) { copy, text.size };
}
