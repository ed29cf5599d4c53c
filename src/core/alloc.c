#include "core/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { GROW_FIRST = 8 };

/* Counted down by each allocation of this thread; the one that reaches zero fails. */
static _Thread_local long fail_countdown;

static bool fails_now(void)
{
    return fail_countdown > 0 && --fail_countdown == 0;
}

void *ap_realloc(void *memory, size_t size)
{
    if (size == 0) {
        free(memory);
        return NULL;
    }
    if (fails_now()) return NULL;
    return realloc(memory, size);
}

void *ap_calloc(size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) return NULL;
    if (fails_now()) return NULL;
    return calloc(1, total ? total : 1);
}

void ap_free(void *memory)
{
    free(memory);
}

char *ap_strndup(const char *text, size_t length)
{
    if (length == SIZE_MAX) return NULL;
    char *copy = ap_realloc(NULL, length + 1);
    if (!copy) return NULL;
    if (length) memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

char *ap_strdup(const char *text)
{
    return ap_strndup(text, strlen(text));
}

enum apiary_code ap_grow(
    void **items, size_t *capacity, size_t need, size_t item_size, struct apiary_error *err)
{
    if (need <= *capacity) return APIARY_OK;
    size_t want = *capacity ? *capacity : GROW_FIRST;
    while (want < need) {
        if (__builtin_mul_overflow(want, (size_t)2, &want)) return ap_fail_memory(err, "a list");
    }
    size_t bytes;
    if (__builtin_mul_overflow(want, item_size, &bytes)) return ap_fail_memory(err, "a list");
    void *grown = ap_realloc(*items, bytes);
    if (!grown) return ap_fail_memory(err, "a list");
    *items = grown;
    *capacity = want;
    return APIARY_OK;
}

enum apiary_code ap_fail_memory(struct apiary_error *err, const char *what)
{
    return ap_fail(err, APIARY_MEMORY, "out of memory for %s", what);
}

void ap_alloc_fail_after(long n)
{
    fail_countdown = n;
}

long ap_alloc_fail_left(void)
{
    return fail_countdown;
}

void ap_free_pointer(void *pointer_to_pointer)
{
    void **pointer = pointer_to_pointer;
    free(*pointer);
    *pointer = NULL;
}
