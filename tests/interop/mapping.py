#!/usr/bin/env python3
"""Frames with mapped columns: names that Delta forbids, kept. What deltalake reads of them, what lies in their
cells, and that every kind of write keeps to it. One case: mapping.py NAME."""

import json
import sys

import in_venv  # noqa: F401

import deltalake
import pyarrow.parquet
from apiary_cli import Store, main

MAPPED = "WITH ('delta.columnMapping.mode' = 'name')"
ODD = "id,flight no,\"a,b\",x;{}()=y\n1,AB 1,p q,0.5\n2,CD 2,p=q,\n3,,,2.5\n"
ROWS = [(1, "AB 1", "p q", 0.5), (2, "CD 2", "p=q", None), (3, None, None, 2.5)]
NAMES = ["id", "flight no", "a,b", "x;{}()=y"]


def log_of(store, frame, version):
    text = (store.root / f"main/main/{frame}/_delta_log/{version:020}.json").read_text()
    actions = {}
    for line in text.splitlines():
        for kind, action in json.loads(line).items():
            actions.setdefault(kind, []).append(action)
    return actions


def fields_of(action):
    return json.loads(action["schemaString"])["fields"]


def physical(field):
    return field["metadata"]["delta.columnMapping.physicalName"]


def theirs(store, frame, version=None):
    """As deltalake's query engine reads it; its datasets of pyarrow do not know mapped columns."""
    path = str(store.root / "main/main" / frame)
    query = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(path, version=version)).execute("SELECT * FROM t")
    table = pyarrow.table(query.read_all())
    return table.column_names, sorted(zip(*(column.to_pylist() for column in table.columns)), key=repr)


def cells(store, frame):
    return sorted((store.root / "main/main" / frame).rglob("cell_*.parquet"))


def imported(store, *options):
    (store.folder / "odd.csv").write_text(ODD)
    code, out, err = store.run("import", "odd", str(store.folder / "odd.csv"), *options)
    assert code == 0, err
    return out + err


