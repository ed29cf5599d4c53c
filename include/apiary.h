/* Apiary: one SQL engine over shared open tables, with object storage as the
 * only thing that machines share. This is the whole public interface.
 *
 * Conventions
 *   - A function that can fail returns an apiary_code (0 is success), takes the
 *     caller's `struct apiary_error *` last (NULL is allowed) and leaves its
 *     outputs alone on failure.
 *   - `open`/`close` pair up; closing NULL does nothing.
 *   - Strings are UTF-8. A `const char *` argument ends in NUL and is borrowed
 *     for the call; a returned `char *` is owned by the caller: apiary_free.
 *   - A handle (struct apiary) may be used from any thread at once. A session
 *     runs one statement at a time; open one session for each thread.
 *   - Nothing here installs signal handlers, changes the working directory or
 *     prints. Handles must not be used after fork(): that is APIARY_INVALID.
 *   - Data in and out are Arrow C streams (Arrow C data interface, spec 1.0).
 */
#ifndef APIARY_H
#define APIARY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define APIARY_API __attribute__((visibility("default")))
#else
#define APIARY_API
#endif

/* ---- Arrow C data interface (the published ABI, guarded as it asks) ---- */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *out);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *out);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

#endif /* ARROW_C_STREAM_INTERFACE */

/* ---- errors ---- */

/* name, value, meaning. Values are explicit and are never reused. */
#define APIARY_CODES(X)                                                        \
    X(OK, 0, "success")                                                        \
    X(INVALID, 1, "the call or the argument makes no sense")                   \
    X(CONFLICT, 2, "another writer got there first")                           \
    X(UNCERTAIN, 3, "the request may or may not have taken effect")            \
    X(IO, 4, "storage failed and nothing took effect")                         \
    X(NOT_FOUND, 5, "there is no such thing")                                  \
    X(EXISTS, 6, "there is one already")                                       \
    X(CORRUPT, 7, "stored bytes are not what they should be")                  \
    X(UNSUPPORTED, 8, "this is not supported")                                 \
    X(SQL, 9, "the statement is wrong")                                        \
    X(SCHEMA, 10, "the data does not fit the frame")                           \
    X(MEMORY, 11, "the memory budget does not suffice")                        \
    X(CANCELLED, 12, "cancelled")                                              \
    X(TIMEOUT, 13, "it took too long")                                         \
    X(DENIED, 14, "not permitted")                                             \
    X(CONFIG, 15, "a setting is wrong")                                        \
    X(FULL, 16, "no space is left")                                            \
    X(CHAMBER, 17, "a sealed chamber died")                                    \
    X(BUSY, 18, "too much work is waiting")                                    \
    X(LIMIT, 19, "a named limit was reached")                                  \
    X(INTERNAL, 20, "a fault of Apiary itself")                                \
    X(ABANDONED, 21, "given up after several tries")

enum apiary_code {
#define APIARY_CODE_MEMBER(name, value, text) APIARY_##name = value,
    APIARY_CODES(APIARY_CODE_MEMBER)
#undef APIARY_CODE_MEMBER
};

/* Filled in by a failing call. `message` is one line in the user's words;
 * `hint` says what to do and may be empty. Both end in NUL. */
struct apiary_error {
    int32_t code;
    char message[2044];
    char hint[512];
};

/* "CONFLICT" for 2; "UNKNOWN" for a value that is no code. Static storage. */
APIARY_API const char *apiary_code_name(int code);
/* The meaning of a code, as in the table above. Static storage. */
APIARY_API const char *apiary_code_text(int code);

/* ---- library ---- */

/* "0.1.0". Static storage. */
APIARY_API const char *apiary_version(void);
/* Frees what a call returned as `char *`. */
APIARY_API void apiary_free(char *text);

/* ---- handle ---- */

struct apiary; /* one storage root, its settings, its pool of bees */

struct apiary_setting {
    const char *key; /* as in docs/configuration.md, e.g. "memory_limit" */
    const char *value;
};

/* Opens a storage root: a directory ("data", "~/data", "local:///data"),
 * "memory://", or a bucket URI. NULL or "": the `storage` setting, by default a
 * directory of the user. Nothing is created before the first write, and no
 * chamber is started before the first statement that needs one.
 * Arguments beat the environment, which beats apiary.toml (docs/configuration.md).
 * codes: CONFIG, INVALID, IO, DENIED, NOT_FOUND */
APIARY_API int apiary_open(const char *storage, const struct apiary_setting *settings,
    size_t setting_count, struct apiary **out, struct apiary_error *err);
