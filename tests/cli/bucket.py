"""The S3 server of the tests, for CLI tests that break what it answers."""

import json
import os
import pathlib
import subprocess
import sys
import urllib.request

SOURCE = pathlib.Path(os.environ.get("APIARY_SOURCE_DIR", "."))


class Bucket:
    """The S3 server of the tests; `with` ends it."""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, SOURCE / "tests/contract/s3_server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true"}
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def uri(self, prefix, bucket="bucket"):
        return f"s3://{bucket}/{prefix}?endpoint=http://127.0.0.1:{self.port}"

    def tell(self, what, words):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/-/{what}", data=words.encode(), method="PUT")
        urllib.request.urlopen(request, timeout=10).read()

    def faults(self, words):
        self.tell("faults", words)

    def pace(self, milliseconds, bytes_per_second=0):
        self.tell("pace", f"{milliseconds} {bytes_per_second}")

    def seen(self):
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/seen", timeout=10))

    def log(self):
        """What was answered since the last time: [method, path, range, bytes]."""
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/log", timeout=10))
