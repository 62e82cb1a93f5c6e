"""What is damaged in the store is told from what is gone, and never passes for whole."""

from __future__ import annotations

import pytest

from superres.buckets import StoredObject
from superres.buckets.pieces import BUCKET, path
from superres.errors import ObjectNotFound, StorageError
from superres.storage.checked import Damaged
from tests.unit.buckets.conftest import NAME, Room

DAMAGE = {"truncated": b"pixel", "longer": b"pixels.", "empty": b"", "missing": None}


def stored_as(room: Room, kind: str) -> StoredObject:
    return room.put("a") if kind == "whole" else room.put_parts("a", b"first", b"pixels")


@pytest.mark.parametrize("kind", ["whole", "parts"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_read_says_so(room: Room, kind: str, damage: str) -> None:
    stored = stored_as(room, kind)
    room.damage(stored.content_id, DAMAGE[damage], -1)
    told: list[bytes] = []
    with pytest.raises(Damaged), room.objects.read(stored) as chunks:
        told.extend(chunks)
    assert told == ([b"first"] if kind == "parts" else [])
    with pytest.raises(Damaged):
        room.content(stored, stored.size - 2)


@pytest.mark.parametrize("kind", ["whole", "parts"])
@pytest.mark.parametrize("damage", [*DAMAGE, "flipped"])
def test_a_fetch_says_so(room: Room, kind: str, damage: str) -> None:
    stored = stored_as(room, kind)
    room.damage(stored.content_id, DAMAGE.get(damage, b"piXels"), -1)
    target = room.folder / "target"
    with pytest.raises(Damaged, match="damaged in the object store"):
        room.objects.fetch(stored, target, 100)
    assert not target.exists()


def test_a_later_part_that_went_is_gone(room: Room) -> None:
    stored = room.put_parts("a", bytes(10), bytes(10))
    with room.objects.read(stored) as chunks:
        assert next(chunks) == bytes(10)
        room.objects.delete(NAME, "a")
        room.sweep()
        with pytest.raises(ObjectNotFound):
            next(chunks)


def test_half_of_an_object_is_none(room: Room) -> None:
    """A sweep that was stopped between two pieces."""
    stored = room.put_parts("a", b"0", b"1", b"2")
    first = room.pieces_of(stored.content_id)[0]
    room.objects.delete(NAME, "a")
    discard, swept = room.store.discard, []

    def discard_one(bucket: str, key: str) -> None:
        swept.append(key)
        if key != path(first):
            raise StorageError("not now")
        discard(bucket, key)

    room.store.discard = discard_one  # type: ignore[method-assign]
    room.sweep()
    assert len(swept) == 3
    with pytest.raises(ObjectNotFound):
        room.content(stored)
    with pytest.raises(ObjectNotFound):
        room.objects.fetch(stored, room.folder / "target", 100)


def test_a_store_without_anything_is_damage(room: Room) -> None:
    stored = room.put("a")
    room.store.delete(BUCKET, path(stored.content_id))
    with pytest.raises(Damaged, match="missing"):
        room.content(stored)
