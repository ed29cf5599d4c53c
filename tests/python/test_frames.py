#!/usr/bin/env python3
"""Hives, boxes, frames: every method as a user calls it, right and wrong."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal
import io
import warnings

import pytest

import apiary

WRITTEN = {"version", "cells_written", "rows_written", "bytes_written", "duration_ms", "temperature"}
ROWS = [{"id": 1, "word": "one"}, {"id": 2, "word": None}]


@pytest.fixture
def frame(shared, request):
    """A frame of two columns, with a name of its own."""
    name = request.node.name.split("[")[0][:60]
    made = shared[f"main.main.{name}"]
    made.drop(if_exists=True)
    return made.create({"id": "int", "word": "text"})


# ---- names ----


def test_hives_boxes_frames(db):
    assert db.create_hive("lab") is None
    db.create_hive(name="lab")  # again: fine
    db.create_box("lab", "raw")
    db.create_box(hive="lab", name="raw")
    db.create_box("lab", "Another")
    db.create_frame("lab", "raw", "zebra", {"a": "int"})
    db.create_frame(hive="lab", box_name="raw", name="ant", schema={"a": "int"}, partition_by=None)
    assert db.list_hives() == sorted(db.list_hives()) and {"lab", "main"} <= set(db.list_hives())
    assert {"Another", "raw"} <= set(db.list_boxes("lab")) and db.list_boxes("lab") == sorted(db.list_boxes("lab"))
    assert db.list_frames("lab", "raw") == ["ant", "zebra"]
    assert db.list_frames(hive="lab", box_name="Another") == []
    db.rename_frame("lab", "raw", "ant", "bee")
    db.rename_box("lab", "raw", "cooked")
    db.rename_hive("lab", "shop")
    assert db.list_frames("shop", "cooked") == ["bee", "zebra"]
    db.drop_frame("shop", "cooked", "bee")
    with pytest.raises(apiary.Error):
        db.drop_box("shop", "cooked")  # holds a frame
    db.drop_box("shop", "cooked", cascade=True)
    db.drop_hive("shop", cascade=True)
    assert "shop" not in db.list_hives()


def test_the_other_words(db):
    db.create_database("lab")
    db.create_schema("lab", "raw")
    db.create_table("lab", "raw", "t", {"day": "date", "n": "int"}, ["day"])
    assert "lab" in db.list_databases() and "raw" in db.list_schemas("lab") and db.list_tables("lab", "raw") == ["t"]
    assert db.get_table("lab", "raw", "t") == db.get_frame("lab", "raw", "t")


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda db: db.create_box("nowhere", "b"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.create_frame("main", "nowhere", "f", {"a": "int"}), apiary.NotFoundError, "nowhere"),
        (lambda db: db.list_boxes("nowhere"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.list_frames("main", "nowhere"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.get_frame("main", "main", "nowhere"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.write_to_frame("main", "main", "nowhere", ROWS), apiary.NotFoundError, "nowhere"),
        (lambda db: db.overwrite_frame("main", "main", "nowhere", ROWS), apiary.NotFoundError, "nowhere"),
        (lambda db: db.read_from_frame("main", "main", "nowhere"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.drop_frame("main", "main", "nowhere"), apiary.NotFoundError, "nowhere"),
        (lambda db: db.rename_frame("main", "main", "nowhere", "x"), apiary.NotFoundError, "nowhere"),
        (lambda db: db["nowhere"].read(), apiary.NotFoundError, "nowhere"),
        (lambda db: db["nowhere"].schema, apiary.NotFoundError, "nowhere"),
        (lambda db: db["nowhere"].history(), apiary.NotFoundError, "nowhere"),
        (lambda db: db["nowhere"].count(), apiary.NotFoundError, "nowhere"),
        (lambda db: db.create_hive(""), apiary.UsageError, "empty"),
        (lambda db: db.create_hive(5), apiary.UsageError, "5"),
        (lambda db: db.create_hive("a.b"), apiary.UsageError, "a.b"),
        (lambda db: db.create_hive("a/b"), apiary.Error, "a/b"),
        (lambda db: db.create_hive("x" * 300), apiary.Error, "x"),
        (lambda db: db["a.b.c.d"], apiary.UsageError, "a.b.c.d"),
        (lambda db: db[5], apiary.UsageError, "5"),
        (lambda db: db[""], apiary.UsageError, "empty"),
        (lambda db: db.drop_hive("nowhere"), apiary.NotFoundError, "nowhere"),
    ],
)
def test_wrong_names(shared, call, kind, words):
    with pytest.raises(kind, match=words):
        call(shared)


def test_names_that_need_quotes(db):
    db.create_hive("select")
    db.create_box("select", "from")
    db.create_frame("select", "from", "group-1", {"order": "int", "ä": "text"})
    db.write_to_frame("select", "from", "group-1", [{"order": 1, "ä": "x"}])
    assert db.read_from_frame("select", "from", "group-1", {"ä": "x"}, ["order"]).fetchall() == [(1,)]
    assert db["select.from.group-1"].count() == 1
    with pytest.raises(apiary.UsageError, match="space"):
        db.create_box("select", "from where")


def test_handles(db):
    frame = db.hive("a").box("b").create().frame("c")
    assert (repr(db.hive("a")), repr(db.hive("a").box("b")), repr(frame)) == ("Hive('a')", "Box('a.b')", "Frame('a.b.c')")
    assert "b" in db.hive("a").boxes() and db.hive("a").box("b").frames() == []
    assert frame.create({"n": "int"}).count() == 0
    assert frame.write([{"n": 1}])["rows_written"] == 1
    assert db["a.b.c"].append([{"n": 2}])["version"] == 2
    assert db["a.b.c"].overwrite([{"n": 3}])["version"] == 3
    assert frame.read().fetchall() == [(3,)] and frame.schema == {"n": "int64"}
    assert sorted(frame.at(version=2).read()) == [(1,), (2,)] and frame.at(version=2).count() == 2
    assert frame.read(version=1).fetchall() == [(1,)]
    assert [entry["version"] for entry in frame.history()] == [3, 2, 1, 0]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert frame.at(timestamp=now).read().fetchall() == [(3,)]
    assert frame.at(version=1).schema == {"n": "int64"}
    with pytest.raises(apiary.UsageError):
        frame.at()
    with pytest.raises(apiary.UsageError, match="newest"):
        frame.at(version=1).append([{"n": 1}])
    with pytest.raises(apiary.Error, match="99"):
        frame.at(version=99).read()
    frame.drop()
    assert db.hive("a").box("b").frames() == []


# ---- schemas ----

WORDS = {
    "int8": "int8", "int16": "int16", "int32": "int32", "int64": "int64", "int": "int64", "float32": "float32", "float": "float32",
    "float64": "float64", "double": "float64", "string": "string", "utf8": "string", "text": "string", "bool": "bool",
    "boolean": "bool", "date": "date", "datetime": "timestamp", "timestamp": "timestamp", "timestamp_tz": "timestamp_tz",
    "decimal(10,2)": "decimal(10,2)", "DECIMAL(5)": "decimal(5,0)", "binary": "binary", "bytes": "binary", "BIGINT": "int64",
    "uint8": "int16", "uint16": "int32", "uint32": "int64", "uint64": "decimal(20,0)", "list<int>": "list<int64>", "text[]": "list<string>",
    "struct<x: int, y: list<text>>": "struct<x: int64, y: list<string>>", "map<text, double>": "map<string, float64>",
}  # fmt: skip


def test_type_words(shared):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", apiary.ApiaryWarning)
        shared.create_frame("main", "main", "words", {f"c{i}": word for i, word in enumerate(WORDS)})
    info = shared.get_frame("main", "main", "words")
    assert list(info["schema"].values()) == list(WORDS.values())
    shared.create_frame("main", "main", "words", info["schema"])  # what it tells makes the same one


@pytest.mark.parametrize(
    "word, nearest",
    [("imt64", "int64"), ("strng", "string"), ("dubble", "double"), ("datetme", "datetime"), ("decimel(1,2)", "decimal"), ("boolen", "boolean"),
     ("uint63", "uint"), ("lst<int>", "list"), ("list<imt8>", "int8"), ("struct<a: flot>", "float")],
)  # fmt: skip
def test_unknown_words_name_the_nearest(shared, word, nearest):
    with pytest.raises(apiary.SchemaError, match=f"did you mean '{nearest}") as caught:
        shared.create_frame("main", "main", "never", {"col": word})
    assert '"col"' in str(caught.value) and "list<T>" in caught.value.hint


@pytest.mark.parametrize(
    "schema",
    [{}, {"a": "decimal(39,1)"}, {"a": "decimal(2,3)"}, {"a": "list<"}, {"a": "int int"}, {"a": 5}, {"": "int"}, {5: "int"}, "int", None,
     [("a", "int")], {"a": "int", "A": "text"}, {"a": "struct<>"}, {"a": "list<" * 50 + "int" + ">" * 50}],
    ids=repr,
)  # fmt: skip
def test_wrong_schemas(shared, schema):
    with pytest.raises(apiary.Error):
        shared.create_frame("main", "main", "never", schema)
    assert "never" not in shared.list_frames("main", "main")


def test_schema_of_many_kinds(shared):
    pa = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    by_words = {"a": "int64", "b": "list<string>"}
    for schema in (by_words, {"a": int, "b": [str]}, pa.schema({"a": pa.int64(), "b": pa.list_(pa.string())}), apiary.Schema(by_words),
                   {"a": pa.int64(), "b": pa.list_(pa.string())}, pa.table({"a": [1], "b": [["x"]]}),
                   polars.DataFrame(schema={"a": polars.Int64, "b": polars.List(polars.String)})):
        shared.create_frame("main", "main", "kinds", schema)
    with pytest.raises(apiary.ExistsError, match="kinds"):
        shared.create_frame("main", "main", "kinds", {"a": "int64"})
    with pytest.raises(apiary.ExistsError, match="kinds"):
        shared.create_frame("main", "main", "kinds", by_words, partition_by=["a"])
    with pytest.raises(apiary.Error, match="nocolumn"):
        shared.create_frame("main", "main", "never", by_words, partition_by="nocolumn")
    with pytest.raises(apiary.Error, match='"b"'):
        shared.create_frame("main", "main", "never", by_words, partition_by=["b"])  # a list cannot partition


def test_get_frame(shared):
    shared.create_frame("main", "main", "described", {"day": "date", "n": "int not null"}, partition_by=["day"])
    shared.write_to_frame("main", "main", "described", [{"day": datetime.date(2024, 1, d), "n": d} for d in (1, 2)])
    info = shared.get_frame("main", "main", "described")
    assert {"schema", "partition_by", "max_partitions", "created_at", "cell_count", "row_count", "total_bytes", "version"} <= set(info)
    assert info["schema"] == {"day": "date", "n": "int64"} and info["nullable"] == {"day": True, "n": False}
    assert info["partition_by"] == ["day"] and info["cell_count"] == 2 and info["row_count"] == 2 and info["version"] == 1
    assert info["total_bytes"] > 0 and info["max_partitions"] > 0
    assert abs((datetime.datetime.now(datetime.timezone.utc) - info["created_at"]).total_seconds()) < 3600


# ---- writing ----


def test_what_writing_tells(frame, shared):
    written = shared.write_to_frame("main", "main", frame.name.split(".")[-1], ROWS)
    assert WRITTEN <= set(written)
    assert (written["version"], written["cells_written"], written["rows_written"]) == (1, 1, 2)
    assert written["bytes_written"] > 0 and written["duration_ms"] >= 0 and 0 <= written["temperature"] <= 1
    again = shared.overwrite_frame(hive="main", box_name="main", frame_name=frame.name.split(".")[-1], data=ROWS[:1], backpressure="ignore")
    assert again["version"] == 2 and again["rows_written"] == 1 and frame.count() == 1


def ipc(table):
    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def test_every_kind_of_data(frame):
    pa = pytest.importorskip("pyarrow")
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    numpy = pytest.importorskip("numpy")
    import pyarrow.dataset

    table = pa.table({"id": [1, 2], "word": ["one", None]})
    batches = table.to_batches()

    def rows():
        yield from ROWS

    kinds = {
        "table": table,
        "batch": batches[0],
        "reader": pa.RecordBatchReader.from_batches(table.schema, batches),
        "bytes": ipc(table),
        "bytearray": bytearray(ipc(table)),
        "memoryview": memoryview(ipc(table)),
        "buffer": pa.py_buffer(ipc(table)),
        "dataset": pyarrow.dataset.dataset(table),
        "list of batches": batches,
        "iterator of tables": iter([table[:1], table[1:]]),
        "pandas": pandas.DataFrame({"id": [1, 2], "word": ["one", None]}),
        "polars": polars.DataFrame({"id": [1, 2], "word": ["one", None]}),
        "lazy": polars.LazyFrame({"id": [1, 2], "word": ["one", None]}),
        "rows": ROWS,
        "iterator of rows": rows(),
        "iterator of lists of rows": iter([ROWS[:1], ROWS[1:]]),
        "other order": [{"word": "one", "id": 1}, {"id": 2}],
        "columns": {"id": [1, 2], "word": ["one", None]},
        "numpy": {"id": numpy.array([1, 2], dtype="int32"), "word": numpy.array(["one", None], dtype=object)},
        "strided": {"id": numpy.array([1, 9, 2, 9])[::2], "word": ["one", None]},
        "big endian": {"id": numpy.array([1, 2], dtype=">i4"), "word": ["one", None]},
        "masked": {"id": numpy.ma.masked_array([1, 2], [False, False]), "word": ["one", None]},
        "series": {"id": polars.Series([1, 2]), "word": pandas.Series(["one", None])},
        "structured": numpy.array([(1, "one"), (2, None)], dtype=[("id", "i8"), ("word", "O")]),
        "any case": {"ID": [1, 2], "Word": ["one", None]},
    }
    for kind, data in kinds.items():
        assert frame.overwrite(data)["rows_written"] == 2, kind
        assert sorted(frame.read().fetchall()) == [(1, "one"), (2, None)], kind


def test_python_values(shared):
    pandas = pytest.importorskip("pandas")
    schema = {"i": "int", "f": "double", "s": "text", "b": "bool", "d": "date", "t": "timestamp", "z": "timestamp_tz", "n": "decimal(10,2)",
              "y": "binary", "l": "list<int>", "r": "struct<x: int, y: text>", "m": "map<text, int>"}  # fmt: skip
    row = {
        "i": 1, "f": 0.5, "s": "x", "b": True, "d": datetime.date(2024, 1, 2), "t": datetime.datetime(2024, 1, 2, 3),
        "z": datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc), "n": decimal.Decimal("1.50"), "y": b"\0", "l": [1, None],
        "r": {"x": 1, "y": None}, "m": {"k": 2},
    }  # fmt: skip
    shared.create_frame("main", "main", "python_values", schema)
    frame = shared["python_values"]
    frame.append([row, dict.fromkeys(row), {**dict.fromkeys(row), "i": pandas.NA, "t": pandas.NaT, "f": float("nan")}])
    back = frame.read().to_pylist()
    assert back[0] == row and back[1] == dict.fromkeys(row)
    assert back[2]["i"] is None and back[2]["t"] is None and back[2]["f"] != back[2]["f"]


@pytest.mark.parametrize(
    "data, words",
    [
        ([{"id": "text"}], "id"),
        ([{"id": 2**63}], "id"),
        ([{"id": 1}, {"id": "x"}], "id"),
        ({"id": [1, 2], "word": ["only one"]}, "word"),
        ({"id": 5}, "id"),
        ({5: [1]}, "5"),
        ("a text", "str"),
        (5, "int"),
        (None, "NoneType"),
        (object(), "object"),
        (b"no ipc stream", "IPC"),
        (b"ARROW1\0\0 a file", "file"),
        (b"", "IPC"),
        ([5], "int"),
        ([{"id": object()}], "id"),
        ([{"id": 1.5}], "id"),
    ],
)
def test_wrong_data_changes_nothing(frame, data, words):
    with pytest.raises(apiary.Error, match=words):
        frame.append(data)
    assert frame.info()["version"] == 0


def test_columns_that_do_not_fit(frame):
    pa = pytest.importorskip("pyarrow")
    with pytest.warns(apiary.ApiaryWarning, match='"extra"'):
        assert frame.write({"id": [1], "extra": [2]})["rows_written"] == 1
    with pytest.raises(apiary.SchemaError, match='"extra"') as caught:
        frame.append({"id": [1], "extra": [2]})
    assert caught.value.code == "SCHEMA" and caught.value.hint
    with pytest.raises(apiary.SchemaError, match='"id"'):
        frame.append(pa.table({"id": ["text"]}))
    with pytest.raises(apiary.SchemaError, match='"id"'):
        frame.append(pa.table({"id": [1.5]}))
    assert frame.append(pa.table({"id": pa.array([5], pa.int8())}))["rows_written"] == 1  # widens
    assert sorted(frame.read()) == [(1, None), (5, None)]


def test_nulls_where_none_may_be(shared):
    shared.create_frame("main", "main", "strict", {"k": "int not null", "p": "text"}, partition_by=["p"])
    for row, column in [({"k": None, "p": "x"}, "k"), ({"p": "x"}, "k"), ({"k": 1, "p": None}, "p")] * 20:  # each ends an engine instance, with the rows
        with pytest.raises(apiary.SchemaError, match=f'"{column}"'):
            shared.write_to_frame("main", "main", "strict", [row])
    assert shared.get_frame("main", "main", "strict")["version"] == 0


def test_nothing_to_write(frame):
    pa = pytest.importorskip("pyarrow")
    for data in ([], iter([]), {"id": []}, pa.table({"id": pa.array([], pa.int64())})):
        written = frame.append(data)
        assert written["rows_written"] == 0 and written["version"] == 0
    frame.append(ROWS)
    assert frame.overwrite([])["rows_written"] == 0 and frame.count() == 0


def test_what_the_source_raises_comes_out(frame):
    def rows():
        yield ROWS[0]
        raise ZeroDivisionError("mine")

    def batches():
        import pyarrow as pa

        yield pa.record_batch({"id": [1]})
        raise ZeroDivisionError("mine")

    for source in (rows, batches):
        with pytest.raises(ZeroDivisionError, match="mine"):
            frame.append(source())
    assert frame.info()["version"] == 0


def test_batches_that_differ(frame):
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(apiary.Error, match="different columns or types"):
        frame.append(iter([pa.record_batch({"id": [1]}), pa.record_batch({"id": ["x"]})]))
    assert frame.info()["version"] == 0


def test_a_source_that_asks_the_same_session(frame, shared):
    numpy = pytest.importorskip("numpy")

    def batches():
        yield {"id": numpy.array([1])}
        shared.sql("SELECT 1")

    with pytest.raises(apiary.UsageError, match="runs a statement already"):
        frame.append(batches())
    assert shared.sql("SELECT 1").scalar() == 1


@pytest.mark.parametrize("backpressure", ["block", "error", "ignore", None])
def test_backpressure_words(frame, backpressure):
    assert frame.append(ROWS, backpressure=backpressure)["rows_written"] == 2


def test_wrong_backpressure(frame):
    with pytest.raises(apiary.UsageError, match="sometimes"):
        frame.append(ROWS, backpressure="sometimes")
    assert frame.info()["version"] == 0


# ---- reading ----


def test_reading(shared):
    shared.create_frame("main", "main", "parts", {"p": "text", "q": "int", "v": "double"}, partition_by=["p", "q"])
    shared.write_to_frame("main", "main", "parts", [{"p": p, "q": q, "v": q / 2} for p in "ab'" for q in (1, 2)])
    read = shared.read_from_frame
    assert len(read("main", "main", "parts")) == 6
    assert read("main", "main", "parts", {"p": "a", "q": 2}).fetchall() == [("a", 2, 1.0)]
    assert len(read("main", "main", "parts", {"p": ["a", "'"]})) == 4
    assert len(read("main", "main", "parts", {"p": []})) == 0
    assert len(read("main", "main", "parts", {"p": None})) == 0
    assert read("main", "main", "parts", partition_filter={"p": "b", "q": 1}, columns=["v", "p"], version=1).fetchall() == [(0.5, "b")]
    assert len(read("main", "main", "parts", version=0)) == 0
    for wrong in ({"columns": ["nocolumn"]}, {"columns": "p"}, {"columns": []}, {"version": 9}, {"partition_filter": {"nocolumn": 1}},
                  {"partition_filter": {"p": object()}}):
        with pytest.raises(apiary.Error):
            read("main", "main", "parts", **wrong)


def test_import_files(db, tmp_path):
    path = tmp_path / "c.csv"
    path.write_text("a,b\n1,x\n2,y\n")
    assert db.import_files("cities", path)["created"] is True
    assert db.import_files("cities", str(path), overwrite=True)["created"] is False
    path.write_text("name,people (2024)\nBern,134000\n")
    assert db.import_files("kept", path, keep_names=True)["notices"] == []
    assert list(db.get_frame("main", "main", "kept")["schema"]) == ["name", "people (2024)"]
    assert db.import_files("mended", path)["notices"] == ['column "people (2024)" is called "people__2024_"']
    assert db.write_to_frame("main", "main", "kept", {"name": ["Chur"], "people (2024)": [38]})["rows_written"] == 1
    assert db.sql('SELECT sum("people (2024)") FROM kept').fetchall() == [(134038,)]
    db["kept"].append({"name": ["Thun"], "area (km²)": [{"a b": 21.6}]}, merge_schema=True)
    assert db.sql('SELECT "area (km²)"."a b" FROM kept WHERE "area (km²)" IS NOT NULL').fetchall() == [(21.6,)]
    assert db["cities"].count() == 2
    with pytest.raises(apiary.Error, match="nofile"):
        db.import_files("cities", tmp_path / "nofile.csv")


def test_an_overwrite_replaces_what_was_there_when_it_began(db):
    """What others wrote while its rows came is not lost."""
    db.create_frame("main", "main", "replaced", {"a": "int32"})
    frame = db["main.main.replaced"]
    frame.append({"a": [1]})
    with db.session() as other:

        def rows():
            yield [{"a": 10}]
            other.write_to_frame("main", "main", "replaced", {"a": [2]})
            yield [{"a": 11}]

        with pytest.raises(apiary.ConflictError):
            frame.overwrite(rows())
    assert db.sql("SELECT a FROM replaced ORDER BY a").fetchall() == [(1,), (2,)]
    frame.overwrite([{"a": 12}])
    assert db.sql("SELECT a FROM replaced").fetchall() == [(12,)]


def test_two_writers_one_conflict_free(db):
    with db.session() as other:
        db.create_frame("main", "main", "t", {"n": "int"})
        db.write_to_frame("main", "main", "t", {"n": [1]})
        other.write_to_frame("main", "main", "t", {"n": [2]})
    assert sorted(db.sql("SELECT n FROM t")) == [(1,), (2,)]
