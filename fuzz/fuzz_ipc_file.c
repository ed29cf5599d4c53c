/* Files of Arrow messages (partials of other nodes): any bytes are refused, or give batches whose rows
 * were checked (what readers follow in them is fuzz_ipc_batch's). */
#include "core/alloc.h"
#include "runtime/ipc_file.h"

#include <nanoarrow/nanoarrow.h>

#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BATCHES_MAX = 64 };

/* The file read twice over, as two that belong together. */
static void read_all(int fd)
{
    struct apiary_error err = { 0 };
    struct ArrowArrayStream rows = { 0 };
    int both[2] = { fd, fd };
    if (ap_ipc_files_open(both, 2, &rows, &err) != APIARY_OK) {
        ap_assert(rows.release == NULL);
        return;
    }
    struct ArrowSchema schema = { 0 };
    ap_assert(rows.get_schema(&rows, &schema) == 0);
    for (int i = 0; i < BATCHES_MAX; i++) {
        struct ArrowArray batch = { 0 };
        if (rows.get_next(&rows, &batch) != 0) {
            ap_assert(rows.get_last_error(&rows) != NULL);
            break;
        }
        if (batch.release == NULL) break;
        ap_assert(batch.length >= 0 && batch.n_children == schema.n_children);
        batch.release(&batch);
    }
    schema.release(&schema);
    rows.release(&rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0) return 0;
    if (write(fd, data, size) == (ssize_t)size) read_all(fd);
    close(fd);
    return 0;
}
