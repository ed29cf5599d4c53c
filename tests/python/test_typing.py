#!/usr/bin/env python3
"""The package and its stubs under mypy --strict; what is public is documented, with an example that runs."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import doctest
import importlib
import inspect
import os
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import apiary
from apiary import dbapi
from conftest import SETTINGS

PACKAGE = pathlib.Path(apiary.__file__).parent
MODULES = ["apiary", *(f"apiary.{module.name}" for module in pkgutil.iter_modules([str(PACKAGE)]) if module.name not in ("_apiary", "__main__"))]
PUBLIC = [apiary.Apiary, apiary.Session, apiary.Hive, apiary.Box, apiary.Frame, apiary.Result, apiary.Schema, dbapi.Connection, dbapi.Cursor]
ALIASES = ("create_database", "create_schema", "create_table", "list_databases", "list_schemas", "list_tables", "get_table")


def mypy(cache, *arguments):
    pytest.importorskip("mypy")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cache, env={**os.environ, "MYPYPATH": str(PACKAGE.parent)})
    return done.returncode, done.stdout + done.stderr


def test_mypy_strict(tmp_path):
    code, said = mypy(tmp_path, "--follow-imports=silent", "--ignore-missing-imports", str(PACKAGE))
    assert code == 0, said


USER = """
import apiary
from apiary import dbapi

with apiary.open("memory://") as db:
    result: apiary.Result = db.sql("SELECT ?", [1])
    rows: list[tuple[object, ...]] = result.fetchall()
    names: list[str] = db.list_hives()
    written: int = db.write_to_frame("a", "b", "c", [{"x": 1}])["rows_written"]
    frame: apiary.Frame = db.hive("a").box("b").frame("c")
    code: str = apiary.Error("x").code
cursor: dbapi.Cursor = dbapi.connect("memory://").cursor()
"""


def test_users_see_the_types(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(USER)
    bad.write_text(USER + "db.sql(5)\nx: int = db.list_hives()\n")
    code, said = mypy(tmp_path, "--follow-imports=silent", "--ignore-missing-imports", str(good))
    assert code == 0, said
    code, said = mypy(tmp_path, "--follow-imports=silent", "--ignore-missing-imports", str(bad))
    assert code == 1 and said.count("error:") == 2, said
    assert (PACKAGE / "py.typed").is_file()


def test_the_stub_names_what_the_extension_has():
    from apiary import _apiary

    stub = (PACKAGE / "_apiary.pyi").read_text()
    for name in dir(_apiary):
        if not name.startswith("__"):
            assert f"class {name}" in stub or f"def {name}(" in stub or f"{name}: Final" in stub, name
    for kind in (_apiary.Rows, _apiary.Session, _apiary.Handle, _apiary.Stream, _apiary.ArrowSchema):
        for name in vars(kind):
            if not name.startswith("__") or name.startswith("__arrow"):
                assert f"def {name}(" in stub, f"{kind.__name__}.{name}"


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_what_is_public_has_an_example(kind):
    assert ">>>" in inspect.getdoc(kind)
    for name in {name for base in kind.__mro__ if base.__module__.startswith("apiary.") for name in vars(base)}:
        member = inspect.getattr_static(kind, name)
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, (property, classmethod))):
            continue
        text = inspect.getdoc(getattr(kind, name)) or ""
        assert text, f"{kind.__name__}.{name} has no documentation"
        assert ">>>" in text or name in ALIASES, f"{kind.__name__}.{name} has no example"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_are_true(name, tmp_path, monkeypatch):
    """Each example on a store of its own, which it knows as `db`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    import pyarrow

    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    said = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    with apiary.open("memory://", **SETTINGS) as db:
        known = {"apiary": apiary, "pyarrow": pyarrow, "tmp": tmp_path, "db": db}
        for test in tests:
            test.globs.update(known)
            runner.run(test, out=said.append)
            for frame in db.list_frames("main", "main") if "main" in db.list_hives() else []:
                db.drop_frame("main", "main", frame)
            db.drop_hive("lab", cascade=True, if_exists=True)
    assert runner.failures == 0, "".join(said)
    assert tests or name in ("apiary._progress", "apiary._data", "apiary.magic"), "no example ran"


def page(name, folder):
    """The Python blocks of a page of docs, in order, in a home of their own: (code, what the process was)."""
    text = (pathlib.Path(os.environ["APIARY_SOURCE_DIR"]) / "docs" / name).read_text()
    code = "\n".join(block.split("```", 1)[0] for block in text.split("```python\n")[1:])
    return code, subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env={**os.environ, "HOME": str(folder)})


def test_the_page_is_true(tmp_path):
    code, done = page("python.md", tmp_path)
    assert "create_frame" in code and "swarm_status" in code
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SCHEMA") and "day" in done.stdout


def test_the_page_on_other_engines_is_true(tmp_path):
    pytest.importorskip("deltalake")
    code, done = page("outgrowing.md", tmp_path)
    assert "write_deltalake" in code and done.returncode == 0, done.stderr
