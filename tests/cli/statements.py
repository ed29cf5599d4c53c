#!/usr/bin/env python3
"""Statements as a user types them: what they give."""

from apiary_cli import Store, main


def check(store, rows):
    for sql, expected in rows:
        got = store.sql(sql)[1:]
        assert got == expected, f"{sql}\n  gave     {got}\n  expected {expected}"


def selects():
    with Store() as store:
        check(store, [
            ("SELECT 1 AS a, 'x' AS b, NULL AS c, 1.50 AS d, DATE '2020-02-29' AS e", ["1,x,,1.50,2020-02-29"]),
            ("SELECT [1, 2] AS l, {'a': 1} AS s, MAP {'k': 2} AS m", ["\"[1, 2]\",{'a': 1},{k=2}"]),
            ("SELECT 170141183460469231731687303715884105::HUGEINT", ["170141183460469231731687303715884105"]),
            ("VALUES (1), (2)", ["1", "2"]),
            ("FROM range(3)", ["0", "1", "2"]),
            ("WITH t AS (SELECT 1 AS x UNION ALL SELECT 2) SELECT sum(x) FROM t", ["3"]),
            ("SELECT current_setting('TimeZone')", ["UTC"]),
            ("SELECT 1 WHERE false", []),
        ])


def frames():
    with Store() as store:
        store.sql("CREATE FRAME t (id BIGINT NOT NULL, name TEXT, p INTEGER) PARTITIONED BY (p)")
        store.sql("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, NULL, NULL)")
        store.sql("INSERT INTO t (p, id) VALUES (1, 4)")
        store.sql("INSERT INTO t BY NAME SELECT 5 AS id, 'e' AS name, 2 AS p")
        check(store, [
            ("SELECT * FROM t ORDER BY id", ["1,a,1", "2,b,2", "3,,", "4,,1", "5,e,2"]),
            ("SELECT count(*) FROM main.t", ["5"]),
            ("SELECT sum(id) FROM main.main.t WHERE p = 1", ["5"]),
            ("SELECT id FROM t WHERE p IS NULL", ["3"]),
            ("SELECT count(*) FROM t AT (VERSION => 1)", ["3"]),
            ("SELECT count(*) FROM t AS x AT (VERSION => 1) WHERE x.p = 2", ["1"]),
            ("SELECT count(*) FROM t AT (TIMESTAMP => now())", ["5"]),
            ("SELECT min(id), max(id), count(*) FROM t", ["1,5,5"]),
            ("SELECT a.id FROM t a JOIN t b ON a.id = b.id + 1 WHERE b.p = 1 ORDER BY 1", ["2", "5"]),
        ])
        store.sql("INSERT OVERWRITE t VALUES (9, 'z', 9)")
        check(store, [("SELECT * FROM t", ["9,z,9"]), ("SELECT count(*) FROM t AT (VERSION => 3)", ["5"])])


def replace_where():
    with Store() as store:
        store.sql("CREATE FRAME r PARTITIONED BY (p) AS SELECT range AS i, (range % 4)::INTEGER AS p FROM range(8)")
        store.sql("INSERT INTO r REPLACE WHERE p = 1 VALUES (100, 1)")
        check(store, [("SELECT p, sum(i) FROM r GROUP BY p ORDER BY p", ["0,4", "1,100", "2,8", "3,10"])])
        store.sql("INSERT INTO r REPLACE WHERE p IN (2, 3) SELECT i + 1, p FROM r WHERE p = 2")
        check(store, [("SELECT p, sum(i) FROM r GROUP BY p ORDER BY p", ["0,4", "1,100", "2,10"])])
        before = store.objects()
        for sql, part in (("INSERT INTO r REPLACE WHERE p = 1 VALUES (7, 2)", "p = 1"), ("INSERT INTO r REPLACE WHERE i = 1 VALUES (1, 1)", "i")):
            code, _, err = store.run("sql", sql)
            assert code == 1 and part in err, f"{sql}: {code} {err}"
            assert len(store.objects()) == len(before), sql


