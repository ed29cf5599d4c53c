/* Finding the chamber program and starting it.
 *
 * The process gets: an empty environment, a session of its own (Ctrl-C in a terminal goes to
 * the whole foreground group and must not reach it), stdin and stdout at /dev/null, stderr a
 * pipe, the two channels at their numbers, and no other descriptor. Signals are unblocked and
 * at their defaults. Limits and seal are its own work after exec. */
#include "core/alloc.h"
#include "runtime/pool_private.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define PROGRAM_NAME "apiary-bee"
enum { FIRST_FREE_FD = 10 }; /* above 0..4, which the program's own come to lie on */

static bool runnable(const char *path)
{
    return access(path, X_OK) == 0;
}

/* The folder of the library (or of the program that it was linked into). */
static bool library_folder(char out[PATH_MAX])
{
    Dl_info info;
    if (!dladdr((void *)(uintptr_t)ap_spawn_find, &info) || !info.dli_fname) return false;
    if (!realpath(info.dli_fname, out)) return false;
    char *slash = strrchr(out, '/');
    if (!slash) return false;
    *slash = 0;
    return true;
}

enum apiary_code ap_spawn_find(const char *given, char **out, struct apiary_error *err)
{
    const char *chosen = given;
    const char *origin = "the setting";
    if (!chosen) {
        chosen = getenv("APIARY_BEE");
        origin = "APIARY_BEE";
    }
    char folder[PATH_MAX], path[PATH_MAX + 64];
    if (chosen && *chosen) {
        if (!runnable(chosen))
            return ap_fail(err, APIARY_CONFIG,
                "cannot run the chamber program %s that %s names: %s", chosen, origin,
                strerror(errno));
        snprintf(path, sizeof path, "%s", chosen);
    } else {
        /* lib/, and lib/x86_64-linux-gnu/ as Debian has it */
        static const char *const places[] = { "", "/../libexec/apiary", "/../../libexec/apiary" };
        if (!library_folder(folder)) snprintf(folder, sizeof folder, ".");
        bool found = false;
        for (size_t i = 0; i < sizeof places / sizeof *places && !found; i++) {
            snprintf(path, sizeof path, "%s%s/" PROGRAM_NAME, folder, places[i]);
            found = runnable(path);
        }
        if (!found) {
            ap_fail(err, APIARY_CONFIG, /* no other try finds it */
                "cannot find the chamber program: there is no " PROGRAM_NAME
                " in %s, nor in libexec/apiary beside it or one folder above",
                folder);
            return ap_hint(err, "set APIARY_BEE to the path of " PROGRAM_NAME);
        }
    }
    char *copy = ap_strdup(path);
    if (!copy) return ap_fail_memory(err, "a path");
    *out = copy;
    return APIARY_OK;
}

/* What is open until the process runs. */
struct ends {
    int job[2], ask[2], words[2]; /* 0 ours, 1 the chamber's */
};

static void close_fd(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

static void ends_done(struct ends *ends)
{
    for (int i = 0; i < 2; i++) {
        close_fd(&ends->job[i]);
        close_fd(&ends->ask[i]);
        close_fd(&ends->words[i]);
    }
}

/* Moves a descriptor above those that the program's own will be put on. */
static bool lift(int *fd)
{
    int high = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (high < 0) return false;
    close(*fd);
    *fd = high;
    return true;
}

static bool ends_open(struct ends *ends)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends->job) != 0) return false;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends->ask) != 0) return false;
    if (pipe2(ends->words, O_CLOEXEC) != 0) return false;
    if (!lift(&ends->job[1]) || !lift(&ends->ask[1]) || !lift(&ends->words[1])) return false;
    /* We never wait for ever for a chamber that does not read. */
    struct timeval limit = { .tv_sec = AP_CHAMBER_SEND_MS / 1000 };
    setsockopt(ends->job[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(ends->ask[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fcntl(ends->words[0], F_SETFL, O_NONBLOCK) == 0;
}

static int start(const char *program, const struct ends *ends, int bees_fd, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&files);
        return error;
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
    if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
    if (!error)
        error = posix_spawnattr_setflags(
            &attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (!error) error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error) error = posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, ends->words[1], 2);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, ends->job[1], AP_WIRE_JOB_FD);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, ends->ask[1], AP_WIRE_ASK_FD);
    if (!error && bees_fd >= 0)
        error = posix_spawn_file_actions_adddup2(&files, bees_fd, AP_WIRE_BEES_FD);
    int last_fd = bees_fd >= 0 ? AP_WIRE_BEES_FD : AP_WIRE_ASK_FD;
    (void)last_fd;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    /* The host may hold descriptors without close-on-exec; none of them is the chamber's. */
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&files, last_fd + 1);
#endif
    char name[] = PROGRAM_NAME;
    char *arguments[] = { name, NULL };
    char *environment[] = { NULL };
    if (!error) error = posix_spawn(pid, program, &files, &attributes, arguments, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

enum apiary_code ap_spawn(
    const char *program, int bees_fd, struct ap_spawned *out, struct apiary_error *err)
{
    struct ends ends = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
    if (!ends_open(&ends)) {
        int error = errno;
        ends_done(&ends);
        return ap_fail_errno(err, error, "cannot open the channels of a chamber");
    }
    pid_t pid = 0;
    int error = start(program, &ends, bees_fd, &pid);
    if (error) {
        ends_done(&ends);
        return ap_fail(err, APIARY_CHAMBER, "cannot start the chamber program %s: %s", program,
            strerror(error));
    }
    out->pid = pid;
    out->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec by itself */
    out->job_fd = ends.job[0];
    out->ask_fd = ends.ask[0];
    out->words_fd = ends.words[0];
    ends.job[0] = ends.ask[0] = ends.words[0] = -1;
    ends_done(&ends);
    return APIARY_OK;
}
