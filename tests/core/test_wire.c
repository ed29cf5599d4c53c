#include "apiary_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/alloc.h"
#include "core/wire.h"

struct pair {
    int a, b;
};

static struct pair make_pair(void)
{
    int sockets[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    return (struct pair) { sockets[0], sockets[1] };
}

static void pair_done(struct pair *pair)
{
    if (pair->a >= 0) close(pair->a);
    if (pair->b >= 0) close(pair->b);
}
#define AUTO_PAIR __attribute__((cleanup(pair_done))) struct pair

static int open_fds(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++) count += fcntl(fd, F_GETFD) != -1;
    return count;
}

static void fill(struct ap_bytes *bytes, size_t size)
{
    struct apiary_error err;
    assert_ok(ap_bytes_reserve(bytes, size, &err));
    for (size_t i = 0; i < size; i++) bytes->data[i] = (char)(i * 31 + i / 251);
    bytes->size = size;
    bytes->data[size] = 0;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = { 0, 1, 100, AP_WIRE_INLINE_MAX - 1, AP_WIRE_INLINE_MAX,
        AP_WIRE_INLINE_MAX + 1, 1 << 20 };
    static const int kinds[] = { AP_WIRE_HELLO, AP_WIRE_JOB, AP_WIRE_CANCEL, AP_WIRE_READY,
        AP_WIRE_FAILED, AP_WIRE_OPEN, AP_WIRE_RANGE, AP_WIRE_ANSWER };
    struct apiary_error err;
    int before = open_fds();
    {
        AUTO_PAIR pair = make_pair();
        AP_AUTO(ap_wire_message) in;
        ap_wire_message_init(&in);
        for (size_t i = 0; i < AP_COUNT(sizes) * 2 * AP_COUNT(kinds); i++) {
            AP_AUTO(ap_wire_message) out;
            ap_wire_message_init(&out);
            out.kind = (enum ap_wire_kind)kinds[i % AP_COUNT(kinds)];
            out.job = (uint32_t)(4000000000U + i);
            out.values[0] = i;
            out.values[3] = UINT64_MAX;
            fill(&out.body, sizes[i / 2 % AP_COUNT(sizes)]);
            if (i % 2) assert_ok(ap_memfd_sealed("fd", 2, &out.fd, &err));
            assert_ok(ap_wire_send(pair.a, &out, &err));
            assert_ok(ap_wire_receive(pair.b, &in, 1000, NULL, &err));
            assert_int_equal(in.kind, out.kind);
            assert_true(in.job == out.job);
            assert_memory_equal(in.values, out.values, sizeof in.values);
            assert_true(ap_str_equal(ap_bytes_view(&in.body), ap_bytes_view(&out.body)));
            if (in.body.data) assert_int_equal(in.body.data[in.body.size], 0);
            assert_int_equal(in.fd >= 0, i % 2);
            if (in.fd < 0) continue;
            char text[3] = "";
            assert_int_equal(pread(in.fd, text, 2, 0), 2);
            assert_string_equal(text, "fd");
            assert_true(fcntl(in.fd, F_GETFD) & FD_CLOEXEC);
        }
    }
    assert_int_equal(open_fds(), before);
}

static void test_ends(void **state)
{
    (void)state;
    struct apiary_error err;
    AUTO_PAIR pair = make_pair();
    AP_AUTO(ap_wire_message) message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_CREDIT;
    assert_code(ap_wire_receive(pair.b, &message, 0, NULL, &err), APIARY_TIMEOUT);
    assert_code(ap_wire_receive(pair.b, &message, 2, NULL, &err), APIARY_TIMEOUT);
    assert_int_equal(message.kind, AP_WIRE_CREDIT); /* untouched */
    /* What was sent before the end still arrives. */
    assert_ok(ap_wire_send(pair.a, &message, &err));
    close(pair.a);
    pair.a = -1;
    assert_ok(ap_wire_receive(pair.b, &message, -1, NULL, &err));
    assert_code(ap_wire_receive(pair.b, &message, -1, NULL, &err), APIARY_CHAMBER);
    assert_code(ap_wire_send(pair.b, &message, &err), APIARY_CHAMBER); /* and no SIGPIPE */
    assert_code(ap_wire_receive(500, &message, -1, NULL, &err), APIARY_INTERNAL);
}

