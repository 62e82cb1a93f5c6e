"""Lay faces upright: similarity transforms, the template of five points, resampled windows.

A transform is a ``(2, 3)`` float64 matrix M: (x, y) goes to M·(x, y, 1). Coordinates are pixels,
with (0, 0) the corner of the first one, as in :class:`superres.faces.face.Face`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superres.imageio import turned

Matrix = NDArray[np.float64]

TEMPLATE_SIDE = 512
TEMPLATE: Matrix = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)
"""Where the five points of an aligned face lie in a square of 512 pixels: the template that
GFPGAN, CodeFormer and RestoreFormer were trained with. facexlib (MIT),
``utils/face_restoration_helper.py``."""
TEMPLATE.setflags(write=False)

_EDGE = 4
"""Pixels beyond the picture that bicubic taps may reach: 2, and 2 to be alone out there."""


def similarity(source: ArrayLike, target: ArrayLike) -> Matrix:
    """The turn, zoom and shift, without mirroring, that brings points nearest to others.

    Least squares; Umeyama, *Least-Squares Estimation of Transformation Parameters Between Two
    Point Patterns*, PAMI 1991.

    Args:
        source, target: ``(n, 2)`` x, y; n at least 2.

    Returns:
        The transform from source to target. If all of ``source`` is one point: a shift.
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    from_mean, to_mean = a.mean(0), b.mean(0)
    a, b = a - from_mean, b - to_mean
    spread = float((a**2).sum())
    if spread == 0:
        turn = np.eye(2)
    else:
        # In the plane the best turn and zoom are the complex number Σ b·ā / Σ |a|²: the same
        # as Umeyama's by singular values, and never a mirror image.
        cos = float((a * b).sum()) / spread
        sin = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
        turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (to_mean - turn @ from_mean)[:, None]])


def inverse(matrix: Matrix) -> Matrix:
    """The transform back.

    Raises:
        numpy.linalg.LinAlgError: there is none: ``matrix`` makes everything one point or line.
    """
    back = np.linalg.inv(matrix[:, :2])
    return np.hstack([back, (-back @ matrix[:, 2])[:, None]])


def apply(matrix: Matrix, points: ArrayLike) -> Matrix:
    """Where ``points``, ``(n, 2)`` x, y, go."""
    moved: Matrix = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


