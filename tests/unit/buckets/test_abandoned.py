"""Pieces that could not be moved into the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from superres.errors import OutputError, StorageError
from tests.unit.buckets.conftest import NAME, Room


def test_a_store_that_does_not_answer_is_not_waited_for_twice(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it kept all the same, having answered too late, goes with a sweep."""
    room.put("a", b"old")
    move = room.store.move

    def answer_too_late(bucket: str, key: str, file: Path) -> None:
        move(bucket, key, file)
        raise StorageError("no answer")

    def ask(_bucket: str, _key: str) -> None:
        raise AssertionError("asked again, while somebody waits")

    with monkeypatch.context() as patch:
        patch.setattr(room.store, "move", answer_too_late)
        patch.setattr(room.store, "discard", ask)
        with pytest.raises(StorageError, match="no answer"):
            room.put("a", b"new")
    assert room.content(room.objects.get(NAME, "a")) == b"old"
    assert room.sweep(59) == 0
    assert room.sweep(61) == 1
    room.check()


def test_a_disk_that_is_full_is_tidied_at_once(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    move = room.store.move

    def fill_up(bucket: str, key: str, file: Path) -> None:
        move(bucket, key, file)
        raise OutputError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(room.store, "move", fill_up)
        with pytest.raises(OutputError, match="no room"):
            room.put("a")
    assert room.known() == room.held() == set()
