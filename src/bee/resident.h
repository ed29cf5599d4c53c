/* The physical memory of this process, as the kernel counts it. */
#ifndef AP_BEE_RESIDENT_H
#define AP_BEE_RESIDENT_H

#include <stdint.h>

/* Opens what is read later: before the seal, which hides /proc. */
void bee_resident_init(void);
uint64_t bee_resident_bytes(void); /* 0: unknown */

#endif
