"""Tables that Spark wrote, read by Apiary, and what Apiary does not do to them."""

import datetime
import decimal
import math

from engine import Frames, session, spark, table
from peers import ODD, UTC

D = decimal.Decimal


def theirs(store, columns, properties="", name="t"):
    """A table of Spark's beside the store, and a frame over it."""
    path = store.folder / f"their {name}"
    extra = f"TBLPROPERTIES ({properties})" if properties else ""
    spark(f"CREATE TABLE {table(path)} ({columns.replace('|', ') USING delta ')}{'' if '|' in columns else ') USING delta'} {extra}")
    store.sql(f"CREATE FRAME {name} LOCATION '{path}'")
    return path


def all_types():
    with Frames() as store:
        path = theirs(store, "b BOOLEAN, i1 TINYINT, i2 SMALLINT, i4 INT, i8 BIGINT, f4 FLOAT, f8 DOUBLE, d9 DECIMAL(9,2), d38 DECIMAL(38,10), "
                             "s STRING, x BINARY, day DATE, ntz TIMESTAMP_NTZ, tz TIMESTAMP, l ARRAY<INT>, st STRUCT<a: INT, b: STRING>, "
                             "m MAP<STRING, INT>, c CHAR(4), v VARCHAR(9)")
        spark(f"INSERT INTO {table(path)} VALUES (true, -128Y, 32767S, -2147483648, 9223372036854775807, float('NaN'), double('-Infinity'), "
              "-9999999.99BD, 1234567890123456789012345678.0123456789BD, 'ünïcode \U0001F41D', X'00FF', DATE '0001-01-01', "
              "TIMESTAMP_NTZ '1960-02-29 23:59:59.999999', TIMESTAMP '2024-06-01 12:00:00.000001+02:00', array(1, NULL, 3), "
              "named_struct('a', 1, 'b', NULL), map('k', 1, 'n', NULL), 'abcd', 'ef'), "
              "(" + ", ".join(["NULL"] * 19) + ")")
        store.same("t", [(True, -128, 32767, -2**31, 2**63 - 1, math.nan, -math.inf, D("-9999999.99"),
                          D("1234567890123456789012345678.0123456789"), "ünïcode \U0001F41D", b"\x00\xff", datetime.date(1, 1, 1),
                          datetime.datetime(1960, 2, 29, 23, 59, 59, 999999), datetime.datetime(2024, 6, 1, 10, 0, 0, 1, UTC),
                          [1, None, 3], {"a": 1, "b": None}, [("k", 1), ("n", None)], "abcd", "ef"), (None,) * 19], path)


def partitions():
    with Frames() as store:
        path = theirs(store, "n INT, p STRING, d DATE, z TIMESTAMP | PARTITIONED BY (p, d, z)")
        rows = [(n, p, datetime.date(2024, 1, n + 1) if n % 3 else None, datetime.datetime(2024, 1, 1, n, 0, 0, n, UTC))
                for n, p in enumerate(ODD)]
        session().createDataFrame(rows, "n INT, p STRING, d DATE, z TIMESTAMP").write.format("delta").mode("append").save(str(path))
        store.same("t", rows, path)
        for n, p in enumerate(ODD):
            quoted = "NULL" if p is None else "'" + p.replace("'", "''") + "'"
            assert store.sql(f"SELECT n FROM t WHERE p IS NOT DISTINCT FROM {quoted}")[1:] == [str(n)], p


def statistics_are_used():
    with Frames() as store:
        path = theirs(store, "i INT, s STRING, z TIMESTAMP, d DECIMAL(20,3)")
        for n in (1, 2, 3):
            spark(f"INSERT INTO {table(path)} VALUES ({n}, repeat('{n}', 50), TIMESTAMP '2024-01-0{n} 00:00:00.000999Z', {n}.125BD)")
        for test in ("i = 2", f"s = '{'2' * 50}'", "z = TIMESTAMPTZ '2024-01-02 00:00:00.000999+00'", "d = 2.125"):
            assert store.sql(f"SELECT i FROM t WHERE {test}")[1:] == ["2"], test
            plan = "\n".join(store.sql(f"EXPLAIN SELECT i FROM t WHERE {test}"))
            assert "1 of 3 cells" in plan, plan


def checkpoints(properties):
    """Ten versions make one; then only it and what came later is left."""
    with Frames() as store:
        path = theirs(store, "i INT, p INT | PARTITIONED BY (p)", f"'delta.checkpointInterval' = '3'{properties}")
        rows = []
        for n in range(1, 9):
            spark(f"INSERT INTO {table(path)} VALUES ({n}, {n % 2})")
            rows.append((n, n % 2))
        log = path / "_delta_log"
        found = sorted({int(file.name[:20]) for file in log.glob("*.checkpoint*.*") if file.name[0] != "."})
        assert found[-1] == 6, found
        store.same("t", rows, path)
        store.same("t", rows[:4], path, version=4)
        for version in range(6):
            (log / f"{version:020d}.json").unlink()
        store.sql(f"CREATE FRAME fresh LOCATION '{path}'")
        store.same("fresh", rows, path)
        return sorted(file.name for file in log.iterdir())


