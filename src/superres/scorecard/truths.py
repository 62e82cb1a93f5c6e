"""The ground truth: parts of high-resolution photographs, read and never written."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from superres.errors import ImageTooSmall
from superres.imageio import Limits, Pixels, Scratch, decode
from superres.scorecard.degrade import as_rgb
from superres.scorecard.resample import Photo, resample

LEAST = 96
"""A truth's sides at least: less holds nothing to measure."""
MULTIPLE = 4


@dataclass(frozen=True)
class Source:
    """One photograph to measure on.

    Attributes:
        name: what tables call it.
        path: of its file.
        credit: who made it and under what licence, if that is known.
        reduce: whole number that it is reduced by first.
        focus: left and top, 0…1, of the part taken where it is too large; None: the most detailed.
    """

    name: str
    path: Path
    credit: str = ""
    reduce: int = 1
    focus: tuple[float, float] | None = None


@dataclass(frozen=True)
class Truth:
    """What results are compared with.

    Attributes:
        pixels: uint8 ``(h, w, 3)``, sides multiples of 4.
        sha256: of the file it comes from.
        box: left, top, width, height of the part that was taken, in the file's pixels.
    """

    name: str
    pixels: Photo
    sha256: str
    box: tuple[int, int, int, int]
    credit: str = ""
    reduce: int = 1


def sources(paths: Iterable[Path], reduce: int = 1) -> list[Source]:
    """Sources of a person's own files; equal names are told apart by their folder."""
    paths = list(paths)
    stems = [path.stem for path in paths]
    names = [p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}/{p.name}" for p in paths]
    return [Source(name, path, reduce=reduce) for name, path in zip(names, paths, strict=True)]


def read_truth(source: Source, side: int, limits: Limits | None = None) -> Truth:
    """Read a photograph, or the part of it that is measured.

    Args:
        source: which.
        side: longest side of the truth in pixels. Of a larger photograph one part of that
            size is taken: the most detailed of nine, unless the source says which.
        limits: see :class:`superres.imageio.Limits`.

    Raises:
        InputError: it cannot be read, or is too small to be measured.
    """
    with Scratch() as scratch:
        picture = decode(source.path, limits or Limits(), scratch, first_frame=True)
        pixels = picture.pixels
        height, width = pixels.shape[:2]
        step = source.reduce * MULTIPLE
        h, w = (min(n, side * source.reduce) // step * step for n in (height, width))
        if min(h, w) < LEAST * source.reduce:
            raise ImageTooSmall(
                f"{width} x {height} is too small to measure on; both sides must be "
                f"{LEAST * source.reduce} pixels or more."
            )
        top, left = _place(pixels, h, w, source.focus)
        part = as_rgb(pixels[top : top + h, left : left + w])
    if source.reduce > 1:
        part = resample(part, h // source.reduce, w // source.reduce)
    with source.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    box = (left, top, w, h)
    return Truth(source.name, part, digest, box, source.credit, source.reduce)


def _place(
    pixels: Pixels, height: int, width: int, focus: tuple[float, float] | None
) -> tuple[int, int]:
    """Top and left of the part that is taken."""
    rooms = pixels.shape[0] - height, pixels.shape[1] - width
    if focus is not None:
        return min(round(focus[1] * pixels.shape[0]), rooms[0]), min(
            round(focus[0] * pixels.shape[1]), rooms[1]
        )
    places = [(y, x) for y in _thirds(rooms[0]) for x in _thirds(rooms[1])]
    if len(places) == 1:
        return places[0]

    def detail(place: tuple[int, int]) -> float:
        y, x = place
        return float(activity(as_rgb(pixels[y : y + height, x : x + width])).mean())

    return max(places, key=detail)


def _thirds(room: int) -> list[int]:
    return sorted({0, room // 2, room})


def activity(photo: Photo) -> NDArray[np.float32]:
    """How much goes on at each pixel: size of the green channel's gradient, capped.

    Capped, for one hard edge is less to look at than fine structure.
    """
    green = photo[..., 1].astype(np.float32)
    steps = np.abs(np.diff(green, axis=0))[:, :-1] + np.abs(np.diff(green, axis=1))[:-1]
    return np.asarray(np.minimum(steps, 40))
