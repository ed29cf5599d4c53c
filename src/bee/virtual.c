#include "bee/virtual.h"

#include "bee/ask.h"
#include "core/alloc.h"
#include "core/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

enum { PATH_MAX_BYTES = AP_WIRE_PATH_MAX, OUT_NAMES_MAX = 200000 };
enum { BOOK_FILE = 1, BOOK_FOLDER = 2 };

static struct {
    pthread_mutex_t mutex;
    struct ap_map names; /* canonical path → BOOK_FILE or BOOK_FOLDER */
} book = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static bool below(const char *path, const char *root, size_t size)
{
    return strncmp(path, root, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

enum bee_place bee_place_of(const char *path)
{
    if (path == NULL || path[0] != '/') return BEE_PLACE_REAL;
    if (below(path, "/cells", 6)) return BEE_PLACE_CELLS;
    if (below(path, "/files", 6)) return BEE_PLACE_FILES;
    if (below(path, "/out", 4)) return BEE_PLACE_OUT;
    return BEE_PLACE_REAL;
}

/* Writes the canonical form; a ".." is refused, there is nothing above to reach. */
static int canonical(const char *path, char out[PATH_MAX_BYTES], size_t *size)
{
    size_t used = 0;
    for (const char *at = path; *at;) {
        while (*at == '/') at++;
        size_t length = strcspn(at, "/");
        if (length == 0) break;
        if (length == 2 && memcmp(at, "..", 2) == 0) return EACCES;
        if (!(length == 1 && *at == '.')) {
            if (used + length + 2 > PATH_MAX_BYTES) return ENAMETOOLONG;
            out[used++] = '/';
            memcpy(out + used, at, length);
            used += length;
        }
        at += length;
    }
    out[used] = '\0';
    *size = used;
    return 0;
}

char *bee_virtual_canonical(const char *path)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) {
        errno = error;
        return NULL;
    }
    return ap_strndup(text, size);
}

/* /out and /out/{n} are there from the start of each job. */
static bool is_out_root(struct ap_str path)
{
    if (ap_str_is(path, "/out")) return true;
    if (path.size < 6) return false;
    for (size_t i = 5; i < path.size; i++)
        if (path.data[i] < '0' || path.data[i] > '9') return false;
    return true;
}

static uint64_t book_kind_locked(struct ap_str path)
{
    uint64_t kind = 0;
    if (ap_map_get(&book.names, path, &kind)) return kind;
    return is_out_root(path) ? BOOK_FOLDER : 0;
}

static int book_add(struct ap_str path, uint64_t kind)
{
    int error = 0;
    pthread_mutex_lock(&book.mutex);
    if (book.names.used >= OUT_NAMES_MAX)
        error = ENOSPC;
    else if (ap_map_put(&book.names, path, kind, NULL) != APIARY_OK)
        error = ENOMEM;
    pthread_mutex_unlock(&book.mutex);
    return error;
}

void bee_virtual_forget(void)
{
    pthread_mutex_lock(&book.mutex);
    ap_map_done(&book.names);
    memset(&book.names, 0, sizeof book.names);
    pthread_mutex_unlock(&book.mutex);
}

int bee_virtual_open(const char *path, int flags, int *fd, struct bee_sparse *sparse)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    struct ap_str name = { text, size };
    enum bee_place place = bee_place_of(text);
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
    if (writes && place != BEE_PLACE_OUT) return EACCES;

    bool creates = false;
    if (place == BEE_PLACE_OUT) {
        pthread_mutex_lock(&book.mutex);
        uint64_t kind = book_kind_locked(name);
        pthread_mutex_unlock(&book.mutex);
        if (kind == BOOK_FOLDER) return EISDIR;
        /* What is not in the book may have been written by an earlier job: the node knows. */
        if (kind == BOOK_FILE && (flags & O_CREAT) && (flags & O_EXCL)) return EEXIST;
        creates = kind == 0 && (flags & O_CREAT);
    }
    struct bee_answer answer = { .fd = -1 };
    error = bee_ask(
        AP_WIRE_OPEN, name, (uint64_t[AP_WIRE_VALUES]) { (uint64_t)(unsigned)flags }, &answer);
    if (error) return error;
    if (answer.fd < 0) error = EIO;
    if (!error && creates) error = book_add(name, BOOK_FILE);
    if (!error && answer.values[2]) {
        *sparse = (struct bee_sparse) { .number = answer.values[2], .size = answer.values[1] };
        error = bee_paging_bits(answer.values[3], sparse->size, &sparse->bits);
    }
    if (!error) {
        *fd = answer.fd;
        answer.fd = -1;
    }
    bee_answer_done(&answer);
    return error;
}

