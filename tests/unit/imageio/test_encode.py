import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from superres.errors import BadParameter, ImageTooSmall, OutputError
from superres.imageio import (
    WRITABLE,
    Canvas,
    Header,
    Limits,
    Metadata,
    OutputOptions,
    Scratch,
    check_target,
    choose_format,
    complete_options,
    decode,
    encode,
    format_name,
)
from tests.unit.imageio.pictures import opened, photo, pixels_of, saved
from tests.unit.imageio.test_decode import grey_profile, rgb_profile

NOTHING = Metadata()


def made(array, kind, metadata=NOTHING, **options) -> bytes:
    data = encode(array, metadata, None, kind, OutputOptions(**options))
    assert data is not None
    return data


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_lossless_formats_hold_every_pixel(kind, channels):
    array = photo(channels=channels)
    data = made(array, kind, lossless=True if kind == "webp" else None)
    read = pixels_of(data)
    if kind == "webp" and channels < 3:  # WebP has no grey
        assert np.array_equal(read[:, :, 0], array[:, :, 0])
        assert np.array_equal(read[:, :, 2], array[:, :, 0])
    else:
        assert np.array_equal(read, array)


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("compression", [None, 0, 9])
def test_sixteen_bit_survives(kind, channels, compression, limits, scratch):
    array = np.random.default_rng(0).integers(0, 65536, (40, 50, channels), dtype=np.uint16)
    picture = decode(made(array, kind, compression=compression), limits, scratch)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, array)


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_sixteen_bit_is_rounded_to_eight(kind):
    for value, expected in ((65535, 255), (0, 0), (257 * 100 + 128, 100), (257 * 100 + 129, 101)):
        array = np.full((32, 32, 3), value, np.uint16)
        data = made(array, kind, quality=100 if kind == "jpeg" else None,
                    lossless=True if kind == "webp" else None)  # fmt: skip
        assert (pixels_of(data) == expected).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_float_is_clipped_and_stored_as_sixteen_bit(channels, limits, scratch):
    array = np.linspace(-0.5, 1.5, 30 * 40 * channels, dtype=np.float32)
    array = array.reshape(30, 40, channels)
    expected = np.rint(np.clip(array, 0, 1) * 65535)
    for kind in ("png", "tiff"):
        picture = decode(made(array, kind), limits, scratch)
        assert np.abs(picture.pixels - expected).max() <= 1
        assert (picture.pixels.min(), picture.pixels.max()) == (0, 65535)
    read = pixels_of(made(array[:, :, :3], "webp", lossless=True))
    assert np.abs(read[:, :, 0].astype(int) - np.rint(expected[:, :, 0] / 257)).max() <= 1


def test_jpeg_quality_and_subsampling():
    array = photo(200, 200)
    best, good, small = (made(array, "jpeg", quality=q) for q in (98, None, 50))
    assert len(best) > len(good) > len(small)
    assert Image.open(io.BytesIO(good)).layer[0][1:3] == (1, 1)
    assert Image.open(io.BytesIO(small)).layer[0][1:3] == (2, 2)
    assert np.abs(pixels_of(good).astype(int) - array).mean() < 1.5


def test_webp_quality():
    array = photo(200, 200)
    assert len(made(array, "webp", quality=30)) < len(made(array, "webp"))
    assert len(made(array, "webp")) < len(made(array, "webp", lossless=True))


def test_same_input_same_bytes():
    for kind in WRITABLE:
        assert made(photo(), kind) == made(photo(), kind)


@pytest.mark.parametrize("kind", WRITABLE)
def test_a_canvas_on_disk_gives_the_same_file(kind, scratch):
    array = photo(300, 500)
    with Canvas(300, 500, 3, np.uint8, scratch, memory_limit=0) as canvas:
        canvas.write(0, 0, array)
        assert encode(canvas, NOTHING, None, kind) == made(array, kind)


# ---------------------------------------------------------------- metadata


def sample_exif(extra: bytes = b"") -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Maker", "Model"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0xA002], details[0xA003] = "2020:01:02 03:04:05", 83, 61
    details[0x829A] = 0.004
    places = exif.get_ifd(0x8825)
    places[1], places[2] = "N", (52.0, 31.0, 12.0)
    return exif.tobytes() + extra


