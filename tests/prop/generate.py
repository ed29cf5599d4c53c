"""Frames, constants and predicates for pruning.py, all drawn from one random generator."""

SMALL = list(range(-12, 13))
STEMS = ["", "a", "aa", "ab", "B", "b", "~", "\u00e9", "\u00fc", "\u65e5\u672c", "\U0001f41d", "\U0010ffff", "\x7f", "'", "%", "_", "a%b", "a_b", "a\\b"]
LONG = ["common-prefix-of-thirty-two-chars", "\u00e9" * 31, "\U0010ffff" * 33, "z" * 70, "\x7f" * 34, "a" * 31 + "\u65e5"]
DAYS = ["0001-01-01", "1582-10-15", "1969-12-30", "1969-12-31", "1970-01-01", "1970-01-02", "2023-12-31", "2024-01-01",
        "2024-01-02", "2024-02-29", "2024-03-01", "9999-12-31", "10000-01-01", "12345-06-07"]
ODD_DAYS = ["infinity", "-infinity", "0044-03-15 (BC)"]
CLOCKS = ["00:00:00", "00:00:00.000001", "00:00:00.0005", "00:00:00.000999", "00:00:00.001", "12:34:56.789", "12:34:56.789123",
          "23:59:59.999", "23:59:59.999999"]
DOUBLES = ["-inf", "-1.7976931348623157e308", "-2.5", "-1.0000000000000002", "-1", "-0.1", "-5e-324", "-0.0", "0.0", "5e-324", "0.1",
           "0.3", "0.30000000000000004", "1", "1.0000000000000002", "2.5", "16777216", "16777217", "9007199254740992",
           "9007199254740994", "1e22", "1.7976931348623157e308", "inf", "nan"]
FLOATS = ["-inf", "-3.4028235e38", "-1.5", "-0.1", "-0.0", "0", "1e-45", "0.1", "0.3", "1", "1.0000001", "16777216", "16777218", "3.4028235e38",
          "inf", "nan"]


def text(value):
    """A string constant."""
    return "'" + value.replace("'", "''") + "'"


def decimals(digits, scale):
    """Numbers of a decimal type: its extremes, neighbours, zero."""
    top = 10 ** digits - 1
    numbers = [-top, -top + 1, -150, -101, -100, -99, -5, -1, 0, 1, 5, 99, 100, 101, 150, 12345, top - 1, top]
    return [shift(n, scale) for n in sorted({n for n in numbers if abs(n) <= top})]


def shift(number, scale):
    digits = str(abs(number)).rjust(scale + 1, "0")
    return ("-" if number < 0 else "") + (digits[:-scale] + "." + digits[-scale:] if scale else digits)


def integers(bits):
    top = 2 ** (bits - 1)
    numbers = SMALL + [-top, -top + 1, top - 2, top - 1]
    if bits > 53:
        numbers += [2 ** 53 - 1, 2 ** 53, 2 ** 53 + 1, -2 ** 53 - 1, 10 ** 15, 10 ** 15 + 1, 10 ** 17, 10 ** 17 + 1]
    return [str(n) for n in sorted(numbers)]


def strings():
    return sorted({stem + tail for stem in STEMS + LONG for tail in ("", "a", "b", "\u00e9", "\U0010ffff")})


def times(zone):
    return [f"{day} {clock}{zone}" for day in DAYS for clock in CLOCKS]


# kind: (SQL type, its values in order)
KINDS = {
    "tiny": ("TINYINT", integers(8)), "small": ("SMALLINT", integers(16)), "int": ("INTEGER", integers(32)), "big": ("BIGINT", integers(64)),
    "double": ("DOUBLE", DOUBLES), "float": ("FLOAT", FLOATS),
    "dec9": ("DECIMAL(9,2)", decimals(9, 2)), "dec18": ("DECIMAL(18,4)", decimals(18, 4)), "dec38": ("DECIMAL(38,10)", decimals(38, 10)),
    "dec0": ("DECIMAL(20,0)", decimals(20, 0)),
    "date": ("DATE", DAYS), "ts": ("TIMESTAMP", times("")), "tz": ("TIMESTAMPTZ", times("+00")),
    "bool": ("BOOLEAN", ["false", "true"]), "text": ("VARCHAR", strings()),
    "digits": ("VARCHAR", ["-1", "0", "00", "007", "1", "10", "2", "7", "7.0", "9"]),
}
ODD = {"date": ODD_DAYS, "ts": ODD_DAYS, "tz": ["infinity", "-infinity"], "text": ["nul\0", "nul\0b"]}
INTEGERS, DECIMALS = ("tiny", "small", "int", "big"), ("dec9", "dec18", "dec38", "dec0")
BITS = {"tiny": 8, "small": 16, "int": 32, "big": 64}
# What columns exist beside id (1, 2, …) and k (id % 7); a dot leads into a struct.
COLUMNS = {**{kind: kind for kind in KINDS}, "z": "int", "st.d": "double", "st.n.t": "text", "st.n.i": "int", "f": "int", "St2.day": "date"}
STRUCTS = {"st": "STRUCT(d DOUBLE, n STRUCT(t VARCHAR, i INTEGER))", "St2": "STRUCT(day DATE)"}
PARTITIONS = ["text", "ts", "tz", "int", "date", "bool", "dec9", "big", "digits"]


