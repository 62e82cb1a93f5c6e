"""Pictures made from objects: kept with them, go with them, and when they are too many."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event

from superres.buckets import Kept, StoredObject
from superres.buckets.derived import DerivedPictures
from superres.errors import ObjectNotFound, StorageError
from tests.unit.buckets.conftest import NAME, Room, md5, on_disk

RECIPE = "AISuperResolution?magnify=2"


def keep(
    room: Room,
    source: StoredObject,
    content: bytes = b"large",
    recipe: str = RECIPE,
    derived: DerivedPictures | None = None,
) -> Kept:
    derived = derived or room.derived
    kept = derived.keep(source, recipe, room.file(content), md5(content), "image/png")
    assert kept is not None
    return kept


def content(room: Room, kept: Kept, first: int = 0, end: int | None = None) -> bytes:
    with room.derived.read(kept, first, end) as chunks:
        return b"".join(chunks)


def test_what_is_kept_is_found(room: Room) -> None:
    source = room.put("a")
    assert room.derived.find(source, RECIPE) is None
    file = room.file(b"large")
    kept = room.derived.keep(source, RECIPE, file, md5(b"large"), "image/png")
    assert kept is not None
    assert not file.exists()
    assert (kept.size, kept.etag, kept.media_type) == (5, md5(b"large"), "image/png")
    assert kept.made_at == room.clock.now
    assert room.derived.find(source, RECIPE) == kept
    assert room.derived.find(source, "another") is None
    assert room.derived.find(room.put("b"), RECIPE) is None
    assert content(room, kept) == b"large"
    assert content(room, kept, 1, 3) == b"ar"
    assert room.names() == ["a", "b"]
    room.check()


def test_a_recipe_is_any_text(room: Room) -> None:
    source = room.put("a\0/猫")
    recipes = ["", "a" * 5000, "猫\0", "A", "a"]
    kept = [keep(room, source, b"%d" % number, recipe) for number, recipe in enumerate(recipes)]
    assert [room.derived.find(source, recipe) for recipe in recipes] == kept


def test_of_two_the_later_one_is_found(room: Room) -> None:
    source = room.put("a")
    keep(room, source, b"first")
    second = keep(room, source, b"second")
    assert room.derived.find(source, RECIPE) == second
    assert room.sweep() == 1
    room.check()


def test_it_goes_with_the_object(room: Room) -> None:
    source = room.put("a")
    kept = keep(room, source)
    keep(room, source, recipe="another")
    room.objects.delete(NAME, "a")
    assert room.derived.find(source, RECIPE) is None
    assert content(room, kept) == b"large"  # who has found it may still read it
    assert room.sweep() == 3
    with pytest.raises(ObjectNotFound):
        content(room, kept)
    assert room.held() == set()


def test_it_goes_when_the_object_changes(room: Room) -> None:
    source = room.put("a", b"one")
    keep(room, source)
    changed = room.put("a", b"two")
    assert room.derived.find(source, RECIPE) is room.derived.find(changed, RECIPE) is None
    assert room.sweep() == 2
    room.check()
    keep(room, changed)
    completed = room.put_parts("a", b"two")
    assert room.derived.find(completed, RECIPE) is None
    assert room.sweep() == 2
    room.check()


def test_it_stays_when_the_object_is_written_again_as_it_was(room: Room) -> None:
    kept = keep(room, room.put("a", b"one"))
    again = room.put("a", b"one")
    assert room.derived.find(again, RECIPE) == kept
    room.sweep()
    assert content(room, kept) == b"large"
    room.check()


def test_nothing_is_kept_of_what_changed(room: Room) -> None:
    source = room.put("a", b"one")
    room.put("a", b"two")
    file = room.file()
    assert room.derived.keep(source, RECIPE, file, md5(b"pixels"), "image/png") is None
    assert file.exists()
    room.objects.delete(NAME, "a")
    assert room.derived.keep(source, RECIPE, file, md5(b"pixels"), "image/png") is None
    assert file.exists()


def test_what_changes_at_the_last_moment_is_read_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, move = room.put("a", b"one"), room.store.move

    def change_and_move(bucket: str, key: str, file: Path) -> None:
        monkeypatch.setattr(room.store, "move", move)
        room.objects.delete(NAME, "a")
        move(bucket, key, file)

    monkeypatch.setattr(room.store, "move", change_and_move)
    kept = keep(room, source)
    assert content(room, kept) == b"large"
    assert room.derived.find(source, RECIPE) is None
    assert room.sweep() == 2
    assert room.held() == set()


def test_those_used_longest_ago_go_first(room: Room) -> None:
    derived = room.opened(max_derived_bytes=30).derived
    sources = [room.put(key, key.encode()) for key in "abcd"]
    for source in sources[:3]:
        room.clock.now += 1
        keep(room, source, b"0123456789", derived=derived)
    room.clock.now += 61
    assert derived.find(sources[0], RECIPE) is not None  # used
    keep(room, sources[3], b"0123456789", derived=derived)
    found = [derived.find(source, RECIPE) is not None for source in sources]
    assert found == [True, False, True, True]
    room.clock.now += 1
    keep(room, sources[1], bytes(25), derived=derived)
    found = [derived.find(source, RECIPE) is not None for source in sources]
    assert found == [False, True, False, False]
    assert room.sweep() == 4
    room.check()


def test_uses_are_written_now_and_then(room: Room) -> None:
    source = room.put("a")
    keep(room, source)

    def used() -> float:
        from sqlalchemy import select

        from superres.buckets.tables import derived as table
        from superres.database import reading

        with reading(room.database) as connection:
            return connection.execute(select(table.c.used_at)).scalar_one()

    start = room.clock.now
    room.clock.now += 59
    room.derived.find(source, RECIPE)
    assert used() == start
    room.clock.now += 2
    room.derived.find(source, RECIPE)
    assert used() == room.clock.now


@on_disk
def test_a_use_that_cannot_be_written_is_none(room: Room) -> None:
    """A full disk keeps nobody from what is there."""
    source = room.put("a")
    kept = keep(room, source)
    room.clock.now += 61
    event.listen(room.database, "checkout", lambda c, *_: c.execute("PRAGMA query_only = ON"))
    assert room.derived.find(source, RECIPE) == kept
    assert content(room, kept) == b"large"
    with pytest.raises(StorageError):
        room.objects.delete(NAME, "a")


@on_disk
def test_what_is_too_large_stays_where_it_is(room: Room) -> None:
    derived, source, file = room.opened(max_derived_bytes=5).derived, room.put("a"), room.file()
    assert derived.keep(source, RECIPE, file, md5(b"pixels"), "image/png") is None
    assert file.read_bytes() == b"pixels"


@pytest.mark.parametrize("damage", [b"larGe", b"larg", b"larger", None])
def test_what_is_damaged_is_made_anew(room: Room, damage: bytes | None) -> None:
    source = room.put("a")
    kept = keep(room, source)
    room.damage(kept.piece_id, damage)
    told: list[bytes] = []
    with pytest.raises(StorageError, match="damaged"), room.derived.read(kept) as chunks:
        told.extend(chunks)
    assert told == []  # there is one chunk, the last
    assert room.derived.find(source, RECIPE) is None
    again = keep(room, source)
    assert content(room, again) == b"large"
    room.sweep()
    room.check()


@on_disk
def test_a_damaged_object_is_not_forgotten(room: Room) -> None:
    source = room.put("a")
    room.damage(source.content_id, b"")
    with pytest.raises(StorageError, match="damaged"):
        room.content(source)
    assert room.objects.get(NAME, "a") == source
