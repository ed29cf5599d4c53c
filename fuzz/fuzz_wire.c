/* A peer of the wire that sends any datagram with any number of descriptors: it is
 * refused or becomes a message, and nothing of it stays open.
 *
 * Input: a byte (bits 0-1: descriptors to send, bit 2: put the right magic, version and
 * the size of the body in), then the datagram. */
#include "core/wire.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEADER_SIZE = 56, BODY_SIZE_AT = 48, DATAGRAM_MAX = 100000, FDS_MAX = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool send_datagram(
    int socket, const char *data, size_t size, const int *fds, size_t fd_count)
{
    struct iovec part = { (void *)(uintptr_t)data, size };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd_count) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, fd_count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static void repair(char *datagram, size_t size)
{
    const uint32_t magic = 0x31455041;
    const uint16_t version = AP_WIRE_VERSION;
    if (size < HEADER_SIZE) return;
    uint64_t body_size = size - HEADER_SIZE;
    memcpy(datagram, &magic, sizeof magic);
    memcpy(datagram + 4, &version, sizeof version);
    if (body_size) memcpy(datagram + BODY_SIZE_AT, &body_size, sizeof body_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > DATAGRAM_MAX) return 0;
    struct apiary_error err = { 0 };
    int sockets[2], memory = -1;
    ap_assert(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    ap_assert(ap_memfd_sealed(data, size, &memory, &err) == APIARY_OK);
    int next = fcntl(sockets[0], F_DUPFD_CLOEXEC, 0); /* the lowest free descriptor */
    close(next);

    static char datagram[DATAGRAM_MAX];
    memcpy(datagram, data + 1, size - 1);
    if (data[0] & 4) repair(datagram, size - 1);
    const int fds[FDS_MAX] = { memory, memory, memory };
    if (send_datagram(sockets[0], datagram, size - 1, fds, data[0] & 3)) {
        AP_AUTO(ap_wire_message) message;
        ap_wire_message_init(&message);
        enum apiary_code code = ap_wire_receive(sockets[1], &message, 0, NULL, &err);
        ap_assert(code == APIARY_OK || code == APIARY_CORRUPT);
        if (code == APIARY_OK)
            ap_assert(ap_wire_send(sockets[1], &message, &err) == APIARY_OK);
        else
            ap_assert(message.fd == -1 && message.body.size == 0);
    }
    int after = fcntl(sockets[0], F_DUPFD_CLOEXEC, 0);
    ap_assert(after == next);
    close(after);
    close(memory);
    close(sockets[0]);
    close(sockets[1]);
    return 0;
}
