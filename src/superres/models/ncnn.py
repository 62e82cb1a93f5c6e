"""Read networks in ncnn's ``.param`` + ``.bin`` form and turn them into ONNX.

Most published super-resolution weights that can be had without a model hub are in
ncnn's format. ONNX is the neutral graph everything above works with.

The format, as ncnn's own loader reads it (``param_id``, ``modelbin.cpp`` in
github.com/Tencent/ncnn): ``.param`` is text with the magic 7767517, a line with the
counts of layers and blobs, then a line per layer: ``type name n_in n_out inputs…
outputs… key=value…``. ``.bin`` holds the weights in layer order. A convolution's
weights start with a four-byte flag: ``0x01306B47`` says that IEEE half floats follow,
padded to four bytes, 0 that plain floats follow. Biases, PReLU slopes and constants
are plain floats without a flag. All little-endian.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from superres.errors import WeightsMissing

MAGIC = "7767517"
FLAG_FLOAT16 = 0x01306B47
FLAG_FLOAT32 = 0
OPSET = 18
"""ONNX operator set of the graphs; 18 is read by OpenVINO, ONNX Runtime and torch alike."""


@dataclass(frozen=True)
class Layer:
    """One line of a ``.param`` file."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: dict[int, str] = field(default_factory=dict)

    def integer(self, key: int, default: int = 0) -> int:
        return int(self.params.get(key, default))

    def number(self, key: int, default: float = 0.0) -> float:
        return float(self.params.get(key, default))

    def numbers(self, key: int) -> list[float]:
        """Array parameter ``key``, written as ``-233KK=count,v1,v2…`` with KK = key."""
        text = self.params.get(-23300 - key)
        return [] if text is None else [float(v) for v in text.split(",")[1:]]


