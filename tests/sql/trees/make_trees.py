#!/usr/bin/env python3
"""Writes names.json: what the engine makes of queries (json_serialize_sql of duckdb 1.5.5), with
what Apiary has to find in it. Run with `pip install duckdb==1.5.5` when a case is added:

    python tests/sql/trees/make_trees.py

A case of names.json: sql, tree, and what the walk must find, one a line:
  table  catalog.schema.name [alias] [@version|@time] at OFFSET
  file   function(paths…) at OFFSET
"""

import json
import pathlib

import duckdb

HERE = pathlib.Path(__file__).resolve().parent

NAMES = [
    ("SELECT 1", []),
    ("select * from t", ["table ..t at 14"]),
    ('select * from h.b.t as x, "My Box"."F"', ["table h.b.t x at 14", "table .My Box.F at 26"]),
    ("from t at (version => 3)", ["table ..t @version at 5"]),
    ("from t at (timestamp => now()) as x", None),
    ("from t at (timestamp => now())", ["table ..t @time at 5"]),
    ("table h.b.t", ["table h.b.t at 6"]),
    ("describe b.t", ["table .b.t at 9"]),
    ("summarize t", ["table ..t at 10"]),
    ("from (describe t), (show tables)", ["table ..t at 15", "table ..duckdb_tables"]),
    # WITH: seen by what follows, not by itself, not by those before it
    ("with a as (select 1) from a", []),
    ("with A as (select 1) from a", []),
    ("with a as (from a) from a", ["table ..a at 16"]),
    ("with a as (from b), b as (select 1) from a", ["table ..b at 16"]),
    ("with b as (select 1), a as (from b) from a", []),
    ("with a as (select 1) from main.a, h.b.a", ["table .main.a at 26", "table h.b.a at 34"]),
    ("with a as (select 1) from (with a as (from a) from a)", []),
    ("from (with a as (from a) from a), a", ["table ..a at 22", "table ..a at 34"]),
    ("with a as (select 1) select (select max(x) from a), (from b) from c where x in (from a) and exists (from d)",
     ["table ..b at 58", "table ..c at 66", "table ..d at 105"]),
    ("with a as (select 1) from a union all from a order by (select 1 from a, e)", ["table ..e at 72"]),
    ("(with a as (select 1) from a) union all from a", ["table ..a at 45"]),
    ("with recursive a as (select 1 x union all select x + 1 from a, b) from a", ["table ..b at 63"]),
    ("with recursive a as (from a union all from a) from a", ["table ..a at 26"]),
    ("with recursive a as (from a) from a", ["table ..a at 26"]),
    ("with recursive t(a, b) using key (a) as (select 1, 2 union select a, b from recurring.t, t) from t", []),
    ("with a as materialized (from b), c as not materialized (from a) from c", ["table ..b at 29"]),
    # every place where a query can hang
    ("select case when x in (from a) then (from b) else 1 end, list_filter(l, lambda y: y > 1), "
     "sum(x) over (partition by (from c) order by (from d)) from e group by (from f) "
     "having (from g) > 1 qualify (from h) = 1 order by (from i) limit (select 1 from j)", None),
    ("select case when x in (from a) then (from b) else 1 end from e group by (from f) having (from g) > 1 order by (from i)",
     ["table ..i at 116", "table ..a at 28", "table ..b at 42", "table ..e at 61", "table ..f at 78", "table ..g at 94"]),
    ("select 1 from a join b on a.x = (select max(x) from c) left join d using (x) cross join e, lateral (from f) q",
     ["table ..a at 14", "table ..b at 21", "table ..c at 52", "table ..d at 65", "table ..e at 88", "table ..f at 105"]),
    ("from a semi join b on a.x = b.x anti join c using (x) asof join d on a.t >= d.t positional join e natural join f",
     ["table ..a at 5", "table ..b at 17", "table ..c at 42", "table ..d at 64", "table ..e at 96", "table ..f at 111"]),
    ("from range((select max(x)::bigint from a)) r, unnest((select l from b)) u", ["table ..a at 39", "table ..b at 68"]),
    ("from t tablesample 10%", ["table ..t at 5"]),
    ("from t pivot (sum(a) for b in (1, 2))", ["table ..t at 5"]),
    ("from (values (1), ((select 1 from t))) v(a)", ["table ..t at 34"]),
    ("from (from a except from b intersect from c)", ["table ..a at 11", "table ..b at 25", "table ..c at 42"]),
    ("select {'table_name': 'x', 'type': 'BASE_TABLE', 'schema_name': '', 'catalog_name': ''} from t", ["table ..t at 93"]),
    # files
    ("from 'x.csv', \"d/*.parquet\", 's3://b/k'", ["file (x.csv) at 5", "file (d/*.parquet) at 14", "file (s3://b/k) at 29"]),
    ("from read_csv('a.csv', header = true), read_parquet(['a', 'b'])",
     ["file read_csv(a.csv) at 5", "file read_parquet(a,b) at 39"]),
    ("from read_json('a' || 'b'), glob('*'), read_csv([]), read_text(['a', lower('B')])",
     ["file read_json(?) at 5", "file glob(*) at 28", "file read_csv() at 39", "file read_text(?) at 53"]),
    ("with \"x.csv\" as (select 1) from \"x.csv\"", []),
    ("from main.\"x.csv\"", ["table .main.x.csv at 5"]),
    ("from query_table('h.b.t'), query_table(['a', '\"B c\".d'])", ["table h.b.t", "table ..a", "table .B c.d"]),
    ("from duckdb_settings(), generate_series(1, 3)", []),
    ("from information_schema.tables", ["table .information_schema.tables at 5"]),
]

