#!/usr/bin/env python3
"""Columns of a result are named as the engine names them, however the statement was bound."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import duckdb
import pytest

import apiary

STATEMENTS = r"""
select a, a from t
select a, A from t
select * from t, u where k = m order by k
select * from t x join t y using (k) order by 1
select 1, 1
select 1, 2 as "1"
select null, 2 as "null"
select count(*), count(*) from t
select count(*), sum(k), min(a) from t
select count(*), 3 as "count_star()" from t
select sum(k), sum(k) from t
select k + 1, k + 1 from t order by 1
select k + 1 from t order by 1
select unnest({'a': 1, 'b': 2}), a from t order by 3
select unnest({'a': 1, 'b': 2}) as a from t
select unlist({'a': 1, 'b': 2}), k as a from t order by 3
select min(columns(*)) from t
select min(columns(*)) as x from t
select columns('(.)') as 'x\1' from t order by 1
select * exclude (a) from t order by 1
select * replace (1 as a) from t order by 1
select * rename (a as b) from t order by 1
from t order by k desc
from (select 1 as a, 2 as a)
from t as x(a, b) order by 1
select x.a, y.a from t x, t y order by 1, 2
with x as (select 1 as a, 2 as a) select * from x
select 1 as a, 2 as a union all select 3, 4
(select 1 as a) union by name (select 2 as b) order by 1
values (1, 2)
select (select 1), (select 1)
select (select 1), case when true then 1 end, cast(1 as bigint)
select cast(1 as bigint), 2 as "CAST(1 AS BIGINT)"
select distinct on (a) a, k from t order by a, k
select a as x, row_number() over (order by k) from t order by 1
select struct_pack(a := 1).*, 2 as a
select s.a, a from (select {'a': 1} as s, 2 as a)
select list_transform([1], x -> x + 1), [1, 2][1], 'x' || 'y'
select date '2020-01-01', interval 1 day, 'a', 1.5, true
select * from range(3)
select * from (values (1)) t(x)
select 1 as a, 2 as b, 3 as a
select "a b", "A B" from (select 1 as "a b")
select a as "ü", a as "Ü" from t order by 1
select #1 from t order by 1
select a from t order by k desc limit 1 offset 1
pivot t on a using count(*)
select * from t semi join u on k = m order by 1
""".strip().splitlines()


@pytest.fixture(scope="module")
def engine():
    with duckdb.connect() as connection:
        yield connection


@pytest.fixture(scope="module")
def both(shared, engine):
    for run in (shared.sql, engine.execute):
        run("create table t (k bigint, a varchar)")
        run("insert into t values (1, 'x'), (2, 'y'), (3, 'x')")
        run("create table u (m bigint, a varchar)")
        run("insert into u values (2, 'z')")
    return shared, engine


def answer(run, statement, errors):
    try:
        table = run(statement)
    except errors:
        return "refused"
    return table.column_names, [[str(value) for value in column.to_pylist()] for column in table.columns]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_columns_are_named_as_by_the_engine(both, statement):
    ours, engine = both
    wanted = answer(lambda text: engine.execute(text).to_arrow_table(), statement, duckdb.Error)
    assert answer(lambda text: ours.sql(text).to_arrow(), statement, apiary.Error) == wanted


def test_a_parameter_without_a_value_is_no_text(both):
    """Bound once, the text is the value of a parameter: it must not be that of the statement's own."""
    for statement in ("select $1 as a from t", "select a from t where k = ? order by a", "select count(a) as n from t where a = $1"):
        with pytest.raises(apiary.SQLError, match="parameter"):
            both[0].sql(statement)


def test_the_text_that_runs_is_the_statement(both):
    with both[0].session() as session:
        session.sql("create macro mine() as current_query()")
        for statement in ("select current_query() as q from u", "select mine() as q from u", "select q from query('select current_query() as q')"):
            assert "system.main" not in session.sql(statement).scalar()
