"""How large the tiles may be that are computed on a device."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EAGER = 2
"""PyTorch computes operator by operator. For the catalogue's models it takes 0.6 to 0.8 of what
OpenVINO takes in half precision, and in float32, which a tile that went wrong is computed in
again, 0.8 to 1.6 of it; the rest is for the work space of convolutions."""

REMEMBERED = 600.0
"""Seconds for which tiles stay small after some that did not fit."""


class TileMemory:
    """Sizes of tiles where networks work in the computer's own memory. Thread-safe.

    Args:
        tiles: computed at the same time.
        more: times what the catalogue says that a tile takes, which is OpenVINO's.
        now: the time in seconds.
    """

    def __init__(
        self, tiles: int = 1, more: int = 1, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.tiles = tiles
        self._more, self._now = more, now
        self._most: int | None = None
        self._until = 0.0
        self._lock = threading.Lock()

    def area(self, fast: int, bytes_per_pixel: int, scale: int, ceiling: int) -> int:
        """The largest window to compute, in pixels.

        Args:
            fast: up to which the networks run at full speed on a processor, with its caches.
            bytes_per_pixel: working memory that a window takes, in half precision.
            scale: output side / input side.
            ceiling: bytes that all tiles in flight may take of the computer's memory.
        """
        affordable = ceiling // (self.tiles * bytes_per_pixel * self._more)
        return self._limited(min(fast, affordable), bytes_per_pixel)

    def held(self, area: int, bytes_per_pixel: int, scale: int) -> int:
        """Bytes of the computer's memory that a program takes for windows of ``area`` pixels."""
        return area * bytes_per_pixel * self.tiles * self._more

    def did_not_fit(self, area: int, bytes_per_pixel: int) -> None:
        """Remember that a window of ``area`` pixels was too large: half of it is the most now.

        Not for ever: it may have been another program that had the memory.
        """
        tried = area * bytes_per_pixel // 2
        with self._lock:
            now = self._now()
            if self._most is None or now >= self._until:
                self._most = tried
            self._most, self._until = min(self._most, tried), now + REMEMBERED

    def _limited(self, area: int, bytes_per_pixel: int) -> int:
        with self._lock:
            most = self._most if self._now() < self._until else None
        return area if most is None else min(area, most // bytes_per_pixel)


class DeviceMemory(TileMemory):
    """Sizes of tiles where networks work in a device's memory, one tile after the other.

    What is free is looked at once, when this is made: windows of many sizes would have to be
    prepared again and again. Should others take it afterwards, tiles do not fit and shrink.

    Args:
        free: bytes of the device that may be used.
        tiles: on their way through it at the same time, in memory of the computer.
    """

    def __init__(self, free: int, tiles: int) -> None:
        super().__init__(1, EAGER)
        self._free, self._buffers = free, tiles + 1

    def area(self, fast: int, bytes_per_pixel: int, scale: int, ceiling: int) -> int:
        """See :meth:`TileMemory.area`; ``fast`` is rather less than what a device likes."""
        here = int(self._free * _SHARE / (bytes_per_pixel * EAGER))
        there = ceiling // (self._buffers * _host_bytes(scale))
        return self._limited(min(max(_FAST, fast), here, there), bytes_per_pixel)

    def held(self, area: int, bytes_per_pixel: int, scale: int) -> int:
        """See :meth:`TileMemory.held`: buffers for what goes in and comes out."""
        return area * _host_bytes(scale) * self._buffers


_FAST = 1024 * 1024
"""Window size, in pixels, from which larger ones bring a device nothing any more: the overlap of
tiles is under a tenth of the work, starting a kernel far less."""

_SHARE = 0.7
"""Part of the free memory to plan with; convolutions take work space, allocations have gaps."""


def _host_bytes(scale: int) -> int:
    """Bytes per window pixel: float32 in and out, and the copy of the result."""
    return 12 + 2 * (12 + 12 * scale**2)
