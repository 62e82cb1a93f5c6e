"""Windows are what numpy's symmetric padding gives, without the padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.tiling.window import mirrored, read_window


def picture(height: int, width: int) -> np.ndarray:
    return np.arange(height * width * 2, dtype=np.uint16).reshape(height, width, 2)


@pytest.mark.parametrize("height", range(1, 8))
@pytest.mark.parametrize("width", range(1, 8))
def test_equals_symmetric_padding_for_all_small_pictures(height, width):
    pixels, margin = picture(height, width), 40
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="symmetric")
    for y, x, h, w in [
        (-8, -8, 32, 32),
        (-1, 0, 1, 3),
        (-20, 3, 27, 9),
        (0, -2, 2, 5),
        (2, 2, 9, 1),
    ]:
        want = padded[y + margin : y + margin + h, x + margin : x + margin + w]
        np.testing.assert_array_equal(read_window(pixels, y, x, h, w), want)


@given(st.data())
def test_equals_symmetric_padding_anywhere(data):
    height, width = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    y, x = data.draw(st.integers(-50, 60)), data.draw(st.integers(-50, 60))
    h, w = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60))
    pixels = picture(height, width)
    padded = np.pad(pixels, ((50, 130), (50, 130), (0, 0)), mode="symmetric")
    want = padded[y + 50 : y + 50 + h, x + 50 : x + 50 + w]
    got = read_window(pixels, y, x, h, w)
    assert got.dtype == pixels.dtype
    np.testing.assert_array_equal(got, want)


def test_inside_it_is_a_view():
    pixels = picture(9, 9)
    assert np.shares_memory(read_window(pixels, 0, 0, 9, 9), pixels)
    assert np.shares_memory(read_window(pixels, 3, 2, 4, 5), pixels)


def test_indices_repeat_back_and_forth():
    assert mirrored(-4, 11, 3).tolist() == [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0]
