#!/usr/bin/env python3
"""Every Arrow type through a frame and back: nulls, empty, sliced, chunked, dictionary, nested, large, views."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal
import warnings

import pytest

import apiary

pa = pytest.importorskip("pyarrow")

D = decimal.Decimal
UTC = datetime.timezone.utc
WHEN = [datetime.datetime(2024, 2, 29, 3, 4, 5), None, datetime.datetime(1900, 1, 1), datetime.datetime(2262, 4, 11)]
TIMES = [datetime.time(1, 2, 3), None, datetime.time(0), datetime.time(23, 59, 59)]
LONG_TEXT = ["a", None, "ä" * 100, ""]
LONG_BYTES = [b"a", None, b"\0\xff" * 50, b""]
LISTS = [[1, None], None, [], [3]]

# Arrow array in, Arrow type that comes out. Values are the same, but where a third item says else.
TYPES = {
    "int8": (pa.array([1, None, -128, 127], pa.int8()), pa.int8()),
    "int16": (pa.array([1, None, -(2**15), 2**15 - 1], pa.int16()), pa.int16()),
    "int32": (pa.array([1, None, -(2**31), 2**31 - 1], pa.int32()), pa.int32()),
    "int64": (pa.array([1, None, -(2**63), 2**63 - 1], pa.int64()), pa.int64()),
    "uint8": (pa.array([1, None, 0, 2**8 - 1], pa.uint8()), pa.int16()),
    "uint16": (pa.array([1, None, 0, 2**16 - 1], pa.uint16()), pa.int32()),
    "uint32": (pa.array([1, None, 0, 2**32 - 1], pa.uint32()), pa.int64()),
    "uint64": (pa.array([1, None, 0, 2**64 - 1], pa.uint64()), pa.decimal128(20, 0)),
    "float16": (pa.array([1.5, None, -2.0, float("inf")], pa.float16()), pa.float32()),
    "float32": (pa.array([1.5, None, -2.0, float("inf")], pa.float32()), pa.float32()),
    "float64": (pa.array([1.5, None, 1e300, float("-inf")], pa.float64()), pa.float64()),
    "bool": (pa.array([True, None, False, True]), pa.bool_()),
    "string": (pa.array(LONG_TEXT), pa.string()),
    "large_string": (pa.array(LONG_TEXT, pa.large_string()), pa.string()),
    "string_view": (pa.array(LONG_TEXT, pa.string_view()), pa.string()),
    "binary": (pa.array(LONG_BYTES), pa.binary()),
    "large_binary": (pa.array(LONG_BYTES, pa.large_binary()), pa.binary()),
    "binary_view": (pa.array(LONG_BYTES, pa.binary_view()), pa.binary()),
    "fixed_binary": (pa.array([b"abcd", None, b"\0\0\0\0", b"1234"], pa.binary(4)), pa.binary()),
    "date32": (pa.array([datetime.date(2024, 2, 29), None, datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]), pa.date32()),
    "date64": (pa.array([datetime.date(2024, 2, 29), None, datetime.date(1970, 1, 1), datetime.date(1900, 1, 1)], pa.date64()), pa.date32()),
    "decimal32": (pa.array([D("1.5"), None, D("-9999.9"), D(0)], pa.decimal32(5, 1)), pa.decimal128(5, 1)),
    "decimal64": (pa.array([D("1.5"), None, D("-9999.9"), D(0)], pa.decimal64(15, 1)), pa.decimal128(15, 1)),
    "decimal128": (pa.array([D("1.50"), None, D("-99999999.99"), D(0)], pa.decimal128(10, 2)), pa.decimal128(10, 2)),
    "decimal128_38": (pa.array([D(1), None, D("-" + "9" * 38), D("9" * 38)], pa.decimal128(38, 0)), pa.decimal128(38, 0)),
    "decimal256": (pa.array([D("1.5"), None, D("-" + "9" * 37 + ".9"), D(0)], pa.decimal256(38, 1)), pa.decimal128(38, 1)),
    "time32_s": (pa.array(TIMES, pa.time32("s")), pa.string(), ["01:02:03", None, "00:00:00", "23:59:59"]),
    "time32_ms": (pa.array(TIMES, pa.time32("ms")), pa.string(), ["01:02:03", None, "00:00:00", "23:59:59"]),
    "time64_us": (pa.array(TIMES, pa.time64("us")), pa.string(), ["01:02:03", None, "00:00:00", "23:59:59"]),
    "time64_ns": (pa.array(TIMES, pa.time64("ns")), pa.string(), ["01:02:03", None, "00:00:00", "23:59:59"]),
    "uuid": (pa.array([b"0" * 16, None], pa.uuid()), pa.string(), ["30303030-3030-3030-3030-303030303030", None]),
    "null": (pa.nulls(3), pa.string()),
    "list": (pa.array(LISTS), pa.list_(pa.int64())),
    "large_list": (pa.array(LISTS, pa.large_list(pa.int64())), pa.list_(pa.int64())),
    "list_view": (pa.array(LISTS, pa.list_view(pa.int64())), pa.list_(pa.int64())),
    "large_list_view": (pa.array(LISTS, pa.large_list_view(pa.int64())), pa.list_(pa.int64())),
    "fixed_list": (pa.array([[1, None], None, [3, 4]], pa.list_(pa.int64(), 2)), pa.list_(pa.int64())),
    "struct": (pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": None}]), pa.struct({"x": pa.int64(), "y": pa.string()})),
    "odd_names": (pa.array([{"a-b": 1, "ä": 2, "1": 3}]), pa.struct({"a-b": pa.int64(), "ä": pa.int64(), "1": pa.int64()})),
    "map": (pa.array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int64())), pa.map_(pa.string(), pa.int64())),
    "nested": (
        pa.array([[{"x": 1, "y": ["p", None]}], None, [], [None]]),
        pa.list_(pa.struct({"x": pa.int64(), "y": pa.list_(pa.string())})),
    ),
    "dictionary": (pa.array(["a", None, "b", "a"]).dictionary_encode(), pa.string()),
    "dictionary_of_int": (pa.array([5, None, 7, 5]).dictionary_encode(), pa.int64()),
    "dictionary_within": (
        pa.StructArray.from_arrays([pa.array(["a", None, "a"]).dictionary_encode()], ["k"]),
        pa.struct({"k": pa.string()}),
    ),
    **{f"timestamp_{unit}": (pa.array(WHEN, pa.timestamp(unit)), pa.timestamp("us")) for unit in ("s", "ms", "us", "ns")},
    **{f"zoned_{unit}": (pa.array(WHEN, pa.timestamp(unit, "Europe/Berlin")), pa.timestamp("us", "UTC")) for unit in ("s", "ms", "us", "ns")},
    "zoned_utc": (pa.array(WHEN, pa.timestamp("us", "UTC")), pa.timestamp("us", "UTC")),
}


def plain(array):
    """Python values; instants in UTC, so that zones compare."""
    return [value.astimezone(UTC) if isinstance(value, datetime.datetime) and value.tzinfo else value for value in array.to_pylist()]


def as_type(array, kind):
    """Whether an Arrow type is that one, whatever its inner fields are called."""
    return array.type == kind or str(array.type).replace("element: ", "item: ") == str(kind)


@pytest.fixture(scope="module")
def through(shared):
    """Writes a table into a new frame of its schema and gives (frame, result)."""
    count = 0

    def go(table, data=None):
        nonlocal count
        count += 1
        frame = shared[f"main.main.t{count}"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", apiary.ApiaryWarning)
            frame.create(table.schema)
            written = frame.append(table if data is None else data)
        assert written["rows_written"] == table.num_rows
        return frame, frame.read()

    return go


@pytest.mark.parametrize("name", TYPES)
def test_through_a_frame(through, name):
    array, kind, *values = TYPES[name]
    want = values[0] if values else plain(array)
    frame, result = through(pa.table({"c": array}))
    column = result.to_arrow().column(0)
    assert as_type(column, kind), column.type
    assert plain(column) == want
    mapped = pa.types.is_map(kind)
    rows = [None if mapped and row[0] is None else list(row[0].items()) if mapped else row[0] for row in result.fetchall()]
    assert rows == want
    assert pa.ipc.open_stream(result).read_all().column(0).to_pylist() == column.to_pylist()
    # what the frame says of itself makes the same frame again
    frame.create(dict(frame.info()["schema"]))
    frame.create(result.schema)


@pytest.mark.parametrize("name", TYPES)
def test_sliced_and_chunked(through, name):
    array, _, *values = TYPES[name]
    want = values[0] if values else plain(array)
    _, result = through(pa.table({"c": pa.chunked_array([array[2:], array[:0], array[1:2]])}))
    assert plain(result.to_arrow().column(0)) == want[2:] + want[1:2]


def test_empty(through):
    table = pa.table({name: array[:0] for name, (array, *_) in TYPES.items()})
    frame, result = through(table)
    back = result.to_arrow()
    assert back.num_rows == 0 and result.fetchall() == [] and len(result) == 0
    assert back.column_names == list(TYPES)
    for name, (_, kind, *_) in TYPES.items():
        assert as_type(back.column(name), kind), name
    assert pa.ipc.open_stream(result).read_all().num_rows == 0
    assert list(result.to_pandas().columns) == list(TYPES) and result.to_polars().height == 0
    assert frame.schema == result.schema


LARGE = [name for name, (array, kind, *rest) in TYPES.items() if len(array) == 4 and not pa.types.is_nested(kind)]


@pytest.mark.parametrize("names", [[name for name in LARGE if "view" not in name and "dict" not in name and name not in ("float16", "decimal256")], LARGE,
                                   ["string_view", "binary_view"]], ids=["as it lies", "put together", "views"])  # fmt: skip
@pytest.mark.parametrize("start", [0, 3, 8])
def test_large_batches(through, shared, names, start):
    """Batches that are cut, from offsets that are no whole bytes of bits."""
    arrays = {name: pa.concat_arrays([TYPES[name][0]] * 37_500).slice(start) for name in names}
    frame, _ = through(pa.table({**arrays, "row": range(150_000 - start)}))
    back = shared.sql(f"SELECT * FROM {frame.name} ORDER BY row").to_arrow().combine_chunks()
    for name in names:
        array, _, *values = TYPES[name]
        want = values[0] if values else plain(array)
        got = plain(back.column(name).slice(0, 12)) + plain(back.column(name).slice(65_530, 12)) + plain(back.column(name).slice(len(back) - 12))
        at = [*range(12), *range(65_530, 65_542), *range(len(back) - 12, len(back))]
        assert got == [want[(i + start) % 4] for i in at], name
        assert back.column(name).null_count == arrays[name].null_count, name


POLARS = [name for name in TYPES if name not in ("uuid", "null", "map", "decimal256")]  # the last one Polars cannot take


@pytest.mark.parametrize("name", POLARS)
def test_by_polars(through, name):
    polars = pytest.importorskip("polars")
    array, _, *values = TYPES[name]
    table = pa.table({"c": array})
    try:
        frame = polars.from_arrow(table)
    except Exception as error:  # a type that Polars itself does not take
        pytest.skip(f"polars does not read it: {error}")
    _, result = through(pa.table(frame), frame)
    back = result.to_polars()["c"].to_list()
    want = values[0] if values else frame["c"].to_list()
    assert [value.astimezone(UTC) if isinstance(value, datetime.datetime) and value.tzinfo else value for value in back] == [
        value.astimezone(UTC) if isinstance(value, datetime.datetime) and value.tzinfo else value for value in want
    ]


def test_by_pandas(shared):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "whole": [1, 2, 3],
            "missing": pandas.array([1, None, 3], dtype="Int64"),
            "real": [1.5, float("nan"), 3.5],
            "text": ["a", None, "c"],
            "flag": [True, False, True],
            "when": pandas.to_datetime(["2024-01-02 03:04:05.678901", None, "1999-12-31"], format="ISO8601"),
            "zoned": pandas.to_datetime(["2024-01-02 03:04:05", None, "1999-12-31"], format="ISO8601").tz_localize("Europe/Berlin"),
            "kind": pandas.Categorical(["x", None, "x"]),
            "bytes": [b"1", None, b"\0"],
        },
        index=[7, 8, 9],
    )
    assert len(frame) == 3
    shared.sql("CREATE FRAME of_pandas AS SELECT * FROM frame")
    shared.overwrite_frame("main", "main", "of_pandas", frame)
    back = shared["of_pandas"].read().to_pandas()
    assert list(back.columns) == list(frame.columns)
    assert back["whole"].tolist() == [1, 2, 3]
    assert back["real"].isna().tolist() == [False, True, False] and back["real"][2] == 3.5
    for name in ("missing", "text", "flag", "kind", "bytes"):
        assert [None if value is None or value != value else value for value in back[name].astype(object)] == [
            None if pandas.isna(value) else value for value in frame[name].astype(object)
        ], name
    assert back["when"].dt.tz is None and back["when"][0] == frame["when"][7] and pandas.isna(back["when"][1])
    assert back["zoned"][0] == frame["zoned"][7] and str(back["zoned"].dt.tz) == "UTC"


def test_by_nanoarrow(shared):
    nanoarrow = pytest.importorskip("nanoarrow")
    stream = nanoarrow.ArrayStream(pa.table({"a": [1, None, 3], "s": ["x", "y", None]}))
    shared.create_frame("main", "main", "of_nanoarrow", {"a": "int", "s": "text"})
    shared.write_to_frame("main", "main", "of_nanoarrow", stream)
    back = nanoarrow.ArrayStream(shared["of_nanoarrow"].read()).read_all()
    assert [tuple(row.values()) for row in back.to_pylist()] == [(1, "x"), (None, "y"), (3, None)]


def test_by_duckdb(shared):
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    relation = connection.sql("SELECT range AS n, 'row ' || range AS s FROM range(5000)")
    shared.create_frame("main", "main", "of_duckdb", {"n": "int", "s": "text"})
    assert shared["of_duckdb"].append(relation)["rows_written"] == 5000
    result = shared.sql("SELECT * FROM of_duckdb")
    assert len(result) == 5000
    assert connection.sql("SELECT sum(n), max(s) FROM result").fetchall() == [(12497500, "row 999")]
    again = connection.sql("SELECT 7 AS n")
    assert again is not None
    assert shared.sql("SELECT n FROM again").fetchall() == [(7,)]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([datetime.timedelta(1)], pa.duration("us")),
        pa.array([pa.MonthDayNano([1, 2, 3000])]),
        pa.array([D(1)], pa.decimal256(60, 1)),
        pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array(["a"])),
        pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
    ],
    ids=lambda array: str(array.type),
)
def test_what_a_frame_cannot_hold(shared, array):
    with pytest.raises(apiary.SchemaError, match='"odd"') as caught:
        shared.create_frame("main", "main", "cannot", pa.schema({"odd": array.type}))
    assert caught.value.hint
    with pytest.raises(apiary.Error):
        shared.sql("CREATE FRAME cannot (odd BIGINT)")
        shared["cannot"].append(pa.table({"odd": array}))
    shared.drop_frame("main", "main", "cannot", if_exists=True)


def test_values_of_the_engine_as_python(shared):
    row = shared.sql(
        "SELECT 12345678901234567890123456789012345678::HUGEINT, INTERVAL 3 DAY, INTERVAL 2 MONTH, TIME '01:02:03', "
        "'2024-01-01'::TIMESTAMP_NS, MAP {'a': 1}, {'x': [1, NULL]}, 'b'::ENUM('a', 'b'), '101'::BIT, 1.5::FLOAT, NULL"
    ).fetchone()
    assert row == (
        12345678901234567890123456789012345678, datetime.timedelta(3), apiary.Interval(2, 0, 0), datetime.time(1, 2, 3), datetime.datetime(2024, 1, 1), {"a": 1},
        {"x": [1, None]}, "b", "101", 1.5, None,
    )  # fmt: skip
