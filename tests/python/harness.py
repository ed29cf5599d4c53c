"""Runs a test file under pytest with the package of a build, and prints TAP.

    APIARY_BUILD_DIR=build tests/python/test_sql.py [pytest's arguments]

Without APIARY_TEST_PYTHON and APIARY_BUILD_DIR it takes .venv and build of this tree."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main(file):
    """Replaces this process by pytest on `file`. 77: the test environment is not there."""
    python = os.environ.get("APIARY_TEST_PYTHON", str(ROOT / ".venv/bin/python"))
    build = pathlib.Path(os.environ.get("APIARY_BUILD_DIR", ROOT / "build"))
    if not os.path.exists(python):
        print("1..0 # SKIP no test environment (tools/fetch-deps test)")
        sys.exit(77)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(build / "python"), str(ROOT / "tests/python")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "APIARY_SOURCE_DIR": str(ROOT),
    }
    for name in [name for name in environment if name.startswith("APIARY_") and name not in KEPT]:
        del environment[name]
    arguments = ["-q", "-p", "no:cacheprovider", "-p", "tap_plugin", "--tb=short", "--rootdir", str(ROOT / "tests/python")]
    os.execve(python, [python, "-m", "pytest", *arguments, *sys.argv[1:], str(file)], environment)


KEPT = ("APIARY_BEE", "APIARY_SOURCE_DIR", "APIARY_BUILD_DIR", "APIARY_DEPS_CACHE")
