"""Is this tile the picture? Checks that catch a network, driver or buffer gone wrong.

A wrong picture returned as a success is the worst that can happen here, so every tile is
checked before it is used. The checks look at the result reduced to the input's size, which
is small, and at samples of the full-size pixels; they cost about a thousandth of the tile.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from superres.engines.base import TileResult

FLAT = 4 / 255
"""An input with less contrast than this may well give a constant output."""

_TELLING = 5 / 255
"""Least difference between linear and cubic around the edge: where a picture is as smooth as one
out of focus, an honest network answers what cubic does, within a level."""

_PATCH = 8
"""Input pixels a side of the patch that is compared with plain enlargements."""

MEAN_LIMIT, WORST_LIMIT = 0.06, 0.4
"""Largest mean and single difference of 8 × 8 block means between input and reduced result.
Measured over all models on photographs, noise, dither and halftone: at most 0.02 and 0.17."""


def fault(image: NDArray[np.float32], result: TileResult, *, may_be_plain: bool) -> str | None:
    """What is wrong with ``result``, in a few words; None if nothing is.

    Args:
        image: the tile that went in, ``(3, h, w)``.
        result: what came back.
        may_be_plain: plain resampling is an honest answer here (fake engine, guarded tile).
    """
    source = image.transpose(1, 2, 0)
    reduced = result.reduced
    if not np.isfinite(reduced).all():
        return "values that are not numbers"
    if result.pixels.dtype == np.float32 and not np.isfinite(result.pixels).all():
        return "values that are not numbers"
    contrast = float(source.max() - source.min())
    if contrast > FLAT and float(reduced.max() - reduced.min()) < 1 / 255:
        return "a constant"
    difference = np.abs(_blocks(reduced) - _blocks(source))
    if difference.mean() > MEAN_LIMIT or difference.max() > WORST_LIMIT:
        return "another picture"
    if _pixels_differ(reduced, result.pixels):
        return "pixels of another tile"
    if not may_be_plain and contrast > 64 / 255 and _is_plain(source, result.pixels):
        return "a plain enlargement"
    return None


def _blocks(values: NDArray[np.float32], size: int = 8) -> NDArray[np.float32]:
    h, w, c = values.shape
    size = min(size, h, w)
    values = values[: h // size * size, : w // size * size]
    return np.asarray(values.reshape(h // size, size, w // size, size, c).mean((1, 3)))


def _unit(pixels: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return np.clip(pixels, 0, 1)


def _pixels_differ(
    reduced: NDArray[np.float32], pixels: NDArray[np.uint8] | NDArray[np.float32]
) -> bool:
    """Compare a grid of full-size samples with the reduced result they must average to.

    The reduced result is from before clipping, which can only lower what is above 1 and
    raise what is below 0.
    """
    h, w = reduced.shape[:2]
    scale = pixels.shape[0] // h
    ys, xs = (np.unique(np.linspace(0, n - 1, 12).astype(int)) for n in (h, w))
    rows = (ys[:, None] * scale + np.arange(scale)).ravel()
    columns = (xs[:, None] * scale + np.arange(scale)).ravel()
    blocks = _unit(pixels[rows[:, None], columns[None, :]])
    blocks = blocks.reshape(len(ys), scale, len(xs), scale, -1)
    expected = reduced[ys[:, None], xs[None, :]]
    if blocks.shape[4] == 1:
        expected = expected.mean(2, keepdims=True)
    difference = blocks.mean((1, 3)) - expected
    too_high = np.where((blocks <= 0).any((1, 3)), 0, difference)
    too_low = np.where((blocks >= 1).any((1, 3)), 0, -difference)
    return bool(np.median(np.maximum(too_high, too_low)) > 0.02)


def _is_plain(source: NDArray[np.float32], pixels: NDArray[np.uint8] | NDArray[np.float32]) -> bool:
    """Whether the pixels around the strongest edge are just an interpolation of the input."""
    scale = pixels.shape[0] // source.shape[0]
    if scale == 1 or min(source.shape[:2]) < _PATCH + 8:
        return False
    grey = source.mean(2)
    edges = np.abs(np.diff(grey[4:-4, 4:-4], axis=1))
    if edges.max() < 32 / 255:
        return False
    y, x = (int(i) for i in np.unravel_index(int(edges.argmax()), edges.shape))
    y, x = min(y, grey.shape[0] - _PATCH - 2), min(x, grey.shape[1] - _PATCH - 2)
    y, x = max(y, 2), max(x, 2)
    around = source[y - 2 : y + _PATCH + 2, x - 2 : x + _PATCH + 2].transpose(2, 0, 1)
    got = _unit(pixels[y * scale : (y + _PATCH) * scale, x * scale : (x + _PATCH) * scale]).mean(2)
    # Clipped before the mean, as whoever enlarged the picture would have.
    nearest, linear, cubic = (
        np.clip(matrix @ around @ matrix.T, 0, 1).mean(0) for matrix in _interpolations(scale)
    )
    telling = np.abs(cubic - linear).max() >= _TELLING
    plain = (nearest, linear, cubic) if telling else (nearest,)
    return any(np.abs(each - got).max() < 1.5 / 255 for each in plain)


@cache
def _interpolations(scale: int) -> tuple[NDArray[np.float64], ...]:
    """Nearest, linear and cubic weights from ``_PATCH`` + 4 samples to the middle ``_PATCH``."""
    at = (np.arange(_PATCH * scale) + 0.5) / scale - 0.5 + 2
    d = np.abs(at[:, None] - np.arange(_PATCH + 4)[None, :])
    near, far = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    cubic = np.where(d <= 1, near, np.where(d < 2, far, 0.0))
    return (d < 0.5).astype(np.float64), np.maximum(0, 1 - d), cubic
