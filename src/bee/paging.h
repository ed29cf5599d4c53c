/* Sparse files from the chamber's side: a read looks at the bits of its pages and waits for the
 * node where one is missing (core/pages.h). Thread-safe. */
#ifndef AP_BEE_PAGING_H
#define AP_BEE_PAGING_H

#include "core/pages.h"

#include <sys/types.h>

/* A sparse file that is open. bits NULL: the file is whole. */
struct bee_sparse {
    const ap_page_word *bits;
    uint64_t number;
    uint64_t size;
};

/* The slots that came with HELLO; the descriptor stays the caller's. */
AP_CHECKED enum apiary_code bee_paging_slots(int fd, struct apiary_error *err);
/* Finds the bits of a sparse file in the node's map, which is asked for the first time. An errno,
 * or 0. */
int bee_paging_bits(uint64_t map_at, uint64_t size, const ap_page_word **bits);
/* As pread(2). */
ssize_t bee_paging_read(
    const struct bee_sparse *sparse, int fd, void *data, size_t size, uint64_t offset);

/* Bytes read of sparse files and reads that waited, since the last call. */
void bee_paging_figures(uint64_t *bytes, uint64_t *waits);

#endif
