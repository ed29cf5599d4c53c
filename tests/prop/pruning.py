#!/usr/bin/env python3
"""Leaving cells out never changes an answer.

Random frames of many small cells, thousands of random queries: each is asked over the frames, where cells are
dropped by partition values and statistics, and over the same rows where none can be (a MATERIALIZED query
with a LIMIT, of which EXPLAIN shows that it reads all cells). Count, hash and sum of what they find must agree.
What the ledger alone answers (count(*), min, max) must agree with a scan.

A batch of queries is one statement. Cells are kept for a frame if any part of a statement wants them, so each query of
a batch has frames of its own: further names (LOCATION) of the same tables.

    AP_SEED=7 AP_SEEDS=1 tests/prop/pruning.py     repeats one seed
    AP_SECONDS=600 ...                             goes on with more seeds as long
    AP_SHOW=1 ...                                  prints each seed's figures

A difference while EXPLAIN shows that all cells were read is not pruning's: it is printed, and few may be.

Planted in src/ledger/prune.c and caught with AP_SEED=7 by "dec9 >= 0.05": a maximum treated as exclusive (less_or_equal
in place of less for AP_GE). With AP_SHOW=2 each call of the program is shown with its time.
"""

import concurrent.futures
import csv
import io
import os
import pathlib
import random
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]

import generate  # noqa: E402
import shapes  # noqa: E402
from apiary_cli import Store, main  # noqa: E402

SEED = int(os.environ.get("AP_SEED", "3"))
SLOW = bool(os.environ.get("AP_SANITIZED"))
SEEDS = int(os.environ.get("AP_SEEDS", "1"))  # more: AP_SEEDS=n; a seed takes a minute or two
SECONDS = float(os.environ.get("AP_SECONDS", "0"))
BATCHES, BATCH = (4 if SLOW else 14), 50
INSERTS = {"fa": 24, "fb": 16, "fc": 8}
SIDE_BY_SIDE = min(2, len(os.sched_getaffinity(0)))  # seeds at a time
FIGURES = ("asked", "failing", "engine", "references", "pruned", "cells", "kept")
ALL = "LIMIT 1000000000"
SCAN = re.compile(r"frame \S+\.(\w+) version \d+: reads (\d+) of (\d+) cells")


