#!/usr/bin/env python3
"""Objects of queries that are corrupt, of another version, or a stranger's: nodes leave them alone or end the query with
one error that names the object, and go on with everything else."""

import hashlib
import json
import time

from swarm_nodes import Swarm  # first: it finds the folders of the others

from apiary_cli import main

TEXT = "SELECT p, count(*) AS n FROM t GROUP BY p ORDER BY p"


def envelope(kind, key, body):
    body = body.encode() if isinstance(body, str) else body
    head = {"apiary": kind, "format": 1, "key": key, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "hmac": ""}
    return json.dumps(head).encode() + b"\n" + body


class Query:
    """A query that was submitted while no node was there, so that its manifest can be changed before anybody reads it."""

    def __init__(self, swarm, text=TEXT):
        code, out, err = swarm.run("submit", text)
        assert code == 0, err
        self.swarm, self.id = swarm, out.strip()
        self.folder = swarm.folder / "store" / "_queries" / self.id
        self.manifest = self.folder / "1manifest"

    def change(self, edit):
        """The manifest with its body changed and wrapped anew."""
        head, body = self.manifest.read_bytes().split(b"\n", 1)
        content = json.loads(body)
        edit(content)
        self.manifest.write_bytes(envelope("manifest", json.loads(head)["key"], json.dumps(content)))

    def attach(self):
        return self.swarm.run("attach", self.id, "--format", "csv")

    def results(self):
        return sorted(p.name for p in (self.folder / "r").glob("*")) if (self.folder / "r").is_dir() else []


def edited_plan(edit):
    def change(content):
        plan = json.loads(content["plan"])
        edit(plan)
        content["plan"] = json.dumps(plan)
    return change


def plan_of_parts(edit):
    def change(plan):
        inner = json.loads(plan["plan"])
        edit(inner)
        plan["plan"] = json.dumps(inner)
    return edited_plan(change)


