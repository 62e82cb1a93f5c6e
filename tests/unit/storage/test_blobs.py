"""Kept files: there for a while and unchanged, gone when their time or the room is over."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import stat
from pathlib import Path

import pytest

from superres.errors import ObjectNotFound, OutputError, StorageError
from superres.settings import Settings, StorageSettings
from superres.storage import open_store
from superres.storage.blobs import BUCKET, Blobs
from tests.unit.storage.conftest import Room, on_disk


def content_of(blobs: Blobs, blob_id: str) -> bytes:
    with blobs.read(blobs.open(blob_id)) as pieces:
        return b"".join(pieces)


def test_what_is_kept_can_be_read(room: Room, blobs: Blobs) -> None:
    file = room.file()
    kept = blobs.keep(file, "photo_x4.png", "image/png", 60)
    assert not file.exists()
    assert blobs.open(kept.id) == kept
    assert (kept.name, kept.media_type, kept.size) == ("photo_x4.png", "image/png", 6)
    assert kept.sha256 == hashlib.sha256(b"pixels").hexdigest()
    assert kept.expires == room.clock.now + 60
    assert content_of(blobs, kept.id) == b"pixels"
    assert blobs.fetch(kept.id, room.folder / "copy") == kept
    assert (room.folder / "copy").read_bytes() == b"pixels"


@pytest.mark.parametrize(("first", "end"), [(0, None), (2, 4), (0, 6), (5, 100), (6, 6), (3, None)])
def test_parts(room: Room, blobs: Blobs, first: int, end: int | None) -> None:
    kept = blobs.keep(room.file(), "a", "image/png", 60)
    with blobs.read(kept, first, end) as pieces:
        assert b"".join(pieces) == b"pixels"[first:end]


def test_nothing_at_all_is_kept_too(room: Room, blobs: Blobs) -> None:
    kept = blobs.keep(room.file(b""), "a", "image/png", 60)
    assert content_of(blobs, kept.id) == b""
    assert blobs.fetch(kept.id, room.folder / "copy").size == 0


def test_large_ones_come_in_pieces(room: Room) -> None:
    blobs, content = room.blobs(1 << 30), os.urandom(20 << 20)
    kept = blobs.keep(room.file(content), "a", "image/png", 60)
    with blobs.read(kept) as pieces:
        got = list(pieces)
    assert b"".join(got) == content
    assert max(map(len, got)) <= 1 << 20
    with blobs.read(kept, 9 << 20, 18 << 20) as pieces:
        assert b"".join(pieces) == content[9 << 20 : 18 << 20]
    blobs.fetch(kept.id, room.folder / "copy")
    assert (room.folder / "copy").read_bytes() == content


def test_ids_cannot_be_guessed_and_differ(room: Room, blobs: Blobs) -> None:
    ids = {blobs.keep(room.file(), "a.png", "image/png", 60).id for _ in range(20)}
    assert len(ids) == 20
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


@on_disk
def test_nobody_else_on_the_machine_may_look(room: Room, blobs: Blobs) -> None:
    blobs.keep(room.file(), "a", "image/png", 60)
    assert stat.S_IMODE(room.objects.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("C:\\x.png", "x.png"),
        ("", "result"),
        ("a/", "result"),
        ("a\0b", "ab"),
        ("猫 ü.png", "猫 ü.png"),
        ("\ud800.png", "?.png"),
    ],
)
def test_a_name_is_never_a_path(room: Room, blobs: Blobs, name: str, shown: str) -> None:
    kept = blobs.keep(room.file(), name, "image/png", 60)
    assert kept.name == blobs.open(kept.id).name == shown


@pytest.mark.parametrize(
    "blob_id", ["", ".", "..", "../secret", "0" * 32, "A" * 32, "\0", "é" * 32, "\ud800", "%" * 32]
)
def test_unknown_ids_are_not_found(blobs: Blobs, room: Room, blob_id: str) -> None:
    with pytest.raises(ObjectNotFound):
        blobs.open(blob_id)
    with pytest.raises(ObjectNotFound):
        blobs.fetch(blob_id, room.folder / "copy")
    blobs.extend(blob_id, 60)
    blobs.delete(blob_id)


def test_time_passes(room: Room, blobs: Blobs) -> None:
    kept = blobs.keep(room.file(), "a.png", "image/png", 60)
    room.clock.now += 59
    assert blobs.expire() == 0
    assert content_of(blobs, kept.id)
    room.clock.now += 1
    with pytest.raises(ObjectNotFound):  # also before it is swept
        blobs.open(kept.id)
    assert blobs.expire() == 1
    assert (room.rows(), room.holds(kept)) == (0, False)
    with pytest.raises(ObjectNotFound):
        blobs.fetch(kept.id, room.folder / "copy")


def test_many_expire_together(room: Room, blobs: Blobs) -> None:
    kept = [blobs.keep(room.file(b"1"), "a", "image/png", 60, counted=False) for _ in range(230)]
    last = blobs.keep(room.file(b"1"), "a", "image/png", 61)
    room.clock.now += 60
    assert blobs.expire() == 230
    assert room.rows() == 1
    assert not any(room.holds(each) for each in (kept[0], kept[99], kept[100], kept[229]))
    assert room.holds(last)


def test_a_life_is_extended(room: Room, blobs: Blobs) -> None:
    kept = blobs.keep(room.file(), "a.png", "image/png", 60)
    room.clock.now += 50
    blobs.extend(kept.id, 60)
    room.clock.now += 50
    assert blobs.expire() == 0
    assert blobs.open(kept.id).expires == room.clock.now + 10
    room.clock.now += 10
    blobs.extend(kept.id, 60)  # too late
    with pytest.raises(ObjectNotFound):
        blobs.open(kept.id)
    assert blobs.expire() == 1


def test_a_life_is_shortened(room: Room, blobs: Blobs) -> None:
    kept = blobs.keep(room.file(), "a.png", "image/png", 6000)
    blobs.extend(kept.id, 10)
    room.clock.now += 10
    assert blobs.expire() == 1


def test_deleted(room: Room, blobs: Blobs) -> None:
    kept = [blobs.keep(room.file(), "a", "image/png", 60) for _ in range(3)]
    blobs.delete(kept[0].id, "0" * 32, kept[2].id)
    blobs.delete(kept[0].id)
    blobs.delete()
    assert [room.holds(each) for each in kept] == [False, True, False]
    assert room.rows() == 1
    with pytest.raises(ObjectNotFound):
        blobs.open(kept[0].id)
    assert content_of(blobs, kept[1].id)


# ---------------------------------------------------------------- room


def test_the_oldest_go_first_when_room_is_short(room: Room, blobs: Blobs) -> None:
    kept = []
    for _ in range(4):
        kept.append(blobs.keep(room.file(bytes(300)), "a.png", "image/png", 60))
        room.clock.now += 1
    with pytest.raises(ObjectNotFound):
        blobs.open(kept[0].id)
    assert [room.holds(each) for each in kept] == [False, True, True, True]
    assert room.rows() == 3
    big = blobs.keep(room.file(bytes(1000)), "a.png", "image/png", 60)
    assert [room.holds(each) for each in (*kept, big)] == [False] * 4 + [True]


def test_what_is_not_counted_stays(room: Room, blobs: Blobs) -> None:
    stays = blobs.keep(room.file(bytes(5000)), "a.png", "image/png", 60, counted=False)
    room.clock.now += 1
    first = blobs.keep(room.file(bytes(900)), "a.png", "image/png", 60)
    room.clock.now += 1
    blobs.keep(room.file(bytes(900)), "a.png", "image/png", 60)
    assert blobs.open(stays.id) == stays
    assert (room.holds(stays), room.holds(first)) == (True, False)


def test_what_is_over_takes_no_room(room: Room, blobs: Blobs) -> None:
    blobs.keep(room.file(bytes(900)), "a", "image/png", 10)
    stays = blobs.keep(room.file(bytes(100)), "b", "image/png", 60)
    room.clock.now += 10
    blobs.keep(room.file(bytes(900)), "c", "image/png", 60)
    blobs.open(stays.id)


def test_what_is_larger_than_everything_is_refused_and_drives_nothing_out(
    room: Room, blobs: Blobs
) -> None:
    kept = blobs.keep(room.file(), "a.png", "image/png", 60)
    file = room.file(bytes(1001))
    with pytest.raises(OutputError, match="max_results_bytes"):
        blobs.keep(file, "b.png", "image/png", 60)
    blobs.open(kept.id)
    assert file.exists()
    assert room.rows() == 1
    blobs.keep(file, "b.png", "image/png", 60, counted=False)


def test_less_room_than_before_drops_the_oldest(room: Room, blobs: Blobs) -> None:
    old = blobs.keep(room.file(bytes(400)), "a", "image/png", 60)
    room.clock.now += 1
    young = blobs.keep(room.file(bytes(400)), "b", "image/png", 60)
    again = room.blobs(500)
    assert again.expire() == 1
    again.open(young.id)
    assert not room.holds(old)


# ---------------------------------------------------------------- what goes wrong


def test_no_file_no_blob(room: Room, blobs: Blobs) -> None:
    with pytest.raises(OutputError):
        blobs.keep(room.folder / "nothing", "a.png", "image/png", 60)
    assert room.rows() == 0


def damage(room: Room, key: str, how: str) -> None:
    copy = room.folder / "damaged"
    room.store.fetch(BUCKET, key, copy, 1 << 30)
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "removed":
        room.store.delete(BUCKET, key)
        return
    changed = {
        "a bit": content,
        "shorter": content[:-1],
        "longer": content + b"x",
        "empty": b"",
    }[how]
    room.store.put(BUCKET, key, bytes(changed))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("a bit", "its content has changed"),
        ("shorter", r"has 2097151 bytes instead of 2097152"),
        ("longer", r"has 2097153 bytes instead of 2097152"),
        ("empty", r"has 0 bytes instead"),
        ("removed", "it is missing"),
    ],
)
def test_a_corrupt_blob_is_never_given_as_it_was(room: Room, how: str, told: str) -> None:
    blobs = room.blobs(4 << 20)
    kept = blobs.keep(room.file(os.urandom(2 << 20)), "a", "image/png", 60)
    damage(room, f"blobs/{kept.id}", how)
    target, got = room.folder / "copy", []
    with pytest.raises(StorageError, match=f"{kept.id[:8]}.* is damaged .*{told}") as caught:
        blobs.fetch(kept.id, target)
    assert not isinstance(caught.value, ObjectNotFound)
    assert not target.exists()
    with pytest.raises(StorageError, match="is damaged"), blobs.read(kept) as pieces:
        got.extend(pieces)
    # Whoever is read to never gets all of the bytes that a whole one has.
    assert sum(map(len, got)) < kept.size
    room.clock.now += 60
    assert blobs.expire() == 1  # it can go all the same


def test_gone_with_its_row_while_it_is_opened(room: Room, blobs: Blobs) -> None:
    kept = blobs.keep(room.file(), "a", "image/png", 60)
    blobs.delete(kept.id)
    with pytest.raises(ObjectNotFound), blobs.read(kept):
        pass


@on_disk
def test_deleted_while_it_is_read(room: Room) -> None:
    blobs, content = room.blobs(1 << 30), os.urandom(4 << 20)
    kept = blobs.keep(room.file(content), "a", "image/png", 60)
    with blobs.read(kept) as pieces:
        first = next(pieces)
        blobs.delete(kept.id)
        assert not room.holds(kept)
        assert first + b"".join(pieces) == content


@on_disk
def test_one_that_cannot_be_removed_keeps_none_of_the_others(
    room: Room, blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [blobs.keep(room.file(b"1"), "a", "image/png", 60) for _ in range(120)]
    stuck = next(path for path in room.files() if kept[5].id in path.name)
    stuck.unlink()
    (stuck / "deep").mkdir(parents=True)  # a folder with something in it is no file
    room.clock.now += 60
    with caplog.at_level(logging.WARNING):
        assert blobs.expire() == 119
    assert "cannot be removed now" in caplog.text
    assert room.rows() == 1
    with pytest.raises(ObjectNotFound):
        blobs.open(kept[5].id)
    assert blobs.expire() == 0  # not at once again
    room.clock.now += 60
    shutil.rmtree(stuck)
    assert blobs.expire() == 1
    assert room.rows() == 0


@on_disk
def test_a_few_that_can_never_be_removed_do_not_stop_the_others(room: Room, blobs: Blobs) -> None:
    kept = [blobs.keep(room.file(b"1"), "a", "image/png", 60) for _ in range(60)]
    for each in kept[:5]:
        (file,) = (path for path in room.files() if each.id in path.name)
        file.unlink()
        (file / "deep").mkdir(parents=True)
    turns = 0
    while room.rows() > 5:
        room.clock.now += 60
        blobs.expire()
        turns += 1
        assert turns < 100
    assert not any(room.holds(each) for each in kept[5:])


@on_disk
def test_a_store_that_is_not_there(
    room: Room, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is lost, nobody waits for each of hundreds, and later all is tidied up."""
    blobs = room.blobs()
    for _ in range(20):
        blobs.keep(room.file(b"1"), "a", "image/png", 60)
    file = room.file()
    room.objects.rename(room.folder / "elsewhere")
    room.objects.write_text("not a folder")
    with pytest.raises(StorageError):
        blobs.keep(file, "a", "image/png", 60)
    assert file.read_bytes() == b"pixels"
    assert room.rows() == 21
    caplog.clear()
    room.clock.now += 60
    with caplog.at_level(logging.WARNING):
        assert blobs.expire() == 0
    assert caplog.text.count("cannot be removed now:") == 8  # as many as are tried at once
    room.objects.unlink()
    (room.folder / "elsewhere").rename(room.objects)
    room.clock.now += 60
    assert blobs.expire() == 21
    assert (room.rows(), room.files()) == (0, [])


