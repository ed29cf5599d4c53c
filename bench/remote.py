"""Over a store that counts and can be slow, beside others on the same cells: requests, bytes, time."""

import csv
import io
import json
import re
import shutil
import subprocess
import urllib.request

from common import ROOT, RUNS, SCALE, TABLES, where, TOOLS, CLEAN, apiary, timed, about_the_same, tpch_queries

LATENCY_MS, BANDWIDTH = 30, 125_000_000
BY_OTHERS = {
    ("Q6", "Polars"): """
import polars, datetime
from polars import col
d = datetime.date
f = lambda name: col(name).cast(polars.Float64)
print(polars.scan_parquet("s3://bucket/bench/main/main/lineitem/*.parquet", storage_options=OPTIONS).filter(
    (col("l_shipdate") >= d(1994, 1, 1)) & (col("l_shipdate") < d(1995, 1, 1)) & f("l_discount").is_between(0.05, 0.07)
    & (f("l_quantity") < 24)).select((f("l_extendedprice") * f("l_discount")).sum()).collect())
""",
    ("Q6", "delta-rs"): """
import datetime, deltalake, pyarrow.dataset as ds
d = datetime.date
t = deltalake.DeltaTable("s3://bucket/bench/main/main/lineitem", storage_options=OPTIONS).to_pyarrow_dataset().to_table(
    columns=["l_extendedprice", "l_discount", "l_quantity"], filter=(ds.field("l_shipdate") >= d(1994, 1, 1)) & (ds.field("l_shipdate") < d(1995, 1, 1)))
print(t.num_rows)
""",
    ("Q1", "Polars"): """
import polars, datetime
from polars import col
f = lambda name: col(name).cast(polars.Float64)
price, discount, tax = f("l_extendedprice"), f("l_discount"), f("l_tax")
print(polars.scan_parquet("s3://bucket/bench/main/main/lineitem/*.parquet", storage_options=OPTIONS).filter(
    col("l_shipdate") <= datetime.date(1998, 9, 2)).group_by("l_returnflag", "l_linestatus").agg(f("l_quantity").sum().alias("q"), price.sum().alias("p"),
    (price * (1 - discount)).sum().alias("d"), (price * (1 - discount) * (1 + tax)).sum().alias("c"), discount.mean().alias("m"), polars.len()).collect())
""",
    ("Q1", "delta-rs"): """
import datetime, deltalake, pyarrow.dataset as ds
t = deltalake.DeltaTable("s3://bucket/bench/main/main/lineitem", storage_options=OPTIONS).to_pyarrow_dataset().to_table(
    columns=["l_returnflag", "l_linestatus", "l_quantity", "l_extendedprice", "l_discount", "l_tax"], filter=ds.field("l_shipdate") <= datetime.date(1998, 9, 2))
print(t.num_rows)
""",
}


class Counting:
    """The S3 server of the tests, which counts what it answers, and a store on it."""

    def __init__(self, work):
        self.server = subprocess.Popen([ROOT / "tests/contract/s3_server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.server.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}"
        self.store = f"s3://bucket/bench?endpoint={self.url}"
        self.cache = work / "cache"
        CLEAN.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="secret", APIARY_CACHE_DIR=str(self.cache))

    def call(self, method, path, body=None):
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=body, method=method)) as answer:
            return answer.read()

    def count(self, run):
        """(requests for cells, their bytes, other requests) that `run` makes."""
        self.call("GET", "/-/log")
        self.call("PUT", "/-/faults", b"")
        run()
        cells = [size for method, path, _, size in json.loads(self.call("GET", "/-/log")) if method in ("GET", "HEAD") and path.endswith(".parquet")]
        every = sum(json.loads(self.call("GET", "/-/seen"))["methods"].values())  # those that found nothing too
        return len(cells), sum(cells), every - len(cells)

    def ask(self, query, *words):
        return apiary(self.store, "sql", query, "--format", "csv", *words)

    def chill(self):
        shutil.rmtree(self.cache, ignore_errors=True)

    def end(self):
        self.server.stdin.close()
        self.server.wait()


class Httpfs:
    """The duckdb command line with its extension httpfs over the cells of a Counting server. They are named, so that it need not list."""

    def __init__(self, counting, tables):
        extension = next(where("bench").glob("lib/python*/site-packages/duckdb_extension_httpfs/extensions/*/httpfs.duckdb_extension"), None)
        keys = json.loads(counting.call("GET", "/-/keys/bucket"))
        self.setup = (f".output /dev/null\nLOAD '{extension}';\nCREATE SECRET (TYPE s3, KEY_ID 'test', SECRET 'secret', REGION 'us-east-1', "
                      f"ENDPOINT '127.0.0.1:{counting.port}', URL_STYLE 'path', USE_SSL false);\n"
                      "SET enable_http_metadata_cache = true;\n.output\n.mode csv\n")
        self.tables = {t: [f"s3://bucket/{key}" for key in keys if key.startswith(f"bench/main/main/{t}/") and key.endswith(".parquet")] for t in tables}
        self.lacks = "it is not there (tools/fetch-deps bench)" if extension is None else self.run(self.setup).stderr.strip()
        if self.lacks:
            print(f"DuckDB's httpfs is left out: {self.lacks}")

    @staticmethod
    def run(text):
        return subprocess.run([TOOLS / "duckdb", "-bail"], input=text, capture_output=True, text=True)

    def ask(self, query):
        # A view binds its files when it is made: only those that the query names.
        views = "".join(f"CREATE VIEW {t} AS FROM read_parquet({files});\n" for t, files in self.tables.items() if re.search(rf"\b{t}\b", query))
        done = self.run(f"{self.setup}{views}{query};")
        if done.returncode != 0 or done.stderr:
            raise SystemExit(f"DuckDB with httpfs: {done.stderr}")
        return done.stdout