def checkpoints_classic():
    names = checkpoints("")
    assert f"{6:020d}.checkpoint.parquet" in names, names


def checkpoints_of_structs_only():
    checkpoints(", 'delta.checkpoint.writeStatsAsStruct' = 'true', 'delta.checkpoint.writeStatsAsJson' = 'false'")


def checkpoints_v2():
    names = checkpoints(", 'delta.checkpointPolicy' = 'v2'")
    assert any(len(name) > 60 and name.startswith(f"{6:020d}.checkpoint.") for name in names), names


def deletion_vectors():
    with Frames() as store:
        path = theirs(store, "i INT, p INT | PARTITIONED BY (p)", "'delta.enableDeletionVectors' = 'true'")
        spark(f"INSERT INTO {table(path)} SELECT /*+ COALESCE(1) */ CAST(id AS INT), CAST(id % 2 AS INT) FROM range(2000)")
        left = [(n, n % 2) for n in range(2000)]
        for test, keep in (("i % 7 = 0", lambda n: n % 7), ("i > 100 AND i < 900", lambda n: not 100 < n < 900)):
            spark(f"DELETE FROM {table(path)} WHERE {test}")
            left = [row for row in left if keep(row[0])]
            store.same("t", left, path)
        assert list(path.rglob("deletion_vector_*.bin")), "Spark wrote no deletion vectors"
        assert store.sql("SELECT count(*), max(i), min(i) FROM t")[1] == f"{len(left)},1999,1"
        spark(f"UPDATE {table(path)} SET i = -1 WHERE i = 1")
        store.same("t", [(-1, 1)] + [row for row in left if row[0] != 1], path)


def column_mapping():
    with Frames() as store:
        path = theirs(store, "a INT, s STRUCT<x: INT, y: STRING>, p STRING | PARTITIONED BY (p)", "'delta.columnMapping.mode' = 'name'")
        spark(f"INSERT INTO {table(path)} VALUES (1, named_struct('x', 1, 'y', 'eins'), 'a/b')")
        spark(f"ALTER TABLE {table(path)} RENAME COLUMN a TO `first one`")
        spark(f"ALTER TABLE {table(path)} DROP COLUMN s.x")
        spark(f"ALTER TABLE {table(path)} RENAME COLUMN p TO part")
        spark(f"ALTER TABLE {table(path)} ADD COLUMN (a STRING)")
        spark(f"INSERT INTO {table(path)} VALUES (2, named_struct('y', 'zwei'), NULL, 'again')")
        store.same("t", [(1, {"y": "eins"}, "a/b", None), (2, {"y": "zwei"}, None, "again")], path)
        assert store.sql("SELECT a FROM t WHERE \"first one\" = 2 AND part IS NULL")[1:] == ["again"]


def widened_types():
    with Frames() as store:
        path = theirs(store, "a SMALLINT", "'delta.enableTypeWidening' = 'true'")
        spark(f"INSERT INTO {table(path)} VALUES (1S)")
        spark(f"ALTER TABLE {table(path)} ALTER COLUMN a TYPE BIGINT")
        spark(f"INSERT INTO {table(path)} VALUES (9223372036854775807)")
        store.same("t", [(1,), (2**63 - 1,)], path)


REFUSED = [  # what a table has, its columns, properties; a word of the refusal
    ("row tracking", "a INT", "'delta.enableRowTracking' = 'true'", "rowTracking"),
    ("clustering", "a INT | CLUSTER BY (a)", "", "clustering"),
    ("identity", "a INT, n BIGINT GENERATED ALWAYS AS IDENTITY", "", "dentity"),
    ("generated", "a INT, n INT GENERATED ALWAYS AS (a + 1)", "", "enerat"),
]


def writes_are_refused_by_name():
    """Features that ask something of writers which Apiary does not do: read, not written, told by name."""
    with Frames() as store:
        for n, (what, columns, properties, word) in enumerate(REFUSED):
            path = theirs(store, columns, properties, f"t{n}")
            spark(f"INSERT INTO {table(path)} (a) VALUES (1)")
            assert store.sql(f"SELECT a FROM t{n}")[1:] == ["1"], what
            code, _, err = store.run("sql", f"INSERT INTO t{n} BY NAME SELECT 2::INTEGER AS a")
            assert code == 1 and word in err and "\n" not in err.split("\nHint")[0].strip(), (what, err)
            assert spark(f"SELECT count(*) FROM {table(path)}") == [(1,)], what
        path = theirs(store, "a INT", "", "checked")
        spark(f"ALTER TABLE {table(path)} ADD CONSTRAINT small CHECK (a < 10)")
        code, _, err = store.run("sql", "INSERT INTO checked VALUES (11::INTEGER)")
        assert code == 1 and "small" in err, err


CASES = [all_types, partitions, statistics_are_used, checkpoints_classic, checkpoints_of_structs_only, checkpoints_v2, deletion_vectors,
         column_mapping, widened_types, writes_are_refused_by_name]
