"""Transparency: what a network may see of hidden colour, and what becomes of alpha.

The network runs on colour that is not premultiplied. Under transparent pixels files hold
anything, often black or white, and a network would draw that as a fringe along the edge; so
hidden pixels first take the colour of their visible neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLEED_RADII = (1, 3, 8)
"""Distances, in pixels, over which visible colour is carried into hidden pixels."""


def mean_colour(pixels: NDArray[Any], rows: int = 256) -> NDArray[np.float32]:
    """Mean of the visible colour, weighted by alpha.

    Args:
        pixels: ``(h, w, c + 1)``, alpha last; read a few rows at a time.

    Returns:
        ``(c,)`` in the same range; zeros if nothing is visible.
    """
    total = np.zeros(pixels.shape[2] - 1)
    weight = 0.0
    for y in range(0, len(pixels), rows):
        part = np.asarray(pixels[y : y + rows], np.float32)
        alpha = part[..., -1:]
        total += (part[..., :-1] * alpha).sum((0, 1), dtype=np.float64)
        weight += float(alpha.sum(dtype=np.float64))
    return (total / weight if weight else total).astype(np.float32)


def bleed(
    colour: NDArray[np.float32], alpha: NDArray[np.float32], far: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give invisible pixels the colour of the nearest visible ones.

    Args:
        colour: ``(h, w, c)``.
        alpha: ``(h, w)``, 0 = invisible.
        far: ``(c,)``, for pixels further than the largest radius from any visible one. It
            must not depend on the tile, or tiles would differ along their seams.

    Returns:
        ``(h, w, c)``; visible pixels are exactly as they were.
    """
    hidden = alpha == 0
    if not hidden.any():
        return colour
    out = np.where(hidden[..., None], far, colour).astype(np.float32)
    weighted = np.concatenate([colour * alpha[..., None], alpha[..., None]], axis=2)
    for radius in BLEED_RADII:
        sums = _box(weighted, radius)
        near = hidden & (sums[..., -1] > 1e-6)
        out[near] = (sums[near, :-1] / sums[near, -1:]).astype(np.float32)
        hidden &= ~near
    return out


def snap(enlarged: NDArray[np.float32], alpha: NDArray[np.float32], scale: int) -> None:
    """Set ``enlarged`` to exactly 0 or 1 where the input was that, two pixels around.

    Args:
        enlarged: ``(h·scale, w·scale)``, changed in place.
        alpha: ``(h, w)`` input alpha, 0…1.
    """
    for value, same in ((0.0, alpha == 0), (1.0, alpha == 1)):
        padded = np.pad(~same, 2, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
        solid = ~windows.any(axis=(2, 3))
        enlarged[solid.repeat(scale, 0).repeat(scale, 1)] = value


def _box(values: NDArray[np.float32], radius: int) -> NDArray[np.float64]:
    """Sum over ``(2·radius + 1)²`` pixels, as far as they lie inside."""
    h, w = values.shape[:2]
    sums = np.zeros((h + 1, w + 1, values.shape[2]))
    sums[1:, 1:] = values.cumsum(0, dtype=np.float64).cumsum(1)
    y0, y1 = np.clip([np.arange(h) - radius, np.arange(h) + radius + 1], 0, h)
    x0, x1 = np.clip([np.arange(w) - radius, np.arange(w) + radius + 1], 0, w)
    rows = sums[y1] - sums[y0]
    return np.asarray(rows[:, x1] - rows[:, x0])
