/* The wire between a node and its chambers: messages over a SOCK_SEQPACKET pair
 * with one optional descriptor each. Bodies above AP_WIRE_INLINE_MAX travel in a
 * sealed memfd, which send and receive hide. Neither side trusts the other:
 * sizes are bounded, memfds must carry F_SEAL_SHRINK and F_SEAL_WRITE to be mapped.
 *
 * A chamber has two channels, both inherited at spawn:
 *   descriptor AP_WIRE_JOB_FD   jobs, inputs, credits, results
 *   descriptor AP_WIRE_ASK_FD   the chamber's questions (open, stat, list, range)
 *                               one question in flight; bee sends, parent answers
 * and, where bees are shared by processes, AP_WIRE_BEES_FD: kept open until the chamber ends, never
 * used; the node's locks on the machine's bees hang on it.
 *
 * Job channel, parent → bee (body JSON unless said otherwise)
 *   HELLO   fd = the chamber's page slots (core/pages.h; none: it serves no sparse files)
 *           {"version":AP_WIRE_VERSION,"build":AP_VERSION,"memory_bytes":budget,
 *            "rlimit_data_bytes":n|0,"scratch":"/abs/dir (exists, empty)","fsize_bytes":n,
 *            "scratch_bytes":n (cap of spill; default fsize_bytes),"kept":n (of AP_WIRE_KEPT_MAX instances, may be kept; 1),"require_seal":bool,
 *            "strict":bool (tests: a refused system call kills)}      first message.
 *            The engine's memory_limit of a statement is
 *            (memory_bytes − 64 MiB − 10 MiB × threads) ÷ 2; rlimit_data_bytes 0 = no fence
 *            Both are those of the widest chamber, and the chamber sets soft = hard; the parent
 *            moves the soft RLIMIT_DATA of a warm chamber (prlimit) as it serves other widths
 *   JOB     the job document below; job = its number
 *   CREDIT  job, values[0] = batches the parent can take in addition (may follow JOB at once)
 *   INPUT   job, values[0] = index of the input; fd = sealed memfd holding one or more
 *           Arrow IPC messages (the first INPUT of an index begins with the schema);
 *           no fd: end of that input; body (text) non-empty with no fd: the producer failed
 *   CANCEL  job; the answer is FAILED "cancelled" (or DONE, when it was over already)
 *           One job at a time: the next JOB only after DONE or FAILED of the one before.
 * bee → parent
 *   READY   {"version","build","engine","seal":"full|partial|engine-only","pid"}
 *           or FAILED with job 0 (version mismatch, required seal missing), then it exits
 *   SCHEMA  body: the encapsulated IPC schema message (raw)
 *   BATCH   fd: sealed memfd with one encapsulated IPC record batch message;
 *           values[0] = bytes, values[1] = rows. At most AP_WIRE_BATCH_MAX bytes, unless
 *           a single row is larger (then that row alone); uses up one credit
 *   NEED    values[0] = index of the input that is wanted (a credit of one INPUT)
 *   PROGRESS values[0] = per mille or UINT64_MAX, values[1] = rows out so far,
 *           values[2] = CPU time of the chamber (us); a few times a second while a job runs
 *           (dropped, not waited for, when the socket is full: the reader may be away for long)
 *   DONE    {"columns":["name",…],"rows":[[text|null,…],…] for result "json",
 *            "files":[…] for result "files", "row_count":n for result "arrow",
 *            "rows_changed":n (result "none"), "cpu_us":n,
 *            "paged_bytes":n (read of sparse files), "waits":n (reads that waited for pages)}
 *   FAILED  {"type":"<engine error type: lower case, _ for space>","message":"one line",
 *            "position":byte offset in "sql"|null,"setup":index of the statement, through "standing" and then "setup", that
 *            failed (position is then within that one)|null}
 *           types of our own: "cancelled", "memory", "internal", "input". The channel may
 *           end right behind it: the engine gave itself up, take a fresh chamber
 *
 * Job document
 *   {"setup":["sql",…],       run first, results dropped (ATTACH, CREATE VIEW, USE, macros …)
 *    "sql":"…",               the statement
 *    "once":true,             it is one query without parameters whose columns differ in name: it may be
 *                             bound once, where it is run, instead of there and where it is prepared
 *    "values":[value,…],      parameters
 *    "settings":{"TimeZone":"UTC",…},  engine settings of this statement
 *    "threads":n,
 *    "inputs":["name",…],     Arrow inputs, registered as views of these names
 *    "result":"arrow" rows stream as SCHEMA and BATCH | "json" rows as text, all in DONE
 *             | "none" | "files" (COPY … RETURN_STATS rows as JSON objects),
 *    "canary":"/cells/…",     a sparse file by which a chamber proves once, before its first
 *                             statement over sparse files, that its engine reads no holes
 *    "memory_bytes":n,        budget of this statement if below HELLO's; optional
 *    "kept":true,             leaves nothing behind: may run in an instance that others of its kind
 *                             use before and after it; its set-up is rolled back, and attaches nothing,
 *                             which no transaction takes back. A number below
 *                             /cells/ means the same cell in all of them: footers are remembered
 *    "part":true,             kept: of a plan (query/plan.h), which anybody may have written: it shares with other parts
 *                             only, and its "sql" must be a query
 *    "standing":[["make","undo"],…],  kept jobs: run before "setup" and left there. What another job
 *                             left is undone unless it is in this list too; undo "": with another's
 *    "shared":true}           pure text functions: runs in the long-lived parser instance
 *                             (threads, settings, setup and inputs do not apply)
 *   value {"n":name or absent,"t":"null|bool|int64|uint64|double|text|blob|date|timestamp|
 *          timestamptz|time|decimal|list","v":text, blob as base64, list as array of values}
 *   "files" rows: {"filename","count","file_size_bytes","footer_size_bytes",
 *          "columns":[{"path":["a","b"],"min":text|null,"max":text|null,"null_count":n|null,
 *          "num_values":n|null,"has_nan":true|false|null}],"partition":{name:value}}
 *
 * Ask channel, bee → parent: body = path; reply kind ANSWER, values[0] = errno or 0
 *   OPEN    values[0] = open(2) flags; reply fd = a description of its own (offsets are not
 *           shared), values[1] = size, values[2] = 0, or (a sparse file) the number by which
 *           RANGE must be asked for pages whose bits are not set, values[3] = where its bits
 *           begin in the map, bytes (core/pages.h)
 *   STAT    reply values[1] = size, values[2] = 1 file, 2 directory, values[3] = mtime (s).
 *           Asked below /files/ only: a name below /cells/ is taken to be there until OPEN
 *           says otherwise, and the chamber keeps the book of what it wrote below /out/
 *   LIST    reply body = names, one a line, a directory's ends in '/'  (below /files/ only)
 *   RENAME  body = old NUL new;  UNLINK body = path     (files below /out/ only; folders there
 *           exist in the chamber alone: the parent sees OPEN of /out/{n}/p=1/x.parquet)
 *   RANGE   values = slot of the chamber (or AP_PAGE_NOBODY), number from OPEN, offset, length.
 *           There is no reply: the slot tells when the bytes are there (core/pages.h)
 *   MAP     reply fd = the node's map of pages, to be mapped for reading; once a chamber
 *   TAKE    values = slot whose RANGE was answered with AP_PAGE_TAKE; reply body = the bytes
 *
 * Virtual names: /cells/{n}/[{col}={value}/]{name}.parquet (read), /files/{n}/{name} (a
 * user's own file, read), /out/{n}/… (written: the parent creates staging files). */
