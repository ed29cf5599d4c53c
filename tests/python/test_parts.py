#!/usr/bin/env python3
"""SET distributed = 'force': parameters, the moment, types, and what EXPLAIN says."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import datetime
import decimal

import pytest

import apiary


@pytest.fixture(scope="module")
def frames(shared):
    shared.sql("CREATE FRAME parts_f AS SELECT i AS id, CAST(i % 3 AS INTEGER) AS k, 'g' || i % 4 AS g, i * 0.25::DOUBLE AS x FROM range(50) r(i)")
    for start in (50, 100, 150):
        shared.sql(f"INSERT INTO parts_f SELECT i, i % 3, 'g' || i % 4, i * 0.25 FROM range({start}, {start + 50}) r(i)")
    shared.sql("CREATE VIEW parts_v AS SELECT k, count(*) AS n FROM parts_f WHERE id > 10 GROUP BY k")
    yield shared
    shared.sql("SET distributed = 'auto'")


def both(connection, sql, *parameters):
    """Rows of the statement whole and in parts."""
    out = []
    for mode in ("off", "force"):
        connection.sql(f"SET distributed = '{mode}'")
        out.append(connection.sql(sql, *parameters).fetchall())
    return out


def explain(connection, sql, *parameters):
    connection.sql("SET distributed = 'force'")
    return "\n".join(row[0] for row in connection.sql("EXPLAIN " + sql, *parameters).fetchall())


@pytest.mark.parametrize(
    "value",
    [None, True, 7, 2**64 - 1, 0.1, float("inf"), float("nan"), "it's \u00e4 \"q\"", b"\x00\xff'", datetime.date(2024, 2, 29),
     datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), datetime.time(1, 2, 3, 4),
     decimal.Decimal("-12.50"), [1, 2, None], ["a'b", "c,]"]],
    ids=repr,
)
def test_parameters(frames, value):
    whole, parts = both(frames, "SELECT ? AS p, count(*) AS n, typeof(?) AS t FROM parts_f", [value, value])
    assert repr(whole) == repr(parts)
    assert "distributed:" in explain(frames, "SELECT ? AS p, count(*) AS n FROM parts_f", [value]).splitlines()[1]


def test_parameters_in_every_place(frames):
    sql = "SELECT g, count(*) + $more AS n FROM parts_f WHERE x < $x AND k <> (SELECT max(k) FROM parts_f WHERE x < $x) GROUP BY g HAVING count(*) > $least ORDER BY g LIMIT $n"
    whole, parts = both(frames, sql, {"more": 5, "x": 30.5, "least": 2, "n": 3})
    assert whole == parts and len(whole) == 3


def test_one_moment(frames):
    text = explain(frames, "SELECT min(now()) = max(now()) AS same, count(*) AS n FROM parts_f WHERE now() > TIMESTAMPTZ '2020-01-01'")
    assert "\ndistributed:" in text and "now()" not in text
    assert both(frames, "SELECT min(now()) = max(now()) AS same, count(*) AS n FROM parts_f")[1] == [(True, 200)]


def test_a_variable_of_the_session(frames):
    frames.sql("SET VARIABLE edge = 42")
    whole, parts = both(frames, "SELECT count(*) AS n FROM parts_f WHERE id < getvariable('edge')")
    assert whole == parts == [(42,)]


def test_a_view_is_divided(frames):
    whole, parts = both(frames, "SELECT sum(n) AS s, count(*) AS c FROM parts_v")
    assert whole == parts == [(189, 3)]
    assert "stage 0: aggregate of" in explain(frames, "SELECT sum(n) AS s FROM parts_v")


def test_types_that_do_not_fit_arrow(frames):
    sql = ("SELECT CAST(id AS HUGEINT) * 100000000000000000000 AS h, CAST('12345678-1234-1234-1234-1234567890ab' AS UUID) AS u, "
           "CAST(id AS BIT) AS b, INTERVAL (id) DAY AS i, TIMETZ '01:02:03+04' AS t, typeof(CAST(k AS HUGEINT)) AS y FROM parts_f ORDER BY id LIMIT 3")
    whole, parts = both(frames, sql)
    assert whole == parts
    assert "\ndistributed:" in explain(frames, sql)


def test_a_number_too_large_to_travel_is_an_error(frames):
    frames.sql("SET distributed = 'force'")
    with pytest.raises(apiary.Error):
        frames.sql("SELECT max(CAST(id AS HUGEINT) + 170141183460469231731687303715884100000) AS h FROM parts_f").fetchall()


@pytest.mark.parametrize(
    "sql, why",
    [
        ("SELECT count(*) + random() AS n FROM parts_f WHERE k > 0", "another value each time"),
        ("SELECT 1", "reads no frame"),
        ("SELECT a.id FROM parts_f a FULL JOIN parts_f b ON a.id = b.id", "needs all rows of the frame"),
        ("SELECT count(*) AS n FROM parts_f WHERE k > 0 USING SAMPLE 10%", "cannot be divided"),
    ],
)
def test_explain_says_why_not(frames, sql, why):
    text = explain(frames, sql)
    assert "not distributed: " in text and why in text


def test_a_macro_stays_whole(frames):
    frames.sql("CREATE TEMP MACRO twice(a) AS a * 2")
    whole, parts = both(frames, "SELECT sum(twice(k)) AS n FROM parts_f")
    assert whole == parts
    assert "not distributed: it calls a macro of the session" in explain(frames, "SELECT sum(twice(k)) AS n FROM parts_f")


def test_explain_analyze_tells_of_each_task(frames):
    frames.sql("SET distributed = 'force'")
    text = "\n".join(row[0] for row in frames.sql("EXPLAIN ANALYZE SELECT k, sum(x) AS s FROM parts_f GROUP BY k").fetchall())
    assert text.count("ran on this node, ") >= 2 and "overhead" in text and "merge on this node" in text and "tries 1" in text


def test_an_error_in_a_task_is_the_statements(frames):
    frames.sql("SET distributed = 'force'")
    with pytest.raises(apiary.Error, match="(?i)could not convert"):
        frames.sql("SELECT sum(CAST(g AS INTEGER)) AS n FROM parts_f").fetchall()
    assert frames.sql("SELECT count(*) AS n FROM parts_f WHERE k >= 0").fetchall() == [(200,)]


def test_versions_are_pinned(frames):
    whole, parts = both(frames, "SELECT count(*) AS n, max(id) AS m FROM parts_f AT (VERSION => 1) WHERE k >= 0")
    assert whole == parts == [(100, 99)]
