"""Small pictures as people have them: clean, JPEG-damaged, noisy, blurred; the same every time."""

from __future__ import annotations

import math
import zlib

import numpy as np

from superres.errors import BadParameter
from superres.imageio import Limits, Metadata, OutputOptions, Pixels, Scratch, decode, encode
from superres.scorecard.resample import Photo, as_photo, resample

SEED = 20261121
"""Of the noise, together with the picture's pixels and the amount."""

KINDS = {
    "clean": "as reduced",
    "jpeg": "saved as JPEG of quality {}, colour at half resolution",
    "noise": "with Gaussian noise, σ = {} levels of 255 in each channel",
    "blur": "blurred by a Gaussian, σ = {} pixels",
}
DEGRADATIONS = ("clean", "jpeg-75", "jpeg-50", "noise-10", "noise-25", "blur-1")


def described(degradation: str) -> str:
    """What is done, in words: "saved as JPEG of quality 75, colour at half resolution".

    Raises:
        BadParameter: as :func:`small_file`.
    """
    kind, amount = _parsed(degradation)
    return KINDS[kind].format(f"{amount:g}")


def small_file(truth: Photo, scale: int, degradation: str) -> bytes:
    """The picture file that is enlarged: ``truth`` reduced (bicubic), then damaged.

    Args:
        truth: uint8 ``(h, w, 3)``, sides multiples of ``scale``.
        scale: how many times smaller.
        degradation: "clean", or "jpeg", "noise" or "blur" with an amount: "jpeg-75".

    Returns:
        A JPEG file where JPEG is the damage, so that all see what such a file tells of itself;
        else a PNG file.

    Raises:
        BadParameter: no such degradation.
    """
    kind, amount = _parsed(degradation)
    small = resample(truth, truth.shape[0] // scale, truth.shape[1] // scale)
    if kind == "jpeg":
        return _file(small, OutputOptions(format="jpeg", quality=round(amount)))
    if kind == "noise":
        rng = np.random.default_rng([SEED, zlib.crc32(small.tobytes()), round(amount * 1000)])
        small = as_photo(small + rng.normal(0, amount, small.shape))
    if kind == "blur":
        small = blurred(small, amount)
    return _file(small, OutputOptions(format="png", compression=1))


def photo_of(file: bytes) -> Photo:
    """The pixels of a file that :func:`small_file` or the pipeline made."""
    with Scratch() as scratch:
        return as_rgb(decode(file, Limits(), scratch).pixels)


def as_rgb(pixels: Pixels) -> Photo:
    """Three channels of 8 bits of any :data:`superres.imageio.Pixels`; alpha is left out."""
    factor = {"uint8": 1.0, "uint16": 255 / 65535}.get(pixels.dtype.name, 255.0)
    colours = pixels[..., :1] if pixels.shape[2] < 3 else pixels[..., :3]
    levels = np.asarray(colours) if factor == 1 else as_photo(colours * factor)
    return np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3)))


def blurred(photo: Photo, sigma: float) -> Photo:
    """A Gaussian of ``sigma`` pixels, mirrored at the borders."""
    reach = math.ceil(4 * sigma)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    values = photo.astype(np.float64)
    for axis in (0, 1):
        pads = [(0, 0)] * 3
        pads[axis] = (reach, reach)
        wide = np.pad(values, pads, "symmetric")
        length = values.shape[axis]
        values = sum(
            (weight * wide.take(range(k, k + length), axis) for k, weight in enumerate(taps)),
            np.zeros(1),
        )
    return as_photo(values)


def _file(photo: Photo, options: OutputOptions) -> bytes:
    return encode(photo, Metadata(), None, options.format or "png", options) or b""


def _parsed(degradation: str) -> tuple[str, float]:
    kind, _, text = degradation.partition("-")
    try:
        amount = float(text or 0)
    except ValueError:
        amount = math.nan
    limits = {"clean": (0, 0), "jpeg": (1, 100), "noise": (0.1, 100), "blur": (0.1, 10)}
    low, high = limits.get(kind, (1, 0))
    if not low <= amount <= high or (kind == "clean") != (not text):
        raise BadParameter(
            f"Unknown degradation {degradation!r}; it is clean, jpeg-QUALITY (1 to 100), "
            "noise-SIGMA (0.1 to 100) or blur-SIGMA (0.1 to 10)."
        )
    return kind, amount
