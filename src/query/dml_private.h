/* Between dml.c (the statement: what is read, written again and committed) and dml_text.c (its texts). */
#ifndef AP_QUERY_DML_PRIVATE_H
#define AP_QUERY_DML_PRIVATE_H

#include "query/compact.h"
#include "query/dml.h"

#define AP_DML_MEANT "apiary_meant" /* a column: does the condition hold? */

struct ap_rewriting {
    struct ap_request *request;
    struct ap_source *source;
    struct ap_target target;
    struct ap_str condition; /* as the engine is to see it; empty: every row */
    struct ap_str *values;   /* of the assignments */
    size_t *columns;         /* in the schema, of the assignments */
    size_t count;
    struct ap_bytes alias; /* quoted */
    const struct ap_predicate *predicate; /* what the target's rows must satisfy; NULL: unknown */
    struct ap_compact_plan plan;
    struct ap_written written;
    const struct ap_cell **removes;
    size_t remove_count, remove_capacity;
    int64_t changed;
};

/* The statement as a SELECT of its values where its condition holds, part by part between marks: part 0 is the condition,
 * part i + 1 the i-th value. Parameters have their numbers. codes: SQL */
AP_CHECKED enum apiary_code ap_dml_text(
    const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err);
/* The same of a statement with USING or FROM, as a join with those tables: a name that more than one of them has is refused
 * there, which in the queries of the text above would be taken for one of theirs. */
AP_CHECKED enum apiary_code ap_dml_joined(
    const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err);
/* What became of a part; points into the text. codes: SQL */
AP_CHECKED enum apiary_code ap_dml_part(
    struct ap_str text, size_t number, struct ap_str *out, struct apiary_error *err);
struct ap_str ap_dml_condition(const struct ap_rewriting *rewriting);
/* " FROM (rows) AS alias" */
AP_CHECKED enum apiary_code ap_dml_from(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err);
/* Is there a query in the text, as far as its words tell? */
bool ap_dml_has_query(struct ap_str text);
/* All of the rows as they will be after an UPDATE; those that a DELETE leaves. */
AP_CHECKED enum apiary_code ap_dml_updated(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_dml_remaining(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err);

#endif
