"""Work that is divided: in tasks on one node, over nodes of this machine, and what meeting in the store costs."""

import json
import math
import os
import re
import shutil
import subprocess

from common import ROOT, BUILD, RUNS, SCALE, TABLES, THREADS, where, CLEAN, apiary, about_the_same, tpch_queries
from remote import Counting


def bench_parts(work, source):
    """One node: the same query whole (one wide chamber) and in k tasks (a narrow chamber each, then the merge)."""
    store = work / "parts"
    for table in TABLES:
        apiary(store, "import", table, source / f"{table}.parquet", "--set", "target_cell_size=16MiB")
    queries = tpch_queries()
    cells = apiary(store, "sql", "EXPLAIN SELECT l_orderkey FROM lineitem", "--format", "csv")
    print(f"in parts on one node, scale {SCALE}, {THREADS} bees ({re.search(r'[0-9]+ of [0-9]+ cells', cells)[0]} of lineitem): seconds, and whole ÷ parts")
    for name in ("Q1", "Q6", "Q12", "Q14"):
        best = {}
        for _ in range(RUNS):
            for tasks in (0, 2, 4, 8):
                mode = "force" if tasks else "off"
                os.environ["APIARY_TEST_CUT"] = f"tasks={tasks}"
                out = apiary(store, "sql", "-", text=f"SET distributed = '{mode}';\n{queries[name]};\n{queries[name]}")
                best[tasks] = min(best.get(tasks, math.inf), *(float(s) for s in re.findall(r"rows? in ([0-9.]+) s", out)))
        parts = "  ".join(f"{tasks} tasks {best[tasks]:.3f} ({best[0] / best[tasks]:.2f})" for tasks in (2, 4, 8))
        print(f"  {name:<4} whole {best[0]:.3f}  {parts}")
    del os.environ["APIARY_TEST_CUT"]


SPARK = """
import json, sys, time
from pyspark.sql import SparkSession
builder = SparkSession.builder.master("local[2]").config("spark.jars", sys.argv[1]).config("spark.driver.memory", "4g").config("spark.ui.enabled", False)
for key, value in {"extensions": "io.delta.sql.DeltaSparkSessionExtension", "catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
                   "shuffle.partitions": "2", "session.timeZone": "UTC"}.items():
    builder = builder.config("spark.sql." + key, value)
spark = builder.config("spark.hadoop.parquet.filter.dictionary.enabled", False).getOrCreate()
for table in sys.argv[3:]:
    spark.read.format("delta").load(f"{sys.argv[2]}/main/main/{table}").createOrReplaceTempView(table)
print("ready", flush=True)
for line in sys.stdin:
    start = time.monotonic()
    rows = spark.sql(json.loads(line)).collect()
    print(json.dumps([time.monotonic() - start, [[str(value) for value in row] for row in rows]]), flush=True)
"""


