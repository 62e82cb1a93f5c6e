from __future__ import annotations

import pytest

from superres.errors import (
    BucketNotFound,
    Cancelled,
    ObjectNotFound,
    PermissionDenied,
    SourceRefused,
    SourceTooLarge,
)
from superres.settings import Settings, SourcesSettings, StorageSettings
from superres.sources import Sources
from superres.storage import open_store


@pytest.fixture
def store():
    store = open_store(Settings(storage=StorageSettings(url="memory:///")))
    store.put("public", "a/b.png", b"picture")
    store.put("private", "a.png", b"secret")
    return store


def sources(store, **settings):
    return Sources(SourcesSettings(**settings), store)


def test_callers_without_a_credential_read_what_is_named(store, target):
    some = sources(store, anonymous_buckets=("public",))
    assert some.fetch("s3://public/a/b.png", target) == 7
    assert target.read_bytes() == b"picture"
    with pytest.raises(PermissionDenied, match=r"\[sources\] anonymous_buckets"):
        some.fetch("s3://private/a.png", target)
    with pytest.raises(PermissionDenied):  # the same whether it is there or not
        some.fetch("s3://nowhere/a.png", target)
    assert sources(store, anonymous_buckets=("*",)).fetch("s3://private/a.png", target) == 6
    with pytest.raises(PermissionDenied):
        sources(store).fetch("s3://public/a/b.png", target)


def test_whoever_is_not_trusted_reads_no_open_bucket(store, target):
    some = sources(store, anonymous_buckets=("*",))
    with pytest.raises(PermissionDenied, match="other sites"):
        some.fetch("s3://public/a/b.png", target, trusted=False)
    seen = []
    known = lambda *names: seen.append(names)  # noqa: E731
    assert some.fetch("s3://public/a/b.png", target, caller_may_read=known, trusted=False) == 7
    assert seen == [("public", "a/b.png")]


def test_callers_with_one_are_asked_about_first(store, target):
    asked = []

    def may(bucket, key):
        asked.append((bucket, key))
        if bucket == "private":
            raise PermissionDenied("no")

    all_of_it = sources(store, anonymous_buckets=("*",))
    assert all_of_it.fetch("S3://public/a/b.png", target, caller_may_read=may) == 7
    with pytest.raises(PermissionDenied, match="no"):
        all_of_it.fetch("s3://private/none", target, caller_may_read=may)
    assert asked == [("public", "a/b.png"), ("private", "none")]


@pytest.mark.parametrize(
    "key",
    ["50%.png", "a%2Fb", "/a", "a//b", "a/", "../../etc/passwd", "a?b#c", "a b", "猫", "a\nb"],
)
def test_keys_are_taken_as_they_stand(store, target, key):
    store.put("public", key, key.encode())
    sources(store, anonymous_buckets=("*",)).fetch(f"s3://public/{key}", target)
    assert target.read_bytes() == key.encode()


@pytest.mark.parametrize("address", ["s3://", "s3://a", "s3://a/", "s3:///a", "s3:a/b"])
def test_forms(store, target, address):
    with pytest.raises(SourceRefused):
        sources(store, anonymous_buckets=("*",)).fetch(address, target)


@pytest.mark.parametrize("address", ["", "a", "file:///etc/passwd", "S3A://a/b", "data:,a", "\x00"])
def test_other_kinds_of_addresses(store, target, address):
    with pytest.raises(SourceRefused, match="http://, https:// or s3://"):
        sources(store).fetch(address, target)


def test_what_is_not_there(store, target):
    everything = sources(store, anonymous_buckets=("*",))
    with pytest.raises(ObjectNotFound):
        everything.fetch("s3://public/none", target)
    with pytest.raises(BucketNotFound):
        everything.fetch("s3://nowhere/a", target)
    with pytest.raises(BucketNotFound):
        everything.fetch("s3://../a", target)
    with pytest.raises(SourceRefused, match="no object store"):
        sources(None, anonymous_buckets=("*",)).fetch("s3://public/a", target)
    assert not target.exists()


def test_limits(store, target):
    with pytest.raises(SourceTooLarge, match=r"\[sources\] max_bytes"):
        sources(store, anonymous_buckets=("*",), max_bytes=6).fetch("s3://public/a/b.png", target)
    with pytest.raises(Cancelled):
        sources(store, anonymous_buckets=("*",)).fetch(
            "s3://public/a/b.png", target, cancelled=lambda: True
        )
    assert not target.exists()
