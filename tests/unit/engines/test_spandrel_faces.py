"""Networks that restore faces: the real architectures, with small random weights."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
import threading

import numpy as np
import pytest

from superres.engines.spandrel_faces import SIDE, check_runtime, load_restorer
from superres.errors import EngineUnavailable, WeightsMissing
from superres.models.checkpoint import architecture_of
from tests.unit.engines.thin import have_torch, needs_torch, write_thin
from tests.unit.models.publisher import weights


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """Files of weights by architecture, each made once."""
    folder, made = tmp_path_factory.mktemp("thin"), {}

    def get(architecture, ending=".pth"):
        name = architecture + ending
        if name not in made:
            made[name] = write_thin(architecture, folder / name)
        return made[name]

    return get


@pytest.fixture(scope="module")
def face(photos):
    values = photos["astronaut"].astype(np.float32) / 255
    values[0, 0], values[0, 1] = 0, 1
    assert values.shape == (SIDE, SIDE, 3)
    return values


def load(path, architecture, threads=0):
    with path.open("rb") as file:
        return load_restorer(file, architecture, threads)


def listen(restorer, monkeypatch):
    """What the network itself is called with, and what it answers."""
    heard = []
    restorer._model.register_forward_hook(
        lambda _, arguments, more, answer: heard.append((arguments, more, answer)),
        with_kwargs=True,
    )
    return heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("GFPGAN", {"return_rgb": False, "randomize_noise": False}),
        ("CodeFormer", {"weight": 0.7}),
        ("RestoreFormer", {}),
    ],
)
def test_each_architecture_as_it_was_trained(thin, face, monkeypatch, architecture, more):
    have_torch()
    path = thin(architecture)
    assert path.stat().st_size < 3 << 20
    assert architecture_of(path) == architecture
    restorer = load(path, architecture)
    heard = listen(restorer, monkeypatch)
    result = restorer(face)
    assert result.shape == face.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    (((seen,), arguments, answer),) = heard
    assert arguments == more
    # The networks see -1…1, colours first, and answer the same.
    assert np.allclose(seen[0].numpy().transpose(1, 2, 0), face * 2 - 1, atol=1e-6)
    expected = np.clip((answer[0][0].numpy().transpose(1, 2, 0) + 1) / 2, 0, 1)
    assert np.allclose(result, expected, atol=1e-6)
    assert result.std() > 0.001
    if architecture == "GFPGAN":
        # Its noise, which is not 0 in this file, must not be drawn anew.
        assert np.array_equal(restorer(face), result)


def test_as_spandrel_runs_it_where_that_is_right(thin, face):
    """RestoreFormer's descriptor converts to -1…1 itself: the reference for ours."""
    torch = have_torch()
    from spandrel import ModelLoader

    path = thin("RestoreFormer")
    theirs = ModelLoader("cpu").load_from_file(path)
    with torch.inference_mode():
        there = theirs(torch.from_numpy(face.transpose(2, 0, 1)[None].copy()))
    result = load(path, "RestoreFormer")(face)
    assert np.allclose(result, there[0].numpy().transpose(1, 2, 0), atol=1e-5)
    assert np.array_equal(load(path, "RestoreFormer")(face), result), "same input, same bytes"


def test_safetensors_are_the_same(thin, face):
    have_torch()
    assert np.array_equal(
        load(thin("RestoreFormer", ".safetensors"), "RestoreFormer")(face),
        load(thin("RestoreFormer"), "RestoreFormer")(face),
    )


def test_from_several_threads_at_a_time(thin, face):
    have_torch()
    restorer = load(thin("RestoreFormer"), "RestoreFormer", threads=1)
    faces = [face, np.ascontiguousarray(face[::-1]), face]
    results = [None] * 3

    def work(number):
        results[number] = restorer(faces[number])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(results[0], results[2])
    assert not np.array_equal(results[0], results[1])


