"""Every way a tile can be wrong is noticed, and nothing else is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.engines.base import TileProgram, TileResult
from superres.pipeline.verify import fault
from tests.unit.pipeline.doubles import enlarged, photo, reduced, result_of, sharpened

SCALES = [2, 3, 4]


def tile(height=64, width=80, seed=0):
    """``(3, h, w)`` in [0, 1]."""
    return np.ascontiguousarray(photo(height, width, 3, seed).transpose(2, 0, 1) / np.float32(255))


def program(image, scale, *, quantised=True, channels=3):
    return TileProgram("", image.shape[1:], scale, channels, quantised, False, bytes)


def answered(image, scale, values=None, **how):
    source = image.transpose(1, 2, 0)
    values = sharpened(source, scale) if values is None else values
    return result_of(source, values.astype(np.float32), program(image, scale, **how))


def verdict(image, result, may_be_plain=False):
    return fault(image, result, may_be_plain=may_be_plain)


FORMS = pytest.mark.parametrize(
    "form", [{}, {"quantised": False}, {"channels": 1}], ids=["bytes", "floats", "grey"]
)


@pytest.mark.parametrize("scale", [1, *SCALES])
@pytest.mark.parametrize("seed", range(5))
@FORMS
def test_an_honest_answer_passes(scale, seed, form):
    image = tile(seed=seed)
    assert verdict(image, answered(image, scale, **form)) is None


@pytest.mark.parametrize("scale", SCALES)
@FORMS
def test_plain_enlargements_are_noticed(scale, form):
    image = tile()
    if form.get("channels") == 1:
        image = image.mean(0, keepdims=True).repeat(3, 0)
    source = image.transpose(1, 2, 0)
    for kind in ("nearest", "linear", "cubic"):
        plain = answered(image, scale, enlarged(source, scale, kind), **form)
        assert verdict(image, plain) == "a plain enlargement", kind
        assert verdict(image, plain, may_be_plain=True) is None, kind


@pytest.mark.parametrize("scale", SCALES)
def test_of_a_picture_out_of_focus_cubic_is_an_honest_answer(scale):
    """The networks do just that on smooth edges; repeated pixels are a fault all the same."""
    ramp = 0.5 + 0.45 * np.tanh((np.arange(80) - 40) / 3.2)
    soft = np.ascontiguousarray(np.broadcast_to(ramp, (3, 64, 80)), np.float32)
    source = soft.transpose(1, 2, 0)
    assert np.abs(np.diff(source[4:-4, 4:-4].mean(2), axis=1)).max() > 32 / 255
    assert verdict(soft, answered(soft, scale, enlarged(source, scale, "cubic"))) is None
    nearest = answered(soft, scale, enlarged(source, scale, "nearest"))
    assert verdict(soft, nearest) == "a plain enlargement"


@pytest.mark.parametrize("scale", SCALES)
def test_plain_enlargements_by_another_hand_are_noticed(scale):
    """Ours, in float arithmetic, and Pillow's in bytes may differ by a level."""
    from PIL import Image

    image = tile(seed=3)
    source = np.rint(image.transpose(1, 2, 0) * 255).astype(np.uint8)
    size = (source.shape[1] * scale, source.shape[0] * scale)
    for kind in (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        bytes_ = np.asarray(Image.fromarray(source).resize(size, kind))
        plain = answered(image, scale, bytes_ / np.float32(255))
        assert verdict(image, plain) == "a plain enlargement", kind


def replaced(result, **fields):
    return TileResult(**{**result.__dict__, **fields})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("may_be_plain", [False, True])
def test_a_single_value_that_is_no_number_is_noticed(value, may_be_plain):
    image = tile()
    right = answered(image, 4, quantised=False)
    spoilt = right.reduced.copy()
    spoilt[5, 6, 1] = value
    assert verdict(image, replaced(right, reduced=spoilt), may_be_plain) == (
        "values that are not numbers"
    )
    spoilt = right.pixels.copy()
    spoilt[70, 33, 2] = value
    assert verdict(image, replaced(right, pixels=spoilt), may_be_plain) == (
        "values that are not numbers"
    )


@pytest.mark.parametrize("value", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("may_be_plain", [False, True])
@FORMS
def test_one_colour_is_noticed(value, may_be_plain, form):
    image = tile()
    blank = answered(image, 4, np.full((256, 320, 3), value), **form)
    assert verdict(image, blank, may_be_plain) is not None


@pytest.mark.parametrize("faint", [6, 12, 40])
def test_one_colour_is_noticed_on_faint_pictures_too(faint):
    image = 0.5 + (tile() - 0.5) * np.float32(faint / 255)
    blank = answered(image, 4, np.full((256, 320, 3), image.mean()))
    assert verdict(image, blank) == "a constant"


@pytest.mark.parametrize("seed", range(1, 8))
@FORMS
def test_another_picture_is_noticed(seed, form):
    image, other = tile(), tile(seed=seed)
    assert verdict(image, answered(other, 4, **form)) == "another picture"


@pytest.mark.parametrize("shift", [(0, 24), (24, 0), (16, 16)])
def test_a_neighbouring_tile_is_noticed(shift):
    """A buffer that kept the tile before."""
    large = tile(128, 128, seed=4)
    image = np.ascontiguousarray(large[:, :64, :64])
    other = np.ascontiguousarray(large[:, shift[0] : shift[0] + 64, shift[1] : shift[1] + 64])
    assert verdict(image, answered(other, 4)) == "another picture"


@pytest.mark.parametrize("seed", range(1, 8))
@FORMS
def test_pixels_of_another_tile_are_noticed(seed, form):
    image, other = tile(), tile(seed=seed)
    right, wrong = answered(image, 4, **form), answered(other, 4, **form)
    assert verdict(image, replaced(right, pixels=wrong.pixels)) == "pixels of another tile"


@pytest.mark.parametrize("form", [{}, {"quantised": False}], ids=["bytes", "floats"])
def test_pixels_never_written_are_noticed(form):
    right = answered(tile(), 4, **form)
    empty = replaced(right, pixels=np.zeros_like(right.pixels))
    assert verdict(tile(), empty) == "pixels of another tile"


def test_a_part_that_is_black_is_noticed():
    image = np.clip(tile() + 0.5, 0, 1)
    values = sharpened(image.transpose(1, 2, 0), 4)
    values[64:128, 128:192] = 0
    assert verdict(image, answered(image, 4, values)) == "another picture"


def test_swapped_channels_are_noticed():
    image = tile()
    image[0], image[2] = image[0] * 0.3 + 0.7, image[2] * 0.3
    wrong = answered(np.ascontiguousarray(image[::-1]), 4)
    assert verdict(image, wrong) == "another picture"


@pytest.mark.parametrize("value", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_one_colour_in_may_be_one_colour_out(value, scale):
    image = np.full((3, 32, 32), value, np.float32)
    assert (
        verdict(image, answered(image, scale, np.full((32 * scale, 32 * scale, 3), value))) is None
    )


def test_faint_noise_may_be_removed():
    rng = np.random.default_rng(0)
    image = np.float32(0.5) + rng.integers(-2, 3, (3, 64, 64)).astype(np.float32) / 255
    assert verdict(image, answered(image, 4, np.full((256, 256, 3), 0.5))) is None


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("reach", [0.02, 0.3, 1.0])
def test_a_gradient_is_what_it_is_however_enlarged(axis, reach):
    line = np.linspace(0, reach, 64, dtype=np.float32)
    image = np.broadcast_to(line[:, None] if axis == 1 else line[None], (3, 64, 64)).copy()
    source = image.transpose(1, 2, 0)
    for kind in ("cubic", "linear"):
        assert verdict(image, answered(image, 4, enlarged(source, 4, kind))) is None


@settings(max_examples=60)
@given(
    st.integers(17, 70),
    st.integers(17, 70),
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["photo", "noise", "dark", "bright", "steps", "dots"]),
)
def test_honest_answers_pass_whatever_the_picture(height, width, scale, seed, kind):
    rng = np.random.default_rng(seed)
    image = tile(height, width, seed)
    if kind == "noise":
        image = rng.random((3, height, width), np.float32)
    elif kind == "dark":
        image *= 0.05
    elif kind == "bright":
        image = 1 - image * np.float32(0.05)
    elif kind == "steps":
        image = np.rint(image * 3).astype(np.float32) / 3
    elif kind == "dots":
        image = (rng.random((1, height, width)) < 0.03).astype(np.float32).repeat(3, 0)
    source = image.transpose(1, 2, 0)
    sharp = sharpened(source, scale)
    assert verdict(image, answered(image, scale, sharp), may_be_plain=True) is None
    assert verdict(image, answered(image, scale, sharp)) is None


def test_the_double_is_honest():
    source = tile().transpose(1, 2, 0)
    np.testing.assert_allclose(reduced(sharpened(source, 4), 4), source, atol=1e-5)
