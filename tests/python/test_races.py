#!/usr/bin/env python3
"""Statements that read what they write, while another one commits: nothing is lost, nothing doubled."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import threading
import warnings

import pyarrow as pa
import pytest

import apiary


class Meanwhile:
    """A table that is found while names are resolved: at that moment another one commits."""

    def __init__(self, do):
        self.do = do

    def __arrow_c_stream__(self, requested=None):
        if self.do:
            do, self.do = self.do, None
            do()
        return pa.table({"i": pa.array([2], pa.int64())}).__arrow_c_stream__(requested)


@pytest.fixture
def handles(tmp_path):
    """Two that know the frame a, with a row 1, as two processes would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = [apiary.open(str(tmp_path / "store"), bees=1, memory_limit="1GB", progress=False, distributed="off") for _ in range(2)]
    made[0].sql("CREATE FRAME a AS SELECT 1::BIGINT AS i")
    for one in made:
        one.sql("FROM a").fetchall()
    yield made
    for one in made:
        one.close()


def rows(one):
    return [row[0] for row in one.sql("FROM a ORDER BY i").fetchall()]


@pytest.mark.parametrize("statement", ["CREATE OR REPLACE FRAME a AS", "INSERT OVERWRITE a", "INSERT INTO a"])
@pytest.mark.parametrize("who", [0, 1])
def test_what_was_read_has_not_changed(handles, statement, who):
    one, other = handles[0], handles[who].session()
    x = Meanwhile(lambda: other.sql("INSERT INTO a VALUES (777)"))  # noqa: F841
    with pytest.raises(apiary.ConflictError):
        one.sql(f"{statement} SELECT i FROM a UNION ALL SELECT i FROM x")
    assert rows(one) == rows(handles[1]) == [1, 777]
    one.sql(f"{statement} SELECT i + 1000 AS i FROM a")
    assert rows(one) == ([1, 777] if "INTO" in statement else []) + [1001, 1777]


def test_rows_that_are_not_there_are_inserted_once(handles):
    one, other = handles[0], handles[0].session()
    x = Meanwhile(lambda: other.sql("INSERT INTO a VALUES (900)"))  # noqa: F841
    with pytest.raises(apiary.ConflictError):
        one.sql("INSERT INTO a SELECT 900 FROM (SELECT count(*) AS c FROM a WHERE i = 900) q, x WHERE c = 0")
    assert rows(one) == [1, 900]


def test_a_frame_made_anew_is_not_what_was_read(handles):
    one, other = handles

    def anew():
        other.sql("DROP FRAME a")
        other.sql("CREATE FRAME a AS SELECT 5::BIGINT AS i")

    x = Meanwhile(anew)  # noqa: F841
    with pytest.raises(apiary.Error):
        one.sql("CREATE OR REPLACE FRAME a AS SELECT i FROM a UNION ALL SELECT i FROM x")
    assert rows(one) == [5]


def test_an_older_version_may_be_brought_back_whatever_came_after(handles):
    one, other = handles
    one.sql("INSERT INTO a VALUES (2)")
    other.sql("INSERT INTO a VALUES (3)")
    one.sql("INSERT INTO a SELECT i + 10 AS i FROM a AT (VERSION => 0)")
    assert rows(one) == [1, 2, 3, 11]
    one.sql("CREATE OR REPLACE FRAME a AS SELECT i FROM a AT (VERSION => 1)")
    assert rows(one) == [1, 2]


@pytest.mark.parametrize("query", ["INSERT INTO a SELECT i FROM t WHERE i > 100", "INSERT INTO a (i) SELECT i FROM t WHERE i > 100",
                                   "INSERT INTO a (i) SELECT range FROM range(0)"])
def test_no_rows_are_inserted_into_what_the_frame_is_now(handles, query):
    one, other = handles
    one.sql("INSERT INTO a VALUES (2)")
    other.sql("CREATE OR REPLACE FRAME a AS SELECT 1::DOUBLE AS x, 2 AS y")
    with pytest.raises(apiary.SchemaError):
        one.sql(query, tables={"t": pa.table({"i": [1, 2]})} if " t " in query else None)


def test_fsck_beside_a_writer(handles):
    """What is written while objects are listed and read is not called missing."""
    one, other = handles
    for i in range(100):
        one.sql(f"INSERT INTO a VALUES ({i})")
    done = threading.Event()

    def write():
        while not done.is_set():
            other.sql("INSERT INTO a VALUES (0)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [row for _ in range(15) for row in one.sql("FSCK a").fetchall()]
    finally:
        done.set()
        writer.join()
    assert found == []
