/* The seal: what this process may do from here to its end. Applied before the
 * first engine instance and before any second thread, because landlock binds the
 * calling thread and what it creates later. */
#ifndef AP_BEE_SEAL_H
#define AP_BEE_SEAL_H

#include "core/error.h"

#include <stdint.h>

enum bee_seal { BEE_SEAL_ENGINE_ONLY, BEE_SEAL_PARTIAL, BEE_SEAL_FULL };

const char *bee_seal_text(enum bee_seal seal); /* "full", "partial", "engine-only" */

/* Resource limits of this process: data segment (0: none; ignored in sanitizer
 * builds, which die under it), file size (0: none), no core dumps, descriptors. */
AP_CHECKED enum apiary_code bee_limits_apply(
    uint64_t data_bytes, uint64_t file_bytes, struct apiary_error *err);

/* Seals this process: landlock (scratch read and write; read of the cgroup and CPU
 * files without which the engine aborts), no_new_privs, seccomp.
 *
 * scratch  an absolute folder that exists
 * strict   a refused system call kills instead of failing (tests)
 * return   how much of it the kernel could do; never fails, the caller decides */
enum bee_seal bee_seal_apply(const char *scratch, bool strict);

#endif
