/* Small results as JSON, all in one answer: rows of texts, and the statistics that
 * COPY … RETURN_STATS gives. */
#ifndef AP_BEE_RESULT_JSON_H
#define AP_BEE_RESULT_JSON_H

#include "bee/failure.h"

#include <duckdb.h>

enum { BEE_JSON_BYTES_MAX = 128 << 20 };

/* Appends "columns":[…],"rows":[[text|null,…],…]. LIMIT above BEE_JSON_BYTES_MAX. */
AP_CHECKED enum apiary_code bee_result_json(
    duckdb_result *result, struct ap_bytes *out, struct bee_failure *why);
/* Appends "files":[…] as core/wire.h describes it. INVALID when the statement is no
 * COPY with RETURN_STATS. */
AP_CHECKED enum apiary_code bee_result_files(
    duckdb_result *result, struct ap_bytes *out, struct bee_failure *why);

#endif
