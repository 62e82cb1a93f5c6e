"""Uploads in parts: made of what lies there, once."""

from __future__ import annotations

import hashlib

import pytest

from superres.buckets import Upload
from superres.errors import (
    BadParameter,
    BucketNotFound,
    InvalidPart,
    SourceTooLarge,
    StorageError,
    UploadNotFound,
)
from tests.unit.buckets.conftest import NAME, OWNER, Room, md5, on_disk


def etag_of(*parts: bytes) -> str:
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    return f"{md5(digests)}-{len(parts)}"


def test_an_upload_is_what_it_was_begun_as(room: Room) -> None:
    headers = {"x-cos-meta-a": "ä\0"}
    upload = room.uploads.create(NAME, "a\0/猫", OWNER, "image/png", headers)
    assert upload == Upload(upload.id, NAME, "a\0/猫", "image/png", headers, OWNER, room.clock.now)
    assert room.uploads.get(upload.id, NAME, "a\0/猫") == upload
    assert len(upload.id) == 32
    for others in (
        ("0" * 32, NAME, upload.key),
        (upload.id, NAME, "a"),
        (upload.id, "other", upload.key),
        (upload.id, "\0", upload.key),
        *((text, NAME, upload.key) for text in ("", "\0", "\ud800", upload.id.upper())),
    ):
        with pytest.raises(UploadNotFound):
            room.uploads.get(*others)