FULL = Metadata(
    icc=rgb_profile(), exif=sample_exif(), xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
    resolution=(300 / 25.4, 150 / 25.4),
)  # fmt: skip


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("strip", [False, True])
def test_profile_is_kept_byte_for_byte_stripped_or_not(kind, strip):
    image = opened(made(photo(), kind, FULL, strip=strip))
    assert image.info["icc_profile"] == FULL.icc
    grey = Metadata(icc=grey_profile())
    if kind != "webp":
        image = opened(made(photo(channels=1), kind, grey, strip=strip))
        assert image.info["icc_profile"] == grey.icc


def test_no_profile_is_invented():
    for kind in WRITABLE:
        assert "icc_profile" not in opened(made(photo(), kind)).info
        assert "icc_profile" not in opened(made(photo(), kind, Metadata(icc=grey_profile()))).info


@pytest.mark.parametrize("kind", WRITABLE)
def test_exif_is_kept_and_updated(kind):
    exif = opened(made(photo(122, 166), kind, FULL)).getexif()
    assert exif[0x0112] == 1
    assert (exif[0x010F], exif[0x0110]) == ("Maker", "Model")
    details = exif.get_ifd(0x8769)
    assert details[0x9003] == "2020:01:02 03:04:05"
    assert float(details[0x829A]) == pytest.approx(0.004)
    assert (details[0xA002], details[0xA003]) == (166, 122)
    places = exif.get_ifd(0x8825)
    assert places[1] == "N"
    assert [float(v) for v in places[2]] == [52.0, 31.0, 12.0]


def test_the_embedded_thumbnail_is_dropped():
    import struct

    thumbnail = saved(photo(20, 30), "JPEG")
    # IFD0 with Make and a link to IFD1, which holds the thumbnail.
    body = struct.pack("<2sHI", b"II", 42, 8)
    body += struct.pack("<HHHI4sI", 1, 0x010F, 2, 4, b"abc\0", 26)
    body += struct.pack("<HHHIIHHII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail))
    body += struct.pack("<I", 0)
    body = body.ljust(56, b"\0") + thumbnail
    for kind in WRITABLE:
        data = made(photo(), kind, Metadata(exif=b"Exif\0\0" + body))
        assert opened(data).getexif()[0x010F] == "abc"
        assert thumbnail[-80:-20] not in data


@pytest.mark.parametrize("kind", WRITABLE)
def test_strip_removes_exif_and_xmp(kind):
    data = made(photo(), kind, FULL, strip=True)
    assert b"Maker" not in data
    assert b"2020:01:02" not in data
    assert b"xmpmeta" not in data
    kept = made(photo(), kind, FULL)
    assert b"xmpmeta" in kept
    if kind in ("png", "jpeg", "webp"):
        assert opened(kept).info["xmp"] == FULL.xmp
    assert b"Maker" in kept


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("strip", [False, True])
def test_resolution_is_kept(kind, strip):
    dpi = opened(made(photo(), kind, FULL, strip=strip)).info["dpi"]
    assert [float(v) for v in dpi] == pytest.approx([300, 150], abs=0.02)


def test_a_picture_without_metadata_gets_none():
    image = opened(made(photo(), "jpeg"))
    assert image.info.get("jfif_unit") == 0
    assert len(image.getexif()) == 0
    assert len(opened(made(photo(), "png")).getexif()) == 0


@pytest.mark.parametrize("kind", WRITABLE)
@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"garbage" * 9, b"II*\0\xff\xff\xff\x7f"])
def test_damaged_blocks_do_not_stop_the_result(kind, exif):
    data = made(photo(), kind, Metadata(exif=exif, icc=b"not a profile", xmp=b"\xff\0", iptc=b"?"))
    assert opened(data).size == (83, 61)


def test_megabytes_of_exif_do_not_stop_a_jpeg():
    exif = sample_exif(os.urandom(2_000_000))
    xmp = b"<x:xmpmeta>" + b" " * 200_000 + b"</x:xmpmeta>"
    for kind in WRITABLE:
        assert opened(made(photo(), kind, Metadata(exif=exif, xmp=xmp))).size == (83, 61)