# sql, functions, flags: v volatile, n now, o order by, l ledger only
FLAGS = [
    ("select RANDOM(), lower('A') from t", "random lower", "v"),
    ("select now(), current_date", "now", "n"),
    ("select current_timestamp", "", "n"),
    ("select x.current_date from x", "", ""),
    ("select age(t) from x order by 1", "age", "no"),
    ("from (select 1 order by 1)", "", ""),
    ("select uuid() union select gen_random_uuid() order by 1", "uuid gen_random_uuid", "vo"),
]

# sql, whether the columns of the result are certain to have different names
COLUMNS_DIFFER = [
    ("select * from t", True),
    ("from t", True),
    ("select * exclude (a) replace (1 as b) from t", True),
    ("select * from (select 1 as a, 2 as a)", True),
    ("select * rename (a as b) from t", False),
    ("select * from t, t as u", False),
    ("select *, 1 as x from t", False),
    ("select columns('(.)') as 'x' from t", False),
    ("select min(columns(*)) as x from t", False),
    ("select t.* from t", True),
    ("select a, t.b, t.c as d from t", True),
    ("select a, t.a from t", False),
    ("select a, b as A from t", False),
    ("select a as \"x y\", b as \"X y\" from t", False),
    ("select count(*) from t", True),
    ("select count(*), sum(a), min(b) as m, a + 1 as n from t group by all", True),
    ("select count(*), count(*) from t", False),
    ("select sum(a), 2 as \"sum(a)\" from t", False),
    ("select a + 1 from t", True),
    ("select a + 1, b from t", True),
    ("select a + 1, a + 1 from t", False),
    ("select 1", False),
    ("select 1, 2 as \"1\"", False),
    ("select null, 2 as \"null\"", False),
    ("select #1 from t", False),
    ("select unnest({'a': 1, 'b': 2}) as x, 3 as a", False),
    ("select unlist({'a': 1, 'b': 2}) as x, 3 as a", False),
    ("select (select max(a) from t) as x, row_number() over () as y from t", True),
    ("select exists (select * from t) as x from t", False),
    ("select a from t union all select b from t", True),
    ("select a, a from t union all select b, c from t", False),
    ("(select a from t) union by name (select b from t)", False),
    ("values (1, 2)", False),
    ("with x as (select a, a from t) select a from x", True),
    ("select " + ", ".join(f"a as c{i}" for i in range(128)) + " from t", True),
    ("select " + ", ".join(f"a as c{i}" for i in range(129)) + " from t", False),
]

