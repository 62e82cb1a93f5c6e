"""Where a face is: a soft oval around it, as a mask that is a function of place alone.

The oval stands on the detector's box, not on the landmarks: one that is fitted to the five
points slides off faces seen from the side. It reaches from above the hair line to below the
chin and to the ears; the hair beyond it stays the chosen model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superres.faces.face import Face

ACROSS, ALONG, UP = 0.62, 0.80, 0.06
"""Semi-axes across and along the face, and how far the centre lies above the box's, in
multiples of the box's mean side √(width · height)."""

FEATHER = 0.3
"""Over this many radii outside the oval the mask falls from 1 to 0."""

_SHORTEST = 0.15
"""Least distance of eyes and mouth, in mean sides, that tells which way is up."""


@dataclass(frozen=True)
class Oval:
    """An ellipse in pixels of the upright source; (0, 0) is the corner of its first pixel.

    Attributes:
        x, y: its centre.
        up: unit vector (x, y) from chin to forehead.
        across, along: semi-axes at right angles to ``up`` and along it.
    """

    x: float
    y: float
    up: tuple[float, float]
    across: float
    along: float

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the mask touches."""
        up_x, up_y = self.up
        reach = 1 + FEATHER
        half_x = reach * math.hypot(self.across * up_y, self.along * up_x)
        half_y = reach * math.hypot(self.across * up_x, self.along * up_y)
        return self.x - half_x, self.y - half_y, self.x + half_x, self.y + half_y

    @property
    def area(self) -> float:
        """Pixels that the mask touches, were the picture large enough."""
        return math.pi * self.across * self.along * (1 + FEATHER) ** 2


@dataclass(frozen=True)
class Region:
    """A rectangle of the source and the faces in it whose ovals overlap.

    Attributes:
        top, left, bottom, right: inside the picture, the last two exclusive.
        faces: which, as positions in the sequence that :func:`regions` was given.
    """

    top: int
    left: int
    bottom: int
    right: int
    faces: tuple[int, ...]


def oval(face: Face) -> Oval:
    """The oval of ``face``, turned as its eyes and mouth say, upright if they cannot tell."""
    side = math.sqrt(face.width * face.height)
    left_eye, right_eye, _, left_mouth, right_mouth = face.points
    up_x = (left_eye[0] + right_eye[0] - left_mouth[0] - right_mouth[0]) / 2
    up_y = (left_eye[1] + right_eye[1] - left_mouth[1] - right_mouth[1]) / 2
    length = math.hypot(up_x, up_y)
    up = (up_x / length, up_y / length) if length > _SHORTEST * side else (0.0, -1.0)
    return Oval(
        face.x + face.width / 2 + UP * side * up[0],
        face.y + face.height / 2 + UP * side * up[1],
        up,
        ACROSS * side,
        ALONG * side,
    )


def mask(
    ovals: Iterable[Oval], top: int, left: int, height: int, width: int, scale: int
) -> NDArray[np.float32]:
    """How much of a window belongs to faces; where ovals overlap, the larger counts.

    A function of each pixel's place alone, so that windows need share nothing.

    Args:
        ovals: in source pixels.
        top, left, height, width: the window, in pixels of the picture ``scale`` times as large.
        scale: of that picture.

    Returns:
        ``(height, width)``, 1 inside an oval, 0 from ``FEATHER`` radii outside on, smooth between.
    """
    y = ((top + np.arange(height)) + 0.5) / scale
    x = ((left + np.arange(width)) + 0.5) / scale
    found = np.zeros((height, width), np.float32)
    for each in ovals:
        up_x, up_y = each.up
        dx, dy = (x - each.x)[None, :], (y - each.y)[:, None]
        radius = np.hypot(
            (dy * up_x - dx * up_y) / each.across, (dx * up_x + dy * up_y) / each.along
        )
        t = np.clip((1 + FEATHER - radius) / FEATHER, 0, 1)
        np.maximum(found, (t * t * (3 - 2 * t)).astype(np.float32), out=found)
    return found


def regions(ovals: Sequence[Oval], height: int, width: int) -> tuple[Region, ...]:
    """Rectangles that hold all ovals of a picture of ``height × width``, none touching another.

    Ovals whose rectangles meet share one: a face blended in after its neighbour would be
    blended with what that left. Ovals outside the picture have none.
    """
    found: list[Region] = []
    for number, each in enumerate(ovals):
        left, top, right, bottom = each.bounds
        region = Region(
            max(0, math.floor(top)),
            max(0, math.floor(left)),
            min(height, math.ceil(bottom)),
            min(width, math.ceil(right)),
            (number,),
        )
        if region.top >= region.bottom or region.left >= region.right:
            continue
        # What it takes in makes it larger, and may make it meet another.
        while met := [other for other in found if _meet(region, other)]:
            found = [other for other in found if other not in met]
            for other in met:
                region = _joined(region, other)
        found.append(region)
    return tuple(found)


def _meet(a: Region, b: Region) -> bool:
    return a.top < b.bottom and b.top < a.bottom and a.left < b.right and b.left < a.right


def _joined(a: Region, b: Region) -> Region:
    return Region(
        min(a.top, b.top),
        min(a.left, b.left),
        max(a.bottom, b.bottom),
        max(a.right, b.right),
        tuple(sorted((*a.faces, *b.faces))),
    )
