/* What the files over the syntax tree share: looking at nodes, and the scopes of WITH. */
#ifndef AP_SQL_TREE_PRIVATE_H
#define AP_SQL_TREE_PRIVATE_H

#include "sql/tree.h"

bool ap_node_is(
    yyjson_val *node, const char *key, const char *text);     /* member `key` is that string */
struct ap_str ap_node_str(yyjson_val *node, const char *key); /* "" when absent */
bool ap_node_is_query(yyjson_val *value);                     /* SELECT_NODE and the like */
size_t ap_node_location(yyjson_val *node);                    /* SIZE_MAX unknown */
yyjson_val *ap_node_list(
    yyjson_val *node, const char *key); /* array, or NULL when absent or empty */
/* The node of the document's one statement. codes: CORRUPT, SQL */
AP_CHECKED enum apiary_code ap_tree_root(
    yyjson_doc *tree, yyjson_val **out, struct apiary_error *err);

/* A name of WITH. What it hides lies behind it in the list: the newest comes first. */
struct ap_cte {
    struct ap_str name;
    void *body; /* whatever the walker keeps of it */
    const struct ap_cte *outer;
};
/* Names match ignoring case; only unqualified ones can mean a CTE. */
const struct ap_cte *ap_cte_find(const struct ap_cte *scope, struct ap_str name);

/* Is the BASE_TABLE node a CTE in scope (or recurring.x of one)? */
const struct ap_cte *ap_cte_of(const struct ap_cte *scope, yyjson_val *base_table);

/* 'x.csv', 's3://…': what no frame can be called, but a file. */
bool ap_is_file_name(struct ap_str name);
/* Table functions whose first argument is a file, or a list of them. */
bool ap_is_file_function(struct ap_str name);

/* tree_constant.c: TRUE, or 't'::BOOLEAN, as which the engine writes it down. */
bool ap_node_bool(yyjson_val *expression, bool *out);
/* The SQL of a text, a whole number, a boolean, a list or a struct of such. *is false: it is none of them,
 * and what was added is of no use. */
AP_CHECKED enum apiary_code ap_node_constant(
    yyjson_val *expression, struct ap_bytes *out, bool *is, struct apiary_error *err);
/* tree_ledger.c: fills in ledger_only and the asks. */
AP_CHECKED enum apiary_code ap_tree_find_asks(struct ap_arena *arena, yyjson_val *node,
    struct ap_tree_names *names, struct apiary_error *err);
/* tree_columns.c: columns_differ of the query `node`. */
bool ap_tree_columns_differ(yyjson_val *node);

#endif
