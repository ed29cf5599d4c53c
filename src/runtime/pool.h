/* The bee pool: chambers, who may use them, and what they ask.
 *
 * A pool owns `bees` slots, a memory budget and a service thread. The service thread
 * spawns every chamber (posix_spawn, new session), answers the chambers' questions
 * through the handler of the running job, reads their stderr, and reaps them.
 * A caller takes a chamber of a width, runs jobs on it one after the other, and gives
 * it back warm or broken. The pool knows no SQL.
 *
 * Thread-safe. One job at a time on a chamber. */
#ifndef AP_RUNTIME_POOL_H
#define AP_RUNTIME_POOL_H

#include "core/env.h"
#include "core/log.h"
#include "core/pages.h"
#include "core/str.h"
#include "runtime/temperature.h"

struct ap_pool;
struct ap_chamber;

struct ap_pool_options {
    int bees;                   /* at least 1 */
    uint64_t memory_bytes;      /* for all bees together */
    const char *scratch_dir;    /* chambers get folders below it; created when needed */
    uint64_t scratch_bytes_max; /* of one chamber; 0: half of the free disk */
    const char *program;        /* NULL: APIARY_BEE, beside the library, in its libexec */
    bool require_seal;
    bool kernel_limit; /* RLIMIT_DATA; false in sanitizer builds */
    /* Where all processes of this user share the bees of the machine: the first of these folders
     * that can be used. NULL: none; without any they do not share (a warning is logged when one
     * was named). */
    const char *slots_dirs[2];
    int slots;                /* bees of the machine; counts as at least `bees` */
    int heat_delay_ms;        /* of the temperature; 0: 3 s */
    int admit_wait_ms;        /* how long the hot wait: ap_pool_admit; 0: 30 s */
    const char *machine_root; /* NULL: this machine; tests give a folder (core/machine.h) */
    struct ap_log *log;
};
AP_CHECKED enum apiary_code ap_pool_open(struct ap_env *env, const struct ap_pool_options *options,
    struct ap_pool **out, struct apiary_error *err);
void ap_pool_close(struct ap_pool *pool); /* kills what runs, joins, removes scratch */

/* A folder of the caller's own in scratch: gone when it is closed, or when its process is dead and
 * another pool looks. May outlive the pool. */
struct ap_scratch;
AP_CHECKED enum apiary_code ap_pool_scratch(
    struct ap_pool *pool, struct ap_scratch **out, struct apiary_error *err);
const char *ap_scratch_path(const struct ap_scratch *scratch);
void ap_scratch_remove(const char *path); /* a tree; symbolic links are not followed */
void ap_scratch_close(struct ap_scratch *scratch); /* NULL is fine */

/* Answers a chamber's questions while a job runs. Called on the service thread: must be
 * quick (local opens) or hand the work on. Paths are untrusted. */
struct ap_handler {
    void *context;
    /* Any of these may be NULL: the question is then answered with ENOENT or EROFS. */
    /* Opens a virtual name. flags as open(2). *fd becomes the pool's. paging stays {0, 0} for a
     * file that is whole; else its number (not 0) and where its bits begin in the map, bytes.
     * Return 0 or an errno. */
    int (*open)(void *context, const char *path, int flags, int *fd, uint64_t *size,
        uint64_t paging[2]);
    int (*stat)(void *context, const char *path, uint64_t *size, bool *directory);
    /* Names in a folder; a folder's name ends in '/'. */
    int (*list)(void *context, const char *path, struct ap_texts *names);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    /* Bytes of a sparse file, by the number that open gave: fetched, then the wait is ended. Must
     * not wait itself. */
    void (*range)(void *context, uint64_t number, uint64_t offset, uint64_t length,
        struct ap_page_wait wait);
    /* A descriptor, readable only, of the map of pages. */
    int (*map)(void *context, int *fd);
    /* The bytes of a wait that was ended with AP_PAGE_TAKE, once. */
    int (*take)(void *context, struct ap_page_wait wait, struct ap_bytes *out);
};

