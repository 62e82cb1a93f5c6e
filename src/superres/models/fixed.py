"""A network at one size of input: every shape known, and all that hangs on shapes only computed.

Networks exported from PyTorch carry arithmetic about their input's size: window attention cuts
and masks by it. For a window of known size all of that is constant. Taken out beforehand, only
operators on pixels are left for an engine, and what they cost can be counted.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TypeProto, helper, numpy_helper

from superres.models.shapearith import OPERATORS, TooLarge, compute

MOST_VALUES, MOST_TOGETHER = 1 << 25, 1 << 27
"""Values that a constant may have, and all that are computed; a small file can claim much."""

_REFERENCE = 1 << 20
"""Values up to which ONNX' own reference, which is slow, computes a constant; else engines do."""

_SMALL = 1 << 12
"""Constants up to here are looked at to infer shapes: sizes, axes, scales."""

_SHAPED = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class Fixed:
    """A network at one size.

    Attributes:
        model: without what hangs on shapes only.
        shapes: of every value in it, None where that hangs on the picture's content.
    """

    model: onnx.ModelProto
    shapes: Mapping[str, tuple[int, ...] | None]

    @property
    def output(self) -> tuple[int, ...] | None:
        """Shape of what comes out."""
        return self.shapes.get(self.model.graph.output[0].name)


def folded(model: onnx.ModelProto, height: int, width: int) -> onnx.ModelProto:
    """``model`` for an input of ``height × width``; itself where that changes nothing."""
    if not any(node.op_type in _SHAPED for node in model.graph.node):
        return model
    return fixed(model, height, width).model


def fixed(model: onnx.ModelProto, height: int, width: int) -> Fixed:
    """Compute what hangs on the size of the input only.

    Args:
        model: one input ``(1, c, h, w)``; operators of ONNX's own only, none with subgraphs.
        height, width: of the input.

    Raises:
        ValueError: a constant would be larger than :data:`MOST_VALUES`, or operators do not
            fit each other.
    """
    try:
        walk = _Walk(model, height, width)
        for node in model.graph.node:
            walk.take(node)
        return walk.result()
    except (KeyError, TypeError, NotImplementedError, MemoryError) as exc:
        # Kinds of values that numpy or onnx has none for.
        raise ValueError(f"{type(exc).__name__}: {exc}"[:300]) from exc


class _Walk:
    """Goes through a network once, in order."""

    def __init__(self, model: onnx.ModelProto, height: int, width: int) -> None:
        self._model = model
        self._opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self._tensors = {t.name: t for t in model.graph.initializer}
        self._types: dict[str, TypeProto] = {
            name: helper.make_tensor_type_proto(t.data_type, list(t.dims))
            for name, t in self._tensors.items()
        }
        entry = model.graph.input[0]
        self._input = onnx.ValueInfoProto()
        self._input.CopyFrom(entry)
        channels = entry.type.tensor_type.shape.dim[1].dim_value
        self._input.type.CopyFrom(
            helper.make_tensor_type_proto(
                entry.type.tensor_type.elem_type, [1, channels, height, width]
            )
        )
        self._types[entry.name] = self._input.type
        self._values: dict[str, NDArray[Any]] = {}
        self._alike: dict[bytes, str] = {}
        self._renamed: dict[str, str] = {}
        self._done: dict[tuple[object, ...], str] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._together = 0

    def take(self, node: onnx.NodeProto) -> None:
        if any(name in self._renamed for name in node.input):
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            for i, name in enumerate(node.input):
                copy.input[i] = self._renamed.get(name, name)
            node = copy
        if node.op_type in _SHAPED and (shape := self._shape(node.input[0])) is not None:
            self._keep(node.output[0], _shape_value(node, shape))
            return
        constant = all(not name or self._constant(name) for name in node.input)
        if constant and self._quick(node):
            return
        types = self._inferred(node)
        made = [_shape(types.get(name)) for name in node.output if name]
        sizes = [math.prod(shape or ()) for shape in made]
        if constant and None not in made and max(sizes) > MOST_VALUES:
            raise ValueError(f"{node.op_type} {node.name!r} makes a constant that is too large")
        sizes += [math.prod(self._tensors[name].dims) for name in node.input if constant and name]
        if constant and None not in made and sum(sizes) <= _REFERENCE:
            for name, value in self._computed(node).items():
                self._keep(name, value)
            return
        self._types |= types
        self._nodes.append(node)

    def _quick(self, node: onnx.NodeProto) -> bool:
        """Compute ``node`` here, if that is known; the same again is not computed again."""
        if node.op_type not in OPERATORS or "" in node.input or len(node.output) != 1:
            return False
        key = (
            node.op_type,
            tuple(node.input),
            tuple(sorted(a.SerializeToString() for a in node.attribute)),
        )
        name = node.output[0]
        if key in self._done:
            self._renamed[name] = self._done[key]
            return True
        options = {a.name: _option(a) for a in node.attribute}
        try:
            given = [self._value(each) for each in node.input]
            value = compute(node.op_type, given, options, MOST_VALUES)
        except TooLarge as exc:
            raise ValueError(f"{node.op_type} {node.name!r} makes {exc}") from exc
        except (ValueError, IndexError, TypeError, KeyError, ArithmeticError) as exc:
            raise ValueError(f"{node.op_type} {node.name!r}: {exc}"[:300]) from exc
        self._keep(name, value)
        self._done[key] = self._renamed.get(name, name)
        return True

    def result(self) -> Fixed:
        graph = self._model.graph
        nodes = self._nodes
        if any(o.name in self._renamed or self._constant(o.name) for o in graph.output):
            raise ValueError("what comes out does not depend on the picture")
        used = {name for node in nodes for name in node.input}
        tensors = [tensor for name, tensor in self._tensors.items() if name in used]
        small = helper.make_graph(nodes, graph.name, [self._input], list(graph.output), tensors)
        model = helper.make_model(
            small, opset_imports=list(self._model.opset_import), ir_version=self._model.ir_version
        )
        names = [self._input.name, *(name for node in nodes for name in node.output if name)]
        return Fixed(model, {name: self._shape(name) for name in names})

    def _constant(self, name: str) -> bool:
        return name in self._tensors

    def _shape(self, name: str) -> tuple[int, ...] | None:
        return _shape(self._types.get(name))

    def _value(self, name: str) -> NDArray[Any]:
        if name not in self._values:
            self._values[name] = numpy_helper.to_array(self._tensors[name])
        return self._values[name]

    def _keep(self, name: str, value: NDArray[Any]) -> None:
        key = hashlib.sha256(repr((value.shape, value.dtype)).encode() + value.tobytes()).digest()
        self._together += value.size
        if self._together > MOST_TOGETHER:
            raise ValueError("constants that are too large together")
        twin = self._alike.setdefault(key, name)
        if twin != name:  # masks of window attention: the same in every layer
            self._renamed[name] = twin
            return
        self._tensors[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        self._values[name] = value
        self._types[name] = helper.make_tensor_type_proto(
            self._tensors[name].data_type, list(value.shape)
        )

    def _inferred(self, node: onnx.NodeProto) -> dict[str, TypeProto]:
        types = {name: self._types[name] for name in node.input if name and name in self._types}
        if len(types) < len({name for name in node.input if name}):
            return {}
        data = {
            name: self._tensors[name]
            for name in node.input
            if name and self._constant(name) and math.prod(self._tensors[name].dims) <= _SMALL
        }
        schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        try:
            found: dict[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                types,
                data,
                opset_imports=list(self._model.opset_import),
                ir_version=self._model.ir_version,
            )
        except Exception as exc:  # onnx's own, of several kinds
            raise ValueError(f"{node.op_type} {node.name!r}: {exc}"[:300]) from exc
        return found

    def _computed(self, node: onnx.NodeProto) -> dict[str, NDArray[Any]]:
        from onnx.reference import ReferenceEvaluator  # slow to import, and rarely needed

        given = {name: self._value(name) for name in node.input if name}
        infos = [helper.make_value_info(name, self._types[name]) for name in dict.fromkeys(given)]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output if name]
        graph = helper.make_graph([node], "one", infos, outputs)
        model = helper.make_model(
            graph,
            opset_imports=list(self._model.opset_import),
            ir_version=self._model.ir_version,
        )
        try:
            with np.errstate(all="ignore"):
                values = ReferenceEvaluator(model).run(None, given)
        except Exception as exc:  # whatever numpy says of values that do not fit
            raise ValueError(f"{node.op_type} {node.name!r}: {exc}"[:300]) from exc
        return {info.name: np.asarray(value) for info, value in zip(outputs, values, strict=True)}


