"""How noisy and how JPEG-damaged a picture is, to choose the default fidelity.

The faithful network reproduces noise and block edges as conscientiously as everything else;
the generative ones were trained to remove them. So the more damaged the input, the less
the faithful network should have to say. Measured on four photographs (bench/fidelity.py):
at noise of σ = 15 a share of 0.25 scores higher than 0.5, and to the eye blocks and noise
are gone at 0.1, while clean pictures score best at 0.5 and above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP, CROPS = 256, 3
"""Side of the squares looked at, and how many there are along each side of the picture."""

_STEP = 0.1
"""Fidelities are rounded to this, so that compiled networks are found in the cache again."""


@dataclass(frozen=True)
class Damage:
    """What was measured.

    Attributes:
        noise: standard deviation in levels of 255, in the quieter parts of the picture.
            Clean photographs measure below 1, noise of σ = 4, 8, 15 about 2, 4, 7.
        blocking: share of pixels along an 8 × 8 grid with an edge there, beyond elsewhere.
            Below 0.04 for uncompressed pictures and JPEG quality 95, 0.1 … 0.2 at quality
            80, 0.3 … 0.5 at 20.
    """

    noise: float
    blocking: float

    @property
    def degree(self) -> float:
        """From 0, clean, to 1, badly damaged."""
        noise, blocking = (self.noise - 1.5) / 4, (self.blocking - 0.06) / 0.25
        return float(np.clip(max(noise, blocking), 0, 1))


def adapted_fidelity(default: float, pixels: NDArray[Any]) -> float:
    """The default fidelity of a model, lowered by how damaged ``pixels`` are."""
    lowered = default * (1 - 0.8 * measure(pixels).degree)
    return default if default in (0.0, 1.0) else round(round(lowered / _STEP) * _STEP, 6)


def measure(pixels: NDArray[Any]) -> Damage:
    """Look at a few squares of a picture.

    Args:
        pixels: ``(h, w, c)`` uint8, uint16 or float32, see ``superres.imageio.Pixels``.
    """
    factor = {"uint8": 1.0, "uint16": 255 / 65535}.get(pixels.dtype.name, 255.0)
    height, width, channels = pixels.shape
    colours = channels - 1 if channels in (2, 4) else channels
    noises: list[float] = []
    edges = np.zeros((2, 8))
    for y in _starts(height):
        for x in _starts(width):
            crop = np.asarray(pixels[y : y + CROP, x : x + CROP, :colours], np.float32)
            grey = crop.mean(2) * np.float32(factor)
            noises += _noise(grey)
            edges += np.stack([_edges(grey), _edges(grey.T)])
    shares = edges / max(1, len(_starts(height)) * len(_starts(width)))
    # A picture cut from a JPEG has its grid anywhere, but both axes must show one.
    excess = shares.max(1) - (shares.sum(1) - shares.max(1)) / 7
    return Damage(float(np.median(noises)) if noises else 0.0, float(excess.min()))


def _starts(length: int) -> list[int]:
    """First pixels of the squares along one side; multiples of 8, to keep the grid in phase."""
    if length <= CROP:
        return [0]
    count = min(CROPS, length // CROP)
    return [int(s) // 8 * 8 for s in np.linspace(0, length - CROP, count)]


def _noise(grey: NDArray[np.float32]) -> list[float]:
    """Noise after Immerkær (1996), but of the quietest tenth of 8 × 8 blocks.

    Nothing if the crop is too small to tell.
    """
    if min(grey.shape) < 10:
        return []
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    both = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    h, w = both.shape[0] // 8, both.shape[1] // 8
    blocks = both[: h * 8, : w * 8].reshape(h, 8, w, 8).mean((1, 3))
    return [float(np.percentile(blocks, 10) * np.sqrt(np.pi / 2) / 6)]


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each of the 8 columns of the grid the share of pixels that are a lone step there."""
    steps = np.abs(np.diff(grey, axis=1))
    if steps.shape[1] < 24:
        return np.zeros(8)
    inner = steps[:, 1:-1]
    lone = inner - np.maximum(steps[:, :-2], steps[:, 2:]) > 0.5
    return np.array([lone[:, (k - 1) % 8 :: 8].mean() for k in range(8)])
