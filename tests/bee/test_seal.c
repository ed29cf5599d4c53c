/* The seal itself, applied to a child process that then tries what it must not do. */
#include "apiary_test.h"
#include "bee/interpose.h"
#include "bee/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char scratch[AP_TEST_PATH_MAX];
static int slots = -1; /* open outside the seal */

/* Each returns 0 when the attempt was refused (or, for the last ones, allowed). */
static int refused(long result)
{
    return result < 0 ? 0 : 1;
}

static int try_socket(void)
{
    return refused(socket(AF_INET, SOCK_STREAM, 0));
}
static int try_unix_socket(void)
{
    return refused(socket(AF_UNIX, SOCK_STREAM, 0));
}
static int try_passwd(void)
{
    return refused(open("/etc/passwd", O_RDONLY));
}
static int try_environ(void)
{
    return refused(open("/proc/self/environ", O_RDONLY));
}
static int try_write_outside(void)
{
    return refused(open("/tmp/apiary-seal-escape", O_WRONLY | O_CREAT, 0600));
}
static int try_list_root(void)
{
    return refused(open("/", O_RDONLY | O_DIRECTORY));
}
static int try_fork(void)
{
    return refused(syscall(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0));
}
static int try_exec(void)
{
    return refused(syscall(SYS_execve, "/bin/true", NULL, NULL));
}
static int try_ptrace(void)
{
    return refused(syscall(SYS_ptrace, 0, 0, 0, 0));
}
static int try_kill(void)
{
    return refused(syscall(SYS_kill, getppid(), 0));
}
static int try_handle(void)
{
    return refused(syscall(SYS_open_by_handle_at, -1, NULL, 0)) || errno != EPERM;
}
static int try_io_uring(void)
{
    return refused(syscall(425 /* io_uring_setup */, 1, NULL)) || errno != EPERM;
}
static int try_unshare(void)
{
    return refused(syscall(SYS_unshare, CLONE_NEWUSER)) || errno != EPERM;
}
static int try_exec_memory(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
           MAP_FAILED;
}
static int try_core(void)
{
    int fd = open("/proc/self/limits", O_RDONLY);
    return fd >= 0;
}

static void *nothing(void *arg)
{
    return arg;
}
static int may_thread(void)
{
    pthread_t thread;
    return pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL);
}
static int may_scratch(void)
{
    char path[AP_TEST_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/file", scratch);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || ftruncate(fd, 0) != 0) return 1;
    close(fd);
    return unlink(path);
}
static int may_cgroup(void)
{
    int fd = open("/proc/self/cgroup", O_RDONLY);
    return fd < 0;
}
/* The descriptor that the node's locks hang on: no lock can be set or taken away. */
static int try_lock(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    return fcntl(slots, F_OFD_SETLK, &lock) == 0;
}
static int try_unlock(void)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
    return fcntl(slots, F_OFD_SETLK, &lock) == 0;
}
/* The engine's own locks seem to work and do nothing: the byte can still be locked by another. */
static int may_seem_to_lock(void)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    return fcntl(slots, F_SETLK, &lock);
}
static int may_memfd(void)
{
    int fd = memfd_create("x", MFD_ALLOW_SEALING);
    return fd < 0 || write(fd, "x", 1) != 1 || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
}

static const struct {
    const char *label;
    int (*attempt)(void);
} rows[] = {
    { "socket", try_socket },
    { "unix socket", try_unix_socket },
    { "read /etc/passwd", try_passwd },
    { "read /proc/self/environ", try_environ },
    { "read /proc/self/limits", try_core },
    { "write outside", try_write_outside },
    { "list /", try_list_root },
    { "fork", try_fork },
    { "exec", try_exec },
    { "ptrace", try_ptrace },
    { "kill", try_kill },
    { "open_by_handle_at", try_handle },
    { "io_uring", try_io_uring },
    { "unshare", try_unshare },
    { "executable memory", try_exec_memory },
    { "a thread is allowed", may_thread },
    { "scratch is allowed", may_scratch },
    { "/proc/self/cgroup is allowed", may_cgroup },
    { "a memory file is allowed", may_memfd },
    { "lock a slot", try_lock },
    { "unlock a slot", try_unlock },
    { "a lock of the engine's", may_seem_to_lock },
};

static void sealed(void **state)
{
    (void)state;
    struct apiary_error err = { 0 };
    assert_ok(bee_interpose_init(&err));
    ap_test_folder(scratch);
    char path[AP_TEST_PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/slots", scratch);
    slots = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(slots >= 0);
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            if (bee_seal_apply(scratch, false) != BEE_SEAL_FULL) _exit(9);
            _exit(rows[i].attempt());
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 9) {
            print_message("this system cannot seal in full\n");
            skip();
        }
        assert_int_in(rows[i].label, status, 0);
    }
    ap_test_folder_remove(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(sealed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
