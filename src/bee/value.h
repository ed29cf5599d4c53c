/* Parameters: the wire's values become the engine's. */
#ifndef AP_BEE_VALUE_H
#define AP_BEE_VALUE_H

#include "bee/failure.h"
#include "core/json.h"

#include <duckdb.h>

/* Binds the array `values` of a job document ("{"n","t","v"}" each, NULL allowed) to
 * a prepared statement, by name where one is given, else by position.
 * codes: INVALID (a value out of form, an unknown name), SQL (the engine's words) */
AP_CHECKED enum apiary_code bee_values_bind(
    duckdb_prepared_statement statement, yyjson_val *values, struct bee_failure *why);

#endif
