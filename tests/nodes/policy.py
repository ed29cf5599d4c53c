#!/usr/bin/env python3
"""What `apiary policy` prints is enough and no more: each role does its part against a server that allows just that (every
request of the run is judged, contract/s3_policy.py), no grant is idle in it, and the next role's part is refused."""

import json
import signal
import struct
import time
import uuid
import zlib

from swarm_nodes import Swarm  # first: it finds the folders of the others

from apiary_cli import Store, main
from bucket import Bucket

ROLES = ("reader", "writer", "submitter", "node", "maintainer")
Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
WAIT_SECONDS = 120  # never reached unless something hangs
BIG = ("--set", "target_cell_size=200MB", "--set", "memory_limit=2GB")


class Run:
    """A root whose owner filled it, and one user who may do what a role may; `with` ends it."""

    def __init__(self, role):
        self.role = role

    def __enter__(self):
        self.bucket = Bucket().__enter__()
        self.uri = self.bucket.uri("lake/root")
        self.swarm = Swarm(self.uri, **self.bucket.environment).__enter__()
        code, policy, err = self.swarm.run("policy", self.role, "-s", "s3://bucket/lake/root", env={"AWS_REGION": "eu-central-1"})
        assert code == 0, err
        self.bucket.permit(self.role, policy)
        return self

    def __exit__(self, *error):
        self.swarm.__exit__(*error)
        self.bucket.__exit__(*error)

    def owner(self, text, *options):
        code, out, err = self.swarm.run("sql", text, "--format", "csv", *options)
        assert code == 0, f"{text}: {err}"
        return out.splitlines()

    def run(self, *words):
        return self.swarm.run(*words, env={"AWS_ACCESS_KEY_ID": self.role})

    def may(self, text, *options):
        code, out, err = self.run("sql", text, "--format", "csv", *options)
        assert code == 0, f"{self.role}: {text}: {err}"
        return out.splitlines()

    def may_not_run(self, *words):
        """Refused by the store, as one error that says so."""
        before = len(self.bucket.judged(self.role)[0])
        code, _, err = self.run(*words)
        assert code == 1 and "Error (DENIED)" in err and len(self.bucket.judged(self.role)[0]) > before, f"{self.role}: {words}: {code} {err}"

    def may_not(self, text):
        self.may_not_run("sql", text)

    def was_enough(self):
        denied, _ = self.bucket.judged(self.role)
        assert denied == [], f"{self.role} lacks: {denied}"

    def was_no_more(self):
        _, idle = self.bucket.judged(self.role)
        assert idle == [], f"{self.role} has for nothing: {idle}"


def z85(data):
    out = ""
    for at in range(0, len(data), 4):
        word = struct.unpack(">I", data[at:at + 4])[0]
        out += "".join(Z85[word // 85 ** power % 85] for power in (4, 3, 2, 1, 0))
    return out


def delete_by_vector(bucket, frame, rows):
    """Another engine's DELETE of rows of the first cell of a frame: a deletion vector in a file, and a version that names it."""
    log = f"{frame}/_delta_log/"
    first = [json.loads(line) for line in bucket.get(f"bucket/{log}{0:020}.json").splitlines()]
    add = next(one["add"] for one in first if "add" in one)
    name = uuid.uuid4()
    data = struct.pack("<IQI", 1681511377, 1, 0) + struct.pack("<IIHHI", 12346, 1, 0, len(rows) - 1, 16) + struct.pack(f"<{len(rows)}H", *rows)
    bucket.put(f"bucket/{frame}/deletion_vector_{name}.bin", b"\1" + struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data)))
    vector = {"storageType": "u", "pathOrInlineDv": z85(name.bytes), "offset": 1, "sizeInBytes": len(data), "cardinality": len(rows)}
    keep = {"path": add["path"], "partitionValues": {}, "size": add["size"], "dataChange": True}
    lines = [{"commitInfo": {"timestamp": 1, "operation": "DELETE", "operationParameters": {}}},
             {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
                           "writerFeatures": ["deletionVectors", "appendOnly", "invariants"]}},
             {"remove": {**keep, "deletionTimestamp": 1, "extendedFileMetadata": True}},
             {"add": {**keep, "modificationTime": 1, "stats": json.dumps({"numRecords": 100}), "deletionVector": vector}}]
    bucket.put(f"bucket/{log}{1:020}.json", "".join(json.dumps(line) + "\n" for line in lines).encode())


