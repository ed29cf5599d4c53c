#include "bee/resident.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int statm_fd = -1;

void bee_resident_init(void)
{
    statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

uint64_t bee_resident_bytes(void)
{
    char text[128];
    ssize_t got = statm_fd >= 0 ? pread(statm_fd, text, sizeof text - 1, 0) : -1;
    if (got <= 0) return 0;
    text[got] = '\0';
    char *second = strchr(text, ' '); /* pages of: address space, resident, … */
    return second ? strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}
