/* A job whose rows come as Arrow batches.
 *
 * Credits: the chamber may be some batches ahead of us. Two ways of reading:
 *
 *   in the caller's thread   as it begins. A batch that was handed out gives its credit back; a reader
 *                            that stays away gives none, and the chamber rests. What arrives early is
 *                            checked and kept (`ahead`), so that a job with a small result is over,
 *                            and its chamber free, before anybody reads the rows.
 *   drained (ap_job_drain)   a thread takes batches off the socket and gives credits back at once:
 *                            first to a reader that waits, then into memory up to the window, then
 *                            into a file. Only when that is full are credits kept back.
 *
 * Batches in memory are mapped read-only and belong to whoever holds the array; sealed, so the chamber
 * cannot change them after they were checked. What went through the file was checked before, and the
 * file is ours. */
#include "core/alloc.h"
#include "runtime/batch.h"
#include "runtime/job_private.h"
#include "runtime/spool.h"

#include <nanoarrow/nanoarrow.h>

#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    CREDITS_MAX = 4,
    LAST_WORD_US = 1000,
    CREDIT_BYTES = 8 << 20, /* of one batch, as the chamber makes them when rows are not huge */
    ENTRIES_MAX = 1 << 20,  /* batches that wait for their reader; then credits are kept back */
    ENTRIES_FIRST = 16
};

/* A batch that waits for its reader. */
struct entry {
    struct ArrowArray array; /* release NULL: it is in the spool */
    uint64_t offset;
    size_t size;
};

struct ap_job_stream {
    struct ap_job_run run;
    pid_t owner;   /* the pool's, which may be closed before the stream */
    struct ap_env *env;
    struct ap_batch_decoder *decoder;
    int credits; /* that the chamber has at most */

    /* Drained: by these two threads under the lock. Else the caller's alone. */
    struct ap_lock *lock;
    struct ap_thread *drainer; /* NULL: not drained */
    bool detached; /* the job is over and the chamber no more ours: run.chamber is not to be used */
    struct entry *ahead; /* a ring: the oldest at ahead_first */
    size_t ahead_first, ahead_count, ahead_capacity;
    uint64_t ahead_bytes; /* in memory */
    struct ap_spool *spool;
    bool reader_waits, closing;
    struct ap_job_stats stats; /* a copy for others than the drainer */
    double progress;           /* -1: not known */
    bool done;
    enum apiary_code failure; /* comes after what is ahead; said again by every further call */
    struct apiary_error failure_error;

    /* The drainer's alone. */
    uint64_t window_bytes, spool_bytes_max;
    uint64_t owed; /* credits that are kept back */

    /* Constant while drained. */
    const struct ap_cancel *cancel;
    apiary_progress progress_call; /* called in the reader's thread */
    void *progress_context;
};

static enum apiary_code credit(struct ap_job_run *run, uint64_t batches, struct apiary_error *err)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_CREDIT;
    message.job = run->chamber->job;
    message.values[0] = batches;
    enum apiary_code code = ap_wire_send(run->chamber->job_fd, &message, err);
    ap_wire_message_done(&message);
    if (code == APIARY_CHAMBER) {
        run->over = true;
        return ap_chamber_died(run->chamber, "running a statement", err);
    }
    return code;
}

static enum apiary_code broke(
    struct ap_job_stream *stream, enum apiary_code code, struct apiary_error *err)
{
    if (code != APIARY_CORRUPT) { /* out of memory, or too much of something: the job just ends */
        ap_job_stop(&stream->run, AP_STOP_CLOSED);
        return code;
    }
    stream->run.over = true;
    return ap_chamber_broke(stream->run.chamber, err);
}

