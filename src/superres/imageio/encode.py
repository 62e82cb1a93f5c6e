"""From finished pixels to a file or bytes, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from superres.errors import BadParameter, ImageTooSmall, OutputError
from superres.imageio.canvas import Canvas, image_of
from superres.imageio.ifd import Read
from superres.imageio.location import without_location
from superres.imageio.metadata import attach, insertion
from superres.imageio.picture import Header, Metadata, Pixels
from superres.imageio.positioned import read_at, write_at
from superres.imageio.tiffexif import exif_edits
from superres.imageio.vips import Image, drive, error_lines, error_type, library

WRITABLE = ("png", "jpeg", "webp", "tiff")
"""Formats that are written."""

_SUFFIXES = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".jpe": "jpeg",
    ".jfif": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
_ALIASES = {"jpg": "jpeg", "tif": "tiff"}
# libjpeg stops at 65500, below the 65535 of the file format.
_MAX_SIDE = {"webp": 16_383, "jpeg": 65_500}
_TITLES = {"png": "PNG", "jpeg": "JPEG", "webp": "WebP", "tiff": "TIFF"}
_BIGTIFF_BYTES = 3_900_000_000
_QUALITY = {"jpeg": 92, "webp": 90}

MEDIA_TYPES = {
    "png": "image/png",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
}
"""Formats that are written, and their media types."""


@dataclass(frozen=True)
class OutputOptions:
    """How the result is stored.

    Attributes:
        format: "png", "jpeg", "webp" or "tiff"; None decides by :func:`choose_format`.
        quality: 1…100 for JPEG (default 92) and lossy WebP (default 90). At 90 and above
            JPEG keeps colour at full resolution (4:4:4), below it halves it (4:2:0).
        lossless: True stores WebP without loss; contradicts JPEG.
        strip: leave EXIF, XMP and IPTC out; the colour profile always stays.
        compression: 0…9 for PNG (default 2; 1 for 16 bit) and TIFF (default 1, deflate): higher is
            smaller and slower, the pixels are the same.
        strip_location: leave out of EXIF, XMP and IPTC where the picture was taken, see
            :mod:`superres.imageio.location`.
        background: red, green and blue, 0…255, that JPEG gets where the picture is transparent;
            None refuses transparent pictures as JPEG, rather than choose for somebody.

    Raises:
        BadParameter: a value out of range, or values that contradict each other.
    """

    format: str | None = None
    quality: int | None = None
    lossless: bool | None = None
    strip: bool = False
    compression: int | None = None
    strip_location: bool = False
    background: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        if self.background is not None:
            given: tuple[int, ...] = tuple(self.background)  # JSON has lists
            object.__setattr__(self, "background", given)
            if len(given) != 3 or not all(0 <= colour <= 255 for colour in given):
                raise BadParameter("background must be three numbers, 0 to 255 each.")
        if self.format is not None:
            object.__setattr__(self, "format", format_name(self.format))
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise BadParameter(f"quality is {self.quality}; it must be 1 to 100.")
        if self.compression is not None and not 0 <= self.compression <= 9:
            raise BadParameter(f"compression is {self.compression}; it must be 0 to 9.")
        if self.lossless and self.quality is not None:
            raise BadParameter("lossless and quality exclude each other; give one of them.")
        if self.lossless and self.format == "jpeg":
            raise BadParameter("JPEG cannot be lossless; choose the format png, webp or tiff.")


def format_name(name: str) -> str:
    """The canonical name of a format to write ("JPG" → "jpeg").

    Raises:
        BadParameter: not a format that is written.
    """
    plain = name.lower().removeprefix(".")
    plain = _ALIASES.get(plain, plain)
    if plain not in WRITABLE:
        raise BadParameter(
            f"Pictures cannot be written as {name!r}; choose png, jpeg, webp or tiff."
        )
    return plain


def choose_format(
    header: Header, options: OutputOptions, target_suffix: str | None, width: int, height: int
) -> str:
    """The format of a result of ``width`` x ``height`` made from a file like ``header``.

    In order: the format asked for; the target's file name extension; the input's own format
    if it holds the result without loss; PNG.

    Raises:
        BadParameter: an extension of no format that is written.
    """
    if options.format is not None:
        return options.format
    if target_suffix:
        if target_suffix.lower() not in _SUFFIXES:
            raise BadParameter(
                f"Pictures cannot be written as {target_suffix!r}; use an extension like .png, "
                ".jpg, .webp or .tif, or name the format (--format)."
            )
        return _SUFFIXES[target_suffix.lower()]
    if header.format in ("png", "tiff"):
        return header.format
    if header.format == "webp" and header.lossless and options.quality is None:
        fits = max(width, height) <= _MAX_SIDE["webp"] and header.bits == 8
        return "webp" if fits and options.lossless is not False else "png"
    return "png"


def complete_options(header: Header, file_format: str, options: OutputOptions) -> OutputOptions:
    """``options`` with what the input decides: lossless WebP stays lossless by default."""
    undecided = options.lossless is None and options.quality is None
    if file_format == "webp" and header.format == "webp" and header.lossless and undecided:
        options = replace(options, lossless=True)
    return replace(options, format=file_format)


def quality_of(options: OutputOptions, file_format: str) -> int:
    """The quality that is stored with, 1…100; 100 without loss."""
    if options.lossless or file_format not in _QUALITY:
        return 100
    return options.quality or _QUALITY[file_format]


def check_target(
    file_format: str, width: int, height: int, channels: int, *, flattened: bool = False
) -> None:
    """Raise BadParameter if ``file_format`` cannot hold such a result. Call before the work.

    Args:
        file_format: to be written.
        width, height: of the result, in pixels.
        channels: of the result, see :data:`superres.imageio.picture.Pixels`.
        flattened: JPEG gets a background, see :class:`OutputOptions`.

    Raises:
        BadParameter: too large a side (WebP 16383, JPEG 65500), or transparency in JPEG.
        ImageTooSmall: a side below 1.
    """
    file_format = format_name(file_format)
    if width < 1 or height < 1:
        raise ImageTooSmall(f"The result would have no pixels ({width} x {height}).")
    most = _MAX_SIDE.get(file_format)
    if most is not None and max(width, height) > most:
        raise BadParameter(
            f"{_TITLES[file_format]} cannot be wider or higher than {most:,} pixels and the result "
            f"would be {width:,} x {height:,}; choose the format png or tiff (--format png)."
        )
    if file_format == "jpeg" and channels in (2, 4) and not flattened:
        raise BadParameter(
            "JPEG cannot hold transparency; choose the format png or webp (--format png), "
            "or remove the picture's alpha channel first."
        )


def encode(
    pixels: Canvas | Pixels | Image,
    metadata: Metadata,
    target: Path | None,
    file_format: str,
    options: OutputOptions | None = None,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> bytes | None:
    """Store a finished picture.

    A file is written under a temporary name in the target's folder and renamed when it is
    whole; after any error or Ctrl-C nothing is left and an older target is untouched.
    PNG, JPEG and TIFF are streamed from a canvas on disk; WebP needs the whole picture in
    memory (libwebp). 16 bits are kept by PNG and TIFF and rounded to 8 for JPEG and WebP;
    float32 is clipped to 0…1 and stored as 16 (PNG, TIFF) or 8 bits. What a format cannot
    hold of large EXIF, XMP or IPTC blocks is left out without a word, see
    :func:`superres.imageio.metadata.attach`.

    Args:
        pixels: a canvas, an ``(h, w, c)`` array (see :data:`Pixels`) or a libvips picture.
        metadata: of the input, see :func:`superres.imageio.metadata.attach`.
        target: file to write; None returns the bytes.
        file_format: "png", "jpeg", "webp" or "tiff".
        options: see :class:`OutputOptions`; its ``format`` is not looked at.
        on_progress: called on this thread with fractions in 0…1; may raise to stop.

    Returns:
        The file's bytes if ``target`` is None.

    Raises:
        BadParameter: the format cannot hold the picture, see :func:`check_target`.
        OutputError: the target cannot be written.
    """
    options = options or OutputOptions()
    file_format = format_name(file_format)
    if options.strip_location and not options.strip:
        metadata = without_location(metadata)
    image = _lazy(pixels)
    flattened = options.background is not None
    check_target(file_format, image.width, image.height, image.bands, flattened=flattened)
    image = _samples_for(file_format, image)
    if options.background is not None and file_format == "jpeg" and image.bands in (2, 4):
        image = _flattened(image, options.background)
    image = attach(image, metadata, file_format, strip=options.strip)
    arguments = _saver_arguments(file_format, image, options)
    saver = f"{file_format}save_target"

    def save(sink: Any) -> None:
        drive(image, lambda: getattr(image, saver)(sink, **arguments), on_progress)

    def edits(read: Read, size: int) -> Iterable[tuple[int, bytes]]:
        if file_format != "tiff" or metadata.exif is None or options.strip:
            return ()
        return exif_edits(read, size, metadata.exif, image.width, image.height)

    at, inserted = insertion(file_format, metadata, strip=options.strip)
    with _write_errors():
        if target is None:
            memory = library().Target.new_to_memory()
            save(memory)
            data = cast(bytes, memory.get("blob"))
            for offset, piece in edits(partial(_part, data), len(data)):
                data = data[:offset] + piece + data[offset + len(piece) :]
            return data[:at] + inserted + data[at:] if inserted else data
        with _replacing(Path(target)) as descriptor:
            # Leave room in front, then move the file's first bytes to its start.
            os.lseek(descriptor, len(inserted), os.SEEK_SET)
            save(library().Target.new_to_descriptor(descriptor))
            if inserted:
                os.lseek(descriptor, len(inserted), os.SEEK_SET)
                start = os.read(descriptor, at)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, start + inserted)
            size = os.lseek(descriptor, 0, os.SEEK_END)
            for offset, piece in edits(partial(_read, descriptor), size):
                write_at(descriptor, piece, offset)
    return None


def _part(data: bytes, offset: int, length: int) -> bytes:
    return data[offset : offset + length]


def _read(descriptor: int, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    return bytes(buffer[: read_at(descriptor, memoryview(buffer), offset)])


def _lazy(pixels: Canvas | Pixels | Image) -> Image:
    if isinstance(pixels, Canvas):
        return pixels.image()
    return image_of(pixels) if hasattr(pixels, "dtype") else pixels


def _samples_for(file_format: str, image: Image) -> Image:
    """The sample type the format stores, rounded (libvips itself would truncate)."""
    wide = file_format in ("png", "tiff")
    kind = image.format
    top = 65535 if wide else 255
    if kind == "float":
        # rint before the cast: it clips but truncates. NaN becomes 0.
        image = image.linear(top, 0).rint()
    elif kind == "ushort" and not wide:
        image = image.linear(255 / 65535, 0).rint()
    else:
        return image
    grey = image.bands < 3
    name = ("grey16" if grey else "rgb16") if wide else ("b-w" if grey else "srgb")
    return image.cast("ushort" if wide else "uchar").copy(interpretation=name)


def _flattened(image: Image, background: tuple[int, int, int]) -> Image:
    """``image``, 8 bit with alpha, on a background."""
    red, green, blue = background
    grey = round(0.299 * red + 0.587 * green + 0.114 * blue)  # Rec. 601, as JPEG's own grey
    return image.flatten(background=[grey] if image.bands == 2 else [red, green, blue])


def _saver_arguments(file_format: str, image: Image, options: OutputOptions) -> dict[str, Any]:
    """Arguments of libvips' saver."""
    arguments: dict[str, Any] = {"keep": _kept(image)}
    if file_format == "png":
        # Measured on enlarged photographs: "up" is the fastest filter and nearly the smallest.
        # 16 bit samples are twice the bytes and mostly noise: level 1 keeps up, level 2 does not.
        usual = 1 if image.format == "ushort" else 2
        level = usual if options.compression is None else options.compression
        return arguments | {"compression": level, "filter": "up"}
    if file_format == "jpeg":
        quality = quality_of(options, file_format)
        # No optimize_coding: it holds the whole picture's coefficients in memory.
        return arguments | {"Q": quality, "subsample_mode": "off" if quality >= 90 else "on"}
    if file_format == "webp":
        if options.lossless:
            # exact: keep the colours below fully transparent pixels.
            return arguments | {"lossless": True, "exact": True, "effort": 4}
        return arguments | {"Q": quality_of(options, file_format), "effort": 4}
    samples = image.width * image.height * image.bands
    size = samples * (2 if image.format == "ushort" else 1)
    level = 1 if options.compression is None else options.compression
    how = {"compression": "deflate", "predictor": "horizontal", "level": level}
    if level == 0:
        how = {"compression": "none"}
    return arguments | how | {"bigtiff": size > _BIGTIFF_BYTES}


