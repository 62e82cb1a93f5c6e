r"""EXIF and XMP blocks: small repairs in place, and EXIF blocks taken apart and put together.

EXIF layout after the Exif 2.32 standard (CIPA DC-008), section 4.5: an optional
``Exif\0\0`` prefix, then a TIFF file of directories (IFDs).
"""

from __future__ import annotations

import contextlib
import re
import struct

from superres.imageio.ifd import (
    Directory,
    Form,
    leaves,
    read_directory,
    read_start,
    store,
)

_PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation(?:\s*=\s*[\"']|>\s*))[2-8]")


def without_prefix(exif: bytes) -> bytes:
    """The block from its byte order mark on, as PNG and WebP store it."""
    return exif.removeprefix(_PREFIX)


def upright(exif: bytes) -> bytes:
    """The same block with the orientation tag, if there is one, set to 1 in place.

    A block too damaged to walk is returned unchanged.
    """
    with contextlib.suppress(struct.error):
        order, directory, count = _first_directory(exif)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == _ORIENTATION and kind in (3, 4):
                value = (
                    struct.pack(order + "HH", 1, 0) if kind == 3 else struct.pack(order + "I", 1)
                )
                return exif[: entry + 8] + value + exif[entry + 12 :]
    return exif


def without_thumbnail(exif: bytes) -> bytes:
    """The same block with the link to the second directory, the thumbnail's, cut.

    The thumbnail's bytes stay where they were; a writer that parses the block drops them.
    """
    with contextlib.suppress(struct.error):
        order, directory, count = _first_directory(exif)
        link = directory + 2 + 12 * count
        struct.unpack_from(order + "I", exif, link)
        return exif[:link] + b"\0\0\0\0" + exif[link + 4 :]
    return exif


def parse(exif: bytes) -> tuple[str, Directory]:
    """The byte order and the tags of a block, without the thumbnail and what is damaged.

    Raises:
        struct.error: not an EXIF block.
    """
    block = without_prefix(exif)
    left = len(block)

    def read(offset: int, length: int) -> bytes:
        return block[offset : offset + length]

    def spend(length: int) -> None:
        # Values that share their bytes could add up to gigabytes.
        nonlocal left
        left -= length
        if left < 0:
            raise struct.error("values overlap")

    form, _, position = read_start(read)
    return form.order, read_directory(read, len(block), position, form, spend)


def compose(order: str, directory: Directory) -> bytes:
    """A block with these tags; the reverse of :func:`parse`."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(order + "HI", 42, 8)
    return _PREFIX + head + store(directory, order, Form(order), 8)


def slim(exif: bytes, most: int) -> bytes:
    """The block, without its thumbnail and its longest values if it has over ``most`` bytes."""
    if len(exif) <= most:
        return exif
    try:
        order, directory = parse(exif)
    except struct.error:
        return exif
    values = sorted(leaves(directory), key=lambda leaf: leaf[0])
    # 12 bytes an entry; a filling byte; 64 for the block's head and the directories' ends.
    size = 64 + sum(length + 13 for length, _, _ in values)
    while values and size > most:
        length, parent, tag = values.pop()
        del parent[tag]
        size -= length + 13
    return compose(order, directory)


def _first_directory(exif: bytes) -> tuple[str, int, int]:
    """Byte order for struct, offset of the first directory, number of its entries."""
    start = len(_PREFIX) if exif.startswith(_PREFIX) else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        raise struct.error("no byte order mark")
    (directory,) = struct.unpack_from(order + "I", exif, start + 4)
    directory += start
    (count,) = struct.unpack_from(order + "H", exif, directory)
    return order, directory, count


def upright_xmp(xmp: bytes) -> bytes:
    """The same packet with ``tiff:Orientation`` set to 1; its length does not change."""
    return _XMP_ORIENTATION.sub(rb"\g<1>1", xmp)
