/* Result batches that nobody has read yet, on disk: one file without a name in the pool's scratch
 * folder, which the chamber cannot see. What is read again is mapped, and its place on the disk is
 * given back when it is released. */
#ifndef AP_RUNTIME_SPOOL_H
#define AP_RUNTIME_SPOOL_H

#include "runtime/batch.h"

struct ap_spool;

/* fd becomes the spool's, also on failure. */
AP_CHECKED enum apiary_code ap_spool_new(int fd, struct ap_spool **out, struct apiary_error *err);
/* Drops the owner's hold; what is mapped stays readable. NULL is fine. */
void ap_spool_close(struct ap_spool *spool);
/* Appends; one writer at a time. FULL or IO. */
AP_CHECKED enum apiary_code ap_spool_write(struct ap_spool *spool, const void *data, size_t size,
    uint64_t *offset, struct apiary_error *err);
/* A part that was written. out->release may be called from any thread, also after ap_spool_close. */
AP_CHECKED enum apiary_code ap_spool_map(struct ap_spool *spool, uint64_t offset, size_t size,
    struct ap_batch_memory *out, struct apiary_error *err);
uint64_t ap_spool_bytes(const struct ap_spool *spool); /* on the disk now; NULL: 0 */

#endif
