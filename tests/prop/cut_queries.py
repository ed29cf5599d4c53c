"""Queries for distributed.py, all drawn from one random generator. Each has one answer, whatever order rows come in: what
LIMIT takes is fixed by a key, floats are multiples of a quarter, any_value sees one value a group."""

COLUMNS = "id, k, g, i, b, d, x, bo, dt, ts, l, st"
KEYS = ["k", "g", "bo", "k % 2", "upper(g)", "dt", "year(dt)", "coalesce(k, -1)", "b % 3"]
NUMBERS = ["i", "b", "d", "x", "k", "i + 1", "d * 2", "x / 4", "d * i", "CASE WHEN bo THEN d END", "length(g)"]
VALUES = [*NUMBERS, "g", "dt", "ts", "bo", "NULL"]
CONDITIONS = ["k = 2", "k <> 3", "i > 0", "i IS NOT NULL", "g IN ('g1', 'g2')", "g LIKE 'g%'", "d BETWEEN 10 AND 900", "x < 100", "bo",
              "NOT bo", "dt >= DATE '2024-02-01'", "id % 3 = 0", "id < 40", "b IS NULL OR b > 5", "k IS NULL", "false", "len(l) > 1",
              "st.a > 1", "abs(i) < 50"]
SUBQUERIES = ["k IN (SELECT k FROM w)", "k NOT IN (SELECT k FROM w WHERE k IS NOT NULL)", "EXISTS (SELECT 1 FROM h WHERE h.k = {t}.k)",
              "NOT EXISTS (SELECT * FROM h WHERE h.ref = {t}.id)", "i > (SELECT min(v) FROM h)", "x <= (SELECT avg(x) FROM f)",
              "d > (SELECT avg(y.d) FROM f y WHERE y.k = {t}.k)", "i > (SELECT sum(v) / 1000 FROM h WHERE h.k = {t}.k)",
              "id IN (SELECT ref FROM h ORDER BY v, hid LIMIT 9)", "id IN (SELECT id FROM f ORDER BY d DESC, id LIMIT 30)",
              "k IN (SELECT k FROM f GROUP BY k HAVING count(*) > 20)", "k = (SELECT max(k) FROM f)",
              "id IN (SELECT max(id) FROM f GROUP BY g)", "g = (SELECT g FROM f ORDER BY id LIMIT 1)",
              "id IN (SELECT q.id FROM (SELECT id, row_number() OVER (ORDER BY d, id) AS n FROM f) q WHERE q.n <= 25)"]


