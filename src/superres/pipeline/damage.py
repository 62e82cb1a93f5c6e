"""How noisy and how JPEG-damaged a picture is, to choose the default fidelity.

The faithful network reproduces noise and block edges as conscientiously as everything else;
the generative ones were trained to remove them. So the more damaged the input, the less
the faithful network should have to say. Measured on four photographs (bench/fidelity.py):
at noise of σ = 15 a share of 0.25 scores higher than 0.5, and to the eye blocks and noise
are gone at 0.1, while clean pictures score best at 0.5 and above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CROP, CROPS = 256, 3
"""Side of the squares looked at, and how many there are along each side of the picture."""

PLAIN = 3.0
"""Noise that is plain, as :func:`grain` measures it. Less may be nothing but fine texture."""

_STEP = 0.1
"""Fidelities are rounded to this, so that compiled networks are found in the cache again."""


_QUIET, _QUIET_SHARE, _TEXTURE = 5, 0.758, 1.5
"""Per cent of blocks that are the quietest, what they have of pure noise, and the noise that fine
texture is taken for in most clean photographs."""

_LEAST = 16
"""Blocks that it takes to tell."""

_CLIPPED = 1 / 8
"""Share of a block's pixels that may be black, white or invisible."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


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
        return float(np.clip(max((self.noise - 1.5) / 4, self.blocks), 0, 1))

    @property
    def blocks(self) -> float:
        """The same by JPEG's blocks alone; below 0 for clean pictures."""
        return (self.blocking - 0.06) / 0.25


def adapted_fidelity(default: float, pixels: NDArray[Any], noise: float | None = None) -> float:
    """The default fidelity of a model, lowered by how damaged ``pixels`` are.

    Args:
        default: of the model.
        pixels: what is enlarged, see :func:`measure`.
        noise: that :func:`grain` measured before any was taken off, None if none was. Where it is
            not plain, what looks like noise is texture; where it was much, even what looks clean
            now is damaged.
    """
    noise = grain(pixels) if noise is None else noise
    found = measure(pixels)
    degree = found.degree if noise >= PLAIN else found.blocks
    lowered = default * (1 - 0.8 * float(np.clip(max(degree, (noise - 5) / 8), 0, 1)))
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


def grain(pixels: NDArray[Any]) -> float:
    """The noise of a picture's brightness, to take it off.

    After Immerkær (1996), of the quietest twentieth of all 8 × 8 blocks looked at, by what that is
    of pure noise. Blocks of black or white, where noise is cut off, and those with invisible
    pixels tell nothing.

    Args:
        pixels: ``(h, w, c)`` uint8, uint16 or float32, see ``superres.imageio.Pixels``.

    Returns:
        Standard deviation in levels of 255; 0 for a picture that is too small to tell, or may well
        be clean: three in four clean photographs, the others have fine texture everywhere. Noise
        of σ in each of three channels is 0.67 σ of brightness.
    """
    factor = np.float32({"uint8": 1.0, "uint16": 255 / 65535}.get(pixels.dtype.name, 255.0))
    height, width, channels = pixels.shape
    found: list[NDArray[np.float32]] = []
    for y in _starts(height):
        for x in _starts(width):
            crop = np.asarray(pixels[y : y + CROP, x : x + CROP], np.float32)
            bright = (crop[..., :3] @ _LUMA if channels > 2 else crop[..., 0]) * factor
            lost = (bright < 0.5) | (bright > 254.5)
            if channels in (2, 4):
                lost |= crop[..., -1] == 0
            found.append(_blocks(_immerkaer(bright))[_blocks(lost[1:-1, 1:-1]) < _CLIPPED])
    every = np.concatenate(found)
    if every.size < _LEAST:
        return 0.0
    sigma = float(np.percentile(every, _QUIET)) / _QUIET_SHARE
    return math.sqrt(max(0.0, sigma**2 - _TEXTURE**2))


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
    blocks = _blocks(_immerkaer(grey))
    return [float(np.percentile(blocks, 10))] if blocks.size else []


def _immerkaer(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """At every inner pixel what averages to the standard deviation of white noise."""
    rows = grey[:-2] - 2 * grey[1:-1] + grey[2:]
    both = np.abs(rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:])
    return np.asarray(both * np.float32(math.sqrt(math.pi / 2) / 6))


def _blocks(values: NDArray[Any]) -> NDArray[Any]:
    """Means of 8 × 8 blocks, ``(h // 8, w // 8)``."""
    h, w = values.shape[0] // 8, values.shape[1] // 8
    return np.asarray(values[: h * 8, : w * 8].reshape(h, 8, w, 8).mean((1, 3)))


def _edges(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """For each of the 8 columns of the grid the share of pixels that are a lone step there."""
    steps = np.abs(np.diff(grey, axis=1))
    if steps.shape[1] < 24:
        return np.zeros(8)
    inner = steps[:, 1:-1]
    lone = inner - np.maximum(steps[:, :-2], steps[:, 2:]) > 0.5
    return np.array([lone[:, (k - 1) % 8 :: 8].mean() for k in range(8)])
