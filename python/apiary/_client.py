"""Apiary and its sessions: what users call."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from . import _apiary, _data, _progress
from ._errors import ApiaryWarning, ConflictError, NotSupportedError, SchemaError, UsageError
from ._frame import Frame, Hive
from ._result import Result
from ._schema import Schema, SchemaLike

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Params = Union[Sequence[Any], Mapping[str, Any], None]
RESULT_SHARE = 4  # an unread result may keep a quarter of the memory budget when the next statement begins


def quote(name: str) -> str:
    """A name as SQL has it.

    >>> quote('a"b')
    '"a""b"'
    """
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A value as SQL has it, in a form that prunes partitions.

    >>> literal("it's"), literal(3), literal(datetime.date(2024, 1, 2))
    ("'it''s'", '3', "DATE '2024-01-02'")
    """
    if value is None:
        return "NULL"
    if hasattr(value, "item") and hasattr(value, "dtype"):
        value = value.item()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"CAST('{value!r}' AS DOUBLE)"
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return f"{'TIMESTAMP' if value.tzinfo is None else 'TIMESTAMPTZ'} '{value.isoformat(' ')}'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    raise UsageError(f"a value of type {type(value).__name__} cannot stand in a filter")


def _checked(name: object, what: str) -> str:
    if not isinstance(name, str):
        raise UsageError(f"the name of a {what} is a text, not {name!r}")
    if not name:
        raise UsageError(f"the name of a {what} is empty")
    if "." in name:
        raise UsageError(f"the name of a {what} cannot hold a dot: '{name}'")
    return name


def _quoted(hive: str, box: str | None = None, frame: str | None = None) -> str:
    parts = [_checked(hive, "hive")]
    if box is not None:
        parts.append(_checked(box, "box"))
    if frame is not None:
        parts.append(_checked(frame, "frame"))
    return ".".join(quote(part) for part in parts)


def _condition(column: str, value: object) -> str:
    name = quote(column)
    if value is None:
        return f"{name} IS NULL"
    if isinstance(value, (list, tuple, set, frozenset)):
        there = [item for item in value if item is not None]
        tests = [f"{name} IN ({', '.join(literal(item) for item in there)})"] if there else []
        tests += [f"{name} IS NULL"] if len(there) < len(value) else []
        return "(" + " OR ".join(tests) + ")" if tests else "FALSE"
    return f"{name} = {literal(value)}"


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value)


