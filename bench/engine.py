"""One machine: TPC-H, import, cold start, Python, what a chamber costs."""

import math
import os
import re
import shutil
import subprocess
import sys

from common import ROOT, BUILD, RUNS, SCALE, TABLES, THREADS, apiary, run_apiary, duckdb, timed, views, geometric_mean, tpch_queries


LIBRARY = """
import ctypes, sys, time
library, threads, setup, query = sys.argv[1:]
engine = ctypes.CDLL(library)
class Result(ctypes.Structure):
    _fields_ = [(f"word{i}", ctypes.c_uint64) for i in range(8)]
database, connection = ctypes.c_void_p(), ctypes.c_void_p()
assert engine.duckdb_open(None, ctypes.byref(database)) == 0 and engine.duckdb_connect(database, ctypes.byref(connection)) == 0
def run(text):
    result = Result()
    assert engine.duckdb_query(connection, text.encode(), ctypes.byref(result)) == 0, text
    engine.duckdb_destroy_result(ctypes.byref(result))
run(f"SET threads = {threads}; {setup}")
for _ in range(2):
    start = time.monotonic()
    run(f"COPY ({query.strip().rstrip(';')}) TO '/dev/stdout' (FORMAT csv, HEADER)")
    print(time.monotonic() - start, file=sys.stderr, flush=True)
"""


def in_process(store, query):
    """Seconds of the query, twice, by the very engine library that Apiary has, in a process with nothing else."""
    done = subprocess.run([sys.executable, "-c", LIBRARY, BUILD / "libduckdb.so", str(THREADS), views(store), query], capture_output=True, text=True, check=True)
    return [float(line) for line in done.stderr.split()]


def bench_tpch(work, source):
    store = work / "tpch"
    for table in TABLES:
        apiary(store, "import", table, source / f"{table}.parquet")
    queries = [f"{query};" for query in tpch_queries().values()]
    ours, theirs, library = ([math.inf] * len(queries) for _ in range(3))
    for _ in range(RUNS):
        for i, query in enumerate(queries):
            told = run_apiary(store, "sql", "-", "--format", "csv", "--timing", text=query + "\n" + query).stderr
            ours[i] = min(ours[i], *(float(s) for s in re.findall(r"Time: ([0-9.]+) s", told)))
            out = duckdb(f"SET threads = {THREADS};\n{views(store)}.mode csv\n.timer on\n{query}\n{query}")
            theirs[i] = min(theirs[i], *(float(s) for s in re.findall(r"real ([0-9.]+)", out)))
            library[i] = min(library[i], *in_process(store, query))
    print(f"TPC-H scale {SCALE}, {THREADS} threads, best of {2 * RUNS}, all rows written as CSV (s)")
    for i, (a, b, c) in enumerate(zip(ours, theirs, library), 1):
        print(f"  Q{i:<3} apiary {a:7.3f}  duckdb {b:7.3f}  ratio {a / b:5.2f}  the same library in a process {c:7.3f}  ratio {a / c:5.2f}")
    cli, own = [a / b for a, b in zip(ours, theirs)], [a / c for a, c in zip(ours, library)]
    print(f"  geometric mean {geometric_mean(cli):.3f} (aim 1.05), largest {max(cli):.2f} (aim 1.3); to the same library {geometric_mean(own):.3f}, largest {max(own):.2f}")


def bench_import(work, source):
    file = source / "lineitem.parquet"
    rows = int(duckdb(f".mode csv\n.headers off\nSELECT count(*) FROM '{file}'").split()[-1])
    ours, theirs = [], []
    for i in range(RUNS):
        ours.append(timed(lambda i=i: apiary(work / f"import{i}", "import", "t", file)))
        theirs.append(timed(lambda i=i: duckdb(f"SET threads = {THREADS}; COPY (FROM '{file}') TO '{work}/copy{i}.parquet' "
                                               "(FORMAT parquet, COMPRESSION lz4_raw);")))
        shutil.rmtree(work / f"import{i}")
        (work / f"copy{i}.parquet").unlink()
    a, b = min(ours), min(theirs)
    print(f"import of {rows} rows: apiary {rows / a / 1e6:.2f} M rows/s, duckdb COPY {rows / b / 1e6:.2f} M rows/s, ratio of times {a / b:.2f}")


