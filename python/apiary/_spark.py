"""A Spark session in which the frames of a store are tables: what :meth:`Apiary.spark` does."""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import os
import pathlib
import shutil
import tempfile
import urllib.parse
import warnings
import weakref
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ._errors import ApiaryWarning, Error, NotSupportedError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from ._client import Apiary

PIP = 'pip install "pyspark==4.1.2" "delta-spark==4.4.0"'
DELTA_VERSION = "4.4.0"
SCALA = "2.13"
EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
DELTA = {"spark.sql.extensions": EXTENSION, "spark.sql.catalog.spark_catalog": CATALOG}
# Parquet's library in Spark 4.1 fails at LZ4 dictionaries of more than 8 KiB when it filters by them (docs/outgrowing.md).
CAREFUL = ("parquet.filter.dictionary.enabled", "false")
S3A = "org.apache.hadoop.fs.s3a.S3AFileSystem"

# Session -> store -> table -> place, as we made them: what is not in here is not ours to drop.
_made: weakref.WeakKeyDictionary[Any, dict[str, dict[tuple[str, str], str]]] = weakref.WeakKeyDictionary()


class Place(NamedTuple):
    """Where Spark finds what lies at a URI of ours, and what it has to know for that."""

    uri: str
    settings: dict[str, str]

    def below(self, location: str) -> str:
        return f"{self.uri.rstrip('/')}/{location}"


def place(uri: str) -> Place:
    """A URI of a store in the words of Hadoop.

    >>> place("local:///data/lake").uri
    'file:///data/lake'
    >>> place("s3://lake/home?region=eu-central-1")
    Place(uri='s3a://lake/home', settings={'fs.s3a.bucket.lake.endpoint.region': 'eu-central-1'})
    """
    scheme, mark, rest = uri.partition("://")
    if not mark:
        scheme, rest = "local", os.path.abspath(uri)
    if scheme in ("local", "file"):
        return Place("file://" + rest, {})
    if scheme == "s3":
        path, _, query = rest.partition("?")
        return Place(f"s3a://{path}", _s3a(path.partition("/")[0], dict(urllib.parse.parse_qsl(query))))
    if scheme == "memory":
        raise UsageError("Spark cannot see a store in memory", "open a directory or a bucket")
    raise NotSupportedError(f"Spark is not told about stores at {scheme}:// by this method", "docs/outgrowing.md says how to do it by hand")


def _s3a(bucket: str, options: Mapping[str, str]) -> dict[str, str]:
    """Settings of the bucket alone. Credentials are found by Spark itself, where AWS's tools look."""
    found: dict[str, str] = {}
    endpoint = options.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        found |= {"endpoint": endpoint, "connection.ssl.enabled": str(not endpoint.startswith("http://")).lower()}
    if endpoint or options.get("style") == "path":
        found["path.style.access"] = str(options.get("style") != "virtual").lower()
    if options.get("region"):
        found["endpoint.region"] = options["region"]
    if options.get("requester_pays") == "true":
        found["requester.pays.enabled"] = "true"
    if options.get("anonymous") == "true":
        found["aws.credentials.provider"] = "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider"
    return {f"fs.s3a.bucket.{bucket}.{key}": value for key, value in found.items()}


def session(db: Apiary, config: Mapping[str, object], hives: Iterable[str] | None) -> SparkSession:
    """A running session with the tables in it. See :meth:`Apiary.spark`."""
    root = place(str(db.status()["storage"]))
    chosen = None if hives is None else {name.lower() for name in ([hives] if isinstance(hives, str) else hives)}
    unknown = (chosen or set()) - {name.lower() for name in db.list_hives()}
    if unknown:
        raise UsageError(f"there is no hive '{min(unknown)}'")
    spark = _started({key: _text(value) for key, value in config.items()})
    if CAREFUL[0] not in config and f"spark.hadoop.{CAREFUL[0]}" not in config:
        spark.conf.set(*CAREFUL)
    left_out = _register(db, spark, root, chosen)
    if root.uri.startswith("s3a://"):
        warnings.warn("Spark's commits on S3 can overwrite others': let Spark read there, and write by Apiary", ApiaryWarning, stacklevel=3)
    if left_out:
        warnings.warn("left out of Spark: " + "; ".join(left_out), ApiaryWarning, stacklevel=3)
    return spark


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# ---- the session ----