#ifndef AP_CORE_WIRE_H
#define AP_CORE_WIRE_H

#include "core/env.h"
#include "core/str.h"

#define AP_WIRE_VERSION 2
enum { AP_WIRE_JOB_FD = 3, AP_WIRE_ASK_FD = 4, AP_WIRE_BEES_FD = 5 };
enum {
    AP_WIRE_INLINE_MAX = 32 * 1024,
    AP_WIRE_VALUES = 4,
    AP_WIRE_KEPT_MAX = 3, /* engine instances: a session's statements, tasks of plans, merges of what they gave */
    AP_WIRE_PATH_MAX = 64 * 1024 /* bytes of a virtual name: folders of long partition values */
};
#define AP_WIRE_BATCH_MAX (UINT64_C(16) << 20)
#define AP_WIRE_BODY_MAX (UINT64_C(256) << 20)

enum ap_wire_kind {
    AP_WIRE_HELLO = 1,
    AP_WIRE_JOB,
    AP_WIRE_CREDIT,
    AP_WIRE_INPUT,
    AP_WIRE_CANCEL,
    AP_WIRE_READY = 32,
    AP_WIRE_SCHEMA,
    AP_WIRE_BATCH,
    AP_WIRE_NEED,
    AP_WIRE_PROGRESS,
    AP_WIRE_DONE,
    AP_WIRE_FAILED,
    AP_WIRE_OPEN = 64,
    AP_WIRE_STAT,
    AP_WIRE_LIST,
    AP_WIRE_RENAME,
    AP_WIRE_UNLINK,
    AP_WIRE_RANGE,
    AP_WIRE_MAP,
    AP_WIRE_TAKE,
    AP_WIRE_ANSWER = 96
};

struct ap_wire_message {
    enum ap_wire_kind kind;
    uint32_t job;
    uint64_t values[AP_WIRE_VALUES];
    struct ap_bytes body;
    int fd; /* -1: none. Owned: ap_wire_message_done closes it */
};
void ap_wire_message_init(struct ap_wire_message *message);
void ap_wire_message_done(struct ap_wire_message *message);

/* Sends; body and fd stay the caller's. MSG_NOSIGNAL. CHAMBER when the peer is gone, or
 * did not read for as long as the socket's SO_SNDTIMEO (none: waits for ever). */
AP_CHECKED enum apiary_code ap_wire_send(int socket, const struct ap_wire_message *message, struct apiary_error *err);
/* Receives one message. timeout_ms -1: for ever, 0: do not wait.
 * codes: OK; TIMEOUT; CHAMBER at end of stream; CORRUPT for a message out of form.
 * cancel (may be NULL): CANCELLED as soon as it is requested. */
AP_CHECKED enum apiary_code ap_wire_receive(int socket, struct ap_wire_message *out, int timeout_ms,
    const struct ap_cancel *cancel, struct apiary_error *err);
/* Seals a memfd for good: nobody can write to it, or make it shorter or longer, from here on. Waits a few seconds where the
 * kernel holds pages of it (it moves them about where memory is scarce, and answers EBUSY meanwhile). An errno, or 0. */
int ap_memfd_seal(int fd);
/* A memfd of `size` bytes, filled from data, sealed against write, grow and shrink. */
AP_CHECKED enum apiary_code ap_memfd_sealed(const void *data, size_t size, int *fd, struct apiary_error *err);
/* Maps a received memfd read-only after checking its seals (SHRINK, or touching it could
 * raise SIGBUS; WRITE, or it could change behind a check) and size. Unmap with munmap;
 * size 0 gives a pointer that needs none. CORRUPT; the descriptor stays the caller's. */
AP_CHECKED enum apiary_code ap_memfd_map(int fd, uint64_t size_max, const void **data, size_t *size, struct apiary_error *err);

#endif
