"""Frames that Apiary wrote, read by Spark."""

import json

from engine import Frames, by_spark, frame_of, history, refusal, session, spark, table
from peers import COLUMNS, ODD, rows_of


def all_types():
    with Frames() as store:
        store.sql("CREATE FRAME t (" + ", ".join(f"{name} {kind}" for name, kind, *_ in COLUMNS) + ")")
        texts = ["(" + ", ".join(column[2][i] for column in COLUMNS) + ")" for i in range(2)]
        texts.append("(" + ", ".join("NULL" for _ in COLUMNS) + ")")
        store.sql("INSERT INTO t VALUES " + ", ".join(texts))
        store.same("t", [tuple(column[3][i] for column in COLUMNS) for i in range(2)] + [(None,) * len(COLUMNS)])
        kinds = [field.dataType.simpleString() for field in frame_of(store.path("t")).schema]
        assert kinds == ["boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "decimal(9,2)", "decimal(18,0)",
                         "decimal(38,10)", "string", "string", "binary", "date", "timestamp_ntz", "timestamp", "array<int>",
                         "struct<a:int,b:string>", "map<string,int>", "array<struct<l:array<struct<x:date>>>>"], kinds


def partitions_of_odd_texts():
    with Frames() as store:
        store.sql("CREATE FRAME t (n INTEGER, p VARCHAR) PARTITIONED BY (p)")
        text = ["NULL" if p is None else "'" + p.replace("'", "''") + "'" for p in ODD]
        store.sql("INSERT INTO t VALUES " + ", ".join(f"({n}, {p})" for n, p in enumerate(text)))
        store.same("t", list(enumerate(ODD)))
        found = frame_of(store.path("t"))
        for n, p in enumerate(ODD):
            got = found.where(found.p.eqNullSafe(p)).select("n").collect()
            assert [tuple(row) for row in got] == [(n,)], (p, got)


def partitions_of_each_type():
    kinds = {"b", "i2", "i8", "d9", "day", "ntz", "tz"}
    with Frames() as store:
        for name, kind, texts, values in COLUMNS:
            if name in kinds:
                store.sql(f"CREATE FRAME t_{name} (p {kind}, n INTEGER) PARTITIONED BY (p); "
                          f"INSERT INTO t_{name} VALUES ({texts[0]}, 0), ({texts[1]}, 1), (NULL, 2)")
                store.same(f"t_{name}", [(values[0], 0), (values[1], 1), (None, 2)])


STATISTICS = [  # type, a value of the first cell, one of the second, the second in Spark's words
    ("INTEGER", "1", "2", "2"),
    ("BIGINT", "-9223372036854775808", "9223372036854775807", "9223372036854775807"),
    ("DECIMAL(20,3)", "-1.5", "12345678901234567.125", "12345678901234567.125"),
    ("DOUBLE", "-0.5", "0.5", "0.5D"),
    ("VARCHAR", "repeat('a', 100)", "repeat('ü', 100)", "repeat('ü', 100)"),
    ("DATE", "DATE '1960-01-01'", "DATE '2024-02-29'", "DATE '2024-02-29'"),
    ("TIMESTAMP", "TIMESTAMP '1960-01-01 00:00:00.000001'", "TIMESTAMP '2024-02-29 12:00:00.999999'",
     "TIMESTAMP_NTZ '2024-02-29 12:00:00.999999'"),
    ("TIMESTAMPTZ", "TIMESTAMPTZ '1960-01-01 00:00:00.000001+00'", "TIMESTAMPTZ '2024-02-29 12:00:00.999999+00'",
     "TIMESTAMP '2024-02-29 12:00:00.999999Z'"),
]


def statistics_are_used():
    """The first cell is away: who asks for what only the second can hold does not miss it."""
    with Frames() as store:
        store.sql("CREATE FRAME t (" + ", ".join(f"c{i} {case[0]}" for i, case in enumerate(STATISTICS)) + ")")
        for cell in (1, 2):
            store.sql("INSERT INTO t VALUES (" + ", ".join(case[cell] for case in STATISTICS) + ")")
        first = next(json.loads(line)["add"]["path"] for line in
                     (store.path("t") / "_delta_log" / f"{1:020d}.json").read_text().splitlines() if '"add"' in line)
        (store.path("t") / first).rename(store.folder / "away")
        for i, case in enumerate(STATISTICS):
            got = spark(f"SELECT c0 FROM {table(store.path('t'))} WHERE c{i} = {case[3]}")
            assert got == [(2,)], (case, got)
        refusal(lambda: spark(f"SELECT c0 FROM {table(store.path('t'))} WHERE c0 < 2"))


