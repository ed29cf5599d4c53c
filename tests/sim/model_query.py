#!/usr/bin/env python3
"""The model of a query's protocol (model/query.pml), its whole state space searched by Spin.

The rules hold; each planted mistake breaks one of them. Skipped (77) where Spin is not installed."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MODEL = pathlib.Path(__file__).resolve().parent / "model" / "query.pml"
RUNS = [(None, None), ("WITHOUT_TXN", "commits==1"), ("COLLECT_EARLY", "commits>0"), ("NEVER_LOOK", "cancelled")]


def search(mistake):
    """What Spin says after it has gone through every state."""
    with tempfile.TemporaryDirectory() as folder:
        defines = [f"-D{mistake}"] if mistake else []
        subprocess.run(["spin", "-a", *defines, MODEL], cwd=folder, check=True, capture_output=True)
        subprocess.run(["gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c"], cwd=folder, check=True)
        done = subprocess.run(["./pan", "-E", "-m100000"], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def main():
    if not shutil.which("spin") or not shutil.which("gcc"):
        print("1..0 # SKIP spin is not installed")
        return 77
    failed = 0
    print(f"1..{len(RUNS)}")
    for number, (mistake, broken) in enumerate(RUNS, 1):
        said = search(mistake)
        errors = int(re.search(r"errors: (\d+)", said).group(1))
        states = re.search(r"(\d+) states, stored", said).group(1)
        whole = "max search depth too small" not in said
        violated = re.search(r"assertion violated\s*(.*) \(at depth", said)
        good = whole and (errors == 0 if mistake is None else bool(violated) and broken in violated.group(1))
        name = f"{mistake} is caught" if mistake else "once, whole, and never after a cancel"
        print(f"{'ok' if good else 'not ok'} {number} - {name} ({states} states)")
        if not good:
            print(said)
            failed = 1
    return failed


sys.exit(main())
