"""ONNX files that people bring: what is taken, what is refused, and that nothing else is opened."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from superres.errors import BadParameter
from superres.models.onnxfile import per_channel, read_onnx
from tests.unit.models.toys import nearest, network, picture, run


def made(nodes, inputs=None, outputs=None, constants=(), opset=18, domains=()) -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "theirs",
        inputs or [value("x", TensorProto.FLOAT, ["n", 3, "height", "width"])],
        outputs or [value("y", TensorProto.FLOAT, None)],
        list(constants),
    )
    ids = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    return helper.make_model(graph, opset_imports=ids, ir_version=9)


def relu(**more) -> onnx.ModelProto:
    return made([helper.make_node("Relu", ["x"], ["y"])], **more)


def test_names_and_shapes_become_ours():
    model = read_onnx(relu().SerializeToString())
    assert [each.name for each in model.graph.input] == ["input"]
    assert [each.name for each in model.graph.output] == ["output"]
    image = picture(5, 7) - 0.5
    np.testing.assert_array_equal(run(model, input=image)["output"], np.maximum(image, 0))


def test_names_of_ours_that_mean_something_else():
    nodes = [
        helper.make_node("Neg", ["x"], ["output"]),
        helper.make_node("Neg", ["output"], ["input"]),
        helper.make_node("Relu", ["input"], ["y"]),
    ]
    model = read_onnx(made(nodes).SerializeToString())
    image = picture(4, 4) - 0.5
    np.testing.assert_array_equal(run(model, input=image)["output"], np.maximum(image, 0))


def test_half_precision_is_widened():
    weight = numpy_helper.from_array(np.full((3, 3, 1, 1), 0.25, np.float16), "w")
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
    value = helper.make_tensor_value_info
    model = made(
        nodes,
        [value("x", TensorProto.FLOAT16, [1, 3, "h", "w"])],
        [value("y", TensorProto.FLOAT16, None)],
        [weight],
    )
    read = read_onnx(model.SerializeToString())
    image = picture(4, 6)
    expected = np.repeat(image.sum(1, keepdims=True) * 0.25, 3, 1)
    np.testing.assert_allclose(run(read, input=image)["output"], expected, rtol=1e-6)


@pytest.mark.parametrize("opset", [11, 13, 17, 19, 21])
def test_operator_sets(opset):
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Add", ["r", "x"], ["y"])]
    model = read_onnx(made(nodes, opset=opset).SerializeToString())
    assert [each.version for each in model.opset_import] == [18]
    image = picture(4, 4)
    np.testing.assert_array_equal(run(model, input=image)["output"], 2 * image)


def test_an_operator_that_changed_is_brought_up():
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)]
    model = read_onnx(made(nodes, opset=13).SerializeToString())
    image = picture(4, 4)
    expected = image.mean(1, keepdims=True)
    np.testing.assert_allclose(run(model, input=image)["output"], expected, rtol=1e-5)


def test_weights_in_other_files_are_refused(tmp_path, monkeypatch):
    """A path in the file must never be followed: it could lead anywhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_bytes(np.ones(27, np.float32).tobytes())
    for location in ("secret", "../secret", str(tmp_path / "secret"), "/etc/passwd"):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 3, 1, 1])
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        nodes = [helper.make_node("Conv", ["x", "w"], ["y"])]
        with pytest.raises(BadParameter, match="other files"):
            read_onnx(made(nodes, constants=[tensor]).SerializeToString())
        hidden = helper.make_node("Constant", [], ["w"], value=tensor)
        with pytest.raises(BadParameter, match="other files"):
            read_onnx(made([hidden, *nodes]).SerializeToString())


def subgraph() -> onnx.GraphProto:
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node("Relu", ["x"], ["z"])], "inner", [], [value])


def value(name, dims, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, dims)


