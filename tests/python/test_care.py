#!/usr/bin/env python3
"""Maintenance of a node that has joined: it tends frames by itself, and only while nobody wants anything."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import time

import apiary
from conftest import SETTINGS

PATIENCE = 120  # seconds; what is waited for takes one


def cells(node):
    line = next(row[0] for row in node.sql("EXPLAIN SELECT max(i + 0) FROM f").fetchall() if " cells, " in row[0])
    return int(line.split(" of ")[1].split()[0])


def wait_until(what):
    until = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.1)


def operations(node):
    return [row[2] for row in node.sql("SHOW HISTORY OF f").fetchall()]


def test_small_cells_are_put_together(tmp_path):
    with apiary.Apiary("care", storage=tmp_path / "store", maintenance="always", maintenance_interval="100ms", checkpoint_interval=4, **SETTINGS) as node:
        node.sql("CREATE FRAME f (i BIGINT)")
        for i in range(20):
            node.sql(f"INSERT INTO f VALUES ({i})")
        wait_until(lambda: "OPTIMIZE" in operations(node))
        wait_until(lambda: cells(node) < 16)
        assert node.sql("SELECT count(*) || ' ' || sum(i) FROM f").scalar() == "20 190"


def test_a_frame_may_opt_out_and_a_node_too(tmp_path):
    with apiary.Apiary("off", storage=tmp_path / "store", maintenance="off", maintenance_interval="100ms", **SETTINGS) as node:
        node.sql("CREATE FRAME f (i BIGINT); ALTER FRAME f SET PROPERTIES ('apiary.autoOptimize' = 'false')")
        for i in range(17):
            node.sql(f"INSERT INTO f VALUES ({i})")
    with apiary.Apiary("on", storage=tmp_path / "store", maintenance="always", maintenance_interval="100ms", **SETTINGS) as node:
        node.sql("CREATE FRAME g (i BIGINT)")
        for i in range(17):
            node.sql(f"INSERT INTO g VALUES ({i})")
        wait_until(lambda: "OPTIMIZE" in [row[2] for row in node.sql("SHOW HISTORY OF g").fetchall()])
        assert "OPTIMIZE" not in operations(node) and cells(node) == 17
