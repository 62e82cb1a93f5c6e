"""Folders of one test, empty again afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.pipeline.doubles import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Settings and folders; nothing may be left on the scratch disk."""
    made = Place(tmp_path)
    made.settings()
    yield made
    assert made.left_over() == []
