"""Buckets over each kind of database and of store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import obstore
import pytest
from sqlalchemy import Connection, Engine, select

from superres.buckets import Buckets, NewObject, Part, StoredObject, Upload
from superres.buckets.pieces import BUCKET, path
from superres.buckets.tables import derived, objects, pieces, uploads
from superres.database import open_database, reading
from superres.settings import BucketsSettings, Settings
from superres.storage import ObjectStore, open_store
from tests.s3_server import new_bucket
from tests.unit.database.places import place, settings_at

PLACES = ("sqlite folder", "sqlite memory", "postgres s3")
NAME = "photos-1250000000"
OWNER = "AKID"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Clock:
    """Stands until it is set."""

    now = 1_700_000_000.0

    def __call__(self, _: Connection | None = None) -> float:
        return self.now


@dataclass
class Room:
    """A database, a store and a bucket, and what is in them."""

    settings: Settings
    database: Engine
    store: ObjectStore
    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.buckets = self.opened()
        self.buckets.create(NAME, OWNER)
        self.objects, self.uploads = self.buckets.objects, self.buckets.uploads
        self.derived = self.buckets.derived

    def opened(self, **settings: float) -> Buckets:
        """As another process would, with settings of its own."""
        given = BucketsSettings(**settings)  # type: ignore[arg-type]
        return Buckets(given, self.database, self.store, clock=self.clock)

    def file(self, content: bytes = b"pixels") -> Path:
        """A new finished file."""
        file = self.folder / f"finished-{os.urandom(8).hex()}"
        file.write_bytes(content)
        return file

    def new(self, key: str, content: bytes = b"pixels", bucket: str = NAME) -> NewObject:
        return NewObject(bucket, key, self.file(content), md5(content), "image/png")

    def put(self, key: str, content: bytes = b"pixels") -> StoredObject:
        (stored,) = self.objects.put(self.new(key, content))
        return stored

    def begin(self, key: str, *parts: bytes) -> tuple[Upload, list[tuple[int, str]]]:
        """An upload with parts 1, 2, … and what completes it."""
        upload = self.uploads.create(NAME, key, OWNER)
        sent = [self.part(upload, number, each) for number, each in enumerate(parts, 1)]
        return upload, [(part.number, part.etag) for part in sent]

    def part(self, upload: Upload, number: int, content: bytes) -> Part:
        return self.uploads.put_part(upload, number, self.file(content), md5(content))

    def put_parts(self, key: str, *parts: bytes) -> StoredObject:
        (stored,) = self.uploads.complete(*self.begin(key, *parts))
        return stored

    def content(self, found: StoredObject, first: int = 0, end: int | None = None) -> bytes:
        with self.objects.read(found, first, end) as chunks:
            return b"".join(chunks)

    def names(self) -> list[str]:
        return [each.key for each in self.objects.list(NAME).objects]

    def pieces_of(self, content_id: str) -> list[str]:
        """Ids of the pieces of a content, in their order."""
        query = select(pieces.c.id).where(pieces.c.content_id == content_id)
        with reading(self.database) as connection:
            return list(connection.scalars(query.order_by(pieces.c.position)))

    def damage(self, content_id: str, content: bytes | None, number: int = 0) -> None:
        """Give a piece another content, or none, behind everybody's back."""
        where = path(self.pieces_of(content_id)[number])
        if content is None:
            self.store.delete(BUCKET, where)
        else:
            self.store.put(BUCKET, where, content)

    def held(self) -> set[str]:
        """Ids of all pieces that the store has."""
        backend, _ = self.store._layout.place(BUCKET, "x")
        listed = obstore.list(backend, f"{BUCKET}/objects").collect()
        return {each["path"].rsplit("/", 1)[1].rstrip("%") for each in listed}

    def known(self) -> set[str]:
        """Ids of all pieces that rows name."""
        with reading(self.database) as connection:
            return set(connection.scalars(select(pieces.c.id)))

    def sweep(self, later: float = 86_400.0) -> int:
        """As another process does, a day later."""
        clock = Clock()
        clock.now = self.clock.now + later
        swept = Buckets(BucketsSettings(), self.database, self.store, clock=clock)
        return swept.sweep()

    def check(self) -> None:
        """Every piece belongs to something and is in the store, and nothing else is."""
        with reading(self.database) as connection:
            rows = connection.execute(select(pieces)).all()
            owners = {
                *connection.scalars(select(objects.c.content_id)),
                *connection.scalars(select(uploads.c.id)),
                *connection.scalars(select(derived.c.piece_id)),
            }
            stored = connection.execute(select(objects.c.content_id, objects.c.size)).all()
        assert all(row.expires_at is None for row in rows)
        assert {row.content_id for row in rows} <= owners
        assert self.held() == {row.id for row in rows}
        for content_id, size in stored:
            assert sum(row.size for row in rows if row.content_id == content_id) == size


@pytest.fixture(params=PLACES)
def where(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """Settings of an empty database and an empty store."""
    database, store = request.param.split()
    url = {"folder": "", "memory": "memory:///"}.get(store)
    if url is None:
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
        url = f"s3://{new_bucket(os.environ)}/some/where"
    with place(database, tmp_path) as settings:
        yield settings_at(tmp_path, settings.database.url, **{"storage.url": url})


@pytest.fixture
def room(where: Settings, tmp_path: Path) -> Iterator[Room]:
    engine = open_database(where)
    yield Room(where, engine, open_store(where), tmp_path)
    engine.dispose()


on_disk = pytest.mark.parametrize("where", ["sqlite folder"], indirect=True)
"""For tests of what is the same everywhere, or of the store's own files."""
shared = pytest.mark.parametrize("where", ["sqlite folder", "postgres folder"], indirect=True)
"""For tests of several processes."""
