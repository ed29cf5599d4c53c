/* A running job, seen from its caller's thread. For job.c, job_stream.c and input.c. */
#ifndef AP_RUNTIME_JOB_PRIVATE_H
#define AP_RUNTIME_JOB_PRIVATE_H

#include "runtime/pool_private.h"

struct ap_input; /* input.c: one Arrow input on its way into the chamber */

enum ap_job_stop { AP_STOP_NONE, AP_STOP_CANCEL, AP_STOP_TIMEOUT, AP_STOP_CLOSED };

struct ap_job_run {
    struct ap_chamber *chamber;
    struct ap_job job;
    struct ap_input **inputs; /* job.input_count; NULL until first asked for */
    struct ap_job_stats stats;

    bool over;                /* DONE, FAILED or dead: nothing more will come */
    enum ap_job_stop stop;    /* we asked it to end */
    int64_t stop_deadline_us; /* then it is killed */
    int64_t tick_us;          /* when to look at the clock's duties again */

    /* The last sign of progress (job.timeout_us). */
    int64_t mark_us;
    uint64_t mark_cpu_us, mark_rows, mark_permille, mark_asked;
    uint64_t cpu_us, rows, permille; /* as PROGRESS last said */

    /* A producer of ours failed: what it said, kept for when the chamber reports it back. */
    struct apiary_error input_error;
};

/* Sends the job and hooks the handler in. On failure nothing runs. */
AP_CHECKED enum apiary_code ap_job_begin(struct ap_chamber *chamber, const struct ap_job *job,
    struct ap_job_run *run, struct apiary_error *err);
/* The next SCHEMA, BATCH or DONE; everything else is dealt with inside. Failures end the job.
 * until_us: monotonic; when it passes first, OK with out->kind 0. */
AP_CHECKED enum apiary_code ap_job_receive(struct ap_job_run *run, int64_t until_us,
    struct ap_wire_message *out, struct apiary_error *err);
/* Asks the job to end, once. */
void ap_job_stop(struct ap_job_run *run, enum ap_job_stop why);
/* Ends what still runs, waits for the handler, frees inputs. */
void ap_job_end(struct ap_job_run *run);
/* The reader comes (its absence is not the job's silence) and goes (result_timeout_us). */
void ap_job_reader(struct ap_job_run *run, bool here);

/* Pulls from the caller's stream and makes one INPUT of it (without descriptor: the end).
 * On failure the error is the producer's; the chamber is to be told. */
AP_CHECKED enum apiary_code ap_input_next(struct ap_input **input, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, const char *name, struct ap_wire_message *out,
    struct apiary_error *err);
void ap_input_free(struct ap_input *input);

#endif