TRUE = numpy_helper.from_array(np.array(True), "t")
REFUSED = {
    "control flow": (
        made(
            [helper.make_node("If", ["t"], ["y"], then_branch=subgraph(), else_branch=subgraph())],
            constants=[TRUE],
        ),
        "'If'",
    ),
    "chance": (made([helper.make_node("RandomNormalLike", ["x"], ["y"])]), "RandomNormalLike"),
    "somebody's operator": (
        made([helper.make_node("Run", ["x"], ["y"], domain="evil.corp")], domains=["evil.corp"]),
        "evil.corp.Run",
    ),
    "our own operator": (
        made(
            [
                helper.make_node(
                    "Checkpoint",
                    ["x"],
                    ["y"],
                    domain="superres",
                    path="/etc/passwd",
                    sha256="0" * 64,
                    scale=1,
                )
            ],
            domains=["superres"],
        ),
        "superres.Checkpoint",
    ),
    "no operator": (made([helper.make_node("Nonesuch", ["x"], ["y"])]), "Nonesuch"),
    "two inputs": (
        made(
            [helper.make_node("Add", ["x", "m"], ["y"])],
            [value("x", [1, 3, "h", "w"]), value("m", [1, 1, "h", "w"])],
        ),
        "2 inputs",
    ),
    "two outputs": (
        made(
            [helper.make_node("Split", ["x"], ["y", "z"], num_outputs=2, axis=2)],
            outputs=[value("y", None), value("z", None)],
        ),
        "2 outputs",
    ),
    "colours last": (relu(inputs=[value("x", [1, "h", "w", 3])]), "NHWC"),
    "four channels": (relu(inputs=[value("x", [1, 4, "h", "w"])]), "3 channels"),
    "a batch": (relu(inputs=[value("x", [8, 3, "h", "w"])]), "one picture"),
    "no picture": (relu(inputs=[value("x", [1, 512])]), "no picture"),
    "bytes": (relu(inputs=[value("x", [1, 3, "h", "w"], TensorProto.UINT8)]), "UINT8"),
    "unconnected": (made([helper.make_node("Relu", ["nothing"], ["y"])]), "no valid ONNX"),
}


def test_half_precision_of_another_shape_than_it_claims():
    nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
    model = made(nodes, constants=[numpy_helper.from_array(np.ones(3, np.float16), "k")])
    model.graph.initializer[0].dims[0] = 1 << 40
    with pytest.raises(BadParameter, match="no ONNX network, or is damaged"):
        read_onnx(model.SerializeToString())


def test_weights_in_other_files_behind_sparse_attributes():
    sparse = onnx.SparseTensorProto(dims=[3])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "v"))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    sparse.values.ClearField("raw_data")
    sparse.values.data_location = TensorProto.EXTERNAL
    sparse.values.external_data.add(key="location", value="other.bin")
    constant = helper.make_node("Constant", [], ["k"], sparse_value=sparse)
    model = made([constant, helper.make_node("Mul", ["x", "k"], ["y"])])
    with pytest.raises(BadParameter, match="other files"):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case):
    model, word = REFUSED[case]
    with pytest.raises(BadParameter, match=word):
        read_onnx(model.SerializeToString())


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, 0.999])
def test_a_damaged_file(keep):
    data = nearest(2).SerializeToString()
    kept = data[: int(keep * len(data)) if isinstance(keep, float) else keep]
    with pytest.raises(BadParameter):
        read_onnx(kept)


def test_text():
    with pytest.raises(BadParameter, match="no ONNX network"):
        read_onnx(b"hello, this is text")


def test_one_channel_runs_on_each():
    kernel = np.array([1.0, 2, 3, 4], np.float32).reshape(4, 1, 1, 1)
    nodes = [
        helper.make_node("Conv", ["input", "kernel"], ["mixed"]),
        helper.make_node("DepthToSpace", ["mixed"], ["output"], blocksize=2, mode="CRD"),
    ]
    grey = network(2, nodes, kernel=kernel)
    grey.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    model = per_channel(read_onnx(grey.SerializeToString()))
    image = picture(3, 5)
    block = np.array([[1, 2], [3, 4]], np.float32)
    got = run(model, input=image)["output"]
    np.testing.assert_allclose(got, np.kron(image, block), rtol=1e-6)
    assert len(model.graph.initializer) == 1, "the weights are there once"
