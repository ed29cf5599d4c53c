#!/usr/bin/env python3
"""A hot and a critical colony as the user of the package meets it: what waits, what is refused, what begins.

The heat is made: a statement that works on the only bee, one that waits for it (0.4 + 0.2), and the kernel's
memory pressure, which a preloaded library reads from a file of ours (made_pressure.c)."""

import os
import pathlib

BUILD = pathlib.Path(os.environ.get("APIARY_BUILD_DIR", pathlib.Path(__file__).resolve().parents[2] / "build"))
MADE = BUILD / "tests/python/made_pressure.so"

if __name__ == "__main__":
    import harness

    os.environ["LD_PRELOAD"] = str(MADE)
    harness.main(__file__)

import contextlib
import re
import threading
import time

import pytest

import apiary

pytestmark = pytest.mark.skipif("made_pressure" not in os.environ.get("LD_PRELOAD", ""), reason="run the file itself: it preloads made_pressure.so")

# 0.4 · busy + 0.2 · queue + 0.4 · four times the pressure: 0.89 and 1
HOT, CRITICAL = 18, 25
# Below what the guest's place needs: whoever begins waits for the one bee, and can be seen to.
SETTINGS = {"bees": 1, "memory_limit": "200MB", "fsync": False, "progress": False}
ENDLESS = "SELECT max(hash(a.range, b.range)) FROM range(3000000) a, range(3000000) b"
WAIT_S = 30  # of whoever waits for a hot colony (docs/colony.md)


def until(condition):
    """Waits for what has to come; the suite's own limit ends a wait in vain."""
    while not condition():
        time.sleep(0.02)


class Working(threading.Thread):
    """A call in a thread of its own, and how it ended."""

    def __init__(self, call):
        super().__init__()
        self.call, self.answer, self.error, self.seconds = call, None, None, None
        self.start()

    def run(self):
        began = time.monotonic()
        try:
            self.answer = self.call()
        except apiary.Error as error:
            self.error = error
        self.seconds = time.monotonic() - began

    def end(self):
        self.join()
        if self.error:
            raise self.error
        return self.answer


class Colony:
    """An open store on one bee, hot on demand."""

    def __init__(self, folder):
        self.pressure = folder / "pressure"
        self.press(0)
        os.environ["AP_MADE_PRESSURE"] = str(self.pressure)
        self.db = apiary.open(folder / "store", **SETTINGS)
        self.db.sql("CREATE FRAME f (a BIGINT)")
        self.sessions, self.working = [], []

    def press(self, percent):
        made = self.pressure.with_suffix(".new")
        made.write_text(f"some avg10={percent}.00 avg60=0.00 avg300=0.00 total=0\n")
        made.replace(self.pressure)

    def told(self, key):
        return self.db.colony_status()[key]

    def heat(self, percent, band):
        """A bee that works and a statement that waits for it, then the pressure."""
        for key in ("busy_bees", "waiting"):
            session = self.db.session()
            self.sessions.append(session)
            self.working.append(Working(lambda session=session: session.sql(ENDLESS).fetchall()))
            until(lambda key=key: self.told(key) == 1)
        self.press(percent)
        until(lambda: self.told("regulation") == band)

    def cool(self):
        """What made the heat ends."""
        self.press(0)
        while any(work.is_alive() for work in self.working):
            for session in self.sessions:
                session.cancel()
            time.sleep(0.05)
        for work in self.working:
            with contextlib.suppress(apiary.CancelledError):
                work.end()
        self.sessions, self.working = [], []

    def rows(self):
        return [row[0] for row in self.db.sql("SELECT a FROM f ORDER BY a").fetchall()]

    def close(self):
        self.cool()
        self.db.close()
        del os.environ["AP_MADE_PRESSURE"]


@pytest.fixture
def colony(tmp_path):
    made = Colony(tmp_path)
    yield made
    made.close()


def write(colony, backpressure):
    return colony.db.write_to_frame("main", "main", "f", [{"a": 7}], backpressure=backpressure)


# Every way to write that the package has, each with the mode said in its own manner.
def write_as_frame(colony, backpressure):
    return colony.db["f"].append([{"a": 7}], backpressure=backpressure)