def long_partition_values():
    """As long as folder names of the machine allow, far longer, and one that is too long."""
    with Store() as store:
        store.sql("CREATE FRAME t (i INTEGER, p TEXT, q TEXT) PARTITIONED BY (p, q)")
        values = ["chr(1114111)", "'a='", "chr(233)", "'%'"]
        for number, value in enumerate(values):
            store.sql(f"INSERT INTO t VALUES ({number}, repeat({value}, 2000), repeat({value}, 80))")
        for number, value in enumerate(values):
            check(store, [(f"SELECT i FROM t WHERE p = repeat({value}, 2000) AND q = repeat({value}, 80)", [str(number)])])
        check(store, [("SELECT count(*), count(DISTINCT p) FROM t WHERE length(p) % 2000 = 0 AND i >= 0", ["4,4"])])
        code, _, err = store.run("sql", "INSERT INTO t VALUES (9, repeat('x', 8193), 'y')")
        assert code == 1 and "partition column \"p\" of frame main.main.t is longer than 8192 bytes" in err, err
        check(store, [("SELECT count(*) FROM t", ["4"])])


def create_as():
    with Store() as store:
        store.sql("CREATE FRAME c AS SELECT range AS i, 's' || range AS s FROM range(1000)")
        store.sql("CREATE TABLE IF NOT EXISTS c (x INTEGER)")
        check(store, [("SELECT count(*), max(i), min(s) FROM c", ["1000,999,s0"])])
        store.sql("CREATE OR REPLACE FRAME c AS SELECT 1 AS one")
        check(store, [("SELECT * FROM c", ["1"])])


def namespaces():
    with Store() as store:
        store.sql("CREATE HIVE sales; CREATE BOX sales.sales; CREATE FRAME sales.sales.orders AS SELECT 7 AS n")
        check(store, [
            ("SELECT n FROM sales.sales.orders", ["7"]),
            ("USE HIVE sales; SELECT n FROM sales.orders", ["7"]),
            ("USE sales.sales; SELECT n FROM orders", ["7"]),
            ("SELECT a.n + b.n FROM sales.sales.orders a, sales.sales.orders b", ["14"]),
        ])
        store.sql("ALTER FRAME sales.sales.orders RENAME TO bills")
        check(store, [("SELECT n FROM sales.sales.bills", ["7"])])
        store.sql("DROP FRAME sales.sales.bills; UNDROP FRAME sales.sales.bills")
        check(store, [("SELECT n FROM sales.sales.bills", ["7"])])
        hives = [line.split(",")[0] for line in store.sql("SHOW HIVES")[1:]]
        assert hives == ["main", "sales"], hives


def timing():
    """One line on standard error for each statement, with rows or without; never among the rows; not unless asked."""
    with Store() as store:
        asked = "CREATE FRAME t AS SELECT 1 AS a; SELECT a FROM t; INSERT INTO t VALUES (2)"
        code, out, err = store.run("sql", asked, "--format", "csv", "--timing")
        times = [line for line in err.splitlines() if line.startswith("Time: ")]
        assert code == 0 and out == "a\n1\n" and len(times) == 3, out + err
        for line in times:
            number, unit = line.removeprefix("Time: ").split()
            assert unit == "s" and 0 <= float(number) < 120, line
        code, _, err = store.run("sql", "SELECT 1; SELECT nothing; SELECT 2", "--format", "csv", "--timing")
        assert code == 1 and err.count("Time: ") == 2, err
        assert "Time: " not in store.run("sql", "SELECT 1", "--format", "csv")[2]
        code, out, err = store.run("export", "SELECT 1 AS a", "out.csv", "--timing")
        assert code == 0 and err.count("Time: ") == 1, err


