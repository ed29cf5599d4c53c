#!/usr/bin/env python3
"""What bad input gets: one clear line, the right exit code, and nothing changed."""

import json
import os
import subprocess

from apiary_cli import APIARY, Skip, Store, main


def refuse(store, words, *parts, code=1):
    """The command fails with `code`; its first line names all `parts`; no object of the store changes."""
    before = store.objects()
    got, out, err = store.run(*words)
    first = err.splitlines()[0] if err else ""
    assert got == code, f"{words}: exit {got}, expected {code}: {out} {err}"
    for part in parts:
        assert part in err, f"{words}: {part!r} is not in {err!r}"
    assert len(err.splitlines()) <= 2, f"{words}: more than a line and a hint: {err!r}"
    assert len(first) < 400, f"{words}: no clear line but {first!r}"
    assert store.objects() == before, f"{words}: the store changed"


def ready(store):
    store.sql("CREATE FRAME t (id BIGINT NOT NULL, name TEXT); INSERT INTO t VALUES (1, 'a')")


def statements():
    with Store() as store:
        ready(store)
        for sql, *parts in [
            ("SELECT * FROM nothing", "NOT_FOUND", "main.main.nothing"),
            ("SELECT * FROM tt", "main.main.tt"),
            ("SELECT nmae FROM t", "SQL", "nmae"),
            ("SELCT 1", "SELCT", "SELECT"),
            ("SELECT 1 +", "SQL"),
            ("SELECT 'a'::INT", "'a'"),
            ("INSERT INTO t VALUES (NULL, 'x')", "SCHEMA", '"id"', "NULL"),
            ("INSERT INTO t VALUES ('x', 'y')", "'x'", "id"),
            ("INSERT INTO t VALUES (1)", "SCHEMA", "number of columns"),
            ("INSERT INTO t (nope) VALUES (1)", "SCHEMA", '"nope"'),
            ("INSERT INTO missing VALUES (1)", "main.main.missing"),
            ("CREATE FRAME t (x INT)", "EXISTS", "main.main.t"),
            ("CREATE FRAME \"a/b\" (x INT)", "INVALID", "a/b"),
            ("CREATE FRAME \"a.b\" (x INT)", "INVALID", "a.b"),
            ("CREATE FRAME \"..\" (x INT)", "INVALID", ".."),
            ("CREATE HIVE system", "system"),
            ("CREATE FRAME u (x INTERVAL)", "INTERVAL"),
            ("CREATE FRAME u (x INT PRIMARY KEY)", "PRIMARY KEY"),
            ("CREATE FRAME u (x INT, X TEXT)", "\"X\"", "twice"),
            ("CREATE FRAME u (x INT) PARTITIONED BY (y)", "y"),
            ("CREATE TEMP TABLE main.u (x INT)", "temporary"),
            ("DROP FRAME nothing", "main.main.nothing"),
            ("MERGE INTO t USING t s ON t.id = s.id WHEN MATCHED THEN DELETE", "UNSUPPORTED", "MERGE", "DELETE what matches"),
            ("REPLACE INTO t VALUES (1, 'b')", "REPLACE INTO", "DELETE the keys"),
            ("ALTER FRAME t ADD COLUMN x INTEGER", "UNSUPPORTED", "columns"),
            ("ATTACH 'x.db'", "ATTACH"),
            ("INSTALL httpfs", "INSTALL"),
            ("PRAGMA database_list", "PRAGMA"),
            ("BEGIN TRANSACTION", "transaction"),
            ("SET no_such_setting = 1", "no_such_setting"),
            ("SET memory_limit = '1GB'", "memory_limit"),
            ("SELECT * FROM t AT (VERSION => 99)", "99"),
            ("SELECT * FROM t AT (TIMESTAMP => TIMESTAMP '1999-01-01')", "t"),
            ("SELECT * FROM read_csv('/no/such/file.csv')", "/no/such/file.csv"),
            ("COPY t TO '/no/such/folder/x.csv'", "/no/such/folder"),
        ]:
            refuse(store, ("sql", sql), *parts)
        refuse(store, ("sql", "SELECT 1; SELECT * FROM nothing"), "nothing")


def escapes():
    with Store() as store:
        ready(store)
        store.file("secret.txt", "the secret")
        for sql in ("SELECT * FROM read_text('/proc/self/environ')", "SELECT * FROM read_blob('/proc/1/cmdline')"):
            got, out, err = store.run("sql", sql, "--set", "local_files=off")
            assert got == 1 and "local_files" in err, f"{sql}: {out} {err}"
        store.sql("CREATE VIEW fine AS SELECT id FROM t")
        refuse(store, ("sql", f"CREATE VIEW bad AS SELECT * FROM read_text('{store.folder}/secret.txt')"), "file")


