/* What the files of the cut share.
 *
 *   cut_index.c       query nodes, tables and WITH names of a tree, each with where it stands
 *   cut_functions.c   what aggregates are, which can be merged
 *   cut_linear.c      joins that rows pass one by one, branches of UNION ALL
 *   cut_find.c        r and B
 *   cut_beside.c      what tasks read whole: is it sure to be the same everywhere?
 *   cut_build.c       copies of trees with nodes put in place of others
 *   cut_aggregate.c, cut_rows.c   the parts by kind of B
 *   cut_text.c        types that travel, fragments and merged views as SQL */
#ifndef AP_SQL_CUT_PRIVATE_H
#define AP_SQL_CUT_PRIVATE_H

#include "core/alloc.h"
#include "core/map.h"
#include "sql/cut.h"
#include "sql/tree_private.h"

/* Where a query node stands. */
enum ap_cut_place {
    AP_PLACE_ROOT,
    AP_PLACE_FROM,  /* holder: the SUBQUERY of the owner's FROM */
    AP_PLACE_WITH,  /* with: its name */
    AP_PLACE_UNION, /* a branch of a set operation without ALL that is UNION */
    AP_PLACE_UNION_ALL,
    AP_PLACE_OTHER  /* in an expression, a branch of another set operation, recursion */
};

struct ap_cut_with;
struct ap_cut_query {
    yyjson_val *node;
    struct ap_cut_query *owner; /* the query node around it; NULL for the root */
    enum ap_cut_place place;
    bool in_expression; /* it, or a query around it, hangs in an expression: it may be correlated */
    yyjson_val *holder;
    struct ap_cut_with *with;
    const struct ap_cte *scope; /* names of WITH that it sees, its own apart; body: ap_cut_with */
    bool holds_r;               /* a sharded reference stands in it, WITH names not followed */
    struct ap_cut_query *next;  /* in order of the walk: outer before inner */
};
struct ap_cut_with {
    yyjson_val *entry; /* of cte_map: {"key", "value"} */
    struct ap_str name;
    struct ap_cut_query *body, *owner;
    struct ap_cut_use *uses;
    size_t use_count;
    struct ap_cut_with *next;
};
/* A BASE_TABLE. */
struct ap_cut_use {
    yyjson_val *node;
    struct ap_cut_query *owner;
    struct ap_cut_with *with; /* NULL: no WITH name */
    size_t table;             /* index into names->tables; SIZE_MAX: none */
    bool sharded;
    struct ap_cut_use *next;
    struct ap_cut_use *next_of_with;
};
struct ap_cut_index {
    struct ap_cut_query *queries;
    struct ap_cut_with *withs;
    struct ap_cut_use *uses;
};
AP_CHECKED enum apiary_code ap_cut_index_build(struct ap_arena *arena, yyjson_doc *tree,
    const struct ap_tree_names *names /* NULL: table numbers are not wanted */,
    struct ap_cut_index *out, struct apiary_error *err);
/* What was noted of a node; NULL: nothing. */
struct ap_cut_query *ap_cut_query_of(const struct ap_cut_index *index, const yyjson_val *node);
struct ap_cut_use *ap_cut_use_of(const struct ap_cut_index *index, const yyjson_val *node);

/* ---- functions ---- */

enum ap_cut_merge {
    AP_MERGE_NONE,  /* an aggregate that cannot be merged */
    AP_MERGE_COUNT, /* sum of counts */
    AP_MERGE_SUM,
    AP_MERGE_SAME,    /* merged by itself: min, max, bool_and, … */
    AP_MERGE_AVERAGE, /* sum ÷ count */
    AP_MERGE_SPREAD,  /* variance and its kin: count, mean, M2 */
    AP_MERGE_BEST     /* arg_min, arg_max */
};
struct ap_cut_aggregate_kind {
    const char *name;
    enum ap_cut_merge merge;
    int arguments;   /* that it must have to be merged; -1: any number */
    bool exact;      /* sure to come out the same in any order */
    bool if_exact;   /* the same if its arguments are integers or decimals */
    bool distinct;   /* DISTINCT can be merged */
};
const struct ap_cut_aggregate_kind *ap_cut_aggregate(struct ap_str name); /* NULL: none */
/* Macros of the engine that hold aggregates, or the moment. */
bool ap_cut_is_opaque(struct ap_str name);
/* Stable within a statement only: now(), current_schema() … */
bool ap_cut_is_moment(struct ap_str name);
/* Of the engine's inside, or done for what they do: they have no value that could be looked up before. */
bool ap_cut_is_odd(struct ap_str name);

bool ap_cut_is_aggregate_call(yyjson_val *node);
/* Does the expression (queries in it apart) hold an aggregate / a window? */
bool ap_cut_has_aggregate(yyjson_val *value);
bool ap_cut_has_window(yyjson_val *value);
bool ap_cut_has_query(yyjson_val *value);
bool ap_cut_has_star(yyjson_val *value);
/* The same expression, whatever its position and its alias. */
bool ap_cut_same(yyjson_val *a, yyjson_val *b);

/* ---- the state between find and build ---- */

struct ap_cut_aggregate_call {
    yyjson_val *node;
    const struct ap_cut_aggregate_kind *kind;
    bool distinct;
    size_t first; /* of its columns in the fragment */
};
struct ap_cut_state {
    struct ap_arena *arena;
    const struct ap_tree_names *names;
    const struct ap_cut_options *options;
    yyjson_doc *tree;
    struct ap_cut_index index;
    struct ap_cut_use **shards; /* r and those of other branches, by number */
    size_t shard_count;
    struct ap_cut_query *b;
    bool branch_of_union;
    /* AGGREGATE */
    yyjson_val **keys; /* with positions and aliases looked up */
    size_t key_count;
    struct ap_cut_aggregate_call *calls;
    size_t call_count;
    yyjson_val **groupings; /* GROUPING(…) */
    size_t grouping_count;
    size_t *grouping_keys; /* of groupings[0], then of groupings[1] …, each ended by SIZE_MAX */
    /* DISTINCT, TOP, GATHER */
    size_t extra_count; /* ORDER BY expressions behind the node's own columns */
    const char *const *rename; /* names of merged columns; NULL: as built */
    size_t partial_count;
};

