"""Data in: whatever users hold, as one Arrow stream.

Nothing is copied here that speaks Arrow or is a NumPy array of numbers; the one copy is into the
chamber's shared memory. Lists of dicts and other Python values are built into Arrow first.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from . import _apiary
from ._errors import SchemaError
from ._schema import Schema

ROWS_AT_A_TIME = 20_000  # of an iterator of dicts

Known = Callable[[], "Schema | None"]


class Source:
    """A stream for the extension, and the errors that its producer raised."""

    __slots__ = ("errors", "stream")

    def __init__(self, stream: object, errors: list[BaseException]) -> None:
        self.stream = stream
        self.errors = errors


class Kept:
    """Python values that can be made into a stream as often as wanted, each time for the types of a schema."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[Schema | None], object]) -> None:
        self.make = make


def kept(data: Any, appends: bool) -> Any:
    """Python values that are few, or in memory anyway, as a `Kept`; other data as it is, or the iterator that it is.

    What an overwrite replaces is what is there before its first row is asked for: its iterators are left alone."""
    if isinstance(data, (bytes, bytearray, memoryview, str)) or _is_pandas(data) or _is_lazy(data) or _is_arrow(data) or _is_batches(data):
        return data
    if isinstance(data, Mapping):
        return _kept_columns(data)
    if getattr(getattr(data, "dtype", None), "names", None):  # a structured NumPy array
        return _kept_columns({name: data[name] for name in data.dtype.names})
    if isinstance(data, (list, tuple)):
        return _kept_rows(data) if not data or isinstance(data[0], Mapping) else data
    if not appends or not isinstance(data, Iterable):
        return data
    items = iter(data)
    few = list(itertools.islice(items, 1))
    if few and isinstance(few[0], Mapping) and not hasattr(few[0], "__arrow_c_stream__") and _is_row(few[0]):
        few += itertools.islice(items, ROWS_AT_A_TIME - 1)
        if len(few) < ROWS_AT_A_TIME:
            return _kept_rows(few)
    return itertools.chain(few, items)


def no_schema() -> Schema | None:
    return None


def speaks_arrow(value: object) -> bool:
    """Whether a value can stand for a table: it has one of Arrow's PyCapsule methods, or is a pandas frame."""
    kind = type(value)
    return hasattr(kind, "__arrow_c_stream__") or hasattr(kind, "__arrow_c_array__") or _is_pandas(value) or _is_lazy(value)


def source(data: object, known: Known = no_schema) -> Source:
    """The data as one stream. `known` is asked for the frame's schema when Python values have to be typed."""
    errors: list[BaseException] = []
    return Source(_stream(data, known, errors), errors)


def table(value: object) -> object:
    """A table for a statement: what `source` takes, without a frame to compare with."""
    return source(value).stream