def reads(run):
    """All that a reader does. The owner prepared it: prepare()."""
    assert run.may("SELECT count(*), sum(x) FROM t JOIN d USING (p)") == ["count_star(),sum(x)", "600,179700"]
    assert run.may("SELECT count(*) FROM t WHERE p = 2")[1] == "100" and run.may("SELECT count(x) FROM t AT (VERSION => 1)")[1] == "600"
    assert run.may("SELECT count(x) FROM v")[1] == "97"
    assert run.may("SELECT count(x) FROM w")[1] == "600" and len(run.may("SHOW FRAMES")) > 3 and len(run.may("DESCRIBE t")) == 3
    assert run.may("SHOW HISTORY OF t")[1:] and run.may("EXPLAIN ANALYZE SELECT sum(x) FROM t")
    code, _, err = run.run("sql", "SELECT * FROM missing")
    assert code == 1 and "Error (NOT_FOUND)" in err, err
    code, _, err = run.run("sql", "SELECT sum(x) FROM gone")  # who may not list is told nothing of a key that is not there
    assert code == 1 and "vacuumed" in err, err
    code, _, err = run.run("sql", "SELECT sum(x) FROM unmarked")
    assert code == 1 and "DENIED" not in err, err


def prepare(run):
    owner, bucket = run.owner, run.bucket
    owner("CREATE FRAME t (p INTEGER, x BIGINT) PARTITIONED BY (p) WITH ('delta.checkpointInterval' = '2'); INSERT INTO t SELECT i % 6, i FROM range(600) r(i); "
          "ALTER FRAME t SET PROPERTIES ('note' = 'x'); CREATE FRAME d AS SELECT i::INTEGER AS p FROM range(6) r(i); CREATE VIEW w AS SELECT x FROM t; "
          "CREATE FRAME v AS SELECT i AS x FROM range(100) r(i); CREATE FRAME unmarked AS SELECT i AS x FROM range(100) r(i); CREATE FRAME gone AS SELECT i AS x FROM range(100) r(i)")
    for frame in ("v", "unmarked"):
        delete_by_vector(bucket, f"lake/root/main/main/{frame}", [0, 7, 99])
    for key in bucket.keys():
        if "/gone/cell_" in key or "/unmarked/deletion_vector" in key:
            bucket.take(f"bucket/{key}")


def writes(run):
    """All that a writer does, on a root that nobody wrote to before."""
    may = run.may
    code, out, err = run.run("doctor", run.uri)
    assert code == 0, (out, err)
    may("CREATE FRAME e (p INTEGER, x BIGINT) PARTITIONED BY (p) WITH ('delta.checkpointInterval' = '2')")
    may("INSERT INTO e SELECT i % 3, i FROM range(90) r(i); UPDATE e SET x = 0 WHERE x = 5; DELETE FROM e WHERE x = 6")
    may("INSERT INTO e VALUES (1, 1000); OPTIMIZE e; ALTER FRAME e SET PROPERTIES ('note' = 'x'); CREATE OR REPLACE VIEW u AS SELECT x FROM e")
    for number in range(8):  # so many states that the hint is written
        may(f"CREATE FRAME h{number} AS SELECT {number} AS a; DROP FRAME h{number}")
    may("UNDROP FRAME h0; CREATE HIVE other; CREATE BOX other.box; DROP BOX other.box; DROP HIVE other")
    assert may("SELECT count(*), sum(x) FROM e")[1] == "90,4994"
    large = "SELECT i, sha256(i::TEXT) AS a, sha256((-i)::TEXT) AS b FROM range({}) r(i)"
    may(f"CREATE FRAME large AS {large.format(400000)}", *BIG)  # goes in parts
    fails = f"INSERT INTO large SELECT CASE WHEN i < 1000000 THEN i ELSE error('late') END, a, b FROM ({large.format(1000001)})"
    code, _, err = run.run("sql", fails, *BIG)
    assert code == 1 and "late" in err, err
    run.bucket.log()
    for good in range(30):  # one of them meets the commit, when the cell is there already
        run.bucket.faults("ok " * good + "501")
        run.run("sql", "INSERT INTO large VALUES (1, 'a', 'b')")
        if any(method == "DELETE" and "/cell_" in path for method, path, *_ in run.bucket.log()):
            break
    run.bucket.faults("")


