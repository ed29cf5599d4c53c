#!/usr/bin/env python3
"""An installation (DESTDIR, then moved): program, library and chamber find each other by where they lie."""

import os
import shutil
import subprocess
import sys

from apiary_cli import APIARY, Store, main

BUILD = os.path.dirname(APIARY)


def installed(folder):
    """The tree below prefix; 77 where there is no meson to install with."""
    meson = shutil.which("meson")
    if not meson:
        print("1..0 # SKIP meson is missing")
        sys.exit(77)
    done = subprocess.run([meson, "install", "-C", BUILD, "--no-rebuild", "--quiet"], env={**os.environ, "DESTDIR": str(folder / "root")},
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (program,) = (folder / "root").rglob("bin/apiary")
    moved = folder / "elsewhere"
    program.parents[1].rename(moved)
    return moved


def run(store, words, **more):
    """Nothing of the build in the environment, and another folder than its own."""
    environment = {name: value for name, value in store.environment().items() if not name.startswith("LD_")}
    environment.update(PATH="/usr/bin:/bin", **more)
    done = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def chamber_in_libexec():
    with Store() as store:
        prefix = installed(store.folder)
        assert (prefix / "libexec/apiary/apiary-bee").exists() and (prefix / "libexec/apiary/libduckdb.so").exists()
        code, out, err = run(store, [prefix / "bin/apiary", "sql", "CREATE FRAME t AS SELECT range AS a FROM range(3); SELECT sum(a) AS s FROM t", "--format", "csv"])
        assert (code, out) == (0, "s\n3\n"), out + err
        (prefix / "libexec").rename(prefix / "gone")
        code, _, err = run(store, [prefix / "bin/apiary", "sql", "SELECT 1"])
        assert code != 0 and "Error (CONFIG): cannot find the chamber program" in err, err
        assert "libexec/apiary" in err and "APIARY_BEE" in err and "tries" not in err, err
        code, out, err = run(store, [prefix / "bin/apiary", "sql", "SELECT 7 AS n", "--format", "csv"],
                             APIARY_BEE=str(prefix / "gone/apiary/apiary-bee"))
        assert (code, out) == (0, "n\n7\n"), out + err


def what_is_installed():
    with Store() as store:
        prefix = installed(store.folder)
        names = {path.name for path in prefix.rglob("*") if path.is_file()}
        assert {"apiary", "apiary-bee", "libapiary.so", "libduckdb.so", "apiary.h"} <= names, sorted(names)
        _, linked, _ = run(store, ["ldd", prefix / "bin/apiary"])
        assert str(prefix) in linked and BUILD not in linked and "duckdb" not in linked, linked


if __name__ == "__main__":
    main([chamber_in_libexec, what_is_installed])
