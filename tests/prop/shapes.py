"""Queries of many shapes. Each gives count, hash and sum of the rows that it finds. {a}, {b}, {c} stand for
FROM entries of the frames A, B and C; "{a:x}" gives the entry the alias x."""

TOTALS = "count(*) AS n, bit_xor(hash({ids})) AS h, sum(a.id) AS s"
ONE, TWO = TOTALS.format(ids="a.id"), TOTALS.format(ids="a.id, b.id")


def plain(r, p):
    return f"SELECT {ONE} FROM {{a:a}} WHERE {p.condition([r.choice(['a', ''])], 3)}"


def single(r, p):
    return f"SELECT {ONE} FROM {{a:a}} WHERE {p.test(*p.column(r.choice(['a', ''])))}"


def subquery(r, p):
    tail = r.choice(["", "ORDER BY id", "ORDER BY id LIMIT 20", "ORDER BY k, id DESC LIMIT 9 OFFSET 3"])
    return f"SELECT {ONE} FROM (SELECT * FROM {{a:t}} WHERE {p.condition(['t'], 1)} {tail}) a WHERE {p.condition(['a'])}"


def renamed(r, p):
    swap = r.choice(["id, big AS int, int AS big, text AS digits, digits AS text", "id, id AS k, date AS int, z AS big, st.n.t AS text, f AS digits"])
    kind = r.choice([("int", "date"), ("big", "int"), ("text", "text")]) if "date AS int" in swap else r.choice([("int", "big"), ("big", "int"), ("text", "digits"), ("digits", "text")])
    return f"SELECT {ONE} FROM (SELECT {swap} FROM {{a:t}}) a WHERE {p.test('a.' + kind[0], kind[1])} OR {p.test('a.' + kind[0], kind[1])}"


def column_names(r, p):
    return f"SELECT {ONE} FROM (SELECT id, int, text FROM {{a:t}}) a(id, text, int) WHERE {p.test('a.text', 'int')} AND {p.test('a.int', 'text')}"


def starred(r, p):
    star = r.choice(["* EXCLUDE (big)", "* REPLACE (k AS int)", "* REPLACE (big + 0 AS big)", "*, 1 AS other", "t.*"])
    if "+ 0" in star:
        star = "* REPLACE (-int::BIGINT AS big)"
    names = [c for c in ("int", "date", "text", "ts", "double")]
    name = r.choice(names)
    return f"SELECT {ONE} FROM (SELECT {star} FROM {{a:t}}) a WHERE {p.test('a.' + name, name)} AND {p.test('a.' + r.choice(['k', 'f']), 'int')}"


def distinct(r, p):
    what = r.choice(["DISTINCT id, int, text", "DISTINCT ON (int) id, int, text", "id, int, text, row_number() OVER (PARTITION BY int ORDER BY id) AS w"])
    order = "ORDER BY int, id" if "ON" in what else ""
    return f"SELECT {ONE} FROM (SELECT {what} FROM {{a:t}} {order}) a WHERE {p.test('a.int', 'int')}" + (" AND w = 1" if "OVER" in what else "")


def grouped(r, p):
    key, kind = r.choice([("int", "int"), ("text", "text"), ("date", "date"), ("st.n.i", "int")])
    value, other = r.choice([("max(big)", "big"), ("min(dec9)", "dec9"), ("max(ts)", "ts")])
    keys = r.choice([f"{key}", f"ROLLUP ({key})", f"GROUPING SETS (({key}), ())", f"CUBE ({key}, k)", "1", "ALL"])
    return (f"SELECT count(*) AS n, bit_xor(hash(x, y)) AS h, sum(id) AS s FROM (SELECT {key} AS x, {value} AS y, sum(id) AS id FROM {{a:t}} "
            f"WHERE {p.condition(['t'], 1)} GROUP BY {keys}) g WHERE {p.test('x', kind)} {r.choice(['AND', 'OR'])} {p.test('y', other)}")


def having(r, p):
    return (f"SELECT count(*) AS n, bit_xor(hash(x, c)) AS h, sum(c) AS s FROM (SELECT int AS x, count(*) AS c FROM {{a:t}} WHERE {p.condition(['t'], 1)} "
            f"GROUP BY int HAVING {p.test('int', 'int')} AND count(*) {r.choice(['>', '<'])} 3) g")


