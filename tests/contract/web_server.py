#!/usr/bin/env python3
"""A web server of the tests: serves a folder, in the ways that servers do.

    web_server.py FOLDER        prints its port (and, with WEB_SERVER_PEM, that of https), serves until its input ends

The first part of a path chooses the way, the rest is the file:

    /ranges/x      parts, ETag                      /plain/x     no parts, ETag
    /bare/x        parts, neither ETag nor time      /nothing/x   neither parts nor ETag nor time
    /moved/x       302 to /ranges/x (relative)      /loop/x      302 to itself
    /asked/x       302 to itself with a query that it wants
    /down/x        302 to http of this machine      /away/x      302 to another name of this machine
    /locked/x      wants user "bee" with password "hon:ey"
    /signed/x      wants ?token=s3cret              /busy/x      503 with Retry-After: 1, once for each file

GET /-/seen is JSON: [[path without query, Range or "", Authorization or ""], …] since the last time."""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import ssl
import sys
import threading
import urllib.parse

FOLDER = pathlib.Path(sys.argv[1])
seen, busy = [], set()
ports = {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/-/seen":
            body = json.dumps(seen).encode()
            seen.clear()
            return self.answer(200, body)
        seen.append([path, self.headers.get("Range", ""), self.headers.get("Authorization", "")])
        _, way, name = urllib.parse.unquote(path).split("/", 2)
        if way == "moved":
            return self.answer(302, b"here", Location=f"../ranges/{name}")
        if way == "asked" and not query:
            return self.answer(302, Location="?key=1")
        if way == "loop":
            return self.answer(302, Location=path)
        if way == "down":
            return self.answer(302, Location=f"http://127.0.0.1:{ports['http']}/ranges/{name}")
        if way == "away":
            return self.answer(302, Location=f"http://localhost:{ports['http']}/ranges/{name}")
        if way == "locked" and self.headers.get("Authorization") != "Basic " + base64.b64encode(b"bee:hon:ey").decode():
            return self.answer(401, b"<html>who are you</html>")
        if way == "signed" and query != "token=s3cret":
            return self.answer(403, b"<html>no</html>")
        if way == "busy" and name not in busy:
            busy.add(name)
            return self.answer(503, Retry_After="1")
        if not (FOLDER / name).is_file():
            return self.answer(404, b"<html>nothing</html>")
        body = (FOLDER / name).read_bytes()
        headers = {} if way in ("bare", "nothing") else {"ETag": f'W/"{hashlib.md5(body).hexdigest()}"'}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not asked or way in ("plain", "nothing"):
            return self.answer(200, body, **headers)
        start, end = int(asked[1]), min(len(body), int(asked[2]) + 1)
        if start >= len(body):
            return self.answer(416, Content_Range=f"bytes */{len(body)}")
        return self.answer(206, body[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(body)}", **headers)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass


servers = {"http": Server(("127.0.0.1", 0), Handler)}
if os.environ.get("WEB_SERVER_PEM"):  # a file with a key and its certificate
    servers["https"] = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["WEB_SERVER_PEM"])
    servers["https"].socket = context.wrap_socket(servers["https"].socket, server_side=True)
for name, server in servers.items():
    ports[name] = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
os.write(1, (" ".join(str(ports[name]) for name in servers) + "\n").encode())
sys.stdin.read()