static void fill_stat(struct stat *out, bool folder, uint64_t size, uint64_t mtime)
{
    memset(out, 0, sizeof *out);
    out->st_mode = folder ? S_IFDIR | 0555 : S_IFREG | 0444;
    out->st_nlink = 1;
    out->st_size = (off_t)size;
    out->st_blksize = 4096;
    out->st_blocks = (blkcnt_t)((size + 511) / 512);
    out->st_mtim.tv_sec = (time_t)mtime;
}

int bee_virtual_stat(const char *path, struct stat *out)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    struct ap_str name = { text, size };
    enum bee_place place = bee_place_of(text);

    if (place == BEE_PLACE_CELLS) { /* taken to be there: the node made the view over it */
        fill_stat(out, !ap_str_ends_with(name, AP_STR(".parquet")), 0, 0);
        return 0;
    }
    if (place == BEE_PLACE_OUT) {
        pthread_mutex_lock(&book.mutex);
        uint64_t kind = book_kind_locked(name);
        pthread_mutex_unlock(&book.mutex);
        if (kind != 0) {
            fill_stat(out, kind == BOOK_FOLDER, 0, 0);
            return 0;
        }
    }
    if (ap_str_is(name, "/files")) {
        fill_stat(out, true, 0, 0);
        return 0;
    }
    struct bee_answer answer = { .fd = -1 };
    error = bee_ask(AP_WIRE_STAT, name, (uint64_t[AP_WIRE_VALUES]) { 0 }, &answer);
    if (error) return error;
    fill_stat(out, answer.values[2] == 2, answer.values[1], answer.values[3]);
    bee_answer_done(&answer);
    return 0;
}

int bee_virtual_rename(const char *from, const char *to)
{
    char source[PATH_MAX_BYTES], target[PATH_MAX_BYTES], both[2 * PATH_MAX_BYTES];
    size_t source_size = 0, target_size = 0;
    int error = canonical(from, source, &source_size);
    if (!error) error = canonical(to, target, &target_size);
    if (error) return error;
    if (bee_place_of(source) != BEE_PLACE_OUT || bee_place_of(target) != BEE_PLACE_OUT)
        return EXDEV;

    struct ap_str name = { source, source_size };
    pthread_mutex_lock(&book.mutex);
    uint64_t kind = book_kind_locked(name);
    pthread_mutex_unlock(&book.mutex);
    if (kind == 0) return ENOENT;
    if (kind != BOOK_FILE) return EACCES; /* folders are never moved by the engine */
    memcpy(both, source, source_size + 1);
    memcpy(both + source_size + 1, target, target_size);
    struct bee_answer answer = { .fd = -1 };
    error = bee_ask(AP_WIRE_RENAME, (struct ap_str) { both, source_size + 1 + target_size },
        (uint64_t[AP_WIRE_VALUES]) { 0 }, &answer);
    if (error) return error;
    bee_answer_done(&answer);
    pthread_mutex_lock(&book.mutex);
    ap_map_remove(&book.names, name);
    pthread_mutex_unlock(&book.mutex);
    return book_add((struct ap_str) { target, target_size }, BOOK_FILE);
}

