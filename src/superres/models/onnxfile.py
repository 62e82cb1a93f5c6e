"""Read ONNX files that people bring, and bring them to the one form of networks here.

A file of ONNX can name other files, hold control flow, functions and operators of anybody's; it
can be small and claim tensors that fill the memory. What is taken is one plain network from one
picture to one picture. Nothing beside the file is opened.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from superres.errors import BadParameter
from superres.models.ncnn import OPSET

MOST_BYTES = 512 << 20
"""Largest file that is read; most published networks have less than 200 MB."""

_MOST_NODES = 100_000

_REFUSED = frozenset({"If", "Loop", "Scan", "NonZero", "Unique", "Compress", "ImageDecoder"})
_REFUSED_BEGINNINGS = ("Sequence", "Optional", "Random", "String", "Regex", "Bernoulli", "Multinom")

_ONNX = ("", "ai.onnx")


def read_onnx(data: bytes) -> onnx.ModelProto:
    """Read a network that enlarges or repairs pictures.

    Args:
        data: content of a ``.onnx`` file.

    Returns:
        A model of operator set 18 with one input ``input``, float32 ``(1, c, h, w)`` with c = 1 or
        3, and one output ``output``, float32. Half-precision weights are widened.

    Raises:
        BadParameter: the file is none, or a network that cannot be used; the sentence says why.
    """
    if len(data) > MOST_BYTES:
        raise BadParameter(
            f"The file has {len(data):,} bytes; a model may have at most {MOST_BYTES:,}."
        )
    try:
        model = onnx.load_model_from_string(data)
    except Exception as exc:  # protobuf's errors are not one class in all its versions
        raise _not_onnx() from exc
    if not model.graph.node or not model.opset_import:
        raise _not_onnx()
    _check_contained(model)
    _check_operators(model)
    _widen(model)
    model = _at_opset(model)
    channels = _check_picture(model)
    return _normal(model, channels)


def _not_onnx() -> BadParameter:
    return BadParameter("The file is no ONNX network, or is damaged; get it again.")


def _check_contained(model: onnx.ModelProto) -> None:
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise BadParameter(
                "The ONNX file keeps its weights in other files, which are not read; save it as "
                "one file (onnx.save without external data)."
            )


def _tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for sparse in model.graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    nodes = [*model.graph.node, *(node for each in model.functions for node in each.node)]
    for node in nodes:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _check_operators(model: onnx.ModelProto) -> None:
    if model.functions:
        raise BadParameter(
            "The ONNX network has functions of its own, which are not read; export it with "
            "torch.onnx.export(…, dynamo=False), or add the .pth file."
        )
    if len(model.graph.node) > _MOST_NODES or model.graph.sparse_initializer:
        raise BadParameter("The ONNX network is not of a kind that is read here.")
    for node in model.graph.node:
        refused = node.op_type in _REFUSED or node.op_type.startswith(_REFUSED_BEGINNINGS)
        kinds = {attribute.type for attribute in node.attribute}
        if refused or kinds & {AttributeProto.GRAPH, AttributeProto.GRAPHS}:
            raise BadParameter(
                f"The ONNX network uses {node.op_type[:40]!a}, whose result hangs on more than the "
                "picture's pixels and size; such networks are not run here."
            )
        domain = "" if node.domain in _ONNX else node.domain
        if domain or not onnx.defs.has(node.op_type):
            name = f"{domain}.{node.op_type}" if domain else node.op_type
            raise BadParameter(
                f"The ONNX network uses the operator {name[:80]!a}, which is none of ONNX's own; "
                "export it again without."
            )


def _widen(model: onnx.ModelProto) -> None:
    """Make half precision float32: how to compute is the engine's choice, not the file's."""
    for tensor in _tensors(model):
        if tensor.data_type == TensorProto.FLOAT16:
            try:
                wide = numpy_helper.to_array(tensor).astype(np.float32)
            except ValueError as exc:  # it is not of the shape that it claims
                raise _not_onnx() from exc
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(wide, name))
    for node in model.graph.node:
        for attribute in node.attribute:
            casts = node.op_type == "Cast" and attribute.name == "to"
            if (casts or attribute.name == "dtype") and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for info in [*model.graph.input, *model.graph.output]:
        if info.type.tensor_type.elem_type == TensorProto.FLOAT16:
            info.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.value_info[:]


def _at_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    version = next((o.version for o in model.opset_import if o.domain in _ONNX), 0)
    if version == OPSET:
        return model
    try:
        kinds = {node.op_type for node in model.graph.node}
        then = {onnx.defs.get_schema(kind, version, "").since_version for kind in kinds}
        now = {onnx.defs.get_schema(kind, OPSET, "").since_version for kind in kinds}
        if then != now:
            return onnx.version_converter.convert_version(model, OPSET)
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", OPSET))
    except Exception as exc:  # onnx's own, of several kinds
        raise BadParameter(
            f"The ONNX network is of operator set {version}, and cannot be brought to {OPSET} "
            f"({str(exc).strip().splitlines()[0][:120] if str(exc).strip() else 'no word why'}); "
            f"export it again with opset_version={OPSET}."
        ) from exc
    return model


def _check_picture(model: onnx.ModelProto) -> int:
    """How many channels it takes; refuses what is not from picture to picture."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [info for info in model.graph.input if info.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise BadParameter(
            f"The ONNX network has {len(inputs)} inputs and {len(model.graph.output)} outputs; one "
            "picture in and one out is what can be used."
        )
    kind = inputs[0].type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        name = TensorProto.DataType.Name(kind.elem_type)
        raise BadParameter(
            f"The ONNX network takes {name} values; float32 from 0 to 1 is what can be used."
        )
    dims: list[int] = [dim.dim_value for dim in kind.shape.dim]
    if len(dims) != 4:
        raise BadParameter(
            "The ONNX network takes no picture; its input must be (1, 3, height, width)."
        )
    if dims[1] not in (1, 3) and dims[3] in (1, 3):
        raise BadParameter(
            "The ONNX network takes colours last (NHWC); export it with colours first, "
            "(1, 3, height, width)."
        )
    if dims[1] not in (1, 3) or dims[0] not in (0, 1):
        shown = " × ".join(str(dim or "?") for dim in dims)
        raise BadParameter(
            f"The ONNX network takes {shown} values; one picture of 3 channels (or 1) is what can "
            "be used: (1, 3, height, width)."
        )
    return dims[1]


