"""A decoded picture: its pixels and everything about it that must survive."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]
"""``(h, w, c)``, c = 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, alpha not premultiplied.

uint8 spans 0…255, uint16 0…65535, float32 0…1. May be memory-mapped.
"""


@dataclass(frozen=True)
class Metadata:
    """What travels beside the pixels, as the bytes found in the file.

    Attributes:
        icc: the embedded colour profile, kept byte for byte; None if there was none or if
            the pixels were converted to sRGB while decoding (CMYK, Lab).
        exif: raw EXIF block as libvips holds it (``exif-data``); of a TIFF, one made of its tags.
        xmp: raw XMP packet.
        iptc: raw IPTC block.
        resolution: horizontal and vertical pixels per millimetre, or None if unstated.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    resolution: tuple[float, float] | None = None


@dataclass(frozen=True)
class Header:
    """What can be told of a file without decoding its pixels.

    Attributes:
        format: "jpeg", "png", "webp", "tiff", "bmp", "gif", "avif" or "heic".
        width, height: in pixels, after EXIF orientation is applied.
        channels: 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA, as the decoder will return them.
        bits: 8 or 16, per channel of the decoded picture.
        frames: pages or animation frames in the file.
        lossless: whether the file stores its pixels without loss.
        orientation: how the file says to turn it (EXIF, 1…8); 0: it does not say.
        quality: that it was saved with, 1…100: 100 without loss, of a JPEG estimated by its
            tables; 0: it cannot be told.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int
    frames: int = 1
    lossless: bool = True
    orientation: int = 0
    quality: int = 100


@dataclass(frozen=True)
class Picture:
    """A decoded, upright picture in memory or on scratch disk."""

    pixels: Pixels
    header: Header
    metadata: Metadata = field(default_factory=Metadata)
