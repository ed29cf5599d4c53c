#!/usr/bin/env python3
"""sql(): parameters, tables of the caller, errors, several statements."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal
import random
import re
import uuid

import pytest

import apiary

UTC = datetime.timezone.utc


def test_rows(shared):
    assert shared.sql("SELECT 42 AS answer, 'x' AS word").fetchall() == [(42, "x")]


@pytest.mark.parametrize(
    "value, back",
    [
        (None, None),
        (True, True),
        (7, 7),
        (-(2**63), -(2**63)),
        (2**63, 2**63),
        (2**64 - 1, 2**64 - 1),
        (1.5, 1.5),
        (float("inf"), float("inf")),
        ("text", "text"),
        ("it's \u00e4 \U0001f41d", "it's \u00e4 \U0001f41d"),
        ("", ""),
        (b"\x00\xff", b"\x00\xff"),
        (datetime.date(2024, 2, 29), datetime.date(2024, 2, 29)),
        (datetime.date(1, 1, 1), datetime.date(1, 1, 1)),
        (datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), datetime.datetime(2024, 1, 2, 3, 4, 5, 678901)),
        (datetime.datetime(1900, 1, 1), datetime.datetime(1900, 1, 1)),
        (datetime.datetime(2024, 1, 2, tzinfo=UTC), datetime.datetime(2024, 1, 2, tzinfo=UTC)),
        (datetime.time(1, 2, 3, 4), datetime.time(1, 2, 3, 4)),
        (decimal.Decimal("12.50"), decimal.Decimal("12.50")),
        ([1, 2, None], [1, 2, None]),
        (uuid.UUID(int=5), str(uuid.UUID(int=5))),
    ],
    ids=repr,
)
def test_parameters_come_back(shared, value, back):
    assert shared.sql("SELECT ?", [value]).scalar() == back
    assert shared.sql("SELECT $v", {"v": value}).scalar() == back


def test_numpy_scalars_are_parameters(shared):
    numpy = pytest.importorskip("numpy")
    assert shared.sql("SELECT ?, ?, ?", [numpy.int32(5), numpy.float64(0.5), numpy.bool_(True)]).fetchall() == [(5, 0.5, True)]


def test_numbered_parameters(shared):
    assert shared.sql("SELECT $2, $1", ["a", "b"]).fetchall() == [("b", "a")]


@pytest.mark.parametrize("params", ["text", 5, [object()], {"a": object()}, [decimal.Decimal("NaN")]], ids=repr)
def test_wrong_parameters(shared, params):
    with pytest.raises((apiary.Error, TypeError)):
        shared.sql("SELECT 1", params)


def test_parameters_leave_cells_out(db):
    db.sql("CREATE FRAME f PARTITIONED BY (p) AS SELECT range AS i, range // 10 AS p FROM range(40)")
    for condition, params in [("p = $1", [2]), ("i BETWEEN ? AND ?", [11, 12]), ("p = $x::BIGINT", {"x": "2"}), ("i IN (?, ?)", [25, decimal.Decimal("26")])]:
        text = "\n".join(row[0] for row in db.sql(f"EXPLAIN SELECT * FROM f WHERE {condition}", params))
        assert "reads 1 of 4 cells" in text, (condition, text)


def test_parameters_leave_no_rows_out(db):
    """The same answers where no cell can be left out."""
    columns = {
        "a BIGINT": [-3, 2, 7], "b DOUBLE": ["-1.5", 2, 1e30, "nan"], "c FLOAT": [0.1, 2, 16777217], "d DECIMAL(9,2)": [-1.5, 2, 7.25],
        "e TEXT": ["", "2", "7", "x", "2024-02-29"], "g DATE": ["2024-02-29", "1969-12-31"], "h TIMESTAMP": ["2024-02-29 12:00:00", "1969-12-31"],
        "t TIMESTAMPTZ": ["2024-02-29 12:00:00+00", "1969-12-31 00:00:00+00"], "o BOOLEAN": ["true", "false"],
    }
    moment = datetime.datetime(2024, 2, 29, 12)
    values = [2, -3, 2**63, 2.0, 0.1, float("nan"), decimal.Decimal("2.00"), decimal.Decimal("-1.5"), "2", "", "2024-02-29", moment.date(), moment, moment.replace(tzinfo=UTC), True, None]
    db.sql(f"CREATE FRAME f ({', '.join(columns)})")
    for row in range(5):
        db.sql("INSERT INTO f VALUES (" + ", ".join(f"'{kind[row]}'" if row < len(kind) else "NULL" for kind in columns.values()) + ")")
    every = [(column.split()[0], value, test) for column in columns for value in values for test in ("= $1", "> $1", "IN ($1, $1)")]
    asked = 0
    for name, value, test in random.Random(3).sample(every, 60):
        answers = []
        for source in ("f", "(SELECT * FROM f LIMIT 1000000)"):
            try:
                answers.append(db.sql(f"SELECT count(*) FROM {source} WHERE {name} {test}", [value]).scalar())
            except apiary.SQLError as error:
                answers.append(type(error))
        assert answers[0] == answers[1], (name, test, value)
        asked += isinstance(answers[0], int)
    assert asked > 20


def test_replaced_with_other_partitions(db):
    """Cells that are on their way out have other values of partition columns, or none: they do not count."""
    db.sql("CREATE FRAME f AS SELECT range AS i FROM range(40)")
    db.sql("CREATE OR REPLACE FRAME f PARTITIONED BY (p) AS SELECT range AS i, range // 10 AS p FROM range(40)")
    assert db.sql("SELECT count(DISTINCT p) FROM f WHERE p > 0").scalar() == 3
    db.sql("SET max_partitions = 5")
    db.sql("CREATE OR REPLACE FRAME f PARTITIONED BY (q, r) AS SELECT range AS i, range % 2 AS q, 'r' AS r FROM range(40)")
    db.sql("CREATE OR REPLACE FRAME f PARTITIONED BY (p) AS SELECT range AS i, range % 4 AS p FROM range(40)")
    assert db["main.main.f"].info()["partition_by"] == ["p"]
    with pytest.raises(apiary.Error, match="would have 6 partitions"):
        db.sql("INSERT INTO f VALUES (1, 7), (1, 8)")


def test_merge_schema(db):
    db.sql("CREATE FRAME f (i BIGINT NOT NULL, p TEXT) PARTITIONED BY (p)")
    frame = db["main.main.f"]
    frame.append({"i": [1], "p": ["a"]})
    more = {"i": [2], "p": ["b"], "x": [1.5], "s": [{"a": 1}]}
    with pytest.raises(apiary.SchemaError, match='no column "x"'):
        frame.append(more)
    with pytest.warns(apiary.ApiaryWarning, match='column "[xs]" was added'):
        assert frame.append(more, merge_schema=True)["version"] == 2
    frame.append({"i": [3], "p": ["b"]})
    wrong = {"i": ["x"], "p": ["c"], "y": [1]}  # nothing of it is taken, not even y
    with pytest.raises(apiary.SchemaError, match='"i"'):
        frame.append(wrong, merge_schema=True)
    assert db.sql("SELECT * FROM f ORDER BY i").fetchall() == [(1, "a", None, None), (2, "b", 1.5, {"a": 1}), (3, "b", None, None)]


def test_too_few_parameters(shared):
    with pytest.raises(apiary.Error):
        shared.sql("SELECT ?, ?", [1])


def test_statement_must_be_text(shared):
    with pytest.raises(apiary.UsageError):
        shared.sql(b"SELECT 1")


def test_wrong_statement(shared):
    with pytest.raises(apiary.SQLError) as caught:
        shared.sql("SELEC 1")
    assert caught.value.code == "SQL"
    assert isinstance(caught.value, RuntimeError)


def test_unknown_frame_is_named(shared):
    with pytest.raises(apiary.NotFoundError, match="no_such_thing") as caught:
        shared.sql("SELECT * FROM no_such_thing")
    assert caught.value.code == "NOT_FOUND"


def test_several_statements(db):
    assert db.sql("CREATE FRAME t AS SELECT 1 AS a; INSERT INTO t VALUES (2); SELECT sum(a) FROM t").scalar() == 3


def test_stops_at_the_first_error(db):
    with pytest.raises(apiary.NotFoundError, match="statement 2"):
        db.sql("CREATE FRAME t AS SELECT 1 AS a; SELECT * FROM nowhere; CREATE FRAME u AS SELECT 1 AS a")
    assert db.list_frames("main", "main") == ["t"]


def test_statement_without_rows(db):
    result = db.sql("CREATE FRAME t (a INTEGER)")
    assert result.columns == []
    assert len(result) == 0
    assert "t" in result.message
    assert repr(result) == result.message
    with pytest.raises(apiary.UsageError, match="no rows"):
        result.fetchall()
    with pytest.raises(apiary.UsageError, match="no rows"):
        _ = result.schema


def test_rows_changed(db):
    db.sql("CREATE FRAME t (a INTEGER)")
    assert db.sql("INSERT INTO t VALUES (1), (2)").rows_changed == 2


# ---- tables of the caller ----


def test_finds_local_variables(shared):
    pyarrow = pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    pandas = pytest.importorskip("pandas")
    arrow_table = pyarrow.table({"a": [1, 2, 3]})
    polars_frame = polars.DataFrame({"a": [1, 2, 3]})
    polars_lazy = polars.LazyFrame({"a": [1, 2, 3]})
    pandas_frame = pandas.DataFrame({"a": [1, 2, 3]})
    batch = pyarrow.record_batch({"a": [1, 2, 3]})
    result = shared.sql("SELECT unnest([1, 2, 3]) AS a")
    used = [arrow_table, polars_frame, polars_lazy, pandas_frame, batch, result]
    assert len(used) == 6
    for name in ("arrow_table", "polars_frame", "polars_lazy", "pandas_frame", "batch", "result"):
        assert shared.sql(f"SELECT sum(a) FROM {name}").scalar() == 6, name
    assert shared.sql("SELECT count(*) FROM arrow_table JOIN polars_frame USING (a)").scalar() == 3


def test_finds_them_in_any_case_and_as_globals(shared):
    pyarrow = pytest.importorskip("pyarrow")
    MyTable = pyarrow.table({"a": [1]})
    assert MyTable is not None
    assert shared.sql("SELECT a FROM mytable").scalar() == 1
    globals()["table_of_the_module"] = pyarrow.table({"a": [2]})
    assert shared.sql("SELECT a FROM table_of_the_module").scalar() == 2


def test_search_can_be_turned_off(shared, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    local = pyarrow.table({"a": [1]})
    with pytest.raises(apiary.NotFoundError):
        shared.sql("SELECT * FROM local", replacement_scan=False)
    with apiary.open("memory://", replacement_scan=False, bees=1, memory_limit="512MB") as strict:
        with pytest.raises(apiary.NotFoundError):
            strict.sql("SELECT * FROM local")
        assert strict.sql("SELECT * FROM local", replacement_scan=True).scalar() == 1
    assert local is not None


def test_frames_come_before_variables(db):
    pyarrow = pytest.importorskip("pyarrow")
    db.sql("CREATE FRAME t AS SELECT 'frame' AS a")
    t = pyarrow.table({"a": ["variable"]})
    assert db.sql("SELECT a FROM t").scalar() == "frame"
    assert db.sql("SELECT a FROM t", tables={"t": t}).scalar() == "variable"


def test_what_is_no_table_is_not_found(shared):
    number = 5
    rows = [{"a": 1}]
    assert number + len(rows) == 6
    for name in ("number", "rows"):
        with pytest.raises(apiary.NotFoundError):
            shared.sql(f"SELECT * FROM {name}")


def test_variables_into_a_frame(db):
    pyarrow = pytest.importorskip("pyarrow")
    source = pyarrow.table({"a": [1, 2]})
    assert source is not None
    db.sql("CREATE FRAME t AS SELECT * FROM source")
    db.sql("INSERT INTO t SELECT a + 10 FROM source")
    assert sorted(db.sql("SELECT a FROM t")) == [(1,), (2,), (11,), (12,)]


def test_tables_by_name(shared):
    assert shared.sql("SELECT sum(n) FROM numbers", tables={"numbers": [{"n": 1}, {"n": 2}]}).scalar() == 3
    assert shared.sql("SELECT sum(n) FROM numbers", tables={"numbers": {"n": [1, 2, 3]}}).scalar() == 6


def test_rows_are_not_chosen_by_a_table_that_is_read_once(db):
    """DELETE and UPDATE read the cells twice: a condition over the caller's table would find it empty."""
    db.sql("CREATE FRAME t AS SELECT range AS i, 0 AS n FROM range(1000)")
    mine = {"i": list(range(500))}
    for statement in ("DELETE FROM t WHERE i NOT IN (SELECT i FROM mine)", "UPDATE t SET n = 1 WHERE i IN (SELECT i FROM mine)"):
        with pytest.raises(apiary.NotSupportedError, match="cannot read mine, a table of the caller") as raised:
            db.sql(statement, tables={"mine": mine})
        assert "CREATE TEMP FRAME" in raised.value.hint
    assert db.sql("SELECT count(*), sum(n) FROM t").fetchone() == (1000, 0)
    with db.session() as session:
        session.sql("CREATE TEMP FRAME chosen AS SELECT * FROM mine", tables={"mine": mine})
        assert session.sql("DELETE FROM t WHERE i NOT IN (SELECT i FROM chosen)").rows_changed == 500
        assert session.sql("UPDATE t SET n = 1 WHERE i IN (SELECT i FROM chosen WHERE i < 10)").rows_changed == 10
    assert db.sql("SELECT count(*), sum(n) FROM t").fetchone() == (500, 10)


