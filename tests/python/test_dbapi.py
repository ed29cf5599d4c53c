#!/usr/bin/env python3
"""apiary.dbapi as PEP 249 has it."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal
import threading

import pytest

import apiary
from apiary import dbapi
from conftest import SETTINGS


@pytest.fixture
def connection(tmp_path):
    with dbapi.connect(tmp_path / "store", **SETTINGS) as opened:
        yield opened


def test_the_module():
    assert (dbapi.apilevel, dbapi.threadsafety, dbapi.paramstyle) == ("2.0", 1, "qmark")
    assert issubclass(dbapi.Warning, Exception) and issubclass(dbapi.Error, Exception)
    assert issubclass(dbapi.InterfaceError, dbapi.Error) and issubclass(dbapi.DatabaseError, dbapi.Error)
    for name in ("DataError", "OperationalError", "IntegrityError", "InternalError", "ProgrammingError", "NotSupportedError"):
        assert issubclass(getattr(dbapi, name), dbapi.DatabaseError)
        assert getattr(dbapi.Connection, name) is getattr(dbapi, name)
    assert issubclass(dbapi.Error, apiary.Error)
    assert dbapi.Date(2024, 1, 2) == datetime.date(2024, 1, 2) and dbapi.Time(1, 2, 3) == datetime.time(1, 2, 3)
    assert dbapi.Timestamp(2024, 1, 2, 3) == datetime.datetime(2024, 1, 2, 3) and dbapi.Binary(b"x") == b"x"
    now = 1_700_000_000
    assert dbapi.TimestampFromTicks(now) == datetime.datetime.fromtimestamp(now)
    assert dbapi.DateFromTicks(now) == datetime.date.fromtimestamp(now)
    assert dbapi.TimeFromTicks(now) == datetime.datetime.fromtimestamp(now).time()
    assert set(dbapi.__all__) <= set(dir(dbapi))


def test_a_whole_life(connection):
    cursor = connection.cursor()
    assert cursor.description is None and cursor.rowcount == -1 and cursor.arraysize == 1 and cursor.connection is connection
    assert cursor.execute("CREATE FRAME booze (name TEXT, price DECIMAL(6,2))") is cursor
    assert cursor.description is None
    cursor.execute("INSERT INTO booze VALUES ('Victoria Bitter', 4.50)")
    assert cursor.rowcount == 1
    cursor.execute("INSERT INTO booze VALUES (?, ?)", ("Cooper's", decimal.Decimal("5.10")))
    cursor.executemany("INSERT INTO booze VALUES (?, ?)", [("Carlton", 3), ("Redback", None), ("Boag's", 2)])
    assert cursor.rowcount == 3
    connection.commit()
    cursor.execute("SELECT name, price FROM booze ORDER BY name")
    assert cursor.rowcount in (-1, 5)
    assert [len(column) for column in cursor.description] == [7, 7]
    assert [(column[0], column[1], column[4], column[5]) for column in cursor.description] == [
        ("name", "string", None, None), ("price", "decimal(6,2)", 6, 2)]  # fmt: skip
    assert cursor.description[0][1] == dbapi.STRING and cursor.description[1][1] == dbapi.NUMBER and cursor.description[0][1] != dbapi.NUMBER
    assert cursor.fetchone() == ("Boag's", decimal.Decimal("2.00")) and cursor.rownumber == 1
    assert [row[0] for row in cursor.fetchmany()] == ["Carlton"]
    cursor.arraysize = 2
    assert [row[0] for row in cursor.fetchmany()] == ["Cooper's", "Redback"]
    assert [row[0] for row in cursor.fetchall()] == ["Victoria Bitter"]
    assert cursor.fetchone() is None and cursor.fetchall() == [] and cursor.fetchmany(3) == []
    assert [row[0] for row in cursor.execute("SELECT name FROM booze WHERE price IS NULL")] == ["Redback"]
    cursor.setinputsizes([10])
    cursor.setoutputsize(1000, 1)


def test_types(connection):
    cursor = connection.cursor()
    cursor.execute("SELECT 1, 1.5::DOUBLE, 'x', 'x'::BLOB, DATE '2024-01-02', TIMESTAMP '2024-01-02 03:04:05', TRUE, TIME '01:02:03'")
    kinds = [column[1] for column in cursor.description]
    assert [kind == dbapi.NUMBER for kind in kinds] == [True, True, False, False, False, False, True, False]
    assert [kind == dbapi.STRING for kind in kinds] == [False, False, True, False, False, False, False, False]
    assert [kind == dbapi.BINARY for kind in kinds] == [False, False, False, True, False, False, False, False]
    assert [kind == dbapi.DATETIME for kind in kinds] == [False, False, False, False, True, True, False, True]
    assert len({dbapi.STRING, dbapi.BINARY, dbapi.NUMBER, dbapi.DATETIME, dbapi.ROWID}) == 5
    assert dbapi.STRING != dbapi.NUMBER and dbapi.STRING == dbapi.STRING
    values = (1, 0.5, "x", b"\0", dbapi.Date(2024, 1, 2), dbapi.Timestamp(2024, 1, 2, 3, 4, 5), None)
    assert cursor.execute("SELECT ?, ?, ?, ?, ?, ?, ?", values).fetchone() == values


def test_commit_and_rollback(connection):
    cursor = connection.cursor()
    connection.rollback()  # nothing was written
    cursor.execute("SELECT 1")
    connection.rollback()
    cursor.execute("/* a comment */ CREATE FRAME t (a BIGINT)")
    with pytest.raises(dbapi.NotSupportedError):
        connection.rollback()
    connection.commit()
    connection.rollback()
    cursor.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(dbapi.NotSupportedError) as caught:
        connection.rollback()
    assert caught.value.code == "UNSUPPORTED" and cursor.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_many_rows_are_few_commits(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE FRAME t (a BIGINT, b TEXT)")
    cursor.executemany("insert into t values ( ?, ? ) ;", [(i, str(i)) for i in range(6000)])
    assert cursor.rowcount == 6000
    assert cursor.execute("SELECT count(*), sum(a), max(b) FROM t").fetchone() == (6000, sum(range(6000)), "999")
    assert len(cursor.execute("SHOW HISTORY t").fetchall()) == 3
    cursor.executemany("INSERT INTO t SELECT ?, 'x'", [(1,), (2,)])  # not of that form: one by one
    assert cursor.rowcount == 2
    cursor.executemany("INSERT INTO t VALUES (?, ?)", [])
    assert cursor.rowcount == -1


@pytest.mark.parametrize(
    "statement, kind, code",
    [
        ("SELEC 1", dbapi.ProgrammingError, "SQL"),
        ("SELECT * FROM nowhere", dbapi.ProgrammingError, "NOT_FOUND"),
        ("CREATE HIVE main", dbapi.IntegrityError, "EXISTS"),
        ("INSERT INTO t VALUES ('x')", dbapi.DatabaseError, None),
        ("ATTACH 'x'", dbapi.NotSupportedError, "UNSUPPORTED"),
    ],
)
def test_errors(connection, statement, kind, code):
    cursor = connection.cursor()
    cursor.execute("CREATE FRAME t (a BIGINT)")
    with pytest.raises(kind) as caught:
        cursor.execute(statement)
    assert isinstance(caught.value, dbapi.Error) and isinstance(caught.value.__cause__, apiary.Error)
    assert code is None or caught.value.code == code
    with pytest.raises(dbapi.Error):
        cursor.fetchone()  # there is no result


def test_wrong_use(connection):
    cursor = connection.cursor()
    for fetch in (cursor.fetchone, cursor.fetchmany, cursor.fetchall):
        with pytest.raises(dbapi.Error):
            fetch()
    cursor.execute("CREATE FRAME t (a BIGINT)")
    with pytest.raises(dbapi.ProgrammingError, match="no rows"):
        cursor.fetchall()
    cursor.close()
    with pytest.raises(dbapi.Error, match="closed"):
        cursor.execute("SELECT 1")
    other = connection.cursor()
    connection.close()
    connection.close()
    for call in (connection.cursor, connection.commit, connection.rollback, lambda: other.execute("SELECT 1")):
        with pytest.raises(dbapi.Error, match="closed"):
            call()
    with pytest.raises(dbapi.Error):
        dbapi.connect("ftp://nowhere")


def test_sharing_a_store(db):
    db.sql("CREATE FRAME t AS SELECT 1 AS a")
    with dbapi.connect(db) as one, dbapi.connect(db) as two, one.cursor() as cursor:
        assert cursor.execute("SELECT a FROM t").fetchone() == two.cursor().execute("SELECT a FROM t").fetchone() == (1,)
    assert db.sql("SELECT 1").scalar() == 1  # its owner closes it


def test_threads_share_the_module(tmp_path):
    failures = []

    def work(number):
        try:
            with dbapi.connect("memory://", **{**SETTINGS, "bees": 1, "memory_limit": "512MB"}) as connection:
                assert connection.cursor().execute("SELECT ?", (number,)).fetchone() == (number,)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_pandas_reads_from_a_cursor(connection):
    pandas = pytest.importorskip("pandas")
    cursor = connection.cursor().execute("SELECT range AS n FROM range(3)")
    frame = pandas.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description])
    assert frame["n"].tolist() == [0, 1, 2]
