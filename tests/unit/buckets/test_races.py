"""Many threads at the same names: one outcome, nothing lost, nothing left over."""

from __future__ import annotations

import contextlib
import os
import random
import threading
from collections.abc import Callable, Sequence

from superres.errors import (
    BucketNotEmpty,
    BucketNotFound,
    InvalidPart,
    ObjectNotFound,
    SuperresError,
    UploadNotFound,
)
from tests.unit.buckets.conftest import NAME, OWNER, Room, md5, shared

pytestmark = shared


def at_once(works: Sequence[Callable[[], object]]) -> list[object]:
    """Do all at the same time; returns what each returned, or raised of ours."""
    told: list[object] = [None] * len(works)
    start = threading.Barrier(len(works))

    def do(number: int, work: Callable[[], object]) -> None:
        start.wait()
        try:
            told[number] = work()
        except Exception as exc:  # noqa: BLE001 - told below
            told[number] = exc

    threads = [
        threading.Thread(target=do, args=(number, work)) for number, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    strange = [each for each in told if isinstance(each, Exception)]
    for each in strange:
        if not isinstance(each, SuperresError):
            raise each
    return told


def test_writers_of_the_same_names(room: Room) -> None:
    """In any order, several at once, deleted in between: whoever is last counts."""

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for turn in range(12):
            keys = chance.sample("abc", chance.randint(1, 3))
            content = f"{seed}.{turn}".encode() * chance.randint(1, 5)
            what = chance.randrange(4)
            if what == 0:
                room.objects.delete(NAME, *keys)
            elif what == 1:
                room.uploads.complete(
                    *room.begin(keys[0], content, b"end"), *(room.new(k, content) for k in keys[1:])
                )
            else:
                room.objects.put(*(room.new(key, content) for key in keys))
            with contextlib.suppress(ObjectNotFound):
                found = room.objects.get(NAME, keys[0])
                assert len(room.content(found)) == found.size
                room.derived.keep(found, "x2", room.file(content), md5(content), "image/png")
                room.derived.find(found, "x2")

    assert at_once([lambda seed=seed: work(seed) for seed in range(6)]) == [None] * 6
    room.sweep()
    room.check()
    for key in room.names():
        room.objects.fetch(room.objects.get(NAME, key), room.folder / "target", 1000)


def test_an_upload_ends_once(room: Room) -> None:
    for _ in range(5):
        upload, parts = room.begin("a", b"one", b"two")
        told = at_once(
            [
                *[lambda u=upload, p=parts: room.uploads.complete(u, p)] * 3,
                *[lambda u=upload: room.uploads.abort(u)] * 2,
                lambda u=upload, p=parts: room.uploads.complete(u, p, room.new("b")),
            ]
        )
        assert sum(isinstance(each, UploadNotFound) for each in told) == 5
        if any(isinstance(each, list) for each in told):
            assert room.content(room.objects.get(NAME, "a")) == b"onetwo"
        room.objects.delete(NAME, "a", "b")
        room.sweep()
        assert room.known() == room.held() == set()


def test_an_upload_expires_or_is_completed(room: Room) -> None:
    """Of several that expire those under way are left alone, and nobody waits for another."""
    for _ in range(5):
        old = [room.begin(key, b"one", b"two") for key in "abc"]
        told = at_once(
            [
                *[lambda u=upload, p=parts: room.uploads.complete(u, p) for upload, parts in old],
                *[lambda: [room.uploads.expire(0) for _ in range(3)]] * 2,
            ]
        )
        expired = sum(isinstance(each, UploadNotFound) for each in told)
        assert expired == sum(ended for each in told[3:] for ended in each)  # type: ignore[attr-defined]
        assert room.uploads.list(NAME) == ((), False)
        assert len(room.names()) == 3 - expired
        room.objects.delete(NAME, *"abc")
        room.sweep()
        assert room.known() == room.held() == set()


def test_usage_misses_nothing_that_is_completed(room: Room) -> None:
    done = threading.Event()

    def complete() -> None:
        try:
            for number in range(30):
                room.uploads.complete(*room.begin(f"{number}", b"123"))
        finally:
            done.set()

    def watch() -> list[int]:
        seen = []
        while not done.is_set():
            seen.append(room.buckets.usage(NAME)[1])
        return seen

    completed, seen = at_once([complete, watch])
    assert completed is None
    assert isinstance(seen, list)
    assert seen == sorted(seen)  # parts, then objects: never less
    assert room.buckets.usage(NAME) == (30, 90)


def test_a_part_is_in_time_or_not(room: Room) -> None:
    """Sent again with another content while it is completed."""
    for _ in range(6):
        upload, parts = room.begin("a", b"one", b"two")
        told = at_once(
            [
                lambda u=upload, p=parts: room.uploads.complete(u, p),
                lambda u=upload: room.part(u, 2, b"TWO"),
                lambda u=upload: room.part(u, 3, b"three"),
            ]
        )
        completed, again, more = told
        if isinstance(completed, InvalidPart):
            assert not isinstance(again, Exception)
            room.uploads.abort(upload)
        else:
            assert isinstance(again, UploadNotFound)
            assert not isinstance(completed, Exception)
            assert room.content(room.objects.get(NAME, "a")) == b"onetwo"
        assert more is not None
        room.sweep()
        room.check()


def test_of_the_same_part_one_stays(room: Room) -> None:
    upload = room.uploads.create(NAME, "a", OWNER)
    contents = [os.urandom(9) for _ in range(8)]
    told = at_once([lambda c=c: room.part(upload, 1, c) for c in contents])
    assert not any(isinstance(each, Exception) for each in told)
    (part,), _ = room.uploads.parts(upload)
    (stored,) = room.uploads.complete(upload, [(1, part.etag)])
    assert md5(room.content(stored)) == part.etag
    assert room.sweep() == 7
    room.check()


def test_a_bucket_goes_empty_or_not(room: Room) -> None:
    for turn in range(8):
        name = f"bucket-{turn}"
        room.buckets.create(name, OWNER)
        told = at_once(
            [
                lambda n=name: room.objects.put(room.new("a", bucket=n)),
                lambda n=name: room.buckets.delete(n),
                lambda n=name: room.uploads.create(n, "b", OWNER),
            ]
        )
        for each in told:
            assert not isinstance(each, Exception) or isinstance(
                each, BucketNotFound | BucketNotEmpty
            )
        gone = told[1] is None
        assert gone == isinstance(told[0], BucketNotFound) == isinstance(told[2], BucketNotFound)
        assert gone == (name not in [each.name for each in room.buckets.list()])
    room.sweep()
    room.check()


def test_sweeps_at_the_same_time_count_each_piece_once(room: Room) -> None:
    for number in range(60):
        room.put(f"{number}")
    room.objects.delete(NAME, *room.names())
    told = at_once([room.sweep for _ in range(4)])
    assert sum(each for each in told if isinstance(each, int)) == 60
    assert room.known() == room.held() == set()


def test_a_cache_of_many_writers_stays_within_its_bounds(room: Room) -> None:
    derived = room.opened(max_derived_bytes=500).derived
    sources = [room.put(f"{number}", b"%d" % number) for number in range(6)]

    def work(source: int) -> None:
        for turn in range(10):
            content = bytes(50 + turn)
            kept = derived.keep(
                sources[source], f"{turn}", room.file(content), md5(content), "image/png"
            )
            assert kept is not None
            with derived.read(kept) as chunks:
                assert b"".join(chunks) == content

    assert at_once([lambda n=n: work(n) for n in range(6)]) == [None] * 6
    found = [derived.find(source, f"{turn}") for source in sources for turn in range(10)]
    assert 300 < sum(each.size for each in found if each is not None) <= 500
    room.sweep()
    room.check()
