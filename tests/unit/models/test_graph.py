"""The arithmetic around the networks, run by ONNX Runtime with networks made by hand."""

import numpy as np
import onnx
import pytest
from onnx import helper
from PIL import Image

from superres.models.graph import (
    Branch,
    Guard,
    Head,
    compose_tile_graph,
    cubic_taps,
    linear_taps,
)
from tests.unit.models.toys import nearest, picture, run, shifted, smooth

LENIENT = Guard(0.24, 0.34)
FREE = Head(4, colour_lock=False, quantise=False)
SIZE = 48


def computed(branches, head, image, *, guarded=False):
    """Outputs of the composed graph; ``pixels`` as ``(H, W, c)``, ``reduced`` as ``(h, w, 3)``."""
    if isinstance(branches, onnx.ModelProto):
        branches = [Branch(branches, head.scale, 1.0, LENIENT)]
    graph = compose_tile_graph(branches, head, *image.shape[2:], guarded=guarded)
    onnx.checker.check_model(graph, full_check=True)
    out = run(graph, image=image)
    out["pixels"] = out["pixels"][0]
    out["reduced"] = out["reduced"][0].transpose(1, 2, 0)
    return out


def planes(image):
    return image[0].transpose(1, 2, 0)


def bicubic(image, scale):
    """Pillow's bicubic enlargement, a = −½, which is not clipped for floats."""
    h, w = image.shape[2:]
    size = (w * scale, h * scale)
    return np.stack(
        [np.asarray(Image.fromarray(p).resize(size, Image.Resampling.BICUBIC)) for p in image[0]],
        axis=-1,
    )


