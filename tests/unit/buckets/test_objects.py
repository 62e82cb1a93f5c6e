"""Objects: what is put is what is read, whole or in part."""

from __future__ import annotations

from pathlib import Path

import pytest

from superres.buckets import NewObject, StoredObject
from superres.buckets.pieces import GRACE_SECONDS
from superres.database import open_database
from superres.errors import (
    BadParameter,
    BucketNotFound,
    ObjectNotFound,
    OutputError,
    SourceTooLarge,
    StorageError,
)
from superres.storage import open_store
from tests.unit.buckets.conftest import NAME, Room, md5, on_disk
from tests.unit.database.places import settings_at

KEYS = [
    *("a", "a/b", "a//b", "/a", "a/", "/", "..", "../a", "a/../b", "."),
    *("猫/照片.png", "🐈", "\u00e9", "e\u0301", "\ufffd", "\U0010ffff"),
    *("a\0b", "\0", "a\nb", "\x7f", "100%", "%2F", "%", "a+b c", "?#&=<>\"'\\*:|", "x" * 850),
    "猫" * 283,
]


def test_what_is_put_is_read(room: Room) -> None:
    headers = {"cache-control": "no-cache", "x-cos-meta-name": "Mäuse 猫 \0"}
    file = room.file(b"pixels")
    new = NewObject(NAME, "p/a.png", file, md5(b"pixels"), "image/png", headers)
    (stored,) = room.objects.put(new)
    assert stored == StoredObject(
        NAME, "p/a.png", 6, md5(b"pixels"), "image/png", headers, room.clock.now, stored.content_id
    )
    assert room.objects.get(NAME, "p/a.png") == stored
    assert room.content(stored) == b"pixels"
    assert not file.exists()
    room.check()


def test_every_key_is_its_own(room: Room) -> None:
    for key in KEYS:
        room.put(key, key.encode())
    assert room.names() == sorted(KEYS, key=str.encode)
    for key in KEYS:
        assert room.content(room.objects.get(NAME, key)) == key.encode()
    room.objects.delete(NAME, *KEYS[::2])
    assert room.names() == sorted(KEYS[1::2], key=str.encode)


@on_disk
@pytest.mark.parametrize("key", ["", "x" * 851, "猫" * 284, "\ud800"])
def test_keys_that_cannot_be(room: Room, key: str) -> None:
    for ask in (
        lambda: room.put(key),
        lambda: room.objects.get(NAME, key),
        lambda: room.objects.delete(NAME, key),
        lambda: room.uploads.create(NAME, key, "me"),
    ):
        with pytest.raises(BadParameter, match="An object's key must"):
            ask()
    assert room.known() == set()


@on_disk
def test_text_that_no_key_has(room: Room) -> None:
    for name in ("prefix", "delimiter", "marker"):
        with pytest.raises(BadParameter):
            room.objects.list(NAME, **{name: "\ud800"})


def test_what_is_not_there(room: Room) -> None:
    room.put("a/b")
    for key in ("a", "a/", "a/b/", "A/b", "b"):
        with pytest.raises(ObjectNotFound):
            room.objects.get(NAME, key)
    room.objects.delete(NAME, "a", "missing")
    assert room.names() == ["a/b"]