class Statements:
    """What can be done over a session: the methods that :class:`Apiary` and :class:`Session` share.

    Methods take names of hive, box and frame apart; statements and ``db["hive.box.frame"]`` take
    them with dots. All raise subclasses of :class:`apiary.Error`.
    """

    _replacement_scan: bool = True
    _progress: bool | None = None

    def _seat(self) -> _apiary.Session:
        raise NotImplementedError

    # ---- SQL ----

    def sql(
        self,
        query: str,
        params: Params = None,
        *,
        tables: Mapping[str, object] | None = None,
        replacement_scan: bool | None = None,
        progress: bool | Callable[[float, int, int], object] | None = None,
    ) -> Result:
        """Runs the statements of a text in order and gives the result of the last one.

        :param query: one statement, or several with semicolons between them
        :param params: values for ``?`` (a sequence) or ``$name`` (a dict): None, bool, int, float, str,
            bytes, date, datetime, time, Decimal, UUID, lists of these
        :param tables: tables for this call alone: name to anything that speaks Arrow
        :param replacement_scan: whether names that no frame has are looked up among the variables of
            the caller that speak Arrow (pandas, Polars, pyarrow …); default as given to ``open``
        :param progress: True or False for the bar, or a function of (fraction or -1, rows, bytes)
        :returns: a lazy :class:`Result`
        :raises SQLError: the statement is wrong
        :raises NotFoundError: a name in it is not there
        :raises Error: whatever else went wrong; ``error.code`` says what

        >>> db.sql("SELECT $x + 1 AS y", {"x": 41}).scalar()
        42
        >>> prices = pyarrow.table({"price": [1.5, 2.5]})
        >>> db.sql("SELECT sum(price) FROM prices").scalar()
        4.0
        """
        scan = self._replacement_scan if replacement_scan is None else replacement_scan
        find = None
        if scan:
            caller = sys._getframe(1)
            find = finder(caller.f_locals, caller.f_globals)
        return self._run(query, params, tables, find, progress)

    def _run(
        self,
        query: str,
        params: Params = None,
        tables: Mapping[str, object] | None = None,
        find: Callable[[str], object | None] | None = None,
        progress: bool | Callable[[float, int, int], object] | None = None,
        *,
        quiet: bool = False,
    ) -> Result:
        if not isinstance(query, str):
            raise UsageError(f"a statement is a text, not a {type(query).__name__}")
        given = None if not tables else {str(name): _data.table(value) for name, value in tables.items()}
        with _Watched(self._progress if progress is None else progress) as watch:
            result = self._seat().sql(Result, query, params, given, find, watch)
        for notice in () if quiet else result.notices:
            warnings.warn(notice, ApiaryWarning, stacklevel=3)
        return result

    def _names(self, query: str, column: int) -> list[str]:
        return sorted(row[column] for row in self._run(query))

    def cancel(self) -> None:
        """Asks the running statement of this thread's session to stop. For another thread's, hold its session().

        >>> db.cancel()
        """
        self._seat().cancel()

    # ---- hives, boxes ----

    def create_hive(self, name: str) -> None:
        """Creates a hive (a database) unless it is there.

        >>> db.create_hive("lab")
        >>> "lab" in db.list_hives()
        True
        """
        self._run(f"CREATE HIVE IF NOT EXISTS {_quoted(name)}", quiet=True)

    def create_box(self, hive: str, name: str) -> None:
        """Creates a box (a schema) in a hive unless it is there.

        :raises NotFoundError: there is no such hive

        >>> db.create_box("main", "sensors")
        """
        self._run(f"CREATE BOX IF NOT EXISTS {_quoted(hive, name)}", quiet=True)

    def list_hives(self) -> list[str]:
        """Names of all hives, sorted.

        >>> "main" in db.list_hives()
        True
        """
        return self._names("SHOW HIVES", 0)

    def list_boxes(self, hive: str) -> list[str]:
        """Names of the boxes of a hive, sorted.

        >>> "main" in db.list_boxes("main")
        True
        """
        return self._names(f"SHOW BOXES IN {_quoted(hive)}", 1)

    def list_frames(self, hive: str, box_name: str) -> list[str]:
        """Names of the frames of a box, sorted; views are not among them.

        >>> db.create_frame("main", "main", "readings", {"id": "int", "value": "double"})
        >>> "readings" in db.list_frames("main", "main")
        True
        """
        rows = self._run(f"SHOW FRAMES IN {_quoted(hive, box_name)}")
        return sorted(row[2] for row in rows if row[3] == "frame")

    def drop_hive(self, name: str, *, cascade: bool = False, if_exists: bool = False) -> None:
        """Drops a hive. With boxes in it that hold frames only with ``cascade``.

        >>> db.create_hive("old"); db.drop_hive("old", cascade=True)
        """
        self._drop("HIVE", _quoted(name), cascade, if_exists)

    def drop_box(self, hive: str, name: str, *, cascade: bool = False, if_exists: bool = False) -> None:
        """Drops a box. With frames in it only with ``cascade``.

        >>> db.create_box("main", "old"); db.drop_box("main", "old")
        """
        self._drop("BOX", _quoted(hive, name), cascade, if_exists)

    def drop_frame(self, hive: str, box_name: str, name: str, *, if_exists: bool = False) -> None:
        """Drops a frame. Until a vacuum, ``UNDROP FRAME`` brings it back.

        >>> db.drop_frame("main", "main", "no_such_frame", if_exists=True)
        """
        self._drop("FRAME", _quoted(hive, box_name, name), False, if_exists)

    def _drop(self, what: str, name: str, cascade: bool, if_exists: bool) -> None:
        self._run(f"DROP {what} {'IF EXISTS ' if if_exists else ''}{name}{' CASCADE' if cascade else ''}", quiet=if_exists)

    def rename_hive(self, name: str, new_name: str) -> None:
        """Renames a hive.

        >>> db.create_hive("draft"); db.rename_hive("draft", "done"); db.drop_hive("done", cascade=True)
        """
        self._run(f"ALTER HIVE {_quoted(name)} RENAME TO {quote(_checked(new_name, 'hive'))}")

    def rename_box(self, hive: str, name: str, new_name: str) -> None:
        """Renames a box within its hive.

        >>> db.create_box("main", "draft"); db.rename_box("main", "draft", "done"); db.drop_box("main", "done")
        """
        self._run(f"ALTER BOX {_quoted(hive, name)} RENAME TO {quote(_checked(new_name, 'box'))}")

    def rename_frame(self, hive: str, box_name: str, name: str, new_name: str) -> None:
        """Renames a frame within its box.

        >>> db.create_frame("main", "main", "draft", {"a": "int"})
        >>> db.rename_frame("main", "main", "draft", "done"); db.drop_frame("main", "main", "done")
        """
        self._run(f"ALTER FRAME {_quoted(hive, box_name, name)} RENAME TO {quote(_checked(new_name, 'frame'))}")

    # ---- frames ----

    def create_frame(
        self, hive: str, box_name: str, name: str, schema: SchemaLike, partition_by: str | Iterable[str] | None = None
    ) -> None:
        """Creates a frame (a table) unless the same one is there.

        :param schema: dict of column to type word (see :class:`Schema`), a pyarrow schema, or anything
            with ``__arrow_c_schema__``
        :param partition_by: columns to partition by
        :raises ExistsError: there is one with another schema or partitioning
        :raises SchemaError: a type word is unknown, or a type cannot be stored

        >>> db.create_frame("main", "main", "events", {"day": "date", "n": "int"}, partition_by=["day"])
        >>> db.get_frame("main", "main", "events")["schema"]
        {'day': 'date', 'n': 'int64'}
        """
        columns = [partition_by] if isinstance(partition_by, str) else list(partition_by or ())
        self._seat().create_frame(_quoted(hive, box_name, name), _arrow(schema), columns, True)

    def get_frame(self, hive: str, box_name: str, name: str) -> dict[str, Any]:
        """What is known of a frame: ``schema`` (dict of column to type word), ``partition_by``, ``max_partitions``,
        ``created_at`` (datetime, UTC), ``cell_count``, ``row_count`` (None if the ledger does not tell),
        ``total_bytes``, ``version``, ``name``, ``location``, ``properties``, ``nullable`` (dict of column to bool).

        :raises NotFoundError: there is no such frame

        >>> db.create_frame("main", "main", "events", {"day": "date", "n": "int"}, partition_by=["day"])
        >>> db.get_frame("main", "main", "events")["partition_by"]
        ['day']
        """
        return _frame_info(self._seat().frame_info(_quoted(hive, box_name, name), False))

    def write_to_frame(
        self, hive: str, box_name: str, frame_name: str, data: object, backpressure: str = "block"
    ) -> dict[str, Any]:
        """Appends data to a frame in one commit.

        :param data: Arrow IPC stream bytes, anything that speaks Arrow, pandas, Polars, a list of dicts, a
            dict of columns (lists, NumPy), or an iterator of these, of any length, in bounded memory. It is
            copied once, into the shared memory of a sealed chamber.
        :param backpressure: what to do when the colony is hot: "block", "error" or "ignore"
        :returns: ``version``, ``cells_written``, ``rows_written``, ``bytes_written``, ``duration_ms``,
            ``temperature``, ``notices``
        :raises SchemaError: a value or a type does not fit, or a partition column has a NULL.
            Columns that the frame lacks are dropped with a warning.
        :raises NotFoundError: there is no such frame

        >>> db.create_frame("main", "main", "points", {"x": "int", "y": "double"})
        >>> db.write_to_frame("main", "main", "points", [{"x": 1, "y": 2.5}])["rows_written"]
        1
        """
        return self._write(_quoted(hive, box_name, frame_name), data, False, backpressure)

    def overwrite_frame(
        self, hive: str, box_name: str, frame_name: str, data: object, backpressure: str = "block"
    ) -> dict[str, Any]:
        """Replaces all rows of a frame in one commit; readers see the old rows or the new ones.
        Arguments, result and errors are those of :meth:`write_to_frame`.

        >>> db.create_frame("main", "main", "points", {"x": "int", "y": "double"})
        >>> info = db.overwrite_frame("main", "main", "points", {"x": [1, 2], "y": [0.5, None]})
        >>> db.sql("SELECT count(*) FROM points").scalar()
        2
        """
        return self._write(_quoted(hive, box_name, frame_name), data, True, backpressure)

    def _write(
        self,
        name: str,
        data: object,
        overwrite: bool,
        backpressure: str | None,
        *,
        strict: bool = False,
        merge_schema: bool = False,
    ) -> dict[str, Any]:
        data = _data.kept(data, appends=not overwrite)
        types = _Types(self._seat(), name, isinstance(data, _data.Kept))
        begun = False

        def write() -> str:
            nonlocal begun
            begun = False
            source = _data.source(data, types.schema)
            begun = True
            try:
                with _Watched(self._progress) as watch:
                    return types.seat.write(
                        name, source.stream, overwrite, backpressure, not strict and not merge_schema, not strict, merge_schema, types.id, watch
                    )
            except RuntimeError:
                if source.errors:  # the data source raised: that is what the user wants to see
                    raise source.errors[0] from None
                raise

        text = None
        while text is None:
            try:
                text = write()
            except (SchemaError, NotSupportedError, ConflictError) as error:
                # an overwrite replaces what was there when it began: it does not begin again over what others wrote meanwhile
                if overwrite and begun and error.hint != _apiary.hint_other_schema:
                    raise
                if not types.changed():
                    raise
        written: dict[str, Any] = json.loads(text)
        for notice in written.get("notices", ()):
            warnings.warn(notice, ApiaryWarning, stacklevel=3)
        return written

    def read_from_frame(
        self,
        hive: str,
        box_name: str,
        frame_name: str,
        partition_filter: Mapping[str, Any] | None = None,
        columns: Sequence[str] | None = None,
        version: int | None = None,
    ) -> Result:
        """Rows of a frame.

        :param partition_filter: column to value, or to a list of values; None stands for NULL. All must hold.
        :param columns: which columns, in which order; default all
        :param version: as of this version; default the newest
        :returns: a lazy :class:`Result`; an empty frame gives no rows with the right schema

        >>> db.create_frame("main", "main", "points", {"x": "int", "y": "double"})
        >>> info = db.overwrite_frame("main", "main", "points", {"x": [1, 2], "y": [0.5, None]})
        >>> db.read_from_frame("main", "main", "points", {"x": 2}, columns=["y"]).fetchall()
        [(None,)]
        """
        return self._read(_quoted(hive, box_name, frame_name), partition_filter, columns, version, None)

    def _read(
        self,
        name: str,
        where: Mapping[str, Any] | None,
        columns: Sequence[str] | None,
        version: int | None,
        timestamp: datetime.datetime | None,
    ) -> Result:
        if isinstance(columns, str):
            raise UsageError(f"columns is a list of names, not the text '{columns}'")
        if columns is not None and not columns:
            raise UsageError("columns is an empty list")
        chosen = "*" if columns is None else ", ".join(quote(str(column)) for column in columns)
        at = "" if version is None else f" AT (VERSION => {int(version)})"
        if timestamp is not None:
            at = f" AT (TIMESTAMP => {literal(timestamp)})"
        tests = " AND ".join(_condition(column, value) for column, value in (where or {}).items())
        return self._run(f"SELECT {chosen} FROM {name}{at}{' WHERE ' + tests if tests else ''}")

    def import_files(
        self,
        frame: str,
        *paths: str | os.PathLike[str],
        format: str | None = None,
        partition_by: Iterable[str] = (),
        overwrite: bool = False,
        keep_names: bool = False,
    ) -> dict[str, Any]:
        """Reads CSV, JSON or Parquet files (or globs) into a frame in one commit, creating it where it is missing.

        :param frame: "hive.box.frame" or shorter
        :returns: as :meth:`write_to_frame`, and ``created``; ``version`` is None where another node made
            the commit and it is not known which version it became

        >>> path = tmp / "cities.csv"
        >>> _ = path.write_text("name,people\\nBern,134000\\n")
        >>> db.import_files("cities", path)["created"]
        True
        """
        listed = [os.path.expanduser(os.fspath(path)) for path in paths]
        with _Watched(self._progress) as watch:
            text = self._seat().import_files(frame, listed, format, list(partition_by), keep_names, overwrite, watch)
        done: dict[str, Any] = json.loads(text)
        return done

    # ---- handles ----

    def hive(self, name: str) -> Hive:
        """A hive, to go on from: ``db.hive("a").box("b").frame("c")``.

        >>> db.hive("main").box("main").frame("points")
        Frame('main.main.points')
        """
        return Hive(self, _checked(name, "hive"))

    def __getitem__(self, name: str) -> Frame:
        parts = name.split(".") if isinstance(name, str) else []
        if not 1 <= len(parts) <= 3:
            raise UsageError(f"a frame is named \"hive.box.frame\" or shorter, not {name!r}")
        return Frame(self, tuple(_checked(part, "frame") for part in parts))

    # ---- other words for the same ----

    def create_database(self, name: str) -> None:
        """Another word for :meth:`create_hive`."""
        self.create_hive(name)

    def create_schema(self, hive: str, name: str) -> None:
        """Another word for :meth:`create_box`."""
        self.create_box(hive, name)

    def create_table(
        self, hive: str, box_name: str, name: str, schema: SchemaLike, partition_by: str | Iterable[str] | None = None
    ) -> None:
        """Another word for :meth:`create_frame`."""
        self.create_frame(hive, box_name, name, schema, partition_by)

    def list_databases(self) -> list[str]:
        """Another word for :meth:`list_hives`."""
        return self.list_hives()

    def list_schemas(self, hive: str) -> list[str]:
        """Another word for :meth:`list_boxes`."""
        return self.list_boxes(hive)

    def list_tables(self, hive: str, box_name: str) -> list[str]:
        """Another word for :meth:`list_frames`."""
        return self.list_frames(hive, box_name)

    def get_table(self, hive: str, box_name: str, name: str) -> dict[str, Any]:
        """Another word for :meth:`get_frame`."""
        return self.get_frame(hive, box_name, name)