static enum apiary_code take_schema(struct ap_job_stream *stream, struct apiary_error *err)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    enum apiary_code code = ap_job_receive(&stream->run, INT64_MAX, &message, err);
    if (code == APIARY_OK && message.kind != AP_WIRE_SCHEMA) {
        ap_fail(err, APIARY_CORRUPT, "it sent no schema before %s",
            message.kind == AP_WIRE_DONE ? "the end" : "a batch");
        code = broke(stream, APIARY_CORRUPT, err);
    } else if (code == APIARY_OK) {
        code = ap_batch_decoder_new(ap_bytes_view(&message.body), &stream->decoder, err);
        if (code != APIARY_OK) code = broke(stream, code, err);
    }
    ap_wire_message_done(&message);
    return code;
}

enum apiary_code ap_job_start(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_job_stream **out, struct apiary_error *err)
{
    struct ap_job_stream *stream = ap_calloc(1, sizeof *stream);
    if (!stream) return ap_fail_memory(err, "a result stream");
    stream->owner = chamber->pool->owner;
    stream->env = chamber->pool->env;
    uint64_t window = job->result_window_bytes ? job->result_window_bytes
                                               : chamber->budget_bytes / AP_RESULT_WINDOW_PART;
    uint64_t credits = window / (2 * CREDIT_BYTES);
    stream->credits = credits > CREDITS_MAX ? CREDITS_MAX : credits > 0 ? (int)credits : 1;
    stream->window_bytes = window;
    stream->spool_bytes_max = chamber->pool->scratch_bytes_max;
    enum apiary_code code = ap_job_begin(chamber, job, &stream->run, err);
    if (code != APIARY_OK) {
        ap_free(stream);
        return code;
    }
    code = credit(&stream->run, (uint64_t)stream->credits, err);
    if (code == APIARY_OK) code = take_schema(stream, err);
    if (code != APIARY_OK) {
        ap_job_close(stream);
        return code;
    }
    ap_job_reader(&stream->run, false);
    *out = stream;
    return APIARY_OK;
}

enum apiary_code ap_job_schema(
    struct ap_job_stream *stream, struct ArrowSchema *out, struct apiary_error *err)
{
    struct ArrowSchema copy;
    if (ArrowSchemaDeepCopy(ap_batch_decoder_schema(stream->decoder), &copy) != NANOARROW_OK)
        return ap_fail_memory(err, "a schema");
    *out = copy;
    return APIARY_OK;
}

/* ---- the batches that wait ---- */

static enum apiary_code push(struct ap_job_stream *stream, const struct entry *entry, struct apiary_error *err)
{
    if (stream->ahead_count == stream->ahead_capacity) {
        size_t capacity = stream->ahead_capacity ? 2 * stream->ahead_capacity : ENTRIES_FIRST;
        struct entry *ahead = ap_calloc(capacity, sizeof *ahead);
        if (!ahead) return ap_fail_memory(err, "the batches of a result");
        for (size_t i = 0; i < stream->ahead_count; i++)
            ahead[i] = stream->ahead[(stream->ahead_first + i) % stream->ahead_capacity];
        ap_free(stream->ahead);
        stream->ahead = ahead;
        stream->ahead_capacity = capacity;
        stream->ahead_first = 0;
    }
    stream->ahead[(stream->ahead_first + stream->ahead_count++) % stream->ahead_capacity] = *entry;
    if (entry->array.release) stream->ahead_bytes += entry->size;
    return APIARY_OK;
}

static struct entry pop(struct ap_job_stream *stream)
{
    struct entry entry = stream->ahead[stream->ahead_first];
    stream->ahead_first = (stream->ahead_first + 1) % stream->ahead_capacity;
    stream->ahead_count--;
    if (entry.array.release) stream->ahead_bytes -= entry.size;
    return entry;
}

/* ---- messages ---- */

static void unmap(void *context, const void *data, size_t size)
{
    (void)context;
    if (size) munmap((void *)(uintptr_t)data, size);
}