def test_parameters_of_an_update(db):
    """Condition and values are put together in another order than they were written, and more than once."""
    db.sql("CREATE FRAME t AS SELECT range AS i, 0 AS n, 'x' AS s FROM range(10)")
    assert db.sql("UPDATE t SET n = ? WHERE i = ?", [5, 7]).rows_changed == 1
    assert db.sql("UPDATE t SET n = ? + i, s = '?' || ? /* ? */ WHERE i BETWEEN ? AND ?AND s <> ?", [50, "y", 2, 3, "z"]).rows_changed == 2
    assert db.sql("UPDATE t SET n = (SELECT max(i) FROM t WHERE i < ?) WHERE i = ?", [5, 9]).rows_changed == 1
    assert db.sql("UPDATE t SET n = ?2 WHERE i = ?1", [1, 8]).rows_changed == 1
    changed = db.sql("SELECT * FROM t WHERE n <> 0 ORDER BY i").fetchall()
    assert changed == [(1, 8, "x"), (2, 52, "?y"), (3, 53, "?y"), (7, 5, "x"), (9, 4, "x")]
    with pytest.raises(apiary.SQLError, match="2 parameters, 1 value"):
        db.sql("UPDATE t SET n = ? WHERE i = ?", [1])


def test_queries_of_an_update_are_asked_of_rows_that_are_meant(db):
    db.sql("CREATE FRAME t (i INTEGER, n INTEGER, s VARCHAR); INSERT INTO t VALUES (1, 0, 'a'), (2, 0, 'b'), (3, 0, NULL)")
    db.sql("CREATE FRAME w (i INTEGER, v INTEGER); INSERT INTO w VALUES (1, 10), (2, 20), (2, 21)")
    assert db.sql("UPDATE t AS x SET n = (SELECT v FROM w WHERE w.i = x.i), s = x.s || '!' WHERE x.i = 1").rows_changed == 1
    assert db.sql("SELECT * FROM t ORDER BY i").fetchall() == [(1, 10, "a!"), (2, 0, "b"), (3, 0, None)]
    with pytest.raises(apiary.SQLError, match="More than one row"):
        db.sql("UPDATE t SET n = (SELECT v FROM w WHERE w.i = t.i) WHERE i > 1")
    assert db.sql("UPDATE t SET n = (SELECT v FROM w WHERE w.i = t.i) WHERE s IS NULL OR i = 1").rows_changed == 2
    assert db.sql("SELECT n FROM t ORDER BY i").fetchall() == [(10,), (0,), (None,)]


