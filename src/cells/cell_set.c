/* What a chamber may read and write, and the answers to its questions (cells.h).
 *
 * A name is answered only if it was granted, letter by letter; anything else does not exist. Each
 * open gives a description of its own (offsets are not shared between the engine's readers), and
 * one that can only read. Why something failed is kept here, since an errno cannot say it. */
#include "cells/cells_private.h"

#include "core/alloc.h"
#include "core/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_CHUNK = 8 << 20, HIVE_FOLDERS_MAX = 32 };
#define FILES_PREFIX "/files/"
#define COPY_BYTES_MAX (UINT64_C(1) << 32) /* an object that is copied whole into memory */

/* ---- life ---- */

enum apiary_code ap_cell_set_new(
    struct ap_env *env, struct ap_cell_set **out, struct apiary_error *err)
{
    struct ap_cell_set *set = ap_calloc(1, sizeof *set);
    if (!set) return ap_fail_memory(err, "a set of cells");
    set->env = env;
    set->lock = ap_lock_new(env);
    if (!set->lock) {
        ap_free(set);
        return ap_fail_memory(err, "a set of cells");
    }
    *out = set;
    return APIARY_OK;
}

void ap_cell_set_free(struct ap_cell_set *set)
{
    if (!set) return;
    ap_output_send_end(set);
    ap_cell_paging_done(set);
    for (size_t i = 0; i < set->cell_count; i++) {
        ap_paged_unref(set->cells[i].paged);
        ap_free(set->cells[i].key);
        ap_free(set->cells[i].tail);
        if (set->cells[i].copy_fd >= 0) close(set->cells[i].copy_fd);
    }
    for (size_t i = 0; i < set->file_count; i++) {
        ap_paged_unref(set->files[i].paged);
        ap_free(set->files[i].key);
        ap_free(set->files[i].path);
        ap_free(set->files[i].shown);
        ap_free(set->files[i].name);
        if (set->files[i].fd >= 0) close(set->files[i].fd);
    }
    for (size_t i = 0; i < set->output_count; i++) ap_output_done(&set->outputs[i]);
    ap_map_done(&set->places);
    ap_free(set->cells);
    ap_free(set->files);
    ap_free(set->outputs);
    ap_texts_done(&set->words);
    ap_lock_free(set->env, set->lock);
    ap_free(set);
}

/* ---- trouble ---- */

static int errno_of(enum apiary_code code)
{
    switch (code) {
        case APIARY_NOT_FOUND: return ENOENT;
        case APIARY_DENIED: return EACCES;
        case APIARY_FULL: return ENOSPC;
        case APIARY_MEMORY: return ENOMEM;
        default: return EIO;
    }
}

int ap_cell_set_fail(struct ap_cell_set *set, enum apiary_code code, const struct apiary_error *err)
{
    if (set->trouble.code == APIARY_OK) {
        set->trouble = *err;
        set->trouble.code = code;
    }
    return errno_of(code);
}

enum apiary_code ap_cell_set_trouble(struct ap_cell_set *set, struct apiary_error *err)
{
    ap_lock(set->env, set->lock);
    struct apiary_error trouble = set->trouble;
    ap_unlock(set->env, set->lock);
    if (set->account && trouble.code == APIARY_OK) return ap_account_trouble(set->account, err);
    if (trouble.code != APIARY_OK && err) *err = trouble;
    return (enum apiary_code)trouble.code;
}

/* ---- names ---- */

bool ap_virtual_rest_fine(const char *rest)
{
    if (strlen(rest) > AP_VIRTUAL_PATH_MAX) return false;
    for (const char *at = rest;;) {
        size_t size = strcspn(at, "/");
        if (size == 0 || size > AP_VIRTUAL_PART_MAX) return false;
        if (size == 1 && at[0] == '.') return false;
        if (size == 2 && at[0] == '.' && at[1] == '.') return false;
        for (size_t i = 0; i < size; i++)
            if ((unsigned char)at[i] < 0x20 || at[i] == 0x7F) return false;
        at += size;
        if (!*at) return true;
        at++;
    }
}

