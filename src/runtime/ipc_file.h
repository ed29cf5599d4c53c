/* Arrow IPC streams in files: what leaves a chamber to be read by another one, perhaps elsewhere.
 *
 * Reading trusts nothing: each message goes through runtime/batch.h, a file that ends before its end
 * marker is CORRUPT. Files are read by position; whoever else holds the descriptor must not write. */
#ifndef AP_RUNTIME_IPC_FILE_H
#define AP_RUNTIME_IPC_FILE_H

#include "core/str.h"

struct ap_ipc_writer;
/* Writes the schema at the file's start. fd is borrowed. The arrays must be plain (runtime/plain.h), as
 * those of chambers are. codes: IO, MEMORY, LIMIT, UNSUPPORTED */
AP_CHECKED enum apiary_code ap_ipc_writer_new(int fd, const struct ArrowSchema *schema,
    struct ap_ipc_writer **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_ipc_writer_add(
    struct ap_ipc_writer *writer, const struct ArrowArray *batch, struct apiary_error *err);
/* The end marker; *bytes = size of the file. */
AP_CHECKED enum apiary_code ap_ipc_writer_end(
    struct ap_ipc_writer *writer, uint64_t *bytes, struct apiary_error *err);
void ap_ipc_writer_free(struct ap_ipc_writer *writer); /* NULL does nothing */

/* One stream over the rows of all files, in order; their columns must have the same types. The
 * stream has descriptors of its own. count at least 1.
 * codes: CORRUPT, IO, MEMORY, UNSUPPORTED */
AP_CHECKED enum apiary_code ap_ipc_files_open(const int *fds, size_t count,
    struct ArrowArrayStream *out, struct apiary_error *err);

#endif
