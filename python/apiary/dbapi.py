"""DB-API 2.0 (PEP 249) over Apiary, for tools that want it.

>>> from apiary import dbapi
>>> with dbapi.connect("memory://") as connection:
...     cursor = connection.cursor()
...     _ = cursor.execute("CREATE FRAME t (id BIGINT, word TEXT)")
...     _ = cursor.executemany("INSERT INTO t VALUES (?, ?)", [(1, "one"), (2, "two")])
...     cursor.execute("SELECT word FROM t WHERE id = ?", (2,)).fetchall()
[('two',)]

Every statement is its own transaction and is committed when it returns: ``commit()`` does nothing,
and ``rollback()`` after a write raises :class:`NotSupportedError`. Threads may share the module, not
a connection. Errors are also :class:`apiary.Error`, with ``code`` and ``hint``.
"""

from __future__ import annotations

import datetime
import os
import re
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, NoReturn

from . import _apiary, _errors
from ._client import Apiary, Params, Session
from ._client import open as _open
from ._errors import Error as _Error
from ._result import Result

__all__ = [
    "BINARY", "Binary", "Connection", "Cursor", "DATETIME", "DataError", "DatabaseError", "Date", "DateFromTicks", "Error",
    "IntegrityError", "InterfaceError", "InternalError", "NUMBER", "NotSupportedError", "OperationalError", "ProgrammingError",
    "ROWID", "STRING", "Time", "TimeFromTicks", "Timestamp", "TimestampFromTicks", "Warning", "apilevel", "connect",
    "paramstyle", "threadsafety",
]  # fmt: skip

apilevel = "2.0"
threadsafety = 1  # threads may share the module, not connections
paramstyle = "qmark"

VALUES_AT_ONCE = 10_000  # parameters of one INSERT that executemany makes

# ---- errors ----


class Warning(Exception):  # the name is PEP 249's
    """Never raised: what was changed on the way is told by ``warnings.warn(…, apiary.ApiaryWarning)``."""


class Error(_Error):
    """Whatever this module reports; ``__cause__`` is the error of :mod:`apiary` behind it."""


class InterfaceError(Error):
    """This module is used wrongly: something is closed, or was not executed."""

    code = "INVALID"


class DatabaseError(Error):
    """Whatever the database reports."""


class DataError(DatabaseError):
    """A value does not fit."""

    code = "SCHEMA"


class OperationalError(DatabaseError):
    """Storage, memory, time, another writer."""

    code = "IO"


class IntegrityError(DatabaseError):
    """There is one already."""

    code = "EXISTS"


class InternalError(DatabaseError):
    """A fault of Apiary itself."""


class ProgrammingError(DatabaseError):
    """The statement is wrong, or names what is not there."""

    code = "SQL"


class NotSupportedError(DatabaseError):
    """Apiary does not do this."""

    code = "UNSUPPORTED"


_KINDS: dict[str, type[Error]] = {
    "INVALID": ProgrammingError, "SQL": ProgrammingError, "NOT_FOUND": ProgrammingError, "SCHEMA": DataError, "EXISTS": IntegrityError,
    "UNSUPPORTED": NotSupportedError, "INTERNAL": InternalError,
}  # fmt: skip


def _raise(error: _errors.Error) -> NoReturn:
    """The same error as one of ours."""
    if isinstance(error, Error):
        raise error
    raise _KINDS.get(error.code, OperationalError)(str(error), error.hint, error.code) from error


# ---- types ----


class _Kind:
    """A type object: equal to every type word of its kind, as ``description`` has them."""

    def __init__(self, name: str, *words: str) -> None:
        self._name = name
        self._words = frozenset(words)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Kind):
            return self is other
        return isinstance(other, str) and re.split(r"[(<]", other)[0] in self._words

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return self._name


