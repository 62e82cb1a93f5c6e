"""A tile in all eight orientations, and the mean of what a network makes of them.

A network that was trained on turned and mirrored pictures still answers each a little otherwise.
Errors that differ cancel out in the mean, which is nearer the truth than any one answer (Timofte,
Rothe and Van Gool, "Seven ways to improve example-based single image super resolution", CVPR
2016). It takes eight times as long.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ORIENTATIONS = 8
"""The first four keep the shape, the others exchange height and width."""


def turned(values: NDArray[Any], number: int) -> NDArray[Any]:
    """``values`` in one of the orientations.

    Args:
        values: ``(h, w, …)``.
        number: 0…7; 0 is as it is.

    Returns:
        A view, ``(h, w, …)`` or from number 4 on ``(w, h, …)``.
    """
    values = _mirrored(values, number)
    return values.swapaxes(0, 1) if number & 4 else values


def turned_back(values: NDArray[Any], number: int) -> NDArray[Any]:
    """What :func:`turned` made of that, a view."""
    return _mirrored(values.swapaxes(0, 1) if number & 4 else values, number)


def _mirrored(values: NDArray[Any], number: int) -> NDArray[Any]:
    values = values[::-1] if number & 1 else values
    return values[:, ::-1] if number & 2 else values


class Mean:
    """The mean of a tile's results, taken up one by one.

    The sum is kept in float64, so that where all agree the mean is exactly that.
    """

    def __init__(self) -> None:
        self._sum: NDArray[np.float64] | None = None
        self._count = 0

    def add(self, result: NDArray[np.float32], number: int) -> None:
        """Take up ``(H, W, c)``, the result of orientation ``number``."""
        upright = turned_back(result, number)
        if self._sum is None:
            self._sum = upright.astype(np.float64, order="C")
        else:
            self._sum += upright
        self._count += 1

    @property
    def complete(self) -> bool:
        """Whether all orientations are in it."""
        return self._count == ORIENTATIONS

    def take(self) -> NDArray[np.float32]:
        """The mean, ``(H, W, c)``; the next result begins another one."""
        assert self._sum is not None
        mean = (self._sum / self._count).astype(np.float32)
        self._sum, self._count = None, 0
        return mean