def swarm_of(run, **environment):
    """Two nodes on the root, with the owner's rights unless told."""
    for _ in range(2):
        run.swarm.start(**environment)


def until(said, done):
    """Waits for a condition that something else brings about."""
    end = time.monotonic() + WAIT_SECONDS
    while not done():
        assert time.monotonic() < end, said()
        time.sleep(0.1)


FORCE = ("--set", "distributed=force")


def submits(run):
    """All that a submitter does, with nodes there. The owner prepared it: prepare()."""
    def submit(text):
        code, out, err = run.run("submit", text)
        assert code == 0, err
        return out.strip()

    code, out, err = run.run("nodes")
    assert code == 0 and " alive " in out, (out, err)
    first = submit("SELECT p, count(*) AS n FROM t GROUP BY p ORDER BY p")
    code, out, err = run.run("attach", first, "--format", "csv")
    assert code == 0 and out.splitlines() == ["p,n", *(f"{p},100" for p in range(6))], (out, err)
    code, out, err = run.run("result", first, "--format", "csv")
    assert code == 0 and len(out.splitlines()) == 7, err
    code, out, err = run.run("replay", first)
    assert code == 0 and json.loads(out)["same"], (out, err)
    code, out, err = run.run("cancel", submit("SELECT count(*) FROM t"))
    assert code == 0 or "had ended already" in err, err
    # What runs first is handed to the rest by who asked.
    assert run.may("SELECT count(*) FROM t JOIN (SELECT x FROM t ORDER BY x DESC LIMIT 300) USING (x)", *FORCE)[1] == "300"


TEXTS = {kind + packed: options + how for kind, options in ((".csv", "FORMAT csv"), (".tsv", "FORMAT csv, DELIMITER '\t'"), (".json", "FORMAT json"),
                                                            (".jsonl", "FORMAT json"), (".ndjson", "FORMAT json"))
         for packed, how in (("", ""), (".gz", ", COMPRESSION gzip"), (".zst", ", COMPRESSION zstd"))}


def land(run):
    """Files below the root are read by nodes with just these rights; those beside it by who asks, with the rights of his own."""
    for n in range(4):
        path = run.swarm.folder / f"{n}.parquet"
        run.owner(f"COPY (SELECT {n} AS a, i AS x FROM range(1000) r(i)) TO '{path}'")
        for place in ("root/landing", "root-beside"):
            run.bucket.put(f"bucket/lake/{place}/{n}.parquet", path.read_bytes())
    for n, (ending, options) in enumerate(TEXTS.items()):  # of the swarm, each of its own folder
        for m in range(4):
            path = run.swarm.folder / f"{m}{ending}"
            run.owner(f"COPY (SELECT {m} AS a, i AS x FROM range(1000) r(i)) TO '{path}' ({options})")
            run.bucket.put(f"bucket/lake/root/texts/{n}/{m}{ending}", path.read_bytes())
        code, out, err = run.swarm.run("import", f"text{n}", run.bucket.uri(f"lake/root/texts/{n}/*{ending}"), *FORCE)
        assert code == 0 and "by the swarm in" in out + err, f"{ending}: {out}{err}"
        assert run.owner(f"SELECT count(*), sum(a) FROM text{n}")[1] == "4000,6000", ending
    files, near = (run.bucket.uri(f"lake/{place}/*.parquet") for place in ("root/landing", "root-beside"))
    code, out, err = run.swarm.run("import", "landed", files, *FORCE)
    assert code == 0 and "by the swarm in" in out + err, out + err
    assert run.owner("SELECT count(*), sum(a) FROM landed")[1] == "4000,6000"
    code, out, err = run.swarm.run("import", "landed", near, *FORCE)
    assert code == 0 and "outside the store's root" in out + err, out + err
    assert run.owner("SELECT count(*) FROM landed")[1] == "8000"