/* Maps and checks a batch. memory: where its bytes are, as long as the array is not released. */
static enum apiary_code take_batch(struct ap_job_stream *stream,
    const struct ap_wire_message *message, struct ArrowArray *out, struct ap_batch_memory *memory,
    struct apiary_error *err)
{
    *memory = (struct ap_batch_memory) { .release = unmap };
    if (message->fd < 0) return ap_fail(err, APIARY_CORRUPT, "a batch came without its memory");
    AP_TRY(ap_memfd_map(message->fd, AP_WIRE_BODY_MAX, &memory->data, &memory->size, err));
    struct ArrowArray array = { 0 };
    if (stream->lock) ap_lock(stream->env, stream->lock); /* the reader decodes as well */
    enum apiary_code code = ap_batch_decode(stream->decoder, memory, &array, err);
    if (stream->lock) ap_unlock(stream->env, stream->lock);
    if (code != APIARY_OK) return code;
    if ((uint64_t)array.length != message->values[1]) {
        uint64_t rows = (uint64_t)array.length;
        ArrowArrayRelease(&array);
        return ap_fail(err, APIARY_CORRUPT,
            "a batch was said to have %" PRIu64 " rows and has %" PRIu64, message->values[1], rows);
    }
    stream->run.stats.rows_out += array.length;
    stream->run.stats.bytes_out += memory->size;
    *out = array;
    return APIARY_OK;
}

/* One more message, if it comes in time: a batch in *entry, the end in *done, nothing, or the
 * failure. Not under the lock. */
static enum apiary_code next_message(struct ap_job_stream *stream, int64_t until_us, bool may_batch,
    struct entry *entry, struct ap_batch_memory *memory, bool *done, struct apiary_error *err)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    enum apiary_code code = ap_job_receive(&stream->run, until_us, &message, err);
    if (code == APIARY_OK && message.kind == AP_WIRE_DONE) {
        *done = true;
        /* A DONE that crossed our CANCEL: the rows that were dropped meanwhile are missed. */
        if (stream->run.stop) code = ap_fail(err, APIARY_CANCELLED, "cancelled");
    } else if (code == APIARY_OK && message.kind != 0) {
        if (message.kind != AP_WIRE_BATCH)
            code = ap_fail(err, APIARY_CORRUPT, "it sent a second schema");
        else if (!may_batch)
            code = ap_fail(err, APIARY_CORRUPT, "it sent more batches than it had credit for");
        else
            code = take_batch(stream, &message, &entry->array, memory, err);
        if (code == APIARY_OK)
            entry->size = memory->size;
        else
            code = broke(stream, code, err);
    }
    ap_wire_message_done(&message);
    return code;
}

static void fail_locked(struct ap_job_stream *stream, enum apiary_code code, const struct apiary_error *err)
{
    stream->failure_error = *err;
    stream->failure_error.code = code;
    stream->failure = code;
}

static bool more(const struct ap_job_stream *stream)
{
    return !stream->done && stream->failure == APIARY_OK;
}

/* ---- in the caller's thread ---- */

static void pull(struct ap_job_stream *stream, int64_t until_us)
{
    struct apiary_error err = { 0 };
    struct entry entry = { .size = 0 };
    struct ap_batch_memory memory;
    enum apiary_code code = next_message(stream, until_us,
        stream->ahead_count < (size_t)stream->credits, &entry, &memory, &stream->done, &err);
    if (code == APIARY_OK && entry.array.release) {
        code = push(stream, &entry, &err);
        if (code != APIARY_OK) {
            ArrowArrayRelease(&entry.array);
            code = broke(stream, code, &err);
        }
    }
    if (code != APIARY_OK) fail_locked(stream, code, &err);
}

