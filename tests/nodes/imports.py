#!/usr/bin/env python3
"""Many Parquet files into a frame, worked on by three real nodes, while nodes or the one who asked are killed: every row is there
exactly once, or none is; what comes out is what one node makes of the same files.

AP_ROUNDS says how many kills there are (default 6). With APIARY_TEST_ROOT the store is in a bucket."""

import os
import random
import re
import time
import urllib.error
import urllib.parse
import urllib.request

from swarm_nodes import Swarm, finish, rounds  # first: it finds the folders of the others
from writes import all_or_none, by_swarm, number, rows, write

from apiary_cli import REMOTE, Skip, main

ROUNDS = int(os.environ.get("AP_ROUNDS", "6"))
ROWS, FILES = 200_000, 20
SHARED = "by the swarm in"
HIT = []  # of each kill: did the statement run still
FORCE = ("--set", "distributed=force")
ALONE = ("--set", "distributed=off")


def put(swarm, folder, files, root=None):
    """Files (name: SELECT) below the store's root, or another one; what stands for all of them."""
    root = root or swarm.root
    made = swarm.folder / "made" / folder if REMOTE else root / folder
    for name, select in files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if select is None:
            path.write_bytes(b"PAR1 this is no Parquet file at all PAR1")
            continue
        code, _, err = swarm.run("sql", f"COPY ({select}) TO '{path}' (FORMAT parquet)", "-q")
        assert code == 0, err
    if not REMOTE:
        return f"{made}/"
    place, _, options = root.partition("?")
    code, _, err = swarm.run("cp", made, f"{place}/{folder}?{options}")
    assert code == 0, err
    return f"{place}/{folder}/"


def beside(swarm):
    """A root whose name begins as that of the store does."""
    if not REMOTE:
        return swarm.root.with_name(swarm.root.name + "-beside")
    place, mark, options = swarm.root.partition("?")
    return f"{place}-beside{mark}{options}"


def pattern(swarm, place, what="*.parquet"):
    _, _, options = str(swarm.root).partition("?")
    return f"{place}{what}" + (f"?{options}" if options else "")


def landing(swarm, folder="landing"):
    """ROWS rows in FILES files."""
    share = ROWS // FILES
    return pattern(swarm, put(swarm, folder, {f"{n:03}.parquet": f"SELECT i AS x, i % 7 AS p, 'v' || i AS s FROM range({n * share}, {(n + 1) * share}) r(i)"
                                              for n in range(FILES)}))


