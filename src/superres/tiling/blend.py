"""Put finished tiles together: hard seams by cutting, soft seams by a linear ramp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.tiling.plan import Plan, Span, Tile

Write = Callable[[int, int, NDArray[Any]], None]
"""``write(y, x, block)``: takes ``(h, w, c)`` finished pixels at output coordinates."""


class Assembler:
    """Receives the tiles of a plan in its order and writes every output pixel once.

    Soft seams hold back only the strips that a later tile shares: one column strip, and
    one row strip as wide as the picture.

    Args:
        plan: of the pass.
        scale: output side / input side.
        write: called with finished blocks; soft seams hand it the blended float32 values.
    """

    def __init__(self, plan: Plan, scale: int, write: Write) -> None:
        self._plan, self._scale, self._write = plan, scale, write
        self._right: NDArray[np.float32] | None = None
        self._above: NDArray[np.float32] | None = None
        self._below: NDArray[np.float32] | None = None

    def add(self, tile: Tile, block: NDArray[Any]) -> None:
        """Take the next tile.

        Args:
            tile: from ``plan.tiles()``, in its order.
            block: the whole window's output, ``(window·scale, window·scale, c)``.
        """
        s = self._scale
        y, x = tile.y, tile.x
        block = block[
            (y.lo - y.start) * s : (y.hi - y.start) * s, (x.lo - x.start) * s : (x.hi - x.start) * s
        ]
        if y.ramp_in or y.ramp_out or x.ramp_in or x.ramp_out:
            block = self._blended(y, x, block.astype(np.float32, copy=True))
        self._write(y.lo * s, x.lo * s, block)

    def _blended(self, y: Span, x: Span, block: NDArray[np.float32]) -> NDArray[np.float32]:
        s = self._scale
        if x.ramp_in:
            assert self._right is not None
            n = x.ramp_in * s
            block[:, :n] = block[:, :n] * _ramp(n)[None, :, None] + self._right
        if x.ramp_out:
            n = x.ramp_out * s
            self._right = block[:, -n:] * (1 - _ramp(n))[None, :, None]
            block = block[:, :-n]
        left, right = x.lo * s, x.lo * s + block.shape[1]
        if y.ramp_in:
            if x.lo == 0:
                self._above = self._below
            assert self._above is not None
            n = y.ramp_in * s
            block[:n] = block[:n] * _ramp(n)[:, None, None] + self._above[:, left:right]
        if y.ramp_out:
            n = y.ramp_out * s
            if x.lo == 0:
                shape = (n, self._plan.width * s, block.shape[2])
                self._below = np.empty(shape, np.float32)
            assert self._below is not None
            self._below[:, left:right] = block[-n:] * (1 - _ramp(n))[:, None, None]
            block = block[:-n]
        return block


def _ramp(count: int) -> NDArray[np.float32]:
    return ((np.arange(count) + 0.5) / count).astype(np.float32)
