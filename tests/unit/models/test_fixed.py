"""Networks at one size: the same values, no arithmetic about sizes, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper, numpy_helper

from superres.models.catalog import shipped_models
from superres.models.fixed import fixed, folded, live_values, macs
from superres.models.weights import load_network
from tests.unit.models.toys import nearest, network, picture, run


def node(kind, inputs, output, **attributes):
    return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)


def constants(**values):
    return {name: np.array(value) for name, value in values.items()}


def windowed():
    """Cuts its input into windows of 4, reverses each, and puts them together; as exported."""
    nodes = [
        node("Shape", "input", "shape"),
        node("Gather", "shape two", "h", axis=0),
        node("Gather", "shape three", "w", axis=0),
        node("Div", "h four", "rows"),
        node("Div", "w four", "columns"),
        node("Concat", "one channels rows1 four1 columns1 four1", "apart", axis=0),
        node("Reshape", "input apart", "cut"),
        node("Slice", "cut last first axis5 back", "turned"),
        node("Concat", "one channels h1 w1", "whole", axis=0),
        node("Reshape", "turned whole", "output"),
    ]
    for name in ("rows", "columns", "h", "w"):
        nodes.insert(5, node("Unsqueeze", f"{name} zero", f"{name}1"))
    order = ["shape", "h", "w", "rows", "columns"]
    nodes.sort(key=lambda n: order.index(n.name) if n.name in order else len(order))
    return network(
        1,
        nodes,
        **constants(two=2, three=3, four=4, zero=[0], one=[1], channels=[3], four1=[4]),
        **constants(last=[-1], first=[-(1 << 62)], axis5=[5], back=[-1]),
    )


@pytest.mark.parametrize("size", [(8, 12), (16, 4)])
def test_what_hangs_on_the_size_is_computed(size):
    model = windowed()
    found = fixed(model, *size)
    assert {n.op_type for n in found.model.graph.node} == {"Reshape", "Slice"}
    assert found.output == (1, 3, *size)
    image = picture(*size)
    expected = image.reshape(1, 3, size[0], -1, 4)[..., ::-1].reshape(image.shape)
    np.testing.assert_array_equal(run(found.model, input=image)["output"], expected)
    np.testing.assert_array_equal(run(model, input=image)["output"], expected)


def test_a_network_without_such_arithmetic_is_left_alone():
    model = nearest(2)
    assert folded(model, 16, 16) is model
    assert folded(windowed(), 16, 16).graph.node


@pytest.mark.parametrize("model", shipped_models(), ids=lambda model: model.name)
def test_the_cost_is_the_catalogues(model):
    weights = max(model.weights, key=lambda each: each.scale)
    found = fixed(load_network(weights), 48, 64)
    assert found.output == (1, 3, 48 * weights.scale, 64 * weights.scale)
    assert macs(found) / (48 * 64) / 1e6 == pytest.approx(model.mmac_per_pixel, rel=0.02)
    live = live_values(found) * 4 * 1.1 / (48 * 64)
    assert model.bytes_per_pixel <= live <= 2 * model.bytes_per_pixel


BOMBS = {
    "together": [
        *(node("Expand", f"number{i} large26", f"some{i}") for i in range(5)),
        node("Concat", "some0 some1 some2 some3 some4", "big", axis=0),
    ],
    "range": [node("Range", "zero huge one", "big")],
    "shape": [node("ConstantOfShape", "vast", "big", value=numpy_helper.from_array(np.ones(1)))],
    "expand": [node("Expand", "number vast", "big")],
    "tile": [node("Tile", "row vast1", "big")],
    "outer": [
        node("Range", "zero many one", "line"),
        node("Unsqueeze", "line at1", "column"),
        node("Mul", "line column", "big"),
    ],
    "gather": [node("Range", "zero many one", "line"), node("Gather", "wide line", "big", axis=0)],
    "twice": [node("Expand", "number large", "some"), node("Expand", "some vast", "big")],
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_small_file_that_claims_much(case):
    nodes = [
        *BOMBS[case],
        node("Cast", "big", "floats", to=1),
        node("ReduceMean", "floats", "mean", keepdims=0),
        node("Add", "input mean", "output"),
    ]
    model = network(
        1,
        nodes,
        **constants(zero=0, one=1, huge=1 << 60, many=1 << 24, vast=[1 << 20, 1 << 20]),
        **constants(number=1.0, vast1=[1 << 40], at1=[1], large=[1 << 20]),
        **{f"number{i}": np.array(float(i)) for i in range(5)},
        large26=np.array([1 << 25]),
        row=np.ones(4, np.float32),
        wide=np.ones((1 << 4, 1 << 6), np.float32),
    )
    with pytest.raises(ValueError, match=r"too large|makes"):
        fixed(model, 16, 16)


def test_what_does_not_depend_on_the_picture():
    model = network(1, [node("Expand", "value shape", "output")], value=np.ones(1, np.float32),
                    shape=np.array([1, 3, 16, 16]))  # fmt: skip
    with pytest.raises(ValueError, match="does not depend on the picture"):
        fixed(model, 16, 16)


@pytest.mark.parametrize("kind", [8, 999])
def test_kinds_of_values_that_there_are_not(kind):
    nodes = [
        node("Shape", "input", "shape"),
        node("Cast", "shape", "odd", to=kind),
        node("Relu", "input", "output"),
    ]
    with pytest.raises(ValueError, match="Error"):
        fixed(network(1, nodes), 16, 16)


@pytest.mark.parametrize("side", [224, 256])
def test_masks_of_window_attention_at_the_size_of_tiles(side):
    # What indices and updates of a scatter have together is not what comes out.
    nodes = [
        node("Expand", "zero shape", "empty"),
        node("ScatterND", "empty indices updates", "mask"),
        node("ReduceMax", "mask", "most", keepdims=0),
        node("Add", "input most", "output"),
    ]
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1)
    model = network(
        1,
        nodes,
        zero=np.zeros(1, np.float32),
        shape=np.array([side, side]),
        indices=grid,
        updates=np.ones((side, side), np.float32),
    )
    assert [each.op_type for each in fixed(model, side, side).model.graph.node] == ["Add"]


def test_operators_that_do_not_fit():
    model = network(1, [node("Add", "input k", "output")], k=np.ones(5, np.float32))
    with pytest.raises(ValueError, match="Add"):
        fixed(model, 16, 16)
