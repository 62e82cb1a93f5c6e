"""What a face is: where it is in a picture, and how it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Point = tuple[float, float]
Tier = Literal["unchanged", "enhanced", "restored"]
"""What was done to a face: nothing, tier 1 (the faithful network), tier 2 (a generative one)."""


@dataclass(frozen=True)
class Face:
    """A face that was found.

    Coordinates are pixels of the upright picture; (0, 0) is the corner of its first pixel.

    Attributes:
        x, y, width, height: its box; it may reach over the edges.
        score: how sure the detector is, 0…1, after looking twice.
        points: the five landmarks (x, y), in the order of the picture: left eye, right eye, nose,
            left and right corner of the mouth.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    points: tuple[Point, Point, Point, Point, Point]


@dataclass(frozen=True)
class FaceReport:
    """A face and what was done to it."""

    face: Face
    tier: Tier

    def as_record(self) -> dict[str, Any]:
        """For programs, the same wherever faces are told of: ``{box, score, tier}``.

        The box has x, y, width and height, in pixels of the upright source.
        """
        box = {name: round(getattr(self.face, name), 1) for name in ("x", "y", "width", "height")}
        return {"box": box, "score": round(self.face.score, 3), "tier": self.tier}