def first_box_renamed():
    """main.main is where sessions begin and else a box like any other: its frames are found by the new name."""
    with Store() as store:
        store.sql("CREATE FRAME f AS SELECT 1 AS a; ALTER BOX main RENAME TO work")
        check(store, [("SELECT a FROM main.work.f", ["1"]), ("SELECT a FROM work.f", ["1"]), ("USE work; SELECT a FROM f", ["1"])])
        code, _, err = store.run("sql", "FROM f")
        assert code == 1 and "no box main.main" in err and "USE" in err, err
        store.sql("ALTER HIVE main RENAME TO firm")
        check(store, [("SELECT a FROM firm.work.f", ["1"]), ("USE firm; SELECT a FROM f", ["1"])])
        store.sql("ALTER HIVE firm RENAME TO main; ALTER BOX main.work RENAME TO main")
        check(store, [("SELECT a FROM f", ["1"])])


def views():
    with Store() as store:
        store.sql("CREATE FRAME t AS SELECT range AS i FROM range(10)")
        store.sql("CREATE VIEW even AS SELECT i FROM t WHERE i % 2 = 0; CREATE VIEW four AS SELECT i FROM even WHERE i > 3")
        check(store, [
            ("SELECT sum(i) FROM four", ["18"]),
            ("CREATE HIVE h; USE h; SELECT sum(i) FROM main.main.four", ["18"]),
            ("CREATE TEMP VIEW mine AS SELECT i + 1 AS j FROM t; SELECT max(j) FROM mine", ["10"]),
            ("CREATE MACRO twice(x) AS x * 2; SELECT twice(i) FROM t WHERE i = 4", ["8"]),
        ])


def one_after_the_other():
    """Queries of one process share an instance of the engine: each sees its own frames, settings and names only."""
    with Store() as store:
        store.sql("CREATE HIVE h; CREATE BOX h.b; CREATE BOX main.b; CREATE FRAME t AS SELECT 1 AS i; CREATE FRAME h.b.t AS SELECT 2 AS i")
        store.sql("CREATE FRAME main.b.t AS SELECT 3 AS i; CREATE VIEW h.b.v AS SELECT i + 10 AS i FROM h.b.t; CREATE FRAME u AS SELECT 4 AS i")
        steps = [
            ("SELECT i FROM t", "1"), ("SELECT i FROM u", "4"), ("SELECT i FROM h.b.t", "2"), ("SELECT i FROM main.b.t", "3"),
            ("SELECT i FROM h.b.v", "12"), ("SELECT a.i + b.i + c.i FROM t a, h.b.t b, h.b.v c", "15"),
            ("INSERT OVERWRITE t VALUES (5)", None), ("SELECT i FROM t", "5"), ("SELECT i FROM t AT (VERSION => 0)", "1"),
            ("USE h.b", None), ("SELECT i FROM t", "2"), ("SELECT current_schema()", "b"), ("SELECT i FROM main.main.t", "5"),
            ("USE main.b", None), ("SELECT i FROM t", "3"), ("SELECT current_schema()", "b"), ("USE main.main", None), ("SELECT i FROM t", "5"),
            ("SET default_order = 'DESC'", None), ("SELECT range FROM range(2) ORDER BY range LIMIT 1", "1"), ("RESET default_order", None),
            ("SELECT range FROM range(2) ORDER BY range LIMIT 1", "0"), ("SET TimeZone = 'Asia/Tokyo'", None),
            ("SELECT hour(to_timestamp(0))", "9"), ("SET TimeZone = 'UTC'", None), ("SELECT hour(to_timestamp(0))", "0"),
            ("CREATE TEMP VIEW t2 AS SELECT i FROM t", None), ("SELECT i FROM t2", "5"), ("SELECT i FROM t", "5"),
            ("SELECT count(*) FROM duckdb_views() WHERE NOT internal", "0"), ("SELECT i FROM u", "4"),
        ]
        code, out, err = store.run("sql", "-", "--format", "csv", stdin=";\n".join(sql for sql, _ in steps))
        assert code == 0, err
        expected = [answer for _, answer in steps if answer is not None]
        got = out.splitlines()[1::2]  # each has its header
        assert got == expected, f"{got}\n{expected}"
        store.sql("CREATE FRAME s AS SELECT 6 AS i")
        numbers = store.sql("SELECT current_connection_id() AS c FROM s; SELECT i FROM s; SELECT i FROM s; SELECT current_connection_id() AS c FROM s")
        assert numbers[1] == numbers[-1], f"a statement is told how many came before it: {numbers}"