def test_round_trip_of_all_metadata(limits, scratch):
    source = saved(
        photo(), "JPEG", exif=sample_exif(), icc_profile=FULL.icc, dpi=(300, 300), xmp=FULL.xmp
    )
    once = decode(source, limits, scratch)
    again = decode(made(once.pixels, "png", once.metadata), limits, scratch)
    assert again.metadata.icc == FULL.icc
    assert again.metadata.xmp == FULL.xmp
    assert again.metadata.resolution == pytest.approx(once.metadata.resolution, abs=1e-3)
    assert np.array_equal(again.pixels, once.pixels)


# ---------------------------------------------------------------- files


def test_files_are_written_under_any_name(tmp_path, limits, scratch):
    for kind in WRITABLE:
        target = tmp_path / f"Ümläut [Q=1] 写真 {'x' * 120}.{kind}"
        assert encode(photo(), FULL, target, kind) is None
        assert target.read_bytes() == made(photo(), kind, FULL)
        assert decode(target, limits, scratch).header.format == kind


def test_links_and_permissions_are_respected(tmp_path):
    real = tmp_path / "real.png"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.png"
    link.symlink_to(real)
    encode(photo(), NOTHING, link, "png")
    assert link.is_symlink()
    assert opened(real.read_bytes()).size == (83, 61)
    assert real.stat().st_mode & 0o777 == 0o640


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
def test_stopping_leaves_the_old_file_and_no_rubbish(error, tmp_path, scratch):
    target = tmp_path / "out.png"
    target.write_bytes(b"old")

    def stop(_fraction: float) -> None:
        raise error

    with Canvas(2000, 3000, 3, np.uint8, scratch, memory_limit=0) as canvas, pytest.raises(error):
        encode(canvas, NOTHING, target, "png", on_progress=stop)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.png"]


