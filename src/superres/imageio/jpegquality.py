"""The quality that a JPEG was saved with, as far as its quantisation tables tell."""

from __future__ import annotations

import re

import numpy as np

from superres.imageio.content import Content

# ITU-T T.81, annex K.1: tables of luminance and chrominance, in rows.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99,) * 32,
)
_TABLES, _SCAN, _END = 0xDB, 0xDA, 0xD9
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
# More segments, or more between them, than any writer makes in front of the pixels.
_MAX_SEGMENTS, _MAX_GAP = 10_000, 1 << 16


def jpeg_quality(content: Content) -> int | None:
    """The quality, 1…100, that libjpeg would have to be given for tables as coarse as these.

    What libjpeg itself saved is told exactly; of other tables, the nearest by their sum. None:
    it has no tables.
    """
    tables = _tables(content)
    sums = [sum(tables[number]) for number in sorted(tables)][:2]
    if not sums:
        return None
    wide = max(max(table) for table in tables.values()) > 255
    expected = sum(_sums(base, wide) for base in (_LUMINANCE, _CHROMINANCE)[: len(sums)])
    # Of equal ones the best: at the very bottom every entry is as coarse as it can be.
    return 100 - int(np.argmin(np.abs(expected - sum(sums))[::-1]))


def _sums(base: tuple[int, ...], wide: bool) -> np.ndarray:
    """Sums of ``base`` at the qualities 1 to 100, scaled as libjpeg scales (jcparam.c)."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    scaled = (np.array(base) * percent + 50) // 100
    sums: np.ndarray = scaled.clip(1, 32_767 if wide else 255).sum(axis=1)
    return sums


def _tables(content: Content) -> dict[int, tuple[int, ...]]:
    """Quantisation tables in front of the first scan, by their number."""
    found: dict[int, tuple[int, ...]] = {}
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker = _MARKER.search(content.read_at(position, 16)) or _MARKER.search(
            content.read_at(position, _MAX_GAP)
        )
        if marker is None or marker[1][0] in (_SCAN, _END):
            break
        position += marker.end()
        length = int.from_bytes(content.read_at(position, 2), "big")
        if length < 2:
            break
        if marker[1][0] == _TABLES:
            _read(content.read_at(position + 2, length - 2), found)
        position += length
    return found


def _read(segment: bytes, into: dict[int, tuple[int, ...]]) -> None:
    while segment:
        size = 2 if segment[0] >> 4 else 1
        entries = segment[1 : 1 + 64 * size]
        if len(entries) < 64 * size:
            return
        into[segment[0] & 15] = tuple(
            int.from_bytes(entries[at : at + size], "big") for at in range(0, len(entries), size)
        )
        segment = segment[1 + 64 * size :]