def forged_views():
    """Text of the bucket is anybody's: who can write there must not read the machine's files through a view."""
    with Store() as store:
        ready(store)
        secret, out = store.file("secret.csv", "word\nthe secret\n"), store.folder / "out.csv"
        store.sql("CREATE VIEW v AS SELECT id FROM t")
        state = max((p for p in (store.root / "_registry").glob("*/*.json") if '"view"' in p.read_text()), key=lambda p: p.name)
        whole = json.loads(state.read_text())

        def forge(sql):
            for entry in whole["entries"]:
                if entry["kind"] == "view":
                    entry["sql"] = sql
            state.write_text(json.dumps(whole))

        files, query, fence = "view v: a view of the catalogue may not read files", "view v: a view of the catalogue is one query", "Cannot access file"
        for sql, part in [
            (f"SELECT * FROM read_csv('{secret}')", files),
            (f"SELECT * FROM '{secret}'", files),
            (f"FROM \"{secret}\"", files),
            (f"TABLE '{secret}'", files),
            (f"SELECT * FROM read_text('{secret}')", files),
            (f"SELECT * FROM read_text(['{secret}'])", files),
            (f"SELECT * FROM read_blob('{secret}')", files),
            (f"SELECT * FROM glob('{store.folder}/*')", files),
            (f"SELECT * FROM sniff_csv('{secret}')", files),
            (f"SELECT * FROM read_csv('{secret}'[:4] || '{secret}'[5:])", files),
            (f"SELECT (SELECT max(word) FROM read_csv('{secret}')) AS id", files),
            (f"WITH w AS (FROM '{secret}') SELECT t.id FROM main.main.t, w", files),
            (f"SELECT id FROM main.main.t WHERE EXISTS (FROM read_text('{secret}'))", files),
            (f"SELECT id FROM main.main.t, LATERAL (FROM read_text('{secret}'))", files),
            (f"PIVOT '{secret}' ON word", files),
            (f"PIVOT (FROM read_csv('{secret}')) ON word IN ('x') USING count(*)", files),
            ("SELECT * FROM 's3://bucket/x.parquet'", files),
            ("SELECT * FROM '/files/0/secret.csv'", files),  # names of the chamber are none of the view's either
            (f"COPY (SELECT 1) TO '{out}'", query),
            (f"SELECT 1 AS id; COPY (SELECT 1) TO '{out}'", query),
            (f"PIVOT main.main.t ON id IN (1) USING count(*); COPY (SELECT 1) TO '{out}'", query),
            ("SELECT 1 AS id; SELECT 2 AS id", query),
            ("DELETE FROM main.main.t", query),
            ("DROP FRAME main.main.t", query),
            (f"ATTACH '{out}' AS a", query),
            (f"FROM query('FROM read_csv(''{secret}'')')", fence),  # a text in the text: the chamber has no such file
            (f"FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''{secret}'')'))", fence),
        ]:
            forge(sql)
            refuse(store, ("sql", "SELECT * FROM v"), "DENIED", part)
            refuse(store, ("sql", f"SELECT count(*) FROM v, read_csv('{secret}')"), "DENIED", part)  # beside the user's own
            assert not out.exists(), sql
        forge("SELECT * FROM main.main.v")
        refuse(store, ("sql", "SELECT * FROM v"), "LIMIT", "names itself")
        assert store.sql("SELECT id FROM t")[1:] == ["1"]
        forge("SELECT upper(name) AS n FROM main.main.t")  # names of the catalogue and functions
        assert store.sql("SELECT n FROM v")[1:] == ["A"]


def imports():
    with Store() as store:
        ready(store)
        bad = store.file("bad.csv", "id,name\n2,b\nx,c\n")
        short = store.file("short.csv", "a,b\n1,2\n3\n4,5\n")
        half = store.file("half.parquet", b"PAR1" + b"\0" * 100)
        words = store.file("words.bin", "hello")
        refuse(store, ("import", "t", bad), "bad.csv", "line 3", "id")
        refuse(store, ("import", "u", short), "short.csv")
        refuse(store, ("import", "u", half), "half.parquet")
        refuse(store, ("import", "u", words), "words.bin")
        refuse(store, ("import", "u", store.folder / "none.csv"), "none.csv")
        refuse(store, ("import", "a.b.c.d", bad), "a.b.c.d")
        refuse(store, ("import", "no_hive.b.c", bad), "no_hive")