class Queries:
    def __init__(self, random):
        self.random = random

    def pick(self, items):
        return self.random.choice(items)

    def some(self, items, least=1, most=3):
        return self.random.sample(items, self.random.randint(least, most))

    def condition(self, table, deep=True):
        parts = [self.pick(CONDITIONS) for _ in range(self.random.choice([0, 1, 1, 2]))]
        parts = [part.replace("st.a", f"{table}.st.a") for part in parts]
        if deep and self.random.random() < 0.3:
            parts.append(self.pick(SUBQUERIES).replace("{t}", table))
        text = self.pick([" AND ", " OR "]).join(f"({part})" for part in parts)
        return f" WHERE {text}" if text else ""

    def source(self):
        """What columns of f are read from, all under the name t, with WHERE."""
        kind = self.random.randrange(14)
        where = self.condition("t")
        if kind < 4:
            return f"f t{where}"
        if kind == 4:
            return f"(SELECT * FROM f t{where}) t" + self.condition("t")
        if kind in (5, 13):
            return f"({self.united()}) t{where}"
        if kind == 6:
            return f"(SELECT DISTINCT * EXCLUDE (l, st), l, st FROM f) t{where}"
        if kind == 7:
            return f"v t{where}"
        if kind == 8:
            return f"(SELECT t.* FROM f t JOIN w ON t.k = w.k) t{where}"
        if kind == 9:
            return f"(SELECT t.* FROM f t {self.pick(['SEMI', 'ANTI'])} JOIN h ON t.k = h.k AND h.v > 3) t{where}"
        if kind == 10:
            return f"(SELECT t.* FROM h {self.pick(['LEFT', 'RIGHT', 'FULL', 'INNER'])} JOIN f t ON h.ref = t.id) t{where}"
        if kind == 11:
            return f"(SELECT * FROM f ORDER BY d, id LIMIT {self.random.randint(0, 80)} OFFSET {self.random.randint(0, 5)}) t{where}"
        return f"(SELECT t.* FROM f t, (SELECT unnest(t.l) AS u) e WHERE e.u > 2) t{where}"

    def branch(self):
        """One of UNION ALL: most have a reference that can be divided, of f or of e, whose columns have other types. Rows with
        one id are the same row, or have the same values: an order by id has one answer."""
        where = self.condition("t", False)
        return self.pick([f"SELECT {COLUMNS} FROM f t{where}", f"SELECT {COLUMNS} FROM f t{where}", f"SELECT {COLUMNS} FROM e t{where}",
                          f"SELECT {COLUMNS} FROM e t{where}", f"SELECT {COLUMNS} FROM v t{where}", f"SELECT {COLUMNS} FROM nothing t{where}",
                          f"SELECT t.* FROM (SELECT * FROM e t{where}) t JOIN w ON t.k = w.k", f"SELECT t.* FROM w RIGHT JOIN (SELECT * FROM f t{where}) t ON t.k = w.k + 1",
                          f"SELECT {COLUMNS} FROM (SELECT * FROM e WHERE bo) t{where}", f"SELECT t.* FROM f t ANTI JOIN e ON t.id + 100000 = e.id{where}",
                          f"SELECT {COLUMNS} FROM f t WHERE id + 100000 IN (SELECT id FROM e ORDER BY d, id LIMIT 20)",
                          # no reference of its own that could be
                          f"SELECT {COLUMNS} FROM (SELECT * FROM e ORDER BY d, id LIMIT 9) t{where}",
                          f"SELECT max(id) + {self.random.randrange(1000)} * 1000000 AS id, k, min(g) AS g, CAST(sum(i) AS INTEGER) AS i, max(b) AS b, min(d) AS d, sum(x) AS x, "
                          f"bo, max(dt) AS dt, min(ts) AS ts, [k] AS l, {{'a': k, 'c': 'c'}} AS st FROM f t{where} GROUP BY k, bo",
                          "SELECT -7 AS id, 1 AS k, 'g1' AS g, 2 AS i, 3 AS b, 4.5 AS d, 0.25 AS x, true AS bo, DATE '2024-02-02' AS dt, TIMESTAMP '2024-02-02' AS ts, "
                          "[1, 2] AS l, {'a': 1, 'c': 'x'} AS st"])

    def united(self):
        """UNION ALL of two, three or four branches, in whatever order they are put together."""
        text = self.branch()
        for _ in range(self.pick([1, 1, 1, 2, 3])):
            other = self.branch() if self.random.random() < 0.8 else f"({self.branch()} UNION ALL {self.branch()})"
            text = self.pick([f"({text}) UNION ALL ({other})", f"({other}) UNION ALL ({text})"])
        return text

    def aggregate(self):
        n, value = self.pick(NUMBERS), self.pick(VALUES)
        text = self.pick([
            "count(*)", f"count({value})", f"sum({n})", f"avg({n})", f"min({value})", f"max({value})", f"count(DISTINCT {value})",
            f"sum(DISTINCT {self.pick(['i', 'k', 'd'])})", "avg(DISTINCT i)", f"stddev({n})", f"var_pop({n})", "stddev_pop(x)", "variance(d)",
            "bool_and(bo)", "bool_or(bo)", "bit_xor(i)", "bit_and(k)", "arg_min(g, id)", "arg_max(d, id)", "max_by(id, id)",
            "string_agg(g, ',' ORDER BY id)", "list(i ORDER BY id DESC)", "median(d)", "quantile_cont(x, 0.25)", "mode(1)", "count_if(bo)",
            "sum(i) + count(*)", "sum(d) / count(*)", "product(1.0 + k * 0)", "any_value(1)", "approx_count_distinct(k) > 0",
            "corr(x, x) > 0.5"])
        if self.random.random() < 0.2 and text.endswith(")") and " " not in text.split("(")[0] and "+" not in text and text.count("(") == 1:
            text += f" FILTER (WHERE {self.pick(['bo', 'i > 0', 'k = 1', 'false'])})"
        return text

    def aggregates(self):
        return [f"{self.aggregate()} AS a{n}" for n in range(self.random.randint(1, 4))]

    def grouped(self):
        keys = self.some(KEYS)
        style = self.random.randrange(7)
        named = [f"{key} AS y{n}" for n, key in enumerate(keys)]
        select = ", ".join(named + self.aggregates())
        by = {0: ", ".join(str(n + 1) for n in range(len(keys))), 1: ", ".join(f"y{n}" for n in range(len(keys))), 2: "ALL",
              3: f"ROLLUP ({', '.join(keys)})", 4: f"GROUPING SETS (({', '.join(keys)}), ({keys[0]}), ())"}.get(style, ", ".join(keys))
        if style in (3, 4) and self.random.random() < 0.5:
            select += f", grouping({keys[0]}) AS gr"
        text = f"SELECT {select} FROM {self.source()} GROUP BY {by}"
        if self.random.random() < 0.3:
            text += " HAVING " + self.pick(["count(*) > 2", "sum(i) > 0", "max(id) > 50", "sum(i) > (SELECT sum(i) / 10 FROM f)", "count(*) < (SELECT count(*) FROM f WHERE bo)", "min(d) < (SELECT avg(v) FROM h)"])
        if self.random.random() < 0.2:
            text += " QUALIFY row_number() OVER (ORDER BY count(*), max(id)) <= 3"
        return text + self.pick(["", " ORDER BY ALL", " ORDER BY 1", f" ORDER BY {len(keys) + 1} DESC, ALL" if False else ""])

    def total(self):
        text = f"SELECT {', '.join(self.aggregates())} FROM {self.source()}"
        return text + self.pick(["", "", " HAVING count(*) > 3"])

    def types(self):
        return f"SELECT typeof(a0) AS t0, a0 FROM (SELECT {self.aggregate()} AS a0 FROM {self.source()})"

    def rows(self):
        columns = ", ".join(self.some(["id", *VALUES, "l", "st", "t.g", "list_transform(l, lambda e: e + 1)"], 1, 4))
        text = f"SELECT {self.pick(['', 'DISTINCT '])}{columns} FROM {self.source()}"
        return text

    def top(self):
        order = self.pick(["id", "d DESC, id", "k NULLS FIRST, id DESC", "t.g, t.id", "i + 1, id", "x DESC NULLS LAST, id"])
        columns = self.pick(["*", "id, g", "t.*", "g AS id2, id", "id AS z, d", "k + 1 AS k, id"])
        limit = self.pick(["", f" LIMIT {self.random.randint(0, 30)}", f" LIMIT {self.random.randint(1, 30)} OFFSET {self.random.randint(0, 20)}"])
        return f"SELECT {columns} FROM {self.source()} ORDER BY {order}{limit}"

    def window(self):
        columns = self.some(["row_number() OVER (ORDER BY id)", "sum(d) OVER (PARTITION BY k)", "lag(i) OVER (ORDER BY id)",
                             "count(*) OVER ()", "rank() OVER (PARTITION BY g ORDER BY d)", "avg(x) OVER (PARTITION BY bo)"], 1, 2)
        text = f"SELECT id, {', '.join(f'{c} AS w{n}' for n, c in enumerate(columns))} FROM {self.source()}"
        return text + self.pick(["", " QUALIFY w0 <= 5" if "row_number" in columns[0] else "", " ORDER BY id LIMIT 7"])

    def with_(self):
        inner = self.pick([f"SELECT * FROM f t{self.condition('t')}",
                           f"SELECT k, {self.pick(['sum(d)', 'count(*)', 'avg(x)'])} AS n FROM {self.source()} GROUP BY k"])
        outer = self.pick(["SELECT count(*) AS n0 FROM c", "SELECT count(*) AS n0 FROM c a JOIN c b ON a.k = b.k",
                           "SELECT count(*) AS n0 FROM c, w", "SELECT max(k) AS n0 FROM c WHERE k < (SELECT max(k) FROM c)",
                           "SELECT count(*) AS n0 FROM c UNION ALL SELECT count(*) FROM c",
                           "SELECT k, count(*) AS n0 FROM c GROUP BY k", "SELECT count(*) AS n0 FROM c LEFT JOIN w USING (k)"])
        return f"WITH c AS {self.pick(['', 'MATERIALIZED ', 'NOT MATERIALIZED '])}({inner}) {outer}"

    def union(self):
        one = f"SELECT {self.pick(['k', 'k % 2'])} AS u FROM {self.source()}"
        other = self.pick([f"SELECT k FROM {self.source()}", "SELECT k FROM w", "SELECT v FROM h", "SELECT 7"])
        operation = self.pick(["UNION", "UNION ALL", "EXCEPT", "INTERSECT"])
        text = f"{one} {operation} {other}"
        return self.pick([text, f"SELECT count(*) AS n0, sum(u) AS n1 FROM ({text}) q", f"{text} ORDER BY 1", f"{text} ORDER BY u DESC NULLS LAST LIMIT 9 OFFSET 2",
                          f"WITH c AS ({text}) SELECT u, count(*) AS n0 FROM c GROUP BY u", f"SELECT DISTINCT u % 3 AS z FROM ({text}) q",
                          f"SELECT label FROM w WHERE k IN ({text})", f"SELECT count(*) AS n0 FROM h JOIN ({text}) q ON h.k = q.u"])

    def join(self):
        kind = self.pick(["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "JOIN"])
        other, on = self.pick([("w", "t.k = o.k"), ("h", "t.id = o.ref"), ("f", "t.id = o.id + 1"), ("(SELECT k, count(*) AS n FROM f GROUP BY k)", "t.k = o.k"),
                               ("(SELECT k, avg(x) AS n FROM f GROUP BY k)", "t.k = o.k")])
        select = self.pick(["count(*) AS n0, sum(t.d) AS n1", "t.g, count(*) AS n0, max(o.k) AS n1", "t.id, o.k, t.d"])
        text = f"SELECT {select} FROM f t {kind} {other} o ON {on}"
        return text + (" GROUP BY t.g" if select.startswith("t.g") else "")

    def asof(self):
        return f"SELECT t.id, o.hid FROM f t ASOF {self.pick(['', 'LEFT '])}JOIN h o ON t.id >= o.ref{self.pick(['', ' WHERE t.k = 1'])}"

    def expression(self):
        return self.pick([f"SELECT (SELECT {self.aggregate()} FROM f t{self.condition('t', False)}) AS n0",
                          "SELECT label, (SELECT count(*) FROM f WHERE f.k = w.k) AS n0 FROM w",
                          "SELECT label FROM w WHERE k IN (SELECT k FROM f GROUP BY k HAVING sum(d) > 100)",
                          "SELECT label, (SELECT sum(d) FROM f) AS n0 FROM w",
                          "SELECT label FROM w WHERE EXISTS (SELECT 1 FROM f WHERE f.k = w.k AND f.i > 10)"])

    def twice(self):
        """Aggregates of aggregates."""
        return f"SELECT y0 % 2 AS z, sum(a0) AS n0, count(*) AS n1 FROM (SELECT b % 5 AS y0, {self.pick(['count(*)', 'sum(i)', 'max(k)'])} AS a0 " \
               f"FROM {self.source()} GROUP BY b % 5) q GROUP BY z"

    def query(self):
        kinds = [self.grouped] * 5 + [self.total] * 3 + [self.types, self.rows, self.rows, self.top, self.top, self.window, self.with_, self.with_,
                                                          self.union, self.union, self.join, self.join, self.asof, self.expression, self.twice]
        return self.pick(kinds)()
