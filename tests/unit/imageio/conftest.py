"""What the tests of this room share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from superres.imageio import Limits, Scratch


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    """A scratch folder that must be empty again afterwards."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    with Scratch(folder) as made:
        yield made
    assert list(folder.iterdir()) == []


@pytest.fixture
def limits() -> Limits:
    return Limits()
