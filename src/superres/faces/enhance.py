"""Keep a face recognisable: the faithful network's result, finished and blended in softly.

A generative network makes a small face sharp by making it somebody else's. The faithful one
does not, so inside a face's oval its result takes the place of the chosen model's. What the
constants are was measured on twenty faces (docs/decisions/0012-faces.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.faces.denoise import denoised
from superres.faces.region import Oval, Region, mask
from superres.imageio import Canvas, release_pages
from superres.models.graph import cubic_taps

CONTRAST, CONTRAST_SIGMA, CONTRAST_MOST = 0.15, 1.5, 6 / 255
"""Local contrast of brightness at scale 4: its amount, its radius in pixels of the result, and
the most it may change. More of it, or wider, costs likeness."""

SHARES = {2: 0.7}
"""Of a clean face, how much of the result is shown, by scale; all of it elsewhere."""

JPEG_SHARES, LEAST_SHARE = ((0, 5, 15), (1.0, 0.55, 0.4)), 0.4
"""Of a face out of a JPEG, by 100 less its quality, and of the most damaged one. With 0.75 at
quality 95 the mean likeness is a little higher, but one face in ten is less like itself."""

LEAST_SIGMA, MOST_SIGMA = 0.25, 5.0
"""Less noise is left alone, and more is not taken off: it would take the face's own features."""

_HALO = 8
"""Pixels of the source around a piece of the canvas that its pixels may depend on."""

_PIECE = 512
"""Side of the squares of the canvas that are finished and blended at a time, a multiple of every
scale. Bands as wide as the canvas would be low where it is wide, and then mostly halo."""

