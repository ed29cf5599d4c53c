"""Real nodes on one store, for tests: each a process with bees, scratch and cache of its own, whatever happens to it."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "cli"), str(HERE.parent / "prop")]

from apiary_cli import APIARY, Store  # noqa: E402

SECONDS = 180  # what a query may take with heartbeats of 200 ms, whoever dies; never reached unless something hangs
JOIN_SECONDS = 60
LOOKS_MAX = 10


class Swarm(Store):
    """A store and its nodes; `with` ends them and removes it. root: a URI for a store that is not a folder."""

    def __init__(self, root=None, **environment):
        self.uri, self.more, self.nodes, self.started = root, environment, {}, 0

    def __enter__(self):
        super().__enter__()
        self.root = self.uri or self.root
        return self

    def in_bucket(self):
        return "://" in str(self.root)

    def fill(self, rows):
        """The frame t of so many rows in six cells."""
        code, _, err = self.run("sql", "CREATE FRAME t (p INTEGER, x BIGINT) PARTITIONED BY (p); "
                                f"INSERT INTO t SELECT i % 6, i FROM range({rows}) r(i)", "-q")
        assert code == 0, err

    def __exit__(self, *error):
        for node in self.nodes.values():
            node.end()
        super().__exit__(*error)

    def environment(self, name="asker"):
        own = self.folder / name
        own.mkdir(exist_ok=True)
        return {**super().environment(), "XDG_RUNTIME_DIR": str(own), "APIARY_SCRATCH_DIR": str(own), "APIARY_CACHE_DIR": str(own / "cache"),
                "APIARY_FSYNC": "off", "APIARY_HEARTBEAT": "200ms", "APIARY_MEMORY_LIMIT": "1GB", "APIARY_BEES": "1", **self.more}

    def start(self, *before, **environment):
        """A node, when it has joined. before: words in front of the command; environment: of this node alone."""
        self.started += 1
        name = f"n{self.started}"
        node = Node([*map(str, before), APIARY, "start", "--name", name], {**self.environment(name), **environment}, self.folder)
        self.nodes[name] = node
        return node

    def spread(self, text):
        """A statement that is shared out, begun: its process. finish() waits for it."""
        return self.begin("sql", text, "--format", "csv", "--set", "distributed=force")

    def begin(self, *words):
        return subprocess.Popen([APIARY, *words], env=self.environment(), cwd=self.folder,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answer(self, text, spread=True):
        """(exit code, standard output, standard error) of a statement, shared out or not."""
        return self.run("sql", text, "--format", "csv", "--set", f"distributed={'force' if spread else 'off'}")

    def alive(self):
        code, out, err = self.run("nodes")
        assert code == 0, err
        return sum(line.split()[1] == "alive" for line in out.splitlines()[1:])

    def announced(self):
        """Queries that have not ended, or whose end nobody has tidied up after."""
        names = pathlib.Path(self.root) / "_swarm/queries"
        if self.in_bucket():  # what is in a bucket is seen in a copy of it
            place, _, options = self.root.partition("?")
            for _ in range(LOOKS_MAX):  # an announcement may go while it is copied
                names = self.folder / f"copy-{uuid.uuid4().hex}"
                code, _, err = self.run("cp", f"{place}/_swarm/queries?{options}", names)
                if code == 0:
                    break
            assert code == 0, err
        return sorted(path.name for path in names.glob("*") if path.is_file())

    def stop(self):
        """All leave in good order."""
        for node in self.nodes.values():
            node.send(signal.SIGCONT)
            node.leave()

    @contextlib.contextmanager
    def paused(self):
        """No node does anything meanwhile. On a store that is not a folder they are killed, and others come afterwards: a
        server may read an upload under a lock (fake-gcs-server does), and one that stops in its midst would stop everybody."""
        for node in self.nodes.values():
            node.send(signal.SIGKILL if self.in_bucket() else signal.SIGSTOP)
        try:
            yield
        finally:
            if self.in_bucket():
                self.replace_all()
            for node in self.nodes.values():
                node.send(signal.SIGCONT)

    def replace_all(self):
        """As many other nodes in the place of those that are there."""
        gone, self.nodes = self.nodes, {}
        for node in gone.values():
            node.end()
        for _ in gone:
            self.start()

    def wait_announced(self, asked):
        """Until what `asked` began is announced, or it has ended."""
        while not self.announced() and asked.poll() is None:
            time.sleep(0.005)

    def kill(self, whom, asked, pick):
        """-9 for the asker of a statement that runs, or for a node by chance. The statement's end, once nothing that it began is left."""
        if whom == "asker":
            asked.send_signal(signal.SIGKILL)
        else:
            self.nodes.pop(pick.choice(sorted(self.nodes))).end()
        code, _, err = finish(asked)
        self.settled()
        return code, err

    def settled(self):
        """Waits until every query that was announced has ended, and what was decided has been done."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if not self.announced():
                return
            time.sleep(0.2)
        raise AssertionError(f"queries without an end: {self.announced()}")

    def attach_later(self, text):
        """A statement that is shared out, whose asker is killed once it is announced: what one who comes later is told."""
        asked = self.spread(text)
        query = None
        while query is None and asked.poll() is None:
            query = next(iter(self.announced()), None)
        asked.kill()
        asked.communicate()
        assert query is not None
        code, out, err = self.run("attach", query)
        assert code == 0, out + err
        return out + err


class Node:
    def __init__(self, words, environment, folder):
        self.process = subprocess.Popen(words, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.slow = None
        watchdog = threading.Timer(JOIN_SECONDS, self.process.kill)
        watchdog.start()
        first = self.process.stdout.readline()
        watchdog.cancel()
        assert "has joined" in first, f"{' '.join(words)}: {first}{self.process.communicate()[1]}"

    def send(self, number):
        self.process.send_signal(number)

    def leave(self, code=0):
        """As it is told to; what it said on standard error."""
        self.send(signal.SIGTERM)
        return self.left(code)

    def left(self, code=0):
        """As it was told to: a second time would end it at once."""
        said = self.process.communicate(timeout=JOIN_SECONDS)[1]
        assert self.process.returncode == code, f"a node that was told to leave gave {self.process.returncode}: {said}"
        return said

    def end(self):
        if self.slow:
            self.slow.set()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def slow_down(self, times):
        """From now on it and its chambers run only one of so many moments."""
        self.slow = threading.Event()

        def beat():
            while not self.slow.is_set():
                family = [self.process.pid, *children(self.process.pid)]
                tell(family, signal.SIGSTOP)
                self.slow.wait(0.02 * (times - 1))
                tell(family, signal.SIGCONT)
                self.slow.wait(0.02)
        threading.Thread(target=beat, daemon=True).start()


def children(pid):
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def tell(processes, number):
    for pid in processes:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def finish(process, timeout=SECONDS):
    """(exit code, standard output, standard error) of what spread() began."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"hangs: {process.args}\n{out}{err}") from None
    return process.returncode, out, err


def can(*words):
    """Whether this machine lets us run so."""
    return shutil.which(words[0]) is not None and subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0


def rounds(swarm, kill, count, asker):
    """A case for each kill: of a node, and of who asked, in turn."""
    def case(seed):
        def run():
            kill(swarm, seed, asker if seed % 2 else "node")
        run.__name__ = f"round {seed}"
        return run
    return [case(seed) for seed in range(count)]
