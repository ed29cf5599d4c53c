#!/usr/bin/env python3
"""The 22 queries of TPC-H and the questions of `make demo`, whole and in parts: the same answers, and all of them are divided."""

import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(HERE.parent / "cli")]

import tpch_data  # noqa: E402
from apiary_cli import Store, main  # noqa: E402
from distributed import Trial, same, show  # noqa: E402

SCALE = float(os.environ.get("AP_TPCH_SCALE", "0.002" if os.environ.get("AP_SANITIZED") else "0.01"))
AIRPORTS = """CREATE FRAME airports AS SELECT 'A' || n AS iata, 'Airport ' || n AS name, 'City ' || n % 20 AS city, 'S' || n % 7 AS state,
              n * 1.5 AS latitude, n * 2.5 AS longitude FROM range(40) r(n)"""
# Some routes and days are much busier than others: what LIMIT 5 takes does not hang on ties.
FLIGHTS = """SELECT TIMESTAMP '2001-01-01' + INTERVAL (d * d // 111) DAY + INTERVAL (h) MINUTE AS date, CAST(hash(n * 7) % 240 AS INTEGER) - 40 + h // 30 AS delay,
             CAST(hash(n * 11) % 2000 AS INTEGER) AS distance, 'A' || (a * a // 1000) AS origin, 'A' || (b * b * b // 200000) AS destination,
             CAST(month(TIMESTAMP '2001-01-01' + INTERVAL (d * d // 111) DAY) AS INTEGER) AS month
             FROM (SELECT n, CAST(hash(n) % 100 AS INTEGER) AS d, CAST(hash(n * 3) % 1440 AS INTEGER) AS h, CAST(hash(n * 5) % 200 AS INTEGER) AS a,
                   CAST(hash(n * 13) % 200 AS INTEGER) AS b FROM range({}, {}) r(n))"""


def compare(store, queries, must_divide):
    trial = Trial(1, store)
    env = {"APIARY_TEST_CUT": "tasks=4"}
    texts = list(queries.values())
    whole, parts = trial.answers(texts, "off", {}), trial.answers(texts, "force", env)
    plans = trial.answers([f"EXPLAIN {text}" for text in texts], "force", env)
    for name, left, right, plan in zip(queries, whole, parts, plans, strict=True):
        assert isinstance(left, list), f"{name}: {left}"
        assert same(left, right), f"{name} differs:\nwhole: {show(left)}\nparts: {show(right)}"
        lines = [row[0] for row in plan if row]
        told = [line for line in lines if line.startswith(("distributed:", "not distributed:"))]
        assert told and (told[0].startswith("distributed:") or name not in must_divide), f"{name}: {told}"
        print(f"# {name}: {len(left)} rows, {'; '.join(line for line in lines if line.startswith('stage') or line in told)}")


def fill_tpch(store):
    """The tables; {name: query}."""
    Trial(1, store).answers(tpch_data.statements(SCALE), "off", {})
    text = (ROOT / "bench/tpch.sql").read_text()
    queries = {f"Q{part.split(maxsplit=1)[0]}": part.split("\n", 1)[1].strip().rstrip(";") for part in re.split(r"^-- Q", text, flags=re.M)[1:]}
    assert len(queries) == 22
    return queries


def fill_demo(store):
    """Flights and airports; {name: question}."""
    flights = [FLIGHTS.format(at, at + 2000) for at in range(0, 20000, 2000)]
    statements = [AIRPORTS, "CREATE FRAME flights PARTITIONED BY (month) AS " + flights[0], *(f"INSERT INTO flights {f}" for f in flights[1:])]
    Trial(1, store).answers(statements, "off", {})
    asked = re.findall(r'^ask "(SELECT.*?)"', (ROOT / "tools/demo").read_text(), flags=re.M | re.S)
    asked = [text.replace("count(*) >= 300", "count(*) >= 5") for text in asked]
    queries = {f"question {n}": text for n, text in enumerate(asked, 1) if "AT (VERSION" not in text}
    assert len(queries) >= 5, asked
    return queries


def tpch_queries():
    with Store() as store:
        queries = fill_tpch(store)
        compare(store, queries, queries)


def questions_of_the_demo():
    with Store() as store:
        queries = fill_demo(store)
        compare(store, queries, queries)


if __name__ == "__main__":
    main([tpch_queries, questions_of_the_demo])
