"""The build backend of pyproject.toml (PEP 517), over Meson: one wheel with the package, the C
extension (stable ABI), the library, the chamber program and the engine.

    pip install .                                        builds in build-wheel and installs
    pip wheel . -w dist                                  leaves the wheel in dist
    pip wheel . -w dist --config-settings build-dir=build    takes an existing build folder

The build needs what docs/building.md names; the wheel needs no compiler and no headers.
"""

import base64
import gzip
import hashlib
import io
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME, VERSION = PROJECT["name"], PROJECT["version"]
ABI = "cp311-abi3"  # python/meson.build: Py_LIMITED_API
PROGRAMS = ["libapiary.so", "apiary", "apiary-bee", "libduckdb.so"]  # they find each other in one folder
WHEN = (2024, 1, 1, 0, 0, 0)  # in the archive: the same sources make the same wheel


def get_requires_for_build_wheel(config_settings=None):
    return []


def get_requires_for_build_sdist(config_settings=None):
    return []


# ---- building ----


def run(*command, **environment):
    try:
        subprocess.run([str(part) for part in command], cwd=ROOT, check=True, env={**os.environ, **environment})
    except FileNotFoundError as error:
        raise SystemExit(f"apiary: {command[0]} is needed to build: {error}") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"apiary: {' '.join(map(str, command))} failed with exit code {error.returncode} (docs/building.md says what is needed)") from None


def build(config_settings):
    given = (config_settings or {}).get("build-dir")
    folder = ROOT / (given or "build-wheel")
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    if not given:
        run(ROOT / "tools/fetch-deps", "build")
    if not (folder / "build.ninja").exists():
        shutil.rmtree(folder, ignore_errors=True)
        run("meson", "setup", folder, "-Dtests=false", "-Dwerror=false", PATH=path)
    if shutil.which("ninja", path=path) or not given:
        run("ninja", "--quiet", "-C", folder, PATH=path)
    return folder


def stripped(file, scratch):
    """The file without debugging information, where binutils are there."""
    if shutil.which("strip") is None or file.name == "libduckdb.so":
        return file
    copy = scratch / file.name
    shutil.copy2(file, copy)
    subprocess.run(["strip", "--strip-unneeded", str(copy)], check=True)
    return copy


# ---- the wheel ----


def metadata():
    lines = ["Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {VERSION}", f"Summary: {PROJECT['description']}",
             f"Requires-Python: {PROJECT['requires-python']}", f"License: {PROJECT['license']['text']}",
             *(f"Classifier: {word}" for word in PROJECT["classifiers"]), "Description-Content-Type: text/markdown", "",
             (ROOT / PROJECT["readme"]).read_text()]
    return "\n".join(lines)


def entry_points():
    return "[console_scripts]\n" + "".join(f"{name} = {target}\n" for name, target in PROJECT["scripts"].items())


def tag():
    return f"{ABI}-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def info_files():
    return {
        "METADATA": metadata(),
        "WHEEL": f"Wheel-Version: 1.0\nGenerator: apiary\nRoot-Is-Purelib: false\nTag: {tag()}\n",
        "entry_points.txt": entry_points(),
        "LICENSE": (ROOT / "LICENSE").read_text(),
    }


class Wheel:
    """A zip file that keeps its RECORD."""

    def __init__(self, path):
        self.zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6)
        self.record = []

    def add(self, name, data, mode=0o644):
        entry = zipfile.ZipInfo(name, WHEN)
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(entry, data)
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        self.record.append(f"{name},sha256={digest},{len(data)}\n")

    def close(self, info):
        name = f"{info}/RECORD"
        self.zip.writestr(zipfile.ZipInfo(name, WHEN), "".join(self.record) + f"{name},,\n")
        self.zip.close()


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    folder = build(config_settings)
    name = f"{NAME}-{VERSION}-{tag()}.whl"
    info = f"{NAME}-{VERSION}.dist-info"
    package = sorted(path for path in (folder / "python/apiary").iterdir() if path.is_file())
    with tempfile.TemporaryDirectory() as scratch:
        wheel = Wheel(pathlib.Path(wheel_directory) / name)
        for file in [*package, *(folder / program for program in PROGRAMS)]:
            binary = file.suffix == ".so" or os.access(file, os.X_OK)
            source = stripped(file, pathlib.Path(scratch)) if binary else file
            wheel.add(f"{NAME}/{file.name}", source.read_bytes(), 0o755 if binary else 0o644)
        for file, text in info_files().items():
            wheel.add(f"{info}/{file}", text.encode())
        wheel.close(info)
    return name


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    info = pathlib.Path(metadata_directory) / f"{NAME}-{VERSION}.dist-info"
    info.mkdir()
    for file, text in info_files().items():
        (info / file).write_text(text)
    return info.name


# ---- the source archive ----


def sources():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode == 0:
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in ROOT.rglob("*") if path.is_file() and not path.relative_to(ROOT).parts[0].startswith(("build", ".", "dist"))]


def build_sdist(sdist_directory, config_settings=None):
    base = f"{NAME}-{VERSION}"
    path = pathlib.Path(sdist_directory) / f"{base}.tar.gz"
    with open(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for source in sorted(sources()):
            if source.is_file():
                tar.add(source, f"{base}/{source.relative_to(ROOT)}")
        text = metadata().encode()
        entry = tarfile.TarInfo(f"{base}/PKG-INFO")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return path.name
