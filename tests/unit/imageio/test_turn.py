"""Turned windows; against NumPy's own sampling they are held in tests/unit/faces/test_align.py."""

import numpy as np
import pytest

from superres.imageio import turned
from tests.unit.imageio.pictures import photo

HERE = np.eye(2, 3)


@pytest.fixture
def block():
    return photo(60, 80).astype(np.float32)


def test_upright_and_in_place_it_is_the_block(block):
    seen = turned(block, HERE, (60, 80), 0.0)
    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen, block, atol=1e-3)


def test_a_quarter_turn_is_exact(block):
    quarter = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 60.0]])
    np.testing.assert_allclose(
        turned(block, quarter, (80, 60), 0.0), block[::-1].swapaxes(0, 1), atol=1e-2
    )


def test_a_shift_by_half_a_pixel_is_keys_cubic(block):
    half = np.array([[1.0, 0, 0.5], [0, 1.0, 0]])
    taps = np.array([-1, 9, 9, -1], np.float32) / 16
    expected = sum(t * block[:, n : n + 77] for n, t in enumerate(taps))
    np.testing.assert_allclose(turned(block, half, (60, 80), 0.0)[:, 1:78], expected, atol=1e-2)


def test_beyond_the_block_is_what_was_asked_for(block):
    away = np.array([[1.0, 0, 200], [0, 1.0, 0]])
    assert (turned(block, away, (20, 30), 7.0) == 7).all()
