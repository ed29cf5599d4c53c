#!/usr/bin/env python3
"""What src/sql knows of the engine's functions is what the engine says of them."""

import csv
import io
import os
import pathlib
import re
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / "cli")]

from apiary_cli import Store, main  # noqa: E402

SOURCE = pathlib.Path(os.environ.get("APIARY_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2])) / "src/sql"


def words(file, start, end):
    """The quoted words of a list in a source."""
    text = (SOURCE / file).read_text()
    part = text[text.index(start):]
    return set(re.findall(r'"([a-z_0-9]+)"', part[:part.index(end)]))


def ask(condition):
    with Store() as store:
        text = store.run("sql", f"SELECT DISTINCT function_name FROM duckdb_functions() WHERE {condition}", "--format", "csv")
        assert text[0] == 0, text
        return {row[0] for row in csv.reader(io.StringIO(text[1]))} - {"function_name"}


def aggregates():
    """An aggregate that is not known as one would be cut as if it were a function of one row."""
    known = words("cut_functions.c", "aggregates[] = {", "};") | words("cut_functions.c", "others[] = {", "};")
    engine = ask("function_type = 'aggregate'")
    assert engine - known == set(), f"not known: {sorted(engine - known)}"
    assert known - engine == set(), f"not the engine's: {sorted(known - engine)}"


def macros_that_hold_aggregates():
    names = sorted(words("cut_functions.c", "aggregates[] = {", "};") | words("cut_functions.c", "others[] = {", "};"))
    called = " OR ".join(f"regexp_matches(macro_definition, '(^|[^a-z_]){name}\\(')" for name in names)
    engine = ask(f"function_type = 'macro' AND ({called})")
    known = words("cut_functions.c", "ap_cut_is_opaque", "}") | {"list_aggr"}
    lists = {name for name in engine if name.startswith("list_")}  # of one list: no aggregates of rows
    assert engine - known - lists == set(), f"not known: {sorted(engine - known - lists)}"


def volatile_and_stable():
    """What differs between calls, or between moments, never runs in parts."""
    known = words("cut_functions.c", "ap_cut_is_moment", "};") | words("cut_functions.c", "ap_cut_is_odd", "};") | words("tree_names.c", "volatiles[] = {", "};")
    engine = ask("function_type = 'scalar' AND stability <> 'CONSISTENT'")
    assert engine - known == set(), f"not known: {sorted(engine - known)}"


if __name__ == "__main__":
    main([aggregates, macros_that_hold_aggregates, volatile_and_stable])
