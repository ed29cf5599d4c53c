"""Imported first by a test file, it runs the file again with the test environment's Python, where deltalake,
pyarrow and Polars are. 77: the environment is not there."""

import os
import pathlib
import sys

SOURCE = pathlib.Path(os.environ.get("APIARY_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
PYTHON = os.environ.get("APIARY_TEST_PYTHON", str(SOURCE / ".venv/bin/python"))
if not os.path.exists(PYTHON):
    print("1..0 # SKIP .venv is missing (tools/fetch-deps test)")
    sys.exit(77)
if not os.environ.get("APIARY_IN_VENV"):
    os.environ["APIARY_IN_VENV"] = "1"
    os.execv(PYTHON, [PYTHON, *sys.argv])
sys.path.insert(0, str(SOURCE / "tests/cli"))
