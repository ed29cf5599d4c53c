/* Cells: what lies between a chamber's virtual names and the store.
 *
 * A cell set is the list of files that one job may read and the staging files that it may
 * write; it answers the chamber's questions (struct ap_handler is filled in by query from
 * these functions; cells does not know runtime). Thread-safe: asked on the service thread
 * while the statement's thread waits. */
#ifndef AP_CELLS_CELLS_H
#define AP_CELLS_CELLS_H

#include "cells/cache.h"
#include "cells/cell_names.h"
#include "storage/store.h"

struct ap_cell_set;
AP_CHECKED enum apiary_code ap_cell_set_new(
    struct ap_env *env, struct ap_cell_set **out, struct apiary_error *err);
void ap_cell_set_free(
    struct ap_cell_set *set); /* closes descriptors, removes uncommitted outputs; NULL fine */

/* Cells get the numbers that `names` has for them (borrowed), not 0, 1, 2 in their order. Before the first is added. */
void ap_cell_set_name(struct ap_cell_set *set, struct ap_cell_names *names);
struct ap_paging {
    int threads;        /* of the engine that will read */
    uint64_t gap_bytes; /* as ap_ahead_new has it */
    const struct ap_cancel *cancel; /* of what is fetched before the engine reads; NULL: nobody's; outlives the set */
};
/* Cells of stores that are not local are paged through `cache` from now on (NULL, or never called:
 * copied whole into memory). */
AP_CHECKED enum apiary_code ap_cell_set_page(struct ap_cell_set *set, struct ap_cache *cache,
    const struct ap_paging *how, struct apiary_error *err);
/* Cells that are added from here on are one list that the engine reads in order. */
AP_CHECKED enum apiary_code ap_cell_set_scan(struct ap_cell_set *set, struct apiary_error *err);
/* Words of the statement's text that may name columns: what is asked for along with the first bytes of a
 * row group goes by them, within the bounds of read-ahead. Before the first cell is read. */
AP_CHECKED enum apiary_code ap_cell_set_words(
    struct ap_cell_set *set, const struct ap_texts *words, struct apiary_error *err);
/* Is anything paged? Asks for the footers of all that is. */
bool ap_cell_set_warm(struct ap_cell_set *set);
/* The name of a sparse file of this set by which a chamber proves that it is paged (core/wire.h). */
#define AP_CANARY_NAME "/cells/999999999999999999/canary.parquet"
/* What the paging cost so far; zeros without a cache. */
struct ap_cache_figures ap_cell_set_figures(struct ap_cell_set *set);

/* Grants reading of an object under the virtual name /cells/{n}/{tail}; *number = n. The tail is
 * for the engine's eyes: partition directories and a unique file name. Opened on demand, in
 * place for local stores, else paged (Parquet of a known size) or copied whole into memory.
 * size_bytes: as the ledger says; another size on opening is CORRUPT
 * ("cell changed under its name" / truncated). UINT64_MAX: not known. modified_ms: as the ledger
 * says, -1 if it does not; with another one it is another cell, and gets another number. */
AP_CHECKED enum apiary_code ap_cell_set_add(struct ap_cell_set *set, struct ap_store *store,
    const char *key, uint64_t size_bytes, int64_t modified_ms, const char *tail, size_t *number,
    struct apiary_error *err);
/* Grants reading of a file of the machine (opened now, O_RDONLY) as /files/{n}/{its base name}, with the
 * folders "column=value" that it lies in; characters that the engine takes for a pattern become '_'. Files and bytes share their numbers.
 * object: what was opened, as a local store would tell of it; NULL allowed. */
AP_CHECKED enum apiary_code ap_cell_set_add_file(struct ap_cell_set *set, const char *path, size_t *number,
    struct ap_object *object, struct ap_bytes *virtual_name, struct apiary_error *err);
/* Grants reading of an object of a store as /files/{n}/{name}: found by a listing, so it may be
 * another one by now, which is noticed. parquet: paged; else ap_cell_set_fetch brings it. */
AP_CHECKED enum apiary_code ap_cell_set_add_object(struct ap_cell_set *set, struct ap_store *store,
    const char *key, const struct ap_object *object, bool parquet, struct ap_bytes *virtual_name,
    struct apiary_error *err);
/* The virtual name of a file taken apart: "/files/{number}/{rest}"; false: it is none. */
bool ap_file_name_parse(struct ap_str name, size_t *number, struct ap_str *rest);
/* May the rest of a virtual name stand for this path or key: are its folders and its last name there, but for
 * characters that became '_'? */
bool ap_file_name_fits(struct ap_str rest, struct ap_str path);
/* Fetches the objects that are read whole, all at one time. */
AP_CHECKED enum apiary_code ap_cell_set_fetch(struct ap_cell_set *set, struct apiary_error *err);
/* Grants reading of bytes in memory as /files/{n}/{name}. */
AP_CHECKED enum apiary_code ap_cell_set_add_bytes(struct ap_cell_set *set, struct ap_str bytes,
    const char *name, size_t *number, struct apiary_error *err);

/* An output folder /out/{n}/: files that the chamber creates in it become stages of `store`,
 * or (store NULL) files of the machine at exactly `path` (temporary beside it, renamed when
 * the statement succeeds: ap_output_publish). */
