#!/usr/bin/env python3
"""The wheel in a clean environment: no compiler, no headers, no pyarrow, nothing of this tree."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

SOURCE = pathlib.Path(os.environ["APIARY_SOURCE_DIR"])
BUILD = pathlib.Path(os.environ.get("APIARY_BUILD_DIR", SOURCE / "build")).resolve()


STABLE = {"_Py_NoneStruct", "_Py_TrueStruct", "_Py_FalseStruct", "_Py_Dealloc", "_PyArg_ParseTuple_SizeT", "_Py_BuildValue_SizeT",
          "_PyObject_CallFunction_SizeT", "_PyObject_CallMethod_SizeT", "_PyObject_New"}  # fmt: skip


def base_python():
    """The interpreter that .venv was made from."""
    return pathlib.Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """As pip has it built, over the build that is tested; `pip install .` itself builds for minutes (make soak)."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "import sys; sys.path.insert(0, 'python'); import backend; backend.build_wheel(sys.argv[1], {'build-dir': sys.argv[2]})"
    subprocess.run([sys.executable, "-B", "-c", code, str(folder), str(BUILD)], cwd=SOURCE, check=True)
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """A virtual environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([base_python(), "-m", "venv", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, str(wheel)], check=True)
    return folder


def run(clean, code, *arguments):
    """Runs code where there is nothing but that environment."""
    environment = {"PATH": "/nonexistent", "HOME": str(clean), "LANG": "C.UTF-8"}
    done = subprocess.run([str(clean / "bin/python"), "-I", "-c", code, *arguments], capture_output=True, text=True, env=environment, cwd=clean, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_in_it(wheel):
    assert wheel.name.startswith("apiary-") and "-cp311-abi3-linux_" in wheel.name and wheel.name.endswith(".whl")
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        for name in ("__init__.py", "py.typed", "_apiary.pyi", "_apiary.abi3.so", "libapiary.so", "apiary-bee", "libduckdb.so", "apiary", "dbapi.py"):
            assert f"apiary/{name}" in names, name
        info = next(name.split("/")[0] for name in names if ".dist-info/" in name)
        record = opened.read(f"{info}/RECORD").decode().splitlines()
        assert {line.rsplit(",", 2)[0] for line in record} == set(names)
        assert "Name: apiary" in opened.read(f"{info}/METADATA").decode()
        for program in ("apiary-bee", "apiary"):
            assert opened.getinfo(f"apiary/{program}").external_attr >> 16 & 0o111


def test_only_the_stable_abi(wheel, tmp_path):
    """Every symbol of Python that the extension asks for belongs to the limited API of 3.11."""
    with zipfile.ZipFile(wheel) as opened:
        extension = pathlib.Path(opened.extract("apiary/_apiary.abi3.so", tmp_path))
    read = subprocess.run(["readelf", "--dyn-syms", "--wide", str(extension)], capture_output=True, text=True)
    if read.returncode != 0:
        pytest.skip("readelf is not there")
    wanted = {line.split()[-1] for line in read.stdout.splitlines() if " UND Py" in line or " UND _Py" in line}
    assert "PyModuleDef_Init" in wanted
    assert {name for name in wanted if name.startswith("_Py")} <= STABLE, "not in Misc/stable_abi.toml of CPython"


def test_it_works_where_nothing_else_is(clean, tmp_path):
    code = """
import sys, apiary
for name in ("pyarrow", "pandas", "polars", "numpy", "IPython"):
    try: __import__(name)
    except ImportError: continue
    raise SystemExit(name + " is there")
assert apiary.__file__.startswith(sys.prefix)
with apiary.open(sys.argv[1], bees=1, memory_limit="512MB") as db:
    db.create_frame("main", "main", "t", {"a": "int", "b": "list<text>", "c": "struct<x: double>"})
    rows = [{"a": 1, "b": ["x", None], "c": {"x": 0.5}}, {"a": None, "b": [], "c": None}]
    assert db.write_to_frame("main", "main", "t", rows)["rows_written"] == 2
    assert db["t"].append({"a": [7]})["rows_written"] == 1
    result = db.read_from_frame("main", "main", "t")
    assert result.to_pylist()[:2] == rows
    assert db.overwrite_frame("main", "main", "t", bytes(memoryview(result)))["rows_written"] == 3
    assert db.overwrite_frame("main", "main", "t", db.sql("SELECT 5 AS a"))["rows_written"] == 1
    assert db.sql("SELECT sum(a + $n) FROM t", {"n": 1}).fetchall() == [(6,)]
    stream = db.sql("SELECT 1 AS a").__arrow_c_stream__()
    assert "arrow_array_stream" in repr(stream)
    for method in ("to_arrow", "to_pandas", "to_polars", "batches"):
        try: getattr(result, method)()
        except ImportError: continue
        raise SystemExit(method + " worked")
    print(repr(result))
maps = open("/proc/self/maps").read()
assert sys.prefix in next(line for line in maps.splitlines() if "libapiary" in line) and "duckdb" not in maps
with apiary.Apiary("node", storage=sys.argv[1], bees=1, memory_limit="512MB") as node:
    assert node.swarm_status()["alive"] == 1
print("all good")
"""
    assert run(clean, code, str(tmp_path / "store")).endswith("all good\n")


def test_the_command_line_tool_comes_with_it(clean):
    done = subprocess.run([str(clean / "bin/apiary"), "sql", "SELECT 42 AS answer"], capture_output=True, text=True,
                          env={"PATH": "/nonexistent", "HOME": str(clean)}, timeout=60)  # fmt: skip
    assert done.returncode == 0 and "42" in done.stdout, done.stderr


def test_a_source_archive(tmp_path):
    code = "import sys; sys.path.insert(0, 'python'); import backend; print(backend.build_sdist(sys.argv[1]))"
    done = subprocess.run([sys.executable, "-B", "-c", code, str(tmp_path)], cwd=SOURCE, capture_output=True, text=True, check=True)
    import tarfile

    with tarfile.open(tmp_path / done.stdout.strip()) as tar:
        names = [name.split("/", 1)[-1] for name in tar.getnames()]
    assert {"pyproject.toml", "meson.build", "python/backend.py", "include/apiary.h", "PKG-INFO", "tools/fetch-deps"} <= set(names)
    assert not any(name.startswith(("build/", ".git/", ".venv")) for name in names)


@pytest.mark.skipif("AP_SOAK" not in os.environ, reason="builds everything anew: make soak")
def test_pip_install_from_the_source_tree(tmp_path):
    subprocess.run([base_python(), "-m", "venv", str(tmp_path / "venv")], check=True)
    subprocess.run([str(tmp_path / "venv/bin/pip"), "install", "--disable-pip-version-check", str(SOURCE)], check=True)
    assert run(tmp_path / "venv", "import apiary; print(apiary.open('memory://').sql('SELECT 42').scalar())") == "42\n"
