"""Apiary: one SQL engine over shared open tables, with object storage as the only coordination.

>>> import apiary
>>> with apiary.open("memory://") as db:
...     _ = db.sql("CREATE FRAME t AS SELECT 1 AS a")
...     db.sql("SELECT * FROM t").fetchall()
[(1,)]

The command ``%load_ext apiary`` gives notebooks the cell magic ``%%apiary``; ``apiary.dbapi`` is the
DB-API 2.0 module.
"""

from __future__ import annotations

from typing import Any

from . import _apiary
from ._client import Apiary, Session, open
from ._errors import (
    AbandonedError,
    ApiaryWarning,
    BusyError,
    CancelledError,
    ChamberError,
    ConfigError,
    ConflictError,
    CorruptError,
    DeniedError,
    Error,
    ExistsError,
    FullError,
    InternalError,
    LimitError,
    MemoryBudgetError,
    NotFoundError,
    NotSupportedError,
    QueryTimeoutError,
    SchemaError,
    SQLError,
    StorageError,
    UncertainError,
    UsageError,
)
from ._frame import Box, Frame, Hive
from ._result import Result
from ._schema import Schema
from ._types import Interval

__version__: str = _apiary.version

__all__ = [
    "AbandonedError",
    "Apiary",
    "ApiaryWarning",
    "Box",
    "BusyError",
    "CancelledError",
    "ChamberError",
    "ConfigError",
    "ConflictError",
    "CorruptError",
    "DeniedError",
    "Error",
    "ExistsError",
    "Frame",
    "FullError",
    "Hive",
    "InternalError",
    "Interval",
    "LimitError",
    "MemoryBudgetError",
    "NotFoundError",
    "NotSupportedError",
    "QueryTimeoutError",
    "Result",
    "SQLError",
    "Schema",
    "SchemaError",
    "Session",
    "StorageError",
    "UncertainError",
    "UsageError",
    "open",
]


def load_ipython_extension(shell: Any) -> None:
    """Called by ``%load_ext apiary``."""
    from .magic import register

    register(shell)