bool ap_job_settle(struct ap_job_stream *stream, int64_t wait_us)
{
    if (stream->owner != getpid()) return false;
    if (stream->drainer) {
        ap_lock(stream->env, stream->lock);
        bool detached = stream->detached;
        ap_unlock(stream->env, stream->lock);
        return detached;
    }
    if (stream->detached) return true;
    int64_t until = ap_mono_us(stream->env) + wait_us;
    ap_job_reader(&stream->run, true);
    while (more(stream)) {
        size_t before = stream->ahead_count;
        int64_t soon = ap_mono_us(stream->env) + LAST_WORD_US;
        /* Without credit left nothing but the end can come, and it comes at once or not soon. */
        pull(stream, before == (size_t)stream->credits && soon < until ? soon : until);
        if (more(stream) && stream->ahead_count == before) break; /* nothing came in time */
    }
    ap_job_reader(&stream->run, false);
    if (!stream->run.over) return false;
    ap_job_end(&stream->run);
    stream->detached = true;
    return true;
}

static enum apiary_code next_pulled(
    struct ap_job_stream *stream, struct ArrowArray *out, struct apiary_error *err)
{
    if (!stream->detached) ap_job_reader(&stream->run, true);
    if (stream->ahead_count == 0 && more(stream)) pull(stream, INT64_MAX);
    struct ArrowArray batch = { 0 };
    if (stream->ahead_count) {
        batch = pop(stream).array;
        if (!stream->run.over) {
            enum apiary_code code = credit(&stream->run, 1, &stream->failure_error);
            stream->failure = code; /* after this batch, which is in order */
            if (code != APIARY_OK) stream->failure_error.code = code;
        }
    } else if (stream->failure != APIARY_OK) {
        if (err) *err = stream->failure_error;
        return stream->failure;
    }
    if (!stream->detached) ap_job_reader(&stream->run, false);
    *out = batch;
    return APIARY_OK;
}

/* ---- drained ---- */

/* Puts a batch where it may wait. */
static enum apiary_code keep(struct ap_job_stream *stream, struct entry *entry,
    const struct ap_batch_memory *memory, struct apiary_error *err)
{
    ap_lock(stream->env, stream->lock);
    bool in_memory = (stream->reader_waits && stream->ahead_count == 0) ||
                     stream->ahead_bytes + entry->size <= stream->window_bytes;
    ap_unlock(stream->env, stream->lock);
    enum apiary_code code = APIARY_OK;
    if (!in_memory) {
        int fd = -1;
        if (!stream->spool) {
            struct ap_spool *spool = NULL;
            code = ap_scratch_unnamed(stream->run.chamber->pool->scratch, &fd, err);
            if (code == APIARY_OK) code = ap_spool_new(fd, &spool, err);
            ap_lock(stream->env, stream->lock);
            stream->spool = spool;
            ap_unlock(stream->env, stream->lock);
        }
        if (code == APIARY_OK)
            code = ap_spool_write(stream->spool, memory->data, memory->size, &entry->offset, err);
        ArrowArrayRelease(&entry->array);
    }
    ap_lock(stream->env, stream->lock);
    if (code == APIARY_OK) code = push(stream, entry, err);
    if (code != APIARY_OK && entry->array.release) ArrowArrayRelease(&entry->array);
    ap_wake_all(stream->env, stream->lock);
    ap_unlock(stream->env, stream->lock);
    return code;
}

static bool room(struct ap_job_stream *stream)
{
    ap_lock(stream->env, stream->lock);
    bool yes = ap_spool_bytes(stream->spool) < stream->spool_bytes_max &&
               stream->ahead_count < ENTRIES_MAX;
    /* A reader that has read everything is never kept waiting for room: it may hold what it read. */
    yes = yes || (stream->reader_waits && stream->ahead_count == 0);
    ap_unlock(stream->env, stream->lock);
    return yes;
}

/* Gives credits back while there is room; else the reader's time runs. */
static enum apiary_code give_credits(
    struct ap_job_stream *stream, bool *resting, struct apiary_error *err)
{
    if (stream->run.over || stream->run.stop || stream->owed == 0) return APIARY_OK;
    if (!room(stream)) {
        if (!*resting) ap_job_reader(&stream->run, false);
        *resting = true;
        stream->run.job.timeout_us = 0; /* the silence is ours */
        return APIARY_OK;
    }
    uint64_t owed = stream->owed;
    stream->owed = 0;
    return credit(&stream->run, owed, err);
}

