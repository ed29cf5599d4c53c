#!/usr/bin/env python3
"""Credentials do not get into core dumps: neither of the program that holds them nor of its chambers."""

import os
import pathlib
import resource
import signal
import struct
import subprocess

from apiary_cli import APIARY, Skip, Store, main
from bucket import Bucket

PLANTED = b"planted-token-7d41"
USUAL = "0x33"  # the kernel's filter when nobody set one
JOIN_SECONDS = 60
VDSO_BYTES_MAX = 64 << 10  # the kernel's own pages, which no filter leaves out


def family(pid):
    """A process and all below it."""
    below = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    return [pid] + [one for path in below for child in path.read_text().split() for one in family(int(child))]


def filter_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/coredump_filter").read_text(), 16)


class Node:
    """A node on a bucket, that has asked the bucket for something; `with` ends it. cores: its folder, where they are written."""

    def __init__(self, store, bucket):
        self.cores = store.folder / "cores"
        self.cores.mkdir(exist_ok=True)
        env = {**store.environment(), **bucket.environment, "AWS_SESSION_TOKEN": PLANTED.decode()}
        self.process = subprocess.Popen([APIARY, "start", bucket.uri("lake")], env=env, cwd=self.cores, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        assert "has joined" in line, line
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def abort(self):
        """Ends it as a crash does; the bytes of the core, None where the kernel wrote none."""
        self.process.send_signal(signal.SIGABRT)
        assert self.process.wait(JOIN_SECONDS) == -signal.SIGABRT
        found = list(self.cores.glob("*core*"))
        content = found[0].read_bytes() if found else None
        for path in found:
            path.unlink()
        return content


def kernel_writes_cores():
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if "/" in pattern or pattern.startswith("|") or "core" not in pattern:
        raise Skip(f"core dumps go to '{pattern}'")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        raise Skip("core dumps are limited here")
    if os.environ.get("AP_SANITIZED"):
        raise Skip("sanitizers map terabytes and write no core")


def no_core_is_written():
    with Store() as store, Bucket() as bucket, Node(store, bucket) as node:
        for pid in family(node.process.pid):
            assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] <= 1 and filter_of(pid) == 0, pid
        assert node.abort() is None


def memory_in(core):
    """The contents of an ELF core's segments: all but the notes, where the registers are."""
    assert core[:5] == b"\x7fELF\2", core[:8]
    at, = struct.unpack_from("<Q", core, 32)
    size, count = struct.unpack_from("<HH", core, 54)
    headers = [struct.unpack_from("<IIQQQQ", core, at + i * size) for i in range(count)]
    return b"".join(core[offset:offset + length] for kind, _, offset, _, _, length in headers if kind == 1)


def a_core_would_hold_no_memory():
    """Where somebody lifts the limit, the filter is left. That the search finds what is there shows a node whose filter the test
    takes away."""
    kernel_writes_cores()
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for filtered in (False, True):
        with Store() as store, Bucket() as bucket, Node(store, bucket) as node:
            resource.prlimit(node.process.pid, resource.RLIMIT_CORE, unlimited)
            if not filtered:
                pathlib.Path(f"/proc/{node.process.pid}/coredump_filter").write_text(USUAL)
            core = node.abort()
            assert core is not None, "no core was written"
            memory = memory_in(core)
            assert (PLANTED in memory) != filtered, (filtered, len(core), len(memory))
            assert not filtered or len(memory) <= VDSO_BYTES_MAX, len(memory)
            print(f"# a core of {len(core)} bytes, {len(memory)} of memory")


main([no_core_is_written, a_core_would_hold_no_memory])
