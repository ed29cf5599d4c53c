/* Statements, right, refused and wrong. What is expected is the line that statement_show.c makes of
 * a parsed statement, or the exact message of the error. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "statement_show.h"

static const struct {
    const char *sql, *shown;
} right[] = {
    { "SELECT 1", "QUERY" },
    { "with a as (select 1) select * from a", "QUERY" },
    { "with insert as (select 1) select * from insert", "QUERY" },
    { "from t", "QUERY" },
    { "values (1)", "QUERY" },
    { "(select 1) union select 2", "QUERY" },
    { "table t", "QUERY" },
    { "pivot t on a", "QUERY" },
    { "SUMMARIZE t", "QUERY" },
    { "EXPLAIN SELECT 1", "EXPLAIN body[SELECT 1]" },
    { "explain analyze from t", "EXPLAIN body[from t] +analyze" },
    { "EXPLAIN (FORMAT json, ANALYZE) SELECT 1",
        "EXPLAIN opt:FORMAT=json;ANALYZE= body[SELECT 1] +analyze" },
    { "EXPLAIN (SELECT 1)", "EXPLAIN body[(SELECT 1)]" },
    { "USE a", "USE a" },
    { "USE a.b", "USE a.b" },
    { "USE HIVE a", "USE hive a" },
    { "USE SCHEMA a.b", "USE box a.b" },
    { "use hive", "USE hive" },
    { "use box", "USE box" },
    { "USE \"My-Box\"", "USE My-Box" },
    { "SHOW HIVES", "SHOW hive" },
    { "show databases like 'a%'", "SHOW hive like:a%" },
    { "SHOW BOXES IN h", "SHOW box h" },
    { "show schemas from h like 'x'", "SHOW box h like:x" },
    { "SHOW FRAMES", "SHOW frame" },
    { "SHOW TABLES FROM h.b", "SHOW frame h.b" },
    { "SHOW FRAMES IN BOX b LIKE '%x%'", "SHOW frame b like:%x%" },
    { "SHOW ALL TABLES", "SHOW frame +all" },
    { "SHOW ALL", "SHOW setting" },
    { "SHOW SETTINGS LIKE 'mem%'", "SHOW setting like:mem%" },
    { "SHOW VIEWS IN b", "SHOW view b" },
    { "SHOW COLUMNS FROM h.b.f", "SHOW column h.b.f" },
    { "SHOW HISTORY OF f", "SHOW history f" },
    { "show history for h.b.f", "SHOW history h.b.f" },
    { "DESCRIBE HISTORY f", "SHOW history f" },
    { "DESCRIBE HISTORY", "DESCRIBE frame HISTORY" },
    { "SHOW f", "DESCRIBE frame f" },
    { "SHOW h.b.f", "DESCRIBE frame h.b.f" },
    { "SHOW tables.x", "DESCRIBE frame tables.x" },
    { "DESCRIBE", "SHOW frame +all" },
    { "DESC f", "DESCRIBE frame f" },
    { "DESCRIBE TABLE f", "DESCRIBE frame f" },
    { "DESCRIBE frame", "DESCRIBE frame frame" },
    { "DESCRIBE FRAME h.b.f AT (VERSION => 3)", "DESCRIBE frame h.b.f version[3]" },
    { "DESCRIBE f AT (TIMESTAMP => now() - INTERVAL 1 DAY)",
        "DESCRIBE frame f time[now() - INTERVAL 1 DAY]" },
    { "DESCRIBE HIVE h", "DESCRIBE hive h" },
    { "DESCRIBE SELECT 1", "QUERY" },
    { "DESCRIBE (SELECT 1)", "QUERY" },
    { "DESCRIBE 'x.csv'", "QUERY" },
    { "DESCRIBE read_csv('x.csv')", "QUERY" },
    { "CREATE HIVE h", "CREATE_HIVE hive h" },
    { "create database if not exists h comment 'x'",
        "CREATE_HIVE hive h comment:x +if-not-exists" },
    { "CREATE BOX IF NOT EXISTS h.b", "CREATE_BOX box h.b +if-not-exists" },
    { "CREATE FRAME f (a INT, b VARCHAR NOT NULL, c DECIMAL(10,2) NULL COMMENT 'it''s', \"d e\" "
      "STRUCT(x INT, y VARCHAR[])[] )",
        "CREATE_FRAME frame f (a:INT,b:VARCHAR!,c:DECIMAL(10,2)#it's,d e:STRUCT(x INT, y "
        "VARCHAR[])[])" },
    { "CREATE OR REPLACE TABLE h.b.f (a TIMESTAMP WITH TIME ZONE) PARTITIONED BY (a, \"B\") "
      "CLUSTER BY (c) COMMENT 'hi' WITH (k = 'v', delta.appendOnly = true)",
        "CREATE_FRAME frame h.b.f (a:TIMESTAMP WITH TIME ZONE) part:a,B cluster:c "
        "opt:k='v';delta.appendOnly=true comment:hi +or-replace" },
    { "create temp table f as select 1 a", "CREATE_FRAME frame f body[select 1 a] +temporary" },
    { "CREATE FRAME IF NOT EXISTS f TBLPROPERTIES ('x.y' = '1') LOCATION 's3://b/t' USING DELTA",
        "CREATE_FRAME frame f opt:x.y='1' location:s3://b/t +if-not-exists" },
    { "CREATE FRAME f PARTITIONED BY (a) AS SELECT 1 AS a, 2 AS b",
        "CREATE_FRAME frame f part:a body[SELECT 1 AS a, 2 AS b]" },
    { "CREATE FRAME f (a, b) AS FROM g", "CREATE_FRAME frame f (a,b) body[FROM g]" },
    { "CREATE FRAME f AS (SELECT 1 a)", "CREATE_FRAME frame f body[(SELECT 1 a)]" },
    { "CREATE TABLE f AS SELECT 1 a WITH NO DATA",
        "CREATE_FRAME frame f body[SELECT 1 a] +no-data" },
    { "CREATE TABLE f AS SELECT 1 a WITH DATA", "CREATE_FRAME frame f body[SELECT 1 a]" },
    { "CREATE EXTERNAL TABLE f LOCATION 'x'", "CREATE_FRAME frame f location:x" },
    { "CREATE FRAME f (a INT) ;", "CREATE_FRAME frame f (a:INT)" },
    { "CREATE VIEW v AS SELECT 1", "CREATE_VIEW view v body[SELECT 1]" },
    { "CREATE OR REPLACE TEMPORARY VIEW v (a, b) AS WITH x AS (SELECT 1, 2) FROM x",
        "CREATE_VIEW view v (a,b) body[WITH x AS (SELECT 1, 2) FROM x] +or-replace +temporary" },
    { "CREATE MACRO m(x, y := 2) AS x + y", "CREATE_MACRO macro m" },
    { "CREATE OR REPLACE TEMP FUNCTION m(x) AS TABLE SELECT x",
        "CREATE_MACRO macro m +or-replace +temporary" },
    { "DROP FRAME f", "DROP frame f" },
    { "drop table if exists h.b.f cascade", "DROP frame h.b.f +if-exists +cascade" },
    { "DROP HIVE h CASCADE", "DROP hive h +cascade" },
    { "DROP SCHEMA h.b RESTRICT", "DROP box h.b" },
    { "DROP VIEW v", "DROP view v" },
    { "DROP MACRO TABLE m", "DROP macro m" },
    { "UNDROP FRAME h.b.f", "UNDROP frame h.b.f" },
    { "UNDROP DATABASE h", "UNDROP hive h" },
    { "ALTER FRAME f RENAME TO g", "RENAME frame f to:g" },
    { "ALTER TABLE IF EXISTS h.b.f RENAME TO b2.g", "RENAME frame h.b.f to:b2.g +if-exists" },
    { "ALTER HIVE h RENAME TO i", "RENAME hive h to:i" },
    { "ALTER BOX h.b RENAME TO c", "RENAME box h.b to:c" },
    { "ALTER VIEW v RENAME TO w", "RENAME view v to:w" },
    { "ALTER FRAME f RENAME a TO b", "ALTER frame rename f (a) new:b" },
    { "ALTER FRAME f RENAME COLUMN a TO \"to\"", "ALTER frame rename f (a) new:to" },
    { "ALTER FRAME f ADD COLUMN IF NOT EXISTS a INT NOT NULL COMMENT 'x'",
        "ALTER frame add f (a:INT!#x) +if-not-exists" },
    { "ALTER TABLE f ADD a DECIMAL(10, 2)", "ALTER frame add f (a:DECIMAL(10, 2))" },
    { "ALTER TABLE f ADD COLUMNS (a INT, b VARCHAR)", "ALTER frame add f (a:INT,b:VARCHAR)" },
    { "ALTER TABLE f DROP a", "ALTER frame drop f (a)" },
    { "ALTER TABLE f DROP COLUMN IF EXISTS a CASCADE",
        "ALTER frame drop f (a) +if-exists-column +cascade" },
    { "ALTER TABLE f ALTER COLUMN a TYPE BIGINT", "ALTER frame type f (a:BIGINT)" },
    { "ALTER TABLE f ALTER a SET DATA TYPE VARCHAR USING a || 'x'",
        "ALTER frame type f (a:VARCHAR) value[a || 'x']" },
    { "ALTER TABLE f ALTER a SET NOT NULL", "ALTER frame set-not-null f (a)" },
    { "ALTER TABLE f ALTER a DROP NOT NULL", "ALTER frame drop-not-null f (a)" },
    { "ALTER TABLE f SET PROPERTIES (a = 1, 'b.c' = 'd')",
        "ALTER frame set-properties f opt:a=1;b.c='d'" },
    { "ALTER TABLE f SET TBLPROPERTIES ('a' = '1')", "ALTER frame set-properties f opt:a='1'" },
    { "ALTER TABLE f UNSET PROPERTIES IF EXISTS ('a', b.c)",
        "ALTER frame unset-properties f opt:a=;b.c= +if-exists-column" },
    { "ALTER TABLE f CLUSTER BY (a, b)", "ALTER frame cluster-by f cluster:a,b" },
    { "ALTER TABLE f CLUSTER BY NONE", "ALTER frame cluster-by f" },
    { "COMMENT ON TABLE h.b.f IS 'text'", "ALTER frame comment h.b.f comment:text" },
    { "COMMENT ON COLUMN b.f.c IS NULL", "ALTER frame comment b.f (c)" },
    { "INSERT INTO f VALUES (1, 2), (3, 4)", "INSERT frame f body[VALUES (1, 2), (3, 4)]" },
    { "INSERT INTO TABLE h.b.f (a, \"b\") SELECT 1, 2",
        "INSERT frame h.b.f (a,b) body[SELECT 1, 2]" },
    { "INSERT INTO FRAME f BY NAME FROM g", "INSERT frame f body[FROM g] +by-name" },
    { "INSERT INTO f BY POSITION (SELECT 1)", "INSERT frame f body[(SELECT 1)]" },
    { "INSERT INTO f (SELECT 1)", "INSERT frame f body[(SELECT 1)]" },
    { "INSERT INTO f (values) VALUES (1)", "INSERT frame f (values) body[VALUES (1)]" },
    { "INSERT INTO f (VALUES (1))", "INSERT frame f body[(VALUES (1))]" },
    { "INSERT INTO f DEFAULT VALUES", "INSERT frame f +default-values" },
    { "INSERT INTO frame VALUES (1)", "INSERT frame frame body[VALUES (1)]" },
    { "INSERT OVERWRITE f SELECT 1", "INSERT frame f body[SELECT 1] +overwrite" },
    { "INSERT OVERWRITE INTO TABLE f (a) VALUES (1)",
        "INSERT frame f (a) body[VALUES (1)] +overwrite" },
    { "INSERT INTO f REPLACE WHERE d = DATE '2024-01-01' AND (a > 1) SELECT * FROM g",
        "INSERT frame f where[d = DATE '2024-01-01' AND (a > 1)] body[SELECT * FROM g] "
        "+overwrite" },
    { "INSERT INTO f AS x VALUES (1)", "INSERT frame f as:x body[VALUES (1)]" },
    { "INSERT INTO f WITH q AS (SELECT 1) SELECT * FROM q",
        "INSERT frame f body[WITH q AS (SELECT 1) SELECT * FROM q]" },
    { "INSERT INTO f SELECT * FROM g JOIN h ON conflict = 1",
        "INSERT frame f body[SELECT * FROM g JOIN h ON conflict = 1]" },
    { "DELETE FROM f", "DELETE frame f" },
    { "DELETE FROM h.b.f AS x USING g, h WHERE x.a = g.a",
        "DELETE frame h.b.f as:x using[g, h] where[x.a = g.a]" },
    { "delete from f x where a in (select 1)", "DELETE frame f as:x where[a in (select 1)]" },
    { "UPDATE f SET a = 1", "UPDATE frame f opt:a=1 assign[a = 1]" },
    { "UPDATE h.b.f AS x SET a = g.a + 1, b = (SELECT max(c) FROM g WHERE g.d = 1), \"c\" = a IS "
      "NOT DISTINCT FROM b FROM g WHERE x.a = g.a",
        "UPDATE frame h.b.f as:x opt:a=g.a + 1;b=(SELECT max(c) FROM g WHERE g.d = 1);c=a IS NOT "
        "DISTINCT FROM b assign[a = g.a + 1, b = (SELECT max(c) FROM g WHERE g.d = 1), \"c\" = a "
        "IS NOT DISTINCT FROM b] using[g] where[x.a = g.a]" },
    { "UPDATE f x SET a = CASE WHEN a = 1 THEN 2 ELSE 3 END WHERE b = 1",
        "UPDATE frame f as:x opt:a=CASE WHEN a = 1 THEN 2 ELSE 3 END assign[a = CASE WHEN a = 1 "
        "THEN 2 ELSE 3 END] where[b = 1]" },
    { "UPDATE frame SET a = 1", "UPDATE frame frame opt:a=1 assign[a = 1]" },
    { "MERGE INTO f USING g ON f.a = g.a WHEN MATCHED THEN UPDATE SET b = g.b WHEN NOT MATCHED "
      "THEN INSERT VALUES (g.a, g.b)",
        "MERGE frame f using[g] where[f.a = g.a] action[WHEN MATCHED THEN UPDATE SET b = g.b WHEN "
        "NOT MATCHED THEN INSERT VALUES (g.a, g.b)]" },
    { "MERGE INTO f AS t USING (SELECT 1 AS a) AS s USING (a) WHEN MATCHED THEN DELETE",
        "MERGE frame f as:t using[(SELECT 1 AS a) AS s] where[USING (a)] action[WHEN MATCHED THEN "
        "DELETE]" },
    { "TRUNCATE f", "TRUNCATE frame f" },
    { "TRUNCATE TABLE h.b.f", "TRUNCATE frame h.b.f" },
    { "COPY f TO 'x.csv'", "COPY_TO frame f path:x.csv" },
    { "COPY h.b.f (a, b) TO 'x.parquet' (FORMAT parquet, COMPRESSION 'zstd', PARTITION_BY (a, b), "
      "OVERWRITE)",
        "COPY_TO frame h.b.f (a,b) opt:FORMAT=parquet;COMPRESSION='zstd';PARTITION_BY=(a, "
        "b);OVERWRITE= path:x.parquet" },
    { "COPY (SELECT 1, ')' AS b) TO 'x.csv' WITH (HEADER)",
        "COPY_TO opt:HEADER= path:x.csv body[SELECT 1, ')' AS b]" },
    { "COPY f FROM 'x*.csv' (DELIM '|', NULLSTR '')",
        "COPY_FROM frame f opt:DELIM='|';NULLSTR='' path:x*.csv" },
    { "COPY TABLE f (a) FROM 'x.json'", "COPY_FROM frame f (a) path:x.json" },
    { "SET threads = 4", "SET setting setting:threads value[4]" },
    { "SET distributed TO off", "SET setting setting:distributed value[off]" },
    { "SET SESSION timezone = 'Europe/Berlin'",
        "SET setting setting:timezone value['Europe/Berlin']" },
    { "SET TIME ZONE 'Europe/Berlin'", "SET setting setting:TimeZone value['Europe/Berlin']" },
    { "SET VARIABLE x = (SELECT max(a) FROM f)",
        "SET variable setting:x body[(SELECT max(a) FROM f)]" },
    { "SET variable = 3", "SET setting setting:variable value[3]" },
    { "SET null_order = DEFAULT", "SET setting setting:null_order +reset" },
    { "RESET threads", "SET setting setting:threads +reset" },
    { "RESET VARIABLE x", "SET variable setting:x +reset" },
    { "RESET TIME ZONE", "SET setting setting:TimeZone +reset" },
    { "OPTIMIZE f", "OPTIMIZE frame f" },
    { "OPTIMIZE f WHERE a = 1 DRY RUN", "OPTIMIZE frame f where[a = 1] +dry-run" },
    { "OPTIMIZE f DRY RUN", "OPTIMIZE frame f +dry-run" },
    { "OPTIMIZE TABLE h.b.f WHERE d > DATE '2024-01-01' ZORDER BY (a, b)",
        "OPTIMIZE frame h.b.f cluster:a,b where[d > DATE '2024-01-01']" },
    { "VACUUM", "VACUUM" },
    { "VACUUM f", "VACUUM frame f" },
    { "VACUUM FRAME h.b.f RETAIN 7 DAYS DRY RUN", "VACUUM frame h.b.f hours:168 +dry-run" },
    { "VACUUM f RETAIN 0 HOURS", "VACUUM frame f hours:0" },
    { "VACUUM DRY RUN", "VACUUM +dry-run" },
    { "PIN f VERSION 3 AS p", "PIN frame f new:p version[3]" },
    { "UNPIN TABLE b.f AS \"p q\"", "UNPIN frame b.f new:p q" },
    { "FSCK", "FSCK" },
    { "FSCK f", "FSCK frame f" },
    { "SHOW PINS OF f", "SHOW pin f" },
    { "RESTORE FRAME f TO VERSION 3", "RESTORE frame f version[3]" },
    { "RESTORE f TO TIMESTAMP AS OF TIMESTAMP '2024-01-01 00:00:00'",
        "RESTORE frame f time[TIMESTAMP '2024-01-01 00:00:00']" },
    { "", "EMPTY" },
    { "-- only a comment", "EMPTY" },
    { ";;", "EMPTY" },
    { "CREATE FRAME f (a INT b INT)", "CREATE_FRAME frame f (a:INT b INT)" },
};

static const struct {
    const char *sql, *message;
} refused[] = {
    { "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "WITH before a statement that writes is not supported" },
    { "EXPLAIN INSERT INTO t VALUES (1)", "EXPLAIN takes a query" },
    { "SHOW CREATE TABLE x", "SHOW CREATE is not supported" },
    { "CREATE FRAME f (a INT PRIMARY KEY)",
        "PRIMARY KEY is not supported: a frame does not enforce keys" },
    { "CREATE FRAME f (a INT, PRIMARY KEY (a))",
        "PRIMARY KEY is not supported: a frame does not enforce keys" },
    { "CREATE FRAME f (a INT, CONSTRAINT x UNIQUE (a))",
        "UNIQUE is not supported: a frame does not enforce keys" },
    { "CREATE FRAME f (a INT DEFAULT 3)", "DEFAULT of a column is not supported" },
    { "CREATE FRAME f (a INT, b INT AS (a + 1))", "generated columns are not supported" },
    { "CREATE FRAME f (a INT CHECK (a > 0))", "CHECK is not supported" },
    { "CREATE FRAME f (a VARCHAR COLLATE nocase)", "COLLATE of a column is not supported" },
    { "CREATE FRAME f (LIKE g)", "CREATE FRAME … LIKE is not supported" },
    { "CREATE FRAME f LIKE g", "CREATE FRAME … LIKE is not supported" },
    { "CREATE FRAME f (a INT) PARTITIONED BY (month(a))",
        "a frame is partitioned by columns, not by expressions" },
    { "CREATE FRAME f (a INT) USING parquet",
        "a frame is a Delta table: USING takes DELTA and nothing else" },
    { "ALTER TABLE f ALTER a SET DEFAULT 3", "DEFAULT of a column is not supported" },
    { "ALTER TABLE f ADD PRIMARY KEY (a)", "a frame does not enforce keys and constraints" },
    { "ALTER TABLE f SET LOCATION 'x'", "a frame does not move" },
    { "INSERT INTO f VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT … ON CONFLICT is not supported: a frame has no keys" },
    { "INSERT INTO f VALUES (1) ON CONFLICT (a) DO UPDATE SET b = 1",
        "INSERT … ON CONFLICT is not supported: a frame has no keys" },
    { "INSERT INTO f VALUES (1) RETURNING a", "RETURNING is not supported" },
    { "INSERT OR REPLACE INTO f VALUES (1)",
        "INSERT OR REPLACE and INSERT OR IGNORE are not supported: a frame has no keys" },
    { "INSERT INTO f PARTITION (a = 1) SELECT 1", "INSERT … PARTITION is not supported" },
    { "DELETE FROM f WHERE a = 1 RETURNING *", "RETURNING is not supported" },
    { "ATTACH 'x.db'", "ATTACH is not supported" },
    { "begin transaction", "transactions of several statements are not supported" },
    { "create index i on t(a)", "CREATE INDEX is not supported" },
    { "CREATE OR REPLACE HIVE h", "hives and boxes are neither replaced nor temporary" },
};

static const struct {
    const char *sql, *message, *hint;
} wrong[] = {
    { "selec 1", "no statement begins with 'selec'", "did you mean SELECT?" },
    { "'x'", "expected a statement, found 'x'" },
    { "CREATE",
        "expected HIVE, BOX, FRAME, VIEW or MACRO after CREATE, found the end of the statement" },
    { "CREATE THING x", "expected HIVE, BOX, FRAME, VIEW or MACRO after CREATE, found 'THING'" },
    { "CREATE FRAME", "expected a name after CREATE FRAME, found the end of the statement" },
    { "CREATE FRAME (a INT)", "expected a name after CREATE FRAME, found '('" },
    { "create frame if not exists",
        "expected a name after create frame if not exists, found the end of the statement" },
    { "CREATE FRAME select (a INT)", "expected a name after CREATE FRAME, found 'select'",
        "a name that is a word of SQL stands in quotes: \"select\"" },
    { "CREATE FRAME a.b.c.d (a INT)",
        "expected at most three parts in a name (hive.box.frame) after '.', found 'd'" },
    { "CREATE FRAME my-frame (a INT)",
        "expected columns in brackets, AS query or LOCATION after CREATE FRAME my, found '-'",
        "a name with a - stands in quotes: \"my-…\"" },
    { "CREATE FRAME f", "expected columns in brackets, AS query or LOCATION after CREATE FRAME f, "
                        "found the end of the statement" },
    { "CREATE FRAME f (",
        "expected the name of a column after '(', found the end of the statement" },
    { "CREATE FRAME f ()", "expected the name of a column after '(', found ')'" },
    { "CREATE FRAME f (a)", "expected a type for column a" },
    { "CREATE FRAME f (a INT NOT)", "expected ',' or ')' after a INT, found 'NOT'" },
    { "CREATE FRAME f (a INT,)", "expected the name of a column after ',', found ')'" },
    { "CREATE FRAME f (a INT) x", "expected the end of the statement after ')', found 'x'" },
    { "CREATE FRAME f (a INT) LOCATION x", "expected a place in quotes after LOCATION, found 'x'" },
    { "CREATE FRAME f (a INT) PARTITIONED BY a", "expected '(' after PARTITIONED BY, found 'a'" },
    { "CREATE FRAME f (a INT) PARTITIONED BY ()", "expected a name after '(', found ')'" },
    { "CREATE FRAME f (a INT) WITH (k = )", "expected a value after '=', found ')'" },
    { "CREATE FRAME f AS",
        "expected a query after CREATE FRAME f AS, found the end of the statement" },
    { "CREATE FRAME f AS 1", "expected a query after CREATE FRAME f AS, found '1'" },
    { "CREATE FRAME f (a DECIMAL(10,2)",
        "expected ',' or ')' after ')', found the end of the statement" },
    { "CREATE FRAME \"f (a INT)", "unfinished quoted name: \"f (a INT)" },
    { "CREATE FRAME f (a INT) COMMENT 'x", "unfinished string: 'x" },
    { "CREATE FRAME f /* (a INT)", "unfinished comment" },
    { "CREATE HIVE a.b", "the name of a hive has one part, this has 2" },
    { "CREATE BOX a.b.c", "the name of a box has at most two parts (hive.box), this has 3" },
    { "CREATE VIEW v", "expected AS after CREATE VIEW v, found the end of the statement" },
    { "CREATE VIEW v AS 1", "expected a query after CREATE VIEW v AS, found '1'" },
    { "CREATE MACRO m",
        "expected parameters in brackets after CREATE MACRO m, found the end of the statement" },
    { "USE", "expected a name after USE, found the end of the statement" },
    { "USE a.b.c", "USE takes hive.box at most, this has 3 parts" },
    { "USE HIVE a.b", "the name of a hive has one part, this has 2" },
    { "USE FRAME x", "USE takes a hive or a box" },
    { "SHOW", "expected HIVES, BOXES, FRAMES, VIEWS, COLUMNS, SETTINGS, HISTORY or a name after "
              "SHOW, found the end of the statement" },
    { "SHOW 1", "expected HIVES, BOXES, FRAMES, VIEWS, COLUMNS, SETTINGS, HISTORY or a name after "
                "SHOW, found '1'" },
    { "SHOW HIVES IN x", "expected LIKE or the end of the statement after SHOW HIVES, found 'IN'" },
    { "SHOW FRAMES IN", "expected a name after SHOW FRAMES IN, found the end of the statement" },
    { "SHOW FRAMES IN a.b.c", "the name after IN has at most 2 parts here, this has 3" },
    { "SHOW FRAMES LIKE x", "expected a pattern in quotes after SHOW FRAMES LIKE, found 'x'" },
    { "SHOW COLUMNS",
        "expected IN and the name of a frame after SHOW COLUMNS, found the end of the statement" },
    { "SHOW HISTORY",
        "expected IN and the name of a frame after SHOW HISTORY, found the end of the statement" },
    { "DESCRIBE f AT (3)", "expected VERSION or TIMESTAMP after '(', found '3'" },
    { "DESCRIBE a.b.c.d",
        "expected at most three parts in a name (hive.box.frame) after '.', found 'd'" },
    { "DROP",
        "expected HIVE, BOX, FRAME, VIEW or MACRO after DROP, found the end of the statement" },
    { "DROP FRAME", "expected a name after DROP FRAME, found the end of the statement" },
    { "DROP FRAME a, b", "expected the end of the statement after DROP FRAME a, found ','" },
    { "DROP HIVE a.b", "the name of a hive has at most 1 part, this has 2" },
    { "UNDROP MACRO m", "expected HIVE, BOX, FRAME or VIEW after UNDROP MACRO, found 'm'" },
    { "ALTER FRAME f", "expected RENAME, ADD, DROP, ALTER, SET, UNSET or CLUSTER BY after ALTER "
                       "FRAME f, found the end of the statement" },
    { "ALTER FRAME f RENAME", "expected the name of a column after ALTER FRAME f RENAME, found the "
                              "end of the statement" },
    { "ALTER FRAME f RENAME a",
        "expected TO after ALTER FRAME f RENAME a, found the end of the statement" },
    { "ALTER HIVE h ADD COLUMN a INT", "expected RENAME TO after ALTER HIVE h, found 'ADD'" },
    { "ALTER FRAME f ADD COLUMN a",
        "expected a type after FRAME f ADD COLUMN a, found the end of the statement" },
    { "ALTER FRAME f ADD COLUMN s.f INT", "expected a type after FRAME f ADD COLUMN s, found '.'" },
    { "ALTER FRAME f ALTER a", "expected TYPE, SET NOT NULL, DROP NOT NULL or COMMENT after ALTER "
                               "FRAME f ALTER a, found the end of the statement" },
    { "ALTER FRAME f ALTER a TYPE",
        "expected a type after FRAME f ALTER a TYPE, found the end of the statement" },
    { "ALTER FRAME f FROB", "expected RENAME, ADD, DROP, ALTER, SET, UNSET or CLUSTER BY after "
                            "ALTER FRAME f, found 'FROB'" },
    { "INSERT", "expected INTO or OVERWRITE after INSERT, found the end of the statement" },
    { "INSERT f VALUES (1)", "expected INTO or OVERWRITE after INSERT, found 'f'" },
    { "INSERT INTO VALUES (1)", "expected the name of a column after '(', found '1'" },
    { "INSERT INTO f", "expected VALUES, DEFAULT VALUES or a query after INSERT INTO f, found the "
                       "end of the statement" },
    { "INSERT INTO f (a b) VALUES (1)", "expected ',' or ')' after a, found 'b'" },
    { "INSERT INTO f (a) 1", "expected VALUES, DEFAULT VALUES or a query after ')', found '1'" },
    { "DELETE f", "expected FROM after DELETE, found 'f'" },
    { "DELETE FROM", "expected a name after DELETE FROM, found the end of the statement" },
    { "DELETE FROM f WHERE",
        "expected a condition after DELETE FROM f WHERE, found the end of the statement" },
    { "DELETE FROM f a b", "expected the end of the statement after DELETE FROM f a, found 'b'" },
    { "UPDATE f", "expected SET after UPDATE f, found the end of the statement" },
    { "UPDATE f SET", "expected a name after UPDATE f SET, found the end of the statement" },
    { "UPDATE f SET a", "expected '=' after UPDATE f SET a, found the end of the statement" },
    { "UPDATE f SET a =", "expected an expression after '=', found the end of the statement" },
    { "UPDATE f SET x.a = 1", "SET takes plain columns of the frame: x. is not one" },
    { "UPDATE f SET (a, b) = (1, 2)",
        "SET (…) = (…) is not supported: write column = value for each column" },
    { "UPDATE f SET a = 1, WHERE b = 1", "expected a name after ',', found 'WHERE'",
        "a name that is a word of SQL stands in quotes: \"WHERE\"" },
    { "MERGE f", "expected INTO after MERGE, found 'f'" },
    { "MERGE INTO f USING g WHEN MATCHED THEN DELETE",
        "expected ON after MERGE INTO f USING g, found 'WHEN'" },
    { "MERGE INTO f USING g ON f.a = g.a",
        "expected WHEN after a, found the end of the statement" },
    { "TRUNCATE", "expected a name after TRUNCATE, found the end of the statement" },
    { "COPY f", "expected TO or FROM after COPY f, found the end of the statement" },
    { "COPY f TO x", "expected a path in quotes after COPY f TO, found 'x'" },
    { "COPY (f) TO 'x'", "expected a query after '(', found 'f'" },
    { "COPY f TO 'x' CSV HEADER",
        "expected options in brackets or the end of the statement after 'x', found 'CSV'" },
    { "COPY f TO 'x' (FORMAT csv",
        "expected ',' or ')' after FORMAT csv, found the end of the statement" },
    { "SET x", "expected '=' or TO after SET x, found the end of the statement" },
    { "SET = 3", "expected a name after SET, found '='" },
    { "SET x =", "expected a value after '=', found the end of the statement" },
    { "SET TIME ZONE",
        "expected a time zone in quotes after SET TIME ZONE, found the end of the statement" },
    { "RESET", "expected a name after RESET, found the end of the statement" },
    { "OPTIMIZE", "expected a name after OPTIMIZE, found the end of the statement" },
    { "VACUUM f RETAIN x", "expected a number after VACUUM f RETAIN, found 'x'" },
    { "VACUUM f RETAIN 7", "expected HOURS or DAYS after 7, found the end of the statement" },
    { "RESTORE f", "expected TO after RESTORE f, found the end of the statement" },
    { "RESTORE f TO 3", "expected VERSION or TIMESTAMP after RESTORE f TO, found '3'" },
    { "SELECT 1; SELECT 2", "expected one statement after 1, found ';'" },
    { "EXPLAIN", "expected a query after EXPLAIN, found the end of the statement" },
};

static void right_statements(void **state)
{
    for (size_t i = 0; i < AP_COUNT(right); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        assert_code_in(right[i].sql,
            ap_statement_parse(ap_str_from(right[i].sql), &statement, &err), APIARY_OK);
        show_statement(&statement, &shown);
        assert_string_in(right[i].sql, ap_bytes_text(&shown), right[i].shown);
    }
}

static void refused_statements(void **state)
{
    for (size_t i = 0; i < AP_COUNT(refused); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        assert_code_in(refused[i].sql,
            ap_statement_parse(ap_str_from(refused[i].sql), &statement, &err), APIARY_OK);
        assert_int_in(refused[i].sql, statement.kind, AP_STATEMENT_REFUSED);
        assert_string_in(refused[i].sql, statement.message, refused[i].message);
    }
}

static void wrong_statements(void **state)
{
    for (size_t i = 0; i < AP_COUNT(wrong); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        assert_code_in(wrong[i].sql,
            ap_statement_parse(ap_str_from(wrong[i].sql), &statement, &err), APIARY_SQL);
        assert_string_in(wrong[i].sql, err.message, wrong[i].message);
        assert_string_in(wrong[i].sql, err.hint, wrong[i].hint ? wrong[i].hint : "");
        assert_true_in(wrong[i].sql, statement.kind == AP_STATEMENT_EMPTY && !statement.columns);
    }
}

static void text_and_ranges_lie_in_the_source(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_statement) statement = { 0 };
    const char *sql = " /* a */ INSERT INTO f /* b */ SELECT 1 -- c\n ; ";
    assert_ok(ap_statement_parse(ap_str_from(sql), &statement, &err));
    assert_ptr_equal(statement.text.data, sql + 9);
    assert_int_equal(statement.text.size, strlen("INSERT INTO f /* b */ SELECT 1"));
    assert_int_equal(statement.name.offset, 21);
    assert_true(ap_str_is(statement.body, "SELECT 1"));
}