/* Ends what runs, joins every thread, removes scratch. Sessions must be closed. */
APIARY_API void apiary_close(struct apiary *handle);

/* Joins the swarm as a node called `name` (first heartbeat is written when this
 * returns) / leaves it. Stopping a node that never started is fine. */
APIARY_API int apiary_node_start(struct apiary *handle, const char *name, struct apiary_error *err);
APIARY_API int apiary_node_stop(struct apiary *handle, struct apiary_error *err);

/* JSON documents for status displays.
 * what: "status", "bees", "swarm", "colony", "config" (value and origin of each key), "cache" (what
 * this machine keeps of remote cells), "whoami" (whose rights the store goes by, and until when; never
 * a secret), "storage" (requests and bytes since it was opened, and what they cost by the table of
 * prices) */
APIARY_API int apiary_status(struct apiary *handle, const char *what, char **json, struct apiary_error *err);
/* Removes from this machine's cache of remote cells what nobody reads now. *bytes: what is gone. */
APIARY_API int apiary_cache_clear(struct apiary *handle, int64_t *bytes, struct apiary_error *err);

/* ---- session ---- */

struct apiary_session; /* current hive and box, settings, temporary objects of one user */

APIARY_API int apiary_session_open(struct apiary *handle, struct apiary_session **out, struct apiary_error *err);
APIARY_API void apiary_session_close(struct apiary_session *session);

/* Asks the running statement of the session to stop. Callable from any thread
 * and from a signal handler; does nothing when nothing runs. */
APIARY_API void apiary_cancel(struct apiary_session *session);

/* Called about ten times a second from the thread that runs the statement.
 * fraction: 0..1, or -1 where it is not known. */
typedef void (*apiary_progress)(void *context, double fraction, int64_t rows, int64_t bytes);
APIARY_API void apiary_session_progress(struct apiary_session *session, apiary_progress progress, void *context);

/* ---- statements ---- */

enum apiary_value_type {
    APIARY_VALUE_NULL = 0,
    APIARY_VALUE_BOOL = 1,
    APIARY_VALUE_INT64 = 2,
    APIARY_VALUE_UINT64 = 3,
    APIARY_VALUE_DOUBLE = 4,
    APIARY_VALUE_TEXT = 5,
    APIARY_VALUE_BLOB = 6,
    APIARY_VALUE_DATE = 7,         /* integer: days since 1970-01-01 */
    APIARY_VALUE_TIMESTAMP = 8,    /* integer: microseconds since the epoch, no zone */
    APIARY_VALUE_TIMESTAMP_TZ = 9, /* integer: microseconds since the epoch, UTC */
    APIARY_VALUE_TIME = 10,        /* integer: microseconds since midnight */
    APIARY_VALUE_DECIMAL = 11,     /* text: digits with an optional point, up to 38 digits */
    APIARY_VALUE_LIST = 12
};

/* One parameter. `name` is NULL for `?` and `$1`, in order. */
struct apiary_value {
    const char *name;
    enum apiary_value_type type;
    int64_t integer; /* BOOL, INT64, UINT64 (as bits), DATE, TIMESTAMP*, TIME */
    double real;
    const char *text; /* TEXT, BLOB, DECIMAL: `length` bytes, no NUL needed */
    size_t length;    /* bytes of text, or number of items */
    const struct apiary_value *items;
};

/* A named Arrow stream that statements of one call may read as a table. */
struct apiary_table {
    const char *name;
    struct ArrowArrayStream *stream; /* moved in: released by the call */
};

/* Asked for a name of one part that is no frame and no view: fills *out (moved in) and returns 1,
 * or returns 0. Called from the thread that runs the statement. */
typedef int (*apiary_find_table)(void *context, const char *name, struct ArrowArrayStream *out);

struct apiary_query {
    const char *sql;
    size_t length; /* bytes of sql */
    const struct apiary_value *values;
    size_t value_count;
    const struct apiary_table *tables; /* found before frames and views of the same name */
    size_t table_count;
    apiary_find_table find_table; /* may be NULL; found after them */
    void *find_context;
};

struct apiary_result;

/* Finds the next statement in a text at `*position`: [*start, *end) without its
 * semicolon, and moves *position behind it. 1 = found, 0 = none is left.
 * *complete tells whether the text ended it with ';' (a shell waits for that). */
APIARY_API int apiary_next_statement(const char *sql, size_t length, size_t *position,
    size_t *start, size_t *end, int *complete);

