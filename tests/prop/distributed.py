#!/usr/bin/env python3
"""Dividing a query changes no answer.

Random frames of many cells, random queries over them, each cut into a random number of tasks (SET distributed = force) and
run whole (off): the rows must be the same, floats to 12 digits. Then the same with rules of the cut broken on purpose
(sql/cut.h, enum ap_cut_mistake): each mistake must be caught by a query that is named here.

    AP_SEED=7 AP_SEEDS=1 tests/prop/distributed.py     repeats one seed
    AP_SECONDS=600 ...                                 goes on with more seeds as long
    AP_SHOW=1 ...                                      prints each seed's figures, and why queries stayed whole
"""

import collections
import csv
import io
import math
import os
import pathlib
import random
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]

from apiary_cli import Store, main  # noqa: E402
from cut_queries import Queries  # noqa: E402

SEED = int(os.environ.get("AP_SEED", "5"))
SEEDS = int(os.environ.get("AP_SEEDS", "1"))
SECONDS = float(os.environ.get("AP_SECONDS", "0"))
QUERIES = 25 if os.environ.get("AP_SANITIZED") else 100
SHOW = os.environ.get("AP_SHOW")
BATCH = 20  # statements of one call
MARK = "apart-from-the-next"
FRAME = """CREATE FRAME f (id BIGINT, k INTEGER, g VARCHAR, i INTEGER, b BIGINT, d DECIMAL(15,2), x DOUBLE, bo BOOLEAN, dt DATE, ts TIMESTAMP,
           l INTEGER[], st STRUCT(a INTEGER, c VARCHAR))"""
ROWS = """INSERT INTO f SELECT n, CASE WHEN n % 11 = 0 THEN NULL ELSE n * 7 % 5 END, CASE WHEN n % 13 = 0 THEN NULL ELSE 'g' || n % 4 END,
          CASE WHEN n % 17 = 0 THEN NULL ELSE n * 37 % 101 - 50 END, CASE WHEN n % 19 = 0 THEN NULL ELSE n * 9007199254740993 % 1000003 END,
          n * 1234 % 100000 / 100.0, n * 29 % 1001 * 0.25, n % 3 = 0, DATE '2024-01-01' + CAST(n * 5 % 90 AS INTEGER),
          TIMESTAMP '2024-01-01' + INTERVAL (n) HOUR, [n % 3, n % 5, n % 7][:n % 4], {{'a': n % 4, 'c': 'c' || n % 3}} FROM range({}, {}) r(n)"""
OTHER_TYPES = "SELECT CAST(id + 100000 AS INTEGER) AS id, CAST(k AS BIGINT) AS k, g, CAST(i AS SMALLINT) AS i, b, CAST(d AS DECIMAL(12,1)) AS d, " \
              "CAST(x AS FLOAT) AS x, bo, dt, ts, l, st FROM f"
OTHERS = ["CREATE FRAME w AS SELECT CAST(n AS INTEGER) AS k, 'label' || n AS label FROM range(4) r(n)",
          "CREATE FRAME h AS SELECT n AS hid, CAST(n * 3 % 250 AS BIGINT) AS ref, CAST(n % 6 AS INTEGER) AS k, CAST(n * 17 % 40 AS INTEGER) AS v FROM range(60) r(n)",
          "INSERT INTO h SELECT n, n * 3 % 250, n % 6, n * 17 % 40 FROM range(60, 90) r(n)",
          "CREATE VIEW v AS SELECT t.* FROM f t WHERE t.i IS NOT NULL OR t.k = 1",
          f"CREATE FRAME e AS {OTHER_TYPES} WHERE id % 2 = 1", f"INSERT INTO e {OTHER_TYPES} WHERE id % 3 = 0", f"INSERT INTO e {OTHER_TYPES} WHERE id % 7 = 0",
          "CREATE FRAME nothing AS SELECT * FROM f WHERE false"]
# mistake: its bit, a query that tells it from the truth
MISTAKES = {
    "a WITH name used twice": (1, "WITH c AS (SELECT * FROM f) SELECT count(*) FROM c a JOIN c b ON a.k = b.k"),
    "UNION ALL with a whole branch": (2, "SELECT count(*) FROM (SELECT k FROM f UNION ALL SELECT k FROM w) q"),
    "LIMIT and a sample in a part that is read whole": (4, "SELECT count(*) FROM f WHERE id IN (SELECT id FROM f USING SAMPLE 30 ROWS LIMIT 25)"),
    "averages of averages": (8, "SELECT avg(d) FROM f"),
    "count without its type": (16, "SELECT typeof(n) FROM (SELECT count(*) AS n FROM f)"),
}


