#!/usr/bin/env python3
"""Commands about stores (whoami, doctor, cp, push), frames in a bucket, and what nobody may see."""

import base64
import concurrent.futures
import glob
import hashlib
import hmac
import json
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid

from apiary_cli import REMOTE, Skip, Store, main
from bucket import SOURCE, Bucket

PLANT = f"planted-{uuid.uuid4().hex}"  # nobody else on the machine has it in a command line
PLANTED = {"AWS_SECRET_ACCESS_KEY": f"{PLANT}-1", "AWS_SESSION_TOKEN": f"{PLANT}-2"}


def findings(text):
    return {one["check"]: one for one in map(json.loads, text.splitlines())}


def fill(store):
    store.sql("CREATE FRAME t (id BIGINT, name TEXT, p INTEGER) PARTITIONED BY (p)")
    store.sql("INSERT INTO t SELECT range, 'n' || range, range % 3 FROM range(1000)")
    store.sql("INSERT INTO t VALUES (-1, NULL, NULL)")
    store.sql("CREATE FRAME big AS SELECT range AS i, md5(range::TEXT) AS h FROM range(60000)")


ANSWER = "SELECT (SELECT count(*) || ' ' || sum(id) FROM t), (SELECT count(*) || ' ' || max(h) FROM big)"


def a_directory_is_well():
    with Store() as store:
        code, out, err = store.run("doctor", "--format", "json")
        assert code == 0, (out, err)
        found = findings(out)
        assert {"credentials", "list", "clock", "write", "read", "conditional put", "latency", "throughput", "delete"} == set(found), found
        assert all(one["health"] == "good" for one in found.values()), found
        if not REMOTE:
            assert store.objects() == [], store.objects()
            code, out, err = store.run("whoami", "--format", "json")
            assert code == 0 and json.loads(out)["source"] == "none needed", out


def many_writers_race():
    with Store() as store:
        code, out, err = store.run("doctor", "--race", "--format", "json")
        assert code == 0 and "32 writers at once, 1 told" in findings(out)["conditional put"]["detail"], (out, err)


def a_bucket_is_well():
    with Store() as store, Bucket() as bucket:
        code, out, err = store.run("doctor", bucket.uri("well"), "--format", "json", env=bucket.environment)
        assert code == 0, (out, err)
        assert findings(out)["credentials"]["detail"].startswith("environment (AWS_ACCESS_KEY_ID)"), out
        code, out, err = store.run("whoami", bucket.uri("well"), env=bucket.environment)
        assert code == 0 and "environment (AWS_ACCESS_KEY_ID)" in out and "never" in out and "secret" not in out, (out, err)


