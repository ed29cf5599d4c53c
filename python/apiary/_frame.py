"""Handles: ``db.hive("a").box("b").frame("c")`` and ``db["a.b.c"]``. They hold names and do no I/O."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._errors import UsageError
from ._schema import Schema, SchemaLike

if TYPE_CHECKING:
    from ._client import Statements
    from ._result import Result


class Hive:
    """A hive by name.

    >>> db.hive("main")
    Hive('main')
    """

    def __init__(self, owner: Statements, name: str) -> None:
        self._owner = owner
        self.name = name

    def create(self) -> Hive:
        """Creates it unless it is there.

        >>> db.hive("lab").create()
        Hive('lab')
        """
        self._owner.create_hive(self.name)
        return self

    def box(self, name: str) -> Box:
        """One of its boxes.

        >>> db.hive("main").box("main")
        Box('main.main')
        """
        return Box(self._owner, self.name, name)

    def boxes(self) -> list[str]:
        """Names of its boxes, sorted.

        >>> "main" in db.hive("main").boxes()
        True
        """
        return self._owner.list_boxes(self.name)

    def __repr__(self) -> str:
        return f"Hive({self.name!r})"


class Box:
    """A box by name.

    >>> db.hive("main").box("main").frame("t").name
    'main.main.t'
    """

    def __init__(self, owner: Statements, hive: str, name: str) -> None:
        self._owner = owner
        self._hive = hive
        self.name = f"{hive}.{name}"
        self._box = name

    def create(self) -> Box:
        """Creates it, and its hive, unless they are there.

        >>> db.hive("lab").box("raw").create()
        Box('lab.raw')
        """
        self._owner.create_hive(self._hive)
        self._owner.create_box(self._hive, self._box)
        return self

    def frame(self, name: str) -> Frame:
        """One of its frames.

        >>> db.hive("main").box("main").frame("t")
        Frame('main.main.t')
        """
        return Frame(self._owner, (self._hive, self._box, name))

    def frames(self) -> list[str]:
        """Names of its frames, sorted.

        >>> isinstance(db.hive("main").box("main").frames(), list)
        True
        """
        return self._owner.list_frames(self._hive, self._box)

    def __repr__(self) -> str:
        return f"Box({self.name!r})"


class Frame:
    """A frame by name, maybe at a version.

    >>> frame = db["main.main.temperatures"].create({"room": "string", "celsius": "double"})
    >>> _ = frame.overwrite([{"room": "lab", "celsius": 21.5}])
    >>> frame.read().fetchall()
    [('lab', 21.5)]
    """

    def __init__(
        self,
        owner: Statements,
        parts: tuple[str, ...],
        version: int | None = None,
        timestamp: datetime.datetime | None = None,
    ) -> None:
        for part in parts:
            if not isinstance(part, str) or not part or "." in part:
                raise UsageError(f"the name of a frame cannot have the part {part!r}")
        self._owner = owner
        self._parts = parts
        self._version = version
        self._timestamp = timestamp
        self.name = ".".join(parts)

    @property
    def _quoted(self) -> str:
        return ".".join('"' + part.replace('"', '""') + '"' for part in self._parts)

    def _now(self, what: str) -> None:
        if self._version is not None or self._timestamp is not None:
            raise UsageError(f"{what} works on the newest version of {self.name}, not on an older one")

    def create(self, schema: SchemaLike, partition_by: str | Iterable[str] | None = None) -> Frame:
        """Creates it unless the same one is there; the arguments of ``create_frame``.

        >>> db["main.main.numbers"].create({"n": "int"})
        Frame('main.main.numbers')
        """
        columns = [partition_by] if isinstance(partition_by, str) else list(partition_by or ())
        self._owner._seat().create_frame(self._quoted, Schema(schema), columns, True)
        return self

    def write(self, data: object, backpressure: str = "block") -> dict[str, Any]:
        """Appends data as ``write_to_frame`` does: columns that the frame lacks are dropped with a warning.

        >>> db["main.main.numbers"].create({"n": "int"}).write({"n": [1, 2]})["rows_written"]
        2
        """
        self._now("writing")
        return self._owner._write(self._quoted, data, False, backpressure)

    def append(self, data: object, backpressure: str = "block", merge_schema: bool = False) -> dict[str, Any]:
        """Appends data; a column that the frame lacks is an error, or is added with ``merge_schema``.

        >>> db["main.main.numbers"].create({"n": "int"}).append({"n": [3]})["rows_written"]
        1
        """
        self._now("writing")
        return self._owner._write(self._quoted, data, False, backpressure, strict=True, merge_schema=merge_schema)

    def overwrite(self, data: object, backpressure: str = "block") -> dict[str, Any]:
        """Replaces all rows in one commit.

        >>> db["main.main.numbers"].create({"n": "int"}).overwrite({"n": [7]})["rows_written"]
        1
        """
        self._now("writing")
        return self._owner._write(self._quoted, data, True, backpressure)

    def read(
        self, columns: Sequence[str] | None = None, where: Mapping[str, Any] | None = None, *, version: int | None = None
    ) -> Result:
        """Rows, lazily. `where`: column to value or to a list of values.

        >>> _ = db["main.main.numbers"].create({"n": "int"}).overwrite({"n": [7, 8]})
        >>> db["main.main.numbers"].read(where={"n": 8}).fetchall()
        [(8,)]
        """
        chosen = self._version if version is None else version
        return self._owner._read(self._quoted, where, columns, chosen, self._timestamp if version is None else None)

    def at(self, *, version: int | None = None, timestamp: datetime.datetime | None = None) -> Frame:
        """The frame as it was at a version or at a time.

        >>> frame = db["main.main.numbers"].create({"n": "int"})
        >>> frame.at(version=0).read().fetchall()
        []
        """
        if (version is None) == (timestamp is None):
            raise UsageError("at() takes a version or a timestamp")
        return Frame(self._owner, self._parts, version, timestamp)

    @property
    def schema(self) -> Schema:
        """Columns and types.

        >>> db["main.main.numbers"].create({"n": "int"}).schema
        Schema({'n': 'int64'})
        """
        if self._version is not None or self._timestamp is not None:
            return self._owner._run(
                f"SELECT * FROM {self._quoted}{self._at()} LIMIT 0"
            ).schema
        from ._client import _schema_of

        return _schema_of(json.loads(self._owner._seat().frame_info(self._quoted, False)))

    def _at(self) -> str:
        from ._client import literal

        if self._version is not None:
            return f" AT (VERSION => {self._version})"
        return "" if self._timestamp is None else f" AT (TIMESTAMP => {literal(self._timestamp)})"

    def info(self) -> dict[str, Any]:
        """What ``get_frame`` tells.

        >>> db["main.main.numbers"].create({"n": "int"}).info()["partition_by"]
        []
        """
        from ._client import _frame_info

        return _frame_info(self._owner._seat().frame_info(self._quoted, False))

    def history(self) -> list[dict[str, Any]]:
        """Its versions, newest first: ``version``, ``timestamp``, ``operation``, ``parameters``, ``metrics``, …

        >>> db["main.main.numbers"].create({"n": "int"}).history()[-1]["version"]
        0
        """
        return self._owner._run(f"SHOW HISTORY {self._quoted}").to_pylist()

    def count(self) -> int:
        """How many rows it has.

        >>> db["main.main.empty"].create({"n": "int"}).count()
        0
        """
        return int(self._owner._run(f"SELECT count(*) FROM {self._quoted}{self._at()}").scalar())

    def drop(self, *, if_exists: bool = False) -> None:
        """Drops it.

        >>> db["main.main.gone"].create({"n": "int"}).drop()
        """
        self._now("dropping")
        self._owner._run(f"DROP FRAME {'IF EXISTS ' if if_exists else ''}{self._quoted}", quiet=if_exists)

    def __repr__(self) -> str:
        at = "" if self._version is None else f", version={self._version}"
        at += "" if self._timestamp is None else f", timestamp={self._timestamp.isoformat()!r}"
        return f"Frame({self.name!r}{at})"
