#!/usr/bin/env python3
"""How many requests statements make of a bucket, and that what others did before is seen all the same."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import os
import pathlib
import sys

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


def rows(db, sql):
    return db.sql(sql).fetchall()


def test_append(bucket, db):
    assert made(bucket, lambda: db.sql("INSERT INTO a VALUES (2, 'y')"))[0] == {"GET": 1, "PUT": 2}
    assert made(bucket, lambda: db.sql("INSERT INTO a SELECT 3, 'z'"))[0] == {"GET": 1, "PUT": 2}
    methods, parallel = made(bucket, lambda: db.write_to_frame("main", "main", "a", pa.table({"i": [4], "t": ["w"]})), 2)
    assert methods == {"GET": 2, "PUT": 2} and parallel == 2  # what the caller brought cannot be read twice
    assert rows(db, "SELECT sum(i) FROM a") == [(10,)]
    db.sql("CREATE FRAME p (i BIGINT, k BIGINT) PARTITIONED BY (k)")
    assert made(bucket, lambda: db.sql("INSERT INTO p VALUES (1, 1), (2, 2), (3, 3)"))[0] == {"GET": 1, "PUT": 4}


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
