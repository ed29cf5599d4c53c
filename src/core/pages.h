/* Sparse files between a node and its chambers: which pages are there, and how a chamber waits
 * for one that is not.
 *
 * Two pieces of shared memory, both made by the node:
 *
 *   map     one of the node, for all its chambers, which can only read it: a bit for each page of
 *           each sparse file. A bit is set after the page's bytes were written to the file and is
 *           never taken back while anybody may have the file open.
 *   slots   one of each chamber: AP_PAGE_SLOTS words to wait on. A thread of the chamber takes a
 *           slot, sets it to WAITING, sends RANGE with its number (core/wire.h) and sleeps; the
 *           node writes what became of it and wakes the sleeper. So many threads can wait at once
 *           and no answer has to be matched with its question.
 *
 * The node writes into slots and never believes them: what a chamber puts there hurts the chamber
 * alone. */
#ifndef AP_CORE_PAGES_H
#define AP_CORE_PAGES_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

enum { AP_PAGE_SIZE = 4096, AP_PAGE_SLOTS = 64, AP_PAGE_WORD_BITS = 64 };
/* RANGE with this slot: nobody waits, the bytes were there (the node learns what is read). */
enum { AP_PAGE_NOBODY = AP_PAGE_SLOTS };
/* What a slot says. */
enum {
    AP_PAGE_WAITING = 1,
    AP_PAGE_THERE = 2,
    AP_PAGE_TAKE = 3,  /* the bytes are not in the file: ask for them by TAKE (no room on the disk) */
    AP_PAGE_ERROR = 16 /* and above: AP_PAGE_ERROR + errno */
};

typedef _Atomic uint64_t ap_page_word;

/* A read that waits, as it is handed around inside of a node: whoever has it calls done exactly
 * once, from any thread, with a state of a slot. done NULL: nobody waits. */
struct ap_page_wait {
    void (*done)(void *who, uint32_t slot, uint32_t state);
    void *who;
    uint32_t slot;
};
static inline void ap_page_wait_end(struct ap_page_wait wait, uint32_t state)
{
    if (wait.done) wait.done(wait.who, wait.slot, state);
}

struct ap_page_slot {
    _Atomic uint32_t state;
    uint32_t unused[15]; /* a cache line each */
};

static inline uint64_t ap_page_count(uint64_t size)
{
    return size / AP_PAGE_SIZE + (size % AP_PAGE_SIZE != 0);
}

/* Are pages first … last all there? */
bool ap_pages_there(const ap_page_word *bits, uint64_t first, uint64_t last);
/* Marks pages first … last; release order: their bytes were written before. */
void ap_pages_mark(ap_page_word *bits, uint64_t first, uint64_t last);
/* The first page of [first, last] whose bit is `there`; last + 1 when there is none. */
uint64_t ap_pages_find(const ap_page_word *bits, uint64_t first, uint64_t last, bool there);

/* Shared memory of `size` bytes, zeroed, mapped for writing; it can neither shrink nor grow.
 * *fd is the caller's, *memory ends with munmap. */
AP_CHECKED enum apiary_code ap_pages_share(
    size_t size, int *fd, void **memory, struct apiary_error *err);
/* Maps what a node shared: at most size_max bytes, for writing or not. Its size goes to *size. */
AP_CHECKED enum apiary_code ap_pages_map(int fd, size_t size_max, bool writable, void **memory,
    size_t *size, struct apiary_error *err);

/* Sleeps while the slot says WAITING. Returns what it says then. */
uint32_t ap_page_slot_wait(struct ap_page_slot *slot);
/* Says it and wakes the sleeper. */
void ap_page_slot_tell(struct ap_page_slot *slot, uint32_t state);

#endif
