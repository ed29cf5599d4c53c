"""The runner that says whether the tests passed is tested itself: against a small project with
tests that pass, fail, crash, hang and skip. Prints TAP. Run by tools/check."""

import contextlib
import importlib.machinery
import importlib.util
import io
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
TOOLS = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(TOOLS))
import tap

loader = importlib.machinery.SourceFileLoader("check", str(TOOLS / "check"))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
loader.exec_module(check)

PROJECT = """
project('selftest', version: '1')
shell = find_program('sh')
foreach name, script : {
  'good': 'echo 1..2; echo ok 1 - a; echo ok 2 - b',
  'skips': 'echo 1..2; echo ok 1 - a; echo "not ok 2 # SKIP b"',
  'fails': 'echo 1..3; echo ok 1 - a; echo not ok 2 - b; echo not ok 3 - c; exit 2',
  'crashes': 'echo 1..2; echo ok 1 - a; kill -SEGV $$',
  'stops_short': 'echo 1..2; echo ok 1 - a',
  'hangs': 'echo 1..1; exec sleep 100',
}
  test(name, shell, args: ['-c', script], suite: name, timeout: 1)
endforeach
test('plain_good', shell, args: ['-c', 'true'], suite: 'plain_good')
test('plain_skip', shell, args: ['-c', 'exit 77'], suite: 'plain_skip')
test('plain_bad', shell, args: ['-c', 'echo the reason; exit 1'], suite: 'plain_bad')
"""

# suite -> passed, failed, skipped
EXPECTED = {
    "good": (2, 0, 0),
    "skips": (1, 0, 1),
    "fails": (1, 2, 0),
    "crashes": (1, 1, 0),
    "stops_short": (1, 1, 0),
    "hangs": (0, 1, 0),
    "plain_good": (1, 0, 0),
    "plain_skip": (0, 0, 1),
    "plain_bad": (0, 1, 0),
    "no_such_suite": (0, 1, 0),
}


def quietly(function, *arguments):
    """Runs it; returns its result and what it printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        return function(*arguments), printed.getvalue()


def tallied(function, *arguments):
    tally = check.Tally()
    _, printed = quietly(function, tally, *arguments)
    return (tally.passed, len(tally.failures), tally.skipped), printed


def small_project():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "meson.build").write_text(PROJECT)
        check.ROOT = root
        clock = check.Clock(60)
        code, output = check.run(["meson", "setup", "b"], clock, 60)
        if code != 0:
            yield from output.splitlines()
            return
        for suite, expected in EXPECTED.items():
            found, printed = tallied(check.meson_tests, "b", [suite], clock)
            if found != expected:
                yield f"{suite}: counted {found}, expected {expected}"
            if expected[1] and "FAILED" not in printed:
                yield f"{suite}: failed without saying so"
            if suite == "plain_bad" and ("the reason" not in printed or "repeat with: meson test" not in printed):
                yield f"{suite}: neither its output nor how to repeat it was shown: {printed}"
        check.ROOT = TOOLS.parent


def commands():
    for script, expected in {
        "echo 1..2; echo ok 1 - a; echo not ok 2 - b; echo '# why'; exit 1": (1, 1, 0),
        "echo 1..1; echo ok 1 - a": (1, 0, 0),
        "echo 1..1; echo ok 1 - a; exit 3": (1, 1, 0),
        "true": (0, 1, 0),
        "sleep 100": (0, 1, 0),
    }.items():
        found, _ = tallied(check.run_tap, ["sh", "-c", script], check.Clock(60), 1)
        if found != expected:
            yield f"'{script}' counted {found}, expected {expected}"


def last_line():
    for passed, failures, skipped, code, line in (
        (3, [], 0, 0, "3 passed, 0 failed"),
        (3, [], 2, 0, "3 passed, 0 failed, 2 skipped"),
        (3, ["x"], 0, 1, "3 passed, 1 failed"),
        (0, [], 0, 1, "0 passed, 1 failed"),
        (0, [], 5, 1, "0 passed, 1 failed, 5 skipped"),
    ):
        tally = check.Tally()
        tally.passed, tally.failures, tally.skipped = passed, failures, skipped
        found, printed = quietly(check.finish, tally)
        if (found, printed.splitlines()[-1]) != (code, line):
            yield f"expected exit {code} and '{line}', got {found} and '{printed.splitlines()[-1]}'"


def late():
    """Once the time of the whole run is over, parts that did not run are failures."""
    seconds, check.RUN_SECONDS_MAX = check.RUN_SECONDS_MAX, -1
    code, printed = quietly(check.main, ["static"])
    check.RUN_SECONDS_MAX = seconds
    if code != 1 or printed.splitlines()[-1] != "0 passed, 1 failed":
        yield f"exit {code}: {printed}"


sys.exit(tap.run([
    ("runner: counts of a project whose tests pass, fail, crash, hang and skip", small_project),
    ("runner: counts of commands that print TAP", commands),
    ("runner: the last line and the exit code", last_line),
    ("runner: what there was no time for has failed", late),
]))
