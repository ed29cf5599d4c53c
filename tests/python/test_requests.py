#!/usr/bin/env python3
"""How many requests statements make of a bucket, and that what others did before is seen all the same."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal
import itertools
import os
import pathlib
import shutil
import sys
import warnings
from contextlib import nullcontext

import numpy
import pyarrow as pa
import pytest

import apiary

sys.path.insert(0, str(pathlib.Path(os.environ["APIARY_SOURCE_DIR"], "tests/cli")))
from bucket import Bucket  # noqa: E402


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    with Bucket() as served:
        for name, value in served.environment.items():
            monkeypatch.setenv(name, value)
        yield served


def open_at(bucket, tmp_path, name):
    return apiary.open(bucket.uri("lake"), bees=1, memory_limit="1GB", progress=False, distributed="off", cache_dir=str(tmp_path / name))


@pytest.fixture
def db(bucket, tmp_path):
    with open_at(bucket, tmp_path, "one") as opened:
        opened.sql("CREATE FRAME a (i BIGINT, t TEXT)")
        opened.sql("CREATE FRAME b (i BIGINT)")
        opened.sql("INSERT INTO a VALUES (1, 'x')")
        opened.sql("INSERT INTO b VALUES (1)")
        opened.sql("CREATE HIVE h")
        opened.sql("CREATE BOX h.c")
        opened.sql("CREATE FRAME h.c.d AS SELECT 7 AS i")
        yield opened


@pytest.fixture
def other(db, bucket, tmp_path):
    """Another process's handle, as far as the store can tell."""
    with open_at(bucket, tmp_path, "two") as opened:
        yield opened


def made(bucket, run, together=0):
    """Requests by method that `run` makes, and how many were under way at once. together: none of so many is answered before
    all are asked."""
    bucket.faults("")
    bucket.gather(together)
    run()
    bucket.gather(0)
    seen = bucket.seen()
    return seen["methods"], seen["parallel"]


def add(db, data):
    """Appends a dict of columns as Arrow, or what speaks Arrow."""
    return db.write_to_frame("main", "main", "a", pa.table(data) if isinstance(data, dict) else data)


def widen(db, data):
    with pytest.warns(apiary.ApiaryWarning, match="was added"):
        db["main.main.a"].append(pa.table(data), merge_schema=True)


def batches(schema, columns):
    """A reader that can be read once."""
    return pa.RecordBatchReader.from_batches(schema, (pa.record_batch(one, schema=schema) for one in columns))


def rows(db, sql):
    return db.sql(sql).fetchall()


def test_append(bucket, db):
    assert made(bucket, lambda: db.sql("INSERT INTO a VALUES (2, 'y')"))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db.sql("INSERT INTO a SELECT 3, 'z'"))[0] == {"GET": 1, "PUT": 2}
    numbers = pa.schema({"i": pa.int64()})
    assert made(bucket, lambda: add(db, {"i": [4], "t": ["w"]}))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db["main.main.a"].append(pa.table({"i": [5]})))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: add(db, batches(numbers, ({"i": [i]} for i in range(100)))))[0] == {"GET": 1, "PUT": 2}
    assert rows(db, "SELECT sum(i) FROM a") == [(4965,)]
    db.sql("CREATE FRAME p (i BIGINT, k BIGINT) PARTITIONED BY (k)")
    assert made(bucket, lambda: db.sql("INSERT INTO p VALUES (1, 1), (2, 2), (3, 3)"))[0] == {"GET": 1, "PUT": 4}


