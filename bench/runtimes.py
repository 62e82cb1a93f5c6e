"""The peers: the same weights in ONNX Runtime, ncnn and PyTorch, used as well as one can.

Every peer is a network from float32 planes ``(3, h, w)`` in [0, 1] to ``scale`` times larger
ones. ncnn reads the files the weights came in where those are installed; the networks that
this repository keeps as ONNX are written back to ncnn's format. PyTorch interprets the ONNX
graph node by node, which is what its eager mode does with any model.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from superres.models import WeightsFile
from superres.models.weights import load_network

Planes = NDArray[np.float32]
Peer = Callable[[Planes], Planes]


def threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@dataclass(frozen=True)
class Node:
    kind: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Flat:
    """A network with its constants in float32 and without casts and aliases."""

    nodes: tuple[Node, ...]
    constants: dict[str, NDArray[np.float32]]
    input: str
    output: str


def flatten(model: onnx.ModelProto) -> Flat:
    """Fold away what only exists because of the file format."""
    constants = {
        t.name: np.asarray(numpy_helper.to_array(t), np.float32) for t in model.graph.initializer
    }
    alias: dict[str, str] = {}
    nodes = []
    for node in model.graph.node:
        inputs = tuple(alias.get(name, name) for name in node.input)
        if node.op_type in ("Cast", "Identity"):
            alias[node.output[0]] = inputs[0]
            continue
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        nodes.append(Node(node.op_type, inputs, node.output[0], attributes))
    output = model.graph.output[0].name
    return Flat(tuple(nodes), constants, model.graph.input[0].name, alias.get(output, output))


# ---------------------------------------------------------------------- ONNX Runtime


def onnx_runtime(weights: WeightsFile) -> Peer:
    """ONNX Runtime's CPU provider with all its optimisations, float32."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(
        load_network(weights).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda planes: session.run(None, {name: planes[None]})[0][0]


# ------------------------------------------------------------------------------ ncnn


def ncnn_runtime(weights: WeightsFile, *, bf16: bool = False) -> Peer:
    """ncnn on the CPU with its default options; ``bf16`` stores activations in bfloat16."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = threads()
    net.opt.use_bf16_storage = bf16
    with tempfile.TemporaryDirectory() as folder:
        if weights.package is not None:
            spec = importlib.util.find_spec(weights.package)
            assert spec is not None
            assert spec.submodule_search_locations
            binary = Path(spec.submodule_search_locations[0]) / (weights.path or "")
            param = binary.with_suffix(".param")
        else:
            param, binary = write_ncnn(flatten(load_network(weights)), Path(folder))
        if net.load_param(str(param)) or net.load_model(str(binary)):
            raise RuntimeError(f"ncnn does not read {param}")

    def run(planes: Planes) -> Planes:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(planes).clone())
        code, result = extractor.extract(net.output_names()[0])
        if code:
            raise RuntimeError(f"ncnn failed with {code}")
        return np.array(result)

    return run


_BINARY = {"Add": 0, "Sub": 1, "Mul": 2}


def write_ncnn(network: Flat, folder: Path) -> tuple[Path, Path]:
    """Write ``network`` as ncnn files; layers and parameters as in ncnn's documentation."""
    uses = Counter(name for node in network.nodes for name in node.inputs)
    taken: Counter[str] = Counter()
    lines: list[str] = []
    blobs = 0
    data: list[bytes] = []

    def layer(kind: str, name: str, inputs: list[str], outputs: list[str], *about: str) -> None:
        nonlocal blobs
        blobs += len(outputs)
        counts = (str(len(inputs)), str(len(outputs)))
        lines.append(" ".join([kind, name, *counts, *inputs, *outputs, *about]))

    def made(name: str) -> None:
        # A blob feeds one layer; for more there is a Split.
        if uses[name] > 1:
            copies = [f"{name}_copy{i}" for i in range(uses[name])]
            layer("Split", f"split_{name}", [name], copies)

    def take(name: str) -> str:
        if uses[name] <= 1:
            return name
        taken[name] += 1
        return f"{name}_copy{taken[name] - 1}"

    layer("Input", "in", [], [network.input])
    made(network.input)
    for index, node in enumerate(network.nodes):
        name, out = f"layer{index}", [node.output]
        fixed = [network.constants.get(i) for i in node.inputs]
        source = [take(i) for i, value in zip(node.inputs, fixed, strict=True) if value is None]
        match node.kind:
            case "Conv":
                weight = fixed[1]
                assert weight is not None
                layer(
                    "Convolution",
                    name,
                    source,
                    out,
                    f"0={weight.shape[0]}",
                    f"1={weight.shape[2]}",
                    f"4={node.attributes['pads'][0]}",
                    f"5={int(len(fixed) > 2)}",
                    f"6={weight.size}",
                )
                data += [bytes(4), *(value.tobytes() for value in fixed[1:] if value is not None)]
            case "PRelu":
                assert fixed[1] is not None
                layer("PReLU", name, source, out, f"0={fixed[1].size}")
                data.append(fixed[1].tobytes())
            case "LeakyRelu":
                layer("ReLU", name, source, out, f"0={node.attributes['alpha']}")
            case "Concat" | "Sigmoid":
                layer(node.kind, name, source, out)
            case "DepthToSpace":
                layer("PixelShuffle", name, source, out, f"0={node.attributes['blocksize']}")
            case "Resize" if node.attributes["mode"] == b"nearest":
                factor = next(v for v in fixed[1:] if v is not None and v.size == 4)[-1]
                source = [s for s in source if s]
                layer("Interp", name, source, out, "0=1", f"1={factor}", f"2={factor}")
            case "Add" | "Sub" | "Mul":
                kind = f"0={_BINARY[node.kind]}"
                value = fixed[1]
                if value is not None and value.size == 1:
                    layer("BinaryOp", name, source, out, kind, "1=1", f"2={value.item()}")
                    made(node.output)
                    continue
                if value is not None:
                    held = f"{name}_constant"
                    layer("MemoryData", held, [], [held], "0=1", "1=1", f"2={value.size}")
                    data.append(value.tobytes())
                    source.append(held)
                layer("BinaryOp", name, source, out, kind)
            case _:
                raise NotImplementedError(node.kind)
        made(node.output)
    param, binary = folder / "network.param", folder / "network.bin"
    param.write_text("\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n")
    binary.write_bytes(b"".join(data))
    return param, binary