int bee_virtual_unlink(const char *path)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    if (bee_place_of(text) != BEE_PLACE_OUT) return EACCES;
    struct ap_str name = { text, size };
    pthread_mutex_lock(&book.mutex);
    uint64_t kind = book_kind_locked(name);
    pthread_mutex_unlock(&book.mutex);
    if (kind == 0) return ENOENT;
    if (kind == BOOK_FOLDER) return EISDIR;
    struct bee_answer answer = { .fd = -1 };
    error = bee_ask(AP_WIRE_UNLINK, name, (uint64_t[AP_WIRE_VALUES]) { 0 }, &answer);
    if (error) return error;
    bee_answer_done(&answer);
    pthread_mutex_lock(&book.mutex);
    ap_map_remove(&book.names, name);
    pthread_mutex_unlock(&book.mutex);
    return 0;
}

int bee_virtual_mkdir(const char *path)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    if (bee_place_of(text) != BEE_PLACE_OUT) return EACCES;
    struct ap_str name = { text, size };
    pthread_mutex_lock(&book.mutex);
    uint64_t kind = book_kind_locked(name);
    pthread_mutex_unlock(&book.mutex);
    return kind ? EEXIST : book_add(name, BOOK_FOLDER);
}

int bee_virtual_rmdir(const char *path)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    if (bee_place_of(text) != BEE_PLACE_OUT) return EACCES;
    AP_AUTO(ap_texts) names = { 0 };
    error = bee_virtual_list(text, &names);
    if (error) return error;
    if (names.count) return ENOTEMPTY;
    pthread_mutex_lock(&book.mutex);
    ap_map_remove(&book.names, (struct ap_str) { text, size });
    pthread_mutex_unlock(&book.mutex);
    return 0;
}

/* The names in the book directly below `folder`. */
static int list_book(struct ap_str folder, struct ap_texts *names)
{
    enum apiary_code code = APIARY_OK;
    pthread_mutex_lock(&book.mutex);
    uint64_t kind = book_kind_locked(folder);
    for (size_t i = 0; kind == BOOK_FOLDER && i < book.names.slot_count && code == APIARY_OK; i++) {
        const struct ap_map_slot *slot = &book.names.slots[i];
        if (slot->used != 1 || slot->key.size < folder.size + 2) continue;
        if (!ap_str_starts_with(slot->key, folder) || slot->key.data[folder.size] != '/') continue;
        struct ap_str rest = { slot->key.data + folder.size + 1, slot->key.size - folder.size - 1 };
        if (memchr(rest.data, '/', rest.size)) continue;
        code = ap_texts_printf(
            names, NULL, AP_FMT "%s", AP_ARG(rest), slot->value == BOOK_FOLDER ? "/" : "");
    }
    pthread_mutex_unlock(&book.mutex);
    if (kind == 0) return ENOENT;
    if (kind != BOOK_FOLDER) return ENOTDIR;
    return code == APIARY_OK ? 0 : ENOMEM;
}

int bee_virtual_list(const char *path, struct ap_texts *names)
{
    char text[PATH_MAX_BYTES];
    size_t size = 0;
    int error = canonical(path, text, &size);
    if (error) return error;
    struct ap_str name = { text, size };
    enum bee_place place = bee_place_of(text);
    if (place == BEE_PLACE_CELLS) return EACCES; /* cells are named, never searched for */
    if (place == BEE_PLACE_OUT) return list_book(name, names);

    struct bee_answer answer = { .fd = -1 };
    error = bee_ask(AP_WIRE_LIST, name, (uint64_t[AP_WIRE_VALUES]) { 0 }, &answer);
    if (error) return error;
    struct ap_str rest = ap_bytes_view(&answer.body);
    while (rest.size && !error) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t length = end ? (size_t)(end - rest.data) : rest.size;
        if (length && ap_texts_add(names, (struct ap_str) { rest.data, length }, NULL) != APIARY_OK)
            error = ENOMEM;
        size_t step = end ? length + 1 : length;
        rest = (struct ap_str) { rest.data + step, rest.size - step };
    }
    bee_answer_done(&answer);
    return error;
}