def many_versions():
    """A checkpoint at 100 as settings have it, what lies before it gone."""
    with Frames() as store:
        store.sql("CREATE FRAME t (i INTEGER, p INTEGER) PARTITIONED BY (p)")
        store.sql("; ".join(f"INSERT INTO t VALUES ({version}, {version % 3})" for version in range(1, 105)))
        rows = [(version, version % 3) for version in range(1, 105)]
        log = store.path("t") / "_delta_log"
        assert (log / f"{100:020d}.checkpoint.parquet").exists()
        store.same("t", rows[:7], version=7)
        for version in range(100):
            (log / f"{version:020d}.json").unlink()
        store.same("t", rows[:100], version=100)
        store.same("t", rows)


def checkpoints_of_every_kind_of_row():
    """Partitions, removed cells, statistics and a schema with time zones behind a checkpoint, and nothing else left of the log."""
    with Frames() as store:
        interval = ("--set", "checkpoint_interval=3")
        store.sql("CREATE FRAME t (i INTEGER, p DATE, at TIMESTAMP, z TIMESTAMPTZ) PARTITIONED BY (p)", *interval)
        for n in range(6):
            store.sql(f"INSERT INTO t SELECT {n}, DATE '2024-01-0{n % 2 + 1}', TIMESTAMP '2024-01-01', TIMESTAMPTZ '2024-01-01 00:00:00+00'",
                      *interval)
            if n == 3:
                store.sql("DELETE FROM t WHERE i = 1", *interval)
        log = store.path("t") / "_delta_log"
        newest = max(int(name.name[:20]) for name in log.glob("*.checkpoint.parquet"))
        assert newest == 6, newest
        expected = rows_of(store.read("t"))
        for version in range(newest):
            (log / f"{version:020d}.json").unlink()
        assert rows_of(by_spark(store.path("t"))) == expected


def statements_of_ours():
    """DELETE, UPDATE, INSERT OVERWRITE, OPTIMIZE, RESTORE: each version as Apiary has it, and the history in Spark's words."""
    with Frames() as store:
        store.sql("CREATE FRAME t (a INTEGER, b VARCHAR, p INTEGER) PARTITIONED BY (p) CLUSTER BY (a); "
                  "INSERT INTO t SELECT range, 'v' || range, range % 2 FROM range(10); INSERT INTO t VALUES (10, NULL, NULL); "
                  "DELETE FROM t WHERE a % 3 = 0; UPDATE t SET b = 'new' WHERE a > 4; OPTIMIZE t; TRUNCATE t; RESTORE t TO VERSION 5; "
                  "INSERT OVERWRITE t SELECT a, b, p FROM t WHERE a < 5")
        told = history(store.path("t"))
        for version in range(len(told)):
            assert rows_of(by_spark(store.path("t"), version)) == rows_of(store.read("t", f"AT (VERSION => {version})")), version
        words = [told[version][0] for version in range(len(told))]
        assert words == ["CREATE TABLE", "WRITE", "WRITE", "DELETE", "UPDATE", "OPTIMIZE", "TRUNCATE", "RESTORE", "WRITE"], words


def large_dictionaries():
    """Parquet's library in Spark 4.1 cannot look into an LZ4 dictionary of more than 8 KiB when it filters row groups by it
    (parquet-java, issue 3478). Either of two ways round it: that filter off, or the codec of the frame."""
    with Frames() as store:
        query = "SELECT range AS i, md5((range % 2000)::VARCHAR) AS word FROM range(20000)"
        store.sql(f"CREATE FRAME t AS {query}; CREATE FRAME z AS SELECT * FROM ({query}) LIMIT 0")
        store.sql(f"ALTER FRAME z SET PROPERTIES ('delta.parquet.compression.codec' = 'zstd'); INSERT INTO z {query}")
        word = store.sql("SELECT word FROM t WHERE i = 77")[1]
        question = f"SELECT count(*), min(i) FROM {{}} WHERE word = '{word}'"
        assert spark(question.format(table(store.path("z")))) == [(10, 77)]
        said = refusal(lambda: spark(question.format(table(store.path("t")))))
        assert "FAILED_READ_FILE" in said, f"not by the fault that docs/outgrowing.md tells of: {said}"
        session().conf.set("parquet.filter.dictionary.enabled", "false")
        try:
            assert spark(question.format(table(store.path("t")))) == [(10, 77)]
            assert rows_of(by_spark(store.path("t"))) == rows_of(store.read("z"))
        finally:
            session().conf.unset("parquet.filter.dictionary.enabled")


def views_are_no_tables():
    with Frames() as store:
        store.sql("CREATE FRAME t AS SELECT 1 AS a; CREATE VIEW v AS SELECT a + 1 AS b FROM t")
        assert not store.path("v").exists()
        said = refusal(lambda: spark(f"SELECT * FROM {table(store.path('v'))}"))
        assert "NOT_FOUND" in said and str(store.path("v")) in said, said
        store.same("t", [(1,)])


CASES = [all_types, partitions_of_odd_texts, partitions_of_each_type, statistics_are_used, many_versions,
         checkpoints_of_every_kind_of_row, statements_of_ours, large_dictionaries, views_are_no_tables]
