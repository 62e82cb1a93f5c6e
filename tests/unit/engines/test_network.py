"""Small networks of one fixed shape, on OpenVINO."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper

from superres.engines.cache import CompiledCache
from superres.engines.network import NetworkProgram
from superres.engines.openvino import load_network
from superres.errors import EngineUnavailable, OutOfMemory

SHAPE = (1, 3, 8, 12)


class Toy:
    """Answers the image doubled and its mean; counts how often it is built."""

    def __init__(self, shape=SHAPE, key="toy"):
        self.times = 0
        self.program = NetworkProgram(key, shape, self._build)

    def _build(self):
        self.times += 1
        nodes = [
            helper.make_node("Add", ["image", "image"], ["twice"]),
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        ]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes,
            "toy",
            [value("image", TensorProto.FLOAT, [1, 3, 4, 4])],  # another shape than asked for
            [value(name, TensorProto.FLOAT, None) for name in ("twice", "mean")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        return model.SerializeToString()


def picture(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).random(shape, np.float32)


def right(network, image):
    found = network(image)
    mean = image.mean((2, 3), keepdims=True)
    return np.array_equal(found["twice"], image * 2) and np.allclose(found["mean"], mean, atol=1e-6)


def cached(folder):
    return CompiledCache(folder, 1 << 30)


def test_it_computes_in_the_shape_asked_for_and_gives_every_output_by_name():
    assert right(load_network(Toy().program), picture())


def test_what_it_gave_is_not_changed_by_the_next_call():
    network = load_network(Toy().program)
    first = network(picture(1))["twice"]
    network(picture(2))
    assert np.array_equal(first, picture(1) * 2)


def test_the_second_start_does_not_compile(tmp_path):
    toy = Toy()
    for _ in range(3):
        assert right(load_network(toy.program, cached(tmp_path)), picture())
    assert toy.times == 1
    load_network(replace(toy.program, key="another"), cached(tmp_path))
    assert toy.times == 2


def test_a_damaged_compilation_is_made_again(tmp_path):
    toy = Toy()
    load_network(toy.program, cached(tmp_path))
    (file,) = tmp_path.glob("*.blob")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert right(load_network(toy.program, cached(tmp_path)), picture())
    assert toy.times == 2


def test_several_threads_each_get_their_own_answer():
    network = load_network(Toy().program, threads=1)
    pictures = [picture(seed) for seed in range(64)]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda image: right(network, image), pictures))


def test_what_the_runtime_refuses_is_an_error_of_ours(tmp_path):
    with pytest.raises(EngineUnavailable):
        load_network(NetworkProgram("junk", SHAPE, lambda: b"no network"), cached(tmp_path))
    assert not list(tmp_path.glob("*.blob"))
    network = load_network(Toy().program)
    with pytest.raises(ValueError, match="broadcast"):  # a mistake of the caller
        network(picture(shape=(1, 3, 9, 9)))
    assert right(network, picture())


def test_a_failure_while_computing_is_translated():
    network = load_network(Toy().program)

    class Failing:
        def __init__(self, request):
            self.get_input_tensor = request.get_input_tensor

        def infer(self):
            raise RuntimeError("std::bad_alloc")

    network._request = Failing(network._request)
    with pytest.raises(OutOfMemory):
        network(picture())