/* Runs the statements of the text in order and stops at the first error, which
 * says what was done before. The result is that of the last statement; it must
 * be closed before the session runs another one (or it is cut short).
 * codes: SQL, NOT_FOUND, EXISTS, SCHEMA, CONFLICT, UNCERTAIN, MEMORY, CANCELLED,
 *        CORRUPT, IO, UNSUPPORTED, ... */
APIARY_API int apiary_sql(struct apiary_session *session, const struct apiary_query *query,
    struct apiary_result **out, struct apiary_error *err);

/* Tells whether a statement answers with rows (SELECT, SHOW …) or only did something. */
APIARY_API int apiary_result_has_rows(const struct apiary_result *result);
/* Rows written or changed by a statement that writes; -1 where that means nothing. */
APIARY_API int64_t apiary_result_rows_changed(const struct apiary_result *result);
/* "Created frame main.main.t." and the like, or "". Borrowed from the result. */
APIARY_API const char *apiary_result_message(const struct apiary_result *result);
/* Notices (dropped columns, mapped types …), one a line, or "". Borrowed. */
APIARY_API const char *apiary_result_notices(const struct apiary_result *result);
/* Moves the rows out as an Arrow stream, once. Buffers are the chamber's shared
 * memory; batches stay valid after the result is closed until they are released.
 * codes: INVALID (no rows, or taken already) */
APIARY_API int apiary_result_stream(struct apiary_result *result, struct ArrowArrayStream *out,
    struct apiary_error *err);
/* Figures of the statement so far, as JSON: rows, bytes, cells kept and dropped,
 * requests, milliseconds. */
APIARY_API int apiary_result_stats(struct apiary_result *result, char **json, struct apiary_error *err);
/* The code, message and hint behind the last failing get_next of its stream. */
APIARY_API int apiary_result_error(struct apiary_result *result, struct apiary_error *err);
APIARY_API void apiary_result_close(struct apiary_result *result);

/* ---- queries that outlive who asked ---- */

/* Hands one SELECT, INSERT, CREATE FRAME … AS SELECT, OPTIMIZE or COPY … FROM (Parquet files below the root)
 * to the swarm: *query is its id, 33 characters. It is run by
 * the nodes that are there or come, within `deadline_s` seconds (0: a day; one that writes: 6 hours, no more), whatever becomes
 * of this process. Its rows, or what it wrote (once, or not at all), can be asked for until a while after its end.
 * codes: SQL, NOT_FOUND, UNSUPPORTED, LIMIT, IO, UNCERTAIN, ... */
APIARY_API int apiary_submit(struct apiary_session *session, const char *sql, size_t length,
    int64_t deadline_s, char **query, struct apiary_error *err);
/* The rows of such a query (of one that wrote: a message), from any process that sees the store.
 * wait: 0 = BUSY when it has not ended; else waits for it, and apiary_cancel ends the wait and not the query.
 * codes: NOT_FOUND, BUSY, CANCELLED, ABANDONED, and those with which the query failed */
APIARY_API int apiary_attach(struct apiary_session *session, const char *query, int wait,
    struct apiary_result **out, struct apiary_error *err);
/* Runs such a query once more, here, over the versions of its frames that it read, and compares what comes
 * out: the hash of the rows, sorted, with floats at 12 digits. *json (apiary_free): {"query":…,
 * "rows":3,"rows_now":3,"digest":"…","digest_now":"…","same":true}
 * codes: NOT_FOUND, BUSY, UNSUPPORTED (its rows depend on an order that it does not fix), … */
APIARY_API int apiary_replay(
    struct apiary_session *session, const char *query, char **json, struct apiary_error *err);
/* Cancels it, unless it has ended: *ended says how it did ("cancelled", "done", "failed", ...). */
APIARY_API int apiary_query_cancel(struct apiary_session *session, const char *query, char **ended,
    struct apiary_error *err);

/* ---- frames ---- */

enum apiary_write_mode { APIARY_APPEND = 0, APIARY_OVERWRITE = 1 };

/* The hint of the one CONFLICT after which rows may be made and written anew: an overwrite comes to it before it asks
 * for its first row, so what others write meanwhile is not replaced. */
#define APIARY_HINT_OTHER_SCHEMA "make the rows for the schema that the frame has now, and write again"

