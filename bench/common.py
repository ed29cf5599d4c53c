"""What the parts of the bench share: the programs, the data, the comparison of answers."""

import math
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build").resolve()
RUNS = int(os.environ.get("APIARY_BENCH_RUNS", "3"))
SCALE = os.environ.get("APIARY_BENCH_SCALE", "1")
TABLES = ["lineitem", "orders", "customer", "part", "partsupp", "supplier", "nation", "region"]
THREADS = len(os.sched_getaffinity(0))


def where(name):
    out = subprocess.run([ROOT / "tools/fetch-deps", "--path", name], capture_output=True, text=True, check=True)
    return pathlib.Path(out.stdout.strip())


TOOLS = where("bench") / "bin"


CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("APIARY_BENCH_")}


def apiary(store, *words, text=None):
    return run_apiary(store, *words, text=text).stdout


def run_apiary(store, *words, text):
    return subprocess.run([BUILD / "apiary", *map(str, words)], env={**CLEAN, "APIARY_STORAGE": str(store)}, input=text, capture_output=True, text=True, check=True)


def duckdb(text):
    return subprocess.run([TOOLS / "duckdb"], input=text, capture_output=True, text=True, check=True).stdout


def data(folder):
    if not (folder / "region.parquet").exists():
        subprocess.run([TOOLS / "tpchgen-cli", "parquet", "-s", SCALE, f"--output-dir={folder}"], check=True, capture_output=True)


def timed(call):
    start = time.monotonic()
    call()
    return time.monotonic() - start


def views(store):
    return "".join(f"CREATE VIEW {t} AS FROM read_parquet('{store}/main/main/{t}/*.parquet');\n" for t in TABLES)


def geometric_mean(ratios):
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def about_the_same(ours, theirs):
    def value(text):
        try:
            return float(text)
        except ValueError:
            return text

    def close(a, b):  # Spark rounds averages of decimals to six places
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) if isinstance(a, float) and isinstance(b, float) else a == b

    return len(ours) == len(theirs) and all(len(a) == len(b) and all(close(value(x), value(y)) for x, y in zip(a, b)) for a, b in zip(ours, theirs))


def tpch_queries():
    return dict(re.findall(r"^-- (Q\d+)\n(.*?);\s*$", (ROOT / "bench/tpch.sql").read_text(), re.M | re.S))
