"""Where a picture was taken, removed from its metadata and nothing else.

Exif 2.32 (CIPA DC-008), section 4.6.6 (GPS directory); XMP specification part 1 and the
namespaces exif, photoshop and Iptc4xmpCore/Ext; IPTC-IIM 4.2, datasets of record 2, inside
Photoshop's image resources where the block begins with them.

When in doubt, more goes: a block that cannot be taken apart is left out whole, and so is a
camera's MakerNote, which nobody can read and several makers write positions and place names into.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from xml.parsers import expat

from superres.imageio.exif import compose, parse
from superres.imageio.ifd import EXIF, GPS
from superres.imageio.picture import Metadata

_MAKER_NOTE = 0x927C
# XMP, IPTC and Photoshop blocks in an EXIF block, and GeoTIFF's six: they may tell it again.
_MAY_TELL = (700, 33723, 34377, 33550, 33922, 34264, 34735, 34736, 34737)

# Names without prefix, lower case: which namespace a prefix stands for is the file's choice.
_PLACES = frozenset(
    {
        *("location", "sublocation", "locationcreated", "locationshown", "locationname"),
        *("locationid", "shotlocation", "city", "state", "provincestate", "province"),
        *("country", "countrycode", "countryname", "worldregion"),
        *("lat", "lat_long", "latitude", "long", "longitude", "geotag"),
    }
)
_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*(?:"[^"]*"|'[^']*')""")

_PHOTOSHOP = b"Photoshop 3.0\0"
_IPTC_RESOURCE = 0x0404
_RETELLING = {0x0422, 0x0423, 0x0424}  # EXIF, EXIF, XMP
_PLACE_DATASETS = {26, 27, 90, 92, 95, 100, 101}  # content location, city … country


def without_location(metadata: Metadata) -> Metadata:
    """The same metadata without coordinates and names of the place."""
    return replace(
        metadata,
        exif=None if metadata.exif is None else exif_without_location(metadata.exif),
        xmp=None if metadata.xmp is None else xmp_without_location(metadata.xmp),
        iptc=None if metadata.iptc is None else iptc_without_location(metadata.iptc),
    )


def exif_without_location(exif: bytes) -> bytes | None:
    """The block without GPS directory and MakerNote; None if it cannot be read or is empty."""
    try:
        order, directory = parse(exif)
    except struct.error:
        return None
    for tag in (GPS, *_MAY_TELL):
        directory.pop(tag, None)
    details = directory.get(EXIF)
    if isinstance(details, dict):
        details.pop(_MAKER_NOTE, None)
    return compose(order, directory) if directory else None


def xmp_without_location(xmp: bytes) -> bytes | None:
    """The packet without elements and attributes that name a place; the rest byte for byte.

    None if it is not well-formed UTF-8 XML, or has a document type (which XMP forbids, and
    which could define a place under another name).
    """
    body = xmp.rstrip(b"\0")
    finder = _Finder(body)
    try:
        finder.parser.Parse(body, True)
    except (expat.ExpatError, _Unfit):
        return None
    kept, at = [], 0
    for start, end in sorted(finder.spans):
        if start >= at:
            kept.append(body[at:start])
            at = end
    return b"".join([*kept, body[at:]])


def iptc_without_location(iptc: bytes) -> bytes | None:
    """The block without the datasets of places; None if it cannot be read or is empty."""
    try:
        if iptc.startswith(_PHOTOSHOP):
            resources = _resources(iptc[len(_PHOTOSHOP) :])
            return _PHOTOSHOP + resources if resources else None
        return _datasets(iptc) or None
    except (struct.error, ValueError):
        return None


class _Unfit(Exception):
    """The packet is of a kind that is not looked through."""


class _Finder:
    """Finds the spans of bytes to remove from a packet."""

    def __init__(self, body: bytes) -> None:
        self.spans: list[tuple[int, int]] = []
        self._body = body
        self._depth = 0
        self._inside: tuple[int, int] | None = None
        # Named, so that what the packet declares of itself cannot shift the offsets.
        self.parser = parser = expat.ParserCreate("UTF-8")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise _Unfit

    def _start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        if self._inside is not None:
            return
        at = self.parser.CurrentByteIndex
        behind, attributes = at + 1 + len(name.encode()), []
        while found := _ATTRIBUTE.match(self._body, behind):
            behind = found.end()
            if _tells(found[1].decode()):
                attributes.append(found.span())
        if not _tells(name):
            self.spans += attributes
            return
        end = self._body.index(b">", behind)
        # An empty element's end is told at a place that may also be the end tag of its parent.
        empty = self._body[end - 1 : end] == b"/"
        if empty:
            self.spans.append((at, end + 1))
        self._inside = self._depth, (-1 if empty else at)

    def _end(self, _name: str) -> None:
        if self._inside is not None and self._inside[0] == self._depth:
            start = self._inside[1]
            if start >= 0:
                end = self._body.index(b">", self.parser.CurrentByteIndex) + 1
                self.spans.append((start, end))
            self._inside = None
        self._depth -= 1


def _tells(name: str) -> bool:
    prefix, _, local = name.lower().rpartition(":")
    if prefix == "xmlns":
        return False
    return local.startswith("gps") or local in _PLACES


def _resources(block: bytes) -> bytes:
    """Photoshop's image resources, their place datasets and retellings left out."""
    kept = b""
    at = 0
    while at + 12 <= len(block) and block[at : at + 4] == b"8BIM":
        (kind,) = struct.unpack_from(">H", block, at + 4)
        name_end = at + 6 + (block[at + 6] + 2) // 2 * 2
        (length,) = struct.unpack_from(">I", block, name_end)
        data = block[name_end + 4 : name_end + 4 + length]
        if len(data) < length:
            raise ValueError("cut short")
        if kind == _IPTC_RESOURCE:
            data = _datasets(data)
        if data and kind not in _RETELLING:
            padding = b"\0" * (len(data) % 2)
            kept += block[at:name_end] + struct.pack(">I", len(data)) + data + padding
        at = name_end + 4 + (length + 1) // 2 * 2
    return kept


def _datasets(block: bytes) -> bytes:
    """IIM datasets without those of places; padding behind the last is dropped."""
    kept = b""
    at = 0
    while at + 5 <= len(block) and block[at] == 0x1C:
        record, dataset, length = struct.unpack_from(">BBH", block, at + 1)
        head = 5
        if length & 0x8000:  # extended: this many bytes hold the length
            head += length & 0x7FFF
            length = int.from_bytes(block[at + 5 : at + head])
        end = at + head + length
        if end > len(block):
            raise ValueError("cut short")
        if not (record == 2 and dataset in _PLACE_DATASETS):
            kept += block[at:end]
        at = end
    if block[at:].strip(b"\0"):
        raise ValueError("not datasets")
    return kept
