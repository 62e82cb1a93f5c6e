import io
import os
import struct
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from superres.errors import (
    CorruptImage,
    ImageTooLarge,
    ImageTooSmall,
    InputError,
    UnsupportedFormat,
)
from superres.imageio import Limits, Scratch, decode, encode, read_header
from superres.imageio.vips import library
from tests.unit.imageio.pictures import opened, photo, pixels_of, saved


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png16(array: np.ndarray) -> bytes:
    """An (h, w, c) uint16 PNG written without any library that could reduce it."""
    h, w, c = array.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[c]
    rows = array.astype(">u2").tobytes()
    step = w * c * 2
    data = b"".join(b"\0" + rows[i * step : (i + 1) * step] for i in range(h))
    return png_of(w, h, 16, kind, zlib.compress(data))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(w: int, h: int, bits: int, kind: int, data: bytes, extra: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", w, h, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra
        + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )  # fmt: skip


# ---------------------------------------------------------------- formats, told by content


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_lossless_formats_come_in_exactly(kind, channels, limits, scratch):
    array = photo(channels=channels)
    if kind == "WEBP":
        array = photo(channels=max(3, channels))
    if kind == "BMP":
        array = array[:, :, :3]  # Pillow writes no alpha mask, so there is no alpha
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = decode(saved(array, kind, **options), limits, scratch)
    assert picture.pixels.dtype == np.uint8
    assert np.array_equal(picture.pixels, array)
    assert picture.header == read_header(saved(array, kind, **options), limits)
    assert picture.header.format == kind.lower()
    assert picture.header.lossless
    assert (picture.header.height, picture.header.width) == array.shape[:2]
    assert (picture.header.channels, picture.header.bits) == (array.shape[2], 8)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_equals_pillow_bit_for_bit(subsampling, progressive, limits, scratch):
    data = saved(photo(), "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
    picture = decode(data, limits, scratch)
    assert np.array_equal(picture.pixels, pixels_of(data))
    assert (picture.header.format, picture.header.lossless) == ("jpeg", False)


def test_grey_jpeg_stays_one_channel(limits, scratch):
    data = saved(photo(channels=1), "JPEG")
    picture = decode(data, limits, scratch)
    assert picture.pixels.shape == (61, 83, 1)
    assert np.array_equal(picture.pixels, pixels_of(data))


@pytest.mark.parametrize(("kind", "name"), [("AVIF", "avif"), ("WEBP", "webp"), ("GIF", "gif")])
def test_other_formats(kind, name, limits, scratch):
    array = photo(64, 80)
    picture = decode(saved(array, kind), limits, scratch)
    assert picture.header.format == name
    assert picture.pixels.shape == array.shape
    assert np.abs(picture.pixels.astype(int) - array).mean() < 12


def test_lossless_webp_is_recognised_also_with_metadata(limits):
    array = photo()
    icc = srgb_profile()
    assert read_header(saved(array, "WEBP", lossless=True), limits).lossless
    assert read_header(saved(array, "WEBP", lossless=True, icc_profile=icc), limits).lossless
    assert not read_header(saved(array, "WEBP", icc_profile=icc), limits).lossless
    assert not read_header(saved(photo(channels=4), "WEBP"), limits).lossless


def test_content_decides_not_the_name(tmp_path: Path, limits, scratch):
    wrong = tmp_path / "picture.jpg"
    wrong.write_bytes(saved(photo(), "PNG"))
    assert decode(wrong, limits, scratch).header.format == "png"
    strange = tmp_path / "Bär[page=2] 写真 %s.png"
    strange.write_bytes(saved(photo(), "PNG"))
    assert np.array_equal(decode(strange, limits, scratch).pixels, photo())


def test_bytes_after_the_picture_do_no_harm(limits, scratch):
    data = saved(photo(), "JPEG")
    polyglot = data + b"PK\x03\x04<script>alert(1)</script>"
    assert np.array_equal(decode(polyglot, limits, scratch).pixels, pixels_of(data))


def test_one_pixel(limits, scratch):
    for kind in ("PNG", "BMP", "TIFF", "JPEG", "GIF"):
        picture = decode(saved(np.full((1, 1, 3), 200, np.uint8), kind), limits, scratch)
        assert picture.pixels.shape[:2] == (1, 1)
        assert abs(int(picture.pixels[0, 0, 0]) - 200) <= 1


# ---------------------------------------------------------------- samples


def test_sixteen_bit_png_and_tiff_stay_sixteen_bit(limits, scratch):
    rng = np.random.default_rng(3)
    for channels in (1, 2, 3, 4):
        array = rng.integers(0, 65536, (40, 50, channels), dtype=np.uint16)
        files = [png16(array)]
        if channels in (1, 3):
            files.append(tiff(array if channels == 3 else array[:, :, 0]))
        for data in files:
            picture = decode(data, limits, scratch)
            assert picture.pixels.dtype == np.uint16
            assert picture.header.bits == 16
            assert np.array_equal(picture.pixels, array)
            assert len(np.unique(picture.pixels)) > 256


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint32, np.int16])
def test_samples_that_cannot_be_kept_are_refused(dtype, limits, scratch):
    data = tiff(np.ones((20, 30, 3), dtype), photometric="rgb")
    with pytest.raises(UnsupportedFormat, match="8 or 16 bits per channel"):
        decode(data, limits, scratch)


