#!/usr/bin/env python3
"""Delta tables of other projects, read as their own readers read them.

The tables are not part of this project: AP_TESTDATA names the folder that holds their manifest.json
(default: ../shared/testdata/*/ beside the project); without it the test is skipped. One table:
conformance.py NAME."""

import glob
import hashlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("APIARY_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
APIARY = os.path.abspath(os.path.join(os.environ.get("APIARY_BUILD_DIR", SOURCE / "build"), "apiary"))
PYTHON = os.environ.get("APIARY_TEST_PYTHON", str(SOURCE / ".venv/bin/python"))
if os.path.exists(PYTHON) and not os.environ.get("APIARY_IN_VENV"):
    os.environ["APIARY_IN_VENV"] = "1"
    os.execv(PYTHON, [PYTHON, *sys.argv])


# Read by others, refused by us on purpose: the refusal must be clear.
REFUSED = {"dsp_variant-stats-no-checkpoint": "variant"}


def testdata():
    named = os.environ.get("AP_TESTDATA")
    found = [named] if named else glob.glob(str(SOURCE.parent / "shared/testdata/*/"))
    found = [folder for folder in found if os.path.exists(os.path.join(folder, "manifest.json"))]
    return pathlib.Path(found[0]) if found else None


class Client:
    """One store; every table is a frame with a LOCATION."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="apiary-conformance-")
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("APIARY_")}
        self.env.update(HOME=self.folder, APIARY_STORAGE=self.folder + "/store", TMPDIR=self.folder)

    def run(self, sql, form="arrow"):
        done = subprocess.run([APIARY, "sql", sql, "--format", form], env=self.env, capture_output=True, timeout=120, check=False)
        return done.returncode, done.stdout, done.stderr.decode(errors="replace").strip()

    def info(self, frame):
        """apiary_frame_info of the public library, in a process of its own."""
        code = ("import ctypes, sys; a = ctypes.CDLL(sys.argv[1]); h, s, t = (ctypes.c_void_p() for _ in range(3));"
                "e = ctypes.create_string_buffer(4096); n = ctypes.c_void_p;"
                "a.apiary_frame_info.argtypes = [n, ctypes.c_char_p, n, n];"
                "assert a.apiary_open(sys.argv[2].encode(), None, ctypes.c_size_t(0), ctypes.byref(h), e) == 0, e.raw[4:400];"
                "assert a.apiary_session_open(h, ctypes.byref(s), e) == 0, e.raw[4:400];"
                "assert a.apiary_frame_info(s, sys.argv[3].encode(), ctypes.byref(t), e) == 0, e.raw[4:400];"
                "print(ctypes.string_at(t.value).decode())")
        library = os.path.join(os.path.dirname(APIARY), "libapiary.so")
        done = subprocess.run([sys.executable, "-c", code, library, self.env["APIARY_STORAGE"], frame], env=self.env,
                              capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1])
        return json.loads(done.stdout)

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def table_of(raw):
    import pyarrow.ipc
    return pyarrow.ipc.open_stream(io.BytesIO(raw)).read_all() if raw else None


def copy_of(folder, name):
    """A table of its own for each test: nothing may be written to the originals."""
    target = pathlib.Path(tempfile.mkdtemp(prefix="apiary-table-")) / "table"
    shutil.copytree(folder / name, target)
    return target


def check(client, folder, entry, number):
    """A complaint, or None."""
    import canon
    path = copy_of(folder, entry["path"])
    frame = f"t{number}"
    log_before = sorted(p.name for p in path.glob("_delta_log/*"))
    try:
        code, _, err = client.run(f"CREATE FRAME {frame} LOCATION '{path}'", "csv")
        if code not in (0, 1):
            return f"exit {code}: {err}"
        if entry["expect"] == "refuse_read":
            if code == 1:
                return None if err.startswith("Error (") else f"no clear error: {err}"
            code, _, err = client.run(f"SELECT * FROM {frame}")
            return None if code == 1 and err.startswith("Error (") else f"was read in spite of {entry['features']}"
        if code:
            return err
        info = client.info(frame)
        if (info["version"], info["cell_count"]) != (entry["version"], entry["active_files"]):
            return f"version {info['version']} of {info['cell_count']} cells, expected {entry['version']} of {entry['active_files']}"
        if entry["expect"] == "log_only":
            return None
        code, raw, err = client.run(f"SELECT * FROM {frame}")
        if entry["name"] in REFUSED:
            return None if code == 1 and REFUSED[entry["name"]] in err else f"{code}: {err}"
        if code:
            return err
        rows = canon.rows(table_of(raw))
        expected = folder / pathlib.Path(entry["path"]).parent / "expected.jsonl"
        if expected.exists():
            wanted = sorted(line for line in expected.read_text().splitlines() if line)
            if rows != wanted:
                odd = next((pair for pair in zip(rows, wanted) if pair[0] != pair[1]), (len(rows), len(wanted)))
                return f"{len(rows)} rows, expected {len(wanted)}; first difference: {odd[0]!s:.300} != {odd[1]!s:.300}"
        elif (len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()) != (entry["rows"], entry["sha256"]):
            digest = hashlib.sha256(("\n".join(rows) + "\n").encode()).hexdigest()
            if (len(rows), digest) != (entry["rows"], entry["sha256"]):
                return f"{len(rows)} rows of {entry['rows']}; other values: {rows[:1]}"
        for version, count in (entry.get("rows_at_version") or {}).items():
            code, out, err = client.run(f"SELECT count(*) FROM {frame} AT (VERSION => {version})", "csv")
            if code or out.decode().split()[1] != str(count):
                return f"version {version}: {out.decode().split()} {err}, expected {count}"
        if entry.get("refuse_write"):
            first = table_of(raw).column_names[0]
            code, _, err = client.run(f'INSERT INTO {frame} BY NAME SELECT "{first}" FROM {frame} LIMIT 1', "csv")
            if code == 0:
                return "a write was not refused"
            if sorted(p.name for p in path.glob("_delta_log/*")) != log_before:
                return "a refused write changed the log"
        return None
    finally:
        client.run(f"DROP FRAME {frame}", "csv")
        shutil.rmtree(path.parent, ignore_errors=True)


def main():
    folder = testdata()
    if folder is None or not os.path.exists(PYTHON):
        print("1..0 # SKIP AP_TESTDATA names no folder with tables, or .venv is missing (tools/fetch-deps test)")
        return 77
    sys.path.insert(0, str(folder))
    tables = json.loads((folder / "manifest.json").read_text())["tables"]
    if len(sys.argv) > 1:
        tables = [entry for entry in tables if entry["name"] in sys.argv[1:]]
    client, failed = Client(), 0
    print(f"1..{len(tables)}")
    for number, entry in enumerate(tables, 1):
        try:
            complaint = check(client, folder, entry, number)
        except Exception as error:  # whatever it is, it is this table's failure
            complaint = f"{type(error).__name__}: {error}"
        if complaint and entry.get("informative"):
            print(f"ok {number} - {entry['name']} # informative: {complaint}".replace("\n", " "))
        elif complaint:
            failed += 1
            print(f"not ok {number} - {entry['name']}\n# " + str(complaint).replace("\n", " ")[:600])
        else:
            print(f"ok {number} - {entry['name']}")
        sys.stdout.flush()
    client.close()
    return 1 if failed else 0


sys.exit(main())
