"""Find the faces of a picture.

A first look goes over the whole picture and copies of it 4, 16 … times smaller, in windows, and
takes whatever might be a face. No threshold of its scores is right: one that lets no dog, dandelion
or seat pass loses every fifth face. So each candidate is looked at again by itself, turned upright
and enlarged or reduced to a size that the network knows well: two to four times to place the five
points, and three times, at sizes far apart, to decide. A dog that passes for a face when large
does not when small.

The network draws the points of a face that leans as if it leant less: they tell of about half the
angle that is left. So each placing look turns twice as far as the one before saw, until little is
left. Against points that people set, this takes a quarter (faces of 40 pixels) to a half (20) off
the error where faces are upright, and two thirds where they lean by 30 degrees.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.engines.cache import CompiledCache
from superres.engines.network import Network
from superres.faces.align import TEMPLATE, Matrix, apply, around, glance, similarity
from superres.faces.face import Face
from superres.faces.levels import FACTOR, colour, levels
from superres.faces.yunet import COLUMNS, decode, program
from superres.imageio import release_pages

MOST = 10
"""Faces reported of one picture, unless somebody asks for more."""

THRESHOLD = 0.865
"""Least mean score of the deciding looks. Chosen on 27 pictures with 105 faces at seven sizes and
on 44 without at three: 498 of 500 faces of 24 pixels and more are above, a dog's head is the
highest of what is no face, with 0.854 (0.857 if shown at 22 sizes). On pictures that anybody can
have (bench/faces.py) 229 of 231 are above, and nothing that is no face has 0.8."""

LEAST_SIZE = 16.0
"""Smaller faces, in pixels (root of width · height), are not looked for."""

WINDOW, LOOK = 640, 256
"""Sides of the squares that the network is loaded for: first look, later looks."""

OVERLAP = 160
"""Of neighbouring windows. A face larger than this is left to the next level."""

_CANDIDATE = 0.6
"""Least score of the first look. 99.8 % of the faces of 24 pixels and more have it."""

_SLACK = 16
"""Pixels by which the parts of a picture that windows answer for reach into each other."""

_PER_WINDOW = 400
"""Candidates kept of one window, which has room for so many faces of the least size."""

_MOST_CANDIDATES = 4096
"""Candidates of a picture that are told apart, the largest and surest: that takes time as their
square, and a picture may be tiled with faces by the ten thousand."""

_LOOKED_AT = 3
"""Candidates looked at again for each face asked for: no picture may take for ever."""

_PLACING, _DECIDING = 96, (160, 128, 48)
"""Sizes, in pixels, that a candidate is brought to for the later looks. Of all means of up to three
of seven sizes the one that parts faces from others best."""

_LEAST_PLACED, _MOST_PLACED = 2, 4
"""Placing looks at least and at most."""

_TURN = 2.0
"""How much further a face leans than its points tell."""

_LEVEL = np.deg2rad(4)
"""A face that seems to lean less needs no further placing look."""

_FAINT = 0.05
"""Least score of a later look: what it sees must lie where it was expected instead."""

_NEAR = 0.35
"""How far from the middle, in face sizes, a placing look may find the face."""

_EXPECTED = (0.86, 1.16)
"""Width and height of a box in face sizes; the deciding looks expect one of these."""

_SAME = 0.4
"""Overlap (intersection over union) with that from which on it counts as found."""

_OVERLAP, _CONTAINED = 0.3, 0.7
"""Boxes are of the same face from this intersection over union, or over the smaller, on."""

_Rows = NDArray[np.float64]
"""Candidates: see :func:`superres.faces.yunet.decode`, in pixels of the picture."""


class Detector:
    """Finds faces. Thread-safe; the network is loaded when first needed.

    Args:
        cache: where its compilations are kept; None compiles in every process.
        threads: processors to use; 0 takes all this process may use.
    """

    def __init__(self, cache: CompiledCache | None = None, *, threads: int = 0) -> None:
        self._cache, self._threads = cache, threads
        self._networks: dict[int, Network] = {}
        self._lock = threading.Lock()

    def find(
        self,
        pixels: NDArray[Any],
        *,
        most: int = MOST,
        threshold: float = THRESHOLD,
        check: Callable[[], None] | None = None,
    ) -> tuple[Face, ...]:
        """The faces of a picture.

        Needs about 100 MB, and 1/5 byte per pixel, beside the picture itself.

        Args:
            pixels: ``(h, w, c)``, upright, see :data:`superres.imageio.Pixels`; may be mapped.
                What is transparent is not seen.
            most: faces at most, chosen by size and score.
            threshold: least score, 0…1.
            check: called between looks; what it raises stops the work.

        Returns:
            Largest first. The same pixels give the same faces.

        Raises:
            EngineError: the network cannot be loaded or run; WeightsMissing among them.
        """
        if most < 1:
            return ()
        check = check or _unasked
        scaled = levels(pixels)
        rows = self._candidates(scaled, check)
        order = np.lexsort((rows[:, 0], rows[:, 1], -_sizes(rows) * rows[:, 14]))
        found = np.empty((0, COLUMNS))
        for row in rows[order[: most * _LOOKED_AT]]:
            check()
            row, angle = self._placed(scaled, row)
            if _same(row, found).any():
                continue
            row[14] = self._decided(scaled, row, angle, threshold)
            if row[14] >= threshold and not _hidden(pixels, row):
                found = np.vstack([found, row])
            if len(found) == most:
                break
        release_pages(pixels)
        largest = np.lexsort((found[:, 0], found[:, 1], -_sizes(found)))
        return tuple(_face(row) for row in found[largest])

    def _candidates(self, scaled: list[NDArray[Any]], check: Callable[[], None]) -> _Rows:
        """The first look at all levels."""
        found = []
        for depth, level in enumerate(scaled):
            rows = self._windows(level, check)
            rows[:, :14] *= FACTOR**depth
            found.append(rows)
        rows = np.concatenate(found)
        rows = rows[_sizes(rows) >= LEAST_SIZE]
        if len(rows) > _MOST_CANDIDATES:
            rows = rows[np.lexsort((rows[:, 0], rows[:, 1], -_sizes(rows) * rows[:, 14]))]
        return _distinct(rows[:_MOST_CANDIDATES])

    def _windows(self, level: NDArray[Any], check: Callable[[], None]) -> _Rows:
        """The first look at one level, in its own pixels."""
        height, width = level.shape[:2]
        side = LOOK if max(height, width) <= LOOK else WINDOW
        found = [np.empty((0, COLUMNS))]
        for y in _starts(height, side):
            for x in _starts(width, side):
                check()
                seen = np.zeros((side, side, 3), np.float32)
                part = colour(level[y : y + side, x : x + side])
                seen[: part.shape[0], : part.shape[1]] = part
                rows = self._look(seen, _CANDIDATE)
                rows = rows[np.argsort(-rows[:, 14], kind="stable")[:_PER_WINDOW]]
                rows[:, 0] += x
                rows[:, 1] += y
                rows[:, 4:14:2] += x
                rows[:, 5:14:2] += y
                whole = _answered(rows, 0, x, side, width) & _answered(rows, 1, y, side, height)
                if max(height, width) > side:
                    whole &= _sizes(rows) <= OVERLAP
                found.append(rows[whole])
            release_pages(level)
        return np.concatenate(found)

    def _placed(self, scaled: list[NDArray[Any]], row: _Rows) -> tuple[_Rows, float]:
        """``row`` as upright looks see it, and how it leans; as it was if they see nothing."""
        angle = _TURN * _leaning(row)
        for number in range(1, _MOST_PLACED + 1):
            window, size = _upright(row, angle, _PLACING), _size(row)
            rows = self._look(_seen(scaled, window), _FAINT)
            away = np.hypot(*(rows[:, :2] + rows[:, 2:4] / 2 - LOOK / 2).T)
            rows = rows[away < _NEAR * _PLACING]
            if not len(rows):
                break
            best = rows[np.argmax(rows[:, 14])]
            row = best.copy()
            row[2:4] = best[2:4] * (size / _PLACING)
            row[:2] = apply(window, best[:2] + best[2:4] / 2) - row[2:4] / 2
            row[4:14] = apply(window, best[4:14].reshape(5, 2)).ravel()
            left = _TURN * _leaning(best)
            angle += left
            if number >= _LEAST_PLACED and abs(left) < _LEVEL:
                break
        return row, angle

    def _decided(
        self, scaled: list[NDArray[Any]], row: _Rows, angle: float, threshold: float
    ) -> float:
        """The mean score of upright looks; less than it if ``threshold`` is out of reach."""
        total = 0.0
        for number, size in enumerate(_DECIDING):
            rows = self._look(_seen(scaled, _upright(row, angle, size)), _FAINT)
            shape = np.array(_EXPECTED) * size
            expected = np.concatenate([LOOK / 2 - shape / 2, shape])
            there = rows[_overlaps(expected, rows)[0] > _SAME, 14]
            total += float(there.max()) if len(there) else 0.0
            if (total + len(_DECIDING) - 1 - number) / len(_DECIDING) < threshold:
                break
        return total / len(_DECIDING)

    def _look(self, seen: NDArray[np.float32], least: float) -> _Rows:
        """What the network finds in a square of colour."""
        side = len(seen)
        image = np.ascontiguousarray(seen[..., ::-1].transpose(2, 0, 1)[None])
        return decode(self._network(side)(image), side, least)

    def _network(self, side: int) -> Network:
        with self._lock:
            if side not in self._networks:
                from superres.engines.openvino import load_network

                self._networks[side] = load_network(program(side), self._cache, self._threads)
            return self._networks[side]


def _unasked() -> None:
    pass


def _starts(length: int, side: int) -> list[int]:
    """Where windows of ``side`` begin along an axis; the last ends with it."""
    if length <= side:
        return [0]
    count = -(-(length - OVERLAP) // (side - OVERLAP))
    return [round(number * (length - side) / (count - 1)) for number in range(count)]


def _answered(rows: _Rows, axis: int, start: int, side: int, length: int) -> NDArray[np.bool_]:
    """Which candidates lie where this window sees them whole, along one axis."""
    middle = rows[:, axis] + rows[:, axis + 2] / 2
    margin = OVERLAP / 2 - _SLACK
    low = -np.inf if start == 0 else start + margin
    high = np.inf if start + side >= length else start + side - margin
    return (middle >= low) & (middle < high)


def _sizes(rows: _Rows) -> _Rows:
    return np.sqrt(rows[:, 2] * rows[:, 3])


def _overlaps(box: _Rows, rows: _Rows) -> tuple[_Rows, _Rows]:
    """Intersection of a box with others, over their union and over the smaller."""
    low = np.maximum(box[:2], rows[:, :2])
    high = np.minimum(box[:2] + box[2:4], rows[:, :2] + rows[:, 2:4])
    both = np.maximum(high - low, 0).prod(1)
    one, others = box[2] * box[3], rows[:, 2] * rows[:, 3]
    return both / (one + others - both), both / np.minimum(one, others)


def _same(row: _Rows, rows: _Rows) -> NDArray[np.bool_]:
    over_union, over_smaller = _overlaps(row, rows)
    return (over_union > _OVERLAP) | (over_smaller > _CONTAINED)


def _distinct(rows: _Rows) -> _Rows:
    """The best candidate of each face."""
    rows = rows[np.lexsort((rows[:, 0], rows[:, 1], -rows[:, 14]))]
    boxes, kept, left = rows[:, :4].copy(), [], np.arange(len(rows))
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        left = left[~_same(boxes[first], boxes[left])]
    return rows[kept]


def _size(row: _Rows) -> float:
    return float(np.sqrt(row[2] * row[3]))


def _leaning(row: _Rows) -> float:
    """The angle of the five points against the template's, in radians."""
    matrix = similarity(TEMPLATE, row[4:14].reshape(5, 2))
    return float(np.arctan2(matrix[1, 0], matrix[0, 0]))


