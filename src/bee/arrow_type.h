/* Engine types as Arrow types.
 *
 * | engine                         | Arrow                          | metadata apiary.type |
 * | ------------------------------ | ------------------------------ | -------------------- |
 * | BOOLEAN, integers, floats      | the same                       |                      |
 * | HUGEINT, UHUGEINT              | decimal128(38,0), range checked| HUGEINT, UHUGEINT    |
 * | DECIMAL(w,s)                   | decimal128(w,s)                |                      |
 * | VARCHAR, BLOB                  | utf8, binary                   | JSON for JSON        |
 * | UUID, ENUM                     | utf8                           | UUID, ENUM           |
 * | BIT, TIME WITH TIME ZONE, BIGNUM | utf8, the engine's text      | BIT, TIMETZ, BIGNUM  |
 * | DATE, TIME, TIME_NS            | date32, time64[us], time64[ns] |                      |
 * | TIMESTAMP (_S, _MS, _NS)       | timestamp[us] (s, ms, ns)      |                      |
 * | TIMESTAMP WITH TIME ZONE       | timestamp[us, session zone]    |                      |
 * | INTERVAL                       | month_day_nano                 |                      |
 * | LIST, ARRAY, STRUCT, MAP, UNION| list, fixed-size list, struct, map, sparse union |    |
 * | GEOMETRY                       | binary (WKB)                   | GEOMETRY             |
 * | NULL                           | null                           |                      |
 *
 * Anything else is UNSUPPORTED, with the advice to cast. */
#ifndef AP_BEE_ARROW_TYPE_H
#define AP_BEE_ARROW_TYPE_H

#include "bee/failure.h"

#include <duckdb.h>
#include <nanoarrow/nanoarrow.h>

enum { BEE_TYPE_DEPTH_MAX = 64, BEE_UNION_MEMBERS_MAX = 127 };

/* The schema of a result: a struct of its columns, names exactly as the engine has
 * them (duplicates too). Release *out. */
AP_CHECKED enum apiary_code bee_arrow_schema(
    duckdb_result *result, const char *timezone, struct ArrowSchema *out, struct bee_failure *why);

#endif
