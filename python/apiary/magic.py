"""The notebook magics ``%apiary`` and ``%%apiary``. ``%load_ext apiary`` makes them known.

::

    %load_ext apiary
    %apiary --storage ~/data

    %%apiary --out flights
    SELECT origin, count(*) AS n FROM flights GROUP BY ALL

    %apiary SELECT sum(n) FROM flights

A cell is run as ``sql()`` runs it; variables of the notebook that speak Arrow can be read as tables.
"""

from __future__ import annotations

import shlex
from typing import Any

from ._client import Statements, finder, open
from ._errors import UsageError
from ._result import Result

USAGE = "%apiary [--storage WHERE] [--db VARIABLE] [--out VARIABLE] [statement]"


class Magic:
    """What a notebook keeps: the store that its cells work on."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._db: Statements | None = None

    def __call__(self, line: str, cell: str | None = None) -> Result | None:
        options, statement = _options(line)
        if "storage" in options:
            self._db = open(options["storage"])
        if "db" in options:
            self._db = self._variable(options["db"])
        if cell is not None and statement:
            raise UsageError(f"'{statement}' is not understood before a cell", USAGE)
        statement = statement if cell is None else cell
        if not statement.strip():
            return None
        if self._db is None:
            self._db = open()
        namespace = self._shell.user_ns
        result = self._db._run(statement, find=finder(namespace) if self._db._replacement_scan else None)
        if "out" not in options:
            return result
        namespace[options["out"]] = result
        return None

    def _variable(self, name: str) -> Statements:
        value = self._shell.user_ns.get(name)
        if not isinstance(value, Statements):
            raise UsageError(f"'{name}' is no variable with an open Apiary", "db = apiary.open(…)")
        return value


def _options(line: str) -> tuple[dict[str, str], str]:
    """The options at the start of a line, and what follows them.

    >>> _options("--out x SELECT 'a b'")
    ({'out': 'x'}, "SELECT 'a b'")
    """
    options: dict[str, str] = {}
    rest = line.strip()
    while rest.startswith("--"):
        words = rest.split(None, 2)
        name = {"--storage": "storage", "--db": "db", "--out": "out"}.get(words[0])
        if name is None or len(words) < 2:
            raise UsageError(f"'{words[0]}' is not understood", USAGE)
        options[name] = "".join(shlex.split(words[1])[:1])
        rest = words[2] if len(words) > 2 else ""
    return options, rest


def register(shell: Any) -> None:
    """Makes the magics known to a shell of IPython."""
    shell.register_magic_function(Magic(shell), "line_cell", "apiary")