def parse_param(text: str) -> list[Layer]:
    """Parse a ``.param`` file. Raises WeightsMissing if it is not one."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0] != [MAGIC]:
        raise WeightsMissing("The .param file does not begin with ncnn's magic 7767517.")
    layers = []
    try:
        count, blobs = int(lines[1][0]), int(lines[1][1])
        for words in lines[2:]:
            kind, name, n_in, n_out = words[0], words[1], int(words[2]), int(words[3])
            if min(n_in, n_out) < 0 or len(words) < 4 + n_in + n_out:
                raise ValueError(f"layer {name!r} names fewer blobs than it promises")
            # The prefix keeps ncnn's names apart from the graph's own "input" and "output".
            names = ["ncnn." + word for word in words[4 : 4 + n_in + n_out]]
            inputs, outputs = tuple(names[:n_in]), tuple(names[n_in:])
            pairs = (word.split("=", 1) for word in words[4 + n_in + n_out :])
            layers.append(Layer(kind, name, inputs, outputs, {int(k): v for k, v in pairs}))
    except (ValueError, IndexError) as exc:
        raise WeightsMissing(f"The .param file is malformed: {exc}.") from exc
    if len(layers) != count:
        raise WeightsMissing(f"The .param file promises {count} layers but holds {len(layers)}.")
    found = sum(len(layer.outputs) for layer in layers)
    if found != blobs:
        raise WeightsMissing(f"The .param file promises {blobs} blobs but holds {found}.")
    return layers


class _Weights:
    """The ``.bin`` file, consumed front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, nbytes: int) -> bytes:
        chunk = self._data[self._at : self._at + max(0, nbytes)]
        if len(chunk) != nbytes:
            raise WeightsMissing("The .bin file is shorter than its .param file says.")
        self._at += nbytes
        return chunk

    def plain(self, count: int) -> NDArray[np.float32]:
        return np.frombuffer(self._take(4 * count), "<f4").astype(np.float32)

    def flagged(self, count: int) -> NDArray[np.float16] | NDArray[np.float32]:
        flag = int.from_bytes(self._take(4), "little")
        if flag == FLAG_FLOAT32:
            return self.plain(count)
        if flag == FLAG_FLOAT16:
            padded = self._take((2 * count + 3) // 4 * 4)
            return np.frombuffer(padded, "<f2", count).astype(np.float16)
        raise WeightsMissing(
            f"The .bin file uses weight storage {flag:#x}, which is not read here."
        )

    @property
    def left(self) -> int:
        return len(self._data) - self._at


class _Builder:
    """Collects ONNX nodes; ``alias`` follows ncnn's Split layers, which only rename."""

    def __init__(self, weights: _Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.alias: dict[str, str] = {}

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        """Store ``value``; half floats stay half in the file and are cast where used."""
        if value.dtype == np.float16:
            self.initializers.append(numpy_helper.from_array(value, name + ".half"))
            self.add("Cast", [name + ".half"], name, to=TensorProto.FLOAT)
        else:
            self.initializers.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def source(self, layer: Layer, index: int = 0) -> str:
        name = layer.inputs[index]
        return self.alias.get(name, name)


def _convolution(b: _Builder, layer: Layer) -> None:
    out, kernel, count = layer.integer(0), layer.integer(1), layer.integer(6)
    kernel_h = layer.integer(11, kernel)
    stride, dilation, pad = layer.integer(3, 1), layer.integer(2, 1), layer.integer(4)
    channels = count // (out * kernel * kernel_h)
    plain = (
        {stride, layer.integer(13, stride), dilation, layer.integer(12, dilation)} == {1}
        and {layer.integer(key, pad) for key in (14, 15, 16)} == {pad}
        and pad >= 0
        and layer.number(18) == 0  # zeros outside
        and layer.integer(8) == 0  # not quantised
    )
    if channels * out * kernel * kernel_h != count or channels < 1 or not plain:
        raise WeightsMissing(f"Convolution {layer.name!r} has a shape that is not read here.")
    shape = (out, channels, kernel_h, kernel)
    names = [
        b.source(layer),
        b.constant(layer.name + ".weight", b.weights.flagged(count).reshape(shape)),
    ]
    if layer.integer(5):
        names.append(b.constant(layer.name + ".bias", b.weights.plain(out)))
    activation, output = layer.integer(9), layer.outputs[0]
    target = output if activation == 0 else output + ".linear"
    b.add("Conv", names, target, kernel_shape=[kernel_h, kernel], pads=[pad] * 4)
    if activation == 1:
        b.add("Relu", [target], output)
    elif activation == 2:
        b.add("LeakyRelu", [target], output, alpha=layer.numbers(10)[0])
    elif activation != 0:
        raise WeightsMissing(f"Convolution {layer.name!r} has an activation not read here.")


def _prelu(b: _Builder, layer: Layer) -> None:
    slope = b.weights.plain(layer.integer(0)).reshape(-1, 1, 1)
    b.add("PRelu", [b.source(layer), b.constant(layer.name + ".slope", slope)], layer.outputs[0])


def _relu(b: _Builder, layer: Layer) -> None:
    slope = layer.number(0)
    if slope:
        b.add("LeakyRelu", [b.source(layer)], layer.outputs[0], alpha=slope)
    else:
        b.add("Relu", [b.source(layer)], layer.outputs[0])


def _concat(b: _Builder, layer: Layer) -> None:
    if layer.integer(0):
        raise WeightsMissing(f"Concat {layer.name!r} is not over channels.")
    names = [b.source(layer, i) for i in range(len(layer.inputs))]
    b.add("Concat", names, layer.outputs[0], axis=1)


def _eltwise(b: _Builder, layer: Layer) -> None:
    if layer.integer(0) != 1 or len(layer.inputs) != 2:
        raise WeightsMissing(f"Eltwise {layer.name!r} is not a sum of two.")
    names = [b.source(layer, i) for i in range(2)]
    for i, factor in enumerate(layer.numbers(1)):
        if factor != 1.0:
            scalar = b.constant(f"{layer.name}.coeff{i}", np.array(factor, np.float32))
            names[i] = b.add("Mul", [names[i], scalar], f"{layer.outputs[0]}.scaled{i}")
    b.add("Add", names, layer.outputs[0])


def _binary(b: _Builder, layer: Layer) -> None:
    op = {0: "Add", 1: "Sub", 2: "Mul"}.get(layer.integer(0))
    if op is None:
        raise WeightsMissing(f"BinaryOp {layer.name!r} does something not read here.")
    if layer.integer(1):
        scalar = np.array(layer.number(2), np.float32)
        second = b.constant(layer.name + ".scalar", scalar)
    else:
        second = b.source(layer, 1)
    b.add(op, [b.source(layer), second], layer.outputs[0])


def _interp(b: _Builder, layer: Layer) -> None:
    mode = {1: "nearest", 2: "linear", 3: "cubic"}.get(layer.integer(0))
    scale_h, scale_w = layer.number(1, 1.0), layer.number(2, 1.0)
    if mode is None or layer.integer(6) or layer.integer(3) or layer.integer(4):
        raise WeightsMissing(f"Interp {layer.name!r} does something not read here.")
    scales = b.constant(layer.name + ".scales", np.array([1, 1, scale_h, scale_w], np.float32))
    attributes: dict[str, Any] = {"coordinate_transformation_mode": "half_pixel"}
    if mode == "nearest":  # ncnn takes floor(i / scale)
        attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    elif mode == "cubic":
        attributes["cubic_coeff_a"] = -0.75
    b.add("Resize", [b.source(layer), "", scales], layer.outputs[0], mode=mode, **attributes)


def _pixel_shuffle(b: _Builder, layer: Layer) -> None:
    if layer.integer(1):
        raise WeightsMissing(f"PixelShuffle {layer.name!r} uses the other channel order.")
    b.add(
        "DepthToSpace",
        [b.source(layer)],
        layer.outputs[0],
        blocksize=layer.integer(0, 1),
        mode="CRD",
    )


def _sigmoid(b: _Builder, layer: Layer) -> None:
    b.add("Sigmoid", [b.source(layer)], layer.outputs[0])


def _swish(b: _Builder, layer: Layer) -> None:
    gate = b.add("Sigmoid", [b.source(layer)], layer.outputs[0] + ".gate")
    b.add("Mul", [b.source(layer), gate], layer.outputs[0])


def _memory_data(b: _Builder, layer: Layer) -> None:
    width, height, channels = layer.integer(0), layer.integer(1), layer.integer(2)
    shape = [n for n in (channels, height, width) if n]
    b.constant(layer.outputs[0], b.weights.plain(int(np.prod(shape))).reshape(shape))


def _split(b: _Builder, layer: Layer) -> None:
    for output in layer.outputs:
        b.alias[output] = b.source(layer)


_LAYERS: dict[str, Callable[[_Builder, Layer], None]] = {
    "BinaryOp": _binary,
    "Concat": _concat,
    "Convolution": _convolution,
    "Eltwise": _eltwise,
    "Interp": _interp,
    "MemoryData": _memory_data,
    "PReLU": _prelu,
    "PixelShuffle": _pixel_shuffle,
    "ReLU": _relu,
    "Sigmoid": _sigmoid,
    "Split": _split,
    "Swish": _swish,
}


def to_onnx(param: str, weights: bytes, scale: int) -> onnx.ModelProto:
    """Convert one ncnn network to ONNX.

    Args:
        param: text of the ``.param`` file.
        weights: content of the ``.bin`` file; every byte must be used.
        scale: how many times larger the output's sides are, for the declared shapes.

    Returns:
        A checked model with one input ``input`` (float32, ``(1, 3, h, w)``, RGB in
        [0, 1]) and one output ``output`` (float32, ``(1, 3, h·scale, w·scale)``).

    Raises:
        WeightsMissing: a layer, parameter or storage form that is not read here, or
            files that do not belong together.
    """
    layers = parse_param(param)
    builder = _Builder(_Weights(weights))
    consumed: set[str] = set()
    for layer in layers:
        consumed.update(layer.inputs)
        if layer.type == "Input" and layer.outputs:
            builder.alias[layer.outputs[0]] = "input"
        elif layer.type in _LAYERS:
            try:
                _LAYERS[layer.type](builder, layer)
            except (ValueError, IndexError, ArithmeticError) as exc:
                raise WeightsMissing(f"Layer {layer.name!r} is malformed: {exc}.") from exc
        else:
            raise WeightsMissing(f"Layer type {layer.type!r} is not read here.")
    if builder.weights.left:
        raise WeightsMissing(
            f"{builder.weights.left} bytes of the .bin file are left over: "
            "it does not belong to this .param file."
        )
    ends = [name for layer in layers for name in layer.outputs if name not in consumed]
    if len(ends) != 1:
        raise WeightsMissing(f"The network has {len(ends)} outputs instead of one.")
    builder.add("Identity", [builder.alias.get(ends[0], ends[0])], "output")
    graph = helper.make_graph(
        builder.nodes,
        "superres",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            helper.make_tensor_value_info(
                "output", TensorProto.FLOAT, [1, 3, f"{scale}h", f"{scale}w"]
            )
        ],
        builder.initializers,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="superres",
        ir_version=9,
    )
    try:
        onnx.checker.check_model(model, full_check=False)
    except onnx.checker.ValidationError as exc:
        raise WeightsMissing(f"The .param file is no network: {exc}".splitlines()[0]) from exc
    return model
