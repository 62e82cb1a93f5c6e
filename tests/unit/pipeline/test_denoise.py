"""Noise is measured and taken off before the first pass: off noisy pictures, and off no others."""

from contextlib import ExitStack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.errors import BadParameter, Cancelled
from superres.imageio import Scratch
from superres.pipeline import UpscaleOptions
from superres.pipeline.damage import PLAIN, adapted_fidelity, grain
from superres.pipeline.denoise import FULL, MEMORY, MOST, cleaned, may_clean, strength_of
from tests.unit.pipeline.test_damage import PHOTOS, compressed, noisy
from tests.unit.pipeline.test_upscaler import DTYPES, TOPS

BRIGHT = 0.6685
"""Of noise in three channels what is left in their brightness."""


@pytest.fixture
def scratch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    with Scratch(folder) as made:
        yield made
    assert not list(folder.iterdir())


def taken_off(pixels, scratch, strength=1.0, noise=None):
    with ExitStack() as stack:
        noise = grain(pixels) if noise is None else noise
        result = cleaned(pixels, noise, strength, scratch, stack)
        return result if result is pixels else np.array(result)


def error(a, b):
    return float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)))


# ------------------------------------------------------------------------ how much there is
@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("sigma", [3, 5, 8, 12, 20, 30])
@pytest.mark.parametrize("side", [96, 400])
def test_noise_is_measured(photos, name, sigma, side):
    found = grain(noisy(photos[name][:side, 60 : 60 + side], sigma))
    assert found == pytest.approx(sigma * BRIGHT, rel=0.27)


@pytest.mark.parametrize("name", PHOTOS)
def test_clean_photographs_have_none_that_is_plain(photos, name):
    photo = photos[name]
    assert grain(photo) == 0
    for shown in (photo[:200, :300], photo[::-1, ::3], compressed(photo, 75)):
        assert grain(np.ascontiguousarray(shown)) < PLAIN


def test_where_noise_is_cut_off_it_is_not_looked_for(photos):
    """A black frame, blown highlights, what transparency hides."""
    picture = noisy(photos["coffee"][:256, :256], 10)
    want = grain(picture)
    assert want > 5
    framed = np.pad(picture, [(64, 64), (64, 64), (0, 0)])
    assert grain(framed) == pytest.approx(want, rel=0.15)
    assert grain(np.pad(picture, [(64, 64), (64, 64), (0, 0)], constant_values=255)) > 0.8 * want
    alpha = np.full((*picture.shape[:2], 1), 255, np.uint8)
    hidden = np.dstack([picture, alpha])
    hidden[:128, :, :3], hidden[:128, :, 3] = 80, 0
    assert grain(hidden) == pytest.approx(want, rel=0.15)


def test_a_stamp_is_too_small_to_tell(photos):
    assert grain(noisy(photos["coffee"][:33, :33], 20)) == 0
    assert grain(noisy(photos["coffee"][:36, :36], 20)) > 5


def test_a_drawing_has_none():
    drawing = np.full((200, 200, 3), 240, np.uint8)
    drawing[::17] = drawing[:, ::23] = (20, 30, 90)
    assert grain(drawing) == 0


# ------------------------------------------------------------------------ taking it off
@pytest.mark.parametrize("sigma", [5, 10, 25])
@pytest.mark.parametrize("grey", [False, True])
def test_most_of_it_goes(photos, scratch, sigma, grey):
    photo = photos["astronaut"][:300, :300]
    photo = photo[..., 1:2] if grey else photo
    before = noisy(photo, sigma)
    after = taken_off(before, scratch)
    assert error(after, photo) < 0.75 * error(before, photo)
    half = taken_off(before, scratch, 0.5)
    assert error(after, before) > error(half, before) > 0


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.sampled_from(DTYPES))
def test_any_picture(tmp_path_factory, height, width, channels, dtype):
    rng = np.random.default_rng(height * 100 + width)
    pixels = (rng.random((height, width, channels)) * TOPS[dtype]).astype(dtype)
    with Scratch(tmp_path_factory.mktemp("scratch")) as scratch:
        result = taken_off(pixels, scratch, noise=9.0)
    assert (result.shape, result.dtype) == (pixels.shape, pixels.dtype)
    assert result.min() >= 0
    assert result.max() <= TOPS[dtype] * 1.01
    if channels in (2, 4):
        np.testing.assert_array_equal(result[..., -1], pixels[..., -1])


