#!/usr/bin/env python3
"""Commands of build/apiary killed at each of their steps on files: what a crash leaves behind.

Each case runs a command once for every n with libkiller.so preloaded (README.md), on a copy of one
store. After the kill the store shows what it showed before the command or what it shows after it;
the next command works; every object is whole; deltalake opens the frame; no chamber lives on.

    kill_everywhere.py                   steps that change a name, and a few others
    kill_everywhere.py --soak            every step, before and behind it (also AP_SOAK=1)
    kill_everywhere.py import_new 17     one case, or one step of it"""

import concurrent.futures
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

SOURCE = pathlib.Path(os.environ.get("APIARY_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(SOURCE / "tests/cli"))
from apiary_cli import APIARY, Store, main  # noqa: E402

KILLER = os.path.join(os.path.dirname(APIARY), "tests/crash/libkiller.so")
PYTHON = os.environ.get("APIARY_TEST_PYTHON", str(SOURCE / ".venv/bin/python"))
SOAK = "--soak" in sys.argv or os.environ.get("AP_SOAK") == "1"
WORKERS = min(4, 2 * (os.cpu_count() or 1))
STEPS_MAX = 2000       # more of them in one command: something is wrong with the test
GONE_SECONDS = 30      # a chamber whose parent is dead is gone by then, on a machine with much to do
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*")
PEER_STEPS = 3         # steps per case at which deltalake looks too

ROWS = "SELECT 'row', * FROM {0} ORDER BY ALL"


class Command:
    """What is killed: statements before it, the command, and what shows its effect."""

    def __init__(self, before, words, frames=("t",), env=None, also=""):
        self.before, self.words, self.env = before, words, env or {}
        self.show = "SHOW FRAMES; " + "; ".join(ROWS.format(name) for name in frames) + also

    def run(self, store, env=None):
        words = [word.replace("{folder}", str(store.folder)) for word in self.words]
        return store.run(*words, env={**self.env, **(env or {})})

    def state(self, store):
        """What a user sees, as text. A frame that is not there is an error that says so, the same each time."""
        code, out, err = store.run("sql", self.show, "--format", "csv", env=self.env)
        text = f"{out}{err}".replace(str(store.folder), "")
        assert code == 0 or "NOT_FOUND" in err, f"the next command gave {code}: {text}"
        return TIME.sub("(time)", text)


def files(store):
    store.file("a.csv", "id,name,p\n" + "".join(f"{i},n{i},{i % 2}\n" for i in range(50)))


TABLE = "CREATE FRAME t (id BIGINT, name TEXT, p INTEGER) PARTITIONED BY (p); INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 1), (3, 'c', NULL)"
CASES = {
    "import_new": Command("CREATE FRAME other (x INTEGER)", ["import", "t", "{folder}/a.csv"]),
    "import_append": Command(TABLE, ["import", "t", "{folder}/a.csv"]),
    "create_as": Command("CREATE FRAME other (x INTEGER)",
                         ["sql", "CREATE FRAME t PARTITIONED BY (p) AS SELECT range AS id, (range % 3)::INTEGER AS p FROM range(30)"]),
    "insert": Command(TABLE, ["sql", "INSERT INTO t VALUES (7, 'x', 0), (8, 'y', 5)"]),
    "insert_overwrite": Command(TABLE, ["sql", "INSERT OVERWRITE t VALUES (9, 'z', 1)"]),
    "optimize": Command(TABLE + "; INSERT INTO t VALUES (4, 'd', 1), (5, 'e', NULL)", ["sql", "OPTIMIZE t", "--set", "bees=1"],
                        also="; EXPLAIN SELECT count(*) FROM t"),
    "checkpoint": Command(TABLE + "; INSERT INTO t VALUES (4, 'd', 1)", ["sql", "INSERT INTO t VALUES (5, 'e', 1)"],
                          env={"APIARY_CHECKPOINT_INTERVAL": "3"}),
    "create": Command("CREATE FRAME other (x INTEGER)", ["sql", "CREATE FRAME t (id BIGINT)"]),
    "drop": Command(TABLE, ["sql", "DROP FRAME t"]),
    "rename": Command(TABLE, ["sql", "ALTER FRAME t RENAME TO u"], frames=("t", "u")),
    "rename_back": Command(TABLE, ["sql", "ALTER FRAME t RENAME TO u"], frames=("u", "t")),
}


def start(store, command):
    files(store)
    store.sql(command.before, *[f"--set={k[7:].lower()}={v}" for k, v in command.env.items()])


def check_objects(store):
    """Every object that has a name is whole, and every version is there."""
    for path in store.root.rglob("*"):
        if not path.is_file() or ".tmp" in path.parts:
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            for line in content.decode().splitlines():
                added = json.loads(line).get("add") if "_delta_log" in path.parts else None
                if added and "%" not in added["path"]:
                    cell = path.parents[1] / added["path"]
                    assert cell.stat().st_size == added["size"], f"{cell} has another size than {path} says"
            assert content, f"{path} is empty"
        elif path.suffix == ".parquet":
            assert content[:4] == content[-4:] == b"PAR1", f"{path} is not whole"
    for log in store.root.rglob("_delta_log"):
        versions = sorted(int(p.stem) for p in log.glob("*.json") if p.stem.isdigit())
        assert versions == list(range(len(versions))), f"{log} has versions {versions}"


def chambers(store):
    """Processes apiary-bee that were started from this store's folder (it stays their current directory)."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "comm").read_text().strip() == "apiary-bee" \
                    and os.readlink(process / "cwd").startswith(str(store.folder)) \
                    and (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z":
                found.append(int(process.name))
        except OSError:
            pass  # gone meanwhile, or another user's
    return found


def check_gone(store):
    until = time.monotonic() + GONE_SECONDS
    while chambers(store):
        assert time.monotonic() < until, f"chambers {chambers(store)} outlive their process"
        time.sleep(0.02)


def check_scratch(store):
    left = [str(p.relative_to(store.folder)) for p in store.folder.glob("apiary-*/*")]
    assert not left, f"scratch of dead processes is left: {left}"


def check_peer(store):
    """deltalake opens every table of the store that has a version."""
    tables = [str(log.parent) for log in store.root.rglob("_delta_log") if any(log.glob("*.json"))]
    code = ("import os, sys, deltalake\nfor path in sys.argv[1:]:\n"
            "    deltalake.DeltaTable(path).to_pyarrow_dataset().to_table()\n"
            "os._exit(0)  # its threads do not always survive the end of the interpreter")
    done = subprocess.run([PYTHON, "-c", code, *tables], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"deltalake: {done.stderr.strip().splitlines()[-1]}"


def killer(**settings):
    env = {"LD_PRELOAD": KILLER, "AP_KILL_PROGRAM": "apiary", "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
    return {**env, **{f"AP_KILL_{key.upper()}": str(value) for key, value in settings.items()}}


class Reference:
    """What a case does when nobody kills it, and where it can be killed."""

    def __init__(self, command, base):
        self.before = command.state(base)
        with base.copy() as store:
            log = store.folder / "steps"
            code, _, err = command.run(store, killer(log=log))
            assert code == 0, f"not killed, gave {code}: {err}"
            self.after = command.state(store)
            assert self.after != self.before, "the command changes nothing that is shown"
            self.steps = [line.split(" ", 2)[1:] for line in log.read_text().splitlines()]
            self.again = command.run(store)[0], command.state(store)
        assert 0 < len(self.steps) <= STEPS_MAX, f"{len(self.steps)} steps"
        if "APIARY_CHECKPOINT_INTERVAL" in command.env:
            assert any("checkpoint.parquet" in path for _, path in self.steps), "no checkpoint is written"

    def chosen(self):
        """The short form leaves out syncs (the step behind one finds the same names) and most of the scratch."""
        if SOAK:
            return [(n, when) for n in range(1, len(self.steps) + 1) for when in ("before", "after")]
        numbers, scratch = [], 0
        for n, (name, path) in enumerate(self.steps, 1):
            own = path.startswith("/")
            scratch += own
            if "sync" not in name and (not own or scratch % 5 == 0):
                numbers.append(n)
        return [(n, "before") for n in numbers]


def kill_once(command, base, known, n, when, peer):
    with base.copy() as store:
        code, _, err = command.run(store, killer(at=n, when=when))
        # A run with fewer steps than the one that was counted ends by itself.
        assert code == -signal.SIGKILL or (code == 0 and n > len(known.steps) - 8), f"gave {code}: {err}"
        check_gone(store)
        check_objects(store)
        state = command.state(store)
        check_scratch(store)
        assert state in (known.before, known.after), \
            f"between:\n{state}\nbefore:\n{known.before}\nafter:\n{known.after}"
        assert code != 0 or state == known.after, f"not killed, and nothing changed: {state}"
        if peer:
            check_peer(store)
        old = state == known.before
        if old or SOAK or peer:
            again, _, err = command.run(store)
            state = command.state(store)
            assert (again, state) == ((0, known.after) if old else known.again), f"repeated, gave {again}: {err}\n{state}\nand not {known.after if old else known.again}"
            check_objects(store)
        return old


def kill_case(name, only=None):
    command = CASES[name]
    with Store() as base:
        start(base, command)
        known = Reference(command, base)
        chosen = [(only, "before"), (only, "after")] if only else known.chosen()
        peers = {n for n, _ in chosen[:: max(1, len(chosen) // PEER_STEPS)]} if os.path.exists(PYTHON) else set()

        def one(step):
            n, when = step
            try:
                return kill_once(command, base, known, n, when, n in peers)
            except Exception as error:
                step_name = " ".join(known.steps[min(n, len(known.steps)) - 1])
                words = " ".join(command.words)
                raise AssertionError(f"killed {when} step {n} of {len(known.steps)} ({step_name}) of: apiary {words}\n"
                                     f"again: tests/crash/kill_everywhere.py {name} {n}\n{error}") from error

        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            old = list(pool.map(one, chosen))
        assert only or (any(old) and not all(old)), f"no kill before, or none behind, the commit: {old}"


def case(name, only=None):
    def run():
        kill_case(name, only)
    run.__name__ = name
    return run


def busy(pid):
    """Whether a chamber has worked for a while: CPU time in ticks, from /proc/PID/stat."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return int(fields[11]) + int(fields[12]) > 50


def chamber_killed():
    """kill -9 of the chamber in the midst of a statement, and of those that try again: one clear error with its history,
    and the session goes on."""
    with Store() as store:
        terminal, end = pty.openpty()  # a shell goes on behind an error when somebody sits at it
        shell = subprocess.Popen([APIARY, "shell", "--format", "csv"], stdin=end, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, cwd=store.folder, env={**store.environment(), "TERM": "dumb"})
        os.close(end)
        try:
            os.write(terminal, b"SELECT sum(hash(a.range + b.range)) FROM range(3000000) a, range(3000000) b;\n")
            killed = set()
            while len(killed) < 3:  # task_tries
                until = time.monotonic() + 60
                while not (victims := [pid for pid in chambers(store) if pid not in killed and busy(pid)]):
                    assert time.monotonic() < until and shell.poll() is None, f"no chamber works on the statement after {len(killed)} were killed"
                    time.sleep(0.05)
                os.kill(victims[0], signal.SIGKILL)
                killed.add(victims[0])
            os.write(terminal, b"SELECT 6 * 7 AS a;\n\x04")
            out, err = shell.communicate(timeout=60)
        finally:
            shell.kill()
            os.close(terminal)
        errors = [line for line in err.splitlines() if "Error (" in line]
        assert len(errors) == 1 and "Error (ABANDONED)" in errors[0] and "SIGKILL" in errors[0], f"one error with the deaths of chambers, not: {out}{err}"
        assert "42" in out.split(), f"the next statement gave {out}{err}"
        check_gone(store)
        check_scratch(store)


def writers_at_once():
    """4 processes with 10 inserts each into one frame."""
    writers, inserts = 4, 10
    with Store() as store:
        store.sql("CREATE FRAME t (w INTEGER, i INTEGER)")
        texts = ["; ".join(f"INSERT INTO t VALUES ({w}, {i})" for i in range(inserts)) for w in range(writers)]
        with concurrent.futures.ThreadPoolExecutor(writers) as pool:
            for code, _, err in pool.map(lambda text: store.run("sql", text), texts):
                assert code == 0, err
        rows = store.sql("SELECT w, i FROM t ORDER BY ALL")[1:]
        assert rows == [f"{w},{i}" for w in range(writers) for i in range(inserts)], rows
        check_objects(store)
        logs = [p for p in (store.root / "main/main/t/_delta_log").glob("*.json") if p.stem.isdigit()]
        assert len(logs) == writers * inserts + 1, f"{len(logs)} versions"
        if os.path.exists(PYTHON):
            check_peer(store)


if __name__ == "__main__":
    others = [chamber_killed, writers_at_once]
    named = [word for word in sys.argv[1:] if word != "--soak"]
    if not os.path.exists(KILLER):
        raise SystemExit(f"{KILLER} is not built")
    if named:
        step = int(named[1]) if len(named) > 1 else None
        main([f for f in others if f.__name__ == named[0]] or [case(named[0], step)])
    else:
        main([case(name) for name in CASES] + others)
