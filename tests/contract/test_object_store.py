"""What every kind of object store promises."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from superres.errors import BadParameter, BucketNotFound, ObjectNotFound, SourceTooLarge
from superres.settings import ServerSettings, Settings, StorageSettings
from superres.storage import ObjectStore, open_store
from tests.s3_server import new_bucket

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
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
    return request.param


@pytest.fixture
def bucket(kind) -> str:
    return new_bucket(os.environ) if kind.startswith("s3") else "photos"


@pytest.fixture
def opened(kind, bucket, tmp_path) -> Callable[[], ObjectStore]:
    """Opens the store, each time anew."""
    url = {
        "folder": (tmp_path / "objects").as_uri(),
        "memory": "memory:///",
        "s3 prefix": f"s3://{bucket}/some/where",
        "s3 buckets": "s3://",
    }[kind]
    data_dir = ServerSettings(data_dir=tmp_path / "data")
    settings = Settings(server=data_dir, storage=StorageSettings(url=url))
    return lambda: open_store(settings)


@pytest.fixture
def store(opened) -> ObjectStore:
    return opened()


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


def test_a_file_that_is_moved_in_is_gone(store, bucket, target, tmp_path):
    for size in (0, 5, 12 << 20):  # the last in several parts
        source, content = tmp_path / "source", os.urandom(size)
        source.write_bytes(content)
        store.move(bucket, "a/b", source)
        assert not source.exists()
        assert read(store, bucket, "a/b", target) == content
    with pytest.raises(FileNotFoundError):
        store.move(bucket, "a/b", tmp_path / "none")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a second disk")
def test_a_file_is_moved_in_from_another_disk(store, bucket, target, tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        source = Path(folder) / "source"
        source.write_bytes(b"content")
        store.move(bucket, "a", source)
        assert not source.exists()
    assert read(store, bucket, "a", target) == b"content"
    assert not list(tmp_path.rglob("*#*"))


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (0, None),
        (0, 5),
        (3, 3),
        (3, 10),
        (9 << 20, None),
        ((20 << 20) - 1, 1 << 60),
        (1 << 60, None),
    ],
)
def test_parts_are_read(store, bucket, first, end):
    content = os.urandom(1 << 20) * 20  # more than is asked of S3 at once
    store.put(bucket, "a", content)
    with store.read(bucket, "a", first, end) as found:
        pieces = list(found.pieces)
    assert found.size == len(content)
    assert b"".join(pieces) == content[first:end]
    assert all(pieces)
    assert max(map(len, pieces), default=0) <= 1 << 20


def test_an_empty_object_is_read(store, bucket):
    store.put(bucket, "a", b"")
    with store.read(bucket, "a") as found:
        assert (found.size, list(found.pieces)) == (0, [])


def test_odd_keys_are_read_and_moved_as_they_are_put(store, bucket, kind, tmp_path):
    for key in ODD if kind == "s3 buckets" else ODD + ODDER:
        source = tmp_path / "source"
        source.write_bytes(key.encode())
        store.move(bucket, key, source)
        assert store.head(bucket, key).size == len(key.encode())
        store.put(bucket, key, b"put")
        with store.read(bucket, key) as found:
            assert b"".join(found.pieces) == b"put"


def test_what_is_not_there_is_not_read(store, bucket):
    with pytest.raises(BucketNotFound), store.read("no-such-bucket", "a"):
        pass
    store.put(bucket, "a/b", b"")
    for key in ("none", "a", "a/b/c"):
        with pytest.raises(ObjectNotFound), store.read(bucket, key):
            pass
    with pytest.raises(BucketNotFound), store.read("../a", "a"):
        pass


def test_the_readers_own_errors_are_its_own(store, bucket):
    store.put(bucket, "a", b"")
    with pytest.raises(FileNotFoundError), store.read(bucket, "a"):
        raise FileNotFoundError


def test_discarding(store, bucket):
    store.discard(bucket, "a")  # there need be none
    store.put(bucket, "a", b"")
    store.discard(bucket, "a")
    assert not store.exists(bucket, "a")


@pytest.mark.parametrize("kind", ["s3 prefix", "s3 buckets"], indirect=True)
def test_a_slow_reader_is_read_to_the_end(opened, bucket, monkeypatch):
    """An answer of S3 must be taken within a time, of which a slow client may need more."""
    opened().put(bucket, "a", bytes(20 << 20))
    monkeypatch.setenv("AWS_TIMEOUT", "1s")
    with opened().read(bucket, "a") as found:
        for size in (8, 4, 4, 4):  # three pauses are more than are tried again
            assert sum(len(next(found.pieces)) for _ in range(size)) == size << 20
            time.sleep(1.2)
        assert next(found.pieces, None) is None
