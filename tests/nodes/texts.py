#!/usr/bin/env python3
"""Many CSV and JSON files into a frame, worked on by three real nodes: what comes out is what one node makes of the same files,
types, values and errors, also of files that chance made; kills leave every row once, or none.

AP_ROUNDS says how many kills there are (default 4) and, ten times that, how many lists of files by chance; AP_SEED says where those begin.
With APIARY_TEST_ROOT the store is in a bucket."""

import gzip
import json
import os
import random

from swarm_nodes import Swarm, rounds  # first: it finds the folders of the others
from imports import ALONE, FORCE, SHARED, killed, load, pattern, same
from writes import by_swarm, number, rows, write

from apiary_cli import REMOTE, main

ROUNDS = int(os.environ.get("AP_ROUNDS", "4"))
SEED = int(os.environ.get("AP_SEED", "1"))
FILES, ROWS = 12, 24_000
LATE = 21_000  # behind the lines from which types are found out
SEEN = {"shared": 0, "refused": 0, "failed": 0, "all": 0}


def put(swarm, folder, files):
    """Files (name: text or bytes) below the store's root; the folder of them."""
    made = swarm.folder / "made" / folder if REMOTE else swarm.root / folder
    for name, text in files.items():
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if not REMOTE:
        return f"{made}/"
    place, _, options = swarm.root.partition("?")
    code, _, err = swarm.run("cp", made, f"{place}/{folder}?{options}")
    assert code == 0, err
    return f"{place}/{folder}/"


def table(header, lines, delimiter=","):
    return "".join(delimiter.join(map(str, line)) + "\n" for line in ([header] if header else []) + list(lines))


def both(swarm, words, exact=True):
    """What a statement says, shared out and not: code, errors, notices but ours. {} in words: the frame; it has to be the same.
    exact=False: files may be wrong in several ways, of which another one may be told."""
    said, frames = [], []
    for options in (FORCE, ALONE):
        SEEN["all"] += 1
        frame = f"x{SEEN['all']}"
        if words[0] == "sql":
            write(swarm, words[1].format(frame))
        code, out, err = swarm.run(*(word.replace("{}", frame) for word in (words[2:] if words[0] == "sql" else words)), *options)
        lines = [line.replace(frame, "F") for line in err.splitlines() if SHARED not in line and "not distributed" not in line]
        said.append((code, lines))
        frames.append(frame)
        if options is FORCE:
            shared = SHARED in out + err
            why = next((line for line in err.splitlines() if "not distributed" in line), "")
    alike = not exact and said[0][0] == said[1][0] == 1 and all(one[1][-1].startswith("Error (S") for one in said)
    assert alike or said[0] == said[1], f"{words}: {said[0]}\n{said[1]}"
    if said[0][0] == 0:
        same(swarm, "SELECT * FROM {} ORDER BY ALL", *frames)
    else:
        assert [swarm.run("sql", f"SELECT count(*) FROM {frame}", "-q", *ALONE)[0] for frame in frames] in ([1, 1], [0, 0])
    return shared, why, *said[0]


def landing(swarm, folder, kind):
    """ROWS rows in FILES files of CSV or JSON."""
    share = ROWS // FILES
    return pattern(swarm, put(swarm, folder, {f"{n:03}.{kind}": lines(kind, n * share, share) for n in range(FILES)}), f"*.{kind}")


def lines(kind, first, count):
    if kind == "csv":
        return "x,p,s\n" + "".join(f'{i},{i % 7},"v{i}\n,"\n' for i in range(first, first + count))
    return "".join(f'{{"x": {i}, "p": {i % 7}, "s": "v{i}"}}\n' for i in range(first, first + count))