def reduced(pixels, factor):
    h, w, c = pixels.shape
    return pixels.reshape(h // factor, factor, w // factor, factor, c).mean((1, 3))


# ------------------------------------------------------------------ interpolation


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_taps_add_up_to_one_and_leave_a_slope_a_slope(scale):
    at = (np.arange(scale) + 0.5) / scale - 0.5
    for taps, reach in ((cubic_taps(scale), 2), (linear_taps(scale), 1)):
        assert taps.shape == (scale, 2 * reach + 1)
        np.testing.assert_allclose(taps.sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(taps @ np.arange(-reach, reach + 1), at, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_where_a_network_is_mad_there_is_pillows_bicubic(scale):
    image = picture(24, 31)
    mad = shifted(scale, np.full((1, 3, 1, 1), 50))
    head = Head(scale, colour_lock=False, quantise=False)
    got = computed(mad, head, image, guarded=True)["pixels"]
    inner = slice(3 * scale, -3 * scale)
    np.testing.assert_allclose(got[inner, inner], bicubic(image, scale)[inner, inner], atol=1e-3)


def test_at_its_own_size_a_mad_network_gives_the_input_back():
    image = picture(24, 31)
    mad = shifted(2, np.full((1, 3, 1, 1), 50))
    head = Head(1, colour_lock=False, quantise=False)
    got = computed([Branch(mad, 2, 1.0, LENIENT)], head, image, guarded=True)["pixels"]
    np.testing.assert_array_equal(got, planes(image))


# ------------------------------------------------------------------ scale, shares, head


@pytest.mark.parametrize(("own", "wanted"), [(4, 4), (4, 2), (4, 1), (2, 1), (3, 1), (3, 3)])
def test_a_smaller_scale_is_exact_area_reduction(own, wanted):
    image = picture(16, 20)
    by = np.random.default_rng(1).random((1, 3, 16 * own, 20 * own)).astype(np.float32)
    head = Head(wanted, colour_lock=False, quantise=False)
    out = computed([Branch(shifted(own, by), own, 1.0, LENIENT)], head, image)
    full = planes(image).repeat(own, 0).repeat(own, 1) + planes(by)
    np.testing.assert_allclose(out["pixels"], reduced(full, own // wanted), atol=1e-6)
    np.testing.assert_allclose(out["reduced"], reduced(full, own), atol=1e-6)


@pytest.mark.parametrize("guarded", [False, True])
def test_networks_are_mixed_by_their_shares(guarded):
    image = smooth(16, 20)
    one, two = (shifted(4, np.full((1, 3, 1, 1), by)) for by in (0.1, -0.1))
    branches = [Branch(one, 4, 0.75, LENIENT), Branch(two, 4, 0.25, LENIENT)]
    got = computed(branches, FREE, image, guarded=guarded)["pixels"]
    np.testing.assert_allclose(got, planes(image).repeat(4, 0).repeat(4, 1) + 0.05, atol=1e-6)


def test_networks_of_different_scales_are_mixed():
    image = picture(16, 20)
    two, four = (shifted(scale, np.full((1, 3, 1, 1), 0.2)) for scale in (2, 4))
    head = Head(2, colour_lock=False, quantise=False)
    branches = [Branch(four, 4, 0.5, LENIENT), Branch(two, 2, 0.5, LENIENT)]
    got = computed(branches, head, image)["pixels"]
    np.testing.assert_allclose(got, planes(image).repeat(2, 0).repeat(2, 1) + 0.2, atol=1e-6)


def test_quantising_rounds_and_clips():
    levels = np.float32([0, 0.4, 0.6, 1.4, 1.6, 100.2, 253.7, 254.4, 254.6, 255])
    image = np.broadcast_to(levels / 255, (1, 3, 16, 10)).astype(np.float32)
    got = computed(nearest(2), Head(2, colour_lock=False), image)["pixels"]
    assert got.dtype == np.uint8
    assert got[5, ::2, 1].tolist() == [0, 0, 1, 1, 2, 100, 254, 254, 255, 255]
    for by, want in ((2.0, 255), (-2.0, 0)):
        mad = shifted(2, np.full((1, 3, 1, 1), by))
        assert (computed(mad, Head(2, colour_lock=False), image)["pixels"] == want).all()


def test_floats_are_neither_rounded_nor_clipped():
    image = picture(16, 10)
    got = computed(shifted(2, np.full((1, 3, 1, 1), 0.7)), Head(2, False, False, False), image)
    assert got["pixels"].dtype == np.float32
    assert got["pixels"].max() > 1.5


@pytest.mark.parametrize("quantise", [False, True])
def test_grey_is_one_channel_the_mean_of_three(quantise):
    image = picture(16, 10)
    head = Head(2, colour_lock=False, grey=True, quantise=quantise)
    out = computed(nearest(2), head, image)
    want = planes(image).mean(2, keepdims=True).repeat(2, 0).repeat(2, 1)
    assert out["pixels"].shape == (32, 20, 1)
    assert out["reduced"].shape == (16, 10, 3)
    tolerance = 0.51 / 255 if quantise else 1e-6
    got = out["pixels"] / np.float32(255 if quantise else 1)
    np.testing.assert_allclose(got, want, atol=tolerance)


# ------------------------------------------------------------------ colour lock


def locked(network, image, scale=4):
    out = computed(network, Head(scale, colour_lock=True, quantise=False), image)
    inner = slice(8 * scale, -8 * scale)
    return out["pixels"][inner, inner]


def test_the_lock_removes_a_constant_tint():
    image = smooth(SIZE, SIZE)
    tint = np.float32([0.1, -0.05, 0.02])[None, :, None, None]
    want = planes(image).repeat(4, 0).repeat(4, 1)[32:-32, 32:-32]
    got = locked(shifted(4, tint), image)
    assert np.abs(got - want).max() < 0.1 / 255
    # The network alone is off by all of it.
    assert (
        np.abs(computed(shifted(4, tint), FREE, image)["pixels"][32:-32, 32:-32] - want).max()
        > 0.09
    )


def test_the_lock_removes_a_tint_that_changes_slowly():
    image = smooth(SIZE, SIZE)
    slope = np.linspace(-0.1, 0.1, SIZE * 4, dtype=np.float32)
    tint = np.stack(
        [
            np.tile(slope, (SIZE * 4, 1)),
            np.tile(slope[:, None], (1, SIZE * 4)),
            slope[::-1] + np.zeros((SIZE * 4, 1), np.float32),
        ]
    )
    want = planes(image).repeat(4, 0).repeat(4, 1)[32:-32, 32:-32]
    error = np.abs(locked(shifted(4, tint[None]), image) - want)
    assert error.mean() < 0.5 / 255
    assert error.max() < 1 / 255


def test_the_lock_leaves_fine_detail_alone():
    image = smooth(SIZE, SIZE)
    fine = 0.1 * np.float32([[1, -1], [-1, 1]])
    detail = np.tile(fine, (SIZE * 2, SIZE * 2))[None, None].repeat(3, 1)
    got = locked(shifted(4, detail), image)
    want = (planes(image).repeat(4, 0).repeat(4, 1) + planes(detail))[32:-32, 32:-32]
    assert np.abs(got - want).max() < 0.1 / 255


def test_the_lock_does_not_put_removed_noise_back():
    rng = np.random.default_rng(2)
    clean = smooth(SIZE, SIZE)
    noise = rng.normal(0, 0.05, clean.shape).astype(np.float32)
    denoiser = shifted(4, -noise.repeat(4, 2).repeat(4, 3))
    got = locked(denoiser, clean + noise)
    left = got - planes(clean).repeat(4, 0).repeat(4, 1)[32:-32, 32:-32]
    assert left.std() < 0.25 * noise.std()


# ------------------------------------------------------------------ guard


def patch_of(value, scale=4, size=SIZE):
    """Adds ``value`` to 3 × 3 input pixels in the middle."""
    by = np.zeros((1, 3, size * scale, size * scale), np.float32)
    middle = slice((size // 2 - 1) * scale, (size // 2 + 2) * scale)
    by[:, :, middle, middle] = value
    return shifted(scale, by)


@pytest.mark.parametrize("value", [50.0, -50.0, 0.95, np.nan, np.inf])
def test_an_outbreak_is_replaced_and_far_away_nothing_changes(value):
    image = smooth(SIZE, SIZE)
    got = computed(patch_of(value), FREE, image, guarded=True)["pixels"]
    honest = computed(nearest(4), FREE, image)["pixels"]
    plain = bicubic(image, 4)
    assert np.isfinite(got).all()
    middle = slice((SIZE // 2 - 1) * 4, (SIZE // 2 + 2) * 4)
    np.testing.assert_allclose(got[middle, middle], plain[middle, middle], atol=2e-3)
    near = np.zeros(got.shape[:2], bool)
    # 3 × 3 pixels, the error's mean over 5, its dilation by 9, the mask's mean over 5, resizing.
    reach = slice((SIZE // 2 - 1 - 11) * 4, (SIZE // 2 + 2 + 11) * 4)
    near[reach, reach] = True
    np.testing.assert_array_equal(got[~near], honest[~near])


def test_a_mild_deviation_is_left_alone_bit_for_bit():
    image = smooth(SIZE, SIZE)
    mild = patch_of(0.2)  # mean over 5 × 5: 0.072, and less than that of roughness
    got = computed(mild, FREE, image, guarded=True)["pixels"]
    np.testing.assert_array_equal(got, computed(mild, FREE, image)["pixels"])


@pytest.mark.parametrize("value", [50.0, 0.95, np.nan])
def test_errors_tell_which_network_runs_away_and_where(value):
    image = smooth(SIZE, SIZE)
    branches = [Branch(nearest(4), 4, 0.5, LENIENT), Branch(patch_of(value), 4, 0.5, LENIENT)]
    errors = computed(branches, FREE, image)["errors"][0]
    assert errors.shape == (2, SIZE, SIZE)
    assert not (errors[0] > 0.05).any()
    middle = SIZE // 2
    assert not errors[1, middle, middle] <= LENIENT.start
    far = errors[1].copy()
    far[middle - 5 : middle + 6, middle - 5 : middle + 6] = 0
    assert not (far > 0.05).any()


def test_errors_see_structure_finer_than_the_grid():
    image = smooth(SIZE, SIZE)
    dots = np.tile(0.5 * np.float32([[1, -1], [-1, 1]]), (SIZE * 2, SIZE * 2))[None, None]
    errors = computed(shifted(4, dots), FREE, image)["errors"][0, 0, 8:-8, 8:-8]
    assert errors.min() > LENIENT.full  # though its area reduction is the input itself


def test_the_guarded_graph_has_no_errors():
    assert "errors" not in computed(nearest(4), FREE, picture(16, 16), guarded=True)


def test_a_mad_later_network_is_replaced_by_the_one_before_it():
    image = smooth(SIZE, SIZE)
    sharp = shifted(4, np.full((1, 3, 1, 1), 0.1))
    branches = [Branch(sharp, 4, 0.5, LENIENT), Branch(patch_of(np.nan), 4, 0.5, LENIENT)]
    got = computed(branches, FREE, image, guarded=True)["pixels"]
    middle = SIZE * 2
    want = computed(sharp, FREE, image)["pixels"][middle, middle]
    np.testing.assert_allclose(got[middle, middle], want, atol=2e-3)


def test_a_sharp_guard_is_a_ramp_between_its_thresholds():
    image = np.full((1, 3, SIZE, SIZE), 0.5, np.float32)
    for error, share in ((0.1, 0), (0.15, 0.25), (0.2, 0.5), (0.3, 1), (0.5, 1)):
        network = shifted(1, np.full((1, 3, 1, 1), error))
        head = Head(1, colour_lock=False, quantise=False)
        got = computed([Branch(network, 1, 1.0, Guard(0.1, 0.3))], head, image, guarded=True)
        middle = got["pixels"][SIZE // 2, SIZE // 2, 0]
        assert middle == pytest.approx(0.5 + error * (1 - share), abs=1e-5)


def test_nodes_of_two_networks_with_the_same_names_do_not_collide():
    image = picture(16, 16)
    odd = nearest(4, helper.make_node("Sigmoid", ["near"], ["output"]))
    branches = [Branch(nearest(4), 4, 0.5, LENIENT), Branch(odd, 4, 0.5, LENIENT)]
    got = computed(branches, FREE, image)["pixels"]
    near = planes(image).repeat(4, 0).repeat(4, 1)
    np.testing.assert_allclose(got, near / 2 + 0.5 / (1 + np.exp(-near)), atol=1e-6)
