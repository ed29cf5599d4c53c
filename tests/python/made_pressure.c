/* Preloaded into a Python process: the kernel's pressure files, of the machine and of control groups, read as the
 * file that AP_MADE_PRESSURE names. So a test makes a machine hot that is not. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

static int ends_with(const char *path, const char *end)
{
    size_t size = strlen(path), length = strlen(end);
    return size >= length && strcmp(path + size - length, end) == 0;
}

static const char *made(const char *path)
{
    const char *file = getenv("AP_MADE_PRESSURE");
    if (file && (ends_with(path, "/pressure/memory") || ends_with(path, "/memory.pressure"))) return file;
    return path;
}

/* Programs here are built with 64-bit offsets, so this is the name that they call. */
int open64(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return next(made(path), flags, mode);
}
