"""The shape of every check in tools/: named functions that return lines of complaint, printed as TAP."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPLAINTS_MAX = 25


def tracked(*patterns):
    """Files of the tree that git knows or would add, as paths relative to ROOT."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
                            capture_output=True, text=True, check=True).stdout
    return [name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()]


def run(checks):
    """Runs (name, function) pairs and returns the exit code; a function yields one line for each fault."""
    failed = 0
    print(f"1..{len(checks)}")
    for number, (name, function) in enumerate(checks, 1):
        complaints = list(function())
        failed += bool(complaints)
        print(f"{'not ok' if complaints else 'ok'} {number} - {name}")
        for line in complaints[:COMPLAINTS_MAX]:
            print(f"# {line}")
        if len(complaints) > COMPLAINTS_MAX:
            print(f"# ... and {len(complaints) - COMPLAINTS_MAX} more")
    return 1 if failed else 0
