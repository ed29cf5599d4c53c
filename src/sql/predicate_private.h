/* From expressions to predicates, between the files that do it:
 *
 *   predicate_build.c    what each query selects from, which WITH names it uses
 *   predicate_columns.c  which column of which table a name means
 *   predicate_literal.c  constants
 *   predicate_convert.c  one expression to what it demands of one table
 *   predicate_push.c     which expressions a table's rows must satisfy, by the kinds of the joins
 *                        and of the queries above it
 *
 * The invariant of all: a predicate is necessary. A row of the table for which it is not true may
 * be taken out of the table without changing the answer. What is not known for certain is "no
 * demand", written as NULL between these files. */
#ifndef AP_SQL_PREDICATE_PRIVATE_H
#define AP_SQL_PREDICATE_PRIVATE_H

#include "core/map.h"
#include "sql/tree_private.h"

enum { PATH_MAX_PARTS = 16, LEAVES_MAX = 1000 };

/* What stands in a FROM. */
enum ap_leaf_kind {
    AP_LEAF_OPAQUE, /* a table function, VALUES, PIVOT: its columns are not known */
    AP_LEAF_TABLE,
    AP_LEAF_QUERY,
    AP_LEAF_WITH
};
struct ap_leaf {
    enum ap_leaf_kind kind;
    struct ap_str name; /* that qualified columns use: the alias, or the table's own */
    bool has_alias;
    struct ap_str box, hive; /* TABLE without alias: as written, or empty */
    yyjson_val *renamed;     /* column names behind the alias, or NULL */
    bool sampled;
    size_t table;           /* TABLE: index in names */
    struct ap_query *query; /* QUERY */
    struct ap_with *with;   /* WITH */
    const struct ap_from
        *behind; /* the innermost SEMI or ANTI join on whose right side it stands, or NULL */
};

enum ap_join_kind {
    AP_JOIN_NONE, /* nothing may be taken away on either side */
    AP_JOIN_INNER,
    AP_JOIN_LEFT,
    AP_JOIN_RIGHT,
    AP_JOIN_FULL,
    AP_JOIN_SEMI,
    AP_JOIN_ANTI,
    AP_JOIN_ASOF /* inner or left: each left row is on its own */
};
/* A leaf, or a join of two. Leaves are numbered from left to right; a join spans [first, end). */
struct ap_from {
    struct ap_from *left, *right; /* NULL in a leaf */
    size_t first, end;
    enum ap_join_kind kind;
    yyjson_val *on;     /* or NULL */
    yyjson_val *merged; /* USING columns, or NULL */
    bool natural;
};

struct ap_with {
    struct ap_str name;
    yyjson_val *aliases;
    struct ap_query *query;            /* NULL while it refers to itself */
    size_t uses, reached;              /* references, and how many of them the push came by */
    bool free;                         /* one of them demands nothing */
    const struct ap_predicate *demand; /* any of these */
    struct ap_with *older;             /* of the same query, in reverse order */
};

struct ap_query {
    yyjson_val *node;
    bool is_select;
    struct ap_from *from; /* of a select; NULL: none, or too large */
    struct ap_leaf *leaves;
    size_t leaf_count;
    struct ap_with *withs; /* newest first */
    struct ap_query *children,
        *sibling; /* queries in its expressions, sides of a set operation … */
    bool visited;
};

/* Where an expression stands: the leaves that its names can mean. */
struct ap_scope {
    const struct ap_query *query;
    const struct ap_from *at;
    bool above; /* over `at` (WHERE, the select list), not in its ON */
};

struct ap_named_column {
    const struct ap_leaf *leaf;
    const struct ap_str *path;
    size_t depth;
};

struct ap_predicates {
    struct ap_arena *arena;
    struct ap_tree_names *names;
    ap_has_column has_column;
    void *context;
    struct ap_map tables; /* address of the BASE_TABLE node → index */
    size_t steps;
    bool failed; /* out of memory */
};
/* Counts work; false when there was enough of it for one statement (nothing more is demanded then),
 * or no memory. */
bool ap_predicates_step(struct ap_predicates *run);
void *ap_predicates_alloc(struct ap_predicates *run, size_t size); /* zeroed; NULL sets failed */

struct ap_query *ap_query_build(struct ap_predicates *run, yyjson_val *node);

/* True when the name means exactly this one column. */
bool ap_named_column(struct ap_predicates *run, const struct ap_scope *scope,
    const struct ap_str *names, size_t count, struct ap_named_column *out);
bool ap_named_column_of(struct ap_predicates *run, const struct ap_scope *scope,
    yyjson_val *column_ref, struct ap_named_column *out);
bool ap_named_column_same(const struct ap_named_column *a, const struct ap_named_column *b);

enum ap_output { AP_OUTPUT_NONE, AP_OUTPUT_COLUMN, AP_OUTPUT_OTHER, AP_OUTPUT_UNKNOWN };
/* What a query gives under a name; COLUMN: plainly this column of one of its leaves. */
enum ap_output ap_query_output(struct ap_predicates *run, const struct ap_query *query,
    yyjson_val *renamed, struct ap_str name, struct ap_named_column *out);

/* False when the expression is no constant whose value is known exactly. */
bool ap_literal_of(struct ap_predicates *run, yyjson_val *expression, struct ap_literal *out);

/* What must be true of a row of `leaf` for the expression to be `want` (true, or false: not NULL).
 */
const struct ap_predicate *ap_expression_demand(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want, int depth);

const struct ap_predicate *ap_predicate_both(
    struct ap_predicates *run, const struct ap_predicate *a, const struct ap_predicate *b);
const struct ap_predicate *ap_predicate_either(
    struct ap_predicates *run, const struct ap_predicate *a, const struct ap_predicate *b);
/* AND or OR of a list, which may be changed. */
const struct ap_predicate *ap_predicate_list(struct ap_predicates *run, enum ap_predicate_kind kind,
    const struct ap_predicate **list, size_t count);
/* May it be true of a row whose columns are all NULL? */
bool ap_predicate_takes_null(const struct ap_predicate *predicate);

#endif
