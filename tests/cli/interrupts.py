#!/usr/bin/env python3
"""Ctrl-C: in the shell at a terminal, and for a command."""

import os
import pathlib
import pty
import select
import signal
import subprocess
import time

from apiary_cli import APIARY, SECONDS, Store, main

ENDLESS = "SELECT count(*) FROM range(3000000000) a, range(3000000000) b WHERE a.range + b.range = -1"


class Terminal:
    """A shell at a pseudo-terminal."""

    def __init__(self, store):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(APIARY, [APIARY, "shell", str(store.root)], {**store.environment(), "TERM": "dumb", "HOME": str(store.folder)})
        self.seen = ""

    def wait_for(self, text):
        """Reads until the text is there, and gives what came before."""
        assert self.comes(text, SECONDS), f"no {text!r} in {self.seen!r}"
        before, self.seen = self.seen.split(text, 1)
        return before

    def comes(self, text, seconds):
        deadline = time.monotonic() + seconds
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self.fd], [], [], 0.2)[0]:
                self.seen += os.read(self.fd, 65536).decode()
        return text in self.seen

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, typed):
        deadline, ended = time.monotonic() + SECONDS, False
        self.type(typed)
        while not ended and time.monotonic() < deadline:
            try:
                if select.select([self.fd], [], [], 2)[0]:  # what is not read may hold its end up
                    said = os.read(self.fd, 65536)
                    ended, self.seen = not said, self.seen + said.decode(errors="replace")
            except OSError:
                ended = True
        if not ended:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert ended, f"the shell does not end: {self.seen!r}"
        return code


def processor_seconds(parent):
    """Of its children."""
    ticks = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended
        if int(fields[1]) == parent:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def busy(pid):
    """Waits until a chamber of the process works: its children have used the processor for a while since now."""
    deadline, least = time.monotonic() + SECONDS, None
    while time.monotonic() < deadline:
        used = processor_seconds(pid)
        least = used if least is None else min(least, used)  # a chamber that ended takes its figure along
        if used >= least + 0.5:
            return
        time.sleep(0.05)
    raise AssertionError("nothing runs")


def shell_goes_on():
    with Store() as store:
        shell = Terminal(store)
        shell.wait_for("apiary> ")
        for _ in range(2):
            shell.type(ENDLESS + ";\r")
            busy(shell.pid)
            shell.type("\x03")
            shell.wait_for("Error (CANCELLED)")
            shell.wait_for("apiary> ")
        shell.type("SELECT 6 * 7 AS answer;\r")
        assert " 42 " in shell.wait_for("1 row")
        shell.wait_for("apiary> ")
        assert shell.end(".quit\r") == 0


def prompt_gives_up_the_line():
    with Store() as store:
        shell = Terminal(store)
        shell.wait_for("apiary> ")
        shell.type("SELECT nonsense\r")
        shell.wait_for("...> ")
        shell.type("+ what\x03")
        shell.wait_for("apiary> ")
        shell.type("half\x03")
        shell.wait_for("apiary> ")
        shell.type("SELECT 6 * 7 AS answer;\r")
        assert " 42 " in shell.wait_for("1 row")
        shell.wait_for("apiary> ")
        assert shell.end("\x04") == 0


def an_end_typed_early_counts():
    with Store() as store:
        shell = Terminal(store)
        shell.wait_for("apiary> ")
        shell.type("SELECT count(*) FROM range(100000000);\r")
        shell.wait_for("\n")  # the line was taken, and the terminal is its own again
        assert shell.end("\x04") == 0
        assert "1 row" in shell.seen, shell.seen


def interrupted(store, *words):
    process = subprocess.Popen([APIARY, *words], env=store.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    busy(process.pid)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def command_ends():
    with Store() as store:
        store.sql("CREATE FRAME t AS SELECT 1::BIGINT AS i")
        before = store.objects()
        for sql in (ENDLESS + "; CREATE FRAME u (i INT)", f"INSERT INTO t {ENDLESS}; CREATE FRAME u (i INT)",
                    "INSERT INTO t SELECT range FROM range(100000000000); CREATE FRAME u (i INT)",
                    "CREATE FRAME v AS SELECT range FROM range(100000000000)"):
            code, out, err = interrupted(store, "sql", sql)
            assert code == 130 and out == "" and err.startswith("Error (CANCELLED)") and err.count("\n") == 1, (sql, code, out, err)
            assert store.objects() == before, sql
        assert store.sql("SELECT count(*) FROM t")[1] == "1"


if __name__ == "__main__":
    main([shell_goes_on, prompt_gives_up_the_line, an_end_typed_early_counts, command_ends])
