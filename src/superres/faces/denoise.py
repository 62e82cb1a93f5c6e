"""Take JPEG's and a sensor's damage off a face before the faithful network copies it.

Translation-invariant thresholding of the discrete cosine transform: every 8 × 8 block, at 16
places of its grid, is transformed, small coefficients are dropped, and what the blocks say of
a pixel is averaged, a block counting the more the fewer coefficients it needs (Coifman and
Donoho 1995; Yu and Sapiro, IPOL 2011). It only ever removes; nothing is invented.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.tiling.window import read_window

BLOCK, STEP = 8, 2
"""Side of a block, and how far apart the places of the grid are."""

THRESHOLD, CHROMA = 2.7, 1.5
"""Coefficients below this many σ are dropped, of colour differences this many times as many."""

REACH = 2 * BLOCK
"""Pixels around a window on which its values may depend, at most."""

_WAVE = np.cos(np.pi / BLOCK * (np.arange(BLOCK) + 0.5)[None, :] * np.arange(BLOCK)[:, None])
DCT = (_WAVE * np.where(np.arange(BLOCK) == 0, BLOCK**-0.5, (2 / BLOCK) ** 0.5)[:, None]).astype(
    np.float32
)
"""The transform of a column of a block: the DCT-II, orthonormal."""

# ITU-R BT.601 in full swing, as in JFIF.
_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32
)
_RGB = np.linalg.inv(_YCC.astype(np.float64)).astype(np.float32)


def denoised(
    pixels: NDArray[Any], top: int, left: int, height: int, width: int, sigma: float
) -> NDArray[np.float32]:
    """A window of a picture without noise of ``sigma``.

    The blocks' grid is the picture's, not the window's: windows fit together without seams.

    Args:
        pixels: the whole picture, ``(h, w, 1 or 3)``, in levels of 255 of any dtype.
        top, left, height, width: the window, inside the picture.
        sigma: standard deviation of the noise, in levels of 255.

    Returns:
        ``(height, width, 1 or 3)`` in levels of 255.
    """
    y0, x0 = top - top % BLOCK - BLOCK, left - left % BLOCK - BLOCK
    rows = -(-(top + height - y0) // BLOCK) * BLOCK + BLOCK
    columns = -(-(left + width - x0) // BLOCK) * BLOCK + BLOCK
    window = read_window(pixels, y0, x0, rows, columns).astype(np.float32)
    clean = _thresholded(window @ _YCC.T if window.shape[2] == 3 else window, sigma)
    clean = clean[top - y0 : top - y0 + height, left - x0 : left - x0 + width]
    return clean @ _RGB.T if window.shape[2] == 3 else clean


def _thresholded(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    height, width, channels = values.shape
    limits = np.full(channels, THRESHOLD * sigma, np.float32)
    limits[1:] *= CHROMA
    total, weights = np.zeros_like(values), np.zeros_like(values)
    for dy in range(0, BLOCK, STEP):
        for dx in range(0, BLOCK, STEP):
            h, w = (height - dy) // BLOCK, (width - dx) // BLOCK
            part = slice(dy, dy + h * BLOCK), slice(dx, dx + w * BLOCK)
            blocks = values[part].reshape(h, BLOCK, w, BLOCK, channels).transpose(0, 2, 4, 1, 3)
            waves = DCT @ blocks @ DCT.T
            kept = np.abs(waves) >= limits[:, None, None]
            kept[..., 0, 0] = True
            weight = 1 / kept.sum((-1, -2), dtype=np.float32, keepdims=True)
            back = DCT.T @ (waves * kept) @ DCT * weight
            shape = h * BLOCK, w * BLOCK, channels
            total[part] += back.transpose(0, 3, 1, 4, 2).reshape(shape)
            spread = np.broadcast_to(weight, back.shape)
            weights[part] += spread.transpose(0, 3, 1, 4, 2).reshape(shape)
    return np.asarray(total / np.maximum(weights, np.float32(1e-9)), np.float32)
