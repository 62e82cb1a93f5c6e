"""What every kind of object store promises.

S3 takes part where ``SUPERRES_TEST_S3`` names a server that speaks it (any credentials, http),
for example moto's: ``moto_server -H 127.0.0.1 -p 5000``.
"""

from __future__ import annotations

import os
import threading
import urllib.request
import uuid

import pytest

from superres.errors import BadParameter, BucketNotFound, ObjectNotFound, SourceTooLarge
from superres.settings import ServerSettings, Settings, StorageSettings
from superres.storage import ObjectStore, open_store

ODD = [
    "a",
    "a/b",  # "a" as a folder
    "a/b/c",
    "A/b",
    "a.b",
    "a.b/c",
    "a%",
    "a%/b",
    "a%2Fb",
    "a b",
    " a",
    "a ",
    "a.",
    "a#1",
    "a+b=c@d,e~!$&'()[]{}^`",
    "猫/ü",
    "u\u0308",
    "\U0001f431.png",
    "x" * 1024,
    "-",
    "...",
]
# What S3 itself allows, and the library over it cannot say.
ODDER = [
    "/",
    "/a",
    "a/",
    "//",
    "a//b",
    ".",
    "..",
    "../a",
    "a/./b",
    "a/../b",
    "a\x00b",
    "a\nb",
    "\x7f",
]


@pytest.fixture(params=["folder", "memory", "s3 prefix", "s3 buckets"])
def kind(request, monkeypatch):
    if request.param.startswith("s3"):
        server = os.environ.get("SUPERRES_TEST_S3")
        if not server:
            pytest.skip("SUPERRES_TEST_S3 names no S3 server")
        monkeypatch.setenv("AWS_ENDPOINT_URL", server)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return request.param


@pytest.fixture
def bucket(kind) -> str:
    return make_bucket() if kind.startswith("s3") else "photos"


@pytest.fixture
def store(kind, bucket, tmp_path) -> ObjectStore:
    url = {
        "folder": (tmp_path / "objects").as_uri(),
        "memory": "memory:///",
        "s3 prefix": f"s3://{bucket}/some/where",
        "s3 buckets": "s3://",
    }[kind]
    data_dir = ServerSettings(data_dir=tmp_path / "data")
    return open_store(Settings(server=data_dir, storage=StorageSettings(url=url)))


def make_bucket() -> str:
    name = f"test-{uuid.uuid4()}"
    request = urllib.request.Request(f"{os.environ['SUPERRES_TEST_S3']}/{name}", method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return name


@pytest.fixture
def target(tmp_path):
    return tmp_path / "target"


def read(store, bucket, key, target) -> bytes:
    size = store.fetch(bucket, key, target, 1 << 30)
    content = target.read_bytes()
    assert size == len(content)
    return content


def test_put_and_fetch(store, bucket, target):
    store.put(bucket, "a/b.png", b"one")
    assert read(store, bucket, "a/b.png", target) == b"one"
    store.put(bucket, "a/b.png", b"")
    assert read(store, bucket, "a/b.png", target) == b""


def test_large_files(store, bucket, target, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(os.urandom(12 << 20))
    store.put(bucket, "large", source)
    beats = []
    size = store.fetch(bucket, "large", target, 12 << 20, pulse=lambda: beats.append(1))
    assert size == 12 << 20
    assert target.read_bytes() == source.read_bytes()
    assert beats
    with pytest.raises(FileNotFoundError):
        store.put(bucket, "large", tmp_path / "none")


def test_too_large(store, bucket, target):
    store.put(bucket, "a", b"x" * 100)
    assert store.fetch(bucket, "a", target, 100) == 100
    with pytest.raises(SourceTooLarge, match="99 bytes"):
        store.fetch(bucket, "a", target, 99)


def test_head(store, bucket):
    store.put(bucket, "a", b"12345")
    first = store.head(bucket, "a")
    assert first.size == 5
    assert first.modified.tzinfo is not None
    store.put(bucket, "a", b"1234567")
    assert store.head(bucket, "a").size == 7
    assert store.head(bucket, "a").etag != first.etag


def test_exists_and_delete(store, bucket):
    assert not store.exists(bucket, "a")
    store.delete(bucket, "a")  # there need be none
    store.put(bucket, "a", b"")
    store.put(bucket, "b", b"")
    assert store.exists(bucket, "a")
    store.delete(bucket, "a")
    assert not store.exists(bucket, "a")
    assert store.exists(bucket, "b")


def test_what_is_not_there(store, bucket, target):
    with pytest.raises(BucketNotFound):
        store.fetch("no-such-bucket", "a", target, 1)
    with pytest.raises(BucketNotFound):
        store.head("no-such-bucket", "a")
    store.put(bucket, "a/b", b"")
    for key in ("none", "a", "a/b/c"):
        with pytest.raises(ObjectNotFound):
            store.fetch(bucket, key, target, 1)
        with pytest.raises(ObjectNotFound):
            store.head(bucket, key)
    assert not store.exists("no-such-bucket", "a")
    assert not target.exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\x00", "-a", "x" * 64, "ü"])
def test_impossible_buckets(store, name, target):
    with pytest.raises(BucketNotFound):
        store.put(name, "a", b"")
    with pytest.raises(BucketNotFound):
        store.fetch(name, "a", target, 1)
    assert not store.exists(name, "a")


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800"])
def test_impossible_keys(store, bucket, key):
    with pytest.raises(BadParameter):
        store.put(bucket, key, b"")
    with pytest.raises(BadParameter):
        store.exists(bucket, key)


def test_odd_keys_are_all_different(store, bucket, kind, target):
    keys = ODD if kind == "s3 buckets" else ODD + ODDER
    for key in keys:
        store.put(bucket, key, key.encode())
    for key in keys:
        assert read(store, bucket, key, target) == key.encode(), key
    for key in keys:
        store.delete(bucket, key)
        assert not store.exists(bucket, key)


def test_keys_that_only_s3_can_say(store, bucket, kind):
    if kind != "s3 buckets":
        pytest.skip("every key can be kept")
    for key in ODDER:
        with pytest.raises(BadParameter):
            store.put(bucket, key, b"")


def test_a_reader_never_sees_half_of_a_writing(store, bucket, tmp_path):
    """Two contents in turn, and readers beside them."""
    contents = {b"a" * (1 << 20), b"b" * (1 << 20)}
    store.put(bucket, "a", b"a" * (1 << 20))
    done, seen = threading.Event(), set()

    def look(number: int) -> None:
        while not done.is_set():
            seen.add(read(store, bucket, "a", tmp_path / f"seen{number}"))

    readers = [threading.Thread(target=look, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(10):
        for content in contents:
            store.put(bucket, "a", content)
    done.set()
    for reader in readers:
        reader.join(30)
    assert seen
    assert seen <= contents


def test_many_threads_on_the_same_folders(store, bucket):
    """Deleting the last object of a folder while another is put beside it."""
    failures = []

    def turn(number: int) -> None:
        try:
            for _ in range(25):
                store.put(bucket, f"folder/deep/{number}", b"x")
                assert store.exists(bucket, f"folder/deep/{number}")
                store.delete(bucket, f"folder/deep/{number}")
        except Exception as exc:  # noqa: BLE001 - told by the test
            failures.append(exc)

    threads = [threading.Thread(target=turn, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
