from __future__ import annotations

import os

import pytest

from superres.errors import (
    BadParameter,
    BucketNotFound,
    ObjectNotFound,
    SourceTooLarge,
    StorageError,
)
from superres.settings import ServerSettings, Settings, StorageSettings
from superres.storage import open_store, whole_file


def settings(tmp_path, url=""):
    return Settings(
        server=ServerSettings(data_dir=tmp_path / "data"), storage=StorageSettings(url=url)
    )


def test_a_folder_in_the_data_folder_is_the_default(tmp_path):
    open_store(settings(tmp_path)).put("photos", "2024/cat.jpg", b"cat")
    assert (tmp_path / "data/objects/photos/2024/cat.jpg").read_bytes() == b"cat"


@pytest.mark.skipif(os.name == "nt", reason="modes as on POSIX")
def test_the_folder_is_private_and_one_that_is_there_stays_as_it_is(tmp_path):
    before = os.umask(0o022)
    try:
        open_store(settings(tmp_path))
        (tmp_path / "shared").mkdir(mode=0o755)
        open_store(settings(tmp_path, (tmp_path / "shared").as_uri()))
    finally:
        os.umask(before)
    assert (tmp_path / "data/objects").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755


def test_a_folder_of_ones_own_with_files_of_ones_own(tmp_path):
    folder = tmp_path / "my objects"
    store = open_store(settings(tmp_path, folder.as_uri()))
    assert "%20" in folder.as_uri()
    (folder / "photos/深/a b").mkdir(parents=True)
    (folder / "photos/深/a b/cat.jpg").write_bytes(b"cat")
    assert store.fetch("photos", "深/a b/cat.jpg", tmp_path / "copy", 3) == 3
    assert not (tmp_path / "data").exists()


def test_nothing_outside_the_folder_can_be_named(tmp_path):
    (tmp_path / "secret.txt").write_bytes(b"secret")
    store = open_store(settings(tmp_path, (tmp_path / "objects").as_uri()))
    store.put("b", "a.txt", b"a")
    for key in ("../../secret.txt", "/../../secret.txt", str(tmp_path / "secret.txt")):
        with pytest.raises(ObjectNotFound):
            store.fetch("b", key, tmp_path / "copy", 100)
        store.put("b", key, b"changed")
        store.delete("b", key)
    for bucket in ("..", ".", "", "../..", "a/b", "/", "b\x00", "b\n", "%2e%2e", "x" * 64):
        with pytest.raises(BucketNotFound):
            store.fetch(bucket, "secret.txt", tmp_path / "copy", 100)
        with pytest.raises(BucketNotFound):
            store.put(bucket, "secret.txt", b"changed")
    assert (tmp_path / "secret.txt").read_bytes() == b"secret"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["objects", "secret.txt"]


def test_messages_name_no_path(tmp_path):
    store = open_store(settings(tmp_path))
    (tmp_path / "data/objects/b").mkdir()
    (tmp_path / "data/objects/c").write_bytes(b"")
    errors = []
    for bucket, key in (("a", "none"), ("b", "none")):
        with pytest.raises(StorageError) as caught:
            store.head(bucket, key)
        errors.append(caught.value)
    with pytest.raises(StorageError) as caught:
        store.put("c", "a", b"")
    assert [type(error) for error in errors] == [BucketNotFound, ObjectNotFound]
    for error in (*errors, caught.value):
        assert str(tmp_path) not in str(error)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"\[storage\] url"):
        open_store(settings(tmp_path, (tmp_path / "file").as_uri()))


@pytest.mark.parametrize(
    "url",
    [
        "file:objects",
        "file://host/objects",
        "file:///a?b",
        "memory://a",
        "memory:///a",
        "gs://bucket/prefix",
        "http://example.com/",
        "s3://key:secret@bucket/prefix",
        "s3:///prefix",
        "s3://bucket/prefix?region=x",
    ],
)
def test_other_urls(tmp_path, url):
    with pytest.raises(BadParameter, match=r"\[storage\] url") as caught:
        open_store(settings(tmp_path, url))
    assert "secret" not in caught.value.public_message


def test_an_unfinished_copy_is_no_file(tmp_path):
    store = open_store(settings(tmp_path, "memory:///"))
    store.put("b", "a", b"x" * 10)
    target = tmp_path / "copy"

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fetch("b", "a", target, 10, pulse=stop)
    with pytest.raises(SourceTooLarge):
        store.fetch("b", "a", target, 9)
    assert not target.exists()
    with pytest.raises(StorageError, match="make room"):
        store.fetch("b", "a", tmp_path / "no folder/copy", 10)


def test_whole_or_not_at_all(tmp_path):
    target = tmp_path / "file"
    with whole_file(target) as write:
        write(b"a")
        write(memoryview(b"b"))
    assert target.read_bytes() == b"ab"
    with pytest.raises(TypeError), whole_file(target) as write:
        write("text")
    assert not target.exists()
    target.symlink_to("/dev/full")
    with pytest.raises(StorageError), whole_file(target) as write:
        write(b"x" * 100)  # in the buffer until the end
    assert not target.is_symlink()


def test_s3_that_is_not_there(tmp_path, monkeypatch):
    """It says so, soon, and without a word about keys."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "top-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    store = open_store(settings(tmp_path, "s3://"))
    with pytest.raises(StorageError, match="did not answer") as caught:
        store.head("bucket", "key")
    assert "top-secret" not in repr(caught.value.__cause__)
    for key in ("/a", "a/", "a//b", "../a"):
        with pytest.raises(BadParameter):
            store.head("bucket", key)