def test_it_does_not_matter_how_a_picture_is_stored(photos, scratch):
    picture = noisy(photos["coffee"][:200, :180], 12)
    want = taken_off(picture, scratch)
    for same, top in ((picture.astype(np.uint16) * 257, 257), (picture / np.float32(255), 1 / 255)):
        got = taken_off(same, scratch)
        assert np.abs(got / top - want).max() <= 0.6
    assert want.dtype == np.uint8


def test_pieces_fit_together(photos, scratch):
    """What is around a window does not depend on where windows begin."""
    picture = noisy(photos["astronaut"], 12)
    whole = taken_off(picture, scratch, noise=8.0)
    part = taken_off(picture[:512, 128:], scratch, noise=8.0)
    assert np.abs(part[:, 24:].astype(int) - whole[:512, 152:]).max() <= 1


def test_what_is_hidden_is_not_smeared_over_what_is_seen(photos, scratch):
    colour = noisy(photos["coffee"][:64, :64], 12)
    alpha = np.full((64, 64, 1), 255, np.uint8)
    alpha[:, :20] = 0
    results = []
    for behind in (0, 255):
        picture = np.dstack([colour, alpha])
        picture[:, :20, :3] = behind
        results.append(taken_off(picture, scratch, noise=8.0))
        np.testing.assert_array_equal(results[-1][:, :27], picture[:, :27])
        assert (results[-1][:, 27:] != picture[:, 27:]).any()
    np.testing.assert_array_equal(results[0][:, 20:], results[1][:, 20:])


def test_flat_areas_stay(photos, scratch):
    picture = np.pad(noisy(photos["coffee"][:300, :300], 12), [(40, 40), (40, 40), (0, 0)])
    picture[:40], picture[150:200, 150:200] = 255, (90, 91, 93)
    result = taken_off(picture, scratch, noise=8.0)
    assert error(result, picture) > 3
    for part in ((slice(0, 35),), (slice(345, None),), (slice(155, 195), slice(155, 195))):
        np.testing.assert_array_equal(result[part][:, :30], picture[part][:, :30])


def test_a_large_copy_is_on_disk_and_stops_at_once(tmp_path):
    pixels = np.zeros((2400, 2400, 3), np.uint8)
    assert pixels.nbytes > MEMORY
    asked = 0

    def third():
        nonlocal asked
        asked += 1
        if asked == 3:
            raise Cancelled("Stopped.")

    with Scratch(tmp_path) as scratch, ExitStack() as stack, pytest.raises(Cancelled):
        cleaned(pixels, 5.0, 1.0, scratch, stack, third)
    assert asked == 3


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_same_picture_where_nothing_is_to_be_done(photos, scratch, strength):
    picture = photos["chelsea"] if strength else noisy(photos["chelsea"], 20)
    assert taken_off(picture, scratch, strength) is picture