def whole(swarm, frame):
    assert rows(swarm, f"SELECT count(*), count(DISTINCT x), sum(x), max(s[1:2]) FROM {frame}") == [
        [str(ROWS), str(ROWS), str(ROWS * (ROWS - 1) // 2), "v9"]], frame


def shared_out(swarm, kind):
    files = landing(swarm, f"landing-{kind}", kind)
    said = load(swarm, f"f{kind}", files)
    assert SHARED in said and f"{ROWS} rows" in said.replace(",", ""), said
    whole(swarm, f"f{kind}")
    write(swarm, f"CREATE FRAME c{kind} (x BIGINT, p INTEGER, s VARCHAR) PARTITIONED BY (p)")
    said = write(swarm, f"COPY c{kind} FROM '{files}'")
    assert SHARED in said and f"Copied {ROWS} rows" in said and "version 1" in said, said
    whole(swarm, f"c{kind}")
    load(swarm, f"f{kind}", files, "--overwrite", *FORCE)
    whole(swarm, f"f{kind}")
    call = f"{'read_csv' if kind == 'csv' else 'read_json'}('{files}', union_by_name = true)"
    write(swarm, f"CREATE FRAME g{kind} AS SELECT p, count(*) AS n FROM {call} GROUP BY p")
    write(swarm, f"INSERT INTO c{kind} BY NAME SELECT * FROM {call} WHERE x < 1000")
    assert rows(swarm, f"SELECT count(*), sum(n) FROM g{kind}") == [["7", str(ROWS)]] and number(swarm, f"SELECT count(*) FROM c{kind}") == ROWS + 1000
    code, out, err = swarm.run("sql", f"EXPLAIN SELECT count(*) FROM {call}", *FORCE)
    assert code == 0 and "distributed: 1 stage" in out and f"tasks over {FILES} files" in out, out + err
    assert REMOTE or [by_swarm(swarm, name + kind) for name in "fcg"] == [2, 2, 1], "not by the swarm"
    query = swarm.run("submit", f"COPY c{kind} FROM '{files}'")[1].strip()
    code, out, err = swarm.run("attach", query)
    assert code == 0 and f"Committed {ROWS} rows" in out + err, out + err
    swarm.settled()


def csv_cases():
    """Label, files, options of COPY (None: import), a word of why one node does it ("": they are shared out)."""
    many = [(n, n * 2) for n in range(50)]
    late = [(n, n) for n in range(LATE)]
    return [
        ("ints, doubles in a later file", {"0.csv": table("ab", many), "1.csv": table("ab", many), "2.csv": table("ab", [(1, 0.1), (2, "1e300")])}, None, ""),
        ("ints, text in a later file", {"0.csv": table("ab", [("007", 1)]), "1.csv": table("ab", many), "2.csv": table("ab", [("x", 1)])}, None, ""),
        ("no value, then ints, then text", {"0.csv": table("ab", [("", 1)]), "1.csv": table("ab", [("7", 2)]), "2.csv": table("ab", [("x", 3)])}, None, "few"),
        ("no value, then text", {"0.csv": table("ab", [("", 1)]), "1.csv": table("ab", [("", 1)]), "2.csv": table("ab", [("x", 3)])}, None, ""),
        ("no value at all", {f"{n}.csv": table("ab", [("", n)]) for n in range(4)}, None, ""),
        ("no value in the first lines", {"0.csv": table("ab", [("", 1)] * 3000 + [("x", 2)]), "1.csv": table("ab", [("01", 2)])}, None, ""),
        ("other columns, another order", {"0.csv": table("ab", many), "1.csv": table("ba", many), "2.csv": table("cAb", [(1, 2, 3)])}, None, ""),
        ("another delimiter", {"0.csv": table("ab", many), "1.csv": table("ab", many, ";"), "2.csv": table("ab", many)}, "", ""),
        ("quoted lines", {"0.csv": table("ab", [('"x\n,y"', '"a ""b"""')]), "1.csv": table("ab", [("u", "v")]), "2.csv": table("ab", [('"x\r\n\r\ny"', "' '")])}, None, ""),
        ("dates in two ways", {"0.csv": table("ab", [("2026-01-02", 1)]), "1.csv": table("ab", [("13/02/2026", 2), ("01/03/2026", 3)]), "2.csv": table("ab", [("2026-01-02 10:00:00", 4)])}, None, ""),
        ("dates by a format", {f"{n}.csv": table("ab", [("03/02/2026", n)]) for n in range(4)}, "DATEFORMAT '%d/%m/%Y'", ""),
        ("words for NULL", {f"{n}.csv": table("ab", [("NA", n), (1, "-"), (2, 5)]) for n in range(4)}, "NULLSTR ['NA', '-']", ""),
        ("no header", {f"{n}.csv": table("", [("x", n), ("y", n)]) for n in range(4)}, "HEADER false", ""),
        ("a header in one of them", {"0.csv": table("ab", many), "1.csv": table("", many), "2.csv": table("ab", many)}, None, ""),
        ("only a header", {"0.csv": table("ab", []), "1.csv": table("ab", many), "2.csv": table("abc", [])}, None, ""),
        ("an empty file", {"0.csv": "", "1.csv": table("ab", many), "2.csv": table("ab", many)}, None, ""),
        ("lines to skip", {f"{n}.csv": "about\n\n" + table("ab", many) for n in range(3)}, "SKIP 2", ""),
        ("types that are given", {f"{n}.csv": table("ab", [(n, "1.50"), (n, "")]) for n in range(3)}, "TYPES {'b': 'DECIMAL(9,2)', 'a': 'SMALLINT'}", ""),
        ("the type of a column that one lacks", {"0.csv": table("b", [(1,)]), "1.csv": table("ab", many), "2.csv": table("ba", many)}, "TYPES {'a': 'DOUBLE'}", ""),
        ("all text", {f"{n}.csv": table("ab", [(n, "01")]) for n in range(3)}, "ALL_VARCHAR true", ""),
        ("other quotes, tabs", {f"{n}.csv": table("ab", [("'x\ty'", n)], "\t") for n in range(3)}, "QUOTE '''', DELIMITER '\t'", ""),
        ("thousands, commas", {f"{n}.csv": table("ab", [("1.000,5", n)], ";") for n in range(3)}, "DECIMAL_SEPARATOR ',', THOUSANDS '.', DELIMITER ';'", ""),
        ("compressed", {f"{n}.csv.gz": gzip.compress(table("ab", many).encode()) for n in range(3)}, None, ""),
        ("tabs", {f"{n}.tsv": table("ab", [("x,y", n)], "\t") for n in range(3)}, None, ""),
        ("names twice", {"0.csv": table(["a", "a", "a_1", ""], [(1, 2, 3, 4)]), "1.csv": table(["a", "b"], [(5, "x")]), "2.csv": table(["A_1"], [(6,)])}, None, ""),
        ("names that are mended", {f"{n}.csv": table(["a b", "c;d"], [(n, "x")]) for n in range(3)}, None, ""),
        ("a late word among ints", {"0.csv": table("ab", late), "1.csv": table("ab", [*late, ("x", 1)]), "2.csv": table("ab", many)}, None, ""),
        ("a late row that is short", {"0.csv": table("ab", late), "1.csv": table("ab", [*late, ("1",)]), "2.csv": table("ab", many)}, None, ""),
        ("a late quote", {"0.csv": table("ab", late), "1.csv": table("ab", [*late, ('"x" y', 1)]), "2.csv": table("ab", many)}, None, ""),
        ("bytes that are no text", {"0.csv": table("ab", many), "1.csv": table("ab", [("x", 1)] * LATE).encode() + b"\xff\xfe,1\n", "2.csv": table("ab", many)}, None, ""),
        ("a word of another type", {"0.csv": table("ab", [("true", 1)]), "1.csv": table("ab", [(5, 1)]), "2.csv": table("ab", many)}, None, ""),
        ("a word that is no time", {"0.csv": table("ab", [(5, 1)]), "1.csv": table("ab", [("2026-01-01 10:00:00+02", 1)]), "2.csv": table("ab", many)}, None, ""),
        ("seventeen kinds of files", {f"{n:02}.csv": table(["a", f"b{n}"], [(n, 1)]) for n in range(17)}, None, "too many different"),
        ("a column called filename", {f"{n}.csv": table(["filename", "b"], [(n, 1)]) for n in range(3)}, None, "called filename"),
        ("their names as a column", {f"{n}.csv": table("ab", many) for n in range(3)}, "FILENAME true", "options"),
        ("errors that are left out", {f"{n}.csv": table("ab", [(1, 2), (1, 2, 3)]) for n in range(3)}, "IGNORE_ERRORS true", "options"),
        ("short rows that are padded", {f"{n}.csv": table("ab", [(1, 2), (1,)]) for n in range(3)}, "NULL_PADDING true", "options"),
        ("quotes that are guessed at", {f"{n}.csv": table("ab", [(1, '"x" y')]) for n in range(3)}, "STRICT_MODE false", "options"),
        ("names that are given", {f"{n}.csv": table("", many) for n in range(3)}, "NAMES ['k', 'l']", "options"),
    ]


def json_cases():
    def of(*objects):
        return "".join(json.dumps(one) + "\n" for one in objects)

    return [
        ("ints, doubles in a later file", {"0.json": of({"a": 1}, {"a": 2}), "1.json": of({"a": 3}), "2.json": of({"a": 1.5})}, None, ""),
        ("other keys, nested ones", {"0.json": of({"a": 1, "s": {"k": 1}}), "1.json": of({"s": {"m": [1, 2.5]}, "b": None}), "2.json": of({"c": [{"x": "y"}], "a": "z"})}, None, ""),
        ("lists of objects, and lines", {"0.json": json.dumps([{"a": 1}, {"a": 2}]), "1.json": of({"a": 3}), "2.json": json.dumps([{"b": "x"}], indent=2)}, None, ""),
        ("lines", {f"{n}.jsonl": of({"a": n, "b": f"x\n{n}"}) for n in range(4)}, None, ""),
        ("lines, compressed", {f"{n}.ndjson.gz": gzip.compress(of({"a": n}).encode()) for n in range(4)}, None, ""),
        ("keys in another case", {"0.json": of({"id": 1}), "1.json": of({"Id": 2}), "2.json": of({"id": 3})}, None, "one name"),
        ("dates", {f"{n}.json": of({"a": n, "d": "2026-01-02"}) for n in range(3)}, None, "dateformat"),
        ("times", {f"{n}.json": of({"a": n, "d": "2026-01-02 10:00:00"}) for n in range(3)}, None, "timestampformat"),
        ("dates by a format", {f"{n}.json": of({"a": n, "d": "03.02.2026"}) for n in range(3)}, "DATEFORMAT '%d.%m.%Y'", ""),
        ("times and ids that are text", {f"{n}.json": of({"a": "10:00:00", "u": f"0000000{n}-0000-0000-0000-000000000000"}) for n in range(3)}, None, ""),
        ("large numbers", {"0.json": of({"a": 2**63, "b": 2**64}), "1.json": of({"a": -1, "b": 1}), "2.json": of({"a": 1e300, "b": 3})}, None, ""),
        ("many keys", {f"{n}.json": of({"m": {f"k{i}": i for i in range(n * 100, n * 100 + 300)}}) for n in range(3)}, None, ""),
        ("only nulls", {f"{n}.json": of({"a": None, "b": []}) for n in range(3)}, None, ""),
        ("no records", {f"{n}.json": "1\n2\n" for n in range(3)}, None, "no records"),
        ("a key called json", {f"{n}.json": of({"json": n}) for n in range(3)}, None, "no records"),
        ("which are records", {f"{n}.json": of({"json": n, "b": n}) for n in range(3)}, "RECORDS 'true'", ""),
        ("a broken line", {"0.json": of({"a": 1}), "1.json": of(*({"a": n} for n in range(LATE))) + '{"a": \n', "2.json": of({"a": 1})}, None, ""),
        ("a late word among ints", {"0.json": of({"a": 1}), "1.json": of(*({"a": n} for n in range(LATE)), {"a": "x"}), "2.json": of({"a": 1})}, None, ""),
        ("errors that are left out", {f"{n}.json": of({"a": n, "b": n}) for n in range(3)}, "IGNORE_ERRORS true", "options"),
        ("a key with a zero byte", {"0.json": of({"x\0y": 1, "a": 3}), "1.json": of({"a": 3}), "2.json": of({"a": 4})}, None, "zero byte"),
        ("words like the engine's", {"0.json": of(*({"a": n} for n in range(LATE)), {"a": "Please Try it"}), "1.json": of({"a": 1})}, None, ""),
    ]


def as_one_node(swarm, cases):
    for number_of, (label, files, options, reason) in enumerate(cases):
        kind = next(iter(files)).split(".", 1)[1]
        place = put(swarm, f"cases{kind}{number_of}", files)
        names = pattern(swarm, place, f"*.{kind}")
        shared, why, code, said = both(swarm, ("import", "{}", names) if options is None else copy_of(swarm, names, kind.split(".")[0], options))
        print(f"# {label}: {'shared' if shared else why or 'refused before'}, {said[0] if code else 'done'}")
        assert (reason in why and why) if reason else not why, f"{label}: {why}"
        assert shared or reason or code != 0, f"{label}: {said}"


def spelled_as_by_one_node(swarm):
    """Names that become values are spelled as the first file spells them, whichever files a task has."""
    names = pattern(swarm, put(swarm, "spelled", {"0.csv": "A,b\n1,2\n", "1.csv": "a,b\n1.5,2\n", "2.csv": "a,B\nx,3\n", "3.csv": "a,b\n7,8\n"}), "*.csv")
    call = f"read_csv('{names}', union_by_name = true)"
    code, out, err = swarm.run("sql", f"EXPLAIN SELECT to_json(t) FROM {call} t", *FORCE)
    assert code == 0 and "distributed: 1 stage" in out, out + err
    for text in (f"SELECT to_json(t) AS j FROM {call} t ORDER BY 1", f"SELECT COLUMNS('^A') FROM {call} ORDER BY 1", f"UNPIVOT (SELECT COLUMNS(*)::VARCHAR FROM {call}) ON COLUMNS(*) INTO NAME n VALUE v"):
        many, one = (swarm.run("sql", text, "--format", "csv", *options) for options in (FORCE, ALONE))
        assert sorted(many[1].splitlines()) == sorted(one[1].splitlines()) and many[0] == one[0] == 0, f"{text}: {many}\n{one}"


def copy_of(swarm, names, form, options):
    """COPY into a frame that has what one node finds."""
    more = f", {options}" if options else ""
    third = ", f VARCHAR" if "FILENAME" in more else ""
    return ("sql", f"CREATE FRAME {{}} (a VARCHAR, b VARCHAR{third})", "sql", f"COPY {{}} FROM '{names}' (FORMAT {form}{more})")


class Chance:
    """A list of CSV files: columns, dialects and values by chance, and now and then something that does not fit."""

    KINDS = ("int", "padded", "double", "bool", "date", "other date", "time", "zoned", "text", "quoted", "nothing", "word", "any")

    def __init__(self, seed):
        self.pick = random.Random(seed)
        self.columns = self.pick.sample(["a", "b", "c d", "e", "f_1", "g"], self.pick.randint(1, 5))
        self.kinds = {name: self.pick.choice(self.KINDS) for name in self.columns}
        self.delimiter = self.pick.choice(",,,;|\t")
        self.ending = self.pick.choice(["\n", "\n", "\r\n"])

    def value(self, kind):
        pick = self.pick
        if kind == "any" or pick.random() < 0.0003:
            kind = pick.choice(self.KINDS[:-1])
        if pick.random() < 0.1:
            return pick.choice(["", "", '""', "NULL", "NA"])
        day = f"{pick.randint(1, 28):02}"
        return {
            "int": str(pick.randint(-1000, 10**pick.randint(1, 19))), "padded": f"{pick.randint(0, 99):03}", "double": repr(round(pick.uniform(-9, 9), pick.randint(0, 5))),
            "bool": pick.choice(["true", "false"]), "date": f"2026-0{pick.randint(1, 9)}-{day}", "other date": f"{day}/0{pick.randint(1, 9)}/2026",
            "time": f"2026-01-{day} 10:{day}:00", "zoned": f"2026-01-{day} 10:00:00+02", "text": pick.choice(["x", " y ", "\u00fc", "it's"]),
            "quoted": '"' + pick.choice(["a\nb", f"a{self.delimiter}b", 'a ""b""', "\n\n"]) + '"', "nothing": "", "word": pick.choice(["NA", "5", "true"]),
        }[kind]

    def file(self):
        pick = self.pick
        names = [name for name in self.columns if pick.random() < 0.9] or self.columns[:1]
        if pick.random() < 0.2:
            pick.shuffle(names)
        kinds = [pick.choice(self.KINDS) if pick.random() < 0.02 else self.kinds[name] for name in names]
        delimiter = pick.choice(",;|") if pick.random() < 0.05 else self.delimiter
        count = pick.choice([0, 1, 2, 10, 50, 50, 50, 3000])
        made = [[self.value(kind) for kind in kinds] for _ in range(count)]
        if pick.random() < 0.03 and made:
            pick.choice(made).append("5")
        header = [names] if pick.random() < 0.95 else []
        return "".join(delimiter.join(line) + self.ending for line in header + made)

    def words(self, swarm, place):
        files = pattern(swarm, place, "*.csv")
        options = [one for one in ("NULLSTR ['NA', '']", "HEADER true", f"DELIMITER '{self.delimiter}'", "DATEFORMAT '%d/%m/%Y'", "ALL_VARCHAR true", "NULL_PADDING true",
                                   "SAMPLE_SIZE 30", "STRICT_MODE false") if self.pick.random() < 0.15]
        if self.pick.random() < 0.5:
            return ("import", "{}", files)
        types = ", ".join(f'"{name.replace(" ", "_")}" {self.pick.choice(["VARCHAR"] * 10 + ["BIGINT", "DOUBLE"])}' for name in sorted(self.columns))
        if self.pick.random() < 0.5:
            return ("sql", f"CREATE FRAME {{}} ({types})", "import", "{}", files)
        return ("sql", f"CREATE FRAME {{}} ({types})", "sql", f"COPY {{}} FROM '{files}' (FORMAT csv{''.join(f', {one}' for one in options)})")


def json_value(pick, kind, depth=0):
    if kind == "any" or pick.random() < 0.001:
        kind = pick.choice(["int", "double", "text", "bool", "list", "object"])
    if pick.random() < 0.1:
        return None
    return {
        "int": lambda: pick.randint(-9, 10**pick.randint(1, 20)), "double": lambda: round(pick.uniform(-9, 9), 3), "bool": lambda: pick.random() < 0.5,
        "text": lambda: pick.choice(["x", "", "5", "a\nb", "10:00:00", "\u00fc"]),
        "list": lambda: [json_value(pick, "int" if depth else "any", depth + 1) for _ in range(pick.randint(0, 3))],
        "object": lambda: {key: json_value(pick, "double" if depth else "any", depth + 1) for key in pick.sample(["k", "l", "m n"], pick.randint(0, 3))},
    }[kind]()


def json_by_chance(swarm, seed):
    pick = random.Random(seed)
    kinds = {name: pick.choice(["int", "double", "bool", "text", "list", "object", "any"]) for name in pick.sample(["a", "b", "c d", "json"], pick.randint(1, 4))}
    files = {}
    for n in range(pick.randint(2, 7)):
        made = [{name: json_value(pick, kind) for name, kind in kinds.items() if pick.random() < 0.9} for _ in range(pick.choice([0, 1, 20, 500]))]
        files[f"{n}.json"] = json.dumps(made) if pick.random() < 0.3 else "".join(json.dumps(one) + "\n" for one in made)
    return ("import", "{}", pattern(swarm, put(swarm, f"chance{seed}", files), "*.json"))


def by_chance(swarm, seed):
    chance = Chance(seed)
    if seed % 3 == 0:
        words = json_by_chance(swarm, seed)
    else:
        place = put(swarm, f"chance{seed}", {f"{n}.csv": chance.file() for n in range(chance.pick.randint(2, 7))})
        words = chance.words(swarm, place)
    try:
        shared, why, code, _ = both(swarm, words, exact=False)
    except AssertionError as error:
        raise AssertionError(f"AP_SEED={seed}: {error}") from error
    SEEN["shared"] += shared
    SEEN["failed"] += code != 0
    SEEN["refused"] += bool(why)


def kill(swarm, seed, whom):
    """One statement, one kill -9 in its midst. What is acknowledged is there; what is there, is there once."""
    pick = random.Random(seed)
    kind, frame = pick.choice(["csv", "json"]), f"k{seed}"
    files = landing(swarm, f"kills-{kind}", kind)
    words = ("import", frame, files, *FORCE)
    if pick.random() < 0.5:
        write(swarm, f"CREATE FRAME {frame} (x BIGINT, p INTEGER, s VARCHAR)")
        words = ("sql", f"COPY {frame} FROM '{files}'", *FORCE)
    killed(swarm, words, frame, ROWS, seed, whom, pick)


def cases(swarm):
    def csv_files_are_cells():
        swarm.fill(1000)
        for _ in range(3):
            swarm.start()
        shared_out(swarm, "csv")

    def json_files_are_cells():
        shared_out(swarm, "json")

    def csv_comes_out_as_of_one_node():
        as_one_node(swarm, csv_cases())

    def names_are_spelled_as_by_one_node():
        spelled_as_by_one_node(swarm)

    def json_comes_out_as_of_one_node():
        as_one_node(swarm, json_cases())

    def so_do_files_by_chance():
        for seed in range(SEED, SEED + 10 * ROUNDS):
            by_chance(swarm, seed)
        print(f"# {SEEN}")
        assert SEEN["shared"] >= 3 * ROUNDS, SEEN

    def all_leave_in_good_order():
        swarm.stop()

    return [csv_files_are_cells, json_files_are_cells, csv_comes_out_as_of_one_node, names_are_spelled_as_by_one_node, json_comes_out_as_of_one_node, so_do_files_by_chance,
            *rounds(swarm, kill, ROUNDS, "asker"), all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
