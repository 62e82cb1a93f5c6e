"""Turning pixels upright by EXIF orientation (Exif 2.32, tag 0x0112, values 1 to 8)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.imageio.canvas import Canvas
from superres.imageio.scratch import Scratch

_BAND_BYTES = 32 * 1024 * 1024


def swaps_sides(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation in (5, 6, 7, 8)


def orient(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A view of ``(h, w, c)`` pixels as they are to be seen; unknown values mean 1."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return pixels.swapaxes(0, 1)[:, ::-1]
        case 7:
            return pixels.swapaxes(0, 1)[::-1, ::-1]
        case 8:
            return pixels.swapaxes(0, 1)[::-1]
    return pixels


def orient_canvas(
    source: Canvas, orientation: int, scratch: Scratch, *, band_bytes: int = _BAND_BYTES
) -> Canvas:
    """A new canvas with ``source`` turned upright, made in bands of about ``band_bytes``."""
    height, width, channels = source.shape
    turned = swaps_sides(orientation)
    out_height, out_width = (width, height) if turned else (height, width)
    out = Canvas(out_height, out_width, channels, source.dtype, scratch, memory_limit=0)
    try:
        # A band of the result is a column band of the source if the sides change places.
        band = max(1, band_bytes // (out_width * channels * source.dtype.itemsize))
        from_end = orientation in (3, 4, 7, 8)
        for start in range(0, out_height, band):
            stop = min(start + band, out_height)
            part = _columns(source, start, stop, band_bytes) if turned else source.read(start, stop)
            out.write(out_height - stop if from_end else start, 0, orient(part, orientation))
    except BaseException:
        out.close()
        raise
    return out


def _columns(source: Canvas, x0: int, x1: int, band_bytes: int) -> NDArray[Any]:
    """Columns ``x0`` to ``x1`` of every row, read a bounded number of rows at a time."""
    height, width, channels = source.shape
    out = np.empty((height, x1 - x0, channels), source.dtype)
    step = max(1, band_bytes // (width * channels * source.dtype.itemsize))
    for y in range(0, height, step):
        out[y : y + step] = source.read(y, min(y + step, height))[:, x0:x1]
    return out