def figures_of_views():
    """count(*), min and max of a view are not those of the frame below it."""
    with Store() as store:
        store.sql("CREATE FRAME t AS SELECT range AS i FROM range(10)")
        store.sql("CREATE VIEW v AS SELECT * FROM t WHERE i BETWEEN 3 AND 5; CREATE VIEW w AS FROM v")
        check(store, [
            ("SELECT count(*) FROM v", ["3"]),
            ("SELECT min(i), max(i), count(*) FROM w", ["3,5,3"]),
            ("CREATE TEMP VIEW x AS SELECT i * 2 AS i FROM t LIMIT 2; SELECT max(i) FROM x", ["2"]),
        ])


def engine_workarounds():
    """What the engine alone answers wrongly over files of NULLs."""
    with Store() as store:
        store.sql("CREATE FRAME t (i INTEGER, s TEXT, b BOOLEAN); INSERT INTO t VALUES (1, 'x', true), (2, 'y', false)")
        store.sql("INSERT INTO t VALUES (3, NULL, NULL)")
        store.sql("CREATE VIEW v AS SELECT * FROM t WHERE s IS DISTINCT FROM 'y' OR s = 'x'; CREATE VIEW w AS SELECT *, s IS DISTINCT FROM 'y' AS d FROM t")
        check(store, [
            ("SELECT list(i ORDER BY i)::TEXT FROM t WHERE s = 'x' OR s IS DISTINCT FROM 'y'", ['"[1, 3]"']),
            ("SELECT list(i ORDER BY i)::TEXT FROM t WHERE b = true OR b IS NOT FALSE", ['"[1, 3]"']),
            ("SELECT list(i ORDER BY i)::TEXT FROM t WHERE s = 'x' OR NOT (s IS NOT DISTINCT FROM 'y')", ['"[1, 3]"']),
            ("SELECT list(i ORDER BY i)::TEXT FROM v", ['"[1, 3]"']),
            ("SELECT list(i ORDER BY i)::TEXT FROM w WHERE d OR s = 'x'", ['"[1, 3]"']),
            ("CREATE MACRO m(a) AS a IS DISTINCT FROM 'y'; SELECT list(i ORDER BY i)::TEXT FROM t WHERE m(s) OR s = 'x'", ['"[1, 3]"']),
        ])


def files():
    with Store() as store:
        csv = store.file("a.csv", "id,name\n1,x\n2,y\n")
        store.file("b.csv", "id,name\n3,z\n")
        store.sql("CREATE FRAME f (id BIGINT, name TEXT)")
        store.sql(f"COPY f FROM '{csv}'")
        check(store, [
            (f"SELECT count(*) FROM '{csv}'", ["2"]),
            (f"SELECT sum(id) FROM read_csv('{store.folder}/*.csv')", ["6"]),
            ("SELECT * FROM f ORDER BY id", ["1,x", "2,y"]),
        ])
        for name in ("out.csv", "out.parquet", "out.json"):
            store.sql(f"COPY (SELECT id * 2 AS d FROM f ORDER BY id) TO '{store.folder}/{name}'")
            check(store, [(f"SELECT d FROM '{store.folder}/{name}'", ["2", "4"])])


def formats():
    expected = {
        "csv": 'a,b\n1,x\n,"q""z"\n',
        "json": '[{"a":1,"b":"x"},\n {"a":null,"b":"q\\"z"}]\n',
        "jsonl": '{"a":1,"b":"x"}\n{"a":null,"b":"q\\"z"}\n',
        "markdown": '| a | b |\n| ---: | --- |\n| 1 | x |\n|  | q"z |\n',
    }
    with Store() as store:
        for name, text in expected.items():
            code, out, err = store.run("sql", "SELECT * FROM (VALUES (1, 'x'), (NULL, 'q\"z')) t(a, b)", "--format", name)
            assert (code, out) == (0, text), f"{name}: {code} {out!r} {err}"
        code, out, _ = store.run("sql", "SELECT 1 AS a")
        assert code == 0 and "│ a │" in out and "1 row in" in out, out