class Frame:
    """A frame's columns and rows, and the statements that make it."""

    def __init__(self, random, name):
        self.random, self.name = random, name
        self.partitions = random.sample(PARTITIONS, random.choice([0, 0, 1, 1, 2]))
        self.windows, self.rows = {}, 0

    def window(self, kind, wide, odd):
        """Neighbouring values, so that cells differ in what they hold."""
        values = KINDS[kind][1]
        size = len(values) if wide else self.random.choice([1, 1, 2, 3, 5])
        start = self.random.randrange(max(1, len(values) - size + 1))
        chosen = values[start:start + size]
        return chosen + self.random.sample(ODD[kind], 1) if odd and kind in ODD and self.random.random() < 0.08 else chosen

    def value(self, column, window, nulls):
        if column == "z" or self.random.random() < nulls:
            return "NULL"
        value = self.random.choice(window)
        if "\0" in value:
            return text(value.replace("\0", "")) + " || chr(0) || 'x'"
        return text(value)

    def create(self):
        columns = ["id BIGINT", "k INTEGER", *(f"{name} {KINDS[kind][0]}" for name, kind in COLUMNS.items() if "." not in name)]
        columns += [f"{name} {kind}" for name, kind in STRUCTS.items()]
        by = f" PARTITIONED BY ({', '.join(self.partitions)})" if self.partitions else ""
        return f"CREATE FRAME {self.name} ({', '.join(columns)}){by}"

    def insert(self):
        """One INSERT; each makes a cell, or one for each of a few partitions."""
        random = self.random
        windows = {column: self.window(kind, random.random() < 0.15 and column not in self.partitions, column not in self.partitions) for column, kind in COLUMNS.items()}
        nulls = {column: random.choice([0, 0, 0.3, 1 if random.random() < 0.3 else 0]) for column in COLUMNS}
        no_struct = random.choice([0, 0, 0.3])
        rows = []
        for _ in range(random.choice([1, 2, 5, 12])):
            self.rows += 1
            row = {column: self.value(column, windows[column], nulls[column]) for column in COLUMNS}
            cells = [str(self.rows), str(self.rows % 7)] + [v for c, v in row.items() if "." not in c]
            whole = f"{{'d': {row['st.d']}::DOUBLE, 'n': {{'t': {row['st.n.t']}, 'i': {row['st.n.i']}::INTEGER}}}}"
            part = f"{{'d': {row['st.d']}::DOUBLE, 'n': NULL}}"
            cells.append("NULL" if random.random() < no_struct else part if random.random() < no_struct else whole)
            cells.append(f"{{'day': {row['St2.day']}::DATE}}")
            rows.append(f"({', '.join(cells)})")
        return f"INSERT INTO {self.name} VALUES {', '.join(rows)}"


