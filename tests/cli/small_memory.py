#!/usr/bin/env python3
"""Files larger than the memory, under 256 MB for two bees, into frames whose rows have to be sorted: all of them come in,
and their cells are as they would be with more memory."""

import os
import sys

import apiary_cli
from apiary_cli import Store, main

apiary_cli.SECONDS = 600  # of one command: the suite's own limit is the one that counts

LITTLE = {"APIARY_MEMORY_LIMIT": "256MB", "APIARY_BEES": "2", "APIARY_LOG": "info"}
ROWS = 1_250_000  # two pieces
PARTITIONS, MANY = 7, 110  # the engine keeps 100 files open


def csv(store):
    """A file whose partitions lie in no order, with values that are null or hard to write in a path."""
    path = store.folder / "rows.csv"
    store.sql(f"COPY (SELECT i, CASE i % {PARTITIONS} WHEN 3 THEN NULL WHEN 4 THEN 'a/b c=%' ELSE 'p' || i % {PARTITIONS} END AS p, i % {MANY} AS q,"
              f" hash(i) AS h, 'text number ' || i AS t FROM range({ROWS}) r(i)) TO '{path}' (FORMAT csv)")
    return path


def frugally(store, *words):
    """Runs a command with little memory, which must be too little for the usual way."""
    code, _, err = store.run(*words, env=LITTLE)
    assert code == 0, err
    assert "writing_frugally" in err, f"it had memory enough, so this shows nothing: {err}"
    assert not list((store.root / ".tmp").glob("stage-*")), "staged files are left"


def whole(store, frame, path):
    """Every row of the file is in the frame, once."""
    rows = f"SELECT i, p, q, h, t FROM read_csv('{path}')"
    got = store.sql(f"SELECT count(*), sum(i), count(DISTINCT i) FROM {frame}; SELECT count(*) FROM ({rows} EXCEPT SELECT i, p, q, h, t FROM {frame})")
    assert [line for line in got if line[0].isdigit()] == [f"{ROWS},{ROWS * (ROWS - 1) // 2},{ROWS}", "0"], got


def cells(store, frame):
    return [name for name, _ in store.objects() if f"/{frame}/" in f"/{name}" and name.endswith(".parquet") and "_delta_log" not in name]


def imported():
    with Store() as store:
        path = csv(store)
        frugally(store, "import", "t", path, "--partition-by", "p")
        whole(store, "t", path)
        assert len(cells(store, "t")) == PARTITIONS, cells(store, "t")  # each small enough for one
        assert store.sql("SELECT count(*) FROM t WHERE p IS NULL")[1:] == [str(len(range(3, ROWS, PARTITIONS)))]
        assert store.sql("SELECT min(i), max(i % 7) FROM t WHERE p = 'a/b c=%'")[1:] == ["4,4"]


def inserted():
    """By SQL, into a frame that is there, with more partitions than the engine keeps files open."""
    with Store() as store:
        path = csv(store)
        store.sql("CREATE FRAME t (i BIGINT, p TEXT, q INTEGER, h DECIMAL(20, 0), t TEXT) PARTITIONED BY (q)")
        frugally(store, "sql", f"INSERT INTO t SELECT * FROM read_csv('{path}', buffer_size = 2200000)")
        whole(store, "t", path)
        assert len(cells(store, "t")) == MANY, len(cells(store, "t"))


def clustered():
    """Sorted within the pieces: each cell holds its rows in order."""
    with Store() as store:
        path = csv(store)
        frugally(store, "sql", f"CREATE FRAME t CLUSTER BY (t) AS SELECT * FROM read_csv('{path}', buffer_size = 2200000)")
        whole(store, "t", path)
        for cell in cells(store, "t"):
            got = store.sql(f"SELECT count(*) FROM (SELECT t, lag(t) OVER () AS b FROM read_parquet('{store.root}/{cell}')) WHERE b > t")
            assert got[1:] == ["0"], (cell, got)


def clustered_partitions():
    """Sorted within each partition, as with more memory: small partitions are joined across the pieces."""
    with Store() as store:
        path = csv(store)
        frugally(store, "sql", f"CREATE FRAME t PARTITIONED BY (q) CLUSTER BY (t) AS SELECT * FROM read_csv('{path}', buffer_size = 2200000)")
        whole(store, "t", path)
        assert len(cells(store, "t")) == MANY, len(cells(store, "t"))
        got = store.sql(f"SELECT count(*) FROM (SELECT t, lag(t) OVER (PARTITION BY filename ORDER BY file_row_number) AS b"
                        f" FROM read_parquet('{store.root}/main/main/t/*/*.parquet', filename = true, file_row_number = true)) WHERE b > t")
        assert got[1:] == ["0"], got


if os.environ.get("AP_SANITIZED"):
    print("1..0 # SKIP a sanitizer build needs more memory than that")
    sys.exit(77)
cases = [imported, inserted, clustered, clustered_partitions]
main([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
