"""``python -m apiary`` and the command ``apiary`` of an installed package: the command line tool."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Replaces this process by the command line tool."""
    here = pathlib.Path(__file__).resolve().parent
    for program in (here / "apiary", here.parents[1] / "apiary"):  # in a wheel, in a build folder
        if program.is_file() and os.access(program, os.X_OK):
            os.execv(program, ["apiary", *sys.argv[1:]])
    sys.exit(f"apiary: the command line tool is not beside {here}")


if __name__ == "__main__":
    main()