struct ap_virtual ap_virtual_parse(const char *path)
{
    static const struct {
        const char *prefix;
        enum ap_virtual_kind kind;
    } kinds[] = { { "/cells", AP_VIRTUAL_CELLS }, { "/files", AP_VIRTUAL_FILES },
        { "/out", AP_VIRTUAL_OUT } };
    struct ap_virtual out = { .kind = AP_VIRTUAL_NONE, .rest = "" };
    const char *at = NULL;
    enum ap_virtual_kind kind = AP_VIRTUAL_NONE;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !at; i++) {
        size_t size = strlen(kinds[i].prefix);
        if (strncmp(path, kinds[i].prefix, size) != 0 || (path[size] && path[size] != '/'))
            continue;
        at = path + size;
        kind = kinds[i].kind;
    }
    if (!at) return out;
    if (!*at || !at[1]) {
        out.kind = kind;
        return out;
    }
    at++;
    uint64_t number = 0;
    size_t digits = strcspn(at, "/");
    bool canonical = digits == 1 || at[0] != '0';
    if (digits > 18 || !canonical || !ap_str_to_u64((struct ap_str) { at, digits }, &number))
        return out;
    at += digits;
    if (*at) at++;
    if (*at && !ap_virtual_rest_fine(at)) return out;
    return (struct ap_virtual) {
        .kind = kind, .has_number = true, .number = (size_t)number, .rest = at
    };
}

/* ---- grants ---- */

void ap_cell_set_name(struct ap_cell_set *set, struct ap_cell_names *names)
{
    set->names = names;
}

/* A number as a key of `places`. */
static struct ap_str key_of(const size_t *number)
{
    return (struct ap_str) { (const char *)number, sizeof *number };
}

/* The place of the cell that a name's number stands for; SIZE_MAX: of none. */
static size_t place_of(const struct ap_cell_set *set, size_t number)
{
    uint64_t place = 0;
    if (set->names == NULL) return number < set->cell_count ? number : SIZE_MAX;
    return ap_map_get(&set->places, key_of(&number), &place) ? (size_t)place : SIZE_MAX;
}

/* The number for the grant that comes next. A cell that is read in several scans has one for each: they
 * are read ahead of apart. */
static enum apiary_code number_locked(struct ap_cell_set *set, const struct ap_cell_grant *grant,
    int64_t modified_ms, size_t *number, struct apiary_error *err)
{
    if (set->names == NULL) {
        *number = set->cell_count;
        return APIARY_OK;
    }
    uint64_t named = 0;
    size_t known;
    AP_AUTO(ap_bytes) identity = { 0 };
    AP_TRY(ap_bytes_printf(&identity, err, "%s\n%s\n%llu\n%lld\n%s", grant->store->uri, grant->key,
        (unsigned long long)grant->size, (long long)modified_ms, grant->tail));
    do {
        AP_TRY(ap_cell_names_number(set->names, ap_bytes_view(&identity), &named, err));
        AP_TRY(ap_bytes_add_text(&identity, "\nagain", err));
        known = (size_t)named;
    } while (place_of(set, known) != SIZE_MAX);
    AP_TRY(ap_map_put(&set->places, key_of(&known), set->cell_count, err));
    *number = known;
    return APIARY_OK;
}

enum apiary_code ap_cell_set_add(struct ap_cell_set *set, struct ap_store *store, const char *key,
    uint64_t size_bytes, int64_t modified_ms, const char *tail, size_t *number,
    struct apiary_error *err)
{
    AP_TRY(ap_store_key_check(key, err));
    if (!ap_virtual_rest_fine(tail))
        return ap_fail(
            err, APIARY_CORRUPT, "cell %s cannot be shown to the engine as '%.200s'", key, tail);
    struct ap_cell_grant grant = { .store = store, .size = size_bytes, .copy_fd = -1 };
    size_t known = SIZE_MAX;
    grant.key = ap_strdup(key);
    grant.tail = ap_strdup(tail);
    enum apiary_code code =
        grant.key && grant.tail ? APIARY_OK : ap_fail_memory(err, "a set of cells");
    ap_lock(set->env, set->lock);
    if (code == APIARY_OK && set->cell_count >= AP_CELLS_MAX)
        code = ap_fail(err, APIARY_LIMIT, "a statement reads at most %d cells", AP_CELLS_MAX);
    if (code == APIARY_OK) code = AP_GROW(set->cells, set->cell_capacity, set->cell_count + 1, err);
    if (code == APIARY_OK) code = number_locked(set, &grant, modified_ms, &known, err);
    if (code == APIARY_OK && ap_cell_pages(set, store, size_bytes, tail))
        code = ap_cell_page_locked(set, store, key, size_bytes, NULL, &grant.paged, &grant.scan,
            &grant.index, err);
    if (code == APIARY_OK) {
        set->cells[set->cell_count++] = grant;
        *number = known;
    } else if (known != SIZE_MAX)
        ap_map_remove(&set->places, key_of(&known));
    ap_unlock(set->env, set->lock);
    if (code != APIARY_OK) {
        ap_free(grant.key);
        ap_free(grant.tail);
    }
    return code;
}

