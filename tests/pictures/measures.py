"""How pictures are compared: PSNR, luma as in the papers, sharpness, reference enlargements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

BT601 = np.array([65.481, 128.553, 24.966]) / 255
"""Luma of 0…255 RGB, to which 16 is added (studio swing, as MATLAB's rgb2ycbcr)."""


def psnr(a: NDArray, b: NDArray, peak: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB, infinite for equal arrays."""
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def luma(picture: NDArray) -> NDArray[np.float64]:
    """BT.601 luma of ``(h, w, 3)`` or, three times the same channel, of ``(h, w)``."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
    return rgb.astype(np.float64) @ BT601 + 16


def psnr_y(result: NDArray, truth: NDArray, border: int) -> float:
    """The papers' figure: PSNR of luma without ``border`` pixels at each side."""
    inside = (slice(border, -border),) * 2
    return psnr(luma(result)[inside], luma(truth)[inside])


def sharpness(picture: NDArray) -> float:
    """Variance of the Laplacian of luma."""
    y = luma(picture)
    around = y[:-2, 1:-1] + y[2:, 1:-1] + y[1:-1, :-2] + y[1:-1, 2:]
    return float(np.var(around - 4 * y[1:-1, 1:-1]))


def bicubic(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Pillow's bicubic resampling to ``width`` × ``height`` (antialiased when reducing)."""
    size = (width, height)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))


def enlarged(picture: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return bicubic(picture, picture.shape[1] * scale, picture.shape[0] * scale)


def reduced(picture: NDArray[np.uint8], scale: int = 4) -> NDArray[np.uint8]:
    """A ``scale`` times smaller picture; the sides must be multiples of ``scale``."""
    return bicubic(picture, picture.shape[1] // scale, picture.shape[0] // scale)


def cropped(picture: NDArray[np.uint8], multiple: int = 4) -> NDArray[np.uint8]:
    """Right and bottom cut so that both sides are multiples of ``multiple``."""
    h, w = (n // multiple * multiple for n in picture.shape[:2])
    return picture[:h, :w]


def levels_apart(a: NDArray, b: NDArray) -> int:
    """Largest difference of two pictures in levels of their own dtype."""
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    return int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())
