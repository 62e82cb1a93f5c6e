"""Cut a picture into tiles: pure data, made before anything runs.

Every tile of a plan has the same window size, so that an engine compiles one shape.
Windows lie inside the picture: at its edges networks see the zeros of their convolutions,
as they did in training (mirrored pixels there cost SPAN 0.05 dB on Set5). Only a picture
smaller than ``MIN_WINDOW`` is continued, mirrored, and one whose sides a network cannot take
(``Policy.multiple``). Neighbouring windows overlap; in
the overlap the seam is either hard (a pixel comes from one tile, far enough from its
border to be what the whole picture would give) or soft (a linear ramp blends the two, for
networks whose field of view no sensible overlap can hold).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

MIN_WINDOW = 16
"""Smallest side of a window, in pixels."""


@dataclass(frozen=True)
class Policy:
    """How a model wants to be tiled; everything in input pixels.

    Attributes:
        context: what a tile must see around its own pixels.
        ramp: width of the soft seam; 0 for a hard one.
        max_area: largest window, in pixels, that runs at full speed and fits in memory.
        quantum: window sides are multiples of it, so that compiled shapes are reused, unless
            one window holds the whole side.
        multiple: that window sides have to be of, always: the last ones may stick out of the
            picture, which goes on mirrored there.
        minimum: least side of a window.
        whole: one window holds the picture.
    """

    context: int
    ramp: int = 0
    max_area: int = 512 * 512
    quantum: int = 16
    multiple: int = 1
    minimum: int = 1
    whole: bool = False

    @property
    def overlap(self) -> int:
        """Least overlap of neighbouring windows."""
        return 2 * self.context + self.ramp


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in picture coordinates.

    Attributes:
        start: first pixel of the window.
        lo, hi: the tile contributes to pixels lo ≤ i < hi of the picture.
        ramp_in, ramp_out: how many of those, from lo and before hi, are shared with the
            tile before and after.
    """

    start: int
    lo: int
    hi: int
    ramp_in: int = 0
    ramp_out: int = 0


@dataclass(frozen=True)
class Tile:
    """One window: ``y`` and ``x`` say where it lies and what it contributes."""

    y: Span
    x: Span


@dataclass(frozen=True)
class Plan:
    """All tiles of one pass over one picture.

    Attributes:
        height, width: of the picture.
        window: height and width of every window.
        rows, columns: the tiles are their product.
    """

    height: int
    width: int
    window: tuple[int, int]
    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def tiles(self) -> Iterator[Tile]:
        """Row by row, left to right."""
        return (Tile(y, x) for y in self.rows for x in self.columns)

    @property
    def cost(self) -> int:
        """Pixels that go through the network."""
        return len(self) * self.window[0] * self.window[1]


def make_plan(height: int, width: int, policy: Policy, streams: int = 1) -> Plan:
    """Choose the tiles of a ``height × width`` picture.

    Of all grids whose windows fit ``policy.max_area`` the one is taken that finishes first
    when ``streams`` tiles run at a time.

    Raises:
        ValueError: a side smaller than 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"A plan needs at least 1×1 pixels, not {width}×{height}.")
    best: tuple[int, int] | None = None
    best_cost: tuple[int, int] | None = None
    row_counts, column_counts = _counts(height, policy), _counts(width, policy)
    column_windows = [(columns, _window(width, columns, policy)) for columns in column_counts]
    for rows in row_counts:
        window_h = _window(height, rows, policy)
        for columns, window_w in column_windows:
            area = window_h * window_w
            least = rows == row_counts[-1] and columns == column_counts[-1]
            if area > policy.max_area and not least:
                continue
            rounds = -(-rows * columns // streams)
            cost = (rounds * area, rows * columns)
            if best_cost is None or cost < best_cost:
                best, best_cost = (rows, columns), cost
    assert best is not None
    window = _window(height, best[0], policy), _window(width, best[1], policy)
    return Plan(
        height,
        width,
        window,
        _spans(height, best[0], window[0], policy),
        _spans(width, best[1], window[1], policy),
    )


def _counts(length: int, policy: Policy) -> list[int]:
    """Reasonable numbers of tiles along an axis.

    Tiles are so far apart that only two share a pixel and that each has pixels of its own
    inside the picture.
    """
    apart = max(policy.ramp, 1)
    smallest = policy.overlap + max(policy.quantum, policy.context)
    most = max(1, (length - policy.overlap) // (smallest - policy.overlap))
    if policy.whole:
        most = 1
    counts = [1]
    for count in range(2, most + 1):
        slack = length - _window(length, count, policy)
        if slack // (count - 1) >= apart:
            counts.append(count)
    return counts


def _window(length: int, count: int, policy: Policy) -> int:
    needed = -(-(length + (count - 1) * policy.overlap) // count)
    quantum = math.lcm(policy.quantum, policy.multiple)
    rounded = -(-needed // quantum) * quantum
    least = max(MIN_WINDOW, policy.minimum, min(rounded, length))
    return -(-least // policy.multiple) * policy.multiple


def _spans(length: int, count: int, window: int, policy: Policy) -> tuple[Span, ...]:
    slack = max(0, length - window)
    starts = [i * slack // max(1, count - 1) for i in range(count)]
    # A seam's middle is half-way between the borders of the two windows it joins.
    seams = [(starts[i] + window + starts[i + 1]) // 2 for i in range(count - 1)]
    before, after = policy.ramp // 2, policy.ramp - policy.ramp // 2
    spans = []
    for i in range(count):
        lo = seams[i - 1] - before if i else 0
        hi = seams[i] + after if i < count - 1 else length
        spans.append(
            Span(starts[i], lo, hi, policy.ramp if i else 0, policy.ramp if i < count - 1 else 0)
        )
    return tuple(spans)
