#!/usr/bin/env python3
"""DELETE, UPDATE, TRUNCATE: what they change, what they leave, what they refuse."""

import concurrent.futures
import os

from apiary_cli import Store, fails, main


def rows(store, sql):
    return store.sql(sql)[1:]


def cells(store):
    return {str(p) for p in store.root.rglob("cell_*.parquet")}


TABLE = ("CREATE FRAME t (i BIGINT NOT NULL, s TEXT, p INTEGER) PARTITIONED BY (p); "
         "INSERT INTO t SELECT range, 's' || range, CASE WHEN range % 4 = 3 THEN NULL ELSE range % 4 END FROM range(40)")


def delete():
    with Store() as store:
        store.sql(TABLE)
        before = cells(store)
        code, out, _ = store.run("sql", "DELETE FROM t WHERE i = 7")
        assert code == 0 and "1 row of" in out, out
        assert len(cells(store) - before) == 1, "one partition is written again"
        store.sql("DELETE FROM t AS x WHERE x.i >= (SELECT avg(i) FROM t) AND p IS NULL")
        assert rows(store, "SELECT i FROM t WHERE p IS NULL ORDER BY i") == ["3", "11", "15", "19"]
        store.sql("CREATE FRAME gone AS SELECT 0 AS i UNION ALL SELECT NULL; DELETE FROM main.t WHERE i IN (SELECT i FROM gone) /* why */;")
        assert rows(store, "SELECT count(*), min(i) FROM t WHERE p = 0") == ["9,4"]
        last = rows(store, "SHOW HISTORY OF t")[0].split(",")[0]
        store.sql("DELETE FROM t WHERE i = NULL; DELETE FROM t WHERE i > 1000; DELETE FROM t WHERE p = 17")
        assert rows(store, "SHOW HISTORY OF t")[0].split(",")[0] == last, "nothing was meant: no version"
        store.sql("DELETE FROM t WHERE p = 1")
        assert rows(store, "SELECT count(*) FROM t WHERE p = 1") == ["0"]
        assert rows(store, "SELECT count(*) FROM t AT (VERSION => 1)") == ["40"]
        store.sql("DELETE FROM t")
        assert rows(store, "SELECT count(*) FROM t") == ["0"]


def update():
    with Store() as store:
        store.sql("CREATE FRAME u (a INTEGER, b INTEGER NOT NULL, c DECIMAL(10,2), \"o-d\" TEXT); "
                  "INSERT INTO u SELECT range, range * 10, range / 4, 'x' FROM range(20)")
        store.sql("UPDATE u SET a = b, b = a WHERE a < 2")
        assert rows(store, "SELECT a, b FROM u WHERE b < 2 ORDER BY b") == ["0,0", "10,1"]
        store.sql("UPDATE u AS k SET \"o-d\" = k.\"o-d\" || k.a, c = 1.005 WHERE k.a = 19")
        assert rows(store, "SELECT * FROM u WHERE a = 19") == ["19,190,1.01,x19"]
        store.sql("UPDATE u SET c = (SELECT max(c) FROM u) WHERE a = 5; UPDATE u SET c = NULL WHERE a = 6")
        assert rows(store, "SELECT a, c FROM u WHERE a IN (5, 6) ORDER BY a") == ["5,4.50", "6,"]
        store.sql("UPDATE u SET c = (SELECT n FROM (SELECT b, row_number() OVER (ORDER BY b DESC) AS n FROM u) AS q WHERE q.b = u.b) WHERE a = 19")
        assert rows(store, "SELECT c FROM u WHERE a = 19") == ["1.00"]
        fails(store, "UPDATE u SET b = NULL WHERE a = 7", "column \"b\" of frame main.main.u cannot hold NULL")
        fails(store, "UPDATE u SET b = '{\"k\": null}'::JSON -> 'k' WHERE a = 7", "column \"b\" of frame main.main.u cannot hold NULL")
        fails(store, "UPDATE u SET b = CASE WHEN random() < 0.5 THEN 1 END", "cannot hold NULL")
        fails(store, "UPDATE u SET nope = 1", "no column \"nope\"")
        fails(store, "UPDATE u SET a = 1, A = 2", "set twice")
        fails(store, "UPDATE u SET a = 'word'", "word")
        fails(store, "UPDATE u SET a = 1 WHERE nope = 2", "nope")
        assert "20 rows" in store.run("sql", "UPDATE u SET \"o-d\" = 'all'")[1]
        assert rows(store, "SELECT DISTINCT \"o-d\" FROM u") == ["all"] and rows(store, "SELECT count(*), sum(a) FROM u") == ["20,199"]


def asked_once():
    """A condition that says something else each time it is asked changes all columns of a row or none."""
    with Store() as store:
        store.sql("CREATE FRAME u AS SELECT range AS i, 0 AS a, 0 AS b FROM range(1000)")
        store.sql("UPDATE u SET a = 1, b = 1 WHERE random() < 0.5")
        assert rows(store, "SELECT count(*) FILTER (WHERE a <> b), sum(a) BETWEEN 300 AND 700 FROM u") == ["0,true"]


