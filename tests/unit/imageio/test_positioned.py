"""Reading and writing at offsets, with the system's calls and without them (Windows)."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from superres.errors import OutOfMemory
from superres.imageio import Canvas, Metadata, decode, encode, positioned
from superres.imageio.positioned import read_at, write_at
from tests.unit.imageio.pictures import photo


@pytest.fixture(params=["native", "fallback"], autouse=True)
def way(request, monkeypatch):
    if request.param == "fallback":
        monkeypatch.setattr(positioned, "_NATIVE", False)
        monkeypatch.setattr(positioned, "_STEP", 1000)
        for name in ("pread", "preadv", "pwrite", "pwritev"):
            monkeypatch.delattr(os, name, raising=False)
    elif not positioned._NATIVE:
        pytest.skip("not on this system")


def test_whole_and_short_reads(tmp_path):
    descriptor = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    try:
        write_at(descriptor, bytes(range(256)) * 40, 7)
        write_at(descriptor, b"", 0)
        buffer = bytearray(10_300)
        assert read_at(descriptor, memoryview(buffer), 0) == 7 + 10_240
        assert bytes(buffer) == bytes(7) + bytes(range(256)) * 40 + bytes(53)
        assert read_at(descriptor, memoryview(buffer), 20_000) == 0
    finally:
        os.close(descriptor)


def test_many_threads(scratch):
    array = photo(200, 300)
    with Canvas(200, 300, 3, np.uint8, scratch, memory_limit=0) as canvas:

        def copy(y: int) -> bool:
            for x in range(0, 300, 20):
                canvas.write(y, x, array[y : y + 5, x : x + 20])
            return np.array_equal(canvas.read(y, y + 5), array[y : y + 5])

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(copy, range(0, 200, 5)))
        assert np.array_equal(canvas.array(), array)


def test_a_picture_through_files(tmp_path, limits, scratch):
    array = photo(150, 200)
    with Canvas(150, 200, 3, np.uint8, scratch, memory_limit=0) as canvas:
        canvas.write(0, 0, array)
        for kind in ("png", "tiff"):
            encode(canvas, Metadata(), tmp_path / f"x.{kind}", kind)
            assert np.array_equal(decode(tmp_path / f"x.{kind}", limits, scratch).pixels, array)
        copy = Canvas(150, 200, 3, np.uint8, scratch, memory_limit=0)
        copy.fill_from(canvas.image())
        assert np.array_equal(copy.read(0, 150), array)
        copy.close()


def test_a_file_cut_short_is_told(scratch):
    with Canvas(150, 200, 3, np.uint8, scratch, memory_limit=0) as canvas:
        os.ftruncate(canvas._file.fd, 5000)
        with pytest.raises(OutOfMemory, match="cut short"):
            canvas.read(0, 150)
