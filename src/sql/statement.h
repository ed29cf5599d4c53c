/* Statements that Apiary itself understands, from tokens (design D6). Expressions are never
 * parsed here: a range of the text that must be an expression or a query is kept as a view and
 * checked by the engine. What begins with SELECT, WITH, FROM, VALUES, TABLE, PIVOT, UNPIVOT,
 * DESCRIBE/SUMMARIZE of a query, is AP_STATEMENT_QUERY, unchanged.
 *
 * The statement table (which statement is served by whom, needs a snapshot, may distribute,
 * is refused with which way out) stands in statement_table.c and in docs/sql.md; each row is a
 * test. */
#ifndef AP_SQL_STATEMENT_H
#define AP_SQL_STATEMENT_H

#include "sql/lexer.h"

enum ap_statement_kind {
    AP_STATEMENT_EMPTY,
    AP_STATEMENT_QUERY,    /* rows from the engine: body = whole text */
    AP_STATEMENT_EXPLAIN,  /* body = the explained query; flags.analyze; options (FORMAT …) */
    AP_STATEMENT_USE,      /* name (1 or 2 parts); object says HIVE, BOX or NONE (USE x[.y]) */
    AP_STATEMENT_SHOW,     /* object = what is listed (HIVE, BOX, FRAME, VIEW, COLUMN, SETTING,
                              HISTORY, PIN); name = IN/FROM; pattern = LIKE */
    AP_STATEMENT_DESCRIBE, /* name = frame or view (object FRAME), box or hive (object); at_version,
                              at_time */
    AP_STATEMENT_CREATE_HIVE,
    AP_STATEMENT_CREATE_BOX,
    AP_STATEMENT_CREATE_FRAME, /* columns, or body (AS SELECT), or location */
    AP_STATEMENT_CREATE_VIEW,  /* body; columns (names only); flags.temporary for session views */
    AP_STATEMENT_CREATE_MACRO, /* session only: replayed as written */
    AP_STATEMENT_DROP,         /* object, name, flags.cascade, flags.if_exists */
    AP_STATEMENT_UNDROP,
    AP_STATEMENT_RENAME,      /* object, name, new_name, flags.if_exists */
    AP_STATEMENT_ALTER_FRAME, /* alter and what belongs to it, flags.if_exists */
    AP_STATEMENT_INSERT,      /* name, column list, body = query or VALUES; flags.overwrite,
                                 flags.by_name, flags.default_values */
    AP_STATEMENT_DELETE,      /* name, alias, using_clause, condition */
    AP_STATEMENT_UPDATE, /* name, alias, assignments and options (column, expression), using_clause
                            (FROM), condition */
    AP_STATEMENT_MERGE,  /* body = whole text; name, alias, using_clause, condition (ON), action
                            (from the first WHEN) */
    AP_STATEMENT_TRUNCATE,
    AP_STATEMENT_COPY_TO,   /* body = query in parentheses, or name and columns; path; options */
    AP_STATEMENT_COPY_FROM, /* name, columns, path, options */
    AP_STATEMENT_SET, /* setting, value text; flags.reset; SET VARIABLE: object VARIABLE, body =
                         expression */
    AP_STATEMENT_OPTIMIZE, /* name, condition, cluster_by (ZORDER BY), flags.dry_run */
    AP_STATEMENT_VACUUM,   /* name (may be empty: everything), retain_hours, flags.dry_run */
    AP_STATEMENT_RESTORE,  /* RESTORE FRAME name TO VERSION n | TIMESTAMP t: at_version, at_time */
    AP_STATEMENT_PIN,      /* PIN name VERSION n AS pin: at_version or at_time, new_column = the pin */
    AP_STATEMENT_UNPIN,    /* UNPIN name AS pin: new_column = the pin */
    AP_STATEMENT_FSCK,     /* name (may be empty: everything) */
    AP_STATEMENT_REFUSED /* refused with `message` and `hint` (ATTACH, INSTALL, PRAGMA, BEGIN …) */
};