SCHEMA = {"type": "struct", "fields": [{"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in (("p", "integer"), ("n", "long"))]}


def writing(location):
    """The query as one that makes a frame at this place."""
    write = {"hive": "main", "box": "main", "frame": "made", "location": location, "schema": json.dumps(SCHEMA), "description": "",
             "partitionBy": [], "properties": [], "operation": "CREATE TABLE AS SELECT", "replaceAll": False, "readsTarget": False,
             "inTasks": False, "sort": True, "head": "SELECT * FROM (", "tail": ")", "cellBytes": 0, "partitionsMax": 10}

    def change(content):
        content["writes"] = True
        content["needs"].append("write-1")
        plan_of_parts(lambda plan: plan.update(write=write))(content)
    return change


def listing(swarm):
    """A query over files of the store, and what lies beside it: files outside, and a way there."""
    code, _, err = swarm.run("sql", f"COPY (SELECT 1 AS a) TO '{swarm.folder}/1.parquet'; COPY (SELECT 2 AS a) TO '{swarm.folder}/2.parquet'; "
                             f"COPY (SELECT 3 AS a) TO '{swarm.folder}/secret.parquet'", "-q")
    assert code == 0, err
    (swarm.root / "in").mkdir()
    for name in ("1.parquet", "2.parquet"):
        (swarm.folder / name).rename(swarm.root / "in" / name)
    (swarm.root / "in" / "way.parquet").symlink_to(swarm.folder / "secret.parquet")
    (swarm.root / "away").symlink_to(swarm.folder)
    return f"SELECT sum(a) AS s FROM read_parquet(['{swarm.root}/in/1.parquet', '{swarm.root}/in/2.parquet'])"


def reading(key):
    """The query with another first file, whatever that one is like."""
    def change(plan):
        plan["frames"][0]["cells"][0] = key
        plan["frames"][0]["files"]["etags"][0] = ""
    return plan_of_parts(change)


def as_text(sql):
    """A statement that writes, as text, in place of the query."""
    def change(content):
        content["writes"] = True
        content["needs"] += ["write-1", "hold-1"]
        edited_plan(lambda plan: plan.update(sql=sql, writes=True))(content)
    return change


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cases(swarm):
    queries = {}

    def what_is_in_order_is_done_beside_what_is_not():
        swarm.fill(3000)
        for name in ("flipped", "cut", "future", "newer", "odd", "cells", "stolen", "outside", "above", "made", "left", "table", "good"):
            queries[name] = Query(swarm)
        flip(queries["flipped"].manifest)
        cut = queries["cut"].manifest
        cut.write_bytes(cut.read_bytes()[:-20])
        queries["future"].change(lambda content: content["needs"].append("later-1"))
        queries["newer"].change(edited_plan(lambda plan: plan.update(format=2)))
        queries["odd"].change(lambda content: content.update(plan="{]"))
        queries["cells"].change(plan_of_parts(lambda plan: plan["frames"][0]["cells"].__setitem__(0, "p=0/cell_of_another.parquet")))
        queries["outside"].change(writing(str(swarm.folder / "outside")))
        queries["above"].change(writing("main/main/../../outside"))
        queries["made"].change(writing("main/main/made~0123abcd"))
        queries["left"].change(plan_of_parts(lambda plan: plan["setup"].append("ROLLBACK; CREATE MACRO memory.main.abs(x) AS 7")))
        queries["table"].change(plan_of_parts(lambda plan: plan["stages"][-1].update(fragment="CREATE TABLE left_behind AS SELECT 1")))
        for name, sql in (("optimize", "OPTIMIZE t"), ("copy", f"COPY t FROM '{swarm.folder}/table.csv'"), ("delete", "DELETE FROM t")):
            queries[name] = Query(swarm, "SELECT 1 AS one")
            queries[name].change(as_text(sql))
        swarm.file("table.csv", "1,1\n")
        swarm.sql("INSERT INTO t SELECT p, -1 FROM t", "--set", "distributed=off")  # something to do for OPTIMIZE
        over_files = listing(swarm)
        for name, key in (("listed", "in/1.parquet"), ("up", "../secret.parquet"), ("far", str(swarm.folder / "secret.parquet")),
                          ("link", "in/way.parquet"), ("folder", "away/secret.parquet"), ("gone", "in/3.parquet")):
            queries[name] = Query(swarm, over_files)
            assert "files-1" in json.loads(queries[name].manifest.read_bytes().split(b"\n", 1)[1])["needs"]
            queries[name].change(reading(key))
        results = queries["stolen"].folder / "r"
        results.mkdir()
        (results / "00000").write_bytes(b"{\"kind\":\"result\"}\nnot what was promised")
        swarm.start()
        code, out, err = queries["good"].attach()
        assert code == 0 and out.splitlines()[1:] == [f"{p},500" for p in range(6)], err

    def a_manifest_with_a_changed_byte_or_cut_short_is_nobodys_work():
        for name in ("flipped", "cut"):
            code, _, err = queries[name].attach()
            assert code == 1 and err.startswith("Error (CORRUPT)") and "1manifest" in err, err
            assert queries[name].results() == []

    def a_plan_of_a_newer_format_ends_in_one_error():
        code, _, err = queries["newer"].attach()
        assert code == 1 and "format 2" in err and "(UNSUPPORTED)" in err, err

    def a_plan_that_is_no_json_is_given_up():
        code, _, err = queries["odd"].attach()
        assert code == 1 and len(err.strip().splitlines()) <= 2 and err.startswith("Error ("), err

    def a_cell_that_is_not_the_versions_is_not_opened():
        code, _, err = queries["cells"].attach()
        assert code == 1 and "cell_of_another" in err, err

    def nothing_is_left_behind_in_the_engine():
        queries["left"].attach()  # whatever it ends in, it does so in an engine of its own
        queries["table"].attach()
        for i in range(4):
            code, out, err = Query(swarm, f"SELECT sum(abs(p - {10 + i})) AS s FROM t").attach()
            assert code == 0 and out.splitlines()[1:] == [str(6000 * (10 + i) - 15000)], out + err

    def files_are_looked_for_in_the_store_and_nowhere_else():
        code, out, err = queries["listed"].attach()
        assert code == 0 and out.splitlines()[1:] == ["3"], err
        for name, said in (("up", "../secret"), ("far", "secret"), ("link", "way.parquet"), ("folder", "away"), ("gone", "3.parquet")):
            code, out, err = queries[name].attach()
            assert code == 1 and said in err and out == "", f"{name}: {out}{err}"

    def what_would_commit_by_itself_is_not_run_as_text():
        for name in ("optimize", "copy"):
            code, out, err = queries[name].attach()
            assert code == 1 and "leave its commit to others" in err, f"{name}: {out}{err}"
        code, out, err = queries["delete"].attach()
        assert code == 1 and "cannot be submitted" in err, out + err
        assert swarm.sql("SELECT count(*), sum(x) FROM t")[1] == f"6000,{3000 * 2999 // 2 - 3000}"

    def a_result_that_is_none_ends_the_query_and_is_named():
        code, _, err = queries["stolen"].attach()
        assert code == 1 and "(CORRUPT)" in err and "r/00000" in err, err

    def a_frame_is_made_where_the_catalogue_would_make_it_and_nowhere_else():
        for name in ("outside", "above"):
            code, _, err = queries[name].attach()
            assert code == 1 and "where none is made" in err, err
        assert not (swarm.folder / "outside").exists() and not (swarm.root / "outside").exists()
        code, out, err = queries["made"].attach()
        assert code == 0 and "Committed 6 rows" in out + err, err
        assert swarm.sql("SELECT sum(n) FROM made")[1] == "3000"

    def a_node_that_lacks_what_a_manifest_names_takes_no_task_of_it():
        future = queries["future"]
        time.sleep(3)  # several heartbeats: long enough to have taken it, if a node would
        assert future.results() == [] and not (future.folder / "c").exists(), future.results()
        code, _, err = swarm.run("result", future.id)
        assert code == 1 and "(BUSY)" in err, err
        code, out, err = swarm.run("cancel", future.id)
        assert code == 0 and out.startswith("Cancelled"), err

    def all_leave_in_good_order():
        swarm.stop()

    return [what_is_in_order_is_done_beside_what_is_not, a_manifest_with_a_changed_byte_or_cut_short_is_nobodys_work,
            a_plan_of_a_newer_format_ends_in_one_error, a_plan_that_is_no_json_is_given_up, a_cell_that_is_not_the_versions_is_not_opened,
            nothing_is_left_behind_in_the_engine,
            files_are_looked_for_in_the_store_and_nowhere_else, what_would_commit_by_itself_is_not_run_as_text, a_result_that_is_none_ends_the_query_and_is_named, a_frame_is_made_where_the_catalogue_would_make_it_and_nowhere_else,
            a_node_that_lacks_what_a_manifest_names_takes_no_task_of_it, all_leave_in_good_order]


if __name__ == "__main__":
    with Swarm() as there:
        main(cases(there))
