/* A cell set inside; private to this room. */
#ifndef AP_CELLS_PRIVATE_H
#define AP_CELLS_PRIVATE_H

#include "cells/ahead.h"
#include "cells/cells.h"
#include "core/map.h"

enum {
    AP_VIRTUAL_PATH_MAX = 63 * 1024, /* bytes of a virtual name; the wire's limit is above */
    AP_VIRTUAL_PART_MAX = 32 * 1024, /* bytes of one part of it: a partition value, encoded */
    AP_PLAIN_NAME_MAX = 255,         /* bytes of what a file of the machine is shown as */
    AP_CELLS_MAX = 1000000,          /* grants of one set */
    AP_OUT_FILES_MAX = 200000,       /* files below one output */
    AP_OUT_OPEN_MAX = 200,           /* staged files whose descriptor is kept open */
};

/* An object that may be read. */
struct ap_cell_grant {
    struct ap_store *store;
    char *key;
    char *tail;
    uint64_t size; /* UINT64_MAX: not known */
    struct ap_paged *paged; /* NULL: local, or copied */
    size_t scan, index;     /* of a paged one: its list, and where in it */
    int copy_fd; /* a store that is not local: the whole object in memory, once it was asked for; -1
                  */
};

/* A file of the machine, or bytes, that may be read. */
struct ap_file_grant {
    int fd;
    char *path; /* NULL: bytes */
    char *shown; /* an object: what messages call it */
    char etag[AP_ETAG_MAX]; /* of an object that is read whole; "": any */
    struct ap_paged *paged; /* an object of a store; NULL: none */
    struct ap_store *store; /* of an object that is read whole: fd is -1 until it was fetched */
    char *key;
    size_t scan, index;
    char *name; /* below /files/{n}/ */
    uint64_t size;
};

/* A file that the chamber wrote. */
struct ap_out_file {
    char *name;             /* below /out/{n}/ */
    struct ap_stage *stage; /* outputs of a store; NULL once it was committed */
    int fd;                 /* files of the machine; -1: parked, or a device that was handed out */
    char *path;             /* files of the machine: where it lies for now */
    char *key;              /* under which it has begun to go to the store (sender.c) */
    bool unsendable;        /* ahead of the commit: that failed */
};

struct ap_output {
    struct ap_store *store; /* NULL: files of the machine */
    char *path;             /* of the machine: where they go in the end */
    char *folder;           /* of the machine: holds them until then; NULL: not made yet */
    bool direct; /* path is a device, a pipe, or a descriptor of the process: written as it is */
    struct ap_out_file *files;
    size_t count, capacity;
    size_t named; /* temporary names given */
    size_t open;  /* descriptors held */
};

struct ap_cell_set {
    struct ap_env *env;
    struct ap_lock
        *lock; /* guards all below: grants by the statement's thread, questions by the service's */
    struct ap_cell_grant *cells;
    size_t cell_count, cell_capacity;
    struct ap_cell_names *names; /* NULL: a cell's number is its place */
    struct ap_map places;        /* of numbers that came from `names` */
    struct ap_file_grant *files;
    size_t file_count, file_capacity;
    struct ap_output *outputs;
    size_t output_count, output_capacity;
    struct apiary_error trouble; /* the first failure; code 0: none */
    struct ap_cache *cache; /* NULL: nothing is paged */
    struct ap_account *account;
    struct ap_texts words; /* that may be names of columns: for read-ahead */
    struct ap_ahead **scans;
    size_t scan_count, scan_capacity;
    struct ap_paging paging;
    struct ap_canary *canary; /* NULL: not opened */
    struct ap_sender *sender; /* NULL: nothing is sent ahead of the commit */
};

/* cell_paging.c; the set's lock is held. */
#define AP_CANARY_NUMBER UINT64_C(999999999999999999) /* eighteen nines: cells are counted from 0 */
bool ap_cell_pages(const struct ap_cell_set *set, const struct ap_store *store, uint64_t size,
    const char *name);
AP_CHECKED enum apiary_code ap_cell_page_locked(struct ap_cell_set *set, struct ap_store *store,
    const char *key, uint64_t size, const char *etag, struct ap_paged **paged, size_t *scan,
    size_t *index, struct apiary_error *err);
/* What RANGE calls a paged cell or file. */
uint64_t ap_cell_number(size_t index, bool file);
int ap_canary_open(struct ap_cell_set *set, int *fd, uint64_t *size, uint64_t paging[2]);
void ap_cell_paging_done(struct ap_cell_set *set); /* before its cells are let go */

enum ap_virtual_kind { AP_VIRTUAL_NONE, AP_VIRTUAL_CELLS, AP_VIRTUAL_FILES, AP_VIRTUAL_OUT };
/* A virtual name taken apart. Untrusted: anything that is not one of ours is NONE. */
struct ap_virtual {
    enum ap_virtual_kind kind;
    bool has_number;
    size_t number;
    const char
        *rest; /* behind "/{kind}/{n}/": parts without "." and ".."; "" for the folder itself */
};
struct ap_virtual ap_virtual_parse(const char *path);
/* No empty part, no "." or "..", no control character, no part too long. */
bool ap_virtual_rest_fine(const char *rest);

/* Another open file description of what fd is: offsets are not shared. An errno, or 0. path: the
 * file, for a machine without /proc; it must still be the same file. */
int ap_fd_again(int fd, const char *path, int flags, int *out);
/* Remembers the first failure and gives the errno for the chamber. */
int ap_cell_set_fail(
    struct ap_cell_set *set, enum apiary_code code, const struct apiary_error *err);

/* output.c; the set's lock is held. */
void ap_output_done(struct ap_output *output);
int ap_output_open(struct ap_cell_set *set, struct ap_output *output, const char *name, int flags,
    int *fd, uint64_t *size);
int ap_output_stat(
    const struct ap_output *output, const char *name, uint64_t *size, bool *directory);
int ap_output_list(const struct ap_output *output, const char *name, struct ap_texts *names);
int ap_output_rename(
    struct ap_cell_set *set, struct ap_output *output, const char *from, const char *to);
int ap_output_unlink(struct ap_cell_set *set, struct ap_output *output, const char *name);

/* sender.c; the set's lock is held. Waits until nothing of the stage is being sent. */
void ap_sender_wait_locked(struct ap_cell_set *set, const struct ap_stage *stage);

#endif
