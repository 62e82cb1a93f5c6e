"""A tile program that every engine can run, and what it must answer."""

from __future__ import annotations

import numpy as np

from superres.engines.base import TileProgram
from superres.models.graph import Branch, Guard, Head, compose_tile_graph
from tests.unit.models.toys import nearest

WINDOW = (32, 48)


def program(
    *,
    scale: int = 2,
    channels: int = 3,
    quantised: bool = True,
    guarded: bool = False,
    key: str = "",
) -> TileProgram:
    """Enlarges by repeating pixels, which is what the fake engine does too."""

    def build() -> bytes:
        branch = Branch(nearest(scale), scale, 1.0, Guard(0.2, 0.3))
        head = Head(scale, colour_lock=False, grey=channels == 1, quantise=quantised)
        return compose_tile_graph([branch], head, *WINDOW, guarded=guarded).SerializeToString()

    return TileProgram(
        key=f"nearest {scale} {channels} {quantised} {guarded} {key}",
        window=WINDOW,
        scale=scale,
        channels=channels,
        quantised=quantised,
        guarded=guarded,
        build=build,
    )


def tile(seed: int = 0) -> np.ndarray:
    """Random pixels for the window, ``(3, h, w)``."""
    return np.random.default_rng(seed).random((3, *WINDOW), np.float32)


def answer(image: np.ndarray, scale: int, channels: int = 3) -> np.ndarray:
    """What comes out, ``(H, W, c)`` float32."""
    pixels = image.transpose(1, 2, 0)
    if channels == 1:
        pixels = pixels.mean(2, keepdims=True)
    return pixels.repeat(scale, 0).repeat(scale, 1)
