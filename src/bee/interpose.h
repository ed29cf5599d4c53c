/* The libc functions through which the engine reaches files, replaced in this
 * program: names below /cells/, /files/ and /out/ are answered by virtual.c, all
 * others go to the kernel (which the seal has told what to refuse).
 *
 * The program is linked with -rdynamic, so the engine's library finds these
 * before libc's. A test compares what the pinned library imports with the list
 * here; both __xstat (old) and stat (new) names are covered. */
#ifndef AP_BEE_INTERPOSE_H
#define AP_BEE_INTERPOSE_H

#include "core/error.h"

/* Looks the functions up that are passed on to libc (opendir and friends).
 * Call once, before the seal. */
AP_CHECKED enum apiary_code bee_interpose_init(struct apiary_error *err);

#endif
