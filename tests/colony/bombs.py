#!/usr/bin/env python3
"""Statements that want all memory, under 256 MB for two bees. Each gives its right answer or one clear error;
the resident memory of the whole process tree, sampled from the kernel, stays below the budget and a constant;
small queries in another chamber answer meanwhile; nothing stays in scratch. AP_FULL=1: the sizes of `make soak`."""

import gzip
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
from apiary_cli import APIARY, Store, main  # noqa: E402

BUDGET = 256_000_000
# What is not the chambers' budget: two programs, and the engine's text in two chambers.
CONSTANT = 100_000_000
FULL = bool(os.environ.get("AP_FULL"))
SECONDS = 3600 if FULL else 200
CODES = {"MEMORY", "FULL", "LIMIT", "SQL", "ABANDONED"}


def size(check, full):
    return full if FULL else check


# name, SQL, the right answer (last line of CSV) or None where only an error can be the end, may be cut short by Ctrl-C
BOMBS = [
    ("sort", f"SELECT count(*), min(h) <= max(h) FROM (SELECT hash(i) AS h, 'text ' || i AS t FROM range({size(3_000_000, 100_000_000)}) r(i)"
             " ORDER BY h, t OFFSET 5)", f"{size(3_000_000, 100_000_000) - 5},true"),
    ("distinct", f"SELECT count(*) FROM (SELECT DISTINCT i * 7 FROM range({size(4_000_000, 100_000_000)}) r(i))", str(size(4_000_000, 100_000_000))),
    ("list", f"SELECT len(list(i)) FROM range({size(100_000_000, 1_000_000_000)}) r(i)", None),
    ("string_agg", f"SELECT length(string_agg(repeat('x', 1000), ',')) FROM range({size(1_000_000, 10_000_000)})", None),
    ("cross join", "SELECT len(list(a.range * b.range)) FROM range(20000) a, range(20000) b", None),
    ("window", f"SELECT count(*) FROM (SELECT sum(i) OVER (PARTITION BY i % 3 ORDER BY hash(i) ROWS BETWEEN 50 PRECEDING AND CURRENT ROW)"
               f" FROM range({size(1_000_000, 50_000_000)}) r(i))", str(size(1_000_000, 50_000_000))),
    ("recursion", "WITH RECURSIVE r(s) AS (SELECT 'x' UNION ALL SELECT s || s FROM r WHERE length(s) < 4000000000) SELECT max(length(s)) FROM r", None),
    ("depth", "SELECT " + "(" * 20000 + "1" + ")" * 20000, None),
    ("regexp", f"SELECT length(regexp_replace(repeat('a', {size(60_000_000, 400_000_000)}), 'a', 'bbbbbbbbbb', 'g'))", None),
    ("json", f"SELECT json_array_length(to_json(range({size(20_000_000, 200_000_000)})))", None),
    ("json depth", "SELECT json_valid(repeat('[', 20000000) || repeat(']', 20000000))", None),
    ("2 GB string", "SELECT length(repeat('x', 2000000000))", None),
    ("10,000 columns", "SELECT " + ", ".join(f"i + {c} AS c{c}" for c in range(10_000)) + " FROM range(3000) r(i)", None),
]