def _shape(kind: TypeProto | None) -> tuple[int, ...] | None:
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    if not all(dim.HasField("dim_value") for dim in dims):
        return None
    return tuple(dim.dim_value for dim in dims)


def _option(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if attribute.name == "to":
        return helper.tensor_dtype_to_np_dtype(value)
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _shape_value(node: onnx.NodeProto, shape: tuple[int, ...]) -> NDArray[Any]:
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    span = {a.name: a.i for a in node.attribute}
    return np.array(shape[span.get("start", 0) : span.get("end", len(shape))], np.int64)


def macs(found: Fixed) -> float:
    """Multiply-accumulates of one run: those of convolutions and matrix products."""
    dims = {t.name: tuple(t.dims) for t in found.model.graph.initializer}
    shapes = {**dims, **found.shapes}
    total = 0.0
    for node in found.model.graph.node:
        out = shapes.get(node.output[0])
        given = [shapes.get(name) for name in node.input if name]
        if out is None or any(shape is None for shape in given):
            continue
        known = [shape for shape in given if shape is not None]
        if node.op_type == "Conv":
            total += math.prod(out) * math.prod(known[1][1:])
        elif node.op_type == "ConvTranspose":
            total += math.prod(known[0]) * math.prod(known[1][1:])
        elif node.op_type == "MatMul":
            total += math.prod(out) * known[0][-1]
        elif node.op_type == "Gemm":
            across = any(a.name == "transA" and a.i for a in node.attribute)
            total += math.prod(out) * known[0][0 if across else -1]
        elif node.op_type == "Einsum":
            total += math.prod(out) * max(shape[-1] for shape in known)
    return total


def live_values(found: Fixed) -> int:
    """Values that are alive at a time at most when nodes run in order, constants apart."""
    graph = found.model.graph
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    last[graph.output[0].name] = len(graph.node)
    alive = {graph.input[0].name}
    now = most = _values(found, graph.input[0].name)
    for i, node in enumerate(graph.node):
        made = {name for name in node.output if name}
        now += sum(_values(found, name) for name in made)
        alive |= made
        most = max(most, now)
        for name in {*made, *node.input} & alive:
            if last.get(name, -1) <= i:
                alive.remove(name)
                now -= _values(found, name)
    return most


def made_values(found: Fixed) -> int:
    """Values that all nodes together make in one run."""
    return sum(_values(found, name) for node in found.model.graph.node for name in node.output)


def _values(found: Fixed, name: str) -> int:
    return math.prod(found.shapes.get(name) or (0,))
