/* Why a job failed, in the form in which the wire tells it. */
#ifndef AP_BEE_FAILURE_H
#define AP_BEE_FAILURE_H

#include "core/str.h"

enum { BEE_FAILURE_TYPE_SIZE = 48 };

struct bee_failure {
    struct apiary_error err;          /* the message, one line */
    char type[BEE_FAILURE_TYPE_SIZE]; /* "" until known: then derived from err.code */
    int64_t position;                 /* byte offset in the statement; -1 unknown */
    int64_t setup;                    /* index of the set-up statement; -1 */
};
void bee_failure_init(struct bee_failure *why);

/* Sets the message from what the engine said, and returns the code it stands for
 * (SQL, MEMORY, CANCELLED). With errors_as_json on, the engine gives type, text and
 * position apart; wrapper texts before it are dropped.
 *
 * text   the engine's message, or NULL
 * source chamber.md 2.2: a streaming error comes wrapped, out-of-memory advises locked SETs */
enum apiary_code bee_fail_engine(struct bee_failure *why, const char *text);

/* Fails with a type of its own: "input", "internal", "memory", "not_implemented" … */
enum apiary_code bee_fail(struct bee_failure *why, const char *type, enum apiary_code code,
    const char *format, ...) AP_PRINTF(4, 5);

/* Fails with what nanoarrow said: MEMORY for ENOMEM, else INTERNAL. */
struct ArrowError;
enum apiary_code bee_fail_arrow(
    struct bee_failure *why, int code, const struct ArrowError *error, const char *what);

/* The body of FAILED. */
AP_CHECKED enum apiary_code bee_failure_json(
    const struct bee_failure *why, struct ap_bytes *out, struct apiary_error *err);

#endif
