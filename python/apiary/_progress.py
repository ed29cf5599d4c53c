"""A progress bar for work that takes longer than a second, in terminals and notebooks."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

SHOWN_AFTER_SECONDS = 1.0
WIDTH = 30


def _notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def wanted() -> bool:
    """Whether somebody watches: a terminal or a notebook, and APIARY_PROGRESS is not 0."""
    if os.environ.get("APIARY_PROGRESS") == "0":
        return False
    try:
        return _notebook() or (sys.stderr is not None and sys.stderr.isatty())
    except ValueError:  # closed
        return False


def width(default: int) -> int:
    """Columns of the terminal; `default` where there is none."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(1).columns or default
    except OSError:
        return default


class Bar:
    """Called with (fraction or -1, rows, bytes) ten times a second; `close` wipes it away."""

    __slots__ = ("_begun", "_out", "_shown")

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = sys.stderr if out is None else out
        self._begun = time.monotonic()
        self._shown = 0

    def __call__(self, fraction: float, rows: int, size: int) -> None:
        seconds = time.monotonic() - self._begun
        if seconds < SHOWN_AFTER_SECONDS:
            return
        text = line(fraction, rows, seconds)
        self._out.write("\r" + text.ljust(self._shown))
        self._out.flush()
        self._shown = len(text)

    def close(self) -> None:
        if self._shown:
            self._out.write("\r" + " " * self._shown + "\r")
            self._out.flush()
            self._shown = 0


def line(fraction: float, rows: int, seconds: float) -> str:
    """One line of progress.

    >>> line(0.5, 0, 2.0)
    '███████████████░░░░░░░░░░░░░░░  50%  2 s'
    >>> line(-1, 1234, 61)
    '1,234 rows  61 s'
    """
    parts = []
    if fraction >= 0:
        full = round(min(1.0, fraction) * WIDTH)
        parts.append("█" * full + "░" * (WIDTH - full) + f" {fraction * 100:3.0f}%")
    if rows > 0:
        parts.append(f"{rows:,} rows")
    parts.append(f"{seconds:.0f} s")
    return "  ".join(parts)
