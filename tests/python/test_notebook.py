#!/usr/bin/env python3
"""A notebook, driven as nbclient drives it: the magic, tables as HTML, the progress bar, interrupting a cell."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import json
import os
import pathlib
import sys

import pytest

import apiary

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Runs cells in a kernel of this interpreter and gives their outputs."""
    kernels = tmp_path / "kernels/here"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(json.dumps({"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                                                     "display_name": "here", "language": "python"}))  # fmt: skip
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(pathlib.Path(apiary.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]))

    def run(*cells, allow_errors=False):
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        nbclient.NotebookClient(book, timeout=90, kernel_name="here", allow_errors=allow_errors, resources={"metadata": {"path": str(tmp_path)}}).execute()
        return [cell.outputs for cell in book.cells]

    return run


def html(outputs):
    return "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)


def text(outputs):
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)


def test_cells(notebook):
    made, table, variable, kept, line, shown, wrong = notebook(
        "%load_ext apiary\n%apiary --storage store",
        "%%apiary\nCREATE FRAME t AS SELECT range AS n, '<b>' AS s FROM range(30);\nSELECT * FROM t ORDER BY n",
        "import pyarrow as pa\nmine = pa.table({'n': [1, 2]})\n%apiary SELECT sum(n) AS total FROM mine",
        "%%apiary --out result\nSELECT count(*) AS c FROM t",
        "result.scalar()",
        "import apiary\ndb = apiary.open('memory://')\n%apiary --db db SELECT 'other' AS store",
        "%apiary SELECT * FROM nowhere",
        allow_errors=True,
    )
    assert made == [] or not any(output["output_type"] == "error" for output in made)
    assert "<table" in html(table) and "&lt;b&gt;" in html(table) and "30 rows" in html(table)
    assert "<td" in html(variable) and ">3<" in html(variable)
    assert kept == [] and text(line) == "30"
    assert "other" in html(shown)
    assert wrong[-1]["output_type"] == "error" and wrong[-1]["ename"] == "NotFoundError" and "nowhere" in wrong[-1]["evalue"]


def test_an_interrupted_cell_leaves_the_session_usable(notebook):
    interrupted, after = notebook(
        "import apiary, os, signal, threading\ndb = apiary.open('memory://')\ndb.sql('SELECT 1')\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "db.sql('SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b')",
        "db.sql('SELECT 7 AS n').scalar()",
        allow_errors=True,
    )
    assert interrupted[-1]["output_type"] == "error" and interrupted[-1]["ename"] == "KeyboardInterrupt"
    assert text(after) == "7"


def test_a_bar_for_long_work(notebook):
    (bar,) = notebook(
        "import apiary, apiary._progress\napiary._progress.SHOWN_AFTER_SECONDS = 0.0\ndb = apiary.open('memory://')\n"
        "db.sql('SELECT sum(a.range * b.range) FROM range(20000) a, range(4000) b').scalar() > 0"
    )
    said = "".join(output.get("text", "") for output in bar if output.get("name") == "stderr")
    assert "\r" in said and " s" in said and said.endswith("\r")