enum {
    AP_WIDTH_ALL = 0,    /* all idle bees, at least one; a part of them when others wait */
    AP_WIDTH_SMALL = -1, /* the same for a statement that is thought to be small */
};
/* A chamber that spans `width` bees: 1..bees, or one of the above. Waits in a fair queue, with
 * the other processes of the machine. A small statement (or a width of 1) that finds no bee for
 * a moment gets the guest's place: one thread and a small budget beside the bees.
 * codes: OK, CANCELLED, TIMEOUT, BUSY (queue full), CHAMBER (cannot start: message says why),
 * DENIED (require_seal) */
AP_CHECKED enum apiary_code ap_chamber_take(struct ap_pool *pool, int width,
    const struct ap_cancel *cancel, struct ap_chamber **out, struct apiary_error *err);
/* Back into the pool; a chamber in doubt (job unfinished, error that asks for it) is killed. */
void ap_chamber_give(struct ap_chamber *chamber);
/* It serves no other job: what it has grown by goes with its process as soon as it is given back. */
void ap_chamber_retire(struct ap_chamber *chamber);
int ap_chamber_width(const struct ap_chamber *chamber);
uint64_t ap_chamber_budget(const struct ap_chamber *chamber);
/* Engine instances that it keeps for jobs that say so (core/wire.h): as many as its memory allows, at least 1. */
int ap_chamber_kept(const struct ap_chamber *chamber);
uint64_t ap_chamber_peak(const struct ap_chamber *chamber); /* resident, of its last job */
const char *ap_chamber_seal(
    const struct ap_chamber *chamber); /* "full", "partial", "engine-only" */

/* One job. The strings are borrowed until the job ends. */
struct ap_job {
    const char *document; /* JSON as core/wire.h has it, without "threads" (the pool adds what
                           * belongs to it: see ap_job_run) */
    size_t document_size;
    const char *task; /* what it is for, a few words for people who look at the bees; NULL: not said */
    const struct ap_handler *handler; /* NULL: every question is ENOENT */
    struct ArrowArrayStream **inputs; /* Arrow inputs, in the document's order; borrowed;
                                       * their callbacks run in the caller's thread */
    size_t input_count;
    const struct ap_cancel *cancel; /* may be NULL */
    apiary_progress progress;       /* may be NULL */
    void *progress_context;
    int threads;               /* of the engine; 0: one for each bee of the chamber */
    int64_t timeout_us;        /* without any progress; 0: none */
    int64_t result_timeout_us; /* a stream that nobody reads for so long ends
                                * with TIMEOUT; 0: none */
    uint64_t result_window_bytes; /* rows of a drained result that wait in memory; 0: a quarter of
                                   * the chamber's budget */
};

/* Figures of a job, from the chamber and the kernel. */
struct ap_job_stats {
    int64_t rows_out;
    int64_t rows_changed; /* -1: means nothing */
    uint64_t bytes_out;
    int64_t cpu_us;
    uint64_t memory_bytes_peak;
    uint64_t paged_bytes; /* read of sparse files */
    uint64_t page_waits;  /* reads of them that waited for a page */
};

/* Runs a job whose result is "json", "none" or "files" to its end.
 * *done is the DONE document. A failing engine gives SQL (or MEMORY, CANCELLED, TIMEOUT,
 * CORRUPT, IO, CHAMBER …) with the engine's message as err's. */
AP_CHECKED enum apiary_code ap_job_run(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_bytes *done, struct ap_job_stats *stats, struct apiary_error *err);

/* Starts a job whose result is "arrow". On OK the schema has arrived (or the job failed:
 * that is returned here). Batches are pulled by the stream; the stream owns nothing of the
 * chamber: the caller gives the chamber back after the stream is done, failed or dropped.
 * Inputs must stay valid until the stream ended. */
struct ap_job_stream;
AP_CHECKED enum apiary_code ap_job_start(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_job_stream **out, struct apiary_error *err);
/* The schema, a deep copy for the caller. */
AP_CHECKED enum apiary_code ap_job_schema(
    struct ap_job_stream *stream, struct ArrowSchema *out, struct apiary_error *err);
/* Next batch; out->release == NULL at the end. Buffers are the chamber's shared memory,
 * unmapped when the array is released (also after everything else is closed). */
AP_CHECKED enum apiary_code ap_job_next(
    struct ap_job_stream *stream, struct ArrowArray *out, struct apiary_error *err);
/* Reads ahead what the chamber has sent or sends within wait_us (0: what is there), at most
 * what it may send without a word of ours. True: the job is over and the stream needs nothing
 * of the chamber any more, which can be given back while rows are still to be read. */
