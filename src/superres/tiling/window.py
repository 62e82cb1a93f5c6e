"""Read a tile's window out of a picture, mirrored where it sticks out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def mirrored(start: int, count: int, length: int) -> NDArray[np.intp]:
    """Indices start … start + count − 1 of an axis that repeats as a b c | c b a | a b c …"""
    index = np.arange(start, start + count) % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def read_window(pixels: NDArray[Any], y: int, x: int, height: int, width: int) -> NDArray[Any]:
    """``pixels[y : y + height, x : x + width]`` of a picture that goes on mirrored.

    Args:
        pixels: ``(h, w, c)``, h and w at least 1.

    Returns:
        ``(height, width, c)``; a view where the window lies inside.
    """
    h, w = pixels.shape[:2]
    inside = y >= 0 and y + height <= h
    rows = pixels[y : y + height] if inside else pixels[mirrored(y, height, h)]
    if x >= 0 and x + width <= w:
        return rows[:, x : x + width]
    return rows[:, mirrored(x, width, w)]