/* Where the folders "column=value" begin that a path's last name lies in; "" and all others do not
 * count. The engine takes them for columns. */
static const char *hive_tail(const char *path)
{
    const char *slash = strrchr(path, '/'), *tail = slash ? slash + 1 : path;
    for (int folders = 0; folders < HIVE_FOLDERS_MAX && tail > path; folders++) {
        const char *start = tail - 1;
        while (start > path && start[-1] != '/') start--;
        size_t size = (size_t)(tail - 1 - start);
        const char *equals = memchr(start, '=', size);
        if (!equals || equals == start || size > AP_PLAIN_NAME_MAX) break;
        tail = start;
    }
    return tail;
}

/* A name that the engine takes as it is: no pattern characters, no control characters. Folders
 * "column=value" stay. */
static char *plain_name(const char *path)
{
    const char *name = hive_tail(path), *slash = strrchr(path, '/');
    const char *last = slash ? slash + 1 : path;
    size_t folders = (size_t)(last - name), size = strlen(last);
    if (size > AP_PLAIN_NAME_MAX) last += size - AP_PLAIN_NAME_MAX; /* the end says the format */
    AP_AUTO(ap_bytes) text = { 0 };
    char *plain = NULL;
    if (ap_bytes_add(&text, name, folders, NULL) != APIARY_OK ||
        ap_bytes_add_text(&text, *last ? last : "_", NULL) != APIARY_OK ||
        ap_bytes_take_text(&text, &plain, NULL) != APIARY_OK)
        return NULL;
    for (char *at = plain; *at; at++)
        if (strchr("*?[]{}\\", *at) || (unsigned char)*at < 0x20 || *at == 0x7F) *at = '_';
    char *end = plain + folders;
    if (strcmp(end, ".") == 0 || strcmp(end, "..") == 0) memset(end, '_', strlen(end));
    return plain;
}

bool ap_file_name_parse(struct ap_str name, size_t *number, struct ap_str *rest)
{
    struct ap_str prefix = AP_STR(FILES_PREFIX);
    uint64_t value = 0;
    if (!ap_str_starts_with(name, prefix)) return false;
    struct ap_str tail = { name.data + prefix.size, name.size - prefix.size };
    size_t digits = ap_str_find(tail, AP_STR("/"));
    if (digits == SIZE_MAX || !ap_str_to_u64((struct ap_str) { tail.data, digits }, &value)) return false;
    *number = (size_t)value;
    *rest = (struct ap_str) { tail.data + digits + 1, tail.size - digits - 1 };
    return true;
}

bool ap_file_name_fits(struct ap_str rest, struct ap_str path)
{
    size_t before = path.size - rest.size;
    if (rest.size > path.size || (before > 0 && path.data[before - 1] != '/')) return false;
    for (size_t i = 0; i < rest.size; i++)
        if (rest.data[i] != '_' && rest.data[i] != path.data[before + i]) return false;
    return true;
}

