#!/usr/bin/env python3
"""Three real nodes and real signals: each query ends with the answer of one node, or one error.

AP_ROUNDS says how many rounds of signals there are (default 4). Heartbeats are 200 ms, so a dead node is
found in seconds."""

import json
import os
import random
import re
import signal
import time

from swarm_nodes import Swarm, finish  # first: it finds the folders of the others

from apiary_cli import main

ROUNDS = int(os.environ.get("AP_ROUNDS", "4"))
QUERIES = [
    "SELECT p, count(*) AS n, sum(x) AS s, min(x) AS lo, max(x) AS hi FROM t GROUP BY p ORDER BY p",
    "SELECT count(DISTINCT x % 1000) AS d, count(*) AS n FROM t WHERE x % 3 = 1",
    "SELECT x, p FROM t WHERE x % 7 = 3 ORDER BY x DESC LIMIT 20",
    "SELECT t.p, u.name, count(*) AS n FROM t JOIN u ON t.p = u.p GROUP BY ALL ORDER BY 1, 2",
]
REPLAYABLE = [
    "SELECT p, count(*), avg(x), sum(x / 7) AS f FROM t GROUP BY p",
    "SELECT x, p FROM t ORDER BY p, x LIMIT 7",
    "SELECT p, list(x ORDER BY x) AS l FROM t WHERE x < 50 GROUP BY p",
    "SELECT x, sum(x) OVER (PARTITION BY p ORDER BY x) AS s FROM t WHERE x < 99",
    "SELECT p, rank() OVER (ORDER BY p) AS r FROM t",
    "SELECT NULL AS a, '' AS b, x % 2 = 0 AS c FROM t",
]
NOT_REPLAYABLE = [
    "SELECT x FROM t LIMIT 3",
    "SELECT x, p FROM t ORDER BY p LIMIT 7",
    "SELECT p, first(x) FROM t GROUP BY p",
    "SELECT p, list(x) FROM t GROUP BY p",
    "SELECT string_agg(x, ',' ORDER BY p) FROM t",
    "SELECT arg_min(x, p) FROM t",
    "SELECT x, row_number() OVER (ORDER BY p) FROM t",
    "SELECT DISTINCT ON (p) p, x FROM t",
    "SELECT x, lag(x) OVER (ORDER BY p) FROM t",
    "SELECT sum(x) OVER (ORDER BY p ROWS 1 PRECEDING) FROM t",
    "SELECT count(*) FROM (SELECT x FROM t LIMIT 5)",
]


