"""Values that Python has no type of its own for."""

from __future__ import annotations

from typing import NamedTuple


class Interval(NamedTuple):
    """An INTERVAL with months, which have no fixed length in days.

    Intervals without months are given as ``datetime.timedelta``.

    >>> Interval(1, 2, 0).months
    1
    """

    months: int
    days: int
    nanoseconds: int