class Session(Statements):
    """A session of its own: current hive and box, settings, temporary views. Made by :meth:`Apiary.session`.

    It runs one statement at a time and may be handed from thread to thread.

    >>> with db.session() as session:
    ...     _ = session.sql("CREATE TEMP VIEW small AS SELECT * FROM range(3)")
    ...     session.sql("SELECT count(*) FROM small").scalar()
    3
    """

    def __init__(self, apiary: Apiary, seat: _apiary.Session) -> None:
        self._replacement_scan = apiary._replacement_scan
        self._progress = apiary._progress
        self._own: _apiary.Session | None = seat

    def _seat(self) -> _apiary.Session:
        if self._own is None:
            raise UsageError("this session has been closed")
        return self._own

    def close(self) -> None:
        """Ends the session. What results fetched stays.

        >>> session = db.session()
        >>> session.close()
        """
        self._own = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Apiary(Statements):
    """A node: one storage root and the bees of this process over it.

    Constructing does no I/O. ``start()`` opens the storage, joins the swarm and has written the first
    heartbeat when it returns; ``shutdown()`` cancels what runs, leaves the swarm and ends all
    chambers. Use it from any number of threads: each has a session of its own (current hive and box,
    settings, temporary views). For work without joining the swarm: :func:`apiary.open`.

    :param name: the node's name; without ``storage`` (and without the setting) also that of its local store
    :param storage: a directory ("data", "~/data", "local:///data"), "memory://", or a bucket URI
    :param replacement_scan: whether statements find the caller's variables that speak Arrow
    :param progress: True or False; default: a bar where somebody watches
    :param settings: settings as in docs/configuration.md, such as ``memory_limit="2GB"``, ``bees=2``

    >>> node = apiary.Apiary("doc-node", storage=tmp / "swarm", bees=1, memory_limit="512MB")
    >>> with node:
    ...     node.swarm_status()["alive"]
    1
    """

    def __init__(
        self,
        name: str = "apiary",
        storage: str | os.PathLike[str] | None = None,
        *,
        replacement_scan: bool = True,
        progress: bool | None = None,
        **settings: object,
    ) -> None:
        if not isinstance(name, str) or not name or any(c in name for c in "/\\\0"):
            raise UsageError(f"{name!r} cannot be the name of a node")
        self.name = name
        self._storage = None if storage is None else os.fspath(storage)
        self._replacement_scan = replacement_scan
        self._progress = progress
        self._settings = {key: _setting(value) for key, value in settings.items() if value is not None}
        self._joins = True
        self._lock = threading.Lock()
        self._handle: _apiary.Handle | None = None
        self._started = False
        self._local = threading.local()
        self._keep_bytes = 0

    # ---- life ----

    def start(self) -> Apiary:
        """Opens the storage and joins the swarm. Starting twice is fine.

        :returns: the node itself

        >>> node = apiary.Apiary("doc-start", storage="memory://").start()
        >>> node.status()["state"]
        'running'
        >>> node.shutdown()
        """
        with self._lock:
            if self._handle is None:
                self._open()
            assert self._handle is not None
            if self._joins and not self._started:
                try:
                    self._handle.node_start(self.name)
                except BaseException:
                    handle, self._handle = self._handle, None
                    handle.close()
                    raise
                self._started = True
        return self

    def _open(self) -> None:
        handle = _apiary.Handle(self._storage, self._settings)
        if self._storage is None and self._joins:
            config = {row["key"]: row for row in json.loads(handle.status("config"))}
            if config["storage"]["origin"] == "default":  # local, by name
                handle.close()
                handle = _apiary.Handle(_default_storage(self.name), self._settings)
        limit = float(json.loads(handle.status("status"))["memory_limit_mb"])
        self._keep_bytes = int(limit * 1024 * 1024) // RESULT_SHARE
        self._handle = handle
        self._local = threading.local()

    def shutdown(self) -> None:
        """Cancels what runs, leaves the swarm, ends the chambers. Doing it twice, or without start(), is fine.
        Results keep what they fetched.

        >>> node = apiary.Apiary("doc-node"); node.shutdown(); node.shutdown()
        """
        with self._lock:
            handle, started = self._handle, self._started
            self._handle, self._started = None, False
            self._local = threading.local()
        if handle is None or handle.owner_pid != os.getpid():
            return
        try:
            if started:
                handle.node_stop()
        finally:
            handle.close()

    close = shutdown

    def __enter__(self) -> Apiary:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        state = "not started" if self._handle is None else "started" if self._started else "open"
        return f"<Apiary '{self.name}' {self._storage or 'local'} {state}>"

    # ---- sessions ----

    def _opened(self) -> _apiary.Handle:
        handle = self._handle
        if handle is None:
            raise UsageError(f"Apiary '{self.name}' is not running", "call start() first, or use it in a with statement")
        return handle

    def _seat(self) -> _apiary.Session:
        handle = self._opened()
        local = self._local
        seat: _apiary.Session | None = getattr(local, "seat", None)
        if seat is None:
            seat = handle.session(self._keep_bytes)
            local.seat = seat
        return seat

    def session(self) -> Session:
        """A session of its own, beside that of this thread.

        >>> db.session().sql("SELECT 1").scalar()
        1
        """
        return Session(self, self._opened().session(self._keep_bytes))

    # ---- other engines ----

    def spark(self, config: Mapping[str, object] | None = None, *, hives: str | Iterable[str] | None = None) -> SparkSession:
        """A Spark session in which every frame is a table. Needs PySpark, Delta's library for it and Java (docs/outgrowing.md).

        A frame of hive ``main`` is called ``box.frame`` there, one of another hive ``hive__box.frame``, with ``_`` for
        each ``-``. Tables are looked up by their LOCATION: Spark reads what is newest, and writes with Delta's own rules. Call
        it again after frames were created, dropped or renamed; the session that runs is used again. Views are left
        out, and a warning names what is left out. For stores in a directory and on S3.

        :param config: Spark's settings, such as ``{"spark.master": "local[2]"}``; with ``spark.jars`` or ``spark.jars.packages`` for
            Delta's library, where it is neither in Spark's ``jars`` nor installed as ``delta-spark`` by pip
        :param hives: only the frames of these hives; default all
        :returns: the SparkSession; ``stop()`` it when done
        :raises NotSupportedError: PySpark, Java or Delta's library is missing; the hint says what to install
        :raises UsageError: the store is in memory, or a session runs that was started without Delta

        >>> spark = db.spark({"spark.master": "local[2]"})  # doctest: +SKIP
        >>> spark.sql("SELECT count(*) FROM main.points").collect()  # doctest: +SKIP
        """
        from . import _spark

        return _spark.session(self, config or {}, hives)

    # ---- status ----

    def status(self) -> dict[str, Any]:
        """This node: ``name``, ``node_id``, ``cores``, ``memory_gb``, ``bees``, ``storage``, ``memory_per_bee_mb``,
        ``memory_limit_mb``, ``target_cell_size_mb``, ``state`` ("running" in a swarm, "ready" else), ``version``.

        >>> db.status()["state"]
        'ready'
        """
        return self._status("status")

    def bee_status(self) -> list[dict[str, Any]]:
        """Each bee: ``bee_id`` ("bee-0" …), ``state``, ``memory_used`` and ``memory_budget`` in bytes, ``memory_peak``, ``pid``
        and ``seal`` ("full", "partial", "engine-only", "" before it has a chamber), ``task`` (the beginning of the statement that it
        works on, or which part of a shared one; "" for none); and "guest" while a small statement works
        beside them in the place that is kept for it.

        >>> db.bee_status()[0]["bee_id"]
        'bee-0'
        """
        bees: list[dict[str, Any]] = json.loads(self._opened().status("bees"))
        return bees

    def swarm_status(self) -> dict[str, Any]:
        """The swarm as the store shows it: ``nodes`` (list of ``node_id``, ``name``, ``state``, ``bees``, ``idle_bees``,
        ``memory_pressure``, ``colony_temperature``), ``alive``, ``total_bees``, ``total_idle_bees``, ``total_memory_gb``.

        >>> db.swarm_status()["nodes"]
        []
        """
        return self._status("swarm")

    def colony_status(self) -> dict[str, Any]:
        """The colony: ``temperature`` (0 to 1), ``regulation`` ("cold" to "critical"), ``setpoint``, ``abandoned_tasks``.

        >>> db.colony_status()["setpoint"]
        0.5
        """
        return self._status("colony")

    def config(self) -> list[dict[str, str]]:
        """Every setting: ``key``, ``value``, ``origin`` (where the value came from), ``meaning``.

        >>> [row["value"] for row in db.config() if row["key"] == "timezone"]
        ['UTC']
        """
        rows: list[dict[str, str]] = json.loads(self._opened().status("config"))
        return rows

    def _status(self, what: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._opened().status(what))
        if what == "status" and self._started:
            told["name"] = self.name
        return told