def test_too_many_channels_are_refused(limits, scratch):
    data = tiff(np.ones((20, 30, 7), np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(UnsupportedFormat, match="7 channels"):
        decode(data, limits, scratch)


def test_palette_becomes_rgb_or_rgba(limits, scratch):
    palette = Image.fromarray(photo()).quantize(50)
    picture = decode(saved(palette, "PNG"), limits, scratch)
    assert np.array_equal(picture.pixels, np.asarray(palette.convert("RGB")))
    data = saved(palette, "PNG", transparency=7)
    picture = decode(data, limits, scratch)
    expected = np.asarray(opened(data).convert("RGBA"))
    assert picture.header.channels == 4
    assert np.array_equal(picture.pixels, expected)
    assert set(np.unique(picture.pixels[:, :, 3])) == {0, 255}


def test_trns_chunk_becomes_alpha(limits, scratch):
    array = photo()
    key = tuple(int(v) for v in array[10, 10])
    picture = decode(saved(array, "PNG", transparency=key), limits, scratch)
    assert picture.pixels.shape[2] == 4
    assert picture.pixels[10, 10, 3] == 0
    assert np.array_equal(picture.pixels[:, :, :3], array)
    assert (picture.pixels[:, :, 3] == np.where((array == key).all(axis=2), 0, 255)).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_becomes_grey(kind, limits, scratch):
    mask = photo(channels=1)[:, :, 0] > 127
    picture = decode(saved(Image.fromarray(mask), kind), limits, scratch)
    assert np.array_equal(picture.pixels[:, :, 0], mask * np.uint8(255))
    assert picture.header.channels == 1


def test_interlaced_png(limits, scratch):
    array = photo()
    data = bytes(
        library().Image.new_from_memory(array.tobytes(), 83, 61, 3, "uchar")
        .copy(interpretation="srgb").pngsave_buffer(interlace=True)
    )  # fmt: skip
    assert data[28] == 1
    assert np.array_equal(decode(data, limits, scratch).pixels, array)


def test_premultiplied_tiff_is_unpremultiplied(limits, scratch):
    straight = np.full((8, 8, 4), (200, 100, 50, 128), np.uint8)
    stored = straight.copy()
    stored[:, :, :3] = np.rint(straight[:, :, :3] * (128 / 255))
    data = tiff(stored, photometric="rgb", extrasamples=["assocalpha"])
    picture = decode(data, limits, scratch)
    assert np.abs(picture.pixels.astype(int) - straight).max() <= 1
    data = tiff(straight, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(decode(data, limits, scratch).pixels, straight)


@pytest.mark.parametrize("bitdepth", [8, 10, 12])
def test_avif_of_any_depth_keeps_white(bitdepth, limits, scratch):
    vips = library()
    white = vips.Image.black(64, 64, bands=3).linear(1, 65535).cast("ushort")
    white = white.copy(interpretation="rgb16")
    if bitdepth == 8:
        white = white.colourspace("srgb")
    data = bytes(white.heifsave_buffer(bitdepth=bitdepth, compression="av1", Q=100))
    picture = decode(data, limits, scratch)
    assert picture.header.bits == (8 if bitdepth == 8 else 16)
    assert (picture.pixels == (255 if bitdepth == 8 else 65535)).all()


# ---------------------------------------------------------------- colour


def rgb_profile() -> bytes:
    """A valid RGB profile, different from plain sRGB by one byte of its description."""
    profile = bytearray(srgb_profile())
    profile[profile.rfind(b"s\0R\0G\0B")] = ord("S")
    return bytes(profile)


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def grey_profile() -> bytes:
    """A minimal ICC v2 grey profile: white point and a gamma 2.2 curve."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, int(2.2 * 256)) + b"\0\0"
    white = b"XYZ \0\0\0\0" + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    text = b"text\0\0\0\0public domain\0\0\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + b"\0" * (4 + 4 + 2 + 1 + 67 + 2)
    tags = [(b"desc", desc), (b"cprt", text), (b"wtpt", white), (b"kTRC", curve)]
    table, body, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags:
        data = data.ljust((len(data) + 3) // 4 * 4, b"\0")
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    head = struct.pack(
        ">I4sI4s4s4s", at + len(body), b"none", 0x02100000, b"mntr", b"GRAY", b"XYZ "
    )
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_rgb_profile_is_kept_byte_for_byte_and_pixels_untouched(kind, limits, scratch):
    icc = rgb_profile()
    assert icc != srgb_profile()
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(photo(), kind, icc_profile=icc, **options)
    picture = decode(data, limits, scratch)
    assert picture.metadata.icc == icc
    assert np.array_equal(picture.pixels, pixels_of(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_grey_profile_is_kept(kind, limits, scratch):
    icc = grey_profile()
    data = saved(photo(channels=1), kind, icc_profile=icc)
    picture = decode(data, limits, scratch)
    assert picture.metadata.icc == icc
    assert np.array_equal(picture.pixels, pixels_of(data))
    # A profile for colour says nothing about a grey picture.
    assert decode(saved(photo(channels=1), "JPEG", icc_profile=rgb_profile()), limits, scratch
                  ).metadata.icc is None  # fmt: skip


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_srgb_without_profile(kind, limits, scratch):
    ink = np.zeros((32, 48, 4), np.uint8)
    ink[:, :16] = (0, 0, 0, 0)  # paper
    ink[:, 16:32] = (0, 0, 0, 255)  # black
    ink[:, 32:] = (0, 255, 255, 0)  # red
    data = saved(Image.fromarray(ink, "CMYK"), kind)
    picture = decode(data, limits, scratch)
    assert picture.metadata.icc is None
    assert picture.pixels.shape == (32, 48, 3)
    paper, black, red = (picture.pixels[16, x].astype(int) for x in (8, 24, 40))
    assert paper.min() > 245
    assert black.max() < 60
    assert red[0] > 180
    assert red[1:].max() < 80


def test_lab_tiff_becomes_srgb(limits, scratch):
    lab = np.full((16, 16, 3), (255, 0, 0), np.uint8)  # L* = 100, a* = b* = 0
    lab[8:] = (136, 80, 67)  # sRGB red
    picture = decode(tiff(lab, photometric="cielab"), limits, scratch)
    assert (picture.header.channels, picture.header.bits) == (3, 8)
    assert picture.pixels[:8].min() >= 250
    assert np.abs(picture.pixels[12, 3].astype(int) - (255, 0, 0)).max() <= 6


# ---------------------------------------------------------------- orientation


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    return {
        1: array, 2: array[:, ::-1], 3: np.rot90(array, 2), 4: array[::-1],
        5: np.rot90(array, -1)[:, ::-1], 6: np.rot90(array, -1),
        7: np.rot90(array, 1)[:, ::-1], 8: np.rot90(array, 1),
    }[orientation]  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_and_reset(kind, orientation, limits, scratch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(photo(), kind, exif=exif.tobytes(), **options)
    if kind == "TIFF":
        data = saved(photo(), kind, tiffinfo={274: orientation})
    picture = decode(data, limits, scratch)
    stored = pixels_of(data) if kind == "JPEG" else photo()  # Pillow turns TIFFs by itself
    assert np.array_equal(picture.pixels, turned(stored, orientation))
    assert (picture.header.height, picture.header.width) == picture.pixels.shape[:2]
    assert read_header(data, limits) == picture.header
    if picture.metadata.exif is not None:
        read = Image.Exif()
        read.load(picture.metadata.exif)
        assert read[0x0112] == 1
        assert read[0x010F] == "Maker"


def test_avif_orientation_is_applied_once(limits, scratch):
    exif = Image.Exif()
    exif[0x0112] = 6
    array = photo(64, 96)
    picture = decode(saved(array, "AVIF", exif=exif.tobytes(), quality=95), limits, scratch)
    assert picture.pixels.shape == (96, 64, 3)
    assert np.abs(picture.pixels.astype(int) - np.rot90(array, -1)).mean() < 6


def test_orientation_on_disk_equals_orientation_in_memory(tmp_path, monkeypatch, limits):
    # The function of that name hides the module.
    module = sys.modules["superres.imageio.decode"]
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", 100)
    with Scratch(tmp_path) as scratch:
        for orientation in range(1, 9):
            exif = Image.Exif()
            exif[0x0112] = orientation
            data = saved(photo(), "PNG", exif=exif.tobytes())
            picture = decode(data, limits, scratch)
            assert isinstance(picture.pixels, np.memmap)
            assert np.array_equal(picture.pixels, turned(photo(), orientation))
            assert not picture.pixels.flags.writeable
    # The map outlives its scratch.
    assert int(picture.pixels.sum()) == int(photo().sum())


def test_xmp_orientation_is_reset(limits, scratch):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    picture = decode(saved(photo(), "JPEG", xmp=xmp), limits, scratch)
    assert picture.metadata.xmp == xmp.replace(b'"6"', b'"1"')


# ---------------------------------------------------------------- frames


def frames(count: int) -> list[Image.Image]:
    return [Image.fromarray(photo(seed=i)) for i in range(count)]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG", "AVIF"])
def test_several_frames_are_refused_unless_the_first_is_asked_for(kind, limits, scratch):
    first, *rest = frames(3)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(first, kind, save_all=True, append_images=rest, **options)
    assert read_header(data, limits).frames == 3
    with pytest.raises(UnsupportedFormat, match=r"has 3 (frames|pages).*--first-frame"):
        decode(data, limits, scratch)
    picture = decode(data, limits, scratch, first_frame=True)
    assert picture.pixels.shape[:2] == (61, 83)
    difference = np.abs(picture.pixels[:, :, :3].astype(int) - np.asarray(first))
    assert difference.mean() < (0.01 if kind in ("TIFF", "PNG", "WEBP") else 12)


def test_thumbnail_in_a_tiff_is_not_a_page(limits, scratch):
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(photo(), photometric="rgb")
        writer.write(photo(10, 12), photometric="rgb", subfiletype=1)
    assert read_header(buffer.getvalue(), limits).frames == 1
    assert np.array_equal(decode(buffer.getvalue(), limits, scratch).pixels, photo())


# ---------------------------------------------------------------- damaged and hostile


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_cut_short_files_are_refused(kind, part, limits, scratch):
    data = saved(photo(200, 300), kind)
    with pytest.raises(CorruptImage):
        decode(data[: int(len(data) * part)], limits, scratch)


def test_cut_short_progressive_jpeg_and_raw_tiff_tail(limits, scratch):
    data = saved(photo(200, 300), "JPEG", progressive=True)
    with pytest.raises(CorruptImage):
        decode(data[: len(data) // 2], limits, scratch)
    data = bytearray(tiff(photo(200, 300), photometric="rgb"))
    with pytest.raises(CorruptImage):
        decode(bytes(data[:-5000]), limits, scratch)


def test_damage_inside_is_refused_never_grey_filled(limits, scratch):
    data = bytearray(saved(photo(200, 300), "JPEG", quality=90))
    data[len(data) // 2 : len(data) // 2 + 2] = b"\xff\xd9"
    with pytest.raises(CorruptImage, match="JPEG file is damaged"):
        decode(bytes(data), limits, scratch)
    data = bytearray(saved(photo(200, 300), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(CorruptImage, match="PNG file is damaged"):
        decode(bytes(data), limits, scratch)


def test_harmless_jpeg_oddities_are_read(limits, scratch):
    data = saved(photo(), "JPEG")
    odd = data[:20] + b"\0\0" + data[20:]  # between two segments
    assert np.array_equal(decode(odd, limits, scratch).pixels, pixels_of(data))


def test_empty_and_foreign_files(tmp_path, limits, scratch):
    with pytest.raises(CorruptImage, match="empty"):
        decode(b"", limits, scratch)
    empty = tmp_path / "x.png"
    empty.touch()
    with pytest.raises(CorruptImage, match="empty"):
        read_header(empty, limits)
    for data in (b"hello world", b"%PDF-1.7", b"<svg></svg>", b"BM and then some text here",
                 b"\0" * 100, b"P6\n1 1\n255\nabc", b"#!/bin/sh", b"vips\0\0\0\0"):  # fmt: skip
        with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WebP"):
            decode(data, limits, scratch)
    with pytest.raises(InputError, match="cannot be opened"):
        decode(tmp_path / "absent.png", limits, scratch)
    with pytest.raises(InputError, match="folder"):
        decode(tmp_path, limits, scratch)


@pytest.mark.parametrize(
    "head",
    [
        b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8 ", b"II*\0\x08\0\0\0",
        b"GIF89a", b"BM" + b"\0" * 12 + b"\x28\0\0\0", b"\0\0\0\x18ftypavif\0\0\0\0avif",
    ],
)  # fmt: skip
def test_only_a_signature_is_corrupt(head, limits, scratch):
    for data in (head, head + b"\0" * 200, head + bytes(range(256)) * 4):
        with pytest.raises((CorruptImage, UnsupportedFormat, ImageTooSmall)):
            decode(data, limits, scratch)


def huge_gif() -> bytes:
    data = bytearray(saved(photo(), "GIF"))
    frame = data.find(b"\x2c\0\0\0\0")
    data[6:10] = data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


def huge_tiff() -> bytes:
    data = bytearray(tiff(photo(), photometric="rgb"))
    (directory,) = struct.unpack_from("<I", data, 4)
    for entry in range(directory + 2, directory + 200, 12):
        if struct.unpack_from("<H", data, entry) == (256,):
            struct.pack_into("<HII", data, entry + 2, 4, 1, 1 << 30)
            return bytes(data)
    raise AssertionError("no ImageWidth")


def huge_bmp() -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 100, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 60000, 60000, 1, 24, 0, 0, 0, 0, 0, 0)
    )


@pytest.mark.parametrize(
    "data",
    [
        png_of(60000, 60000, 8, 2, zlib.compress(b"\0" * 1000)),
        png_of(65536, 1, 8, 0, zlib.compress(b"\0" * 65537)),
        huge_bmp(),
        saved(photo(), "JPEG").replace(
            b"\xff\xc0\0\x11\x08\0\x3d\0\x53", b"\xff\xc0\0\x11\x08\xff\xdc\xff\xdc"
        ),
        huge_gif(),
        huge_tiff(),
    ],
    ids=["png", "png-side", "bmp", "jpeg", "gif", "tiff"],
)
def test_huge_headers_are_refused_at_once(data, limits, scratch):
    started = time.perf_counter()
    for action in (lambda: read_header(data, limits), lambda: decode(data, limits, scratch)):
        with pytest.raises(ImageTooLarge, match="SUPERRES_LIMITS__MAX_"):
            action()
    assert time.perf_counter() - started < 1


def test_limits_are_those_given(scratch):
    data = saved(photo(), "PNG")
    assert decode(data, Limits(max_input_pixels=83 * 61), scratch).header.width == 83
    with pytest.raises(ImageTooLarge, match="max_input_pixels"):
        decode(data, Limits(max_input_pixels=83 * 61 - 1), scratch)
    with pytest.raises(ImageTooLarge, match="max_input_bytes"):
        decode(data, Limits(max_input_bytes=100), scratch)
    with pytest.raises(ImageTooLarge, match="max_side"):
        decode(data, Limits(max_side=82), scratch)


def test_metadata_of_several_megabytes(limits, scratch):
    icc = rgb_profile() + os.urandom(3_000_000)
    icc = struct.pack(">I", len(icc)) + icc[4:]
    data = saved(photo(), "TIFF", icc_profile=icc)
    assert decode(data, limits, scratch).metadata.icc == icc
    with pytest.raises(ImageTooLarge, match="max_metadata_bytes"):
        decode(data, Limits(max_metadata_bytes=1_000_000), scratch)


def test_garbage_profile_and_exif_do_not_stop_a_picture(limits, scratch):
    data = saved(
        photo(), "JPEG", icc_profile=b"no profile" * 50, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f"
    )
    picture = decode(data, limits, scratch)
    assert picture.metadata.icc is None
    assert np.array_equal(picture.pixels, pixels_of(saved(photo(), "JPEG")))
    assert encode(picture.pixels, picture.metadata, None, "png") is not None


def test_metadata_comes_along(limits, scratch):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    data = saved(photo(), "JPEG", exif=exif.tobytes(), dpi=(300, 150), xmp=b"<x:xmpmeta/>")
    metadata = decode(data, limits, scratch).metadata
    assert metadata.exif == exif.tobytes()
    assert metadata.xmp == b"<x:xmpmeta/>"
    assert metadata.resolution == pytest.approx((300 / 25.4, 150 / 25.4))
    assert decode(saved(photo(), "PNG"), limits, scratch).metadata.resolution is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes")
def test_a_pipe_is_read(tmp_path, limits, scratch):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread = threading.Thread(target=lambda: pipe.write_bytes(saved(photo(), "PNG")))
    thread.start()
    assert np.array_equal(decode(pipe, limits, scratch).pixels, photo())
    thread.join()
