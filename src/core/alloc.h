/* All memory of the library passes here; tests make the n-th allocation fail.
 * Thread-safe. */
#ifndef AP_CORE_ALLOC_H
#define AP_CORE_ALLOC_H

#include "core/error.h"

#include <stddef.h>

/* realloc; size 0 frees and gives NULL. NULL when there is no memory. */
void *ap_realloc(void *memory, size_t size);
/* Zeroed; checks count × size for overflow. NULL when there is no memory. */
void *ap_calloc(size_t count, size_t size);
void ap_free(void *memory);
/* A NUL-ended copy. NULL when there is no memory. */
char *ap_strdup(const char *text);
char *ap_strndup(const char *text, size_t length);

/* Makes room for `need` items in a growing array: *items, *capacity (items). */
AP_CHECKED enum apiary_code ap_grow(void **items, size_t *capacity, size_t need, size_t item_size,
    struct apiary_error *err);
#define AP_GROW(items, capacity, need, err)                                    \
    ap_grow((void **)&(items), &(capacity), (need), sizeof *(items), (err))

/* Fails with MEMORY: "out of memory for WHAT". */
enum apiary_code ap_fail_memory(struct apiary_error *err, const char *what);

/* Tests: the n-th allocation from now (1 = next) in this thread fails once; 0 = off. */
void ap_alloc_fail_after(long n);
/* Allocations still to go until it fails; 0: it failed, or none was asked for. */
long ap_alloc_fail_left(void);

/* cleanup helper for AP_AUTO-less raw pointers: __attribute__((cleanup(ap_free_pointer))) */
void ap_free_pointer(void *pointer_to_pointer);
#define AP_AUTO_FREE __attribute__((cleanup(ap_free_pointer)))

#endif
