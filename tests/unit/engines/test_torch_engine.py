"""PyTorch's engine beyond the contract: the catalogue's models, memory, failures."""

import gc
import importlib.util
import os
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from onnx import TensorProto, helper

from superres.engines.openvino import OpenVINOEngine
from superres.errors import EngineUnavailable, OutOfMemory
from superres.models import list_models
from superres.models.graph import Branch, Guard, Head, compose_tile_graph
from superres.models.listing import read_listing
from superres.models.recipe import make_recipe
from superres.pipeline.sessions import tile_program
from tests.contract.toys import WINDOW, answer, program, tile

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-tools")

from superres.engines import torch_engine  # noqa: E402
from superres.engines.torch_engine import TorchEngine, translated  # noqa: E402
from superres.engines.torch_graph import TorchGraph  # noqa: E402
from superres.engines.torch_lazy import torch_engine as made  # noqa: E402

SIDES = (32, 48)
EVERY = [(m.name, s) for m in list_models() for s in m.scales if s > 1]


def photograph(height, width):
    """A part of one, ``(3, h, w)``."""
    part = skimage.data.astronaut()[100 : 100 + height, 180 : 180 + width]
    return np.ascontiguousarray(part.transpose(2, 0, 1)) / np.float32(255)


def psnr(one, two):
    error = np.square(one.astype(np.float64) - two.astype(np.float64)).mean()
    return 10 * np.log10(1 / max(error, 1e-20))


def recipe_for(name, scale, **how):
    model = next(m for m in list_models() if m.name == name)
    fidelity = model.fidelity if scale in (2, 4) else 0.0
    return replace(make_recipe(model, scale, fidelity), **how)


@pytest.fixture(scope="module")
def openvino():
    return OpenVINOEngine(streams=1)


@pytest.fixture(scope="module")
def engine():
    return TorchEngine("cpu")


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize(("name", "scale"), EVERY)
def test_the_catalogue_computes_what_the_cpu_engine_does(engine, openvino, name, scale, guarded):
    recipe = recipe_for(name, scale)
    image = photograph(*SIDES)
    wanted = tile_program(recipe, SIDES, guarded=guarded)
    want = openvino.load(wanted, "f32").submit(image).result(120)
    got = engine.load(wanted, "f32").submit(image).result(120)
    assert np.abs(got.pixels.astype(int) - want.pixels).max() <= 1
    assert psnr(got.pixels / 255, want.pixels / 255) > 60
    np.testing.assert_allclose(got.reduced, want.reduced, atol=1e-4)
    if not guarded:
        np.testing.assert_allclose(got.errors, want.errors, atol=1e-4)


@pytest.mark.parametrize("how", [{"grey": True}, {"quantised": False}, {"colour_lock": False}])
@pytest.mark.parametrize("guarded", [False, True])
def test_forms_of_the_head(engine, openvino, how, guarded):
    recipe = recipe_for("anime-video", 3, **how)
    image = photograph(*SIDES)
    wanted = tile_program(recipe, SIDES, guarded=guarded)
    want = openvino.load(wanted, "f32").submit(image).result(120)
    got = engine.load(wanted, "f32").submit(image).result(120)
    assert got.pixels.dtype == want.pixels.dtype
    assert got.pixels.shape == want.pixels.shape
    top = 255 if want.pixels.dtype == np.uint8 else 1
    np.testing.assert_allclose(
        got.pixels / top, want.pixels / top, atol=1.01 / 255 * (top > 1) + 1e-4
    )


@pytest.mark.parametrize(("name", "scale"), [(n, s) for n, s in EVERY if n != "photo"])
def test_half_precision_is_exact_enough(engine, openvino, name, scale):
    recipe = recipe_for(name, scale, quantised=False)
    image = photograph(*SIDES)
    wanted = tile_program(recipe, SIDES)
    want = openvino.load(wanted, "f32").submit(image).result(120)
    got = engine.load(wanted, "f16").submit(image).result(300)
    assert psnr(got.pixels, want.pixels) > 60
    assert not np.array_equal(got.pixels, want.pixels)