def wrong_usage():
    with Store() as store:
        for words, *parts in [
            ((), "usage"), (("sq",), "sql"), (("sql", "--no-such"), "--no-such"), (("sql", "SELECT", "1"), "quotes"),
            (("sql", "SELECT 1", "--format", "excel"), "excel", "csv"), (("import", "t"), "usage"),
            (("sql", "SELECT 1", "--set", "memory_limt=1GB"), "memory_limt", "memory_limit"),
            (("sql", "SELECT 1", "--set", "bees=many"), "bees"), (("sql", "-f", "/no/such.sql"), "/no/such.sql"),
        ]:
            got, out, err = store.run(*words)
            assert got == 2, f"{words}: exit {got}: {out} {err}"
            for part in parts:
                assert part in err, f"{words}: {part!r} is not in {err!r}"


def stores():
    with Store() as store:
        for uri in ("ftp://x/y", "nosuch://bucket"):
            got, _, err = store.run("sql", "SHOW FRAMES", "--storage", uri)
            assert got in (1, 2) and err.startswith("Error"), f"{uri}: {got} {err}"
        if os.getuid() != 0:  # root may write anywhere
            store.root.mkdir()
            store.root.chmod(0o500)
            refuse(store, ("sql", "CREATE FRAME x (a INT)"), "DENIED")
        store.file("plain", "no directory")
        got, _, err = store.run("sql", "CREATE FRAME x (a INT)", "--storage", store.folder / "plain")
        assert got in (1, 2) and "plain" in err, err


def damaged():
    with Store() as store:
        ready(store)
        log = store.root / "main/main/t/_delta_log"
        commit = log / "00000000000000000001.json"
        whole = commit.read_text()
        for text in ("{", "not json", '{"add":{"path":"../../x.parquet","partitionValues":{},"size":1,"modificationTime":1,"dataChange":true}}'):
            commit.write_text(text)
            got, _, err = store.run("sql", "SELECT * FROM t")
            assert got == 1 and "CORRUPT" in err, f"{text}: {got} {err}"
        commit.write_text(whole)
        cell = next(p for p in (store.root / "main/main/t").glob("*.parquet"))
        bytes_ = cell.read_bytes()
        cell.write_bytes(bytes_[:-10])
        got, _, err = store.run("sql", "SELECT * FROM t")
        assert got == 1 and cell.name in err, err
        cell.unlink()
        got, _, err = store.run("sql", "SELECT * FROM t")
        assert got == 1 and cell.name in err, err


def mounted(store, script):
    """Runs the script in a mount namespace of this test, with `apiary` on the store; gives back what it wrote."""
    script = 'apiary() { "$APIARY" "$@" --quiet; }; ' + script
    env = {**store.environment(), "APIARY": APIARY}
    done = subprocess.run(["unshare", "--mount", "--map-root-user", "sh", "-c", script], env=env, capture_output=True,
                          text=True, timeout=120, check=False)
    if done.returncode in (1, 77) and "Error" not in done.stderr:
        raise Skip(f"no mount namespace here: {done.stderr.strip()}")
    assert done.returncode == 0, f"{done.returncode}: {done.stdout} {done.stderr}"
    return done.stdout, done.stderr


def full_disk():
    """The store lies in a file system of three megabytes."""
    with Store() as store:
        store.root.mkdir()
        out, err = mounted(store, f"mount -t tmpfs -o size=3m none {store.root} || exit 77; "
                                  "apiary sql 'CREATE FRAME t AS SELECT 1 AS a' || exit 70; "
                                  "apiary sql 'CREATE FRAME big AS SELECT hash(range) AS h FROM range(3000000)' && exit 71; "
                                  "apiary sql 'SELECT a FROM t' --format csv; apiary sql 'SHOW FRAMES' --format csv; "
                                  "apiary sql 'INSERT INTO t VALUES (2)' || exit 72")
        assert "Error (FULL)" in err, err
        assert "a\n1\n" in out and "big" not in out, out


def read_only_directory():
    """For root too, to whom permissions are nothing: the store is mounted read-only."""
    with Store() as store:
        ready(store)
        store.file("rows.csv", "id,name\n2,b\n")
        before = store.objects()
        out, err = mounted(store, f"mount --bind {store.root} {store.root} && mount -o remount,bind,ro {store.root} || exit 77; "
                                  "for sql in 'INSERT INTO t VALUES (2, NULL)' 'CREATE FRAME u (i INT)' 'DROP FRAME t' 'CREATE HIVE h' "
                                  "'CREATE FRAME v AS SELECT 1 AS a'; do apiary sql \"$sql\" && exit 71; done; "
                                  f"apiary import t {store.folder}/rows.csv && exit 72; "
                                  "apiary sql 'SELECT id FROM t' --format csv")
        lines = err.splitlines()
        assert len(lines) == 6 and all(line.startswith("Error (DENIED)") for line in lines), err
        assert out.endswith("id\n1\n"), out
        assert store.objects() == before


if __name__ == "__main__":
    main([statements, escapes, forged_views, imports, wrong_usage, stores, damaged, full_disk, read_only_directory])
