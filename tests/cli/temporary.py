#!/usr/bin/env python3
"""Temporary frames: of one session, before the catalogue's frames of the same name, gone at its end."""

from apiary_cli import Store, fails, main

TEN = "CREATE TEMP FRAME t AS SELECT range AS a, range % 3 AS p FROM range(10)"


def rows(store, sql, last):
    """What the last query of the statements gives, without its header."""
    lines = store.sql(f"{sql}; SELECT '---' AS mark; {last}")
    return lines[lines.index("---") + 2:]


def every_statement():
    with Store() as store:
        store.sql("CREATE FRAME t AS SELECT 'own' AS a")
        cases = [
            ("SELECT sum(t.a) FROM t", ["45"]),
            ("SELECT count(*) FROM temp.main.t", ["10"]),
            ("SELECT t.a, y.a FROM t JOIN main.main.t AS y ON true ORDER BY 1 LIMIT 1", ["0,own"]),
            ("INSERT INTO t VALUES (100, 1); SELECT max(a) FROM t", ["100"]),
            ("UPDATE t SET a = a + 1 WHERE p = 1; SELECT sum(a) FROM t", ["48"]),
            ("DELETE FROM t WHERE p = 1; SELECT count(*) FROM T", ["7"]),
            ("TRUNCATE t; SELECT count(*) FROM t", ["0"]),
            ("DELETE FROM t; SELECT count(*) FROM t AT (VERSION => 0)", ["10"]),
            ("INSERT INTO t VALUES (1, 1); OPTIMIZE t; SELECT count(*) FROM t", ["11"]),
            ("CREATE OR REPLACE TEMP FRAME t AS SELECT 1 AS one; SELECT * FROM t", ["1"]),
            ("CREATE TEMP VIEW v AS SELECT a FROM t WHERE a > 7; SELECT count(*) FROM v", ["2"]),
            ("ALTER FRAME t RENAME TO u; SELECT count(*) FROM u; SELECT a FROM t", ["10", "a", "own"]),
            ("DROP FRAME t; SELECT a FROM t", ["own"]),
            ("CREATE TEMP TABLE IF NOT EXISTS t (x INTEGER); SELECT count(*) FROM t", ["10"]),
            ("CREATE TEMP FRAME q (a INTEGER, b VARCHAR) PARTITIONED BY (b); INSERT INTO q VALUES (1, 'x'); SELECT b FROM q", ["x"]),
            ("SHOW FRAMES LIKE 't'", None),
            ("COPY t TO 'out.csv'; SELECT count(*) FROM 'out.csv'", ["10"]),
        ]
        for sql, expected in cases:
            got = rows(store, TEN, sql)
            if expected is None:
                assert [line.split(",")[:3] for line in got] == [["temp", "main", "t"], ["main", "main", "t"]], got
            else:
                assert [line for line in got if line][-len(expected):] == expected, f"{sql}: {got}"


def nothing_stays():
    """Neither in the store nor in scratch, and other sessions do not see it."""
    with Store() as store:
        scratch = store.folder / "scratch"
        store.sql("CREATE FRAME own (a INTEGER)")
        before = sorted(store.root.rglob("*"))
        store.sql(f"{TEN}; SELECT count(*) FROM t", "--set", f"scratch_dir={scratch}")
        assert sorted(store.root.rglob("*")) == before
        assert list(scratch.iterdir()) == []
        fails(store, "SELECT * FROM t", "no frame main.main.t")
        fails(store, "SELECT * FROM temp.main.t", "no temporary frame t")


def refusals():
    with Store() as store:
        fails(store, "CREATE TEMP FRAME main.t (a INTEGER)", "lies in no box")
        fails(store, "CREATE TEMP FRAME t (a INTEGER) LOCATION '/tmp/x'", "no LOCATION")
        fails(store, "CREATE FRAME temp.main.t (a INTEGER)", "kept for temporary frames", "CREATE TEMP FRAME t")
        fails(store, f"{TEN}; {TEN}", "frame temp.main.t exists already")
        fails(store, f"{TEN}; CREATE TEMP VIEW t AS SELECT 1", "temporary frame t exists")
        fails(store, f"CREATE TEMP VIEW t AS SELECT 1; {TEN}", "temporary view t exists")
        fails(store, f"{TEN}; CREATE VIEW v AS SELECT * FROM t", "would read the temporary frame t")
        fails(store, f"{TEN}; CREATE VIEW v AS SELECT * FROM temp.main.t", "would read the temporary frame t")
        fails(store, f"{TEN}; ALTER FRAME t RENAME TO main.main.u", "stays one", "CREATE FRAME u AS FROM t")
        fails(store, f"{TEN}; CREATE TEMP FRAME u (a INTEGER); ALTER FRAME t RENAME TO u", "temporary frame u exists already")
        fails(store, f"{TEN}; DROP FRAME t; DROP FRAME temp.main.t", "no temporary frame t")
        fails(store, f"{TEN}; INSERT INTO t VALUES ('x', 1)", "Could not convert string 'x'")
        assert store.sql(f"{TEN}; DROP FRAME t; DROP FRAME IF EXISTS temp.main.t") == []


def not_divided():
    with Store() as store:
        asked = "EXPLAIN SELECT p, sum(a) FROM t GROUP BY p"
        code, out, err = store.run("sql", f"{TEN}; {asked}", "--format", "csv", "--set", "distributed=force")
        assert code == 0 and "not distributed: it reads a temporary frame" in out, out + err
        code, out, err = store.run("sql", f"{TEN}; {asked[8:]} ORDER BY p", "--format", "csv", "--set", "distributed=force")
        assert code == 0 and out.endswith("0,18\n1,12\n2,15\n"), out + err


if __name__ == "__main__":
    main([every_statement, nothing_stays, refusals, not_divided])
