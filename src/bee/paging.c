#include "bee/paging.h"

#include "bee/ask.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TAKE_TRIES_MAX = 100 };
#define MAP_BYTES_MAX (UINT64_C(1) << 32)

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t freed;
    uint64_t free; /* a bit for each slot */
    struct ap_page_slot *slots;
    char *map;
    size_t map_size;
} shared = { .mutex = PTHREAD_MUTEX_INITIALIZER,
    .freed = PTHREAD_COND_INITIALIZER,
    .free = UINT64_MAX };

static _Atomic uint64_t bytes_read, reads_waiting;
/* A page was missing: the node is told what is read, so that it can fetch ahead of it. */
static atomic_bool cold;

enum apiary_code bee_paging_slots(int fd, struct apiary_error *err)
{
    size_t size = 0;
    void *memory = NULL;
    AP_TRY(ap_pages_map(fd, MAP_BYTES_MAX, true, &memory, &size, err));
    if (size < AP_PAGE_SLOTS * sizeof *shared.slots)
        return ap_fail(err, APIARY_CORRUPT, "too few page slots");
    shared.slots = memory;
    return APIARY_OK;
}

static int map_once_locked(void)
{
    if (shared.map) return 0;
    struct bee_answer answer = { .fd = -1 };
    int error = bee_ask(AP_WIRE_MAP, AP_STR(""), (uint64_t[AP_WIRE_VALUES]) { 0 }, &answer);
    if (error) return error;
    void *memory = NULL;
    size_t size = 0;
    if (answer.fd < 0 ||
        ap_pages_map(answer.fd, MAP_BYTES_MAX, false, &memory, &size, NULL) != APIARY_OK)
        error = EIO;
    bee_answer_done(&answer);
    if (error) return error;
    shared.map = memory;
    shared.map_size = size;
    return 0;
}

int bee_paging_bits(uint64_t map_at, uint64_t size, const ap_page_word **bits)
{
    pthread_mutex_lock(&shared.mutex);
    int error = shared.slots ? map_once_locked() : ENOSYS;
    pthread_mutex_unlock(&shared.mutex);
    if (error) return error;
    uint64_t words = ap_page_count(size) / AP_PAGE_WORD_BITS + 1;
    if (map_at % sizeof(ap_page_word) || map_at > shared.map_size ||
        words > (shared.map_size - map_at) / sizeof(ap_page_word))
        return EIO;
    *bits = (const ap_page_word *)(const void *)(shared.map + map_at);
    return 0;
}

/* ---- waiting ---- */

static unsigned slot_take(void)
{
    pthread_mutex_lock(&shared.mutex);
    while (!shared.free) pthread_cond_wait(&shared.freed, &shared.mutex);
    unsigned slot = (unsigned)__builtin_ctzll(shared.free);
    shared.free &= ~(UINT64_C(1) << slot);
    pthread_mutex_unlock(&shared.mutex);
    atomic_store(&shared.slots[slot].state, AP_PAGE_WAITING);
    return slot;
}

static void slot_give(unsigned slot)
{
    pthread_mutex_lock(&shared.mutex);
    shared.free |= UINT64_C(1) << slot;
    pthread_cond_signal(&shared.freed);
    pthread_mutex_unlock(&shared.mutex);
}

static int say_range(const struct bee_sparse *sparse, unsigned slot, uint64_t offset, size_t size)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_RANGE;
    message.values[0] = slot;
    message.values[1] = sparse->number;
    message.values[2] = offset;
    message.values[3] = size;
    return ap_wire_send(AP_WIRE_ASK_FD, &message, NULL) == APIARY_OK ? 0 : EIO;
}

/* The bytes that did not find room in the file. EAGAIN: they are not there any more. */
static int take(unsigned slot, void *data, size_t size)
{
    struct bee_answer answer = { .fd = -1 };
    int error = bee_ask(AP_WIRE_TAKE, AP_STR(""), (uint64_t[AP_WIRE_VALUES]) { slot }, &answer);
    if (error) return error;
    if (answer.body.size == size)
        memcpy(data, answer.body.data, size);
    else
        error = EIO;
    bee_answer_done(&answer);
    return error;
}

/* Waits until the bytes are in the file, or (*taken) in `data`. */
static int fetch(
    const struct bee_sparse *sparse, void *data, size_t size, uint64_t offset, bool *taken)
{
    int error = EAGAIN;
    atomic_store_explicit(&cold, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&reads_waiting, 1, memory_order_relaxed);
    for (int i = 0; i < TAKE_TRIES_MAX && error == EAGAIN; i++) {
        unsigned slot = slot_take();
        error = say_range(sparse, slot, offset, size);
        uint32_t state = error ? AP_PAGE_ERROR : ap_page_slot_wait(&shared.slots[slot]);
        *taken = state == AP_PAGE_TAKE;
        if (*taken)
            error = take(slot, data, size);
        else if (!error && state != AP_PAGE_THERE)
            error = state > AP_PAGE_ERROR ? (int)(state - AP_PAGE_ERROR) : EIO;
        slot_give(slot);
    }
    return error == EAGAIN ? EIO : error;
}

ssize_t bee_paging_read(
    const struct bee_sparse *sparse, int fd, void *data, size_t size, uint64_t offset)
{
    if (offset >= sparse->size || size == 0) return 0;
    if (size > sparse->size - offset) size = (size_t)(sparse->size - offset);
    atomic_fetch_add_explicit(&bytes_read, size, memory_order_relaxed);
    uint64_t first = offset / AP_PAGE_SIZE, last = (offset + size - 1) / AP_PAGE_SIZE;
    bool taken = false;
    if (!ap_pages_there(sparse->bits, first, last)) {
        int error = fetch(sparse, data, size, offset, &taken);
        if (error) {
            errno = error;
            return -1;
        }
    } else if (atomic_load_explicit(&cold, memory_order_relaxed)) {
        (void)say_range(sparse, AP_PAGE_NOBODY, offset, size); /* nothing depends on it */
    }
    if (taken) return (ssize_t)size;
    return syscall(SYS_pread64, fd, data, size, (off_t)offset);
}

void bee_paging_figures(uint64_t *bytes, uint64_t *waits)
{
    *bytes = atomic_exchange(&bytes_read, 0);
    *waits = atomic_exchange(&reads_waiting, 0);
    atomic_store(&cold, false);
}
