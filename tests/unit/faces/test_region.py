"""The soft oval of a face: where it lies, and that windows need share nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from superres.faces.face import Face
from superres.faces.region import ACROSS, ALONG, FEATHER, UP, mask, oval, regions


def face(x=100.0, y=80.0, width=50.0, height=60.0, angle=0.0):
    """A face whose eyes and mouth are turned by ``angle`` degrees, clockwise."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    middle = x + width / 2, y + height / 2
    points = [(-12, -10), (12, -10), (0, 2), (-9, 15), (9, 15)]
    turned = [(middle[0] + cos * u - sin * v, middle[1] + sin * u + cos * v) for u, v in points]
    return Face(x, y, width, height, 0.9, tuple(turned))


numbers = st.floats(-60, 200)
sizes = st.floats(6, 150)
faces = st.builds(face, numbers, numbers, sizes, sizes, st.floats(-180, 180))


def test_an_upright_face_has_an_upright_oval():
    made, side = oval(face()), math.sqrt(50 * 60)
    assert made.up == pytest.approx((0, -1))
    assert (made.x, made.y) == pytest.approx((125, 110 - UP * side))
    assert (made.across, made.along) == pytest.approx((ACROSS * side, ALONG * side))


@pytest.mark.parametrize("angle", [-90, -30, 15, 45, 180])
def test_the_oval_turns_with_the_face(angle):
    up = oval(face(angle=angle)).up
    assert up == pytest.approx((math.sin(math.radians(angle)), -math.cos(math.radians(angle))))


def test_points_that_tell_no_direction_leave_it_upright():
    points = ((120, 110), (130, 110), (125, 110), (121, 111), (129, 111))
    assert oval(Face(100, 80, 50, 60, 0.9, points)).up == (0.0, -1.0)


def test_the_mask_is_one_inside_and_falls_smoothly_to_nothing():
    made = oval(face())
    seen = mask([made], 0, 0, 250, 250, 1)
    row = seen[round(made.y - 0.5)]
    radius = np.abs(np.arange(250) + 0.5 - made.x) / made.across
    assert (row[radius < 0.99] == 1).all()
    assert (row[radius > 1.01 + FEATHER] == 0).all()
    soft = row[(radius > 1.02) & (radius < 0.98 + FEATHER)]
    assert ((soft > 0) & (soft < 1)).all()
    assert np.abs(np.diff(row)).max() < 0.2


@given(
    st.lists(faces, max_size=3),
    st.sampled_from([1, 2, 3, 4]),
    st.integers(0, 150),
    st.integers(0, 150),
    st.integers(1, 60),
    st.integers(1, 60),
)
def test_a_window_of_the_mask_is_the_mask_of_the_window(found, scale, top, left, height, width):
    ovals = [oval(each) for each in found]
    whole = mask(ovals, 0, 0, 210, 210, scale)
    part = mask(ovals, top, left, height, width, scale)
    np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


@given(st.lists(faces, min_size=1, max_size=4), st.integers(1, 200), st.integers(1, 200))
def test_rectangles_hold_all_that_the_masks_touch_and_do_not_meet(found, height, width):
    ovals = [oval(each) for each in found]
    made = regions(ovals, height, width)
    owners = np.full((height, width), -1)
    for number, region in enumerate(made):
        assert 0 <= region.top < region.bottom <= height
        assert 0 <= region.left < region.right <= width
        part = owners[region.top : region.bottom, region.left : region.right]
        assert (part == -1).all()
        part[:] = number
    for place, each in enumerate(ovals):
        touched = owners[mask([each], 0, 0, height, width, 1) > 0]
        assert len(set(touched)) <= 1
        for number in touched[:1]:
            assert place in made[number].faces


@given(st.lists(faces, min_size=2, max_size=4))
def test_overlapping_faces_count_once(found):
    ovals = [oval(each) for each in found]
    both = mask(ovals, 0, 0, 100, 100, 1)
    np.testing.assert_array_equal(both, np.max([mask([o], 0, 0, 100, 100, 1) for o in ovals], 0))
    np.testing.assert_array_equal(both, mask(ovals[::-1], 0, 0, 100, 100, 1))


def test_neighbours_that_meet_share_a_rectangle_and_others_do_not():
    ovals = [oval(face(x)) for x in (40.0, 500.0, 90.0)]
    made = regions(ovals, 400, 800)
    assert sorted(region.faces for region in made) == [(0, 2), (1,)]


@given(faces)
def test_a_face_outside_has_no_rectangle(found):
    made = oval(found)
    left, top, right, bottom = made.bounds
    assume(right < 0 or bottom < 0 or left > 50 or top > 50)
    assert regions([made], 50, 50) == ()
