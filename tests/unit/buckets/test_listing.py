"""Listing, against a model that reads all keys."""

from __future__ import annotations

import sqlite3
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


class Work:
    """What listing costs a database: queries, and SQLite's steps in hundreds."""

    def __init__(self, engine: Engine) -> None:
        self.queries = self.steps = 0
        event.listen(engine, "before_cursor_execute", self._count)

    def _count(self, _c: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "FROM objects" in statement:
            self.queries += 1
            if isinstance(cursor.connection, sqlite3.Connection):
                cursor.connection.set_progress_handler(self._step, 100)

    def _step(self) -> None:
        self.steps += 1


@on_disk
@pytest.mark.parametrize("delimiter", ["/", "00"])
def test_a_long_folder_is_leapt_over(room: Room, delimiter: str) -> None:
    fill(room, [f"a{delimiter}{number:05}" for number in range(30_000)] + ["b"])
    work = Work(room.database)
    page = room.objects.list(NAME, delimiter=delimiter)
    assert (page.prefixes, [each.key for each in page.objects]) == ((f"a{delimiter}",), ["b"])
    assert work.queries == 1
    assert work.steps < 10


@on_disk
@pytest.mark.parametrize("long", [2, 50, 300])
def test_many_folders_are_leapt_over(room: Room, long: int) -> None:
    fill(room, [f"{folder:04}/{number:03}" for folder in range(120) for number in range(long)])
    work = Work(room.database)
    page = room.objects.list(NAME, delimiter="/", marker="0009/", limit=100)
    assert page.prefixes == tuple(f"{folder:04}/" for folder in range(10, 110))
    assert (page.objects, page.next_marker) == ((), "0109/")
    assert work.queries == 1
    assert work.steps < 200  # whether 240 keys are passed over or 36,000


def test_folders_are_leapt_over_by_one_query(shelf: Room) -> None:
    fill(shelf, [f"{folder:04}/{number:03}" for folder in range(1001) for number in range(20)])
    work = Work(shelf.database)
    page = shelf.objects.list(NAME, delimiter="/")
    assert page.prefixes == tuple(f"{folder:04}/" for folder in range(1000))
    assert page.next_marker == "0999/"
    assert work.queries == 1


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_out_of_many_keys_is_one_query(shelf: Room, delimiter: str) -> None:
    fill(shelf, [f"photos/{number:06}.png" for number in range(20_000)])
    work = Work(shelf.database)
    page = shelf.objects.list(NAME, prefix="photos/", marker="photos/01", delimiter=delimiter)
    assert page.objects[0].key == "photos/010000.png"
    assert (len(page.objects), page.next_marker) == (1000, "photos/010999.png")
    assert work.queries == 1
    assert work.steps < 2000


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_full_page_may_be_the_last(shelf: Room, delimiter: str) -> None:
    fill(shelf, [f"{number:04}" for number in range(1000)])
    page = shelf.objects.list(NAME, delimiter=delimiter)
    assert (len(page.objects), page.next_marker) == (1000, None)
    page = shelf.objects.list(NAME, delimiter=delimiter, limit=999)
    assert (len(page.objects), page.next_marker) == (999, "0998")