def other_tables():
    with Store() as store:
        store.sql(TABLE + "; CREATE FRAME news (id BIGINT, word TEXT); INSERT INTO news VALUES (1, 'one'), (2, 'two'), (2, 'two'), (5, NULL)")
        assert "3 rows" in store.run("sql", "UPDATE t SET s = upper(word) || t.i FROM news WHERE news.id = t.i")[1]
        assert rows(store, "SELECT i, s FROM t WHERE i IN (1, 2, 3, 5) ORDER BY i") == ["1,ONE1", "2,TWO2", "3,s3", "5,"]
        store.sql("DELETE FROM t AS x USING news AS n JOIN t AS o ON o.i = n.id WHERE x.i = o.i AND n.word IS NOT NULL")
        assert rows(store, "SELECT count(*), min(i) FILTER (WHERE i > 0) FROM t") == ["38,3"]
        fails(store, "UPDATE t SET s = word FROM news", "rows of FROM that differ")


def refused():
    with Store() as store:
        store.sql(TABLE + "; CREATE VIEW v AS SELECT 1 AS one; CREATE FRAME log (i INTEGER) WITH ('delta.appendOnly' = 'true'); "
                  "INSERT INTO log VALUES (1)")
        fails(store, "UPDATE t SET p = 2 WHERE i = 1", "partition column")
        fails(store, "DELETE FROM t USING t AS o WHERE i = o.i", "Ambiguous reference")
        fails(store, "UPDATE t SET s = o.s FROM t AS o WHERE t.i = o.i AND s = 'a'", "Ambiguous reference")
        fails(store, "UPDATE t SET i = row_number() OVER (ORDER BY i)", "no window functions")
        fails(store, "UPDATE t SET s = 'a' || sum(i + 1) OVER () WHERE p = 1", "no window functions")
        fails(store, "UPDATE t SET i = max(i)", "no aggregates")
        fails(store, "UPDATE t SET i = unnest([1, 2])", "no unnest")
        fails(store, "DELETE FROM t WHERE i = 1) OR (i = 2", "syntax error at or near \")\"")
        fails(store, "DELETE FROM v WHERE one = 1", "is a view")
        fails(store, "DELETE FROM nothing WHERE i = 1", "no frame")
        fails(store, "DELETE FROM log WHERE i = 1", "append-only")
        fails(store, "TRUNCATE log", "append-only")
        fails(store, "MERGE INTO t USING t AS o ON t.i = o.i WHEN MATCHED THEN DELETE", "not supported")


def truncate():
    with Store() as store:
        store.sql(TABLE + "; TRUNCATE t")
        assert rows(store, "SELECT count(*) FROM t") == ["0"]
        store.sql("TRUNCATE TABLE t; INSERT INTO t VALUES (1, 'a', 0); RESTORE t TO VERSION 1")
        assert rows(store, "SELECT count(*) FROM t") == ["40"]


def counters_under_a_race():
    """Several processes count up one row: each one that says it did is there."""
    with Store() as store:
        store.sql("CREATE FRAME n (i INTEGER); INSERT INTO n VALUES (0)")

        def add(_):
            done = 0
            for _ in range(4):
                code, _, err = store.run("sql", "UPDATE n SET i = i + 1")
                assert code == 0 or "CONFLICT" in err, err
                done += code == 0
            return done

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            total = sum(pool.map(add, range(3)))
        assert total > 0 and rows(store, "SELECT * FROM n") == [str(total)]


def fsck():
    with Store() as store:
        store.sql(TABLE + "; CREATE FRAME w AS SELECT 1 AS one; DELETE FROM t WHERE i = 1", "--set=checkpoint_interval=1")
        code, out, _ = store.run("fsck", "--format", "csv")
        assert (code, out) == (0, "frame,object,problem\n"), (code, out)
        before = store.objects()
        t = store.root / "main/main/t"
        a, b, c = sorted((t / "p=0").glob("*"))[0], sorted((t / "p=2").glob("*"))[0], sorted(t.glob("p=__*/*"))[0]
        a.unlink()
        b.write_bytes(b.read_bytes()[:-20])
        data = bytearray(c.read_bytes())
        data[4:60] = os.urandom(56)
        c.write_bytes(data)
        one = next((store.root / "main/main/w").glob("*.parquet"))
        data = bytearray(one.read_bytes())
        data[-8:-4] = b"\xff\xff\xff\x00"
        one.write_bytes(data)
        checkpoint = next((t / "_delta_log").glob("*1.checkpoint.parquet"))
        checkpoint.write_bytes(b"PAR1 and nothing else")
        line = t / "_delta_log" / f"{1:020}.json"
        line.write_text(line.read_text()[:-30])
        damaged = store.objects()
        code, out, _ = store.run("fsck", "--format", "csv")
        found = {text.split(",")[1] for text in out.splitlines()[1:]}
        wanted = {str(p.relative_to(store.root)) for p in (a, b, c, one, checkpoint, line)}
        assert code == 1 and found == wanted, (found - wanted, wanted - found, out)
        assert store.objects() == damaged and damaged != before, "it only reads"
    with Store() as store:  # the newest version itself cannot be read
        store.sql("CREATE FRAME t AS SELECT 1 AS i; INSERT INTO t VALUES (2)", "--set=checkpoint_interval=1")
        newest = store.root / f"main/main/t/_delta_log/{1:020}.checkpoint.parquet"
        newest.write_bytes(newest.read_bytes()[:-50])
        code, out, _ = store.run("fsck", "--format", "csv")
        assert code == 1 and str(newest.relative_to(store.root)) + ",it does not end" in out, out
        code, _, err = store.run("sql", "SELECT sum(i) FROM t")
        assert code == 1 and "CORRUPT" in err and newest.name in err, err


main([delete, update, asked_once, other_tables, refused, truncate, counters_under_a_race, fsck])
