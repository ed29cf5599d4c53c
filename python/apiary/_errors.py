"""Errors: one hierarchy under :class:`Error`, one class for each code of the library.

``str(error)`` is one line in the user's words; ``error.code`` is the code's name
(``"NOT_FOUND"``), to branch on; ``error.hint`` says what to do, or is empty.
"""

from __future__ import annotations


class Error(RuntimeError):
    """Whatever Apiary reports.

    :ivar code: name of the code, as in the table of docs/errors.md
    :ivar hint: what to do about it, or ""

    >>> try:
    ...     db.sql("SELECT * FROM nowhere")
    ... except apiary.Error as error:
    ...     print(error.code)
    NOT_FOUND
    """

    code: str = "INTERNAL"
    hint: str = ""

    def __init__(self, message: str = "", hint: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if code is not None:
            self.code = code
        if hint:
            self.add_note(f"hint: {hint}")

    def __reduce__(self) -> tuple[type[Error], tuple[str, str, str]]:
        return type(self), (str(self), self.hint, self.code)


class UsageError(Error):
    """The call or an argument makes no sense."""

    code = "INVALID"


class ConflictError(Error):
    """Another writer got there first; nothing was written."""

    code = "CONFLICT"


class UncertainError(Error):
    """The reply was lost: it may or may not have taken effect."""

    code = "UNCERTAIN"


class StorageError(Error):
    """The storage failed and nothing took effect."""

    code = "IO"


class FullError(StorageError):
    """No space is left."""

    code = "FULL"


class CorruptError(StorageError):
    """Stored bytes are not what they should be."""

    code = "CORRUPT"


class DeniedError(StorageError):
    """Not permitted."""

    code = "DENIED"


class NotFoundError(Error):
    """There is no such hive, box, frame, version, file …"""

    code = "NOT_FOUND"


class ExistsError(Error):
    """There is one already, and it is another one."""

    code = "EXISTS"


class SchemaError(Error):
    """The data does not fit the frame."""

    code = "SCHEMA"


class SQLError(Error):
    """The statement is wrong."""

    code = "SQL"


class NotSupportedError(Error):
    """This is not supported."""

    code = "UNSUPPORTED"


class MemoryBudgetError(Error):
    """The memory budget does not suffice."""

    code = "MEMORY"


class CancelledError(Error):
    """Cancelled, by ``cancel()``, by ``shutdown()`` or by a closed result."""

    code = "CANCELLED"


class QueryTimeoutError(Error, TimeoutError):
    """It took too long."""

    code = "TIMEOUT"


class ConfigError(Error):
    """A setting is wrong."""

    code = "CONFIG"


class ChamberError(Error):
    """A sealed chamber died."""

    code = "CHAMBER"


class BusyError(Error):
    """Too much work is waiting."""

    code = "BUSY"


class LimitError(Error):
    """A named limit was reached."""

    code = "LIMIT"


class InternalError(Error):
    """A fault of Apiary itself."""

    code = "INTERNAL"


class AbandonedError(Error):
    """Given up after several tries."""

    code = "ABANDONED"


class ApiaryWarning(UserWarning):
    """Something was changed on the way: a column dropped, a type mapped."""


def _subclasses(base: type[Error]) -> dict[str, type[Error]]:
    found: dict[str, type[Error]] = {}
    for kind in base.__subclasses__():
        found[kind.code] = kind
        found.update(_subclasses(kind))
    return found


BY_CODE: dict[str, type[Error]] = _subclasses(Error)


def make(code: str, message: str, hint: str = "") -> Error:
    """The exception for a code, not raised. Used by the extension."""
    return BY_CODE.get(code, Error)(message, hint, code)
