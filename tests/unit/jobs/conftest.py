"""A service of the test's own, on each database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from superres.settings import Settings
from tests.unit.database.places import ENGINES, place
from tests.unit.jobs.workshop import Workshop


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty database."""
    with place(request.param, tmp_path) as settings:
        yield settings


@pytest.fixture
def make(where: Settings, tmp_path: Path) -> Iterator[Callable[..., Workshop]]:
    """Make a workshop; several share the database and the store."""
    with ExitStack() as stack:

        def one(**jobs: object) -> Workshop:
            shop = Workshop(where, tmp_path, **jobs)
            stack.callback(shop.close)
            return shop

        yield one


@pytest.fixture
def shop(make: Callable[..., Workshop]) -> Workshop:
    """A workshop that does jobs."""
    made = make()
    made.app.runner.start()
    return made


@pytest.fixture
def idle(make: Callable[..., Workshop]) -> Workshop:
    """A workshop that only takes them in."""
    return make()
