"""The ncnn reader: every layer computes what ncnn computes, everything else is refused."""

import struct
from pathlib import Path

import ncnn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superres.errors import WeightsMissing
from superres.models.ncnn import FLAG_FLOAT16, parse_param, to_onnx
from tests.unit.models.toys import param, picture, run

INPUT = "Input in 0 1 a"
CONV = "Convolution c 1 1 a b 0=3 1=3 4=1 5=1 6=81"
RNG = np.random.default_rng(5)


def plain(*values: np.ndarray | float) -> bytes:
    return b"".join(np.asarray(value, "<f4").tobytes() for value in values)


def single(values: np.ndarray) -> bytes:
    """Flagged weights stored as floats."""
    return struct.pack("<I", 0) + plain(values)


def half(values: np.ndarray) -> bytes:
    """Flagged weights stored as half floats, padded to four bytes."""
    data = values.astype("<f2").tobytes()
    return struct.pack("<I", FLAG_FLOAT16) + data + b"\xff" * (-len(data) % 4)


def in_ncnn(text: str, weights: bytes, image: np.ndarray, folder: Path) -> np.ndarray:
    """The same network in ncnn itself, which reads files only."""
    (folder / "net.param").write_text(text, "ascii")
    (folder / "net.bin").write_bytes(weights)
    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    assert net.load_param(str(folder / "net.param")) == 0
    assert net.load_model(str(folder / "net.bin")) == 0
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], ncnn.Mat(np.ascontiguousarray(image[0])).clone())
    code, result = extractor.extract(net.output_names()[0])
    assert code == 0
    return np.array(result)[None]


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


W33, W1, W5 = some(3, 3, 3, 3), some(3, 3, 1, 1), some(3, 3, 5, 3)
BIAS = some(3)
conv = f"{CONV}"