def test_append_that_cannot_be_repeated(bucket, db):
    """Rows that are no few are not kept, and nothing is guessed where a guess could change what is written."""
    numbers = pa.schema({"i": pa.int64()})
    large = pa.table({"i": range(200_000)}, schema=numbers)
    slices = [large.slice(start, 10) for start in (0, 150_000, 199_990)]
    for few in slices:
        assert made(bucket, lambda few=few: add(db, few))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: add(db, large), 2) == ({"GET": 2, "PUT": 2}, 2)
    assert made(bucket, lambda: add(db, batches(numbers, ({"i": [i]} for i in range(1000)))), 2) == ({"GET": 2, "PUT": 2}, 2)
    assert made(bucket, lambda: add(db, large.slice(0, 0)), 2) == ({"GET": 2}, 2)
    with pytest.warns(apiary.ApiaryWarning, match='"more"'):
        assert made(bucket, lambda: add(db, {"i": [1], "more": [2]}))[0] == {"GET": 2, "PUT": 2}
    assert made(bucket, lambda: db.overwrite_frame("main", "main", "a", pa.table({"i": [1]})), 2) == ({"GET": 2, "PUT": 2}, 2)
    assert rows(db, "SELECT count(*) FROM a") == [(1,)]


def test_values_of_python(bucket, db):
    """They are made for the types that this process knew last; what is too much to be kept asks for them first."""
    a = db["main.main.a"]
    few = [[{"i": 2, "t": "y"}], {"i": [3, 4], "t": ["y", None]}, {"i": (i for i in (5, 6))}, ({"i": i} for i in (7, 8)), ({"I": numpy.array([i])} for i in (9,))]
    for data in few[:-1]:
        assert made(bucket, lambda data=data: a.append(data))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: a.append(few[-1]))[0] == {"GET": 3, "PUT": 2}  # an iterator of columns
    assert made(bucket, lambda: a.append({"i": i} for i in range(20_000)))[0] == {"GET": 3, "PUT": 2}
    assert made(bucket, lambda: a.append({"i": i} for i in range(200_000)))[0] == {"GET": 4, "PUT": 2}
    assert made(bucket, lambda: a.append([{"i": i} for i in range(200_000)]), 2) == ({"GET": 2, "PUT": 2}, 2)
    assert made(bucket, lambda: a.append([]))[0] == {"GET": 2}
    assert made(bucket, lambda: a.overwrite([{"i": 1}, {"i": 2}]))[0] == {"GET": 2, "PUT": 2}
    for wrong in [{"i": 1.5}], {"i": ["one"]}, [{"i": 1, "more": 1}]:
        with pytest.raises(apiary.SchemaError):
            a.append(wrong)
    assert rows(db, "SELECT sum(i), count(*) FROM a") == [(3, 2)]


def test_insert_of_tables_of_the_caller(bucket, db):
    """Few rows are kept, of each table that is read; a LIMIT may stand over one that has no end."""
    numbers = pa.schema({"i": pa.int64()})
    found = pa.table({"i": [2, 3]})
    insert = "INSERT INTO a (i) SELECT * FROM t"

    def of_a_variable():
        few = found  # noqa: F841 (the statement finds it)
        db.sql("INSERT INTO a (i) SELECT * FROM few")

    assert made(bucket, of_a_variable)[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db.sql(insert, tables={"t": batches(numbers, ({"i": [i]} for i in range(100)))}))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db.sql("INSERT INTO a SELECT l.i, 'x' FROM l JOIN r USING (i)", tables={"l": found, "r": found}))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db.sql(insert, tables={"t": found.slice(0, 0)}))[0] == {"GET": 2}
    assert made(bucket, lambda: db.sql(insert, tables={"t": pa.table({"i": range(200_000)})}))[0] == {"GET": 2, "PUT": 2}
    assert made(bucket, lambda: db.sql(insert + " LIMIT 1", tables={"t": batches(numbers, ({"i": [i]} for i in itertools.count()))}))[0] == {"GET": 2, "PUT": 2}
    assert made(bucket, lambda: db.sql("INSERT OVERWRITE a (i) SELECT * FROM t", tables={"t": found}))[0] == {"GET": 2, "PUT": 2}
    assert rows(db, "SELECT sum(i), count(*) FROM a") == [(5, 2)]