def test_the_object_is_its_parts(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two", b"")
    assert room.names() == []
    room.clock.now += 5
    (stored,) = room.uploads.complete(upload, parts)
    assert stored == room.objects.get(NAME, "a")
    assert (stored.size, stored.etag) == (6, etag_of(b"one", b"two", b""))
    assert stored.modified_at == room.clock.now
    assert room.content(stored) == b"onetwo"
    room.check()
    with pytest.raises(UploadNotFound):
        room.uploads.get(upload.id, NAME, "a")
    for ask in (
        lambda: room.uploads.complete(upload, parts),
        lambda: room.uploads.abort(upload),
        lambda: room.part(upload, 1, b"x"),
        lambda: room.uploads.parts(upload),
        lambda: room.uploads.fetch(upload, parts, room.folder / "target", 100),
    ):
        with pytest.raises(UploadNotFound):
            ask()
    assert room.sweep() == 0
    assert room.content(room.objects.get(NAME, "a")) == b"onetwo"
    room.check()


def test_parts_come_in_any_order(room: Room) -> None:
    upload = room.uploads.create(NAME, "a", OWNER)
    sent = {number: room.part(upload, number, b"%d." % number) for number in (10_000, 2, 30, 1)}
    found, more = room.uploads.parts(upload)
    assert [part.number for part in found] == [1, 2, 30, 10_000]
    assert {part.number: part for part in found} == sent
    assert more is None
    (stored,) = room.uploads.complete(upload, [(n, sent[n].etag) for n in sorted(sent)])
    assert room.content(stored) == b"1.2.30.10000."


def test_parts_are_listed_in_pages(room: Room) -> None:
    upload, _ = room.begin("a", b"1", b"2", b"3")
    first, marker = room.uploads.parts(upload, limit=2)
    assert ([part.number for part in first], marker) == ([1, 2], 2)
    rest, marker = room.uploads.parts(upload, marker=2, limit=2)
    assert ([part.number for part in rest], marker) == ([3], None)
    assert room.uploads.parts(upload, limit=0) == ((), None)


def test_a_part_sent_again_replaces(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    again = room.part(upload, 1, b"ONE!")
    with pytest.raises(InvalidPart, match="Part 1"):
        room.uploads.complete(upload, parts)
    (stored,) = room.uploads.complete(upload, [(1, again.etag), parts[1]])
    assert room.content(stored) == b"ONE!two"
    assert room.sweep() == 1
    room.check()


def test_parts_that_are_not_named_go(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two", b"three")
    (stored,) = room.uploads.complete(upload, parts[1:2])
    assert (room.content(stored), stored.etag) == (b"two", etag_of(b"two"))
    assert room.sweep() == 2
    room.check()


def test_etags_may_have_quotes_and_capitals(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    asked = [(number, f'"{etag.upper()}"') for number, etag in parts]
    assert room.content(room.uploads.complete(upload, asked)[0]) == b"onetwo"


@on_disk
def test_what_cannot_be_completed(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    for wrong in (
        [],
        [parts[0], (3, parts[1][1])],
        [parts[1], parts[0]],
        [parts[0], parts[0]],
        [(1, parts[1][1])],
        [(0, parts[0][1])],
        [(1, "")],
    ):
        with pytest.raises(InvalidPart):
            room.uploads.complete(upload, wrong)
        with pytest.raises(InvalidPart):
            room.uploads.complete(upload, wrong, room.new("b"))
        with pytest.raises(InvalidPart):
            room.uploads.fetch(upload, wrong, room.folder / "target", 100)
    assert room.names() == []
    room.check()
    room.uploads.complete(upload, parts)


@on_disk
@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_numbers_that_parts_cannot_have(room: Room, number: int) -> None:
    upload = room.uploads.create(NAME, "a", OWNER)
    with pytest.raises(BadParameter, match="1 to 10000"):
        room.part(upload, number, b"x")
    room.check()


def test_an_aborted_upload_leaves_nothing(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    room.uploads.abort(upload)
    with pytest.raises(UploadNotFound):
        room.uploads.complete(upload, parts)
    with pytest.raises(UploadNotFound):
        room.uploads.abort(upload)
    assert room.sweep() == 2
    assert room.known() == room.held() == set()


def test_an_upload_has_its_time(room: Room) -> None:
    room.begin("a", b"one")
    room.clock.now += 1000
    young, parts = room.begin("a", b"two")
    swept = room.opened(upload_lifetime=1000.0)
    assert swept.sweep() == 1
    assert room.uploads.list(NAME) == ((young,), False)
    room.uploads.complete(young, parts)
    room.check()


def test_completing_replaces(room: Room) -> None:
    old = room.put_parts("a", b"o", b"l", b"d")
    new = room.put_parts("a", b"new")
    assert room.objects.get(NAME, "a") == new
    assert room.content(old) == b"old"
    assert room.sweep() == 3
    room.check()
    single = room.put("a", b"single")
    assert room.sweep() == 1
    assert room.content(room.objects.get(NAME, "a")) == b"single"
    assert single.content_id == room.objects.get(NAME, "a").content_id


def test_others_are_written_with_it(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    stored = room.uploads.complete(upload, parts, room.new("b", b"B"), room.new("c", b"C"))
    assert [(each.key, room.content(each)) for each in stored] == [
        ("a", b"onetwo"),
        ("b", b"B"),
        ("c", b"C"),
    ]
    assert [room.objects.get(NAME, each.key) for each in stored] == stored
    room.check()


def test_one_of_the_same_key_wins(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    _, over = room.uploads.complete(upload, parts, room.new("a", b"over"))
    assert room.objects.get(NAME, "a") == over
    assert room.sweep() == 2
    room.check()


def test_all_or_none(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    with pytest.raises(BucketNotFound):
        room.uploads.complete(upload, parts, room.new("b"), room.new("b", bucket="missing"))
    with pytest.raises(BadParameter):
        room.uploads.complete(upload, parts, room.new(""))
    assert room.names() == []
    room.check()
    (stored,) = room.uploads.complete(upload, parts)
    assert room.content(stored) == b"onetwo"


def test_fetch_is_what_completing_would_make(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two", b"three")
    target = room.folder / "target"
    etag = room.uploads.fetch(upload, [parts[0], parts[2]], target, 8)
    assert target.read_bytes() == b"onethree"
    (stored,) = room.uploads.complete(upload, [parts[0], parts[2]])
    assert stored.etag == etag == etag_of(b"one", b"three")


def test_fetch_has_a_limit(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    with pytest.raises(SourceTooLarge):
        room.uploads.fetch(upload, parts, room.folder / "target", 5)
    assert not (room.folder / "target").exists()


def test_fetch_of_a_damaged_part(room: Room) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    room.damage(upload.id, b"twO", 1)
    with pytest.raises(StorageError, match="damaged"):
        room.uploads.fetch(upload, parts, room.folder / "target", 100)
    assert not (room.folder / "target").exists()


def test_fetch_sees_that_a_part_was_sent_again(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, parts = room.begin("a", b"one", b"two")
    read = room.store.read

    def send_again_and_read(*args: object) -> object:
        monkeypatch.setattr(room.store, "read", read)
        room.part(upload, 2, b"TWO")
        room.sweep()
        room.part(upload, 1, b"one")
        room.sweep()
        return read(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(room.store, "read", send_again_and_read)
    with pytest.raises(InvalidPart, match="Part 2"):
        room.uploads.fetch(upload, parts, room.folder / "target", 100)


def test_uploads_are_listed_by_key_and_time(room: Room) -> None:
    made = []
    for key in ("b", "a/1", "c\0", "a/1", "é", "a/1"):
        room.clock.now += 0.01
        made.append(room.uploads.create(NAME, key, OWNER))
    room.buckets.create("other", OWNER)
    room.uploads.create("other", "a", OWNER)
    order = [made[1], made[3], made[5], made[0], made[2], made[4]]
    assert room.uploads.list(NAME) == (tuple(order), False)
    assert room.uploads.list(NAME, limit=4) == (tuple(order[:4]), True)
    assert room.uploads.list(NAME, limit=6) == (tuple(order), False)
    assert room.uploads.list(NAME, prefix="a/") == (tuple(order[:3]), False)
    assert room.uploads.list(NAME, key_marker="a/1") == (tuple(order[3:]), False)
    behind = {"key_marker": "a/1", "id_marker": made[3].id}
    assert room.uploads.list(NAME, **behind) == (tuple(order[2:]), False)
    assert room.uploads.list(NAME, prefix="a", limit=1, **behind) == ((made[5],), False)
    assert room.uploads.list(NAME, prefix="x") == ((), False)
    for text in ("", "\0", "\ud800"):  # no ids: all of that key were told
        found = room.uploads.list(NAME, key_marker="a/1", id_marker=text)
        assert found == (tuple(order[3:]), False)


def test_ten_thousand_parts(room: Room) -> None:
    """Rows only, but for one: what completing does with them is what counts."""
    from sqlalchemy import event, insert

    from superres.buckets.tables import pieces
    from superres.database import writing

    upload = room.uploads.create(NAME, "a", OWNER)
    rows = [
        {
            "id": f"{number:032x}",
            "content_id": upload.id,
            "position": number,
            "size": 1,
            "md5": md5(b"%d" % number),
            "created_at": 0.0,
        }
        for number in range(1, 10_001)
    ]
    with writing(room.database) as connection:
        connection.execute(insert(pieces), rows)
    asked: list[str] = []
    event.listen(room.database, "before_cursor_execute", lambda *given: asked.append(given[2]))
    odd = [(row["position"], row["md5"]) for row in rows if row["position"] != 5000]
    (stored,) = room.uploads.complete(upload, odd)  # type: ignore[arg-type]
    assert len(asked) < 20
    assert (stored.size, stored.etag[-5:]) == (9999, "-9999")