def test_instants_without_a_zone_are_replaced(db, tmp_path):
    """deltalake writes instants of partitions without a zone; they are UTC, whatever the session's zone is."""
    deltalake = pytest.importorskip("deltalake")
    pyarrow = pytest.importorskip("pyarrow")
    noon = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.timezone.utc)
    rows = pyarrow.table({"moment": pyarrow.array([noon], pyarrow.timestamp("us", "UTC")), "n": [1]})
    deltalake.write_deltalake(tmp_path / "theirs", rows, partition_by=["moment"])
    db.sql(f"CREATE FRAME t LOCATION '{tmp_path}/theirs'")
    with db.session() as session:
        session.sql("SET timezone = 'America/New_York'")
        session.sql("INSERT INTO t REPLACE WHERE moment = '2024-01-01 12:00:00+00'::TIMESTAMPTZ SELECT '2024-01-01 12:00:00+00'::TIMESTAMPTZ, 2")
        assert session.sql("SELECT n FROM t").fetchall() == [(2,)]


def test_other_tables_of_update_and_delete(db):
    """UPDATE … FROM and DELETE … USING beside DuckDB, and where more rows match than can be meant."""
    duckdb = pytest.importorskip("duckdb")
    beside = duckdb.connect()

    def both(statement, values=None):
        beside.execute(statement.replace("FRAME", "TABLE"), values)
        db.sql(statement, values)

    both("CREATE FRAME t (id INTEGER, p INTEGER, n INTEGER, s VARCHAR)")
    both("INSERT INTO t SELECT range, range % 3, 0, 'x' || range FROM range(20)")
    both("CREATE FRAME s (id INTEGER, v INTEGER, w VARCHAR)")
    both("INSERT INTO s SELECT range * 2, range * 10, 'w' || range FROM range(8)")
    both("CREATE FRAME u (k INTEGER, z INTEGER)")
    both("INSERT INTO u VALUES (1, 5), (2, 6)")
    for statement, values in (
        ("UPDATE t SET n = s.v, s = s.w FROM s WHERE s.id = t.id AND p = 1", None),
        ("UPDATE t AS x SET n = x.n + v FROM s WHERE s.id = x.id", None),
        ("UPDATE t SET n = z + ? FROM s JOIN u ON u.k = s.v // 10 WHERE s.id = t.id AND t.p < ?", [100, 2]),
        ("DELETE FROM t USING s WHERE t.id = s.id AND v > 40", None),
        ("DELETE FROM t USING t AS o WHERE t.p = o.p AND t.id < o.id AND o.id > 17 -- the newest stays", None),
        ("DELETE FROM t AS x USING s, (SELECT k FROM u WHERE k = ?) AS q WHERE x.id = s.id AND s.v = q.k * 10", [2]),
        ("UPDATE t SET n = 7 FROM u", None),
    ):
        both(statement, values)
        rows = beside.execute("SELECT * FROM t ORDER BY ALL").fetchall()
        assert db.sql("SELECT * FROM t ORDER BY ALL").fetchall() == rows, statement
    for statement, why in (
        ("UPDATE t SET n = id FROM s WHERE s.id = t.id", 'Ambiguous reference to column name "id"'),
        ("DELETE FROM t USING s WHERE id = s.id", 'Ambiguous reference to column name "id"'),
        ("UPDATE t SET n = z FROM u", "rows of FROM that differ in what they set match the same row"),
        ("UPDATE t SET n = max(v) FROM s WHERE s.id = t.id", "UPDATE takes no aggregates"),
        ("DELETE FROM t USING s WHERE t.id = s.id) OR (1 = 1", "syntax error"),
    ):
        with pytest.raises(apiary.SQLError, match=re.escape(why)):
            db.sql(statement)
    with pytest.raises(apiary.NotFoundError, match="nothing"):
        db.sql("DELETE FROM t USING nothing WHERE t.id = nothing.id")
    assert db.sql("SELECT * FROM t ORDER BY ALL").fetchall() == rows
    assert db.sql("DELETE FROM t USING u").rows_changed == len(rows)


