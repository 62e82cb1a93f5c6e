"""Putting a picture's metadata onto the result, in the form libvips' savers write.

libvips writes only those EXIF tags that also hang on the picture as parsed fields, and only
its loaders parse them. So the raw block is put into a one-pixel PNG and loaded from there.
"""

from __future__ import annotations

import struct
import zlib

from superres.imageio.exif import slim, upright, upright_xmp, without_prefix, without_thumbnail
from superres.imageio.icc import fits
from superres.imageio.picture import Metadata
from superres.imageio.vips import Image, error_type, library

_DEFAULT_RESOLUTION = 72 / 25.4
# libexif reads 65534 bytes; libvips adds a few hundred (resolution, dimensions).
_MOST_EXIF = 64_000
_MOST_JPEG_XMP, _MOST_JPEG_IPTC = 60_000, 65_000
_WRITTEN_ANEW = ("orientation", "exif-ifd0-Orientation")


def attach(image: Image, metadata: Metadata, file_format: str, *, strip: bool) -> Image:
    """``image`` with profile, EXIF, XMP, IPTC and resolution set; only the profile if ``strip``.

    EXIF loses its thumbnail (which shows the small picture); its orientation becomes 1 and
    the saver writes the new pixel dimensions into it (TIFF: see ``tiffexif``). A block that
    libvips cannot parse is left out. A profile that does not describe this number of channels
    is left out too.

    Too large: libvips reads and JPEG holds less than 64 KB of EXIF, so of a longer block the
    longest values are left out (a maker's note, usually), except in TIFF. JPEG does without
    XMP of over 60,000 bytes and IPTC of over 65,000; the pieces of "extended XMP" are not made.
    """
    vips = library()
    x_res, y_res = metadata.resolution or (_DEFAULT_RESOLUTION, _DEFAULT_RESOLUTION)
    image = image.copy(xres=x_res, yres=y_res)
    blob = vips.GValue.blob_type
    if metadata.icc is not None and fits(metadata.icc, image.bands):
        image.set_type(blob, "icc-profile-data", metadata.icc)
    if strip:
        return image
    if metadata.exif is not None and file_format != "tiff":
        _attach_exif(image, metadata.exif)
    xmp, iptc = metadata.xmp, metadata.iptc
    if file_format == "jpeg":
        # libvips would drop these itself, with a line on stderr.
        xmp = xmp if xmp and len(xmp) <= _MOST_JPEG_XMP else None
        iptc = iptc if iptc and len(iptc) <= _MOST_JPEG_IPTC else None
    if xmp is not None and file_format != "png":  # see insertion()
        image.set_type(blob, "xmp-data", upright_xmp(xmp))
    if iptc is not None:
        image.set_type(blob, "iptc-data", iptc)
    return image


def _attach_exif(image: Image, exif: bytes) -> None:
    vips = library()
    try:
        carrier = vips.Image.pngload_buffer(
            _carrier_png(without_prefix(without_thumbnail(upright(slim(exif, _MOST_EXIF)))))
        )
        fields = carrier.get_fields()
    except error_type():
        return
    if not any(name.startswith("exif-ifd") for name in fields):
        return
    image.set_type(vips.GValue.blob_type, "exif-data", bytes(carrier.get("exif-data")))
    for name in fields:
        # IFD1 describes the thumbnail.
        if name.startswith("exif-ifd1-") or name in _WRITTEN_ANEW:
            continue
        if name.startswith("exif-ifd"):
            image.set_type(vips.GValue.gstr_type, name, carrier.get(name))
    image.set_type(vips.GValue.gint_type, "orientation", 1)


def _carrier_png(exif: bytes) -> bytes:
    """A 1 x 1 grey PNG holding an eXIf chunk."""
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + _png_chunk(b"eXIf", exif)
        + _png_chunk(b"IDAT", zlib.compress(b"\0\0"))
        + _png_chunk(b"IEND", b"")
    )


def _png_chunk(name: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + checksum


def insertion(file_format: str, metadata: Metadata, *, strip: bool) -> tuple[int, bytes]:
    """What libvips leaves out of a file: where it belongs, and its bytes (maybe none).

    JPEG: the JFIF segment, as libvips states the resolution in EXIF only. PNG: XMP as iTXt
    (XMP specification part 3, 1.1.5), as libvips writes zTXt, which others do not look at.
    """
    if file_format == "jpeg":
        return 2, _jfif_segment(metadata.resolution)
    if file_format == "png" and metadata.xmp and not strip:
        text = b"XML:com.adobe.xmp\0\0\0\0\0" + upright_xmp(metadata.xmp)
        return 33, _png_chunk(b"iTXt", text)
    return 0, b""


def _jfif_segment(resolution: tuple[float, float] | None) -> bytes:
    """The APP0 segment (JFIF 1.02); without a resolution that it can hold it states none."""
    unit, x, y = 0, 1, 1
    if resolution is not None:
        dpi = [round(side * 25.4) for side in resolution]
        if all(1 <= side <= 0xFFFF for side in dpi):
            unit, x, y = 1, dpi[0], dpi[1]
    segment = struct.pack(">5sHBHHBB", b"JFIF\0", 0x0102, unit, x, y, 0, 0)
    return b"\xff\xe0" + struct.pack(">H", 2 + len(segment)) + segment
