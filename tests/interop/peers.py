#!/usr/bin/env python3
"""Frames of Apiary read by deltalake, pyarrow and Polars; tables of deltalake read by Apiary; both writing.

Expected rows stand here as Python values, so no reader is compared only with itself. One case:
peers.py NAME."""

import concurrent.futures
import datetime
import decimal
import io
import math
import os
import pathlib
import shutil
import sys
import tempfile

import in_venv  # noqa: F401

import deltalake
import polars
import pyarrow
import pyarrow.ipc
import pyarrow.parquet
from apiary_cli import Store, main

D, UTC = decimal.Decimal, datetime.timezone.utc


# ---- one form for values of every reader ----

def plain(value):
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        zoned = value.tzinfo is not None
        return (value.astimezone(UTC) if zoned else value).strftime("%Y-%m-%d %H:%M:%S.%f") + ("Z" if zoned else "")
    if isinstance(value, dict):
        if set(value) == {"key", "value"}:  # an entry of a map, as Polars has it
            return [plain(value["key"]), plain(value["value"])]
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def rows_of(table):
    """Sorted rows of an Arrow table, or of tuples."""
    tuples = zip(*(column.to_pylist() for column in table.columns)) if isinstance(table, pyarrow.Table) else table
    return sorted((plain(row) for row in tuples), key=repr)


def arrow(table):
    """What deltalake's engine gives is Arrow of another library."""
    return pyarrow.table(table)


def by_deltalake(path, version=None):
    found = deltalake.QueryBuilder().register("t", deltalake.DeltaTable(str(path), version=version)).execute("SELECT * FROM t")
    return arrow(found if hasattr(found, "__arrow_c_stream__") else found.read_all())


def by_pyarrow(path, version=None):
    return deltalake.DeltaTable(str(path), version=version).to_pyarrow_table()


def by_polars(path, version=None):
    """Polars cannot open cells below a folder with a space in its name: it gets a copy."""
    if " " not in str(path):
        return polars.read_delta(str(path), version=version).to_arrow()
    with tempfile.TemporaryDirectory(prefix="apiary-polars-") as folder:
        return by_polars(shutil.copytree(path, folder + "/table"), version)


READERS = {"deltalake": by_deltalake, "pyarrow": by_pyarrow, "polars": by_polars}


class Frames(Store):
    """A store whose frame main.main.NAME lies at path(NAME)."""

    def path(self, name):
        return self.root / "main/main" / name

    def read(self, name, at=""):
        out = self.folder / "read.arrow"
        out.unlink(missing_ok=True)
        code, _, err = self.run("export", f"SELECT * FROM {name} {at}", out)
        assert code == 0, f"SELECT * FROM {name} {at}: {err}"
        return pyarrow.ipc.open_stream(io.BytesIO(out.read_bytes())).read_all()

    def same(self, name, expected, path=None, version=None, readers=("apiary", *READERS)):
        wanted = rows_of(expected)
        for reader in readers:
            if reader == "apiary":
                table = self.read(name, "" if version is None else f"AT (VERSION => {version})")
            else:
                table = READERS[reader](path or self.path(name), version)
            got = rows_of(table)
            odd = next((pair for pair in zip(got, wanted) if pair[0] != pair[1]), None)
            assert got == wanted, (f"{name} version {version} by {reader}: {len(got)} rows, expected {len(wanted)}; "
                                   f"first difference:\n{odd and odd[0]}\n{odd and odd[1]}")


# ---- written by Apiary ----