# ------------------------------------------------------------------------ when
@pytest.mark.parametrize(
    ("options", "noise", "want"),
    [
        (UpscaleOptions(), PLAIN, 0.8),
        (UpscaleOptions(), 11.0, 0.65),
        (UpscaleOptions(), MOST, 0.5),
        (UpscaleOptions(), PLAIN - 0.1, 0.0),
        (UpscaleOptions(), MOST + 0.1, 0.0),
        (UpscaleOptions(model="photo"), 20.0, 0.5),
        (UpscaleOptions(fidelity=0.5), 20.0, 0.0),
        (UpscaleOptions(model="faithful"), 20.0, 0.0),
        (UpscaleOptions(model="anime"), 20.0, 0.0),
        (UpscaleOptions(denoise=0.0), 20.0, 0.0),
        (UpscaleOptions(denoise=0.3), 20.0, 0.3),
        (UpscaleOptions(denoise=0.3), 1.0, 0.3),
        (UpscaleOptions(model="faithful", denoise=1.0), 20.0, 1.0),
        (UpscaleOptions(model="anime", fidelity=0.2, denoise=1.0), 20.0, 1.0),
    ],
)
def test_how_much(options, noise, want):
    assert strength_of(options, noise) == pytest.approx(want)
    assert may_clean(options) or not want


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_strength_that_is_none(value):
    with pytest.raises(BadParameter, match=r"denoise is .*; it must be 0 to 1"):
        UpscaleOptions(denoise=value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_network_sees_the_clean_picture(place, scratch, photos, dtype):
    """The fake engine repeats pixels, so that its result shows what it saw."""
    picture = noisy(photos["coffee"][:90, :120], 15)
    picture = (picture * (TOPS[dtype] / 255)).astype(dtype)
    with place.upscaler() as upscaler:

        def seen(**how):
            return upscaler.upscale_pixels(picture, UpscaleOptions(scale=4, **how))[::4, ::4]

        for how in ({"fidelity": 0.5}, {"model": "faithful"}, {"denoise": 0.0}):
            np.testing.assert_allclose(seen(**how), picture, atol=1e-6)
        strength = strength_of(UpscaleOptions(), grain(picture))
        want = taken_off(picture, scratch, strength)
        for how in ({}, {"model": "photo"}, {"model": "faithful", "denoise": strength}):
            np.testing.assert_allclose(seen(**how), want, atol=1e-6)
        assert error(seen(denoise=0.3), picture) < error(seen(denoise=1.0), picture)


def test_a_clean_picture_is_the_same_to_the_byte(place, photos):
    with place.upscaler() as upscaler:
        results = [
            upscaler.upscale_pixels(photos["chelsea"][:100, :100], UpscaleOptions(2, denoise=each))
            for each in (None, 0.0, 1.0)
        ]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_the_fidelity_is_lowered_by_what_is_left(place, photos, tmp_path):
    from PIL import Image

    found = {}
    with place.upscaler() as upscaler:
        for sigma in (0, 5, 10, 30):
            path = tmp_path / "photo.png"
            Image.fromarray(noisy(photos["coffee"], sigma)).save(path)
            for denoise in (None, 0.0):
                options = UpscaleOptions(2, denoise=denoise)
                report = upscaler.upscale_file(path, None, options)
                found[sigma, denoise] = report.fidelity
    path.unlink()
    assert found[0, None] == found[0, 0.0] == 0.5
    assert found[5, None] > found[5, 0.0]
    assert found[10, None] > found[10, 0.0]
    assert found[30, None] == found[30, 0.0] == 0.1


def test_much_noise_leaves_a_mark(photos):
    assert adapted_fidelity(0.5, photos["coffee"]) == 0.5
    assert adapted_fidelity(0.5, photos["coffee"], 4.0) == 0.5
    assert adapted_fidelity(0.5, photos["coffee"], 13.0) == 0.1
    assert adapted_fidelity(1.0, photos["coffee"], 13.0) == 1.0


def test_texture_is_no_noise(photos):
    """It measures a little of both; that alone lowers nothing."""
    textured = noisy(photos["coffee"], 3)
    assert 1 < grain(textured) < PLAIN
    assert adapted_fidelity(0.5, textured) == 0.5
    assert adapted_fidelity(0.5, noisy(photos["coffee"], 9)) < 0.3


def test_an_estimate_has_room_for_the_copy(place):
    from superres.imageio import Header

    with place.upscaler() as upscaler:

        def expected(width, **how):
            header = Header("png", width, 1000, 3, 8)
            return upscaler.estimate_header(header, UpscaleOptions(**how))

        for how, more in (({}, 1), ({"denoise": 0.0}, 0), ({"denoise": 0.5, "fidelity": 1.0}, 1)):
            assert expected(1000, **how).scratch_bytes == 3_000_000 * (16 + more)
        small, large = (
            expected(side).memory_bytes - expected(side, denoise=0.0).memory_bytes
            for side in (1000, 8000)
        )
    assert (small, large) == (3_000_000, MEMORY)


def test_full_is_not_all():
    """The networks take the rest for texture; more takes texture along."""
    assert 0.5 < FULL < 1
