"""What the tests with real networks share: one engine, small photographs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from superres.pipeline import Upscaler
from superres.settings import load
from tests.pictures.measures import cropped, reduced


@pytest.fixture(scope="session")
def upscaler(isolated_settings) -> Iterator[Upscaler]:
    """The pipeline as it is shipped: default engine, default precision."""
    with Upscaler(load()) as made:
        yield made


@pytest.fixture(scope="session")
def small_photos(photos) -> dict[str, NDArray[np.uint8]]:
    """The four photographs, bicubically reduced to a quarter."""
    return {name: reduced(cropped(photo)) for name, photo in photos.items()}
