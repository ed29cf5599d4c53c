"""PySpark with Delta's jars, as tools/fetch-deps spark brought them: one JVM for all cases of a script."""

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "interop"))
from in_venv import PYTHON, SOURCE  # noqa: E402


def skip(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(77)


def places():
    """Folders of PySpark, py4j and the two jars; skips the script where something is missing."""
    if not shutil.which("java"):
        skip("there is no java on this machine")
    done = subprocess.run([str(SOURCE / "tools/fetch-deps"), "--path", "pyspark", "py4j", "delta-spark", "delta-storage"],
                          capture_output=True, text=True, check=True)
    found = [pathlib.Path(line) for line in done.stdout.splitlines()]
    if not all(folder.is_dir() for folder in found):
        skip("PySpark and Delta's jars are missing (tools/fetch-deps spark)")
    return found


PYSPARK, PY4J, *JAR_FOLDERS = places()
SCRATCH = tempfile.TemporaryDirectory(prefix="apiary-spark-tests-")  # Spark would make folders where it stands
JARS = [str(jar) for folder in JAR_FOLDERS for jar in folder.glob("*.jar")]
sys.path[:0] = [str(PYSPARK), str(PY4J)]
os.environ.update(SPARK_HOME=str(PYSPARK / "pyspark"), SPARK_LOCAL_IP="127.0.0.1", PYSPARK_PYTHON=PYTHON, TZ="UTC",
                  PYTHONPATH=f"{PYSPARK}:{PY4J}")
BUILD = pathlib.Path(os.environ.get("APIARY_BUILD_DIR", SOURCE / "build")).absolute()
sys.path.insert(0, str(BUILD / "python"))

import peers  # noqa: E402

for name in ("APIARY_IN_VENV", "APIARY_TEST_PYTHON"):  # no settings: the package would refuse them
    os.environ.pop(name, None)

QUICK = {  # short statements over small tables: nothing is worth compiling twice
    "spark.driver.memory": "1g", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.log.level": "OFF",
    "spark.sql.shuffle.partitions": "1", "spark.sql.codegen.wholeStage": "false", "spark.sql.adaptive.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1", "spark.sql.session.timeZone": "UTC",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "1",
}
DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}


@functools.cache
def session():
    from pyspark.sql import SparkSession
    builder = SparkSession.builder.master("local[1]").appName("apiary-tests")
    for key, value in {**QUICK, **DELTA, "spark.jars": ",".join(JARS), "spark.sql.warehouse.dir": SCRATCH.name}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def spark(text):
    """Rows of a statement of Spark's, as tuples."""
    return [tuple(row) for row in session().sql(text).collect()]


def frame_of(path, version=None):
    reader = session().read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(str(path))


def by_spark(path, version=None):
    return frame_of(path, version).toArrow()


peers.READERS["spark"] = by_spark


class Frames(peers.Frames):
    """A store whose frames Apiary and Spark read; the other readers have tests/interop."""

    def same(self, name, expected, path=None, version=None, readers=("apiary", "spark")):
        super().same(name, expected, path, version, readers)


def table(path):
    """A table by its place, as Spark's SQL names it."""
    return f"delta.`{path}`"


def history(path):
    """Operations by version, as Spark tells them."""
    rows = session().sql(f"DESCRIBE HISTORY {table(path)}").select("version", "operation", "engineInfo").collect()
    return {row[0]: (row[1], (row[2] or "?").split("/")[0]) for row in rows}


def refusal(call):
    """The text of the error that a call must end with."""
    try:
        call()
    except Exception as error:  # Spark's kinds are many
        return str(error).split("\n\tat ")[0]  # without what the JVM has to say about its stack
    raise AssertionError("this was not refused")
