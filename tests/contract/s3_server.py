#!/usr/bin/env python3
"""An S3 server in memory, for tests: what of the S3 API a store needs, with signatures verified by
an implementation of its own (so that a mistake of ours cannot agree with itself).

    s3_server.py            prints its port, serves until its standard input ends

Access keys "test" and "second", secret "secret"; PUT /-/revoke with a key ends it. Any bucket name but "missing" exists. Faults for the next requests that change or read
objects: PUT /-/faults with one word a line, consumed in order:

    ok  500  503  429  409  501  304  403  403skew  expired  moved (to region us-other-7)
    lost (done, connection closed without an answer)  drop (not done, connection closed)
    503after7  429after+20 (with Retry-After: seconds, a date)
    short (the answer's body ends early)  200error (an upload's end: 200, and in the body an error)
    500done (done, and 500 said)        long (done; the answer goes on for 16 MiB more)

GET /-/seen is JSON: requests since the last PUT /-/faults by method, the last region signed for,
uploads in parts that are open, parts in flight at most, and the headers of the last write. The bucket
"careless" ignores If-None-Match; "plain" answers conditional writes with 501; "literal" gives the names of lists as they are, whatever was asked for; "still" gives the same page again and again.

PUT /-/policy/KEY with a policy of AWS makes an access key (secret "secret") that may do what it says and nothing else
(s3_policy.py); GET /-/policy/KEY is JSON: "denied", what was refused to it, and "idle", the grants that no request needed.

PUT /-/gather with a number: requests wait until so many are under way at once (or 20 s), which is seen in "parallel"; 0 ends it.

Without a signature: PUT /-/put/BUCKET/KEY and GET /-/get/BUCKET/KEY; GET /-/take/BUCKET/KEY, which removes it; GET /-/keys/BUCKET,
all keys; PUT /-/age/BUCKET/PREFIX with seconds makes what lies there older; GET /-/log gives what was answered since
the last time as JSON ([method, path, range, bytes]); PUT /-/pace with "MILLISECONDS BYTES_PER_SECOND"
slows answers down (all together share the bandwidth; 0: no limit).
"""

import datetime
import email.utils
import hashlib
import hmac
import http.server
import json
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET
from xml.sax.saxutils import escape

import s3_policy

SECRET = "secret"
keys = {"test", "second"}
policies = {}  # access key -> Policy; the others may do everything
objects = {}  # (bucket, key) -> (bytes, etag, datetime)
uploads = {}  # id -> (bucket, key, {number: bytes})
faults = []
log = []
pace = [0.0, 0.0]  # seconds, bytes a second
busy_until = [0.0]
seen = {"methods": {}, "region": "", "uploads": 0, "parallel": 0, "headers": {}, "running": 0}
lock = threading.Lock()
gather = [0]
gathered = threading.Condition(lock)
GATHER_SECONDS = 20
LONG = 16 << 20