def bench_remote(work, source):
    """Cold time against bytes ÷ bandwidth + the same query with every page cached; requests of others."""
    counting = Counting(work)
    queries = tpch_queries()
    apiary(counting.store, "import", "lineitem", source / "lineitem.parquet")
    counting.call("PUT", "/-/pace", f"{LATENCY_MS} {BANDWIDTH}".encode())
    httpfs = Httpfs(counting, ["lineitem"])
    options = {"aws_access_key_id": "test", "aws_secret_access_key": "secret", "aws_region": "us-east-1", "aws_endpoint_url": counting.url,
               "aws_allow_http": "true", "allow_http": "true"}
    for name in ["Q1", "Q6"]:
        cold, warm = [], []
        for _ in range(RUNS):
            counting.chill()
            requests, moved, others = counting.count(lambda: cold.append(timed(lambda: counting.ask(queries[name]))))
            warm.append(timed(lambda: counting.ask(queries[name])))
        bound = moved / BANDWIDTH + min(warm)
        print(f"remote {name}: cold {min(cold):.2f} s, {requests} requests for cells and {others} others, {moved / 1e6:.1f} MB; bytes ÷ bandwidth + cached run "
              f"{bound:.2f} s: {min(cold) / bound:.2f} ×")
        for _ in range(RUNS):
            counting.chill()
            requests, moved, _ = counting.count(lambda: cold.append(timed(lambda: counting.ask(queries[name], "--set", "read_gap=1MB"))))
            print(f"remote {name} with read_gap=1MB: {requests} requests for cells, {moved / 1e6:.1f} MB, {cold[-1]:.2f} s")
        sides = {} if httpfs.lacks else {"DuckDB httpfs": lambda: httpfs.ask(queries[name])}
        for (query, side), code in BY_OTHERS.items():
            if query == name:  # _exit: threads of pyarrow abort some processes at their end
                sides[side] = lambda code=code: subprocess.run(
                    [ROOT / ".venv/bin/python", "-c", f"OPTIONS = {options!r}\n{code}\nimport os; os._exit(0)"], check=True, capture_output=True)
        for side, run in sides.items():
            took = []
            requests, moved, others = counting.count(lambda: took.append(timed(run)))
            print(f"remote {name} by {side}: {requests} requests for cells and {others} others, {moved / 1e6:.1f} MB, {took[0]:.2f} s")
    counting.end()


def rows(text):
    """Of CSV, without its head. One NULL alone is an empty line here and a word there."""
    return [["" if value == "NULL" else value for value in row or [""]] for row in list(csv.reader(io.StringIO(text)))[1:]]


def bench_requests(work, source):
    """Each of the 22 queries in a process that knows nothing, over a store without a delay: what is asked of it."""
    counting = Counting(work)
    for table in TABLES:
        apiary(counting.store, "import", table, source / f"{table}.parquet")
    httpfs = Httpfs(counting, TABLES)
    sums, fewer = [0] * 5, 0
    print(f"requests for cells (HEAD, GET) and bytes of them, TPC-H scale {SCALE}, cold")
    for name, query in tpch_queries().items():
        told, theirs, answers = "", (0, 0), []
        counting.chill()
        requests, moved, others = counting.count(lambda: answers.append(counting.ask(query)))
        if not httpfs.lacks:
            *theirs, _ = counting.count(lambda: answers.append(httpfs.ask(query)))
            if not about_the_same(*map(rows, answers)):
                raise SystemExit(f"{name}: another answer from DuckDB")
            fewer += requests < theirs[0]
            told = f"  DuckDB httpfs {theirs[0]:4} {theirs[1] / 1e6:7.2f} MB  ratio {requests / theirs[0]:5.2f}"
        print(f"  {name:<3} apiary {requests:4} {moved / 1e6:7.2f} MB ({others} others){told}")
        sums = [a + b for a, b in zip(sums, (requests, moved, others, *theirs))]
    print(f"  all apiary {sums[0]:4} {sums[1] / 1e6:7.2f} MB ({sums[2]} others: catalogue, ledgers)"
          + ("" if httpfs.lacks else f"  DuckDB httpfs {sums[3]:4} {sums[4] / 1e6:7.2f} MB  ratio {sums[0] / sums[3]:5.2f}; fewer in {fewer} of 22"))
    counting.end()
