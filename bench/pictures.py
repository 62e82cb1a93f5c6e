"""The pictures that are measured on: photographs that scikit-image ships."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
_CELL = 293, 443
"""Part of each photograph used in a mosaic; odd, so that seams are on no grid of eight."""


@cache
def photo(name: str) -> Picture:
    """One photograph, uint8 ``(h, w, 3)``."""
    from skimage import data

    return np.ascontiguousarray(getattr(data, name)())


def mosaic(height: int, width: int) -> Picture:
    """A large picture with the detail of photographs at their own resolution.

    An enlarged photograph would be smoother than what people have, and cheaper to compress.
    """
    cells = [photo(name)[: _CELL[0], : _CELL[1]] for name in PHOTOS]
    rows = []
    for y in range(-(-height // _CELL[0])):
        row = []
        for x in range(-(-width // _CELL[1])):
            cell = cells[(x + 2 * y) % 4]
            row.append(cell[:: -1 if y % 2 else 1, :: -1 if x % 2 else 1])
        rows.append(np.concatenate(row, axis=1))
    return np.ascontiguousarray(np.concatenate(rows)[:height, :width])


def square(side: int) -> Picture:
    """The middle of the astronaut, or a mosaic where that is too small."""
    if side > 512:
        return mosaic(side, side)
    start = (512 - side) // 4
    return np.ascontiguousarray(photo("astronaut")[start : start + side, start : start + side])


def save(picture: Picture, path: Path) -> Path:
    Image.fromarray(picture).save(path)
    return path