STATEMENTS = int(os.environ.get("APIARY_BENCH_STATEMENTS", "300"))


def bench_colony(work, _):
    """What a chamber costs, small queries at once, memory under bombs."""
    store = work / "colony"
    apiary(store, "sql", "CREATE FRAME t AS SELECT range AS i, hash(range) % 1000 AS h FROM range(1000000)")
    one, many = "SELECT 1;\n", "SELECT 1;\n" * (STATEMENTS + 1)
    ours, theirs = (min(timed(lambda: call(many)) for _ in range(RUNS)) - min(timed(lambda: call(one)) for _ in range(RUNS))
                    for call in (lambda text: apiary(store, "sql", "-", text=text), duckdb))
    print(f"warm SELECT 1: apiary {ours / STATEMENTS * 1000:.2f} ms, the engine in-process {theirs / STATEMENTS * 1000:.2f} ms (aim: 3 ms more)")
    query = "SELECT h, count(*), sum(i) FROM t GROUP BY h ORDER BY 2 DESC LIMIT 3"

    def at_once():
        env = {**{k: v for k, v in os.environ.items() if not k.startswith("APIARY_BENCH_")}, "APIARY_STORAGE": str(store)}
        running = [subprocess.Popen([BUILD / "apiary", "sql", query], env=env, stdout=subprocess.DEVNULL) for _ in range(10)]
        if any([p.wait() for p in running]):
            raise SystemExit("a query failed")

    after = min(timed(lambda: [apiary(store, "sql", query) for _ in range(10)]) for _ in range(RUNS))
    once = min(timed(at_once) for _ in range(RUNS))
    print(f"10 small queries of 10 processes: at once {once:.2f} s, one after another {after:.2f} s, ratio {once / after:.2f}")
    out = subprocess.run([ROOT / "tests/colony/bombs.py"], env={**os.environ, "APIARY_BUILD_DIR": str(BUILD)}, capture_output=True, text=True)
    print("bombs under 256 MB for two bees:")
    print("".join(f"  {line[2:]}\n" for line in out.stdout.splitlines() if line.startswith("# ")), end="")


def bench_start(work, _):
    store = work / "start"
    ours = sorted(timed(lambda: apiary(store, "sql", "SELECT 42")) for _ in range(2 * RUNS + 1))
    theirs = sorted(timed(lambda: duckdb("SELECT 42;")) for _ in range(2 * RUNS + 1))
    print(f"first answer of a cold process: apiary {ours[RUNS] * 1000:.0f} ms, duckdb CLI {theirs[RUNS] * 1000:.0f} ms (median)")


ROWS = int(os.environ.get("APIARY_BENCH_ROWS", "10000000"))

# One process for each side and step: its peak memory is that of the step. {name: (write, read)}
SIDES = {
    "apiary": (
        "import apiary\n"
        "db = apiary.open(path); db.create_frame('main', 'main', 't', table.schema)\n"
        "go(lambda: db.write_to_frame('main', 'main', 't', table)); bees = sum(b['memory_peak'] for b in db.bee_status())",
        "import apiary\n"
        "db = apiary.open(path); go(lambda: db.read_from_frame('main', 'main', 't').to_arrow()); bees = sum(b['memory_peak'] for b in db.bee_status())",
    ),
    "deltalake": (
        "from deltalake import write_deltalake\ngo(lambda: write_deltalake(path, table))",
        "from deltalake import DeltaTable\ngo(lambda: DeltaTable(path).to_pyarrow_table())",
    ),
    "duckdb COPY": (
        "import duckdb\nduckdb.sql('SET enable_progress_bar = false')\n"
        "go(lambda: duckdb.sql(f\"COPY (FROM table_) TO '{path}' (FORMAT parquet, COMPRESSION lz4_raw)\"))",
        "import duckdb\nduckdb.sql('SET enable_progress_bar = false')\ngo(lambda: duckdb.sql(f\"FROM read_parquet('{path}')\").to_arrow_table())",
    ),
}
STEP = """
import sys, time, resource
path, rows, writes = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "write"
bees = 0
if writes:
    import numpy, pyarrow
    numbers = numpy.random.default_rng(7)
    words = pyarrow.array([f"word {i}" for i in range(1000)])
    table = table_ = pyarrow.table({"id": numpy.arange(rows), "value": numbers.random(rows), "word": words.take(pyarrow.array(numbers.integers(0, 1000, rows)))})
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
before = peak()
took = None
def go(call):
    global took
    start = time.monotonic()
    kept = call()
    took = time.monotonic() - start
"""