# sql, what is asked of the ledger; None: nothing
ASKS = [
    ("select count(*) from t", "count()=count_star()"),
    ("select count(*) as n, min(a), MAX(t.B) from t", "count()=n min(a)=min(a) max(B)=max(t.B)"),
    ("select min(\"year\"), max(x.\"a b\") from h.b.t as x", "min(year)=min(\"year\") max(a b)=max(x.\"a b\")"),
    ("select count(*) from t at (version => 3)", "count()=count_star()"),
    ("select count(a) from t", None),
    ("select count(*) + 1 from t", None),
    ("select count(*) from t where a = 1", None),
    ("select count(*) from t group by a", None),
    ("select count(*) from t limit 1", None),
    ("select count(*) from t having count(*) > 1", None),
    ("select count(*) filter (where a = 1) from t", None),
    ("select max(a, 2) from t", None),
    ("select max(distinct a) from t", None),
    ("select min(a + 1) from t", None),
    ("select min(s.a) from t", None),
    ("select min(t.s.a) from t", None),
    ("select count(*) over () from t", None),
    ("select a, count(*) from t", None),
    ("select distinct count(*) from t", None),
    ("select count(*) from t using sample 3", None),
    ("select count(*) from t tablesample 3", None),
    ("select count(*) from t, u", None),
    ("select count(*) from (from t)", None),
    ("select count(*) from t as x(a)", None),
    ("with c as (select 1) select count(*) from t", None),
    ("select count(*) from 'x.csv'", None),
    ("select (select 1 from u), count(*) from t", None),
]


# What the tables of predicates.json have; v and other names: columns not known (a view).
COLUMNS = {
    "t": ["a", "b", "c", "s", "d", "ts", "tz", "f", "st", "x_1"],
    "u": ["a", "k", "m", "u"],
    "w": ["k", "n"],
}

