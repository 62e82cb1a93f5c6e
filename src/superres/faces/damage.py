"""What befell a face before: noise and JPEG, measured on its own surroundings.

``superres.pipeline.damage`` looks at whole pictures, and errs on a few small blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.faces.denoise import BLOCK, DCT

_MIDDLE, _MIDDLE_JPEG = 512, 128
"""Sides of the squares that are looked at, in the middle of what is larger."""

_CLIPPED = 1 / 8
"""Share of a block's pixels that may be black or white."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)

_FINE = np.add.outer(np.arange(BLOCK), np.arange(BLOCK)) >= 3
"""Coefficients of a block that are small in any picture, and that JPEG makes zero."""

_EXCESS, _LOSS = (0.13, 0.25, 0.39, 0.45, 0.53, 0.58), (0, 5, 10, 15, 30, 50)
"""What :func:`jpeg_loss` goes by. Measured on forty faces of 28 and 48 pixels: clean and noisy
ones have an excess of 0.1 at most, at quality 95 it is 0.2 at least."""


def noise(pixels: NDArray[Any]) -> float:
    """Noise of a face's surroundings: that of their quietest hundredth.

    After Immerkær (1996), by blocks of 8 × 8. A small face has fine detail nearly everywhere, and
    only the quietest blocks tell it from noise; those of black or white, where noise is cut off,
    tell nothing.

    Args:
        pixels: ``(h, w, 1 or 3)`` of uint8, uint16 or float32.

    Returns:
        Standard deviation in levels of 255, 0 if there is too little to tell. Of clean faces of 28
        pixels nine in ten measure below 1, larger ones less; noise of σ = 2, 3, 6 about 0.8,
        1.2, 2.3.
    """
    grey = _middle(pixels, _MIDDLE).mean(2)
    h, w = (max(0, side - 2) // BLOCK for side in grey.shape)
    if not h or not w:
        return 0.0
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    both = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])[: h * BLOCK, : w * BLOCK]
    found = _blocks(both, h, w) * np.sqrt(np.pi / 2) / 6
    middle = grey[1 : 1 + h * BLOCK, 1 : 1 + w * BLOCK]
    clipped = _blocks((middle < 0.5) | (middle > 254.5), h, w)
    found = found[(found > 0) & (clipped < _CLIPPED)]
    return float(np.percentile(found, 1)) if found.size else 0.0


def jpeg_loss(pixels: NDArray[Any]) -> float:
    """100 less the quality of the JPEG that a face's surroundings once were; 0 if they were none.

    JPEG makes most fine coefficients of its blocks zero. In blocks elsewhere they are not, so what
    counts is how many more are nearly zero in the one of 64 possible grids that has most.

    Args:
        pixels: ``(h, w, 1 or 3)`` of uint8, uint16 or float32, cut out anywhere.

    Returns:
        0…50, 0 if there is too little to tell.
    """
    values = _middle(pixels, _MIDDLE_JPEG)
    bright = values @ _LUMA if values.shape[2] == 3 else values[..., 0]
    h, w = ((side - BLOCK + 1) // BLOCK for side in bright.shape)
    if h < 4 or w < 4:
        return 0.0
    shares = []
    for dy in range(BLOCK):
        for dx in range(BLOCK):
            part = bright[dy : dy + h * BLOCK, dx : dx + w * BLOCK]
            waves = DCT @ part.reshape(h, BLOCK, w, BLOCK).transpose(0, 2, 1, 3) @ DCT.T
            shares.append(float((np.abs(waves[..., _FINE]) < 1).mean()))
    return float(np.interp(max(shares) - np.median(shares), _EXCESS, _LOSS))


def _blocks(values: NDArray[Any], h: int, w: int) -> NDArray[Any]:
    """The means of ``h × w`` blocks."""
    return np.asarray(values.reshape(h, BLOCK, w, BLOCK).mean((1, 3)))


def _middle(pixels: NDArray[Any], side: int) -> NDArray[np.float32]:
    """The middle of ``pixels`` in levels of 255."""
    top, left = (max(0, length - side) // 2 for length in pixels.shape[:2])
    factor = np.float32({"uint8": 1.0, "uint16": 255 / 65535}.get(pixels.dtype.name, 255.0))
    return pixels[top : top + side, left : left + side].astype(np.float32) * factor