def zoom(matrix: Matrix) -> float:
    """How many times longer a similarity makes things."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def around(centre: tuple[float, float], angle: float, scale: float, side: int) -> Matrix:
    """The transform from a square window of ``side`` pixels to the picture.

    Args:
        centre: x, y in the picture of the window's middle.
        angle: of the window's x axis in the picture, in radians.
        scale: picture pixels per window pixel.
    """
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (np.array(centre) - turn @ np.full(2, side / 2))[:, None]])


def as_float(block: NDArray[Any]) -> NDArray[np.float32]:
    """Values as they are, as float32."""
    return np.asarray(block, np.float32)


def sample(
    pixels: NDArray[Any],
    matrix: Matrix,
    shape: tuple[int, int],
    *,
    outside: float | tuple[float, ...] | None = None,
    convert: Callable[[NDArray[Any]], NDArray[np.float32]] = as_float,
) -> NDArray[np.float32]:
    """Look at a picture through a turned window, by inverse bicubic sampling (a = -0.5).

    Where the window is much coarser than the picture, that is reduced first, by exact areas of
    whole pixels. Needs memory for the part of the picture under the window.

    Args:
        pixels: ``(h, w, c)`` of any dtype; at least one pixel.
        matrix: from window to picture, a similarity.
        shape: height and width of the window.
        outside: value, or one per channel, of what lies beyond the picture; None repeats its
            edge.
        convert: makes ``(y, x, c')`` float32 of a block of pixels.

    Returns:
        ``(height, width, c')`` float32, not clipped: bicubic overshoots at edges.
    """
    padded, matrix = _under(pixels, matrix, shape, outside, convert)
    height, width = shape
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    u = matrix[0, 0] * x + matrix[0, 1] * y + (matrix[0, 2] - 0.5)
    v = matrix[1, 0] * x + matrix[1, 1] * y + (matrix[1, 2] - 0.5)
    return _bicubic(padded, v, u)


def glance(
    pixels: NDArray[Any],
    matrix: Matrix,
    side: int,
    convert: Callable[[NDArray[Any]], NDArray[np.float32]] = as_float,
) -> NDArray[np.float32]:
    """As :func:`sample`, in a quarter of the time, with places rounded to 1/64 of a pixel.

    The window is a square of ``side`` pixels, black beyond the picture.
    """
    padded, matrix = _under(pixels, matrix, (side, side), 0.0, convert)
    return turned(padded, matrix, (side, side), 0.0)


def _under(
    pixels: NDArray[Any],
    matrix: Matrix,
    shape: tuple[int, int],
    outside: float | tuple[float, ...] | None,
    convert: Callable[[NDArray[Any]], NDArray[np.float32]],
) -> tuple[NDArray[np.float32], Matrix]:
    """The part of a picture under a window, reduced and padded, and the window's place in it."""
    factor = max(1, round(zoom(matrix)))
    height, width = shape
    corners = apply(matrix, [(0, 0), (width, 0), (0, height), (width, height)]) / factor
    limits = [-(-n // factor) for n in pixels.shape[1::-1]]
    # At least one pixel of the picture, and no more of it than the taps can reach.
    first = [
        min(max(int(np.floor(low)) - 2, 0), n - 1)
        for low, n in zip(corners.min(0), limits, strict=True)
    ]
    last = [
        max(min(int(np.ceil(high)) + 2, n), start + 1)
        for high, n, start in zip(corners.max(0), limits, first, strict=True)
    ]
    (left, top), (right, bottom) = first, last
    block = convert(pixels[top * factor : bottom * factor, left * factor : right * factor])
    block = reduced(block, factor)
    pad = [(_EDGE, _EDGE), (_EDGE, _EDGE)]
    if outside is None:
        padded = np.pad(block, [*pad, (0, 0)], "edge")
    else:
        padded = np.empty([n + 2 * _EDGE for n in block.shape[:2]] + [block.shape[2]], np.float32)
        padded[:] = outside
        padded[_EDGE:-_EDGE, _EDGE:-_EDGE] = block
    origin = np.array([left - _EDGE, top - _EDGE])
    return padded, np.hstack([matrix[:, :2] / factor, (matrix[:, 2] / factor - origin)[:, None]])


def reduced(block: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of squares of ``factor`` × ``factor`` pixels; the last ones may be cut off."""
    if factor == 1:
        return block
    return _means(_means(block, factor).swapaxes(0, 1), factor).swapaxes(0, 1)


def _means(block: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Means of ``factor`` neighbours along the first axis."""
    whole = len(block) // factor * factor
    means = np.empty((-(-len(block) // factor), *block.shape[1:]), np.float32)
    if whole:
        sums = means[: whole // factor]
        sums[:] = block[:whole:factor]
        for offset in range(1, factor):
            sums += block[offset:whole:factor]
        sums *= np.float32(1 / factor)
    if whole < len(block):
        means[-1] = block[whole:].mean(0)
    return means


def _bicubic(
    image: NDArray[np.float32], v: NDArray[np.float64], u: NDArray[np.float64]
) -> NDArray[np.float32]:
    """``image`` at rows ``v`` and columns ``u``, pixel centres being whole numbers."""
    height, width, channels = image.shape
    v, u = np.clip(v, 1, height - 2.001), np.clip(u, 1, width - 2.001)
    row, column = v.astype(np.intp), u.astype(np.intp)
    across, down = _weights(u - column), _weights(v - row)
    # A channel at a time, all taps of it: three times as fast as whole pixels.
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).reshape(channels, -1)
    out = np.zeros((channels, *v.shape), np.float32)
    line, tap = np.empty_like(out), np.empty(v.shape, np.float32)
    for y in range(4):
        line[:] = 0
        for x in range(4):
            index = (row + (y - 1)) * width + (column + (x - 1))
            for plane, sums in zip(planes, line, strict=True):
                np.take(plane, index, out=tap, mode="clip")  # the fast one; all are inside
                tap *= across[x]
                sums += tap
        line *= down[y]
        out += line
    return out.transpose(1, 2, 0)


def _weights(t: NDArray[np.float64]) -> NDArray[np.float32]:
    """``(4, …)`` weights of the pixels at -1, 0, 1, 2 for a place at ``t`` (Keys 1981)."""
    t = t.astype(np.float32)
    square = t * t
    cube = square * t
    return np.stack(
        [
            -0.5 * cube + square - 0.5 * t,
            1.5 * cube - 2.5 * square + 1,
            -1.5 * cube + 2 * square + 0.5 * t,
            0.5 * cube - 0.5 * square,
        ]
    )
