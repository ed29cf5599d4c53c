/* The engine's syntax tree (json_serialize_sql): names, predicates, rewriting. Pure.
 *
 * The tree comes from a chamber and is untrusted: depth and size are bounded. */
#ifndef AP_SQL_TREE_H
#define AP_SQL_TREE_H

#include "core/json.h"
#include "core/predicate.h"

/* a + a + … of 1,000 terms, the engine's own limit, nests 2,000 levels deep. */
enum { AP_TREE_DEPTH_MAX = 4000 };
#define AP_TREE_BYTES_MAX (UINT64_C(256) << 20)
/* The text of json_serialize_sql as a document. codes: CORRUPT, LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_tree_parse(
    struct ap_str text, yyjson_doc **out, struct apiary_error *err);

/* One reference to a table in a statement that is not a CTE in scope, a subquery or a table
 * function. */
struct ap_table_ref {
    struct ap_str parts[3]; /* catalog, schema, table as written (empty when not given) */
    struct ap_str alias;    /* "" when none */
    size_t query_location;  /* byte offset in the statement, SIZE_MAX unknown */
    /* AT (VERSION => x) / AT (TIMESTAMP => x): the expression subtree, or NULL */
    bool at_version, at_time;
    yyjson_val *at_expression;
    yyjson_val *node; /* the BASE_TABLE node */
    /* Necessary condition on this reference's columns (core/predicate.h): conjuncts of WHERE and
     * of inner-join ON (and of the preserved side only where that is right) of the select that it
     * stands in, pushed through nested SELECTs where columns are plain; TRUE when nothing. */
    struct ap_predicate *predicate;
};
/* A table function call that names files: read_csv('x'), FROM 'x.parquet', … */
struct ap_file_option {
    struct ap_str name;
    struct ap_str value; /* SQL of a constant */
};

struct ap_file_ref {
    struct ap_str function; /* "read_parquet"; for FROM 'x': "" */
    struct ap_str *paths;   /* constant string arguments */
    size_t path_count;
    bool constant; /* false: the path is an expression: cannot be granted */
    bool by_name;  /* union_by_name = true */
    bool folders;  /* false: hive_partitioning = false */
    bool folders_asked; /* hive_partitioning = true; else the engine looks whether there are such */
    struct ap_file_option *options; /* other arguments than these two, in order */
    size_t option_count;
    bool others; /* an argument is no constant, or there are too many; or it numbers its rows */
    size_t
        query_location; /* byte offset of the function's name (or of the quoted name) in the text */
    yyjson_val *node;
};
enum ap_ledger_figure { AP_FIGURE_COUNT, AP_FIGURE_MIN, AP_FIGURE_MAX };
struct ap_ledger_ask {
    enum ap_ledger_figure figure;
    struct ap_str column; /* of MIN and MAX */
    struct ap_str alias;  /* the name that the engine gives to the answer's column */
};

/* The value of a parameter, where it is one that a predicate can hold. */
struct ap_parameter {
    struct ap_str name; /* "1", "2", … or as in $name */
    struct ap_literal literal;
};

struct ap_tree_names {
    struct ap_table_ref *tables;
    size_t table_count;
    struct ap_file_ref *files;
    size_t file_count;
    bool is_volatile;          /* random(), uuid(), nextval … */
    bool uses_now;             /* now(), current_date …: stable within a query */
    bool has_order_by;         /* at the top */
    bool limit_at_top, limit_below; /* LIMIT, OFFSET or a sample: of the result, of something within */
    bool columns_differ;       /* the columns of its result, in name: certainly */
    struct ap_texts functions; /* lower-case names of all functions called */
    bool other_sources; /* of rows than tables, files and series: table functions of any kind */
    /* SELECT count(*), min(c), max(c) … FROM one table, nothing else (no WHERE, GROUP BY …):
     * candidates for an answer from the ledger alone */
    bool ledger_only;
    struct ap_ledger_ask *asks; /* of a ledger_only statement */
    size_t ask_count;
    const struct ap_parameter *parameters; /* set by the caller before ap_tree_predicates */
    size_t parameter_count;
};

/* Walks the document `{"error":false,"statements":[{"node":…}]}` of exactly one statement.
 * Everything lives in the arena and in the document, but `functions`, which is the caller's
 * (ap_texts_done). (SHOW TABLES) in a FROM is a reference to the engine's duckdb_tables.
 * codes: CORRUPT, LIMIT, MEMORY; SQL with the engine's text for {"error":true,…} */
AP_CHECKED enum apiary_code ap_tree_names(
    struct ap_arena *arena, yyjson_doc *tree, struct ap_tree_names *out, struct apiary_error *err);
/* Second step, once the columns of every table are known: fills in the predicates.
 * has_column tells whether table i has a column of that name (ignoring case); asked with an empty
 * name, whether its columns are known at all (those of a frame are, of a view not). NULL: columns
 * are attributed only where a single table stands. What cannot be told for certain is TRUE. */
typedef bool (*ap_has_column)(void *context, size_t table, struct ap_str column);
AP_CHECKED enum apiary_code ap_tree_predicates(struct ap_arena *arena, yyjson_doc *tree,
    struct ap_tree_names *names, ap_has_column has_column, void *context, struct apiary_error *err);

/* The figures asked for in a ledger_only statement, in order. The number of them; 0 when it is
 * none, or when there are more than max. */
size_t ap_tree_ledger_asks(
    const struct ap_tree_names *names, yyjson_doc *tree, struct ap_ledger_ask *out, size_t max);

/* What in the select list hangs on more than a row or gives more than one, not counting what queries within it do:
 * "window functions", "aggregates", "unnest"; NULL: nothing. */
const char *ap_tree_beyond_a_row(yyjson_doc *tree);

/* A copy of the tree in which references are renamed (three parts; AT clause removed; alias set
 * so that the reference keeps the name it was known by) and FROM 'file' / read_x('file') paths
 * replaced; as JSON text for json_deserialize_sql. */
struct ap_tree_rename {
    const yyjson_val *node;
    const char *parts[3];
    const char *alias;
};
struct ap_tree_repath {
    const yyjson_val *node;
    const char *const *paths;
    size_t path_count;
};
AP_CHECKED enum apiary_code ap_tree_rewrite(yyjson_doc *tree, const struct ap_tree_rename *renames,
    size_t rename_count, const struct ap_tree_repath *repaths, size_t repath_count,
    struct ap_bytes *out, struct apiary_error *err);

/* Names by tokens alone, for statements that the serialiser refuses (PIVOT …): every dotted name
 * after FROM, JOIN, PIVOT, UNPIVOT, INTO, TABLE and commas of a FROM list that is no CTE. */
AP_CHECKED enum apiary_code ap_token_names(
    struct ap_arena *arena, struct ap_str sql, struct ap_tree_names *out, struct apiary_error *err);

#endif