def test_a_frame_is_replaced_by_columns(db):
    db.sql("CREATE FRAME t (a INTEGER, b VARCHAR) PARTITIONED BY (b)")
    db.sql("INSERT INTO t VALUES (1, 'p')")
    for _ in range(2):
        db.sql("CREATE OR REPLACE FRAME t (c DATE NOT NULL, d VARCHAR) COMMENT 'again'")
        assert [row[:4] for row in db.sql("DESCRIBE t").fetchall()] == [("c", "DATE", "NO", "NO"), ("d", "VARCHAR", "YES", "NO")]
        assert db.sql("SELECT * FROM t").fetchall() == []
        with pytest.raises(apiary.SchemaError, match='"c" of frame main.main.t cannot hold NULL'):
            db.sql("INSERT INTO t VALUES (NULL, 'x')")
    assert db.sql("SELECT * FROM t AT (VERSION => 1)").fetchall() == [(1, "p")]
    db.sql("CREATE OR REPLACE FRAME fresh (a INTEGER)")
    assert db.sql("SELECT count(*) FROM fresh").fetchone() == (0,)
    with pytest.raises(apiary.NotSupportedError, match="takes no LOCATION"):
        db.sql("CREATE OR REPLACE FRAME t (a INTEGER) LOCATION '/elsewhere'")


