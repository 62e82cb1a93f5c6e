"""The pictures that are measured on: photographs that scikit-image ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")


@cache
def photo(name: str) -> Picture:
    """One photograph, uint8 ``(h, w, 3)``."""
    from skimage import data

    return np.ascontiguousarray(getattr(data, name)())


def mosaic(height: int, width: int) -> Picture:
    """A large picture with a photograph's detail: the astronaut over and over, mirrored.

    An enlarged photograph would be smoother than what people have, and cheaper to compress.
    Mirrored copies meet without a step, which the plausibility guard might stumble over.
    """
    once = photo("astronaut")
    pads = [(0, max(0, n - have)) for n, have in zip((height, width), once.shape, strict=False)]
    return np.ascontiguousarray(np.pad(once, [*pads, (0, 0)], "symmetric")[:height, :width])


def square(side: int) -> Picture:
    """The middle of the astronaut, or a mosaic where that is too small."""
    if side > 512:
        return mosaic(side, side)
    start = (512 - side) // 4
    return np.ascontiguousarray(photo("astronaut")[start : start + side, start : start + side])


def save(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path
