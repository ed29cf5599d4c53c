#!/usr/bin/env python3
"""A bucket that misbehaves at each request of an append, an import and a query: the right answer or a clear
error, and what was acknowledged is there once. AP_FAULTS=all: every fault at every request, not one in nine."""

import os

from apiary_cli import Store, main
from bucket import Bucket

FAULTS = ["500", "503", "429", "409", "lost", "drop", "short", "500done", "403skew", "expired", "moved"]
REQUESTS = 14  # of a command that appends once, and two more
STEP = 1 if os.environ.get("AP_FAULTS") == "all" else 9


def pairs(first):
    """(request, fault): one in STEP of them, others for each command."""
    every = [(request, fault) for request in range(REQUESTS) for fault in FAULTS]
    return every[first % STEP::STEP]


def check(first, words, acknowledged, rows):
    with Store() as store, Bucket() as bucket:
        env, told = bucket.environment, {"done": 0, "refused": 0, "unknown": 0}
        store.file("x.csv", "a\n1\n2\n")
        for request, fault in pairs(first):
            uri, label = bucket.uri(f"{request}-{fault}"), f"{fault} at request {request}"
            code, _, err = store.run("sql", "CREATE FRAME t AS SELECT 0::BIGINT AS a", "-s", uri, env=env)
            assert code == 0, (label, err)
            bucket.faults("ok " * request + fault)
            code, out, err = store.run(*words, "-s", uri, "--format", "csv", env=env)
            bucket.faults("")
            assert code in (0, 1), (label, code, err)
            if acknowledged is not None and code == 0:
                assert out.split()[-1] == acknowledged, (label, out)
            if code == 1:
                assert err.startswith("Error (") and len(err.splitlines()) <= 2, (label, err)
            check_code, out, check_err = store.run("sql", "SELECT count(*) FROM t", "-s", uri, "--format", "csv", env=env)
            assert check_code == 0, (label, check_err)
            there = int(out.split()[-1]) - 1
            unknown = "UNCERTAIN" in err
            told["done" if code == 0 else "unknown" if unknown else "refused"] += 1
            assert there == rows if code == 0 else there in (0, rows) if unknown else there == 0, (label, code, there, err)
        print(f"# {words[0]}: {told}")
        assert told["done"] > sum(told.values()) * 3 // 4, told  # nearly all of it is survived


def appends():
    check(0, ("sql", "INSERT INTO t VALUES (1), (2)"), None, 2)


def imports():
    check(1, ("import", "t", "x.csv"), None, 2)


def queries():
    check(2, ("sql", "SELECT sum(a) + 7 FROM t"), "7", 0)


main([appends, imports, queries])
