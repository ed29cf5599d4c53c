"""Many commits: appends from one process, a frame of many versions."""

import os
import subprocess

from common import ROOT, RUNS, CLEAN, apiary, timed


APPENDS = int(os.environ.get("APIARY_BENCH_APPENDS", "5000"))
HUNDRED = 100


class Appender:
    """A process that appends a thousand rows for each line that it reads, and answers with the seconds it took."""

    def __init__(self, code, *words):
        self.process = subprocess.Popen([ROOT / ".venv/bin/python", "-c", code, *map(str, words)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1, env=CLEAN)
        self.process.stdout.readline()

    def append(self):
        self.process.stdin.write("\n")
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


COMMON = """
import sys, time, pyarrow as pa
table = pa.table({'i': pa.array(range(1000), pa.int64()), 's': [f'row {i}' for i in range(1000)]})
def serve(append):
    print('ready', flush=True)
    for _ in sys.stdin:
        start = time.monotonic(); append(); print(time.monotonic() - start, flush=True)
"""


def bench_append(work, _):
    """Side by side: one append of each in turn, so that a busy moment hits all alike. Apiary twice: an INSERT of SQL text,
    and rows of Arrow through the SDK. deltalake does not fsync."""
    insert = "INSERT INTO a SELECT range AS i, 'row ' || range AS s FROM range(1000)"
    opened = COMMON + "import apiary; db = apiary.open(sys.argv[1]); db.sql('CREATE FRAME a (i BIGINT, s TEXT)')\n"
    runners = {
        "apiary INSERT": Appender(f"{opened}serve(lambda: db.sql({insert!r}))", work / "append1"),
        "apiary write": Appender(f"{opened}serve(lambda: db.write_to_frame('main', 'main', 'a', table))", work / "append2"),
        "deltalake": Appender(f"{COMMON}from deltalake import write_deltalake\nserve(lambda: write_deltalake(sys.argv[1], table, mode='append'))",
                              work / "delta"),
    }
    times = {name: [] for name in runners}
    for _ in range(APPENDS):
        for name, runner in runners.items():
            times[name].append(runner.append())
    for name, runner in runners.items():
        runner.end()
        first, last = sum(times[name][:HUNDRED]), sum(times[name][-HUNDRED:])
        print(f"appends of 1,000 rows, {name:13}: first hundred {HUNDRED / first:6.1f}/s, last hundred of {APPENDS} {HUNDRED / last:6.1f}/s, "
              f"median {sorted(times[name])[APPENDS // 2] * 1000:.1f} ms")


VERSIONS = int(os.environ.get("APIARY_BENCH_VERSIONS", "10000"))


def bench_open(work, _):
    """A log of many versions without a checkpoint, written by hand: 1 add each."""
    log = work / "many/_delta_log"
    log.mkdir(parents=True)
    schema = '{\\"type\\":\\"struct\\",\\"fields\\":[{\\"name\\":\\"i\\",\\"type\\":\\"long\\",\\"nullable\\":true,\\"metadata\\":{}}]}'
    (log / f"{0:020d}.json").write_text(
        '{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}\n{"metaData":{"id":"b0a3f7a2-3b7e-4f0a-9d0e-4a1f5a2b6c7d","format":'
        f'{{"provider":"parquet","options":{{}}}},"schemaString":"{schema}","partitionColumns":[],"configuration":{{}}}}}}\n')
    for v in range(1, VERSIONS):
        (log / f"{v:020d}.json").write_text(
            f'{{"add":{{"path":"part-{v:08d}.parquet","partitionValues":{{}},"size":1000,"modificationTime":1700000000000,"dataChange":true,'
            f'"stats":"{{\\"numRecords\\":10,\\"minValues\\":{{\\"i\\":{v * 10}}},\\"maxValues\\":{{\\"i\\":{v * 10 + 9}}},\\"nullCount\\":{{\\"i\\":0}}}}"}}}}\n')
    store = work / "open"
    apiary(store, "sql", f"CREATE FRAME many LOCATION '{work}/many'")
    ours = min(timed(lambda: apiary(store, "sql", "SELECT count(*) FROM many")) for _ in range(RUNS))
    base = min(timed(lambda: apiary(store, "sql", "SELECT 1")) for _ in range(RUNS))
    code = "import sys, time; from deltalake import DeltaTable; s = time.monotonic(); DeltaTable(sys.argv[1]).file_uris(); print(time.monotonic() - s)"
    theirs = min(float(subprocess.run([ROOT / ".venv/bin/python", "-c", code, str(work / "many")], capture_output=True, text=True,
                                      check=True).stdout) for _ in range(RUNS))
    print(f"opening a frame of {VERSIONS} versions: apiary {ours - base:.2f} s (a process with SELECT 1 taken off), deltalake {theirs:.2f} s")