COLUMNS = [  # name, type, SQL values, what they are
    ("b", "BOOLEAN", ["true", "false"], [True, False]),
    ("i1", "TINYINT", ["-128", "127"], [-128, 127]),
    ("i2", "SMALLINT", ["-32768", "32767"], [-32768, 32767]),
    ("i4", "INTEGER", ["-2147483648", "2147483647"], [-2**31, 2**31 - 1]),
    ("i8", "BIGINT", ["-9223372036854775808", "9223372036854775807"], [-2**63, 2**63 - 1]),
    ("f4", "FLOAT", ["'NaN'::FLOAT", "'-0.0'::FLOAT"], [math.nan, -0.0]),
    ("f8", "DOUBLE", ["'-Infinity'::DOUBLE", "1e300"], [-math.inf, 1e300]),
    ("d9", "DECIMAL(9,2)", ["-9999999.99", "0.01"], [D("-9999999.99"), D("0.01")]),
    ("d18", "DECIMAL(18,0)", ["999999999999999999", "-1"], [D("999999999999999999"), D("-1")]),
    ("d38", "DECIMAL(38,10)", ["-1234567890123456789012345678.0123456789", "0"],
     [D("-1234567890123456789012345678.0123456789"), D("0.0000000000")]),
    ("s", "VARCHAR", ["'ünïcode \U0001F41D'", "''"], ["ünïcode \U0001F41D", ""]),
    ("long_s", "VARCHAR", ["repeat('ab', 5000)", "'%/\\ \"'"], ["ab" * 5000, "%/\\ \""]),
    ("x", "BLOB", ["'\\x00\\xFF'::BLOB", "''::BLOB"], [b"\x00\xff", b""]),
    ("day", "DATE", ["DATE '0001-01-01'", "DATE '9999-12-31'"], [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]),
    ("ntz", "TIMESTAMP", ["TIMESTAMP '1960-02-29 23:59:59.999999'", "TIMESTAMP '2200-01-01 00:00:00'"],
     [datetime.datetime(1960, 2, 29, 23, 59, 59, 999999), datetime.datetime(2200, 1, 1)]),
    ("tz", "TIMESTAMPTZ", ["TIMESTAMPTZ '2024-06-01 12:00:00.000001+02'", "TIMESTAMPTZ '1969-12-31 23:59:59+00'"],
     [datetime.datetime(2024, 6, 1, 10, 0, 0, 1, UTC), datetime.datetime(1969, 12, 31, 23, 59, 59, 0, UTC)]),
    ("l", "INTEGER[]", ["[1, NULL, 3]", "[]"], [[1, None, 3], []]),
    ("st", "STRUCT(a INTEGER, b VARCHAR)", ["{'a': 1, 'b': NULL}", "{'a': NULL, 'b': 'q'}"], [{"a": 1, "b": None}, {"a": None, "b": "q"}]),
    ("m", "MAP(VARCHAR, INTEGER)", ["MAP {'k': 1, 'n': NULL}", "MAP {}"], [[("k", 1), ("n", None)], []]),
    ("deep", "STRUCT(l STRUCT(x DATE)[])[]", ["[{'l': [{'x': DATE '2020-02-02'}, NULL]}]", "[NULL]"],
     [[{"l": [{"x": datetime.date(2020, 2, 2)}, None]}], [None]]),
]


def all_types():
    with Frames() as store:
        store.sql("CREATE FRAME t (" + ", ".join(f"{name} {kind}" for name, kind, *_ in COLUMNS) + ")")
        texts = ["(" + ", ".join(column[2][i] for column in COLUMNS) + ")" for i in range(2)]
        texts.append("(" + ", ".join("NULL" for _ in COLUMNS) + ")")
        store.sql("INSERT INTO t VALUES " + ", ".join(texts))
        expected = [tuple(column[3][i] for column in COLUMNS) for i in range(2)] + [(None,) * len(COLUMNS)]
        store.same("t", expected)


def mapped_types():
    """Types that Delta has not are written as the nearest one that it has."""
    with Frames() as store:
        store.sql("CREATE FRAME t AS SELECT 200::UTINYINT AS u1, 60000::USMALLINT AS u2, 4000000000::UINTEGER AS u4, "
                  "18446744073709551615::UBIGINT AS u8, 'a'::ENUM('a', 'b') AS e, "
                  "UUID '00000000-0000-0000-0000-0000000000ff' AS g, TIMESTAMP_S '2020-01-02 03:04:05' AS ts")
        store.same("t", [(200, 60000, 4000000000, D("18446744073709551615"), "a", "00000000-0000-0000-0000-0000000000ff",
                          datetime.datetime(2020, 1, 2, 3, 4, 5))])


ODD = ["plain", "a/b", "50% off", "x=y", "sp ace", "ünï", "q'uote\"", "c:\\d", "a+b&c?d#e", "..", "%2F", "{}[]^`", "__HIVE", "\U0001F41D", None]


