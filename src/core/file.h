/* Small files of this machine. */
#ifndef AP_CORE_FILE_H
#define AP_CORE_FILE_H

#include "core/str.h"

/* The whole of a small file, appended; the room for size_max is reserved once. *there (may be NULL): false
 * instead of NOT_FOUND. codes: NOT_FOUND, DENIED, IO …; CONFIG (larger than size_max) */
AP_CHECKED enum apiary_code ap_file_read(
    const char *path, size_t size_max, struct ap_bytes *out, bool *there, struct apiary_error *err);

#endif