def test_nulls_within_a_column(db, tmp_path):
    """Fields, elements and values that a table of others declares NOT NULL."""
    deltalake = pytest.importorskip("deltalake")
    pa = pytest.importorskip("pyarrow")
    whole = pa.field("x", pa.int32(), nullable=False)
    schema = pa.schema([("i", pa.int64()), ("s", pa.struct([whole, pa.field("it's", pa.string())])),
                        ("l", pa.list_(pa.field("element", pa.struct([whole]), nullable=False))),
                        ("m", pa.map_(pa.string(), pa.field("value", pa.int32(), nullable=False)))])
    rows = pa.table({"i": [1], "s": [{"x": 1, "it's": "a"}], "l": [[{"x": 1}]], "m": [[("a", 1)]]}, schema=schema)
    deltalake.write_deltalake(tmp_path / "theirs", rows)
    db.sql(f"CREATE FRAME t LOCATION '{tmp_path}/theirs'")
    for values in ("NULL, NULL, NULL", "row(1, NULL), [], MAP {}", "row(1, 'b'), [row(1), row(2)], MAP {'k': 1}"):
        db.sql(f"INSERT INTO t VALUES (2, {values})")
    for column, value in (("s", "row(NULL, 'b')"), ("l", "[row(1), NULL]"), ("l", "[row(1), row(NULL)]"), ("m", "MAP {'k': NULL}")):
        for statement in (f"INSERT INTO t (i, {column}) VALUES (3, {value})", f"UPDATE t SET {column} = {value} WHERE i = 1"):
            with pytest.raises(apiary.SchemaError, match=f'"{column}" of frame main.main.t holds a NULL within'):
                db.sql(statement)
    assert db.sql("UPDATE t SET s = row(9, NULL), l = [row(i)] WHERE i = 1").rows_changed == 1
    assert db.sql("SELECT count(*), min(i), max(i), max(s.x), count(l), sum(m['k']) FROM t").fetchone() == (4, 1, 2, 9, 3, 1)


