"""BMP variants, built by hand after Microsoft's "Bitmap Storage" pages."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import CorruptImage, SuperresError, UnsupportedFormat
from superres.imageio import Limits, Scratch, decode
from tests.unit.imageio.pictures import photo, saved


def bmp(
    width: int,
    height: int,
    bits: int,
    data: bytes,
    *,
    compression: int = 0,
    palette: bytes = b"",
    used: int = 0,
    masks: tuple[int, ...] = (),
    size: int = 40,
) -> bytes:
    if size == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression,
                           len(data), 3000, 2000, used, 0)  # fmt: skip
    extra = struct.pack(f"<{len(masks)}I", *masks)
    info = (info + extra).ljust(size, b"\0")
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + palette + data


def padded(rows: np.ndarray) -> bytes:
    """Bottom-up rows of bytes, each padded to a multiple of four."""
    return b"".join(row.tobytes().ljust((row.nbytes + 3) // 4 * 4, b"\0") for row in rows[::-1])


def read(data: bytes) -> np.ndarray:
    with Scratch() as scratch:
        return np.array(decode(data, Limits(), scratch).pixels)


PALETTE = np.random.default_rng(5).integers(0, 256, (256, 3), dtype=np.uint8)


def stored(palette: np.ndarray, entry: int = 4) -> bytes:
    return b"".join(bytes(c[::-1]).ljust(entry, b"\0") for c in palette)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 83])
@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes_of_every_depth(bits, width):
    indices = np.random.default_rng(width).integers(0, 1 << bits, (5, width), dtype=np.uint8)
    spread = indices.reshape(5, width, 1) >> np.arange(bits - 1, -1, -1, dtype=np.uint8) & 1
    packed = np.packbits(spread.reshape(5, -1), axis=1)
    palette = PALETTE[: 1 << bits]
    for size, entry in ((12, 3), (40, 4), (108, 4)):
        data = bmp(width, 5, bits, padded(packed), palette=stored(palette, entry), size=size)
        assert np.array_equal(read(data), palette[indices])


def test_a_grey_palette_is_one_channel():
    data = saved(photo(channels=1), "BMP")
    assert np.array_equal(read(data), photo(channels=1))


def test_top_down_and_24_bit():
    array = photo(9, 11)
    rows = array[:, :, ::-1].reshape(9, -1)
    assert np.array_equal(read(bmp(11, 9, 24, padded(rows))), array)
    assert np.array_equal(read(bmp(11, -9, 24, padded(rows[::-1]))), array)
    old = bmp(11, 9, 24, padded(rows), size=12)
    assert np.array_equal(read(old), array)


def test_16_bit_555_and_565():
    array = photo(9, 11)
    levels = array.astype(int)
    for masks, tops in (((), (31, 31, 31)), ((0xF800, 0x7E0, 0x1F), (31, 63, 31))):
        v = [np.rint(levels[:, :, c] * tops[c] / 255).astype(int) for c in range(3)]
        green_bits = 6 if masks else 5
        words = (v[0] << (5 + green_bits) | v[1] << 5 | v[2]).astype("<u2")
        compression = 3 if masks else 0
        data = bmp(11, 9, 16, padded(words), compression=compression,
                   palette=struct.pack(f"<{len(masks)}I", *masks))  # fmt: skip
        expected = np.stack([np.rint(v[c] * 255 / tops[c]) for c in range(3)], axis=-1)
        assert np.array_equal(read(data), expected)
        assert read(data).max() == expected.max()


def test_32_bit_alpha_counts_only_with_a_mask():
    array = photo(9, 11, 4)
    words = array[:, :, [2, 1, 0, 3]].reshape(9, -1)
    assert np.array_equal(read(bmp(11, 9, 32, padded(words))), array[:, :, :3])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for size in (56, 108, 124):
        data = bmp(11, 9, 32, padded(words), compression=3, masks=masks, size=size)
        assert np.array_equal(read(data), array)


def test_run_lengths():
    palette = stored(PALETTE)
    # Bottom row: five of colour 3, then literals 7 8 9; next row: skip two, then two of 4.
    data = bytes([5, 3, 0, 3, 7, 8, 9, 0, 0, 0, 0, 2, 2, 0, 2, 4, 4, 1, 0, 0, 0, 1])
    expected = np.array([[0, 0, 4, 4, 1, 1, 1, 1], [3, 3, 3, 3, 3, 7, 8, 9]], np.uint8)
    assert np.array_equal(read(bmp(8, 2, 8, data, compression=1, palette=palette)),
                          PALETTE[expected])  # fmt: skip
    nibbles = bytes([5, 0x12, 0, 3, 0x34, 0x50, 0, 1])
    expected = np.array([[1, 2, 1, 2, 1, 3, 4, 5]], np.uint8)
    data = bmp(8, 1, 4, nibbles, compression=2, palette=stored(PALETTE[:16]))
    assert np.array_equal(read(data), PALETTE[expected])


def test_resolution_is_read(limits, scratch):
    data = bmp(1, 1, 24, b"\0\0\0\0")
    assert decode(data, limits, scratch).metadata.resolution == (3.0, 2.0)


def test_damaged_files_are_refused():
    palette = stored(PALETTE[:4])
    for data in (
        bmp(8, 1, 8, b"\5" * 8, palette=palette, used=4),  # a colour that is not there
        bmp(8, 2, 24, b"\0" * 47),  # one byte short
        bmp(8, 2, 8, b"\5\1", compression=1, palette=stored(PALETTE)),  # runs end early
        bmp(8, 2, 16, b"\0" * 32, compression=3, palette=b"\0" * 12),  # empty masks
        bmp(-8, 2, 24, b"\0" * 48),
        b"BM" + b"\0" * 12 + b"\x28\0\0\0",
    ):
        with pytest.raises(CorruptImage):
            read(data)
    for bits, compression in ((24, 4), (24, 5), (2, 0), (8, 2), (48, 0)):
        with pytest.raises(UnsupportedFormat, match="compression"):
            read(bmp(8, 1, bits, b"\0" * 64, compression=compression, palette=palette))


@given(data=st.data())
def test_arbitrary_damage_ends_in_an_answer_or_our_error(data):
    file = bytearray(bmp(8, 4, 8, bytes([8, 3, 0, 0] * 4 + [0, 1]), compression=1,
                         palette=stored(PALETTE)))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(10, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = read(bytes(file))
    except SuperresError:
        return
    assert pixels.ndim == 3
