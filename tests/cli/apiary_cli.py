"""What the CLI tests share: running build/apiary on a fresh store, and TAP on standard output."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import uuid

APIARY = os.path.abspath(os.path.join(os.environ.get("APIARY_BUILD_DIR", "build"), "apiary"))
SECONDS = 120
REMOTE = os.environ.get("APIARY_TEST_ROOT")  # a bucket's URI with {} for a prefix: stores lie there, not in a folder


class Store:
    """A store in a folder of its own; `with` removes it."""

    content = None  # a folder to start with

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="apiary-cli-"))
        if self.content:
            shutil.copytree(self.content, self.folder, dirs_exist_ok=True)
        self.root = self.folder / "store"
        if REMOTE:
            self.root = REMOTE.format(f"cli-{uuid.uuid4().hex}")
        return self

    def __exit__(self, *_):
        for path, folders, _ in os.walk(self.folder):
            for folder in folders:
                os.chmod(os.path.join(path, folder), 0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def copy(self):
        """Another store with the same content, for `with`."""
        other = Store()
        other.content = self.folder
        return other

    def environment(self):
        """A command's: nothing of the user's settings, and scratch in the folder of the store."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("APIARY_", "XDG_"))}
        clean.update(HOME=str(self.folder), APIARY_STORAGE=str(self.root), TMPDIR=str(self.folder),
                     XDG_RUNTIME_DIR=str(self.folder))
        return clean

    def run(self, *words, stdin="", env=None):
        """Runs a command; gives back (exit code, stdout, stderr)."""
        done = subprocess.run([APIARY, *map(str, words)], input=stdin, capture_output=True, text=True,
                              timeout=SECONDS, cwd=self.folder, env={**self.environment(), **(env or {})}, check=False)
        return done.returncode, done.stdout, done.stderr

    def sql(self, text, *options):
        """CSV rows of the statements as a list of lines; fails loudly."""
        code, out, err = self.run("sql", text, "--format", "csv", *options)
        assert code == 0, f"apiary sql {text!r} gave {code}: {err}"
        return out.splitlines()

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def objects(self):
        """Every object of the store with its size: what a failed command must leave as it was."""
        root = self.root
        if REMOTE:  # what is in a bucket is seen in a copy of it
            root = self.folder / f"copy-{uuid.uuid4().hex}"
            code, _, err = self.run("cp", self.root, root)
            assert code == 0, err
        return sorted((str(p.relative_to(root)), p.stat().st_size)
                      for p in root.rglob("*") if p.is_file() and ".tmp" not in p.parts)


def fails(store, sql, *parts):
    """A statement that ends in an error which says all of that, and changes nothing."""
    before = store.objects()
    code, _, err = store.run("sql", sql)
    assert code == 1 and all(part in err for part in parts), f"{sql}: {code} {err}"
    assert store.objects() == before, f"{sql} left something behind"


class Skip(Exception):
    """A case that cannot run here, with the reason."""


def main(cases):
    """Runs functions and prints TAP; a failure shows its assertion."""
    print(f"1..{len(cases)}")
    failed = 0
    for number, case in enumerate(cases, 1):
        try:
            case()
            print(f"ok {number} - {case.__name__}")
        except Skip as reason:
            print(f"ok {number} - {case.__name__} # SKIP {reason}")
        except Exception as error:  # a test's failure, whatever it is, is reported
            failed += 1
            print(f"not ok {number} - {case.__name__}")
            for line in f"{type(error).__name__}: {error}".splitlines():
                print(f"# {line}")
        sys.stdout.flush()
    sys.exit(1 if failed else 0)
