/* The cut: one SELECT into a fragment, which runs over parts of one frame's cells, and a query over
 * the fragments' rows. Pure: trees in, trees and text out; the engine turns trees into SQL and says
 * what types columns have.
 *
 *   find     one reference r to a frame is sharded: the largest for which there is a node B above it
 *            such that everything between is linear in r; where UNION ALL stands between, one more
 *            reference for each of its other branches. Parts beside them that every task reads whole
 *            and that are not sure to come out the same (or are large) are to be run first, once
 *   parts    the fragment; the statement with B's rows in place of B (`above`)
 *   text     the fragment's SQL with casts to what travels well; the view that merges partials
 *
 * Linear in r: the rows over a union of r's parts are the union of the rows over each part. Filters,
 * projections and UNNEST are; an INNER or CROSS join from either side, a LEFT, SEMI, ANTI or ASOF join
 * from its left side, a RIGHT join from its right. A WITH name counts where it is used, and must be
 * used once. UNION ALL is one if every branch has a sharded reference of its own, to which it is linear:
 * whatever share of each of them a task holds (none is one), the tasks' rows together are those of all.
 * Nothing else is: UNION ALL with a whole branch would count that branch once a task.
 *
 * B by kind
 *   AGGREGATE  partial by all grouping keys; merged by the original GROUP BY or GROUPING SETS
 *   DISTINCT   SELECT DISTINCT, or a branch of UNION: distinct in each, then of all
 *   TOP        ORDER BY … LIMIT n OFFSET m: the first n + m of each, then the whole
 *   GATHER     the rows of the linear part, for everything else
 * What stands above B runs once, over B's merged rows, in the types and names that B had. */
#ifndef AP_SQL_CUT_H
#define AP_SQL_CUT_H

#include "sql/tree.h"

enum ap_cut_kind {
    AP_CUT_WHOLE, /* not cut */
    AP_CUT_AGGREGATE,
    AP_CUT_DISTINCT,
    AP_CUT_TOP,
    AP_CUT_GATHER
};
const char *ap_cut_kind_text(enum ap_cut_kind kind); /* "whole", "aggregate", … */

/* Names of ours in the SQL that comes out. A statement that uses such names itself is not cut. */
#define AP_CUT_PREFIX "apiary_"
#define AP_CUT_PARTIALS "apiary_partials" /* the partials of all tasks: columns c0, c1, … */
#define AP_CUT_MERGED "apiary_merged"     /* the view over them */
#define AP_CUT_SHARD "apiary_shard"       /* the reference r in a fragment */
enum { AP_CUT_REFERENCES_MAX = 64, AP_CUT_SHARD_SIZE = 40 };
/* The name of sharded reference `index`: AP_CUT_SHARD, then AP_CUT_SHARD "_1", … */
void ap_cut_shard_name(size_t index, char out[AP_CUT_SHARD_SIZE]);

/* What the caller knows about names->tables[i]. */
struct ap_cut_table {
    bool is_frame;  /* false: nothing that could be sharded */
    uint64_t bytes; /* of the cells that are read */
};

/* Mistakes that the tests plant, to see that they are caught. Never set otherwise. */
enum ap_cut_mistake {
    AP_CUT_MISTAKE_WITH_TWICE = 1,   /* a WITH name that is used twice is taken for linear */
    AP_CUT_MISTAKE_UNION_WHOLE = 2,  /* UNION ALL with a whole branch is taken for linear */
    AP_CUT_MISTAKE_LIMIT = 4,        /* LIMIT, a sample in a part that each task reads whole */
    AP_CUT_MISTAKE_AVERAGE = 8,      /* avg merged as the average of averages */
    AP_CUT_MISTAKE_COUNT_TYPE = 16   /* count merged without its type */
};

struct ap_cut_options {
    const struct ap_cut_table *tables; /* one for each of names->tables */
    /* Is every column of this name, in every frame of the statement, an integer or a decimal? Sums of
     * such come out the same in any order. NULL: none is. */
    bool (*exact_column)(void *context, struct ap_str name);
    /* Does any frame of the statement have a column of this name? NULL: none. */
    bool (*is_column)(void *context, struct ap_str name);
    void *context;
    uint64_t first_bytes; /* queries beside r over at least so many bytes are run first; 0: never */
    /* Query nodes that were found to need the rows around them: they cannot be run first. */
    yyjson_val *const *bound;
    size_t bound_count;
    const bool *excluded; /* references that turned out not to do as r, one flag each; NULL: none */
    const bool *alone;    /* those that did not do together with others: UNION ALL ends what is linear in them */
    unsigned mistakes;
};

/* A query beside r that is run first. Its SQL comes from ap_cut_first_tree. */
struct ap_cut_first {
    yyjson_val *node;
    bool needed; /* false: only because it is large, it may as well be read by each task */
};

struct ap_cut {
    enum ap_cut_kind kind;
    const char *why;  /* WHOLE: one line for the user, begins lower case. Static */
    const size_t *references; /* the sharded ones in the order of their names, r among them: indexes into names->tables */
    size_t reference_count;   /* 1 but for UNION ALL */
    struct ap_cut_first *firsts;
    size_t first_count;
    /* The names of the FROM's columns are wanted by ap_cut_parts (tree: ap_cut_from_tree). */
    bool wants_from;
    bool rows;    /* GATHER of what B reads, not of what it gives */
    bool at_root; /* B is the statement itself: its columns are the statement's */
    bool plain;   /* GATHER at the root and nothing else: the answer is the fragments' rows, in any order */
    struct ap_cut_state *state; /* in the arena */
};

