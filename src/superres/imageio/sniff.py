"""Which format some bytes are, told from the bytes alone, never from a file name."""

from __future__ import annotations

import re

from superres.errors import CorruptImage, UnsupportedFormat
from superres.imageio.content import Content

READABLE = ("jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "heic")
"""Formats that are read."""

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}


def sniff(content: Content) -> str:
    """The format's name, one of :data:`READABLE`.

    Raises:
        CorruptImage: there are no bytes at all.
        UnsupportedFormat: the first bytes belong to no format that is read.
    """
    head = content.read_at(0, 64)
    if not head:
        raise CorruptImage("The file is empty (0 bytes); there is no picture in it.")
    name = _match(head)
    if name is None:
        looks = _explain(head)
        raise UnsupportedFormat(
            f"The file is not a picture that can be read{looks}; "
            "JPEG, PNG, WebP, TIFF, BMP, GIF, AVIF and HEIC are."
        )
    return name


def _match(head: bytes) -> str | None:
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    # "BM" alone is two letters that text may begin with: the info header's size must fit too.
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in (
        12,
        40,
        52,
        56,
        64,
        108,
        124,
    ):
        return "bmp"
    if head[4:8] == b"ftyp":
        length = min(int.from_bytes(head[:4], "big"), len(head))
        brands = {head[8:12]} | {head[i : i + 4] for i in range(16, length - 3, 4)}
        if brands & _AVIF_BRANDS:
            return "avif"
        if brands & _HEIC_BRANDS:
            return "heic"
    return None


def _explain(head: bytes) -> str:
    """A hint for the commonest wrong files."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")[:32].lower()
    if start.startswith(b"%pdf"):
        return " (it looks like a PDF)"
    if start.startswith((b"<svg", b"<?xml")):
        return " (it looks like SVG or XML)"
    if start.startswith((b"<!doctype html", b"<html")):
        return " (it looks like a web page)"
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return " (it looks like JPEG XL)"
    return ""


def is_lossless_webp(content: Content) -> bool:
    """Whether the first frame of a WebP file is stored as VP8L (lossless)."""
    for name, _offset, _length in riff_chunks(content):
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        if name == b"ANMF":
            # A frame's own chunks start after its 16 byte header; ALPH may come first.
            position, end = _offset + 16, _offset + _length
            while position + 8 <= end:
                inner = content.read_at(position, 8)
                if inner[:4] in (b"VP8L", b"VP8 "):
                    return inner[:4] == b"VP8L"
                position += 8 + (int.from_bytes(inner[4:8], "little") + 1) // 2 * 2
            return False
    return False


def riff_chunks(content: Content, most: int = 64) -> list[tuple[bytes, int, int]]:
    """The first chunks of a WebP file: name, offset of the payload, its length."""
    found: list[tuple[bytes, int, int]] = []
    position = 12
    while position + 8 <= content.size and len(found) < most:
        head = content.read_at(position, 8)
        length = int.from_bytes(head[4:8], "little")
        found.append((head[:4], position + 8, length))
        position += 8 + (length + 1) // 2 * 2
    return found


def png_frames(content: Content) -> int:
    """Frames of a PNG: the acTL chunk's count for an animated PNG, else 1."""
    position = 8
    # acTL stands before the pixel data; no sane file has hundreds of chunks before it.
    for _ in range(256):
        head = content.read_at(position, 12)
        if len(head) < 8 or head[4:8] in (b"IDAT", b"IEND"):
            return 1
        if head[4:8] == b"acTL":
            return max(1, int.from_bytes(head[8:12], "big"))
        position += 12 + int.from_bytes(head[:4], "big")
    return 1


def sequence_frames(content: Content) -> int:
    """Frames of an AVIF or HEIC image sequence; 1 if the file has no track.

    libvips sees only the still picture in such a file. The count is that of the sample
    table (ISO/IEC 14496-12, box stsz) of the longest track.
    """
    position = 0
    for _ in range(64):
        head = content.read_at(position, 8)
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"moov":
            box = content.read_at(position, min(length, 1 << 20))
            starts = [at.start() for at in re.finditer(b"stsz", box)]
            return max([1, *(int.from_bytes(box[at + 12 : at + 16], "big") for at in starts)])
        if len(head) < 8 or length < 8:
            return 1
        position += length
    return 1
