#include "runtime/bee_slots.h"

#include "core/alloc.h"
#include "runtime/pool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { GUEST = AP_POOL_BEES_MAX, COUNTER, TICKETS };
enum { DESCRIPTOR_FIRST = 10 }; /* above those that a chamber's own come to lie on */
/* Slots that stay free for so long while the first in the line does not take them are taken by
 * the next: the first is stopped, or wants more at once than there are. */
#define PATIENCE_US INT64_C(10000000)

struct ap_slots {
    char *path;
    int fd; /* holds the ticket */
    int total;
    uint64_t ticket;       /* 0: none */
    int64_t free_since_us; /* while we wait though there is room; 0: there is none */
};

static bool set_lock(int fd, short type, off_t start, off_t length)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length
    };
    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

/* Whether others hold a lock in the range. length 0: to the end of all numbers. */
static bool held(int fd, off_t start, off_t length)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length
    };
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

enum apiary_code ap_slots_open(
    const char *dir, int total, struct ap_slots **out, struct apiary_error *err)
{
    AP_TRY(ap_scratch_own_folder(dir, err));
    struct ap_slots *slots = ap_calloc(1, sizeof *slots);
    size_t size = strlen(dir) + sizeof "/bees";
    char *path = ap_realloc(NULL, size);
    if (!slots || !path) {
        ap_free(slots);
        ap_free(path);
        return ap_fail_memory(err, "the machine's bees");
    }
    snprintf(path, size, "%s/bees", dir);
    slots->path = path;
    slots->total = total;
    slots->fd = ap_slots_descriptor(slots);
    if (slots->fd < 0) {
        enum apiary_code code = ap_fail_errno(err, errno, "cannot open %s", path);
        ap_slots_close(slots);
        return code;
    }
    *out = slots;
    return APIARY_OK;
}

void ap_slots_close(struct ap_slots *slots)
{
    if (!slots) return;
    if (slots->fd >= 0) close(slots->fd);
    ap_free(slots->path);
    ap_free(slots);
}

int ap_slots_descriptor(const struct ap_slots *slots)
{
    int low = open(slots->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (low < 0) return -1;
    int fd = fcntl(low, F_DUPFD_CLOEXEC, DESCRIPTOR_FIRST);
    int error = errno;
    close(low);
    errno = error;
    return fd;
}

/* ---- the line ---- */

static void draw_ticket(struct ap_slots *slots)
{
    /* Somebody else draws just now: we come back a moment later. */
    if (!set_lock(slots->fd, F_WRLCK, COUNTER, 1)) return;
    uint64_t last = 0;
    if (pread(slots->fd, &last, sizeof last, 0) != (ssize_t)sizeof last) last = 0;
    /* A number that leaves no room for more begins anew; so does a file that is out of form. */
    uint64_t next = last < INT32_MAX ? last + 1 : 1;
    if (pwrite(slots->fd, &next, sizeof next, 0) == (ssize_t)sizeof next &&
        set_lock(slots->fd, F_WRLCK, TICKETS + (off_t)next, 1))
        slots->ticket = next;
    set_lock(slots->fd, F_UNLCK, COUNTER, 1);
}

void ap_slots_leave(struct ap_slots *slots)
{
    if (!slots || !slots->ticket) return;
    set_lock(slots->fd, F_UNLCK, TICKETS, 0);
    slots->ticket = 0;
    slots->free_since_us = 0;
}

bool ap_slots_others_wait(struct ap_slots *slots)
{
    return slots && held(slots->fd, TICKETS, 0);
}

static int count_free(const struct ap_slots *slots)
{
    int free = 0;
    for (int i = 0; i < slots->total; i++) free += !held(slots->fd, i, 1);
    return free;
}

static bool our_turn(struct ap_slots *slots, int need, int64_t now_us)
{
    if (!slots->ticket && !held(slots->fd, TICKETS, 0)) return true;
    if (!slots->ticket) draw_ticket(slots);
    if (slots->ticket && !held(slots->fd, TICKETS, (off_t)slots->ticket)) return true;
    if (count_free(slots) < need) {
        slots->free_since_us = 0;
        return false;
    }
    if (slots->free_since_us == 0) slots->free_since_us = now_us;
    return now_us - slots->free_since_us > PATIENCE_US;
}

/* ---- slots ---- */

int ap_slots_take(struct ap_slots *slots, int fd, int need, int want, int64_t now_us)
{
    if (!slots) return want;
    if (!our_turn(slots, need, now_us)) return 0;
    int got = 0;
    for (int i = 0; i < slots->total && got < want; i++) got += set_lock(fd, F_WRLCK, i, 1);
    if (got < need) {
        set_lock(fd, F_UNLCK, 0, slots->total);
        if (!slots->ticket) draw_ticket(slots);
        return 0;
    }
    ap_slots_leave(slots);
    return got;
}

bool ap_slots_take_guest(struct ap_slots *slots, int fd)
{
    return !slots || set_lock(fd, F_WRLCK, GUEST, 1);
}

void ap_slots_give(struct ap_slots *slots, int fd)
{
    if (slots && fd >= 0) set_lock(fd, F_UNLCK, 0, GUEST + 1);
}