class Spark:
    """A session of Spark over the frames of a store; None where it is not there (tools/fetch-deps spark)."""

    @classmethod
    def find(cls, work, store):
        folders = [where(name) for name in ("pyspark", "py4j", "delta-spark", "delta-storage")]
        if not shutil.which("java") or not all(folder.is_dir() for folder in folders):
            return None
        return cls(work, store, folders)

    def __init__(self, work, store, folders):
        environment = {**CLEAN, "PYTHONPATH": f"{folders[0]}:{folders[1]}", "SPARK_HOME": str(folders[0] / "pyspark"), "SPARK_LOCAL_IP": "127.0.0.1"}
        jars = ",".join(str(jar) for folder in folders[2:] for jar in folder.glob("*.jar"))
        self.process = subprocess.Popen([ROOT / ".venv/bin/python", "-c", SPARK, jars, str(store), *TABLES], env=environment, cwd=work, text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("Spark did not start")

    def ask(self, query):
        self.process.stdin.write(json.dumps(query) + "\n")
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


NODE = """
import json, sys, time
import apiary
name, store, bees, heartbeat = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
node = apiary.Apiary(name, store, bees=bees, heartbeat=heartbeat, progress=False).start()
print("ready", flush=True)
for line in sys.stdin:
    distributed, query = json.loads(line)
    node.sql(f"SET distributed = '{distributed}'")
    start = time.monotonic()
    rows = node.sql(query).fetchall()
    print(json.dumps([time.monotonic() - start, [[str(value) for value in row] for row in rows]]), flush=True)
node.shutdown()
"""


class Node:
    """A node of a swarm on this machine, in a process of its own; its bees are shared with nobody."""

    def __init__(self, work, store, name, bees, heartbeat="200ms"):
        runtime = work / f"runtime-{name}"
        runtime.mkdir(mode=0o700)
        environment = {**CLEAN, "XDG_RUNTIME_DIR": str(runtime), "PYTHONPATH": str(BUILD / "python")}
        self.process = subprocess.Popen([ROOT / ".venv/bin/python", "-c", NODE, name, str(store), str(bees), heartbeat], env=environment, text=True, bufsize=1,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"node {name} did not start")

    def ask(self, query, distributed):
        """Seconds, and the rows."""
        self.process.stdin.write(json.dumps([distributed, query]) + "\n")
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


SPREAD = ("Q1", "Q6", "Q9", "Q12", "Q14", "Q18")


def bench_spread(work, source):
    """Two nodes of one bee beside one node of two bees, and Spark with two threads over the same cells. Warm: nobody's start counts."""
    store, alone = work / "spread", work / "spread-alone"
    for table in TABLES:
        apiary(store, "import", table, source / f"{table}.parquet", "--set", "target_cell_size=16MiB")
    shutil.copytree(store, alone)  # a swarm is a store: the node of two bees has one to itself
    queries = tpch_queries()
    whole, asked, other = Node(work, alone, "whole", 2), Node(work, store, "asked", 1), Node(work, store, "other", 1)
    spark = Spark.find(work, store)
    beside = "Spark local[2] over the same cells" if spark else "no Spark: tools/fetch-deps spark and a java bring it"
    print(f"spread over nodes of this machine, scale {SCALE}, {THREADS} cores, heartbeat 200 ms, best of {2 * RUNS} in turn (s); {beside}")
    best, ran = {}, {}
    for _ in range(RUNS):
        for name in SPREAD:
            answers = {}
            for _ in range(2):
                sides = {"one": lambda q: whole.ask(q, "off"), "tasks": lambda q: whole.ask(q, "force"), "bee": lambda q: asked.ask(q, "off"),
                         "two": lambda q: asked.ask(q, "force")}
                for side, ask in {**sides, **({"spark": spark.ask} if spark else {})}.items():
                    took, answers[side] = ask(queries[name])
                    best.setdefault((name, side), []).append(took)
            wrong = [side for side, rows in answers.items() if not about_the_same(answers["one"], rows)]
            if wrong:
                raise SystemExit(f"{name}: another answer from {wrong[0]}: {answers[wrong[0]][:2]}, not {answers['one'][:2]}")
            told = "\n".join(line[0] for line in asked.ask(f"EXPLAIN ANALYZE {queries[name]}", "force")[1])
            ran[name] = " + ".join(str(len(re.findall(rf"ran on {node}, ", told))) for node in ("asked", "other"))
    for name in SPREAD:
        one, tasks, bee, two, theirs = (min(best.get((name, side), [math.nan])) for side in ("one", "tasks", "bee", "two", "spark"))
        print(f"  {name:<4} one node of two bees {one:.3f}, in tasks {tasks:.3f}; of one bee {bee:.3f}; two nodes of one bee {two:.3f} (tasks on each {ran[name]}, "
              f"efficiency {min(one, tasks) / two:.2f})" + (f"; Spark {theirs:.3f} ({theirs / one:.1f} ×)" if spark else ""))
    for side in (whole, asked, other, *([spark] if spark else [])):
        side.end()


OVERHEAD_QUERIES = int(os.environ.get("APIARY_BENCH_OVERHEAD_QUERIES", "12"))


def bench_overhead(work, _):
    """What meeting in the store costs one query: its time less its longest task and the merge, with so much added to each request."""
    counting = Counting(work)
    query = "EXPLAIN ANALYZE SELECT k, sum(i) FROM t GROUP BY k"
    print(f"coordination of one query over two nodes of one bee, 8 cells in the cache, {OVERHEAD_QUERIES} queries: median (least to most), ms; requests a query of all")
    for heartbeat in ("200ms", "5s"):
        for added in (0, 10, 50):
            store = f"s3://bucket/o{heartbeat}{added}?endpoint={counting.url}"
            CLEAN["APIARY_CACHE_DIR"] = str(work / f"cache-{heartbeat}-{added}")
            apiary(store, "sql", "CREATE FRAME t (k BIGINT, i BIGINT) PARTITIONED BY (k); INSERT INTO t SELECT i % 8, i FROM range(800000) r(i)")
            counting.call("PUT", "/-/pace", f"{added} 0".encode())
            nodes = [Node(work, store, f"{name}-{heartbeat}-{added}", 1, heartbeat) for name in ("asked", "other")]
            nodes[0].ask(query, "force"), nodes[1].ask(query, "force")  # what is read is cached, the nodes know each other
            told, requests = [], []
            for _ in range(OVERHEAD_QUERIES):
                cells, _, others = counting.count(lambda: told.append("\n".join(line[0] for line in nodes[0].ask(query, "force")[1])))
                requests.append(cells + others)
            over = sorted(float(re.search(r"overhead ([0-9.]+) ms", text)[1]) for text in told)
            for node in nodes:
                node.end()
            counting.call("PUT", "/-/pace", b"0 0")
            print(f"  heartbeat {heartbeat:5} {added:2} ms a request: {over[len(over) // 2]:5.0f} ({over[0]:.0f} to {over[-1]:.0f}), {sorted(requests)[len(requests) // 2]} requests")
    counting.end()