# --------------------------------------------------------------------------- PyTorch


def torch_runtime(weights: WeightsFile, *, bf16: bool) -> Peer:
    """PyTorch's eager mode, channels last; ``bf16`` under autocast."""
    import torch

    torch.set_num_threads(threads())
    network = flatten(load_network(weights))
    constants = {name: torch.from_numpy(v.copy()) for name, v in network.constants.items()}
    for node in network.nodes:
        if node.kind == "Conv":
            weight = constants[node.inputs[1]]
            constants[node.inputs[1]] = weight.contiguous(memory_format=torch.channels_last)
    last = {name: i for i, node in enumerate(network.nodes) for name in node.inputs}

    def run(planes: Planes) -> Planes:
        image = torch.from_numpy(planes)[None].contiguous(memory_format=torch.channels_last)
        values = {**constants, network.input: image}
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for index, node in enumerate(network.nodes):
                inputs = [values[name] for name in node.inputs if name]
                values[node.output] = in_torch(node, inputs)
                for name in node.inputs:  # what nobody needs any more is freed
                    if last[name] == index and name not in constants:
                        values.pop(name, None)
        return values[network.output][0].float().contiguous().numpy()

    return run


def in_torch(node: Node, inputs: list[Any]) -> Any:
    """One node of a network, in eager mode."""
    import torch
    from torch.nn import functional

    match node.kind:
        case "Conv":
            return functional.conv2d(*inputs, padding=node.attributes["pads"][0])
        case "PRelu":
            return functional.prelu(inputs[0], inputs[1].flatten().to(inputs[0].dtype))
        case "LeakyRelu":
            return functional.leaky_relu(inputs[0], node.attributes["alpha"])
        case "Sigmoid":
            return torch.sigmoid(inputs[0])
        case "Concat":
            return torch.cat(inputs, node.attributes["axis"])
        case "Add":
            return inputs[0] + inputs[1]
        case "Sub":
            return inputs[0] - inputs[1]
        case "Mul":
            return inputs[0] * inputs[1]
        case "DepthToSpace":
            return functional.pixel_shuffle(inputs[0], node.attributes["blocksize"])
        case "Resize":
            factor = float(inputs[-1][-1])
            if node.attributes["mode"] == b"nearest":
                return functional.interpolate(inputs[0], scale_factor=factor, mode="nearest")
            mode = {b"cubic": "bicubic", b"linear": "bilinear"}[node.attributes["mode"]]
            return functional.interpolate(inputs[0], scale_factor=factor, mode=mode)
        case _:
            raise NotImplementedError(node.kind)
