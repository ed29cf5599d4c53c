#!/usr/bin/env python3
"""Compaction beside other engines: what they read before and after, tables of theirs with deletion
vectors, and writers that race with it. One case: optimize.py NAME."""

import concurrent.futures
import json
import os
import pathlib
import struct
import sys

import in_venv  # noqa: F401

import deltalake
import polars
import pyarrow
from apiary_cli import Store, main

RACE_ROUNDS = int(os.environ.get("AP_ROUNDS", "8"))


def peers(path):
    """Rows as deltalake and Polars read them, sorted."""
    table = deltalake.DeltaTable(str(path)).to_pyarrow_table()
    theirs = sorted(zip(*(table.column(name).to_pylist() for name in sorted(table.column_names))), key=repr)
    frame = polars.read_delta(str(path))
    also = sorted(frame.select(sorted(frame.columns)).rows(), key=repr)
    assert theirs == also, "deltalake and Polars differ"
    return theirs


def ours(store, frame, columns):
    return store.sql(f"SELECT {columns} FROM {frame} ORDER BY ALL")[1:]


def peers_read_it():
    with Store() as store:
        store.sql("CREATE FRAME f (a BIGINT, p TEXT, t TIMESTAMP, d DECIMAL(20,3), l INTEGER[]) PARTITIONED BY (p)")
        for k in range(3):
            store.sql(f"INSERT INTO f SELECT range + {k}, 'p ' || range % 2, TIMESTAMP '2024-01-01' + INTERVAL (range) DAY, "
                      "range / 7, [range, NULL] FROM range(50)")
        path = store.root / "main/main/f"
        before = peers(path)
        deltalake.write_deltalake(str(path), deltalake.DeltaTable(str(path)).to_pyarrow_table().slice(0, 5), mode="append")
        before = peers(path)
        assert len(before) == 155
        store.sql("OPTIMIZE f")
        assert peers(path) == before
        assert len(deltalake.DeltaTable(str(path)).file_uris()) == 2
        assert deltalake.DeltaTable(str(path)).history(1)[0]["operation"] == "OPTIMIZE"


Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def z85(data):
    data += b"\0" * (-len(data) % 4)
    out = ""
    for (word,) in struct.iter_unpack(">I", data):
        digits = []
        for _ in range(5):
            word, digit = divmod(word, 85)
            digits.append(Z85[digit])
        out += "".join(reversed(digits))
    return out


def deletion_vector(rows):
    """Inline: the portable 64-bit roaring bitmap of one array container behind the magic number."""
    bitmap = struct.pack("<II", 12346, 1) + struct.pack("<HH", 0, len(rows) - 1) + struct.pack("<I", 16)
    bitmap += struct.pack(f"<{len(rows)}H", *rows)
    data = struct.pack("<I", 1681511377) + struct.pack("<Q", 1) + struct.pack("<I", 0) + bitmap
    return {"storageType": "i", "pathOrInlineDv": z85(data), "sizeInBytes": len(data), "cardinality": len(rows)}


def folds_deletion_vectors():
    with Store() as store:
        path = store.folder / "theirs"
        deltalake.write_deltalake(str(path), pyarrow.table({"a": pyarrow.array(range(100), pyarrow.int64()),
                                                           "b": [f"b{i}" for i in range(100)]}))
        log = path / "_delta_log"
        add = next(json.loads(line)["add"] for line in (log / f"{0:020}.json").read_text().splitlines() if '"add"' in line)
        keep = {"path": add["path"], "partitionValues": {}, "size": add["size"], "dataChange": True}
        stats = {**json.loads(add["stats"]), "tightBounds": False}
        lines = [
            {"commitInfo": {"timestamp": 1, "operation": "DELETE", "operationParameters": {}}},
            {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": ["deletionVectors"],
                          "writerFeatures": ["deletionVectors", "appendOnly", "invariants"]}},
            {"remove": {**keep, "deletionTimestamp": 1, "extendedFileMetadata": True}},
            {"add": {**keep, "modificationTime": 1, "stats": json.dumps(stats), "deletionVector": deletion_vector([0, 7, 99])}},
        ]
        (log / f"{1:020}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        store.sql(f"CREATE FRAME f LOCATION '{path}'")
        expected = [f"{i},b{i}" for i in range(100) if i not in (0, 7, 99)]
        assert sorted(ours(store, "f", "a, b")) == sorted(expected)
        plan = store.sql("OPTIMIZE f DRY RUN")
        assert plan[1].split(",")[1] == "1" and plan[1].split(",")[3] == "3", plan
        store.sql("OPTIMIZE f")
        assert sorted(ours(store, "f", "a, b")) == sorted(expected)
        after = [json.loads(line) for line in (log / f"{2:020}.json").read_text().splitlines()]
        added = [action["add"] for action in after if "add" in action]
        removed = [action["remove"] for action in after if "remove" in action]
        assert len(added) == 1 and "deletionVector" not in added[0] and "deletionVector" in removed[0]
        assert sorted(f"{a},{b}" for a, b in polars.read_delta(str(path)).rows()) == sorted(expected)


def races():
    """Appends never lose to it, it never loses a row, and who replaces its cells wins or loses whole."""
    with Store() as store:
        store.sql("CREATE FRAME f (w INTEGER, i INTEGER, p INTEGER) PARTITIONED BY (p)")

        def append(writer):
            for i in range(RACE_ROUNDS):
                store.sql(f"INSERT INTO f SELECT {writer}, {i}, range % 2 FROM range(4)")

        def compact():
            done = 0
            for _ in range(RACE_ROUNDS):
                code, _, err = store.run("compact", "f")
                assert code == 0 or "CONFLICT" in err, err
                done += code == 0
            return done

        def replace():
            for i in range(RACE_ROUNDS // 2):
                for _ in range(50):
                    code, _, err = store.run("sql", f"INSERT INTO f REPLACE WHERE p = 9 VALUES (9, {i}, 9)")
                    if code == 0:
                        break
                    assert "CONFLICT" in err, err
                else:
                    raise AssertionError(f"never got through: {err}")

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            jobs = [pool.submit(append, 1), pool.submit(append, 2), pool.submit(compact), pool.submit(replace)]
            assert jobs[2].result() > 0, "no compaction got through"
            for job in jobs:
                job.result()
        store.sql("OPTIMIZE f")
        got = store.sql("SELECT w, count(*), count(DISTINCT (i, p)), sum(i) FROM f GROUP BY w ORDER BY w")[1:]
        total = sum(range(RACE_ROUNDS)) * 4
        assert got == [f"{w},{4 * RACE_ROUNDS},{2 * RACE_ROUNDS},{total}" for w in (1, 2)] + \
            [f"9,1,1,{RACE_ROUNDS // 2 - 1}"], got
        assert len(peers(store.root / "main/main/f")) == 8 * RACE_ROUNDS + 1


CASES = [peers_read_it, folds_deletion_vectors, races]

if __name__ == "__main__":
    wanted = [name for name in sys.argv[1:] if not name.startswith("-")]
    main([case for case in CASES if not wanted or case.__name__ in wanted])
