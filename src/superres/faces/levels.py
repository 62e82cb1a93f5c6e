"""A picture as the detector sees it: colour 0…255, and smaller copies of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.faces.align import reduced
from superres.imageio import release_pages

FACTOR = 4
"""Each level is this many times smaller than the one before. The detector finds faces of 10 to
300 pixels, so that the range of one level overlaps that of the next widely; with a factor of 2
it found no more faces and more that are none."""

SMALLEST = 96
"""No level has a longer side shorter than this, but for the picture itself."""

_STRIP = 1 << 20
"""Values read at a time while a level is made."""

_GREY = 128.0
"""What shows through where a picture is transparent."""


def colour(block: NDArray[Any]) -> NDArray[np.float32]:
    """What is seen of pixels.

    Transparent pixels hide their colour, which may be anything, behind plain grey.

    Args:
        block: ``(h, w, c)`` uint8, uint16 or float32, see :data:`superres.imageio.Pixels`.

    Returns:
        ``(h, w, 3)`` float32, 0…255; float pixels beyond 0…1 are clipped.
    """
    channels = block.shape[2]
    seen = np.asarray(block, np.float32)
    top = {"uint8": 255.0, "uint16": 65535.0}.get(block.dtype.name, 1.0)
    if top == 1.0:
        seen = np.clip(np.nan_to_num(seen), 0, 1)
    if channels in (2, 4):
        alpha = seen[..., -1:] / np.float32(top)
        seen = seen[..., :-1] * (alpha * np.float32(255 / top)) + _GREY * (1 - alpha)
    elif top != 255.0:
        seen = seen * np.float32(255 / top)
    if channels < 3:
        seen = np.broadcast_to(seen, (*seen.shape[:2], 3))
    return seen


def levels(pixels: NDArray[Any]) -> list[NDArray[Any]]:
    """The picture itself, and copies 4, 16, 64 … times smaller.

    The picture is read a few rows at a time; the copies together need 1/5 byte per pixel.

    Args:
        pixels: ``(h, w, c)``.

    Returns:
        ``pixels``, then ``(⌈h/4⌉, ⌈w/4⌉, 3)`` uint8 and so on.
    """
    made = [pixels]
    while max(made[-1].shape[:2]) >= FACTOR * SMALLEST:
        last = made[-1]
        height, width, channels = last.shape
        smaller = np.empty((-(-height // FACTOR), -(-width // FACTOR), 3), np.uint8)
        rows = FACTOR * max(1, _STRIP // (FACTOR * width * channels))
        for y in range(0, height, rows):
            part = reduced(colour(last[y : y + rows]), FACTOR)
            smaller[y // FACTOR : y // FACTOR + len(part)] = np.rint(part)
            release_pages(last)
        made.append(smaller)
    return made
