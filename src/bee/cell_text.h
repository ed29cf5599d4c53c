/* One cell of an engine vector as an engine value or as text, for any type whose
 * values the C API can make. Slow (a value per cell): for small results and for
 * the few types that Arrow has no place for. */
#ifndef AP_BEE_CELL_TEXT_H
#define AP_BEE_CELL_TEXT_H

#include "bee/failure.h"

#include <duckdb.h>

/* vector: flat, of logical type `type`; row: within it. *out is to be destroyed.
 * codes: UNSUPPORTED (a type without values, named), MEMORY */
AP_CHECKED enum apiary_code bee_cell_value(duckdb_vector vector, duckdb_logical_type type,
    idx_t row, duckdb_value *out, struct bee_failure *why);
/* Appends the engine's own text of the cell; *null instead when it is NULL. A
 * timestamp with time zone is written in UTC. */
AP_CHECKED enum apiary_code bee_cell_text(duckdb_vector vector, duckdb_logical_type type, idx_t row,
    struct ap_bytes *out, bool *null, struct bee_failure *why);

#endif
