/* What this machine offers us: usable cores (affinity, cgroup quota) and usable
 * memory (physical, cgroup v1 and v2, RLIMIT_AS): the smallest counts. */
#ifndef AP_CORE_MACHINE_H
#define AP_CORE_MACHINE_H

#include <stdint.h>

struct ap_machine {
    int cores;                    /* at least 1 */
    uint64_t memory_bytes;        /* usable */
    uint64_t memory_bytes_physical;
    char host[65];
};

/* root: "" for the real one; tests give a folder with proc/ and sys/ below, where
 * proc/self/status and proc/self/limits stand for affinity and RLIMIT_AS. What cannot
 * be read limits nothing. cores: a quota of 1.5 CPUs counts as 2, as the engine does. */
void ap_machine_look(struct ap_machine *out, const char *root);
/* How much of the last ten seconds something had to wait for a CPU or for memory, from the
 * kernel's pressure files: those of our control group where it has its own, else the whole
 * machine's. Shares from 0 to 1; 0 where the kernel does not tell. */
struct ap_pressure {
    double cpu, memory;
};
void ap_machine_pressure(struct ap_pressure *out, const char *root);
/* The user's folders, created by whoever first writes. NULL without memory; ap_free.
 * kind: "data", "cache", "config", "runtime" (XDG variables respected when absolute).
 * environment: "KEY=value" list ended by NULL; NULL: none, and the home directory is
 * that of the user database. Without any home: /tmp/apiary-UID, where
 * who creates it must check that it is the user's own. */
char *ap_user_folder(const char *kind, const char *const *environment);

#endif
