#!/usr/bin/env python3
"""What ap.spark() does before there is a Spark: places in Hadoop's words, and what is missing. With one: tests/spark/sdk.py."""

if __name__ == "__main__":
    import harness

    harness.main(__file__)

import sys

import pytest

import apiary
from apiary import _spark


@pytest.mark.parametrize(("uri", "place"), [
    ("local:///data/a b", "file:///data/a b"),
    ("file:///data", "file:///data"),
    ("s3://bucket/pre/fix", "s3a://bucket/pre/fix"),
    ("s3://bucket", "s3a://bucket"),
])
def test_places(uri, place, monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    found = _spark.place(uri)
    assert found == (place, {}) and found.below("main/box/f") == place + "/main/box/f"


def test_options_of_a_bucket_are_settings_of_that_bucket(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very secret")
    uri, settings = _spark.place("s3://b/p?endpoint=http://127.0.0.1:9000&region=eu-1&requester_pays=true&anonymous=true")
    assert uri == "s3a://b/p" and settings == {
        "fs.s3a.bucket.b.endpoint": "http://127.0.0.1:9000",
        "fs.s3a.bucket.b.connection.ssl.enabled": "false",
        "fs.s3a.bucket.b.path.style.access": "true",
        "fs.s3a.bucket.b.endpoint.region": "eu-1",
        "fs.s3a.bucket.b.requester.pays.enabled": "true",
        "fs.s3a.bucket.b.aws.credentials.provider": "org.apache.hadoop.fs.s3a.AnonymousAWSCredentialsProvider",
    }
    assert "very secret" not in str(settings)
    assert _spark.place("s3://b/p?style=path").settings == {"fs.s3a.bucket.b.path.style.access": "true"}


def test_stores_that_spark_is_not_told_about():
    with pytest.raises(apiary.NotSupportedError, match="gs://") as error:
        _spark.place("gs://bucket/x")
    assert "outgrowing" in error.value.hint
    with apiary.open("memory://") as db, pytest.raises(apiary.UsageError, match="memory"):
        db.spark()


def test_without_pyspark(db, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(apiary.NotSupportedError, match="PySpark is not installed") as error:
        db.spark()
    assert "pip install" in error.value.hint and "delta-spark==" in error.value.hint
    with pytest.raises(apiary.UsageError, match="nowhere"):
        db.spark(hives=["main", "nowhere"])
