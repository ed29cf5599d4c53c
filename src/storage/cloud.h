/* What backends over HTTP share (S3, Google, Azure): requests with their repetitions, the judgement
 * of answers, ranges, lists, staging. A provider says how a request is written and signed and how
 * its answers are read; it never decides what is repeated.
 *
 * Invariants
 *  (1) A conditional write (put_if_absent, the end of an upload) is sent again only when nothing
 *      of it can have reached the store, or when the store says that it did nothing. Everything
 *      else that is unclear is UNCERTAIN, for slot.c to settle.
 *  (2) No secret is ever in an error, a URI or a log line: errors hold the store's URI, the key,
 *      the status, and the store's own code and message.
 *  (3) A store that throttles is asked less: fewer at a time, and not before it said. */
#ifndef AP_STORAGE_CLOUD_H
#define AP_STORAGE_CLOUD_H

#include "storage/http.h"
#include "storage/store_private.h"

/* What a store says of a request that it refused. */
struct ap_cloud_error {
    char code[64];
    char message[256];
};
/* Cuts the text to its room. */
void ap_cloud_text(char *out, size_t room, struct ap_str text);

/* One page of a list: keys and prefixes as the bucket has them, in its order. */
struct ap_cloud_page {
    struct ap_list list;
    struct ap_bytes next; /* where to go on; empty at the end */
};
void ap_cloud_page_done(struct ap_cloud_page *page);
enum { AP_CLOUD_PAGE_MAX = 5000 };

enum ap_cloud_kind {
    AP_CLOUD_PUT,
    AP_CLOUD_GET,
    AP_CLOUD_HEAD,
    AP_CLOUD_LIST,
    AP_CLOUD_DELETE,
    AP_CLOUD_DELETE_MANY, /* body: the provider's document */
    AP_CLOUD_BEGIN,       /* an upload in parts */
    AP_CLOUD_PART,
    AP_CLOUD_COMPLETE,
    AP_CLOUD_ABORT,
};

struct ap_cloud_call {
    enum ap_cloud_kind kind;
    const char *key; /* below the store's prefix; NULL for lists and DELETE_MANY */
    bool absent;     /* PUT, COMPLETE: only when there is nothing */
    struct ap_str body;
    bool from_file; /* body.size bytes of body_fd from body_offset on */
    int body_fd;
    uint64_t body_offset;
    bool ranged; /* GET */
    struct ap_range range;
    const char *if_etag; /* GET, HEAD */
    const struct ap_list_request
        *list;          /* LIST: prefix and start are whole, with the store's prefix */
    size_t page_size;   /* 0: the store's own */
    const char *token;  /* of the page before; "" for the first */
    const char *upload; /* PART, COMPLETE, ABORT */
    unsigned part;      /* from 1 */
    const char *md5;    /* base64, where a provider wants it */
    uint64_t answer_max;
    /* filled in by ap_cloud_run */
    struct ap_http_request http; /* the answer; ap_cloud_call_done */
    enum apiary_code prepared;   /* not OK: it could not even be built; http.error says why */
    unsigned lessons;            /* that were learnt from its answers */
};
void ap_cloud_call_done(struct ap_cloud_call *call);

/* What an answer can teach, so that the call may be sent again at once. Each only once a call. */
enum { AP_LESSON_CLOCK = 1, AP_LESSON_PLACE = 2, AP_LESSON_CREDENTIALS = 4 };

struct ap_cloud;
struct ap_cloud_upload;

struct ap_cloud_provider {
    bool has_suffix; /* the last n bytes of an object can be asked for */
    bool has_parts;
    bool has_begin; /* parts need a BEGIN, whose answer names the upload */
    /* Writes and signs one attempt: method, url, headers, body of call->http. Called again for
     * each. `url` holds the text that call->http.url points to. */
    enum apiary_code (*sign)(
        struct ap_cloud *, struct ap_cloud_call *, struct ap_bytes *url, struct apiary_error *);
    /* Code and message of an answer's body; empty when it has none. */
    void (*error)(const struct ap_cloud_call *, struct ap_cloud_error *);
    /* Corrects the usual meaning of a status. */
    enum apiary_code (*code)(
        const struct ap_cloud_call *, const struct ap_cloud_error *, enum apiary_code usual);
    /* A lesson of an answer, or 0. */
    unsigned (*learn)(
        struct ap_cloud *, const struct ap_cloud_call *, const struct ap_cloud_error *);
    /* etag, time and (where a header tells) the size of an object, of an answer to GET, HEAD, PUT
     */
    void (*describe)(const struct ap_cloud_call *, struct ap_object *);
    enum apiary_code (*page)(struct ap_str answer, struct ap_cloud_page *, struct apiary_error *);
    /* One request for up to so many keys; NULL: one request each, overlapped. */
    enum apiary_code (*delete_many)(
        struct ap_cloud *, const char *const *keys, size_t count, struct apiary_error *);
    size_t delete_many_max;
    enum apiary_code (*upload_id)(
        const struct ap_cloud_call *, struct ap_bytes *id, struct apiary_error *);
    enum apiary_code (*complete_body)(
        const struct ap_cloud_upload *, struct ap_bytes *body, struct apiary_error *);
    enum apiary_code (*identity)(
        struct ap_cloud *, struct ap_store_identity *, struct apiary_error *);
    void (*close)(struct ap_cloud *); /* what the provider added; frees nothing of ap_cloud */
};

