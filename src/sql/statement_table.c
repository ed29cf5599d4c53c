#include "sql/statement_table.h"

#include "sql/statement_private.h"

#define CHAMBER .served = AP_SERVED_CHAMBER
#define CATALOGUE .served = AP_SERVED_CATALOGUE
#define LEDGER .served = AP_SERVED_LEDGER
#define SESSION .served = AP_SERVED_SESSION
#define KIND(name) .kind = AP_STATEMENT_##name
#define OBJECT(name) .object = AP_OBJECT_##name
#define ALTER(name) .kind = AP_STATEMENT_ALTER_FRAME, .alter = AP_ALTER_##name
#define FORM(name) .form = AP_FORM_##name
#define SNAPSHOT .needs_snapshot = true
#define DISTRIBUTE .may_distribute = true
#define WRITES .writes_frame = true

/* The first row that fits a statement is its row. */
static const struct ap_statement_rule rules[] = {
    { "SELECT …, WITH …, FROM …, VALUES …, TABLE name, PIVOT …, UNPIVOT …", "SELECT 1", KIND(QUERY),
        CHAMBER, SNAPSHOT, DISTRIBUTE },
    { "EXPLAIN [ANALYZE] query", "EXPLAIN SELECT 1", KIND(EXPLAIN), CHAMBER, SNAPSHOT },
    { "USE [HIVE or BOX] name", "USE main.main", KIND(USE), SESSION },
    { "SHOW HIVES [LIKE 'pattern']", "SHOW HIVES", KIND(SHOW), OBJECT(HIVE), CATALOGUE },
    { "SHOW BOXES [IN hive] [LIKE 'pattern']", "SHOW BOXES IN main", KIND(SHOW), OBJECT(BOX),
        CATALOGUE },
    { "SHOW [ALL] FRAMES [IN box] [LIKE 'pattern']", "SHOW FRAMES", KIND(SHOW), OBJECT(FRAME),
        CATALOGUE },
    { "SHOW [ALL] VIEWS [IN box] [LIKE 'pattern']", "SHOW VIEWS", KIND(SHOW), OBJECT(VIEW),
        CATALOGUE },
    { "SHOW COLUMNS IN frame [LIKE 'pattern']", "SHOW COLUMNS IN f", KIND(SHOW), OBJECT(COLUMN),
        LEDGER, SNAPSHOT },
    { "SHOW SETTINGS [LIKE 'pattern']", "SHOW SETTINGS", KIND(SHOW), OBJECT(SETTING), SESSION },
    { "SHOW HISTORY OF frame", "SHOW HISTORY OF f", KIND(SHOW), OBJECT(HISTORY), LEDGER },
    { "SHOW PINS OF frame", "SHOW PINS OF f", KIND(SHOW), OBJECT(PIN), LEDGER },
    { "DESCRIBE HIVE name", "DESCRIBE HIVE main", KIND(DESCRIBE), OBJECT(HIVE), CATALOGUE },
    { "DESCRIBE BOX name", "DESCRIBE BOX main", KIND(DESCRIBE), OBJECT(BOX), CATALOGUE },
    { "DESCRIBE name [AT (VERSION => n)]", "DESCRIBE f", KIND(DESCRIBE), OBJECT(FRAME), LEDGER,
        SNAPSHOT },
    { "CREATE HIVE [IF NOT EXISTS] name", "CREATE HIVE h", KIND(CREATE_HIVE), CATALOGUE },
    { "CREATE BOX [IF NOT EXISTS] name", "CREATE BOX h.b", KIND(CREATE_BOX), CATALOGUE },
    { "CREATE [OR REPLACE] FRAME [IF NOT EXISTS] name … AS query",
        "CREATE FRAME f AS SELECT 1 AS a", KIND(CREATE_FRAME), FORM(QUERY), CHAMBER, SNAPSHOT,
        DISTRIBUTE, WRITES },
    { "CREATE FRAME [IF NOT EXISTS] name LOCATION 'place'", "CREATE FRAME f LOCATION 's3://b/t'",
        KIND(CREATE_FRAME), FORM(PLACE), LEDGER },
    { "CREATE [OR REPLACE] FRAME [IF NOT EXISTS] name (columns) …", "CREATE FRAME f (a INT)",
        KIND(CREATE_FRAME), FORM(COLUMNS), LEDGER, WRITES },
    { "CREATE [OR REPLACE] TEMP VIEW name AS query", "CREATE TEMP VIEW v AS SELECT 1",
        KIND(CREATE_VIEW), FORM(TEMPORARY), SESSION },
    { "CREATE [OR REPLACE] VIEW [IF NOT EXISTS] name [(names)] AS query",
        "CREATE VIEW v AS SELECT 1", KIND(CREATE_VIEW), CATALOGUE },
    { "CREATE [OR REPLACE] MACRO name (parameters) AS …", "CREATE MACRO m(x) AS x + 1",
        KIND(CREATE_MACRO), SESSION },
    { "DROP MACRO [IF EXISTS] name", "DROP MACRO m", KIND(DROP), OBJECT(MACRO), SESSION },
    { "DROP HIVE, BOX, FRAME or VIEW [IF EXISTS] name [CASCADE]", "DROP FRAME f", KIND(DROP),
        CATALOGUE },
    { "UNDROP HIVE, BOX, FRAME or VIEW name", "UNDROP FRAME f", KIND(UNDROP), CATALOGUE },
    { "ALTER HIVE, BOX, FRAME or VIEW [IF EXISTS] name RENAME TO name", "ALTER FRAME f RENAME TO g",
        KIND(RENAME), CATALOGUE },
    { "ALTER FRAME name ADD [COLUMN] [IF NOT EXISTS] column type", "ALTER FRAME f ADD COLUMN a INT",
        ALTER(ADD_COLUMN), LEDGER, WRITES },
    { "ALTER FRAME name DROP [COLUMN] [IF EXISTS] column", "ALTER FRAME f DROP COLUMN a",
        ALTER(DROP_COLUMN), LEDGER, WRITES },
    { "ALTER FRAME name RENAME [COLUMN] column TO column", "ALTER FRAME f RENAME a TO b",
        ALTER(RENAME_COLUMN), LEDGER, WRITES },
    { "ALTER FRAME name ALTER [COLUMN] column TYPE type [USING expression]",
        "ALTER FRAME f ALTER a TYPE BIGINT", ALTER(COLUMN_TYPE), LEDGER, WRITES },
    { "ALTER FRAME name ALTER [COLUMN] column SET NOT NULL", "ALTER FRAME f ALTER a SET NOT NULL",
        ALTER(SET_NOT_NULL), CHAMBER, SNAPSHOT, WRITES },
    { "ALTER FRAME name ALTER [COLUMN] column DROP NOT NULL", "ALTER FRAME f ALTER a DROP NOT NULL",
        ALTER(DROP_NOT_NULL), LEDGER, WRITES },
    { "ALTER FRAME name SET PROPERTIES (name = value, …)", "ALTER FRAME f SET PROPERTIES (a = 1)",
        ALTER(SET_PROPERTIES), LEDGER, WRITES },
    { "ALTER FRAME name UNSET PROPERTIES (name, …)", "ALTER FRAME f UNSET PROPERTIES (a)",
        ALTER(UNSET_PROPERTIES), LEDGER, WRITES },
    { "ALTER FRAME name CLUSTER BY (columns)", "ALTER FRAME f CLUSTER BY (a)", ALTER(CLUSTER_BY),
        LEDGER, WRITES },
    { "COMMENT ON FRAME name IS 'text'", "COMMENT ON FRAME f IS 'x'", ALTER(COMMENT), LEDGER,
        WRITES },
    { "INSERT INTO [FRAME] name [(columns)] [BY NAME] query or VALUES …",
        "INSERT INTO f VALUES (1)", KIND(INSERT), FORM(WRITES), CHAMBER, SNAPSHOT, DISTRIBUTE,
        WRITES },
    { "INSERT OVERWRITE [FRAME] name query, INSERT INTO name REPLACE WHERE condition query",
        "INSERT OVERWRITE f SELECT 1", KIND(INSERT), CHAMBER, SNAPSHOT, DISTRIBUTE, WRITES },
    { "DELETE FROM name [USING …] [WHERE condition]", "DELETE FROM f WHERE a = 1", KIND(DELETE),
        CHAMBER, SNAPSHOT, WRITES },
    { "UPDATE name SET column = expression, … [FROM …] [WHERE condition]", "UPDATE f SET a = 1",
        KIND(UPDATE), CHAMBER, SNAPSHOT, WRITES },
    { "MERGE INTO name USING source ON condition WHEN …",
        "MERGE INTO f USING g ON f.a = g.a WHEN MATCHED THEN DELETE", KIND(MERGE), CHAMBER,
        SNAPSHOT, WRITES },
    { "TRUNCATE name", "TRUNCATE f", KIND(TRUNCATE), LEDGER, SNAPSHOT, WRITES },
    { "COPY name or (query) TO 'path' [(options)]", "COPY f TO 'x.csv'", KIND(COPY_TO), CHAMBER,
        SNAPSHOT },
    { "COPY name [(columns)] FROM 'path' [(options)]", "COPY f FROM 'x.csv'", KIND(COPY_FROM),
        CHAMBER, DISTRIBUTE, WRITES },
    { "SET VARIABLE name = expression, RESET VARIABLE name", "SET VARIABLE a = 1", KIND(SET),
        OBJECT(VARIABLE), SESSION },
    { "SET name = value, RESET name", "SET timezone = 'UTC'", KIND(SET), SESSION },
    { "OPTIMIZE name [WHERE condition] [CLUSTER BY (columns)] [DRY RUN]", "OPTIMIZE f", KIND(OPTIMIZE), CHAMBER, SNAPSHOT,
        DISTRIBUTE, WRITES },
    { "VACUUM [name] [RETAIN n HOURS or DAYS] [DRY RUN]", "VACUUM f", KIND(VACUUM), LEDGER },
    { "RESTORE FRAME name TO VERSION n or TIMESTAMP t", "RESTORE FRAME f TO VERSION 3",
        KIND(RESTORE), LEDGER, SNAPSHOT, WRITES },
    { "PIN name VERSION n or TIMESTAMP t AS pin", "PIN f VERSION 3 AS before_the_change", KIND(PIN),
        LEDGER },
    { "UNPIN name AS pin", "UNPIN f AS before_the_change", KIND(UNPIN), LEDGER },
    { "FSCK [name]", "FSCK f", KIND(FSCK), LEDGER },
};