def test_it_stops_in_the_middle_and_goes_on_working(thin, face):
    have_torch()
    restorer = load(thin("RestoreFormer"), "RestoreFormer")
    asked = []

    class Stopped(Exception):
        pass

    def check():
        asked.append(1)
        if len(asked) == 30:
            raise Stopped

    with pytest.raises(Stopped):
        restorer(face, check)
    assert len(asked) == 30
    assert np.isfinite(restorer(face)).all()
    assert len(asked) == 30


def test_who_waits_can_be_stopped(thin, face):
    have_torch()
    restorer = load(thin("RestoreFormer"), "RestoreFormer")
    began, go_on = threading.Event(), threading.Event()

    class Stopped(Exception):
        pass

    def hold():
        began.set()
        go_on.wait(60)

    def stop():
        raise Stopped

    thread = threading.Thread(target=restorer, args=(face, hold))
    thread.start()
    began.wait(60)
    try:
        with pytest.raises(Stopped):
            restorer(face, stop)
    finally:
        go_on.set()
        thread.join()


def test_weights_of_another_network(thin):
    have_torch()
    with pytest.raises(WeightsMissing, match="no weights of GFPGAN"):
        load(thin("RestoreFormer"), "GFPGAN")


def test_files_that_hold_no_weights(thin):
    have_torch()
    good = thin("RestoreFormer").read_bytes()
    for content in (
        b"",
        b"PK",
        good[: len(good) // 2],
        weights("RestoreFormer"),  # the names alone
        thin("RestoreFormer", ".safetensors").read_bytes()[:-5],
    ):
        with pytest.raises(WeightsMissing, match="no weights of RestoreFormer that load"):
            load_restorer(io.BytesIO(content), "RestoreFormer")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_in_a_file_is_run(tmp_path):
    torch = have_torch()
    path, trace = tmp_path / "evil.pth", tmp_path / "trace"
    torch.save({"params_ema": {"toRGB.0.weight": Evil(trace)}}, path)
    with pytest.raises(WeightsMissing):
        load(path, "GFPGAN")
    assert not trace.exists()
    call, arguments = Evil(trace).__reduce__()
    call(*arguments).close()  # it would have made it
    assert trace.exists()


def test_a_small_file_that_claims_to_be_a_large_network(tmp_path, thin):
    torch = have_torch()
    tensors = torch.load(thin("RestoreFormer"), weights_only=True)["params"]
    tensors["quantize.embedding.weight"] = torch.zeros(1, 1).expand(1 << 20, 1 << 20)
    path = tmp_path / "large.pth"
    torch.save({"params": tensors}, path)
    with pytest.raises(WeightsMissing):
        load(path, "RestoreFormer")


@pytest.mark.parametrize("module", ["torch", "spandrel"])
def test_without_the_extra(monkeypatch, module):
    hide(monkeypatch, module)
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        check_runtime("GFPGAN")
    with pytest.raises(EngineUnavailable, match=r'pip install "superres\[torch\]"'):
        load_restorer(io.BytesIO(), "GFPGAN")


def test_codeformer_needs_one_more(monkeypatch):
    hide(monkeypatch, "spandrel_extra_arches", there=("torch", "spandrel"))
    check_runtime("GFPGAN")
    with pytest.raises(EngineUnavailable, match="pip install spandrel_extra_arches"):
        check_runtime("CodeFormer")


@needs_torch
def test_a_torch_that_does_not_fit(monkeypatch):
    have_torch()
    monkeypatch.setitem(sys.modules, "spandrel", None)
    hide(monkeypatch, "nothing", there=("torch", "spandrel"))
    with pytest.raises(EngineUnavailable, match="torchvision must be of one release"):
        load_restorer(io.BytesIO(), "GFPGAN")


def hide(monkeypatch, module, there=()):
    """Make a module impossible to find, and others seem to be there."""
    find = importlib.util.find_spec

    def found(name, package=None):
        if name == module:
            return None
        return object() if name in there else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


def test_torch_is_imported_only_to_load():
    code = (
        "import sys; import superres.faces.restore, superres.faces.paste;"
        "import superres.engines.spandrel_faces as m;"
        "print([name for name in ('torch', 'spandrel', 'safetensors') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
