#!/usr/bin/env python3
"""Statements that keep frames in shape, as a user types them: the same rows before and after."""

import json
import os
import time

from apiary_cli import Store, fails, main


def rows(store, frame):
    """Count and an order-free hash of every column."""
    return store.sql(f"SELECT count(*), bit_xor(hash({frame})) FROM {frame}")[1]


def cells(store, frame):
    return int(next(line for line in store.sql(f"EXPLAIN SELECT max(i + 0) FROM {frame}") if " cells" in line)
               .split(" of ")[1].split()[0])


def log(store, frame, version):
    path = store.root / f"main/main/{frame}/_delta_log/{version:020}.json"
    return [json.loads(line) for line in path.read_text().splitlines()]


def small_cells(store, frame="f", inserts=4):
    store.sql(f"CREATE FRAME {frame} (i BIGINT, p INTEGER, s TEXT) PARTITIONED BY (p)")
    for k in range(inserts):
        store.sql(f"INSERT INTO {frame} SELECT range + {k} * 100, CASE WHEN range % 4 = 3 THEN NULL ELSE range % 4 END, "
                  f"'x' || range FROM range(100)")


def optimize():
    with Store() as store:
        small_cells(store)
        before = rows(store, "f")
        assert cells(store, "f") == 16
        plan = store.sql("OPTIMIZE f DRY RUN")
        assert [line.split(",")[:2] for line in plan[1:]] == [
            ["p=__HIVE_DEFAULT_PARTITION__", "4"], ["p=0", "4"], ["p=1", "4"], ["p=2", "4"]], plan
        assert cells(store, "f") == 16
        store.sql("OPTIMIZE f WHERE p = 1 OR p IS NULL")
        assert cells(store, "f") == 10
        code, out, err = store.run("compact", "f")
        assert code == 0 and "8 cells" in out and "became 2" in out, (code, out, err)
        assert cells(store, "f") == 4
        assert rows(store, "f") == before
        versions = len(store.sql("SHOW HISTORY OF f"))
        assert "Nothing to do" in store.run("sql", "OPTIMIZE TABLE f")[1]
        assert len(store.sql("SHOW HISTORY OF f")) == versions
        actions = log(store, "f", 6)
        assert actions[0]["commitInfo"]["operation"] == "OPTIMIZE" and not actions[0]["commitInfo"]["isBlindAppend"]
        assert all(not action[kind]["dataChange"] for action in actions[1:] for kind in action)
        assert store.sql("SELECT count(*) FROM f AT (VERSION => 2)") == store.sql("SELECT 200 AS \"count_star()\"")


def optimize_refuses():
    with Store() as store:
        small_cells(store, inserts=1)
        store.sql("CREATE VIEW v AS SELECT 1 AS one; CREATE FRAME u (a INTEGER)")
        fails(store, "OPTIMIZE f WHERE i = 1", "i")
        fails(store, "OPTIMIZE u WHERE a = 1", "OPTIMIZE … WHERE works on partition columns")
        fails(store, "OPTIMIZE v", "is a view")
        fails(store, "OPTIMIZE nothing", "no frame")
        fails(store, "OPTIMIZE f CLUSTER BY (nope)", "no column \"nope\"")
        fails(store, "OPTIMIZE f CLUSTER BY (p)", "partition column")


def read(store, sql):
    """(cells read, cells in all) of a query."""
    line = next(line for line in store.sql(f"EXPLAIN {sql}") if " cells, " in line)
    words = line.split("reads ")[1].split()
    return int(words[0]), int(words[2])


def cluster_by():
    with Store() as store:
        store.sql("CREATE FRAME c (i BIGINT, k BIGINT, s TEXT)")
        store.sql("INSERT INTO c SELECT range, hash(range) % 100000, md5(range::TEXT) FROM range(400000)", "--set=target_cell_size=2MiB")
        before = rows(store, "c")
        query = "SELECT max(i) FROM c WHERE k = 777"
        kept, count = read(store, query)
        assert kept == count > 4, (kept, count)
        store.sql("ALTER FRAME c CLUSTER BY (k); OPTIMIZE c", "--set=target_cell_size=2MiB")
        kept, count = read(store, query)
        assert kept <= 3 < 5 < count, (kept, count)
        assert rows(store, "c") == before
        assert "Nothing to do" in store.run("sql", "OPTIMIZE c", "--set=target_cell_size=2MiB")[1]
        store.sql("INSERT INTO c SELECT range, hash(range) % 100000, md5(range::TEXT) FROM range(400000, 800000)", "--set=target_cell_size=2MiB")
        more, after = read(store, query)
        assert after > count and more <= kept + 3, "an insert sorts too"
        store.sql("ALTER FRAME c CLUSTER BY NONE; CREATE FRAME d (i BIGINT, p INTEGER) PARTITIONED BY (p) CLUSTER BY (i)")
        store.sql("ALTER FRAME d SET PROPERTIES ('delta.targetFileSize' = '64KiB', 'x' = 'y'); INSERT INTO d SELECT hash(range) % 100000, range % 2 FROM range(100000)")
        kept, count = read(store, "SELECT max(p) FROM d WHERE i = 5 AND p = 1")
        assert kept <= 3 and count >= 6, (kept, count)
        store.sql("ALTER FRAME d UNSET PROPERTIES (x)")
        fails(store, "ALTER FRAME d UNSET PROPERTIES (x)", "no property")
        fails(store, "ALTER FRAME d CLUSTER BY (p)", "partition column")
        fails(store, "ALTER FRAME d SET PROPERTIES ('apiary.clusterBy' = 'i')", "CLUSTER BY")
        fails(store, "CREATE FRAME e (a INTEGER[]) CLUSTER BY (a)", "no statistics")