# name: layers, weights, what it is in numpy (None: compared with ncnn alone)
NETWORKS = {
    "convolution": ([INPUT, CONV], single(W33) + plain(BIAS), None),
    "convolution, half floats": ([INPUT, CONV], half(W33) + plain(BIAS), None),
    "convolution without bias": (
        [INPUT, "Convolution c 1 1 a b 0=3 1=1 6=9"],
        single(W1),
        lambda x: np.einsum("oi,nihw->nohw", W1[..., 0, 0], x),
    ),
    "convolution, half floats of an odd count": (
        [INPUT, "Convolution c 1 1 a b 0=3 1=1 6=9", "ReLU r 1 1 b d"],
        half(W1),
        lambda x: np.maximum(
            np.einsum("oi,nihw->nohw", W1[..., 0, 0].astype(np.float16).astype(np.float32), x), 0
        ),
    ),
    "convolution with rectified output": (
        [INPUT, CONV + " 9=1"],
        single(W33) + plain(BIAS),
        None,
    ),
    "convolution with leaky output": (
        [INPUT, CONV + " 9=2 -23310=1,2.000000e-01"],
        single(W33) + plain(BIAS),
        None,
    ),
    "convolution with spelled-out padding": (
        [INPUT, CONV + " 2=1 3=1 11=3 12=1 13=1 14=1 15=1 16=1"],
        single(W33) + plain(BIAS),
        None,
    ),
    "prelu": (
        [INPUT, "PReLU p 1 1 a b 0=3"],
        plain([0.1, -0.5, 2]),
        lambda x: np.where(x < 0, x * np.float32([0.1, -0.5, 2])[:, None, None], x),
    ),
    "prelu of one slope": (
        [INPUT, "PReLU p 1 1 a b 0=1"],
        plain(0.3),
        lambda x: np.where(x < 0, x * np.float32(0.3), x),
    ),
    "relu": ([INPUT, "ReLU r 1 1 a b"], b"", lambda x: np.maximum(x, 0)),
    "leaky relu": (
        [INPUT, "ReLU r 1 1 a b 0=0.25"],
        b"",
        lambda x: np.where(x < 0, x * np.float32(0.25), x),
    ),
    "sigmoid": ([INPUT, "Sigmoid s 1 1 a b"], b"", lambda x: 1 / (1 + np.exp(-x))),
    "swish": ([INPUT, "Swish s 1 1 a b"], b"", lambda x: x / (1 + np.exp(-x))),
    "split and concat": (
        [INPUT, "Split s 1 2 a b c", "ReLU r 1 1 b d", "Concat j 2 1 c d e 0=0"],
        b"",
        lambda x: np.concatenate([x, np.maximum(x, 0)], 1),
    ),
    "eltwise": (
        [INPUT, "Split s 1 2 a b c", "ReLU r 1 1 b d", "Eltwise e 2 1 c d f 0=1"],
        b"",
        lambda x: x + np.maximum(x, 0),
    ),
    "eltwise with coefficients": (
        [INPUT, "Split s 1 2 a b c", "ReLU r 1 1 b d", "Eltwise e 2 1 d c f 0=1 -23301=2,2e-1,1e0"],
        b"",
        lambda x: np.float32(0.2) * np.maximum(x, 0) + x,
    ),
    "pixel shuffle": (
        [INPUT, "Convolution c 1 1 a b 0=12 1=1 6=36", "PixelShuffle p 1 1 b c 0=2"],
        single(some(36)),
        None,
    ),
    "interp nearest": (
        [INPUT, "Interp i 1 1 a b 0=1 1=2.0 2=2.0"],
        b"",
        lambda x: x.repeat(2, 2).repeat(2, 3),
    ),
    "interp nearest, half": (
        [INPUT, "Interp i 1 1 a b 0=1 1=0.5 2=0.5"],
        b"",
        lambda x: x[:, :, ::2, ::2],
    ),
    "interp linear": ([INPUT, "Interp i 1 1 a b 0=2 1=2.0 2=2.0"], b"", None),
    "interp cubic": ([INPUT, "Interp i 1 1 a b 0=3 1=2.0 2=2.0"], b"", None),
}
for number, sign in enumerate(["add", "sub", "mul"]):
    op = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[sign]
    NETWORKS[f"binary {sign} of two"] = (
        [INPUT, "Split s 1 2 a b c", "ReLU r 1 1 b d", f"BinaryOp o 2 1 c d e 0={number}"],
        b"",
        lambda x, op=op: op(x, np.maximum(x, 0)),
    )
    NETWORKS[f"binary {sign} of a number"] = (
        [INPUT, f"BinaryOp o 1 1 a b 0={number} 1=1 2=-5.000000e-01"],
        b"",
        lambda x, op=op: op(x, np.float32(-0.5)),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_computes_what_ncnn_computes(name, tmp_path):
    layers, weights, reference = NETWORKS[name]
    image = picture(6, 10, 3) * 4 - 2
    got = run(to_onnx(param(*layers), weights, 1), input=image)["output"]
    # ncnn keeps an image's channels apart in memory, so it takes a whole one.
    np.testing.assert_allclose(
        got, in_ncnn(param(*layers), weights, image, tmp_path), rtol=1e-4, atol=1e-5
    )
    if reference is not None:
        np.testing.assert_allclose(got, reference(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sign", ["add", "sub", "mul"])
def test_a_constant_takes_part(sign):
    number = ["add", "sub", "mul"].index(sign)
    layers = [INPUT, "MemoryData m 0 1 k 0=4 1=2 2=3", f"BinaryOp o 2 1 a k b 0={number}"]
    value, image = some(3, 2, 4), picture(2, 4)
    got = run(to_onnx(param(*layers), plain(value), 1), input=image)["output"]
    op = {"add": np.add, "sub": np.subtract, "mul": np.multiply}[sign]
    np.testing.assert_allclose(got, op(image, value), rtol=1e-6)


def test_half_floats_stay_half_in_the_file():
    model = to_onnx(param(INPUT, CONV), half(W33) + plain(BIAS), 1)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert kinds == {"c.weight.half": 10, "c.bias": 1}


GOOD, WEIGHTS = param(INPUT, CONV), single(W33) + plain(BIAS)

BROKEN = {
    "nothing": ("", WEIGHTS, "magic 7767517"),
    "another magic": (GOOD.replace("7767517", "7767518"), WEIGHTS, "magic 7767517"),
    "a layer missing": (GOOD.replace("2 2", "3 2"), WEIGHTS, "promises 3 layers but holds 2"),
    "a layer too many": (GOOD.replace("2 2", "1 2"), WEIGHTS, "promises 1 layers but holds 2"),
    "a blob missing": (GOOD.replace("2 2", "2 3"), WEIGHTS, "promises 3 blobs but holds 2"),
    "counts that are no numbers": (GOOD.replace("2 2", "two"), WEIGHTS, "malformed"),
    "a line cut short": (GOOD.replace("1 1 a b", "1 1 a"), WEIGHTS, "malformed"),
    "a parameter without a value": (GOOD.replace("0=3", "0"), WEIGHTS, "malformed"),
    "a parameter that is no number": (GOOD.replace("0=3", "0=x"), WEIGHTS, "'c' is malformed"),
    "a convolution of nothing": (GOOD.replace("0=3", "0=0"), WEIGHTS, "'c' is malformed"),
    "weights cut short": (GOOD, WEIGHTS[:-1], "shorter than its .param"),
    "no weights": (GOOD, b"", "shorter than its .param"),
    "weights left over": (GOOD, WEIGHTS + b"\0" * 4, "4 bytes of the .bin file are left over"),
    "an unknown flag": (GOOD, b"\1\2\3\4" + WEIGHTS[4:], "storage 0x4030201"),
    "an unknown layer": (GOOD.replace("Convolution", "Softmax"), WEIGHTS, "'Softmax' is not read"),
    "an odd number of weights": (GOOD.replace("6=81", "6=80"), WEIGHTS, "shape that is not read"),
    "a stride": (GOOD.replace("4=1", "4=1 3=2"), WEIGHTS, "shape that is not read"),
    "a vertical stride": (GOOD.replace("4=1", "4=1 13=2"), WEIGHTS, "shape that is not read"),
    "a dilation": (GOOD.replace("4=1", "4=1 2=2"), WEIGHTS, "shape that is not read"),
    "uneven padding": (GOOD.replace("4=1", "4=1 15=0"), WEIGHTS, "shape that is not read"),
    "automatic padding": (GOOD.replace("4=1", "4=-233"), WEIGHTS, "shape that is not read"),
    "whole-number weights": (GOOD.replace("4=1", "4=1 8=2"), WEIGHTS, "shape that is not read"),
    "an unknown activation": (GOOD.replace("4=1", "4=1 9=4"), WEIGHTS, "activation not read"),
    "leaky output without a slope": (GOOD.replace("4=1", "4=1 9=2"), WEIGHTS, "'c' is malformed"),
    "two outputs": (param(INPUT, CONV, "ReLU r 1 1 a d"), WEIGHTS, "2 outputs instead of one"),
    "a blob nobody makes": (param(INPUT, "ReLU r 1 1 x b"), b"", "outputs instead|no network"),
    "a product": (param(INPUT, "Eltwise e 2 1 a a b 0=0"), b"", "not a sum of two"),
    "a quotient": (param(INPUT, "BinaryOp o 2 1 a a b 0=3"), b"", "something not read"),
    "joined rows": (param(INPUT, "Concat j 2 1 a a b 0=1"), b"", "not over channels"),
    "another channel order": (
        param(INPUT, "PixelShuffle p 1 1 a b 0=2 1=1"),
        b"",
        "other channel order",
    ),
    "aligned corners": (param(INPUT, "Interp i 1 1 a b 0=2 1=2 2=2 6=1"), b"", "not read here"),
    "a fixed size": (param(INPUT, "Interp i 1 1 a b 0=2 3=20 4=30"), b"", "not read here"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_understood_is_refused_with_a_reason(name):
    text, weights, reason = BROKEN[name]
    with pytest.raises(WeightsMissing, match=reason):
        to_onnx(text, weights, 1)


@settings(max_examples=300)
@given(st.data())
def test_damage_is_never_more_than_weights_missing(data):
    text = list(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at] = data.draw(st.sampled_from([*"0123456789= -\n,.abx", "", "99999", "é"]))
    try:
        to_onnx("".join(text), WEIGHTS, 1)
    except WeightsMissing as exc:
        assert str(exc).endswith((".", ". "))  # noqa: PT017


def test_parameters_and_arrays_are_read():
    layer = parse_param(GOOD.replace("5=1", "5=1 9=2 -23310=2,0.5,-1e-1"))[1]
    assert (layer.type, layer.name) == ("Convolution", "c")
    assert (len(layer.inputs), len(layer.outputs)) == (1, 1)
    assert (layer.integer(0), layer.integer(7, 9), layer.number(4)) == (3, 9, 1.0)
    assert layer.numbers(10) == [0.5, -0.1]
    assert layer.numbers(11) == []
