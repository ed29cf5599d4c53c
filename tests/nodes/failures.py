#!/usr/bin/env python3
"""What goes wrong with nodes goes wrong here, with real processes: each query ends with the answer of one node, or one clear
error, and never hangs. Signals at random moments are in signals.py."""

import os
import pathlib
import random
import signal

from swarm_nodes import Swarm, can, finish  # first: it finds the folders of the others

from apiary_cli import Skip, main
from bucket import Bucket

ROWS = 200_000
QUERY = "SELECT p, count(*) AS n, sum(x) AS s, min(x) AS lo, max(x) AS hi FROM t GROUP BY p ORDER BY p"
SORTED = f"SELECT x, row_number() OVER (ORDER BY hash(x), x) AS r FROM t QUALIFY r % {ROWS // 20} = 0 ORDER BY r"
CLOCK = pathlib.Path(os.environ["APIARY_BUILD_DIR"]) / "tests/nodes/libclock.so"
IN_A_MOUNT = ("unshare", "--mount")


def fill(swarm):
    """The frame of the queries, and what one node answers."""
    swarm.fill(ROWS)
    return {query: swarm.answer(query, spread=False)[1] for query in (QUERY, SORTED)}


def right(swarm, solo, query=QUERY, times=3):
    for _ in range(times):
        code, out, err = finish(swarm.spread(query))
        assert code == 0, err
        assert out == solo[query], f"{query}\n{out}\none node: {solo[query]}"


def clocks_an_hour_off():
    """In a bucket: a directory of one machine has one clock. Signatures count too, so each node learns what its clock is off."""
    assert CLOCK.exists(), f"no {CLOCK}"
    with Bucket() as bucket, Swarm(bucket.uri("root"), **bucket.environment) as swarm:
        solo = fill(swarm)
        for seconds in (3600, -3600):
            swarm.start(LD_PRELOAD=str(CLOCK), AP_CLOCK_OFF=str(seconds), ASAN_OPTIONS="verify_asan_link_order=0:detect_leaks=0")
        swarm.start()
        assert swarm.alive() == 3, swarm.run("nodes")[1]
        right(swarm, solo)
        swarm.nodes.popitem()[1].end()  # the one whose clock is right: the others go on
        right(swarm, solo, times=1)


def a_full_disk():
    if not can(*IN_A_MOUNT):
        raise Skip("this machine lets us mount nothing")
    with Swarm() as swarm:
        solo = fill(swarm)
        full = swarm.folder / "full"
        full.mkdir()
        script = f"mount -t tmpfs -o size=2m none {full} && exec \"$@\""
        node = swarm.start(*IN_A_MOUNT, "sh", "-c", script, "sh", APIARY_SCRATCH_DIR=str(full), XDG_RUNTIME_DIR=str(full), APIARY_MEMORY_LIMIT="128MB")
        swarm.start()
        pathlib.Path(f"/proc/{node.process.pid}/root{full}/ballast").open("wb", buffering=0).write(b"x" * (8 << 20))
        right(swarm, solo)
        right(swarm, solo, SORTED)
        assert node.process.poll() is None, "the node with the full disk ended"


def credentials_taken_away():
    with Bucket() as bucket, Swarm(bucket.uri("root"), **bucket.environment) as swarm:
        solo = fill(swarm)
        lost = swarm.start(AWS_ACCESS_KEY_ID="second")
        swarm.start()
        assert swarm.alive() == 2, swarm.run("nodes")[1]
        right(swarm, solo, times=1)
        asked = swarm.spread(QUERY)
        bucket.tell("revoke", "second")
        code, out, err = finish(asked)
        assert code == 0 and out == solo[QUERY], err
        right(swarm, solo)
        said = lost.leave(code=1)  # its heartbeat it cannot remove either
        assert "secret" not in said, said
        assert swarm.alive() >= 1


def one_is_ten_times_slower():
    with Swarm() as swarm:
        solo = fill(swarm)
        slow = swarm.start()
        swarm.start()
        slow.slow_down(10)
        right(swarm, solo)


