"""What every test may lean on: a private cache folder, photographs, the benchmark pictures."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from superres.models import catalog
from tests.s3_server import s3_server

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT.parent / "shared" / "benchmarks"

# No deadlines: the machine is shared and a first call compiles a network. In CI the examples
# are the same every time, so that a red run can be repeated.
settings.register_profile("superres", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "superres")


@pytest.fixture(scope="session", autouse=True)
def isolated_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep the tests from the person's own settings and cache, and the other way round.

    Compiled networks are shared by all tests of one session (also those that start the
    command), in a folder that goes with it.
    """
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("SUPERRES_") and not name.startswith("SUPERRES_TEST_"):
                patch.delenv(name)
        patch.setenv("SUPERRES_ENGINE__CACHE_DIR", str(cache))
        patch.setenv("SUPERRES_MODELS__WEIGHTS_DIR", str(tmp_path_factory.mktemp("weights")))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield cache


@pytest.fixture(autouse=True)
def forgotten_models() -> Iterator[None]:
    """Models that a test added are not known to the next one."""
    yield
    for folder in list(catalog._attached):
        catalog.detach(folder)


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The environment of a process that keeps objects in S3: a server of this session's own."""
    with s3_server() as environment:
        yield environment


@pytest.fixture(scope="session")
def photos() -> dict[str, NDArray[np.uint8]]:
    """The four photographs of the published figures, uint8 (h, w, 3), read-only.

    They ship inside scikit-image; nothing is downloaded.
    """
    from skimage import data

    pictures = {
        name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")
    }
    for picture in pictures.values():
        picture.setflags(write=False)
    return pictures


@pytest.fixture(scope="session")
def portrait(photos: dict[str, NDArray[np.uint8]]) -> bytes:
    """A PNG of 200 x 220 pixels with one face, whose middle is at about (72, 122)."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(photos["astronaut"][:220, 150:350]).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def benchmarks() -> Path:
    """Folder of Set5 and Set14; a test that takes it is marked ``benchmark_data``."""
    if not BENCHMARKS.is_dir():
        pytest.skip(f"Set5 and Set14 are not ours to ship and not at {BENCHMARKS}")
    return BENCHMARKS
