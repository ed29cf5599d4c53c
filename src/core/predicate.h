/* What pruning understands of a WHERE clause: comparisons of one column with
 * constants, joined by AND and OR. Made by sql/, evaluated by ledger/prune.
 *
 * A predicate is *necessary*: rows for which it is false are not in the answer.
 * What is not understood becomes AP_PREDICATE_TRUE, so a tree is never too
 * strict. NULL semantics are those of SQL: a row survives a conjunct only when
 * it is true (not false, not NULL). */
#ifndef AP_CORE_PREDICATE_H
#define AP_CORE_PREDICATE_H

#include "core/arena.h"

enum ap_predicate_kind {
    AP_PREDICATE_TRUE, /* nothing is known */
    AP_PREDICATE_FALSE,
    AP_PREDICATE_AND,
    AP_PREDICATE_OR,
    AP_PREDICATE_COMPARE, /* column op value */
    AP_PREDICATE_IN,      /* column IN (values) */
    AP_PREDICATE_IS_NULL,
    AP_PREDICATE_IS_NOT_NULL,
    AP_PREDICATE_PREFIX /* column LIKE 'prefix%' */
};
enum ap_compare { AP_EQ, AP_NE, AP_LT, AP_LE, AP_GT, AP_GE };

/* A constant as the statement wrote it. Pruning converts `text` to the column's
 * type itself and keeps the cell when that is not exact. */
enum ap_literal_type {
    AP_LITERAL_NULL,
    AP_LITERAL_BOOL,
    AP_LITERAL_NUMBER, /* integer or decimal digits, exact: "-12.50" */
    AP_LITERAL_DOUBLE, /* shortest round-trip text of a double, "inf", "nan" */
    AP_LITERAL_STRING, /* untyped string constant or VARCHAR */
    AP_LITERAL_DATE,   /* yyyy-MM-dd */
    AP_LITERAL_TIMESTAMP,   /* yyyy-MM-dd HH:mm:ss[.ffffff], no zone */
    AP_LITERAL_TIMESTAMP_TZ /* the same in UTC */
};
struct ap_literal {
    enum ap_literal_type type;
    struct ap_str text;
};

struct ap_predicate {
    enum ap_predicate_kind kind;
    /* path of the column: names outermost first ("a", or "s","f" for s.f) */
    const struct ap_str *column;
    size_t column_depth;
    enum ap_compare compare;
    const struct ap_literal *values; /* COMPARE and PREFIX: one; IN: value_count */
    size_t value_count;
    struct ap_predicate *const *children; /* AND, OR */
    size_t child_count;
};

#endif
