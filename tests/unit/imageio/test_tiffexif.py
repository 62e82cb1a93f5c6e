"""EXIF of TIFF files, in and out, seen by Pillow and tifffile."""

import io
import struct
import sys

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.errors import ImageTooLarge, SuperresError
from superres.imageio import WRITABLE, Limits, Metadata, OutputOptions, decode, encode, read_header
from superres.imageio.exif import compose, parse, slim
from superres.imageio.ifd import Form, Value, read_entries, read_start, store
from tests.unit.imageio.pictures import opened, photo, saved
from tests.unit.imageio.test_decode import rgb_profile

TEXTS = {
    0x010E: "A view",
    0x010F: "Maker",
    0x0110: "Model",
    0x0131: "Camera 1.0",
    0x0132: "2020:01:02 03:04:05",
    0x013B: "Artist",
    0x8298: "(c) 2020",
}
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def sample_exif(note: bytes = b"", orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for tag, text in TEXTS.items():
        exif[tag] = text
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x829A] = "2019:05:06 07:08:09", 0.004
    details[0x9000] = b"0232"
    details[0xA002], details[0xA003] = 83, 61
    if note:
        details[0x927C] = note
    places = exif.get_ifd(0x8825)
    places[1], places[2], places[3], places[4] = "N", (52.0, 31.0, 12.0), "E", (13.0, 24.0, 0.5)
    return exif


def check(data: bytes, width: int, height: int) -> None:
    """What must have survived, as Pillow reads it."""
    image = opened(data)
    assert image.size == (width, height)
    exif = image.getexif()
    assert exif.get(0x0112, 1) == 1
    assert {tag: exif.get(tag) for tag in TEXTS} == TEXTS
    details = exif.get_ifd(0x8769)
    assert details[0x9003] == "2019:05:06 07:08:09"
    assert float(details[0x829A]) == pytest.approx(0.004)
    assert details[0x9000] == b"0232"
    assert (details[0xA002], details[0xA003]) == (width, height)
    places = exif.get_ifd(0x8825)
    assert (places[1], places[3]) == ("N", "E")
    assert [float(v) for v in places[2]] == [52.0, 31.0, 12.0]
    assert [float(v) for v in places[4]] == [13.0, 24.0, 0.5]


def tiff_file(order: str, *, big: bool, array: np.ndarray, exif: Image.Exif) -> bytes:
    """A TIFF by tifffile, of either byte order and kind, with EXIF put in by hand."""
    buffer = io.BytesIO()
    _, block = parse(exif.tobytes())
    with tifffile.TiffWriter(buffer, bigtiff=big, byteorder=order) as writer:
        writer.write(array, photometric="rgb", description="A view", metadata=None, software=None)
    data = bytearray(buffer.getvalue())
    form, link, position = read_start(lambda at, n: bytes(data[at : at + n]))
    assert form == Form(order, big)
    placed, following = read_entries(lambda at, n: bytes(data[at : at + n]), position, form)
    data += b"\0" * (-len(data) % 8)
    struct.pack_into(form.word, data, link, len(data))
    source = "<" if exif.tobytes()[6:8] == b"II" else ">"
    data += store(block, source, form, len(data), placed, following)
    return bytes(data)


# ---------------------------------------------------------------- ways through


