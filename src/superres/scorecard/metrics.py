"""How near a result is to the truth, and how sharp it is; numpy alone.

Protocol of the super-resolution literature: results rounded to 8 bits; luma by BT.601 in studio
swing; ``scale`` pixels cut from each border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.scorecard.colour import ciede2000, lab
from superres.scorecard.resample import Photo

Plane = NDArray[np.float64]

_BT601 = np.array([65.481, 128.553, 24.966]) / 255
_TAPS = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
_TAPS /= _TAPS.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_MS_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_BLOCK = 16
_BLUR = 11


@dataclass(frozen=True)
class Quality:
    """What is measured of one result.

    Attributes:
        psnr_y: dB; 100 stands for equal pictures.
        ssim: Wang et al. (2004), Gaussian window 11 × 11, σ 1.5; 1 is equal.
        ms_ssim: Wang et al. (2003), five scales; None where a side is below 176 pixels.
        shift: largest difference of a channel's mean, in levels of 255.
        delta_e: mean CIEDE2000 between the means of 16 × 16 blocks: colour that is off over
            areas, not along edges. Below 1 nobody sees it.
        blur: Crété-Roffet et al. (2007), needs no truth: 0 crisp … 1 blurred.
        perceptual: LPIPS or a relative, 0 is equal; None where its weights are not installed.
    """

    psnr_y: float
    ssim: float
    ms_ssim: float | None
    shift: float
    delta_e: float
    blur: float
    perceptual: float | None = None


def quality(result: Photo, truth: Photo, border: int) -> Quality:
    """Compare two pictures of the same size.

    Args:
        result, truth: uint8 ``(h, w, 3)``.
        border: pixels cut from each side first, the scale by custom.

    Raises:
        ValueError: different sizes, or nothing is left within the border.
    """
    if result.shape != truth.shape or min(truth.shape[:2]) <= 2 * border + 22:
        raise ValueError(f"{result.shape} and {truth.shape} cannot be compared")
    inside = (slice(border, -border or None),) * 2
    result, truth = result[inside], truth[inside]
    one, other = luma(result), luma(truth)
    means = result.mean((0, 1)) - truth.mean((0, 1))
    similarity = _ssim(one, other)
    return Quality(
        psnr_y=psnr(one, other),
        ssim=similarity[0],
        ms_ssim=_ms_ssim(one, other, similarity[1]),
        shift=float(np.abs(means).max()),
        delta_e=float(ciede2000(lab(_blocks(result)), lab(_blocks(truth))).mean()),
        blur=blur(one),
    )


def luma(photo: NDArray[Any]) -> Plane:
    """BT.601 luma, 16…235, of ``(h, w, 3)`` levels; what MATLAB's rgb2ycbcr gives, unrounded."""
    plane: Plane = photo.astype(np.float64) @ _BT601 + 16
    return plane


def psnr(one: Plane, other: Plane) -> float:
    """Peak signal-to-noise ratio in dB against 255, at most 100."""
    error = float(np.mean((one - other) ** 2))
    return 100.0 if error < 255**2 * 1e-10 else float(10 * np.log10(255**2 / error))


def ssim(one: Plane, other: Plane) -> float:
    """Structural similarity of two planes of levels 0…255, sides of at least 11."""
    return _ssim(one, other)[0]


def ms_ssim(one: Plane, other: Plane) -> float | None:
    """Multi-scale structural similarity; None where a side is below 176 pixels."""
    return _ms_ssim(one, other, _ssim(one, other)[1])


def blur(plane: Plane) -> float:
    """The blur effect of Crété-Roffet, Dolmiere, Ladret, Nicolas (2007), 0…1, with 11 pixels.

    How much a picture loses when it is blurred once more: a blurred one hardly anything.
    """
    found = []
    for turned in (plane, plane.T):
        sharp, again = _edges(turned), _edges(_mean(turned))
        total = float(sharp.sum())
        lost = float(np.maximum(0, sharp - again).sum())
        found.append((total - lost) / total if total > 1e-9 else 1.0)
    return max(found)


def _edges(plane: Plane) -> Plane:
    """Size of Sobel's gradient down the rows, inside."""
    step = plane[2:] - plane[:-2]
    return np.abs(step[1:, 1:-2] + 2 * step[1:, 2:-1] + step[1:, 3:]) / 8


def _mean(plane: Plane) -> Plane:
    """Running mean down the rows, mirrored at the borders."""
    half = _BLUR // 2
    sums = np.cumsum(np.pad(plane, ((half + 1, half), (0, 0)), "symmetric"), 0)
    return np.asarray((sums[_BLUR:] - sums[:-_BLUR]) / _BLUR)


def _filtered(planes: Plane) -> Plane:
    """Gaussian means of a stack ``(n, h, w)``, only where the window lies inside."""
    for axis in (1, 2):
        turned = np.moveaxis(planes, axis, 1)
        length = turned.shape[1] - 10
        total = turned[:, 5 : 5 + length] * _TAPS[5]
        for k in range(5):
            pair = turned[:, k : k + length] + turned[:, 10 - k : 10 - k + length]
            total += pair * _TAPS[k]
        planes = np.moveaxis(total, 1, axis)
    return planes


def _ssim(one: Plane, other: Plane) -> tuple[float, float]:
    """Mean similarity, and its part of contrast and structure alone."""
    stack = np.stack([one, other, one * one, other * other, one * other])
    m1, m2, s11, s22, s12 = _filtered(stack)
    v1, v2, v12 = s11 - m1 * m1, s22 - m2 * m2, s12 - m1 * m2
    structure = (2 * v12 + _C2) / (v1 + v2 + _C2)
    whole = structure * (2 * m1 * m2 + _C1) / (m1 * m1 + m2 * m2 + _C1)
    return float(whole.mean()), float(structure.mean())


def _ms_ssim(one: Plane, other: Plane, structure: float) -> float | None:
    if min(one.shape) < 176:
        return None
    result = float(max(structure, 0.0) ** _MS_WEIGHTS[0])
    for index, weight in enumerate(_MS_WEIGHTS[1:], 1):
        one, other = _halved(one), _halved(other)
        whole, structure = _ssim(one, other)
        last = index == len(_MS_WEIGHTS) - 1
        result *= float(max(whole if last else structure, 0.0) ** weight)
    return result


def _halved(plane: Plane) -> Plane:
    h, w = (n // 2 * 2 for n in plane.shape)
    even = plane[:h, :w]
    quarters = even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]
    return np.asarray(quarters / 4)


def _blocks(photo: Photo) -> Plane:
    """Means of 16 × 16 blocks in [0, 1]; what does not fill a block is left out."""
    h, w = (n // _BLOCK for n in photo.shape[:2])
    whole = photo[: h * _BLOCK, : w * _BLOCK].reshape(h, _BLOCK, w, _BLOCK, 3)
    return np.asarray(whole.mean((1, 3)) / 255)