static void test_cancel(void **state)
{
    (void)state;
    struct apiary_error err;
    AUTO_PAIR pair = make_pair();
    AP_AUTO(ap_wire_message) message;
    AP_AUTO(ap_cancel) cancel = { 0 };
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_CREDIT;
    assert_ok(ap_cancel_init(&cancel, &err));
    ap_cancel_request(&cancel);
    assert_code(ap_wire_receive(pair.b, &message, -1, &cancel, &err), APIARY_CANCELLED);
    assert_ok(ap_wire_send(pair.a, &message, &err));
    assert_code(ap_wire_receive(pair.b, &message, -1, &cancel, &err), APIARY_CANCELLED);
    ap_cancel_reset(&cancel);
    assert_ok(ap_wire_receive(pair.b, &message, -1, &cancel, &err));
}

static void cancel_later(void *arg)
{
    ap_sleep_us(ap_env_system(), 5000);
    ap_cancel_request(arg);
}

static void test_cancel_wakes(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_env *env = ap_env_system();
    AUTO_PAIR pair = make_pair();
    AP_AUTO(ap_wire_message) message;
    AP_AUTO(ap_cancel) cancel = { 0 };
    ap_wire_message_init(&message);
    assert_ok(ap_cancel_init(&cancel, &err));
    struct ap_thread *thread = env->ops->thread_start(env->world, cancel_later, &cancel);
    assert_code(ap_wire_receive(pair.b, &message, -1, &cancel, &err), APIARY_CANCELLED);
    env->ops->thread_join(env->world, thread);
}

static void test_limits(void **state)
{
    (void)state;
    struct apiary_error err;
    AUTO_PAIR pair = make_pair();
    AP_AUTO(ap_wire_message) message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_JOB;
    char nothing = 0;
    message.body = (struct ap_bytes) { &nothing, AP_WIRE_BODY_MAX + 1, 0 };
    assert_code(ap_wire_send(pair.a, &message, &err), APIARY_LIMIT);
    message.body = (struct ap_bytes) { 0 };
}

/* ---- a peer that does not keep to the form ---- */

struct header {
    uint32_t magic;
    uint16_t version, kind;
    uint32_t job, flags;
    uint64_t values[4], body_size;
};

#define GOOD                                                                                       \
    {                                                                                              \
        .magic = 0x31455041, .version = AP_WIRE_VERSION, .kind = AP_WIRE_JOB                       \
    }

static void send_raw(int socket, const void *data, size_t size, const int *fds, size_t fd_count)
{
    struct iovec part = { (void *)(uintptr_t)data, size };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
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
    assert_int_equal(sendmsg(socket, &message, MSG_NOSIGNAL), size);
}