_WINDOW = 256
"""Side of the squares that noise is taken off at a time."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Care:
    """How a face is treated, by how damaged it is.

    Attributes:
        sigma: noise to take off before it is enlarged, in levels of 255; 0 for a clean one.
        share: 0…1, how much of the result is shown inside the oval. The rest stays the chosen
            model's, which was trained to repair.
    """

    sigma: float = 0.0
    share: float = 1.0


def care(scale: int, loss: float, noise: float) -> Care:
    """How to treat a face.

    Args:
        scale: of the pass.
        loss: 100 less the quality of its JPEG, see :func:`superres.faces.damage.jpeg_loss`.
        noise: around it, see :func:`superres.faces.damage.noise`.
    """
    jpeg = 0.15 * loss + 0.3 if loss else 0.0
    grain = min(max(0.0, 2.5 * (noise - 0.8)), 1.25 * noise)
    share = min(SHARES.get(scale, 1.0), float(np.interp(loss, *JPEG_SHARES)), 1 - 0.165 * grain)
    sigma = min(max(jpeg, grain), MOST_SIGMA)
    return Care(sigma if sigma >= LEAST_SIGMA else 0.0, max(share, LEAST_SHARE))


def clean(
    pixels: NDArray[Any],
    region: Region,
    sigma: float,
    write: Callable[[int, int, NDArray[Any]], None],
    check: Callable[[], None] | None = None,
) -> None:
    """Hand a region on without its noise, a square at a time.

    Args:
        pixels: the whole source, ``(h, w, c)`` of uint8, uint16 or float32.
        region: of it.
        sigma: of the noise, in levels of 255.
        write: takes squares of the source's dtype and channels, alpha as it was, and where
            in the region they belong: ``write(y, x, block)``.
        check: called between squares; what it raises stops the work.
    """
    channels = pixels.shape[2]
    colours = channels - 1 if channels in (2, 4) else channels
    top = {"uint8": 255.0, "uint16": 65535.0}.get(pixels.dtype.name, 1.0)
    for y in range(region.top, region.bottom, _WINDOW):
        for x in range(region.left, region.right, _WINDOW):
            if check is not None:
                check()
            size = min(_WINDOW, region.bottom - y), min(_WINDOW, region.right - x)
            block = pixels[y : y + size[0], x : x + size[1]].copy()
            values = denoised(pixels[..., :colours], y, x, *size, sigma * top / 255)
            if top != 1.0:
                values = np.rint(np.clip(values, 0, top))
            block[..., :colours] = values
            write(y - region.top, x - region.left, block)


def blend(
    canvas: Canvas,
    result: Canvas,
    source: NDArray[Any],
    region: Region,
    ovals: Sequence[Oval],
    how: Care,
    check: Callable[[], None] | None = None,
) -> None:
    """Show a region's faithful result through the mask of its faces, a piece at a time.

    Where the mask is 0 no byte of the canvas changes, and nowhere its alpha.

    Args:
        canvas: of the whole picture; changed.
        result: of the faithful network, of the region alone.
        source: what that was made of, ``(h, w, c)``: the region, cleaned if it had to be.
        region: in source pixels.
        ovals: of the faces to show.
        how: they are treated.
        check: called between pieces; what it raises stops the work.
    """
    scale = result.width // source.shape[1]
    there, seen, halo = canvas.array(), result.array(), _HALO * scale
    for y in range(0, result.height, _PIECE):
        for x in range(0, result.width, _PIECE):
            if check is not None:
                check()
            end, right = min(y + _PIECE, result.height), min(x + _PIECE, result.width)
            at_y, at_x = region.top * scale + y, region.left * scale + x
            shown = mask(ovals, at_y, at_x, end - y, right - x, scale) * np.float32(how.share)
            if not shown.any():
                continue
            first, last = max(0, y - halo), min(result.height, end + halo)
            start, stop = max(0, x - halo), min(result.width, right + halo)
            small = source[first // scale : last // scale, start // scale : stop // scale]
            values = finished(
                _unit(seen[first:last, start:stop]), _unit(small), clean=not how.sigma
            )
            values = values[y - first : end - first, x - start : right - start]
            block = there[at_y : at_y + end - y, at_x : at_x + right - x].copy()
            _mix(block, values, shown)
            canvas.write(at_y, at_x, block)
        for pixels in (there, seen, source):
            release_pages(pixels)


def _unit(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """The colours of ``pixels`` in 0…1, without alpha."""
    channels = pixels.shape[2]
    colours = channels - 1 if channels in (2, 4) else channels
    return pixels[..., :colours].astype(np.float32) / np.float32(_top(pixels.dtype))


def _top(dtype: np.dtype[Any]) -> float:
    return {"uint8": 255.0, "uint16": 65535.0}.get(dtype.name, 1.0)


def _mix(block: NDArray[Any], values: NDArray[np.float32], shown: NDArray[np.float32]) -> None:
    """Put ``values`` in place of the colours of ``block``, as much as is ``shown``."""
    inside, top = shown > 0, np.float32(_top(block.dtype))
    changed = block[inside]
    old = _unit(block)[inside]
    new = old + (np.clip(values[inside], 0, 1) - old) * shown[inside][:, None]
    new = np.clip(new, 0, 1, out=new) * top
    changed[:, : old.shape[1]] = new if top == 1.0 else np.rint(new)
    block[inside] = changed


def finished(
    values: NDArray[np.float32], source: NDArray[np.float32], *, clean: bool
) -> NDArray[np.float32]:
    """The last touch to what the faithful network made of a face.

    At scale 4 a clean face gets a little contrast of brightness; of a damaged one that would bring
    back the damage. At scale 2 every face gets one back-projection (Irani and Peleg 1991): what
    the result, reduced again, lacks of the source is added. At scale 4 that costs likeness.

    Args:
        values: ``(h·scale, w·scale, c)`` in 0…1.
        source: ``(h, w, c)`` in 0…1.
        clean: whether the source was clean.

    Returns:
        As ``values``, not clipped.
    """
    scale = values.shape[0] // source.shape[0]
    if scale == 4 and clean:
        bright = values @ _LUMA if values.shape[2] == 3 else values[..., 0]
        detail = CONTRAST * (bright - _blurred(bright, CONTRAST_SIGMA))
        detail = np.clip(detail, -CONTRAST_MOST, CONTRAST_MOST)[..., None]
        return np.asarray(values + detail, np.float32)
    if scale != 2:
        return values
    height, width, channels = source.shape
    reduced = values.reshape(height, scale, width, scale, channels).mean((1, 3))
    return values + _enlarged(source - reduced)


def _blurred(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    radius = int(np.ceil(3 * sigma))
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights = (weights / weights.sum()).astype(np.float32)
    for axis in (0, 1):
        padded = np.pad(values, [(radius, radius) if axis == n else (0, 0) for n in (0, 1)], "edge")
        values = np.zeros_like(values)
        for start, weight in enumerate(weights):
            values += weight * _from(padded, start, values.shape[axis], axis)
    return values


def _enlarged(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice the size, bicubic."""
    taps = cubic_taps(2).astype(np.float32)
    for axis in (0, 1):
        length = values.shape[axis]
        padded = np.pad(values, [(2, 2) if axis == n else (0, 0) for n in range(3)], "edge")
        phases = np.zeros((2, *values.shape), np.float32)
        for phase, weights in zip(phases, taps, strict=True):
            for start, weight in enumerate(weights):
                if weight:
                    phase += weight * _from(padded, start, length, axis)
        shape = [side * (2 if axis == n else 1) for n, side in enumerate(values.shape)]
        values = np.moveaxis(phases, 0, axis + 1).reshape(shape)
    return values


def _from(values: NDArray[np.float32], start: int, length: int, axis: int) -> NDArray[np.float32]:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]
