#!/usr/bin/env python3
"""open, start, shutdown, fork, signals, threads, status."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

import apiary
from conftest import SETTINGS


def node_objects(store):
    return sorted(path.name for path in (pathlib.Path(store) / "_swarm/nodes").glob("*.json"))


def test_open_is_a_session_at_once():
    with apiary.open("memory://") as db:
        assert db.sql("SELECT 1").scalar() == 1
    with pytest.raises(apiary.UsageError, match="not running"):
        db.sql("SELECT 1")


def test_constructing_does_nothing(tmp_path):
    node = apiary.Apiary("quiet", storage=tmp_path / "store")
    with pytest.raises(apiary.UsageError, match="start"):
        node.sql("SELECT 1")
    node.shutdown()
    assert not (tmp_path / "store").exists()


def test_shutdown_twice_and_start_again(tmp_path):
    node = apiary.Apiary("again", storage=tmp_path / "store", **SETTINGS)
    node.shutdown()
    for _ in range(2):
        node.start()
        node.start()
        assert node.sql("SELECT 1").scalar() == 1
        node.shutdown()
        node.shutdown()


def test_start_has_written_a_heartbeat(tmp_path):
    node = apiary.Apiary("node one", storage=tmp_path / "store", **SETTINGS)
    node.start()
    (name,) = node_objects(tmp_path / "store")
    label, boot, caps, ending = name.split(".")
    assert label == "node-one" and len(boot) == 32 and caps.startswith("b2m") and ending == "json"
    status = node.swarm_status()
    assert status["alive"] == 1 and status["total_bees"] == 2
    assert status["nodes"][0]["node_id"] == boot == node.status()["node_id"]
    assert {"node_id", "state", "bees", "idle_bees", "memory_pressure", "colony_temperature"} <= set(status["nodes"][0])
    assert {"nodes", "alive", "total_bees", "total_idle_bees", "total_memory_gb"} <= set(status)
    node.shutdown()
    assert node_objects(tmp_path / "store") == []


def test_a_restart_is_another_node(tmp_path):
    node = apiary.Apiary("n", storage=tmp_path / "store", **SETTINGS)
    first = node.start().status()["node_id"]
    node.shutdown()
    assert node.start().status()["node_id"] != first
    node.shutdown()


def test_two_nodes_see_each_other(tmp_path):
    with apiary.Apiary("a", storage=tmp_path / "store", **SETTINGS) as a:
        with apiary.Apiary("b", storage=tmp_path / "store", **SETTINGS) as b:
            assert [node["name"] for node in a.swarm_status()["nodes"]] == ["a", "b"]
            assert b.swarm_status()["total_bees"] == 4
        assert a.swarm_status()["alive"] == 1


def test_open_writes_no_beat(tmp_path):
    with apiary.open(tmp_path / "store", **SETTINGS) as db:
        db.sql("CREATE FRAME t AS SELECT 1 AS a")
        assert db.swarm_status() == {"nodes": [], "queries": [], "alive": 0, "total_bees": 0, "total_idle_bees": 0, "total_memory_gb": 0.0}
    assert node_objects(tmp_path / "store") == []


def test_status_fields(tmp_path):
    with apiary.Apiary("fields", storage=tmp_path / "store", **SETTINGS) as node:
        status = node.status()
        wanted = {"name", "node_id", "cores", "memory_gb", "bees", "storage", "memory_per_bee_mb", "target_cell_size_mb", "state"}
        assert wanted <= set(status)
        assert status["name"] == "fields" and status["state"] == "running" and status["bees"] == 2
        assert status["memory_per_bee_mb"] == 476.8
        bees = node.bee_status()
        assert [bee["bee_id"] for bee in bees] == ["bee-0", "bee-1"]
        assert {"bee_id", "state", "memory_used", "memory_budget"} <= set(bees[0])
        assert bees[0]["memory_budget"] == 500_000_000
        colony = node.colony_status()
        assert {"temperature", "regulation", "setpoint", "abandoned_tasks"} <= set(colony)
        assert colony["setpoint"] == 0.5 and 0 <= colony["temperature"] <= 1 and colony["abandoned_tasks"] == 0
        assert {row["key"]: row["value"] for row in node.config()}["bees"] == "2"


def test_default_storage_is_local_by_name(tmp_path):
    code = (
        "import apiary\n"
        "with apiary.Apiary('one') as node: node.sql('CREATE FRAME t AS SELECT 1 AS a'); print(node.status()['storage'])\n"
        "with apiary.Apiary('two') as node: print(node.list_frames('main', 'main') if 'main' in node.list_hives() else [])\n"
        "with apiary.Apiary('one') as node: print(node.list_frames('main', 'main'))\n"
    )
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    storage, other, own = done.stdout.splitlines()
    assert storage.endswith("/apiary-nodes/one") and other == "[]" and own == "['t']"


def test_storage_settings(tmp_path):
    code = "import apiary\nwith apiary.Apiary('one') as node: print(node.status()['storage'])\n"
    environment = {**os.environ, "APIARY_STORAGE": str(tmp_path / "set"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.strip().endswith("/set"), done.stderr


def test_home_is_understood(tmp_path):
    code = "import apiary\nwith apiary.open('~/below') as db: db.sql('CREATE FRAME t AS SELECT 1 AS a')\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)}, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "below").is_dir()


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"no_such_key": 1}, apiary.ConfigError),
        ({"memory_limit": "a lot"}, apiary.ConfigError),
        ({"bees": -3}, apiary.ConfigError),
    ],
    ids=str,
)
def test_wrong_settings(tmp_path, settings, error):
    with pytest.raises(error, match=next(iter(settings))):
        apiary.open(tmp_path / "store", **settings)


def test_unknown_scheme():
    with pytest.raises(apiary.Error, match="ftp"):
        apiary.open("ftp://host/path")


@pytest.mark.parametrize("name", ["", "a/b", "a\0b", None, 5], ids=repr)
def test_wrong_node_names(name):
    with pytest.raises(apiary.UsageError):
        apiary.Apiary(name)


def test_several_objects_in_one_process(tmp_path):
    with apiary.open(tmp_path / "a", **SETTINGS) as a, apiary.open(tmp_path / "b", **SETTINGS) as b:
        a.sql("CREATE FRAME t AS SELECT 'a' AS x")
        b.sql("CREATE FRAME t AS SELECT 'b' AS x")
        assert (a.sql("SELECT x FROM t").scalar(), b.sql("SELECT x FROM t").scalar()) == ("a", "b")
    with apiary.open(tmp_path / "a", **SETTINGS) as one, apiary.open(tmp_path / "a", **SETTINGS) as two:
        one.sql("INSERT INTO t VALUES ('c')")
        assert two.sql("SELECT count(*) FROM t").scalar() == 2


def test_sixteen_threads(db):
    db.sql("CREATE FRAME t AS SELECT range AS n FROM range(1000)")
    db.create_frame("main", "main", "log", {"thread": "int", "i": "int"})
    failures = []

    def work(number):
        try:
            for i in range(3):
                assert db.sql("SELECT count(*) + ? FROM t WHERE n % 16 = ?", [i, number]).scalar() >= 62
                assert len(db.sql("SELECT * FROM t WHERE n < 10").to_pylist()) == 10
            db["log"].append([{"thread": number, "i": 1}])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert db.sql("SELECT count(*), count(DISTINCT thread) FROM log").fetchall() == [(16, 16)]


def test_shutdown_cancels_what_runs(tmp_path):
    db = apiary.open(tmp_path / "store", **SETTINGS)
    errors = []
    begun = threading.Event()

    def work():
        begun.set()
        try:
            db.sql("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")
        except apiary.Error as error:
            errors.append(error.code)

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    time.sleep(0.3)
    start = time.monotonic()
    db.shutdown()
    thread.join()
    assert errors and errors[0] in ("CANCELLED", "INVALID", "CHAMBER")
    assert time.monotonic() - start < 30  # what runs takes hours


def test_fork_is_refused(db):
    db.sql("SELECT 1")
    result = db.sql("SELECT 2 AS a")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            try:
                db.sql("SELECT 1")
            except apiary.UsageError as error:
                code = 0 if "fork" in str(error) else 2
            if result.fetchall() != [(2,)]:
                code = 3
            db.shutdown()
            del result
            gc.collect()
        finally:
            os._exit(code)
    deadline = time.monotonic() + 30
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            break
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(status) == 0
    assert db.sql("SELECT 3").scalar() == 3


LONG = "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"


def test_ctrl_c_interrupts_and_leaves_the_session_usable(db):
    db.sql("SELECT 1")
    sent = []

    def press():
        time.sleep(0.4)
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        db.sql(LONG)
    late = time.monotonic() - sent[0]
    thread.join()
    assert late < 20, late  # the statement takes hours; bench/run tells the milliseconds
    assert db.sql("SELECT 2").scalar() == 2


def test_ctrl_c_while_waiting_for_bees(db):
    db.sql("SELECT 1")
    begun = threading.Event()
    with db.session() as other:

        def occupy():
            begun.set()
            try:
                other.sql(LONG)
            except apiary.CancelledError:
                pass

        thread = threading.Thread(target=occupy)
        thread.start()
        begun.wait()
        time.sleep(0.3)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            db.sql(LONG)  # a small one would be the guest, and not wait
        assert time.monotonic() - start < 20  # what holds the bees takes hours
        other.cancel()
        thread.join()
    assert db.sql("SELECT 2").scalar() == 2


def test_a_handler_that_does_not_raise_disturbs_nothing(db):
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert db.sql("SELECT count(*) FROM range(300000000) WHERE range % 7 = 3").scalar() == 42857143
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_cancel_from_another_thread(db):
    with db.session() as session:
        session.sql("SELECT 1")
        threading.Timer(0.3, session.cancel).start()
        with pytest.raises(apiary.CancelledError):
            session.sql(LONG)
        assert session.sql("SELECT 1").scalar() == 1


def test_import_loads_no_engine():
    """bench/run tells how long it takes."""
    code = (
        "import apiary\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert 'libapiary' in maps and 'duckdb' not in maps\n"
        "import sys; assert not {'pyarrow', 'pandas', 'polars', 'numpy', 'IPython', 'asyncio'} & set(sys.modules)\n"
        "import threading; assert threading.active_count() == 1\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


CHILD = """
import apiary, sys
db = apiary.open("memory://", bees=2, memory_limit="1GB")
db.sql("SELECT 1")
print("ready", flush=True)
try:
    db.sql("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(db.sql("SELECT 42").scalar(), flush=True)
"""


def test_ctrl_c_of_a_program():
    """As a terminal sends it, to the whole process group: the chambers live on."""
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.5)
    os.killpg(child.pid, signal.SIGINT)
    said, _ = child.communicate(timeout=60)
    assert said == "interrupted\n42\n" and child.returncode == 0


BAR = """
import apiary, apiary._progress
apiary._progress.SHOWN_AFTER_SECONDS = 0.0
with apiary.open("memory://", bees=2, memory_limit="1GB") as db:
    assert db.sql("SELECT sum(a.range * b.range) FROM range(20000) a, range(4000) b").scalar() > 0
"""


@pytest.mark.parametrize("terminal, wish, shown", [(True, None, True), (True, "0", False), (False, None, False)])
def test_a_bar_where_somebody_watches(terminal, wish, shown):
    import pty

    reader, writer = pty.openpty() if terminal else os.pipe()
    environment = {**os.environ, **({} if wish is None else {"APIARY_PROGRESS": wish})}
    child = subprocess.Popen([sys.executable, "-c", BAR], stderr=writer, env=environment)
    os.close(writer)
    said = b""
    try:
        while piece := os.read(reader, 4096):
            said += piece
    except OSError:  # how a terminal ends
        pass
    os.close(reader)
    assert child.wait() == 0, said
    assert (b"\r" in said and b" s" in said) == shown, said
    if shown:
        assert said.endswith(b" \r")  # wiped away
    else:
        assert said == b""


def test_progress_is_told_to_a_function(db):
    seen = []
    db.sql("SELECT sum(a.range * b.range) FROM range(20000) a, range(4000) b", progress=lambda *told: seen.append(told))
    assert seen and all(len(told) == 3 and -1 <= told[0] <= 1 for told in seen)

    def stop(*told):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        db.sql(LONG, progress=stop)
    assert db.sql("SELECT 1").scalar() == 1