AP_CHECKED enum apiary_code ap_cell_set_add_output(struct ap_cell_set *set, struct ap_store *store,
    const char *path, size_t *number, struct apiary_error *err);
/* Files of output n (of a store) begin to go to the store while they grow, from now on until _end: by a
 * thread of its own, in whole parts, seen by nobody before they are committed. `key` tells the key that
 * a file of this name will be committed under, on that thread; a wrong one costs that the file is sent
 * twice. bytes_max: files that have become larger are not sent on (0: all are). Where the store takes
 * no parts, or there is no thread, nothing happens: the commit sends everything. */
struct ap_output_keys {
    enum apiary_code (*key)(
        void *context, const char *name, struct ap_bytes *key, struct apiary_error *err);
    void *context;
    uint64_t bytes_max;
};
void ap_output_send(struct ap_cell_set *set, size_t number, struct ap_output_keys keys);
void ap_output_send_end(struct ap_cell_set *set); /* waits for what is under way; twice is fine */
/* The key under which the file has begun to go, or NULL. */
const char *ap_output_key(const struct ap_cell_set *set, size_t number, size_t index);
/* The staged files of output n, by their names below /out/{n}/, after the chamber closed them. */
size_t ap_output_count(const struct ap_cell_set *set, size_t number);
const char *ap_output_name(const struct ap_cell_set *set, size_t number, size_t index);
/* Commits one staged file under a key of its store. */
AP_CHECKED enum apiary_code ap_output_commit(struct ap_cell_set *set, size_t number, size_t index,
    const char *key, struct ap_object *object, struct apiary_error *err);
/* Local outputs: moves the file(s) to their path. The chamber writes to /out/{n}/{name}, which
 * stands for the path itself: a file of that name becomes it, files in a folder of that name become
 * a folder at the path. A device, a pipe or /dev/stdout was written as it is. EXISTS when something
 * is there (overwrite: when a folder that holds something, or a thing of the other kind, is there);
 * nothing changed then. */
AP_CHECKED enum apiary_code ap_output_publish(
    struct ap_cell_set *set, size_t number, bool overwrite, struct apiary_error *err);

/* The questions; as struct ap_handler of runtime/pool.h, context = the set. 0 or errno. */
int ap_cell_set_open(
    void *set, const char *path, int flags, int *fd, uint64_t *size, uint64_t paging[2]);
int ap_cell_set_stat(void *set, const char *path, uint64_t *size, bool *directory);
int ap_cell_set_list(void *set, const char *path, struct ap_texts *names);
int ap_cell_set_rename(void *set, const char *from, const char *to);
int ap_cell_set_unlink(void *set, const char *path);
void ap_cell_set_range(
    void *set, uint64_t number, uint64_t offset, uint64_t length, struct ap_page_wait wait);
int ap_cell_set_map(void *set, int *fd);
int ap_cell_set_take(void *set, struct ap_page_wait wait, struct ap_bytes *out);
/* What a virtual name stands for: the object's key or the file's path. false: nothing. */
bool ap_cell_set_real_name(struct ap_cell_set *set, struct ap_str name, struct ap_bytes *out);
/* The first failure of opening or writing (an errno hides what it was), or OK. */
enum apiary_code ap_cell_set_trouble(struct ap_cell_set *set, struct apiary_error *err);

/* Appends "{col}={value}" percent-encoded outside A–Z a–z 0–9 . _ -, value at most 100 bytes, else
 * the first 60 + ~ + hash; a null value is __HIVE_DEFAULT_PARTITION__ (design, section 7). */
AP_CHECKED enum apiary_code ap_partition_folder(struct ap_bytes *out, struct ap_str column,
    struct ap_str value /* data NULL = null */, struct apiary_error *err);
/* Appends "{folders}cell_{uuid7}.parquet"; folders is empty or ends in '/'. */
AP_CHECKED enum apiary_code ap_cell_new_key(
    struct ap_env *env, struct ap_bytes *out, struct ap_str folders, struct apiary_error *err);
/* Is it a key that this may have made, in these folders? */
bool ap_cell_is_key(struct ap_str key, struct ap_str folders);

/* Precise cutting: bytes of a cell for workers with so much memory per bee:
 * memory ÷ 4, at least 16 MiB; the ceiling is twice that. `setting` 0 or target_cell_size. */
struct ap_leafcutter {
    uint64_t target_bytes;
    uint64_t ceiling_bytes;
    uint64_t row_group_rows;
};
struct ap_leafcutter ap_leafcut(uint64_t memory_per_bee_bytes, uint64_t setting);
/* The same sizes with row groups narrow enough for rows like those of a file that came out too large:
 * several row groups must fit into a cell. */
struct ap_leafcutter ap_leafcut_rows(struct ap_leafcutter cut, uint64_t rows, uint64_t bytes);
/* How many of the cells from `first` on make one task for a worker with so much memory per bee:
 * neighbours up to its target; at least one. A smaller worker gets smaller tasks. */
size_t ap_leafcut_task(
    const uint64_t *cell_bytes, size_t count, size_t first, uint64_t memory_per_bee_bytes);
/* The memory that a worker must have for a task over so many bytes of cells, so that they are no more than its
 * ceiling; 0: any worker will do. */
uint64_t ap_leafcut_memory(uint64_t task_bytes);

#endif