static void test_hostile_headers(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        struct header header;
        size_t extra;    /* bytes behind the header */
        size_t fd_count; /* sealed memfds of 40,000 bytes */
        enum apiary_code code;
        size_t cut; /* bytes taken away from the header */
    } rows[] = {
        { "good", GOOD, 0, 0, APIARY_OK },
        { "good with a body", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .body_size = 5 }, 5, 0, APIARY_OK },
        { "good with a shared body", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = 40000 },
            0, 1, APIARY_OK },
        { "good with both", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 3, .body_size = 40000 }, 0, 2,
            APIARY_OK },
        { "one byte", GOOD, 0, 0, APIARY_CORRUPT, sizeof(struct header) - 1 },
        { "a byte short", GOOD, 0, 0, APIARY_CORRUPT, 1 },
        { "magic", { 0x31455042, 1, AP_WIRE_JOB }, 0, 0, APIARY_CORRUPT },
        { "version", { 0x31455041, AP_WIRE_VERSION + 1, AP_WIRE_JOB }, 0, 0, APIARY_CORRUPT },
        { "kind 0", { 0x31455041, AP_WIRE_VERSION, 0 }, 0, 0, APIARY_CORRUPT },
        { "kind between", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_CANCEL + 1 }, 0, 0, APIARY_CORRUPT },
        { "kind 65535", { 0x31455041, AP_WIRE_VERSION, 65535 }, 0, 0, APIARY_CORRUPT },
        { "unknown flag", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 4 }, 0, 0, APIARY_CORRUPT },
        { "body promised", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .body_size = 1 }, 0, 0, APIARY_CORRUPT },
        { "body longer than said", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .body_size = 1 }, 2, 0,
            APIARY_CORRUPT },
        { "body not announced", GOOD, 1, 0, APIARY_CORRUPT },
        { "huge body", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .body_size = UINT64_MAX }, 0, 0,
            APIARY_CORRUPT },
        { "huge shared body", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = UINT64_MAX },
            0, 1, APIARY_CORRUPT },
        { "inline beyond the limit",
            { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .body_size = AP_WIRE_INLINE_MAX + 1 },
            AP_WIRE_INLINE_MAX + 1, 0, APIARY_CORRUPT },
        { "shared body of another size",
            { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = 39999 }, 0, 1, APIARY_CORRUPT },
        { "shared and inline", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = 40000 }, 5, 1,
            APIARY_CORRUPT },
        { "descriptor missing", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 1 }, 0, 0, APIARY_CORRUPT },
        { "shared body missing", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = 40000 }, 0,
            0, APIARY_CORRUPT },
        { "descriptor not announced", GOOD, 0, 1, APIARY_CORRUPT },
        { "one too many", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 1 }, 0, 2, APIARY_CORRUPT },
        { "three", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 3, .body_size = 40000 }, 0, 3,
            APIARY_CORRUPT },
        { "eight", { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 1 }, 0, 8, APIARY_CORRUPT },
    };
    struct apiary_error err;
    static char data[sizeof(struct header) + AP_WIRE_INLINE_MAX + 16], zeros[40000];
    int sealed;
    assert_ok(ap_memfd_sealed(zeros, sizeof zeros, &sealed, &err));
    const int fds[8] = { sealed, sealed, sealed, sealed, sealed, sealed, sealed, sealed };
    AUTO_PAIR pair = make_pair();
    int before = open_fds();
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        memcpy(data, &rows[i].header, sizeof rows[i].header);
        send_raw(pair.a, data, sizeof rows[i].header + rows[i].extra - rows[i].cut, fds,
            rows[i].fd_count);
        struct ap_wire_message in;
        ap_wire_message_init(&in);
        assert_code_in(rows[i].label, ap_wire_receive(pair.b, &in, 1000, NULL, &err), rows[i].code);
        ap_wire_message_done(&in);
        assert_int_in(rows[i].label, open_fds(), before); /* whatever came was closed */
    }
    close(sealed);
}

