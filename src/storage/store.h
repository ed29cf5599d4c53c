/* The store: the only thing that nodes share. Five calls are relied on and no
 * more: put, put-if-not-exists, ranged get, list, delete (swarm.md).
 *
 * Keys are relative to the store's root: segments of any bytes but NUL, '/' between
 * them; no empty segment, no "." or "..", no '\\', no leading or trailing '/', at most
 * 1024 bytes. No key is a path prefix of another key. ap_store_key_check enforces it
 * and every call refuses a bad key with INVALID. Names that begin with '.' are kept for
 * temporary files (ours and other engines'): they are never listed, and writing or
 * deleting one is INVALID.
 *
 * A store is thread-safe. All waits go through the env given at open. */
#ifndef AP_STORAGE_STORE_H
#define AP_STORAGE_STORE_H

#include "core/env.h"
#include "core/str.h"

#include <stddef.h>

enum { AP_KEY_MAX = 1024, AP_ETAG_MAX = 80, AP_LIST_PAGE = 1000 };

/* What a store says of an object. */
struct ap_object {
    char *key;           /* owned by the list; NULL in answers to get */
    uint64_t size;       /* bytes of the whole object */
    int64_t modified_us; /* by the store's clock, microseconds since the epoch */
    char etag[AP_ETAG_MAX];
};

struct stat;
/* A file of the machine as a local store tells of it, in the same etag. */
void ap_local_describe(const struct stat *info, struct ap_object *out);

/* A range of an object. length UINT64_MAX: to the end. suffix: the last `length` bytes. */
struct ap_range {
    uint64_t offset;
    uint64_t length;
    bool suffix;
};
#define AP_RANGE_ALL ((struct ap_range) { 0, UINT64_MAX, false })

/* Zero it before the first use; a second use frees the first answer. */
struct ap_get {
    const char *key;
    struct ap_range range;
    const char *if_etag; /* NULL: any; else CONFLICT when the object is another one by now */
    uint64_t size_max;   /* 0: no bound; LIMIT when the answer would be larger */
    /* answers */
    enum apiary_code code;
    struct ap_bytes body;
    struct ap_object object;
    struct apiary_error error;
};

struct ap_list_request {
    const char *prefix;      /* "" for all; compared byte by byte, need not end in '/' */
    const char *start_after; /* NULL or any text: only greater keys and prefixes, byte order */
    bool delimited;          /* true: one level; deeper keys collapse into prefixes ending in '/' */
    size_t limit;            /* 0: all; else at most so many keys and prefixes */
};
struct ap_list {
    struct ap_object *objects; /* byte order of keys */
    size_t count;
    size_t capacity;
    struct ap_texts prefixes; /* common prefixes, byte order; only when delimited */
    int64_t now_us;           /* the store's clock at the (last) answer */
    bool more;                /* the limit cut the answer */
};
void ap_list_done(struct ap_list *list);

/* Requests counted by kind: what is paid for. A repeated request counts again under its kind and
 * once more in retries; each page of a list is one; a part of an upload, its beginning and its end
 * are puts. gets are whole objects (and questions for a size), ranges are parts. bytes_in and
 * bytes_out are contents of objects. Local stores count calls. */
#define AP_STORE_COUNTS(X)                                                                         \
    X(puts)                                                                                        \
    X(puts_if_absent)                                                                              \
    X(gets)                                                                                        \
    X(ranges)                                                                                      \
    X(lists)                                                                                       \
    X(deletes)                                                                                     \
    X(retries)                                                                                     \
    X(bytes_in)                                                                                    \
    X(bytes_out)
struct ap_store_counts {
#define AP_STORE_COUNTS_MEMBER(name) uint64_t name;
    AP_STORE_COUNTS(AP_STORE_COUNTS_MEMBER)
#undef AP_STORE_COUNTS_MEMBER
};

/* Whose rights a store goes by. Never a secret. */
enum { AP_IDENTITY_MAX = 320 };
struct ap_store_identity {
    char source[AP_IDENTITY_MAX]; /* "environment (AWS_ACCESS_KEY_ID)", "managed identity …" */
    char who[AP_IDENTITY_MAX];    /* a part of the key's id, an account; may be empty */
    int64_t expires_us;           /* wall clock; 0: never */
};

/* A file being written that is not visible yet; see ap_store_stage. */
struct ap_stage;
struct ap_ear; /* see ap_store_listen */

