"""What can be asked for, what it comes to in pixels, and what is refused."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import BadParameter, ModelNotFound
from superres.imageio import OutputOptions
from superres.models import get_model
from superres.pipeline import UpscaleOptions, target_size
from superres.pipeline.options import DRAWINGS, Estimate, result_name

SIDES = st.integers(1, 5000)


def half_up(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


@given(SIDES, SIDES, st.integers(16, 256))
def test_sizes_are_rounded_half_up(width, height, sixteenths):
    scale = Fraction(sixteenths, 16)  # what a float holds exactly
    found = target_size(width, height, UpscaleOptions(scale=float(scale)))
    assert found == (half_up(width * scale), half_up(height * scale), float(scale))


@given(SIDES, SIDES, st.integers(100, 1600))
def test_sizes_are_within_a_hair_of_what_was_typed(width, height, hundredths):
    found = target_size(width, height, UpscaleOptions(scale=hundredths / 100))
    for got, side in zip(found, (width, height), strict=False):
        exact = side * Fraction(hundredths, 100)
        if (exact * 2) % 2 != 1:  # an exact half may fall either way once it is a float
            assert got == half_up(exact)
        assert abs(got - exact) <= Fraction(1, 2)


@pytest.mark.parametrize("model", DRAWINGS)
def test_drawings_go_without_restore_and_face_does_nothing(model):
    with pytest.raises(BadParameter, match=f"Faces are not looked for in drawings, so {model}"):
        UpscaleOptions(model=model, restore="gfpgan")
    assert not UpscaleOptions(model=model, face=True).with_faces
    assert UpscaleOptions(model="photo", restore="gfpgan").with_faces


def test_the_scale_is_4_if_nothing_is_said():
    assert target_size(7, 5, UpscaleOptions()) == (28, 20, 4.0)


@given(SIDES, SIDES, st.floats(1, 16))
def test_a_width_is_met_exactly_and_the_height_follows(width, height, scale):
    wanted = max(width, int(width * scale))
    out_w, out_h, found = target_size(width, height, UpscaleOptions(width=wanted))
    assert out_w == wanted
    assert abs(out_h - Fraction(height * wanted, width)) <= Fraction(1, 2) + Fraction(1, 10**6)
    assert 1 <= found <= 16
    assert target_size(height, width, UpscaleOptions(height=wanted))[:2] == (out_h, out_w)


@given(SIDES, SIDES, st.integers(1, 80_000), st.integers(1, 80_000))
def test_a_box_is_filled_and_never_left(width, height, box_w, box_h):
    options = UpscaleOptions(width=box_w, height=box_h)
    if not 1 <= min(Fraction(box_w, width), Fraction(box_h, height)) <= 16:
        with pytest.raises(BadParameter, match=r"from 1 to 16"):
            target_size(width, height, options)
        return
    out_w, out_h, _ = target_size(width, height, options)
    assert out_w <= box_w
    assert out_h <= box_h
    assert out_w == box_w or out_h == box_h
    ratio = Fraction(width, height)
    assert abs(out_w - out_h * ratio) <= max(1, ratio) or abs(out_h - out_w / ratio) <= 1


@given(st.integers(100, 5000), st.integers(100, 5000), st.floats(1.01, 15.9))
def test_megapixels_are_met(width, height, scale):
    wanted = width * height * scale**2 / 1e6
    out_w, out_h, _ = target_size(width, height, UpscaleOptions(megapixels=wanted))
    assert out_w * out_h / 1e6 == pytest.approx(wanted, rel=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": 2, "width": 100},
        {"scale": 2, "height": 100},
        {"scale": 2, "megapixels": 1},
        {"width": 100, "megapixels": 1},
        {"height": 100, "megapixels": 1},
        {"width": 100, "height": 100, "megapixels": 1},
    ],
)
def test_contradictions_are_refused(options):
    with pytest.raises(BadParameter, match="Give only one of"):
        UpscaleOptions(**options)


NUMBERS = [0, -1, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("scale", v) for v in (*NUMBERS, 0.99, 16.01)],
        *[("fidelity", v) for v in (-0.01, 1.01, math.nan, math.inf)],
        *[("width", v) for v in NUMBERS],
        *[("height", v) for v in NUMBERS],
        *[("megapixels", v) for v in NUMBERS],
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(BadParameter, match=f"{name} is .*must be"):
        UpscaleOptions(**{name: value})


def test_box_values_are_checked_both():
    with pytest.raises(BadParameter, match="height is"):
        UpscaleOptions(width=5, height=-5)


def test_an_unknown_model_is_refused():
    with pytest.raises(ModelNotFound, match="Did you mean 'general'"):
        UpscaleOptions(model="generall")


@pytest.mark.parametrize("options", [{"width": 99}, {"height": 1601}, {"megapixels": 0.001}])
def test_smaller_or_much_larger_results_are_refused_with_the_numbers(options):
    with pytest.raises(BadParameter, match=r"times the input's 100 x 100; the scale must be"):
        target_size(100, 100, UpscaleOptions(**options))


def test_fidelity_is_the_models_unless_said():
    assert UpscaleOptions(model="general").effective_fidelity == get_model("general").fidelity
    assert UpscaleOptions(fidelity=0.0).effective_fidelity == 0.0
    assert UpscaleOptions(model="anime").descriptor.name == "anime"


@pytest.mark.parametrize(
    ("options", "file_format", "name"),
    [
        ({}, "png", "photo_x4.png"),
        ({"scale": 2}, "jpeg", "photo_x2.jpg"),
        ({"scale": 2.5}, "tiff", "photo_x2.5.tif"),
        ({"width": 1920}, "webp", "photo_1920x1080.webp"),
        ({"megapixels": 2}, "png", "photo_1920x1080.png"),
    ],
)
def test_default_names(options, file_format, name):
    estimate = Estimate(1, 1, 1920, 1080, "general", 0.5, (4,), file_format, 0, 0, 0)
    wanted = UpscaleOptions(**options, output=OutputOptions())
    assert result_name("photo", wanted, estimate) == name
