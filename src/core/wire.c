/* One datagram is one message: a header, then the body when it is small. Descriptors
 * of a datagram stand in a fixed order: first the message's own, then the body's.
 *
 * Invariants of receive, whatever the peer sends: (1) every descriptor that arrived is
 * either in *out or closed; (2) nothing is allocated before its size was checked
 * against a limit; (3) the body is a copy, which the peer cannot change any more. */
#include "core/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/alloc.h"

#define WIRE_MAGIC UINT32_C(0x31455041) /* "APE1" */
enum { FDS_MAX = 2, FD_FIRST = 3 };
enum { FLAG_FD = 1, FLAG_BODY_FD = 2, FLAGS_ALL = 3 };

struct wire_header {
    uint32_t magic;
    uint16_t version;
    uint16_t kind;
    uint32_t job;
    uint32_t flags;
    uint64_t values[AP_WIRE_VALUES];
    uint64_t body_size;
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

void ap_wire_message_init(struct ap_wire_message *message)
{
    *message = (struct ap_wire_message) { .fd = -1 };
}

void ap_wire_message_done(struct ap_wire_message *message)
{
    ap_bytes_done(&message->body);
    if (message->fd > 0) close(message->fd);
    ap_wire_message_init(message);
}

static bool is_kind(unsigned kind)
{
    return (kind >= AP_WIRE_HELLO && kind <= AP_WIRE_CANCEL) ||
           (kind >= AP_WIRE_READY && kind <= AP_WIRE_FAILED) ||
           (kind >= AP_WIRE_OPEN && kind <= AP_WIRE_TAKE) || kind == AP_WIRE_ANSWER;
}

/* ---- memfds ---- */

static enum apiary_code write_all(int fd, const char *data, size_t size, struct apiary_error *err)
{
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return ap_fail_errno(err, errno, "filling %zu bytes of shared memory", size);
        if (done == 0)
            return ap_fail_errno(err, ENOSPC, "filling %zu bytes of shared memory", size);
        data += done;
        size -= (size_t)done;
    }
    return APIARY_OK;
}

int ap_memfd_seal(int fd)
{
    enum { FIRST_US = 500, LONGEST_US = 200000, TRIES = 40 };
    useconds_t wait_us = FIRST_US;
    for (int i = 0;; i++) {
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0) return 0;
        if (errno == EINTR) continue;
        if (errno != EBUSY || i >= TRIES) return errno;
        usleep(wait_us);
        wait_us = wait_us * 2 < LONGEST_US ? wait_us * 2 : LONGEST_US;
    }
}

enum apiary_code ap_memfd_sealed(const void *data, size_t size, int *fd, struct apiary_error *err)
{
    int made = memfd_create("apiary", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0) return ap_fail_errno(err, errno, "making shared memory");
    enum apiary_code code = write_all(made, data, size, err);
    int error = code == APIARY_OK ? ap_memfd_seal(made) : 0;
    if (error != 0) code = ap_fail_errno(err, error, "sealing shared memory");
    if (code != APIARY_OK) {
        close(made);
        return code;
    }
    *fd = made;
    return APIARY_OK;
}

enum apiary_code ap_memfd_map(
    int fd, uint64_t size_max, const void **data, size_t *size, struct apiary_error *err)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0)
        return ap_fail(err, APIARY_CORRUPT, "a descriptor that was sent is no shared memory");
    if ((seals & (F_SEAL_SHRINK | F_SEAL_WRITE)) != (F_SEAL_SHRINK | F_SEAL_WRITE))
        return ap_fail(err, APIARY_CORRUPT, "shared memory that was sent is not sealed");
    struct stat about;
    if (fstat(fd, &about) < 0) return ap_fail_errno(err, errno, "asking the size of shared memory");
    if (about.st_size < 0 || (uint64_t)about.st_size > size_max ||
        (uint64_t)about.st_size > SIZE_MAX / 2)
        return ap_fail(err, APIARY_CORRUPT,
            "shared memory that was sent has %lld bytes, more than %llu", (long long)about.st_size,
            (unsigned long long)size_max);
    if (about.st_size == 0) {
        *data = "";
        *size = 0;
        return APIARY_OK;
    }
    void *mapped = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) {
        if (errno == ENOMEM) return ap_fail_memory(err, "mapping shared memory");
        return ap_fail_errno(err, errno, "mapping shared memory");
    }
    *data = mapped;
    *size = (size_t)about.st_size;
    return APIARY_OK;
}

/* ---- sending ---- */

static bool peer_is_gone(int error_number)
{
    return error_number == EPIPE || error_number == ECONNRESET || error_number == ENOTCONN;
}