class Trial:
    def __init__(self, seed, store):
        self.seed, self.store, self.random = seed, store, random.Random(seed)
        self.asked = self.refused = self.cut = 0
        self.whole = collections.Counter()
        self.kinds = collections.Counter()

    def build(self):
        at, statements = 0, [FRAME]
        for _ in range(self.random.randint(6, 12)):
            count = self.random.choice([1, 3, 20, 20, 40, 60])
            statements.append(ROWS.format(at, at + count))
            at += count
        self.answers(statements + OTHERS, "off", {})

    def answers(self, statements, mode, env):
        """The output of each statement: rows, or the text of its error."""
        out, at = [], 0
        while at < len(statements):
            left = statements[at:at + BATCH]
            text = ";\n".join(f"{s};\nSELECT '{MARK}' AS m" for s in left)
            path = self.store.file("batch.sql", f"SET distributed = '{mode}';\n{text};\n")
            code, stdout, stderr = self.store.run("sql", "-f", path, "--format", "csv", env=env)
            parts = re.split(rf"^m\r?\n{MARK}\r?\n", stdout, flags=re.M)
            out += [list(csv.reader(io.StringIO(part)))[1:] for part in parts[: len(left) if code == 0 else -1]]
            if code != 0:
                out.append(stderr.strip())
            at = len(out)
        assert len(out) == len(statements), (len(out), len(statements))
        return out

    def explain(self, queries, env):
        for rows in self.answers([f"EXPLAIN {q}" for q in queries], "force", env):
            text = "\n".join(row[0] for row in rows if row) if isinstance(rows, list) else ""
            for kind in re.findall(r"^stage \d+: (\w+)", text, flags=re.M):
                self.kinds[kind] += 1
            self.cut += "\ndistributed: " in text
            for why in re.findall(r"^not distributed: (.*)", text, flags=re.M):
                self.whole[why] += 1

    def compare(self, count):
        queries = Queries(self.random)
        texts = [queries.query() for _ in range(count)]
        env = {"APIARY_TEST_CUT": f"tasks={self.random.randint(1, 7)},first={self.random.choice([1, 1000000])}"}
        whole, parts = self.answers(texts, "off", {}), self.answers(texts, "force", env)
        for text, left, right in zip(texts, whole, parts, strict=True):
            self.asked += 1
            if isinstance(left, str):
                self.refused += 1
                if os.environ.get("AP_SHOW") == "2":
                    print("# refused:", left[:200], text)
            elif not same(left, right):
                raise AssertionError(f"differs with {env}:\n{text}\nwhole: {show(left)}\nparts: {show(right)}\n"
                                     f"repeat: AP_SEED={self.seed} AP_SEEDS=1 tests/prop/distributed.py")
        self.explain(texts[::4], env)


def show(rows):
    return rows if isinstance(rows, str) else f"{len(rows)} rows {sorted(rows)[:12]}"


def number(text):
    try:
        return float(text)
    except ValueError:
        return None


def same_value(a, b):
    if a == b:
        return True
    x, y = number(a), number(b)
    if x is None or y is None or not ("." in a or "." in b or "e" in a or "e" in b):
        return False
    return math.isclose(x, y, rel_tol=1e-12, abs_tol=1e-9)


def rounded(row):
    """For sorting: floats that differ in the last digits must land side by side."""
    return [value if number(value) is None else f"{number(value):.6g}" for value in row]


def same(left, right):
    if isinstance(right, str) or len(left) != len(right):
        return False
    pairs = zip(sorted(left, key=rounded), sorted(right, key=rounded), strict=True)
    return all(len(a) == len(b) and all(map(same_value, a, b)) for a, b in pairs)


def answers_agree():
    began, seed = time.monotonic(), SEED
    while seed < SEED + SEEDS or time.monotonic() - began < SECONDS:
        with Store() as store:
            trial = Trial(seed, store)
            trial.build()
            trial.compare(QUERIES)
            share = trial.cut / len(range(0, trial.asked, 4))
            print(f"# seed {seed}: {trial.asked} queries, {trial.refused} refused by the engine, {share:.0%} divided; "
                  f"stages {dict(trial.kinds)}; {time.monotonic() - began:.0f} s", flush=True)
            if SHOW:
                for why, times in trial.whole.most_common():
                    print(f"#   whole {times}: {why}")
            assert share > 0.5, f"only {share:.0%} of the queries were divided"
            assert trial.refused < trial.asked / 4, "too many queries mean nothing to the engine"
        seed += 1