def partitions_text():
    with Frames() as store:
        store.sql("CREATE FRAME t (n INTEGER, p VARCHAR) PARTITIONED BY (p)")
        text = ["NULL" if p is None else "'" + p.replace("'", "''") + "'" for p in ODD]
        store.sql("INSERT INTO t VALUES " + ", ".join(f"({n}, {p})" for n, p in enumerate(text)))
        expected = list(enumerate(ODD))
        store.same("t", expected)
        for n, p in enumerate(text):
            got = store.sql(f"SELECT n FROM t WHERE p IS NOT DISTINCT FROM {p}")[1:]
            assert got == [str(n)], f"p = {p}: {got}"


def partitions_typed():
    kinds = ["b", "i2", "i8", "d9", "day", "ntz", "tz"]
    with Frames() as store:
        for column in COLUMNS:
            if column[0] not in kinds:
                continue
            name = "t_" + column[0]
            store.sql(f"CREATE FRAME {name} (p {column[1]}, n INTEGER) PARTITIONED BY (p); "
                      f"INSERT INTO {name} VALUES ({column[2][0]}, 0), ({column[2][1]}, 1), (NULL, 2)")
            # deltalake gives pyarrow '-9999999.-99' for a negative decimal of a partition.
            readers = [reader for reader in ("apiary", *READERS) if (reader, column[0]) != ("pyarrow", "d9")]
            store.same(name, [(column[3][0], 0), (column[3][1], 1), (None, 2)], readers=readers)


def versions():
    """Appends, an overwrite, checkpoints: each version by each reader; then with the old log gone."""
    with Frames() as store:
        interval = ("--set", "checkpoint_interval=3")
        store.sql("CREATE FRAME t (i INTEGER, p INTEGER) PARTITIONED BY (p)", *interval)
        history = [[]]
        for version in range(1, 9):
            row = (version, version % 2)
            if version == 5:
                store.sql(f"INSERT OVERWRITE t VALUES {row}", *interval)
                history.append([row])
            else:
                store.sql(f"INSERT INTO t VALUES {row}", *interval)
                history.append([*history[-1], row])
        log = store.path("t") / "_delta_log"
        names = sorted(p.name for p in log.iterdir())
        assert f"{6:020d}.checkpoint.parquet" in names and "_last_checkpoint" in names, names
        for version, rows in enumerate(history):
            store.same("t", rows, version=version, readers=("apiary", *READERS) if version in (3, 5) else ("apiary", "deltalake"))
        store.same("t", history[-1])
        for version in range(6):
            (log / f"{version:020d}.json").unlink()
        (log / f"{3:020d}.checkpoint.parquet").unlink()
        store.same("t", history[-1])


def codecs():
    """The table says how its cells are compressed; what it says that nobody here writes is LZ4, as without a word."""
    with Frames() as store:
        store.sql("CREATE FRAME t (i INTEGER, p INTEGER) PARTITIONED BY (p)")
        expected = []
        for n, (said, written) in enumerate([(None, "LZ4"), ("zstd", "ZSTD"), ("SNAPPY", "SNAPPY"), ("gzip", "GZIP"), ("uncompressed", "UNCOMPRESSED"),
                                             ("brotli9", "LZ4"), ("lz4_raw", "LZ4")]):
            if said:
                store.sql(f"ALTER FRAME t SET PROPERTIES ('delta.parquet.compression.codec' = '{said}')")
            store.sql(f"INSERT INTO t VALUES ({n}, {n})")
            expected.append((n, n))
            (cell,) = (store.path("t") / f"p={n}").iterdir()
            found = pyarrow.parquet.ParquetFile(cell).metadata.row_group(0).column(0).compression
            assert found == written, (said, found)
        store.same("t", expected)
        store.sql("ALTER FRAME t SET PROPERTIES ('delta.parquet.compression.codec' = 'zstd'); DELETE FROM t WHERE p > 0; "
                  "INSERT INTO t VALUES (7, 0); OPTIMIZE t")
        (found,) = {pyarrow.parquet.ParquetFile(uri).metadata.row_group(0).column(0).compression
                    for uri in deltalake.DeltaTable(str(store.path("t"))).file_uris()}
        assert found == "ZSTD", found
        store.same("t", [(0, 0), (7, 0)])


# ---- written by deltalake ----