class Predicates:
    """Conditions over columns; `scope` is the alias that they are written with, or empty."""

    def __init__(self, random):
        self.random = random
        self.as_numbers = False  # texts of digits are compared with numbers

    def pick(self, choices):
        return self.random.choice(choices)()

    def rarely(self, odd, usual):
        """What the engine mostly refuses."""
        return odd if self.random.random() < 0.03 else usual

    def number(self, kind):
        """A number near values of a column, as text, and whether it is whole."""
        random, value = self.random, self.random.choice(KINDS[random_kind(self.random, kind)][1])
        if kind in INTEGERS and random.random() < 0.5:
            value = str(int(float(value)) + random.choice([-1, 1])) if abs(float(value)) < 1e15 else value
        return value

    def integer(self, kind):
        value = self.number(kind)
        narrow = -2 ** 31 <= int(value) < 2 ** 31
        far = "0" * 18 + "1"
        return self.pick([
            lambda: value, lambda: value, lambda: value, lambda: value + ".5", lambda: value + ".0", lambda: f"{value}.{far}", lambda: f"{value}e0",
            lambda: text(value) if fits(value, kind) else value, lambda: f"CAST({value} AS {'INTEGER' if narrow else 'HUGEINT'})",
            lambda: f"CAST({text(value)} AS HUGEINT)", lambda: f"CAST({value} AS DOUBLE)", lambda: f"{value}::DECIMAL(38,2)",
            lambda: f"{value}::FLOAT", lambda: "NULL", lambda: self.rarely(text(value) + "::VARCHAR", value),
            lambda: text(value + ".4") if abs(int(value)) < 100 else value, lambda: "9223372036854775808", lambda: "-1e300",
            lambda: self.rarely(f"{value}.{'0' * 29}1", value),
        ])

    def floating(self, kind):
        value = self.number(kind)
        plain = value if value[-1].isdigit() else text(value) + "::DOUBLE"
        return self.pick([
            lambda: plain, lambda: plain, lambda: text(value), lambda: text(value) + "::DOUBLE", lambda: f"CAST({plain} AS DOUBLE)",
            lambda: f"{plain}::FLOAT" if "308" not in value else plain, lambda: self.rarely(text(value) + "::VARCHAR", "0"), lambda: str(self.random.choice(SMALL)),
            lambda: "'nan'", lambda: "'nan'::FLOAT", lambda: "'-inf'::DOUBLE", lambda: "NULL", lambda: "0.1", lambda: "0.3", lambda: "0.1::FLOAT", lambda: "1e400"
            if False else "1e300", lambda: "16777217", lambda: "9007199254740993", lambda: "0.30000000000000004", lambda: "1.00000000000000000001",
        ])

    def decimal(self, kind):
        value = self.number(kind)
        if value.lstrip("-").replace(".", "") == "":
            return "0"
        small = len(value) < 10
        point = value if "." in value else value + ".0"
        return self.pick([
            lambda: value, lambda: value, lambda: value, lambda: point + "5" if len(value) < 36 else value, lambda: text(value), lambda: f"{value}e0",
            lambda: f"{value}::DOUBLE", lambda: self.rarely(text(value) + "::VARCHAR", "0"), lambda: str(self.random.choice(SMALL)), lambda: "NULL",
            lambda: text(point + "4") if small else value, lambda: f"CAST({value} AS DECIMAL(12,1))" if small else value,
            lambda: self.rarely(point + "0" * 24 + "1", value), lambda: text(value) + "::DECIMAL(38,10)" if small else value, lambda: "1e30", lambda: "1.5::FLOAT",
        ])

    def time(self, kind):
        random = self.random
        day, clock = random.choice(DAYS + (ODD_DAYS if random.random() < 0.1 else [])), random.choice(CLOCKS)
        if day in ODD_DAYS:
            return f"{'TIMESTAMPTZ' if kind == 'tz' else 'DATE' if kind == 'date' else 'TIMESTAMP'} {text(day if kind != 'tz' else 'infinity')}"
        moment, zone = f"{day} {clock}", random.choice(["+00", "Z", "+05:30", "-08", "+14"])
        own = {"date": day, "ts": moment, "tz": moment + zone}[kind]
        return self.pick([
            lambda: text(own), lambda: text(own), lambda: f"DATE {text(day)}", lambda: f"TIMESTAMP {text(moment)}", lambda: f"TIMESTAMPTZ {text(moment + zone)}",
            lambda: f"CAST({text(day)} AS DATE)", lambda: f"CAST({text(moment)} AS TIMESTAMP)", lambda: f"{text(moment + zone)}::TIMESTAMPTZ",
            lambda: f"TIMESTAMPTZ {text(moment)}", lambda: text(day), lambda: text(moment), lambda: text(moment + zone), lambda: self.rarely(f"{text(own)}::VARCHAR", text(own)),
            lambda: f"TIMESTAMP {text(moment + zone)}", lambda: "NULL",
            lambda: text(own) if kind == "tz" else f"{text(moment)}::TIMESTAMP_{random.choice(['S', 'MS'])}", lambda: text(day + "T" + clock),
            lambda: f"{text('2024-01-01 ' + clock)}::TIMESTAMP_NS" if kind == "ts" else text(own), lambda: f"DATE {text(day)} + INTERVAL 1 DAY",
        ])

    def string(self, _):
        value = self.random.choice(KINDS["text"][1])
        cut = self.random.randrange(28, 36)
        return self.pick([lambda: text(value), lambda: text(value), lambda: text(value[:cut]), lambda: text(value + "\x7f"), lambda: text(value) + "::VARCHAR",
                          lambda: f"CAST({text(value)} AS TEXT)", lambda: "NULL", lambda: "''", lambda: text(value[:cut]) + " || chr(1114111)"])

    def constant(self, kind):
        if kind in INTEGERS:
            return self.integer(kind)
        if kind in ("double", "float"):
            return self.floating(kind)
        if kind in DECIMALS:
            return self.decimal(kind)
        if kind in ("date", "ts", "tz"):
            return self.time(kind)
        if kind == "bool":
            return self.random.choice(["true", "false", "'true'", "'f'", "1", "0", "NULL", "CAST('t' AS BOOLEAN)", "CAST(1 AS BOOLEAN)", "'t'::VARCHAR"])
        if kind == "digits":
            numbers, texts = ["7", "10", "7e0", "10", "2", "NULL", "CAST('7' AS INTEGER)"], ["'7'", "'007'", "'1'", "NULL", "CAST(7 AS VARCHAR)", "'7'::VARCHAR"]
            return self.random.choice(numbers if self.as_numbers else texts)
        return self.string(kind)

    def test(self, name, kind):
        """One condition on one column."""
        random = self.random
        self.as_numbers = random.random() < 0.3
        constant = lambda: self.constant(kind)
        compare = random.choice(["=", "=", "<>", "<", "<=", ">", ">=", "!=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"])
        many = lambda: ", ".join(constant() for _ in range(random.choice([1, 2, 3])))
        alike = lambda: text(random.choice(KINDS["text"][1])[:random.choice([1, 2, 3, 31, 32, 33])] + random.choice(["%", "%", "_%", "", "%a"]))
        choices = [lambda: f"{name} {compare} {constant()}"] * 5 + [lambda: f"{constant()} {compare} {name}"] * 2
        choices += [lambda: f"{name} {random.choice(['', 'NOT '])}BETWEEN {constant()} AND {constant()}"] * 2
        choices += [lambda: f"{name} {random.choice(['', 'NOT '])}IN ({many()})"] * 2
        choices += [lambda: f"{name} IS {random.choice(['', 'NOT '])}NULL", lambda: f"{name} IN ({constant()}, {constant()}, {constant()}, NULL)"]
        choices += [lambda: f"{name} {compare} {name}", lambda: f"{constant()} BETWEEN {name} AND {constant()}"]
        if kind in ("text", "digits"):
            choices += [lambda: f"{name} {random.choice(['', 'NOT '])}LIKE {alike()}"] * 4
            choices += [lambda: f"starts_with({name}, {alike()})", lambda: f"{name} ^@ {text(random.choice(STEMS))}", lambda: f"{name} ILIKE {alike()}",
                        lambda: f"{name} LIKE {alike()} ESCAPE '!'", lambda: f"{name} GLOB 'a*'", lambda: f"lower({name}) = 'b'",
                        lambda: f"prefix({name}, {text(random.choice(STEMS))})", lambda: f"{name} COLLATE NOCASE = 'b'"]
        if kind == "bool":
            choices += [lambda: name, lambda: f"NOT {name}", lambda: f"{name} IS TRUE", lambda: f"{name} IS NOT FALSE"]
        if kind in INTEGERS and kind != "big":
            choices += [lambda: f"{name}::BIGINT + 1 > {constant()}", lambda: f"-{name}::BIGINT < {random.choice(SMALL)}", lambda: f"abs({name}::BIGINT) = 1"]
        return self.pick(choices)

    def column(self, scope):
        name = self.random.choice(list(COLUMNS))
        return (f"{scope}.{name}" if scope else name), COLUMNS[name]

    def condition(self, scopes, depth=2):
        """A nest of conditions over the columns of any of the scopes."""
        random = self.random
        roll = random.random()
        if depth and roll < 0.5:
            parts = [self.condition(scopes, depth - 1) for _ in range(random.choice([2, 2, 3]))]
            return "(" + random.choice([" AND ", " AND ", " OR "]).join(parts) + ")"
        if depth and roll < 0.62:
            return f"NOT ({self.condition(scopes, depth - 1)})"
        if roll > 0.985:
            return random.choice(["true", "false", "NULL", "1 = 1", "st IS NULL", "st IS NOT NULL", "coalesce(z, 1) = 1"]) if scopes == [""] else "true"
        scope = random.choice(scopes)
        return self.test(*self.column(scope))


def random_kind(random, kind):
    """Mostly its own values, at times those of a relative."""
    if random.random() < 0.85:
        return kind
    return random.choice(INTEGERS if kind in INTEGERS else ("double", "float") if kind in ("double", "float") else DECIMALS)


def fits(value, kind):
    return -2 ** (BITS[kind] - 1) <= int(value) < 2 ** (BITS[kind] - 1)
