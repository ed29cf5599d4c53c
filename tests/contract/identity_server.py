#!/usr/bin/env python3
"""Who gives credentials, on one port of this machine, for tests: AWS STS, instance and container
metadata, single sign-on; Google's tokens and metadata; Entra ID and managed identity.

    identity_server.py            prints its port, serves until its standard input ends

Every secret it gives begins with "planted-". Credentials last /-/lifetime seconds (PUT; 3600 at first).
GET /-/asked is how often each path was asked for, as JSON.
"""

import base64
import datetime
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.parse

asked = {}
lifetime = 3600
lock = threading.Lock()
count = 0


def ends():
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lifetime)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(kind):
    global count
    with lock:
        count += 1
        return {"AccessKeyId": f"AKID-{kind}-{count}", "SecretAccessKey": f"planted-secret-{kind}", "Token": f"planted-token-{kind}",
                "Expiration": ends()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body="", kind="application/json"):
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def serve(self):
        global lifetime
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path, _, query = self.path.partition("?")
        form = dict(urllib.parse.parse_qsl(body)) if body else {}
        query = dict(urllib.parse.parse_qsl(query))
        if path == "/-/lifetime":
            lifetime = int(body)
            return self.answer(200, "{}")
        if path == "/-/asked":
            return self.answer(200, asked)
        with lock:
            asked[path] = asked.get(path, 0) + 1
        self.route(path, query, form)

    do_GET = do_PUT = do_POST = serve

    def route(self, path, query, form):
        header = self.headers.get
        if path == "/" and "Action" in form:
            return self.sts(form)
        if path == "/latest/api/token" and self.command == "PUT":
            return self.answer(200, "planted-imds-token", "text/plain")
        if path.startswith("/latest/meta-data/iam/security-credentials/"):
            if header("X-aws-ec2-metadata-token") != "planted-imds-token":
                return self.answer(401)
            role = path.rsplit("/", 1)[1]
            return self.answer(200, keys("instance")) if role == "a-role" else self.answer(200, "a-role", "text/plain")
        if path == "/container":
            good = header("Authorization") == "planted-container-authorization"
            return self.answer(200, keys("container")) if good else self.answer(401)
        if path == "/federation/credentials":
            if header("x-amz-sso_bearer_token") != "planted-sso-token" or query.get("account_id") != "123456789012":
                return self.answer(401)
            one = keys("sso")
            return self.answer(200, {"roleCredentials": {"accessKeyId": one["AccessKeyId"], "secretAccessKey": one["SecretAccessKey"],
                                                         "sessionToken": one["Token"], "expiration": 4102444800000}})
        if path == "/google/token":
            return self.google(form)
        if path == "/computeMetadata/v1/instance/service-accounts/default/token":
            good = header("Metadata-Flavor") == "Google"
            return self.answer(200, self.token("google-machine")) if good else self.answer(403)
        if path.endswith("/oauth2/v2.0/token"):
            good = form.get("client_secret") == "planted-client-secret" or form.get("client_assertion") == "planted-federated-token"
            return self.answer(200, self.token("entra")) if good else self.answer(401, {"error": "invalid_client"})
        if path == "/metadata/identity/oauth2/token":
            good = header("Metadata") == "true" and query.get("resource") == "https://storage.azure.com/"
            return self.answer(200, self.token("azure-machine")) if good else self.answer(400)
        if path == "/msi/token":
            good = header("X-IDENTITY-HEADER") == "planted-identity-header"
            return self.answer(200, self.token("azure-app")) if good else self.answer(401)
        self.answer(404)

    @staticmethod
    def token(kind):
        return {"access_token": f"planted-token-{kind}", "expires_in": str(lifetime), "token_type": "Bearer"}

    def google(self, form):
        if form.get("grant_type") == "refresh_token":
            good = form.get("refresh_token") == "planted-refresh-token"
            return self.answer(200, self.token("google-user")) if good else self.answer(400, {"error": "invalid_grant"})
        part = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        signed, _, signature = form.get("assertion", "").rpartition(".")
        claims = json.loads(part(signed.split(".")[1]))
        with tempfile.TemporaryDirectory() as folder:
            for name, data in (("sig", part(signature)), ("text", signed.encode())):
                with open(f"{folder}/{name}", "wb") as file:
                    file.write(data)
            good = subprocess.run(["openssl", "dgst", "-sha256", "-verify", os.environ["IDENTITY_PUBLIC_KEY"], "-signature", f"{folder}/sig",
                                   f"{folder}/text"], capture_output=True, check=False).returncode == 0
        good = good and claims["iss"] == "robot@example.test" and claims["exp"] > claims["iat"]
        self.answer(200, self.token("google-robot")) if good else self.answer(400, {"error": "invalid_grant"})

    def sts(self, form):
        action = form["Action"]
        web = action == "AssumeRoleWithWebIdentity"
        good = form.get("WebIdentityToken") == "planted-web-token" if web else "AKID-base" in self.headers.get("Authorization", "")
        if not good or "denied" in form["RoleArn"]:
            return self.answer(403, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>who are you</Message></Error>"
                                    "</ErrorResponse>", "text/xml")
        one = keys("web" if web else "role")
        self.answer(200, f"<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>"
                         f"<AccessKeyId>{one['AccessKeyId']}</AccessKeyId><SecretAccessKey>{one['SecretAccessKey']}</SecretAccessKey>"
                         f"<SessionToken>{one['Token']}</SessionToken><Expiration>{one['Expiration']}</Expiration></Credentials>"
                         f"</{action}Result></{action}Response>", "text/xml")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.write(1, f"{server.server_address[1]}\n".encode())
sys.stdin.read()
