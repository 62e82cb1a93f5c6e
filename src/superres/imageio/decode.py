"""From a file of any supported format to upright pixels and their metadata.

What comes out is the picture the file describes, whole, or an error: RGB and grey profiles
are kept and their pixels untouched; CMYK and Lab become sRGB (and then carry no profile,
which means sRGB); palettes, 1, 2 and 4 bit samples are expanded; 16 bits stay 16 bits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from superres.errors import CorruptImage, UnsupportedFormat
from superres.imageio.bmp import BmpHeader, decode_bmp, read_bmp_header
from superres.imageio.canvas import IN_MEMORY_BYTES, Canvas
from superres.imageio.content import Content
from superres.imageio.exif import upright, upright_xmp
from superres.imageio.icc import fits, profile_space
from superres.imageio.jpegquality import jpeg_quality
from superres.imageio.limits import Limits
from superres.imageio.orient import orient, orient_canvas, swaps_sides
from superres.imageio.picture import Header, Metadata, Picture
from superres.imageio.scratch import Scratch
from superres.imageio.sniff import is_lossless_webp, png_frames, sequence_frames, sniff
from superres.imageio.tiff import read_tiff_info
from superres.imageio.tiffexif import read_exif
from superres.imageio.vips import Image, drive, error_lines, error_type, library

_LOADERS = {
    "jpeg": "jpegload_source",
    "png": "pngload_source",
    "webp": "webpload_source",
    "tiff": "tiffload_source",
    "gif": "gifload_source",
    "avif": "heifload_source",
    "heic": "heifload_source",
}
_NAMES = {"webp": "WebP"}
_PAGED = ("webp", "tiff", "gif", "avif", "heic")

# Complaints of libjpeg about files that nevertheless decode whole.
_HARMLESS = re.compile(
    r"extraneous bytes before marker|Unknown Adobe color transform|"
    r"Warning: unknown JFIF revision|Inconsistent progression sequence"
)


@dataclass(frozen=True)
class _Opened:
    """A file as far as it can be known without decoding: a lazy picture, not yet upright."""

    image: Image
    orientation: int
    header: Header
    metadata: Metadata
    # pyvips pictures do not keep the bytes alive that their source reads.
    patched: bytes | None = None


def read_header(source: Path | bytes, limits: Limits) -> Header:
    """What a file holds, without decoding a pixel.

    A file of several frames is described by its first; ``frames`` tells how many there are.

    Args:
        source: a path or the bytes of a file; the format is told by content, not by name.
        limits: see :class:`Limits`.

    Raises:
        InputError: the file cannot be opened.
        UnsupportedFormat: not a format or sample type that is read.
        CorruptImage: empty, or the header is damaged.
        ImageTooLarge, ImageTooSmall: outside ``limits``.
    """
    with Content(source, limits) as content:
        name = sniff(content)
        if name == "bmp":
            return _bmp(content, limits)[0]
        return _open(content, name, limits, "error").header


def check_frames(header: Header, *, first_frame: bool) -> None:
    """Raise UnsupportedFormat for an animation or multi-page file, unless ``first_frame``."""
    if header.frames > 1 and not first_frame:
        what = "pages" if header.format == "tiff" else "frames"
        raise UnsupportedFormat(
            f"The {_title(header.format)} file has {header.frames} {what} and only single pictures "
            "are enlarged; ask for the first one (--first-frame, or first_frame=True)."
        )


def decode(
    source: Path | bytes, limits: Limits, scratch: Scratch, *, first_frame: bool = False
) -> Picture:
    """Decode a whole file.

    The pixels are read-only: an array in memory up to 64 MB, above that a memory map of a
    scratch file (valid as long as it is referenced). EXIF and XMP are returned with their
    orientation already set to 1.

    Args:
        source: a path or the bytes of a file; the format is told by content, not by name.
        limits: checked on the header, before any pixel is decoded.
        scratch: where large pictures go.
        first_frame: take the first frame of an animation or multi-page file.

    Raises:
        InputError: the file cannot be opened.
        UnsupportedFormat: not a format or sample type that is read, or several frames.
        CorruptImage: empty, damaged or cut short; a part of a picture is never returned.
        ImageTooLarge, ImageTooSmall: outside ``limits``.
        OutOfMemory: no room on the scratch disk.
    """
    with Content(source, limits) as content:
        name = sniff(content)
        if name == "bmp":
            header, metadata, details = _bmp(content, limits)
            canvas = decode_bmp(content, details, scratch)
            return _picture(canvas, header, metadata)
        # libjpeg pads missing data with grey and only warns, so warnings must be errors there.
        strict = "warning" if name == "jpeg" else "error"
        opened = _open(content, name, limits, strict)
        check_frames(opened.header, first_frame=first_frame)
        try:
            return _compute(opened, scratch)
        except error_type() as exc:
            lines = [line for line in error_lines(exc) if "VipsJpeg" in line]
            if name != "jpeg" or not lines or not all(_HARMLESS.search(line) for line in lines):
                raise _translated(name, exc) from exc
        with _errors_of(name):
            return _compute(_open(content, name, limits, "error"), scratch)


def _compute(opened: _Opened, scratch: Scratch) -> Picture:
    """Run the pipeline into memory or onto scratch disk, then turn it upright."""
    image, header = opened.image, opened.header
    dtype = np.dtype(np.uint16 if header.bits == 16 else np.uint8)
    width, height, channels = image.width, image.height, header.channels
    size = width * height * channels * dtype.itemsize
    if size <= IN_MEMORY_BYTES:
        data = drive(image, image.write_to_memory)
        array = np.frombuffer(data, dtype).reshape(height, width, channels)
        array = np.ascontiguousarray(orient(array, opened.orientation))
        array.flags.writeable = False
        return Picture(array, header, opened.metadata)
    canvas = Canvas(height, width, channels, dtype, scratch, memory_limit=0)
    try:
        canvas.fill_from(image)
        if opened.orientation != 1:
            upright_canvas = orient_canvas(canvas, opened.orientation, scratch)
            canvas.close()
            canvas = upright_canvas
    except BaseException:
        canvas.close()
        raise
    return _picture(canvas, header, opened.metadata)


def _picture(canvas: Canvas, header: Header, metadata: Metadata) -> Picture:
    """The canvas's pixels as a picture; a map keeps its file alive without the canvas."""
    pixels: Any = canvas.array()
    canvas.close()
    return Picture(pixels, header, metadata)