@pytest.mark.parametrize("kind_in", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("kind_out", WRITABLE)
def test_exif_travels_between_all_formats(kind_in, kind_out, limits, scratch):
    source = saved(photo(), kind_in, exif=sample_exif().tobytes())
    metadata = decode(source, limits, scratch).metadata
    data = encode(photo(244, 332), metadata, None, kind_out)
    check(data, 332, 244)
    again = decode(data, limits, scratch)
    check(encode(photo(488, 664), again.metadata, None, "tiff"), 664, 488)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind_out", ["tiff", "jpeg"])
def test_both_byte_orders_and_bigtiff_are_read(big, order, kind_out, tmp_path, limits, scratch):
    source = tiff_file(order, big=big, array=photo(), exif=sample_exif())
    # Pillow takes no EXIF from a big-endian BigTIFF.
    with tifffile.TiffFile(io.BytesIO(source)) as tiff:
        details = tiff.pages[0].tags["ExifTag"].value
    assert details["DateTimeOriginal"] == "2019:05:06 07:08:09"
    path = tmp_path / "in.tif"
    path.write_bytes(source)
    picture = decode(path, limits, scratch)
    assert picture.pixels.shape == (83, 61, 3)  # turned upright
    assert picture.metadata == decode(source, limits, scratch).metadata
    check(encode(photo(), picture.metadata, None, kind_out), 83, 61)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("to_file", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_output_is_otherwise_the_same(
    big, dtype, to_file, order, tmp_path, monkeypatch, limits, scratch
):
    if big:
        # By its module's name: the room has a function of the same name.
        monkeypatch.setattr(sys.modules["superres.imageio.encode"], "_BIGTIFF_BYTES", 0)
    array = photo(300, 400).astype(dtype) * (257 if dtype == np.uint16 else 1)
    plain = Metadata(icc=rgb_profile(), xmp=XMP, iptc=b"\x1c\x02\x05\0\x03abc",
                     resolution=(300 / 25.4, 150 / 25.4))  # fmt: skip
    exif = sample_exif(b"note" * 50_000)
    exif.endian = order
    full = Metadata(icc=plain.icc, exif=exif.tobytes(), xmp=XMP, iptc=plain.iptc,
                    resolution=plain.resolution)  # fmt: skip
    if to_file:
        assert encode(array, full, tmp_path / "x.tif", "tiff") is None
        data = (tmp_path / "x.tif").read_bytes()
    else:
        data = encode(array, full, None, "tiff")
    native = sys.byteorder == "little"
    assert data[2 if native else 3] == (43 if big else 42)
    check(data, 400, 300)
    assert opened(data).getexif().get_ifd(0x8769)[0x927C] == b"note" * 50_000
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        assert len(tiff.pages) == 1
        page = tiff.pages[0]
        assert np.array_equal(page.asarray(), array)
        codes = [tag.code for tag in page.tags.values()]
        assert codes == sorted(codes)
        assert len(set(codes)) == len(codes)
        assert page.tags["Make"].value == "Maker"
        assert page.tags["ExifTag"].value["DateTimeOriginal"] == "2019:05:06 07:08:09"
        assert "ExposureTime" in page.tags["ExifTag"].value
        assert page.tags["ExifTag"].value["PixelXDimension"] == 400
        assert page.tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert page.tags["InterColorProfile"].value == plain.icc
        assert page.tags["Orientation"].value == 1
    # libvips' own file is unchanged but for the link and the end.
    bare = encode(array, plain, None, "tiff")
    at = 8 if big else 4
    assert data[:at] == bare[:at]
    assert data[2 * at : len(bare)] == bare[2 * at :]
    before, after = decode(bare, limits, scratch), decode(data, limits, scratch)
    assert np.array_equal(before.pixels, after.pixels)
    for name in ("icc", "xmp", "iptc", "resolution"):
        assert getattr(before.metadata, name) == getattr(after.metadata, name)
    assert before.metadata.exif is None


def test_strip_leaves_nothing_of_it():
    metadata = Metadata(exif=sample_exif().tobytes())
    data = encode(photo(), metadata, None, "tiff", OutputOptions(strip=True))
    assert data == encode(photo(), Metadata(), None, "tiff")


def test_descriptions_of_the_files_own_shape_are_not_taken_over(limits, scratch):
    for metadata, text in (({"axes": "YXS"}, None), (None, "ImageJ=1.53"), (None, "<OME x='y'>")):
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer, photo(), photometric="rgb", metadata=metadata, description=text, software="me"
        )
        picture = decode(buffer.getvalue(), limits, scratch)
        data = encode(photo(20, 20), picture.metadata, None, "tiff")
        assert 270 not in opened(data).tag_v2
        assert opened(data).tag_v2[305] == "me"


def test_a_tiff_that_states_nothing_gets_nothing(limits, scratch):
    source = saved(photo(), "TIFF")
    metadata = decode(source, limits, scratch).metadata
    assert metadata.exif is None


# ---------------------------------------------------------------- damage and size


@settings(deadline=None, max_examples=100,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(data=st.data())
def test_damaged_directories_never_crash(data, tmp_path, limits, scratch):
    order, big = data.draw(st.sampled_from("<>")), data.draw(st.booleans())
    source = bytearray(tiff_file(order, big=big, array=photo(8, 8), exif=sample_exif()))
    # The picture's own tags stay whole; what is behind them is EXIF.
    form, _, position = read_start(lambda at, n: bytes(source[at : at + n]))
    entries, _ = read_entries(lambda at, n: bytes(source[at : at + n]), position, form)
    start = position + struct.calcsize(form.counter) + len(entries) * form.entry + form.inline
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(start, len(source) - 1))
        source[at] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    path = tmp_path / "in.tif"
    path.write_bytes(source)
    for file in (bytes(source), path):
        picture = decode(file, limits, scratch)
        assert picture.pixels.shape == (8, 8, 3)
        for kind in WRITABLE:
            assert opened(encode(photo(), picture.metadata, None, kind)).size == (83, 61)


@pytest.mark.parametrize("tag", [0x8769, 0x8825, 0x010F])
@pytest.mark.parametrize(
    ("big", "where"),
    [(big, where) for big in (False, True) for where in (0, 8, 2**31, 2**32 - 1)]
    + [(True, 2**63), (True, 2**64 - 1)],
)
def test_offsets_to_nowhere_are_ignored(tag, big, where, tmp_path, limits, scratch):
    source = bytearray(tiff_file("<", big=big, array=photo(), exif=sample_exif(orientation=1)))
    form_word, entry_at = ("<Q", 12) if big else ("<I", 8)
    (link,) = struct.unpack_from(form_word, source, 8 if big else 4)
    at = source.index(struct.pack("<H", tag), link)
    struct.pack_into(form_word, source, at + entry_at, where)
    path = tmp_path / "in.tif"
    path.write_bytes(source)
    for file in (bytes(source), path):
        picture = decode(file, limits, scratch)
        assert np.array_equal(picture.pixels, photo())
        assert opened(encode(photo(), picture.metadata, None, "tiff")).getexif()[0x0110] == "Model"


def test_a_directory_offset_beyond_all_files_is_an_error_not_a_crash(tmp_path, limits, scratch):
    path = tmp_path / "in.tif"
    path.write_bytes(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 2**64 - 1) + bytes(100))
    for file in (path, path.read_bytes()):
        with pytest.raises(SuperresError):
            decode(file, limits, scratch)