@pytest.mark.parametrize("where", ["sqlite s3"], indirect=True)
def test_an_s3_that_does_not_answer(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    blobs = Blobs(room.database, open_store(room.settings), 1000, clock=room.clock)
    file = room.file()
    with pytest.raises(StorageError, match="AWS_"):
        blobs.keep(file, "a", "image/png", 60)
    assert file.exists()
    assert room.rows() == 1  # found again later
    room.clock.now += 60
    assert room.blobs().expire() == 1


@pytest.mark.parametrize("where", ["sqlite s3"], indirect=True)
def test_an_s3_without_our_bucket(room: Room) -> None:
    store = open_store(Settings(storage=StorageSettings(url="s3://")))
    blobs = Blobs(room.database, store, 1000, clock=room.clock)
    with pytest.raises(StorageError, match="no bucket superres; make it") as caught:
        blobs.keep(room.file(), "a", "image/png", 60)
    assert caught.value.code == "storage_error"  # and not that a client's bucket is missing
    assert room.rows() == 0


@on_disk
@pytest.mark.parametrize("swept", ["wholly", "by half"])
def test_a_blob_that_took_too_long_to_be_put(
    room: Room, blobs: Blobs, monkeypatch: pytest.MonkeyPatch, swept: str
) -> None:
    """Somebody else takes it for that of a dead process meanwhile."""
    move = room.store.move

    def slowly(bucket: str, key: str, source: Path) -> None:
        room.clock.now += 3600
        sweeper = room.blobs()
        if swept == "by half":
            sweeper._remove = lambda _: 0  # type: ignore[method-assign]
        assert sweeper.expire() == (1 if swept == "wholly" else 0)
        move(bucket, key, source)

    monkeypatch.setattr(room.store, "move", slowly)
    with pytest.raises(StorageError, match="too long"):
        blobs.keep(room.file(), "a", "image/png", 60)
    assert (room.rows(), room.files()) == (0, [])
