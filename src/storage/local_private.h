/* The local backend's own: a root directory, opening beneath it, temporary files. */
#ifndef AP_STORAGE_LOCAL_PRIVATE_H
#define AP_STORAGE_LOCAL_PRIVATE_H

#include "storage/store_private.h"

#include <sys/stat.h>

#define AP_LOCAL_TEMP_DIR ".tmp"

enum { AP_LOCAL_EARS_IDLE = 8 }; /* who asks at the same time; a user has 128 as a rule */
struct ap_local {
    struct ap_store store;
    char *root; /* absolute */
    bool fsync;
    int idle_ears[AP_LOCAL_EARS_IDLE]; /* inotify descriptors without folders, kept for the next that listen; -1: none. Atomic */
    _Atomic bool no_openat2; /* the kernel has none: paths are walked part by part; tests set it */
    _Atomic bool no_links;   /* the file system has none: renameat2 instead; tests set it */
    _Atomic bool swept;      /* stale temporary files were looked for */
};

static inline struct ap_local *ap_local_of(struct ap_store *store)
{
    return (struct ap_local *)(void *)store;
}

/* ---- local_path.c: names to descriptors, never leaving the root ---- */

/* The root; with `create` it is made, durably. The root itself may be a symbolic link. */
AP_CHECKED enum apiary_code ap_local_root(
    struct ap_local *local, bool create, int *fd, struct apiary_error *err);
/* Opens `path` beneath root_fd through no symbolic link. flags as open(2) without O_CREAT.
 * 0 or an errno; ELOOP for a symbolic link. */
int ap_local_open_beneath(
    struct ap_local *local, int root_fd, const char *path, int flags, int *fd);
/* The directory that holds `key` and where in key its last part begins. Makes what is missing,
 * durably where `lasting`. INVALID when a part of the key is an object. */
AP_CHECKED enum apiary_code ap_local_parent(struct ap_local *local, int root_fd, const char *key, bool lasting,
    int *dir_fd, const char **leaf, struct apiary_error *err);
/* fsync where the store is to and `lasting`; 0 or an errno. */
int ap_local_sync(struct ap_local *local, int fd, bool lasting);
void ap_fd_close(const int *fd); /* for AP_AUTO_FD; -1 is none */
#define AP_AUTO_FD __attribute__((cleanup(ap_fd_close))) int

/* ---- local_stage.c: files that are not visible yet, and giving them their name ---- */

struct ap_local_temp {
    int dir_fd; /* of .tmp */
    int fd;
    char name[48]; /* "": it has its name, or is gone */
};
#define AP_LOCAL_TEMP_NONE ((struct ap_local_temp) { -1, -1, "" })
void ap_local_temp_done(struct ap_local_temp *temp); /* removes what was not placed */
/* kind: "put" or "stage". Also sweeps stale files once in a store's life. */
AP_CHECKED enum apiary_code ap_local_temp_make(struct ap_local *local, int root_fd,
    const char *kind, struct ap_local_temp *temp, struct apiary_error *err);

/* Each is lost to somebody who took an empty folder away meanwhile: others get on. */
enum { AP_LOCAL_TRIES_MAX = 300 };
enum ap_local_place { AP_PLACE_NEW, AP_PLACE_REPLACE };
/* Makes the temporary file, which must be durable, the object `key`; durable when OK (but for what need not be: !lasting).
 * NEW: CONFLICT when there is one; UNCERTAIN when the disk's answer was lost after the link.
 * REPLACE: IO for all that may be repeated. */
AP_CHECKED enum apiary_code ap_local_place(struct ap_local *local, int root_fd,
    struct ap_local_temp *temp, const char *key, enum ap_local_place how, bool lasting, struct apiary_error *err);
/* CONFLICT when the object exists, before the work of writing it is done; OK else. */
AP_CHECKED enum apiary_code ap_local_check_absent(
    struct ap_local *local, int root_fd, const char *key, bool lasting, struct apiary_error *err);

enum apiary_code ap_local_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err);
enum apiary_code ap_local_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err);

/* ---- local_list.c ---- */

enum apiary_code ap_local_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err);
/* Does the file system take its times, and so perhaps its files, from another machine or a daemon? */
bool ap_local_is_foreign(int fd);

/* ---- local_listen.c ---- */

enum apiary_code ap_local_listen(struct ap_store *store, const char *folder, struct ap_ear *ear, struct apiary_error *err);
void ap_local_unlisten(struct ap_store *store, struct ap_ear *ear);
void ap_local_listen_end(struct ap_local *local);

#endif
