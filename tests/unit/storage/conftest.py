"""Blobs over each kind of database and of store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, select

from superres.database import open_database, reading
from superres.settings import Settings
from superres.storage import ObjectStore, open_store
from superres.storage.blobs import BUCKET, Blob, Blobs
from superres.storage.tables import blobs as table
from tests.s3_server import new_bucket
from tests.unit.database.places import place, settings_at

PLACES = ("sqlite folder", "sqlite memory", "sqlite s3", "postgres s3")


class Clock:
    """Stands until it is set."""

    now = 1_000_000.0

    def __call__(self, _: Connection | None = None) -> float:
        return self.now


@dataclass
class Room:
    """A database and a store, and what is in them."""

    settings: Settings
    database: Engine
    store: ObjectStore
    folder: Path
    clock: Clock = field(default_factory=Clock)

    def blobs(self, max_bytes: int = 1000) -> Blobs:
        return Blobs(self.database, self.store, max_bytes, clock=self.clock)

    def file(self, content: bytes = b"pixels") -> Path:
        """A new finished file."""
        file = self.folder / f"finished-{os.urandom(4).hex()}"
        file.write_bytes(content)
        return file

    def rows(self) -> int:
        with reading(self.database) as connection:
            return connection.scalar(select(func.count()).select_from(table)) or 0

    def holds(self, blob: Blob) -> bool:
        """Whether the store has its object."""
        return self.store.exists(BUCKET, f"blobs/{blob.id}")

    def files(self) -> list[Path]:
        """Every file of a store that is a folder."""
        return [path for path in self.objects.rglob("*") if path.is_file()]

    @property
    def objects(self) -> Path:
        return self.settings.server.data_dir / "objects"


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


@pytest.fixture
def blobs(room: Room) -> Blobs:
    return room.blobs()


on_disk = pytest.mark.parametrize("where", ["sqlite folder"], indirect=True)
"""For tests that look at the store's own files."""
shared = pytest.mark.parametrize("where", ["sqlite folder", "postgres s3"], indirect=True)
"""For tests of several processes."""
