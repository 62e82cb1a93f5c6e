import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superres.errors import BadParameter, ImageTooSmall, OutOfMemory
from superres.imageio import Canvas, Scratch, release_pages
from superres.imageio.scratch import ScratchFile

sides = st.integers(1, 40)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), height=sides, width=sides, channels=st.integers(1, 4))
@pytest.mark.parametrize("on_disk", [True, False])
def test_random_writes_equal_numpy(data, height, width, channels, on_disk, tmp_path_factory):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.float32]))
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    expected = np.zeros((height, width, channels), dtype)
    with Scratch(tmp_path_factory.getbasetemp()) as scratch:
        limit = 0 if on_disk else 1 << 20
        canvas = Canvas(height, width, channels, dtype, scratch, memory_limit=limit)
        assert canvas.on_disk is on_disk
        for _ in range(data.draw(st.integers(0, 6))):
            y, x = int(rng.integers(height)), int(rng.integers(width))
            h, w = int(rng.integers(1, height - y + 1)), int(rng.integers(1, width - x + 1))
            block = (rng.random((h, w, channels)) * 250).astype(dtype)
            canvas.write(y, x, block)
            expected[y : y + h, x : x + w] = block
        assert np.array_equal(canvas.array(), expected)
        y0 = data.draw(st.integers(0, height))
        y1 = data.draw(st.integers(y0, height))
        assert np.array_equal(canvas.read(y0, y1), expected[y0:y1])
        image = canvas.image()
        assert (image.width, image.height, image.bands) == (width, height, channels)
        assert np.array_equal(image.numpy().reshape(expected.shape), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_wide_canvas_of_many_strips_streams_exactly(dtype, channels, scratch):
    rng = np.random.default_rng(1)
    array = (rng.random((37, 70_001, channels)) * 255).astype(dtype)
    with Canvas(37, 70_001, channels, dtype, scratch, memory_limit=0) as canvas:
        canvas.write(0, 0, array)
        image = canvas.image()
        assert image.interpretation in ("b-w", "grey16", "srgb", "rgb16")
        assert np.array_equal(image.numpy().reshape(array.shape), array)


def test_blocks_that_are_views_are_written_right(scratch):
    block = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    with Canvas(6, 4, 3, np.uint8, scratch, memory_limit=0) as canvas:
        canvas.write(0, 0, block.swapaxes(0, 1))
        assert np.array_equal(canvas.read(0, 6), block.swapaxes(0, 1))


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_what_does_not_fit_is_refused(limit, scratch):
    with Canvas(10, 20, 3, np.uint8, scratch, memory_limit=limit) as canvas:
        good = np.zeros((2, 2, 3), np.uint8)
        for y, x, block in (
            (9, 0, good), (0, 19, good), (-1, 0, good), (0, -1, good),
            (0, 0, good[:, :, :2]), (0, 0, good.astype(np.uint16)), (0, 0, good[0]),
        ):  # fmt: skip
            with pytest.raises(BadParameter):
                canvas.write(y, x, block)
        with pytest.raises(BadParameter):
            canvas.read(5, 11)
        assert not canvas.array().any()
    with pytest.raises(ImageTooSmall):
        Canvas(0, 5, 3, np.uint8, scratch)
    with pytest.raises(BadParameter):
        Canvas(5, 5, 5, np.uint8, scratch)
    with pytest.raises(BadParameter):
        Canvas(5, 5, 3, np.int32, scratch)


def test_the_mapped_array_outlives_its_scratch(tmp_path):
    with Scratch(tmp_path) as scratch:
        canvas = Canvas(30, 30, 3, np.uint8, scratch, memory_limit=0)
        canvas.write(0, 0, np.full((30, 30, 3), 7, np.uint8))
        mapped = canvas.array()
    assert (mapped == 7).all()
    release_pages(mapped[3:5])
    assert (mapped == 7).all()
    with pytest.raises(ValueError, match="read-only"):
        mapped[0] = 1
    release_pages(np.zeros((2, 2, 3), np.uint8))


def test_a_closed_canvas_says_so(scratch):
    canvas = Canvas(3, 3, 3, np.uint8, scratch, memory_limit=0)
    canvas.close()
    canvas.close()
    with pytest.raises(BadParameter, match="closed"):
        canvas.image()


# ---------------------------------------------------------------- scratch


def fill_and_stop(scratch: Scratch) -> None:
    file = scratch.new_file(1000)
    assert os.fstat(file.fd).st_size == 1000
    raise KeyboardInterrupt


def test_scratch_leaves_nothing_after_an_exception(tmp_path):
    with pytest.raises(KeyboardInterrupt), Scratch(tmp_path) as scratch:
        fill_and_stop(scratch)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="nameless files are Linux's")
def test_scratch_files_have_no_name_even_while_open(tmp_path):
    with Scratch(tmp_path) as scratch:
        file = scratch.new_file(10)
        os.pwrite(file.fd, b"0123456789", 0)
        assert list(tmp_path.iterdir()) == []
        assert Path(file.path).read_bytes() == b"0123456789"


def test_named_scratch_files_are_removed_too(tmp_path, monkeypatch):
    monkeypatch.setattr("superres.imageio.scratch._NAMELESS", False)
    with Scratch(tmp_path) as scratch:
        first, second = scratch.new_file(10), scratch.new_file(10)
        assert len(list(tmp_path.rglob("*"))) == 3
        first.close()
        assert len(list(tmp_path.rglob("*"))) == 2
        assert isinstance(second, ScratchFile)
        assert Path(second.path).stat().st_size == 10
    assert list(tmp_path.iterdir()) == []


def test_too_little_room_is_told_before_the_work(tmp_path):
    with Scratch(tmp_path) as scratch:
        with pytest.raises(OutOfMemory, match=r"needs [\d.]+ GB in .*scratch_dir"):
            scratch.new_file(1 << 60)
        with pytest.raises(OutOfMemory, match="scratch_dir"):
            Canvas(1 << 20, 1 << 20, 4, np.float32, scratch)
    scratch = Scratch(tmp_path / "absent")
    with pytest.raises(OutOfMemory, match="scratch_dir"):
        scratch.new_file(1)
