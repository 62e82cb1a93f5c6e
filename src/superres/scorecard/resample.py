"""Classic resampling in numpy, as the literature does it: the baselines and the small pictures.

What MATLAB's ``imresize`` computes: the kernel is stretched when reducing (antialiasing), picture
borders are mirrored. Set5's and Set14's small pictures come out of it within a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]
"""``(h, w, 3)``, sRGB."""


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys (1981), a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Windowed sinc with three lobes (Duchon 1979)."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


_KERNELS: dict[str, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]] = {
    "bicubic": (_bicubic, 4),
    "lanczos": (_lanczos, 6),
}


def resample(photo: Photo, height: int, width: int, kernel: str = "bicubic") -> Photo:
    """``photo`` at another size.

    Args:
        photo: uint8 ``(h, w, 3)``.
        height, width: of the result, at least 1.
        kernel: "bicubic" or "lanczos".
    """
    # MATLAB rounds between the two directions as well.
    tall = as_photo(_along(photo.astype(np.float64), height, kernel))
    turned = _along(tall.transpose(1, 0, 2).astype(np.float64), width, kernel)
    return as_photo(turned.transpose(1, 0, 2))


def as_photo(values: NDArray[Any]) -> Photo:
    """Levels 0…255 of any type, rounded half up and clipped to uint8."""
    return np.ascontiguousarray(np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8))


def _along(values: NDArray[np.float64], length: int, kernel: str) -> NDArray[np.float64]:
    """Resample the first axis."""
    if values.shape[0] == length:
        return values
    weights, indices = _taps(values.shape[0], length, kernel)
    result = np.zeros((length, *values.shape[1:]))
    for weight, index in zip(weights.T, indices.T, strict=True):
        if weight.any():
            result += weight[:, None, None] * values[index]
    return result


@lru_cache(maxsize=32)
def _taps(have: int, length: int, kernel: str) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each of ``length`` samples the weights and places of what it is made of."""
    function, support = _KERNELS[kernel]
    scale = length / have
    stretch = max(1.0, 1 / scale)
    centre = (np.arange(length) + 0.5) / scale - 0.5
    count = math.ceil(support * stretch) + 2
    first = np.floor(centre - support * stretch / 2).astype(np.intp)
    places = first[:, None] + np.arange(count)
    weights = function((centre[:, None] - places) / stretch)
    weights /= weights.sum(1, keepdims=True)
    mirrored = places % (2 * have)
    return weights, np.where(mirrored < have, mirrored, 2 * have - 1 - mirrored)
