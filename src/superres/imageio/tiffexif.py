"""EXIF in TIFF files, which libvips neither reads nor writes.

A TIFF has no EXIF block: its own first directory holds what an EXIF block's first directory
would (maker, date, ...) and points to the Exif and GPS directories (TIFF tags 34665, 34853).
"""

from __future__ import annotations

import re
import struct

from superres.imageio.content import Content
from superres.imageio.exif import compose, parse
from superres.imageio.ifd import (
    EXIF,
    GPS,
    Directory,
    Read,
    Value,
    read_directory,
    read_entries,
    read_start,
    store,
)
from superres.imageio.limits import Limits

_DESCRIPTION = 270
# Not those that describe the stored pixels: they belong to one file only.
_DESCRIPTIVE = {
    269,  # DocumentName
    _DESCRIPTION,
    271,  # Make
    272,  # Model
    305,  # Software
    306,  # DateTime
    315,  # Artist
    316,  # HostComputer
    0x4746,  # Rating
    0x4749,  # RatingPercent
    33432,  # Copyright
    *range(0x9C9B, 0x9CA0),  # XPTitle, XPComment, XPAuthor, XPKeywords, XPSubject
    EXIF,
    GPS,
}
# Descriptions by which tifffile, ImageJ and OME state the size of the very file.
_STRUCTURAL = re.compile(rb'\s*\{"shape"|ImageJ=|.{0,4096}<OME[\s>]', re.DOTALL)
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003
_LONG = 4


def read_exif(content: Content, limits: Limits) -> bytes | None:
    """An EXIF block made of the file's first directory; None if it states nothing.

    What is damaged is left out.

    Raises:
        ImageTooLarge: more EXIF than ``limits.max_metadata_bytes``.
    """
    spent = 0

    def spend(length: int) -> None:
        nonlocal spent
        spent += length
        limits.check_metadata(spent)

    def read(offset: int, length: int) -> bytes:
        return content.read_at(offset, length)

    try:
        form, _, position = read_start(read)
    except struct.error:
        return None
    directory = read_directory(read, content.size, position, form, spend, only=_DESCRIPTIVE)
    description = directory.get(_DESCRIPTION)
    if isinstance(description, Value) and _STRUCTURAL.match(description.data):
        del directory[_DESCRIPTION]
    return compose(form.order, directory) if directory else None


def exif_edits(
    read: Read, size: int, exif: bytes, width: int, height: int
) -> list[tuple[int, bytes]]:
    """What to write where in a finished TIFF of one page, so that it holds ``exif``.

    The first directory is written anew at the file's end, with the block's descriptive tags
    and its Exif and GPS directories behind. The old one stays where it is, unused.

    Args:
        read: bytes of the file at an offset.
        size: of the file.
        exif: the block; its orientation and resolution are not taken over, as the file
            states its own.
        width, height: replace the pixel dimensions in the block.

    Returns:
        Offset and bytes of the file's new end and of the link to it; nothing if the block is
        damaged or has nothing for a TIFF.
    """
    try:
        order, block = parse(exif)
    except struct.error:
        return []
    directory: Directory = {tag: block[tag] for tag in block if tag in _DESCRIPTIVE}
    if not directory:
        return []
    details = directory.get(EXIF)
    if isinstance(details, dict):
        for tag, side in ((_PIXEL_WIDTH, width), (_PIXEL_HEIGHT, height)):
            details[tag] = Value(_LONG, 1, struct.pack(order + "I", side))
    form, link, position = read_start(read)
    placed, following = read_entries(read, position, form)
    end = (size + 7) // 8 * 8
    tail = store(directory, order, form, end, placed, following)
    return [(size, b"\0" * (end - size) + tail), (link, struct.pack(form.word, end))]
