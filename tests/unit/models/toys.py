"""Tiny networks, made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


def param(*layers: str) -> str:
    """The text of a ``.param`` file with the layers ``layers``, its counts right."""
    outputs = sum(int(layer.split()[3]) for layer in layers)
    return "\n".join(["7767517", f"{len(layers)} {outputs}", *layers]) + "\n"


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of ``model`` in ONNX Runtime, by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def network(
    scale: int, nodes: Sequence[onnx.NodeProto], **constants: np.ndarray
) -> onnx.ModelProto:
    """A network from ``input`` to ``output``, ``(1, 3, h, w)`` to ``scale`` times that."""
    graph = helper.make_graph(
        list(nodes),
        "toy",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "H", "W"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def nearest(scale: int, *after: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """Enlarges by repeating pixels into ``near``, then does ``after`` (into ``output``)."""
    kernel = np.zeros((3, scale * scale, 3, 1, 1), np.float32)
    for c in range(3):
        kernel[c, :, c] = 1
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["mixed"]),
        helper.make_node("DepthToSpace", ["mixed"], ["near"], blocksize=scale, mode="CRD"),
        *(after or [helper.make_node("Identity", ["near"], ["output"])]),
    ]
    kernel = kernel.reshape(-1, 3, 1, 1)
    return network(scale, nodes, kernel=kernel, **constants)


def shifted(scale: int, by: np.ndarray) -> onnx.ModelProto:
    """Repeats pixels and adds ``by``, which broadcasts to ``(1, 3, H, W)``."""
    return nearest(
        scale, helper.make_node("Add", ["near", "by"], ["output"]), by=by.astype(np.float32)
    )


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random noise in [0, 1], ``(1, 3, h, w)`` float32."""
    return np.random.default_rng(seed).random((1, 3, height, width), np.float32)


def smooth(height: int, width: int, seed: int = 0, cells: int = 4) -> np.ndarray:
    """Soft blobs in [0.1, 0.9], ``(1, 3, h, w)`` float32."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    planes = [
        Image.fromarray(rng.random((cells, cells), np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        for _ in range(3)
    ]
    return 0.1 + 0.8 * np.stack([np.asarray(plane) for plane in planes])[None]