def _started(config: dict[str, str]) -> SparkSession:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise NotSupportedError("PySpark is not installed", PIP) from None
    running = SparkSession.getActiveSession()
    if running is not None:
        if running.conf.get("spark.sql.catalog.spark_catalog", "") != CATALOG:
            raise UsageError(
                "the Spark session that runs in this process was started without Delta",
                "stop() it first, or start it with " + ", ".join(f"{key}={value}" for key, value in DELTA.items()),
            )
        _prove(running, EXTENSION, _coordinate())
        _change(running, config)
        return running
    if not shutil.which("java") and not os.environ.get("JAVA_HOME"):
        raise NotSupportedError("Spark needs Java, and there is no java on the PATH", "install a Java 17 or 21, or set JAVA_HOME")
    builder = SparkSession.builder.appName("apiary")
    for key, value in {**DELTA, **_jars(config), "spark.sql.warehouse.dir": _scratch(config), **config}.items():
        builder = builder.config(key, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:  # the kinds differ by release
        raise NotSupportedError(f"Spark did not start: {_said(error)}", f"its own output says why; Delta's library is {_coordinate()}") from error
    try:
        _prove(spark, EXTENSION, _coordinate())
    except NotSupportedError:
        spark.stop()
        raise
    return spark


def _said(error: Exception) -> str:
    """The line that says it, of an error that has passed through the JVM."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[1].lstrip(": ") if len(lines) > 1 and lines[0].startswith("An error occurred while calling") else lines[0]


def _change(running: SparkSession, config: Mapping[str, str]) -> None:
    late = []
    for key, value in config.items():
        if running.conf.isModifiable(key):
            running.conf.set(key, value)
        elif running.conf.get(key, None) != value and running.sparkContext.getConf().get(key, None) != value:
            late.append(key)
    if late:
        warnings.warn(f"the Spark session runs already, too late for {', '.join(late)}", ApiaryWarning, stacklevel=5)


def _coordinate() -> str:
    """Of Delta's library for the PySpark that is there."""
    release = ".".join(importlib.metadata.version("pyspark").split(".")[:2]) if _version("pyspark") else "4.1"
    return f"io.delta:delta-spark_{release}_{SCALA}:{_version('delta-spark') or DELTA_VERSION}"


def _version(package: str) -> str | None:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return None


def _jars(config: Mapping[str, str]) -> dict[str, str]:
    """Who has installed delta-spark by pip has no jar yet: Spark fetches it by its coordinate, once."""
    from pyspark.find_spark_home import _find_spark_home

    given = "spark.jars" in config or "spark.jars.packages" in config
    there = any(pathlib.Path(_find_spark_home(), "jars").glob("delta-spark_*.jar"))
    return {} if given or there or not _version("delta-spark") else {"spark.jars.packages": _coordinate()}


def _scratch(config: Mapping[str, str]) -> str:
    """Databases of Spark have a folder, even when all their tables lie elsewhere: not in the current directory."""
    if "spark.sql.warehouse.dir" in config:
        return config["spark.sql.warehouse.dir"]
    folder = tempfile.mkdtemp(prefix="apiary-spark-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _prove(spark: SparkSession, name: str, coordinate: str) -> None:
    """Fails unless the JVM can load a class."""
    jvm: Any = spark._jvm
    try:
        jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(name)
    except Exception:
        raise NotSupportedError(
            f"Spark cannot find {'Delta' if name == EXTENSION else 'S3'}'s library", f'spark(config={{"spark.jars.packages": "{coordinate}"}})'
        ) from None


# ---- the tables ----


def _word(name: str) -> str:
    """Spark's catalogue has letters, digits and underscores."""
    return name.replace("-", "_")


def database(hive: str, box: str) -> str:
    """What a box is called in Spark, whose names have one level less.

    >>> database("main", "sales"), database("lab", "raw-data")
    ('sales', 'lab__raw_data')
    """
    return _word(box) if hive.lower() == "main" else f"{_word(hive)}__{_word(box)}"


def _register(db: Apiary, spark: SparkSession, root: Place, chosen: set[str] | None) -> list[str]:
    """Makes the tables, drops those whose frames are gone; returns what is left out, and why."""
    made = _made.setdefault(spark, {}).setdefault(root.uri, {})
    left_out: list[str] = []
    wanted: dict[tuple[str, str], str] = {}
    for hive, box, frame, kind in [row[:4] for row in db._run("SHOW ALL FRAMES")]:
        if chosen is not None and hive.lower() not in chosen:
            continue
        name, key = f"{hive}.{box}.{frame}", (database(hive, box).lower(), _word(frame).lower())
        if kind != "frame":
            left_out.append(f"{name} (a view: its SQL is not Spark's)")
        elif key in wanted:
            left_out.append(f"{name} (another frame is called {'.'.join(key)} there)")
        elif key not in made and spark.catalog.tableExists(_quoted(key)):
            left_out.append(f"{name} (Spark has another table {'.'.join(key)})")
        else:
            wanted[key] = name
    places: dict[tuple[str, str], Place] = {}
    for key, name in wanted.items():
        try:
            places[key] = _place_of(db, root, name)
        except Error as error:
            left_out.append(f"{name} ({error})")
    for key in [key for key, uri in made.items() if _moved(places.get(key), uri) and (chosen is None or key in wanted)]:
        spark.sql(f"DROP TABLE IF EXISTS {_quoted(key)}")  # the entry; what lies at a LOCATION stays
        del made[key]
    for key, there in places.items():
        if key in made:
            continue
        if there.uri.startswith("s3a://"):
            _prove(spark, S3A, f"{_coordinate()},{_hadoop_aws(spark)}")
        try:
            _make(spark, key, there)
        except Exception as error:  # what Spark cannot read
            left_out.append(f"{wanted[key]} ({_said(error)})")
        else:
            made[key] = there.uri
    return left_out


def _moved(now: Place | None, then: str) -> bool:
    return now is None or now.uri != then


def _hadoop_aws(spark: SparkSession) -> str:
    jvm: Any = spark._jvm
    return f"org.apache.hadoop:hadoop-aws:{jvm.org.apache.hadoop.util.VersionInfo.getVersion()}"


def _place_of(db: Apiary, root: Place, name: str) -> Place:
    location = str(db.get_frame(*name.split("."))["location"])
    return place(location) if "://" in location or location.startswith("/") else Place(root.below(location), root.settings)


def _make(spark: SparkSession, key: tuple[str, str], there: Place) -> None:
    for setting, value in there.settings.items():
        spark.conf.set(setting, value)
    uri = there.uri.replace("\\", "\\\\").replace("'", "\\'")
    spark.sql(f"CREATE DATABASE IF NOT EXISTS `{key[0]}`")
    spark.sql(f"CREATE TABLE {_quoted(key)} USING delta LOCATION '{uri}'")


def _quoted(key: tuple[str, str]) -> str:
    return f"`{key[0]}`.`{key[1]}`"
