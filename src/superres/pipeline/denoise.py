"""Take a picture's noise off before it is enlarged.

By the thresholding that faces go through (``superres.faces.denoise``), at a share of the noise that
is measured: what is left is dither to the networks, what goes too far is detail. The constants
were measured on ten photographs (docs/decisions/0016-what-the-scorecard-taught.md).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.faces.denoise import BLOCK
from superres.faces.enhance import clean
from superres.faces.region import Region
from superres.imageio import Canvas, Scratch, release_pages
from superres.pipeline.damage import PLAIN
from superres.pipeline.flat import RADIUS, flat_area
from superres.pipeline.options import UpscaleOptions

FULL = 0.75
"""Times the measured noise that is taken off at strength 1. More takes detail along."""

DEFAULT, MOST = ((8.0, 14.0), (0.8, 0.5)), 30.0
"""Strength if nobody says otherwise, by the noise, and the noise up to which any is taken off then,
in levels of 255. Of much noise what is left after 0.8 looks like a pattern, which the generative
networks then draw; more than that is dither, or a halftone."""

MEMORY = 16 << 20
"""Bytes of a copy up to which it is held in memory, else on scratch disk."""


def may_clean(options: UpscaleOptions) -> bool:
    """Whether noise would be taken off, if a picture has any.

    By itself this happens only where the picture decides on the fidelity, too: who names a
    fidelity, or takes a model that goes without, gets what that makes of the picture.
    """
    if options.denoise is not None:
        return options.denoise > 0
    return options.fidelity is None and 0 < options.descriptor.fidelity < 1


def strength_of(options: UpscaleOptions, noise: float) -> float:
    """How much is taken off, 0…1; ``noise`` is what :func:`superres.pipeline.damage.grain` says."""
    if not may_clean(options):
        return 0.0
    if options.denoise is not None:
        return options.denoise
    return float(np.interp(noise, *DEFAULT)) if PLAIN <= noise <= MOST else 0.0


def cleaned(
    pixels: NDArray[Any],
    noise: float,
    strength: float,
    scratch: Scratch,
    stack: ExitStack,
    check: Callable[[], None] | None = None,
) -> NDArray[Any]:
    """``pixels`` without noise; themselves if there is none, or nothing is to be done.

    Alpha and flat areas stay as they are, and so does colour next to invisible pixels: what those
    hide would be smeared over what is seen.

    Args:
        pixels: ``(h, w, c)``, see :data:`superres.imageio.Pixels`.
        noise: of it, as :func:`superres.pipeline.damage.grain` measures it.
        strength: 0…1.
        scratch: for a copy that is too large for memory.
        stack: keeps the copy until it ends.
        check: called now and then; what it raises stops the work.

    Raises:
        OutOfMemory: no room for the copy.
    """
    sigma = strength * FULL * noise
    if not sigma:
        return pixels
    height, width, channels = pixels.shape
    copy = stack.enter_context(
        Canvas(height, width, channels, pixels.dtype, scratch, memory_limit=MEMORY)
    )

    def write(y: int, x: int, block: NDArray[Any]) -> None:
        if pixels.dtype == np.float32:  # others are within their range by their kind
            np.clip(block, 0, 1, out=block)
        kept = _flat(pixels, y, x, *block.shape[:2])
        if channels in (2, 4):
            kept |= _near_invisible(pixels[..., -1], y, x, *block.shape[:2])
        block[kept] = pixels[y : y + block.shape[0], x : x + block.shape[1]][kept]
        copy.write(y, x, block)
        release_pages(pixels)

    clean(pixels, Region(0, 0, height, width, ()), sigma, write, check)
    return copy.array()


def _flat(pixels: NDArray[Any], y: int, x: int, height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels of a window lie in a flat area, ``(height, width)``."""
    top, left = max(0, y - RADIUS), max(0, x - RADIUS)
    around = pixels[top : y + height + RADIUS, left : x + width + RADIUS].transpose(2, 0, 1)
    return flat_area(around)[y - top : y - top + height, x - left : x - left + width]


def _near_invisible(
    alpha: NDArray[Any], y: int, x: int, height: int, width: int
) -> NDArray[np.bool_]:
    """Which pixels of a window share a block with an invisible one, ``(height, width)``."""
    reach = BLOCK - 1
    top, left = max(0, y - reach), max(0, x - reach)
    hidden = np.asarray(alpha[top : y + height + reach, left : x + width + reach]) == 0
    if not hidden.any():
        return np.zeros((height, width), np.bool_)
    sums = np.pad(hidden.cumsum(0, dtype=np.int32).cumsum(1), ((1, 0), (1, 0)))
    ys, xs = np.arange(y, y + height) - top, np.arange(x, x + width) - left
    y0, y1 = np.clip([ys - reach, ys + reach + 1], 0, hidden.shape[0])
    x0, x1 = np.clip([xs - reach, xs + reach + 1], 0, hidden.shape[1])
    rows = sums[y1] - sums[y0]
    return np.asarray(rows[:, x1] != rows[:, x0])