def test_the_size_limit_holds(limits, scratch):
    source = tiff_file("<", big=False, array=photo(), exif=sample_exif(b"n" * 100_000))
    with pytest.raises(ImageTooLarge, match="metadata"):
        read_header(source, Limits(max_metadata_bytes=50_000))
    assert len(decode(source, limits, scratch).metadata.exif) > 100_000


def test_a_directory_that_contains_itself(limits, scratch):
    directory = {0x8769: {0xA005: {}}, 0x010F: Value(2, 6, b"Maker\0")}
    directory[0x8769][0x9003] = Value(2, 4, b"abc\0")
    block = bytearray(compose("<", directory))
    at = block.index(struct.pack("<HHI", 0x8769, 4, 1))
    struct.pack_into("<I", block, at + 8, 8)
    _, found = parse(bytes(block))
    assert found == {0x010F: directory[0x010F], 0x8769: {0x010F: directory[0x010F]}}
    assert opened(encode(photo(), Metadata(exif=bytes(block)), None, "tiff")).size == (83, 61)


def test_values_that_share_their_bytes_are_not_multiplied():
    count = 1000
    block = struct.pack("<2sHIH", b"II", 42, 8, count)
    block += b"".join(struct.pack("<HHII", tag, 7, 10_000, 0) for tag in range(1, count + 1))
    block += bytes(4)
    with pytest.raises(struct.error):
        parse(block)
    assert encode(photo(), Metadata(exif=block), None, "tiff")


# ---------------------------------------------------------------- what a format cannot hold


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("size", [63_000, 65_300, 66_000, 2_000_000])
def test_long_exif_loses_only_its_longest_values(kind, size, capfd):
    exif = sample_exif(bytes(size)).tobytes()
    data = encode(photo(), Metadata(exif=exif), None, kind)
    check(data, 83, 61)
    assert (0x927C in opened(data).getexif().get_ifd(0x8769)) == (size < 64_000)
    assert capfd.readouterr() == ("", "")


def test_slim_keeps_short_blocks_and_survives_damaged_ones():
    exif = sample_exif().tobytes()
    assert slim(exif, 100_000) is exif
    assert len(slim(exif, 300)) <= 300
    assert slim(b"x" * 100, 50) == b"x" * 100


def test_xmp_and_iptc_too_large_for_jpeg_are_left_out_quietly(capfd):
    xmp, iptc = b"<x:xmpmeta>" + b" " * 60_000 + b"</x:xmpmeta>", b"\x1c\x02\x05" + bytes(66_000)
    for kind in WRITABLE:
        data = encode(photo(), Metadata(xmp=xmp, iptc=iptc), None, kind)
        assert (b"<x:xmpmeta>" in data) == (kind != "jpeg")
    fits = b"<x:xmpmeta>".ljust(60_000)
    data = encode(photo(), Metadata(xmp=fits), None, "jpeg")
    assert fits in data
    fits = b"\x1c\x02\x05" + bytes(64_997)
    assert fits in encode(photo(), Metadata(iptc=fits), None, "jpeg")
    assert capfd.readouterr() == ("", "")