def input_ways():
    with Store() as store:
        script = store.file("s.sql", "SELECT 1 AS a;\n-- a comment; with a semicolon\nSELECT ';' AS b")
        for words, stdin in ((("sql", "-f", script), ""), (("sql",), script.read_text()), (("sql", "-"), script.read_text())):
            code, out, err = store.run(*words, "--format", "csv", stdin=stdin)
            assert (code, out) == (0, "a\n1\nb\n;\n"), f"{words}: {code} {out!r} {err}"


def imports():
    with Store() as store:
        store.file("x.csv", "day,n\n2024-01-01,1\n2024-01-02,2\n")
        store.file("y.jsonl", '{"day":"2024-02-01","n":3}\n')
        code, out, err = store.run("import", "d", store.folder / "x.csv", "--partition-by", "day")
        assert code == 0 and "Imported 2 rows into d" in out, f"{out} {err}"
        code, out, err = store.run("import", "d", store.folder / "y.jsonl")
        assert code == 0, err
        check(store, [("SELECT day, n FROM d ORDER BY n", ["2024-01-01,1", "2024-01-02,2", "2024-02-01,3"])])
        folders = {name.split("/")[3] for name, _ in store.objects() if name.startswith("main/main/d/day=")}
        assert folders == {"day=2024-01-01", "day=2024-01-02", "day=2024-02-01"}, folders
        code, out, err = store.run("import", "d", store.folder / "x.csv", "--overwrite")
        assert code == 0, err
        check(store, [("SELECT count(*) FROM d", ["2"])])


def exports():
    with Store() as store:
        store.sql("CREATE FRAME t AS SELECT range AS i FROM range(3)")
        for ending in ("csv", "json", "jsonl", "parquet"):
            path = store.folder / f"o.{ending}"
            code, _, err = store.run("export", "t", path)
            assert code == 0, err
            check(store, [(f"SELECT sum(i) FROM '{path}'", ["3"])])
        code, _, err = store.run("export", "SELECT i FROM t WHERE i > 1", store.folder / "q.csv")
        assert code == 0 and (store.folder / "q.csv").read_text() == "i\n2\n", err


def explain():
    with Store() as store:
        store.sql("CREATE FRAME e PARTITIONED BY (p) AS SELECT range AS i, (range // 10)::INTEGER AS p FROM range(40)")
        text = "\n".join(store.sql("EXPLAIN SELECT * FROM e WHERE p = 2"))
        assert "reads 1 of 4 cells" in text and "dropped by partition: 3 cells" in text, text
        text = "\n".join(store.sql("EXPLAIN SELECT * FROM e WHERE i BETWEEN 11 AND 12"))
        assert "reads 1 of 4 cells" in text and "dropped by statistics: 3 cells" in text, text
        text = "\n".join(store.sql("EXPLAIN SELECT count(*) FROM e"))
        assert "answered from the ledger alone" in text, text


def settings():
    with Store() as store:
        check(store, [
            ("SET timezone = 'America/New_York'; SELECT strftime(TIMESTAMPTZ '2020-01-01 00:00:00+00', '%H')", ["19"]),
            ("SET VARIABLE x = 41; SELECT getvariable('x') + 1", ["42"]),
        ])
        code, out, _ = store.run("config")
        assert code == 0 and "memory_limit" in out and "environment" in out, out


if __name__ == "__main__":
    main([selects, frames, replace_where, long_partition_values, create_as, namespaces, timing, first_box_renamed, views, one_after_the_other, figures_of_views, engine_workarounds, files, formats, input_ways, imports, exports, explain, settings])
