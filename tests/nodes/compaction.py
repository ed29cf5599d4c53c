#!/usr/bin/env python3
"""OPTIMIZE, worked on by three real nodes, while nodes or the one who asked are killed and others write: the rows stay
what they were, and there is one commit, or none.

AP_ROUNDS says how many kills there are (default 6). With APIARY_TEST_ROOT the store is in a bucket."""

import json
import os
import random
import time

from swarm_nodes import Swarm, finish, rounds  # first: it finds the folders of the others
from writes import rows, write

from apiary_cli import REMOTE, main

ROUNDS = int(os.environ.get("AP_ROUNDS", "6"))
ROWS, PARTS, PARTITIONS = 200_000, 5, 6
SHARED = "by the swarm in"


def in_pieces(swarm, frame):
    """A frame of ROWS rows in PARTS cells of each partition."""
    share = ROWS // PARTS
    text = f"CREATE FRAME {frame} (p INTEGER, x BIGINT, s VARCHAR) PARTITIONED BY (p); " + "; ".join(
        f"INSERT INTO {frame} SELECT i % {PARTITIONS}, i, 'v' || (i % 100) FROM range({share * part}, {share * (part + 1)}) r(i)"
        for part in range(PARTS))
    code, _, err = swarm.run("sql", text, "-q", "--set", "distributed=off")
    assert code == 0, err


def cells(swarm, frame):
    """How many cells OPTIMIZE would still put together."""
    plan = rows(swarm, f"OPTIMIZE {frame} DRY RUN")
    return sum(int(line[1]) for line in plan)