def test_query(bucket, db):
    count, twice = "SELECT count(*) FROM a", "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM main.main.A)"
    rows(db, count)
    rows(db, twice)
    assert made(bucket, lambda: rows(db, count), 2) == ({"GET": 2}, 2)
    assert made(bucket, lambda: rows(db, twice), 2) == ({"GET": 2}, 2)
    three = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM h.c.d)"
    rows(db, three)
    assert made(bucket, lambda: rows(db, three), 5) == ({"GET": 5}, 5)  # three frames, two hives
    sums = "SELECT sum(a.i) FROM a JOIN b USING (i)"
    rows(db, sums)
    assert made(bucket, lambda: rows(db, sums), 3) == ({"GET": 3}, 3)  # the cells are cached
    assert made(bucket, lambda: db.sql("INSERT INTO b SELECT i FROM a"))[0] == {"GET": 2, "PUT": 2}
    assert made(bucket, lambda: db.sql("INSERT INTO b SELECT i FROM b"))[0]["PUT"] == 2


def test_frames_of_other_stores(bucket, db, monkeypatch):
    """Frames that lie in two other buckets are asked for together with the rest."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{bucket.port}")
    for place in ("first", "second"):
        with apiary.open(bucket.uri("lake", place), bees=1, memory_limit="1GB", progress=False) as owner:
            owner.sql("CREATE FRAME f AS SELECT 1 AS i")
            owner.sql("CREATE FRAME g AS SELECT 1 AS i")
        db.sql(f"CREATE FRAME {place}_f LOCATION 's3://{place}/lake/main/main/f'")
        db.sql(f"CREATE FRAME {place}_g LOCATION 's3://{place}/lake/main/main/g'")
    frames = "SELECT count(*) FROM a, first_f, first_g, second_f, second_g"
    rows(db, frames)
    assert made(bucket, lambda: rows(db, frames), 6) == ({"GET": 6}, 6)  # the hive and five frames


def test_frames_of_others_are_seen(db, other):
    other.sql("INSERT INTO a VALUES (10, 'o')")
    assert rows(db, "SELECT sum(i) FROM a") == [(11,)]
    for i in range(3):
        other.sql(f"INSERT INTO a VALUES ({i}, 'o')")
    db.sql("INSERT INTO a VALUES (100, 'x')")  # its base is behind by three
    assert rows(db, "SELECT sum(i), count(*) FROM a") == rows(other, "SELECT sum(i), count(*) FROM a") == [(114, 6)]
    other.sql("INSERT OVERWRITE b VALUES (5)")
    db.sql("INSERT INTO b SELECT i + 1 FROM b")
    assert rows(db, "SELECT i FROM b ORDER BY i") == [(5,), (6,)]


def test_a_frame_that_became_another(db, other):
    other.sql("CREATE OR REPLACE FRAME a AS SELECT 1 AS i, 'x' AS t, 2.5 AS more")
    db.sql("INSERT INTO a VALUES (2, 'y', 3.5)")  # one column more than was known
    assert rows(db, "SELECT sum(more) FROM a") == [(6,)]
    other.sql("CREATE OR REPLACE FRAME a AS SELECT 'one' AS i")
    db.sql("INSERT INTO a VALUES ('two')")
    assert rows(db, "SELECT i FROM a ORDER BY i") == [("one",), ("two",)]
    other.sql("DROP FRAME a")
    with pytest.raises(apiary.NotFoundError):
        db.sql("INSERT INTO a VALUES ('three')")
    other.sql("CREATE FRAME a (n BIGINT)")
    db.sql("INSERT INTO a VALUES (4)")
    assert rows(db, "SELECT n FROM a") == [(4,)]
    with pytest.raises(apiary.Error, match="column"):
        db.sql("INSERT INTO a VALUES (4, 5)")


def cells_of(bucket):
    return sum(key.startswith("lake/main/main/a/") and key.endswith(".parquet") for key in bucket.keys())


def test_rows_of_the_caller_into_a_frame_that_became_another(bucket, db, other):
    """What is told and written is what it is where the newest version was known from the start."""
    read = []

    def once():
        for i in (2, 3):
            read.append(i)
            yield {"i": [i], "t": ["y"], "more": [3.5]}

    widen(other, {"i": [1], "t": ["x"], "more": [2.5]})
    three = batches(pa.schema({"i": pa.int64(), "t": pa.string(), "more": pa.float64()}), once())
    told = add(db, three)  # a column that db has not seen yet
    assert told["notices"] == [] and told["rows_written"] == 2 and read == [2, 3]
    assert rows(db, "SELECT sum(more) FROM a") == [(9.5,)]

    widen(other, {"i": [1], "last": ["l"]})
    with pytest.warns(apiary.ApiaryWarning, match='"none"'):
        told = add(db, {"i": [4], "none": [1]})  # dropped, and told once
    assert told["notices"] == ['column "none" is not in frame main.main.a and was dropped']
    widen(other, {"i": [5], "later": [1]})
    told = db["main.main.a"].append(pa.table({"i": [6], "later": [2]}), merge_schema=True)
    assert told["notices"] == [] and rows(db, "SELECT sum(later) FROM a") == [(3,)]

    other.sql("CREATE OR REPLACE FRAME a PARTITIONED BY (k) AS SELECT 'text' AS i, 1 AS k")
    with pytest.raises(apiary.SchemaError, match='"i" of frame main.main.a is VARCHAR; the data has BIGINT'):
        add(db, {"i": [7]})
    pairs = pa.schema({"i": pa.int32(), "k": pa.int64()})
    other.sql("CREATE OR REPLACE FRAME a PARTITIONED BY (k) AS SELECT 0.5::DOUBLE AS i, 0::BIGINT AS k")
    assert add(db, batches(pairs, [{"i": [7, 8, 9], "k": [1, 2, 2]}]))["cells_written"] == 2  # what was known is of other types
    other.sql("CREATE OR REPLACE FRAME a AS SELECT 0.5::DOUBLE AS i, 0::BIGINT AS k")
    version, cells = other["main.main.a"].info()["version"], cells_of(bucket)
    told = add(db, batches(pairs, [{"i": [7, 8], "k": [1, 2]}, {"i": [9], "k": [2]}]))  # two cells, and a commit that conflicts; then one
    assert (told["version"], told["cells_written"], told["rows_written"]) == (version + 1, 1, 3)
    assert cells_of(bucket) == cells + 1
    assert rows(db, "SELECT i, k FROM a ORDER BY i") == [(0.5, 0), (7.0, 1), (8.0, 2), (9.0, 2)]

    for _ in range(3):
        other.sql("INSERT INTO a VALUES (1, 1)")
    assert add(db, {"i": [1.0], "k": [1]})["version"] == version + 5
    assert add(other, {"i": pa.array([], pa.float64())})["version"] == version + 5  # nothing to write: the newest all the same
    other.sql("DROP FRAME a")
    with pytest.raises(apiary.NotFoundError):
        add(db, {"i": [10.0]})


CHANGES = {
    "nothing": [],
    "a version": ["INSERT INTO a VALUES (9, 'o')"],
    "a column": {"i": [9], "more": [0.5]},
    "two columns": {"i": [9], "more": ["text"], "last": [datetime.date(2024, 5, 3)]},
    "a column of another type": ["CREATE OR REPLACE FRAME a AS SELECT 1.5::DOUBLE AS i, 'x' AS t"],
    "texts": ["DROP FRAME a", "CREATE FRAME a (i VARCHAR, t VARCHAR, more TINYINT)"],
    "moments": ["DROP FRAME a", "CREATE FRAME a (i DECIMAL(9,2), t DATE, more TIMESTAMP)"],
    "fewer columns": ["DROP FRAME a", "CREATE FRAME a (i BIGINT)"],
    "a partition": ["DROP FRAME a", "CREATE FRAME a (i BIGINT, t VARCHAR, more DOUBLE) PARTITIONED BY (i)"],
    "no frame": ["DROP FRAME a"],
}
VALUES = [
    [{"i": 2, "t": "y"}, {"i": 3}],
    [{"i": 2, "t": "y", "more": 1}],
    {"i": [300], "more": [1]},
    [{"i": 2.5}],
    [{"i": "text", "more": "2024-05-03"}],
    {"i": [decimal.Decimal("2.25"), 1], "t": [datetime.date(2024, 5, 3), None]},
    [{"t": datetime.date(2024, 5, 3), "more": datetime.datetime(2024, 5, 3, 1, 2)}],
    [],
]


def change_frame(other, change):
    if isinstance(change, dict):
        widen(other, change)
    else:
        for sql in change:
            other.sql(sql)


def append(db, data, **how):
    told = db["main.main.a"].append(data, **how) if how else db["main.main.a"].write(data)
    return told["rows_written"], told["cells_written"], told["version"], told["notices"]


def appended(db, name):
    return db[name].append([{"i": 1}])["rows_written"]


def test_values_of_python_into_a_frame_that_was_not_known(bucket, db, other):
    """What others made, renamed or brought back since this process looked."""
    other.sql("CREATE FRAME fresh (i BIGINT)")
    assert made(bucket, lambda: appended(db, "main.main.fresh"))[0] == {"GET": 6, "PUT": 2}
    assert made(bucket, lambda: appended(db, "main.main.fresh"))[0] == {"GET": 1, "PUT": 2}
    other.sql("CREATE FRAME replaced (i BIGINT)")
    assert db["main.main.replaced"].overwrite({"i": [1, 2]})["rows_written"] == 2
    other.sql("CREATE BOX main.box")
    other.sql("CREATE FRAME main.box.f (i BIGINT)")
    assert appended(db, "main.box.f") == 1
    other.sql("CREATE HIVE hive")
    other.sql("CREATE BOX hive.box")
    other.sql("CREATE FRAME hive.box.f (i BIGINT)")
    assert appended(db, "hive.box.f") == 1
    rows(db, "FROM b")
    other.sql("ALTER FRAME b RENAME TO renamed")
    assert appended(db, "main.main.renamed") == 1
    with pytest.raises(apiary.NotFoundError):
        appended(db, "main.main.b")
    db.sql("DROP FRAME fresh")
    other.sql("UNDROP FRAME fresh")
    assert appended(db, "main.main.fresh") == 1
    db.sql("CREATE VIEW v AS SELECT 1 AS i")
    rows(db, "FROM v")
    with pytest.raises(apiary.NotSupportedError, match="is a view"):
        appended(db, "main.main.v")
    other.sql("DROP VIEW v")
    other.sql("CREATE FRAME v (i DOUBLE)")
    assert appended(db, "main.main.v") == 1
    with pytest.raises(apiary.NotFoundError, match="no frame main.main.none"):
        appended(db, "main.main.none")
    assert rows(db, "SELECT (SELECT count(*) FROM fresh), (SELECT sum(i) FROM replaced), (SELECT sum(i) FROM v)") == [(3, 3, 1.0)]


def test_values_of_python_into_a_frame_that_lies_elsewhere_by_now(tmp_path):
    """What was known names a folder that is gone; a new frame has the name."""
    here = {"bees": 1, "memory_limit": "1GB", "progress": False, "distributed": "off"}
    with apiary.open(tmp_path / "lake", **here) as db, apiary.open(tmp_path / "lake", **here) as other:
        for place, known in ("f", "FROM a"), ("g", "SHOW FRAMES"):  # its ledger too, or its entry alone
            with apiary.open(tmp_path / "elsewhere", **here) as owner:
                owner.sql(f"CREATE FRAME {place} AS SELECT 1::BIGINT AS i")
            other.drop_frame("main", "main", "a", if_exists=True)
            other.sql(f"CREATE FRAME a LOCATION '{tmp_path}/elsewhere/main/main/{place}'")
            rows(db, known)
            other.sql("DROP FRAME a")
            shutil.rmtree(tmp_path / "elsewhere")
            other.sql("CREATE FRAME a (i DOUBLE)")
            assert appended(db, "main.main.a") == 1
            assert rows(other, "FROM a") == [(1.0,)]


def meanwhile(monkeypatch, do):
    """The first stream made of dicts that is asked for its rows does something before it gives them: its write has begun then."""
    made_of_dicts = apiary._apiary.rows_stream

    class Meanwhile:
        def __init__(self, dicts, arrow, exact):
            self.stream = made_of_dicts(dicts, arrow, exact)

        def __arrow_c_stream__(self, requested=None):
            table = pa.table(self.stream)

            def given():
                monkeypatch.setattr(apiary._data._apiary, "rows_stream", made_of_dicts)
                do()
                yield from table.to_batches()

            return pa.RecordBatchReader.from_batches(table.schema, given()).__arrow_c_stream__(requested)

    monkeypatch.setattr(apiary._data._apiary, "rows_stream", Meanwhile)


def test_an_overwrite_does_not_begin_again_over_what_others_wrote(db, other, monkeypatch):
    rows(db, "FROM a")
    for do in lambda: widen(other, {"i": [777], "more": [1]}), lambda: other.sql("INSERT INTO a (i) VALUES (778)"):
        meanwhile(monkeypatch, do)
        with pytest.raises(apiary.ConflictError):
            db["main.main.a"].overwrite([{"i": 2}])
    assert rows(db, "SELECT i FROM a ORDER BY i") == [(1,), (777,), (778,)]
    widen(other, {"i": [779], "last": [1]})  # before it began
    assert db["main.main.a"].overwrite([{"i": 2, "last": 3}])["rows_written"] == 1
    assert rows(db, "SELECT i, more, last FROM a") == [(2, None, 3)]
    other.sql("CREATE OR REPLACE FRAME a AS SELECT 1.5::DOUBLE AS i")
    assert db["main.main.a"].overwrite([{"i": 2.5}])["rows_written"] == 1  # fits what the frame is, not what was known
    meanwhile(monkeypatch, lambda: widen(other, {"i": [777.0], "more": [1]}))
    assert db["main.main.a"].append([{"i": 3.5}])["rows_written"] == 1
    assert rows(db, "SELECT i FROM a ORDER BY i") == [(2.5,), (3.5,), (777.0,)]


class Proxy:
    """Has what another object has, by __getattr__; its type has it not."""

    def __init__(self, behind):
        self._behind = behind

    def __getattr__(self, name):
        return getattr(self._behind, name)

    def __iter__(self):
        return iter(self._behind)


def test_a_proxy_of_a_table(db):
    for table in pa.table({"i": [2, 3]}), pa.record_batch({"i": [4]}), Proxy(pa.table({"i": [5]})):
        assert db["main.main.a"].append(Proxy(table))["rows_written"] == table.num_rows
    assert db["main.main.b"].overwrite(Proxy(pa.table({"i": [2, 3]})))["rows_written"] == 2
    assert rows(db, "SELECT (SELECT sum(i) FROM a), (SELECT sum(i) FROM b)") == [(15, 5)]


def insert(db, columns, text):
    """Of a table that can be read once, once."""
    schema = pa.table({name: values[:1] for name, values in columns.items()}).schema
    return db.sql(text, tables={"t": batches(schema, ({name: [value] for name, value in zip(columns, row)} for row in zip(*columns.values())))}).message


def outcome(run, db, *words, **how):
    """What an append tells, of what it warns, and what the frame holds then."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            told = run(db, *words, **how)
        except apiary.Error as error:
            told = (type(error), str(error))
    there = db.sql("SHOW FRAMES LIKE 'a'").fetchall()
    return told, [str(warning.message) for warning in warned], sorted(map(repr, rows(db, "FROM a"))) if there else None


