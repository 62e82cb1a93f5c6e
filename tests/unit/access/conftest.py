"""A database of the test's own, on each engine, and the access built on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from superres.access import Access, open_access
from superres.database import open_database
from superres.settings import Settings
from tests.unit.database.places import ENGINES, place, settings_at


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty database, on each engine."""
    with place(request.param, tmp_path) as settings:
        yield settings


@pytest.fixture
def database(where: Settings) -> Iterator[Engine]:
    engine = open_database(where)
    yield engine
    engine.dispose()


@pytest.fixture
def access(where: Settings, database: Engine) -> Access:
    return open_access(where, database)


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Access]:
    """Access on SQLite alone, where the engine is not the point."""
    settings = settings_at(tmp_path)
    engine = open_database(settings)
    yield open_access(settings, engine)
    engine.dispose()
