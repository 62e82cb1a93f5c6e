"""Files that were made to hurt: bombs, cut-off ones, and things that are no pictures."""

from __future__ import annotations

import functools
import gzip
import io
import struct
import zipfile
import zlib

from PIL import Image, ImageCms

from tests.e2e.service import picture

# ---------------------------------------------------------------- pieces


def png(width: int, height: int, *chunks: tuple[bytes, bytes], bits: int = 8, colour: int = 0):
    """A PNG of these chunks between its header and its end."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    middle = b"".join(chunk(*each) for each in chunks)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + middle + chunk(b"IEND", b"")


@functools.cache
def zeros(size: int) -> bytes:
    """``size`` zeros, deflated: a thousandth of it."""
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    parts = [packer.compress(piece) for _ in range(size >> 20)]
    return b"".join(parts) + packer.compress(bytes(size & 0xFFFFF)) + packer.flush()


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP"
    for kind, data in chunks:
        body += kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(*entries: tuple[int, int, int, int], following: int = 0, data: bytes = b"") -> bytes:
    """A TIFF of one directory: tag, type, count, value."""
    ifd = struct.pack("<H", len(entries))
    for entry in sorted(entries):
        ifd += struct.pack("<HHII", *entry)
    return b"II*\0" + struct.pack("<I", 8) + ifd + struct.pack("<I", following) + data


def _tiff_picture(width: int, height: int, following: int = 0) -> bytes:
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 8)]
    entries += [(262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, height)]
    at = 8 + 2 + 12 * (len(entries) + 2) + 4
    data = zeros(width * height if width * height < 1 << 24 else 1 << 20)
    entries += [(273, 4, 1, at), (279, 4, 1, len(data))]
    return tiff(*entries, following=following, data=data)


def _jpeg_that_claims(width: int, height: int) -> bytes:
    data = picture(64, kind="JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def _gif(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0"
    return b"GIF89a" + screen + frame + b";"


def _webp_that_claims(side: int) -> bytes:
    inner = picture(16, kind="WEBP", lossless=True)
    vp8l = inner[inner.index(b"VP8L") + 8 :]
    canvas = struct.pack("<I", side - 1)[:3]
    return riff((b"VP8X", bytes(4) + canvas * 2), (b"VP8L", vp8l))


def _animated(kind: str, frames: int) -> bytes:
    stream = io.BytesIO()
    pictures = [Image.new("L", (8, 8), 40 + n % 200) for n in range(frames)]
    pictures[0].save(stream, kind, save_all=True, append_images=pictures[1:], duration=10)
    return stream.getvalue()


# ---------------------------------------------------------------- the files

PIXELS = 4_000_000
"""Most pixels that the server of these tests takes."""

METADATA = 1 << 20
"""Most bytes of metadata that it takes."""

TOO_LARGE = {
    "a PNG's header of 65535 x 65535": lambda: png(65535, 65535, (b"IDAT", zeros(1 << 16))),
    "a whole PNG of 20000 x 20000": lambda: png(
        20000, 20000, (b"IDAT", zeros(2501 * 20000)), bits=1
    ),
    "a JPEG that says 65500 x 65500": lambda: _jpeg_that_claims(65500, 65500),
    "a GIF of 65535 x 65535": lambda: _gif(65535, 65535),
    "a BMP of 65535 x 65535": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, 65535, 65535, 1, 24, *[0] * 6)
    ),
    "a TIFF of 60000 x 60000": lambda: _tiff_picture(60000, 60000),
    "EXIF of 5 MB": lambda: _with_exif(5 << 20),
    "a profile of 5 MB": lambda: picture(32, icc_profile=_profile(5 << 20)),
}
"""Refused for their size, before it is there."""

BOMBS = {
    "a WebP that says 2^24": lambda: _webp_that_claims(1 << 24),
    "a PNG's header of 2^31 - 1": lambda: png(2**31 - 1, 2**31 - 1, (b"IDAT", zeros(1 << 16))),
    "a PNG with 200 MB behind its pixels": lambda: png(64, 64, (b"IDAT", zeros(200 << 20))),
    "a PNG with a profile of 200 MB": lambda: png(
        64, 64, (b"iCCP", b"x\0\0" + zeros(200 << 20)), (b"IDAT", zeros(65 * 64))
    ),
    "a PNG with a text of 200 MB": lambda: png(
        64, 64, (b"zTXt", b"x\0\0" + zeros(200 << 20)), (b"IDAT", zeros(65 * 64))
    ),
    "a PNG with XMP of 200 MB": lambda: png(
        64,
        64,
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zeros(200 << 20)),
        (b"IDAT", zeros(65 * 64)),
    ),
    "a PNG of 5000 texts": lambda: png(
        64, 64, *[(b"tEXt", b"x\0" + b"y" * 50)] * 5000, (b"IDAT", zeros(65 * 64))
    ),
    "a TIFF whose directory follows itself": lambda: _tiff_picture(64, 64, following=8),
    "a GIF of 2000 frames": lambda: _animated("GIF", 2000),
    "a WebP of 300 frames": lambda: _animated("WEBP", 300),
    "a PNG of 300 frames": lambda: _animated("PNG", 300),
}
"""Answered somehow, without harm."""


def _profile(size: int) -> bytes:
    """A colour profile that is right, and far too long."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return struct.pack(">I", size) + made[4:].ljust(size - 4, b"\0")


