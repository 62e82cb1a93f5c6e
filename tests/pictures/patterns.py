"""Pictures that networks run away on: noise, grids, dither, halftone, a fax."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.pictures.measures import reduced

Picture = NDArray[np.uint8]


def _grey(values: NDArray) -> Picture:
    """``(h, w)`` values, clipped to 0…255, as RGB."""
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[..., None], 3, 2)


def _bayer(doublings: int) -> NDArray[np.float64]:
    """Thresholds of ordered dither, 0…255, ``2**doublings`` a side."""
    matrix = np.zeros((1, 1))
    for _ in range(doublings):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return (matrix + 0.5) / matrix.size * 255


@cache
def patterns(side: int = 96) -> dict[str, Picture]:
    """Every pattern by name, uint8 RGB, ``side`` (a multiple of 8) pixels a side."""
    from skimage import data
    from skimage.filters import threshold_local

    rng = np.random.default_rng(0)
    # The head: skin, hair and a bright background at once.
    photo = reduced(np.ascontiguousarray(data.astronaut()[:, 32:480]), 2)[:side, 40 : 40 + side]
    grey = photo.mean(axis=2)
    y, x = np.mgrid[:side, :side]
    u, v = (2 * np.pi / 4 * (x + sign * y) / np.sqrt(2) for sign in (1, -1))
    bayer = np.tile(_bayer(3), (side // 8, side // 8))
    # The page lies in shadow: black on white only relative to its surroundings.
    page = data.page()
    fax = np.where(page > threshold_local(page, 35, offset=12), 255.0, 0.0)[:side, 130 : 130 + side]
    speck = rng.random((side, side))
    fax[speck < 0.01], fax[speck > 0.99] = 0, 255
    dithered = Image.fromarray(grey.astype(np.uint8)).convert("1").convert("RGB")
    return {
        "noise": np.clip(photo + rng.normal(0, 50, photo.shape), 0, 255).astype(np.uint8),
        "checkerboard": _grey((x + y) % 2 * 255),
        "stripes-vertical": _grey(x % 2 * 255),
        "stripes-horizontal": _grey(y % 2 * 255),
        "dither-random": _grey((grey > rng.uniform(0, 255, grey.shape)) * 255),
        "dither-ordered": _grey((grey > bayer) * 255),
        "dither-ordered-colour": ((photo > bayer[..., None]) * 255).astype(np.uint8),
        "floyd-steinberg": np.asarray(dithered),
        "halftone": _grey((grey / 255 > 0.5 + 0.25 * (np.cos(u) + np.cos(v))) * 255),
        "fax": _grey(fax),
    }


NAMES = (
    "noise",
    "checkerboard",
    "stripes-vertical",
    "stripes-horizontal",
    "dither-random",
    "dither-ordered",
    "dither-ordered-colour",
    "floyd-steinberg",
    "halftone",
    "fax",
)
