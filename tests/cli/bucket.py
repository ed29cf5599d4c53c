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
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/-/{what}", data=words.encode() if isinstance(words, str) else words, method="PUT")
        urllib.request.urlopen(request, timeout=10).read()

    def faults(self, words):
        self.tell("faults", words)

    def pace(self, milliseconds, bytes_per_second=0):
        self.tell("pace", f"{milliseconds} {bytes_per_second}")

    def gather(self, count):
        """Requests wait until so many are under way."""
        self.tell("gather", str(count))

    def seen(self):
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/seen", timeout=10))

    def permit(self, key, policy):
        """An access key (secret "secret") that may do what a policy of AWS says and nothing else."""
        self.tell(f"policy/{key}", policy)

    def judged(self, key):
        """What was refused to it, and which grants no request of it needed."""
        answer = json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/policy/{key}", timeout=10))
        return answer["denied"], answer["idle"]

    def put(self, path, body):
        """An object, past all policies: "bucket/key"."""
        self.tell(f"put/{path}", body)

    def get(self, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/get/{path}", timeout=10).read()

    def keys(self, bucket="bucket"):
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/keys/{bucket}", timeout=10))

    def take(self, path):
        """The bytes of an object, which is gone then."""
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/take/{path}", timeout=10).read()

    def age(self, prefix, seconds):
        """Makes all objects below "bucket/prefix" older."""
        self.tell(f"age/{prefix}", str(seconds))

    def log(self):
        """What was answered since the last time: [method, path, range, bytes]."""
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/log", timeout=10))