def _normal(model: onnx.ModelProto, channels: int) -> onnx.ModelProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    entry = next(info.name for info in model.graph.input if info.name not in constants)
    end = model.graph.output[0].name
    tensors = list(model.graph.initializer)
    nodes = []
    for node in model.graph.node:
        tensor = _constant(node) if node.op_type == "Constant" else None
        if tensor is not None:
            tensors.append(tensor)
        else:
            nodes.append(node)
    names = {entry: "input", end: "output"}
    if entry != "input" or end != "output":  # others of these names step aside
        names |= {n: f"{n}.inner" for n in ("input", "output") if n not in (entry, end)}
    for i, node in enumerate(nodes):
        node.name, node.doc_string = f"{node.op_type}.{i}", ""
        del node.metadata_props[:]
        for part in (node.input, node.output):
            for i, name in enumerate(part):
                part[i] = names.get(name, name)
    for tensor in tensors:
        tensor.name = names.get(tensor.name, tensor.name)
    graph = helper.make_graph(
        nodes,
        "superres",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, channels, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, channels, "H", "W"])],
        tensors,
    )
    result = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="superres",
        ir_version=9,
    )
    try:
        onnx.checker.check_model(result, full_check=False)
    except Exception as exc:  # ValidationError, and what a broken graph makes of it
        raise BadParameter(
            f"The file is no valid ONNX network: {str(exc).strip().splitlines()[0][:160]}"
        ) from exc
    return result


def _constant(node: onnx.NodeProto) -> TensorProto | None:
    """The value of a node ``Constant`` as a tensor, if it is of numbers."""
    (attribute,) = node.attribute if len(node.attribute) == 1 else (None,)
    if attribute is None:
        return None
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        tensor = TensorProto()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
        return tensor
    if attribute.name in ("value_float", "value_floats"):
        return numpy_helper.from_array(np.array(value, np.float32), node.output[0])
    if attribute.name in ("value_int", "value_ints"):
        return numpy_helper.from_array(np.array(value, np.int64), node.output[0])
    return None


def per_channel(model: onnx.ModelProto) -> onnx.ModelProto:
    """Have a network of one channel run on each of three, with the same weights.

    Args:
        model: from :func:`read_onnx`, of one channel.

    Returns:
        The same for ``(1, 3, h, w)``.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    parts = [f"channel{i}.{{}}" for i in range(3)]
    split = helper.make_node(
        "Split",
        ["input"],
        [part.format("input") for part in parts],
        axis=1,
        num_outputs=3,
    )
    nodes = [split]
    for part in parts:
        for node in model.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = part.format(node.name)
            for names in (copy.input, copy.output):
                for i, name in enumerate(names):
                    if name and name not in constants:
                        names[i] = part.format(name)
            nodes.append(copy)
    nodes.append(
        helper.make_node("Concat", [part.format("output") for part in parts], ["output"], axis=1)
    )
    graph = helper.make_graph(
        nodes,
        "superres",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "H", "W"])],
        list(model.graph.initializer),
    )
    return helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        producer_name="superres",
        ir_version=model.ir_version,
    )
