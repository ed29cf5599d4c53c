#!/usr/bin/env python3
"""ap.spark(): the frames of a store as tables of Spark, in a cluster of one worker with a JVM of its own. One case: sdk.py NAME."""

import contextlib
import os
import pathlib
import subprocess
import sys
import warnings

import engine
import apiary
from apiary_cli import main

MASTER = "local-cluster[1,1,1024]"
CONFIG = {**engine.QUICK, "spark.executor.memory": "1024m", "spark.master": MASTER, "spark.jars": ",".join(engine.JARS)}
home = pathlib.Path(engine.SCRATCH.name) / "home"  # its workers write there
home.mkdir()
for part in ("bin", "jars"):
    (home / part).symlink_to(engine.PYSPARK / "pyspark" / part)
os.environ["SPARK_HOME"] = str(home)
SMALL = {"bees": 1, "memory_limit": "512MB", "progress": False}


@contextlib.contextmanager
def opened():
    with engine.Frames() as store, apiary.open(store.root, **SMALL) as db:
        yield store, db


def told(call, *arguments, **named):
    """What a call returns, and its warnings as one text."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", apiary.ApiaryWarning)
        result = call(*arguments, **named)
    return result, "\n".join(str(warning.message) for warning in seen if issubclass(warning.category, apiary.ApiaryWarning))


def rows(spark, text):
    return sorted(tuple(row) for row in spark.sql(text).collect())


def every_frame_is_a_table():
    with opened() as (store, db):
        here = os.getcwd()
        before = os.listdir(here)
        outside = store.folder / "it's outside, 50%"
        spark, said = told(db.spark, CONFIG)
        assert said == "" and spark.sparkContext.master == MASTER, said
        spark.sql(f"CREATE TABLE delta.`{outside}` (a INT) USING delta")
        db.sql(f"""CREATE HIVE "lab-1"; CREATE BOX "lab-1".raw; CREATE FRAME "lab-1".raw."read-ings" AS SELECT range AS n, 'p' || range % 2 AS p FROM range(10);
            CREATE BOX sales; CREATE FRAME sales.orders (n BIGINT, day DATE) PARTITIONED BY (day); CREATE FRAME theirs LOCATION '{str(outside).replace(chr(39), chr(39) * 2)}';
            INSERT INTO sales.orders VALUES (3, DATE '2024-01-01'), (4, NULL); CREATE VIEW sales.v AS SELECT n + 1 AS m FROM sales.orders""")
        again, said = told(db.spark)
        assert again is spark and "main.sales.v (a view" in said and said.count("(") == 1, said
        assert rows(spark, "SELECT o.n, r.p FROM sales.orders AS o JOIN lab_1__raw.read_ings AS r ON o.n = r.n WHERE o.day IS NULL") == [(4, "p0")]
        assert rows(spark, "SELECT count(*) FROM main.theirs") == [(0,)]
        spark.sql("INSERT INTO main.theirs VALUES (7)")
        spark.sql("INSERT INTO sales.orders VALUES (5, DATE '2024-01-02')")
        assert db.sql("SELECT a FROM theirs").fetchall() == [(7,)]
        db.sql("DELETE FROM sales.orders WHERE n = 3")
        assert rows(spark, "SELECT n FROM sales.orders") == [(4,), (5,)]
        assert os.listdir(here) == before, "Spark made its folder in the current directory"


def tables_follow_their_frames():
    with opened() as (store, db):
        db.sql("CREATE BOX b; CREATE FRAME b.one AS SELECT 1 AS a; CREATE FRAME b.two AS SELECT 2 AS a; CREATE FRAME b.gone AS SELECT 3 AS a")
        spark, _ = told(db.spark, CONFIG)
        before = store.objects()
        db.sql("ALTER FRAME b.one RENAME TO b.three; ALTER FRAME b.two RENAME TO b.one; DROP FRAME b.gone; CREATE FRAME b.four AS SELECT 4 AS a")
        told(db.spark)
        assert rows(spark, "SELECT o.a, t.a, f.a FROM b.one AS o, b.three AS t, b.four AS f") == [(2, 1, 4)]
        assert {row[1] for row in spark.sql("SHOW TABLES IN b").collect()} == {"one", "three", "four"}
        cells = {name for name, _ in before if name.endswith(".parquet")}
        assert cells <= {name for name, _ in store.objects()}, "a table that was dropped in Spark took its frame's cells along"
        db.sql("UNDROP FRAME b.gone")
        told(db.spark)
        assert rows(spark, "SELECT a FROM b.gone") == [(3,)]


def large_dictionaries():
    """What Spark by itself fails at (ours.large_dictionaries in exchange.py)."""
    with opened() as (_, db):
        db.sql("CREATE BOX large; CREATE FRAME large.f AS SELECT range AS i, md5((range % 2000)::VARCHAR) AS word FROM range(20000)")
        word = db.sql("SELECT word FROM large.f WHERE i = 77").scalar()
        spark, _ = told(db.spark, CONFIG)
        assert rows(spark, f"SELECT count(*), min(i) FROM large.f WHERE word = '{word}'") == [(10, 77)]


def names_that_meet_are_told():
    with opened() as (_, db):
        db.sql("""CREATE BOX meet; CREATE FRAME meet."a-b" AS SELECT 1 AS a; CREATE FRAME meet.a_b AS SELECT 2 AS a;
            CREATE HIVE other; CREATE BOX other.x; CREATE FRAME other.x.f AS SELECT 1 AS a""")
        spark, _ = told(db.spark, CONFIG, hives="other")
        assert rows(spark, "SELECT a FROM other__x.f") == [(1,)]
        spark.sql("CREATE DATABASE IF NOT EXISTS meet")
        assert spark.sql("SHOW TABLES IN meet").collect() == []
        _, said = told(db.spark)
        assert "another frame is called meet.a_b there" in said, said
        assert len(rows(spark, "SELECT a FROM meet.a_b")) == 1
        said = engine.refusal(lambda: db.spark(hives=["nowhere"]))
        assert "nowhere" in said, said


def what_cannot_be_read_is_told():
    with opened() as (store, db):
        db.sql("CREATE BOX odd; CREATE FRAME odd.f AS SELECT 1 AS a; CREATE FRAME odd.fine AS SELECT 1 AS a")
        log = store.root / "main/odd/f" / "_delta_log" / f"{0:020d}.json"
        future = '"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["future"],"writerFeatures":["future"]'
        log.write_text(log.read_text().replace('"minReaderVersion":1,"minWriterVersion":2', future))
        db.sql(f"CREATE FRAME odd.there LOCATION '{store.root / 'main/odd/fine'}'")
        spark, said = told(db.spark, CONFIG)
        assert "main.odd.f (" in said and "future" in said and said.count("main.odd.") == 1, said
        assert rows(spark, "SELECT * FROM odd.fine, odd.there") == [(1, 1)]


def without_deltas_jars():
    """In a process of its own: a JVM keeps the jars that it was started with."""
    with engine.Frames() as store:
        code = ("import sys, apiary\nwith apiary.open(sys.argv[1], bees=1, memory_limit='512MB') as db:\n"
                "    try:\n        db.spark({'spark.master': 'local[1]', 'spark.ui.enabled': False})\n"
                "    except apiary.NotSupportedError as error:\n        print(error, error.hint)\n")
        done = subprocess.run([sys.executable, "-c", code, str(store.root)], capture_output=True, text=True, check=False,
                              env={**os.environ, "PYTHONPATH": f"{os.environ['PYTHONPATH']}:{engine.BUILD / 'python'}"})
        assert "cannot find Delta's library" in done.stdout and "io.delta:delta-spark_4.1_2.13:4.4.0" in done.stdout, (done.stdout, done.stderr[-2000:])


if __name__ == "__main__":
    cases = [every_frame_is_a_table, tables_follow_their_frames, large_dictionaries, names_that_meet_are_told, what_cannot_be_read_is_told, without_deltas_jars]
    main([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