def cells_stay_below_the_ceiling():
    """Rows so wide that one row group is too large, and partitions that come out as one file."""
    with Store() as store:
        wide = store.file("wide.csv", "k,a,b\n" + "".join(f"{i % 2},{i},{i * 7919 % 99991}\n" for i in range(20000)))
        store.sql("CREATE FRAME plain (k BIGINT, t TEXT); CREATE FRAME parts (k BIGINT, t TEXT) PARTITIONED BY (k)")
        for frame in ("plain", "parts"):
            store.sql(f"INSERT INTO {frame} SELECT k, concat(md5(a::TEXT), md5(b::TEXT), md5((a + b)::TEXT), md5((a * b)::TEXT)) "
                      f"FROM read_csv('{wide}')", "--set=target_cell_size=256KiB")
            sizes = [p.stat().st_size for p in (store.root / f"main/main/{frame}").rglob("cell_*")]
            assert len(sizes) >= 6 and max(sizes) <= 512 * 1024, sizes
            assert store.sql(f"SELECT count(*), count(DISTINCT t) FROM {frame}")[1] == "20000,20000"


DAY = 24 * 3600
NOW = "--set=vacuum_wait=10ms"


def age(store, pattern, days):
    """Makes objects older, as the store tells time."""
    for path in store.root.glob(pattern):
        if path.is_file():
            os.utime(path, (time.time() - days * DAY,) * 2)


def names(store, frame="f"):
    return {str(p.relative_to(store.root / f"main/main/{frame}")) for p in (store.root / f"main/main/{frame}").rglob("*.parquet")}