/* Takes what is in `grant` over, also on failure. */
static enum apiary_code add_grant(struct ap_cell_set *set, struct ap_file_grant grant,
    const char *path, const char *name, size_t *number, struct ap_bytes *virtual_name,
    struct apiary_error *err)
{
    grant.name = plain_name(name);
    if (path) grant.path = ap_strdup(path);
    enum apiary_code code = APIARY_OK;
    AP_AUTO(ap_bytes) shown = { 0 };
    if (!grant.name || (path && !grant.path)) code = ap_fail_memory(err, "a file");
    ap_lock(set->env, set->lock);
    size_t at = set->file_count;
    if (code == APIARY_OK && at >= AP_CELLS_MAX)
        code = ap_fail(err, APIARY_LIMIT, "a statement reads at most %d files", AP_CELLS_MAX);
    if (code == APIARY_OK && virtual_name)
        code = ap_bytes_printf(&shown, err, FILES_PREFIX "%zu/%s", at, grant.name);
    if (code == APIARY_OK) code = AP_GROW(set->files, set->file_capacity, at + 1, err);
    if (code == APIARY_OK) {
        set->files[at] = grant;
        set->file_count++;
        *number = at;
    }
    ap_unlock(set->env, set->lock);
    if (code != APIARY_OK) {
        if (grant.fd >= 0) close(grant.fd);
        ap_paged_unref(grant.paged);
        ap_free(grant.key);
        ap_free(grant.name);
        ap_free(grant.path);
        ap_free(grant.shown);
        return code;
    }
    if (virtual_name) {
        ap_bytes_done(virtual_name);
        *virtual_name = AP_TAKE(shown);
    }
    return APIARY_OK;
}

static enum apiary_code add_file(struct ap_cell_set *set, int fd, uint64_t size, const char *path,
    const char *name, size_t *number, struct ap_bytes *virtual_name, struct apiary_error *err)
{
    struct ap_file_grant grant = { .fd = fd, .size = size };
    return add_grant(set, grant, path, name, number, virtual_name, err);
}

