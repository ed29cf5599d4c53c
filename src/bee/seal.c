#include "bee/seal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 16384 };

/* Rights that the kernel headers of older systems do not name yet. */
enum {
    RIGHT_REFER = 1 << 13,     /* ABI 2 */
    RIGHT_TRUNCATE = 1 << 14,  /* ABI 3 */
    RIGHT_IOCTL_DEV = 1 << 15, /* ABI 5 */
    NET_BIND_TCP = 1 << 0,     /* ABI 4 */
    NET_CONNECT_TCP = 1 << 1,
    SCOPE_ABSTRACT_UNIX = 1 << 0, /* ABI 6 */
    SCOPE_SIGNAL = 1 << 1,
    RIGHTS_ABI_1 = (1 << 13) - 1,
    ABI_WANTED = 3 /* before it a read-only file can be truncated */
};
struct ruleset_attr { /* struct landlock_ruleset_attr of ABI 6 */
    uint64_t fs, net, scoped;
};

const char *bee_seal_text(enum bee_seal seal)
{
    static const char *const texts[] = { [BEE_SEAL_ENGINE_ONLY] = "engine-only",
        [BEE_SEAL_PARTIAL] = "partial",
        [BEE_SEAL_FULL] = "full" };
    return texts[seal];
}

/* Lowers one limit to `value`; the hard limit is never raised. */
static enum apiary_code limit(
    __rlimit_resource_t resource, uint64_t value, const char *what, struct apiary_error *err)
{
    struct rlimit now;
    if (getrlimit(resource, &now)) return ap_fail_errno(err, errno, "limit of %s", what);
    if (now.rlim_max != RLIM_INFINITY && now.rlim_max < value) value = now.rlim_max;
    struct rlimit next = { .rlim_cur = value, .rlim_max = value };
    if (setrlimit(resource, &next)) return ap_fail_errno(err, errno, "limit of %s", what);
    return APIARY_OK;
}

enum apiary_code bee_limits_apply(
    uint64_t data_bytes, uint64_t file_bytes, struct apiary_error *err)
{
#ifndef AP_SANITIZED
    if (data_bytes) AP_TRY(limit(RLIMIT_DATA, data_bytes, "memory", err));
#endif
    if (file_bytes) AP_TRY(limit(RLIMIT_FSIZE, file_bytes, "file size", err));
    AP_TRY(limit(RLIMIT_CORE, 0, "core dumps", err));
    return limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, "descriptors", err);
}

/* ---- landlock ---- */

static bool allow_path(int ruleset, const char *path, uint64_t rights, bool must)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0) return !must;
    struct landlock_path_beneath_attr rule = { .allowed_access = rights, .parent_fd = fd };
    bool ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok || !must;
}

/* Returns the ABI that was applied, 0 when landlock is missing or refuses. */
static int landlock_apply(const char *scratch)
{
    int abi =
        (int)syscall(SYS_landlock_create_ruleset, NULL, 0, 1 /* LANDLOCK_CREATE_RULESET_VERSION */);
    if (abi < 1) return 0;
    struct ruleset_attr attr = { .fs = RIGHTS_ABI_1 };
    if (abi >= 2) attr.fs |= RIGHT_REFER;
    if (abi >= 3) attr.fs |= RIGHT_TRUNCATE;
    if (abi >= 4) attr.net = NET_BIND_TCP | NET_CONNECT_TCP;
    if (abi >= 5) attr.fs |= RIGHT_IOCTL_DEV;
    if (abi >= 6) attr.scoped = SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL;
    size_t size = abi >= 6   ? sizeof attr
                  : abi >= 4 ? offsetof(struct ruleset_attr, scoped)
                             : sizeof attr.fs;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    if (ruleset < 0) return 0;

    uint64_t read_file = LANDLOCK_ACCESS_FS_READ_FILE;
    uint64_t read_tree = read_file | LANDLOCK_ACCESS_FS_READ_DIR;
    uint64_t scratch_rights = read_tree | LANDLOCK_ACCESS_FS_WRITE_FILE |
                              LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                              LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                              (attr.fs & (RIGHT_REFER | RIGHT_TRUNCATE));
    bool ok = allow_path(ruleset, scratch, scratch_rights, true);
    /* Without the first two the engine's configuration aborts the process. */
    ok = ok && allow_path(ruleset, "/proc/self/cgroup", read_file, false);
    ok = ok && allow_path(ruleset, "/sys/fs/cgroup", read_tree, false);
    ok = ok && allow_path(ruleset, "/sys/devices/system/cpu", read_tree, false);
    ok = ok && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
    ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok ? abi : 0;
}

/* ---- seccomp ---- */

/* What the engine was seen to call, what glibc may call in its place on either CPU
 * or in a later release, and our own messages. A name that this CPU does not have
 * is passed over. No socket, connect, exec, fork, ptrace, open_by_handle_at, bpf,
 * io_uring, userfaultfd, keyctl, mount: whatever is not here fails. */
