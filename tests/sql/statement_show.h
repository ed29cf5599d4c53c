/* A parsed statement as one line of text, for tables of expectations: the kind, then every field
 * that is not empty. */
#ifndef TESTS_SQL_STATEMENT_SHOW_H
#define TESTS_SQL_STATEMENT_SHOW_H

#include "sql/statement.h"

void show_statement(const struct ap_statement *statement, struct ap_bytes *out);

#endif
