/* Reads tests/sql/trees/NAME.json: the cases that make_trees.py wrote. */
#ifndef TESTS_SQL_TREE_CASES_H
#define TESTS_SQL_TREE_CASES_H

#include "sql/tree.h"

struct tree_case {
    char *sql;
    yyjson_val *expected; /* the whole case */
    yyjson_doc *tree;
};

typedef void (*tree_case_check)(const struct tree_case *tree_case);

/* Calls `check` for each case that has a member `key`; fails when there is none. */
void each_tree_case(const char *name, const char *key, tree_case_check check);

#endif
