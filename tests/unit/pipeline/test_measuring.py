"""What is found out of a network by running it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from superres.models.onnxfile import read_onnx
from superres.pipeline.adding import as_onnx
from superres.pipeline.measuring import measure
from tests.unit.models.toys import nearest, network


def measured(model):
    return measure(as_onnx(read_onnx(model.SerializeToString()), 3, "a toy").run)


def pooled(kind: str, share: float):
    """Adds a share of what all of the picture amounts to."""
    return nearest(
        2,
        helper.make_node(kind, ["near"], ["all"]),
        helper.make_node("Sub", ["all", "middle"], ["off"]),
        helper.make_node("Mul", ["off", "share"], ["little"]),
        helper.make_node("Add", ["near", "little"], ["output"]),
        middle=np.array(0.5, np.float32),
        share=np.array(share, np.float32),
    )


@pytest.mark.parametrize(("kind", "share"), [("GlobalAveragePool", 0.05), ("GlobalMaxPool", 0.2)])
def test_pooling_over_the_whole_picture_is_found_though_the_texture_hides_it(kind, share):
    # A part of the texture has nearly the mean of the whole; a tile of sky has another.
    assert measured(pooled(kind, share)).whole


def test_pooling_that_does_not_show_is_no_reason():
    found = measured(pooled("GlobalAveragePool", 0.005))
    assert not found.whole


def test_a_field_of_view_is_the_context():
    kernel = np.zeros((3, 3, 1, 19), np.float32)
    for c in range(3):
        kernel[c, c, 0] = 1 / 19
    conv = helper.make_node("Conv", ["input", "kernel"], ["output"], pads=[0, 9, 0, 9])
    found = measured(network(1, [conv], kernel=kernel))
    assert (found.whole, found.ramp) == (False, 0)
    assert 9 <= found.context <= 16