def open(
    storage: str | os.PathLike[str] | None = None,
    *,
    replacement_scan: bool = True,
    progress: bool | None = None,
    **settings: object,
) -> Apiary:
    """Opens a storage root to work with, without joining the swarm. Use it in a ``with`` statement.

    :param storage: a directory ("data", "~/data", "local:///data"), "memory://", or a bucket URI; default
        the setting ``storage``, else a directory of the user
    :param replacement_scan: whether statements find the caller's variables that speak Arrow
    :param progress: True or False; default: a bar where somebody watches
    :param settings: settings as in docs/configuration.md, such as ``memory_limit="2GB"``, ``bees=2``
    :raises ConfigError: a setting is unknown or wrong
    :raises StorageError: the storage cannot be reached

    >>> with apiary.open("memory://") as db:
    ...     db.sql("SELECT 42 AS answer").scalar()
    42
    """
    apiary = Apiary("apiary", storage, replacement_scan=replacement_scan, progress=progress, **settings)
    apiary._joins = False
    return apiary.start()


# ---- the parts ----


class _Watched:
    """The progress function of one call, and its bar put away at the end."""

    def __init__(self, wish: bool | Callable[[float, int, int], object] | None) -> None:
        self._bar: _progress.Bar | None = None
        self._call: Callable[[float, int, int], object] | None = None
        if callable(wish):
            self._call = wish
        elif wish or (wish is None and _progress.wanted()):
            self._call = self._bar = _progress.Bar()

    def __enter__(self) -> Callable[[float, int, int], object] | None:
        return self._call

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


