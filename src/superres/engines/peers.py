"""Other runtimes with the same weights, used as people use them: for comparison only.

Each loader gives a function from a photo, uint8 ``(h, w, 3)``, to one that is ``scale`` times
larger. Nothing of superres' own work is in it: no colour lock, no guard, no mixing.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superres.errors import EngineUnavailable
from superres.models import ModelDescriptor, WeightsFile
from superres.models.weights import load_network

Photo = NDArray[np.uint8]
Planes = NDArray[np.float32]
Enlarge = Callable[[Photo], Photo]

TILE, PAD = 192, 10
"""Large networks are given tiles of this side with so much around, as the well-known command
line tools do; whole pictures would need gigabytes."""


def onnx_runtime(model: ModelDescriptor, scale: int) -> Enlarge:
    """ONNX Runtime's CPU provider with all its optimisations, float32.

    Raises:
        EngineUnavailable: it is not installed.
        WeightsMissing: the model's weights are not.
    """
    weights = model.weights_for(scale)
    try:
        import onnxruntime  # type: ignore[import-untyped, unused-ignore]
    except ImportError as exc:
        raise EngineUnavailable("ONNX Runtime is not installed (onnxruntime).") from exc
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(
        load_network(weights).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name

    def compute(planes: Planes) -> Planes:
        found: list[Any] = session.run(None, {name: planes[None]})
        return np.asarray(found[0][0])

    return enlarger(compute, model, weights)


def ncnn(model: ModelDescriptor, scale: int) -> Enlarge:
    """Ncnn on the CPU with its default options, from the files the weights came in.

    Raises:
        EngineUnavailable: it is not installed, or these weights are not kept as its files.
        WeightsMissing: the package with the weights is not installed.
    """
    weights = model.weights_for(scale)
    if weights.package is None or weights.path is None:
        raise EngineUnavailable("These weights are not kept as files of ncnn.")
    spec = importlib.util.find_spec(weights.package)
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailable(f"The package {weights.package} is not installed.")
    binary = Path(spec.submodule_search_locations[0]) / weights.path
    return enlarger(ncnn_files(binary.with_suffix(".param"), binary), model, weights)


def ncnn_files(param: Path, binary: Path) -> Callable[[Planes], Planes]:
    """A network of ncnn, from planes ``(3, h, w)`` in [0, 1] to larger ones.

    Raises:
        EngineUnavailable: ncnn is not installed or does not read the files.
    """
    try:
        import ncnn as runtime
    except ImportError as exc:
        raise EngineUnavailable("ncnn is not installed (ncnn).") from exc
    net = runtime.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = _threads()
    if net.load_param(str(param)) or net.load_model(str(binary)):
        raise EngineUnavailable(f"ncnn does not read {param.name}.")

    def compute(planes: Planes) -> Planes:
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], runtime.Mat(planes).clone())
        code, result = extractor.extract(net.output_names()[0])
        if code:
            raise EngineUnavailable(f"ncnn failed with {code}.")
        return np.array(result)

    return compute


def enlarger(
    compute: Callable[[Planes], Planes], model: ModelDescriptor, weights: WeightsFile
) -> Enlarge:
    """What people write around a network: planes, tiles for large ones, 8 bits, reduction.

    Args:
        compute: from planes ``(3, h, w)`` in [0, 1] to ``weights.scale`` times larger ones.
        model: whose network it is; one with soft seams is given tiles.
        weights: which the network has.
    """
    scale, tiled = weights.scale, model.ramp > 0

    def enlarge(photo: Photo) -> Photo:
        planes = np.ascontiguousarray(photo.transpose(2, 0, 1).astype(np.float32) / 255)
        _, height, width = planes.shape
        out = np.empty((height * scale, width * scale, 3), np.uint8)
        rows, columns = (max(1, -(-n // TILE)) if tiled else 1 for n in (height, width))
        for y in range(rows):
            for x in range(columns):
                top, bottom = y * height // rows, (y + 1) * height // rows
                left, right = x * width // columns, (x + 1) * width // columns
                y0, y1 = max(0, top - PAD), min(height, bottom + PAD)
                x0, x1 = max(0, left - PAD), min(width, right + PAD)
                result = compute(np.ascontiguousarray(planes[:, y0:y1, x0:x1]))
                inside = result[
                    :,
                    (top - y0) * scale : (bottom - y0) * scale,
                    (left - x0) * scale : (right - x0) * scale,
                ]
                block = np.rint(np.clip(inside, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
                out[top * scale : bottom * scale, left * scale : right * scale] = block
        return out

    return enlarge


def _threads() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
