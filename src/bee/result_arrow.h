/* A streamed result as Arrow IPC: one SCHEMA, then BATCHes of 64 K to 120 K rows or
 * at most 8 MiB, each for one credit of the node. */
#ifndef AP_BEE_RESULT_ARROW_H
#define AP_BEE_RESULT_ARROW_H

#include "bee/control.h"
#include "bee/failure.h"

/* Sends all of `result`. timezone: of TIMESTAMP WITH TIME ZONE columns.
 * memory_bytes: the engine's limit, by which batches are smaller.
 * codes: those of the engine, CANCELLED, MEMORY, LIMIT, CHAMBER (the node is gone) */
AP_CHECKED enum apiary_code bee_result_arrow(struct bee_control *control, uint32_t job,
    duckdb_result *result, const char *timezone, uint64_t memory_bytes, uint64_t *rows,
    struct bee_failure *why);

#endif
