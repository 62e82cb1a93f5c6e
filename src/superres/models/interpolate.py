"""The network between two networks of one architecture: the weighted mean of their weights.

Known from ESRGAN (Wang et al., ECCVW 2018, section 3.4) and used to choose between two looks, or
how much noise is removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from superres.errors import BadParameter

_IGNORED = {
    "Resize": {"cubic_coeff_a", "exclude_outside", "extrapolation_value", "antialias"},
    "Conv": {"kernel_shape"},
}
"""Attributes that are written or left out and say nothing here."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "Conv": {"dilations": [1, 1], "strides": [1, 1], "group": 1, "pads": [0, 0, 0, 0]},
    "DepthToSpace": {"mode": b"DCR"},
}


def interpolated(a: onnx.ModelProto, b: onnx.ModelProto, share: float) -> onnx.ModelProto:
    """Mix two networks.

    Args:
        a, b: of the same architecture: the same operators in the same order, and weights of the
            same shapes. Names may differ, and weights may be stored in half precision.
        share: of ``b``, 0…1; that of ``a`` is the rest.

    Raises:
        BadParameter: they are of different architectures.
    """
    first, second = _Plain(a), _Plain(b)
    if first.form != second.form:
        raise BadParameter(
            "The two networks are of different architectures, so there is nothing between them; "
            "blend two sets of weights of the same."
        )
    mixed = onnx.ModelProto()
    mixed.CopyFrom(first.model)
    constants = {tensor.name: tensor for tensor in mixed.graph.initializer}
    for mine, other in zip(first.weights, second.weights, strict=True):
        one, two = first.values[mine], second.values[other]
        if one.dtype != np.float32:
            if not np.array_equal(one, two.reshape(one.shape)):
                raise BadParameter("The two networks cut or shift pictures differently.")
            continue
        value = (1 - share) * one.astype(np.float64) + share * two.reshape(one.shape)
        constants[mine].CopyFrom(numpy_helper.from_array(value.astype(np.float32), mine))
    return mixed


class _Plain:
    """A network in which names and ways to write the same no longer matter.

    Attributes:
        model: without renaming operators, its weights in single precision.
        values: its weights by name.
        weights: their names, in the order of their use.
        form: operators, attributes, connections, and shapes of weights.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        alias: dict[str, str] = {}
        nodes = []
        for node in model.graph.node:
            inputs = [alias.get(name, name) for name in node.input]
            last = node.output[0] == model.graph.output[0].name
            if node.op_type == "Identity" and not last:
                alias[node.output[0]] = inputs[0]
                continue
            if node.op_type == "Cast" and inputs[0] in self.values:
                kind = helper.tensor_dtype_to_np_dtype(
                    next(a.i for a in node.attribute if a.name == "to")
                )
                self.values[node.output[0]] = self.values[inputs[0]].astype(kind)
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            del copy.input[:]
            copy.input.extend(inputs)
            nodes.append(copy)
        _rejoin_output(nodes, model.graph.output[0].name)
        used = dict.fromkeys(n for node in nodes for n in node.input if n in self.values)
        self.weights = list(used)
        graph = helper.make_graph(
            nodes,
            model.graph.name,
            list(model.graph.input),
            list(model.graph.output),
            [numpy_helper.from_array(self.values[name], name) for name in self.weights],
        )
        self.model = helper.make_model(
            graph,
            opset_imports=list(model.opset_import),
            producer_name="superres",
            ir_version=model.ir_version,
        )
        self.form = list(self._form())

    def _form(self) -> Iterator[Any]:
        numbers: dict[str, int] = {"": -1, self.model.graph.input[0].name: 0}
        for node in self.model.graph.node:
            given: list[tuple[str, tuple[int, ...], str]] = []
            for name in node.input:
                if name in self.values:
                    value = self.values[name]
                    # (c, 1, 1) and (c,) are the same slopes, 1 and () the same number.
                    shape = tuple(side for side in value.shape if side != 1)
                    given.append(("weight", shape, value.dtype.kind))
                else:
                    given.append(("value", (numbers[name],), ""))
            for name in node.output:
                numbers[name] = len(numbers)
            yield node.op_type, tuple(given), tuple(sorted(_attributes(node)))


def _attributes(node: onnx.NodeProto) -> Iterator[tuple[str, str]]:
    given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    for name, value in (_DEFAULTS.get(node.op_type, {}) | given).items():
        if name not in _IGNORED.get(node.op_type, ()):
            yield name, repr(value)


def _rejoin_output(nodes: list[onnx.NodeProto], name: str) -> None:
    """Drop an Identity at the end, whose input then has the output's name."""
    if nodes and nodes[-1].op_type == "Identity" and nodes[-1].output[0] == name:
        inner = nodes.pop().input[0]
        for node in nodes:
            for part in (node.input, node.output):
                for i, each in enumerate(part):
                    if each == inner:
                        part[i] = name
