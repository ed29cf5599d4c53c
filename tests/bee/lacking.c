/* A chamber program on a kernel that lacks something, as this program is built: LACKS_LANDLOCK (its system calls
 * are unknown), LACKS_SECCOMP (no filter can be installed). Answers so by a filter of its own, which a process
 * keeps when it becomes another program, then becomes the apiary-bee two folders above. */
#include <errno.h>
#include <limits.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int answer(scmp_filter_ctx filter, int error, const char *name)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO((unsigned)error), seccomp_syscall_resolve_name(name), 0);
}

int main(int argc, char **argv)
{
    (void)argc;
    char path[PATH_MAX];
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter) return 70;
    int failed = 0;
#ifdef LACKS_LANDLOCK
    failed |= answer(filter, ENOSYS, "landlock_create_ruleset");
    failed |= answer(filter, ENOSYS, "landlock_add_rule");
    failed |= answer(filter, ENOSYS, "landlock_restrict_self");
#endif
#ifdef LACKS_SECCOMP
    failed |= answer(filter, ENOSYS, "seccomp");
    failed |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EINVAL), seccomp_syscall_resolve_name("prctl"), 1,
        SCMP_A0(SCMP_CMP_EQ, PR_SET_SECCOMP));
#endif
    if (failed || seccomp_load(filter)) return 71;
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size <= 0) return 72;
    path[size] = '\0';
    for (int i = 0; i < 3; i++) { /* its name, and two folders */
        char *slash = strrchr(path, '/');
        if (!slash) return 73;
        *slash = '\0';
    }
    char program[PATH_MAX + 16];
    snprintf(program, sizeof program, "%s/apiary-bee", path);
    argv[0] = program;
    execv(program, argv);
    return 74;
}