def test_progress_rises_to_one(tmp_path):
    seen: list[float] = []
    encode(np.zeros((3000, 3000, 3), np.uint8), NOTHING, None, "png",
           OutputOptions(compression=6), on_progress=seen.append)  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_what_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file"):
        encode(photo(), NOTHING, tmp_path / "absent" / "x.png", "png")
    with pytest.raises(OutputError):
        encode(photo(), NOTHING, tmp_path, "png")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_output_error(tmp_path):
    resource = pytest.importorskip("resource")
    import signal

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
        for kind in WRITABLE:
            noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
            with pytest.raises(OutputError):
                encode(noise, NOTHING, tmp_path / f"x.{kind}", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_picture(tmp_path):
    program = """
import resource, sys
from pathlib import Path
import numpy as np
from superres.imageio import Canvas, Metadata, Scratch, encode
folder = Path(sys.argv[1])
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
band = np.tile(np.random.default_rng(0).integers(0, 256, (256, 64, 3), dtype=np.uint8), (1, 128, 1))
encode(band, Metadata(), folder / "warm.png", "png")
before = peak()
with Scratch(folder) as scratch, Canvas(8192, 8192, 3, np.uint8, scratch) as canvas:
    for y in range(0, 8192, 256):
        canvas.write(y, 0, band)
    for kind in ("png", "jpeg", "tiff"):
        encode(canvas, Metadata(), folder / f"x.{kind}", kind)
print(peak() - before)
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 80  # MB, of 201 MB of pixels


# ---------------------------------------------------------------- choices


@given(
    fmt=st.sampled_from(["jpeg", "png", "webp", "tiff", "bmp", "gif", "avif", "heic"]),
    asked=st.sampled_from([None, *WRITABLE]),
    suffix=st.sampled_from([None, "", ".png", ".JPG", ".jpeg", ".webp", ".tif", ".tiff"]),
    bits=st.sampled_from([8, 16]),
    lossless=st.booleans(),
    side=st.integers(1, 40_000),
)
def test_choose_format_rules(fmt, asked, suffix, bits, lossless, side):
    header = Header(fmt, 100, 100, 3, bits, 1, lossless)
    chosen = choose_format(header, OutputOptions(format=asked), suffix, side, 10)
    assert chosen in WRITABLE
    if asked:
        assert chosen == asked
    elif suffix:
        assert chosen[:2] == suffix.lower().lstrip(".")[:2].replace("jp", "jp")
    else:
        # Decided here: never a lossy format, never one the size does not fit.
        assert chosen != "jpeg"
        check_target(chosen, side, 10, 4)
        if chosen == "webp":
            assert fmt == "webp"
            assert lossless
        if fmt in ("png", "tiff"):
            assert chosen == fmt


def test_lossless_webp_stays_lossless_webp():
    header = Header("webp", 10, 10, 3, 8, 1, lossless=True)
    kind = choose_format(header, OutputOptions(), None, 16383, 1)
    assert kind == "webp"
    assert complete_options(header, kind, OutputOptions()).lossless is True
    assert complete_options(header, kind, OutputOptions(quality=80)).lossless is None
    assert choose_format(header, OutputOptions(), None, 16384, 1) == "png"
    lossy = Header("webp", 10, 10, 3, 8, 1, lossless=False)
    assert choose_format(lossy, OutputOptions(), None, 10, 10) == "png"
    assert complete_options(lossy, "webp", OutputOptions()).lossless is None


def test_unknown_names_are_refused():
    header = Header("png", 1, 1, 3, 8)
    with pytest.raises(BadParameter, match=r"\.gif"):
        choose_format(header, OutputOptions(), ".gif", 1, 1)
    with pytest.raises(BadParameter, match="bmp"):
        OutputOptions(format="bmp")
    assert OutputOptions(format="JPG").format == "jpeg"
    assert format_name(".TIF") == "tiff"


@pytest.mark.parametrize(
    "options",
    [{"quality": 0}, {"quality": 101}, {"compression": 10}, {"compression": -1},
     {"lossless": True, "quality": 80}, {"lossless": True, "format": "jpeg"}],
)  # fmt: skip
def test_options_out_of_range(options):
    with pytest.raises(BadParameter):
        OutputOptions(**options)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_jpeg_puts_transparency_on_a_background(channels, dtype):
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    array = np.zeros((32, 48, channels), dtype)
    array[:, 16:, -1] = top  # black: clear, then half clear, then opaque
    array[:, 16:32, -1] = top / 2
    read = pixels_of(made(array, "jpeg", quality=100, background=(255, 128, 0)))
    assert read.shape[2] == channels - 1
    expected = np.array([255, 128, 0]) if channels == 4 else np.array([151])
    for column, share in ((5, 1), (24, 0.5), (43, 0)):
        assert np.abs(read[16, column] - expected * share).max() <= 4
    # Other formats hold it: nothing is lost there.
    assert pixels_of(made(array, "png", background=(255, 128, 0))).shape[2] in (2, 4)


def test_a_background_is_three_numbers():
    for wrong in ((1, 2), (0, 0, 256), (-1, 0, 0)):
        with pytest.raises(BadParameter, match="background"):
            OutputOptions(background=wrong)
    assert OutputOptions(background=[1, 2, 3]).background == (1, 2, 3)


def test_targets_that_cannot_hold_the_result():
    check_target("webp", 16383, 16383, 4)
    check_target("jpeg", 65500, 65500, 3)
    check_target("png", 70000, 70000, 4)
    with pytest.raises(BadParameter, match="16,383"):
        check_target("webp", 16384, 1, 3)
    with pytest.raises(BadParameter, match="65,500"):
        check_target("jpeg", 1, 65501, 3)
    with pytest.raises(BadParameter, match="transparency"):
        check_target("jpg", 10, 10, 4)
    with pytest.raises(ImageTooSmall):
        check_target("png", 0, 10, 3)
    with pytest.raises(BadParameter, match="transparency"):
        encode(photo(channels=4), NOTHING, None, "jpeg")


def test_names_are_sorted_and_there():
    import superres.imageio as room

    assert sorted(room.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)) == list(
        room.__all__
    )
    assert all(hasattr(room, name) for name in room.__all__)
    assert isinstance(Limits(), room.Limits)
    assert Scratch is room.Scratch
    assert Path


@pytest.mark.parametrize("file_format", ["png", "jpeg", "webp", "tiff"])
def test_the_whole_is_told_once_and_before_the_file_is_replaced(tmp_path, file_format):
    """Who encodes while rows are still made can stop there."""
    target, seen = tmp_path / "out", []
    target.write_bytes(b"old")
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 1000, 3), np.uint8)
    encode(
        pixels,
        NOTHING,
        target,
        file_format,
        on_progress=lambda fraction: seen.append((fraction, target.read_bytes() == b"old")),
    )
    assert [fraction == 1 for fraction, _ in seen] == [False] * (len(seen) - 1) + [True]
    assert all(untouched for _, untouched in seen)
    assert target.read_bytes() != b"old"