def finder(*scopes: Mapping[str, object]) -> Callable[[str], object | None]:
    """Looks a name up among variables, as it is spelled, then in any case."""

    def find(name: str) -> object | None:
        for variables in scopes:
            for key in (name, *(key for key in variables if key != name and key.lower() == name.lower())):
                value = variables.get(key)
                if value is not None and _data.speaks_arrow(value):
                    return _data.table(value)
        return None

    return find


def _arrow(schema: SchemaLike) -> object:
    return schema if isinstance(schema, _apiary.ArrowSchema) else Schema(schema)


class _Types:
    """The types that Python values of a write are made for: those that this process knew last. The write says whether the frame
    still has them. Where the values cannot be made twice, the frame is asked."""

    TRIES = 5

    def __init__(self, seat: _apiary.Session, name: str, known: bool) -> None:
        self.seat = seat
        self.id: str | None = None
        self._name = name
        self._known = known
        self._info: dict[str, Any] | None = None
        self._asked = 0

    def schema(self) -> Schema:
        if self._info is None:
            self._info = json.loads(self.seat.frame_info(self._name, self._known))
        if self._known:
            self.id = self._info["schema_id"]
        return _schema_of(self._info)

    def changed(self) -> bool:
        """A write failed: was it made for other types than the frame has by now? Then it is worth another try, for those."""
        if self._info is None or not self._known or self._asked == self.TRIES:
            return False
        before, self._info = self._info, json.loads(self.seat.frame_info(self._name, False))
        self._asked += 1
        return bool(self._info["schema_id"] != before["schema_id"])


def _schema_of(info: Mapping[str, Any]) -> Schema:
    return Schema.of_frame((column["name"], column["type"], column["nullable"]) for column in info["schema"])


def _frame_info(text: str) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(text)
    columns = info["schema"]
    del info["schema_id"]
    info["schema"] = dict(_schema_of(info))
    info["nullable"] = {column["name"]: column["nullable"] for column in columns}
    info["created_at"] = datetime.datetime.fromtimestamp(info["created_at"], datetime.timezone.utc)
    return info


def _default_storage(name: str) -> str:
    base = os.environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(base, "apiary-nodes", name)
