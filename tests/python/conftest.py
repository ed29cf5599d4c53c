"""What the tests share: a store in memory, a store in a folder."""

import gc

import pytest

import apiary

SETTINGS = {"bees": 2, "memory_limit": "1GB", "fsync": False, "progress": False}


@pytest.fixture
def db(tmp_path):
    """An open store in a folder of its own."""
    with apiary.open(tmp_path / "store", **SETTINGS) as opened:
        yield opened
    gc.collect()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for all tests of a module that only ask."""
    with apiary.open(tmp_path_factory.mktemp("shared") / "store", **SETTINGS) as opened:
        yield opened
