"""The networks themselves: our graphs against another runtime, shipped precision against f32."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import ncnn
import numpy as np
import onnxruntime
import openvino as ov
import pytest
from numpy.typing import NDArray

from superres.models import get_model, list_models
from superres.models.weights import load_network
from superres.pipeline import UpscaleOptions, Upscaler
from superres.settings import load
from tests.pictures.measures import psnr

NETWORKS = [(model.name, weights.scale) for model in list_models() for weights in model.weights]
SIDE = 48


def _weights(name: str, scale: int):
    return next(w for w in get_model(name).weights if w.scale == scale)


@cache
def _compiled(name: str, scale: int, precision: str, side: int) -> ov.CompiledModel:
    core = ov.Core()
    model = core.read_model(load_network(_weights(name, scale)).SerializeToString())
    model.reshape([1, 3, side, side])
    return core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})


def _openvino(name: str, scale: int, image: NDArray, precision: str) -> NDArray[np.float32]:
    return _compiled(name, scale, precision, image.shape[2])([image[None]])[0][0]


def _reference_onnxruntime(name: str, scale: int, image: NDArray) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    # No fused or reordered arithmetic: the graph as it is written.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        load_network(_weights(name, scale)).SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
    )
    return session.run(None, {"input": image[None]})[0][0]


def _reference_ncnn(name: str, scale: int, image: NDArray) -> NDArray[np.float32]:
    """ncnn on the very files the weights came in: also a check of our reader."""
    weights = _weights(name, scale)
    spec = importlib.util.find_spec(weights.package)
    binary = Path(spec.submodule_search_locations[0]) / weights.path
    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 2
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    net.opt.use_winograd_convolution = False
    net.opt.use_sgemm_convolution = True
    assert net.load_param(str(binary.with_suffix(".param"))) == 0
    assert net.load_model(str(binary)) == 0
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(image)).clone())
    code, result = extractor.extract(net.output_names()[0])
    assert code == 0
    return np.array(result)


def _planes(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(picture.transpose(2, 0, 1).astype(np.float32) / 255)


@pytest.fixture(scope="module")
def crops(photos) -> dict[str, NDArray[np.float32]]:
    """Planes in [0, 1]: a face, a cup's rim against wood, fur."""
    return {
        "astronaut": _planes(photos["astronaut"][60 : 60 + SIDE, 190 : 190 + SIDE]),
        "coffee": _planes(photos["coffee"][180 : 180 + SIDE, 250 : 250 + SIDE]),
        "chelsea": _planes(photos["chelsea"][100 : 100 + SIDE, 180 : 180 + SIDE]),
    }


@pytest.mark.parametrize("photo", ["astronaut", "coffee"])
@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_graph_equals_another_runtime(crops, name, scale, photo):
    image = crops[photo]
    packaged = _weights(name, scale).package is not None
    reference = (_reference_ncnn if packaged else _reference_onnxruntime)(name, scale, image)
    ours = _openvino(name, scale, image, "f32")
    assert ours.shape == reference.shape == (3, SIDE * scale, SIDE * scale)
    assert reference.std() > 0.02
    assert 255 * np.abs(ours - reference).max() <= 1


@pytest.fixture(scope="module")
def precision(upscaler) -> str:
    if upscaler.precision == "f32":
        pytest.skip("the engine chose f32 on this processor: there is no other precision to check")
    return upscaler.precision


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize(("name", "scale"), NETWORKS)
def test_shipped_precision_is_invisible(crops, precision, name, scale, photo):
    image = crops[photo]
    exact, shipped = (_openvino(name, scale, image, p) for p in ("f32", precision))
    assert psnr(shipped, exact, peak=1) >= 60


@pytest.fixture(scope="module")
def exact_upscaler(isolated_settings):
    with Upscaler(load(overrides={"engine.precision": "f32"})) as made:
        yield made


@pytest.mark.parametrize("model", [model.name for model in list_models()])
def test_shipped_precision_is_invisible_with_all_that_is_around_the_network(
    crops, precision, upscaler, exact_upscaler, model
):
    for image in crops.values():
        picture = np.ascontiguousarray(image.transpose(1, 2, 0))
        options = UpscaleOptions(model=model)
        shipped, exact = (u.upscale_pixels(picture, options) for u in (upscaler, exact_upscaler))
        assert psnr(shipped, exact, peak=1) >= 60
