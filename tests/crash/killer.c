/* Kills its own process at a chosen moment of its work with files: a library for LD_PRELOAD, used
 * by the crash tests. Nothing of it is in the programs themselves.
 *
 *   AP_KILL_AT=n         SIGKILL at the n-th call that counts (from 1); 0 or unset: never
 *   AP_KILL_WHEN=after   after the call's effect instead of before it
 *   AP_KILL_PROGRAM=p    only in programs of this name (apiary, apiary-bee); unset: in every one
 *   AP_KILL_COUNT=file   the number of calls so far is written there at each of them, so that a
 *                        run that is not killed tells how many moments there are
 *   AP_KILL_LOG=file     a line is appended for each call: number, name, path
 *
 * What counts: link(at), rename(at, at2), unlink(at), fsync, fdatasync, mkdir(at), and open(at),
 * creat with O_CREAT. Those are the steps of the local store; between two of them nothing durable
 * changes but the bytes of a file that has no name yet. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic long calls;
static long kill_at;
static int kill_after;
static int count_fd = -1, log_fd = -1;

static int open_own(const char *name, int flags)
{
    const char *path = getenv(name);
    if (!path || !*path) return -1;
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
}

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("AP_KILL_AT"), *when = getenv("AP_KILL_WHEN"),
               *only = getenv("AP_KILL_PROGRAM");
    if (only && *only && strcmp(only, program_invocation_short_name) != 0) return;
    kill_at = at ? strtol(at, NULL, 10) : 0;
    kill_after = when && strcmp(when, "after") == 0;
    count_fd = open_own("AP_KILL_COUNT", O_TRUNC);
    log_fd = open_own("AP_KILL_LOG", O_APPEND);
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Before a call: counts it. True: die behind it. */
static int step(const char *name, const char *path)
{
    char text[600];
    long number = atomic_fetch_add(&calls, 1) + 1;
    int saved = errno;
    if (count_fd >= 0) {
        int size = snprintf(text, sizeof text, "%-12ld\n", number);
        (void)!pwrite(count_fd, text, (size_t)size, 0);
    }
    if (log_fd >= 0) {
        int size = snprintf(text, sizeof text, "%ld %s %.500s\n", number, name, path ? path : "");
        (void)!syscall(SYS_write, log_fd, text, (size_t)size);
    }
    errno = saved;
    if (kill_at == 0 || number != kill_at) return 0;
    if (!kill_after) die();
    return 1;
}

static int finish(int result, int last)
{
    if (last) die();
    return result;
}

/* dlsym gives an object pointer; C wants a function. */
#define NEXT(type, name)                                                                           \
    static type *next;                                                                             \
    if (!next) *(void **)(void *)&next = dlsym(RTLD_NEXT, name)

int link(const char *from, const char *to)
{
    typedef int function(const char *, const char *);
    NEXT(function, "link");
    int last = step("link", to);
    return finish(next(from, to), last);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    typedef int function(int, const char *, int, const char *, int);
    NEXT(function, "linkat");
    int last = step("linkat", to);
    return finish(next(from_dir, from, to_dir, to, flags), last);
}

int rename(const char *from, const char *to)
{
    typedef int function(const char *, const char *);
    NEXT(function, "rename");
    int last = step("rename", to);
    return finish(next(from, to), last);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    typedef int function(int, const char *, int, const char *);
    NEXT(function, "renameat");
    int last = step("renameat", to);
    return finish(next(from_dir, from, to_dir, to), last);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    typedef int function(int, const char *, int, const char *, unsigned);
    NEXT(function, "renameat2");
    int last = step("renameat2", to);
    return finish(next(from_dir, from, to_dir, to, flags), last);
}

int unlink(const char *path)
{
    typedef int function(const char *);
    NEXT(function, "unlink");
    int last = step("unlink", path);
    return finish(next(path), last);
}

int unlinkat(int dir, const char *path, int flags)
{
    typedef int function(int, const char *, int);
    NEXT(function, "unlinkat");
    int last = step("unlinkat", path);
    return finish(next(dir, path, flags), last);
}

int fsync(int fd)
{
    typedef int function(int);
    NEXT(function, "fsync");
    int last = step("fsync", NULL);
    return finish(next(fd), last);
}

int fdatasync(int fd)
{
    typedef int function(int);
    NEXT(function, "fdatasync");
    int last = step("fdatasync", NULL);
    return finish(next(fd), last);
}

int mkdir(const char *path, mode_t mode)
{
    typedef int function(const char *, mode_t);
    NEXT(function, "mkdir");
    int last = step("mkdir", path);
    return finish(next(path, mode), last);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
    typedef int function(int, const char *, mode_t);
    NEXT(function, "mkdirat");
    int last = step("mkdirat", path);
    return finish(next(dir, path, mode), last);
}

/* open and openat have two names each (with and without large files), which are one on 64 bits. */
static int create_at(const char *name, int dir, const char *path, int flags, mode_t mode)
{
    int counted = (flags & O_CREAT) != 0;
    int last = counted ? step(name, path) : 0;
    return finish((int)syscall(SYS_openat, dir, path, flags, mode), last);
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        return create_at("open", AT_FDCWD, path, flags, mode);                                     \
    }
#define OPENAT(name)                                                                               \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode_t mode = mode_of(flags, args);                                                        \
        va_end(args);                                                                              \
        return create_at("openat", dir, path, flags, mode);                                        \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