static enum apiary_code send_datagram(
    int socket, const struct msghdr *datagram, struct apiary_error *err)
{
    for (;;) {
        if (sendmsg(socket, datagram, MSG_NOSIGNAL) >= 0) return APIARY_OK;
        if (errno == EINTR) continue;
        if (errno == EAGAIN) {
            /* On a socket that waits, EAGAIN is the end of its SO_SNDTIMEO. */
            int flags = fcntl(socket, F_GETFL);
            if (flags >= 0 && !(flags & O_NONBLOCK))
                return ap_fail(err, APIARY_CHAMBER, "the other side of the wire does not read");
            struct pollfd ready = { .fd = socket, .events = POLLOUT };
            if (poll(&ready, 1, -1) < 0 && errno != EINTR)
                return ap_fail_errno(err, errno, "waiting for a chamber");
            continue;
        }
        if (peer_is_gone(errno))
            return ap_fail(err, APIARY_CHAMBER, "the other side of the wire is gone");
        return ap_fail_errno(err, errno, "sending a message");
    }
}

enum apiary_code ap_wire_send(
    int socket, const struct ap_wire_message *message, struct apiary_error *err)
{
    ap_assert(is_kind(message->kind));
    if (message->body.size > AP_WIRE_BODY_MAX)
        return ap_fail(err, APIARY_LIMIT, "a message of %zu bytes is larger than %llu",
            message->body.size, (unsigned long long)AP_WIRE_BODY_MAX);
    bool shared_body = message->body.size > AP_WIRE_INLINE_MAX;
    int body_fd = -1;
    if (shared_body) AP_TRY(ap_memfd_sealed(message->body.data, message->body.size, &body_fd, err));

    struct wire_header header;
    memset(&header, 0, sizeof header);
    header.magic = WIRE_MAGIC;
    header.version = AP_WIRE_VERSION;
    header.kind = (uint16_t)message->kind;
    header.job = message->job;
    header.flags = (message->fd >= 0 ? FLAG_FD : 0) | (shared_body ? FLAG_BODY_FD : 0);
    memcpy(header.values, message->values, sizeof header.values);
    header.body_size = message->body.size;

    struct iovec parts[2] = { { &header, sizeof header },
        { message->body.data, shared_body ? 0 : message->body.size } };
    struct msghdr datagram = { .msg_iov = parts, .msg_iovlen = parts[1].iov_len ? 2 : 1 };
    union control control;
    memset(&control, 0, sizeof control);
    int fds[FDS_MAX];
    size_t fd_count = 0;
    if (message->fd >= 0) fds[fd_count++] = message->fd;
    if (shared_body) fds[fd_count++] = body_fd;
    if (fd_count) {
        datagram.msg_control = &control;
        datagram.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&datagram);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    enum apiary_code code = send_datagram(socket, &datagram, err);
    if (body_fd >= 0) close(body_fd);
    return code;
}

/* ---- receiving ---- */

struct received {
    struct wire_header header;
    char body[AP_WIRE_INLINE_MAX];
};

struct arrived {
    int fds[FDS_MAX];
    size_t count;
};

static void arrived_done(struct arrived *arrived)
{
    for (size_t i = 0; i < arrived->count; i++)
        if (arrived->fds[i] >= 0) close(arrived->fds[i]);
    arrived->count = 0;
}

static int64_t now_ms(void)
{
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    ap_assert(failed == 0);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Until the socket has something, its end included. */
static enum apiary_code wait_readable(
    int socket, int timeout_ms, const struct ap_cancel *cancel, struct apiary_error *err)
{
    int64_t until = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;
    for (int wait = timeout_ms;;) {
        if (ap_cancel_requested(cancel)) return ap_fail(err, APIARY_CANCELLED, "cancelled");
        struct pollfd ready[2] = { { .fd = socket, .events = POLLIN },
            { .fd = -1, .events = POLLIN } };
        if (cancel && cancel->event_fd > 0) ready[1].fd = cancel->event_fd;
        int count = poll(ready, 2, wait);
        if (count < 0 && errno != EINTR) return ap_fail_errno(err, errno, "waiting for a message");
        if (ap_cancel_requested(cancel)) return ap_fail(err, APIARY_CANCELLED, "cancelled");
        if (count > 0 && ready[0].revents & POLLNVAL)
            return ap_fail(err, APIARY_INTERNAL, "waiting for a message on a closed descriptor");
        if (count > 0 && ready[0].revents) return APIARY_OK;
        if (timeout_ms < 0) continue;
        int64_t left = until - now_ms();
        if (left <= 0) return ap_fail(err, APIARY_TIMEOUT, "no message within %d ms", timeout_ms);
        wait = (int)left;
    }
}

/* Descriptors of a zeroed message are 0 and mean none; 0..2 may be free in a daemon. */
static int move_up(int fd)
{
    if (fd >= FD_FIRST) return fd;
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
    close(fd);
    return moved;
}

static void collect_fds(struct msghdr *datagram, struct arrived *arrived)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(datagram); part; part = CMSG_NXTHDR(datagram, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            if (arrived->count < FDS_MAX)
                arrived->fds[arrived->count++] = move_up(fd);
            else
                close(fd);
        }
    }
}

