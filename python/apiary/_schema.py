"""Schemas: type words to Arrow and back.

A schema is a dict of column to type word. The words are ``int8`` … ``int64`` (``int`` is
``int64``), ``uint8`` … ``uint64``, ``float32`` (``float``), ``float64`` (``double``), ``string``
(``utf8``, ``text``), ``bool``, ``date``, ``datetime`` (``timestamp``), ``timestamp_tz``,
``decimal(p,s)``, ``binary`` (``bytes``), ``list<T>`` (``T[]``), ``struct<a: T, b: U>``,
``map<K, V>``. Words of SQL (``BIGINT``, ``VARCHAR``, ``STRUCT(a INTEGER)``) mean what they mean
there. `` not null`` behind a word forbids NULL.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Union

from . import _apiary
from ._errors import SchemaError

#: (name, Arrow format, nullable, children, metadata): how a field goes to and from the extension.
Description = tuple[Any, ...]
TypeLike = Union[str, type, Mapping[str, Any], list[Any]]
SchemaLike = Union[Mapping[str, TypeLike], "Schema", object]

DEPTH_MAX = 32

FORMATS: dict[str, str] = {
    "int8": "c", "tinyint": "c",
    "int16": "s", "smallint": "s", "short": "s",
    "int32": "i", "integer": "i",
    "int64": "l", "int": "l", "bigint": "l", "long": "l",
    "uint8": "C", "utinyint": "C",
    "uint16": "S", "usmallint": "S",
    "uint32": "I", "uinteger": "I",
    "uint64": "L", "ubigint": "L",
    "float32": "f", "float": "f", "real": "f",
    "float64": "g", "double": "g",
    "string": "u", "utf8": "u", "text": "u", "str": "u", "varchar": "u",
    "bool": "b", "boolean": "b",
    "date": "tdD",
    "datetime": "tsu:", "timestamp": "tsu:", "timestamp_ntz": "tsu:",
    "timestamp_tz": "tsu:UTC", "timestamptz": "tsu:UTC",
    "time": "ttu",
    "binary": "z", "bytes": "z", "blob": "z",
}  # fmt: skip
# The same words as a frame's log has them, where they mean something else.
OF_FRAMES: dict[str, str] = {**FORMATS, "byte": "c", "timestamp": "tsu:UTC", "timestamp_ntz": "tsu:"}
NESTED = ("decimal", "numeric", "list", "array", "struct", "map")

WORDS: dict[str, str] = {
    "c": "int8", "s": "int16", "i": "int32", "l": "int64", "C": "uint8", "S": "uint16", "I": "uint32", "L": "uint64",
    "e": "float16", "f": "float32", "g": "float64", "b": "bool", "u": "string", "U": "string", "vu": "string",
    "z": "binary", "Z": "binary", "vz": "binary", "tdD": "date", "tdm": "date", "n": "null",
    "tiM": "interval", "tiD": "interval", "tin": "interval",
}  # fmt: skip

PYTHON_TYPES: dict[type, str] = {
    int: "int64", float: "float64", str: "string", bool: "bool", bytes: "binary",
    datetime.date: "date", datetime.datetime: "timestamp", datetime.time: "time", decimal.Decimal: "decimal(38,9)",
}  # fmt: skip

_TOKEN = re.compile(r'\s*(?:("(?:[^"]|"")*")|([A-Za-z_][A-Za-z0-9_]*)|(\d+)|([<>()\[\],:]))')


class _Parser:
    """One type word of one column."""

    def __init__(self, text: str, column: str, formats: Mapping[str, str] = FORMATS) -> None:
        self.text, self.column, self.formats, self.at = text, column, formats, 0
        self.tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.wrong(f"unexpected '{text[position:].strip()[0]}'")
            self.tokens.append(match[0].strip())
            position = match.end()

    def wrong(self, why: str) -> SchemaError:
        return SchemaError(f"column \"{self.column}\": type '{self.text}' cannot be read: {why}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def accept(self, *tokens: str) -> bool:
        found = [token.lower() for token in self.tokens[self.at : self.at + len(tokens)]]
        if found != list(tokens):
            return False
        self.at += len(tokens)
        return True

    def expect(self, *tokens: str) -> str:
        if self.peek() not in tokens:
            raise self.wrong(f"expected '{tokens[0]}', found '{self.peek() or 'the end'}'")
        return self.next()

    def number(self) -> int:
        if not self.peek().isdigit():
            raise self.wrong(f"expected a number, found '{self.peek() or 'the end'}'")
        return int(self.next())

    def whole(self, name: str | None) -> Description:
        format_, children = self.type(0)
        nullable = not self.accept("not", "null")
        if self.peek():
            raise self.wrong(f"nothing was expected behind the type, found '{self.peek()}'")
        return (name, format_, nullable, children)

    def type(self, depth: int) -> tuple[str, list[Description]]:
        if depth > DEPTH_MAX:
            raise self.wrong(f"it is nested deeper than {DEPTH_MAX}")
        result = self.base(depth)
        while self.accept("["):
            if self.peek().isdigit():
                self.next()
            self.expect("]")
            result = ("+l", [("item", result[0], True, result[1])])
        return result

    def base(self, depth: int) -> tuple[str, list[Description]]:
        word = self.next().lower()
        if word == "timestamp" and self.accept("with", "time", "zone"):
            return "tsu:UTC", []
        if word in self.formats:
            return self.formats[word], []
        if word in ("decimal", "numeric"):
            return self.decimal(), []
        if word in ("list", "array"):
            close = {"<": ">", "(": ")"}[self.expect("<", "(")]
            item = self.type(depth + 1)
            self.expect(close)
            return "+l", [("item", item[0], True, item[1])]
        if word == "map":
            close = {"<": ">", "(": ")"}[self.expect("<", "(")]
            key = self.type(depth + 1)
            self.expect(",")
            value = self.type(depth + 1)
            self.expect(close)
            entry = [("key", key[0], False, key[1]), ("value", value[0], True, value[1])]
            return "+m", [("entries", "+s", False, entry)]
        if word == "struct":
            return "+s", self.fields(depth)
        raise unknown(word or self.text, self.column)

    def decimal(self) -> str:
        precision, scale = 18, 3  # as in SQL
        if self.accept("("):
            precision, scale = self.number(), 0
            if self.accept(","):
                scale = self.number()
            self.expect(")")
        if not 1 <= precision <= 38 or scale > precision:
            raise self.wrong("a decimal has 1 to 38 digits, and not more of them behind the point")
        return f"d:{precision},{scale}"

    def fields(self, depth: int) -> list[Description]:
        close = {"<": ">", "(": ")"}[self.expect("<", "(")]
        fields: list[Description] = []
        while True:
            name = self.next()
            if name.startswith('"'):
                name = name[1:-1].replace('""', '"')
            if not name or name in "<>()[],:":
                raise self.wrong(f"expected the name of a field, found '{name or 'the end'}'")
            self.accept(":")
            format_, children = self.type(depth + 1)
            fields.append((name, format_, not self.accept("not", "null"), children))
            if not self.accept(","):
                break
        self.expect(close)
        return fields


def unknown(word: str, column: str) -> SchemaError:
    import difflib  # not at the top: `import apiary` is quick

    nearest = difflib.get_close_matches(word.lower(), [*FORMATS, *NESTED], n=1, cutoff=0.3)
    return SchemaError(
        f"column \"{column}\" has the unknown type '{word}'" + (f"; did you mean '{nearest[0]}'?" if nearest else ""),
        "types are int8 … int64, uint8 … uint64, float32, float64, string, bool, date, timestamp, timestamp_tz, "
        "decimal(p,s), binary, list<T>, struct<name: T>, map<K, V>",
    )


def field(name: str, kind: TypeLike, column: str | None = None, depth: int = 0) -> Description:
    """The description of one column.

    >>> field("a", "decimal(10,2)")
    ('a', 'd:10,2', True, [])
    """
    column = name if column is None else column
    if depth > DEPTH_MAX:
        raise SchemaError(f'column "{column}": the type is nested deeper than {DEPTH_MAX}')
    if isinstance(kind, str):
        return _Parser(kind, column).whole(name)
    if isinstance(kind, type) and kind in PYTHON_TYPES:
        return field(name, PYTHON_TYPES[kind], column)
    if isinstance(kind, Mapping):
        return (name, "+s", True, [field(str(key), value, column, depth + 1) for key, value in kind.items()])
    if isinstance(kind, list) and len(kind) == 1:
        return (name, "+l", True, [field("item", kind[0], column, depth + 1)])
    if hasattr(kind, "__arrow_c_schema__"):  # a data type or field of pyarrow and the like
        _, format_, nullable, children, _ = _apiary.ArrowSchema(kind).description()
        return (name, format_, nullable, [child[:4] for child in children])
    raise SchemaError(f'column "{column}" has the type {kind!r}, which is no type word', "use words like 'int64' or 'string'")


def word(description: Description) -> str:
    """The type word of a field.

    >>> word(field("a", "STRUCT(x INTEGER, y VARCHAR[])"))
    'struct<x: int32, y: list<string>>'
    """
    format_, children = description[1], description[3]
    metadata = description[4] if len(description) > 4 else {}
    if format_ in WORDS:
        return WORDS[format_]
    if format_.startswith("d:"):
        precision, scale = format_[2:].split(",")[:2]
        return f"decimal({precision},{scale})"
    if format_.startswith("ts"):
        return "timestamp" if format_.endswith(":") else "timestamp_tz"
    if format_.startswith("tt"):
        return "time"
    if format_.startswith("tD"):
        return "duration"
    if format_.startswith("w:"):
        return "binary"
    if format_ in ("+l", "+L", "+vl", "+vL") or format_.startswith("+w:"):
        return f"list<{word(children[0])}>"
    if format_ == "+s":
        return "struct<" + ", ".join(f"{_name(child[0])}: {word(child)}" for child in children) + ">"
    if format_ == "+m":
        return f"map<{word(children[0][3][0])}, {word(children[0][3][1])}>"
    if format_.startswith("+u"):
        return "union<" + ", ".join(f"{_name(child[0])}: {word(child)}" for child in children) + ">"
    return str(metadata.get("apiary.type", format_))


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else '"' + name.replace('"', '""') + '"'


class Schema(Mapping[str, str]):
    """Columns and their types: a read-only mapping of column to type word that speaks Arrow.

    :param source: a dict of column to type word, a pyarrow schema, or anything with
        ``__arrow_c_schema__``
    :raises SchemaError: a word is unknown (the nearest known one is named), or there is no column

    >>> schema = Schema({"id": "int", "tags": ["text"], "price": "decimal(10,2)"})
    >>> schema
    Schema({'id': 'int64', 'tags': 'list<string>', 'price': 'decimal(10,2)'})
    >>> schema["id"]
    'int64'
    """

    __slots__ = ("_arrow", "_fields")

    def __init__(self, source: SchemaLike) -> None:
        if isinstance(source, Mapping) and not isinstance(source, Schema):
            children = [field(_column(name), kind) for name, kind in source.items()]
            if not children:
                raise SchemaError("a schema needs at least one column")
            self._arrow = _apiary.ArrowSchema(("", "+s", False, children))
        elif isinstance(source, Schema):
            self._arrow = source._arrow
        elif isinstance(source, _apiary.ArrowSchema):
            self._arrow = source
        elif hasattr(source, "__arrow_c_schema__") or hasattr(source, "__arrow_c_stream__"):
            self._arrow = _apiary.ArrowSchema(source)
        else:
            raise SchemaError(
                f"a {type(source).__name__} is no schema",
                "give a dict of column to type, a pyarrow schema, or an object with __arrow_c_schema__",
            )
        description = self._arrow.description()
        if description[1] != "+s":
            raise SchemaError("the schema is that of one column, not of a table")
        self._fields: list[Description] = description[3]

    @classmethod
    def of_frame(cls, columns: Iterable[tuple[str, str, bool]]) -> Schema:
        """Of (name, type as a frame's log has it, nullable).

        >>> Schema.of_frame([("a", "array<byte>", True), ("t", "timestamp", False)])
        Schema({'a': 'list<int8>', 't': 'timestamp_tz'})
        """
        fields = []
        for name, text, nullable in columns:
            _, format_, _, children = _Parser(text, name, OF_FRAMES).whole(name)
            fields.append((name, format_, nullable, children))
        return cls(_apiary.ArrowSchema(("", "+s", False, fields)))

    @property
    def names(self) -> list[str]:
        """The columns, in order.

        >>> Schema({"a": "int", "b": "text"}).names
        ['a', 'b']
        """
        return [description[0] for description in self._fields]

    @property
    def types(self) -> list[str]:
        """The type words, in order of the columns.

        >>> Schema({"a": "int", "b": "text"}).types
        ['int64', 'string']
        """
        return [word(description) for description in self._fields]

    def to_arrow(self) -> Any:
        """The schema as a ``pyarrow.Schema`` (pyarrow must be installed).

        >>> Schema({"a": "int"}).to_arrow().names
        ['a']
        """
        import pyarrow

        return pyarrow.schema(self)

    def __arrow_c_schema__(self) -> object:
        return self._arrow.__arrow_c_schema__()

    def __getitem__(self, name: str) -> str:
        for description in self._fields:
            if description[0] == name:
                return word(description)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Schema({dict(zip(self.names, self.types))!r})"


def _column(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise SchemaError(f"a column is named by a text, not by {name!r}")
    return name
