#!/usr/bin/env python3
"""Statements that write, handed over with `apiary submit`: done once, whoever dies, and `attach` and `result` tell what
became of them.

AP_ROUNDS says how many kills there are (default 6). With APIARY_TEST_ROOT the store is in a bucket."""

import os
import random
import signal
import time

from swarm_nodes import Swarm, finish, rounds  # first: it finds the folders of the others
from compaction import cells, commits
from imports import pattern, put
from writes import by_swarm, number, rows

from apiary_cli import REMOTE, main

ROUNDS = int(os.environ.get("AP_ROUNDS", "6"))
ROWS = 120_000


def submit(swarm, text, *more):
    code, out, err = swarm.run("submit", text, *more)
    assert code == 0, f"{text}: {err}"
    return out.strip()


def ended(swarm, query, said):
    """Waits for its end; attach and result tell the same of it."""
    code, out, err = swarm.run("attach", query)
    assert code == 0 and said in out + err, f"{said}: {code} {out} {err}"
    again = swarm.run("result", query)
    assert again == (code, out, err), f"{again} is not {(code, out, err)}"


def before_anybody_is_there(swarm):
    """What is handed over while no node is alive waits for one; nothing is done by who hands it over."""
    swarm.fill(ROWS)
    swarm.sql("CREATE FRAME u (p INTEGER, x BIGINT); CREATE FRAME w (p INTEGER, x BIGINT)")
    queries = [(submit(swarm, "INSERT INTO u SELECT p, x FROM t WHERE x % 2 = 0;"), f"Committed {ROWS // 2} rows (version 1)."),
               (submit(swarm, "CREATE FRAME c PARTITIONED BY (p) AS SELECT p, count(*) AS n FROM t GROUP BY p"), "Committed 6 rows"),
               (submit(swarm, "INSERT INTO w VALUES (1, 2), (3, 4)"), "Committed 2 rows"),
               (submit(swarm, "CREATE FRAME v AS SELECT i AS x FROM range(10) r(i)"), "Committed 10 rows"),
               (submit(swarm, "INSERT INTO w SELECT p, x FROM t WHERE x < 0"), "Committed 0 rows"),
               (submit(swarm, "INSERT INTO w SELECT i, i FROM range(0) r(i)"), "Committed 0 rows")]
    replaced = submit(swarm, "INSERT OVERWRITE u SELECT p, x FROM t")
    in_pieces(swarm, "lost")
    optimized = submit(swarm, "OPTIMIZE lost")
    dropped = submit(swarm, "INSERT INTO u SELECT p, -x FROM t")
    code, out, _ = swarm.run("cancel", dropped)
    assert code == 0 and "ancelled" in out, out
    assert number(swarm, "SELECT count(*) FROM u") == 0
    code, _, err = swarm.run("result", queries[0][0])
    assert code == 1 and err.startswith("Error (BUSY)"), err
    swarm.sql("INSERT INTO u VALUES (-1, -1); DELETE FROM lost WHERE x = 5", "--set", "distributed=off")
    for _ in range(3):
        swarm.start()
    for query, said in queries[1:]:
        ended(swarm, query, said)
    ended(swarm, queries[0][0], f"Committed {ROWS // 2} rows (version 2).")
    code, _, err = swarm.run("attach", replaced)  # it would take rows that it never saw
    assert code == 1 and err.startswith("Error (CONFLICT)"), err
    code, _, err = swarm.run("attach", optimized)  # a cell that it puts together is not there any more
    assert code == 1 and err.startswith("Error (CONFLICT)"), err
    assert number(swarm, "SELECT count(*) FROM lost") == 3999 and cells(swarm, "lost") > 0
    code, _, err = swarm.run("attach", dropped)
    assert code == 1 and "was cancelled" in err, err
    swarm.settled()
    assert rows(swarm, "SELECT count(*), count(DISTINCT x), min(x) FROM u") == [[str(ROWS // 2 + 1)] * 2 + ["-1"]]
    assert rows(swarm, "SELECT count(*), sum(n) FROM c") == [["6", str(ROWS)]]
    assert rows(swarm, "SELECT p, x FROM w ORDER BY p") == [["1", "2"], ["3", "4"]]
    assert rows(swarm, "SELECT count(*), sum(x) FROM v") == [["10", "45"]]


def in_pieces(swarm, frame):
    """4000 rows in four cells of each of two partitions."""
    swarm.sql(f"CREATE FRAME {frame} (p INTEGER, x BIGINT) PARTITIONED BY (p); " +
              "; ".join(f"INSERT INTO {frame} SELECT i % 2, i FROM range({n * 1000}, {n * 1000 + 1000}) r(i)" for n in range(4)), "--set", "distributed=off")


def put_together(swarm):
    """OPTIMIZE: one commit of all bins, of a part of the frame, of none; sorted as it says."""
    in_pieces(swarm, "o")
    assert cells(swarm, "o") == 8
    ended(swarm, submit(swarm, "OPTIMIZE o WHERE p = 1"), "Rearranged 2000 rows (version 5).")  # one bin: one task
    assert cells(swarm, "o") == 4
    ended(swarm, submit(swarm, "OPTIMIZE o;"), "Rearranged 2000 rows (version 6).")
    ended(swarm, submit(swarm, "OPTIMIZE o"), "Rearranged 0 rows (version 6).")
    ended(swarm, submit(swarm, "OPTIMIZE o CLUSTER BY (x)"), "Rearranged 4000 rows (version 7).")
    ended(swarm, submit(swarm, "INSERT INTO o VALUES (3, 4000)"), "Committed 1 row (version 8).")
    assert rows(swarm, "SELECT count(*), count(DISTINCT x), sum(x) FROM o") == [["4001", "4001", str(4000 * 4001 // 2)]]
    if not REMOTE:
        assert len(commits(swarm, "o")) == 3 and by_swarm(swarm, "o") == 4, (len(commits(swarm, "o")), by_swarm(swarm, "o"))


def copied(swarm):
    """COPY … FROM files of the store; of others nobody else could read them."""
    place = put(swarm, "landing", {f"{n}.parquet": f"SELECT i % 3 AS p, i AS x FROM range({n * 100}, {n * 100 + 100}) r(i)" for n in range(5)})
    swarm.sql("CREATE FRAME y (p INTEGER, x BIGINT) PARTITIONED BY (p)")
    ended(swarm, submit(swarm, f"COPY y FROM '{pattern(swarm, place)}'"), "Committed 500 rows (version 1).")
    ended(swarm, submit(swarm, f"COPY y (x) FROM '{pattern(swarm, put(swarm, 'one', {'a.parquet': 'SELECT 7 AS x'}), 'a.parquet')}' (FORMAT parquet)"),
          "Committed 1 row (version 2).")
    assert rows(swarm, "SELECT count(*), count(DISTINCT x), count(p) FROM y") == [["501", "500", "500"]]
    elsewhere, table = swarm.file("elsewhere.parquet", ""), swarm.file("table.csv", "p,x\n1,2\n")
    swarm.sql(f"COPY (SELECT 1 AS p, 2 AS x) TO '{elsewhere}' (FORMAT parquet)")
    for path, said in ((elsewhere, "outside the store's root"), (table, "one file alone")):
        code, out, err = swarm.run("submit", f"COPY y FROM '{path}'")
        assert code == 1 and err.startswith("Error (UNSUPPORTED)") and "cannot be submitted" in err and said in err, f"{path}: {out} {err}"
    assert number(swarm, "SELECT count(*) FROM y") == 501
    assert REMOTE or by_swarm(swarm, "y") == 2


def as_text_and_in_parts(swarm):
    """What cannot be cut is done by one node as it was typed, and committed as the rest is."""
    ended(swarm, submit(swarm, "CREATE OR REPLACE FRAME v AS SELECT p, max(x) AS m FROM t GROUP BY p "
                        "HAVING max(x) > (SELECT min(x) FROM (SELECT x FROM t ORDER BY x LIMIT 5))"), "Committed 6 rows")
    assert rows(swarm, "SELECT count(*), max(m) FROM v") == [["6", str(ROWS - 1)]]
    ended(swarm, submit(swarm, "INSERT INTO w BY NAME SELECT a.x FROM t a FULL JOIN t b USING (x) WHERE x < 50"), "Committed 50 rows")
    ended(swarm, submit(swarm, "CREATE FRAME mapped PARTITIONED BY (\"p=q\") WITH ('delta.columnMapping.mode' = 'name') AS "
                               "SELECT i % 3 AS \"p=q\", i AS x FROM range(9) r(i)"), "Committed 9 rows")
    assert rows(swarm, "SELECT count(*), sum(x) FROM mapped WHERE \"p=q\" = 1") == [["3", "12"]]
    ended(swarm, submit(swarm, "CREATE FRAME moment AS SELECT '2024-01-01 00:00'::TIMESTAMPTZ AS t", "--set", "timezone=Europe/Berlin"), "Committed 1 row")
    assert rows(swarm, "SELECT epoch(t)::BIGINT FROM moment") == [["1704063600"]]  # the submitter's midnight, whoever wrote it
    for text, said in [("INSERT INTO w SELECT p, x, error('stop') FROM t", "columns"), ("INSERT INTO w SELECT p, error('stop') FROM t", "stop"),
                       ("INSERT INTO nothing VALUES (1)", "nothing"), ("CREATE FRAME v AS SELECT p FROM t", "exists already")]:
        code, out, err = swarm.run("submit", text)
        if code == 0:
            code, out, err = swarm.run("attach", out.strip())
        assert code == 1 and said in err, f"{text}: {code} {out} {err}"
    assert number(swarm, "SELECT count(*) FROM w") == 52
    # A node that knows a frame asks again what it is like: nobody runs the statement a second time.
    swarm.sql("CREATE FRAME known (p INTEGER, x BIGINT)")
    ended(swarm, submit(swarm, "INSERT INTO known VALUES (1, 2)"), "Committed 1 row")
    swarm.sql("CREATE OR REPLACE FRAME known AS SELECT 1::DOUBLE AS p, 2::BIGINT AS x, 'more' AS s", "--set", "distributed=off")
    ended(swarm, submit(swarm, "INSERT INTO known (p, x) VALUES (7.5, 8)"), "Committed 1 row")
    code, out, err = swarm.run("submit", "INSERT INTO known VALUES (1, 2)")
    code, out, err = swarm.run("attach", out.strip()) if code == 0 else (code, out, err)
    assert code == 1 and "the number of columns differs" in err, out + err
    assert rows(swarm, "SELECT * FROM known ORDER BY p") == [["1.0", "2", "more"], ["7.5", "8", ""]]
    if not REMOTE:
        assert by_swarm(swarm, "w") == 2 and by_swarm(swarm, "v") == 2, (by_swarm(swarm, "w"), by_swarm(swarm, "v"))


def refused(swarm):
    """What cannot be handed over says so, and is not done."""
    before = swarm.sql("SHOW FRAMES"), rows(swarm, "SELECT count(*) FROM w")
    for text in ("DELETE FROM w", "DROP FRAME w", "UPDATE w SET x = 0", "TRUNCATE w", "CREATE FRAME n (x INTEGER)", "CREATE TEMP FRAME n AS SELECT 1 AS x",
                 "CREATE FRAME IF NOT EXISTS n AS SELECT 1 AS x", "INSERT INTO c REPLACE WHERE p = 1 SELECT 1, 2", "CREATE HIVE n",
                 "COPY t TO 'x.csv'", "OPTIMIZE w DRY RUN", "VACUUM w", "SELECT 1; SELECT 2", "INSERT INTO w SELECT 1, 2; DROP FRAME w"):
        code, out, err = swarm.run("submit", text)
        assert code == 1 and err.startswith("Error (") and ("submit" in err), f"{text}: {code} {out} {err}"
    code, _, err = swarm.run("submit", "INSERT INTO w VALUES (1, 1)", "--deadline", "86400")
    assert code == 1 and "at most 6 hours" in err, err
    assert (swarm.sql("SHOW FRAMES"), rows(swarm, "SELECT count(*) FROM w")) == before


def kill(swarm, seed, whom):
    """One statement handed over, one kill -9 in its midst."""
    pick = random.Random(seed)
    frame, in_parts = f"k{seed}", pick.random() < 0.5
    source = "t" if in_parts else f"(SELECT i % 6 AS p, i AS x FROM range({ROWS}) r(i))"
    swarm.sql(f"CREATE FRAME {frame} (p INTEGER, x BIGINT)")
    asked = swarm.begin("submit", f"INSERT INTO {frame} SELECT p, x FROM {source}")
    if whom == "submitter":
        time.sleep(pick.uniform(0.05, 0.5))
        asked.send_signal(signal.SIGKILL)
        _, out, _ = finish(asked)
    else:
        code, out, err = finish(asked)
        assert code == 0, err
        time.sleep(pick.uniform(0, 0.5))
        swarm.nodes.pop(pick.choice(sorted(swarm.nodes))).end()
    if out.strip():
        ended(swarm, out.strip(), f"Committed {ROWS} rows")
    swarm.settled()
    there = [int(n) for n in rows(swarm, f"SELECT count(*), count(DISTINCT x) FROM {frame}")[0]]
    where = f"seed {seed}, {whom} killed, in parts: {in_parts}, id: {out}"
    assert there in ([0, 0], [ROWS, ROWS]), f"{where}: {there} rows"
    assert there[0] == ROWS or not out.strip(), where
    if not REMOTE:
        assert by_swarm(swarm, frame) == (there[0] > 0), where
    if whom == "node":
        swarm.start()
    print(f"# {whom} killed, {'in parts' if in_parts else 'as text'}: {there[0]} rows")


def cases(swarm):
    def it_waits_for_nodes():
        before_anybody_is_there(swarm)

    def whole_statements_too():
        as_text_and_in_parts(swarm)

    def cells_are_put_together():
        put_together(swarm)

    def files_of_the_store_are_copied():
        copied(swarm)

    def what_cannot_be_handed_over_is_not_done():
        refused(swarm)

    def all_leave_in_good_order():
        swarm.stop()

    return [it_waits_for_nodes, whole_statements_too, cells_are_put_together, files_of_the_store_are_copied, what_cannot_be_handed_over_is_not_done,
            *rounds(swarm, kill, ROUNDS, "submitter"), all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
