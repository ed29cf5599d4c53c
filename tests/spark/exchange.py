#!/usr/bin/env python3
"""Frames and tables that Apiary and Spark read and write for each other. One case: exchange.py NAME."""

import sys
import time

import engine  # noqa: F401 (first: it starts again in .venv)
import both
import ours
import theirs
from apiary_cli import main


def timed(group, case):
    def run():
        start = time.monotonic()
        case()
        print(f"# {time.monotonic() - start:.1f} s")

    run.__name__ = f"{group.__name__}.{case.__name__}"
    return run


if __name__ == "__main__":
    cases = [timed(group, case) for group in (ours, theirs, both) for case in group.CASES]
    main([case for case in cases if len(sys.argv) < 2 or any(word in case.__name__ for word in sys.argv[1:])])