static const char one_statement[] =
    "each statement is a transaction of its own; a frame commits alone";
static const char no_attach[] = "CREATE FRAME … LOCATION 'place' names a table elsewhere; "
                                "read_parquet, read_csv and read_json read files";
static const char no_extensions[] = "core functions, json, parquet and icu are built in";
static const char no_prepare[] = "give the parameters with the statement";
static const char no_keys[] =
    "cells are found by partition and by statistics: PARTITIONED BY and CLUSTER BY";

static const struct ap_refused_rule refused[] = {
    { "ATTACH", "ATTACH 'a.db'", "ATTACH is not supported", no_attach },
    { "DETACH", "DETACH a", "DETACH is not supported",
        "DROP HIVE takes a hive out of the registry" },
    { "INSTALL", "INSTALL spatial", "INSTALL is not supported", no_extensions },
    { "LOAD", "LOAD spatial", "LOAD is not supported", no_extensions },
    { "UPDATE EXTENSIONS", "UPDATE EXTENSIONS", "UPDATE EXTENSIONS is not supported",
        no_extensions },
    { "CHECKPOINT", "CHECKPOINT", "CHECKPOINT is not supported",
        "every statement that writes is durable when it returns" },
    { "FORCE CHECKPOINT", "FORCE CHECKPOINT", "CHECKPOINT is not supported",
        "every statement that writes is durable when it returns" },
    { "PRAGMA", "PRAGMA table_info('t')", "PRAGMA is not supported",
        "SET name = value, SHOW SETTINGS, DESCRIBE name" },
    { "CALL", "CALL pragma_version()", "CALL is not supported", "SELECT * FROM function(…)" },
    { "BEGIN", "BEGIN TRANSACTION", "transactions of several statements are not supported",
        one_statement },
    { "START TRANSACTION", "START TRANSACTION",
        "transactions of several statements are not supported", one_statement },
    { "COMMIT", "COMMIT", "transactions of several statements are not supported", one_statement },
    { "END", "END", "transactions of several statements are not supported", one_statement },
    { "ROLLBACK", "ROLLBACK", "transactions of several statements are not supported",
        "RESTORE FRAME name TO VERSION n goes back" },
    { "ABORT", "ABORT", "transactions of several statements are not supported",
        "RESTORE FRAME name TO VERSION n goes back" },
    { "SAVEPOINT", "SAVEPOINT a", "transactions of several statements are not supported",
        one_statement },
    { "EXPORT DATABASE", "EXPORT DATABASE 'x'", "EXPORT DATABASE is not supported",
        "COPY name TO 'path'; the frames are open files already" },
    { "IMPORT DATABASE", "IMPORT DATABASE 'x'", "IMPORT DATABASE is not supported",
        "COPY name FROM 'path', or apiary import" },
    { "COPY FROM DATABASE", "COPY FROM DATABASE a TO b", "COPY FROM DATABASE is not supported",
        "CREATE FRAME name AS FROM other" },
    { "PREPARE", "PREPARE p AS SELECT $1", "PREPARE is not supported", no_prepare },
    { "EXECUTE", "EXECUTE p(1)", "EXECUTE is not supported", no_prepare },
    { "DEALLOCATE", "DEALLOCATE p", "DEALLOCATE is not supported", no_prepare },
    { "CREATE SECRET", "CREATE SECRET s (TYPE s3)", "CREATE SECRET is not supported",
        "credentials come from the environment: docs/configuration.md" },
    { "CREATE OR REPLACE SECRET", "CREATE OR REPLACE SECRET s (TYPE s3)",
        "CREATE SECRET is not supported",
        "credentials come from the environment: docs/configuration.md" },
    { "CREATE PERSISTENT SECRET", "CREATE PERSISTENT SECRET s (TYPE s3)",
        "CREATE SECRET is not supported",
        "credentials come from the environment: docs/configuration.md" },
    { "CREATE TEMPORARY SECRET", "CREATE TEMPORARY SECRET s (TYPE s3)",
        "CREATE SECRET is not supported",
        "credentials come from the environment: docs/configuration.md" },
    { "DROP SECRET", "DROP SECRET s", "DROP SECRET is not supported",
        "credentials come from the environment: docs/configuration.md" },
    { "CREATE INDEX", "CREATE INDEX i ON t(a)", "CREATE INDEX is not supported", no_keys },
    { "CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX i ON t(a)", "CREATE INDEX is not supported",
        no_keys },
    { "DROP INDEX", "DROP INDEX i", "DROP INDEX is not supported", no_keys },
    { "CREATE SEQUENCE", "CREATE SEQUENCE s", "CREATE SEQUENCE is not supported",
        "uuid(), or row_number() OVER () in the query that writes" },
    { "DROP SEQUENCE", "DROP SEQUENCE s", "DROP SEQUENCE is not supported",
        "there are no sequences" },
    { "ALTER SEQUENCE", "ALTER SEQUENCE s", "ALTER SEQUENCE is not supported",
        "there are no sequences" },
    { "CREATE TYPE", "CREATE TYPE t AS ENUM ('a')", "CREATE TYPE is not supported",
        "write the type itself: STRUCT(…), VARCHAR" },
    { "DROP TYPE", "DROP TYPE t", "DROP TYPE is not supported", "there are no named types" },
    { "CREATE MATERIALIZED VIEW", "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE MATERIALIZED VIEW is not supported", "CREATE FRAME name AS query" },
    { "CREATE RECURSIVE VIEW", "CREATE RECURSIVE VIEW v AS SELECT 1",
        "CREATE RECURSIVE VIEW is not supported", "CREATE VIEW name AS WITH RECURSIVE …" },
    { "CREATE TRIGGER", "CREATE TRIGGER t", "CREATE TRIGGER is not supported", NULL },
    { "GRANT", "GRANT SELECT ON t TO u", "GRANT is not supported",
        "rights are those of the object store" },
    { "REVOKE", "REVOKE SELECT ON t FROM u", "REVOKE is not supported",
        "rights are those of the object store" },
    { "ANALYZE", "ANALYZE t", "ANALYZE is not supported",
        "statistics are written with every cell" },
    { "REINDEX", "REINDEX t", "REINDEX is not supported", no_keys },
    { "REPLACE INTO", "REPLACE INTO t VALUES (1)",
        "REPLACE INTO is not supported: a frame has no keys", "DELETE the keys, then INSERT: each is one version of the frame" },
};

