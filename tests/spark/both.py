"""Apiary and Spark write to one table in turn, and at once."""

import concurrent.futures

from engine import Frames, frame_of, history, refusal, session, spark, table
import apiary
from apiary_cli import APIARY
from peers import ODD


def quoted(text, escape):
    return "NULL" if text is None else "'" + escape(text) + "'"


def for_apiary(text):
    return quoted(text, lambda text: text.replace("'", "''"))


def for_spark(text):
    return quoted(text, lambda text: text.replace("\\", "\\\\").replace("'", "\\'"))


def ours_then_theirs():
    """A frame of ours: Spark appends, deletes, compacts and vacuums it, we do after each."""
    with Frames() as store:
        store.sql("CREATE FRAME t (i INTEGER, p VARCHAR) PARTITIONED BY (p)")
        path, rows = store.path("t"), []
        name = table(path)

        def ours(*new):
            store.sql("; ".join(f"INSERT INTO t VALUES ({i}, {for_apiary(p)})" for i, p in new))
            rows.extend(new)

        def theirs(*new):
            spark(f"INSERT INTO {name} VALUES " + ", ".join(f"({i}, {for_spark(p)})" for i, p in new))
            rows.extend(new)

        ours(*enumerate(ODD[:4]))
        theirs(*[(n + 100, p) for n, p in enumerate(ODD)])
        store.same("t", rows)
        ours((200, ODD[1]), (201, None))
        spark(f"DELETE FROM {name} WHERE i % 5 = 0")
        rows = [row for row in rows if row[0] % 5]
        store.same("t", rows)
        ours((301, ODD[2]))
        store.sql("DELETE FROM t WHERE i = 102")
        rows = [row for row in rows if row[0] != 102]
        store.same("t", rows)
        before = len(frame_of(path).inputFiles())
        spark(f"OPTIMIZE {name}")
        assert len(frame_of(path).inputFiles()) < before
        store.same("t", rows)
        ours((302, ODD[3]))
        store.sql("OPTIMIZE t")
        theirs((401, "later"))
        store.same("t", rows)
        spark("SET spark.databricks.delta.retentionDurationCheck.enabled = false")
        spark(f"VACUUM {name} RETAIN 0 HOURS")
        there = [file for file in path.rglob("*.parquet") if file.parent.name != "_delta_log"]
        assert len(there) == len(frame_of(path).inputFiles()), there
        store.same("t", rows)
        ours((501, "after the vacuum"))
        store.sql("SET vacuum_retention_check = off; VACUUM t RETAIN 0 HOURS", "--set", "vacuum_wait=1ms")
        store.same("t", rows)


def theirs_then_ours():
    """A table of Spark's with deletion vectors; both write checkpoints."""
    with Frames() as store:
        path = store.folder / "theirs"
        spark(f"CREATE TABLE {table(path)} (a INT, c STRING) USING delta TBLPROPERTIES ('delta.checkpointInterval' = '4', "
              "'delta.enableDeletionVectors' = 'true')")
        store.sql(f"CREATE FRAME t LOCATION '{path}'")
        rows = []
        for n in range(3):
            spark(f"INSERT INTO {table(path)} SELECT /*+ COALESCE(1) */ * FROM VALUES ({n}, 'spark'), ({n + 10}, 'gone')")
            store.sql(f"INSERT INTO t VALUES ({n}, 'apiary'), ({n + 20}, 'gone too')")
            spark(f"DELETE FROM {table(path)} WHERE c = 'gone'")
            rows += [(n, "spark"), (n, "apiary")]
            store.sql("DELETE FROM t WHERE c = 'gone too'")
            if n == 1:
                spark(f"INSERT INTO {table(path)} VALUES ({n}, 'once more')")
                rows.append((n, "once more"))
            store.same("t", rows, path)
        engines = {version: engine for version, (_, engine) in history(path).items()}
        writers = {engines[int(file.name[:20])] for file in (path / "_delta_log").glob("*.checkpoint.parquet")}
        assert writers == {"Apache-Spark", "Apiary"}, (writers, engines)
        store.sql("UPDATE t SET c = 'one' WHERE a = 1; OPTIMIZE t")
        rows = [(a, "one" if a == 1 else c) for a, c in rows]
        store.same("t", rows, path)
        spark(f"RESTORE TABLE {table(path)} TO VERSION AS OF 1")
        store.same("t", [(0, "spark"), (10, "gone")], path)


def new_columns():
    """Spark adds a column: our old cells are NULL there, for both."""
    with Frames() as store:
        store.sql("CREATE FRAME t AS SELECT 1::INTEGER AS a")
        path = store.path("t")
        spark(f"ALTER TABLE {table(path)} ADD COLUMN (b STRING)")
        store.sql("INSERT INTO t VALUES (2, 'ours')")
        spark(f"INSERT INTO {table(path)} VALUES (3, 'theirs')")
        store.same("t", [(1, None), (2, "ours"), (3, "theirs")])