STRING = _Kind("STRING", "string")
BINARY = _Kind("BINARY", "binary")
NUMBER = _Kind(
    "NUMBER", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "decimal", "bool"
)
DATETIME = _Kind("DATETIME", "date", "time", "timestamp", "timestamp_tz", "interval", "duration")
ROWID = _Kind("ROWID")

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:
    """The local date of a time in seconds since the epoch.

    >>> DateFromTicks(0).year in (1969, 1970)
    True
    """
    return datetime.date(*time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:
    """The local time of day of a time in seconds since the epoch.

    >>> TimeFromTicks(0).second
    0
    """
    return datetime.time(*time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """The local date and time of a time in seconds since the epoch.

    >>> TimestampFromTicks(0).minute in (0, 15, 30, 45)
    True
    """
    return datetime.datetime(*time.localtime(ticks)[:6])


# ---- connections ----


def connect(storage: str | os.PathLike[str] | Apiary | None = None, **settings: object) -> Connection:
    """Opens a connection.

    :param storage: as :func:`apiary.open` takes it, or an open :class:`apiary.Apiary` to share
    :param settings: settings as :func:`apiary.open` takes them
    :raises OperationalError: the storage cannot be reached

    >>> connect("memory://").close()
    """
    try:
        if isinstance(storage, Apiary):
            return Connection(storage, False)
        return Connection(_open(storage, **settings), True)  # type: ignore[arg-type]
    except _errors.Error as error:
        _raise(error)


class Connection:
    """One session. Closing it closes its cursors, and the storage when :func:`connect` opened it.

    >>> with connect("memory://") as connection:
    ...     connection.cursor().execute("SELECT 1").fetchone()
    (1,)
    """

    Warning = Warning
    Error = Error
    InterfaceError = InterfaceError
    DatabaseError = DatabaseError
    DataError = DataError
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    InternalError = InternalError
    ProgrammingError = ProgrammingError
    NotSupportedError = NotSupportedError

    def __init__(self, apiary: Apiary, own: bool) -> None:
        self._apiary = apiary
        self._own = own
        self._session: Session | None = apiary.session()
        self._wrote = False

    def _open_session(self) -> Session:
        if self._session is None:
            raise InterfaceError("this connection has been closed")
        return self._session

    def cursor(self) -> Cursor:
        """A new cursor. Cursors of one connection share its session.

        >>> connect("memory://").cursor().arraysize
        1
        """
        self._open_session()
        return Cursor(self)

    def commit(self) -> None:
        """Does nothing: every statement was committed when it returned.

        >>> connect("memory://").commit()
        """
        self._open_session()
        self._wrote = False

    def rollback(self) -> None:
        """Does nothing where nothing was written.

        :raises NotSupportedError: a statement has written since the last ``commit()``; it stays

        >>> connect("memory://").rollback()
        """
        self._open_session()
        if self._wrote:
            raise NotSupportedError(
                "what was written cannot be rolled back: every statement is committed when it returns",
                "older versions of a frame can be read with AT (VERSION => n)",
            )

    def close(self) -> None:
        """Closes the connection. Closing it twice is fine.

        >>> connection = connect("memory://"); connection.close(); connection.close()
        """
        session, self._session = self._session, None
        if session is not None:
            session.close()
            if self._own:
                self._apiary.shutdown()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


# ---- cursors ----

_READS = re.compile(r"(?:select|from|values|table|show|describe|desc|explain|summarize|use|set|reset|pragma)\b|\(", re.I)
_BEFORE = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)*", re.S)
_ROW = re.compile(r"(.*\bvalues\s*)(\((?:\s*\?\s*,)*\s*\?\s*\))\s*;?\s*", re.I | re.S)


def _writes(text: str, result: Result) -> bool:
    """Whether a text holds a statement whose effect stays."""
    if result.rows_changed >= 0:
        return True
    data = text.encode()
    for start, end, _ in _apiary.statements(text):
        statement = data[start:end].decode()
        statement = statement[_BEFORE.match(statement).end() :]  # type: ignore[union-attr]
        if not _READS.match(statement) and not re.match(r"with\b", statement, re.I):
            return True
    return False


class Cursor:
    """Runs statements and fetches their rows.

    >>> cursor = connect("memory://").cursor()
    >>> cursor.execute("SELECT 1 AS a").description[0][:2]
    ('a', 'int32')
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.arraysize = 1
        self.rownumber: int | None = None
        self._result: Result | None = None
        self._changed = -1
        self._closed = False

    # ---- running ----

    def execute(self, operation: str, parameters: Params = None) -> Cursor:
        """Runs a statement.

        :param parameters: values for ``?`` in order, or a dict for ``$name``
        :returns: the cursor itself
        :raises ProgrammingError: the statement is wrong

        >>> connect("memory://").cursor().execute("SELECT ? + 1", (41,)).fetchone()
        (42,)
        """
        session = self._session()
        self._result = None
        self.rownumber = None
        try:
            result = session._run(operation, parameters or None)
            self.connection._wrote |= _writes(operation, result)
        except _errors.Error as error:
            _raise(error)
        self._result = result
        self._changed = result.rows_changed
        self.rownumber = 0 if result.columns else None
        return self

    def executemany(self, operation: str, seq_of_parameters: Sequence[Params]) -> Cursor:
        """Runs a statement for each of the parameters. ``INSERT … VALUES (?, ?)`` is run for many rows at once:
        one commit for about ten thousand values.

        >>> cursor = connect("memory://").cursor().execute("CREATE FRAME t (a BIGINT)")
        >>> cursor.executemany("INSERT INTO t VALUES (?)", [(1,), (2,), (3,)]).rowcount
        3
        """
        self._session()
        rows = list(seq_of_parameters)
        changed = -1
        row = _ROW.fullmatch(operation)
        width = 0 if row is None else row[2].count("?")
        if row is not None and all(isinstance(values, Sequence) and len(values) == width for values in rows):
            step = max(1, VALUES_AT_ONCE // width)
            for at in range(0, len(rows), step):
                some = rows[at : at + step]
                self.execute(row[1] + ", ".join([row[2]] * len(some)), [value for values in some for value in values or ()])
                changed = max(0, changed) + self._changed
        else:
            for values in rows:
                self.execute(operation, values)
                changed = max(0, changed) + self._changed if self._changed >= 0 else changed
        self._result = None if changed >= 0 or not rows else self._result
        self._changed = changed
        return self

    # ---- fetching ----

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row, or None at the end.

        >>> connect("memory://").cursor().execute("SELECT 1").fetchone()
        (1,)
        """
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """The next `size` rows (default: ``arraysize``), fewer at the end.

        >>> connect("memory://").cursor().execute("SELECT * FROM range(9)").fetchmany(2)
        [(0,), (1,)]
        """
        result = self._rows()
        try:
            rows = result.fetchmany(self.arraysize if size is None else size)
        except _errors.Error as error:
            _raise(error)
        self.rownumber = (self.rownumber or 0) + len(rows)
        return rows

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows that are left.

        >>> connect("memory://").cursor().execute("SELECT * FROM range(2)").fetchall()
        [(0,), (1,)]
        """
        result = self._rows()
        try:
            rows = result.fetchall()
        except _errors.Error as error:
            _raise(error)
        self.rownumber = (self.rownumber or 0) + len(rows)
        return rows

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    # ---- what it is ----

    @property
    def description(self) -> list[tuple[str, str, None, None, int | None, int | None, bool | None]] | None:
        """(name, type word, None, None, precision, scale, None) of each column; None for a statement without rows.

        >>> connect("memory://").cursor().execute("SELECT 1.50 AS price").description[0][:6]
        ('price', 'decimal(3,2)', None, None, 3, 2)
        """
        if self._result is None or not self._result.columns:
            return None
        found: list[tuple[str, str, None, None, int | None, int | None, bool | None]] = []
        for name, word in zip(self._result.columns, self._result.schema.types):
            digits = re.fullmatch(r"decimal\((\d+),(\d+)\)", word)
            precision, scale = (int(digits[1]), int(digits[2])) if digits else (None, None)
            found.append((name, word, None, None, precision, scale, None))
        return found

    @property
    def rowcount(self) -> int:
        """Rows that the last statement wrote, or has; -1 where that is not known (yet).

        >>> connect("memory://").cursor().rowcount
        -1
        """
        if self._changed >= 0 or self._result is None or not self._result.columns:
            return self._changed
        return self._result._fetched if self._result._complete else -1

    def setinputsizes(self, sizes: Sequence[object]) -> None:
        """Does nothing, as PEP 249 allows.

        >>> connect("memory://").cursor().setinputsizes([])
        """

    def setoutputsize(self, size: int, column: int | None = None) -> None:
        """Does nothing, as PEP 249 allows.

        >>> connect("memory://").cursor().setoutputsize(10)
        """

    def close(self) -> None:
        """Closes the cursor; its rows are given up.

        >>> connect("memory://").cursor().close()
        """
        self._closed = True
        self._result = None

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _session(self) -> Session:
        if self._closed:
            raise InterfaceError("this cursor has been closed")
        return self.connection._open_session()

    def _rows(self) -> Result:
        self._session()
        if self._result is None or not self._result.columns:
            raise ProgrammingError("there are no rows to fetch: the last statement has none, or none was executed")
        return self._result