def bench_python(work, _):
    python = ROOT / ".venv/bin/python"

    def run(code, *words):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_BENCH_", "PYTHONDONTWRITE"))}
        out = subprocess.run([python, "-c", code, *map(str, words)], env=env, stdout=subprocess.PIPE, text=True, check=True)
        return [float(word) for word in out.stdout.splitlines()[-1].split()]

    print(f"{ROWS} rows of three columns from pyarrow (whole milliseconds; MB are the process's growth and the bees' peak)")
    best = {}
    for i in range(RUNS):
        for name, steps in SIDES.items():
            path = work / f"python {i} {name}"
            for step, code in zip(("write", "read"), steps):
                # _exit: threads of pyarrow abort some processes at their end.
                took, grown, bees = run(STEP + code + "\nprint(took, peak() - before, bees / 2**20, flush=True)\nimport os; os._exit(0)", path, ROWS, step)
                best.setdefault((step, name), []).append((took, grown, bees))
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for (step, name), runs in sorted(best.items(), reverse=True):
        took, grown, bees = min(runs)
        print(f"  {step:5} {name:12} {took * 1000:6.0f} ms  {ROWS / took / 1e6:5.1f} M rows/s  {grown:6.0f} MB{f' + {bees:.0f} MB of bees' if bees else ''}")

    clock = ("import time; start, cpu = time.perf_counter(), time.process_time(); import {}; "
             "print((time.perf_counter() - start) * 1000, (time.process_time() - cpu) * 1000)")
    for name in ("apiary", "duckdb", "deltalake"):
        took, cpu = map(min, zip(*(run(clock.format(name)) for _ in range(2 * RUNS + 1))))
        print(f"import {name}: {took:.0f} ms, {cpu:.0f} ms of them CPU" + (" (aim 50)" if name == "apiary" else ""))

    query = "import sys, time\n{}\nat = []\nfor _ in range(200):\n s = time.perf_counter(); {}; at.append(time.perf_counter() - s)\nprint(sorted(at)[100] * 1000)"
    ours = run(query.format("import apiary; db = apiary.open('memory://')", "db.sql('SELECT 1').fetchall()"))[0]
    theirs = run(query.format("import duckdb; db = duckdb.connect()", "db.sql('SELECT 1').fetchall()"))[0]
    print(f"an empty query: apiary {ours:.1f} ms, duckdb in the process {theirs:.1f} ms (median of 200)")

    late = ("import apiary, os, signal, threading, time\ndb = apiary.open('memory://'); db.sql('SELECT 1'); sent = []\n"
            "def press(): time.sleep(0.5); sent.append(time.monotonic()); os.kill(os.getpid(), signal.SIGINT)\n"
            "threading.Thread(target=press).start()\n"
            "try: db.sql('SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b')\n"
            "except KeyboardInterrupt: print((time.monotonic() - sent[0]) * 1000)\n")
    print(f"Ctrl-C: {sorted(run(late)[0] for _ in range(5))[2]:.0f} ms until KeyboardInterrupt (median of 5, aim 200)")
