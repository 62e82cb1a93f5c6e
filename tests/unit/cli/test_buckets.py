"""``superres buckets``, over the real rooms on a data folder of the test's own."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from superres.access import Access, open_access
from superres.buckets import Buckets, NewObject, open_buckets
from superres.database import open_database
from superres.errors import BucketNotFound
from superres.settings import load
from superres.storage import open_store
from tests.unit.cli.calls import Result
from tests.unit.cli.calls import Run as Call

NAME = "photos-1250000000"


class Keeper:
    """The same data folder as the command's, seen from below."""

    def __init__(self, data: Path) -> None:
        self.data = data

    @contextmanager
    def open(self) -> Iterator[tuple[Buckets, Access]]:
        settings = load(None, {"server.data_dir": self.data}, {})
        database = open_database(settings)
        try:
            yield (
                open_buckets(settings, database, open_store(settings)),
                open_access(settings, database),
            )
        finally:
            database.dispose()

    def credential(self, name: str) -> str:
        """The id of a new one."""
        with self.open() as (_, access):
            return access.create(name).id

    def revoke(self, name: str) -> None:
        with self.open() as (_, access):
            access.revoke(name)

    def create(self, name: str, owner: str) -> None:
        with self.open() as (buckets, _):
            buckets.create(name, owner)

    def put(self, bucket: str, *keys: str, content: bytes = b"hello") -> None:
        with self.open() as (buckets, _):
            for key in keys:
                buckets.objects.put(NewObject(bucket, key, *self._file(content)))

    def put_part(self, bucket: str, key: str, content: bytes | None) -> None:
        """Begin an upload in parts, with one part or with none."""
        with self.open() as (buckets, _):
            upload = buckets.uploads.create(bucket, key, "SRAKSOMEBODY")
            if content is not None:
                buckets.uploads.put_part(upload, 1, *self._file(content))

    def _file(self, content: bytes) -> tuple[Path, str]:
        file = self.data / "incoming"
        file.write_bytes(content)
        return file, hashlib.md5(content).hexdigest()

    def owner_of(self, name: str) -> str:
        with self.open() as (buckets, _):
            return buckets.get(name).owner

    def has(self, name: str) -> bool:
        with self.open() as (buckets, _):
            try:
                buckets.get(name)
            except BucketNotFound:
                return False
        return True


@pytest.fixture
def keeper(folder: Path) -> Keeper:
    return Keeper(folder / "data")


@pytest.fixture
def buckets(run: Call, keeper: Keeper) -> Call:
    """Run ``superres buckets``."""

    def call(command: str, *words: str | Path, **more: Any) -> Result:
        return run("buckets", command, *words, "--data-dir", keeper.data, **more)

    return call


@pytest.fixture
def alice(keeper: Keeper) -> str:
    """The id of a credential."""
    return keeper.credential("alice")


def records(buckets: Call, *words: str) -> list[dict[str, Any]]:
    done = buckets("list", "--json", *words)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


# ---------------------------------------------------------------- list


def test_an_empty_list_says_what_to_do(buckets: Call, alice: str) -> None:
    assert buckets("list").out == "There are no buckets. Make one: superres buckets create NAME\n"
    assert buckets("list", "--owner", alice).out == "It has no buckets.\n"
    assert records(buckets) == []


def test_the_list_is_of_everybody_by_name(buckets: Call, keeper: Keeper, alice: str) -> None:
    bob = keeper.credential("bob")
    keeper.create("zoo-1", alice)
    keeper.create("attic-1", bob)
    found = records(buckets)
    assert [(one["name"], one["owner"], one["owner_name"]) for one in found] == [
        ("attic-1", bob, "bob"),
        ("zoo-1", alice, "alice"),
    ]
    assert [one["name"] for one in records(buckets, "--owner", "alice")] == ["zoo-1"]
    assert [one["name"] for one in records(buckets, "--owner", bob)] == ["attic-1"]