def test_a_guard_mends_the_same_regions(engine, openvino):
    """Where SPAN runs away: what is left is the plain enlargement on either engine."""
    image = np.indices(SIDES).sum(0) % 2 * np.ones((3, 1, 1))
    image = image.astype(np.float32)
    wanted = tile_program(recipe_for("faithful", 4), SIDES, guarded=True)
    want = openvino.load(wanted, "f32").submit(image).result(120)
    got = engine.load(wanted, "f32").submit(image).result(120)
    assert np.abs(got.pixels.astype(int) - want.pixels).max() <= 1


@pytest.mark.parametrize("name", [m.name for m in list_models()])
def test_tiles_are_planned_for_what_they_take(name):
    model = next(m for m in list_models() if m.name == name)
    scale = max(model.native_scales)
    recipe = recipe_for(name, scale)
    for guarded in (False, True):
        listing = read_listing(recipe.build(*SIDES, guarded))
        for dtype in (torch.float16, torch.float32):
            graph = TorchGraph(listing, SIDES, torch.device("cpu"), dtype, channels_last=True)
            taken = graph.working_bytes / (SIDES[0] * SIDES[1])
            room = torch_engine.EAGER * recipe.bytes_per_pixel
            assert taken < 0.85 * room  # the rest is for convolutions' work space
            assert taken > 0.15 * room


def test_the_processor_is_told_how_many_threads_to_use():
    before = torch.get_num_threads()
    try:
        session = TorchEngine("cpu", threads=1).load(program(), "f32")
        session.submit(tile()).result(60)
    finally:
        torch.set_num_threads(before)


def test_what_it_is(engine):
    assert (engine.name, engine.device, engine.streams) == ("torch", "torch", 1)
    assert engine.precisions[0] == "f32"
    assert engine.title


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_device_that_is_not_there_is_told(device):
    with pytest.raises(EngineUnavailable, match=r"finds no CUDA or ROCm device.*--device cpu"):
        TorchEngine(device)


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is a Metal device")
def test_metal_that_is_not_there_is_told():
    with pytest.raises(EngineUnavailable, match=r"Metal.*--device cpu"):
        TorchEngine("mps")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), OutOfMemory),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), OutOfMemory),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), OutOfMemory),
        (RuntimeError("CUDA error: out of memory\nCompile with"), OutOfMemory),
        (
            RuntimeError("CUDA error: an illegal memory access\nx"),
            EngineUnavailable,
        ),
        (RuntimeError("no kernel image is available for execution"), EngineUnavailable),
        (RuntimeError(""), EngineUnavailable),
    ],
)
def test_failures_in_words_of_ours(error, kind):
    told = translated(error, "cuda:0")
    assert type(told) is kind
    assert "cuda:0" in str(told)
    assert "--device cpu" in str(told)
    assert "\n" not in str(told)


class Tight:
    """Lets PyTorch run out of memory: above an area, for so many tiles, or for so many at once."""

    def __init__(self, monkeypatch, area=0, times=0, together=99):
        self.area, self.times, self.calls = area, times, 0
        self.most, self._now, self._lock = 0, 0, threading.Lock()
        right = TorchGraph.__call__

        def tight(graph, image):
            with self._lock:
                self.calls += 1
                self._now += 1
                self.most = max(self.most, self._now)
                full = (self.area and image.shape[2] * image.shape[3] > self.area) or self.times > 0
                full = full or self._now > together
                self.times -= 1
            try:
                time.sleep(0.005)
                if full:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
                return right(graph, image)
            finally:
                with self._lock:
                    self._now -= 1

        monkeypatch.setattr(TorchGraph, "__call__", tight)


def right(session, seed=0):
    got = session.submit(tile(seed)).result(60).pixels
    return np.abs(got - np.rint(answer(tile(seed), 2) * 255)).max() <= 1


def test_a_tile_without_room_is_tried_again_alone(monkeypatch):
    engine = TorchEngine("cpu", streams=3)
    session = engine.load(program(), "f32")
    given_back = []
    monkeypatch.setattr(engine, "give_back", lambda: given_back.append(tight.most))
    tight = Tight(monkeypatch, times=1)
    assert right(session)
    assert tight.calls == 2
    assert len(given_back) == 1