enum apiary_code ap_cell_set_add_file(struct ap_cell_set *set, const char *path, size_t *number,
    struct ap_object *object, struct ap_bytes *virtual_name, struct apiary_error *err)
{
    struct stat info = { 0 };
    /* O_NONBLOCK: opening a pipe that nobody writes must not wait. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) return ap_fail_errno(err, errno, "cannot read %s", path);
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        enum apiary_code code =
            S_ISDIR(info.st_mode)
                ? ap_fail(err, APIARY_INVALID, "cannot read %s: it is a folder", path)
                : ap_fail(err, APIARY_UNSUPPORTED, "cannot read %s: it is no regular file", path);
        close(fd);
        return code;
    }
    if (object != NULL) ap_local_describe(&info, object);
    return add_file(set, fd, (uint64_t)info.st_size, path, path, number, virtual_name, err);
}

enum apiary_code ap_cell_set_add_bytes(struct ap_cell_set *set, struct ap_str bytes,
    const char *name, size_t *number, struct apiary_error *err)
{
    int fd = -1;
    AP_TRY(ap_memfd_sealed(bytes.data, bytes.size, &fd, err));
    return add_file(set, fd, bytes.size, NULL, name, number, NULL, err);
}

/* The object is to be the one that was found before; wanted "": any is. */
static enum apiary_code check_etag(
    const char *wanted, const char *found, const char *key, struct apiary_error *err)
{
    if (wanted[0] == '\0' || strcmp(wanted, found) == 0) return APIARY_OK;
    return ap_fail(err, APIARY_CORRUPT, "file %s changed after the statement began", key);
}

static enum apiary_code copy_whole(struct ap_cell_grant *cell, const char *etag,
    const struct ap_cancel *cancel, struct apiary_error *err);

/* The whole object: through the cache, or where that has no room, in memory. */
static enum apiary_code fetch_whole(
    struct ap_cell_set *set, struct ap_file_grant *grant, struct apiary_error *err)
{
    uint64_t ignored = 0;
    enum apiary_code code =
        grant->paged ? ap_paged_fetch_all(grant->paged, set->account, set->paging.cancel, err) : APIARY_FULL;
    if (code == APIARY_OK) return ap_paged_open(grant->paged, &grant->fd, &ignored, err);
    if (code != APIARY_FULL) return code;
    struct ap_cell_grant copy = { .store = grant->store, .key = grant->key, .copy_fd = -1 };
    code = copy_whole(&copy, grant->etag, set->paging.cancel, err);
    if (code == APIARY_LIMIT) return ap_hint(err, "it needs room in the cell cache: see cache_limit");
    if (code != APIARY_OK) return code;
    grant->fd = copy.copy_fd;
    return APIARY_OK;
}

enum apiary_code ap_cell_set_fetch(struct ap_cell_set *set, struct apiary_error *err)
{
    /* Called by the statement's thread before a job runs: nobody else adds or asks meanwhile. */
    for (size_t i = 0; i < set->file_count; i++)
        if (set->files[i].store && set->files[i].paged && set->files[i].fd < 0)
            ap_paged_fetch_begin(set->files[i].paged, set->account);
    for (size_t i = 0; i < set->file_count; i++)
        if (set->files[i].store && set->files[i].fd < 0)
            AP_TRY(fetch_whole(set, &set->files[i], err));
    return APIARY_OK;
}

/* A path where there is one, else the URI without its options. */
static enum apiary_code shown_as(
    const struct ap_store *store, const char *key, char **out, struct apiary_error *err)
{
    static const char local[] = "local://";
    AP_AUTO(ap_bytes) text = { 0 };
    bool path = strncmp(store->uri, local, strlen(local)) == 0;
    const char *uri = path ? store->uri + strlen(local) : store->uri;
    size_t size = path ? strlen(uri) : strcspn(uri, "?");
    AP_TRY(ap_bytes_printf(&text, err, "%.*s%s%s", (int)size, uri,
        size > 0 && uri[size - 1] == '/' ? "" : "/", key));
    return ap_bytes_take_text(&text, out, err);
}

enum apiary_code ap_cell_set_add_object(struct ap_cell_set *set, struct ap_store *store,
    const char *key, const struct ap_object *object, bool parquet, struct ap_bytes *virtual_name,
    struct apiary_error *err)
{
    struct ap_file_grant grant = { .fd = -1, .size = object->size };
    size_t number = 0;
    enum apiary_code code = APIARY_OK;
    if (store->is_local) {
        struct ap_object found = { 0 };
        code = ap_store_open_read(store, key, &grant.fd, &found, err);
        if (code == APIARY_OK) code = check_etag(object->etag, found.etag, key, err);
    } else if (set->cache) {
        ap_lock(set->env, set->lock);
        code = ap_cell_page_locked(set, store, key, object->size, object->etag, &grant.paged,
            &grant.scan, &grant.index, err);
        ap_unlock(set->env, set->lock);
    }
    if (code == APIARY_OK && !store->is_local && (!parquet || !grant.paged)) {
        grant.store = store;
        grant.key = ap_strdup(key);
        snprintf(grant.etag, sizeof grant.etag, "%s", object->etag);
        if (!grant.key) code = ap_fail_memory(err, "a file");
    }
    if (code == APIARY_OK) code = shown_as(store, key, &grant.shown, err);
    if (code != APIARY_OK) {
        if (grant.fd >= 0) close(grant.fd);
        ap_paged_unref(grant.paged);
        ap_free(grant.key);
        return code;
    }
    return add_grant(set, grant, NULL, key, &number, virtual_name, err);
}

/* ---- opening ---- */

int ap_fd_again(int fd, const char *path, int flags, int *out)
{
    char link[40];
    struct stat before, after;
    flags = (flags & (O_ACCMODE | O_APPEND)) | O_CLOEXEC | O_NOCTTY;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, flags);
    if (again < 0 && path && fstat(fd, &before) == 0) {
        again = open(path, flags | O_NOFOLLOW | O_NONBLOCK);
        bool same = again >= 0 && fstat(again, &after) == 0 && before.st_dev == after.st_dev &&
                    before.st_ino == after.st_ino;
        if (again >= 0 && !same) {
            close(again);
            return ESTALE;
        }
    }
    if (again < 0) return errno ? errno : EIO;
    *out = again;
    return 0;
}

