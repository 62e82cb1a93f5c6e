"""Directories (IFDs) of EXIF blocks and TIFF files: read into dictionaries, written anew.

After TIFF 6.0, section 2; BigTIFF design; Exif 2.32 (CIPA DC-008), section 4.6.3 for the
directories below the first. A MakerNote is copied as it is: offsets that a camera's maker
hides inside one point nowhere afterwards, as after any program that rewrites EXIF.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
"""Tags that point to a directory."""

_LONG, _IFD, _LONG8, _IFD8 = 4, 13, 16, 18
# Bytes of one value of each type, and the width of the numbers it is made of.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_WIDTHS = _SIZES | {5: 4, 10: 4}
_BELOW = {EXIF: {INTEROPERABILITY}, GPS: set[int](), INTEROPERABILITY: set[int]()}
_MOST_TAGS = 4096

Read: TypeAlias = Callable[[int, int], bytes]
"""``read(offset, length)``; fewer bytes at the end."""


class Value(NamedTuple):
    """One tag's type, number of values and their bytes, in the byte order of their block."""

    kind: int
    number: int
    data: bytes


Directory: TypeAlias = "dict[int, Value | Directory]"


class Form(NamedTuple):
    """How a file writes its directories: byte order for struct, and whether it is a BigTIFF."""

    order: str
    big: bool = False

    @property
    def counter(self) -> str:
        """Struct code of the number of entries."""
        return self.order + ("Q" if self.big else "H")

    @property
    def word(self) -> str:
        """Struct code of an offset."""
        return self.order + ("Q" if self.big else "I")

    @property
    def inline(self) -> int:
        """Bytes of a value that stand in the entry itself; also those of an offset."""
        return 8 if self.big else 4

    @property
    def entry(self) -> int:
        """Bytes of an entry."""
        return 20 if self.big else 12


def read_start(read: Read) -> tuple[Form, int, int]:
    """The form of a TIFF file or prefix-less EXIF block, where the offset of its first
    directory stands, and that offset.

    Raises:
        struct.error: there is none.
    """
    head = read(0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        raise struct.error("no byte order mark")
    form = Form(order, head[2:4] in (b"+\0", b"\0+"))
    at = 8 if form.big else 4
    return form, at, struct.unpack_from(form.word, head, at)[0]


def read_entries(read: Read, position: int, form: Form) -> tuple[dict[int, bytes], int]:
    """The raw entries of a directory, and the offset of the next directory (0: none).

    Raises:
        struct.error: there is no whole directory.
    """
    size = struct.calcsize(form.counter)
    (count,) = struct.unpack(form.counter, read(position, size))
    if count > _MOST_TAGS:
        raise struct.error("too many tags")
    length = count * form.entry
    data = read(position + size, length + form.inline)
    (following,) = struct.unpack_from(form.word, data, length)
    raw = (data[at : at + form.entry] for at in range(0, length, form.entry))
    return {struct.unpack_from(form.order + "H", entry)[0]: entry for entry in raw}, following


def read_directory(
    read: Read,
    size: int,
    position: int,
    form: Form,
    spend: Callable[[int], None],
    below: set[int] | None = None,
    only: set[int] | None = None,
) -> Directory:
    """A directory with its values and the directories below it; what is damaged is left out.

    Args:
        read: bytes at an offset.
        size: of the whole file or block.
        position: of the directory.
        form: see :class:`Form`.
        spend: called with the length of each value before it is read; may raise to stop.
        below: tags that point to directories; Exif and GPS if None.
        only: tags wanted of this directory; all if None.
    """
    below = {EXIF, GPS} if below is None else below
    try:
        entries, _ = read_entries(read, position, form)
    except struct.error:
        return {}
    directory: Directory = {}
    for tag, entry in entries.items():
        if only is not None and tag not in only:
            continue
        kind, count = struct.unpack_from(form.order + "H" + form.word[1:], entry, 2)
        pointer = entry[-form.inline :]
        if tag in below and count == 1 and kind in (_LONG, _IFD, _LONG8, _IFD8):
            code = "Q" if kind in (_LONG8, _IFD8) and form.big else "I"
            (where,) = struct.unpack_from(form.order + code, pointer)
            if found := read_directory(read, size, where, form, spend, _BELOW[tag]):
                directory[tag] = found
        elif tag not in _BELOW and kind in _SIZES and count > 0:
            length = _SIZES[kind] * count
            if length <= form.inline:
                directory[tag] = Value(kind, count, pointer[:length])
                continue
            (where,) = struct.unpack(form.word, pointer)
            if where + length <= size:
                spend(length)
                directory[tag] = Value(kind, count, read(where, length))
    return directory


def store(
    directory: Directory,
    source: str,
    form: Form,
    at: int,
    placed: Mapping[int, bytes] | None = None,
    following: int = 0,
) -> bytes:
    """A directory as bytes that belong at the offset ``at``, its values and those below behind.

    Args:
        directory: what to write.
        source: byte order of its values.
        form: of the result.
        at: even.
        placed: raw entries of this form that go in unchanged; ``directory`` wins over them.
        following: offset of the next directory.
    """
    tags = sorted({*directory, *(placed or {})})
    outside = bytearray()
    outside_at = at + struct.calcsize(form.counter) + form.entry * len(tags) + form.inline
    table = struct.pack(form.counter, len(tags))
    for tag in tags:
        value = directory.get(tag)
        if value is None:
            assert placed is not None
            table += placed[tag]
            continue
        here = outside_at + len(outside)
        if isinstance(value, dict):
            kind, number, data = (_LONG8 if form.big else _LONG), 1, struct.pack(form.word, here)
            outside += store(value, source, form, here)
        else:
            kind, number, data = value
            if source != form.order:
                data = np.frombuffer(data, f"u{_WIDTHS[kind]}").byteswap().tobytes()
            if len(data) > form.inline:
                outside += data + b"\0" * (len(data) % 2)
                data = struct.pack(form.word, here)
        table += struct.pack(form.order + "HH", tag, kind)
        table += struct.pack(form.word, number) + data.ljust(form.inline, b"\0")
    return table + struct.pack(form.word, following) + bytes(outside)


def leaves(directory: Directory) -> Iterator[tuple[int, Directory, int]]:
    """Each value's length, the directory it is in (this one or one below) and its tag."""
    for tag, value in directory.items():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield len(value.data), directory, tag