# sql, the demand on each reference in the order of the walk (modifiers first)
PREDICATES = [
    # comparisons
    ("from t", ["TRUE"]),
    ("from t where a = 1", ["a = 1"]),
    ("from t where 1 < A", ["A > 1"]),
    ("from t where 1 <= a and 2 > b and 3 >= c and a <> 4 and 5 = b", ["a >= 1 AND b < 2 AND c <= 3 AND a <> 4 AND b = 5"]),
    ("from t where a = -1 and b = 1.50 and c = 1e3 and a = 99999999999999999999 and b = -.05",
     ["a = -1 AND b = 1.50 AND c = DOUBLE '1000' AND a = 99999999999999999999 AND b = -0.05"]),
    ("from t where a = -170141183460469231731687303715884105728", ["a = -170141183460469231731687303715884105728"]),
    ("from t where a = -5.05 and b = 12345678901234567890.12345",
     ["a = -5.05 AND b = 12345678901234567890.12345"]),
    ("from t where s = 'it''s'", ["s = 'it''s'"]),
    ("from t where s = $$x$$", ["s = 'x'"]),
    ("from t where d = '2024-01-01' and d = date '2024-01-02' and d = '2024-01-03'::date and d = cast('2024-01-04' as date)",
     ["d = '2024-01-01' AND d = DATE '2024-01-02' AND d = DATE '2024-01-03' AND d = DATE '2024-01-04'"]),
    ("from t where ts = timestamp '2024-01-01 10:00' and ts > timestamp '2024-01-01' and ts < '2024-01-01'::timestamp",
     ["ts = TIMESTAMP '2024-01-01 10:00:00.000000' AND ts > TIMESTAMP '2024-01-01 00:00:00.000000' AND "
      "ts < TIMESTAMP '2024-01-01 00:00:00.000000'"]),
    ("from t where tz = timestamptz '2024-01-01 00:00:00+01' and tz > timestamptz '2024-01-01 00:00:00'",
     ["tz = TIMESTAMPTZ '2023-12-31 23:00:00.000000+00'"]),
    ("from t where ts = timestamp '2024-01-01 00:00:00+01' or d = date '1-1-1'", ["TRUE"]),
    ("from t where d = date '2024-1-1' and ts = timestamp '2024-01-01 00:00:00.1234567' and s = 'x' collate nocase", ["TRUE"]),
    ("from t where a = '1'::int and b = 1::double and c = 1::decimal(10, 2) and a = 1.5::int and b = 0.1::float and s = 1::varchar",
     ["a = 1 AND b = DOUBLE '1' AND c = 1"]),
    ("from t where a = 1 + 1 and b = $1 and c = (select 1) and a + 1 = 2 and a::varchar = '1' and lower(s) = 'x' and d = date '2024-01-01' + 1",
     ["TRUE"]),
    ("from t where a = try_cast('1' as int) and b = interval 1 day and d = current_date and a = b", ["TRUE"]),
    ("from t where a = null", ["FALSE"]),
    ("from t where not (a = null)", ["FALSE"]),
    ("from t where a = null or b = 1", ["b = 1"]),
    # truth values
    ("from t where f", ["f = true"]),
    ("from t where not f", ["f = false"]),
    ("from t where f = true and f <> false and (f is true or f is not false)", ["f = true AND f <> false"]),
    ("from t where false", ["FALSE"]),
    ("from t where true", ["TRUE"]),
    ("from t where null", ["FALSE"]),
    ("from t where not true or a = 1", ["a = 1"]),
    ("from t where not false and a = 1", ["a = 1"]),
    ("from t where 1 = 1", ["TRUE"]),
    # NULL
    ("from t where a is null and b is not null and not (c is null) and not (s is not null)",
     ["a IS NULL AND b IS NOT NULL AND c IS NOT NULL AND s IS NULL"]),
    ("from t where (a + 1) is null", ["TRUE"]),
    ("from t where a is distinct from 1 and b is not distinct from 2 and c is distinct from null and s is not distinct from null",
     ["(a IS NULL OR a <> 1) AND b = 2 AND c IS NOT NULL AND s IS NULL"]),
    ("from t where not (a is distinct from 1) and not (b is not distinct from 2) and not (c is distinct from null)",
     ["a = 1 AND (b IS NULL OR b <> 2) AND c IS NULL"]),
    # AND, OR, NOT
    ("from t where a = 1 or b = 2", ["a = 1 OR b = 2"]),
    ("from t where a = 1 or lower(s) = 'x'", ["TRUE"]),
    ("from t where a = 1 and lower(s) = 'x'", ["a = 1"]),
    ("from t where (a = 1 and b = 2) or (a = 3 and lower(s) = 'x')", ["(a = 1 AND b = 2) OR a = 3"]),
    ("from t where (a = 1 and (b = 2 and c = 3)) or (a = 4 or b = 5)", ["(a = 1 AND b = 2 AND c = 3) OR a = 4 OR b = 5"]),
    ("from t where not (a = 1 and b < 2)", ["a <> 1 OR b >= 2"]),
    ("from t where not (a = 1 or b < 2)", ["a <> 1 AND b >= 2"]),
    ("from t where not (a > 1 and lower(s) = 'x')", ["TRUE"]),
    ("from t where not (a >= 1 or lower(s) = 'x')", ["a < 1"]),
    ("from t where not (not (a <= 1))", ["a <= 1"]),
    ("from t where not (a <> 1)", ["a = 1"]),
    # BETWEEN and IN
    ("from t where a between 1 and 2", ["a >= 1 AND a <= 2"]),
    ("from t where a not between 1 and 2", ["a < 1 OR a > 2"]),
    ("from t where a between 1 and null", ["FALSE"]),
    ("from t where a not between 1 and null", ["a < 1"]),
    ("from t where a between 1 and b or a between '1' and 2", ["TRUE"]),
    ("from t where 1 between a and b", ["TRUE"]),
    ("from t where a in (1, 2)", ["a IN (1, 2)"]),
    ("from t where a in (1, null)", ["a IN (1)"]),
    ("from t where a in (null)", ["FALSE"]),
    ("from t where a in (1, b)", ["TRUE"]),
    ("from t where a in (1, '2')", ["TRUE"]),
    ("from t where a not in (1, 2)", ["a <> 1 AND a <> 2"]),
    ("from t where not (a in (1))", ["a <> 1"]),
    ("from t where not (a not in (1, 2))", ["a IN (1, 2)"]),
    ("from t where a not in (1, null)", ["FALSE"]),
    ("from t where d in (date '2024-01-01', date '2024-01-02')", ["d IN (DATE '2024-01-01', DATE '2024-01-02')"]),
    ("from t where a in (select 1) and (a, b) in ((1, 2)) and a in [1, 2] and a = any([1])", ["TRUE"]),
    # LIKE
    ("from t where s like 'ab%'", ["starts_with(s, 'ab')"]),
    ("from t where s like 'ab_c%'", ["starts_with(s, 'ab')"]),
    ("from t where s like 'ab\\_c%'", ["starts_with(s, 'ab\\')"]),
    ("from t where s like 'abc'", ["s = 'abc'"]),
    ("from t where s like '%b' or s like ''", ["TRUE"]),
    ("from t where s not like 'ab%'", ["TRUE"]),
    ("from t where not (s not like 'ab%')", ["starts_with(s, 'ab')"]),
    ("from t where s like 'ab%' escape 'x' or s ilike 'a%' or s similar to 'a' or s glob 'a*'", ["TRUE"]),
    ("from t where starts_with(s, 'x') and s ^@ 'y' and prefix(s, 'z')",
     ["starts_with(s, 'x') AND starts_with(s, 'y') AND starts_with(s, 'z')"]),
    ("from t where starts_with(s, '') and starts_with('x', s)", ["TRUE"]),
    ("from t where s like null", ["FALSE"]),
    # names
    ("from t x where x.a = 1 and t.b = 2", ["a = 1"]),
    ("from t where t.a = 1", ["a = 1"]),
    ("from main.t where main.t.a = 1", ["a = 1"]),
    ("from t where main.t.a = 1", ["TRUE"]),
    ("from h.b.t where h.b.t.a = 1 and b.t.b = 2 and x.t.c = 3", ["a = 1 AND b = 2"]),
    ("from t where st.p = 1 and t.st.q.r = 2 and st['p'] = 1", ["st.p = 1 AND st.q.r = 2"]),
    ("from t where nowhere = 1", ["TRUE"]),
    ("from t as q(a, b) where a = 1", ["TRUE"]),
    ("from t, u where b = 1 and k = 2 and t.a = 3", ["b = 1 AND a = 3", "k = 2"]),
    ("from t, u where a = 1", ["TRUE", "TRUE"]),
    ("from t, v where b = 1 and v.k = 2", ["b = 1", "TRUE"]),
    ("from t x, t y where x.a = 1 and y.b = 2 and b = 3", ["a = 1", "b = 2"]),
    ("from t, u where (t.a = 1 and k = 2) or (t.a = 3 and m = 4)", ["a = 1 OR a = 3", "k = 2 OR m = 4"]),
    ("from u where u.a = 1 and u = 2", ["a = 1 AND u = 2"]),
    ("select a + 1 as k from t where k = 1", ["TRUE"]),
    # joins
    ("from t join u on t.a = u.a and b = 1 and k = 2 where c = 3", ["b = 1 AND c = 3", "k = 2"]),
    ("from t cross join u where b = 1 and k = 2", ["b = 1", "k = 2"]),
    ("from t left join u on b = 1 and k = 2 where c = 3", ["c = 3", "k = 2"]),
    ("from t left join u on t.a = u.a where k = 2", ["TRUE", "k = 2"]),
    ("from t left join u on b = 1 where k = 2", ["b = 1", "k = 2"]),
    ("from t left join u on t.a = u.a where k is null", ["TRUE", "TRUE"]),
    ("from t left join u on t.a = u.a where k is null or k = 2", ["TRUE", "TRUE"]),
    ("from t left join u on t.a = u.a where k is distinct from 2", ["TRUE", "TRUE"]),
    ("from t left join u on t.a = u.a where (k is null or k = 2) and m > 3", ["TRUE", "(k IS NULL OR k = 2) AND m > 3"]),
    ("from t left join u on t.a = u.a where k = 2 or b = 1", ["TRUE", "TRUE"]),
    ("from t right join u on b = 1 and k = 2 where m = 3", ["b = 1", "m = 3"]),
    ("from t right join u on k = 2 where b = 1", ["b = 1", "k = 2"]),
    ("from t full join u on b = 1 and k = 2 where c is null and m is null", ["TRUE", "TRUE"]),
    ("from t full join u on t.a = u.a and k = 2 where b = 1", ["b = 1", "k = 2"]),
    ("from t full join u on t.a = u.a and c = 3 where m = 1", ["c = 3", "m = 1"]),
    ("from t full join u on t.a = u.a and c = 3 where m = 1 and b = 2", ["c = 3 AND b = 2", "m = 1"]),
    ("from t semi join u on t.a = u.a and b = 1 and k = 2 where c = 3", ["b = 1 AND c = 3", "k = 2"]),
    ("from t semi join u on t.a = u.a where a = 1", ["a = 1", "TRUE"]),
    ("from t anti join u on t.a = u.a and b = 1 and k = 2 where c = 3", ["c = 3", "k = 2"]),
    ("from t asof join u on t.a >= u.a and b = 1 where c = 3 and k = 2", ["c = 3", "TRUE"]),
    ("from t asof left join u on t.a >= u.a where c = 3 and k = 2", ["c = 3", "TRUE"]),
    ("from t positional join u where c = 3 and k = 2", ["TRUE", "TRUE"]),
    ("from t left join (u join w on u.k = w.k and m = 1) on t.a = u.a where b = 2", ["b = 2", "m = 1", "TRUE"]),
    ("from t left join (u join w on u.k = w.k and m = 1) on t.a = u.a and w.n = 3 where n = 2", ["TRUE", "m = 1", "n = 3 AND n = 2"]),
    ("from (t left join u on t.a = u.a) join w on w.k = u.k and u.m = 1", ["TRUE", "m = 1", "TRUE"]),
    # merged columns
    ("from u join w using (k) where k = 1", ["k = 1", "TRUE"]),
    ("from u left join w using (k) where k = 1", ["k = 1", "TRUE"]),
    ("from u right join w using (k) where k = 1", ["TRUE", "TRUE"]),
    ("from u full join w using (k) where k = 1", ["TRUE", "TRUE"]),
    ("from u natural join w where k = 1 and n = 2", ["k = 1", "n = 2"]),
    ("from v join w using (k) where k = 1 and n = 2", ["TRUE", "n = 2"]),
    ("from v natural join w where k = 1", ["TRUE", "TRUE"]),
    ("from u join w using (k) where w.k = 1", ["TRUE", "k = 1"]),
    # queries in FROM
    ("from (select a, b from t) where a = 1", ["a = 1"]),
    ("from (select a as z, b + 1 as a from t) q where q.z = 1 and a = 2", ["a = 1"]),
    ("from (from t) where b = 1", ["b = 1"]),
    ("from (from t where b = 1) where a = 2", ["b = 1 AND a = 2"]),
    ("from (select * exclude (b) replace (c + 1 as c) from t) where a = 1 and b = 2 and c = 3", ["a = 1"]),
    ("from (select * rename (a as z) from t) where a = 1 or b = 1", ["TRUE"]),
    ("from (select columns('a') from t) where a = 1", ["TRUE"]),
    ("from (select x.* from t x, u) where b = 1", ["b = 1", "TRUE"]),
    ("from (select * from t, u) where b = 1 and k = 2 and a = 3", ["b = 1", "k = 2"]),
    ("from (select * from v, t) where b = 1", ["TRUE", "TRUE"]),
    ("from (select 1 as b, * from t) where b = 1 and a = 2", ["a = 2"]),
    ("from (select b, * from t) where b_1 = 1 and x_1 = 2", ["x_1 = 2"]),
    ("from (select a as x, b as x, * from t) where x_1 = 1", ["TRUE"]),
    ("from (select st as z, st.p from t) where z.p = 1 and p = 2", ["st.p = 1 AND st.p = 2"]),
    ("from (select a, b from t) q(b, z) where b = 1 and z = 2", ["a = 1 AND b = 2"]),
    ("from (from t) q(x) where x = 1", ["TRUE"]),
    ("from (select distinct a, b from t) where a = 1", ["a = 1"]),
    ("from (select distinct on (a) a, b from t) where a = 1", ["TRUE"]),
    ("from (select a from t order by b) where a = 1", ["a = 1"]),
    ("from (select a from t limit 3) where a = 1", ["TRUE"]),
    ("from (select a from t limit 50%) where a = 1", ["TRUE"]),
    ("from (select a, row_number() over () as r from t where b = 2) where a = 1", ["b = 2"]),
    ("from (select a from t qualify row_number() over () = 1) where a = 1", ["TRUE"]),
    ("from (select a from t order by sum(b) over ()) where a = 1", ["TRUE"]),
    ("from (select a, sum(b) as b from t group by a) where a = 1 and b = 2", ["a = 1"]),
    ("from (select a, sum(b) as b from t group by 1) where a = 1", ["a = 1"]),
    ("from (select a, sum(b) as b from t group by all) where a = 1 and b = 2", ["a = 1"]),
    ("from (select a, c, sum(b) from t group by rollup (a, c)) where a = 1", ["TRUE"]),
    ("from (select any_value(a) as a from t group by c) where a = 1", ["TRUE"]),
    ("from (select count(*) as n from t) where n = 1", ["TRUE"]),
    ("from (select a from t using sample 3) where a = 1", ["TRUE"]),
    ("from (select a from t where b = 1 using sample 3)", ["TRUE"]),
    ("from t tablesample 50% where a = 1", ["TRUE"]),
    ("from (select a, unnest(s) as s from t) where a = 1 and s = 2", ["a = 1"]),
    ("from (select a from t union all select k from u) where a = 1", ["TRUE", "TRUE"]),
    ("select a from t where b = 1 union all select k from u where m = 2", ["b = 1", "m = 2"]),
    ("from t left join (select k, m from u) q on t.a = q.m where q.k = 1", ["TRUE", "k = 1"]),
    ("from t, lateral (select * from u where u.a = t.a and k = 1) q where q.m = 2 and b = 3", ["b = 3", "k = 1 AND m = 2"]),
    ("from (select t.a, k from t join u on t.a = u.a) where a = 1 and k = 2", ["a = 1", "k = 2"]),
    ("from t pivot (sum(a) for b in (1)) where c = 1", ["TRUE"]),
    # WITH
    ("with q as (from t) from q where a = 1", ["a = 1"]),
    ("with q as (select a as z from t where b = 1) from q x where x.z = 1", ["b = 1 AND a = 1"]),
    ("with q(z, y) as (select a, b from t) from q where z = 1", ["a = 1"]),
    ("with q as (from t) from q x, q y where x.a = 1 and y.b = 2", ["a = 1 OR b = 2"]),
    ("with q as (from t) from q x, q y where x.a = 1", ["TRUE"]),
    ("with q as (from t) from q where a = 1 and exists (from q)", ["TRUE"]),
    ("with q as (from t), r as (from q where a = 1) from r where b = 2", ["a = 1 AND b = 2"]),
    ("with q as (from t) from q as x(z) where a = 1", ["TRUE"]),
    ("with q as (from t) select 1", ["TRUE"]),
    ("with q as (from t where a = 1) from (with q as (from q) from q where b = 2)", ["a = 1 AND b = 2"]),
    ("with recursive q as (select a from t where b = 1 union all select q.a from q, u where u.a = q.a and k = 2) from q where a = 3",
     ["b = 1", "k = 2"]),
    # queries in expressions stand alone
    ("from t where b = 1 and a in (select a from u where k = 2)", ["b = 1", "k = 2"]),
    ("from t where not exists (from u where k = 2 and u.a = t.a and t.b = 1)", ["TRUE", "k = 2"]),
    ("select (select max(m) from u where k = 2 and b = 1) from t where c = 3", ["k = 2", "c = 3"]),
    ("from t where a = (select max(m) from u where k = 2)", ["TRUE", "k = 2"]),
    ("describe select * from t where a = 1", ["a = 1"]),
    ("from t at (version => 3) where a = 1", ["a = 1"]),
]


