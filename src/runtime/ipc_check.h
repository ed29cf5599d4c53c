/* The tables of Arrow IPC messages, checked before nanoarrow reads them.
 *
 * nanoarrow (flatcc) proves that a flatbuffer's parts lie inside the message. It takes on
 * trust, and dies or spins where they are not so: that parts which its code needs are there,
 * that a tree of fields is a tree (a table may be shared, so that 4 KiB unfold to 2^60
 * fields), and that offsets of buffers add up. Pure; reads within the bytes given. */
#ifndef AP_RUNTIME_IPC_CHECK_H
#define AP_RUNTIME_IPC_CHECK_H

#include "core/str.h"

enum {
    AP_IPC_FIELDS_MAX = 100000, /* at all depths */
    AP_IPC_DEPTH_MAX = 64,
    AP_IPC_FIXED_MAX = 1 << 24 /* bytes or items of a fixed-size type */
};
#define AP_IPC_ROWS_MAX INT64_C(0x7fffffff)

/* A whole encapsulated schema message. CORRUPT, LIMIT or UNSUPPORTED (dictionaries). */
AP_CHECKED enum apiary_code ap_ipc_check_schema(struct ap_str message, struct apiary_error *err);
/* A whole encapsulated record batch message, its body included: *body is where that begins. */
AP_CHECKED enum apiary_code ap_ipc_check_batch(
    struct ap_str message, size_t *body, struct apiary_error *err);

#endif