def _bmp(content: Content, limits: Limits) -> tuple[Header, Metadata, BmpHeader]:
    details = read_bmp_header(content)
    limits.check_size(details.width, details.height)
    icc = details.icc
    if icc is not None:
        limits.check_metadata(len(icc))
        icc = icc if fits(icc, details.channels) else None
    header = Header("bmp", details.width, details.height, details.channels, 8)
    return header, Metadata(icc=icc, resolution=details.resolution), details


def _open(content: Content, name: str, limits: Limits, fail_on: str) -> _Opened:
    """Build the lazy pipeline: loader, limits, then conversion to grey or RGB."""
    lossless, frames, info = name in ("png", "gif"), 1, None
    exif = None
    if name == "webp":
        lossless = is_lossless_webp(content)
    elif name == "tiff":
        info = read_tiff_info(content)
        limits.check_size(info.width, info.height)
        lossless = not info.lossy
        exif = read_exif(content, limits)
    with _errors_of(name):
        options: dict[str, Any] = {"access": "sequential", "fail_on": fail_on}
        if name in _PAGED:
            options["page"] = 0
        if name in ("avif", "heic"):
            # Page 0 need not be the picture the file is about.
            probe = getattr(library().Image, _LOADERS[name])(content.vips_source())
            options["page"] = _integer(probe, "heif-primary", 0)
        patched = None
        if info is not None and info.lab8_at is not None:
            patched = info.as_rgb(content)
            source = library().Source.new_from_memory(patched)
        else:
            source = content.vips_source()
        raw = getattr(library().Image, _LOADERS[name])(source, **options)
        limits.check_size(raw.width, raw.height)
        if name == "png":
            frames = png_frames(content)
        elif info is not None:
            frames = info.pages
        elif name in ("avif", "heic"):
            frames = max(_integer(raw, "n-pages", 1), sequence_frames(content))
        elif name in _PAGED:
            frames = _integer(raw, "n-pages", 1)
        marked = _integer(raw, "orientation", 0)
        found = _metadata(raw, limits, exif)
        if info is not None and info.lab8_at is not None:
            raw = _lab_of_bytes(raw)
        image, icc = _normalise(raw, name, found.icc)
        if name in ("avif", "heic") and image.format == "ushort":
            # libvips shifts 10 and 12 bit samples up and leaves zeros below: white is not 65535.
            bits = _integer(raw, "bits-per-sample", 16)
            if bits < 16:
                top = ((1 << bits) - 1) << (16 - bits)
                image = image.linear(65535 / top, 0).rint().cast("ushort")
    if marked not in range(1, 9):
        marked = 0
    width, height = image.width, image.height
    if swaps_sides(marked):
        width, height = height, width
    bits = 16 if image.format == "ushort" else 8
    quality = 100 if lossless else (jpeg_quality(content) or 0) if name == "jpeg" else 0
    header = Header(name, width, height, image.bands, bits, frames, lossless, marked, quality)
    return _Opened(image, marked or 1, header, replace(found, icc=icc), patched)