#define AP_CLOUD_PART_BYTES (UINT64_C(16) << 20)
struct ap_cloud {
    struct ap_store store;
    const struct ap_cloud_provider *provider;
    struct ap_http *http;
    struct ap_bytes prefix;          /* of all keys: "" or ends in '/' */
    uint64_t part_bytes;             /* AP_CLOUD_PART_BYTES; tests make it less */
    bool deletes_each;               /* though the provider could delete many at once */
    struct ap_lock *one_writer;      /* held by a put_if_absent of a store for one writer */
    _Atomic int64_t clock_offset_us; /* the store's clock minus ours; for signing only */
    _Atomic int64_t quiet_until_us;  /* monotonic: nothing is sent before */
    _Atomic int64_t slowed_us;       /* monotonic: when the window was last halved */
    _Atomic int window;              /* requests at a time, in sixteenths */
    _Atomic int budget;              /* of repetitions, see cloud_run.c */
};
static inline struct ap_cloud *ap_cloud_of(struct ap_store *store)
{
    return (struct ap_cloud *)(void *)store;
}

/* The calls of a store, for a provider's open. */
extern const struct ap_store_ops ap_cloud_ops;
/* Fills in all but prefix; on failure the caller frees what it added. */
AP_CHECKED enum apiary_code ap_cloud_init(struct ap_cloud *cloud, struct ap_env *env,
    const struct ap_cloud_provider *provider, struct apiary_error *err);
void ap_cloud_close(struct ap_store *store); /* frees it; half-built is fine */

/* ---- cloud_run.c ---- */

/* Runs them all, overlapped, with repetitions, which it counts. Each call ends with an outcome. */
void ap_cloud_run(struct ap_cloud *cloud, struct ap_cloud_call *calls, size_t count);
/* Counts one request. store.c has counted one for each call of the interface; what a backend adds
 * (pages, parts, questions for a size) it counts itself. */
void ap_cloud_count(struct ap_cloud *cloud, const struct ap_cloud_call *call);
/* Whether the store did what was asked: an answer came, with 2xx, and is no error after all. */
bool ap_cloud_good(const struct ap_cloud *cloud, const struct ap_cloud_call *call);
/* The code and message of a call that is not good. `what`: "read", "write", …
 * IO: for sure or harmlessly nothing happened. UNCERTAIN only for conditional writes. */
enum apiary_code ap_cloud_fail(struct ap_cloud *cloud, const struct ap_cloud_call *call,
    const char *what, struct apiary_error *err);
/* An HTTP date ("Fri, 24 May 2013 00:00:00 GMT") in microseconds; false when it is none. */
bool ap_http_date_parse(struct ap_str text, int64_t *us);

/* For a provider's sign: appends "name: value" to the request's headers. */
AP_CHECKED enum apiary_code ap_cloud_header(
    struct ap_cloud_call *call, const char *name, const char *value, struct apiary_error *err);
/* "bytes=0-9"; false when the whole is wanted. */
bool ap_cloud_range_text(const struct ap_cloud_call *call, char out[64]);

/* ---- cloud_digest.c ---- */

/* The sum of a call's body, from memory or its file. codes: IO (the file), MEMORY */
enum ap_cloud_sum { AP_CLOUD_MD5, AP_CLOUD_SHA256 };
enum { AP_CLOUD_SUM_MAX = 64 };
AP_CHECKED enum apiary_code ap_cloud_digest(const struct ap_cloud_call *call, enum ap_cloud_sum sum,
    unsigned char out[AP_CLOUD_SUM_MAX], struct apiary_error *err);
/* Its MD5 sum in base64, appended. */
AP_CHECKED enum apiary_code ap_cloud_md5_text(
    const struct ap_cloud_call *call, struct ap_bytes *out, struct apiary_error *err);

/* ---- cloud_get.c, cloud_list.c, cloud_stage.c ---- */

void ap_cloud_get_many(struct ap_store *store, struct ap_get *gets, size_t count);
/* What an answer's Content-Range tells: "bytes 0-9/100" or "bytes * /100" (without the blank). */
bool ap_cloud_content_range(const struct ap_cloud_call *call, uint64_t *first, uint64_t *size);
enum apiary_code ap_cloud_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err);

/* An upload in parts, begun. */
struct ap_cloud_upload {
    struct ap_bytes key, id;
    uint64_t sent;              /* bytes in parts that arrived; parts follow each other */
    char (*etags)[AP_ETAG_MAX]; /* of each part */
    size_t count, capacity;
};
enum apiary_code ap_cloud_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err);
enum apiary_code ap_cloud_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err);
enum apiary_code ap_cloud_stage_advance(struct ap_store *store, struct ap_stage *stage,
    const char *key, uint64_t written, struct apiary_error *err);
void ap_cloud_stage_drop(struct ap_store *store, struct ap_stage *stage);
/* PUT of memory or (fd >= 0) a file; the call holds the answer. */
AP_CHECKED enum apiary_code ap_cloud_put(
    struct ap_cloud *cloud, struct ap_cloud_call *call, struct apiary_error *err);

#endif