def _is_pandas(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "pandas" and type(value).__name__ == "DataFrame"


def _is_lazy(value: object) -> bool:
    return type(value).__module__.partition(".")[0] == "polars" and type(value).__name__ == "LazyFrame"


def _is_arrow(value: object) -> bool:
    """Of the object, not of its type as in `speaks_arrow`: what is given as data may stand for a table by `__getattr__`."""
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def _is_batches(value: object) -> bool:
    """A pyarrow dataset or scanner."""
    return hasattr(value, "to_batches") and hasattr(value, "schema")


def _stream(data: Any, known: Known, errors: list[BaseException]) -> object:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return _apiary.ipc_stream(data)
    if _is_pandas(data):
        return _pandas(data)
    if _is_lazy(data):
        return data.collect()
    if _is_arrow(data):
        return data
    if isinstance(data, Kept):
        return data.make(known())
    if isinstance(data, Mapping):
        return _columns(data, known())
    if isinstance(data, str):
        raise _refused(data)
    if _is_batches(data):
        return _iterator(iter(data.to_batches()), data.schema, known, errors)
    if getattr(getattr(data, "dtype", None), "names", None):  # a structured NumPy array
        return _columns({name: data[name] for name in data.dtype.names}, known())
    if isinstance(data, (list, tuple)):
        if not data or isinstance(data[0], Mapping):
            return _rows(list(data), known())
        return _iterator(iter(data), None, known, errors)
    if isinstance(data, Iterable):
        return _iterator(iter(data), None, known, errors)
    if hasattr(type(data), "__buffer__") or type(data).__name__ == "Buffer":  # pyarrow.Buffer
        return _apiary.ipc_stream(data)
    raise _refused(data)


def _refused(data: object) -> SchemaError:
    return SchemaError(
        f"a {type(data).__name__} is no data that can be written",
        "give a pandas, Polars or pyarrow table, Arrow IPC bytes, a list of dicts, a dict of columns, or an iterator of these",
    )


# ---- rows ----


def _rows(rows: list[Any], schema: Schema | None) -> object:
    return _kept_rows(rows).make(schema)


def _kept_rows(rows: Iterable[Any]) -> Kept:
    dicts = [row if isinstance(row, dict) else dict(row) for row in rows]

    def make(schema: Schema | None) -> object:
        return _apiary.rows_stream(dicts, None if schema is None else schema._arrow, False) if dicts else _nothing(schema)

    return Kept(make)


def _nothing(schema: Schema | None) -> object:
    if schema is None:
        raise SchemaError("the data is empty and has no schema")
    arrow = _apiary.ArrowSchema(schema)
    rows: list[Any] = []
    return _apiary.columns_stream([(name, rows, None, None, _field(arrow, i)) for i, name in enumerate(schema.names)])


def _field(arrow: _apiary.ArrowSchema, index: int) -> _apiary.ArrowSchema:
    return _apiary.ArrowSchema(_plain(arrow.description()[3][index]))


def _plain(description: Any) -> Any:
    return (description[0], description[1], description[2], [_plain(child) for child in description[3]])


def _iterator(items: Iterator[Any], schema: object, known: Known, errors: list[BaseException]) -> object:
    first = next(items, None)
    if first is None:
        return _nothing(known() if schema is None else Schema(schema))
    items = itertools.chain((first,), items)
    if isinstance(first, Mapping) and not hasattr(first, "__arrow_c_stream__"):
        if _is_row(first):
            stream = _apiary.iterator_stream(_chunks(items, known()), errors)
        else:
            schema_known = known()
            stream = _apiary.iterator_stream((_columns(item, schema_known) for item in items), errors)
    else:
        schema_known = known()  # now: while the write pulls the rest, its session answers nothing else
        stream = _apiary.iterator_stream((_stream(item, lambda: schema_known, errors) for item in items), errors)
    assert stream is not None
    return stream


def _is_row(item: Mapping[str, Any]) -> bool:
    """A dict of columns has arrays; a row has anything else."""
    return not any(hasattr(value, "dtype") and getattr(value, "ndim", 0) == 1 for value in item.values())


def _chunks(rows: Iterator[Any], schema: Schema | None) -> Iterator[object]:
    """Batches of rows; what the first ones are found to be, the later ones have to be."""
    arrow = None if schema is None else schema._arrow
    exact = False
    while chunk := list(itertools.islice(rows, ROWS_AT_A_TIME)):
        stream = _apiary.rows_stream([row if isinstance(row, dict) else dict(row) for row in chunk], arrow, exact)
        if not exact:
            arrow, exact = stream.schema(), True
        yield stream


# ---- columns ----


def _columns(data: Mapping[Any, Any], schema: Schema | None) -> object:
    return _kept_columns(data).make(schema)


def _kept_columns(data: Mapping[Any, Any]) -> Kept:
    columns = []
    for name, values in data.items():
        if not isinstance(name, str):
            raise SchemaError(f"a column is named by a text, not by {name!r}")
        columns.append((name, *_column(name, values)))

    def make(schema: Schema | None) -> object:
        if not columns:
            return _nothing(schema)
        types: dict[str, _apiary.ArrowSchema] = {}
        if schema is not None:
            types = {name.lower(): _field(schema._arrow, i) for i, name in enumerate(schema.names)}
        return _apiary.columns_stream([(*column, types.get(column[0].lower())) for column in columns])

    return Kept(make)


def _column(name: str, values: Any) -> tuple[object, str | None, object | None]:
    """(value, Arrow format, mask of nulls) as the extension takes it."""
    kind = type(values)
    if kind.__module__.partition(".")[0] == "pandas":
        return _pandas_column(values)
    if hasattr(values, "__arrow_c_array__"):
        return values, None, None
    if hasattr(values, "__arrow_c_stream__"):  # a Polars series, a chunked array
        return _one_chunk(name, values), None, None
    if hasattr(values, "dtype") and hasattr(values, "ndim"):
        return _numpy(values)
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise SchemaError(f'column "{name}" has a {type(values).__name__}, where a list or an array is expected')
    return list(values), None, None


def _one_chunk(name: str, values: Any) -> object:
    for method in ("rechunk", "combine_chunks"):
        if hasattr(values, method):
            values = getattr(values, method)()
    if hasattr(values, "__arrow_c_array__"):
        return values
    if hasattr(values, "num_chunks") and values.num_chunks == 1:
        return values.chunk(0)
    for method in ("to_pylist", "to_list"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    raise SchemaError(f'column "{name}" is an Arrow stream of several batches: give a table instead')


def _numpy(values: Any) -> tuple[object, str | None, object | None]:
    mask = None
    if hasattr(values, "filled"):  # a masked array
        mask = values.mask if getattr(values.mask, "ndim", 0) else None
        values = values.data
    kind = values.dtype.kind
    if values.ndim != 1 or kind not in "iufbMm" or values.dtype.itemsize > 8:
        return _listed(values, mask), None, None
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    format_ = None
    if kind in "Mm":
        values, format_, nulls = _moments(values, kind)
        mask = nulls if mask is None else (nulls | mask if nulls is not None else mask)
    if not values.flags.c_contiguous:
        values = values.copy()
    return values, format_, None if mask is None else mask.copy()


def _listed(values: Any, mask: Any) -> list[Any]:
    items: list[Any] = values.tolist()
    return items if mask is None else [None if hidden else item for item, hidden in zip(items, mask.tolist())]


def _moments(values: Any, kind: str) -> tuple[Any, str, Any]:
    """datetime64 and timedelta64 as integers of a unit that Arrow has; NaT is null."""
    unit = values.dtype.str[4:-1] or "us"
    nulls = values.view("i8") == -(2**63)
    nulls = nulls if nulls.any() else None
    if kind == "M" and unit == "D":
        return values.astype("i8").astype("i4"), "tdD", nulls
    if unit not in ("s", "ms", "us", "ns"):
        unit = "us" if unit in ("Y", "M", "W", "D", "h", "m") else "ns"
        values = values.astype(f"{kind}8[{unit}]")
    short = {"s": "s", "ms": "m", "us": "u", "ns": "n"}[unit]
    return values.view("i8"), f"ts{short}:" if kind == "M" else f"tD{short}", nulls


# ---- pandas ----


def _pandas(frame: Any) -> object:
    """A pandas frame without its index, by pyarrow where there is one."""
    for name in frame.columns:
        if not isinstance(name, str):
            raise SchemaError(f"a column is named by a text, not by {name!r}")
    try:
        import pyarrow
    except ImportError:
        return _columns({name: frame[name] for name in frame.columns}, None)
    try:
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, pyarrow.ArrowNotImplementedError) as error:
        raise SchemaError(f"the data frame cannot be brought into Arrow: {error}") from error


def _pandas_column(series: Any) -> tuple[object, str | None, object | None]:
    values = series.to_numpy()
    if values.dtype.kind in "iufbMm" and values.ndim == 1:
        return _numpy(values)
    nulls = series.isna().to_numpy()
    return [None if null else value for value, null in zip(values.tolist(), nulls.tolist())], None, None
