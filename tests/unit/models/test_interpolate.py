"""What lies between two networks."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from superres.errors import BadParameter
from superres.models import get_model
from superres.models.interpolate import interpolated
from superres.models.ncnn import to_onnx
from superres.models.weights import load_network
from tests.unit.models.toys import nearest, network, param, picture, run


def conv(seed: int, *, bias: bool = True, half: bool = False, names: str = "") -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    weights = {f"{names}w": rng.standard_normal((3, 3, 3, 3)).astype(np.float32)}
    inputs = ["input", f"{names}w"]
    nodes = []
    if half:
        weights = {f"{names}h": weights[f"{names}w"].astype(np.float16)}
        nodes.append(helper.make_node("Cast", [f"{names}h"], [f"{names}w"], to=1))
    if bias:
        weights[f"{names}b"] = rng.standard_normal(3).astype(np.float32)
        inputs.append(f"{names}b")
    nodes.append(helper.make_node("Conv", inputs, [f"{names}y"], pads=[1] * 4))
    nodes.append(helper.make_node("Identity", [f"{names}y"], ["output"]))
    return network(1, nodes, **weights)


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_a_linear_network_gives_the_mean_of_both(share):
    a, b = conv(1), conv(2, names="theirs.")
    image = picture(8, 9)
    got = run(interpolated(a, b, share), input=image)["output"]
    one, two = (run(each, input=image)["output"] for each in (a, b))
    np.testing.assert_allclose(got, (1 - share) * one + share * two, atol=1e-5)


def test_how_weights_are_stored_does_not_matter():
    a, b = conv(1, half=True), conv(2)
    image = picture(8, 9)
    got = run(interpolated(a, b, 0.5), input=image)["output"]
    one, two = (run(each, input=image)["output"] for each in (a, b))
    np.testing.assert_allclose(got, 0.5 * one + 0.5 * two, atol=1e-5)


def test_neither_is_changed():
    a, b = conv(1), conv(2)
    before = a.SerializeToString(), b.SerializeToString()
    interpolated(a, b, 0.5)
    assert (a.SerializeToString(), b.SerializeToString()) == before


@pytest.mark.parametrize(
    "other",
    [
        conv(2, bias=False),
        nearest(1),
        nearest(2),
        network(1, [helper.make_node("Relu", ["input"], ["output"])]),
    ],
    ids=["no bias", "another", "another scale", "no weights"],
)
def test_two_architectures(other):
    with pytest.raises(BadParameter, match="different architectures"):
        interpolated(conv(1), other, 0.5)


def test_attributes_count():
    a = network(1, [helper.make_node("LeakyRelu", ["input"], ["output"], alpha=0.1)])
    b = network(1, [helper.make_node("LeakyRelu", ["input"], ["output"], alpha=0.2)])
    with pytest.raises(BadParameter, match="different architectures"):
        interpolated(a, b, 0.5)
    assert interpolated(a, a, 0.5).graph.node


def test_sizes_that_are_written_down_must_be_the_same():
    def shaped(rows: int) -> onnx.ModelProto:
        nodes = [helper.make_node("Reshape", ["input", "shape"], ["output"])]
        return network(1, nodes, shape=np.array([1, 3, rows, -1]))

    with pytest.raises(BadParameter, match="differently"):
        interpolated(shaped(4), shaped(8), 0.5)


def test_the_shipped_networks_of_one_architecture():
    general = load_network(get_model("general").weights[0])
    same = interpolated(general, general, 0.4)
    image = picture(16, 16)
    np.testing.assert_allclose(
        run(same, input=image)["output"], run(general, input=image)["output"], atol=1e-4
    )
    for name in ("anime-video", "faithful", "photo"):
        weights = max(get_model(name).weights, key=lambda each: each.scale)
        with pytest.raises(BadParameter, match="different architectures"):
            interpolated(general, load_network(weights), 0.5)


def test_slopes_of_two_shapes():
    """ncnn's are (c, 1, 1) here, PyTorch's exporter writes the same or (c,)."""
    text = param("Input in 0 1 a", "PReLU p 1 1 a b 0=3")
    ours = to_onnx(text, np.array([0.1, 0.2, 0.3], "<f4").tobytes(), 1)
    slope = numpy_helper.from_array(np.full((3, 1, 1, 1), 0.5, np.float32)[:, 0], "slope")
    theirs = network(1, [helper.make_node("PRelu", ["input", "slope"], ["output"])])
    theirs.graph.initializer.append(slope)
    image = picture(4, 4) - 0.5
    got = run(interpolated(ours, theirs, 0.5), input=image)["output"]
    slopes = np.array([0.3, 0.35, 0.4], np.float32)[:, None, None]
    np.testing.assert_allclose(got, np.where(image < 0, image * slopes, image), rtol=1e-5)