bool ap_job_settle(struct ap_job_stream *stream, int64_t wait_us);
/* From here a thread of the stream's own reads on, so that a slow reader does not hold the bees: up
 * to a quarter of the chamber's budget in memory, then in a file in scratch up to scratch_bytes_max;
 * beyond that the chamber waits, and after result_timeout_us the job ends with TIMEOUT. The
 * chamber becomes the stream's, which gives it back when the job is over: true. False (the job is
 * over, has inputs, which are pulled in the caller's thread, or there is no thread): nothing
 * changed. */
bool ap_job_drain(struct ap_job_stream *stream);
void ap_job_stats(const struct ap_job_stream *stream, struct ap_job_stats *out);
/* Ends the job: cancels it when it still runs. */
void ap_job_close(struct ap_job_stream *stream);

/* For status displays. */
enum { AP_TASK_SIZE = 80 };
struct ap_bee_status {
    int index;
    const char *state; /* "idle", "busy", "starting", "none" */
    uint64_t memory_bytes;
    uint64_t memory_bytes_peak;
    uint64_t budget_bytes;
    int chamber_pid; /* 0: none */
    char seal[16];   /* of the chamber; "": there is none yet */
    char task[AP_TASK_SIZE]; /* what its chamber runs: the job's words, cut off; "": nothing */
    bool guest;      /* no bee, but the chamber that works in the guest's place */
};
/* Fills at most `max`; returns how many bees there are, one more while there is a guest, who is the
 * last. */
size_t ap_pool_status(struct ap_pool *pool, struct ap_bee_status *out, size_t max);
/* How loaded it is. */
struct ap_pool_load {
    int bees, bees_busy;
    uint64_t memory_bytes, memory_bytes_used;
    size_t waiting;                 /* statements in the queue */
    struct ap_heat_sources sources; /* as they are now */
    double temperature;             /* smoothed */
    enum ap_band band;
    int64_t wait_us; /* a guess: until one more statement would have its turn */
};
void ap_pool_load(struct ap_pool *pool, struct ap_pool_load *out);

/* May work begin at this temperature?
 *
 *                        hot                                critical
 *   AP_ADMIT_QUERY       waits, at most 30 s, then begins   BUSY, says how long to wait
 *   …_WRITE_BLOCK        waits, at most 30 s, then BUSY     the same
 *   …_WRITE_ERROR        BUSY                               BUSY
 *   …_WRITE_IGNORE       begins                             BUSY
 *
 * codes: OK, BUSY, CANCELLED */
enum ap_admit { AP_ADMIT_QUERY, AP_ADMIT_WRITE_BLOCK, AP_ADMIT_WRITE_ERROR, AP_ADMIT_WRITE_IGNORE };
AP_CHECKED enum apiary_code ap_pool_admit(struct ap_pool *pool, enum ap_admit kind,
    const struct ap_cancel *cancel, struct apiary_error *err);

/* ---- maintenance: work that nobody waits for ----
 *
 * It asks ap_pool_quiet before it begins and between its steps, and marks its chamber with
 * ap_chamber_yields, so that it ends as soon as a statement has to wait for a bee. */

/* True while maintenance may run: the colony is cold, nobody waits, and no bee works but those
 * of `mine` (NULL: none). */
bool ap_pool_quiet(struct ap_pool *pool, const struct ap_chamber *mine);
/* `cancel` is requested when a statement comes that has to wait for a bee, also when one waits
 * already. It must outlive the chamber's use (ap_chamber_give forgets it); NULL takes it back. */
void ap_chamber_yields(struct ap_chamber *chamber, struct ap_cancel *cancel);

uint64_t ap_pool_memory_per_bee(const struct ap_pool *pool);
int ap_pool_bees(const struct ap_pool *pool);
uint64_t ap_pool_budget_of(const struct ap_pool *pool, int width); /* of a chamber of so many bees */
/* Threads of an engine that reads cells of a store, of so much memory and so many bees: those that wait are its requests in
 * flight, and each costs the engine memory. */
enum { AP_POOL_COLD_THREADS = 16 }; /* at most, unless there are more bees */
int ap_pool_cold_threads(uint64_t memory_bytes, int width);

#endif