def _upright(row: _Rows, angle: float, size: int) -> Matrix:
    """From a look's window to the picture: the face in the middle, level, ``size`` pixels large."""
    x, y = row[:2] + row[2:4] / 2
    return around((x, y), angle, _size(row) / size, LOOK)


def _seen(scaled: list[NDArray[Any]], window: Matrix) -> NDArray[np.float32]:
    """The colour in a look's window, of the level that is nearest above it in size."""
    scale, depth = float(np.hypot(*window[:, 0])), 0
    while depth + 1 < len(scaled) and scale >= FACTOR:
        scale, depth = scale / FACTOR, depth + 1
    return np.clip(glance(scaled[depth], window / FACTOR**depth, LOOK, colour), 0, 255)


def _hidden(pixels: NDArray[Any], row: _Rows) -> bool:
    """Whether a face is transparent for the most part."""
    if pixels.shape[2] not in (2, 4):
        return False
    ends = np.rint([row[:2], row[:2] + row[2:4]]).astype(int)
    (left, top), (right, bottom) = np.clip(ends, 0, pixels.shape[1::-1])
    step = max(1, int(_size(row)) // 64)
    alpha = pixels[top:bottom:step, left:right:step, -1]
    opaque = {"uint8": 255.0, "uint16": 65535.0}.get(pixels.dtype.name, 1.0)
    return not alpha.size or float(alpha.mean(dtype=np.float64)) < opaque / 2


def _face(row: _Rows) -> Face:
    x, y, width, height = (float(value) for value in row[:4])
    first, second, third, fourth, fifth = ((float(u), float(v)) for u, v in row[4:14].reshape(5, 2))
    return Face(x, y, width, height, float(row[14]), (first, second, third, fourth, fifth))