/* Descriptors that are no fit memory for a body. */
static void test_hostile_bodies(void **state)
{
    (void)state;
    struct apiary_error err;
    AUTO_PAIR pair = make_pair();
    static char zeros[40000];
    int plain = memfd_create("plain", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(plain, zeros, sizeof zeros), sizeof zeros);
    int only_shrink = memfd_create("shrink", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(only_shrink, zeros, sizeof zeros), sizeof zeros);
    assert_int_equal(fcntl(only_shrink, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    int only_write = memfd_create("write", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(only_write, zeros, sizeof zeros), sizeof zeros);
    assert_int_equal(fcntl(only_write, F_ADD_SEALS, F_SEAL_WRITE), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    const int fds[] = { plain, only_shrink, only_write, null, self, pair.a };
    struct header header = { 0x31455041, AP_WIRE_VERSION, AP_WIRE_JOB, .flags = 2, .body_size = sizeof zeros };
    int before = open_fds();
    for (size_t i = 0; i < AP_COUNT(fds); i++) {
        send_raw(pair.a, &header, sizeof header, &fds[i], 1);
        AP_AUTO(ap_wire_message) in;
        ap_wire_message_init(&in);
        assert_code(ap_wire_receive(pair.b, &in, 1000, NULL, &err), APIARY_CORRUPT);
        assert_int_equal(open_fds(), before);
    }
    for (size_t i = 0; i < AP_COUNT(fds) - 1; i++) close(fds[i]);
}

static void test_memory(void **state)
{
    (void)state;
    struct apiary_error err;
    for (size_t size = 10; size < 100000; size += 50000) {
        AUTO_PAIR pair = make_pair();
        AP_AUTO(ap_wire_message) out;
        struct ap_wire_message in;
        ap_wire_message_init(&out);
        ap_wire_message_init(&in);
        out.kind = AP_WIRE_JOB;
        fill(&out.body, size);
        assert_ok(ap_memfd_sealed("x", 1, &out.fd, &err));
        int before = open_fds();
        assert_ok(ap_wire_send(pair.a, &out, &err));
        assert_memory_failures(ap_wire_receive(pair.b, &in, 1000, NULL, &err),
            in.fd == -1 && !in.body.data, assert_ok(ap_wire_send(pair.a, &out, &err)));
        ap_wire_message_done(&in);
        assert_int_equal(open_fds(), before);
    }
}

/* ---- memfds by themselves ---- */

static void test_memfd(void **state)
{
    (void)state;
    struct apiary_error err;
    int fd = -1;
    const void *data = NULL;
    size_t size = 7;
    assert_ok(ap_memfd_sealed("hello", 5, &fd, &err));
    assert_int_equal(fcntl(fd, F_GET_SEALS) & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
        F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ftruncate(fd, 1), -1);
    assert_int_equal(ftruncate(fd, 10), -1);
    assert_code(ap_memfd_map(fd, 4, &data, &size, &err), APIARY_CORRUPT);
    assert_true(data == NULL && size == 7);
    assert_ok(ap_memfd_map(fd, 5, &data, &size, &err));
    assert_int_equal(size, 5);
    assert_memory_equal(data, "hello", 5);
    munmap((void *)(uintptr_t)data, size);
    close(fd);

    assert_ok(ap_memfd_sealed(NULL, 0, &fd, &err));
    assert_ok(ap_memfd_map(fd, 0, &data, &size, &err));
    assert_int_equal(size, 0);
    assert_non_null(data);
    close(fd);
    assert_code(ap_memfd_map(fd, 100, &data, &size, &err), APIARY_CORRUPT);
}

static void *unmap_later(void *mapped)
{
    usleep(20000);
    munmap(mapped, 1);
    return NULL;
}

/* The kernel says EBUSY while it moves the pages about, and as it does here, while somebody has them mapped for writing. */
static void test_a_busy_memfd_is_waited_for(void **state)
{
    pthread_t thread;
    int fd = memfd_create("busy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    (void)state;
    assert_true(fd >= 0 && ftruncate(fd, 1) == 0);
    void *mapped = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
    assert_int_equal(errno, EBUSY);
    assert_int_equal(pthread_create(&thread, NULL, unmap_later, mapped), 0);
    assert_int_equal(ap_memfd_seal(fd), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1);
    assert_int_equal(ap_memfd_seal(fd), EPERM); /* it is, for good */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_wakes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_hostile_headers),
        cmocka_unit_test(test_hostile_bodies),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memfd),
        cmocka_unit_test(test_a_busy_memfd_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