def write_by_sql(colony, backpressure):
    session = colony.db.session()
    session.sql(f"SET backpressure = '{backpressure}'")
    return session.sql("INSERT INTO f VALUES (7)")


WAYS = [write, write_as_frame, write_by_sql]


def refused(error, band, what):
    assert isinstance(error, apiary.BusyError), error
    assert f"the colony is {band}" in str(error) and f"the {what} was not begun" in str(error), error
    assert re.search(r"try again in about [1-9]\d* s", error.hint), error.hint


def test_block_waits_until_it_is_cooler(colony):
    colony.heat(HOT, "hot")
    writing = [Working(lambda way=way: way(colony, "block")) for way in WAYS]
    for _ in range(10):  # while it is hot none of them has joined the queue for the bee
        assert colony.told("waiting") == 1 and all(work.is_alive() for work in writing)
        time.sleep(0.1)
    colony.cool()
    assert [work.end() for work in writing][0]["rows_written"] == 1
    assert colony.rows() == [7, 7, 7]


def test_what_waits_for_a_hot_colony_that_stays_so(colony):
    colony.heat(HOT, "hot")
    writing = Working(lambda: write(colony, "block"))
    asking = Working(lambda: colony.db.session().sql("SELECT 41 + 1").scalar())
    writing.join()  # it gives up ...
    refused(writing.error, "hot", "write")
    assert writing.seconds >= WAIT_S
    until(lambda: colony.told("waiting") == 2)  # ... the query begins: it is in the queue for the bee
    assert colony.told("regulation") == "hot"
    colony.cool()
    assert asking.end() == 42 and asking.seconds >= WAIT_S
    assert colony.rows() == []


def test_error_is_refused_while_hot(colony):
    colony.heat(HOT, "hot")
    for way in WAYS:
        with pytest.raises(apiary.BusyError) as refusal:
            way(colony, "error")
        refused(refusal.value, "hot", "write")
    assert colony.told("regulation") == "hot"
    colony.cool()
    until(lambda: colony.told("regulation") in ("cold", "ideal"))
    for way in WAYS:  # the same again, now that it is cooler
        way(colony, "error")
    assert colony.rows() == [7, 7, 7]


def test_ignore_begins_while_hot(colony):
    colony.heat(HOT, "hot")
    writing = [Working(lambda way=way: way(colony, "ignore")) for way in WAYS]
    until(lambda: colony.told("waiting") == 1 + len(WAYS))  # they are in the queue for the bee
    assert colony.told("regulation") == "hot"
    colony.cool()
    for work in writing:
        work.end()
    assert colony.rows() == [7, 7, 7]


def test_critical_refuses_everybody(colony):
    colony.heat(CRITICAL, "critical")
    blocked = Working(lambda: write(colony, "block"))
    for work in (lambda: write(colony, "error"), lambda: write(colony, "ignore")):
        with pytest.raises(apiary.BusyError) as refusal:
            work()
        refused(refusal.value, "critical", "write")
    with pytest.raises(apiary.BusyError) as refusal:
        colony.db.session().sql("SELECT 41 + 1").scalar()
    refused(refusal.value, "critical", "query")
    blocked.join()
    refused(blocked.error, "critical", "write")
    assert blocked.seconds >= WAIT_S and colony.told("waiting") == 1
    colony.cool()
    until(lambda: colony.told("regulation") in ("cold", "ideal"))
    assert colony.rows() == []


def test_what_tells_of_the_heat(colony):
    colony.heat(HOT, "hot")
    told = colony.db.colony_status()
    assert told["busy_bees"] == told["bees"] == told["waiting"] == 1
    assert 0.85 <= told["temperature"] <= 0.95 and told["setpoint"] == 0.5
    writing = Working(lambda: write(colony, "ignore"))
    explaining = Working(lambda: colony.db.session().sql("EXPLAIN ANALYZE SELECT count(*) FROM f WHERE a > 0").fetchall())
    until(lambda: colony.told("waiting") == 3)
    for session in colony.sessions:  # the pressure stays
        session.cancel()
    assert 0 < writing.end()["temperature"] <= 1
    assert re.search(r"colony (cold|ideal|warm|hot|critical), temperature [01]\.\d\d", str(explaining.end()))
