#include "core/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The bits of word `word` that stand for pages of [first, last]. */
static uint64_t mask_of(uint64_t word, uint64_t first, uint64_t last)
{
    uint64_t mask = UINT64_MAX;
    if (word == first / AP_PAGE_WORD_BITS) mask &= UINT64_MAX << first % AP_PAGE_WORD_BITS;
    if (word == last / AP_PAGE_WORD_BITS)
        mask &= UINT64_MAX >> (AP_PAGE_WORD_BITS - 1 - last % AP_PAGE_WORD_BITS);
    return mask;
}

bool ap_pages_there(const ap_page_word *bits, uint64_t first, uint64_t last)
{
    return ap_pages_find(bits, first, last, false) > last;
}

void ap_pages_mark(ap_page_word *bits, uint64_t first, uint64_t last)
{
    for (uint64_t word = first / AP_PAGE_WORD_BITS; word <= last / AP_PAGE_WORD_BITS; word++)
        atomic_fetch_or_explicit(&bits[word], mask_of(word, first, last), memory_order_release);
}

uint64_t ap_pages_find(const ap_page_word *bits, uint64_t first, uint64_t last, bool there)
{
    for (uint64_t word = first / AP_PAGE_WORD_BITS; word <= last / AP_PAGE_WORD_BITS; word++) {
        uint64_t value = atomic_load_explicit(&bits[word], memory_order_acquire);
        uint64_t found = (there ? value : ~value) & mask_of(word, first, last);
        if (found) return word * AP_PAGE_WORD_BITS + (uint64_t)__builtin_ctzll(found);
    }
    return last + 1;
}

enum apiary_code ap_pages_share(size_t size, int *fd, void **memory, struct apiary_error *err)
{
    int made = memfd_create("apiary-pages", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0) return ap_fail_errno(err, errno, "cannot make shared memory");
    void *mapped = MAP_FAILED;
    if (ftruncate(made, (off_t)size) == 0 &&
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, made, 0);
    if (mapped == MAP_FAILED) {
        int error = errno;
        close(made);
        return ap_fail_errno(err, error, "cannot map %zu bytes of shared memory", size);
    }
    *fd = made;
    *memory = mapped;
    return APIARY_OK;
}

enum apiary_code ap_pages_map(int fd, size_t size_max, bool writable, void **memory, size_t *size,
    struct apiary_error *err)
{
    struct stat about;
    if (fstat(fd, &about) != 0) return ap_fail_errno(err, errno, "cannot map shared memory");
    if (about.st_size <= 0 || (uint64_t)about.st_size > size_max)
        return ap_fail(err, APIARY_CORRUPT, "shared memory of %lld bytes", (long long)about.st_size);
    void *mapped = mmap(NULL, (size_t)about.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
        MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) return ap_fail_errno(err, errno, "cannot map shared memory");
    *memory = mapped;
    *size = (size_t)about.st_size;
    return APIARY_OK;
}

uint32_t ap_page_slot_wait(struct ap_page_slot *slot)
{
    for (;;) {
        uint32_t state = atomic_load_explicit(&slot->state, memory_order_acquire);
        if (state != AP_PAGE_WAITING) return state;
        syscall(SYS_futex, &slot->state, FUTEX_WAIT, AP_PAGE_WAITING, NULL, NULL, 0);
    }
}

void ap_page_slot_tell(struct ap_page_slot *slot, uint32_t state)
{
    atomic_store_explicit(&slot->state, state, memory_order_release);
    syscall(SYS_futex, &slot->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
