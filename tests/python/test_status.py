#!/usr/bin/env python3
"""What status and frames tell: every key that is promised is there and true. Error classes follow the library's codes."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import contextlib
import datetime
import os
import pathlib
import re
import signal
import threading

import pytest

import apiary
from apiary import _errors
from conftest import SETTINGS

SOURCE = pathlib.Path(os.environ["APIARY_SOURCE_DIR"])


# ---- codes ----


def codes_of_the_library():
    """Name → text, from the list in the public header that all else is made of."""
    header = (SOURCE / "include/apiary.h").read_text()
    (body,) = re.findall(r"#define APIARY_CODES\(X\)(.*?)\n\n", header, re.S)
    return dict(re.findall(r'X\((\w+), \d+, "([^"]*)"\)', body))


def test_every_code_has_its_class():
    codes = codes_of_the_library()
    assert len(codes) > 20 and codes.pop("OK")
    assert set(_errors.BY_CODE) == set(codes), "a code of include/apiary.h without a class in _errors.py, or the other way round"
    for code, kind in _errors.BY_CODE.items():
        assert issubclass(kind, apiary.Error) and kind.code == code
        assert getattr(apiary, kind.__name__) is kind and kind.__name__ in apiary.__all__, f"{kind.__name__} is not public"
        made = _errors.make(code, "words", "what to do")
        assert type(made) is kind and (str(made), made.hint, made.code) == ("words", "what to do", code)


def test_every_code_is_documented():
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", (SOURCE / "docs/errors.md").read_text(), re.M))
    header = (SOURCE / "include/apiary.h").read_text()
    assert rows == dict(re.findall(r"X\((\w+), (\d+), \"", header))


# ---- frames ----


def test_get_frame(db):
    began = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
    db.create_frame("main", "main", "f", {"day": "date", "n": "bigint", "s": "text"}, partition_by=["day"])
    empty = db.get_frame("main", "main", "f")
    assert (empty["cell_count"], empty["row_count"], empty["total_bytes"], empty["version"]) == (0, 0, 0, 0)
    written = db.write_to_frame("main", "main", "f", [{"day": datetime.date(2024, 1, d), "n": d, "s": "x"} for d in (1, 1, 2)])
    told = db.get_frame("main", "main", "f")
    assert list(told["schema"]) == ["day", "n", "s"] and told["schema"]["day"] == "date"
    assert told["partition_by"] == ["day"]
    assert told["max_partitions"] == int(next(row["value"] for row in db.config() if row["key"] == "max_partitions"))
    assert began <= told["created_at"] <= datetime.datetime.now(datetime.timezone.utc)
    assert (told["cell_count"], told["row_count"], told["version"]) == (2, 3, 1)
    assert told["total_bytes"] == written["bytes_written"]
    db.sql("DELETE FROM f WHERE day = DATE '2024-01-01'")
    told = db.get_frame("main", "main", "f")
    assert (told["cell_count"], told["row_count"], told["version"]) == (1, 1, 2)


def test_what_a_write_tells(db, tmp_path):
    db.create_frame("main", "main", "f", {"p": "int", "n": "int"}, partition_by=["p"])
    told = db.write_to_frame("main", "main", "f", [{"p": p, "n": p} for p in range(3)])
    assert (told["version"], told["cells_written"], told["rows_written"]) == (1, 3, 3)
    cells = list((tmp_path / "store/main/main/f").rglob("cell_*.parquet"))
    assert told["bytes_written"] == sum(cell.stat().st_size for cell in cells) > 0
    assert 0 < told["duration_ms"] < 600_000 and 0 <= told["temperature"] <= 1
    assert db.overwrite_frame("main", "main", "f", [{"p": 1, "n": 1}])["version"] == 2
    (tmp_path / "g.csv").write_text("a\n1\n2\n")
    told = db.import_files("g", tmp_path / "g.csv")
    assert (told["version"], told["cells_written"], told["rows_written"], told["created"]) == (0, 1, 2, True)


# ---- the node ----


def test_status(tmp_path):
    with apiary.Apiary("here", storage=tmp_path / "store", target_cell_size="64MB", **SETTINGS) as node:
        told = node.start().status()
        assert told["name"] == "here" and re.fullmatch("[0-9a-f]{32}", told["node_id"])
        assert 1 <= told["cores"] <= (os.cpu_count() or 1)
        with open("/proc/meminfo") as meminfo:
            machine_gb = int(meminfo.readline().split()[1]) / 1024**2
        assert 0 < told["memory_gb"] <= machine_gb + 0.01
        assert told["bees"] == 2 and told["storage"] == f"local://{tmp_path}/store"
        assert told["memory_per_bee_mb"] == pytest.approx(1e9 / 2 / 2**20, abs=0.1)
        assert told["target_cell_size_mb"] == pytest.approx(64e6 / 2**20, abs=0.1)
        assert told["state"] == "running"


def test_bee_status(db):
    assert [bee["bee_id"] for bee in db.bee_status()] == ["bee-0", "bee-1"]
    assert {(bee["state"], bee["task"]) for bee in db.bee_status()} == {("idle", "")}
    busy, seen = threading.Thread(target=lambda: db.sql("SELECT sum(hash(a.range, b.range)) FROM range(30000) a, range(20000) b").fetchall()), []
    busy.start()
    while busy.is_alive() and not seen:  # the statement ends by itself: no clock is asked
        seen = [bee for bee in db.bee_status() if bee["state"] == "busy" and bee["memory_used"] > 0 and bee["task"]]
    busy.join()
    assert seen, "no bee was seen at work"
    for bee in seen:
        assert bee["memory_used"] <= bee["memory_peak"] and bee["memory_budget"] >= 128 * 2**20
        assert bee["memory_budget"] <= 1e9 and bee["task"].startswith("SELECT sum(hash(a.range, b.range)) FROM range"), bee
    assert {bee["task"] for bee in db.bee_status()} == {""}


def test_swarm_status(tmp_path):
    with apiary.Apiary("a", storage=tmp_path / "store", **SETTINGS) as a, apiary.Apiary("b", storage=tmp_path / "store", **SETTINGS) as b:
        a.start()
        b.start()
        told = a.swarm_status()
        assert told["alive"] == 2 and told["total_bees"] == 4 and len(told["nodes"]) == 2
        assert told["total_idle_bees"] == sum(node["idle_bees"] for node in told["nodes"])
        assert told["total_memory_gb"] == pytest.approx(2 * 1e9 / 2**30, abs=0.05)
        for node, handle in zip(told["nodes"], (a, b)):
            assert node["node_id"] == handle.status()["node_id"] and node["state"] == "alive"
            assert node["bees"] == 2 and 0 <= node["idle_bees"] <= 2
            assert 0 <= node["memory_pressure"] <= 1 and 0 <= node["colony_temperature"] <= 1


def test_colony_status(db):
    told = db.colony_status()
    assert told["setpoint"] == 0.5 and told["abandoned_tasks"] == 0
    assert 0 <= told["temperature"] <= 1
    assert told["regulation"] in ("cold", "ideal", "warm", "hot", "critical")
    assert abandon_one(db).code == "ABANDONED"
    assert db.colony_status()["abandoned_tasks"] == 1


def abandon_one(db):
    """A statement whose chamber is killed again and again; the error that it ends with."""
    errors = []

    def ask():
        try:
            db.sql("SELECT max(hash(a.range, b.range)) FROM range(3000000) a, range(3000000) b").fetchall()
        except apiary.Error as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        for bee in db.bee_status():
            if bee["state"] == "busy" and bee["pid"] > 0:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(bee["pid"], signal.SIGKILL)
        asking.join(0.02)
    return errors[0]