# What came out differently once.
ONCE_WRONG = ["SELECT k, count_if(bo) FILTER (WHERE k = 1) AS n FROM f GROUP BY k", "SELECT count_if(bo) AS n FROM f WHERE id < 0",
              "SELECT count_if(bo) AS n FROM (SELECT NULL AS bo FROM f)",
              "SELECT max(z)::VARCHAR AS z, typeof(max(z)) AS t FROM (SELECT NULL AS z FROM f UNION ALL SELECT true FROM range(3)) q",
              "SELECT coalesce(z, true)::VARCHAR AS z FROM (SELECT NULL AS z, k FROM f) q GROUP BY k, z",
              "SELECT max(z::VARCHAR) AS z FROM (SELECT true AS z FROM e UNION ALL SELECT x.z FROM e, (SELECT NULL AS z FROM w LIMIT 1) x) q",
              "SELECT typeof(z) AS t, count(*) AS n FROM (SELECT {'a': NULL} AS z FROM f UNION ALL SELECT {'a': true} FROM range(3)) q GROUP BY t"]
# UNION ALL of frames in tasks over the cells of all of them: the query, what EXPLAIN must say of its stage.
UNIONS = [
    ("SELECT k, sum(i) AS n FROM (SELECT k, i FROM f UNION ALL SELECT k, i FROM e WHERE bo) q GROUP BY k", "aggregate", ["f", "e"]),
    ("WITH c AS (SELECT k FROM f UNION ALL SELECT k FROM e) SELECT k, count(*) AS n FROM c GROUP BY k HAVING count(*) > 2", "aggregate", ["f", "e"]),
    ("SELECT count(*), sum(id) FROM both_of_them WHERE k = 2", "aggregate", ["f", "e"]),
    ("SELECT count(*) FROM (SELECT k FROM f UNION ALL SELECT k FROM e UNION ALL SELECT ref FROM h) q", "aggregate", ["f", "e", "h"]),
    ("SELECT count(*) FROM (SELECT k FROM f UNION ALL (SELECT k FROM e UNION ALL SELECT k FROM nothing)) q", "aggregate", ["f", "e", "nothing"]),
    ("SELECT sum(i) FROM (SELECT i FROM f WHERE bo UNION ALL SELECT i FROM f WHERE k = 1) q", "aggregate", ["f", "f"]),
    ("SELECT g, max(d) AS m FROM (SELECT t.g, t.d FROM f t JOIN w USING (k) UNION ALL SELECT t.g, t.d FROM w LEFT JOIN w o USING (k) RIGHT JOIN e t USING (k)) q "
     "GROUP BY g", "aggregate", ["f", "e"]),
    ("SELECT id, d FROM f UNION ALL SELECT id, d FROM e ORDER BY d DESC, id LIMIT 7 OFFSET 2", "top", ["f", "e"]),
    ("SELECT id, d FROM (SELECT id, d FROM f UNION ALL SELECT id, d FROM e) q ORDER BY d, id LIMIT 5", "top", ["f", "e"]),
    ("SELECT DISTINCT k, g FROM (SELECT k, g FROM f UNION ALL SELECT k, g FROM e) q", "distinct", ["f", "e"]),
    ("(SELECT k FROM f UNION ALL SELECT k FROM e) UNION SELECT k FROM w", "distinct", ["f", "e"]),
    ("SELECT id, x FROM f UNION ALL SELECT id, x FROM e", "gather", ["f", "e"]),
    ("SELECT id, bo, st FROM f UNION ALL BY NAME SELECT st, id, x FROM e", "gather", ["f", "e"]),
    ("SELECT typeof(i) AS a, typeof(d) AS b, count(*) AS n FROM (SELECT i, d FROM e UNION ALL SELECT i, d FROM f) q GROUP BY ALL", "aggregate", ["e", "f"]),
    ("SELECT count(*) FROM (SELECT k FROM nothing UNION ALL SELECT k FROM nothing) q", "aggregate", ["nothing", "nothing"]),
    ("SELECT count(*), sum(i) FROM (SELECT i FROM f AT (VERSION => 2) UNION ALL SELECT i FROM f) q", "aggregate", ["f", "f"]),
    ("SELECT label, count(q.i) AS n FROM w, LATERAL (SELECT i FROM f WHERE f.k = w.k UNION ALL SELECT i FROM e WHERE e.k = w.k + 1) q GROUP BY label",
     "aggregate", ["f", "e"]),
    # not: a branch has no reference of its own
    ("SELECT count(*) AS n FROM (SELECT k FROM f UNION ALL SELECT max(k) FROM e) q", "gather", ["f"]),
    ("SELECT count(*) AS n FROM (SELECT k FROM f UNION ALL SELECT 7) q", "gather", ["f"]),
    ("WITH c AS (SELECT k FROM f) SELECT count(*) AS n FROM (SELECT k FROM c UNION ALL SELECT k FROM c) q", "gather", ["f"]),
    ("SELECT k + 1 AS z FROM f UNION ALL SELECT k FROM e ORDER BY z LIMIT 4", "top", ["f", "e"]),
]