struct ap_store;
struct ap_store_ops {
    enum apiary_code (*put)(
        struct ap_store *, const char *key, struct ap_str body, struct apiary_error *);
    enum apiary_code (*put_if_absent)(
        struct ap_store *, const char *key, struct ap_str body, struct apiary_error *);
    void (*get_many)(struct ap_store *, struct ap_get *gets, size_t count);
    enum apiary_code (*list)(
        struct ap_store *, const struct ap_list_request *, struct ap_list *, struct apiary_error *);
    /* NOT_FOUND is not reported: deleting nothing is success */
    enum apiary_code (*delete_many)(
        struct ap_store *, const char *const *keys, size_t count, struct apiary_error *);
    enum apiary_code (*open_read)(
        struct ap_store *, const char *key, int *fd, struct ap_object *, struct apiary_error *);
    enum apiary_code (*stage)(struct ap_store *, struct ap_stage **, struct apiary_error *);
    enum apiary_code (*stage_commit)(struct ap_store *, struct ap_stage *, const char *key,
        struct ap_object *, struct apiary_error *);
    /* For what need not outlive the machine; NULL: as the others */
    enum apiary_code (*put_fleeting)(
        struct ap_store *, const char *key, struct ap_str body, bool if_absent, struct apiary_error *);
    enum apiary_code (*delete_fleeting)(struct ap_store *, const char *key, struct apiary_error *);
    /* NULL: nobody can be heard */
    enum apiary_code (*listen)(struct ap_store *, const char *folder, struct ap_ear *, struct apiary_error *);
    void (*unlisten)(struct ap_store *, struct ap_ear *);
    /* NULL: nothing is sent early */
    enum apiary_code (*stage_advance)(struct ap_store *, struct ap_stage *, const char *key,
        uint64_t written, struct apiary_error *);
    void (*stage_drop)(struct ap_store *, struct ap_stage *); /* NULL: nothing to undo */
    /* NULL: nobody in particular */
    enum apiary_code (*identity)(
        struct ap_store *, struct ap_store_identity *, struct apiary_error *);
    void (*close)(struct ap_store *);
};
struct ap_store {
    const struct ap_store_ops *ops;
    struct ap_env *env;
    char *uri;           /* canonical, without secrets */
    bool is_local;       /* open_read gives descriptors: cells are read in place (local, memory) */
    bool shared_writing; /* false: put_if_absent is not safe between processes here */
    bool is_remote;      /* a bucket: what put_if_absent promises is to be proved (prove.h) */
    bool one_writer;     /* opened so: only one process writes, put_if_absent looks and writes */
    bool proved;         /* that put_if_absent holds; relaxed atomic */
    struct ap_store_counts counts; /* updated with relaxed atomics */
};

/* What one statement (or any other piece of work) asks of stores: while a scope is in force, all
 * calls of this thread (in the simulator: of this coroutine) count in `counts` too, whatever the
 * store. Several threads may share one `counts`. Returns what was in force before: end a scope by
 * putting that back. NULL: none.
 *
 *     struct ap_store_counts *before = ap_store_scope(env, &statement->counts);
 *     … ap_store_get(…) …
 *     ap_store_scope(env, before); */
struct ap_store_counts *ap_store_scope(struct ap_env *env, struct ap_store_counts *counts);
void ap_store_counts_add(struct ap_store_counts *sum, const struct ap_store_counts *more);
uint64_t ap_store_counts_requests(const struct ap_store_counts *counts); /* of all kinds */

/* Opens the store of a root URI: a plain path, "~/x", "file:///x", "local://x",
 * "memory://name" (shared by name within one process is NOT promised: each open is
 * a new empty store), "s3://bucket/prefix", "gs://bucket/prefix", "az://container/prefix" (options
 * behind '?': docs/stores.md; nobody is asked before the first call). Other schemes: UNSUPPORTED
 * with the name. Creates nothing. fsync: local stores wait for the disk. The URI may hold no
 * secrets. */
struct ap_store_options {
    bool fsync;
};
AP_CHECKED enum apiary_code ap_store_open(struct ap_env *env, const char *uri,
    const struct ap_store_options *options, struct ap_store **out, struct apiary_error *err);
void ap_store_close(struct ap_store *store);
/* The absolute canonical form of a root ("local:///abs/path", …) without opening it. */
AP_CHECKED enum apiary_code ap_store_canonical(
    const char *uri, struct ap_bytes *out, struct apiary_error *err);

/* Who we are to it; finds credentials where that is needed. codes: CONFIG, DENIED, IO */
AP_CHECKED enum apiary_code ap_store_identity(
    struct ap_store *store, struct ap_store_identity *out, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_store_key_check(const char *key, struct apiary_error *err);

/* Writes or replaces an object; atomic: readers see the old one or the new one whole.
 * codes: OK durable and visible; IO nothing promised (old or new stands), may be repeated;
 *        DENIED, FULL, INVALID */
AP_CHECKED enum apiary_code ap_store_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err);

/* Creates the object unless the key exists. Exactly one of any number of racing callers
 * gets OK.
 * codes: OK        the object is durable and visible to every reader
 *        CONFLICT  the key exists; nothing was written
 *        UNCERTAIN the reply was lost: get the key to learn what happened
 *        IO        nothing was written; the caller may repeat the call */
AP_CHECKED enum apiary_code ap_store_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err);

/* The same for objects that need not outlive the machine that the store lies on: the disk is not waited for.
 * After a loss of power such an object may be there, be gone, or hold other bytes than were written; one that
 * was deleted may be there again. Until then nothing differs. Only for what a reader checks by a hash, or for
 * what says nothing but that it is there. */