def check_outcomes(change, bucket, tmp_path, runs, hows):
    """What comes of it is what comes of a handle that knew nothing and asked first."""
    with open_at(bucket, tmp_path, "one") as db, open_at(bucket, tmp_path, "two") as other:
        for (run, *words), how in zip(runs, hows, strict=True):
            seen = []
            for knows in True, False:
                for sql in "DROP FRAME IF EXISTS a", "CREATE FRAME a (i BIGINT, t VARCHAR)", "INSERT INTO a VALUES (1, 'x')":
                    db.sql(sql)
                change_frame(other, CHANGES[change])
                with nullcontext(db) if knows else open_at(bucket, tmp_path, "three") as handle:
                    seen.append(outcome(run, handle, *words, **how))
            assert seen[0] == seen[1], (words, how)


INSERTS = [
    ({"i": [2, 3], "t": ["y", "z"]}, "INSERT INTO a SELECT * FROM t"),
    ({"i": [200, 3]}, "INSERT INTO a (i) SELECT i FROM t WHERE i > 2"),
    ({"i": [2], "more": [2.5]}, "INSERT INTO a BY NAME SELECT * FROM t"),
    ({"i": [2], "t": ["y"], "more": [2]}, "INSERT INTO a SELECT * FROM t"),
    ({"i": [2], "t": ["2024-05-03"]}, "INSERT INTO a (i, t) SELECT i, t::INTEGER FROM t"),
    ({"i": [2]}, "INSERT INTO a SELECT none FROM t"),
    ({}, "INSERT INTO a VALUES (2, 'y')"),
    ({}, "INSERT INTO a (t) VALUES ('y')"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_tables_of_the_caller_into_a_frame_that_became_another(change, bucket, tmp_path):
    check_outcomes(change, bucket, tmp_path, [(insert, *words) for words in INSERTS], [{}] * len(INSERTS))


@pytest.mark.parametrize("change", CHANGES)
def test_values_of_python_into_a_frame_that_became_another(change, bucket, tmp_path):
    more = VALUES[1]
    runs = [(append, data) for data in (*VALUES, more, more)]
    check_outcomes(change, bucket, tmp_path, runs, [{"merge_schema": False}] * len(VALUES) + [{"merge_schema": True}, {}])


def test_rows_of_the_caller_that_fail(db, other):
    """An error of the caller's stream is told as ever, whether or not the frame is another one by now."""

    def breaks():
        yield {"i": [2]}
        raise RuntimeError("the well is dry")

    for change in (None, "INSERT INTO a VALUES (5, 'o')", "CREATE OR REPLACE FRAME a AS SELECT 1.5::DOUBLE AS i"):
        if change:
            other.sql(change)
        before = rows(other, "SELECT count(*) FROM a")
        with pytest.raises(apiary.Error, match="the well is dry") as caught:
            add(db, batches(pa.schema({"i": pa.int32()}), breaks()))
        assert caught.value.code == "IO"
        assert rows(other, "SELECT count(*) FROM a") == before
        add(db, {"i": pa.array([1], pa.int32())})


def test_hives_of_others_are_seen(db, other):
    assert rows(db, "SELECT i FROM h.c.d") == [(7,)]
    other.sql("ALTER HIVE h RENAME TO g")
    with pytest.raises(apiary.NotFoundError):
        db.sql("SELECT i FROM h.c.d")
    assert rows(db, "SELECT i FROM g.c.d") == [(7,)]
    other.sql("CREATE HIVE h")
    other.sql("CREATE BOX h.c")
    other.sql("CREATE FRAME h.c.d AS SELECT 8 AS i")
    assert rows(db, "SELECT i FROM h.c.d") == [(8,)]
    other.sql("DROP HIVE h CASCADE")
    with pytest.raises(apiary.NotFoundError):
        db.sql("INSERT INTO h.c.d VALUES (9)")
    other.sql("UNDROP HIVE h")
    assert rows(db, "SELECT i FROM h.c.d") == [(8,)]