def windowed(r, p):
    return f"SELECT {ONE} FROM (SELECT id, int, text FROM {{a:t}} QUALIFY row_number() OVER (PARTITION BY k ORDER BY id) <= 3) a WHERE {p.test('a.text', 'text')}"


def cte(r, p):
    hint = r.choice(["", "MATERIALIZED", "NOT MATERIALIZED"])
    second = r.choice([f"JOIN w b ON a.k = b.k AND {p.test('b.int', 'int')}", f"LEFT JOIN w b ON a.id = b.id AND {p.condition(['b'], 1)}",
                       f"JOIN (SELECT * FROM w WHERE {p.condition(['w'], 1)}) b USING (id)"])
    return f"WITH w AS {hint} (SELECT * FROM {{a:t}} WHERE {p.condition(['t'], 1)}) SELECT {TWO} FROM w a {second} WHERE {p.condition(['a'], 1)}"


def cte_once(r, p):
    return f"WITH w(id, big, int) AS (SELECT id, int, big FROM {{a:t}}), v AS (SELECT * FROM w WHERE {p.test('int', 'big')}) SELECT {ONE} FROM v a WHERE {p.test('big', 'int')}"


def cte_in_expression(r, p):
    return (f"WITH w AS (SELECT * FROM {{a:t}}) SELECT {ONE} FROM w a WHERE {p.condition(['a'], 1)} AND a.k {r.choice(['IN', 'NOT IN'])} "
            f"(SELECT k FROM w WHERE {p.condition(['w'], 1)} AND k IS NOT NULL)")


def exists(r, p):
    return (f"SELECT {ONE} FROM {{a:a}} WHERE {p.condition(['a'], 1)} {r.choice(['AND', 'OR'])} {r.choice(['', 'NOT '])}EXISTS "
            f"(SELECT 1 FROM {{b:b}} WHERE b.k = a.k AND {p.condition(['a', 'b'], 1)})")


def in_query(r, p):
    name, column = r.choice([("k", "k"), ("int", "int"), ("text", "text")]), None
    return (f"SELECT {ONE} FROM {{a:a}} WHERE {p.condition(['a'], 1)} AND a.{name[0]} {r.choice(['IN', 'IN', 'NOT IN'])} "
            f"(SELECT b.{name[0]} FROM {{b:b}} WHERE {p.condition(['b'], 1)})")


def scalar(r, p):
    return (f"SELECT {ONE} FROM {{a:a}} WHERE a.int {r.choice(['<', '>=', '='])} (SELECT {r.choice(['max', 'min', 'median'])}(b.int) FROM {{b:b}} "
            f"WHERE {p.condition(['b'], 1)})")


def join(r, p):
    kind = r.choice(["JOIN", "JOIN", "LEFT JOIN", "LEFT JOIN", "RIGHT JOIN", "RIGHT JOIN", "FULL JOIN", "FULL JOIN"])
    on = f" AND {p.condition(r.choice([['a'], ['b'], ['a', 'b']]), 1)}" if r.random() < 0.7 else ""
    where = f" WHERE {p.condition(r.choice([['a'], ['b'], ['a', 'b']]), 2)}" if r.random() < 0.8 else ""
    return f"SELECT {TWO} FROM {{a:a}} {kind} {{b:b}} ON a.k = b.k{on}{where}"


def comma(r, p):
    return f"SELECT {TWO} FROM {{a:a}}{r.choice([',', ' CROSS JOIN'])} {{b:b}} WHERE a.id = b.id AND {p.condition(['a', 'b'], 2)}"


def half_join(r, p):
    on = f" AND {p.condition(r.choice([['a'], ['b'], ['a', 'b']]), 1)}" if r.random() < 0.8 else ""
    return f"SELECT {ONE} FROM {{a:a}} {r.choice(['SEMI', 'ANTI'])} JOIN {{b:b}} ON a.k = b.k{on} WHERE {p.condition(['a'], 1)}"