@pytest.mark.parametrize("size", [0, 1, (3 << 20) + 17])
def test_ranges(room: Room, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    stored = room.put("a", content[:size])
    for first, end in (
        (0, None),
        (0, size),
        (0, 1),
        (size // 2, None),
        (1, size - 1),
        (0, 1 << 40),
    ):
        assert room.content(stored, first, end) == content[:size][first:end]
    for first, end in ((size, None), (size + 9, None), (2, 2), (2, 1)):
        assert room.content(stored, first, end) == b""


def test_ranges_over_parts(room: Room) -> None:
    parts = [b"abc", b"d", b"", b"efghi", b"jk"]
    stored, whole = room.put_parts("a", *parts), b"".join(parts)
    for first in range(len(whole) + 2):
        for end in range(first, len(whole) + 2):
            assert room.content(stored, first, end) == whole[first:end]


def test_chunks_are_small(room: Room) -> None:
    stored = room.put_parts("a", bytes(5 << 20), bytes(3 << 20))
    with room.objects.read(stored) as chunks:
        sizes = [len(chunk) for chunk in chunks]
    assert sum(sizes) == 8 << 20
    assert min(sizes) > 0
    assert max(sizes) <= 1 << 20


def test_fetch_is_the_object(room: Room) -> None:
    target = room.folder / "target"
    for stored, content in (
        (room.put("a", b"pixels"), b"pixels"),
        (room.put("b", b""), b""),
        (room.put_parts("c", b"one", b"two"), b"onetwo"),
    ):
        room.objects.fetch(stored, target, stored.size)
        assert target.read_bytes() == content


def test_fetch_has_a_limit(room: Room) -> None:
    target = room.folder / "target"
    for stored in (room.put("a", b"pixels"), room.put_parts("b", b"pix", b"els")):
        with pytest.raises(SourceTooLarge, match="5 bytes"):
            room.objects.fetch(stored, target, 5)
        assert not target.exists()


def test_the_later_one_counts(room: Room) -> None:
    old = room.put("a", b"old")
    room.clock.now += 1
    new = room.put("a", b"newer")
    assert room.objects.get(NAME, "a") == new
    assert new.content_id != old.content_id
    assert new.modified_at == old.modified_at + 1
    assert room.content(new) == b"newer"
    assert room.content(old) == b"old"  # who has found it may still read it
    assert room.sweep() == 1
    room.check()
    with pytest.raises(ObjectNotFound, match="deleted or replaced"):
        room.content(old)


def test_what_is_deleted_is_gone_for_all_but_readers(room: Room) -> None:
    stored = room.put("a", b"old")
    room.objects.delete(NAME, "a")
    with pytest.raises(ObjectNotFound):
        room.objects.get(NAME, "a")
    assert room.sweep(GRACE_SECONDS - 1) == 0
    assert room.content(stored) == b"old"
    assert room.sweep(GRACE_SECONDS + 1) == 1
    assert room.known() == room.held() == set()


def test_several_are_written_together(room: Room) -> None:
    room.buckets.create("other", "me")
    news = [room.new("b", b"1"), room.new("a", b"2", "other"), room.new("b", b"3")]
    stored = room.objects.put(*news)
    assert [(each.bucket, each.key) for each in stored] == [
        (NAME, "b"), ("other", "a"), (NAME, "b"),
    ]  # fmt: skip
    assert room.objects.get(NAME, "b") == stored[2]
    assert room.objects.get("other", "a") == stored[1]
    assert room.sweep() == 1
    room.check()
    assert room.objects.put() == []


def test_several_are_written_or_none(room: Room) -> None:
    room.put("a", b"old")
    with pytest.raises(BucketNotFound):
        room.objects.put(room.new("a"), room.new("b"), room.new("c", bucket="missing"))
    with pytest.raises(BadParameter):
        room.objects.put(room.new("a"), room.new("b"), room.new(""))
    lost = room.new("b")
    lost.file.unlink()
    with pytest.raises(OutputError):
        room.objects.put(room.new("a"), lost)
    assert room.names() == ["a"]
    assert room.content(room.objects.get(NAME, "a")) == b"old"
    room.check()


def test_a_bucket_that_goes_meanwhile_gets_no_object(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.buckets.create("other", "me")
    move = room.store.move

    def delete_and_move(*args: object) -> None:
        room.opened().delete("other")
        move(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(room.store, "move", delete_and_move)
    with pytest.raises(BucketNotFound):
        room.objects.put(room.new("a", bucket="other"))
    assert room.known() == room.held() == set()


def test_a_store_that_fails_keeps_the_old_object(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.put("a", b"old")
    move, moved = room.store.move, []

    def fail_the_second(bucket: str, key: str, file: Path) -> None:
        moved.append(key)
        if len(moved) == 2:
            raise StorageError("no")
        move(bucket, key, file)

    with monkeypatch.context() as patch:
        patch.setattr(room.store, "move", fail_the_second)
        with pytest.raises(StorageError):
            room.objects.put(room.new("a", b"new"), room.new("b"))
    assert room.names() == ["a"]
    assert room.content(room.objects.get(NAME, "a")) == b"old"
    assert room.sweep(61) == 2  # the store is not asked again while the client waits
    room.check()


def test_a_read_under_way_ends_in_peace(room: Room) -> None:
    parts = [bytes([number]) * (1 << 20) for number in range(3)]
    stored = room.put_parts("a", *parts)
    with room.objects.read(stored) as chunks:
        content = next(chunks)
        room.put("a", b"new")
        content += b"".join(chunks)
    assert content == b"".join(parts)


def test_a_slow_read_is_waited_for(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that needs longer than the grace says so while it reads."""
    monkeypatch.setattr("superres.buckets.reading.GRACE_SECONDS", -1.0)  # at every chunk
    stored = room.put_parts("a", *[bytes([number]) * 1000 for number in range(8)])
    room.objects.delete(NAME, "a")
    content = b""
    with room.objects.read(stored) as chunks:
        for chunk in chunks:
            room.clock.now += GRACE_SECONDS * 0.9
            content += chunk
            assert room.sweep(0) == 0
    assert len(content) == 8000
    room.clock.now += GRACE_SECONDS
    assert room.sweep(0) == 8


def test_a_reader_that_stops_leaves_no_open_file(room: Room) -> None:
    stored = room.put_parts("a", bytes(1 << 20), bytes(1 << 20))
    with room.objects.read(stored) as chunks:
        next(chunks)
    with pytest.raises(StopIteration):
        next(chunks)


def test_a_store_without_our_bucket_says_what_to_do(
    tmp_path: Path, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    settings = settings_at(tmp_path, **{"storage.url": "s3://"})
    database = open_database(settings)
    room = Room(settings, database, open_store(settings), tmp_path)
    with pytest.raises(
        StorageError, match="no bucket superres; make it, or name one bucket"
    ) as told:
        room.put("a")
    assert not isinstance(told.value, BucketNotFound)  # which would be about the client's
    assert room.sweep(61) == 1
    assert room.known() == set()
    database.dispose()
