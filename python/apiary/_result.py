"""Results: lazy, read as Python values, Arrow, pandas, Polars or bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _apiary, _progress
from ._schema import Schema

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

SHOWN_ROWS = 20
FETCH_ROWS = 10_000
DEFAULT_WIDTH = 120


class Result(_apiary.Rows):
    """What a statement left: rows, or a message.

    Rows are fetched as they are asked for. What was fetched stays, without being copied: its
    buffers are the shared memory in which the sealed chamber left them. A result whose rows are
    all here (small ones always are) can be read any number of times, also after ``shutdown()``.
    One that is still running is handed to a consumer of its Arrow stream, or to ``batches()``, once,
    in bounded memory; ``to_arrow()`` and the other ``to_…`` methods fetch and keep all of it.

    It is a buffer, too: the whole as one Arrow IPC stream, as ``pyarrow.ipc.open_stream`` takes it.

    >>> result = db.sql("SELECT 42 AS answer, 'text' AS word")
    >>> result.fetchall()
    [(42, 'text')]
    >>> result.schema
    Schema({'answer': 'int32', 'word': 'string'})
    >>> result
    ┌────────┬──────┐
    │ answer │ word │
    ├────────┼──────┤
    │     42 │ text │
    └────────┴──────┘
    """

    _at: int
    _names: tuple[str, ...]

    # ---- what it is ----

    @property
    def schema(self) -> Schema:
        """Columns and types; empty of columns there is none: a statement without rows raises UsageError.

        >>> db.sql("SELECT 1::DECIMAL(10,2) AS price").schema["price"]
        'decimal(10,2)'
        """
        arrow = self._schema()
        if arrow is None:
            self._fetch(0, None)  # raises: no rows
        return Schema(arrow)

    @property
    def columns(self) -> list[str]:
        """Names of the columns, [] for a statement without rows.

        >>> db.sql("SELECT 1 AS a, 2 AS b").columns
        ['a', 'b']
        """
        return list(self._column_names())

    @property
    def message(self) -> str:
        """What a statement without rows did, or "".

        >>> db.sql("USE main").message != ""
        True
        """
        return self._message

    @property
    def notices(self) -> list[str]:
        """What was changed on the way (dropped columns, mapped types), a line each.

        >>> db.sql("SELECT 1").notices
        []
        """
        return self._notices.splitlines()

    @property
    def rows_changed(self) -> int:
        """Rows that the statement wrote or changed; -1 where that means nothing.

        >>> db.sql("SELECT 1").rows_changed
        -1
        """
        return self._changed

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the statement so far: rows, bytes, cells read, memory, CPU time in microseconds.

        >>> "cpu_us" in db.sql("SELECT 1").stats
        True
        """
        text = self._stats()
        figures: dict[str, Any] = {} if text is None else json.loads(text)
        return figures

    def _column_names(self) -> tuple[str, ...]:
        names: tuple[str, ...] | None = self.__dict__.get("_names")
        if names is None:
            names = self._names = tuple(Schema(self._schema()).names) if self._has_rows else ()
        return names

    def fetch_rest(self) -> Result:
        """Fetches all rows that are still to come, and keeps them.

        :returns: the result itself
        :raises Error: the statement failed on the way

        >>> len(db.sql("SELECT * FROM range(10)").fetch_rest())
        10
        """
        bar = None if self._complete or not _progress.wanted() else _progress.Bar()
        try:
            self._fetch(-1, bar)
        finally:
            if bar is not None:
                bar.close()
        return self

    def __len__(self) -> int:
        return 0 if not self._has_rows else self.fetch_rest()._fetched

    def __bool__(self) -> bool:
        return True

    # ---- rows ----

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None at the end.

        >>> result = db.sql("SELECT * FROM range(2)")
        >>> result.fetchone(), result.fetchone(), result.fetchone()
        ((0,), (1,), None)
        """
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """The next `size` rows, fewer at the end.

        >>> db.sql("SELECT * FROM range(5)").fetchmany(3)
        [(0,), (1,), (2,)]
        """
        at: int = self.__dict__.get("_at", 0)
        there = self._fetch(at + max(0, size), None)
        rows: list[tuple[Any, ...]] = self._values(at, min(at + max(0, size), there), None)
        self._at = at + len(rows)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that fetchone and fetchmany have not given yet.

        >>> db.sql("SELECT * FROM range(3)").fetchall()
        [(0,), (1,), (2,)]
        """
        self.fetch_rest()
        at: int = self.__dict__.get("_at", 0)
        self._at = self._fetched
        return self._values(at, self._fetched, None)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        at = 0
        while True:
            there = min(self._fetch(at + FETCH_ROWS, None), at + FETCH_ROWS)
            if there <= at:
                return
            yield from self._values(at, there, None)
            at = there

    def to_pylist(self) -> list[dict[str, Any]]:
        """All rows as dicts.

        >>> db.sql("SELECT 1 AS a, [1, 2] AS b").to_pylist()
        [{'a': 1, 'b': [1, 2]}]
        """
        self.fetch_rest()
        return self._values(0, self._fetched, self._column_names())

    def scalar(self) -> Any:
        """The first column of the first row; None without rows.

        >>> db.sql("SELECT 6 * 7").scalar()
        42
        """
        self._fetch(1, None)
        rows = self._values(0, 1, None)
        return rows[0][0] if rows else None

    # ---- Arrow, pandas, Polars ----

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._stream().__arrow_c_stream__()

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def batches(self) -> pyarrow.RecordBatchReader:
        """The rows batch by batch, as a ``pyarrow.RecordBatchReader``, in bounded memory.

        >>> sum(batch.num_rows for batch in db.sql("SELECT * FROM range(100)").batches())
        100
        """
        import pyarrow

        return pyarrow.RecordBatchReader.from_stream(self)

    def to_arrow(self) -> pyarrow.Table:
        """All rows as a ``pyarrow.Table``; its buffers are the chamber's shared memory.

        >>> db.sql("SELECT 1 AS a").to_arrow().num_rows
        1
        """
        import pyarrow

        return pyarrow.table(self.fetch_rest())

    def to_pandas(self) -> pandas.DataFrame:
        """All rows as a ``pandas.DataFrame``.

        >>> list(db.sql("SELECT 1 AS a").to_pandas()["a"])
        [1]
        """
        import pandas

        try:
            table = self.to_arrow()
        except ImportError:
            self.fetch_rest()
            return pandas.DataFrame.from_records(self._values(0, self._fetched, None), columns=self.columns)
        frame: pandas.DataFrame = table.to_pandas()
        return frame

    def to_polars(self) -> polars.DataFrame:
        """All rows as a ``polars.DataFrame``.

        >>> db.sql("SELECT 1 AS a").to_polars()["a"].to_list()
        [1]
        """
        import polars

        return polars.DataFrame(self.fetch_rest())

    def close(self) -> None:
        """Gives up rows that were not fetched and lets go of those that were.

        >>> result = db.sql("SELECT 1")
        >>> result.close()
        """
        self._close()

    # ---- for people ----

    def __repr__(self) -> str:
        if not self._has_rows:
            return self._message or "(no rows)"
        try:
            self._fetch(SHOWN_ROWS + 1, None)
            text = self._table(SHOWN_ROWS, _progress.width(DEFAULT_WIDTH))
        except RuntimeError as error:
            return f"<Result: {error}>"
        if not self._complete:
            text = "\n".join(text.splitlines()[: SHOWN_ROWS + 4]) + "\n… more rows are not shown"
        return text.rstrip("\n")

    def _repr_html_(self) -> str:
        import html  # not at the top: `import apiary` is quick

        if not self._has_rows:
            return f"<p>{html.escape(self._message)}</p>"
        self._fetch(SHOWN_ROWS + 1, None)
        rows = self._values(0, min(SHOWN_ROWS, self._fetched), None)
        schema = self.schema
        head = "".join(f'<th title="{html.escape(kind)}">{html.escape(name)}</th>' for name, kind in zip(schema.names, schema.types))
        body = "".join("<tr>" + "".join(_cell(value) for value in row) + "</tr>" for row in rows)
        if self._complete:
            tail = f"{self._fetched:,} row{'' if self._fetched == 1 else 's'}"
        else:
            tail = f"the first {len(rows)} rows"
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{tail}</p>"


def _cell(value: object) -> str:
    import html

    if value is None:
        return "<td><i>NULL</i></td>"
    align = ' style="text-align:right"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""
    return f"<td{align}>{html.escape(str(value))}</td>"
