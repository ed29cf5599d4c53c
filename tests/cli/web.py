#!/usr/bin/env python3
"""Files of a web server in statements: read_parquet('https://…'), COPY … FROM, import."""

import json
import pathlib
import shutil
import subprocess
import sys
import urllib.request

from apiary_cli import Skip, Store, main
from bucket import SOURCE

ROWS = 300000


class Web(Store):
    """A store, and a server for the files of a folder beside it."""

    def __enter__(self):
        super().__enter__()
        self.web = self.folder / "web"
        self.web.mkdir()
        env = {}
        if shutil.which("openssl"):
            self.pem = self.folder / "server.pem"
            made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext",
                                   "subjectAltName=IP:127.0.0.1", "-keyout", self.folder / "key.pem", "-out", self.folder / "cert.pem"],
                                  capture_output=True, check=False)
            if made.returncode == 0:
                self.pem.write_text((self.folder / "key.pem").read_text() + (self.folder / "cert.pem").read_text())
                env = {"WEB_SERVER_PEM": str(self.pem)}
        self.server = subprocess.Popen([sys.executable, SOURCE / "tests/contract/web_server.py", self.web], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port, *https = map(int, self.server.stdout.readline().split())
        self.https = https[0] if https else None
        self.sql(f"COPY (SELECT i AS a, 'x' || i AS b, i * 2 AS c FROM range({ROWS}) r(i)) TO '{self.web}/t.parquet'")
        (self.web / "t.csv").write_text("a,b\n1,x\n2,y\n")
        (self.web / "t.json").write_text('[{"a": 1}, {"a": 2}]')
        return self

    def __exit__(self, *details):
        self.server.stdin.close()
        self.server.wait(10)
        super().__exit__(*details)

    def environment(self):
        extra = {"AWS_CA_BUNDLE": str(self.folder / "cert.pem")} if getattr(self, "https", None) else {}
        return {**super().environment(), "APIARY_CACHE_DIR": str(self.folder / "cache"), **extra}

    def url(self, path, user=""):
        return f"http://{user}127.0.0.1:{self.port}/{path}"

    def seen(self):
        return json.load(urllib.request.urlopen(self.url("-/seen"), timeout=10))

    def fails(self, sql, *wanted):
        code, out, err = self.run("sql", sql)
        assert code == 1 and all(text in err for text in wanted), (sql, wanted, out, err)
        return out + err


def parts_are_asked_for():
    with Web() as web:
        size = (web.web / "t.parquet").stat().st_size
        ask = f"SELECT count(*), sum(a) FROM read_parquet('{web.url('ranges/t.parquet')}') WHERE c >= 0"
        web.seen()
        assert web.sql(ask)[1] == f"{ROWS},{ROWS * (ROWS - 1) // 2}"
        asked = web.seen()
        moved = sum(int(r.split("=")[1].split("-")[1]) - int(r.split("=")[1].split("-")[0]) + 1 for _, r, _ in asked)
        assert all(r for _, r, _ in asked) and moved < size * 0.9, (asked, size)
        assert web.sql(ask)[1] == f"{ROWS},{ROWS * (ROWS - 1) // 2}"
        assert len(web.seen()) == 1, "what is cached by its ETag is asked for no more"
        assert web.sql(f"SELECT max(b) FROM '{web.url('ranges/t.csv')}'")[1] == "y"
        assert web.sql(f"SELECT sum(a) FROM read_json('{web.url('moved/t.json')}')")[1] == "3"
        assert web.sql(f"SELECT sum(a) FROM read_json('{web.url('asked/t.json')}')")[1] == "3"
        assert web.sql(f"SELECT count(*) FROM read_csv(['{web.url('ranges/t.csv')}', '{web.url('plain/t.csv')}'])")[1] == "4"


def servers_without_parts_or_marks():
    with Web() as web:
        for way in ("plain", "nothing", "bare"):
            ask = f"SELECT count(*), sum(a) FROM read_parquet('{web.url(way + '/t.parquet')}')"
            web.seen()
            assert web.sql(ask)[1] == f"{ROWS},{ROWS * (ROWS - 1) // 2}", way
            asked = web.seen()
            assert way == "bare" or len(asked) == 1, asked  # the whole file came with the first answer
        (web.web / "v.csv").write_text("a\n1\n")
        for way in ("ranges", "plain", "bare", "nothing"):
            ask = f"SELECT a FROM '{web.url(way + '/v.csv')}'"
            for value in ("1", "2", "3"):  # of one size: it is told by nothing else
                (web.web / "v.csv").write_text(f"a\n{value}\n")
                assert web.sql(ask) == ["a", value], (way, value)
        (web.web / "empty.csv").write_text("")
        code, _, err = web.run("sql", f"SELECT * FROM read_csv('{web.url('ranges/empty.csv')}', header = true)")
        assert "panic" not in err and "INTERNAL" not in err, (code, err)


def files_go_into_frames():
    with Web() as web:
        web.sql("CREATE FRAME t (a BIGINT, b TEXT)")
        web.sql(f"COPY t FROM '{web.url('ranges/t.csv')}'")
        code, out, err = web.run("import", "u", web.url("ranges/t.parquet"))
        assert code == 0, (out, err)
        assert web.sql("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)")[1] == f"2,{ROWS}"
        code, out, err = web.run("import", "v", web.url("signed/t.csv?token=s3cret", "bee:pass@"))
        assert code == 0 and web.sql("SELECT count(*) FROM v")[1] == "2", (out, err)


def secrets_are_not_shown():
    with Web() as web:
        told = ""
        assert web.sql(f"SELECT max(a) FROM '{web.url('locked/t.csv', 'bee:hon%3Aey@')}'")[1] == "2"
        assert web.sql(f"SELECT max(a) FROM '{web.url('signed/t.csv?token=s3cret')}'")[1] == "2"
        # The user is not told to another host.
        web.seen()
        assert web.sql(f"SELECT max(a) FROM '{web.url('away/t.csv', 'bee:hon%3Aey@')}'")[1] == "2"
        assert [bool(user) for _, _, user in web.seen()][:2] == [True, False]
        planted = "pl4nted"
        (web.web / "t.bin").write_text("?")
        told += web.fails(f"SELECT * FROM '{web.url('locked/t.csv', f'bee:{planted}@')}'", "HTTP 401", "/locked/t.csv")
        told += web.fails(f"SELECT * FROM '{web.url(f'signed/t.csv?token={planted}')}'", "HTTP 403")
        told += web.fails(f"SELECT * FROM '{web.url(f'ranges/none.csv?token={planted}')}'", "there is no file", "/ranges/none.csv")
        told += web.fails(f"SELECT * FROM '{web.url(f'ranges/t.bin?token={planted}', f'bee:{planted}@')}'", "cannot tell the format", "/ranges/t.bin")
        told += web.fails(f"SELEC * FROM '{web.url(f'ranges/t.csv?token={planted}', f'bee:{planted}@')}'")
        told += web.fails(f"SELECT nothing FROM read_csv('{web.url(f'ranges/t.csv?token={planted}')}')", "nothing")
        told += web.fails(f"COPY (SELECT 1) TO '{web.url(f't.csv?token={planted}', f'bee:{planted}@')}'")
        for url, why in [(web.url(f"ranges/none.csv?token={planted}", f"bee:{planted}@"), "there is no file"), (web.url(f"ranges/t?token={planted}"), "cannot tell the format")]:
            code, out, err = web.run("import", "u", url, "--set", "log=debug")
            assert code == 1 and why in err, (code, err)
            told += out + err
        assert planted not in told, told[max(0, told.find(planted) - 300):][:600]


def what_cannot_be_read_is_named():
    with Web() as web:
        web.fails(f"SELECT * FROM read_csv('{web.url('ranges/*.csv')}')", "cannot be listed")
        web.fails(f"SELECT * FROM '{web.url('loop/t.csv')}'", "HTTP 302", "redirects are followed 5 times")
        assert len(web.seen()) <= 6
        web.fails(f"SELECT * FROM '{web.url('')}t.csv/'", "")
        web.fails("SELECT * FROM 'http:///t.csv'", "names no server")
        web.fails("SELECT * FROM 'http://127.0.0.1:1/t.csv'", "cannot read")
        web.fails(f"SET local_files = 'off'; SELECT * FROM '{web.url('ranges/t.csv')}'", "local_files")
        web.sql("CREATE FRAME f (a INTEGER)")
        code, _, err = web.run("sql", "SELECT 1", "-s", web.url("x"))
        assert code != 0 and "not supported" in err, err
        assert web.sql(f"SELECT max(a) FROM '{web.url('busy/t.csv')}'")[1] == "2"


def https_is_not_left():
    with Web() as web:
        if not web.https:
            raise Skip("no openssl")
        https = f"https://127.0.0.1:{web.https}"
        assert web.sql(f"SELECT max(a) FROM '{https}/moved/t.csv'")[1] == "2"
        web.fails(f"SELECT * FROM '{https}/down/t.csv'", "never from https to http")
        code, _, err = web.run("sql", f"SELECT * FROM '{https}/ranges/t.csv'", env={"AWS_CA_BUNDLE": "/dev/null"})
        assert code == 1 and "certificate" in err, err


main([parts_are_asked_for, servers_without_parts_or_marks, files_go_into_frames, secrets_are_not_shown, what_cannot_be_read_is_named,
      https_is_not_left])