/* The whole object into memory: what a store that is not local gives until cells are paged. */
static enum apiary_code copy_whole(struct ap_cell_grant *cell, const char *etag,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    int fd = memfd_create("apiary-cell", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) return ap_fail_errno(err, errno, "cannot copy cell %s", cell->key);
    enum apiary_code code = APIARY_OK;
    uint64_t size = UINT64_MAX;
    for (uint64_t at = 0; code == APIARY_OK && at < size;) {
        AP_AUTO(ap_bytes) part = { 0 };
        struct ap_object object = { 0 };
        const struct ap_range range = { at, COPY_CHUNK, false };
        if (ap_cancel_requested(cancel)) {
            code = ap_fail(err, APIARY_CANCELLED, "cancelled");
            break;
        }
        code = ap_store_get(cell->store, cell->key, range, &part, &object, err);
        if (code == APIARY_OK) code = check_etag(etag, object.etag, cell->key, err);
        if (code != APIARY_OK) break;
        size = object.size;
        if (size > COPY_BYTES_MAX)
            code = ap_fail(
                err, APIARY_LIMIT, "cell %s is too large to be copied into memory", cell->key);
        else if (part.size && pwrite(fd, part.data, part.size, (off_t)at) != (ssize_t)part.size)
            code = ap_fail_errno(err, errno, "cannot copy cell %s", cell->key);
        else if (part.size == 0 && at < size)
            code = ap_fail(err, APIARY_CORRUPT, "cell %s ends at %llu of %llu bytes", cell->key,
                (unsigned long long)at, (unsigned long long)size);
        at += part.size;
    }
    if (code != APIARY_OK) {
        close(fd);
        return code;
    }
    int error = ap_memfd_seal(fd);
    if (error != 0) {
        close(fd);
        return ap_fail_errno(err, error, "cannot copy cell %s", cell->key);
    }
    cell->copy_fd = fd;
    return APIARY_OK;
}

static enum apiary_code open_cell(struct ap_cell_grant *cell, uint64_t number, int *fd,
    uint64_t *size, uint64_t paging[2], struct apiary_error *err)
{
    struct ap_object object = { 0 };
    struct stat info;
    int opened = -1;
    if (cell->paged) {
        AP_TRY(ap_paged_open(cell->paged, &opened, &paging[1], err));
        paging[0] = number;
        object.size = cell->size;
    } else if (cell->store->is_local) {
        AP_TRY(ap_store_open_read(cell->store, cell->key, &opened, &object, err));
    } else {
        if (cell->copy_fd < 0) AP_TRY(copy_whole(cell, "", NULL, err));
        int error = ap_fd_again(cell->copy_fd, NULL, O_RDONLY, &opened);
        if (error) return ap_fail_errno(err, error, "cannot open cell %s", cell->key);
        if (fstat(opened, &info) == 0) object.size = (uint64_t)info.st_size;
    }
    if (cell->size != UINT64_MAX && object.size != cell->size) {
        close(opened);
        return ap_fail(err, APIARY_CORRUPT, "cell %s/%s has %llu bytes; the ledger says %llu",
            cell->store->uri, cell->key, (unsigned long long)object.size,
            (unsigned long long)cell->size);
    }
    *fd = opened;
    *size = object.size;
    return APIARY_OK;
}

static bool only_reads(int flags)
{
    return (flags & O_ACCMODE) == O_RDONLY && !(flags & (O_CREAT | O_TRUNC | O_APPEND));
}

static int open_cell_locked(struct ap_cell_set *set, const struct ap_virtual *name, int flags,
    int *fd, uint64_t *size, uint64_t paging[2])
{
    struct apiary_error err = { 0 };
    if (name->number == AP_CANARY_NUMBER) return ap_canary_open(set, fd, size, paging);
    size_t place = place_of(set, name->number);
    if (place == SIZE_MAX) return ENOENT;
    struct ap_cell_grant *cell = &set->cells[place];
    if (strcmp(cell->tail, name->rest) != 0) return ENOENT;
    if (!only_reads(flags)) return EACCES;
    enum apiary_code code = open_cell(
        cell, ap_cell_number(place, false), fd, size, paging, &err);
    if (code == APIARY_OK) return 0;
    if (code == APIARY_NOT_FOUND) {
        ap_fail(&err, code, "cell %s/%s is gone: it was vacuumed, or deleted by hand", cell->store->uri,
            cell->key);
        ap_hint(&err, "run the statement again; a version older than VACUUM keeps is lost");
    }
    return ap_cell_set_fail(set, code, &err);
}

