"""What was flat stays flat: white paper is 255, a black frame is 0, a plain logo is plain.

Networks add a ripple of a few levels to areas without any content. Where the input does not
vary at all over a neighbourhood there is nothing to restore, and the input's value is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RADIUS = 4
"""Input pixels around a pixel that must all equal it."""


def flat_area(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels whose whole neighbourhood, as far as it lies inside, has their value.

    Args:
        image: ``(c, h, w)``.

    Returns:
        ``(h, w)``.
    """
    _, h, w = image.shape
    varies = np.zeros((h + 1, w + 1), np.int32)
    changes = (image[:, 1:] != image[:, :-1]).any(0)
    varies[1:h, 1:] |= changes
    varies[2:, 1:] |= changes
    changes = (image[:, :, 1:] != image[:, :, :-1]).any(0)
    varies[1:, 1:w] |= changes
    varies[1:, 2:] |= changes
    sums = varies.cumsum(0).cumsum(1)
    y0, y1 = np.clip([np.arange(h) - RADIUS, np.arange(h) + RADIUS + 1], 0, h)
    x0, x1 = np.clip([np.arange(w) - RADIUS, np.arange(w) + RADIUS + 1], 0, w)
    rows = sums[y1] - sums[y0]
    return np.asarray(rows[:, x1] == rows[:, x0])


def keep_flat(pixels: NDArray[Any], image: NDArray[np.float32]) -> None:
    """Give flat areas of ``pixels`` exactly the input's value.

    Args:
        pixels: ``(h·scale, w·scale, c)`` uint8 or float32, changed in place; c = 1 takes
            the input's first channel.
        image: ``(3, h, w)`` in [0, 1].
    """
    flat = flat_area(image)
    if not flat.any():
        return
    height, width = flat.shape
    scale = pixels.shape[0] // height
    values = image.transpose(1, 2, 0)[..., : pixels.shape[2]]
    if pixels.dtype == np.uint8:
        values = np.rint(values * 255)
    blocks = pixels.reshape(height, scale, width, scale, pixels.shape[2])
    y, x = flat.nonzero()
    blocks[y, :, x] = values[y, x][:, None, None].astype(pixels.dtype)
