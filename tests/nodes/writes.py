#!/usr/bin/env python3
"""Statements that write, worked on by three real nodes, while nodes or the one who asked are killed: every row is
there exactly once, or none is.

AP_ROUNDS says how many kills there are (default 8). With APIARY_TEST_ROOT the store is in a bucket."""

import os
import random
import time

from swarm_nodes import Swarm, finish, rounds  # first: it finds the folders of the others

from apiary_cli import REMOTE, main

ROUNDS = int(os.environ.get("AP_ROUNDS", "8"))
ROWS = 300_000


def rows(swarm, text):
    code, out, err = swarm.answer(text, spread=False)
    assert code == 0, f"{text}: {err}"
    return [line.split(",") for line in out.splitlines()[1:]]


def number(swarm, text):
    return int(rows(swarm, text)[0][0])


def write(swarm, text):
    code, out, err = swarm.run("sql", text, "--set", "distributed=force")
    assert code == 0, f"{text}: {err}"
    return out + err


def by_swarm(swarm, frame):
    """How many versions of the frame's log carry a query's transaction."""
    logs = swarm.folder / "store" / "main" / "main" / frame / "_delta_log"
    return sum('"txn":{"appId":"apiary:' in path.read_text() for path in logs.glob("*.json"))


def kinds(swarm):
    """What each kind of statement leaves is what one node would have left."""
    write(swarm, "CREATE FRAME u (p INTEGER, x BIGINT, s VARCHAR, r INTEGER)")
    said = write(swarm, "INSERT INTO u SELECT p, x, 'v' || x, 0 FROM t WHERE x % 2 = 0")
    assert f"Inserted {ROWS // 2} rows" in said and "version 1" in said, said
    assert rows(swarm, "SELECT count(*), count(DISTINCT x), min(s) FROM u") == [[str(ROWS // 2), str(ROWS // 2), "v0"]]
    write(swarm, "INSERT INTO u BY NAME SELECT 7 AS p, count(*) AS x, 1 AS r FROM t GROUP BY t.p")
    assert rows(swarm, "SELECT count(*), sum(x), count(s) FROM u WHERE r = 1") == [["6", str(ROWS), "0"]]
    write(swarm, "CREATE FRAME c PARTITIONED BY (p) AS SELECT p, x * 2 AS y FROM t")
    assert rows(swarm, "SELECT count(*), sum(y) FROM c") == [[str(ROWS), str(ROWS * (ROWS - 1))]]
    write(swarm, "CREATE OR REPLACE FRAME c AS SELECT p, x, max(x) OVER (PARTITION BY p) AS m FROM t")
    assert rows(swarm, "SELECT count(*), count(DISTINCT m) FROM c") == [[str(ROWS), "6"]]
    write(swarm, "INSERT OVERWRITE c SELECT p, x, x FROM t WHERE x < 10")
    assert number(swarm, "SELECT count(*) FROM c") == 10
    said = write(swarm, "INSERT INTO c SELECT p, x, x FROM t WHERE x < 0")
    assert "Inserted 0 rows" in said and number(swarm, "SELECT count(*) FROM c") == 10, said
    write(swarm, "CREATE FRAME m PARTITIONED BY (\"p=q\") WITH ('delta.columnMapping.mode' = 'name') AS SELECT p AS \"p=q\", x AS \"a b\" FROM t")
    write(swarm, "INSERT INTO m SELECT p, x FROM t")
    assert rows(swarm, "SELECT count(*), count(DISTINCT \"a b\") FROM m WHERE \"p=q\" = 3") == [[str(ROWS // 3), str(ROWS // 6)]]
    write(swarm, "CREATE FRAME g AS SELECT p, count(*) AS n FROM t GROUP BY p HAVING count(*) > (SELECT min(n) / 2 FROM (SELECT count(*) AS n FROM t GROUP BY p LIMIT 3))")
    assert rows(swarm, "SELECT count(*), sum(n) FROM g") == [["6", str(ROWS)]]
    said = write(swarm, "CREATE TEMP FRAME own AS SELECT p, x FROM t; INSERT INTO own SELECT p, x FROM t; SELECT count(*) AS twice FROM own")
    assert str(2 * ROWS) in said, said
    write(swarm, "INSERT INTO c SELECT c.p, c.x, c.x FROM c JOIN t ON c.x = t.x")
    assert number(swarm, "SELECT count(*) FROM c") == 20
    if not REMOTE:
        assert by_swarm(swarm, "u") == 2 and by_swarm(swarm, "c") == 4, (by_swarm(swarm, "u"), by_swarm(swarm, "c"))


def united(swarm):
    """UNION ALL of two frames, one twice: tasks store the rows of all branches, and read each cell of each once."""
    write(swarm, "CREATE FRAME b (p INTEGER, x SMALLINT)")
    write(swarm, "INSERT INTO b SELECT 9, x FROM t WHERE x < 1000; INSERT INTO b SELECT 9, x FROM t WHERE x < 500")
    write(swarm, "CREATE FRAME united (p INTEGER, x BIGINT)")
    branches = "SELECT p, x FROM t WHERE x % 2 = 0 UNION ALL SELECT p, -x FROM b UNION ALL SELECT t.p + 10, t.x FROM t JOIN b USING (x)"
    said = write(swarm, f"INSERT INTO united {branches}")
    count = ROWS // 2 + 1500 + 1500
    assert f"Inserted {count} rows" in said, said
    totals = "count(*) AS n, count(DISTINCT p) AS p, sum(x) AS s, min(x) AS least, typeof(any_value(x)) AS t"
    wanted = rows(swarm, f"SELECT {totals} FROM ({branches})")
    assert rows(swarm, f"SELECT {totals} FROM united") == wanted and wanted[0][0] == str(count), wanted
    code, out, err = swarm.answer(f"SELECT {totals} FROM ({branches})")
    assert code == 0 and [line.split(",") for line in out.splitlines()[1:]] == wanted, out + err
    if REMOTE:
        return
    manifests = [path.read_text() for path in (swarm.folder / "store" / "_queries").glob("*/1manifest")]
    several = [text for text in manifests if "shardFrames" in text]
    assert len(several) == 2 and len(manifests) > 2, (len(several), len(manifests))
    assert all(('"union-1"' in text) == (text in several) for text in manifests)
    assert any("inTasks" in text and '"write-1"' in text for text in several)
    assert by_swarm(swarm, "united") == 1


def refused(swarm):
    """One clear line, nothing written."""
    before = number(swarm, "SELECT count(*) FROM u")
    for text, said in [("INSERT INTO u SELECT p, x, 'a', 'b' FROM t", "convert"),
                       ("INSERT INTO u SELECT p, x FROM t", "columns"),
                       ("CREATE FRAME t AS SELECT p FROM t", "exists already"),
                       ("INSERT INTO u SELECT p, x, error('stop'), 1 FROM t", "stop")]:
        code, _, err = swarm.run("sql", text, "--set", "distributed=force")
        assert code == 1 and err.startswith("Error (") and said in err, f"{text}: {err}"
    code, _, err = swarm.run("sql", "CREATE FRAME many PARTITIONED BY (x) AS SELECT x % 100 AS x, p FROM t", "--set", "distributed=force", "--set",
                             "max_partitions=50")
    assert code == 1 and "max_partitions is 50" in err, err
    assert number(swarm, "SELECT count(*) FROM u") == before


def conflict(swarm):
    """What replaces rows that it did not see change is not committed; what only adds is."""
    write(swarm, "CREATE FRAME w (p INTEGER, x BIGINT)")
    outcomes = set()
    for text, must_lose in [("INSERT OVERWRITE w SELECT p, x FROM t", True), ("INSERT INTO w SELECT p, x FROM t", False)]:
        for n in range(20):
            if n >= 3 and (not must_lose or ("OVERWRITE", 1) in outcomes):
                break
            before = number(swarm, "SELECT count(*) FROM w")
            asked = swarm.spread(text)
            swarm.wait_announced(asked)
            with swarm.paused():  # on a busy machine the other came too late twenty times
                swarm.sql("INSERT INTO w VALUES (-1, -1)")
            code, _, err = finish(asked)
            swarm.settled()
            there = number(swarm, "SELECT count(*) FROM w")
            if code != 0:
                assert must_lose and err.startswith("Error (CONFLICT)") and there == before + 1, f"{text}: {err} {there}"
            elif must_lose:
                assert there in (ROWS, ROWS + 1), f"{text}: {there}"
            else:
                assert there == before + ROWS + 1, f"{text}: {before} and then {there}"
            outcomes.add((text.split()[1], code))
    assert ("OVERWRITE", 1) in outcomes, "no overwrite met another's rows"
    return sorted(outcomes)


def all_or_none(swarm, frame, count, code, whom, creates, where):
    """Each row once, or none; all when the statement said so, and when a node alone was killed: then there is a new one."""
    looked, out, said = swarm.answer(f"SELECT count(*), count(DISTINCT x) FROM {frame}", spread=False)
    assert looked == 0 or (creates and "(NOT_FOUND)" in said), f"{where}: {said}"
    there = [int(n) for n in out.splitlines()[1].split(",")] if looked == 0 else [0, 0]
    assert there in ([0, 0], [count, count]), f"{where}: {there} rows"
    assert there == [count, count] or (code != 0 and whom == "asker"), f"{where}: {there} rows"
    if whom == "node":
        assert code == 0, where
        swarm.start()
    return there[0]


def kill(swarm, seed, whom):
    """One statement, one kill -9 in its midst. What is acknowledged is there; what is there, is there once."""
    pick = random.Random(seed)
    frame = f"k{seed}"
    creates = pick.random() < 0.4
    if not creates:
        write(swarm, f"CREATE FRAME {frame} (p INTEGER, x BIGINT)")
    text = f"CREATE FRAME {frame} AS SELECT p, x FROM t" if creates else f"INSERT INTO {frame} SELECT p, x FROM t"
    asked = swarm.spread(text)
    time.sleep(pick.uniform(0.05, 0.9))
    code, err = swarm.kill(whom, asked, pick)
    there = all_or_none(swarm, frame, ROWS, code, whom, creates, f"seed {seed}, {whom} killed: {text}: exit {code}: {err}")
    print(f"# {whom} killed: {there} rows")


def attach(swarm):
    """One who comes later learns what became of it."""
    said = swarm.attach_later("INSERT INTO u SELECT p, x, 'later', 9 FROM t")
    assert f"Committed {ROWS} rows" in said, said
    swarm.settled()
    assert number(swarm, "SELECT count(*) FROM u WHERE r = 9") == ROWS


def cases(swarm):
    def each_kind_of_statement():
        swarm.fill(ROWS)
        for _ in range(3):
            swarm.start()
        kinds(swarm)

    def union_all_of_several_frames():
        united(swarm)

    def what_cannot_be_written_is_one_clear_line():
        refused(swarm)

    def two_writers_of_one_frame():
        print(f"# {conflict(swarm)}")

    def it_outlives_who_asked_and_tells_who_comes_later():
        attach(swarm)

    def all_leave_in_good_order():
        swarm.stop()

    return [each_kind_of_statement, union_all_of_several_frames, what_cannot_be_written_is_one_clear_line, two_writers_of_one_frame,
            it_outlives_who_asked_and_tells_who_comes_later,
            *rounds(swarm, kill, ROUNDS, "asker"), all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
