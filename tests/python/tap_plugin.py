"""pytest's outcome of each case as a line of TAP, with the failure as comment."""

import sys

cases = 0


def pytest_runtest_logreport(report):
    global cases
    if report.when == "call" or report.outcome != "passed":
        cases += 1
        name = report.nodeid.split("::", 1)[-1].replace("#", "")
        if report.outcome == "skipped":
            why = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            print(f"\nok {cases} - {name} # SKIP {why}", flush=True)
        else:
            print(f"\n{'ok' if report.outcome == 'passed' else 'not ok'} {cases} - {name}", flush=True)
        if report.outcome == "failed":
            for line in str(report.longrepr).splitlines()[-30:]:
                print(f"# {line}")
            sys.stdout.flush()


def pytest_sessionfinish(session, exitstatus):
    print(f"\n1..{cases}", flush=True)
