from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from superres.settings import SourcesSettings
from superres.sources import Sources
from tests.unit.sources.servers import Table


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "fetched"


@pytest.fixture
def local() -> Callable[..., Sources]:
    """Sources that may fetch from this machine, with few seconds to do it."""

    def make(resolver: Table | None = None, tls=None, **settings) -> Sources:
        given = {"allow_networks": ("127.0.0.1/32",), "timeout": 10.0} | settings
        return Sources(SourcesSettings(**given), None, resolver or Table(), tls=tls)

    return make