enum { RULES = sizeof rules / sizeof *rules, REFUSED = sizeof refused / sizeof *refused };

const struct ap_statement_rule *ap_statement_rules(size_t *count)
{
    *count = RULES;
    return rules;
}

const struct ap_refused_rule *ap_refused_rules(size_t *count)
{
    *count = REFUSED;
    return refused;
}

static bool has_form(const struct ap_statement *statement, enum ap_statement_form form)
{
    switch (form) {
        case AP_FORM_ANY: return true;
        case AP_FORM_COLUMNS: return statement->column_count > 0;
        case AP_FORM_QUERY: return statement->body.size > 0;
        case AP_FORM_PLACE: return statement->location != NULL && !statement->column_count;
        case AP_FORM_TEMPORARY: return statement->flags.temporary;
        case AP_FORM_WRITES: return !statement->flags.overwrite;
    }
    return false;
}

const struct ap_statement_rule *ap_statement_rule(const struct ap_statement *statement)
{
    for (size_t i = 0; i < RULES; i++) {
        const struct ap_statement_rule *rule = &rules[i];
        if (rule->kind != statement->kind) continue;
        if (rule->object != AP_OBJECT_NONE && rule->object != statement->object) continue;
        if (rule->alter != AP_ALTER_NONE && rule->alter != statement->alter) continue;
        if (has_form(statement, rule->form)) return rule;
    }
    return NULL;
}

const char *ap_served_text(enum ap_served_by served)
{
    switch (served) {
        case AP_SERVED_CHAMBER: return "chamber";
        case AP_SERVED_CATALOGUE: return "catalogue";
        case AP_SERVED_LEDGER: return "ledger";
        case AP_SERVED_SESSION: return "session";
    }
    return "?";
}

bool ap_reader_refused_words(struct ap_reader *reader)
{
    for (size_t i = 0; i < REFUSED; i++) {
        if (!ap_reader_is(reader, refused[i].words)) continue;
        (void)ap_reader_refuse(reader, refused[i].message, refused[i].hint);
        return true;
    }
    return false;
}