def vacuum():
    with Store() as store:
        store.sql("CREATE FRAME f (i BIGINT, _p INTEGER) PARTITIONED BY (_p); INSERT INTO f VALUES (1, 1), (2, 2)")
        store.sql("INSERT OVERWRITE f VALUES (3, 3)")
        live = {name for name in names(store) if name.startswith("_p=3")}
        folder = store.root / "main/main/f"
        for name in ("stray.parquet", "_hidden/x.parquet", ".dot.parquet", "_change_data/c.parquet", "_apiary_staging/s", "_p=1/stray.parquet"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x")
        assert store.sql("VACUUM f DRY RUN")[1:] == [], "nothing is old enough"
        age(store, "main/main/f/**/*", 2)
        assert store.sql("VACUUM f DRY RUN")[1:] == ["_apiary_staging/s"]
        age(store, "main/main/f/**/*", 8)
        plan = set(store.sql("VACUUM f DRY RUN")[1:])
        assert plan == names(store) - live - {"_hidden/x.parquet", ".dot.parquet"} | {"_apiary_staging/s"}, plan
        assert "stray.parquet" in plan and "_change_data/c.parquet" in plan and "_p=1/stray.parquet" in plan
        fails(store, "VACUUM f RETAIN 1 HOURS", "168", "vacuum_retention_check")
        code, out, err = store.run("vacuum", "f", NOW)
        assert code == 0 and "6 objects" in out, (code, out, err)
        assert names(store) == live | {"_hidden/x.parquet", ".dot.parquet"}, names(store)
        assert store.sql("SELECT * FROM f")[1:] == ["3,3"]
        fails(store, "SELECT * FROM f AT (VERSION => 1)", "is gone: it was vacuumed")
        fails(store, "RESTORE f TO VERSION 1", "version 1 was vacuumed", "is gone", "nothing was changed")
        fails(store, "PIN f VERSION 1 AS one", "version 1 was vacuumed")
        assert store.sql("SHOW PINS OF f")[1:] == []


def vacuum_below_the_retention():
    with Store() as store:
        store.sql("CREATE FRAME f AS SELECT 1 AS i; INSERT OVERWRITE f SELECT 2 AS i")
        (store.root / "main/main/f/stray.parquet").write_bytes(b"x")
        out = store.sql("SET vacuum_retention_check = off; SET vacuum_wait = '10ms'; VACUUM f RETAIN 0 HOURS DRY RUN")
        assert len(out) == 2 and out[1].startswith("cell_"), "a file that no entry names stays a day"
        store.sql("SET vacuum_retention_check = off; SET vacuum_wait = '10ms'; VACUUM f RETAIN 0 HOURS")
        assert len(names(store)) == 2
        assert store.sql("SELECT i FROM f")[1:] == ["2"]


def tables_inside_a_table():
    """A frame whose folder holds those of others leaves their cells alone."""
    with Store() as store:
        store.sql("CREATE FRAME f AS SELECT 7 AS i")
        store.sql(f"CREATE FRAME outer_one (i BIGINT) LOCATION '{store.root}/main'; INSERT INTO outer_one VALUES (1); INSERT OVERWRITE outer_one VALUES (2)")
        age(store, "main/**/*", 8)
        plan = store.sql("VACUUM outer_one DRY RUN")[1:]
        assert len(plan) == 1 and plan[0].startswith("cell_"), plan
        store.sql("VACUUM", NOW)
        assert store.sql("SELECT f.i + o.i FROM f, outer_one AS o")[1:] == ["9"]


def pins():
    with Store() as store:
        store.sql("CREATE FRAME f (i BIGINT); INSERT INTO f VALUES (1); INSERT OVERWRITE f VALUES (2); INSERT OVERWRITE f VALUES (3)")
        store.sql("PIN f VERSION 1 AS first")
        fails(store, "PIN f VERSION 2 AS first", "has a pin 'first' already")
        fails(store, "PIN f VERSION 99 AS later", "99")
        fails(store, "PIN f VERSION 1 AS \"../x\"", "../x")
        fails(store, "UNPIN f AS nothing", "no pin 'nothing'")
        assert [line.split(",")[:2] for line in store.sql("SHOW PINS OF f")[1:]] == [["first", "1"]]
        age(store, "main/main/f/**/*", 8)
        store.sql("VACUUM f", NOW)
        assert store.sql("SELECT i FROM f AT (VERSION => 1)")[1:] == ["1"]
        fails(store, "SELECT i FROM f AT (VERSION => 2)", "vacuumed")
        store.sql("UNPIN f AS first")
        store.sql("VACUUM f", NOW)
        fails(store, "SELECT i FROM f AT (VERSION => 1)", "vacuumed")
        assert store.sql("SELECT i FROM f")[1:] == ["3"]


def restore():
    with Store() as store:
        store.sql("CREATE FRAME f (i BIGINT, p TEXT) PARTITIONED BY (p); INSERT INTO f VALUES (1, 'a b'), (2, 'c')")
        store.sql("INSERT OVERWRITE f VALUES (3, 'c'); ALTER FRAME f SET PROPERTIES ('x' = 'y')")
        code, out, _ = store.run("sql", "RESTORE FRAME f TO VERSION 1")
        assert code == 0 and "version 1" in out and "2 cells back" in out, out
        assert store.sql("SELECT * FROM f ORDER BY i")[1:] == ["1,a b", "2,c"]
        assert store.sql("SELECT * FROM f AT (VERSION => 3)")[1:] == ["3,c"]
        assert "Nothing to do" in store.run("sql", "RESTORE f TO VERSION 4")[1]
        store.sql("RESTORE f TO TIMESTAMP now()::TIMESTAMPTZ - INTERVAL 0 SECOND; INSERT INTO f VALUES (4, 'd')")
        assert store.sql("SELECT count(*) FROM f")[1:] == ["3"]
        assert not list((store.root / "main/main/f/_apiary_pins").glob("*")), "its pin is gone"
        fails(store, "RESTORE f TO VERSION 77", "77")


def dropped_frames_go():
    with Store() as store:
        store.sql("CREATE FRAME f AS SELECT 1 AS i; CREATE FRAME g AS SELECT 2 AS i; CREATE FRAME h AS SELECT 3 AS i")
        store.sql("DROP FRAME f; DROP FRAME g; UNDROP FRAME g")
        assert [line for line in store.sql("VACUUM DRY RUN")[1:] if "dropped" in line] == []
        age(store, "_registry/**/*", 8)
        store.sql("DROP FRAME h")  # dropped just now: stays
        assert [line.split(",")[0] for line in store.sql("VACUUM DRY RUN")[1:]] == ["main.main.g", "main.main.f (dropped)"]
        store.sql("VACUUM", NOW)
        assert not list((store.root / "main/main/f").rglob("*.parquet")) and names(store, "g") and names(store, "h")
        fails(store, "UNDROP FRAME f", "f")
        store.sql("UNDROP FRAME h")
        assert store.sql("SELECT g.i + h.i FROM g, h")[1:] == ["5"]
        assert not list((store.root / "_registry/purge").glob("*"))


def dropped_frames_that_are_named_again():
    """What somebody made a frame of by its place stays, though the frame that it was is gone."""
    with Store() as store:
        store.sql("CREATE FRAME f AS SELECT 1 AS i; DROP FRAME f; CREATE HIVE other; CREATE BOX other.main")
        store.sql(f"CREATE FRAME other.main.g LOCATION '{store.root}/main/main/f'")
        age(store, "_registry/**/*", 8)
        assert "main.main.f (dropped),0,0" in store.sql("VACUUM", NOW)
        assert store.sql("SELECT i FROM other.main.g")[1:] == ["1"]


main([vacuum, vacuum_below_the_retention, tables_inside_a_table, pins, restore, dropped_frames_go, dropped_frames_that_are_named_again, optimize, optimize_refuses, cluster_by, cells_stay_below_the_ceiling])