static enum apiary_code check_header(const struct wire_header *header, size_t size,
    const struct msghdr *datagram, const struct arrived *arrived, struct apiary_error *err)
{
    if (datagram->msg_flags & (MSG_TRUNC | MSG_CTRUNC) || size < sizeof *header)
        return ap_fail(err, APIARY_CORRUPT, "a message of %zu bytes is out of form", size);
    if (header->magic != WIRE_MAGIC)
        return ap_fail(err, APIARY_CORRUPT, "a message does not begin as one");
    if (header->version != AP_WIRE_VERSION)
        return ap_fail(err, APIARY_CORRUPT, "a message has wire version %d, not %d",
            (int)header->version, AP_WIRE_VERSION);
    if (!is_kind(header->kind))
        return ap_fail(err, APIARY_CORRUPT, "a message has unknown kind %d", (int)header->kind);
    if (header->flags & ~(uint32_t)FLAGS_ALL)
        return ap_fail(err, APIARY_CORRUPT, "a message has unknown flags %u", header->flags);
    size_t fd_count =
        (header->flags & FLAG_FD ? 1U : 0U) + (header->flags & FLAG_BODY_FD ? 1U : 0U);
    if (arrived->count != fd_count)
        return ap_fail(err, APIARY_CORRUPT, "a message came with %zu descriptors, not %zu",
            arrived->count, fd_count);
    for (size_t i = 0; i < fd_count; i++)
        if (arrived->fds[i] < 0) return ap_fail_errno(err, EMFILE, "taking a descriptor");
    uint64_t inline_size = size - sizeof *header;
    bool shared_body = header->flags & FLAG_BODY_FD;
    if (header->body_size > AP_WIRE_BODY_MAX ||
        inline_size != (shared_body ? 0 : header->body_size))
        return ap_fail(err, APIARY_CORRUPT,
            "a message says its body has %llu bytes and brings %llu",
            (unsigned long long)header->body_size, (unsigned long long)inline_size);
    return APIARY_OK;
}

static enum apiary_code copy_shared(
    int fd, uint64_t size, struct ap_bytes *body, struct apiary_error *err)
{
    const void *data = NULL;
    size_t mapped = 0;
    AP_TRY(ap_memfd_map(fd, AP_WIRE_BODY_MAX, &data, &mapped, err));
    enum apiary_code code = APIARY_OK;
    if (mapped != size)
        code = ap_fail(err, APIARY_CORRUPT, "a message says its body has %llu bytes and shares %zu",
            (unsigned long long)size, mapped);
    if (code == APIARY_OK) code = ap_bytes_add(body, data, mapped, err);
    if (mapped) munmap((void *)(uintptr_t)data, mapped);
    return code;
}

static enum apiary_code take_message(const struct received *received, size_t size,
    const struct msghdr *datagram, struct arrived *arrived, struct ap_wire_message *out,
    struct apiary_error *err)
{
    const struct wire_header *header = &received->header;
    AP_TRY(check_header(header, size, datagram, arrived, err));
    AP_AUTO(ap_bytes) body = { 0 };
    if (header->flags & FLAG_BODY_FD)
        AP_TRY(copy_shared(arrived->fds[arrived->count - 1], header->body_size, &body, err));
    else
        AP_TRY(ap_bytes_add(&body, received->body, (size_t)header->body_size, err));
    ap_wire_message_done(out);
    out->kind = (enum ap_wire_kind)header->kind;
    out->job = header->job;
    memcpy(out->values, header->values, sizeof out->values);
    out->body = AP_TAKE(body);
    if (header->flags & FLAG_FD) {
        out->fd = arrived->fds[0];
        arrived->fds[0] = -1;
    }
    return APIARY_OK;
}

/* One try; *again when another reader of the socket took the message. */
static enum apiary_code receive_datagram(
    int socket, struct ap_wire_message *out, bool *again, struct apiary_error *err)
{
    struct received received;
    union control control;
    memset(&control, 0, sizeof control);
    struct iovec whole = { &received, sizeof received };
    struct msghdr datagram = { .msg_iov = &whole,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control.bytes };
    ssize_t size = recvmsg(socket, &datagram, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) {
        *again = true;
        return APIARY_OK;
    }
    if (size < 0 && peer_is_gone(errno))
        return ap_fail(err, APIARY_CHAMBER, "the other side of the wire is gone");
    if (size < 0) return ap_fail_errno(err, errno, "receiving a message");
    __attribute__((cleanup(arrived_done))) struct arrived arrived = { .count = 0 };
    collect_fds(&datagram, &arrived);
    if (size == 0) return ap_fail(err, APIARY_CHAMBER, "the other side of the wire is gone");
    return take_message(&received, (size_t)size, &datagram, &arrived, out, err);
}

enum apiary_code ap_wire_receive(int socket, struct ap_wire_message *out, int timeout_ms,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    int64_t until = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;
    for (int wait = timeout_ms;;) {
        AP_TRY(wait_readable(socket, wait, cancel, err));
        bool again = false;
        enum apiary_code code = receive_datagram(socket, out, &again, err);
        if (!again) return code;
        if (timeout_ms < 0) continue;
        int64_t left = until - now_ms();
        wait = left > 0 ? (int)left : 0;
    }
}
