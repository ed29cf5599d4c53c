#!/usr/bin/env python3
"""Results: lazy, every way to read them, nothing copied, outliving their session."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import gc
import pickle
import threading

import pytest

import apiary
from conftest import SETTINGS

pa = pytest.importorskip("pyarrow")

SMALL = "SELECT range AS n, 'row ' || range AS s FROM range(5)"
LARGE_ROWS = 6_000_000
LARGE = f"SELECT range AS n, range * 2 AS m FROM range({LARGE_ROWS})"  # 96 MB: more than is fetched ahead


def test_every_way_to_read(shared):
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    rows = [(i, f"row {i}") for i in range(5)]
    result = shared.sql(SMALL)
    assert result.fetchall() == rows and result.fetchall() == []
    assert list(result) == rows and list(result) == rows  # iterating begins anew
    assert result.to_pylist() == [{"n": n, "s": s} for n, s in rows]
    assert result.to_arrow().to_pylist() == result.to_pylist()
    assert isinstance(result.to_pandas(), pandas.DataFrame) and result.to_pandas()["n"].tolist() == [0, 1, 2, 3, 4]
    assert isinstance(result.to_polars(), polars.DataFrame) and result.to_polars().rows() == rows
    assert pa.table(result).num_rows == 5
    assert polars.DataFrame(result).rows() == rows
    assert pa.RecordBatchReader.from_stream(result).read_all().num_rows == 5
    assert [batch.num_rows for batch in result.batches()] == [5]
    assert pa.schema(result).names == ["n", "s"]
    assert len(result) == 5 and bool(result)
    assert result.columns == ["n", "s"] and result.schema == {"n": "int64", "s": "string"}
    assert result.scalar() == 0 and result.rows_changed == -1 and result.message == "" and result.notices == []
    assert result.stats["rows"] == 5


def test_fetching_in_parts(shared):
    result = shared.sql(SMALL)
    assert result.fetchone() == (0, "row 0")
    assert result.fetchmany() == [(1, "row 1")]
    assert result.fetchmany(2) == [(2, "row 2"), (3, "row 3")]
    assert result.fetchmany(100) == [(4, "row 4")]
    assert result.fetchmany(100) == [] and result.fetchone() is None and result.fetchmany(0) == []
    assert len(shared.sql(SMALL)) == 5


def test_no_rows(shared):
    result = shared.sql(SMALL + " WHERE range < 0")
    assert result.fetchall() == [] and result.fetchone() is None and result.scalar() is None and len(result) == 0
    assert result.to_arrow().schema.names == ["n", "s"] and result.to_pylist() == [] and list(result) == []
    assert pa.ipc.open_stream(result).read_all().schema.names == ["n", "s"]
    assert "n" in repr(result) and "<th" in result._repr_html_()


def test_it_is_a_buffer(shared):
    result = shared.sql(SMALL)
    table = pa.ipc.open_stream(result).read_all()
    assert table.equals(result.to_arrow())
    view = memoryview(result)
    assert view.readonly and view.nbytes > 0 and bytes(view) == bytes(memoryview(result))
    assert pa.ipc.open_stream(bytes(view)).read_all().equals(table)
    assert shared.sql("SELECT sum(n) FROM again", tables={"again": bytes(view)}).scalar() == 10
    with pytest.raises(TypeError):
        view[0] = 1
    nothing = shared.sql("USE main")
    with pytest.raises(apiary.UsageError, match="no rows"):
        memoryview(nothing)


def test_how_it_looks(shared):
    assert repr(shared.sql("SELECT 42 AS answer, NULL AS nothing, 'x' AS word")).splitlines()[0].startswith("┌")
    text = repr(shared.sql("SELECT range AS n FROM range(100)"))
    assert "80 more rows" in text and len(text.splitlines()) < 40
    assert "\x1b" not in repr(shared.sql("SELECT chr(27) || '[31mred' AS trick"))
    page = shared.sql("SELECT '<script>' AS \"a<b\", 1 AS n, NULL AS x")._repr_html_()
    assert "&lt;script&gt;" in page and "a&lt;b" in page and "<script" not in page and "NULL" in page and "1 row<" in page
    assert "the first 20" in shared.sql(LARGE)._repr_html_() and "more rows" in repr(shared.sql(LARGE))


def test_large_ones_are_lazy(db):
    result = db.sql(LARGE)
    assert not result._complete and result._fetched < LARGE_ROWS
    assert result.fetchone() == (0, 0) and not result._complete
    assert result.fetchmany(3) == [(1, 2), (2, 4), (3, 6)]
    assert len(result) == LARGE_ROWS and result._complete
    assert result.to_arrow().column("n")[LARGE_ROWS - 1].as_py() == LARGE_ROWS - 1


def test_streaming_a_large_one_once(db):
    result = db.sql(LARGE)
    total = rows = 0
    for batch in result.batches():
        rows += batch.num_rows
        total += batch.column(0)[0].as_py()
    assert rows == LARGE_ROWS
    with pytest.raises(apiary.UsageError, match="streamed away"):
        result.fetchone()
    with pytest.raises(apiary.UsageError, match="streamed away"):
        result.batches()


def test_an_error_on_the_way(db):
    failing = "SELECT CASE WHEN range = 5500000 THEN error('late') ELSE range END AS n, range AS m FROM range(6000000)"
    with pytest.raises(apiary.Error, match="late"):
        db.sql(failing).fetch_rest()
    with pytest.raises(Exception, match="late"):
        pa.table(db.sql(failing))
    assert db.sql("SELECT 1").scalar() == 1


def test_the_next_statement_keeps_what_is_small_enough(db):
    result = db.sql(LARGE)
    assert db.sql("SELECT 1").scalar() == 1  # fetches the rest of it first
    assert len(result) == LARGE_ROWS


def test_closing(db):
    result = db.sql(LARGE)
    result.close()
    result.close()
    with pytest.raises(apiary.UsageError):
        result.fetchone()
    db.sql(LARGE)  # dropped at once
    gc.collect()
    assert db.sql("SELECT 1").scalar() == 1


def test_it_outlives_shutdown_as_far_as_it_was_fetched(tmp_path):
    db = apiary.open(tmp_path / "store", **SETTINGS)
    small = db.sql(SMALL)
    with db.session() as session:
        other = session.sql(SMALL)
    large = db.sql(LARGE)
    at = large._fetched
    db.shutdown()
    assert len(small.fetchall()) == 5 and other.to_arrow().num_rows == 5 and small.stats["rows"] == 5
    assert pa.ipc.open_stream(small).read_all().num_rows == 5
    assert large.fetchmany(10)[9] == (9, 18) and at >= 10
    with pytest.raises(apiary.Error):
        large.fetch_rest()
    del db, session
    gc.collect()
    assert small.to_pylist()[4] == {"n": 4, "s": "row 4"}


def addresses(table):
    return {buffer.address for column in table.columns for chunk in column.chunks for buffer in chunk.buffers() if buffer is not None}


def test_nothing_is_copied(db):
    """The buffers of every reader are the same memory: the file that the chamber sealed."""
    polars = pytest.importorskip("polars")
    numpy = pytest.importorskip("numpy")
    result = db.sql("SELECT range AS n, range / 2 AS h FROM range(500000)").fetch_rest()
    ours = {first for first, _ in result._addresses()}
    table = result.to_arrow()
    assert addresses(table) and addresses(table) <= ours
    assert addresses(pa.table(result)) == addresses(table)
    series = polars.DataFrame(result)["n"]
    assert {chunk.to_numpy(allow_copy=False).__array_interface__["data"][0] for chunk in series.get_chunks()} <= ours
    array = table.column("n").chunk(0).to_numpy(zero_copy_only=True)
    assert numpy.asarray(array).__array_interface__["data"][0] in ours
    shared = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "memfd:" in line:
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                shared.append((low, high, line.split()[1]))
    for first, size in result._addresses():
        assert any(low <= first and first + size <= high and "w" not in rights for low, high, rights in shared), "a buffer is not shared memory"


def test_buffers_live_as_long_as_somebody_holds_them(tmp_path):
    with apiary.open(tmp_path / "store", **SETTINGS) as db:
        result = db.sql(LARGE)
        array = result.to_arrow().column("n").chunk(0)
    del result, db
    gc.collect()
    assert array[1].as_py() == 1
    at = array.buffers()[1].address

    def mapped():
        with open("/proc/self/maps") as maps:
            return any(low <= at < high for low, high in ([int(p, 16) for p in line.split()[0].split("-")] for line in maps if "memfd:" in line))

    assert mapped()
    del array
    gc.collect()
    assert not mapped()


def test_many_readers_at_once(db):
    result = db.sql("SELECT range AS n FROM range(200000)")
    sums, failures = [], []

    def read():
        try:
            sums.append(sum(row[0] for row in result))
            sums.append(sum(batch.column(0).to_pylist()[0] >= 0 for batch in result.batches()) and sum(range(200000)))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and set(sums) == {sum(range(200000))}


# ---- errors ----


def test_one_hierarchy():
    from apiary import _apiary, _errors

    assert set(_errors.BY_CODE) == set(_apiary.codes) - {"OK"}
    for code, kind in _errors.BY_CODE.items():
        error = _errors.make(code, "message", "do this")
        assert type(error) is kind and isinstance(error, apiary.Error) and isinstance(error, RuntimeError)
        assert (error.code, error.hint, str(error)) == (code, "do this", "message")
        assert getattr(apiary, kind.__name__) is kind and kind.__name__ in apiary.__all__
        assert "hint: do this" in error.__notes__
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.code, again.hint, str(again)) == (kind, code, "do this", "message")
    for name in ("ConflictError", "NotFoundError", "SchemaError", "StorageError", "MemoryBudgetError", "SQLError"):
        assert issubclass(getattr(apiary, name), apiary.Error)
    assert issubclass(apiary.QueryTimeoutError, TimeoutError)


def test_messages_name_what_the_user_named(db):
    db.sql("CREATE FRAME orders (id BIGINT)")
    with pytest.raises(apiary.NotFoundError, match=r"main\.main\.orders.*version 9"):
        db["orders"].read(version=9)
    with pytest.raises(apiary.SQLError, match="nocolumn"):
        db.sql("SELECT nocolumn FROM orders")
    with pytest.raises(apiary.NotSupportedError) as caught:
        db.sql("ATTACH 'x.db'")
    assert caught.value.code == "UNSUPPORTED" and caught.value.hint


def test_storage_errors(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(apiary.Error, match="file"):
        apiary.open(tmp_path / "file").sql("CREATE FRAME t AS SELECT 1 AS a")


def test_memory_budget(tmp_path):
    with apiary.open(tmp_path / "store", bees=1, memory_limit="512MB") as db:
        with pytest.raises(apiary.Error) as caught:
            db.sql("SELECT list(range || 'some text that takes memory ' || range) FROM range(30000000)")
        assert caught.value.code in ("MEMORY", "CHAMBER")
        assert db.sql("SELECT 1").scalar() == 1