enum ap_object_kind {
    AP_OBJECT_NONE,
    AP_OBJECT_HIVE,
    AP_OBJECT_BOX,
    AP_OBJECT_FRAME,
    AP_OBJECT_VIEW,
    AP_OBJECT_COLUMN,
    AP_OBJECT_SETTING,
    AP_OBJECT_HISTORY,
    AP_OBJECT_MACRO,
    AP_OBJECT_VARIABLE,
    AP_OBJECT_PIN
};

enum ap_alter_kind {
    AP_ALTER_NONE,
    AP_ALTER_ADD_COLUMN,       /* columns[0]; flags.if_not_exists */
    AP_ALTER_DROP_COLUMN,      /* columns[0].name; flags.if_exists_column */
    AP_ALTER_RENAME_COLUMN,    /* columns[0].name, new_column */
    AP_ALTER_COLUMN_TYPE,      /* columns[0].name, .type; value = USING expression or empty */
    AP_ALTER_SET_NOT_NULL,     /* columns[0].name */
    AP_ALTER_DROP_NOT_NULL,    /* columns[0].name */
    AP_ALTER_SET_PROPERTIES,   /* options: name, value */
    AP_ALTER_UNSET_PROPERTIES, /* options: name; flags.if_exists_column */
    AP_ALTER_CLUSTER_BY,       /* cluster_by (empty: NONE) */
    AP_ALTER_COMMENT /* comment (NULL: none) of the frame, or of columns[0].name if there */
};

enum { AP_NAME_PARTS_MAX = 3, AP_STATEMENT_LIST_MAX = 10000 };
struct ap_object_name {
    char *parts[AP_NAME_PARTS_MAX]; /* unquoted, owned */
    size_t count;
    size_t offset; /* in the statement's text, for messages */
};

struct ap_column_definition {
    char *name;
    struct ap_str
        type; /* text of the type as written, to be read by the engine; empty in lists of names */
    bool not_null;
    char *comment;         /* NULL: none */
    struct ap_str refused; /* empty: the parser itself refuses PRIMARY KEY, DEFAULT … */
};
struct ap_option {
    char *name;
    struct ap_str value; /* text as written, may be empty or (list) */
};

struct ap_statement {
    enum ap_statement_kind kind;
    struct ap_str text; /* the whole statement, borrowed, without space around it */
    enum ap_object_kind object;
    enum ap_alter_kind alter;
    struct ap_object_name name, new_name;
    struct ap_str body;                             /* query text */
    struct ap_str condition;                        /* WHERE … (INSERT … REPLACE WHERE too) */
    struct ap_str assignments, using_clause, alias; /* as written */
    struct ap_column_definition *columns;
    size_t column_count, column_capacity;
    struct ap_texts partition_by, cluster_by; /* column names */
    struct ap_option *options;                /* COPY options, WITH / TBLPROPERTIES, assignments */
    size_t option_count, option_capacity;
    char *location, *path, *pattern, *setting, *comment, *new_column;
    struct ap_str value;               /* SET: as written */
    struct ap_str at_version, at_time; /* RESTORE, DESCRIBE … AT: expression text */
    struct ap_str action; /* ALTER FRAME: the words after the name; MERGE: from WHEN on */
    double retain_hours;  /* VACUUM; negative: not given */
    struct {
        bool if_not_exists, if_exists, if_exists_column, or_replace, cascade, temporary, analyze,
            overwrite, by_name, default_values, dry_run, reset, no_data, all;
    } flags;
    const char *message, *hint; /* REFUSED: static text; hint may be NULL */
};
void ap_statement_done(struct ap_statement *statement);

/* Parses one statement (of ap_next_statement); out must be zeroed and borrows from text.
 * codes: SQL with what was expected and what stands there ("expected a name after CREATE FRAME,
 * found '('"), LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_statement_parse(
    struct ap_str text, struct ap_statement *out, struct apiary_error *err);

/* A constant as a setting, an option or a property has it: the value of a string, a name, a
 * number with its sign, TRUE; appended. An empty text gives nothing.
 * codes: SQL "expected a constant, found …" */
AP_CHECKED enum apiary_code ap_sql_constant(
    struct ap_str text, struct ap_bytes *out, struct apiary_error *err);

#endif