struct apiary_write_options {
    enum apiary_write_mode mode;
    const char *backpressure;  /* "block" (NULL), "error" or "ignore" */
    int drop_extra_columns;    /* extra columns: 0 = error, 1 = dropped with a notice */
    int refuse_null_partition; /* 1: a NULL in a partition column is an error */
    int merge_schema;          /* 1: extra columns are added to the frame */
    const char *schema_id;     /* of the schema that the rows were made for. CONFLICT with APIARY_HINT_OTHER_SCHEMA, and
                                * nothing written, where the frame has another one by now. NULL: it does not matter */
};

/* Writes a stream into the frame `name` ("hive.box.frame" or shorter) in one
 * commit. `data` is moved in. *json: {"version", "cells_written", "rows_written",
 * "bytes_written", "duration_ms", "temperature", "notices": [..]}. */
APIARY_API int apiary_write(struct apiary_session *session, const char *frame,
    struct ArrowArrayStream *data, const struct apiary_write_options *options, char **json,
    struct apiary_error *err);

/* Creates a frame from an Arrow schema (moved in). With `or_same` an existing
 * frame of the same schema and partitioning is success; else EXISTS. */
APIARY_API int apiary_create_frame(struct apiary_session *session, const char *frame,
    struct ArrowSchema *schema, const char *const *partition_by, size_t partition_count,
    int or_same, struct apiary_error *err);

/* A frame's description as JSON: {"name", "schema": [{"name","type","nullable"}],
 * "partition_by": [..], "max_partitions", "created_at", "cell_count", "row_count",
 * "total_bytes", "version", "location", "properties", "schema_id"}. */
APIARY_API int apiary_frame_info(struct apiary_session *session, const char *frame, char **json,
    struct apiary_error *err);
/* The same as this process knew it within the last ten minutes, without a request; a frame that it did not know is
 * asked for. For apiary_write with the schema_id that it tells. */
APIARY_API int apiary_frame_known(struct apiary_session *session, const char *frame, char **json,
    struct apiary_error *err);

struct apiary_import_options {
    const char *format;              /* "csv", "json", "parquet", NULL: by file name */
    const char *const *partition_by; /* used when the frame is created */
    size_t partition_count;
    int keep_names; /* 1: no mending of column names; a new frame is mapped if one asks for it */
    int overwrite;  /* 1: replace the frame's rows */
};

/* Reads files (or globs) into a frame in one commit, creating it where it is
 * missing. Many Parquet files below the root of the store are read by all nodes that
 * are there. *json as of apiary_write, and "created": true|false; "version" is null when
 * another node made the commit and nobody knows which it became. */
APIARY_API int apiary_import(struct apiary_session *session, const char *frame,
    const char *const *paths, size_t path_count, const struct apiary_import_options *options,
    char **json, struct apiary_error *err);

/* ---- stores ---- */

/* One check of apiary_doctor. health: "good", "warning", "bad", "skipped". next: what to do, or "". */
typedef void (*apiary_finding)(void *context, const char *check, const char *health,
    const char *detail, const char *next);
/* Tries out what the handle's store permits and promises: credentials, listing, clock, writing, reading,
 * conditional writes by a race of `racers` (0: a few; else 2 to 64), latency, throughput, deletion.
 * *bad: how many checks failed. What it writes is removed.
 * codes: INVALID; what opening the store says */
APIARY_API int apiary_doctor(struct apiary *handle, int racers, apiary_finding finding,
    void *context, int *bad, struct apiary_error *err);

/* An access policy for the handle's bucket, as text to be printed: what one role needs and no more. S3: a
 * document of IAM; Google, Azure: commands of their tools. Nothing is asked of the store. role: "reader", "writer",
 * "submitter", "node", "maintainer" (docs/operations.md); NULL: lines of "role<tab>what it is for".
 * codes: INVALID (no such role), UNSUPPORTED (the store is no bucket) */
APIARY_API int apiary_policy(struct apiary *handle, const char *role, char **text, struct apiary_error *err);

/* objects: found at the target or copied, and all; bytes: copied, and to be copied. */
typedef void (*apiary_copy_progress)(void *context, uint64_t objects_done, uint64_t objects,
    uint64_t bytes_done, uint64_t bytes);
/* Copies the handle's whole root to another one, versions last; what is there already stays, so that a
 * copy that was cut short goes on. *json: {"objects", "objects_copied", "objects_there",
 * "bytes_copied", "duration_ms"}.
 * codes: CONFLICT (the target has a history of its own; nothing was written), what the stores say */
APIARY_API int apiary_copy(struct apiary *handle, const char *to, apiary_copy_progress progress,
    void *context, char **json, struct apiary_error *err);

#ifdef __cplusplus
}
#endif

#endif /* APIARY_H */
