"""Plans: every pixel from somewhere, never from too near a window's border, soon made."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superres.tiling.plan import MIN_WINDOW, Plan, Policy, Span, make_plan

SIDES = st.one_of(st.integers(1, 200), st.integers(1, 5000))
POLICIES = st.builds(
    Policy,
    context=st.integers(0, 40),
    ramp=st.integers(0, 32),
    max_area=st.sampled_from([1, 32 * 32, 64 * 64, 128 * 128, 224 * 224, 512 * 512, 1 << 22]),
    quantum=st.sampled_from([1, 16, 32]),
)


def _drawn(policy: Policy) -> st.SearchStrategy[tuple[int, int, Policy, int]]:
    # Grids of thousands of tiny tiles are legal, but too many to look through in a test.
    sides = SIDES if max(policy.quantum, policy.context) >= 8 else st.integers(1, 300)
    return st.tuples(sides, sides, st.just(policy), st.integers(1, 8))


SOME = given(POLICIES.flatmap(_drawn))


def axes(plan: Plan) -> list[tuple[tuple[Span, ...], int, int]]:
    """Spans, picture length and window length of both axes."""
    return [
        (plan.rows, plan.height, plan.window[0]),
        (plan.columns, plan.width, plan.window[1]),
    ]


@SOME
def test_every_pixel_comes_from_one_tile_or_from_a_ramp_of_two(drawn):
    height, width, policy, streams = drawn
    for spans, length, _ in axes(make_plan(height, width, policy, streams)):
        weight = np.zeros(length)
        tiles = np.zeros(length, int)
        for span in spans:
            # No tile may reach outside: a negative slice would silently wrap around.
            assert 0 <= span.lo < span.hi <= length
            own = np.ones(span.hi - span.lo)
            for n, end in ((span.ramp_in, slice(None)), (span.ramp_out, slice(None, None, -1))):
                own[end][:n] *= (np.arange(n) + 0.5) / max(1, n)
            weight[span.lo : span.hi] += own
            tiles[span.lo : span.hi] += 1
        np.testing.assert_allclose(weight, 1, atol=1e-12)
        assert tiles.max() <= (2 if policy.ramp else 1)


@SOME
def test_neighbours_share_exactly_their_ramp(drawn):
    height, width, policy, streams = drawn
    for spans, length, _ in axes(make_plan(height, width, policy, streams)):
        assert spans[0].lo == spans[0].ramp_in == spans[-1].ramp_out == 0
        assert spans[-1].hi == length
        for one, two in itertools.pairwise(spans):
            assert one.hi - two.lo == one.ramp_out == two.ramp_in == policy.ramp


@SOME
def test_what_is_kept_lies_deep_enough_inside_its_window(drawn):
    height, width, policy, streams = drawn
    for spans, length, window in axes(make_plan(height, width, policy, streams)):
        for span in spans:
            before, after = span.lo - span.start, span.start + window - span.hi
            assert before >= (policy.context if span.lo > 0 else 0)
            assert after >= (policy.context if span.hi < length else 0)


@SOME
def test_windows_lie_inside_the_picture_unless_it_is_tiny(drawn):
    height, width, policy, streams = drawn
    for spans, length, window in axes(make_plan(height, width, policy, streams)):
        assert all(span.start >= 0 for span in spans)
        if length < MIN_WINDOW:
            assert (window, len(spans)) == (MIN_WINDOW, 1)
        else:
            assert spans[0].start == 0
            assert spans[-1].start + window == length


@SOME
def test_windows_keep_to_the_quantum_and_the_area(drawn):
    height, width, policy, streams = drawn
    plan = make_plan(height, width, policy, streams)
    for _, length, window in axes(plan):
        assert window % policy.quantum == 0 or window in (length, MIN_WINDOW)
    if plan.window[0] * plan.window[1] > policy.max_area:
        # Then nothing smaller can be had: what is cut finest already is too large.
        tiny = Policy(policy.context, policy.ramp, 1, policy.quantum)
        assert make_plan(height, width, tiny, streams).window == plan.window
        core = max(policy.quantum, policy.context, policy.ramp)
        assert max(plan.window) <= max(MIN_WINDOW, policy.overlap + 2 * (core + policy.quantum))


@SOME
def test_tiles_are_rows_times_columns_in_reading_order(drawn):
    height, width, policy, streams = drawn
    plan = make_plan(height, width, policy, streams)
    tiles = list(plan.tiles())
    assert len(tiles) == len(plan) == len(plan.rows) * len(plan.columns)
    assert tiles[: len(plan.columns)] == [
        type(tiles[0])(plan.rows[0], column) for column in plan.columns
    ]
    assert plan.cost == len(tiles) * plan.window[0] * plan.window[1]
    assert plan == make_plan(height, width, policy, streams)


@pytest.mark.parametrize("streams", [1, 8])
def test_a_picture_that_fits_is_one_tile_for_one_stream_and_several_for_many(streams):
    plan = make_plan(400, 400, Policy(24), streams)
    assert (len(plan) == 1) == (streams == 1)


def test_a_large_picture_costs_little_more_than_itself():
    plan = make_plan(3000, 4000, Policy(24), 4)
    assert plan.cost < 1.35 * 3000 * 4000


@pytest.mark.parametrize("policy", [Policy(24), Policy(8, ramp=16, max_area=50176, quantum=32)])
def test_a_huge_picture_is_planned_at_once(policy):
    begun = time.perf_counter()
    plan = make_plan(30_000, 12_000, policy, 8)
    assert time.perf_counter() - begun < 2
    assert len(plan) > 100


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_nothing_cannot_be_planned(height, width):
    with pytest.raises(ValueError, match="at least 1×1"):
        make_plan(height, width, Policy(8))


WINDOWED = st.builds(
    Policy,
    context=st.integers(0, 40),
    ramp=st.sampled_from([0, 16]),
    max_area=st.sampled_from([32 * 32, 128 * 128, 512 * 512]),
    quantum=st.sampled_from([16, 32]),
    multiple=st.sampled_from([2, 7, 8, 12, 64]),
    minimum=st.sampled_from([1, 16, 50]),
)


@given(WINDOWED, st.integers(1, 900), st.integers(1, 900), st.integers(1, 8))
def test_windows_have_sides_that_a_network_takes(policy, height, width, streams):
    plan = make_plan(height, width, policy, streams)
    for spans, length, window in axes(plan):
        assert window % policy.multiple == 0
        assert window >= max(MIN_WINDOW, policy.minimum)
        covered = np.zeros(length)
        for span in spans:
            assert 0 <= span.lo < span.hi <= length
            assert span.start <= span.lo
            assert span.hi <= span.start + window
            covered[span.lo + span.ramp_in : span.hi] += 1
        assert (covered == 1).all()
        if len(spans) > 1:  # only one window that holds all of a side may stick out
            assert window <= length
            before = [a.start + window - b.lo for a, b in itertools.pairwise(spans)]
            assert min(before) >= policy.context


def test_what_sees_a_picture_whole_gets_one_window():
    plan = make_plan(1000, 700, Policy(context=0, max_area=64, multiple=8, whole=True))
    assert plan.window == (1008, 704) or plan.window == (1000, 704)
    assert len(plan) == 1
    assert plan.window[0] % 8 == plan.window[1] % 8 == 0