def cases(swarm):
    solo = {}

    def a_query_waits_for_a_node():
        """Submitted while no node is alive, cancelled; and run when one comes."""
        swarm.fill(300_000)
        swarm.sql("CREATE FRAME u (p INTEGER, name VARCHAR); INSERT INTO u SELECT i, 'name ' || i FROM range(6) r(i)")
        solo.update((query, swarm.answer(query, spread=False)[1]) for query in QUERIES)
        first, second = (swarm.run("submit", QUERIES[1])[1].strip() for _ in range(2))
        code, _, err = swarm.run("result", first)
        assert code == 1 and "(BUSY)" in err, err
        code, out, err = swarm.run("cancel", second)
        assert code == 0 and out.startswith("Cancelled"), err
        code, _, err = swarm.run("attach", second)
        assert code == 1 and "was cancelled" in err, err
        swarm.start()
        code, out, err = swarm.run("attach", first, "--format", "csv")
        assert code == 0 and out == solo[QUERIES[1]], err

    def wrong_use_is_one_clear_line():
        for words, said in [(("submit", "SELECT 1; SELECT 2"), "one statement"), (("attach", "nonsense"), "is no query's id"),
                            (("attach", "01a0c450f929-653ce7eb12b4aef7a288"), "(NOT_FOUND)")]:
            code, _, err = swarm.run(*words)
            assert code == 1 and said in err, err

    def three_nodes_answer_like_one():
        swarm.start()
        swarm.start()
        assert swarm.alive() == 3, swarm.run("nodes")[1]
        for query in QUERIES:
            code, out, err = swarm.answer(query)
            assert code == 0, err
            assert out == solo[query], f"{query}\n{out}\n{solo[query]}"

    def a_query_outlives_who_asked():
        """A submitted query needs nobody who asked; one whose submitter is killed while it waits ends too."""
        code, out, err = swarm.run("submit", QUERIES[0])
        assert code == 0, err
        query = out.strip()
        waiting = swarm.begin("attach", query)
        time.sleep(0.05)
        waiting.kill()
        waiting.communicate()
        code, out, err = swarm.run("attach", query, "--format", "csv")
        assert code == 0 and out == solo[QUERIES[0]], err
        code, _, err = swarm.run("cancel", query)
        assert code == 1 and "ended already: done" in err, err

    def where_tasks_go_and_what_they_took():
        """EXPLAIN names the node of each task and why; ANALYZE what each took, what the rest was, what was asked of the store."""
        told = swarm.run("sql", "EXPLAIN " + QUERIES[0], "--set", "distributed=force")[1]
        places = re.findall(r"for (n\d+): (?:its first cell is that node's by hash|balance, its first cell is another node's)", told)
        assert set(places) == set(swarm.nodes) and "ran on" not in told, told  # nobody is left out, however the hashes fall (no node was killed yet: the dead count for a while)
        told = swarm.run("sql", "EXPLAIN ANALYZE " + QUERIES[0], "--set", "distributed=force")[1]
        ran = re.findall(r"ran on (n\d+), 1 bee: waited .* computed .* wrote .* rows, .* peak .* tries \d+", told)
        assert len(ran) == len(places) and set(ran) <= set(swarm.nodes), told
        assert re.search(r"stage took .* longest task .* merge .* overhead .* partials", told) and re.search(r"this node's store: \d+ requests", told), told

    def a_query_is_replayed_or_says_why_not():
        """It gives the same again, also after the frame has changed; one that hangs on an order says so."""
        for text in REPLAYABLE:
            query = swarm.run("submit", text)[1].strip()
            assert swarm.run("attach", query, "-q")[0] == 0
            swarm.sql("INSERT INTO t VALUES (1, -1)")
            code, out, err = swarm.run("replay", query)
            assert code == 0 and json.loads(out)["same"] is True, f"{text}: {out}{err}"
        swarm.sql("DELETE FROM t WHERE x < 0")
        for text in NOT_REPLAYABLE:
            code, out, err = swarm.run("sql", f"EXPLAIN {text}", "--set", "distributed=force")
            assert code == 0 and "not replayable: " in out, f"{text}: {out}{err}"
        query = swarm.run("submit", NOT_REPLAYABLE[0])[1].strip()
        assert swarm.run("attach", query, "-q")[0] == 0
        code, _, err = swarm.run("replay", query)
        assert code == 1 and "cannot be replayed: LIMIT cuts" in err, err

    def signals(seed):
        """One query while one node is killed or stopped; the answer is the same or there is one clear error."""
        pick = random.Random(seed)
        query = pick.choice(QUERIES)
        name = pick.choice(sorted(swarm.nodes))
        how = pick.choice([signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
        asked = swarm.spread(query)
        time.sleep(pick.uniform(0, 0.8))
        victim = swarm.nodes.pop(name)
        victim.send(how)
        try:
            code, out, err = finish(asked)
            victim.send(signal.SIGCONT)
            if how == signal.SIGTERM:
                victim.left()
            elif how == signal.SIGSTOP:
                victim.leave()
        finally:
            victim.end()
            swarm.start()
        told = f"seed {seed}, {how.name}: {query}\n{out}{err}"
        assert (code == 0 and out == solo[query]) or (code == 1 and err.startswith("Error (") and len(err.strip().splitlines()) <= 2), told
        print(f"# {how.name} of a node: exit {code}")

    def a_round(seed):
        def run():
            signals(seed)
        run.__name__ = f"round {seed}"
        return run

    def all_leave_in_good_order():
        swarm.stop()

    return [a_query_waits_for_a_node, wrong_use_is_one_clear_line, three_nodes_answer_like_one, a_query_outlives_who_asked,
            where_tasks_go_and_what_they_took, a_query_is_replayed_or_says_why_not,
            *(a_round(seed) for seed in range(ROUNDS)), all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