def _normalise(image: Image, name: str, icc: bytes | None) -> tuple[Image, bytes | None]:
    """8 or 16 bit grey or RGB, with or without alpha, and the profile that still fits."""
    kind = image.interpretation
    if kind in ("lab", "labs", "labq"):
        return image.colourspace("rgb16" if kind == "labs" else "srgb"), None
    if image.format not in ("uchar", "ushort"):
        sample = {"float": "32-bit float", "double": "64-bit float"}.get(
            image.format, f"{image.format} (more than 16 bit, or signed)"
        )
        raise UnsupportedFormat(
            f"The {_title(name)} file stores {sample} samples; "
            "save it with 8 or 16 bits per channel."
        )
    if kind == "cmyk" and image.bands in (4, 5):
        depth = 16 if image.format == "ushort" else 8
        usable = icc is not None and profile_space(icc) == "cmyk"
        return image.icc_transform(
            "srgb",
            # Without a profile of its own the picture is read as generic CMYK.
            embedded=usable,
            input_profile="cmyk",
            intent="relative",
            black_point_compensation=True,
            depth=depth,
        ), None
    grey = kind in ("b-w", "grey16") or (kind == "multiband" and image.bands <= 2)
    if kind in ("hsv", "yxy", "xyz", "lch", "cmc", "scrgb", "cmyk") or image.bands > (
        2 if grey else 4
    ):
        raise UnsupportedFormat(
            f"The {_title(name)} file has {image.bands} channels of kind {kind}; "
            "save it as grey or RGB."
        )
    if icc is not None and not fits(icc, image.bands):
        icc = None
    return image, icc


def _lab_of_bytes(image: Image) -> Image:
    """8 bit L*, a*, b* samples (TIFF 6.0, section 23) as a libvips Lab picture."""
    signed = (image.extract_band(1, n=2) < 128).ifthenelse(
        image.extract_band(1, n=2), image.extract_band(1, n=2) - 256
    )
    lab = (image.extract_band(0) * (100 / 255)).bandjoin(signed)
    return lab.copy(interpretation="lab")


def _metadata(image: Image, limits: Limits, exif: bytes | None) -> Metadata:
    """The blocks beside the pixels, their orientation marks already reset.

    ``exif`` is what libvips does not know of.
    """
    blocks: dict[str, bytes | None] = {}
    for key in ("icc-profile-data", "exif-data", "xmp-data", "iptc-data"):
        blocks[key] = bytes(image.get(key)) if image.get_typeof(key) else None
    blocks["exif-data"] = blocks["exif-data"] or exif
    limits.check_metadata(sum(len(block) for block in blocks.values() if block))
    exif, xmp = blocks["exif-data"], blocks["xmp-data"]
    # Where a file states nothing, libvips' loaders answer 1 pixel per millimetre or 72 dpi.
    sides = (image.xres, image.yres)
    stated = min(sides) > 0 and sides != (1.0, 1.0) and any(abs(s - 2.8346) > 1e-3 for s in sides)
    return Metadata(
        icc=blocks["icc-profile-data"] or None,
        exif=upright(exif) if exif else None,
        xmp=upright_xmp(xmp) if xmp else None,
        iptc=blocks["iptc-data"] or None,
        resolution=sides if stated else None,
    )


def _integer(image: Image, key: str, default: int) -> int:
    return int(image.get(key)) if image.get_typeof(key) else default


def _title(name: str) -> str:
    return _NAMES.get(name, name.upper())


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Translate what libvips raises while reading a file of format ``name``."""
    try:
        yield
    except error_type() as exc:
        raise _translated(name, exc) from exc


def _translated(name: str, error: Exception) -> CorruptImage | UnsupportedFormat:
    lines = [line for line in error_lines(error) if "bad seek" not in line]
    told = next((line.split(": ", 1)[-1] for line in lines if "VipsJpeg" not in line), None)
    told = told or (lines[0].split(": ", 1)[-1] if lines else "no reason given")
    told = re.sub(r"[^\x20-\x7e]+", " ", told)[:120].strip().rstrip(".")
    text = " ".join(lines).lower()
    if re.search(r"unsupported|not supported|unknown compression|not configured", text):
        return UnsupportedFormat(
            f"The {_title(name)} file uses a variant that is not read here ({told})."
        )
    return CorruptImage(
        f"The {_title(name)} file is damaged or cut short and cannot be decoded whole ({told})."
    )