class Refuse(Exception):
    def __init__(self, status, code, message=""):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def sign(handler, path, query, body):
    """The access key of a request that is signed right; else raises Refuse."""
    match = re.fullmatch(r"(AWS4|GOOG4)-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/(s3/aws4_request|storage/goog4_request), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
                         handler.headers.get("Authorization", ""))
    if not match:
        raise Refuse(403, "AccessDenied", "no signature")
    algorithm, access, date, region, ends, names, signature = match.groups()
    mine, theirs = ("x-goog-", "x-amz-") if algorithm == "GOOG4" else ("x-amz-", "x-goog-")
    if any(name.lower().startswith(theirs) for name in handler.headers) or (algorithm == "GOOG4") != ends.startswith("storage"):
        raise Refuse(400, "ExcessHeaderValues", "names of two kinds")
    seen["region"] = region
    if access not in keys:
        raise Refuse(403, "InvalidAccessKeyId", "who are you")
    names = names.split(";")
    for wanted in ["host", mine + "date", mine + "content-sha256"]:
        if wanted not in names:
            raise Refuse(403, "AccessDenied", f"{wanted} is not signed")
    for name in handler.headers:
        if name.lower().startswith(mine) and name.lower() not in names:
            raise Refuse(403, "AccessDenied", f"{name} is not signed")
    payload = handler.headers[mine + "content-sha256"]
    if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
        raise Refuse(400, "XAmzContentSHA256Mismatch")
    pairs = sorted((urllib.parse.quote(k, safe="-_.~"), urllib.parse.quote(v, safe="-_.~"))
                   for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
    canonical = "\n".join([
        handler.command,
        urllib.parse.quote(urllib.parse.unquote(path, errors="surrogateescape"), safe="/-_.~", errors="surrogateescape"),
        "&".join(f"{k}={v}" for k, v in pairs),
        "".join(f"{n}:{' '.join(handler.headers[n].split())}\n" for n in names),
        ";".join(names), payload])
    stamp = handler.headers[mine + "date"]
    scope = f"{date}/{region}/{ends}"
    text = f"{algorithm}-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"{algorithm}{SECRET}".encode()
    for part in [date, region, *ends.split("/")]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), signature):
        raise Refuse(403, "SignatureDoesNotMatch", "the signature is another one")
    token = handler.headers.get('x-amz-security-token')
    if token == 'expired-token':
        raise Refuse(400, 'ExpiredToken', 'the token has expired')
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.strptime(stamp + "+0000", "%Y%m%dT%H%M%SZ%z")
    if abs(age.total_seconds()) > 900:
        raise Refuse(403, "RequestTimeTooSkewed", "the clocks differ")
    return access


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", headers.pop("length", len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, refusal):
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>'
        self.answer(refusal.status, body.encode(), Content_Type="application/xml")

    def note(self, path, size):
        """Counts an answer, and waits as the network would."""
        with lock:
            log.append([self.command, path, self.headers.get("Range", ""), size])
            now = time.monotonic()
            if pace[1]:
                busy_until[0] = max(now, busy_until[0]) + size / pace[1]
            wait = pace[0] + (max(0.0, busy_until[0] - now) if pace[1] else 0.0)
        if wait:
            time.sleep(wait)

    def drop(self):
        self.close_connection = True
        self.connection.shutdown(2)

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        if path == "/-/faults":
            faults[:] = body.decode().split()
            seen.update(methods={}, parallel=0)
            self.answer(200)
            return
        if path == "/-/seen":
            self.answer(200, json.dumps({**seen, "uploads": len(uploads)}).encode())
            return
        if path == "/-/revoke":
            keys.discard(body.decode())
            self.answer(200)
            return
        if path.startswith("/-/policy/"):
            access = path.rpartition("/")[2]
            with lock:
                if self.command == "PUT":
                    policies[access] = s3_policy.Policy(json.loads(body))
                    keys.add(access)
                policy = policies[access]
                text = json.dumps({"denied": policy.denied, "idle": sorted(policy.grants() - policy.used)})
            self.answer(200, text.encode())
            return
        if path == "/-/gather":
            with lock:
                gather[0] = int(body)
                gathered.notify_all()
            self.answer(200)
            return
        if path == "/-/pace":
            pace[:] = float(body.split()[0]) / 1000, float(body.split()[1])
            self.answer(200)
            return
        if path == "/-/log":
            with lock:
                text = json.dumps(log)
                log.clear()
            self.answer(200, text.encode())
            return
        if path.startswith("/-/get/"):
            _, _, _, bucket, key = urllib.parse.unquote(path).split("/", 4)
            self.answer(200, objects[bucket, key][0])
            return
        if path.startswith("/-/take/"):
            _, _, _, bucket, key = urllib.parse.unquote(path).split("/", 4)
            self.answer(200, objects.pop((bucket, key))[0])
            return
        if path.startswith("/-/keys/"):
            with lock:
                text = json.dumps(sorted(key for bucket, key in objects if bucket == path.rpartition("/")[2]))
            self.answer(200, text.encode())
            return
        if path.startswith("/-/age/"):
            _, _, _, bucket, prefix = urllib.parse.unquote(path).split("/", 4)
            older = datetime.timedelta(seconds=float(body))
            with lock:
                for (holder, key), (content, etag, when) in list(objects.items()):
                    if holder == bucket and key.startswith(prefix):
                        objects[holder, key] = (content, etag, when - older)
            self.answer(200)
            return
        if path.startswith("/-/put/"):
            _, _, _, bucket, key = urllib.parse.unquote(path).split("/", 4)
            objects[bucket, key] = (body, f'"{hashlib.md5(body).hexdigest()}-put"', datetime.datetime.now(datetime.timezone.utc))
            self.answer(200)
            return
        with lock:
            seen["methods"][self.command] = seen["methods"].get(self.command, 0) + 1
            seen["running"] += 1
            seen["parallel"] = max(seen["parallel"], seen["running"])
            if self.command in ("PUT", "POST"):
                seen["headers"] = {name.lower(): value for name, value in self.headers.items()
                                   if name.lower() not in ("authorization", "x-amz-security-token")}
            fault = faults.pop(0) if faults else "ok"
            if gather[0]:
                if seen["running"] >= gather[0]:
                    gather[0] = 0
                    gathered.notify_all()
                gathered.wait_for(lambda: gather[0] == 0, GATHER_SECONDS)
        try:
            self.serve_one(fault, path, query, body)
        finally:
            with lock:
                seen["running"] -= 1

    def serve_one(self, fault, path, query, body):
        if fault == "drop":
            self.drop()
            return
        try:
            if fault == "moved":
                self.answer(301, b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>",
                            x_amz_bucket_region="us-other-7")
                return
            if fault == "expired":
                raise Refuse(400, "ExpiredToken", "the token has expired")
            if fault == "200error":
                self.answer(200, b"<Error><Code>InternalError</Code><Message>as ordered</Message></Error>")
                return
            if "after" in fault:  # 503after7, 429after+20 (as a date)
                status, _, wait = fault.partition("after")
                when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=float(wait))
                self.answer(int(status), b"<Error><Code>SlowDown</Code><Message>as ordered</Message></Error>",
                            Retry_After=email.utils.format_datetime(when, usegmt=True) if wait[0] == "+" else wait)
                return
            if fault.isdigit():
                code = {"304": "NotModified", "403": "AccessDenied", "500": "InternalError", "503": "SlowDown", "429": "TooManyRequests", "409": "ConditionalRequestConflict",
                        "501": "NotImplemented"}[fault]
                raise Refuse(int(fault), code, "as ordered")
            if fault == "403skew":
                raise Refuse(403, "RequestTimeTooSkewed", "as ordered")
            access = sign(self, path, query, body)
            parameters = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
            _, bucket, *key = urllib.parse.unquote(path, errors="surrogateescape").split("/", 2)
            if bucket == "missing":
                raise Refuse(404, "NoSuchBucket", "there is no such bucket")
            key = key[0] if key else ""
            with lock:
                self.permit(access, bucket, key, parameters, body)
                answer = self.act(bucket, key, parameters, body)
        except Refuse as refusal:
            answer = refusal
        if fault == "lost":
            self.drop()
        elif fault == "500done":
            self.error(Refuse(500, "InternalError", "after all was done"))
        elif isinstance(answer, Refuse):
            if pace[0]:
                time.sleep(pace[0])
            self.error(answer)
        else:
            status, content, headers = answer
            self.note(path, 0 if self.command == "HEAD" else len(content))
            if fault == "short":
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("Content-Length", len(content))
                self.end_headers()
                self.wfile.write(content[:len(content) // 2])
                self.drop()
            elif fault == "long":
                self.answer(status, content + b"x" * LONG, **headers)
            else:
                self.answer(status, content, **headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = serve

    def permit(self, access, bucket, key, parameters, body):
        if access not in policies:
            return
        deleted = [one.text for one in ET.fromstring(body).iter("{*}Key")] if "delete" in parameters else []
        lacking = s3_policy.check(policies[access], self.command, bucket, key, parameters, self.headers.get("If-None-Match"), deleted, (bucket, key) in objects)
        if lacking:
            raise Refuse(403, "AccessDenied", lacking)

    def check_absent(self, bucket, key):
        if self.headers.get("x-goog-if-generation-match") == "0":
            if (bucket, key) in objects:
                raise Refuse(412, "PreconditionFailed", "it exists")
            return
        if self.headers.get("If-None-Match") != "*" or bucket == "careless":
            return
        if bucket == "plain":
            raise Refuse(501, "NotImplemented", "A header you provided implies functionality that is not implemented")
        if (bucket, key) in objects:
            raise Refuse(412, "PreconditionFailed", "it exists")

    def upload(self, bucket, key, parameters, body):
        """Uploads in parts."""
        if "uploads" in parameters:
            name = f"upload-{len(uploads)}-{os.urandom(4).hex()}"
            uploads[name] = (bucket, key, {})
            return 200, (f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><UploadId>{name}</UploadId>"
                         "</InitiateMultipartUploadResult>").encode(), {}
        name = parameters["uploadId"]
        if name not in uploads or uploads[name][:2] != (bucket, key):
            raise Refuse(404, "NoSuchUpload", "there is no such upload")
        parts = uploads[name][2]
        if self.command == "DELETE":
            del uploads[name]
            return 204, b"", {}
        if self.command == "PUT":
            parts[int(parameters["partNumber"])] = body
            return 200, b"", {"ETag": f'"{hashlib.md5(body).hexdigest()}"'}
        self.check_absent(bucket, key)
        wanted = [(int(part.find("{*}PartNumber").text), part.find("{*}ETag").text) for part in ET.fromstring(body).findall("{*}Part")]
        if any(f'"{hashlib.md5(parts.get(number, b"-")).hexdigest()}"' != etag for number, etag in wanted):
            raise Refuse(400, "InvalidPart", "a part is another one")
        if any(len(parts[number]) != len(parts[wanted[0][0]]) for number, _ in wanted[:-1]):
            raise Refuse(400, "InvalidPart", "parts are of one size, but for the last")
        whole = b"".join(parts[number] for number, _ in wanted)
        objects[bucket, key] = (whole, f'"{hashlib.md5(whole).hexdigest()}-{len(wanted)}"', datetime.datetime.now(datetime.timezone.utc))
        del uploads[name]
        return 200, b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>", {}

    def act(self, bucket, key, parameters, body):
        if "uploads" in parameters or "uploadId" in parameters:
            return self.upload(bucket, key, parameters, body)
        if self.command == "PUT":
            self.check_absent(bucket, key)
            etag = f'"{hashlib.md5(body).hexdigest()}-{len(objects)}"'
            objects[bucket, key] = (body, etag, datetime.datetime.now(datetime.timezone.utc))
            return 200, b"", {"ETag": etag}
        if self.command == "DELETE":
            objects.pop((bucket, key), None)
            return 204, b"", {}
        if self.command == "POST":
            return self.delete_many(bucket, body)
        if not key:
            return self.list(bucket, parameters)
        return self.get(bucket, key)

    def delete_many(self, bucket, body):
        import base64
        if base64.b64encode(hashlib.md5(body).digest()).decode() != self.headers.get("Content-MD5"):
            raise Refuse(400, "BadDigest")
        for element in ET.fromstring(body).iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key"):
            objects.pop((bucket, element.text), None)
        return 200, b'<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>', {}

    def get(self, bucket, key):
        if (bucket, key) not in objects:
            raise Refuse(404, "NoSuchKey", "there is no such key")
        body, etag, when = objects[bucket, key]
        headers = {"ETag": etag, "Last_Modified": email.utils.format_datetime(when, usegmt=True)}
        if self.headers.get("If-Match") not in (None, etag):
            raise Refuse(412, "PreconditionFailed", "it is another one")
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked:
            return 200, body, headers
        first, last = asked.groups()
        start = int(first) if first else max(0, len(body) - int(last))
        end = min(len(body), int(last) + 1) if first and last else len(body)
        if start >= len(body):
            return 416, b"<Error><Code>InvalidRange</Code></Error>", {"Content_Range": f"bytes */{len(body)}"}
        return 206, body[start:end], {**headers, "Content_Range": f"bytes {start}-{end - 1}/{len(body)}"}

    def list(self, bucket, parameters):
        prefix, delimiter = parameters.get("prefix", ""), parameters.get("delimiter", "")
        after = parameters.get("continuation-token") or parameters.get("start-after", "")
        if bucket == "still":
            after = ""
        most = min(int(parameters.get("max-keys", 1000)), 7)  # small pages: every list is split
        encoded = parameters.get("encoding-type") == "url" and bucket != "literal"
        quote = lambda text: urllib.parse.quote(text, errors="surrogateescape", safe="/") if encoded else escape(text)
        order = lambda text: text.encode(errors="surrogateescape")
        entries, seen, last, more = [], set(), "", False
        for key in sorted((k for b, k in objects if b == bucket), key=order):
            if not key.startswith(prefix) or order(key) <= order(after):
                continue
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            common = key[:cut + 1] if cut >= 0 else None
            if common and (common in seen or (parameters.get("continuation-token") and after.startswith(common))):
                last = key
                continue
            if len(entries) == most:
                more = True
                break
            last = key
            if common:
                seen.add(common)
                entries.append(f"<CommonPrefixes><Prefix>{quote(common)}</Prefix></CommonPrefixes>")
            else:
                body, etag, when = objects[bucket, key]
                entries.append(f"<Contents><Key>{quote(key)}</Key><LastModified>{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z</LastModified>"
                               f"<ETag>{escape(etag, {chr(34): '&quot;'})}</ETag><Size>{len(body)}</Size></Contents>")
        if bucket == "still" and more:
            last = "again"
        token = f"<NextContinuationToken>{escape(last)}</NextContinuationToken>" if more else ""
        text = (f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
                f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{''.join(entries)}"
                f"<EncodingType>{'url' if encoded else ''}</EncodingType></ListBucketResult>")
        return 200, text.encode(errors="surrogateescape"), {"Content_Type": "application/xml"}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that went away


server = Server(("127.0.0.1", 0), Handler)
if os.environ.get("S3_SERVER_PEM"):  # a file with a key and its certificate: https
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.environ["S3_SERVER_PEM"])
    server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.write(1, f"{server.server_address[1]}\n".encode())
sys.stdin.read()
