#!/usr/bin/env python3
"""Frames and files in a store that is not local: what moves, what is kept, what happens when requests fail."""

import importlib.metadata
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

from in_venv import SOURCE

import polars
import pyarrow.parquet
from apiary_cli import APIARY, Skip, Store, main

QUERIES = re.findall(r"^-- Q(\d+)\n(.*?);$", (SOURCE / "bench/tpch.sql").read_text(), re.M | re.S)
TABLES = {"lineitem": "l", "orders": "o", "customer": "c", "part": "p", "partsupp": "ps", "supplier": "s", "nation": "n",
          "region": "r"}
OVERHEAD = 1.05


class Server:
    """The S3 server of the contract tests, in a process of its own."""

    def __init__(self):
        self.process = subprocess.Popen([SOURCE / "tests/contract/s3_server.py"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, data=body, method=method)
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def put(self, key, body):
        self.call("PUT", f"/-/put/bucket/{key}", body)

    def get(self, key):
        return self.call("GET", f"/-/get/bucket/{key}")

    def log(self):
        """Requests since the last time: (method, key, bytes)."""
        return [(method, path.split("/", 2)[2] if path.count("/") > 1 else "", size)
                for method, path, _, size in json.loads(self.call("GET", "/-/log"))]

    def faults(self, *words):
        self.call("PUT", "/-/faults", " ".join(words).encode())


class Remote(Store):
    """A store in a bucket; its cache is in the folder."""

    def __enter__(self):
        super().__enter__()
        self.root = f"s3://bucket/{self.folder.name}?endpoint={SERVER.url}"
        return self

    def environment(self):
        return {**super().environment(), "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret",
                "APIARY_CACHE_DIR": str(self.folder / "cache")}

    def forget(self):
        shutil.rmtree(self.folder / "cache", ignore_errors=True)

    def cells_read(self):
        """Reads of cells since the last look: (requests, bytes)."""
        reads = [size for method, key, size in SERVER.log() if method in ("GET", "HEAD") and key.endswith(".parquet")]
        return len(reads), sum(reads)

    def uri(self, key):
        return f"s3://bucket/{self.folder.name}/{key}?endpoint={SERVER.url}"

    def put(self, key, body):
        SERVER.put(f"{self.folder.name}/{key}", body)


SERVER = Server()


# ---- TPC-H: the bytes that move are those that the queries need ----


def generate(folder):
    """The tables at a tenth of the smallest usual scale, as Parquet files."""
    program = next(file.locate() for file in importlib.metadata.files("tpchgen-cli") if file.name == "tpchgen-cli")
    subprocess.run([program, "parquet", "-s", "0.1", f"--output-dir={folder}"], check=True, capture_output=True)


def footers(store, keys):
    """{table: [(footer bytes, {column: compressed bytes})]} of the cells in the bucket."""
    prefix = f"{store.folder.name}/main/main/"
    cells = {}
    for key in keys:
        body = SERVER.get(key)
        file = pyarrow.parquet.ParquetFile(io.BytesIO(body))
        sizes = {}
        for group in range(file.metadata.num_row_groups):
            for column in range(file.metadata.num_columns):
                chunk = file.metadata.row_group(group).column(column)
                sizes[chunk.path_in_schema] = sizes.get(chunk.path_in_schema, 0) + chunk.total_compressed_size
        footer = min(len(body), max(16 << 10, min(256 << 10, len(body) // 1000)))
        cells.setdefault(key[len(prefix):].split("/")[0], []).append((footer, sizes))
    return cells


def needed(sql, cells):
    """Compressed bytes of the columns that a query names, and of the footers of its frames."""
    columns = set(re.findall(r"\b(?:l|o|c|p|ps|s|n|r)_[a-z_]+\b", sql))
    total = 0
    for table, prefix in TABLES.items():
        if not re.search(rf"\b{table}\b", sql):
            continue
        for footer, sizes in cells[table]:
            total += footer + sum(size for name, size in sizes.items() if name in columns and name.startswith(prefix + "_"))
    return total


def tpch_moves_what_it_needs():
    """Cold: at most 1.05 × the compressed chunks of the columns that a query names, and the footers; then nothing."""
    with Remote() as store:
        folder = store.folder / "tpch"
        generate(folder)
        for table in TABLES:
            code, _, err = store.run("import", table, folder / f"{table}.parquet")
            assert code == 0, err
        cells = footers(store, [key for method, key, _ in SERVER.log() if method == "PUT" and key.endswith(".parquet")])
        assert set(cells) == set(TABLES), cells.keys()
        store.cells_read()
        wrong = []
        for number, sql in QUERIES:
            store.forget()
            once = store.sql(sql)
            requests, moved = store.cells_read()
            want = needed(sql, cells)
            if moved > OVERHEAD * want:
                wrong.append(f"Q{number}: {moved} bytes in {requests} requests, needed {want}")
            again = store.sql(sql)
            requests, moved = store.cells_read()
            if requests:
                wrong.append(f"Q{number} again: {moved} bytes in {requests} requests")
            if sorted(once) != sorted(again):
                wrong.append(f"Q{number}: other rows the second time")
        assert not wrong, "\n".join(wrong)


def a_gap_saves_requests():
    """read_gap: at most as many requests as Polars makes of the same cell on the same server, for bytes that nobody needs."""
    with Remote() as store:
        folder = store.folder / "tpch"
        generate(folder)
        SERVER.log()
        assert store.run("import", "lineitem", folder / "lineitem.parquet")[0] == 0
        cells = footers(store, [key for method, key, _ in SERVER.log() if method == "PUT" and key.endswith(".parquet")])
        options = {"aws_access_key_id": "test", "aws_secret_access_key": "secret", "aws_region": "us-east-1", "aws_endpoint_url": SERVER.url,
                   "aws_allow_http": "true", "allow_http": "true"}
        for number in "1", "6":
            sql = dict(QUERIES)[number]
            names = sorted(set(re.findall(r"\bl_[a-z]+\b", sql)))
            polars.scan_parquet(f"s3://bucket/{store.folder.name}/main/main/lineitem/*.parquet", storage_options=options).select(names).collect()
            theirs = store.cells_read()
            told = {}
            for gap in "16KiB", "1MB":  # the least of some: which thread asks first parts some runs
                for _ in range(3):
                    store.forget()
                    answer = store.sql(sql, "--set", f"read_gap={gap}")
                    told[gap] = min(store.cells_read(), told.get(gap, (1 << 30, 0)))
            assert answer == store.sql(sql) and store.cells_read() == (0, 0)
            assert told["16KiB"][1] <= OVERHEAD * needed(sql, cells), (number, told)
            assert told["1MB"][0] <= theirs[0] and told["1MB"][1] <= OVERHEAD * theirs[1], (number, told, theirs)
        code, _, err = store.run("sql", "SELECT 1", "--set", "read_gap=far")
        assert code == 2 and err.splitlines() == ["Error (CONFIG): setting 'read_gap' must be a size such as 512MB or 4GiB, not 'far'"], (code, err)


# ---- smaller stories ----

MAKE = "CREATE FRAME t AS SELECT range AS a, range * 2 AS b, 'x' || range AS c FROM range(300000)"
ASK = "SELECT count(*), sum(b), max(c) FROM t WHERE a >= 0"
ANSWER = ["count_star(),sum(b),max(c)", "300000,89999700000,x99999"]


def columns_of_a_row_group_go_together():
    """Cold, five row groups: columns whose names the statement holds and that lie side by side are one request."""
    with Remote() as store:
        store.sql("CREATE FRAME t AS SELECT i AS id, (i * 7919) % 50 AS q, i * 1.5 AS price, (i * 31) % 11 AS disc, sha256(i::TEXT) AS big, "
                  "(i * 104729) % 1000003 AS k FROM range(600000) r(i)")
        store.forget()
        store.cells_read()
        store.sql("SELECT sum(price * disc) FROM t WHERE k > 10 AND disc BETWEEN 2 AND 9 AND q < 30")
        requests, moved = store.cells_read()
        assert requests <= 2 * 5 + 1, (requests, moved)
        # A column that is named and hardly read: no more than the window goes for nothing.
        store.forget()
        store.sql("SELECT max(big) FROM t WHERE k = 7")
        requests, moved = store.cells_read()
        assert moved < 20_000_000, (requests, moved)


def many_row_groups_go_together_too():
    """What is expected, and read by nobody yet, is not given up when the row groups are more than the threads."""
    with Remote() as store:
        store.sql("CREATE FRAME t AS SELECT hash(i) AS pad, hash(i + 1) % 1000 AS a, hash(i + 2) % 1000 AS b, hash(i + 3) % 1000 AS c, hash(i + 4) % 1000 AS k "
                  "FROM range(1000000) r(i)", "--set", "memory_limit=300MB", "--set", "bees=2", "--set", "target_cell_size=256MiB")
        keys = [key for key in json.loads(SERVER.call("GET", "/-/keys/bucket")) if key.startswith(f"{store.folder.name}/main/main/t/cell_")]
        groups = sum(pyarrow.parquet.ParquetFile(io.BytesIO(SERVER.get(key))).metadata.num_row_groups for key in keys)
        assert len(keys) == 1 and groups > 30, (keys, groups)
        least = None  # of some cold runs: a thread that is far ahead of the others parts some
        for _ in range(6):
            store.forget()
            store.cells_read()
            store.sql("SELECT sum(a), sum(b), sum(c) FROM t WHERE k < 990")
            least = min(store.cells_read(), least or (1 << 30, 0))
        assert least[0] <= groups + 8, (least, groups)


def figures_are_told():
    with Remote() as store:
        store.sql(MAKE)
        lines = store.sql(f"EXPLAIN ANALYZE {ASK}")
        told = [line for line in lines if line.startswith(("cells:", '"cells:'))]
        requests, moved = store.cells_read()
        assert told and f"{requests} request" in told[0], (told, requests, moved)
        lines = store.sql(f"EXPLAIN ANALYZE {ASK}")
        assert any("cells: 0 requests, 0 B" in line for line in lines), lines[-2:]


def cache_is_shown_and_cleared():
    with Remote() as store:
        code, out, err = store.run("cache")
        assert code == 0 and out.startswith("0 cells, 0.0 MB"), (out, err)
        store.sql(MAKE)
        store.sql(ASK)
        code, out, err = store.run("cache", "show")
        assert code == 0 and out.startswith("1 cell, ") and "main/main/t/" in out, (out, err)
        code, out, err = store.run("cache", "--format", "json")
        shown = json.loads(out)
        assert shown["cells"] == 1 and shown["files"][0]["held"] <= shown["bytes"], shown
        code, out, err = store.run("cache", "clear")
        assert code == 0 and out.startswith("Removed ") and "Removed 0.0" not in out, (out, err)
        assert not list((store.folder / "cache/cells").iterdir())
        assert store.sql(ASK) == ANSWER
        code, out, err = store.run("cache", "burn")
        assert code == 2 and "usage" in err, (code, err)


def little_room():
    """A limit that the query does not fit into slows it down and changes nothing."""
    with Remote() as store:
        store.sql(MAKE)
        for limit in ("1KiB", "64KiB", "1MiB"):
            store.forget()
            assert store.sql(ASK, "--set", f"cache_limit={limit}") == ANSWER, limit
        (store.folder / "cache").rename(store.folder / "away")
        store.file("cache", "a file where the folder should be")
        assert store.sql(ASK) == ANSWER


def full_disk():
    """The cache's file system is full (a small tmpfs of a namespace of our own): bytes are fetched and not kept."""
    with Remote() as store:
        store.sql(MAKE)
        store.forget()
        cache = store.folder / "cache"
        cache.mkdir()
        script = f"mount -t tmpfs -o size=128k none {cache} && cd {store.folder} && {{}}"
        if subprocess.run(["unshare", "-rm", "sh", "-c", script.format("true")], capture_output=True, check=False).returncode:
            raise Skip("no name spaces here")
        ask = f"{APIARY} sql \"{ASK}\" --format csv; {APIARY} sql \"{ASK}\" --format csv"
        store.cells_read()
        store.sql(ASK)
        once = store.cells_read()[1]
        store.forget()
        cache.mkdir()
        done = subprocess.run(["unshare", "-rm", "sh", "-c", script.format(ask)], env=store.environment(), capture_output=True, text=True,
                              timeout=100, check=False)
        assert done.stdout.splitlines() == ANSWER + ANSWER, (done.stdout, done.stderr)
        requests, moved = store.cells_read()
        assert moved > 1.8 * once > 1_000_000, (requests, moved, once)  # nearly nothing was kept


def files_of_a_store():
    with Remote() as store:
        rows = "SELECT range AS i, 'v' || range AS s FROM range({})"
        for name, form, count in [("a/one.parquet", "parquet", 5000), ("a/two.parquet", "parquet", 7), ("a/b/three.parquet", "parquet", 11),
                                  ("a/one.csv", "csv, HEADER", 40), ("a/one.json", "json", 13), ("a/zip.csv.gz", "csv, HEADER, COMPRESSION gzip", 17)]:
            local = store.folder / "file"
            local.unlink(missing_ok=True)
            code, _, err = store.run("sql", f"COPY ({rows.format(count)}) TO '{local}' (FORMAT {form})")
            assert code == 0, err
            store.put(name, local.read_bytes())
        for asked, count in [
                (f"read_parquet('{store.uri('a/*.parquet')}')", 5007), (f"read_parquet('{store.uri('a/**/*.parquet')}')", 5018),
                (f"read_parquet(['{store.uri('a/one.parquet')}', '{store.uri('a/b/three.parquet')}'])", 5011),
                (f"'{store.uri('a/two.parquet')}'", 7), (f"read_parquet('{store.uri('a/[ot]w?.parquet')}')", 7),
                (f"read_csv('{store.uri('a/one.csv')}')", 40), (f"'{store.uri('a/one.csv')}'", 40),
                (f"read_csv('{store.uri('a/zip.csv.gz')}')", 17), (f"read_json('{store.uri('a/one.json')}')", 13)]:
            got = store.sql(f"SELECT count(*), sum(i) FROM {asked}")[1]
            want = [5000, 7, 11] if count == 5018 else [5000, 7] if count == 5007 else [5000, 11] if count == 5011 else [count]
            assert got == f"{count},{sum(n * (n - 1) // 2 for n in want)}", (asked, got)
        for asked, word in [(f"read_parquet('{store.uri('a/none.parquet')}')", "NOT_FOUND"), (f"read_csv('{store.uri('z/*.csv')}')", "NOT_FOUND"),
                            ("read_parquet('ftp://host/x.parquet')", "UNSUPPORTED"), (f"read_csv('{store.uri('a/one.csv')}' || '')", "written out"),
                            ("read_parquet('s3://missing/x.parquet')", "missing")]:
            code, out, err = store.run("sql", f"SELECT count(*) FROM {asked}", env={"AWS_ENDPOINT_URL": SERVER.url})
            assert code == 1 and word in err, (asked, out, err)
        code, _, err = store.run("sql", f"SELECT 1 FROM '{store.uri('a/two.parquet')}'", "--set", "local_files=off")
        assert code == 1 and "local_files" in err, err
        code, out, err = store.run("import", "f", store.uri("a/*.csv"))
        assert code == 0 and "40 rows" in out, (out, err)
        # Replaced under its name: the next statement sees the new one.
        store.put("a/one.csv", b"i,s\n5,x\n")
        assert store.sql(f"SELECT sum(i) FROM '{store.uri('a/one.csv')}'")[1] == "5"


def folders_of_files_are_columns():
    """What lies in folders column=value has these columns, in a bucket and on the machine, as the engine itself has it."""
    with Remote() as store:
        for year, town, rows in (2023, "b%20n", 3), (2024, "x", 5), (2024, "y", 7):
            folder = store.folder / f"data/year={year}/town={town}"
            folder.mkdir(parents=True)
            for form, options in ("parquet", "parquet"), ("csv", "csv, HEADER"):
                code, _, err = store.run("sql", f"COPY (SELECT range AS i FROM range({rows})) TO '{folder}/f.{form}' ({'FORMAT ' + options})")
                assert code == 0, err
                store.put(f"data/year={year}/town={town}/f.{form}", (folder / f"f.{form}").read_bytes())
        for form in "parquet", "csv":
            for files in store.uri(f"data/*/*/f.{form}"), f"{store.folder}/data/*/*/f.{form}":
                ask = f"SELECT year, town, count(*) FROM read_{form}('{files}', hive_partitioning = true) GROUP BY ALL ORDER BY 1, 2"
                assert store.sql(ask)[1:] == ["2023,b n,3", "2024,x,5", "2024,y,7"], (ask, store.sql(ask))
                assert store.sql(f"SELECT count(*) FROM read_{form}('{files}') WHERE year = 2024")[1] == "12"
                assert store.sql(f"SELECT * FROM read_{form}('{files}', hive_partitioning = false) LIMIT 0") == ["i"]
            code, out, err = store.run("import", f"f_{form}", store.uri(f"data/*/*/f.{form}"))
            assert code == 0 and store.sql(f"SELECT count(*), count(COLUMNS(*)) FROM f_{form}")[1] == "15,15", (out, err)
        store.cells_read()
        store.forget()
        one = f"SELECT sum(i) FROM read_parquet('{store.uri('data/**/f.parquet')}', hive_partitioning = true) WHERE town = 'x'"
        assert store.sql(one)[1] == "10"


def a_cell_that_changed():
    with Remote() as store:
        SERVER.log()
        store.sql(MAKE)
        key = next(key for method, key, _ in SERVER.log() if method == "PUT" and key.endswith(".parquet"))
        body = SERVER.get(key)
        store.sql("SELECT max(a) + 0 FROM t WHERE a >= 0")
        SERVER.put(key, body)  # the same bytes, but another object
        code, _, err = store.run("sql", ASK)
        assert code == 1 and "changed under its name" in err, (code, err, SERVER.log())
        assert store.sql(ASK) == ANSWER  # what was cached of the old one is gone
        SERVER.put(key, body[:-100])
        store.forget()
        code, _, err = store.run("sql", ASK)
        assert code == 1 and "the ledger says" in err, err


def faults_at_each_request():
    """One request after the other is refused, lost or cut: the right rows, or one clear error."""
    with Remote() as store:
        store.sql(MAKE)
        store.forget()
        SERVER.log()
        assert store.sql(ASK) == ANSWER
        count = len(SERVER.log())
        assert 3 <= count <= 40, count
        refused = 0
        for word in ("500", "503", "drop", "short", "lost"):
            for at in range(0, count, 1 if word == "drop" else 3):
                store.forget()
                SERVER.faults(*["ok"] * at, word)
                code, out, err = store.run("sql", ASK, "--format", "csv")
                SERVER.faults()
                if code == 0:
                    assert out.splitlines() == ANSWER, (word, at, out)
                else:
                    refused += 1
                    assert err.startswith("Error (") and len(err.splitlines()) <= 2, (word, at, err)
        assert refused < count, refused  # most are repeated behind the scenes


def killed_in_mid_read():
    """kill -9 between a fetch and what it leaves on the disk: never wrong bytes afterwards."""
    with Remote() as store:
        store.sql(MAKE)
        for round_number in range(6):
            store.forget()
            process = subprocess.Popen([APIARY, "sql", ASK], env=store.environment(), cwd=store.folder, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
            time.sleep(0.08 + 0.06 * round_number)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert store.sql(ASK) == ANSWER


def two_processes_share():
    with Remote() as store:
        store.sql(MAKE)
        processes = [subprocess.Popen([APIARY, "sql", ASK, "--format", "csv"], env=store.environment(), cwd=store.folder,
                                      stdout=subprocess.PIPE, text=True) for _ in range(3)]
        for process in processes:
            out, _ = process.communicate(timeout=100)
            assert out.splitlines() == ANSWER, out


if __name__ == "__main__":
    main([tpch_moves_what_it_needs, a_gap_saves_requests, columns_of_a_row_group_go_together, many_row_groups_go_together_too, figures_are_told, cache_is_shown_and_cleared, little_room, full_disk, files_of_a_store, folders_of_files_are_columns, a_cell_that_changed,
          faults_at_each_request, killed_in_mid_read, two_processes_share])
