"""Picture files with every property that has to survive, written without libvips."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRANSPOSED = (5, 6, 7, 8)


def stored(upright: NDArray, orientation: int) -> NDArray:
    """What a camera stores so that ``orientation`` (EXIF 2.32, 4.6.4 A) turns it upright."""
    return {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.swapaxes(0, 1),
        6: lambda p: p.swapaxes(0, 1)[::-1],
        7: lambda p: p[::-1, ::-1].swapaxes(0, 1),
        8: lambda p: p.swapaxes(0, 1)[:, ::-1],
    }[orientation](upright).copy()


def saved(picture: NDArray | Image.Image, kind: str, **options: object) -> bytes:
    """The bytes Pillow writes."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Image.Image:
    """Decoded by Pillow, whole."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def pixels_of(data: bytes) -> NDArray:
    return np.asarray(opened(data))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def tiff_with_exif(picture: NDArray[np.uint8], make: str, details: dict[int, str | int]) -> bytes:
    """An uncompressed RGB TIFF with an EXIF directory (Pillow does not write one)."""
    h, w, _ = picture.shape
    pixels = picture.tobytes()
    parts = [b"II*\0" + struct.pack("<I", 8 + len(pixels)), pixels]

    def size() -> int:
        return sum(map(len, parts))

    def directory(tags: dict[int, str | int | tuple[int, ...]]) -> bytes:
        start = size() + 2 + 12 * len(tags) + 4
        entries, extra = b"", b""
        for tag, value in sorted(tags.items()):
            if isinstance(value, str):
                kind, count, data = 2, len(value) + 1, value.encode() + b"\0"
            elif isinstance(value, tuple):
                kind, count, data = 3, len(value), struct.pack(f"<{len(value)}H", *value)
            else:
                kind, count, data = 4, 1, struct.pack("<I", value)
            if len(data) > 4:
                data += b"\0" * (len(data) % 2)
                data, extra = struct.pack("<I", start + len(extra)), extra + data
            entries += struct.pack("<HHI", tag, kind, count) + data.ljust(4, b"\0")
        return struct.pack("<H", len(tags)) + entries + bytes(4) + extra

    first = {256: w, 257: h, 258: (8, 8, 8), 259: 1, 262: 2, 271: make, 273: 8, 277: 3}
    first |= {278: h, 279: len(pixels), 34665: 0}
    first[34665] = size() + len(directory(first))
    parts.append(directory(first))
    parts.append(directory(details))
    return b"".join(parts)


_COLOUR_TYPES = {1: 0, 3: 2, 2: 4, 4: 6}


def png16(picture: NDArray[np.uint16]) -> bytes:
    """A 16-bit PNG (Pillow writes 16 bits for grey alone) of ``(h, w, c)``."""
    h, w, c = picture.shape
    rows = picture.astype(">u2").reshape(h, -1).view(np.uint8)
    raw = np.concatenate([np.zeros((h, 1), np.uint8), rows], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", w, h, 16, _COLOUR_TYPES[c], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(name, body)
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    )


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Bodies of a PNG file's chunks by name, those of one name joined."""
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        name = png[at + 4 : at + 8]
        found[name] = found.get(name, b"") + png[at + 8 : at + 8 + size]
        at += 12 + size
    return found


def read_png16(png: bytes) -> NDArray[np.uint16]:
    """``(h, w, c)`` of a 16-bit PNG that is not interlaced (Pillow gives 8 bits of RGB)."""
    parts = chunks(png)
    w, h, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    assert (depth, interlaced) == (16, 0)
    channels = {v: k for k, v in _COLOUR_TYPES.items()}[colour]
    step = 2 * channels
    raw = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(h, 1 + w * step)
    rows = np.zeros((h + 1, w + 1, step), np.uint8)  # a row above and a pixel before
    for y in range(h):
        kind, row = raw[y, 0], raw[y, 1:].reshape(w, step)
        above = rows[y]
        for x in range(w):
            left, up, corner = rows[y + 1, x], above[x + 1], above[x]
            rows[y + 1, x + 1] = row[x] + _predicted(kind, left, up, corner)
    return rows[1:, 1:].reshape(h, w, channels, 2).copy().view(">u2")[..., 0].astype(np.uint16)


def _predicted(kind: int, left: NDArray, up: NDArray, corner: NDArray) -> NDArray[np.uint8]:
    if kind < 3:
        return (np.zeros_like(left), left, up)[kind]
    a, b, c = (v.astype(int) for v in (left, up, corner))
    if kind == 3:
        return ((a + b) // 2).astype(np.uint8)
    p = a + b - c
    near_a, near_b, near_c = abs(p - a), abs(p - b), abs(p - c)
    nearest = np.where(near_b <= near_c, b, c)
    return np.where((near_a <= near_b) & (near_a <= near_c), a, nearest).astype(np.uint8)


# Primaries and white as XYZ under D50, as their profiles state them.
_COLORANTS = {
    "srgb": ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139)),
    "display-p3": ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
    "adobe-rgb": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),
    "grey": (),
}


def icc_profile(name: str, gamma: float = 2.2) -> bytes:
    """A small matrix (or grey) profile, ICC.1:2001 version 2."""
    colorants = _COLORANTS[name]

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    text = name.encode() + b"\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 78
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {b"desc": description, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz((0.9642, 1, 0.8249))}
    if colorants:
        tags |= {c + b"XYZ": xyz(v) for c, v in zip((b"r", b"g", b"b"), colorants, strict=True)}
        tags |= {c + b"TRC": curve for c in (b"r", b"g", b"b")}
    else:
        tags[b"kTRC"] = curve
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    size = start + len(body)
    space = b"RGB " if colorants else b"GRAY"
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", space, b"XYZ ")
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body
