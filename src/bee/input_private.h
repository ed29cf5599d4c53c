/* One Arrow input: decoding on one side (input.c), a table function of the engine on
 * the other (input_scan.c). */
#ifndef AP_BEE_INPUT_PRIVATE_H
#define AP_BEE_INPUT_PRIVATE_H

#include "bee/input.h"

#include <nanoarrow/nanoarrow.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <pthread.h>
#include <stdatomic.h>

struct bee_input {
    pthread_mutex_t mutex; /* of all that decoding changes */
    struct bee_control *control;
    uint32_t job;
    size_t index;
    struct ArrowSchema schema;
    struct ArrowIpcDecoder decoder;
    struct ArrowBuffer shared; /* the mapped file being read; its clones keep it */
    struct ap_str rest;        /* what of it was not decoded yet */
    bool has_schema, ended, failed;
    struct bee_failure why;

    /* What the engine's table function holds of this input; it lives as long as the function, which
     * is as long as the instance, and leads nowhere once the input is gone. */
    struct bee_input **gate;
    duckdb_connection connection;
    duckdb_arrow_converted_schema converted;
    duckdb_logical_type *types; /* of the columns, schema.n_children */
    _Atomic int scans;          /* begun so far */
};

/* The next batch, owned by the caller; release NULL at the end. Thread-safe. The
 * reason of a failure stays in input->why. */
AP_CHECKED enum apiary_code bee_input_next(struct bee_input *input, struct ArrowArray *out);

/* Makes the input readable as the view `name`; the reason of a failure in input->why. */
AP_CHECKED enum apiary_code bee_input_register(
    struct bee_input *input, duckdb_connection connection, const char *name);
void bee_input_unregister(struct bee_input *input);

#endif