def _kept(image: Image) -> int:
    """Flags of the metadata blocks on the picture; libvips invents an EXIF block otherwise."""
    flags = {"exif-data": 1, "xmp-data": 2, "iptc-data": 4, "icc-profile-data": 8}
    return sum(flag for name, flag in flags.items() if image.get_typeof(name))


@contextmanager
def _replacing(target: Path) -> Iterator[int]:
    """A descriptor of a new file that becomes ``target`` if the block ends well."""
    # Follow links: the file they point to is replaced, not the link.
    final = Path(os.path.realpath(target))
    try:
        old = final.stat()
    except OSError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        raise OutputError(f"{target.name!r} is not a file that can be replaced.")
    # A fixed short name: the target's own may already be as long as the disk allows.
    temporary = final.parent / f".superres-{secrets.token_hex(6)}.part"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, 0o666)
    try:
        try:
            if old is not None:
                temporary.chmod(stat.S_IMODE(old.st_mode))
            yield descriptor
        finally:
            os.close(descriptor)
        temporary.replace(final)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


@contextmanager
def _write_errors() -> Iterator[None]:
    """Translate what goes wrong while writing."""
    try:
        yield
    except error_type() as exc:
        lines = error_lines(exc)
        told = lines[0].split(": ", 1)[-1][:120].rstrip(".") if lines else "no reason given"
        raise OutputError(f"The picture could not be written ({told}).") from exc
    except OSError as exc:
        raise OutputError(f"The picture could not be written ({exc.strerror}).") from exc