/* codes: MEMORY, CORRUPT, LIMIT. A statement that cannot be cut is no failure: kind WHOLE. */
AP_CHECKED enum apiary_code ap_cut_find(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_tree_names *names, const struct ap_cut_options *options, struct ap_cut *out,
    struct apiary_error *err);

/* What was to be cut is not; `why` is static. OK, to be returned. */
enum apiary_code ap_cut_whole(struct ap_cut *cut, const char *why);

/* Nodes of the tree become something else: a table reference the query of `tree` (a view), an
 * expression the first column of its select list (a constant).
 * codes: MEMORY, CORRUPT; SQL with the engine's text for a tree that is an error */
struct ap_cut_swap {
    const yyjson_val *node;
    yyjson_doc *tree;
};
AP_CHECKED enum apiary_code ap_cut_swap_nodes(yyjson_doc *tree, const struct ap_cut_swap *swaps,
    size_t count, struct ap_bytes *out, struct apiary_error *err);

/* Parameters, and what depends on the moment or the session: the same in every part, so it is looked
 * up before (options: is_column alone is used). */
enum { AP_CUT_CONSTANTS_MAX = 1000 };
struct ap_cut_constants {
    yyjson_val **nodes;
    size_t count;
    bool too_many;
};
AP_CHECKED enum apiary_code ap_cut_find_constants(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_cut_options *options, struct ap_cut_constants *out, struct apiary_error *err);
/* A statement whose columns are the text and the type of each of them, in turn: two columns each. */
AP_CHECKED enum apiary_code ap_cut_constants_tree(
    const struct ap_cut_constants *constants, struct ap_bytes *out, struct apiary_error *err);

/* Trees as JSON for json_deserialize_sql. */
/* SELECT * FROM what B reads: for the names of its columns. */
AP_CHECKED enum apiary_code ap_cut_from_tree(
    const struct ap_cut *cut, struct ap_bytes *out, struct apiary_error *err);
/* firsts[index] as a statement of its own. */
AP_CHECKED enum apiary_code ap_cut_first_tree(
    const struct ap_cut *cut, size_t index, struct ap_bytes *out, struct apiary_error *err);
/* B itself as a statement: for the names of its columns. */
AP_CHECKED enum apiary_code ap_cut_node_tree(
    const struct ap_cut *cut, struct ap_bytes *out, struct apiary_error *err);

struct ap_cut_inputs {
    const char *const *from_names; /* by DESCRIBE of ap_cut_from_tree, when wanted */
    size_t from_count;
    const char *const *node_names; /* by DESCRIBE of ap_cut_node_tree */
    size_t node_count;
    const char *const *first_tables; /* firsts[i] is read as this table */
};
struct ap_cut_parts {
    struct ap_bytes fragment; /* tree; its columns by position: see text */
    struct ap_bytes probe;    /* tree: the fragment's columns, behind them what B has of its own */
    struct ap_bytes above;    /* tree */
    size_t partial_count;     /* columns of the fragment; what the probe has besides is B's */
};
void ap_cut_parts_done(struct ap_cut_parts *parts);
/* cut->kind becomes WHOLE, with a reason, when something turns up that cannot be cut. */
AP_CHECKED enum apiary_code ap_cut_build(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    struct ap_cut_parts *out, struct apiary_error *err);

/* The types (engine's text) of the probe's columns. `sql` is the fragment's tree as SQL. */
AP_CHECKED enum apiary_code ap_cut_fragment_sql(struct ap_cut *cut, struct ap_str sql,
    const char *const *types, size_t count, struct ap_bytes *out, struct apiary_error *err);
/* The SELECT behind the view AP_CUT_MERGED. */
AP_CHECKED enum apiary_code ap_cut_merged_sql(struct ap_cut *cut, const char *const *types,
    size_t count, struct ap_bytes *out, struct apiary_error *err);

/* Columns that leave a chamber and come back: casts there ("SELECT CAST(c0 AS DECIMAL(38,0)) AS c0, …
 * FROM (sql) AS f(c0, …)") and back ("SELECT CAST(c0 AS HUGEINT) AS "x", … FROM table"). *travels is
 * false when a type cannot be carried without loss. names NULL: c0, c1, … */
AP_CHECKED enum apiary_code ap_cut_pack_sql(struct ap_str sql, const char *const *types,
    size_t count, struct ap_bytes *out, bool *travels, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_cut_unpack_sql(const char *table, const char *const *types,
    const char *const *names, size_t count, struct ap_bytes *out, struct apiary_error *err);

/* Columns of the fragment, once it is built. */
size_t ap_cut_partial_count(const struct ap_cut *cut);

/* May the statement be run in parts at all? NULL, or why not. */
const char *ap_cut_refusal(
    yyjson_doc *tree, const struct ap_tree_names *names, const struct ap_cut_options *options);

#endif