def works(run):
    """All that a node does: works, writes for others, takes over from the dead, reports failures, clears up."""
    bucket, nodes = run.bucket, "lake/root/_swarm/nodes/"
    lost = run.swarm.start()
    keys = [key for key in bucket.keys() if key.startswith(nodes)]
    swarm_of(run, AWS_ACCESS_KEY_ID=run.role, APIARY_MEMORY_LIMIT="384MB", APIARY_SCRATCH_LIMIT="1MiB")
    lost.send(signal.SIGSTOP)
    assert run.owner("SELECT p, count(*) FROM t GROUP BY p ORDER BY p", *FORCE)[1] == "0,100"
    run.may("CREATE FRAME c PARTITIONED BY (p) AS SELECT p, x FROM t; INSERT INTO c SELECT p, x FROM t", *FORCE)
    land(run)
    code, _, err = run.swarm.run("sql", "SELECT p, max(length(repeat(x::VARCHAR, 200000000))) FROM t GROUP BY p", *FORCE)
    assert code == 1 and "emory" in err, err
    # What the dead left, and what is left of a query that nobody knows.
    lost.end()
    del run.swarm.nodes["n1"]
    for key in keys:
        bucket.age(f"bucket/{key}", 7200)
    old = "lake/root/_queries/000000000001-00112233445566778899/"
    bucket.put(f"bucket/{old}c/00000.1", b"{}")
    bucket.age(f"bucket/{old}", 7200)
    until(lambda: f"{bucket.keys()}", lambda: not any(key.startswith(old) or key in keys for key in bucket.keys()))


def keeps(run):
    """All that a maintainer does. The owner prepared it: prepare()."""
    may, bucket = run.may, run.bucket
    may("CREATE FRAME k AS SELECT i AS x FROM range(10) r(i); INSERT INTO k VALUES (10); PIN k VERSION 0 AS first; SHOW PINS OF k; DELETE FROM k")
    may("RESTORE k TO VERSION 1; UNPIN k AS first; INSERT OVERWRITE k SELECT 1; CREATE FRAME away AS SELECT 1 AS a; DROP FRAME away")
    bucket.put("bucket/lake/root/main/main/k/left-behind.txt", b"by another engine")
    bucket.age("bucket/lake/root/", 40 * 86400)
    may("VACUUM", "--set", "vacuum_wait=1ms")
    left = [key for key in bucket.keys() if "left-behind" in key or "/away/" in key]
    assert left == [], left
    done = [key for key in bucket.keys() if "/k/_apiary_vacuum/" in key and key.endswith(".done.json")]
    bucket.take(f"bucket/{done[0]}")  # as a vacuum leaves it that was killed: PIN looks what it meant to delete
    may("INSERT INTO k VALUES (11); PIN k VERSION 5 AS later")
    code, out, err = run.run("fsck", "k")
    assert code == 0, (out, err)


def a_reader_reads():
    with Run("reader") as run:
        prepare(run)
        reads(run)
        run.was_enough()
        run.was_no_more()
        run.may_not("INSERT INTO t VALUES (1, 1)")
        run.may_not("CREATE FRAME n (a INTEGER)")
        run.may_not("DROP FRAME t")
        run.may_not_run("submit", "SELECT count(*) FROM t")


def a_writer_writes():
    with Run("writer") as run:
        writes(run)
        prepare(run)
        reads(run)
        run.was_enough()
        run.was_no_more()
        run.may_not("VACUUM t")
        run.may_not("FSCK t")
        run.may_not("PIN t VERSION 0 AS first")
        run.may_not_run("submit", "SELECT count(*) FROM t")


def a_submitter_submits():
    with Run("submitter") as run:
        prepare(run)
        swarm_of(run)
        reads(run)
        submits(run)
        run.was_enough()
        run.was_no_more()
        run.may_not("INSERT INTO t VALUES (1, 1)")
        code, _, err = run.run("start")
        assert code == 1 and "Error (DENIED)" in err, err


def a_node_works():
    with Run("node") as run:
        writes(run)
        prepare(run)
        works(run)
        reads(run)
        submits(run)
        run.swarm.stop()
        run.was_enough()
        run.was_no_more()
        run.may_not("VACUUM t")
        run.may_not("PIN t VERSION 0 AS first")


def a_maintainer_keeps():
    with Run("maintainer") as run:
        writes(run)
        prepare(run)
        reads(run)
        keeps(run)
        run.was_enough()
        run.was_no_more()
        run.may_not_run("submit", "SELECT count(*) FROM t")
        code, _, err = run.run("start")
        assert code == 1 and "Error (DENIED)" in err, err


main([a_reader_reads, a_writer_writes, a_submitter_submits, a_node_works, a_maintainer_keeps])
