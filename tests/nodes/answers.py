#!/usr/bin/env python3
"""Three real nodes answer like one: the 22 queries of TPC-H and the questions of `make demo`, on a directory, or in a bucket
(APIARY_TEST_ROOT). Two of the nodes see no network at all where the machine allows it: the store is all they share."""

import subprocess

from swarm_nodes import Swarm, can, finish  # first: it finds the folders of the others

import tpch
from apiary_cli import REMOTE, Skip, main
from distributed import Trial, same, show

ALONE = ("unshare", "--net")
OWN = ("ext2/ext3", "xfs", "btrfs", "tmpfs", "f2fs", "overlayfs", "zfs", "ramfs")  # as storage/local_list.c has it


def ask(fill):
    """fill(store) writes the frames and gives {name: query}."""
    with Swarm() as swarm:
        queries = fill(swarm)
        trial = Trial(1, swarm)
        texts = list(queries.values())
        solo = trial.answers(texts, "off", {})
        before = ALONE if not REMOTE and can(*ALONE) else ()
        for _ in range(2):
            swarm.start(*before)
        swarm.start()
        assert swarm.alive() == 3, swarm.run("nodes")[1]
        shared = trial.answers(texts, "force", {})
        for name, left, right in zip(queries, solo, shared, strict=True):
            assert isinstance(left, list), f"{name}: {left}"
            assert same(left, right), f"{name} differs:\none node: {show(left)}\nthree: {show(right)}"
        lines = [row[0] for rows in trial.answers([f"EXPLAIN ANALYZE {queries[name]}" for name in queries], "force", {}) for row in rows if row]
        ran = {line.split("ran on ")[1].split(",")[0] for line in lines if "ran on " in line}
        assert ran & set(swarm.nodes), f"only {sorted(ran)} had work"  # who has which is hashed: with few cells two may have none
        if len(queries) == 22:
            assert len(ran & set(swarm.nodes)) >= 2, f"only {sorted(ran)} had work"
        print(f"# {len(queries)} queries; tasks ran on {', '.join(sorted(ran))}{'; two nodes without a network' if before else ''}")


def tpch_queries():
    ask(tpch.fill_tpch)


def questions_of_the_demo():
    if REMOTE:
        raise Skip("the queries of TPC-H are enough for a server")
    ask(tpch.fill_demo)


def the_bell_is_heard():
    """On a directory of this machine nobody waits for a node's next look at the bell, here more than a minute away."""
    if REMOTE:
        raise Skip("a bucket is looked at and cannot be listened to")
    with Swarm(APIARY_HEARTBEAT="1h") as swarm:
        kind = subprocess.run(["stat", "-f", "-c", "%T", swarm.folder], capture_output=True, text=True, check=True).stdout.strip()
        if kind not in OWN:
            raise Skip(f"{kind} may be written by other machines, so nobody listens to it")
        swarm.fill(60000)
        for _ in range(2):
            swarm.start()
        for _ in range(3):
            code, out, err = finish(swarm.spread("SELECT p, count(*) AS n FROM t GROUP BY p ORDER BY p"), timeout=60)
            assert code == 0 and out.split() == ["p,n", *(f"{p},10000" for p in range(6))], out + err


if __name__ == "__main__":
    main([tpch_queries, questions_of_the_demo, the_bell_is_heard])
