/* The statement table (design, section 3): which statement is served by whom, what it needs, and
 * what is refused with which way out. docs/sql.md shows it; a test compares the two and parses
 * every example. */
#ifndef AP_SQL_STATEMENT_TABLE_H
#define AP_SQL_STATEMENT_TABLE_H

#include "sql/statement.h"

enum ap_served_by {
    AP_SERVED_CHAMBER,   /* engine work in a sealed chamber */
    AP_SERVED_CATALOGUE, /* the registry: no engine needed, or only to read a type or a query's
                            columns */
    AP_SERVED_LEDGER,    /* a frame's log alone */
    AP_SERVED_SESSION    /* state of the session */
};

/* Which of a kind's forms a row is about. */
enum ap_statement_form {
    AP_FORM_ANY,
    AP_FORM_COLUMNS,
    AP_FORM_QUERY,
    AP_FORM_PLACE,
    AP_FORM_TEMPORARY,
    AP_FORM_WRITES
};

struct ap_statement_rule {
    const char *syntax;  /* as docs/sql.md has it */
    const char *example; /* parses to exactly this row */
    enum ap_statement_kind kind;
    enum ap_object_kind object; /* NONE: any */
    enum ap_alter_kind alter;   /* NONE: any */
    enum ap_statement_form form;
    enum ap_served_by served;
    bool needs_snapshot; /* pins a version of every frame it names */
    bool may_distribute; /* tasks for other nodes, where it is large enough */
    bool writes_frame;   /* ends in one ledger commit */
};

struct ap_refused_rule {
    const char *words; /* that the statement begins with, one space between them */
    const char *example;
    const char *message, *hint; /* hint: the way out */
};

/* The row of a parsed statement; NULL for EMPTY and REFUSED. Static storage. */
const struct ap_statement_rule *ap_statement_rule(const struct ap_statement *statement);
const char *ap_served_text(enum ap_served_by served); /* "chamber" */

const struct ap_statement_rule *ap_statement_rules(size_t *count);
const struct ap_refused_rule *ap_refused_rules(size_t *count);

#endif