def test_extremes_of_a_partition_column(db):
    """Over one cell alone the engine looks for them in the statistics of a file, which has no such column."""
    db.sql("CREATE FRAME d (i BIGINT, day DATE) PARTITIONED BY (day)")
    db.sql("INSERT INTO d SELECT range, DATE '2024-01-01' + range::INTEGER FROM range(3)")
    db.sql("CREATE VIEW newest AS SELECT max(day) AS m FROM d WHERE i < 1000")
    for statement, rows in (
        ("SELECT min(day), count(*) FROM d WHERE day = DATE '2024-01-01' + 1", [(datetime.date(2024, 1, 2), 1)]),
        ("SELECT i FROM d WHERE day = (SELECT max(day) FROM d WHERE day > DATE '2024-01-02')", [(2,)]),
        ("SELECT \"max\"(x) FROM (SELECT day AS x FROM d WHERE i = 0)", [(datetime.date(2024, 1, 1),)]),
        ("SELECT m FROM newest WHERE m > DATE '2024-01-02'", [(datetime.date(2024, 1, 3),)]),
    ):
        assert db.sql(statement).fetchall() == rows, statement
    assert db.sql("DELETE FROM d WHERE day < (SELECT max(day) FROM d)").rows_changed == 2
    assert db.sql("UPDATE d SET i = 7 WHERE day = (SELECT max(day) FROM d)").rows_changed == 1
    assert db.sql("SELECT count(*), min(i) FROM d WHERE day = (SELECT max(day) FROM d)").fetchall() == [(1, 7)]