class Trial:
    """One seed: three frames, and queries over them."""

    def __init__(self, seed, store):
        self.seed, self.store, self.random = seed, store, random.Random(seed)
        self.frames = [generate.Frame(self.random, name) for name in ("fa", "fb", "fc")]
        self.predicates = generate.Predicates(self.random)
        self.asked = self.failing = self.engine = self.references = self.pruned = self.cells = self.kept = 0
        self.drops = {"partition": 0, "statistics": 0}

    def fail(self, what):
        raise AssertionError(f"{what}\nrepeat: AP_SEED={self.seed} AP_SEEDS=1 tests/prop/pruning.py")

    def run(self, statements):
        """All statements in one call; output of each as rows, or None with the error."""
        path = self.store.file("batch.sql", ";\n".join(statements) + ";\n")
        began = time.monotonic()
        code, out, err = self.store.run("sql", "-f", path, "--format", "csv")
        if os.environ.get("AP_SHOW") == "2":
            print(f"# {time.monotonic() - began:.2f} s: {len(statements)} {statements[0][:60]!r} {code}", flush=True)
        return (out, None) if code == 0 else (None, err.strip())

    def build(self):
        statements = [frame.create() for frame in self.frames]
        for frame in self.frames:
            statements += [frame.insert() for _ in range(INSERTS[frame.name])]
        _, err = self.run(statements)
        if err:
            self.fail(f"building: {err}")

    def more_names(self):
        """fa0, fa1, … for the queries of a batch."""
        out = []
        for frame in self.frames:
            out += [f"CREATE FRAME {frame.name}{n} LOCATION '{self.store.root}/main/main/{frame.name}'" for n in range(BATCH)]
        _, err = self.run(out)
        if err:
            self.fail(f"further names: {err}")

    def fill(self, query, number):
        """The tested query, and the one to compare with."""
        tested = re.sub(r"\{([abc]):(\w+)\}", rf"f\g<1>{number} AS \g<2>", query)
        truth = re.sub(r"\{([abc]):(\w+)\}", r"m\g<1> AS \g<2>", query)
        return tested, truth

    def batch(self, texts, name):
        parts = [f"SELECT {number} AS q, * FROM ({text}) x" for number, text in enumerate(texts)]
        everything = " UNION ALL ".join(parts)
        if name == "truth":
            copies = ", ".join(f"m{letter} AS MATERIALIZED (SELECT * FROM f{letter} {ALL})" for letter in "abc")
            everything = f"WITH {copies} {everything}"
        return everything

    def answers(self, text):
        out, err = self.run([text])
        if err:
            return None, err
        return {row[0]: row[1:] for row in csv.reader(io.StringIO(out)) if row and row[0] != "q"}, None

    def one(self, tested, truth):
        """A query of a batch that failed, alone."""
        got, err = self.answers(self.batch([tested], "tested"))
        wanted, wanted_err = self.answers(self.batch([truth], "truth"))
        # The engine may come to a cast that overflows before or after the filter that spares it.
        if err and not wanted_err and "Error (SQL)" not in err:
            self.fail(f"fails: {err}\n{tested}\nbut this does not:\n{self.batch([truth], 'truth')}")
        self.failing += bool(err or wanted_err)
        if os.environ.get("AP_SHOW") and wanted_err:
            print("#", wanted_err[:300])
        if not err and not wanted_err and got != wanted:
            self.differ(tested, truth, got, wanted)

    def differ(self, tested, truth, got, wanted):
        out, _ = self.run(["EXPLAIN " + tested])
        scans = SCAN.findall(out or "")
        if scans and all(kept == cells for _, kept, cells in scans):
            print(f"# not pruning: all cells are read, and yet the engine gives {got} in place of {wanted}: {tested}", flush=True)
            self.engine += 1
            return
        self.fail(f"gave {got}, expected {wanted}\ntested:   {tested}\nexpected: {self.batch([truth], 'truth')}")

    def compare(self):
        views, tested, truth = [], [], []
        for number in range(BATCH):
            shape = self.random.choice(shapes.SHAPES)
            query = shape(self.random, self.predicates)
            if "{view}" in query:
                inner, outer = self.fill(f"SELECT * FROM {{a:t}} WHERE {self.predicates.condition(['t'], 1)}", number)
                views.append(f"CREATE OR REPLACE VIEW v{number} AS {inner}")
                pair = query.replace("{view}", f"v{number}"), query.replace("{view}", f"({outer})")
            else:
                pair = self.fill(query, number)
            tested.append(pair[0])
            truth.append(pair[1])
        if views:
            _, err = self.run(views)
            if err:  # the engine refuses one of them
                kept = [number for number in range(BATCH) if not re.search(r" FROM v\d+ a ", tested[number])]
                tested, truth = ([side[number] for number in kept] for side in (tested, truth))
        self.check(tested, truth)

    def check(self, tested, truth):
        """Batches with a query that the engine refuses are halved until it is alone."""
        got, err = self.answers(self.batch(tested, "tested"))
        wanted, wanted_err = (None, None) if err else self.answers(self.batch(truth, "truth"))
        if err or wanted_err:
            if len(tested) == 1:
                self.asked += 1
                return self.one(tested[0], truth[0])
            middle = len(tested) // 2
            self.check(tested[:middle], truth[:middle])
            return self.check(tested[middle:], truth[middle:])
        self.asked += len(tested)
        for number, pair in enumerate(zip(tested, truth)):
            if got[str(number)] != wanted[str(number)]:
                self.differ(*pair, got[str(number)], wanted[str(number)])
        return self.explain(tested, truth) if len(tested) > BATCH // 3 else None

    def explain(self, tested, truth):
        out, err = self.run(["EXPLAIN " + self.batch(tested, "tested")])
        if err:
            self.fail(f"EXPLAIN: {err}")
        for _, kept, cells in SCAN.findall(out):
            self.references += 1
            self.pruned += int(kept) < int(cells)
            self.kept, self.cells = self.kept + int(kept), self.cells + int(cells)
        for why in self.drops:
            self.drops[why] += len(re.findall(f"dropped by {why}", out))
        out, err = self.run(["EXPLAIN " + self.batch(truth[:1], "truth")])
        for name, kept, cells in SCAN.findall(out or ""):
            if kept != cells:
                self.fail(f"the copy of {name} to compare with reads {kept} of {cells} cells: {truth[0]}")

    def figures(self):
        """count(*), min and max of every column, from the ledger where it knows them."""
        names = ["id", "k", *(name for name in generate.COLUMNS if "." not in name), *generate.STRUCTS]
        for frame in self.frames:
            asks = ["count(*)", *(f"{what}({name})" for name in names for what in ("min", "max"))]
            tested, err = self.run([f"SELECT {ask} FROM {frame.name}" for ask in asks])
            together = ", ".join(f"{ask} AS x{number}" for number, ask in enumerate(asks))
            wanted, wanted_err = self.run([f"SELECT {together} FROM (SELECT * FROM {frame.name} {ALL})"])
            if err or wanted_err:
                self.fail(f"figures: {err or wanted_err}")
            got = [value for row in list(csv.reader(io.StringIO(tested)))[1::2] for value in row or [""]]
            expected = list(csv.reader(io.StringIO(wanted)))[1]
            for ask, value, wanted_value in zip(asks, got, expected, strict=True):
                if value != wanted_value and {value, wanted_value} != {"0.0", "-0.0"}:  # equal: either may be found
                    self.fail(f"SELECT {ask} FROM {frame.name} gave {value}, expected {wanted_value}")
            count = self.store.sql(f"SELECT count(*) FROM {frame.name}")[1]
            if count != str(frame.rows):
                self.fail(f"{frame.name} has {count} rows, {frame.rows} were inserted")


