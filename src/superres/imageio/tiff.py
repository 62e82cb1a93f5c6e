"""The few TIFF tags that libvips does not pass on (TIFF 6.0; BigTIFF)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from superres.errors import CorruptImage, UnsupportedFormat
from superres.imageio.content import Content

_WIDTH, _HEIGHT = 256, 257
_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLE_KIND = 254, 258, 259, 262, 339
_LOSSY = {6, 7, 34892, 50001, 34712, 50002}
_CIELAB, _PLAIN_RGB = 8, 2
_MOST_PAGES = 10_000
_MOST_TAGS = 4096


@dataclass(frozen=True)
class TiffInfo:
    """Facts of a TIFF file.

    Attributes:
        pages: pictures in the main chain, without thumbnails and other reduced copies.
        lossy: the first picture is stored with a lossy compression (JPEG, WebP, ...).
        width, height: as stored; 0 if the file does not say.
        lab8_at: where the file says that its first picture is 8 bit CIE L*a*b*, or None.
    """

    pages: int
    lossy: bool
    lab8_at: int | None
    width: int
    height: int
    _order: str

    def as_rgb(self, content: Content) -> bytes:
        """The whole 8 bit Lab file, changed to claim RGB.

        libvips 8.18 refuses 8 bit Lab ("bad labq format"); under the name of RGB its
        samples come through as they are.
        """
        data = bytearray(content.read_at(0, content.size))
        struct.pack_into(self._order + "H", data, self.lab8_at or 0, _PLAIN_RGB)
        return bytes(data)


def read_tiff_info(content: Content) -> TiffInfo:
    """Walk the chain of directories.

    Raises:
        CorruptImage: the first directory cannot be read.
        UnsupportedFormat: samples that are not unsigned integers of at most 16 bits.
    """
    head = content.read_at(0, 16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\0", b"\0+")
    try:
        (position,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
        tags, following = _directory(content, position, order, big)
    except struct.error as exc:
        raise CorruptImage("The TIFF file is cut short before its first directory.") from exc
    pages, seen = 1, {position}
    while following and following not in seen and len(seen) < _MOST_PAGES:
        seen.add(following)
        try:
            more, following = _directory(content, following, order, big)
        except struct.error:
            break
        # Bit 0: a reduced copy of another picture; bit 2: a transparency mask.
        pages += not more.get(_SUBFILE, (0, 0))[0] & 5
    bits, kind = tags.get(_BITS, (1, 0))[0], tags.get(_SAMPLE_KIND, (1, 0))[0]
    if bits > 16 or kind not in (1, 4):
        name = {2: "signed integer", 3: "floating point"}.get(kind, "integer")
        raise UnsupportedFormat(
            f"The TIFF file stores {bits} bit {name} samples; "
            "save it with 8 or 16 bits per channel."
        )
    photometric, where = tags.get(_PHOTOMETRIC, (1, 0))
    lab8_at = where if photometric == _CIELAB and bits == 8 else None
    return TiffInfo(
        pages=pages,
        lossy=tags.get(_COMPRESSION, (1, 0))[0] in _LOSSY,
        lab8_at=lab8_at,
        width=tags.get(_WIDTH, (0, 0))[0],
        height=tags.get(_HEIGHT, (0, 0))[0],
        _order=order,
    )


def _directory(
    content: Content, position: int, order: str, big: bool
) -> tuple[dict[int, tuple[int, int]], int]:
    """The first value of each short or long tag with its offset, and the next directory."""
    head, entry, word = (8, 20, "Q") if big else (2, 12, "I")
    (count,) = struct.unpack(order + ("Q" if big else "H"), content.read_at(position, head))
    if count > _MOST_TAGS:
        raise struct.error("too many tags")
    data = content.read_at(position + head, count * entry)
    tags = {}
    for index in range(count):
        tag, kind = struct.unpack_from(order + "HH", data, index * entry)
        if kind not in (3, 4):
            continue
        (values,) = struct.unpack_from(order + word, data, index * entry + 4)
        inline = index * entry + (12 if big else 8)
        where = position + head + inline
        size = 2 if kind == 3 else 4
        if values * size > (8 if big else 4):
            (where,) = struct.unpack_from(order + word, data, inline)
        value = content.read_at(where, size)
        tags[tag] = (struct.unpack(order + ("H" if kind == 3 else "I"), value)[0], where)
    after = content.read_at(position + head + count * entry, 8 if big else 4)
    return tags, struct.unpack(order + word, after)[0]