AP_CHECKED enum apiary_code ap_store_put_fleeting(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_store_put_fleeting_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_store_delete_fleeting(
    struct ap_store *store, const char *key, struct apiary_error *err);

/* Reads an object or a range of it. object may be NULL. A range that begins behind the
 * end gives 0 bytes. codes: NOT_FOUND, IO, DENIED, LIMIT, CORRUPT (short answer) */
AP_CHECKED enum apiary_code ap_store_get(struct ap_store *store, const char *key,
    struct ap_range range, struct ap_bytes *body, struct ap_object *object,
    struct apiary_error *err);
/* Many at once, overlapped inside the backend; each has its own code and error. */
void ap_store_get_many(struct ap_store *store, struct ap_get *gets, size_t count);
void ap_get_done(struct ap_get *get); /* frees the answer */

/* Lists keys in byte order. Strongly consistent with completed writes of this and other
 * processes; objects that come or go meanwhile may or may not be in it. A prefix without
 * objects gives an empty list. Temporary files never show. */
AP_CHECKED enum apiary_code ap_store_list(struct ap_store *store,
    const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_store_delete(
    struct ap_store *store, const char *key, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_store_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err);

/* A read-only descriptor (O_CLOEXEC, the caller's) of the whole object. Local stores open
 * in place, beneath the root and through no symbolic link; memory stores hold the object in a
 * memfd from then on; others are UNSUPPORTED. */
AP_CHECKED enum apiary_code ap_store_open_read(struct ap_store *store, const char *key, int *fd,
    struct ap_object *object, struct apiary_error *err);

/* Hearing of objects before the next look: `fd` polls readable when something right in one of the folders may have
 * been created or replaced. A hint and no more: what is heard is to be looked at, and looks go on without it.
 * One thread's at a time. */
enum { AP_EAR_FOLDERS_MAX = 4 };
struct ap_ear {
    int fd; /* non-blocking, O_CLOEXEC; -1: nothing is listened to */
    int folders[AP_EAR_FOLDERS_MAX], count;
};
#define AP_EAR_NONE ((struct ap_ear) { .fd = -1 })
/* Listens to one folder more (a prefix without its last '/'). codes: NOT_FOUND (no such folder yet), UNSUPPORTED (others
 * than processes of this machine may write there, or the kernel gives no descriptor), LIMIT (of folders), DENIED */
AP_CHECKED enum apiary_code ap_store_listen(
    struct ap_store *store, const char *folder, struct ap_ear *ear, struct apiary_error *err);
/* Takes what was heard since. true: the object or folder of this last part (NULL: any) was among it, or may have been. */
bool ap_ear_heard(const struct ap_ear *ear, const char *name);
void ap_store_unlisten(struct ap_store *store, struct ap_ear *ear); /* fd becomes -1 */

/* Staging: a file that a chamber writes. It is invisible to list and get until
 * ap_stage_commit moves it to its key (same file system, no copy; other backends upload).
 * The key must be new (cells have unique names): CONFLICT otherwise.
 * commit: durable when it returns OK (the file and its directories, if fsync). */
struct ap_stage {
    struct ap_store *store;
    int fd;       /* read-write, O_CLOEXEC; dup it to hand it out */
    char *path;   /* where it lies; NULL: it has no name (memfd, O_TMPFILE) */
    void *upload; /* the backend's: what was sent so far */
};
AP_CHECKED enum apiary_code ap_store_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_stage_commit(struct ap_stage *stage, const char *key,
    struct ap_object *object, struct apiary_error *err); /* the stage must still be closed */
/* Sends what is complete of a file that still grows, so that commit has only the rest to send: the
 * bytes before `written` will not change. `key`: the one that commit will get. Call it whenever the
 * file has grown (a call with little news does nothing; parts are sent several at a time), and by
 * one thread at a time. Nothing becomes visible. Stores that have files in place do nothing.
 * A failure is no harm: commit tries again what was not sent. */
AP_CHECKED enum apiary_code ap_stage_advance(
    struct ap_stage *stage, const char *key, uint64_t written, struct apiary_error *err);
void ap_stage_close(struct ap_stage *stage); /* removes what was not committed; NULL fine */

/* ---- for backends and wrappers of stores ---- */

/* Counts in the store and in the scope that is in force: ap_store_tally(store, gets, 1). */
#define ap_store_tally(store, name, by)                                                            \
    ap_store_tally_at(store, offsetof(struct ap_store_counts, name), by)
void ap_store_tally_at(struct ap_store *store, size_t offset, uint64_t by);
/* The bytes that a range means of an object of `size`; length 0 when it begins behind the end. */
void ap_range_resolve(struct ap_range range, uint64_t size, uint64_t *offset, uint64_t *length);
/* Appends a copy of key and object. The caller keeps the order. */
AP_CHECKED enum apiary_code ap_list_add(struct ap_list *list, const char *key,
    const struct ap_object *object, struct apiary_error *err);

#endif
