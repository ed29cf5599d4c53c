#!/usr/bin/env python3
"""Writes cuts.json: queries as the engine's trees, with how they are cut. Run like make_trees.py when a case is added:

    python tests/sql/trees/make_cuts.py

Frames, by the bytes that are read of them: t 300, u 200, s 100; no other table is one. A case says what the cut must find
("whole: why", or the kind, the sharded references by their places among the tables, parts that are run first; "plain": its rows
are the fragments' rows) and, where it is given,
the fragment and the statement above as SQL, which is stored as trees too.
"""

import json
import pathlib

import duckdb
from make_trees import tree

HERE = pathlib.Path(__file__).resolve().parent
TABLES = ["create table t (id bigint, k int, g varchar, x double, d decimal(15,2), l int[])",
          "create table u (id bigint, k int, v int)", "create table s (k int, name varchar)", "create table w (k int)"]

# sql, found[, fragment, above[, the names of B's columns where it is not the statement itself]]
CUTS = [
    # aggregates
    ("select count(*) from t", "aggregate t0", "select count(*) from apiary_shard as t",
     'select apiary_a0 as "count_star()" from apiary_merged'),
    ("select k, sum(x) from t where x > 1 group by k", "aggregate t0", "select k, sum(x) from apiary_shard as t where x > 1 group by 1",
     'select apiary_k0 as k, apiary_a0 as "sum(x)" from apiary_merged'),
    ("select q.k + 1 as y, max(q.g) as m from t q group by q.k having count(*) > 2 order by m desc limit 3", "aggregate t0",
     "select q.k, max(q.g), count(*) from apiary_shard as q group by 1",
     "select apiary_k0 + 1 as y, apiary_a0 as m from apiary_merged where apiary_a1 > 2 order by m desc limit 3"),
    ("select avg(d) from t", "aggregate t0", "select sum(d), count(d) from apiary_shard as t", 'select apiary_a0 as "avg(d)" from apiary_merged'),
    ("select stddev(x) filter (where k > 1) as z from t", "aggregate t0",
     "select count(x) filter (where k > 1), avg(x) filter (where k > 1), var_pop(x) filter (where k > 1) * count(x) filter (where k > 1) from apiary_shard as t",
     "select apiary_a0 as z from apiary_merged"),
    ("select arg_min(g, x) as z from t", "aggregate t0", "select arg_min(g, x), min(x) filter (where g is not null) from apiary_shard as t",
     "select apiary_a0 as z from apiary_merged"),
    ("select k, count(distinct g) as c, sum(x) as z from t group by all", "aggregate t0",
     "select k, g, sum(x) from apiary_shard as t group by 1, 2", "select apiary_k0 as k, apiary_a0 as c, apiary_a1 as z from apiary_merged"),
    ("select k, g, count(*) as n, grouping(k) as gr from t group by rollup (k, g)", "aggregate t0",
     "select k, g, count(*) from apiary_shard as t group by 1, 2",
     "select apiary_k0 as k, apiary_k1 as g, apiary_a0 as n, apiary_g0 as gr from apiary_merged"),
    ("select upper(g) as k, count(*) as n from t group by upper(g)", "aggregate t0",
     "select upper(g), count(*) from apiary_shard as t group by 1", "select apiary_k0 as k, apiary_a0 as n from apiary_merged"),
    ("select upper(g) as k, count(*) as n from t group by 1 order by 2", "aggregate t0",
     "select upper(g), count(*) from apiary_shard as t group by 1", "select apiary_k0 as k, apiary_a0 as n from apiary_merged order by 2"),
    ("select x as y, count(*) as n from t group by y", "aggregate t0 from", "select x, count(*) from apiary_shard as t group by 1",
     "select apiary_k0 as y, apiary_a0 as n from apiary_merged"),
    ("select upper(g) as k, count(*) as n from t group by k, g", "aggregate t0 from",  # the column k, not the alias
     "select k, g, count(*) from apiary_shard as t group by 1, 2", "select upper(apiary_k1) as k, apiary_a0 as n from apiary_merged"),
    ("select sum(n) as z from (select k, count(*) as n from t group by k) q", "aggregate t0",
     "select k, count(*) from apiary_shard as t group by 1",
     "select sum(n) as z from (select apiary_k0 as k, apiary_a0 as n from apiary_merged) as q", ["k", "n"]),
    ("select rank() over (order by sum(x)) as r from t group by k", "aggregate t0", "select k, sum(x) from apiary_shard as t group by 1",
     "select rank() over (order by apiary_a0) as r from apiary_merged"),
    # aggregates that are not merged: their rows are gathered
    ("select k, sum(x) as z from t group by k having sum(x) > (select sum(x) / 10 from t)", "aggregate t0",
     "select k, sum(x) from apiary_shard as t group by 1",
     "select apiary_k0 as k, apiary_a0 as z from apiary_merged where apiary_a0 > (select sum(x) / 10 from t)"),
    ("select k, median(x) as m from t where x > 0 group by k", "gather rows t0 from", "select k, x from apiary_shard as t where x > 0",
     "select apiary_c0 as k, median(apiary_c1) as m from apiary_merged group by apiary_c0"),
    ("select sum(x) as a, first(g) as b from t", "gather rows t0 from"),
    ("select k + 1 as y, list_transform([1], lambda k: k + 1) as z, count(*) as n from t group by k + 1", "gather rows t0 from",
     "select k from apiary_shard as t",
     "select apiary_c0 + 1 as y, list_transform([1], lambda k: k + 1) as z, count(*) as n from apiary_merged group by apiary_c0 + 1"),
    ("select min(x, 3) as a from t", "gather rows t0 from"),
    ("select approx_count_distinct(g) as a from t", "gather rows t0 from"),
    ("select stddev(distinct x) as a from t", "gather rows t0 from"),
    # joins
    ("select count(*) from t join u on t.id = u.id", "aggregate t0"),
    ("select count(*) from u join t on t.id = u.id", "aggregate t1"),
    ("select count(*) from u left join t on t.id = u.id", "aggregate t0"),
    ("select count(*) from t left join u on t.id = u.id", "aggregate t0"),
    ("select count(*) from u right join t on t.id = u.id", "aggregate t1"),
    ("select count(*) from t right join u on t.id = u.id", "aggregate t1"),
    ("select count(*) from t full join u on t.id = u.id", "whole: its join needs all rows of the frame at once"),
    ("select count(*) from t semi join u on t.id = u.id", "aggregate t0"),
    ("select count(*) from u anti join t on t.id = u.id", "aggregate t0"),
    ("select count(*) from t asof join u on t.id >= u.id", "aggregate t0"),
    ("select count(*) from u asof join t on u.id >= t.id", "aggregate t0"),
    ("select count(*) from t positional join u", "whole: its join needs all rows of the frame at once"),
    ("select count(*) from t, unnest(t.l) q(z)", "aggregate t0"),
    ("select count(*) from u, lateral (select * from t where t.id = u.id) q", "aggregate t1"),
    ("select count(*) from (select t.* from t full join u using (id)) q", "whole: its join needs all rows of the frame at once"),
    ("select count(*) from (select * from t where x > 1) q full join u using (id)", "gather t0"),
    ("select count(*) from t a join t b on a.id = b.id", "aggregate t0", "select count(*) from apiary_shard as a join t as b on (a.id = b.id)",
     'select apiary_a0 as "count_star()" from apiary_merged'),
    # WITH
    ("with c as (select * from t where x > 1) select count(*) from c", "aggregate t0",
     "with c as (select * from apiary_shard as t where x > 1) select count(*) from c", 'select apiary_a0 as "count_star()" from apiary_merged'),
    ("with c as (select * from t where x > 1) select count(*) from c a join c b using (id)", "gather t0"),
    ("with c as (select k, sum(x) as z from t group by k) select * from c where z = (select max(z) from c)", "aggregate t0",
     "select k, sum(x) from apiary_shard as t group by 1",
     "with c as (select apiary_k0 as k, apiary_a0 as z from apiary_merged) select * from c where z = (select max(z) from c)", ["k", "z"]),
    ("with a as (select * from t), b as (select * from a where x > 1) select count(*) from b", "aggregate t0"),
    ("with recursive r as (select 1 as n union all select n + 1 from r, t where n < 3) select count(*) from r", "whole: it stands in a recursion"),
    # set operations
    ("select k from t union all select k from u", "plain gather t0 t1",
     "select k from apiary_shard as t union all select k from apiary_shard_1 as u", "select apiary_c0 as k from apiary_merged"),
    ("select count(*) from (select k from t union all select k from u) q", "aggregate t0 t1",
     "select count(*) from (select k from apiary_shard as t union all select k from apiary_shard_1 as u) as q",
     'select apiary_a0 as "count_star()" from apiary_merged'),
    ("select count(*) from (select k from t union all select k from t) q", "aggregate t0 t1",
     "select count(*) from (select k from apiary_shard as t union all select k from apiary_shard_1 as t) as q",
     'select apiary_a0 as "count_star()" from apiary_merged'),
    ("select count(*) from (select k, x from t union all by name select k, v from u) q", "aggregate t0 t1"),
    ("select k from t union all select k from u union all select k from s", "plain gather t0 t1 t2"),
    ("select k from t union all (select k from u union all select k from s)", "plain gather t0 t1 t2"),
    ("select q.k, median(q.x) as m from (select k, x from t union all select k, v from u) q group by q.k", "gather rows t0 t1 from"),
    ("with c as (select k from t union all select k from u) select k, count(*) as n from c group by k", "aggregate t0 t1",
     "with c as (select k from apiary_shard as t union all select k from apiary_shard_1 as u) select k, count(*) from c group by 1",
     "select apiary_k0 as k, apiary_a0 as n from apiary_merged"),
    ("with c as (select k from u where v > 1) select k from t union all select k from c", "plain gather t0 t1",
     "with c as (select k from apiary_shard as u where v > 1) select k from apiary_shard_1 as t union all select k from c",
     "select apiary_c0 as k from apiary_merged"),
    ("select k from t union all select k from u order by k desc limit 3 offset 1", "top t0 t1",
     "select k from apiary_shard as t union all select k from apiary_shard_1 as u order by 1 desc limit 4",
     "select apiary_c0 as k from apiary_merged order by apiary_c0 desc limit 3 offset 1"),
    ("select k from t union all select k from u order by all", "gather t0 t1",
     "select k from apiary_shard as t union all select k from apiary_shard_1 as u", "select apiary_c0 as k from apiary_merged order by all"),
    ("(select k from t union all select k from u) union select k from s", "distinct t0 t1",
     "select distinct * from (select k from apiary_shard as t union all select k from apiary_shard_1 as u)",
     "select distinct apiary_c0 as k from apiary_merged union select k from s", ["k"]),
    ("select 7 as k union all (select k from t union all select k from u)", "gather t0 t1",
     "select k from apiary_shard as t union all select k from apiary_shard_1 as u",
     "select 7 as k union all select apiary_c0 as k from apiary_merged", ["k"]),
    # joins in branches: one side of each is sharded, the larger one for which this is possible
    ("select count(*) from (select t.k from t join u using (id) union all select u.k from s right join u using (k)) q", "aggregate t0 t3"),
    ("select count(*) from (select k from u union all select s.k from s left join t using (k)) q", "aggregate t0 t1"),
    ("select count(*) from (select k from u union all select a.k from s a, (select k from t where x > 1) b) q", "aggregate t0 t2"),
    ("select count(*) from s join (select k from t union all select k from u) q using (k)", "aggregate t1 t2"),
    # branches without a reference of their own: each by itself
    ("select k from t union all select 7", "gather t0", "select k from apiary_shard as t",
     "select apiary_c0 as k from apiary_merged union all select 7", ["k"]),
    ("select k from t union all select k from w", "gather t0"),
    ("select k from t union all select max(k) from u", "gather t0"),
    ("select k from t union all (select k from u limit 3)", "gather t0"),
    ("select k from t union all select k from u using sample 10%", "gather t0"),
    ("select k from t union all select k from (select distinct k from u)", "gather t0"),
    ("select k from t union all select 7 union all select k from u", "gather t0"),
    ("select k from t union all select u.k from u full join s using (k)", "gather t0"),
    ("with c as (select k from t) select k from c union all select k from c", "gather t0"),
    ("with c as (select k from u) select k from t union all select a.k from c a join c b using (k)", "gather t1"),
    # beside several
    ("select count(*) from (select k from t where k in (select k from u limit 3) union all select k from u) q", "aggregate t0 t2 first needed"),
    ("select name from s where k in (select k from t union all select k from u)", "plain gather t0"),
    ("select k from t union select k from u", "distinct t0", "select distinct k from apiary_shard as t",
     "select distinct apiary_c0 as k from apiary_merged union select k from u", ["k"]),
    ("select k from t except select k from u", "gather t0"),
    # rows
    ("select id, g from t where x > 1", "plain gather t0", "select id, g from apiary_shard as t where x > 1",
     "select apiary_c0 as id, apiary_c1 as g from apiary_merged"),
    ("select distinct g from t order by g", "distinct t0", "select distinct g from apiary_shard as t",
     "select distinct apiary_c0 as g from apiary_merged order by apiary_c0"),
    ("select id, g from t order by x desc nulls last, id limit 5 offset 2", "top t0",
     "select id, g, x from apiary_shard as t order by 3 desc nulls last, 1 limit 7",
     "select apiary_c0 as id, apiary_c1 as g from apiary_merged order by apiary_c2 desc nulls last, apiary_c0 limit 5 offset 2"),
    ("select id as x, g from t order by x limit 5", "top t0", "select id as x, g from apiary_shard as t order by 1 limit 5",
     "select apiary_c0 as x, apiary_c1 as g from apiary_merged order by apiary_c0 limit 5"),
    ("select id from t limit 5", "top t0", "select id from apiary_shard as t limit 5", "select apiary_c0 as id from apiary_merged limit 5"),
    ("select id from t order by x limit 10%", "gather t0"),
    ("select distinct on (k) k, g from t order by k, id", "gather rows t0 from"),
    ("select id, row_number() over (order by x) as n from t where k = 1", "gather rows t0 from", "select id, x from apiary_shard as t where k = 1",
     "select apiary_c0 as id, row_number() over (order by apiary_c1) as n from apiary_merged"),
    ("select *, row_number() over (order by x) as n from t q", "gather rows t0 from", "select * from apiary_shard as q",
     "select *, row_number() over (order by x) as n from apiary_merged as q"),
    ("select list_transform(l, lambda id: id + 1) as a, lag(id) over (order by id) as b from t", "gather rows t0 from",
     "select l, id from apiary_shard as t",
     "select list_transform(apiary_c0, lambda id: id + 1) as a, lag(apiary_c1) over (order by apiary_c1) as b from apiary_merged"),
    # beside r
    ("select count(*) from t where k in (select k from u)", "aggregate t0"),
    ("select count(*) from t where k in (select k from u limit 3)", "aggregate t0 first needed"),
    ("select count(*) from t where x > (select avg(v) from u)", "aggregate t0"),
    ("select count(*) from t where x > (select avg(x) from t)", "aggregate t0 first needed"),
    ("select count(*) from t where id in (select max(id) from u group by k)", "aggregate t0"),
    ("select count(*) from t where id in (select max(id) from t group by k)", "aggregate t0 first large"),
    ("select count(*) from t join (select k, row_number() over () as n from u) q using (k)", "aggregate t0 first needed"),
    ("select count(*) from t where exists (select 1 from u where u.id = t.id)", "aggregate t0"),
    ("with c as (select * from u limit 2) select count(*) from t join c using (k) join c d using (k)", "aggregate t1 first needed"),
    ("select count(*) from t join u tablesample 10% on t.id = u.id", "whole: it takes a sample"),
    ("select k, count(*) as n from t group by k having count(*) > (select avg(v) from u limit 1)", "aggregate t0"),
    # in expressions
    ("select name from s where k > (select avg(x) from t)", "aggregate t1", "select sum(x), count(x) from apiary_shard as t",
     "select name from s where k > (select apiary_a0 as \"avg(x)\" from apiary_merged)", ["avg(x)"]),
    # whole
    ("select 1", "whole: it reads no frame"),
    ("select count(*) from w", "whole: it reads no frame"),
    ("select count(*), random() from t", "whole: it calls a function that gives another value each time"),
    ("select count(*) from t where x > epoch(now())", "whole: it depends on the moment at which it runs"),
    ("select count(*) from t where g = current_date", "whole: it depends on the moment at which it runs"),
    ("select count(*) from t where x = $1", "whole: it has parameters"),
    ("select filename from t", "whole: it asks where in the files its rows lie"),
    ("select count(*) as apiary_x from t", "whole: it uses a name that begins with apiary_"),
    ("select geomean(x) from t", "whole: it calls a macro that holds an aggregate"),
    ("select count(*) from 'x.csv', t", "whole: it reads files of this machine"),
    ("select count(*) from t using sample 10%", "whole: the frame stands where it cannot be divided"),
]


def names(connection, sql):
    try:
        return [row[0] for row in connection.execute("describe " + sql).fetchall()]
    except duckdb.Error:
        return None


def main():
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(table)
    cases = []
    for sql, found, *parts in CUTS:
        case = {"sql": sql, "found": found, "tree": tree(connection, sql)}
        assert case["tree"], sql
        if parts:
            case["fragment"] = tree(connection, parts[0])
            assert case["fragment"], parts[0]
            case["names"] = parts[2] if len(parts) > 2 else names(connection, sql)
            case["memory"] = True
            case["from"] = names(connection, "from t")
        if len(parts) > 1:
            case["above"] = tree(connection, parts[1])
            assert case["above"], parts[1]
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":"), ensure_ascii=False) for case in cases)
    (HERE / "cuts.json").write_text("[\n" + lines + "\n]\n")
    print("cuts.json", len(cases))


if __name__ == "__main__":
    main()