def mapped_columns():
    """Physical names: a table of Spark's that has renamed, dropped and new columns, and a frame of ours with names that Delta forbids."""
    with Frames() as store:
        path = store.folder / "theirs"
        spark(f"CREATE TABLE {table(path)} (a INT, s STRUCT<x: INT, y: STRING>, gone INT, p STRING) USING delta PARTITIONED BY (p) "
              "TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
        spark(f"INSERT INTO {table(path)} VALUES (1, named_struct('x', 1, 'y', 'eins'), 0, 'a/b')")
        spark(f"ALTER TABLE {table(path)} RENAME COLUMN a TO `first one`")
        spark(f"ALTER TABLE {table(path)} RENAME COLUMN p TO part")
        spark(f"ALTER TABLE {table(path)} DROP COLUMN gone")
        spark(f"ALTER TABLE {table(path)} ADD COLUMN (a STRING)")
        store.sql(f"CREATE FRAME t LOCATION '{path}'")
        store.sql("INSERT INTO t VALUES (2, {'x': 2, 'y': 'zwei'}, NULL, 'ours'), (3, NULL, 'c d', NULL)")
        rows = [(1, {"x": 1, "y": "eins"}, "a/b", None), (2, {"x": 2, "y": "zwei"}, None, "ours"), (3, None, "c d", None)]
        store.same("t", rows, path)
        assert spark(f"SELECT a FROM {table(path)} WHERE `first one` = 2 AND part IS NULL") == [("ours",)]
        store.sql("UPDATE t SET a = 'changed' WHERE \"first one\" = 1; DELETE FROM t WHERE part = 'c d'")
        spark(f"INSERT INTO {table(path)} VALUES (4, NULL, 'z', 'theirs')")
        rows = [(1, rows[0][1], "a/b", "changed"), rows[1], (4, None, "z", "theirs")]
        store.same("t", rows, path)
        store.sql("CREATE FRAME k (\"a b\" INTEGER, \"p=q\" VARCHAR, \"s;\" STRUCT(\"x,y\" INTEGER)) PARTITIONED BY (\"p=q\") "
                  "WITH ('delta.columnMapping.mode' = 'name'); INSERT INTO k VALUES (1, 'p/1', {'x,y': 5}), (2, NULL, NULL)")
        spark(f"INSERT INTO {table(store.path('k'))} VALUES (3, 'theirs', named_struct('x,y', 6))")
        store.same("k", [(1, "p/1", {"x,y": 5}), (2, None, None), (3, "theirs", {"x,y": 6})])


# ---- while the other one is at it ----

def while_ours_runs():
    """What Spark commits between the two batches of a write of ours."""
    with Frames() as store, apiary.open(store.root, bees=1, memory_limit="512MB", progress=False) as db:
        db.create_frame("main", "main", "t", {"a": "int32"})
        db.write_to_frame("main", "main", "t", {"a": [1, 2, 3]})
        name, frame = table(store.path("t")), db["main.main.t"]

        def batches(*statements):
            yield [{"a": 10}]
            for statement in statements:
                spark(statement)
            yield [{"a": 11}]

        frame.append(batches(f"INSERT INTO {name} VALUES (20)", f"DELETE FROM {name} WHERE a = 2", f"OPTIMIZE {name}"))
        store.same("t", [(1,), (3,), (10,), (11,), (20,)])  # an append reads nothing, so nothing stands against it
        for statement, word in ((f"INSERT INTO {name} VALUES (21)", "WRITE"), (f"UPDATE {name} SET a = 22 WHERE a = 20", "UPDATE"),
                                (f"ALTER TABLE {name} SET TBLPROPERTIES ('x' = 'y')", "SET TBLPROPERTIES")):
            said = refusal(lambda: frame.overwrite(batches(statement)))
            assert "Spark" in said and word in said, said
        store.same("t", [(1,), (3,), (10,), (11,), (21,), (22,)])


def while_theirs_runs():
    """What we commit while a job of Spark's is at work on its rows (the job calls us by itself)."""
    with Frames() as store:
        store.sql("CREATE FRAME t AS SELECT 1::INTEGER AS a; CREATE FRAME source AS SELECT 5::INTEGER AS a")
        name, environment, program = table(store.path("t")), store.environment(), APIARY

        def meanwhile(a, statement):
            import subprocess
            subprocess.run([program, "sql", statement], env=environment, check=True, capture_output=True)
            return a + 100

        session().udf.register("meanwhile", meanwhile, "int")
        spark(f"INSERT INTO {name} SELECT meanwhile(a, 'UPDATE t SET a = 2') FROM {table(store.path('source'))}")
        store.same("t", [(2,), (105,)])
        for statement, word in (("INSERT INTO t VALUES (3)", "WRITE"), ("DELETE FROM t WHERE a = 2", "DELETE")):
            said = refusal(lambda: spark(f"UPDATE {name} SET a = meanwhile(a, '{statement}') WHERE a = 2"))
            assert "DELTA_CONCURRENT" in said and f"a concurrent {word}" in said, said
        store.same("t", [(3,), (105,)])


def writers_at_once():
    """Two processes of ours and Spark append to one table: every row is there once."""
    each = 5
    with Frames() as store:
        store.sql("CREATE FRAME t (who VARCHAR, n INTEGER); INSERT INTO t SELECT 'old', range FROM range(50)")

        def ours(who):
            store.sql("; ".join(f"INSERT INTO t VALUES ('{who}', {n})" for n in range(each)))

        def theirs(who):
            for n in range(each):
                spark(f"INSERT INTO {table(store.path('t'))} VALUES ('{who}', {n})")

        jobs = [(ours, "ours0"), (theirs, "theirs"), (ours, "ours1")]
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            for done in [pool.submit(job, who) for job, who in jobs]:
                done.result()
        store.same("t", [("old", n) for n in range(50)] + [(who, n) for _, who in jobs for n in range(each)])


CASES = [ours_then_theirs, theirs_then_ours, new_columns, mapped_columns, while_ours_runs, while_theirs_runs, writers_at_once]
