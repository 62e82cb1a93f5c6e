"""How fast works have been, to say when to come again."""

from __future__ import annotations

_WEIGHT = 0.2
_FIRST_SECONDS = 1.0
"""Taken for a work's time until one has been done."""


class Pace:
    """Smoothed seconds per megapixel, and megapixels per work. Not thread-safe by itself.

    How large a work is only shows once its file is opened, which happens in the worker; so
    those that wait are taken to be as large as those before them.
    """

    def __init__(self) -> None:
        self._seconds_per_megapixel = 0.0
        self._megapixels = 0.0

    def note(self, megapixels: float, seconds: float) -> None:
        """Take note of a work that took ``seconds`` in its slot."""
        megapixels = max(megapixels, 1e-6)
        if not self._megapixels:
            self._megapixels, self._seconds_per_megapixel = megapixels, seconds / megapixels
            return
        # Weighted by size: a thumbnail's time is mostly not spent on its pixels.
        weight = _WEIGHT * min(1.0, megapixels / self._megapixels)
        rate = seconds / megapixels
        self._seconds_per_megapixel += weight * (rate - self._seconds_per_megapixel)
        self._megapixels += _WEIGHT * (megapixels - self._megapixels)

    def seconds(self, works: float) -> float:
        """Expected slot time of ``works`` works, one after the other."""
        each = self._megapixels * self._seconds_per_megapixel or _FIRST_SECONDS
        return works * each
