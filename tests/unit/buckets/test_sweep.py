"""Sweeping: what belongs to nothing goes, in time, and never what belongs to something."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from superres.buckets.pieces import GRACE_SECONDS
from superres.errors import StorageError
from tests.unit.buckets.conftest import NAME, Room, on_disk


def test_what_is_in_use_stays(room: Room) -> None:
    room.put("a")
    room.put_parts("b", b"1", b"2")
    upload, parts = room.begin("c", b"1", b"2")
    assert room.sweep(6 * 86_400) == 0
    room.check()
    room.uploads.complete(upload, parts)
    assert room.content(room.objects.get(NAME, "c")) == b"12"


def test_one_who_takes_too_long_fails_whole(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its piece was swept as one of the dead; it must not become an object without bytes."""
    room.put("a", b"old")
    upload, parts = room.begin("b", b"1")
    move = room.store.move

    def sweep_and_move(bucket: str, key: str, file: Path) -> None:
        move(bucket, key, file)
        assert room.sweep() == 1

    def move_when_swept(bucket: str, key: str, file: Path) -> None:
        assert room.sweep() == 1
        move(bucket, key, file)

    for slow in (sweep_and_move, move_when_swept):
        with monkeypatch.context() as patch:
            patch.setattr(room.store, "move", slow)
            with pytest.raises(StorageError, match="too long"):
                room.put("a", b"new")
            with pytest.raises(StorageError, match="too long"):
                room.part(upload, 1, b"new")
            with pytest.raises(StorageError, match="too long"):
                room.uploads.complete(upload, parts, room.new("c"))
            source = room.objects.get(NAME, "a")
            with pytest.raises(StorageError, match="too long"):
                room.derived.keep(source, "x2", room.file(), "0" * 32, "image/png")
        assert room.content(room.objects.get(NAME, "a")) == b"old"
        room.check()
    assert room.content(room.uploads.complete(upload, parts)[0]) == b"1"


def test_a_store_that_does_not_answer_is_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        room.put(f"{number}")
    room.objects.delete(NAME, *room.names())
    asked = []

    def refuse(_bucket: str, key: str) -> None:
        asked.append(key)
        raise StorageError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(room.store, "discard", refuse)
        assert room.sweep() == 0
    assert len(asked) == 8  # who does not answer is not asked for all
    assert len(room.known()) == len(room.held()) == 20
    assert room.sweep() == 0  # for a minute they are left to who claimed them
    assert room.sweep(86_400 + 61) == 20
    assert room.known() == room.held() == set()


@on_disk
def test_a_sweep_has_a_budget(room: Room) -> None:
    for key in "abc":
        room.put(key)
    room.objects.delete(NAME, *"abc")
    room.clock.now += GRACE_SECONDS + 1
    assert room.buckets.sweep(0.0) == 0
    assert len(room.held()) == 3
    start = time.monotonic()
    assert room.buckets.sweep(10.0) == 3
    assert time.monotonic() - start < 5


@on_disk
def test_many_uploads_end_in_one_sweep(room: Room) -> None:
    for number in range(25):
        room.begin(f"{number}", b"1", b"2")
    assert room.sweep(8 * 86_400) == 50
    assert room.uploads.list(NAME) == ((), False)


@on_disk
def test_an_answer_that_was_lost_loses_no_object(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was committed, but whoever asked for it cannot know."""
    import contextlib
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

    from superres.buckets import objects
    from superres.database import writing

    @contextlib.contextmanager
    def commit_and_fail(database: Engine) -> Iterator[Connection]:
        with writing(database) as connection:
            yield connection
        raise StorageError("lost")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "writing", commit_and_fail)
        with pytest.raises(StorageError, match="lost"):
            room.put("a")
    assert room.content(room.objects.get(NAME, "a")) == b"pixels"
    assert room.sweep() == 0
    room.check()
