"""Similarities and turned windows: against what is known exactly, and against Pillow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from superres.faces.align import (
    TEMPLATE,
    apply,
    around,
    glance,
    inverse,
    reduced,
    sample,
    similarity,
    zoom,
)

ANGLES = st.floats(-np.pi, np.pi)
ZOOMS = st.floats(0.05, 20)
SHIFTS = st.floats(-1000, 1000)


def moved(points, angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * np.asarray(points) @ turn.T + shift


@given(ANGLES, ZOOMS, SHIFTS, SHIFTS)
def test_a_similarity_is_found_again_and_undone(angle, scale, x, y):
    there = moved(TEMPLATE, angle, scale, (x, y))
    matrix = similarity(TEMPLATE, there)
    assert np.allclose(apply(matrix, TEMPLATE), there, atol=1e-6)
    assert zoom(matrix) == pytest.approx(scale)
    assert np.allclose(apply(inverse(matrix), there), TEMPLATE, atol=1e-6)


def umeyama(source, target):
    """The paper's own way, by singular values (equations 40 to 42)."""
    a, b = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / (a**2).sum(1).mean()
    return np.hstack([scale * turn, (target.mean(0) - scale * turn @ source.mean(0))[:, None]])


@given(st.integers(0, 10_000))
def test_points_that_do_not_fit_are_fitted_as_the_paper_says(seed):
    source, target = np.random.default_rng(seed).normal(0, 50, (2, 5, 2))
    assert np.allclose(similarity(source, target), umeyama(source, target), atol=1e-6)


def test_a_mirror_image_is_not_answered_with_a_mirror():
    matrix = similarity(TEMPLATE, TEMPLATE * [-1, 1])
    assert np.linalg.det(matrix[:, :2]) > 0


def test_points_in_one_place_are_only_shifted():
    matrix = similarity(np.full((5, 2), 3.0), TEMPLATE)
    assert np.allclose(apply(matrix, [[3, 3]]), TEMPLATE.mean(0))
    assert zoom(matrix) == 1


def test_the_whole_picture_upright_is_the_picture(photos):
    cat = photos["chelsea"]
    height, width = cat.shape[:2]
    seen = sample(cat, np.eye(2, 3), (height, width))
    assert seen.dtype == np.float32
    assert np.array_equal(seen, cat)


def test_a_quarter_turn_is_exact(photos):
    cat = photos["chelsea"][:200, :200]
    seen = sample(cat, around((100, 100), np.pi / 2, 1, 200), (200, 200))
    assert np.abs(seen - np.rot90(cat)).max() < 0.01


@given(ANGLES, st.floats(0.2, 1.4))
def test_a_parabola_is_met_exactly_at_any_turn(angle, scale):
    """Keys: with a = -0.5 cubic convolution reproduces polynomials of the second degree."""

    def parabola(x, y):
        return 3 + 0.2 * x - 0.1 * y + 0.01 * x * y + 0.02 * x**2 - 0.03 * y**2

    y, x = np.mgrid[:90, :80] + 0.5
    matrix = around((40.3, 44.6), angle, scale, 30)
    seen = sample(parabola(x, y)[..., None], matrix, (30, 30))
    v, u = np.mgrid[:30, :30] + 0.5
    there = apply(matrix, np.stack([u.ravel(), v.ravel()], 1))
    assert np.allclose(seen.ravel(), parabola(*there.T), atol=0.01)


def test_an_enlarged_window_is_as_pillow_enlarges(photos):
    cat = photos["chelsea"]
    seen = sample(cat, around((220, 140), 0, 0.25, 160), (160, 160))
    box = (200, 120, 240, 160)
    other = Image.fromarray(cat).resize((160, 160), Image.Resampling.BICUBIC, box)
    # Pillow's taps stop at the box, these see beyond; and it rounds, twice.
    inner = (slice(8, -8), slice(8, -8))
    assert np.abs(np.clip(seen, 0, 255) - np.asarray(other))[inner].max() <= 1.5


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.7, 9.0])
@pytest.mark.parametrize("centre", [(220.3, 150.8), (10.0, 10.0), (-300.0, 40.0)])
def test_a_glance_is_a_sample_but_for_a_fraction_of_a_pixel(photos, centre, scale):
    cat = photos["chelsea"]
    matrix = around(centre, 0.7, scale, 120)
    exact = sample(cat, matrix, (120, 120), outside=0)
    quick = glance(cat, matrix, 120)
    assert quick.dtype == np.float32
    away = np.abs(quick - exact)
    assert away.mean() < 0.1
    assert np.percentile(away, 99) < 1.5
    assert np.array_equal(glance(cat, matrix, 120), quick)


def test_a_coarse_window_shows_means_not_single_pixels():
    fine = np.indices((400, 400)).sum(0)[..., None] % 2 * 255.0
    seen = sample(fine, around((200, 200), 0.3, 8, 32), (32, 32))
    assert np.abs(seen - 127.5).max() < 1


def test_only_what_is_under_the_window_is_read():
    blocks = []

    def convert(block):
        blocks.append(block.shape)
        return block.astype(np.float32)

    big = np.zeros((3000, 3000, 3), np.uint8)
    sample(big, around((1500, 1500), np.pi / 4, 1, 64), (64, 64), convert=convert)
    ((height, width, _),) = blocks
    assert max(height, width) < 64 * 2**0.5 + 8


def test_what_lies_outside_is_the_edge_or_what_is_asked_for():
    white = np.full((10, 10, 3), 200, np.uint8)
    away = around((-50, -50), 0, 1, 8)
    assert (sample(white, away, (8, 8)) == 200).all()
    assert (sample(white, away, (8, 8), outside=7) == 7).all()
    assert (sample(white, away, (8, 8), outside=(1, 2, 3)) == (1, 2, 3)).all()
    corner = sample(white, around((0, 0), 0, 1, 16), (16, 16), outside=0)
    assert (corner[:6] == 0).all()
    assert (corner[10:, 10:] == 200).all()


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0, 300.0])
def test_a_picture_of_one_pixel_can_be_looked_at(scale):
    one = np.full((1, 1, 1), 9, np.uint8)
    assert np.allclose(sample(one, around((0.5, 0.5), 1.0, scale, 20), (20, 20)), 9, atol=1e-4)


@given(st.integers(1, 23), st.integers(1, 23), st.integers(1, 30))
def test_reducing_takes_the_mean_of_what_is_there(height, width, factor):
    block = np.random.default_rng(0).random((height, width, 2), np.float32)
    small = reduced(block, factor)
    assert small.shape == (-(-height // factor), -(-width // factor), 2)
    for y, x in np.ndindex(small.shape[:2]):
        part = block[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor]
        assert np.allclose(small[y, x], part.mean((0, 1)), atol=1e-5)