/* ---- linear steps ---- */

enum ap_cut_position { AP_CUT_ABSENT, AP_CUT_LINEAR, AP_CUT_BROKEN };
/* Where `target` stands in a FROM, and whether its rows pass every join on the way one by one. */
enum ap_cut_position ap_cut_position_of(yyjson_val *from, const yyjson_val *target);
bool ap_cut_is_union_all(yyjson_val *node); /* by position or by name */
/* Do rows of what the query reads come out one by one: a filter and projection, UNION ALL as it is? */
bool ap_cut_is_passed(yyjson_val *node);
/* A frame that has not been found not to do. */
bool ap_cut_may_shard(const struct ap_cut_state *state, const struct ap_cut_use *use);

/* What a query holds on the way to what is sharded: references, and the queries around them. */
struct ap_cut_held {
    struct ap_cut_use *use; /* or */
    struct ap_cut_query *query;
    struct ap_cut_held *next;
};
struct ap_cut_way {
    struct ap_cut_held *held;
    size_t count; /* references */
    uint64_t bytes;
};
/* The largest reference to a frame in which `query`, a branch of UNION ALL, is linear; one for each branch
 * if it is a UNION ALL itself. count 0: there is none. codes: MEMORY */
AP_CHECKED enum apiary_code ap_cut_way_into(const struct ap_cut_state *state,
    struct ap_cut_query *query, struct ap_cut_way *out, struct apiary_error *err);

/* Fills in firsts, or *why when a part beside r cannot be trusted. */
AP_CHECKED enum apiary_code ap_cut_beside(
    struct ap_cut *cut, const char **why, struct apiary_error *err);
/* Is B's node a plain filter and projection? */
bool ap_cut_is_plain(yyjson_val *node);

/* ---- building ---- */

struct ap_cut_copy;
typedef yyjson_mut_val *(*ap_cut_replace)(struct ap_cut_copy *copy, yyjson_val *value);
struct ap_cut_copy {
    yyjson_mut_doc *doc;
    const struct ap_cut_state *state;
    const struct ap_cut *cut;
    const struct ap_cut_inputs *inputs;
    ap_cut_replace replace; /* NULL: keep; asked for every object */
    bool fragment;          /* what is sharded is the shards' views */
    bool failed;            /* no memory */
    void *context;
};
/* A copy in which sharded references, firsts and what `replace` wants are others. NULL sets failed. */
yyjson_mut_val *ap_cut_copy_value(struct ap_cut_copy *copy, yyjson_val *value);
yyjson_mut_val *ap_cut_copy_members(struct ap_cut_copy *copy, yyjson_val *object);
/* Makers: without memory they set failed and give NULL, which the others bear. */
yyjson_mut_val *ap_cut_column(struct ap_cut_copy *copy, const char *name);
yyjson_mut_val *ap_cut_number(struct ap_cut_copy *copy, int64_t number);
/* A call of a function or an aggregate of these children (NULL ends them). */
yyjson_mut_val *ap_cut_call(struct ap_cut_copy *copy, const char *name, yyjson_mut_val *first,
    yyjson_mut_val *second);
yyjson_mut_val *ap_cut_node(struct ap_cut_copy *copy, const char *class, const char *type,
    yyjson_mut_val *first, yyjson_mut_val *second); /* with children */
yyjson_mut_val *ap_cut_table_ref(struct ap_cut_copy *copy, const char *table, struct ap_str alias);
/* SELECT * FROM (query) */
yyjson_mut_val *ap_cut_all_of(struct ap_cut_copy *copy, yyjson_mut_val *query);
/* SELECT with empty lists; parts are put in by the caller. */
yyjson_mut_val *ap_cut_select(struct ap_cut_copy *copy);
yyjson_mut_val *ap_cut_star(struct ap_cut_copy *copy);
void ap_cut_put(struct ap_cut_copy *copy, yyjson_mut_val *object, const char *key, yyjson_mut_val *value);
void ap_cut_put_text(struct ap_cut_copy *copy, yyjson_mut_val *object, const char *key, struct ap_str text);
void ap_cut_append(struct ap_cut_copy *copy, yyjson_mut_val *object, const char *list, yyjson_mut_val *value);
/* The WITH names that the query and those around it have, for a statement of its own. False when two
 * of them have one name. */
bool ap_cut_with_map(
    struct ap_cut_copy *copy, const struct ap_cut_query *query, yyjson_mut_val *select);
/* The document of one statement, without WITH names that nobody uses. */
AP_CHECKED enum apiary_code ap_cut_write(struct ap_cut_copy *copy, yyjson_mut_val *node,
    struct ap_bytes *out, struct apiary_error *err);
/* The statement with `made` in place of B. */
AP_CHECKED enum apiary_code ap_cut_write_above(struct ap_cut_copy *copy, yyjson_mut_val *made,
    struct ap_bytes *out, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_cut_build_aggregate(struct ap_cut *cut,
    const struct ap_cut_inputs *inputs, struct ap_cut_parts *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_cut_build_output(struct ap_cut *cut,
    const struct ap_cut_inputs *inputs, struct ap_cut_parts *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_cut_build_rows(struct ap_cut *cut,
    const struct ap_cut_inputs *inputs, struct ap_cut_parts *out, struct apiary_error *err);

#endif
