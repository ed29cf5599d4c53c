#include "runtime/spool.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, PAGE_LARGEST = 65536 }; /* arm64 may have the larger: parts begin at these */

struct ap_spool {
    int fd;
    uint64_t end;
    _Atomic uint64_t bytes;
    _Atomic int references; /* the owner, and each part that is mapped */
};

enum apiary_code ap_spool_new(int fd, struct ap_spool **out, struct apiary_error *err)
{
    struct ap_spool *spool = ap_calloc(1, sizeof *spool);
    if (!spool) {
        close(fd);
        return ap_fail_memory(err, "a result on disk");
    }
    spool->fd = fd;
    spool->references = 1;
    *out = spool;
    return APIARY_OK;
}

void ap_spool_close(struct ap_spool *spool)
{
    if (!spool || atomic_fetch_sub(&spool->references, 1) > 1) return;
    close(spool->fd);
    ap_free(spool);
}

static uint64_t rounded(uint64_t size, uint64_t unit)
{
    return (size + unit - 1) / unit * unit;
}

enum apiary_code ap_spool_write(struct ap_spool *spool, const void *data, size_t size,
    uint64_t *offset, struct apiary_error *err)
{
    for (size_t done = 0; done < size;) {
        ssize_t step =
            pwrite(spool->fd, (const char *)data + done, size - done, (off_t)(spool->end + done));
        if (step < 0 && errno == EINTR) continue;
        if (step <= 0) {
            enum apiary_code code = ap_fail_errno(err, step < 0 ? errno : EIO,
                "cannot keep result rows that nobody has read yet in the scratch folder");
            if (code == APIARY_FULL) ap_hint(err, "read the result faster, or set scratch_dir to a larger disk");
            return code;
        }
        done += (size_t)step;
    }
    *offset = spool->end;
    spool->end += rounded(size, PAGE_LARGEST);
    atomic_fetch_add(&spool->bytes, rounded(size, PAGE));
    return APIARY_OK;
}

/* What the release of a mapped part needs. */
struct part {
    struct ap_spool *spool;
    uint64_t offset;
};

static void release(void *context, const void *data, size_t size)
{
    struct part *part = context;
    struct ap_spool *spool = part->spool;
    if (size) munmap((void *)(uintptr_t)data, size);
    /* Where the file system cannot do it the space stays taken until the spool goes. */
    if (fallocate(spool->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)part->offset,
            (off_t)rounded(size, PAGE)) == 0)
        atomic_fetch_sub(&spool->bytes, rounded(size, PAGE));
    ap_free(part);
    ap_spool_close(spool);
}

enum apiary_code ap_spool_map(struct ap_spool *spool, uint64_t offset, size_t size,
    struct ap_batch_memory *out, struct apiary_error *err)
{
    struct part *part = ap_calloc(1, sizeof *part);
    if (!part) return ap_fail_memory(err, "a result batch");
    void *data = mmap(NULL, size, PROT_READ, MAP_SHARED, spool->fd, (off_t)offset);
    if (data == MAP_FAILED) {
        ap_free(part);
        return ap_fail_errno(err, errno, "cannot read a result batch back");
    }
    *part = (struct part) { .spool = spool, .offset = offset };
    atomic_fetch_add(&spool->references, 1);
    *out = (struct ap_batch_memory) { data, size, release, part };
    return APIARY_OK;
}

uint64_t ap_spool_bytes(const struct ap_spool *spool)
{
    return spool ? atomic_load(&spool->bytes) : 0;
}
