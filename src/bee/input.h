/* Arrow rows from the node as a view of the engine: sealed memory files are asked for
 * (NEED) as the engine reads, and the IPC messages in them decoded without copying.
 * What arrives is validated in full before the engine sees it.
 *
 * An input is read once: a statement that scans it twice gets an error rather than
 * half of the rows each. Several engine threads read it at once; its order is kept
 * as long as the engine's preserve_insertion_order is on. */
#ifndef AP_BEE_INPUT_H
#define AP_BEE_INPUT_H

#include "bee/control.h"
#include "bee/failure.h"

enum { BEE_INPUT_THREADS_MAX = 64 };

struct bee_inputs;

/* Registers a view of each name on the connection; waits for each schema.
 * codes: INVALID, CORRUPT (type "input"), CANCELLED, SQL (the engine's words) */
AP_CHECKED enum apiary_code bee_inputs_open(struct bee_control *control, uint32_t job,
    duckdb_connection connection, const struct ap_texts *names, struct bee_inputs **out,
    struct bee_failure *why);
/* Why an input failed while the engine read it: replaces the engine's account of it
 * in *why. False when none did. */
bool bee_inputs_failure(struct bee_inputs *inputs, struct bee_failure *why);
/* Only when no statement uses them any more. NULL does nothing. */
void bee_inputs_close(struct bee_inputs *inputs);

#endif
