"""A database of the test's own, on each engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from superres.database import open_database
from superres.settings import Settings
from tests.unit.database.places import ENGINES, place


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty database."""
    with place(request.param, tmp_path) as settings:
        yield settings


@pytest.fixture
def database(where: Settings) -> Iterator[Engine]:
    engine = open_database(where)
    yield engine
    engine.dispose()