static int open_file_locked(struct ap_cell_set *set, const struct ap_virtual *name, int flags,
    int *fd, uint64_t *size, uint64_t paging[2])
{
    struct apiary_error err = { 0 };
    struct stat info;
    if (name->number >= set->file_count) return ENOENT;
    struct ap_file_grant *file = &set->files[name->number];
    if (strcmp(file->name, name->rest) != 0) return ENOENT;
    if (!only_reads(flags)) return EACCES;
    if (file->store && file->fd < 0) return EIO; /* was never fetched */
    if (file->paged && file->fd < 0) {
        enum apiary_code code = ap_paged_open(file->paged, fd, &paging[1], &err);
        if (code != APIARY_OK) return ap_cell_set_fail(set, code, &err);
        paging[0] = ap_cell_number(name->number, true);
        *size = file->size;
        return 0;
    }
    int opened = -1, error = ap_fd_again(file->fd, file->path, O_RDONLY, &opened);
    if (error) {
        enum apiary_code code =
            ap_fail_errno(&err, error, "cannot read %s", file->path ? file->path : file->name);
        return ap_cell_set_fail(set, code, &err);
    }
    *size = fstat(opened, &info) == 0 ? (uint64_t)info.st_size : file->size;
    *fd = opened;
    return 0;
}

static struct ap_output *output_of(struct ap_cell_set *set, const struct ap_virtual *name)
{
    return name->has_number && name->number < set->output_count ? &set->outputs[name->number]
                                                                : NULL;
}

static int open_out_locked(
    struct ap_cell_set *set, const struct ap_virtual *name, int flags, int *fd, uint64_t *size)
{
    struct ap_output *output = output_of(set, name);
    if (!output) return ENOENT;
    return ap_output_open(set, output, name->rest, flags, fd, size);
}

int ap_cell_set_open(void *context, const char *path, int flags, int *fd, uint64_t *size,
    uint64_t paging[2])
{
    struct ap_cell_set *set = context;
    const struct ap_virtual name = ap_virtual_parse(path);
    int error = ENOENT;
    if (name.kind == AP_VIRTUAL_NONE) return ENOENT;
    if (!*name.rest) return EISDIR;
    ap_lock(set->env, set->lock);
    if (name.kind == AP_VIRTUAL_CELLS)
        error = open_cell_locked(set, &name, flags, fd, size, paging);
    else if (name.kind == AP_VIRTUAL_FILES)
        error = open_file_locked(set, &name, flags, fd, size, paging);
    else
        error = open_out_locked(set, &name, flags, fd, size);
    ap_unlock(set->env, set->lock);
    return error;
}

/* ---- the other questions ---- */

/* Is `name` a folder on the way to `whole`? "" always is. */
static bool is_above(const char *name, const char *whole)
{
    size_t size = strlen(name);
    return size == 0 || (strncmp(name, whole, size) == 0 && whole[size] == '/');
}

static int stat_locked(
    struct ap_cell_set *set, const struct ap_virtual *name, uint64_t *size, bool *directory)
{
    if (!name->has_number) {
        *directory = true;
        *size = 0;
        return 0;
    }
    struct ap_output *output = output_of(set, name);
    if (name->kind == AP_VIRTUAL_OUT)
        return output ? ap_output_stat(output, name->rest, size, directory) : ENOENT;
    bool cells = name->kind == AP_VIRTUAL_CELLS;
    size_t at = cells ? place_of(set, name->number) : name->number;
    if (at == SIZE_MAX || (!cells && at >= set->file_count)) return ENOENT;
    const char *whole = cells ? set->cells[at].tail : set->files[at].name;
    *directory = is_above(name->rest, whole);
    if (!*directory && strcmp(name->rest, whole) != 0) return ENOENT;
    uint64_t known = cells ? set->cells[at].size : set->files[at].size;
    *size = *directory || known == UINT64_MAX ? 0 : known;
    return 0;
}