def what_was_wrong_once_is_right():
    with Store() as store:
        trial = Trial(SEED, store)
        trial.build()
        for query, left, right in zip(ONCE_WRONG, trial.answers(ONCE_WRONG, "off", {}), trial.answers(ONCE_WRONG, "force", {"APIARY_TEST_CUT": "tasks=3"}), strict=True):
            assert same(left, right), f"{query}: {show(left)} became {show(right)}"


def every_cell_is_in_one_task(query, tasks, frames):
    """"task 1: 3 of 8 cells (1 of 5 of frame main.main.f, 2 of 3 of frame main.main.e), …": the shares of the tasks are each frame."""
    got = collections.Counter()
    for line in tasks:
        _, count, _ = map(int, re.match(r"  task (\d+): (\d+) of (\d+) cells", line).groups())
        shares = re.findall(r"(\d+) of (\d+) of frame main\.main\.(\w+)", line)
        assert sum(int(some) for some, _, _ in shares) == count, f"{query}: {line}"
        for some, every, name in shares:
            got[name, int(every)] += int(some)
    times = collections.Counter(frames)
    for (name, every), count in got.items():
        assert count % every == 0 and count // every <= times[name], f"{query}: {count} of {every} cells of {name}: {tasks}"
    assert {name for name, _ in got} == set(frames) - {"nothing"}, f"{query}: {tasks}"


def unions_are_shared_out():
    with Store() as store:
        trial = Trial(SEED, store)
        trial.build()
        trial.answers(["CREATE VIEW both_of_them AS SELECT id, k FROM f UNION ALL SELECT id, k FROM e"], "off", {})
        queries = [query for query, _, _ in UNIONS]
        wanted = trial.answers(queries, "off", {})
        for tasks in (1, 3, 50):  # of several cells, across two frames, of one cell each
            env = {"APIARY_TEST_CUT": f"tasks={tasks}"}
            plans = trial.answers([f"EXPLAIN {query}" for query in queries], "force", env)
            for (query, kind, frames), plan, right, got in zip(UNIONS, plans, wanted, trial.answers(queries, "force", env), strict=True):
                over = " and ".join(f"frame main.main.{name}" for name in frames[-2:])
                over = "".join(f"frame main.main.{name}, " for name in frames[:-2]) + over
                said = [row[0] for row in plan if row and row[0].startswith("stage ")]
                assert len(said) == 1 and re.fullmatch(rf"stage 0: {kind} of \d+ tasks? over {over}", said[0]), f"{query}: {said or plan}"
                if len(frames) > 1:
                    every_cell_is_in_one_task(query, [row[0] for row in plan if row and row[0].startswith("  task ")], frames)
                assert same(right, got), f"{query} in {tasks} tasks: {show(right)} became {show(got)}"


def mistakes_are_caught():
    with Store() as store:
        trial = Trial(SEED, store)
        trial.build()
        for name, (bit, query) in MISTAKES.items():
            wanted, = trial.answers([query], "off", {})
            right, = trial.answers([query], "force", {"APIARY_TEST_CUT": "tasks=3"})
            # Where chance decides, a wrong rule may come out right once, but not eight times.
            wrong = trial.answers([query] * 8, "force", {"APIARY_TEST_CUT": f"tasks=3,mistakes={bit}"})
            assert same(wanted, right), f"{name}: {query}: {show(wanted)} became {show(right)}"
            caught = [rows for rows in wrong if not same(wanted, rows)]
            assert caught, f"{name} is not caught: {query} gives {show(wrong[0])}"


if __name__ == "__main__":
    main([answers_agree, what_was_wrong_once_is_right, unions_are_shared_out, mistakes_are_caught])