class Tree:
    """Samples the resident memory of some processes and all below them."""

    def __init__(self):
        self.roots, self.peak, self.over = set(), 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while not self.over:
            self.peak = max(self.peak, sum(self.resident(root) for root in list(self.roots)))
            time.sleep(0.02)

    def resident(self, pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            own = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")), 0)
            # a chamber is spawned by a thread of the library: every thread has children of its own
            below = " ".join(p.read_text() for p in pathlib.Path(f"/proc/{pid}/task").glob("*/children"))
        except OSError:  # it is gone
            return 0
        return own + sum(self.resident(child) for child in below.split())

    def stop(self):
        self.over = True
        self.thread.join()


class Bench:
    """A store, the budget, small queries in the background, the figures of what ran."""

    def __init__(self, store):
        self.store, self.tree, self.answers, self.wrong, self.over = store, Tree(), 0, [], False
        self.scratch = store.folder / "scratch"
        self.env = {**store.environment(), "APIARY_MEMORY_LIMIT": "256MB", "APIARY_BEES": "2", "APIARY_SCRATCH_DIR": str(self.scratch)}
        store.sql("CREATE FRAME small AS SELECT range AS i FROM range(1000)")
        self.small = threading.Thread(target=self.ask)
        self.small.start()

    def start(self, *words):
        process = subprocess.Popen([APIARY, *map(str, words)], env=self.env, cwd=self.store.folder, text=True, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.tree.roots.add(process.pid)
        return process

    def ask(self):
        while not self.over:
            process = self.start("sql", "SELECT count(*), sum(i) FROM small", "--format", "csv")
            out, err = process.communicate(timeout=SECONDS)
            self.tree.roots.discard(process.pid)
            if out.splitlines()[1:] != ["1000,499500"]:
                self.wrong.append((process.returncode, out, err))
            self.answers += 1
            time.sleep(0.05)

    def finish(self):
        self.over = True
        self.small.join()
        self.tree.stop()
        assert not self.wrong, f"a small query beside the bomb: {self.wrong[0]}"
        assert self.answers > 0
        left = [str(p) for p in self.scratch.rglob("*")] if self.scratch.exists() else []
        assert not left, f"left in scratch: {left[:5]}"
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        assert largest <= BUDGET + CONSTANT, f"one process had {largest / 1e6:.0f} MB"
        assert self.tree.peak <= BUDGET + CONSTANT, f"the processes together had {self.tree.peak / 1e6:.0f} MB"
        return self.tree.peak, self.answers


def clear(code, err, codes=CODES):
    """One line of error in the user's words, and a code that fits."""
    lines = [line for line in err.splitlines() if not line.startswith(("Hint: ", "Notice: "))]
    assert code == 1 and len(lines) == 1, f"exit {code}: {err}"
    assert lines[0].startswith("Error (") and lines[0][7:].split(")")[0] in codes, lines[0]
    assert "SET " not in lines[0] and "allocat" not in lines[0], lines[0]


def bomb(name, sql, answer):
    def case():
        with Store() as store:
            bench = Bench(store)
            try:
                begin = time.monotonic()
                process = bench.start("sql", "-f", store.file("bomb.sql", sql), "--format", "csv")
                out, err = process.communicate(timeout=SECONDS)
                took = time.monotonic() - begin
                bench.tree.roots.discard(process.pid)
                if process.returncode == 0:
                    assert answer is None or out.splitlines()[-1] == answer, out[-300:]
                else:
                    clear(process.returncode, err)
                while bench.answers == 0:
                    time.sleep(0.05)
            finally:
                peak, answers = bench.finish()
            end = "right" if process.returncode == 0 else err.split(":")[0]
            print(f"# {name}: {end} in {took:.1f} s, peak {peak / 1e6:.0f} MB, {answers} small queries beside it")

    case.__name__ = "bomb_" + name.replace(" ", "_").replace(",", "")
    return case


def slow_reader():
    """A large result, read a little at a time: it goes to the disk, and the bees are free."""
    rows = size(400_000, 5_000_000)
    with Store() as store:
        bench = Bench(store)
        try:
            process = bench.start("sql", f"SELECT i, repeat('x', 1000) AS t FROM range({rows}) r(i)", "--format", "csv")
            lines = 0
            for line in process.stdout:
                lines += 1
                if lines % (rows // 40) == 0:
                    time.sleep(0.1)
            assert process.wait(timeout=SECONDS) == 0, process.stderr.read()
            bench.tree.roots.discard(process.pid)
            assert lines == rows + 1, lines
        finally:
            peak, answers = bench.finish()
        print(f"# a result of {rows // 1000} MB read slowly: peak {peak / 1e6:.0f} MB, {answers} small queries beside it")


def long_line():
    """An import of a file that is one line."""
    megabytes = size(300, 1000)
    with Store() as store:
        bench = Bench(store)
        try:
            path = store.folder / "line.csv"
            with open(path, "w") as file:
                for _ in range(megabytes):
                    file.write("x" * 1_000_000)
            process = bench.start("import", "lines", path)
            out, err = process.communicate(timeout=SECONDS)
            bench.tree.roots.discard(process.pid)
            if process.returncode != 0:
                # The engine may fault where it is refused memory; when that was too quick to be seen it is CHAMBER.
                clear(process.returncode, err, CODES | {"CHAMBER"})
                assert not [o for o in store.objects() if "lines" in o[0]], store.objects()
        finally:
            peak, answers = bench.finish()
        print(f"# one line of {megabytes} MB: {err.splitlines()[0] if err else out.strip()}; peak {peak / 1e6:.0f} MB, {answers} small queries beside it")


def large_import():
    """Files larger than the budget: all their rows come in, also where they have to be sorted by partition."""
    rows = size(6_000_000, 120_000_000)
    select = f"SELECT i, i % 7 AS p, hash(i) AS h, 'text number ' || i AS t FROM range({rows}) r(i)"
    with Store() as store:
        bench = Bench(store)

        def run(*words):
            process = bench.start(*words)
            _, err = process.communicate(timeout=SECONDS)
            bench.tree.roots.discard(process.pid)
            return process.returncode, err

        try:
            for name, form, partitions in (("rows.csv", "csv", []), ("rows.csv", "csv", ["--partition-by", "p"]), ("rows.csv.gz", "csv", []),
                                           ("rows.parquet", "parquet", [])):
                path = store.folder / name
                if name.endswith(".gz"):
                    with open(store.folder / "rows.csv", "rb") as plain, gzip.open(path, "wb", compresslevel=1) as packed:
                        shutil.copyfileobj(plain, packed, 1 << 20)
                elif not path.exists():
                    code, err = run("sql", f"COPY ({select}) TO '{path}' (FORMAT {form})")
                    assert code == 0, err
                begin = time.monotonic()
                code, err = run("import", "large", path, *partitions)
                took = time.monotonic() - begin
                assert code == 0, f"{name} {partitions}: {err}"
                got = store.sql("SELECT count(*), sum(i), count(DISTINCT p) FROM large; DROP FRAME large")[1:]
                assert got == [f"{rows},{rows * (rows - 1) // 2},7"], f"{name} {partitions}: {got}"
                print(f"# {name} {' '.join(partitions)}: {path.stat().st_size / 1e6:.0f} MB, all rows in {took:.1f} s, "
                      f"peak so far {bench.tree.peak / 1e6:.0f} MB")
        finally:
            bench.finish()


def killed_in_the_middle():
    """kill -9 of the program in the middle of a spill: the next one sweeps what it left."""
    with Store() as store:
        env = {**store.environment(), "APIARY_MEMORY_LIMIT": "256MB", "APIARY_BEES": "2", "APIARY_SCRATCH_DIR": str(store.folder / "scratch")}
        process = subprocess.Popen([APIARY, "sql", "SELECT count(*) FROM (SELECT hash(i) AS h FROM range(100000000) r(i) ORDER BY h OFFSET 5)"], env=env,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scratch = store.folder / "scratch"
        end = time.monotonic() + SECONDS
        while not list(scratch.glob("pool-*/*/spill*/*")) and time.monotonic() < end:
            time.sleep(0.05)
        assert list(scratch.glob("pool-*/*/spill*/*")), "it never spilled"
        process.send_signal(signal.SIGKILL)
        process.wait()
        while True:  # its chamber ends by itself; then its slots and its folder are free
            done = subprocess.run([APIARY, "sql", "SELECT 42", "--format", "csv"], env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert done.returncode == 0 and done.stdout.splitlines()[-1] == "42", done
            if not list(scratch.iterdir()):
                break
            assert time.monotonic() < end, list(scratch.rglob("*"))


if os.environ.get("AP_SANITIZED"):
    print("1..0 # SKIP the kernel's memory limit is off in a sanitizer build")
    sys.exit(77)
cases = [bomb(*row) for row in BOMBS] + [slow_reader, long_line, large_import, killed_in_the_middle]
main([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
