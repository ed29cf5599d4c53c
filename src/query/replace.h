/* The partitions that a condition means: INSERT … REPLACE WHERE, OPTIMIZE … WHERE. */
#ifndef AP_QUERY_REPLACE_H
#define AP_QUERY_REPLACE_H

#include "query/target.h"

/* The cells of the target's base whose partition satisfies `condition` (over partition columns
 * only): *removes is an array of the caller's (ap_free). clause, hint: for the message
 * where the frame has none. codes: UNSUPPORTED (not partitioned), SQL (another column is named), … A chamber is used and given
 * back. */
AP_CHECKED enum apiary_code ap_replaced_cells(struct ap_session *session,
    const struct ap_target *target, struct ap_str condition, const char *clause, const char *hint,
    const struct ap_cell ***removes, size_t *count, struct apiary_error *err);

/* `select` with a check of every row: one that does not satisfy the condition fails the statement.
 */
AP_CHECKED enum apiary_code ap_replace_guard(const struct ap_target *target,
    struct ap_str condition, struct ap_bytes *select, struct apiary_error *err);

#endif
