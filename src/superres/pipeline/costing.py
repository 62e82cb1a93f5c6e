"""What a network that somebody brings would cost to run, and whether that can be afforded.

A small file can claim anything. All is told from shapes, before any of it is computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from superres.errors import BadParameter
from superres.models import fixed

MOST_MMAC = 1000.0
"""Million multiply-adds per pixel; the largest published networks take 100."""

MOST_LIVE = 1 << 15
"""Values alive at a time, per pixel; the largest published networks have 10,000."""

MOST_MADE = 1 << 22
"""Values made in all, per pixel; the largest network that comes along makes 80,000."""

MOST_NODES = 20_000
"""Operators on pixels; SwinIR's largest has 2,000."""

GROWTH = 1.5
"""Most that memory per pixel may grow by from small windows to larger ones."""


@dataclass(frozen=True)
class Cost:
    """Of one run, per pixel of the input: million multiply-adds, and values alive at a time."""

    mmac: float
    live: float


def cost(network: Any, side: int) -> Cost:
    """Of a network of ONNX on ``side × side`` pixels.

    Raises:
        BadParameter: it does not hold together, or takes too much.
    """
    try:
        found = fixed.fixed(network, side, side)
    except ValueError as exc:
        raise BadParameter(f"The network does not hold together: {str(exc)[:160]}.") from exc
    if found.output is None or None in found.shapes.values():
        raise BadParameter(
            "The network's sizes hang on what a picture shows; such networks are not run here."
        )
    pixels = side * side
    mmac = fixed.macs(found) / pixels / 1e6
    live, made = fixed.live_values(found) / pixels, fixed.made_values(found) / pixels
    if mmac > MOST_MMAC or live > MOST_LIVE:
        raise BadParameter(
            f"The network takes {mmac:,.0f} million multiply-adds and {live * 4:,.0f} bytes for "
            f"each pixel; {MOST_MMAC:,.0f} million and {MOST_LIVE * 4:,} are the most."
        )
    if made > MOST_MADE or len(found.model.graph.node) > MOST_NODES:
        raise BadParameter(
            f"The network has {len(found.model.graph.node):,} operators, which make {made:,.0f} "
            f"values for each pixel; {MOST_NODES:,} and {MOST_MADE:,} are the most."
        )
    return Cost(mmac, live)


def windows(network: Any, areas: tuple[int, ...], multiple: int, minimum: int) -> tuple[int, float]:
    """The largest windows that a network can be run in, and values alive per pixel there.

    Attention over all of a picture takes memory by the square of its pixels, and masks of window
    attention grow, too: what was found at a small size tells nothing of a large one.

    Args:
        network: of ONNX.
        areas: to choose from, the largest first; in pixels.
        multiple, minimum: of sides.

    Raises:
        BadParameter: it can be run in none of them.
    """

    def fit(side: int) -> int:
        return -(-max(side, minimum) // multiple) * multiple

    small = cost(network, fit(64)).live
    for area in areas:
        side = fit(int(area**0.5))
        try:
            live = cost(network, side).live
        except BadParameter:
            continue
        if live <= GROWTH * small:
            return area, max(live, small)
    raise BadParameter(
        "The network takes ever more memory for each pixel as pictures get larger, so it cannot be "
        "used here; one that works in windows can."
    )