def _with_exif(size: int) -> bytes:
    whole = picture(32)
    content = tiff((0x010E, 2, size, 26), data=b"x" * size)
    chunk = b"eXIf" + content
    chunk = struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return whole[:33] + chunk + whole[33:]


_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'width="64" height="64"><image width="64" height="64" xlink:href="{0}"/></svg>'
)
_ENTITY = '<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{0}">]>'

_NO_PICTURES = {
    "SVG": _SVG,
    "SVG after blanks": "\ufeff \n" + _SVG,
    "SVG with an entity": _ENTITY + "<svg><text>&x;</text></svg>",
    "HTML": '<!doctype html><img src="{0}">',
    "MVG": "push graphic-context\nviewbox 0 0 64 64\nimage over 0,0 0,0 '{0}'\npop graphic-context",
    "MVG with a command": "push graphic-context\nfill 'url({0}\"|touch /tmp/superres-was-here\")'",
    "MSL": '<?xml version="1.0"?><image><read filename="{0}"/></image>',
    "PostScript": "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(/etc/passwd) (r) file",
    "PDF": "%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/URI/URI({0})>>>>endobj",
    "a list of files": "@/etc/passwd",
    "a playlist": "#EXTM3U\n#EXTINF:10,\n{0}\n",
    "text": "just words",
}


def no_pictures(address: str) -> dict[str, bytes]:
    """Formats that other programs render, and that could fetch ``address``, run things, …"""
    found = {name: text.replace("{0}", address).encode() for name, text in _NO_PICTURES.items()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.png", picture(8))
    found |= {
        "SVG, packed": gzip.compress(found["SVG"]),
        "SVG in UTF-16": found["SVG"].decode().encode("utf-16"),
        "EPS in a box": b"\xc5\xd0\xd3\xc6" + struct.pack("<7I", 32, 9, 0, 0, 0, 0, 0xFFFF) + b"%!",
        "a colour profile": struct.pack(">I", 128) + bytes(32) + b"acsp" + bytes(88),
        "PPM": b"P6 8 8 255\n" + bytes(192),
        "a PFM": b"PF\n8 8\n-1.0\n" + bytes(768),
        "Radiance": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 8 +X 8\n" + bytes(256),
        "OpenEXR": b"v/1\x01\x02\0\0\0" + bytes(200),
        "FITS": b"SIMPLE  =                    T".ljust(2880),
        "JPEG XL": b"\xff\x0a" + bytes(60),
        "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60),
        "PSD": b"8BPS\0\x01" + bytes(60),
        "an icon": b"\0\0\x01\0\x01\0\x08\x08\0\0\x01\0\x18\0" + bytes(60),
        "DICOM": bytes(128) + b"DICM" + bytes(60),
        "a ZIP of pictures": archive.getvalue(),
        "a film": b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(60),
        "only zeros": bytes(1000),
    }
    return found


FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF")


def whole(kind: str) -> bytes:
    return picture(64, kind=kind)


POLYGLOTS = {
    "JPEG and a page": lambda: whole("JPEG") + b"<script>alert(1)</script>",
    "JPEG with a page in its comment": lambda: (
        whole("JPEG")[:2] + b"\xff\xfe\x00\x1b<script>alert(1)</script>" + whole("JPEG")[2:]
    ),
    "PNG and a page": lambda: whole("PNG") + b"<script>alert(1)</script>",
    "PNG and a PDF": lambda: whole("PNG") + b"%PDF-1.7<script>alert(1)</script>",
    "GIF and a script": lambda: whole("GIF") + b"*/;<script>alert(1)</script>",
    "WebP and a ZIP": lambda: whole("WEBP") + b"PK\x05\x06<script>alert(1)</script>",
}
"""Pictures and something else, ``<script>``, at once."""