def whole(swarm, frame, count=ROWS):
    assert rows(swarm, f"SELECT count(*), count(DISTINCT x), sum(x), count(DISTINCT p) FROM {frame}") == [
        [str(count), str(count), str(count * (count - 1) // 2), str(PARTITIONS)]], frame


def commits(swarm, frame):
    """The log's OPTIMIZE commits, each a list of actions; none where the store is a bucket."""
    logs = swarm.folder / "store" / "main" / "main" / frame / "_delta_log"
    texts = [path.read_text().splitlines() for path in sorted(logs.glob("*.json"))]
    return [actions for actions in ([json.loads(line) for line in text] for text in texts)
            if any(action.get("commitInfo", {}).get("operation") == "OPTIMIZE" for action in actions)]


def order_of(swarm, frame):
    """Which came first behind the frame's making, OPTIMIZE or the other statement."""
    logs = swarm.folder / "store" / "main" / "main" / frame / "_delta_log"
    named = [next(json.loads(line)["commitInfo"]["operation"] for line in path.read_text().splitlines() if "commitInfo" in line)
             for path in sorted(logs.glob("*.json"))[1 + PARTS:]]
    return ", ".join("OPTIMIZE" if name == "OPTIMIZE" else "other" for name in named)


def shared_out(swarm):
    """As one node would have done it, in one commit that moves rows and changes none."""
    in_pieces(swarm, "f")
    assert cells(swarm, "f") == PARTS * PARTITIONS
    code, _, err = swarm.run("sql", "OPTIMIZE f DRY RUN", "--set", "distributed=force")
    assert code == 0 and "distributed: 3 tasks" in err, err
    said = write(swarm, "OPTIMIZE f")
    assert f"{PARTS * PARTITIONS} cells" in said and f"became {PARTITIONS} of" in said and SHARED in said, said
    whole(swarm, "f")
    assert cells(swarm, "f") == 0 and "Nothing to do" in write(swarm, "OPTIMIZE f")
    if not REMOTE:
        (actions,) = commits(swarm, "f")
        adds = [action["add"] for action in actions if "add" in action]
        removes = [action["remove"] for action in actions if "remove" in action]
        assert len(adds) == PARTITIONS and len(removes) == PARTS * PARTITIONS
        assert not any(action["dataChange"] for action in adds + removes)
        assert [action["txn"]["appId"].startswith("apiary:") for action in actions if "txn" in action] == [True]
    in_pieces(swarm, "alone")
    code, out, err = swarm.run("sql", "OPTIMIZE alone", "--set", "distributed=off")
    assert code == 0 and f"became {PARTITIONS} of" in out + err and SHARED not in out + err, out + err
    code, out, err = swarm.run("sql", "INSERT INTO alone SELECT 1, -1, 'a'; INSERT INTO alone SELECT 2, -2, 'b'; OPTIMIZE alone")
    assert code == 0 and SHARED not in out + err, "a few kilobytes are nothing to share out"


def sorted_and_partly(swarm):
    """CLUSTER BY, deleted rows, partitions that are chosen, columns that are mapped."""
    in_pieces(swarm, "s")
    write(swarm, "ALTER FRAME s CLUSTER BY (s)")
    write(swarm, "DELETE FROM s WHERE x % 10 = 0")
    left = ROWS - ROWS // 10
    said = write(swarm, "OPTIMIZE s WHERE p < 3")
    assert SHARED in said, said
    assert {line[0] for line in rows(swarm, "OPTIMIZE s DRY RUN")} == {"p=3", "p=4", "p=5"}
    said = write(swarm, "OPTIMIZE s")
    assert SHARED in said and cells(swarm, "s") == 0, said
    assert rows(swarm, "SELECT count(*), count(DISTINCT x) FROM s") == [[str(left), str(left)]]
    said = write(swarm, "OPTIMIZE s CLUSTER BY (x)")
    assert SHARED in said, said
    assert rows(swarm, "SELECT count(*), count(DISTINCT x) FROM s") == [[str(left), str(left)]]
    write(swarm, "CREATE FRAME m PARTITIONED BY (\"p=q\") WITH ('delta.columnMapping.mode' = 'name') AS SELECT p AS \"p=q\", x AS \"a b\" FROM t")
    write(swarm, "INSERT INTO m SELECT NULL, x FROM t")
    write(swarm, "INSERT INTO m SELECT p, x FROM t; INSERT INTO m SELECT NULL, x FROM t")
    said = write(swarm, "OPTIMIZE m")
    assert SHARED in said and cells(swarm, "m") == 0, said
    assert rows(swarm, "SELECT count(*), count(DISTINCT \"a b\"), count(\"p=q\") FROM m") == [[str(4 * ROWS), str(ROWS), str(2 * ROWS)]]


def beside_others(swarm):
    """Who appends is not in its way; who deletes wins, and it begins again."""
    for begun in ("INSERT", "DELETE"):
        orders = set()
        for n in range(20):
            frame = f"{begun}{n}".lower()
            in_pieces(swarm, frame)
            text, left = ((f"INSERT INTO {frame} VALUES (0, -1, 'n')", ROWS + 1) if begun == "INSERT" else
                          (f"DELETE FROM {frame} WHERE x = 7", ROWS - 1))
            asked = swarm.spread(f"OPTIMIZE {frame}")
            swarm.wait_announced(asked)
            with swarm.paused():  # or there is nothing left to do before the other is done
                lost, _, said = swarm.run("sql", text, "--set", "distributed=off")
            code, out, err = finish(asked)
            swarm.settled()
            assert code == 0, f"{text}: {code} {out} {err}"
            assert lost == 0 or (begun == "DELETE" and said.startswith("Error (CONFLICT)")), said
            count = str(left if lost == 0 else ROWS)
            assert rows(swarm, f"SELECT count(*), count(DISTINCT x) FROM {frame}") == [[count, count]], text
            orders.add(order_of(swarm, frame))
            if REMOTE or "other, OPTIMIZE" in orders:
                break
        print(f"# {begun}: {sorted(orders)}")
        assert REMOTE or "other, OPTIMIZE" in orders, f"{begun}: none was done while the tasks ran"


def kill(swarm, seed, whom):
    """One compaction, one kill -9 in its midst: no row is lost or doubled, and it took place once or not at all."""
    pick = random.Random(seed)
    frame = f"k{seed}"
    in_pieces(swarm, frame)
    asked = swarm.spread(f"OPTIMIZE {frame}")
    time.sleep(pick.uniform(0.05, 0.9))
    code, err = swarm.kill(whom, asked, pick)
    where = f"seed {seed}, {whom} killed: exit {code}: {err}"
    whole(swarm, frame)
    left = cells(swarm, frame)
    assert left in (0, PARTS * PARTITIONS), f"{where}: {left} cells"
    if whom == "node":
        assert code == 0 and left == 0, where
        swarm.start()
    if not REMOTE:
        assert len(commits(swarm, frame)) == (left == 0), where
    print(f"# {whom} killed: {'compacted' if left == 0 else 'as it was'}")


def attach(swarm):
    """One who comes later learns what became of it."""
    in_pieces(swarm, "later")
    said = swarm.attach_later("OPTIMIZE later")
    assert f"Rearranged {ROWS} rows" in said, said
    swarm.settled()
    whole(swarm, "later")
    assert cells(swarm, "later") == 0


def cases(swarm):
    def one_commit_by_all():
        swarm.fill(ROWS)
        for _ in range(3):
            swarm.start()
        shared_out(swarm)

    def sorted_partly_and_mapped():
        sorted_and_partly(swarm)

    def others_write_meanwhile():
        beside_others(swarm)

    def it_outlives_who_asked_and_tells_who_comes_later():
        attach(swarm)

    def all_leave_in_good_order():
        swarm.stop()

    return [one_commit_by_all, sorted_partly_and_mapped, others_write_meanwhile, it_outlives_who_asked_and_tells_who_comes_later,
            *rounds(swarm, kill, ROUNDS, "asker"), all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