def import_keeps_names():
    with Store() as store:
        imported(store, "--keep-names")
        assert store.sql("SELECT \"flight no\", \"x;{}()=y\" FROM odd WHERE \"a,b\" = 'p q'") == ["flight no,x;{}()=y", "AB 1,0.5"]
        assert theirs(store, "odd") == (NAMES, ROWS), theirs(store, "odd")
        log = log_of(store, "odd", 0)
        assert log["protocol"] == [{"minReaderVersion": 2, "minWriterVersion": 5}], log["protocol"]
        fields = fields_of(log["metaData"][0])
        assert log["metaData"][0]["configuration"] == {"delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "4"}
        assert [field["metadata"]["delta.columnMapping.id"] for field in fields] == [1, 2, 3, 4]
        assert len({physical(field) for field in fields}) == 4
        assert set(json.loads(log["add"][0]["stats"])["nullCount"]) == {physical(field) for field in fields}
        in_cell = pyarrow.parquet.read_schema(cells(store, "odd")[0])
        assert in_cell.names == [physical(field) for field in fields], in_cell.names
        assert [in_cell.field(i).metadata[b"PARQUET:field_id"] for i in range(4)] == [b"1", b"2", b"3", b"4"]


def plain_names_need_no_mapping():
    """--keep-names alone maps nothing: tables that need no mapping are read by more engines."""
    with Store() as store:
        (store.folder / "plain.csv").write_text("a,b\n1,2\n")
        code, _, err = store.run("import", "plain", str(store.folder / "plain.csv"), "--keep-names")
        assert code == 0, err
        log = log_of(store, "plain", 0)
        assert log["protocol"] == [{"minReaderVersion": 1, "minWriterVersion": 2}] and log["metaData"][0]["configuration"] == {}


def without_keep_names():
    """A new frame's names are mended, with a notice; a frame that has the name gets it as it is."""
    with Store() as store:
        assert 'column "flight no" is called "flight_no"' in imported(store)
        assert store.sql("SELECT flight_no FROM odd WHERE id = 1") == ["flight_no", "AB 1"]
    with Store() as store:
        imported(store, "--keep-names")
        assert "is called" not in imported(store)
        assert theirs(store, "odd")[1] == sorted(ROWS * 2, key=repr)


def every_write():
    """Nested fields and partitions with odd names; each statement that writes; each version by deltalake."""
    with Store() as store:
        store.sql(f"CREATE FRAME t (id INTEGER NOT NULL, \"p (x)\" VARCHAR, \"s t\" STRUCT(\"a b\" INTEGER, l STRUCT(\"c,d\" VARCHAR)[]), "
                  f"m MAP(VARCHAR, STRUCT(\"e f\" BIGINT)) COMMENT 'say \"so\"') PARTITIONED BY (\"p (x)\") {MAPPED}")
        store.sql("INSERT INTO t VALUES (1, 'u v', {'a b': 1, 'l': [{'c,d': 'x'}, NULL]}, MAP {'k': {'e f': 5}}), (2, NULL, NULL, NULL)")
        first = (1, "u v", {"a b": 1, "l": [{"c,d": "x"}, None]}, [("k", {"e f": 5})])
        second = (2, None, None, None)
        names = ["id", "p (x)", "s t", "m"]
        expected = {1: [first, second]}
        store.sql("INSERT INTO t BY NAME SELECT 3 AS id, 'w=' AS \"p (x)\"")
        expected[2] = [*expected[1], (3, "w=", None, None)]
        store.sql("UPDATE t SET \"s t\" = {'a b': id + 1, 'l': NULL} WHERE id = 3")
        expected[3] = [first, second, (3, "w=", {"a b": 4, "l": None}, None)]
        store.sql("DELETE FROM t WHERE \"s t\".\"a b\" IS NULL")
        expected[4] = [first, expected[3][2]]
        store.sql("INSERT INTO t REPLACE WHERE \"p (x)\" = 'w=' SELECT 4, 'w=', NULL, MAP {'z': {'e f': 1}}")
        expected[5] = [first, (4, "w=", None, [("z", {"e f": 1})])]
        store.sql("INSERT INTO t SELECT 5, 'w=', NULL, NULL; OPTIMIZE t")
        expected[6] = [*expected[5], (5, "w=", None, None)]
        expected[7] = expected[6]
        store.sql("RESTORE t TO VERSION 5")
        expected[8] = expected[5]
        for version, rows in expected.items():
            got = theirs(store, "t", version)
            assert got == (names, sorted(rows, key=repr)), f"version {version}: {got}"
            ids = store.sql(f"SELECT id FROM t AT (VERSION => {version}) ORDER BY id")[1:]
            assert ids == [str(row[0]) for row in rows], f"version {version}: {ids}"
        assert store.sql("SELECT \"s t\".l[1].\"c,d\" AS a, m['k'].\"e f\" AS b FROM t WHERE \"p (x)\" = 'u v'") == ["a,b", "x,5"]
        fields = fields_of(log_of(store, "t", 0)["metaData"][0])
        partition = physical(fields[1])
        assert all(set(add["partitionValues"]) == {partition} for add in log_of(store, "t", 1)["add"])
        assert fields[3]["metadata"]["comment"] == 'say "so"'
        assert store.run("fsck", "t")[0] == 0


def checkpoint_and_pruning():
    """From a checkpoint alone: statistics and partition values by physical names still drop cells."""
    with Store() as store:
        store.sql(f"CREATE FRAME t (\"n o\" INTEGER, \"p q\" INTEGER) PARTITIONED BY (\"p q\") {MAPPED}")
        for i in range(5):
            store.sql(f"INSERT INTO t VALUES ({i}, {i % 2})", "--set", "checkpoint_interval=5")
        assert list((store.root / "main/main/t/_delta_log").glob("*.checkpoint.parquet"))
        for old in range(5):
            (store.root / f"main/main/t/_delta_log/{old:020}.json").unlink()
        for condition, kept in (("\"n o\" = 2", 1), ("\"p q\" = 1", 2), ("\"n o\" < 9", 5)):
            plan = "\n".join(store.sql(f"EXPLAIN SELECT * FROM t WHERE {condition}"))
            assert f"reads {kept} of 5 cells" in plan, f"{condition}: {plan}"
        assert theirs(store, "t")[1] == [(0, 0), (1, 1), (2, 0), (3, 1), (4, 0)]


def divided():
    """A query over mapped columns in tasks gives what it gives in one piece."""
    with Store() as store:
        store.sql(f"CREATE FRAME t (\"a b\" BIGINT, \"s t\" STRUCT(\"c,d\" BIGINT), \"p q\" INTEGER) PARTITIONED BY (\"p q\") {MAPPED}")
        for i in range(4):
            store.sql(f"INSERT INTO t SELECT range, {{'c,d': range * 2}}, {i % 2} FROM range(1000)")
        query = "SELECT \"p q\", sum(\"a b\") AS s, max(\"s t\".\"c,d\") AS m FROM t WHERE \"a b\" < 900 GROUP BY \"p q\" ORDER BY 1"
        plan = "\n".join(store.sql(f"EXPLAIN {query}", "--set", "distributed=force"))
        assert "not distributed" not in plan, plan
        assert store.sql(query, "--set", "distributed=force") == store.sql(query) == ["p q,s,m", "0,809100,1798", "1,809100,1798"]


def merged_columns_and_replacement():
    """New columns get ids above all earlier ones; a frame that is replaced stays mapped and gives no id twice."""
    with Store() as store:
        store.sql(f"CREATE FRAME t {MAPPED} AS SELECT 1 AS \"a b\", 2 AS c")
        store.sql("CREATE OR REPLACE FRAME t AS SELECT 'x' AS \"a b\", 3.5::DOUBLE AS \"new one\"")
        log = log_of(store, "t", 1)
        assert [field["metadata"]["delta.columnMapping.id"] for field in fields_of(log["metaData"][0])] == [3, 4]
        assert log["metaData"][0]["configuration"]["delta.columnMapping.maxColumnId"] == "4"
        assert theirs(store, "t") == (["a b", "new one"], [("x", 3.5)])
        assert theirs(store, "t", 0) == (["a b", "c"], [(1, 2)])
        store.sql("RESTORE t TO VERSION 0")
        assert log_of(store, "t", 2)["metaData"][0]["configuration"]["delta.columnMapping.maxColumnId"] == "4"
        assert theirs(store, "t") == (["a b", "c"], [(1, 2)])


def times_ask_for_features():
    with Store() as store:
        store.sql(f"CREATE FRAME t {MAPPED} AS SELECT TIMESTAMP '2020-01-02 03:04:05' AS \"a t\"")
        protocol = log_of(store, "t", 0)["protocol"][0]
        assert (protocol["minReaderVersion"], protocol["minWriterVersion"]) == (3, 7)
        assert set(protocol["readerFeatures"]) == {"timestampNtz", "columnMapping"}
        assert set(protocol["writerFeatures"]) == {"timestampNtz", "columnMapping", "appendOnly", "invariants"}
        assert theirs(store, "t")[1][0][0].isoformat() == "2020-01-02T03:04:05"


def deltalake_appends():
    """Both write to one mapped table, and each reads the other's cells."""
    with Store() as store:
        store.sql(f"CREATE FRAME t {MAPPED} AS SELECT 1::BIGINT AS \"a b\"")
        path = str(store.root / "main/main/t")
        deltalake.write_deltalake(path, pyarrow.table({"a b": [2]}), mode="append")
        assert store.sql("SELECT \"a b\" FROM t ORDER BY 1") == ["a b", "1", "2"]
        assert theirs(store, "t")[1] == [(1,), (2,)]


def refusals():
    cases = [
        ("CREATE FRAME u (\"a b\" INTEGER)", "holds ' ', which Delta tables do not allow"),
        ("CREATE FRAME u (\"a b\" INTEGER)", "delta.columnMapping.mode"),
        ("CREATE FRAME u (a INTEGER) WITH ('delta.columnMapping.mode' = 'id')", "'name' is"),
        ("ALTER FRAME t SET PROPERTIES ('delta.columnMapping.mode' = 'none')", "cannot be changed from name to none"),
        ("ALTER FRAME t UNSET PROPERTIES ('delta.columnMapping.mode')", "cannot be changed from name to none"),
        ("ALTER FRAME p SET PROPERTIES ('delta.columnMapping.mode' = 'name')", "cannot be changed from none to name"),
        ("CREATE OR REPLACE FRAME p WITH ('delta.columnMapping.mode' = 'name') AS SELECT 1 AS a", "cannot be changed from none to name"),
    ]
    with Store() as store:
        store.sql(f"CREATE FRAME t {MAPPED} AS SELECT 1 AS \"a b\"; CREATE FRAME p AS SELECT 1 AS a")
        for sql, said in cases:
            code, _, err = store.run("sql", sql)
            assert code != 0 and said in err, f"{sql}: {err}"
        store.sql("ALTER FRAME t SET PROPERTIES ('delta.columnMapping.maxColumnId' = '0')")
        assert log_of(store, "t", 1)["metaData"][0]["configuration"]["delta.columnMapping.maxColumnId"] == "1"


if __name__ == "__main__":
    cases = [import_keeps_names, plain_names_need_no_mapping, without_keep_names, every_write, checkpoint_and_pruning, divided,
             merged_columns_and_replacement, times_ask_for_features, deltalake_appends, refusals]
    main([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
