/* The page slots of one chamber (core/pages.h). A fetch may end after the chamber that waited for it
 * was killed, so the memory is counted: the chamber holds it once, and every wait once. */
#include "core/alloc.h"
#include "runtime/pool_private.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

struct ap_page_slots {
    atomic_int references;
    int fd;
    struct ap_page_slot *slots;
};

enum { BYTES = AP_PAGE_SLOTS * sizeof(struct ap_page_slot) };

enum apiary_code ap_page_slots_new(struct ap_page_slots **out, struct apiary_error *err)
{
    struct ap_page_slots *slots = ap_calloc(1, sizeof *slots);
    if (!slots) return ap_fail_memory(err, "a chamber");
    void *memory = NULL;
    enum apiary_code code = ap_pages_share(BYTES, &slots->fd, &memory, err);
    if (code != APIARY_OK) {
        ap_free(slots);
        return code;
    }
    slots->slots = memory;
    atomic_init(&slots->references, 1);
    *out = slots;
    return APIARY_OK;
}

void ap_page_slots_unref(struct ap_page_slots *slots)
{
    if (!slots || atomic_fetch_sub(&slots->references, 1) > 1) return;
    munmap(slots->slots, BYTES);
    close(slots->fd);
    ap_free(slots);
}

int ap_page_slots_fd(const struct ap_page_slots *slots)
{
    return slots->fd;
}

static void done(void *who, uint32_t slot, uint32_t state)
{
    struct ap_page_slots *slots = who;
    ap_page_slot_tell(&slots->slots[slot], state);
    ap_page_slots_unref(slots);
}

struct ap_page_wait ap_page_slots_wait(struct ap_page_slots *slots, uint64_t slot)
{
    if (slot >= AP_PAGE_SLOTS) return (struct ap_page_wait) { 0 };
    atomic_fetch_add(&slots->references, 1);
    return (struct ap_page_wait) { .done = done, .who = slots, .slot = (uint32_t)slot };
}