def test_a_bucket_in_json(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    keeper.put(NAME, "a", "b", content=b"12345")
    [record] = records(buckets)
    assert record.pop("created_at").endswith("+00:00")
    known = {"name": NAME, "owner": alice, "owner_name": "alice", "ci": True}
    assert record == {**known, "objects": None, "bytes": None}
    [record] = records(buckets, "--sizes")
    assert (record["objects"], record["bytes"]) == (2, 10)


def test_objects_are_counted_only_if_asked(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    keeper.put(NAME, "a", content=b"12345")
    assert "Objects" not in buckets("list").out
    assert "5 B" not in buckets("list").out
    out = buckets("list", "--sizes").out
    assert "Objects" in out
    assert "5 B" in out


def test_a_revoked_owner_is_told(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    assert "revoked" not in buckets("list").out
    keeper.revoke("alice")
    assert "alice, revoked" in " ".join(buckets("list").out.split())
    assert records(buckets)[0]["owner_name"] == "alice"


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_table_fits(
    buckets: Call, keeper: Keeper, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    longest = "b" * 63
    keeper.create(longest, keeper.credential("[bold]the phone app of the whole family"))
    out = buckets("list", "--sizes").out
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out
    assert "[bold]" in "".join(out.split())
    assert out.count("b") >= 63


def test_names_do_not_steer_the_terminal(buckets: Call, keeper: Keeper) -> None:
    keeper.create(NAME, keeper.credential("[red]cat"))
    assert "[red]cat" in buckets("list").out


# ---------------------------------------------------------------- create


def test_create_for_the_only_credential(buckets: Call, keeper: Keeper, alice: str) -> None:
    done = buckets("create", NAME)
    assert (done.code, done.err) == (0, "")
    assert f"Made {NAME}, the bucket of alice ({alice})." in done.out
    assert f"Its host is {NAME}.cos.localhost." in done.out
    assert "enable-ci" not in done.out
    assert keeper.owner_of(NAME) == alice


def test_create_asks_whose_it_is(buckets: Call, keeper: Keeper, alice: str) -> None:
    bob = keeper.credential("bob")
    done = buckets("create", NAME)
    assert (done.code, done.out) == (2, "")
    assert "There are 2 credentials; say whose the bucket is with --owner" in done.told
    assert not keeper.has(NAME)
    assert buckets("create", NAME, "--owner", "bob").code == 0
    assert keeper.owner_of(NAME) == bob
    # A revoked one does not count.
    keeper.revoke("bob")
    assert buckets("create", "other-1").code == 0
    assert keeper.owner_of("other-1") == alice


def test_create_without_a_credential(buckets: Call, keeper: Keeper) -> None:
    done = buckets("create", NAME)
    assert done.code == 2
    assert "superres keys create NAME" in done.told
    done = buckets("create", NAME, "--owner", "nobody")
    assert done.code == 2
    assert "There is no credential 'nobody' in use." in done.told
    assert not keeper.has(NAME)


def test_create_in_json(buckets: Call, alice: str) -> None:
    made = json.loads(buckets("create", NAME, "--json").out)
    assert (made["name"], made["owner"], made["ci"]) == (NAME, alice, True)


@pytest.mark.parametrize("name", ["Photos", "a", "-photos", "photos.de", "b" * 64, "service"])
def test_a_wrong_name(buckets: Call, keeper: Keeper, alice: str, name: str) -> None:
    done = buckets("create", "--", name)
    assert (done.code, done.out) == (2, "")
    assert "name" in done.told
    with keeper.open() as (room, _):
        assert room.list() == []


def test_a_name_that_is_taken(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    done = buckets("create", NAME)
    assert (done.code, done.out) == (1, "")
    assert NAME in done.told


def test_new_ones_do_what_the_setting_says(
    buckets: Call, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERRES_CLOUD_INFINITE__ENABLED", "false")
    monkeypatch.setenv("SUPERRES_CLOUD_INFINITE__SUFFIXES", "cos.*.example.org,pictures.example")
    done = buckets("create", NAME)
    assert f"superres buckets enable-ci {NAME}" in done.out
    assert f"Its host is {NAME}.pictures.example." in done.out
    assert [one["ci"] for one in records(buckets)] == [False]
    monkeypatch.setenv("SUPERRES_CLOUD_INFINITE__SUFFIXES", "cos.*.example.org")
    assert "host" not in buckets("create", "other-1").out


# ---------------------------------------------------------------- delete


def test_delete_asks(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    done = buckets("delete", NAME, stdin=b"n\n")
    assert done.code == 130
    assert f"Delete {NAME} for ever?" in done.told
    assert buckets("delete", NAME, stdin=b"").code == 130
    assert keeper.has(NAME)
    done = buckets("delete", NAME, stdin=b"y\n")
    assert done.code == 0
    assert f"Deleted {NAME}." in done.out
    assert not keeper.has(NAME)


def test_only_an_empty_one(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    keeper.put(NAME, "a")
    done = buckets("delete", NAME, "--yes")
    assert (done.code, done.out) == (1, "")
    assert f"{NAME} is not empty: 1 object, 5 B. --objects deletes that, too." in done.told
    assert keeper.has(NAME)


def test_uploads_that_are_not_complete_count(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create("bytes-1", alice)
    keeper.create("none-1", alice)
    keeper.put_part("bytes-1", "a", b"12345")
    keeper.put_part("none-1", "a", None)
    assert "5 B of unfinished uploads" in buckets("delete", "bytes-1", "--yes").told
    assert "unfinished uploads; --objects" in buckets("delete", "none-1", "--yes").told
    for name in ("bytes-1", "none-1"):
        assert keeper.has(name)
        assert buckets("delete", name, "--objects", "--yes").out == f"Deleted {name}.\n"
        assert not keeper.has(name)


def test_delete_with_all_that_is_in_it(
    buckets: Call, keeper: Keeper, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("superres.cli.emptying._PAGE", 3)
    keeper.create(NAME, alice)
    keeper.create("other-1", alice)
    keeper.put(NAME, *(f"{number}/ü" for number in range(7)))
    keeper.put_part(NAME, "z", b"12345")
    keeper.put("other-1", "a")
    done = buckets("delete", NAME, "--objects", stdin=b"n\n")
    assert done.code == 130
    assert f"Delete {NAME}, 7 objects, 40 B, for ever?" in done.told
    assert keeper.has(NAME)
    done = buckets("delete", NAME, "--objects", stdin=b"y\n")
    assert done.code == 0, done.err
    assert not keeper.has(NAME)
    # Nothing of it is left, and nothing else is gone.
    assert [(one["name"], one["objects"]) for one in records(buckets, "--sizes")] == [
        ("other-1", 1)
    ]
    keeper.create(NAME, alice)
    assert buckets("delete", NAME, "--yes").code == 0


@pytest.mark.parametrize("command", ["delete", "enable-ci", "give"])
def test_no_such_bucket(buckets: Call, alice: str, command: str) -> None:
    more = {"delete": ["--yes"], "give": ["--to", alice]}.get(command, [])
    done = buckets(command, NAME, *more)
    assert (done.code, done.out) == (1, "")
    assert NAME in done.told
    assert buckets(command).code == 2


# ---------------------------------------------------------------- enable-ci, give


def test_processing_on_and_off(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    assert buckets("enable-ci", NAME, "--off").out == f"{NAME} super-resolves no more.\n"
    assert [one["ci"] for one in records(buckets)] == [False]
    assert buckets("enable-ci", NAME).out == f"{NAME} super-resolves.\n"
    assert [one["ci"] for one in records(buckets)] == [True]


def test_give(buckets: Call, keeper: Keeper, alice: str) -> None:
    keeper.create(NAME, alice)
    keeper.put(NAME, "a")
    bob = keeper.credential("bob")
    done = buckets("give", NAME, "--to", "bob")
    assert done.out == f"{NAME} is now the bucket of bob ({bob}).\n"
    assert keeper.owner_of(NAME) == bob
    with keeper.open() as (room, _):
        assert room.objects.get(NAME, "a").size == 5
    done = buckets("give", NAME, "--to", "nobody")
    assert done.code == 2
    assert keeper.owner_of(NAME) == bob


# ---------------------------------------------------------------- around


@pytest.mark.parametrize("command", ["list", "create", "delete", "enable-ci", "give"])
def test_the_help_fits_and_teaches(run: Call, command: str) -> None:
    out = run("buckets", command, "--help").out
    assert max(map(len, out.splitlines())) <= 80
    for option in ("--data-dir", "--config", "Examples", f"superres buckets {command}"):
        assert option in out
    assert ("--yes" in out) == (command == "delete")
    assert ("--json" in out) == (command in ("list", "create"))


def test_without_the_servers_libraries(buckets: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.startswith(("superres.storage", "obstore")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "obstore", None)
    done = buckets("list")
    assert done.code == 1
    assert 'pip install "superres[server]"' in done.told