/* The chamber has no credit, and there is room for no more. The reader is noticed at once, the chamber at
 * the next tick. */
static void rest(struct ap_job_stream *stream, int64_t until_us)
{
    ap_lock(stream->env, stream->lock);
    bool asked = (stream->reader_waits && stream->ahead_count == 0) || stream->closing;
    if (!asked) ap_wait_until(stream->env, stream->lock, until_us);
    ap_unlock(stream->env, stream->lock);
}

static void drain(void *argument)
{
    struct ap_job_stream *stream = argument;
    struct ap_chamber *chamber = stream->run.chamber;
    int64_t timeout_us = stream->run.job.timeout_us;
    bool resting = false, done = false;
    enum apiary_code code = APIARY_OK;
    struct apiary_error err = { 0 };
    while (code == APIARY_OK && !done) {
        ap_lock(stream->env, stream->lock);
        bool closing = stream->closing;
        stream->stats = stream->run.stats;
        stream->progress = stream->run.permille <= 1000 ? (double)stream->run.permille / 1000 : -1;
        ap_unlock(stream->env, stream->lock);
        if (closing) ap_job_stop(&stream->run, AP_STOP_CLOSED);
        if (ap_cancel_requested(stream->cancel)) ap_job_stop(&stream->run, AP_STOP_CANCEL);
        code = give_credits(stream, &resting, &err);
        if (resting && stream->owed == 0) {
            resting = false;
            stream->run.job.timeout_us = timeout_us;
            ap_job_reader(&stream->run, true);
        }
        struct entry entry = { .size = 0 };
        struct ap_batch_memory memory;
        int64_t now = ap_mono_us(stream->env), until = now + AP_POOL_TICK_MS * 1000;
        if (resting) {
            rest(stream, until);
            until = now;
        }
        if (code == APIARY_OK)
            code = next_message(stream, until, stream->owed < (uint64_t)stream->credits, &entry,
                &memory, &done, &err);
        if (code == APIARY_OK && entry.array.release) {
            stream->owed++;
            code = keep(stream, &entry, &memory, &err);
            if (code != APIARY_OK) ap_job_stop(&stream->run, AP_STOP_CLOSED);
        }
    }
    ap_job_end(&stream->run);
    ap_lock(stream->env, stream->lock);
    stream->stats = stream->run.stats;
    ap_unlock(stream->env, stream->lock);
    ap_chamber_give(chamber);
    ap_lock(stream->env, stream->lock);
    if (code != APIARY_OK) fail_locked(stream, code, &err);
    stream->done = code == APIARY_OK;
    stream->detached = true;
    ap_wake_all(stream->env, stream->lock);
    ap_unlock(stream->env, stream->lock);
}

bool ap_job_drain(struct ap_job_stream *stream)
{
    if (stream->owner != getpid() || stream->drainer) return false; /* first: the rest is the drainer's, too */
    if (stream->detached || !more(stream) || stream->run.job.input_count) return false;
    stream->lock = ap_lock_new(stream->env);
    if (!stream->lock) return false;
    /* What is in flight, and what the caller has taken ahead, is of the window, too. */
    uint64_t elsewhere = 2 * (uint64_t)stream->credits * CREDIT_BYTES;
    stream->window_bytes = stream->window_bytes > elsewhere ? stream->window_bytes - elsewhere : 0;
    stream->owed = stream->ahead_count;
    stream->cancel = stream->run.job.cancel;
    stream->stats = stream->run.stats;
    struct ap_job before = stream->run.job;
    stream->run.job.cancel = NULL; /* its look belongs to the caller's thread, and so does progress */
    stream->run.job.progress = NULL;
    ap_job_reader(&stream->run, true);
    stream->drainer = stream->env->ops->thread_start(stream->env->world, drain, stream);
    if (stream->drainer) {
        stream->progress_call = before.progress;
        stream->progress_context = before.progress_context;
        return true;
    }
    stream->run.job = before;
    ap_job_reader(&stream->run, false);
    return false;
}

