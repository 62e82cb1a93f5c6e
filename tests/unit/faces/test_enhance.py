"""How faces are treated, and blended into a canvas piece by piece."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.errors import Cancelled
from superres.faces import enhance
from superres.faces.enhance import Care, blend, care, clean, finished
from superres.faces.region import Oval, Region, mask
from superres.imageio import Canvas
from tests.pictures.measures import psnr, reduced

OVAL = Oval(30.0, 34.0, (0.0, -1.0), 12.0, 15.0)
REGION = Region(8, 6, 60, 56, (0,))


# ------------------------------------------------------------------------- treatment


def test_a_clean_face_is_the_faithful_network_s():
    assert care(4, 0, 0.5) == Care(0.0, 1.0)
    assert care(2, 0, 0.5) == Care(0.0, enhance.SHARES[2])


@given(st.sampled_from([1, 2, 4]), st.floats(0, 99), st.floats(0, 60))
def test_the_more_damage_the_more_is_taken_off_and_the_less_is_shown(scale, loss, noise):
    how = care(scale, loss, noise)
    assert 0 <= how.sigma <= enhance.MOST_SIGMA
    assert enhance.LEAST_SHARE <= how.share <= 1
    for worse in (care(scale, loss + 5, noise), care(scale, loss, noise + 0.5)):
        assert worse.sigma >= how.sigma
        assert worse.share <= how.share


# --------------------------------------------------------------------------- cleaning


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_cleaning_is_of_the_same_kind_and_leaves_alpha(monkeypatch, dtype, channels):
    monkeypatch.setattr(enhance, "_WINDOW", 24)
    rng = np.random.default_rng(1)
    levels = np.clip(rng.normal(120, 6, (70, 66, channels)), 0, 255)
    top = {"uint8": 255, "uint16": 65535, "float32": 1.0}[dtype]
    pixels = levels / 255 * top
    pixels = pixels.astype(dtype) if dtype == "float32" else np.rint(pixels).astype(dtype)
    made = np.zeros((52, 50, channels), dtype)
    covered = np.zeros((52, 50), int)

    def write(y, x, block):
        assert block.dtype == dtype
        made[y : y + block.shape[0], x : x + block.shape[1]] = block
        covered[y : y + block.shape[0], x : x + block.shape[1]] += 1

    clean(pixels, REGION, 6.0, write)
    assert (covered == 1).all()
    part = pixels[8:60, 6:56]
    colours = channels - (channels in (2, 4))
    np.testing.assert_array_equal(made[..., colours:], part[..., colours:])
    before, after = (p[..., :colours].astype(float).std() / top * 255 for p in (part, made))
    assert after < 0.4 * before
    assert abs(made[..., :colours].mean() / part[..., :colours].mean() - 1) < 0.01


# -------------------------------------------------------------------------- finishing


def test_a_back_projection_brings_back_what_averaging_took(photos):
    truth = photos["chelsea"][60:220, 120:280].astype(np.float32) / 255
    small = truth.reshape(80, 2, 80, 2, 3).mean((1, 3))
    soft = small.repeat(2, 0).repeat(2, 1)
    soft = (soft + np.roll(soft, 1, 0) + np.roll(soft, -1, 1)) / 3
    inside = (slice(8, -8),) * 2
    better = finished(soft, small, clean=True)
    assert psnr(better[inside], truth[inside], 1) > psnr(soft[inside], truth[inside], 1) + 1


def test_bicubic_enlarging_is_pillow_s(photos):
    from PIL import Image

    plane = photos["chelsea"][60:100, 120:170, 0].astype(np.float32) / 255
    zero = np.zeros((80, 100, 1), np.float32)
    expected = np.asarray(Image.fromarray(plane).resize((100, 80), Image.Resampling.BICUBIC))
    made = finished(zero, plane[..., None], clean=True)[..., 0]
    np.testing.assert_allclose(made[8:-8, 8:-8], expected[8:-8, 8:-8], atol=1e-4)


def test_contrast_is_restrained(photos):
    truth = photos["chelsea"][60:220, 120:280]
    values, small = truth.astype(np.float32) / 255, reduced(truth) / np.float32(255)
    change = finished(values, small, clean=True) - values
    assert np.abs(change).mean() > 0.1 / 255
    assert np.abs(change).max() <= enhance.CONTRAST_MOST + 1e-6
    np.testing.assert_allclose(change[..., 0], change[..., 2], atol=1e-6)
    assert finished(values, small, clean=False) is values


# --------------------------------------------------------------------------- blending


def pictures(dtype="uint8", channels=3, scale=4, seed=0):
    """The canvas of a picture 64 × 70, and a result and source for ``REGION``."""
    rng = np.random.default_rng(seed)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]

    def made(height, width):
        values = rng.random((height, width, channels)) * top
        return (values if dtype == "float32" else np.rint(values)).astype(dtype)

    canvas = Canvas(64 * scale, 70 * scale, channels, dtype)
    canvas.write(0, 0, made(64 * scale, 70 * scale))
    result = Canvas(52 * scale, 50 * scale, channels, dtype)
    result.write(0, 0, made(52 * scale, 50 * scale))
    return canvas, result, made(52, 50)


def shown(scale, how):
    return mask([OVAL], 0, 0, 64 * scale, 70 * scale, scale) * how.share


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_only_colour_under_the_mask_changes(dtype, channels, scale):
    canvas, result, source = pictures(dtype, channels, scale)
    before, how = canvas.array().copy(), Care(2.0, 0.6)
    blend(canvas, result, source, REGION, [OVAL], how)
    after, weights = canvas.array(), shown(scale, how)
    colours = channels - (channels in (2, 4))
    assert after[weights == 0].tobytes() == before[weights == 0].tobytes()
    assert after[..., colours:].tobytes() == before[..., colours:].tobytes()
    assert (after[..., :colours] != before[..., :colours]).any(2)[weights > 0.3].mean() > 0.9


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_what_is_shown_is_the_mean_by_the_mask(dtype):
    canvas, result, source = pictures(dtype, scale=4)
    before, how = canvas.array().astype(float), Care(2.0, 0.6)
    blend(canvas, result, source, REGION, [OVAL], how)
    expected, weights = before.copy(), shown(4, how)[32:240, 24:224, None]
    part = expected[32:240, 24:224]
    part += weights * (result.array() - part)
    top = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    tolerance = 1e-6 if dtype == "float32" else 0.51
    np.testing.assert_allclose(canvas.array(), expected, atol=tolerance + 1e-6 * top)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_pieces_leave_no_trace(monkeypatch, scale, sigma):
    whole, pieced = pictures(scale=scale), pictures(scale=scale)
    blend(*whole, REGION, [OVAL], Care(sigma, 0.9))
    monkeypatch.setattr(enhance, "_PIECE", 16)
    blend(*pieced, REGION, [OVAL], Care(sigma, 0.9))
    np.testing.assert_array_equal(pieced[0].array(), whole[0].array())


def test_a_wide_region_is_no_more_work_for_each_pixel(monkeypatch):
    """Bands as wide as the canvas were eight rows of pixels and 64 of halo."""
    worked = []

    def counted(values, source, *, clean):
        worked.append(values.shape[0] * values.shape[1])
        return finished(values, source, clean=clean)

    monkeypatch.setattr(enhance, "finished", counted)
    height, width, scale = 64, 5000, 4
    canvas, result = (Canvas(height * scale, width * scale, 1, "uint8") for _ in range(2))
    over_all = Oval(width / 2, height / 2, (0.0, -1.0), width, height)
    source = np.zeros((height, width, 1), np.uint8)
    blend(canvas, result, source, Region(0, 0, height, width, (0,)), [over_all], Care())
    assert height * width * scale**2 <= sum(worked) < 1.5 * height * width * scale**2
    assert max(worked) < 1 << 19


def test_a_canvas_on_disk_is_blended_alike(tmp_path):
    from superres.imageio import Scratch

    canvas, result, source = pictures()
    with Scratch(tmp_path) as scratch:
        stored = Canvas(*canvas.shape, canvas.dtype, scratch, memory_limit=0)
        stored.write(0, 0, canvas.array())
        assert stored.on_disk
        for each in (canvas, stored):
            blend(each, result, source, REGION, [OVAL], Care())
        np.testing.assert_array_equal(stored.array(), canvas.array())
        stored.close()


def test_no_oval_changes_nothing_and_it_can_be_stopped():
    canvas, result, source = pictures()
    before = canvas.array().copy()
    blend(canvas, result, source, REGION, [], Care())
    np.testing.assert_array_equal(canvas.array(), before)

    def stop():
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        blend(canvas, result, source, REGION, [OVAL], Care(), stop)
    with pytest.raises(Cancelled):
        clean(source, Region(0, 0, 52, 50, ()), 2.0, canvas.write, stop)
    np.testing.assert_array_equal(canvas.array(), before)


def test_float_values_stay_in_range():
    canvas, result, source = pictures("float32")
    result.array(read_only=False)[:] = math.nextafter(1, 2)
    blend(canvas, result, source, REGION, [OVAL], Care())
    assert canvas.array().max() <= 1
