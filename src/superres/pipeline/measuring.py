"""Find out by running it how a network wants to be run: its scale, its sizes, its context.

A tile is as good as the whole picture where what lies beyond its border does not reach. How far
that is, is measured: the same pixels are computed within a large picture and within a part of it,
and the difference is followed inwards from the part's border. For the networks that come along
this gives what their authors' and our own measurements gave.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superres.errors import BadParameter, EngineError, OutOfMemory
from superres.models.added import SCALES

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Computes a network: ``(1, 3, h, w)`` RGB in [0, 1] to the same, enlarged."""

EXACT = 1 / 255
"""Largest difference that a hard seam may have: a level."""

SOFT = 5 / 255
"""Mean difference up to which a ramp hides a seam."""

GLOBAL = 4 / 255
"""Mean difference far inside from which on a network has to see the picture whole."""

BRIGHT = 2.5 / 255
"""The same where all around turns white: means and maxima over a picture differ little between
a part of a texture and its whole, and a lot between a tile of ground and a tile of sky."""

RAMP = 16
"""Width of soft seams, in pixels."""

_DEEPEST_EXACT, _DEEPEST, _FAR = 24, 44, 24
_WHOLE, _PART, _AT = (176, 192), 96, (37, 51)
_SIDES = (61, 71)
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Measured:
    """How a network wants to be run; see :class:`superres.models.ModelDescriptor`."""

    scale: int
    multiple: int
    context: int
    ramp: int
    whole: bool


def texture(height: int, width: int, seed: int = 5) -> NDArray[np.float32]:
    """A picture to look at networks with: soft shades, grain and sharp edges in all colours.

    Returns:
        ``(1, 3, height, width)`` in [0.05, 0.95].
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.zeros((3, height, width))
    strength = 1.0
    for cells in (3, 7, 15, 31, 63):
        lattice = rng.random((3, cells + 2, cells + 2))
        at_y, at_x = np.linspace(0, cells, height), np.linspace(0, cells, width)
        iy, ix = at_y.astype(int), at_x.astype(int)
        fy, fx = at_y - iy, at_x - ix
        fy, fx = fy * fy * (3 - 2 * fy), fx * fx * (3 - 2 * fx)
        rows = lattice[:, iy] * (1 - fy)[:, None] + lattice[:, iy + 1] * fy[:, None]
        picture += strength * (rows[..., ix] * (1 - fx) + rows[..., ix + 1] * fx)
        strength *= 0.55
    picture = (picture - picture.min()) / (picture.max() - picture.min())
    for _ in range(12):
        middle_y, middle_x, radius = rng.random() * height, rng.random() * width, rng.uniform(6, 28)
        disc = (y - middle_y) ** 2 + (x - middle_x) ** 2 < radius**2
        picture[:, disc] = 0.3 * picture[:, disc] + 0.7 * rng.random((3, 1))
    return np.asarray((0.05 + 0.9 * picture)[None], np.float32)


def measure(run: Run, *, multiple: int = 0, minimum: int = 1, tiles: bool = True) -> Measured:
    """Run a network a few times, and see.

    Args:
        run: computes it.
        multiple: that sides of pictures must be of, if that is known; 0: it is found out.
        minimum: least side of a picture.
        tiles: False if it is known that it takes no tiles.

    Raises:
        BadParameter: it cannot be used; the sentence says why.
        OutOfMemory: the network does not fit.
    """
    multiple, scale = _sizes(run, (multiple,) if multiple else _MULTIPLES, minimum)
    if not tiles:
        return Measured(scale, multiple, 0, 0, True)
    worst, mean, bright = _seam(run, multiple, minimum, scale)
    if bright > BRIGHT:
        return Measured(scale, multiple, 0, 0, True)
    for depth in range(0, _DEEPEST_EXACT + 1, 4):
        if worst[depth:].max() <= EXACT:
            return Measured(scale, multiple, depth + 4, 0, False)
    if mean[-1] > GLOBAL:
        return Measured(scale, multiple, 0, 0, True)
    context = next((c for c in (8, 16, 24) if mean[c : c + 4].mean() <= SOFT), 32)
    return Measured(scale, multiple, context, RAMP, False)


def _sizes(run: Run, multiples: tuple[int, ...], minimum: int) -> tuple[int, int]:
    """The least multiple whose sizes it takes, and its scale."""
    problem = ""
    for multiple in multiples:
        # Odd multiples: what takes them takes all. Not square, for mixed-up sides to show.
        height, width = (
            multiple * (-(-max(side, minimum) // multiple) // 2 * 2 + 1) for side in _SIDES
        )
        image = texture(height, width)
        try:
            out = run(image)
        except OutOfMemory:
            raise
        except EngineError as exc:
            problem = exc.public_message
            continue
        if out.ndim != 4 or out.shape[:2] != (1, 3):
            raise BadParameter(
                f"The network gives {' × '.join(map(str, out.shape))} values for a picture; one "
                "picture of 3 channels is what can be used."
            )
        scale = out.shape[2] / height
        if scale == out.shape[3] / width and scale == int(scale):
            if int(scale) not in SCALES:
                raise BadParameter(
                    f"The network enlarges ×{scale:g}; ×{', ×'.join(map(str, SCALES))} are what "
                    "can be used."
                )
            return multiple, int(scale)
        problem = (
            f"it makes {out.shape[3]} × {out.shape[2]} of {width} × {height} pixels, which is no "
            "whole multiple"
        )
    raise BadParameter(
        f"The network does not run at different sizes of pictures ({problem}); if it was exported "
        "for one size, export it again with height and width left open."
    )


def _seam(
    run: Run, multiple: int, minimum: int, scale: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Largest and mean difference between part and whole at 0…44 pixels from the part's border.

    And the mean far inside between the whole and one that is white all around the part.
    """

    def rounded(side: int) -> int:
        return -(-max(side, minimum) // multiple) * multiple

    side = rounded(_PART)
    height, width = (
        rounded(max(length, side + 2 * at)) for length, at in zip(_WHOLE, _AT, strict=True)
    )
    picture = texture(height, width)
    y, x = _AT
    inside = np.s_[:, :, y : y + side, x : x + side]
    within = np.s_[:, :, y * scale : (y + side) * scale, x * scale : (x + side) * scale]

    def differing(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = np.abs(one - other).max((0, 1)).reshape(side, scale, side, scale)
        return np.asarray(blocks.max((1, 3)), np.float32)

    whole = run(picture)[within]
    part = np.ascontiguousarray(picture[inside])
    difference = differing(run(part), whole)
    white = np.ones_like(picture)
    white[inside] = part
    bright = differing(run(white)[within], whole)
    along = np.minimum(np.arange(side), np.arange(side)[::-1])
    depth = np.minimum(along[:, None], along[None])
    depths = range(min(_DEEPEST, side // 2))
    worst = np.array([difference[depth == at].max() for at in depths], np.float32)
    mean = np.array([difference[depth == at].mean() for at in depths], np.float32)
    far = float(bright[depth >= min(_FAR, side // 4)].mean())
    return np.nan_to_num(worst, nan=math.inf), np.nan_to_num(mean, nan=math.inf), far
