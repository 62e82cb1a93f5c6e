"""Listing, against a model that reads all keys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, insert

from superres.buckets import Listing
from superres.buckets.tables import objects
from superres.database import open_database, writing
from superres.storage import open_store
from tests.unit.buckets.conftest import NAME, Room, on_disk
from tests.unit.database.places import ENGINES, place

# Few characters, so that keys share prefixes; among them those that UTF-8 and UTF-16 order
# differently, and those that patterns of SQL would give a meaning.
KEYS = st.text(st.sampled_from("ab/%_\0é\uffff\U00010000"), min_size=1, max_size=6)
FRAGMENTS = st.text(st.sampled_from("ab/%_\0é\uffff\U00010000"), max_size=3)


@pytest.fixture(scope="module", params=ENGINES)
def shelf(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Room]:
    """One room for many examples."""
    folder = tmp_path_factory.mktemp("shelf")
    with place(request.param, folder) as settings:
        engine = open_database(settings)
        yield Room(settings, engine, open_store(settings), folder)
        engine.dispose()


def fill(room: Room, keys: Sequence[str]) -> None:
    """Only rows: a listing looks at nothing else."""
    rows = [
        {
            "bucket": NAME,
            "key": key.encode(),
            "content_id": f"{number:032x}",
            "size": number,
            "etag": "e",
            "content_type": "image/png",
            "headers": "{}",
            "modified_at": 0.0,
        }
        for number, key in enumerate(keys)
    ]
    with writing(room.database) as connection:
        connection.execute(delete(objects))
        if rows:
            connection.execute(insert(objects), rows)


def expected(keys: set[str], prefix: str, delimiter: str, marker: str) -> list[tuple[bool, str]]:
    """All entries in order: whether it is a prefix, and its name."""
    entries: list[tuple[bool, str]] = []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= marker.encode():
            continue
        head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        entry = (True, prefix + head + found) if found else (False, key)
        if entry not in entries and entry != (True, marker):
            entries.append(entry)
    return entries


def entries_of(page: Listing) -> list[tuple[bool, str]]:
    found = [(False, each.key) for each in page.objects] + [(True, each) for each in page.prefixes]
    return sorted(found, key=lambda entry: entry[1].encode())


@given(st.sets(KEYS, max_size=40), FRAGMENTS, FRAGMENTS, KEYS | st.just(""), st.integers(1, 12))
@example({"a/b", "a/c", "b"}, "", "/", "a/", 1)
@example({"a/", "a//", "a/b"}, "a/", "/", "a/", 1)
@example({f"a/{i}" for i in range(40)} | {f"b{i}/c" for i in range(30)}, "", "/", "", 5)
def test_pages_are_those_of_the_model(
    shelf: Room, keys: set[str], prefix: str, delimiter: str, marker: str, limit: int
) -> None:
    fill(shelf, list(keys))
    wanted, told = expected(keys, prefix, delimiter, marker), []
    at: str | None = marker
    while at is not None:
        page = shelf.objects.list(NAME, prefix=prefix, delimiter=delimiter, marker=at, limit=limit)
        found = entries_of(page)
        assert len(found) <= limit
        assert page.next_marker is None or page.next_marker == found[-1][1]
        told += found
        at = page.next_marker
        assert len(told) <= len(wanted)
    assert told == wanted


def test_a_page_has_whole_objects(room: Room) -> None:
    stored = {key: room.put(key, key.encode()) for key in ("b", "a/c", "a")}
    page = room.objects.list(NAME)
    assert page == Listing((stored["a"], stored["a/c"], stored["b"]), (), None)
    page = room.objects.list(NAME, delimiter="/", limit=2)
    assert page == Listing((stored["a"],), ("a/",), "a/")
    page = room.objects.list(NAME, delimiter="/", limit=2, marker="a/")
    assert page == Listing((stored["b"],), (), None)


@on_disk
def test_a_page_of_nothing_is_the_last(room: Room) -> None:
    room.put("a")
    assert room.objects.list(NAME, limit=0) == Listing((), (), None)
    assert room.objects.list(NAME, marker="a") == Listing((), (), None)


@on_disk
def test_buckets_do_not_see_each_others_keys(room: Room) -> None:
    for bucket in ("aaa", "zzz"):
        room.buckets.create(bucket, "me")
        room.objects.put(room.new("a", bucket=bucket))
    room.put("b")
    assert room.names() == ["b"]


class Reads:
    """Counts the rows and queries that listing takes from a database."""

    def __init__(self, engine: Engine) -> None:
        self.queries = 0
        self.asked = 0
        event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _c: Any, _k: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM objects" in statement:
            self.queries += 1
            values = parameters.values() if isinstance(parameters, dict) else parameters
            self.asked += max(value for value in values if isinstance(value, int))


@on_disk
def test_a_long_folder_is_leapt_over(room: Room) -> None:
    fill(room, [f"a/{number:05}" for number in range(30_000)] + ["b"])
    reads = Reads(room.database)
    page = room.objects.list(NAME, delimiter="/")
    assert (page.prefixes, [each.key for each in page.objects]) == (("a/",), ["b"])
    assert reads.queries <= 2
    assert reads.asked < 2500


@on_disk
def test_many_long_folders_are_leapt_over(room: Room) -> None:
    fill(room, [f"{folder:03}/{number:03}" for folder in range(100) for number in range(300)])
    reads = Reads(room.database)
    page = room.objects.list(NAME, delimiter="/")
    assert page.prefixes == tuple(f"{folder:03}/" for folder in range(100))
    assert reads.asked < 3000  # of 30,000 rows
    assert reads.queries < 120


@on_disk
def test_short_folders_are_read_through(room: Room) -> None:
    fill(room, [f"{folder:05}/{number}" for folder in range(5000) for number in range(2)])
    reads = Reads(room.database)
    page = room.objects.list(NAME, delimiter="/", marker="01000/")
    assert page.prefixes == tuple(f"{folder:05}/" for folder in range(1001, 2001))
    assert page.next_marker == "02000/"
    assert reads.queries <= 3


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_out_of_many_keys_is_quick(shelf: Room, delimiter: str) -> None:
    fill(shelf, [f"photos/{number:06}.png" for number in range(20_000)])
    start = time.perf_counter()
    page = shelf.objects.list(NAME, prefix="photos/", marker="photos/01", delimiter=delimiter)
    assert time.perf_counter() - start < 2
    assert page.objects[0].key == "photos/010000.png"
    assert (len(page.objects), page.next_marker) == (1000, "photos/010999.png")