# ---- state ----


LIMITED = "(SELECT id, k, g FROM f ORDER BY id, k, g LIMIT 13)"


@pytest.mark.parametrize("query", [
    f"SELECT count(*), sum(t.id) FROM {LIMITED} t JOIN w USING (k)",
    "SELECT count(*), sum(t.id) FROM seen t JOIN w USING (k)",  # the LIMIT is a view's
    "SELECT count(*), sum(t.id) FROM own t JOIN w USING (k)",
    f"SELECT count(*), sum(id) FROM {LIMITED} WHERE k IN (SELECT k FROM w)",
    f"FROM (SELECT count(*), sum(t.id) FROM {LIMITED} t JOIN w USING (k)) LIMIT 1",
])
def test_a_join_does_not_reach_through_a_limit(db, query):
    """Engine 1.5.5 filters below the LIMIT by what the other side of the join has, now and then: the rows then are others."""
    db.sql("CREATE FRAME f (id BIGINT, k INTEGER, g VARCHAR)")
    for first, last in ((0, 10), (10, 40), (40, 41), (41, 90)):
        db.sql(f"INSERT INTO f SELECT n, CASE WHEN n % 11 = 0 THEN NULL ELSE n * 7 % 5 END, 'g' || n % 4 FROM range({first}, {last}) r(n)")
    db.sql("CREATE FRAME w AS SELECT n::INTEGER AS k FROM range(4) r(n)")
    db.sql(f"CREATE VIEW seen AS FROM {LIMITED}")
    db.sql(f"CREATE TEMP VIEW own AS FROM {LIMITED}")
    assert {tuple(db.sql(query).fetchone()) for _ in range(40)} == {(8, 46)}


def test_each_thread_has_a_session(db):
    import threading

    db.sql("CREATE HIVE other; CREATE BOX other.b; USE other.b; CREATE FRAME f AS SELECT 1 AS a")
    assert db.sql("SELECT a FROM f").scalar() == 1
    seen = []

    def ask():
        try:
            seen.append(db.sql("SELECT a FROM f").scalar())
        except apiary.NotFoundError as error:
            seen.append(error.code)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == ["NOT_FOUND"]


def test_sessions_of_their_own(db):
    with db.session() as session:
        session.sql("CREATE TEMP VIEW v AS SELECT 5 AS a")
        assert session.sql("SELECT a FROM v").scalar() == 5
        with pytest.raises(apiary.NotFoundError):
            db.sql("SELECT a FROM v")
    with pytest.raises(apiary.UsageError, match="closed"):
        session.sql("SELECT 1")

