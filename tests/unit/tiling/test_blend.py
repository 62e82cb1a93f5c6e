"""Putting tiles together gives the picture back, once, without seams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.tiling.blend import Assembler
from superres.tiling.plan import Plan, Policy, make_plan
from superres.tiling.window import read_window

PLANS = st.builds(
    lambda h, w, context, ramp, area, quantum, streams: make_plan(
        h, w, Policy(context, ramp, area, quantum), streams
    ),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(0, 20),
    st.sampled_from([0, 0, 1, 2, 7, 16, 32]),
    st.sampled_from([1, 64 * 64, 100 * 100, 1 << 20]),
    st.sampled_from([1, 16, 32]),
    st.integers(1, 8),
)


class Sheet:
    """A canvas that counts how often each pixel was written."""

    def __init__(self, plan: Plan, scale: int, channels: int, dtype: type) -> None:
        self.pixels = np.zeros((plan.height * scale, plan.width * scale, channels), dtype)
        self.times = np.zeros(self.pixels.shape[:2], int)

    def write(self, y: int, x: int, block: np.ndarray) -> None:
        h, w = block.shape[:2]
        assert 0 <= y <= y + h <= len(self.times)
        assert 0 <= x <= x + w <= self.times.shape[1]
        self.pixels[y : y + h, x : x + w] = block
        self.times[y : y + h, x : x + w] += 1


def assembled(plan: Plan, scale: int, block_of, dtype, channels: int = 1) -> Sheet:
    sheet = Sheet(plan, scale, channels, dtype)
    assembler = Assembler(plan, scale, sheet.write)
    for tile in plan.tiles():
        assembler.add(tile, block_of(tile))
    return sheet


@settings(max_examples=60)
@given(PLANS, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_true_windows_give_the_picture_back(plan, scale, seed):
    pixels = np.random.default_rng(seed).random((plan.height, plan.width, 2), np.float32)

    def block_of(tile):
        window = read_window(pixels, tile.y.start, tile.x.start, *plan.window)
        return window.repeat(scale, 0).repeat(scale, 1)

    sheet = assembled(plan, scale, block_of, np.float32, 2)
    assert (sheet.times == 1).all()
    want = pixels.repeat(scale, 0).repeat(scale, 1)
    ramps = any(s.ramp_in for s in (*plan.rows, *plan.columns))
    np.testing.assert_allclose(sheet.pixels, want, rtol=0, atol=1e-5 if ramps else 0)


def test_hard_seams_hand_the_bytes_through_untouched():
    plan = make_plan(90, 70, Policy(8, max_area=64 * 64), 1)
    assert len(plan) > 1
    pixels = np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)
    sheet = assembled(
        plan, 1, lambda t: read_window(pixels, t.y.start, t.x.start, *plan.window), np.uint8, 3
    )
    np.testing.assert_array_equal(sheet.pixels, pixels)


@settings(max_examples=40)
@given(
    st.integers(60, 300),
    st.integers(60, 300),
    st.integers(0, 12),
    st.sampled_from([1, 2, 5, 16, 32]),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_a_soft_seam_is_a_slope_without_a_step(height, width, context, ramp, scale, seed):
    plan = make_plan(height, width, Policy(context, ramp, 64 * 64, 16), 1)
    rng = np.random.default_rng(seed)
    size = (plan.window[0] * scale, plan.window[1] * scale, 1)
    values = {tile: rng.random() for tile in plan.tiles()}
    sheet = assembled(plan, scale, lambda t: np.full(size, values[t], np.float32), np.float32)
    assert (sheet.times == 1).all()
    got = sheet.pixels[..., 0]
    spread = max(values.values()) - min(values.values())
    for axis in (0, 1):
        steps = np.abs(np.diff(got, axis=axis))
        assert not steps.size or steps.max() <= spread / (ramp * scale) + 1e-5
    assert got.min() >= min(values.values()) - 1e-6
    assert got.max() <= max(values.values()) + 1e-6


@pytest.mark.parametrize("axis", [0, 1])
def test_two_constant_tiles_blend_monotonously_from_one_to_the_other(axis):
    size = (40, 150) if axis else (150, 40)
    plan = make_plan(*size, Policy(8, 16, 100 * 50, 16), 1)
    assert len(plan) == 2
    block = (plan.window[0] * 2, plan.window[1] * 2, 1)
    first = next(plan.tiles())
    sheet = assembled(
        plan, 2, lambda t: np.full(block, 0.25 if t == first else 0.75, np.float32), np.float32
    )
    line = sheet.pixels[0, :, 0] if axis else sheet.pixels[:, 0, 0]
    assert line[0] == 0.25
    assert line[-1] == 0.75
    between = line[(line > 0.25) & (line < 0.75)]
    assert len(between) == 32
    np.testing.assert_allclose(np.diff(between), 0.5 / 32, atol=1e-6)
