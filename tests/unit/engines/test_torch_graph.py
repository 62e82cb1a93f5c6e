"""ONNX in PyTorch: every operator against ONNX's own reference, and what is made of a graph."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from superres.errors import EngineUnavailable
from superres.models.listing import read_listing

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")

from superres.engines import torch_resize  # noqa: E402
from superres.engines.torch_graph import TorchGraph  # noqa: E402
from superres.engines.torch_ops import OPERATORS  # noqa: E402

H, W = 12, 10
RANDOM = np.random.default_rng(7)


def values(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*numbers):
    return np.array(numbers, np.int64)


def model(nodes, constants, outputs=("out",), prefix="", opset=18):
    """A graph over ``image``, (1, 3, 12, 10); ``nodes`` are (kind, inputs, outputs, attributes)."""

    def name(each):
        return prefix + each if each and each not in ("image", *outputs) else each

    made = [
        helper.make_node(kind, [name(n) for n in into], [name(n) for n in out], **attributes)
        for kind, into, out, attributes in nodes
    ]
    graph = helper.make_graph(
        made,
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, H, W])],
        [helper.make_empty_tensor_value_info(each) for each in outputs],
        [numpy_helper.from_array(value, name(key)) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def computed(made, image, dtype=torch.float32, *, last=False):
    listing = read_listing(made.SerializeToString())
    graph = TorchGraph(listing, (H, W), torch.device("cpu"), dtype, channels_last=last)
    with torch.inference_mode():
        return {k: v.numpy() for k, v in graph(torch.from_numpy(image)).items()}


def one(kind, *others, opset=18, **attributes):
    """A case: the operator on the image and ``others``, constants or None."""
    return kind, others, attributes, opset


POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
HALF = {"coordinate_transformation_mode": "half_pixel"}
CASES = {
    "Abs": one("Abs"),
    "Add": one("Add", values(3, 1, 1)),
    "ArgMax": one("ArgMax", axis=1, keepdims=0),
    "AveragePool": one("AveragePool", **POOL, pads=[1, 1, 1, 1]),
    "AveragePool padded": one("AveragePool", **POOL, pads=[1, 1, 1, 1], count_include_pad=1),
    "AveragePool ceil": one("AveragePool", **POOL, ceil_mode=1),
    "BatchNormalization": one(
        "BatchNormalization", values(3), values(3), values(3), np.abs(values(3)), epsilon=0.01
    ),
    "Ceil": one("Ceil"),
    "Clip": one("Clip", np.array(-0.5, np.float32), np.array(0.5, np.float32)),
    "Clip below": one("Clip", np.array(-0.5, np.float32)),
    "Clip above": one("Clip", None, np.array(0.5, np.float32)),
    "Clip attributes": one("Clip", opset=6, min=-0.25, max=0.75),
    "Concat": one("Concat", values(1, 2, H, W), axis=1),
    "Concat end": one("Concat", values(1, 3, H, 2), axis=-1),
    "Conv": one("Conv", values(4, 3, 3, 3), values(4), pads=[1, 1, 1, 1]),
    "Conv strided": one("Conv", values(4, 3, 3, 3), strides=[2, 2], dilations=[2, 2]),
    "Conv uneven": one("Conv", values(4, 3, 3, 2), pads=[0, 0, 2, 1]),
    "Conv same": one("Conv", values(4, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv same lower": one("Conv", values(4, 3, 2, 2), auto_pad="SAME_LOWER"),
    "Conv grouped": one("Conv", values(6, 1, 3, 3), group=3, auto_pad="VALID"),
    "ConvTranspose": one(
        "ConvTranspose", values(3, 5, 4, 4), values(5), strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "ConvTranspose more": one(
        "ConvTranspose", values(3, 5, 3, 3), strides=[2, 2], output_padding=[1, 1]
    ),
    "Cos": one("Cos"),
    "CumSum": one("CumSum", np.array(2)),
    "Div": one("Div", values(3, 1, 1) + 4),
    "Dropout": one("Dropout"),
    "Elu": one("Elu", alpha=0.5),
    "Equal": one("Equal", np.zeros(1, np.float32)),
    "Erf": one("Erf"),
    "Exp": one("Exp"),
    "Expand": one("Expand", ints(2, 1, 1, 1)),
    "Flatten": one("Flatten", axis=2),
    "Floor": one("Floor"),
    "Gather": one("Gather", np.array([[2, -1], [0, 1]]), axis=1),
    "Gather one": one("Gather", np.array(1), axis=3),
    "GatherElements": one(
        "GatherElements", RANDOM.integers(-W, W, (1, 3, H, 4)).astype(np.int64), axis=3
    ),
    "GatherND": one("GatherND", np.array([[0, 2], [0, -1]])),
    "Gelu": one("Gelu", opset=20),
    "Gelu tanh": one("Gelu", opset=20, approximate="tanh"),
    "GlobalAveragePool": one("GlobalAveragePool"),
    "GlobalMaxPool": one("GlobalMaxPool"),
    "Greater": one("Greater", np.zeros(1, np.float32)),
    "GreaterOrEqual": one("GreaterOrEqual", np.zeros(1, np.float32)),
    "GridSample": one(
        "GridSample", RANDOM.uniform(-0.9, 0.9, (1, 5, 4, 2)).astype(np.float32), opset=20
    ),
    "GroupNormalization": one(
        "GroupNormalization", values(3), values(3), opset=21, num_groups=3, epsilon=0.001
    ),
    "HardSigmoid": one("HardSigmoid"),
    "HardSwish": one("HardSwish"),
    "Identity": one("Identity"),
    "InstanceNormalization": one("InstanceNormalization", values(3), values(3), epsilon=0.001),
    "LayerNormalization": one("LayerNormalization", values(W), values(W)),
    "LayerNormalization two axes": one("LayerNormalization", values(H, W), axis=-2),
    "LeakyRelu": one("LeakyRelu", alpha=0.2),
    "Less": one("Less", np.zeros(1, np.float32)),
    "LessOrEqual": one("LessOrEqual", np.zeros(1, np.float32)),
    "LogSoftmax": one("LogSoftmax", axis=1),
    "LpNormalization": one("LpNormalization", axis=1),
    "MatMul": one("MatMul", values(W, 4)),
    "Max": one("Max", values(3, 1, 1), values(1, W)),
    "MaxPool": one("MaxPool", **POOL, pads=[1, 1, 1, 1]),
    "MaxPool ceil": one("MaxPool", **POOL, ceil_mode=1),
    "Min": one("Min", values(3, 1, 1)),
    "Mish": one("Mish"),
    "Mod": one("Mod", np.array([0.7], np.float32), fmod=1),
    "Mul": one("Mul", values(1, W)),
    "Neg": one("Neg"),
    "PRelu": one("PRelu", values(3, 1, 1)),
    "PRelu one": one("PRelu", values(1)),
    "PRelu wide": one("PRelu", values(1, W)),
    "Pad": one("Pad", ints(0, 0, 1, 2, 0, 0, 3, 4), np.array(0.5, np.float32)),
    "Pad edge": one("Pad", ints(0, 0, 1, 2, 0, 0, 3, 4), mode="edge"),
    "Pad reflect": one("Pad", ints(0, 0, 1, 2, 0, 0, 3, 4), mode="reflect"),
    "Pad channels": one("Pad", ints(0, 1, 0, 0, 0, 2, 0, 0), mode="edge"),
    "Pad some axes": one("Pad", ints(1, 2), None, ints(3), mode="reflect"),
    "Pow": one("Pow", np.array(2, np.float32)),
    "Reciprocal": one("Reciprocal"),
    "ReduceL1": one("ReduceL1", ints(1)),
    "ReduceL2": one("ReduceL2", ints(2, 3)),
    "ReduceMax": one("ReduceMax", ints(1), keepdims=0),
    "ReduceMean": one("ReduceMean", ints(-1, 1)),
    "ReduceMean attribute": one("ReduceMean", opset=13, axes=[1, 3], keepdims=0),
    "ReduceMean all": one("ReduceMean"),
    "ReduceMean none": one("ReduceMean", noop_with_empty_axes=1),
    "ReduceMin": one("ReduceMin", ints(2)),
    "ReduceProd": one("ReduceProd", ints(1, 2), keepdims=0),
    "ReduceSum": one("ReduceSum", ints(1)),
    "ReduceSumSquare": one("ReduceSumSquare", ints(1)),
    "Relu": one("Relu"),
    "Reshape": one("Reshape", ints(0, -1, W)),
    "Round": one("Round"),
    "ScatterND": one("ScatterND", np.array([[0, 1]]), values(1, H, W)),
    "Sigmoid": one("Sigmoid"),
    "Sign": one("Sign"),
    "Sin": one("Sin"),
    "Slice": one("Slice", ints(1, -4), ints(100, -1), ints(2, 3)),
    "Slice steps": one("Slice", ints(0, -1), ints(9, -100), ints(2, 3), ints(3, -2)),
    "Slice nothing": one("Slice", ints(5), ints(2), ints(2)),
    "Softmax": one("Softmax", axis=1),
    "Softplus": one("Softplus"),
    "SpaceToDepth": one("SpaceToDepth", blocksize=2),
    "Sub": one("Sub", values(1, W)),
    "Sum": one("Sum", values(3, 1, 1), values(1, W)),
    "Tanh": one("Tanh"),
    "Tile": one("Tile", ints(1, 2, 1, 3)),
    "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Transpose all": one("Transpose"),
    "Trilu": one("Trilu", np.array(-1), upper=0),
    "Unsqueeze": one("Unsqueeze", ints(0, -1)),
    "Unsqueeze attribute": one("Unsqueeze", opset=11, axes=[1, 5]),
    "Resize linear": one("Resize", None, np.array([1, 1, 2, 3], np.float32), mode="linear", **HALF),
    "Resize odd": one(
        "Resize", None, np.array([1, 1, 1.4, 0.7], np.float32), mode="linear", **HALF
    ),
    "Resize sizes": one("Resize", None, None, ints(1, 3, 25, 17), mode="cubic", **HALF),
    "Resize cubic": one("Resize", None, np.array([1, 1, 2, 2], np.float32), mode="cubic", **HALF),
    "Resize sharp": one(
        "Resize",
        None,
        np.array([1, 1, 2, 2], np.float32),
        mode="cubic",
        cubic_coeff_a=-0.5,
        exclude_outside=1,
        **HALF,
    ),
    "Resize corners": one(
        "Resize",
        None,
        None,
        ints(1, 3, 23, 31),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    ),
    "Resize asymmetric": one(
        "Resize",
        None,
        np.array([1, 1, 2, 2], np.float32),
        mode="linear",
        coordinate_transformation_mode="asymmetric",
    ),
    "Resize nearest": one(
        "Resize",
        None,
        np.array([1, 1, 4, 4], np.float32),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    "Resize nearest middle": one(
        "Resize", None, np.array([1, 1, 3, 2], np.float32), mode="nearest", **HALF
    ),
    **{
        f"Resize nearest {how} {rounding}": one(
            "Resize",
            None,
            np.array([1, 1, 3, 2], np.float32),
            mode="nearest",
            nearest_mode=rounding,
            coordinate_transformation_mode=how,
        )
        for how in ("half_pixel", "pytorch_half_pixel", "asymmetric")
        for rounding in ("floor", "ceil", "round_prefer_ceil")
    },
    "Resize nearest odd": one(
        "Resize",
        None,
        np.array([1, 1, 1.6, 0.5], np.float32),
        mode="nearest",
        nearest_mode="ceil",
        coordinate_transformation_mode="asymmetric",
    ),
    "Resize two axes": one(
        "Resize", None, np.array([2, 2], np.float32), mode="linear", axes=[2, 3], **HALF
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_the_reference_does(name):
    kind, others, attributes, opset = CASES[name]
    constants = {f"c{i}": value for i, value in enumerate(others) if value is not None}
    inputs = ("image", *(f"c{i}" if v is not None else "" for i, v in enumerate(others)))
    made = model([(kind, inputs, ("out",), attributes)], constants, opset=opset)
    image = values(1, 3, H, W) + (3 if kind in ("Log", "Sqrt", "Reciprocal") else 0)
    (want,) = ReferenceEvaluator(made).run(None, {"image": image})
    for last in (False, True):
        got = computed(made, image, last=last)["out"]
        assert got.shape == want.shape
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, atol=2e-5, rtol=1e-5)


def test_what_the_reference_does_not_do():
    image = values(1, 3, H, W)
    nodes = [("Pad", ("image", "p"), ("out",), {})]
    got = computed(model(nodes, {"p": ints(0, 0, -1, 0, 0, 0, 2, -3)}), image)["out"]
    want = np.concatenate([image[:, :, 1:, :-3], np.zeros((1, 3, 2, W - 3), np.float32)], 2)
    np.testing.assert_array_equal(got, want)
    nodes = [("MaxPool", ("image",), ("out",), {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]})]
    image -= 10  # zeros outside would be seen
    got = computed(model(nodes, {}), image)["out"]
    padded = np.pad(image, [(0, 0), (0, 0), (0, 1), (0, 1)], constant_values=-np.inf)
    windows = [padded[:, :, y : y + H, x : x + W] for y in (0, 1) for x in (0, 1)]
    np.testing.assert_array_equal(got, np.max(windows, 0))


def test_a_side_of_one_pixel_is_the_first_one():
    """By the text on Resize (pytorch_half_pixel); its reference takes the one before."""
    how = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
    nodes = [("Resize", ("image", "", "", "s"), ("out",), how)]
    image = values(1, 3, H, W)
    got = computed(model(nodes, {"s": ints(1, 3, 1, 1)}), image)["out"]
    np.testing.assert_allclose(got, image[:, :, :1, :1], atol=1e-6)


def test_what_a_graph_makes_on_the_device_lives_as_long_as_the_graph(monkeypatch):
    """A captured CUDA graph reads it again, at the same address, whatever others do."""
    made, weights = [], torch_resize._weights
    monkeypatch.setattr(
        torch_resize, "_weights", lambda *each: (made.append(each), weights(*each))[1]
    )

    def graph_to(width):
        nodes = [
            ("Resize", ("image", "", "", "s"), ("a",), {"mode": "nearest"}),
            ("Slice", ("a", "s0", "s1", "s2", "s3"), ("out",), {}),
        ]
        constants = {"s": ints(1, 3, H, width), "s0": ints(-1), "s1": ints(-99)}
        constants |= {"s2": ints(3), "s3": ints(-3)}
        listing = read_listing(model(nodes, constants).SerializeToString())
        return TorchGraph(listing, (H, W), torch.device("cpu"), torch.float32, channels_last=True)

    first, image = graph_to(17), torch.from_numpy(values(1, 3, H, W))
    want = first(image)["out"]
    for width in range(20, 100):
        graph_to(width)(image)
    count = len(made)
    assert torch.equal(first(image)["out"], want)
    assert len(made) == count


def test_whole_numbers_are_scaled_and_added():
    nodes = [
        ("ArgMax", ("image",), ("a",), {"axis": 1}),
        ("Mul", ("a", "three"), ("b",), {}),
        ("Add", ("b", "a"), ("c",), {}),
        ("Cast", ("c",), ("out",), {"to": TensorProto.FLOAT}),
    ]
    made, image = model(nodes, {"three": np.array(3)}), values(1, 3, H, W)
    (want,) = ReferenceEvaluator(made).run(None, {"image": image})
    np.testing.assert_array_equal(computed(made, image)["out"], want)


CHAINS = {
    "logic": (
        [
            ("Greater", ("image", "low"), ("a",), {}),
            ("Less", ("image", "high"), ("b",), {}),
            ("And", ("a", "b"), ("c",), {}),
            ("Or", ("c", "a"), ("d",), {}),
            ("Xor", ("c", "b"), ("e",), {}),
            ("Not", ("d",), ("f",), {}),
            ("Where", ("e", "image", "high"), ("g",), {}),
            ("Where", ("f", "low", "g"), ("out",), {}),
        ],
        {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)},
    ),
    "split": (
        [
            ("Split", ("image", "sizes"), ("a", "b", "c"), {"axis": 3}),
            ("Split", ("image",), ("d", "e", "f"), {"axis": 1, "num_outputs": 3}),
            ("Concat", ("c", "a", "b"), ("g",), {"axis": 3}),
            ("Add", ("g", "e"), ("out",), {}),
        ],
        {"sizes": ints(2, 5, 3)},
    ),
    "squeeze": (
        [
            ("ReduceMean", ("image", "axis"), ("a",), {}),
            ("Squeeze", ("a", "axis"), ("b",), {}),
            ("Squeeze", ("b",), ("c",), {}),
            ("Sqrt", ("d",), ("e",), {}),
            ("Abs", ("c",), ("d",), {}),
            ("Log", ("e",), ("out",), {}),
        ],
        {"axis": ints(1)},
    ),
    "depth": (
        [
            ("Conv", ("image", "w"), ("a",), {}),
            ("DepthToSpace", ("a",), ("b",), {"blocksize": 2, "mode": "CRD"}),
            ("DepthToSpace", ("a",), ("c",), {"blocksize": 2}),
            ("Sub", ("b", "c"), ("out",), {}),
        ],
        {"w": values(12, 3, 1, 1)},
    ),
    "attention": (
        [
            ("Shape", ("image",), ("shape",), {}),
            ("Gather", ("shape", "two"), ("h",), {"axis": 0}),
            ("Unsqueeze", ("h", "zero"), ("h1",), {}),
            ("Concat", ("one", "minus", "h1"), ("flat",), {"axis": 0}),
            ("Reshape", ("image", "flat"), ("a",), {}),
            ("Transpose", ("a",), ("b",), {"perm": [0, 2, 1]}),
            ("MatMul", ("a", "b"), ("c",), {}),
            ("Softmax", ("c",), ("d",), {"axis": -1}),
            ("Einsum", ("d", "a"), ("e",), {"equation": "bij,bjk->bik"}),
            ("Reshape", ("e", "shape"), ("out",), {}),
        ],
        {"two": np.array(2), "zero": ints(0), "one": ints(1), "minus": ints(-1)},
    ),
    "shapes": (
        [
            ("Shape", ("image",), ("shape",), {"start": 2}),
            ("Cast", ("shape",), ("float",), {"to": TensorProto.FLOAT}),
            ("Mul", ("float", "factor"), ("wide",), {}),
            ("Floor", ("wide",), ("floor",), {}),
            ("Cast", ("floor",), ("sizes",), {"to": TensorProto.INT64}),
            ("Div", ("sizes", "three"), ("thirds",), {}),
            ("Concat", ("ones", "thirds"), ("all",), {"axis": 0}),
            ("ConstantOfShape", ("all",), ("blank",), {}),
            ("Size", ("image",), ("count",), {}),
            ("Range", ("none", "count", "step"), ("steps",), {}),
            ("Gather", ("steps", "none"), ("first",), {"axis": 0}),
            ("Constant", (), ("held",), {"value_float": 2.5}),
            ("Mod", ("sizes", "three"), ("rest",), {}),
            ("Cast", ("rest",), ("r",), {"to": TensorProto.FLOAT}),
            ("ReduceSum", ("r",), ("r1",), {"keepdims": 0}),
            ("Resize", ("image", "", "", "target"), ("big",), {"mode": "linear"}),
            ("Mul", ("big", "held"), ("big2",), {}),
            ("Slice", ("blank", "none1", "one1", "one1"), ("zero",), {}),
            ("ReduceMax", ("zero",), ("nought",), {}),
            ("Add", ("big2", "nought"), ("x",), {}),
            ("Add", ("x", "r1"), ("out",), {}),
            ("Concat", ("ones3", "sizes"), ("target",), {"axis": 0}),
        ],
        {
            "factor": np.array(1.5, np.float32),
            "three": ints(3),
            "ones": ints(1, 1),
            "ones3": ints(1, 3),
            "none": np.array(0),
            "none1": ints(0),
            "one1": ints(1),
            "step": np.array(7),
        },
    ),
    "gemm": (
        [
            ("Flatten", ("image",), ("a",), {"axis": 3}),
            ("Gemm", ("a", "w", "bias"), ("out",), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
        ],
        {"w": values(4, W), "bias": values(4)},
    ),
    "residual": (  # what is computed in one go
        [
            ("Conv", ("image", "w"), ("a",), {}),
            ("LeakyRelu", ("a",), ("b",), {"alpha": 0.2}),
            ("Mul", ("b", "fifth"), ("c",), {}),
            ("Add", ("c", "image"), ("d",), {}),
            ("Conv", ("d", "w"), ("e",), {}),
            ("Relu", ("e",), ("f",), {}),
            ("Add", ("e", "f"), ("g",), {}),
            ("Mul", ("g", "fifth"), ("h",), {}),
            ("Add", ("h", "h"), ("i",), {}),
            ("Mul", ("i", "fifth"), ("j",), {}),
            ("Add", ("d", "j"), ("k",), {}),
            ("Add", ("j", "k"), ("out",), {}),
        ],
        {"w": values(3, 3, 1, 1), "fifth": np.array(0.2, np.float32)},
    ),
}


def sorted_nodes(nodes, constants):
    """In an order in which they can be computed."""
    known, left, done = {"image", "", *constants}, list(nodes), []
    while left:
        node = next(n for n in left if known.issuperset(n[1]))
        left.remove(node)
        known.update(node[2])
        done.append(node)
    return done


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_operators_work_together(name, last):
    nodes, constants = CHAINS[name]
    made = model(sorted_nodes(nodes, constants), constants)
    image = values(1, 3, H, W)
    (want,) = ReferenceEvaluator(made).run(None, {"image": image})
    np.testing.assert_allclose(computed(made, image, last=last)["out"], want, atol=2e-5, rtol=1e-5)


def test_every_operator_is_tried():
    tried = {kind for kind, *_ in CASES.values()}
    tried |= {kind for nodes, _ in CHAINS.values() for kind, *_ in nodes}
    assert set(OPERATORS) - tried == set()


def test_an_image_is_left_as_it_is():
    nodes, constants = CHAINS["residual"]
    image = values(1, 3, H, W)
    before = image.copy()
    made = model(nodes, constants)
    one, two = (computed(made, image)["out"] for _ in range(2))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(one, two)


def test_networks_run_in_half_and_what_is_around_them_does_not():
    nodes = [
        ("Conv", ("image", "w"), ("a",), {"pads": [1, 1, 1, 1]}),
        ("Softmax", ("a",), ("b",), {"axis": 1}),
        ("Cast", ("b",), ("out",), {"to": TensorProto.FLOAT}),
    ]
    image, constants = values(1, 3, H, W), {"w": values(3, 3, 3, 3)}
    inside = model(nodes, constants, prefix="net0.", outputs=("net0.out",))
    inside.graph.node[-1].output[0] = "net0.out"
    around = helper.make_node("Mul", ["net0.out", "two"], ["out"])
    inside.graph.node.append(around)
    inside.graph.initializer.append(numpy_helper.from_array(np.array(2, np.float32), "two"))
    del inside.graph.output[:]
    inside.graph.output.append(helper.make_empty_tensor_value_info("out"))
    (want,) = ReferenceEvaluator(inside).run(None, {"image": image})
    exact = computed(inside, image)["out"]
    np.testing.assert_allclose(exact, want, atol=1e-5)
    for dtype, most in ((torch.float16, 5e-3), (torch.bfloat16, 5e-2)):
        got = computed(inside, image, dtype)["out"]
        assert got.dtype == np.float32
        assert 0 < np.abs(got - want).max() < most
    alone = computed(model(nodes, constants), image, torch.float16)["out"]
    np.testing.assert_allclose(2 * alone, exact, atol=1e-5)  # no network: nothing in half


@pytest.mark.parametrize(
    ("nodes", "kind"),
    [
        ([("NonZero", ("image",), ("out",), {})], "NonZero"),
        ([("Conv", ("image", "w"), ("out",), {"auto_pad": "SAME_LOWER", "group": 2})], "Conv"),
        ([("Resize", ("image", "", "s"), ("out",), {"mode": "linear", "antialias": 1})], "Resize"),
        ([("ScatterND", ("image", "i", "u"), ("out",), {"reduction": "add"})], "ScatterND"),
        (
            [
                ("ReduceMax", ("image",), ("a",), {"keepdims": 0}),
                ("Cast", ("a",), ("b",), {"to": TensorProto.INT64}),
                ("Unsqueeze", ("b", "z"), ("c",), {}),
                ("Expand", ("image", "c"), ("out",), {}),
            ],
            "Expand",
        ),
    ],
)
def test_what_is_not_computed_here_is_named(nodes, kind):
    constants = {
        "w": values(4, 3, 3, 3),
        "s": np.array([1, 1, 0.5, 0.5], np.float32),
        "i": np.array([[0, 1]]),
        "u": values(1, H, W),
        "z": ints(0),
    }
    with pytest.raises(EngineUnavailable, match=rf"operator {kind} .*--device cpu") as caught:
        computed(model(nodes, constants), values(1, 3, H, W))
    assert caught.value.__cause__ is not None or kind == "NonZero"


def test_subgraphs_are_refused_by_name():
    branch = model([("Relu", ("image",), ("out",), {})], {}).graph
    node = helper.make_node("If", ["flag"], ["out"], then_branch=branch, else_branch=branch)
    made = model([], {"flag": np.array(True)})
    made.graph.node.append(node)
    with pytest.raises(EngineUnavailable, match=r"operator If"):
        read_listing(made.SerializeToString())


def test_memory_is_counted_and_let_go():
    size = 3 * H * W * 4
    chain = [("Abs", (f"x{i}",), (f"x{i + 1}",), {}) for i in range(5)]
    chain[0] = ("Abs", ("image",), ("x1",), {})
    chain.append(("Neg", ("x5",), ("out",), {}))
    listing = read_listing(model(chain, {}).SerializeToString())
    graph = TorchGraph(listing, (H, W), torch.device("cpu"), torch.float32, channels_last=False)
    assert graph.working_bytes == 2 * size
    kept = [*chain[:-1], ("Add", ("x5", "x1"), ("out",), {})]
    listing = read_listing(model(kept, {}).SerializeToString())
    graph = TorchGraph(listing, (H, W), torch.device("cpu"), torch.float32, channels_last=False)
    assert graph.working_bytes == 3 * size
    assert tuple(graph.results["out"].shape) == (1, 3, H, W)