def what_is_wrong_is_named():
    with Store() as store, Bucket() as bucket:
        for uri, change, check, detail, following in (
                (bucket.uri("x", "missing"), {}, "list", "NoSuchBucket", "make the bucket"),
                (bucket.uri("x"), {"AWS_SECRET_ACCESS_KEY": PLANTED["AWS_SECRET_ACCESS_KEY"]}, "list", "SignatureDoesNotMatch", "s3:ListBucket"),
                (bucket.uri("x", "careless"), {}, "conditional put", "told that they won", "cannot be shared by writers"),
                (bucket.uri("x", "plain"), {}, "conditional put", "HTTP 501 NotImplemented", "no conditional writes"),
                ("s3://bucket/x?endpoint=http://127.0.0.1:1", {}, "list", "cannot list", "check the endpoint"),
                (bucket.uri("x"), {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", "no S3 credentials", "write a profile")):
            code, out, err = store.run("doctor", uri, "--format", "json", env={**bucket.environment, **change})
            found = findings(out)[check]
            assert code == 1 and found["health"] == "bad", (uri, out, err)
            assert detail in found["detail"] and following.replace("no conditional", "knows no conditional") in found["next"].replace(
                "this store knows", "knows") or following in found["next"], (uri, found)
            assert PLANT not in out + err


def a_store_that_ignores_conditions_is_not_shared():
    with Store() as store, Bucket() as bucket:
        for where in ("careless", "plain"):
            code, out, err = store.run("sql", "CREATE FRAME t (a INTEGER)", "-s", bucket.uri("x", where), env=bucket.environment)
            assert code == 1 and "cannot be shared by writers" in err and len(err.strip().splitlines()) <= 2, err
            for sql, expected in (("CREATE FRAME t AS SELECT 1 AS a", None), ("INSERT INTO t VALUES (2)", None), ("SELECT sum(a) FROM t", "3")):
                code, out, err = store.run("sql", sql, "-s", bucket.uri("y", where) + "&writers=one", "--format", "csv", env=bucket.environment)
                assert code == 0 and (expected is None or out.split()[-1] == expected), (sql, out, err)


def the_verdict_is_kept():
    with Store() as store, Bucket() as bucket:
        uri = bucket.uri("kept")
        for sql in ("CREATE FRAME t (a INTEGER)", "INSERT INTO t VALUES (1)"):
            code, _, err = store.run("sql", sql, "-s", uri, env=bucket.environment)
            assert code == 0, err
        code, out, err = store.run("cp", uri, store.folder / "copy", env=bucket.environment)
        assert code == 0, err
        assert store.run("sql", "SELECT * FROM t", "-s", store.folder / "copy", "--format", "csv")[1].split() == ["a", "1"]
        assert not list((store.folder / "copy").rglob("proof*")), "a verdict is of one store"


def a_root_is_copied():
    with Store() as store, Bucket() as bucket:
        fill(store)
        expected = store.sql(ANSWER)
        target, env = bucket.uri("copied"), bucket.environment
        bucket.faults("ok ok ok 500 503 lost ok drop ok 429")
        code, out, err = store.run("push", target, "--format", "json", env=env)
        assert code == 0 and json.loads(out)["objects_copied"] == json.loads(out)["objects"], (out, err)
        code, out, err = store.run("sql", ANSWER, "-s", target, "--format", "csv", env=env)
        assert code == 0 and out.splitlines() == expected, (out, err)
        code, out, err = store.run("cp", store.root, target, "--format", "json", env=env)
        again = json.loads(out)
        assert code == 0 and again["objects_there"] + again["objects_copied"] == again["objects"] and again["bytes_copied"] < 100, out
        store.sql("INSERT INTO t VALUES (5, 'later', 1)")
        code, out, err = store.run("push", target, env=env)
        assert code == 0 and "Copied to" in out, (out, err)
        code, out, err = store.run("sql", "SELECT count(*) FROM t", "-s", target, "--format", "csv", env=env)
        assert out.split()[-1] == "1002", (out, err)
        store.run("sql", "INSERT INTO t VALUES (6, 'there', 1)", "-s", target, env=env)
        code, out, err = store.run("push", target, env=env)
        assert code == 1 and "CONFLICT" in err and "has a history of its own" in err, err
        back = store.folder / "back"
        code, out, err = store.run("cp", target, back, env=env)
        assert code == 0, err
        assert store.run("sql", "SELECT count(*) FROM t", "-s", back, "--format", "csv")[1].split()[-1] == "1003"


def a_copy_goes_on():
    """Whatever broke it: the target has no frame before all of it is there, and the next run ends it."""
    with Store() as store, Bucket() as bucket:
        fill(store)
        expected, env = store.sql(ANSWER), bucket.environment
        for number, good in enumerate((2, 5, 9, 14)):
            target = bucket.uri(f"broken-{number}")
            bucket.faults("ok " * good + "501 " * 40)
            code, out, err = store.run("push", target, env=env)
            assert code == 1, (good, out)
            bucket.faults("")
            code, out, err = store.run("sql", ANSWER, "-s", target, "--format", "csv", env=env)
            assert code == 1 or out.splitlines() == expected, (good, out, err)
            code, out, err = store.run("push", target, env=env)
            assert code == 0, (good, err)
            code, out, err = store.run("sql", ANSWER, "-s", target, "--format", "csv", env=env)
            assert out.splitlines() == expected, (good, out, err)


def one_more(bucket, env, before, statement):
    """Requests of the third time that a statement runs in a process, by method."""
    counts = []
    for times in (2, 3):
        uri = bucket.uri(f"more-{os.urandom(4).hex()}")
        with Store() as store:
            code, _, err = store.run("sql", before, "-s", uri, env=env)
            assert code == 0, err
            bucket.faults("")
            code, _, err = store.run("sql", statement * times, "-s", uri, "--format", "csv", env=env)
            assert code == 0, err
            counts.append(bucket.seen()["methods"])
    return {method: counts[1].get(method, 0) - counts[0].get(method, 0) for method in counts[1]}


def requests_are_few():
    """One more small INSERT: a GET of the hive's next state, a PUT of the cell and one of the commit. A query of an
    unchanged frame: a GET of the hive's next state and one of the frame's next version."""
    with Bucket() as bucket:
        env = bucket.environment
        more = one_more(bucket, env, "CREATE FRAME t (a INTEGER)", "INSERT INTO t VALUES (1); ")
        assert {method: count for method, count in more.items() if count} == {"PUT": 2, "GET": 1}, more
        more = one_more(bucket, env, "CREATE FRAME t AS SELECT 1 AS a", "SELECT count(*) FROM t; ")
        assert {method: count for method, count in more.items() if count} == {"GET": 2}, more


def cells_are_sent_while_they_grow():
    """Parts of a cell are in the bucket before its writer ends, as a writer that fails shows: it leaves neither an
    object nor an upload. One that succeeds sends every byte once."""
    rows = "SELECT i, sha256(i::TEXT) AS a, sha256((-i)::TEXT) AS b FROM range({}) r(i)"
    big = ("--set", "target_cell_size=200MB", "--set", "memory_limit=2GB")
    with Store() as store, Bucket() as bucket:
        env, uri = bucket.environment, bucket.uri("grows")
        code, _, err = store.run("sql", f"CREATE FRAME t AS {rows.format(10)}", "-s", uri, env=env)
        assert code == 0, err
        bucket.log()
        fails = f"INSERT INTO t SELECT CASE WHEN i < 1000000 THEN i ELSE error('late') END, a, b FROM ({rows.format(1000001)})"
        code, _, err = store.run("sql", fails, "-s", uri, *big, env=env)
        log = bucket.log()
        assert code == 1 and "late" in err, err
        assert len([one for one in log if one[0] == "PUT" and one[1].endswith(".parquet")]) >= 2, log
        assert [one for one in log if one[0] == "DELETE" and one[1].endswith(".parquet")], log
        assert bucket.seen()["uploads"] == 0, bucket.seen()
        code, out, err = store.run("sql", "SELECT count(*) FROM t; FSCK FRAME t", "-s", uri, "--format", "csv", env=env)
        assert code == 0 and "orphan" not in out.lower(), (out, err)
        for partitioned in (False, True):
            bucket.log()
            frame = f"CREATE FRAME {'p' if partitioned else 'w'} (i BIGINT, a TEXT, b TEXT, k TIMESTAMP){' PARTITIONED BY (k)' if partitioned else ''}; "
            sql = f"{frame}INSERT INTO {'p' if partitioned else 'w'} SELECT *, TIMESTAMP '2024-05-06 07:08:09.5' FROM ({rows.format(700000)})"
            code, _, err = store.run("sql", sql, "-s", uri, *big, env=env)
            assert code == 0, err
            cells = [one for one in bucket.log() if one[1].endswith(".parquet")]
            assert len({one[1] for one in cells}) == 1 and len([one for one in cells if one[0] == "POST"]) == 2, cells
            assert not [one for one in cells if one[0] == "DELETE"], cells
            assert bucket.seen()["uploads"] == 0
            code, out, err = store.run("sql", f"SELECT count(*), count(DISTINCT a), max(i), max(k) FROM {'p' if partitioned else 'w'}", "-s", uri, "--format", "csv", env=env)
            assert code == 0 and out.splitlines()[-1].startswith("700000,700000,699999,2024-05-06 07:08:09.5"), (out, err)


def files_of_this_store_are_named():
    """s3://, gs:// and az:// files in statements: cells and a log of a frame, read as files."""
    if not REMOTE:
        raise Skip("needs a bucket")
    with Store() as store:
        fill(store)
        place, _, options = str(store.root).partition("?")
        uri = lambda key: f"{place}/{key}?{options}"
        assert store.sql(f"SELECT count(*), sum(id) FROM read_parquet('{uri('main/main/t/**/*.parquet')}')") == store.sql("SELECT count(*), sum(id) FROM t")
        by_folder = f"SELECT count(*) FROM read_parquet('{uri('main/main/t/*/cell_*.parquet')}', hive_partitioning = true) WHERE p = '1'"
        assert store.sql(by_folder) == store.sql("SELECT count(*) FROM t WHERE p = 1"), store.sql(by_folder)
        log = uri("main/main/t/_delta_log/00000000000000000000.json")
        assert int(store.sql(f"SELECT count(*) FROM read_json('{log}')")[1]) >= 3
        code, out, err = store.run("import", "again", uri("main/main/big/*.parquet"))
        assert code == 0 and store.sql("SELECT count(*) FROM again")[1] == "60000", (out, err)
        code, _, err = store.run("sql", f"SELECT * FROM '{uri('main/none.parquet')}'")
        assert code == 1 and "there is no file" in err, err


def account_signature(account, key, rights, ends):
    """A shared access signature of an Azure account (blobs: service, containers and objects)."""
    version = "2020-08-04"
    text = "\n".join([account, rights, "b", "sco", "", ends, "", "", version]) + "\n"
    signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
    return urllib.parse.urlencode({"sv": version, "ss": "b", "srt": "sco", "sp": rights, "se": ends, "sig": signature})


def azure_takes_a_signature():
    if not REMOTE or not REMOTE.startswith("az://") or "AZURE_STORAGE_KEY" not in os.environ:
        raise Skip("needs azurite and its key")
    account = re.search("account=([^&]+)", REMOTE).group(1)
    sign = lambda rights, ends: account_signature(account, os.environ["AZURE_STORAGE_KEY"], rights, ends)
    for token in (sign("rwdlac", "2099-01-01T00:00:00Z"), "?" + sign("rwdlac", "2099-01-01T00:00:00Z")):
        with Store() as store:
            env = {"AZURE_STORAGE_KEY": "", "AZURE_STORAGE_SAS_TOKEN": token}
            run = lambda *words: store.run(*words, env=env)
            code, out, err = run("sql", "CREATE FRAME t AS SELECT range AS a FROM range(100000); INSERT INTO t VALUES (-1); DELETE FROM t WHERE a = 5; SELECT count(*), sum(a) FROM t", "--format", "csv")
            assert code == 0 and out.splitlines()[-1] == "100000,4999949994", (out, err)
            code, out, err = run("doctor", "--format", "json")
            assert code == 0 and "signature" in findings(out)["credentials"]["detail"].lower(), (out, err)
            signature = urllib.parse.parse_qs(token)["sig"][0]
            told = out + err + "".join(run("whoami", "--format", "json")[1:])
            for what, bad in (("rights", sign("rl", "2099-01-01T00:00:00Z")), ("time", sign("rwdlac", "2020-01-01T00:00:00Z")), ("sig", token[:-9] + "AAAAAA%3D")):
                code, out, err = store.run("sql", "INSERT INTO t VALUES (7)", env={**env, "AZURE_STORAGE_SAS_TOKEN": bad})
                assert code == 1 and "DENIED" in err and "sig=" not in err, (what, code, err)
                told += err
            assert signature not in told and urllib.parse.quote_plus(signature) not in told
            assert run("sql", "SELECT count(*) FROM t", "--format", "csv")[1].split()[-1] == "100000"


def counts_are_shown():
    with Store() as store, Bucket() as bucket:
        uri, env = bucket.uri("counted"), bucket.environment
        code, _, err = store.run("sql", "CREATE FRAME t AS SELECT range AS a FROM range(10)", "-s", uri, env=env)
        assert code == 0, err
        prices = "storage_prices=get=1000000 list=1000000"
        bucket.faults("")
        code, out, err = store.run("sql", "EXPLAIN ANALYZE SELECT sum(a) FROM t WHERE a > 3", "-s", uri, "--set", prices, "--format", "csv", env=env)
        seen = bucket.seen()["methods"]
        line = [line for line in out.splitlines() if "store: " in line]
        assert code == 0 and len(line) == 1 and "(0 put" in line[0] and "about $" in line[0], (out, err)
        # Cells and ledger with the rest: every request that the store saw.
        told = sum(int(number) for number in re.findall(r"(\d+) (?:put|get|list|delete)", line[0]))
        assert told == sum(seen.values()), (line, seen, out)
        assert float(line[0].split("about $")[1].rstrip('"')) >= 5, line
        code, out, err = store.run("status", "-s", uri, "--format", "json", env=env)
        assert code == 0 and json.loads(out)["requests"] == 0 and json.loads(out)["estimated_cost_dollars"] == 0, (out, err)
        code, _, err = store.run("sql", "SELECT 1", "--set", "storage_prices=cheap")
        assert code == 2 and "'cheap' is no price of a store" in err, err


def policies_are_printed():
    """Their shape; that they are enough and no more is nodes/policy.py."""
    sys.path.append(str(SOURCE / "tests/contract"))
    from s3_policy import Policy, check
    with Store() as store:
        run = lambda role, uri, **env: store.run("policy", role, "-s", uri, env=env)
        code, out, err = store.run("policy")
        roles = [line.split("\t")[0] for line in out.splitlines()]
        assert code == 0 and roles == ["reader", "writer", "submitter", "node", "maintainer"], (out, err)
        for role in roles:
            for uri, root in (("s3://lake/a/b?region=eu-central-1", "a/b/"), ("s3://lake", "")):
                code, out, err = run(role, uri)
                policy = Policy(json.loads(out))
                assert code == 0 and policy.grants() and len(re.sub(r"\s", "", out)) < 6144, (role, err)  # the most that AWS takes
                ask = lambda method, key, condition=None, there=True: check(policy, method, "lake", root + key, {}, condition, [], there)
                log = "main/main/t/_delta_log/00000000000000000007.json"
                assert ask("GET", log) is None and ask("GET", log, there=False) is None
                assert not root or check(policy, "GET", "lake", "", {"prefix": "a/"}, None, [], True) and check(policy, "GET", "other", root + log, {}, None, [], True)
                may_write = role in ("writer", "node", "maintainer")
                assert (ask("PUT", log, "*") is None) == may_write and ask("PUT", log) is not None  # nobody replaces a version
                assert (ask("DELETE", log) is None) == (role == "maintainer")
        _, out, _ = run("writer", "s3://lake/x?endpoint=http://127.0.0.1:1")
        assert "NeverReplace" not in out and '"Deny"' not in out  # conditions that other servers may not know
        _, out, _ = run("writer", "s3://lake/x?region=cn-north-1&sse=aws:kms&sse_key=1-2")
        key = json.loads(out)["Statement"][-1]
        assert key["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"] and key["Resource"] == "arn:aws-cn:kms:cn-north-1:*:key/1-2", key
        _, out, _ = run("reader", "s3://lake/x?sse=aws:kms&sse_key=1-2")
        assert json.loads(out)["Statement"][-1]["Action"] == ["kms:Decrypt"], out
        _, out, _ = run("reader", "s3://lake/what*is?region=eu-west-1")
        assert "arn:aws:s3:::lake/what${*}is/_registry/*" in out, out
        code, google, err = run("node", "gs://lake/x")
        assert code == 0 and '"projects/_/buckets/lake/objects/x/_registry/"' in google and 'extract("/_delta_log/0{rest}")' in google, (google, err)
        assert run("node", "gs://lake/x", GOOGLE_HMAC_KEY_ID="k", GOOGLE_HMAC_SECRET="planted")[1] == google
        code, out, err = run("reader", "az://lake/x?account=a")
        assert code == 0 and "Reader" in out and "StringLike 'x/_registry/*'" in out and "Contributor" not in out and "blobs/delete" not in out, (out, err)
        assert "blobs/delete" in run("writer", "az://lake/x?account=a")[1]
        for text in (google, out):  # what a shell reads
            subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        for words, code, said in ((("policy", "king", "-s", "s3://lake/x"), 2, "there is no role 'king'"), (("policy", "reader"), 1, "it is no bucket"),
                                  (("policy", "reader", "-s", "gs://lake/it's"), 2, "other characters"), (("policy", "reader", "writer"), 2, "usage")):
            got, out, err = store.run(*words)
            assert got == code and said in err and out == "", (words, got, out, err)


def no_secret_is_shown():
    with Store() as store, Bucket() as bucket:
        env = {**bucket.environment, **PLANTED, "AWS_ACCESS_KEY_ID": "test"}
        lines, stop = set(), threading.Event()

        def watch():
            while not stop.is_set():
                for path in glob.glob("/proc/[0-9]*/cmdline"):
                    try:
                        lines.add(pathlib.Path(path).read_bytes())
                    except OSError:
                        pass
                time.sleep(0.01)

        def speak(uri):
            told = ""
            for words in (("doctor",), ("whoami",), ("status",), ("config",), ("sql", "SELECT 1"), ("sql", "CREATE FRAME t AS SELECT 1 AS a"),
                          ("sql", "SELECT * FROM t"), ("cp", bucket.uri("s"), bucket.uri("other")), ("push", bucket.uri("third"))):
                _, out, err = store.run(*words, "-s", uri, "--set", "log=debug", env={
                    **env, "AZURE_STORAGE_SAS_TOKEN": f"sv=1&sig={PLANT}-3", "GOOGLE_HMAC_SECRET": f"{PLANT}-4"})
                told += out + err
            return told

        thread = threading.Thread(target=watch)
        thread.start()
        try:  # at once: a store that is not there is tried again for half a minute
            with concurrent.futures.ThreadPoolExecutor() as pool:
                told = "".join(pool.map(speak, (bucket.uri("s"), "az://box/x?account=a&endpoint=http://127.0.0.1:1/a", "gs://box/x?endpoint=http://127.0.0.1:1")))
        finally:
            stop.set()
            thread.join()
        assert PLANT not in told, told[max(0, told.find(PLANT) - 300):][:600]
        shown = [line for line in lines if PLANT.encode() in line]
        assert not shown, shown
        assert len(told) > 500 and any(b"/apiary\0" in line for line in lines)


ANYWHERE = [a_directory_is_well, many_writers_race, files_of_this_store_are_named, azure_takes_a_signature]  # on a server too
HERE = [a_bucket_is_well, what_is_wrong_is_named, a_store_that_ignores_conditions_is_not_shared, the_verdict_is_kept, a_root_is_copied, a_copy_goes_on, requests_are_few, cells_are_sent_while_they_grow, counts_are_shown, policies_are_printed, no_secret_is_shown]
main(ANYWHERE if REMOTE else ANYWHERE + HERE)
