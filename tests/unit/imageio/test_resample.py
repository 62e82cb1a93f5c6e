import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superres.errors import ImageTooSmall
from superres.imageio import Canvas, image_of, resize
from tests.unit.imageio.pictures import photo


def resized(array: np.ndarray, width: int, height: int) -> np.ndarray:
    return resize(image_of(array), width, height).numpy().reshape(height, width, array.shape[2])


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90),
    new_width=st.integers(1, 200), new_height=st.integers(1, 200),
    channels=st.integers(1, 4), dtype=st.sampled_from([np.uint8, np.uint16]),
)  # fmt: skip
def test_exact_size_type_and_constants(width, height, new_width, new_height, channels, dtype):
    top = np.iinfo(dtype).max
    array = np.full((height, width, channels), top, dtype)
    out = resized(array, new_width, new_height)
    assert out.dtype == dtype
    assert out.shape == (new_height, new_width, channels)
    assert (out == top).all()


def test_close_to_pillows_lanczos():
    array = photo(200, 300)
    expected = np.asarray(Image.fromarray(array).resize((110, 70), Image.Resampling.LANCZOS))
    assert np.abs(resized(array, 110, 70).astype(int) - expected).mean() < 1


def test_transparent_colour_does_not_bleed():
    array = np.zeros((64, 64, 4), np.uint8)
    array[:, :32] = (255, 0, 0, 255)
    array[:, 32:] = (0, 255, 0, 0)  # green, but invisible
    out = resized(array, 24, 24).astype(int)
    seen = out[out[:, :, 3] > 8]
    assert seen[:, 0].min() > 240
    assert seen[:, 1].max() < 12
    assert set(np.unique(out[:, [0, -1], 3])) == {0, 255}


def test_overshoot_is_clipped():
    array = np.zeros((40, 40, 1), np.uint16)
    array[:, 20:] = 65535
    out = resized(array, 97, 97)
    assert (out[:, :30] < 20000).all()
    assert (out[:, 70:] > 45000).all()


def test_a_canvas_on_disk_is_resized_streaming(scratch):
    array = photo(300, 400)
    with Canvas(300, 400, 3, np.uint8, scratch, memory_limit=0) as canvas:
        canvas.write(0, 0, array)
        out = resize(canvas.image(), 123, 77).numpy()
    assert np.array_equal(out, resized(array, 123, 77))


def test_same_size_is_untouched_and_none_is_refused():
    image = image_of(photo())
    assert resize(image, 83, 61) is image
    with pytest.raises(ImageTooSmall):
        resize(image, 0, 5)