static const char *const allowed[] = {
    /* files */
    "access",
    "faccessat",
    "faccessat2",
    "open",
    "openat",
    "close",
    "close_range",
    "read",
    "pread64",
    "readv",
    "preadv",
    "write",
    "pwrite64",
    "writev",
    "pwritev",
    "lseek",
    "fstat",
    "stat",
    "lstat",
    "newfstatat",
    "fstatat64",
    "statx",
    "statfs",
    "fstatfs",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "dup",
    "dup2",
    "dup3",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "getdents64",
    "readlink",
    "readlinkat",
    "getcwd",
    "umask",
    /* memory */
    "brk",
    "munmap",
    "mremap",
    "madvise",
    "mlock",
    "munlock",
    "msync",
    "membarrier",
    "memfd_create",
    /* threads and time */
    "futex",
    "futex_waitv",
    "set_robust_list",
    "get_robust_list",
    "rseq",
    "sched_yield",
    "sched_getaffinity",
    "sched_setaffinity",
    "sched_getparam",
    "sched_getscheduler",
    "gettid",
    "getpid",
    "getppid",
    "exit",
    "exit_group",
    "nanosleep",
    "clock_nanosleep",
    "clock_gettime",
    "clock_getres",
    "gettimeofday",
    "time",
    "getcpu",
    "restart_syscall",
    "set_tid_address",
    /* signals to ourselves */
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sigaltstack",
    "tgkill",
    /* asking about ourselves */
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrusage",
    "getrandom",
    "uname",
    "sysinfo",
    "times",
    /* the two sockets */
    "sendmsg",
    "recvmsg",
    "sendto",
    "recvfrom",
    "poll",
    "ppoll",
    "shutdown",
    "getsockopt",
};

static bool refuse_with(scmp_filter_ctx filter, int error, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0) return true;
    int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), number, 0);
    return failed == 0 || failed == -EACCES; /* EACCES: that is what the filter does anyway */
}

static bool seccomp_fill(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        int number = seccomp_syscall_resolve_name(allowed[i]);
        if (number >= 0 && seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0)) return false;
    }
    /* Memory is never executable; a clone is never a process; limits are read only. */
    int mmap_number = seccomp_syscall_resolve_name("mmap");
    int mprotect_number = seccomp_syscall_resolve_name("mprotect");
    int clone_number = seccomp_syscall_resolve_name("clone");
    int prlimit_number = seccomp_syscall_resolve_name("prlimit64");
    if (seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, mmap_number, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)))
        return false;
    if (seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, mprotect_number, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)))
        return false;
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, clone_number, 1,
            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)))
        return false;
    /* The slots of the machine are a file that we hold: no lock of it is ours to set. */
    static const int fcntl_commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL,
        F_ADD_SEALS, F_GET_SEALS };
    /* The engine locks the files that it writes and is to think that it may. */
    static const int fcntl_locks[] = { F_SETLK, F_SETLKW };
    int fcntl_number = seccomp_syscall_resolve_name("fcntl");
    for (size_t i = 0; i < sizeof fcntl_commands / sizeof *fcntl_commands; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, fcntl_number, 1,
                SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i])))
            return false;
    for (size_t i = 0; i < sizeof fcntl_locks / sizeof *fcntl_locks; i++)
        if (seccomp_rule_add(filter, SCMP_ACT_ERRNO(0), fcntl_number, 1,
                SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_locks[i])))
            return false;
    if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, prlimit_number, 1, SCMP_A2(SCMP_CMP_EQ, 0)))
        return false;
    /* clone3 hides its flags behind a pointer: glibc falls back to clone. */
    return refuse_with(filter, ENOSYS, "clone3") && refuse_with(filter, ENOTTY, "ioctl") &&
           refuse_with(filter, EPERM, "prctl");
}

static bool seccomp_apply(bool strict)
{
    scmp_filter_ctx filter = seccomp_init(strict ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL) return false;
    bool ok = seccomp_fill(filter);
    if (ok && strict) {
        /* What a refusal test provokes on purpose has to fail, not to kill. */
        ok = refuse_with(filter, EPERM, "socket") && refuse_with(filter, EPERM, "execve");
    }
    ok = ok && seccomp_load(filter) == 0; /* sets no_new_privs */
    seccomp_release(filter);
    return ok;
}

/* Threads of this process; the seal binds only the calling one. */
static int threads_running(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/task");
    if (dir == NULL) return 1;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

enum bee_seal bee_seal_apply(const char *scratch, bool strict)
{
    bool alone = threads_running() == 1;
    int abi = landlock_apply(scratch);
    bool filtered = seccomp_apply(strict);
    if (abi >= ABI_WANTED && filtered && alone) return BEE_SEAL_FULL;
    return abi || filtered ? BEE_SEAL_PARTIAL : BEE_SEAL_ENGINE_ONLY;
}