def trial(seed):
    before = time.monotonic()
    with Store() as store:
        one = Trial(seed, store)
        one.build()
        one.more_names()
        one.figures()
        for _ in range(BATCHES):
            one.compare()
    if os.environ.get("AP_SHOW"):
        print(f"# seed {seed}: {one.asked} queries, {one.failing} refused, cells dropped for {one.pruned} of {one.references} references, "
              f"{one.kept} of {one.cells} cells read, {one.drops}, {time.monotonic() - before:.1f} s", flush=True)
    return one.drops, {name: getattr(one, name) for name in FIGURES}


def trials():
    """The seeds, a few side by side. The first that fails ends all."""
    began, seed, done = time.monotonic(), SEED, []
    with concurrent.futures.ProcessPoolExecutor(SIDE_BY_SIDE) as workers:
        running = set()
        try:
            while True:
                while len(running) < SIDE_BY_SIDE and (seed < SEED + SEEDS or time.monotonic() - began < SECONDS):
                    running.add(workers.submit(trial, seed))
                    seed += 1
                if not running:
                    return done
                over, running = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
                done += [one.result() for one in over]
        finally:
            for one in running:
                one.cancel()


def pruning_changes_no_answer():
    done = trials()
    total = {name: sum(one[name] for _, one in done) for name in FIGURES}
    print(f"# {len(done)} seeds from {SEED}: {total['asked']} queries, {total['failing']} refused by the engine; cells dropped for {total['pruned']} of "
          f"{total['references']} references to frames, {total['kept']} of {total['cells']} cells read")
    assert total["pruned"] * 5 > total["references"], f"hardly anything is pruned: {total}"
    assert total["failing"] * 20 < total["asked"], f"too many queries are refused: {total}"
    assert total["engine"] * 500 < total["asked"], f"the engine disagrees with itself too often: {total}"
    for why in ("partition", "statistics"):
        assert any(drops[why] for drops, _ in done) or len(done) < 3, f"nothing was dropped by {why}"


if __name__ == "__main__":
    main([pruning_changes_no_answer])
