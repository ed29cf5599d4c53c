#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum apiary_code ap_file_read(
    const char *path, size_t size_max, struct ap_bytes *out, bool *there, struct apiary_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (there) *there = fd >= 0;
    if (fd < 0 && there && (errno == ENOENT || errno == ENOTDIR)) return APIARY_OK;
    if (fd < 0) return ap_fail_errno(err, errno, "cannot read %s", path);
    size_t before = out->size;
    enum apiary_code code = ap_bytes_reserve(out, size_max + 1, err);
    while (code == APIARY_OK) {
        ssize_t got = read(fd, out->data + out->size, size_max + 1 - (out->size - before));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) code = ap_fail_errno(err, errno, "cannot read %s", path);
        if (got <= 0) break;
        out->size += (size_t)got;
        if (out->size - before > size_max)
            code = ap_fail(err, APIARY_CONFIG, "%s is larger than %zu bytes", path, size_max);
    }
    if (out->data) out->data[out->size] = 0;
    close(fd);
    return code;
}
