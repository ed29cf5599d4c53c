/* Calls that are passed on are made as system calls, not through dlsym: there is
 * then no order of initialisation to get wrong, and sanitizers see one layer less.
 * struct stat is the kernel's own on the two CPUs we build for.
 *
 * The C names are ours and the symbol names are libc's (asm labels), so libc's
 * headers with their fortified inline versions do not get in the way. */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "bee/interpose.h"

#include "bee/paging.h"
#include "bee/virtual.h"
#include "core/alloc.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FD_MAX = 65536, DIRS_MAX = 256 };

/* What a descriptor that came from open() is: 0 a file of the machine, 1 a file
 * from the node, 2 a sparse one (then fd_sparse says more). An entry is rewritten by
 * each open, so a stale one behind close() does no harm. */
enum { KIND_REAL, KIND_NODE, KIND_SPARSE };
static _Atomic uint8_t fd_kind[FD_MAX];
static struct bee_sparse fd_sparse[FD_MAX];

static struct {
    DIR *(*opendir)(const char *);
    struct dirent *(*readdir)(DIR *);
    int (*closedir)(DIR *);
    char *(*realpath)(const char *, char *);
} libc;

enum apiary_code bee_interpose_init(struct apiary_error *err)
{
    *(void **)&libc.opendir = dlsym(RTLD_NEXT, "opendir");
    *(void **)&libc.readdir = dlsym(RTLD_NEXT, "readdir");
    *(void **)&libc.closedir = dlsym(RTLD_NEXT, "closedir");
    *(void **)&libc.realpath = dlsym(RTLD_NEXT, "realpath");
    if (!libc.opendir || !libc.readdir || !libc.closedir || !libc.realpath)
        return ap_fail(
            err, APIARY_INTERNAL, "the C library lacks opendir, readdir, closedir or realpath");
    return APIARY_OK;
}

static int result(int error)
{
    if (!error) return 0;
    errno = error;
    return -1;
}

static void fd_remember(int fd, uint8_t kind)
{
    if (fd >= 0 && fd < FD_MAX) atomic_store_explicit(&fd_kind[fd], kind, memory_order_release);
}

static uint8_t fd_recall(int fd)
{
    return fd >= 0 && fd < FD_MAX ? atomic_load_explicit(&fd_kind[fd], memory_order_acquire) : 0;
}

/* ---- open ---- */

static int open_any(const char *path, int flags, mode_t mode)
{
    if (bee_place_of(path) == BEE_PLACE_REAL) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
        fd_remember(fd, KIND_REAL);
        return fd;
    }
    int fd = -1;
    struct bee_sparse sparse = { 0 };
    int error = bee_virtual_open(path, flags, &fd, &sparse);
    if (!error && sparse.bits && fd >= FD_MAX) { /* could not be told from a whole file */
        close(fd);
        error = EMFILE;
    }
    if (error) return result(error);
    if (sparse.bits) fd_sparse[fd] = sparse;
    fd_remember(fd, sparse.bits ? KIND_SPARSE : KIND_NODE);
    return fd;
}

static mode_t mode_of(int flags, va_list args)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int bee_open(const char *path, int flags, ...) __asm__("open");
int bee_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_any(path, flags, mode);
}

int bee_open64(const char *path, int flags, ...) __asm__("open64");
int bee_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_any(path, flags | O_LARGEFILE, mode);
}