/* Waits for the drainer; calls what belongs to the caller's thread meanwhile. */
static void await_locked(struct ap_job_stream *stream)
{
    while (stream->ahead_count == 0 && more(stream)) {
        if (!stream->reader_waits) ap_wake_all(stream->env, stream->lock); /* a drainer that rests */
        stream->reader_waits = true;
        int64_t until = ap_mono_us(stream->env) + AP_POOL_TICK_MS * 1000;
        if (ap_wait_until(stream->env, stream->lock, until)) continue;
        struct ap_job_stats stats = stream->stats;
        double progress = stream->progress;
        ap_unlock(stream->env, stream->lock);
        if (stream->cancel && stream->cancel->look)
            stream->cancel->look(stream->cancel->look_context);
        if (stream->progress_call)
            stream->progress_call(stream->progress_context, progress, stats.rows_out,
                (int64_t)stats.bytes_out);
        ap_lock(stream->env, stream->lock);
    }
    stream->reader_waits = false;
}

static enum apiary_code next_drained(
    struct ap_job_stream *stream, struct ArrowArray *out, struct apiary_error *err)
{
    ap_lock(stream->env, stream->lock);
    await_locked(stream);
    enum apiary_code code = APIARY_OK;
    struct ArrowArray batch = { 0 };
    if (stream->ahead_count) {
        struct entry entry = pop(stream);
        batch = entry.array;
        if (!batch.release) {
            struct ap_batch_memory memory;
            code = ap_spool_map(stream->spool, entry.offset, entry.size, &memory, err);
            if (code == APIARY_OK) code = ap_batch_decode(stream->decoder, &memory, &batch, err);
        }
    } else if (stream->failure != APIARY_OK) {
        if (err) *err = stream->failure_error;
        code = stream->failure;
    }
    ap_unlock(stream->env, stream->lock);
    if (code == APIARY_OK) *out = batch;
    return code;
}

/* ---- what the caller sees ---- */

enum apiary_code ap_job_next(
    struct ap_job_stream *stream, struct ArrowArray *out, struct apiary_error *err)
{
    if (stream->owner != getpid())
        return ap_fail(err, APIARY_INVALID,
            "this result was opened before fork() and belongs to the parent process");
    return stream->drainer ? next_drained(stream, out, err) : next_pulled(stream, out, err);
}

void ap_job_stats(const struct ap_job_stream *stream, struct ap_job_stats *out)
{
    if (!stream->drainer) {
        *out = stream->run.stats;
        return;
    }
    ap_lock(stream->env, stream->lock);
    *out = stream->stats;
    ap_unlock(stream->env, stream->lock);
}

void ap_job_close(struct ap_job_stream *stream)
{
    if (!stream) return;
    bool ours = stream->owner == getpid();
    if (stream->drainer && ours) {
        ap_lock(stream->env, stream->lock);
        stream->closing = true;
        ap_wake_all(stream->env, stream->lock);
        ap_unlock(stream->env, stream->lock);
        stream->env->ops->thread_join(stream->env->world, stream->drainer);
    } else if (!stream->drainer && !stream->detached && ours) {
        ap_job_end(&stream->run);
    }
    while (stream->ahead_count) {
        struct entry entry = pop(stream);
        if (entry.array.release) ArrowArrayRelease(&entry.array);
    }
    ap_free(stream->ahead);
    ap_spool_close(stream->spool);
    ap_lock_free(stream->env, stream->lock);
    ap_batch_decoder_free(stream->decoder);
    ap_free(stream);
}