int ap_cell_set_stat(void *context, const char *path, uint64_t *size, bool *directory)
{
    struct ap_cell_set *set = context;
    const struct ap_virtual name = ap_virtual_parse(path);
    if (name.kind == AP_VIRTUAL_NONE) return ENOENT;
    ap_lock(set->env, set->lock);
    int error = stat_locked(set, &name, size, directory);
    ap_unlock(set->env, set->lock);
    return error;
}

static int list_locked(
    struct ap_cell_set *set, const struct ap_virtual *name, struct ap_texts *names)
{
    struct ap_output *output = output_of(set, name);
    if (name->kind == AP_VIRTUAL_CELLS) return EACCES; /* cells are named, never searched for */
    if (name->kind == AP_VIRTUAL_OUT && name->has_number)
        return output ? ap_output_list(output, name->rest, names) : ENOENT;
    size_t count = name->kind == AP_VIRTUAL_OUT ? set->output_count : set->file_count;
    if (!name->has_number) {
        for (size_t i = 0; i < count; i++)
            if (ap_texts_printf(names, NULL, "%zu/", i) != APIARY_OK) return ENOMEM;
        return 0;
    }
    if (name->number >= count) return ENOENT;
    const char *file = set->files[name->number].name;
    if (strcmp(name->rest, file) == 0) return ENOTDIR;
    if (!is_above(name->rest, file)) return ENOENT;
    const char *next = file + strlen(name->rest) + (*name->rest != 0);
    size_t size = strcspn(next, "/");
    struct ap_str part = { next, size + (next[size] == '/') };
    return ap_texts_add(names, part, NULL) == APIARY_OK ? 0 : ENOMEM;
}

int ap_cell_set_list(void *context, const char *path, struct ap_texts *names)
{
    struct ap_cell_set *set = context;
    const struct ap_virtual name = ap_virtual_parse(path);
    if (name.kind == AP_VIRTUAL_NONE) return ENOENT;
    ap_lock(set->env, set->lock);
    int error = list_locked(set, &name, names);
    ap_unlock(set->env, set->lock);
    return error;
}

int ap_cell_set_rename(void *context, const char *from, const char *to)
{
    struct ap_cell_set *set = context;
    const struct ap_virtual source = ap_virtual_parse(from), target = ap_virtual_parse(to);
    if (source.kind != AP_VIRTUAL_OUT || target.kind != AP_VIRTUAL_OUT) return EACCES;
    if (source.number != target.number) return EXDEV;
    if (!*source.rest || !*target.rest) return EISDIR;
    ap_lock(set->env, set->lock);
    struct ap_output *output = output_of(set, &source);
    int error = output ? ap_output_rename(set, output, source.rest, target.rest) : ENOENT;
    ap_unlock(set->env, set->lock);
    return error;
}

int ap_cell_set_unlink(void *context, const char *path)
{
    struct ap_cell_set *set = context;
    const struct ap_virtual name = ap_virtual_parse(path);
    if (name.kind != AP_VIRTUAL_OUT) return EACCES;
    if (!*name.rest) return EISDIR;
    ap_lock(set->env, set->lock);
    struct ap_output *output = output_of(set, &name);
    int error = output ? ap_output_unlink(set, output, name.rest) : ENOENT;
    ap_unlock(set->env, set->lock);
    return error;
}

/* ---- names for messages ---- */

bool ap_cell_set_real_name(struct ap_cell_set *set, struct ap_str name, struct ap_bytes *out)
{
    AP_AUTO_FREE char *path = ap_str_dup(name);
    if (!path) return false;
    struct ap_virtual at = ap_virtual_parse(path);
    const char *real = NULL;
    ap_lock(set->env, set->lock);
    size_t place = at.has_number && at.kind == AP_VIRTUAL_CELLS ? place_of(set, at.number) : SIZE_MAX;
    if (place != SIZE_MAX) real = set->cells[place].key;
    if (at.has_number && at.kind == AP_VIRTUAL_FILES && at.number < set->file_count)
        real = set->files[at.number].path != NULL ? set->files[at.number].path
                                                  : set->files[at.number].shown;
    bool found = real && ap_bytes_add_text(out, real, NULL) == APIARY_OK;
    ap_unlock(set->env, set->lock);
    return found;
}
