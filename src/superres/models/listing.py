"""An ONNX model as plain Python: for engines that run it operator by operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from superres.errors import EngineUnavailable


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        kind: the operator's name, with its domain in front if that is not ONNX's own.
        inputs: names of values; "" stands for an optional one that is left out.
        outputs: names of values; "" for one that nobody wants.
        attributes: numbers, strings, tuples of them, and arrays; of ``Cast`` the dtype.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Listing:
    """A graph, its nodes in an order in which they can be computed.

    Attributes:
        inputs, outputs: names of what goes in and comes out.
        nodes: the operators.
        constants: values that are fixed.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[Any]]


def read_listing(data: bytes) -> Listing:
    """Read a serialised ONNX model.

    Raises:
        EngineUnavailable: it is none, or has subgraphs or sparse tensors.
    """
    try:
        model = onnx.load_model_from_string(data)
        graph = model.graph
        if not graph.output:
            raise ValueError("no outputs")
        constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        nodes = tuple(map(_node, graph.node))
    except EngineUnavailable:
        raise
    except Exception as exc:  # of protobuf's and onnx's many kinds
        raise EngineUnavailable(
            f"The network's graph cannot be read ({type(exc).__name__}); add the model again."
        ) from exc
    inputs = tuple(each.name for each in graph.input if each.name not in constants)
    return Listing(inputs, tuple(each.name for each in graph.output), nodes, constants)


def _node(node: onnx.NodeProto) -> Node:
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}::"
    kind = domain + node.op_type
    attributes = {each.name: _attribute(kind, each) for each in node.attribute}
    if kind == "Cast":
        attributes["to"] = _dtype(attributes["to"])
    return Node(kind, tuple(node.input), tuple(node.output), attributes)


def _attribute(kind: str, attribute: AttributeProto) -> Any:
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        raise EngineUnavailable(
            f"The network uses the operator {kind}, which this device does not run; "
            "use --device cpu."
        )
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode()
    if attribute.type == AttributeProto.STRINGS:
        return tuple(each.decode() for each in value)
    if attribute.type in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(value)
    return value


def _dtype(element_type: int) -> np.dtype[Any]:
    if element_type == TensorProto.BFLOAT16:  # numpy has none, and nothing gains by it here
        return np.dtype(np.float32)
    return np.dtype(helper.tensor_dtype_to_np_dtype(element_type))
