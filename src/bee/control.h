/* The job channel from the chamber's side: one thread reads it, so that a cancel
 * arrives while a statement runs; the main thread runs one job at a time.
 *
 *   IDLE --JOB--> WAITING --next_job--> BUSY --finish--> IDLE
 *
 * (1) What is kept about a job (credits, cancel, inputs) is reset when its JOB
 *     arrives and is not touched by the runner after finish: DONE or FAILED is
 *     sent after finish, so the next JOB cannot arrive before it.
 * (2) A cancel names its job: a late one cannot hit the next statement. */
#ifndef AP_BEE_CONTROL_H
#define AP_BEE_CONTROL_H

#include "core/wire.h"

#include <duckdb.h>

enum { BEE_INPUTS_MAX = 64 };

struct bee_control;

/* Starts the reader thread. The end of the channel ends the process. */
AP_CHECKED enum apiary_code bee_control_start(struct bee_control **out, struct apiary_error *err);

/* Waits for the next job; the message moves to the caller. */
void bee_control_next_job(struct bee_control *control, struct ap_wire_message *out);
/* The job is over but for its last message; wakes nobody, frees left-over inputs. */
void bee_control_finish(struct bee_control *control);

bool bee_control_cancelled(struct bee_control *control);
/* The connection that a cancel interrupts and progress is asked of; NULL: none. */
void bee_control_connection_set(struct bee_control *control, duckdb_connection connection);
void bee_control_rows_out(struct bee_control *control, uint64_t rows);

/* Takes one credit, waiting for it. codes: OK, CANCELLED */
AP_CHECKED enum apiary_code bee_control_credit_take(
    struct bee_control *control, struct apiary_error *err);
/* Waits for the next INPUT of `index` and moves it out. codes: OK, CANCELLED */
AP_CHECKED enum apiary_code bee_control_input_take(struct bee_control *control, size_t index,
    struct ap_wire_message *out, struct apiary_error *err);

/* Sends on the job channel; body and fd stay the caller's. Thread-safe. */
AP_CHECKED enum apiary_code bee_send(enum ap_wire_kind kind, uint32_t job, struct ap_str body,
    int fd, const uint64_t values[AP_WIRE_VALUES], struct apiary_error *err);

/* For the moment at which the engine gives up: tells FAILED for the job that runs, if
 * one does, without memory and without locks, then ends the process. */
__attribute__((noreturn)) void bee_last_words(const char *type, const char *message);

/* CPU time of this process so far, microseconds. */
uint64_t bee_cpu_us(void);

#endif
