"""Graphs as plain Python."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from superres.errors import EngineUnavailable
from superres.models.listing import Node, read_listing


def data(nodes, constants=(), inputs=("x",)):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        list(constants),
    )
    return helper.make_model(graph).SerializeToString()


def test_nodes_constants_and_attributes():
    constant = numpy_helper.from_array(np.array([1, 2], np.float16), "c")
    node = helper.make_node(
        "Some", ["x", "", "c"], ["y"], mode="edge", pads=[1, 2], alpha=0.5, n=3, scales=[0.5]
    )
    listing = read_listing(data([node], [constant], ("x", "c")))
    assert listing.inputs == ("x",)
    assert listing.outputs == ("y",)
    np.testing.assert_array_equal(listing.constants["c"], np.array([1, 2], np.float16))
    attributes = {"mode": "edge", "pads": (1, 2), "alpha": 0.5, "n": 3, "scales": (0.5,)}
    assert listing.nodes == (Node("Some", ("x", "", "c"), ("y",), attributes),)


def test_domains_are_part_of_the_name():
    nodes = [
        helper.make_node("Checkpoint", ["x"], ["z"], domain="superres", path="p"),
        helper.make_node("Relu", ["z"], ["y"], domain="ai.onnx"),
    ]
    assert [node.kind for node in read_listing(data(nodes)).nodes] == [
        "superres::Checkpoint",
        "Relu",
    ]


@pytest.mark.parametrize(
    ("to", "dtype"),
    [
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, np.float32),
        (TensorProto.INT64, np.int64),
        (TensorProto.BOOL, np.bool_),
    ],
)
def test_casts_name_a_dtype(to, dtype):
    (node,) = read_listing(data([helper.make_node("Cast", ["x"], ["y"], to=to)])).nodes
    assert node.attributes["to"] == np.dtype(dtype)


def test_arrays_in_attributes():
    value = numpy_helper.from_array(np.arange(3, dtype=np.int64))
    (node,) = read_listing(data([helper.make_node("Constant", [], ["y"], value=value)])).nodes
    np.testing.assert_array_equal(node.attributes["value"], [0, 1, 2])


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x08\x07"])
def test_what_is_no_graph_is_told(content):
    with pytest.raises(EngineUnavailable, match="cannot be read") as caught:
        read_listing(content)
    assert caught.value.__cause__ is not None