def using(r, p):
    kind, column = r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]), r.choice(["int", "text", "k"])
    on_merged = p.test(column, "int" if column == "k" else column)
    return f"SELECT {TWO} FROM {{a:a}} {kind} {{b:b}} USING ({column}) WHERE {on_merged} AND {p.condition(['a', 'b'], 1)}"


def natural(r, p):
    kind = r.choice(["", "LEFT ", "RIGHT ", "FULL "])
    return (f"SELECT {TWO} FROM (SELECT id, k, int FROM {{a:t}}) a NATURAL {kind}JOIN (SELECT id, f, int FROM {{b:u}}) b WHERE {p.test('int', 'int')} "
            f"AND {p.test(r.choice(['f', 'k', 'a.int', 'b.int']), 'int')}")


def asof(r, p):
    kind = r.choice(["", "LEFT "])
    return (f"SELECT {TWO} FROM {{a:a}} ASOF {kind}JOIN {{b:b}} ON a.k = b.k AND a.id >= b.id WHERE {p.condition(['a', 'b'], 2)}")


def three(r, p):
    kinds = [r.choice(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]) for _ in range(2)]
    ids = TOTALS.format(ids="a.id, b.id, c.id")
    if r.random() < 0.5:
        tree = f"{{a:a}} {kinds[0]} {{b:b}} ON a.id = b.id AND {p.condition(['a', 'b'], 1)} {kinds[1]} {{c:c}} ON b.id = c.id AND {p.condition(['a', 'b', 'c'], 1)}"
    else:
        tree = f"{{a:a}} {kinds[0]} ({{b:b}} {kinds[1]} {{c:c}} ON b.id = c.id AND {p.condition(['b', 'c'], 1)}) ON a.id = b.id AND {p.condition(['a', 'b', 'c'], 1)}"
    return f"SELECT {ids} FROM {tree} WHERE {p.condition(['a', 'b', 'c'], 1)}"


def lateral(r, p):
    return f"SELECT {TWO} FROM {{a:a}}, LATERAL (SELECT * FROM {{b:t}} WHERE t.k = a.k AND {p.condition(['a', 't'], 1)}) b WHERE {p.condition(['a', 'b'], 1)}"


def set_operation(r, p):
    word = r.choice(["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])
    sides = [f"SELECT id, int, text FROM {{{side}:t}} WHERE {p.condition(['t'], 1)}" for side in "ab"]
    return f"SELECT {ONE} FROM ({sides[0]} {word} {sides[1]}) a WHERE {p.test('a.int', 'int')}"


def filtered(r, p):
    return f"SELECT count(*) AS n, bit_xor(hash(a.id)) FILTER (WHERE {p.condition(['a'], 1)}) AS h, sum(a.id) AS s FROM {{a:a}} WHERE {p.condition(['a'], 1)}"


def struct_alias(r, p):
    """The alias is called like a struct column: st.n is a column of the table st before it is a field."""
    return f"SELECT count(*) AS n, bit_xor(hash(id)) AS h, sum(id) AS s FROM {{a:st}} WHERE {p.test('st.f', 'int')} AND {p.test('st.st.d', 'double')}"


def negated(r, p):
    return f"SELECT {ONE} FROM {{a:a}} WHERE NOT ({p.condition(['a'], 2)}) AND ({p.condition(['a'], 1)}) IS NOT NULL"


def sampled(r, p):
    return f"SELECT {ONE} FROM (SELECT * FROM {{a:t}} WHERE {p.condition(['t'], 1)}) a WHERE CASE WHEN {p.test('a.int', 'int')} THEN {p.test('a.big', 'big')} END"


def view(r, p):
    """Here the view's text; pruning.py makes a view of it for the tested side."""
    return f"SELECT {ONE} FROM {{view}} a WHERE {p.condition(['a'], 1)}"


SHAPES = [plain] * 14 + [single] * 18 + [join] * 8 + [subquery] * 2 + [exists] * 2 + [cte] * 2 + [three] * 2 + [
    renamed, column_names, starred, distinct, grouped, having, windowed, cte_once, cte_in_expression, in_query, scalar, comma, half_join, half_join,
    using, using, natural, asof, lateral, set_operation, filtered, struct_alias, negated, sampled, view]