def tree(connection, sql):
    text = connection.execute("select json_serialize_sql('" + sql.replace("'", "''") + "')").fetchone()[0]
    parsed = json.loads(text)
    return None if parsed["error"] else parsed


def main():
    connection = duckdb.connect()
    cases = []
    for sql, found in NAMES:
        parsed = tree(connection, sql)
        if found is None:
            continue
        if parsed is None:
            raise SystemExit(f"the engine does not parse: {sql}")
        cases.append({"sql": sql, "names": found, "tree": parsed})
    for sql, functions, flags in FLAGS:
        cases.append({"sql": sql, "functions": functions, "flags": flags, "tree": tree(connection, sql)})
    connection.execute("create table t (a int, b int, c int)")
    for sql, differ in COLUMNS_DIFFER:
        if differ:  # then the engine gives a subquery's columns the same names
            names = [[c[0] for c in connection.execute(text).description] for text in (sql, f"from ({sql})")]
            assert names[0] == names[1], (sql, names)
        cases.append({"sql": sql, "differ": differ, "tree": tree(connection, sql)})
    for sql, asks in ASKS:
        cases.append({"sql": sql, "asks": asks or "", "tree": tree(connection, sql)})
    write("names.json", cases)
    cases = []
    for sql, demands in PREDICATES:
        parsed = tree(connection, sql)
        if parsed is None:
            raise SystemExit(f"the engine does not parse: {sql}")
        cases.append({"sql": sql, "demands": demands, "tree": parsed})
    write("predicates.json", [{"columns": COLUMNS, "tree": tree(connection, "select 1")}] + cases)


def write(name, cases):
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in cases)
    (HERE / name).write_text("[\n" + lines + "\n]\n")
    print(name, len(cases))


if __name__ == "__main__":
    main()