def a_store_that_throttles_and_fails():
    pick = random.Random(7)
    with Bucket() as bucket, Swarm(bucket.uri("root"), **bucket.environment) as swarm:
        solo = fill(swarm)
        swarm.start()
        swarm.start()
        told = {}
        for number in range(6):
            words = [pick.choice(["503", "500", "429", "lost", "drop", "short", "500done"]) if pick.random() < 0.15 else "ok" for _ in range(400)]
            bucket.faults(" ".join(words))
            code, out, err = finish(swarm.spread(QUERY))
            assert (code == 0 and out == solo[QUERY]) or (code == 1 and err.startswith("Error (") and len(err.splitlines()) <= 2), (number, out, err)
            told[code] = told.get(code, 0) + 1
            if code:
                print(f"# {err.splitlines()[0]}")
        bucket.faults("")
        assert told.get(0, 0) >= 4, told  # nearly all of it is survived
        right(swarm, solo, times=1)
        print(f"# of 6 queries with 15 % of faults: {told.get(0, 0)} answered, {told.get(1, 0)} ended in one error")


def a_query_that_kills_chambers():
    """Its groups do not fit in a bee, and may not spill; others go on, and so do the nodes."""
    with Swarm(APIARY_MEMORY_LIMIT="128MB", APIARY_SCRATCH_LIMIT="1MiB") as swarm:
        solo = fill(swarm)
        swarm.start()
        swarm.start()
        bomb = swarm.spread("SELECT p, max(length(l)) FROM (SELECT p, list(repeat(x::VARCHAR, 400)) AS l FROM t GROUP BY p) GROUP BY p")
        right(swarm, solo, times=1)
        code, _, err = finish(bomb)
        assert code == 1 and err.startswith("Error ("), (code, err)
        assert "MEMORY" in err or "memory" in err, err
        assert swarm.alive() == 2, swarm.run("nodes")[1]
        right(swarm, solo, times=1)


def two_of_one_name():
    with Swarm() as swarm:
        solo = fill(swarm)
        swarm.start()
        first = swarm.nodes.pop("n1")
        swarm.started = 0
        swarm.start()
        assert swarm.alive() == 2, swarm.run("nodes")
        right(swarm, solo, times=1)
        first.send(signal.SIGKILL)
        first.end()
        right(swarm, solo, times=1)


def who_lacks_the_secret_has_no_work_done():
    """Where nodes sign what they write, one without their secret is refused, and what he announced is nobody's work."""
    with Swarm() as swarm:
        solo = fill(swarm)
        shared = {"APIARY_SWARM_SECRET_FILE": str(swarm.file("secret", "0123456789abcdef\n"))}
        swarm.start(**shared)
        swarm.start(**shared)
        code, out, err = swarm.run("submit", QUERY)
        assert code == 0, err
        stranger = out.strip()
        swarm.more.update(shared)
        right(swarm, solo)
        code, _, err = swarm.run("attach", stranger)
        assert code == 1 and "is not signed" in err, err
        swarm.more.clear()
        objects = [name for name, _ in swarm.objects() if name.startswith(f"_queries/{stranger}/")]
        assert objects == [f"_queries/{stranger}/1manifest"], objects
        code, out, err = swarm.run("submit", QUERY, env=shared)
        assert code == 0, err
        code, _, err = swarm.run("attach", out.strip())
        assert code == 1 and "is signed" in err and "swarm_secret_file" in err and "0123456789abcdef" not in err, err
        code, out, err = swarm.run("attach", out.strip(), "--format", "csv", env=shared)
        assert code == 0 and out == solo[QUERY], err
        for path, said in [("nowhere", "cannot read"), (swarm.file("short", "brief"), "does not hold 16")]:
            code, _, err = swarm.run("sql", "SELECT 1", env={"APIARY_SWARM_SECRET_FILE": str(path)})
            assert code == 2 and said in err and "brief" not in err, (code, err)


if __name__ == "__main__":
    main([clocks_an_hour_off, a_full_disk, credentials_taken_away, one_is_ten_times_slower, a_store_that_throttles_and_fails, a_query_that_kills_chambers,
          two_of_one_name, who_lacks_the_secret_has_no_work_done])
