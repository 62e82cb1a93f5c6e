"""BMP files, which the libvips wheels cannot read.

Headers BITMAPCOREHEADER to BITMAPV5HEADER; 1, 4, 8, 16, 24 and 32 bits; run-length coding.
Layout after Microsoft's "Bitmap Storage" pages. A palette of greys gives one channel, any
other RGB; an alpha channel counts only where the header has a mask for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.errors import CorruptImage, UnsupportedFormat
from superres.imageio.canvas import Canvas
from superres.imageio.content import Content
from superres.imageio.scratch import Scratch

_BAND_BYTES = 8 * 1024 * 1024
_RGB, _RLE8, _RLE4, _BITFIELDS, _ALPHA_BITFIELDS = 0, 1, 2, 3, 6


@dataclass(frozen=True)
class BmpHeader:
    """A parsed BMP header. ``masks`` are red, green, blue and alpha; empty with a palette."""

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    offset: int
    channels: int
    palette: NDArray[np.uint8] | None
    masks: tuple[int, ...]
    resolution: tuple[float, float] | None
    icc: bytes | None


def read_bmp_header(content: Content) -> BmpHeader:
    """Parse everything before the pixels.

    Raises:
        CorruptImage: fields that contradict each other or the file's length.
        UnsupportedFormat: JPEG, PNG or Huffman data inside, or an odd bit depth.
    """
    head = content.read_at(0, 14 + 124)
    try:
        return _parse(content, head)
    except struct.error as exc:
        raise CorruptImage("The BMP header is cut short.") from exc


def _parse(content: Content, head: bytes) -> BmpHeader:
    offset, size = struct.unpack_from("<II", head, 10)
    compression, used, icc, resolution = _RGB, 0, None, None
    if size == 12:
        width, height, _planes, bits = struct.unpack_from("<HHHH", head, 18)
    else:
        width, height, _planes, bits, compression, _length, x_res, y_res, used = struct.unpack_from(
            "<iiHHIIiiI", head, 18
        )
        if x_res > 0 and y_res > 0:
            resolution = (x_res / 1000, y_res / 1000)
    top_down, height = height < 0, abs(height)
    if width < 0:
        raise CorruptImage("The BMP header states a negative width.")
    allowed = {
        _RGB: (1, 4, 8, 16, 24, 32),
        _RLE8: (8,),
        _RLE4: (4,),
        _BITFIELDS: (16, 32),
        _ALPHA_BITFIELDS: (16, 32),
    }
    # In OS/2 headers (64 bytes) the numbers 3 and 4 mean other compressions.
    if bits not in allowed.get(compression, ()) or (size == 64 and compression > _RLE4):
        raise UnsupportedFormat(
            f"BMP files with {bits} bits per pixel and compression {compression} are not read; "
            "save the picture as PNG."
        )
    if size == 124 and head[14 + 56 : 14 + 60] == b"DEBM":
        start, length = struct.unpack_from("<II", head, 14 + 112)
        icc = content.read_at(14 + start, min(length, content.size)) or None

    palette, channels = None, 3
    masks: tuple[int, ...] = ()
    if bits <= 8:
        palette = _palette(content, 14 + size, 3 if size == 12 else 4, bits, used)
        if (palette == palette[:, :1]).all():
            palette, channels = palette[:, :1], 1
    else:
        masks = _masks(content, size, bits, compression)
        channels = 4 if masks[3] else 3
    return BmpHeader(
        width, height, top_down, bits, compression, offset, channels, palette, masks,
        resolution, icc,
    )  # fmt: skip


def _palette(content: Content, start: int, entry: int, bits: int, used: int) -> NDArray[np.uint8]:
    """``(n, 3)`` colours, n as many as the file has."""
    count = min(used or 1 << bits, 1 << bits)
    data = content.read_at(start, count * entry)
    colours = np.frombuffer(data[: len(data) // entry * entry], np.uint8).reshape(-1, entry)
    if not len(colours):
        raise CorruptImage("The BMP file has no palette.")
    return colours[:, 2::-1].copy()


def _masks(content: Content, size: int, bits: int, compression: int) -> tuple[int, ...]:
    if compression == _RGB:
        return (0x7C00, 0x3E0, 0x1F, 0) if bits == 16 else (0xFF0000, 0xFF00, 0xFF, 0)
    count = 4 if size >= 56 or compression == _ALPHA_BITFIELDS else 3
    masks: tuple[int, ...] = struct.unpack(f"<{count}I", content.read_at(54, 4 * count))
    if not all(masks[:3]):
        raise CorruptImage("The BMP file has an empty colour mask.")
    return (*masks, 0)[:4]


def decode_bmp(content: Content, header: BmpHeader, scratch: Scratch) -> Canvas:
    """The pixels, right way up, as a uint8 canvas; the size must have been checked before.

    Raises:
        CorruptImage: pixels are missing.
    """
    canvas = Canvas(header.height, header.width, header.channels, np.uint8, scratch)
    try:
        if header.compression in (_RLE8, _RLE4):
            _put(canvas, header, 0, _colours(header, _run_lengths(content, header)))
            return canvas
        stride = (header.width * header.bits + 31) // 32 * 4
        band = max(1, _BAND_BYTES // stride)
        for y in range(0, header.height, band):
            rows = min(band, header.height - y)
            data = content.read_at(header.offset + y * stride, rows * stride)
            # Some writers leave out the padding of the very last row.
            needed = (rows - 1) * stride + (header.width * header.bits + 7) // 8
            if len(data) < needed:
                raise CorruptImage("The BMP file is cut short; its last rows are missing.")
            raw = np.frombuffer(data.ljust(rows * stride, b"\0"), np.uint8).reshape(rows, stride)
            _put(canvas, header, y, _unpack(header, raw))
    except BaseException:
        canvas.close()
        raise
    return canvas


def _put(canvas: Canvas, header: BmpHeader, y: int, rows: NDArray[Any]) -> None:
    """Write rows that are the y-th of the file; files are bottom-up unless they say not."""
    if header.top_down:
        canvas.write(y, 0, rows)
    else:
        canvas.write(header.height - y - len(rows), 0, rows[::-1])


def _unpack(header: BmpHeader, raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Rows of file bytes ``(rows, stride)`` to pixels ``(rows, width, channels)``."""
    width = header.width
    if header.bits == 8:
        return _colours(header, raw[:, :width])
    if header.bits == 4:
        pairs = np.stack((raw >> 4, raw & 15), axis=-1).reshape(len(raw), -1)
        return _colours(header, pairs[:, :width])
    if header.bits == 1:
        return _colours(header, np.unpackbits(raw, axis=1)[:, :width])
    if header.bits == 24:
        return raw[:, : width * 3].reshape(len(raw), width, 3)[:, :, ::-1]
    words = raw.view("<u2" if header.bits == 16 else "<u4")[:, :width]
    out = np.empty((len(raw), width, header.channels), np.uint8)
    for channel, mask in enumerate(header.masks[: header.channels]):
        shift = (mask & -mask).bit_length() - 1
        top = mask >> shift
        value = (words & mask) >> shift
        out[:, :, channel] = value if top == 255 else np.rint(value * (255.0 / top))
    return out