def table(rows):
    return pyarrow.table({"i": pyarrow.array([r[0] for r in rows], pyarrow.int64()),
                          "p": pyarrow.array([r[1] for r in rows], pyarrow.string()),
                          "at": pyarrow.array([r[2] for r in rows], pyarrow.timestamp("us", "UTC"))})


def moment(n):
    return datetime.datetime(2024, 1, 1, tzinfo=UTC) + datetime.timedelta(microseconds=n)


def from_deltalake():
    """Partitioned, a delete, an overwrite of a part, a checkpoint, and more behind it."""
    with Frames() as store:
        path = store.folder / "their table"
        rows = [(n, ODD[n % len(ODD)], moment(n)) for n in range(60)]
        deltalake.write_deltalake(str(path), table(rows), partition_by=["p"])
        store.sql(f"CREATE FRAME t LOCATION '{path}'")
        store.same("t", rows, path)
        theirs = deltalake.DeltaTable(str(path))
        theirs.delete("i % 7 = 0")
        left = [r for r in rows if r[0] % 7]
        store.same("t", left, path)
        theirs = deltalake.DeltaTable(str(path))
        theirs.create_checkpoint()
        store.same("t", left, path)
        store.sql(f"CREATE FRAME fresh LOCATION '{path}'")
        store.same("fresh", left, path)
        part = [(1000, "plain", moment(5))]
        deltalake.write_deltalake(str(path), table(part), mode="overwrite", predicate="p = 'plain'")
        left = [r for r in left if r[1] != "plain"] + part
        store.same("t", left, path)
        for version in range(2):
            (path / f"_delta_log/{version:020d}.json").unlink()
        store.same("t", left, path)
        store.sql("DROP FRAME fresh")
        assert path.exists(), "the table of a dropped LOCATION is gone"


def alternately():
    with Frames() as store:
        path = store.folder / "both"
        rows = [(0, "a", moment(0))]
        deltalake.write_deltalake(str(path), table(rows), partition_by=["p"], configuration={"delta.checkpointInterval": "3"})
        store.sql(f"CREATE FRAME t LOCATION '{path}'")
        for n in range(1, 10):
            p = ODD[n]
            if n % 2:
                quoted = p.replace("'", "''")
                store.sql(f"INSERT INTO t VALUES ({n}, '{quoted}', TIMESTAMPTZ '{moment(n).isoformat()}')")
            else:
                deltalake.write_deltalake(str(path), table([(n, p, moment(n))]), mode="append")
            rows.append((n, p, moment(n)))
        checkpoints = {int(p.name[:20]) for p in path.glob("_delta_log/*.checkpoint.parquet")}
        assert checkpoints >= {3, 9} and checkpoints - {3, 9}, f"both write checkpoints, not {checkpoints}"  # ours at 3, 6, 9
        store.same("t", rows, path)
        store.sql("INSERT OVERWRITE t SELECT * FROM t WHERE i < 3")
        store.same("t", rows[:3], path)


def writers_at_once():
    """Two processes of Apiary and two of deltalake append to one table: every row is there once."""
    each = 6
    with Frames() as store:
        path = store.folder / "both"
        deltalake.write_deltalake(str(path), table([(0, "start", moment(0))]))
        store.sql(f"CREATE FRAME t LOCATION '{path}'")

        def ours(who):
            text = "; ".join(f"INSERT INTO t VALUES ({n}, '{who}', TIMESTAMPTZ '{moment(n).isoformat()}')" for n in range(each))
            code, _, err = store.run("sql", text)
            assert code == 0, err

        def theirs(who):
            for n in range(each):
                deltalake.write_deltalake(str(path), table([(n, who, moment(n))]), mode="append")

        jobs = [(ours, "ours0"), (theirs, "theirs0"), (ours, "ours1"), (theirs, "theirs1")]
        with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
            for done in [pool.submit(job, who) for job, who in jobs]:
                done.result()
        expected = [(0, "start", moment(0))] + [(n, who, moment(n)) for _, who in jobs for n in range(each)]
        store.same("t", expected, path)
        version = deltalake.DeltaTable(str(path)).version()
        assert version == len(jobs) * each, f"version {version}"


if __name__ == "__main__":
    cases = [all_types, mapped_types, partitions_text, partitions_typed, versions, codecs, from_deltalake, alternately, writers_at_once]
    main([case for case in cases if len(sys.argv) < 2 or case.__name__ in sys.argv[1:]])