static void bytes_that_no_statement_has(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_statement statement = { 0 };
    assert_code(ap_statement_parse(AP_STR("SELECT 1\0 FROM"), &statement, &err), APIARY_SQL);
    assert_string_equal(err.message, "the statement holds a NUL byte at offset 8");
    /* Cut between characters, not within. */
    assert_code(ap_statement_parse(AP_STR("DROP éééééééééééééééééééééééééééééé"), &statement, &err),
        APIARY_SQL);
    assert_string_equal(err.message,
        "expected HIVE, BOX, FRAME, VIEW or MACRO after DROP, found 'éééééééééééééééééééé…'");
}

static void constants(void **state)
{
    static const struct {
        const char *text, *value; /* NULL: refused */
    } cases[] = { { "'a''b'", "a'b" }, { "off", "off" }, { "\"a b\"", "a b" }, { "- 4", "-4" },
        { "+1.5", "1.5" }, { "4", "4" }, { "", "" }, { "TRUE", "TRUE" }, { "1 + 1", NULL },
        { "(a)", NULL }, { "-'a'", NULL }, { "'a", NULL }, { "1 /*", NULL } };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) value = { 0 };
        enum apiary_code code = ap_sql_constant(ap_str_from(cases[i].text), &value, &err);
        assert_int_in(cases[i].text, code, cases[i].value ? APIARY_OK : APIARY_SQL);
        if (cases[i].value) assert_string_in(cases[i].text, ap_bytes_text(&value), cases[i].value);
    }
}

static void parsing_without_memory(void **state)
{
    static const char sql[] = "CREATE FRAME h.b.f (a INT COMMENT 'x', b INT) PARTITIONED BY (a, b) "
                              "LOCATION 'y' WITH (k = 'v', l = 'w')";
    for (long n = 1;; n++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_statement_parse(ap_str_from(sql), &statement, &err);
        ap_alloc_fail_after(0);
        if (code == APIARY_OK) break;
        assert_int_equal(code, APIARY_MEMORY);
        assert_int_equal(statement.kind, AP_STATEMENT_EMPTY);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_statements),
        cmocka_unit_test(refused_statements),
        cmocka_unit_test(wrong_statements),
        cmocka_unit_test(text_and_ranges_lie_in_the_source),
        cmocka_unit_test(bytes_that_no_statement_has),
        cmocka_unit_test(constants),
        cmocka_unit_test(parsing_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
