#!/usr/bin/env python3
"""Streams larger than the memory budget, results in bounded memory, no leaks. Long forms: AP_SOAK=1 (make soak)."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import gc
import os
import subprocess
import sys
import threading

import pytest

import apiary
from conftest import SETTINGS

SOAK = "AP_SOAK" in os.environ
STREAM_MB, BUDGET_MB = (5_000, 512) if SOAK else (600, 256)

# Runs in a process of its own, so that its peak memory is that of the one call.
STREAM = """
import sys, apiary, numpy
store, total_mb, budget_mb = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ROWS = 500_000  # of two columns: 8 MB
def peak_mb():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
def batches():
    numbers = numpy.random.default_rng(7)
    for _ in range(total_mb // 8):
        yield {"a": numbers.integers(0, 2**62, ROWS), "b": numbers.random(ROWS)}
with apiary.open(store, bees=1, memory_limit=f"{budget_mb}MB", fsync=False) as db:
    db.create_frame("main", "main", "t", {"a": "int", "b": "double"})
    before = peak_mb()
    written = db.write_to_frame("main", "main", "t", batches())
    after = peak_mb()
    bees = max(bee["memory_peak"] for bee in db.bee_status()) / 2**20
    assert db.sql("SELECT count(*) FROM t").scalar() == written["rows_written"] == total_mb // 8 * ROWS
    rows = sum(batch.num_rows for batch in db["t"].read().batches()) if total_mb < 2000 else None
    read = peak_mb()
print(before, after, bees, read, rows)
"""


def test_a_stream_larger_than_the_budget(tmp_path):
    done = subprocess.run([sys.executable, "-c", STREAM, str(tmp_path / "store"), str(STREAM_MB), str(BUDGET_MB)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before, after, bees, read, rows = done.stdout.split()
    assert bees != "0.0" and float(bees) <= BUDGET_MB, f"the bee used {bees} MB of {BUDGET_MB}"
    assert float(after) - float(before) < BUDGET_MB, f"writing {STREAM_MB} MB took {before} to {after} MB"
    assert float(read) - float(before) < BUDGET_MB + 64, f"reading took it to {read} MB"
    assert rows in ("None", str(STREAM_MB // 8 * 500_000))


def times(count):
    """How often a step is repeated: 10,000 times in the long form."""
    return 10_000 if SOAK else count


def memory_kb():
    """What is resident of this process and its own. Not the pages of libraries: 40 MB of them become private
    when another process that uses the same ones ends."""
    gc.collect()
    total = 0
    with open("/proc/self/smaps_rollup") as rollup:
        for line in rollup:
            if line.startswith(("Private_Dirty:", "Shared_Dirty:")):
                total += int(line.split()[1])
    return total


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def flat(step, repeats, allowed_kb=6 * 1024):
    """Runs a step many times and sees to it that nothing grows. The first ones fill what is kept."""
    for _ in range(max(20, repeats // 20)):
        step()
    memory, open_before = memory_kb(), descriptors()
    for _ in range(repeats):
        step()
    assert descriptors() <= open_before + 2, "descriptors leak"
    grown = memory_kb() - memory
    assert grown < allowed_kb, f"{repeats} times left {grown} kB"


def test_results_do_not_leak(db):
    pyarrow = pytest.importorskip("pyarrow")

    def step():
        result = db.sql("SELECT range AS n, 'some text ' || range AS s, [range] AS l FROM range(100)")
        table = result.to_arrow()
        assert table.num_rows == 100 and len(result.fetchall()) == 100 and len(list(result)) == 100
        pyarrow.ipc.open_stream(result).read_all()
        repr(result)
        result._repr_html_()

    flat(step, times(200))


def test_tables_and_parameters_do_not_leak(db):
    pyarrow = pytest.importorskip("pyarrow")
    mine = pyarrow.table({"a": list(range(1000)), "s": ["text"] * 1000})

    def step():
        row = db.sql("SELECT sum(a) + $n, $s, $l FROM mine GROUP BY ALL", {"n": 1, "s": "x" * 1000, "l": [1, 2, 3]}, tables={"mine": mine}).fetchone()
        assert row == (sum(range(1000)) + 1, "x" * 1000, [1, 2, 3])

    flat(step, times(200))


def test_streams_that_nobody_reads_do_not_leak():
    """Everything that becomes Arrow without a statement, very often."""
    from apiary import _data

    rows = [{"a": i, "s": "text", "l": [i], "d": {"x": i}} for i in range(50)]

    def step():
        _data.source(rows)
        _data.source({"a": [1, 2, 3], "s": ["x", None, "z"]})
        _data.source(iter(rows))
        apiary.Schema({"a": "int", "l": "list<struct<x: text>>"}).__arrow_c_schema__()
        try:
            _data.source([{"a": object()}])
        except apiary.SchemaError:
            pass

    flat(step, times(1_000))


def test_errors_do_not_leak(db):
    def step():
        for statement in ("SELEC 1", "SELECT * FROM nowhere", "SELECT error('x')"):
            try:
                db.sql(statement)
            except apiary.Error:
                pass

    flat(step, times(100))


def test_writing_does_not_leak(db):
    db.create_frame("main", "main", "t", {"a": "int", "s": "text"})
    rows = [{"a": i, "s": "text"} for i in range(100)]
    flat(lambda: db.overwrite_frame("main", "main", "t", rows), times(50), allowed_kb=12 * 1024)


def test_sessions_and_stores_do_not_leak(tmp_path, db):
    def sessions():
        with db.session() as session:
            session.cancel()

    flat(sessions, times(1_000))

    def stores():
        with apiary.open(tmp_path / "other", **SETTINGS) as other:
            other.status()

    flat(stores, times(100))


def test_threads_leave_nothing_behind(db):
    """A session belongs to its thread and goes with it."""

    def step():
        thread = threading.Thread(target=lambda: db.list_hives())
        thread.start()
        thread.join()

    flat(step, times(100))


@pytest.mark.skipif("AP_SANITIZED" in os.environ, reason="a sanitizer build needs more memory than that")
def test_many_partitions_under_a_small_budget(tmp_path, capfd):
    """Rows of the caller come once: a first try in the usual way would be the only one, and fail."""
    import pyarrow

    rows, partitions = 100_000, 2_000
    table = pyarrow.table({"i": range(rows), "p": [i * 7919 % partitions for i in range(rows)], "t": [f"text number {i}" for i in range(rows)]})
    with apiary.open(str(tmp_path / "store"), bees=2, memory_limit="256MB", fsync=False, log="info") as db:
        db.sql("CREATE FRAME t (i BIGINT, p BIGINT, t TEXT) PARTITIONED BY (p)")
        assert db.write_to_frame("main", "main", "t", table)["rows_written"] == rows
        assert "event=writing_frugally frame=main.main.t in_pieces=true" in capfd.readouterr().err
        assert db.sql("SELECT count(*) = count(DISTINCT i) AND sum(i) = 4999950000 AND count(DISTINCT p) = 2000 FROM t").scalar()
        db.sql("INSERT INTO t SELECT i + 100000, p, t FROM more", tables={"more": table})
        assert db.sql("SELECT count(*) FROM t").scalar() == 2 * rows


@pytest.mark.skipif("AP_SANITIZED" in os.environ, reason="a sanitizer build needs more memory than that")
def test_all_idle_bees_are_memory_enough(tmp_path, capfd):
    """The same rows are written in the usual way where a bee alone has little but the write gets both."""
    import pyarrow

    table = pyarrow.table({"i": range(10_000), "p": [i % 7 for i in range(10_000)]})
    with apiary.open(str(tmp_path / "store"), bees=2, memory_limit="384MB", fsync=False, log="info") as db:
        db.sql("CREATE FRAME t (i BIGINT, p BIGINT) PARTITIONED BY (p)")
        assert db.write_to_frame("main", "main", "t", table)["rows_written"] == 10_000
        assert "writing_frugally" not in capfd.readouterr().err