def _colours(header: BmpHeader, indices: NDArray[np.uint8]) -> NDArray[Any]:
    palette = header.palette
    if palette is None:
        raise CorruptImage("The BMP file has no palette.")
    if int(indices.max(initial=0)) >= len(palette):
        raise CorruptImage("The BMP file uses colours that its palette does not have.")
    return palette[indices]


def _run_lengths(content: Content, header: BmpHeader) -> NDArray[np.uint8]:
    """Palette indices ``(h, w)`` of run-length data, first row of the file first."""
    width, height, nibbles = header.width, header.height, header.bits == 4
    out = np.zeros((height, width), np.uint8)
    data = content.read_at(header.offset, max(0, content.size - header.offset))
    position, x, y = 0, 0, 0
    end = len(data) - 1
    while position < end and y < height:
        count, value = data[position], data[position + 1]
        position += 2
        if count:
            if nibbles:
                run = (np.arange(count) & 1 == 1).choose((value >> 4, value & 15))
                out[y, x : x + count] = run[: max(0, width - x)]
            else:
                out[y, x : x + count] = value
            x += count
        elif value == 0:
            x, y = 0, y + 1
        elif value == 1:
            return out
        elif value == 2:
            if position >= end:
                break
            x, y = x + data[position], y + data[position + 1]
            position += 2
        else:
            length = (value + 1) // 2 if nibbles else value
            literal = np.frombuffer(data[position : position + length], np.uint8)
            if len(literal) < length:
                break
            if nibbles:
                literal = np.stack((literal >> 4, literal & 15), axis=-1).reshape(-1)[:value]
            out[y, x : x + value] = literal[: max(0, width - x)]
            x += value
            position += length + length % 2
    if y < height - 1 or (y == height - 1 and x < width):
        raise CorruptImage("The BMP file is cut short; its last rows are missing.")
    return out