def whole(swarm, frame, count=ROWS):
    assert rows(swarm, f"SELECT count(*), count(DISTINCT x), sum(x) FROM {frame}") == [
        [str(count), str(count), str(count * (count - 1) // 2)]], frame


def is_shared(swarm, table):
    """It is divided among the nodes, and not read by one of them for another reason."""
    code, out, err = swarm.run("sql", f"EXPLAIN SELECT * FROM {table}", *FORCE)
    assert code == 0 and "distributed: 1 stage" in out and "not distributed" not in out, f"{table}: {out}{err}"


def load(swarm, frame, files, *options):
    code, out, err = swarm.run("import", frame, files, *(options or FORCE))
    assert code == 0, err
    return out + err


def same(swarm, text, *frames):
    """The frame that all nodes made and the one that one node made hold the same."""
    many, one = (rows(swarm, text.format(frame)) for frame in frames)
    assert many == one, f"{many}\n{one}"
    many, one = (rows(swarm, f"DESCRIBE SELECT * FROM {frame}") for frame in frames)
    assert many == one, f"{many}\n{one}"


def shared_out(swarm):
    files = landing(swarm)
    said = load(swarm, "f", files)
    assert SHARED in said and f"{ROWS} rows" in said.replace(",", ""), said
    whole(swarm, "f")
    write(swarm, "CREATE FRAME c (x BIGINT, p INTEGER, s VARCHAR) PARTITIONED BY (p)")
    said = write(swarm, f"COPY c FROM '{files}'")
    assert SHARED in said and f"Copied {ROWS} rows" in said and "version 1" in said, said
    write(swarm, f"INSERT INTO c BY NAME SELECT * FROM read_parquet('{files}') WHERE x < 1000")
    assert number(swarm, "SELECT count(*) FROM c WHERE x < 1000") == 2000
    write(swarm, f"CREATE FRAME g AS SELECT p, count(*) AS n, max(s) AS s FROM '{files}' GROUP BY p")
    write(swarm, f"CREATE FRAME j AS SELECT a.x FROM read_parquet('{files}') a JOIN c ON a.x = c.x AND c.x BETWEEN 1000 AND 1999")
    assert rows(swarm, "SELECT count(*), sum(n) FROM g") == [["7", str(ROWS)]] and number(swarm, "SELECT count(*) FROM j") == 1000
    united = f"SELECT x, s FROM read_parquet('{files}') UNION ALL SELECT x, s FROM c WHERE x < 1000 UNION ALL SELECT x + 1, 'again' FROM read_parquet('{files}')"
    code, out, err = swarm.run("sql", f"EXPLAIN {united}", *FORCE)
    assert code == 0 and re.search(rf"gather of \d+ tasks over {FILES} files, frame main.main.c and {FILES} files", out) and "cells and files (" in out, out + err
    write(swarm, f"CREATE FRAME united AS {united}")
    assert rows(swarm, "SELECT count(*), sum(x), count(*) FILTER (WHERE s = 'again') FROM united") == [
        [str(2 * ROWS + 2000), str(ROWS * (ROWS - 1) + ROWS + 999000), str(ROWS)]]
    load(swarm, "f", files, "--overwrite", *FORCE)
    whole(swarm, "f")
    assert REMOTE or (by_swarm(swarm, "f") == 2 and by_swarm(swarm, "c") == 2 and by_swarm(swarm, "g") == 1), "not by the swarm"
    code, out, err = swarm.run("sql", f"EXPLAIN SELECT count(*) FROM read_parquet('{files}')", *FORCE)
    assert code == 0 and "distributed: 1 stage" in out and f"tasks over {FILES} files" in out and f"of {FILES} files" in out, out + err
    for what in (f"SELECT * FROM read_parquet('{files}')", "SELECT * FROM f"):  # which look at the catalogue: one node does them
        for words in ("DESCRIBE", "SUMMARIZE"):
            many, one = (swarm.run("sql", f"{words} {what}", "--format", "csv", "--set", f"distributed={mode}") for mode in ("force", "off"))
            assert many[0] == 0 and many[1].count("\n") == 4 and (words == "SUMMARIZE" or many == one), f"{words} {what}: {many}\n{one}"


def as_one_node(swarm):
    """Missing and wider columns, nested ones, those of another order; names that are mended."""
    place = put(swarm, "mixed", {
        "a.parquet": "SELECT 1 AS id, {'k': 1, 'm': 'x'} AS s, 1.5::FLOAT AS f, [1, 2] AS l, 'a' AS \"a b\"",
        "b.parquet": "SELECT {'m': 'y', 'k': 300000000000} AS s, 2::BIGINT AS ID, DATE '2026-01-02' AS d, MAP {'q': 1} AS m",
        "c.parquet": "SELECT 3 AS id, {'k': 5, 'z': 1.25} AS s, 0.1::DOUBLE AS f, [3::BIGINT] AS l, NULL::DATE AS d",
        "d.parquet": "SELECT 4::SMALLINT AS id, TIMESTAMP '2026-01-01 10:00:00' AS t, 12.34::DECIMAL(10,2) AS n",
        "e.parquet": "SELECT 5 AS id, TIMESTAMPTZ '2026-01-01 10:00:00+02' AS t, 7 AS n, 'b' AS \"a b\""})
    files = pattern(swarm, place)
    said, alone = load(swarm, "m", files), load(swarm, "m1", files, *ALONE)
    assert SHARED in said and SHARED not in alone, said + alone
    is_shared(swarm, f"read_parquet('{files}', union_by_name = true)")
    assert '"a b" is called "a_b"' in said and '"a b" is called "a_b"' in alone, said + alone
    same(swarm, "SELECT * FROM {} ORDER BY id", "m", "m1")
    for frame, options in (("kept", FORCE), ("kept1", ALONE)):
        load(swarm, frame, files, "--keep-names", *options)
    same(swarm, "SELECT * FROM {} ORDER BY id", "kept", "kept1")
    for frame, mode in (("n", "force"), ("n1", "off")):
        code, _, err = swarm.run("sql", f"CREATE FRAME {frame} (id BIGINT, extra VARCHAR, f DOUBLE, t TIMESTAMPTZ); "
                                 f"INSERT INTO {frame} BY NAME SELECT id, f, t FROM read_parquet('{files}', union_by_name = true)", "--set", f"distributed={mode}")
        assert code == 0, err
    same(swarm, "SELECT * FROM {} ORDER BY id", "n", "n1")
    # Values of folders, some of them as columns in the files too, or none.
    folders = pattern(swarm, put(swarm, "byday", {f"day=2026-01-0{n}/p={n % 2 or '__HIVE_DEFAULT_PARTITION__'}/q%2F=a b/x.parquet":
                                                  f"SELECT {n} AS a, 'file' AS p" for n in range(1, 7)}), "*/*/*/*.parquet")
    for n, more in enumerate(("", ", hive_partitioning = true", ", hive_partitioning = false")):
        for mode in ("force", "off"):
            code, _, err = swarm.run("sql", f"CREATE FRAME h{n}{mode} WITH ('delta.columnMapping.mode' = 'name') AS SELECT * FROM read_parquet('{folders}'{more})", "--set", f"distributed={mode}")
            assert code == 0, err
        same(swarm, "SELECT * FROM {} ORDER BY a", f"h{n}force", f"h{n}off")
        is_shared(swarm, f"read_parquet('{folders}'{more})")
        assert REMOTE or by_swarm(swarm, f"h{n}force") == 1
    assert rows(swarm, f"SELECT count(*), count(p) FROM h0off WHERE day = DATE '2026-01-02'") == [["1", "0"]]
    assert [line[0] for line in rows(swarm, "DESCRIBE SELECT * FROM h2force")] == ["a", "p"]
    # The first file's columns, where it is not by name.
    for frame, column in (("o", "b"), ("w", "FileName")):  # by the name of a file its rows are left out
        plain = pattern(swarm, put(swarm, f"plain{frame}", {f"{n}.parquet": f"SELECT {n} AS a, 'x' AS {column}" + (", 1 AS c" if n else "") for n in range(6)}))
        for made, mode in ((frame, "force"), (f"{frame}1", "off")):
            code, _, err = swarm.run("sql", f"CREATE FRAME {made} AS SELECT * FROM read_parquet('{plain}')", "--set", f"distributed={mode}")
            assert code == 0, err
        same(swarm, "SELECT * FROM {} ORDER BY a", frame, f"{frame}1")
        is_shared(swarm, f"read_parquet('{plain}')")
    assert REMOTE or [by_swarm(swarm, name) for name in ("m", "m1", "n", "n1", "o", "o1")] == [1, 0, 1, 0, 1, 0]


def refused(swarm):
    """The same line as from one node, naming the file; nothing is written, and no frame is made."""
    good = {f"{n}.parquet": f"SELECT {n} AS a, {n} AS b" for n in range(6)}
    bad = pattern(swarm, put(swarm, "bad", {**good, "4.parquet": None}))
    lacks = pattern(swarm, put(swarm, "lacks", {**good, "4.parquet": "SELECT 1 AS a"}))
    wide = pattern(swarm, put(swarm, "wide", {**good, "4.parquet": "SELECT 'much' AS a, 1 AS b"}))
    more = pattern(swarm, put(swarm, "more", {**good, "4.parquet": "SELECT 1 AS a, 1 AS b, 1 AS c"}))
    write(swarm, "CREATE FRAME r (a INTEGER, b INTEGER)")
    for words, named in [(("import", "none", bad), "bad/4.parquet"), (("sql", f"COPY r FROM '{bad}'"), "bad/4.parquet"),
                         (("sql", f"CREATE FRAME none AS SELECT * FROM read_parquet('{bad}')"), "bad/4.parquet"),
                         (("sql", f"INSERT INTO r SELECT * FROM read_parquet('{lacks}')"), "lacks/4.parquet"),
                         (("sql", f"INSERT INTO r SELECT * FROM read_parquet('{wide}')"), "wide/4.parquet"),
                         (("import", "r", more), "c")]:
        said = []
        for options in (FORCE, ALONE):
            code, _, err = swarm.run(*words, *options)
            assert code == 1 and err.startswith("Error (") and named in err, f"{words}: {err}"
            said.append(err)
        assert said[0] == said[1], said
    assert number(swarm, "SELECT count(*) FROM r") == 0
    code, _, err = swarm.run("sql", "SELECT * FROM none")
    assert code == 1 and "none" in err, err


def alone(swarm):
    """What one node does, and why."""
    outside = swarm.folder / "elsewhere"
    outside.mkdir()
    code, _, err = swarm.run("sql", "; ".join(f"COPY (SELECT {n} AS a) TO '{outside}/{n}.parquet'; COPY (SELECT {n} AS a) TO '{outside}/{n}.csv'" for n in range(3)), "-q")
    assert code == 0, err
    twice = pattern(swarm, put(swarm, "twice", {f"{n}.parquet": f"SELECT {n} AS a, {n} AS a_1" for n in range(3)}))
    folders = put(swarm, "folders", {f"p={n}/x.parquet": f"SELECT {n} AS a" for n in range(3)})
    inside = pattern(swarm, folders, "*/*.parquet")
    two = {f"{n}.parquet": f"SELECT {n} AS a" for n in range(3)}
    near = pattern(swarm, put(swarm, "near", two, beside(swarm)))
    log = pattern(swarm, put(swarm, "other/_delta_log", two))
    named = pattern(swarm, put(swarm, "named", {f"{n}.pq": f"SELECT {n} AS a" for n in range(3)}), "*.pq")
    again = pattern(swarm, put(swarm, "again", {f"p={n}/p={n + 1}/{n}.parquet": f"SELECT {n} AS a" for n in range(3)}), "*/*/*.parquet")
    cases = pattern(swarm, put(swarm, "cases", {f"q={n}/Q={n + 1}/{n}.parquet": f"SELECT {n} AS a" for n in range(3)}), "*/*/*.parquet")
    for n, (text, why) in enumerate([(f"'{outside}/*.parquet'", "outside the store"), (f"'{outside}/*.csv'", "by name"),
                                     (f"read_parquet('{outside}/1.parquet')", "outside the store"), (f"read_parquet('{inside}', union_by_name = true)", "folders"),
                                     (f"read_parquet('{inside}', hive_partitioning = false, file_row_number = true)", "options"),
                                     (f"read_parquet('{twice}', union_by_name = true)", "a_1"), (f"read_parquet('{near}')", "outside the store"),
                                     (f"read_parquet('{log}')", "outside the store"), (f"read_parquet('{named}')", "not called .parquet"),
                                     (f"read_parquet('{again}')", "a column twice"), (f"read_parquet('{again}', hive_partitioning = true)", "a column twice"),
                                     (f"read_parquet('{cases}')", "a column twice")]):
        code, out, err = swarm.run("sql", f"EXPLAIN SELECT * FROM {text}", *FORCE)
        assert code == 0 and "not distributed: " in out and why in out, f"{text}: {out}{err}"
        write(swarm, f"CREATE FRAME a{n} AS SELECT * FROM {text}")
    is_shared(swarm, f"read_parquet('{again}', hive_partitioning = false)")
    assert rows(swarm, "SELECT a, p FROM a3 ORDER BY a") == [[str(n), str(n)] for n in range(3)]
    said = load(swarm, "one", f"{outside}/*.parquet")
    assert "not distributed: its files lie outside the store" in said and SHARED not in said, said
    said = load(swarm, "two", f"{outside}/*.csv")
    assert "not distributed: its files lie outside the store" in said and "not called .csv" in said, said
    said = load(swarm, "three", inside, *FORCE)
    assert SHARED in said and rows(swarm, "SELECT * FROM three ORDER BY a") == [["0"], ["1"], ["2"]], said
    query = swarm.run("submit", f"INSERT INTO one SELECT a FROM read_parquet('{inside}', hive_partitioning = false)")[1].strip()
    code, out, err = swarm.run("attach", query)
    assert code == 0 and "Committed 3 rows" in out + err, out + err
    swarm.settled()
    code, _, err = swarm.run("sql", f"INSERT INTO one SELECT * FROM read_parquet('{inside}')", "--set", "distributed=force", "--set", "local_files=off")
    assert code == 1 and "local_files" in err, err


def replace(swarm, folder, name, by):
    """A file becomes another one of the same folder, at one stroke."""
    if not REMOTE:
        path = swarm.root / folder / name
        other = path.with_name("other")
        other.write_bytes((swarm.root / folder / by).read_bytes())
        other.replace(path)
        return
    uri = urllib.parse.urlsplit(str(swarm.root))
    endpoint = dict(urllib.parse.parse_qsl(uri.query)).get("endpoint", "")
    body = (swarm.folder / "made" / folder / by).read_bytes()
    request = urllib.request.Request(f"{endpoint}/-/put/{uri.netloc}{uri.path}/{folder}/{name}", data=body, method="PUT")
    try:
        urllib.request.urlopen(request, timeout=10).read()
    except (urllib.error.URLError, ValueError) as error:
        raise Skip(f"this is not the S3 server of the tests: {error}") from error


def changed(swarm):
    """A file that is another one by the time it is read ends the statement, and nothing is written."""
    for n in range(20):
        frame = f"changed{n}"
        files = landing(swarm, frame)
        asked = swarm.begin("import", frame, files, *FORCE)
        swarm.wait_announced(asked)
        with swarm.paused():
            replace(swarm, frame, f"{FILES - 1:03}.parquet", "000.parquet")
        code, _, err = finish(asked)
        swarm.settled()
        if code != 0:
            assert f"{frame}/{FILES - 1:03}.parquet changed" in err, err
            code, _, said = swarm.run("sql", f"SELECT count(*) FROM {frame}")
            assert code == 1, said
            print(f"# {err.strip()}")
            return
        whole(swarm, frame)
    raise AssertionError("no file changed in time")


def killed(swarm, words, frame, count, seed, whom, pick, begun=True):
    """Somebody is killed when the statement has begun, or at any moment: all rows are there, or none. Did it run then?"""
    asked = swarm.begin(*words)
    if begun:
        swarm.wait_announced(asked)
    time.sleep(pick.uniform(0, 0.05) if begun else pick.uniform(0.1, 0.8))
    running = asked.poll() is None
    code, err = swarm.kill(whom, asked, pick)
    there = all_or_none(swarm, frame, count, code, whom, words[0] == "import", f"seed {seed}, {whom} killed: {words}: exit {code}: {err}")
    print(f"# {whom} killed {'while it ran' if running else 'after the end'}: {there} rows")
    return running


def kill(swarm, seed, whom):
    """One import, one kill -9 in its midst. What is acknowledged is there; what is there, is there once."""
    pick = random.Random(seed)
    frame, files = f"k{seed}", landing(swarm, "kills")
    words = ("import", frame, files, *FORCE)
    if pick.random() < 0.5:
        write(swarm, f"CREATE FRAME {frame} (x BIGINT, p INTEGER, s VARCHAR)")
        words = ("sql", pick.choice([f"COPY {frame} FROM '{files}'", f"INSERT INTO {frame} BY NAME SELECT * FROM read_parquet('{files}')"]), *FORCE)
    HIT.append(killed(swarm, words, frame, ROWS, seed, whom, pick, begun=seed // 2 % 2 == 0))


def cases(swarm):
    def files_are_cells():
        swarm.fill(1000)
        for _ in range(3):
            swarm.start()
        shared_out(swarm)

    def what_comes_out_is_what_one_node_makes():
        as_one_node(swarm)

    def a_bad_file_is_named_and_nothing_is_written():
        refused(swarm)

    def the_rest_is_for_one_node_which_says_why():
        alone(swarm)

    def a_file_that_changes_is_noticed():
        changed(swarm)

    def kills_met_statements_that_ran():
        assert sum(HIT) * 4 >= len(HIT), HIT

    def all_leave_in_good_order():
        swarm.stop()

    return [files_are_cells, what_comes_out_is_what_one_node_makes, a_bad_file_is_named_and_nothing_is_written,
            the_rest_is_for_one_node_which_says_why, a_file_that_changes_is_noticed, *rounds(swarm, kill, ROUNDS, "asker"),
            kills_met_statements_that_ran, all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