int bee_creat(const char *path, mode_t mode) __asm__("creat");
int bee_creat(const char *path, mode_t mode)
{
    return open_any(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* ---- stat: by name and by descriptor, old and new symbol names ---- */

static int stat_any(const char *path, struct stat *out, int flags)
{
    if (bee_place_of(path) == BEE_PLACE_REAL)
        return (int)syscall(SYS_newfstatat, AT_FDCWD, path, out, flags);
    return result(bee_virtual_stat(path, out));
}

static int fstat_any(int fd, struct stat *out)
{
    int failed = (int)syscall(SYS_fstat, fd, out);
    /* Paging writes into a sparse cell; its bytes never change all the same. */
    if (!failed && fd_recall(fd)) out->st_mtim = out->st_ctim = (struct timespec) { 0 };
    return failed;
}

#define BEE_STAT(symbol)                                                                           \
    int bee_##symbol(const char *path, struct stat *out) __asm__(#symbol);                         \
    int bee_##symbol(const char *path, struct stat *out)                                           \
    {                                                                                              \
        return stat_any(path, out, 0);                                                             \
    }
#define BEE_LSTAT(symbol)                                                                          \
    int bee_##symbol(const char *path, struct stat *out) __asm__(#symbol);                         \
    int bee_##symbol(const char *path, struct stat *out)                                           \
    {                                                                                              \
        return stat_any(path, out, AT_SYMLINK_NOFOLLOW);                                           \
    }
#define BEE_FSTAT(symbol)                                                                          \
    int bee_##symbol(int fd, struct stat *out) __asm__(#symbol);                                   \
    int bee_##symbol(int fd, struct stat *out)                                                     \
    {                                                                                              \
        return fstat_any(fd, out);                                                                 \
    }
#define BEE_XSTAT(symbol, flags)                                                                   \
    int bee_##symbol(int version, const char *path, struct stat *out) __asm__(#symbol);            \
    int bee_##symbol(int version, const char *path, struct stat *out)                              \
    {                                                                                              \
        return stat_any(path, out, flags);                                                         \
    }
#define BEE_FXSTAT(symbol)                                                                         \
    int bee_##symbol(int version, int fd, struct stat *out) __asm__(#symbol);                      \
    int bee_##symbol(int version, int fd, struct stat *out)                                        \
    {                                                                                              \
        return fstat_any(fd, out);                                                                 \
    }

BEE_STAT(stat)
BEE_STAT(stat64)
BEE_LSTAT(lstat)
BEE_LSTAT(lstat64)
BEE_FSTAT(fstat)
BEE_FSTAT(fstat64)
BEE_XSTAT(__xstat, 0)
BEE_XSTAT(__xstat64, 0)
BEE_XSTAT(__lxstat, AT_SYMLINK_NOFOLLOW)
BEE_XSTAT(__lxstat64, AT_SYMLINK_NOFOLLOW)
BEE_FXSTAT(__fxstat)
BEE_FXSTAT(__fxstat64)

/* ---- names ---- */

int bee_access(const char *path, int mode) __asm__("access");
int bee_access(const char *path, int mode)
{
    if (bee_place_of(path) == BEE_PLACE_REAL)
        return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
    struct stat ignored;
    return result(bee_virtual_stat(path, &ignored));
}

char *bee_realpath(const char *path, char *resolved) __asm__("realpath");
char *bee_realpath(const char *path, char *resolved)
{
    if (bee_place_of(path) == BEE_PLACE_REAL) return libc.realpath(path, resolved);
    struct stat ignored;
    int error = bee_virtual_stat(path, &ignored);
    if (error) {
        errno = error;
        return NULL;
    }
    char *text = bee_virtual_canonical(path);
    if (text == NULL || resolved == NULL) return text;
    size_t size = strlen(text) + 1;
    bool fits = size <= PATH_MAX; /* the caller's buffer, by the rules of realpath */
    if (fits) memcpy(resolved, text, size);
    ap_free(text);
    if (!fits) errno = ENAMETOOLONG;
    return fits ? resolved : NULL;
}

int bee_rename(const char *from, const char *to) __asm__("rename");
int bee_rename(const char *from, const char *to)
{
    bool real = bee_place_of(from) == BEE_PLACE_REAL && bee_place_of(to) == BEE_PLACE_REAL;
    if (real) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    return result(bee_virtual_rename(from, to));
}

int bee_unlink(const char *path) __asm__("unlink");
int bee_unlink(const char *path)
{
    if (bee_place_of(path) == BEE_PLACE_REAL) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    return result(bee_virtual_unlink(path));
}

int bee_rmdir(const char *path) __asm__("rmdir");
int bee_rmdir(const char *path)
{
    if (bee_place_of(path) == BEE_PLACE_REAL)
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    return result(bee_virtual_rmdir(path));
}

int bee_remove(const char *path) __asm__("remove");
int bee_remove(const char *path)
{
    int failed = bee_unlink(path);
    return failed && (errno == EISDIR || errno == EPERM) ? bee_rmdir(path) : failed;
}

int bee_mkdir(const char *path, mode_t mode) __asm__("mkdir");
int bee_mkdir(const char *path, mode_t mode)
{
    if (bee_place_of(path) == BEE_PLACE_REAL)
        return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    return result(bee_virtual_mkdir(path));
}

/* ---- folders ---- */

/* A listing that stands in for a DIR; known by its address in the table. */
struct listing {
    struct ap_texts names;
    size_t next;
    struct dirent entry;
};
static struct {
    pthread_mutex_t mutex;
    struct listing *open[DIRS_MAX];
} listings = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* Puts `now` where `was` stands; false when it stands nowhere. */
static bool listing_swap(const struct listing *was, struct listing *now)
{
    bool found = false;
    pthread_mutex_lock(&listings.mutex);
    for (int i = 0; i < DIRS_MAX && !found; i++) {
        found = listings.open[i] == was;
        if (found) listings.open[i] = now;
    }
    pthread_mutex_unlock(&listings.mutex);
    return found;
}

static void listing_free(struct listing *listing)
{
    ap_texts_done(&listing->names);
    ap_free(listing);
}

DIR *bee_opendir(const char *path) __asm__("opendir");
DIR *bee_opendir(const char *path)
{
    if (bee_place_of(path) == BEE_PLACE_REAL) return libc.opendir(path);
    struct listing *listing = ap_calloc(1, sizeof *listing);
    int error = listing ? bee_virtual_list(path, &listing->names) : ENOMEM;
    if (!error && !listing_swap(NULL, listing)) error = EMFILE;
    if (!error) return (DIR *)listing;
    if (listing) listing_free(listing);
    errno = error;
    return NULL;
}

static struct dirent *readdir_any(DIR *dir)
{
    struct listing *listing = (struct listing *)dir;
    if (!listing_swap(listing, listing)) return libc.readdir(dir);
    while (listing->next < listing->names.count) {
        const char *name = listing->names.items[listing->next++];
        size_t size = strlen(name);
        bool folder = size && name[size - 1] == '/';
        if (folder) size--;
        if (size == 0 || size >= sizeof listing->entry.d_name) continue;
        memset(&listing->entry, 0, sizeof listing->entry);
        memcpy(listing->entry.d_name, name, size);
        listing->entry.d_type = folder ? DT_DIR : DT_REG;
        listing->entry.d_ino = listing->next;
        return &listing->entry;
    }
    return NULL;
}

struct dirent *bee_readdir(DIR *dir) __asm__("readdir");
struct dirent *bee_readdir(DIR *dir)
{
    return readdir_any(dir);
}

struct dirent *bee_readdir64(DIR *dir) __asm__("readdir64");
struct dirent *bee_readdir64(DIR *dir)
{
    return readdir_any(dir);
}

int bee_closedir(DIR *dir) __asm__("closedir");
int bee_closedir(DIR *dir)
{
    struct listing *listing = (struct listing *)dir;
    if (!listing_swap(listing, NULL)) return libc.closedir(dir);
    listing_free(listing);
    return 0;
}

/* ---- bytes ---- */

static ssize_t pread_any(int fd, void *data, size_t size, off_t offset)
{
    if (fd_recall(fd) == KIND_SPARSE && offset >= 0)
        return bee_paging_read(&fd_sparse[fd], fd, data, size, (uint64_t)offset);
    return syscall(SYS_pread64, fd, data, size, offset);
}

ssize_t bee_pread(int fd, void *data, size_t size, off_t offset) __asm__("pread");
ssize_t bee_pread(int fd, void *data, size_t size, off_t offset)
{
    return pread_any(fd, data, size, offset);
}

ssize_t bee_pread64(int fd, void *data, size_t size, off_t offset) __asm__("pread64");
ssize_t bee_pread64(int fd, void *data, size_t size, off_t offset)
{
    return pread_any(fd, data, size, offset);
}

/* A hole must never be read as zeros, whichever way it is read. */
ssize_t bee_read(int fd, void *data, size_t size) __asm__("read");
ssize_t bee_read(int fd, void *data, size_t size)
{
    if (fd_recall(fd) != KIND_SPARSE) return syscall(SYS_read, fd, data, size);
    off_t offset = (off_t)syscall(SYS_lseek, fd, (off_t)0, SEEK_CUR);
    if (offset < 0) return -1;
    ssize_t got = bee_paging_read(&fd_sparse[fd], fd, data, size, (uint64_t)offset);
    if (got > 0 && syscall(SYS_lseek, fd, offset + got, SEEK_SET) < 0) return -1;
    return got;
}