def test_tiles_that_fit_only_alone_all_get_done(monkeypatch):
    engine = TorchEngine("cpu", streams=3)
    session = engine.load(program(), "f32")
    tight = Tight(monkeypatch, together=1)
    futures = [session.submit(tile(seed)) for seed in range(12)]
    for seed, future in enumerate(futures):
        want = np.rint(answer(tile(seed), 2) * 255)
        assert np.abs(future.result(60).pixels - want).max() <= 1
    assert tight.most > 1
    assert tight.calls > 12


def test_without_room_for_one_alone_it_says_so(monkeypatch):
    session = TorchEngine("cpu").load(program(), "f32")
    tight = Tight(monkeypatch, area=1)
    error = session.submit(tile()).exception(60)
    assert type(error) is OutOfMemory
    assert isinstance(error.__cause__, torch.OutOfMemoryError)
    assert tight.calls == 2
    tight.area = 0
    assert right(session)


def test_a_failed_attempt_holds_on_to_nothing(monkeypatch):
    held = []
    right_call = TorchGraph.__call__

    class Large:
        pass

    def tight(graph, image):
        if not held:
            large = Large()
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        assert held[0]() is None
        return right_call(graph, image)

    monkeypatch.setattr(TorchGraph, "__call__", tight)
    gc.disable()
    try:
        assert right(TorchEngine("cpu").load(program(), "f32"))
    finally:
        gc.enable()


# ------------------------------------------------------- networks that only PyTorch runs


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A program with a network of PyTorch's own, and the place where it is loaded."""
    from superres.engines import spandrel_networks

    class Repeat(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=2, mode="nearest")

    loads = []

    def load_checkpoint(path, sha256):
        loads.append((path, sha256))
        return Repeat().eval()

    monkeypatch.setattr(spandrel_networks, "load_checkpoint", load_checkpoint)
    node = helper.make_node(
        "Checkpoint",
        ["input"],
        ["output"],
        domain="superres",
        path=str(tmp_path / "x.pth"),
        sha256="ab" * 32,
        scale=2,
    )
    graph = helper.make_graph(
        [node],
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 3, "2h", "2w"])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("superres", 1)]
    network = helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def build():
        branch = Branch(network, 2, 1.0, Guard(0.2, 0.3))
        head = Head(2, colour_lock=False)
        return compose_tile_graph([branch], head, *WINDOW).SerializeToString()

    return replace(program(), build=build, runtime="torch"), loads


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_network_of_its_own(checkpoint, tmp_path, precision):
    wanted, loads = checkpoint
    engine = TorchEngine("cpu")
    one, two = engine.load(wanted, precision), engine.load(wanted, precision)
    assert right(one)
    assert right(two)
    assert loads == [(tmp_path / "x.pth", "ab" * 32)]  # the weights are shared


def test_the_cpu_engine_hands_such_networks_on(checkpoint):
    wanted, loads = checkpoint
    engine = OpenVINOEngine(streams=1, threads=1)
    sessions = [engine.load(wanted, precision) for precision in engine.precisions]
    assert all(map(right, sessions))
    assert loads
    assert right(engine.load(program(), "f32"))


def test_without_pytorch_it_is_told_how_to_get(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineUnavailable, match=r"pip install .superres\[torch\]"):
        made("cpu")
    with pytest.raises(EngineUnavailable, match=r"pip install .superres\[torch\]"):
        OpenVINOEngine(streams=1).load(replace(program(), runtime="torch"), "f32")


def test_a_pytorch_that_does_not_load_is_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.delitem(sys.modules, "superres.engines.torch_engine")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EngineUnavailable, match=r"PyTorch does not load"):
        made("cpu")


def test_choosing_the_cpu_engine_imports_no_pytorch():
    code = (
        "import sys; from superres.engines.select import select_engine;"
        "from superres.settings import EngineSettings;"
        f"e = select_engine(EngineSettings(cache_dir=__import__('pathlib').Path({os.devnull!r})));"
        "assert e.name == 'openvino'; assert 'torch' not in sys.modules"
    )
    if list(Path("/dev").glob("nvidia*")) or Path("/dev/kfd").exists():
        pytest.skip("there seems to be a GPU")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
